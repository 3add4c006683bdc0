// SPDX-License-Identifier: GPL-2.0-only
/**
 * kvfree_rcu() of tree RCU in v6.5. Mirrors that part of kernel/rcu/tree.c.
 *
 * Every block, and the list, carries a cookie of the last pointer that it took; blocks carry the full one, which misses no
 * grace period. The monitor first frees what has had its grace period already, and only the rest goes to a batch, which
 * waits for one. What is freed after all without its grace period is reported, and leaked instead.
 *
 * Invariant: krcp->lock guards all of a CPU's krc but its counters, which are atomic, and the tests of need_offload_krc(). A
 * batch takes pointers only while all its channels are empty. Ended: the krc that a sleeping call left is the one that it
 * locks again (B16); records count as queued until the check is passed (B17); the refill fetches what is missing, and
 * without a page cache there is none (B18). Still there: destroying a slab cache does not wait for this (B20).
 *
 * Left out: the RT variant; the stack that KASAN notes for each call.
 *
 * @module
 */

import { formatAddr, NULL, PAGE_SIZE } from "../../../kernel/machine/addr.ts";
import type { IrqFlags, VirtAddr } from "../../../kernel/machine/brand.ts";
import type { Atomic, MaySleep } from "../../../kernel/machine/effects.ts";
import {
  array,
  type ArrayView,
  embed,
  type FieldType,
  type Layout,
  ptr as pointer,
  struct,
  ulong,
  type ViewOf,
} from "../../../kernel/machine/struct.ts";
import {
  atomic_add,
  atomic_inc,
  atomic_read,
  atomic_set,
  atomic_t,
  atomic_xchg,
} from "../../../kernel/atomic.ts";
import { WARN_ON_ONCE, WARN_ONCE } from "../../../kernel/bug.ts";
import { READ_ONCE, WRITE_ONCE } from "../../../kernel/compiler.ts";
import { LEVEL_CACHED_OBJS } from "../../../kernel/config.ts";
import { for_each_possible_cpu } from "../../../kernel/cpumask.ts";
import { offStack, onStack } from "../../../kernel/fork.ts";
import { __GFP_NOMEMALLOC, __GFP_NORETRY, __GFP_NOWARN, gfp, GFP_KERNEL } from "../../../kernel/gfp.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import {
  INIT_LIST_HEAD,
  list_add,
  list_empty,
  list_head,
  list_move,
  list_replace_init,
} from "../../../kernel/list_ram.ts";
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
import { jiffies, MSEC_PER_SEC, msecs_to_jiffies } from "../../../kernel/time/jiffies.ts";
import { trace_kvfree_rcu } from "../../../kernel/trace/events/quiesce.ts";
import {
  trace_rcu_invoke_kfree_bulk_callback,
  trace_rcu_invoke_kvfree_callback,
} from "../../../kernel/trace/events/rcu.ts";
import {
  delayed_work,
  delayed_work_pending,
  INIT_DELAYED_WORK,
  INIT_RCU_WORK,
  mod_delayed_work,
  queue_delayed_work,
  queue_rcu_work,
  rcu_work,
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
import {
  register_shrinker,
  type shrink_control,
  SHRINK_EMPTY,
  SHRINK_STOP,
  shrinker,
} from "../../../mm/vmscan.ts";
import {
  chainOf,
  type KrcLook,
  type KrcPlace,
  type KrcView,
  lookOps,
  objectInFunc,
  peek,
} from "../../krc_look.ts";
import {
  __is_kvfree_rcu_offset,
  debug_rcu_head_queue,
  debug_rcu_head_unqueue,
  rcu_gp_oldstate,
  rcu_head,
} from "../../rcu.ts";
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

/** Jiffies between the first pointer of a batch and its grace period: 5 s. @mirrors kernel/rcu/tree.c:KFREE_DRAIN_JIFFIES (v6.1) */
function KFREE_DRAIN_JIFFIES(k: Kernel): number {
  return 5 * k.config.HZ;
}

/** Batches that may wait for a grace period. @mirrors kernel/rcu/tree.c:KFREE_N_BATCHES */
const KFREE_N_BATCHES = 2;

/** Channels that collect in blocks: slab memory and vmalloc memory. @mirrors kernel/rcu/tree.c:FREE_N_CHANNELS (v5.9) */
const FREE_N_CHANNELS = 2;
const SLAB = 0;
const VMALLOC = 1;

/** A page of pointers. @mirrors kernel/rcu/tree.c:kvfree_rcu_bulk_data (v6.5) */
const kvfree_rcu_bulk_data: Layout<{
  list: FieldType<ViewOf<typeof list_head>>;
  gp_snap: FieldType<ViewOf<typeof rcu_gp_oldstate>>;
  nr_records: FieldType<number>;
  records: FieldType<ArrayView<VirtAddr>>;
}> = struct("kvfree_rcu_bulk_data", {
  list: embed(list_head), // among the blocks of its chain, newest first
  gp_snap: embed(rcu_gp_oldstate), // cookie of the last pointer
  nr_records: ulong, // records in use
  records: array(pointer, 0),
});

const { gp_snap, nr_records } = kvfree_rcu_bulk_data.f;

/** Records in one block. @mirrors kernel/rcu/tree.c:KVFREE_BULK_MAX_ENTR (2/7) */
const KVFREE_BULK_MAX_ENTR: number = Math.floor((PAGE_SIZE - kvfree_rcu_bulk_data.size) / pointer.size);

/** Address of a record of a block: `&bnode->records[index]`. */
function recordAddr(bnode: VirtAddr, index: number): VirtAddr {
  return (bnode + kvfree_rcu_bulk_data.size + index * pointer.size) as VirtAddr;
}

/** Addresses of the heads of two lists, which stand at `at`. */
function headsAt(at: VirtAddr): VirtAddr[] {
  return Array.from({ length: FREE_N_CHANNELS }, (_, i) => (at + i * list_head.size) as VirtAddr);
}

/** Bytes of the heads of two lists. */
const HEADS_SIZE = FREE_N_CHANNELS * list_head.size;

/** The block after `bnode` on its list, or the head. `list` is a block's first member. */
function nextOf(k: Kernel, bnode: VirtAddr): VirtAddr {
  return list_head.f.next.get(k, bnode);
}

/** The block before `bnode`, or the head. */
function prevOf(k: Kernel, bnode: VirtAddr): VirtAddr {
  return list_head.f.prev.get(k, bnode);
}

/** A batch that waits for a grace period. @mirrors kernel/rcu/tree.c:kfree_rcu_cpu_work (v6.5) */
class kfree_rcu_cpu_work {
  readonly rcu_work: rcu_work = new rcu_work(this);
  /** List of objects. */
  head_free: VirtAddr = NULL;
  /** When they were handed over. */
  readonly head_free_gp_snap: rcu_gp_oldstate = { rgos_norm: 0, rgos_exp: 0 };
  /** Addresses of the heads of the lists of blocks, by channel. */
  readonly bulk_head_free: readonly VirtAddr[];
  krcp!: kfree_rcu_cpu;

  constructor(k: Kernel) {
    this.bulk_head_free = headsAt(k.dataAlloc(HEADS_SIZE));
  }
}

/** What one CPU has collected. @mirrors kernel/rcu/tree.c:kfree_rcu_cpu (v6.3-rc1) */
class kfree_rcu_cpu {
  /** List of objects that do not wait for a grace period yet, last queued first. */
  head: VirtAddr = NULL;
  /** Cookie of the last of them. */
  head_gp_snap = 0;
  /** How many these are. */
  readonly head_count: atomic_t = new atomic_t(0, "krcp->head_count");
  /** Addresses of the heads of the lists of blocks that do not wait yet, newest block first, by channel. */
  readonly bulk_head: readonly VirtAddr[];
  /** Objects in these blocks, by channel. */
  readonly bulk_count: readonly atomic_t[] = Array.from(
    { length: FREE_N_CHANNELS },
    () => new atomic_t(0, "krcp->bulk_count"),
  );
  readonly krw_arr: readonly kfree_rcu_cpu_work[];
  readonly lock: raw_spinlock_t = new raw_spinlock_t("krc.lock");
  readonly monitor_work: delayed_work = new delayed_work(this);
  /** The works can be used. */
  initialized = false;
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

  constructor(k: Kernel) {
    this.bulk_head = headsAt(k.dataAlloc(HEADS_SIZE));
    this.krw_arr = Array.from({ length: KFREE_N_BATCHES }, () => new kfree_rcu_cpu_work(k));
  }
}

/** @mirrors kernel/rcu/tree.c:krc */
const krc: PerCpu<kfree_rcu_cpu> = DEFINE_PER_CPU("krc", (k) => new kfree_rcu_cpu(k));

/** Name of the flavour in traces; rcu_state.name. */
function rcuName(k: Kernel): string {
  return k.config.preempt === "full" ? "rcu_preempt" : "rcu_sched";
}

/** The records of a block are not queued any more. @mirrors kernel/rcu/tree.c:debug_rcu_bhead_unqueue (v5.9) */
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
 * @mirrors kernel/rcu/tree.c:drain_page_cache (v6.5)
 */
function* drain_page_cache(k: Kernel, krcp: kfree_rcu_cpu): Atomic<number> {
  let freed = 0;
  if (rcu_min_cached_objs(k) === 0) return freed;
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
 * Frees what a block holds, unless its grace period is not over, and keeps the block in the page cache or gives it back.
 *
 * Context: process context. Locks: takes krcp->lock, for the page cache.
 *
 * @mirrors kernel/rcu/tree.c:kvfree_rcu_bulk (v6.5)
 */
function* kvfree_rcu_bulk(k: Kernel, krcp: kfree_rcu_cpu, bnode: VirtAddr, idx: number): MaySleep<void> {
  const ready = k.rcu.poll_state_synchronize_rcu_full(k, gp_snap.get(k, bnode));
  if (!WARN_ON_ONCE(k, !ready, "gp_snap")) {
    debug_rcu_bhead_unqueue(k, bnode);
    rcu_lock_acquire(k, rcu_callback_map);
    const nr = nr_records.get(k, bnode);
    if (idx === SLAB) {
      trace_rcu_invoke_kfree_bulk_callback(k, rcuName(k), nr, recordAddr(bnode, 0));
      yield* kfree_bulk(k, nr, recordAddr(bnode, 0));
    } else {
      for (let i = 0; i < nr; i++) {
        const record = k.ram.loadPtr(recordAddr(bnode, i));
        trace_rcu_invoke_kvfree_callback(k, rcuName(k), record, 0);
        yield* vfree(k, record);
      }
    }
    rcu_lock_release(k, rcu_callback_map);
  }
  yield* putBlock(k, krcp, bnode);
  yield* cond_resched_tasks_rcu_qs(k);
}

/** Frees the objects of a list. Context: process context. @mirrors kernel/rcu/tree.c:kvfree_rcu_list (v6.3-rc1) */
function* kvfree_rcu_list(k: Kernel, head: VirtAddr): MaySleep<void> {
  while (head !== NULL) {
    const ptr = rcu_head.f.func.get(k, head);
    const offset = head - ptr;
    const next = rcu_head.f.next.get(k, head);
    debug_rcu_head_unqueue(k, ptr);
    rcu_lock_acquire(k, rcu_callback_map);
    trace_rcu_invoke_kvfree_callback(k, rcuName(k), head, offset);
    if (!WARN_ON_ONCE(k, !__is_kvfree_rcu_offset(offset), "offset")) yield* kvfree(k, ptr);
    rcu_lock_release(k, rcu_callback_map);
    yield* cond_resched_tasks_rcu_qs(k);
    head = next;
  }
}

/** Frees the blocks of two lists, slab blocks first; the heads go with the stack. */
function* freeBlocks(k: Kernel, krcp: kfree_rcu_cpu, heads: readonly VirtAddr[]): MaySleep<void> {
  for (let i = 0; i < FREE_N_CHANNELS; i++) {
    for (let bnode = nextOf(k, heads[i]); bnode !== heads[i];) {
      const n = nextOf(k, bnode);
      yield* kvfree_rcu_bulk(k, krcp, bnode, i);
      bnode = n;
    }
  }
}

/**
 * The grace period of a batch is over: frees slab blocks, then vmalloc blocks, each newest first, then the list.
 *
 * Context: worker. Locks: takes krcp->lock, to detach.
 *
 * @mirrors kernel/rcu/tree.c:kfree_rcu_work (v6.5)
 */
function* kfree_rcu_work(k: Kernel, work: work_struct): MaySleep<void> {
  const krwp = to_rcu_work(work).container as kfree_rcu_cpu_work;
  const { krcp } = krwp;
  const bulk_head = headsAt(onStack(k, HEADS_SIZE));
  const flags = yield* raw_spin_lock_irqsave(k, krcp.lock);
  // Channels 1 and 2.
  for (let i = 0; i < FREE_N_CHANNELS; i++) list_replace_init(k, krwp.bulk_head_free[i], bulk_head[i]);
  // Channel 3.
  const head = krwp.head_free;
  krwp.head_free = NULL;
  const head_gp_snap = { ...krwp.head_free_gp_snap };
  raw_spin_unlock_irqrestore(k, krcp.lock, flags);

  yield* freeBlocks(k, krcp, bulk_head);
  if (head !== NULL) {
    const ready = k.rcu.poll_state_synchronize_rcu_full(k, head_gp_snap);
    if (!WARN_ON_ONCE(k, !ready, "head_gp_snap")) yield* kvfree_rcu_list(k, head);
  }
  offStack(k, HEADS_SIZE);
}

/**
 * Whether anything waits to be handed to a batch.
 *
 * Locks: none; what it says of a CPU that is adding may be wrong at once.
 *
 * @mirrors kernel/rcu/tree.c:need_offload_krc (v6.3-rc1)
 */
function* need_offload_krc(k: Kernel, krcp: kfree_rcu_cpu): Atomic<boolean> {
  for (const bulk_head of krcp.bulk_head) if (!list_empty(k, bulk_head)) return true;
  return (yield* READ_ONCE(k, krcp, "head")) !== NULL;
}

/** Whether a batch still holds anything, whose grace period it must keep. @mirrors kernel/rcu/tree.c:need_wait_for_krwp_work (v6.3) */
function need_wait_for_krwp_work(k: Kernel, krwp: kfree_rcu_cpu_work): boolean {
  for (const bulk_head of krwp.bulk_head_free) if (!list_empty(k, bulk_head)) return true;
  return krwp.head_free !== NULL;
}

/** Objects that wait to be handed to a batch. @mirrors kernel/rcu/tree.c:krc_count (v6.3-rc1) */
function* krc_count(k: Kernel, krcp: kfree_rcu_cpu): Atomic<number> {
  let sum = yield* atomic_read(k, krcp.head_count);
  for (const bulk_count of krcp.bulk_count) sum += yield* atomic_read(k, bulk_count);
  return sum;
}

/**
 * Has the monitor run in 5 s, or in the next jiffy when a block's worth of objects waits; a timer that is later is moved.
 *
 * Context: any.
 *
 * @mirrors kernel/rcu/tree.c:schedule_delayed_monitor_work (v6.3-rc1)
 */
function* schedule_delayed_monitor_work(k: Kernel, krcp: kfree_rcu_cpu): Atomic<void> {
  const many = (yield* krc_count(k, krcp)) >= KVFREE_BULK_MAX_ENTR;
  const delay = many ? 1 : KFREE_DRAIN_JIFFIES(k);
  if (delayed_work_pending(krcp.monitor_work)) {
    const delay_left = krcp.monitor_work.timer.expires - jiffies(k);
    if (delay < delay_left) yield* mod_delayed_work(k, system_wq(k), krcp.monitor_work, delay);
    return;
  }
  yield* queue_delayed_work(k, system_wq(k), krcp.monitor_work, delay);
}

/**
 * Frees what has had its grace period already: of each chain the older blocks, and the list.
 *
 * Context: process context. Locks: takes krcp->lock, to detach.
 *
 * @mirrors kernel/rcu/tree.c:kvfree_rcu_drain_ready (v6.5)
 */
function* kvfree_rcu_drain_ready(k: Kernel, krcp: kfree_rcu_cpu): MaySleep<void> {
  const bulk_ready = headsAt(onStack(k, HEADS_SIZE));
  let head_ready: VirtAddr = NULL;
  const flags = yield* raw_spin_lock_irqsave(k, krcp.lock);
  for (let i = 0; i < FREE_N_CHANNELS; i++) {
    INIT_LIST_HEAD(k, bulk_ready[i]);
    const head = krcp.bulk_head[i];
    for (let bnode = prevOf(k, head); bnode !== head;) {
      const n = prevOf(k, bnode);
      if (!k.rcu.poll_state_synchronize_rcu_full(k, gp_snap.get(k, bnode))) break;
      // atomic_sub()
      yield* atomic_add(k, -nr_records.get(k, bnode), krcp.bulk_count[i]);
      list_move(k, bnode, bulk_ready[i]);
      bnode = n;
    }
  }
  if (krcp.head !== NULL && k.rcu.poll_state_synchronize_rcu(k, krcp.head_gp_snap)) {
    head_ready = krcp.head;
    yield* atomic_set(k, krcp.head_count, 0);
    yield* WRITE_ONCE(k, krcp, "head", NULL);
  }
  raw_spin_unlock_irqrestore(k, krcp.lock, flags);

  yield* freeBlocks(k, krcp, bulk_ready);
  if (head_ready !== NULL) yield* kvfree_rcu_list(k, head_ready);
  offStack(k, HEADS_SIZE);
}

/**
 * The batch timer: frees what is ready, hands the rest to the batches that are empty, and comes back for what finds none.
 *
 * Context: worker, or a task that reclaims memory.
 *
 * @mirrors kernel/rcu/tree.c:kfree_rcu_monitor (v6.5)
 */
function* kfree_rcu_monitor(k: Kernel, work: work_struct): MaySleep<void> {
  const krcp = to_delayed_work(work).container as kfree_rcu_cpu;
  yield* kvfree_rcu_drain_ready(k, krcp);
  const flags = yield* raw_spin_lock_irqsave(k, krcp.lock);
  for (const krwp of krcp.krw_arr) {
    if (need_wait_for_krwp_work(k, krwp)) continue;
    if (!(yield* need_offload_krc(k, krcp))) continue;
    // Channels 1 and 2.
    for (let j = 0; j < FREE_N_CHANNELS; j++) {
      if (!list_empty(k, krwp.bulk_head_free[j])) continue;
      yield* atomic_set(k, krcp.bulk_count[j], 0);
      list_replace_init(k, krcp.bulk_head[j], krwp.bulk_head_free[j]);
    }
    // Channel 3.
    if (krwp.head_free === NULL) {
      krwp.head_free = krcp.head;
      k.rcu.get_state_synchronize_rcu_full(k, krwp.head_free_gp_snap);
      yield* atomic_set(k, krcp.head_count, 0);
      yield* WRITE_ONCE(k, krcp, "head", NULL);
    }
    yield* queue_rcu_work(k, system_wq(k), krwp.rcu_work);
  }
  raw_spin_unlock_irqrestore(k, krcp.lock, flags);
  if (yield* need_offload_krc(k, krcp)) yield* schedule_delayed_monitor_work(k, krcp);
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
 * Fills the page cache, under memory pressure with one page, as far as there is memory.
 *
 * Context: worker. Sleeps: for memory.
 *
 * @mirrors kernel/rcu/tree.c:fill_page_cache_func (v6.5)
 */
function* fill_page_cache_func(k: Kernel, work: work_struct): MaySleep<void> {
  const krcp = to_delayed_work(work).container as kfree_rcu_cpu;
  const backoff = yield* atomic_read(k, krcp.backoff_page_cache_fill);
  const nr_pages = backoff !== 0 ? 1 : rcu_min_cached_objs(k);
  for (let i = yield* READ_ONCE(k, krcp, "nr_bkv_objs"); i < nr_pages; i++) {
    const gfp_mask = gfp(GFP_KERNEL, __GFP_NORETRY, __GFP_NOMEMALLOC, __GFP_NOWARN);
    const bnode = yield* __get_free_page(k, gfp_mask);
    if (bnode === NULL) break;
    const flags = yield* raw_spin_lock_irqsave(k, krcp.lock);
    const pushed = yield* put_cached_bnode(k, krcp, bnode);
    raw_spin_unlock_irqrestore(k, krcp.lock, flags);
    if (!pushed) {
      yield* free_page(k, bnode);
      break;
    }
  }
  yield* atomic_set(k, krcp.work_in_progress, 0);
  yield* atomic_set(k, krcp.backoff_page_cache_fill, 0);
}

/**
 * Has the page cache filled, unless that is under way or there is none; under memory pressure later.
 *
 * Locks: krcp->lock.
 *
 * @mirrors kernel/rcu/tree.c:run_page_cache_worker (v6.5)
 */
function* run_page_cache_worker(k: Kernel, krcp: kfree_rcu_cpu): Atomic<void> {
  if (rcu_min_cached_objs(k) === 0) return;
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

/** Puts `ptr` into a block that has room, and renews the block's cookie. */
function addRecord(k: Kernel, bnode: VirtAddr, nr: number, ptr: VirtAddr): void {
  k.ram.storePtr(recordAddr(bnode, nr), ptr);
  k.ram.storeLong((bnode + nr_records.offset) as VirtAddr, nr + 1);
  k.rcu.get_state_synchronize_rcu_full(k, gp_snap.get(k, bnode));
}

/** The newest block of a list, or NULL. */
function firstBlock(k: Kernel, head: VirtAddr): VirtAddr {
  const bnode = nextOf(k, head);
  return bnode === head ? NULL : bnode;
}

/**
 * Locks the krc of this CPU and adds `ptr` to a block of its channel. False when a new block is needed and no page can be
 * had.
 *
 * Locks: takes krcp->lock, which `locked` then says. With `can_alloc` it lets go of it for an allocation, and may come back on
 * another CPU, with the lock of the krc that it left. Sleeps: with `can_alloc`.
 *
 * @mirrors kernel/rcu/tree.c:add_ptr_to_bulk_krc_lock (v6.5)
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
  let bnode = firstBlock(k, locked.krcp.bulk_head[idx]);
  if (bnode === NULL || nr_records.get(k, bnode) === KVFREE_BULK_MAX_ENTR) {
    bnode = yield* get_cached_bnode(k, locked.krcp);
    if (bnode === NULL && can_alloc) {
      krc_this_cpu_unlock(k, locked.krcp, locked.flags);
      const gfp_mask = gfp(GFP_KERNEL, __GFP_NORETRY, __GFP_NOMEMALLOC, __GFP_NOWARN);
      bnode = yield* __get_free_page(k, gfp_mask);
      locked.flags = yield* raw_spin_lock_irqsave(k, locked.krcp.lock);
    }
    if (bnode === NULL) return false;
    nr_records.set(k, bnode, 0);
    list_add(k, bnode, locked.krcp.bulk_head[idx]);
  }
  addRecord(k, bnode, nr_records.get(k, bnode), ptr);
  yield* atomic_inc(k, locked.krcp.bulk_count[idx]);
  return true;
}

/**
 * Frees the object `ptr` after a grace period.
 *
 * With `head`, which stands in the object, it never sleeps. Without (`head` null), if no block can be had, the object is
 * freed here, after a grace period.
 *
 * Context: any with `head`, process context without; otherwise reported. Locks: takes krcp->lock with interrupts off.
 * Sleeps: only without `head`, and for a page or for a grace period.
 *
 * @mirrors kernel/rcu/tree.c:kvfree_call_rcu (v6.3-rc1)
 */
function kvfree_call_rcu(k: Kernel, head: VirtAddr, ptr: number): Atomic<void>;
function kvfree_call_rcu(k: Kernel, head: null, ptr: VirtAddr): MaySleep<void>;
function* kvfree_call_rcu(k: Kernel, head: VirtAddr | null, ptr: number): MaySleep<void> {
  if (head === null) might_sleep(k);
  if (debug_rcu_head_queue(k, ptr) !== 0) {
    // Probably a double free: leak it.
    WARN_ONCE(k, true, `kvfree_call_rcu(): Double-freed call. rcu_head ${formatAddr(head ?? NULL)}`);
    return;
  }
  trace_kvfree_rcu(k, ptr as VirtAddr, head === null);
  const locked = new KrcLocked();
  let success = yield* add_ptr_to_bulk_krc_lock(k, locked, ptr as VirtAddr, head === null);
  const { krcp, flags } = locked;
  unlock_return: {
    if (!success) {
      yield* run_page_cache_worker(k, krcp);
      if (head === null) break unlock_return;
      rcu_head.f.func.set(k, head, ptr as VirtAddr);
      rcu_head.f.next.set(k, head, krcp.head);
      yield* WRITE_ONCE(k, krcp, "head", head);
      yield* atomic_inc(k, krcp.head_count);
      krcp.head_gp_snap = k.rcu.get_state_synchronize_rcu(k);
      success = true;
    }
    if (rcu_scheduler_active(k) === RCU_SCHEDULER_RUNNING) yield* schedule_delayed_monitor_work(k, krcp);
  }
  krc_this_cpu_unlock(k, krcp, flags);

  if (success) return;
  debug_rcu_head_unqueue(k, ptr);
  yield* k.rcu.synchronize_rcu(k);
  yield* kvfree(k, ptr as VirtAddr);
}

/**
 * Objects that wait to be handed to a batch and cached pages, on all CPUs; SHRINK_EMPTY when there are none. Who asks is
 * short of memory: the page caches are filled later and less.
 *
 * @mirrors kernel/rcu/tree.c:kfree_rcu_shrink_count (v6.3-rc1)
 */
function* kfree_rcu_shrink_count(k: Kernel, _shrink: shrinker, _sc: shrink_control): Atomic<number> {
  let count = 0;
  for (const cpu of for_each_possible_cpu(k)) {
    const krcp = per_cpu_ptr(k, krc, cpu);
    count += yield* krc_count(k, krcp);
    count += yield* READ_ONCE(k, krcp, "nr_bkv_objs");
    yield* atomic_set(k, krcp.backoff_page_cache_fill, 1);
  }
  return count === 0 ? SHRINK_EMPTY : count;
}

/**
 * Gives the cached pages back and runs the monitor, CPU by CPU, until `nr_to_scan` objects and pages are dealt with. Returns
 * how many are, or SHRINK_STOP when there were none.
 *
 * Context: process context.
 *
 * @mirrors kernel/rcu/tree.c:kfree_rcu_shrink_scan (v6.3-rc1)
 * @simplified nr_to_scan is signed here; C compares an unsigned long with <= 0 and stops only if the sum meets it exactly
 */
function* kfree_rcu_shrink_scan(k: Kernel, _shrink: shrinker, sc: shrink_control): MaySleep<number> {
  let freed = 0;
  for (const cpu of for_each_possible_cpu(k)) {
    const krcp = per_cpu_ptr(k, krc, cpu);
    let count = yield* krc_count(k, krcp);
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
 * The scheduler is up: arms the monitor for each CPU that has collected anything.
 *
 * Context: boot.
 *
 * @mirrors kernel/rcu/tree.c:kfree_rcu_scheduler_running (v6.3-rc1)
 */
function* kfree_rcu_scheduler_running(k: Kernel): Atomic<void> {
  for (const cpu of for_each_possible_cpu(k)) {
    const krcp = per_cpu_ptr(k, krc, cpu);
    if (yield* need_offload_krc(k, krcp)) yield* schedule_delayed_monitor_work(k, krcp);
  }
}

/**
 * Prepares the lists and works of all CPUs and registers the shrinker.
 *
 * Context: boot, from rcu_init(). What was queued before is on the lists of heads.
 *
 * @mirrors kernel/rcu/tree.c:kfree_rcu_batch_init (v6.3-rc1)
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
      for (const bulk_head_free of krwp.bulk_head_free) INIT_LIST_HEAD(k, bulk_head_free);
    }
    for (const bulk_head of krcp.bulk_head) INIT_LIST_HEAD(k, bulk_head);
    INIT_DELAYED_WORK(k, krcp.monitor_work, kfree_rcu_monitor);
    INIT_DELAYED_WORK(k, krcp.page_cache_work, fill_page_cache_func);
    krcp.initialized = true;
  }
  if ((yield* register_shrinker(k, kfree_rcu_shrinker(k))) !== 0) {
    pr_err(k, "rcu: Failed to register kfree_rcu() shrinker!");
  }
}

/** The blocks of a list, newest first; before the start of kvfree_rcu() the head is all zeroes. */
function blocksOf(k: Kernel, head: VirtAddr): VirtAddr[] {
  const blocks: VirtAddr[] = [];
  for (let b = peek(k, head); b !== head && b !== NULL; b = peek(k, b)) blocks.push(b);
  return blocks;
}

/** Where one of the two structs holds its pointers. */
function place(k: Kernel, [slab, vmalloc]: readonly VirtAddr[], head: VirtAddr): KrcPlace {
  return { slab: blocksOf(k, slab), vmalloc: blocksOf(k, vmalloc), head };
}

/** krc_count() of who only looks. */
function countOf(krcp: kfree_rcu_cpu): number {
  return krcp.bulk_count.reduce((sum, { counter }) => sum + counter, krcp.head_count.counter);
}

function look(k: Kernel): KrcLook[] {
  return k.cpus.map(({ id }) => {
    const krcp = per_cpu_ptr(k, krc, id);
    return {
      initialized: krcp.initialized,
      count: countOf(krcp),
      monitor_todo: delayed_work_pending(krcp.monitor_work),
      monitor_work: krcp.monitor_work,
      locked: krcp.lock.owner !== null,
      collecting: place(k, krcp.bulk_head, krcp.head),
      batches: krcp.krw_arr.map((krwp) => ({
        rcu_work: krwp.rcu_work,
        place: place(k, krwp.bulk_head_free, krwp.head_free),
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
    objectOf: objectInFunc,
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

/** kvfree_rcu() of tree RCU at v6.5. */
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
  statics: [rcu_delay_page_cache_fill_msec, krc, kfree_rcu_shrinker],
  view,
};
