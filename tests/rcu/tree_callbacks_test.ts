// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of rcu/tree.ts: callbacks, their batches and floods, rcu_barrier(), polling, and misuse.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { NULL } from "../../kernel/machine/addr.ts";
import { type Atomic, doneVoid, type MaySleep } from "../../kernel/machine/effects.ts";
import { udelay, user_mode } from "../../kernel/entry.ts";
import { GFP_ATOMIC, GFP_KERNEL } from "../../kernel/gfp.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { in_serving_softirq, local_irq_restore, local_irq_save } from "../../kernel/preempt.ts";
import { per_cpu_ptr } from "../../kernel/static.ts";
import { schedule_timeout_uninterruptible } from "../../kernel/time/timer.ts";
import { rcu_head } from "../../rcu/rcu.ts";
import {
  DEFAULT_MAX_RCU_BLIMIT,
  get_state_synchronize_rcu,
  qhimark,
  qlowmark,
  qovld,
  rcu_data,
  rcu_get_gp_seq,
  rcu_get_n_cbs_cpu,
  rcu_is_watching,
  rcu_state,
} from "../../rcu/tree.ts";
import {
  call_rcu,
  kfree,
  kmalloc,
  rcu_barrier,
  rcu_read_lock,
  rcu_read_unlock,
  runToEnd,
  synchronize_rcu,
} from "../../mod.ts";
import { arg, eventsOf, jiffyNs, runCleanly } from "../machines.ts";
import { bootTree, checkQuiet, checkRun, gpEvents, threadOn } from "./tree_machine.ts";

function nothing(_k: Kernel, _head: VirtAddr): Atomic<void> {
  return doneVoid();
}

function newHead(k: Kernel): MaySleep<VirtAddr> {
  return kmalloc(k, rcu_head.size, GFP_KERNEL);
}

/** Queues `n` callbacks on this CPU; each notes its number in `order`. */
function* queue(k: Kernel, n: number, order: number[], first = 0): MaySleep<void> {
  for (let i = first; i < first + n; i++) {
    const head = yield* newHead(k);
    yield* call_rcu(k, head, function* (k, head) {
      order.push(i);
      yield* kfree(k, head);
    });
  }
}

Deno.test("call_rcu() invokes in softirq, in order, once, func zeroed, on the CPU that queued [cpus=4]", () => {
  const k = bootTree();
  const [since, gp_seq] = [k.seq, rcu_get_gp_seq(k)];
  const seen: string[] = [];
  runCleanly(k, function* (k) {
    for (const cpu of [0, 1, 2, 3]) {
      yield* threadOn(k, cpu, `caller${cpu}`, function* (k) {
        for (let i = 0; i < 5; i++) {
          const head = yield* newHead(k);
          yield* call_rcu(k, head, function* (k, head) {
            assertEquals([in_serving_softirq(k), k.cpu.id], [true, cpu]);
            assertEquals(rcu_head.f.func.get(k, head), NULL);
            seen.push(`${cpu}:${i}`);
            yield* kfree(k, head);
          });
        }
      });
    }
  });
  for (const cpu of [0, 1, 2, 3]) {
    assertEquals(seen.filter((s) => s.startsWith(`${cpu}`)), [0, 1, 2, 3, 4].map((i) => `${cpu}:${i}`));
  }
  assertEquals(checkRun(k, since, gp_seq).invoked, 20);
  checkQuiet(k);
});

Deno.test("P18 call_rcu() works with interrupts off, in readers and in callbacks, and allocates nothing", () => {
  const k = bootTree({ cpus: 2 });
  let ran = 0;
  runCleanly(k, function* (k) {
    const heads: VirtAddr[] = [];
    for (let i = 0; i < 3; i++) heads.push(yield* newHead(k));
    const since = k.seq;
    const flags = local_irq_save(k);
    yield* call_rcu(k, heads[0], () => (ran++, doneVoid()));
    local_irq_restore(k, flags);
    yield* rcu_read_lock(k);
    yield* call_rcu(k, heads[1], function* (k) {
      ran++;
      yield* call_rcu(k, heads[2], () => (ran++, doneVoid()));
    });
    yield* rcu_read_unlock(k);
    assertEquals(eventsOf(k, "kmalloc", since).length, 0);
    yield* rcu_barrier(k);
    assertEquals(ran, 2, "the one that a callback posted is not waited for");
    yield* rcu_barrier(k);
    assertEquals(ran, 3);
  });
});

Deno.test("P40 a batch on a busy CPU is 10 callbacks, on an idle CPU as many as there are [cpus=2]", () => {
  for (const busy of [true, false]) {
    const k = bootTree({ cpus: 2 });
    const since = k.seq;
    const order: number[] = [];
    runCleanly(k, (k) =>
      threadOn(k, 0, "caller", function* (k) {
        yield* queue(k, 95, order);
        if (busy) yield* user_mode(k, 60 * jiffyNs(k));
      }));
    assertEquals(order, order.map((_, i) => i));
    const batches = eventsOf(k, "rcu_batch_end", since).filter((r) => arg(r, "callbacks_invoked") > 0);
    const sizes = batches.map((r) => arg(r, "callbacks_invoked"));
    assertEquals(sizes.reduce((a, b) => a + b), 95);
    // The idle task goes on until somebody wants the CPU; the busy one is interrupted in the middle of its work.
    assertEquals(Math.max(...sizes), busy ? 10 : 95);
    assertEquals(batches.map((r) => arg(r, "iit")).every((iit) => iit === (busy ? 0 : 1)), true);
  }
});

Deno.test("P39 a flood starts a grace period at once, forces it, lifts blimit, and lets it down again [cpus=2]", () => {
  const k = bootTree({ cpus: 2 });
  qhimark.set(k, 100);
  qlowmark.set(k, 10);
  const since = k.seq;
  const rdp = per_cpu_ptr(k, rcu_data, 0);
  let lifted = 0;
  runCleanly(k, (k) =>
    threadOn(k, 0, "flood", function* (k) {
      const order: number[] = [];
      yield* queue(k, 101, order);
      assertEquals(gpEvents(k, since, "newreq").length, 1, "callback 101 asks, no tick has come");
      yield* synchronize_rcu(k);
      yield* queue(k, 300, order, 101);
      for (let i = 0; i < 400 && rcu_get_n_cbs_cpu(k, 0) > 0; i++) {
        lifted = Math.max(lifted, rdp.blimit);
        yield* schedule_timeout_uninterruptible(k, 1);
      }
    }));
  assertEquals([lifted, rdp.blimit], [DEFAULT_MAX_RCU_BLIMIT, 10]);
  assertEquals(rdp.qlen_last_fqs_check, 0);
  assert(rcu_state(k).n_force_qs > 0);
});

Deno.test("qovld marks a CPU as overloaded and the mark goes away [cpus=2]", () => {
  const k = bootTree({ cpus: 2 }, (k) => {
    qovld.set(k, 50);
    return doneVoid();
  });
  const leaf = rcu_state(k).leaves[0];
  let marked = "";
  runCleanly(k, (k) =>
    threadOn(k, 1, "flood", function* (k) {
      yield* queue(k, 60, []);
      marked = leaf.cbovldmask.toString();
    }));
  // The mark is checked again at the end of a grace period and with the next callback.
  runCleanly(k, (k) => threadOn(k, 1, "one", (k) => queue(k, 1, [])));
  assertEquals([marked, leaf.cbovldmask.toString()], ["2", "0"]);
});

Deno.test("P42 a CPU with callbacks keeps its tick, and they are invoked though all are idle [cpus=4]", () => {
  const k = bootTree();
  let ran = 0;
  runCleanly(k, (k) =>
    threadOn(k, 3, "caller", function* (k) {
      yield* call_rcu(k, yield* newHead(k), () => (ran++, doneVoid()));
    }));
  assertEquals([ran, rcu_get_n_cbs_cpu(k, 3)], [1, 0]);
});

Deno.test("P20 rcu_barrier() waits for every callback of every CPU [cpus=4 seeds=20]", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const k = bootTree({ seed });
    const [since, gp_seq] = [k.seq, rcu_get_gp_seq(k)];
    let posted = 0;
    let ran = 0;
    runCleanly(k, function* (k) {
      for (const cpu of [0, 1, 2, 3]) {
        yield* threadOn(k, cpu, `caller${cpu}`, function* (k) {
          for (let i = 0; i < 10 + cpu; i++) {
            const head = yield* newHead(k);
            yield* call_rcu(k, head, () => (ran++, doneVoid()));
            posted++;
            yield* udelay(k, 300);
          }
        });
      }
      for (let i = 0; i < 3; i++) {
        yield* schedule_timeout_uninterruptible(k, 1);
        const before = posted;
        yield* rcu_barrier(k);
        assert(ran >= before, `seed ${seed}: ${ran} of ${before} ran`);
      }
    });
    checkRun(k, since, gp_seq);
    checkQuiet(k);
  }
});

Deno.test("rcu_barrier() has the events of 5.7, and P22 one that comes in between leaves early [cpus=2]", () => {
  const k = bootTree({ cpus: 2 });
  const since = k.seq;
  let returned = 0;
  runCleanly(k, (k) =>
    threadOn(k, 0, "first", function* (k) {
      yield* queue(k, 1, []);
      for (const comm of ["second", "third"]) {
        yield* threadOn(k, 0, comm, function* (k) {
          yield* rcu_barrier(k);
          returned++;
        });
      }
      yield* rcu_barrier(k);
      returned++;
    }));
  assertEquals(returned, 3);
  const events = eventsOf(k, "rcu_barrier", since).map((r) => k.log.text(arg(r, "s")));
  const count = (name: string): number => events.filter((s) => s === name).length;
  assertEquals(count("Begin"), 3);
  assertEquals([count("Inc1"), count("Inc2"), count("EarlyExit")], [2, 2, 1], events.join());
  assertEquals(events.filter((s) => s !== "Begin").slice(0, 4), ["Inc1", "OnlineQ", "IRQ", "OnlineNQ"]);
  assertEquals(count("LastCB"), count("IRQ") - count("IRQNQ") - count("CB"));
  assertEquals(rcu_state(k).barrier_sequence, 8);
});

Deno.test("P23 cond_synchronize_rcu() waits unless a whole grace period has passed since the cookie [cpus=2]", () => {
  const k = bootTree({ cpus: 2 });
  runCleanly(k, function* (k) {
    const cookie = get_state_synchronize_rcu(k);
    assertEquals(cookie, rcu_get_gp_seq(k) + 4);
    let before = k.now();
    yield* k.rcu.cond_synchronize_rcu(k, cookie);
    assert(k.now() - before > jiffyNs(k), "it waited");
    assert(rcu_get_gp_seq(k) >= cookie);
    before = k.now();
    yield* k.rcu.cond_synchronize_rcu(k, cookie);
    assert(k.now() - before < jiffyNs(k) / 10, "and now it need not");
    assertEquals(k.rcu.get_state_synchronize_rcu(k), get_state_synchronize_rcu(k));
  });
});

Deno.test("P44 a callback queued before rcu_init() runs when the grace-period thread is there [cpus=2]", () => {
  const withThread: boolean[] = [];
  const k = bootTree({ cpus: 2 }, function* (k): Atomic<void> {
    const head = yield* kmalloc(k, rcu_head.size, GFP_ATOMIC);
    yield* call_rcu(k, head, (k) => {
      withThread.push(rcu_state(k).gp_kthread !== null);
      return doneVoid();
    });
    assertEquals([rcu_is_watching(k), rcu_get_n_cbs_cpu(k, 0)], [true, 1]);
  });
  assertEquals(withThread, [true]);
  checkQuiet(k);
});

Deno.test("with one CPU synchronize_rcu() returns at once: to be allowed to block is a grace period", () => {
  const k = bootTree({ cpus: 1 });
  const gp_seq = rcu_get_gp_seq(k);
  const order: number[] = [];
  runCleanly(k, function* (k) {
    yield* synchronize_rcu(k);
    assertEquals(rcu_get_gp_seq(k), gp_seq);
    yield* queue(k, 20, order);
    yield* rcu_barrier(k);
    assertEquals(order.length, 20);
  });
  checkQuiet(k);
});

// Misuse: the kernel's own report, and the machine goes on.

Deno.test("P54 P55 synchronize_rcu() in a reader is reported as illegal, and sleeping in it too", () => {
  const k = bootTree({ cpus: 2 });
  runAnyway(k, function* (k) {
    yield* rcu_read_lock(k);
    yield* synchronize_rcu(k);
  });
  assertEquals(
    k.reports[0].lines[5],
    "rcu/tree.ts:synchronize_rcu Illegal synchronize_rcu() in RCU read-side critical section!",
  );
  assertStringIncludes(k.reports[1].lines[5], "Illegal context switch in RCU read-side critical section!");
  assertStringIncludes(k.reports[2].title, "BUG: sleeping function called from invalid context");
  assertStringIncludes(k.reports[3].title, "BUG: scheduling while atomic");
});

Deno.test("P26 call_rcu() of a queued head is reported once and leaks it [debug objects]", () => {
  const k = bootTree({ cpus: 2, debugObjects: true });
  let ran = 0;
  runCleanly(k, function* (k) {
    const head = yield* newHead(k);
    for (let i = 0; i < 2; i++) yield* call_rcu(k, head, () => (ran++, doneVoid()));
    yield* rcu_barrier(k);
  }, 3);
  assertStringIncludes(k.reports[0].title, "ODEBUG: activate active");
  assertStringIncludes(k.reports[1].title, "ODEBUG: active_state active");
  assertStringIncludes(k.reports[2].lines[1], "__call_rcu(): Double-freed CB ffff8");
  assertEquals([ran, rcu_get_n_cbs_cpu(k, 0)], [0, 0], "its function became one that does nothing");
});

Deno.test("call_rcu() of a head that is not aligned is reported, and invoked", () => {
  const k = bootTree({ cpus: 2 });
  let ran = 0;
  runCleanly(k, function* (k) {
    const p = yield* kmalloc(k, 64, GFP_KERNEL);
    yield* call_rcu(k, (p + 4) as VirtAddr, () => (ran++, doneVoid()));
    yield* rcu_barrier(k);
  }, 1);
  assertStringIncludes(k.reports[0].title, "at __call_rcu");
  assertEquals(ran, 1);
});

Deno.test("call_rcu() of a freed head is reported at each access, and the machine goes on", () => {
  const k = bootTree({ cpus: 2 });
  const ending = runAnyway(k, function* (k) {
    const head = yield* newHead(k);
    yield* kfree(k, head);
    yield* call_rcu(k, head, nothing);
    yield* rcu_barrier(k);
  });
  assertEquals(ending, "completed");
  assert(k.reports.length > 1 && k.reports.every((r) => r.title.includes("use-after-free")));
  assertStringIncludes(k.reports[0].title, "use-after-free in __call_rcu");
});

Deno.test("a func that is not kernel text is a fault in the softirq: the machine stops as a kernel does", () => {
  const k = bootTree({ cpus: 2 });
  // A run that panics is not clean; look at what was reported.
  const verdict = runAnyway(k, function* (k) {
    yield* k.rcu.call_rcu(k, yield* newHead(k), 0xdead_beef);
    yield* rcu_barrier(k);
  });
  assertEquals(verdict, "panic");
  assertStringIncludes(k.reports[0].title, "BUG: unable to handle page fault for address: 00000000deadbeef");
});

function runAnyway(k: Kernel, main: (k: Kernel) => MaySleep<void>): string {
  return runToEnd(k, "test", main).ending;
}
