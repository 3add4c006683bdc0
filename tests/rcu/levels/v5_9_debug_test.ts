// SPDX-License-Identifier: GPL-2.0-only
/**
 * What the kernel's own checks say of kvfree_rcu() from v5.9 to v6.1.192: lock nesting (B13), kmemleak (B29), double frees.
 */
import { assertEquals } from "@std/assert";
import type { VirtAddr } from "../../../kernel/machine/brand.ts";
import type { MaySleep } from "../../../kernel/machine/effects.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { memoryVerdict } from "../../../mm/live.ts";
import { kmemleak_seq_show, kmemleak_write } from "../../../mm/kmemleak.ts";
import {
  kvfree_rcu,
  kvfree_rcu_mightsleep,
  type Level,
  levelAtLeast,
  rcu_read_lock,
  rcu_read_unlock,
  runToEnd,
  udelay,
  vmalloc,
} from "../../../mod.ts";
import { newObject, queue2, sleepJiffies, startOn } from "../kvfree_machine.ts";
import { bootTree } from "../tree_machine.ts";
import { levels } from "./levels.ts";

function titles(k: Kernel): string[] {
  return k.reports.map((r) => r.title);
}

for (const level of ["7/7", ...levels("v5.9", "v6.1.192")] as Level[]) {
  const B13 = level === "v5.9";
  Deno.test(`B13 the page allocator under the raw lock ${B13 ? "is" : "is not"} reported [level=${level}]`, () => {
    const k = bootTree({ level, rawLockNesting: true });
    assertEquals(titles(k), [], "boot is clean");
    const { ending } = runToEnd(k, "nesting", function* (k) {
      // More blocks than any page cache holds, in both forms and on both channels.
      for (let i = 0; i < 6 * 510 + 1; i++) yield* queue2(k, yield* newObject(k));
      for (let i = 0; i < 600; i++) yield* kvfree_rcu(k, yield* vmalloc(k, 64));
    });
    assertEquals(ending, "completed");
    assertEquals(titles(k), B13 ? ["[ BUG: Invalid wait context ]"] : []);
  });
}

for (const level of ["v5.9", "v5.11", "v6.1", "v6.1.192", "v6.5", "v6.12"] as const) {
  const told = level === "v6.12"; // the first level with kmemleak_ignore()
  Deno.test(`B29 an object that only a block points at ${told ? "is no" : "is a"} leak to kmemleak [level=${level}]`, () => {
    const k = bootTree({ level, kmemleak: true });
    let shown: string[] = [];
    let object = 0 as VirtAddr;
    const { ending } = runToEnd(k, "kmemleak", function* (k) {
      yield* queue2(k, yield* newObject(k)); // a page for the cache
      yield* sleepJiffies(k, 2000);
      // A reader keeps the grace period from ending.
      yield* startOn(k, 1, (k) => reader(k, 16));
      yield* startOn(k, 0, function* (k) {
        object = yield* newObject(k);
        yield* (levelAtLeast(level, "v6.5") ? kvfree_rcu_mightsleep : kvfree_rcu)(k, object);
      });
      yield* sleepJiffies(k, 12 * k.config.HZ);
      for (let i = 0; i < 3; i++) yield* kmemleak_write(k, "scan");
      shown = kmemleak_seq_show(k).filter((line) => line.startsWith("unreferenced object"));
    });
    assertEquals(ending, "completed");
    const wanted = `unreferenced object 0x${object.toString(16)}`;
    assertEquals(shown.filter((line) => line.includes(object.toString(16))).length, told ? 0 : 1, wanted);
  });
}

function* reader(k: Kernel, seconds: number): MaySleep<void> {
  yield* rcu_read_lock(k);
  for (let i = 0; i < seconds; i++) yield* udelay(k, 1_000_000);
  yield* rcu_read_unlock(k);
}

for (const level of levels("v5.9", "v6.1.192")) {
  Deno.test(`T18 the second call for an object is reported and does nothing more [level=${level}]`, () => {
    const k = bootTree({ level, debugObjects: true });
    const since = k.seq;
    const { ending } = runToEnd(k, "double", function* (k) {
      const p = yield* newObject(k);
      yield* kvfree_rcu(k, p);
      yield* kvfree_rcu(k, p);
      yield* queue2(k, p);
      yield* kvfree_rcu(k, yield* newObject(k));
    });
    assertEquals(ending, "completed");
    const warned = k.reports.filter((r) =>
      r.lines.some((line) => line.includes("Double-freed call. rcu_head"))
    );
    assertEquals(warned.length, 1, "once, though the third call was one too");
    const { live, pending, leaked } = memoryVerdict(k, since);
    assertEquals([live, pending, leaked], [[], [], []], "freed once");
  });
}
