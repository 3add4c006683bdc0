// SPDX-License-Identifier: GPL-2.0-only
/**
 * slub: each path of allocation and free on one node, failure, constructors and type-safe caches.
 *
 * An expected number follows from the rule named beside it.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { NULL, PAGE_OFFSET, VMALLOC_START } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { doneVoid, STEP } from "../../kernel/machine/effects.ts";
import type { Config } from "../../kernel/config.ts";
import { addFailRule, listFailRules } from "../../kernel/fault_inject.ts";
import {
  ___GFP_COMP,
  ___GFP_NOMEMALLOC,
  ___GFP_NORETRY,
  ___GFP_NOWARN,
  ___GFP_RECLAIMABLE,
  __GFP_NOWARN,
  __GFP_RECLAIMABLE,
  gfp,
  GFP_KERNEL,
  GFP_NOWAIT,
} from "../../kernel/gfp.ts";
import { NO_RCU, type rcu_callback_t } from "../../kernel/hooks.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import {
  KFREE_EVENT,
  KMALLOC_EVENT,
  KMEM_CACHE_ALLOC_EVENT,
  KMEM_CACHE_FREE_EVENT,
  MM_PAGE_ALLOC_EVENT,
} from "../../kernel/trace/events/kmem.ts";
import { SHADOW_KMALLOC_FREE, SHADOW_KMALLOC_REDZONE, SHADOW_VALID } from "../../kernel/machine/ram.ts";
import { mem_map, page_address, PAGE_USE_SLAB, virt_to_page } from "../../mm/mm_types.ts";
import { NR_SLAB_RECLAIMABLE, NR_SLAB_UNRECLAIMABLE } from "../../mm/mmzone.ts";
import {
  ALLOC_FASTPATH,
  ALLOC_FROM_PARTIAL,
  ALLOC_REFILL,
  ALLOC_SLAB,
  CPU_PARTIAL_ALLOC,
  CPU_PARTIAL_DRAIN,
  CPU_PARTIAL_FREE,
  CPU_PARTIAL_NODE,
  CPUSLAB_FLUSH,
  DEACTIVATE_BYPASS,
  DEACTIVATE_EMPTY,
  FREE_ADD_PARTIAL,
  FREE_FROZEN,
  FREE_REMOVE_PARTIAL,
  FREE_SLAB,
  FREE_SLOWPATH,
  get_node,
  kmem_cache,
  ORDER_FALLBACK,
  SLAB_TYPESAFE_BY_RCU,
  ZERO_SIZE_PTR,
} from "../../mm/slab.ts";
import { checkSlab } from "../../mm/slab_check.ts";
import { kmem_cache_create } from "../../mm/slab_common.ts";
import { slabLiveObjects, slabObjectAt } from "../../mm/slab_live.ts";
import {
  __kmem_cache_shrink,
  get_freepointer,
  kcalloc,
  kmalloc,
  kmalloc_array,
  kmalloc_node,
  kmem_cache_alloc,
  kmem_cache_free,
  kzalloc,
  oo_objects,
  slub_cpu_dead,
} from "../../mm/slub.ts";
import { global_node_page_state } from "../../mm/vmstat.ts";
import { dmesg, run } from "../helpers.ts";
import { atOffset, give, kmallocCache, on, slabKernel, take, takeMany } from "./slab_kernel.ts";

// Allocation

Deno.test("kmalloc() hands out a new slab in ascending order, linked through the objects", () => {
  const k = slabKernel();
  const s = kmallocCache(k, 192);
  const first = take(k, 192);
  const m = mem_map(k);
  const p = virt_to_page(first);
  assertEquals(first, page_address(p));
  assertEquals([m.objects[p], m.inuse[p], m.frozen[p], m.use[p]], [21, 21, 1, PAGE_USE_SLAB]);
  // The bytes at offset 96 of each free object are the address of the next.
  for (let i = 1; i < 20; i++) {
    const object = atOffset(first, i * 192);
    assertEquals(k.ram.rawLoadPtr(object + 96 - PAGE_OFFSET), object + 192);
    assertEquals(get_freepointer(k, s, object), object + 192);
  }
  assertEquals(k.ram.rawLoadPtr(first + 20 * 192 + 96 - PAGE_OFFSET), NULL);
  assertEquals(takeMany(k, 192, 20), Array.from({ length: 20 }, (_, i) => first + (i + 1) * 192));
  assertEquals([s.stat[ALLOC_SLAB], s.stat[ALLOC_FASTPATH]], [1, 20]);
  assertEquals(checkSlab(k), []);
});

Deno.test("kmalloc() makes exactly the requested bytes valid, kfree() none", () => {
  const k = slabKernel();
  const neighbour = take(k, 128);
  const addr = take(k, 100);
  assertEquals(addr, neighbour + 128);
  const granule = (addr - PAGE_OFFSET) / 8;
  const shadow = (): number[] => [...k.ram.shadow.subarray(granule, granule + 16)];
  assertEquals(shadow(), [...Array(12).fill(SHADOW_VALID), 4, ...Array(3).fill(SHADOW_KMALLOC_REDZONE)]);
  give(k, addr);
  assertEquals(shadow(), Array(16).fill(SHADOW_KMALLOC_FREE));
  assertEquals(take(k, 97), addr);
  assertEquals(shadow(), [...Array(12).fill(SHADOW_VALID), 1, ...Array(3).fill(SHADOW_KMALLOC_REDZONE)]);
  assertEquals(k.ram.shadow[granule + 16], SHADOW_KMALLOC_REDZONE, "the next object was never handed out");
});

Deno.test("kmalloc() has a point at its entry", () => {
  const k = slabKernel();
  give(k, take(k, 64));
  const first = kmalloc(k, 64, GFP_NOWAIT).next();
  assertEquals([first.done, first.value], [false, STEP]);
});

for (
  const [path, size, budget] of [
    ["the fast path", 64, 100],
    ["a free object after a point", 64, 0],
    ["a page allocation", 192, 100],
  ] as const
) {
  Deno.test(`kmalloc(GFP_KERNEL) in atomic context is reported on ${path}, GFP_NOWAIT is not`, () => {
    const k = slabKernel();
    give(k, ...takeMany(k, 64, 2));
    k.cpu.preempt_count = 1;
    k.budget = budget;
    take(k, 64);
    assertEquals(k.reports, []);
    run(kmalloc(k, size, GFP_KERNEL));
    assertEquals(k.reports.length, 1);
    assertStringIncludes(k.reports[0].title, "BUG: sleeping function called from invalid context at ");
  });
}

Deno.test("a slab in a page that was a slab before has only objects that were never handed out", () => {
  const k = slabKernel();
  const s = kmallocCache(k, 256);
  const objects = takeMany(k, 256, 16);
  give(k, ...objects);
  run(__kmem_cache_shrink(k, s));
  const addr = take(k, 256);
  assertEquals(virt_to_page(addr), virt_to_page(objects[0]), "the page came back at once");
  const next = slabObjectAt(k, atOffset(addr, 256));
  assertEquals([next?.live, next?.birth, next?.size], [false, 0, 0]);
});

Deno.test("kmalloc(0) is ZERO_SIZE_PTR, which kfree() ignores", () => {
  const k = slabKernel();
  assertEquals(take(k, 0), ZERO_SIZE_PTR);
  give(k, ZERO_SIZE_PTR, NULL);
  assertEquals(k.reports, []);
});

Deno.test("kzalloc() zeroes the whole object, kmalloc() leaves what was there", () => {
  const k = slabKernel();
  const addr = take(k, 64);
  k.ram.rawFill(addr - PAGE_OFFSET, 64, 0x5a);
  give(k, addr);
  assertEquals(take(k, 64), addr);
  assertEquals(k.ram.load8(addr), 0x5a);
  give(k, addr);
  assertEquals(run(kzalloc(k, 33, GFP_KERNEL)), addr);
  const bytes = k.ram.bytes.subarray(addr - PAGE_OFFSET, addr - PAGE_OFFSET + 64);
  assertEquals([...bytes], Array(64).fill(0));
});

Deno.test("kmalloc_array() and kcalloc() multiply, and fail when the product overflows", () => {
  const k = slabKernel();
  assertEquals(slabObjectAt(k, run(kmalloc_array(k, 3, 8, GFP_NOWAIT)))?.size, 24);
  assertEquals(k.ram.load8(run(kcalloc(k, 4, 4, GFP_NOWAIT))), 0);
  assertEquals(run(kmalloc_array(k, 2 ** 40, 2 ** 40, GFP_NOWAIT)), NULL);
});

Deno.test("kmalloc() takes __GFP_RECLAIMABLE requests from the rcl caches and counts their pages apart", () => {
  const k = slabKernel();
  const before = [NR_SLAB_RECLAIMABLE, NR_SLAB_UNRECLAIMABLE].map((item) => global_node_page_state(k, item));
  const addr = run(kmalloc(k, 2048, gfp(GFP_NOWAIT, __GFP_RECLAIMABLE)));
  const s = slabObjectAt(k, addr)?.cache;
  assertEquals(s?.name, "kmalloc-rcl-2k");
  const pages = [...k.log.records()].findLast((r) => r.kind === MM_PAGE_ALLOC_EVENT);
  assertEquals((pages?.args[2] ?? 0) & ___GFP_RECLAIMABLE, ___GFP_RECLAIMABLE);
  const after = [NR_SLAB_RECLAIMABLE, NR_SLAB_UNRECLAIMABLE].map((item) => global_node_page_state(k, item));
  assertEquals(after, [before[0] + 4, before[1]]); // 1 CPU: order 2
});

Deno.test("allocations and frees are events, and an object is born with its event", () => {
  const k = slabKernel();
  const from = k.seq + 1;
  const addr = take(k, 100);
  const birth = k.seq;
  give(k, addr);
  const s = run(kmem_cache_create(k, "thing", 40, 0, 0, null)) as kmem_cache;
  const thing = run(kmem_cache_alloc(k, s, GFP_KERNEL));
  run(kmem_cache_free(k, s, thing));
  const kinds = [KMALLOC_EVENT, KFREE_EVENT, KMEM_CACHE_ALLOC_EVENT, KMEM_CACHE_FREE_EVENT];
  const records = [...k.log.records(from)].filter((r) => kinds.includes(r.kind));
  assertEquals(
    records.filter((r) => r.args[0] === addr || r.args[0] === thing).map((r) => [r.kind, r.args.slice(1, 4)]),
    [
      [KMALLOC_EVENT, [100, 128, GFP_NOWAIT]],
      [KFREE_EVENT, [0, 0, 0]],
      [KMEM_CACHE_ALLOC_EVENT, [40, 40, GFP_KERNEL]],
      [KMEM_CACHE_FREE_EVENT, [0, 0, 0]],
    ],
  );
  assertEquals(records[0].seq, birth);
  assertEquals(slabObjectAt(k, addr), { addr, size: 100, birth, live: false, cache: kmallocCache(k, 100) });
});

Deno.test("slabLiveObjects() lists the live ones, slabObjectAt() knows every address of an object", () => {
  const k = slabKernel();
  const before = [...slabLiveObjects(k)].length;
  const [a, b, c] = takeMany(k, 48, 3);
  give(k, b);
  const mine = [...slabLiveObjects(k)].filter((o) => o.cache.name === "kmalloc-64");
  assertEquals(mine.map((o) => [o.addr, o.size, o.live]), [[a, 48, true], [c, 48, true]]);
  assertEquals([...slabLiveObjects(k)].length, before + 2);
  assertEquals(slabObjectAt(k, atOffset(c, 63))?.addr, c);
  assertEquals(slabObjectAt(k, atOffset(b, 7))?.live, false);
  const never = slabObjectAt(k, atOffset(c, 64));
  assertEquals([never?.live, never?.birth, never?.size], [false, 0, 0]);
  assertEquals(slabObjectAt(k, VMALLOC_START), undefined);
  assertEquals(slabObjectAt(k, PAGE_OFFSET), undefined);
});

// CPU slabs and partial lists

Deno.test("kfree() on another CPU goes to the slab, and comes back when the CPU has used up its own list cpus=2", () => {
  const k = slabKernel({ cpus: 2 });
  const s = kmallocCache(k, 1024); // 16 objects
  const objects = takeMany(k, 1024, 16);
  on(k, 1);
  give(k, objects[3], objects[5]);
  assertEquals([s.stat[FREE_SLOWPATH], s.stat[FREE_FROZEN]], [2, 2]);
  on(k, 0);
  // The slab's freelist is last in, first out.
  assertEquals(takeMany(k, 1024, 2), [objects[5], objects[3]]);
  assertEquals([s.stat[ALLOC_REFILL], s.stat[ALLOC_SLAB]], [1, 1]);
  assertEquals(checkSlab(k), []);
});

Deno.test("kfree() to a full slab puts it on this CPU's partial list, from where it is used next cpus=2", () => {
  const k = slabKernel({ cpus: 2 });
  const s = kmallocCache(k, 1024);
  const objects = takeMany(k, 1024, 17); // the 17th starts a second slab: the first is on no list now
  const m = mem_map(k);
  const p = virt_to_page(objects[0]);
  assertEquals([m.frozen[p], s.stat[DEACTIVATE_BYPASS], get_node(s).nr_partial], [0, 1, 0]);
  on(k, 1);
  give(k, objects[2]);
  assertEquals([m.frozen[p], s.cpu_slab[1].partial, s.stat[CPU_PARTIAL_FREE]], [1, p, 1]);
  assertEquals([m.pages[p], m.pobjects[p]], [1, 1]);
  assertEquals(take(k, 1024), objects[2]);
  assertEquals([s.cpu_slab[1].page, s.cpu_slab[1].partial, s.stat[CPU_PARTIAL_ALLOC]], [p, 0, 1]);
  assertEquals(checkSlab(k), []);
});

/** The slabs of the node's partial list, first to last. */
function partialSlabs(k: Kernel, s: kmem_cache): number[] {
  const pages: number[] = [];
  for (let p = get_node(s).partial.first as number; p !== 0; p = mem_map(k).next[p]) pages.push(p);
  return pages;
}

Deno.test("put_cpu_partial() empties the list once it holds more than cpu_partial objects cpus=2", () => {
  const k = slabKernel({ cpus: 2 });
  const s = kmallocCache(k, 1024); // cpu_partial 6, 16 objects a slab
  const objects = takeMany(k, 1024, 16 * 10);
  // One object of each slab: the list has 7 objects after 7 slabs, which the 8th finds to be more than 6.
  for (let i = 0; i < 8; i++) give(k, objects[i * 16]);
  assertEquals([s.stat[CPU_PARTIAL_DRAIN], get_node(s).nr_partial, s.stat[FREE_ADD_PARTIAL]], [1, 7, 7]);
  assertEquals(s.cpu_slab[0].partial, virt_to_page(objects[7 * 16]));
  // The list is emptied from its head, the newest, to the tail of the node's list.
  assertEquals(partialSlabs(k, s), [6, 5, 4, 3, 2, 1, 0].map((i) => virt_to_page(objects[i * 16])));
  assertEquals(checkSlab(k), []);
});

Deno.test("get_partial_node() takes slabs until it has more than half of cpu_partial cpus=2", () => {
  const k = slabKernel({ cpus: 2 });
  const s = kmallocCache(k, 1024);
  const objects = takeMany(k, 1024, 16 * 10);
  for (let i = 0; i < 8; i++) give(k, objects[i * 16]);
  on(k, 1);
  // Slabs with one free object each: the first becomes the CPU slab, three more fill the list (1+1+1+1 > 3).
  take(k, 1024);
  assertEquals([s.stat[ALLOC_FROM_PARTIAL], s.stat[CPU_PARTIAL_NODE], get_node(s).nr_partial], [1, 3, 3]);
  assertEquals(checkSlab(k), []);
});

Deno.test("without per-CPU partial lists a full slab goes to the node's at its first free cpus=1 rcu=tiny", () => {
  const k = slabKernel({ cpus: 1, rcu: "tiny" });
  const s = kmallocCache(k, 1024); // 8 objects
  const objects = takeMany(k, 1024, 8 * 3 + 1);
  give(k, objects[0], objects[8]);
  assertEquals([s.stat[CPU_PARTIAL_FREE], s.stat[FREE_ADD_PARTIAL], get_node(s).nr_partial], [0, 2, 2]);
  // At the tail: the older slab is used first.
  takeMany(k, 1024, 7);
  assertEquals(take(k, 1024), objects[0]);
  assertEquals(checkSlab(k), []);
});

Deno.test("empty slabs beyond min_partial go back to the page allocator cpus=1 rcu=tiny", () => {
  const k = slabKernel({ cpus: 1, rcu: "tiny" });
  const s = kmallocCache(k, 1024);
  const pages = global_node_page_state(k, NR_SLAB_UNRECLAIMABLE);
  const objects = takeMany(k, 1024, 8 * 10);
  assertEquals(global_node_page_state(k, NR_SLAB_UNRECLAIMABLE), pages + 20);
  give(k, ...objects);
  // The CPU keeps its slab. Of the other nine, each goes to the partial list at its first free and is empty at its
  // eighth: the node then has it and what was before, and gives back what exceeds five.
  assertEquals([get_node(s).nr_slabs, get_node(s).nr_partial], [5, 4]);
  assertEquals([s.stat[FREE_SLAB], s.stat[FREE_REMOVE_PARTIAL]], [5, 5]);
  assertEquals(global_node_page_state(k, NR_SLAB_UNRECLAIMABLE), pages + 10);
  assertEquals(checkSlab(k), []);
});

Deno.test("kmem_cache_shrink() gives empty slabs back and puts the fullest first", () => {
  const k = slabKernel({ cpus: 1, rcu: "tiny" });
  const s = kmallocCache(k, 1024);
  const objects = takeMany(k, 1024, 8 * 5);
  const slab = (i: number): VirtAddr[] => objects.slice(i * 8, i * 8 + 8);
  give(k, ...slab(0).slice(0, 5), ...slab(1).slice(0, 1), ...slab(2), ...slab(3).slice(0, 3), ...slab(4));
  assertEquals(run(__kmem_cache_shrink(k, s)), 1);
  const m = mem_map(k);
  const free: number[] = [];
  for (let p = get_node(s).partial.first as number; p !== 0; p = m.next[p]) {
    free.push(m.objects[p] - m.inuse[p]);
  }
  assertEquals(free, [1, 3, 5]);
  assertEquals(get_node(s).nr_slabs, 3);
  give(k, ...slab(0).slice(5), ...slab(1).slice(1), ...slab(3).slice(3));
  assertEquals(run(__kmem_cache_shrink(k, s)), 0);
  assertEquals([get_node(s).nr_slabs, get_node(s).nr_partial], [0, 0]);
  assertEquals(checkSlab(k), []);
});

/** Has CPU 1 leave `count` slabs with one live object each on the node's partial list. */
function fillPartial(k: Kernel, s: kmem_cache, count: number): void {
  on(k, 1);
  const objects = takeMany(k, s.size, count * oo_objects(s.oo));
  give(k, ...objects.filter((_, i) => i % oo_objects(s.oo) !== 0));
  on(k, 0);
  run(slub_cpu_dead(k, 1));
  assertEquals(get_node(s).nr_partial, count);
}

for (const [partial, emptied] of [[5, 0], [6, 1]]) {
  Deno.test(`a CPU gives an empty slab back if the node has min_partial, 6: it has ${partial} cpus=2`, () => {
    const k = slabKernel({ cpus: 2 });
    const s = kmallocCache(k, 8192);
    give(k, take(k, 8192));
    fillPartial(k, s, partial);
    run(slub_cpu_dead(k, 0));
    assertEquals([s.stat[DEACTIVATE_EMPTY], get_node(s).nr_partial, get_node(s).nr_slabs], [emptied, 6, 6]);
    assertEquals(checkSlab(k), []);
  });

  Deno.test(`unfreeze_partials() frees an empty slab if the node has min_partial, 6: it has ${partial} cpus=2`, () => {
    const k = slabKernel({ cpus: 2 });
    const s = kmallocCache(k, 8192); // 4 objects
    const objects = takeMany(k, 8192, 8);
    give(k, ...objects.slice(0, 4));
    assertEquals(s.cpu_slab[0].partial, virt_to_page(objects[0]));
    fillPartial(k, s, partial);
    run(slub_cpu_dead(k, 0));
    assertEquals([s.stat[DEACTIVATE_EMPTY], get_node(s).nr_partial, get_node(s).nr_slabs], [emptied, 6, 7]);
    assertEquals(checkSlab(k), []);
  });
}

Deno.test("an interrupt that allocates during a page allocation gets the new slab; the CPU keeps the other", () => {
  const k = slabKernel({ cpus: 2 });
  const s = kmallocCache(k, 1024);
  const task = kmalloc(k, 1024, GFP_KERNEL);
  // Two points: the entry of kmalloc() and that of alloc_pages(), where interrupts are on.
  for (let i = 0; i < 2; i++) assertEquals(task.next().done, false);
  assertEquals(k.cpu.irqsOn, true);
  const theirs = take(k, 1024);
  const mine = run(task);
  assert(virt_to_page(theirs) !== virt_to_page(mine));
  assertEquals([s.stat[ALLOC_SLAB], s.stat[CPUSLAB_FLUSH], get_node(s).nr_partial], [2, 1, 1]);
  assertEquals(s.cpu_slab[0].page, virt_to_page(mine));
  assertEquals(checkSlab(k), []);
});

Deno.test("slub_cpu_dead() gives the slabs of a CPU to the node cpus=2", () => {
  const k = slabKernel({ cpus: 2 });
  const s = kmallocCache(k, 512);
  on(k, 1);
  const objects = takeMany(k, 512, 17);
  give(k, objects[0]);
  on(k, 0);
  run(slub_cpu_dead(k, 1));
  assertEquals([s.cpu_slab[1].page, s.cpu_slab[1].partial, get_node(s).nr_partial], [0, 0, 2]);
  assertEquals(checkSlab(k), []);
});

// Failure

Deno.test("allocate_slab() tries its order without effort, then the smallest with the caller's flags", () => {
  const k = slabKernel({ cpus: 4 });
  const s = kmallocCache(k, 4096);
  const light = ___GFP_NOWARN | ___GFP_NORETRY | ___GFP_NOMEMALLOC | ___GFP_COMP | (GFP_KERNEL & ~0xc00);
  const rule = addFailRule(k, { what: "page", order: 3, gfp: light, gfpMask: -1, times: -1 });
  const from = k.seq + 1;
  const addr = run(kmalloc(k, 4096, GFP_KERNEL));
  assertEquals(listFailRules(k).find((r) => r.id === rule)?.failures, 1);
  assertEquals([s.stat[ORDER_FALLBACK], mem_map(k).objects[virt_to_page(addr)]], [1, 1]);
  const got = [...k.log.records(from)].filter((r) => r.kind === MM_PAGE_ALLOC_EVENT);
  assertEquals(got.map((r) => [r.args[1], r.args[2]]), [[0, GFP_KERNEL | ___GFP_COMP]]);
  give(k, addr);
  assertEquals(checkSlab(k), []);
});

Deno.test("kmalloc() without memory returns NULL and says so unless __GFP_NOWARN", () => {
  const k = slabKernel({ cpus: 4 });
  addFailRule(k, { what: "page", times: -1 });
  const quiet = dmesg(k).length;
  assertEquals(run(kmalloc(k, 512, gfp(GFP_NOWAIT, __GFP_NOWARN))), NULL);
  assertEquals(dmesg(k).slice(quiet).filter((line) => line.startsWith("SLUB:")), []);
  assertEquals(take(k, 512), NULL);
  const lines = dmesg(k);
  const at = lines.indexOf("SLUB: Unable to allocate memory on node -1, gfp=0x800(GFP_NOWAIT)");
  assertEquals(lines.slice(at + 1, at + 3), [
    "  cache: kmalloc-512, object size: 512, buffer size: 512, default order: 1, min order: 0",
    "  node 0: slabs: 0, objs: 0, free: 0",
  ]);
  const failed = [...k.log.records()].filter((r) => r.kind === KMALLOC_EVENT && r.args[1] === 512);
  assertEquals(failed.map((r) => r.args[0]), [NULL, NULL]);
});

// Constructors, type-safe caches

Deno.test("a constructor runs once per object when its slab is made, and what it made survives kfree()", () => {
  const k = slabKernel({ cpus: 4 });
  const built: VirtAddr[] = [];
  const s = run(kmem_cache_create(k, "built", 100, 0, 0, (k, object) => {
    built.push(object);
    k.ram.store32(object, 0x41414141);
  })) as kmem_cache;
  assertEquals(built, []);
  const addr = run(kmem_cache_alloc(k, s, GFP_KERNEL));
  assertEquals(built.length, oo_objects(s.oo));
  assertEquals(k.ram.load32(addr), 0x41414141);
  k.ram.store32(addr, 7);
  run(kmem_cache_free(k, s, addr));
  assertEquals(run(kmem_cache_alloc(k, s, GFP_KERNEL)), addr);
  assertEquals([k.ram.load32(addr), built.length], [7, oo_objects(s.oo)]);
});

Deno.test("a SLAB_TYPESAFE_BY_RCU object may be read after its free; its slab waits for a grace period", () => {
  const k = slabKernel();
  const queued: [VirtAddr, rcu_callback_t][] = [];
  k.rcu = {
    ...NO_RCU,
    call_rcu: (_k, head, func) => {
      queued.push([head, func as rcu_callback_t]);
      return doneVoid();
    },
  };
  const s = run(kmem_cache_create(k, "typesafe", 64, 0, SLAB_TYPESAFE_BY_RCU, null)) as kmem_cache;
  const addr = run(kmem_cache_alloc(k, s, GFP_KERNEL));
  k.ram.store32(addr, 42);
  run(kmem_cache_free(k, s, addr));
  assertEquals(k.ram.load32(addr), 42);
  assertEquals(k.reports, []);
  run(kmem_cache_free(k, s, addr));
  assertEquals(k.reports.length, 1, "freed twice is freed twice");
  run(__kmem_cache_shrink(k, s));
  assertEquals([get_node(s).nr_slabs, queued.length], [0, 1]);
  assertEquals(k.ram.load32(addr), 42);
  const [[head, func]] = queued;
  run(func(k, head));
  assertEquals(mem_map(k).birth[virt_to_page(addr)], 0);
  assertEquals(k.ram.isValid(addr - PAGE_OFFSET, 4), false);
  // The emulated rcu_head is used again.
  run(kmem_cache_free(k, s, run(kmem_cache_alloc(k, s, GFP_KERNEL))));
  run(__kmem_cache_shrink(k, s));
  assertEquals(queued.map(([h]) => h), [head, head]);
});

// The allocator itself

Deno.test("kmem_cache_init() says how it is built, and its own structures are slab objects", () => {
  const wanted: Partial<Config> = { cpus: 4 };
  const k = slabKernel(wanted);
  assert(dmesg(k).includes("SLUB: HWalign=64, Order=0-3, MinObjects=0, CPUs=4, Nodes=1"));
  const own = [...slabLiveObjects(k)];
  // Two boot caches and twice 13 of kmalloc().
  assertEquals(own.filter((o) => o.cache.name === "kmem_cache").length, 28);
  assertEquals(own.filter((o) => o.cache.name === "kmem_cache_node").length, 28);
  assertEquals(own.length, 56);
  assertEquals(checkSlab(k), []);
});

Deno.test("kmalloc_node() is kmalloc(): there is one node", () => {
  const k = slabKernel();
  const addr = run(kmalloc_node(k, 100, GFP_NOWAIT, 0));
  assertEquals(slabObjectAt(k, addr)?.cache.name, "kmalloc-128");
  assertEquals(checkSlab(k), []);
});
