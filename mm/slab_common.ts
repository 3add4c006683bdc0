// SPDX-License-Identifier: GPL-2.0-only
/**
 * What all slab allocators share. Mirrors mm/slab_common.c (v5.7): creating, merging and destroying caches, the caches of
 * kmalloc(), large kmalloc(), krealloc() and ksize(), /proc/slabinfo.
 *
 * Invariant: `slab_caches` holds every cache that can be allocated from, newest first. A kmem_cache takes a real object
 * of the cache "kmem_cache", and so fails and is counted like any other.
 *
 * Left out: memory cgroups, sysfs, usercopy checks (the sizes are kept: they stop merging), freelist randomisation.
 *
 * @module
 */

import { NULL, PAGE_OFFSET, PAGE_SIZE } from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import { type Atomic, done, type MaySleep } from "../kernel/machine/effects.ts";
import { panic, WARN_ON, WARN_ON_ONCE } from "../kernel/bug.ts";
import { EBUSY, EINVAL, ENOMEM } from "../kernel/errno.ts";
import { __GFP_COMP, type Colour, type Gfp, gfp, GFP_KERNEL, GFP_NOWAIT } from "../kernel/gfp.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { mutex_lock, mutex_unlock } from "../kernel/locking/mutex.ts";
import { in_interrupt } from "../kernel/preempt.ts";
import { dumpStackLines, KERN_ERR, KERN_WARNING, pr_err, pr_info, printk, report } from "../kernel/printk.ts";
import { might_sleep } from "../kernel/sched/core.ts";
import { KERNEL_STATIC, type StaticKey } from "../kernel/static.ts";
import { trace_kmalloc } from "../kernel/trace/events/kmem.ts";
import { INIT_WORK, schedule_work, work_struct } from "../kernel/workqueue.ts";
import { __should_failslab, failslabRule } from "./failslab.ts";
import { get_order, NULL_PAGE, page_address } from "./mm_types.ts";
import { NR_SLAB_UNRECLAIMABLE } from "./mmzone.ts";
import { alloc_pages } from "./page_alloc.ts";
import {
  ARCH_KMALLOC_MINALIGN,
  ARCH_SLAB_MINALIGN,
  boot_kmem_cache,
  CACHE_CREATE_MASK,
  cacheTable,
  kmalloc_caches,
  KMALLOC_MAX_SIZE,
  KMALLOC_NORMAL,
  KMALLOC_RECLAIM,
  KMALLOC_SHIFT_HIGH,
  KMALLOC_SHIFT_LOW,
  kmalloc_type,
  kmem_cache,
  SLAB_ACCOUNT,
  SLAB_CACHE_DMA,
  SLAB_CACHE_DMA32,
  slab_caches,
  SLAB_FAILSLAB,
  SLAB_FLAGS_PERMITTED,
  SLAB_HWCACHE_ALIGN,
  SLAB_KASAN,
  slab_mutex,
  SLAB_NOLEAKTRACE,
  SLAB_PANIC,
  SLAB_POISON,
  SLAB_RECLAIM_ACCOUNT,
  SLAB_RED_ZONE,
  slab_state,
  SLAB_STORE_USER,
  SLAB_TRACE,
  SLAB_TYPESAFE_BY_RCU,
  type SlabConstructor,
  unregisterCache,
  UP,
  ZERO_OR_NULL_PTR,
  ZERO_SIZE_PTR,
} from "./slab.ts";
import { kasan_kmalloc_large, kasan_krealloc } from "./kasan/common.ts";
import { kasan_cache_shrink, kasan_cache_shutdown } from "./kasan/generic.ts";
import { kmemleak_alloc } from "./kmemleak.ts";
import {
  __kmalloc,
  __kmem_cache_alias,
  __kmem_cache_create,
  __kmem_cache_release,
  __kmem_cache_shrink,
  __kmem_cache_shutdown,
  __ksize,
  get_slabinfo,
  kfree,
  kmem_cache_flags,
  kmem_cache_free,
  kmem_cache_zalloc,
} from "./slub.ts";
import { mod_node_page_state } from "./vmstat.ts";

/** Caches whose slabs still wait for RCU. */
const slab_caches_to_rcu_destroy = KERNEL_STATIC("slab_caches_to_rcu_destroy", (): kmem_cache[] => []);
const slab_caches_to_rcu_destroy_work = KERNEL_STATIC("slab_caches_to_rcu_destroy_work", (k) => {
  const work = new work_struct();
  INIT_WORK(k, work, slab_caches_to_rcu_destroy_workfn);
  return work;
});

export const statics: readonly StaticKey[] = [
  slab_state,
  slab_mutex,
  slab_caches,
  kmalloc_caches,
  cacheTable,
  slab_caches_to_rcu_destroy,
  slab_caches_to_rcu_destroy_work,
];

const SLAB_NEVER_MERGE = SLAB_RED_ZONE | SLAB_POISON | SLAB_STORE_USER | SLAB_TRACE | SLAB_TYPESAFE_BY_RCU |
  SLAB_NOLEAKTRACE | SLAB_FAILSLAB | SLAB_KASAN;
const SLAB_MERGE_SAME = SLAB_RECLAIM_ACCOUNT | SLAB_CACHE_DMA | SLAB_CACHE_DMA32 | SLAB_ACCOUNT;
const cache_line_size = 64;

/** Bytes of an object of the cache. @mirrors mm/slab_common.c:kmem_cache_size */
export function kmem_cache_size(s: kmem_cache): number {
  return s.object_size;
}

/** @mirrors mm/slab_common.c:kmem_cache_sanity_check */
function kmem_cache_sanity_check(k: Kernel, name: string, size: number): number {
  if (name === "" || in_interrupt(k) || size < 8 || size > KMALLOC_MAX_SIZE) {
    pr_err(k, `kmem_cache_create(${name}) integrity check failed`);
    return -EINVAL;
  }
  WARN_ON(k, name.includes(" "));
  return 0;
}

/**
 * Frees the first `nr` objects of the array at `p` one by one.
 *
 * @mirrors mm/slab_common.c:__kmem_cache_free_bulk
 */
export function* __kmem_cache_free_bulk(
  k: Kernel,
  s: kmem_cache | null,
  nr: number,
  p: VirtAddr,
): Atomic<void> {
  for (let i = 0; i < nr; i++) {
    const x = k.ram.loadPtr((p + i * 8) as VirtAddr);
    if (s !== null) yield* kmem_cache_free(k, s, x);
    else yield* kfree(k, x);
  }
}

/** Alignment of objects from what was asked for and the flags. @mirrors mm/slab_common.c:calculate_alignment */
export function calculate_alignment(flags: number, align: number, size: number): number {
  if ((flags & SLAB_HWCACHE_ALIGN) !== 0) {
    let ralign = cache_line_size;
    while (size <= ralign / 2) ralign /= 2;
    align = Math.max(align, ralign);
  }
  align = Math.max(align, ARCH_SLAB_MINALIGN);
  return Math.ceil(align / 8) * 8;
}

/** @mirrors mm/slab_common.c:slab_unmergeable */
export function slab_unmergeable(s: kmem_cache): boolean {
  return (s.flags & SLAB_NEVER_MERGE) !== 0 || s.ctor !== null || s.usersize !== 0 || s.refcount < 0;
}

/**
 * The oldest cache whose objects would do, null when there is none.
 *
 * The caches of kmalloc() never match: they have a usercopy region.
 *
 * @mirrors mm/slab_common.c:find_mergeable
 */
export function find_mergeable(
  k: Kernel,
  wanted: number,
  wantedAlign: number,
  wantedFlags: number,
  name: string,
  ctor: SlabConstructor | null,
): kmem_cache | null {
  if (ctor !== null) return null;
  let size = Math.ceil(wanted / 8) * 8;
  const align = calculate_alignment(wantedFlags, wantedAlign, size);
  size = Math.ceil(size / align) * align;
  const flags = kmem_cache_flags(k, size, wantedFlags, name);
  if ((flags & SLAB_NEVER_MERGE) !== 0) return null;
  const caches = slab_caches(k);
  for (let i = caches.length - 1; i >= 0; i--) {
    const s = caches[i];
    if (slab_unmergeable(s) || size > s.size) continue;
    if ((flags & SLAB_MERGE_SAME) !== (s.flags & SLAB_MERGE_SAME)) continue;
    if (s.size % align !== 0 || s.size - size >= 8) continue;
    return s;
  }
  return null;
}

/** The new cache, or a negative error number. @mirrors mm/slab_common.c:create_cache */
function* create_cache(
  k: Kernel,
  name: string,
  object_size: number,
  align: number,
  flags: number,
  useroffset: number,
  usersize: number,
  ctor: SlabConstructor | null,
): MaySleep<kmem_cache | number> {
  if (WARN_ON(k, useroffset + usersize > object_size)) useroffset = usersize = 0;
  const addr = yield* kmem_cache_zalloc(k, boot_kmem_cache(k), GFP_KERNEL);
  if (addr === NULL) return -ENOMEM;
  const s = new kmem_cache();
  s.addr = addr;
  s.name = name;
  s.size = s.object_size = object_size;
  s.align = align;
  s.ctor = ctor;
  s.useroffset = useroffset;
  s.usersize = usersize;
  const err = yield* __kmem_cache_create(k, s, flags);
  if (err !== 0) {
    yield* kmem_cache_free(k, boot_kmem_cache(k), addr);
    return err;
  }
  s.refcount = 1;
  slab_caches(k).unshift(s);
  return s;
}

/**
 * Creates a cache of which a region of each object may be copied to user space.
 *
 * @mirrors mm/slab_common.c:kmem_cache_create_usercopy
 */
export function* kmem_cache_create_usercopy(
  k: Kernel,
  name: string,
  size: number,
  align: number,
  flags: number,
  useroffset: number,
  usersize: number,
  ctor: SlabConstructor | null,
): MaySleep<kmem_cache | null> {
  let s: kmem_cache | null = null;
  yield* mutex_lock(k, slab_mutex(k));
  let err = kmem_cache_sanity_check(k, name, size);
  if (err === 0 && (flags & ~SLAB_FLAGS_PERMITTED) !== 0) err = -EINVAL;
  if (err === 0) {
    const kept = flags & CACHE_CREATE_MASK;
    if (
      WARN_ON(k, usersize === 0 && useroffset !== 0) ||
      WARN_ON(k, size < usersize || size - usersize < useroffset)
    ) usersize = useroffset = 0;
    if (usersize === 0) s = __kmem_cache_alias(k, name, size, align, kept, ctor);
    if (s === null) {
      const a = calculate_alignment(kept, align, size);
      const made = yield* create_cache(k, name, size, a, kept, useroffset, usersize, ctor);
      if (typeof made === "number") err = made;
      else s = made;
    }
  }
  mutex_unlock(k, slab_mutex(k));
  if (err !== 0) {
    if ((flags & SLAB_PANIC) !== 0) {
      panic(k, `kmem_cache_create: Failed to create slab '${name}'. Error ${err}`);
    }
    printk(k, KERN_WARNING, `kmem_cache_create(${name}) failed with error ${err}`);
    printk(k, KERN_WARNING, dumpStackLines(k).join("\n"));
    return null;
  }
  return s;
}

/**
 * Creates a cache, or shares one whose objects would do.
 *
 * Context: process context. Returns: null on failure, with a line in the log; with SLAB_PANIC, failure is a panic.
 *
 * @mirrors mm/slab_common.c:kmem_cache_create
 */
export function kmem_cache_create(
  k: Kernel,
  name: string,
  size: number,
  align: number,
  flags: number,
  ctor: SlabConstructor | null,
): MaySleep<kmem_cache | null> {
  return kmem_cache_create_usercopy(k, name, size, align, flags, 0, 0, ctor);
}

/**
 * kmem_cache_create() for objects of a struct, with its name, size and alignment.
 *
 * @mirrors include/linux/slab.h:KMEM_CACHE
 */
export function KMEM_CACHE(
  k: Kernel,
  layout: { readonly name: string; readonly size: number; readonly align: number },
  flags: number,
): MaySleep<kmem_cache | null> {
  return kmem_cache_create(k, layout.name, layout.size, layout.align, flags, null);
}

/**
 * Releases caches whose last slabs were given to RCU, once RCU is done with them.
 *
 * @mirrors mm/slab_common.c:slab_caches_to_rcu_destroy_workfn
 */
function* slab_caches_to_rcu_destroy_workfn(k: Kernel): MaySleep<void> {
  yield* mutex_lock(k, slab_mutex(k));
  const to_destroy = slab_caches_to_rcu_destroy(k).splice(0);
  mutex_unlock(k, slab_mutex(k));
  if (to_destroy.length === 0) return;
  yield* k.rcu.rcu_barrier(k);
  for (const s of to_destroy) yield* slab_kmem_cache_release(k, s);
}

/**
 * Takes a cache apart. Returns 0, or -EBUSY when it has objects.
 *
 * Locks: slab_mutex held.
 *
 * @mirrors mm/slab_common.c:shutdown_cache
 */
function* shutdown_cache(k: Kernel, s: kmem_cache): MaySleep<number> {
  yield* kasan_cache_shutdown(k, s);
  if ((yield* __kmem_cache_shutdown(k, s)) !== 0) return -EBUSY;
  const caches = slab_caches(k);
  caches.splice(caches.indexOf(s), 1);
  if ((s.flags & SLAB_TYPESAFE_BY_RCU) !== 0) {
    slab_caches_to_rcu_destroy(k).push(s);
    yield* schedule_work(k, slab_caches_to_rcu_destroy_work(k));
  } else {
    yield* slab_kmem_cache_release(k, s);
  }
  return 0;
}

/** @mirrors mm/slab_common.c:slab_kmem_cache_release */
export function* slab_kmem_cache_release(k: Kernel, s: kmem_cache): Atomic<void> {
  yield* __kmem_cache_release(k, s);
  unregisterCache(k, s);
  yield* kmem_cache_free(k, boot_kmem_cache(k), s.addr);
}

/**
 * Destroys a cache that has no objects; one with objects is reported and stays. A merged cache loses one user. At level
 * v6.12 it waits for what kvfree_rcu() holds first: some of it may be the cache's.
 *
 * Context: process context.
 *
 * @mirrors mm/slab_common.c:kmem_cache_destroy
 */
export function* kmem_cache_destroy(k: Kernel, s: kmem_cache | null): MaySleep<void> {
  if (s === null) return;
  if (k.kvfree.kvfree_rcu_barrier !== null) yield* k.kvfree.kvfree_rcu_barrier(k);
  yield* mutex_lock(k, slab_mutex(k));
  s.refcount--;
  if (s.refcount === 0 && (yield* shutdown_cache(k, s)) !== 0) {
    const title = `kmem_cache_destroy ${s.name}: Slab cache still has objects`;
    report(k, KERN_ERR, title, [title, ...dumpStackLines(k)]);
  }
  mutex_unlock(k, slab_mutex(k));
}

/**
 * Gives back as many slabs as possible. Returns 0 when none is left.
 *
 * Context: process context.
 *
 * @mirrors mm/slab_common.c:kmem_cache_shrink
 */
export function* kmem_cache_shrink(k: Kernel, cachep: kmem_cache): MaySleep<number> {
  might_sleep(k);
  yield* kasan_cache_shrink(k, cachep);
  return yield* __kmem_cache_shrink(k, cachep);
}

/** Whether kmalloc() works yet. @mirrors mm/slab_common.c:slab_is_available */
export function slab_is_available(k: Kernel): boolean {
  return slab_state(k) >= UP;
}

/**
 * Sets up a cache while the allocator itself is not up.
 *
 * @mirrors mm/slab_common.c:create_boot_cache
 */
export function* create_boot_cache(
  k: Kernel,
  s: kmem_cache,
  name: string,
  size: number,
  flags: number,
  useroffset: number,
  usersize: number,
): MaySleep<void> {
  s.name = name;
  s.size = s.object_size = size;
  // Powers of two are aligned to themselves, whatever else.
  const powerOfTwo = (size & (size - 1)) === 0;
  s.align = calculate_alignment(flags, powerOfTwo ? Math.max(ARCH_KMALLOC_MINALIGN, size) : 8, size);
  s.useroffset = useroffset;
  s.usersize = usersize;
  const err = yield* __kmem_cache_create(k, s, flags);
  if (err !== 0) panic(k, `Creation of kmalloc slab ${name} size=${size} failed. Reason ${err}`);
  s.refcount = -1; // not merged while booting
}

/** @mirrors mm/slab_common.c:create_kmalloc_cache */
function* create_kmalloc_cache(
  k: Kernel,
  name: string,
  size: number,
  flags: number,
  useroffset: number,
  usersize: number,
): MaySleep<kmem_cache> {
  const addr = yield* kmem_cache_zalloc(k, boot_kmem_cache(k), GFP_NOWAIT);
  if (addr === NULL) panic(k, `Out of memory when creating slab ${name}`);
  const s = new kmem_cache();
  s.addr = addr;
  yield* create_boot_cache(k, s, name, size, flags, useroffset, usersize);
  slab_caches(k).unshift(s);
  s.refcount = 1;
  return s;
}

/** Index of the cache for sizes up to 192, by (size - 1) / 8. @mirrors mm/slab_common.c:size_index */
const size_index: readonly number[] = [
  [3, 1], // 8
  [4, 1], // 16
  [5, 2], // 24, 32
  [6, 4], // 40 ... 64
  [1, 4], // 72 ... 96
  [7, 4], // 104 ... 128
  [2, 8], // 136 ... 192
].flatMap(([index, count]) => Array<number>(count).fill(index));

/**
 * The cache that serves kmalloc(size); null for size 0.
 *
 * @mirrors mm/slab_common.c:kmalloc_slab
 */
export function kmalloc_slab(k: Kernel, size: number, flags: Gfp): kmem_cache | null {
  if (size === 0) return null;
  const index = size <= 192 ? size_index[(size - 1) >>> 3] : 32 - Math.clz32(size - 1);
  return kmalloc_caches(k)[kmalloc_type(flags)][index];
}

const KMALLOC_SIZES: readonly number[] = [0, 96, 192, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192];
const KMALLOC_PREFIX: readonly string[] = ["kmalloc-", "kmalloc-rcl-"];

/** Name and size of the kmalloc cache of a type and index. @mirrors mm/slab_common.c:kmalloc_info */
export function kmalloc_info(type: number, idx: number): { name: string; size: number } {
  const size = KMALLOC_SIZES[idx];
  const short = size < 1024 ? `${size}` : `${size / 1024}k`;
  return { name: KMALLOC_PREFIX[type] + short, size };
}

/**
 * Adapts size_index to a smallest class above 8, which is for machines that want larger alignments.
 *
 * @mirrors mm/slab_common.c:setup_kmalloc_cache_index_table (empty)
 */
export function setup_kmalloc_cache_index_table(_k: Kernel): void {}

/** @mirrors mm/slab_common.c:new_kmalloc_cache */
function* new_kmalloc_cache(k: Kernel, idx: number, type: number, flags: number): MaySleep<void> {
  if (type === KMALLOC_RECLAIM) flags |= SLAB_RECLAIM_ACCOUNT;
  const { name, size } = kmalloc_info(type, idx);
  kmalloc_caches(k)[type][idx] = yield* create_kmalloc_cache(k, name, size, flags, 0, size);
}

/**
 * Creates the caches of kmalloc(); 96 and 192 follow the power of two below them.
 *
 * @mirrors mm/slab_common.c:create_kmalloc_caches
 */
export function* create_kmalloc_caches(k: Kernel, flags: number): MaySleep<void> {
  for (let type = KMALLOC_NORMAL; type <= KMALLOC_RECLAIM; type++) {
    for (let i = KMALLOC_SHIFT_LOW; i <= KMALLOC_SHIFT_HIGH; i++) {
      yield* new_kmalloc_cache(k, i, type, flags);
      if (i === 6) yield* new_kmalloc_cache(k, 1, type, flags);
      if (i === 7) yield* new_kmalloc_cache(k, 2, type, flags);
    }
  }
  slab_state.set(k, UP);
}

/** Whole pages for a request that is too large for a cache. @mirrors mm/slab_common.c:kmalloc_order */
function* kmalloc_order(k: Kernel, size: number, gfpflags: Gfp, order: number): MaySleep<VirtAddr> {
  const flags = gfp(gfpflags, __GFP_COMP);
  const p = yield* alloc_pages(k, flags, order);
  const ret = p === NULL_PAGE ? NULL : page_address(p);
  if (ret !== NULL) mod_node_page_state(k, NR_SLAB_UNRECLAIMABLE, 1 << order);
  yield* kasan_kmalloc_large(k, ret, size, flags);
  if (k.config.kmemleak) kmemleak_alloc(k, ret, size, 1, flags);
  return ret;
}

/** @mirrors mm/slab_common.c:kmalloc_order_trace */
function* kmalloc_order_trace(k: Kernel, size: number, flags: Gfp, order: number): MaySleep<VirtAddr> {
  const ret = yield* kmalloc_order(k, size, flags, order);
  trace_kmalloc(k, ret, size, PAGE_SIZE * 2 ** order, flags);
  return ret;
}

/**
 * kmalloc() above 8 KiB: a block of pages, known to no cache.
 *
 * @mirrors include/linux/slab.h:kmalloc_large
 */
export function kmalloc_large<F extends Gfp>(k: Kernel, size: number, flags: F): Colour<F, VirtAddr> {
  return kmalloc_order_trace(k, size, flags, large_order(size)) as Colour<F, VirtAddr>;
}

/** get_order() for sizes that may be beyond all memory. @invented 2^52 pages do not fit into 32 bits */
function large_order(size: number): number {
  return size > KMALLOC_MAX_SIZE ? Math.ceil(Math.log2(size / PAGE_SIZE)) : get_order(size);
}

// /proc/slabinfo

/** @mirrors mm/slab_common.c:print_slabinfo_header */
function print_slabinfo_header(): string[] {
  return [
    "slabinfo - version: 2.1",
    "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>" +
    " : tunables <limit> <batchcount> <sharedfactor>" +
    " : slabdata <active_slabs> <num_slabs> <sharedavail>",
  ];
}

function lu(value: number, width: number): string {
  return String(value).padStart(width);
}

/** @mirrors mm/slab_common.c:cache_show */
function cache_show(k: Kernel, s: kmem_cache): string {
  const i = get_slabinfo(k, s);
  return `${s.name.padEnd(17)} ${lu(i.active_objs, 6)} ${lu(i.num_objs, 6)} ${lu(s.size, 6)} ` +
    `${lu(i.objects_per_slab, 4)} ${lu(1 << i.cache_order, 4)}` +
    ` : tunables ${lu(i.limit, 4)} ${lu(i.batchcount, 4)} ${lu(i.shared, 4)}` +
    ` : slabdata ${lu(i.active_slabs, 6)} ${lu(i.num_slabs, 6)} ${lu(i.shared_avail, 6)}`;
}

/**
 * The lines of /proc/slabinfo. Changes nothing.
 *
 * @mirrors mm/slab_common.c:slab_show
 */
export function slabinfo_show(k: Kernel): string[] {
  return [...print_slabinfo_header(), ...slab_caches(k).map((s) => cache_show(k, s))];
}

/**
 * Prints the caches that hold memory nobody can reclaim; the OOM killer wants to know.
 *
 * @mirrors mm/slab_common.c:dump_unreclaimable_slab
 */
export function dump_unreclaimable_slab(k: Kernel): void {
  pr_info(k, "Unreclaimable slab info:");
  pr_info(k, "Name                      Used          Total");
  for (const s of slab_caches(k)) {
    if ((s.flags & SLAB_RECLAIM_ACCOUNT) !== 0) continue;
    const i = get_slabinfo(k, s);
    if (i.num_objs === 0) continue;
    const used = Math.floor((i.active_objs * s.size) / 1024);
    const total = Math.floor((i.num_objs * s.size) / 1024);
    pr_info(k, `${s.name.padEnd(17)} ${lu(used, 10)}KB ${lu(total, 10)}KB`);
  }
}

// Reallocation

/** @mirrors mm/slab_common.c:__do_krealloc */
function* __do_krealloc(k: Kernel, p: VirtAddr, new_size: number, flags: Gfp): MaySleep<VirtAddr> {
  const ks = ZERO_OR_NULL_PTR(p) ? 0 : ksize(k, p);
  if (p !== NULL && ks >= new_size) {
    yield* kasan_krealloc(k, p, new_size, flags);
    return p;
  }
  const ret = yield* __kmalloc(k, new_size, flags);
  if (ret !== NULL && ks !== 0) k.ram.rawCopy(p - PAGE_OFFSET, ret - PAGE_OFFSET, ks);
  return ret;
}

/**
 * Makes an object `new_size` bytes large: in place if it fits, else somewhere else with the contents copied. Size 0 frees.
 *
 * Returns: NULL without memory; the object is then as it was.
 *
 * @mirrors mm/slab_common.c:krealloc
 */
export function krealloc<F extends Gfp>(
  k: Kernel,
  p: VirtAddr,
  new_size: number,
  flags: F,
): Colour<F, VirtAddr> {
  return do_krealloc(k, p, new_size, flags) as Colour<F, VirtAddr>;
}

function* do_krealloc(k: Kernel, p: VirtAddr, new_size: number, flags: Gfp): MaySleep<VirtAddr> {
  if (new_size === 0) {
    yield* kfree(k, p);
    return ZERO_SIZE_PTR;
  }
  const ret = yield* __do_krealloc(k, p, new_size, flags);
  if (ret !== NULL && p !== ret) yield* kfree(k, p);
  return ret;
}

/** Zeroes all of an object, then frees it. @mirrors mm/slab_common.c:kzfree */
export function kzfree(k: Kernel, p: VirtAddr): Atomic<void> {
  if (ZERO_OR_NULL_PTR(p)) return done(undefined);
  k.ram.rawFill(p - PAGE_OFFSET, ksize(k, p), 0);
  return kfree(k, p);
}

/**
 * Bytes that the object really has; all of them are valid from now on.
 *
 * Fails: 0 for an object that is not valid, which is reported.
 *
 * @mirrors mm/slab_common.c:ksize
 */
export function ksize(k: Kernel, objp: VirtAddr): number {
  if (WARN_ON_ONCE(k, objp === NULL)) return 0;
  if (objp === ZERO_SIZE_PTR) return 0;
  const phys = k.ram.translate(objp);
  if (phys < 0 || !k.ram.isValid(phys, 1)) {
    k.ram.load8(objp);
    return 0;
  }
  const size = __ksize(k, objp);
  k.ram.unpoison(objp - PAGE_OFFSET, size);
  return size;
}

/** True when the allocation must fail. @mirrors mm/slab_common.c:should_failslab */
export function should_failslab(k: Kernel, s: kmem_cache, gfpflags: Gfp): boolean {
  return failslabRule(k, s, gfpflags) || __should_failslab(k, s, gfpflags);
}
