// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of examples/bugs: each stored schedule shows its bug, the same every time, and the program is right without it.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { BUGS, deviationsOf, type StoredBug, tokenOf } from "../../examples/bugs/catalogue.ts";
import { krcState } from "../../rcu/tree_kvfree.ts";
import {
  bootWith,
  checkConfig,
  decodeToken,
  type Deviation,
  type Kernel,
  Run,
  type RunVerdict,
  scheduleOf,
} from "../../mod.ts";
import { arg, eventsOf } from "../machines.ts";
import { lengths } from "../rcu/kvfree_machine.ts";

function ran(bug: StoredBug, deviations: readonly Deviation[], seed = 1): { k: Kernel; verdict: RunVerdict } {
  const config = checkConfig({ ...bug.config, seed });
  const k = bootWith(config, scheduleOf(config, deviations));
  const run = new Run(k, bug.scenario, {});
  run.advance();
  return { k, verdict: run.verdict() };
}

function bugNamed(id: string): StoredBug {
  const bug = BUGS.find((b) => b.id === id);
  assert(bug !== undefined, id);
  return bug;
}

for (const bug of BUGS) {
  Deno.test(`${bug.id}: its program is right: without the stalls nothing is reported and all is freed [seeds=5]`, () => {
    for (let seed = 1; seed <= 5; seed++) {
      const { k, verdict } = ran(bug, [], seed);
      assertEquals(
        [verdict.ending, verdict.reports, k.kvfree.busy(k)],
        ["completed", 0, false],
        `seed ${seed}`,
      );
    }
  });

  Deno.test(`${bug.id}: every stall of its schedule is needed`, () => {
    const all = deviationsOf(bug);
    for (const left of all) {
      const { k, verdict } = ran(bug, all.filter((d) => d !== left));
      assertEquals([verdict.ending, k.reports.length], ["completed", 0], JSON.stringify(left));
    }
  });

  Deno.test(`${bug.id}: the same twice, and its token holds machine, program and stalls`, () => {
    const hashes = [1, 2].map(() => ran(bug, deviationsOf(bug)).k.digest());
    assertEquals(hashes[0], hashes[1]);
    assertEquals(decodeToken(tokenOf(bug)), {
      config: checkConfig(bug.config),
      deviations: deviationsOf(bug),
      runs: [{ name: bug.scenario.name, options: {} }],
    });
  });

  Deno.test(`${bug.id}: two sentences say why`, () => {
    for (const sentence of bug.why) assertEquals(sentence.match(/\.(\s|$)/g)?.length, 1, sentence);
  });
}

Deno.test("B9: KASAN reports the reader's access to settings that the table's grace period freed", () => {
  const bug = bugNamed("B9");
  const { k, verdict } = ran(bug, deviationsOf(bug));
  assertEquals([verdict.ending, k.reports.length], ["completed", 1]);
  const lines = k.reports[0].lines;
  assertEquals(lines[1], "BUG: KASAN: use-after-free in lookup");
  assertMatch(lines[2], /^Read of size 8 at addr ffff8880[0-9a-f]{8} by task reader\/2\/\d+$/);
  assert(lines.some((line) => /^Freed by task \d+:$/.test(line)), lines.join("\n"));
  assert(lines.some((line) => line.includes("kfree_rcu_work")), "the batch freed it");
  const [bulk] = eventsOf(k, "rcu_invoke_kfree_bulk_callback");
  assertEquals(arg(bulk, "nr_records"), 1, "the settings, alone in their channel");
  const ends = eventsOf(k, "rcu_grace_period").filter((r) => k.log.text(arg(r, "gpevent")) === "end");
  assertEquals(ends.filter((r) => r.seq < bulk.seq).length, 1, "one grace period was enough for it to go");
});

Deno.test("B8: five pointers in krc, count 0, no timer, seven seconds later", () => {
  const bug = bugNamed("B8");
  const { k, verdict } = ran(bug, deviationsOf(bug));
  assertEquals([verdict.ending, verdict.reports], ["undrained", 0]);
  const { slab, vmalloc, list, count, monitor_todo, monitorPending } = krcState(k)[0];
  assertEquals([lengths(slab), lengths(vmalloc), list, count, monitor_todo, monitorPending], [
    [5],
    [],
    [],
    0,
    false,
    false,
  ]);
  const last = eventsOf(k, "kvfree_rcu").at(-1);
  const mark = eventsOf(k, "tracing_mark_write").at(-1);
  assert(last !== undefined && mark !== undefined);
  assertEquals(k.log.text(arg(mark, "text")), "seven seconds later");
  assert(mark.ns - last.ns >= 7e9);
});
