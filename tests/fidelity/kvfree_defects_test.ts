// SPDX-License-Identifier: GPL-2.0-only
/**
 * The two known defects of the series on tree RCU, as recorded on a real kernel: Linux 5.7.14 with the seven patches,
 * 4 CPUs, HZ 250. A reader on CPU 1 holds up grace periods; CPU 0 queues 10 slab objects, 10 more when the first are in
 * a batch, then 5 slab and 5 vmalloc objects when the second are.
 *
 * Recorded after the last phase: blocks [5] and [5], batches with a slab chain each, count 10, monitor armed. What
 * follows differs by whether a second reader sees the late objects.
 */
import { assert, assertEquals } from "@std/assert";
import type { Ptr, VirtAddr } from "../../kernel/machine/brand.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { krcState } from "../../rcu/kvfree.ts";
import {
  kvfree_rcu,
  msleep,
  rcu_read_lock,
  rcu_read_unlock,
  runToEnd,
  trace_mark,
  udelay,
  vmalloc,
} from "../../mod.ts";
import { arg, eventsOf, executionsOf } from "../machines.ts";
import { isLive, lengths, newObjects, object, onCpu, startOn } from "../rcu/kvfree_machine.ts";
import { bootTree } from "../rcu/tree_machine.ts";

/** A reader that holds for `ms` and marks both ends. */
function* hold(k: Kernel, name: string, ms: number): MaySleep<void> {
  yield* rcu_read_lock(k);
  trace_mark(k, `${name} begins`);
  for (let i = 0; i < ms; i++) yield* udelay(k, 1000);
  trace_mark(k, `${name} ends`);
  yield* rcu_read_unlock(k);
}

function* queueAll(k: Kernel, objects: readonly VirtAddr[]): MaySleep<void> {
  for (const p of objects) yield* kvfree_rcu(k, p as Ptr<typeof object>, object, "rcu");
}

/** The three phases, from CPU 0. Returns the late objects. */
function* phases(
  k: Kernel,
  beforeLast: () => MaySleep<void>,
): MaySleep<{ slab: VirtAddr[]; areas: VirtAddr[] }> {
  const early = [yield* newObjects(k, 10), yield* newObjects(k, 10)];
  const slab = yield* newObjects(k, 5);
  const areas: VirtAddr[] = [];
  for (let i = 0; i < 5; i++) areas.push(yield* vmalloc(k, 8192));
  for (const objects of early) {
    yield* queueAll(k, objects);
    yield* msleep(k, 90);
  }
  assertEquals(krcState(k)[0].batches.map((b) => [lengths(b.slab), b.pending]), [[[10], true], [[10], true]]);
  yield* beforeLast();
  yield* queueAll(k, slab);
  yield* queueAll(k, areas);
  const state = krcState(k)[0];
  assertEquals(
    [lengths(state.slab), lengths(state.vmalloc), state.list, state.count, state.monitorPending],
    [[5], [5], [], 10, true],
  );
  return { slab, areas };
}

function* nothing(): MaySleep<void> {}

/** Sequence numbers of marks by text. */
function markAt(k: Kernel, text: string): number {
  const found = eventsOf(k, "tracing_mark_write").find((r) => k.log.text(arg(r, "text")) === text);
  assert(found !== undefined, text);
  return found.seq;
}

function scripted(k: Kernel, code: (k: Kernel) => MaySleep<void>): string {
  const { ending, reports } = runToEnd(k, "phases", (k) => onCpu(k, 0, code));
  if (k.lastException !== null) throw k.lastException;
  assertEquals(reports, 0, k.reports.map((r) => r.lines.join("\n")).join("\n"));
  return ending;
}

Deno.test("B8 the slab objects of the last phase stay behind, count 0 and no timer, until an unrelated call [cpus=4]", () => {
  const k = bootTree();
  let late: VirtAddr[] = [];
  const ending = scripted(k, function* (k) {
    yield* startOn(k, 1, (k) => hold(k, "reader", 2000));
    yield* msleep(k, 4);
    const { slab, areas } = yield* phases(k, nothing);
    late = slab;
    yield* msleep(k, 7000);
    const state = krcState(k)[0];
    assertEquals(
      [lengths(state.slab), state.vmalloc, state.count, state.monitor_todo, state.monitorPending],
      [[5], [], 0, false, false],
    );
    assertEquals(areas.filter((p) => isLive(k, p)), [], "the vmalloc objects went with batch 0");
    assertEquals(slab.every((p) => isLive(k, p)), true);
  });
  assertEquals(ending, "undrained");
  const bulk = eventsOf(k, "rcu_invoke_kfree_bulk_callback").map((r) => arg(r, "nr_records"));
  const monitors = executionsOf(k, "kfree_rcu_monitor").length;
  assertEquals([bulk, eventsOf(k, "rcu_invoke_kvfree_callback").length, monitors], [[10, 10], 5, 3]);

  const since = k.seq;
  assertEquals(
    scripted(k, function* (k) {
      yield* queueAll(k, yield* newObjects(k, 1));
    }),
    "completed",
  );
  assertEquals(
    eventsOf(k, "rcu_invoke_kfree_bulk_callback", since).map((r) => arg(r, "nr_records")),
    [6],
    "as recorded",
  );
  assertEquals(late.filter((p) => isLive(k, p)), []);
});

Deno.test("B9 vmalloc objects are freed by the grace period of the first reader, under the second one [cpus=4 seeds=5]", () => {
  for (let seed = 1; seed <= 5; seed++) {
    const k = bootTree({ seed });
    let areas: VirtAddr[] = [];
    scripted(k, function* (k) {
      yield* startOn(k, 1, (k) => hold(k, "first reader", 400));
      yield* msleep(k, 4);
      ({ areas } = yield* phases(k, function* (): MaySleep<void> {
        yield* startOn(k, 2, (k) => hold(k, "second reader", 700));
        yield* msleep(k, 40);
      }));
    });
    const freed = eventsOf(k, "rcu_invoke_kvfree_callback").filter((r) =>
      areas.includes(arg(r, "rhp") as VirtAddr)
    );
    assertEquals(freed.length, 5);
    const ends = ["first reader ends", "second reader ends"].map((text) => markAt(k, text));
    for (const { seq } of freed) assert(ends[0] < seq && seq < ends[1], `seed ${seed}: ${seq} in ${ends}`);
    assert(markAt(k, "second reader begins") < freed[0].seq);
  }
});
