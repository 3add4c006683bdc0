// SPDX-License-Identifier: GPL-2.0-only
/**
 * B16: the block that a call makes goes to another CPU.
 *
 * A driver keeps buffers, which its shrinker gives back, under a mutex. All other memory is taken. A task on CPU 0 frees a
 * string by its address alone; the page for a block must be reclaimed first, and the shrinker waits for the mutex, which
 * the administrator has: who moves the task to CPU 1 meanwhile. Nothing checks for this, so the program looks where the
 * string is when the call returns; a call that frees it inline collects nothing.
 */

import {
  __GFP_NOWARN,
  complete,
  completion,
  current,
  gfp,
  GFP_KERNEL,
  GFP_NOWAIT,
  type Kernel,
  kfree,
  kmalloc,
  type MaySleep,
  msleep,
  mutex,
  mutex_lock,
  mutex_unlock,
  NULL,
  PAGE_SIZE,
  type Scenario,
  type task_struct,
  type VirtAddr,
  wait_for_completion,
} from "../../mod.ts";
import { done } from "../../kernel/machine/effects.ts";
import { cpumask_of } from "../../kernel/cpumask.ts";
import { smp_processor_id } from "../../kernel/preempt.ts";
import { set_cpus_allowed_ptr } from "../../kernel/sched/core.ts";
import {
  prealloc_shrinker,
  register_shrinker_prepared,
  SHRINK_STOP,
  shrinker,
  unregister_shrinker,
} from "../../mm/vmscan.ts";
import { contentObjects } from "../../rcu/krc_look.ts";
import { krcState, krcView } from "../../rcu/kvfree.ts";
import { type Bug, levelsFromTo } from "./bug.ts";
import { expect } from "./expect.ts";
import { giveHeadless, giveHeadlessNeeds } from "./give_headless.ts";
import { startOn } from "./start_on.ts";

const STRING_BYTES = 40;
const [FROM, TO] = [0, 1];

/** The driver. */
class Driver {
  readonly lock = new mutex("driver->lock");
  readonly buffers: VirtAddr[] = [];
  /** Who has come to reclaim its buffers. */
  readonly reclaimers = new Set<task_struct>();
}

/** Gives buffers back; waits for the mutex. */
function* scanDriver(k: Kernel, driver: Driver, nr_to_scan: number): MaySleep<number> {
  driver.reclaimers.add(current(k));
  yield* mutex_lock(k, driver.lock);
  const buffers = driver.buffers.splice(0, nr_to_scan);
  for (const b of buffers) yield* kfree(k, b);
  mutex_unlock(k, driver.lock);
  return buffers.length === 0 ? SHRINK_STOP : buffers.length;
}

/** Takes all memory but the reserves, also what kswapd frees meanwhile. */
function* takeMemory(k: Kernel, driver: Driver): MaySleep<void> {
  for (let idle = 0; idle < 3; idle++) {
    for (;;) {
      const b = yield* kmalloc(k, PAGE_SIZE, gfp(GFP_NOWAIT, __GFP_NOWARN));
      if (b === NULL) break;
      driver.buffers.push(b);
      idle = 0;
    }
    yield* msleep(k, 20);
  }
}

/** The CPU whose krc holds `p`, or -1. */
function collectorOf(k: Kernel, p: VirtAddr): number {
  const { shape } = krcView(k.config.level);
  return krcState(k).findIndex((krc) =>
    [krc, ...krc.batches].some((content) => contentObjects(k, shape, content).includes(p))
  );
}

/** Frees a string, and looks where it went. */
function* freeString(k: Kernel, p: VirtAddr): MaySleep<void> {
  const began = smp_processor_id(k);
  yield* giveHeadless(k, p);
  const collector = collectorOf(k, p);
  expect(
    k,
    collector === -1 || collector === began,
    "BUG: block on another CPU",
    `the call began on CPU ${began}, and its block is CPU ${collector}'s`,
  );
}

/** Holds the mutex until the task has come for it, and moves the task. */
function* moveTask(k: Kernel, driver: Driver, task: () => task_struct | null): MaySleep<void> {
  for (let i = 0; i < 100; i++) {
    const p = task();
    if (p !== null && driver.reclaimers.has(p)) {
      yield* set_cpus_allowed_ptr(k, p, cpumask_of(k, TO));
      break;
    }
    yield* msleep(k, 1);
  }
  mutex_unlock(k, driver.lock);
}

export const migratesScenario: Scenario = {
  name: "kvfree_migrates",
  summary: "a task frees a string without memory, and is moved to another CPU while it waits for some",
  options: [],
  needs: giveHeadlessNeeds,
  *main(k: Kernel): MaySleep<void> {
    const driver = new Driver();
    const shrink = new shrinker(
      () => done(driver.buffers.length),
      (k, _, { nr_to_scan }) => scanDriver(k, driver, nr_to_scan),
    );
    yield* prealloc_shrinker(k, shrink);
    const p = yield* kmalloc(k, STRING_BYTES, GFP_KERNEL);
    const locked = new completion();
    let task: task_struct | null = null;
    const moved = yield* startOn(k, TO, "admin", function* (k) {
      yield* mutex_lock(k, driver.lock);
      complete(k, locked);
      yield* moveTask(k, driver, () => task);
    });
    const freed = yield* startOn(k, FROM, "freer", function* (k) {
      task = current(k);
      yield* wait_for_completion(k, locked);
      yield* takeMemory(k, driver);
      yield* register_shrinker_prepared(k, shrink);
      yield* freeString(k, p);
    });
    for (const c of [freed, moved]) yield* wait_for_completion(k, c);
    yield* unregister_shrinker(k, shrink);
    for (const b of driver.buffers.splice(0)) yield* kfree(k, b);
  },
};

export default migratesScenario;

export const bug: Bug = {
  id: "B16",
  title: "the block that a call without a head allocates is attached to another CPU's krc",
  why: [
    "The call lets go of the lock to allocate a page, and may wait there and come back on another CPU; it then locks " +
    "the krc of the CPU that it is on, not the one that it found without a block.",
    "Nothing is lost, but the other CPU gets a block that it did not need, and may have one with room already, while " +
    "the first still has none.",
  ],
  history:
    'v5.13 (148e3731d124) to v6.4; ended by 309a43165077, "Use consistent krcp when growing kfree_rcu() page ' +
    'cache" (v6.5)',
  levels: levelsFromTo("v5.13", "v6.3"),
  gone: "v6.5",
  shownAt: "v6.3",
  demo: {
    scenario: migratesScenario,
    file: "examples/bugs/kvfree_migrates.ts",
    machine: () => ({ cpus: 2, memBytes: 16 * 2 ** 20 }),
  },
};
