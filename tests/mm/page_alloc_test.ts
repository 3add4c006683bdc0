// SPDX-License-Identifier: GPL-2.0-only
/** Boot, buddy lists and per-CPU lists, by the rules of Linux 5.7: numbers come from its formulas, worked by hand. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { PAGE_OFFSET, PAGE_SIZE } from "../../kernel/machine/addr.ts";
import {
  __GFP_MOVABLE,
  __GFP_NOWARN,
  __GFP_RECLAIMABLE,
  type Gfp,
  gfp,
  GFP_KERNEL,
  type GfpAtomic,
} from "../../kernel/gfp.ts";
import { DATA_PAGES } from "../../kernel/kernel.ts";
import {
  MM_PAGE_ALLOC_EVENT,
  MM_PAGE_ALLOC_EXTFRAG_EVENT,
  MM_PAGE_PCPU_DRAIN_EVENT,
} from "../../kernel/trace/events/kmem.ts";
import { list_add_tail, mem_map, NULL_PAGE, type page, page_address, page_list } from "../../mm/mm_types.ts";
import {
  get_pageblock_migratetype,
  MAX_ORDER,
  MIGRATE_MOVABLE,
  MIGRATE_RECLAIMABLE,
  MIGRATE_UNMOVABLE,
  WMARK_MIN,
} from "../../mm/mmzone.ts";
import {
  __free_page,
  __free_pages,
  drain_all_pages,
  drain_local_pages,
  free_unref_page_list,
  init_per_zone_wmark_min,
  min_free_kbytes,
  min_free_kbytes_sysctl_handler,
  nr_free_pages,
  page_alloc_cpu_dead,
  percpu_pagelist_fraction_sysctl_handler,
  set_pageblock_migratetype,
  setup_per_cpu_pageset,
  vm_total_pages,
} from "../../mm/page_alloc.ts";
import { dmesg, run } from "../helpers.ts";
import {
  alloc,
  assertSound,
  buddyinfo,
  earlyKernel,
  eventsOf,
  free,
  freeList,
  memoryKernel,
  MiB,
  MOVABLE,
  normal,
  QUIET,
} from "./memory_kernel.ts";

Deno.test("mem_init() gives RAM from DATA_PAGES up to the buddy lists, the highest block first", () => {
  const k = earlyKernel({ memBytes: 64 * MiB });
  // 256 is 2^8, so the rest of the first 4 MiB is a block of order 8 and one of order 9; 15 of order 10 follow.
  assertEquals(buddyinfo(k), [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 15]);
  assertEquals(freeList(k, 8, MIGRATE_MOVABLE), [256]);
  assertEquals(freeList(k, 9, MIGRATE_MOVABLE), [512]);
  assertEquals(freeList(k, 10, MIGRATE_MOVABLE), Array.from({ length: 15 }, (_, i) => 15360 - 1024 * i));
  assertEquals(nr_free_pages(k), 16384 - DATA_PAGES);
  assertEquals(vm_total_pages(k), 16384);
  assertEquals(dmesg(k), [
    "On node 0 totalpages: 16384",
    "  Normal zone: 16384 pages, LIFO batch:3",
    "Built 1 zonelists, mobility grouping on.  Total pages: 16384",
    "Memory: 64512K/65536K available (0K kernel code, 1024K rwdata, 0K rodata, 0K init, 0K bss, 1024K reserved, " +
    "0K cma-reserved)",
  ]);
  assertSound(k);
});

Deno.test("mem_init() copes with RAM that is not a multiple of the largest block", () => {
  const k = earlyKernel({ memBytes: 8 * MiB + 3 * PAGE_SIZE });
  // 2051 frames: 256, 512, 1024 and then 2 + 1 frames.
  assertEquals(buddyinfo(k), [1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
  assertSound(k);
  const held = Array.from({ length: 2051 - DATA_PAGES }, () => alloc(k, 0, QUIET));
  assert(!held.includes(NULL_PAGE));
  assertEquals(alloc(k, 0, QUIET), NULL_PAGE);
  for (const p of held) free(k, p, 0);
  assertEquals(buddyinfo(k), [1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
  assertSound(k);
});

Deno.test("boot page lists hold nothing, and nothing sleeps before gfp_allowed_mask is set", () => {
  const k = earlyKernel();
  const p = alloc(k, 0, GFP_KERNEL);
  assertEquals(normal(k).pageset[0].pcp.count, 0);
  assertEquals(eventsOf(k, MM_PAGE_ALLOC_EVENT).at(-1)?.[2], 0); // GFP_KERNEL less RECLAIM, IO and FS
  free(k, p, 0);
  assertEquals(normal(k).pageset[0].pcp.count, 0);
  assertEquals(buddyinfo(k), [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 15]);
});

// Sizes

Deno.test("setup_per_cpu_pageset() computes batch and high from managed pages", () => {
  // managed MiB, batch, high: the table of the formula b = managed/1024 <= 256; b /= 4; 2^floor(log2(b + b/2)) - 1.
  const table = [[16, 1, 0], [32, 1, 6], [64, 3, 18], [128, 7, 42], [256, 15, 90], [512, 31, 186], [
    1024,
    63,
    378,
  ], [
    4096,
    63,
    378,
  ]];
  const k = earlyKernel();
  for (const [mib, batch, high] of table) {
    normal(k).managed_pages = mib * 256;
    setup_per_cpu_pageset(k);
    const { pcp } = normal(k).pageset[0];
    assertEquals([mib, pcp.batch, pcp.high], [mib, batch, high]);
  }
});

Deno.test("init_per_zone_wmark_min() computes the watermarks from managed pages", () => {
  // managed pages, min_free_kbytes, min, low, high
  const table = [
    [16 * 256, 512, 128, 160, 192],
    [32 * 256, 724, 181, 226, 271],
    [64 * 256, 1024, 256, 320, 384],
    [64 * 256 - 1, 1023, 255, 318, 381],
    [128 * 256, 1448, 362, 452, 542],
    [256 * 256, 2048, 512, 640, 768],
    [512 * 256, 2896, 724, 905, 1086],
    [1024 * 256, 4096, 1024, 1286, 1548],
    [4096 * 256, 8192, 2048, 3096, 4144],
  ];
  for (const [managed, mfk, min, low, high] of table) {
    const k = earlyKernel();
    const zone = normal(k);
    assertEquals(Array.from(zone._watermark), [0, 0, 0]);
    zone.managed_pages = managed;
    init_per_zone_wmark_min(k);
    assertEquals([managed, min_free_kbytes(k), ...zone._watermark], [managed, mfk, min, low, high]);
  }
});

Deno.test("init_per_zone_wmark_min() keeps a larger min_free_kbytes of the user and says so", () => {
  const k = memoryKernel();
  min_free_kbytes_sysctl_handler(k, 4000);
  assertEquals(normal(k)._watermark[WMARK_MIN], 1000);
  init_per_zone_wmark_min(k);
  assertEquals(normal(k)._watermark[WMARK_MIN], 1000);
  assertStringIncludes(dmesg(k).at(-1) ?? "", "because user defined value 4000 is preferred");
});

Deno.test("percpu_pagelist_fraction_sysctl_handler() sizes the lists by a part of the zone", () => {
  const k = memoryKernel();
  assertEquals(percpu_pagelist_fraction_sysctl_handler(k, 7), false);
  assertEquals(percpu_pagelist_fraction_sysctl_handler(k, 100), true);
  const { pcp } = normal(k).pageset[0];
  assertEquals([pcp.high, pcp.batch], [161, 40]); // 16128/100, a quarter of it
  percpu_pagelist_fraction_sysctl_handler(k, 8);
  assertEquals([pcp.high, pcp.batch], [2016, 96]); // at most 8 x PAGE_SHIFT
  percpu_pagelist_fraction_sysctl_handler(k, 0);
  assertEquals([pcp.high, pcp.batch], [18, 3]);
});

// Buddy

Deno.test("alloc_page() takes the worked example's way through an empty list", () => {
  const k = memoryKernel({ memBytes: 64 * MiB });
  const before = buddyinfo(k);
  const first = alloc(k, 0);
  // The list is refilled with a batch of 3 from the highest block, whose two pageblocks change hands.
  assertEquals(first, 15360);
  assertEquals(page_address(first), PAGE_OFFSET + 0x3c00000);
  assertEquals(nr_free_pages(k), 16384 - DATA_PAGES - 3);
  const after = [1, 0, 1, 1, 1, 1, 1, 1, 1, 1, -1].map((n, order) => before[order] + n);
  assertEquals(buddyinfo(k), after);
  assertEquals(freeList(k, 0, MIGRATE_UNMOVABLE), [15363]);
  for (let order = 2; order <= 9; order++) {
    assertEquals(freeList(k, order, MIGRATE_UNMOVABLE), [15360 + 2 ** order]);
  }
  assertEquals(get_pageblock_migratetype(normal(k), 15360 as page), MIGRATE_UNMOVABLE);
  assertEquals(get_pageblock_migratetype(normal(k), 15872 as page), MIGRATE_UNMOVABLE);
  assertEquals(get_pageblock_migratetype(normal(k), 15359 as page), MIGRATE_MOVABLE);
  assertEquals([alloc(k, 0), alloc(k, 0)], [15361, 15362]);
  assertEquals(nr_free_pages(k), 16384 - DATA_PAGES - 3);
  assertEquals(eventsOf(k, MM_PAGE_ALLOC_EXTFRAG_EVENT), [[15360, 0, 10, 0, 1, 1, 0, 0]]);
  assertSound(k);
});

Deno.test("__free_pages() merges buddies up to the largest order", () => {
  const k = memoryKernel();
  const before = buddyinfo(k);
  const a = alloc(k, 3, MOVABLE);
  const b = alloc(k, 3, MOVABLE);
  assertEquals(b, a + 8);
  free(k, a, 3);
  assertEquals(buddyinfo(k)[3], 1);
  free(k, b, 3);
  assertEquals(buddyinfo(k), before);
});

Deno.test("__free_pages() puts a block at the tail of its list when its merged buddy is free, at the head otherwise", () => {
  const k = memoryKernel();
  const held = Array.from({ length: 1024 }, () => alloc(k, 1, MOVABLE)); // two of the largest blocks, in pairs
  const [p] = held;
  free(k, held[2], 1); // pages 4 and 5 of the block
  free(k, held[3], 1); // ... make an order-2 block at 4
  assertEquals(freeList(k, 2, MIGRATE_MOVABLE)[0], p + 4);
  free(k, held[10], 1);
  assertEquals(freeList(k, 1, MIGRATE_MOVABLE)[0], held[10]); // at the head
  free(k, held[0], 1); // its buddy is in use, but 0-3 would merge with 4-7
  assertEquals(freeList(k, 1, MIGRATE_MOVABLE).at(-1), p);
  assertEquals(freeList(k, 1, MIGRATE_MOVABLE)[0], held[10]);
  assertSound(k);
});

Deno.test("__free_pages() puts a block of order 9 at the head, also beside a free block of order 10", () => {
  const k = memoryKernel();
  const top = alloc(k, 10, MOVABLE);
  const got = [alloc(k, 9, MOVABLE), alloc(k, 9, MOVABLE), alloc(k, 9, MOVABLE), alloc(k, 9, MOVABLE)];
  assertEquals([top, ...got], [15360, 512, 14336, 14848, 13312]);
  free(k, top, 10);
  free(k, got[1], 9); // with 14848 it would merge with the block at 15360
  assertEquals(freeList(k, 9, MIGRATE_MOVABLE), [14336, 13824]);
});

Deno.test("alloc_pages() aligns every order to its size and stays in RAM", () => {
  const k = memoryKernel();
  for (let order = 0; order < MAX_ORDER; order++) {
    const p = alloc(k, order);
    assert(p !== NULL_PAGE);
    assertEquals(p % 2 ** order, 0);
    assert(p >= DATA_PAGES && p + 2 ** order <= 16384);
  }
  assertSound(k);
});

Deno.test("alloc_pages() refuses an order that does not exist, with a warning unless __GFP_NOWARN", () => {
  const k = memoryKernel();
  assertEquals(alloc(k, MAX_ORDER, gfp(GFP_KERNEL, __GFP_NOWARN)), NULL_PAGE);
  assertEquals(k.reports.length, 0);
  assertEquals(alloc(k, MAX_ORDER), NULL_PAGE);
  assertEquals(k.reports.length, 1);
  assertStringIncludes(k.reports[0].title, "WARNING");
});

Deno.test("fallback steals the whole pageblock for unmovable requests and retags it", () => {
  const k = memoryKernel();
  // Fill everything with movable pages, then open one block of 32 pages and some single pages in one pageblock.
  const held: page[] = [];
  for (let p = alloc(k, 0, MOVABLE); p !== NULL_PAGE; p = alloc(k, 0, MOVABLE)) held.push(p);
  normal(k)._watermark.fill(0);
  for (let p = alloc(k, 0, MOVABLE); p !== NULL_PAGE; p = alloc(k, 0, MOVABLE)) held.push(p);
  const start = 4096;
  const open = held.filter((p) => p >= start && p < start + 32);
  const single = held.filter((p) => p === start + 40 || p === start + 44);
  const elsewhere = held.filter((p) => p >= 8192 && p < 8192 + 16);
  for (const p of [...open, ...single, ...elsewhere]) free(k, p, 0);
  run(drain_all_pages(k));
  assertEquals(freeList(k, 5, MIGRATE_MOVABLE), [start]);
  const from = k.seq;
  const got = alloc(k, 1, QUIET);
  assertEquals(got, start);
  // The largest block lies in this pageblock: its free blocks moved, single pages included, and it changed hands.
  assertEquals(eventsOf(k, MM_PAGE_ALLOC_EXTFRAG_EVENT, from), [[start, 1, 5, 0, 1, 1, 0, 0]]);
  assertEquals(get_pageblock_migratetype(normal(k), start as page), MIGRATE_UNMOVABLE);
  assertEquals(freeList(k, 0, MIGRATE_UNMOVABLE).toSorted(), [start + 40, start + 44]);
  assertEquals(freeList(k, 4, MIGRATE_MOVABLE), [8192]);
  assertEquals(get_pageblock_migratetype(normal(k), 8192 as page), MIGRATE_MOVABLE);
  assertSound(k);
});

Deno.test("fallback of a movable request takes the smallest block when it may not steal the pageblock", () => {
  const k = memoryKernel();
  const zone = normal(k);
  const held: page[] = [];
  zone._watermark.fill(0);
  for (let p = alloc(k, 0, QUIET); p !== NULL_PAGE; p = alloc(k, 0, QUIET)) held.push(p);
  // All pageblocks are unmovable now. A free block of order 3 (below pageblock_order / 2) and one of order 1.
  assertEquals(get_pageblock_migratetype(zone, 4096 as page), MIGRATE_UNMOVABLE);
  for (const p of held) if ((p >= 4096 && p < 4104) || p === 6000 || p === 6001) free(k, p, 0);
  run(drain_all_pages(k));
  const from = k.seq;
  assertEquals(alloc(k, 1, MOVABLE), 6000);
  assertEquals(eventsOf(k, MM_PAGE_ALLOC_EXTFRAG_EVENT, from), [[6000, 1, 1, 1, 0, 0, 0, 0]]);
  assertEquals(get_pageblock_migratetype(zone, 6000 as page), MIGRATE_UNMOVABLE);
  assertEquals(freeList(k, 3, MIGRATE_UNMOVABLE), [4096]);
  assertSound(k);
});

Deno.test("fallback asks the other types in Linux's order", () => {
  const reclaimable = gfp(QUIET, __GFP_RECLAIMABLE);
  // Who asks, and what is free: one pageblock each of two other types. The first is taken.
  const table = [
    [QUIET, MIGRATE_RECLAIMABLE, MIGRATE_MOVABLE],
    [MOVABLE, MIGRATE_RECLAIMABLE, MIGRATE_UNMOVABLE],
    [reclaimable, MIGRATE_UNMOVABLE, MIGRATE_MOVABLE],
  ] as const;
  for (const [flags, first, second] of table) {
    for (const swap of [false, true]) {
      const k = memoryKernel();
      const zone = normal(k);
      zone._watermark.fill(0);
      const blocks: page[] = [];
      for (let p = alloc(k, 9, flags); p !== NULL_PAGE; p = alloc(k, 9, flags)) blocks.push(p);
      for (let o = 8; o >= 0; o--) while (alloc(k, o, flags) !== NULL_PAGE);
      run(drain_all_pages(k));
      assertEquals(nr_free_pages(k), 0);
      const [a, b] = blocks.filter((p) => p % 1024 === 0).slice(2);
      for (const [p, type] of [[a, swap ? second : first], [b, swap ? first : second]] as const) {
        set_pageblock_migratetype(k, zone, p, type);
        free(k, p, 9);
      }
      assertEquals(alloc(k, 2, flags), swap ? b : a);
      assertSound(k);
    }
  }
});

Deno.test("stealing part of a pageblock boosts the watermarks until kswapd is woken", () => {
  const k = memoryKernel();
  const zone = normal(k);
  zone._watermark.set([0, 0, 400]);
  while (alloc(k, 9, MOVABLE) !== NULL_PAGE);
  // Left is the movable block of order 8 at 256. A request without __GFP_KSWAPD_RECLAIM wakes nobody.
  assertEquals([nr_free_pages(k), zone.watermark_boost], [256, 0]);
  assertEquals(alloc(k, 4, 0 as GfpAtomic), 256);
  assertEquals(zone.watermark_boost, 512); // a pageblock at a time
  set_pageblock_migratetype(k, zone, 256 as page, MIGRATE_MOVABLE);
  assertEquals(alloc(k, 4, 0 as GfpAtomic), NULL_PAGE); // 240 free pages are below the boosted mark of 512
  zone.watermark_boost = 100;
  assertEquals(alloc(k, 4, gfp(0 as GfpAtomic, __GFP_MOVABLE)), 272);
  assertEquals(zone.watermark_boost, 600); // at most one and a half times the high watermark
  zone.watermark_boost = 0;
  set_pageblock_migratetype(k, zone, 256 as page, MIGRATE_RECLAIMABLE);
  alloc(k, 4, QUIET);
  assertEquals(zone.watermark_boost, 0);
  assertEquals(zone.flags, 0);
});

// Per-CPU lists

Deno.test("__free_page() keeps pages on the list and drains a batch of the oldest at high", () => {
  const k = memoryKernel({ memBytes: 64 * MiB });
  const { pcp } = normal(k).pageset[0];
  const held = Array.from({ length: 18 }, () => alloc(k, 0));
  assertEquals(pcp.count, 0); // 6 refills of 3
  for (const p of held.slice(0, 17)) free(k, p, 0);
  assertEquals([pcp.count, pcp.high, pcp.batch], [17, 18, 3]);
  const from = k.seq;
  free(k, held[17], 0);
  assertEquals(pcp.count, 15);
  assertEquals(eventsOf(k, MM_PAGE_PCPU_DRAIN_EVENT, from).map((a) => a[0]), held.slice(0, 3));
  // Last in, first out.
  assertEquals(alloc(k, 0), held[17]);
  assertEquals(alloc(k, 0), held[16]);
  assertSound(k);
});

Deno.test("a drain goes round the three lists, more from each at every visit", () => {
  const k = memoryKernel({ memBytes: 256 * MiB });
  const { pcp } = normal(k).pageset[0];
  const zone = normal(k);
  assertEquals([pcp.batch, pcp.high], [15, 90]);
  const take = (n: number, flags: Gfp): page[] => Array.from({ length: n }, () => alloc(k, 0, flags));
  const u = take(30, QUIET);
  const m = take(30, MOVABLE);
  const r = take(30, gfp(QUIET, __GFP_RECLAIMABLE));
  run(drain_all_pages(k));
  for (const p of [...u, ...m, ...r].slice(0, 89)) free(k, p, 0);
  const names = new Map<number, string>([
    ...u.map((p, i) => [p, `u${i}`] as const),
    ...m.map((p, i) => [p, `m${i}`] as const),
    ...r.map((p, i) => [p, `r${i}`] as const),
  ]);
  assertEquals(zone.pageset[0].pcp.count, 89);
  const from = k.seq;
  free(k, r[29], 0);
  const drained = eventsOf(k, MM_PAGE_PCPU_DRAIN_EVENT, from).map((a) => names.get(a[0]));
  // Start at type 1 with one page; each list found non-empty raises the share: 1, then 1, 1 (carried to 0 after each).
  assertEquals(drained, modelDrain({ u: 30, m: 30, r: 30 }, 15));
});

/** The rule of free_pcppages_bulk() in its words: rotate from type 1, batch_free grows by one at each visit. */
function modelDrain(sizes: { u: number; m: number; r: number }, count: number): string[] {
  const lists = (["u", "m", "r"] as const).map((type) =>
    Array.from({ length: sizes[type] }, (_, i) => `${type}${i}`)
  );
  const taken: string[] = [];
  let type = 0;
  let share = 0;
  while (taken.length < count) {
    do {
      share++;
      type = (type + 1) % 3;
    } while (lists[type].length === 0);
    if (share === 3) share = count - taken.length;
    while (taken.length < count && lists[type].length > 0) {
      taken.push(lists[type].shift() ?? "");
      if (--share === 0) break;
    }
  }
  return taken;
}

Deno.test("page lists belong to a CPU; drain_all_pages() empties all, drain_local_pages() its own [cpus=2]", () => {
  const k = memoryKernel({ cpus: 2 });
  const zone = normal(k);
  const a = alloc(k, 0);
  k.cpu = k.cpus[1];
  const b = alloc(k, 0);
  assert(a !== b);
  assertEquals(zone.pageset.map((p) => p.pcp.count), [2, 2]);
  run(drain_local_pages(k));
  assertEquals(zone.pageset.map((p) => p.pcp.count), [2, 0]);
  free(k, b, 0);
  run(drain_all_pages(k), true);
  assertEquals(zone.pageset.map((p) => p.pcp.count), [0, 0]);
  assertEquals(nr_free_pages(k), 16384 - DATA_PAGES - 1);
  k.cpu = k.cpus[0];
  free(k, a, 0);
  k.cpu = k.cpus[1];
  run(page_alloc_cpu_dead(k, 0));
  assertEquals(nr_free_pages(k), 16384 - DATA_PAGES);
  assertSound(k);
});

Deno.test("free_unref_page_list() frees every page of a list", () => {
  const k = memoryKernel();
  const list = new page_list();
  const m = mem_map(k);
  const before = nr_free_pages(k);
  for (let i = 0; i < 40; i++) {
    const p = alloc(k, 0);
    m._refcount[p] = 0;
    list_add_tail(m, p, list);
  }
  run(free_unref_page_list(k, list));
  run(drain_all_pages(k));
  assertEquals(list.first, NULL_PAGE);
  assertEquals(nr_free_pages(k), before);
  assertSound(k);
});
