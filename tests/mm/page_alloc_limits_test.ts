// SPDX-License-Identifier: GPL-2.0-only
/** When an allocation fails: watermarks, reserves, the slow path, the high-order atomic reserve. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { KernelOops } from "../../kernel/bug.ts";
import {
  __GFP_HIGH,
  __GFP_MEMALLOC,
  __GFP_NOFAIL,
  __GFP_NOMEMALLOC,
  __GFP_NORETRY,
  __GFP_NOWARN,
  type Gfp,
  gfp,
  GFP_ATOMIC,
  GFP_KERNEL,
  GFP_NOFS,
  GFP_NOWAIT,
} from "../../kernel/gfp.ts";
import { DATA_PAGES, type Kernel } from "../../kernel/kernel.ts";
import { current, PF_MEMALLOC } from "../../kernel/sched/sched.ts";
import { NULL_PAGE, type page } from "../../mm/mm_types.ts";
import { __GFP_BITS_MASK } from "../../mm/internal.ts";
import {
  ALLOC_OOM,
  get_pageblock_migratetype,
  MAX_ORDER,
  MIGRATE_HIGHATOMIC,
  NR_FREE_PAGES,
  pageblock_nr_pages,
  WMARK_LOW,
  WMARK_MIN,
} from "../../mm/mmzone.ts";
import {
  __zone_watermark_ok,
  alloc_pages,
  gfp_allowed_mask,
  init_per_zone_wmark_min,
  nr_free_pages,
  page_is_pfmemalloc,
  setup_per_cpu_pageset,
} from "../../mm/page_alloc.ts";
import { dmesg, run } from "../helpers.ts";
import {
  alloc,
  assertSound,
  earlyKernel,
  free,
  memoryKernel,
  MiB,
  MOVABLE,
  normal,
  QUIET,
} from "./memory_kernel.ts";

/** Flags of a request, and the largest number of free pages at which it fails with watermarks 256, 320, 384. */
const MARKS: readonly (readonly [string, Gfp, number])[] = [
  ["GFP_NOWAIT", GFP_NOWAIT, 256],
  ["__GFP_HIGH", gfp(GFP_NOWAIT, __GFP_HIGH), 128],
  ["GFP_ATOMIC", GFP_ATOMIC, 96],
  ["GFP_ATOMIC|__GFP_NOMEMALLOC", gfp(GFP_ATOMIC, __GFP_NOMEMALLOC), 128],
  ["__GFP_MEMALLOC", gfp(GFP_NOWAIT, __GFP_MEMALLOC), -1],
  ["GFP_KERNEL|__GFP_NORETRY", gfp(GFP_KERNEL, __GFP_NORETRY), 256],
];

/** A machine of 64 MiB, all managed as far as watermarks go, whose count of free pages says `free`. */
function withFreePages(free: number): Kernel {
  const k = earlyKernel({ memBytes: 64 * MiB });
  normal(k).managed_pages = 16384;
  gfp_allowed_mask.set(k, __GFP_BITS_MASK);
  setup_per_cpu_pageset(k);
  init_per_zone_wmark_min(k);
  assertEquals(Array.from(normal(k)._watermark), [256, 320, 384]);
  normal(k).vm_stat[NR_FREE_PAGES] = free;
  return k;
}

Deno.test("alloc_page() fails exactly at the mark that its flags allow", () => {
  for (const [name, flags, mark] of MARKS) {
    const quiet = gfp(flags, __GFP_NOWARN);
    if (mark >= 0) {
      assertEquals(alloc(withFreePages(mark), 0, quiet), NULL_PAGE, `${name} at ${mark}`);
    }
    assert(alloc(withFreePages(mark + 1), 0, quiet) !== NULL_PAGE, `${name} at ${mark + 1}`);
  }
});

Deno.test("GFP_KERNEL gets what is above the min watermark; at it, with nobody to kill, the machine panics", () => {
  assert(alloc(withFreePages(257), 0, GFP_KERNEL) !== NULL_PAGE);
  const k = withFreePages(256);
  assertThrows(() => alloc(k, 0, GFP_KERNEL), KernelOops, "System is deadlocked on memory");
  assertEquals(k.reports.map((r) => r.title), [
    "test/0 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
    "Kernel panic - not syncing: System is deadlocked on memory",
  ]);
});

Deno.test("a real-time task may go below the min watermark, but not from an interrupt", () => {
  for (
    const [free, irq, succeeds] of [[192, false, false], [193, false, true], [193, true, false]] as const
  ) {
    const k = withFreePages(free);
    current(k).prio = 10;
    if (irq) k.cpu.preempt_count += 0x10000;
    assertEquals(alloc(k, 0, QUIET) !== NULL_PAGE, succeeds, `${free} ${irq}`);
  }
});

Deno.test("PF_MEMALLOC ignores the watermarks, and its page is marked", () => {
  const k = withFreePages(1);
  assertEquals(alloc(k, 0, QUIET), NULL_PAGE);
  current(k).flags |= PF_MEMALLOC;
  const p = alloc(k, 0, QUIET);
  assert(p !== NULL_PAGE);
  assertEquals(page_is_pfmemalloc(k, p), true);
  assertEquals(alloc(k, 0, gfp(QUIET, __GFP_NOMEMALLOC)), NULL_PAGE);
  k.cpu.preempt_count += 0x10000; // an interrupt is not the task's
  assertEquals(alloc(k, 0, QUIET), NULL_PAGE);
});

Deno.test("__zone_watermark_ok() gives an OOM victim half of the reserve and asks for a large enough block", () => {
  const k = memoryKernel();
  const zone = normal(k);
  assertEquals(__zone_watermark_ok(zone, 0, 256, 0, ALLOC_OOM, 128), false);
  assertEquals(__zone_watermark_ok(zone, 0, 256, 0, ALLOC_OOM, 129), true);
  assertEquals(__zone_watermark_ok(zone, 3, 256, 0, 0, 263), false); // 263 - 7 is not more than 256
  assertEquals(__zone_watermark_ok(zone, 3, 256, 0, 0, 264), true);
  zone.nr_reserved_highatomic = 8;
  assertEquals(__zone_watermark_ok(zone, 3, 256, 0, 0, 264), false);
  zone.nr_reserved_highatomic = 0;
  const held: page[] = [];
  for (let p = alloc(k, 10, QUIET); p !== NULL_PAGE; p = alloc(k, 10, QUIET)) held.push(p);
  assertEquals(__zone_watermark_ok(zone, 9, 0, 0, 0, 10000), true);
  assertEquals(__zone_watermark_ok(zone, 10, 0, 0, 0, 10000), false);
});

Deno.test("a __GFP_NOFAIL request takes the reserves when nobody may be killed for it", () => {
  const k = withFreePages(20);
  assert(alloc(k, 0, gfp(GFP_NOFS, __GFP_NOFAIL)) !== NULL_PAGE);
  assertEquals(k.reports.length, 0);
});

Deno.test("pages on a per-CPU list do not help a request at the watermark", () => {
  const k = memoryKernel();
  const p = alloc(k, 0);
  free(k, p, 0);
  normal(k).vm_stat[NR_FREE_PAGES] = normal(k)._watermark[WMARK_MIN];
  assert(normal(k).pageset[0].pcp.count > 0);
  assertEquals(alloc(k, 0, QUIET), NULL_PAGE);
});

Deno.test("alloc_page() empties the zone down to the mark and reports the failure once in 10 s", () => {
  const k = memoryKernel({ memBytes: 16 * MiB });
  let held = 0;
  while (alloc(k, 0, GFP_NOWAIT) !== NULL_PAGE) held++;
  const min = normal(k)._watermark[WMARK_MIN];
  assertEquals(nr_free_pages(k), min);
  assertEquals(held, 4096 - DATA_PAGES - min);
  assertEquals(k.reports.length, 1);
  const { lines } = k.reports[0];
  assertEquals(lines[0], "test/0: page allocation failure: order:0, mode:0x800(GFP_NOWAIT), nodemask=(null)");
  assertEquals(lines[1], "CPU: 0 PID: 100 Comm: test/0 Not tainted 5.7.0-quiesce #1");
  assert(lines.includes("Mem-Info:"));
  assert(lines.includes("4096 pages RAM"));
  assert(lines.includes(` free:${min} free_pcp:0 free_cma:0`));
  assertEquals(alloc(k, 0, GFP_NOWAIT), NULL_PAGE);
  assertEquals(k.reports.length, 1);
  k.charge(10e9 + 1);
  assertEquals(alloc(k, 0, GFP_NOWAIT), NULL_PAGE);
  assertEquals(k.reports.length, 2);
  assert(dmesg(k).includes("warn_alloc: 1 callbacks suppressed"));
  k.charge(10e9 + 1);
  assertEquals(alloc(k, 0, QUIET), NULL_PAGE);
  assertEquals(k.reports.length, 2);
  assertSound(k);
});

Deno.test("alloc_pages() of an atomic request never sleeps, also when memory is gone; a sleeping one panics", () => {
  const k = memoryKernel({ memBytes: 16 * MiB });
  for (let order = 0; order < MAX_ORDER; order++) {
    while (run(alloc_pages(k, gfp(GFP_ATOMIC, __GFP_NOWARN), order), false) !== NULL_PAGE);
  }
  assertThrows(() => alloc(k, 0, gfp(GFP_KERNEL, __GFP_NOWARN)), KernelOops);
  assertSound(k);
});

Deno.test("alloc_pages() that may sleep is reported in atomic context, an atomic one is not", () => {
  const k = memoryKernel();
  k.cpu.preempt_count++;
  alloc(k, 0, GFP_ATOMIC);
  alloc(k, 2, GFP_ATOMIC);
  assertEquals(k.reports.length, 0);
  alloc(k, 0, GFP_KERNEL);
  assertEquals(k.reports.map((r) => r.title.replace(/ at .*/, "")), [
    "BUG: sleeping function called from invalid context",
  ]);
});

// High-order atomic reserve

Deno.test("a high-order atomic request reserves its pageblock for its kind", () => {
  const k = memoryKernel();
  const zone = normal(k);
  // Below the low watermark the slow path sets ALLOC_HARDER.
  zone._watermark[WMARK_LOW] = 16000;
  while (nr_free_pages(k) > 16000) alloc(k, 4, MOVABLE);
  const p = alloc(k, 2, GFP_ATOMIC);
  assert(p !== NULL_PAGE);
  assertEquals(zone.nr_reserved_highatomic, pageblock_nr_pages);
  assertEquals(get_pageblock_migratetype(zone, p), MIGRATE_HIGHATOMIC);
  // 1 % of 16128 is less than a pageblock, so at most two are reserved.
  for (let i = 0; i < 1000; i++) alloc(k, 2, GFP_ATOMIC);
  assertEquals(zone.nr_reserved_highatomic, 2 * pageblock_nr_pages);
  // An order-0 page of such a pageblock is filed with the movable ones.
  const q = alloc(k, 2, GFP_ATOMIC);
  if (get_pageblock_migratetype(zone, q) === MIGRATE_HIGHATOMIC) free(k, q, 2);
  assertSound(k);
});
