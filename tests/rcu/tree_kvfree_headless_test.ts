// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of rcu/levels/tree/4of7.ts where there is no block: headless objects with and without a wrapper, and what debug
 * objects make of it; at every later level that still behaves so. T numbers are the checkable behaviours of kvfree_rcu()
 * in the series, patch 4/7.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { Ptr, VirtAddr } from "../../kernel/machine/brand.ts";
import type { Fields } from "../../kernel/machine/struct.ts";
import { clearFailRules, listFailRules } from "../../kernel/fault_inject.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { local_irq_restore, local_irq_save } from "../../kernel/preempt.ts";
import { traceEvents } from "../../kernel/trace/table.ts";
import { EINVAL } from "../../kernel/errno.ts";
import { debug_rcu_head_queue } from "../../rcu/rcu.ts";
import {
  __GFP_NOWARN,
  addFailRule,
  array,
  embed,
  gfp,
  GFP_ATOMIC,
  GFP_KERNEL,
  GFP_NOWAIT,
  kmalloc,
  kvfree_rcu,
  type Layout,
  NULL,
  preempt_disable,
  preempt_enable,
  rcu_head,
  rcu_read_lock,
  rcu_read_unlock,
  struct,
  u8,
  udelay,
  vmalloc,
} from "../../mod.ts";
import { arg, bootForTiny, eventsOf, executionsOf, runCleanly } from "../machines.ts";
import {
  bulkEvents,
  callbackEvents,
  drain,
  failPages,
  failWrappers,
  isLive,
  krc0,
  kvfreeMachine,
  lengths,
  newObject,
  newObjects,
  queue2,
  script,
  sleepJiffies,
  startOn,
} from "./kvfree_machine.ts";
import { levels, pagesAtHand, queue1 } from "./levels/levels.ts";

for (const level of levels("4/7")) {
  Deno.test(`T52 T53 a headless object with a page at hand is a record like any other [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    let since = 0;
    script(m, function* (k) {
      yield* pagesAtHand(m);
      since = m.k.seq;
      const p = yield* newObject(k);
      const area = yield* vmalloc(k, 64);
      const wrappers = addFailRule(k, { what: "slab", site: "attach_rcu_head_to_object", nth: 1000 });
      yield* queue1(k, p);
      yield* queue1(k, area);
      assertEquals([lengths(krc0(k).slab), lengths(krc0(k).vmalloc), krc0(k).list], [[1], [1], []]);
      assertEquals(listFailRules(k).find((r) => r.id === wrappers)?.matches, 0, "no wrapper");
      yield* drain(m);
      assertEquals([isLive(k, p), isLive(k, area)], [false, false]);
    });
    assertEquals(bulkEvents(m.k, since).map((r) => arg(r, "nr_records")), [1]);
  });
}

for (const level of levels("4/7", "7/7")) {
  Deno.test(`T54 the wrapper is 24 bytes: GFP_NOWAIT first, GFP_ATOMIC only if that fails, both with NOWARN [level=${level}]`, () => {
    const nowait = gfp(GFP_NOWAIT, __GFP_NOWARN);
    const atomic = gfp(GFP_ATOMIC, __GFP_NOWARN);
    for (const firstFails of [false, true]) {
      const m = kvfreeMachine({ level });
      script(m, function* (k) {
        const p = yield* newObject(k);
        failPages(k);
        const rule = {
          what: "slab",
          site: "attach_rcu_head_to_object",
          cache: "kmalloc-32",
          gfpMask: -1,
        } as const;
        const a = addFailRule(k, { ...rule, gfp: nowait, ...(firstFails ? { times: -1 } : { nth: 1000 }) });
        const b = addFailRule(k, { ...rule, gfp: atomic, nth: 1000 });
        const any = addFailRule(k, { what: "slab", site: "attach_rcu_head_to_object", nth: 1000 });
        yield* queue1(k, p);
        const matches = [a, b, any].map((id) => listFailRules(k).find((r) => r.id === id)?.matches);
        assertEquals(matches, firstFails ? [1, 1, 2] : [1, 0, 1]);
        assertEquals(krc0(k).list.length, 1);
        clearFailRules(k);
        yield* drain(m);
      });
    }
  });
}

for (const level of levels("4/7", "7/7")) {
  Deno.test(`T55 T56 a wrapper stores 9, is traced as 8, and the object is freed before it [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    const { k } = m;
    let since = 0;
    let [p, wrapper] = [NULL as VirtAddr, NULL as VirtAddr];
    script(m, function* (k) {
      p = yield* newObject(k);
      failPages(k);
      yield* queue1(k, p);
      const [head] = krc0(k).list;
      wrapper = (head - 8) as VirtAddr;
      assertEquals(rcu_head.f.func.get(k, head) as number, 9, "T55");
      assertEquals(k.ram.loadPtr(wrapper), p, "word 0 leads back to the object");
      assertEquals([...k.kvfree.pendingAddresses(k)], [p]);
      assert([...k.kvfree.ownAddresses(k)].includes(wrapper));
      since = k.seq;
      yield* drain(m);
    });
    assertEquals(callbackEvents(k).map((r) => [arg(r, "rhp") - wrapper, arg(r, "offset")]), [[8, 8]], "T55");
    const freed = eventsOf(k, "kfree", since).map((r) => arg(r, "ptr")).filter((a) =>
      a === p || a === wrapper
    );
    assertEquals(freed, [p, wrapper], "T56");
  });
}

const headFirst = struct("head_first", { rcu: embed(rcu_head), data: array(u8, 48) });
const headSecond = struct("head_second", { data: array(u8, 8), rcu: embed(rcu_head) });
const headFar = struct("head_far", { data: array(u8, 4088), rcu: embed(rcu_head) });

for (const level of levels("4/7", "7/7")) {
  Deno.test(`T57 T58 a mixed list decodes: heads at 0, 8 and 4088, wrapped and vmalloc objects, each freed once [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    const { k } = m;
    const objects: VirtAddr[] = [];
    script(m, function* (k) {
      failPages(k);
      for (const layout of [headFirst, headSecond, headFar] as readonly Layout<Fields>[]) {
        const p = yield* kmalloc(k, layout.size, GFP_KERNEL);
        yield* kvfree_rcu(k, p as Ptr<typeof layout>, layout, "rcu");
        objects.push(p);
      }
      objects.push(yield* newObject(k), yield* vmalloc(k, 64), yield* vmalloc(k, 64));
      yield* queue1(k, objects[3]);
      yield* queue1(k, objects[4]);
      yield* queue2(k, objects[5]);
      assertEquals(krc0(k).list.length, 6);
      assertEquals([...k.kvfree.pendingAddresses(k)].toReversed(), objects);
      clearFailRules(k);
      yield* sleepJiffies(k, 8);
      yield* m.rcu.pass(k);
      yield* sleepJiffies(k, 2);
    });
    assertEquals(callbackEvents(k).map((r) => arg(r, "offset")), [48, 8, 8, 4088, 8, 0], "last queued first");
    assertEquals(objects.filter((p) => isLive(k, p)), []);
  });
}

/** Fails everything that kvfree_rcu() could allocate. */
function failAll(k: Kernel): void {
  failPages(k);
  failWrappers(k);
}

for (const level of levels("4/7", "7/7")) {
  Deno.test(`T59 without page and wrapper a headless object is freed by the caller after a grace period [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const p = yield* newObject(k);
      failAll(k);
      let returned = false;
      yield* startOn(k, 1, function* (k) {
        yield* sleepJiffies(k, 3);
        assertEquals([returned, isLive(k, p)], [false, true], "the caller waits");
        assertEquals([krc0(k).count, krc0(k).list.length, krc0(k).monitorPending], [0, 0, false]);
        yield* m.rcu.pass(k);
      });
      yield* queue1(k, p);
      returned = true;
      assertEquals(isLive(k, p), false);
      assertEquals([m.rcu.synchronized, m.rcu.callRcus], [1, 0]);
    });
    assertEquals(executionsOf(m.k, "kfree_rcu_monitor").length, 0);
  });
}

for (const level of levels("4/7", "7/7")) {
  Deno.test(`T60 the inline free of T59 waits for a reader that was there before [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const p = yield* newObject(k);
      failAll(k);
      const order: string[] = [];
      yield* startOn(k, 1, function* (k) {
        yield* rcu_read_lock(k);
        yield* udelay(k, 5 * 4000);
        order.push(`reader ends, object ${isLive(k, p) ? "live" : "freed"}`);
        yield* rcu_read_unlock(k);
        yield* m.rcu.pass(k);
      });
      yield* queue1(k, p);
      order.push("returned");
      assertEquals(order, ["reader ends, object live", "returned"]);
    });
  });
}

for (const how of ["interrupts", "preemption"]) {
  for (const level of levels("4/7")) {
    Deno.test(`T62 the one-argument form with ${how} off is reported once, before they are disabled, and queued [level=${level}]`, () => {
      const m = kvfreeMachine({ level });
      script(m, function* (k) {
        yield* pagesAtHand(m);
        const p = yield* newObject(k);
        const flags = how === "interrupts" ? local_irq_save(k) : undefined;
        if (flags === undefined) preempt_disable(k);
        yield* queue1(k, p);
        if (flags === undefined) preempt_enable(k);
        else local_irq_restore(k, flags);
        assertEquals(lengths(krc0(k).slab), [1]);
        yield* drain(m);
      }, 1);
      const [report] = m.k.reports;
      assertStringIncludes(report.title, "BUG: sleeping function called from invalid context");
      const expected = how === "interrupts"
        ? "in_atomic(): 0, irqs_disabled(): 1"
        : "in_atomic(): 1, irqs_disabled(): 0";
      assertStringIncludes(report.lines[1], expected);
    });
  }
}

for (const level of levels("4/7")) {
  Deno.test(`T63 a second kvfree_rcu() of a queued object warns once with a NULL rcu_head, and frees once [level=${level}]`, () => {
    const m = kvfreeMachine({ level, debugObjects: true });
    script(m, function* (k) {
      yield* pagesAtHand(m);
      const before = m.rcu.synchronized;
      const p = yield* newObject(k);
      for (let i = 0; i < 3; i++) {
        yield* queue1(k, p);
      }
      assertEquals([lengths(krc0(k).slab), krc0(k).count, m.rcu.synchronized - before], [[1], 1, 0]);
      yield* drain(m);
      assertEquals(isLive(k, p), false);
    }, 5); // each time a wrong activation and a wrong state, and one warning
    const warnings = m.k.reports.filter((r) => r.title.startsWith("WARNING"));
    assertEquals(warnings.length, 1);
    const text = "kvfree_call_rcu(): Double-freed call. rcu_head 0000000000000000";
    assertStringIncludes(warnings[0].lines[1], text);
  });
}

for (const level of levels("4/7", "7/7")) {
  Deno.test(`T65 B5 a wrapped object stays 'queued' for debug objects after it was freed, a record does not [level=${level}]`, () => {
    const m = kvfreeMachine({ level, debugObjects: true });
    script(m, function* (k) {
      const [wrapped, recorded] = [yield* vmalloc(k, 64), yield* newObject(k)];
      yield* queue1(k, recorded);
      failPages(k);
      yield* queue1(k, wrapped);
      clearFailRules(k);
      yield* drain(m);
      assertEquals([isLive(k, wrapped), isLive(k, recorded)], [false, false]);
      assertEquals([debug_rcu_head_queue(k, recorded), debug_rcu_head_queue(k, wrapped)], [0, -EINVAL]);
    }, 5);
    const wrong = " (active state 1) object type: rcu_head hint: 0x0";
    const unknown = " not available (active state 0) object type: rcu_head hint: 0x0";
    assertEquals(m.k.reports.map((r) => r.title), [
      `ODEBUG: active_state${unknown}`, // the wrapper was never queued
      `ODEBUG: deactivate${unknown}`,
      `ODEBUG: free active${wrong}`, // and the object was
      `ODEBUG: activate active${wrong}`,
      `ODEBUG: active_state active${wrong}`,
    ]);
  });
}

for (const level of levels("4/7", "7/7")) {
  Deno.test(`T54 T66 B3 the wrapper is 24 bytes, allocated with the lock held and interrupts off [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    const { k } = m;
    const kmallocId = traceEvents.find((e) => e.name === "kmalloc")?.id;
    const seen: [number, boolean, boolean][] = [];
    script(m, function* (k) {
      const p = yield* newObject(k);
      failPages(k);
      const emit = k.emit.bind(k);
      k.emit = (kind, ...args) => {
        if (kind === kmallocId) seen.push([args[1] ?? 0, krc0(k).locked, k.cpu.irqsOn]);
        emit(kind, ...args);
      };
      yield* queue1(k, p);
      k.emit = emit;
      yield* drain(m);
    });
    assertEquals(seen, [[24, true, false]]);
    assertEquals(krc0(k).locked, false);
  });
}

for (const level of levels("4/7", "7/7")) {
  Deno.test(`T67 an object at an odd address is taken for a wrapper (base half) [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    const { k } = m;
    let q = NULL as VirtAddr;
    script(m, function* (k) {
      q = yield* newObject(k);
      failPages(k);
      // What an allocator that gives out odd addresses would return: q + 1, with a head at byte 7.
      yield* k.kvfree.kvfree_call_rcu(k, (q + 8) as VirtAddr, 7);
      // The misread wrapper is q + 2; its word 0 is where the emulated machine reads an unaligned word: q.
      k.ram.storePtr(q, NULL);
      yield* drain(m);
    }, 1);
    assertEquals(
      callbackEvents(k).map((r) => [arg(r, "rhp") - q, arg(r, "offset")]),
      [[8, 6]],
      "7 less the tag",
    );
    assertStringIncludes(k.reports[0].title, "invalid-free");
  });
}

for (const level of levels("base", "3/7")) {
  Deno.test(`T67 before wrappers an object at an odd address is read as what it is [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    const { k } = m;
    let q = NULL as VirtAddr;
    script(m, function* (k) {
      q = yield* newObject(k);
      failPages(k);
      yield* k.kvfree.kvfree_call_rcu(k, (q + 8) as VirtAddr, 7);
      yield* drain(m);
    }, 1); // no allocator of ours gives out q + 1
    assertEquals(callbackEvents(k).map((r) => [arg(r, "rhp") - q, arg(r, "offset")]), [[8, 7]]);
    assertStringIncludes(k.reports[0].title, "invalid-free");
  });
}

Deno.test("T80 B6 in tiny, the one-argument fallback leaves the object queued; a head at offset 0 is a false double", () => {
  const k = bootForTiny({ debugObjects: true });
  runCleanly(k, function* (k) {
    const [p, q] = yield* newObjects(k, 2);
    failPages(k);
    yield* queue1(k, p);
    assertEquals([isLive(k, p), debug_rcu_head_queue(k, p)], [false, -EINVAL]);
    yield* kvfree_rcu(k, q as Ptr<typeof headFirst>, headFirst, "rcu");
  }, 5);
  assertEquals(k.reports.map((r) => r.title.split(" (")[0]), [
    "ODEBUG: free active",
    "ODEBUG: activate active",
    "ODEBUG: active_state active",
    "ODEBUG: activate active",
    "ODEBUG: active_state active",
  ]);
});
