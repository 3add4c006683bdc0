// SPDX-License-Identifier: GPL-2.0-only
/**
 * kvfree_rcu() on tree RCU against a real kernel: Linux 5.7.14 with the seven patches, 4 CPUs, HZ 250, objects of 64
 * bytes, all calls of a case from CPU 0 or the same number from every CPU at once.
 *
 * Rows are the recorded ones: case, CPU; after queueing: count, length of the list, records by block of the slab and of
 * the vmalloc channel; then runs of the monitor and of kfree_rcu_work, nr_records of the bulk events in order, single
 * frees. All are exact, but in the two one-argument cases that the recording mixed with failing wrappers: there single
 * frees and inline waits together are all objects. The recorded monitor ran 5 to 6 jiffies after the first call, after a
 * failed page within one.
 */
import { assert, assertEquals } from "@std/assert";
import type { Ptr, VirtAddr } from "../../kernel/machine/brand.ts";
import type { EventRecord } from "../../kernel/machine/log.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { addFailRule } from "../../kernel/fault_inject.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { krcState } from "../../rcu/tree_kvfree.ts";
import { kvfree_rcu, runToEnd, vmalloc } from "../../mod.ts";
import { arg, eventsOf, executionsOf, jiffyNs } from "../machines.ts";
import { failPages, lengths, newObject, object, onCpu, startOn } from "../rcu/kvfree_machine.ts";
import { bootTree } from "../rcu/tree_machine.ts";

/** case | cpu | count | list | slab | vmalloc | n_monitor | n_work | bulk | callbacks; 510x9 is 510 nine times. */
const recorded = `
kv2-n1 | 0 | 1 | 0 | 1 |  | 1 | 1 | 1 | 0
kv2-n10 | 0 | 10 | 0 | 10 |  | 1 | 1 | 10 | 0
kv2-n500 | 0 | 500 | 0 | 500 |  | 1 | 1 | 500 | 0
kv2-n501 | 0 | 501 | 0 | 501 |  | 1 | 1 | 501 | 0
kv2-n502 | 0 | 502 | 0 | 502 |  | 1 | 1 | 502 | 0
kv2-n509 | 0 | 509 | 0 | 509 |  | 1 | 1 | 509 | 0
kv2-n510 | 0 | 510 | 0 | 510 |  | 1 | 1 | 510 | 0
kv2-n511 | 0 | 511 | 0 | 1,510 |  | 1 | 1 | 1,510 | 0
kv2-n5000 | 0 | 5000 | 0 | 410,510x9 |  | 1 | 1 | 410,510x9 | 0
kv1-n1 | 0 | 1 | 0 | 1 |  | 1 | 1 | 1 | 0
kv1-n10 | 0 | 10 | 0 | 10 |  | 1 | 1 | 10 | 0
kv1-n500 | 0 | 500 | 0 | 500 |  | 1 | 1 | 500 | 0
kv1-n510 | 0 | 510 | 0 | 510 |  | 1 | 1 | 510 | 0
kv1-n511 | 0 | 511 | 0 | 1,510 |  | 1 | 1 | 1,510 | 0
kv1-n5000 | 0 | 5000 | 0 | 410,510x9 |  | 1 | 1 | 410,510x9 | 0
kv2-vmalloc-n10 | 0 | 10 | 0 |  | 10 | 1 | 1 |  | 10
kv2-vmalloc-n511 | 0 | 511 | 0 |  | 1,510 | 1 | 1 |  | 511
kv2-vmalloc-n1200 | 0 | 1200 | 0 |  | 180,510,510 | 1 | 1 |  | 1200
kv2-mix-n10 | 0 | 10 | 0 | 5 | 5 | 1 | 1 | 5 | 5
kv1-vmalloc-n10 | 0 | 10 | 0 |  | 10 | 1 | 1 |  | 10
kv1-vmalloc-n511 | 0 | 511 | 0 |  | 1,510 | 1 | 1 |  | 511
kv1-vmalloc-n1200 | 0 | 1200 | 0 |  | 180,510,510 | 1 | 1 |  | 1200
kv1-mix-n10 | 0 | 10 | 0 | 5 | 5 | 1 | 1 | 5 | 5
kv2-allcpu-n1 | 0 | 1 | 0 | 1 |  | 1 | 1 | 1 | 0
kv2-allcpu-n1 | 1 | 1 | 0 | 1 |  | 1 | 1 | 1 | 0
kv2-allcpu-n1 | 2 | 1 | 0 | 1 |  | 1 | 1 | 1 | 0
kv2-allcpu-n1 | 3 | 1 | 0 | 1 |  | 1 | 1 | 1 | 0
kv2-allcpu-n10 | 0 | 10 | 0 | 10 |  | 1 | 1 | 10 | 0
kv2-allcpu-n10 | 1 | 10 | 0 | 10 |  | 1 | 1 | 10 | 0
kv2-allcpu-n10 | 2 | 10 | 0 | 10 |  | 1 | 1 | 10 | 0
kv2-allcpu-n10 | 3 | 10 | 0 | 10 |  | 1 | 1 | 10 | 0
kv2-allcpu-n501 | 0 | 501 | 0 | 501 |  | 1 | 1 | 501 | 0
kv2-allcpu-n501 | 1 | 501 | 0 | 501 |  | 1 | 1 | 501 | 0
kv2-allcpu-n501 | 2 | 501 | 0 | 501 |  | 1 | 1 | 501 | 0
kv2-allcpu-n501 | 3 | 501 | 0 | 501 |  | 1 | 1 | 501 | 0
kv1-allcpu-n1 | 0 | 1 | 0 | 1 |  | 1 | 1 | 1 | 0
kv1-allcpu-n1 | 1 | 1 | 0 | 1 |  | 1 | 1 | 1 | 0
kv1-allcpu-n1 | 2 | 1 | 0 | 1 |  | 1 | 1 | 1 | 0
kv1-allcpu-n1 | 3 | 1 | 0 | 1 |  | 1 | 1 | 1 | 0
kv1-allcpu-n10 | 0 | 10 | 0 | 10 |  | 1 | 1 | 10 | 0
kv1-allcpu-n10 | 1 | 10 | 0 | 10 |  | 1 | 1 | 10 | 0
kv1-allcpu-n10 | 2 | 10 | 0 | 10 |  | 1 | 1 | 10 | 0
kv1-allcpu-n10 | 3 | 10 | 0 | 10 |  | 1 | 1 | 10 | 0
kv1-allcpu-n501 | 0 | 501 | 0 | 501 |  | 1 | 1 | 501 | 0
kv1-allcpu-n501 | 1 | 501 | 0 | 501 |  | 1 | 1 | 501 | 0
kv1-allcpu-n501 | 2 | 501 | 0 | 501 |  | 1 | 1 | 501 | 0
kv1-allcpu-n501 | 3 | 501 | 0 | 501 |  | 1 | 1 | 501 | 0
kv1-pfail-n1 | 0 | 1 | 1 |  |  | 1 | 1 |  | 1
kv1-pfail-n10 | 0 | 0 | 0 |  |  | 5 | 5 |  | 5
kv1-pfail-n600 | 0 | 0 | 0 |  |  | 50 | 50 |  | 550
kv2-pfail-n1 | 0 | 1 | 1 |  |  | 1 | 1 |  | 1
kv2-pfail-n10 | 0 | 10 | 10 |  |  | 1 | 1 |  | 10
kv2-pfail-n600 | 0 | 600 | 600 |  |  | 1 | 1 |  | 600
`;

interface Row {
  readonly cpu: number;
  readonly queued: readonly [count: number, list: number, slab: string, vmalloc: string];
  readonly freed: readonly [n_monitor: number, n_work: number, bulk: string, callbacks: number];
}

const cases = new Map<string, Row[]>();
for (const line of recorded.trim().split("\n")) {
  const [name, cpu, count, list, slab, area, n_monitor, n_work, bulk, callbacks] = line.split("|")
    .map((cell) =>
      cell.trim().replace(/(\d+)x(\d+)/, (_all, n, times) => Array(Number(times)).fill(n).join())
    );
  const row: Row = {
    cpu: Number(cpu),
    queued: [Number(count), Number(list), slab, area],
    freed: [Number(n_monitor), Number(n_work), bulk, Number(callbacks)],
  };
  cases.set(name, [...(cases.get(name) ?? []), row]);
}

/** What is allocated: the i-th object of a case. */
function* allocate(k: Kernel, name: string, i: number): MaySleep<VirtAddr> {
  const area = name.includes("vmalloc") || (name.includes("mix") && i % 2 === 1);
  return area ? yield* vmalloc(k, object.size) : yield* newObject(k);
}

/** What became of a case on one CPU. */
class Outcome {
  first = 0;
  queued: Row["queued"] = [0, 0, "", ""];
  constructor(readonly cpu: number) {}
}

function* queueAll(k: Kernel, name: string, out: Outcome): MaySleep<void> {
  const n = Number(/-n(\d+)$/.exec(name)?.[1]);
  const objects: VirtAddr[] = [];
  for (let i = 0; i < n; i++) objects.push(yield* allocate(k, name, i));
  if (name.includes("pfail")) {
    failPages(k);
    // Two attempts for a wrapper: the first half of the objects get none.
    if (name.startsWith("kv1") && n > 1) {
      addFailRule(k, { what: "slab", site: "attach_rcu_head_to_object", times: n });
    }
  }
  out.first = k.now();
  for (const p of objects) {
    if (name.startsWith("kv1")) yield* kvfree_rcu(k, p);
    else yield* kvfree_rcu(k, p as Ptr<typeof object>, object, "rcu");
  }
  const state = krcState(k)[out.cpu];
  out.queued = [state.count, state.list.length, lengths(state.slab).join(), lengths(state.vmalloc).join()];
}

/** Runs a case; the threads of all its CPUs at once. */
function runCase(name: string, rows: readonly Row[]): { k: Kernel; outcomes: Outcome[]; inline: number } {
  const k = bootTree();
  const outcomes = rows.map((row) => new Outcome(row.cpu));
  let inline = 0;
  const { synchronize_rcu } = k.rcu;
  k.rcu = {
    ...k.rcu,
    synchronize_rcu: (k) => {
      inline++;
      return synchronize_rcu(k);
    },
  };
  const verdict = runToEnd(k, name, function* (k) {
    for (const out of outcomes.slice(1)) yield* startOn(k, out.cpu, (k) => queueAll(k, name, out));
    yield* onCpu(k, outcomes[0].cpu, (k) => queueAll(k, name, outcomes[0]));
  });
  assertEquals([verdict.ending, verdict.reports], ["completed", 0], name);
  return { k, outcomes, inline };
}

function on(cpu: number, records: readonly EventRecord[]): EventRecord[] {
  return records.filter((r) => r.cpu === cpu);
}

/** Runs of a work function on a CPU from an event on. */
function runsOf(k: Kernel, name: string, cpu: number): EventRecord[] {
  return on(cpu, executionsOf(k, name));
}

for (const [name, rows] of cases) {
  const mixed = name === "kv1-pfail-n10" || name === "kv1-pfail-n600";
  Deno.test(`series ${name}: queued and freed as recorded [cpus=4]`, () => {
    const { k, outcomes, inline } = runCase(name, rows);
    if (mixed) {
      const n = Number(/-n(\d+)$/.exec(name)?.[1]);
      const callbacks = eventsOf(k, "rcu_invoke_kvfree_callback").length;
      assertEquals([callbacks + inline, inline], [n, n / 2]);
      return;
    }
    for (const [i, { cpu, queued, freed }] of rows.entries()) {
      const monitors = runsOf(k, "kfree_rcu_monitor", cpu);
      const bulk = on(cpu, eventsOf(k, "rcu_invoke_kfree_bulk_callback")).map((r) => arg(r, "nr_records"));
      const callbacks = on(cpu, eventsOf(k, "rcu_invoke_kvfree_callback")).length;
      const works = runsOf(k, "kfree_rcu_work", cpu).length;
      assertEquals(outcomes[i].queued, queued, `cpu ${cpu} after queueing`);
      assertEquals([monitors.length, works, bulk.join(), callbacks], freed, `cpu ${cpu} at the end`);
      const jiffies = (monitors[0].ns - outcomes[i].first) / jiffyNs(k);
      const [least, most] = name.includes("pfail") ? [0, 1] : [5, 6.1];
      assert(jiffies >= least && jiffies <= most, `monitor of cpu ${cpu} after ${jiffies} jiffies`);
    }
  });
}

Deno.test("series one-argument, page and slab failing: one synchronize_rcu an object, nothing queued [cpus=4]", () => {
  const k = bootTree();
  let waits = 0;
  const { synchronize_rcu } = k.rcu;
  k.rcu = {
    ...k.rcu,
    synchronize_rcu: (k) => {
      waits++;
      return synchronize_rcu(k);
    },
  };
  runToEnd(k, "inline", function* (k) {
    const objects: VirtAddr[] = [];
    for (let i = 0; i < 10; i++) objects.push(yield* newObject(k));
    failPages(k);
    addFailRule(k, { what: "slab", site: "attach_rcu_head_to_object", times: -1 });
    for (const p of objects) yield* kvfree_rcu(k, p);
  });
  assertEquals([waits, executionsOf(k, "kfree_rcu_monitor").length], [10, 0]);
});
