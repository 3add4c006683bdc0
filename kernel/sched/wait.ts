// SPDX-License-Identifier: GPL-2.0-only
/**
 * Wait queues. Mirrors kernel/sched/wait.c and include/linux/wait.h (v5.7).
 *
 * A waiter queues itself and sets its state, then tests the condition, then sleeps; who makes the condition true wakes
 * afterwards. So a wake-up is never lost wherever the two meet, and there are three points to meet at: queued but not
 * tested, tested false but not asleep, woken but not tested again.
 *
 * Invariant: a queue is touched by indivisible code only. Its lock would never be seen held and is left out, and waking is
 * a plain call from any context. Left out: signals, bookmarks (long walks that drop the lock), wait_woken().
 *
 * @module
 */

import { done, doneVoid, type MaySleep, STEP } from "../machine/effects.ts";
import { POINT_WAIT, pt } from "../machine/points.ts";
import type { Kernel } from "../kernel.ts";
import { list_add, list_add_tail, list_del_init, list_empty, list_entry, list_head } from "../list.ts";
import { MAX_SCHEDULE_TIMEOUT, schedule_timeout } from "../time/timer.ts";
import { __set_current_state, current, might_sleep, set_current_state, try_to_wake_up } from "./core.ts";
import {
  TASK_INTERRUPTIBLE,
  TASK_NORMAL,
  TASK_RUNNING,
  type task_struct,
  TASK_UNINTERRUPTIBLE,
} from "./sched.ts";

export const WQ_FLAG_EXCLUSIVE = 0x01;

/** A condition that somebody waits for; looked at between points. */
export type Condition = (k: Kernel) => boolean;

/** Wakes a waiter; returns 0 when it was not asleep, below 0 to end the walk. */
export type wait_queue_func_t = (
  k: Kernel,
  wq_entry: wait_queue_entry,
  mode: number,
  flags: number,
  key: unknown,
) => number;

/** One waiter. @mirrors include/linux/wait.h:wait_queue_entry */
export class wait_queue_entry {
  flags = 0;
  private: task_struct | null = null;
  func: wait_queue_func_t = default_wake_function;
  readonly entry: list_head<wait_queue_entry> = new list_head<wait_queue_entry>(this);

  /** `container` is the structure that the entry is embedded in; container_of() for classes. */
  constructor(readonly container: object | null = null) {}
}

/** A queue of waiters: exclusive ones at the end, others in front. @mirrors include/linux/wait.h:wait_queue_head */
export class wait_queue_head {
  readonly head: list_head<wait_queue_entry> = new list_head<wait_queue_entry>();
  /** What its waiters are said to wait for. */
  readonly waitingFor: string;

  constructor(readonly name: string) {
    this.waitingFor = `wait_event ${name}`;
  }
}

/** A new, empty queue. @mirrors include/linux/wait.h:init_waitqueue_head */
export function init_waitqueue_head(name: string): wait_queue_head {
  return new wait_queue_head(name);
}

/** Whether somebody waits. @mirrors include/linux/wait.h:waitqueue_active */
export function waitqueue_active(wq_head: wait_queue_head): boolean {
  return !list_empty(wq_head.head);
}

/** Queues a waiter that is woken together with all others. @mirrors kernel/sched/wait.c:add_wait_queue */
export function add_wait_queue(wq_head: wait_queue_head, wq_entry: wait_queue_entry): void {
  wq_entry.flags &= ~WQ_FLAG_EXCLUSIVE;
  list_add(wq_entry.entry, wq_head.head);
}

/** Queues a waiter of which one wake-up wakes one. @mirrors kernel/sched/wait.c:add_wait_queue_exclusive */
export function add_wait_queue_exclusive(wq_head: wait_queue_head, wq_entry: wait_queue_entry): void {
  wq_entry.flags |= WQ_FLAG_EXCLUSIVE;
  list_add_tail(wq_entry.entry, wq_head.head);
}

/** @mirrors kernel/sched/wait.c:remove_wait_queue */
export function remove_wait_queue(_wq_head: wait_queue_head, wq_entry: wait_queue_entry): void {
  list_del_init(wq_entry.entry);
}

/** Wakes all waiters that are not exclusive and `nr_exclusive` that are (0: all). @mirrors kernel/sched/wait.c:__wake_up_common */
function __wake_up_common(
  k: Kernel,
  wq_head: wait_queue_head,
  mode: number,
  nr_exclusive: number,
  wake_flags: number,
  key: unknown,
): void {
  let at = wq_head.head.next;
  while (at !== wq_head.head) {
    const curr = list_entry(at);
    at = at.next;
    const { flags } = curr;
    const ret = curr.func(k, curr, mode, wake_flags, key);
    if (ret < 0) break;
    if (ret !== 0 && (flags & WQ_FLAG_EXCLUSIVE) !== 0 && --nr_exclusive === 0) break;
  }
}

/**
 * Wakes waiters whose state is one of `mode`; `key` goes to their wake functions.
 *
 * Context: any. Not a point.
 *
 * @mirrors kernel/sched/wait.c:__wake_up
 */
export function __wake_up(
  k: Kernel,
  wq_head: wait_queue_head,
  mode: number,
  nr_exclusive: number,
  key: unknown,
): void {
  __wake_up_common(k, wq_head, mode, nr_exclusive, 0, key);
}

/** Wakes all waiters, of the exclusive ones the first only. Context: any. @mirrors include/linux/wait.h:wake_up */
export function wake_up(k: Kernel, wq_head: wait_queue_head): void {
  __wake_up(k, wq_head, TASK_NORMAL, 1, null);
}

/** Wakes all waiters. Context: any. @mirrors include/linux/wait.h:wake_up_all */
export function wake_up_all(k: Kernel, wq_head: wait_queue_head): void {
  __wake_up(k, wq_head, TASK_NORMAL, 0, null);
}

/** wake_up() for those who sleep interruptibly. Context: any. @mirrors include/linux/wait.h:wake_up_interruptible */
export function wake_up_interruptible(k: Kernel, wq_head: wait_queue_head): void {
  __wake_up(k, wq_head, TASK_INTERRUPTIBLE, 1, null);
}

/**
 * Queues the current task, unless it is queued, and sets its state. Then test the condition.
 *
 * Points: none; the caller's loop has them.
 *
 * @mirrors kernel/sched/wait.c:prepare_to_wait
 */
export function prepare_to_wait(
  k: Kernel,
  wq_head: wait_queue_head,
  wq_entry: wait_queue_entry,
  state: number,
): void {
  if (list_empty(wq_entry.entry)) add_wait_queue(wq_head, wq_entry);
  set_current_state(k, state);
}

/** prepare_to_wait() as an exclusive waiter. @mirrors kernel/sched/wait.c:prepare_to_wait_exclusive */
export function prepare_to_wait_exclusive(
  k: Kernel,
  wq_head: wait_queue_head,
  wq_entry: wait_queue_entry,
  state: number,
): void {
  if (list_empty(wq_entry.entry)) add_wait_queue_exclusive(wq_head, wq_entry);
  set_current_state(k, state);
}

/** Makes `wq_entry` the current task's. @mirrors kernel/sched/wait.c:init_wait_entry */
export function init_wait_entry(k: Kernel, wq_entry: wait_queue_entry, flags: number): void {
  wq_entry.flags = flags;
  wq_entry.private = current(k);
  wq_entry.func = autoremove_wake_function;
}

/** @mirrors kernel/sched/wait.c:prepare_to_wait_event */
export function prepare_to_wait_event(
  k: Kernel,
  wq_head: wait_queue_head,
  wq_entry: wait_queue_entry,
  state: number,
): void {
  if ((wq_entry.flags & WQ_FLAG_EXCLUSIVE) !== 0) prepare_to_wait_exclusive(k, wq_head, wq_entry, state);
  else prepare_to_wait(k, wq_head, wq_entry, state);
}

/** The task runs again and is on the queue no more. @mirrors kernel/sched/wait.c:finish_wait */
export function finish_wait(k: Kernel, _wq_head: wait_queue_head, wq_entry: wait_queue_entry): void {
  __set_current_state(k, TASK_RUNNING);
  if (!list_empty(wq_entry.entry)) list_del_init(wq_entry.entry);
}

/** Wakes the task. @mirrors kernel/sched/core.c:default_wake_function */
export function default_wake_function(k: Kernel, wq_entry: wait_queue_entry, mode: number): number {
  return wq_entry.private !== null && try_to_wake_up(k, wq_entry.private, mode) ? 1 : 0;
}

/** Wakes the task and takes it off the queue. @mirrors kernel/sched/wait.c:autoremove_wake_function */
export function autoremove_wake_function(k: Kernel, wq_entry: wait_queue_entry, mode: number): number {
  const ret = default_wake_function(k, wq_entry, mode);
  if (ret !== 0) list_del_init(wq_entry.entry);
  return ret;
}

/**
 * The loop of all wait_event macros. Returns what is left of `timeout`: at least 1 when the condition came true.
 *
 * Points: queued, condition not tested; condition false, not asleep; woken, condition not tested again.
 */
function* ___wait_event(
  k: Kernel,
  wq_head: wait_queue_head,
  condition: Condition,
  state: number,
  exclusive: number,
  timeout: number,
): MaySleep<number> {
  const wq_entry = new wait_queue_entry();
  init_wait_entry(k, wq_entry, exclusive);
  let ret = timeout;
  for (;;) {
    prepare_to_wait_event(k, wq_head, wq_entry, state);
    if (pt(k, POINT_WAIT, wq_head)) yield STEP;
    const holds = condition(k);
    if (holds && ret === 0) ret = 1;
    if (holds || ret === 0) break;
    if (pt(k, POINT_WAIT, wq_head)) yield STEP;
    current(k).waitingFor = wq_head.waitingFor;
    ret = yield* schedule_timeout(k, ret);
    current(k).waitingFor = "";
    if (pt(k, POINT_WAIT, wq_head)) yield STEP;
  }
  finish_wait(k, wq_head, wq_entry);
  return ret;
}

function* waitSlow(
  k: Kernel,
  wq_head: wait_queue_head,
  condition: Condition,
  state: number,
  exclusive: number,
): MaySleep<void> {
  yield* ___wait_event(k, wq_head, condition, state, exclusive, MAX_SCHEDULE_TIMEOUT);
}

/**
 * Sleeps until the condition holds; it is tested now and after each wake-up of the queue.
 *
 * Context: process context. Sleeps: uninterruptibly.
 *
 * @mirrors include/linux/wait.h:wait_event
 */
export function wait_event(k: Kernel, wq_head: wait_queue_head, condition: Condition): MaySleep<void> {
  might_sleep(k);
  return condition(k) ? doneVoid() : waitSlow(k, wq_head, condition, TASK_UNINTERRUPTIBLE, 0);
}

/**
 * wait_event() for at most `timeout` jiffies. Returns 0 when the condition does not hold after them, else what is left,
 * but at least 1.
 *
 * @mirrors include/linux/wait.h:wait_event_timeout
 */
export function wait_event_timeout(
  k: Kernel,
  wq_head: wait_queue_head,
  condition: Condition,
  timeout: number,
): MaySleep<number> {
  might_sleep(k);
  if (condition(k)) return done(timeout === 0 ? 1 : timeout);
  if (timeout === 0) return done(0);
  return ___wait_event(k, wq_head, condition, TASK_UNINTERRUPTIBLE, 0, timeout);
}

/** wait_event() as an exclusive waiter. @mirrors include/linux/wait.h:wait_event_exclusive_cmd */
export function wait_event_exclusive(
  k: Kernel,
  wq_head: wait_queue_head,
  condition: Condition,
): MaySleep<void> {
  return condition(k) ? doneVoid() : waitSlow(k, wq_head, condition, TASK_UNINTERRUPTIBLE, WQ_FLAG_EXCLUSIVE);
}

/**
 * wait_event() in the interruptible state. Returns 0.
 *
 * @mirrors include/linux/wait.h:wait_event_interruptible
 * @simplified there are no signals that could interrupt it
 */
export function* wait_event_interruptible(
  k: Kernel,
  wq_head: wait_queue_head,
  condition: Condition,
): MaySleep<number> {
  might_sleep(k);
  if (!condition(k)) yield* waitSlow(k, wq_head, condition, TASK_INTERRUPTIBLE, 0);
  return 0;
}
