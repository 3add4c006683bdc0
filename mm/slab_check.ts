// SPDX-License-Identifier: GPL-2.0-only
/**
 * Is the slab allocator in order? Everything that must hold between any two steps, looked up in one pass.
 *
 * Each object is live, in quarantine or on exactly one freelist, freelists have no cycle and stay in their slab, counts
 * agree with what is counted, each slab is where its state says: with a CPU when frozen, on the partial list when it has
 * free objects, nowhere when it is full. Looking changes nothing. @invented for tests and the REPL
 *
 * An object that a CPU is just about to hand out or take back is in between: check when nothing is under way.
 *
 * @module
 */

import { formatAddr, NULL, PAGE_OFFSET, PAGE_SIZE } from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { mem_map, NULL_PAGE, type page, page_address, PG_slab } from "./mm_types.ts";
import { cacheTable, type kmem_cache, slab_caches, SLAB_TYPESAFE_BY_RCU } from "./slab.ts";
import { quarantined } from "./kasan/quarantine.ts";
import { slabObjectAt } from "./slab_live.ts";

/** Where the slabs of a cache are. */
interface Places {
  /** Slab → CPU that allocates from it. */
  readonly current: Map<number, number>;
  /** Slab → CPU on whose partial list it is. */
  readonly cpuPartial: Map<number, number>;
  readonly nodePartial: Set<number>;
}

/** What is wrong; empty when nothing is. */
export function checkSlab(k: Kernel): string[] {
  const problems: string[] = [];
  const quarantine = k.config.kasan ? quarantined(k).objects : new Set<VirtAddr>();
  for (const s of slab_caches(k)) {
    const say = (text: string): void => {
      problems.push(`${s.name}: ${text}`);
    };
    const places = placesOf(k, s, say);
    const m = mem_map(k);
    let slabs = 0;
    let objects = 0;
    for (let p = 1; p < m.nrPages; p++) {
      if ((m.flags[p] & PG_slab) === 0 || m.slab_cache[p] !== s.index + 1) continue;
      slabs++;
      objects += m.objects[p];
      checkPlace(k, p as page, places, say);
      checkObjects(k, s, p as page, places, quarantine, say);
    }
    const n = s.node;
    if (n === null) say("no node");
    else if (n.nr_slabs !== slabs) say(`nr_slabs ${n.nr_slabs}, counted ${slabs}`);
    else if (n.total_objects !== objects) say(`total_objects ${n.total_objects}, counted ${objects}`);
  }
  for (const s of cacheTable(k)) {
    if (s !== null && s.addr !== NULL && slabObjectAt(k, s.addr)?.live !== true) {
      problems.push(`${s.name}: its kmem_cache is not allocated`);
    }
  }
  return problems;
}

function placesOf(k: Kernel, s: kmem_cache, say: (text: string) => void): Places {
  const m = mem_map(k);
  const places: Places = { current: new Map(), cpuPartial: new Map(), nodePartial: new Set() };
  const claim = (map: Map<number, number>, p: page, cpu: number): boolean => {
    if (places.current.has(p) || places.cpuPartial.has(p)) {
      say(`slab ${p} is with two CPUs or twice with one`);
      return false;
    }
    map.set(p, cpu);
    return true;
  };
  s.cpu_slab.forEach((c, cpu) => {
    if (c.page !== NULL_PAGE) claim(places.current, c.page, cpu);
    else if (c.freelist !== NULL) say(`CPU ${cpu} has objects and no slab`);
    for (let p = c.partial; p !== NULL_PAGE; p = m.partial_next[p] as page) {
      if (!claim(places.cpuPartial, p, cpu)) break;
      const next = m.partial_next[p];
      if (m.pages[p] !== 1 + (next === 0 ? 0 : m.pages[next])) {
        say(`slab ${p} counts ${m.pages[p]} partial slabs`);
      }
    }
  });
  const n = s.node;
  if (n === null) return places;
  for (let p = n.partial.first; p !== NULL_PAGE; p = m.next[p] as page) {
    if (places.nodePartial.has(p)) {
      say("the partial list has a cycle");
      break;
    }
    places.nodePartial.add(p);
    if ((m.flags[p] & PG_slab) === 0 || m.slab_cache[p] !== s.index + 1) {
      say(`page ${p} on the partial list is no slab`);
    }
  }
  if (places.nodePartial.size !== n.nr_partial) {
    say(`nr_partial ${n.nr_partial}, counted ${places.nodePartial.size}`);
  }
  return places;
}

function checkPlace(k: Kernel, p: page, places: Places, say: (text: string) => void): void {
  const m = mem_map(k);
  const withCpu = places.current.has(p) || places.cpuPartial.has(p);
  if ((m.frozen[p] !== 0) !== withCpu) say(`slab ${p} frozen ${m.frozen[p]}, with a CPU ${withCpu}`);
  if (withCpu && places.nodePartial.has(p)) say(`slab ${p} is with a CPU and on the partial list`);
  if (withCpu) return;
  const hasFree = m.freelist[p] !== NULL;
  if (hasFree !== places.nodePartial.has(p)) {
    say(`slab ${p} ${hasFree ? "has free objects and is not" : "is full and is"} on the partial list`);
  }
}

/** Walks a freelist, adding the numbers of its objects to `free`; how many there were. */
function walk(
  k: Kernel,
  s: kmem_cache,
  p: page,
  first: VirtAddr,
  free: Set<number>,
  say: (text: string) => void,
): number {
  let count = 0;
  for (let object = first; object !== NULL;) {
    const index = (object - page_address(p)) / s.size;
    if (!Number.isInteger(index) || index < 0 || index >= mem_map(k).objects[p]) {
      say(`slab ${p}: ${formatAddr(object)} on a freelist is none of its objects`);
      break;
    }
    if (free.has(index)) {
      say(`slab ${p}: ${formatAddr(object)} is on a freelist twice`);
      break;
    }
    free.add(index);
    count++;
    object = k.ram.rawLoadPtr(object - PAGE_OFFSET + s.offset);
  }
  return count;
}

function checkObjects(
  k: Kernel,
  s: kmem_cache,
  p: page,
  places: Places,
  quarantine: ReadonlySet<VirtAddr>,
  say: (text: string) => void,
): void {
  const m = mem_map(k);
  const free = new Set<number>();
  const own = walk(k, s, p, m.freelist[p] as VirtAddr, free, say);
  if (m.inuse[p] !== m.objects[p] - own) {
    say(`slab ${p} inuse ${m.inuse[p]}, ${own} of ${m.objects[p]} on its freelist`);
  }
  const cpu = places.current.get(p);
  if (cpu !== undefined) walk(k, s, p, s.cpu_slab[cpu].freelist, free, say);
  if (m.objects[p] * s.size > PAGE_SIZE << m.compound_order[p]) say(`slab ${p} has too many objects`);
  for (let i = 0; i < m.objects[p]; i++) {
    const addr = (page_address(p) + i * s.size) as VirtAddr;
    const object = slabObjectAt(k, addr);
    if (object === undefined) say(`${formatAddr(addr)} is not known`);
    else if (Number(object.live) + Number(free.has(i)) + Number(quarantine.has(addr)) !== 1) {
      say(`${formatAddr(addr)} live ${object.live}, free ${free.has(i)}`);
    } else checkShadow(k, s, addr, object.live ? object.size : 0, say);
  }
}

function checkShadow(
  k: Kernel,
  s: kmem_cache,
  addr: VirtAddr,
  size: number,
  say: (text: string) => void,
): void {
  const phys = addr - PAGE_OFFSET;
  if (size > 0 && !k.ram.isValid(phys, size)) say(`${formatAddr(addr)} is live and not valid`);
  if (size === 0 && (s.flags & SLAB_TYPESAFE_BY_RCU) === 0 && k.ram.isValid(phys, 1)) {
    say(`${formatAddr(addr)} is free and valid`);
  }
}
