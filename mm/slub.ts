// SPDX-License-Identifier: GPL-2.0-only
/**
 * The slab allocator. Mirrors mm/slub.c (v5.7) and the inline allocation functions of include/linux/slab.h.
 *
 * Free objects of a slab are linked through themselves: the pointer at `s.offset` of each is real bytes in RAM. A frozen
 * slab belongs to one CPU, which alone takes objects from it; anybody may give objects back to it. Slabs that belong to
 * no CPU and have free objects are on the node's partial list, under list_lock; full slabs are on no list.
 *
 * Invariant: between two points this file is indivisible, so the fast paths need no loop; where a list_lock is waited
 * for, others do come in, and the compare-and-swap on (freelist, counters) of a slab is compared and repeated as in C.
 *
 * Left out: SLUB debugging (slub_debug=), the sysfs files, NUMA, memory cgroups, freelist randomisation and hardening,
 * boot parameters. Double and invalid frees are found by the live table (slab_live.ts) in every build.
 *
 * @module
 */

import {
  formatAddr,
  NULL,
  PAGE_OFFSET,
  PAGE_SHIFT,
  PAGE_SIZE,
  VMEMMAP_START,
} from "../kernel/machine/addr.ts";
import type { IrqFlags, VirtAddr } from "../kernel/machine/brand.ts";
import { type Atomic, done, doneVoid, type MaySleep, STEP } from "../kernel/machine/effects.ts";
import { POINT_ALLOC, pt } from "../kernel/machine/points.ts";
import { BUG_ON, page_fault_oops, WARN_ON, WARN_ON_ONCE, WARN_ONCE } from "../kernel/bug.ts";
import { debug_check_no_obj_freed } from "../kernel/debugobjects.ts";
import { for_each_online_cpu, nr_cpu_ids } from "../kernel/cpumask.ts";
import { EINVAL } from "../kernel/errno.ts";
import {
  ___GFP_COMP,
  ___GFP_DIRECT_RECLAIM,
  ___GFP_KSWAPD_RECLAIM,
  ___GFP_NOFAIL,
  ___GFP_NOMEMALLOC,
  ___GFP_NORETRY,
  ___GFP_NOWARN,
  ___GFP_RECLAIMABLE,
  ___GFP_ZERO,
  __GFP_ZERO,
  type Colour,
  type Gfp,
  gfp,
  GFP_KERNEL,
  GFP_NOWAIT,
  gfpflags_allow_blocking,
  show_gfp_flags,
} from "../kernel/gfp.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { mutex_lock, mutex_unlock } from "../kernel/locking/mutex.ts";
import {
  lockdep_assert_held,
  spin_lock,
  spin_lock_irq,
  spin_lock_irqsave,
  spin_unlock,
  spin_unlock_irq,
  spin_unlock_irqrestore,
} from "../kernel/locking/spinlock.ts";
import {
  irqs_disabled,
  local_irq_disable,
  local_irq_enable,
  local_irq_restore,
  local_irq_save,
  preempt_disable,
  preempt_enable,
  smp_processor_id,
} from "../kernel/preempt.ts";
import { dumpStackLines, KERN_ERR, pr_info, pr_warn, report } from "../kernel/printk.ts";
import { ___ratelimit, ratelimit_state } from "../kernel/ratelimit.ts";
import { current, might_sleep } from "../kernel/sched/core.ts";
import { smp_call_function_single } from "../kernel/smp.ts";
import { KERNEL_STATIC, type StaticKey } from "../kernel/static.ts";
import {
  trace_kfree,
  trace_kmalloc,
  trace_kmem_cache_alloc,
  trace_kmem_cache_free,
} from "../kernel/trace/events/kmem.ts";
import { failslabArmed } from "./failslab.ts";
import { gfp_allowed_mask, GFP_CONSTRAINT_MASK, GFP_RECLAIM_MASK, GFP_SLAB_BUG_MASK } from "./internal.ts";
import {
  get_order,
  list_add,
  list_add_tail,
  list_del,
  mem_map,
  type mem_map_t,
  NULL_PAGE,
  type page,
  page_address,
  page_list,
  PAGE_USE_SLAB,
  PG_slab,
} from "./mm_types.ts";
import { __free_pages, alloc_pages } from "./page_alloc.ts";
import { MAX_ORDER, NR_SLAB_UNRECLAIMABLE, PAGE_ALLOC_COSTLY_ORDER } from "./mmzone.ts";
import {
  __OBJECT_POISON,
  ALLOC_FASTPATH,
  ALLOC_FROM_PARTIAL,
  ALLOC_REFILL,
  ALLOC_SLAB,
  ALLOC_SLOWPATH,
  boot_kmem_cache,
  boot_kmem_cache_node,
  cache_vmstat_idx,
  cacheTable,
  CMPXCHG_DOUBLE_FAIL,
  CPU_PARTIAL_ALLOC,
  CPU_PARTIAL_DRAIN,
  CPU_PARTIAL_FREE,
  CPU_PARTIAL_NODE,
  CPUSLAB_FLUSH,
  DEACTIVATE_BYPASS,
  DEACTIVATE_EMPTY,
  DEACTIVATE_FULL,
  DEACTIVATE_REMOTE_FREES,
  DEACTIVATE_TO_HEAD,
  DEACTIVATE_TO_TAIL,
  DOWN,
  FREE_ADD_PARTIAL,
  FREE_FASTPATH,
  FREE_FROZEN,
  FREE_REMOVE_PARTIAL,
  FREE_SLAB,
  FREE_SLOWPATH,
  FULL,
  get_node,
  KMALLOC_MAX_CACHE_SIZE,
  type kmem_cache,
  kmem_cache_cpu,
  kmem_cache_kasan_layout,
  kmem_cache_layout,
  kmem_cache_node,
  kmem_cache_node_layout,
  ORDER_FALLBACK,
  PARTIAL,
  registerCache,
  slab_caches,
  SLAB_HWCACHE_ALIGN,
  SLAB_KASAN,
  slab_ksize,
  slab_mutex,
  SLAB_POISON,
  SLAB_RECLAIM_ACCOUNT,
  SLAB_RED_ZONE,
  slab_state,
  SLAB_STORE_USER,
  SLAB_TYPESAFE_BY_RCU,
  slab_want_init_on_alloc,
  type SlabConstructor,
  type slabinfo,
  unregisterCache,
  ZERO_OR_NULL_PTR,
  ZERO_SIZE_PTR,
} from "./slab.ts";
import {
  __kmem_cache_free_bulk,
  create_boot_cache,
  create_kmalloc_caches,
  find_mergeable,
  kmalloc_large,
  kmalloc_slab,
  setup_kmalloc_cache_index_table,
  should_failslab,
} from "./slab_common.ts";
import {
  kasan_cache_create,
  kasan_init_slab_obj,
  kasan_kfree_large,
  kasan_kmalloc,
  kasan_poison_object_data,
  kasan_poison_slab,
  kasan_slab_alloc,
  kasan_slab_free,
  kasan_unpoison_object_data,
} from "./kasan/common.ts";
import { kmemleak_alloc_recursive, kmemleak_free, kmemleak_free_recursive } from "./kmemleak.ts";
import { mod_node_page_state } from "./vmstat.ts";

/** Partial slabs that a node keeps at least, and at most, whatever the object size. */
const MIN_PARTIAL = 5;
const MAX_PARTIAL = 10;

const OO_SHIFT = 16;
const OO_MASK = (1 << OO_SHIFT) - 1;
/** mem_map.objects has 15 bits in Linux. */
const MAX_OBJS_PER_PAGE = 32767;

const cache_line_size = 64;

/** sizeof(struct track): where an object was allocated or freed, with SLUB debugging. */
const TRACK_SIZE = 152;

/** No node wanted; there is only one. */
const NUMA_NO_NODE = -1;

/** A slab that waits for a grace period: where its rcu_head stands. @invented struct page is not in emulated RAM */
class slab_rcu_head {
  page: page = NULL_PAGE;
  constructor(readonly addr: VirtAddr) {}
}

/** Heads that are not in use. */
const idleRcuHeads = KERNEL_STATIC("idleRcuHeads", (): slab_rcu_head[] => []);

/** At most 10 reports of an allocation that failed in 5 seconds. */
const slub_oom_rs = KERNEL_STATIC("slub_oom_rs", () => new ratelimit_state(5e9, 10));

export const statics: readonly StaticKey[] = [
  boot_kmem_cache,
  boot_kmem_cache_node,
  idleRcuHeads,
  slub_oom_rs,
];

/**
 * Whether CPUs keep lists of partial slabs: not on the uniprocessor kernel, which is the one with tiny RCU.
 *
 * @invented in Linux init/Kconfig decides it when the kernel is built
 */
export function CONFIG_SLUB_CPU_PARTIAL(k: Kernel): boolean {
  return !(k.config.cpus === 1 && k.config.rcu === "tiny");
}

/** @mirrors mm/slub.c:kmem_cache_has_cpu_partial */
function kmem_cache_has_cpu_partial(k: Kernel, _s: kmem_cache): boolean {
  return CONFIG_SLUB_CPU_PARTIAL(k);
}

/** @mirrors mm/slub.c:stat @simplified one counter per cache, not one per CPU */
function stat(s: kmem_cache, si: number): void {
  s.stat[si]++;
}

/** This CPU's part of the cache. @mirrors include/linux/percpu-defs.h:raw_cpu_ptr */
function raw_cpu_ptr(k: Kernel, s: kmem_cache): kmem_cache_cpu {
  return s.cpu_slab[k.cpu.id];
}

// Core slab cache functions

/**
 * The free object after `object`: the bytes that stand there, whatever they are.
 *
 * Fails: an object pointer that somebody overwrote and that points outside RAM is a page fault here, as in C.
 *
 * @mirrors mm/slub.c:get_freepointer
 */
export function get_freepointer(k: Kernel, s: kmem_cache, object: VirtAddr): VirtAddr {
  const phys = object - PAGE_OFFSET + s.offset;
  if (!(phys >= 0 && phys < k.ram.size)) page_fault_oops(k, object + s.offset, false);
  return k.ram.rawLoadPtr(phys);
}

/** @mirrors mm/slub.c:set_freepointer */
function set_freepointer(k: Kernel, s: kmem_cache, object: VirtAddr, fp: VirtAddr): void {
  k.ram.rawStorePtr(object - PAGE_OFFSET + s.offset, fp);
}

/** Number of the object at `p` in the slab at `addr`. @mirrors mm/slub.c:slab_index */
export function slab_index(p: VirtAddr, s: kmem_cache, addr: VirtAddr): number {
  return (p - addr) / s.size;
}

/** @mirrors mm/slub.c:order_objects */
function order_objects(order: number, size: number): number {
  return Math.floor((PAGE_SIZE << order) / size);
}

/** @mirrors mm/slub.c:oo_make */
function oo_make(order: number, size: number): number {
  return (order << OO_SHIFT) + order_objects(order, size);
}

/** @mirrors mm/slub.c:oo_order */
export function oo_order(x: number): number {
  return x >>> OO_SHIFT;
}

/** @mirrors mm/slub.c:oo_objects */
export function oo_objects(x: number): number {
  return x & OO_MASK;
}

/** frozen:1, objects:15, inuse:16 as one number. @mirrors include/linux/mm_types.h:page.counters */
function page_counters(m: mem_map_t, p: page): number {
  return m.frozen[p] * 2 ** 31 + m.objects[p] * 2 ** 16 + m.inuse[p];
}

/**
 * Replaces (freelist, counters) of a slab if nobody changed them. False when somebody did.
 *
 * @mirrors mm/slub.c:cmpxchg_double_slab
 * @simplified indivisible without a lock; __cmpxchg_double_slab(), which wants interrupts off, is the same here
 */
function cmpxchg_double_slab(
  m: mem_map_t,
  s: kmem_cache,
  p: page,
  freelist_old: number,
  counters_old: number,
  freelist_new: number,
  inuse_new: number,
  frozen_new: number,
): boolean {
  if (m.freelist[p] === freelist_old && page_counters(m, p) === counters_old) {
    m.freelist[p] = freelist_new;
    m.inuse[p] = inuse_new;
    m.frozen[p] = frozen_new;
    return true;
  }
  stat(s, CMPXCHG_DOUBLE_FAIL);
  return false;
}

/**
 * Numbers of the objects on a slab's own freelist.
 *
 * @mirrors mm/slub.c:get_map
 * @simplified stops at a cycle, in which C would stay
 */
function get_map(k: Kernel, s: kmem_cache, p: page): Set<number> {
  const map = new Set<number>();
  for (let o = mem_map(k).freelist[p] as VirtAddr; o !== NULL; o = get_freepointer(k, s, o)) {
    const index = slab_index(o, s, page_address(p));
    if (map.has(index)) break;
    map.add(index);
  }
  return map;
}

/** Address of a page's struct page. @mirrors include/asm-generic/memory_model.h:pfn_to_page */
function struct_page(p: page): string {
  return formatAddr(VMEMMAP_START + p * 64);
}

/**
 * Reports something wrong with a slab as a whole; `more` follows the call trace.
 *
 * @mirrors mm/slub.c:slab_err
 */
function slab_err(k: Kernel, s: kmem_cache, p: page, text: string, more: readonly string[]): void {
  const m = mem_map(k);
  const title = `BUG ${s.name} (Not tainted): ${text}`;
  report(k, KERN_ERR, title, [
    "=".repeat(77),
    title,
    "-".repeat(77),
    "",
    `INFO: Slab 0x${struct_page(p)} objects=${m.objects[p]} used=${m.inuse[p]} ` +
    `fp=0x${formatAddr(m.freelist[p])} flags=0x${m.flags[p].toString(16).padStart(4, "0")}`,
    ...dumpStackLines(k),
    ...more,
  ]);
}

/** @mirrors mm/slub.c:slabs_node */
function slabs_node(s: kmem_cache): number {
  return get_node(s).nr_slabs;
}

/** @mirrors mm/slub.c:inc_slabs_node */
function inc_slabs_node(s: kmem_cache, objects: number): void {
  const n = s.node;
  // The very first slab is made before there is a node structure; early_kmem_cache_node_alloc() counts it.
  if (n === null) return;
  n.nr_slabs++;
  n.total_objects += objects;
}

/** @mirrors mm/slub.c:dec_slabs_node */
function dec_slabs_node(s: kmem_cache, objects: number): void {
  const n = get_node(s);
  n.nr_slabs--;
  n.total_objects -= objects;
}

/** Flags with what the boot line adds. @mirrors mm/slub.c:kmem_cache_flags @simplified no slub_debug= */
export function kmem_cache_flags(_k: Kernel, _object_size: number, flags: number, _name: string): number {
  return flags;
}

/** True when the large object must not be freed. @mirrors mm/slub.c:kfree_hook */
function kfree_hook(k: Kernel, x: VirtAddr): boolean {
  if (k.config.kmemleak) kmemleak_free(k, x);
  return kasan_kfree_large(k, x);
}

// Hooks for other subsystems

/** True when the object must not be freed. @mirrors mm/slub.c:slab_free_hook */
function slab_free_hook(k: Kernel, s: kmem_cache, p: page, x: VirtAddr): boolean {
  if (k.config.kmemleak) kmemleak_free_recursive(k, x, s.flags);
  if (k.config.debugObjects) debug_check_no_obj_freed(k, x, s.object_size);
  return kasan_slab_free(k, s, p, x);
}

/** @mirrors mm/slub.c:setup_object */
function setup_object(k: Kernel, s: kmem_cache, object: VirtAddr): VirtAddr {
  kasan_init_slab_obj(k, s, object);
  if (s.ctor !== null) {
    kasan_unpoison_object_data(k, s, object);
    s.ctor(k, object);
    kasan_poison_object_data(k, s, object);
  }
  return object;
}

// Slab allocation and freeing

/** @mirrors mm/slab.h:charge_slab_page */
function charge_slab_page(k: Kernel, order: number, s: kmem_cache): void {
  mod_node_page_state(k, cache_vmstat_idx(s), 1 << order);
}

/** @mirrors mm/slab.h:uncharge_slab_page */
function uncharge_slab_page(k: Kernel, order: number, s: kmem_cache): void {
  mod_node_page_state(k, cache_vmstat_idx(s), -(1 << order));
}

/**
 * The cache that an object is really from; null when it is no slab object.
 *
 * @mirrors mm/slab.h:cache_from_obj
 * @simplified always checked, as with SLAB_FREELIST_HARDENED or SLUB debugging
 */
function cache_from_obj(k: Kernel, s: kmem_cache, p: page): kmem_cache | null {
  const m = mem_map(k);
  if (m.slab_cache[p] === s.index + 1) return s;
  if ((m.flags[p] & PG_slab) === 0) {
    WARN_ONCE(k, true, "virt_to_cache: Object is not a Slab page!", "virt_to_cache");
    return null;
  }
  const cachep = slab_cache(k, m, p);
  WARN_ONCE(
    k,
    true,
    `cache_from_obj: Wrong slab cache. ${s.name} but object is from ${cachep.name}`,
    "wrong cache",
  );
  return cachep;
}

/** @mirrors mm/slub.c:alloc_slab_page */
function* alloc_slab_page(k: Kernel, s: kmem_cache, flags: Gfp, oo: number): MaySleep<page> {
  const order = oo_order(oo);
  const p = yield* alloc_pages(k, flags, order);
  if (p !== NULL_PAGE) charge_slab_page(k, order, s);
  return p;
}

/**
 * Makes a slab: pages, freelist in ascending order, constructors; frozen and all in use.
 *
 * Context: interrupts off; on during the page allocation if it may sleep, so the CPU may be another one afterwards.
 * Returns: NULL_PAGE without memory.
 *
 * @mirrors mm/slub.c:allocate_slab
 */
function* allocate_slab(k: Kernel, s: kmem_cache, gfpflags: Gfp): MaySleep<page> {
  let oo = s.oo;
  let flags = (gfpflags & gfp_allowed_mask(k)) as Gfp;
  const blocking = gfpflags_allow_blocking(flags);
  if (blocking) local_irq_enable(k);
  flags = gfp(flags, s.allocflags as Gfp);

  // A high order is tried without effort first; the smallest order that does then gets the caller's own flags.
  let alloc_gfp = (flags | ___GFP_NOWARN | ___GFP_NORETRY) & ~___GFP_NOFAIL;
  if ((alloc_gfp & ___GFP_DIRECT_RECLAIM) !== 0 && oo_order(oo) > oo_order(s.min)) {
    alloc_gfp |= ___GFP_NOMEMALLOC;
    alloc_gfp &= ~(___GFP_DIRECT_RECLAIM | ___GFP_KSWAPD_RECLAIM | ___GFP_NOFAIL);
  }
  let p = yield* alloc_slab_page(k, s, alloc_gfp as Gfp, oo);
  if (p === NULL_PAGE) {
    oo = s.min;
    p = yield* alloc_slab_page(k, s, flags, oo);
    if (p !== NULL_PAGE) stat(s, ORDER_FALLBACK);
  }
  if (p !== NULL_PAGE) setup_slab(k, s, p, oo_objects(oo));
  if (blocking) local_irq_disable(k);
  if (p !== NULL_PAGE) inc_slabs_node(s, oo_objects(oo));
  return p;
}

/** Turns fresh pages into a slab. @invented the middle of allocate_slab() */
function setup_slab(k: Kernel, s: kmem_cache, p: page, objects: number): void {
  const m = mem_map(k);
  m.objects[p] = objects;
  m.slab_cache[p] = s.index + 1;
  m.flags[p] |= PG_slab;
  m.use[p] = PAGE_USE_SLAB;
  kasan_poison_slab(k, p);

  const start = page_address(p);
  let object = setup_object(k, s, start);
  m.freelist[p] = object;
  for (let idx = 0; idx < objects - 1; idx++) {
    const next = setup_object(k, s, (object + s.size) as VirtAddr);
    set_freepointer(k, s, object, next);
    object = next;
  }
  set_freepointer(k, s, object, NULL);
  m.inuse[p] = objects;
  m.frozen[p] = 1;
}

/** @mirrors mm/slub.c:new_slab */
function* new_slab(k: Kernel, s: kmem_cache, flags: Gfp): MaySleep<page> {
  const invalid_mask = flags & GFP_SLAB_BUG_MASK;
  if (invalid_mask !== 0) {
    const fixed = flags & ~GFP_SLAB_BUG_MASK;
    pr_warn(
      k,
      `Unexpected gfp: ${hex(invalid_mask)} (${show_gfp_flags(invalid_mask)}). ` +
        `Fixing up to gfp: ${hex(fixed)} (${show_gfp_flags(fixed)}). Fix your code!`,
    );
    pr_warn(k, dumpStackLines(k).join("\n"));
  }
  return yield* allocate_slab(k, s, (flags & (GFP_RECLAIM_MASK | GFP_CONSTRAINT_MASK)) as Gfp);
}

/** A flag word as %#x prints it. @invented printk formats */
function hex(flags: number): string {
  return "0x" + (flags >>> 0).toString(16);
}

/** @mirrors mm/slub.c:__free_slab */
function __free_slab(k: Kernel, s: kmem_cache, p: page): Atomic<void> {
  const m = mem_map(k);
  const order = m.compound_order[p];
  m.flags[p] &= ~PG_slab;
  m.slab_cache[p] = 0;
  m.use[p] = 0;
  const { reclaim_state } = current(k);
  if (reclaim_state !== null) reclaim_state.reclaimed_slab += 1 << order;
  uncharge_slab_page(k, order, s);
  return __free_pages(k, p, order);
}

/** @mirrors mm/slub.c:rcu_free_slab */
export function rcu_free_slab(k: Kernel, h: VirtAddr): Atomic<void> {
  const head = k.ownerOf(h) as slab_rcu_head;
  const p = head.page;
  idleRcuHeads(k).push(head);
  return __free_slab(k, cacheTable(k)[mem_map(k).slab_cache[p] - 1] as kmem_cache, p);
}

/**
 * Gives a slab back, after a grace period if readers may still look at its objects.
 *
 * @mirrors mm/slub.c:free_slab
 */
function free_slab(k: Kernel, s: kmem_cache, p: page): Atomic<void> {
  if ((s.flags & SLAB_TYPESAFE_BY_RCU) === 0) return __free_slab(k, s, p);
  const head = idleRcuHeads(k).pop() ?? newRcuHead(k);
  head.page = p;
  return k.rcu.call_rcu(k, head.addr, rcu_free_slab);
}

function newRcuHead(k: Kernel): slab_rcu_head {
  const head = new slab_rcu_head(k.dataAlloc(16));
  k.setOwner(head.addr, head);
  return head;
}

/** @mirrors mm/slub.c:discard_slab */
function discard_slab(k: Kernel, s: kmem_cache, p: page): Atomic<void> {
  dec_slabs_node(s, mem_map(k).objects[p]);
  return free_slab(k, s, p);
}

// Management of partially allocated slabs

/** @mirrors mm/slub.c:__add_partial */
function __add_partial(k: Kernel, n: kmem_cache_node, p: page, tail: number): void {
  n.nr_partial++;
  if (tail === DEACTIVATE_TO_TAIL) list_add_tail(mem_map(k), p, n.partial);
  else list_add(mem_map(k), p, n.partial);
}

/** Locks: list_lock held. @mirrors mm/slub.c:add_partial */
function add_partial(k: Kernel, n: kmem_cache_node, p: page, tail: number): void {
  lockdep_assert_held(k, n.list_lock);
  __add_partial(k, n, p, tail);
}

/** Locks: list_lock held. @mirrors mm/slub.c:remove_partial */
function remove_partial(k: Kernel, n: kmem_cache_node, p: page): void {
  lockdep_assert_held(k, n.list_lock);
  list_del(mem_map(k), p, n.partial);
  n.nr_partial--;
}

/**
 * Takes a slab off the partial list and freezes it; with `mode`, takes its whole freelist as well. Returns that list.
 *
 * Locks: list_lock held.
 *
 * @mirrors mm/slub.c:acquire_slab
 */
function acquire_slab(k: Kernel, s: kmem_cache, n: kmem_cache_node, p: page, mode: boolean): VirtAddr {
  lockdep_assert_held(k, n.list_lock);
  const m = mem_map(k);
  const freelist = m.freelist[p] as VirtAddr;
  const counters = page_counters(m, p);
  const new_inuse = mode ? m.objects[p] : m.inuse[p];
  const new_freelist = mode ? NULL : freelist;
  BUG_ON(k, m.frozen[p] !== 0);
  if (!cmpxchg_double_slab(m, s, p, freelist, counters, new_freelist, new_inuse, 1)) return NULL;
  remove_partial(k, n, p);
  WARN_ON(k, freelist === NULL);
  return freelist;
}

/**
 * Takes slabs from the node's partial list: the first becomes the CPU slab and its freelist is returned, further ones
 * go to the CPU's partial list until that holds enough objects.
 *
 * Context: interrupts off.
 *
 * @mirrors mm/slub.c:get_partial_node
 */
function* get_partial_node(
  k: Kernel,
  s: kmem_cache,
  n: kmem_cache_node,
  c: kmem_cache_cpu,
): Atomic<VirtAddr> {
  const m = mem_map(k);
  let object = NULL as VirtAddr;
  let available = 0;
  if (n.nr_partial === 0) return NULL;

  yield* spin_lock(k, n.list_lock);
  for (let p = n.partial.first, p2: page; p !== NULL_PAGE; p = p2) {
    p2 = m.next[p] as page;
    const objects = m.objects[p] - m.inuse[p];
    const t = acquire_slab(k, s, n, p, object === NULL);
    if (t === NULL) break;
    available += objects;
    if (object === NULL) {
      c.page = p;
      stat(s, ALLOC_FROM_PARTIAL);
      object = t;
    } else {
      yield* put_cpu_partial(k, s, p, false);
      stat(s, CPU_PARTIAL_NODE);
    }
    if (!kmem_cache_has_cpu_partial(k, s) || available > s.cpu_partial / 2) break;
  }
  spin_unlock(k, n.list_lock);
  return object;
}

/** @mirrors mm/slub.c:get_partial @simplified one node, so get_any_partial() has nowhere else to look */
function get_partial(k: Kernel, s: kmem_cache, c: kmem_cache_cpu): Atomic<VirtAddr> {
  return get_partial_node(k, s, get_node(s), c);
}

/** @mirrors mm/slub.c:TID_STEP */
function TID_STEP(k: Kernel): number {
  return k.config.preempt === "full" ? 2 ** Math.ceil(Math.log2(nr_cpu_ids(k))) : 1;
}

/** @mirrors mm/slub.c:next_tid */
function next_tid(c: kmem_cache_cpu): number {
  return c.tid + c.tid_step;
}

/** @mirrors mm/slub.c:init_tid */
function init_tid(cpu: number): number {
  return cpu;
}

/** @mirrors mm/slub.c:init_kmem_cache_cpus */
function init_kmem_cache_cpus(k: Kernel, s: kmem_cache): void {
  const step = TID_STEP(k);
  s.cpu_slab = Array.from({ length: nr_cpu_ids(k) }, (_, cpu) => new kmem_cache_cpu(init_tid(cpu), step));
}

const M_NONE = 0;
const M_PARTIAL = 1;
const M_FULL = 2;
const M_FREE = 3;

/**
 * Takes the CPU slab away from the CPU: its free objects go back to the slab, the slab to where its state says.
 *
 * Context: interrupts off.
 *
 * @mirrors mm/slub.c:deactivate_slab
 */
function* deactivate_slab(
  k: Kernel,
  s: kmem_cache,
  p: page,
  freelist: VirtAddr,
  c: kmem_cache_cpu,
): Atomic<void> {
  const m = mem_map(k);
  const n = get_node(s);
  let lock = false;
  let l = M_NONE;
  let mode = M_NONE;
  let tail = DEACTIVATE_TO_HEAD;
  if (m.freelist[p] !== NULL) {
    stat(s, DEACTIVATE_REMOTE_FREES);
    tail = DEACTIVATE_TO_TAIL;
  }

  // All but the last free object go back while the slab is still frozen; no lock is needed for that.
  while (freelist !== NULL) {
    const nextfree = get_freepointer(k, s, freelist);
    if (nextfree === NULL) break;
    for (;;) {
      const prior = m.freelist[p];
      const counters = page_counters(m, p);
      set_freepointer(k, s, freelist, prior as VirtAddr);
      BUG_ON(k, m.frozen[p] === 0);
      if (cmpxchg_double_slab(m, s, p, prior, counters, freelist, m.inuse[p] - 1, 1)) break;
    }
    freelist = nextfree;
  }

  // The last one goes back together with unfreezing. The list comes first: if the slab changed while the lock was
  // waited for, everything is decided anew, which may take the slab off the list again.
  for (;;) {
    const old_freelist = m.freelist[p];
    const old_counters = page_counters(m, p);
    BUG_ON(k, m.frozen[p] === 0);
    let new_inuse = m.inuse[p];
    let new_freelist = old_freelist;
    if (freelist !== NULL) {
      new_inuse--;
      set_freepointer(k, s, freelist, old_freelist as VirtAddr);
      new_freelist = freelist;
    }

    if (new_inuse === 0 && n.nr_partial >= s.min_partial) {
      mode = M_FREE;
    } else if (new_freelist !== NULL) {
      mode = M_PARTIAL;
      if (!lock) {
        lock = true;
        yield* spin_lock(k, n.list_lock);
      }
    } else {
      mode = M_FULL;
    }

    if (l !== mode) {
      if (l === M_PARTIAL) remove_partial(k, n, p);
      if (mode === M_PARTIAL) add_partial(k, n, p, tail);
    }
    l = mode;
    if (cmpxchg_double_slab(m, s, p, old_freelist, old_counters, new_freelist, new_inuse, 0)) break;
  }
  if (lock) spin_unlock(k, n.list_lock);

  if (mode === M_PARTIAL) {
    stat(s, tail);
  } else if (mode === M_FULL) {
    stat(s, DEACTIVATE_FULL);
  } else if (mode === M_FREE) {
    stat(s, DEACTIVATE_EMPTY);
    yield* discard_slab(k, s, p);
    stat(s, FREE_SLAB);
  }
  c.page = NULL_PAGE;
  c.freelist = NULL;
}

/**
 * Moves a CPU's partial slabs to the node, or to the page allocator when they are empty and the node has enough.
 *
 * Context: interrupts off.
 *
 * @mirrors mm/slub.c:unfreeze_partials
 */
function* unfreeze_partials(k: Kernel, s: kmem_cache, c: kmem_cache_cpu): Atomic<void> {
  if (c.partial === NULL_PAGE) return;
  const m = mem_map(k);
  const n = get_node(s);
  let discard_page = NULL_PAGE as page;
  let locked = false;
  for (let p = c.partial; p !== NULL_PAGE; p = c.partial) {
    c.partial = m.partial_next[p] as page;
    if (!locked) {
      locked = true;
      yield* spin_lock(k, n.list_lock);
    }
    BUG_ON(k, m.frozen[p] === 0);
    cmpxchg_double_slab(m, s, p, m.freelist[p], page_counters(m, p), m.freelist[p], m.inuse[p], 0);
    if (m.inuse[p] === 0 && n.nr_partial >= s.min_partial) {
      m.partial_next[p] = discard_page;
      discard_page = p;
    } else {
      add_partial(k, n, p, DEACTIVATE_TO_TAIL);
      stat(s, FREE_ADD_PARTIAL);
    }
  }
  if (locked) spin_unlock(k, n.list_lock);

  while (discard_page !== NULL_PAGE) {
    const p = discard_page;
    discard_page = m.partial_next[p] as page;
    stat(s, DEACTIVATE_EMPTY);
    yield* discard_slab(k, s, p);
    stat(s, FREE_SLAB);
  }
}

/**
 * Puts a slab that was just frozen on this CPU's partial list; with `drain`, a list that is full is emptied first.
 *
 * Context: any.
 *
 * @mirrors mm/slub.c:put_cpu_partial
 */
function put_cpu_partial(k: Kernel, s: kmem_cache, p: page, drain: boolean): Atomic<void> {
  const c = raw_cpu_ptr(k, s);
  const oldpage = c.partial;
  const m = mem_map(k);
  const full = drain && oldpage !== NULL_PAGE && m.pobjects[oldpage] > s.cpu_partial;
  if (full || s.cpu_partial === 0) return put_cpu_partial_slow(k, s, p, drain);
  push_cpu_partial(m, c, p);
  return doneVoid();
}

/** Puts `p` in front of the CPU's partial slabs. @invented the store at the end of put_cpu_partial()'s loop */
function push_cpu_partial(m: mem_map_t, c: kmem_cache_cpu, p: page): void {
  const oldpage = c.partial;
  const pages = oldpage === NULL_PAGE ? 0 : m.pages[oldpage];
  const pobjects = oldpage === NULL_PAGE ? 0 : m.pobjects[oldpage];
  m.pages[p] = pages + 1;
  m.pobjects[p] = pobjects + m.objects[p] - m.inuse[p];
  m.partial_next[p] = oldpage;
  c.partial = p;
}

/** @mirrors mm/slub.c:put_cpu_partial */
function* put_cpu_partial_slow(k: Kernel, s: kmem_cache, p: page, drain: boolean): Atomic<void> {
  const m = mem_map(k);
  preempt_disable(k);
  const c = raw_cpu_ptr(k, s);
  // Interrupts come in while the list is emptied and may fill it again; what counts is what is there then.
  if (drain && c.partial !== NULL_PAGE && m.pobjects[c.partial] > s.cpu_partial) {
    const flags = local_irq_save(k);
    yield* unfreeze_partials(k, s, c);
    local_irq_restore(k, flags);
    stat(s, CPU_PARTIAL_DRAIN);
  }
  push_cpu_partial(m, c, p);
  if (s.cpu_partial === 0) {
    const flags = local_irq_save(k);
    yield* unfreeze_partials(k, s, c);
    local_irq_restore(k, flags);
  }
  preempt_enable(k);
}

/** @mirrors mm/slub.c:flush_slab */
function* flush_slab(k: Kernel, s: kmem_cache, c: kmem_cache_cpu): Atomic<void> {
  stat(s, CPUSLAB_FLUSH);
  yield* deactivate_slab(k, s, c.page, c.freelist, c);
  c.tid = next_tid(c);
}

/** Context: interrupts off on `cpu`, or `cpu` is dead. @mirrors mm/slub.c:__flush_cpu_slab */
function* __flush_cpu_slab(k: Kernel, s: kmem_cache, cpu: number): Atomic<void> {
  const c = s.cpu_slab[cpu];
  if (c.page !== NULL_PAGE) yield* flush_slab(k, s, c);
  yield* unfreeze_partials(k, s, c);
}

/** @mirrors mm/slub.c:flush_cpu_slab */
function flush_cpu_slab(k: Kernel, s: kmem_cache): Atomic<void> {
  return __flush_cpu_slab(k, s, smp_processor_id(k));
}

/** @mirrors mm/slub.c:has_cpu_slab */
function has_cpu_slab(s: kmem_cache, cpu: number): boolean {
  const c = s.cpu_slab[cpu];
  return c.page !== NULL_PAGE || c.partial !== NULL_PAGE;
}

/**
 * Makes every CPU give back the slabs that it holds of this cache.
 *
 * Context: interrupts on.
 *
 * @mirrors mm/slub.c:flush_all
 * @simplified on_each_cpu_cond() sends all its interrupts and then waits; here one CPU follows the other
 */
export function* flush_all(k: Kernel, s: kmem_cache): Atomic<void> {
  for (const cpu of for_each_online_cpu(k)) {
    if (!has_cpu_slab(s, cpu)) continue;
    yield* smp_call_function_single(k, cpu, (k) => flush_cpu_slab(k, s), true);
  }
}

/**
 * A CPU is gone: its slabs go back to the node.
 *
 * @mirrors mm/slub.c:slub_cpu_dead
 */
export function* slub_cpu_dead(k: Kernel, cpu: number): MaySleep<number> {
  yield* mutex_lock(k, slab_mutex(k));
  for (const s of slab_caches(k)) {
    const flags = local_irq_save(k);
    yield* __flush_cpu_slab(k, s, cpu);
    local_irq_restore(k, flags);
  }
  mutex_unlock(k, slab_mutex(k));
  return 0;
}

/** @mirrors mm/slub.c:count_free */
function count_free(m: mem_map_t, p: page): number {
  return m.objects[p] - m.inuse[p];
}

/** @mirrors mm/slub.c:count_partial @simplified indivisible, so that looking at slabinfo takes no lock */
function count_partial(k: Kernel, n: kmem_cache_node, get_count: (m: mem_map_t, p: page) => number): number {
  const m = mem_map(k);
  let x = 0;
  for (let p = n.partial.first; p !== NULL_PAGE; p = m.next[p] as page) x += get_count(m, p);
  return x;
}

/**
 * Prints that a slab could not be had.
 *
 * @mirrors mm/slub.c:slab_out_of_memory
 */
function slab_out_of_memory(k: Kernel, s: kmem_cache, gfpflags: Gfp, nid: number): void {
  if ((gfpflags & ___GFP_NOWARN) !== 0 || !___ratelimit(k, slub_oom_rs(k), "slab_out_of_memory")) return;
  pr_warn(
    k,
    `SLUB: Unable to allocate memory on node ${nid}, gfp=${hex(gfpflags)}(${show_gfp_flags(gfpflags)})`,
  );
  pr_warn(
    k,
    `  cache: ${s.name}, object size: ${s.object_size}, buffer size: ${s.size}, ` +
      `default order: ${oo_order(s.oo)}, min order: ${oo_order(s.min)}`,
  );
  if (oo_order(s.min) > get_order(s.object_size)) {
    pr_warn(k, `  ${s.name} debugging increased min order, use slub_debug=O to disable.`);
  }
  const n = get_node(s);
  const free = count_partial(k, n, count_free);
  pr_warn(k, `  node 0: slabs: ${n.nr_slabs}, objs: ${n.total_objects}, free: ${free}`);
}

/**
 * A freelist for this CPU, from a partial slab or a new one; the slab becomes the CPU slab.
 *
 * Context: interrupts off; see allocate_slab() for what may change meanwhile.
 *
 * @mirrors mm/slub.c:new_slab_objects
 */
function* new_slab_objects(k: Kernel, s: kmem_cache, flags: Gfp): MaySleep<VirtAddr> {
  WARN_ON_ONCE(k, s.ctor !== null && (flags & ___GFP_ZERO) !== 0);
  let freelist = yield* get_partial(k, s, raw_cpu_ptr(k, s));
  if (freelist !== NULL) return freelist;

  const p = yield* new_slab(k, s, flags);
  if (p === NULL_PAGE) return NULL;
  const c = raw_cpu_ptr(k, s);
  if (c.page !== NULL_PAGE) yield* flush_slab(k, s, c);
  const m = mem_map(k);
  freelist = m.freelist[p] as VirtAddr;
  m.freelist[p] = NULL;
  stat(s, ALLOC_SLAB);
  c.page = p;
  return freelist;
}

/**
 * Takes the slab's own freelist for its CPU. NULL: there was none, and the slab is no longer frozen.
 *
 * Context: interrupts off.
 *
 * @mirrors mm/slub.c:get_freelist
 */
function get_freelist(k: Kernel, s: kmem_cache, p: page): VirtAddr {
  const m = mem_map(k);
  const freelist = m.freelist[p] as VirtAddr;
  BUG_ON(k, m.frozen[p] === 0);
  const frozen = freelist !== NULL ? 1 : 0;
  cmpxchg_double_slab(m, s, p, freelist, page_counters(m, p), NULL, m.objects[p], frozen);
  return freelist;
}

/**
 * The CPU freelist is empty: refill it, from the CPU slab, the CPU's partial slabs, the node's, or the page allocator.
 *
 * Context: interrupts off; on during a page allocation that may sleep.
 *
 * @mirrors mm/slub.c:___slab_alloc
 */
function* ___slab_alloc(k: Kernel, s: kmem_cache, gfpflags: Gfp): MaySleep<VirtAddr> {
  const m = mem_map(k);
  let c = raw_cpu_ptr(k, s);
  let freelist = NULL as VirtAddr;
  for (;;) {
    if (c.page === NULL_PAGE) {
      if (c.partial === NULL_PAGE) break;
      c.page = c.partial;
      c.partial = m.partial_next[c.page] as page;
      stat(s, CPU_PARTIAL_ALLOC);
    }
    // Interrupts came in since the fast path looked, or the task moved to another CPU: look again.
    freelist = c.freelist;
    if (freelist !== NULL) break;
    freelist = get_freelist(k, s, c.page);
    if (freelist !== NULL) {
      stat(s, ALLOC_REFILL);
      break;
    }
    c.page = NULL_PAGE;
    stat(s, DEACTIVATE_BYPASS);
  }

  if (freelist === NULL) {
    freelist = yield* new_slab_objects(k, s, gfpflags);
    if (freelist === NULL) {
      slab_out_of_memory(k, s, gfpflags, NUMA_NO_NODE);
      return NULL;
    }
    c = raw_cpu_ptr(k, s);
  }

  BUG_ON(k, m.frozen[c.page] === 0);
  c.freelist = get_freepointer(k, s, freelist);
  c.tid = next_tid(c);
  return freelist;
}

/** ___slab_alloc() with interrupts off. @mirrors mm/slub.c:__slab_alloc */
function* __slab_alloc(k: Kernel, s: kmem_cache, gfpflags: Gfp): MaySleep<VirtAddr> {
  const flags = local_irq_save(k);
  const p = yield* ___slab_alloc(k, s, gfpflags);
  local_irq_restore(k, flags);
  return p;
}

/** Whether the allocation may go on. Reports a sleeping request in atomic context. @mirrors mm/slab.h:slab_pre_alloc_hook */
function slab_pre_alloc_hook(k: Kernel, s: kmem_cache, flags: Gfp): boolean {
  const allowed = (flags & gfp_allowed_mask(k)) as Gfp;
  if (gfpflags_allow_blocking(allowed)) might_sleep(k);
  return !(failslabArmed(k) && should_failslab(k, s, allowed));
}

/** Only with KASAN. @mirrors mm/slab.h:slab_post_alloc_hook @simplified one object at a time */
function slab_post_alloc_hook(k: Kernel, s: kmem_cache, flags: Gfp, object: VirtAddr): Atomic<void> {
  return kasan_slab_alloc(k, s, object, (flags & gfp_allowed_mask(k)) as Gfp);
}

/**
 * Tells kmemleak of a new object. What the two boot caches give stands for classes: no memory points at it.
 *
 * @invented the last lines of slab_post_alloc_hook(), for the plain path as well
 */
function kmemleakHook(k: Kernel, s: kmem_cache, flags: Gfp, object: VirtAddr): void {
  const min_count = s === boot_kmem_cache(k) || s === boot_kmem_cache_node(k) ? 0 : 1;
  kmemleak_alloc_recursive(k, object, s.object_size, min_count, s.flags, flags);
}

/** An object from the CPU's freelist, NULL when it is empty. @invented the fast path in slab_alloc_node() */
function take_from_freelist(k: Kernel, s: kmem_cache): VirtAddr {
  const c = raw_cpu_ptr(k, s);
  const object = c.freelist;
  if (object === NULL) return NULL;
  c.freelist = get_freepointer(k, s, object);
  c.tid = next_tid(c);
  stat(s, ALLOC_FASTPATH);
  return object;
}

/**
 * Allocates an object; `atPoint` says that the point at the entry has been reached and must be yielded.
 *
 * @mirrors mm/slub.c:slab_alloc_node
 * @simplified no cmpxchg loop: between two points the CPU's freelist is nobody else's
 */
function* slab_alloc_node(k: Kernel, s: kmem_cache, gfpflags: Gfp, atPoint: boolean): MaySleep<VirtAddr> {
  if (atPoint) yield STEP;
  if (!slab_pre_alloc_hook(k, s, gfpflags)) return NULL;
  let object = take_from_freelist(k, s);
  if (object === NULL) {
    object = yield* __slab_alloc(k, s, gfpflags);
    stat(s, ALLOC_SLOWPATH);
  }
  if (object !== NULL && slab_want_init_on_alloc(gfpflags, s)) {
    k.ram.rawFill(object - PAGE_OFFSET, s.object_size, 0);
  }
  if ((s.flags & SLAB_KASAN) !== 0) yield* slab_post_alloc_hook(k, s, gfpflags, object);
  if (k.config.kmemleak) kmemleakHook(k, s, gfpflags, object);
  return object;
}

/**
 * The allocation as a plain step, NULL when it takes more than that; then nothing has happened yet. With KASAN it always
 * takes more.
 *
 * @mirrors mm/slub.c:slab_alloc
 */
function slab_alloc_plain(k: Kernel, s: kmem_cache, gfpflags: Gfp): VirtAddr {
  if (failslabArmed(k) || (s.flags & SLAB_KASAN) !== 0) return NULL;
  const object = take_from_freelist(k, s);
  if ((gfpflags & (___GFP_DIRECT_RECLAIM | ___GFP_ZERO)) !== 0 && object !== NULL) {
    if ((gfpflags & gfp_allowed_mask(k) & ___GFP_DIRECT_RECLAIM) !== 0) might_sleep(k);
    if (slab_want_init_on_alloc(gfpflags, s)) k.ram.rawFill(object - PAGE_OFFSET, s.object_size, 0);
  }
  if (k.config.kmemleak) kmemleakHook(k, s, gfpflags, object);
  return object;
}

/**
 * Allocates an object of a cache.
 *
 * Context: with flags that may sleep, process context. A point at the entry.
 * Returns: NULL without memory.
 *
 * @mirrors mm/slub.c:kmem_cache_alloc
 */
export function kmem_cache_alloc<F extends Gfp>(k: Kernel, s: kmem_cache, gfpflags: F): Colour<F, VirtAddr> {
  if (pt(k, POINT_ALLOC, s)) return kmem_cache_alloc_slow(k, s, gfpflags, true) as Colour<F, VirtAddr>;
  const ret = slab_alloc_plain(k, s, gfpflags);
  if (ret === NULL) return kmem_cache_alloc_slow(k, s, gfpflags, false) as Colour<F, VirtAddr>;
  trace_kmem_cache_alloc(k, ret, s.object_size, s.size, gfpflags);
  kasan_kmalloc(k, s, raw_cpu_ptr(k, s).page, ret, s.object_size);
  return done(ret) as Colour<F, VirtAddr>;
}

function* kmem_cache_alloc_slow(
  k: Kernel,
  s: kmem_cache,
  gfpflags: Gfp,
  atPoint: boolean,
): MaySleep<VirtAddr> {
  const ret = yield* slab_alloc_node(k, s, gfpflags, atPoint);
  trace_kmem_cache_alloc(k, ret, s.object_size, s.size, gfpflags);
  if (ret !== NULL) kasan_kmalloc(k, s, virt_to_head_page(k, mem_map(k), ret), ret, s.object_size);
  return ret;
}

/**
 * Frees objects to a slab that is not this CPU's: `cnt` objects of one slab, linked from `head` to `tail`.
 *
 * @mirrors mm/slub.c:__slab_free
 */
function __slab_free(
  k: Kernel,
  s: kmem_cache,
  p: page,
  head: VirtAddr,
  tail: VirtAddr,
  cnt: number,
): Atomic<void> {
  stat(s, FREE_SLOWPATH);
  const m = mem_map(k);
  const prior = m.freelist[p] as VirtAddr;
  const was_frozen = m.frozen[p] !== 0;
  // No list is touched: the slab is some CPU's, or it is on the partial list and stays there.
  if (was_frozen || (prior !== NULL && m.inuse[p] !== cnt)) {
    set_freepointer(k, s, tail, prior);
    m.freelist[p] = head;
    m.inuse[p] -= cnt;
    if (was_frozen) stat(s, FREE_FROZEN);
    return doneVoid();
  }
  return __slab_free_slow(k, s, p, head, tail, cnt);
}

/** @mirrors mm/slub.c:__slab_free */
function* __slab_free_slow(
  k: Kernel,
  s: kmem_cache,
  p: page,
  head: VirtAddr,
  tail: VirtAddr,
  cnt: number,
): Atomic<void> {
  const m = mem_map(k);
  let n: kmem_cache_node | null = null;
  let flags = 0 as IrqFlags;
  let prior: VirtAddr;
  let was_frozen: boolean;
  let new_inuse: number;
  let new_frozen: boolean;
  for (;;) {
    if (n !== null) {
      spin_unlock_irqrestore(k, n.list_lock, flags);
      n = null;
    }
    prior = m.freelist[p] as VirtAddr;
    const counters = page_counters(m, p);
    set_freepointer(k, s, tail, prior);
    was_frozen = m.frozen[p] !== 0;
    new_frozen = was_frozen;
    new_inuse = m.inuse[p] - cnt;
    if ((new_inuse === 0 || prior === NULL) && !was_frozen) {
      if (kmem_cache_has_cpu_partial(k, s) && prior === NULL) {
        // It was full and on no list: this CPU keeps it.
        new_frozen = true;
      } else {
        n = get_node(s);
        flags = yield* spin_lock_irqsave(k, n.list_lock);
      }
    }
    if (cmpxchg_double_slab(m, s, p, prior, counters, head, new_inuse, new_frozen ? 1 : 0)) break;
  }

  if (n === null) {
    if (new_frozen && !was_frozen) {
      yield* put_cpu_partial(k, s, p, true);
      stat(s, CPU_PARTIAL_FREE);
    }
    if (was_frozen) stat(s, FREE_FROZEN);
    return;
  }

  if (new_inuse === 0 && n.nr_partial >= s.min_partial) {
    if (prior !== NULL) {
      remove_partial(k, n, p);
      stat(s, FREE_REMOVE_PARTIAL);
    }
    spin_unlock_irqrestore(k, n.list_lock, flags);
    stat(s, FREE_SLAB);
    yield* discard_slab(k, s, p);
    return;
  }

  if (!kmem_cache_has_cpu_partial(k, s) && prior === NULL) {
    add_partial(k, n, p, DEACTIVATE_TO_TAIL);
    stat(s, FREE_ADD_PARTIAL);
  }
  spin_unlock_irqrestore(k, n.list_lock, flags);
}

/** Frees to the CPU's own slab. @invented the fast path in do_slab_free() */
function put_on_freelist(
  k: Kernel,
  s: kmem_cache,
  c: kmem_cache_cpu,
  head: VirtAddr,
  tail: VirtAddr,
): void {
  set_freepointer(k, s, tail, c.freelist);
  c.freelist = head;
  c.tid = next_tid(c);
  stat(s, FREE_FASTPATH);
}

/**
 * Frees `cnt` objects of one slab, linked from `head` to `tail`.
 *
 * @mirrors mm/slub.c:do_slab_free
 * @simplified no cmpxchg loop: between two points the CPU's freelist is nobody else's
 */
function do_slab_free(
  k: Kernel,
  s: kmem_cache,
  p: page,
  head: VirtAddr,
  tail: VirtAddr,
  cnt: number,
): Atomic<void> {
  const c = raw_cpu_ptr(k, s);
  if (p !== c.page) return __slab_free(k, s, p, head, tail, cnt);
  put_on_freelist(k, s, c, head, tail);
  return doneVoid();
}

/**
 * Frees one object.
 *
 * @mirrors mm/slub.c:slab_free
 * @simplified several objects (bulk free) pass the hook one by one while their list is built, so that a bad one never
 * gets on a list; slab_free_freelist_hook() would walk the list afterwards
 */
function slab_free(k: Kernel, s: kmem_cache, p: page, x: VirtAddr): Atomic<void> {
  return slab_free_hook(k, s, p, x) ? doneVoid() : do_slab_free(k, s, p, x, x, 1);
}

/**
 * Gives back to its slab what KASAN had in quarantine.
 *
 * @mirrors mm/slub.c:___cache_free
 */
export function ___cache_free(k: Kernel, cache: kmem_cache, x: VirtAddr): Atomic<void> {
  return do_slab_free(k, cache, virt_to_head_page(k, mem_map(k), x), x, x, 1);
}

/**
 * Page of an address that is to be freed: its head page.
 *
 * Fails: outside RAM there is no struct page, and reading it faults.
 *
 * @mirrors include/linux/mm.h:virt_to_head_page
 */
function virt_to_head_page(k: Kernel, m: mem_map_t, x: VirtAddr): page {
  const offset = x - PAGE_OFFSET;
  if (!(offset >= 0 && offset < k.ram.size)) {
    page_fault_oops(k, VMEMMAP_START + Math.floor(offset / PAGE_SIZE) * 64 + 8, false);
  }
  const p = offset >>> PAGE_SHIFT;
  const head = m.compound_head[p];
  return (head !== 0 ? head : p) as page;
}

/** The cache whose slab starts at `p`. @mirrors include/linux/mm_types.h:page.slab_cache */
function slab_cache(k: Kernel, m: mem_map_t, p: page): kmem_cache {
  return cacheTable(k)[m.slab_cache[p] - 1] as kmem_cache;
}

/**
 * Frees an object of a cache.
 *
 * Context: any.
 *
 * @mirrors mm/slub.c:kmem_cache_free
 */
export function kmem_cache_free(k: Kernel, s: kmem_cache, x: VirtAddr): Atomic<void> {
  const p = virt_to_head_page(k, mem_map(k), x);
  const cachep = cache_from_obj(k, s, p);
  if (cachep === null) return doneVoid();
  if (slab_free_hook(k, cachep, p, x)) {
    trace_kmem_cache_free(k, x);
    return doneVoid();
  }
  const c = raw_cpu_ptr(k, cachep);
  if (p !== c.page) return kmem_cache_free_slow(k, cachep, p, x);
  put_on_freelist(k, cachep, c, x, x);
  trace_kmem_cache_free(k, x);
  return doneVoid();
}

function* kmem_cache_free_slow(k: Kernel, s: kmem_cache, p: page, x: VirtAddr): Atomic<void> {
  yield* __slab_free(k, s, p, x, x, 1);
  trace_kmem_cache_free(k, x);
}

/** Objects of one slab, linked and on no list yet. @mirrors mm/slub.c:detached_freelist */
class detached_freelist {
  page: page = NULL_PAGE;
  tail: VirtAddr = NULL;
  freelist: VirtAddr = NULL;
  cnt = 0;
  s: kmem_cache | null = null;
}

/**
 * Collects objects of one slab from the end of the array at `p`, looking past at most two objects of other slabs.
 *
 * What is collected is cleared in the array. Returns how many entries the next round has to look at.
 *
 * @mirrors mm/slub.c:build_detached_freelist
 */
function* build_detached_freelist(
  k: Kernel,
  s: kmem_cache | null,
  nr: number,
  p: VirtAddr,
  df: detached_freelist,
): Atomic<number> {
  const m = mem_map(k);
  let size = nr;
  let first_skipped_index = 0;
  let lookahead = 3;
  let object: VirtAddr;
  df.page = NULL_PAGE;
  do {
    object = k.ram.loadPtr(slotOf(p, --size));
    // Only NULL is passed over, not ZERO_SIZE_PTR.
  } while (object === NULL && size !== 0);
  if (object === NULL) return 0;

  const head = virt_to_head_page(k, m, object);
  if (s === null) {
    if ((m.flags[head] & PG_slab) === 0) {
      // v5.7 forgets NR_SLAB_UNRECLAIMABLE here; kfree() does not.
      if (!kfree_hook(k, object)) yield* __free_pages(k, head, m.compound_order[head]);
      k.ram.storePtr(slotOf(p, size), NULL);
      return size;
    }
    df.s = slab_cache(k, m, head);
  } else {
    df.s = cache_from_obj(k, s, head);
  }

  k.ram.storePtr(slotOf(p, size), NULL);
  if (df.s === null || slab_free_hook(k, df.s, head, object)) return size;
  df.page = head;
  set_freepointer(k, df.s, object, NULL);
  df.tail = object;
  df.freelist = object;
  df.cnt = 1;

  while (size !== 0) {
    object = k.ram.loadPtr(slotOf(p, --size));
    if (object === NULL) continue;
    if (df.page === virt_to_head_page(k, m, object)) {
      k.ram.storePtr(slotOf(p, size), NULL);
      if (slab_free_hook(k, df.s, df.page, object)) continue;
      set_freepointer(k, df.s, object, df.freelist);
      df.freelist = object;
      df.cnt++;
      continue;
    }
    if (--lookahead === 0) break;
    if (first_skipped_index === 0) first_skipped_index = size + 1;
  }
  return first_skipped_index;
}

/** Address of entry `index` of an array of pointers. @invented C writes &p[index] */
function slotOf(p: VirtAddr, index: number): VirtAddr {
  return (p + index * 8) as VirtAddr;
}

/**
 * Frees `nr` objects whose addresses stand in the array at `p`, slab by slab; `s` null: kmalloc() objects of any kind.
 *
 * The array is destroyed. NULL entries are passed over.
 *
 * Context: interrupts on.
 *
 * @mirrors mm/slub.c:kmem_cache_free_bulk
 */
export function* kmem_cache_free_bulk(
  k: Kernel,
  s: kmem_cache | null,
  nr: number,
  p: VirtAddr,
): Atomic<void> {
  if (WARN_ON(k, nr === 0)) return;
  const df = new detached_freelist();
  let size = nr;
  do {
    size = yield* build_detached_freelist(k, s, size, p, df);
    if (df.page === NULL_PAGE) continue;
    yield* do_slab_free(k, df.s as kmem_cache, df.page, df.freelist, df.tail, df.cnt);
  } while (size !== 0);
}

/**
 * Allocates `nr` objects and writes their addresses into the array at `p`. Returns `nr`, or 0 when not all could be had.
 *
 * Context: interrupts on. A point at the entry.
 *
 * @mirrors mm/slub.c:kmem_cache_alloc_bulk
 */
export function kmem_cache_alloc_bulk<F extends Gfp>(
  k: Kernel,
  s: kmem_cache,
  flags: F,
  nr: number,
  p: VirtAddr,
): Colour<F, number> {
  return alloc_bulk(k, s, flags, nr, p) as Colour<F, number>;
}

/** @mirrors mm/slub.c:kmem_cache_alloc_bulk */
function* alloc_bulk(k: Kernel, s: kmem_cache, flags: Gfp, nr: number, p: VirtAddr): MaySleep<number> {
  if (pt(k, POINT_ALLOC, s)) yield STEP;
  if (!slab_pre_alloc_hook(k, s, flags)) return 0;
  local_irq_disable(k);
  let c = raw_cpu_ptr(k, s);
  for (let i = 0; i < nr; i++) {
    let object = c.freelist;
    if (object === NULL) {
      c.tid = next_tid(c);
      object = yield* ___slab_alloc(k, s, flags);
      if (object === NULL) {
        local_irq_enable(k);
        yield* __kmem_cache_free_bulk(k, s, i, p);
        return 0;
      }
      c = raw_cpu_ptr(k, s);
    } else {
      c.freelist = get_freepointer(k, s, object);
    }
    // Zeroing and birth wait for the end of the loop in C; nothing can tell the difference.
    if (slab_want_init_on_alloc(flags, s)) k.ram.rawFill(object - PAGE_OFFSET, s.object_size, 0);
    kasan_kmalloc(k, s, c.page, object, s.object_size);
    k.ram.storePtr(slotOf(p, i), object);
  }
  c.tid = next_tid(c);
  local_irq_enable(k);
  if ((s.flags & SLAB_KASAN) !== 0) {
    for (let i = 0; i < nr; i++) yield* slab_post_alloc_hook(k, s, flags, k.ram.loadPtr(slotOf(p, i)));
  }
  if (k.config.kmemleak) {
    for (let i = 0; i < nr; i++) kmemleakHook(k, s, flags, k.ram.loadPtr(slotOf(p, i)));
  }
  return nr;
}

// Geometry

const slub_min_order = 0;
const slub_max_order = PAGE_ALLOC_COSTLY_ORDER;
const slub_min_objects = 0;

/** Smallest order that holds `min_objects` and wastes at most 1 / `fract_leftover` of it. @mirrors mm/slub.c:slab_order */
function slab_order(size: number, min_objects: number, max_order: number, fract_leftover: number): number {
  const min_order = slub_min_order;
  if (order_objects(min_order, size) > MAX_OBJS_PER_PAGE) return get_order(size * MAX_OBJS_PER_PAGE) - 1;
  let order = Math.max(min_order, get_order(min_objects * size));
  for (; order <= max_order; order++) {
    const slab_size = PAGE_SIZE << order;
    if (slab_size % size <= Math.floor(slab_size / fract_leftover)) break;
  }
  return order;
}

/** @mirrors include/asm-generic/bitops/fls.h:fls */
function fls(x: number): number {
  return 32 - Math.clz32(x);
}

/**
 * The order of a slab for objects of `size` bytes; it grows with the number of CPUs. -1: no order holds one object.
 *
 * @mirrors mm/slub.c:calculate_order
 */
export function calculate_order(k: Kernel, size: number): number {
  let min_objects: number = slub_min_objects;
  if (min_objects === 0) min_objects = 4 * (fls(nr_cpu_ids(k)) + 1);
  min_objects = Math.min(min_objects, order_objects(slub_max_order, size));
  while (min_objects > 1) {
    for (let fraction = 16; fraction >= 4; fraction /= 2) {
      const order = slab_order(size, min_objects, slub_max_order, fraction);
      if (order <= slub_max_order) return order;
    }
    min_objects--;
  }
  let order = slab_order(size, 1, slub_max_order, 1);
  if (order <= slub_max_order) return order;
  order = slab_order(size, 1, MAX_ORDER, 1);
  return order < MAX_ORDER ? order : -1;
}

/** @mirrors mm/slub.c:alloc_kmem_cache_cpus @simplified per-CPU memory is not emulated, so this cannot fail */
function alloc_kmem_cache_cpus(k: Kernel, s: kmem_cache): void {
  init_kmem_cache_cpus(k, s);
}

/**
 * The first slab of all: the node structure of the cache of node structures is an object of that slab.
 *
 * @mirrors mm/slub.c:early_kmem_cache_node_alloc
 */
function* early_kmem_cache_node_alloc(k: Kernel, s: kmem_cache): MaySleep<void> {
  BUG_ON(k, s.size < kmem_cache_node_layout.size);
  const m = mem_map(k);
  const p = yield* new_slab(k, s, GFP_NOWAIT);
  BUG_ON(k, p === NULL_PAGE);
  const object = m.freelist[p] as VirtAddr;
  BUG_ON(k, object === NULL);
  if ((s.flags & SLAB_KASAN) !== 0) yield* kasan_slab_alloc(k, s, object, GFP_NOWAIT);
  kasan_kmalloc(k, s, p, object, kmem_cache_node_layout.size);
  m.freelist[p] = get_freepointer(k, s, object);
  m.inuse[p] = 1;
  m.frozen[p] = 0;
  const n = new kmem_cache_node(object);
  s.node = n;
  inc_slabs_node(s, m.objects[p]);
  __add_partial(k, n, p, DEACTIVATE_TO_HEAD);
}

/** @mirrors mm/slub.c:free_kmem_cache_nodes */
function* free_kmem_cache_nodes(k: Kernel, s: kmem_cache): Atomic<void> {
  const n = s.node;
  if (n === null) return;
  s.node = null;
  yield* kmem_cache_free(k, boot_kmem_cache_node(k), n.addr);
}

/** @mirrors mm/slub.c:__kmem_cache_release */
export function* __kmem_cache_release(k: Kernel, s: kmem_cache): Atomic<void> {
  s.cpu_slab = [];
  yield* free_kmem_cache_nodes(k, s);
}

/** False without memory. @mirrors mm/slub.c:init_kmem_cache_nodes */
function* init_kmem_cache_nodes(k: Kernel, s: kmem_cache): MaySleep<boolean> {
  if (slab_state(k) === DOWN) {
    yield* early_kmem_cache_node_alloc(k, s);
    return true;
  }
  const n = yield* kmem_cache_alloc(k, boot_kmem_cache_node(k), GFP_KERNEL);
  if (n === NULL) return false;
  s.node = new kmem_cache_node(n);
  return true;
}

/** @mirrors mm/slub.c:set_min_partial */
function set_min_partial(s: kmem_cache, min: number): void {
  s.min_partial = Math.max(MIN_PARTIAL, Math.min(min, MAX_PARTIAL));
}

/** @mirrors mm/slub.c:set_cpu_partial */
function set_cpu_partial(k: Kernel, s: kmem_cache): void {
  if (!kmem_cache_has_cpu_partial(k, s)) s.cpu_partial = 0;
  else if (s.size >= PAGE_SIZE) s.cpu_partial = 2;
  else if (s.size >= 1024) s.cpu_partial = 6;
  else if (s.size >= 256) s.cpu_partial = 13;
  else s.cpu_partial = 30;
}

/** `x` rounded up to a multiple of `a`. @mirrors include/linux/kernel.h:ALIGN */
function ALIGN(x: number, a: number): number {
  return Math.ceil(x / a) * a;
}

/**
 * Lays out an object and its slab: where the free pointer stands, what the flags add, how many objects a slab has.
 *
 * Returns: false when no slab can hold one object.
 *
 * @mirrors mm/slub.c:calculate_sizes
 */
export function calculate_sizes(k: Kernel, s: kmem_cache, forced_order: number): boolean {
  const flags = s.flags;
  let size = ALIGN(s.object_size, 8);
  const freepointer_area = size;

  if ((flags & SLAB_POISON) !== 0 && (flags & SLAB_TYPESAFE_BY_RCU) === 0 && s.ctor === null) {
    s.flags = (s.flags | __OBJECT_POISON) >>> 0;
  } else {
    s.flags = (s.flags & ~__OBJECT_POISON) >>> 0;
  }
  if ((flags & SLAB_RED_ZONE) !== 0 && size === s.object_size) size += 8;
  s.inuse = size;

  if ((flags & (SLAB_TYPESAFE_BY_RCU | SLAB_POISON)) !== 0 || s.ctor !== null) {
    // What is in the object must survive a free: the pointer goes behind it.
    s.offset = size;
    size += 8;
  } else if (freepointer_area > 8) {
    // In the middle, where the overruns of neighbours do not reach.
    s.offset = ALIGN(freepointer_area / 2, 8);
  }
  if ((flags & SLAB_STORE_USER) !== 0) size += 2 * TRACK_SIZE;
  if (k.config.kasan) size = kasan_cache_create(k, s, size);
  if ((flags & SLAB_RED_ZONE) !== 0) {
    size += 8;
    s.red_left_pad = ALIGN(8, s.align);
    size += s.red_left_pad;
  }

  size = ALIGN(size, s.align);
  s.size = size;
  s.reciprocal_size = 1 / size;
  const order = forced_order >= 0 ? forced_order : calculate_order(k, size);
  if (order < 0) return false;
  s.allocflags = 0;
  if (order !== 0) s.allocflags |= ___GFP_COMP;
  if ((s.flags & SLAB_RECLAIM_ACCOUNT) !== 0) s.allocflags |= ___GFP_RECLAIMABLE;
  s.oo = oo_make(order, size);
  s.min = oo_make(get_order(size), size);
  if (oo_objects(s.oo) > oo_objects(s.max)) s.max = s.oo;
  return oo_objects(s.oo) !== 0;
}

/** Returns 0 or -EINVAL. @mirrors mm/slub.c:kmem_cache_open */
function* kmem_cache_open(k: Kernel, s: kmem_cache, flags: number): MaySleep<number> {
  s.flags = kmem_cache_flags(k, s.size, flags, s.name);
  if (!calculate_sizes(k, s, -1)) return -EINVAL;
  // More pages on the partial list for larger objects, so that the page allocator is left in peace.
  set_min_partial(s, Math.floor(Math.floor(Math.log2(s.size)) / 2));
  set_cpu_partial(k, s);
  alloc_kmem_cache_cpus(k, s);
  if (!(yield* init_kmem_cache_nodes(k, s))) return -EINVAL;
  return 0;
}

/** Reports the objects that keep a slab from going away. @mirrors mm/slub.c:list_slab_objects */
function list_slab_objects(k: Kernel, s: kmem_cache, p: page, text: string): void {
  const m = mem_map(k);
  const map = get_map(k, s, p);
  const lines: string[] = [];
  for (let i = 0; i < m.objects[p]; i++) {
    if (map.has(i)) continue;
    lines.push(`INFO: Object 0x${formatAddr(page_address(p) + i * s.size)} @offset=${i * s.size}`);
  }
  slab_err(k, s, p, text, lines);
}

/**
 * Gives all empty slabs of the node back, and reports the others.
 *
 * Context: interrupts on.
 *
 * @mirrors mm/slub.c:free_partial
 */
function* free_partial(k: Kernel, s: kmem_cache, n: kmem_cache_node): Atomic<void> {
  const m = mem_map(k);
  const discard = new page_list();
  BUG_ON(k, irqs_disabled(k));
  yield* spin_lock_irq(k, n.list_lock);
  for (let p = n.partial.first, h: page; p !== NULL_PAGE; p = h) {
    h = m.next[p] as page;
    if (m.inuse[p] === 0) {
      remove_partial(k, n, p);
      list_add(m, p, discard);
    } else {
      list_slab_objects(k, s, p, `Objects remaining in ${s.name} on __kmem_cache_shutdown()`);
    }
  }
  spin_unlock_irq(k, n.list_lock);
  yield* discard_slabs(k, s, discard);
}

/** Discards every slab on a private list. @invented list_for_each_entry_safe(...) discard_slab() */
function* discard_slabs(k: Kernel, s: kmem_cache, discard: page_list): Atomic<void> {
  const m = mem_map(k);
  for (let p = discard.first; p !== NULL_PAGE; p = discard.first) {
    list_del(m, p, discard);
    yield* discard_slab(k, s, p);
  }
}

/** @mirrors mm/slub.c:__kmem_cache_empty */
export function __kmem_cache_empty(s: kmem_cache): boolean {
  return get_node(s).nr_partial === 0 && slabs_node(s) === 0;
}

/** Gives back everything that a cache holds. Returns 1 when there are objects left. @mirrors mm/slub.c:__kmem_cache_shutdown */
export function* __kmem_cache_shutdown(k: Kernel, s: kmem_cache): Atomic<number> {
  yield* flush_all(k, s);
  const n = get_node(s);
  yield* free_partial(k, s, n);
  return n.nr_partial !== 0 || slabs_node(s) !== 0 ? 1 : 0;
}

// Kmalloc subsystem

/**
 * Allocates `size` bytes.
 *
 * Context: with flags that may sleep, process context. A point at the entry.
 * Returns: NULL without memory, ZERO_SIZE_PTR for size 0.
 *
 * @mirrors mm/slub.c:__kmalloc
 */
export function __kmalloc<F extends Gfp>(k: Kernel, size: number, flags: F): Colour<F, VirtAddr> {
  if (size > KMALLOC_MAX_CACHE_SIZE) return kmalloc_large(k, size, flags);
  const s = kmalloc_slab(k, size, flags);
  if (s === null) return done(ZERO_SIZE_PTR) as Colour<F, VirtAddr>;
  if (pt(k, POINT_ALLOC, "kmalloc")) return __kmalloc_slow(k, s, size, flags, true) as Colour<F, VirtAddr>;
  const ret = slab_alloc_plain(k, s, flags);
  if (ret === NULL) return __kmalloc_slow(k, s, size, flags, false) as Colour<F, VirtAddr>;
  trace_kmalloc(k, ret, size, s.size, flags);
  kasan_kmalloc(k, s, raw_cpu_ptr(k, s).page, ret, size);
  return done(ret) as Colour<F, VirtAddr>;
}

function* __kmalloc_slow(
  k: Kernel,
  s: kmem_cache,
  size: number,
  flags: Gfp,
  atPoint: boolean,
): MaySleep<VirtAddr> {
  const ret = yield* slab_alloc_node(k, s, flags, atPoint);
  trace_kmalloc(k, ret, size, s.size, flags);
  if (ret !== NULL) kasan_kmalloc(k, s, virt_to_head_page(k, mem_map(k), ret), ret, size);
  return ret;
}

/** Bytes that the object at `object` really has. @mirrors mm/slub.c:__ksize */
export function __ksize(k: Kernel, object: VirtAddr): number {
  if (object === ZERO_SIZE_PTR) return 0;
  const m = mem_map(k);
  const p = virt_to_head_page(k, m, object);
  if ((m.flags[p] & PG_slab) === 0) return PAGE_SIZE << m.compound_order[p];
  return slab_ksize(slab_cache(k, m, p));
}

/**
 * Frees what kmalloc() gave; NULL and ZERO_SIZE_PTR are nothing.
 *
 * Context: any.
 *
 * @mirrors mm/slub.c:kfree
 * @simplified an address that is neither in a slab nor a large object is reported and left alone; C has BUG_ON here
 */
export function kfree(k: Kernel, x: VirtAddr): Atomic<void> {
  trace_kfree(k, x);
  if (ZERO_OR_NULL_PTR(x)) return doneVoid();
  const m = mem_map(k);
  const p = virt_to_head_page(k, m, x);
  if ((m.flags[p] & PG_slab) !== 0) return slab_free(k, slab_cache(k, m, p), p, x);
  if (kfree_hook(k, x)) return doneVoid();
  const order = m.compound_order[p];
  mod_node_page_state(k, NR_SLAB_UNRECLAIMABLE, -(1 << order));
  return __free_pages(k, p, order);
}

const SHRINK_PROMOTE_MAX = 32;

/**
 * Gives empty slabs back and sorts the partial list: the fullest slabs first. Returns 1 when slabs are left.
 *
 * @mirrors mm/slub.c:__kmem_cache_shrink
 */
export function* __kmem_cache_shrink(k: Kernel, s: kmem_cache): Atomic<number> {
  yield* flush_all(k, s);
  const m = mem_map(k);
  const n = get_node(s);
  const discard = new page_list();
  const promote = Array.from({ length: SHRINK_PROMOTE_MAX }, () => new page_list());
  const flags = yield* spin_lock_irqsave(k, n.list_lock);
  for (let p = n.partial.first, t: page; p !== NULL_PAGE; p = t) {
    t = m.next[p] as page;
    const free = m.objects[p] - m.inuse[p];
    BUG_ON(k, free <= 0);
    if (free === m.objects[p]) {
      list_del(m, p, n.partial);
      list_add(m, p, discard);
      n.nr_partial--;
    } else if (free <= SHRINK_PROMOTE_MAX) {
      list_del(m, p, n.partial);
      list_add(m, p, promote[free - 1]);
    }
  }
  for (let i = SHRINK_PROMOTE_MAX - 1; i >= 0; i--) list_splice(m, promote[i], n.partial);
  spin_unlock_irqrestore(k, n.list_lock, flags);
  yield* discard_slabs(k, s, discard);
  return slabs_node(s) !== 0 ? 1 : 0;
}

/** Moves all of `list` to the front of `head`. @mirrors include/linux/list.h:list_splice */
function list_splice(m: mem_map_t, list: page_list, head: page_list): void {
  for (let p = list.last; p !== NULL_PAGE; p = list.last) {
    list_del(m, p, list);
    list_add(m, p, head);
  }
}

// Basic setup of slabs

/**
 * Gives a boot cache its real object, and its slabs back to the node.
 *
 * @mirrors mm/slub.c:bootstrap
 * @simplified the class stays the same, so no pointer has to be fixed up
 */
function* bootstrap(k: Kernel, s: kmem_cache): MaySleep<void> {
  const addr = yield* kmem_cache_zalloc(k, boot_kmem_cache(k), GFP_NOWAIT);
  BUG_ON(k, addr === NULL);
  s.addr = addr;
  yield* __flush_cpu_slab(k, s, smp_processor_id(k));
  slab_caches(k).unshift(s);
}

/**
 * Brings up the allocator: the two caches that describe caches, then those of kmalloc().
 *
 * Context: boot, after the page allocator.
 *
 * @mirrors mm/slub.c:kmem_cache_init
 */
export function* kmem_cache_init(k: Kernel): MaySleep<void> {
  const nodes = boot_kmem_cache_node(k);
  const caches = boot_kmem_cache(k);
  yield* create_boot_cache(
    k,
    nodes,
    "kmem_cache_node",
    kmem_cache_node_layout.size,
    SLAB_HWCACHE_ALIGN,
    0,
    0,
  );
  slab_state.set(k, PARTIAL);
  const { size } = k.config.kasan ? kmem_cache_kasan_layout : kmem_cache_layout;
  yield* create_boot_cache(k, caches, "kmem_cache", size, SLAB_HWCACHE_ALIGN, 0, 0);
  yield* bootstrap(k, caches);
  yield* bootstrap(k, nodes);
  setup_kmalloc_cache_index_table(k);
  yield* create_kmalloc_caches(k, 0);
  pr_info(
    k,
    `SLUB: HWalign=${cache_line_size}, Order=${slub_min_order}-${slub_max_order}, ` +
      `MinObjects=${slub_min_objects}, CPUs=${nr_cpu_ids(k)}, Nodes=1`,
  );
}

/** @mirrors mm/slub.c:kmem_cache_init_late (empty) */
export function kmem_cache_init_late(_k: Kernel): void {}

/**
 * An existing cache that serves objects of this kind as well, null when there is none.
 *
 * @mirrors mm/slub.c:__kmem_cache_alias
 * @simplified no sysfs: the alias is a name in a list
 */
export function __kmem_cache_alias(
  k: Kernel,
  name: string,
  size: number,
  align: number,
  flags: number,
  ctor: SlabConstructor | null,
): kmem_cache | null {
  const s = find_mergeable(k, size, align, flags, name, ctor);
  if (s === null) return null;
  s.refcount++;
  // Zeroing must reach the end of the larger object.
  s.object_size = Math.max(s.object_size, size);
  s.inuse = Math.max(s.inuse, ALIGN(size, 8));
  s.aliases.push(name);
  return s;
}

/** Returns 0 or a negative error number. @mirrors mm/slub.c:__kmem_cache_create */
export function* __kmem_cache_create(k: Kernel, s: kmem_cache, flags: number): MaySleep<number> {
  registerCache(k, s);
  const err = yield* kmem_cache_open(k, s, flags);
  if (err !== 0) unregisterCache(k, s);
  return err;
}

/** The last step of boot for the allocator. @mirrors mm/slub.c:slab_sysfs_init @simplified there is no sysfs */
export function slab_sysfs_init(k: Kernel): void {
  slab_state.set(k, FULL);
}

// The /proc/slabinfo ABI

/**
 * The numbers of a cache. Free objects of CPU slabs count as active.
 *
 * @mirrors mm/slub.c:get_slabinfo
 */
export function get_slabinfo(k: Kernel, s: kmem_cache): slabinfo {
  const n = get_node(s);
  const nr_free = count_partial(k, n, count_free);
  return {
    active_objs: n.total_objects - nr_free,
    num_objs: n.total_objects,
    active_slabs: n.nr_slabs,
    num_slabs: n.nr_slabs,
    shared_avail: 0,
    limit: 0,
    batchcount: 0,
    shared: 0,
    objects_per_slab: oo_objects(s.oo),
    cache_order: oo_order(s.oo),
  };
}

/**
 * kfree() of `nr` objects whose addresses stand in the array at `p`, which is destroyed.
 *
 * Context: interrupts on.
 *
 * @mirrors include/linux/slab.h:kfree_bulk
 */
export function kfree_bulk(k: Kernel, nr: number, p: VirtAddr): Atomic<void> {
  return kmem_cache_free_bulk(k, null, nr, p);
}

// include/linux/slab.h: the inline functions

/**
 * Allocates `size` bytes of kernel memory.
 *
 * Context: with flags that may sleep, process context. A point at the entry.
 * Returns: NULL without memory, ZERO_SIZE_PTR for size 0.
 *
 * @mirrors include/linux/slab.h:kmalloc
 */
export function kmalloc<F extends Gfp>(k: Kernel, size: number, flags: F): Colour<F, VirtAddr> {
  return __kmalloc(k, size, flags);
}

/** kmalloc() on a node; there is one. @mirrors include/linux/slab.h:kmalloc_node */
export function kmalloc_node<F extends Gfp>(
  k: Kernel,
  size: number,
  flags: F,
  _node: number,
): Colour<F, VirtAddr> {
  return __kmalloc(k, size, flags);
}

/** kmalloc() for an array; NULL when the product overflows. @mirrors include/linux/slab.h:kmalloc_array */
export function kmalloc_array<F extends Gfp>(
  k: Kernel,
  n: number,
  size: number,
  flags: F,
): Colour<F, VirtAddr> {
  const bytes = n * size;
  return bytes >= 2 ** 64 ? done(NULL) as Colour<F, VirtAddr> : __kmalloc(k, bytes, flags);
}

/** kmalloc_array() of zeroed memory. @mirrors include/linux/slab.h:kcalloc */
export function kcalloc<F extends Gfp>(k: Kernel, n: number, size: number, flags: F): Colour<F, VirtAddr> {
  return kmalloc_array(k, n, size, gfp(flags, __GFP_ZERO) as unknown as F);
}

/** kmem_cache_alloc() of a zeroed object. @mirrors include/linux/slab.h:kmem_cache_zalloc */
export function kmem_cache_zalloc<F extends Gfp>(k: Kernel, s: kmem_cache, flags: F): Colour<F, VirtAddr> {
  return kmem_cache_alloc(k, s, gfp(flags, __GFP_ZERO) as unknown as F);
}

/** kmalloc() of zeroed memory. @mirrors include/linux/slab.h:kzalloc */
export function kzalloc<F extends Gfp>(k: Kernel, size: number, flags: F): Colour<F, VirtAddr> {
  return __kmalloc(k, size, gfp(flags, __GFP_ZERO) as unknown as F);
}
