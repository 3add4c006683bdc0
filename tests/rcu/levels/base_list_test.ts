// SPDX-License-Identifier: GPL-2.0-only
/**
 * kvfree_rcu() of tree RCU as the base of the series has it, at every level that still behaves so: objects that get no
 * block, wrong calls, and what a caller may not rely on. T numbers are the checkable behaviours of kvfree_rcu().
 */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import type { Ptr, VirtAddr } from "../../../kernel/machine/brand.ts";
import { clearFailRules, listFailRules } from "../../../kernel/fault_inject.ts";
import { rcu_scheduler_active, RCU_SCHEDULER_RUNNING } from "../../../kernel/system_state.ts";
import { slabObjectAt } from "../../../mm/slab_live.ts";
import { krcState } from "../../../rcu/kvfree.ts";
import {
  __GFP_NOWARN,
  addFailRule,
  array,
  boot,
  current,
  embed,
  gfp,
  GFP_KERNEL,
  GFP_NOWAIT,
  kfree_rcu,
  kmalloc,
  kvfree_rcu,
  levelAtLeast,
  NULL,
  rcu_barrier,
  rcu_head,
  runToEnd,
  struct,
  u8,
  vmalloc,
} from "../../../mod.ts";
import { arg, eventsOf } from "../../machines.ts";
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
  object,
  onCpu,
  queue2,
  script,
  sleepJiffies,
} from "../kvfree_machine.ts";
import { levels, pagesAtHand, shapeOf } from "./levels.ts";

for (const level of levels("base", "1/7")) {
  Deno.test(`T12 a vmalloc object goes on the list, not into a block, and is freed by vfree [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    const { k } = m;
    const since = k.seq;
    script(m, function* (k) {
      const area = yield* vmalloc(k, 64);
      yield* queue2(k, area);
      assertEquals([krc0(k).slab, krc0(k).list, krc0(k).count], [[], [area + 48] as VirtAddr[], 1]);
      yield* drain(m);
      assertEquals(callbackEvents(k).map((r) => [arg(r, "rhp"), arg(r, "offset")]), [[area + 48, 48]]);
      assertEquals(isLive(k, area), false);
    });
    assertEquals([eventsOf(k, "vfree", since).length, bulkEvents(k, since).length], [1, 0]);
  });
}

for (const level of levels("base", "2/7")) {
  Deno.test(`T13 a failed page makes neither noise nor haste [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const p = yield* newObject(k);
      failPages(k);
      const flags = gfp(GFP_NOWAIT, __GFP_NOWARN);
      const asked = addFailRule(k, { what: "page", gfp: flags, gfpMask: -1, nth: 1000 });
      const [since, from] = [k.seq, k.now()];
      yield* queue2(k, p);
      assertEquals(listFailRules(k).find((r) => r.id === asked)?.matches, 1, "GFP_NOWAIT | __GFP_NOWARN");
      assertEquals(krc0(k).list, [p + 48] as VirtAddr[]);
      assertEquals(eventsOf(k, "mm_vmscan_direct_reclaim_begin", since).length, 0);
      yield* drain(m);
      assertEquals(monitorJiffies(k, from).map((j) => j > 5 && j <= 6.1), [true], "after D");
    }); // and no report
  });
}

for (const level of levels("base", "v5.9")) {
  Deno.test(`T14 with a full block and no memory every call asks for a page again [level=${level}]`, () => {
    const m = kvfreeMachine({ level, rcuMinCachedObjs: 0 });
    script(m, function* (k) {
      const full = shapeOf(k).capacity;
      const objects = yield* newObjects(k, full + 3);
      for (const p of objects.slice(0, full)) yield* queue2(k, p);
      const rule = failPages(k);
      for (const p of objects.slice(full)) yield* queue2(k, p);
      assertEquals(listFailRules(k).find((r) => r.id === rule)?.failures, 3);
      assertEquals([lengths(krc0(k).slab), krc0(k).list.length], [[full], 3]);
      yield* drain(m);
    });
  });
}

// With no pages kept and none to be had, every level puts an object with a head on the list.
for (const level of levels("base")) {
  Deno.test(`T15 T61 the list is freed last in first out, and its calls never block [level=${level}]`, () => {
    const m = kvfreeMachine({ level, rcuMinCachedObjs: 0 });
    script(m, function* (k) {
      const objects = yield* newObjects(k, 20);
      failPages(k);
      addFailRule(k, { what: "slab", site: "attach_rcu_head_to_object", times: -1 });
      const before = current(k).nvcsw;
      for (const p of objects) yield* queue2(k, p);
      assertEquals([current(k).nvcsw - before, krc0(k).list.length, m.rcu.synchronized], [0, 20, 0]);
      clearFailRules(k);
      yield* drain(m);
      const heads = objects.map((p) => p + 48).toReversed();
      assertEquals(callbackEvents(k).map((r) => arg(r, "rhp")), heads);
      assertEquals(objects.filter((p) => slabObjectAt(k, p)?.live === true), []);
    });
  });

  Deno.test(`T18 a second call is reported once, and the object freed once [level=${level}]`, () => {
    const m = kvfreeMachine({ level, debugObjects: true });
    script(m, function* (k) {
      yield* pagesAtHand(m);
      const p = yield* newObject(k);
      for (let i = 0; i < 3; i++) yield* queue2(k, p);
      assertEquals([lengths(krc0(k).slab), krc0(k).count], [[1], 1]);
      yield* drain(m);
      assertEquals(isLive(k, p), false);
    }, 5); // each time a wrong activation and a wrong state, and one warning
    const warnings = m.k.reports.filter((r) => r.title.startsWith("WARNING"));
    assertEquals(warnings.map((r) => r.title.split(" ").at(-1)), ["kvfree_call_rcu"]);
    assertStringIncludes(warnings[0].lines[1], "kvfree_call_rcu(): Double-freed call. rcu_head ffff8880");
  });

  Deno.test(`T19 without debug objects the second call is accepted, and the allocator finds out [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* pagesAtHand(m);
      const p = yield* newObject(k);
      yield* queue2(k, p);
      yield* queue2(k, p);
      assertEquals([lengths(krc0(k).slab), krc0(k).count], [[2], 2]);
      yield* drain(m);
    }, 1);
    assertStringIncludes(m.k.reports[0].title, "double-free");
  });

  Deno.test(`T20 kfree_rcu() and kvfree_rcu() of NULL do nothing [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const since = k.seq;
      yield* kfree_rcu(k, NULL as Ptr<typeof object>, object, "rcu");
      yield* kvfree_rcu(k, NULL as Ptr<typeof object>, object, "rcu");
      assertEquals([krc0(k).count, krc0(k).monitorPending, k.seq - since], [0, false, 0]);
    });
  });

  Deno.test(`T21 the rcu_head must start below byte 4096 [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const near = struct("near", { data: array(u8, 4088), rcu: embed(rcu_head) });
      const far = struct("far", { data: array(u8, 4096), rcu: embed(rcu_head) });
      const p = yield* kmalloc(k, far.size, GFP_KERNEL);
      assertThrows(() => kvfree_rcu(k, p as Ptr<typeof far>, far, "rcu").next(), RangeError, "below 4096");
      assertThrows(() => kfree_rcu(k, p as Ptr<typeof far>, far, "rcu").next(), RangeError, "below 4096");
      assertEquals(krc0(k).count, 0);
      yield* kvfree_rcu(k, p as Ptr<typeof near>, near, "rcu");
      assertEquals(krc0(k).count, 1);
      yield* drain(m);
    });
  });

  Deno.test(`T28 B27 rcu_barrier() does not wait for what is batched [level=${level}]`, () => {
    const k = boot({ level });
    const { ending } = runToEnd(k, "barrier", function* (k) {
      const p = yield* newObject(k);
      yield* queue2(k, p);
      yield* rcu_barrier(k);
      assertEquals(slabObjectAt(k, p)?.live, true);
    });
    assertEquals(ending, "completed");
  });

  Deno.test(`T29 each CPU has its own batches: one is freed while the other waits [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const [a, b] = yield* newObjects(k, 2);
      yield* queue2(k, a);
      yield* sleepJiffies(k, monitorIsOver(k));
      m.rcu.begin();
      yield* onCpu(k, 1, (k) => queue2(k, b));
      assertEquals(krcState(k).map((s) => s.count), [0, 1, 0, 0]);
      yield* m.rcu.end(k);
      yield* sleepJiffies(k, 2);
      assertEquals([a, b].map((p) => slabObjectAt(k, p)?.live === true), [false, true]);
      yield* drain(m);
      assertEquals(slabObjectAt(k, b)?.live === true, false);
    });
  });

  Deno.test(`T23 before it is initialised every object goes on the list [level=${level}]`, () => {
    const m = kvfreeMachine({ level }, false, true);
    script(m, function* (k) {
      const [a, b] = yield* newObjects(k, 2);
      const since = k.seq;
      yield* queue2(k, a);
      yield* queue2(k, b);
      const state = krc0(k);
      assertEquals([state.slab, state.list], [[], [b + 48, a + 48] as VirtAddr[]]);
      assertEquals([state.initialized, state.monitorPending], [false, false]);
      assertEquals(eventsOf(k, "mm_page_alloc", since), []);
      yield* k.kvfree.kfree_rcu_batch_init(k);
      rcu_scheduler_active.set(k, RCU_SCHEDULER_RUNNING);
      yield* k.kvfree.kfree_rcu_scheduler_running(k);
      assertEquals(krc0(k).monitorPending, true);
      yield* drain(m);
      assertEquals([a, b].filter((p) => slabObjectAt(k, p)?.live === true), []);
    });
  });
}

for (const level of levels("base", "v6.1.192")) {
  Deno.test(`T22 a list element with an offset of 4096 or more is not freed, with one warning [level=${level}]`, () => {
    const m = kvfreeMachine({ level, rcuMinCachedObjs: 0 });
    script(m, function* (k) {
      const objects = [yield* kmalloc(k, 8192, GFP_KERNEL), yield* kmalloc(k, 8192, GFP_KERNEL)];
      failPages(k);
      for (const p of objects) yield* k.kvfree.kvfree_call_rcu(k, (p + 4096) as VirtAddr, 4096);
      clearFailRules(k);
      yield* drain(m);
      assertEquals(objects.map((p) => isLive(k, p)), [true, true]);
    }, 1);
    assertStringIncludes(m.k.reports[0].title, "at kfree_rcu_work");
  });
}

for (const level of levels("base", "3/7")) {
  Deno.test(`a call without a head is not there before 4/7 [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const p = yield* newObject(k);
      assertThrows(
        () => k.kvfree.kvfree_call_rcu(k, null, p).next(),
        TypeError,
        `kvfree_call_rcu(NULL, ptr) is not there at level ${level}: it is there from 4/7 on`,
      );
      assertEquals([krc0(k).count, krc0(k).locked, k.cpu.irqsOn], [0, false, true]);
      yield* queue2(k, p);
      yield* drain(m);
    });
  });
}

Deno.test("what is on the list at 2/7 is vmalloc or slab, in the base all vmalloc [level=base,2/7]", () => {
  for (const level of ["base", "2/7"] as const) {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* queue2(k, yield* vmalloc(k, 64));
      yield* queue2(k, yield* newObject(k));
      const { list, slab, vmalloc: areas } = krc0(k);
      const expected = levelAtLeast(level, "2/7") ? [0, 1, 1] : [1, 1, 0];
      assertEquals([list.length, slab.length, areas.length], expected);
      yield* drain(m);
    });
  }
});
