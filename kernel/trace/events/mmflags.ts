// SPDX-License-Identifier: GPL-2.0-only
/**
 * include/trace/events/mmflags.h (v5.7): GFP flags and page flags in words, as trace events and reports print them.
 *
 * Invariant: the first entry all of whose bits are set names them; what no entry names is printed in hex. The order of
 * the tables is therefore part of the format.
 * Left out: flags of page cache and user memory, which no page here ever has, and the vm_flags table.
 *
 * @module
 */

const GFP_NAMES: readonly (readonly [number, string])[] = [
  [0x1c24ca, "GFP_TRANSHUGE"],
  [0x1c20ca, "GFP_TRANSHUGE_LIGHT"],
  [0x100cca, "GFP_HIGHUSER_MOVABLE"],
  [0x100cc2, "GFP_HIGHUSER"],
  [0x100cc0, "GFP_USER"],
  [0x400cc0, "GFP_KERNEL_ACCOUNT"],
  [0xcc0, "GFP_KERNEL"],
  [0xc40, "GFP_NOFS"],
  [0xa20, "GFP_ATOMIC"],
  [0xc00, "GFP_NOIO"],
  [0x800, "GFP_NOWAIT"],
  [0x1, "GFP_DMA"],
  [0x2, "__GFP_HIGHMEM"],
  [0x4, "GFP_DMA32"],
  [0x20, "__GFP_HIGH"],
  [0x200, "__GFP_ATOMIC"],
  [0x40, "__GFP_IO"],
  [0x80, "__GFP_FS"],
  [0x2000, "__GFP_NOWARN"],
  [0x4000, "__GFP_RETRY_MAYFAIL"],
  [0x8000, "__GFP_NOFAIL"],
  [0x10000, "__GFP_NORETRY"],
  [0x40000, "__GFP_COMP"],
  [0x100, "__GFP_ZERO"],
  [0x80000, "__GFP_NOMEMALLOC"],
  [0x20000, "__GFP_MEMALLOC"],
  [0x100000, "__GFP_HARDWALL"],
  [0x200000, "__GFP_THISNODE"],
  [0x10, "__GFP_RECLAIMABLE"],
  [0x8, "__GFP_MOVABLE"],
  [0x400000, "__GFP_ACCOUNT"],
  [0x1000, "__GFP_WRITE"],
  [0xc00, "__GFP_RECLAIM"],
  [0x400, "__GFP_DIRECT_RECLAIM"],
  [0x800, "__GFP_KSWAPD_RECLAIM"],
];

/** The flags that exist here, in Linux's order and at its bits (mm/mm_types.ts). */
const PAGE_FLAG_NAMES: readonly (readonly [number, string])[] = [
  [0x1, "locked"],
  [0x20, "active"],
  [0x200, "slab"],
  [0x1000, "reserved"],
  [0x10000, "head"],
];

function show_flags(names: readonly (readonly [number, string])[], flags: number): string {
  const parts: string[] = [];
  let rest = flags;
  for (const [bits, name] of names) {
    if ((rest & bits) !== bits) continue;
    parts.push(name);
    rest &= ~bits;
  }
  if (rest !== 0) parts.push("0x" + (rest >>> 0).toString(16));
  return parts.join("|");
}

/**
 * GFP flags as %pGg prints them.
 *
 * @mirrors include/trace/events/mmflags.h:show_gfp_flags
 */
export function show_gfp_flags(flags: number): string {
  return flags === 0 ? "none" : show_flags(GFP_NAMES, flags);
}

/**
 * Page flags, in Linux's bit positions, as %pGp prints them.
 *
 * @mirrors include/trace/events/mmflags.h:show_page_flags
 */
export function show_page_flags(flags: number): string {
  return show_flags(PAGE_FLAG_NAMES, flags);
}
