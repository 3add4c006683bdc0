// SPDX-License-Identifier: GPL-2.0-only
/**
 * What the allocators share: masks over GFP flags and the mask that is in force. Mirrors mm/internal.h (v5.7); its
 * ALLOC_* flags and alloc_context are in mm/mmzone.ts.
 *
 * Invariant: until boot has enabled interrupts, gfp_allowed_mask takes the sleeping bits away from every request.
 *
 * @module
 */

import {
  ___GFP_ATOMIC,
  ___GFP_DIRECT_RECLAIM,
  ___GFP_DMA32,
  ___GFP_FS,
  ___GFP_HARDWALL,
  ___GFP_HIGH,
  ___GFP_HIGHMEM,
  ___GFP_IO,
  ___GFP_KSWAPD_RECLAIM,
  ___GFP_MEMALLOC,
  ___GFP_NOFAIL,
  ___GFP_NOMEMALLOC,
  ___GFP_NORETRY,
  ___GFP_NOWARN,
  ___GFP_RETRY_MAYFAIL,
  ___GFP_THISNODE,
} from "../kernel/gfp.ts";
import { KERNEL_STATIC, type KernelStatic, type StaticKey } from "../kernel/static.ts";

const ___GFP_RECLAIM = ___GFP_DIRECT_RECLAIM | ___GFP_KSWAPD_RECLAIM;

/** Number of GFP bits (without lockdep). @mirrors include/linux/gfp.h:__GFP_BITS_SHIFT */
export const __GFP_BITS_SHIFT = 23;
/** @mirrors include/linux/gfp.h:__GFP_BITS_MASK */
export const __GFP_BITS_MASK: number = 2 ** __GFP_BITS_SHIFT - 1;

/** Flags that say how hard to try. @mirrors mm/internal.h:GFP_RECLAIM_MASK */
export const GFP_RECLAIM_MASK: number = ___GFP_RECLAIM | ___GFP_HIGH | ___GFP_IO | ___GFP_FS | ___GFP_NOWARN |
  ___GFP_RETRY_MAYFAIL | ___GFP_NOFAIL | ___GFP_NORETRY | ___GFP_MEMALLOC | ___GFP_NOMEMALLOC | ___GFP_ATOMIC;

/** Flags that are allowed before boot has enabled interrupts. @mirrors mm/internal.h:GFP_BOOT_MASK */
export const GFP_BOOT_MASK: number = __GFP_BITS_MASK & ~(___GFP_RECLAIM | ___GFP_IO | ___GFP_FS);

/** Flags that say where. @mirrors mm/internal.h:GFP_CONSTRAINT_MASK */
export const GFP_CONSTRAINT_MASK: number = ___GFP_HARDWALL | ___GFP_THISNODE;

/** Flags that a slab cannot have: these, and all that do not exist. @mirrors mm/internal.h:GFP_SLAB_BUG_MASK */
export const GFP_SLAB_BUG_MASK: number = ___GFP_DMA32 | ___GFP_HIGHMEM | ~__GFP_BITS_MASK;

/** Flags that are not allowed are taken away; boot sets it to __GFP_BITS_MASK. @mirrors mm/page_alloc.c:gfp_allowed_mask */
export const gfp_allowed_mask: KernelStatic<number> = KERNEL_STATIC("gfp_allowed_mask", () => GFP_BOOT_MASK);

export const statics: readonly StaticKey[] = [gfp_allowed_mask];
