// SPDX-License-Identifier: GPL-2.0-only
/**
 * KASAN's reports, line by line, in the format of mm/kasan/report.c of v5.7; addresses come from the allocators.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { formatAddr, NULL, PAGE_OFFSET, PAGE_SIZE, VMALLOC_START } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { GFP_KERNEL } from "../../kernel/gfp.ts";
import type { Kernel, KernelReport } from "../../kernel/kernel.ts";
import { current } from "../../kernel/sched/core.ts";
import { boot, runToEnd } from "../../mod.ts";
import { kasan_mem_to_shadow, shadowByte } from "../../mm/kasan/kasan.ts";
import { kasan_restore_multi_shot, kasan_save_enable_multi_shot } from "../../mm/kasan/report.ts";
import { __free_pages, alloc_pages } from "../../mm/page_alloc.ts";
import { compound_head, mem_map, page_address, virt_to_page } from "../../mm/mm_types.ts";
import { SLAB_TYPESAFE_BY_RCU } from "../../mm/slab.ts";
import { kmem_cache_create, krealloc, ksize, kzfree } from "../../mm/slab_common.ts";
import { kfree, kmalloc, kmem_cache_alloc, kmem_cache_free, kmem_cache_zalloc } from "../../mm/slub.ts";
import { purge_vmap_area_lazy, vfree, vmalloc } from "../../mm/vmalloc.ts";
import { dmesg, run } from "../helpers.ts";
import { mmKernel } from "./vmalloc_kernel.ts";

const RULE = "=".repeat(66);

/** Runs `main` on a machine with KASAN; its reports. */
function reportsOf(main: (k: Kernel) => MaySleep<void>): { k: Kernel; reports: readonly KernelReport[] } {
  const k = boot({ kasan: true, rcu: "tiny" });
  runToEnd(k, "buggy", main);
  return { k, reports: k.reports };
}

function titles(reports: readonly KernelReport[]): string[] {
  return reports.map((r) => r.title);
}

function at(addr: VirtAddr, bytes: number): VirtAddr {
  return (addr + bytes) as VirtAddr;
}

/** The row of `addr` and the line with the mark, from `bytes` for the 16 groups of eight bytes of that row. */
function markedRow(addr: number, bytes: string): string[] {
  const row = addr - addr % 128;
  return [`>${formatAddr(row)}: ${bytes}`, " ".repeat(19 + 3 * Math.floor((addr - row) / 8)) + "^"];
}

function contains(report: KernelReport, lines: readonly string[]): void {
  const from = report.lines.indexOf(lines[0]);
  assertEquals(report.lines.slice(Math.max(from, 0), Math.max(from, 0) + lines.length), lines);
}

function repeat(byte: string, count: number): string {
  return Array(count).fill(byte).join(" ");
}

Deno.test("use after free of a slab object: the whole report", () => {
  let p = NULL as VirtAddr;
  let pid = 0;
  function* allocates(k: Kernel): MaySleep<VirtAddr> {
    return yield* kmalloc(k, 64, GFP_KERNEL);
  }
  function* frees(k: Kernel): MaySleep<void> {
    yield* kfree(k, p);
  }
  const { k, reports } = reportsOf(function* main(k): MaySleep<void> {
    yield* kmalloc(k, 64, GFP_KERNEL);
    p = yield* allocates(k);
    pid = current(k).pid;
    k.ram.loadPtr(at(p, 16));
    yield* frees(k);
    k.ram.loadPtr(at(p, 16));
  });
  assertEquals(reports.length, 1);
  const [{ title, lines }] = reports;
  assertEquals(title, "BUG: KASAN: use-after-free in main");
  const page = compound_head(mem_map(k), virt_to_page(p));
  assertEquals(lines.slice(0, 9), [
    RULE,
    "BUG: KASAN: use-after-free in main",
    `Read of size 8 at addr ${formatAddr(at(p, 16))} by task buggy/${pid}`,
    "",
    `CPU: 0 PID: ${pid} Comm: buggy Not tainted 5.7.0-quiesce #1`,
    "Call Trace:",
    " main",
    " kthread",
    " ret_from_fork",
  ]);
  const allocated = lines.indexOf(`Allocated by task ${pid}:`);
  const freed = lines.indexOf(`Freed by task ${pid}:`);
  assertEquals([lines[9], allocated, lines[freed - 1]], ["", 10, ""]);
  const stackOf = (from: number): string[] => lines.slice(from + 1, lines.indexOf("", from));
  assertEquals([stackOf(allocated)[0], ...stackOf(allocated).slice(-4)], [
    " save_stack",
    " allocates",
    " main",
    " kthread",
    " ret_from_fork",
  ]);
  assertEquals([stackOf(freed)[0], ...stackOf(freed).slice(-5)], [
    " save_stack",
    " kfree",
    " frees",
    " main",
    " kthread",
    " ret_from_fork",
  ]);
  assert(stackOf(freed).includes(" kasan_slab_free"));
  const rest = lines.slice(lines.indexOf("", freed) + 1);
  const row = p - p % 128;
  assertEquals(p % 128, 0, "objects of kmalloc-64 are 128 bytes apart");
  assertEquals(rest, [
    `The buggy address belongs to the object at ${formatAddr(p)}`,
    " which belongs to the cache kmalloc-64 of size 64",
    "The buggy address is located 16 bytes inside of",
    ` 64-byte region [${formatAddr(p)}, ${formatAddr(at(p, 64))})`,
    "The buggy address belongs to the page:",
    `page:${formatAddr(0xea00_0000_0000 + page * 64)} refcount:1 mapcount:0 mapping:${
      formatAddr(0)
    } index:0x0`,
    "flags: 0x200(slab)",
    ...rest.slice(7, 9),
    "page dumped because: kasan: bad access detected",
    "",
    "Memory state around the buggy address:",
    ...rest.slice(12, 14),
    ...markedRow(at(p, 16), `${repeat("fb", 8)} ${repeat("fc", 8)}`),
    ...rest.slice(16, 18),
    RULE,
  ]);
  assert(rest.slice(7, 9).every((line) => /^raw:( [0-9a-f]{16}){4}$/.test(line)));
  [12, 13, 16, 17].forEach((line, i) => {
    assertMatch(
      rest[line],
      new RegExp(`^ ${formatAddr(row + [-256, -128, 128, 256][i])}:( [0-9a-f]{2}){16}$`),
    );
  });
  // What is in the report is what is in the log.
  const log = dmesg(k).join("\n");
  assert(log.includes(lines.join("\n")));
});

Deno.test("one byte out of bounds, in the object's last word, behind it and in front of the next one", () => {
  const objects: VirtAddr[] = [];
  const { reports } = reportsOf(function* main(k): MaySleep<void> {
    for (const size of [100, 128, 128]) objects.push(yield* kmalloc(k, size, GFP_KERNEL));
    const [a, b] = objects;
    k.ram.store8(at(a, 99), 1);
    k.ram.store8(at(a, 100), 1); // behind what was asked for
    kasan_save_enable_multi_shot(k);
    k.ram.load8(at(b, 127));
    k.ram.load8(at(b, 128)); // behind the object
    k.ram.load8(at(b, 255)); // in front of the next one
    k.ram.load32(at(a, 100)); // four bytes at the end
  });
  const [a, b, c] = objects;
  assertEquals([b - a, c - b], [256, 256]);
  assertEquals(titles(reports), Array(4).fill("BUG: KASAN: slab-out-of-bounds in main"));
  contains(reports[0], [
    "The buggy address is located 100 bytes inside of",
    ` 128-byte region [${formatAddr(a)}, ${formatAddr(at(a, 128))})`,
  ]);
  assertMatch(reports[0].lines[2], /^Write of size 1 at addr /);
  contains(reports[0], markedRow(at(a, 100), `${repeat("00", 12)} 04 ${repeat("fc", 3)}`));
  contains(reports[0], ["Freed by task 0:", "(stack is not available)", ""]);
  contains(reports[1], ["The buggy address is located 0 bytes to the right of"]);
  contains(reports[1], markedRow(at(b, 128), repeat("fc", 16)));
  contains(reports[2], ["The buggy address is located 127 bytes to the right of"]);
  assertMatch(reports[3].lines[2], /^Read of size 4 at addr /);
});

Deno.test("an access that begins well is bad from its first granule that is not all valid", () => {
  let p = NULL as VirtAddr;
  const { reports } = reportsOf(function* main(k): MaySleep<void> {
    kasan_save_enable_multi_shot(k);
    p = yield* kmalloc(k, 12, GFP_KERNEL);
    k.ram.loadPtr(at(p, 8)); // the last four bytes are not there
    k.ram.loadPtr(at(p, 6)); // unaligned, over both words: the first one is all right
    k.ram.load32(at(p, 8));
  });
  assertEquals(titles(reports), Array(2).fill("BUG: KASAN: slab-out-of-bounds in main"));
  const row = p - p % 128;
  const index = (p - row) / 8;
  for (const { lines } of reports) {
    const marked = lines.findIndex((l) => l.startsWith(`>${formatAddr(row)}:`));
    assertEquals(lines[marked].slice(19 + 3 * index, 19 + 3 * index + 8), "00 04 fc");
    assertEquals(lines[marked + 1].indexOf("^"), 19 + 3 * (index + 1));
  }
  contains(reports[1], ["The buggy address is located 6 bytes inside of"]);
});

Deno.test("a double free, and a free of an address inside, are reported and not carried out", () => {
  let p = NULL as VirtAddr;
  const { k, reports } = reportsOf(function* main(k): MaySleep<void> {
    p = yield* kmalloc(k, 64, GFP_KERNEL);
    yield* kfree(k, at(p, 8));
    k.ram.loadPtr(p);
    yield* kfree(k, p);
    yield* kfree(k, p);
    yield* kmalloc(k, 64, GFP_KERNEL);
  });
  assertEquals(titles(reports), Array(2).fill("BUG: KASAN: double-free or invalid-free in main"));
  const [invalid, double] = reports;
  contains(invalid, [RULE, "BUG: KASAN: double-free or invalid-free in main", ""]);
  assertMatch(invalid.lines[3], /^CPU: 0 PID: \d+ Comm: buggy /);
  contains(invalid, ["Freed by task 0:", "(stack is not available)", ""]);
  contains(invalid, ["The buggy address is located 8 bytes inside of"]);
  contains(invalid, markedRow(at(p, 8), `${repeat("00", 8)} ${repeat("fc", 8)}`));
  contains(double, ["The buggy address is located 0 bytes inside of"]);
  contains(double, markedRow(p, `${repeat("fb", 8)} ${repeat("fc", 8)}`));
  assert(double.lines.includes(" kasan_slab_free"));
  assertEquals(double.lines.filter((l) => l.startsWith("Freed by task")).length, 1);
  assertEquals(k.reports.length, 2);
});

Deno.test("kmalloc() above 8 KiB: red zone, use after free, and frees of what does not start there", () => {
  let p = NULL as VirtAddr;
  const { reports } = reportsOf(function* main(k): MaySleep<void> {
    kasan_save_enable_multi_shot(k);
    p = yield* kmalloc(k, 8202, GFP_KERNEL);
    k.ram.store8(at(p, 8201), 0);
    k.ram.store8(at(p, 8202), 0);
    yield* kfree(k, p);
    k.ram.store8(p, 0);
    yield* kfree(k, p);
    const q = yield* kmalloc(k, 8202, GFP_KERNEL);
    yield* kfree(k, at(q, 1));
    k.ram.load8(q);
  });
  assertEquals(titles(reports).map((t) => t.replace("BUG: KASAN: ", "")), [
    "slab-out-of-bounds in main",
    "use-after-free in main",
    "double-free or invalid-free in main",
    "double-free or invalid-free in main",
    "use-after-free in main", // as in C, the free of an address inside frees the object
  ]);
  const bytes = `00 02 ${repeat("fe", 14)}`;
  const row = at(p, 8192) - at(p, 8192) % 128;
  assertEquals(row, at(p, 8192));
  contains(reports[0], markedRow(at(p, 8202), bytes));
  assertMatch(
    reports[0].lines[reports[0].lines.indexOf("The buggy address belongs to the page:") + 1],
    /^page:ffffea[0-9a-f]{10} refcount:1 mapcount:0 .* head:ffffea[0-9a-f]{10} order:2 compound_mapcount:0$/,
  );
  assert(
    !reports[0].lines.some((l) => l.startsWith("Allocated by")),
    "nothing is kept of large objects in 5.7",
  );
  contains(reports[1], markedRow(p, repeat("ff", 16)));
});

Deno.test("pages: use after free", () => {
  let p = NULL as VirtAddr;
  const { reports } = reportsOf(function* main(k): MaySleep<void> {
    const page = yield* alloc_pages(k, GFP_KERNEL, 1);
    p = page_address(page);
    k.ram.load8(at(p, 8191));
    yield* __free_pages(k, page, 1);
    k.ram.load16(at(p, 8190));
  });
  assertEquals(titles(reports), ["BUG: KASAN: use-after-free in main"]);
  contains(reports[0], markedRow(at(p, 8190), repeat("ff", 16)));
  assert(reports[0].lines.includes("The buggy address belongs to the page:"));
});

Deno.test("vmalloc(): behind the request, in the guard page, after vfree(), and where there is no shadow", () => {
  let p = NULL as VirtAddr;
  function* tail(k: Kernel): MaySleep<void> {
    p = yield* vmalloc(k, 3000);
    k.ram.load8(at(p, 2999));
    k.ram.load8(at(p, 3000));
  }
  const first = reportsOf(tail).reports;
  assertEquals(titles(first), ["BUG: KASAN: vmalloc-out-of-bounds in tail"]);
  contains(first[0], markedRow(at(p, 3000), `${repeat("00", 7)} ${repeat("f9", 9)}`));
  assert(!first[0].lines.some((l) => l.startsWith("The buggy address belongs")));

  const second = reportsOf(function* guard(k): MaySleep<void> {
    p = yield* vmalloc(k, PAGE_SIZE);
    k.ram.load8(at(p, PAGE_SIZE));
  }).reports;
  assertEquals(titles(second), [
    "BUG: KASAN: vmalloc-out-of-bounds in guard",
    `BUG: unable to handle page fault for address: ${formatAddr(at(p, PAGE_SIZE))}`,
  ]);
  contains(second[0], markedRow(at(p, PAGE_SIZE), repeat("f9", 16)));
  contains(second[0], [` ${formatAddr(at(p, PAGE_SIZE - 128))}: ${repeat("00", 16)}`]);

  const third = reportsOf(function* after(k): MaySleep<void> {
    p = yield* vmalloc(k, PAGE_SIZE);
    yield* vfree(k, p);
    k.ram.storePtr(p, 1);
  }).reports;
  assertEquals(titles(third), [
    "BUG: KASAN: vmalloc-out-of-bounds in after",
    `BUG: unable to handle page fault for address: ${formatAddr(p)}`,
  ]);

  const fourth = reportsOf(function* purged(k): MaySleep<void> {
    p = yield* vmalloc(k, 3 * 8 * PAGE_SIZE);
    yield* vfree(k, p);
    yield* purge_vmap_area_lazy(k);
    k.ram.load8(at(p, 8 * PAGE_SIZE));
  }).reports;
  assertEquals(titles(fourth), [
    "BUG: unable to handle page fault for address: " +
    formatAddr(kasan_mem_to_shadow(at(p, 8 * PAGE_SIZE))),
  ]);
  assert(p >= VMALLOC_START);
});

/** What an access to `p + bytes` of three areas ends in, after the areas of `freed` are gone, one after the other. */
function afterPurge(freed: readonly number[], area: number, bytes: number): string {
  const { reports } = reportsOf(function* main(k): MaySleep<void> {
    const areas: VirtAddr[] = [];
    // With their guard pages at 0, 8 KiB and 16 KiB; the last one ends in the next page of shadow, at 60 KiB.
    for (const pages of [1, 1, 10]) areas.push(yield* vmalloc(k, pages * PAGE_SIZE));
    assertEquals(areas.map((p) => p - areas[0]), [0, 2 * PAGE_SIZE, 4 * PAGE_SIZE]);
    for (const i of freed) {
      yield* vfree(k, areas[i]);
      yield* purge_vmap_area_lazy(k);
    }
    k.ram.load8(at(areas[area], bytes));
  });
  return titles(reports)[0] ?? "";
}

Deno.test("kasan_release_vmalloc() takes the pages of shadow that cover nothing else", () => {
  const KiB32 = 8 * PAGE_SIZE;
  const outOfBounds = "BUG: KASAN: vmalloc-out-of-bounds in main";
  const noShadow = "BUG: unable to handle page fault for address";
  // The first area starts at a boundary of 32 KiB.
  assertEquals(
    reportsOf(function* main(k): MaySleep<void> {
      assertEquals((yield* vmalloc(k, 1)) % KiB32, 0);
    }).reports,
    [],
  );
  assertEquals(afterPurge([], 2, 100), "");
  assertEquals(afterPurge([1], 1, 0), outOfBounds, "its neighbours share its page of shadow");
  assertEquals(afterPurge([1], 2, 0), "");
  assertEquals(afterPurge([2], 2, 0), outOfBounds, "its first part does");
  assertEquals(afterPurge([2], 0, PAGE_SIZE), outOfBounds);
  assertEquals(afterPurge([2], 2, 5 * PAGE_SIZE).slice(0, noShadow.length), noShadow, "the rest does not");
  assertEquals(afterPurge([1, 0, 2], 0, 0).slice(0, noShadow.length), noShadow, "the last of them takes it");
});

Deno.test("kasan_poison_vmalloc(): nothing is valid any more while the area is still mapped", () => {
  const k = mmKernel({ kasan: true });
  const p = run(vmalloc(k, 2 * PAGE_SIZE), true);
  const seen = new Set<string>();
  const freeing = vfree(k, p);
  for (let step = freeing.next(); step.done !== true; step = freeing.next()) {
    seen.add(`mapped ${k.ram.translate(p) >= 0}, shadow ${shadowByte(k, p)}`);
  }
  assert(seen.has(`mapped true, shadow ${0xf9}`), [...seen].join("; "));
});

Deno.test("wild and null pointers fault as without KASAN", () => {
  const { reports } = reportsOf(function* main(k): MaySleep<void> {
    yield* kmalloc(k, 8, GFP_KERNEL);
    k.ram.load8(at(NULL, 8));
  });
  assertEquals(titles(reports), ["BUG: kernel NULL pointer dereference, address: 0000000000000008"]);
  const wild = reportsOf(function* main(k): MaySleep<void> {
    yield* kmalloc(k, 8, GFP_KERNEL);
    k.ram.load8((PAGE_OFFSET + k.ram.size) as VirtAddr);
  }).reports;
  assertMatch(titles(wild)[0], /^BUG: unable to handle page fault/);
});

Deno.test("the kernel's own .data: what is no variable is out of bounds", () => {
  const { reports } = reportsOf(function* main(k): MaySleep<void> {
    yield* kmalloc(k, 8, GFP_KERNEL);
    k.ram.load8((PAGE_OFFSET + k.dataEnd + 4096) as VirtAddr);
  });
  assertEquals(titles(reports), ["BUG: KASAN: global-out-of-bounds in main"]);
});

Deno.test("krealloc(), ksize() and kzfree() of freed objects are use after free where they happen", () => {
  const { reports } = reportsOf(function* main(k): MaySleep<void> {
    const p = yield* kmalloc(k, 17, GFP_KERNEL);
    yield* kfree(k, p);
    ksize(k, p);
    const q = yield* kmalloc(k, 16, GFP_KERNEL);
    yield* kzfree(k, q);
    kasan_save_enable_multi_shot(k);
    yield* kzfree(k, q);
    const r = yield* kmalloc(k, 17, GFP_KERNEL);
    yield* krealloc(k, r, 15, GFP_KERNEL);
    k.ram.store8(at(r, 15), 1);
  });
  assertEquals(titles(reports).map((t) => t.replace("BUG: KASAN: ", "")), [
    "use-after-free in ksize",
    "use-after-free in ksize",
    "double-free or invalid-free in main",
    "slab-out-of-bounds in main",
  ]);
});

Deno.test("SLAB_TYPESAFE_BY_RCU: reading after the free is legal, a second free is reported", () => {
  const { reports } = reportsOf(function* main(k): MaySleep<void> {
    const s = yield* kmem_cache_create(k, "typesafe", 64, 0, SLAB_TYPESAFE_BY_RCU, null);
    assert(s !== null);
    const p = yield* kmem_cache_alloc(k, s, GFP_KERNEL);
    yield* kmem_cache_free(k, s, p);
    k.ram.loadPtr(p);
    yield* kmem_cache_free(k, s, p);
    yield* kmem_cache_free(k, s, at(p, 8));
  });
  assertEquals(titles(reports), Array(2).fill("BUG: KASAN: double-free or invalid-free in main"));
});

Deno.test("kmem_cache_zalloc() gives zeroes; a freed object keeps what was in it but for the link", () => {
  const { reports } = reportsOf(function* main(k): MaySleep<void> {
    const s = yield* kmem_cache_create(k, "mine", 56, 0, 0, null);
    assert(s !== null);
    const p = yield* kmem_cache_zalloc(k, s, GFP_KERNEL);
    for (let i = 0; i < 56; i += 8) assertEquals(k.ram.loadPtr(at(p, i)), NULL);
    for (let i = 0; i < 56; i += 8) k.ram.storeLong(at(p, i), 100 + i);
    yield* kmem_cache_free(k, s, p);
    for (let i = 8; i < 56; i += 8) assertEquals(k.ram.loadLong(at(p, i)), 100 + i);
  });
  assertEquals(titles(reports), ["BUG: KASAN: use-after-free in main"]);
});

Deno.test("each function reports each kind once, unless multi-shot is on", () => {
  const { reports } = reportsOf(function* main(k): MaySleep<void> {
    const p = yield* kmalloc(k, 64, GFP_KERNEL);
    const twice = (): void => {
      k.ram.load8(at(p, 64));
      k.ram.load8(at(p, 64));
    };
    twice();
    const was = kasan_save_enable_multi_shot(k);
    assertEquals(was, false);
    twice();
    kasan_restore_multi_shot(k, was);
    twice();
  });
  assertEquals(reports.length, 3);
});

Deno.test("boot says that KASAN is there, and only then", () => {
  const line = "kasan: KernelAddressSanitizer initialized";
  assert(dmesg(boot({ kasan: true, cpus: 2 })).includes(line));
  assert(!dmesg(boot({ cpus: 2 })).includes(line));
});
