// SPDX-License-Identifier: GPL-2.0-only
/**
 * Looks whether the page allocator's structures agree with each other. Nothing in Linux does all of this at once.
 *
 * It is a look: it changes nothing and can be asked at any moment between two steps of the machine. Pages that a CPU has
 * taken off its lists and not yet put on the free lists (it stands before zone->lock) are counted as missing.
 *
 * @module
 */

import type { Kernel } from "../kernel/kernel.ts";
import {
  mem_map,
  type mem_map_t,
  type page,
  type page_list,
  PAGE_TYPES,
  PG_buddy,
  PG_reserved,
} from "./mm_types.ts";
import {
  contig_page_data,
  MAX_ORDER,
  MIGRATE_PCPTYPES,
  MIGRATE_TYPES,
  NR_FREE_PAGES,
  populated_zone,
  type zone,
} from "./mmzone.ts";

/** What a page is known as so far. */
const UNKNOWN = 0;
const FREE = 1;
const ON_PCP = 2;
const ALLOCATED = 3;
const NAMES: readonly string[] = ["unknown", "free", "on a per-CPU list", "allocated"];

class Checker {
  readonly m: mem_map_t;
  readonly seen: Uint8Array;
  readonly problems: string[] = [];

  constructor(readonly k: Kernel) {
    this.m = mem_map(k);
    this.seen = new Uint8Array(this.m.nrPages);
  }

  /** Claims the pages of a block for `what`; each page can be claimed once. */
  claim(page: number, order: number, what: number): void {
    for (let p = page; p < page + (1 << order); p++) {
      if (this.seen[p] !== UNKNOWN) {
        this.problems.push(`page ${p} is ${NAMES[what]} and ${NAMES[this.seen[p]]}`);
      }
      this.seen[p] = what;
    }
  }

  /** Walks a list; a broken or circular one ends the walk. */
  *walk(list: page_list, name: string): Generator<page> {
    let prev = 0;
    let steps = 0;
    for (let p = list.first; p !== 0; p = this.m.next[p] as page) {
      if (p >= this.m.nrPages || ++steps > this.m.nrPages) {
        this.problems.push(`${name} is circular or leaves RAM at ${p}`);
        return;
      }
      if (this.m.prev[p] !== prev) {
        this.problems.push(`${name}: prev of ${p} is ${this.m.prev[p]}, not ${prev}`);
      }
      yield p;
      prev = p;
    }
    if (list.last !== prev) this.problems.push(`${name}: last is ${list.last}, not ${prev}`);
  }

  freeLists(zone: zone): void {
    let free = 0;
    for (let order = 0; order < MAX_ORDER; order++) {
      let blocks = 0;
      for (let mt = 0; mt < MIGRATE_TYPES; mt++) {
        const name = `free_area[${order}].free_list[${mt}]`;
        for (const p of this.walk(zone.free_area[order].free_list[mt], name)) {
          blocks++;
          this.freeBlock(p, order, mt, name);
        }
      }
      free += blocks * (1 << order);
      const { nr_free } = zone.free_area[order];
      if (nr_free !== blocks) this.problems.push(`free_area[${order}].nr_free is ${nr_free}, not ${blocks}`);
    }
    const counted = zone.vm_stat[NR_FREE_PAGES];
    if (counted !== free) this.problems.push(`NR_FREE_PAGES is ${counted}, the free lists hold ${free}`);
  }

  private freeBlock(p: page, order: number, mt: number, name: string): void {
    const { m, problems } = this;
    this.claim(p, order, FREE);
    if ((m.flags[p] & PG_buddy) === 0) problems.push(`${name}: page ${p} is not marked free`);
    if (m.private[p] !== order) problems.push(`${name}: page ${p} says order ${m.private[p]}`);
    if (m.free_list[p] !== mt) problems.push(`${name}: page ${p} says list ${m.free_list[p]}`);
    if (p % (1 << order) !== 0) problems.push(`${name}: page ${p} is not aligned`);
    for (let i = 0; i < 1 << order; i++) {
      if (m._refcount[p + i] !== 0) {
        problems.push(`${name}: page ${p + i} has refcount ${m._refcount[p + i]}`);
      }
      if (i > 0 && (m.flags[p + i] & PG_buddy) !== 0) problems.push(`${name}: page ${p + i} is free twice`);
    }
    const buddy = p ^ (1 << order);
    if (
      order < MAX_ORDER - 1 && p < buddy && buddy < m.nrPages && (m.flags[buddy] & PG_buddy) !== 0 &&
      m.private[buddy] === order
    ) problems.push(`${name}: ${p} and its buddy ${buddy} are not merged`);
  }

  pcpLists(zone: zone): void {
    const { m, problems } = this;
    zone.pageset.forEach(({ pcp }, cpu) => {
      let count = 0;
      for (let mt = 0; mt < MIGRATE_PCPTYPES; mt++) {
        const name = `cpu ${cpu} list ${mt}`;
        for (const p of this.walk(pcp.lists[mt], name)) {
          count++;
          this.claim(p, 0, ON_PCP);
          if (m._refcount[p] !== 0) problems.push(`${name}: page ${p} has refcount ${m._refcount[p]}`);
          if ((m.flags[p] & PAGE_TYPES) !== 0) problems.push(`${name}: page ${p} has a type`);
        }
      }
      if (pcp.count !== count) problems.push(`cpu ${cpu}: count is ${pcp.count}, the lists hold ${count}`);
    });
  }

  /** Everything else is allocated or reserved; what is neither has been lost. */
  others(zone: zone): void {
    const { m, problems } = this;
    const end = zone.zone_start_pfn + zone.spanned_pages;
    let managed = 0;
    let lost = 0;
    for (let p = zone.zone_start_pfn; p < end; p++) {
      if (m.birth[p] !== 0) this.claim(p, m.order[p], ALLOCATED);
    }
    for (let p = zone.zone_start_pfn; p < end; p++) {
      if ((m.flags[p] & PG_reserved) !== 0) continue;
      managed++;
      if (this.seen[p] === UNKNOWN) lost++;
      if ((m.flags[p] & PG_buddy) !== 0 && this.seen[p] !== FREE) problems.push(`page ${p} is marked free`);
    }
    if (managed !== zone.managed_pages) problems.push(`managed is ${zone.managed_pages}, not ${managed}`);
    if (lost !== 0) problems.push(`${lost} pages are neither free nor allocated`);
  }
}

/**
 * What is wrong with the free lists, the per-CPU lists and the counters, in words; [] when nothing is.
 *
 * @invented for tests and for whoever wants to know
 */
export function checkBuddy(k: Kernel): string[] {
  const checker = new Checker(k);
  for (const zone of contig_page_data(k).node_zones) {
    if (!populated_zone(zone)) continue;
    checker.freeLists(zone);
    checker.pcpLists(zone);
    checker.others(zone);
  }
  return checker.problems;
}
