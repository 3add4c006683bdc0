// SPDX-License-Identifier: GPL-2.0-only
// The ext4 story on tree and tiny RCU: what leaks, what frees what, who is caught, and that the readers do overlap.

import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import {
  type Config,
  encodeToken,
  type Kernel,
  kvfree,
  listFailRules,
  memorySince,
  type OptionValues,
  Run,
  type RunVerdict,
  type VirtAddr,
} from "../../mod.ts";
import ext4Scenario from "../../examples/ext4_kvfree_array_rcu.ts";
import { bootKernel, rebootKernel } from "../../init/main.ts";
import { checkConfig } from "../../kernel/config.ts";
import type { Atomic } from "../../kernel/machine/effects.ts";
import type { EventRecord } from "../../kernel/machine/log.ts";
import { POLICY_FINE, POLICY_TIME } from "../../kernel/machine/chooser.ts";
import { checkOptions } from "../../explore/scenario.ts";
import { scheduleOf } from "../../explore/token.ts";
import { rcu_get_gp_seq } from "../../rcu/tree.ts";
import { arg, eventsOf } from "../machines.ts";
import { checkQuiet, checkRun } from "../rcu/tree_machine.ts";

const VARIANTS = ["printed", "fixed", "kvfree_rcu"];
const FAILS = [
  "",
  "kmalloc",
  "page",
  "page,wrapper",
  "kvmalloc",
  "kmalloc,kvmalloc",
  "page,wrapper,kvmalloc",
];
const MACHINES: readonly Partial<Config>[] = [
  { rcu: "tree", cpus: 4 },
  { rcu: "tree", cpus: 2 },
  { rcu: "tree", cpus: 1 },
  { rcu: "tiny" },
];

interface Told {
  readonly k: Kernel;
  readonly since: number;
  readonly options: OptionValues;
  readonly run: Run;
  readonly verdict: RunVerdict;
}

/** Runs the story on the machine `k`, which boots anew with `seed`; without `k` on a new one. */
function tell(given: OptionValues, machine: Partial<Config>, before?: Kernel): Told {
  const config = checkConfig({ ...machine, seed: machine.seed ?? 1 });
  const k = before ?? bootKernel(config, scheduleOf(config));
  if (before !== undefined) rebootKernel(k, scheduleOf(config));
  const [since, gp_seq] = [k.seq, k.rcu.flavour === "tree" ? rcu_get_gp_seq(k) : 0];
  const options = checkOptions(ext4Scenario, given);
  const run = new Run(k, ext4Scenario, options);
  run.advance();
  if (k.rcu.flavour === "tree") {
    checkRun(k, since, gp_seq);
    checkQuiet(k);
  }
  return { k, since, options, run, verdict: run.verdict() };
}

/** A run that has to end well. */
function toldWell(given: OptionValues, machine: Partial<Config>, before?: Kernel): Told {
  const told = tell(given, machine, before);
  const { ending, reports } = told.verdict;
  const text = told.k.reports.map((r) => r.lines.join("\n")).join("\n");
  assertEquals([ending, reports], ["completed", 0], `seed ${machine.seed} ${JSON.stringify(given)}\n${text}`);
  assertEquals(told.k.log.first <= told.since + 1, true, "the log has lost the beginning");
  return told;
}

/** Bytes of the arrays that kvfree_rcu(ptr) got, and of those that were freed by each channel. */
function channels(k: Kernel, since: number): { blocks: number; vmallocs: number; listed: number } {
  const total = (name: string, of: (r: EventRecord) => number): number =>
    eventsOf(k, name, since).reduce((sum, r) => sum + of(r), 0);
  const isVmalloc = (r: EventRecord): boolean => arg(r, "rhp") >= 0xc900_0000_0000;
  return {
    blocks: total("rcu_invoke_kfree_bulk_callback", (r) => arg(r, "nr_records")),
    vmallocs: total("rcu_invoke_kvfree_callback", (r) => isVmalloc(r) ? 1 : 0),
    listed: total("rcu_invoke_kvfree_callback", (r) => isVmalloc(r) ? 0 : 1),
  };
}

for (const machine of MACHINES) {
  Deno.test(`ext4: only the printed helper without a stub leaks, and exactly the old arrays [${JSON.stringify(machine)} variants=3 fails=${FAILS.length} seeds=10]`, () => {
    let k: Kernel | undefined;
    for (const variant of VARIANTS) {
      for (const fail of FAILS) {
        // The usual run on every seed, the others on two.
        const seeds = fail === "" || fail === "kmalloc" || fail === "kvmalloc" ? 10 : 2;
        for (let seed = 1; seed <= seeds; seed++) {
          const told = toldWell({ variant, fail }, { ...machine, seed }, k);
          k = told.k;
          const { leaked, live, pending } = memorySince(k, told.run);
          // 512, 513 and 514 pointers.
          const lost = variant === "printed" && fail.startsWith("kmalloc") ? [4096, 4104, 4112] : [];
          assertEquals(
            leaked.map((o) => o.size).toSorted((a, b) => a - b),
            lost,
            `${variant} ${fail} seed ${seed}`,
          );
          // What is left on purpose: the blocks of the mount in one piece, one for each grow, and the newest array.
          assertEquals([live.length, pending], [3 + 2, []]);
          assertEquals(listFailRules(k), []);
          const marks = eventsOf(k, "tracing_mark_write", told.since).map((r) => k!.log.text(r.args[0]));
          assertEquals(marks, [513, 514, 515].map((n) => `add_new_gdb: ${n} blocks`));
        }
      }
    }
  });
}

Deno.test("ext4: each way to free an array goes through its own channel [machines=4]", () => {
  const expected:
    readonly (readonly [string, string, { blocks: number; vmallocs: number; listed: number }])[] = [
      ["kvfree_rcu", "", { blocks: 3, vmallocs: 0, listed: 0 }],
      // The first array fits a page: kmalloc() is not made to fail for it.
      ["kvfree_rcu", "kvmalloc", { blocks: 1, vmallocs: 2, listed: 0 }],
      ["kvfree_rcu", "page", { blocks: 0, vmallocs: 0, listed: 3 }],
      ["kvfree_rcu", "page,kvmalloc", { blocks: 0, vmallocs: 0, listed: 3 }],
      ["kvfree_rcu", "page,wrapper", { blocks: 0, vmallocs: 0, listed: 0 }],
      ["fixed", "kvmalloc", { blocks: 0, vmallocs: 0, listed: 0 }],
    ];
  for (const machine of MACHINES) {
    if (machine.rcu === "tiny") continue; // it has no such trace events
    for (const [variant, fail, wanted] of expected) {
      const { k, since } = toldWell({ variant, fail }, { ...machine, seed: 7 });
      assertEquals(channels(k, since), wanted, `${variant} ${fail} ${machine.cpus}`);
    }
  }
});

Deno.test("ext4: without --fail kvmalloc no array is from vmalloc, with it all above a page are [groups=1,511,512,600,1025,2000]", () => {
  for (const [groups, above] of [[1, 0], [511, 2], [512, 3], [600, 3], [1025, 3], [2000, 3]]) {
    for (const machine of [{ rcu: "tree" }, { rcu: "tiny" }] as const) {
      for (const fail of ["", "kvmalloc"]) {
        const { k, since } = toldWell({ groups: String(groups), fail }, { ...machine, seed: 3 });
        const made = eventsOf(k, "vmalloc", since).length;
        assertEquals(made, fail === "" ? 0 : above, `groups ${groups} fail ${fail}`);
      }
    }
  }
});

/** For each kvfree_rcu() the tasks that were in a read-side section then, on another CPU. */
function overlaps(k: Kernel, since: number): number[] {
  const open = new Map<number, number>();
  const found: number[] = [];
  const [lock, unlock] = ["rcu_read_lock", "rcu_read_unlock"];
  const names = new Map<number, string>();
  for (const name of [lock, unlock, "kvfree_rcu"]) {
    for (const r of eventsOf(k, name, since)) names.set(r.seq, name);
  }
  for (const r of k.log.records(since + 1)) {
    const name = names.get(r.seq);
    if (name === lock && r.args[0] === 1) open.set(r.task, r.cpu);
    if (name === unlock && r.args[0] === 0) open.delete(r.task);
    if (name === "kvfree_rcu") found.push([...open.values()].filter((cpu) => cpu !== r.cpu).length);
  }
  return found;
}

Deno.test("ext4: on tree readers on other CPUs are inside their sections when the array is replaced [seeds=10]", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { k, since } = toldWell({}, { seed });
    const inside = overlaps(k, since);
    assertEquals(inside.length, 3);
    for (const n of inside) assert(n >= 1, `seed ${seed}: ${inside}`);
    const readers = new Set(eventsOf(k, "rcu_read_lock", since).map((r) => `${r.task} on ${r.cpu}`));
    assertEquals(readers.size, 3, "each reader stays on its CPU");
  }
});

Deno.test("ext4: a long look holds up the grace period that frees the array [seeds=5]", () => {
  for (let seed = 1; seed <= 5; seed++) {
    const { k, since } = toldWell({ grows: "1", hold: "60" }, { seed });
    const [kvfreed] = eventsOf(k, "kvfree_rcu", since);
    const [batch] = eventsOf(k, "rcu_invoke_kfree_bulk_callback", since);
    // The slowest reader came just before kvfree_rcu() and stays for 60 ms; the batch timer takes 20.
    assert(batch.ns - kvfreed.ns >= 59.8e6, `seed ${seed}: ${batch.ns - kvfreed.ns} ns`);
  }
});

Deno.test("ext4: the readers notice an RCU that does not wait [seeds=5]", () => {
  for (let seed = 1; seed <= 5; seed++) {
    const config = checkConfig({ seed });
    const k = bootKernel(config, scheduleOf(config));
    k.kvfree = {
      ...k.kvfree,
      kvfree_call_rcu: (k: Kernel, _head: VirtAddr | null, ptr: number): Atomic<void> =>
        kvfree(k, ptr as VirtAddr),
    };
    const run = new Run(k, ext4Scenario, checkOptions(ext4Scenario, {}));
    run.advance();
    assertNotEquals(run.verdict().reports, 0, `seed ${seed}`);
    assertMatch(k.reports[0].lines.join("\n"), /use-after-free in sbi_array_rcu_deref/);
  }
});

for (const kasan of [false, true]) {
  for (const policy of [POLICY_TIME, POLICY_FINE]) {
    Deno.test(`ext4: a reader that keeps the array past its section is caught within 50 seeds [kasan=${kasan} policy=${policy.name}]`, () => {
      const ways = [{}, { fail: "kvmalloc" }, { variant: "fixed" }, { variant: "fixed", fail: "kmalloc" }];
      for (const given of policy === POLICY_TIME ? ways : [{}]) {
        let k: Kernel | undefined;
        let caught = 0;
        for (let seed = 1; seed <= 50 && caught === 0; seed++) {
          const told = tell({ reader: "escapes", ...given }, { seed, kasan, policy }, k);
          k = told.k;
          assertEquals(told.verdict.ending, "completed");
          if (told.verdict.reports === 0) continue;
          caught = seed;
          assertMatch(k.reports[0].lines.join("\n"), /use-after-free in walker/);
          const runs = [{ name: ext4Scenario.name, options: told.options }];
          console.log(
            `seed ${seed}: TOKEN ${encodeToken({ config: { ...k.config, seed }, deviations: null, runs })}`,
          );
        }
        assertNotEquals(caught, 0, JSON.stringify(given));
      }
    });
  }
}

Deno.test("ext4: thousands of grows end well [grows=1000 machines=2]", () => {
  for (const rcu of ["tree", "tiny"] as const) {
    const { k, run, verdict } = tellLong({ grows: "1000", hold: "0" }, rcu);
    assertEquals([verdict.ending, verdict.reports], ["completed", 0]);
    const { live, pending, leaked } = memorySince(k, run);
    assertEquals([live.length, pending, leaked], [1002, [], []]);
  }
});

function tellLong(given: OptionValues, rcu: "tree" | "tiny"): { k: Kernel; run: Run; verdict: RunVerdict } {
  const config = checkConfig({ rcu });
  const k = bootKernel(config, scheduleOf(config));
  const run = new Run(k, ext4Scenario, checkOptions(ext4Scenario, given));
  run.advance();
  return { k, run, verdict: run.verdict() };
}
