// SPDX-License-Identifier: GPL-2.0-only
/**
 * KASAN on whole machines: what RCU frees is freed in time and nothing else is reported, what is freed too early is, and a
 * run with KASAN is as reproducible as one without.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { Ptr, VirtAddr } from "../../kernel/machine/brand.ts";
import type { Atomic, MaySleep } from "../../kernel/machine/effects.ts";
import { array, container_of, embed, struct, u8 } from "../../kernel/machine/struct.ts";
import { GFP_KERNEL, GFP_NOWAIT } from "../../kernel/gfp.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import {
  boot,
  call_rcu,
  checkOptions,
  type Config,
  decodeToken,
  encodeToken,
  kfree,
  kmalloc,
  kvfree_rcu,
  memoryVerdict,
  rcu_head,
  rcu_read_lock,
  rcu_read_unlock,
  reboot,
  runToEnd,
  type RunVerdict,
  schedule_timeout_uninterruptible,
  synchronize_rcu,
  udelay,
  vmalloc,
} from "../../mod.ts";
import { checkConfig } from "../../kernel/config.ts";
import { quarantined } from "../../mm/kasan/quarantine.ts";
import { checkSlab } from "../../mm/slab_check.ts";
import { kmem_cache_create, kmem_cache_destroy } from "../../mm/slab_common.ts";
import { kmem_cache_alloc, kmem_cache_free } from "../../mm/slub.ts";
import { ext4Scenario } from "../../examples/ext4_kvfree_array_rcu.ts";
import { threadOn } from "../rcu/tree_machine.ts";

const MACHINES: readonly Partial<Config>[] = [{ rcu: "tiny" }, { rcu: "tree", cpus: 4 }];

function textOf(k: Kernel): string {
  return k.reports.map((r) => r.lines.join("\n")).join("\n");
}

function runExt4(k: Kernel, given: Readonly<Record<string, string>>): RunVerdict {
  const options = checkOptions(ext4Scenario, given);
  return runToEnd(k, ext4Scenario.name, (k) => ext4Scenario.main(k, options));
}

/** All three ways to free the array, with and without memory for the helpers. */
const WAYS: readonly Readonly<Record<string, string>>[] = [
  { grows: "12" },
  { grows: "6", variant: "fixed" },
  { grows: "6", fail: "kvmalloc" },
  { grows: "4", fail: "page" },
];

for (const machine of MACHINES) {
  Deno.test(`ext4_kvfree_array_rcu reports nothing with KASAN [rcu=${machine.rcu} seeds=20]`, () => {
    let k: Kernel | null = null;
    for (let seed = 1; seed <= 20; seed++) {
      k = boot({ ...machine, seed, kasan: true });
      const since = k.seq;
      const verdict = runExt4(k, WAYS[seed % WAYS.length]);
      assertEquals([verdict.ending, verdict.reports], ["completed", 0], `seed ${seed}\n${textOf(k)}`);
      assertEquals(memoryVerdict(k, since).leaked, [], `seed ${seed}: what is in quarantine is freed`);
      assert(quarantined(k).objects.size > 0);
      assertEquals(checkSlab(k), [], `seed ${seed}`);
    }
  });

  Deno.test(`the same run twice has the same hash and the same memory with KASAN [rcu=${machine.rcu} seeds=3]`, () => {
    for (const seed of [1, 2, 3]) {
      const ends = [0, 1].map(() => {
        const k = boot({ ...machine, seed, kasan: true });
        runExt4(k, WAYS[0]);
        return [k.hash.text(), k.digest(), k.seq];
      });
      assertEquals(ends[0], ends[1]);
      const k = boot({ ...machine, seed, kasan: true });
      runExt4(k, WAYS[3]);
      reboot(k);
      runExt4(k, WAYS[0]);
      assertEquals([k.hash.text(), k.digest(), k.seq], ends[0], "on a machine that was used before");
    }
  });

  Deno.test(`kvfree_rcu() and call_rcu() free objects of every kind under KASAN [rcu=${machine.rcu} seeds=5]`, () => {
    const object = struct("object", { rcu: embed(rcu_head), data: array(u8, 48) });
    function* callback(k: Kernel, head: VirtAddr): Atomic<void> {
      yield* kfree(k, container_of(head, object, "rcu"));
    }
    for (let seed = 1; seed <= 5; seed++) {
      const k = boot({ ...machine, seed, kasan: true });
      const since = k.seq;
      const freed: VirtAddr[] = [];
      const verdict = runToEnd(k, "test", function* (k): MaySleep<void> {
        for (let i = 0; i < 600; i++) {
          const p = yield* kmalloc(k, object.size, GFP_KERNEL);
          k.ram.load8((p + 63) as VirtAddr);
          freed.push(p);
          if (i % 3 === 0) yield* call_rcu(k, p, callback);
          else if (i % 3 === 1) yield* kvfree_rcu(k, p as Ptr<typeof object>, object, "rcu");
          else yield* kvfree_rcu(k, p);
        }
        yield* kvfree_rcu(k, yield* vmalloc(k, 20000));
        yield* kvfree_rcu(k, yield* kmalloc(k, 20000, GFP_KERNEL));
      });
      assertEquals([verdict.ending, verdict.reports], ["completed", 0], `seed ${seed}\n${textOf(k)}`);
      const { live, leaked, pending } = memoryVerdict(k, since);
      assertEquals([live.length, leaked.length, pending.length], [0, 0, 0], `seed ${seed}`);
      assert(freed.every((p) => quarantined(k).objects.has(p)), "and all of them are in quarantine");
      assertEquals(checkSlab(k), []);
    }
  });
}

Deno.test("the array that a reader keeps is caught at the reader, with who allocated and freed it [cpus=4]", () => {
  const k = boot({ kasan: true, cpus: 4 });
  const verdict = runExt4(k, { grows: "6", reader: "escapes" });
  assert(verdict.reports > 0);
  const { title, lines } = k.reports[0];
  assertStringIncludes(title, "BUG: KASAN: use-after-free in ");
  assert(lines.some((line) => /^Allocated by task \d+:$/.test(line)));
  assert(lines.some((line) => /^Freed by task \d+:$/.test(line)));
});

Deno.test("use after free is caught though the object's memory was asked for again meanwhile; else it is not", () => {
  function* stale(k: Kernel): MaySleep<void> {
    const p = yield* kmalloc(k, 200, GFP_KERNEL);
    yield* rcu_read_lock(k);
    yield* rcu_read_unlock(k);
    yield* kvfree_rcu(k, p);
    yield* synchronize_rcu(k);
    yield* schedule_timeout_uninterruptible(k, 20);
    // Everybody wants such objects now.
    for (let i = 0; i < 100; i++) yield* kmalloc(k, 200, GFP_KERNEL);
    k.ram.store8((p + 100) as VirtAddr, 1);
  }
  for (const machine of MACHINES) {
    const plain = boot(machine);
    runToEnd(plain, "stale", stale);
    assertEquals(plain.reports.length, 0, "the default shadow is valid again");
    const k = boot({ ...machine, kasan: true });
    runToEnd(k, "stale", stale);
    assertEquals(k.reports.map((r) => r.title), ["BUG: KASAN: use-after-free in stale"]);
  }
});

Deno.test("what a callback freed is freed by whoever it ran on top of, in the callback's stack", () => {
  function* free_me(k: Kernel, head: VirtAddr): Atomic<void> {
    yield* kfree(k, head);
  }
  const k = boot({ kasan: true, cpus: 4 });
  runToEnd(k, "owner", function* (k): MaySleep<void> {
    const p = yield* kmalloc(k, 64, GFP_KERNEL);
    yield* call_rcu(k, p, free_me);
    yield* schedule_timeout_uninterruptible(k, 50);
    k.ram.load8((p + 32) as VirtAddr);
  });
  assertEquals(k.reports.length, 1);
  const { lines } = k.reports[0];
  const freed = lines.findIndex((line) => line.startsWith("Freed by task"));
  const stack = lines.slice(freed + 1, lines.indexOf("", freed));
  assert(stack.includes(" free_me") && stack.includes(" rcu_do_batch"), stack.join("\n"));
  assert(!stack.includes(" owner"), "an interrupt's stack does not go on below it");
});

Deno.test("a cache can be destroyed while its objects are in the quarantine of every CPU [cpus=4 seeds=10]", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const k = boot({ kasan: true, cpus: 4, seed });
    let left = 4;
    const verdict = runToEnd(k, "main", function* (k): MaySleep<void> {
      const s = yield* kmem_cache_create(k, "shared", 1000, 0, 0, null);
      const other = yield* kmem_cache_create(k, "other", 4000, 0, 0, null);
      assert(s !== null && other !== null);
      for (let cpu = 0; cpu < 4; cpu++) {
        yield* threadOn(k, cpu, `cpu/${cpu}`, function* (k): MaySleep<void> {
          for (let i = 0; i < 20; i++) {
            yield* kmem_cache_free(k, s, yield* kmem_cache_alloc(k, s, GFP_KERNEL));
          }
          left--;
          // They go on freeing, and reducing the quarantine, while the cache goes.
          for (let i = 0; i < 600; i++) {
            yield* kmem_cache_free(k, other, yield* kmem_cache_alloc(k, other, GFP_KERNEL));
          }
        });
      }
      while (left > 0) yield* schedule_timeout_uninterruptible(k, 1);
      yield* kmem_cache_destroy(k, s);
    });
    assertEquals([verdict.ending, verdict.reports], ["completed", 0], `seed ${seed}\n${textOf(k)}`);
    assertEquals(checkSlab(k), [], `seed ${seed}`);
    assert(quarantined(k).global <= Math.max(quarantined(k).limit, 5 * 2 ** 20));
  }
});

Deno.test("quarantine_remove_cache() waits for a CPU that is freeing a batch with the cache's objects in it", () => {
  const k = boot({ kasan: true, cpus: 2, memBytes: 64 * 2 ** 20 });
  let reducing = false;
  let reduced = false;
  const verdict = runToEnd(k, "main", function* (k): MaySleep<void> {
    const s = yield* kmem_cache_create(k, "shared", 1000, 0, 0, null);
    assert(s !== null);
    yield* threadOn(k, 1, "reducer", function* (k): MaySleep<void> {
      const p = yield* kmem_cache_alloc(k, s, GFP_NOWAIT);
      // A batch of many small objects, with that one near its end: 24 bytes each, 1 MiB together.
      const small: VirtAddr[] = [];
      for (let i = 0; i < 45_000; i++) small.push(yield* kmalloc(k, 8, GFP_NOWAIT));
      for (const q of small.slice(0, 43_000)) yield* kfree(k, q);
      yield* kmem_cache_free(k, s, p);
      for (const q of small.slice(43_000)) yield* kfree(k, q);
      assert(quarantined(k).global > 0 && quarantined(k).objects.has(p));
      reducing = true;
      yield* kmalloc(k, 8, GFP_KERNEL);
      reduced = true;
    });
    while (!reducing) yield* udelay(k, 1);
    yield* udelay(k, 20);
    assert(!reduced, "it is still at it");
    yield* kmem_cache_destroy(k, s);
    assert(reduced);
  });
  assertEquals([verdict.ending, verdict.reports], ["completed", 0], textOf(k));
  assertEquals(checkSlab(k), []);
});

Deno.test("a task that falls over a destroyed link dies, and the machine goes on", () => {
  const k = boot({ kasan: true, cpus: 2 });
  const verdict = runToEnd(k, "writer", function* (k): MaySleep<void> {
    const s = yield* kmem_cache_create(k, "victim", 100, 0, 0, null);
    assert(s !== null);
    const p = yield* kmem_cache_alloc(k, s, GFP_KERNEL);
    yield* kmem_cache_free(k, s, p);
    yield* kmem_cache_free(k, s, yield* kmem_cache_alloc(k, s, GFP_KERNEL));
    k.ram.storePtr(p, 0x6b6b_6b6b_6b6b);
    yield* kmem_cache_destroy(k, s);
  });
  assertEquals(k.reports.map((r) => r.title.split(" in ")[0].split(":")[1].trim()).slice(0, 1), ["KASAN"]);
  assert(k.reports.length >= 2, verdict.ending);
  const again = runToEnd(k, "next", function* (k): MaySleep<void> {
    yield* kfree(k, yield* kmalloc(k, 64, GFP_KERNEL));
  });
  assertEquals(again.ending, "completed");
});

Deno.test("a token carries --kasan", () => {
  for (const kasan of [true, false]) {
    const content = { config: checkConfig({ kasan }), deviations: [], runs: [] };
    assertEquals(decodeToken(encodeToken(content)).config.kasan, kasan);
  }
});
