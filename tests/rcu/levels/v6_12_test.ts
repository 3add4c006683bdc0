// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of rcu/levels/tree/v6.12.ts: kvfree_rcu_barrier(), one batch for each run of the monitor, unbound work. T numbers
 * are the checkable behaviours of kvfree_rcu().
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { VirtAddr } from "../../../kernel/machine/brand.ts";
import { kallsyms_lookup } from "../../../kernel/kallsyms.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { complete, completion, wait_for_completion } from "../../../kernel/sched/completion.ts";
import { system_unbound_wq, system_wq } from "../../../kernel/workqueue.ts";
import { GFP_KERNEL, kvfree_rcu_barrier, type Level, vmalloc } from "../../../mod.ts";
import { kmem_cache_create, kmem_cache_destroy } from "../../../mm/slab_common.ts";
import { kmem_cache_alloc } from "../../../mm/slub.ts";
import { krcState } from "../../../rcu/kvfree.ts";
import { arg, eventsOf } from "../../machines.ts";
import {
  failPages,
  isLive,
  krc0,
  kvfreeMachine,
  lengths,
  monitorIsOver,
  newObject,
  newObjects,
  onCpu,
  queue2,
  script,
  sleepJiffies,
  startOn,
} from "../kvfree_machine.ts";
import { levels, queue1 } from "./levels.ts";

const level: Level = "v6.12";

function liveOnes(k: Kernel, objects: readonly VirtAddr[]): VirtAddr[] {
  return objects.filter((p) => isLive(k, p));
}

Deno.test("T113 kvfree_rcu_barrier() returns when all that was queued on all CPUs is freed [level=v6.12]", () => {
  const m = kvfreeMachine({ level }, true);
  script(m, function* (k) {
    const all: VirtAddr[] = [];
    for (let cpu = 0; cpu < 4; cpu++) {
      yield* onCpu(k, cpu, function* (k) {
        const [p, q] = yield* newObjects(k, 2);
        const area = yield* vmalloc(k, 64);
        yield* queue1(k, p);
        yield* queue1(k, area);
        yield* queue2(k, q);
        all.push(p, q, area);
      });
    }
    assertEquals([liveOnes(k, all).length, krcState(k).map((s) => s.count)], [12, [3, 3, 3, 3]]);
    yield* kvfree_rcu_barrier(k);
    assertEquals(liveOnes(k, all), []);
    assertEquals(krcState(k).map((s) => s.count), [0, 0, 0, 0]);
    assertEquals(krcState(k).map((s) => s.monitorPending), [false, false, false, false], "cancelled");
  });
});

Deno.test("T113 the barrier waits for a batch in flight although nothing is left to hand over [level=v6.12]", () => {
  const m = kvfreeMachine({ level });
  script(m, function* (k) {
    const p = yield* newObject(k);
    yield* queue1(k, p);
    yield* sleepJiffies(k, monitorIsOver(k));
    assertEquals([krc0(k).batches[0].pending, krc0(k).count], [true, 0]);
    const over = new completion("over");
    yield* startOn(k, 1, function* (k) {
      yield* kvfree_rcu_barrier(k);
      complete(k, over);
    });
    yield* sleepJiffies(k, 2);
    assertEquals([isLive(k, p), over.done], [true, 0]);
    yield* m.rcu.pass(k);
    yield* wait_for_completion(k, over);
    assertEquals([isLive(k, p), m.rcu.callRcus], [false, 1]);
  });
});

Deno.test("T113 both batches in flight: the barrier flushes them to have one for the rest [level=v6.12]", () => {
  const m = kvfreeMachine({ level });
  script(m, function* (k) {
    const all = yield* newObjects(k, 3);
    for (const p of all.slice(0, 2)) {
      yield* queue1(k, p);
      yield* sleepJiffies(k, monitorIsOver(k));
    }
    yield* queue1(k, all[2]);
    assertEquals([krc0(k).batches.map((b) => lengths(b.slab)), krc0(k).count], [[[1], [1]], 1]);
    const over = new completion("over");
    yield* startOn(k, 1, function* (k) {
      yield* kvfree_rcu_barrier(k);
      complete(k, over);
    });
    yield* sleepJiffies(k, 2);
    assertEquals([liveOnes(k, all), over.done], [all, 0]);
    yield* m.rcu.pass(k);
    yield* sleepJiffies(k, 2);
    assertEquals(
      [liveOnes(k, all), over.done, krc0(k).count],
      [[all[2]], 0, 0],
      "the third waits by a batch",
    );
    yield* m.rcu.pass(k);
    yield* wait_for_completion(k, over);
    assertEquals(liveOnes(k, all), []);
  });
});

Deno.test("T113 calls that free inline are not waited for [level=v6.12]", () => {
  const m = kvfreeMachine({ level });
  script(m, function* (k) {
    const p = yield* newObject(k);
    // No page, no cached one: the call waits for a grace period itself.
    failPages(k);
    yield* startOn(k, 1, (k) => queue1(k, p));
    yield* sleepJiffies(k, 1);
    assertEquals(m.rcu.synchronized, 1);
    yield* kvfree_rcu_barrier(k);
    assertEquals(isLive(k, p), true);
    yield* m.rcu.pass(k);
    yield* sleepJiffies(k, 1);
    assertEquals(isLive(k, p), false);
  });
});

Deno.test("T114 kvfree_rcu_barrier() on an idle system asks for no grace period [level=v6.12]", () => {
  const m = kvfreeMachine({ level });
  script(m, function* (k) {
    yield* kvfree_rcu_barrier(k);
    assertEquals([m.rcu.callRcus, m.rcu.synchronized, m.rcu.barriers], [0, 0, 0]);
  });
});

Deno.test("there is no barrier before [level=base...v6.5]", () => {
  for (const level of levels("base", "v6.5")) {
    const { k } = kvfreeMachine({ level });
    assertEquals(k.kvfree.kvfree_rcu_barrier, null);
    assertThrows(() => kvfree_rcu_barrier(k), TypeError);
  }
});

Deno.test("T115 a run of the monitor fills one batch, with all that was collected [level=v6.12]", () => {
  const m = kvfreeMachine({ level });
  script(m, function* (k) {
    const area = yield* vmalloc(k, 64);
    const all = [area, ...yield* newObjects(k, 2)];
    yield* queue1(k, area);
    yield* queue2(k, all[1]);
    yield* sleepJiffies(k, 2);
    yield* queue2(k, all[2]);
    const { slab, vmalloc: blocks, list } = krc0(k);
    assertEquals([lengths(slab), lengths(blocks), list.length], [[1], [1], 1]);
    yield* sleepJiffies(k, monitorIsOver(k));
    const [first, second] = krc0(k).batches;
    assertEquals([lengths(first.slab), lengths(first.vmalloc), first.list.length], [[1], [1], 1]);
    assertEquals([second.slab, second.vmalloc, second.list, second.pending], [[], [], [], false]);
    assertEquals(m.rcu.callRcus, 1);
    yield* m.rcu.pass(k);
    yield* sleepJiffies(k, 2);
    assertEquals(liveOnes(k, all), []);
  });
});

Deno.test("the monitor and the batches are unbound work [level=v6.5 v6.12]", () => {
  for (const level of levels("v6.5")) {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* queue1(k, yield* newObject(k));
      yield* sleepJiffies(k, monitorIsOver(k));
      yield* m.rcu.pass(k);
      yield* sleepJiffies(k, 2);
    });
    const { k } = m;
    for (const name of ["kfree_rcu_monitor", "kfree_rcu_work"]) {
      const queues = eventsOf(k, "workqueue_queue_work").filter((r) =>
        kallsyms_lookup(k, arg(r, "function")) === name
      ).map((r) => arg(r, "workqueue"));
      const wq = level === "v6.12" ? system_unbound_wq(k) : system_wq(k);
      assertEquals(queues, [wq.addr as number], name);
    }
  }
});

/** What destroying a cache says, one of whose objects waits in kvfree_rcu(). */
function destroyed(level: Level): string[] {
  const m = kvfreeMachine({ level }, true);
  const { k } = m;
  script(m, function* (k) {
    const cache = yield* kmem_cache_create(k, "victims", 1000, 8, 0, null);
    assert(cache !== null && cache.refcount === 1, "not merged");
    const p = yield* kmem_cache_alloc(k, cache, GFP_KERNEL);
    yield* k.kvfree.kvfree_call_rcu(k, null, p);
    yield* kmem_cache_destroy(k, cache);
    yield* sleepJiffies(k, monitorIsOver(k) + 10);
  }, level === "v6.12" ? 0 : 2);
  return k.reports.map(({ title }) => title).filter((title) => title.startsWith("kmem_cache_destroy"));
}

Deno.test("B20 kmem_cache_destroy() waits for what kvfree_rcu() holds [level=v6.5 v6.12]", () => {
  assertEquals(destroyed("v6.12"), []);
  assertEquals(destroyed("v6.5"), ["kmem_cache_destroy victims: Slab cache still has objects"]);
});
