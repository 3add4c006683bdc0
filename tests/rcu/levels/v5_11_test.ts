// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of rcu/levels/tree/v5.11.ts: the page cache is all that a call may use, and a worker fills it. T numbers are the
 * checkable behaviours of kvfree_rcu(); a test whose behaviour goes on runs at the later levels too.
 */
import { assert, assertEquals } from "@std/assert";
import { clearFailRules, listFailRules } from "../../../kernel/fault_inject.ts";
import { system_highpri_wq } from "../../../kernel/workqueue.ts";
import { rcu_scheduler_active, RCU_SCHEDULER_RUNNING } from "../../../kernel/system_state.ts";
import { shrink_control, SHRINK_STOP } from "../../../mm/vmscan.ts";
import { boot, GFP_KERNEL, kvfree_rcu, type Level, POLICY_FINE, vmalloc } from "../../../mod.ts";
import { arg, eventsOf, executionsOf, jiffyNs } from "../../machines.ts";
import {
  drain,
  isLive,
  krc0,
  kvfreeMachine,
  lengths,
  newObject,
  newObjects,
  onCpu,
  queue2,
  script,
  shrinkerFunctions,
  sleepJiffies,
} from "../kvfree_machine.ts";
import { cached, failFills, pagesTaken, warm } from "./page_cache.ts";

const LEVELS_FROM_5_11: readonly Level[] = ["v5.11", "v5.13", "v5.14", "v6.1", "v6.1.192"];

for (const level of LEVELS_FROM_5_11) {
  Deno.test(`T96 with a cold page cache the list, and one refill for all calls [level=${level}]`, () => {
    assertEquals(cached(boot({ level, cpus: 2 })), [0, 0], "boot takes no pages");
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const objects = yield* newObjects(k, 3);
      const since = k.seq;
      for (const p of objects) yield* queue2(k, p);
      assertEquals([krc0(k).list.length, krc0(k).slab.length, krc0(k).count], [3, 0, 3]);
      assertEquals(pagesTaken(k, since), [], "no call takes a page");
      assertEquals(
        executionsOf(k, "fill_page_cache_func", since).length,
        0,
        "not yet: an interrupt sends the worker",
      );
      yield* sleepJiffies(k, 2);
      assertEquals(executionsOf(k, "fill_page_cache_func", since).length, 1);
      assertEquals(cached(k), [5, 0, 0, 0]);
      yield* drain(m);
      assertEquals(objects.map((p) => isLive(k, p)), [false, false, false]);
    });
  });

  Deno.test(`the worker is sent by an hrtimer that runs at once, on the high-priority queue [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    let asked = 0;
    script(m, function* (k) {
      const p = yield* newObject(k);
      asked = k.now();
      yield* queue2(k, p);
      yield* sleepJiffies(k, 2);
      yield* drain(m);
    });
    const { k } = m;
    const [ran] = executionsOf(k, "fill_page_cache_func");
    assert(ran.ns - asked < jiffyNs(k) / 2, `after ${ran.ns - asked} ns: not with the next tick`);
    const queued = eventsOf(k, "workqueue_queue_work").find((r) => arg(r, "work") === arg(ran, "work"));
    assert(queued !== undefined && queued.ns >= asked);
    assertEquals(arg(queued, "workqueue"), system_highpri_wq(k).addr);
  });

  Deno.test(`T97 five pages are cached, and the next five blocks are these [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* warm(m);
      const pages = new Set(krc0(k).spares);
      assertEquals(pages.size, 5);
      const objects = yield* newObjects(k, 4 * 510 + 1);
      const area = yield* vmalloc(k, 64);
      const since = k.seq;
      yield* queue2(k, area);
      for (const p of objects.slice(0, 4 * 510)) yield* queue2(k, p);
      assertEquals([lengths(krc0(k).slab), lengths(krc0(k).vmalloc)], [[510, 510, 510, 510], [1]]);
      assertEquals([...krc0(k).slab, ...krc0(k).vmalloc].filter((b) => !pages.has(b.addr)), []);
      assertEquals([pagesTaken(k, since), krc0(k).list], [[], []]);
      yield* queue2(k, objects[4 * 510]);
      assertEquals(krc0(k).list.length, 1, "the sixth block cannot be had");
      yield* drain(m);
    });
  });

  Deno.test(`rcu_min_cached_objs says how many are cached [level=${level}]`, () => {
    for (const rcuMinCachedObjs of [1, 8]) {
      const m = kvfreeMachine({ level, rcuMinCachedObjs });
      script(m, function* (k) {
        yield* warm(m);
        assertEquals(cached(k)[0], rcuMinCachedObjs);
      });
    }
  });

  Deno.test(`before RUNNING nobody is sent for pages [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    const { k } = m;
    rcu_scheduler_active.set(k, 1);
    script(m, function* (k) {
      yield* queue2(k, yield* newObject(k));
      yield* sleepJiffies(k, 3);
      assertEquals([cached(k)[0], krc0(k).list.length], [0, 1]);
      rcu_scheduler_active.set(k, RCU_SCHEDULER_RUNNING);
      yield* k.kvfree.kfree_rcu_scheduler_running(k);
      yield* drain(m);
    });
  });
}

Deno.test("T98 a headless object on a cold CPU is freed by its caller [level=v5.11]", () => {
  const m = kvfreeMachine({ level: "v5.11" }, true);
  script(m, function* (k) {
    const [a, b] = yield* newObjects(k, 2);
    yield* kvfree_rcu(k, a);
    assertEquals([isLive(k, a), m.rcu.synchronized], [false, 1]);
    assertEquals([krc0(k).count, cached(k)[0]], [0, 5], "meanwhile the page cache was filled");
    yield* kvfree_rcu(k, b);
    assertEquals([isLive(k, b), lengths(krc0(k).slab), m.rcu.synchronized], [true, [1], 1]);
    yield* sleepJiffies(k, 20);
  });
});

for (
  const [level, attempts] of [["v5.11", 5], ["v5.13", 5], ["v5.14", 5], ["v6.1", 1], ["v6.1.192", 1]] as const
) {
  const what = attempts === 1 ? "stops at the first failure" : "B15 goes on asking though there is nothing";
  Deno.test(`the worker ${what} [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const rule = failFills(k);
      yield* queue2(k, yield* newObject(k));
      yield* sleepJiffies(k, 2);
      assertEquals(listFailRules(k).find(({ id }) => id === rule)?.failures, attempts);
      clearFailRules(k);
      assertEquals(cached(k)[0], 0);
      yield* queue2(k, yield* newObject(k));
      yield* sleepJiffies(k, 2);
      assertEquals(cached(k)[0], 5, "the next call sends it again");
      yield* drain(m);
    });
  });
}

for (const level of LEVELS_FROM_5_11) {
  Deno.test(`B18 with no page to be cached the worker is sent all the same [level=${level}]`, () => {
    const m = kvfreeMachine({ level, rcuMinCachedObjs: 0 });
    script(m, function* (k) {
      for (let i = 1; i <= 2; i++) {
        yield* queue2(k, yield* newObject(k));
        yield* sleepJiffies(k, 2);
        assertEquals([executionsOf(k, "fill_page_cache_func").length, cached(k)[0]], [i, 0]);
      }
      yield* drain(m);
    });
  });
}

for (const level of ["v5.11", "v5.13"] as const) {
  Deno.test(`B14 the shrinker does not get the cached pages [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* warm(m);
      const [count, scan] = shrinkerFunctions(k);
      const sc = new shrink_control(GFP_KERNEL);
      assertEquals(yield* count(sc), 0);
      sc.nr_to_scan = 128;
      assertEquals([yield* scan(sc), cached(k)[0]], [SHRINK_STOP, 5]);
    });
  });
}

Deno.test("calls on all CPUs at once and one refill for each [seeds=5]", () => {
  for (const level of LEVELS_FROM_5_11) {
    for (let seed = 1; seed <= 5; seed++) {
      const m = kvfreeMachine({ level, seed, policy: POLICY_FINE });
      script(m, function* (k) {
        for (let cpu = 0; cpu < 4; cpu++) {
          yield* onCpu(k, cpu, function* (k) {
            for (const p of yield* newObjects(k, 3)) yield* queue2(k, p);
          });
        }
        yield* sleepJiffies(k, 3);
        assertEquals(cached(k), [5, 5, 5, 5], `${level} seed ${seed}`);
        yield* drain(m);
      });
      assertEquals(executionsOf(m.k, "fill_page_cache_func").length, 4, `${level} seed ${seed}`);
    }
  }
});
