// SPDX-License-Identifier: GPL-2.0-only
/**
 * Waiting for a callback. Mirrors the part of kernel/rcu/update.c and rcupdate_wait.h (v5.7) that tiny RCU needs.
 *
 * @module
 */

import type { VirtAddr } from "../kernel/machine/brand.ts";
import type { Atomic, MaySleep } from "../kernel/machine/effects.ts";
import { doneVoid } from "../kernel/machine/effects.ts";
import { offStack, onStack } from "../kernel/fork.ts";
import type { rcu_callback_t } from "../kernel/hooks.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { complete, completion, init_completion, wait_for_completion } from "../kernel/sched/completion.ts";
import { rcu_scheduler_active, RCU_SCHEDULER_RUNNING } from "../kernel/system_state.ts";
import { debug_rcu_head_unqueue, rcu_head } from "./rcu.ts";

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
export function* wait_rcu_gp(
  k: Kernel,
  crf: (k: Kernel, head: VirtAddr, func: rcu_callback_t) => Atomic<void>,
): MaySleep<void> {
  const rs = new rcu_synchronize(onStack(k, rcu_head.size));
  k.ram.unpoison(k.ram.translate(rs.head), rcu_head.size);
  k.setOwner(rs.head, rs);
  init_completion(rs.completion);
  yield* crf(k, rs.head, wakeme_after_rcu);
  yield* wait_for_completion(k, rs.completion);
  debug_rcu_head_unqueue(k, rs.head);
  k.clearOwner(rs.head);
  offStack(k, rcu_head.size);
}

/** The scheduler is up: kvfree_rcu may arm its timers. @mirrors kernel/rcu/update.c:rcu_set_runtime_mode */
export function rcu_set_runtime_mode(k: Kernel): MaySleep<void> {
  rcu_scheduler_active.set(k, RCU_SCHEDULER_RUNNING);
  k.kvfree.kfree_rcu_scheduler_running(k);
  return doneVoid();
}
