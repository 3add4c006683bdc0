// SPDX-License-Identifier: GPL-2.0-only
/**
 * What kernel/ asks of memory management: task_structs, kernel stacks, small allocations. Fills the table of hooks.ts.
 *
 * Sizes are those of a 64-bit SMP kernel. Memory of the kernel itself is marked as such, so that leak verdicts leave it
 * out.
 *
 * @module
 */

import { NULL } from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import { type Atomic, doneVoid, type MaySleep } from "../kernel/machine/effects.ts";
import { assert } from "../kernel/machine/assert.ts";
import { THREAD_SIZE } from "../kernel/fork.ts";
import { type Gfp, GFP_KERNEL } from "../kernel/gfp.ts";
import type { MmOps } from "../kernel/hooks.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { KERNEL_STATIC, type StaticKey } from "../kernel/static.ts";
import { get_order, mem_map, NULL_PAGE, page_address, PAGE_USE_KERNEL, virt_to_page } from "./mm_types.ts";
import { __free_pages, alloc_pages } from "./page_alloc.ts";
import type { kmem_cache } from "./slab.ts";
import { kmem_cache_create } from "./slab_common.ts";
import { kfree, kmem_cache_alloc, kmem_cache_free, kzalloc } from "./slub.ts";
import { keptByKernel } from "./live.ts";

/** Bytes of a task_struct on a distribution kernel. */
const TASK_STRUCT_SIZE = 5192;

const task_struct_cachep = KERNEL_STATIC<kmem_cache | null>("task_struct_cachep", () => null);

export const statics: readonly StaticKey[] = [task_struct_cachep];

/** Creates the cache of task_structs. @mirrors kernel/fork.c:fork_init */
export function* fork_init(k: Kernel): MaySleep<void> {
  task_struct_cachep.set(k, yield* kmem_cache_create(k, "task_struct", TASK_STRUCT_SIZE, 64, 0, null));
}

function* alloc_task_struct(k: Kernel): MaySleep<VirtAddr> {
  const cache = task_struct_cachep(k);
  assert(cache !== null, "fork before fork_init()");
  const addr = yield* kmem_cache_alloc(k, cache, GFP_KERNEL);
  if (addr !== NULL) keptByKernel(k, addr);
  return addr;
}

function free_task_struct(k: Kernel, addr: VirtAddr): Atomic<void> {
  const cache = task_struct_cachep(k);
  return cache === null || addr === NULL ? doneVoid() : kmem_cache_free(k, cache, addr);
}

const THREAD_SIZE_ORDER = get_order(THREAD_SIZE);

function* alloc_thread_stack(k: Kernel): MaySleep<VirtAddr> {
  const p = yield* alloc_pages(k, GFP_KERNEL, THREAD_SIZE_ORDER);
  if (p === NULL_PAGE) return NULL;
  mem_map(k).use[p] = PAGE_USE_KERNEL;
  return page_address(p);
}

function free_thread_stack(k: Kernel, addr: VirtAddr): Atomic<void> {
  return addr === NULL ? doneVoid() : __free_pages(k, virt_to_page(addr), THREAD_SIZE_ORDER);
}

function* kzallocKernel(k: Kernel, size: number, flags: Gfp): MaySleep<VirtAddr> {
  const addr = yield* kzalloc(k, size, flags);
  if (addr !== NULL) keptByKernel(k, addr);
  return addr;
}

/** The allocators as kernel/ sees them. @invented kernel/ must not import mm/ */
export const mmOps: MmOps = {
  ready: true,
  kzalloc: kzallocKernel,
  kfree,
  alloc_task_struct,
  free_task_struct,
  alloc_thread_stack,
  free_thread_stack,
};
