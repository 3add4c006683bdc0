// SPDX-License-Identifier: GPL-2.0-only
/**
 * wait.ts and swait.ts on running machines: no wake-up is lost, in whatever order waiter and waker meet.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { doneVoid, type MaySleep } from "../../../kernel/machine/effects.ts";
import { udelay } from "../../../kernel/entry.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { kthread_run } from "../../../kernel/kthread.ts";
import { current } from "../../../kernel/sched/core.ts";
import {
  __init_swait_queue_head,
  swait_active,
  swait_event_exclusive,
  swait_event_idle_exclusive,
  swait_event_idle_timeout_exclusive,
  swait_event_timeout_exclusive,
  swait_queue_head,
  swake_up_all,
  swake_up_one,
} from "../../../kernel/sched/swait.ts";
import { TASK_IDLE, TASK_RUNNING, TASK_UNINTERRUPTIBLE } from "../../../kernel/sched/sched.ts";
import {
  add_wait_queue,
  init_wait_entry,
  init_waitqueue_head,
  remove_wait_queue,
  wait_event,
  wait_event_exclusive,
  wait_event_interruptible,
  wait_event_timeout,
  wait_queue_entry,
  wait_queue_head,
  waitqueue_active,
  wake_up,
  wake_up_all,
  wake_up_interruptible,
} from "../../../kernel/sched/wait.ts";
import { add_timer, msleep, timer_list, timer_setup } from "../../../kernel/time/timer.ts";
import { jiffies } from "../../../kernel/time/jiffies.ts";
import { POINT_WAIT } from "../../../kernel/machine/points.ts";
import { onMachines, runSmall, untilWaits } from "../small_machine.ts";

/** Two sides that hand a token to and fro: a lost wake-up leaves both asleep. */
interface PingPong {
  wait(k: Kernel, side: number, condition: () => boolean): MaySleep<void>;
  wake(k: Kernel, side: number): void;
}

function* pingPong(k: Kernel, rounds: number, { wait, wake }: PingPong): MaySleep<void> {
  let turn = 0;
  let done = false;
  function* other(kernel: Kernel): MaySleep<void> {
    for (let i = 0; i < rounds; i++) {
      yield* wait(kernel, 1, () => turn === 1);
      turn = 0;
      wake(kernel, 0);
    }
    done = true;
  }
  yield* kthread_run(k, other, "other");
  for (let i = 0; i < rounds; i++) {
    turn = 1;
    wake(k, 1);
    yield* wait(k, 0, () => turn === 0);
  }
  while (!done) yield* msleep(k, 1);
}

Deno.test("wait_event() and wake_up() lose nothing [cpus seeds]", () => {
  onMachines(function* (k) {
    const queues = [new wait_queue_head("ping"), new wait_queue_head("pong")];
    yield* pingPong(k, 50, {
      wait: (kernel, side, condition) => wait_event(kernel, queues[side], condition),
      wake: (kernel, side) => wake_up(kernel, queues[side]),
    });
    assert(!queues.some(waitqueue_active));
  });
});

Deno.test("swait_event_idle_exclusive() and swake_up_one() lose nothing [cpus seeds]", () => {
  onMachines(function* (k) {
    const queues = [new swait_queue_head("ping"), new swait_queue_head("pong")];
    yield* pingPong(k, 50, {
      wait: (kernel, side, condition) => swait_event_idle_exclusive(kernel, queues[side], condition),
      wake: (kernel, side) => swake_up_one(kernel, queues[side]),
    });
    assert(!queues.some(swait_active));
  });
});

/** Starts `n` threads that wait, each noting its number when it is through, and waits until all sleep. */
function* waiters(
  k: Kernel,
  n: number,
  through: number[],
  what: string,
  wait: (k: Kernel, i: number) => MaySleep<unknown>,
): MaySleep<void> {
  for (let i = 0; i < n; i++) {
    const p = yield* kthread_run(k, function* (kernel) {
      yield* wait(kernel, i);
      through.push(i);
    }, `waiter/${i}`);
    yield* untilWaits(k, p, what);
  }
}

Deno.test("wake_up() wakes all waiters but of the exclusive ones the first, in order of arrival [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const queue = init_waitqueue_head("mixed");
    const through: number[] = [];
    let open = false;
    yield* waiters(
      k,
      6,
      through,
      "wait_event mixed",
      (kernel, i) =>
        i % 2 === 0 ? wait_event(kernel, queue, () => open) : wait_event_exclusive(kernel, queue, () => open),
    );
    open = true;
    wake_up(k, queue);
    yield* msleep(k, 200);
    assertEquals(through.splice(0).sort(), [0, 1, 2, 4], where);
    wake_up(k, queue);
    yield* msleep(k, 200);
    assertEquals(through.splice(0), [3], where);
    wake_up_all(k, queue);
    yield* msleep(k, 200);
    assertEquals(through, [5], where);
    assert(!waitqueue_active(queue), where);
  });
});

Deno.test("a waiter whose condition is false at the wake-up goes on waiting, by name [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const queue = new wait_queue_head("stubborn");
    const through: number[] = [];
    let waiter = current(k);
    let open = false;
    yield* waiters(k, 1, through, "wait_event stubborn", function* (kernel) {
      waiter = current(kernel);
      yield* wait_event(kernel, queue, () => open);
    });
    for (let i = 0; i < 3; i++) {
      wake_up(k, queue);
      yield* msleep(k, 200);
      assertEquals([through.length, waiter.state, waiter.waitingFor], [0, 2, "wait_event stubborn"], where);
    }
    open = true;
    wake_up(k, queue);
    yield* msleep(k, 200);
    assertEquals(through.length, 1, where);
  });
});

Deno.test("wait_event_timeout() returns 0 in vain, at least 1 in time, and does not sleep for nothing [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const queue = new wait_queue_head("timed");
    const before = jiffies(k);
    assertEquals(yield* wait_event_timeout(k, queue, () => false, 3), 0, where);
    assert(jiffies(k) - before >= 3, where);
    assertEquals(yield* wait_event_timeout(k, queue, () => true, 3), 3, where);
    assertEquals(yield* wait_event_timeout(k, queue, () => true, 0), 1, where);
    assertEquals(yield* wait_event_timeout(k, queue, () => false, 0), 0, where);
    // The condition comes true without a wake-up: seen at expiry.
    let calls = 0;
    assertEquals(yield* wait_event_timeout(k, queue, () => ++calls > 2, 3), 1, where);

    let open = false;
    const timer = new timer_list();
    timer_setup(k, timer, (kernel) => {
      open = true;
      wake_up(kernel, queue);
      return doneVoid();
    }, 0);
    timer.expires = jiffies(k) + 4;
    yield* add_timer(k, timer);
    const left = yield* wait_event_timeout(k, queue, () => open, 1000);
    assert(left > 900 && left < 1000, `${where} left=${left}`);
  });
});

Deno.test("swait_event_timeout_exclusive() and its idle form count like wait_event_timeout() [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const queue = new swait_queue_head("timed");
    for (const wait of [swait_event_timeout_exclusive, swait_event_idle_timeout_exclusive]) {
      assertEquals(yield* wait(k, queue, () => false, 3), 0, where);
      assertEquals(yield* wait(k, queue, () => true, 3), 3, where);
      assertEquals(yield* wait(k, queue, () => true, 0), 1, where);
      let calls = 0;
      assertEquals(yield* wait(k, queue, () => ++calls > 2, 3), 1, where);
      assert(!swait_active(queue), where);
    }
  });
});

Deno.test("swake_up_one() wakes in order of arrival, swake_up_all() everybody; the states are as asked [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const queue = new swait_queue_head("ordered");
    const through: number[] = [];
    const states: number[] = [];
    let open = false;
    yield* waiters(k, 5, through, "swait_event ordered", (kernel, i) => {
      const me = current(kernel);
      const condition = (): boolean => {
        if (me.state !== TASK_RUNNING) states[i] = me.state;
        return open;
      };
      return i === 0
        ? swait_event_exclusive(kernel, queue, condition)
        : swait_event_idle_exclusive(kernel, queue, condition);
    });
    assertEquals(states.slice(0, 2), [TASK_UNINTERRUPTIBLE, TASK_IDLE], where);
    open = true;
    for (const expected of [[0], [1]]) {
      swake_up_one(k, queue);
      yield* msleep(k, 200);
      assertEquals(through.splice(0), expected, where);
    }
    swake_up_all(k, queue);
    yield* msleep(k, 200);
    assertEquals(through.sort(), [2, 3, 4], where);
  });
});

Deno.test("wake_up_interruptible() passes over who sleeps uninterruptibly [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const queue = new wait_queue_head("states");
    const through: number[] = [];
    let open = false;
    yield* waiters(
      k,
      2,
      through,
      "wait_event states",
      (kernel, i) =>
        i === 0 ? wait_event(kernel, queue, () => open) : wait_event_interruptible(kernel, queue, () => open),
    );
    open = true;
    wake_up_interruptible(k, queue);
    yield* msleep(k, 200);
    assertEquals(through, [1], where);
    wake_up(k, queue);
    yield* msleep(k, 200);
    assertEquals(through, [1, 0], where);
  });
});

Deno.test("wait_event() of what holds already neither queues nor sleeps [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const switches = current(k).nvcsw;
    yield* wait_event(k, new wait_queue_head("open"), () => true);
    yield* swait_event_exclusive(k, new swait_queue_head("open"), () => true);
    yield* udelay(k, 1);
    assertEquals(current(k).nvcsw, switches, where);
  });
});

Deno.test("wait_event() and swait_event have three points: queued, tested in vain, woken", () => {
  const queue = new wait_queue_head("watched");
  const squeue = new swait_queue_head("watched");
  let tests = 0;
  let open = false;
  const points: string[] = [];
  const condition = (): boolean => {
    tests++;
    return open;
  };
  const { finished } = runSmall(
    { cpus: 1 },
    function* (k) {
      for (const kind of ["wait", "swait"]) {
        [tests, open] = [0, false];
        const waiter = yield* kthread_run(k, function* (kernel) {
          if (kind === "wait") yield* wait_event(kernel, queue, condition);
          else yield* swait_event_exclusive(kernel, squeue, condition);
          points.push("through");
        }, "waiter");
        yield* untilWaits(k, waiter, `${kind}_event watched`);
        points.push("asleep");
        open = true;
        if (kind === "wait") wake_up(k, queue);
        else swake_up_one(k, squeue);
        yield* msleep(k, 10);
      }
    },
    undefined,
    (k, kind, name) => {
      if (kind === POINT_WAIT && name === "watched") points.push(`tests ${tests} state ${current(k).state}`);
    },
  );
  assert(finished);
  // The first test comes before queueing.
  const once = [
    "tests 1 state 2",
    "tests 2 state 2",
    "asleep",
    "tests 2 state 0",
    "tests 2 state 2",
    "through",
  ];
  assertEquals(points, [...once, ...once]);
});

Deno.test("a queue that was just made has no waiter; remove_wait_queue() takes one away before it is woken", () => {
  assert(!swait_active(__init_swait_queue_head("q")));
  const { finished } = runSmall({ cpus: 1 }, function* (k) {
    const q = init_waitqueue_head("q");
    const [stays, goes] = [new wait_queue_entry(), new wait_queue_entry()];
    for (const entry of [stays, goes]) {
      init_wait_entry(k, entry, 0);
      add_wait_queue(q, entry);
    }
    remove_wait_queue(q, goes);
    assertEquals([q.head.next === stays.entry, q.head.prev === stays.entry], [true, true]);
    remove_wait_queue(q, stays);
    assert(!waitqueue_active(q));
    yield* doneVoid();
  });
  assert(finished);
});

Deno.test("swake_up_all() wakes everybody who waits, in order, and leaves the queue empty", () => {
  const { finished } = runSmall({ cpus: 1 }, function* (k) {
    const q = new swait_queue_head("q");
    const log: string[] = [];
    let open = false;
    for (const name of ["a", "b", "c"]) {
      const thread = yield* kthread_run(k, function* (kernel: Kernel): MaySleep<void> {
        yield* swait_event_idle_exclusive(kernel, q, () => open);
        log.push(name);
      }, name);
      yield* untilWaits(k, thread, "swait_event");
    }
    open = true;
    swake_up_all(k, q);
    assert(!swait_active(q));
    yield* msleep(k, 20);
    assertEquals(log, ["a", "b", "c"]);
  });
  assert(finished);
});
