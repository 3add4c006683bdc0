// SPDX-License-Identifier: GPL-2.0-only
/**
 * completion.ts on running machines.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { doneVoid, type MaySleep } from "../../../kernel/machine/effects.ts";
import { udelay } from "../../../kernel/entry.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { kthread_run } from "../../../kernel/kthread.ts";
import {
  complete,
  complete_all,
  completion,
  completion_done,
  init_completion,
  reinit_completion,
  try_wait_for_completion,
  wait_for_completion,
  wait_for_completion_timeout,
} from "../../../kernel/sched/completion.ts";
import { current } from "../../../kernel/sched/core.ts";
import { jiffies } from "../../../kernel/time/jiffies.ts";
import { add_timer, msleep, timer_list, timer_setup } from "../../../kernel/time/timer.ts";
import { POINT_WAIT } from "../../../kernel/machine/points.ts";
import { swait_active } from "../../../kernel/sched/swait.ts";
import { onMachines, runSmall, untilWaits } from "../small_machine.ts";

Deno.test("wait_for_completion() passes as often as complete() was called, before or after [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const x = new completion("counted");
    complete(k, x);
    complete(k, x);
    yield* wait_for_completion(k, x);
    yield* wait_for_completion(k, x);
    assert(!completion_done(x) && !try_wait_for_completion(k, x), where);

    let through = 0;
    function* waiter(kernel: Kernel): MaySleep<void> {
      yield* wait_for_completion(kernel, x);
      through++;
    }
    for (let i = 0; i < 5; i++) yield* kthread_run(k, waiter, `waiter/${i}`);
    for (let i = 0; i < 5; i++) {
      yield* msleep(k, 200);
      assertEquals(through, i, where);
      complete(k, x);
    }
    yield* msleep(k, 200);
    assertEquals([through, x.done], [5, 0], where);
  });
});

Deno.test("complete() races with wait_for_completion() and neither is lost [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const request = new completion("request");
    const answer = new completion("answer");
    function* server(kernel: Kernel): MaySleep<void> {
      for (let i = 0; i < 60; i++) {
        yield* wait_for_completion(kernel, request);
        yield* udelay(kernel, i % 5);
        complete(kernel, answer);
      }
    }
    yield* kthread_run(k, server, "server");
    for (let i = 0; i < 60; i++) {
      complete(k, request);
      yield* udelay(k, i % 7);
      yield* wait_for_completion(k, answer);
    }
    assertEquals([request.done, answer.done], [0, 0], where);
  });
});

Deno.test("complete() works from a timer's softirq; the waiter says what it waits for [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const x = new completion("softirq");
    const me = current(k);
    let said = "";
    const timer = new timer_list();
    timer_setup(k, timer, (kernel) => {
      said = me.waitingFor;
      complete(kernel, x);
      return doneVoid();
    }, 0);
    timer.expires = jiffies(k) + 2;
    yield* add_timer(k, timer);
    yield* wait_for_completion(k, x);
    assertEquals([said, me.waitingFor], ["completion softirq", ""], where);
  });
});

Deno.test("complete_all() lets everybody through until reinit_completion() [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const x = new completion("all");
    let through = 0;
    for (let i = 0; i < 4; i++) {
      yield* kthread_run(k, function* (kernel) {
        yield* wait_for_completion(kernel, x);
        through++;
      }, `waiter/${i}`);
    }
    yield* msleep(k, 200);
    complete_all(k, x);
    yield* wait_for_completion(k, x);
    yield* msleep(k, 200);
    assertEquals(through, 4, where);
    assert(completion_done(x) && try_wait_for_completion(k, x), where);
    complete(k, x);
    assert(completion_done(x), where);
    reinit_completion(x);
    assert(!completion_done(x), where);
    init_completion(x);
    assertEquals(yield* wait_for_completion_timeout(k, x, 2), 0, where);
  });
});

Deno.test("wait_for_completion_timeout() returns 0 in vain and what is left in time [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const x = new completion("timed");
    const before = jiffies(k);
    assertEquals(yield* wait_for_completion_timeout(k, x, 3), 0, where);
    assert(jiffies(k) - before >= 3, where);
    complete(k, x);
    assertEquals(yield* wait_for_completion_timeout(k, x, 3), 3, where);
    complete(k, x);
    assertEquals(yield* wait_for_completion_timeout(k, x, 0), 1, where);
    yield* kthread_run(k, function* (kernel) {
      yield* msleep(kernel, 5);
      complete(kernel, x);
    }, "completer");
    const left = yield* wait_for_completion_timeout(k, x, 1000);
    assert(left > 900 && left < 1000, `${where} left=${left}`);
  });
});

Deno.test("a completion that never comes leaves the task asleep, by name", () => {
  let waitingFor = (): string => "";
  const { finished } = runSmall({ cpus: 1 }, function* (k) {
    const me = current(k);
    waitingFor = () => me.waitingFor;
    yield* wait_for_completion(k, new completion("godot"));
  });
  assertEquals([finished, waitingFor()], [false, "completion godot"]);
});

Deno.test("wait_for_completion() has a point before the test, one between test and sleep, one after the wake-up", () => {
  const x = new completion("watched");
  const points: string[] = [];
  const { finished } = runSmall(
    { cpus: 1 },
    function* (k) {
      const waiter = yield* kthread_run(k, function* (kernel) {
        yield* wait_for_completion(kernel, x);
        points.push("through");
      }, "waiter");
      yield* untilWaits(k, waiter, "completion watched");
      points.push("asleep");
      complete(k, x);
      yield* msleep(k, 10);
    },
    undefined,
    (k, kind, name) => {
      if (kind !== POINT_WAIT || name !== "watched") return;
      points.push(`${swait_active(x.wait) ? "queued" : "-"} state ${current(k).state} done ${x.done}`);
    },
  );
  assert(finished);
  assertEquals(points, [
    "- state 0 done 0",
    "queued state 2 done 0",
    "asleep",
    "- state 0 done 1",
    "through",
  ]);
});
