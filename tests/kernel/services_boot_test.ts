// SPDX-License-Identifier: GPL-2.0-only
/**
 * Threads, timers and workqueues on booted machines, where their structures take real memory and RCU is real.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { formatAddr, NULL } from "../../kernel/machine/addr.ts";
import { done } from "../../kernel/machine/effects.ts";
import { udelay } from "../../kernel/entry.ts";
import { ENOMEM } from "../../kernel/errno.ts";
import { tasklist, THREAD_SIZE } from "../../kernel/fork.ts";
import type { MmOps } from "../../kernel/hooks.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { kthread_run, kthread_should_stop, kthread_stop } from "../../kernel/kthread.ts";
import { current } from "../../kernel/sched/core.ts";
import { HZ, jiffies } from "../../kernel/time/jiffies.ts";
import { msleep } from "../../kernel/time/timer.ts";
import {
  alloc_workqueue,
  flush_rcu_work,
  flush_work,
  INIT_RCU_WORK,
  INIT_WORK,
  queue_rcu_work,
  rcu_work,
  schedule_work,
  system_unbound_wq,
  system_wq,
  work_pending,
  work_struct,
  WQ_UNBOUND,
} from "../../kernel/workqueue.ts";
import { arg, bootForTiny, eventsOf, runCleanly } from "../machines.ts";

/** Makes every kzalloc() of `size` bytes fail while `failing()` says so. */
function failKzalloc(k: Kernel, size: number, failing: () => boolean): void {
  const { kzalloc } = k.mm;
  const mm: MmOps = {
    ...k.mm,
    kzalloc: (kernel, wanted, gfp) =>
      wanted === size && failing() ? done(NULL) : kzalloc(kernel, wanted, gfp),
  };
  k.mm = mm;
}

Deno.test("queue_rcu_work() on tiny RCU executes after a grace period; flush_rcu_work() waits for both [seeds]", () => {
  for (let seed = 1; seed <= 5; seed++) {
    let runs = 0;
    const k = bootForTiny({ seed });
    runCleanly(k, function* (k) {
      const rwork = new rcu_work();
      INIT_RCU_WORK(k, rwork, function* (kernel) {
        runs++;
        yield* udelay(kernel, 1);
      });
      for (const wq of [system_wq(k), system_unbound_wq(k)]) {
        assert(yield* queue_rcu_work(k, wq, rwork));
        assert(!(yield* queue_rcu_work(k, wq, rwork)) && work_pending(rwork.work));
        assert(yield* flush_rcu_work(k, rwork));
        assert(!work_pending(rwork.work));
      }
    });
    assertEquals(runs, 2, `seed=${seed}`);
  }
});

Deno.test("schedule_timeout()'s timer and flush_work()'s barrier stand on the caller's stack", () => {
  const k = bootForTiny();
  const since = k.seq;
  let stack = 0;
  runCleanly(k, function* (k) {
    stack = current(k).stackAddr;
    assert(stack !== NULL);
    const work = new work_struct();
    INIT_WORK(k, work, function* slow(kernel) {
      yield* msleep(kernel, 1);
    });
    yield* schedule_work(k, work);
    yield* flush_work(k, work);
    yield* msleep(k, 1);
    assertEquals(current(k).stackUsed, 0);
  });
  const onStack = (addr: number): boolean => addr >= stack && addr < stack + THREAD_SIZE;
  const [timer] = eventsOf(k, "timer_start", since).filter((r) => onStack(arg(r, "timer")));
  assert(timer !== undefined, "no timer on the stack");
  const barriers = eventsOf(k, "workqueue_execute_start", since).filter((r) => onStack(arg(r, "work")));
  assertEquals(barriers.length, 1);
});

Deno.test("a worker that cannot be made is tried again a second later, and then the work gets done", () => {
  const k = bootForTiny();
  let failures = 0;
  failKzalloc(k, 152, () => failures === 0 && ++failures > 0);
  runCleanly(k, function* (k) {
    let ranAt = -1;
    const work = new work_struct();
    INIT_WORK(k, work, function* (kernel) {
      ranAt = jiffies(kernel);
      yield* udelay(kernel, 1);
    });
    const before = jiffies(k);
    yield* schedule_work(k, work);
    yield* flush_work(k, work);
    assert(ranAt - before >= HZ(k) && ranAt - before <= HZ(k) + 70, `${ranAt - before} jiffies`);
  });
  assertEquals(failures, 1);
});

Deno.test("kthread_run() and alloc_workqueue() fail cleanly without memory", () => {
  // sizeof(struct kthread_create_info), struct kthread; struct workqueue_struct with one node, struct worker_pool
  for (const [size, what] of [[56, "create info"], [88, "kthread"]] as const) {
    const k = bootForTiny();
    failKzalloc(k, size, () => true);
    runCleanly(k, function* (k) {
      const made = yield* kthread_run(k, function* () {
        assert(false, "it ran");
      }, "stillborn");
      assertEquals(made, -ENOMEM, what);
    });
  }
  const k = bootForTiny();
  let failing = true;
  failKzalloc(k, 328, () => failing);
  runCleanly(k, function* (k) {
    assertEquals(yield* alloc_workqueue(k, "none", WQ_UNBOUND, 0), null);
    failing = false;
    assert((yield* alloc_workqueue(k, "one", WQ_UNBOUND, 0)) !== null);
  });
});

Deno.test("a workqueue has an address in memory, and events show it", () => {
  const k = bootForTiny();
  const addr = formatAddr(system_wq(k).addr);
  assert(addr.startsWith("ffff8880") && system_wq(k).addr !== NULL, addr);
});

Deno.test("kthread_stop() of many threads returns their results and leaves no task behind", () => {
  const k = bootForTiny();
  runCleanly(k, function* (k) {
    const before = tasklist(k).size;
    for (let i = 0; i < 20; i++) {
      const p = yield* kthread_run(k, function* (kernel) {
        while (!kthread_should_stop(kernel)) yield* msleep(kernel, 1);
        return i;
      }, `short/${i}`);
      assert(typeof p !== "number");
      yield* msleep(k, 5);
      assertEquals(yield* kthread_stop(k, p), i);
    }
    assertEquals(tasklist(k).size, before);
  });
});
