// SPDX-License-Identifier: GPL-2.0-only
/**
 * The truth about memory: what is allocated now, and whether anybody can still get at it.
 *
 * Every allocation is live and reachable, pending in RCU, the kernel's own, or leaked. The allocators' live tables say
 * what exists; reachability is a scan of named roots (.data, kernel stacks, what existed before) and of live memory for
 * words that are addresses of or into an object, as kmemleak does it. The event log is not asked.
 *
 * A stale pointer that still stands in live memory hides a leak, as it does from kmemleak: so does the freelist pointer in
 * an object that was never written to, which names the next object of its slab.
 *
 * @module
 */

import { PAGE_OFFSET, PAGE_SIZE } from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { KERNEL_STATIC, type StaticKey } from "../kernel/static.ts";
import { kmemleak_not_leak } from "./kmemleak.ts";
import { mem_map, type page, page_address, PG_buddy, PG_reserved } from "./mm_types.ts";
import { rootRanges } from "./roots.ts";
import { slabLiveObjects, slabObjectAt } from "./slab_live.ts";
import { vmallocLiveAreas, vmallocOwnAddresses } from "./vmalloc.ts";

/** One allocation that exists. */
export interface LiveObject {
  readonly addr: VirtAddr;
  /** Bytes asked for. */
  readonly size: number;
  /** Number of the event that allocated it. */
  readonly birth: number;
  readonly kind: "slab" | "page" | "vmalloc";
  /** Cache name for slab objects. */
  readonly cache: string;
}

/** The verdict on the allocations made since an event. */
export interface MemoryVerdict {
  readonly live: readonly LiveObject[];
  readonly pending: readonly LiveObject[];
  readonly leaked: readonly LiveObject[];
}

/** Objects that kernel structures own, by address; the value is the birth it is valid for. */
const notLeak = KERNEL_STATIC("notLeak", () => new Map<number, number>());

export const statics: readonly StaticKey[] = [notLeak];

/** Caches whose objects are the allocators' and the scheduler's own. */
const OWN_CACHES = new Set(["kmem_cache", "kmem_cache_node", "vmap_area", "task_struct"]);

/**
 * Says that the object at `addr` belongs to a kernel structure that no scan can see, because it is a class.
 *
 * @invented in C such a structure is memory and holds the pointer itself
 */
export function keptByKernel(k: Kernel, addr: VirtAddr): void {
  const object = slabObjectAt(k, addr);
  if (object === undefined) return;
  notLeak(k).set(addr, object.birth);
  kmemleak_not_leak(k, addr);
}

function* livePages(k: Kernel): Generator<LiveObject, void, void> {
  const m = mem_map(k);
  for (const pfn of k.ram.touchedPages()) {
    if (m.birth[pfn] === 0 || m.use[pfn] !== 0 || (m.flags[pfn] & (PG_buddy | PG_reserved)) !== 0) continue;
    if (m._refcount[pfn] === 0) continue;
    const size = PAGE_SIZE << m.order[pfn];
    yield { addr: page_address(pfn as page), size, birth: m.birth[pfn], kind: "page", cache: "" };
  }
}

/** Every allocation that exists, in no promised order; looking changes nothing. @invented the live tables as one list */
export function* liveObjects(k: Kernel): Generator<LiveObject, void, void> {
  for (const o of slabLiveObjects(k)) {
    if (OWN_CACHES.has(o.cache.name) || notLeak(k).get(o.addr) === o.birth) continue;
    yield { addr: o.addr, size: o.size, birth: o.birth, kind: "slab", cache: o.cache.name };
  }
  yield* livePages(k);
  for (const a of vmallocLiveAreas(k)) {
    yield { addr: a.addr, size: a.size, birth: a.birth, kind: "vmalloc", cache: "" };
  }
}

/** Index of the object that contains `addr`, or -1; `objects` is sorted by address. */
function find(objects: readonly LiveObject[], addr: number): number {
  let low = 0;
  let high = objects.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const o = objects[middle];
    if (addr < o.addr) high = middle - 1;
    else if (addr >= o.addr + o.size) low = middle + 1;
    else return middle;
  }
  return -1;
}

/** Sorts the allocations made after event `since` into live, pending in RCU, and leaked. @invented see the head of this file */
export function memoryVerdict(k: Kernel, since: number): MemoryVerdict {
  const own = new Set<number>([...k.kvfree.ownAddresses(k), ...vmallocOwnAddresses(k)]);
  const objects = [...liveObjects(k)].filter((o) => !own.has(o.addr)).sort((a, b) => a.addr - b.addr);
  const pending = new Set<number>();
  for (const addr of [...k.rcu.pendingAddresses(k), ...k.kvfree.pendingAddresses(k)]) {
    pending.add(find(objects, addr));
  }
  const reached = reach(k, objects, since, pending);
  const recent = objects.map((o, i) => ({ o, i })).filter(({ o }) => o.birth > since);
  return {
    live: recent.filter(({ i }) => reached[i] === 1 && !pending.has(i)).map(({ o }) => o),
    pending: recent.filter(({ i }) => pending.has(i)).map(({ o }) => o),
    leaked: recent.filter(({ i }) => reached[i] === 0 && !pending.has(i)).map(({ o }) => o),
  };
}

/** Marks what can be reached from the roots, from objects older than `since`, and from pending ones. */
function reach(
  k: Kernel,
  objects: readonly LiveObject[],
  since: number,
  pending: ReadonlySet<number>,
): Uint8Array {
  const reached = new Uint8Array(objects.length);
  const queue: number[] = [];
  function scan(from: VirtAddr, size: number): void {
    for (let at = from + (8 - from % 8) % 8; at + 8 <= from + size; at += 8) {
      const phys = at >= PAGE_OFFSET ? k.ram.translate(at) : -1;
      if (phys < 0) continue;
      const i = find(objects, k.ram.rawLoadPtr(phys));
      if (i < 0 || reached[i] === 1) continue;
      reached[i] = 1;
      queue.push(i);
    }
  }
  objects.forEach((o, i) => {
    if (o.birth <= since || pending.has(i)) queue.push(i);
  });
  for (const [from, size] of rootRanges(k)) scan(from, size);
  for (let i = queue.pop(); i !== undefined; i = queue.pop()) scan(objects[i].addr, objects[i].size);
  return reached;
}
