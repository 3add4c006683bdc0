// SPDX-License-Identifier: GPL-2.0-only
/**
 * kvfree_rcu() of tree RCU as the base of the series has it, at every level that still behaves so: blocks, batches and
 * their timer. T numbers are the checkable behaviours of kvfree_rcu(): 64-bit, 4 KiB pages. "J0 + D" is the expiry for
 * which the timer is armed; the wheel runs it one jiffy later. Grace periods are the test's own.
 */
import { assert, assertEquals } from "@std/assert";
import { PAGE_OFFSET, PAGE_SIZE } from "../../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../../kernel/machine/brand.ts";
import { slabObjectAt } from "../../../mm/slab_live.ts";
import { contentObjects } from "../../../rcu/krc_look.ts";
import { jiffies, type Kernel, levelAtLeast } from "../../../mod.ts";
import { arg, eventsOf } from "../../machines.ts";
import {
  bulkEvents,
  drain,
  isLive,
  krc0,
  kvfreeMachine,
  lengths,
  monitorIsOver,
  monitorJiffies,
  newObject,
  newObjects,
  queue2,
  script,
  sleepJiffies,
} from "../kvfree_machine.ts";
import { levels, pagesAtHand, shapeOf } from "./levels.ts";

/** Records in a block: 509 in the base; (4096 - header) / 8 after it, with a header of 16, 32 or 40 bytes. */
function capacityOf(k: Kernel): number {
  const { level } = k.config;
  if (level === "base") return 509;
  if (levelAtLeast(level, "v6.5")) return 507;
  return levelAtLeast(level, "v6.3-rc1") ? 508 : 510;
}

/** How many of these slab objects were not freed. */
function living(k: Kernel, objects: readonly VirtAddr[]): number {
  return objects.filter((p) => slabObjectAt(k, p)?.live === true).length;
}

/** Page frame of an address of the direct map. */
function pfn(addr: VirtAddr): number {
  return Math.floor((addr - PAGE_OFFSET) / PAGE_SIZE);
}

/** Pages that were asked for after event `since`. */
function pages(k: Kernel, since: number): number {
  return eventsOf(k, "mm_page_alloc", since).length;
}

for (const level of levels("base", "v5.14")) {
  Deno.test(`T1 D is 2, 5, 6 and 20 jiffies, and 0 where HZ is below 50 (B32) [level=${level}]`, () => {
    const delays = [48, 100, 250, 300, 1000].map((HZ) => {
      const { k } = kvfreeMachine({ level, HZ, cpus: 1 });
      return shapeOf(k).drainJiffies(k);
    });
    assertEquals(delays, [0, 2, 5, 6, 20]);
  });

  Deno.test(`T1 B32 with HZ 48 every first object starts a batch of its own [level=${level}]`, () => {
    const m = kvfreeMachine({ level, HZ: 48, cpus: 1 });
    script(m, function* (k) {
      yield* pagesAtHand(m);
      const before = m.rcu.callRcus;
      for (const p of yield* newObjects(k, 2)) {
        yield* queue2(k, p);
        yield* sleepJiffies(k, 1);
      }
      assertEquals(m.rcu.callRcus - before, 2);
      yield* m.rcu.pass(k);
      yield* sleepJiffies(k, 2);
    });
  });

  Deno.test(`T5 T6 T7 the first object arms the timer for J0 + D, which makes one batch of all [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* pagesAtHand(m);
      const [a, b, c] = yield* newObjects(k, 3);
      const before = m.rcu.callRcus;
      yield* sleepJiffies(k, 1);
      const [j0, from] = [jiffies(k), k.now()];
      yield* queue2(k, a);
      assertEquals([krc0(k).monitorPending, krc0(k).monitorExpires - j0], [true, 5], "T5");
      for (const p of [b, c]) {
        yield* sleepJiffies(k, 1);
        yield* queue2(k, p);
        assertEquals(krc0(k).monitorExpires - j0, 5, "T5: armed once");
      }
      assertEquals([krc0(k).count, krc0(k).monitor_todo, m.rcu.callRcus - before], [3, true, 0]);
      const chain = krc0(k).slab;
      yield* sleepJiffies(k, 4);
      const state = krc0(k);
      assertEquals([state.slab, state.batches[0].slab], [[], chain], "T7: the chain moved");
      assertEquals([state.count, state.monitor_todo, m.rcu.callRcus - before], [0, false, 1], "T7");
      assertEquals([lengths(chain), monitorJiffies(k, from).length], [[3], 1], "T6: one batch");
      yield* m.rcu.pass(k);
      yield* sleepJiffies(k, 2);
      assertEquals([a, b, c].map((p) => isLive(k, p)), [false, false, false], "T6: one grace period");
    });
  });
}

for (const level of levels("base")) {
  Deno.test(`T2 T33 T34 T108 a block is a page and holds what its header leaves room for [level=${level}]`, () => {
    const { k } = kvfreeMachine({ level, cpus: 1 });
    const { capacity, records } = shapeOf(k);
    assertEquals(capacity, capacityOf(k));
    // In the base one word stands before the records and one behind them, and one of the page is lost: 4088 bytes.
    const header = level === "base" ? 8 : level === "v6.3-rc1" || level === "v6.3" ? 32 : 16;
    assertEquals(records, levelAtLeast(level, "v6.5") ? 40 : header);
    assertEquals(records + 8 * capacity + (level === "base" ? 8 : 0), level === "base" ? 4088 : 4096);
  });

  Deno.test(`T10 1000 slab objects are two blocks, the youngest freed first [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* pagesAtHand(m);
      const objects = yield* newObjects(k, 1000);
      const since = k.seq;
      for (const p of objects) yield* queue2(k, p);
      yield* drain(m);
      const full = capacityOf(k);
      assertEquals(bulkEvents(k, since).map((r) => arg(r, "nr_records")), [1000 - full, full]);
      assertEquals(living(k, objects), 0);
    });
  });

  Deno.test(`T9 a batch of n objects that fit in a block is one bulk event and n frees [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* pagesAtHand(m);
      for (const n of [1, 10, capacityOf(k)]) {
        const objects = yield* newObjects(k, n);
        const since = k.seq;
        for (const p of objects) yield* queue2(k, p);
        yield* drain(m);
        assertEquals(bulkEvents(k, since).map((r) => arg(r, "nr_records")), [n]);
        assertEquals(living(k, objects), 0);
      }
    });
  });

  Deno.test(`T8 nothing is freed before the grace period that begins after J0 + D has ended [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* pagesAtHand(m);
      const p = yield* newObject(k);
      yield* queue2(k, p);
      m.rcu.begin(); // too early for p
      yield* sleepJiffies(k, monitorIsOver(k));
      yield* m.rcu.end(k);
      yield* sleepJiffies(k, 2);
      assertEquals(isLive(k, p), true, "the grace period had begun before");
      m.rcu.begin();
      yield* sleepJiffies(k, 20 * k.config.HZ);
      assertEquals(isLive(k, p), true, "however long readers last");
      yield* m.rcu.end(k);
      yield* sleepJiffies(k, 2);
      assertEquals(isLive(k, p), false);
    });
  });

  Deno.test(`T15 records stand in a block in the order of their calls [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* pagesAtHand(m);
      const objects = yield* newObjects(k, 7);
      for (const p of objects) yield* queue2(k, p);
      assertEquals(contentObjects(k, shapeOf(k), krc0(k)), objects);
      yield* drain(m);
    });
  });
}

// Where the caller takes the pages of its blocks, and one page is kept.
for (const level of levels("base", "7/7")) {
  Deno.test(`T3 T4 T11 a page per block and none else; one is kept for the next batch [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const full = level === "base" ? 509 : 510;
      const objects = yield* newObjects(k, 2 * full + 1);
      const taking: number[] = [];
      for (const [i, p] of objects.entries()) {
        const since = k.seq;
        yield* queue2(k, p);
        for (let n = pages(k, since); n > 0; n--) taking.push(i + 1);
      }
      assertEquals(taking, [1, full + 1, 2 * full + 1], "T3 T4: one page more every so many calls");
      const blocks = krc0(k).slab.map((b) => b.addr);
      const [last] = yield* newObjects(k, 1);
      const since = k.seq;
      yield* drain(m);
      const freed = eventsOf(k, "mm_page_free", since).map((r) => arg(r, "pfn"));
      assertEquals(blocks.map((addr) => freed.includes(pfn(addr))), [false, true, true], "T11");
      assertEquals(krc0(k).spares[0], blocks[0], "T11: the youngest block's page is kept");
      const later = k.seq;
      yield* queue2(k, last);
      assertEquals([pages(k, later), krc0(k).slab[0].addr], [0, blocks[0]], "T11");
      yield* drain(m);
    });
  });
}

Deno.test("T33 the base loses a record to each page [level=base,1/7]", () => {
  const [before, after] = (["base", "1/7"] as const).map((level) => {
    const { k } = kvfreeMachine({ level, cpus: 1 });
    return shapeOf(k).capacity;
  });
  assert(before === 509 && after === 510);
});
