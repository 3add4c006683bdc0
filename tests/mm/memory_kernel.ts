// SPDX-License-Identifier: GPL-2.0-only
/**
 * A kernel whose page allocator has been brought up as boot does it, for tests of mm/ that need no scheduler.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { __GFP_MOVABLE, __GFP_NOWARN, type Gfp, gfp, GFP_KERNEL, GFP_NOWAIT } from "../../kernel/gfp.ts";
import { mem_map, NULL_PAGE, type page } from "../../mm/mm_types.ts";
import { contig_page_data, type zone } from "../../mm/mmzone.ts";
import { __free_pages, alloc_pages, checkBuddy } from "../../mm/page_alloc.ts";
import type { Config } from "../../kernel/config.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { SYSTEM_RUNNING, system_state } from "../../kernel/system_state.ts";
import * as fault_inject from "../../kernel/fault_inject.ts";
import * as fork from "../../kernel/fork.ts";
import * as internal from "../../mm/internal.ts";
import * as mm_types from "../../mm/mm_types.ts";
import * as mmzone from "../../mm/mmzone.ts";
import * as oom_kill from "../../mm/oom_kill.ts";
import * as page_alloc from "../../mm/page_alloc.ts";
import * as vmscan from "../../mm/vmscan.ts";
import * as slab_common from "../../mm/slab_common.ts";
import * as vmstat from "../../mm/vmstat.ts";
import { bareKernel, run } from "../helpers.ts";

/** With mem_init() done and nothing more: boot page lists, no watermarks, nothing may sleep. */
export function earlyKernel(wanted: Partial<Config> = {}): Kernel {
  const k = bareKernel(wanted, [
    fault_inject.statics,
    fork.statics,
    internal.statics,
    mm_types.statics,
    mmzone.statics,
    page_alloc.statics,
    vmscan.statics,
    oom_kill.statics,
    slab_common.statics,
    vmstat.statics,
  ]);
  page_alloc.build_all_zonelists(k);
  page_alloc.mem_init(k);
  return k;
}

/** Brought up in full. */
export function memoryKernel(wanted: Partial<Config> = {}): Kernel {
  const k = earlyKernel(wanted);
  page_alloc.gfp_allowed_mask.set(k, internal.__GFP_BITS_MASK);
  page_alloc.setup_per_cpu_pageset(k);
  system_state.set(k, SYSTEM_RUNNING);
  page_alloc.init_per_zone_wmark_min(k);
  return k;
}

export const MiB: number = 2 ** 20;
/** What kvfree_rcu asks with: never sleeps, never reports. */
export const QUIET = gfp(GFP_NOWAIT, __GFP_NOWARN);
export const MOVABLE = gfp(QUIET, __GFP_MOVABLE);

/** Zone Normal. */
export function normal(k: Kernel): zone {
  return contig_page_data(k).node_zones[0];
}

/** Free blocks by order. */
export function buddyinfo(k: Kernel): number[] {
  return normal(k).free_area.map((area) => area.nr_free);
}

/** Frames on a free list, from its head. */
export function freeList(k: Kernel, order: number, migratetype: number): number[] {
  const frames: number[] = [];
  const list = normal(k).free_area[order].free_list[migratetype];
  for (let p = list.first; p !== NULL_PAGE; p = mem_map(k).next[p] as page) frames.push(p);
  return frames;
}

/** Allocates a block by hand; NULL_PAGE when there is none. */
export function alloc(k: Kernel, order: number, flags: Gfp = GFP_KERNEL): page {
  return run(alloc_pages(k, flags, order));
}

/** Frees a block by hand. */
export function free(k: Kernel, p: page, order: number): void {
  run(__free_pages(k, p, order));
}

/** Arguments of the events of one kind since `from`. */
export function eventsOf(k: Kernel, kind: number, from = 0): number[][] {
  return [...k.log.records(from)].filter((r) => r.kind === kind).map((r) => [...r.args]);
}

/** Nothing is wrong with the lists and counters. */
export function assertSound(k: Kernel): void {
  assertEquals(checkBuddy(k), []);
}
