// SPDX-License-Identifier: GPL-2.0-only
/**
 * kvfree_rcu() of tree RCU as the base of the series has it, at every level that still behaves so: batches in flight, the
 * start of the scheduler, and the defects that come of channels being handed over one by one. T numbers are the checkable
 * behaviours of kvfree_rcu(), B numbers its known bugs.
 */
import { assert, assertEquals } from "@std/assert";
import type { VirtAddr } from "../../../kernel/machine/brand.ts";
import type { MaySleep } from "../../../kernel/machine/effects.ts";
import { clearFailRules } from "../../../kernel/fault_inject.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { rcu_scheduler_active, RCU_SCHEDULER_RUNNING } from "../../../kernel/system_state.ts";
import { traceEvents } from "../../../kernel/trace/table.ts";
import { slabObjectAt } from "../../../mm/slab_live.ts";
import { contentObjects, type KrcContent } from "../../../rcu/krc_look.ts";
import { krcState } from "../../../rcu/kvfree.ts";
import { levelAtLeast, rcu_read_lock, rcu_read_unlock, udelay, vmalloc } from "../../../mod.ts";
import { arg, eventsOf, jiffyNs } from "../../machines.ts";
import {
  bulkEvents,
  drain,
  failPages,
  isLive,
  krc0,
  kvfreeMachine,
  lengths,
  monitorIsOver,
  monitorJiffies,
  newObject,
  newObjects,
  onCpu,
  queue2,
  script,
  sleepJiffies,
  startOn,
} from "../kvfree_machine.ts";
import { levels, pagesAtHand, shapeOf } from "./levels.ts";

/** What a place holds, whichever channel it is in. */
function objectsIn(k: Kernel, content: KrcContent): VirtAddr[] {
  return contentObjects(k, shapeOf(k), content);
}

/** Queues `n` slab objects and lets the monitor hand them over. */
function* batchOf(k: Kernel, n: number): MaySleep<VirtAddr[]> {
  const objects = yield* newObjects(k, n);
  for (const p of objects) yield* queue2(k, p);
  yield* sleepJiffies(k, monitorIsOver(k));
  return objects;
}

for (const level of levels("base", "v5.14")) {
  Deno.test(`T16 with both batches busy the monitor comes back every D jiffies [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* pagesAtHand(m);
      yield* batchOf(k, 1);
      yield* batchOf(k, 2);
      assertEquals(krc0(k).batches.map((b) => [lengths(b.slab), b.pending]), [[[1], true], [[2], true]]);
      const from = k.now();
      yield* queue2(k, yield* newObject(k));
      yield* sleepJiffies(k, 26);
      const ran = monitorJiffies(k, from);
      assertEquals(ran.length, 4);
      for (const [i, j] of ran.entries()) {
        const passed = j - (i === 0 ? 0 : ran[i - 1]);
        // From v5.9 on the second batch, which passed a busy one, has left the timer armed.
        const least = i === 0 && levelAtLeast(level, "v5.9") ? 0 : 5;
        assert(passed > least && passed <= 6.1, `armed for 5 jiffies: ${ran}`);
      }
      assertEquals([lengths(krc0(k).slab), krc0(k).monitor_todo, krc0(k).count], [[1], true, 1]);
      yield* m.rcu.pass(k);
      yield* drain(m);
    });
  });

  Deno.test(`T17 a batch is free again once its worker has detached, not when it has freed [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* pagesAtHand(m);
      const first = yield* batchOf(k, 3);
      yield* batchOf(k, 1);
      yield* queue2(k, yield* newObject(k));
      const bulk = traceEvents.find((e) => e.name === "rcu_invoke_kfree_bulk_callback")?.id;
      const emit = k.emit.bind(k);
      let detached = 0;
      k.emit = (kind, ...args) => {
        emit(kind, ...args);
        if (kind !== bulk || detached > 0) return;
        assertEquals([k.cpu.id, krc0(k).batches[0].slab], [1, []]);
        assertEquals(first.map((p) => slabObjectAt(k, p)?.live), [true, true, true]);
        detached = k.now();
        k.charge(100e6); // a slow worker
      };
      const since = k.seq;
      yield* onCpu(k, 1, (k) => m.rcu.pass(k));
      yield* sleepJiffies(k, 7);
      k.emit = emit;
      assertEquals([krc0(k).count, krc0(k).slab], [0, []], "the third batch is on its way");
      assert(k.now() - detached < 10 * jiffyNs(k));
      yield* sleepJiffies(k, 40);
      const ends = eventsOf(k, "workqueue_execute_end", since).filter((r) => r.cpu === 1);
      assert(ends.some((r) => r.ns - detached >= 100e6), "the worker was not done then");
      yield* m.rcu.pass(k);
      yield* sleepJiffies(k, 2);
    });
  });
}

for (const level of levels("base", "v5.13")) {
  Deno.test(`T24 T47 B11 at RUNNING only a CPU with a list gets a timer [level=${level}]`, () => {
    const m = kvfreeMachine({ level, rcuMinCachedObjs: level === "v5.9" ? 0 : -1 });
    script(m, function* (k) {
      yield* pagesAtHand(m); // for this CPU only: the others have none, and use the list
      rcu_scheduler_active.set(k, 1);
      yield* queue2(k, yield* newObject(k));
      const areas = levelAtLeast(level, "2/7") ? 1 : 0; // before, a vmalloc object is on the list
      if (areas > 0) yield* queue2(k, yield* vmalloc(k, 64));
      yield* onCpu(k, 1, function* (k) {
        const p = yield* newObject(k);
        failPages(k);
        yield* queue2(k, p);
        clearFailRules(k);
      });
      assertEquals(krcState(k).map((s) => s.monitorPending), [false, false, false, false]);
      rcu_scheduler_active.set(k, RCU_SCHEDULER_RUNNING);
      yield* k.kvfree.kfree_rcu_scheduler_running(k);
      assertEquals(krcState(k).map((s) => s.monitorPending), [false, true, false, false]);
      yield* drain(m);
      assertEquals([lengths(krc0(k).slab), krc0(k).vmalloc.length], [[1], areas], "still there");
      yield* queue2(k, yield* newObject(k));
      yield* drain(m);
    });
  });
}

for (const level of levels("base", "v6.1")) {
  Deno.test(`T30 B10 the count is 0 though a channel stayed behind [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* pagesAtHand(m);
      yield* batchOf(k, 1);
      yield* batchOf(k, 1);
      const [p, area] = [yield* newObject(k), yield* vmalloc(k, 64)];
      yield* queue2(k, p);
      yield* queue2(k, area);
      yield* sleepJiffies(k, monitorIsOver(k));
      const state = krc0(k);
      assertEquals([objectsIn(k, state), state.count], [[p], 0]);
      assert(objectsIn(k, state.batches[0]).includes(area), "the other channel was empty in the first batch");
      yield* m.rcu.pass(k);
      yield* queue2(k, yield* newObject(k)); // B8: up to 7/7 only the next call gets it going
      yield* drain(m);
    });
  });
}

for (const level of [...levels("base", "v6.1"), "v6.3-rc1"] as const) {
  Deno.test(`T31 T44 B9 what joins a batch in flight is freed by its older grace period, under a reader [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* pagesAtHand(m);
      const before = m.rcu.callRcus;
      yield* batchOf(k, 10);
      m.rcu.begin();
      const seen = yield* vmalloc(k, 64);
      let readerSaw = "";
      yield* startOn(k, 1, function* (k) {
        yield* rcu_read_lock(k);
        for (let i = 0; i < 1000 && readerSaw === ""; i++) {
          yield* udelay(k, 10_000);
          if (!isLive(k, seen)) readerSaw = "freed memory";
        }
        yield* rcu_read_unlock(k);
      });
      yield* sleepJiffies(k, 1);
      yield* queue2(k, seen);
      yield* sleepJiffies(k, monitorIsOver(k));
      assert(objectsIn(k, krc0(k).batches[0]).includes(seen), "in the batch whose grace period runs");
      assertEquals(m.rcu.callRcus - before, 1, "no grace period of its own");
      yield* m.rcu.end(k);
      yield* sleepJiffies(k, 5);
      assertEquals(readerSaw, "freed memory");
    });
  });
}

for (const level of levels("base", "7/7")) {
  Deno.test(`T32 B8 what finds no empty batch is stranded until the next call on that CPU [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    let late: VirtAddr[] = [];
    script(
      m,
      function* (k) {
        yield* batchOf(k, 10);
        yield* batchOf(k, 10);
        assertEquals(krc0(k).batches.map((b) => lengths(b.slab)), [[10], [10]], "both batches wait");
        late = yield* newObjects(k, 5);
        const areas: VirtAddr[] = [];
        for (let i = 0; i < 5; i++) areas.push(yield* vmalloc(k, 64));
        for (const p of [...late, ...areas]) yield* queue2(k, p);
        yield* sleepJiffies(k, 8);
        const moved = objectsIn(k, krc0(k).batches[0]).slice(10).toSorted((a, b) => a - b);
        assertEquals(
          moved,
          areas.toSorted((a, b) => a - b),
          "the other channel was empty in the first batch",
        );
        yield* m.rcu.pass(k);
        yield* sleepJiffies(k, 7 * k.config.HZ);
        const { slab, count, monitor_todo, monitorPending } = krc0(k);
        assertEquals([lengths(slab), count, monitor_todo, monitorPending], [[5], 0, false, false]);
        assertEquals(late.map((p) => isLive(k, p)), [true, true, true, true, true]);
      },
      0,
      "undrained",
    );
    // As recorded on a real kernel with the series: one more call frees six.
    const since = m.k.seq;
    script(m, function* (k) {
      yield* queue2(k, yield* newObject(k));
      yield* drain(m);
    });
    assertEquals(bulkEvents(m.k, since).map((r) => arg(r, "nr_records")), [6]);
    assertEquals(late.filter((p) => slabObjectAt(m.k, p)?.live === true), []);
  });
}
