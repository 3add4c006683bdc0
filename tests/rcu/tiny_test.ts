// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of rcu/tiny.ts. T numbers are the checkable behaviours of kvfree_rcu() in the series, patch 6/7 for tiny:
 * 64-bit, 4 KiB pages, a drain of HZ / 50 jiffies.
 */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { type Atomic, doneVoid, type MaySleep } from "../../kernel/machine/effects.ts";
import { VECTOR_DEVICE } from "../../kernel/machine/cpu.ts";
import type { Fields } from "../../kernel/machine/struct.ts";
import { checkConfig } from "../../kernel/config.ts";
import { deviceHandler } from "../../kernel/entry.ts";
import { addFailRule } from "../../kernel/fault_inject.ts";
import { GFP_ATOMIC, GFP_KERNEL } from "../../kernel/gfp.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { current } from "../../kernel/sched/core.ts";
import { schedule_timeout_uninterruptible } from "../../kernel/time/timer.ts";
import { INIT_WORK, schedule_work, work_struct } from "../../kernel/workqueue.ts";
import { bootKernel } from "../../init/main.ts";
import { scheduleOf } from "../../explore/token.ts";
import { slabObjectAt } from "../../mm/slab_live.ts";
import { KVFREE_BULK_MAX_ENTR } from "../../rcu/kvfree_bulk.ts";
import { tinyBatching } from "../../rcu/kvfree.ts";
import type { TinyBatching } from "../../rcu/levels/level.ts";
import { tinyCallbacks } from "../../rcu/tiny.ts";
import { cond_synchronize_rcu, get_state_synchronize_rcu } from "../../rcu/rcupdate.ts";
import * as tiny from "../../rcu/tiny.ts";
import {
  array,
  call_rcu,
  embed,
  kfree_rcu,
  kmalloc,
  kvfree_rcu,
  type Layout,
  NULL,
  preempt_disable,
  preempt_enable,
  rcu_barrier,
  rcu_head,
  rcu_read_lock,
  rcu_read_unlock,
  struct,
  synchronize_rcu,
  u8,
  udelay,
  user_mode,
  vmalloc,
} from "../../mod.ts";
import { arg, bootForTiny, eventsOf, executionsOf, jiffyNs, runCleanly } from "../machines.ts";

const object = struct("object", { data: array(u8, 48), rcu: embed(rcu_head) });

const headFirst = struct("head_first", { rcu: embed(rcu_head), data: array(u8, 48) });
const headFar = struct("head_far", { data: array(u8, 4088), rcu: embed(rcu_head) });
const headTooFar = struct("head_too_far", { data: array(u8, 4096), rcu: embed(rcu_head) });

function batching(k: Kernel): TinyBatching {
  const found = tinyBatching(k);
  assert(found !== null);
  return found;
}

function* newObject(k: Kernel): MaySleep<VirtAddr> {
  return yield* kmalloc(k, object.size, GFP_KERNEL);
}

function isLive(k: Kernel, addr: VirtAddr): boolean {
  return slabObjectAt(k, addr)?.live === true;
}

function failPages(k: Kernel): void {
  addFailRule(k, { what: "page", site: "kvfree_call_rcu_add_ptr_to_bulk", times: -1 });
}

Deno.test("T69 kvfree_call_rcu() is exported and takes a head and an offset as before", () => {
  const k = bootForTiny();
  let p = NULL as VirtAddr;
  runCleanly(k, function* (k) {
    p = yield* newObject(k);
    yield* k.kvfree.kvfree_call_rcu(k, (p + object.offsetof("rcu")) as VirtAddr, object.offsetof("rcu"));
  });
  assertEquals(isLive(k, p), false);
});

Deno.test("T70 slab and vmalloc pointers share a block of 510; call 511 takes the second page", () => {
  assertEquals(KVFREE_BULK_MAX_ENTR, 510);
  const k = bootForTiny();
  const pages: number[] = [];
  runCleanly(k, function* (k) {
    for (let i = 1; i <= 511; i++) {
      const p = i % 100 === 0 ? yield* vmalloc(k, 4096) : yield* newObject(k);
      yield* kvfree_rcu(k, p);
      pages[i] = batching(k).collecting.length;
    }
    assertEquals(batching(k).collecting.map((b) => b.nr_records), [1, 510]);
  });
  assertEquals([pages[1], pages[2], pages[510], pages[511]], [1, 1, 1, 2]);
});

Deno.test("T71 one spare page is kept in total, and the next batch starts with it", () => {
  const k = bootForTiny();
  const taken: VirtAddr[] = [];
  runCleanly(k, function* (k) {
    for (let i = 0; i < 1100; i++) yield* kvfree_rcu(k, yield* newObject(k));
    taken.push(...batching(k).collecting.map((b) => b.addr));
  });
  assertEquals(taken.length, 3);
  const spare = batching(k).spare;
  assertEquals(spare, taken[0], "the youngest block is freed first and stays");
  runCleanly(k, function* (k) {
    const p = yield* newObject(k);
    failPages(k);
    yield* kvfree_rcu(k, p);
    assertEquals(batching(k).collecting.map((b) => b.addr), [spare]);
    assertEquals(batching(k).spare, NULL);
  });
});

for (const [HZ, D] of [[100, 2], [250, 5], [300, 6], [1000, 20]]) {
  Deno.test(`T72 the first call arms the monitor for J0 + ${D}, further ones arm nothing [HZ=${HZ}]`, () => {
    const k = bootForTiny({ HZ });
    assertEquals(batching(k).drainJiffies, D);
    let first = 0;
    runCleanly(k, function* (k) {
      const a = yield* newObject(k);
      first = k.now();
      yield* kvfree_rcu(k, a);
      yield* schedule_timeout_uninterruptible(k, 1);
      yield* kvfree_rcu(k, yield* newObject(k));
    });
    const runs = executionsOf(k, "kvfree_rcu_monitor");
    assertEquals(runs.length, 1);
    const jiffies = (runs[0].ns - first) / jiffyNs(k);
    assert(jiffies > D && jiffies <= D + 1.1, `armed for ${D}, the wheel adds up to one: ${jiffies}`);
    assertEquals(executionsOf(k, "kvfree_rcu_work").length, 1);
  });
}

Deno.test("T73 while the previous chain waits for its grace period, the monitor re-arms for D later", () => {
  const k = bootForTiny();
  const [first, second] = [new work_struct(), new work_struct()];
  const jiffy = 1e6 / k.config.HZ; // in us
  // One worker runs first, monitor, second, monitor without a context switch between them, so the chain of the first
  // monitor still waits when the second one comes.
  INIT_WORK(k, first, function* (k): MaySleep<void> {
    yield* udelay(k, 7 * jiffy);
    yield* schedule_work(k, second);
  });
  INIT_WORK(k, second, function* (k): MaySleep<void> {
    assertEquals(batching(k).waiting.length, 1);
    const p = yield* kmalloc(k, object.size, GFP_KERNEL);
    yield* kvfree_rcu(k, p, object, "rcu");
    yield* udelay(k, 7 * jiffy);
  });
  runCleanly(k, function* (k) {
    yield* kvfree_rcu(k, yield* newObject(k));
    yield* schedule_work(k, first);
  });
  const monitors = executionsOf(k, "kvfree_rcu_monitor");
  const works = executionsOf(k, "kvfree_rcu_work");
  assertEquals([monitors.length, works.length], [3, 2]);
  assert(
    monitors[1].seq < works[0].seq && works[0].seq < monitors[2].seq,
    "the second monitor found the chain waiting",
  );
  const rearmed = (monitors[2].ns - monitors[1].ns) / jiffyNs(k);
  assert(rearmed > 5 && rearmed <= 6.1, `re-armed for 5 jiffies: ${rearmed}`);
});

Deno.test("T74 without a page the two-argument form goes to call_rcu: freed in softirq, no timer armed", () => {
  const k = bootForTiny();
  const freed: VirtAddr[] = [];
  runCleanly(k, function* (k) {
    const p = yield* newObject(k);
    failPages(k);
    yield* kvfree_rcu(k, p, object, "rcu");
    assertEquals([...tinyCallbacks(k).callbacks] as number[], [p + object.offsetof("rcu")]);
    assertEquals([batching(k).monitor_todo, isLive(k, p)], [false, true]);
    freed.push(p);
  });
  assertEquals(isLive(k, freed[0]), false);
  const callbacks = eventsOf(k, "rcu_invoke_kvfree_callback");
  assertEquals(callbacks.map((r) => [k.log.text(arg(r, "rcuname")), arg(r, "offset")]), [["", 48]]);
  assertEquals(executionsOf(k, "kvfree_rcu_monitor").length, 0);
});

Deno.test("T75 without a page the one-argument form has freed the object when it returns, without waiting", () => {
  const k = bootForTiny();
  runCleanly(k, function* (k) {
    const p = yield* newObject(k);
    failPages(k);
    const before = { switches: current(k).nvcsw + current(k).nivcsw, live: isLive(k, p) };
    yield* kvfree_rcu(k, p);
    assertEquals([before.live, isLive(k, p)], [true, false]);
    assertEquals(current(k).nvcsw + current(k).nivcsw, before.switches);
  });
  assertEquals(executionsOf(k, "kvfree_rcu_monitor").length, 0);
});

Deno.test("T76 the one-argument form in atomic context is reported once, and the object is still queued", () => {
  const k = bootForTiny();
  runCleanly(k, function* (k) {
    const p = yield* newObject(k);
    preempt_disable(k);
    // The type says MaySleep; what the type cannot see is that preemption is off.
    yield* kvfree_rcu(k, p);
    preempt_enable(k);
    assertEquals(batching(k).collecting.map((b) => b.nr_records), [1]);
  }, 1);
  assertStringIncludes(k.reports[0].title, "BUG: sleeping function called from invalid context");
  assertStringIncludes(k.reports[0].lines[1], "in_atomic(): 1, irqs_disabled(): 0");
});

Deno.test("T77 block frees have no rcu_invoke events", () => {
  const k = bootForTiny();
  const since = k.seq;
  runCleanly(k, function* (k) {
    for (let i = 0; i < 20; i++) yield* kvfree_rcu(k, yield* newObject(k));
  });
  assertEquals(eventsOf(k, "rcu_invoke_kvfree_callback", since).length, 0);
  assertEquals(eventsOf(k, "rcu_invoke_kfree_bulk_callback", since).length, 0);
  assertEquals(executionsOf(k, "kvfree_rcu_work", since).length, 1);
});

Deno.test("T78 an object queued before rcu_init is done has no timer; a later call arms it for both", () => {
  const config = checkConfig({ rcu: "tiny" });
  let early = NULL as VirtAddr;
  const k = bootKernel(config, scheduleOf(config), function* (k): Atomic<void> {
    early = yield* kmalloc(k, object.size, GFP_ATOMIC);
    yield* kvfree_rcu(k, early, object, "rcu");
  });
  assertEquals([isLive(k, early), batching(k).monitor_todo], [true, false]);
  assertEquals(batching(k).collecting.map((b) => b.nr_records), [1]);
  runCleanly(k, function* (k) {
    yield* schedule_timeout_uninterruptible(k, 50);
    assertEquals(isLive(k, early), true);
    yield* kvfree_rcu(k, yield* newObject(k));
  });
  assertEquals(isLive(k, early), false);
  assertEquals(executionsOf(k, "kvfree_rcu_work").length, 1);
});

Deno.test("T79 no expedited drain: a failed page neither arms nor shortens the timer", () => {
  const k = bootForTiny();
  let first = 0;
  runCleanly(k, function* (k) {
    const [a, b] = [yield* newObject(k), yield* newObject(k)];
    first = k.now();
    yield* kvfree_rcu(k, a);
    for (let i = 1; i < 510; i++) yield* kvfree_rcu(k, yield* newObject(k));
    failPages(k);
    yield* kvfree_rcu(k, b, object, "rcu");
  });
  const jiffies = (executionsOf(k, "kvfree_rcu_monitor")[0].ns - first) / jiffyNs(k);
  assert(jiffies > 5 && jiffies <= 6.1, `${jiffies}`);
});

Deno.test("T81 kvfree chooses vfree or kfree for each pointer of a mixed block", () => {
  const k = bootForTiny();
  const since = k.seq;
  const areas: VirtAddr[] = [];
  runCleanly(k, function* (k) {
    for (let i = 0; i < 10; i++) {
      const p = i % 2 === 0 ? yield* newObject(k) : yield* vmalloc(k, 3 * 4096);
      if (i % 2 === 1) areas.push(p);
      yield* kvfree_rcu(k, p);
    }
    assertEquals(areas.map((a) => k.ram.translate(a) >= 0), [true, true, true, true, true]);
  });
  assertEquals(areas.map((a) => k.ram.translate(a)), [-1, -1, -1, -1, -1]);
  assertEquals(eventsOf(k, "vfree", since).length, 5);
});

Deno.test("T82 synchronize_rcu() inside a reader is reported", () => {
  const k = bootForTiny();
  runCleanly(k, function* (k) {
    yield* rcu_read_lock(k);
    yield* synchronize_rcu(k);
    yield* rcu_read_unlock(k);
  }, 1);
  assertEquals(
    k.reports[0].lines[5],
    "rcu/tiny.ts:synchronize_rcu Illegal synchronize_rcu() in RCU read-side critical section!",
  );
});

Deno.test("T83 kvfree_rcu(p) calls kvfree_call_rcu(NULL, p), kvfree_rcu(p, rhf) calls it with head and offset", () => {
  const k = bootForTiny();
  const calls: [number | null, number][] = [];
  k.kvfree = {
    ...k.kvfree,
    kvfree_call_rcu: (_k: Kernel, head: VirtAddr | null, func: number) => {
      calls.push([head, func]);
      return doneVoid();
    },
  };
  runCleanly(k, function* (k) {
    yield* kvfree_rcu(k, 0x8880_0001_0000 as VirtAddr);
    yield* kvfree_rcu(k, 0x8880_0001_0000 as VirtAddr, object, "rcu");
    yield* kfree_rcu(k, 0x8880_0001_0000 as VirtAddr, object, "rcu");
  });
  assertEquals(calls, [[null, 0x8880_0001_0000], [0x8880_0001_0030, 48], [0x8880_0001_0030, 48]]);
});

Deno.test("T84 a third argument is an error, to the compiler and at run time", () => {
  const k = bootForTiny();
  const p = 0x8880_0001_0000 as VirtAddr;
  // @ts-expect-error three arguments
  assertThrows(() => kvfree_rcu(k, p, object, "rcu", 1), TypeError);
  // @ts-expect-error a struct without its member
  assertThrows(() => kvfree_rcu(k, p, object), TypeError);
});

Deno.test("T85 the argument is evaluated exactly once", () => {
  const k = bootForTiny();
  let evaluations = 0;
  runCleanly(k, function* (k) {
    const p = yield* newObject(k);
    const next = (): VirtAddr => {
      evaluations++;
      return p;
    };
    yield* kvfree_rcu(k, next());
  });
  assertEquals(evaluations, 1);
});

Deno.test("T86 kvfree_rcu(NULL) does nothing, not even a might_sleep report", () => {
  const k = bootForTiny();
  runCleanly(k, function* (k) {
    preempt_disable(k);
    yield* kvfree_rcu(k, NULL);
    yield* kvfree_rcu(k, NULL, object, "rcu");
    preempt_enable(k);
    assertEquals(batching(k).collecting, []);
  });
});

Deno.test("T87 kfree_rcu with one argument is an error, to the compiler and at run time", () => {
  const k = bootForTiny();
  const p = 0x8880_0001_0000 as VirtAddr;
  // @ts-expect-error one argument
  assertThrows(() => kfree_rcu(k, p), TypeError);
});

Deno.test("T21 an rcu_head at offset 0, 48 or 4088 decodes; at 4096 it is refused", () => {
  const k = bootForTiny();
  runCleanly(k, function* (k) {
    failPages(k);
    for (const layout of [headFirst, object, headFar] as readonly Layout<Fields>[]) {
      const p = yield* kmalloc(k, layout.size, GFP_KERNEL);
      yield* kvfree_rcu(k, p, layout, "rcu");
      yield* rcu_barrier(k);
      assertEquals(isLive(k, p), false, layout.name);
    }
  });
  const p = 0x8880_0001_0000 as VirtAddr;
  assertThrows(() => kvfree_rcu(k, p, headTooFar, "rcu"), RangeError, "offset 4096");
});

Deno.test("call_rcu() callbacks run in order, in softirq, after the next context switch", () => {
  const k = bootForTiny();
  const order: string[] = [];
  runCleanly(k, function* (k) {
    const heads = [yield* kmalloc(k, 16, GFP_KERNEL), yield* kmalloc(k, 16, GFP_KERNEL)];
    function* callback(k: Kernel, head: VirtAddr): Atomic<void> {
      order.push(`cb${heads.indexOf(head)}`);
      assertEquals((k.cpu.preempt_count & 0xff00) !== 0, true, "bottom halves are off");
      yield* tiny.call_rcu(k, head, () => doneVoid());
    }
    for (const head of heads) yield* call_rcu(k, head, callback);
    order.push("queued");
    yield* schedule_timeout_uninterruptible(k, 1);
    order.push("back");
  });
  assertEquals(order, ["queued", "cb0", "cb1", "back"]);
});

Deno.test("a tick in user mode is a quiescent state, a tick in the kernel asks for one", () => {
  for (const user of [true, false]) {
    const k = bootForTiny();
    let during = 0;
    runCleanly(k, function* (k) {
      const head = yield* kmalloc(k, 16, GFP_KERNEL);
      let ran = 0;
      yield* call_rcu(k, head, () => {
        ran = 1;
        return doneVoid();
      });
      if (user) yield* user_mode(k, 3 * jiffyNs(k));
      else for (let i = 0; i < 300; i++) yield* spin(k, jiffyNs(k) / 100);
      during = ran;
    });
    assertEquals(during, user ? 1 : 0);
  }
});

function* spin(k: Kernel, ns: number): Atomic<void> {
  k.charge(ns);
  yield* rcu_read_lock(k);
  yield* rcu_read_unlock(k);
}

Deno.test("call_rcu() from an interrupt on the idle CPU makes it switch: nothing else would end the grace period", () => {
  const k = bootForTiny();
  let ran = 0;
  const head = k.dataAlloc(rcu_head.size);
  deviceHandler.set(k, (k) =>
    tiny.call_rcu(k, head, () => {
      ran++;
      return doneVoid();
    }));
  k.cpus[0].pending |= VECTOR_DEVICE;
  assertEquals(k.run(k.cpus[0].clock + 1e9), "idle");
  assertEquals(ran, 1);
});

Deno.test("rcu_barrier() waits for callbacks queued before it, and not for what kvfree_rcu() has batched", () => {
  const k = bootForTiny();
  runCleanly(k, function* (k) {
    let ran = 0;
    const head = yield* kmalloc(k, 16, GFP_KERNEL);
    const p = yield* newObject(k);
    yield* call_rcu(k, head, () => {
      ran++;
      return doneVoid();
    });
    yield* kvfree_rcu(k, p);
    yield* rcu_barrier(k);
    assertEquals([ran, isLive(k, p)], [1, true]);
  });
});

Deno.test("T63 with debug objects a second kvfree_rcu() of an object warns once and frees once", () => {
  const k = bootForTiny({ debugObjects: true });
  runCleanly(k, function* (k) {
    const p = yield* newObject(k);
    for (let i = 0; i < 3; i++) yield* kvfree_rcu(k, p);
    assertEquals(batching(k).collecting.map((b) => b.nr_records), [1]);
  }, 5); // each time a wrong activation and a wrong state, and one warning
  const warnings = k.reports.filter((r) => r.title.startsWith("WARNING"));
  assertEquals(warnings.length, 1);
  assertStringIncludes(warnings[0].lines[1], "Double-freed call. rcu_head 0000000000000000");
});

Deno.test("get_state_synchronize_rcu() and cond_synchronize_rcu() need no waiting: to be allowed to block is enough", () => {
  runCleanly(bootForTiny(), function* (k) {
    const before = k.now();
    yield* cond_synchronize_rcu(k, get_state_synchronize_rcu(k));
    assert(k.now() - before < jiffyNs(k));
  });
});
