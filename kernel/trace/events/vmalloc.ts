// SPDX-License-Identifier: GPL-2.0-only
/**
 * Events of mm/vmalloc.c, so that the life of a vmalloc address can be told from the log.
 *
 * v5.7 has no tracepoints there. alloc_vmap_area, purge_vmap_area_lazy and free_vmap_area_noflush carry the names, fields
 * and formats that include/trace/events/vmalloc.h got in v6.2; vmalloc and vfree are ours, modelled on kmalloc and kfree.
 * Together: vmalloc, vfree (at the call, also when the work is deferred), free_vmap_area_noflush (the mapping is gone),
 * purge_vmap_area_lazy (the addresses may be used again).
 *
 * @invented v5.7 has no trace events for vmalloc
 * @module
 */

import { formatAddr } from "../../machine/addr.ts";
import type { Machine } from "../../machine/machine.ts";
import { p, SYSTEM, type TraceEvent } from "../trace_event.ts";
import { show_gfp_flags } from "./mmflags.ts";

const ALLOC_VMAP_AREA = SYSTEM.vmalloc * 256 + 1;
const PURGE_VMAP_AREA_LAZY = SYSTEM.vmalloc * 256 + 2;
const FREE_VMAP_AREA_NOFLUSH = SYSTEM.vmalloc * 256 + 3;
const VMALLOC = SYSTEM.vmalloc * 256 + 4;
const VFREE = SYSTEM.vmalloc * 256 + 5;

/** %lx without the 0x. */
function lx(addr: number): string {
  return formatAddr(addr).replace(/^0+(?=.)/, "");
}

export const events: readonly TraceEvent[] = [
  {
    id: ALLOC_VMAP_AREA,
    system: "vmalloc",
    name: "alloc_vmap_area",
    fields: ["addr", "size", "align", "vstart", "vend", "failed"],
    print: (_v, { args: a }) =>
      `va_start: ${BigInt("0x" + formatAddr(a[0]))} size=${a[1]} align=${a[2]} vstart=0x${lx(a[3])} ` +
      `vend=0x${lx(a[4])} failed=${a[5]}`,
  },
  {
    id: PURGE_VMAP_AREA_LAZY,
    system: "vmalloc",
    name: "purge_vmap_area_lazy",
    fields: ["start", "end", "npurged"],
    print: (_v, { args: a }) => `start=0x${lx(a[0])} end=0x${lx(a[1])} num_purged=${a[2]}`,
  },
  {
    id: FREE_VMAP_AREA_NOFLUSH,
    system: "vmalloc",
    name: "free_vmap_area_noflush",
    fields: ["va_start", "nr_lazy", "nr_lazy_max"],
    print: (_v, { args: a }) => `va_start=0x${lx(a[0])} nr_lazy=${a[1]} nr_lazy_max=${a[2]}`,
  },
  {
    id: VMALLOC,
    system: "vmalloc",
    name: "vmalloc",
    fields: ["ptr", "bytes_req", "bytes_alloc", "gfp_flags"],
    print: (v, r) =>
      `call_site=${v.site(r)} ptr=${p(r.args[0])} bytes_req=${r.args[1]} bytes_alloc=${r.args[2]} ` +
      `gfp_flags=${show_gfp_flags(r.args[3])}`,
  },
  {
    id: VFREE,
    system: "vmalloc",
    name: "vfree",
    fields: ["ptr", "deferred"],
    print: (v, r) => `call_site=${v.site(r)} ptr=${p(r.args[0])} deferred=${r.args[1]}`,
  },
];

/** An address range was found, or not. */
export function trace_alloc_vmap_area(
  m: Machine,
  addr: number,
  size: number,
  align: number,
  vstart: number,
  vend: number,
  failed: boolean,
): void {
  m.emit(ALLOC_VMAP_AREA, addr, size, align, vstart, vend, failed ? 1 : 0);
}

/** Lazily freed ranges between `start` and `end` may be used again. */
export function trace_purge_vmap_area_lazy(m: Machine, start: number, end: number, npurged: number): void {
  m.emit(PURGE_VMAP_AREA_LAZY, start, end, npurged);
}

/** A range went to the purge list. */
export function trace_free_vmap_area_noflush(
  m: Machine,
  va_start: number,
  nr_lazy: number,
  nr_lazy_max: number,
): void {
  m.emit(FREE_VMAP_AREA_NOFLUSH, va_start, nr_lazy, nr_lazy_max);
}

/** vmalloc() succeeded. `bytes_alloc` counts the pages, not the guard page. */
export function trace_vmalloc(
  m: Machine,
  ptr: number,
  bytes_req: number,
  bytes_alloc: number,
  gfp_flags: number,
): void {
  m.emit(VMALLOC, ptr, bytes_req, bytes_alloc, gfp_flags);
}

/** vfree() was called. */
export function trace_vfree(m: Machine, ptr: number, deferred: boolean): void {
  m.emit(VFREE, ptr, deferred ? 1 : 0);
}

export const VMALLOC_EVENT: number = VMALLOC;
export const VFREE_EVENT: number = VFREE;
export const PURGE_VMAP_AREA_LAZY_EVENT: number = PURGE_VMAP_AREA_LAZY;
