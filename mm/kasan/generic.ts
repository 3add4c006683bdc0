// SPDX-License-Identifier: GPL-2.0-only
/**
 * What only generic KASAN does. Mirrors mm/kasan/generic.c (v5.7).
 *
 * The check itself is the machine's: every load and store of kernel/machine/ram.ts looks at the validity shadow, by the
 * same rule for the last, partly valid byte, and only what it refuses comes here.
 *
 * Left out: what the compiler calls (__asan_load8() and the like), globals, alloca.
 *
 * @module
 */

import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { page_fault_oops } from "../../kernel/bug.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { kmem_cache } from "../slab.ts";
import { __kmem_cache_empty } from "../slub.ts";
import { hasVmallocShadow } from "./common.ts";
import { addr_has_shadow, is_vmalloc_or_module_addr, kasan_mem_to_shadow } from "./kasan.ts";
import { quarantine_remove_cache } from "./quarantine.ts";
import { kasan_report } from "./report.ts";

/**
 * An access that the machine's shadow refused, or where nothing is mapped. Returns whether it was allowed after all; the
 * machine then carries it out, or faults.
 *
 * Fails: in the vmalloc area, far from everything, the check faults for want of shadow; elsewhere the access itself does.
 *
 * @mirrors mm/kasan/generic.c:check_memory_region
 */
export function check_memory_region(k: Kernel, addr: VirtAddr, size: number, write: boolean): boolean {
  if (!addr_has_shadow(k, addr)) return true;
  if (is_vmalloc_or_module_addr(addr) && !hasVmallocShadow(k, addr)) {
    page_fault_oops(k, kasan_mem_to_shadow(addr), false);
  }
  return !kasan_report(k, addr, size, write);
}

/** Takes the cache's objects out of quarantine before its slabs are looked at. @mirrors mm/kasan/generic.c:kasan_cache_shrink */
export function* kasan_cache_shrink(k: Kernel, cache: kmem_cache): MaySleep<void> {
  if (k.config.kasan) yield* quarantine_remove_cache(k, cache);
}

/** The same before the cache goes, if it has slabs. @mirrors mm/kasan/generic.c:kasan_cache_shutdown */
export function* kasan_cache_shutdown(k: Kernel, cache: kmem_cache): MaySleep<void> {
  if (k.config.kasan && !__kmem_cache_empty(cache)) yield* quarantine_remove_cache(k, cache);
}
