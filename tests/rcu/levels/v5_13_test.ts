// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of rcu/levels/tree/v5.13.ts: a call without a head takes its own page, without the lock. T numbers are the checkable
 * behaviours of kvfree_rcu(); a test whose behaviour goes on runs at the later levels too.
 */
import { assertEquals } from "@std/assert";
import type { VirtAddr } from "../../../kernel/machine/brand.ts";
import type { MaySleep } from "../../../kernel/machine/effects.ts";
import { cpumask_set_cpu, cpumask_t } from "../../../kernel/cpumask.ts";
import { clearFailRules } from "../../../kernel/fault_inject.ts";
import { current, set_cpus_allowed_ptr } from "../../../kernel/sched/core.ts";
import { register_shrinker, SHRINK_STOP, shrinker } from "../../../mm/vmscan.ts";
import {
  __get_free_page,
  __GFP_NOWARN,
  free_page,
  gfp,
  GFP_NOWAIT,
  type Kernel,
  kvfree_rcu,
  type Level,
  NULL,
  vmalloc,
} from "../../../mod.ts";
import { krcState } from "../../../rcu/kvfree.ts";
import {
  drain,
  failPages,
  isLive,
  krc0,
  kvfreeMachine,
  lengths,
  monitorIsOver,
  newObjects,
  onCpu,
  queue2,
  script,
  sleepJiffies,
} from "../kvfree_machine.ts";
import { cached, OWN_GFP, pagesTaken } from "./page_cache.ts";

const LEVELS_FROM_5_13: readonly Level[] = ["v5.13", "v5.14", "v6.1", "v6.1.192"];

for (const level of LEVELS_FROM_5_13) {
  Deno.test(`T98 T99 a headless call on a cold CPU takes a page and does not wait [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const objects = yield* newObjects(k, 511);
      const area = yield* vmalloc(k, 64);
      const since = k.seq;
      for (const p of objects) yield* kvfree_rcu(k, p);
      yield* kvfree_rcu(k, area);
      assertEquals(
        pagesTaken(k, since),
        [OWN_GFP, OWN_GFP, OWN_GFP],
        "with the lock held it would be reported",
      );
      assertEquals([lengths(krc0(k).slab), lengths(krc0(k).vmalloc)], [[1, 510], [1]]);
      assertEquals([krc0(k).count, m.rcu.synchronized, isLive(k, objects[0])], [512, 0, true]);
      yield* sleepJiffies(k, 2);
      assertEquals(cached(k)[0], 0, "and the worker is not sent");
      yield* drain(m);
      assertEquals(cached(k)[0], 3, "the blocks are kept");
    });
  });

  Deno.test(`T99 a call with a head takes no page, though one without did [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const [a, b] = yield* newObjects(k, 2);
      const area = yield* vmalloc(k, 64);
      yield* kvfree_rcu(k, a);
      const since = k.seq;
      yield* queue2(k, b);
      yield* queue2(k, area);
      assertEquals([pagesTaken(k, since), lengths(krc0(k).slab), krc0(k).list.length], [[], [2], 1]);
      yield* sleepJiffies(k, 2);
      yield* drain(m);
    });
  });

  Deno.test(`T93 without a page a headless object is freed by its caller, and the worker is sent [level=${level}]`, () => {
    const m = kvfreeMachine({ level }, true);
    script(m, function* (k) {
      const objects = yield* newObjects(k, 2);
      failPages(k);
      yield* kvfree_rcu(k, objects[0]);
      assertEquals([isLive(k, objects[0]), m.rcu.synchronized, krc0(k).count], [false, 1, 0]);
      assertEquals(cached(k)[0], 5, "filled meanwhile");
      yield* kvfree_rcu(k, objects[1]);
      assertEquals([isLive(k, objects[1]), m.rcu.synchronized, krc0(k).count], [true, 1, 1]);
      clearFailRules(k);
      yield* sleepJiffies(k, monitorIsOver(k) + 8);
      assertEquals(isLive(k, objects[1]), false);
    });
  });

  Deno.test(`B16 T112 a task that moves while it allocates puts the block where it wakes up [level=${level}]`, () => {
    const m = kvfreeMachine({ level, memBytes: 16 * 2 ** 20 });
    script(m, function* (k) {
      const [mine] = yield* newObjects(k, 1);
      const theirs = yield* newObjects(k, 3);
      yield* onCpu(k, 1, function* (k) {
        for (const p of theirs) yield* kvfree_rcu(k, p);
      });
      assertEquals(krcState(k).map((s) => lengths(s.slab)), [[], [3], [], []]);
      const pages: VirtAddr[] = [];
      yield* movesInReclaim(k, pages);
      yield* exhaust(k, pages);
      assertEquals(k.cpu.id, 0);
      yield* kvfree_rcu(k, mine);
      assertEquals(k.cpu.id, 1, "it was moved");
      assertEquals(krcState(k).map((s) => lengths(s.slab)), [[], [1, 3], [], []], "although there was room");
      assertEquals(krcState(k).map((s) => s.count), [0, 4, 0, 0]);
      for (const p of pages) yield* free_page(k, p);
      yield* drain(m);
    });
  });
}

/** Takes all pages that can be had without sleeping. */
function* exhaust(k: Kernel, pages: VirtAddr[]): MaySleep<void> {
  for (;;) {
    const page = yield* __get_free_page(k, gfp(GFP_NOWAIT, __GFP_NOWARN));
    if (page === NULL) return;
    pages.push(page);
  }
}

/** The caller is moved to CPU 1 when it reclaims memory, and finds pages. */
function* movesInReclaim(k: Kernel, pages: VirtAddr[]): MaySleep<void> {
  const caller = current(k);
  const cpu1 = new cpumask_t(k.config.cpus);
  cpumask_set_cpu(1, cpu1);
  function* count_objects(k: Kernel): MaySleep<number> {
    if (current(k) !== caller) return 0;
    if (k.cpu.id !== 1) yield* set_cpus_allowed_ptr(k, caller, cpu1);
    return pages.length;
  }
  function* scan_objects(k: Kernel): MaySleep<number> {
    if (current(k) !== caller || pages.length < 100) return SHRINK_STOP;
    for (let i = 0; i < 100; i++) yield* free_page(k, pages.pop() as VirtAddr);
    if (caller.reclaim_state !== null) caller.reclaim_state.reclaimed_slab += 100;
    return 100;
  }
  yield* register_shrinker(k, new shrinker(count_objects, scan_objects));
}
