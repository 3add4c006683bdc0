// SPDX-License-Identifier: GPL-2.0-only
/**
 * A kernel with memory management and nothing else, for the tests of vmalloc and kvmalloc: no boot, no scheduler.
 *
 * @module
 */

import { formatAddr, PAGE_SIZE } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { Config } from "../../kernel/config.ts";
import * as fault_inject from "../../kernel/fault_inject.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { SYSTEM_RUNNING, system_state } from "../../kernel/system_state.ts";
import * as failslab from "../../mm/failslab.ts";
import * as internal from "../../mm/internal.ts";
import { __GFP_BITS_MASK, gfp_allowed_mask } from "../../mm/internal.ts";
import * as mm_types from "../../mm/mm_types.ts";
import { mem_map, type page, PAGE_USE_TABLE, PG_buddy, PG_reserved } from "../../mm/mm_types.ts";
import * as mmzone from "../../mm/mmzone.ts";
import * as oom_kill from "../../mm/oom_kill.ts";
import * as page_alloc from "../../mm/page_alloc.ts";
import * as vmscan from "../../mm/vmscan.ts";
import * as pgtable from "../../mm/pgtable.ts";
import * as slab_common from "../../mm/slab_common.ts";
import * as slab_live from "../../mm/slab_live.ts";
import { slabLiveObjects } from "../../mm/slab_live.ts";
import * as slub from "../../mm/slub.ts";
import * as vmalloc from "../../mm/vmalloc.ts";
import * as vmstat from "../../mm/vmstat.ts";
import { bareKernel, run } from "../helpers.ts";
import { kasanStatics } from "./slab_kernel.ts";

/** Memory management as after boot. */
export function mmKernel(wanted: Partial<Config> = {}): Kernel {
  const k = bareKernel(wanted, [
    fault_inject.statics,
    failslab.statics,
    internal.statics,
    mm_types.statics,
    mmzone.statics,
    vmstat.statics,
    page_alloc.statics,
    vmscan.statics,
    oom_kill.statics,
    slab_live.statics,
    slub.statics,
    slab_common.statics,
    pgtable.statics,
    vmalloc.statics,
    ...kasanStatics(wanted),
  ]);
  page_alloc.build_all_zonelists(k);
  page_alloc.mem_init(k);
  run(slub.kmem_cache_init(k));
  run(vmalloc.vmalloc_init(k));
  page_alloc.setup_per_cpu_pageset(k);
  page_alloc.init_per_zone_wmark_min(k);
  gfp_allowed_mask.set(k, __GFP_BITS_MASK);
  system_state.set(k, SYSTEM_RUNNING);
  return k;
}

/** Pages that somebody has allocated. */
export function allocatedPages(k: Kernel): page[] {
  const m = mem_map(k);
  const pages: page[] = [];
  for (let pfn = 0; pfn < m.nrPages; pfn++) {
    if ((m.flags[pfn] & (PG_buddy | PG_reserved)) === 0 && m._refcount[pfn] > 0) pages.push(pfn as page);
  }
  return pages;
}

/** Pages that serve as page tables, the root aside. */
export function tablePages(k: Kernel): number {
  return allocatedPages(k).filter((page) => mem_map(k).use[page] === PAGE_USE_TABLE).length;
}

/** Live slab objects that vmalloc and the slab allocator do not know of: nothing but vmalloc ran, so they are leaks. */
export function strayObjects(k: Kernel): string[] {
  const own = new Set<VirtAddr>(vmalloc.vmallocOwnAddresses(k));
  return [...slabLiveObjects(k)]
    .filter((it) => !it.cache.name.startsWith("kmem_cache") && !own.has(it.addr))
    .map((it) => `${it.cache.name} ${formatAddr(it.addr)}`);
}

/** `pages` pages, in bytes. */
export function pageBytes(pages: number): number {
  return pages * PAGE_SIZE;
}
