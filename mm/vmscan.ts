// SPDX-License-Identifier: GPL-2.0-only
/**
 * Reclaim, as far as the page allocator calls it. Mirrors the entry points of mm/vmscan.c (v5.7).
 *
 * Nothing is reclaimed yet: direct reclaim reports no progress and kswapd does not exist, which is what a kernel without
 * page cache and without shrinkers would find. Shrinkers and kswapd belong here.
 *
 * @module
 */

import { done, type MaySleep } from "../kernel/machine/effects.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { zone, zoneref } from "./mmzone.ts";

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
