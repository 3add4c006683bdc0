// SPDX-License-Identifier: GPL-2.0-only
/**
 * Zones, free lists, per-CPU page lists and the flags of one allocation attempt. Mirrors include/linux/mmzone.h and the
 * ALLOC_* part of mm/internal.h (v5.7).
 *
 * One node, zone Normal with all of RAM and an empty zone Movable (as on a 64-bit machine without the DMA zones), and
 * migratetypes without CMA and isolation. Invariant: a page stands on at most one list, a free list (PG_buddy) or a
 * per-CPU list; mm/page_alloc.ts:checkBuddy() looks.
 * Left out: LRU lists, NUMA, memory hotplug, per-CPU counter differentials (counters are exact).
 *
 * @module
 */

import { PAGE_SHIFT } from "../kernel/machine/addr.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { spinlock_t } from "../kernel/locking/spinlock.ts";
import type { task_struct } from "../kernel/sched/sched.ts";
import { wait_queue_head } from "../kernel/sched/wait.ts";
import { KERNEL_STATIC, type KernelStatic, type StaticKey } from "../kernel/static.ts";
import { type page, page_list } from "./mm_types.ts";

/** Orders 0 ... 10; the largest block is 4 MiB. @mirrors include/linux/mmzone.h:MAX_ORDER */
export const MAX_ORDER = 11;
export const MAX_ORDER_NR_PAGES: number = 1 << (MAX_ORDER - 1);
/** Above this order the allocator does not try hard. @mirrors include/linux/mmzone.h:PAGE_ALLOC_COSTLY_ORDER */
export const PAGE_ALLOC_COSTLY_ORDER = 3;

/** @mirrors include/linux/pageblock-flags.h:pageblock_order */
export const pageblock_order = 9;
export const pageblock_nr_pages: number = 1 << pageblock_order;

export const MIGRATE_UNMOVABLE = 0;
export const MIGRATE_MOVABLE = 1;
export const MIGRATE_RECLAIMABLE = 2;
/** Number of types that per-CPU lists know. */
export const MIGRATE_PCPTYPES = 3;
export const MIGRATE_HIGHATOMIC = 3;
export const MIGRATE_TYPES = 4;

/** Migratetype of the pageblock that holds the page. @mirrors include/linux/mmzone.h:get_pageblock_migratetype */
export function get_pageblock_migratetype(z: zone, p: page): number {
  return get_pfnblock_flags_mask(z, p);
}

/** @mirrors mm/page_alloc.c:migratetype_names */
export const migratetype_names: readonly string[] = ["Unmovable", "Movable", "Reclaimable", "HighAtomic"];

export const ZONE_NORMAL = 0;
export const ZONE_MOVABLE = 1;
export const MAX_NR_ZONES = 2;

export const WMARK_MIN = 0;
export const WMARK_LOW = 1;
export const WMARK_HIGH = 2;
export const NR_WMARK = 3;

/** Bit of zone.flags: the next allocation wakes kswapd. */
export const ZONE_BOOSTED_WATERMARK = 1;

/** A run of kswapd or direct reclaim without progress may happen so often. @mirrors mm/internal.h:MAX_RECLAIM_RETRIES */
export const MAX_RECLAIM_RETRIES = 16;

/** What stays the same during one allocation. @mirrors mm/internal.h:alloc_context */
export class alloc_context {
  high_zoneidx = ZONE_NORMAL;
  zonelist: readonly zoneref[] = [];
  /** First zone to try, and the one whose reserves count. */
  preferred_zoneref: zoneref | null = null;
  migratetype = MIGRATE_UNMOVABLE;
}

// enum zone_stat_item
export const NR_FREE_PAGES = 0;
export const NR_ZONE_INACTIVE_ANON = 1;
export const NR_ZONE_ACTIVE_ANON = 2;
export const NR_ZONE_INACTIVE_FILE = 3;
export const NR_ZONE_ACTIVE_FILE = 4;
export const NR_ZONE_UNEVICTABLE = 5;
export const NR_ZONE_WRITE_PENDING = 6;
export const NR_MLOCK = 7;
export const NR_PAGETABLE = 8;
export const NR_KERNEL_STACK_KB = 9;
export const NR_BOUNCE = 10;
export const NR_FREE_CMA_PAGES = 11;
export const NR_VM_ZONE_STAT_ITEMS = 12;

// enum node_stat_item; those that never move here have no name of their own
export const NR_SLAB_RECLAIMABLE = 5;
export const NR_SLAB_UNRECLAIMABLE = 6;
export const NR_KERNEL_MISC_RECLAIMABLE = 31;
export const NR_VM_NODE_STAT_ITEMS = 34;

// How hard an attempt tries (mm/internal.h)
export const ALLOC_WMARK_MIN: number = WMARK_MIN;
export const ALLOC_WMARK_LOW: number = WMARK_LOW;
export const ALLOC_WMARK_HIGH: number = WMARK_HIGH;
export const ALLOC_NO_WATERMARKS = 0x04;
export const ALLOC_WMARK_MASK: number = ALLOC_NO_WATERMARKS - 1;
export const ALLOC_OOM = 0x08;
export const ALLOC_HARDER = 0x10;
/** Equals __GFP_HIGH. */
export const ALLOC_HIGH = 0x20;
export const ALLOC_CPUSET = 0x40;
/** 0 without ZONE_DMA32. */
export const ALLOC_NOFRAGMENT = 0x0;
/** Equals __GFP_KSWAPD_RECLAIM. */
export const ALLOC_KSWAPD = 0x800;

/** Free blocks of one order, by migratetype. @mirrors include/linux/mmzone.h:free_area */
export class free_area {
  readonly free_list: readonly page_list[] = Array.from({ length: MIGRATE_TYPES }, () => new page_list());
  nr_free = 0;
}

/** First page of a free list, NULL_PAGE when there is none. @mirrors include/linux/mmzone.h:get_page_from_free_area */
export function get_page_from_free_area(area: free_area, migratetype: number): page {
  return area.free_list[migratetype].first;
}

/** @mirrors include/linux/mmzone.h:free_area_empty */
export function free_area_empty(area: free_area, migratetype: number): boolean {
  return area.free_list[migratetype].first === 0;
}

/** @mirrors include/linux/mmzone.h:min_wmark_pages */
export function min_wmark_pages(z: zone): number {
  return z._watermark[WMARK_MIN] + z.watermark_boost;
}

/** @mirrors include/linux/mmzone.h:low_wmark_pages */
export function low_wmark_pages(z: zone): number {
  return z._watermark[WMARK_LOW] + z.watermark_boost;
}

/** @mirrors include/linux/mmzone.h:high_wmark_pages */
export function high_wmark_pages(z: zone): number {
  return z._watermark[WMARK_HIGH] + z.watermark_boost;
}

/** @mirrors include/linux/mmzone.h:wmark_pages */
export function wmark_pages(z: zone, i: number): number {
  return z._watermark[i] + z.watermark_boost;
}

/** Free single pages of one CPU. @mirrors include/linux/mmzone.h:per_cpu_pages */
export class per_cpu_pages {
  count = 0;
  /** Count at which a free drains. */
  high = 0;
  /** Pages moved from and to the free lists at once. */
  batch = 0;
  readonly lists: readonly page_list[] = Array.from({ length: MIGRATE_PCPTYPES }, () => new page_list());
}

/** @mirrors include/linux/mmzone.h:per_cpu_pageset */
export class per_cpu_pageset {
  readonly pcp = new per_cpu_pages();
  /** Pages that a CPU may hold back from the zone's counters: none, they are exact. */
  stat_threshold = 0;
}

/** @mirrors include/linux/mmzone.h:zone */
export class zone {
  /** Read through min_wmark_pages() and the like, which add the boost. */
  readonly _watermark: Int32Array = new Int32Array(NR_WMARK);
  watermark_boost = 0;
  nr_reserved_highatomic = 0;
  /** Pages kept from requests that could have used a higher zone, by that zone. */
  readonly lowmem_reserve: Int32Array = new Int32Array(MAX_NR_ZONES);
  /** By CPU. */
  pageset: readonly per_cpu_pageset[] = [];
  /** A byte per pageblock: its migratetype. */
  pageblock_flags: Uint8Array = new Uint8Array(0);
  zone_start_pfn = 0;
  managed_pages = 0;
  spanned_pages = 0;
  present_pages = 0;
  readonly free_area: readonly free_area[] = Array.from({ length: MAX_ORDER }, () => new free_area());
  flags = 0;
  readonly lock: spinlock_t;
  /** Below this many free pages an exact count is worth taking; 0: counts are exact. */
  percpu_drift_mark = 0;
  readonly vm_stat: Int32Array = new Int32Array(NR_VM_ZONE_STAT_ITEMS);

  constructor(readonly name: string, readonly index: number) {
    this.lock = new spinlock_t("zone->lock", "&zone->lock");
  }
}

/** Pages that the allocator manages: present less reserved. @mirrors include/linux/mmzone.h:zone_managed_pages */
export function zone_managed_pages(z: zone): number {
  return z.managed_pages;
}

/** The only node. @mirrors mm/memblock.c:contig_page_data */
export const contig_page_data: KernelStatic<pglist_data> = KERNEL_STATIC(
  "contig_page_data",
  () => new pglist_data(),
);

export const statics: readonly StaticKey[] = [contig_page_data];

/** Zone of a page: all of RAM is in zone Normal. @mirrors include/linux/mm.h:page_zone */
export function page_zone(k: Kernel, _page: page): zone {
  return contig_page_data(k).node_zones[ZONE_NORMAL];
}

/** @mirrors include/linux/mmzone.h:zone_end_pfn */
export function zone_end_pfn(z: zone): number {
  return z.zone_start_pfn + z.spanned_pages;
}

/** @mirrors include/linux/mmzone.h:zone_spans_pfn */
export function zone_spans_pfn(z: zone, pfn: number): boolean {
  return pfn >= z.zone_start_pfn && pfn < zone_end_pfn(z);
}

/** A zone in the order in which a request tries them. @mirrors include/linux/mmzone.h:zoneref */
export interface zoneref {
  readonly zone: zone;
  readonly zone_idx: number;
}

/** A NUMA node. @mirrors include/linux/mmzone.h:pglist_data */
export class pglist_data {
  readonly node_id = 0;
  readonly node_zones: readonly zone[] = [
    new zone("Normal", ZONE_NORMAL),
    new zone("Movable", ZONE_MOVABLE),
  ];
  /** Zones with memory, the highest first. */
  node_zonelists: readonly zoneref[] = [];
  node_start_pfn = 0;
  node_present_pages = 0;
  node_spanned_pages = 0;
  readonly kswapd_wait: wait_queue_head = new wait_queue_head("kswapd");
  kswapd: task_struct | null = null;
  /** What kswapd is asked for next; MAX_NR_ZONES is nothing. */
  kswapd_order = 0;
  kswapd_classzone_idx = 0;
  /** Runs of kswapd in a row without progress. */
  kswapd_failures = 0;
  totalreserve_pages = 0;
  readonly vm_stat: Int32Array = new Int32Array(NR_VM_NODE_STAT_ITEMS);
}

/** @mirrors include/linux/mmzone.h:zone_idx */
export function zone_idx(z: zone): number {
  return z.index;
}

/** @mirrors include/linux/mmzone.h:managed_zone */
export function managed_zone(z: zone): boolean {
  return z.managed_pages > 0;
}

/** @mirrors include/linux/mmzone.h:populated_zone */
export function populated_zone(z: zone): boolean {
  return z.present_pages > 0;
}

/**
 * Flags of the pageblock that holds the page: its migratetype.
 *
 * @mirrors mm/page_alloc.c:get_pfnblock_flags_mask
 * @simplified a byte per pageblock in place of four bits
 */
export function get_pfnblock_flags_mask(z: zone, p: page): number {
  return z.pageblock_flags[(p - z.zone_start_pfn) >>> pageblock_order];
}

/**
 * Sets what get_pfnblock_flags_mask() returns.
 *
 * @mirrors mm/page_alloc.c:set_pfnblock_flags_mask
 * @simplified a byte per pageblock in place of four bits
 */
export function set_pfnblock_flags_mask(z: zone, p: page, flags: number): void {
  z.pageblock_flags[(p - z.zone_start_pfn) >>> pageblock_order] = flags;
}

/** Pages in KiB. @mirrors mm/page_alloc.c:K */
export function K(pages: number): number {
  return pages * (1 << (PAGE_SHIFT - 10));
}
