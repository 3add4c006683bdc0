// SPDX-License-Identifier: GPL-2.0-only
/**
 * What depends on the kind of reader: tree RCU without preemption, called rcu_sched. Mirrors kernel/rcu/tree_plugin.h
 * (v5.7), its half without CONFIG_PREEMPT_RCU and what both halves share; tree_plugin_preempt.ts is the other half.
 *
 * Which half a machine has stands in rcu_state.plugin; nobody asks the configuration. Here a reader disables preemption, so
 * a context switch, the idle loop and user mode are quiescent states; noting one sets a flag of this CPU, and the softirq
 * reports it later. Left out: boosting, callback offloading, FAST_NO_HZ, full dynticks; what tree.c calls of them says so
 * here.
 *
 * @module
 */

import { type Atomic, doneVoid, STEP } from "../kernel/machine/effects.ts";
import { POINT_NAMED, pt } from "../kernel/machine/points.ts";
import { WARN_ON_ONCE } from "../kernel/bug.ts";
import { smp_load_acquire } from "../kernel/compiler.ts";
import { list_empty } from "../kernel/list.ts";
import { nr_cpu_ids } from "../kernel/cpumask.ts";
import type { Kernel } from "../kernel/kernel.ts";
import {
  irqs_disabled,
  local_irq_restore,
  local_irq_save,
  preempt_disable,
  preempt_enable,
  preemptible,
} from "../kernel/preempt.ts";
import { pr_info } from "../kernel/printk.ts";
import { RCU_FANOUT, RCU_FANOUT_LEAF, RCU_NUM_LVLS } from "../kernel/rcu_node_tree.ts";
import type { task_struct } from "../kernel/sched/sched.ts";
import { this_cpu_ptr } from "../kernel/static.ts";
import { trace_rcu_grace_period, trace_rcu_utilization } from "../kernel/trace/events/rcu.ts";
import { RCU_LOCKDEP_WARN } from "../kernel/locking/lockdep_rcu.ts";
import { rcu_segcblist_empty } from "./rcu_segcblist.ts";
import {
  blimit,
  DEFAULT_RCU_BLIMIT,
  DEFAULT_RCU_QHIMARK,
  DEFAULT_RCU_QLOMARK,
  DEFAULT_RCU_QOVLD,
  gp_cleanup_delay,
  gp_init_delay,
  gp_preinit_delay,
  jiffies_till_first_fqs,
  jiffies_till_next_fqs,
  jiffies_till_sched_qs,
  qhimark,
  qlowmark,
  qovld,
  rcu_data,
  rcu_fanout_leaf,
  rcu_is_cpu_rrupt_from_idle,
  rcu_momentary_dyntick_idle,
  ULONG_MAX,
} from "./tree.ts";
import { rcu_report_exp_rdp } from "./tree_exp.ts";
import { __rcu_read_lock, __rcu_read_unlock } from "./rcupdate.ts";
import type { rcu_data as RcuData, rcu_node, TreePlugin } from "./tree_types.ts";
import { rcupdate_announce_bootup_oddness } from "./update.ts";

/** Says what is not as usual, one line each. @mirrors kernel/rcu/tree_plugin.h:rcu_bootup_announce_oddness */
export function rcu_bootup_announce_oddness(k: Kernel): void {
  const { config } = k;
  function say(condition: boolean, text: string): void {
    if (condition) pr_info(k, `rcu: \t${text}`);
  }
  say(true, "RCU event tracing is enabled.");
  say(RCU_FANOUT(config) !== 64, `CONFIG_RCU_FANOUT set to non-default value of ${RCU_FANOUT(config)}.`);
  say(config.fanoutExact, "Hierarchical RCU autobalancing is disabled.");
  say(config.debug, "RCU lockdep checking is enabled.");
  say(RCU_NUM_LVLS(config) >= 4, "Four(or more)-level hierarchy is enabled.");
  const leaf = RCU_FANOUT_LEAF(config);
  say(leaf !== 16, `Build-time adjustment of leaf fanout to ${leaf}.`);
  say(rcu_fanout_leaf(k) !== leaf, `Boot-time adjustment of leaf fanout to ${rcu_fanout_leaf(k)}.`);
  const nr = nr_cpu_ids(k);
  say(
    nr !== config.nrCpus,
    `RCU restricting CPUs from NR_CPUS=${config.nrCpus} to nr_cpu_ids=${nr}.`,
  );
  const at = "Boot-time adjustment of";
  say(blimit(k) !== DEFAULT_RCU_BLIMIT, `${at} callback invocation limit to ${blimit(k)}.`);
  say(qhimark(k) !== DEFAULT_RCU_QHIMARK, `${at} callback high-water mark to ${qhimark(k)}.`);
  say(qlowmark(k) !== DEFAULT_RCU_QLOMARK, `${at} callback low-water mark to ${qlowmark(k)}.`);
  say(qovld(k) !== DEFAULT_RCU_QOVLD, `${at} callback overload level to ${qovld(k)}.`);
  const [first, next] = [jiffies_till_first_fqs(k), jiffies_till_next_fqs(k)];
  say(first !== ULONG_MAX, `${at} first FQS scan delay to ${first} jiffies.`);
  say(next !== ULONG_MAX, `${at} subsequent FQS scan delay to ${next} jiffies.`);
  const enlist = jiffies_till_sched_qs(k);
  say(enlist !== ULONG_MAX, `${at} scheduler-enlistment delay to ${enlist} jiffies.`);
  say(config.debugObjects, "RCU callback double-/use-after-free debug enabled.");
  say(gp_preinit_delay(k) !== 0, `RCU debug GP pre-init slowdown ${gp_preinit_delay(k)} jiffies.`);
  say(gp_init_delay(k) !== 0, `RCU debug GP init slowdown ${gp_init_delay(k)} jiffies.`);
  say(gp_cleanup_delay(k) !== 0, `RCU debug GP init slowdown ${gp_cleanup_delay(k)} jiffies.`);
  say(config.debug, "RCU debug extended QS entry/exit.");
  rcupdate_announce_bootup_oddness(k);
}

/** The banner. @mirrors kernel/rcu/tree_plugin.h:rcu_bootup_announce */
export function rcu_bootup_announce(k: Kernel): void {
  pr_info(k, "rcu: Hierarchical RCU implementation.");
  rcu_bootup_announce_oddness(k);
}

function* step(): Atomic<void> {
  yield STEP;
}

/**
 * Notes a quiescent state of this CPU; the softirq reports it. Point QS1: noted, not reported.
 *
 * Context: preemption off.
 *
 * @mirrors kernel/rcu/tree_plugin.h:rcu_qs
 */
export function rcu_qs(k: Kernel): Atomic<void> {
  RCU_LOCKDEP_WARN(k, preemptible(k), "rcu_qs() invoked with preemption enabled!!!");
  const rdp = this_cpu_ptr(k, rcu_data);
  const no_qs = rdp.cpu_no_qs;
  if (!no_qs.norm && !no_qs.exp) return doneVoid();
  trace_rcu_grace_period(k, "rcu_sched", rdp.gp_seq, "cpuqs");
  no_qs.norm = false;
  if (no_qs.exp) {
    no_qs.exp = false;
    return rcu_report_exp_rdp(k, rdp);
  }
  return pt(k, POINT_NAMED, "QS1") ? step() : doneVoid();
}

/**
 * cond_resched() in the kernel: a quiescent state if one is wanted urgently.
 *
 * @mirrors kernel/rcu/tree_plugin.h:rcu_all_qs
 */
export function rcu_all_qs(k: Kernel): Atomic<void> {
  return this_cpu_ptr(k, rcu_data).rcu_urgent_qs ? allQsUrgent(k) : doneVoid();
}

function* allQsUrgent(k: Kernel): Atomic<void> {
  preempt_disable(k);
  const rdp = this_cpu_ptr(k, rcu_data);
  if (!(yield* smp_load_acquire(k, rdp, "rcu_urgent_qs"))) {
    preempt_enable(k);
    return;
  }
  rdp.rcu_urgent_qs = false;
  if (rdp.rcu_need_heavy_qs) {
    const flags = local_irq_save(k);
    yield* rcu_momentary_dyntick_idle(k);
    local_irq_restore(k, flags);
  }
  yield* rcu_qs(k);
  preempt_enable(k);
}

/**
 * The scheduler is about to switch: a quiescent state.
 *
 * Context: interrupts off.
 *
 * @mirrors kernel/rcu/tree_plugin.h:rcu_note_context_switch
 */
export function* rcu_note_context_switch(k: Kernel, _preempt: boolean): Atomic<void> {
  trace_rcu_utilization(k, "Start context switch");
  yield* rcu_qs(k);
  const rdp = this_cpu_ptr(k, rcu_data);
  if (yield* smp_load_acquire(k, rdp, "rcu_urgent_qs")) {
    rdp.rcu_urgent_qs = false;
    if (rdp.rcu_need_heavy_qs) yield* rcu_momentary_dyntick_idle(k);
  }
  trace_rcu_utilization(k, "End context switch");
}

/**
 * Whether preempted readers of a node hold up the grace period. Sure only while it is locked.
 *
 * @mirrors kernel/rcu/tree_plugin.h:rcu_preempt_blocked_readers_cgp
 * @simplified one function for both kinds of reader: without preemption there is never one
 */
export function rcu_preempt_blocked_readers_cgp(rnp: rcu_node): boolean {
  return rnp.gp_tasks !== null;
}

/**
 * Whether preempted readers are queued. Context: the node is locked.
 *
 * @mirrors kernel/rcu/tree_plugin.h:rcu_preempt_has_tasks
 * @simplified one function for both kinds of reader
 */
export function rcu_preempt_has_tasks(rnp: rcu_node): boolean {
  return !list_empty(rnp.blkd_tasks);
}

/** Whether a quiescent state was put off: never. @mirrors kernel/rcu/tree_plugin.h:rcu_preempt_need_deferred_qs */
export function rcu_preempt_need_deferred_qs(_k: Kernel, _t: task_struct): boolean {
  return false;
}

/** Reports what was put off: nothing. @mirrors kernel/rcu/tree_plugin.h:rcu_preempt_deferred_qs (empty) */
export function rcu_preempt_deferred_qs(_k: Kernel, _t: task_struct): Atomic<void> {
  return doneVoid();
}

/**
 * A grace period reaches a node: nothing may be left of the last one.
 *
 * @mirrors kernel/rcu/tree_plugin.h:rcu_preempt_check_blocked_tasks
 */
export function rcu_preempt_check_blocked_tasks(k: Kernel, rnp: rcu_node): void {
  WARN_ON_ONCE(k, !rnp.qsmask.isZero());
}

/**
 * The tick: user mode and the idle loop are quiescent states.
 *
 * @mirrors kernel/rcu/tree_plugin.h:rcu_flavor_sched_clock_irq
 */
export function rcu_flavor_sched_clock_irq(k: Kernel, user: boolean): Atomic<void> {
  return user || rcu_is_cpu_rrupt_from_idle(k) ? rcu_qs(k) : doneVoid();
}

/** A task ends: no reader can be left. @mirrors kernel/rcu/tree_plugin.h:exit_rcu (empty) */
export function exit_rcu(_k: Kernel): Atomic<void> {
  return doneVoid();
}

/** Preempted readers, where there can be none. @mirrors kernel/rcu/tree_plugin.h:dump_blkd_tasks */
function dump_blkd_tasks(k: Kernel, rnp: rcu_node, _ncheck: number): void {
  WARN_ON_ONCE(k, !list_empty(rnp.blkd_tasks));
}

/** What depends on the kind of reader. @invented the half of a C file that is compiled */
export const classicPlugin: TreePlugin = {
  name: "rcu_sched",
  abbr: "s",
  rcu_bootup_announce,
  rcu_qs,
  rcu_all_qs,
  rcu_note_context_switch,
  __rcu_read_lock,
  __rcu_read_unlock,
  rcu_preempt_need_deferred_qs,
  rcu_preempt_deferred_qs,
  rcu_preempt_check_blocked_tasks,
  rcu_flavor_sched_clock_irq,
  exit_rcu,
  dump_blkd_tasks,
};

/**
 * Whether this is an rcuc thread: there are none, callbacks run in softirq.
 *
 * @mirrors kernel/rcu/tree_plugin.h:rcu_is_callbacks_kthread
 */
export function rcu_is_callbacks_kthread(): boolean {
  return false;
}

/** Whether this CPU must keep its tick: it has callbacks. @mirrors kernel/rcu/tree_plugin.h:rcu_needs_cpu */
export function rcu_needs_cpu(k: Kernel): boolean {
  return !rcu_segcblist_empty(k, this_cpu_ptr(k, rcu_data).cblist);
}

/**
 * This CPU was idle: nothing to do without FAST_NO_HZ.
 *
 * @mirrors kernel/rcu/tree_plugin.h:rcu_cleanup_after_idle (empty)
 */
export function rcu_cleanup_after_idle(_k: Kernel): void {}

/**
 * This CPU goes idle: nothing to do without FAST_NO_HZ.
 *
 * @mirrors kernel/rcu/tree_plugin.h:rcu_prepare_for_idle (empty)
 */
export function rcu_prepare_for_idle(_k: Kernel): void {}

/**
 * Whoever touches a CPU's callbacks has interrupts off.
 *
 * @mirrors kernel/rcu/tree_plugin.h:rcu_lockdep_assert_cblist_protected
 */
export function rcu_lockdep_assert_cblist_protected(k: Kernel, _rdp: RcuData): void {
  WARN_ON_ONCE(k, !irqs_disabled(k));
}
