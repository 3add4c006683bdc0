// SPDX-License-Identifier: GPL-2.0-only
/**
 * The quarantine: what goes in, how much it holds, what comes out and when. The limits are Linux's: 1 MiB for a CPU, all
 * batches together a 32nd of RAM less 1 MiB for each CPU that is online.
 */
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { GFP_KERNEL, GFP_NOWAIT } from "../../kernel/gfp.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { reportBadAccess } from "../../mm/report.ts";
import { QUARANTINE_BATCHES, QUARANTINE_PERCPU_SIZE, quarantined } from "../../mm/kasan/quarantine.ts";
import { kasan_save_enable_multi_shot } from "../../mm/kasan/report.ts";
import { _totalram_pages } from "../../mm/page_alloc.ts";
import { type kmem_cache, SLAB_TYPESAFE_BY_RCU } from "../../mm/slab.ts";
import { checkSlab } from "../../mm/slab_check.ts";
import { kmem_cache_create, kmem_cache_destroy, kmem_cache_shrink } from "../../mm/slab_common.ts";
import { slabObjectAt } from "../../mm/slab_live.ts";
import { get_slabinfo, kmalloc, kmem_cache_alloc, kmem_cache_free } from "../../mm/slub.ts";
import { run } from "../helpers.ts";
import { give, on, slabKernel, take, takeMany } from "./slab_kernel.ts";

const MiB = 2 ** 20;
/** kmalloc(8192) with its red zone: 64 of them are 1 MiB. */
const BIG = 16384;

function kasanKernel(cpus = 1, memBytes = 64 * MiB): Kernel {
  const k = slabKernel({ kasan: true, cpus, memBytes });
  k.ram.onBadAccess = (addr, size, write) => reportBadAccess(k, addr, size, write);
  return k;
}

function create(k: Kernel, name: string, size: number, flags = 0): kmem_cache {
  const s = run(kmem_cache_create(k, name, size, 0, flags, null), true);
  if (s === null) throw new Error(`no cache ${name}`);
  return s;
}

/** Allocates `count` large objects, then frees them. */
function cycle(k: Kernel, count: number): VirtAddr[] {
  const objects = takeMany(k, 8192, count);
  give(k, ...objects);
  return objects;
}

Deno.test("a freed object is not handed out again at once; without KASAN it is", () => {
  const plain = slabKernel();
  const first = take(plain, 43);
  give(plain, first);
  assertEquals(take(plain, 43), first);

  const k = kasanKernel();
  const p = take(k, 43);
  give(k, p);
  const q = take(k, 43);
  assertNotEquals(q, p);
  k.ram.store8((p + 40) as VirtAddr, 1);
  assertStringIncludes(k.reports[0].title, "BUG: KASAN: use-after-free");
});

Deno.test("an object in quarantine is not live, and on no freelist either", () => {
  const k = kasanKernel();
  const p = take(k, 43);
  assertEquals([slabObjectAt(k, p)?.live, quarantined(k).objects.has(p)], [true, false]);
  give(k, p);
  assertEquals([slabObjectAt(k, p)?.live, quarantined(k).objects.has(p)], [false, true]);
  assertEquals(checkSlab(k), []);
});

Deno.test("quarantine_put() fills this CPU's queue up to 1 MiB; one more and all of it is global", () => {
  const k = kasanKernel(2);
  const before = quarantined(k);
  assertEquals([before.perCpu, before.global], [[0, 0], 0]);
  const objects = takeMany(k, 8192, 65);
  give(k, ...objects.slice(0, 64));
  assertEquals([quarantined(k).perCpu, quarantined(k).global], [[QUARANTINE_PERCPU_SIZE, 0], 0]);
  on(k, 1);
  give(k, take(k, 43));
  assertEquals(quarantined(k).perCpu, [QUARANTINE_PERCPU_SIZE, 128], "the other CPU has a queue of its own");
  on(k, 0);
  give(k, objects[64]);
  assertEquals([quarantined(k).perCpu, quarantined(k).global], [[0, 128], 65 * BIG]);
  assertEquals(quarantined(k).objects.size, 66);
});

Deno.test("quarantine_reduce() frees the oldest batch above the limit, in allocations that may sleep", () => {
  const k = kasanKernel();
  const limit = Math.floor(_totalram_pages(k) * 4096 / 32) - MiB;
  assert(limit > 0 && limit < MiB);
  const first = cycle(k, 65);
  assertEquals(quarantined(k).global, 65 * BIG);
  take(k, 43);
  assertEquals(quarantined(k).limit, 0, "nobody has looked: an allocation that may not sleep does not");
  assertEquals(quarantined(k).global, 65 * BIG);

  run(kmalloc(k, 43, GFP_KERNEL));
  assertEquals([quarantined(k).global, quarantined(k).limit], [0, limit]);
  assertEquals([...quarantined(k).objects].filter((o) => first.includes(o)), []);
  assertEquals(checkSlab(k), []);
  const reused = new Set(takeMany(k, 8192, 65));
  assert(first.some((o) => reused.has(o)), "now they may be used again");
});

Deno.test("quarantine_reduce() lets batches stay below the limit, oldest first out", () => {
  const k = kasanKernel(1, 256 * MiB);
  const limit = Math.floor(_totalram_pages(k) * 4096 / 32) - MiB;
  run(kmalloc(k, 43, GFP_KERNEL));
  const rounds = Math.floor(limit / (65 * BIG)) + 1;
  const all: VirtAddr[][] = [];
  for (let i = 0; i < rounds; i++) all.push(cycle(k, 65));
  assertEquals(quarantined(k).global, rounds * 65 * BIG);
  for (let oldest = 0; oldest < 3; oldest++) {
    assert(quarantined(k).global > limit);
    run(kmalloc(k, 43, GFP_KERNEL));
    const held = quarantined(k);
    assertEquals([held.limit, held.global], [limit, (rounds - 1) * 65 * BIG]);
    assert(all[oldest].every((o) => !held.objects.has(o)), "one batch is freed, the oldest");
    assert(all.slice(oldest + 1).flat().every((o) => held.objects.has(o)), "the younger ones stay");
    all.push(cycle(k, 65));
  }
  assertEquals(checkSlab(k), []);
});

Deno.test("with as many CPUs as MiB in a 32nd of RAM the limit is 0", () => {
  const k = kasanKernel(4, 64 * MiB);
  cycle(k, 65);
  run(kmalloc(k, 43, GFP_KERNEL));
  assertEquals([quarantined(k).limit, quarantined(k).global], [0, 0]);
});

Deno.test("QUARANTINE_BATCHES is 1024, or 4 for each CPU the kernel is built for", () => {
  assertEquals(QUARANTINE_BATCHES(slabKernel({ kasan: true, nrCpus: 64 })), 1024);
  assertEquals(QUARANTINE_BATCHES(slabKernel({ kasan: true, nrCpus: 1024 })), 4096);
});

Deno.test("quarantine_remove_cache() takes one cache's objects from queues and batches, the others stay", () => {
  const k = kasanKernel();
  const [s, other] = [create(k, "leaving", 100), create(k, "staying", 100)];
  const free = (cache: kmem_cache): VirtAddr => {
    const p = run(kmem_cache_alloc(k, cache, GFP_NOWAIT));
    run(kmem_cache_free(k, cache, p));
    return p;
  };
  const gone = [free(s)];
  const stays = [free(other)];
  cycle(k, 65); // into the global quarantine with them
  gone.push(free(s));
  stays.push(free(other));
  const size = quarantined(k).objects.size;

  run(kmem_cache_shrink(k, s), true);
  const { objects } = quarantined(k);
  assertEquals(objects.size, size - 2);
  assertEquals(gone.map((o) => objects.has(o)), [false, false]);
  assertEquals(stays.map((o) => objects.has(o)), [true, true]);
  assertEquals(get_slabinfo(k, s).num_objs, 0, "nothing keeps its slabs any more");
  assertEquals(checkSlab(k), []);

  free(other);
  run(kmem_cache_destroy(k, other), true);
  run(kmem_cache_destroy(k, s), true);
  assertEquals(k.reports, [], "quarantined objects do not keep a cache from being destroyed");
  assertEquals(checkSlab(k), []);
});

Deno.test("objects of a SLAB_TYPESAFE_BY_RCU cache are never in quarantine", () => {
  const k = kasanKernel();
  const s = create(k, "typesafe", 64, SLAB_TYPESAFE_BY_RCU);
  const p = run(kmem_cache_alloc(k, s, GFP_NOWAIT));
  run(kmem_cache_free(k, s, p));
  k.ram.load8(p);
  assertEquals([k.reports.length, quarantined(k).objects.size], [0, 0], "readers may still look");
  assertEquals(run(kmem_cache_alloc(k, s, GFP_NOWAIT)), p);
});

Deno.test("a write after free that destroys a link is reported, and found again when the queue is freed", () => {
  for (
    const [value, title] of [
      [0x6b6b_6b6b_6b6b, "BUG: unable to handle page fault for address"],
      [0x1234, "BUG: unable to handle page fault for address"],
    ] as const
  ) {
    const k = kasanKernel();
    const s = create(k, "victim", 100);
    const objects = Array.from({ length: 3 }, () => run(kmem_cache_alloc(k, s, GFP_NOWAIT)));
    for (const p of objects) run(kmem_cache_free(k, s, p));
    k.ram.storePtr(objects[0], value);
    assertEquals(k.reports.map((r) => r.title.split(" in ")[0]), ["BUG: KASAN: use-after-free"]);
    let threw = "";
    try {
      run(kmem_cache_shrink(k, s), true);
    } catch (error) {
      threw = (error as Error).name;
    }
    assertEquals(threw, "KernelOops");
    assertStringIncludes(k.reports[1].title, title);
  }
});

Deno.test("a circle of links ends in a BUG, not in a hang", () => {
  const k = kasanKernel();
  const s = create(k, "circle", 100);
  const objects = Array.from({ length: 3 }, () => run(kmem_cache_alloc(k, s, GFP_NOWAIT)));
  for (const p of objects) run(kmem_cache_free(k, s, p));
  k.ram.storePtr(objects[2], objects[0]);
  let threw = "";
  try {
    run(kmem_cache_shrink(k, s), true);
  } catch (error) {
    threw = (error as Error).name;
  }
  assertEquals(threw, "KernelOops");
  assertStringIncludes(k.reports[1].lines.join("\n"), "circle in the quarantine");
});

Deno.test("of more than 32,768 tracks the oldest stacks are not available; who it was still is", () => {
  const k = kasanKernel();
  const objects = takeMany(k, 8, 2 ** 15 + 1);
  const linesOf = (p: VirtAddr): readonly string[] => {
    k.ram.load8((p + 8) as VirtAddr);
    return k.reports[k.reports.length - 1].lines;
  };
  kasan_save_enable_multi_shot(k);
  const unavailable = ["Allocated by task 100:", "(stack is not available)"];
  const after = (lines: readonly string[]): readonly string[] => {
    const from = lines.indexOf("Allocated by task 100:");
    return lines.slice(from, from + 2);
  };
  assertEquals(after(linesOf(objects[0])), unavailable);
  assertEquals(after(linesOf(objects[1])), ["Allocated by task 100:", " save_stack"]);
});
