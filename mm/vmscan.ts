// SPDX-License-Identifier: GPL-2.0-only
/**
 * Reclaim: shrinkers, direct reclaim and kswapd. Mirrors mm/vmscan.c and include/linux/shrinker.h (v5.7) of a kernel
 * without user memory, page cache and swap: there are no LRU lists, so all that reclaim can do is to call shrinkers.
 *
 * Invariant: progress is what slabs gave back while the reclaiming task ran (task_struct.reclaim_state), never what
 * shrinkers say. A shrinker that only queues work, as the one of kvfree_rcu(), makes none.
 *
 * Left out: LRU lists and all that serves them (aging, writeback, throttling on pfmemalloc_wait), memory cgroups, nodes,
 * compaction (kcompactd is never woken), freezing.
 *
 * @module
 */

import { NULL } from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import { type MaySleep, STEP } from "../kernel/machine/effects.ts";
import { POINT_RMW, POINT_WAIT, pt } from "../kernel/machine/points.ts";
import { BUG_ON } from "../kernel/bug.ts";
import { READ_ONCE, WRITE_ONCE } from "../kernel/compiler.ts";
import { ENOMEM } from "../kernel/errno.ts";
import { GFP_KERNEL } from "../kernel/gfp.ts";
import { ksym } from "../kernel/kallsyms.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { kthread_run, kthread_should_stop } from "../kernel/kthread.ts";
import { list_add_tail, list_del_init, list_for_each_entry, list_head } from "../kernel/list.ts";
import {
  down_read_trylock,
  down_write,
  rw_semaphore,
  rwsem_is_contended,
  up_read,
  up_write,
} from "../kernel/locking/rwsem.ts";
import { allocObject, freeObject } from "../kernel/objects.ts";
import { pr_err } from "../kernel/printk.ts";
import { cond_resched, current, schedule } from "../kernel/sched/core.ts";
import { PF_KSWAPD, PF_MEMALLOC, PF_SWAPWRITE, TASK_INTERRUPTIBLE } from "../kernel/sched/sched.ts";
import {
  finish_wait,
  init_wait_entry,
  prepare_to_wait,
  wait_queue_entry,
  waitqueue_active,
  wake_up_interruptible,
} from "../kernel/sched/wait.ts";
import { KERNEL_STATIC, type KernelStatic, type StaticKey } from "../kernel/static.ts";
import { schedule_timeout } from "../kernel/time/timer.ts";
import {
  trace_mm_shrink_slab_end,
  trace_mm_shrink_slab_start,
  trace_mm_vmscan_direct_reclaim_begin,
  trace_mm_vmscan_direct_reclaim_end,
  trace_mm_vmscan_kswapd_sleep,
  trace_mm_vmscan_kswapd_wake,
  trace_mm_vmscan_wakeup_kswapd,
} from "../kernel/trace/events/vmscan.ts";
import {
  contig_page_data,
  high_wmark_pages,
  managed_zone,
  MAX_NR_ZONES,
  MAX_RECLAIM_RETRIES,
  type pglist_data,
  type zone,
  zone_idx as index_of,
  type zoneref,
} from "./mmzone.ts";
import { current_gfp_context, gfp_zone, zone_watermark_ok_safe } from "./page_alloc.ts";
import {
  ALLOCSTALL_NORMAL,
  count_vm_event,
  count_vm_events,
  KSWAPD_HIGH_WMARK_HIT_QUICKLY,
  KSWAPD_LOW_WMARK_HIT_QUICKLY,
  PAGEOUTRUN,
  SLABS_SCANNED,
} from "./vmstat.ts";

/** Pages that one round of direct reclaim wants. @mirrors include/linux/swap.h:SWAP_CLUSTER_MAX */
export const SWAP_CLUSTER_MAX = 32;
/** First and weakest priority. @mirrors include/linux/mmzone.h:DEF_PRIORITY */
export const DEF_PRIORITY = 12;

/** What one run of reclaim is about. @mirrors mm/vmscan.c:scan_control */
class scan_control {
  nr_to_reclaim = 0;
  priority = DEF_PRIORITY;
  nr_scanned = 0;
  nr_reclaimed = 0;
  readonly reclaim_state = { reclaimed_slab: 0 };

  constructor(readonly gfp_mask: number, public order: number, public reclaim_idx: number) {}
}

/** What a shrinker is asked for. @mirrors include/linux/shrinker.h:shrink_control */
export class shrink_control {
  readonly nid = 0;
  /** Objects that scan_objects() should look at. */
  nr_to_scan = 0;
  /** Objects that it did look at; starts as nr_to_scan. */
  nr_scanned = 0;

  constructor(readonly gfp_mask: number) {}
}

/** From scan_objects(): it cannot go on now. @mirrors include/linux/shrinker.h:SHRINK_STOP */
export const SHRINK_STOP: number = -1;
/** From count_objects(): there is nothing to free. @mirrors include/linux/shrinker.h:SHRINK_EMPTY */
export const SHRINK_EMPTY: number = -2;

/** A cache that can give memory back. @mirrors include/linux/shrinker.h:shrinker */
export class shrinker {
  /** Objects per call of scan_objects(), 0 is the default. */
  batch = 0;
  seeks: number = DEFAULT_SEEKS;
  flags = 0;
  readonly list: list_head<shrinker> = new list_head<shrinker>(this);
  /** Objects that earlier rounds left over; there is one node. */
  nr_deferred = 0;
  /** The 8 bytes of nr_deferred, and the shrinker itself. */
  deferredAddr: VirtAddr = NULL;
  addr: VirtAddr = NULL;

  constructor(
    readonly count_objects: (k: Kernel, shrink: shrinker, sc: shrink_control) => MaySleep<number>,
    readonly scan_objects: (k: Kernel, shrink: shrinker, sc: shrink_control) => MaySleep<number>,
  ) {}
}

/** Effort to make an object anew, for who does not know better. @mirrors include/linux/shrinker.h:DEFAULT_SEEKS */
export const DEFAULT_SEEKS = 2;

const shrinker_list: KernelStatic<list_head<shrinker>> = KERNEL_STATIC(
  "shrinker_list",
  () => new list_head<shrinker>(),
);
const shrinker_rwsem: KernelStatic<rw_semaphore> = KERNEL_STATIC(
  "shrinker_rwsem",
  () => new rw_semaphore("shrinker_rwsem"),
);

export const statics: readonly StaticKey[] = [shrinker_list, shrinker_rwsem];

/** sizeof(struct shrinker) on a 64-bit machine. */
const SHRINKER_SIZE = 64;

/** What the task's frees of slabs add to. @mirrors mm/vmscan.c:set_task_reclaim_state */
function set_task_reclaim_state(k: Kernel, rs: { reclaimed_slab: number } | null): void {
  current(k).reclaim_state = rs;
}

/**
 * Pages that reclaim could free in a zone.
 *
 * @mirrors mm/vmscan.c:zone_reclaimable_pages
 * @simplified there are no LRU pages
 */
export function zone_reclaimable_pages(_k: Kernel, _zone: zone): number {
  return 0;
}

/**
 * Gives a shrinker what it needs before it can be called. Returns 0 or -ENOMEM.
 *
 * @mirrors mm/vmscan.c:prealloc_shrinker
 */
export function* prealloc_shrinker(k: Kernel, shrinker: shrinker): MaySleep<number> {
  shrinker.deferredAddr = yield* allocObject(k, 8);
  if (shrinker.deferredAddr === NULL) return -ENOMEM;
  if (shrinker.addr === NULL) shrinker.addr = k.dataAlloc(SHRINKER_SIZE);
  return 0;
}

/** Lets reclaim call the shrinker. Sleeps. @mirrors mm/vmscan.c:register_shrinker_prepared */
export function* register_shrinker_prepared(k: Kernel, shrinker: shrinker): MaySleep<void> {
  yield* down_write(k, shrinker_rwsem(k));
  list_add_tail(shrinker.list, shrinker_list(k));
  up_write(k, shrinker_rwsem(k));
}

/**
 * Lets reclaim call the shrinker. Returns 0 or -ENOMEM.
 *
 * Context: process context. Sleeps.
 *
 * @mirrors mm/vmscan.c:register_shrinker
 */
export function* register_shrinker(k: Kernel, shrinker: shrinker): MaySleep<number> {
  const err = yield* prealloc_shrinker(k, shrinker);
  if (err !== 0) return err;
  yield* register_shrinker_prepared(k, shrinker);
  return 0;
}

/**
 * Takes the shrinker back; it is not being called any more.
 *
 * Context: process context. Sleeps.
 *
 * @mirrors mm/vmscan.c:unregister_shrinker
 */
export function* unregister_shrinker(k: Kernel, shrinker: shrinker): MaySleep<void> {
  if (shrinker.deferredAddr === NULL) return;
  yield* down_write(k, shrinker_rwsem(k));
  list_del_init(shrinker.list);
  up_write(k, shrinker_rwsem(k));
  yield* freeObject(k, shrinker.deferredAddr);
  shrinker.deferredAddr = NULL;
}

/** Objects per call of scan_objects() for a shrinker that does not say. @mirrors mm/vmscan.c:SHRINK_BATCH */
const SHRINK_BATCH = 128;

/** How many objects a shrinker is asked for, from how many it has. */
function scanTarget(shrinker: shrinker, freeable: number, priority: number): number {
  if (shrinker.seeks === 0) return Math.floor(freeable / 2);
  return Math.floor(Math.floor(freeable / 2 ** priority) * 4 / shrinker.seeks);
}

/**
 * Asks one shrinker for its share. Returns what it says that it freed, or 0 or SHRINK_EMPTY when it has nothing.
 *
 * Context: process context, shrinker_rwsem held for reading. Sleeps: yes.
 *
 * @mirrors mm/vmscan.c:do_shrink_slab
 */
function* do_shrink_slab(
  k: Kernel,
  shrinkctl: shrink_control,
  shrinker: shrinker,
  priority: number,
): MaySleep<number> {
  let freed = 0;
  let scanned = 0;
  const batch_size = shrinker.batch !== 0 ? shrinker.batch : SHRINK_BATCH;
  const freeable = yield* shrinker.count_objects(k, shrinker, shrinkctl);
  if (freeable === 0 || freeable === SHRINK_EMPTY) return freeable;

  // atomic_long_xchg()
  if (pt(k, POINT_RMW, "shrinker->nr_deferred")) yield STEP;
  const nr = shrinker.nr_deferred;
  shrinker.nr_deferred = 0;

  const delta = scanTarget(shrinker, freeable, priority);
  let total_scan = nr + delta;
  let next_deferred = total_scan;
  if (total_scan < 0) {
    pr_err(
      k,
      `shrink_slab: ${shrinker.scan_objects.name} negative objects to delete nr=${total_scan}`,
    );
    total_scan = freeable;
    next_deferred = nr;
  }
  if (delta < Math.floor(freeable / 4)) total_scan = Math.min(total_scan, Math.floor(freeable / 2));
  if (total_scan > freeable * 2) total_scan = freeable * 2;

  const shrink = ksym(k, shrinker.scan_objects);
  trace_mm_shrink_slab_start(
    k,
    shrink,
    shrinker.addr,
    nr,
    shrinkctl.gfp_mask,
    freeable,
    delta,
    total_scan,
    priority,
  );
  while (total_scan >= batch_size || total_scan >= freeable) {
    shrinkctl.nr_to_scan = shrinkctl.nr_scanned = Math.min(batch_size, total_scan);
    const ret = yield* shrinker.scan_objects(k, shrinker, shrinkctl);
    if (ret === SHRINK_STOP) break;
    freed += ret;
    count_vm_events(k, SLABS_SCANNED, shrinkctl.nr_scanned);
    total_scan -= shrinkctl.nr_scanned;
    scanned += shrinkctl.nr_scanned;
    yield* cond_resched(k);
  }

  next_deferred = Math.max(0, next_deferred - scanned);
  // atomic_long_add_return()
  if (pt(k, POINT_RMW, "shrinker->nr_deferred")) yield STEP;
  shrinker.nr_deferred += next_deferred;
  trace_mm_shrink_slab_end(
    k,
    shrink,
    shrinker.addr,
    shrinkctl.nid,
    freed,
    nr,
    shrinker.nr_deferred,
    total_scan,
  );
  return freed;
}

/**
 * Calls every shrinker once. Returns what they say that they freed; 0 when somebody registers a shrinker meanwhile.
 *
 * Context: process context. Locks: tries shrinker_rwsem. Sleeps: yes.
 *
 * @mirrors mm/vmscan.c:shrink_slab
 * @simplified no memory cgroups and one node
 */
export function* shrink_slab(k: Kernel, gfp_mask: number, priority: number): MaySleep<number> {
  let freed = 0;
  const rwsem = shrinker_rwsem(k);
  if (yield* down_read_trylock(k, rwsem)) {
    for (const shrinker of list_for_each_entry(shrinker_list(k))) {
      const ret = yield* do_shrink_slab(k, new shrink_control(gfp_mask), shrinker, priority);
      if (ret !== SHRINK_EMPTY) freed += ret;
      if (rwsem_is_contended(rwsem)) {
        freed = freed !== 0 ? freed : 1;
        break;
      }
    }
    up_read(k, rwsem);
  }
  yield* cond_resched(k);
  return freed;
}

/**
 * Calls the shrinkers with the highest priority until they find next to nothing.
 *
 * @mirrors mm/vmscan.c:drop_slab_node
 */
function* drop_slab_node(k: Kernel): MaySleep<void> {
  let freed: number;
  do freed = yield* shrink_slab(k, GFP_KERNEL, 0); while (freed > 10);
}

/** Frees what shrinkers can free, on all nodes. Sleeps. @mirrors mm/vmscan.c:drop_slab */
export function* drop_slab(k: Kernel): MaySleep<void> {
  yield* drop_slab_node(k);
}

/**
 * One round over a node: the shrinkers.
 *
 * @mirrors mm/vmscan.c:shrink_node
 * @simplified no LRU lists, so no second round
 */
function* shrink_node(k: Kernel, pgdat: pglist_data, sc: scan_control): MaySleep<void> {
  const nr_reclaimed = sc.nr_reclaimed;
  yield* shrink_slab(k, sc.gfp_mask, sc.priority);
  const reclaim_state = current(k).reclaim_state;
  if (reclaim_state !== null) {
    sc.nr_reclaimed += reclaim_state.reclaimed_slab;
    reclaim_state.reclaimed_slab = 0;
  }
  // Somebody made progress: kswapd is worth another try.
  if (sc.nr_reclaimed > nr_reclaimed) pgdat.kswapd_failures = 0;
}

/** Shrinks each node of the zones once; there is one. @mirrors mm/vmscan.c:shrink_zones */
function* shrink_zones(k: Kernel, zonelist: readonly zoneref[], sc: scan_control): MaySleep<void> {
  if (zonelist.some((ref) => ref.zone_idx <= sc.reclaim_idx)) {
    yield* shrink_node(k, contig_page_data(k), sc);
  }
}

/** @mirrors mm/vmscan.c:do_try_to_free_pages */
function* do_try_to_free_pages(
  k: Kernel,
  zonelist: readonly zoneref[],
  sc: scan_control,
): MaySleep<number> {
  count_vm_event(k, ALLOCSTALL_NORMAL + sc.reclaim_idx);
  do {
    sc.nr_scanned = 0;
    yield* shrink_zones(k, zonelist, sc);
    if (sc.nr_reclaimed >= sc.nr_to_reclaim) break;
  } while (--sc.priority >= 0);
  return sc.nr_reclaimed;
}

/**
 * Frees pages for a request, from priority 12 up to 0. Returns how many were freed.
 *
 * Context: process context, PF_MEMALLOC set. Sleeps: yes.
 *
 * @mirrors mm/vmscan.c:try_to_free_pages
 * @simplified no throttling on the reserves: it looks only at zones with LRU pages
 */
export function* try_to_free_pages(
  k: Kernel,
  zonelist: readonly zoneref[],
  order: number,
  gfp_mask: number,
): MaySleep<number> {
  const sc = new scan_control(current_gfp_context(k, gfp_mask), order, gfp_zone(k, gfp_mask));
  sc.nr_to_reclaim = SWAP_CLUSTER_MAX;
  set_task_reclaim_state(k, sc.reclaim_state);
  trace_mm_vmscan_direct_reclaim_begin(k, order, sc.gfp_mask);
  const nr_reclaimed = yield* do_try_to_free_pages(k, zonelist, sc);
  trace_mm_vmscan_direct_reclaim_end(k, nr_reclaimed);
  set_task_reclaim_state(k, null);
  return nr_reclaimed;
}

function pgdat_watermark_boosted(pgdat: pglist_data, classzone_idx: number): boolean {
  for (let i = classzone_idx; i >= 0; i--) {
    if (managed_zone(pgdat.node_zones[i]) && pgdat.node_zones[i].watermark_boost !== 0) return true;
  }
  return false;
}

/**
 * Whether some zone up to `classzone_idx` has its high watermark free for a request of this order.
 *
 * @mirrors mm/vmscan.c:pgdat_balanced
 */
function pgdat_balanced(pgdat: pglist_data, order: number, classzone_idx: number): boolean {
  let mark = -1;
  for (let i = 0; i <= classzone_idx; i++) {
    const zone = pgdat.node_zones[i];
    if (!managed_zone(zone)) continue;
    mark = high_wmark_pages(zone);
    if (zone_watermark_ok_safe(zone, order, mark, classzone_idx)) return true;
  }
  return mark === -1;
}

/** Whether kswapd may sleep: all is well, or it is hopeless. @mirrors mm/vmscan.c:prepare_kswapd_sleep */
function prepare_kswapd_sleep(pgdat: pglist_data, order: number, classzone_idx: number): boolean {
  if (pgdat.kswapd_failures >= MAX_RECLAIM_RETRIES) return true;
  return pgdat_balanced(pgdat, order, classzone_idx);
}

/** Twice the pages of a request. @mirrors include/linux/compaction.h:compact_gap */
function compact_gap(order: number): number {
  return 2 << order;
}

/** One round for kswapd. Returns whether enough was scanned for priority to stay. @mirrors mm/vmscan.c:kswapd_shrink_node */
function* kswapd_shrink_node(k: Kernel, pgdat: pglist_data, sc: scan_control): MaySleep<boolean> {
  sc.nr_to_reclaim = 0;
  for (let z = 0; z <= sc.reclaim_idx; z++) {
    const zone = pgdat.node_zones[z];
    if (managed_zone(zone)) sc.nr_to_reclaim += Math.max(high_wmark_pages(zone), SWAP_CLUSTER_MAX);
  }
  yield* shrink_node(k, pgdat, sc);
  if (sc.order !== 0 && sc.nr_reclaimed >= compact_gap(sc.order)) sc.order = 0;
  return sc.nr_scanned >= sc.nr_to_reclaim;
}

/**
 * Reclaims with rising priority until a zone is balanced. Returns the order that it finished at. A whole run without
 * progress counts as a failure of kswapd.
 *
 * Context: kswapd.
 *
 * @mirrors mm/vmscan.c:balance_pgdat
 * @simplified no reclaim for a boost, which wakeup_kswapd() has taken back
 */
function* balance_pgdat(
  k: Kernel,
  pgdat: pglist_data,
  order: number,
  classzone_idx: number,
): MaySleep<number> {
  const sc = new scan_control(GFP_KERNEL, order, classzone_idx);
  set_task_reclaim_state(k, sc.reclaim_state);
  count_vm_event(k, PAGEOUTRUN);
  out: {
    do {
      const before = sc.nr_reclaimed;
      if (pgdat_balanced(pgdat, sc.order, classzone_idx)) break out;
      sc.nr_scanned = 0;
      const raise_priority = !(yield* kswapd_shrink_node(k, pgdat, sc));
      if (kthread_should_stop(k)) break;
      if (raise_priority || sc.nr_reclaimed === before) sc.priority--;
    } while (sc.priority >= 1);
    if (sc.nr_reclaimed === 0) pgdat.kswapd_failures++;
  }
  set_task_reclaim_state(k, null);
  return sc.order;
}

/** The zone index that was asked for, or that of the last run when nobody asked. @mirrors mm/vmscan.c:kswapd_classzone_idx */
function* kswapd_classzone_idx(
  k: Kernel,
  pgdat: pglist_data,
  prev_classzone_idx: number,
): MaySleep<number> {
  const curr_idx = yield* READ_ONCE(k, pgdat, "kswapd_classzone_idx");
  return curr_idx === MAX_NR_ZONES ? prev_classzone_idx : curr_idx;
}

/**
 * Sleeps a tenth of a second, and if all is still well until somebody wakes it.
 *
 * @mirrors mm/vmscan.c:kswapd_try_to_sleep
 * @simplified no counter thresholds: counters are exact
 */
function* kswapd_try_to_sleep(
  k: Kernel,
  pgdat: pglist_data,
  reclaim_order: number,
  classzone_idx: number,
): MaySleep<void> {
  let remaining = 0;
  if (kthread_should_stop(k)) return;
  const wait = new wait_queue_entry();
  init_wait_entry(k, wait, 0);
  current(k).waitingFor = pgdat.kswapd_wait.waitingFor;
  prepare_to_wait(k, pgdat.kswapd_wait, wait, TASK_INTERRUPTIBLE);
  if (pt(k, POINT_WAIT, pgdat.kswapd_wait)) yield STEP;
  if (prepare_kswapd_sleep(pgdat, reclaim_order, classzone_idx)) {
    remaining = yield* schedule_timeout(k, Math.floor(k.config.HZ / 10));
    if (remaining !== 0) {
      const idx = yield* kswapd_classzone_idx(k, pgdat, classzone_idx);
      yield* WRITE_ONCE(k, pgdat, "kswapd_classzone_idx", idx);
      if ((yield* READ_ONCE(k, pgdat, "kswapd_order")) < reclaim_order) {
        yield* WRITE_ONCE(k, pgdat, "kswapd_order", reclaim_order);
      }
    }
    finish_wait(k, pgdat.kswapd_wait, wait);
    prepare_to_wait(k, pgdat.kswapd_wait, wait, TASK_INTERRUPTIBLE);
    if (pt(k, POINT_WAIT, pgdat.kswapd_wait)) yield STEP;
  }
  if (remaining === 0 && prepare_kswapd_sleep(pgdat, reclaim_order, classzone_idx)) {
    trace_mm_vmscan_kswapd_sleep(k, pgdat.node_id);
    if (!kthread_should_stop(k)) yield* schedule(k);
  } else {
    count_vm_event(k, remaining !== 0 ? KSWAPD_LOW_WMARK_HIT_QUICKLY : KSWAPD_HIGH_WMARK_HIT_QUICKLY);
  }
  current(k).waitingFor = "";
  finish_wait(k, pgdat.kswapd_wait, wait);
}

/**
 * The thread that reclaims before anybody has to wait for it.
 *
 * @mirrors mm/vmscan.c:kswapd
 */
function* kswapd(k: Kernel, pgdat: pglist_data): MaySleep<number> {
  const tsk = current(k);
  let classzone_idx = MAX_NR_ZONES - 1;
  tsk.flags |= PF_MEMALLOC | PF_SWAPWRITE | PF_KSWAPD;
  yield* WRITE_ONCE(k, pgdat, "kswapd_order", 0);
  yield* WRITE_ONCE(k, pgdat, "kswapd_classzone_idx", MAX_NR_ZONES);
  let alloc_order = yield* READ_ONCE(k, pgdat, "kswapd_order");
  let reclaim_order = alloc_order;
  classzone_idx = yield* kswapd_classzone_idx(k, pgdat, classzone_idx);
  for (;;) {
    yield* kswapd_try_to_sleep(k, pgdat, reclaim_order, classzone_idx);
    alloc_order = yield* READ_ONCE(k, pgdat, "kswapd_order");
    classzone_idx = yield* kswapd_classzone_idx(k, pgdat, classzone_idx);
    yield* WRITE_ONCE(k, pgdat, "kswapd_order", 0);
    yield* WRITE_ONCE(k, pgdat, "kswapd_classzone_idx", MAX_NR_ZONES);
    if (kthread_should_stop(k)) break;

    trace_mm_vmscan_kswapd_wake(k, pgdat.node_id, classzone_idx, alloc_order);
    reclaim_order = yield* balance_pgdat(k, pgdat, alloc_order, classzone_idx);
    // kswapd_try_sleep: with the order that was reached, which may be less than was asked for.
    if (reclaim_order < alloc_order) continue;
    alloc_order = reclaim_order = yield* READ_ONCE(k, pgdat, "kswapd_order");
    classzone_idx = yield* kswapd_classzone_idx(k, pgdat, classzone_idx);
  }
  tsk.flags &= ~(PF_MEMALLOC | PF_SWAPWRITE | PF_KSWAPD);
  return 0;
}

/**
 * Wakes kswapd if the zone needs it and there is hope.
 *
 * Context: any. Not a point.
 *
 * @mirrors mm/vmscan.c:wakeup_kswapd
 * @simplified its marked accesses are no points. A boost wakes kswapd, but is taken back here: what reclaim does for one
 *   is to LRU pages, of which there are none, and each time would count as a failure
 */
export function wakeup_kswapd(
  k: Kernel,
  zone: zone,
  gfp_flags: number,
  order: number,
  classzone_idx: number,
): void {
  if (!managed_zone(zone)) return;
  const pgdat = contig_page_data(k);
  const boosted = pgdat_watermark_boosted(pgdat, classzone_idx);
  zone.watermark_boost = 0;
  const curr_idx = pgdat.kswapd_classzone_idx;
  if (curr_idx === MAX_NR_ZONES || curr_idx < classzone_idx) pgdat.kswapd_classzone_idx = classzone_idx;
  if (pgdat.kswapd_order < order) pgdat.kswapd_order = order;
  if (!waitqueue_active(pgdat.kswapd_wait)) return;
  if (
    pgdat.kswapd_failures >= MAX_RECLAIM_RETRIES ||
    (pgdat_balanced(pgdat, order, classzone_idx) && !boosted)
  ) return;
  trace_mm_vmscan_wakeup_kswapd(k, pgdat.node_id, index_of(zone), order, gfp_flags);
  wake_up_interruptible(k, pgdat.kswapd_wait);
}

/** Starts kswapd of a node. Failure at boot is fatal. @mirrors mm/vmscan.c:kswapd_run */
function* kswapd_run(k: Kernel, pgdat: pglist_data): MaySleep<void> {
  const task = yield* kthread_run(k, (k) => kswapd(k, pgdat), `kswapd${pgdat.node_id}`);
  BUG_ON(k, typeof task === "number");
  if (typeof task !== "number") pgdat.kswapd = task;
}

/** Context: boot, device initcall. @mirrors mm/vmscan.c:kswapd_init */
export function* kswapd_init(k: Kernel): MaySleep<void> {
  yield* kswapd_run(k, contig_page_data(k));
}

/** The registered shrinkers, in the order in which reclaim calls them; a look. @invented for commands and tests */
export function shrinkers(k: Kernel): shrinker[] {
  return [...list_for_each_entry(shrinker_list(k))];
}
