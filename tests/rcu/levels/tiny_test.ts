// SPDX-License-Identifier: GPL-2.0-only
/**
 * kvfree_rcu() of tiny RCU at every level: call_rcu() up to 5/7, blocks at 6/7 and 7/7 (tests/rcu/tiny_test.ts has those in
 * depth), and from v5.9 on call_rcu() with a head, waiting without. T numbers are the checkable behaviours of kvfree_rcu().
 *
 * What a real 6.1 kernel with tiny RCU was recorded to do: with a head N single frees in the order of the calls, in one
 * round of the softirq; without, everything freed inside the call, and no event.
 */
import { assertEquals, assertThrows } from "@std/assert";
import type { Ptr, VirtAddr } from "../../../kernel/machine/brand.ts";
import type { MaySleep } from "../../../kernel/machine/effects.ts";
import { tinyBatching } from "../../../rcu/kvfree.ts";
import {
  array,
  boot,
  embed,
  GFP_KERNEL,
  type Kernel,
  kfree_rcu,
  kmalloc,
  kvfree_rcu,
  kvfree_rcu_barrier,
  kvfree_rcu_mightsleep,
  type Level,
  levelAtLeast,
  LEVELS,
  preempt_disable,
  preempt_enable,
  rcu_barrier,
  rcu_head,
  rcu_read_lock,
  rcu_read_unlock,
  runToEnd,
  struct,
  u8,
  vmalloc,
} from "../../../mod.ts";
import { isLive } from "../kvfree_machine.ts";
import { arg, eventsOf, executionsOf, runCleanly } from "../../machines.ts";

const object = struct("object", { data: array(u8, 48), rcu: embed(rcu_head) });
type Object = Ptr<typeof object>;
const BATCHING: readonly Level[] = ["6/7", "7/7"];
const BEFORE: readonly Level[] = LEVELS.slice(0, LEVELS.indexOf("6/7"));
const AFTER: readonly Level[] = LEVELS.slice(LEVELS.indexOf("v5.9"));

function tinyAt(level: Level): Kernel {
  return boot({ rcu: "tiny", level, memBytes: 32 * 2 ** 20 });
}

function* objects(k: Kernel, n: number): MaySleep<Object[]> {
  const made: Object[] = [];
  for (let i = 0; i < n; i++) {
    const p = i % 3 === 2 ? yield* vmalloc(k, object.size) : yield* kmalloc(k, object.size, GFP_KERNEL);
    made.push(p as Object);
  }
  return made;
}

/** The headless form under the name of the level. */
function headless(k: Kernel, p: VirtAddr): MaySleep<void> {
  return levelAtLeast(k.config.level, "v6.5") ? kvfree_rcu_mightsleep(k, p) : kvfree_rcu(k, p);
}

for (const level of [...BEFORE, ...AFTER]) {
  Deno.test(`T69 T88 T81 with a head kvfree_rcu() is call_rcu(): first in, first out, no page, no timer [level=${level}]`, () => {
    const k = tinyAt(level);
    let made: Object[] = [];
    runCleanly(k, function* (k) {
      made = yield* objects(k, 30);
      const pages = eventsOf(k, "mm_page_alloc").length;
      for (const p of made) yield* kfree_rcu(k, p, object, "rcu");
      assertEquals(eventsOf(k, "mm_page_alloc").length, pages);
      assertEquals(eventsOf(k, "rcu_invoke_kvfree_callback").length, 0);
      yield* rcu_barrier(k);
      assertEquals(eventsOf(k, "rcu_invoke_kvfree_callback").length, made.length);
    });
    const freed = eventsOf(k, "rcu_invoke_kvfree_callback");
    assertEquals(freed.map((r) => arg(r, "rhp") - arg(r, "offset")), made as number[]);
    assertEquals(freed.map((r) => arg(r, "offset")), made.map(() => 48));
    assertEquals(freed.map((r) => k.log.text(arg(r, "rcuname"))), made.map(() => ""));
    assertEquals(executionsOf(k, "kvfree_rcu_monitor").length, 0);
    assertEquals(tinyBatching(k), null);
  });
}

for (const level of BEFORE) {
  Deno.test(`kvfree_call_rcu() without a head is refused in one line [level=${level}]`, () => {
    const k = tinyAt(level);
    const error = assertThrows(
      () => k.kvfree.kvfree_call_rcu(k, null, 0x8880_0010_0000 as VirtAddr),
      TypeError,
    );
    assertEquals(
      error.message,
      `kvfree_call_rcu(NULL, ptr) is not there at level ${level}: it is there from 6/7 on with tiny RCU`,
    );
  });
}

for (const level of BATCHING) {
  Deno.test(`T70 slab and vmalloc pointers share blocks, headless or not [level=${level}]`, () => {
    const k = tinyAt(level);
    runCleanly(k, function* (k) {
      for (const p of yield* objects(k, 6)) yield* k.kvfree.kvfree_call_rcu(k, null, p);
      for (const p of yield* objects(k, 6)) yield* kfree_rcu(k, p, object, "rcu");
      assertEquals(tinyBatching(k)?.collecting.map((b) => b.nr_records), [12]);
    });
    assertEquals(eventsOf(k, "rcu_invoke_kvfree_callback").length, 0);
  });
}

for (const level of AFTER) {
  Deno.test(`T89 without a head it is freed when the call returns: no page, no event [level=${level}]`, () => {
    const k = tinyAt(level);
    runCleanly(k, function* (k) {
      for (const p of yield* objects(k, 12)) {
        const pages = eventsOf(k, "mm_page_alloc").length;
        yield* headless(k, p);
        assertEquals([isLive(k, p), eventsOf(k, "mm_page_alloc").length], [false, pages]);
      }
    });
    assertEquals(eventsOf(k, "rcu_invoke_kvfree_callback").length, 0);
  });

  Deno.test(`T76 T82 T89 without a head and where one may not sleep: reported [level=${level}]`, () => {
    const k = tinyAt(level);
    const verdict = runToEnd(k, "atomic", function* (k) {
      const [a, b] = [yield* kmalloc(k, 64, GFP_KERNEL), yield* kmalloc(k, 64, GFP_KERNEL)];
      preempt_disable(k);
      yield* headless(k, a);
      preempt_enable(k);
      yield* rcu_read_lock(k);
      yield* headless(k, b);
      yield* rcu_read_unlock(k);
    });
    const titles = k.reports.map(({ lines }) => lines.join("\n"));
    assertEquals(verdict.ending, "completed");
    assertEquals(
      titles.some((t) => t.includes("sleeping function called from invalid context")),
      true,
      titles.join(),
    );
    assertEquals(titles.some((t) => t.includes("Illegal synchronize_rcu()")), true, titles.join());
  });
}

Deno.test("T90 kvfree_rcu_barrier() of v6.12 is rcu_barrier(): what was given before is freed when it returns", () => {
  const k = tinyAt("v6.12");
  runCleanly(k, function* (k) {
    const made = yield* objects(k, 9);
    for (const p of made) yield* kfree_rcu(k, p, object, "rcu");
    yield* kvfree_rcu_barrier(k);
    assertEquals(eventsOf(k, "rcu_invoke_kvfree_callback").length, made.length);
  });
});
