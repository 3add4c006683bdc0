// SPDX-License-Identifier: GPL-2.0-only
/**
 * Counters of pages and of events. Mirrors the counting part of mm/vmstat.c and include/linux/vmstat.h (v5.7); what is
 * shown of them in /proc is in mm/show_mem.ts.
 *
 * Invariant: page counters are exact at every moment. Linux lets each CPU hold back a few pages (stat_threshold, 0 here),
 * which is noise for whoever wants to know when an allocation fails.
 * Left out: per-CPU differentials and their folding, NUMA counters, writeback thresholds.
 *
 * @module
 */

import type { Kernel } from "../kernel/kernel.ts";
import {
  DEFINE_PER_CPU,
  KERNEL_STATIC,
  type KernelStatic,
  per_cpu_ptr,
  type PerCpu,
  type StaticKey,
  this_cpu_ptr,
} from "../kernel/static.ts";
import { contig_page_data, NR_VM_NODE_STAT_ITEMS, NR_VM_ZONE_STAT_ITEMS, type zone } from "./mmzone.ts";

// enum vm_event_item: those that happen here
export const PGALLOC_NORMAL = 0;
export const PGALLOC_MOVABLE = 1;
export const ALLOCSTALL_NORMAL = 2;
export const ALLOCSTALL_MOVABLE = 3;
export const PGFREE = 4;
export const PGSTEAL_KSWAPD = 5;
export const PGSTEAL_DIRECT = 6;
export const SLABS_SCANNED = 7;
export const KSWAPD_LOW_WMARK_HIT_QUICKLY = 8;
export const KSWAPD_HIGH_WMARK_HIT_QUICKLY = 9;
export const PAGEOUTRUN = 10;
export const DROP_SLAB = 11;
export const OOM_KILL = 12;
export const NR_VM_EVENT_ITEMS = 13;

/** Events of one CPU. @mirrors include/linux/vmstat.h:vm_event_state */
export class vm_event_state {
  readonly event: Float64Array = new Float64Array(NR_VM_EVENT_ITEMS);
}

/** @mirrors mm/vmstat.c:vm_event_states */
export const vm_event_states: PerCpu<vm_event_state> = DEFINE_PER_CPU(
  "vm_event_states",
  () => new vm_event_state(),
);

/** Pages behind vmalloc areas, counted by mm/vmalloc.ts. @mirrors mm/vmalloc.c:nr_vmalloc_pages */
export const nr_vmalloc_pages: KernelStatic<number> = KERNEL_STATIC("nr_vmalloc_pages", () => 0);

export const statics: readonly StaticKey[] = [vm_event_states, nr_vmalloc_pages];

/** @mirrors include/linux/vmstat.h:count_vm_event */
export function count_vm_event(k: Kernel, item: number): void {
  this_cpu_ptr(k, vm_event_states).event[item]++;
}

/** @mirrors include/linux/vmstat.h:count_vm_events */
export function count_vm_events(k: Kernel, item: number, delta: number): void {
  this_cpu_ptr(k, vm_event_states).event[item] += delta;
}

/** Events of all CPUs since boot, by item; a look. @mirrors mm/vmstat.c:all_vm_events */
export function all_vm_events(k: Kernel): Float64Array {
  const sum = new Float64Array(NR_VM_EVENT_ITEMS);
  for (const cpu of k.cpus) {
    const { event } = per_cpu_ptr(k, vm_event_states, cpu.id);
    for (let i = 0; i < NR_VM_EVENT_ITEMS; i++) sum[i] += event[i];
  }
  return sum;
}

/** Events of a dead CPU move to this one. @mirrors mm/vmstat.c:vm_events_fold_cpu */
export function vm_events_fold_cpu(k: Kernel, cpu: number): void {
  const { event } = per_cpu_ptr(k, vm_event_states, cpu);
  for (let i = 0; i < NR_VM_EVENT_ITEMS; i++) {
    count_vm_events(k, i, event[i]);
    event[i] = 0;
  }
}

/**
 * Adds `delta` to a zone's counter.
 *
 * Context: any.
 *
 * @mirrors mm/vmstat.c:mod_zone_page_state
 * @simplified counters are exact: no per-CPU differentials
 */
export function mod_zone_page_state(_k: Kernel, zone: zone, item: number, delta: number): void {
  zone.vm_stat[item] += delta;
}

/**
 * Adds `delta` to a counter of the node (NR_SLAB_RECLAIMABLE and the like).
 *
 * Context: any.
 *
 * @mirrors mm/vmstat.c:mod_node_page_state
 * @simplified one node: no pglist_data parameter; counters are exact
 */
export function mod_node_page_state(k: Kernel, item: number, delta: number): void {
  contig_page_data(k).vm_stat[item] += delta;
}

/** Names of all counters: of zones, of nodes, of events. @mirrors mm/vmstat.c:vmstat_text */
export const vmstat_text: readonly string[] = [
  // enum zone_stat_item
  "nr_free_pages",
  "nr_zone_inactive_anon",
  "nr_zone_active_anon",
  "nr_zone_inactive_file",
  "nr_zone_active_file",
  "nr_zone_unevictable",
  "nr_zone_write_pending",
  "nr_mlock",
  "nr_page_table_pages",
  "nr_kernel_stack",
  "nr_bounce",
  "nr_free_cma",
  // enum node_stat_item
  "nr_inactive_anon",
  "nr_active_anon",
  "nr_inactive_file",
  "nr_active_file",
  "nr_unevictable",
  "nr_slab_reclaimable",
  "nr_slab_unreclaimable",
  "nr_isolated_anon",
  "nr_isolated_file",
  "workingset_nodes",
  "workingset_refault",
  "workingset_activate",
  "workingset_restore",
  "workingset_nodereclaim",
  "nr_anon_pages",
  "nr_mapped",
  "nr_file_pages",
  "nr_dirty",
  "nr_writeback",
  "nr_writeback_temp",
  "nr_shmem",
  "nr_shmem_hugepages",
  "nr_shmem_pmdmapped",
  "nr_file_hugepages",
  "nr_file_pmdmapped",
  "nr_anon_transparent_hugepages",
  "nr_unstable",
  "nr_vmscan_write",
  "nr_vmscan_immediate_reclaim",
  "nr_dirtied",
  "nr_written",
  "nr_kernel_misc_reclaimable",
  "nr_foll_pin_acquired",
  "nr_foll_pin_released",
  // enum vm_event_item: those that happen here
  "pgalloc_normal",
  "pgalloc_movable",
  "allocstall_normal",
  "allocstall_movable",
  "pgfree",
  "pgsteal_kswapd",
  "pgsteal_direct",
  "slabs_scanned",
  "kswapd_low_wmark_hit_quickly",
  "kswapd_high_wmark_hit_quickly",
  "pageoutrun",
  "drop_slab",
  "oom_kill",
];

/** Sum over all zones. @mirrors include/linux/vmstat.h:global_zone_page_state */
export function global_zone_page_state(k: Kernel, item: number): number {
  let sum = 0;
  for (const zone of contig_page_data(k).node_zones) sum += zone.vm_stat[item];
  return sum;
}

/** Sum over all nodes: there is one. @mirrors include/linux/vmstat.h:global_node_page_state */
export function global_node_page_state(k: Kernel, item: number): number {
  return contig_page_data(k).vm_stat[item];
}

/** @mirrors include/linux/vmstat.h:zone_page_state */
export function zone_page_state(zone: zone, item: number): number {
  return zone.vm_stat[item];
}

/** @mirrors include/linux/vmstat.h:node_page_state */
export function node_page_state(k: Kernel, item: number): number {
  return contig_page_data(k).vm_stat[item];
}

/** @mirrors include/linux/vmstat.h:zone_stat_name */
export function zone_stat_name(item: number): string {
  return vmstat_text[item];
}

/** @mirrors include/linux/vmstat.h:node_stat_name */
export function node_stat_name(item: number): string {
  return vmstat_text[NR_VM_ZONE_STAT_ITEMS + item];
}

/** @mirrors include/linux/vmstat.h:vm_event_name */
export function vm_event_name(item: number): string {
  return vmstat_text[NR_VM_ZONE_STAT_ITEMS + NR_VM_NODE_STAT_ITEMS + item];
}
