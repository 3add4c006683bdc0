// SPDX-License-Identifier: GPL-2.0-only
/** Any sequence of allocations and frees, on one CPU and interleaved on several. */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { __GFP_NOWARN, __GFP_RECLAIMABLE, type Gfp, gfp, GFP_ATOMIC } from "../../kernel/gfp.ts";
import { DATA_PAGES, type Kernel } from "../../kernel/kernel.ts";
import { NULL_PAGE, type page } from "../../mm/mm_types.ts";
import { __free_pages, alloc_pages, drain_all_pages, nr_free_pages } from "../../mm/page_alloc.ts";
import { run } from "../helpers.ts";
import {
  alloc,
  assertSound,
  buddyinfo,
  free,
  memoryKernel,
  MiB,
  MOVABLE,
  normal,
  QUIET,
} from "./memory_kernel.ts";

/** One step of the model: allocate a block, or free one of those held. */
type Op = { readonly order: number; readonly flags: Gfp; readonly free: number };

const SEED = 20200323;

Deno.test(`any sequence of allocations and frees returns to the state at boot [seed=${SEED}]`, () => {
  const flags = [QUIET, MOVABLE, gfp(QUIET, __GFP_RECLAIMABLE), gfp(GFP_ATOMIC, __GFP_NOWARN)];
  const op: fc.Arbitrary<Op> = fc.record({
    order: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, {
      weight: 4,
      arbitrary: fc.integer({ min: 1, max: 4 }),
    }, { weight: 1, arbitrary: fc.integer({ min: 5, max: 10 }) }),
    flags: fc.constantFrom(...flags),
    free: fc.oneof({ weight: 2, arbitrary: fc.constant(-1) }, {
      weight: 1,
      arbitrary: fc.nat({ max: 1000 }),
    }),
  });
  const run1 = (ops: readonly Op[]): void => {
    const k = memoryKernel({ memBytes: 16 * MiB });
    const before = buddyinfo(k);
    const owner = new Int32Array(4096);
    const held: { p: page; order: number }[] = [];
    let pages = 0;
    ops.forEach(({ order, flags, free: victim }, step) => {
      if (victim >= 0 && held.length > 0) {
        const [{ p, order }] = held.splice(victim % held.length, 1);
        owner.fill(0, p, p + 2 ** order);
        pages -= 2 ** order;
        free(k, p, order);
        return;
      }
      const p = alloc(k, order, flags);
      if (p === NULL_PAGE) return;
      assertEquals(p % 2 ** order, 0);
      assert(p >= DATA_PAGES && p + 2 ** order <= 4096);
      for (let i = p; i < p + 2 ** order; i++) {
        assertEquals(owner[i], 0, `page ${i} is given out twice`);
        owner[i] = step + 1;
      }
      pages += 2 ** order;
      held.push({ p, order });
    });
    assertEquals(nr_free_pages(k) + normal(k).pageset[0].pcp.count + pages, 4096 - DATA_PAGES);
    assertSound(k);
    for (const { p, order } of held) free(k, p, order);
    run(drain_all_pages(k));
    assertEquals(buddyinfo(k), before);
    assertEquals(k.reports.length, 0);
    assertSound(k);
  };
  fc.assert(fc.property(fc.array(op, { minLength: 1, maxLength: 120 }), run1), { seed: SEED, numRuns: 60 });
});

Deno.test(`interleaved CPUs never share a page [cpus=4 seed=${SEED}]`, () => {
  // Each CPU runs its own sequence; after every step another CPU may go on, also between a lock's point and the lock.
  const job = (
    k: Kernel,
    mine: Set<number>,
    all: Set<number>,
    orders: readonly number[],
  ): Generator<unknown, void, void> => {
    return (function* body(): Generator<unknown, void, void> {
      const held: { p: page; order: number }[] = [];
      for (const [i, order] of orders.entries()) {
        const p = yield* alloc_pages(k, i % 3 === 0 ? MOVABLE : QUIET, order);
        if (p !== NULL_PAGE) {
          for (let j = 0; j < 2 ** order; j++) {
            assert(!all.has(p + j), `page ${p + j} is given out twice`);
            all.add(p + j);
            mine.add(p + j);
          }
          held.push({ p, order });
        }
        while (held.length > 6) {
          const { p, order } = held.splice(i % held.length, 1)[0];
          for (let j = 0; j < 2 ** order; j++) all.delete(p + j);
          yield* __free_pages(k, p, order);
        }
        if (i % 20 === 19) yield* drain_all_pages(k);
      }
      for (const { p, order } of held) {
        for (let j = 0; j < 2 ** order; j++) all.delete(p + j);
        yield* __free_pages(k, p, order);
      }
    })();
  };
  const schedule = fc.array(fc.nat({ max: 3 }), { minLength: 300, maxLength: 600 });
  const orders = fc.array(fc.constantFrom(0, 0, 0, 0, 1, 2), { minLength: 60, maxLength: 60 });
  fc.assert(
    fc.property(schedule, orders, (picks, list) => {
      const k = memoryKernel({ cpus: 4, memBytes: 16 * MiB });
      const before = buddyinfo(k);
      const all = new Set<number>();
      const jobs = k.cpus.map((cpu) => ({ cpu, gen: job(k, new Set(), all, list), done: false }));
      const step = (i: number): void => {
        const { cpu, gen, done } = jobs[i];
        if (done || (cpu.blockedOn !== null && cpu.blockedOn.owner !== cpu)) return;
        k.cpu = cpu;
        jobs[i].done = gen.next().done === true;
      };
      picks.forEach(step);
      for (let i = 0; jobs.some((it) => !it.done); i = (i + 1) % 4) step(i);
      k.cpu = k.cpus[0];
      run(drain_all_pages(k), true);
      assertEquals(buddyinfo(k), before);
      assertEquals(k.reports.length, 0);
      assertSound(k);
    }),
    { seed: SEED, numRuns: 25 },
  );
});
