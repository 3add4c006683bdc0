// SPDX-License-Identifier: GPL-2.0-only
/**
 * The zoned buddy allocator with its per-CPU lists. Mirrors mm/page_alloc.c (v5.7.14, DEBUG_VM on), show_mem() of
 * lib/show_mem.c and the few inline functions of gfp.h and mm.h that belong to it.
 *
 * A page is its frame number, so parameters `pfn` beside `page` are left out. Invariants, which checkBuddy() looks at: a
 * free page stands in exactly one free block or on one per-CPU list; two free buddies are merged; NR_FREE_PAGES is what
 * the free lists hold. A page whose state is wrong is reported and leaked, never put on a list.
 *
 * Allocating and freeing single pages through the per-CPU list is plain code; everything that takes zone->lock is a
 * generator with the lock's point in front. Left out: compaction beyond its call sites, NUMA, CMA,
 * isolation, memory hotplug, page_frag, debug_pagealloc and guard pages, page poisoning, page owner.
 *
 * @module
 */

import { PAGE_OFFSET, PAGE_SIZE } from "../kernel/machine/addr.ts";
import { assert } from "../kernel/machine/assert.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import { CLEAR_PAGE_NS } from "../kernel/machine/cost.ts";
import { type Atomic, done, doneVoid, type MaySleep, STEP } from "../kernel/machine/effects.ts";
import { POINT_ALLOC, pt } from "../kernel/machine/points.ts";
import { SHADOW_FREE_PAGE } from "../kernel/machine/ram.ts";
import { BUG_ON, WARN_ON_ONCE } from "../kernel/bug.ts";
import { debug_check_no_obj_freed } from "../kernel/debugobjects.ts";
import { for_each_online_cpu, for_each_possible_cpu } from "../kernel/cpumask.ts";
import { failRulesExist, fault_attr, should_fail, shouldFailExactly } from "../kernel/fault_inject.ts";
import {
  ___GFP_ATOMIC,
  ___GFP_COMP,
  ___GFP_DIRECT_RECLAIM,
  ___GFP_DMA,
  ___GFP_DMA32,
  ___GFP_FS,
  ___GFP_HARDWALL,
  ___GFP_HIGH,
  ___GFP_HIGHMEM,
  ___GFP_IO,
  ___GFP_KSWAPD_RECLAIM,
  ___GFP_MEMALLOC,
  ___GFP_MOVABLE,
  ___GFP_NOFAIL,
  ___GFP_NOMEMALLOC,
  ___GFP_NORETRY,
  ___GFP_NOWARN,
  ___GFP_RETRY_MAYFAIL,
  ___GFP_THISNODE,
  ___GFP_ZERO,
  type Colour,
  type Gfp,
  show_gfp_flags,
} from "../kernel/gfp.ts";
import { type Kernel, NULL } from "../kernel/kernel.ts";
import { might_lock } from "../kernel/locking/lockdep.ts";
import {
  spin_lock,
  spin_lock_irqsave,
  spin_unlock,
  spin_unlock_irqrestore,
} from "../kernel/locking/spinlock.ts";
import {
  in_interrupt,
  in_serving_softirq,
  local_irq_restore,
  local_irq_save,
  smp_processor_id,
} from "../kernel/preempt.ts";
import {
  dumpStackLines,
  KERN_ALERT,
  KERN_DEBUG,
  KERN_WARNING,
  pr_info,
  pr_warn,
  printk,
  report,
} from "../kernel/printk.ts";
import { ___ratelimit, ratelimit_state } from "../kernel/ratelimit.ts";
import { cond_resched, might_sleep } from "../kernel/sched/core.ts";
import {
  current,
  PF_MEMALLOC,
  PF_MEMALLOC_NOFS,
  PF_MEMALLOC_NOIO,
  PF_WQ_WORKER,
  rt_task,
} from "../kernel/sched/sched.ts";
import {
  DEFINE_PER_CPU,
  KERNEL_STATIC,
  type KernelStatic,
  per_cpu_ptr,
  type StaticKey,
} from "../kernel/static.ts";
import { schedule_timeout_uninterruptible } from "../kernel/time/timer.ts";
import {
  trace_mm_page_alloc,
  trace_mm_page_alloc_extfrag,
  trace_mm_page_alloc_zone_locked,
  trace_mm_page_free,
  trace_mm_page_free_batched,
  trace_mm_page_pcpu_drain,
} from "../kernel/trace/events/kmem.ts";
import { show_page_flags } from "../kernel/trace/events/mmflags.ts";
import { dumpPageLines, VM_BUG_ON_PAGE } from "./debug.ts";
import { gfp_allowed_mask } from "./internal.ts";
import {
  compound_head,
  get_order,
  list_add,
  list_add_tail,
  list_del,
  mem_map,
  type mem_map_t,
  NULL_PAGE,
  type page,
  page_address,
  PAGE_FLAGS_CHECK_AT_FREE,
  PAGE_FLAGS_CHECK_AT_PREP,
  page_list,
  page_to_phys,
  PAGE_TYPES,
  PG_buddy,
  PG_head,
  PG_reserved,
  virt_to_page,
} from "./mm_types.ts";
import {
  alloc_context,
  ALLOC_CPUSET,
  ALLOC_HARDER,
  ALLOC_HIGH,
  ALLOC_KSWAPD,
  ALLOC_NO_WATERMARKS,
  ALLOC_NOFRAGMENT,
  ALLOC_OOM,
  ALLOC_WMARK_HIGH,
  ALLOC_WMARK_LOW,
  ALLOC_WMARK_MASK,
  ALLOC_WMARK_MIN,
  contig_page_data,
  type free_area,
  free_area_empty,
  get_page_from_free_area,
  get_pageblock_migratetype,
  high_wmark_pages,
  K,
  low_wmark_pages,
  managed_zone,
  MAX_NR_ZONES,
  MAX_ORDER,
  MAX_RECLAIM_RETRIES,
  MIGRATE_HIGHATOMIC,
  MIGRATE_MOVABLE,
  MIGRATE_PCPTYPES,
  MIGRATE_RECLAIMABLE,
  MIGRATE_TYPES,
  MIGRATE_UNMOVABLE,
  min_wmark_pages,
  NR_BOUNCE,
  NR_FREE_PAGES,
  NR_KERNEL_MISC_RECLAIMABLE,
  NR_KERNEL_STACK_KB,
  NR_PAGETABLE,
  NR_SLAB_RECLAIMABLE,
  NR_SLAB_UNRECLAIMABLE,
  PAGE_ALLOC_COSTLY_ORDER,
  page_zone,
  pageblock_nr_pages,
  pageblock_order,
  type per_cpu_pages,
  per_cpu_pageset,
  populated_zone,
  set_pfnblock_flags_mask,
  WMARK_HIGH,
  WMARK_LOW,
  WMARK_MIN,
  wmark_pages,
  type zone,
  ZONE_BOOSTED_WATERMARK,
  zone_end_pfn,
  zone_idx,
  zone_managed_pages,
  ZONE_MOVABLE,
  ZONE_NORMAL,
  zone_spans_pfn,
  type zoneref,
} from "./mmzone.ts";
import { oom_control, out_of_memory, tsk_is_oom_victim } from "./oom_kill.ts";
import { try_to_free_pages, wakeup_kswapd, zone_reclaimable_pages } from "./vmscan.ts";
import {
  count_vm_event,
  count_vm_events,
  global_node_page_state,
  global_zone_page_state,
  PGALLOC_NORMAL,
  PGFREE,
  vm_events_fold_cpu,
  zone_page_state,
} from "./vmstat.ts";

export { gfp_allowed_mask } from "./internal.ts";
export { mod_node_page_state, mod_zone_page_state } from "./vmstat.ts";
export { checkBuddy } from "./check_buddy.ts";

const MIN_PERCPU_PAGELIST_FRACTION = 8;
const NS_PER_SEC = 1e9;

/** Pages that the allocator manages, in all zones. @mirrors mm/page_alloc.c:_totalram_pages */
export const _totalram_pages: KernelStatic<number> = KERNEL_STATIC("_totalram_pages", () => 0);
/** Pages that nobody should count on: watermarks and reserves. @mirrors mm/page_alloc.c:totalreserve_pages */
export const totalreserve_pages: KernelStatic<number> = KERNEL_STATIC("totalreserve_pages", () => 0);
/** @mirrors mm/page_alloc.c:percpu_pagelist_fraction */
export const percpu_pagelist_fraction: KernelStatic<number> = KERNEL_STATIC(
  "percpu_pagelist_fraction",
  () => 0,
);
/** @mirrors mm/page_alloc.c:sysctl_lowmem_reserve_ratio */
export const sysctl_lowmem_reserve_ratio: KernelStatic<number[]> = KERNEL_STATIC(
  "sysctl_lowmem_reserve_ratio",
  () => [32, 0],
);
/** @mirrors mm/page_alloc.c:min_free_kbytes */
export const min_free_kbytes: KernelStatic<number> = KERNEL_STATIC("min_free_kbytes", () => 1024);
/** @mirrors mm/page_alloc.c:user_min_free_kbytes */
export const user_min_free_kbytes: KernelStatic<number> = KERNEL_STATIC("user_min_free_kbytes", () => -1);
/** Units: hundredths of a percent of the high watermark. @mirrors mm/page_alloc.c:watermark_boost_factor */
export const watermark_boost_factor: KernelStatic<number> = KERNEL_STATIC(
  "watermark_boost_factor",
  () => 15000,
);
/** Units: hundredths of a percent of the zone. @mirrors mm/page_alloc.c:watermark_scale_factor */
export const watermark_scale_factor: KernelStatic<number> = KERNEL_STATIC("watermark_scale_factor", () => 10);
/**
 * Whether migratetypes share pageblocks, on a machine too small to keep them apart.
 *
 * @mirrors mm/page_alloc.c:page_group_by_mobility_disabled
 */
export const page_group_by_mobility_disabled: KernelStatic<boolean> = KERNEL_STATIC(
  "page_group_by_mobility_disabled",
  () => false,
);
/** @mirrors mm/vmscan.c:vm_total_pages */
export const vm_total_pages: KernelStatic<number> = KERNEL_STATIC("vm_total_pages", () => 0);

/** Per-CPU lists until setup_per_cpu_pageset(): they hold nothing. */
const boot_pageset = DEFINE_PER_CPU("boot_pageset", () => new per_cpu_pageset());

/** @invented C's structure has no tag */
export class fail_page_alloc_t {
  readonly attr: fault_attr = new fault_attr("fail_page_alloc");
  ignore_gfp_highmem = true;
  ignore_gfp_reclaim = true;
  min_order = 1;
}

/** Boot option and debugfs folder fail_page_alloc. @mirrors mm/page_alloc.c:fail_page_alloc */
export const fail_page_alloc: KernelStatic<fail_page_alloc_t> = KERNEL_STATIC(
  "fail_page_alloc",
  () => new fail_page_alloc_t(),
);

/** Counts of bad_page(). */
class bad_page_counts {
  resume = 0;
  nr_shown = 0;
  nr_unshown = 0;
}
const bad_page_count = KERNEL_STATIC("bad_page.nr_shown", () => new bad_page_counts());
const nopage_rs = KERNEL_STATIC("nopage_rs", () => new ratelimit_state(10 * NS_PER_SEC, 1));
/** Only ever tried, never waited for, so a flag does. @mirrors mm/oom_kill.c:oom_lock */
const oom_lock = KERNEL_STATIC("oom_lock", () => false);

export const statics: readonly StaticKey[] = [
  _totalram_pages,
  totalreserve_pages,
  percpu_pagelist_fraction,
  min_free_kbytes,
  user_min_free_kbytes,
  watermark_boost_factor,
  watermark_scale_factor,
  sysctl_lowmem_reserve_ratio,
  page_group_by_mobility_disabled,
  vm_total_pages,
  boot_pageset,
  fail_page_alloc,
  bad_page_count,
  nopage_rs,
  oom_lock,
];

const zone_names: readonly string[] = ["Normal", "Movable"];

function get_pcppage_migratetype(m: mem_map_t, page: page): number {
  return m.index[page];
}

function set_pcppage_migratetype(m: mem_map_t, page: page, migratetype: number): void {
  m.index[page] = migratetype;
}

/** @mirrors mm/page_alloc.c:set_pageblock_migratetype */
export function set_pageblock_migratetype(k: Kernel, zone: zone, page: page, migratetype: number): void {
  if (page_group_by_mobility_disabled(k) && migratetype < MIGRATE_PCPTYPES) migratetype = MIGRATE_UNMOVABLE;
  set_pfnblock_flags_mask(zone, page, migratetype);
}

function bad_page(k: Kernel, page: page, reason: string, bad_flags: number): void {
  const m = mem_map(k);
  const counts = bad_page_count(k);
  if (counts.nr_shown === 60) {
    if (k.now() < counts.resume) {
      counts.nr_unshown++;
      m._mapcount[page] = -1;
      return;
    }
    if (counts.nr_unshown !== 0) {
      printk(k, KERN_ALERT, `BUG: Bad page state: ${counts.nr_unshown} messages suppressed`);
      counts.nr_unshown = 0;
    }
    counts.nr_shown = 0;
  }
  if (counts.nr_shown++ === 0) counts.resume = k.now() + 60 * NS_PER_SEC;

  const pfn = page.toString(16).padStart(5, "0");
  const title = `BUG: Bad page state in process ${current(k).comm}  pfn:${pfn}`;
  const lines = [title, ...dumpPageLines(k, page, reason)];
  const flags = bad_flags & m.flags[page];
  if (flags !== 0) lines.push(`bad because of flags: 0x${flags.toString(16)}(${show_page_flags(flags)})`);
  lines.push("Modules linked in:", ...dumpStackLines(k));
  report(k, KERN_ALERT, title, lines);
  // PG_buddy stays: a page that is on a free list stays consistent with it.
  m._mapcount[page] = -1;
}

function free_compound_page(k: Kernel, page: page): Atomic<void> {
  return __free_pages_ok(k, page, mem_map(k).compound_order[page]);
}

/**
 * Ties the pages of a block together: tail pages point to the head.
 *
 * @mirrors mm/page_alloc.c:prep_compound_page
 */
export function prep_compound_page(k: Kernel, page: page, order: number): void {
  const m = mem_map(k);
  const nr_pages = 1 << order;
  m.compound_order[page] = order;
  m.flags[page] |= PG_head;
  m._refcount.fill(0, page + 1, page + nr_pages);
  m.compound_head.fill(page, page + 1, page + nr_pages);
}

function set_page_order(m: mem_map_t, page: page, order: number): void {
  m.private[page] = order;
  m.flags[page] |= PG_buddy;
}

/** Whether `buddy` is a free block of this order, so that the two merge. */
function page_is_buddy(m: mem_map_t, buddy: number, order: number): boolean {
  return buddy < m.nrPages && (m.flags[buddy] & PG_buddy) !== 0 && m.private[buddy] === order;
}

function add_to_free_list(m: mem_map_t, page: page, zone: zone, order: number, migratetype: number): void {
  const area = zone.free_area[order];
  list_add(m, page, area.free_list[migratetype]);
  m.free_list[page] = migratetype;
  area.nr_free++;
}

function add_to_free_list_tail(
  m: mem_map_t,
  page: page,
  zone: zone,
  order: number,
  migratetype: number,
): void {
  const area = zone.free_area[order];
  list_add_tail(m, page, area.free_list[migratetype]);
  m.free_list[page] = migratetype;
  area.nr_free++;
}

function move_to_free_list(m: mem_map_t, page: page, zone: zone, order: number, migratetype: number): void {
  const area = zone.free_area[order];
  list_del(m, page, area.free_list[m.free_list[page]]);
  list_add(m, page, area.free_list[migratetype]);
  m.free_list[page] = migratetype;
}

function del_page_from_free_list(m: mem_map_t, page: page, zone: zone, order: number): void {
  const area = zone.free_area[order];
  list_del(m, page, area.free_list[m.free_list[page]]);
  m.flags[page] &= ~PG_buddy;
  m.private[page] = 0;
  area.nr_free--;
}

/** @mirrors mm/internal.h:__find_buddy_pfn */
function __find_buddy_pfn(page: number, order: number): number {
  return page ^ (1 << order);
}

/** Whether the buddy of the merged block is free too: then the block is put where it is used last. */
function buddy_merge_likely(m: mem_map_t, page: number, buddy: number, order: number): boolean {
  if (order >= MAX_ORDER - 2) return false;
  return page_is_buddy(m, __find_buddy_pfn(buddy & page, order + 1), order + 1);
}

/** Puts a block on the free lists, merged with its buddies as far as possible. The zone lock is held. */
function __free_one_page(m: mem_map_t, page: page, zone: zone, order: number, migratetype: number): void {
  zone.vm_stat[NR_FREE_PAGES] += 1 << order;
  let buddy = 0;
  // Without isolated pageblocks the two loops of C (below and above pageblock_order) are one.
  while (order < MAX_ORDER - 1) {
    buddy = __find_buddy_pfn(page, order);
    if (!page_is_buddy(m, buddy, order)) break;
    del_page_from_free_list(m, buddy as page, zone, order);
    page = (buddy & page) as page;
    order++;
  }
  set_page_order(m, page, order);
  if (buddy_merge_likely(m, page, buddy, order)) add_to_free_list_tail(m, page, zone, order, migratetype);
  else add_to_free_list(m, page, zone, order, migratetype);
}

function page_expected_state(m: mem_map_t, page: page, check_flags: number): boolean {
  return m._mapcount[page] === -1 &&
    (m._refcount[page] | (m.flags[page] & (check_flags | PAGE_TYPES))) === 0;
}

/** Whether a type stands where _mapcount would be. */
function hasMapcount(m: mem_map_t, page: page): boolean {
  return m._mapcount[page] !== -1 || (m.flags[page] & PAGE_TYPES) !== 0;
}

function free_pages_check_bad(k: Kernel, m: mem_map_t, page: page): void {
  let bad_reason = "";
  let bad_flags = 0;
  if (hasMapcount(m, page)) bad_reason = "nonzero mapcount";
  if (m._refcount[page] !== 0) bad_reason = "nonzero _refcount";
  if ((m.flags[page] & PAGE_FLAGS_CHECK_AT_FREE) !== 0) {
    bad_reason = "PAGE_FLAGS_CHECK_AT_FREE flag(s) set";
    bad_flags = PAGE_FLAGS_CHECK_AT_FREE;
  }
  bad_page(k, page, bad_reason, bad_flags);
}

/** Whether the page must not be freed; it is then reported. */
function free_pages_check(k: Kernel, m: mem_map_t, page: page): boolean {
  if (page_expected_state(m, page, PAGE_FLAGS_CHECK_AT_FREE)) return false;
  free_pages_check_bad(k, m, page);
  return true;
}

/**
 * Whether a tail page does not belong to its head; unties it.
 *
 * @simplified tail pages have no mapping that could be corrupted
 */
function free_tail_pages_check(k: Kernel, m: mem_map_t, head_page: page, page: page): boolean {
  const head = m.compound_head[page];
  if (head === 0) bad_page(k, page, "PageTail not set", 0);
  else if (head !== head_page) bad_page(k, page, "compound_head not consistent", 0);
  m.compound_head[page] = 0;
  return head !== head_page;
}

function kernel_init_free_pages(k: Kernel, page: page, numpages: number): void {
  k.ram.rawFill(page_to_phys(page), numpages * PAGE_SIZE, 0);
  k.charge(numpages * CLEAR_PAGE_NS);
}

/** Checks a block that is freed and forgets what it was. False: something is wrong, it must not be freed. */
function free_pages_prepare(
  k: Kernel,
  m: mem_map_t,
  page: page,
  order: number,
  check_free: boolean,
): boolean {
  let bad = false;
  trace_mm_page_free(k, page, order);
  if (order !== 0) {
    const compound = (m.flags[page] & PG_head) !== 0;
    for (let i = 1; i < 1 << order; i++) {
      const p = (page + i) as page;
      if (compound && free_tail_pages_check(k, m, page, p)) bad = true;
      if (free_pages_check(k, m, p)) bad = true;
      else m.flags[p] &= ~PAGE_FLAGS_CHECK_AT_PREP;
    }
  }
  if (check_free && free_pages_check(k, m, page)) bad = true;
  if (bad) return false;

  m.flags[page] &= ~PAGE_FLAGS_CHECK_AT_PREP;
  m.compound_order[page] = 0;
  m.birth[page] = 0;
  m.order[page] = 0;
  m.use[page] = 0;
  if (k.config.debugObjects) debug_check_no_obj_freed(k, page_address(page), PAGE_SIZE << order);
  k.ram.poison(page_to_phys(page), PAGE_SIZE << order, SHADOW_FREE_PAGE);
  return true;
}

function free_pcp_prepare(k: Kernel, m: mem_map_t, page: page): boolean {
  return free_pages_prepare(k, m, page, 0, true);
}

/**
 * Gives `count` pages of a per-CPU list back to the free lists, in turns from its three lists, the oldest first.
 *
 * Context: interrupts off. Locks: takes zone->lock.
 */
function* free_pcppages_bulk(k: Kernel, zone: zone, count: number, pcp: per_cpu_pages): Atomic<void> {
  const m = mem_map(k);
  const head = new page_list();
  let migratetype = 0;
  let batch_free = 0;
  // Not in 5.7, where high < batch would go round for ever; 5.8 has it.
  count = Math.min(pcp.count, count);
  while (count > 0) {
    let list: page_list;
    do {
      batch_free++;
      if (++migratetype === MIGRATE_PCPTYPES) migratetype = 0;
      list = pcp.lists[migratetype];
    } while (list.first === NULL_PAGE);
    if (batch_free === MIGRATE_PCPTYPES) batch_free = count;
    do {
      const page = list.last;
      list_del(m, page, list);
      pcp.count--;
      list_add_tail(m, page, head);
    } while (--count > 0 && --batch_free > 0 && list.first !== NULL_PAGE);
  }

  yield* spin_lock(k, zone.lock);
  for (let page = head.first; page !== NULL_PAGE; page = head.first) {
    const mt = get_pcppage_migratetype(m, page);
    list_del(m, page, head);
    __free_one_page(m, page, zone, 0, mt);
    trace_mm_page_pcpu_drain(k, page, 0, mt);
  }
  spin_unlock(k, zone.lock);
}

function* free_one_page(k: Kernel, zone: zone, page: page, order: number, migratetype: number): Atomic<void> {
  yield* spin_lock(k, zone.lock);
  __free_one_page(mem_map(k), page, zone, order, migratetype);
  spin_unlock(k, zone.lock);
}

/** Marks pages that boot keeps. @mirrors mm/page_alloc.c:reserve_bootmem_region */
function reserve_bootmem_region(k: Kernel, start_pfn: number, end_pfn: number): void {
  mem_map(k).flags.fill(PG_reserved, start_pfn, end_pfn);
}

function* __free_pages_ok(k: Kernel, page: page, order: number): Atomic<void> {
  const m = mem_map(k);
  const zone = page_zone(k, page);
  VM_BUG_ON_PAGE(k, page % (1 << order) !== 0, page, "pfn & ((1 << order) - 1)");
  VM_BUG_ON_PAGE(
    k,
    (m.flags[page] & PG_head) !== 0 && m.compound_order[page] !== order,
    page,
    "compound && compound_order(page) != order",
  );
  if (!free_pages_prepare(k, m, page, order, true)) return;
  const migratetype = get_pageblock_migratetype(zone, page);
  const flags = local_irq_save(k);
  count_vm_events(k, PGFREE, 1 << order);
  yield* free_one_page(k, zone, page, order, migratetype);
  local_irq_restore(k, flags);
}

/**
 * Gives a block of boot memory to the allocator.
 *
 * Context: boot, one CPU.
 *
 * @mirrors mm/page_alloc.c:__free_pages_core
 * @simplified straight to the free lists: nobody else runs, nothing is to be checked, and the shadow of memory that was
 *   never handed out says so already
 */
export function __free_pages_core(k: Kernel, page: page, order: number): void {
  const m = mem_map(k);
  const zone = page_zone(k, page);
  const nr_pages = 1 << order;
  m.flags.fill(0, page, page + nr_pages);
  m._refcount.fill(0, page, page + nr_pages);
  zone.managed_pages += nr_pages;
  count_vm_events(k, PGFREE, nr_pages);
  __free_one_page(m, page, zone, order, get_pageblock_migratetype(zone, page));
}

// What is left when a block is split goes to the free lists: the upper half, the upper half of the lower half, and so on.
function expand(
  m: mem_map_t,
  zone: zone,
  page: page,
  low: number,
  high: number,
  migratetype: number,
): void {
  let size = 1 << high;
  while (high > low) {
    high--;
    size >>= 1;
    const half = (page + size) as page;
    add_to_free_list(m, half, zone, high, migratetype);
    set_page_order(m, half, high);
  }
}

function check_new_page_bad(k: Kernel, m: mem_map_t, page: page): void {
  let bad_reason = "";
  let bad_flags = 0;
  if (hasMapcount(m, page)) bad_reason = "nonzero mapcount";
  if (m._refcount[page] !== 0) bad_reason = "nonzero _refcount";
  if ((m.flags[page] & PAGE_FLAGS_CHECK_AT_PREP) !== 0) {
    bad_reason = "PAGE_FLAGS_CHECK_AT_PREP flag set";
    bad_flags = PAGE_FLAGS_CHECK_AT_PREP;
  }
  bad_page(k, page, bad_reason, bad_flags);
}

/** Whether a page that would be handed out is not as it should be; it is then reported and lost. */
function check_new_page(k: Kernel, m: mem_map_t, page: page): boolean {
  if (page_expected_state(m, page, PAGE_FLAGS_CHECK_AT_PREP)) return false;
  check_new_page_bad(k, m, page);
  return true;
}

function check_new_pcp(k: Kernel, m: mem_map_t, page: page): boolean {
  return check_new_page(k, m, page);
}

function check_new_pages(k: Kernel, m: mem_map_t, page: page, order: number): boolean {
  for (let i = 0; i < 1 << order; i++) if (check_new_page(k, m, (page + i) as page)) return true;
  return false;
}

/** First use of a block: one reference, and its memory becomes valid. */
function post_alloc_hook(k: Kernel, m: mem_map_t, page: page, order: number): void {
  m.private[page] = 0;
  m._refcount[page] = 1;
  m.order[page] = order;
  k.ram.unpoison(page_to_phys(page), PAGE_SIZE << order);
}

/** What set_page_pfmemalloc() leaves in page->index. */
const INDEX_PFMEMALLOC = 0xffff_ffff;

function prep_new_page(
  k: Kernel,
  m: mem_map_t,
  page: page,
  order: number,
  gfp_flags: number,
  alloc_flags: number,
): void {
  post_alloc_hook(k, m, page, order);
  if ((gfp_flags & ___GFP_ZERO) !== 0) kernel_init_free_pages(k, page, 1 << order);
  if (order !== 0 && (gfp_flags & ___GFP_COMP) !== 0) prep_compound_page(k, page, order);
  m.index[page] = (alloc_flags & ALLOC_NO_WATERMARKS) !== 0 ? INDEX_PFMEMALLOC : 0;
}

function __rmqueue_smallest(m: mem_map_t, zone: zone, order: number, migratetype: number): page {
  for (let current_order = order; current_order < MAX_ORDER; current_order++) {
    const page = get_page_from_free_area(zone.free_area[current_order], migratetype);
    if (page === NULL_PAGE) continue;
    del_page_from_free_list(m, page, zone, current_order);
    expand(m, zone, page, order, current_order, migratetype);
    set_pcppage_migratetype(m, page, migratetype);
    return page;
  }
  return NULL_PAGE;
}

/** Where else to look, in this order. */
const fallbacks: readonly (readonly number[])[] = [
  [MIGRATE_RECLAIMABLE, MIGRATE_MOVABLE],
  [MIGRATE_RECLAIMABLE, MIGRATE_UNMOVABLE],
  [MIGRATE_UNMOVABLE, MIGRATE_MOVABLE],
];

/** Moves the free blocks of a range to the lists of another type. Returns how many pages moved. */
function move_freepages(m: mem_map_t, zone: zone, start_page: number, end_page: number, mt: number): number {
  let pages_moved = 0;
  for (let page = start_page; page <= end_page;) {
    if ((m.flags[page] & PG_buddy) === 0) {
      page++;
      continue;
    }
    const order = m.private[page];
    move_to_free_list(m, page as page, zone, order, mt);
    page += 1 << order;
    pages_moved += 1 << order;
  }
  return pages_moved;
}

/**
 * Moves the free blocks of the page's pageblock to the lists of another type. Returns how many pages moved.
 *
 * Locks: zone->lock is held.
 *
 * @mirrors mm/page_alloc.c:move_freepages_block
 * @simplified no count of movable pages: there are none without an LRU
 */
export function move_freepages_block(k: Kernel, zone: zone, page: page, migratetype: number): number {
  let start_page = page - page % pageblock_nr_pages;
  const end_page = start_page + pageblock_nr_pages - 1;
  if (!zone_spans_pfn(zone, start_page)) start_page = page;
  if (!zone_spans_pfn(zone, end_page)) return 0;
  return move_freepages(mem_map(k), zone, start_page, end_page, migratetype);
}

function change_pageblock_range(
  k: Kernel,
  zone: zone,
  pageblock_page: page,
  start_order: number,
  mt: number,
): void {
  for (let nr_pageblocks = 1 << (start_order - pageblock_order); nr_pageblocks > 0; nr_pageblocks--) {
    set_pageblock_migratetype(k, zone, pageblock_page, mt);
    pageblock_page = (pageblock_page + pageblock_nr_pages) as page;
  }
}

function can_steal_fallback(k: Kernel, order: number, start_mt: number): boolean {
  if (order >= pageblock_order) return true;
  return order >= Math.floor(pageblock_order / 2) || start_mt === MIGRATE_RECLAIMABLE ||
    start_mt === MIGRATE_UNMOVABLE || page_group_by_mobility_disabled(k);
}

/** Raises the watermarks for a while, so that kswapd frees more and the next request need not steal. */
function boost_watermark(k: Kernel, zone: zone): void {
  const factor = watermark_boost_factor(k);
  if (factor === 0) return;
  if (pageblock_nr_pages * 4 > zone_managed_pages(zone)) return;
  let max_boost = Math.floor(zone._watermark[WMARK_HIGH] * factor / 10000);
  if (max_boost === 0) return;
  max_boost = Math.max(pageblock_nr_pages, max_boost);
  zone.watermark_boost = Math.min(zone.watermark_boost + pageblock_nr_pages, max_boost);
}

/** Moves a free block, and if `whole_block` its whole pageblock, to the lists of `start_type`. */
function steal_suitable_fallback(
  k: Kernel,
  m: mem_map_t,
  zone: zone,
  page: page,
  alloc_flags: number,
  start_type: number,
  whole_block: boolean,
): void {
  const current_order = m.private[page];
  const old_block_type = get_pageblock_migratetype(zone, page);
  single_page: {
    if (old_block_type === MIGRATE_HIGHATOMIC) break single_page;
    if (current_order >= pageblock_order) {
      change_pageblock_range(k, zone, page, current_order, start_type);
      break single_page;
    }
    boost_watermark(k, zone);
    if ((alloc_flags & ALLOC_KSWAPD) !== 0) zone.flags |= ZONE_BOOSTED_WATERMARK;
    if (!whole_block) break single_page;

    const free_pages = move_freepages_block(k, zone, page, start_type);
    // Movable pages in use would count for a movable request; there are none.
    const alike_pages = start_type !== MIGRATE_MOVABLE && old_block_type === MIGRATE_MOVABLE
      ? pageblock_nr_pages - free_pages
      : 0;
    if (free_pages === 0) break single_page;
    if (free_pages + alike_pages >= 1 << (pageblock_order - 1) || page_group_by_mobility_disabled(k)) {
      set_pageblock_migratetype(k, zone, page, start_type);
    }
    return;
  }
  move_to_free_list(m, page, zone, current_order, start_type);
}

/**
 * A type other than `migratetype` that has free blocks in this area, or -1.
 *
 * @mirrors mm/page_alloc.c:find_suitable_fallback
 * @simplified whether its whole pageblock may be taken is can_steal_fallback()'s answer alone
 */
function find_suitable_fallback(area: free_area, migratetype: number): number {
  if (area.nr_free === 0) return -1;
  const types = fallbacks[migratetype];
  for (let i = 0; i < types.length; i++) if (!free_area_empty(area, types[i])) return types[i];
  return -1;
}

/** Keeps the pageblock of a high-order atomic allocation for others of its kind. */
function* reserve_highatomic_pageblock(
  k: Kernel,
  page: page,
  zone: zone,
  _alloc_order: number,
): Atomic<void> {
  const max_managed = Math.floor(zone_managed_pages(zone) / 100) + pageblock_nr_pages;
  if (zone.nr_reserved_highatomic >= max_managed) return;
  const flags = yield* spin_lock_irqsave(k, zone.lock);
  if (zone.nr_reserved_highatomic < max_managed) {
    if (get_pageblock_migratetype(zone, page) !== MIGRATE_HIGHATOMIC) {
      zone.nr_reserved_highatomic += pageblock_nr_pages;
      set_pageblock_migratetype(k, zone, page, MIGRATE_HIGHATOMIC);
      move_freepages_block(k, zone, page, MIGRATE_HIGHATOMIC);
    }
  }
  spin_unlock_irqrestore(k, zone.lock, flags);
}

/** Gives a reserved pageblock back, the last one only with `force`. Returns whether any page moved. */
function* unreserve_highatomic_pageblock(k: Kernel, ac: alloc_context, force: boolean): Atomic<boolean> {
  for (const { zone, zone_idx } of ac.zonelist) {
    if (zone_idx > ac.high_zoneidx) continue;
    if (!force && zone.nr_reserved_highatomic <= pageblock_nr_pages) continue;
    const flags = yield* spin_lock_irqsave(k, zone.lock);
    for (let order = 0; order < MAX_ORDER; order++) {
      const page = get_page_from_free_area(zone.free_area[order], MIGRATE_HIGHATOMIC);
      if (page === NULL_PAGE) continue;
      if (get_pageblock_migratetype(zone, page) === MIGRATE_HIGHATOMIC) {
        zone.nr_reserved_highatomic -= Math.min(pageblock_nr_pages, zone.nr_reserved_highatomic);
      }
      set_pageblock_migratetype(k, zone, page, ac.migratetype);
      if (move_freepages_block(k, zone, page, ac.migratetype) !== 0) {
        spin_unlock_irqrestore(k, zone.lock, flags);
        return true;
      }
    }
    spin_unlock_irqrestore(k, zone.lock, flags);
  }
  return false;
}

/** Moves a free block of another type to the lists of this one. False: there is none large enough. */
function __rmqueue_fallback(
  k: Kernel,
  m: mem_map_t,
  zone: zone,
  order: number,
  start_migratetype: number,
  alloc_flags: number,
): boolean {
  const min_order = (alloc_flags & ALLOC_NOFRAGMENT) !== 0 ? pageblock_order : order;
  let current_order = MAX_ORDER - 1;
  let fallback_mt = -1;
  for (; current_order >= min_order; current_order--) {
    fallback_mt = find_suitable_fallback(zone.free_area[current_order], start_migratetype);
    if (fallback_mt !== -1) break;
  }
  if (fallback_mt === -1) return false;

  let can_steal = can_steal_fallback(k, current_order, start_migratetype);
  if (!can_steal && start_migratetype === MIGRATE_MOVABLE && current_order > order) {
    for (current_order = order; current_order < MAX_ORDER; current_order++) {
      fallback_mt = find_suitable_fallback(zone.free_area[current_order], start_migratetype);
      if (fallback_mt !== -1) break;
    }
    can_steal = can_steal_fallback(k, current_order, start_migratetype);
  }

  const page = get_page_from_free_area(zone.free_area[current_order], fallback_mt);
  steal_suitable_fallback(k, m, zone, page, alloc_flags, start_migratetype, can_steal);
  trace_mm_page_alloc_extfrag(
    k,
    page,
    order,
    current_order,
    start_migratetype,
    fallback_mt,
    start_migratetype === get_pageblock_migratetype(zone, page),
  );
  return true;
}

/** Takes a block off the free lists. The zone lock is held. */
function __rmqueue(
  k: Kernel,
  m: mem_map_t,
  zone: zone,
  order: number,
  migratetype: number,
  alloc_flags: number,
): page {
  let page = __rmqueue_smallest(m, zone, order, migratetype);
  while (page === NULL_PAGE && __rmqueue_fallback(k, m, zone, order, migratetype, alloc_flags)) {
    page = __rmqueue_smallest(m, zone, order, migratetype);
  }
  trace_mm_page_alloc_zone_locked(k, page, order, migratetype);
  return page;
}

/** Moves up to `count` blocks from the free lists to the end of `list`. Returns how many. */
function* rmqueue_bulk(
  k: Kernel,
  zone: zone,
  order: number,
  count: number,
  list: page_list,
  migratetype: number,
  alloc_flags: number,
): Atomic<number> {
  const m = mem_map(k);
  yield* spin_lock(k, zone.lock);
  let i = 0;
  for (; i < count; i++) {
    const page = __rmqueue(k, m, zone, order, migratetype, alloc_flags);
    if (page === NULL_PAGE) break;
    list_add_tail(m, page, list);
  }
  zone.vm_stat[NR_FREE_PAGES] -= i << order;
  spin_unlock(k, zone.lock);
  return i;
}

function* drain_pages_zone(k: Kernel, cpu: number, zone: zone): Atomic<void> {
  const flags = local_irq_save(k);
  const { pcp } = zone.pageset[cpu];
  if (pcp.count !== 0) yield* free_pcppages_bulk(k, zone, pcp.count, pcp);
  local_irq_restore(k, flags);
}

function* drain_pages(k: Kernel, cpu: number): Atomic<void> {
  for (const zone of contig_page_data(k).node_zones) {
    if (populated_zone(zone)) yield* drain_pages_zone(k, cpu, zone);
  }
}

/**
 * Gives the pages on this CPU's lists back to the free lists.
 *
 * Context: the task does not leave this CPU. Locks: takes zone->lock.
 *
 * @mirrors mm/page_alloc.c:drain_local_pages
 */
export function drain_local_pages(k: Kernel, zone: zone | null = null): Atomic<void> {
  const cpu = smp_processor_id(k);
  return zone !== null ? drain_pages_zone(k, cpu, zone) : drain_pages(k, cpu);
}

/**
 * Gives the pages on the lists of all CPUs back to the free lists.
 *
 * Context: process context. Sleeps: in Linux, for the works on the other CPUs.
 *
 * @mirrors mm/page_alloc.c:drain_all_pages
 * @simplified the other CPUs' lists are emptied from here, not by a work on each
 */
export function* drain_all_pages(k: Kernel, zone: zone | null = null): MaySleep<void> {
  for (const cpu of for_each_online_cpu(k)) {
    if (zone !== null) yield* drain_pages_zone(k, cpu, zone);
    else yield* drain_pages(k, cpu);
  }
}

/** Files a checked page under its pageblock's type. False: it must not be freed. */
function free_unref_page_prepare(k: Kernel, m: mem_map_t, zone: zone, page: page): boolean {
  if (!free_pcp_prepare(k, m, page)) return false;
  set_pcppage_migratetype(m, page, get_pageblock_migratetype(zone, page));
  return true;
}

/** Puts a page on this CPU's list; a full list gives a batch back. */
function free_unref_page_commit(k: Kernel, m: mem_map_t, zone: zone, page: page): Atomic<void> {
  let migratetype = get_pcppage_migratetype(m, page);
  count_vm_event(k, PGFREE);
  if (migratetype >= MIGRATE_PCPTYPES) migratetype = MIGRATE_MOVABLE;
  const { pcp } = zone.pageset[k.cpu.id];
  list_add(m, page, pcp.lists[migratetype]);
  pcp.count++;
  return pcp.count >= pcp.high ? drainBatch(k, zone, pcp) : doneVoid();
}

function* drainBatch(k: Kernel, zone: zone, pcp: per_cpu_pages): Atomic<void> {
  const flags = local_irq_save(k);
  yield* free_pcppages_bulk(k, zone, pcp.batch, pcp);
  local_irq_restore(k, flags);
}

/**
 * Frees a single page.
 *
 * Context: any.
 *
 * @mirrors mm/page_alloc.c:free_unref_page
 */
export function free_unref_page(k: Kernel, page: page): Atomic<void> {
  const m = mem_map(k);
  const zone = page_zone(k, page);
  if (!free_unref_page_prepare(k, m, zone, page)) return doneVoid();
  return free_unref_page_commit(k, m, zone, page);
}

/**
 * Frees a list of single pages whose references are gone. The list is empty afterwards.
 *
 * Context: any.
 *
 * @mirrors mm/page_alloc.c:free_unref_page_list
 */
export function* free_unref_page_list(k: Kernel, list: page_list): Atomic<void> {
  const m = mem_map(k);
  for (let page = list.first; page !== NULL_PAGE; page = list.first) {
    const zone = page_zone(k, page);
    list_del(m, page, list);
    if (!free_unref_page_prepare(k, m, zone, page)) continue;
    trace_mm_page_free_batched(k, page);
    yield* free_unref_page_commit(k, m, zone, page);
  }
}

/**
 * Makes single pages of a block that is not compound: each is then freed by itself.
 *
 * @mirrors mm/page_alloc.c:split_page
 */
export function split_page(k: Kernel, page: page, order: number): void {
  const m = mem_map(k);
  VM_BUG_ON_PAGE(
    k,
    (m.flags[page] & PG_head) !== 0 || m.compound_head[page] !== 0,
    page,
    "PageCompound(page)",
  );
  VM_BUG_ON_PAGE(k, m._refcount[page] === 0, page, "!page_count(page)");
  const end = page + (1 << order);
  m._refcount.fill(1, page + 1, end);
  m.order[page] = 0;
  m.birth.fill(m.birth[page], page + 1, end);
  m.use.fill(m.use[page], page + 1, end);
}

function* __rmqueue_pcplist(
  k: Kernel,
  zone: zone,
  migratetype: number,
  alloc_flags: number,
  pcp: per_cpu_pages,
  list: page_list,
): Atomic<page> {
  const m = mem_map(k);
  let page: page;
  do {
    if (list.first === NULL_PAGE) {
      const alloced = yield* rmqueue_bulk(k, zone, 0, pcp.batch, list, migratetype, alloc_flags);
      pcp.count += alloced;
      if (list.first === NULL_PAGE) return NULL_PAGE;
    }
    page = list.first;
    list_del(m, page, list);
    pcp.count--;
  } while (check_new_pcp(k, m, page));
  return page;
}

function* rmqueue_pcplist(k: Kernel, zone: zone, migratetype: number, alloc_flags: number): Atomic<page> {
  const flags = local_irq_save(k);
  const { pcp } = zone.pageset[k.cpu.id];
  const list = pcp.lists[migratetype];
  const page = yield* __rmqueue_pcplist(k, zone, migratetype, alloc_flags, pcp, list);
  if (page !== NULL_PAGE) count_vm_event(k, PGALLOC_NORMAL);
  local_irq_restore(k, flags);
  return page;
}

function wakeKswapdIfBoosted(k: Kernel, zone: zone): void {
  if ((zone.flags & ZONE_BOOSTED_WATERMARK) === 0) return;
  zone.flags &= ~ZONE_BOOSTED_WATERMARK;
  wakeup_kswapd(k, zone, 0, 0, zone_idx(zone));
}

/** Takes a block from a zone: single pages from this CPU's list, others from the free lists. */
function* rmqueue(
  k: Kernel,
  zone: zone,
  order: number,
  gfp_flags: number,
  alloc_flags: number,
  migratetype: number,
): Atomic<page> {
  const m = mem_map(k);
  let page: page;
  if (order === 0) {
    page = yield* rmqueue_pcplist(k, zone, migratetype, alloc_flags);
    wakeKswapdIfBoosted(k, zone);
    return page;
  }
  WARN_ON_ONCE(k, (gfp_flags & ___GFP_NOFAIL) !== 0 && order > 1, "rmqueue: NOFAIL");
  const flags = yield* spin_lock_irqsave(k, zone.lock);
  do {
    page = NULL_PAGE;
    if ((alloc_flags & ALLOC_HARDER) !== 0) {
      page = __rmqueue_smallest(m, zone, order, MIGRATE_HIGHATOMIC);
      if (page !== NULL_PAGE) trace_mm_page_alloc_zone_locked(k, page, order, migratetype);
    }
    if (page === NULL_PAGE) page = __rmqueue(k, m, zone, order, migratetype, alloc_flags);
    // A block that check_new_pages() refuses has left the free lists, so it counts as well.
    if (page !== NULL_PAGE) zone.vm_stat[NR_FREE_PAGES] -= 1 << order;
  } while (page !== NULL_PAGE && check_new_pages(k, m, page, order));
  if (page !== NULL_PAGE) count_vm_events(k, PGALLOC_NORMAL, 1 << order);
  spin_unlock_irqrestore(k, zone.lock, flags);
  if (page !== NULL_PAGE) wakeKswapdIfBoosted(k, zone);
  return page;
}

function __should_fail_alloc_page(k: Kernel, gfp_mask: number, order: number): boolean {
  const fail = fail_page_alloc(k);
  if (order < fail.min_order) return false;
  if ((gfp_mask & ___GFP_NOFAIL) !== 0) return false;
  if (fail.ignore_gfp_highmem && (gfp_mask & ___GFP_HIGHMEM) !== 0) return false;
  if (fail.ignore_gfp_reclaim && (gfp_mask & ___GFP_DIRECT_RECLAIM) !== 0) return false;
  return should_fail(k, fail.attr, 1 << order);
}

/** Fault injection: our exact rules, then Linux's attribute. A __GFP_NOFAIL request never fails. */
function should_fail_alloc_page(k: Kernel, gfp_mask: number, order: number): boolean {
  if (failRulesExist(k) && (gfp_mask & ___GFP_NOFAIL) === 0) {
    if (shouldFailExactly(k, "page", { gfp: gfp_mask, order })) return true;
  }
  return __should_fail_alloc_page(k, gfp_mask, order);
}

/**
 * Whether a request of this order leaves enough free pages: more than the mark, as the flags lower it, and a block that
 * is large enough.
 *
 * Context: any. Units: pages.
 *
 * @mirrors mm/page_alloc.c:__zone_watermark_ok
 */
export function __zone_watermark_ok(
  z: zone,
  order: number,
  mark: number,
  classzone_idx: number,
  alloc_flags: number,
  free_pages: number,
): boolean {
  let min = mark;
  const alloc_harder = (alloc_flags & (ALLOC_HARDER | ALLOC_OOM)) !== 0;
  free_pages -= (1 << order) - 1;
  if ((alloc_flags & ALLOC_HIGH) !== 0) min -= Math.trunc(min / 2);
  if (!alloc_harder) free_pages -= z.nr_reserved_highatomic;
  else if ((alloc_flags & ALLOC_OOM) !== 0) min -= Math.trunc(min / 2);
  else min -= Math.trunc(min / 4);

  if (free_pages <= min + z.lowmem_reserve[classzone_idx]) return false;
  if (order === 0) return true;
  for (let o = order; o < MAX_ORDER; o++) {
    const area = z.free_area[o];
    if (area.nr_free === 0) continue;
    for (let mt = 0; mt < MIGRATE_PCPTYPES; mt++) if (!free_area_empty(area, mt)) return true;
    if (alloc_harder && !free_area_empty(area, MIGRATE_HIGHATOMIC)) return true;
  }
  return false;
}

/** @mirrors mm/page_alloc.c:zone_watermark_ok */
export function zone_watermark_ok(
  z: zone,
  order: number,
  mark: number,
  classzone_idx: number,
  alloc_flags: number,
): boolean {
  return __zone_watermark_ok(z, order, mark, classzone_idx, alloc_flags, zone_page_state(z, NR_FREE_PAGES));
}

function zone_watermark_fast(
  z: zone,
  order: number,
  mark: number,
  classzone_idx: number,
  alloc_flags: number,
): boolean {
  const free_pages = zone_page_state(z, NR_FREE_PAGES);
  if (order === 0 && free_pages > mark + z.lowmem_reserve[classzone_idx]) return true;
  return __zone_watermark_ok(z, order, mark, classzone_idx, alloc_flags, free_pages);
}

/**
 * zone_watermark_ok() with an exact count of free pages.
 *
 * @mirrors mm/page_alloc.c:zone_watermark_ok_safe
 * @simplified the count is always exact
 */
export function zone_watermark_ok_safe(z: zone, order: number, mark: number, classzone_idx: number): boolean {
  return zone_watermark_ok(z, order, mark, classzone_idx, 0);
}

/** First zone of the list that the request may use. @mirrors include/linux/mmzone.h:first_zones_zonelist */
function first_zones_zonelist(zonelist: readonly zoneref[], high_zoneidx: number): zoneref | null {
  for (const ref of zonelist) if (ref.zone_idx <= high_zoneidx) return ref;
  return null;
}

/** Tries the zones in order, each if its watermark allows it. */
function* get_page_from_freelist(
  k: Kernel,
  gfp_mask: number,
  order: number,
  alloc_flags: number,
  ac: alloc_context,
): Atomic<page> {
  const preferred = ac.preferred_zoneref;
  if (preferred === null) return NULL_PAGE;
  for (let i = ac.zonelist.indexOf(preferred); i < ac.zonelist.length; i++) {
    const { zone } = ac.zonelist[i];
    const mark = wmark_pages(zone, alloc_flags & ALLOC_WMARK_MASK);
    if (
      !zone_watermark_fast(zone, order, mark, preferred.zone_idx, alloc_flags) &&
      (alloc_flags & ALLOC_NO_WATERMARKS) === 0
    ) continue;
    const page = yield* rmqueue(k, zone, order, gfp_mask, alloc_flags, ac.migratetype);
    if (page === NULL_PAGE) continue;
    prep_new_page(k, mem_map(k), page, order, gfp_mask, alloc_flags);
    if (order !== 0 && (alloc_flags & ALLOC_HARDER) !== 0) {
      yield* reserve_highatomic_pageblock(k, page, zone, order);
    }
    return page;
  }
  return NULL_PAGE;
}

/**
 * Reports a failed allocation, with a dump of the state of memory. At most one report in 10 s; silent with __GFP_NOWARN.
 *
 * Context: any.
 *
 * @mirrors mm/page_alloc.c:warn_alloc
 */
export function warn_alloc(k: Kernel, gfp_mask: number, text: string): void {
  if ((gfp_mask & ___GFP_NOWARN) !== 0 || !___ratelimit(k, nopage_rs(k), "warn_alloc")) return;
  const title = `${current(k).comm}: ${text}, mode:0x${gfp_mask.toString(16)}(${
    show_gfp_flags(gfp_mask)
  }), nodemask=(null)`;
  report(k, KERN_WARNING, title, [title, ...dumpStackLines(k), ...memInfoLines(k)]);
}

function* __alloc_pages_cpuset_fallback(
  k: Kernel,
  gfp_mask: number,
  order: number,
  alloc_flags: number,
  ac: alloc_context,
): Atomic<page> {
  const page = yield* get_page_from_freelist(k, gfp_mask, order, alloc_flags | ALLOC_CPUSET, ac);
  if (page !== NULL_PAGE) return page;
  return yield* get_page_from_freelist(k, gfp_mask, order, alloc_flags, ac);
}

/** What the attempts of one request find out on the slow path: the out parameters of C. */
class slowpath_state {
  /** Pages that reclaim freed, or that something else happened that makes a retry worth it. */
  did_some_progress = 0;
  no_progress_loops = 0;
}

/** Whatever may sleep on the slow path stands behind this: a request that must not sleep never gets there. */
function assertMaySleep(gfp_mask: number): void {
  assert((gfp_mask & ___GFP_DIRECT_RECLAIM) !== 0, `gfp 0x${gfp_mask.toString(16)} must not sleep`);
}

/** The last resort: one more try at the high watermark, then the OOM killer. */
function* __alloc_pages_may_oom(
  k: Kernel,
  gfp_mask: number,
  order: number,
  ac: alloc_context,
  s: slowpath_state,
): MaySleep<page> {
  assertMaySleep(gfp_mask);
  s.did_some_progress = 0;
  if (oom_lock(k)) {
    s.did_some_progress = 1;
    yield* schedule_timeout_uninterruptible(k, 1);
    return NULL_PAGE;
  }
  oom_lock.set(k, true);
  const light = (gfp_mask | ___GFP_HARDWALL) & ~___GFP_DIRECT_RECLAIM;
  let page = yield* get_page_from_freelist(k, light, order, ALLOC_WMARK_HIGH | ALLOC_CPUSET, ac);
  const decline = page !== NULL_PAGE || order > PAGE_ALLOC_COSTLY_ORDER ||
    (gfp_mask & (___GFP_RETRY_MAYFAIL | ___GFP_THISNODE)) !== 0 || ac.high_zoneidx < ZONE_NORMAL;
  if (!decline) {
    const nofail = (gfp_mask & ___GFP_NOFAIL) !== 0;
    const oc = new oom_control(gfp_mask, order);
    if ((yield* out_of_memory(k, oc)) || WARN_ON_ONCE(k, nofail, "__alloc_pages_may_oom: NOFAIL")) {
      s.did_some_progress = 1;
      if (nofail) page = yield* __alloc_pages_cpuset_fallback(k, gfp_mask, order, ALLOC_NO_WATERMARKS, ac);
    }
  }
  oom_lock.set(k, false);
  return page;
}

/**
 * Compaction: moves pages together until the request fits.
 *
 * @simplified without COMPACTION it is always skipped
 */
function __alloc_pages_direct_compact(_k: Kernel, _gfp_mask: number, _order: number): page {
  return NULL_PAGE;
}

/** Without compaction: go on while single pages are there, in the hope that larger blocks come together. */
function should_compact_retry(ac: alloc_context, order: number, alloc_flags: number): boolean {
  if (order === 0 || order > PAGE_ALLOC_COSTLY_ORDER) return false;
  const classzone_idx = ac.preferred_zoneref?.zone_idx ?? 0;
  for (const { zone, zone_idx } of ac.zonelist) {
    if (zone_idx > ac.high_zoneidx) continue;
    if (zone_watermark_ok(zone, 0, min_wmark_pages(zone), classzone_idx, alloc_flags)) return true;
  }
  return false;
}

/** The flags less what the current task's context forbids. @mirrors include/linux/sched/mm.h:current_gfp_context */
export function current_gfp_context(k: Kernel, flags: number): number {
  const task_flags = current(k).flags;
  if ((task_flags & PF_MEMALLOC_NOIO) !== 0) return flags & ~(___GFP_IO | ___GFP_FS);
  if ((task_flags & PF_MEMALLOC_NOFS) !== 0) return flags & ~___GFP_FS;
  return flags;
}

/** From here on no allocation of this task starts I/O. Returns what was. @mirrors include/linux/sched/mm.h:memalloc_noio_save */
export function memalloc_noio_save(k: Kernel): number {
  const flags = current(k).flags & PF_MEMALLOC_NOIO;
  current(k).flags |= PF_MEMALLOC_NOIO;
  return flags;
}

/** @mirrors include/linux/sched/mm.h:memalloc_noio_restore */
export function memalloc_noio_restore(k: Kernel, flags: number): void {
  current(k).flags = (current(k).flags & ~PF_MEMALLOC_NOIO) | flags;
}

/** From here on no allocation of this task enters a file system. Returns what was. @mirrors include/linux/sched/mm.h:memalloc_nofs_save */
export function memalloc_nofs_save(k: Kernel): number {
  const flags = current(k).flags & PF_MEMALLOC_NOFS;
  current(k).flags |= PF_MEMALLOC_NOFS;
  return flags;
}

/** @mirrors include/linux/sched/mm.h:memalloc_nofs_restore */
export function memalloc_nofs_restore(k: Kernel, flags: number): void {
  current(k).flags = (current(k).flags & ~PF_MEMALLOC_NOFS) | flags;
}

/** @mirrors include/linux/sched/mm.h:memalloc_noreclaim_save */
export function memalloc_noreclaim_save(k: Kernel): number {
  const flags = current(k).flags & PF_MEMALLOC;
  current(k).flags |= PF_MEMALLOC;
  return flags;
}

/** @mirrors include/linux/sched/mm.h:memalloc_noreclaim_restore */
export function memalloc_noreclaim_restore(k: Kernel, flags: number): void {
  current(k).flags = (current(k).flags & ~PF_MEMALLOC) | flags;
}

function* __perform_reclaim(k: Kernel, gfp_mask: number, order: number, ac: alloc_context): MaySleep<number> {
  assertMaySleep(gfp_mask);
  yield* cond_resched(k);
  const noreclaim_flag = memalloc_noreclaim_save(k);
  const progress = yield* try_to_free_pages(k, ac.zonelist, order, gfp_mask);
  memalloc_noreclaim_restore(k, noreclaim_flag);
  yield* cond_resched(k);
  return progress;
}

/** Reclaims, then tries; if that fails, empties the per-CPU lists and tries once more. */
function* __alloc_pages_direct_reclaim(
  k: Kernel,
  gfp_mask: number,
  order: number,
  alloc_flags: number,
  ac: alloc_context,
  s: slowpath_state,
): MaySleep<page> {
  s.did_some_progress = yield* __perform_reclaim(k, gfp_mask, order, ac);
  if (s.did_some_progress === 0) return NULL_PAGE;
  const page = yield* get_page_from_freelist(k, gfp_mask, order, alloc_flags, ac);
  if (page !== NULL_PAGE) return page;
  yield* unreserve_highatomic_pageblock(k, ac, false);
  yield* drain_all_pages(k);
  return yield* get_page_from_freelist(k, gfp_mask, order, alloc_flags, ac);
}

function wake_all_kswapds(k: Kernel, order: number, gfp_mask: number, ac: alloc_context): void {
  // One node, so its first zone stands for all.
  const ref = first_zones_zonelist(ac.zonelist, ac.high_zoneidx);
  if (ref !== null) wakeup_kswapd(k, ref.zone, gfp_mask, order, ac.high_zoneidx);
}

function gfp_to_alloc_flags(k: Kernel, gfp_mask: number): number {
  // __GFP_HIGH is ALLOC_HIGH and __GFP_KSWAPD_RECLAIM is ALLOC_KSWAPD.
  let alloc_flags = ALLOC_WMARK_MIN | ALLOC_CPUSET | (gfp_mask & (___GFP_HIGH | ___GFP_KSWAPD_RECLAIM));
  if ((gfp_mask & ___GFP_ATOMIC) !== 0) {
    if ((gfp_mask & ___GFP_NOMEMALLOC) === 0) alloc_flags |= ALLOC_HARDER;
    alloc_flags &= ~ALLOC_CPUSET;
  } else if (rt_task(current(k)) && !in_interrupt(k)) alloc_flags |= ALLOC_HARDER;
  return alloc_flags;
}

function oom_reserves_allowed(k: Kernel): boolean {
  return tsk_is_oom_victim(current(k));
}

/** Which reserves the request may use beyond its own flags. */
function __gfp_pfmemalloc_flags(k: Kernel, gfp_mask: number): number {
  if ((gfp_mask & ___GFP_NOMEMALLOC) !== 0) return 0;
  if ((gfp_mask & ___GFP_MEMALLOC) !== 0) return ALLOC_NO_WATERMARKS;
  const memalloc = (current(k).flags & PF_MEMALLOC) !== 0;
  if (in_serving_softirq(k) && memalloc) return ALLOC_NO_WATERMARKS;
  if (!in_interrupt(k)) {
    if (memalloc) return ALLOC_NO_WATERMARKS;
    if (oom_reserves_allowed(k)) return ALLOC_OOM;
  }
  return 0;
}

/** @mirrors mm/page_alloc.c:gfp_pfmemalloc_allowed */
export function gfp_pfmemalloc_allowed(k: Kernel, gfp_mask: number): boolean {
  return __gfp_pfmemalloc_flags(k, gfp_mask) !== 0;
}

/** Whether another round of reclaim may help: the request would fit if everything reclaimable were reclaimed. */
function* should_reclaim_retry(
  k: Kernel,
  gfp_mask: number,
  order: number,
  ac: alloc_context,
  alloc_flags: number,
  s: slowpath_state,
): MaySleep<boolean> {
  assertMaySleep(gfp_mask);
  if (s.did_some_progress > 0 && order <= PAGE_ALLOC_COSTLY_ORDER) s.no_progress_loops = 0;
  else s.no_progress_loops++;
  if (s.no_progress_loops > MAX_RECLAIM_RETRIES) return yield* unreserve_highatomic_pageblock(k, ac, true);

  let ret = false;
  const classzone_idx = ac.preferred_zoneref?.zone_idx ?? 0;
  for (const { zone, zone_idx } of ac.zonelist) {
    if (zone_idx > ac.high_zoneidx) continue;
    const available = zone_reclaimable_pages(k, zone) + zone_page_state(zone, NR_FREE_PAGES);
    ret = __zone_watermark_ok(zone, order, min_wmark_pages(zone), classzone_idx, alloc_flags, available);
    if (ret) break;
  }
  if ((current(k).flags & PF_WQ_WORKER) !== 0) yield* schedule_timeout_uninterruptible(k, 1);
  else yield* cond_resched(k);
  return ret;
}

/**
 * What a request does when the low watermark stands against it: reserves, reclaim, OOM, retries, or failure.
 *
 * @mirrors mm/page_alloc.c:__alloc_pages_slowpath
 * @simplified compaction is always skipped; no cpusets
 */
function* __alloc_pages_slowpath(
  k: Kernel,
  gfp_mask: number,
  order: number,
  ac: alloc_context,
): MaySleep<page> {
  const can_direct_reclaim = (gfp_mask & ___GFP_DIRECT_RECLAIM) !== 0;
  const costly_order = order > PAGE_ALLOC_COSTLY_ORDER;
  const s = new slowpath_state();
  if (
    WARN_ON_ONCE(
      k,
      can_direct_reclaim && (gfp_mask & ___GFP_ATOMIC) !== 0,
      "__alloc_pages_slowpath: ATOMIC that may sleep",
    )
  ) gfp_mask &= ~___GFP_ATOMIC;

  let alloc_flags = gfp_to_alloc_flags(k, gfp_mask);
  ac.preferred_zoneref = first_zones_zonelist(ac.zonelist, ac.high_zoneidx);
  if ((alloc_flags & ALLOC_KSWAPD) !== 0) wake_all_kswapds(k, order, gfp_mask, ac);
  let page = yield* get_page_from_freelist(k, gfp_mask, order, alloc_flags, ac);
  if (page !== NULL_PAGE) return page;

  let giveUp = false;
  if (
    can_direct_reclaim && (costly_order || (order > 0 && ac.migratetype !== MIGRATE_MOVABLE)) &&
    !gfp_pfmemalloc_allowed(k, gfp_mask)
  ) {
    page = __alloc_pages_direct_compact(k, gfp_mask, order);
    if (page !== NULL_PAGE) return page;
    giveUp = costly_order && (gfp_mask & ___GFP_NORETRY) !== 0;
  }

  for (;;) { // retry:
    nopage: {
      if (giveUp) break nopage;
      if ((alloc_flags & ALLOC_KSWAPD) !== 0) wake_all_kswapds(k, order, gfp_mask, ac);
      const reserve_flags = __gfp_pfmemalloc_flags(k, gfp_mask);
      if (reserve_flags !== 0) alloc_flags = reserve_flags;
      page = yield* get_page_from_freelist(k, gfp_mask, order, alloc_flags, ac);
      if (page !== NULL_PAGE) return page;
      if (!can_direct_reclaim) break nopage;
      if ((current(k).flags & PF_MEMALLOC) !== 0) break nopage;

      page = yield* __alloc_pages_direct_reclaim(k, gfp_mask, order, alloc_flags, ac, s);
      if (page !== NULL_PAGE) return page;
      page = __alloc_pages_direct_compact(k, gfp_mask, order);
      if (page !== NULL_PAGE) return page;
      if ((gfp_mask & ___GFP_NORETRY) !== 0) break nopage;
      if (costly_order && (gfp_mask & ___GFP_RETRY_MAYFAIL) === 0) break nopage;
      if (yield* should_reclaim_retry(k, gfp_mask, order, ac, alloc_flags, s)) continue;
      if (s.did_some_progress > 0 && should_compact_retry(ac, order, alloc_flags)) continue;

      page = yield* __alloc_pages_may_oom(k, gfp_mask, order, ac, s);
      if (page !== NULL_PAGE) return page;
      if (
        tsk_is_oom_victim(current(k)) &&
        (alloc_flags === ALLOC_OOM || (gfp_mask & ___GFP_NOMEMALLOC) !== 0)
      ) break nopage;
      if (s.did_some_progress !== 0) {
        s.no_progress_loops = 0;
        continue;
      }
    }
    // nopage:
    if ((gfp_mask & ___GFP_NOFAIL) === 0) break;
    if (WARN_ON_ONCE(k, !can_direct_reclaim, "__alloc_pages_slowpath: NOFAIL that may not sleep")) break;
    WARN_ON_ONCE(k, (current(k).flags & PF_MEMALLOC) !== 0, "__alloc_pages_slowpath: NOFAIL and PF_MEMALLOC");
    WARN_ON_ONCE(k, costly_order, "__alloc_pages_slowpath: NOFAIL of a costly order");
    giveUp = false;
    page = yield* __alloc_pages_cpuset_fallback(k, gfp_mask, order, ALLOC_HARDER, ac);
    if (page !== NULL_PAGE) return page;
    yield* cond_resched(k);
  }
  warn_alloc(k, gfp_mask, `page allocation failure: order:${order}`);
  return NULL_PAGE;
}

/**
 * Which free lists a request uses.
 *
 * @mirrors include/linux/gfp.h:gfpflags_to_migratetype
 */
function gfpflags_to_migratetype(k: Kernel, gfp_flags: number): number {
  const migratetype = (gfp_flags >>> 3) & 3;
  if (migratetype > MIGRATE_RECLAIMABLE) {
    WARN_ON_ONCE(k, true, "gfpflags_to_migratetype: MOVABLE and RECLAIMABLE");
    return MIGRATE_MOVABLE;
  }
  return page_group_by_mobility_disabled(k) ? MIGRATE_UNMOVABLE : migratetype;
}

/**
 * Highest zone that a request may use.
 *
 * @mirrors include/linux/gfp.h:gfp_zone
 * @simplified zones Normal and Movable only
 */
export function gfp_zone(k: Kernel, flags: number): number {
  const low = flags & (___GFP_DMA | ___GFP_DMA32 | ___GFP_HIGHMEM);
  BUG_ON(k, (low & (low - 1)) !== 0);
  const movable = ___GFP_HIGHMEM | ___GFP_MOVABLE;
  return (flags & movable) === movable ? ZONE_MOVABLE : ZONE_NORMAL;
}

/** False: fault injection says that the request fails. */
function prepare_alloc_pages(k: Kernel, gfp_mask: number, order: number, ac: alloc_context): boolean {
  ac.high_zoneidx = gfp_zone(k, gfp_mask);
  ac.zonelist = contig_page_data(k).node_zonelists;
  ac.migratetype = gfpflags_to_migratetype(k, gfp_mask);
  if ((gfp_mask & ___GFP_DIRECT_RECLAIM) !== 0) might_sleep(k);
  return !should_fail_alloc_page(k, gfp_mask, order);
}

function finalise_ac(ac: alloc_context): void {
  ac.preferred_zoneref = first_zones_zonelist(ac.zonelist, ac.high_zoneidx);
}

/** The general case of __alloc_pages_nodemask(). */
function* allocPagesBody(k: Kernel, gfp_mask: number, order: number): MaySleep<page> {
  if (order >= MAX_ORDER) {
    WARN_ON_ONCE(k, (gfp_mask & ___GFP_NOWARN) === 0, "__alloc_pages_nodemask: order");
    return NULL_PAGE;
  }
  gfp_mask &= gfp_allowed_mask(k);
  const ac = new alloc_context();
  if (!prepare_alloc_pages(k, gfp_mask, order, ac)) return NULL_PAGE;
  finalise_ac(ac);
  let alloc_mask = gfp_mask;
  const alloc_flags = ALLOC_WMARK_LOW | (gfp_mask & ___GFP_KSWAPD_RECLAIM);
  let page = yield* get_page_from_freelist(k, alloc_mask, order, alloc_flags, ac);
  if (page === NULL_PAGE) {
    alloc_mask = current_gfp_context(k, gfp_mask);
    page = yield* __alloc_pages_slowpath(k, alloc_mask, order, ac);
  }
  trace_mm_page_alloc(k, page, order, alloc_mask, ac.migratetype);
  if (page !== NULL_PAGE) mem_map(k).birth[page] = k.seq;
  return page;
}

/**
 * The usual case: a single page from this CPU's list, above the low watermark and with nothing in its way. NULL_PAGE when
 * it is not that simple; nothing has then happened.
 */
function takeFromPcp(k: Kernel, gfp_mask: number): page {
  const gfp = gfp_mask & gfp_allowed_mask(k);
  const zone = contig_page_data(k).node_zones[ZONE_NORMAL];
  const migratetype = (gfp >>> 3) & 3;
  if (
    zone.vm_stat[NR_FREE_PAGES] <=
      zone._watermark[WMARK_LOW] + zone.watermark_boost + zone.lowmem_reserve[ZONE_NORMAL] ||
    zone.flags !== 0 || migratetype > MIGRATE_RECLAIMABLE || page_group_by_mobility_disabled(k) ||
    fail_page_alloc(k).min_order === 0 || failRulesExist(k)
  ) return NULL_PAGE;
  const { pcp } = zone.pageset[k.cpu.id];
  const list = pcp.lists[migratetype];
  const page = list.first;
  if (page === NULL_PAGE) return NULL_PAGE;
  const m = mem_map(k);
  if (!page_expected_state(m, page, PAGE_FLAGS_CHECK_AT_PREP)) return NULL_PAGE;

  if ((gfp & ___GFP_DIRECT_RECLAIM) !== 0) might_sleep(k);
  list_del(m, page, list);
  pcp.count--;
  count_vm_event(k, PGALLOC_NORMAL);
  prep_new_page(k, m, page, 0, gfp, ALLOC_WMARK_LOW);
  trace_mm_page_alloc(k, page, 0, gfp, migratetype);
  m.birth[page] = k.seq;
  return page;
}

/**
 * The heart of the allocator: a block of `1 << order` pages, NULL_PAGE when there is none. No point of its own.
 *
 * Context: as the flags say. Sleeps: if the flags have __GFP_DIRECT_RECLAIM. Fails: without a word with __GFP_NOWARN.
 *
 * @mirrors mm/page_alloc.c:__alloc_pages_nodemask
 * @simplified no node and no nodemask
 */
export function __alloc_pages_nodemask<F extends Gfp>(
  k: Kernel,
  gfp_mask: F,
  order: number,
): Colour<F, page> {
  if (order === 0) {
    const page = takeFromPcp(k, gfp_mask);
    if (page !== NULL_PAGE) return done(page) as Colour<F, page>;
  }
  return allocPagesBody(k, gfp_mask, order) as Colour<F, page>;
}

/** Who allocates pages may take the lock of the zone: not just when this CPU's list happens to be empty. */
function mayTakeZoneLock(k: Kernel): void {
  might_lock(k, contig_page_data(k).node_zones[ZONE_NORMAL].lock);
}

function* allocPagesAfterPoint(k: Kernel, gfp_mask: Gfp, order: number): MaySleep<page> {
  yield STEP;
  return yield* __alloc_pages_nodemask(k, gfp_mask, order);
}

/**
 * Allocates `1 << order` pages that are contiguous and aligned to their size. NULL_PAGE: no memory. A point.
 *
 * Context: as the flags say. Sleeps: if the flags have __GFP_DIRECT_RECLAIM. Fails: like all allocations, more readily
 * for large orders. Returns: the first page, with one reference.
 *
 * @mirrors include/linux/gfp.h:alloc_pages
 */
export function alloc_pages<F extends Gfp>(k: Kernel, gfp_mask: F, order: number): Colour<F, page> {
  if (k.config.rawLockNesting) mayTakeZoneLock(k);
  if (pt(k, POINT_ALLOC, "alloc_pages")) {
    return allocPagesAfterPoint(k, gfp_mask, order) as Colour<F, page>;
  }
  return __alloc_pages_nodemask(k, gfp_mask, order);
}

/** A single page; see alloc_pages(). @mirrors include/linux/gfp.h:alloc_page */
export function alloc_page<F extends Gfp>(k: Kernel, gfp_mask: F): Colour<F, page> {
  return alloc_pages(k, gfp_mask, 0);
}

function* getFreePages(k: Kernel, gfp_mask: Gfp, order: number, atPoint: boolean): MaySleep<VirtAddr> {
  if (atPoint) yield STEP;
  const page = yield* __alloc_pages_nodemask(k, gfp_mask, order);
  return page === NULL_PAGE ? NULL : page_address(page);
}

/**
 * alloc_pages() that returns the address of the block, NULL when there is no memory. A point.
 *
 * @mirrors mm/page_alloc.c:__get_free_pages
 */
export function __get_free_pages<F extends Gfp>(k: Kernel, gfp_mask: F, order: number): Colour<F, VirtAddr> {
  const flags = (gfp_mask & ~___GFP_HIGHMEM) as F;
  if (k.config.rawLockNesting) mayTakeZoneLock(k);
  if (pt(k, POINT_ALLOC, "alloc_pages")) return getFreePages(k, flags, order, true) as Colour<F, VirtAddr>;
  if (order === 0) {
    const page = takeFromPcp(k, flags);
    if (page !== NULL_PAGE) return done(page_address(page)) as Colour<F, VirtAddr>;
  }
  return getFreePages(k, flags, order, false) as Colour<F, VirtAddr>;
}

/** The address of a single page; see __get_free_pages(). @mirrors include/linux/gfp.h:__get_free_page */
export function __get_free_page<F extends Gfp>(k: Kernel, gfp_mask: F): Colour<F, VirtAddr> {
  return __get_free_pages(k, gfp_mask, 0);
}

/** The address of a single page of zeroes; see __get_free_pages(). @mirrors mm/page_alloc.c:get_zeroed_page */
export function get_zeroed_page<F extends Gfp>(k: Kernel, gfp_mask: F): Colour<F, VirtAddr> {
  return __get_free_pages(k, (gfp_mask | ___GFP_ZERO) as F, 0);
}

/** Drops a reference. True: it was the last one. A page without references is reported: it is free already. */
function put_page_testzero(k: Kernel, page: page): boolean {
  const m = mem_map(k);
  if (m._refcount[page] > 0) return --m._refcount[page] === 0;
  assert(page > 0 && page < m.nrPages, `page frame ${page} does not exist`);
  // The report shows the count that a kernel without this check would leave behind; then nothing has happened.
  m._refcount[page]--;
  const mapcount = m._mapcount[page];
  bad_page(k, page, "nonzero _refcount", 0);
  m._mapcount[page] = mapcount;
  m._refcount[page]++;
  return false;
}

function free_the_page(k: Kernel, page: page, order: number): Atomic<void> {
  return order === 0 ? free_unref_page(k, page) : __free_pages_ok(k, page, order);
}

/**
 * Drops the caller's reference to a block of `1 << order` pages; the last one frees it.
 *
 * Context: any. Freeing what is free already is reported and has no effect.
 *
 * @mirrors mm/page_alloc.c:__free_pages
 */
export function __free_pages(k: Kernel, page: page, order: number): Atomic<void> {
  return put_page_testzero(k, page) ? free_the_page(k, page, order) : doneVoid();
}

/** @mirrors include/linux/gfp.h:__free_page */
export function __free_page(k: Kernel, page: page): Atomic<void> {
  return __free_pages(k, page, 0);
}

/**
 * __free_pages() by address; NULL is allowed.
 *
 * @mirrors mm/page_alloc.c:free_pages
 */
export function free_pages(k: Kernel, addr: VirtAddr, order: number): Atomic<void> {
  if (addr === NULL) return doneVoid();
  BUG_ON(k, addr < PAGE_OFFSET || addr >= PAGE_OFFSET + k.ram.size);
  return __free_pages(k, virt_to_page(addr), order);
}

/** @mirrors include/linux/gfp.h:free_page */
export function free_page(k: Kernel, addr: VirtAddr): Atomic<void> {
  return free_pages(k, addr, 0);
}

/** Takes one more reference. @mirrors include/linux/mm.h:get_page */
export function get_page(k: Kernel, page: page): void {
  const m = mem_map(k);
  m._refcount[compound_head(m, page)]++;
}

/**
 * Drops a reference to a page or compound page; the last one frees it.
 *
 * Context: any.
 *
 * @mirrors include/linux/mm.h:put_page
 */
export function put_page(k: Kernel, page: page): Atomic<void> {
  const m = mem_map(k);
  const head = compound_head(m, page);
  if (!put_page_testzero(k, head)) return doneVoid();
  return (m.flags[head] & PG_head) !== 0 ? free_compound_page(k, head) : free_unref_page(k, head);
}

/** Whether the page came from the reserves. @mirrors include/linux/mm.h:page_is_pfmemalloc */
export function page_is_pfmemalloc(k: Kernel, page: page): boolean {
  return mem_map(k).index[page] === INDEX_PFMEMALLOC;
}

function* make_alloc_exact(k: Kernel, addr: VirtAddr, order: number, size: number): Atomic<VirtAddr> {
  if (addr === NULL) return addr;
  const alloc_end = addr + (PAGE_SIZE << order);
  split_page(k, virt_to_page(addr), order);
  for (let used = addr + PAGE_SIZE * Math.ceil(size / PAGE_SIZE); used < alloc_end; used += PAGE_SIZE) {
    yield* free_page(k, used as VirtAddr);
  }
  return addr;
}

/**
 * Allocates just the pages that `size` bytes need, not a power of two of them; to be freed with free_pages_exact().
 *
 * Context: as the flags say; __GFP_COMP is not allowed.
 *
 * @mirrors mm/page_alloc.c:alloc_pages_exact
 */
export function alloc_pages_exact<F extends Gfp>(k: Kernel, size: number, gfp_mask: F): Colour<F, VirtAddr> {
  return allocExact(k, size, gfp_mask) as Colour<F, VirtAddr>;
}

function* allocExact(k: Kernel, size: number, gfp_mask: Gfp): MaySleep<VirtAddr> {
  const order = get_order(size);
  if (WARN_ON_ONCE(k, (gfp_mask & ___GFP_COMP) !== 0, "alloc_pages_exact: COMP")) {
    gfp_mask = (gfp_mask & ~___GFP_COMP) as Gfp;
  }
  const addr = yield* __get_free_pages(k, gfp_mask, order);
  return yield* make_alloc_exact(k, addr, order, size);
}

/** Frees what alloc_pages_exact() gave for the same size. @mirrors mm/page_alloc.c:free_pages_exact */
export function* free_pages_exact(k: Kernel, virt: VirtAddr, size: number): Atomic<void> {
  const end = virt + PAGE_SIZE * Math.ceil(size / PAGE_SIZE);
  for (let addr: number = virt; addr < end; addr += PAGE_SIZE) yield* free_page(k, addr as VirtAddr);
}

/** @mirrors include/linux/swap.h:nr_free_pages */
export function nr_free_pages(k: Kernel): number {
  return global_zone_page_state(k, NR_FREE_PAGES);
}

/** Managed pages beyond the high watermark, of zones up to `offset`. */
function nr_free_zone_pages(k: Kernel, offset: number): number {
  let sum = 0;
  for (const { zone, zone_idx } of contig_page_data(k).node_zonelists) {
    if (zone_idx > offset) continue;
    sum += Math.max(0, zone_managed_pages(zone) - high_wmark_pages(zone));
  }
  return sum;
}

/** @mirrors mm/page_alloc.c:nr_free_buffer_pages */
export function nr_free_buffer_pages(k: Kernel): number {
  return nr_free_zone_pages(k, ZONE_NORMAL);
}

/** @mirrors mm/page_alloc.c:nr_free_pagecache_pages */
export function nr_free_pagecache_pages(k: Kernel): number {
  return nr_free_zone_pages(k, ZONE_MOVABLE);
}

/**
 * Pages that can be allocated before anything has to give way, as an estimate.
 *
 * @mirrors mm/page_alloc.c:si_mem_available
 * @simplified no page cache
 */
export function si_mem_available(k: Kernel): number {
  let wmark_low = 0;
  for (const zone of contig_page_data(k).node_zones) wmark_low += low_wmark_pages(zone);
  const reclaimable = global_node_page_state(k, NR_SLAB_RECLAIMABLE) +
    global_node_page_state(k, NR_KERNEL_MISC_RECLAIMABLE);
  const available = nr_free_pages(k) - totalreserve_pages(k) +
    reclaimable - Math.min(Math.floor(reclaimable / 2), wmark_low);
  return Math.max(0, available);
}

/** Sizes of memory, in pages. @mirrors include/uapi/linux/sysinfo.h:sysinfo */
export interface sysinfo {
  readonly totalram: number;
  readonly sharedram: number;
  readonly freeram: number;
  readonly bufferram: number;
  readonly totalhigh: number;
  readonly freehigh: number;
  readonly mem_unit: number;
}

/** @mirrors mm/page_alloc.c:si_meminfo */
export function si_meminfo(k: Kernel): sysinfo {
  return {
    totalram: _totalram_pages(k),
    sharedram: 0,
    freeram: nr_free_pages(k),
    bufferram: 0,
    totalhigh: 0,
    freehigh: 0,
    mem_unit: PAGE_SIZE,
  };
}

function show_migration_types(area: free_area): string {
  let letters = "";
  for (let mt = 0; mt < MIGRATE_TYPES; mt++) if (!free_area_empty(area, mt)) letters += "UMEH"[mt];
  return `(${letters}) `;
}

function zoneLines(k: Kernel, zone: zone): string[] {
  let free_pcp = 0;
  for (const cpu of for_each_online_cpu(k)) free_pcp += zone.pageset[cpu].pcp.count;
  const local_pcp = zone.pageset[smp_processor_id(k)].pcp.count;
  return [
    `${zone.name} free:${K(zone_page_state(zone, NR_FREE_PAGES))}kB min:${K(min_wmark_pages(zone))}kB` +
    ` low:${K(low_wmark_pages(zone))}kB high:${K(high_wmark_pages(zone))}kB` +
    ` reserved_highatomic:${K(zone.nr_reserved_highatomic)}KB` +
    " active_anon:0kB inactive_anon:0kB active_file:0kB inactive_file:0kB unevictable:0kB writepending:0kB" +
    ` present:${K(zone.present_pages)}kB managed:${K(zone_managed_pages(zone))}kB mlocked:0kB` +
    ` kernel_stack:${zone_page_state(zone, NR_KERNEL_STACK_KB)}kB` +
    ` pagetables:${K(zone_page_state(zone, NR_PAGETABLE))}kB bounce:${
      K(zone_page_state(zone, NR_BOUNCE))
    }kB` +
    ` free_pcp:${K(free_pcp)}kB local_pcp:${K(local_pcp)}kB free_cma:0kB`,
    `lowmem_reserve[]: ${Array.from(zone.lowmem_reserve).join(" ")}`,
  ];
}

function freeListLine(zone: zone): string {
  let line = `${zone.name}: `;
  let total = 0;
  for (let order = 0; order < MAX_ORDER; order++) {
    const area = zone.free_area[order];
    total += area.nr_free * (1 << order);
    line += `${area.nr_free}*${K(1 << order)}kB `;
    if (area.nr_free !== 0) line += show_migration_types(area);
  }
  return `${line}= ${K(total)}kB`;
}

/** The lines of show_free_areas(). What user memory and files would count is 0. */
function freeAreasLines(k: Kernel): string[] {
  const pgdat = contig_page_data(k);
  const zones = pgdat.node_zones.filter(populated_zone);
  let free_pcp = 0;
  for (const zone of zones) {
    for (const cpu of for_each_online_cpu(k)) free_pcp += zone.pageset[cpu].pcp.count;
  }
  return [
    "active_anon:0 inactive_anon:0 isolated_anon:0",
    " active_file:0 inactive_file:0 isolated_file:0",
    " unevictable:0 dirty:0 writeback:0 unstable:0",
    ` slab_reclaimable:${global_node_page_state(k, NR_SLAB_RECLAIMABLE)}` +
    ` slab_unreclaimable:${global_node_page_state(k, NR_SLAB_UNRECLAIMABLE)}`,
    ` mapped:0 shmem:0 pagetables:${global_zone_page_state(k, NR_PAGETABLE)} bounce:0`,
    ` free:${nr_free_pages(k)} free_pcp:${free_pcp} free_cma:0`,
    "Node 0 active_anon:0kB inactive_anon:0kB active_file:0kB inactive_file:0kB unevictable:0kB" +
    " isolated(anon):0kB isolated(file):0kB mapped:0kB dirty:0kB writeback:0kB shmem:0kB writeback_tmp:0kB" +
    ` unstable:0kB all_unreclaimable? ${pgdat.kswapd_failures >= MAX_RECLAIM_RETRIES ? "yes" : "no"}`,
    ...zones.flatMap((zone) => zoneLines(k, zone)),
    ...zones.map(freeListLine),
    "0 total pagecache pages",
  ];
}

/** Prints the state of the zones. @mirrors mm/page_alloc.c:show_free_areas */
export function show_free_areas(k: Kernel): void {
  for (const line of freeAreasLines(k)) pr_warn(k, line);
}

/** The lines of show_mem(). @invented a report is one piece */
export function memInfoLines(k: Kernel): string[] {
  let total = 0;
  let reserved = 0;
  for (const zone of contig_page_data(k).node_zones) {
    total += zone.present_pages;
    reserved += zone.present_pages - zone_managed_pages(zone);
  }
  return [
    "Mem-Info:",
    ...freeAreasLines(k),
    `${total} pages RAM`,
    "0 pages HighMem/MovableOnly",
    `${reserved} pages reserved`,
  ];
}

/** Prints the state of memory. @mirrors lib/show_mem.c:show_mem */
export function show_mem(k: Kernel): void {
  for (const line of memInfoLines(k)) pr_warn(k, line);
}

function build_zonelists(k: Kernel): void {
  const pgdat = contig_page_data(k);
  const zonerefs: zoneref[] = [];
  for (let zone_type = MAX_NR_ZONES - 1; zone_type >= 0; zone_type--) {
    const zone = pgdat.node_zones[zone_type];
    if (managed_zone(zone)) zonerefs.push({ zone, zone_idx: zone_idx(zone) });
  }
  pgdat.node_zonelists = zonerefs;
}

/** Boot pagesets hold nothing: a page that is freed goes through at once. */
function build_all_zonelists_init(k: Kernel): void {
  build_zonelists(k);
  for (const cpu of k.cpus) setup_pageset(per_cpu_ptr(k, boot_pageset, cpu.id), 0);
}

/**
 * Orders the zones for allocation, and decides whether the machine is large enough to keep migratetypes apart.
 *
 * Context: boot.
 *
 * @mirrors mm/page_alloc.c:build_all_zonelists
 * @simplified lays out the zones too if nobody did, as setup_arch() does
 */
export function build_all_zonelists(k: Kernel): void {
  if (contig_page_data(k).node_present_pages === 0) free_area_init(k);
  build_all_zonelists_init(k);
  vm_total_pages.set(k, nr_free_pagecache_pages(k));
  const disabled = vm_total_pages(k) < pageblock_nr_pages * MIGRATE_TYPES;
  page_group_by_mobility_disabled.set(k, disabled);
  const grouping = disabled ? "off" : "on";
  pr_info(k, `Built 1 zonelists, mobility grouping ${grouping}.  Total pages: ${vm_total_pages(k)}`);
}

/** Every page starts reserved for boot, with one reference; every pageblock starts movable. */
function memmap_init_zone(k: Kernel, zone: zone): void {
  const m = mem_map(k);
  m._refcount.fill(1, zone.zone_start_pfn, zone_end_pfn(zone));
  m._mapcount.fill(-1, zone.zone_start_pfn, zone_end_pfn(zone));
  zone.pageblock_flags = new Uint8Array(Math.ceil(zone.spanned_pages / pageblock_nr_pages));
  zone.pageblock_flags.fill(MIGRATE_MOVABLE);
}

/** Pages per refill and drain: about a 4096th of the zone, one less than a power of two. */
function zone_batchsize(zone: zone): number {
  let batch = Math.floor(zone_managed_pages(zone) / 1024);
  if (batch * PAGE_SIZE > 1024 * 1024) batch = 1024 * 1024 / PAGE_SIZE;
  batch = Math.max(1, Math.floor(batch / 4));
  return 2 ** Math.floor(Math.log2(batch + Math.floor(batch / 2))) - 1;
}

function pageset_update(pcp: per_cpu_pages, high: number, batch: number): void {
  pcp.high = high;
  pcp.batch = batch;
}

function pageset_set_batch(p: per_cpu_pageset, batch: number): void {
  pageset_update(p.pcp, 6 * batch, Math.max(1, batch));
}

function pageset_init(p: per_cpu_pageset): void {
  p.pcp.count = 0;
  for (const list of p.pcp.lists) list.first = list.last = NULL_PAGE;
}

function setup_pageset(p: per_cpu_pageset, batch: number): void {
  pageset_init(p);
  pageset_set_batch(p, batch);
}

function pageset_set_high(p: per_cpu_pageset, high: number): void {
  const batch = Math.min(Math.max(1, Math.floor(high / 4)), 12 * 8);
  pageset_update(p.pcp, high, batch);
}

function pageset_set_high_and_batch(k: Kernel, zone: zone, p: per_cpu_pageset): void {
  const fraction = percpu_pagelist_fraction(k);
  if (fraction !== 0) pageset_set_high(p, Math.floor(zone_managed_pages(zone) / fraction));
  else pageset_set_batch(p, zone_batchsize(zone));
}

function zone_pageset_init(k: Kernel, zone: zone, cpu: number): void {
  const pcp = zone.pageset[cpu];
  pageset_init(pcp);
  pageset_set_high_and_batch(k, zone, pcp);
}

function setup_zone_pageset(k: Kernel, zone: zone): void {
  zone.pageset = k.cpus.map(() => new per_cpu_pageset());
  for (const cpu of for_each_possible_cpu(k)) zone_pageset_init(k, zone, cpu);
}

/**
 * Gives each CPU its own page lists; before, every page goes to and from the free lists.
 *
 * Context: boot, after kmem_cache_init_late().
 *
 * @mirrors mm/page_alloc.c:setup_per_cpu_pageset
 * @simplified the lists are not in per-CPU memory
 */
export function setup_per_cpu_pageset(k: Kernel): void {
  for (const zone of contig_page_data(k).node_zones) if (populated_zone(zone)) setup_zone_pageset(k, zone);
}

function zone_pcp_init(k: Kernel, zone: zone): void {
  zone.pageset = k.cpus.map((cpu) => per_cpu_ptr(k, boot_pageset, cpu.id));
  if (!populated_zone(zone)) return;
  printk(
    k,
    KERN_DEBUG,
    `  ${zone_names[zone_idx(zone)]} zone: ${zone.present_pages} pages, LIFO batch:${zone_batchsize(zone)}`,
  );
}

function __free_pages_memory(k: Kernel, start: number, end: number): void {
  while (start < end) {
    const aligned = 31 - Math.clz32(start & -start);
    let order = Math.min(MAX_ORDER - 1, aligned);
    while (start + (1 << order) > end) order--;
    __free_pages_core(k, start as page, order);
    start += 1 << order;
  }
}

/** Gives all RAM that boot does not keep to the allocator. Returns how many pages. @mirrors mm/memblock.c:memblock_free_all */
function memblock_free_all(k: Kernel): number {
  for (const zone of contig_page_data(k).node_zones) zone.managed_pages = 0;
  const end = mem_map(k).nrPages;
  reserve_bootmem_region(k, 0, k.dataPages);
  __free_pages_memory(k, k.dataPages, end);
  const pages = end - k.dataPages;
  _totalram_pages.set(k, _totalram_pages(k) + pages);
  return pages;
}

/**
 * Prints how much memory there is.
 *
 * @mirrors mm/page_alloc.c:mem_init_print_info
 * @simplified the only section that takes RAM is .data
 */
export function mem_init_print_info(k: Kernel): void {
  const physpages = mem_map(k).nrPages;
  pr_info(
    k,
    `Memory: ${K(nr_free_pages(k))}K/${K(physpages)}K available (0K kernel code, ${
      K(k.dataPages)
    }K rwdata, ` +
      `0K rodata, 0K init, 0K bss, ${K(physpages - _totalram_pages(k))}K reserved, 0K cma-reserved)`,
  );
}

/**
 * Lays out the zones: all of RAM is zone Normal.
 *
 * Context: boot, first of all.
 *
 * @mirrors mm/page_alloc.c:free_area_init
 * @simplified struct pages take no room in RAM
 */
export function free_area_init(k: Kernel): void {
  const pgdat = contig_page_data(k);
  const normal = pgdat.node_zones[ZONE_NORMAL];
  normal.spanned_pages = normal.present_pages = mem_map(k).nrPages;
  pgdat.node_spanned_pages = pgdat.node_present_pages = normal.spanned_pages;
  printk(k, KERN_DEBUG, `On node ${pgdat.node_id} totalpages: ${pgdat.node_present_pages}`);
  for (const zone of pgdat.node_zones) {
    zone.managed_pages = zone.present_pages;
    zone_pcp_init(k, zone);
  }
  memmap_init_zone(k, normal);
}

/**
 * The allocator takes over: all of RAM but the kernel's own .data becomes free.
 *
 * Context: boot, after build_all_zonelists(), one CPU.
 *
 * @mirrors arch/x86/mm/init_64.c:mem_init
 */
export function mem_init(k: Kernel): void {
  assert(contig_page_data(k).node_zonelists.length > 0, "mem_init() before build_all_zonelists()");
  memblock_free_all(k);
  mem_init_print_info(k);
}

/**
 * A CPU is gone: its lists and counters move on.
 *
 * Context: on another CPU.
 *
 * @mirrors mm/page_alloc.c:page_alloc_cpu_dead
 */
export function* page_alloc_cpu_dead(k: Kernel, cpu: number): Atomic<void> {
  yield* drain_pages(k, cpu);
  vm_events_fold_cpu(k, cpu);
}

function calculate_totalreserve_pages(k: Kernel): void {
  const pgdat = contig_page_data(k);
  let reserve_pages = 0;
  for (const zone of pgdat.node_zones) {
    let max = 0;
    for (let j = zone_idx(zone); j < MAX_NR_ZONES; j++) max = Math.max(max, zone.lowmem_reserve[j]);
    reserve_pages += Math.min(max + high_wmark_pages(zone), zone_managed_pages(zone));
  }
  pgdat.totalreserve_pages = reserve_pages;
  totalreserve_pages.set(k, reserve_pages);
}

function setup_per_zone_lowmem_reserve(k: Kernel): void {
  const { node_zones } = contig_page_data(k);
  const ratio = sysctl_lowmem_reserve_ratio(k);
  for (let j = 0; j < MAX_NR_ZONES; j++) {
    let managed_pages = zone_managed_pages(node_zones[j]);
    node_zones[j].lowmem_reserve[j] = 0;
    for (let idx = j - 1; idx >= 0; idx--) {
      const lower_zone = node_zones[idx];
      lower_zone.lowmem_reserve[j] = ratio[idx] < 1 ? 0 : Math.floor(managed_pages / ratio[idx]);
      managed_pages += zone_managed_pages(lower_zone);
    }
  }
  calculate_totalreserve_pages(k);
}

/**
 * Computes the watermarks of all zones from min_free_kbytes.
 *
 * Units: pages.
 *
 * @mirrors mm/page_alloc.c:setup_per_zone_wmarks
 * @simplified no zone lock: the update is indivisible
 */
export function setup_per_zone_wmarks(k: Kernel): void {
  const { node_zones } = contig_page_data(k);
  const pages_min = Math.floor(min_free_kbytes(k) / K(1));
  let lowmem_pages = 0;
  for (const zone of node_zones) lowmem_pages += zone_managed_pages(zone);
  for (const zone of node_zones) {
    const managed = zone_managed_pages(zone);
    const min = Math.floor(pages_min * managed / lowmem_pages);
    const gap = Math.max(Math.floor(min / 4), Math.floor(managed * watermark_scale_factor(k) / 10000));
    zone._watermark[WMARK_MIN] = min;
    // C adds the boost that is cleared below.
    zone._watermark[WMARK_LOW] = min_wmark_pages(zone) + gap;
    zone._watermark[WMARK_HIGH] = min_wmark_pages(zone) + gap * 2;
    zone.watermark_boost = 0;
  }
  calculate_totalreserve_pages(k);
}

/**
 * Computes min_free_kbytes from the size of memory, and from it the watermarks. Before, they are 0.
 *
 * Context: boot (core_initcall).
 *
 * @mirrors mm/page_alloc.c:init_per_zone_wmark_min
 * @simplified no stat thresholds: counters are exact
 */
export function init_per_zone_wmark_min(k: Kernel): number {
  const lowmem_kbytes = K(nr_free_buffer_pages(k));
  const new_min_free_kbytes = Math.floor(Math.sqrt(lowmem_kbytes * 16));
  const user = user_min_free_kbytes(k);
  if (new_min_free_kbytes > user) {
    min_free_kbytes.set(k, Math.min(Math.max(new_min_free_kbytes, 128), 262144));
  } else {
    pr_warn(
      k,
      `min_free_kbytes is not updated to ${new_min_free_kbytes} because user defined value ${user} is preferred`,
    );
  }
  setup_per_zone_wmarks(k);
  setup_per_zone_lowmem_reserve(k);
  return 0;
}

/**
 * Sets vm.min_free_kbytes and recomputes the watermarks.
 *
 * Units: KiB.
 *
 * @mirrors mm/page_alloc.c:min_free_kbytes_sysctl_handler
 */
export function min_free_kbytes_sysctl_handler(k: Kernel, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`min_free_kbytes ${value}: 0 or more`);
  min_free_kbytes.set(k, value);
  user_min_free_kbytes.set(k, value);
  setup_per_zone_wmarks(k);
}

/**
 * Sets vm.percpu_pagelist_fraction: each CPU may hold that part of a zone; 0 is the default size. False: not allowed.
 *
 * @mirrors mm/page_alloc.c:percpu_pagelist_fraction_sysctl_handler
 */
export function percpu_pagelist_fraction_sysctl_handler(k: Kernel, value: number): boolean {
  if (value !== 0 && value < MIN_PERCPU_PAGELIST_FRACTION) return false;
  percpu_pagelist_fraction.set(k, value);
  for (const zone of contig_page_data(k).node_zones) {
    if (!populated_zone(zone)) continue;
    for (const pageset of zone.pageset) pageset_set_high_and_batch(k, zone, pageset);
  }
  return true;
}
