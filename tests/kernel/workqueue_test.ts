// SPDX-License-Identifier: GPL-2.0-only
/**
 * workqueue.ts on running machines.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { type Atomic, doneVoid, type MaySleep } from "../../kernel/machine/effects.ts";
import { udelay } from "../../kernel/entry.ts";
import { tasklist } from "../../kernel/fork.ts";
import { NO_RCU, type rcu_callback_t } from "../../kernel/hooks.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { kthread_bind, kthread_create, kthread_run } from "../../kernel/kthread.ts";
import { preempt_disable } from "../../kernel/preempt.ts";
import { complete, completion, wait_for_completion } from "../../kernel/sched/completion.ts";
import { current, schedule, set_current_state, wake_up_process } from "../../kernel/sched/core.ts";
import { PF_WQ_WORKER, type task_struct, TASK_UNINTERRUPTIBLE } from "../../kernel/sched/sched.ts";
import { HZ, jiffies } from "../../kernel/time/jiffies.ts";
import { add_timer, msleep, timer_list, timer_setup } from "../../kernel/time/timer.ts";
import {
  alloc_ordered_workqueue,
  alloc_workqueue,
  cancel_delayed_work,
  cancel_delayed_work_sync,
  cancel_work,
  cancel_work_sync,
  delayed_work,
  delayed_work_pending,
  destroy_workqueue,
  drain_workqueue,
  flush_delayed_work,
  flush_rcu_work,
  flush_work,
  flush_workqueue,
  INIT_DELAYED_WORK,
  INIT_RCU_WORK,
  INIT_WORK,
  mod_delayed_work,
  queue_delayed_work,
  queue_rcu_work,
  queue_work,
  queue_work_on,
  rcu_work,
  schedule_delayed_work,
  schedule_delayed_work_on,
  schedule_work,
  schedule_work_on,
  system_highpri_wq,
  system_unbound_wq,
  system_wq,
  to_rcu_work,
  type work_func_t,
  work_pending,
  work_struct,
  workqueue_struct,
  workqueues,
  WQ_CPU_INTENSIVE,
  WQ_MEM_RECLAIM,
  WQ_UNBOUND,
} from "../../kernel/workqueue.ts";
import { linesOf, onMachines, recordsOf, runSmall } from "./small_machine.ts";

function newWork(k: Kernel, func: work_func_t): work_struct {
  const work = new work_struct();
  INIT_WORK(k, work, func);
  return work;
}

function newDelayedWork(k: Kernel, func: work_func_t): delayed_work {
  const dwork = new delayed_work();
  INIT_DELAYED_WORK(k, dwork, func);
  return dwork;
}

function* newQueue(k: Kernel, name: string, flags: number, max_active = 0): MaySleep<workqueue_struct> {
  const wq = yield* alloc_workqueue(k, name, flags, max_active);
  assert(wq !== null);
  return wq;
}

function comms(k: Kernel): string[] {
  return [...tasklist(k)].map((p) => p.comm).filter((comm) => comm.startsWith("kworker"));
}

/** Runs `fn` on `cpu` and waits for it. */
function* on(k: Kernel, cpu: number, fn: (k: Kernel) => MaySleep<void>): MaySleep<void> {
  const finished = new completion(`on/${cpu}`);
  const p = yield* kthread_create(k, function* (kernel) {
    yield* fn(kernel);
    complete(kernel, finished);
  }, `on/${cpu}`);
  assert(typeof p !== "number");
  yield* kthread_bind(k, p, cpu);
  wake_up_process(k, p);
  yield* wait_for_completion(k, finished);
}

Deno.test("workqueue_init() makes kworker/N:0, kworker/N:0H and kworker/uM:0 as Linux names them [cpus=1,4]", () => {
  // Unbound pools are numbered after the two pools of each possible CPU.
  for (
    const [cpus, expected] of [
      [1, ["kworker/0:0", "kworker/0:0H", "kworker/u2:0"]],
      [4, [
        "kworker/0:0",
        "kworker/0:0H",
        "kworker/u8:0",
        "kworker/1:0",
        "kworker/1:0H",
        "kworker/2:0",
        "kworker/2:0H",
        "kworker/3:0",
        "kworker/3:0H",
      ]],
    ] as const
  ) {
    const { k } = runSmall({ cpus }, function* (kernel) {
      yield* msleep(kernel, 1);
    });
    assertEquals(comms(k), [...expected]);
    for (const p of tasklist(k)) {
      if (!p.comm.startsWith("kworker")) continue;
      assertEquals([p.waitingFor, p.flags & PF_WQ_WORKER], ["work", PF_WQ_WORKER], p.comm);
      assertEquals([p.prio, p.se.weight], p.comm.endsWith("H") ? [100, 88761] : [120, 1024], p.comm);
    }
  }
});

Deno.test("schedule_work() executes the item once, in a kworker of this CPU; pending it returns false [cpus seeds]", () => {
  onMachines(function* (k, where) {
    for (const { id } of k.cpus) {
      let runs = 0;
      let comm = "";
      const work = newWork(k, function* (kernel) {
        runs++;
        comm = current(kernel).comm;
        assertEquals(kernel.cpu.id, id, where);
        yield* udelay(kernel, 1);
      });
      yield* on(k, id, function* (kernel) {
        // Without a point in between nothing can run: the second call finds it pending.
        preempt_disable(kernel);
        assert(yield* schedule_work(kernel, work), where);
        const again = yield* schedule_work(kernel, work);
        kernel.cpu.preempt_count--;
        assert(!again || runs > 0, where);
        yield* flush_work(kernel, work);
      });
      assert(comm.startsWith(`kworker/${id}:`) && !comm.endsWith("H"), `${where} ${comm}`);
      assert(!work_pending(work), where);
    }
  });
});

Deno.test("queue_work_on() to another CPU, unbound and high priority execute where they should [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const seen: string[] = [];
    const work = newWork(k, function* (kernel) {
      seen.push(`${current(kernel).comm.replace(/:\d+/, "")} on ${kernel.cpu.id}`);
      yield* udelay(kernel, 1);
    });
    for (const { id } of k.cpus) {
      yield* queue_work_on(k, id, system_wq(k), work);
      yield* flush_work(k, work);
      yield* queue_work_on(k, id, system_highpri_wq(k), work);
      yield* flush_work(k, work);
      assertEquals(seen.splice(0), [`kworker/${id} on ${id}`, `kworker/${id}H on ${id}`], where);
    }
    yield* queue_work(k, system_unbound_wq(k), work);
    yield* flush_work(k, work);
    assert(seen[0].startsWith(`kworker/u${2 * k.cpus.length} on`), `${where} ${seen[0]}`);
  });
});

Deno.test("PENDING is clear when the function starts: the item can queue itself again [cpus seeds]", () => {
  onMachines(function* (k, where) {
    let runs = 0;
    const finished = new completion("finished");
    const work = newWork(k, function* (kernel, self) {
      assert(!work_pending(self), where);
      if (++runs < 5) assert(yield* schedule_work(kernel, self), where);
      else complete(kernel, finished);
    });
    yield* schedule_work(k, work);
    yield* wait_for_completion(k, finished);
    assertEquals(runs, 5, where);
  });
});

Deno.test("an item queued between the clearing of PENDING and the start of its function runs twice [cpus=2]", () => {
  // WK3: the queueing side hits that window for some seeds, and never loses a request.
  let twice = 0;
  for (let seed = 1; seed <= 30; seed++) {
    let requested = 0;
    let seen = 0;
    const { finished } = runSmall({ cpus: 2, seed }, function* (k) {
      const work = newWork(k, function* (kernel) {
        if (seen === requested) twice++;
        seen = requested;
        yield* udelay(kernel, 1);
      });
      yield* on(k, 1, function* (kernel) {
        for (let i = 0; i < 40; i++) {
          requested++;
          yield* queue_work_on(kernel, 0, system_wq(kernel), work);
          yield* udelay(kernel, (i * seed) % 9);
        }
        yield* flush_work(kernel, work);
        assertEquals(seen, requested, `seed=${seed}`);
      });
    });
    assert(finished, `seed=${seed}`);
  }
  assert(twice > 0, "no run without news: the window was never hit");
});

Deno.test("an item never runs twice at the same time, wherever it is queued [cpus seeds]", () => {
  onMachines(function* (k, where) {
    let running = 0;
    let runs = 0;
    const work = newWork(k, function* (kernel) {
      assertEquals(++running, 1, where);
      runs++;
      if (runs % 3 === 0) yield* msleep(kernel, 1);
      else yield* udelay(kernel, 20);
      running--;
    });
    for (let i = 0; i < 40; i++) {
      yield* queue_work_on(k, i % k.cpus.length, system_wq(k), work);
      if (i % 6 === 5) yield* msleep(k, 1);
      else yield* udelay(k, (i * 7) % 30);
    }
    yield* flush_work(k, work);
    assertEquals(running, 0, where);
    assert(runs >= 3, where);
  });
});

Deno.test("a worker that sleeps lets the next one of its CPU work: items that wait for each other get done [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const first = new completion("first");
    const last = new completion("last");
    const waiting = newWork(k, function* (kernel) {
      yield* wait_for_completion(kernel, first);
      complete(kernel, last);
    });
    const waker = newWork(k, function* (kernel) {
      complete(kernel, first);
      yield* udelay(kernel, 1);
    });
    yield* schedule_work_on(k, 0, waiting);
    yield* schedule_work_on(k, 0, waker);
    yield* wait_for_completion(k, last);
    // Ten sleepers on one CPU: one worker more than sleepers is enough.
    const works = Array.from({ length: 10 }, () =>
      newWork(k, function* (kernel) {
        yield* msleep(kernel, 20);
      }));
    for (const work of works) yield* schedule_work_on(k, 0, work);
    const before = jiffies(k);
    for (const work of works) yield* flush_work(k, work);
    assert(jiffies(k) - before < 20 * HZ(k) / 100, `${where}: one after the other`);
    const workers = comms(k).filter((comm) => /^kworker\/0:\d+$/.test(comm)).length;
    assert(workers >= 10 && workers <= 12, `${where} ${workers} workers`);
  });
});

Deno.test("items that do not sleep execute one after the other on their CPU, in order, by one worker", () => {
  const order: number[] = [];
  const { k } = runSmall({ cpus: 1 }, function* (k) {
    let inside = 0;
    const works = Array.from({ length: 6 }, (_, n) =>
      newWork(k, function* (kernel) {
        assertEquals(++inside, 1);
        order.push(n);
        yield* udelay(kernel, 50);
        inside--;
      }));
    for (const work of works) yield* schedule_work(k, work);
    for (const work of works) yield* flush_work(k, work);
  });
  assertEquals(order, [0, 1, 2, 3, 4, 5]);
  const workers = new Set(recordsOf(k, "workqueue_execute_start").map((r) => r.task));
  assertEquals(workers.size, 1);
});

Deno.test("WQ_CPU_INTENSIVE items do not hold up others of their CPU", () => {
  const order: string[] = [];
  const { finished } = runSmall({ cpus: 1 }, function* (k) {
    const intensive = yield* newQueue(k, "intensive", WQ_CPU_INTENSIVE);
    const hog = newWork(k, function* (kernel) {
      for (let i = 0; i < 400; i++) {
        yield* udelay(kernel, 100);
        set_current_state(kernel, 0);
        if (kernel.cpu.need_resched) yield* schedule(kernel);
      }
      order.push("hog");
    });
    const quick = newWork(k, function* (kernel) {
      order.push("quick");
      yield* udelay(kernel, 1);
    });
    yield* queue_work(k, intensive, hog);
    yield* schedule_work(k, quick);
    yield* flush_work(k, hog);
    yield* flush_work(k, quick);
  });
  assert(finished);
  assertEquals(order, ["quick", "hog"]);
});

Deno.test("flush_work() waits for the item, running or queued, and returns whether it had to [cpus seeds]", () => {
  onMachines(function* (k, where) {
    let done = 0;
    const work = newWork(k, function* (kernel) {
      yield* msleep(kernel, 5);
      done++;
    });
    assert(!(yield* flush_work(k, work)), where);
    yield* schedule_work(k, work);
    assert(yield* flush_work(k, work), where);
    assertEquals(done, 1, where);
    assert(!(yield* flush_work(k, work)), where);
    // While it runs, and is queued again.
    yield* schedule_work(k, work);
    yield* msleep(k, 1);
    yield* schedule_work(k, work);
    yield* flush_work(k, work);
    assertEquals(done, 3, where);
  });
});

Deno.test("flush_work() from several tasks and from another item [cpus seeds]", () => {
  onMachines(function* (k, where) {
    let done = false;
    const finished = new completion("finished");
    const slow = newWork(k, function* (kernel) {
      yield* msleep(kernel, 10);
      done = true;
    });
    function* flusher(kernel: Kernel): MaySleep<void> {
      yield* flush_work(kernel, slow);
      assert(done, where);
      complete(kernel, finished);
    }
    const flushing = newWork(k, flusher);
    yield* schedule_work_on(k, 0, slow);
    yield* schedule_work_on(k, 0, flushing);
    for (let i = 0; i < 3; i++) yield* kthread_run(k, flusher, `flusher/${i}`);
    for (let i = 0; i < 4; i++) yield* wait_for_completion(k, finished);
  });
});

Deno.test("cancel_work_sync() stops an item that queues itself, also from two sides at once [cpus seeds]", () => {
  onMachines(function* (k, where) {
    let runs = 0;
    let running = false;
    const work = newWork(k, function* (kernel, self) {
      running = true;
      runs++;
      yield* udelay(kernel, 30);
      yield* schedule_work(kernel, self);
      if (runs % 2 === 0) yield* msleep(kernel, 1);
      running = false;
    });
    const finished = new completion("finished");
    function* canceler(kernel: Kernel): MaySleep<void> {
      yield* cancel_work_sync(kernel, work);
      assert(!running && !work_pending(work), where);
      complete(kernel, finished);
    }
    yield* schedule_work(k, work);
    yield* msleep(k, 20);
    yield* kthread_run(k, canceler, "canceler");
    yield* canceler(k);
    for (let i = 0; i < 2; i++) yield* wait_for_completion(k, finished);
    const stopped = runs;
    yield* msleep(k, 50);
    assert(runs === stopped && runs > 0, `${where} ${runs} runs, stopped at ${stopped}`);
    // Usable again.
    assert(yield* schedule_work(k, work), where);
    yield* msleep(k, 10);
    yield* cancel_work_sync(k, work);
    assert(runs > stopped, where);
  });
});

Deno.test("cancel_work() takes a queued item off its list; cancel_work_sync() says whether it was pending", () => {
  let runs = 0;
  const { finished } = runSmall({ cpus: 1 }, function* (k) {
    const work = newWork(k, function* (kernel) {
      runs++;
      yield* udelay(kernel, 1);
    });
    assert(!(yield* cancel_work(k, work)));
    yield* schedule_work(k, work);
    assert(yield* cancel_work(k, work));
    yield* schedule_work(k, work);
    assert(yield* cancel_work_sync(k, work));
    assert(!(yield* cancel_work_sync(k, work)));
    yield* msleep(k, 20);
  });
  assert(finished);
  assertEquals(runs, 0);
});

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

function* delayed_item(k: Kernel): MaySleep<void> {
  yield* udelay(k, 1);
}

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

Deno.test("queue_work() from a timer's softirq [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const finished = new completion("finished");
    const work = newWork(k, function* (kernel) {
      yield* udelay(kernel, 1);
      complete(kernel, finished);
    });
    const timer = new timer_list();
    timer_setup(k, timer, function* (kernel) {
      assert(yield* schedule_work(kernel, work), where);
    }, 0);
    timer.expires = jiffies(k) + 2;
    yield* add_timer(k, timer);
    yield* wait_for_completion(k, finished);
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

Deno.test("max_active limits how many items of a workqueue run on a CPU; the others follow in order [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const wq = yield* newQueue(k, "limited", 0, 2);
    let inside = 0;
    let most = 0;
    const order: number[] = [];
    const works = Array.from({ length: 7 }, (_, n) =>
      newWork(k, function* (kernel) {
        order.push(n);
        most = Math.max(most, ++inside);
        yield* msleep(kernel, 3);
        inside--;
      }));
    for (const work of works) yield* queue_work_on(k, 0, wq, work);
    // One of the waiting ones is taken away: the rest still runs.
    assert(yield* cancel_work_sync(k, works[5]), where);
    yield* flush_workqueue(k, wq);
    assertEquals([most, inside], [2, 0], where);
    assertEquals(order, [0, 1, 2, 3, 4, 6], where);
    yield* destroy_workqueue(k, wq);
  });
});

Deno.test("alloc_ordered_workqueue() executes one item at a time, in order, from any CPU [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const wq = yield* alloc_ordered_workqueue(k, "ordered", 0);
    assert(wq !== null);
    const order: number[] = [];
    let inside = 0;
    for (let n = 0; n < 6; n++) {
      const work = newWork(k, function* (kernel) {
        assertEquals(++inside, 1, where);
        yield* msleep(kernel, n % 2);
        order.push(n);
        inside--;
      });
      yield* on(k, n % k.cpus.length, function* (kernel) {
        yield* queue_work(kernel, wq, work);
      });
    }
    yield* flush_workqueue(k, wq);
    assertEquals(order, [0, 1, 2, 3, 4, 5], where);
  });
});

Deno.test("flush_workqueue() waits for what was queued before it, not for what comes later [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const wq = yield* newQueue(k, "flushed", 0);
    let done = 0;
    const works = Array.from({ length: 8 }, () =>
      newWork(k, function* (kernel) {
        yield* msleep(kernel, 4);
        done++;
      }));
    for (const [n, work] of works.entries()) yield* queue_work_on(k, n % k.cpus.length, wq, work);
    yield* flush_workqueue(k, wq);
    assertEquals(done, 8, where);

    // An item that queues itself for ever does not hold a flush up.
    let stop = false;
    const busy = newWork(k, function* (kernel, self) {
      yield* msleep(kernel, 1);
      if (!stop) yield* queue_work(kernel, wq, self);
    });
    yield* queue_work(k, wq, busy);
    yield* flush_workqueue(k, wq);
    assert(!stop, where);
    stop = true;
    yield* drain_workqueue(k, wq);
    assert(!work_pending(busy), where);
  });
});

Deno.test("flush_workqueue() by more tasks than there are colours [cpus=4 seeds]", () => {
  for (let seed = 1; seed <= 4; seed++) {
    const { k, finished } = runSmall({ cpus: 4, seed }, function* (k) {
      const wq = yield* newQueue(k, "colours", 0);
      const finished = new completion("finished");
      let stop = false;
      const items = k.cpus.map(() =>
        newWork(k, function* (kernel, self) {
          yield* msleep(kernel, 2);
          if (!stop) yield* queue_work(kernel, wq, self);
        })
      );
      for (const { id } of k.cpus) yield* queue_work_on(k, id, wq, items[id]);
      for (let n = 0; n < 40; n++) {
        yield* kthread_run(k, function* (kernel) {
          let ran = false;
          const mine = newWork(kernel, function* (inner) {
            yield* msleep(inner, n % 3);
            ran = true;
          });
          yield* queue_work(kernel, wq, mine);
          yield* flush_workqueue(kernel, wq);
          assert(ran, `seed=${seed} flusher ${n}`);
          complete(kernel, finished);
        }, `flusher/${n}`);
      }
      for (let n = 0; n < 40; n++) yield* wait_for_completion(k, finished);
      stop = true;
      yield* drain_workqueue(k, wq);
      assertEquals([wq.work_color, wq.nr_pwqs_to_flush], [wq.flush_color, 0]);
    });
    assert(finished, `seed=${seed}`);
    assertEquals(k.reports, [], `seed=${seed}`);
  }
});

Deno.test("drain_workqueue() lets items queue items and reports who else does", () => {
  let depth = 0;
  const { k, finished } = runSmall({ cpus: 1 }, function* (k) {
    const wq = yield* newQueue(k, "drained", 0);
    const chained = newWork(k, function* (kernel, self) {
      yield* msleep(kernel, 1);
      if (++depth < 5) yield* queue_work(kernel, wq, self);
    });
    yield* queue_work(k, wq, chained);
    const outside = newWork(k, function* () {
      assert(false, "it ran");
    });
    yield* kthread_run(k, function* (kernel) {
      yield* msleep(kernel, 5);
      yield* queue_work(kernel, wq, outside);
    }, "outsider");
    yield* drain_workqueue(k, wq);
    assertEquals(depth, 5);
    yield* msleep(k, 100);
  });
  assert(finished);
  assertEquals(k.reports.length, 1);
});

Deno.test("destroy_workqueue() drains and forgets; alloc_workqueue() clamps max_active with a warning", () => {
  let ran = false;
  const { k, finished } = runSmall({ cpus: 1 }, function* (k) {
    const wq = yield* newQueue(k, "short-lived", WQ_UNBOUND, 100_000);
    assertEquals(wq.saved_max_active, 512);
    const names = (): string[] => {
      const found: string[] = [];
      for (let at = workqueues(k).next; at !== workqueues(k); at = at.next) found.push(at.owner?.name ?? "?");
      return found;
    };
    assertEquals(names(), [
      "events",
      "events_highpri",
      "events_long",
      "events_unbound",
      "events_power_efficient",
      "short-lived",
    ]);
    const work = newWork(k, function* (kernel) {
      yield* msleep(kernel, 3);
      ran = true;
    });
    yield* queue_work(k, wq, work);
    yield* destroy_workqueue(k, wq);
    assert(ran && !names().includes("short-lived"));
  });
  assert(finished);
  assertEquals(k.reports, []);
  assert(
    linesOf(k, "console").includes(
      "workqueue: max_active 100000 requested for short-lived is out of range, clamping between 1 and 512",
    ),
  );
});

Deno.test("idle workers beyond two go away after five minutes", () => {
  const { k, finished } = runSmall({ cpus: 1 }, function* (k) {
    const works = Array.from({ length: 8 }, () =>
      newWork(k, function* (kernel) {
        yield* msleep(kernel, 20);
      }));
    for (const work of works) yield* schedule_work(k, work);
    for (const work of works) yield* flush_work(k, work);
    const workers = (): number => comms(k).filter((comm) => /^kworker\/0:\d+$/.test(comm)).length;
    assert(workers() >= 8);
    yield* msleep(k, 290_000);
    assert(workers() >= 8);
    // The timer is deferrable: it needs a tick that comes for another reason.
    for (let i = 0; i < 10; i++) yield* msleep(k, 20_000);
    assertEquals(workers(), 2);
    yield* schedule_work(k, works[0]);
    assert(yield* flush_work(k, works[0]));
  });
  assert(finished);
  assertEquals(k.reports, []);
});

Deno.test("a function that returns with preemption off is reported", () => {
  const { k } = runSmall({ cpus: 1 }, function* (k) {
    const work = newWork(k, leaky_work);
    yield* schedule_work(k, work);
    yield* msleep(k, 10);
  });
  const title = "BUG: workqueue leaked lock or atomic: kworker/0:0/0x00000001/3";
  assertEquals(k.reports[0].title, title);
  assertEquals(k.reports[0].lines[1], "     last function: leaky_work");
});

function* leaky_work(k: Kernel): MaySleep<void> {
  yield* udelay(k, 1);
  preempt_disable(k);
}

Deno.test("flushing a queue that may allocate from one that reclaims memory is reported", () => {
  const { k, finished } = runSmall({ cpus: 1 }, function* (k) {
    const reclaimer = yield* newQueue(k, "reclaimer", WQ_MEM_RECLAIM);
    const other = newWork(k, delayed_item);
    const work = newWork(k, function* flushing_work(kernel) {
      yield* schedule_work(kernel, other);
      yield* flush_work(kernel, other);
    });
    yield* queue_work(k, reclaimer, work);
    yield* flush_work(k, work);
  });
  assert(finished);
  assertEquals(
    k.reports[0].lines[1],
    "workqueue: WQ_MEM_RECLAIM reclaimer:flushing_work is flushing !WQ_MEM_RECLAIM events:delayed_item",
  );
});

Deno.test("an item can be queued and cancelled before there are workers, and is executed when they come", () => {
  let work: work_struct | null = null;
  const { k, finished } = runSmall({ cpus: 1 }, function* (k) {
    yield* msleep(k, 1);
  }, function* (k) {
    work = newWork(k, delayed_item);
    assert(yield* schedule_work(k, work));
    assert(!(yield* schedule_work(k, work)));
    const other = newWork(k, delayed_item);
    yield* schedule_work(k, other);
    assert(yield* cancel_work_sync(k, other));
  });
  assert(finished && work !== null);
  assertEquals(recordsOf(k, "workqueue_execute_start").length, 1);
  const created = recordsOf(k, "sched_process_fork").find((r) => k.log.text(r.args[2]) === "kworker/0:0");
  const [queued] = recordsOf(k, "workqueue_queue_work");
  const [executed] = recordsOf(k, "workqueue_execute_start");
  assert(created !== undefined && queued.seq < created.seq && created.seq < executed.seq);
  assertEquals(k.reports, []);
});

Deno.test("workqueue events of one item: queued, activated, started, ended, with its address and function", () => {
  let addr = "";
  const { k } = runSmall({ cpus: 1 }, function* (k) {
    const work = newWork(k, delayed_item);
    addr = `ffff${work.addr.toString(16)}`;
    yield* schedule_work(k, work);
    yield* msleep(k, 10);
  });
  const wq = `ffff${system_wq(k).addr.toString(16)}`;
  assertEquals(linesOf(k, "workqueue_queue_work"), [
    `work struct=${addr} function=delayed_item workqueue=${wq} req_cpu=4096 cpu=0`,
  ]);
  assertEquals(linesOf(k, "workqueue_activate_work"), [`work struct ${addr}`]);
  assertEquals(linesOf(k, "workqueue_execute_start"), [`work struct ${addr}: function delayed_item`]);
  assertEquals(linesOf(k, "workqueue_execute_end"), [`work struct ${addr}: function delayed_item`]);
});

Deno.test("a sleeping task's wake-up keeps its worker counted: nr_running is back to 0 at rest [cpus seeds]", () => {
  onMachines(function* (k) {
    let waiter: task_struct | null = null;
    const work = newWork(k, function* (kernel) {
      waiter = current(kernel);
      set_current_state(kernel, TASK_UNINTERRUPTIBLE);
      yield* schedule(kernel);
    });
    yield* schedule_work(k, work);
    while (waiter === null || (waiter as task_struct).on_rq) yield* msleep(k, 1);
    wake_up_process(k, waiter);
    yield* flush_work(k, work);
    yield* msleep(k, 100);
  }, (k, where) => {
    for (let at = workqueues(k).next; at !== workqueues(k); at = at.next) {
      for (const pwq of at.owner?.pwqs ?? []) {
        assertEquals(
          [pwq.pool.nr_running, pwq.nr_active, pwq.refcnt],
          [0, 0, 1],
          `${where} ${at.owner?.name}`,
        );
      }
    }
  });
});
