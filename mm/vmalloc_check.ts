// SPDX-License-Identifier: GPL-2.0-only
/**
 * A check of all of vmalloc's structures, for tests and for a run's end: trees, lists, summaries, the lazy list, the
 * counters and the page tables must tell one story.
 *
 * Invariant: looking changes nothing; no lock is taken, nothing is reported, no event is emitted.
 *
 * @invented mm/vmalloc.c has only its two compile-time checks of the free tree
 * @module
 */

import { ADDRESS_LIMIT, formatAddr, PAGE_SIZE } from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { list_head } from "../kernel/list.ts";
import { rb_first, rb_next, type rb_node, type rb_root } from "../kernel/rbtree.ts";
import { NULL_PAGE } from "./mm_types.ts";
import {
  areasOf,
  free_vmap_area_list,
  free_vmap_area_root,
  get_vm_area_size,
  lazyAreas,
  pageAt,
  VM_ALLOC,
  type vm_struct,
  VM_UNINITIALIZED,
  vmalloc_nr_pages,
  vmalloc_to_page,
  type vmap_area,
  vmap_area_list,
  vmap_area_root,
  vmap_lazy_nr,
} from "./vmalloc.ts";

/**
 * Checks all of vmalloc's structures. Returns what is wrong, in words; empty when nothing is.
 *
 * Context: at rest; an allocation or a free that is under way has its range in no structure for a moment.
 */
export function checkVmalloc(k: Kernel): string[] {
  const wrong: string[] = [];
  const busy = checkTree(vmap_area_root(k), vmap_area_list(k), "busy", wrong);
  const free = checkTree(free_vmap_area_root(k), free_vmap_area_list(k), "free", wrong);
  checkSummaries(free_vmap_area_root(k).rb_node, wrong);
  for (let i = 1; i < free.length; i++) {
    if (free[i - 1].va_end === free[i].va_start) wrong.push(`free ${text(free[i])} is not merged`);
  }
  const lazy = [...lazyAreas(k)];
  checkCover([...busy, ...free, ...lazy], wrong);

  const lazyPages = lazy.reduce((sum, va) => sum + (va.va_end - va.va_start) / PAGE_SIZE, 0);
  if (lazyPages !== vmap_lazy_nr(k)) wrong.push(`vmap_lazy_nr is ${vmap_lazy_nr(k)}, not ${lazyPages}`);
  let pages = 0;
  for (const va of busy) if (va.vm !== null) pages += checkMapping(k, va, va.vm, wrong);
  if (pages !== vmalloc_nr_pages(k)) wrong.push(`nr_vmalloc_pages is ${vmalloc_nr_pages(k)}, not ${pages}`);
  for (const va of lazy) {
    for (let addr = va.va_start; addr < va.va_end; addr += PAGE_SIZE) {
      if (vmalloc_to_page(k, addr as VirtAddr) !== NULL_PAGE) wrong.push(`lazy ${text(va)} is still mapped`);
    }
  }
  return wrong;
}

function text(va: vmap_area): string {
  return `${formatAddr(va.va_start)}-${formatAddr(va.va_end)}`;
}

/** Tree and list hold the same areas in ascending order. Returns them. */
function checkTree(
  root: rb_root<vmap_area>,
  head: list_head<vmap_area>,
  name: string,
  wrong: string[],
): vmap_area[] {
  const listed = [...areasOf(head)];
  const inTree: vmap_area[] = [];
  for (let n = rb_first(root); n !== null; n = rb_next(n)) inTree.push(n.owner);
  if (inTree.length !== listed.length || inTree.some((va, i) => va !== listed[i])) {
    wrong.push(`${name} tree and ${name} list differ`);
  }
  for (const va of listed) if (va.va_start >= va.va_end) wrong.push(`${name} ${text(va)} is empty`);
  return listed;
}

/** Returns the largest free area below `node`. */
function checkSummaries(node: rb_node<vmap_area> | null, wrong: string[]): number {
  if (node === null) return 0;
  const va = node.owner;
  const left = checkSummaries(node.rb_left, wrong);
  const right = checkSummaries(node.rb_right, wrong);
  const max = Math.max(va.va_end - va.va_start, left, right);
  if (va.subtree_max_size !== max) {
    wrong.push(`subtree_max_size of ${text(va)} is ${va.subtree_max_size}, not ${max}`);
  }
  return max;
}

/** Together the areas are the whole space, each address once. */
function checkCover(areas: vmap_area[], wrong: string[]): void {
  let end = 1;
  for (const va of areas.sort((a, b) => a.va_start - b.va_start)) {
    if (va.va_start < end) wrong.push(`${text(va)} overlaps what ends at ${formatAddr(end)}`);
    if (va.va_start > end) wrong.push(`nothing holds ${formatAddr(end)}-${formatAddr(va.va_start)}`);
    end = va.va_end;
  }
  if (end !== ADDRESS_LIMIT - 1) wrong.push(`nothing holds the space from ${formatAddr(end)}`);
}

/** The area's pages are mapped where they should be, and the guard page is not. Returns how many vmalloc counts. */
function checkMapping(k: Kernel, va: vmap_area, vm: vm_struct, wrong: string[]): number {
  if (vm.addr !== va.va_start || vm.size !== va.va_end - va.va_start) wrong.push(`vm of ${text(va)} differs`);
  if ((vm.flags & VM_ALLOC) === 0 || (vm.flags & VM_UNINITIALIZED) !== 0) return 0;
  for (let i = 0; i < vm.nr_pages; i++) {
    const at = vm.addr + i * PAGE_SIZE as VirtAddr;
    const page = pageAt(k, k.ram.rawLoadPtr(k.ram.translate(vm.pages + i * 8)));
    if (page === NULL_PAGE || vmalloc_to_page(k, at) !== page) {
      wrong.push(`${formatAddr(at)} is not mapped to pages[${i}]`);
    }
  }
  const mapped = get_vm_area_size(vm);
  if (vm.nr_pages * PAGE_SIZE !== mapped) wrong.push(`${text(va)} has ${vm.nr_pages} pages`);
  for (let at = vm.addr + mapped; at < vm.addr + vm.size; at += PAGE_SIZE) {
    if (vmalloc_to_page(k, at as VirtAddr) !== NULL_PAGE) {
      wrong.push(`guard page ${formatAddr(at)} is mapped`);
    }
  }
  return vm.nr_pages;
}
