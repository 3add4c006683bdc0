// SPDX-License-Identifier: GPL-2.0-only
/**
 * GFP flags: what an allocation may do to get memory. Mirrors include/linux/gfp.h (v5.7): bits, composites, names.
 *
 * The brand says whether the request may sleep, which is exactly whether __GFP_DIRECT_RECLAIM is set. Flags combine by
 * `gfp(a, b)`, which keeps the brand; `a | b` would lose it, and tools/check_yield.ts refuses it.
 *
 * @module
 */

import type { Brand } from "./machine/brand.ts";
import type { Atomic, MaySleep } from "./machine/effects.ts";

/** GFP flags; `Sleeps` is the colour of an allocation made with them. */
export type Gfp<Sleeps extends boolean = boolean> = Brand<number, "Gfp"> & { readonly sleeps?: Sleeps };

/** Flags that never make a request sleep. */
export type GfpAtomic = Gfp<false>;
/** Flags with which an allocation may sleep. */
export type GfpSleep = Gfp<true>;

/** What an allocation made with flags `F` returns: `Atomic` or `MaySleep`. One body serves both colours. */
export type Colour<F extends Gfp, T> = F extends GfpAtomic ? Atomic<T> : MaySleep<T>;

export const ___GFP_DMA = 0x01;
export const ___GFP_HIGHMEM = 0x02;
export const ___GFP_DMA32 = 0x04;
export const ___GFP_MOVABLE = 0x08;
export const ___GFP_RECLAIMABLE = 0x10;
export const ___GFP_HIGH = 0x20;
export const ___GFP_IO = 0x40;
export const ___GFP_FS = 0x80;
export const ___GFP_ZERO = 0x100;
export const ___GFP_ATOMIC = 0x200;
export const ___GFP_DIRECT_RECLAIM = 0x400;
export const ___GFP_KSWAPD_RECLAIM = 0x800;
export const ___GFP_WRITE = 0x1000;
export const ___GFP_NOWARN = 0x2000;
export const ___GFP_RETRY_MAYFAIL = 0x4000;
export const ___GFP_NOFAIL = 0x8000;
export const ___GFP_NORETRY = 0x10000;
export const ___GFP_MEMALLOC = 0x20000;
export const ___GFP_COMP = 0x40000;
export const ___GFP_NOMEMALLOC = 0x80000;
export const ___GFP_HARDWALL = 0x100000;
export const ___GFP_THISNODE = 0x200000;
export const ___GFP_ACCOUNT = 0x400000;

export const __GFP_DMA = ___GFP_DMA as GfpAtomic;
export const __GFP_HIGHMEM = ___GFP_HIGHMEM as GfpAtomic;
export const __GFP_MOVABLE = ___GFP_MOVABLE as GfpAtomic;
export const __GFP_RECLAIMABLE = ___GFP_RECLAIMABLE as GfpAtomic;
export const __GFP_HIGH = ___GFP_HIGH as GfpAtomic;
export const __GFP_ZERO = ___GFP_ZERO as GfpAtomic;
export const __GFP_NOWARN = ___GFP_NOWARN as GfpAtomic;
export const __GFP_RETRY_MAYFAIL = ___GFP_RETRY_MAYFAIL as GfpAtomic;
export const __GFP_NOFAIL = ___GFP_NOFAIL as GfpAtomic;
export const __GFP_NORETRY = ___GFP_NORETRY as GfpAtomic;
export const __GFP_MEMALLOC = ___GFP_MEMALLOC as GfpAtomic;
export const __GFP_COMP = ___GFP_COMP as GfpAtomic;
export const __GFP_NOMEMALLOC = ___GFP_NOMEMALLOC as GfpAtomic;

export const GFP_ATOMIC = (___GFP_HIGH | ___GFP_ATOMIC | ___GFP_KSWAPD_RECLAIM) as GfpAtomic;
export const GFP_KERNEL = (___GFP_DIRECT_RECLAIM | ___GFP_KSWAPD_RECLAIM | ___GFP_IO | ___GFP_FS) as GfpSleep;
export const GFP_KERNEL_ACCOUNT = (GFP_KERNEL + ___GFP_ACCOUNT) as GfpSleep;
export const GFP_NOWAIT = ___GFP_KSWAPD_RECLAIM as GfpAtomic;
export const GFP_NOIO = (___GFP_DIRECT_RECLAIM | ___GFP_KSWAPD_RECLAIM) as GfpSleep;
export const GFP_NOFS = (___GFP_DIRECT_RECLAIM | ___GFP_KSWAPD_RECLAIM | ___GFP_IO) as GfpSleep;
export const GFP_USER = (GFP_KERNEL + ___GFP_HARDWALL) as GfpSleep;
export const GFP_DMA = ___GFP_DMA as GfpAtomic;
export const GFP_DMA32 = ___GFP_DMA32 as GfpAtomic;
export const GFP_HIGHUSER = (GFP_USER + ___GFP_HIGHMEM) as GfpSleep;
export const GFP_HIGHUSER_MOVABLE = (GFP_HIGHUSER + ___GFP_MOVABLE) as GfpSleep;
/** A huge page, if one is free: nobody is woken for it. */
export const GFP_TRANSHUGE_LIGHT = ((GFP_HIGHUSER_MOVABLE | ___GFP_COMP | ___GFP_NOMEMALLOC | ___GFP_NOWARN) &
  ~(___GFP_DIRECT_RECLAIM | ___GFP_KSWAPD_RECLAIM)) as GfpAtomic;
export const GFP_TRANSHUGE = (GFP_TRANSHUGE_LIGHT + ___GFP_DIRECT_RECLAIM) as GfpSleep;

/** The colour of a combination: it may sleep when any part may. */
type Combined<F extends readonly Gfp[]> = F[number] extends GfpAtomic ? GfpAtomic : GfpSleep;

/**
 * Combines flags and keeps their colour.
 *
 * @invented C writes `a | b`, which would lose the brand
 */
export function gfp<const F extends readonly Gfp[]>(...flags: F): Combined<F> {
  let all = 0;
  for (const f of flags) all |= f;
  return all as Combined<F>;
}

/**
 * Whether a request with these flags may sleep.
 *
 * @mirrors include/linux/gfp.h:gfpflags_allow_blocking
 */
export function gfpflags_allow_blocking(flags: Gfp): boolean {
  return (flags & ___GFP_DIRECT_RECLAIM) !== 0;
}

/** Flags in words, as %pGg prints them. */
export { show_gfp_flags } from "./trace/events/mmflags.ts";
