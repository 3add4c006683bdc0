// SPDX-License-Identifier: GPL-2.0-only
/**
 * Spinlocks. Mirrors include/linux/spinlock.h, kernel/locking/spinlock.c, the checks of spinlock_debug.c and the queueing
 * of qspinlock.c (v5.7).
 *
 * There is one point before each acquisition. A CPU that does not get the lock is not run until the lock is handed to it,
 * in order of arrival; meanwhile it takes interrupts if it has them on. Unlocking is a plain call.
 *
 * Invariant: at most one CPU owns the lock, and a CPU waits for it once. What would spin for ever on one CPU (the lock
 * taken twice, or wanted by an interrupt handler of a CPU that waits for it) is reported and ends the context.
 *
 * @module
 */

import type { IrqFlags } from "../machine/brand.ts";
import type { Cpu, Spinnable, Thread } from "../machine/cpu.ts";
import { type Atomic, done, doneVoid, STEP } from "../machine/effects.ts";
import { POINT_LOCK, pt } from "../machine/points.ts";
import { debug_locks, debug_locks_off, KernelOops, WARN_ON } from "../bug.ts";
import type { Kernel } from "../kernel.ts";
import {
  local_irq_disable,
  local_irq_enable,
  local_irq_restore,
  local_irq_save,
  preempt_disable,
  preempt_enable,
} from "../preempt.ts";
import { dumpStackLines, KERN_EMERG, report } from "../printk.ts";
import {
  LD_WAIT_CONFIG,
  LD_WAIT_INV,
  LD_WAIT_SPIN,
  lock_acquire,
  lock_release,
  lockdep_map,
} from "./lockdep.ts";

/** A queued spinlock that spins whatever the kernel is built with. @mirrors include/linux/spinlock_types.h:raw_spinlock_t */
export class raw_spinlock_t implements Spinnable {
  owner: Cpu | null = null;
  /** Who took it: the task that runs on `owner`, unless that sleeps with the lock held. */
  holder: Thread | null = null;
  releasedAt = 0;
  /** CPUs that wait, in order of arrival. */
  readonly waiters: Cpu[] = [];
  readonly dep_map: lockdep_map;

  /** `depName` is what lockdep calls it, where that is something else. */
  constructor(readonly name: string, depName = name, wait_type = LD_WAIT_SPIN) {
    this.dep_map = new lockdep_map(depName, LD_WAIT_INV, wait_type);
  }
}

/**
 * A spinlock that sleeps with PREEMPT_RT, so that it must not be taken under a raw_spinlock_t. Here both are the same thing,
 * and all functions take either; Config.rawLockNesting tells them apart.
 *
 * @mirrors include/linux/spinlock_types.h:spinlock_t
 */
export class spinlock_t extends raw_spinlock_t {
  constructor(name: string, depName = name) {
    super(name, depName, LD_WAIT_CONFIG);
  }
}

function takeLock(lock: raw_spinlock_t, cpu: Cpu): void {
  lock.owner = cpu;
  lock.holder = cpu.current;
}

function* lockSlow(k: Kernel, lock: raw_spinlock_t, atPoint: boolean): Atomic<void> {
  if (atPoint) yield STEP;
  const cpu = k.cpu;
  if (lock.owner === null) {
    takeLock(lock, cpu);
    return;
  }
  debug_spin_lock_before(k, lock);
  lock.waiters.push(cpu);
  while (lock.owner !== cpu) {
    cpu.blockedOn = lock;
    yield STEP;
  }
  cpu.blockedOn = null;
}

/** The report of spinlock debugging. @mirrors kernel/locking/spinlock_debug.c:spin_dump */
function spin_dump(k: Kernel, lock: raw_spinlock_t, msg: string): string {
  const { comm, pid } = k.cpu.current;
  const title = `BUG: spinlock ${msg} on CPU#${k.cpu.id}, ${comm}/${pid}`;
  const owner = lock.holder === null ? "<none>/-1" : `${lock.holder.comm}/${lock.holder.pid}`;
  report(k, KERN_EMERG, title, [
    title,
    ` lock: ${lock.name}, .magic: dead4ead, .owner: ${owner}, .owner_cpu: ${lock.owner?.id ?? -1}`,
    ...dumpStackLines(k),
  ]);
  return title;
}

/**
 * Whether this CPU can ever get the lock: not while it holds it, nor in an interrupt that hit it waiting for it.
 *
 * @mirrors kernel/locking/spinlock_debug.c:debug_spin_lock_before
 * @simplified where Linux reports and then spins for ever, the context is unwound: a task dies, an interrupt panics
 */
function debug_spin_lock_before(k: Kernel, lock: raw_spinlock_t): void {
  const { cpu } = k;
  if (lock.owner !== cpu && !lock.waiters.includes(cpu)) return;
  const msg = lock.owner === cpu && lock.holder !== cpu.current ? "cpu recursion" : "recursion";
  debug_locks_off(k);
  throw new KernelOops(spin_dump(k, lock, msg));
}

/** @mirrors kernel/locking/spinlock_debug.c:debug_spin_unlock */
function debug_spin_unlock(k: Kernel, lock: raw_spinlock_t): void {
  const { cpu } = k;
  if (!debug_locks_off(k)) return;
  const wrong = lock.holder === cpu.current ? "wrong CPU" : "wrong owner";
  spin_dump(k, lock, lock.owner === null ? "already unlocked" : wrong);
}

/** Makes a lock free; only before anybody knows it. @mirrors include/linux/spinlock.h:raw_spin_lock_init */
export function raw_spin_lock_init(lock: raw_spinlock_t): void {
  lock.owner = null;
  lock.holder = null;
  lock.waiters.length = 0;
}

/** Whether anybody holds the lock. @mirrors include/linux/spinlock.h:raw_spin_is_locked */
export function raw_spin_is_locked(lock: raw_spinlock_t): boolean {
  return lock.owner !== null;
}

/** Whether anybody waits for the lock. @mirrors include/linux/spinlock.h:raw_spin_is_contended */
export function raw_spin_is_contended(lock: raw_spinlock_t): boolean {
  return lock.waiters.length > 0;
}

/**
 * Takes the lock if it is free. A point before the attempt.
 *
 * @mirrors include/linux/spinlock.h:raw_spin_trylock
 */
export function raw_spin_trylock(k: Kernel, lock: raw_spinlock_t): Atomic<boolean> {
  preempt_disable(k);
  if (pt(k, POINT_LOCK, lock)) return trylockSlow(k, lock);
  return done(tryTake(k, lock));
}

/**
 * Takes the lock with preemption off. A point before the acquisition.
 *
 * Context: any. Taking a lock that this CPU holds already is a BUG.
 *
 * @mirrors include/linux/spinlock.h:raw_spin_lock
 */
export function raw_spin_lock(k: Kernel, lock: raw_spinlock_t): Atomic<void> {
  preempt_disable(k);
  if (k.config.debug) spin_acquire(k, lock, false);
  if (pt(k, POINT_LOCK, lock)) return lockSlow(k, lock, true);
  if (lock.owner !== null) return lockSlow(k, lock, false);
  takeLock(lock, k.cpu);
  return doneVoid();
}

/**
 * Disables interrupts, takes the lock, returns the flags for raw_spin_unlock_irqrestore().
 *
 * @mirrors include/linux/spinlock.h:raw_spin_lock_irqsave
 */
export function raw_spin_lock_irqsave(k: Kernel, lock: raw_spinlock_t): Atomic<IrqFlags> {
  const flags = local_irq_save(k);
  preempt_disable(k);
  if (k.config.debug) spin_acquire(k, lock, false);
  if (pt(k, POINT_LOCK, lock)) return lockSlowFlags(k, lock, true, flags);
  if (lock.owner !== null) return lockSlowFlags(k, lock, false, flags);
  takeLock(lock, k.cpu);
  return done(flags);
}

function* trylockSlow(k: Kernel, lock: raw_spinlock_t): Atomic<boolean> {
  yield STEP;
  return tryTake(k, lock);
}

function tryTake(k: Kernel, lock: raw_spinlock_t): boolean {
  if (lock.owner === null) {
    takeLock(lock, k.cpu);
    if (k.config.debug) spin_acquire(k, lock, true);
    return true;
  }
  preempt_enable(k);
  return false;
}

/** Releases the lock itself: the next CPU in line gets it. */
function releaseLock(k: Kernel, lock: raw_spinlock_t): void {
  const { cpu } = k;
  if (k.config.debug) lock_release(k, lock.dep_map);
  if (lock.owner !== cpu || lock.holder !== cpu.current) debug_spin_unlock(k, lock);
  if (lock.waiters.length === 0) {
    lock.owner = null;
    lock.holder = null;
    return;
  }
  takeLock(lock, lock.waiters.shift() as Cpu);
  lock.releasedAt = k.now();
  k.othersCanRun();
}

/** @mirrors include/linux/spinlock.h:raw_spin_lock_irq */
export function raw_spin_lock_irq(k: Kernel, lock: raw_spinlock_t): Atomic<void> {
  local_irq_disable(k);
  return raw_spin_lock(k, lock);
}

/**
 * Releases the lock. Not a point: another CPU that waits runs from here on.
 *
 * @mirrors include/linux/spinlock.h:raw_spin_unlock
 */
export function raw_spin_unlock(k: Kernel, lock: raw_spinlock_t): void {
  releaseLock(k, lock);
  preempt_enable(k);
}

/** @mirrors include/linux/spinlock.h:raw_spin_unlock_irq */
export function raw_spin_unlock_irq(k: Kernel, lock: raw_spinlock_t): void {
  releaseLock(k, lock);
  local_irq_enable(k);
  preempt_enable(k);
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
  releaseLock(k, lock);
  local_irq_restore(k, flags);
  preempt_enable(k);
}

/** Warns when this CPU does not hold the lock. @mirrors include/linux/lockdep.h:lockdep_assert_held */
export function lockdep_assert_held(k: Kernel, lock: raw_spinlock_t): void {
  if (lock.owner !== k.cpu && k.config.debug && debug_locks(k)) WARN_ON(k, true);
}

/** @mirrors include/linux/lockdep.h:spin_acquire */
function spin_acquire(k: Kernel, lock: raw_spinlock_t, trylock: boolean): void {
  lock_acquire(k, lock.dep_map, trylock, 0, true);
}

/** Takes the lock with interrupts off if it is free; null when it is not. @mirrors include/linux/spinlock.h:raw_spin_trylock_irqsave */
export function* raw_spin_trylock_irqsave(k: Kernel, lock: raw_spinlock_t): Atomic<IrqFlags | null> {
  const flags = local_irq_save(k);
  if (yield* raw_spin_trylock(k, lock)) return flags;
  local_irq_restore(k, flags);
  return null;
}

/** @mirrors include/linux/spinlock.h:spin_lock_init */
export const spin_lock_init: typeof raw_spin_lock_init = raw_spin_lock_init;

/** @mirrors include/linux/spinlock.h:spin_lock */
export const spin_lock: typeof raw_spin_lock = raw_spin_lock;
/** @mirrors include/linux/spinlock.h:spin_trylock */
export const spin_trylock: typeof raw_spin_trylock = raw_spin_trylock;
/** @mirrors include/linux/spinlock.h:spin_lock_irq */
export const spin_lock_irq: typeof raw_spin_lock_irq = raw_spin_lock_irq;
/** @mirrors include/linux/spinlock.h:spin_lock_irqsave */
export const spin_lock_irqsave: typeof raw_spin_lock_irqsave = raw_spin_lock_irqsave;
/** @mirrors include/linux/spinlock.h:spin_unlock */
export const spin_unlock: typeof raw_spin_unlock = raw_spin_unlock;
/** @mirrors include/linux/spinlock.h:spin_unlock_irq */
export const spin_unlock_irq: typeof raw_spin_unlock_irq = raw_spin_unlock_irq;
/** @mirrors include/linux/spinlock.h:spin_unlock_irqrestore */
export const spin_unlock_irqrestore: typeof raw_spin_unlock_irqrestore = raw_spin_unlock_irqrestore;
