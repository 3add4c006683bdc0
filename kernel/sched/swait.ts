// SPDX-License-Identifier: GPL-2.0-only
/**
 * Simple wait queues: first come, first woken, one kind of waiter. Mirrors kernel/sched/swait.c and include/linux/swait.h
 * (v5.7).
 *
 * A waiter queues itself and sets its state, then tests its condition, then sleeps; a wake-up dequeues the first waiter.
 * The three points of wait.ts are here too.
 *
 * Invariant: a queue is touched by indivisible code only. Its lock would never be seen held and is left out, and waking is
 * a plain call from any context. Left out: signals.
 *
 * @module
 */

import { done, doneVoid, type MaySleep, STEP } from "../machine/effects.ts";
import { POINT_WAIT, pt } from "../machine/points.ts";
import type { Kernel } from "../kernel.ts";
import {
  list_add_tail,
  list_del_init,
  list_empty,
  list_first_entry,
  list_head,
  list_splice_init,
} from "../list.ts";
import { MAX_SCHEDULE_TIMEOUT, schedule_timeout } from "../time/timer.ts";
import { __set_current_state, current, set_current_state, wake_up_process } from "./core.ts";
import { TASK_IDLE, TASK_RUNNING, type task_struct, TASK_UNINTERRUPTIBLE } from "./sched.ts";
import type { Condition } from "./wait.ts";

/** A queue. @mirrors include/linux/swait.h:swait_queue_head */
export class swait_queue_head {
  readonly task_list: list_head<swait_queue> = new list_head<swait_queue>();
  /** What its waiters are said to wait for. */
  readonly waitingFor: string;

  constructor(readonly name: string, waitingFor?: string) {
    this.waitingFor = waitingFor ?? `swait_event ${name}`;
  }
}

/** One waiter. @mirrors include/linux/swait.h:swait_queue */
export class swait_queue {
  task: task_struct | null = null;
  readonly task_list: list_head<swait_queue> = new list_head<swait_queue>(this);
}

/** Whether somebody waits. @mirrors include/linux/swait.h:swait_active */
export function swait_active(wq: swait_queue_head): boolean {
  return !list_empty(wq.task_list);
}

/** A new, empty queue. @mirrors kernel/sched/swait.c:__init_swait_queue_head */
export function __init_swait_queue_head(name: string): swait_queue_head {
  return new swait_queue_head(name);
}

/** Wakes and dequeues the first waiter. @mirrors kernel/sched/swait.c:swake_up_locked */
export function swake_up_locked(k: Kernel, q: swait_queue_head): void {
  if (list_empty(q.task_list)) return;
  const curr = list_first_entry(q.task_list);
  if (curr.task !== null) wake_up_process(k, curr.task);
  list_del_init(curr.task_list);
}

/** Wakes and dequeues all waiters; for completions. @mirrors kernel/sched/swait.c:swake_up_all_locked */
export function swake_up_all_locked(k: Kernel, q: swait_queue_head): void {
  while (!list_empty(q.task_list)) swake_up_locked(k, q);
}

/** Wakes and dequeues the first waiter. Context: any. @mirrors kernel/sched/swait.c:swake_up_one */
export function swake_up_one(k: Kernel, q: swait_queue_head): void {
  swake_up_locked(k, q);
}

/** Wakes and dequeues all waiters. @mirrors kernel/sched/swait.c:swake_up_all */
export function swake_up_all(k: Kernel, q: swait_queue_head): void {
  const tmp = new list_head<swait_queue>();
  list_splice_init(q.task_list, tmp);
  while (!list_empty(tmp)) {
    const curr = list_first_entry(tmp);
    if (curr.task !== null) wake_up_process(k, curr.task);
    list_del_init(curr.task_list);
  }
}

/** Queues the current task unless it is queued. @mirrors kernel/sched/swait.c:__prepare_to_swait */
export function __prepare_to_swait(k: Kernel, q: swait_queue_head, wait: swait_queue): void {
  wait.task = current(k);
  if (list_empty(wait.task_list)) list_add_tail(wait.task_list, q.task_list);
}

/** Queues the current task and sets its state. Then test the condition. @mirrors kernel/sched/swait.c:prepare_to_swait_exclusive */
export function prepare_to_swait_exclusive(
  k: Kernel,
  q: swait_queue_head,
  wait: swait_queue,
  state: number,
): void {
  __prepare_to_swait(k, q, wait);
  set_current_state(k, state);
}

/** prepare_to_swait_exclusive() in the loop of the macros. @mirrors kernel/sched/swait.c:prepare_to_swait_event */
export function prepare_to_swait_event(
  k: Kernel,
  q: swait_queue_head,
  wait: swait_queue,
  state: number,
): void {
  prepare_to_swait_exclusive(k, q, wait, state);
}

/** The task runs again and is on the queue no more. @mirrors kernel/sched/swait.c:__finish_swait */
export function __finish_swait(k: Kernel, _q: swait_queue_head, wait: swait_queue): void {
  __set_current_state(k, TASK_RUNNING);
  if (!list_empty(wait.task_list)) list_del_init(wait.task_list);
}

/** @mirrors kernel/sched/swait.c:finish_swait */
export function finish_swait(k: Kernel, q: swait_queue_head, wait: swait_queue): void {
  __finish_swait(k, q, wait);
}

/** The loop of all swait_event macros; see ___wait_event() in wait.ts. */
function* ___swait_event(
  k: Kernel,
  wq: swait_queue_head,
  condition: Condition,
  state: number,
  timeout: number,
): MaySleep<number> {
  const wait = new swait_queue();
  let ret = timeout;
  for (;;) {
    prepare_to_swait_event(k, wq, wait, state);
    if (pt(k, POINT_WAIT, wq)) yield STEP;
    const holds = condition(k);
    if (holds && ret === 0) ret = 1;
    if (holds || ret === 0) break;
    if (pt(k, POINT_WAIT, wq)) yield STEP;
    current(k).waitingFor = wq.waitingFor;
    ret = yield* schedule_timeout(k, ret);
    current(k).waitingFor = "";
    if (pt(k, POINT_WAIT, wq)) yield STEP;
  }
  finish_swait(k, wq, wait);
  return ret;
}

function* swaitSlow(k: Kernel, wq: swait_queue_head, condition: Condition, state: number): MaySleep<void> {
  yield* ___swait_event(k, wq, condition, state, MAX_SCHEDULE_TIMEOUT);
}

function swaitTimeout(
  k: Kernel,
  wq: swait_queue_head,
  condition: Condition,
  state: number,
  timeout: number,
): MaySleep<number> {
  if (condition(k)) return done(timeout === 0 ? 1 : timeout);
  return timeout === 0 ? done(0) : ___swait_event(k, wq, condition, state, timeout);
}

/** Sleeps until the condition holds. Context: process context. @mirrors include/linux/swait.h:swait_event_exclusive */
export function swait_event_exclusive(
  k: Kernel,
  wq: swait_queue_head,
  condition: Condition,
): MaySleep<void> {
  return condition(k) ? doneVoid() : swaitSlow(k, wq, condition, TASK_UNINTERRUPTIBLE);
}

/**
 * Sleeps until the condition holds, at most `timeout` jiffies. Returns 0 when it does not hold after them, else what is
 * left, but at least 1.
 *
 * Context: process context.
 *
 * @mirrors include/linux/swait.h:swait_event_timeout_exclusive
 */
export function swait_event_timeout_exclusive(
  k: Kernel,
  wq: swait_queue_head,
  condition: Condition,
  timeout: number,
): MaySleep<number> {
  return swaitTimeout(k, wq, condition, TASK_UNINTERRUPTIBLE, timeout);
}

/** swait_event_exclusive() that does not count as load. @mirrors include/linux/swait.h:swait_event_idle_exclusive */
export function swait_event_idle_exclusive(
  k: Kernel,
  wq: swait_queue_head,
  condition: Condition,
): MaySleep<void> {
  return condition(k) ? doneVoid() : swaitSlow(k, wq, condition, TASK_IDLE);
}

/** swait_event_timeout_exclusive() that does not count as load. @mirrors include/linux/swait.h:swait_event_idle_timeout_exclusive */
export function swait_event_idle_timeout_exclusive(
  k: Kernel,
  wq: swait_queue_head,
  condition: Condition,
  timeout: number,
): MaySleep<number> {
  return swaitTimeout(k, wq, condition, TASK_IDLE, timeout);
}
