// SPDX-License-Identifier: GPL-2.0-only
/**
 * kvfree_rcu() of tree RCU at 2/7 of the series, "rcu/tree: maintain separate array for vmalloc ptrs". Mirrors that part
 * of kernel/rcu/tree.c.
 *
 * Each CPU collects pointers in page-sized blocks, one chain for slab and one for vmalloc memory (channels 1 and 2). Only
 * a pointer that gets no block goes on a list through its rcu_head (channel 3). 20 ms after the first pointer the monitor
 * hands what was collected to one of two batches, which waits for a grace period and is freed by a worker.
 *
 * Invariant: krc.lock guards all of a CPU's krc but the spare pages, which are exchanged without it. Defects, as posted:
 * objects that stay behind get no timer (B8), a batch in flight accepts a channel that is empty in it (B9), the count
 * forgets what stayed behind (B10), the start of the scheduler does not look at blocks, in which vmalloc objects now are
 * too (B11), and a scan that found nothing returns 0 (B12). (B2, a missing include of C, has no counterpart.)
 *
 * Left out: the RT variant. A call without a head is not there yet.
 *
 * @module
 */

import { formatAddr, NULL } from "../../../kernel/machine/addr.ts";
import type { IrqFlags, VirtAddr } from "../../../kernel/machine/brand.ts";
import { type Atomic, doneVoid, type MaySleep, STEP } from "../../../kernel/machine/effects.ts";
import { POINT_LOCK, POINT_RMW, pt } from "../../../kernel/machine/points.ts";
import { WARN_ON_ONCE, WARN_ONCE } from "../../../kernel/bug.ts";
import { READ_ONCE } from "../../../kernel/compiler.ts";
import { for_each_online_cpu, for_each_possible_cpu } from "../../../kernel/cpumask.ts";
import { __GFP_NOWARN, gfp, GFP_NOWAIT } from "../../../kernel/gfp.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { rcu_callback_map, rcu_lock_acquire, rcu_lock_release } from "../../../kernel/locking/lockdep_rcu.ts";
import {
  lockdep_assert_held,
  spin_lock,
  spin_lock_init,
  spin_lock_irqsave,
  spin_unlock,
  spin_unlock_irqrestore,
  spinlock_t,
} from "../../../kernel/locking/spinlock.ts";
import { local_irq_restore, local_irq_save } from "../../../kernel/preempt.ts";
import { pr_err } from "../../../kernel/printk.ts";
import {
  DEFINE_PER_CPU,
  KERNEL_STATIC,
  per_cpu_ptr,
  type PerCpu,
  this_cpu_ptr,
} from "../../../kernel/static.ts";
import { rcu_scheduler_active, RCU_SCHEDULER_RUNNING } from "../../../kernel/system_state.ts";
import { trace_kvfree_rcu } from "../../../kernel/trace/events/quiesce.ts";
import {
  trace_rcu_invoke_kfree_bulk_callback,
  trace_rcu_invoke_kvfree_callback,
} from "../../../kernel/trace/events/rcu.ts";
import {
  delayed_work,
  INIT_DELAYED_WORK,
  INIT_RCU_WORK,
  queue_rcu_work,
  rcu_work,
  schedule_delayed_work,
  schedule_delayed_work_on,
  system_wq,
  to_delayed_work,
  to_rcu_work,
  type work_struct,
} from "../../../kernel/workqueue.ts";
import { __get_free_page, free_page } from "../../../mm/page_alloc.ts";
import { kfree_bulk } from "../../../mm/slub.ts";
import { kvfree } from "../../../mm/util.ts";
import { is_vmalloc_addr, vfree } from "../../../mm/vmalloc.ts";
import { register_shrinker, type shrink_control, shrinker } from "../../../mm/vmscan.ts";
import {
  chainOf,
  type KrcLook,
  type KrcPlace,
  type KrcView,
  lookOps,
  objectByOffset,
} from "../../krc_look.ts";
import { KVFREE_BULK_MAX_ENTR, kvfree_rcu_bulk_data, recordAddr } from "../../kvfree_bulk.ts";
import { __is_kvfree_rcu_offset, debug_rcu_head_queue, debug_rcu_head_unqueue, rcu_head } from "../../rcu.ts";
import { cond_resched_tasks_rcu_qs } from "../../rcupdate.ts";
import { noHeadlessForm } from "../interfaces.ts";
import type { TreeLevel } from "../level.ts";

/** Jiffies between the first pointer of a batch and its grace period: 20 ms. @mirrors kernel/rcu/tree.c:KFREE_DRAIN_JIFFIES */
function KFREE_DRAIN_JIFFIES(k: Kernel): number {
  return Math.floor(k.config.HZ / 50);
}

/** Batches that may wait for a grace period. @mirrors kernel/rcu/tree.c:KFREE_N_BATCHES */
const KFREE_N_BATCHES = 2;

/** Channels that collect in blocks: slab memory and vmalloc memory. */
const SLAB = 0;
const VMALLOC = 1;

const { nr_records, next } = kvfree_rcu_bulk_data.f;

/** A batch that waits for a grace period. @mirrors kernel/rcu/tree.c:kfree_rcu_cpu_work (2/7) */
class kfree_rcu_cpu_work {
  readonly rcu_work: rcu_work = new rcu_work(this);
  /** List of objects. */
  head_free: VirtAddr = NULL;
  /** Chains of blocks, by channel. */
  readonly bkvhead_free: VirtAddr[] = [NULL, NULL];
  krcp!: kfree_rcu_cpu;
}

/** What one CPU has collected. @mirrors kernel/rcu/tree.c:kfree_rcu_cpu (2/7) */
class kfree_rcu_cpu {
  /** List of objects that do not wait for a grace period yet, last queued first. */
  head: VirtAddr = NULL;
  /** Chains of blocks that do not wait yet, newest block first, by channel. */
  readonly bkvhead: VirtAddr[] = [NULL, NULL];
  /** One spare block for each channel. */
  readonly bkvcache: VirtAddr[] = [NULL, NULL];
  readonly krw_arr: readonly kfree_rcu_cpu_work[] = Array.from(
    { length: KFREE_N_BATCHES },
    () => new kfree_rcu_cpu_work(),
  );
  readonly lock: spinlock_t = new spinlock_t("krcp->lock");
  readonly monitor_work: delayed_work = new delayed_work(this);
  /** A run of the monitor is wanted. */
  monitor_todo = false;
  /** Lock and works can be used. */
  initialized = false;
  /** Objects for which no grace period has been asked for. */
  count = 0;
}

/** @mirrors kernel/rcu/tree.c:krc */
const krc: PerCpu<kfree_rcu_cpu> = DEFINE_PER_CPU("krc", () => new kfree_rcu_cpu());

/** Name of the flavour in traces; rcu_state.name. */
function rcuName(k: Kernel): string {
  return k.config.preempt === "full" ? "rcu_preempt" : "rcu_sched";
}

/** The records of a block are not queued any more. @mirrors kernel/rcu/tree.c:debug_rcu_bhead_unqueue (2/7) */
function debug_rcu_bhead_unqueue(k: Kernel, bhead: VirtAddr): void {
  if (!k.config.debugObjects) return;
  const nr = nr_records.get(k, bhead);
  for (let i = 0; i < nr; i++) debug_rcu_head_unqueue(k, k.ram.loadPtr(recordAddr(bhead, i)));
}

/** Keeps a block as the channel's spare, or gives it back. */
function* putBlock(k: Kernel, krcp: kfree_rcu_cpu, idx: number, bnode: VirtAddr): Atomic<void> {
  // cmpxchg()
  if (pt(k, POINT_RMW, "krcp->bkvcache")) yield STEP;
  if (krcp.bkvcache[idx] === NULL) krcp.bkvcache[idx] = bnode;
  else yield* free_page(k, bnode);
}

/**
 * The grace period of a batch is over: frees slab blocks, then vmalloc blocks, each newest first, then the list.
 *
 * Context: worker. Locks: takes krcp->lock, only to detach.
 *
 * @mirrors kernel/rcu/tree.c:kfree_rcu_work (2/7)
 */
function* kfree_rcu_work(k: Kernel, work: work_struct): MaySleep<void> {
  const krwp = to_rcu_work(work).container as kfree_rcu_cpu_work;
  const { krcp } = krwp;
  const flags = yield* spin_lock_irqsave(k, krcp.lock);
  // Channel 1.
  let bkhead = krwp.bkvhead_free[SLAB];
  krwp.bkvhead_free[SLAB] = NULL;
  // Channel 2.
  let bvhead = krwp.bkvhead_free[VMALLOC];
  krwp.bkvhead_free[VMALLOC] = NULL;
  // Channel 3.
  let head = krwp.head_free;
  krwp.head_free = NULL;
  spin_unlock_irqrestore(k, krcp.lock, flags);

  while (bkhead !== NULL) {
    const bnext = next.get(k, bkhead);
    const nr = nr_records.get(k, bkhead);
    debug_rcu_bhead_unqueue(k, bkhead);
    rcu_lock_acquire(k, rcu_callback_map);
    trace_rcu_invoke_kfree_bulk_callback(k, rcuName(k), nr, recordAddr(bkhead, 0));
    yield* kfree_bulk(k, nr, recordAddr(bkhead, 0));
    rcu_lock_release(k, rcu_callback_map);
    yield* putBlock(k, krcp, SLAB, bkhead);
    yield* cond_resched_tasks_rcu_qs(k);
    bkhead = bnext;
  }

  while (bvhead !== NULL) {
    const bnext = next.get(k, bvhead);
    const nr = nr_records.get(k, bvhead);
    debug_rcu_bhead_unqueue(k, bvhead);
    rcu_lock_acquire(k, rcu_callback_map);
    for (let i = 0; i < nr; i++) {
      const record = k.ram.loadPtr(recordAddr(bvhead, i));
      trace_rcu_invoke_kvfree_callback(k, rcuName(k), record, 0);
      yield* vfree(k, record);
    }
    rcu_lock_release(k, rcu_callback_map);
    yield* putBlock(k, krcp, VMALLOC, bvhead);
    yield* cond_resched_tasks_rcu_qs(k);
    bvhead = bnext;
  }

  while (head !== NULL) {
    const offset: number = rcu_head.f.func.get(k, head);
    const ptr = (head - offset) as VirtAddr;
    const hnext = rcu_head.f.next.get(k, head);
    debug_rcu_head_unqueue(k, ptr);
    rcu_lock_acquire(k, rcu_callback_map);
    trace_rcu_invoke_kvfree_callback(k, rcuName(k), head, offset);
    if (!WARN_ON_ONCE(k, !__is_kvfree_rcu_offset(offset), "offset")) yield* kvfree(k, ptr);
    rcu_lock_release(k, rcu_callback_map);
    yield* cond_resched_tasks_rcu_qs(k);
    head = hnext;
  }
}

/** Whether something was collected in a channel that is empty in the batch. */
function canDetach(krcp: kfree_rcu_cpu, krwp: kfree_rcu_cpu_work): boolean {
  return (krcp.bkvhead[SLAB] !== NULL && krwp.bkvhead_free[SLAB] === NULL) ||
    (krcp.bkvhead[VMALLOC] !== NULL && krwp.bkvhead_free[VMALLOC] === NULL) ||
    (krcp.head !== NULL && krwp.head_free === NULL);
}

/**
 * Hands what was collected to the batches, each channel for itself, and asks for grace periods. Returns whether anything
 * could be handed over.
 *
 * Locks: krcp->lock. A batch whose work is pending accepts too, and then keeps its older grace period (B9).
 *
 * @mirrors kernel/rcu/tree.c:queue_kfree_rcu_work (2/7)
 */
function* queue_kfree_rcu_work(k: Kernel, krcp: kfree_rcu_cpu): Atomic<boolean> {
  let queued = false;
  lockdep_assert_held(k, krcp.lock);
  for (const krwp of krcp.krw_arr) {
    if (!canDetach(krcp, krwp)) continue;
    // Channel 1.
    if (krwp.bkvhead_free[SLAB] === NULL) {
      krwp.bkvhead_free[SLAB] = krcp.bkvhead[SLAB];
      krcp.bkvhead[SLAB] = NULL;
    }
    // Channel 2.
    if (krwp.bkvhead_free[VMALLOC] === NULL) {
      krwp.bkvhead_free[VMALLOC] = krcp.bkvhead[VMALLOC];
      krcp.bkvhead[VMALLOC] = NULL;
    }
    // Channel 3.
    if (krwp.head_free === NULL) {
      krwp.head_free = krcp.head;
      krcp.head = NULL;
    }
    // Also when a channel stayed behind (B10).
    krcp.count = 0;
    yield* queue_rcu_work(k, system_wq(k), krwp.rcu_work);
    queued = true;
  }
  return queued;
}

/**
 * Starts a batch, or lets the monitor try again later. Success is that anything could be handed over (B8).
 *
 * Locks: krcp->lock, which it releases.
 *
 * @mirrors kernel/rcu/tree.c:kfree_rcu_drain_unlock
 */
function* kfree_rcu_drain_unlock(k: Kernel, krcp: kfree_rcu_cpu, flags: IrqFlags): Atomic<void> {
  krcp.monitor_todo = false;
  if (yield* queue_kfree_rcu_work(k, krcp)) {
    spin_unlock_irqrestore(k, krcp.lock, flags);
    return;
  }
  krcp.monitor_todo = true;
  yield* schedule_delayed_work(k, krcp.monitor_work, KFREE_DRAIN_JIFFIES(k));
  spin_unlock_irqrestore(k, krcp.lock, flags);
}

/**
 * The batch timer.
 *
 * Context: worker.
 *
 * @mirrors kernel/rcu/tree.c:kfree_rcu_monitor
 */
function* kfree_rcu_monitor(k: Kernel, work: work_struct): MaySleep<void> {
  const krcp = to_delayed_work(work).container as kfree_rcu_cpu;
  const flags = yield* spin_lock_irqsave(k, krcp.lock);
  if (krcp.monitor_todo) yield* kfree_rcu_drain_unlock(k, krcp, flags);
  else spin_unlock_irqrestore(k, krcp.lock, flags);
}

/** Puts `ptr` into a block that has room. */
function addRecord(k: Kernel, bnode: VirtAddr, nr: number, ptr: VirtAddr): void {
  k.ram.storePtr(recordAddr(bnode, nr), ptr);
  k.ram.storeLong((bnode + nr_records.offset) as VirtAddr, nr + 1);
}

/**
 * Adds `ptr` to the chain of its channel. False when a new block is needed and no page can be had.
 *
 * Locks: krcp->lock.
 *
 * @mirrors kernel/rcu/tree.c:kvfree_call_rcu_add_ptr_to_bulk (2/7)
 */
function* kvfree_call_rcu_add_ptr_to_bulk(k: Kernel, krcp: kfree_rcu_cpu, ptr: VirtAddr): Atomic<boolean> {
  if (!krcp.initialized) return false;
  lockdep_assert_held(k, krcp.lock);
  const idx = is_vmalloc_addr(k, ptr) ? VMALLOC : SLAB;
  let bnode = krcp.bkvhead[idx];
  if (bnode === NULL || nr_records.get(k, bnode) === KVFREE_BULK_MAX_ENTR) {
    // xchg()
    if (pt(k, POINT_RMW, "krcp->bkvcache")) yield STEP;
    bnode = krcp.bkvcache[idx];
    krcp.bkvcache[idx] = NULL;
    if (bnode === NULL) bnode = yield* __get_free_page(k, gfp(GFP_NOWAIT, __GFP_NOWARN));
    if (bnode === NULL) return false;
    nr_records.set(k, bnode, 0);
    next.set(k, bnode, krcp.bkvhead[idx]);
    krcp.bkvhead[idx] = bnode;
  }
  addRecord(k, bnode, nr_records.get(k, bnode), ptr);
  return true;
}

/**
 * Frees an object after a grace period; `func` is the offset of the head in it.
 *
 * Context: any. Locks: takes krcp->lock with interrupts off. Fails: TypeError without `head`.
 *
 * @mirrors kernel/rcu/tree.c:kvfree_call_rcu (2/7)
 */
function* kvfree_call_rcu(k: Kernel, head: VirtAddr | null, func: number): Atomic<void> {
  if (head === null) noHeadlessForm(k);
  const flags = local_irq_save(k);
  const krcp = this_cpu_ptr(k, krc);
  if (krcp.initialized) yield* spin_lock(k, krcp.lock);
  const ptr = (head - func) as VirtAddr;
  unlock_return: {
    if (debug_rcu_head_queue(k, ptr) !== 0) {
      // Probably a double free: leak it.
      WARN_ONCE(k, true, `kvfree_call_rcu(): Double-freed call. rcu_head ${formatAddr(head)}`);
      break unlock_return;
    }
    trace_kvfree_rcu(k, ptr, false);
    if (!(yield* kvfree_call_rcu_add_ptr_to_bulk(k, krcp, ptr))) {
      rcu_head.f.func.set(k, head, func as VirtAddr);
      rcu_head.f.next.set(k, head, krcp.head);
      krcp.head = head;
    }
    krcp.count++;
    if (rcu_scheduler_active(k) === RCU_SCHEDULER_RUNNING && !krcp.monitor_todo) {
      krcp.monitor_todo = true;
      yield* schedule_delayed_work(k, krcp.monitor_work, KFREE_DRAIN_JIFFIES(k));
    }
  }
  if (krcp.initialized) spin_unlock(k, krcp.lock);
  local_irq_restore(k, flags);
}

/**
 * Records in the block to which a pointer need only be added, and nothing else done: nobody has the lock, there is room,
 * the monitor need not be armed, and the point before the lock lets nobody in. Otherwise KVFREE_BULK_MAX_ENTR.
 */
function recordsBefore(k: Kernel, krcp: kfree_rcu_cpu, bnode: VirtAddr): number {
  const more = k.budget <= 0 || bnode === NULL || !krcp.initialized || krcp.lock.owner !== null ||
    k.config.debugObjects || (!krcp.monitor_todo && rcu_scheduler_active(k) === RCU_SCHEDULER_RUNNING);
  return more ? KVFREE_BULK_MAX_ENTR : k.ram.loadLong((bnode + nr_records.offset) as VirtAddr);
}

/** kvfree_call_rcu(), in a plain call where a pointer with a head need only be added to a block: the usual case. */
function callPlainly(k: Kernel, head: VirtAddr, func: number): Atomic<void>;
function callPlainly(k: Kernel, head: null, func: VirtAddr): MaySleep<void>;
function callPlainly(k: Kernel, head: VirtAddr | null, func: number): MaySleep<void> {
  if (head === null) return kvfree_call_rcu(k, head, func as VirtAddr);
  const ptr = (head - func) as VirtAddr;
  const krcp = this_cpu_ptr(k, krc);
  const bnode = krcp.bkvhead[is_vmalloc_addr(k, ptr) ? VMALLOC : SLAB];
  const nr = recordsBefore(k, krcp, bnode);
  if (nr === KVFREE_BULK_MAX_ENTR) return kvfree_call_rcu(k, head, func);
  const flags = local_irq_save(k);
  pt(k, POINT_LOCK, krcp.lock);
  trace_kvfree_rcu(k, ptr, false);
  addRecord(k, bnode, nr, ptr);
  krcp.count++;
  local_irq_restore(k, flags);
  return doneVoid();
}

/** Objects for which no grace period has been asked for, on all CPUs. @mirrors kernel/rcu/tree.c:kfree_rcu_shrink_count */
function* kfree_rcu_shrink_count(k: Kernel, _shrink: shrinker, _sc: shrink_control): Atomic<number> {
  let count = 0;
  for (const cpu of for_each_online_cpu(k)) count += yield* READ_ONCE(k, per_cpu_ptr(k, krc, cpu), "count");
  return count;
}

/**
 * Asks for grace periods now, CPU by CPU, until `nr_to_scan` objects are on their way. Returns how many are.
 *
 * A timer that is armed stays armed; its monitor will find nothing to do.
 *
 * @mirrors kernel/rcu/tree.c:kfree_rcu_shrink_scan
 * @simplified nr_to_scan is signed here; C compares an unsigned long with <= 0 and stops only if the sum meets it exactly
 */
function* kfree_rcu_shrink_scan(k: Kernel, _shrink: shrinker, sc: shrink_control): Atomic<number> {
  let freed = 0;
  for (const cpu of for_each_online_cpu(k)) {
    const krcp = per_cpu_ptr(k, krc, cpu);
    const { count } = krcp;
    const flags = yield* spin_lock_irqsave(k, krcp.lock);
    if (krcp.monitor_todo) yield* kfree_rcu_drain_unlock(k, krcp, flags);
    else spin_unlock_irqrestore(k, krcp.lock, flags);
    sc.nr_to_scan -= count;
    freed += count;
    if (sc.nr_to_scan <= 0) break;
  }
  return freed;
}

/** @mirrors kernel/rcu/tree.c:kfree_rcu_shrinker */
const kfree_rcu_shrinker = KERNEL_STATIC(
  "kfree_rcu_shrinker",
  () => new shrinker(kfree_rcu_shrink_count, kfree_rcu_shrink_scan),
);

/**
 * The scheduler is up: arms the monitor of each CPU whose list is not empty; blocks are not looked at (B11).
 *
 * Context: boot.
 *
 * @mirrors kernel/rcu/tree.c:kfree_rcu_scheduler_running
 */
function* kfree_rcu_scheduler_running(k: Kernel): Atomic<void> {
  for (const cpu of for_each_online_cpu(k)) {
    const krcp = per_cpu_ptr(k, krc, cpu);
    const flags = yield* spin_lock_irqsave(k, krcp.lock);
    if (krcp.head === NULL || krcp.monitor_todo) {
      spin_unlock_irqrestore(k, krcp.lock, flags);
      continue;
    }
    krcp.monitor_todo = true;
    yield* schedule_delayed_work_on(k, cpu, krcp.monitor_work, KFREE_DRAIN_JIFFIES(k));
    spin_unlock_irqrestore(k, krcp.lock, flags);
  }
}

/**
 * Opens the batching on all CPUs and registers the shrinker.
 *
 * Context: boot, from rcu_init(). What was queued before is on the lists.
 *
 * @mirrors kernel/rcu/tree.c:kfree_rcu_batch_init
 */
function* kfree_rcu_batch_init(k: Kernel): MaySleep<void> {
  for (const cpu of for_each_possible_cpu(k)) {
    const krcp = per_cpu_ptr(k, krc, cpu);
    spin_lock_init(krcp.lock);
    for (const krwp of krcp.krw_arr) {
      INIT_RCU_WORK(k, krwp.rcu_work, kfree_rcu_work);
      krwp.krcp = krcp;
    }
    INIT_DELAYED_WORK(k, krcp.monitor_work, kfree_rcu_monitor);
    krcp.initialized = true;
  }
  if ((yield* register_shrinker(k, kfree_rcu_shrinker(k))) !== 0) {
    pr_err(k, "rcu: Failed to register kfree_rcu() shrinker!");
  }
}

/** Where one of the two structs holds its pointers. */
function place(k: Kernel, [slab, vmalloc]: readonly VirtAddr[], head: VirtAddr): KrcPlace {
  const { offset } = next;
  return { slab: chainOf(k, slab, offset), vmalloc: chainOf(k, vmalloc, offset), head };
}

function look(k: Kernel): KrcLook[] {
  return k.cpus.map(({ id }) => {
    const krcp = per_cpu_ptr(k, krc, id);
    return {
      initialized: krcp.initialized,
      count: krcp.count,
      monitor_todo: krcp.monitor_todo,
      monitor_work: krcp.monitor_work,
      locked: krcp.lock.owner !== null,
      collecting: place(k, krcp.bkvhead, krcp.head),
      batches: krcp.krw_arr.map((krwp) => ({
        rcu_work: krwp.rcu_work,
        place: place(k, krwp.bkvhead_free, krwp.head_free),
      })),
      spares: [...krcp.bkvcache],
    };
  });
}

const view: KrcView = {
  shape: {
    nr_records: nr_records.offset,
    records: kvfree_rcu_bulk_data.size,
    capacity: KVFREE_BULK_MAX_ENTR,
    drainJiffies: KFREE_DRAIN_JIFFIES,
    objectOf: objectByOffset,
  },
  look,
};

const { pendingAddresses, ownAddresses, busy } = lookOps(view);

/** Its own memory, and the shrinker's 8 bytes. */
function* allOwnAddresses(k: Kernel): Generator<VirtAddr, void, void> {
  yield* ownAddresses(k);
  const { deferredAddr } = kfree_rcu_shrinker(k);
  if (deferredAddr !== NULL) yield deferredAddr;
}

/** kvfree_rcu() of tree RCU at 2/7. */
export const level: TreeLevel = {
  ops: {
    kfree_rcu_batch_init,
    kvfree_call_rcu: callPlainly,
    kvfree_rcu_barrier: null,
    kfree_rcu_scheduler_running,
    pendingAddresses,
    ownAddresses: allOwnAddresses,
    busy,
  },
  statics: [krc, kfree_rcu_shrinker],
  view,
};
