// SPDX-License-Identifier: GPL-2.0-only
/** /proc as Linux 5.7 prints it: formats from its format strings, numbers from the state that the test made. */

import { assert, assertEquals } from "@std/assert";
import { __GFP_MOVABLE, __GFP_RECLAIMABLE, gfp, GFP_KERNEL } from "../../kernel/gfp.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import {
  contig_page_data,
  NR_KERNEL_STACK_KB,
  NR_SLAB_RECLAIMABLE,
  NR_SLAB_UNRECLAIMABLE,
  type zone,
} from "../../mm/mmzone.ts";
import {
  __free_page,
  alloc_page,
  alloc_pages,
  checkBuddy,
  mod_node_page_state,
  mod_zone_page_state,
  nr_free_pages,
  show_free_areas,
  show_mem,
} from "../../mm/page_alloc.ts";
import {
  frag_show,
  meminfo_proc_show,
  pagetypeinfo_show,
  vmstat_show,
  zoneinfo_show,
} from "../../mm/show_mem.ts";
import { nr_vmalloc_pages } from "../../mm/vmstat.ts";
import { dmesg, run } from "../helpers.ts";
import { earlyKernel, memoryKernel } from "./memory_kernel.ts";

function normal(k: Kernel): zone {
  return contig_page_data(k).node_zones[0];
}

/** The value of `label` in lines of "label: value kB". */
function kilobytes(lines: readonly string[], label: string): number {
  const line = lines.find((it) => it.startsWith(`${label}:`));
  assert(line !== undefined, label);
  return Number(line.slice(16).replace(" kB", ""));
}

Deno.test("frag_show() prints free blocks by order", () => {
  const k = memoryKernel({ memBytes: 64 * 2 ** 20 });
  assertEquals(frag_show(k), [
    "Node 0, zone   Normal      0      0      0      0      0      0      0      0      1      1     15 ",
  ]);
  run(alloc_page(k, GFP_KERNEL)); // a batch of 3 from a block of order 10
  assertEquals(frag_show(k), [
    "Node 0, zone   Normal      1      0      1      1      1      1      1      1      2      2     14 ",
  ]);
});

Deno.test("pagetypeinfo_show() prints free blocks by type and the pageblocks of each type", () => {
  const k = memoryKernel({ memBytes: 64 * 2 ** 20 });
  run(alloc_page(k, GFP_KERNEL));
  run(alloc_pages(k, gfp(GFP_KERNEL, __GFP_RECLAIMABLE), 3));
  run(alloc_pages(k, gfp(GFP_KERNEL, __GFP_MOVABLE), 8));
  assertEquals(pagetypeinfo_show(k), [
    "Page block order: 9",
    "Pages per block:  512",
    "",
    "Free pages count per migrate type at order       0      1      2      3      4      5      6      7      8      9     10 ",
    "Node    0, zone   Normal, type    Unmovable      1      0      1      1      1      1      1      1      1      1      0 ",
    "Node    0, zone   Normal, type      Movable      0      0      0      0      0      0      0      0      0      1     13 ",
    "Node    0, zone   Normal, type  Reclaimable      0      0      0      1      1      1      1      1      1      1      0 ",
    "Node    0, zone   Normal, type   HighAtomic      0      0      0      0      0      0      0      0      0      0      0 ",
    "",
    "Number of blocks type     Unmovable      Movable  Reclaimable   HighAtomic ",
    "Node 0, zone   Normal            2           28            2            0 ",
  ]);
});

Deno.test("zoneinfo_show() prints marks, counters and the lists of each CPU [cpus=2]", () => {
  const k = memoryKernel({ memBytes: 64 * 2 ** 20, cpus: 2 });
  const p = run(alloc_page(k, GFP_KERNEL));
  run(__free_page(k, p));
  mod_node_page_state(k, NR_SLAB_UNRECLAIMABLE, 7);
  const lines = zoneinfo_show(k);
  assertEquals(lines.slice(0, 3), [
    "Node 0, zone   Normal",
    "  per-node stats",
    "      nr_inactive_anon 0",
  ]);
  assert(lines.includes("      nr_slab_unreclaimable 7"));
  const from = lines.findIndex((line) => line.startsWith("  pages free"));
  // min = 1016/4 of 64512 kB: sqrt(64512 * 16) = 1015 kB, 253 pages; the gap is a quarter of that.
  assertEquals(lines.slice(from, from + 10), [
    "  pages free     16125",
    "        min      253",
    "        low      316",
    "        high     379",
    "        spanned  16384",
    "        present  16384",
    "        managed  16128",
    "        protection: (0, 0)",
    "      nr_free_pages 16125",
    "      nr_zone_inactive_anon 0",
  ]);
  const sets = lines.indexOf("  pagesets");
  assertEquals(lines.slice(sets), [
    "  pagesets",
    "    cpu: 0",
    "              count: 3",
    "              high:  18",
    "              batch: 3",
    "  vm stats threshold: 0",
    "    cpu: 1",
    "              count: 0",
    "              high:  18",
    "              batch: 3",
    "  vm stats threshold: 0",
    "  node_unreclaimable:  0",
    "  start_pfn:           0",
    "Node 0, zone  Movable",
    "  pages free     0",
    "        min      0",
    "        low      0",
    "        high     0",
    "        spanned  0",
    "        present  0",
    "        managed  0",
    "        protection: (0, 0)",
  ]);
});

Deno.test("meminfo_proc_show() prints kilobytes that add up", () => {
  const k = memoryKernel({ memBytes: 64 * 2 ** 20 });
  mod_node_page_state(k, NR_SLAB_RECLAIMABLE, 10);
  mod_node_page_state(k, NR_SLAB_UNRECLAIMABLE, 20);
  mod_zone_page_state(k, normal(k), NR_KERNEL_STACK_KB, 16);
  nr_vmalloc_pages.set(k, 3);
  const lines = meminfo_proc_show(k);
  assertEquals(lines[0], "MemTotal:          64512 kB");
  assertEquals(kilobytes(lines, "MemFree"), nr_free_pages(k) * 4);
  // free less the high watermark, and of 10 reclaimable pages the half that counts
  assertEquals(kilobytes(lines, "MemAvailable"), (16128 - 379 + 5) * 4);
  assertEquals(
    ["KReclaimable", "Slab", "SReclaimable", "SUnreclaim", "KernelStack", "VmallocUsed"]
      .map((label) => kilobytes(lines, label)),
    [40, 120, 40, 80, 16, 12],
  );
  assertEquals(lines.find((line) => line.startsWith("VmallocTotal")), "VmallocTotal:   34359738367 kB");
  // The labels of 5.7, in its order, without what depends on huge pages, CMA, memory failure and the architecture.
  assertEquals(
    lines.map((line) => line.split(":")[0]).join(" "),
    "MemTotal MemFree MemAvailable Buffers Cached SwapCached Active Inactive Active(anon) Inactive(anon) " +
      "Active(file) Inactive(file) Unevictable Mlocked SwapTotal SwapFree Dirty Writeback AnonPages Mapped Shmem " +
      "KReclaimable Slab SReclaimable SUnreclaim KernelStack PageTables NFS_Unstable Bounce WritebackTmp CommitLimit " +
      "Committed_AS VmallocTotal VmallocUsed VmallocChunk Percpu",
  );
});

Deno.test("vmstat_show() prints counters and events by name", () => {
  const k = memoryKernel();
  const value = (name: string): number => {
    const line = vmstat_show(k).find((it) => it.startsWith(`${name} `));
    assert(line !== undefined, name);
    return Number(line.split(" ")[1]);
  };
  assertEquals(value("pgfree"), 16128); // boot freed it all
  assertEquals(value("pgalloc_normal"), 0);
  const p = run(alloc_page(k, GFP_KERNEL));
  run(__free_page(k, p));
  assertEquals([value("pgalloc_normal"), value("pgfree")], [1, 16129]);
  assertEquals(value("nr_free_pages"), nr_free_pages(k));
});

Deno.test("show_mem() prints the report's lines", () => {
  const k = memoryKernel({ memBytes: 64 * 2 ** 20 });
  run(alloc_page(k, GFP_KERNEL));
  const before = dmesg(k).length;
  show_mem(k);
  const lines = dmesg(k).slice(before);
  assertEquals(lines[0], "Mem-Info:");
  assertEquals(lines[6], " free:16125 free_pcp:2 free_cma:0");
  assert(
    lines[8].startsWith("Normal free:64500kB min:1012kB low:1264kB high:1516kB reserved_highatomic:0KB "),
  );
  assert(
    lines[8].endsWith(
      " present:65536kB managed:64512kB mlocked:0kB kernel_stack:0kB pagetables:0kB bounce:0kB " +
        "free_pcp:8kB local_pcp:8kB free_cma:0kB",
    ),
  );
  assertEquals(lines.slice(9), [
    "lowmem_reserve[]: 0 0",
    "Normal: 1*4kB (U) 0*8kB 1*16kB (U) 1*32kB (U) 1*64kB (U) 1*128kB (U) 1*256kB (U) 1*512kB (U) 2*1024kB (UM) " +
    "2*2048kB (UM) 14*4096kB (M) = 64500kB",
    "0 total pagecache pages",
    "16384 pages RAM",
    "0 pages HighMem/MovableOnly",
    "256 pages reserved",
  ]);
  show_free_areas(k);
  assertEquals(dmesg(k).at(-1), "0 total pagecache pages");
});

Deno.test("looking at memory changes nothing", () => {
  const k = earlyKernel();
  run(alloc_page(k, GFP_KERNEL));
  const before = [k.digest(), k.seq, k.now(), k.hash.text()];
  frag_show(k);
  pagetypeinfo_show(k);
  zoneinfo_show(k);
  meminfo_proc_show(k);
  vmstat_show(k);
  checkBuddy(k);
  assertEquals([k.digest(), k.seq, k.now(), k.hash.text()], before);
});
