// SPDX-License-Identifier: GPL-2.0-only
/**
 * include/trace/events/vmscan.h (v5.7): reclaim, shrinkers and kswapd.
 *
 * Left out: the events of LRU lists, writeback and memory cgroups, of which there are none here. What C prints with
 * %pS and %p of a shrinker are its scan function's text address and its own.
 *
 * @module
 */

import type { Machine } from "../../machine/machine.ts";
import { p, SYSTEM, type TraceEvent } from "../trace_event.ts";
import { show_gfp_flags } from "./mmflags.ts";

const KSWAPD_SLEEP = SYSTEM.vmscan * 256 + 1;
const KSWAPD_WAKE = SYSTEM.vmscan * 256 + 2;
const WAKEUP_KSWAPD = SYSTEM.vmscan * 256 + 3;
const DIRECT_RECLAIM_BEGIN = SYSTEM.vmscan * 256 + 4;
const DIRECT_RECLAIM_END = SYSTEM.vmscan * 256 + 5;
const SHRINK_SLAB_START = SYSTEM.vmscan * 256 + 6;
const SHRINK_SLAB_END = SYSTEM.vmscan * 256 + 7;

export const events: readonly TraceEvent[] = [
  {
    id: KSWAPD_SLEEP,
    system: "vmscan",
    name: "mm_vmscan_kswapd_sleep",
    fields: ["nid"],
    print: (_v, { args: a }) => `nid=${a[0]}`,
  },
  {
    id: KSWAPD_WAKE,
    system: "vmscan",
    name: "mm_vmscan_kswapd_wake",
    fields: ["nid", "zid", "order"],
    print: (_v, { args: a }) => `nid=${a[0]} order=${a[2]}`,
  },
  {
    id: WAKEUP_KSWAPD,
    system: "vmscan",
    name: "mm_vmscan_wakeup_kswapd",
    fields: ["nid", "zid", "order", "gfp_flags"],
    print: (_v, { args: a }) => `nid=${a[0]} order=${a[2]} gfp_flags=${show_gfp_flags(a[3])}`,
  },
  {
    id: DIRECT_RECLAIM_BEGIN,
    system: "vmscan",
    name: "mm_vmscan_direct_reclaim_begin",
    fields: ["order", "gfp_flags"],
    print: (_v, { args: a }) => `order=${a[0]} gfp_flags=${show_gfp_flags(a[1])}`,
  },
  {
    id: DIRECT_RECLAIM_END,
    system: "vmscan",
    name: "mm_vmscan_direct_reclaim_end",
    fields: ["nr_reclaimed"],
    print: (_v, { args: a }) => `nr_reclaimed=${a[0]}`,
  },
  {
    id: SHRINK_SLAB_START,
    system: "vmscan",
    name: "mm_shrink_slab_start",
    fields: [
      "shrink",
      "shr",
      "nr_objects_to_shrink",
      "gfp_flags",
      "cache_items",
      "delta",
      "total_scan",
      "priority",
    ],
    print: (v, { args: a }) =>
      `${v.symbol(a[0])} ${p(a[1])}: nid: 0 objects to shrink ${a[2]} gfp_flags ${show_gfp_flags(a[3])} ` +
      `cache items ${a[4]} delta ${a[5]} total_scan ${a[6]} priority ${a[7]}`,
  },
  {
    id: SHRINK_SLAB_END,
    system: "vmscan",
    name: "mm_shrink_slab_end",
    fields: ["shrink", "shr", "nid", "unused_scan", "new_scan", "total_scan", "retval"],
    print: (v, { args: a }) =>
      `${v.symbol(a[0])} ${p(a[1])}: nid: ${a[2]} unused scan count ${a[3]} new scan count ${a[4]} ` +
      `total_scan ${a[5]} last shrinker return val ${a[6]}`,
  },
];

export function trace_mm_vmscan_kswapd_sleep(m: Machine, nid: number): void {
  m.emit(KSWAPD_SLEEP, nid);
}

export function trace_mm_vmscan_kswapd_wake(m: Machine, nid: number, zid: number, order: number): void {
  m.emit(KSWAPD_WAKE, nid, zid, order);
}

export function trace_mm_vmscan_wakeup_kswapd(
  m: Machine,
  nid: number,
  zid: number,
  order: number,
  gfp_flags: number,
): void {
  m.emit(WAKEUP_KSWAPD, nid, zid, order, gfp_flags);
}

export function trace_mm_vmscan_direct_reclaim_begin(m: Machine, order: number, gfp_flags: number): void {
  m.emit(DIRECT_RECLAIM_BEGIN, order, gfp_flags);
}

export function trace_mm_vmscan_direct_reclaim_end(m: Machine, nr_reclaimed: number): void {
  m.emit(DIRECT_RECLAIM_END, nr_reclaimed);
}

/** `shrink` is the text address of the scan function, `shr` the shrinker's address. */
export function trace_mm_shrink_slab_start(
  m: Machine,
  shrink: number,
  shr: number,
  nr_objects_to_shrink: number,
  gfp_flags: number,
  cache_items: number,
  delta: number,
  total_scan: number,
  priority: number,
): void {
  m.emit(
    SHRINK_SLAB_START,
    shrink,
    shr,
    nr_objects_to_shrink,
    gfp_flags,
    cache_items,
    delta,
    total_scan,
    priority,
  );
}

export function trace_mm_shrink_slab_end(
  m: Machine,
  shrink: number,
  shr: number,
  nid: number,
  shrinker_retval: number,
  unused_scan_cnt: number,
  new_scan_cnt: number,
  total_scan: number,
): void {
  m.emit(SHRINK_SLAB_END, shrink, shr, nid, unused_scan_cnt, new_scan_cnt, total_scan, shrinker_retval);
}
