// SPDX-License-Identifier: GPL-2.0-only
/**
 * Waiting for a callback, and whether grace periods are to be hurried. Mirrors kernel/rcu/update.c and rcupdate_wait.h
 * (v5.7).
 *
 * Boot is in a hurry: rcu_expedited_nesting starts at 1 and rcu_end_inkernel_boot() takes it down.
 *
 * The lockdep maps and what only needs them are in kernel/locking/lockdep_rcu.ts, where the scheduler can ask; this file
 * passes them on. Left out: the tasks flavour.
 *
 * @module
 */

import { NULL } from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import type { Atomic, MaySleep } from "../kernel/machine/effects.ts";
import { doneVoid } from "../kernel/machine/effects.ts";
import { embed, struct } from "../kernel/machine/struct.ts";
import { WARN_ON, WARN_ON_ONCE } from "../kernel/bug.ts";
import { debug_object_free, debug_object_init, debug_object_init_on_stack } from "../kernel/debugobjects.ts";
import { offStack, onStack } from "../kernel/fork.ts";
import { GFP_KERNEL } from "../kernel/gfp.ts";
import type { rcu_callback_t } from "../kernel/hooks.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { lock_is_held } from "../kernel/locking/lockdep.ts";
import {
  debug_lockdep_rcu_enabled,
  inMarkedReader,
  rcu_lock_map,
  rcu_sched_lock_map,
} from "../kernel/locking/lockdep_rcu.ts";
import { in_softirq, irqs_disabled, preemptible } from "../kernel/preempt.ts";
import { pr_info } from "../kernel/printk.ts";
import { complete, completion, init_completion, wait_for_completion } from "../kernel/sched/completion.ts";
import { KERNEL_STATIC, type KernelStatic, type StaticKey } from "../kernel/static.ts";
import { rcu_scheduler_active, RCU_SCHEDULER_INIT, RCU_SCHEDULER_RUNNING } from "../kernel/system_state.ts";
import { kmalloc } from "../mm/slub.ts";
import { rcu_head, rcuhead_debug_descr } from "./rcu.ts";

export {
  debug_lockdep_rcu_enabled,
  rcu_bh_lock_map,
  rcu_callback_map,
  rcu_lock_map,
  rcu_sched_lock_map,
} from "../kernel/locking/lockdep_rcu.ts";

/** rcupdate.rcu_expedited: every wait is hurried. @mirrors kernel/rcu/update.c:rcu_expedited */
export const rcu_expedited: KernelStatic<boolean> = KERNEL_STATIC<boolean>("rcu_expedited", () => false);
/** rcupdate.rcu_normal: none is. @mirrors kernel/rcu/update.c:rcu_normal */
export const rcu_normal: KernelStatic<boolean> = KERNEL_STATIC<boolean>("rcu_normal", () => false);
/** rcupdate.rcu_normal_after_boot: none is once boot is over. @mirrors kernel/rcu/update.c:rcu_normal_after_boot */
export const rcu_normal_after_boot: KernelStatic<boolean> = KERNEL_STATIC<boolean>(
  "rcu_normal_after_boot",
  () => false,
);
const rcu_expedited_nesting = KERNEL_STATIC<number>("rcu_expedited_nesting", () => 1);
const rcu_boot_ended = KERNEL_STATIC<boolean>("rcu_boot_ended", () => false);
/** How many callbacks of the self test have run. @mirrors kernel/rcu/update.c:rcu_self_test_counter */
const rcu_self_test_counter = KERNEL_STATIC<number>("rcu_self_test_counter", () => 0);

export const statics: readonly StaticKey[] = [
  rcu_expedited,
  rcu_normal,
  rcu_normal_after_boot,
  rcu_expedited_nesting,
  rcu_boot_ended,
  rcu_self_test_counter,
];

/**
 * What all kinds of reader have in common: without checks every context counts as a reader, on a CPU that RCU does not
 * watch or that is not online for it none does. Null: ask further.
 *
 * @mirrors kernel/rcu/update.c:rcu_read_lock_held_common
 */
function rcu_read_lock_held_common(k: Kernel): boolean | null {
  if (!debug_lockdep_rcu_enabled(k)) return true;
  if (!k.rcu.rcu_is_watching(k)) return false;
  return k.rcu.rcu_lockdep_current_cpu_online(k) ? null : false;
}

/** Whether this is a reader with preemption off, marked or not. @mirrors kernel/rcu/update.c:rcu_read_lock_sched_held */
export function rcu_read_lock_sched_held(k: Kernel): boolean {
  return rcu_read_lock_held_common(k) ?? (lock_is_held(k, rcu_sched_lock_map(k)) || !preemptible(k));
}

/** Whether waits must not be hurried. @mirrors kernel/rcu/update.c:rcu_gp_is_normal */
export function rcu_gp_is_normal(k: Kernel): boolean {
  return rcu_normal(k) && rcu_scheduler_active(k) !== RCU_SCHEDULER_INIT;
}

/** Whether every wait is to be hurried. @mirrors kernel/rcu/update.c:rcu_gp_is_expedited */
export function rcu_gp_is_expedited(k: Kernel): boolean {
  return rcu_expedited(k) || rcu_expedited_nesting(k) > 0;
}

/** From now on waits are hurried. Nests. @mirrors kernel/rcu/update.c:rcu_expedite_gp */
export function rcu_expedite_gp(k: Kernel): void {
  rcu_expedited_nesting.set(k, rcu_expedited_nesting(k) + 1);
}

/** Undoes one rcu_expedite_gp(). @mirrors kernel/rcu/update.c:rcu_unexpedite_gp */
export function rcu_unexpedite_gp(k: Kernel): void {
  rcu_expedited_nesting.set(k, rcu_expedited_nesting(k) - 1);
}

/** Boot is over. @mirrors kernel/rcu/update.c:rcu_end_inkernel_boot */
export function rcu_end_inkernel_boot(k: Kernel): void {
  rcu_unexpedite_gp(k);
  if (rcu_normal_after_boot(k)) rcu_normal.set(k, true);
  rcu_boot_ended.set(k, true);
}

/** Whether boot is over. @mirrors kernel/rcu/update.c:rcu_inkernel_boot_has_ended */
export function rcu_inkernel_boot_has_ended(k: Kernel): boolean {
  return rcu_boot_ended(k);
}

/** The scheduler is up: kvfree_rcu may arm its timers. @mirrors kernel/rcu/update.c:rcu_set_runtime_mode */
export function* rcu_set_runtime_mode(k: Kernel): MaySleep<void> {
  rcu_scheduler_active.set(k, RCU_SCHEDULER_RUNNING);
  yield* k.kvfree.kfree_rcu_scheduler_running(k);
}

/** Whether the current context is between rcu_read_lock() and rcu_read_unlock(). @mirrors kernel/rcu/update.c:rcu_read_lock_held */
export function rcu_read_lock_held(k: Kernel): boolean {
  return rcu_read_lock_held_common(k) ?? lock_is_held(k, rcu_lock_map(k));
}

/** Whether bottom halves or interrupts are off. @mirrors kernel/rcu/update.c:rcu_read_lock_bh_held */
export function rcu_read_lock_bh_held(k: Kernel): boolean {
  return rcu_read_lock_held_common(k) ?? (in_softirq(k) || irqs_disabled(k));
}

/** Whether this is a reader of any kind. @mirrors kernel/rcu/update.c:rcu_read_lock_any_held */
export function rcu_read_lock_any_held(k: Kernel): boolean {
  return rcu_read_lock_held_common(k) ?? (inMarkedReader(k) || !preemptible(k));
}

/** A waiter on somebody's stack. @mirrors include/linux/rcupdate_wait.h:rcu_synchronize */
class rcu_synchronize {
  readonly completion = new completion();
  constructor(readonly head: VirtAddr) {}
}

/** Callback of wait_rcu_gp(): wakes the waiter. @mirrors kernel/rcu/update.c:wakeme_after_rcu */
export function wakeme_after_rcu(k: Kernel, head: VirtAddr): Atomic<void> {
  complete(k, (k.ownerOf(head) as rcu_synchronize).completion);
  return doneVoid();
}

/**
 * Waits until a callback queued with `crf` has run.
 *
 * Context: process context, may sleep.
 *
 * @mirrors kernel/rcu/update.c:__wait_rcu_gp
 */
export function* __wait_rcu_gp(
  k: Kernel,
  crf: (k: Kernel, head: VirtAddr, func: rcu_callback_t) => Atomic<void>,
): MaySleep<void> {
  const rs = new rcu_synchronize(onStack(k, rcu_head.size));
  k.ram.unpoison(k.ram.translate(rs.head), rcu_head.size);
  k.setOwner(rs.head, rs);
  init_rcu_head_on_stack(k, rs.head);
  init_completion(rs.completion);
  yield* crf(k, rs.head, wakeme_after_rcu);
  yield* wait_for_completion(k, rs.completion);
  destroy_rcu_head_on_stack(k, rs.head);
  k.clearOwner(rs.head);
  offStack(k, rcu_head.size);
}

/** Waits for a callback of one flavour: C takes several. @mirrors include/linux/rcupdate_wait.h:wait_rcu_gp */
export function wait_rcu_gp(
  k: Kernel,
  crf: (k: Kernel, head: VirtAddr, func: rcu_callback_t) => Atomic<void>,
): MaySleep<void> {
  return __wait_rcu_gp(k, crf);
}

/** Announces an rcu_head to debug objects; needed only where it is used again. @mirrors kernel/rcu/update.c:init_rcu_head */
export function init_rcu_head(k: Kernel, head: VirtAddr): void {
  debug_object_init(k, head, rcuhead_debug_descr);
}

/** An announced rcu_head is gone. @mirrors kernel/rcu/update.c:destroy_rcu_head */
export function destroy_rcu_head(k: Kernel, head: VirtAddr): void {
  debug_object_free(k, head, rcuhead_debug_descr);
}

/** Announces an rcu_head on the current task's stack. @mirrors kernel/rcu/update.c:init_rcu_head_on_stack */
export function init_rcu_head_on_stack(k: Kernel, head: VirtAddr): void {
  debug_object_init_on_stack(k, head, rcuhead_debug_descr);
}

/** It goes out of scope. @mirrors kernel/rcu/update.c:destroy_rcu_head_on_stack */
export function destroy_rcu_head_on_stack(k: Kernel, head: VirtAddr): void {
  debug_object_free(k, head, rcuhead_debug_descr);
}

/** @mirrors kernel/rcu/update.c:test_callback */
function test_callback(k: Kernel, _r: VirtAddr): Atomic<void> {
  rcu_self_test_counter.set(k, rcu_self_test_counter(k) + 1);
  pr_info(k, `RCU test callback executed ${rcu_self_test_counter(k)}`);
  return doneVoid();
}

/** @mirrors kernel/rcu/update.c:early_boot_kfree_rcu */
const early_boot_kfree_rcu = struct("early_boot_kfree_rcu", { rh: embed(rcu_head) });

/**
 * A callback, and an object for kfree_rcu(), before anything is ready for them.
 *
 * @mirrors kernel/rcu/update.c:early_boot_test_call_rcu
 * @simplified no SRCU
 */
function* early_boot_test_call_rcu(k: Kernel): MaySleep<void> {
  yield* k.rcu.call_rcu(k, k.dataAlloc(rcu_head.size), test_callback);
  const rhp = yield* kmalloc(k, early_boot_kfree_rcu.size, GFP_KERNEL);
  if (!WARN_ON_ONCE(k, rhp === NULL, "!rhp")) {
    yield* k.kvfree.macros.kfree_rcu(k, rhp, early_boot_kfree_rcu, "rh");
  }
}

/**
 * With rcupdate.rcu_self_test, begins the tests.
 *
 * Context: boot, first thing in rcu_init().
 *
 * @mirrors kernel/rcu/update.c:rcu_early_boot_tests
 * @simplified without rcu_self_test nothing is said; waits are not tried, they would return at once
 */
export function* rcu_early_boot_tests(k: Kernel): MaySleep<void> {
  if (!k.config.rcuSelfTest) return;
  pr_info(k, "Running RCU self tests");
  yield* early_boot_test_call_rcu(k);
}

/** Whether the callbacks have run; the object is not asked for. Sleeps. @mirrors kernel/rcu/update.c:rcu_verify_early_boot_tests */
export function* rcu_verify_early_boot_tests(k: Kernel): MaySleep<void> {
  if (!k.config.rcuSelfTest) return;
  yield* k.rcu.rcu_barrier(k);
  WARN_ON(k, rcu_self_test_counter(k) !== 1);
}

/** Says what of this file is not as usual, at boot. @mirrors kernel/rcu/update.c:rcupdate_announce_bootup_oddness */
export function rcupdate_announce_bootup_oddness(k: Kernel): void {
  if (rcu_normal(k)) pr_info(k, "\tNo expedited grace period (rcu_normal).");
  else if (rcu_normal_after_boot(k)) pr_info(k, "\tNo expedited grace period (rcu_normal_after_boot).");
  else if (rcu_expedited(k)) pr_info(k, "\tAll grace periods are expedited (rcu_expedited).");
}
