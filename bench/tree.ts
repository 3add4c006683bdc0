// SPDX-License-Identifier: GPL-2.0-only
/**
 * What tree RCU costs on this host: rcuscale's kfree test, boots of large machines, and grace periods against the number
 * of CPUs, with one rcu_node for all of them ("flat", where it can hold them) and with small leaves.
 *
 * @module
 */

import {
  array,
  boot,
  complete,
  completion,
  cond_resched,
  type Config,
  DEFAULT_LIMITS,
  embed,
  GFP_KERNEL,
  type Kernel,
  kmalloc,
  kthread_bind,
  kthread_create,
  kvfree_rcu,
  type MaySleep,
  NULL,
  raw_spinlock_t,
  rcu_head,
  reboot,
  runToEnd,
  struct,
  synchronize_rcu,
  u8,
  user_mode,
  wait_for_completion,
  wake_up_process,
} from "../mod.ts";
import { rcu_state } from "../rcu/tree.ts";
import { type Figure, measure, median } from "./measure.ts";

/** rcuscale's defaults: a thread a CPU, so many loops, so many objects of a loop. */
const CPUS = 4;
const LOOPS = 10;
const ALLOC_NUM = 8000;

const kfree_obj = struct("kfree_obj", { kfree_obj: array(u8, 8), rh: embed(rcu_head) });

/** One thread of the test. Everything that it allocates goes to kvfree_rcu() at once. */
function* kfree_scale_thread(k: Kernel): MaySleep<void> {
  for (let loop = 0; loop < LOOPS; loop++) {
    for (let i = 0; i < ALLOC_NUM; i++) {
      const p = yield* kmalloc(k, kfree_obj.size, GFP_KERNEL);
      if (p === NULL) return;
      yield* kvfree_rcu(k, p, kfree_obj, "rh");
    }
    yield* cond_resched(k);
  }
}

/** A thread on each CPU. `finished` is called when the last one is done; the batches are freed after that. */
function* kfree_scale(k: Kernel, finished: () => void): MaySleep<void> {
  const all: completion[] = [];
  for (let cpu = 0; cpu < CPUS; cpu++) {
    const done = new completion();
    const p = yield* kthread_create(k, function* (k: Kernel): MaySleep<void> {
      yield* kfree_scale_thread(k);
      complete(k, done);
    }, `kfree_scale/${cpu}`);
    if (typeof p === "number") return;
    yield* kthread_bind(k, p, cpu);
    wake_up_process(k, p);
    all.push(done);
  }
  for (const done of all) yield* wait_for_completion(k, done);
  finished();
}

/** The host time of the phase in which the threads run, on a machine just booted, without lock debugging as the real one. */
export function kfreeScale(runs = 15): Figure {
  const k = boot({ cpus: CPUS, debug: false });
  const ns: number[] = [];
  for (let i = 0; i < runs; i++) {
    if (i > 0) reboot(k);
    k.log.recording = false;
    const start = performance.now();
    const run = runToEnd(
      k,
      "kfree_scale",
      (k) => kfree_scale(k, () => ns.push((performance.now() - start) * 1e6)),
      DEFAULT_LIMITS,
      "none",
    );
    if (run.ending !== "completed") throw new Error(`kfree_scale: ${run.ending}`);
  }
  return {
    name: `${CPUS} CPUs x ${LOOPS * ALLOC_NUM} kvfree_rcu, tree`,
    first: ns[0],
    median: median(ns.slice(Math.floor(runs / 3))),
  };
}

/** Boots of tree RCU machines; the largest one once. */
export function treeBoots(): Figure[] {
  return [4, 64, 4096].map((cpus) => {
    const large = cpus > 1000;
    const wanted = { cpus, memBytes: (large ? 1024 : 256) * 2 ** 20 };
    let k: Kernel | null = null;
    return measure(`boot, ${cpus} CPUs, tree`, 1, large ? 1 : 12, () => {
      if (k === null) k = boot(wanted);
      else reboot(k);
    });
  });
}

/** A grace period on a machine whose other CPUs run user code: host time and how often the root's lock was taken. */
export interface GpCost extends Figure {
  readonly rootLocks: number;
}

const GRACE_PERIODS = 10;

/** Grace periods one after the other, on shapes of growing size. */
export function gracePeriods(): GpCost[] {
  const shapes: [string, Partial<Config>][] = [];
  for (const cpus of [4, 16, 64]) {
    shapes.push([`${cpus} CPUs, flat`, { cpus, fanout: 64, fanoutLeaf: 64 }]);
    shapes.push([`${cpus} CPUs, leaves of 4`, { cpus, fanout: 4, fanoutLeaf: 4 }]);
  }
  shapes.push(["256 CPUs, leaves of 16", { cpus: 256 }]);
  return shapes.map(([name, wanted]) => gracePeriodsOn(name, wanted));
}

function gracePeriodsOn(name: string, wanted: Partial<Config>): GpCost {
  const k = boot({ ...wanted, debug: false });
  k.log.recording = false;
  function inARow(): void {
    runToEnd(k, "grace periods", busyGracePeriods, DEFAULT_LIMITS, "none");
  }
  const acquisitions = countAcquisitions(rcu_state(k).node[0].lock);
  inARow();
  const rootLocks = acquisitions() / GRACE_PERIODS;
  const figure = measure(`a grace period, ${name}`, GRACE_PERIODS, 2, () => {
    reboot(k);
    k.log.recording = false;
    inARow();
  });
  return { ...figure, rootLocks };
}

/** Grace periods one after the other, while a thread on each other CPU is in user mode: its ticks report. */
function* busyGracePeriods(k: Kernel): MaySleep<void> {
  let over = false;
  for (let cpu = 1; cpu < k.config.cpus; cpu++) {
    const p = yield* kthread_create(k, function* (k: Kernel): MaySleep<void> {
      while (!over) yield* user_mode(k, 1e6);
    }, `user/${cpu}`);
    if (typeof p === "number") return;
    yield* kthread_bind(k, p, cpu);
    wake_up_process(k, p);
  }
  for (let i = 0; i < GRACE_PERIODS; i++) yield* synchronize_rcu(k);
  over = true;
}

/** Watches a lock; the run is the same, and too slow to be timed. */
function countAcquisitions(lock: raw_spinlock_t): () => number {
  let count = 0;
  let owner = lock.owner;
  Object.defineProperty(lock, "owner", {
    get: () => owner,
    set: (next: typeof owner) => {
      if (next !== null) count++;
      owner = next;
    },
  });
  return () => count;
}

// By itself: the first run, for whoever measures from process start.
if (import.meta.main) console.log(kfreeScale(1).first);
