// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of rcu/levels/tree/v6.3-rc1.ts and v6.3.ts: blocks and lists with cookies, what the monitor frees by itself, the
 * counter of each channel, and B9, which v6.3 ends. T numbers are the checkable behaviours of kvfree_rcu(); a test whose
 * behaviour goes on runs at the later levels too. Grace periods are the test's own (tests/rcu/kvfree_machine.ts).
 */
import { assert, assertEquals } from "@std/assert";
import type { VirtAddr } from "../../../kernel/machine/brand.ts";
import type { MaySleep } from "../../../kernel/machine/effects.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import {
  rcu_scheduler_active,
  RCU_SCHEDULER_INIT,
  RCU_SCHEDULER_RUNNING,
} from "../../../kernel/system_state.ts";
import { slabObjectAt } from "../../../mm/slab_live.ts";
import { shrink_control, SHRINK_EMPTY, SHRINK_STOP } from "../../../mm/vmscan.ts";
import { GFP_KERNEL, vmalloc } from "../../../mod.ts";
import { krcState, krcView } from "../../../rcu/kvfree.ts";
import { rcu_head } from "../../../rcu/rcu.ts";
import { arg } from "../../machines.ts";
import {
  bulkEvents,
  callbackEvents,
  drain,
  isLive,
  krc0,
  type KvfreeMachine,
  kvfreeMachine,
  lengths,
  monitorIsOver,
  monitorJiffies,
  newObject,
  newObjects,
  object,
  queue2,
  script,
  shrinkerFunctions,
  sleepJiffies,
} from "../kvfree_machine.ts";
import { levels, queue1 } from "./levels.ts";

/** A slab object in a block, or with `area` a vmalloc object: the form without a head makes itself a block. */
function* queued(k: Kernel, area = false): MaySleep<VirtAddr> {
  const p = area ? yield* vmalloc(k, 64) : yield* newObject(k);
  yield* queue1(k, p);
  return p;
}

function* monitor(k: Kernel): MaySleep<void> {
  yield* sleepJiffies(k, monitorIsOver(k));
}

function live(k: Kernel, ...objects: readonly VirtAddr[]): boolean[] {
  return objects.map((p) => isLive(k, p));
}

for (const level of levels("v6.3-rc1")) {
  const full = krcView(level).shape.capacity;

  Deno.test(`T104 a block that had its grace period is freed by the monitor, without another [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const p = yield* queued(k);
      yield* m.rcu.pass(k);
      assertEquals(live(k, p), [true], "nobody has looked yet");
      yield* monitor(k);
      assertEquals([...live(k, p), m.rcu.callRcus], [false, 0]);
      assertEquals([krc0(k).count, krc0(k).monitorPending, krc0(k).spares.length], [0, false, 1]);
    });
    assertEquals(bulkEvents(m.k).map((r) => arg(r, "nr_records")), [1]);
  });

  Deno.test(`T104 so is a list that had its grace period [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    const heads: number[] = [];
    script(m, function* (k) {
      const [p, q] = yield* newObjects(k, 2);
      heads.push(q + object.offsetof("rcu"), p + object.offsetof("rcu"));
      yield* queue2(k, p);
      yield* queue2(k, q);
      assertEquals(krc0(k).list, heads as VirtAddr[], "the page cache was empty");
      assertEquals(rcu_head.f.func.get(k, heads[0] as VirtAddr), q, "func is the object itself");
      yield* m.rcu.pass(k);
      yield* monitor(k);
      assertEquals([...live(k, p, q), m.rcu.callRcus, krc0(k).count], [false, false, 0, 0]);
    });
    assertEquals(
      callbackEvents(m.k).map((r) => [arg(r, "rhp"), arg(r, "offset")]),
      heads.map((h) => [h, 48]),
    );
  });

  Deno.test(`T104 what has not had its grace period goes to a batch and waits for one [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const p = yield* queued(k);
      const listed = yield* newObject(k);
      const area = yield* vmalloc(k, 64);
      yield* queue2(k, area);
      yield* queue2(k, listed);
      assertEquals([lengths(krc0(k).slab), krc0(k).list.length], [[2], 1], "a vmalloc block needs a page");
      yield* monitor(k);
      const { batches, count } = krc0(k);
      assertEquals([m.rcu.callRcus, count, ...live(k, p, listed, area)], [1, 0, true, true, true]);
      assertEquals([lengths(batches[0].slab), batches[0].list.length, batches[0].pending], [[2], 1, true]);
      yield* m.rcu.pass(k);
      yield* sleepJiffies(k, 1);
      assertEquals(live(k, p, listed, area), [false, false, false]);
    });
  });

  Deno.test(`T104 of a chain the blocks that are ready are freed [level=${level}]`, () => {
    const m = kvfreeMachine({ level, cpus: 1 });
    script(m, function* (k) {
      const objects = yield* newObjects(k, 2 * full + 1);
      for (const p of objects.slice(0, 2 * full)) yield* queue1(k, p);
      yield* m.rcu.pass(k);
      yield* queue1(k, objects[2 * full]);
      assertEquals([lengths(krc0(k).slab), krc0(k).count], [[1, full, full], 2 * full + 1]);
      yield* sleepJiffies(k, 2);
      // Whole slabs went back, so their addresses may be valid as something else.
      assertEquals(objects.filter((p) => slabObjectAt(k, p)?.live === true), [objects[2 * full]]);
      assertEquals([m.rcu.callRcus, lengths(krc0(k).batches[0].slab), krc0(k).count], [1, [1], 0]);
      yield* m.rcu.pass(k);
      yield* sleepJiffies(k, 1);
    });
    // What is moved aside oldest first is freed youngest first.
    assertEquals(bulkEvents(m.k).map((r) => arg(r, "nr_records")), [full, full, 1]);
  });

  Deno.test(`T105 every append renews the snapshot of its block [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const p = yield* queued(k);
      yield* m.rcu.pass(k);
      const q = yield* queued(k);
      assertEquals(lengths(krc0(k).slab), [2]);
      yield* monitor(k);
      assertEquals([...live(k, p, q), m.rcu.callRcus], [true, true, 1], "neither is ready");
      yield* m.rcu.pass(k);
      yield* sleepJiffies(k, 1);
      assertEquals(live(k, p, q), [false, false]);
    });
  });

  Deno.test(`T105 a grace period that runs at the append does not count [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      m.rcu.begin();
      const p = yield* queued(k);
      const listed = yield* newObject(k);
      const area = yield* vmalloc(k, 64);
      yield* queue2(k, area);
      yield* queue2(k, listed);
      yield* m.rcu.end(k);
      yield* monitor(k);
      assertEquals([...live(k, p, listed, area), m.rcu.callRcus], [true, true, true, 1]);
      yield* m.rcu.pass(k);
      yield* sleepJiffies(k, 1);
      assertEquals(live(k, p, listed, area), [false, false, false]);
    });
  });

  Deno.test(`T102 a block's worth of objects brings the monitor in the next jiffy, fewer in 5 s [level=${level}]`, () => {
    const m = kvfreeMachine({ level, cpus: 1 });
    let from = 0;
    script(m, function* (k) {
      yield* sleepJiffies(k, 1);
      from = k.now();
      for (const p of yield* newObjects(k, full - 1)) yield* queue1(k, p);
      yield* sleepJiffies(k, 3);
      assertEquals(monitorJiffies(k, from), []);
      from = k.now();
      yield* queue1(k, yield* newObject(k));
      yield* sleepJiffies(k, 3);
      assertEquals(monitorJiffies(k, from).length, 1);
      yield* m.rcu.pass(k);
      yield* sleepJiffies(k, 1);
    });
  });

  Deno.test(`the shrinker counts what waits and what is cached, gives pages back and runs the monitor [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const [count, scan] = shrinkerFunctions(k);
      const sc = new shrink_control(GFP_KERNEL);
      assertEquals([yield* count(sc), yield* scan(sc)], [SHRINK_EMPTY, SHRINK_STOP]);
      const p = yield* queued(k);
      yield* m.rcu.pass(k);
      yield* monitor(k);
      assertEquals(live(k, p), [false]);
      const q = yield* queued(k, true);
      const r = yield* queued(k);
      assertEquals(krc0(k).spares.length, 0, "the block took the page");
      assertEquals(yield* count(sc), 2);
      yield* m.rcu.pass(k);
      sc.nr_to_scan = 1000;
      assertEquals(yield* scan(sc), 2);
      assertEquals([...live(k, q, r), m.rcu.callRcus], [false, false, 0], "they were ready");
      assertEquals([krc0(k).spares.length, yield* count(sc)], [2, 2]);
      assertEquals([yield* scan(sc), krc0(k).spares.length], [2, 0]);
      yield* monitor(k);
    });
  });

  Deno.test(`early objects wait on the list, and at RUNNING the monitor is armed for them [level=${level}]`, () => {
    const m = kvfreeMachine({ level }, false, true);
    script(m, function* (k) {
      const early = yield* newObject(k);
      yield* queue2(k, early);
      assertEquals([krc0(k).list.length, krc0(k).initialized, krc0(k).slab.length], [1, false, 0]);
      yield* k.kvfree.kfree_rcu_batch_init(k);
      rcu_scheduler_active.set(k, RCU_SCHEDULER_INIT);
      assertEquals(krc0(k).monitorPending, false);
      yield* k.kvfree.kfree_rcu_scheduler_running(k);
      rcu_scheduler_active.set(k, RCU_SCHEDULER_RUNNING);
      assertEquals(krcState(k).map((s) => s.monitorPending), [true, false, false, false]);
      yield* drain(m);
      assertEquals(live(k, early), [false]);
    });
  });

  Deno.test(`T18 the second call on an object is refused before the lock is taken [level=${level}]`, () => {
    const m = kvfreeMachine({ level, debugObjects: true });
    script(m, function* (k) {
      const p = yield* queued(k);
      yield* queue1(k, p);
      assertEquals([krc0(k).count, lengths(krc0(k).slab)], [1, [1]]);
      yield* m.rcu.pass(k);
      yield* monitor(k);
      assertEquals(live(k, p), [false]);
    }, 3);
    assert(m.k.reports[2].lines.some((line) => line.includes("Double-freed call. rcu_head")));
  });
}

Deno.test("T108 508 pointers in a block while the snapshot is one word [level=v6.3-rc1 v6.3]", () => {
  for (const level of levels("v6.3-rc1", "v6.3")) {
    const { capacity, records, nr_records } = krcView(level).shape;
    assertEquals([capacity, records, nr_records], [508, 32, 24]);
    const m = kvfreeMachine({ level, cpus: 1 });
    script(m, function* (k) {
      const objects = yield* newObjects(k, 509);
      for (const p of objects.slice(0, 508)) yield* queue1(k, p);
      assertEquals(lengths(krc0(k).slab), [508]);
      yield* queue1(k, objects[508]);
      assertEquals(lengths(krc0(k).slab), [1, 508]);
      yield* sleepJiffies(k, 2);
      yield* m.rcu.pass(k);
      yield* sleepJiffies(k, 1);
    });
  }
});

/** A in slot 0 with a grace period that has begun; B, of another channel, is queued only then and the monitor comes. */
function* t31(m: KvfreeMachine): MaySleep<{ a: VirtAddr; b: VirtAddr }> {
  const { k, rcu } = m;
  const a = yield* queued(k);
  yield* monitor(k);
  assertEquals([lengths(krc0(k).batches[0].slab), rcu.callRcus], [[1], 1]);
  rcu.begin();
  const b = yield* queued(k, true);
  yield* monitor(k);
  return { a, b };
}

Deno.test("T31 B9: a batch takes a channel after its grace period began, and frees it too early [level=v6.3-rc1]", () => {
  const m = kvfreeMachine({ level: "v6.3-rc1" });
  script(m, function* (k) {
    const { a, b } = yield* t31(m);
    assertEquals([lengths(krc0(k).batches[0].vmalloc), m.rcu.callRcus], [[1], 1], "no grace period for B");
    yield* m.rcu.end(k);
    yield* sleepJiffies(k, 1);
    assertEquals([...live(k, a, b), m.rcu.ended], [false, false, 1], "B is gone after the grace period of A");
  });
});

for (const level of levels("v6.3")) {
  Deno.test(`T106 what comes later waits for its own grace period, in an empty batch [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const { a, b } = yield* t31(m);
      const { batches } = krc0(k);
      assertEquals([lengths(batches[0].vmalloc), lengths(batches[1].vmalloc), m.rcu.callRcus], [[], [1], 2]);
      yield* m.rcu.end(k);
      yield* sleepJiffies(k, 1);
      assertEquals(live(k, a, b), [false, true]);
      yield* m.rcu.pass(k);
      yield* sleepJiffies(k, 1);
      assertEquals(live(k, b), [false]);
    });
  });

  Deno.test(`T106 without an empty batch it stays, and the monitor comes back for it [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const a = yield* queued(k);
      yield* monitor(k);
      const a2 = yield* queued(k);
      yield* monitor(k);
      assertEquals(krc0(k).batches.map((it) => lengths(it.slab)), [[1], [1]]);
      m.rcu.begin();
      const b = yield* queued(k, true);
      const c = yield* queued(k);
      yield* monitor(k);
      const { vmalloc, slab, count, monitorPending } = krc0(k);
      assertEquals([lengths(vmalloc), lengths(slab), count, monitorPending], [[1], [1], 2, true], "T107");
      yield* m.rcu.end(k);
      yield* sleepJiffies(k, 1);
      assertEquals(live(k, a, a2, b, c), [false, false, true, true]);
      yield* monitor(k);
      assertEquals([...live(k, b, c), m.rcu.callRcus, krc0(k).count], [true, true, 3, 0]);
      yield* m.rcu.pass(k);
      yield* sleepJiffies(k, 1);
      assertEquals(live(k, b, c), [false, false]);
    });
  });
}

Deno.test("T107 moving one channel zeroes only its counter: B10 is over [level=v6.3-rc1]", () => {
  for (const [level, left] of [["v6.1", 0], ["v6.3-rc1", 1]] as const) {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      for (let i = 0; i < 2; i++) {
        yield* queued(k);
        yield* monitor(k);
      }
      assertEquals(krc0(k).batches.map((it) => lengths(it.slab)), [[1], [1]]);
      yield* queued(k);
      yield* queued(k, true);
      assertEquals(krc0(k).count, 2);
      yield* monitor(k);
      const { batches, slab, count } = krc0(k);
      assertEquals([lengths(batches[0].vmalloc), lengths(slab), count], [[1], [1], left], level);
      yield* m.rcu.pass(k);
      yield* monitor(k);
      yield* m.rcu.pass(k);
      yield* sleepJiffies(k, 1);
    });
  }
});

Deno.test("T115 one run of the monitor touches both batches when each has another channel free [level=v6.3-rc1]", () => {
  const m = kvfreeMachine({ level: "v6.3-rc1" });
  script(m, function* (k) {
    yield* queued(k);
    yield* monitor(k);
    yield* queued(k);
    yield* queued(k, true);
    yield* monitor(k);
    const [first, second] = krc0(k).batches;
    assertEquals([lengths(first.vmalloc), lengths(second.slab), m.rcu.callRcus], [[1], [1], 2]);
    yield* m.rcu.pass(k);
    yield* sleepJiffies(k, 1);
  });
});
