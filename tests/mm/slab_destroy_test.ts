// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of kmem_cache_destroy() while objects are still there: what is reported, what stays, what a later free does, and
 * objects that wait in kvfree_rcu() (B20). Formats are those of mm/slub.c and mm/slab_common.c in v5.7.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { Atomic, MaySleep } from "../../kernel/machine/effects.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { kmem_cache } from "../../mm/slab.ts";
import { get_node, slab_caches, slab_mutex } from "../../mm/slab.ts";
import { checkSlab } from "../../mm/slab_check.ts";
import { kmem_cache_create, kmem_cache_destroy } from "../../mm/slab_common.ts";
import { slabLiveObjects, slabObjectAt } from "../../mm/slab_live.ts";
import { kmem_cache_alloc, kmem_cache_free, oo_objects } from "../../mm/slub.ts";
import {
  array,
  boot,
  call_rcu,
  type Config,
  embed,
  formatAddr,
  GFP_KERNEL,
  kfree,
  kvfree_rcu,
  rcu_barrier,
  rcu_head,
  runToEnd,
  struct,
  u8,
} from "../../mod.ts";
import { runCleanly } from "../machines.ts";

const foo = struct("foo", { data: array(u8, 100), rcu: embed(rcu_head) });

/** A cache that is merged with no other: it has a constructor. */
function* fooCache(k: Kernel): MaySleep<kmem_cache> {
  const s = yield* kmem_cache_create(k, "foo_cache", foo.size, 0, 0, function foo_ctor() {});
  assert(s !== null);
  return s;
}

function* take(k: Kernel, s: kmem_cache, n: number): MaySleep<VirtAddr[]> {
  const objects: VirtAddr[] = [];
  for (let i = 0; i < n; i++) objects.push(yield* kmem_cache_alloc(k, s, GFP_KERNEL));
  return objects;
}

function bootSmall(wanted: Partial<Config> = {}): Kernel {
  return boot({ cpus: 2, memBytes: 64 * 2 ** 20, ...wanted });
}

Deno.test("kmem_cache_destroy() names what remains, slab by slab, and then the cache", () => {
  const k = bootSmall();
  const left: VirtAddr[] = [];
  runCleanly(k, function* foo_exit(k) {
    const s = yield* fooCache(k);
    const objects = yield* take(k, s, 6);
    for (const i of [0, 2, 3, 5]) yield* kmem_cache_free(k, s, objects[i]);
    left.push(objects[1], objects[4]);
    yield* kmem_cache_destroy(k, s);
  }, 2);
  const [slab, cache] = k.reports;
  const base = left[0] - left[0] % 4096;
  const title = "BUG foo_cache (Not tainted): Objects remaining in foo_cache on __kmem_cache_shutdown()";
  assertEquals(slab.lines.slice(0, 4), ["=".repeat(77), title, "-".repeat(77), ""]);
  assertMatch(
    slab.lines[4],
    /^INFO: Slab 0xffffea00[0-9a-f]{8} objects=\d+ used=2 fp=0xffff8880[0-9a-f]{8} flags=0x[0-9a-f]{4,}$/,
  );
  assertMatch(slab.lines[5], /^CPU: \d PID: \d+ Comm: test Not tainted /);
  assert(
    slab.lines.includes(" kmem_cache_destroy") && slab.lines.includes(" foo_exit"),
    slab.lines.join("\n"),
  );
  assertEquals(
    slab.lines.filter((line) => line.startsWith("INFO: Object ")),
    left.map((p) => `INFO: Object 0x${formatAddr(p)} @offset=${p - base}`),
  );
  assertEquals(cache.lines[0], "kmem_cache_destroy foo_cache: Slab cache still has objects");
  assertEquals(cache.lines[2], "Call Trace:");
});

Deno.test("a full slab is on no list: its objects are not named, but the cache is", () => {
  const k = bootSmall({ cpus: 1 });
  runCleanly(k, function* (k) {
    const s = yield* fooCache(k);
    yield* take(k, s, oo_objects(s.oo));
    yield* kmem_cache_destroy(k, s);
  }, 1);
  assertEquals(k.reports[0].title, "kmem_cache_destroy foo_cache: Slab cache still has objects");
});

Deno.test("what remains belongs to the cache still: it can be used, freed, and the cache allocated from", () => {
  const k = bootSmall({ cpus: 1 });
  runCleanly(k, function* (k) {
    const s = yield* fooCache(k);
    const [p, q] = yield* take(k, s, 2);
    yield* kmem_cache_destroy(k, s);
    assert(slab_caches(k).includes(s) && s.refcount === 0);
    assertEquals(slabObjectAt(k, p)?.cache, s);
    k.ram.store8(p, 1);
    yield* kmem_cache_free(k, s, p);
    yield* kfree(k, q);
    assertEquals([slabObjectAt(k, p)?.live, slabObjectAt(k, q)?.live], [false, false]);
    assertEquals([get_node(s).nr_slabs, get_node(s).nr_partial], [1, 1], "the empty slab stays on the list");
    assertEquals(slabObjectAt(k, yield* kmem_cache_alloc(k, s, GFP_KERNEL))?.cache, s);
    // The count of users is below nothing now: this call does nothing, as in C.
    const reports = k.reports.length;
    yield* kmem_cache_destroy(k, s);
    assertEquals([k.reports.length, slab_caches(k).includes(s)], [reports, true]);
    // A cache of the same name is another one.
    assert((yield* fooCache(k)) !== s);
  }, 2);
  assertEquals(checkSlab(k), []);
});

/** Frees one object through RCU by `free`, then waits by rcu_barrier() and destroys its cache: how often it complains. */
function complaints(wanted: Partial<Config>, free: (k: Kernel, p: VirtAddr) => MaySleep<void>): number {
  const k = bootSmall(wanted);
  const verdict = runToEnd(k, "rmmod", function* (k) {
    const s = yield* fooCache(k);
    const [p] = yield* take(k, s, 1);
    yield* free(k, p);
    yield* rcu_barrier(k);
    yield* kmem_cache_destroy(k, s);
  });
  assertEquals(verdict.ending, "completed");
  assertEquals(checkSlab(k), []);
  const left = [...slabLiveObjects(k)].filter((o) => o.cache.name === "foo_cache");
  assertEquals(left, [], "freed in the end, wherever it waited");
  return verdict.reports;
}

function* foo_free(k: Kernel, head: VirtAddr): Atomic<void> {
  yield* kfree(k, head - foo.offsetof("rcu") as VirtAddr);
}

Deno.test("rcu_barrier() waits for call_rcu(), so that the cache is empty", () => {
  assertEquals(complaints({}, (k, p) => call_rcu(k, p + foo.offsetof("rcu") as VirtAddr, foo_free)), 0);
});

Deno.test("rcu_barrier() does not wait for kvfree_rcu(): the cache still has an object (B20)", () => {
  assertEquals(complaints({ level: "7/7" }, (k, p) => kvfree_rcu(k, p, foo, "rcu")), 2);
});

Deno.test("from v6.12 on kmem_cache_destroy() waits for kvfree_rcu() itself (B20)", () => {
  assertEquals(complaints({ level: "v6.12" }, (k, p) => kvfree_rcu(k, p, foo, "rcu")), 0);
});

Deno.test("where there is a kvfree_rcu_barrier(), kmem_cache_destroy() waits for it before it takes the lock", () => {
  const k = bootSmall();
  let waited = 0;
  k.kvfree = {
    ...k.kvfree,
    kvfree_rcu_barrier: function* (k): MaySleep<void> {
      waited++;
      assertEquals(slab_mutex(k).owner, null);
    },
  };
  runCleanly(k, function* (k) {
    yield* kmem_cache_destroy(k, null);
    assertEquals(waited, 0);
    yield* kmem_cache_destroy(k, yield* fooCache(k));
  });
  assertEquals(waited, 1);
});
