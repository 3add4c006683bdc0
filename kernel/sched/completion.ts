// SPDX-License-Identifier: GPL-2.0-only
/**
 * Completions: a counter that one side raises and the other waits for. Mirrors kernel/sched/completion.c and
 * include/linux/completion.h (v5.7).
 *
 * Invariant: each complete() lets one waiter through, whether it came before or after. Testing the counter, queueing and
 * setting the state are one indivisible step, so complete() is a plain call from any context and its lock is left out.
 *
 * Left out: the killable, interruptible and I/O forms (there are no signals).
 *
 * @module
 */

import { doneVoid, type MaySleep, STEP } from "../machine/effects.ts";
import { POINT_WAIT, pt } from "../machine/points.ts";
import type { Kernel } from "../kernel.ts";
import { MAX_SCHEDULE_TIMEOUT, schedule_timeout } from "../time/timer.ts";
import { __set_current_state, current, might_sleep } from "./core.ts";
import { TASK_UNINTERRUPTIBLE } from "./sched.ts";
import {
  __finish_swait,
  __prepare_to_swait,
  swait_queue,
  swait_queue_head,
  swake_up_all_locked,
  swake_up_locked,
} from "./swait.ts";

/** `done` after complete_all(): everybody passes from then on. */
const UINT_MAX = 0xffff_ffff;

/** @mirrors include/linux/completion.h:completion */
export class completion {
  done = 0;
  readonly wait: swait_queue_head;

  /** `name` says what completes, for points and for who looks. */
  constructor(readonly name: string = "completion") {
    this.wait = new swait_queue_head(name, `completion ${name}`);
  }
}

/** Nothing has completed yet and nobody waits. @mirrors include/linux/completion.h:init_completion */
export function init_completion(x: completion): void {
  x.done = 0;
}

/** Forgets what has completed. @mirrors include/linux/completion.h:reinit_completion */
export function reinit_completion(x: completion): void {
  x.done = 0;
}

/**
 * Lets one waiter through, now or later.
 *
 * Context: any. Not a point.
 *
 * @mirrors kernel/sched/completion.c:complete
 */
export function complete(k: Kernel, x: completion): void {
  if (x.done !== UINT_MAX) x.done++;
  swake_up_locked(k, x.wait);
}

/** Lets everybody through, now and later, until reinit_completion(). @mirrors kernel/sched/completion.c:complete_all */
export function complete_all(k: Kernel, x: completion): void {
  x.done = UINT_MAX;
  swake_up_all_locked(k, x.wait);
}

/** Points: queued, not asleep; woken, not tested again. */
function* do_wait_for_common(k: Kernel, x: completion, timeout: number, state: number): MaySleep<number> {
  let left = timeout;
  if (x.done === 0) {
    const wait = new swait_queue();
    do {
      __prepare_to_swait(k, x.wait, wait);
      __set_current_state(k, state);
      if (pt(k, POINT_WAIT, x)) yield STEP;
      current(k).waitingFor = x.wait.waitingFor;
      left = yield* schedule_timeout(k, left);
      current(k).waitingFor = "";
      if (pt(k, POINT_WAIT, x)) yield STEP;
    } while (x.done === 0 && left > 0);
    __finish_swait(k, x.wait, wait);
    if (x.done === 0) return left;
  }
  if (x.done !== UINT_MAX) x.done--;
  return left === 0 ? 1 : left;
}

function* wait_for_common(k: Kernel, x: completion, timeout: number, state: number): MaySleep<number> {
  might_sleep(k);
  if (pt(k, POINT_WAIT, x)) yield STEP;
  return yield* do_wait_for_common(k, x, timeout, state);
}

function* waitSlow(k: Kernel, x: completion): MaySleep<void> {
  yield* do_wait_for_common(k, x, MAX_SCHEDULE_TIMEOUT, TASK_UNINTERRUPTIBLE);
}

function* waitAtPoint(k: Kernel, x: completion): MaySleep<void> {
  yield STEP;
  yield* waitSlow(k, x);
}

/**
 * Waits for one complete().
 *
 * Context: process context. Sleeps: uninterruptibly.
 *
 * @mirrors kernel/sched/completion.c:wait_for_completion
 */
export function wait_for_completion(k: Kernel, x: completion): MaySleep<void> {
  might_sleep(k);
  if (pt(k, POINT_WAIT, x)) return waitAtPoint(k, x);
  if (x.done === 0) return waitSlow(k, x);
  if (x.done !== UINT_MAX) x.done--;
  return doneVoid();
}

/**
 * wait_for_completion() for at most `timeout` jiffies. Returns 0 when it did not complete, else what is left, at least 1.
 *
 * @mirrors kernel/sched/completion.c:wait_for_completion_timeout
 */
export function wait_for_completion_timeout(k: Kernel, x: completion, timeout: number): MaySleep<number> {
  return wait_for_common(k, x, timeout, TASK_UNINTERRUPTIBLE);
}

/** Takes one complete() if there is one. Context: any. @mirrors kernel/sched/completion.c:try_wait_for_completion */
export function try_wait_for_completion(_k: Kernel, x: completion): boolean {
  if (x.done === 0) return false;
  if (x.done !== UINT_MAX) x.done--;
  return true;
}

/** Whether nobody would have to wait. @mirrors kernel/sched/completion.c:completion_done */
export function completion_done(x: completion): boolean {
  return x.done !== 0;
}
