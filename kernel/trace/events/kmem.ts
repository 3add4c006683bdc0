// SPDX-License-Identifier: GPL-2.0-only
/**
 * include/trace/events/kmem.h (v5.7): allocations and frees of objects and pages.
 *
 * The kernel's call_site is the captured site of the record, so it costs nothing unless capture is on. A page is its
 * frame number; it prints as the address of its struct page. pfn 0 is "no page" and prints as the kernel prints NULL.
 * Left out: rss_stat (no user memory here); the _node forms are there for callers that name a node.
 *
 * @module
 */

import { VMEMMAP_START } from "../../machine/addr.ts";
import type { EventRecord } from "../../machine/log.ts";
import type { Machine } from "../../machine/machine.ts";
import { p, SYSTEM, type TraceEvent, type TraceView } from "../trace_event.ts";
import { show_gfp_flags } from "./mmflags.ts";

const KMALLOC = SYSTEM.kmem * 256 + 1;
const KMEM_CACHE_ALLOC = SYSTEM.kmem * 256 + 2;
const KMALLOC_NODE = SYSTEM.kmem * 256 + 3;
const KMEM_CACHE_ALLOC_NODE = SYSTEM.kmem * 256 + 4;
const KFREE = SYSTEM.kmem * 256 + 5;
const KMEM_CACHE_FREE = SYSTEM.kmem * 256 + 6;
const MM_PAGE_FREE = SYSTEM.kmem * 256 + 7;
const MM_PAGE_FREE_BATCHED = SYSTEM.kmem * 256 + 8;
const MM_PAGE_ALLOC = SYSTEM.kmem * 256 + 9;
const MM_PAGE_ALLOC_ZONE_LOCKED = SYSTEM.kmem * 256 + 10;
const MM_PAGE_PCPU_DRAIN = SYSTEM.kmem * 256 + 11;
const MM_PAGE_ALLOC_EXTFRAG = SYSTEM.kmem * 256 + 12;

/** Orders of a pageblock (mm/mmzone.ts says the same to the allocator; a test compares them). */
const PAGEBLOCK_ORDER = 9;

/** sizeof(struct page): frame n has its struct page at VMEMMAP_START + 64 n. */
const SIZEOF_PAGE = 64;

function page(pfn: number): string {
  return `page=${p(pfn === 0 ? 0 : VMEMMAP_START + pfn * SIZEOF_PAGE)} pfn=${pfn}`;
}

function allocText(v: TraceView, r: EventRecord): string {
  const [ptr, bytes_req, bytes_alloc, gfp_flags] = r.args;
  return `call_site=${v.site(r)} ptr=${p(ptr)} bytes_req=${bytes_req} bytes_alloc=${bytes_alloc} ` +
    `gfp_flags=${show_gfp_flags(gfp_flags)}`;
}

/** Class kmem_alloc: "ptr", then sizes, then flags. */
function kmem_alloc(id: number, name: string): TraceEvent {
  return {
    id,
    system: "kmem",
    name,
    fields: ["ptr", "bytes_req", "bytes_alloc", "gfp_flags"],
    print: allocText,
  };
}

function kmem_alloc_node(id: number, name: string): TraceEvent {
  return {
    id,
    system: "kmem",
    name,
    fields: ["ptr", "bytes_req", "bytes_alloc", "gfp_flags", "node"],
    print: (v, r) => `${allocText(v, r)} node=${r.args[4]}`,
  };
}

function kmem_free(id: number, name: string): TraceEvent {
  return {
    id,
    system: "kmem",
    name,
    fields: ["ptr"],
    print: (v, r) => `call_site=${v.site(r)} ptr=${p(r.args[0])}`,
  };
}

export const events: readonly TraceEvent[] = [
  kmem_alloc(KMALLOC, "kmalloc"),
  kmem_alloc(KMEM_CACHE_ALLOC, "kmem_cache_alloc"),
  kmem_alloc_node(KMALLOC_NODE, "kmalloc_node"),
  kmem_alloc_node(KMEM_CACHE_ALLOC_NODE, "kmem_cache_alloc_node"),
  kmem_free(KFREE, "kfree"),
  kmem_free(KMEM_CACHE_FREE, "kmem_cache_free"),
  {
    id: MM_PAGE_FREE,
    system: "kmem",
    name: "mm_page_free",
    fields: ["pfn", "order"],
    print: (_v, { args: a }) => `${page(a[0])} order=${a[1]}`,
  },
  {
    id: MM_PAGE_FREE_BATCHED,
    system: "kmem",
    name: "mm_page_free_batched",
    fields: ["pfn"],
    print: (_v, { args: a }) => `${page(a[0])} order=0`,
  },
  {
    id: MM_PAGE_ALLOC,
    system: "kmem",
    name: "mm_page_alloc",
    fields: ["pfn", "order", "gfp_flags", "migratetype"],
    print: (_v, { args: a }) =>
      `${page(a[0])} order=${a[1]} migratetype=${a[3]} gfp_flags=${show_gfp_flags(a[2])}`,
  },
  {
    id: MM_PAGE_ALLOC_ZONE_LOCKED,
    system: "kmem",
    name: "mm_page_alloc_zone_locked",
    fields: ["pfn", "order", "migratetype"],
    print: (_v, { args: a }) =>
      `${page(a[0])} order=${a[1]} migratetype=${a[2]} percpu_refill=${a[1] === 0 ? 1 : 0}`,
  },
  {
    id: MM_PAGE_PCPU_DRAIN,
    system: "kmem",
    name: "mm_page_pcpu_drain",
    fields: ["pfn", "order", "migratetype"],
    print: (_v, { args: a }) => `${page(a[0])} order=${a[1]} migratetype=${a[2]}`,
  },
  {
    id: MM_PAGE_ALLOC_EXTFRAG,
    system: "kmem",
    name: "mm_page_alloc_extfrag",
    fields: [
      "pfn",
      "alloc_order",
      "fallback_order",
      "alloc_migratetype",
      "fallback_migratetype",
      "change_ownership",
    ],
    print: (_v, { args: a }) =>
      `${page(a[0])} alloc_order=${a[1]} fallback_order=${a[2]} pageblock_order=${PAGEBLOCK_ORDER} ` +
      `alloc_migratetype=${a[3]} fallback_migratetype=${a[4]} ` +
      `fragmenting=${a[2] < PAGEBLOCK_ORDER ? 1 : 0} change_ownership=${a[5]}`,
  },
];

export function trace_kmalloc(
  m: Machine,
  ptr: number,
  bytes_req: number,
  bytes_alloc: number,
  gfp_flags: number,
): void {
  m.emit(KMALLOC, ptr, bytes_req, bytes_alloc, gfp_flags);
}

export function trace_kmem_cache_alloc(
  m: Machine,
  ptr: number,
  bytes_req: number,
  bytes_alloc: number,
  gfp_flags: number,
): void {
  m.emit(KMEM_CACHE_ALLOC, ptr, bytes_req, bytes_alloc, gfp_flags);
}

export function trace_kmalloc_node(
  m: Machine,
  ptr: number,
  bytes_req: number,
  bytes_alloc: number,
  gfp_flags: number,
  node: number,
): void {
  m.emit(KMALLOC_NODE, ptr, bytes_req, bytes_alloc, gfp_flags, node);
}

export function trace_kmem_cache_alloc_node(
  m: Machine,
  ptr: number,
  bytes_req: number,
  bytes_alloc: number,
  gfp_flags: number,
  node: number,
): void {
  m.emit(KMEM_CACHE_ALLOC_NODE, ptr, bytes_req, bytes_alloc, gfp_flags, node);
}

export function trace_kfree(m: Machine, ptr: number): void {
  m.emit(KFREE, ptr);
}

export function trace_kmem_cache_free(m: Machine, ptr: number): void {
  m.emit(KMEM_CACHE_FREE, ptr);
}

export function trace_mm_page_free(m: Machine, pfn: number, order: number): void {
  m.emit(MM_PAGE_FREE, pfn, order);
}

export function trace_mm_page_free_batched(m: Machine, pfn: number): void {
  m.emit(MM_PAGE_FREE_BATCHED, pfn);
}

/** `pfn` 0: the request failed. */
export function trace_mm_page_alloc(
  m: Machine,
  pfn: number,
  order: number,
  gfp_flags: number,
  migratetype: number,
): void {
  m.emit(MM_PAGE_ALLOC, pfn, order, gfp_flags, migratetype);
}

export function trace_mm_page_alloc_zone_locked(
  m: Machine,
  pfn: number,
  order: number,
  migratetype: number,
): void {
  m.emit(MM_PAGE_ALLOC_ZONE_LOCKED, pfn, order, migratetype);
}

export function trace_mm_page_pcpu_drain(m: Machine, pfn: number, order: number, migratetype: number): void {
  m.emit(MM_PAGE_PCPU_DRAIN, pfn, order, migratetype);
}

export function trace_mm_page_alloc_extfrag(
  m: Machine,
  pfn: number,
  alloc_order: number,
  fallback_order: number,
  alloc_migratetype: number,
  fallback_migratetype: number,
  change_ownership: boolean,
): void {
  m.emit(
    MM_PAGE_ALLOC_EXTFRAG,
    pfn,
    alloc_order,
    fallback_order,
    alloc_migratetype,
    fallback_migratetype,
    change_ownership ? 1 : 0,
  );
}

export const KMALLOC_EVENT: number = KMALLOC;
export const KMEM_CACHE_ALLOC_EVENT: number = KMEM_CACHE_ALLOC;
export const KFREE_EVENT: number = KFREE;
export const KMEM_CACHE_FREE_EVENT: number = KMEM_CACHE_FREE;
export const MM_PAGE_ALLOC_EVENT: number = MM_PAGE_ALLOC;
export const MM_PAGE_FREE_EVENT: number = MM_PAGE_FREE;
export const MM_PAGE_PCPU_DRAIN_EVENT: number = MM_PAGE_PCPU_DRAIN;
export const MM_PAGE_ALLOC_EXTFRAG_EVENT: number = MM_PAGE_ALLOC_EXTFRAG;
