// SPDX-License-Identifier: GPL-2.0-only
/**
 * Stalls: only the times that a grace period notes at its start. Mirrors kernel/rcu/tree_stall.h (v5.7).
 *
 * Half the stall timeout after its start a grace period asks the scheduler for help (rcu_implicit_dynticks_qs). Left
 * out, with their call sites in place: the warnings themselves and the debug dumps.
 *
 * @module
 */

import type { Kernel } from "../kernel/kernel.ts";
import { kstat_softirqs_cpu, RCU_SOFTIRQ } from "../kernel/softirq.ts";
import { HZ, jiffies } from "../kernel/time/jiffies.ts";
import { rcu_state } from "./tree.ts";
import type { rcu_data as RcuData, rcu_node } from "./tree_types.ts";

/** CONFIG_RCU_CPU_STALL_TIMEOUT, in seconds. */
const RCU_CPU_STALL_TIMEOUT = 21;
/** What PROVE_RCU adds, in seconds. */
const RCU_STALL_DELAY_DELTA = 5;

/**
 * Jiffies from the start of a grace period to a stall warning.
 *
 * @mirrors kernel/rcu/tree_stall.h:rcu_jiffies_till_stall_check
 */
export function rcu_jiffies_till_stall_check(k: Kernel): number {
  return (RCU_CPU_STALL_TIMEOUT + (k.config.debug ? RCU_STALL_DELAY_DELTA : 0)) * HZ(k);
}

/**
 * A grace period starts: notes the times. Context: the root's lock is held.
 *
 * @mirrors kernel/rcu/tree_stall.h:record_gp_stall_check_time
 */
export function record_gp_stall_check_time(k: Kernel): void {
  const rsp = rcu_state(k);
  const j = jiffies(k);
  rsp.gp_start = j;
  const j1 = rcu_jiffies_till_stall_check(k);
  rsp.jiffies_stall = j + j1;
  rsp.jiffies_resched = j + Math.floor(j1 / 2);
  rsp.n_force_qs_gpstart = rsp.n_force_qs;
}

/** A CPU notices a new grace period: its counts start anew. @mirrors kernel/rcu/tree_stall.h:zero_cpu_stall_ticks */
export function zero_cpu_stall_ticks(k: Kernel, rdp: RcuData): void {
  rdp.ticks_this_gp = 0;
  rdp.softirq_snap = kstat_softirqs_cpu(k, RCU_SOFTIRQ, k.cpu.id);
  rdp.last_fqs_resched = jiffies(k);
}

/**
 * The tick looks for a stall.
 *
 * @mirrors kernel/rcu/tree_stall.h:check_cpu_stall (empty)
 * @simplified there are no stall warnings yet
 */
export function check_cpu_stall(_k: Kernel, _rdp: RcuData): void {}

/**
 * Looks for a grace period that was asked for and never started.
 *
 * @mirrors kernel/rcu/tree_stall.h:rcu_check_gp_start_stall (empty)
 * @simplified there are no stall warnings yet
 */
export function rcu_check_gp_start_stall(
  _k: Kernel,
  _rnp: rcu_node,
  _rdp: RcuData,
  _gpssdelay: number,
): void {}
