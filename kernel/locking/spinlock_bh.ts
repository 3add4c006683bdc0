// SPDX-License-Identifier: GPL-2.0-only
/**
 * Spinlocks that keep softirqs out. Mirrors the _bh forms of include/linux/spinlock.h and spinlock_api_smp.h (v5.7).
 *
 * Invariant: while the lock is held no softirq runs on this CPU; what was raised meanwhile runs when it is released. In a
 * file of its own because softirqs, through their threads, use spinlocks themselves.
 *
 * @module
 */

import type { Atomic } from "../machine/effects.ts";
import type { Kernel } from "../kernel.ts";
import { local_bh_disable, local_bh_enable } from "../softirq.ts";
import { raw_spin_lock, raw_spin_trylock, raw_spin_unlock, type raw_spinlock_t } from "./spinlock.ts";

/** Takes the lock with softirqs off on this CPU. @mirrors include/linux/spinlock.h:raw_spin_lock_bh */
export function raw_spin_lock_bh(k: Kernel, lock: raw_spinlock_t): Atomic<void> {
  local_bh_disable(k);
  return raw_spin_lock(k, lock);
}

/** Releases the lock; what softirqs are pending run here. @mirrors include/linux/spinlock.h:raw_spin_unlock_bh */
export function raw_spin_unlock_bh(k: Kernel, lock: raw_spinlock_t): Atomic<void> {
  raw_spin_unlock(k, lock);
  return local_bh_enable(k);
}

/** Takes the lock with softirqs off if it is free. @mirrors include/linux/spinlock.h:raw_spin_trylock_bh */
export function* raw_spin_trylock_bh(k: Kernel, lock: raw_spinlock_t): Atomic<boolean> {
  local_bh_disable(k);
  if (yield* raw_spin_trylock(k, lock)) return true;
  yield* local_bh_enable(k);
  return false;
}

/** @mirrors include/linux/spinlock.h:spin_lock_bh */
export const spin_lock_bh: typeof raw_spin_lock_bh = raw_spin_lock_bh;
/** @mirrors include/linux/spinlock.h:spin_unlock_bh */
export const spin_unlock_bh: typeof raw_spin_unlock_bh = raw_spin_unlock_bh;
