// SPDX-License-Identifier: GPL-2.0-only
/**
 * kvfree_rcu() of tree RCU as v5.14 has it: the page cache can be had back. Mirrors that part of kernel/rcu/tree.c (v5.14).
 *
 * The shrinker counts the cached pages too, and its scan gives them back. Being asked for its count is a sign of memory
 * pressure: the next worker that fills the cache is delayed by five seconds and fetches one page. The monitor looks only
 * once, after it has tried both batches, whether something is left behind.
 *
 * Invariant: krc.lock guards all of a CPU's krc; backoff_page_cache_fill is 1 from the shrinker's count to the end of the
 * next worker.
 *
 * Ended here: blocks that are not looked at when the scheduler is up (B11), pages that nobody gets back (B14). Still here:
 * B9, B10, B12, B15, B16 and B18, see v5.9.ts, v5.11.ts and v5.13.ts.
 *
 * Left out: the call's stack in KASAN's reports.
 *
 * @module
 */

import { formatAddr, NULL } from "../../../kernel/machine/addr.ts";
import type { IrqFlags, VirtAddr } from "../../../kernel/machine/brand.ts";
import type { Atomic, MaySleep } from "../../../kernel/machine/effects.ts";
import { atomic_read, atomic_set, atomic_t, atomic_xchg } from "../../../kernel/atomic.ts";
import { WARN_ON_ONCE, WARN_ONCE } from "../../../kernel/bug.ts";
import { READ_ONCE, WRITE_ONCE } from "../../../kernel/compiler.ts";
import { LEVEL_CACHED_OBJS } from "../../../kernel/config.ts";
import { for_each_possible_cpu } from "../../../kernel/cpumask.ts";
import { __GFP_NOMEMALLOC, __GFP_NORETRY, __GFP_NOWARN, gfp, GFP_KERNEL } from "../../../kernel/gfp.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import {
  llist_add,
  llist_del_all,
  llist_del_first,
  llist_head,
  llist_next,
  llist_node,
} from "../../../kernel/llist.ts";
import { rcu_callback_map, rcu_lock_acquire, rcu_lock_release } from "../../../kernel/locking/lockdep_rcu.ts";
import {
  raw_spin_lock,
  raw_spin_lock_irqsave,
  raw_spin_unlock_irqrestore,
  raw_spinlock_t,
} from "../../../kernel/locking/spinlock.ts";
import { local_irq_save } from "../../../kernel/preempt.ts";
import { pr_err, pr_info } from "../../../kernel/printk.ts";
import { might_sleep } from "../../../kernel/sched/core.ts";
import {
  DEFINE_PER_CPU,
  KERNEL_STATIC,
  type KernelStatic,
  per_cpu_ptr,
  type PerCpu,
  this_cpu_ptr,
} from "../../../kernel/static.ts";
import { rcu_scheduler_active, RCU_SCHEDULER_RUNNING } from "../../../kernel/system_state.ts";
import {
  CLOCK_MONOTONIC,
  hrtimer,
  hrtimer_init,
  HRTIMER_MODE_REL,
  HRTIMER_NORESTART,
  type hrtimer_restart,
  hrtimer_start,
} from "../../../kernel/time/hrtimer.ts";
import { MSEC_PER_SEC, msecs_to_jiffies } from "../../../kernel/time/jiffies.ts";
import { trace_kvfree_rcu } from "../../../kernel/trace/events/quiesce.ts";
import {
  trace_rcu_invoke_kfree_bulk_callback,
  trace_rcu_invoke_kvfree_callback,
} from "../../../kernel/trace/events/rcu.ts";
import {
  delayed_work,
  INIT_DELAYED_WORK,
  INIT_RCU_WORK,
  queue_delayed_work,
  queue_rcu_work,
  rcu_work,
  schedule_delayed_work,
  schedule_delayed_work_on,
  system_highpri_wq,
  system_wq,
  to_delayed_work,
  to_rcu_work,
  type work_struct,
} from "../../../kernel/workqueue.ts";
import { __get_free_page, free_page } from "../../../mm/page_alloc.ts";
import { kfree_bulk } from "../../../mm/slub.ts";
import { kvfree } from "../../../mm/util.ts";
import { is_vmalloc_addr, vfree } from "../../../mm/vmalloc.ts";
import { register_shrinker, type shrink_control, SHRINK_STOP, shrinker } from "../../../mm/vmscan.ts";
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
import type { TreeLevel } from "../level.ts";

/** Pages that a CPU's page cache holds: rcutree.rcu_min_cached_objs. @mirrors kernel/rcu/tree.c:rcu_min_cached_objs (v5.11) */
function rcu_min_cached_objs(k: Kernel): number {
  const { rcuMinCachedObjs } = k.config;
  return rcuMinCachedObjs === LEVEL_CACHED_OBJS ? 5 : rcuMinCachedObjs;
}

/**
 * Milliseconds that a worker waits before it fills the page cache under memory pressure:
 * rcutree.rcu_delay_page_cache_fill_msec, as kfree_rcu_batch_init() clamps it.
 *
 * @mirrors kernel/rcu/tree.c:rcu_delay_page_cache_fill_msec (v5.14)
 */
const rcu_delay_page_cache_fill_msec: KernelStatic<number> = KERNEL_STATIC(
  "rcu_delay_page_cache_fill_msec",
  (k) => k.config.rcuDelayPageCacheFillMsec,
);

/** Jiffies between the first pointer of a batch and its grace period: 20 ms. @mirrors kernel/rcu/tree.c:KFREE_DRAIN_JIFFIES */
function KFREE_DRAIN_JIFFIES(k: Kernel): number {
  return Math.floor(k.config.HZ / 50);
}

/** Batches that may wait for a grace period. @mirrors kernel/rcu/tree.c:KFREE_N_BATCHES */
const KFREE_N_BATCHES = 2;

/** Channels that collect in blocks: slab memory and vmalloc memory. @mirrors kernel/rcu/tree.c:FREE_N_CHANNELS (v5.9) */
const FREE_N_CHANNELS = 2;
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

/** What one CPU has collected. @mirrors kernel/rcu/tree.c:kfree_rcu_cpu (v5.14) */
class kfree_rcu_cpu {
  /** List of objects that do not wait for a grace period yet, last queued first. */
  head: VirtAddr = NULL;
  /** Chains of blocks that do not wait yet, newest block first, by channel. */
  readonly bkvhead: VirtAddr[] = [NULL, NULL];
  readonly krw_arr: readonly kfree_rcu_cpu_work[] = Array.from(
    { length: KFREE_N_BATCHES },
    () => new kfree_rcu_cpu_work(),
  );
  readonly lock: raw_spinlock_t = new raw_spinlock_t("krc.lock");
  readonly monitor_work: delayed_work = new delayed_work(this);
  /** A run of the monitor is wanted. */
  monitor_todo = false;
  /** The works can be used. */
  initialized = false;
  /** Objects for which no grace period has been asked for. */
  count = 0;
  /** Fills the page cache. */
  readonly page_cache_work: delayed_work = new delayed_work(this);
  /** 1 while the next fill is to be late and small. */
  readonly backoff_page_cache_fill: atomic_t = new atomic_t(0, "krcp->backoff_page_cache_fill");
  /** 1 from the request for pages to the end of the work. */
  readonly work_in_progress: atomic_t = new atomic_t(0, "krcp->work_in_progress");
  /** Queues the work. */
  readonly hrtimer: hrtimer = new hrtimer(this);
  /** The page cache: pages for blocks of either channel, under the lock although the list needs none. */
  readonly bkvcache: llist_head = new llist_head();
  /** Pages in it. */
  nr_bkv_objs = 0;
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

/** What krc_this_cpu_lock() hands back, which C does by pointers. */
class KrcLocked {
  krcp!: kfree_rcu_cpu;
  flags!: IrqFlags;
}

/**
 * Locks the krc of this CPU with interrupts off.
 *
 * @mirrors kernel/rcu/tree.c:krc_this_cpu_lock (v5.9)
 */
function* krc_this_cpu_lock(k: Kernel, locked: KrcLocked): Atomic<void> {
  locked.flags = local_irq_save(k);
  locked.krcp = this_cpu_ptr(k, krc);
  yield* raw_spin_lock(k, locked.krcp.lock);
}

/** @mirrors kernel/rcu/tree.c:krc_this_cpu_unlock (v5.13) */
function krc_this_cpu_unlock(k: Kernel, krcp: kfree_rcu_cpu, flags: IrqFlags): void {
  raw_spin_unlock_irqrestore(k, krcp.lock, flags);
}

/** Takes a page from the page cache; NULL when it is empty. Locks: krcp->lock. @mirrors kernel/rcu/tree.c:get_cached_bnode (v5.14) */
function* get_cached_bnode(k: Kernel, krcp: kfree_rcu_cpu): Atomic<VirtAddr> {
  if (krcp.nr_bkv_objs === 0) return NULL;
  yield* WRITE_ONCE(k, krcp, "nr_bkv_objs", krcp.nr_bkv_objs - 1);
  return yield* llist_del_first(k, krcp.bkvcache);
}

/**
 * Puts a page into the page cache. False when that is full.
 *
 * Locks: krcp->lock.
 *
 * @mirrors kernel/rcu/tree.c:put_cached_bnode (v5.14)
 */
function* put_cached_bnode(k: Kernel, krcp: kfree_rcu_cpu, bnode: VirtAddr): Atomic<boolean> {
  if (krcp.nr_bkv_objs >= rcu_min_cached_objs(k)) return false;
  yield* llist_add(k, bnode, krcp.bkvcache);
  yield* WRITE_ONCE(k, krcp, "nr_bkv_objs", krcp.nr_bkv_objs + 1);
  return true;
}

/**
 * Gives all pages of the page cache back. Returns how many.
 *
 * Locks: takes krcp->lock to detach them.
 *
 * @mirrors kernel/rcu/tree.c:drain_page_cache (v5.14)
 */
function* drain_page_cache(k: Kernel, krcp: kfree_rcu_cpu): Atomic<number> {
  let freed = 0;
  const flags = yield* raw_spin_lock_irqsave(k, krcp.lock);
  const page_list = yield* llist_del_all(k, krcp.bkvcache);
  yield* WRITE_ONCE(k, krcp, "nr_bkv_objs", 0);
  raw_spin_unlock_irqrestore(k, krcp.lock, flags);
  for (let pos = page_list; pos !== NULL; freed++) {
    const n = llist_next(k, pos);
    yield* free_page(k, pos);
    pos = n;
  }
  return freed;
}

/** Keeps a block in the page cache of the CPU that collected it, or gives it back. */
function* putBlock(k: Kernel, krcp: kfree_rcu_cpu, bnode: VirtAddr): Atomic<void> {
  const flags = yield* raw_spin_lock_irqsave(k, krcp.lock);
  const kept = yield* put_cached_bnode(k, krcp, bnode);
  raw_spin_unlock_irqrestore(k, krcp.lock, flags);
  if (!kept) yield* free_page(k, bnode);
}

/**
 * The grace period of a batch is over: frees slab blocks, then vmalloc blocks, each newest first, then the list.
 *
 * Context: worker. Locks: takes krcp->lock to detach, and for each block.
 *
 * @mirrors kernel/rcu/tree.c:kfree_rcu_work (v5.11)
 */
function* kfree_rcu_work(k: Kernel, work: work_struct): MaySleep<void> {
  const bkvhead: VirtAddr[] = [NULL, NULL];
  const krwp = to_rcu_work(work).container as kfree_rcu_cpu_work;
  const { krcp } = krwp;
  const flags = yield* raw_spin_lock_irqsave(k, krcp.lock);
  // Channels 1 and 2.
  for (let i = 0; i < FREE_N_CHANNELS; i++) {
    bkvhead[i] = krwp.bkvhead_free[i];
    krwp.bkvhead_free[i] = NULL;
  }
  // Channel 3.
  let head = krwp.head_free;
  krwp.head_free = NULL;
  raw_spin_unlock_irqrestore(k, krcp.lock, flags);

  for (let i = 0; i < FREE_N_CHANNELS; i++) {
    while (bkvhead[i] !== NULL) {
      const bnode = bkvhead[i];
      const bnext = next.get(k, bnode);
      const nr = nr_records.get(k, bnode);
      debug_rcu_bhead_unqueue(k, bnode);
      rcu_lock_acquire(k, rcu_callback_map);
      if (i === SLAB) {
        trace_rcu_invoke_kfree_bulk_callback(k, rcuName(k), nr, recordAddr(bnode, 0));
        yield* kfree_bulk(k, nr, recordAddr(bnode, 0));
      } else {
        for (let j = 0; j < nr; j++) {
          const record = k.ram.loadPtr(recordAddr(bnode, j));
          trace_rcu_invoke_kvfree_callback(k, rcuName(k), record, 0);
          yield* vfree(k, record);
        }
      }
      rcu_lock_release(k, rcu_callback_map);
      yield* putBlock(k, krcp, bnode);
      yield* cond_resched_tasks_rcu_qs(k);
      bkvhead[i] = bnext;
    }
  }

  // What was queued while there was no page.
  while (head !== NULL) {
    const hnext = rcu_head.f.next.get(k, head);
    const offset: number = rcu_head.f.func.get(k, head);
    const ptr = (head - offset) as VirtAddr;
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
 * The batch timer: hands what was collected to the batches, each channel for itself, and asks for grace periods; comes again
 * when something is left behind.
 *
 * Context: worker, and the shrinker. A batch whose work is pending accepts too, and then keeps its older grace period (B9).
 *
 * @mirrors kernel/rcu/tree.c:kfree_rcu_monitor (v5.14)
 */
function* kfree_rcu_monitor(k: Kernel, work: work_struct): Atomic<void> {
  const krcp = to_delayed_work(work).container as kfree_rcu_cpu;
  const flags = yield* raw_spin_lock_irqsave(k, krcp.lock);
  for (const krwp of krcp.krw_arr) {
    if (!canDetach(krcp, krwp)) continue;
    // Channels 1 and 2.
    for (let j = 0; j < FREE_N_CHANNELS; j++) {
      if (krwp.bkvhead_free[j] === NULL) {
        krwp.bkvhead_free[j] = krcp.bkvhead[j];
        krcp.bkvhead[j] = NULL;
      }
    }
    // Channel 3.
    if (krwp.head_free === NULL) {
      krwp.head_free = krcp.head;
      krcp.head = NULL;
    }
    // Also when a channel stayed behind (B10).
    yield* WRITE_ONCE(k, krcp, "count", 0);
    yield* queue_rcu_work(k, system_wq(k), krwp.rcu_work);
  }
  if (krcp.bkvhead[SLAB] === NULL && krcp.bkvhead[VMALLOC] === NULL && krcp.head === NULL) {
    krcp.monitor_todo = false;
  } else {
    yield* schedule_delayed_work(k, krcp.monitor_work, KFREE_DRAIN_JIFFIES(k));
  }
  raw_spin_unlock_irqrestore(k, krcp.lock, flags);
}

/**
 * The hop out of the caller's context: sends the worker for pages.
 *
 * Context: hard interrupt.
 *
 * @mirrors kernel/rcu/tree.c:schedule_page_work_fn (v5.14)
 */
function* schedule_page_work_fn(k: Kernel, t: hrtimer): Atomic<hrtimer_restart> {
  const krcp = t.container as kfree_rcu_cpu;
  yield* queue_delayed_work(k, system_highpri_wq(k), krcp.page_cache_work, 0);
  return HRTIMER_NORESTART;
}

/**
 * Fills the page cache, under memory pressure with one page; goes on after a failure (B15), and fetches a page only to see
 * that the cache is full.
 *
 * Context: worker. Sleeps: for memory.
 *
 * @mirrors kernel/rcu/tree.c:fill_page_cache_func (v5.14)
 */
function* fill_page_cache_func(k: Kernel, work: work_struct): MaySleep<void> {
  const krcp = to_delayed_work(work).container as kfree_rcu_cpu;
  const backoff = yield* atomic_read(k, krcp.backoff_page_cache_fill);
  const nr_pages = backoff !== 0 ? 1 : rcu_min_cached_objs(k);
  for (let i = 0; i < nr_pages; i++) {
    const gfp_mask = gfp(GFP_KERNEL, __GFP_NORETRY, __GFP_NOMEMALLOC, __GFP_NOWARN);
    const bnode = yield* __get_free_page(k, gfp_mask);
    if (bnode !== NULL) {
      const flags = yield* raw_spin_lock_irqsave(k, krcp.lock);
      const pushed = yield* put_cached_bnode(k, krcp, bnode);
      raw_spin_unlock_irqrestore(k, krcp.lock, flags);
      if (!pushed) {
        yield* free_page(k, bnode);
        break;
      }
    }
  }
  yield* atomic_set(k, krcp.work_in_progress, 0);
  yield* atomic_set(k, krcp.backoff_page_cache_fill, 0);
}

/**
 * Has the page cache filled, unless that is under way; under memory pressure later.
 *
 * Locks: krcp->lock.
 *
 * @mirrors kernel/rcu/tree.c:run_page_cache_worker (v5.14)
 */
function* run_page_cache_worker(k: Kernel, krcp: kfree_rcu_cpu): Atomic<void> {
  if (
    rcu_scheduler_active(k) === RCU_SCHEDULER_RUNNING &&
    (yield* atomic_xchg(k, krcp.work_in_progress, 1)) === 0
  ) {
    if ((yield* atomic_read(k, krcp.backoff_page_cache_fill)) !== 0) {
      const delay = msecs_to_jiffies(k, rcu_delay_page_cache_fill_msec(k));
      yield* queue_delayed_work(k, system_wq(k), krcp.page_cache_work, delay);
    } else {
      hrtimer_init(k, krcp.hrtimer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
      krcp.hrtimer.function = schedule_page_work_fn;
      yield* hrtimer_start(k, krcp.hrtimer, 0, HRTIMER_MODE_REL);
    }
  }
}

/** Puts `ptr` into a block that has room. */
function addRecord(k: Kernel, bnode: VirtAddr, nr: number, ptr: VirtAddr): void {
  k.ram.storePtr(recordAddr(bnode, nr), ptr);
  k.ram.storeLong((bnode + nr_records.offset) as VirtAddr, nr + 1);
}

/**
 * Locks the krc of this CPU and adds `ptr` to the chain of its channel there. False when a new block is needed and no page
 * can be had; with `can_alloc` the page allocator is asked for one, without the lock.
 *
 * Locks: returns with the lock held of the krc that `locked` tells, with interrupts off. Sleeps: only with `can_alloc`; then
 * the CPU may be another one afterwards, whose chain gets the new block although it has room, perhaps (B16).
 *
 * @mirrors kernel/rcu/tree.c:add_ptr_to_bulk_krc_lock (v5.13)
 */
function* add_ptr_to_bulk_krc_lock(
  k: Kernel,
  locked: KrcLocked,
  ptr: VirtAddr,
  can_alloc: boolean,
): MaySleep<boolean> {
  yield* krc_this_cpu_lock(k, locked);
  if (!locked.krcp.initialized) return false;
  const idx = is_vmalloc_addr(k, ptr) ? VMALLOC : SLAB;
  let bnode = locked.krcp.bkvhead[idx];
  if (bnode === NULL || nr_records.get(k, bnode) === KVFREE_BULK_MAX_ENTR) {
    bnode = yield* get_cached_bnode(k, locked.krcp);
    if (bnode === NULL && can_alloc) {
      krc_this_cpu_unlock(k, locked.krcp, locked.flags);
      const gfp_mask = gfp(GFP_KERNEL, __GFP_NORETRY, __GFP_NOMEMALLOC, __GFP_NOWARN);
      bnode = yield* __get_free_page(k, gfp_mask);
      yield* krc_this_cpu_lock(k, locked);
    }
    if (bnode === NULL) return false;
    nr_records.set(k, bnode, 0);
    next.set(k, bnode, locked.krcp.bkvhead[idx]);
    locked.krcp.bkvhead[idx] = bnode;
  }
  addRecord(k, bnode, nr_records.get(k, bnode), ptr);
  return true;
}

/**
 * Frees an object after a grace period.
 *
 * With `head`, `func` is the offset of the head in the object. Without (`head` null), `func` is the object itself; if no
 * page can be had, it is freed here, after a grace period.
 *
 * Context: any with `head`, process context without; otherwise reported. Locks: takes krcp->lock with interrupts off.
 * Sleeps: only without `head`, for a page or for a grace period.
 *
 * @mirrors kernel/rcu/tree.c:kvfree_call_rcu (v5.13)
 */
function kvfree_call_rcu(k: Kernel, head: VirtAddr, func: number): Atomic<void>;
function kvfree_call_rcu(k: Kernel, head: null, func: VirtAddr): MaySleep<void>;
function* kvfree_call_rcu(k: Kernel, head: VirtAddr | null, func: number): MaySleep<void> {
  if (head === null) might_sleep(k);
  const ptr = (head === null ? func : head - func) as VirtAddr;
  if (debug_rcu_head_queue(k, ptr) !== 0) {
    // Probably a double free: leak it.
    WARN_ONCE(k, true, `kvfree_call_rcu(): Double-freed call. rcu_head ${formatAddr(head ?? NULL)}`);
    return;
  }
  trace_kvfree_rcu(k, ptr, head === null);
  const locked = new KrcLocked();
  let success = yield* add_ptr_to_bulk_krc_lock(k, locked, ptr, head === null);
  const { krcp, flags } = locked;
  unlock_return: {
    if (!success) {
      yield* run_page_cache_worker(k, krcp);
      if (head === null) break unlock_return;
      rcu_head.f.func.set(k, head, func as VirtAddr);
      rcu_head.f.next.set(k, head, krcp.head);
      krcp.head = head;
      success = true;
    }
    yield* WRITE_ONCE(k, krcp, "count", krcp.count + 1);
    if (rcu_scheduler_active(k) === RCU_SCHEDULER_RUNNING && !krcp.monitor_todo) {
      krcp.monitor_todo = true;
      yield* schedule_delayed_work(k, krcp.monitor_work, KFREE_DRAIN_JIFFIES(k));
    }
  }
  krc_this_cpu_unlock(k, krcp, flags);

  if (success) return;
  debug_rcu_head_unqueue(k, ptr);
  yield* k.rcu.synchronize_rcu(k);
  yield* kvfree(k, ptr);
}

/**
 * Objects for which no grace period has been asked for, and cached pages, on all CPUs. Who asks is short of memory: the page
 * caches are filled later and less.
 *
 * @mirrors kernel/rcu/tree.c:kfree_rcu_shrink_count (v5.14)
 */
function* kfree_rcu_shrink_count(k: Kernel, _shrink: shrinker, _sc: shrink_control): Atomic<number> {
  let count = 0;
  for (const cpu of for_each_possible_cpu(k)) {
    const krcp = per_cpu_ptr(k, krc, cpu);
    count += yield* READ_ONCE(k, krcp, "count");
    count += yield* READ_ONCE(k, krcp, "nr_bkv_objs");
    yield* atomic_set(k, krcp.backoff_page_cache_fill, 1);
  }
  return count;
}

/**
 * Gives the cached pages back and asks for grace periods now, CPU by CPU, until that makes `nr_to_scan` pages and objects.
 * Returns how many they are, or SHRINK_STOP when there were none.
 *
 * A timer that is armed stays armed; its monitor will find nothing to do.
 *
 * @mirrors kernel/rcu/tree.c:kfree_rcu_shrink_scan (v5.14)
 * @simplified nr_to_scan is signed here; C compares an unsigned long with <= 0 and stops only if the sum meets it exactly
 */
function* kfree_rcu_shrink_scan(k: Kernel, _shrink: shrinker, sc: shrink_control): Atomic<number> {
  let freed = 0;
  for (const cpu of for_each_possible_cpu(k)) {
    const krcp = per_cpu_ptr(k, krc, cpu);
    let { count } = krcp;
    count += yield* drain_page_cache(k, krcp);
    yield* kfree_rcu_monitor(k, krcp.monitor_work.work);
    sc.nr_to_scan -= count;
    freed += count;
    if (sc.nr_to_scan <= 0) break;
  }
  return freed === 0 ? SHRINK_STOP : freed;
}

/** @mirrors kernel/rcu/tree.c:kfree_rcu_shrinker */
const kfree_rcu_shrinker = KERNEL_STATIC(
  "kfree_rcu_shrinker",
  () => new shrinker(kfree_rcu_shrink_count, kfree_rcu_shrink_scan),
);

/**
 * The scheduler is up: arms the monitor of each CPU that has collected something.
 *
 * Context: boot.
 *
 * @mirrors kernel/rcu/tree.c:kfree_rcu_scheduler_running (v5.14)
 */
function* kfree_rcu_scheduler_running(k: Kernel): Atomic<void> {
  for (const cpu of for_each_possible_cpu(k)) {
    const krcp = per_cpu_ptr(k, krc, cpu);
    const flags = yield* raw_spin_lock_irqsave(k, krcp.lock);
    const empty = krcp.bkvhead[SLAB] === NULL && krcp.bkvhead[VMALLOC] === NULL && krcp.head === NULL;
    if (empty || krcp.monitor_todo) {
      raw_spin_unlock_irqrestore(k, krcp.lock, flags);
      continue;
    }
    krcp.monitor_todo = true;
    yield* schedule_delayed_work_on(k, cpu, krcp.monitor_work, KFREE_DRAIN_JIFFIES(k));
    raw_spin_unlock_irqrestore(k, krcp.lock, flags);
  }
}

/**
 * Prepares the works of all CPUs and registers the shrinker.
 *
 * Context: boot, from rcu_init(). What was queued before is on the lists.
 *
 * @mirrors kernel/rcu/tree.c:kfree_rcu_batch_init (v5.14)
 */
function* kfree_rcu_batch_init(k: Kernel): MaySleep<void> {
  const msec = rcu_delay_page_cache_fill_msec(k);
  if (msec < 0 || msec > 100 * MSEC_PER_SEC) {
    const clamped = Math.max(0, Math.min(msec, 100 * MSEC_PER_SEC));
    rcu_delay_page_cache_fill_msec.set(k, clamped);
    pr_info(k, `rcu: Adjusting rcutree.rcu_delay_page_cache_fill_msec to ${clamped} ms.`);
  }
  for (const cpu of for_each_possible_cpu(k)) {
    const krcp = per_cpu_ptr(k, krc, cpu);
    for (const krwp of krcp.krw_arr) {
      INIT_RCU_WORK(k, krwp.rcu_work, kfree_rcu_work);
      krwp.krcp = krcp;
    }
    INIT_DELAYED_WORK(k, krcp.monitor_work, kfree_rcu_monitor);
    INIT_DELAYED_WORK(k, krcp.page_cache_work, fill_page_cache_func);
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
      spares: chainOf(k, krcp.bkvcache.first, llist_node.offsetof("next")),
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

/** kvfree_rcu() of tree RCU at v5.14. */
export const level: TreeLevel = {
  ops: {
    kfree_rcu_batch_init,
    kvfree_call_rcu,
    kvfree_rcu_barrier: null,
    kfree_rcu_scheduler_running,
    pendingAddresses,
    ownAddresses: allOwnAddresses,
    busy,
  },
  statics: [krc, kfree_rcu_shrinker, rcu_delay_page_cache_fill_msec],
  view,
};
