// SPDX-License-Identifier: GPL-2.0-only
/**
 * The address space of mm/vmalloc.ts against models: a list of free ranges with first fit. The seed is printed.
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { formatAddr, PAGE_SIZE, VMALLOC_END, VMALLOC_START } from "../../kernel/machine/addr.ts";
import { GFP_KERNEL } from "../../kernel/gfp.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import {
  __vmalloc_node_range,
  alloc_vmap_area,
  areasOf,
  free_unmap_vmap_area,
  free_vmap_area,
  free_vmap_area_list,
  NUMA_NO_NODE,
  purge_vmap_area_lazy,
  vmap_area,
} from "../../mm/vmalloc.ts";
import { checkVmalloc } from "../../mm/vmalloc_check.ts";
import { run } from "../helpers.ts";
import { mmKernel, pageBytes, strayObjects } from "./vmalloc_kernel.ts";

const SEED = 20200323;

function ranges(k: Kernel): string[] {
  return [...areasOf(free_vmap_area_list(k))].map((va) =>
    `${formatAddr(va.va_start)}-${formatAddr(va.va_end)}`
  );
}

/** The model: free ranges in pages, those that wait for a purge, and first fit. */
class AddressSpace {
  free: [number, number][];
  lazy: [number, number][] = [];
  constructor(readonly pages: number) {
    this.free = [[0, pages]];
  }
  take(size: number): number {
    const at = this.free.findIndex(([from, end]) => end - from >= size);
    if (at < 0) return -1;
    const range = this.free[at];
    range[0] += size;
    if (range[0] === range[1]) this.free.splice(at, 1);
    return range[0] - size;
  }
  purge(): void {
    const all = [...this.free, ...this.lazy].sort((a, b) => a[0] - b[0]);
    this.lazy = [];
    this.free = [];
    for (const [from, end] of all) {
      const last = this.free[this.free.length - 1];
      if (last !== undefined && last[1] === from) last[1] = end;
      else this.free.push([from, end]);
    }
  }
}

Deno.test("alloc_vmap_area() agrees with first fit over a list of free ranges [seed=20200323]", () => {
  const PAGES = 200;
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ take: fc.integer({ min: 1, max: 20 }) }) },
    { weight: 4, arbitrary: fc.record({ free: fc.nat() }) },
    { weight: 1, arbitrary: fc.constant({ purge: true }) },
  );
  const k = mmKernel();
  k.log.recording = false;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => {
      const model = new AddressSpace(PAGES);
      const held: vmap_area[] = [];
      for (const it of steps) {
        if ("take" in it) {
          const size = pageBytes(it.take);
          const end = VMALLOC_START + pageBytes(PAGES);
          const va = run(alloc_vmap_area(k, size, 1, VMALLOC_START, end, NUMA_NO_NODE, GFP_KERNEL));
          let expected = model.take(it.take);
          if (expected < 0) {
            model.purge();
            expected = model.take(it.take);
          }
          assertEquals(typeof va === "number" ? -1 : (va.va_start - VMALLOC_START) / PAGE_SIZE, expected);
          if (typeof va !== "number") held.push(va);
        } else if ("free" in it && held.length > 0) {
          const [va] = held.splice(it.free % held.length, 1);
          const from = (va.va_start - VMALLOC_START) / PAGE_SIZE;
          model.lazy.push([from, from + (va.va_end - va.va_start) / PAGE_SIZE]);
          run(free_unmap_vmap_area(k, va));
        } else if ("purge" in it) {
          run(purge_vmap_area_lazy(k));
          model.purge();
        }
        assertEquals(checkVmalloc(k), []);
      }
      for (const va of held) run(free_unmap_vmap_area(k, va));
      run(purge_vmap_area_lazy(k));
      assertEquals(ranges(k), ["0000000000000001-ffffffffffffffff"]);
    }),
    { seed: SEED, numRuns: 60 },
  );
});

Deno.test("alloc_vmap_area() with alignments never overlaps and keeps the summaries right [seed=20200323]", () => {
  const step = fc.tuple(
    fc.boolean(),
    fc.integer({ min: 1, max: 9 }),
    fc.integer({ min: 0, max: 22 }),
    fc.nat(),
  );
  const k = mmKernel();
  k.log.recording = false;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => {
      const held: vmap_area[] = [];
      for (const [take, pages, shift, which] of steps) {
        if (take || held.length === 0) {
          const va = run(
            alloc_vmap_area(
              k,
              pageBytes(pages),
              2 ** shift,
              VMALLOC_START,
              VMALLOC_END,
              NUMA_NO_NODE,
              GFP_KERNEL,
            ),
          );
          assert(typeof va !== "number");
          assertEquals(va.va_start % Math.max(PAGE_SIZE, 2 ** shift), 0);
          held.push(va);
        } else {
          run(free_unmap_vmap_area(k, held.splice(which % held.length, 1)[0]));
        }
        if (which % 16 === 0) run(purge_vmap_area_lazy(k));
        assertEquals(checkVmalloc(k), []);
      }
      for (const va of held) run(free_unmap_vmap_area(k, va));
      run(purge_vmap_area_lazy(k));
      assertEquals(ranges(k), ["0000000000000001-ffffffffffffffff"]);
    }),
    { seed: SEED, numRuns: 40 },
  );
});

Deno.test("alloc_vmap_area() takes the lowest range from any start [seed=20200323]", () => {
  // The check that mm/vmalloc.c has under DEBUG_AUGMENT_LOWEST_MATCH_CHECK: tree search against a walk over the list.
  const step = fc.record({
    pages: fc.integer({ min: 1, max: 12 }),
    from: fc.nat(150),
    free: fc.nat(2),
    which: fc.nat(),
  });
  const k = mmKernel();
  k.log.recording = false;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => {
      const held: vmap_area[] = [];
      for (const { pages, from, free, which } of steps) {
        const vstart = VMALLOC_START + pageBytes(from);
        let expected = -1;
        for (const va of areasOf(free_vmap_area_list(k))) {
          const start = Math.max(va.va_start, vstart);
          if (start + pageBytes(pages) > va.va_end) continue;
          expected = start;
          break;
        }
        const va = run(
          alloc_vmap_area(k, pageBytes(pages), 1, vstart, VMALLOC_END, NUMA_NO_NODE, GFP_KERNEL),
        );
        assert(typeof va !== "number");
        assertEquals(va.va_start, expected);
        held.push(va);
        if (free > 0) run(free_vmap_area(k, held.splice(which % held.length, 1)[0]));
        assertEquals(checkVmalloc(k), []);
      }
      for (const va of held) run(free_vmap_area(k, va));
      assertEquals(ranges(k), ["0000000000000001-ffffffffffffffff"]);
    }),
    { seed: SEED, numRuns: 60 },
  );
  assertEquals(strayObjects(k), []);
});
