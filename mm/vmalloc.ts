// SPDX-License-Identifier: GPL-2.0-only
/**
 * vmalloc: memory that is contiguous in virtual addresses only. Mirrors mm/vmalloc.c (v5.7).
 *
 * Two red-black trees with address-sorted lists hold the address space: the busy areas, and the free ones with the
 * largest size of each subtree. vfree() unmaps and frees the pages at once; the addresses wait on a lazy list until a
 * purge merges them back, so that an address is not used again soon and a use after vfree() faults.
 *
 * Invariant: at rest, the busy, the free and the lazily freed areas cover the whole space without overlap; each vmap_area
 * and vm_struct takes a real object of its size in C, each page array is real memory (checkVmalloc() checks all that).
 *
 * Left out: vm_map_ram and its blocks, vm_unmap_aliases, purge notifiers (part 2); ioremap, user mappings, per-CPU areas,
 * NUMA placement, VM_FLUSH_RESET_PERMS, vread and vwrite. There is no NMI, so `BUG_ON(in_nmi())` is left out.
 *
 * @module
 */

import {
  ADDRESS_LIMIT,
  alignUp,
  formatAddr,
  NULL,
  offsetInPage,
  PAGE_OFFSET,
  PAGE_SIZE,
  VMALLOC_END,
  VMALLOC_START,
  VMEMMAP_START,
} from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import { type Atomic, type MaySleep, STEP } from "../kernel/machine/effects.ts";
import { POINT_RMW, pt } from "../kernel/machine/points.ts";
import { SHADOW_VMALLOC_INVALID } from "../kernel/machine/ram.ts";
import { array, ptr, struct, u32, ulong } from "../kernel/machine/struct.ts";
import { BUG, BUG_ON, WARN, WARN_ON, WARN_ON_ONCE } from "../kernel/bug.ts";
import { debug_check_no_obj_freed } from "../kernel/debugobjects.ts";
import { num_online_cpus } from "../kernel/cpumask.ts";
import { EBUSY, ENOMEM } from "../kernel/errno.ts";
import {
  ___GFP_NOWARN,
  __GFP_HIGHMEM,
  __GFP_NOWARN,
  __GFP_ZERO,
  type Colour,
  type Gfp,
  gfp,
  GFP_KERNEL,
  GFP_NOWAIT,
  gfpflags_allow_blocking,
} from "../kernel/gfp.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { list_add, list_del_init, list_head } from "../kernel/list.ts";
import { init_llist_head, llist_add, llist_del_all, llist_head, llist_next } from "../kernel/llist.ts";
import { spin_lock, spin_trylock, spin_unlock, spinlock_t } from "../kernel/locking/spinlock.ts";
import { in_interrupt } from "../kernel/preempt.ts";
import { pr_warn } from "../kernel/printk.ts";
import {
  RB_CLEAR_NODE,
  RB_DECLARE_CALLBACKS_MAX,
  RB_EMPTY_NODE,
  rb_erase,
  rb_erase_augmented,
  rb_insert_augmented,
  rb_insert_color,
  type rb_link,
  rb_link_node,
  rb_node,
  rb_parent,
  rb_root,
} from "../kernel/rbtree.ts";
import { cond_resched, might_sleep, might_sleep_if, need_resched } from "../kernel/sched/core.ts";
import {
  DEFINE_PER_CPU,
  KERNEL_STATIC,
  type KernelStatic,
  per_cpu_ptr,
  type PerCpu,
  type StaticKey,
  this_cpu_ptr,
  this_cpu_write,
} from "../kernel/static.ts";
import {
  trace_alloc_vmap_area,
  trace_free_vmap_area_noflush,
  trace_purge_vmap_area_lazy,
  trace_vfree,
  trace_vmalloc,
} from "../kernel/trace/events/vmalloc.ts";
import { INIT_WORK, schedule_work, work_struct } from "../kernel/workqueue.ts";
import { structPageAddr } from "./debug.ts";
import { GFP_RECLAIM_MASK } from "./internal.ts";
import { mem_map, NULL_PAGE, type page, page_to_phys, PAGE_USE_VMALLOC } from "./mm_types.ts";
import { kasan_poison_vmalloc, kasan_populate_vmalloc, kasan_release_vmalloc } from "./kasan/common.ts";
import { __free_pages, _totalram_pages, alloc_page, warn_alloc } from "./page_alloc.ts";
import {
  addrEnd,
  flush_tlb_kernel_range,
  nextEntry,
  PAGE_KERNEL,
  pgd_offset_k,
  PGDIR_SHIFT,
  type pgprot_t,
  pgtable_setup,
  pmd_alloc,
  pmd_offset,
  PMD_SHIFT,
  pte_alloc_kernel,
  pte_none,
  pte_offset_kernel,
  pte_page,
  pte_present,
  type pte_t,
  ptep_get_and_clear,
  pud_alloc,
  pud_offset,
  PUD_SHIFT,
  set_pte_at,
} from "./pgtable.ts";
import { kmemleak_free, kmemleak_not_leak, kmemleak_vmalloc } from "./kmemleak.ts";
import { type kmem_cache, SLAB_PANIC } from "./slab.ts";
import { kmem_cache_create } from "./slab_common.ts";
import { kfree, kmalloc, kmem_cache_alloc, kmem_cache_free, kmem_cache_zalloc, kzalloc } from "./slub.ts";
import { nr_vmalloc_pages } from "./vmstat.ts";

// include/linux/vmalloc.h

export const VM_IOREMAP = 0x00000001;
export const VM_ALLOC = 0x00000002;
export const VM_MAP = 0x00000004;
export const VM_USERMAP = 0x00000008;
export const VM_DMA_COHERENT = 0x00000010;
/** Not fully initialised: the pages are not there yet. */
export const VM_UNINITIALIZED = 0x00000020;
/** No guard page behind the area. */
export const VM_NO_GUARD = 0x00000040;
export const VM_KASAN = 0x00000080;

/** No particular node. @mirrors include/linux/numa.h:NUMA_NO_NODE */
export const NUMA_NO_NODE = -1;

/** Layouts, for the sizes and for where purge_list stands; the fields themselves live in the classes below. */
const vmap_area_layout = struct("vmap_area", {
  va_start: ulong,
  va_end: ulong,
  rb_node: array(ptr, 3),
  list: array(ptr, 2),
  purge_list: ptr,
});
const vm_struct_layout = struct("vm_struct", {
  next: ptr,
  addr: ptr,
  size: ulong,
  flags: ulong,
  pages: ptr,
  nr_pages: u32,
  phys_addr: ulong,
  caller: ptr,
});
const PURGE_LIST_OFFSET = vmap_area_layout.offsetof("purge_list");
const VM_ADDR_OFFSET = vm_struct_layout.offsetof("addr");
const VM_PAGES_OFFSET = vm_struct_layout.offsetof("pages");
const SIZEOF_POINTER = 8;
const SIZEOF_STRUCT_PAGE = 64;

/** What a busy area is for. @mirrors include/linux/vmalloc.h:vm_struct */
export class vm_struct {
  addr: VirtAddr = NULL;
  size = 0;
  flags = 0;
  /** Address of the array of struct page pointers. */
  pages: VirtAddr = NULL;
  nr_pages = 0;
  phys_addr = 0;
  /** Event number of the allocation, and the bytes that were asked for. */
  birth = 0;
  requested = 0;
  /** Whether this area is the page array of another one. */
  nested = false;
  /** Not an own property: it depends on whether call sites are captured, and must not count in a digest. */
  #caller = 0;

  /** `self` is the address of the object in emulated memory. */
  constructor(readonly self: VirtAddr) {}

  /** Call site that asked for the area (Machine.captureSite), 0 when call sites are not captured. */
  get caller(): number {
    return this.#caller;
  }
  set caller(site: number) {
    this.#caller = site;
  }
}

/** A range of virtual addresses, busy or free. @mirrors include/linux/vmalloc.h:vmap_area */
export class vmap_area {
  va_start = 0;
  va_end = 0;
  readonly rb_node: rb_node<vmap_area> = new rb_node<vmap_area>(this);
  readonly list: list_head<vmap_area> = new list_head<vmap_area>(this);
  /** In the free tree: the largest area of this subtree. */
  subtree_max_size = 0;
  /** In the busy tree: what the area is for. */
  vm: vm_struct | null = null;

  /** `self` is the address of the object in emulated memory; its purge_list link is bytes there. */
  constructor(readonly self: VirtAddr) {}
}

/** Size of the area without its guard page. @mirrors include/linux/vmalloc.h:get_vm_area_size */
export function get_vm_area_size(area: vm_struct): number {
  return (area.flags & VM_NO_GUARD) !== 0 ? area.size : area.size - PAGE_SIZE;
}

/** The page behind a `struct page *` in memory; NULL_PAGE when it is none. @invented the reverse of structPageAddr() */
export function pageAt(k: Kernel, pointer: VirtAddr): page {
  const pfn = (pointer - VMEMMAP_START) / SIZEOF_STRUCT_PAGE;
  return Number.isInteger(pfn) && pfn > 0 && pfn < mem_map(k).nrPages ? pfn as page : NULL_PAGE;
}

/** pages[index] of a page array in memory. */
function pageOfArray(k: Kernel, pages: VirtAddr, index: number): page {
  return pageAt(k, k.ram.loadPtr(pages + index * SIZEOF_POINTER as VirtAddr));
}

// mm/vmalloc.c

/**
 * Whether an address lies in the vmalloc range. It says nothing about whether anything is there.
 *
 * @mirrors mm/vmalloc.c:is_vmalloc_addr, include/linux/mm.h:is_vmalloc_addr
 */
export function is_vmalloc_addr(_k: Kernel, x: VirtAddr): boolean {
  return x >= VMALLOC_START && x < VMALLOC_END;
}

/** vfree() from interrupts leaves its work here. @mirrors mm/vmalloc.c:vfree_deferred */
class vfree_deferred_t {
  readonly list: llist_head = new llist_head();
  readonly wq: work_struct = new work_struct();
}
/** @mirrors mm/vmalloc.c:vfree_deferred */
const vfree_deferred = DEFINE_PER_CPU("vfree_deferred", () => new vfree_deferred_t());

/** Frees what vfree() deferred on one CPU. @mirrors mm/vmalloc.c:free_work */
function* free_work(k: Kernel, w: work_struct): MaySleep<void> {
  const cpu = k.cpus.findIndex(({ id }) => per_cpu_ptr(k, vfree_deferred, id).wq === w);
  const p = per_cpu_ptr(k, vfree_deferred, cpu); // container_of()
  let llnode = yield* llist_del_all(k, p.list);
  while (llnode !== NULL) {
    const t = llist_next(k, llnode);
    yield* __vunmap(k, llnode, true);
    llnode = t;
  }
}

/*** Page table manipulation functions ***/

function vunmap_pte_range(k: Kernel, pmd: pte_t, from: number, end: number): void {
  let pte = pte_offset_kernel(k, pmd, from);
  for (let addr = from; addr !== end; addr += PAGE_SIZE, pte = nextEntry(pte)) {
    WARN_ON(k, !pte_none(k, pte) && !pte_present(k, pte));
    ptep_get_and_clear(k, pte);
  }
}

function vunmap_pmd_range(k: Kernel, pud: pte_t, from: number, end: number): void {
  let pmd = pmd_offset(k, pud, from);
  for (let addr = from, next = 0; addr !== end; addr = next, pmd = nextEntry(pmd)) {
    next = addrEnd(addr, end, PMD_SHIFT);
    if (!pte_none(k, pmd)) vunmap_pte_range(k, pmd, addr, next);
  }
}

function vunmap_pud_range(k: Kernel, pgd: pte_t, from: number, end: number): void {
  let pud = pud_offset(k, pgd, from);
  for (let addr = from, next = 0; addr !== end; addr = next, pud = nextEntry(pud)) {
    next = addrEnd(addr, end, PUD_SHIFT);
    if (!pte_none(k, pud)) vunmap_pmd_range(k, pud, addr, next);
  }
}

/**
 * Clears the leaf entries of a range; tables stay, and so do cached translations.
 *
 * @mirrors mm/vmalloc.c:vunmap_page_range
 */
function vunmap_page_range(k: Kernel, from: number, end: number): void {
  BUG_ON(k, from >= end);
  let pgd = pgd_offset_k(k, from);
  for (let addr = from, next = 0; addr !== end; addr = next, pgd = nextEntry(pgd)) {
    next = addrEnd(addr, end, PGDIR_SHIFT);
    if (!pte_none(k, pgd)) vunmap_pud_range(k, pgd, addr, next);
  }
}

/** How far a page array has been used up; C passes `int *nr`. */
interface Progress {
  readonly pages: VirtAddr;
  nr: number;
}

function* vmap_pte_range(
  k: Kernel,
  pmd: pte_t,
  from: number,
  end: number,
  prot: pgprot_t,
  at: Progress,
): MaySleep<number> {
  let pte = yield* pte_alloc_kernel(k, pmd, from);
  if (pte === 0) return -ENOMEM;
  for (let addr = from; addr !== end; addr += PAGE_SIZE, pte = nextEntry(pte)) {
    const page = pageOfArray(k, at.pages, at.nr);
    if (WARN_ON(k, !pte_none(k, pte))) return -EBUSY;
    if (WARN_ON(k, page === NULL_PAGE)) return -ENOMEM;
    set_pte_at(k, pte, page, prot);
    at.nr++;
  }
  return 0;
}

function* vmap_pmd_range(
  k: Kernel,
  pud: pte_t,
  from: number,
  end: number,
  prot: pgprot_t,
  at: Progress,
): MaySleep<number> {
  let pmd = yield* pmd_alloc(k, pud, from);
  if (pmd === 0) return -ENOMEM;
  for (let addr = from, next = 0; addr !== end; addr = next, pmd = nextEntry(pmd)) {
    next = addrEnd(addr, end, PMD_SHIFT);
    if ((yield* vmap_pte_range(k, pmd, addr, next, prot, at)) !== 0) return -ENOMEM;
  }
  return 0;
}

function* vmap_pud_range(
  k: Kernel,
  pgd: pte_t,
  from: number,
  end: number,
  prot: pgprot_t,
  at: Progress,
): MaySleep<number> {
  let pud = yield* pud_alloc(k, pgd, from);
  if (pud === 0) return -ENOMEM;
  for (let addr = from, next = 0; addr !== end; addr = next, pud = nextEntry(pud)) {
    next = addrEnd(addr, end, PUD_SHIFT);
    if ((yield* vmap_pmd_range(k, pud, addr, next, prot, at)) !== 0) return -ENOMEM;
  }
  return 0;
}

/**
 * Maps the pages of an array from `start` on. Returns their number, or a negative error.
 *
 * @mirrors mm/vmalloc.c:vmap_page_range_noflush
 */
function* vmap_page_range_noflush(
  k: Kernel,
  start: number,
  end: number,
  prot: pgprot_t,
  pages: VirtAddr,
): MaySleep<number> {
  const at: Progress = { pages, nr: 0 };
  BUG_ON(k, start >= end);
  let pgd = pgd_offset_k(k, start);
  for (let addr = start, next = 0; addr !== end; addr = next, pgd = nextEntry(pgd)) {
    next = addrEnd(addr, end, PGDIR_SHIFT);
    const err = yield* vmap_pud_range(k, pgd, addr, next, prot, at);
    if (err !== 0) return err;
  }
  return at.nr;
}

function vmap_page_range(
  k: Kernel,
  start: number,
  end: number,
  prot: pgprot_t,
  pages: VirtAddr,
): MaySleep<number> {
  return vmap_page_range_noflush(k, start, end, prot, pages); // flush_cache_vmap() does nothing on x86
}

/** The same as is_vmalloc_addr(): there are no modules. @mirrors mm/vmalloc.c:is_vmalloc_or_module_addr */
export function is_vmalloc_or_module_addr(k: Kernel, x: VirtAddr): boolean {
  return is_vmalloc_addr(k, x);
}

/**
 * The page mapped at a vmalloc address, by walking the tables; NULL_PAGE when nothing is mapped.
 *
 * @mirrors mm/vmalloc.c:vmalloc_to_page
 */
export function vmalloc_to_page(k: Kernel, vmalloc_addr: VirtAddr): page {
  const pgd = pgd_offset_k(k, vmalloc_addr);
  if (pte_none(k, pgd)) return NULL_PAGE;
  const pud = pud_offset(k, pgd, vmalloc_addr);
  if (pte_none(k, pud)) return NULL_PAGE;
  const pmd = pmd_offset(k, pud, vmalloc_addr);
  if (pte_none(k, pmd)) return NULL_PAGE;
  const pte = pte_offset_kernel(k, pmd, vmalloc_addr);
  return pte_present(k, pte) ? pte_page(k, pte) : NULL_PAGE;
}

/** Frame number of the page mapped at a vmalloc address. @mirrors mm/vmalloc.c:vmalloc_to_pfn */
export function vmalloc_to_pfn(k: Kernel, vmalloc_addr: VirtAddr): number {
  return vmalloc_to_page(k, vmalloc_addr);
}

/*** Global kva allocator ***/

const vmap_area_lock = KERNEL_STATIC("vmap_area_lock", () => new spinlock_t("vmap_area_lock"));
const free_vmap_area_lock = KERNEL_STATIC(
  "free_vmap_area_lock",
  () => new spinlock_t("free_vmap_area_lock"),
);
/** The busy areas, by address. */
export const vmap_area_list: KernelStatic<list_head<vmap_area>> = KERNEL_STATIC(
  "vmap_area_list",
  () => new list_head<vmap_area>(),
);
export const vmap_purge_list: KernelStatic<llist_head> = KERNEL_STATIC(
  "vmap_purge_list",
  () => new llist_head(),
);
export const vmap_area_root: KernelStatic<rb_root<vmap_area>> = KERNEL_STATIC(
  "vmap_area_root",
  () => new rb_root<vmap_area>(),
);
const vmap_initialized = KERNEL_STATIC("vmap_initialized", () => false);
const vmap_area_cachep = KERNEL_STATIC<kmem_cache | null>("vmap_area_cachep", () => null);
export const free_vmap_area_list: KernelStatic<list_head<vmap_area>> = KERNEL_STATIC(
  "free_vmap_area_list",
  () => new list_head<vmap_area>(),
);
export const free_vmap_area_root: KernelStatic<rb_root<vmap_area>> = KERNEL_STATIC(
  "free_vmap_area_root",
  () => new rb_root<vmap_area>(),
);
/** One spare object per CPU for an allocation that leaves a free area on both sides. */
export const ne_fit_preload_node: PerCpu<vmap_area | null> = DEFINE_PER_CPU(
  "ne_fit_preload_node",
  (): vmap_area | null => null,
);
/** Pages of addresses, guard pages included, that wait for a purge. */
export const vmap_lazy_nr: KernelStatic<number> = KERNEL_STATIC("vmap_lazy_nr", () => 0);
/** A mutex in Linux; nothing sleeps under it here, so that vfree() can be Atomic. */
const vmap_purge_lock = KERNEL_STATIC("vmap_purge_lock", () => new spinlock_t("vmap_purge_lock"));

export const statics: readonly StaticKey[] = [
  vfree_deferred,
  vmap_area_lock,
  free_vmap_area_lock,
  vmap_area_list,
  vmap_purge_list,
  vmap_area_root,
  vmap_initialized,
  vmap_area_cachep,
  free_vmap_area_list,
  free_vmap_area_root,
  ne_fit_preload_node,
  vmap_lazy_nr,
  vmap_purge_lock,
];

/** Adds to an atomic counter and returns the new value: atomic_long_add_return(). A point. */
function* counterAdd(k: Kernel, counter: KernelStatic<number>, i: number): Atomic<number> {
  if (pt(k, POINT_RMW, counter.staticName)) yield STEP;
  counter.set(k, counter(k) + i);
  return counter(k);
}

/** A vmap_area from its cache, null when there is no memory. */
function vmapAreaAlloc<F extends Gfp>(k: Kernel, flags: F): Colour<F, vmap_area | null> {
  return vmapAreaAllocSlow(k, flags) as Colour<F, vmap_area | null>;
}

function* vmapAreaAllocSlow(k: Kernel, flags: Gfp): MaySleep<vmap_area | null> {
  const addr = yield* kmem_cache_alloc(k, vmap_area_cachep(k) as kmem_cache, flags);
  kmemleak_not_leak(k, addr);
  return addr === NULL ? null : new vmap_area(addr);
}

function vmapAreaFree(k: Kernel, va: vmap_area): Atomic<void> {
  return kmem_cache_free(k, vmap_area_cachep(k) as kmem_cache, va.self);
}

/** @mirrors mm/vmalloc.c:va_size */
function va_size(va: vmap_area): number {
  return va.va_end - va.va_start;
}

function get_subtree_max_size(node: rb_node<vmap_area> | null): number {
  return node === null ? 0 : node.owner.subtree_max_size;
}

function compute_subtree_max_size(va: vmap_area): number {
  return Math.max(
    va_size(va),
    get_subtree_max_size(va.rb_node.rb_left),
    get_subtree_max_size(va.rb_node.rb_right),
  );
}

const free_vmap_area_rb_augment_cb = RB_DECLARE_CALLBACKS_MAX<"subtree_max_size", vmap_area>(
  "subtree_max_size",
  va_size,
);

/** Pages that back vmalloc areas now. @mirrors mm/vmalloc.c:vmalloc_nr_pages */
export function vmalloc_nr_pages(k: Kernel): number {
  return nr_vmalloc_pages(k);
}

function __find_vmap_area(k: Kernel, addr: number): vmap_area | null {
  let n = vmap_area_root(k).rb_node;
  while (n !== null) {
    const va = n.owner;
    if (addr < va.va_start) n = n.rb_left;
    else if (addr >= va.va_end) n = n.rb_right;
    else return va;
  }
  return null;
}

/** Where a node belongs in a tree: below `parent` at `link`. */
interface va_links {
  readonly parent: rb_node<vmap_area> | null;
  readonly link: rb_link<vmap_area>;
}

/**
 * Finds where `va` belongs, searching from `from`, or from the root. Overlapping areas are a BUG.
 *
 * @mirrors mm/vmalloc.c:find_va_links
 */
function find_va_links(
  k: Kernel,
  va: vmap_area,
  root: rb_root<vmap_area>,
  from: rb_node<vmap_area> | null,
): va_links {
  let parent = from ?? root.rb_node;
  if (parent === null) return { parent, link: root };
  for (;;) {
    const tmp_va: vmap_area = parent.owner;
    let link: "rb_left" | "rb_right";
    if (va.va_start < tmp_va.va_end && va.va_end <= tmp_va.va_start) link = "rb_left";
    else if (va.va_end > tmp_va.va_start && va.va_start >= tmp_va.va_end) link = "rb_right";
    else BUG(k);
    const below: rb_node<vmap_area> | null = parent[link];
    if (below === null) return { parent, link };
    parent = below;
  }
}

/** The list entry that would follow a node put at `at`; null when the tree is empty. */
function get_va_next_sibling(at: va_links): list_head<vmap_area> | null {
  if (at.parent === null) return null;
  const list = at.parent.owner.list;
  return at.link === "rb_right" ? list.next : list;
}

function link_va(
  k: Kernel,
  va: vmap_area,
  root: rb_root<vmap_area>,
  at: va_links,
  start: list_head<vmap_area>,
): void {
  let head = start;
  if (at.parent !== null) {
    head = at.parent.owner.list;
    if (at.link !== "rb_right") head = head.prev;
  }
  rb_link_node(va.rb_node, at.parent, at.link);
  if (root === free_vmap_area_root(k)) {
    rb_insert_augmented(va.rb_node, root, free_vmap_area_rb_augment_cb);
    va.subtree_max_size = 0; // augment_tree_propagate_from() sets it, now that the node has its place
  } else {
    rb_insert_color(va.rb_node, root);
  }
  list_add(va.list, head);
}

function unlink_va(k: Kernel, va: vmap_area, root: rb_root<vmap_area>): void {
  if (WARN_ON(k, RB_EMPTY_NODE(va.rb_node))) return;
  if (root === free_vmap_area_root(k)) rb_erase_augmented(va.rb_node, root, free_vmap_area_rb_augment_cb);
  else rb_erase(va.rb_node, root);
  list_del_init(va.list);
  RB_CLEAR_NODE(va.rb_node);
}

/** Brings subtree_max_size up to date from `va` upwards, as far as it changes. */
function augment_tree_propagate_from(va: vmap_area): void {
  for (let node: rb_node<vmap_area> | null = va.rb_node; node !== null; node = rb_parent(node)) {
    const new_va_sub_max_size = compute_subtree_max_size(node.owner);
    if (node.owner.subtree_max_size === new_va_sub_max_size) break;
    node.owner.subtree_max_size = new_va_sub_max_size;
  }
}

function insert_vmap_area(
  k: Kernel,
  va: vmap_area,
  root: rb_root<vmap_area>,
  head: list_head<vmap_area>,
): void {
  link_va(k, va, root, find_va_links(k, va, root, null), head);
}

function insert_vmap_area_augment(
  k: Kernel,
  va: vmap_area,
  from: rb_node<vmap_area> | null,
  root: rb_root<vmap_area>,
  head: list_head<vmap_area>,
): void {
  link_va(k, va, root, find_va_links(k, va, root, from), head);
  augment_tree_propagate_from(va);
}

/**
 * Gives a range back to the free tree: joins it with the free areas that touch it, or inserts it.
 *
 * Locks: free_vmap_area_lock. Returns: the area that now contains the range; `va` itself is gone if it was joined.
 *
 * @mirrors mm/vmalloc.c:merge_or_add_vmap_area
 */
function* merge_or_add_vmap_area(
  k: Kernel,
  start: vmap_area,
  root: rb_root<vmap_area>,
  head: list_head<vmap_area>,
): Atomic<vmap_area> {
  let va = start;
  let merged = false;
  const at = find_va_links(k, va, root, null);
  const next = get_va_next_sibling(at);
  if (next !== null) {
    if (next.owner !== null && next.owner.va_start === va.va_end) {
      const sibling = next.owner;
      sibling.va_start = va.va_start;
      augment_tree_propagate_from(sibling);
      yield* vmapAreaFree(k, va);
      va = sibling;
      merged = true;
    }
    const sibling = next.prev.owner;
    if (sibling !== null && sibling.va_end === va.va_start) {
      sibling.va_end = va.va_end;
      augment_tree_propagate_from(sibling);
      if (merged) unlink_va(k, va, root);
      yield* vmapAreaFree(k, va);
      va = sibling;
      merged = true;
    }
  }
  if (!merged) {
    link_va(k, va, root, at, head);
    augment_tree_propagate_from(va);
  }
  return va;
}

/** Where an allocation would start in `va`. */
function startIn(va: vmap_area, align: number, vstart: number): number {
  return alignUp(va.va_start > vstart ? va.va_start : vstart, align);
}

/** Whether the request fits into `va`. Addresses are exact in a double, so nothing overflows as in C. */
function is_within_this_va(va: vmap_area, size: number, align: number, vstart: number): boolean {
  return startIn(va, align, vstart) + size <= va.va_end;
}

/**
 * The lowest free area that takes the request; with an alignment it may miss one that fits exactly.
 *
 * @mirrors mm/vmalloc.c:find_vmap_lowest_match
 */
function find_vmap_lowest_match(k: Kernel, size: number, align: number, vstart: number): vmap_area | null {
  const length = size + align - 1; // room for the alignment
  let node = free_vmap_area_root(k).rb_node;
  while (node !== null) {
    const va = node.owner;
    if (get_subtree_max_size(node.rb_left) >= length && vstart < va.va_start) {
      node = node.rb_left;
      continue;
    }
    if (is_within_this_va(va, size, align, vstart)) return va;
    if (get_subtree_max_size(node.rb_right) >= length) {
      node = node.rb_right;
      continue;
    }
    // Nothing below: go back to the first ancestor that fits or has a right subtree to try. vstart makes this happen,
    // at most once.
    for (node = rb_parent(node); node !== null; node = rb_parent(node)) {
      if (is_within_this_va(node.owner, size, align, vstart)) return node.owner;
      if (get_subtree_max_size(node.rb_right) >= length && vstart <= node.owner.va_start) {
        node = node.rb_right;
        break;
      }
    }
  }
  return null;
}

/** How an allocation lies in the free area it is cut from. */
const NOTHING_FIT = 0;
const FL_FIT_TYPE = 1; // fills it
const LE_FIT_TYPE = 2; // at its left edge
const RE_FIT_TYPE = 3; // at its right edge
const NE_FIT_TYPE = 4; // at no edge

function classify_va_fit_type(va: vmap_area, nva_start_addr: number, size: number): number {
  if (nva_start_addr < va.va_start || nva_start_addr + size > va.va_end) return NOTHING_FIT;
  if (va.va_start === nva_start_addr) {
    return va.va_end === nva_start_addr + size ? FL_FIT_TYPE : LE_FIT_TYPE;
  }
  return va.va_end === nva_start_addr + size ? RE_FIT_TYPE : NE_FIT_TYPE;
}

/**
 * Cuts the allocation out of the free area.
 *
 * Locks: free_vmap_area_lock. Fails: -1 when both sides remain and there is no object for the second one.
 *
 * @mirrors mm/vmalloc.c:adjust_va_to_fit_type
 */
function* adjust_va_to_fit_type(
  k: Kernel,
  va: vmap_area,
  nva_start_addr: number,
  size: number,
  type: number,
): Atomic<number> {
  let lva: vmap_area | null = null;
  switch (type) {
    case FL_FIT_TYPE:
      unlink_va(k, va, free_vmap_area_root(k));
      yield* vmapAreaFree(k, va);
      return 0;
    case LE_FIT_TYPE:
      va.va_start += size;
      break;
    case RE_FIT_TYPE:
      va.va_end = nva_start_addr;
      break;
    case NE_FIT_TYPE:
      lva = this_cpu_ptr(k, ne_fit_preload_node);
      this_cpu_write(k, ne_fit_preload_node, null);
      if (lva === null) {
        lva = yield* vmapAreaAlloc(k, GFP_NOWAIT); // at boot, or after a migration
        if (lva === null) return -1;
      }
      lva.va_start = va.va_start;
      lva.va_end = nva_start_addr;
      va.va_start = nva_start_addr + size;
      break;
    default:
      return -1;
  }
  augment_tree_propagate_from(va);
  if (lva !== null) {
    insert_vmap_area_augment(k, lva, va.rb_node, free_vmap_area_root(k), free_vmap_area_list(k));
  }
  return 0;
}

/**
 * Takes a range from the free tree. Returns its start, or `vend` when there is none.
 *
 * Locks: free_vmap_area_lock.
 *
 * @mirrors mm/vmalloc.c:__alloc_vmap_area
 */
function* __alloc_vmap_area(
  k: Kernel,
  size: number,
  align: number,
  vstart: number,
  vend: number,
): Atomic<number> {
  const va = find_vmap_lowest_match(k, size, align, vstart);
  if (va === null) return vend;
  const nva_start_addr = startIn(va, align, vstart);
  if (nva_start_addr + size > vend) return vend;
  const type = classify_va_fit_type(va, nva_start_addr, size);
  if (WARN_ON_ONCE(k, type === NOTHING_FIT)) return vend;
  return (yield* adjust_va_to_fit_type(k, va, nva_start_addr, size, type)) !== 0 ? vend : nva_start_addr;
}

/**
 * Gives a range back at once; nothing is mapped there.
 *
 * @mirrors mm/vmalloc.c:free_vmap_area
 */
export function* free_vmap_area(k: Kernel, va: vmap_area): Atomic<void> {
  yield* spin_lock(k, vmap_area_lock(k));
  unlink_va(k, va, vmap_area_root(k));
  spin_unlock(k, vmap_area_lock(k));

  yield* spin_lock(k, free_vmap_area_lock(k));
  yield* merge_or_add_vmap_area(k, va, free_vmap_area_root(k), free_vmap_area_list(k));
  spin_unlock(k, free_vmap_area_lock(k));
}

/**
 * Reserves `size` bytes of addresses between `vstart` and `vend`.
 *
 * Units: bytes, a multiple of the page size. Sleeps: yes. Fails: -ENOMEM without memory for the object, -EBUSY when no
 * range is left even after a purge.
 *
 * @mirrors mm/vmalloc.c:alloc_vmap_area
 * @simplified no purge notifiers; the warning has no rate limit
 */
export function* alloc_vmap_area(
  k: Kernel,
  size: number,
  align: number,
  vstart: number,
  vend: number,
  _node: number,
  gfp_mask: Gfp,
): MaySleep<vmap_area | number> {
  BUG_ON(k, size === 0);
  BUG_ON(k, size % PAGE_SIZE !== 0);
  BUG_ON(k, !Number.isInteger(Math.log2(align)));
  if (!vmap_initialized(k)) return -EBUSY;

  might_sleep(k);
  const reclaim_mask = (gfp_mask & GFP_RECLAIM_MASK) as Gfp;
  const va = yield* vmapAreaAlloc(k, reclaim_mask);
  if (va === null) return -ENOMEM;

  let addr = vend;
  for (let purged = false;; purged = true) {
    // The spare object is for a range with free space on both sides. It may end up on another CPU than the allocation;
    // then that one asks with GFP_NOWAIT.
    const pva = this_cpu_ptr(k, ne_fit_preload_node) === null ? yield* vmapAreaAlloc(k, reclaim_mask) : null;
    yield* spin_lock(k, free_vmap_area_lock(k));
    if (pva !== null) {
      if (this_cpu_ptr(k, ne_fit_preload_node) === null) this_cpu_write(k, ne_fit_preload_node, pva);
      else yield* vmapAreaFree(k, pva);
    }
    addr = yield* __alloc_vmap_area(k, size, align, vstart, vend);
    spin_unlock(k, free_vmap_area_lock(k));
    trace_alloc_vmap_area(k, addr, size, align, vstart, vend, addr === vend);
    if (addr !== vend || purged) break;
    yield* purge_vmap_area_lazy(k);
  }
  if (addr === vend) {
    if ((reclaim_mask & ___GFP_NOWARN) === 0) {
      pr_warn(
        k,
        `vmap allocation for size ${size} failed: use vmalloc=<size> to increase size`,
      );
    }
    yield* vmapAreaFree(k, va);
    return -EBUSY;
  }

  va.va_start = addr;
  va.va_end = addr + size;
  va.vm = null;
  yield* spin_lock(k, vmap_area_lock(k));
  insert_vmap_area(k, va, vmap_area_root(k), vmap_area_list(k));
  spin_unlock(k, vmap_area_lock(k));

  BUG_ON(k, va.va_start % align !== 0);
  BUG_ON(k, va.va_start < vstart);
  BUG_ON(k, va.va_end > vend);
  if (k.config.kasan) kasan_populate_vmalloc(k, addr, size);
  return va;
}

/** Clears the page table entries of an area. @mirrors mm/vmalloc.c:unmap_vmap_area */
function unmap_vmap_area(k: Kernel, va: vmap_area): void {
  vunmap_page_range(k, va.va_start, va.va_end);
}

/**
 * How many pages of addresses may wait for a purge: 32 MiB for each binary digit of the number of CPUs online.
 *
 * Units: pages.
 *
 * @mirrors mm/vmalloc.c:lazy_max_pages
 */
export function lazy_max_pages(k: Kernel): number {
  const log = 32 - Math.clz32(num_online_cpus(k)); // fls()
  return log * (32 * 1024 * 1024 / PAGE_SIZE);
}

/** The lazily freed area whose purge_list link stands at `node`. */
function vmapAreaOfPurgeNode(k: Kernel, node: VirtAddr): vmap_area {
  return k.ownerOf(node) as vmap_area;
}

/**
 * Gives the lazily freed ranges back to the free tree. Returns whether there were any.
 *
 * Locks: vmap_purge_lock held; takes free_vmap_area_lock, and lets go of it when others want it or this CPU.
 *
 * @mirrors mm/vmalloc.c:__purge_vmap_area_lazy
 * @simplified where Linux may reschedule between two areas, this only opens the lock: vfree() stays Atomic
 */
function* __purge_vmap_area_lazy(k: Kernel, from: number, to: number): Atomic<boolean> {
  const valist = yield* llist_del_all(k, vmap_purge_list(k));
  if (valist === NULL) return false;

  let start = from;
  let end = to;
  for (let node = valist; node !== NULL; node = llist_next(k, node)) {
    const va = vmapAreaOfPurgeNode(k, node);
    if (va.va_start < start) start = va.va_start;
    if (va.va_end > end) end = va.va_end;
  }
  flush_tlb_kernel_range(k, start, end);
  const resched_threshold = lazy_max_pages(k) * 2;

  let npurged = 0;
  yield* spin_lock(k, free_vmap_area_lock(k));
  for (let node = valist, next = NULL as VirtAddr; node !== NULL; node = next) {
    next = llist_next(k, node);
    const va = vmapAreaOfPurgeNode(k, node);
    const nr = va_size(va) / PAGE_SIZE;
    k.clearOwner(node);
    const { va_start: orig_start, va_end: orig_end } = va;
    const free = yield* merge_or_add_vmap_area(k, va, free_vmap_area_root(k), free_vmap_area_list(k));
    if (k.config.kasan) kasan_release_vmalloc(k, orig_start, orig_end, free.va_start, free.va_end);
    yield* counterAdd(k, vmap_lazy_nr, -nr);
    npurged++;
    if (vmap_lazy_nr(k) < resched_threshold) yield* openLock(k, free_vmap_area_lock(k));
  }
  spin_unlock(k, free_vmap_area_lock(k));
  trace_purge_vmap_area_lazy(k, start, end, npurged);
  return true;
}

/** The part of cond_resched_lock() that does not sleep. */
function* openLock(k: Kernel, lock: spinlock_t): Atomic<void> {
  if (!need_resched(k) && lock.waiters.length === 0) return;
  spin_unlock(k, lock);
  yield* spin_lock(k, lock);
}

/** Purges unless somebody does already. @mirrors mm/vmalloc.c:try_purge_vmap_area_lazy */
function* try_purge_vmap_area_lazy(k: Kernel): Atomic<void> {
  if (!(yield* spin_trylock(k, vmap_purge_lock(k)))) return;
  yield* __purge_vmap_area_lazy(k, ADDRESS_LIMIT, 0);
  spin_unlock(k, vmap_purge_lock(k));
}

/**
 * Purges, after waiting for whoever does it now.
 *
 * Sleeps: Linux may.
 *
 * @mirrors mm/vmalloc.c:purge_vmap_area_lazy
 * @simplified no vmap blocks yet; waits by spinning
 */
export function* purge_vmap_area_lazy(k: Kernel): MaySleep<void> {
  yield* spin_lock(k, vmap_purge_lock(k));
  yield* __purge_vmap_area_lazy(k, ADDRESS_LIMIT, 0);
  spin_unlock(k, vmap_purge_lock(k));
}

/**
 * Puts an unmapped area on the purge list; purges, in the caller's context, when too much waits there.
 *
 * @mirrors mm/vmalloc.c:free_vmap_area_noflush
 */
function* free_vmap_area_noflush(k: Kernel, va: vmap_area): Atomic<void> {
  const va_start = va.va_start;
  yield* spin_lock(k, vmap_area_lock(k));
  unlink_va(k, va, vmap_area_root(k));
  spin_unlock(k, vmap_area_lock(k));

  const nr_lazy = yield* counterAdd(k, vmap_lazy_nr, va_size(va) / PAGE_SIZE);
  const node = va.self + PURGE_LIST_OFFSET as VirtAddr;
  k.setOwner(node, va);
  // From here on another CPU's purge may free va.
  yield* llist_add(k, node, vmap_purge_list(k));
  const nr_lazy_max = lazy_max_pages(k);
  trace_free_vmap_area_noflush(k, va_start, nr_lazy, nr_lazy_max);
  if (nr_lazy > nr_lazy_max) yield* try_purge_vmap_area_lazy(k);
}

/**
 * Unmaps an area and frees its addresses lazily.
 *
 * Translations are forgotten at once, as Linux does with debug_pagealloc: an access after vfree() always faults here,
 * where hardware may still find it in a TLB.
 *
 * @mirrors mm/vmalloc.c:free_unmap_vmap_area
 */
export function* free_unmap_vmap_area(k: Kernel, va: vmap_area): Atomic<void> {
  unmap_vmap_area(k, va);
  flush_tlb_kernel_range(k, va.va_start, va.va_end);
  yield* free_vmap_area_noflush(k, va);
}

/** The busy area that contains `addr`, or null. @mirrors mm/vmalloc.c:find_vmap_area */
export function* find_vmap_area(k: Kernel, addr: VirtAddr): Atomic<vmap_area | null> {
  yield* spin_lock(k, vmap_area_lock(k));
  const va = __find_vmap_area(k, addr);
  spin_unlock(k, vmap_area_lock(k));
  return va;
}

/**
 * The free space at boot: everything but what is busy already.
 *
 * @mirrors mm/vmalloc.c:vmap_init_free_space
 * @simplified addresses have 48 bits here, so the space ends there; nothing is registered before this runs
 */
function* vmap_init_free_space(k: Kernel): Atomic<void> {
  const vmap_start = 1;
  const vmap_end = ADDRESS_LIMIT - 1;
  const addr = yield* kmem_cache_zalloc(k, vmap_area_cachep(k) as kmem_cache, GFP_NOWAIT);
  if (WARN_ON_ONCE(k, addr === NULL)) return;
  kmemleak_not_leak(k, addr);
  const free = new vmap_area(addr);
  free.va_start = vmap_start;
  free.va_end = vmap_end;
  insert_vmap_area_augment(k, free, null, free_vmap_area_root(k), free_vmap_area_list(k));
}

/**
 * Makes vmalloc ready: its cache, its deferred-free works, the root page table and the free space.
 *
 * Context: boot, when the slab allocator works.
 *
 * @mirrors mm/vmalloc.c:vmalloc_init
 */
export function* vmalloc_init(k: Kernel): MaySleep<void> {
  pgtable_setup(k);
  vmap_area_cachep.set(
    k,
    yield* kmem_cache_create(k, "vmap_area", vmap_area_layout.size, vmap_area_layout.align, SLAB_PANIC, null),
  );
  for (const { id } of k.cpus) {
    const p = per_cpu_ptr(k, vfree_deferred, id);
    init_llist_head(p.list);
    INIT_WORK(k, p.wq, free_work);
  }
  yield* vmap_init_free_space(k);
  vmap_initialized.set(k, true);
}

/**
 * Maps the pages of an array at a reserved range. Returns their number, or a negative error.
 *
 * Sleeps: yes, for page tables.
 *
 * @mirrors mm/vmalloc.c:map_kernel_range_noflush
 */
export function map_kernel_range_noflush(
  k: Kernel,
  addr: VirtAddr,
  size: number,
  prot: pgprot_t,
  pages: VirtAddr,
): MaySleep<number> {
  return vmap_page_range_noflush(k, addr, addr + size, prot, pages);
}

/** Unmaps a range; the caller flushes the TLB. @mirrors mm/vmalloc.c:unmap_kernel_range_noflush */
export function unmap_kernel_range_noflush(k: Kernel, addr: VirtAddr, size: number): void {
  vunmap_page_range(k, addr, addr + size);
}

/** Unmaps a range and flushes the TLB. @mirrors mm/vmalloc.c:unmap_kernel_range */
export function unmap_kernel_range(k: Kernel, addr: VirtAddr, size: number): void {
  vunmap_page_range(k, addr, addr + size);
  flush_tlb_kernel_range(k, addr, addr + size);
}

/** Maps the pages of an array at an area. Returns 0 or a negative error. @mirrors mm/vmalloc.c:map_vm_area */
export function* map_vm_area(
  k: Kernel,
  area: vm_struct,
  prot: pgprot_t,
  pages: VirtAddr,
): MaySleep<number> {
  const err = yield* vmap_page_range(k, area.addr, area.addr + get_vm_area_size(area), prot, pages);
  return err > 0 ? 0 : err;
}

/** Writes a pointer that only a class holds to where C has it, for kmemleak to find. @invented see the layouts */
function showPointer(k: Kernel, self: VirtAddr, offset: number, pointer: VirtAddr): void {
  k.ram.rawStorePtr(self - PAGE_OFFSET + offset, pointer);
}

function* setup_vmalloc_vm(
  k: Kernel,
  vm: vm_struct,
  va: vmap_area,
  flags: number,
  caller: number,
): Atomic<void> {
  yield* spin_lock(k, vmap_area_lock(k));
  vm.flags = flags;
  vm.addr = va.va_start as VirtAddr;
  vm.size = va_size(va);
  vm.caller = caller;
  va.vm = vm;
  if (k.config.kmemleak) {
    showPointer(k, va.self, PURGE_LIST_OFFSET, vm.self); // vm and purge_list are one union in C
    showPointer(k, vm.self, VM_ADDR_OFFSET, vm.addr);
  }
  spin_unlock(k, vmap_area_lock(k));
}

function clear_vm_uninitialized_flag(vm: vm_struct): void {
  vm.flags &= ~VM_UNINITIALIZED;
}

/**
 * Reserves an area with its descriptor, and a guard page behind it unless VM_NO_GUARD.
 *
 * Context: process; a BUG in interrupts. Sleeps: yes. Fails: null.
 *
 * @mirrors mm/vmalloc.c:__get_vm_area_node
 */
function* __get_vm_area_node(
  k: Kernel,
  requested_size: number,
  align: number,
  flags: number,
  start: number,
  end: number,
  node: number,
  gfp_mask: Gfp,
  caller: number,
): MaySleep<vm_struct | null> {
  BUG_ON(k, in_interrupt(k));
  let size = alignUp(requested_size, PAGE_SIZE);
  if (size === 0) return null;

  const self = yield* kzalloc(k, vm_struct_layout.size, (gfp_mask & GFP_RECLAIM_MASK) as Gfp);
  if (self === NULL) return null;
  const area = new vm_struct(self);
  if ((flags & VM_NO_GUARD) === 0) size += PAGE_SIZE;

  const va = yield* alloc_vmap_area(k, size, align, start, end, node, gfp_mask);
  if (typeof va === "number") {
    yield* kfree(k, self);
    return null;
  }
  area.birth = k.seq;
  area.requested = requested_size;
  yield* setup_vmalloc_vm(k, area, va, flags, caller);
  return area;
}

/** Call site of the function that called into mm/, if call sites are captured; else 0. */
function returnAddress(k: Kernel): number {
  return k.captureSite === null ? 0 : k.captureSite(0);
}

/**
 * Reserves an area of kernel addresses; nothing is mapped.
 *
 * Sleeps: yes. Fails: null.
 *
 * @mirrors mm/vmalloc.c:get_vm_area
 */
export function get_vm_area(k: Kernel, size: number, flags: number): MaySleep<vm_struct | null> {
  return get_vm_area_caller(k, size, flags, returnAddress(k));
}

function get_vm_area_caller(
  k: Kernel,
  size: number,
  flags: number,
  caller: number,
): MaySleep<vm_struct | null> {
  return __get_vm_area_node(
    k,
    size,
    1,
    flags,
    VMALLOC_START,
    VMALLOC_END,
    NUMA_NO_NODE,
    GFP_KERNEL,
    caller,
  );
}

/**
 * The descriptor of the area that contains `addr`, or null.
 *
 * Locks: the caller sees to it that the area stays.
 *
 * @mirrors mm/vmalloc.c:find_vm_area
 */
export function* find_vm_area(k: Kernel, addr: VirtAddr): Atomic<vm_struct | null> {
  const va = yield* find_vmap_area(k, addr);
  return va === null ? null : va.vm;
}

/**
 * Unmaps the area that contains `addr` and takes it from the busy tree. Returns its descriptor, which the caller frees.
 *
 * Sleeps: Linux says it may, and so does the check here; in fact it never does.
 *
 * @mirrors mm/vmalloc.c:remove_vm_area
 */
export function* remove_vm_area(k: Kernel, addr: VirtAddr): Atomic<vm_struct | null> {
  might_sleep(k);
  yield* spin_lock(k, vmap_area_lock(k));
  const va = __find_vmap_area(k, addr);
  const vm = va === null ? null : va.vm;
  if (va !== null) va.vm = null;
  spin_unlock(k, vmap_area_lock(k));
  if (va === null || vm === null) return null;
  yield* free_unmap_vmap_area(k, va);
  return vm;
}

function* vm_remove_mappings(k: Kernel, area: vm_struct, _deallocate_pages: boolean): Atomic<void> {
  yield* remove_vm_area(k, area.addr);
}

/**
 * Undoes vmalloc() or vmap(): removes the area and, for vmalloc(), frees its pages in ascending order.
 *
 * @mirrors mm/vmalloc.c:__vunmap
 * @simplified without KASAN the pages' own free poisons them
 */
function* __vunmap(k: Kernel, addr: VirtAddr, deallocate_pages: boolean): Atomic<void> {
  if (addr === NULL) return;
  if (offsetInPage(addr) !== 0) {
    WARN(k, true, `Trying to vfree() bad address (${formatAddr(addr)})`);
    return;
  }
  const area = yield* find_vm_area(k, addr);
  if (area === null) {
    WARN(k, true, `Trying to vfree() nonexistent vm area (${formatAddr(addr)})`);
    return;
  }

  if (k.config.debugObjects) debug_check_no_obj_freed(k, area.addr, get_vm_area_size(area));
  if (k.config.kasan && deallocate_pages) {
    kasan_poison_vmalloc(k, area.addr, area.nr_pages, (i) => pageOfArray(k, area.pages, i));
  }
  yield* vm_remove_mappings(k, area, deallocate_pages);
  if (deallocate_pages) {
    for (let i = 0; i < area.nr_pages; i++) {
      const page = pageOfArray(k, area.pages, i);
      BUG_ON(k, page === NULL_PAGE);
      yield* __free_pages(k, page, 0);
    }
    yield* counterAdd(k, nr_vmalloc_pages, -area.nr_pages);
    // kvfree(), which stands in mm/util.ts and calls this file.
    if (is_vmalloc_addr(k, area.pages)) yield* vfree(k, area.pages);
    else yield* kfree(k, area.pages);
  }
  yield* kfree(k, area.self);
}

/** Leaves an area to this CPU's work; the list link overwrites its first 8 bytes. @mirrors mm/vmalloc.c:__vfree_deferred */
function* __vfree_deferred(k: Kernel, addr: VirtAddr): Atomic<void> {
  const p = this_cpu_ptr(k, vfree_deferred);
  if (yield* llist_add(k, addr, p.list)) yield* schedule_work(k, p.wq);
}

/**
 * vfree() for any context: always leaves the work to a worker.
 *
 * @mirrors mm/vmalloc.c:vfree_atomic
 */
export function* vfree_atomic(k: Kernel, addr: VirtAddr): Atomic<void> {
  if (addr === NULL) return;
  if (k.config.kmemleak) kmemleak_free(k, addr);
  trace_vfree(k, addr, true);
  yield* __vfree_deferred(k, addr);
}

function __vfree(k: Kernel, addr: VirtAddr): Atomic<void> {
  return in_interrupt(k) ? __vfree_deferred(k, addr) : __vunmap(k, addr, true);
}

/**
 * Frees what vmalloc() returned; NULL is allowed. In an interrupt, and with bottom halves off, it leaves the work to a
 * worker, which costs the first 8 bytes of the area.
 *
 * Context: process context that may sleep, or interrupts. In task context under a spinlock it is reported: it may sleep
 * in Linux. It is Atomic here all the same, because it must be callable from softirqs and because nothing in it gives up
 * the CPU: might_sleep() only checks, and where Linux may reschedule during a purge the lock is opened instead.
 *
 * @mirrors mm/vmalloc.c:vfree
 */
export function* vfree(k: Kernel, addr: VirtAddr): Atomic<void> {
  if (k.config.kmemleak) kmemleak_free(k, addr);
  might_sleep_if(k, !in_interrupt(k));
  if (addr === NULL) return;
  trace_vfree(k, addr, in_interrupt(k));
  yield* __vfree(k, addr);
}

/**
 * Undoes vmap(): the mapping goes, the pages stay with the caller.
 *
 * Context: process; a BUG in interrupts.
 *
 * @mirrors mm/vmalloc.c:vunmap
 */
export function* vunmap(k: Kernel, addr: VirtAddr): MaySleep<void> {
  BUG_ON(k, in_interrupt(k));
  might_sleep(k);
  if (addr !== NULL) yield* __vunmap(k, addr, false);
}

/**
 * Maps `count` pages, from an array of struct page pointers in memory, at consecutive addresses.
 *
 * Sleeps: yes. Fails: NULL.
 *
 * @mirrors mm/vmalloc.c:vmap
 */
export function* vmap(
  k: Kernel,
  pages: VirtAddr,
  count: number,
  flags: number,
  prot: pgprot_t,
): MaySleep<VirtAddr> {
  might_sleep(k);
  if (count > _totalram_pages(k)) return NULL;
  const size = count * PAGE_SIZE;
  const area = yield* get_vm_area_caller(k, size, flags, returnAddress(k));
  if (area === null) return NULL;
  if ((yield* map_vm_area(k, area, prot, pages)) !== 0) {
    yield* vunmap(k, area.addr);
    return NULL;
  }
  return area.addr;
}

/**
 * Gives an area its pages and maps them.
 *
 * Sleeps: yes. Fails: NULL, with a warning, and then the area is gone.
 *
 * @mirrors mm/vmalloc.c:__vmalloc_area_node
 */
function* __vmalloc_area_node(
  k: Kernel,
  area: vm_struct,
  gfp_mask: Gfp,
  prot: pgprot_t,
  node: number,
): MaySleep<VirtAddr> {
  const nested_gfp = gfp((gfp_mask & GFP_RECLAIM_MASK) as Gfp, __GFP_ZERO);
  const alloc_mask = gfp(gfp_mask, __GFP_NOWARN, __GFP_HIGHMEM);
  const nr_pages = get_vm_area_size(area) / PAGE_SIZE;
  const array_size = nr_pages * SIZEOF_POINTER;

  let pages: VirtAddr;
  if (array_size > PAGE_SIZE) {
    const nested = gfp(nested_gfp, __GFP_HIGHMEM);
    pages = yield* __vmalloc_node(k, array_size, 1, nested, PAGE_KERNEL, node, area.caller);
    const inner = __find_vmap_area(k, pages)?.vm ?? null;
    if (inner !== null) inner.nested = true;
  } else {
    pages = yield* kmalloc(k, array_size, nested_gfp);
  }
  if (pages === NULL) {
    yield* remove_vm_area(k, area.addr);
    yield* kfree(k, area.self);
    return NULL;
  }
  area.pages = pages;
  area.nr_pages = nr_pages;
  if (k.config.kmemleak) showPointer(k, area.self, VM_PAGES_OFFSET, pages);

  let complete = true;
  for (let i = 0; i < nr_pages; i++) {
    const page = yield* alloc_page(k, alloc_mask);
    if (page === NULL_PAGE) {
      area.nr_pages = i; // __vunmap() frees these
      complete = false;
      break;
    }
    mem_map(k).use[page] = PAGE_USE_VMALLOC;
    k.ram.storePtr(pages + i * SIZEOF_POINTER as VirtAddr, structPageAddr(page));
    if (gfpflags_allow_blocking(gfp_mask)) yield* cond_resched(k);
  }
  yield* counterAdd(k, nr_vmalloc_pages, area.nr_pages);
  if (complete && (yield* map_vm_area(k, area, prot, pages)) === 0) return area.addr;

  warn_alloc(
    k,
    gfp_mask,
    `vmalloc: allocation failure, allocated ${area.nr_pages * PAGE_SIZE} of ${area.size} bytes`,
  );
  yield* __vfree(k, area.addr);
  return NULL;
}

/**
 * Makes the bytes behind the request invalid, up to the end of the last page.
 *
 * @invented kasan_unpoison_vmalloc() says in the area's own shadow what is valid, before there are pages
 */
function poisonTail(k: Kernel, area: vm_struct): void {
  const tail = offsetInPage(area.requested as VirtAddr);
  if (tail === 0) return;
  const phys = page_to_phys(pageOfArray(k, area.pages, area.nr_pages - 1));
  k.ram.poison(phys, PAGE_SIZE, SHADOW_VMALLOC_INVALID);
  k.ram.unpoison(phys, tail);
}

/**
 * Allocates pages one by one and maps them at consecutive addresses between `start` and `end`.
 *
 * Context: process. Sleeps: yes, whatever the flags: page tables are allocated with GFP_KERNEL. Fails: NULL, with a
 * warning unless __GFP_NOWARN. The bytes from `size` to the end of the last page are not valid to access.
 *
 * @mirrors mm/vmalloc.c:__vmalloc_node_range
 */
export function* __vmalloc_node_range(
  k: Kernel,
  size: number,
  align: number,
  start: VirtAddr,
  end: VirtAddr,
  gfp_mask: Gfp,
  prot: pgprot_t,
  vm_flags: number,
  node: number,
  caller: number,
): MaySleep<VirtAddr> {
  const pages = alignUp(size, PAGE_SIZE) / PAGE_SIZE;
  const area = pages === 0 || pages > _totalram_pages(k) ? null : yield* __get_vm_area_node(
    k,
    size,
    align,
    VM_ALLOC | VM_UNINITIALIZED | vm_flags,
    start,
    end,
    node,
    gfp_mask,
    caller,
  );
  if (area === null) {
    warn_alloc(k, gfp_mask, `vmalloc: allocation failure: ${size} bytes`);
    return NULL;
  }
  const addr = yield* __vmalloc_area_node(k, area, gfp_mask, prot, node);
  if (addr === NULL) return NULL;

  poisonTail(k, area);
  clear_vm_uninitialized_flag(area);
  if (k.config.kmemleak) kmemleak_vmalloc(k, area.self, addr, pages * PAGE_SIZE, gfp_mask);
  trace_vmalloc(k, addr, size, pages * PAGE_SIZE, gfp_mask);
  area.birth = k.seq;
  return addr;
}

function __vmalloc_node(
  k: Kernel,
  size: number,
  align: number,
  gfp_mask: Gfp,
  prot: pgprot_t,
  node: number,
  caller: number,
): MaySleep<VirtAddr> {
  return __vmalloc_node_range(
    k,
    size,
    align,
    VMALLOC_START,
    VMALLOC_END,
    gfp_mask,
    prot,
    0,
    node,
    caller,
  );
}

/**
 * vmalloc() with flags and protection of the caller's choice.
 *
 * Context: process. Sleeps: yes. Fails: NULL.
 *
 * @mirrors mm/vmalloc.c:__vmalloc
 */
export function __vmalloc(k: Kernel, size: number, gfp_mask: Gfp, prot: pgprot_t): MaySleep<VirtAddr> {
  return __vmalloc_node(k, size, 1, gfp_mask, prot, NUMA_NO_NODE, returnAddress(k));
}

function __vmalloc_node_flags(k: Kernel, size: number, node: number, flags: Gfp): MaySleep<VirtAddr> {
  return __vmalloc_node(k, size, 1, flags, PAGE_KERNEL, node, returnAddress(k));
}

/** vmalloc() with flags, for kvmalloc(). Sleeps: yes. @mirrors mm/vmalloc.c:__vmalloc_node_flags_caller */
export function __vmalloc_node_flags_caller(
  k: Kernel,
  size: number,
  node: number,
  flags: Gfp,
): MaySleep<VirtAddr> {
  return __vmalloc_node(k, size, 1, flags, PAGE_KERNEL, node, returnAddress(k));
}

/**
 * Allocates `size` bytes, contiguous in virtual addresses only.
 *
 * Context: process. Sleeps: yes. Fails: NULL, with a warning.
 *
 * @mirrors mm/vmalloc.c:vmalloc
 */
export function vmalloc(k: Kernel, size: number): MaySleep<VirtAddr> {
  return __vmalloc_node_flags(k, size, NUMA_NO_NODE, GFP_KERNEL);
}

/** vmalloc() of zeroed memory. @mirrors mm/vmalloc.c:vzalloc */
export function vzalloc(k: Kernel, size: number): MaySleep<VirtAddr> {
  return __vmalloc_node_flags(k, size, NUMA_NO_NODE, gfp(GFP_KERNEL, __GFP_ZERO));
}

/** vmalloc() on a node; there is one. @mirrors mm/vmalloc.c:vmalloc_node */
export function vmalloc_node(k: Kernel, size: number, node: number): MaySleep<VirtAddr> {
  return __vmalloc_node(k, size, 1, GFP_KERNEL, PAGE_KERNEL, node, returnAddress(k));
}

/** vzalloc() on a node; there is one. @mirrors mm/vmalloc.c:vzalloc_node */
export function vzalloc_node(k: Kernel, size: number, node: number): MaySleep<VirtAddr> {
  return __vmalloc_node_flags(k, size, node, gfp(GFP_KERNEL, __GFP_ZERO));
}

/** Gives back what get_vm_area() returned. @mirrors mm/vmalloc.c:free_vm_area */
export function* free_vm_area(k: Kernel, area: vm_struct): MaySleep<void> {
  const ret = yield* remove_vm_area(k, area.addr);
  BUG_ON(k, ret !== area);
  yield* kfree(k, area.self);
}

// /proc/vmallocinfo

function rangeText(start: number, end: number): string {
  return `0x${formatAddr(start)}-0x${formatAddr(end)} ${String(end - start).padStart(7)}`;
}

/** The areas of an address-sorted list, lowest first. @invented list_for_each_entry() */
export function* areasOf(head: list_head<vmap_area>): Iterable<vmap_area> {
  for (let at = head.next; at.owner !== null; at = at.next) yield at.owner;
}

/** Areas on the purge list, newest first; looking is not an access. @invented llist_for_each_entry() */
export function* lazyAreas(k: Kernel): Iterable<vmap_area> {
  for (let node = vmap_purge_list(k).first; node !== NULL;) {
    yield vmapAreaOfPurgeNode(k, node);
    node = k.ram.rawLoadPtr(k.ram.translate(node));
  }
}

function show_purge_info(k: Kernel): string {
  let text = "";
  for (const va of lazyAreas(k)) text += `${rangeText(va.va_start, va.va_end)} unpurged vm_area\n`;
  return text;
}

/**
 * The lines of one busy area; after the last one also those of the lazily freed areas.
 *
 * @mirrors mm/vmalloc.c:s_show
 */
function s_show(k: Kernel, va: vmap_area): string {
  const v = va.vm;
  if (v === null) return `${rangeText(va.va_start, va.va_end)} vm_map_ram\n`;
  let text = rangeText(v.addr, v.addr + v.size);
  if (v.caller !== 0) text += ` ${k.siteName(v.caller)}`;
  if (v.nr_pages !== 0) text += ` pages=${v.nr_pages}`;
  if (v.phys_addr !== 0) text += ` phys=0x${formatAddr(v.phys_addr)}`;
  if ((v.flags & VM_IOREMAP) !== 0) text += " ioremap";
  if ((v.flags & VM_ALLOC) !== 0) text += " vmalloc";
  if ((v.flags & VM_MAP) !== 0) text += " vmap";
  if ((v.flags & VM_USERMAP) !== 0) text += " user";
  if ((v.flags & VM_DMA_COHERENT) !== 0) text += " dma-coherent";
  if (is_vmalloc_addr(k, v.pages)) text += " vpages";
  text += "\n";
  return va.list.next.owner === null ? text + show_purge_info(k) : text;
}

/** The text of /proc/vmallocinfo. A plain function, so it needs no locks. @invented the seq_file iterators in one */
export function vmallocinfo(k: Kernel): string {
  let text = "";
  for (const va of areasOf(vmap_area_list(k))) text += s_show(k, va);
  return text;
}

// What leak verdicts ask

/** An area that somebody allocated and has not freed. @invented leak verdicts read live tables */
export interface LiveArea {
  readonly addr: VirtAddr;
  /** Bytes asked for. */
  readonly size: number;
  /** Number of the event that allocated it. */
  readonly birth: number;
  readonly area: vm_struct;
}

/**
 * The areas that users hold, lowest first; page arrays of other areas and half-made areas are left out.
 *
 * @invented see LiveArea
 */
export function* vmallocLiveAreas(k: Kernel): Generator<LiveArea, void, void> {
  for (const { vm } of areasOf(vmap_area_list(k))) {
    if (vm === null || vm.nested || (vm.flags & VM_UNINITIALIZED) !== 0) continue;
    yield { addr: vm.addr, size: vm.requested, birth: vm.birth, area: vm };
  }
}

/** The busy area that contains `addr`, or null; a look. @invented see LiveArea */
export function vmallocAreaAt(k: Kernel, addr: VirtAddr): vm_struct | null {
  return __find_vmap_area(k, addr)?.vm ?? null;
}

/** Addresses of the objects and page arrays that vmalloc allocated for itself. @invented see LiveArea */
export function* vmallocOwnAddresses(k: Kernel): Generator<VirtAddr, void, void> {
  for (const va of areasOf(vmap_area_list(k))) {
    yield va.self;
    if (va.vm === null) continue;
    yield va.vm.self;
    if (va.vm.pages !== NULL) yield va.vm.pages;
  }
  for (const va of areasOf(free_vmap_area_list(k))) yield va.self;
  for (const va of lazyAreas(k)) yield va.self;
  for (const { id } of k.cpus) {
    const spare = per_cpu_ptr(k, ne_fit_preload_node, id);
    if (spare !== null) yield spare.self;
  }
}
