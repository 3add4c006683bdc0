// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of examples/bugs: each bug shows at its levels and at no other, the same every time, and its program is right
 * where the bug is not, or without the schedule that it needs.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  type Bug,
  BUGS,
  deviationsOf,
  machineOf,
  optionsOf,
  tokenOf,
} from "../../examples/bugs/catalogue.ts";
import { BUG_PROGRAMS, EXAMPLES } from "../../examples/index.ts";
import { krcState } from "../../rcu/kvfree.ts";
import {
  bootWith,
  checkConfig,
  decodeToken,
  type Deviation,
  type Kernel,
  type Level,
  LEVELS,
  memorySince,
  OptionError,
  Run,
  type RunVerdict,
  scheduleOf,
} from "../../mod.ts";
import { arg, eventsOf } from "../machines.ts";
import { lengths } from "../rcu/kvfree_machine.ts";

interface Ran {
  readonly k: Kernel;
  readonly verdict: RunVerdict;
  /** What somebody could see of a bug; empty when there is nothing. */
  readonly seen: string;
}

function ran(bug: Bug, level: Level, deviations: readonly Deviation[], seed = 1): Ran {
  const { demo } = bug;
  assert(demo !== null);
  const config = checkConfig({ ...machineOf(demo, level), seed });
  const k = bootWith(config, scheduleOf(config, deviations));
  const run = new Run(k, demo.scenario, optionsOf(demo, level));
  run.advance();
  const verdict = run.verdict();
  const seen = [
    ...(verdict.ending === "completed" ? [] : [verdict.ending]),
    ...k.reports.map((r) => r.lines.find((line) => !/^=*$/.test(line)) ?? ""),
    ...verdict.violations.map((v) => `${v.property} ${v.text}`),
    ...memorySince(k, run).leaked.map((o) => `leaked ${o.size}`),
    ...(k.kvfree.busy(k) ? ["kvfree_rcu() still holds something"] : []),
  ].join("; ");
  assert(!seen.includes("exception in"), `${bug.id} at ${level}: ${seen}`);
  return { k, verdict, seen };
}

/** Levels at which the program of a bug can run. */
function runsAt(bug: Bug): Level[] {
  return LEVELS.filter((level) => {
    try {
      assert(bug.demo !== null);
      optionsOf(bug.demo, level);
      return true;
    } catch (error) {
      assert(error instanceof OptionError, String(error));
      return false;
    }
  });
}

function bugNamed(id: string): Bug {
  const bug = BUGS.find((b) => b.id === id);
  assert(bug !== undefined, id);
  return bug;
}

Deno.test("the bugs are in the order of their numbers, and all but those out of scope are there", () => {
  const outOfScope = [21, 22, 30, 33];
  const numbers = Array.from({ length: 33 }, (_, i) => i + 1).filter((n) => !outOfScope.includes(n));
  assertEquals(BUGS.map(({ id }) => id), numbers.map((n) => `B${n}`));
});

for (const bug of BUGS) {
  Deno.test(`${bug.id}: two sentences say why, and where it is gone it is not`, () => {
    for (const sentence of bug.why) assertEquals(sentence.match(/\.(\s|$)/g)?.length, 1, sentence);
    const { levels, gone, demo } = bug;
    if (demo === null) return assertEquals(levels, []);
    assert(levels.includes(bug.shownAt));
    if (gone === null) return;
    assert(!levels.includes(gone));
    const last = LEVELS.filter((level) => levels.includes(level)).at(-1);
    assert(
      last !== undefined &&
        (LEVELS.indexOf(gone) < LEVELS.indexOf(last) || LEVELS[LEVELS.indexOf(last) + 1] === gone),
    );
  });

  const { demo } = bug;
  if (demo === null) continue;

  Deno.test(`${bug.id}: shows at its levels and at no other`, () => {
    const levels = runsAt(bug);
    for (const level of bug.levels) assert(levels.includes(level), `runs at ${level}`);
    for (const level of levels) {
      const { seen } = ran(bug, level, deviationsOf(bug, level));
      assertEquals(seen !== "", bug.levels.includes(level), `${level}: ${seen}`);
    }
  });

  Deno.test(`${bug.id}: the same twice, and its token holds machine, program and stalls`, async () => {
    const level = bug.shownAt;
    const hashes = [1, 2].map(() => ran(bug, level, deviationsOf(bug, level)).k.digest());
    assertEquals(hashes[0], hashes[1]);
    const content = decodeToken(tokenOf(bug, level));
    assertEquals([content.config, content.deviations], [machineOf(demo, level), deviationsOf(bug, level)]);
    assertEquals(content.runs, [{ name: demo.scenario.name, options: demo.options?.(level) ?? {} }]);
    const load = { ...EXAMPLES, ...BUG_PROGRAMS }[demo.scenario.name];
    assertEquals((await load()).default, demo.scenario, "what the token names is the program");
  });

  if (demo.stalls === undefined) continue;

  Deno.test(`${bug.id}: without the stalls nothing shows at any level [seeds=3 at ${bug.shownAt}]`, () => {
    for (const level of runsAt(bug)) {
      for (let seed = 1; seed <= (level === bug.shownAt ? 3 : 1); seed++) {
        assertEquals(ran(bug, level, [], seed).seen, "", `${level}, seed ${seed}`);
      }
    }
  });

  Deno.test(`${bug.id}: every stall of its schedule is needed`, () => {
    const level = bug.shownAt;
    const all = deviationsOf(bug, level);
    for (const left of all) {
      assertEquals(ran(bug, level, all.filter((d) => d !== left)).seen, "", JSON.stringify(left));
    }
  });
}

// What the reports say where there are numbers, and why they are right.
const SEEN: readonly (readonly [string, RegExp, string])[] = [
  [
    "B7",
    /leaves after [12] jiffies, and after 2[0-2] if/,
    "HZ 1000: at once, and 20 and what the wheel adds",
  ],
  ["B10", /counts 0, but 100 objects/, "the third round has 100"],
  ["B12", /called 7 times and frees nothing in 6/, "500 objects at priority 0 are 1000 to scan, 128 a time"],
  ["B14", /keeps 80 empty pages on 4 CPUs/, "rcu_min_cached_objs is 20"],
  ["B15", /for 3 calls the worker asked 15 times/, "5 pages a run"],
  ["B25", /^B25: \d{2,3} grace periods for 100 objects/, "one for each 25 ms at least"],
  ["B32", /^B32: 2 of 2 objects/, "each alone"],
];
for (const [id, pattern, because] of SEEN) {
  Deno.test(`${id}: the report has the numbers: ${because}`, () => {
    const bug = bugNamed(id);
    assertMatch(ran(bug, bug.shownAt, deviationsOf(bug, bug.shownAt)).seen, pattern);
  });
}

Deno.test("B9: KASAN reports the reader's access to settings that the table's grace period freed", () => {
  const bug = bugNamed("B9");
  const { k, verdict } = ran(bug, "7/7", deviationsOf(bug, "7/7"));
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
  const { k, verdict } = ran(bug, "7/7", deviationsOf(bug, "7/7"));
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

Deno.test("B26: at v6.1 nearly all that was freed waits at once", () => {
  const bug = bugNamed("B26");
  const waits = /^B26: at the worst (\d+) pages .* come to (\d+)$/.exec(ran(bug, "v6.1", []).seen);
  assert(waits !== null && Number(waits[1]) > 0.9 * Number(waits[2]), String(waits));
});
