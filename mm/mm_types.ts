// SPDX-License-Identifier: GPL-2.0-only
/**
 * struct page as columns. Mirrors struct page of include/linux/mm_types.h and the page flags used here (v5.7).
 *
 * A page is its frame number; frame 0 is reserved at boot, so 0 is the NULL page. Each field of struct page is a typed
 * array over all frames; fields that Linux overlays in unions are separate columns, which changes no rule.
 *
 * @module
 */

import { PAGE_OFFSET, PAGE_SIZE } from "../kernel/machine/addr.ts";
import type { Brand, VirtAddr } from "../kernel/machine/brand.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { KERNEL_STATIC, type KernelStatic, type StaticKey } from "../kernel/static.ts";

/** A struct page pointer: the page frame number. @mirrors include/linux/mm_types.h:page */
export type page = Brand<number, "page">;

/** No page. */
export const NULL_PAGE = 0 as page;

// Page flags, at Linux's bit positions, so that reports print them as they are.
export const PG_locked = 0x1;
export const PG_active = 0x20;
export const PG_slab = 0x200;
export const PG_reserved = 0x1000;
export const PG_head = 0x10000;

/** Head page of a page. @mirrors include/linux/page-flags.h:compound_head */
export function compound_head(m: mem_map_t, p: page): page {
  const head = m.compound_head[p];
  return head === 0 ? p : head as page;
}

// Page types: in Linux bits of page_type, which overlays _mapcount; here above the flags, so that a test is one access.
export const PG_buddy = 0x100_0000;
export const PG_table = 0x200_0000;
export const PG_guard = 0x400_0000;
/** What no page may have when it is freed. @mirrors include/linux/page-flags.h:PAGE_FLAGS_CHECK_AT_FREE */
export const PAGE_FLAGS_CHECK_AT_FREE = PG_locked | PG_active | PG_slab | PG_reserved;
/** All of the above. @mirrors include/linux/page-flags.h:PAGE_FLAGS_CHECK_AT_PREP */
export const PAGE_FLAGS_CHECK_AT_PREP = 0xff_ffff;
export const PAGE_TYPES = PG_buddy | PG_table | PG_guard;

/** What an allocated page serves, for leak verdicts; 0 is "whoever asked for pages". @invented */
export const PAGE_USE_SLAB = 1;
export const PAGE_USE_VMALLOC = 2;
export const PAGE_USE_TABLE = 3;
/** Kernel stacks and other memory of the kernel itself. */
export const PAGE_USE_KERNEL = 4;

/** The columns of mem_map. @mirrors include/linux/mm_types.h:page */
export class mem_map_t {
  readonly flags: Uint32Array;
  readonly _refcount: Int32Array;
  readonly _mapcount: Int32Array;
  /** Order of a free block (PG_buddy). */
  readonly private: Uint32Array;
  /** Migratetype of a page on a per-CPU list. */
  readonly index: Uint32Array;
  /** Head page of a tail page, 0 for others. */
  readonly compound_head: Uint32Array;
  readonly compound_order: Uint8Array;
  /** lru / slab_list links; frame numbers, 0 is the end. */
  readonly next: Uint32Array;
  readonly prev: Uint32Array;

  // slab view
  /** Index of the kmem_cache in its table + 1, see slub.ts. */
  readonly slab_cache: Uint16Array;
  /** First free object, an address; 0 is NULL. */
  readonly freelist: Float64Array;
  readonly inuse: Uint16Array;
  readonly objects: Uint16Array;
  readonly frozen: Uint8Array;
  /** Per-CPU partial list: next page, pages and free objects up to here. */
  readonly partial_next: Uint32Array;
  readonly pages: Uint32Array;
  readonly pobjects: Uint32Array;

  // ours
  /** Event number of the allocation, 0 while free; on the head page. */
  readonly birth: Float64Array;
  /** Order of the allocation, on the head page. */
  readonly order: Uint8Array;
  readonly use: Uint8Array;
  /** Migratetype of the free list that a free block (PG_buddy) is on: our lists have no heads in memory. */
  readonly free_list: Uint8Array;

  constructor(readonly nrPages: number) {
    this.flags = new Uint32Array(nrPages);
    this._refcount = new Int32Array(nrPages);
    this._mapcount = new Int32Array(nrPages);
    this.private = new Uint32Array(nrPages);
    this.index = new Uint32Array(nrPages);
    this.compound_head = new Uint32Array(nrPages);
    this.compound_order = new Uint8Array(nrPages);
    this.next = new Uint32Array(nrPages);
    this.prev = new Uint32Array(nrPages);
    this.slab_cache = new Uint16Array(nrPages);
    this.freelist = new Float64Array(nrPages);
    this.inuse = new Uint16Array(nrPages);
    this.objects = new Uint16Array(nrPages);
    this.frozen = new Uint8Array(nrPages);
    this.partial_next = new Uint32Array(nrPages);
    this.pages = new Uint32Array(nrPages);
    this.pobjects = new Uint32Array(nrPages);
    this.birth = new Float64Array(nrPages);
    this.order = new Uint8Array(nrPages);
    this.use = new Uint8Array(nrPages);
    this.free_list = new Uint8Array(nrPages);
  }
}

/** Back to all zero, in place: columns of this size are dear to allocate. */
function clearColumns(m: mem_map_t): void {
  for (const column of Object.values(m)) {
    if (ArrayBuffer.isView(column)) new Uint8Array(column.buffer).fill(0);
  }
}

/** mem_map: FLATMEM, one array for all of RAM. */
export const mem_map: KernelStatic<mem_map_t> = KERNEL_STATIC(
  "mem_map",
  (k) => k.reusable("mem_map", () => new mem_map_t(k.config.memBytes / PAGE_SIZE), clearColumns),
);

export const statics: readonly StaticKey[] = [mem_map];

/** A list of pages through their lru links. @invented list heads of pages have no address here */
export class page_list {
  /** First and last page, NULL_PAGE when empty. */
  first: page = NULL_PAGE;
  last: page = NULL_PAGE;
}

/** @mirrors include/linux/list.h:list_add */
export function list_add(m: mem_map_t, p: page, list: page_list): void {
  m.prev[p] = 0;
  m.next[p] = list.first;
  if (list.first === NULL_PAGE) list.last = p;
  else m.prev[list.first] = p;
  list.first = p;
}

/** @mirrors include/linux/list.h:list_add_tail */
export function list_add_tail(m: mem_map_t, p: page, list: page_list): void {
  m.next[p] = 0;
  m.prev[p] = list.last;
  if (list.last === NULL_PAGE) list.first = p;
  else m.next[list.last] = p;
  list.last = p;
}

/** @mirrors include/linux/list.h:list_del */
export function list_del(m: mem_map_t, p: page, list: page_list): void {
  const next = m.next[p] as page;
  const prev = m.prev[p] as page;
  if (prev === NULL_PAGE) list.first = next;
  else m.next[prev] = next;
  if (next === NULL_PAGE) list.last = prev;
  else m.prev[next] = prev;
  m.next[p] = 0;
  m.prev[p] = 0;
}

/** RAM offset of a page. @mirrors include/asm-generic/page.h:page_to_phys */
export function page_to_phys(p: page): number {
  return p * PAGE_SIZE;
}

/** Head page of a direct-map address. @mirrors include/linux/mm.h:virt_to_head_page */
export function virt_to_head_page(k: Kernel, addr: VirtAddr): page {
  return compound_head(mem_map(k), virt_to_page(addr));
}

/** Page of a direct-map address. @mirrors include/linux/mm.h:virt_to_page */
export function virt_to_page(addr: VirtAddr): page {
  return Math.floor((addr - PAGE_OFFSET) / PAGE_SIZE) as page;
}

/** Direct-map address of a page. @mirrors include/linux/mm.h:page_address */
export function page_address(p: page): VirtAddr {
  return (PAGE_OFFSET + p * PAGE_SIZE) as VirtAddr;
}

/** Smallest order whose block holds `size` bytes. @mirrors include/asm-generic/getorder.h:get_order */
export function get_order(size: number): number {
  const pages = Math.ceil(size / PAGE_SIZE);
  return pages <= 1 ? 0 : 32 - Math.clz32(pages - 1);
}
