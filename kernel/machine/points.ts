// SPDX-License-Identifier: GPL-2.0-only
/**
 * Kinds of point: the places where another CPU or an interrupt may come in.
 *
 * A point is written `pt(k, KIND, object)`; it is guard, event counter and clock in one decrement. True means "yield
 * STEP now". The kind and the object's name make the site by which a schedule deviation is addressed.
 *
 * @module
 */

import type { Machine } from "./machine.ts";

export const POINT_READ = 1; // READ_ONCE, smp_load_acquire, rcu_dereference
export const POINT_WRITE = 2; // WRITE_ONCE, smp_store_release, rcu_assign_pointer
export const POINT_RMW = 3; // xchg, cmpxchg, atomic_*
export const POINT_LOCK = 4; // before an acquisition
export const POINT_RESCHED = 5; // cond_resched
export const POINT_SCHEDULE = 6; // schedule: before the hook, before the runqueue lock
export const POINT_WAIT = 7; // between queueing and the condition, condition and sleep, wake-up and re-test
export const POINT_IRQ = 8; // interrupt entry and exit
export const POINT_SOFTIRQ = 9; // between vectors, between callbacks
export const POINT_WORK = 10; // PENDING cleared, function not yet started
export const POINT_ALLOC = 11; // allocation entry
export const POINT_READER = 12; // rcu_read_lock, rcu_read_unlock
export const POINT_IPI = 13; // sending an interprocessor interrupt
export const POINT_DELAY = 14; // udelay, cpu_relax, user mode
export const POINT_NAMED = 15; // the named points of the RCU code

/** Names of the kinds, for traces and tokens. */
export const POINT_NAMES: readonly string[] = [
  "none",
  "read",
  "write",
  "rmw",
  "lock",
  "cond_resched",
  "schedule",
  "wait",
  "irq",
  "softirq",
  "work",
  "alloc",
  "reader",
  "ipi",
  "delay",
  "named",
];

/** A name for `object` at a site: text as it is, anything with a name by its name. */
export type SiteObject = string | { readonly name: string };

/** Passes a point. True when the caller must `yield STEP`. */
export function pt(m: Machine, kind: number, object: SiteObject): boolean {
  return --m.budget < 0 && m.slow(kind, object);
}
