// SPDX-License-Identifier: GPL-2.0-only
/**
 * slub's bulk operations, and frees that must not happen.
 */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { NULL, PAGE_OFFSET, VMALLOC_START } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { KernelOops } from "../../kernel/bug.ts";
import { addFailRule } from "../../kernel/fault_inject.ts";
import { GFP_KERNEL, GFP_NOWAIT } from "../../kernel/gfp.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { mem_map, page_address, virt_to_page } from "../../mm/mm_types.ts";
import { NR_SLAB_UNRECLAIMABLE } from "../../mm/mmzone.ts";
import { __free_pages, alloc_pages } from "../../mm/page_alloc.ts";
import { FREE_FASTPATH, FREE_SLOWPATH, kmem_cache, ZERO_SIZE_PTR } from "../../mm/slab.ts";
import { checkSlab } from "../../mm/slab_check.ts";
import { kmem_cache_create, kmem_cache_destroy } from "../../mm/slab_common.ts";
import { placeObject, slabLiveObjects, slabObjectAt } from "../../mm/slab_live.ts";
import {
  __kmem_cache_shrink,
  kfree,
  kfree_bulk,
  kmem_cache_alloc,
  kmem_cache_alloc_bulk,
  kmem_cache_free,
  kmem_cache_free_bulk,
} from "../../mm/slub.ts";
import { global_node_page_state } from "../../mm/vmstat.ts";
import { run } from "../helpers.ts";
import { arrayOf, atOffset, give, kmallocCache, slabKernel, take, takeMany } from "./slab_kernel.ts";

// Bulk

Deno.test("kmem_cache_alloc_bulk() fills the array or gives everything back", () => {
  const k = slabKernel({ cpus: 4 });
  const s = run(kmem_cache_create(k, "bulk", 1000, 0, 0, null)) as kmem_cache; // 16 a slab
  const p = arrayOf(k, Array(40).fill(NULL));
  assertEquals(run(kmem_cache_alloc_bulk(k, s, GFP_KERNEL, 40, p)), 40);
  const addrs = Array.from({ length: 40 }, (_, i) => k.ram.loadPtr(atOffset(p, i * 8)));
  assertEquals(new Set(addrs).size, 40);
  assert(addrs.every((addr) => slabObjectAt(k, addr)?.live === true && slabObjectAt(k, addr)?.size === 1000));
  assertEquals(k.cpu.irqsOn, true);
  run(kmem_cache_free_bulk(k, s, 40, p));
  assertEquals([...slabLiveObjects(k)].filter((o) => o.cache === s).length, 0);
  run(__kmem_cache_shrink(k, s));
  // The second slab cannot be had.
  addFailRule(k, { what: "page", order: 2, nth: 2 });
  addFailRule(k, { what: "page", order: 0, times: -1 });
  assertEquals(run(kmem_cache_alloc_bulk(k, s, GFP_KERNEL, 40, p)), 0);
  assertEquals([...slabLiveObjects(k)].filter((o) => o.cache === s).length, 0);
  assertEquals(k.cpu.irqsOn, true);
  assertEquals(checkSlab(k), []);
});

/** What build_detached_freelist() collects from an array of slab numbers: 3 look-aheads from the end. */
function rounds(slabs: readonly number[]): number[] {
  const left: (number | null)[] = [...slabs];
  const sizes: number[] = [];
  for (let size = left.length; size > 0;) {
    let at = size;
    while (at > 0 && left[at - 1] === null) at--;
    if (at === 0) break;
    const slab = left[at - 1];
    let count = 0;
    let others = 0;
    let first = 0;
    let i = at;
    for (; i > 0; i--) {
      if (left[i - 1] === null) continue;
      if (left[i - 1] === slab) {
        left[i - 1] = null;
        count++;
      } else if (++others === 3) break;
      else if (first === 0) first = i;
    }
    sizes.push(count);
    size = first;
  }
  return sizes;
}

for (
  const [name, slabs, expected] of [
    ["one slab", [0, 0, 0, 0], [4]],
    ["two in turn", [0, 1, 0, 1, 0, 1], [3, 3]],
    ["three in turn", [0, 1, 2, 0, 1, 2], [2, 2, 2]],
    ["four in turn", [0, 1, 2, 3, 0, 1, 2, 3], [1, 1, 1, 1, 1, 1, 1, 1]],
    ["blocks", [0, 0, 0, 1, 1, 1, 2, 2, 2], [3, 3, 3]],
  ] as const
) {
  Deno.test(`kfree_bulk() collects per slab with a look-back of three: ${name}`, () => {
    assertEquals(rounds(slabs), [...expected]);
    const k = slabKernel({ cpus: 2 });
    const s = kmallocCache(k, 1024);
    const objects = takeMany(k, 1024, 16 * 5);
    const next = [0, 16, 32, 48];
    const p = arrayOf(k, slabs.map((slab) => objects[next[slab]++]));
    const before = s.stat.slice();
    run(kfree_bulk(k, slabs.length, p));
    const lists = s.stat[FREE_SLOWPATH] + s.stat[FREE_FASTPATH] - before[FREE_SLOWPATH] -
      before[FREE_FASTPATH];
    assertEquals(lists, expected.length);
    for (let i = 0; i < slabs.length; i++) assertEquals(k.ram.loadPtr(atOffset(p, i * 8)), NULL);
    assertEquals(checkSlab(k), []);
    assertEquals(k.reports, []);
  });
}

Deno.test("kfree_bulk() prepends towards the front of the array: the first entry is handed out first", () => {
  const k = slabKernel();
  const objects = takeMany(k, 64, 3);
  const p = arrayOf(k, objects);
  run(kfree_bulk(k, 3, p));
  assertEquals(takeMany(k, 64, 3), objects);
});

Deno.test("kfree_bulk() passes over NULL and takes large objects, whose pages v5.7 forgets to count", () => {
  const k = slabKernel();
  const pages = global_node_page_state(k, NR_SLAB_UNRECLAIMABLE);
  const large = take(k, 20000); // order 3
  const small = take(k, 64);
  give(k, take(k, 20000)); // kfree() does count
  const p = arrayOf(k, [NULL, large, NULL, small, NULL]);
  const slabs = global_node_page_state(k, NR_SLAB_UNRECLAIMABLE) - pages - 8;
  run(kfree_bulk(k, 5, p));
  assertEquals(global_node_page_state(k, NR_SLAB_UNRECLAIMABLE), pages + slabs + 8);
  assertEquals([slabObjectAt(k, small)?.live, mem_map(k).birth[virt_to_page(large)]], [false, 0]);
  run(kfree_bulk(k, 5, p)); // all NULL now
  assertEquals(k.reports, []);
});

Deno.test("kfree_bulk() of ZERO_SIZE_PTR is a fault, of nothing a warning", () => {
  const k = slabKernel();
  const p = arrayOf(k, [ZERO_SIZE_PTR]);
  assertThrows(() => run(kfree_bulk(k, 1, p)), KernelOops, "unable to handle page fault");
  assertEquals(k.reports.length, 1);
  run(kfree_bulk(k, 0, p));
  assertStringIncludes(k.reports[1].title, "WARNING:");
});

// What must not be freed

/** Frees in a function of its own, whose name the report shows. */
function reckless_driver(k: Kernel, ...addrs: VirtAddr[]): void {
  for (const addr of addrs) run(kfree(k, addr));
}

Deno.test("kfree() of a freed object is reported at the call and not carried out", () => {
  const k = slabKernel();
  const [a, b] = takeMany(k, 64, 2);
  reckless_driver(k, a, b, a);
  assertEquals(k.reports.length, 1);
  const { title, lines } = k.reports[0];
  assertEquals(title, "BUG: double-free or invalid-free in reckless_driver");
  assertEquals(lines[0], "=".repeat(66));
  const hex = "ffff" + a.toString(16);
  const at = lines.indexOf(`The buggy address belongs to the object at ${hex}`);
  assertEquals(lines.slice(at + 1, at + 4), [
    " which belongs to the cache kmalloc-64 of size 64",
    "The buggy address is located 0 bytes inside of",
    ` 64-byte region [${hex}, ffff${(a + 64).toString(16)})`,
  ]);
  // Freed twice in earnest, `a` would be handed out twice.
  const next = takeMany(k, 64, 3);
  assertEquals(new Set(next).size, 3);
  assertEquals(checkSlab(k), []);
});

Deno.test("kfree() of what is no object's start is reported and not carried out", () => {
  const k = slabKernel();
  const addr = take(k, 64);
  const never = atOffset(addr, 64 * 5);
  reckless_driver(k, atOffset(addr, 8), never);
  assertEquals(
    k.reports.map((r) => r.title),
    Array(2).fill("BUG: double-free or invalid-free in reckless_driver"),
  );
  assert(k.reports[0].lines.includes("The buggy address is located 8 bytes inside of"));
  assertEquals(slabObjectAt(k, addr)?.live, true);
  assertEquals(checkSlab(k), []);
});

Deno.test("kfree() of pages that are neither slab nor large is reported and not carried out", () => {
  const k = slabKernel();
  const p = run(alloc_pages(k, GFP_NOWAIT, 0));
  reckless_driver(k, page_address(p), atOffset(page_address(p), 64));
  const large = take(k, 10000);
  reckless_driver(k, atOffset(large, 4096));
  assert(mem_map(k).birth[virt_to_page(large)] !== 0, "still allocated");
  reckless_driver(k, large, large);
  assertEquals(k.reports.length, 4);
  assertEquals(mem_map(k)._refcount[p], 1);
  run(__free_pages(k, p, 0));
  assertEquals(checkSlab(k), []);
});

Deno.test("kfree() of an object that somebody has placed in a large block frees the block, once", () => {
  const k = slabKernel();
  const large = take(k, 10000);
  const placed = atOffset(large, 7);
  placeObject(k, placed);
  reckless_driver(k, atOffset(large, 8));
  assertEquals([k.reports.length, mem_map(k).birth[virt_to_page(large)] !== 0], [1, true], "not placed");
  reckless_driver(k, placed);
  assertEquals([k.reports.length, mem_map(k)._refcount[virt_to_page(large)]], [1, 0]);
  reckless_driver(k, placed);
  assertEquals(k.reports.length, 2);
  assertEquals(checkSlab(k), []);
});

Deno.test("kfree() of a vmalloc address faults where struct page would be", () => {
  const k = slabKernel();
  assertThrows(
    () => run(kfree(k, VMALLOC_START)),
    KernelOops,
    "BUG: unable to handle page fault for address: ffff",
  );
});

Deno.test("kfree_bulk() frees the good ones when the array has an object twice", () => {
  const k = slabKernel();
  const [a, b, c] = takeMany(k, 64, 3);
  const p = arrayOf(k, [a, b, a, atOffset(c, 16), c]);
  run(kfree_bulk(k, 5, p));
  assertEquals(k.reports.length, 2);
  assertEquals([a, b, c].map((x) => slabObjectAt(k, x)?.live), [false, false, false]);
  assertEquals(checkSlab(k), []);
});

Deno.test("kmem_cache_free() to the wrong cache warns and frees to the right one", () => {
  const k = slabKernel();
  const s = run(kmem_cache_create(k, "mine", 72, 0, 0, () => {})) as kmem_cache;
  const addr = take(k, 64);
  run(kmem_cache_free(k, s, addr));
  assert(
    k.reports[0].lines.includes("cache_from_obj: Wrong slab cache. mine but object is from kmalloc-64"),
  );
  assertEquals(slabObjectAt(k, addr)?.live, false);
  assertEquals(checkSlab(k), []);
});

Deno.test("a freelist pointer that a use after free overwrote faults at the allocation that follows it", () => {
  const k = slabKernel();
  const [a] = takeMany(k, 64, 2);
  give(k, a);
  // The word at offset 32 is the pointer to the next free object.
  k.ram.rawStorePtr(a + 32 - PAGE_OFFSET, 0x6b6b_6b6b_6b6b);
  assertEquals(take(k, 64), a);
  assertThrows(() => take(k, 64), KernelOops);
  assert(checkSlab(k).length > 0);
});

Deno.test("a freelist that a use after free closed to a cycle is found, and stops nobody", () => {
  const k = slabKernel();
  const s = run(kmem_cache_create(k, "cyclic", 64, 0, 0, () => {})) as kmem_cache; // the pointer is at offset 64
  const [a, b, c, d] = Array.from({ length: 4 }, () => run(kmem_cache_alloc(k, s, GFP_NOWAIT)));
  for (const x of [a, b, c]) run(kmem_cache_free(k, s, x)); // c, b, a, ...
  k.ram.rawStorePtr(a + 64 - PAGE_OFFSET, c);
  assert(checkSlab(k).some((line) => line.endsWith("is on a freelist twice")));
  run(kmem_cache_destroy(k, s));
  // The live object is among those that are left; which are the others is up to the damage.
  assert(k.reports[0].lines.includes(`INFO: Object 0xffff${d.toString(16)} @offset=216`));
});
