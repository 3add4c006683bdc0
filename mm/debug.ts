// SPDX-License-Identifier: GPL-2.0-only
/**
 * A page in words, for reports. Mirrors mm/debug.c and include/linux/mmdebug.h (v5.7, DEBUG_VM on).
 *
 * A page is dumped as if struct page stood in memory: addresses of pages are those of VMEMMAP, the raw words are put
 * together from the columns. Looking changes nothing.
 * Left out: mappings (no page cache), page owner, dump_vma() and dump_mm().
 *
 * @module
 */

import { formatAddr, VMEMMAP_START } from "../kernel/machine/addr.ts";
import { BUG } from "../kernel/bug.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { KERN_WARNING, report } from "../kernel/printk.ts";
import { show_page_flags } from "../kernel/trace/events/mmflags.ts";
import {
  compound_head,
  mem_map,
  type mem_map_t,
  type page,
  PAGE_FLAGS_CHECK_AT_PREP,
  PG_buddy,
  PG_guard,
  PG_head,
  PG_slab,
  PG_table,
} from "./mm_types.ts";

/** sizeof(struct page). */
const SIZEOF_PAGE = 64;

/** Address of the struct page; a page that does not exist is NULL. @mirrors include/asm-generic/memory_model.h:pfn_to_page */
export function structPageAddr(page: page): number {
  return page === 0 ? 0 : VMEMMAP_START + page * SIZEOF_PAGE;
}

/** page_type as Linux keeps it in the place of _mapcount: all ones less the bit of the type. */
function mapcountWord(m: mem_map_t, page: page): number {
  const flags = m.flags[page];
  if ((flags & PG_buddy) !== 0) return ~0x80;
  if ((flags & PG_table) !== 0) return ~0x400;
  if ((flags & PG_guard) !== 0) return ~0x800;
  return m._mapcount[page];
}

function word(value: number): string {
  return value.toString(16).padStart(16, "0");
}

/** `%#lx`. */
function hex(value: number): string {
  return "0x" + value.toString(16);
}

/** The 64 bytes of struct page as two lines of four words. */
function rawLines(m: mem_map_t, page: page, prefix: string): string[] {
  const head = m.compound_head[page];
  const next = head === 0 ? structPageAddr(m.next[page] as page) : structPageAddr(head as page) + 1;
  const counts = (m._refcount[page] >>> 0).toString(16).padStart(8, "0") +
    (mapcountWord(m, page) >>> 0).toString(16).padStart(8, "0");
  return [
    `${prefix}${word(m.flags[page] & PAGE_FLAGS_CHECK_AT_PREP)} ${formatAddr(next)} ` +
    `${formatAddr(structPageAddr(m.prev[page] as page))} ${word(0)}`,
    `${prefix}${word(m.index[page])} ${word(m.private[page])} ${counts} ${word(0)}`,
  ];
}

/**
 * The lines of dump_page().
 *
 * @mirrors mm/debug.c:__dump_page
 * @simplified no mapping; links to list heads, which have no address here, show as 0
 */
export function dumpPageLines(k: Kernel, page: page, reason: string | null): string[] {
  const m = mem_map(k);
  if (page < 0 || page >= m.nrPages) return [`page:pfn ${page} is outside of RAM`];
  const head = compound_head(m, page);
  const compound = head !== page || (m.flags[page] & PG_head) !== 0;
  const mapcount = (m.flags[head] & PG_slab) !== 0 ? 0 : mapcountWord(m, page) + 1;
  const flags = m.flags[page] & PAGE_FLAGS_CHECK_AT_PREP;
  const lines = [
    `page:${formatAddr(structPageAddr(page))} refcount:${m._refcount[compound ? head : page]} ` +
    `mapcount:${mapcount} mapping:${formatAddr(0)} index:${hex(m.index[page])}` +
    (compound
      ? ` head:${formatAddr(structPageAddr(head))} order:${m.compound_order[head]} compound_mapcount:0`
      : ""),
    `flags: ${hex(flags)}(${show_page_flags(flags)})`,
    ...rawLines(m, page, "raw: "),
  ];
  if (head !== page) lines.push(...rawLines(m, head, "head: "));
  if (reason !== null) lines.push(`page dumped because: ${reason}`);
  return lines;
}

/** Prints a page. @mirrors mm/debug.c:dump_page */
export function dump_page(k: Kernel, page: page, reason: string): void {
  const lines = dumpPageLines(k, page, reason);
  report(k, KERN_WARNING, lines[0], lines);
}

/** Stops with a dump of the page when `condition` holds. @mirrors include/linux/mmdebug.h:VM_BUG_ON_PAGE */
export function VM_BUG_ON_PAGE(k: Kernel, condition: boolean, page: page, text: string): void {
  if (!condition) return;
  dump_page(k, page, `VM_BUG_ON_PAGE(${text})`);
  BUG(k);
}
