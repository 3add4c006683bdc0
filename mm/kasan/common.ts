// SPDX-License-Identifier: GPL-2.0-only
/**
 * The hooks that the allocators call. Mirrors mm/kasan/common.c (v5.7) for generic KASAN.
 *
 * The slab hooks are called with and without KASAN: they keep the machine's validity shadow and the table of live objects
 * (slab_live.ts) together. Invariant: a cache has SLAB_KASAN exactly when the machine was booted with --kasan; without it
 * no hook costs more than one test of the cache's flags. With it every object is followed by a red zone in which stand who
 * allocated and who freed it, and a freed object goes to the quarantine first.
 *
 * Left out: stacks, globals and mempools; kasan_depth (reports make no checked access). Shadow memory costs no RAM here,
 * so kasan_populate_vmalloc() cannot fail.
 *
 * @module
 */

import { NULL, PAGE_OFFSET, PAGE_SIZE } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { type Atomic, doneVoid } from "../../kernel/machine/effects.ts";
import { type Gfp, gfpflags_allow_blocking } from "../../kernel/gfp.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { pr_info } from "../../kernel/printk.ts";
import { current } from "../../kernel/sched/sched.ts";
import { StackSnapshot } from "../../kernel/stacktrace.ts";
import { KERNEL_STATIC, type StaticKey } from "../../kernel/static.ts";
import {
  mem_map,
  type page,
  page_address,
  page_to_phys,
  PG_slab,
  virt_to_head_page,
  virt_to_page,
} from "../mm_types.ts";
import {
  cacheTable,
  KMALLOC_MAX_SIZE,
  type kmem_cache,
  nearest_obj,
  SLAB_KASAN,
  SLAB_TYPESAFE_BY_RCU,
  ZERO_SIZE_PTR,
} from "../slab.ts";
import {
  kasan_report_invalid_free as reportInvalidFree,
  objectBorn,
  objectDied,
  objectResized,
  placedObjects,
  slabMade,
} from "../slab_live.ts";
import {
  is_vmalloc_or_module_addr,
  kasan_alloc_meta,
  kasan_free_meta,
  KASAN_KMALLOC_FREE,
  KASAN_KMALLOC_REDZONE,
  KASAN_PAGE_REDZONE,
  KASAN_SHADOW_MASK,
  KASAN_SHADOW_SCALE_SIZE,
  kasan_track,
  KASAN_VMALLOC_INVALID,
  shadowByte,
} from "./kasan.ts";
import { quarantine_put, quarantine_reduce } from "./quarantine.ts";
import { kasan_report_invalid_free } from "./report.ts";

/** Stacks that are kept: a kilobyte or two of the host's memory each. */
const DEPOT_CAPACITY = 2 ** 15;

/**
 * The stacks behind the handles in tracks. A handle is where its track stands, so a track keeps its last stack only; of more
 * than the capacity the oldest are forgotten, and reports say that they are not available.
 */
class StackDepot {
  private readonly stacks: StackSnapshot[] = [];
  private readonly handles: number[] = [];
  private readonly places = new Map<number, number>();
  private next = 0;

  keepStack(handle: number): void {
    const at = this.next;
    this.next = (at + 1) % DEPOT_CAPACITY;
    if (at < this.handles.length && this.places.get(this.handles[at]) === at) {
      this.places.delete(this.handles[at]);
    }
    this.handles[at] = handle;
    this.stacks[at] = new StackSnapshot();
    this.places.set(handle, at);
  }

  fetch(handle: number): readonly string[] | undefined {
    const at = this.places.get(handle);
    return at === undefined ? undefined : this.stacks[at].callTrace();
  }
}

const stackDepot = KERNEL_STATIC("stackDepot", () => new StackDepot());

/** Which pages of the vmalloc area's shadow exist: each covers 32 KiB. */
const vmallocShadow = KERNEL_STATIC("vmallocShadow", () => new Set<number>());

export const statics: readonly StaticKey[] = [stackDepot, vmallocShadow];

/** @mirrors arch/x86/mm/kasan_init_64.c:kasan_init @simplified the shadow is the machine's, and there already */
export function kasan_init(k: Kernel): void {
  pr_info(k, "kasan: KernelAddressSanitizer initialized");
}

/** Keeps the stack for the track at `track`. Returns its handle, which is not 0. @mirrors mm/kasan/common.c:save_stack */
function save_stack(k: Kernel, track: number): number {
  const handle = track / kasan_track.size;
  stackDepot(k).keepStack(handle);
  return handle;
}

/** The call chain behind a handle; undefined when there is none. @mirrors lib/stackdepot.c:stack_depot_fetch */
export function stack_depot_fetch(k: Kernel, handle: number): readonly string[] | undefined {
  return stackDepot(k).fetch(handle);
}

/** Units: `track` is an offset into RAM. @mirrors mm/kasan/common.c:set_track */
function set_track(k: Kernel, track: number): void {
  k.ram.rawStore32(track + kasan_track.offsetof("pid"), current(k).pid);
  k.ram.rawStore32(track + kasan_track.offsetof("stack"), save_stack(k, track));
}

/** @mirrors mm/kasan/common.c:optimal_redzone */
export function optimal_redzone(object_size: number): number {
  if (object_size <= 64 - 16) return 16;
  if (object_size <= 128 - 32) return 32;
  if (object_size <= 512 - 64) return 64;
  if (object_size <= 4096 - 128) return 128;
  if (object_size <= 2 ** 14 - 256) return 256;
  if (object_size <= 2 ** 15 - 512) return 512;
  return object_size <= 2 ** 16 - 1024 ? 1024 : 2048;
}

/**
 * Adds what KASAN needs behind an object of `size` bytes. Returns the new size; a cache without room for it stays as it was.
 *
 * @mirrors mm/kasan/common.c:kasan_cache_create
 */
export function kasan_cache_create(_k: Kernel, cache: kmem_cache, orig_size: number): number {
  const { kasan_info, object_size } = cache;
  let size = orig_size;
  kasan_info.alloc_meta_offset = size;
  size += kasan_alloc_meta.size;
  // In a freed object that nobody may look at, the link of the quarantine needs no room of its own.
  if (
    (cache.flags & SLAB_TYPESAFE_BY_RCU) !== 0 || cache.ctor !== null || object_size < kasan_free_meta.size
  ) {
    kasan_info.free_meta_offset = size;
    size += kasan_free_meta.size;
  }
  size = Math.min(KMALLOC_MAX_SIZE, Math.max(size, object_size + optimal_redzone(object_size)));
  if (size <= kasan_info.alloc_meta_offset || size <= kasan_info.free_meta_offset) {
    kasan_info.alloc_meta_offset = kasan_info.free_meta_offset = 0;
    return orig_size;
  }
  cache.flags |= SLAB_KASAN;
  return size;
}

/** Where the object's allocation and free are recorded. @mirrors mm/kasan/common.c:get_alloc_info */
export function get_alloc_info(cache: kmem_cache, object: VirtAddr): VirtAddr {
  return (object + cache.kasan_info.alloc_meta_offset) as VirtAddr;
}

/** @mirrors mm/kasan/common.c:get_free_info */
export function get_free_info(cache: kmem_cache, object: VirtAddr): VirtAddr {
  return (object + cache.kasan_info.free_meta_offset) as VirtAddr;
}

/** @mirrors mm/kasan/common.c:kasan_set_free_info */
function kasan_set_free_info(k: Kernel, cache: kmem_cache, object: VirtAddr): void {
  set_track(k, get_alloc_info(cache, object) - PAGE_OFFSET + kasan_alloc_meta.offsetof("free_track"));
}

/**
 * A new slab: nothing of it is valid, and none of its objects was ever handed out.
 *
 * @mirrors mm/kasan/common.c:kasan_poison_slab
 */
export function kasan_poison_slab(k: Kernel, p: page): void {
  k.ram.poison(page_to_phys(p), PAGE_SIZE << mem_map(k).compound_order[p], KASAN_KMALLOC_REDZONE);
  slabMade(k, p);
}

/** Lets a constructor write into the object. @mirrors mm/kasan/common.c:kasan_unpoison_object_data */
export function kasan_unpoison_object_data(k: Kernel, s: kmem_cache, object: VirtAddr): void {
  k.ram.unpoison(object - PAGE_OFFSET, s.object_size);
}

/** @mirrors mm/kasan/common.c:kasan_poison_object_data */
export function kasan_poison_object_data(k: Kernel, s: kmem_cache, object: VirtAddr): void {
  k.ram.poison(object - PAGE_OFFSET, s.object_size, KASAN_KMALLOC_REDZONE);
}

/** The object of a new slab was neither allocated nor freed. @mirrors mm/kasan/common.c:kasan_init_slab_obj */
export function kasan_init_slab_obj(k: Kernel, cache: kmem_cache, object: VirtAddr): void {
  if ((cache.flags & SLAB_KASAN) === 0) return;
  k.ram.rawFill(get_alloc_info(cache, object) - PAGE_OFFSET, kasan_alloc_meta.size, 0);
}

/** Whether no object starts under this shadow byte. @mirrors mm/kasan/common.c:shadow_invalid */
function shadow_invalid(shadow_byte: number): boolean {
  return shadow_byte >= KASAN_SHADOW_SCALE_SIZE;
}

/**
 * A free. True when the object must not go back to its slab: it is in quarantine now, or the free is wrong and reported.
 *
 * @mirrors mm/kasan/common.c:__kasan_slab_free
 * @simplified the second free of a SLAB_TYPESAFE_BY_RCU object is reported as well: the live table knows of it
 */
function __kasan_slab_free(k: Kernel, cache: kmem_cache, p: page, object: VirtAddr): boolean {
  if (nearest_obj(k, cache, p, object) !== object) {
    kasan_report_invalid_free(k, object);
    return true;
  }
  // Readers may still look at such an object, legally.
  if ((cache.flags & SLAB_TYPESAFE_BY_RCU) !== 0) {
    if (objectDied(k, cache, p, object)) return false;
    kasan_report_invalid_free(k, object);
    return true;
  }
  if (shadow_invalid(shadowByte(k, object)) || !objectDied(k, cache, p, object)) {
    kasan_report_invalid_free(k, object);
    return true;
  }
  k.ram.poison(object - PAGE_OFFSET, cache.object_size, KASAN_KMALLOC_FREE);
  kasan_set_free_info(k, cache, object);
  quarantine_put(k, get_free_info(cache, object), cache);
  return true;
}

/**
 * A free. True when it must not be carried out: the object is in quarantine, or it is not live, or `object` is no
 * object's start, which is reported.
 *
 * The contents of a SLAB_TYPESAFE_BY_RCU object stay valid: readers may still look at it.
 *
 * @mirrors mm/kasan/common.c:kasan_slab_free
 */
export function kasan_slab_free(k: Kernel, s: kmem_cache, p: page, object: VirtAddr): boolean {
  // One test for the two flags: most caches have neither.
  const special = s.flags & (SLAB_TYPESAFE_BY_RCU | SLAB_KASAN);
  if ((special & SLAB_KASAN) !== 0) return __kasan_slab_free(k, s, p, object);
  if (!objectDied(k, s, p, object)) {
    reportInvalidFree(k, object);
    return true;
  }
  if (special === 0) k.ram.poison(object - PAGE_OFFSET, s.object_size, KASAN_KMALLOC_FREE);
  return false;
}

/** Exactly `size` bytes of the object are valid; what follows, up to the next one, is not. */
function validate(k: Kernel, s: kmem_cache, object: VirtAddr, size: number): void {
  const phys = object - PAGE_OFFSET;
  k.ram.unpoison(phys, size);
  const end = (size + KASAN_SHADOW_MASK) & ~KASAN_SHADOW_MASK;
  if (end < s.size) k.ram.poison(phys + end, s.size - end, KASAN_KMALLOC_REDZONE);
}

/** @mirrors mm/kasan/common.c:__kasan_kmalloc */
function __kasan_kmalloc(k: Kernel, cache: kmem_cache, object: VirtAddr, size: number): void {
  validate(k, cache, object, size);
  set_track(k, get_alloc_info(cache, object) - PAGE_OFFSET + kasan_alloc_meta.offsetof("alloc_track"));
}

/**
 * The slow part of an allocation in a cache with SLAB_KASAN, before anybody hears of the object, which may be NULL: makes
 * room in the quarantine if the request may sleep, and records who allocates.
 *
 * @mirrors mm/kasan/common.c:kasan_slab_alloc
 */
export function* kasan_slab_alloc(k: Kernel, s: kmem_cache, object: VirtAddr, flags: Gfp): Atomic<void> {
  if (gfpflags_allow_blocking(flags)) yield* quarantine_reduce(k);
  if (object !== NULL) __kasan_kmalloc(k, s, object, s.object_size);
}

/**
 * An object of the slab at `p` was handed out: exactly `size` bytes are valid, and it is born at the last event.
 *
 * @mirrors mm/kasan/common.c:kasan_kmalloc
 * @simplified the quarantine and the record of who allocates are kasan_slab_alloc()'s, a moment before
 */
export function kasan_kmalloc(k: Kernel, s: kmem_cache, p: page, object: VirtAddr, size: number): void {
  validate(k, s, object, size);
  objectBorn(k, s, p, object, size);
}

/**
 * A large object was handed out, or could not be: the rest of its pages is not valid.
 *
 * @mirrors mm/kasan/common.c:kasan_kmalloc_large
 */
export function kasan_kmalloc_large(k: Kernel, ptr: VirtAddr, size: number, flags: Gfp): Atomic<void> {
  if (ptr !== NULL) {
    const phys = ptr - PAGE_OFFSET;
    const bytes = PAGE_SIZE << mem_map(k).compound_order[virt_to_page(ptr)];
    k.ram.unpoison(phys, size);
    const end = (size + KASAN_SHADOW_MASK) & ~KASAN_SHADOW_MASK;
    if (end < bytes) k.ram.poison(phys + end, bytes - end, KASAN_PAGE_REDZONE);
  }
  return k.config.kasan && gfpflags_allow_blocking(flags) ? quarantine_reduce(k) : doneVoid();
}

/** krealloc() kept the object and changed its size. @mirrors mm/kasan/common.c:kasan_krealloc */
export function kasan_krealloc(k: Kernel, object: VirtAddr, size: number, flags: Gfp): Atomic<void> {
  if (object === ZERO_SIZE_PTR) return doneVoid();
  const m = mem_map(k);
  const p = virt_to_head_page(k, object);
  if ((m.flags[p] & PG_slab) === 0) return kasan_kmalloc_large(k, object, size, flags);
  const cache = cacheTable(k)[m.slab_cache[p] - 1] as kmem_cache;
  objectResized(k, cache, p, object, size);
  if ((cache.flags & SLAB_KASAN) === 0) {
    validate(k, cache, object, size);
    return doneVoid();
  }
  __kasan_kmalloc(k, cache, object, size);
  return gfpflags_allow_blocking(flags) ? quarantine_reduce(k) : doneVoid();
}

/**
 * A free of a large object. True when it must not be carried out, because nothing starts at `ptr`.
 *
 * @mirrors mm/kasan/common.c:kasan_kfree_large
 * @simplified with KASAN, as in C, an address inside is reported and the object freed; what is no large object at all is
 * left alone, where kfree() has BUG_ON()
 */
export function kasan_kfree_large(k: Kernel, ptr: VirtAddr): boolean {
  const m = mem_map(k);
  const p0 = virt_to_head_page(k, ptr);
  const alive = m.compound_order[p0] > 0 && m.birth[p0] !== 0;
  if (ptr === page_address(p0) && alive) return false;
  if (!k.config.kasan) {
    if (alive && placedObjects(k).delete(ptr)) return false; // see placeObject()
    reportInvalidFree(k, ptr);
    return true;
  }
  kasan_report_invalid_free(k, ptr);
  return !alive;
}

/** The pages of shadow that cover `[addr, addr + size)`: their numbers. */
function shadowPages(addr: number, size: number): { first: number; end: number } {
  const covered = PAGE_SIZE * KASAN_SHADOW_SCALE_SIZE;
  return { first: Math.floor(addr / covered), end: Math.ceil((addr + size) / covered) };
}

/**
 * A range of the vmalloc area was reserved: it has shadow now, which says that nothing of it is valid.
 *
 * @mirrors mm/kasan/common.c:kasan_populate_vmalloc
 */
export function kasan_populate_vmalloc(k: Kernel, addr: number, size: number): void {
  const { first, end } = shadowPages(addr, size);
  for (let n = first; n < end; n++) vmallocShadow(k).add(n);
}

/** Whether an address of the vmalloc area has shadow: without, the check itself faults. @invented a page table walk */
export function hasVmallocShadow(k: Kernel, addr: VirtAddr): boolean {
  return vmallocShadow(k).has(shadowPages(addr, 1).first);
}

/**
 * An area is about to be unmapped: nothing of its pages is valid any more, `nr_pages` of them, the i-th being `pageAt(i)`.
 *
 * @mirrors mm/kasan/common.c:kasan_poison_vmalloc
 * @simplified the pages are marked, and what is no longer mapped counts as invalid; pages mapped by vmap() stay valid
 * until they are unmapped
 */
export function kasan_poison_vmalloc(
  k: Kernel,
  start: VirtAddr,
  nr_pages: number,
  pageAt: (i: number) => page,
): void {
  if (!is_vmalloc_or_module_addr(start)) return;
  for (let i = 0; i < nr_pages; i++) k.ram.poison(page_to_phys(pageAt(i)), PAGE_SIZE, KASAN_VMALLOC_INVALID);
}

/**
 * A range went back to the free areas and is now part of the free one from `free_region_start` to `free_region_end`: pages
 * of shadow that cover nothing else go.
 *
 * @mirrors mm/kasan/common.c:kasan_release_vmalloc
 */
export function kasan_release_vmalloc(
  k: Kernel,
  start: number,
  end: number,
  free_region_start: number,
  free_region_end: number,
): void {
  let first = shadowPages(start, 0).end;
  let last = shadowPages(end, 0).first;
  if (start % (PAGE_SIZE * KASAN_SHADOW_SCALE_SIZE) !== 0 && shadowPages(free_region_start, 0).end < first) {
    first--;
  }
  if (end % (PAGE_SIZE * KASAN_SHADOW_SCALE_SIZE) !== 0 && shadowPages(free_region_end, 0).first > last) {
    last++;
  }
  for (let n = first; n < last; n++) vmallocShadow(k).delete(n);
}
