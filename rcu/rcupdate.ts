// SPDX-License-Identifier: GPL-2.0-only
/**
 * What users of RCU write. Mirrors include/linux/rcupdate.h (v5.7 plus the series' patch 7): readers, pointers, and
 * kfree_rcu / kvfree_rcu.
 *
 * A reader of a non-preemptible RCU disables preemption, a preemptible one counts; nothing else. RCU-protected pointers
 * live in emulated memory and are named by their address.
 *
 * @module
 */

import type { Ptr, VirtAddr } from "../kernel/machine/brand.ts";
import { type Atomic, done, doneVoid, type MaySleep, STEP } from "../kernel/machine/effects.ts";
import { POINT_READ, POINT_READER, POINT_WRITE, pt } from "../kernel/machine/points.ts";
import type { Fields, Layout } from "../kernel/machine/struct.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { preempt_disable, preempt_enable } from "../kernel/preempt.ts";
import { cond_resched } from "../kernel/sched/core.ts";
import { current, type task_struct } from "../kernel/sched/sched.ts";
import { local_bh_disable, local_bh_enable } from "../kernel/softirq.ts";
import { trace_rcu_read_lock, trace_rcu_read_unlock } from "../kernel/trace/events/quiesce.ts";
import {
  rcu_bh_lock_map,
  rcu_lock_acquire,
  rcu_lock_map,
  rcu_lock_release,
  RCU_LOCKDEP_WARN,
  rcu_sched_lock_map,
} from "../kernel/locking/lockdep_rcu.ts";
import { type KvfreeInterface, whereOffered } from "./levels/interfaces.ts";
import { RCU_GET_STATE_COMPLETED, type rcu_gp_oldstate, RCU_NEST_BIAS } from "./rcu.ts";
import { rcu_read_lock_bh_held, rcu_read_lock_held, rcu_read_lock_sched_held } from "./update.ts";

export { rcu_read_lock_held } from "./update.ts";

/** Readers without preemptible RCU: nobody takes the CPU from them. @mirrors include/linux/rcupdate.h:__rcu_read_lock */
export function __rcu_read_lock(k: Kernel): void {
  preempt_disable(k);
  current(k).rcu_read_lock_nesting++;
}

/** @mirrors include/linux/rcupdate.h:__rcu_read_unlock */
export function __rcu_read_unlock(k: Kernel): Atomic<void> {
  current(k).rcu_read_lock_nesting--;
  preempt_enable(k);
  return doneVoid();
}

/**
 * cond_resched() between two frees of a long row: a quiescent state, also for RCU-tasks. Returns whether it gave way.
 *
 * @mirrors include/linux/rcupdate.h:cond_resched_tasks_rcu_qs
 * @simplified there is no RCU-tasks
 */
export function cond_resched_tasks_rcu_qs(k: Kernel): MaySleep<boolean> {
  return cond_resched(k);
}

/** rcu_dereference() without the check. @mirrors include/linux/rcupdate.h:rcu_dereference_raw */
export function rcu_dereference_raw<S>(k: Kernel, pp: Ptr<Ptr<S>>): Atomic<Ptr<S>> {
  return pt(k, POINT_READ, "rcu_dereference") ? loadSlow(k, pp) : done(k.ram.loadPtr(pp) as Ptr<S>);
}

function* loadSlow<S>(k: Kernel, pp: VirtAddr): Atomic<Ptr<S>> {
  yield STEP;
  return k.ram.loadPtr(pp) as Ptr<S>;
}

/**
 * Publishes `v` at `pp`: readers that see the pointer see what it points to. A point before the store.
 *
 * @mirrors include/linux/rcupdate.h:rcu_assign_pointer
 */
export function rcu_assign_pointer<S>(k: Kernel, pp: Ptr<Ptr<S>>, v: Ptr<S>): Atomic<void> {
  if (pt(k, POINT_WRITE, "rcu_assign_pointer")) return storeSlow(k, pp, v);
  k.ram.storePtr(pp, v);
  return doneVoid();
}

function* storeSlow(k: Kernel, pp: VirtAddr, v: VirtAddr): Atomic<void> {
  yield STEP;
  k.ram.storePtr(pp, v);
}

/**
 * Publishes `v` at `pp` and returns what stood there. `c` is what keeps other updaters away.
 *
 * @mirrors include/linux/rcupdate.h:rcu_replace_pointer
 */
export function* rcu_replace_pointer<S>(
  k: Kernel,
  pp: Ptr<Ptr<S>>,
  v: Ptr<S>,
  c: boolean = true,
): Atomic<Ptr<S>> {
  const old = rcu_dereference_protected(k, pp, c);
  yield* rcu_assign_pointer(k, pp, v);
  return old;
}

/** The value of the pointer at `pp`, only to be compared: it may not be followed. @mirrors include/linux/rcupdate.h:rcu_access_pointer */
export function rcu_access_pointer<S>(k: Kernel, pp: Ptr<Ptr<S>>): Atomic<Ptr<S>> {
  return rcu_dereference_raw(k, pp);
}

/** rcu_dereference() that is also legal where `c` holds: the updater's lock, say. @mirrors include/linux/rcupdate.h:rcu_dereference_check */
export function rcu_dereference_check<S>(k: Kernel, pp: Ptr<Ptr<S>>, c: boolean): Atomic<Ptr<S>> {
  if (!c && !rcu_read_lock_held(k)) RCU_LOCKDEP_WARN(k, true, "suspicious rcu_dereference_check() usage");
  return rcu_dereference_raw(k, pp);
}

/**
 * The pointer at `pp`, for updaters that exclude each other. Plain.
 *
 * Context: where `c` holds; otherwise reported, once. Left out it is taken to hold.
 *
 * @mirrors include/linux/rcupdate.h:rcu_dereference_protected
 */
export function rcu_dereference_protected<S>(k: Kernel, pp: Ptr<Ptr<S>>, c: boolean = true): Ptr<S> {
  if (!c) RCU_LOCKDEP_WARN(k, true, "suspicious rcu_dereference_protected() usage");
  return k.ram.loadPtr(pp) as Ptr<S>;
}

/**
 * Fetches the RCU-protected pointer that stands at `pp`. A point before the load.
 *
 * Context: in a read-side critical section; otherwise reported, once.
 *
 * @mirrors include/linux/rcupdate.h:rcu_dereference
 */
export function rcu_dereference<S>(k: Kernel, pp: Ptr<Ptr<S>>): Atomic<Ptr<S>> {
  return rcu_dereference_check(k, pp, false);
}

/** rcu_dereference() for readers with bottom halves off. @mirrors include/linux/rcupdate.h:rcu_dereference_bh */
export function rcu_dereference_bh<S>(k: Kernel, pp: Ptr<Ptr<S>>): Atomic<Ptr<S>> {
  if (!rcu_read_lock_bh_held(k)) RCU_LOCKDEP_WARN(k, true, "suspicious rcu_dereference_bh_check() usage");
  return rcu_dereference_raw(k, pp);
}

/** rcu_dereference() for readers with preemption off. @mirrors include/linux/rcupdate.h:rcu_dereference_sched */
export function rcu_dereference_sched<S>(k: Kernel, pp: Ptr<Ptr<S>>): Atomic<Ptr<S>> {
  const held = rcu_read_lock_sched_held(k);
  if (!held) RCU_LOCKDEP_WARN(k, true, "suspicious rcu_dereference_sched_check() usage");
  return rcu_dereference_raw(k, pp);
}

/** Says that `p` outlives the reader now: a lock or a count protects it. @mirrors include/linux/rcupdate.h:rcu_pointer_handoff */
export function rcu_pointer_handoff<S>(p: Ptr<S>): Ptr<S> {
  return p;
}

/**
 * Enters a read-side critical section. Nests. A point after it has begun.
 *
 * Context: any. Sleeping before rcu_read_unlock() is reported.
 *
 * @mirrors include/linux/rcupdate.h:rcu_read_lock
 * @simplified the nesting is counted in every flavour, where Linux asks lockdep
 */
export function rcu_read_lock(k: Kernel): Atomic<void> {
  k.rcu.__rcu_read_lock(k);
  trace_rcu_read_lock(k, readerDepth(current(k)));
  rcu_lock_acquire(k, rcu_lock_map);
  if (!k.rcu.rcu_is_watching(k)) RCU_LOCKDEP_WARN(k, true, "rcu_read_lock() used illegally while idle");
  return pt(k, POINT_READER, "rcu_read_lock") ? step() : doneVoid();
}

/**
 * Leaves a read-side critical section. A point before it ends.
 *
 * @mirrors include/linux/rcupdate.h:rcu_read_unlock
 */
export function rcu_read_unlock(k: Kernel): Atomic<void> {
  return pt(k, POINT_READER, "rcu_read_unlock") ? unlockSlow(k) : endReader(k);
}

function* unlockSlow(k: Kernel): Atomic<void> {
  yield STEP;
  yield* endReader(k);
}

/**
 * The trace says that the reader ends when it begins to end: with preemptible readers the grace period may end before
 * the call returns.
 */
function endReader(k: Kernel): Atomic<void> {
  if (!k.rcu.rcu_is_watching(k)) RCU_LOCKDEP_WARN(k, true, "rcu_read_unlock() used illegally while idle");
  // Without a reader the count stays as it is; lockdep reports it.
  const depth = readerDepth(current(k));
  if (depth > 0) trace_rcu_read_unlock(k, depth - 1);
  rcu_lock_release(k, rcu_lock_map);
  return depth > 0 ? k.rcu.__rcu_read_unlock(k) : doneVoid();
}

/** How deep a task is in readers. Below zero its outermost one is about to end, and an interrupt's own are on top. */
function readerDepth(p: task_struct): number {
  const nesting = p.rcu_read_lock_nesting;
  return nesting >= 0 ? nesting : nesting + RCU_NEST_BIAS;
}

function* step(): Atomic<void> {
  yield STEP;
}

/** Readers of the bh kind: bottom halves are off. @mirrors include/linux/rcupdate.h:rcu_read_lock_bh */
export function rcu_read_lock_bh(k: Kernel): void {
  local_bh_disable(k);
  rcu_lock_acquire(k, rcu_bh_lock_map);
  if (!k.rcu.rcu_is_watching(k)) RCU_LOCKDEP_WARN(k, true, "rcu_read_lock_bh() used illegally while idle");
}

/** Ends it; what softirqs are pending run here. @mirrors include/linux/rcupdate.h:rcu_read_unlock_bh */
export function rcu_read_unlock_bh(k: Kernel): Atomic<void> {
  if (!k.rcu.rcu_is_watching(k)) RCU_LOCKDEP_WARN(k, true, "rcu_read_unlock_bh() used illegally while idle");
  rcu_lock_release(k, rcu_bh_lock_map);
  return local_bh_enable(k);
}

/** Readers of the sched kind: preemption is off. @mirrors include/linux/rcupdate.h:rcu_read_lock_sched */
export function rcu_read_lock_sched(k: Kernel): void {
  preempt_disable(k);
  rcu_lock_acquire(k, rcu_sched_lock_map);
  if (!k.rcu.rcu_is_watching(k)) RCU_LOCKDEP_WARN(k, true, "rcu_read_lock_sched() used illegally while idle");
}

/** @mirrors include/linux/rcupdate.h:rcu_read_unlock_sched */
export function rcu_read_unlock_sched(k: Kernel): void {
  if (!k.rcu.rcu_is_watching(k)) {
    RCU_LOCKDEP_WARN(k, true, "rcu_read_unlock_sched() used illegally while idle");
  }
  rcu_lock_release(k, rcu_sched_lock_map);
  preempt_enable(k);
}

/** Stores a pointer that no reader can follow yet. Plain. @mirrors include/linux/rcupdate.h:RCU_INIT_POINTER */
export function RCU_INIT_POINTER<S>(k: Kernel, pp: Ptr<Ptr<S>>, v: Ptr<S>): void {
  k.ram.storePtr(pp, v);
}

/** Waits for a grace period of the booted flavour. @mirrors kernel/rcu/tree.c:synchronize_rcu */
export function synchronize_rcu(k: Kernel): MaySleep<void> {
  return k.rcu.synchronize_rcu(k);
}

/** Waits for the callbacks queued so far; not for what kvfree_rcu() has batched. @mirrors kernel/rcu/tree.c:rcu_barrier */
export function rcu_barrier(k: Kernel): MaySleep<void> {
  return k.rcu.rcu_barrier(k);
}

/** The cookie that is always done. @mirrors kernel/rcu/update.c:get_completed_synchronize_rcu (v6.0) */
export function get_completed_synchronize_rcu(_k: Kernel): number {
  return RCU_GET_STATE_COMPLETED;
}

/** Leaves a cookie that is always done. @mirrors kernel/rcu/tree.c:get_completed_synchronize_rcu_full (v6.1) */
export function get_completed_synchronize_rcu_full(k: Kernel, rgosp: rcu_gp_oldstate): void {
  k.rcu.get_completed_synchronize_rcu_full(k, rgosp);
}

/** A cookie for polling: done a whole grace period from now, if there is one. @mirrors kernel/rcu/tree.c:get_state_synchronize_rcu */
export function get_state_synchronize_rcu(k: Kernel): number {
  return k.rcu.get_state_synchronize_rcu(k);
}

/** A cookie of the full form, left in the caller's memory. @mirrors kernel/rcu/tree.c:get_state_synchronize_rcu_full (v6.1) */
export function get_state_synchronize_rcu_full(k: Kernel, rgosp: rcu_gp_oldstate): void {
  k.rcu.get_state_synchronize_rcu_full(k, rgosp);
}

/** A cookie, and its grace period is asked for. @mirrors kernel/rcu/tree.c:start_poll_synchronize_rcu (v6.0) */
export function start_poll_synchronize_rcu(k: Kernel): Atomic<number> {
  return k.rcu.start_poll_synchronize_rcu(k);
}

/** A cookie of the full form, and its grace period is asked for. @mirrors kernel/rcu/tree.c:start_poll_synchronize_rcu_full (v6.1) */
export function start_poll_synchronize_rcu_full(k: Kernel, rgosp: rcu_gp_oldstate): Atomic<void> {
  return k.rcu.start_poll_synchronize_rcu_full(k, rgosp);
}

/** Whether a whole grace period has passed since the cookie was taken. @mirrors kernel/rcu/tree.c:poll_state_synchronize_rcu (v6.0) */
export function poll_state_synchronize_rcu(k: Kernel, oldstate: number): boolean {
  return k.rcu.poll_state_synchronize_rcu(k, oldstate);
}

/** The same for a cookie of the full form. @mirrors kernel/rcu/tree.c:poll_state_synchronize_rcu_full (v6.1) */
export function poll_state_synchronize_rcu_full(k: Kernel, rgosp: rcu_gp_oldstate): boolean {
  return k.rcu.poll_state_synchronize_rcu_full(k, rgosp);
}

/** Waits unless a whole grace period has passed since the cookie was taken. @mirrors kernel/rcu/tree.c:cond_synchronize_rcu */
export function cond_synchronize_rcu(k: Kernel, oldstate: number): MaySleep<void> {
  return k.rcu.cond_synchronize_rcu(k, oldstate);
}

/** The same for a cookie of the full form. @mirrors kernel/rcu/tree.c:cond_synchronize_rcu_full (v6.1) */
export function cond_synchronize_rcu_full(k: Kernel, rgosp: rcu_gp_oldstate): MaySleep<void> {
  return k.rcu.cond_synchronize_rcu_full(k, rgosp);
}

/** Runs `func` on `head` after a grace period, in softirq context. @mirrors kernel/rcu/tree.c:call_rcu */
export function call_rcu(
  k: Kernel,
  head: VirtAddr,
  func: (k: Kernel, head: VirtAddr) => Atomic<void>,
): Atomic<void> {
  if (typeof head !== "number" || (typeof func !== "function" && typeof func !== "number")) {
    throw new TypeError(
      `call_rcu() takes the address of an rcu_head and a function, not ${head} and ${func}`,
    );
  }
  return k.rcu.call_rcu(k, head, func);
}

/**
 * Frees `p` after a grace period through the rcu_head that it contains: member `rhf` of `layout`.
 *
 * From v5.13 to v6.3 it takes the pointer alone too, and then may sleep: kvfreeApi() has that form.
 *
 * Context: any. Sleeps: never, with the head. NULL does nothing. The head must start below byte 4096.
 *
 * @mirrors include/linux/rcupdate.h:kfree_rcu
 */
export function kfree_rcu<F extends Fields>(
  k: Kernel,
  p: Ptr<Layout<F>>,
  layout: Layout<F>,
  rhf: keyof F & string,
): Atomic<void>;
export function kfree_rcu(
  k: Kernel,
  p: VirtAddr,
  layout?: Layout<Fields>,
  rhf?: string,
  extra?: unknown,
): MaySleep<void> {
  return k.kvfree.macros.kfree_rcu(k, p, layout, rhf, extra);
}

/**
 * Frees `p`, from kmalloc or vmalloc, after a grace period.
 *
 * With `layout` and `rhf` the object brings its own rcu_head: never sleeps. With the pointer alone (headless, from 7/7 to
 * v6.3) it may sleep. NULL does nothing in either form.
 *
 * @mirrors include/linux/rcupdate.h:kvfree_rcu (7/7)
 */
export function kvfree_rcu(k: Kernel, p: VirtAddr): MaySleep<void>;
export function kvfree_rcu<F extends Fields>(
  k: Kernel,
  p: Ptr<Layout<F>>,
  layout: Layout<F>,
  rhf: keyof F & string,
): Atomic<void>;
export function kvfree_rcu(
  k: Kernel,
  p: VirtAddr,
  layout?: Layout<Fields>,
  rhf?: string,
  extra?: unknown,
): MaySleep<void> {
  return k.kvfree.macros.kvfree_rcu(k, p, layout, rhf, extra);
}

/**
 * Frees `p`, which needs no rcu_head, after a grace period; may sleep, as its name says. From v6.3-rc1 on.
 *
 * @mirrors include/linux/rcupdate.h:kvfree_rcu_mightsleep (v6.3)
 */
export function kvfree_rcu_mightsleep(k: Kernel, p: VirtAddr, extra?: unknown): MaySleep<void> {
  const { kvfree_rcu_mightsleep: macro } = k.kvfree.macros;
  if (macro === null) return notThere(k, "kvfree_rcu_mightsleep(ptr)");
  return macro(k, p, undefined, undefined, extra);
}

/** The same under the name for kmalloc memory. @mirrors include/linux/rcupdate.h:kfree_rcu_mightsleep (v6.3) */
export function kfree_rcu_mightsleep(k: Kernel, p: VirtAddr, extra?: unknown): MaySleep<void> {
  const { kfree_rcu_mightsleep: macro } = k.kvfree.macros;
  if (macro === null) return notThere(k, "kfree_rcu_mightsleep(ptr)");
  return macro(k, p, undefined, undefined, extra);
}

/**
 * Waits until everything that was given to kvfree_rcu() before is freed. From v6.12 on.
 *
 * @mirrors kernel/rcu/tree.c:kvfree_rcu_barrier (v6.12)
 */
export function kvfree_rcu_barrier(k: Kernel): MaySleep<void> {
  const { kvfree_rcu_barrier: barrier } = k.kvfree;
  return barrier === null ? notThere(k, "kvfree_rcu_barrier()") : barrier(k);
}

function notThere(k: Kernel, name: KvfreeInterface): never {
  throw new TypeError(`${name} is not there at level ${k.config.level}: it ${whereOffered(name)}`);
}
