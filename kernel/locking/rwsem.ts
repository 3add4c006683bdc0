// SPDX-License-Identifier: GPL-2.0-only
/**
 * Reader-writer semaphores: many readers or one writer, who may sleep. Mirrors the part of kernel/locking/rwsem.c and
 * include/linux/rwsem.h (v5.7) that shrinkers need.
 *
 * Invariant: count and queue are touched by indivisible code only, so wait_lock is left out. A waiter that is first in
 * line gets the semaphore handed over by who releases it; nobody passes a waiter.
 *
 * Left out: readers that wait (here they only try), optimistic spinning, downgrading, killable forms.
 *
 * @module
 */

import { type Atomic, done, type MaySleep, STEP } from "../machine/effects.ts";
import { POINT_LOCK, POINT_WAIT, pt } from "../machine/points.ts";
import { WARN_ON } from "../bug.ts";
import type { Kernel } from "../kernel.ts";
import {
  __set_current_state,
  current,
  might_sleep,
  schedule,
  set_current_state,
  wake_up_process,
} from "../sched/core.ts";
import { TASK_RUNNING, type task_struct, TASK_UNINTERRUPTIBLE } from "../sched/sched.ts";
import { LD_WAIT_INV, LD_WAIT_SLEEP, lock_acquire, lock_release, lockdep_map } from "./lockdep.ts";

/** @mirrors include/linux/rwsem.h:rw_semaphore */
export class rw_semaphore {
  /** Readers that hold it; `count` and `owner` in C. */
  readers = 0;
  /** The writer that holds it. */
  owner: task_struct | null = null;
  /** Writers that wait, in order of arrival. */
  readonly wait_list: task_struct[] = [];
  /** What its waiters are said to wait for. */
  readonly waitingFor: string;
  readonly dep_map: lockdep_map;

  constructor(readonly name: string) {
    this.waitingFor = `rwsem ${name}`;
    this.dep_map = new lockdep_map(name, LD_WAIT_INV, LD_WAIT_SLEEP);
  }
}

/** Whether somebody waits for it. @mirrors include/linux/rwsem.h:rwsem_is_contended */
export function rwsem_is_contended(sem: rw_semaphore): boolean {
  return sem.wait_list.length > 0;
}

/** Hands a free semaphore to the first in line. @mirrors kernel/locking/rwsem.c:rwsem_wake */
function rwsem_wake(k: Kernel, sem: rw_semaphore): void {
  if (sem.readers > 0) return;
  const next = sem.wait_list.shift();
  sem.owner = next ?? null;
  if (next !== undefined) wake_up_process(k, next);
}

/** Takes it for reading if no writer has it or waits for it. @mirrors kernel/locking/rwsem.c:__down_read_trylock */
function __down_read_trylock(sem: rw_semaphore): boolean {
  if (sem.owner !== null || sem.wait_list.length > 0) return false;
  sem.readers++;
  return true;
}

/**
 * Takes the semaphore for reading unless a writer has it or waits for it. Returns whether it did. A point before.
 *
 * Context: process context.
 *
 * @mirrors kernel/locking/rwsem.c:down_read_trylock
 */
export function down_read_trylock(k: Kernel, sem: rw_semaphore): Atomic<boolean> {
  return pt(k, POINT_LOCK, sem) ? trylockAtPoint(k, sem) : done(tryRead(k, sem));
}

function* trylockAtPoint(k: Kernel, sem: rw_semaphore): Atomic<boolean> {
  yield STEP;
  return tryRead(k, sem);
}

function tryRead(k: Kernel, sem: rw_semaphore): boolean {
  const got = __down_read_trylock(sem);
  if (got && k.config.debug) lock_acquire(k, sem.dep_map, true, 1, true);
  return got;
}

/**
 * Takes the semaphore for writing.
 *
 * Context: process context. Sleeps until it can be had.
 *
 * @mirrors kernel/locking/rwsem.c:down_write
 */
export function* down_write(k: Kernel, sem: rw_semaphore): MaySleep<void> {
  might_sleep(k);
  if (k.config.debug) lock_acquire(k, sem.dep_map, false, 0, true);
  if (pt(k, POINT_LOCK, sem)) yield STEP;
  const p = current(k);
  if (sem.readers === 0 && sem.owner === null && sem.wait_list.length === 0) {
    sem.owner = p;
    return;
  }
  sem.wait_list.push(p);
  for (;;) {
    set_current_state(k, TASK_UNINTERRUPTIBLE);
    if (sem.owner === p) break;
    if (pt(k, POINT_WAIT, sem)) yield STEP;
    p.waitingFor = sem.waitingFor;
    yield* schedule(k);
    p.waitingFor = "";
  }
  __set_current_state(k, TASK_RUNNING);
}

/** Releases a reader's hold. Not a point. @mirrors kernel/locking/rwsem.c:up_read */
export function up_read(k: Kernel, sem: rw_semaphore): void {
  if (k.config.debug) lock_release(k, sem.dep_map);
  if (WARN_ON(k, sem.readers === 0)) return;
  sem.readers--;
  rwsem_wake(k, sem);
}

/** Releases the writer's hold. Not a point. @mirrors kernel/locking/rwsem.c:up_write */
export function up_write(k: Kernel, sem: rw_semaphore): void {
  if (k.config.debug) lock_release(k, sem.dep_map);
  WARN_ON(k, sem.owner !== current(k));
  rwsem_wake(k, sem);
}
