// SPDX-License-Identifier: GPL-2.0-only
/**
 * The truth about slab objects: which are live, how much was asked for, and when they were born.
 *
 * The hooks of kasan/common.ts, which slub.ts calls where mm/slub.c (v5.7) calls KASAN, keep it and the validity shadow
 * together. Invariant: an object is in exactly one of three states: never used (birth 0), live (birth > 0), freed
 * (birth < 0, the birth it had); a free of anything that is not live is reported at the call and not carried out.
 * With KASAN an object in quarantine is freed here, though its slab still counts it as in use.
 *
 * @module
 */

import { formatAddr, PAGE_OFFSET, PAGE_SIZE, VMEMMAP_START } from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import { SHADOW_FREE_PAGE } from "../kernel/machine/ram.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { dumpStackLines, KERN_ERR, report } from "../kernel/printk.ts";
import { allocationCaller } from "../kernel/stacktrace.ts";
import { KERNEL_STATIC, type KernelStatic, type StaticKey } from "../kernel/static.ts";
import { compound_head, mem_map, type page, page_address, PG_slab, virt_to_page } from "./mm_types.ts";
import { cacheTable, type kmem_cache } from "./slab.ts";

/** Objects for each page of RAM for which there is room at first: memory that the host backs when it is used. */
const FIRST_OBJECTS = 16;

/**
 * The objects of all slabs in two columns; each slab has a range of them, by head page. A range stays with its page when
 * the slab goes, for the next slab there.
 */
class LiveObjects {
  /** First object of the slab at a page. */
  readonly start: Uint32Array;
  /** Objects that the page's range holds. */
  readonly capacity: Uint16Array;
  birth: Float64Array<ArrayBuffer>;
  /** Bytes that were asked for. */
  size: Uint32Array<ArrayBuffer>;
  private used = 0;

  constructor(nrPages: number) {
    this.start = new Uint32Array(nrPages);
    this.capacity = new Uint16Array(nrPages);
    this.birth = new Float64Array(FIRST_OBJECTS * nrPages);
    this.size = new Uint32Array(FIRST_OBJECTS * nrPages);
  }

  /** Gives the slab at `p` a range of `objects` that were never handed out. */
  newSlab(p: page, objects: number): void {
    if (this.capacity[p] < objects) {
      this.start[p] = this.used;
      this.capacity[p] = objects;
      this.used += objects;
      if (this.used > this.birth.length) this.grow();
    }
    this.birth.fill(0, this.start[p], this.start[p] + objects);
  }

  private grow(): void {
    const { birth, size } = this;
    this.birth = new Float64Array(2 * this.used);
    this.size = new Uint32Array(2 * this.used);
    this.birth.set(birth);
    this.size.set(size);
  }

  /** Back to nothing, in place. */
  clear(): void {
    this.start.fill(0);
    this.capacity.fill(0);
    this.birth.fill(0, 0, this.used);
    this.size.fill(0, 0, this.used);
    this.used = 0;
  }
}

const liveObjects = KERNEL_STATIC(
  "liveObjects",
  (k) => k.reusable("liveObjects", () => new LiveObjects(mem_map(k).nrPages), (kept) => kept.clear()),
);

/** Objects that allocators of their own have put into large blocks. @invented see placeObject() */
export const placedObjects: KernelStatic<Set<VirtAddr>> = KERNEL_STATIC(
  "placedObjects",
  () => new Set<VirtAddr>(),
);

export const statics: readonly StaticKey[] = [liveObjects, placedObjects];

/** What is known of a slab object. */
export interface SlabObject {
  /** Start of the object. */
  readonly addr: VirtAddr;
  /** Bytes that were asked for, last time; 0 when it was never handed out. */
  readonly size: number;
  /** Number of the event of its (last) allocation, 0 when it was never handed out. */
  readonly birth: number;
  readonly live: boolean;
  readonly cache: kmem_cache;
}

// What the hooks of kasan/common.ts tell

/** A new slab at `p`: none of its objects was ever handed out. @invented see the head of this file */
export function slabMade(k: Kernel, p: page): void {
  liveObjects(k).newSlab(p, mem_map(k).objects[p]);
}

/** An object of the slab at `p` was handed out: it is born at the last event. @invented see the head of this file */
export function objectBorn(k: Kernel, s: kmem_cache, p: page, object: VirtAddr, size: number): void {
  const live = liveObjects(k);
  const at = live.start[p] + (((object - PAGE_OFFSET - p * PAGE_SIZE) * s.reciprocal_size + 0.5) | 0);
  live.birth[at] = k.seq || 1;
  live.size[at] = size;
}

/** A live object changes its size and stays what it is. @invented see the head of this file */
export function objectResized(k: Kernel, s: kmem_cache, p: page, object: VirtAddr, size: number): void {
  const live = liveObjects(k);
  live.size[live.start[p] + (((object - page_address(p)) * s.reciprocal_size + 0.5) | 0)] = size;
}

/** An object is freed. False: it is not live, or `object` is no object's start. @invented see the head of this file */
export function objectDied(k: Kernel, s: kmem_cache, p: page, object: VirtAddr): boolean {
  const live = liveObjects(k);
  const offset = object - PAGE_OFFSET - p * PAGE_SIZE;
  const index = (offset * s.reciprocal_size + 0.5) | 0;
  const at = live.start[p] + index;
  const birth = index < live.capacity[p] ? live.birth[at] : 0;
  if (index * s.size !== offset || !(birth > 0)) return false;
  live.birth[at] = -birth;
  return true;
}

// What is known, for verdicts and reports

/**
 * Every live slab object, by ascending address.
 *
 * @invented leak verdicts read the allocator's own truth
 */
export function* slabLiveObjects(k: Kernel): Generator<SlabObject, void, void> {
  const m = mem_map(k);
  const live = liveObjects(k);
  for (let p = 1; p < m.nrPages; p++) {
    if ((m.flags[p] & PG_slab) === 0) continue;
    const cache = cacheTable(k)[m.slab_cache[p] - 1] as kmem_cache;
    const base = page_address(p as page);
    for (let i = 0; i < m.objects[p]; i++) {
      const at = live.start[p] + i;
      const birth = live.birth[at];
      if (birth > 0) {
        yield { addr: (base + i * cache.size) as VirtAddr, size: live.size[at], birth, live: true, cache };
      }
    }
  }
}

/**
 * The slab object that `addr` points at or into, live or not; undefined where no slab object is.
 *
 * @invented reports and `kmem ADDR` want to know what an address is
 */
export function slabObjectAt(k: Kernel, addr: VirtAddr): SlabObject | undefined {
  if (addr < PAGE_OFFSET || addr >= PAGE_OFFSET + k.ram.size) return undefined;
  const m = mem_map(k);
  const p = compound_head(m, virt_to_page(addr));
  if ((m.flags[p] & PG_slab) === 0) return undefined;
  const cache = cacheTable(k)[m.slab_cache[p] - 1] as kmem_cache;
  const base = page_address(p);
  const index = Math.floor((addr - base) / cache.size);
  if (index >= m.objects[p]) return undefined;
  const live = liveObjects(k);
  const birth = live.birth[live.start[p] + index];
  return {
    addr: (base + index * cache.size) as VirtAddr,
    size: birth === 0 ? 0 : live.size[live.start[p] + index],
    birth: Math.abs(birth),
    live: birth > 0,
    cache,
  };
}

/** The lines of a report that say which object `addr` belongs to, and where in it. */
function describe_object_addr(at: SlabObject, addr: VirtAddr): string[] {
  const size = at.cache.object_size;
  const end = at.addr + size;
  const where = addr >= end ? `${addr - end} bytes to the right` : `${addr - at.addr} bytes inside`;
  return [
    `The buggy address belongs to the object at ${formatAddr(at.addr)}`,
    ` which belongs to the cache ${at.cache.name} of size ${size}`,
    `The buggy address is located ${where} of`,
    ` ${size}-byte region [${formatAddr(at.addr)}, ${formatAddr(end)})`,
  ];
}

/** The object, or the page, that a direct-map address belongs to. @invented reports without KASAN are in its layout */
export function describe_object(k: Kernel, addr: VirtAddr): string[] {
  const at = slabObjectAt(k, addr);
  return at === undefined ? describePage(k, addr) : describe_object_addr(at, addr);
}

const RULE = "=".repeat(66);

/**
 * Says that an object of an allocator of one's own starts at `ptr`, inside of a large block: kfree() of it frees the block.
 *
 * @invented without KASAN C frees a large block by any address in it, here only by one for which somebody answers
 */
export function placeObject(k: Kernel, ptr: VirtAddr): void {
  placedObjects(k).add(ptr);
}

/**
 * Reports a free of something that is not a live object, at the call; the caller then does not carry it out.
 *
 * The layout is KASAN's; the title is not, because this is the default shadow: it misses what a quarantine would catch.
 *
 * @invented the kernel without KASAN does not notice; with it kasan/report.ts speaks
 */
export function kasan_report_invalid_free(k: Kernel, object: VirtAddr): void {
  const title = `BUG: double-free or invalid-free in ${allocationCaller()?.name ?? "?"}`;
  report(k, KERN_ERR, title, [
    RULE,
    title,
    "",
    ...dumpStackLines(k),
    "",
    ...describe_object(k, object),
    RULE,
  ]);
}

function describePage(k: Kernel, addr: VirtAddr): string[] {
  const m = mem_map(k);
  const p = virt_to_page(addr);
  const head = compound_head(m, p);
  const free = k.ram.shadow[(addr - PAGE_OFFSET) >>> 3] === SHADOW_FREE_PAGE ? " (free)" : "";
  return [
    `The buggy address belongs to the page:`,
    `page:${formatAddr(VMEMMAP_START + head * 64)} refcount:${m._refcount[head]}${free} ` +
    `address:${formatAddr(page_address(head))} order:${m.compound_order[head]}`,
    `The buggy address is located ${addr - page_address(head)} bytes inside of it`,
  ];
}
