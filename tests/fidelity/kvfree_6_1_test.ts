// SPDX-License-Identifier: GPL-2.0-only
/**
 * kvfree_rcu() at level v6.1.192 against the real Linux 6.1.192: 4 CPUs and 1 CPU, HZ 250, objects of 64 bytes, all calls of a
 * case from CPU 0 or the same number from every CPU at once.
 *
 * Rows are the recorded ones: case, CPU; cached pages before and after queueing; then count, length of the list, records by
 * block of the slab and of the vmalloc channel; then runs of the monitor and of kfree_rcu_work, nr_records of the bulk events
 * in order, single frees; then when the monitor came and the page cache was filled: soon, late (after five seconds) or not.
 * With 1 CPU the same was recorded for all cases but those of all CPUs, cold and fail, which were not.
 *
 * "cold" and "fail" begin after the shrinker has emptied the page caches, so that a fill waits for five seconds; with "fail"
 * no block gets a page. The recorded late monitor came within a jiffy of 1250 + 64 - (j0 + 1250) mod 64 jiffies, j0 being the
 * jiffy of the first call: the timer wheel's rounding.
 */
import { assert, assertEquals } from "@std/assert";
import type { Ptr, VirtAddr } from "../../kernel/machine/brand.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import type { EventRecord } from "../../kernel/machine/log.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { jiffies } from "../../kernel/time/jiffies.ts";
import { shrink_control } from "../../mm/vmscan.ts";
import { krcState } from "../../rcu/kvfree.ts";
import { GFP_KERNEL, kvfree_rcu, runToEnd, vmalloc } from "../../mod.ts";
import { arg, eventsOf, executionsOf, jiffyNs } from "../machines.ts";
import {
  failPages,
  lengths,
  newObject,
  object,
  onCpu,
  queue2,
  shrinkerFunctions,
  sleepJiffies,
  startOn,
} from "../rcu/kvfree_machine.ts";
import { bootTree } from "../rcu/tree_machine.ts";

/** 510x9 is 510 nine times. */
const recorded = `
kv2-n1 | 0 | 5 | 4 | 1 | 0 | 1 |  | 1 | 1 | 1 | 0 | late | -
kv2-n10 | 0 | 5 | 4 | 10 | 0 | 10 |  | 1 | 1 | 10 | 0 | late | -
kv2-n500 | 0 | 5 | 4 | 500 | 0 | 500 |  | 1 | 1 | 500 | 0 | late | -
kv2-n501 | 0 | 5 | 4 | 501 | 0 | 501 |  | 1 | 1 | 501 | 0 | late | -
kv2-n502 | 0 | 5 | 4 | 502 | 0 | 502 |  | 1 | 1 | 502 | 0 | late | -
kv2-n509 | 0 | 5 | 4 | 509 | 0 | 509 |  | 1 | 1 | 509 | 0 | late | -
kv2-n510 | 0 | 5 | 4 | 510 | 0 | 510 |  | 1 | 1 | 510 | 0 | soon | -
kv2-n511 | 0 | 5 | 3 | 511 | 0 | 1,510 |  | 1 | 1 | 1,510 | 0 | soon | -
kv2-n5000 | 0 | 5 | 0 | 5000 | 2450 | 510x5 |  | 1 | 1 | 510x5 | 2450 | soon | soon
kv1-n1 | 0 | 5 | 4 | 1 | 0 | 1 |  | 1 | 1 | 1 | 0 | late | -
kv1-n10 | 0 | 5 | 4 | 10 | 0 | 10 |  | 1 | 1 | 10 | 0 | late | -
kv1-n500 | 0 | 5 | 4 | 500 | 0 | 500 |  | 1 | 1 | 500 | 0 | late | -
kv1-n510 | 0 | 5 | 4 | 510 | 0 | 510 |  | 1 | 1 | 510 | 0 | soon | -
kv1-n511 | 0 | 5 | 3 | 511 | 0 | 1,510 |  | 1 | 1 | 1,510 | 0 | soon | -
kv1-n5000 | 0 | 5 | 0 | 5000 | 0 | 410,510x9 |  | 1 | 1 | 410,510x9 | 0 | soon | -
kv2-vmalloc-n10 | 0 | 5 | 4 | 10 | 0 |  | 10 | 1 | 1 |  | 10 | late | -
kv2-vmalloc-n511 | 0 | 5 | 3 | 511 | 0 |  | 1,510 | 1 | 1 |  | 511 | soon | -
kv2-vmalloc-n1200 | 0 | 5 | 2 | 1200 | 0 |  | 180,510,510 | 1 | 1 |  | 1200 | soon | -
kv2-mix-n10 | 0 | 5 | 3 | 10 | 0 | 5 | 5 | 1 | 1 | 5 | 5 | late | -
kv1-vmalloc-n10 | 0 | 5 | 4 | 10 | 0 |  | 10 | 1 | 1 |  | 10 | late | -
kv1-vmalloc-n511 | 0 | 5 | 3 | 511 | 0 |  | 1,510 | 1 | 1 |  | 511 | soon | -
kv1-vmalloc-n1200 | 0 | 5 | 2 | 1200 | 0 |  | 180,510,510 | 1 | 1 |  | 1200 | soon | -
kv1-mix-n10 | 0 | 5 | 3 | 10 | 0 | 5 | 5 | 1 | 1 | 5 | 5 | late | -
kv2-allcpu-n1 | 0 | 5 | 4 | 1 | 0 | 1 |  | 1 | 1 | 1 | 0 | late | -
kv2-allcpu-n1 | 1 | 5 | 4 | 1 | 0 | 1 |  | 1 | 1 | 1 | 0 | late | -
kv2-allcpu-n1 | 2 | 5 | 4 | 1 | 0 | 1 |  | 1 | 1 | 1 | 0 | late | -
kv2-allcpu-n1 | 3 | 5 | 4 | 1 | 0 | 1 |  | 1 | 1 | 1 | 0 | late | -
kv2-allcpu-n10 | 0 | 5 | 4 | 10 | 0 | 10 |  | 1 | 1 | 10 | 0 | late | -
kv2-allcpu-n10 | 1 | 5 | 4 | 10 | 0 | 10 |  | 1 | 1 | 10 | 0 | late | -
kv2-allcpu-n10 | 2 | 5 | 4 | 10 | 0 | 10 |  | 1 | 1 | 10 | 0 | late | -
kv2-allcpu-n10 | 3 | 5 | 4 | 10 | 0 | 10 |  | 1 | 1 | 10 | 0 | late | -
kv2-allcpu-n501 | 0 | 5 | 4 | 501 | 0 | 501 |  | 1 | 1 | 501 | 0 | late | -
kv2-allcpu-n501 | 1 | 5 | 4 | 501 | 0 | 501 |  | 1 | 1 | 501 | 0 | late | -
kv2-allcpu-n501 | 2 | 5 | 4 | 501 | 0 | 501 |  | 1 | 1 | 501 | 0 | late | -
kv2-allcpu-n501 | 3 | 5 | 4 | 501 | 0 | 501 |  | 1 | 1 | 501 | 0 | late | -
kv1-allcpu-n1 | 0 | 5 | 4 | 1 | 0 | 1 |  | 1 | 1 | 1 | 0 | late | -
kv1-allcpu-n1 | 1 | 5 | 4 | 1 | 0 | 1 |  | 1 | 1 | 1 | 0 | late | -
kv1-allcpu-n1 | 2 | 5 | 4 | 1 | 0 | 1 |  | 1 | 1 | 1 | 0 | late | -
kv1-allcpu-n1 | 3 | 5 | 4 | 1 | 0 | 1 |  | 1 | 1 | 1 | 0 | late | -
kv1-allcpu-n10 | 0 | 5 | 4 | 10 | 0 | 10 |  | 1 | 1 | 10 | 0 | late | -
kv1-allcpu-n10 | 1 | 5 | 4 | 10 | 0 | 10 |  | 1 | 1 | 10 | 0 | late | -
kv1-allcpu-n10 | 2 | 5 | 4 | 10 | 0 | 10 |  | 1 | 1 | 10 | 0 | late | -
kv1-allcpu-n10 | 3 | 5 | 4 | 10 | 0 | 10 |  | 1 | 1 | 10 | 0 | late | -
kv1-allcpu-n501 | 0 | 5 | 4 | 501 | 0 | 501 |  | 1 | 1 | 501 | 0 | late | -
kv1-allcpu-n501 | 1 | 5 | 4 | 501 | 0 | 501 |  | 1 | 1 | 501 | 0 | late | -
kv1-allcpu-n501 | 2 | 5 | 4 | 501 | 0 | 501 |  | 1 | 1 | 501 | 0 | late | -
kv1-allcpu-n501 | 3 | 5 | 4 | 501 | 0 | 501 |  | 1 | 1 | 501 | 0 | late | -
kv2-cold-n1 | 0 | 0 | 0 | 1 | 1 |  |  | 1 | 1 |  | 1 | late | late
kv2-cold-n510 | 0 | 0 | 0 | 510 | 510 |  |  | 1 | 1 |  | 510 | soon | late
kv2-cold-n511 | 0 | 0 | 0 | 511 | 511 |  |  | 1 | 1 |  | 511 | soon | late
kv2-cold-n2000 | 0 | 0 | 0 | 2000 | 2000 |  |  | 1 | 1 |  | 2000 | soon | late
kv2-cold-n5000 | 0 | 0 | 0 | 5000 | 5000 |  |  | 1 | 1 |  | 5000 | soon | late
kv1-cold-n1 | 0 | 0 | 0 | 1 | 0 | 1 |  | 1 | 1 | 1 | 0 | late | -
kv1-cold-n510 | 0 | 0 | 0 | 510 | 0 | 510 |  | 1 | 1 | 510 | 0 | soon | -
kv1-cold-n511 | 0 | 0 | 0 | 511 | 0 | 1,510 |  | 1 | 1 | 1,510 | 0 | soon | -
kv1-cold-n2000 | 0 | 0 | 0 | 2000 | 0 | 470,510x3 |  | 1 | 1 | 470,510x3 | 0 | soon | -
kv1-cold-n5000 | 0 | 0 | 0 | 5000 | 0 | 410,510x9 |  | 1 | 1 | 410,510x9 | 0 | soon | -
kv1-fail-n1 | 0 | 0 | 0 | 0 | 0 |  |  | 0 | 0 |  | 0 | - | late
kv1-fail-n10 | 0 | 0 | 0 | 0 | 0 |  |  | 0 | 0 |  | 0 | - | late
kv1-fail-n50 | 0 | 0 | 0 | 0 | 0 |  |  | 0 | 0 |  | 0 | - | late
kv2-fail-n10 | 0 | 0 | 0 | 10 | 10 |  |  | 1 | 1 |  | 10 | late | late
kv2-fail-n600 | 0 | 0 | 0 | 600 | 600 |  |  | 1 | 1 |  | 600 | soon | late
`;

interface Row {
  readonly cpu: number;
  readonly queued: readonly [
    before: number,
    after: number,
    count: number,
    list: number,
    slab: string,
    vmalloc: string,
  ];
  readonly freed: readonly [n_monitor: number, n_work: number, bulk: string, callbacks: number];
  readonly when: readonly [monitor: string, fill: string];
}

const cases = new Map<string, Row[]>();
for (const line of recorded.trim().split("\n")) {
  const [name, cpu, before, after, count, list, slab, area, n_monitor, n_work, bulk, callbacks, ...when] =
    line
      .split("|")
      .map((cell) =>
        cell.trim().replace(/(\d+)x(\d+)/, (_all, n, times) => Array(Number(times)).fill(n).join())
      );
  const row: Row = {
    cpu: Number(cpu),
    queued: [Number(before), Number(after), Number(count), Number(list), slab, area],
    freed: [Number(n_monitor), Number(n_work), bulk, Number(callbacks)],
    when: [when[0], when[1]],
  };
  cases.set(name, [...(cases.get(name) ?? []), row]);
}

/** What became of a case on one CPU. */
class Outcome {
  since = 0;
  first = 0;
  j0 = 0;
  queued: Row["queued"] = [0, 0, 0, 0, "", ""];
  constructor(readonly cpu: number) {}
}

/** What is allocated: the i-th object of a case. */
function* allocate(k: Kernel, name: string, i: number): MaySleep<VirtAddr> {
  const area = name.includes("vmalloc") || (name.includes("mix") && i % 2 === 1);
  return area ? yield* vmalloc(k, object.size) : yield* newObject(k);
}

function* queueAll(k: Kernel, name: string, out: Outcome): MaySleep<void> {
  const n = Number(/-n(\d+)$/.exec(name)?.[1]);
  const objects: VirtAddr[] = [];
  for (let i = 0; i < n; i++) objects.push(yield* allocate(k, name, i));
  const before = krcState(k)[out.cpu].spares.length;
  out.since = k.seq;
  out.first = k.now();
  out.j0 = jiffies(k);
  for (const p of objects) {
    if (name.startsWith("kv1")) yield* kvfree_rcu(k, p);
    else yield* kvfree_rcu(k, p as Ptr<typeof object>, object, "rcu");
  }
  const { spares, count, list, slab, vmalloc: areas } = krcState(k)[out.cpu];
  out.queued = [before, spares.length, count, list.length, lengths(slab).join(), lengths(areas).join()];
}

/** Fills the page cache of each CPU, and for a cold case has the shrinker empty them all. */
function* prepare(k: Kernel, name: string): MaySleep<void> {
  for (let cpu = 0; cpu < k.config.cpus; cpu++) {
    yield* onCpu(k, cpu, function* (k) {
      yield* queue2(k, yield* newObject(k));
    });
  }
  yield* sleepJiffies(k, 1500);
  if (!name.includes("cold") && !name.includes("fail")) return;
  const [count, scan] = shrinkerFunctions(k);
  const sc = new shrink_control(GFP_KERNEL);
  sc.nr_to_scan = yield* count(sc);
  yield* scan(sc);
  if (name.includes("fail")) failPages(k);
}

/** Runs a case; the threads of all its CPUs at once. */
function runCase(cpus: number, name: string, rows: readonly Row[]): { k: Kernel; outcomes: Outcome[] } {
  const k = bootTree({ level: "v6.1.192", cpus });
  const outcomes = rows.map((row) => new Outcome(row.cpu));
  const verdict = runToEnd(k, name, function* (k) {
    yield* prepare(k, name);
    for (const out of outcomes.slice(1)) yield* startOn(k, out.cpu, (k) => queueAll(k, name, out));
    yield* onCpu(k, outcomes[0].cpu, (k) => queueAll(k, name, outcomes[0]));
  });
  assertEquals([verdict.ending, verdict.reports], ["completed", 0], name);
  return { k, outcomes };
}

/** When something happened first, in jiffies after the first call, and how that is called in the rows. */
function firstOf(k: Kernel, { first }: Outcome, records: readonly EventRecord[]): [number, string] {
  if (records.length === 0) return [NaN, "-"];
  const after = (records[0].ns - first) / jiffyNs(k);
  return [after, after < 100 ? "soon" : "late"];
}

function check(k: Kernel, out: Outcome, row: Row): void {
  const on = (records: readonly EventRecord[]): EventRecord[] => records.filter((r) => r.cpu === row.cpu);
  const monitors = on(executionsOf(k, "kfree_rcu_monitor", out.since));
  const works = on(executionsOf(k, "kfree_rcu_work", out.since)).length;
  const bulk = on(eventsOf(k, "rcu_invoke_kfree_bulk_callback", out.since)).map((r) => arg(r, "nr_records"));
  const callbacks = on(eventsOf(k, "rcu_invoke_kvfree_callback", out.since)).length;
  assertEquals(out.queued, row.queued, `cpu ${row.cpu} after queueing`);
  assertEquals([monitors.length, works, bulk.join(), callbacks], row.freed, `cpu ${row.cpu} at the end`);

  const [ran, monitor] = firstOf(k, out, monitors);
  const [, fill] = firstOf(k, out, on(executionsOf(k, "fill_page_cache_func", out.since)));
  assertEquals([monitor, fill], row.when, `cpu ${row.cpu}: monitor, fill`);
  const wheel = 1250 + 64 - ((((out.j0 + 1250) % 64) + 64) % 64);
  if (monitor === "late") assert(Math.abs(ran - wheel) <= 1, `monitor after ${ran} jiffies, not ${wheel}`);
}

for (const [name, rows] of cases) {
  const everywhere = name.includes("allcpu") || name.includes("cold") || name.includes("fail");
  for (const cpus of everywhere ? [4] : [4, 1]) {
    Deno.test(`6.1.192 ${name}: queued and freed as recorded [cpus=${cpus}]`, () => {
      const { k, outcomes } = runCase(cpus, name, rows);
      for (const [i, row] of rows.entries()) check(k, outcomes[i], row);
    });
  }
}
