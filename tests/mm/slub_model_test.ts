// SPDX-License-Identifier: GPL-2.0-only
/**
 * slub against a model: what is live, with which contents. One step at a time, and interleaved at every point.
 *
 * The model is a map of addresses. An object is filled with bytes of its own when it is handed out; when it is freed they
 * must still be there, and nothing live may overlap. checkSlab() looks at the allocator's own state.
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { PAGE_OFFSET } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { VECTOR_CALL_FUNCTION } from "../../kernel/machine/cpu.ts";
import { type MaySleep, STEP } from "../../kernel/machine/effects.ts";
import { Random } from "../../kernel/machine/random.ts";
import { GFP_KERNEL, GFP_NOWAIT } from "../../kernel/gfp.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { flush_smp_call_function_queue } from "../../kernel/smp.ts";
import { NR_SLAB_UNRECLAIMABLE } from "../../mm/mmzone.ts";
import { type kmem_cache, slab_caches, STAT_NAMES } from "../../mm/slab.ts";
import { checkSlab } from "../../mm/slab_check.ts";
import { kmem_cache_create, kmem_cache_destroy, kmem_cache_shrink } from "../../mm/slab_common.ts";
import { slabLiveObjects } from "../../mm/slab_live.ts";
import {
  kfree,
  kfree_bulk,
  kmalloc,
  kmem_cache_alloc,
  kmem_cache_alloc_bulk,
  kmem_cache_free,
  kmem_cache_free_bulk,
} from "../../mm/slub.ts";
import { global_node_page_state } from "../../mm/vmstat.ts";
import { run } from "../helpers.ts";
import { slabKernel } from "./slab_kernel.ts";

/** What the model knows of a live object. */
interface Known {
  readonly size: number;
  readonly tag: number;
  /** The cache it must be freed to; null: kfree(). */
  readonly cache: kmem_cache | null;
}

class Model {
  readonly live = new Map<VirtAddr, Known>();
  private tag = 0;

  constructor(readonly k: Kernel) {}

  born(addr: VirtAddr, size: number, cache: kmem_cache | null): void {
    const tag = ++this.tag & 0xff;
    assert(!this.live.has(addr), `${addr.toString(16)} was handed out twice`);
    this.live.set(addr, { size, tag, cache });
    this.k.ram.bytes.fill(tag, addr - PAGE_OFFSET, addr - PAGE_OFFSET + size);
  }

  /** Forgets the object at `addr`, whose contents must be what was put there. */
  dies(addr: VirtAddr): Known {
    const known = this.live.get(addr);
    assert(known !== undefined);
    const bytes = this.k.ram.bytes.subarray(addr - PAGE_OFFSET, addr - PAGE_OFFSET + known.size);
    assert(bytes.every((b) => b === known.tag), `contents of ${addr.toString(16)} changed`);
    this.live.delete(addr);
    return known;
  }

  /** One live object, by number. */
  pick(n: number): VirtAddr | undefined {
    return [...this.live.keys()][n % Math.max(this.live.size, 1)];
  }

  /** Compares with the allocator; `before` are the addresses that were live before the model began. */
  compare(before: ReadonlySet<VirtAddr>): void {
    const { k, live } = this;
    assertEquals(checkSlab(k), []);
    const small = [...live].filter(([, known]) => known.size <= 8192).map(([addr]) => addr);
    const truth = [...slabLiveObjects(k)].filter((o) => !before.has(o.addr));
    assertEquals(truth.map((o) => o.addr), small.sort((a, b) => a - b));
    for (const o of truth) assertEquals(o.size, live.get(o.addr)?.size);
    const sorted = [...live].sort(([a], [b]) => a - b);
    for (let i = 1; i < sorted.length; i++) {
      assert(sorted[i - 1][0] + sorted[i - 1][1].size <= sorted[i][0], "live objects overlap");
    }
  }
}

function liveNow(k: Kernel): Set<VirtAddr> {
  return new Set([...slabLiveObjects(k)].map((o) => o.addr));
}

type Op =
  | { op: "kmalloc"; cpu: number; size: number }
  | { op: "kfree"; cpu: number; n: number }
  | { op: "kfree_bulk"; cpu: number; ns: number[] };

const anyOp: (cpus: number) => fc.Arbitrary<Op> = (cpus) =>
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        op: fc.constant("kmalloc" as const),
        cpu: fc.nat(cpus - 1),
        size: fc.oneof(
          fc.constantFrom(8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192),
          fc.integer({ min: 1, max: 8192 }),
          fc.integer({ min: 8193, max: 40000 }),
        ),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ op: fc.constant("kfree" as const), cpu: fc.nat(cpus - 1), n: fc.nat() }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        op: fc.constant("kfree_bulk" as const),
        cpu: fc.nat(cpus - 1),
        ns: fc.array(fc.nat(), { minLength: 1, maxLength: 24 }),
      }),
    },
  );

function apply(model: Model, array: VirtAddr, op: Op): void {
  const { k } = model;
  k.cpu = k.cpus[op.cpu];
  if (op.op === "kmalloc") {
    const addr = run(kmalloc(k, op.size, GFP_NOWAIT));
    if (addr !== 0) model.born(addr, op.size, null);
  } else if (op.op === "kfree") {
    const addr = model.pick(op.n);
    if (addr === undefined) return;
    model.dies(addr);
    run(kfree(k, addr));
  } else {
    const addrs = [...new Set(op.ns.map((n) => model.pick(n)).filter((a) => a !== undefined))];
    if (addrs.length === 0) return;
    addrs.forEach((addr, i) => {
      model.dies(addr);
      k.ram.storePtr(array + i * 8 as VirtAddr, addr);
    });
    run(kfree_bulk(k, addrs.length, array));
    for (let i = 0; i < addrs.length; i++) assertEquals(k.ram.loadPtr(array + i * 8 as VirtAddr), 0);
  }
}

for (const [cpus, rcu] of [[1, "tiny"], [1, "none"], [2, "none"], [4, "none"]] as const) {
  Deno.test(`kmalloc() and kfree() keep what a model of them keeps cpus=${cpus} rcu=${rcu}`, () => {
    const seed = 20200323;
    fc.assert(
      fc.property(fc.array(anyOp(cpus), { minLength: 50, maxLength: 400, size: "max" }), (ops) => {
        const k = slabKernel({ cpus, rcu, memBytes: 16 * 2 ** 20 });
        const array = run(kmalloc(k, 512, GFP_KERNEL));
        const before = liveNow(k);
        const model = new Model(k);
        ops.forEach((op, i) => {
          apply(model, array, op);
          if (i % 50 === 0) model.compare(before);
        });
        model.compare(before);
        for (const addr of [...model.live.keys()]) {
          apply(model, array, { op: "kfree", cpu: 0, n: [...model.live.keys()].indexOf(addr) });
        }
        model.compare(before);
        assertEquals(k.reports, []);
      }),
      { seed, numRuns: 25 },
    );
  });
}

/** CPUs that run one generator each and change places at every point, as `random` says. */
function interleave(k: Kernel, random: Random, bodies: ((k: Kernel) => MaySleep<void>)[]): void {
  const stacks = bodies.map((body) => [body(k)]);
  for (let busy = stacks.length; busy > 0;) {
    const id = random.below(stacks.length);
    const stack = stacks[id];
    if (stack.length === 0) continue;
    const cpu = k.cpus[id];
    k.cpu = cpu;
    k.budget = 0;
    const called = (cpu.ipis & VECTOR_CALL_FUNCTION) !== 0 || (cpu.pending & VECTOR_CALL_FUNCTION) !== 0;
    if (called && cpu.irqsOn) {
      cpu.ipis = cpu.pending = 0;
      stack.push(interrupt(k));
    }
    const lock = cpu.blockedOn;
    if (lock !== null && lock.owner !== cpu && stack.length === 1) continue;
    const step = stack[stack.length - 1].next();
    if (step.done === true) {
      stack.pop();
      // A CPU that is done still answers interrupts: it ends with the others.
      if (stack.length === 0) busy--;
    }
  }
}

function* interrupt(k: Kernel): MaySleep<void> {
  const blocked = k.cpu.blockedOn;
  k.cpu.blockedOn = null;
  k.cpu.irqsOn = false;
  yield* flush_smp_call_function_queue(k);
  k.cpu.irqsOn = true;
  k.cpu.blockedOn = blocked;
}

interface Shared {
  readonly model: Model;
  readonly caches: readonly kmem_cache[];
  /** CPUs whose worker has ended. */
  done: number;
}

/** Allocates and frees at random; some objects are left for the other CPUs to free. */
function* worker(k: Kernel, shared: Shared, random: Random, steps: number): MaySleep<void> {
  const { model, caches } = shared;
  const array = yield* kmalloc(k, 256, GFP_KERNEL);
  for (let i = 0; i < steps; i++) {
    const cache = caches[random.below(caches.length)];
    switch (random.below(12)) {
      case 0: {
        const n = yield* kmem_cache_alloc_bulk(k, cache, GFP_KERNEL, 1 + random.below(20), array);
        for (let j = 0; j < n; j++) {
          model.born(k.ram.loadPtr(array + j * 8 as VirtAddr), cache.object_size, cache);
        }
        break;
      }
      case 1: {
        let n = 0;
        for (const [addr, known] of [...model.live].slice(0, 20)) {
          if (known.cache !== cache) continue;
          model.dies(addr);
          k.ram.storePtr(array + n++ * 8 as VirtAddr, addr);
        }
        if (n > 0) yield* kmem_cache_free_bulk(k, random.below(2) === 0 ? cache : null, n, array);
        break;
      }
      case 2:
        if (random.below(8) === 0) yield* kmem_cache_shrink(k, cache);
        break;
      case 3:
      case 4:
      case 5:
      case 6:
      case 7: {
        const addr = yield* kmem_cache_alloc(k, cache, random.below(2) === 0 ? GFP_KERNEL : GFP_NOWAIT);
        if (addr !== 0) model.born(addr, cache.object_size, cache);
        break;
      }
      default: {
        const addr = model.pick(random.below(1000));
        if (addr === undefined) break;
        const { cache } = model.dies(addr);
        yield* cache === null || random.below(2) === 0 ? kfree(k, addr) : kmem_cache_free(k, cache, addr);
      }
    }
  }
  yield* kfree(k, array);
  shared.done++;
  while (shared.done < k.cpus.length) yield STEP;
}

for (const cpus of [2, 3, 4]) {
  Deno.test(`slub keeps its order when CPUs change places at every point cpus=${cpus}`, () => {
    const taken = new Float64Array(STAT_NAMES.length);
    for (let seed = 1; seed <= 12; seed++) {
      const k = slabKernel({ cpus, memBytes: 16 * 2 ** 20, debug: false });
      const caches = [640, 2040, 4080].map((size) =>
        run(kmem_cache_create(k, `test-${size}`, size, 0, 0, () => {})) as kmem_cache
      );
      const before = liveNow(k);
      const pagesBefore = global_node_page_state(k, NR_SLAB_UNRECLAIMABLE);
      const shared: Shared = { model: new Model(k), caches, done: 0 };
      const random = new Random(seed, 1);
      try {
        interleave(k, random, k.cpus.map(() => (k) => worker(k, shared, random, 300)));
        shared.model.compare(before);
        k.cpu = k.cpus[0];
        const everything = [...shared.model.live.keys()].map((addr) =>
          function* (k: Kernel): MaySleep<void> {
            shared.model.dies(addr);
            yield* kfree(k, addr);
          }
        );
        for (const free of everything) run(free(k));
        shared.model.compare(before);
        for (const cache of caches) cache.stat.forEach((count, i) => taken[i] += count);
        shared.done = 0;
        interleave(
          k,
          random,
          k.cpus.map((cpu) =>
            function* (k: Kernel): MaySleep<void> {
              if (cpu.id === 0) {
                for (const cache of caches) yield* kmem_cache_destroy(k, cache);
                shared.done = cpus;
              }
              while (shared.done < cpus) yield STEP;
            }
          ),
        );
        assertEquals(checkSlab(k), []);
        assertEquals(k.reports, []);
        // What the three caches held is back; the kmalloc slabs of the arrays may stay.
        assert(global_node_page_state(k, NR_SLAB_UNRECLAIMABLE) - pagesBefore <= cpus);
        assert(!slab_caches(k).some((s) => s.name.startsWith("test-")));
        assert(k.cpus.every((cpu) => cpu.irqsOn && cpu.preempt_count === 0));
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }
    // The schedules reach every path there is on one node with enough memory, lost races included.
    const never = ["alloc_node_mismatch", "order_fallback", "cmpxchg_double_cpu_fail"];
    assertEquals(STAT_NAMES.filter((_, i) => taken[i] === 0), never);
  });
}
