// SPDX-License-Identifier: GPL-2.0-only
/**
 * The state of memory as /proc shows it: buddyinfo, pagetypeinfo, zoneinfo, vmstat and meminfo, line by line. Mirrors the
 * show functions of mm/vmstat.c and fs/proc/meminfo.c (v5.7).
 *
 * Invariant: these are looks. They take no lock, drain no list and change nothing, so asking is not part of the run.
 * What user memory, files and swap would count is there and 0. Left out: hugetlb, transparent huge pages, the mixed
 * blocks of page_owner, and what the architecture adds to meminfo.
 *
 * @module
 */

import { VMALLOC_END, VMALLOC_START } from "../kernel/machine/addr.ts";
import { for_each_online_cpu } from "../kernel/cpumask.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { mem_map, type page } from "./mm_types.ts";
import {
  contig_page_data,
  get_pageblock_migratetype,
  high_wmark_pages,
  K,
  low_wmark_pages,
  MAX_ORDER,
  MAX_RECLAIM_RETRIES,
  MIGRATE_TYPES,
  migratetype_names,
  min_wmark_pages,
  NR_KERNEL_MISC_RECLAIMABLE,
  NR_KERNEL_STACK_KB,
  NR_PAGETABLE,
  NR_SLAB_RECLAIMABLE,
  NR_SLAB_UNRECLAIMABLE,
  NR_VM_NODE_STAT_ITEMS,
  NR_VM_ZONE_STAT_ITEMS,
  pageblock_nr_pages,
  pageblock_order,
  populated_zone,
  type zone,
  zone_end_pfn,
  zone_managed_pages,
} from "./mmzone.ts";
import { si_mem_available, si_meminfo } from "./page_alloc.ts";
import {
  all_vm_events,
  global_node_page_state,
  global_zone_page_state,
  node_page_state,
  node_stat_name,
  NR_VM_EVENT_ITEMS,
  nr_vmalloc_pages,
  vm_event_name,
  zone_page_state,
  zone_stat_name,
} from "./vmstat.ts";

/** Blocks of one list are counted no further than this. */
const COUNT_CAP = 100000;

function populatedZones(k: Kernel): zone[] {
  return contig_page_data(k).node_zones.filter(populated_zone);
}

function orders(): number[] {
  return Array.from({ length: MAX_ORDER }, (_, order) => order);
}

function frag_show_print(zone: zone): string {
  const counts = zone.free_area.map((area) => `${String(area.nr_free).padStart(6)} `);
  return `Node 0, zone ${zone.name.padStart(8)} ${counts.join("")}`;
}

/** /proc/buddyinfo: free blocks by order. @mirrors mm/vmstat.c:frag_show */
export function frag_show(k: Kernel): string[] {
  return populatedZones(k).map(frag_show_print);
}

/** Blocks on one free list, with ">" in front when there are more than are counted. */
function countText(k: Kernel, zone: zone, order: number, mtype: number): string {
  const m = mem_map(k);
  let freecount = 0;
  for (let p = zone.free_area[order].free_list[mtype].first; p !== 0; p = m.next[p] as page) {
    if (++freecount >= COUNT_CAP) return `>${String(freecount).padStart(6)} `;
  }
  return `${String(freecount).padStart(6)} `;
}

function pagetypeinfo_showfree_print(k: Kernel, zone: zone): string[] {
  return migratetype_names.map((name, mtype) =>
    `Node    0, zone ${zone.name.padStart(8)}, type ${name.padStart(12)} ` +
    orders().map((order) => countText(k, zone, order, mtype)).join("")
  );
}

function pagetypeinfo_showblockcount_print(zone: zone): string {
  const count = new Array<number>(MIGRATE_TYPES).fill(0);
  for (let pfn = zone.zone_start_pfn; pfn < zone_end_pfn(zone); pfn += pageblock_nr_pages) {
    count[get_pageblock_migratetype(zone, pfn as page)]++;
  }
  const text = count.map((n) => `${String(n).padStart(12)} `).join("");
  return `Node 0, zone ${zone.name.padStart(8)} ${text}`;
}

/** /proc/pagetypeinfo: free blocks by order and migratetype, pageblocks by migratetype. @mirrors mm/vmstat.c:pagetypeinfo_show */
export function pagetypeinfo_show(k: Kernel): string[] {
  const zones = populatedZones(k);
  return [
    `Page block order: ${pageblock_order}`,
    `Pages per block:  ${pageblock_nr_pages}`,
    "",
    "Free pages count per migrate type at order".padEnd(43) + " " +
    orders().map((order) => `${String(order).padStart(6)} `).join(""),
    ...zones.flatMap((zone) => pagetypeinfo_showfree_print(k, zone)),
    "",
    "Number of blocks type ".padEnd(23) + migratetype_names.map((name) => `${name.padStart(12)} `).join(""),
    ...zones.map(pagetypeinfo_showblockcount_print),
  ];
}

function stat(name: string, value: number): string {
  return `      ${name.padEnd(12)} ${value}`;
}

function pagesetLines(k: Kernel, zone: zone): string[] {
  const lines = ["  pagesets"];
  for (const cpu of for_each_online_cpu(k)) {
    const { pcp, stat_threshold } = zone.pageset[cpu];
    lines.push(
      `    cpu: ${cpu}`,
      `              count: ${pcp.count}`,
      `              high:  ${pcp.high}`,
      `              batch: ${pcp.batch}`,
      `  vm stats threshold: ${stat_threshold}`,
    );
  }
  return lines;
}

function zoneinfo_show_print(k: Kernel, zone: zone): string[] {
  const pgdat = contig_page_data(k);
  const lines = [`Node ${pgdat.node_id}, zone ${zone.name.padStart(8)}`];
  if (zone === pgdat.node_zones.find(populated_zone)) {
    lines.push("  per-node stats");
    for (let i = 0; i < NR_VM_NODE_STAT_ITEMS; i++) {
      lines.push(stat(node_stat_name(i), node_page_state(k, i)));
    }
  }
  lines.push(
    `  pages free     ${zone_page_state(zone, 0)}`,
    `        min      ${min_wmark_pages(zone)}`,
    `        low      ${low_wmark_pages(zone)}`,
    `        high     ${high_wmark_pages(zone)}`,
    `        spanned  ${zone.spanned_pages}`,
    `        present  ${zone.present_pages}`,
    `        managed  ${zone_managed_pages(zone)}`,
    `        protection: (${Array.from(zone.lowmem_reserve).join(", ")})`,
  );
  if (!populated_zone(zone)) return lines;
  for (let i = 0; i < NR_VM_ZONE_STAT_ITEMS; i++) {
    lines.push(stat(zone_stat_name(i), zone_page_state(zone, i)));
  }
  lines.push(
    ...pagesetLines(k, zone),
    `  node_unreclaimable:  ${pgdat.kswapd_failures >= MAX_RECLAIM_RETRIES ? 1 : 0}`,
    `  start_pfn:           ${zone.zone_start_pfn}`,
  );
  return lines;
}

/** /proc/zoneinfo: watermarks, counters and per-CPU lists of each zone. @mirrors mm/vmstat.c:zoneinfo_show */
export function zoneinfo_show(k: Kernel): string[] {
  return contig_page_data(k).node_zones.flatMap((zone) => zoneinfo_show_print(k, zone));
}

/**
 * /proc/vmstat: counters of pages, then of events since boot.
 *
 * @mirrors mm/vmstat.c:vmstat_show
 * @simplified only the events that can happen here
 */
export function vmstat_show(k: Kernel): string[] {
  const lines: string[] = [];
  for (let i = 0; i < NR_VM_ZONE_STAT_ITEMS; i++) {
    lines.push(`${zone_stat_name(i)} ${global_zone_page_state(k, i)}`);
  }
  for (let i = 0; i < NR_VM_NODE_STAT_ITEMS; i++) {
    lines.push(`${node_stat_name(i)} ${global_node_page_state(k, i)}`);
  }
  const events = all_vm_events(k);
  for (let i = 0; i < NR_VM_EVENT_ITEMS; i++) lines.push(`${vm_event_name(i)} ${events[i]}`);
  return lines;
}

function kb(label: string, kilobytes: number): string {
  return `${(label + ":").padEnd(16)}${String(kilobytes).padStart(8)} kB`;
}

function show_val_kb(label: string, pages: number): string {
  return kb(label, K(pages));
}

/**
 * /proc/meminfo.
 *
 * @mirrors fs/proc/meminfo.c:meminfo_proc_show
 * @simplified per-CPU memory is not in RAM
 */
export function meminfo_proc_show(k: Kernel): string[] {
  const { totalram, freeram } = si_meminfo(k);
  const sreclaimable = global_node_page_state(k, NR_SLAB_RECLAIMABLE);
  const sunreclaim = global_node_page_state(k, NR_SLAB_UNRECLAIMABLE);
  const zeroes = (labels: string): string[] => labels.split(" ").map((label) => show_val_kb(label, 0));
  return [
    show_val_kb("MemTotal", totalram),
    show_val_kb("MemFree", freeram),
    show_val_kb("MemAvailable", si_mem_available(k)),
    ...zeroes(
      "Buffers Cached SwapCached Active Inactive Active(anon) Inactive(anon) Active(file) Inactive(file) " +
        "Unevictable Mlocked SwapTotal SwapFree Dirty Writeback AnonPages Mapped Shmem",
    ),
    show_val_kb("KReclaimable", sreclaimable + global_node_page_state(k, NR_KERNEL_MISC_RECLAIMABLE)),
    show_val_kb("Slab", sreclaimable + sunreclaim),
    show_val_kb("SReclaimable", sreclaimable),
    show_val_kb("SUnreclaim", sunreclaim),
    kb("KernelStack", global_zone_page_state(k, NR_KERNEL_STACK_KB)),
    show_val_kb("PageTables", global_zone_page_state(k, NR_PAGETABLE)),
    ...zeroes("NFS_Unstable Bounce WritebackTmp"),
    show_val_kb("CommitLimit", Math.floor(totalram / 2)),
    show_val_kb("Committed_AS", 0),
    kb("VmallocTotal", Math.floor((VMALLOC_END - VMALLOC_START) / 1024)),
    show_val_kb("VmallocUsed", nr_vmalloc_pages(k)),
    ...zeroes("VmallocChunk Percpu"),
  ];
}
