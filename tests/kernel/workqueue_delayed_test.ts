// SPDX-License-Identifier: GPL-2.0-only
/**
 * workqueue.ts on running machines: items with a timer or a grace period in front.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { type Atomic, doneVoid, type MaySleep } from "../../kernel/machine/effects.ts";
import { udelay } from "../../kernel/entry.ts";
import { NO_RCU, type rcu_callback_t } from "../../kernel/hooks.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { jiffies } from "../../kernel/time/jiffies.ts";
import { msleep } from "../../kernel/time/timer.ts";
import {
  cancel_delayed_work,
  cancel_delayed_work_sync,
  delayed_work_pending,
  flush_delayed_work,
  flush_rcu_work,
  flush_work,
  INIT_RCU_WORK,
  mod_delayed_work,
  queue_delayed_work,
  queue_rcu_work,
  rcu_work,
  schedule_delayed_work,
  schedule_delayed_work_on,
  system_wq,
  to_rcu_work,
  work_pending,
} from "../../kernel/workqueue.ts";
import { onMachines, recordsOf, runSmall } from "./small_machine.ts";
import { delayed_item, newDelayedWork } from "./workqueue_helpers.ts";

Deno.test("schedule_delayed_work() executes after the delay plus what the wheel adds [cpus seeds]", () => {
  onMachines(function* (k, where) {
    for (const [delay, most] of [[0, 0], [1, 2], [5, 6], [50, 51], [100, 109]]) {
      let at = -1;
      const dwork = newDelayedWork(k, function* (kernel) {
        at = jiffies(kernel);
        yield* udelay(kernel, 1);
      });
      yield* msleep(k, 1);
      const before = jiffies(k);
      assert(yield* schedule_delayed_work(k, dwork, delay), where);
      assert(delay === 0 || !(yield* schedule_delayed_work(k, dwork, 0)), where);
      assertEquals(delayed_work_pending(dwork), delay > 0 || at < 0, where);
      yield* msleep(k, 1000);
      // Stalls of the schedule may add jiffies (65 ms at most each).
      assert(at - before >= delay && at - before <= most + 40, `${where} delay ${delay} took ${at - before}`);
    }
  });
});

Deno.test("schedule_delayed_work() by 5 jiffies executes 6 jiffies later on an idle machine, as measured", () => {
  const { k } = runSmall({ cpus: 1 }, function* (k) {
    yield* msleep(k, 100);
    const dwork = newDelayedWork(k, delayed_item);
    yield* schedule_delayed_work(k, dwork, 5);
    yield* msleep(k, 100);
  });
  const [queued] = recordsOf(k, "timer_start").filter((r) => r.args[2] - r.args[3] === 5);
  const [started] = recordsOf(k, "workqueue_execute_start");
  // Fields expires and now; the tick of jiffy j is at (j + 75000) x 4 ms.
  const ranAt = Math.floor(started.ns / 4e6) - 75000;
  assertEquals(ranAt - queued.args[3], 6);
});

Deno.test("schedule_delayed_work_on() executes on that CPU [cpus=4]", () => {
  const seen: number[] = [];
  const { finished } = runSmall({ cpus: 4 }, function* (k) {
    for (const { id } of k.cpus) {
      const dwork = newDelayedWork(k, function* (kernel) {
        seen.push(kernel.cpu.id);
        yield* udelay(kernel, 1);
      });
      yield* schedule_delayed_work_on(k, id, dwork, 3 + 5 * id);
    }
    yield* msleep(k, 500);
  });
  assert(finished);
  assertEquals(seen, [0, 1, 2, 3]);
});

Deno.test("mod_delayed_work() moves a pending item, queues an idle one; flush and cancel find it on its timer [cpus seeds]", () => {
  onMachines(function* (k, where) {
    let runs = 0;
    const dwork = newDelayedWork(k, function* (kernel) {
      runs++;
      yield* udelay(kernel, 1);
    });
    assert(!(yield* mod_delayed_work(k, system_wq(k), dwork, 1000)), where);
    assert(yield* mod_delayed_work(k, system_wq(k), dwork, 2), where);
    yield* msleep(k, 500);
    assertEquals(runs, 1, where);

    yield* queue_delayed_work(k, system_wq(k), dwork, 1000);
    assert(yield* flush_delayed_work(k, dwork), where);
    assertEquals(runs, 2, where);

    yield* queue_delayed_work(k, system_wq(k), dwork, 1000);
    assert(yield* cancel_delayed_work(k, dwork), where);
    assert(!(yield* cancel_delayed_work(k, dwork)), where);
    yield* queue_delayed_work(k, system_wq(k), dwork, 1000);
    assert(yield* cancel_delayed_work_sync(k, dwork), where);
    assert(!delayed_work_pending(dwork), where);
    yield* msleep(k, 6000);
    assertEquals(runs, 2, where);
  });
});

/** An RCU that ends its grace periods when told to. */
class ManualRcu {
  readonly waiting: [VirtAddr, rcu_callback_t][] = [];
  barriers = 0;

  install(k: Kernel): void {
    const call_rcu = (_k: Kernel, head: VirtAddr, func: rcu_callback_t | number): Atomic<void> => {
      this.waiting.push([head, func as rcu_callback_t]);
      return doneVoid();
    };
    const end = (kernel: Kernel): MaySleep<void> => this.endGracePeriod(kernel);
    const barrier = (kernel: Kernel): MaySleep<void> => {
      this.barriers++;
      return end(kernel);
    };
    k.rcu = { ...NO_RCU, call_rcu, rcu_barrier: barrier };
  }

  *endGracePeriod(k: Kernel): Atomic<void> {
    for (const [head, func] of this.waiting.splice(0)) yield* func(k, head);
  }
}

Deno.test("queue_rcu_work() executes after the grace period; pending it returns false and does nothing [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const rcu = new ManualRcu();
    rcu.install(k);
    let runs = 0;
    const holder = { name: "holder" };
    const rwork = new rcu_work(holder);
    INIT_RCU_WORK(k, rwork, function* (kernel, work) {
      assert(to_rcu_work(work).container === holder, where);
      assert(!work_pending(work), where);
      runs++;
      yield* udelay(kernel, 1);
    });
    assertEquals(rwork.rcu.addr - rwork.work.addr, 32, where);
    assert(k.ownerOf(rwork.rcu.addr) === rwork, where);

    // WK1: a second request while the first waits for its grace period is part of the first.
    assert(yield* queue_rcu_work(k, system_wq(k), rwork), where);
    assert(!(yield* queue_rcu_work(k, system_wq(k), rwork)), where);
    yield* msleep(k, 20);
    assertEquals([runs, rcu.waiting.length], [0, 1], where);
    yield* rcu.endGracePeriod(k);
    yield* flush_work(k, rwork.work);
    assertEquals([runs, rcu.waiting.length], [1, 0], where);

    assert(yield* queue_rcu_work(k, system_wq(k), rwork), where);
    assert(yield* flush_rcu_work(k, rwork), where);
    assertEquals([runs, rcu.barriers], [2, 1], where);
    assert(!(yield* flush_rcu_work(k, rwork)), where);
    k.rcu = NO_RCU;
  });
});
