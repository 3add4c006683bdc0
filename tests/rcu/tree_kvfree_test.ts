// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of rcu/tree_kvfree.ts. T numbers are the checkable behaviours of kvfree_rcu() in the series: 64-bit, 4 KiB pages,
 * a drain of HZ / 50 jiffies, blocks of 510 pointers. Grace periods are the test's own (tests/rcu/kvfree_machine.ts).
 */
import { assert, assertEquals } from "@std/assert";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { clearFailRules } from "../../kernel/fault_inject.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { rcu_scheduler_active, RCU_SCHEDULER_RUNNING } from "../../kernel/system_state.ts";
import { traceEvents } from "../../kernel/trace/table.ts";
import { shrink_control } from "../../mm/vmscan.ts";
import {
  kfree_rcu_batch_init,
  kfree_rcu_scheduler_running,
  krcState,
  KVFREE_BULK_MAX_ENTR,
} from "../../rcu/tree_kvfree.ts";
import * as tree_kvfree from "../../rcu/tree_kvfree.ts";
import {
  GFP_KERNEL,
  kvfree_rcu,
  NULL,
  rcu_read_lock,
  rcu_read_unlock,
  Run,
  udelay,
  vmalloc,
} from "../../mod.ts";
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
  monitorJiffies,
  newObject,
  newObjects,
  onCpu,
  queue2,
  script,
  shrinkerFunctions,
  sleepJiffies,
  startOn,
} from "./kvfree_machine.ts";

Deno.test("T35 a block holds 510 pointers; call 511 takes the second page, call 1021 the third", () => {
  assertEquals(KVFREE_BULK_MAX_ENTR, 510);
  const m = kvfreeMachine();
  script(m, function* (k) {
    const pages: number[] = [];
    const objects = yield* newObjects(k, 1021);
    for (const [i, p] of objects.entries()) {
      yield* kvfree_rcu(k, p);
      pages[i + 1] = krc0(k).slab.length;
    }
    assertEquals([1, 510, 511, 1020, 1021].map((call) => pages[call]), [1, 1, 2, 2, 3]);
    assertEquals(lengths(krc0(k).slab), [1, 510, 510]);
    assertEquals(krc0(k).count, 1021);
    yield* drain(m);
  });
  assertEquals(bulkEvents(m.k).map((r) => arg(r, "nr_records")), [1, 510, 510]);
});

Deno.test("T36 T37 slab and vmalloc pointers never share a block", () => {
  const m = kvfreeMachine();
  script(m, function* (k) {
    const slab = yield* newObjects(k, 511);
    const areas: VirtAddr[] = [];
    for (let i = 0; i < 511; i++) areas.push(yield* vmalloc(k, 64));
    for (const i of [0, 1]) {
      yield* kvfree_rcu(k, slab[i]);
      yield* kvfree_rcu(k, areas[i]);
    }
    assertEquals([lengths(krc0(k).slab), lengths(krc0(k).vmalloc)], [[2], [2]], "T36");
    for (let i = 2; i < 510; i++) {
      yield* kvfree_rcu(k, slab[i]);
      yield* kvfree_rcu(k, areas[i]);
    }
    assertEquals([lengths(krc0(k).slab), lengths(krc0(k).vmalloc)], [[510], [510]], "T37");
    yield* kvfree_rcu(k, slab[510]);
    yield* kvfree_rcu(k, areas[510]);
    assertEquals([lengths(krc0(k).slab), lengths(krc0(k).vmalloc)], [[1, 510], [1, 510]], "T37");
    yield* drain(m);
  });
});

Deno.test("T38 T46 a vmalloc block is freed pointer by pointer with func=0, a slab block by one kfree_bulk", () => {
  const m = kvfreeMachine();
  const { k } = m;
  const areas: VirtAddr[] = [];
  const since = k.seq;
  script(m, function* (k) {
    for (let i = 0; i < 7; i++) areas.push(yield* vmalloc(k, 64));
    for (const p of areas) yield* queue2(k, p);
    for (const p of yield* newObjects(k, 600)) yield* queue2(k, p);
    yield* drain(m);
  });
  assertEquals(callbackEvents(k).map((r) => [arg(r, "rhp"), arg(r, "offset")]), areas.map((p) => [p, 0]));
  assertEquals(bulkEvents(k).map((r) => arg(r, "nr_records")), [90, 510]);
  assertEquals(eventsOf(k, "vfree", since).length, 7);
  assertEquals(areas.filter((p) => isLive(k, p)), []);
});

Deno.test("T39 T40 each channel keeps at most one spare page and cannot use the other's", () => {
  const m = kvfreeMachine();
  script(m, function* (k) {
    const spares = (): boolean[] => krc0(k).spares.map((p) => p !== NULL);
    assertEquals(spares(), [false, false]);
    for (const p of yield* newObjects(k, 1100)) yield* kvfree_rcu(k, p);
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
    yield* kvfree_rcu(k, yield* newObject(k));
    assertEquals([krc0(k).slab[0].addr, krc0(k).list.length], [youngest, 0], "the spare is used");
    assertEquals(spares(), [false, true]);
    for (let i = 0; i < 510; i++) yield* queue2(k, yield* newObject(k));
    assertEquals([lengths(krc0(k).slab), krc0(k).list.length], [[510], 1], "T40: not the vmalloc spare");
    yield* drain(m);
  });
});

Deno.test("T41 T42 T43 the three channels cost one call_rcu and are freed slab, vmalloc, list", () => {
  const m = kvfreeMachine();
  const { k, rcu } = m;
  script(m, function* (k) {
    const slab = yield* newObjects(k, 510);
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
  const order = [...bulkEvents(k), ...callbackEvents(k)].sort((a, b) => a.seq - b.seq)
    .map((r) =>
      traceEvents.find((e) => e.id === r.kind)?.name === "rcu_invoke_kfree_bulk_callback"
        ? "bulk"
        : arg(r, "offset")
    );
  assertEquals(order, ["bulk", 0, 48, 48], "T42");
  assertEquals([rcu.callRcus, rcu.ended], [1, 1], "T43");
});

Deno.test("T44 channels choose their batch each for itself", () => {
  const m = kvfreeMachine();
  script(m, function* (k) {
    for (const p of yield* newObjects(k, 3)) yield* kvfree_rcu(k, p);
    yield* sleepJiffies(k, 8);
    assertEquals(lengths(krc0(k).batches[0].slab), [3]);
    yield* kvfree_rcu(k, yield* newObject(k));
    yield* kvfree_rcu(k, yield* vmalloc(k, 64));
    yield* sleepJiffies(k, 8);
    const [first, second] = krc0(k).batches;
    assertEquals([lengths(first.slab), lengths(first.vmalloc)], [[3], [1]], "vmalloc: the busy batch");
    assertEquals([lengths(second.slab), lengths(second.vmalloc)], [[1], []], "slab: the other one");
    yield* m.rcu.pass(k);
    yield* sleepJiffies(k, 1);
  });
});

Deno.test("T45 the worker refills the spare of the CPU that collected, wherever it runs", () => {
  const m = kvfreeMachine();
  script(m, function* (k) {
    yield* kvfree_rcu(k, yield* newObject(k));
    const block = krc0(k).slab[0].addr;
    yield* sleepJiffies(k, 8);
    yield* onCpu(k, 1, (k) => m.rcu.pass(k));
    yield* sleepJiffies(k, 2);
    assertEquals(krcState(k).map((s) => s.spares[0]), [block, NULL, NULL, NULL]);
  });
  assertEquals(executionsOf(m.k, "kfree_rcu_work").map((r) => r.cpu), [1]);
});

Deno.test("T23 T68 before it is initialised every object goes on the list, headless ones wrapped, without the lock", () => {
  const m = kvfreeMachine({}, false, true);
  script(m, function* (k) {
    const [a, b] = yield* newObjects(k, 2);
    yield* queue2(k, a);
    yield* kvfree_rcu(k, b);
    const state = krc0(k);
    assertEquals([state.slab.length, state.list.length, state.initialized], [0, 2, false]);
    assertEquals([...k.kvfree.pendingAddresses(k)], [b, a]);
    assertEquals(state.monitorPending, false);
    yield* kfree_rcu_batch_init(k);
    rcu_scheduler_active.set(k, RCU_SCHEDULER_RUNNING);
    yield* kfree_rcu_scheduler_running(k);
    assertEquals(krc0(k).monitorPending, true);
    yield* drain(m);
    assertEquals([isLive(k, a), isLive(k, b)], [false, false]);
  });
});

Deno.test("T24 T47 at RUNNING only a CPU with a list gets a timer; vmalloc objects in a block get none", () => {
  const m = kvfreeMachine();
  const { k } = m;
  rcu_scheduler_active.set(k, 1);
  script(m, function* (k) {
    yield* kvfree_rcu(k, yield* vmalloc(k, 64));
    yield* kvfree_rcu(k, yield* newObject(k));
    yield* onCpu(k, 1, function* (k) {
      const p = yield* newObject(k);
      failPages(k);
      yield* queue2(k, p);
      clearFailRules(k);
    });
    assertEquals(krcState(k).map((s) => s.monitorPending), [false, false, false, false]);
    rcu_scheduler_active.set(k, RCU_SCHEDULER_RUNNING);
    yield* kfree_rcu_scheduler_running(k);
    assertEquals(krcState(k).map((s) => s.monitorPending), [false, true, false, false]);
    yield* drain(m);
    assertEquals([lengths(krc0(k).vmalloc), lengths(krc0(k).slab)], [[1], [1]], "B11: still there");
    yield* kvfree_rcu(k, yield* newObject(k));
    yield* drain(m);
  });
});

Deno.test("T48 T64 on an idle CPU a failed page makes the monitor run at once, also for a wrapped object", () => {
  for (const headless of [false, true]) {
    const m = kvfreeMachine();
    let first = 0;
    script(m, function* (k) {
      const p = yield* newObject(k);
      failPages(k);
      first = k.now();
      if (headless) yield* kvfree_rcu(k, p);
      else yield* queue2(k, p);
      assertEquals(krc0(k).list.length, 1);
      yield* drain(m);
    });
    const [ran] = monitorJiffies(m.k, first);
    assert(ran < 1, `headless ${headless}: monitor after ${ran} jiffies`);
  }
});

Deno.test("T49 B7 a failed page does not shorten a timer that is armed", () => {
  const m = kvfreeMachine();
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

for (const [HZ, D] of [[100, 2], [250, 5], [300, 6], [1000, 20]]) {
  Deno.test(`T50 the timer is armed for ${D} jiffies, and further calls arm nothing [HZ=${HZ}]`, () => {
    const m = kvfreeMachine({ HZ });
    let first = 0;
    script(m, function* (k) {
      const [a, b] = yield* newObjects(k, 2);
      first = k.now();
      yield* kvfree_rcu(k, a);
      yield* sleepJiffies(k, 1);
      yield* kvfree_rcu(k, b);
      yield* sleepJiffies(k, D + 2);
      yield* m.rcu.pass(k);
      yield* sleepJiffies(k, 2);
    });
    const ran = monitorJiffies(m.k, first);
    assertEquals(ran.length, 1);
    assert(ran[0] > D && ran[0] <= D + 1.1, `monitor after ${ran[0]} jiffies`);
    assertEquals([m.rcu.callRcus, m.rcu.ended], [1, 1]);
  });
}

Deno.test("T50 with a failed page too it is one call_rcu and one normal grace period", () => {
  const m = kvfreeMachine();
  script(m, function* (k) {
    const [a, b] = yield* newObjects(k, 2);
    failPages(k);
    yield* queue2(k, a);
    yield* queue2(k, b);
    yield* drain(m);
  });
  assertEquals([m.rcu.callRcus, m.rcu.ended, m.rcu.synchronized], [1, 1, 0]);
});

Deno.test("T16 T51 with both batches busy the monitor comes back every D jiffies, also for the list", () => {
  const m = kvfreeMachine();
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

// Shrinker

Deno.test("T25 T26 T29 the shrinker counts what waits for no grace period, and starts one at once", () => {
  const m = kvfreeMachine();
  script(m, function* (k) {
    const from = k.now();
    for (const p of yield* newObjects(k, 3)) yield* kvfree_rcu(k, p);
    yield* onCpu(k, 1, function* (k) {
      for (const p of yield* newObjects(k, 4)) yield* kvfree_rcu(k, p);
    });
    const sc = new shrink_control(GFP_KERNEL);
    const [count, scan] = shrinkerFunctions(k);
    assertEquals(yield* count(sc), 7);
    sc.nr_to_scan = 100;
    assertEquals([yield* scan(sc), sc.nr_to_scan], [7, 93]);
    assertEquals(krcState(k).map((s) => s.batches[0].pending), [true, true, false, false]);
    assertEquals(yield* count(sc), 0);
    assertEquals([krc0(k).monitor_todo, krc0(k).monitorPending], [false, true], "the old timer stays");
    assertEquals(monitorJiffies(k, from), []);
    yield* drain(m);
    assertEquals(monitorJiffies(k, from).length, 2, "and finds nothing to do");
  });
  assertEquals(m.rcu.callRcus, 2);
});

Deno.test("T27 a scan stops at the CPU where the sum reaches nr_to_scan", () => {
  const m = kvfreeMachine();
  script(m, function* (k) {
    for (const cpu of [0, 1, 2]) {
      yield* onCpu(k, cpu, function* (k) {
        for (const p of yield* newObjects(k, 5)) yield* kvfree_rcu(k, p);
      });
    }
    const sc = new shrink_control(GFP_KERNEL);
    sc.nr_to_scan = 10;
    assertEquals(yield* shrinkerFunctions(k)[1](sc), 10);
    assertEquals(krcState(k).map((s) => s.batches[0].pending), [true, true, false, false]);
    yield* drain(m);
  });
});

// The two known defects of the series

Deno.test("B8 objects whose channel finds no empty batch are stranded until the next call on that CPU", () => {
  const m = kvfreeMachine();
  let late: VirtAddr[] = [];
  script(
    m,
    function* (k) {
      for (let i = 0; i < 2; i++) {
        for (const p of yield* newObjects(k, 10)) yield* queue2(k, p);
        yield* sleepJiffies(k, 8);
      }
      assertEquals(krc0(k).batches.map((b) => lengths(b.slab)), [[10], [10]], "both batches wait");
      late = yield* newObjects(k, 5);
      for (const p of late) yield* queue2(k, p);
      for (let i = 0; i < 5; i++) yield* queue2(k, yield* vmalloc(k, 64));
      yield* sleepJiffies(k, 8);
      assertEquals(lengths(krc0(k).batches[0].vmalloc), [5], "the vmalloc channel was free");
      yield* m.rcu.pass(k);
      yield* sleepJiffies(k, 7 * k.config.HZ);
      const state = krc0(k);
      assertEquals(
        [lengths(state.slab), state.count, state.monitor_todo, state.monitorPending],
        [[5], 0, false, false],
      );
      assertEquals(late.map((p) => isLive(k, p)), [true, true, true, true, true]);
    },
    0,
    "undrained",
  );
  // As recorded: one more call frees six.
  const since = m.k.seq;
  script(m, function* (k) {
    yield* queue2(k, yield* newObject(k));
    yield* drain(m);
  });
  assertEquals(bulkEvents(m.k, since).map((r) => arg(r, "nr_records")), [6]);
  assertEquals(late.filter((p) => isLive(m.k, p)), []);
});

Deno.test("B9 a channel attached to a batch in flight is freed by the older grace period, under a reader", () => {
  const m = kvfreeMachine();
  script(m, function* (k) {
    for (const p of yield* newObjects(k, 10)) yield* queue2(k, p);
    yield* sleepJiffies(k, 8);
    m.rcu.begin();
    const seen = yield* vmalloc(k, 64);
    let readerSaw = "";
    yield* startOn(k, 1, function* (k) {
      yield* rcu_read_lock(k);
      for (let i = 0; i < 20 && readerSaw === ""; i++) {
        yield* udelay(k, 4000);
        if (!isLive(k, seen)) readerSaw = "freed memory";
      }
      yield* rcu_read_unlock(k);
    });
    yield* sleepJiffies(k, 1);
    yield* kvfree_rcu(k, seen);
    yield* sleepJiffies(k, 8);
    assertEquals(lengths(krc0(k).batches[0].vmalloc), [1], "in the batch whose grace period runs");
    assertEquals(m.rcu.callRcus, 1, "no grace period of its own");
    yield* m.rcu.end(k);
    yield* sleepJiffies(k, 2);
    assertEquals(readerSaw, "freed memory");
  });
});

// The fast path

Deno.test("kvfree_call_rcu() is the same run with and without its plain fast path [seeds=5]", () => {
  for (let seed = 1; seed <= 5; seed++) {
    const hashes = [Infinity, 1].map((chunk) => {
      const m = kvfreeMachine({ seed }, true);
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

Deno.test("kvfree_call_rcu() is exported in both faces", () => {
  const m = kvfreeMachine();
  script(m, function* (k) {
    const [a, b] = yield* newObjects(k, 2);
    yield* tree_kvfree.kvfree_call_rcu(k, (a + 48) as VirtAddr, 48);
    yield* tree_kvfree.kvfree_call_rcu(k, null, b);
    assertEquals(lengths(krc0(k).slab), [2]);
    yield* drain(m);
    assertEquals([isLive(k, a), isLive(k, b)], [false, false]);
  });
});
