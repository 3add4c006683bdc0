// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of rcu/levels/tree/v6.5.ts: full snapshots and the checks by them, the krc that is locked again, the refill that
 * fetches what is missing. T numbers are the checkable behaviours of kvfree_rcu(), B numbers its known defects; where a
 * defect ends here, the levels before are shown to have it.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Ptr, VirtAddr } from "../../../kernel/machine/brand.ts";
import type { MaySleep } from "../../../kernel/machine/effects.ts";
import { POINT_ALLOC } from "../../../kernel/machine/points.ts";
import { cpumask_of } from "../../../kernel/cpumask.ts";
import { __GFP_NOMEMALLOC, __GFP_NORETRY, __GFP_NOWARN, gfp } from "../../../kernel/gfp.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { current, set_cpus_allowed_ptr } from "../../../kernel/sched/core.ts";
import { shrink_control } from "../../../mm/vmscan.ts";
import {
  type Config,
  GFP_KERNEL,
  kfree_rcu,
  kfree_rcu_mightsleep,
  kvfree_rcu,
  kvfree_rcu_mightsleep,
  type Level,
  vmalloc,
} from "../../../mod.ts";
import { krcState, krcView } from "../../../rcu/kvfree.ts";
import { eventsOf, executionsOf } from "../../machines.ts";
import {
  isLive,
  krc0,
  type KvfreeMachine,
  kvfreeMachine,
  lengths,
  monitorIsOver,
  newObject,
  newObjects,
  object,
  queue2,
  script,
  shrinkerFunctions,
  sleepJiffies,
} from "../kvfree_machine.ts";
import { levels, queue1 } from "./levels.ts";
import { cached, pagesTaken } from "./page_cache.ts";

const FROM_6_5: readonly Level[] = levels("v6.5");

function* monitor(k: Kernel): MaySleep<void> {
  yield* sleepJiffies(k, monitorIsOver(k));
}

Deno.test("T108 507 pointers in a block with a full snapshot [level=v6.5 v6.12]", () => {
  for (const level of FROM_6_5) {
    const { capacity, records, nr_records } = krcView(level).shape;
    assertEquals([capacity, records, nr_records], [507, 40, 32]);
    const m = kvfreeMachine({ level, cpus: 1 });
    script(m, function* (k) {
      const objects = yield* newObjects(k, 508);
      for (const p of objects.slice(0, 507)) yield* queue1(k, p);
      assertEquals(lengths(krc0(k).slab), [507]);
      yield* queue1(k, objects[507]);
      assertEquals(lengths(krc0(k).slab), [1, 507]);
      yield* sleepJiffies(k, 2);
      yield* m.rcu.pass(k);
      yield* sleepJiffies(k, 1);
    });
  }
});

for (const level of FROM_6_5) {
  Deno.test(`T109 a pointer alone is an error, *_mightsleep() are for that [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const [p, q, r, s] = (yield* newObjects(k, 4)) as Ptr<typeof object>[];
      assertThrows(() => kvfree_rcu(k, p), TypeError);
      assertThrows(() => (kfree_rcu as unknown as (k: Kernel, p: VirtAddr) => unknown)(k, p), TypeError);
      assertEquals(krc0(k).count, 0);
      yield* kvfree_rcu_mightsleep(k, p);
      yield* kfree_rcu_mightsleep(k, q);
      yield* kvfree_rcu(k, r, object, "rcu");
      yield* kfree_rcu(k, s, object, "rcu");
      assertEquals([krc0(k).count, lengths(krc0(k).slab)], [4, [4]]);
      yield* m.rcu.pass(k);
      yield* monitor(k);
    });
  });
}

/** Pages that the refill took after event `since`; workers that are made meanwhile take others. */
function fetched(k: Kernel, since: number): number {
  const gfp_mask: number = gfp(GFP_KERNEL, __GFP_NORETRY, __GFP_NOMEMALLOC, __GFP_NOWARN);
  return pagesTaken(k, since).filter((flags) => flags === gfp_mask).length;
}

/** Calls on a machine without a page cache; how many pages were taken, refills run and timers started. */
function withoutCache(level: Level): { pages: number; refills: number; timers: number } {
  const m = kvfreeMachine({ level, rcuMinCachedObjs: 0 });
  const { k } = m;
  const found = { pages: 0, refills: 0, timers: 0 };
  script(m, function* (k) {
    const p = yield* newObject(k);
    const since = k.seq;
    yield* queue2(k, p);
    assertEquals([krc0(k).list.length, krc0(k).slab.length], [1, 0]);
    yield* sleepJiffies(k, 3);
    found.pages = fetched(k, since);
    found.refills = executionsOf(k, "fill_page_cache_func", since).length;
    found.timers = eventsOf(k, "hrtimer_init", since).length;
    const [count, scan] = shrinkerFunctions(k);
    const sc = new shrink_control(GFP_KERNEL);
    assertEquals([yield* count(sc), yield* scan(sc)], [1, 1]);
    yield* m.rcu.pass(k);
    yield* monitor(k);
    assertEquals(isLive(k, p), false);
  });
  assertEquals(cached(k), [0, 0, 0, 0]);
  return found;
}

Deno.test("T110 without a page cache nothing is sent for pages; before, a worker went for nothing (B18)", () => {
  for (const level of FROM_6_5) assertEquals(withoutCache(level), { pages: 0, refills: 0, timers: 0 }, level);
  // The loop ends before its first page: it goes up to the limit of 0.
  for (const level of levels("v6.3-rc1", "v6.3")) {
    assertEquals(withoutCache(level), { pages: 0, refills: 1, timers: 1 }, level);
  }
});

/** A refill that finds one page: how many it takes, and how many there are then. `backoff` when memory was short before. */
function refill(level: Level, backoff: boolean): number[] {
  const m = kvfreeMachine({ level, rcuDelayPageCacheFillMsec: 40 });
  let pages: number[] = [];
  script(m, function* (k) {
    const [count, scan] = shrinkerFunctions(k);
    const area = yield* vmalloc(k, 64);
    const p = yield* newObject(k);
    yield* queue1(k, area);
    yield* m.rcu.pass(k);
    const sc = new shrink_control(GFP_KERNEL);
    if (backoff) assertEquals(yield* count(sc), 1);
    const since = k.seq;
    yield* queue2(k, p);
    assertEquals([krc0(k).list.length, cached(k)[0]], [1, 0], "the refill is on its way");
    sc.nr_to_scan = 1;
    yield* scan(sc);
    assertEquals(isLive(k, area), false, "which gave its block to the cache");
    yield* sleepJiffies(k, 40);
    assertEquals(executionsOf(k, "fill_page_cache_func", since).length, 1);
    pages = [fetched(k, since), cached(k)[0]];
    yield* m.rcu.pass(k);
    yield* monitor(k);
  });
  return pages;
}

Deno.test("T111 a refill fetches the pages that are missing; before, one more, or one too many (B18)", () => {
  for (const level of FROM_6_5) {
    assertEquals([refill(level, false), refill(level, true)], [[4, 5], [0, 1]], level);
  }
  for (const level of levels("v6.3-rc1", "v6.3")) {
    assertEquals([refill(level, false), refill(level, true)], [[5, 5], [1, 2]], level);
  }
});

/** Runs `code` and, at its first allocation, has the task go on on CPU `cpu`. */
function* migrating(k: Kernel, cpu: number, code: MaySleep<void>): MaySleep<void> {
  const { slow } = k;
  let allocating = false;
  k.slow = (kind, site) => {
    const mustYield = slow.call(k, kind, site);
    k.kick();
    allocating = kind === POINT_ALLOC;
    return mustYield || allocating;
  };
  k.kick();
  for (let moved = false;;) {
    const step = code.next();
    if (step.done === true) return;
    if (moved || !allocating) {
      yield step.value;
      continue;
    }
    moved = true;
    k.slow = slow;
    assertEquals(yield* set_cpus_allowed_ptr(k, current(k), cpumask_of(k, cpu)), 0);
    assertEquals(k.cpu.id, cpu);
  }
}

/** Blocks of CPU 0 and CPU 1 after a call without a head that moved from one to the other while it allocated. */
function blocksAfterMove(level: Level): number[][] {
  const m = kvfreeMachine({ level });
  let found: number[][] = [];
  script(m, function* (k) {
    const p = yield* newObject(k);
    yield* migrating(k, 1, queue1(k, p));
    found = krcState(k).slice(0, 2).map((s) => lengths(s.slab));
    assertEquals(krcState(k).map((s) => s.locked), [false, false, false, false]);
    yield* monitor(k);
    yield* m.rcu.pass(k);
    yield* sleepJiffies(k, 2);
    assertEquals(isLive(k, p), false);
  });
  return found;
}

Deno.test("T112 a call that moves while it allocates attaches its block where it came from", () => {
  for (const level of FROM_6_5) assertEquals(blocksAfterMove(level), [[1], []], level);
});

Deno.test("T112 B16: before, where it had got to [level=v5.13...v6.3]", () => {
  for (const level of levels("v5.13", "v6.3")) assertEquals(blocksAfterMove(level), [[], [1]], level);
});

/** A machine whose batch is freed although its snapshots say that no grace period has passed. */
function early(level: Level, wanted: Partial<Config> = {}): { m: KvfreeMachine; batch: Batch } {
  const m = kvfreeMachine({ level, debugObjects: true, ...wanted });
  function* batch(k: Kernel, objects: readonly VirtAddr[], list: boolean): MaySleep<void> {
    for (const p of objects) yield* list ? queue2(k, p) : queue1(k, p);
    yield* monitor(k);
    const { poll_state_synchronize_rcu_full } = k.rcu;
    k.rcu = { ...k.rcu, poll_state_synchronize_rcu_full: () => false };
    yield* m.rcu.pass(k);
    yield* sleepJiffies(k, 1);
    k.rcu = { ...k.rcu, poll_state_synchronize_rcu_full };
  }
  return { m, batch };
}

type Batch = (k: Kernel, objects: readonly VirtAddr[], list: boolean) => MaySleep<void>;

for (const level of FROM_6_5) {
  for (const list of [false, true]) {
    const what = list ? "list" : "block";
    Deno.test(`B17 a ${what} without its grace period is reported, leaked, and still counts as queued [level=${level}]`, () => {
      const { m, batch } = early(level);
      script(m, function* (k) {
        const [p, again] = yield* newObjects(k, 2);
        yield* batch(k, [p], list);
        assertEquals([isLive(k, p), k.reports.length], [true, 1]);
        assert(k.reports[0].lines.some((line) => line.includes(list ? "kfree_rcu_work" : "kvfree_rcu_bulk")));
        // The debug object was not told that it is over.
        yield* queue1(k, p);
        assertEquals(k.reports.length, 4, "a double free");
        assertEquals(krc0(k).count, 0);
        yield* queue1(k, again);
        yield* m.rcu.pass(k);
        yield* monitor(k);
      }, 4);
    });
  }
}

Deno.test("B17 v6.3 has no check: what is freed too early is freed [level=v6.3-rc1 v6.3]", () => {
  for (const level of levels("v6.3-rc1", "v6.3")) {
    const { m, batch } = early(level);
    script(m, function* (k) {
      const p = yield* newObject(k);
      yield* batch(k, [p], false);
      assertEquals([isLive(k, p), k.reports.length], [false, 0]);
    });
  }
});
