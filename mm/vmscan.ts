// SPDX-License-Identifier: GPL-2.0-only
/**
 * Reclaim, as far as the page allocator calls it. Mirrors the entry points of mm/vmscan.c (v5.7).
 *
 * Nothing is reclaimed yet: direct reclaim reports no progress and kswapd does not exist, which is what a kernel without
 * page cache and without shrinkers would find. Shrinkers and kswapd belong here.
 *
 * @module
 */

import { NULL } from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import { done, type MaySleep } from "../kernel/machine/effects.ts";
import { ENOMEM } from "../kernel/errno.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { list_add_tail, list_del_init, list_entry, list_head } from "../kernel/list.ts";
import { down_write, rw_semaphore, up_write } from "../kernel/locking/rwsem.ts";
import { allocObject, freeObject } from "../kernel/objects.ts";
import { KERNEL_STATIC, type KernelStatic, type StaticKey } from "../kernel/static.ts";
import type { zone, zoneref } from "./mmzone.ts";

/** From scan_objects(): it cannot go on now. @mirrors include/linux/shrinker.h:SHRINK_STOP */
export const SHRINK_STOP: number = -1;
/** From count_objects(): there is nothing to free. @mirrors include/linux/shrinker.h:SHRINK_EMPTY */
export const SHRINK_EMPTY: number = -2;
/** Effort to make an object anew, for who does not know better. @mirrors include/linux/shrinker.h:DEFAULT_SEEKS */
export const DEFAULT_SEEKS = 2;

/** What a shrinker is asked for. @mirrors include/linux/shrinker.h:shrink_control */
export class shrink_control {
  readonly nid = 0;
  /** Objects that scan_objects() should look at. */
  nr_to_scan = 0;
  /** Objects that it did look at; starts as nr_to_scan. */
  nr_scanned = 0;

  constructor(readonly gfp_mask: number) {}
}

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

/**
 * Frees pages for a request. Returns how many were freed.
 *
 * Context: process context, PF_MEMALLOC set. Sleeps: yes.
 *
 * @mirrors mm/vmscan.c:try_to_free_pages
 * @simplified no shrinker and no LRU: there is never progress
 */
export function try_to_free_pages(
  _k: Kernel,
  _zonelist: readonly zoneref[],
  _order: number,
  _gfp_mask: number,
): MaySleep<number> {
  return done(0);
}

/**
 * Wakes kswapd if the zone needs it.
 *
 * Context: any.
 *
 * @mirrors mm/vmscan.c:wakeup_kswapd
 * @simplified there is no kswapd; what one that finds nothing to reclaim would do is done here: the boost goes
 */
export function wakeup_kswapd(
  _k: Kernel,
  zone: zone,
  _gfp_flags: number,
  _order: number,
  _classzone_idx: number,
): void {
  zone.watermark_boost = 0;
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

/** The registered shrinkers, in the order in which reclaim calls them; a look. @invented for commands and tests */
export function shrinkers(k: Kernel): shrinker[] {
  const all: shrinker[] = [];
  for (let e = shrinker_list(k).next; e !== shrinker_list(k); e = e.next) all.push(list_entry(e));
  return all;
}
