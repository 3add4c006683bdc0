// SPDX-License-Identifier: GPL-2.0-only
/**
 * Mutexes. Mirrors kernel/locking/mutex.c and include/linux/mutex.h (v5.7).
 *
 * A free mutex goes to whoever asks first, also past waiters; a waiter that was woken once and lost asks the next unlock
 * to hand the mutex over (HANDOFF), and then nobody else can have it (PICKUP). Waiters queue in order of arrival.
 *
 * Invariant: owner, flags and queue are touched by indivisible code only, so wait_lock is left out and unlocking is a
 * plain call. Released by a task that does not hold it, a mutex is reported, as with DEBUG_MUTEXES.
 *
 * With lock debugging a wrong release is lockdep's to report. Left out: spinning on a running owner, the killable and
 * interruptible forms, wound/wait mutexes.
 *
 * @module
 */

import { type Atomic, done, doneVoid, type MaySleep, STEP } from "../machine/effects.ts";
import { POINT_LOCK, POINT_WAIT, pt } from "../machine/points.ts";
import { debug_locks_off, WARN } from "../bug.ts";
import type { Kernel } from "../kernel.ts";
import { list_add_tail, list_del_init, list_empty, list_first_entry, list_head } from "../list.ts";
import {
  __set_current_state,
  current,
  might_sleep,
  schedule,
  set_current_state,
  wake_up_process,
} from "../sched/core.ts";
import { LD_WAIT_INV, LD_WAIT_SLEEP, lock_acquire, lock_release, lockdep_map } from "./lockdep.ts";
import { TASK_RUNNING, type task_struct, TASK_UNINTERRUPTIBLE } from "../sched/sched.ts";

/** Somebody waits: unlocking must wake. */
const MUTEX_FLAG_WAITERS = 0x01;
/** Unlocking must hand over to the first waiter. */
const MUTEX_FLAG_HANDOFF = 0x02;
/** Handed over, not taken yet: `owner` is who may take it. */
const MUTEX_FLAG_PICKUP = 0x04;

class mutex_waiter {
  readonly list: list_head<mutex_waiter> = new list_head<mutex_waiter>(this);

  constructor(readonly task: task_struct) {}
}

/** @mirrors include/linux/mutex.h:mutex */
export class mutex {
  owner: task_struct | null = null;
  /** The low bits of `owner` in C. */
  flags = 0;
  readonly wait_list: list_head<mutex_waiter> = new list_head<mutex_waiter>();
  /** What its waiters are said to wait for. */
  readonly waitingFor: string;
  readonly dep_map: lockdep_map;

  constructor(readonly name: string) {
    this.waitingFor = `mutex ${name}`;
    this.dep_map = new lockdep_map(name, LD_WAIT_INV, LD_WAIT_SLEEP);
  }
}

/** Makes a mutex that nobody holds. @mirrors kernel/locking/mutex.c:__mutex_init */
export function __mutex_init(lock: mutex): void {
  lock.owner = null;
  lock.flags = 0;
}

/** Whether somebody holds it. @mirrors kernel/locking/mutex.c:mutex_is_locked */
export function mutex_is_locked(lock: mutex): boolean {
  return lock.owner !== null;
}

/** Takes the mutex if it is free, or handed over to the current task. @mirrors kernel/locking/mutex.c:__mutex_trylock */
function __mutex_trylock(k: Kernel, lock: mutex): boolean {
  const curr = current(k);
  if (lock.owner !== null) {
    if (lock.owner !== curr || (lock.flags & MUTEX_FLAG_PICKUP) === 0) return false;
    lock.flags &= ~MUTEX_FLAG_PICKUP;
  }
  lock.flags &= ~MUTEX_FLAG_HANDOFF;
  lock.owner = curr;
  return true;
}

/** Takes the mutex if nobody holds it or waits. @mirrors kernel/locking/mutex.c:__mutex_trylock_fast */
function __mutex_trylock_fast(k: Kernel, lock: mutex): boolean {
  if (lock.owner !== null || lock.flags !== 0) return false;
  lock.owner = current(k);
  return true;
}

function __mutex_waiter_is_first(lock: mutex, waiter: mutex_waiter): boolean {
  return list_first_entry(lock.wait_list) === waiter;
}

function __mutex_add_waiter(lock: mutex, waiter: mutex_waiter): void {
  list_add_tail(waiter.list, lock.wait_list);
  if (__mutex_waiter_is_first(lock, waiter)) lock.flags |= MUTEX_FLAG_WAITERS;
}

function __mutex_handoff(lock: mutex, task: task_struct | null): void {
  lock.flags &= MUTEX_FLAG_WAITERS;
  lock.owner = task;
  if (task !== null) lock.flags |= MUTEX_FLAG_PICKUP;
}

/**
 * Takes the mutex; sleeps until it can be had.
 *
 * Context: process context. Sleeps. Not recursive: a task that holds it waits for itself.
 * Points: before the attempt, between a failed attempt and queueing, and while waiting.
 *
 * @mirrors kernel/locking/mutex.c:mutex_lock
 */
export function mutex_lock(k: Kernel, lock: mutex): MaySleep<void> {
  might_sleep(k);
  if (k.config.debug) lock_acquire(k, lock.dep_map, false, 0, true);
  if (pt(k, POINT_LOCK, lock)) return lockAtPoint(k, lock);
  if (__mutex_trylock_fast(k, lock)) return doneVoid();
  return __mutex_lock_slowpath(k, lock);
}

function* lockAtPoint(k: Kernel, lock: mutex): MaySleep<void> {
  yield STEP;
  if (!__mutex_trylock_fast(k, lock)) yield* __mutex_lock_slowpath(k, lock);
}

function* trylockAtPoint(k: Kernel, lock: mutex): Atomic<boolean> {
  yield STEP;
  return tryMutex(k, lock);
}

function tryMutex(k: Kernel, lock: mutex): boolean {
  const locked = __mutex_trylock(k, lock);
  if (locked && k.config.debug) lock_acquire(k, lock.dep_map, true, 0, true);
  return locked;
}

/**
 * Releases the mutex and wakes the first waiter.
 *
 * Context: process context, by the task that took it. Not a point: who waits runs later.
 *
 * @mirrors kernel/locking/mutex.c:mutex_unlock
 */
export function mutex_unlock(k: Kernel, lock: mutex): void {
  if (k.config.debug) lock_release(k, lock.dep_map);
  if (lock.owner !== current(k) && debug_locks_off(k)) {
    const text = `DEBUG_LOCKS_WARN_ON(__owner_task(owner) != current): ${lock.name} is ` +
      (lock.owner === null ? "not locked" : `held by ${lock.owner.comm}/${lock.owner.pid}`);
    WARN(k, true, text);
  }
  __mutex_unlock_slowpath(k, lock);
}

/** @mirrors kernel/locking/mutex.c:__mutex_unlock_slowpath */
function __mutex_unlock_slowpath(k: Kernel, lock: mutex): void {
  const handoff = (lock.flags & MUTEX_FLAG_HANDOFF) !== 0;
  if (!handoff) lock.owner = null;
  const next = list_empty(lock.wait_list) ? null : list_first_entry(lock.wait_list).task;
  if (handoff) __mutex_handoff(lock, next);
  if (next !== null) wake_up_process(k, next);
}

/** @mirrors kernel/locking/mutex.c:__mutex_lock_slowpath */
function* __mutex_lock_slowpath(k: Kernel, lock: mutex): MaySleep<void> {
  if (__mutex_trylock(k, lock)) return;
  if (pt(k, POINT_LOCK, lock)) yield STEP;
  if (__mutex_trylock(k, lock)) return;

  const waiter = new mutex_waiter(current(k));
  let first = false;
  __mutex_add_waiter(lock, waiter);
  set_current_state(k, TASK_UNINTERRUPTIBLE);
  if (pt(k, POINT_WAIT, lock)) yield STEP;
  while (!__mutex_trylock(k, lock)) {
    if (pt(k, POINT_WAIT, lock)) yield STEP;
    current(k).waitingFor = lock.waitingFor;
    yield* schedule(k);
    current(k).waitingFor = "";
    if (pt(k, POINT_WAIT, lock)) yield STEP;
    if (!first) {
      first = __mutex_waiter_is_first(lock, waiter);
      if (first) lock.flags |= MUTEX_FLAG_HANDOFF;
    }
    set_current_state(k, TASK_UNINTERRUPTIBLE);
  }
  __set_current_state(k, TASK_RUNNING);
  list_del_init(waiter.list);
  if (list_empty(lock.wait_list)) lock.flags = 0;
}

/**
 * Takes the mutex if it is free. A point before the attempt. Returns whether it did.
 *
 * @mirrors kernel/locking/mutex.c:mutex_trylock
 */
export function mutex_trylock(k: Kernel, lock: mutex): Atomic<boolean> {
  return pt(k, POINT_LOCK, lock) ? trylockAtPoint(k, lock) : done(tryMutex(k, lock));
}
