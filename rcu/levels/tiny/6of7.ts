// SPDX-License-Identifier: GPL-2.0-only
/**
 * kvfree_rcu() of tiny RCU at 6/7 of the series, which leaves it so. Mirrors that part of kernel/rcu/tiny.c.
 *
 * Pointers of either kind are collected in page-sized blocks. 20 ms after the first the chain of blocks goes through one
 * grace period by rcu_work, if the previous chain is done. Interrupts off is all the locking there is.
 *
 * Left out: nothing.
 *
 * @module
 */

import { formatAddr, NULL } from "../../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../../kernel/machine/brand.ts";
import { type Atomic, doneVoid, type MaySleep, STEP } from "../../../kernel/machine/effects.ts";
import { POINT_NAMED, pt } from "../../../kernel/machine/points.ts";
import { WARN_ONCE } from "../../../kernel/bug.ts";
import { __GFP_NOWARN, gfp, GFP_NOWAIT } from "../../../kernel/gfp.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import {
  local_irq_disable,
  local_irq_enable,
  local_irq_restore,
  local_irq_save,
} from "../../../kernel/preempt.ts";
import { might_sleep } from "../../../kernel/sched/core.ts";
import { KERNEL_STATIC } from "../../../kernel/static.ts";
import { trace_kvfree_rcu } from "../../../kernel/trace/events/quiesce.ts";
import {
  delayed_work,
  INIT_DELAYED_WORK,
  INIT_RCU_WORK,
  queue_rcu_work,
  rcu_work,
  schedule_delayed_work,
  system_wq,
  type work_struct,
} from "../../../kernel/workqueue.ts";
import { __get_free_page, free_page } from "../../../mm/page_alloc.ts";
import { kvfree } from "../../../mm/util.ts";
import { chainOf, type KrcBlock, peek } from "../../krc_look.ts";
import { KVFREE_BULK_MAX_ENTR, kvfree_rcu_bulk_data, recordAddr } from "../../kvfree_bulk.ts";
import { debug_rcu_head_queue, debug_rcu_head_unqueue } from "../../rcu.ts";
import { call_rcu, synchronize_rcu } from "../../tiny.ts";
import type { TinyBatching, TinyLevel } from "../level.ts";

/** Jiffies between the first pointer of a batch and its grace period: 20 ms. @mirrors kernel/rcu/tiny.c:KVFREE_DRAIN_JIFFIES (6/7) */
function KVFREE_DRAIN_JIFFIES(k: Kernel): number {
  return Math.floor(k.config.HZ / 50);
}

const { nr_records, next } = kvfree_rcu_bulk_data.f;

/** Chain that collects, newest block first. */
const kvhead = KERNEL_STATIC<VirtAddr>("kvhead", () => NULL);
/** Chain that waits for its grace period. */
const kvhead_free = KERNEL_STATIC<VirtAddr>("kvhead_free", () => NULL);
/** One spare block. */
const kvcache = KERNEL_STATIC<VirtAddr>("kvcache", () => NULL);
/** Static key: the works below are initialised. */
const rcu_init_done = KERNEL_STATIC<boolean>("rcu_init_done", () => false);
const monitor_work = KERNEL_STATIC("monitor_work", () => new delayed_work());
const kvfree_rcu_rwork = KERNEL_STATIC("rcu_work", () => new rcu_work());
/** The monitor is armed or wanted. */
const monitor_todo = KERNEL_STATIC<boolean>("monitor_todo", () => false);

/**
 * Adds `ptr` to the collecting chain. False when a new block is needed and no page can be had.
 *
 * Context: interrupts off.
 *
 * @mirrors kernel/rcu/tiny.c:kvfree_call_rcu_add_ptr_to_bulk (6/7)
 */
function* kvfree_call_rcu_add_ptr_to_bulk(k: Kernel, ptr: VirtAddr): Atomic<boolean> {
  let bnode = kvhead(k);
  if (bnode === NULL || nr_records.get(k, bnode) === KVFREE_BULK_MAX_ENTR) {
    bnode = kvcache(k);
    kvcache.set(k, NULL);
    if (bnode === NULL) bnode = yield* __get_free_page(k, gfp(GFP_NOWAIT, __GFP_NOWARN));
    if (bnode === NULL) return false;
    nr_records.set(k, bnode, 0);
    next.set(k, bnode, kvhead(k));
    kvhead.set(k, bnode);
  }
  const nr = nr_records.get(k, bnode);
  k.ram.storePtr(recordAddr(bnode, nr), ptr);
  nr_records.set(k, bnode, nr + 1);
  return true;
}

/**
 * Frees what one grace period has covered, newest block first, and keeps one page as the spare.
 *
 * @mirrors kernel/rcu/tiny.c:kvfree_rcu_work (6/7)
 */
function* kvfree_rcu_work(k: Kernel, _work: work_struct): MaySleep<void> {
  local_irq_disable(k);
  let bvhead = kvhead_free(k);
  kvhead_free.set(k, NULL);
  local_irq_enable(k);

  while (bvhead !== NULL) {
    const older = next.get(k, bvhead);
    const nr = nr_records.get(k, bvhead);
    for (let i = 0; i < nr; i++) {
      const record = k.ram.loadPtr(recordAddr(bvhead, i));
      debug_rcu_head_unqueue(k, record);
      yield* kvfree(k, record);
    }
    if (pt(k, POINT_NAMED, "kvcache")) yield STEP;
    if (kvcache(k) === NULL) kvcache.set(k, bvhead);
    else yield* free_page(k, bvhead);
    bvhead = older;
  }
}

/**
 * Hands the collected chain to rcu_work unless the previous one still waits. Returns whether it did.
 *
 * Context: interrupts off.
 *
 * @mirrors kernel/rcu/tiny.c:queue_kvfree_rcu_work (6/7)
 */
function* queue_kvfree_rcu_work(k: Kernel): Atomic<boolean> {
  if (kvhead_free(k) !== NULL) return false;
  kvhead_free.set(k, kvhead(k));
  kvhead.set(k, NULL);
  yield* queue_rcu_work(k, system_wq(k), kvfree_rcu_rwork(k));
  return true;
}

/**
 * The batch timer: starts a grace period for what was collected, or comes back later.
 *
 * @mirrors kernel/rcu/tiny.c:kvfree_rcu_monitor (6/7)
 */
function* kvfree_rcu_monitor(k: Kernel, _work: work_struct): MaySleep<void> {
  const flags = local_irq_save(k);
  const queued = yield* queue_kvfree_rcu_work(k);
  if (queued) monitor_todo.set(k, false);
  local_irq_restore(k, flags);
  if (monitor_todo(k)) yield* schedule_delayed_work(k, monitor_work(k), KVFREE_DRAIN_JIFFIES(k));
}

/** Arms the batch timer for a pointer just added. */
function* armMonitor(k: Kernel): Atomic<void> {
  monitor_todo.set(k, true);
  yield* schedule_delayed_work(k, monitor_work(k), KVFREE_DRAIN_JIFFIES(k));
}

/** Whether `ptr` may be queued; a second time it is reported, once, and leaked. */
function mayQueue(k: Kernel, ptr: VirtAddr, head: VirtAddr | null): boolean {
  if (debug_rcu_head_queue(k, ptr) === 0) return true;
  WARN_ONCE(k, true, `kvfree_call_rcu(): Double-freed call. rcu_head ${formatAddr(head ?? NULL)}`);
  return false;
}

/**
 * Frees an object after a grace period: collects its address in a block.
 *
 * With `head`, `func` is the offset of the head in the object; without a block the object goes on the callback list.
 * Without (`head` null), `func` is the object; without a block it is freed here and now, because being allowed to block
 * is a grace period.
 *
 * Context: any with `head`, process context without; otherwise reported.
 *
 * @mirrors kernel/rcu/tiny.c:kvfree_call_rcu (6/7)
 */
function kvfree_call_rcu(k: Kernel, head: VirtAddr, func: number): Atomic<void>;
function kvfree_call_rcu(k: Kernel, head: null, func: VirtAddr): MaySleep<void>;
function kvfree_call_rcu(k: Kernel, head: VirtAddr | null, func: number): MaySleep<void> {
  if (head === null) might_sleep(k);
  const ptr = (head === null ? func : head - func) as VirtAddr;
  if (!mayQueue(k, ptr, head)) return doneVoid();
  trace_kvfree_rcu(k, ptr, head === null);
  const bnode = kvhead(k);
  const nr = bnode === NULL ? KVFREE_BULK_MAX_ENTR : nr_records.get(k, bnode);
  if (nr === KVFREE_BULK_MAX_ENTR || (rcu_init_done(k) && !monitor_todo(k))) return queue(k, head, func, ptr);
  // The usual case, in a plain call: there is room and the timer is armed. No point stands in it.
  k.ram.storePtr(recordAddr(bnode, nr), ptr);
  nr_records.set(k, bnode, nr + 1);
  return doneVoid();
}

/** The general case of kvfree_call_rcu(), from interrupts off on. */
function* queue(k: Kernel, head: VirtAddr | null, func: number, ptr: VirtAddr): MaySleep<void> {
  const flags = local_irq_save(k);
  const success = yield* kvfree_call_rcu_add_ptr_to_bulk(k, ptr);
  if (success && rcu_init_done(k) && !monitor_todo(k)) yield* armMonitor(k);
  local_irq_restore(k, flags);

  if (success) return;
  if (head !== null) {
    yield* call_rcu(k, head, func);
  } else {
    yield* synchronize_rcu(k);
    yield* kvfree(k, ptr);
  }
}

/**
 * Opens the batching: what was queued before waits for the next call to arm the timer.
 *
 * @mirrors kernel/rcu/tiny.c:rcu_init (6/7)
 * @simplified what the patch adds to the end of rcu_init()
 */
function kfree_rcu_batch_init(k: Kernel): Atomic<void> {
  INIT_DELAYED_WORK(k, monitor_work(k), kvfree_rcu_monitor);
  INIT_RCU_WORK(k, kvfree_rcu_rwork(k), kvfree_rcu_work);
  rcu_init_done.set(k, true);
  return doneVoid();
}

/** What was queued before waits for the next call to arm the timer. @mirrors include/linux/rcutiny.h:kfree_rcu_scheduler_running */
function kfree_rcu_scheduler_running(_k: Kernel): Atomic<void> {
  return doneVoid();
}

function chains(k: Kernel): VirtAddr[] {
  return [...chainOf(k, kvhead(k), next.offset), ...chainOf(k, kvhead_free(k), next.offset)];
}

function* pendingAddresses(k: Kernel): Generator<VirtAddr, void, void> {
  for (const bnode of chains(k)) {
    const nr = peek(k, bnode);
    for (let i = 0; i < nr; i++) yield peek(k, recordAddr(bnode, i));
  }
}

function* ownAddresses(k: Kernel): Generator<VirtAddr, void, void> {
  yield* chains(k);
  if (kvcache(k) !== NULL) yield kvcache(k);
}

function look(k: Kernel): TinyBatching {
  const blocks = (first: VirtAddr): KrcBlock[] =>
    chainOf(k, first, next.offset).map((addr) => ({ addr, nr_records: peek(k, addr) }));
  return {
    collecting: blocks(kvhead(k)),
    waiting: blocks(kvhead_free(k)),
    spare: kvcache(k),
    monitor_todo: monitor_todo(k),
    drainJiffies: KVFREE_DRAIN_JIFFIES(k),
    capacity: KVFREE_BULK_MAX_ENTR,
  };
}

/** kvfree_rcu() of tiny RCU at 6/7 and 7/7. */
export const level: TinyLevel = {
  ops: {
    kfree_rcu_batch_init,
    kvfree_call_rcu,
    kvfree_rcu_barrier: null,
    kfree_rcu_scheduler_running,
    pendingAddresses,
    ownAddresses,
    busy: (k) => kvhead(k) !== NULL || kvhead_free(k) !== NULL,
  },
  statics: [
    kvhead,
    kvhead_free,
    kvcache,
    rcu_init_done,
    monitor_work,
    kvfree_rcu_rwork,
    monitor_todo,
  ],
  look,
};
