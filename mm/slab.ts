// SPDX-License-Identifier: GPL-2.0-only
/**
 * What the slab allocator is made of. Mirrors mm/slab.h, include/linux/slab.h and include/linux/slub_def.h (v5.7): flags,
 * struct kmem_cache and its per-CPU and per-node parts, the list of caches.
 *
 * Invariant: this file knows structures only; it calls neither slub.ts nor slab_common.ts, so both may import it.
 * The variables declared here are listed by the file that defines them in C (slab_common.ts, slub.ts).
 * A kmem_cache and a kmem_cache_node are classes here, but each takes a real object of its C size from its own cache.
 *
 * Left out: memory cgroups, NUMA (one node), DMA caches, sysfs kobjects. SLUB_STATS counters are per cache, not per CPU.
 *
 * @module
 */

import { NULL, PAGE_SHIFT, PAGE_SIZE } from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import { array, embed, int, ptr, struct, u32, ulong } from "../kernel/machine/struct.ts";
import { ___GFP_RECLAIMABLE, ___GFP_ZERO, type Gfp } from "../kernel/gfp.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { mutex } from "../kernel/locking/mutex.ts";
import { spinlock_t } from "../kernel/locking/spinlock.ts";
import { KERNEL_STATIC, type KernelStatic } from "../kernel/static.ts";
import { mem_map, NULL_PAGE, type page, page_address, page_list } from "./mm_types.ts";
import { NR_SLAB_RECLAIMABLE, NR_SLAB_UNRECLAIMABLE } from "./mmzone.ts";

// include/linux/slab.h: flags

export const SLAB_CONSISTENCY_CHECKS = 0x0000_0100;
export const SLAB_RED_ZONE = 0x0000_0400;
export const SLAB_POISON = 0x0000_0800;
export const SLAB_HWCACHE_ALIGN = 0x0000_2000;
export const SLAB_CACHE_DMA = 0x0000_4000;
export const SLAB_CACHE_DMA32 = 0x0000_8000;
export const SLAB_STORE_USER = 0x0001_0000;
export const SLAB_PANIC = 0x0004_0000;
export const SLAB_TYPESAFE_BY_RCU = 0x0008_0000;
export const SLAB_MEM_SPREAD = 0x0010_0000;
export const SLAB_TRACE = 0x0020_0000;
export const SLAB_DEBUG_OBJECTS = 0x0040_0000;
export const SLAB_NOLEAKTRACE = 0x0080_0000;
export const SLAB_FAILSLAB = 0x0200_0000;
export const SLAB_ACCOUNT = 0x0400_0000;
export const SLAB_KASAN = 0x0800_0000;
export const SLAB_RECLAIM_ACCOUNT = 0x0002_0000;
/** Internal: objects may be poisoned. */
export const __OBJECT_POISON = 0x8000_0000;

/** What kmalloc(0) returns. */
export const ZERO_SIZE_PTR = 16 as VirtAddr;

/** @mirrors include/linux/slab.h:ZERO_OR_NULL_PTR */
export function ZERO_OR_NULL_PTR(x: VirtAddr): boolean {
  return x <= ZERO_SIZE_PTR;
}

export const ARCH_KMALLOC_MINALIGN = 8;
export const ARCH_SLAB_MINALIGN = 8;
export const KMALLOC_SHIFT_LOW = 3;
export const KMALLOC_SHIFT_HIGH: number = PAGE_SHIFT + 1;
export const KMALLOC_MAX_CACHE_SIZE: number = 2 ** KMALLOC_SHIFT_HIGH;
/** Largest kmalloc(): an order-10 block. */
export const KMALLOC_MAX_SIZE: number = 1024 * PAGE_SIZE;

export const KMALLOC_NORMAL = 0;
export const KMALLOC_RECLAIM = 1;
export const NR_KMALLOC_TYPES = 2;

/** Smallest class of kmalloc(). */
export const KMALLOC_MIN_SIZE: number = 2 ** KMALLOC_SHIFT_LOW;

/** @mirrors include/linux/slab.h:kmalloc_type */
export function kmalloc_type(flags: Gfp): number {
  return (flags & ___GFP_RECLAIMABLE) !== 0 ? KMALLOC_RECLAIM : KMALLOC_NORMAL;
}

/**
 * Number of the class that serves kmalloc(size); 0 for size 0.
 *
 * @mirrors include/linux/slab.h:kmalloc_index
 */
export function kmalloc_index(size: number): number {
  if (size === 0) return 0;
  if (size <= KMALLOC_MIN_SIZE) return KMALLOC_SHIFT_LOW;
  if (size > 64 && size <= 96) return 1;
  if (size > 128 && size <= 192) return 2;
  return 32 - Math.clz32(size - 1);
}

// include/linux/slub_def.h: enum stat_item

export const ALLOC_FASTPATH = 0; // from the CPU slab
export const ALLOC_SLOWPATH = 1;
export const FREE_FASTPATH = 2; // to the CPU slab
export const FREE_SLOWPATH = 3;
export const FREE_FROZEN = 4; // to a slab that belongs to a CPU
export const FREE_ADD_PARTIAL = 5;
export const FREE_REMOVE_PARTIAL = 6; // the last object of a slab on the partial list
export const ALLOC_FROM_PARTIAL = 7; // CPU slab taken from the node's partial list
export const ALLOC_SLAB = 8; // CPU slab from the page allocator
export const ALLOC_REFILL = 9; // CPU freelist refilled from the slab's own
export const ALLOC_NODE_MISMATCH = 10;
export const FREE_SLAB = 11; // slab back to the page allocator
export const CPUSLAB_FLUSH = 12;
export const DEACTIVATE_FULL = 13;
export const DEACTIVATE_EMPTY = 14;
export const DEACTIVATE_TO_HEAD = 15;
export const DEACTIVATE_TO_TAIL = 16;
export const DEACTIVATE_REMOTE_FREES = 17;
export const DEACTIVATE_BYPASS = 18;
export const ORDER_FALLBACK = 19;
export const CMPXCHG_DOUBLE_CPU_FAIL = 20;
export const CMPXCHG_DOUBLE_FAIL = 21;
export const CPU_PARTIAL_ALLOC = 22;
export const CPU_PARTIAL_FREE = 23;
export const CPU_PARTIAL_NODE = 24;
export const CPU_PARTIAL_DRAIN = 25;
export const NR_SLUB_STAT_ITEMS = 26;

/** Names of the counters, as the files of /sys/kernel/slab/<cache> are called. */
export const STAT_NAMES: readonly string[] = [
  "alloc_fastpath",
  "alloc_slowpath",
  "free_fastpath",
  "free_slowpath",
  "free_frozen",
  "free_add_partial",
  "free_remove_partial",
  "alloc_from_partial",
  "alloc_slab",
  "alloc_refill",
  "alloc_node_mismatch",
  "free_slab",
  "cpuslab_flush",
  "deactivate_full",
  "deactivate_empty",
  "deactivate_to_head",
  "deactivate_to_tail",
  "deactivate_remote_frees",
  "deactivate_bypass",
  "order_fallback",
  "cmpxchg_double_cpu_fail",
  "cmpxchg_double_fail",
  "cpu_partial_alloc",
  "cpu_partial_free",
  "cpu_partial_node",
  "cpu_partial_drain",
];

/** A constructor: brings the object at `object` into its initial state once, when its slab is made. */
export type SlabConstructor = (k: Kernel, object: VirtAddr) => void;

/** One CPU's part of a cache. Only that CPU touches it, with interrupts off. @mirrors include/linux/slub_def.h:kmem_cache_cpu */
export class kmem_cache_cpu {
  /** Next free object of `page` for this CPU. */
  freelist: VirtAddr = NULL;
  page: page = NULL_PAGE;
  /** Frozen slabs with free objects, linked by mem_map.partial_next. */
  partial: page = NULL_PAGE;

  /** `tid`: the transaction id; every operation on the freelist adds `tid_step`, so that ids of CPUs never meet. */
  constructor(public tid: number, readonly tid_step: number) {}
}

/** Where KASAN keeps what it knows of an object; 0: nowhere, or at its start. @mirrors include/linux/kasan.h:kasan_cache */
export class kasan_cache {
  alloc_meta_offset = 0;
  free_meta_offset = 0;
}

/** A slab cache. Orders and object counts are packed: order << 16 | objects. @mirrors include/linux/slub_def.h:kmem_cache */
export class kmem_cache {
  // what every allocation reads
  cpu_slab: kmem_cache_cpu[] = [];
  /** Where in a free object the pointer to the next one stands. */
  offset = 0;
  /** Bytes of an object with everything around it. */
  size = 0;
  /** 1 / size. */
  reciprocal_size = 0;
  /** Bytes of an object as its user knows it. */
  object_size = 0;
  flags = 0;
  /** Empty slabs beyond this many partial ones go back to the page allocator. */
  min_partial = 0;
  /** Free objects that a CPU's partial list may hold. */
  cpu_partial = 0;
  oo = 0;
  max = 0;
  /** As `oo`, for the smallest order that holds one object. */
  min = 0;
  allocflags = 0;
  refcount = 0;
  ctor: SlabConstructor | null = null;
  /** End of the object proper; what follows is the allocator's. */
  inuse = 0;
  align = 0;
  red_left_pad = 0;
  name = "";
  useroffset = 0;
  usersize = 0;
  node: kmem_cache_node | null = null;
  readonly kasan_info = new kasan_cache();

  // ours
  /** The emulated object that stands for this structure; in .data for the two boot caches until bootstrap(). */
  addr: VirtAddr = NULL;
  /** Place in `cacheTable`; mem_map.slab_cache holds it + 1. */
  index = -1;
  readonly stat = new Uint32Array(NR_SLUB_STAT_ITEMS);
  /** Names of caches that were merged into this one. */
  readonly aliases: string[] = [];
}

/** sizeof(struct kmem_cache_node): spinlock, list heads and counters with SLUB_DEBUG. */
export const kmem_cache_node_layout = struct("kmem_cache_node", {
  list_lock: u32,
  nr_partial: ulong,
  partial: array(ptr, 2),
  nr_slabs: ulong,
  total_objects: ulong,
  full: array(ptr, 2),
});

const kobject_layout = struct("kobject", {
  name: ptr,
  entry: array(ptr, 2),
  parent: ptr,
  kset: ptr,
  ktype: ptr,
  sd: ptr,
  kref: int,
  state: u32,
});
const work_struct_layout = struct("work_struct", { data: ulong, entry: array(ptr, 2), func: ptr });

const kmem_cache_head = {
  cpu_slab: ptr,
  flags: u32,
  min_partial: ulong,
  size: u32,
  object_size: u32,
  offset: u32,
  cpu_partial: u32,
  oo: u32,
  max: u32,
  min: u32,
  allocflags: u32,
  refcount: int,
  ctor: ptr,
  inuse: u32,
  align: u32,
  red_left_pad: u32,
  name: ptr,
  list: array(ptr, 2),
  kobj: embed(kobject_layout),
  kobj_remove_work: embed(work_struct_layout),
};
const kmem_cache_tail = { useroffset: u32, usersize: u32, node: array(ptr, 1) };

/** sizeof(struct kmem_cache) with SLUB_CPU_PARTIAL and SYSFS, without memory cgroups, one node. */
export const kmem_cache_layout = struct("kmem_cache", { ...kmem_cache_head, ...kmem_cache_tail });

/** The same in a kernel with KASAN. */
export const kmem_cache_kasan_layout = struct("kmem_cache", {
  ...kmem_cache_head,
  kasan_info: embed(struct("kasan_cache", { alloc_meta_offset: int, free_meta_offset: int })),
  ...kmem_cache_tail,
});

// mm/slab.h: enum slab_state

export const DOWN = 0; // nothing works
export const PARTIAL = 1; // kmem_cache_node can be allocated
export const PARTIAL_NODE = 2; // not used by SLUB
export const UP = 3; // kmalloc() works
export const FULL = 4; // everything works

/** How far the allocator has come. @mirrors mm/slab_common.c:slab_state */
export const slab_state: KernelStatic<number> = KERNEL_STATIC<number>("slab_state", () => DOWN);

/** All caches, newest first. @mirrors mm/slab_common.c:slab_caches */
export const slab_caches: KernelStatic<kmem_cache[]> = KERNEL_STATIC("slab_caches", (): kmem_cache[] => []);

/** Held while a cache comes or goes. @mirrors mm/slab_common.c:slab_mutex */
export const slab_mutex: KernelStatic<mutex> = KERNEL_STATIC("slab_mutex", () => new mutex("slab_mutex"));

/** The cache of struct kmem_cache. @mirrors mm/slub.c:boot_kmem_cache */
export const boot_kmem_cache: KernelStatic<kmem_cache> = KERNEL_STATIC(
  "boot_kmem_cache",
  () => new kmem_cache(),
);

/** The cache of struct kmem_cache_node. @mirrors mm/slub.c:boot_kmem_cache_node */
export const boot_kmem_cache_node: KernelStatic<kmem_cache> = KERNEL_STATIC(
  "boot_kmem_cache_node",
  () => new kmem_cache(),
);

/** By kmalloc_type() and index. @mirrors mm/slab_common.c:kmalloc_caches */
export const kmalloc_caches: KernelStatic<(kmem_cache | null)[][]> = KERNEL_STATIC(
  "kmalloc_caches",
  () =>
    Array.from(
      { length: NR_KMALLOC_TYPES },
      () => Array.from({ length: KMALLOC_SHIFT_HIGH + 1 }, (): kmem_cache | null => null),
    ),
);

/** Caches by the number that stands in mem_map.slab_cache, minus 1. @invented a page holds no pointer here */
export const cacheTable: KernelStatic<(kmem_cache | null)[]> = KERNEL_STATIC(
  "cacheTable",
  (): (kmem_cache | null)[] => [],
);

/** Gives a cache its number. @invented see cacheTable */
export function registerCache(k: Kernel, s: kmem_cache): void {
  const table = cacheTable(k);
  const free = table.indexOf(null);
  s.index = free >= 0 ? free : table.length;
  table[s.index] = s;
}

/** Takes the number back. @invented see cacheTable */
export function unregisterCache(k: Kernel, s: kmem_cache): void {
  cacheTable(k)[s.index] = null;
}

export const SLAB_CORE_FLAGS: number = SLAB_HWCACHE_ALIGN | SLAB_CACHE_DMA | SLAB_CACHE_DMA32 | SLAB_PANIC |
  SLAB_TYPESAFE_BY_RCU | SLAB_DEBUG_OBJECTS;
export const SLAB_CACHE_FLAGS: number = SLAB_NOLEAKTRACE | SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT;
/** Flags that a cache keeps. The flags of SLUB debugging are dropped, as by a kernel built without it. */
export const CACHE_CREATE_MASK: number = SLAB_CORE_FLAGS | SLAB_CACHE_FLAGS;
/** Flags that may be asked for. */
export const SLAB_FLAGS_PERMITTED: number = SLAB_CORE_FLAGS | SLAB_RED_ZONE | SLAB_POISON | SLAB_STORE_USER |
  SLAB_TRACE | SLAB_CONSISTENCY_CHECKS | SLAB_MEM_SPREAD | SLAB_CACHE_FLAGS;

/** A line of /proc/slabinfo as numbers. @mirrors mm/slab.h:slabinfo */
export interface slabinfo {
  active_objs: number;
  num_objs: number;
  active_slabs: number;
  num_slabs: number;
  shared_avail: number;
  limit: number;
  batchcount: number;
  shared: number;
  objects_per_slab: number;
  cache_order: number;
}

/** @mirrors mm/slab.h:cache_vmstat_idx */
export function cache_vmstat_idx(s: kmem_cache): number {
  return (s.flags & SLAB_RECLAIM_ACCOUNT) !== 0 ? NR_SLAB_RECLAIMABLE : NR_SLAB_UNRECLAIMABLE;
}

/**
 * Bytes of an object that its user may use.
 *
 * @mirrors mm/slab.h:slab_ksize
 */
export function slab_ksize(s: kmem_cache): number {
  if ((s.flags & (SLAB_RED_ZONE | SLAB_POISON | SLAB_KASAN)) !== 0) return s.object_size;
  if ((s.flags & (SLAB_TYPESAFE_BY_RCU | SLAB_STORE_USER)) !== 0) return s.inuse;
  return s.size;
}

/**
 * The object of the slab at `p` that `x` points at or into; behind the last one, that one.
 *
 * @mirrors include/linux/slub_def.h:nearest_obj
 * @simplified there is no red zone on the left
 */
export function nearest_obj(k: Kernel, cache: kmem_cache, p: page, x: VirtAddr): VirtAddr {
  const start = page_address(p);
  const index = Math.floor((x - start) / cache.size);
  return (start + Math.min(index, mem_map(k).objects[p] - 1) * cache.size) as VirtAddr;
}

/** The slabs of a cache that belong to no CPU. @mirrors mm/slab.h:kmem_cache_node @mirrors mm/slub.c:init_kmem_cache_node */
export class kmem_cache_node {
  readonly list_lock: spinlock_t = new spinlock_t("list_lock", "&n->list_lock");
  nr_partial = 0;
  /** Slabs with free objects; protected by list_lock. */
  readonly partial = new page_list();
  nr_slabs = 0;
  total_objects = 0;

  /** `addr`: the emulated object that stands for this structure. */
  constructor(readonly addr: VirtAddr) {}
}

/** The cache's part on the only node. @mirrors mm/slab.h:get_node */
export function get_node(s: kmem_cache): kmem_cache_node {
  return s.node as kmem_cache_node;
}

/** @mirrors mm/slab.h:slab_want_init_on_alloc @simplified the init_on_alloc boot option is left out */
export function slab_want_init_on_alloc(flags: Gfp, _c: kmem_cache): boolean {
  return (flags & ___GFP_ZERO) !== 0;
}
