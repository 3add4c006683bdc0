// SPDX-License-Identifier: GPL-2.0-only
/**
 * Spinlocks. Mirrors include/linux/spinlock.h, kernel/locking/spinlock.c and the queueing of qspinlock.c (v5.7).
 *
 * There is one point before each acquisition. A CPU that does not get the lock is not run until the lock is handed to it,
 * in order of arrival; meanwhile it takes interrupts if it has them on. Unlocking is a plain call. A lock taken twice by
 * one CPU, or released by one that does not hold it, is reported.
 *
 * @module
 */

import { assert } from "../machine/assert.ts";
import type { IrqFlags } from "../machine/brand.ts";
import type { Cpu, Spinnable } from "../machine/cpu.ts";
import { type Atomic, done, doneVoid, STEP } from "../machine/effects.ts";
import { POINT_LOCK, pt } from "../machine/points.ts";
import { BUG } from "../bug.ts";
import type { Kernel } from "../kernel.ts";
import {
  local_irq_disable,
  local_irq_enable,
  local_irq_restore,
  local_irq_save,
  preempt_disable,
  preempt_enable,
} from "../preempt.ts";

/** A queued spinlock. `spinlock_t` and `raw_spinlock_t` are the same thing without PREEMPT_RT. @mirrors include/linux/spinlock_types.h:raw_spinlock_t */
export class raw_spinlock_t implements Spinnable {
  owner: Cpu | null = null;
  releasedAt = 0;
  /** CPUs that wait, in order of arrival. */
  readonly waiters: Cpu[] = [];

  constructor(readonly name: string) {}
}

export type spinlock_t = raw_spinlock_t;

/**
 * Takes the lock with preemption off. A point before the acquisition.
 *
 * Context: any. Taking a lock that this CPU holds already is a BUG.
 *
 * @mirrors include/linux/spinlock.h:raw_spin_lock
 */
export function raw_spin_lock(k: Kernel, lock: raw_spinlock_t): Atomic<void> {
  preempt_disable(k);
  if (pt(k, POINT_LOCK, lock)) return lockSlow(k, lock, true);
  if (lock.owner !== null) return lockSlow(k, lock, false);
  lock.owner = k.cpu;
  return doneVoid();
}

function* lockSlow(k: Kernel, lock: raw_spinlock_t, atPoint: boolean): Atomic<void> {
  if (atPoint) yield STEP;
  const cpu = k.cpu;
  if (lock.owner === null) {
    lock.owner = cpu;
    return;
  }
  if (lock.owner === cpu) {
    BUG(k, `BUG: spinlock recursion on CPU#${cpu.id}, ${cpu.current.comm}/${cpu.current.pid}: ${lock.name}`);
  }
  lock.waiters.push(cpu);
  while (lock.owner !== cpu) {
    cpu.blockedOn = lock;
    yield STEP;
  }
  cpu.blockedOn = null;
}

/**
 * Takes the lock if it is free. A point before the attempt.
 *
 * @mirrors include/linux/spinlock.h:raw_spin_trylock
 */
export function raw_spin_trylock(k: Kernel, lock: raw_spinlock_t): Atomic<boolean> {
  preempt_disable(k);
  if (pt(k, POINT_LOCK, lock)) return trylockSlow(k, lock);
  return done(trylock(k, lock));
}

function* trylockSlow(k: Kernel, lock: raw_spinlock_t): Atomic<boolean> {
  yield STEP;
  return trylock(k, lock);
}

function trylock(k: Kernel, lock: raw_spinlock_t): boolean {
  if (lock.owner === null) {
    lock.owner = k.cpu;
    return true;
  }
  preempt_enable(k);
  return false;
}

/** Releases the lock itself: the next CPU in line gets it. */
function release(k: Kernel, lock: raw_spinlock_t): void {
  assert(lock.owner === k.cpu, `${lock.name} is released by a CPU that does not hold it`);
  if (lock.waiters.length === 0) {
    lock.owner = null;
    return;
  }
  lock.owner = lock.waiters.shift() ?? null;
  lock.releasedAt = k.now();
  k.othersCanRun();
}

/**
 * Releases the lock. Not a point: another CPU that waits runs from here on.
 *
 * @mirrors include/linux/spinlock.h:raw_spin_unlock
 */
export function raw_spin_unlock(k: Kernel, lock: raw_spinlock_t): void {
  release(k, lock);
  preempt_enable(k);
}

/** @mirrors include/linux/spinlock.h:raw_spin_lock_irq */
export function raw_spin_lock_irq(k: Kernel, lock: raw_spinlock_t): Atomic<void> {
  local_irq_disable(k);
  return raw_spin_lock(k, lock);
}

/** @mirrors include/linux/spinlock.h:raw_spin_unlock_irq */
export function raw_spin_unlock_irq(k: Kernel, lock: raw_spinlock_t): void {
  release(k, lock);
  local_irq_enable(k);
  preempt_enable(k);
}

/**
 * Disables interrupts, takes the lock, returns the flags for raw_spin_unlock_irqrestore().
 *
 * @mirrors include/linux/spinlock.h:raw_spin_lock_irqsave
 */
export function raw_spin_lock_irqsave(k: Kernel, lock: raw_spinlock_t): Atomic<IrqFlags> {
  const flags = local_irq_save(k);
  preempt_disable(k);
  if (pt(k, POINT_LOCK, lock)) return lockSlowFlags(k, lock, true, flags);
  if (lock.owner !== null) return lockSlowFlags(k, lock, false, flags);
  lock.owner = k.cpu;
  return done(flags);
}

function* lockSlowFlags(
  k: Kernel,
  lock: raw_spinlock_t,
  atPoint: boolean,
  flags: IrqFlags,
): Atomic<IrqFlags> {
  yield* lockSlow(k, lock, atPoint);
  return flags;
}

/** @mirrors include/linux/spinlock.h:raw_spin_unlock_irqrestore */
export function raw_spin_unlock_irqrestore(k: Kernel, lock: raw_spinlock_t, flags: IrqFlags): void {
  release(k, lock);
  local_irq_restore(k, flags);
  preempt_enable(k);
}

/** Whether this CPU holds the lock. @mirrors include/linux/lockdep.h:lockdep_assert_held */
export function lockdep_assert_held(k: Kernel, lock: raw_spinlock_t): void {
  assert(lock.owner === k.cpu, `${lock.name} is not held`);
}

/** @mirrors include/linux/spinlock.h:spin_lock */
export const spin_lock: typeof raw_spin_lock = raw_spin_lock;
/** @mirrors include/linux/spinlock.h:spin_trylock */
export const spin_trylock: typeof raw_spin_trylock = raw_spin_trylock;
/** @mirrors include/linux/spinlock.h:spin_unlock */
export const spin_unlock: typeof raw_spin_unlock = raw_spin_unlock;
/** @mirrors include/linux/spinlock.h:spin_lock_irq */
export const spin_lock_irq: typeof raw_spin_lock_irq = raw_spin_lock_irq;
/** @mirrors include/linux/spinlock.h:spin_unlock_irq */
export const spin_unlock_irq: typeof raw_spin_unlock_irq = raw_spin_unlock_irq;
/** @mirrors include/linux/spinlock.h:spin_lock_irqsave */
export const spin_lock_irqsave: typeof raw_spin_lock_irqsave = raw_spin_lock_irqsave;
/** @mirrors include/linux/spinlock.h:spin_unlock_irqrestore */
export const spin_unlock_irqrestore: typeof raw_spin_unlock_irqrestore = raw_spin_unlock_irqrestore;
