// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of rcu/levels/tree/2of7.ts to 4of7.ts, at every later level that still behaves so. T numbers are the checkable
 * behaviours of kvfree_rcu() in the series: 64-bit, 4 KiB pages, a drain of HZ / 50 jiffies, blocks of 510 pointers. What
 * the base had already is in tests/rcu/levels/. Grace periods are the test's own (tests/rcu/kvfree_machine.ts).
 */
import { assert, assertEquals } from "@std/assert";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { clearFailRules } from "../../kernel/fault_inject.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { rcu_scheduler_active, RCU_SCHEDULER_RUNNING } from "../../kernel/system_state.ts";
import { traceEvents } from "../../kernel/trace/table.ts";
import { krcState } from "../../rcu/kvfree.ts";
import { levelAtLeast, NULL, Run, vmalloc } from "../../mod.ts";
import { arg, eventsOf, executionsOf } from "../machines.ts";
import {
  bulkEvents,
  callbackEvents,
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
} from "./kvfree_machine.ts";
import { levels, pagesAtHand, queue1, shapeOf } from "./levels/levels.ts";

for (const level of levels("2/7", "v6.1.192")) {
  Deno.test(`T35 a block holds 510 pointers; call 511 takes the second page, call 1021 the third [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* pagesAtHand(m);
      assertEquals(shapeOf(k).capacity, 510);
      const pages: number[] = [];
      const objects = yield* newObjects(k, 1021);
      for (const [i, p] of objects.entries()) {
        yield* queue2(k, p);
        pages[i + 1] = krc0(k).slab.length;
      }
      assertEquals([1, 510, 511, 1020, 1021].map((call) => pages[call]), [1, 1, 2, 2, 3]);
      assertEquals(lengths(krc0(k).slab), [1, 510, 510]);
      assertEquals(krc0(k).count, 1021);
      const since = k.seq;
      yield* drain(m);
      assertEquals(bulkEvents(k, since).map((r) => arg(r, "nr_records")), [1, 510, 510]);
    });
  });
}

for (const level of levels("2/7")) {
  Deno.test(`T36 T37 slab and vmalloc pointers never share a block [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* pagesAtHand(m);
      const full = shapeOf(k).capacity;
      const slab = yield* newObjects(k, full + 1);
      const areas: VirtAddr[] = [];
      for (let i = 0; i <= full; i++) areas.push(yield* vmalloc(k, 64));
      for (const i of [0, 1]) {
        yield* queue2(k, slab[i]);
        yield* queue2(k, areas[i]);
      }
      assertEquals([lengths(krc0(k).slab), lengths(krc0(k).vmalloc)], [[2], [2]], "T36");
      for (let i = 2; i < full; i++) {
        yield* queue2(k, slab[i]);
        yield* queue2(k, areas[i]);
      }
      assertEquals([lengths(krc0(k).slab), lengths(krc0(k).vmalloc)], [[full], [full]], "T37");
      yield* queue2(k, slab[full]);
      yield* queue2(k, areas[full]);
      assertEquals([lengths(krc0(k).slab), lengths(krc0(k).vmalloc)], [[1, full], [1, full]], "T37");
      yield* drain(m);
    });
  });
}

for (const level of levels("2/7")) {
  Deno.test(`T38 T46 a vmalloc block is freed pointer by pointer with func=0, a slab block by one kfree_bulk [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    const { k } = m;
    const areas: VirtAddr[] = [];
    let since = 0;
    script(m, function* (k) {
      yield* pagesAtHand(m);
      since = k.seq;
      for (let i = 0; i < 7; i++) areas.push(yield* vmalloc(k, 64));
      for (const p of areas) yield* queue2(k, p);
      for (const p of yield* newObjects(k, 600)) yield* queue2(k, p);
      yield* drain(m);
    });
    assertEquals(
      callbackEvents(k, since).map((r) => [arg(r, "rhp"), arg(r, "offset")]),
      areas.map((p) => [p, 0]),
    );
    assertEquals(bulkEvents(k, since).map((r) => arg(r, "nr_records")), [
      600 - shapeOf(k).capacity,
      shapeOf(k).capacity,
    ]);
    assertEquals(eventsOf(k, "vfree", since).length, 7);
    assertEquals(areas.filter((p) => isLive(k, p)), []);
  });
}

for (const level of levels("2/7", "7/7")) {
  Deno.test(`T39 T40 each channel keeps at most one spare page and cannot use the other's [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const spares = (): boolean[] => krc0(k).spares.map((p) => p !== NULL);
      assertEquals(spares(), [false, false]);
      for (const p of yield* newObjects(k, 1100)) yield* queue2(k, p);
      const youngest = krc0(k).slab[0].addr;
      yield* drain(m);
      assertEquals(spares(), [true, false]);
      assertEquals(krc0(k).spares[0], youngest, "the youngest block is freed first");

      failPages(k);
      yield* queue2(k, yield* vmalloc(k, 64));
      assertEquals([krc0(k).list.length, krc0(k).vmalloc.length, spares()[0]], [1, 0, true], "T40");
      clearFailRules(k);
      yield* drain(m);
      for (let i = 0; i < 600; i++) yield* queue2(k, yield* vmalloc(k, 64));
      yield* drain(m);
      assertEquals(spares(), [true, true]);

      failPages(k);
      yield* queue2(k, yield* newObject(k));
      assertEquals([krc0(k).slab[0].addr, krc0(k).list.length], [youngest, 0], "the spare is used");
      assertEquals(spares(), [false, true]);
      for (let i = 0; i < 510; i++) yield* queue2(k, yield* newObject(k));
      assertEquals([lengths(krc0(k).slab), krc0(k).list.length], [[510], 1], "T40: not the vmalloc spare");
      yield* drain(m);
    });
  });
}

// From v5.9 on with two pages kept, one for each channel.
for (const level of levels("2/7")) {
  Deno.test(`T41 T42 T43 the three channels cost one call_rcu and are freed slab, vmalloc, list [level=${level}]`, () => {
    const m = kvfreeMachine({ level, rcuMinCachedObjs: 2 });
    const { k, rcu } = m;
    let [since, calls, ended] = [0, 0, 0];
    script(m, function* (k) {
      yield* pagesAtHand(m);
      since = k.seq;
      [calls, ended] = [rcu.callRcus, rcu.ended];
      const slab = yield* newObjects(k, shapeOf(k).capacity);
      const [listed, last] = yield* newObjects(k, 2);
      const area = yield* vmalloc(k, 64);
      for (const p of slab) yield* queue2(k, p);
      yield* queue2(k, area);
      assertEquals(krc0(k).list, [], "T41: no allocation failed");
      failPages(k);
      yield* queue2(k, listed);
      yield* queue2(k, last);
      clearFailRules(k);
      assertEquals(krc0(k).list, [last + 48, listed + 48] as VirtAddr[]);
      yield* drain(m);
    });
    const order = [...bulkEvents(k, since), ...callbackEvents(k, since)].sort((a, b) => a.seq - b.seq)
      .map((r) =>
        traceEvents.find((e) => e.id === r.kind)?.name === "rcu_invoke_kfree_bulk_callback"
          ? "bulk"
          : arg(r, "offset")
      );
    assertEquals(order, ["bulk", 0, 48, 48], "T42");
    assertEquals([rcu.callRcus - calls, rcu.ended - ended], [1, 1], "T43");
  });
}

for (const level of levels("2/7", "v6.1")) {
  Deno.test(`T44 channels choose their batch each for itself [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* pagesAtHand(m);
      for (const p of yield* newObjects(k, 3)) yield* queue2(k, p);
      yield* sleepJiffies(k, monitorIsOver(k));
      assertEquals(lengths(krc0(k).batches[0].slab), [3]);
      yield* queue2(k, yield* newObject(k));
      yield* queue2(k, yield* vmalloc(k, 64));
      yield* sleepJiffies(k, monitorIsOver(k));
      const [first, second] = krc0(k).batches;
      assertEquals([lengths(first.slab), lengths(first.vmalloc)], [[3], [1]], "vmalloc: the busy batch");
      assertEquals([lengths(second.slab), lengths(second.vmalloc)], [[1], []], "slab: the other one");
      yield* m.rcu.pass(k);
      yield* sleepJiffies(k, 1);
    });
  });
}

// v5.9 keeps it on the CPU of the worker.
for (const level of [...levels("2/7", "7/7"), ...levels("v5.11")]) {
  Deno.test(`T45 the worker refills the spare of the CPU that collected, wherever it runs [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    let since = 0;
    script(m, function* (k) {
      yield* pagesAtHand(m);
      const others = krcState(k).slice(1).map((s) => s.spares);
      since = k.seq;
      yield* queue2(k, yield* newObject(k));
      const block = krc0(k).slab[0].addr;
      yield* sleepJiffies(k, monitorIsOver(k));
      yield* onCpu(k, 1, (k) => m.rcu.pass(k));
      yield* sleepJiffies(k, 2);
      assert(krc0(k).spares.includes(block));
      assertEquals(krcState(k).slice(1).map((s) => s.spares), others);
    });
    const [{ cpu }] = executionsOf(m.k, "kfree_rcu_work", since);
    // From v6.12 on the workqueue is not bound to a CPU.
    if (!levelAtLeast(level, "v6.12")) assertEquals(cpu, 1);
  });
}

for (const level of levels("4/7", "7/7")) {
  Deno.test(`T23 T68 before it is initialised every object goes on the list, headless ones wrapped, without the lock [level=${level}]`, () => {
    const m = kvfreeMachine({ level }, false, true);
    script(m, function* (k) {
      const [a, b] = yield* newObjects(k, 2);
      yield* queue2(k, a);
      yield* queue1(k, b);
      const state = krc0(k);
      assertEquals([state.slab.length, state.list.length, state.initialized], [0, 2, false]);
      assertEquals([...k.kvfree.pendingAddresses(k)], [b, a]);
      assertEquals(state.monitorPending, false);
      yield* k.kvfree.kfree_rcu_batch_init(k);
      rcu_scheduler_active.set(k, RCU_SCHEDULER_RUNNING);
      yield* k.kvfree.kfree_rcu_scheduler_running(k);
      assertEquals(krc0(k).monitorPending, true);
      yield* drain(m);
      assertEquals([isLive(k, a), isLive(k, b)], [false, false]);
    });
  });
}

for (const level of levels("3/7", "7/7")) {
  Deno.test(`T48 T64 on an idle CPU a failed page makes the monitor run at once, also for a wrapped object [level=${level}]`, () => {
    for (const headless of level === "3/7" ? [false] : [false, true]) {
      const m = kvfreeMachine({ level });
      let first = 0;
      script(m, function* (k) {
        const p = yield* newObject(k);
        failPages(k);
        first = k.now();
        if (headless) yield* queue1(k, p);
        else yield* queue2(k, p);
        assertEquals(krc0(k).list.length, 1);
        yield* drain(m);
      });
      const [ran] = monitorJiffies(m.k, first);
      assert(ran < 1, `headless ${headless}: monitor after ${ran} jiffies`);
    }
  });
}

for (const level of levels("3/7", "7/7")) {
  Deno.test(`T49 B7 a failed page does not shorten a timer that is armed [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    let first = 0;
    script(m, function* (k) {
      const p = yield* newObject(k);
      const area = yield* vmalloc(k, 64);
      first = k.now();
      yield* queue2(k, p);
      failPages(k);
      yield* queue2(k, area);
      yield* drain(m);
    });
    const [ran] = monitorJiffies(m.k, first);
    assert(ran > 5 && ran <= 6.1, `monitor after ${ran} jiffies`);
  });
}

for (const [HZ, D] of [[100, 2], [250, 5], [300, 6], [1000, 20]]) {
  for (const level of levels("base", "v5.14")) {
    Deno.test(`T5 T50 the timer is armed for ${D} jiffies, and further calls arm nothing [level=${level} HZ=${HZ}]`, () => {
      const m = kvfreeMachine({ level, HZ });
      let [first, calls, ended] = [0, 0, 0];
      script(m, function* (k) {
        yield* pagesAtHand(m);
        [calls, ended] = [m.rcu.callRcus, m.rcu.ended];
        const [a, b] = yield* newObjects(k, 2);
        first = k.now();
        yield* queue2(k, a);
        yield* sleepJiffies(k, 1);
        yield* queue2(k, b);
        yield* sleepJiffies(k, D + 2);
        yield* m.rcu.pass(k);
        yield* sleepJiffies(k, 2);
      });
      const ran = monitorJiffies(m.k, first);
      assertEquals(ran.length, 1);
      assert(ran[0] > D && ran[0] <= D + 1.1, `monitor after ${ran[0]} jiffies`);
      assertEquals([m.rcu.callRcus - calls, m.rcu.ended - ended], [1, 1]);
    });
  }
}

for (const level of levels("3/7", "7/7")) {
  Deno.test(`T50 with a failed page too it is one call_rcu and one normal grace period [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const [a, b] = yield* newObjects(k, 2);
      failPages(k);
      yield* queue2(k, a);
      yield* queue2(k, b);
      yield* drain(m);
    });
    assertEquals([m.rcu.callRcus, m.rcu.ended, m.rcu.synchronized], [1, 1, 0]);
  });
}

for (const level of levels("3/7", "7/7")) {
  Deno.test(`T16 T51 with both batches busy the monitor comes back every D jiffies, also for the list [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      failPages(k);
      for (let i = 0; i < 2; i++) {
        yield* queue2(k, yield* newObject(k));
        yield* sleepJiffies(k, 2);
      }
      assertEquals(krc0(k).batches.map((b) => [b.list.length, b.pending]), [[1, true], [1, true]]);
      const from = k.now();
      yield* queue2(k, yield* newObject(k));
      yield* sleepJiffies(k, 16);
      const ran = monitorJiffies(k, from);
      assertEquals(ran.length, 3);
      assert(ran[0] < 1, `expedited: ${ran[0]}`);
      for (let i = 1; i < 3; i++) {
        assert(ran[i] - ran[i - 1] > 5 && ran[i] - ran[i - 1] <= 6.1, `re-armed for 5 jiffies: ${ran}`);
      }
      assertEquals([krc0(k).list.length, krc0(k).monitor_todo, krc0(k).count], [1, true, 1]);
      yield* m.rcu.pass(k);
      yield* drain(m);
    });
  });
}

for (const level of ["2/7", "3/7", "7/7"] as const) {
  Deno.test(`kvfree_call_rcu() is the same run with and without its plain fast path [level=${level} seeds=3]`, () => {
    for (let seed = 1; seed <= 3; seed++) {
      const hashes = [Infinity, 1].map((chunk) => {
        const m = kvfreeMachine({ level, seed }, true);
        const { k } = m;
        const main = function* (k: Kernel): MaySleep<void> {
          for (let cpu = 0; cpu < 3; cpu++) {
            yield* startOn(k, cpu, function* (k) {
              for (let i = 0; i < 700; i++) yield* queue2(k, yield* newObject(k));
            });
          }
        };
        const run = new Run(k, { name: "load", summary: "", options: [], main }, {});
        while (!run.advance(chunk));
        assertEquals([run.verdict().ending, k.reports.length], ["completed", 0]);
        return [run.verdict().hash, k.digest(), k.seq];
      });
      assertEquals(hashes[1], hashes[0], `seed ${seed}`);
    }
  });
}

for (const level of levels("4/7", "v6.1.192")) {
  Deno.test(`kvfree_call_rcu() is exported in both faces [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* pagesAtHand(m);
      const [a, b] = yield* newObjects(k, 2);
      yield* k.kvfree.kvfree_call_rcu(k, (a + 48) as VirtAddr, 48);
      yield* k.kvfree.kvfree_call_rcu(k, null, b);
      assertEquals(lengths(krc0(k).slab), [2]);
      yield* drain(m);
      assertEquals([isLive(k, a), isLive(k, b)], [false, false]);
    });
  });
}
