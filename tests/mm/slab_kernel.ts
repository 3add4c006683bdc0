// SPDX-License-Identifier: GPL-2.0-only
/**
 * A kernel with the page and slab allocators and nothing else, for the tests of slub and slab_common.
 *
 * @module
 */

import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { Config } from "../../kernel/config.ts";
import * as fault_inject from "../../kernel/fault_inject.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import * as smp from "../../kernel/smp.ts";
import type { StaticKey } from "../../kernel/static.ts";
import { SYSTEM_RUNNING, system_state } from "../../kernel/system_state.ts";
import * as failslab from "../../mm/failslab.ts";
import * as kasan_common from "../../mm/kasan/common.ts";
import * as kasan_quarantine from "../../mm/kasan/quarantine.ts";
import * as kasan_report from "../../mm/kasan/report.ts";
import * as internal from "../../mm/internal.ts";
import { __GFP_BITS_MASK, gfp_allowed_mask } from "../../mm/internal.ts";
import * as mm_types from "../../mm/mm_types.ts";
import * as mmzone from "../../mm/mmzone.ts";
import * as oom_kill from "../../mm/oom_kill.ts";
import * as page_alloc from "../../mm/page_alloc.ts";
import * as vmscan from "../../mm/vmscan.ts";
import type { kmem_cache } from "../../mm/slab.ts";
import { kmalloc_slab } from "../../mm/slab_common.ts";
import * as slab_common from "../../mm/slab_common.ts";
import * as slab_live from "../../mm/slab_live.ts";
import * as slub from "../../mm/slub.ts";
import * as vmstat from "../../mm/vmstat.ts";
import { GFP_NOWAIT } from "../../kernel/gfp.ts";
import { bareKernel, run } from "../helpers.ts";

/** The allocators as after boot, on `cpus` CPUs; CPU 0 is current. */
export function slabKernel(wanted: Partial<Config> = {}): Kernel {
  const k = bareKernel(wanted, [
    smp.statics,
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
    ...kasanStatics(wanted),
  ]);
  page_alloc.build_all_zonelists(k);
  page_alloc.mem_init(k);
  run(slub.kmem_cache_init(k));
  page_alloc.setup_per_cpu_pageset(k);
  page_alloc.init_per_zone_wmark_min(k);
  gfp_allowed_mask.set(k, __GFP_BITS_MASK);
  slub.slab_sysfs_init(k);
  system_state.set(k, SYSTEM_RUNNING);
  return k;
}

/** What a kernel with KASAN has besides. */
export function kasanStatics(wanted: Partial<Config>): readonly (readonly StaticKey[])[] {
  return wanted.kasan === true ? [kasan_common.statics, kasan_quarantine.statics, kasan_report.statics] : [];
}

/** The cache of kmalloc(size). */
export function kmallocCache(k: Kernel, size: number): kmem_cache {
  const s = kmalloc_slab(k, size, GFP_NOWAIT);
  if (s === null) throw new Error("kmalloc(0) has no cache");
  return s;
}

/** kmalloc(size) without sleeping. */
export function take(k: Kernel, size: number): VirtAddr {
  return run(slub.kmalloc(k, size, GFP_NOWAIT));
}

/** `count` times take(). */
export function takeMany(k: Kernel, size: number, count: number): VirtAddr[] {
  return Array.from({ length: count }, () => take(k, size));
}

/** kfree() of each. */
export function give(k: Kernel, ...addrs: VirtAddr[]): void {
  for (const addr of addrs) run(slub.kfree(k, addr));
}

/** From here on this CPU is the current one. */
export function on(k: Kernel, cpu: number): void {
  k.cpu = k.cpus[cpu];
}

/** An array in RAM with these pointers. */
export function arrayOf(k: Kernel, addrs: readonly VirtAddr[]): VirtAddr {
  const p = take(k, Math.max(addrs.length, 1) * 8);
  addrs.forEach((addr, i) => k.ram.storePtr(atOffset(p, i * 8), addr));
  return p;
}

/** `p + bytes`. */
export function atOffset(p: VirtAddr, bytes: number): VirtAddr {
  return p + bytes as VirtAddr;
}
