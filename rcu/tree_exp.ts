// SPDX-License-Identifier: GPL-2.0-only
/**
 * Expedited grace periods: only what tree.ts and tree_plugin.ts call. Mirrors kernel/rcu/tree_exp.h (v5.7).
 *
 * There are none yet: who asks for one waits for a normal grace period, and no CPU ever owes an expedited quiescent
 * state. Left out: everything else of the file.
 *
 * @module
 */

import { type Atomic, doneVoid, type MaySleep } from "../kernel/machine/effects.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { call_rcu } from "./tree.ts";
import type { rcu_data as RcuData } from "./tree_types.ts";
import { wait_rcu_gp } from "./update.ts";

/**
 * This CPU is quiescent for an expedited grace period.
 *
 * @mirrors kernel/rcu/tree_exp.h:rcu_report_exp_rdp (empty)
 * @simplified there are no expedited grace periods yet
 */
export function rcu_report_exp_rdp(_k: Kernel, _rdp: RcuData): Atomic<void> {
  return doneVoid();
}

/**
 * A CPU has come online that an expedited grace period may be waiting for.
 *
 * @mirrors kernel/rcu/tree_exp.h:sync_sched_exp_online_cleanup (empty)
 * @simplified there are no expedited grace periods yet
 */
export function sync_sched_exp_online_cleanup(_k: Kernel, _cpu: number): Atomic<void> {
  return doneVoid();
}

/**
 * Waits for a grace period in a hurry.
 *
 * Context: process context. Sleeps.
 *
 * @mirrors kernel/rcu/tree_exp.h:synchronize_rcu_expedited
 * @simplified waits for a normal grace period
 */
export function synchronize_rcu_expedited(k: Kernel): MaySleep<void> {
  return wait_rcu_gp(k, call_rcu);
}
