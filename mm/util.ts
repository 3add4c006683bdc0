// SPDX-License-Identifier: GPL-2.0-only
/**
 * kvmalloc and kvfree: contiguous memory if there is some, vmalloc memory if not. Mirrors the part of mm/util.c and
 * include/linux/mm.h (v5.7) about them.
 *
 * Invariant: kvfree() frees what either allocator returned, by its address alone. Left out: everything else in util.c,
 * which is about strings, user memory and page cache.
 *
 * @module
 */

import { NULL, PAGE_SIZE } from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import { type Atomic, done, type MaySleep } from "../kernel/machine/effects.ts";
import {
  ___GFP_NORETRY,
  ___GFP_NOWARN,
  ___GFP_RETRY_MAYFAIL,
  __GFP_ZERO,
  type Colour,
  type Gfp,
  gfp,
  GFP_KERNEL,
} from "../kernel/gfp.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { ZERO_OR_NULL_PTR } from "./slab.ts";
import { kfree, kmalloc } from "./slub.ts";
import { __vmalloc_node_flags_caller, is_vmalloc_addr, NUMA_NO_NODE, vfree } from "./vmalloc.ts";

/**
 * Allocates `size` bytes, by kmalloc() if it can, else by vmalloc().
 *
 * Only requests above a page that may do all that GFP_KERNEL may fall back to vmalloc(), which allocates page tables with
 * GFP_KERNEL; the first attempt then neither warns nor tries hard.
 *
 * Context: as the flags say. Sleeps: only if the flags may. Fails: NULL.
 *
 * @mirrors mm/util.c:kvmalloc_node
 */
export function kvmalloc_node<F extends Gfp>(
  k: Kernel,
  size: number,
  flags: F,
  node: number,
): Colour<F, VirtAddr> {
  if ((flags & GFP_KERNEL) !== GFP_KERNEL || size <= PAGE_SIZE) return kmalloc(k, size, flags);
  return kvmallocSleeping(k, size, flags, node) as Colour<F, VirtAddr>;
}

/** A request above a page that may fall back to vmalloc(). */
function* kvmallocSleeping(k: Kernel, size: number, flags: Gfp, node: number): MaySleep<VirtAddr> {
  let kmalloc_flags = flags | ___GFP_NOWARN;
  if ((kmalloc_flags & ___GFP_RETRY_MAYFAIL) === 0) kmalloc_flags |= ___GFP_NORETRY;
  const ret = yield* kmalloc(k, size, kmalloc_flags as Gfp);
  if (ret !== NULL) return ret;
  return yield* __vmalloc_node_flags_caller(k, size, node, flags);
}

/** kvmalloc_node() on any node. @mirrors include/linux/mm.h:kvmalloc */
export function kvmalloc<F extends Gfp>(k: Kernel, size: number, flags: F): Colour<F, VirtAddr> {
  return kvmalloc_node(k, size, flags, NUMA_NO_NODE);
}

/** kvmalloc() of zeroed memory. @mirrors include/linux/mm.h:kvzalloc */
export function kvzalloc<F extends Gfp>(k: Kernel, size: number, flags: F): Colour<F, VirtAddr> {
  return kvmalloc(k, size, gfp(flags, __GFP_ZERO)) as Colour<F, VirtAddr>;
}

/**
 * kvmalloc() of `n` elements of `size` bytes.
 *
 * Fails: NULL, also when the product does not fit into 64 bits.
 *
 * @mirrors include/linux/mm.h:kvmalloc_array
 */
export function kvmalloc_array<F extends Gfp>(
  k: Kernel,
  n: number,
  size: number,
  flags: F,
): Colour<F, VirtAddr> {
  if (n * size >= 2 ** 64) return done(NULL) as Colour<F, VirtAddr>;
  return kvmalloc(k, n * size, flags);
}

/** kvmalloc_array() of zeroed memory. @mirrors include/linux/mm.h:kvcalloc */
export function kvcalloc<F extends Gfp>(k: Kernel, n: number, size: number, flags: F): Colour<F, VirtAddr> {
  return kvmalloc_array(k, n, size, gfp(flags, __GFP_ZERO)) as Colour<F, VirtAddr>;
}

/**
 * Frees what kmalloc(), vmalloc() or kvmalloc() returned; NULL is allowed.
 *
 * Context: process context that may sleep, or interrupts. For a vmalloc address under a spinlock it is reported, because
 * vfree() may sleep in Linux; it is Atomic for the same reason as vfree() is.
 *
 * @mirrors mm/util.c:kvfree
 */
export function kvfree(k: Kernel, addr: VirtAddr): Atomic<void> {
  return is_vmalloc_addr(k, addr) ? vfree(k, addr) : kfree(k, addr);
}

/**
 * Clears `len` bytes and frees them.
 *
 * @mirrors mm/util.c:kvfree_sensitive
 */
export function* kvfree_sensitive(k: Kernel, addr: VirtAddr, len: number): Atomic<void> {
  if (ZERO_OR_NULL_PTR(addr)) return;
  for (let i = 0; i < len; i++) k.ram.store8(addr + i as VirtAddr, 0);
  yield* kvfree(k, addr);
}
