// SPDX-License-Identifier: GPL-2.0-only
/** What a page is to its user: contents, validity, books, and what happens to mistakes. */

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { PAGE_OFFSET, PAGE_SIZE } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { CLEAR_PAGE_NS } from "../../kernel/machine/cost.ts";
import { SHADOW_FREE_PAGE, SHADOW_VALID } from "../../kernel/machine/ram.ts";
import { KernelOops } from "../../kernel/bug.ts";
import { addFailRule } from "../../kernel/fault_inject.ts";
import { __GFP_COMP, __GFP_HIGHMEM, __GFP_ZERO, gfp, GFP_KERNEL } from "../../kernel/gfp.ts";
import { DATA_PAGES } from "../../kernel/kernel.ts";
import { MM_PAGE_ALLOC_EVENT, MM_PAGE_FREE_EVENT } from "../../kernel/trace/events/kmem.ts";
import { mem_map, type mem_map_t, NULL_PAGE, type page, PG_locked, PG_slab } from "../../mm/mm_types.ts";
import { MIGRATE_MOVABLE, MIGRATE_UNMOVABLE, NR_FREE_PAGES, WMARK_HIGH } from "../../mm/mmzone.ts";
import {
  __get_free_page,
  __get_free_pages,
  alloc_pages_exact,
  checkBuddy,
  drain_all_pages,
  free_page,
  free_pages,
  free_pages_exact,
  get_page,
  get_zeroed_page,
  nr_free_pages,
  put_page,
  si_mem_available,
  split_page,
} from "../../mm/page_alloc.ts";
import { all_vm_events, PGALLOC_NORMAL, PGFREE } from "../../mm/vmstat.ts";
import { dmesg, run } from "../helpers.ts";
import {
  alloc,
  assertSound,
  buddyinfo,
  eventsOf,
  free,
  freeList,
  memoryKernel,
  MOVABLE,
  normal,
  QUIET,
} from "./memory_kernel.ts";

Deno.test("__GFP_ZERO clears the block and charges the time of it", () => {
  for (const order of [0, 3]) {
    const k = memoryKernel();
    const dirty = run(__get_free_pages(k, GFP_KERNEL, order));
    const last = dirty + PAGE_SIZE * 2 ** order - 8 as VirtAddr;
    k.ram.storeLong(dirty, 0x5a5a);
    k.ram.storeLong(last, 0x5a5a);
    run(free_pages(k, dirty, order));
    run(drain_all_pages(k));
    const plain = k.now();
    const again = run(__get_free_pages(k, GFP_KERNEL, order));
    const cost = k.now() - plain;
    assertEquals(again, dirty);
    assertEquals(k.ram.loadLong(last), 0x5a5a); // memory is not cleared by itself
    run(free_pages(k, again, order));
    run(drain_all_pages(k));
    const start = k.now();
    const zeroed = run(__get_free_pages(k, gfp(GFP_KERNEL, __GFP_ZERO), order));
    assertEquals(k.now() - start, cost + CLEAR_PAGE_NS * 2 ** order);
    assertEquals([k.ram.loadLong(zeroed), k.ram.loadLong(last)], [0, 0]);
  }
});

Deno.test("memory is valid exactly while it is allocated", () => {
  const k = memoryKernel();
  for (const order of [0, 1, 5]) {
    const addr = run(__get_free_pages(k, GFP_KERNEL, order));
    const phys = addr - PAGE_OFFSET;
    const size = PAGE_SIZE * 2 ** order;
    const shadow = (): number[] => [...new Set(k.ram.shadow.subarray(phys / 8, (phys + size) / 8))];
    assertEquals(shadow(), [SHADOW_VALID]);
    run(free_pages(k, addr, order));
    assertEquals(shadow(), [SHADOW_FREE_PAGE]);
  }
  // What was never handed out is not valid either, and costs nothing.
  assertEquals(k.ram.shadow[(1024 * PAGE_SIZE) / 8], 0);
});

Deno.test("mem_map says since when a block is allocated and how large it is", () => {
  const k = memoryKernel();
  const m = mem_map(k);
  for (const order of [0, 4]) {
    const p = alloc(k, order);
    assertEquals([m.birth[p], m.order[p], m._refcount[p]], [k.seq, order, 1]);
    assertEquals(k.log.get(k.seq)?.kind, MM_PAGE_ALLOC_EVENT);
    assertEquals(k.log.get(k.seq)?.args.slice(0, 4), [p, order, GFP_KERNEL, MIGRATE_UNMOVABLE]);
    m.use[p] = 2;
    free(k, p, order);
    assertEquals([m.birth[p], m.order[p], m._refcount[p], m.use[p]], [0, 0, 0, 0]);
  }
});

Deno.test("trace events and counters of an allocation that fails", () => {
  const k = memoryKernel();
  normal(k).vm_stat[NR_FREE_PAGES] = 0;
  const from = k.seq;
  assertEquals(run(__get_free_page(k, QUIET)), 0);
  assertEquals(eventsOf(k, MM_PAGE_ALLOC_EVENT, from + 1), [[0, 0, QUIET, 0, 0, 0, 0, 0]]);
});

Deno.test("pgalloc and pgfree count pages, whatever way they take", () => {
  const k = memoryKernel();
  const [alloc0, free0] = [all_vm_events(k)[PGALLOC_NORMAL], all_vm_events(k)[PGFREE]];
  const a = alloc(k, 0);
  const b = alloc(k, 0);
  const c = alloc(k, 3);
  free(k, a, 0);
  free(k, b, 0);
  free(k, c, 3);
  assertEquals(all_vm_events(k)[PGALLOC_NORMAL] - alloc0, 10);
  assertEquals(all_vm_events(k)[PGFREE] - free0, 10);
});

Deno.test("get_zeroed_page(), __get_free_page() and free_page() speak of addresses", () => {
  const k = memoryKernel();
  const a = run(get_zeroed_page(k, gfp(GFP_KERNEL, __GFP_HIGHMEM)));
  assertEquals((a - PAGE_OFFSET) % PAGE_SIZE, 0);
  run(free_page(k, a));
  run(free_page(k, 0 as VirtAddr));
  assertThrows(() => run(free_page(k, 0x1234_0000 as VirtAddr)), KernelOops);
  assertSound(k);
});

Deno.test("a compound page ties its pages together until it is freed", () => {
  const k = memoryKernel();
  const m = mem_map(k);
  const p = alloc(k, 2, gfp(GFP_KERNEL, __GFP_COMP));
  assertEquals([...m.compound_head.subarray(p, p + 4)], [0, p, p, p]);
  assertEquals([m.compound_order[p], m._refcount[p], m._refcount[p + 1]], [2, 1, 0]);
  get_page(k, (p + 3) as page);
  run(put_page(k, (p + 2) as page));
  assertEquals(m._refcount[p], 1);
  run(put_page(k, (p + 1) as page));
  assertEquals([...m.compound_head.subarray(p, p + 4)], [0, 0, 0, 0]);
  assertEquals(m.flags[p] & 0xffffff, 0);
  assertEquals(k.reports.length, 0);
  assertSound(k);
});

Deno.test("split_page() makes pages that are freed one by one", () => {
  const k = memoryKernel();
  const before = buddyinfo(k);
  const p = alloc(k, 3);
  split_page(k, p, 3);
  assertSound(k);
  for (let i = 7; i >= 0; i--) free(k, (p + i) as page, 0);
  run(drain_all_pages(k));
  assertEquals(buddyinfo(k), before);
  assertSound(k);
});

Deno.test("alloc_pages_exact() returns the pages it does not need", () => {
  const k = memoryKernel();
  const before = nr_free_pages(k);
  const addr = run(alloc_pages_exact(k, 5 * PAGE_SIZE + 1, GFP_KERNEL));
  run(drain_all_pages(k));
  assertEquals(nr_free_pages(k), before - 6);
  run(free_pages_exact(k, addr, 5 * PAGE_SIZE + 1));
  run(drain_all_pages(k));
  assertEquals(nr_free_pages(k), before);
  assertSound(k);
});

Deno.test("si_mem_available() leaves out the high watermark", () => {
  const k = memoryKernel();
  assertEquals(si_mem_available(k), 16384 - DATA_PAGES - normal(k)._watermark[WMARK_HIGH]);
});

// Mistakes of callers

Deno.test("freeing twice is reported at the call and changes nothing", () => {
  for (const order of [0, 2]) {
    const k = memoryKernel();
    const p = alloc(k, order);
    free(k, p, order);
    const free1 = nr_free_pages(k);
    const frees = eventsOf(k, MM_PAGE_FREE_EVENT).length;
    free(k, p, order);
    assertEquals(k.reports.length, 1);
    const { title, lines } = k.reports[0];
    assertEquals(title, `BUG: Bad page state in process test/0  pfn:${p.toString(16).padStart(5, "0")}`);
    assert(lines.includes("page dumped because: nonzero _refcount"));
    assert(lines[1].startsWith(`page:ffffea00`) && lines[1].includes("refcount:-1"));
    assertEquals(eventsOf(k, MM_PAGE_FREE_EVENT).length, frees);
    assertEquals(nr_free_pages(k), free1);
    assertSound(k);
    run(drain_all_pages(k));
    free(k, p, order); // now a free block, or part of one
    assertEquals(k.reports.length, 2);
    assertSound(k);
  }
});

Deno.test("a page whose state is wrong is reported, dumped and not freed", () => {
  const k = memoryKernel();
  const p = alloc(k, 0);
  mem_map(k).flags[p] |= PG_slab;
  free(k, p, 0);
  const { lines } = k.reports[0];
  assert(lines.includes("flags: 0x200(slab)"));
  assert(lines.includes("page dumped because: PAGE_FLAGS_CHECK_AT_FREE flag(s) set"));
  assert(lines.includes("bad because of flags: 0x200(slab)"));
  assertEquals(lines.filter((line) => line.startsWith("raw: ")).length, 2);
  assertEquals(normal(k).pageset[0].pcp.count, 2);
  assertSound(k);
});

Deno.test("freeing a block with a page of somebody else in it is reported and not done", () => {
  const k = memoryKernel();
  const p = alloc(k, 0, MOVABLE);
  const q = alloc(k, 0, MOVABLE);
  assertEquals([q, p % 2], [p + 1, 0]);
  const before = nr_free_pages(k);
  free(k, p, 1);
  assert(k.reports[0].lines.includes("page dumped because: nonzero _refcount"));
  assertEquals(nr_free_pages(k), before);
  assertSound(k);
  assertThrows(() => free(k, q, 1), KernelOops); // not aligned
});

Deno.test("bad page reports stop after 60 and go on a minute later", () => {
  const k = memoryKernel();
  const p = alloc(k, 0);
  free(k, p, 0);
  for (let i = 0; i < 70; i++) free(k, p, 0);
  assertEquals(k.reports.length, 60);
  k.charge(60e9);
  free(k, p, 0);
  assertEquals(k.reports.length, 61);
  assert(dmesg(k).includes("BUG: Bad page state: 10 messages suppressed"));
});

Deno.test("checkBuddy() finds what is wrong", () => {
  const k = memoryKernel();
  const m = mem_map(k);
  const p = alloc(k, 0);
  assertSound(k);
  m.birth[p] = 0;
  assertEquals(checkBuddy(k), ["1 pages are neither free nor allocated"]);
  m.birth[p] = 1;
  normal(k).vm_stat[NR_FREE_PAGES]--;
  assertStringIncludes(checkBuddy(k)[0], "NR_FREE_PAGES is");
  normal(k).vm_stat[NR_FREE_PAGES]++;
  normal(k).free_area[10].nr_free++;
  assertStringIncludes(checkBuddy(k)[0], "free_area[10].nr_free");
  normal(k).free_area[10].nr_free--;
  m._refcount[freeList(k, 10, MIGRATE_MOVABLE)[0]] = 1;
  assertStringIncludes(checkBuddy(k)[0], "has refcount 1");
});

// Fault injection in the allocator

Deno.test("an exact rule fails the page that it names, and only that", () => {
  const k = memoryKernel();
  addFailRule(k, { what: "page", order: 0, gfp: QUIET, gfpMask: -1, nth: 2 });
  assert(alloc(k, 0, QUIET) !== NULL_PAGE);
  assert(alloc(k, 0, GFP_KERNEL) !== NULL_PAGE);
  const from = k.seq;
  assertEquals(alloc(k, 0, QUIET), NULL_PAGE);
  assertEquals(eventsOf(k, MM_PAGE_ALLOC_EVENT, from + 1), []); // as in Linux: no trace event
  assert(alloc(k, 0, QUIET) !== NULL_PAGE);
  assertEquals(k.reports.length, 0);
});

Deno.test("a free page that is not as it should be is reported, lost, and the next one handed out", () => {
  const spoil: [(m: mem_map_t, p: page) => void, string][] = [
    [(m, p) => m.flags[p] |= PG_locked, "PAGE_FLAGS_CHECK_AT_PREP flag set"],
    [(m, p) => m._refcount[p] = 1, "nonzero _refcount"],
  ];
  for (const [change, reason] of spoil) {
    const k = memoryKernel();
    const first = alloc(k, 0);
    free(k, first, 0); // on this CPU's list, the next to be handed out
    change(mem_map(k), first);
    const next = alloc(k, 0);
    assert(next !== NULL_PAGE && next !== first);
    assertEquals(k.reports.length, 1);
    assert(k.reports[0].title.startsWith("BUG: Bad page state in process test/0"));
    assert(k.reports[0].lines.includes(`page dumped because: ${reason}`), k.reports[0].lines.join("\n"));
  }
});
