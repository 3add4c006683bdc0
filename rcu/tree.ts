// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tree RCU. Mirrors kernel/rcu/tree.c (v5.7), functions in its order.
 *
 * One thread, rcu_sched, runs grace periods: it copies the online CPUs into the masks of a tree of rcu_nodes, root first,
 * waits until every bit is cleared, and ends the grace period, root first. A CPU notes a quiescent state for itself
 * (context switch, tick in user mode or idle) and its softirq reports it to its leaf; the last reporter of a node reports
 * to the parent. Who is idle does not report: the thread reads its dynticks counter. Callbacks are per CPU, in segments
 * by the grace period that they wait for.
 *
 * Invariant: a node's fields belong to its lock; a CPU's callbacks to that CPU with interrupts off; rcu_state.gp_seq is
 * written by the grace-period thread only. Named points (GPI1, FQS2, QS4, CB4, ...) stand where another CPU coming in
 * makes a difference. kvfree_rcu is in levels/.
 *
 * Left out: CPU hotplug after boot, expedited grace periods, stall warnings, rcuc threads, boosting, torture hooks; where
 * C calls them, a named function that says so is called here.
 *
 * @module
 */

import { formatAddr, NULL } from "../kernel/machine/addr.ts";
import type { IrqFlags, VirtAddr } from "../kernel/machine/brand.ts";
import { type Atomic, doneVoid, type MaySleep, STEP } from "../kernel/machine/effects.ts";
import { POINT_NAMED, POINT_READ, pt } from "../kernel/machine/points.ts";
import { page_fault_oops, panic, WARN_ON, WARN_ON_ONCE, WARN_ONCE } from "../kernel/bug.ts";
import { READ_ONCE, smp_load_acquire, smp_mb, smp_store_release, WRITE_ONCE } from "../kernel/compiler.ts";
import {
  cpu_online,
  for_each_online_cpu,
  for_each_possible_cpu,
  nr_cpu_ids,
  num_online_cpus,
} from "../kernel/cpumask.ts";
import type { rcu_callback_t, RcuOps } from "../kernel/hooks.ts";
import { functionAt, isText, kallsyms_lookup, ksym } from "../kernel/kallsyms.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { kthread_create } from "../kernel/kthread.ts";
import {
  inMarkedReader,
  rcu_callback_map,
  rcu_lock_acquire,
  rcu_lock_release,
  RCU_LOCKDEP_WARN,
} from "../kernel/locking/lockdep_rcu.ts";
import { mutex_lock, mutex_unlock } from "../kernel/locking/mutex.ts";
import { raw_spin_lock, raw_spin_trylock, raw_spin_unlock } from "../kernel/locking/spinlock.ts";
import {
  in_irq,
  in_serving_softirq,
  irqs_disabled,
  irqs_disabled_flags,
  local_irq_restore,
  local_irq_save,
  preempt_count,
  preempt_disable,
  preempt_enable,
  PREEMPT_MASK,
  smp_processor_id,
} from "../kernel/preempt.ts";
import { pr_info } from "../kernel/printk.ts";
import { NUM_RCU_LVL_INIT, RCU_FANOUT, RCU_FANOUT_LEAF, RCU_NUM_LVLS } from "../kernel/rcu_node_tree.ts";
import { complete, init_completion, wait_for_completion } from "../kernel/sched/completion.ts";
import {
  current,
  might_sleep,
  need_resched,
  resched_cpu,
  set_preempt_need_resched,
  set_tsk_need_resched,
  wake_up_process,
} from "../kernel/sched/core.ts";
import { cpu_rq, is_idle_task } from "../kernel/sched/sched.ts";
import {
  swait_event_idle_exclusive,
  swait_event_idle_timeout_exclusive,
  swake_up_one,
} from "../kernel/sched/swait.ts";
import { smp_call_function_single } from "../kernel/smp.ts";
import { open_softirq, raise_softirq, RCU_SOFTIRQ } from "../kernel/softirq.ts";
import {
  DEFINE_PER_CPU,
  KERNEL_STATIC,
  type KernelStatic,
  per_cpu_ptr,
  type PerCpu,
  type StaticKey,
  this_cpu_ptr,
} from "../kernel/static.ts";
import { rcu_scheduler_active, RCU_SCHEDULER_INACTIVE, RCU_SCHEDULER_INIT } from "../kernel/system_state.ts";
import { HZ, jiffies, NSEC_PER_MSEC, time_after } from "../kernel/time/jiffies.ts";
import { schedule_timeout_uninterruptible } from "../kernel/time/timer.ts";
import {
  trace_rcu_barrier,
  trace_rcu_batch_end,
  trace_rcu_batch_start,
  trace_rcu_callback,
  trace_rcu_dyntick,
  trace_rcu_fqs,
  trace_rcu_future_grace_period,
  trace_rcu_grace_period,
  trace_rcu_grace_period_init,
  trace_rcu_invoke_callback,
  trace_rcu_kvfree_callback,
  trace_rcu_quiescent_state_report,
  trace_rcu_utilization,
} from "../kernel/trace/events/rcu.ts";
import { Ulong64 } from "../kernel/machine/ulong64.ts";
import { alloc_workqueue, type workqueue_struct, WQ_MEM_RECLAIM } from "../kernel/workqueue.ts";
import {
  __is_kvfree_rcu_offset,
  debug_rcu_head_queue,
  debug_rcu_head_unqueue,
  RCU_GET_STATE_COMPLETED,
  type rcu_gp_oldstate,
  rcu_head,
  rcu_seq_completed_gp,
  rcu_seq_ctr,
  rcu_seq_current,
  rcu_seq_done,
  rcu_seq_done_exact,
  rcu_seq_end,
  rcu_seq_endval,
  rcu_seq_new_gp,
  rcu_seq_snap,
  rcu_seq_start,
  rcu_seq_started,
  rcu_seq_state,
  ULONG_CMP_GE,
  ULONG_CMP_LT,
} from "./rcu.ts";
import {
  rcu_cblist_dequeue,
  rcu_cblist_init,
  RCU_NEXT_READY_TAIL,
  rcu_segcblist_accelerate,
  rcu_segcblist_advance,
  rcu_segcblist_empty,
  rcu_segcblist_enqueue,
  rcu_segcblist_entrain,
  rcu_segcblist_extract_done_cbs,
  rcu_segcblist_first_pend_cb,
  rcu_segcblist_init,
  rcu_segcblist_insert_count,
  rcu_segcblist_insert_done_cbs,
  rcu_segcblist_is_enabled,
  rcu_segcblist_n_cbs,
  rcu_segcblist_pend_cbs,
  rcu_segcblist_ready_cbs,
  rcu_segcblist_restempty,
  RCU_WAIT_TAIL,
} from "./rcu_segcblist.ts";
import { cond_resched_tasks_rcu_qs } from "./rcupdate.ts";
import { sync_sched_exp_online_cleanup, synchronize_rcu_expedited } from "./tree_exp.ts";
import {
  classicPlugin,
  rcu_cleanup_after_idle,
  rcu_is_callbacks_kthread,
  rcu_lockdep_assert_cblist_protected,
  rcu_needs_cpu,
  rcu_preempt_blocked_readers_cgp,
  rcu_preempt_has_tasks,
  rcu_prepare_for_idle,
} from "./tree_plugin.ts";
import { preemptiblePlugin } from "./tree_plugin_preempt.ts";
import {
  check_cpu_stall,
  rcu_check_gp_start_stall,
  rcu_jiffies_till_stall_check,
  record_gp_stall_check_time,
  zero_cpu_stall_ticks,
} from "./tree_stall.ts";
import {
  DYNTICK_IRQ_NONIDLE,
  for_each_leaf_node_cpu_mask,
  leaf_node_cpu_bit,
  raw_lockdep_assert_held_rcu_node,
  raw_spin_lock_irq_rcu_node,
  raw_spin_lock_irqsave_rcu_node,
  raw_spin_lock_rcu_node,
  raw_spin_trylock_rcu_node,
  raw_spin_unlock_irq_rcu_node,
  raw_spin_unlock_irqrestore_rcu_node,
  raw_spin_unlock_rcu_node,
  rcu_data as RcuData,
  RCU_DYNTICK_CTRL_CTR,
  RCU_DYNTICK_CTRL_MASK,
  rcu_first_leaf_node,
  rcu_for_each_leaf_node,
  rcu_for_each_node_breadth_first,
  RCU_GP_CLEANED,
  RCU_GP_CLEANUP,
  RCU_GP_DOING_FQS,
  RCU_GP_DONE_GPS,
  RCU_GP_FLAG_FQS,
  RCU_GP_FLAG_INIT,
  RCU_GP_IDLE,
  RCU_GP_INIT,
  RCU_GP_ONOFF,
  RCU_GP_WAIT_FQS,
  RCU_GP_WAIT_GPS,
  rcu_init_levelspread,
  rcu_is_leaf_node,
  RCU_JIFFIES_FQS_DIV,
  RCU_JIFFIES_TILL_FORCE_QS,
  rcu_node,
  rcu_state as RcuState,
  type TreePlugin,
} from "./tree_types.ts";
import {
  rcu_early_boot_tests,
  rcu_end_inkernel_boot,
  rcu_gp_is_expedited,
  rcu_set_runtime_mode,
  wait_rcu_gp,
} from "./update.ts";

/** Every CPU's part of RCU. @mirrors kernel/rcu/tree.c:rcu_data */
export const rcu_data: PerCpu<RcuData> = DEFINE_PER_CPU("rcu_data", (k, cpu) => new RcuData(k, cpu));
/** The flavour. @mirrors kernel/rcu/tree.c:rcu_state */
export const rcu_state: KernelStatic<RcuState> = KERNEL_STATIC(
  "rcu_state",
  (k) => new RcuState(k.config.preempt === "full" ? preemptiblePlugin : classicPlugin),
);

/** CPUs of a leaf, as asked for at boot. @mirrors kernel/rcu/tree.c:rcu_fanout_leaf */
export const rcu_fanout_leaf: KernelStatic<number> = KERNEL_STATIC(
  "rcu_fanout_leaf",
  (k) => k.config.bootFanoutLeaf === 0 ? RCU_FANOUT_LEAF(k.config) : k.config.bootFanoutLeaf,
);
/** Levels in use. @mirrors kernel/rcu/tree.c:rcu_num_lvls */
export const rcu_num_lvls: KernelStatic<number> = KERNEL_STATIC(
  "rcu_num_lvls",
  (k) => RCU_NUM_LVLS(k.config),
);
/** Nodes of each level, root first. @mirrors kernel/rcu/tree.c:num_rcu_lvl */
export const num_rcu_lvl: KernelStatic<number[]> = KERNEL_STATIC(
  "num_rcu_lvl",
  (k) => NUM_RCU_LVL_INIT(k.config),
);
/** Nodes in use. @mirrors kernel/rcu/tree.c:rcu_num_nodes */
export const rcu_num_nodes: KernelStatic<number> = KERNEL_STATIC(
  "rcu_num_nodes",
  (k) => NUM_RCU_LVL_INIT(k.config).reduce((sum, n) => sum + n, 0),
);

/** The grace-period thread exists: callbacks may be invoked. */
const rcu_scheduler_fully_active = KERNEL_STATIC<boolean>("rcu_scheduler_fully_active", () => false);

/** rcutree.gp_preinit_delay, in jiffies: waits that widen races. @mirrors kernel/rcu/tree.c:gp_preinit_delay */
export const gp_preinit_delay: KernelStatic<number> = KERNEL_STATIC<number>("gp_preinit_delay", () => 0);
/** @mirrors kernel/rcu/tree.c:gp_init_delay */
export const gp_init_delay: KernelStatic<number> = KERNEL_STATIC<number>("gp_init_delay", () => 0);
/** @mirrors kernel/rcu/tree.c:gp_cleanup_delay */
export const gp_cleanup_delay: KernelStatic<number> = KERNEL_STATIC<number>("gp_cleanup_delay", () => 0);

/** How rarely gp_*_delay waits. @mirrors kernel/rcu/tree.c:PER_RCU_NODE_PERIOD */
const PER_RCU_NODE_PERIOD = 3;

/** Online CPUs of a leaf, as they are now. @mirrors kernel/rcu/tree.c:rcu_rnp_online_cpus */
function rcu_rnp_online_cpus(rnp: rcu_node): Ulong64 {
  return rnp.qsmaskinitnext;
}

/**
 * Whether a grace period runs.
 *
 * @mirrors kernel/rcu/tree.c:rcu_gp_in_progress
 */
export function rcu_gp_in_progress(k: Kernel): boolean {
  return rcu_seq_state(rcu_seq_current(rcu_state(k).gp_seq)) !== 0;
}

/** Callbacks that are queued on a CPU. @mirrors kernel/rcu/tree.c:rcu_get_n_cbs_cpu */
export function rcu_get_n_cbs_cpu(k: Kernel, cpu: number): number {
  const rdp = per_cpu_ptr(k, rcu_data, cpu);
  return rcu_segcblist_is_enabled(rdp.cblist) ? rcu_segcblist_n_cbs(rdp.cblist) : 0;
}

/** ksoftirqd is between two rounds: a quiescent state. @mirrors kernel/rcu/tree.c:rcu_softirq_qs */
export function* rcu_softirq_qs(k: Kernel): Atomic<void> {
  const { plugin } = rcu_state(k);
  yield* plugin.rcu_qs(k);
  yield* plugin.rcu_preempt_deferred_qs(k, current(k));
}

/**
 * From here on this CPU is idle for RCU.
 *
 * Context: interrupts off.
 *
 * @mirrors kernel/rcu/tree.c:rcu_dynticks_eqs_enter
 */
function rcu_dynticks_eqs_enter(k: Kernel): void {
  const rdp = this_cpu_ptr(k, rcu_data);
  const seq = rdp.dynticks += RCU_DYNTICK_CTRL_CTR;
  WARN_ON_ONCE(k, (seq & RCU_DYNTICK_CTRL_CTR) !== 0, "ctr");
  WARN_ON_ONCE(k, (seq & RCU_DYNTICK_CTRL_MASK) !== 0, "mask");
}

/**
 * From here on RCU watches this CPU.
 *
 * Context: interrupts off.
 *
 * @mirrors kernel/rcu/tree.c:rcu_dynticks_eqs_exit
 */
function rcu_dynticks_eqs_exit(k: Kernel): void {
  const rdp = this_cpu_ptr(k, rcu_data);
  const seq = rdp.dynticks += RCU_DYNTICK_CTRL_CTR;
  WARN_ON_ONCE(k, (seq & RCU_DYNTICK_CTRL_CTR) === 0);
  if ((seq & RCU_DYNTICK_CTRL_MASK) !== 0) rdp.dynticks -= RCU_DYNTICK_CTRL_MASK;
}

/** A CPU comes up: it is not idle. @mirrors kernel/rcu/tree.c:rcu_dynticks_eqs_online */
function rcu_dynticks_eqs_online(k: Kernel): void {
  const rdp = this_cpu_ptr(k, rcu_data);
  if ((rdp.dynticks & RCU_DYNTICK_CTRL_CTR) !== 0) return;
  rdp.dynticks += RCU_DYNTICK_CTRL_CTR;
}

/** Whether this CPU is idle for RCU. @mirrors kernel/rcu/tree.c:rcu_dynticks_curr_cpu_in_eqs */
function rcu_dynticks_curr_cpu_in_eqs(k: Kernel): boolean {
  return (this_cpu_ptr(k, rcu_data).dynticks & RCU_DYNTICK_CTRL_CTR) === 0;
}

/** A CPU's counter, read with full ordering. @mirrors kernel/rcu/tree.c:rcu_dynticks_snap */
function rcu_dynticks_snap(rdp: RcuData): number {
  return rdp.dynticks - (rdp.dynticks & RCU_DYNTICK_CTRL_MASK);
}

/** Whether a snapshot says idle. @mirrors kernel/rcu/tree.c:rcu_dynticks_in_eqs */
function rcu_dynticks_in_eqs(snap: number): boolean {
  return (snap & RCU_DYNTICK_CTRL_CTR) === 0;
}

/** Whether the CPU was idle since the snapshot. @mirrors kernel/rcu/tree.c:rcu_dynticks_in_eqs_since */
function rcu_dynticks_in_eqs_since(rdp: RcuData, snap: number): boolean {
  return snap !== rcu_dynticks_snap(rdp);
}

/**
 * Lets this CPU look as if it had been idle for a moment.
 *
 * Context: interrupts off.
 *
 * @mirrors kernel/rcu/tree.c:rcu_momentary_dyntick_idle
 */
export function rcu_momentary_dyntick_idle(k: Kernel): Atomic<void> {
  const rdp = this_cpu_ptr(k, rcu_data);
  rdp.rcu_need_heavy_qs = false;
  const special = rdp.dynticks += 2 * RCU_DYNTICK_CTRL_CTR;
  WARN_ON_ONCE(k, (special & RCU_DYNTICK_CTRL_CTR) === 0);
  return rcu_state(k).plugin.rcu_preempt_deferred_qs(k, current(k));
}

/**
 * Whether this interrupt came out of the idle loop, not out of another interrupt.
 *
 * Context: hard interrupt.
 *
 * @mirrors kernel/rcu/tree.c:rcu_is_cpu_rrupt_from_idle
 */
export function rcu_is_cpu_rrupt_from_idle(k: Kernel): boolean {
  const rdp = this_cpu_ptr(k, rcu_data);
  WARN_ON_ONCE(k, !in_irq(k));
  RCU_LOCKDEP_WARN(k, rdp.dynticks_nesting < 0, "RCU dynticks_nesting counter underflow!");
  RCU_LOCKDEP_WARN(k, rdp.dynticks_nmi_nesting <= 0, "RCU dynticks_nmi_nesting counter underflow/zero!");
  return rdp.dynticks_nmi_nesting === 1 && rdp.dynticks_nesting === 0;
}

/** Callbacks of a batch. @mirrors kernel/rcu/tree.c:DEFAULT_RCU_BLIMIT */
export const DEFAULT_RCU_BLIMIT = 10;
/** Callbacks of a batch while there are too many. @mirrors kernel/rcu/tree.c:DEFAULT_MAX_RCU_BLIMIT */
export const DEFAULT_MAX_RCU_BLIMIT = 10000;
/** @mirrors kernel/rcu/tree.c:blimit */
export const blimit: KernelStatic<number> = KERNEL_STATIC<number>("blimit", () => DEFAULT_RCU_BLIMIT);
/** @mirrors kernel/rcu/tree.c:DEFAULT_RCU_QHIMARK */
export const DEFAULT_RCU_QHIMARK = 10000;
/** So many new callbacks are too many: force a grace period, ignore blimit. @mirrors kernel/rcu/tree.c:qhimark */
export const qhimark: KernelStatic<number> = KERNEL_STATIC<number>("qhimark", () => DEFAULT_RCU_QHIMARK);
/** @mirrors kernel/rcu/tree.c:DEFAULT_RCU_QLOMARK */
export const DEFAULT_RCU_QLOMARK = 100;
/** Down to so many blimit counts again. @mirrors kernel/rcu/tree.c:qlowmark */
export const qlowmark: KernelStatic<number> = KERNEL_STATIC<number>("qlowmark", () => DEFAULT_RCU_QLOMARK);
/** @mirrors kernel/rcu/tree.c:DEFAULT_RCU_QOVLD_MULT */
const DEFAULT_RCU_QOVLD_MULT = 2;
/** @mirrors kernel/rcu/tree.c:DEFAULT_RCU_QOVLD */
export const DEFAULT_RCU_QOVLD: number = DEFAULT_RCU_QOVLD_MULT * DEFAULT_RCU_QHIMARK;
/** So many callbacks of one CPU are an overload; negative: twice qhimark. @mirrors kernel/rcu/tree.c:qovld */
export const qovld: KernelStatic<number> = KERNEL_STATIC<number>("qovld", () => DEFAULT_RCU_QOVLD);
/** qovld as it is used; not yet before rcu_init() is done. */
const qovld_calc = KERNEL_STATIC<number>("qovld_calc", () => -1);

/** A parameter in jiffies that was not given. @mirrors include/vdso/limits.h:ULONG_MAX */
export const ULONG_MAX: number = 2 ** 64;

/**
 * rcutree.jiffies_till_first_fqs: first wait for quiescent states.
 *
 * @mirrors kernel/rcu/tree.c:jiffies_till_first_fqs
 */
export const jiffies_till_first_fqs: KernelStatic<number> = KERNEL_STATIC(
  "jiffies_till_first_fqs",
  () => ULONG_MAX,
);
/** rcutree.jiffies_till_next_fqs: further waits. @mirrors kernel/rcu/tree.c:jiffies_till_next_fqs */
export const jiffies_till_next_fqs: KernelStatic<number> = KERNEL_STATIC(
  "jiffies_till_next_fqs",
  () => ULONG_MAX,
);
/** A batch of N callbacks is at least N >> rcu_divisor. */
const rcu_divisor = KERNEL_STATIC<number>("rcu_divisor", () => 7);
/** Longest large batch, in ns. */
const rcu_resched_ns = KERNEL_STATIC<number>("rcu_resched_ns", () => 3 * NSEC_PER_MSEC);
/**
 * rcutree.jiffies_till_sched_qs: age at which a grace period asks for help.
 *
 * @mirrors kernel/rcu/tree.c:jiffies_till_sched_qs
 */
export const jiffies_till_sched_qs: KernelStatic<number> = KERNEL_STATIC(
  "jiffies_till_sched_qs",
  () => ULONG_MAX,
);
/** The same, as it is used. @mirrors kernel/rcu/tree.c:jiffies_to_sched_qs */
export const jiffies_to_sched_qs: KernelStatic<number> = KERNEL_STATIC<number>(
  "jiffies_to_sched_qs",
  () => 0,
);

/** Computes jiffies_to_sched_qs. @mirrors kernel/rcu/tree.c:adjust_jiffies_till_sched_qs */
function adjust_jiffies_till_sched_qs(k: Kernel): void {
  if (jiffies_till_sched_qs(k) !== ULONG_MAX) {
    jiffies_to_sched_qs.set(k, jiffies_till_sched_qs(k));
    return;
  }
  const least = Math.floor(HZ(k) / 10) + Math.floor(nr_cpu_ids(k) / RCU_JIFFIES_FQS_DIV);
  const j = Math.max(jiffies_till_first_fqs(k) + 2 * jiffies_till_next_fqs(k), least);
  pr_info(k, `rcu: RCU calculated value of scheduler-enlistment delay is ${j} jiffies.`);
  jiffies_to_sched_qs.set(k, j);
}

/** Sets jiffies_till_first_fqs, at most a second. @mirrors kernel/rcu/tree.c:param_set_first_fqs_jiffies */
export function param_set_first_fqs_jiffies(k: Kernel, val: number): void {
  jiffies_till_first_fqs.set(k, Math.min(val, HZ(k)));
  adjust_jiffies_till_sched_qs(k);
}

/** Sets jiffies_till_next_fqs, at least 1, at most a second. @mirrors kernel/rcu/tree.c:param_set_next_fqs_jiffies */
export function param_set_next_fqs_jiffies(k: Kernel, val: number): void {
  jiffies_till_next_fqs.set(k, Math.max(1, Math.min(val, HZ(k))));
  adjust_jiffies_till_sched_qs(k);
}

/** The sequence number of grace periods, for statistics. @mirrors kernel/rcu/tree.c:rcu_get_gp_seq */
export function rcu_get_gp_seq(k: Kernel): number {
  return rcu_state(k).gp_seq;
}

/** @mirrors kernel/rcu/tree.c:rcu_get_root */
function rcu_get_root(k: Kernel): rcu_node {
  return rcu_state(k).node[0];
}

/**
 * This CPU goes idle (or, with full dynticks, to user mode).
 *
 * Context: interrupts off.
 *
 * @mirrors kernel/rcu/tree.c:rcu_eqs_enter
 */
function* rcu_eqs_enter(k: Kernel, user: boolean): Atomic<void> {
  const rdp = this_cpu_ptr(k, rcu_data);
  WARN_ON_ONCE(k, rdp.dynticks_nmi_nesting !== DYNTICK_IRQ_NONIDLE, "nmi_nesting");
  rdp.dynticks_nmi_nesting = 0;
  WARN_ON_ONCE(k, rdp.dynticks_nesting === 0, "nesting");
  if (rdp.dynticks_nesting !== 1) {
    rdp.dynticks_nesting--;
    return;
  }
  trace_rcu_dyntick(k, "Start", rdp.dynticks_nesting, 0, rdp.dynticks);
  WARN_ON_ONCE(k, !user && !is_idle_task(current(k)), "idle task");
  rcu_prepare_for_idle(k);
  yield* rcu_state(k).plugin.rcu_preempt_deferred_qs(k, current(k));
  rdp.dynticks_nesting = 0;
  rcu_dynticks_eqs_enter(k);
}

/**
 * The idle loop is about to halt this CPU: no readers from here on.
 *
 * Context: interrupts off.
 *
 * @mirrors kernel/rcu/tree.c:rcu_idle_enter
 */
export function rcu_idle_enter(k: Kernel): Atomic<void> {
  WARN_ON_ONCE(k, !irqs_disabled(k));
  return rcu_eqs_enter(k, false);
}

/** An interrupt ends. @mirrors kernel/rcu/tree.c:rcu_nmi_exit_common */
function rcu_nmi_exit_common(k: Kernel, irq: boolean): void {
  const rdp = this_cpu_ptr(k, rcu_data);
  WARN_ON_ONCE(k, rdp.dynticks_nmi_nesting <= 0, "nmi_nesting");
  WARN_ON_ONCE(k, rcu_dynticks_curr_cpu_in_eqs(k), "eqs");
  const nesting = rdp.dynticks_nmi_nesting;
  if (nesting !== 1) {
    trace_rcu_dyntick(k, "--=", nesting, nesting - 2, rdp.dynticks);
    rdp.dynticks_nmi_nesting = nesting - 2;
    return;
  }
  trace_rcu_dyntick(k, "Startirq", nesting, 0, rdp.dynticks);
  rdp.dynticks_nmi_nesting = 0;
  if (irq) rcu_prepare_for_idle(k);
  rcu_dynticks_eqs_enter(k);
}

/**
 * Leaves a hard interrupt: the last thing irq_exit() does.
 *
 * Context: interrupts off.
 *
 * @mirrors kernel/rcu/tree.c:rcu_irq_exit
 */
export function rcu_irq_exit(k: Kernel): void {
  WARN_ON_ONCE(k, !irqs_disabled(k));
  rcu_nmi_exit_common(k, true);
}

/** rcu_irq_exit() with interrupts on. @mirrors kernel/rcu/tree.c:rcu_irq_exit_irqson */
export function rcu_irq_exit_irqson(k: Kernel): void {
  const flags = local_irq_save(k);
  rcu_irq_exit(k);
  local_irq_restore(k, flags);
}

/**
 * This CPU leaves idle.
 *
 * Context: interrupts off.
 *
 * @mirrors kernel/rcu/tree.c:rcu_eqs_exit
 */
function rcu_eqs_exit(k: Kernel, user: boolean): void {
  WARN_ON_ONCE(k, !irqs_disabled(k), "irqs");
  const rdp = this_cpu_ptr(k, rcu_data);
  const oldval = rdp.dynticks_nesting;
  WARN_ON_ONCE(k, oldval < 0, "nesting");
  if (oldval !== 0) {
    rdp.dynticks_nesting++;
    return;
  }
  rcu_dynticks_eqs_exit(k);
  rcu_cleanup_after_idle(k);
  trace_rcu_dyntick(k, "End", rdp.dynticks_nesting, 1, rdp.dynticks);
  WARN_ON_ONCE(k, !user && !is_idle_task(current(k)), "idle task");
  rdp.dynticks_nesting = 1;
  WARN_ON_ONCE(k, rdp.dynticks_nmi_nesting !== 0, "nmi_nesting");
  rdp.dynticks_nmi_nesting = DYNTICK_IRQ_NONIDLE;
}

/** The idle loop goes on: readers are legal again. @mirrors kernel/rcu/tree.c:rcu_idle_exit */
export function rcu_idle_exit(k: Kernel): void {
  const flags = local_irq_save(k);
  rcu_eqs_exit(k, false);
  local_irq_restore(k, flags);
}

/** An interrupt begins. @mirrors kernel/rcu/tree.c:rcu_nmi_enter_common */
function rcu_nmi_enter_common(k: Kernel, irq: boolean): void {
  let incby = 2;
  const rdp = this_cpu_ptr(k, rcu_data);
  WARN_ON_ONCE(k, rdp.dynticks_nmi_nesting < 0);
  if (rcu_dynticks_curr_cpu_in_eqs(k)) {
    rcu_dynticks_eqs_exit(k);
    if (irq) rcu_cleanup_after_idle(k);
    incby = 1;
  }
  const nesting = rdp.dynticks_nmi_nesting;
  trace_rcu_dyntick(k, incby === 1 ? "Endirq" : "++=", nesting, nesting + incby, rdp.dynticks);
  rdp.dynticks_nmi_nesting = nesting + incby;
}

/**
 * Enters a hard interrupt: the first thing irq_enter() does.
 *
 * Context: interrupts off.
 *
 * @mirrors kernel/rcu/tree.c:rcu_irq_enter
 */
export function rcu_irq_enter(k: Kernel): void {
  WARN_ON_ONCE(k, !irqs_disabled(k));
  rcu_nmi_enter_common(k, true);
}

/** rcu_irq_enter() with interrupts on: lets idle code use readers. @mirrors kernel/rcu/tree.c:rcu_irq_enter_irqson */
export function rcu_irq_enter_irqson(k: Kernel): void {
  const flags = local_irq_save(k);
  rcu_irq_enter(k);
  local_irq_restore(k, flags);
}

/**
 * A CPU has reported: nothing is urgent any more. Context: its leaf is locked.
 *
 * @mirrors kernel/rcu/tree.c:rcu_disable_urgency_upon_qs
 */
function rcu_disable_urgency_upon_qs(k: Kernel, rdp: RcuData): void {
  raw_lockdep_assert_held_rcu_node(k, rdp.mynode);
  rdp.rcu_urgent_qs = false;
  rdp.rcu_need_heavy_qs = false;
}

/** Whether RCU watches this CPU, so that readers are legal on it. @mirrors kernel/rcu/tree.c:rcu_is_watching */
export function rcu_is_watching(k: Kernel): boolean {
  return !rcu_dynticks_curr_cpu_in_eqs(k);
}

/** Whether this CPU is online for RCU. @mirrors kernel/rcu/tree.c:rcu_lockdep_current_cpu_online */
export function rcu_lockdep_current_cpu_online(k: Kernel): boolean {
  if (!rcu_scheduler_fully_active(k)) return true;
  const rdp = this_cpu_ptr(k, rcu_data);
  return rcu_rnp_online_cpus(rdp.mynode).intersects(rdp.grpmask);
}

/**
 * A CPU that has not looked for a quarter of all numbers must not trust its own any more.
 *
 * Context: the leaf is locked.
 *
 * @mirrors kernel/rcu/tree.c:rcu_gpnum_ovf
 */
function rcu_gpnum_ovf(k: Kernel, rnp: rcu_node, rdp: RcuData): void {
  raw_lockdep_assert_held_rcu_node(k, rnp);
  if (ULONG_CMP_LT(rcu_seq_current(rdp.gp_seq) + ULONG_MAX / 4, rnp.gp_seq)) rdp.gpwrap = true;
}

/**
 * First look at a CPU that has not reported: notes its counter, true when it is idle now.
 *
 * @mirrors kernel/rcu/tree.c:dyntick_save_progress_counter
 */
function dyntick_save_progress_counter(k: Kernel, rdp: RcuData): boolean {
  rdp.dynticks_snap = rcu_dynticks_snap(rdp);
  if (!rcu_dynticks_in_eqs(rdp.dynticks_snap)) return false;
  trace_rcu_fqs(k, rcu_state(k).name, rdp.gp_seq, rdp.cpu, "dti");
  rcu_gpnum_ovf(k, rdp.mynode, rdp);
  return true;
}

/** An offline CPU holds up the grace period: says what is known. */
function offlineTooLong(k: Kernel, rdp: RcuData): void {
  const rnp = rdp.mynode;
  const at = "rcu_implicit_dynticks_qs";
  WARN_ON(k, true);
  pr_info(
    k,
    `rcu: ${at}: grp: ${rnp.grplo}-${rnp.grphi} level: ${rnp.level} ` +
      `->gp_seq ${rnp.gp_seq} ->completedqs ${rnp.completedqs}`,
  );
  for (let rnp1: rcu_node | null = rnp; rnp1 !== null; rnp1 = rnp1.parent) {
    pr_info(
      k,
      `rcu: ${at}: ${rnp1.grplo}:${rnp1.grphi} ->qsmask 0x${rnp1.qsmask} ->qsmaskinit 0x${rnp1.qsmaskinit} ` +
        `->qsmaskinitnext 0x${rnp1.qsmaskinitnext} ->rcu_gp_init_mask 0x${rnp1.rcu_gp_init_mask}`,
    );
  }
  const onl = rcu_rnp_online_cpus(rnp).intersects(rdp.grpmask);
  pr_info(
    k,
    `rcu: ${at} ${rdp.cpu}: ${onl ? "o" : "."} online: ${rdp.rcu_onl_gp_seq}(${rdp.rcu_onl_gp_flags}) ` +
      `offline: ${rdp.rcu_ofl_gp_seq}(${rdp.rcu_ofl_gp_flags})`,
  );
}

/**
 * Further looks at a CPU that has not reported: true when it was idle since the first. Otherwise asks it for help, first
 * kindly, then urgently.
 *
 * Context: its leaf is locked.
 *
 * @mirrors kernel/rcu/tree.c:rcu_implicit_dynticks_qs
 * @simplified without the irq_work that looks whether interrupts work
 */
function rcu_implicit_dynticks_qs(k: Kernel, rdp: RcuData): boolean {
  const rsp = rcu_state(k);
  const rnp = rdp.mynode;
  const j = jiffies(k);
  if (rcu_dynticks_in_eqs_since(rdp, rdp.dynticks_snap)) {
    trace_rcu_fqs(k, rsp.name, rdp.gp_seq, rdp.cpu, "dti");
    rcu_gpnum_ovf(k, rnp, rdp);
    return true;
  }
  if (!rcu_rnp_online_cpus(rnp).intersects(rdp.grpmask) && time_after(j, rsp.gp_start + HZ(k))) {
    offlineTooLong(k, rdp);
    return true;
  }
  const jtsq = jiffies_to_sched_qs(k);
  if (
    !rdp.rcu_need_heavy_qs &&
    (time_after(j, rsp.gp_start + jtsq * 2) || time_after(j, rsp.jiffies_resched) || rsp.cbovld)
  ) {
    rdp.rcu_need_heavy_qs = true;
    rdp.rcu_urgent_qs = true;
  } else if (time_after(j, rsp.gp_start + jtsq)) {
    rdp.rcu_urgent_qs = true;
  }
  if (time_after(j, rsp.jiffies_resched) && time_after(j, rdp.last_fqs_resched + jtsq)) {
    resched_cpu(k, rdp.cpu);
    rdp.last_fqs_resched = j;
  }
  return false;
}

/** Traces what became of a request. @mirrors kernel/rcu/tree.c:trace_rcu_this_gp */
function trace_rcu_this_gp(
  k: Kernel,
  rnp: rcu_node,
  _rdp: RcuData,
  gp_seq_req: number,
  s: string,
): void {
  const { name } = rcu_state(k);
  trace_rcu_future_grace_period(k, name, rnp.gp_seq, gp_seq_req, rnp.level, rnp.grplo, rnp.grphi, s);
}

/**
 * Asks for grace period `gp_seq_req`: notes it from the leaf upwards, as far as nobody has asked before. Returns whether
 * the caller must wake the thread, after it has unlocked the leaf. Point CB5: a node is marked, its parent not locked.
 *
 * Locks: the leaf is held, and at most one node above it.
 *
 * @mirrors kernel/rcu/tree.c:rcu_start_this_gp
 */
function* rcu_start_this_gp(
  k: Kernel,
  rnp_start: rcu_node,
  rdp: RcuData,
  gp_seq_req: number,
): Atomic<boolean> {
  raw_lockdep_assert_held_rcu_node(k, rnp_start);
  trace_rcu_this_gp(k, rnp_start, rdp, gp_seq_req, "Startleaf");
  let rnp = rnp_start;
  let ret = false;
  for (;;) {
    if (rnp !== rnp_start) yield* raw_spin_lock_rcu_node(k, rnp);
    if (
      ULONG_CMP_GE(rnp.gp_seq_needed, gp_seq_req) || rcu_seq_started(rnp.gp_seq, gp_seq_req) ||
      (rnp !== rnp_start && rcu_seq_state(rcu_seq_current(rnp.gp_seq)) !== 0)
    ) {
      trace_rcu_this_gp(k, rnp, rdp, gp_seq_req, "Prestarted");
      break;
    }
    rnp.gp_seq_needed = gp_seq_req;
    if (rcu_seq_state(rcu_seq_current(rnp.gp_seq)) !== 0) {
      // The end of the grace period that runs will see the mark.
      trace_rcu_this_gp(k, rnp_start, rdp, gp_seq_req, "Startedleaf");
      break;
    }
    if (rnp !== rnp_start && rnp.parent !== null) raw_spin_unlock_rcu_node(k, rnp);
    if (rnp.parent === null) {
      ret = requestAtRoot(k, rnp, rdp, gp_seq_req);
      break;
    }
    if (pt(k, POINT_NAMED, "CB5")) yield STEP;
    rnp = rnp.parent;
  }
  if (ULONG_CMP_LT(gp_seq_req, rnp.gp_seq_needed)) {
    rnp_start.gp_seq_needed = rnp.gp_seq_needed;
    rdp.gp_seq_needed = rnp.gp_seq_needed;
  }
  if (rnp !== rnp_start) raw_spin_unlock_rcu_node(k, rnp);
  return ret;
}

/** The request has reached the root, which is locked: starts a grace period unless one runs. */
function requestAtRoot(k: Kernel, rnp: rcu_node, rdp: RcuData, gp_seq_req: number): boolean {
  const rsp = rcu_state(k);
  if (rcu_gp_in_progress(k)) {
    trace_rcu_this_gp(k, rnp, rdp, gp_seq_req, "Startedleafroot");
    return false;
  }
  trace_rcu_this_gp(k, rnp, rdp, gp_seq_req, "Startedroot");
  rsp.gp_flags |= RCU_GP_FLAG_INIT;
  rsp.gp_req_activity = jiffies(k);
  if (rsp.gp_kthread === null) {
    trace_rcu_this_gp(k, rnp, rdp, gp_seq_req, "NoGPkthread");
    return false;
  }
  trace_rcu_grace_period(k, rsp.name, rsp.gp_seq, "newreq");
  return true;
}

/**
 * A grace period ends at a node: whether another was asked for through it.
 *
 * @mirrors kernel/rcu/tree.c:rcu_future_gp_cleanup
 */
function rcu_future_gp_cleanup(k: Kernel, rnp: rcu_node): boolean {
  const rdp = this_cpu_ptr(k, rcu_data);
  const needmore = ULONG_CMP_LT(rnp.gp_seq, rnp.gp_seq_needed);
  if (!needmore) rnp.gp_seq_needed = rnp.gp_seq;
  trace_rcu_this_gp(k, rnp, rdp, rnp.gp_seq, needmore ? "CleanupMore" : "Cleanup");
  return needmore;
}

/**
 * Wakes the grace-period thread, if it has something to do and is not the caller.
 *
 * Context: any; no rcu_node locked.
 *
 * @mirrors kernel/rcu/tree.c:rcu_gp_kthread_wake
 */
function rcu_gp_kthread_wake(k: Kernel): void {
  const rsp = rcu_state(k);
  const t = rsp.gp_kthread;
  // In an interrupt on top of the thread it may be between its last test and its sleep.
  if ((current(k) === t && !in_irq(k) && !in_serving_softirq(k)) || rsp.gp_flags === 0 || t === null) return;
  rsp.gp_wake_time = jiffies(k);
  rsp.gp_wake_seq = rsp.gp_seq;
  swake_up_one(k, rsp.gp_wq);
}

/**
 * Gives numbers to new callbacks and asks for their grace period. Returns whether the thread must be woken. Point CB4: the
 * number is read, the root not locked.
 *
 * Context: interrupts off, the leaf is locked.
 *
 * @mirrors kernel/rcu/tree.c:rcu_accelerate_cbs
 */
function* rcu_accelerate_cbs(k: Kernel, rnp: rcu_node, rdp: RcuData): Atomic<boolean> {
  rcu_lockdep_assert_cblist_protected(k, rdp);
  raw_lockdep_assert_held_rcu_node(k, rnp);
  if (!rcu_segcblist_pend_cbs(k, rdp.cblist)) return false;
  const rsp = rcu_state(k);
  let ret = false;
  const gp_seq_req = rcu_seq_snap(rsp.gp_seq);
  if (pt(k, POINT_NAMED, "CB4")) yield STEP;
  if (rcu_segcblist_accelerate(k, rdp.cblist, gp_seq_req)) {
    ret = yield* rcu_start_this_gp(k, rnp, rdp, gp_seq_req);
  }
  const waits = rcu_segcblist_restempty(k, rdp.cblist, RCU_WAIT_TAIL);
  trace_rcu_grace_period(k, rsp.name, rdp.gp_seq, waits ? "AccWaitCB" : "AccReadyCB");
  return ret;
}

/**
 * rcu_accelerate_cbs() that locks the leaf only when it must. Context: interrupts off.
 *
 * @mirrors kernel/rcu/tree.c:rcu_accelerate_cbs_unlocked
 */
function* rcu_accelerate_cbs_unlocked(k: Kernel, rnp: rcu_node, rdp: RcuData): Atomic<void> {
  rcu_lockdep_assert_cblist_protected(k, rdp);
  const c = rcu_seq_snap(rcu_state(k).gp_seq);
  if (!rdp.gpwrap && ULONG_CMP_GE(rdp.gp_seq_needed, c)) {
    // Already asked for.
    rcu_segcblist_accelerate(k, rdp.cblist, c);
    return;
  }
  yield* raw_spin_lock_rcu_node(k, rnp);
  const needwake = yield* rcu_accelerate_cbs(k, rnp, rdp);
  raw_spin_unlock_rcu_node(k, rnp);
  if (needwake) rcu_gp_kthread_wake(k);
}

/**
 * Moves callbacks whose grace period is over to those that may run, and numbers the new ones. Returns whether the thread
 * must be woken.
 *
 * Context: interrupts off, the leaf is locked.
 *
 * @mirrors kernel/rcu/tree.c:rcu_advance_cbs
 */
function* rcu_advance_cbs(k: Kernel, rnp: rcu_node, rdp: RcuData): Atomic<boolean> {
  rcu_lockdep_assert_cblist_protected(k, rdp);
  raw_lockdep_assert_held_rcu_node(k, rnp);
  if (!rcu_segcblist_pend_cbs(k, rdp.cblist)) return false;
  rcu_segcblist_advance(k, rdp.cblist, rnp.gp_seq);
  return yield* rcu_accelerate_cbs(k, rnp, rdp);
}

/**
 * A CPU notices what has happened to grace periods. Returns whether the thread must be woken.
 *
 * Context: interrupts off, the leaf is locked.
 *
 * @mirrors kernel/rcu/tree.c:__note_gp_changes
 */
function* __note_gp_changes(k: Kernel, rnp: rcu_node, rdp: RcuData): Atomic<boolean> {
  raw_lockdep_assert_held_rcu_node(k, rnp);
  if (rdp.gp_seq === rnp.gp_seq) return false;
  const { name } = rcu_state(k);
  let ret: boolean;
  if (rcu_seq_completed_gp(rdp.gp_seq, rnp.gp_seq) || rdp.gpwrap) {
    ret = yield* rcu_advance_cbs(k, rnp, rdp);
    rdp.core_needs_qs = false;
    trace_rcu_grace_period(k, name, rdp.gp_seq, "cpuend");
  } else {
    ret = yield* rcu_accelerate_cbs(k, rnp, rdp);
    if (rdp.core_needs_qs) rdp.core_needs_qs = rnp.qsmask.intersects(rdp.grpmask);
  }
  if (rcu_seq_new_gp(rdp.gp_seq, rnp.gp_seq) || rdp.gpwrap) {
    // What was noted before belongs to an older grace period.
    trace_rcu_grace_period(k, name, rnp.gp_seq, "cpustart");
    const need_qs = rnp.qsmask.intersects(rdp.grpmask);
    rdp.cpu_no_qs.norm = need_qs;
    rdp.core_needs_qs = need_qs;
    zero_cpu_stall_ticks(k, rdp);
  }
  rdp.gp_seq = rnp.gp_seq;
  if (ULONG_CMP_LT(rdp.gp_seq_needed, rnp.gp_seq_needed) || rdp.gpwrap) {
    rdp.gp_seq_needed = rnp.gp_seq_needed;
  }
  rdp.gpwrap = false;
  rcu_gpnum_ovf(k, rnp, rdp);
  return ret;
}

/**
 * Notices grace periods unless the leaf is busy; then the next tick tries again. Point QS2.
 *
 * @mirrors kernel/rcu/tree.c:note_gp_changes
 */
function* note_gp_changes(k: Kernel, rdp: RcuData): Atomic<void> {
  const flags = local_irq_save(k);
  const rnp = rdp.mynode;
  if (rdp.gp_seq === rcu_seq_current(rnp.gp_seq) && !rdp.gpwrap) {
    local_irq_restore(k, flags);
    return;
  }
  if (pt(k, POINT_NAMED, "QS2")) yield STEP;
  if (!(yield* raw_spin_trylock_rcu_node(k, rnp))) {
    local_irq_restore(k, flags);
    return;
  }
  const needwake = yield* __note_gp_changes(k, rnp, rdp);
  raw_spin_unlock_irqrestore_rcu_node(k, rnp, flags);
  if (needwake) rcu_gp_kthread_wake(k);
}

/** Sometimes waits, to widen races. @mirrors kernel/rcu/tree.c:rcu_gp_slow */
function* rcu_gp_slow(k: Kernel, delay: number): MaySleep<void> {
  if (delay <= 0) return;
  const period = rcu_num_nodes(k) * PER_RCU_NODE_PERIOD * delay;
  if (rcu_seq_ctr(rcu_state(k).gp_seq) % period === 0) yield* schedule_timeout_uninterruptible(k, delay);
}

/** Fields that say where a grace period began in gp_seq_polled; C passes their address. */
type PolledSnap = "gp_seq_polled_snap" | "gp_seq_polled_exp_snap";

/**
 * Tells polling that a grace period starts, which may fall into another of the other kind.
 *
 * Locks: the root, once tasks can switch.
 *
 * @mirrors kernel/rcu/tree.c:rcu_poll_gp_seq_start (v6.0)
 */
function rcu_poll_gp_seq_start(k: Kernel, snap: PolledSnap): void {
  if (rcu_scheduler_active(k) !== RCU_SCHEDULER_INACTIVE) {
    raw_lockdep_assert_held_rcu_node(k, rcu_get_root(k));
  }
  rcu_poll_gp_seq_start_unlocked(k, snap);
}

/**
 * Tells polling that a grace period ends: it counts unless one that fell into it has been counted meanwhile.
 *
 * Locks: the root, once tasks can switch.
 *
 * @mirrors kernel/rcu/tree.c:rcu_poll_gp_seq_end (v6.0)
 */
function rcu_poll_gp_seq_end(k: Kernel, snap: PolledSnap): void {
  if (rcu_scheduler_active(k) !== RCU_SCHEDULER_INACTIVE) {
    raw_lockdep_assert_held_rcu_node(k, rcu_get_root(k));
  }
  rcu_poll_gp_seq_end_unlocked(k, snap);
}

/**
 * rcu_poll_gp_seq_start() for who does not hold the root.
 *
 * @mirrors kernel/rcu/tree.c:rcu_poll_gp_seq_start_unlocked (v6.0)
 * @simplified takes no lock: its one caller is alone on the machine, and this is indivisible
 */
function rcu_poll_gp_seq_start_unlocked(k: Kernel, snap: PolledSnap): void {
  const rsp = rcu_state(k);
  if (rcu_seq_state(rsp.gp_seq_polled) === 0) rcu_seq_start(k, rsp, "gp_seq_polled");
  rsp[snap] = rsp.gp_seq_polled;
}

/**
 * rcu_poll_gp_seq_end() for who does not hold the root.
 *
 * @mirrors kernel/rcu/tree.c:rcu_poll_gp_seq_end_unlocked (v6.0)
 * @simplified takes no lock: its one caller is alone on the machine, and this is indivisible
 */
function rcu_poll_gp_seq_end_unlocked(k: Kernel, snap: PolledSnap): void {
  const rsp = rcu_state(k);
  // A snapshot is taken while a grace period runs, so it is never 0.
  if (rsp[snap] === 0 || rsp[snap] !== rsp.gp_seq_polled) {
    rsp[snap] = 0;
    return;
  }
  rcu_seq_end(k, rsp, "gp_seq_polled");
  rsp.gp_seq_polled_snap = 0;
  rsp.gp_seq_polled_exp_snap = 0;
}

/**
 * Starts a grace period: new number, then the masks of CPUs that came and went, then every node, root first. Returns
 * false when none was asked for. Points GPI1 to GPI5.
 *
 * Context: the grace-period thread.
 *
 * @mirrors kernel/rcu/tree.c:rcu_gp_init
 */
function* rcu_gp_init(k: Kernel): MaySleep<boolean> {
  const rsp = rcu_state(k);
  const root = rcu_get_root(k);
  rsp.gp_activity = jiffies(k);
  yield* raw_spin_lock_irq_rcu_node(k, root);
  if (rsp.gp_flags === 0) {
    raw_spin_unlock_irq_rcu_node(k, root);
    return false;
  }
  rsp.gp_flags = 0;
  if (WARN_ON_ONCE(k, rcu_gp_in_progress(k))) {
    raw_spin_unlock_irq_rcu_node(k, root);
    return false;
  }
  record_gp_stall_check_time(k);
  rcu_seq_start(k, rsp, "gp_seq");
  trace_rcu_grace_period(k, rsp.name, rsp.gp_seq, "start");
  rcu_poll_gp_seq_start(k, "gp_seq_polled_snap");
  raw_spin_unlock_irq_rcu_node(k, root);
  if (pt(k, POINT_NAMED, "GPI1")) yield STEP;

  rsp.gp_state = RCU_GP_ONOFF;
  for (const rnp of rcu_for_each_leaf_node(rsp)) {
    yield* raw_spin_lock(k, rsp.ofl_lock);
    yield* raw_spin_lock_irq_rcu_node(k, rnp);
    if (!rnp.qsmaskinit.equals(rnp.qsmaskinitnext) || rnp.wait_blkd_tasks) {
      yield* applyHotplug(k, rnp);
    }
    raw_spin_unlock_irq_rcu_node(k, rnp);
    raw_spin_unlock(k, rsp.ofl_lock);
    if (pt(k, POINT_NAMED, "GPI2")) yield STEP;
  }
  yield* rcu_gp_slow(k, gp_preinit_delay(k));
  if (pt(k, POINT_NAMED, "GPI3")) yield STEP;

  rsp.gp_state = RCU_GP_INIT;
  for (const rnp of rcu_for_each_node_breadth_first(rsp)) {
    yield* rcu_gp_slow(k, gp_init_delay(k));
    if (pt(k, POINT_NAMED, "GPI4")) yield STEP;
    yield* initNode(k, rnp);
    if (pt(k, POINT_NAMED, "GPI5")) yield STEP;
    yield* cond_resched_tasks_rcu_qs(k);
    rsp.gp_activity = jiffies(k);
  }
  return true;
}

/** CPUs of a locked leaf came or went: the ancestors learn whether it has any. */
function* applyHotplug(k: Kernel, rnp: rcu_node): Atomic<void> {
  const hadCpus = !rnp.qsmaskinit.isZero();
  rnp.qsmaskinit.set(rnp.qsmaskinitnext);
  const hasCpus = !rnp.qsmaskinit.isZero();
  if (hadCpus !== hasCpus) {
    if (!hadCpus) {
      if (!rnp.wait_blkd_tasks) yield* rcu_init_new_rnp(k, rnp);
    } else if (rcu_preempt_has_tasks(rnp)) {
      rnp.wait_blkd_tasks = true;
    } else {
      yield* rcu_cleanup_dead_rnp(k, rnp);
    }
  }
  if (rnp.wait_blkd_tasks && (!rcu_preempt_has_tasks(rnp) || hasCpus)) {
    rnp.wait_blkd_tasks = false;
    if (!hasCpus) yield* rcu_cleanup_dead_rnp(k, rnp);
  }
}

/** The new grace period reaches a node. */
function* initNode(k: Kernel, rnp: rcu_node): Atomic<void> {
  const rsp = rcu_state(k);
  const flags = yield* raw_spin_lock_irqsave_rcu_node(k, rnp);
  const rdp = this_cpu_ptr(k, rcu_data);
  rsp.plugin.rcu_preempt_check_blocked_tasks(k, rnp);
  rnp.qsmask.set(rnp.qsmaskinit);
  rnp.gp_seq = rsp.gp_seq;
  if (rnp === rdp.mynode) yield* __note_gp_changes(k, rnp, rdp);
  trace_rcu_grace_period_init(k, rsp.name, rnp.gp_seq, rnp.level, rnp.grplo, rnp.grphi, rnp.qsmask);
  // CPUs that went offline since the masks were copied will not report.
  const mask = Ulong64.copy(rnp.qsmask).andNot(rnp.qsmaskinitnext);
  rnp.rcu_gp_init_mask.set(mask);
  if ((!mask.isZero() || rnp.wait_blkd_tasks) && rcu_is_leaf_node(rsp, rnp)) {
    yield* rcu_report_qs_rnp(k, mask, rnp, rnp.gp_seq, flags);
  } else {
    raw_spin_unlock_irqrestore_rcu_node(k, rnp, flags);
  }
}

/**
 * What the thread waits for in a grace period: a forcing wanted, or the root done.
 *
 * @mirrors kernel/rcu/tree.c:rcu_gp_fqs_check_wake
 */
function rcu_gp_fqs_check_wake(k: Kernel, gfp: { flags: number }): boolean {
  const rnp = rcu_get_root(k);
  gfp.flags = rcu_state(k).gp_flags;
  if ((gfp.flags & RCU_GP_FLAG_FQS) !== 0) return true;
  return rnp.qsmask.isZero() && !rcu_preempt_blocked_readers_cgp(rnp);
}

/** One look at all CPUs that have not reported. @mirrors kernel/rcu/tree.c:rcu_gp_fqs */
function* rcu_gp_fqs(k: Kernel, first_time: boolean): MaySleep<void> {
  const rsp = rcu_state(k);
  const rnp = rcu_get_root(k);
  rsp.gp_activity = jiffies(k);
  rsp.n_force_qs++;
  yield* force_qs_rnp(k, first_time ? dyntick_save_progress_counter : rcu_implicit_dynticks_qs);
  if (((yield* READ_ONCE(k, rsp, "gp_flags")) & RCU_GP_FLAG_FQS) === 0) return;
  yield* raw_spin_lock_irq_rcu_node(k, rnp);
  rsp.gp_flags &= ~RCU_GP_FLAG_FQS;
  raw_spin_unlock_irq_rcu_node(k, rnp);
}

/**
 * Waits for quiescent states, and looks for them each time the wait is over. Point FQS1: woken, root not tested.
 *
 * @mirrors kernel/rcu/tree.c:rcu_gp_fqs_loop
 */
function* rcu_gp_fqs_loop(k: Kernel): MaySleep<void> {
  const rsp = rcu_state(k);
  const rnp = rcu_get_root(k);
  const gf = { flags: 0 };
  let first_gp_fqs = true;
  let j = jiffies_till_first_fqs(k);
  let ret = 0;
  for (;;) {
    if (ret === 0) rsp.jiffies_force_qs = jiffies(k) + j;
    trace_rcu_grace_period(k, rsp.name, rsp.gp_seq, "fqswait");
    rsp.gp_state = RCU_GP_WAIT_FQS;
    yield* swait_event_idle_timeout_exclusive(k, rsp.gp_wq, (k) => rcu_gp_fqs_check_wake(k, gf), j);
    rsp.gp_state = RCU_GP_DOING_FQS;
    if (pt(k, POINT_NAMED, "FQS1")) yield STEP;
    if (rnp.qsmask.isZero() && !rcu_preempt_blocked_readers_cgp(rnp)) break;
    if (ULONG_CMP_GE(jiffies(k), rsp.jiffies_force_qs) || (gf.flags & RCU_GP_FLAG_FQS) !== 0) {
      trace_rcu_grace_period(k, rsp.name, rsp.gp_seq, "fqsstart");
      yield* rcu_gp_fqs(k, first_gp_fqs);
      first_gp_fqs = false;
      trace_rcu_grace_period(k, rsp.name, rsp.gp_seq, "fqsend");
      yield* cond_resched_tasks_rcu_qs(k);
      rsp.gp_activity = jiffies(k);
      ret = 0;
      j = jiffies_till_next_fqs(k);
    } else {
      // A stray wake-up: the rest of the same wait.
      yield* cond_resched_tasks_rcu_qs(k);
      rsp.gp_activity = jiffies(k);
      trace_rcu_grace_period(k, rsp.name, rsp.gp_seq, "fqswaitsig");
      ret = 1;
      j = Math.max(1, rsp.jiffies_force_qs - jiffies(k));
    }
  }
}

/** The end of the grace period reaches a node. Returns whether another one is needed. */
function* cleanupNode(k: Kernel, rnp: rcu_node, new_gp_seq: number): Atomic<boolean> {
  const rsp = rcu_state(k);
  yield* raw_spin_lock_irq_rcu_node(k, rnp);
  if (WARN_ON_ONCE(k, rcu_preempt_blocked_readers_cgp(rnp), "blocked readers")) {
    rsp.plugin.dump_blkd_tasks(k, rnp, 10);
  }
  WARN_ON_ONCE(k, !rnp.qsmask.isZero(), "qsmask");
  rnp.gp_seq = new_gp_seq;
  if (rnp.parent === null) smp_mb(k);
  const rdp = this_cpu_ptr(k, rcu_data);
  let needgp = rnp === rdp.mynode && (yield* __note_gp_changes(k, rnp, rdp));
  needgp = rcu_future_gp_cleanup(k, rnp) || needgp;
  if (rcu_is_leaf_node(rsp, rnp)) {
    for (const cpu of for_each_leaf_node_cpu_mask(k, rsp, rnp, rnp.cbovldmask)) {
      check_cb_ovld_locked(k, per_cpu_ptr(k, rcu_data, cpu), rnp);
    }
  }
  raw_spin_unlock_irq_rcu_node(k, rnp);
  return needgp;
}

/**
 * Ends a grace period: every node, root first, then the number; and asks for the next if it is needed. Points GPC1 to
 * GPC3.
 *
 * Context: the grace-period thread.
 *
 * @mirrors kernel/rcu/tree.c:rcu_gp_cleanup
 */
function* rcu_gp_cleanup(k: Kernel): MaySleep<void> {
  const rsp = rcu_state(k);
  const root = rcu_get_root(k);
  let needgp = false;
  rsp.gp_activity = jiffies(k);
  yield* raw_spin_lock_irq_rcu_node(k, root);
  rsp.gp_end = jiffies(k);
  rsp.gp_max = Math.max(rsp.gp_max, rsp.gp_end - rsp.gp_start);
  // The grace period looks as if it ran, but nobody has anything to do for it.
  rcu_poll_gp_seq_end(k, "gp_seq_polled_snap");
  raw_spin_unlock_irq_rcu_node(k, root);
  if (pt(k, POINT_NAMED, "GPC1")) yield STEP;

  const new_gp_seq = rcu_seq_endval(rsp.gp_seq);
  for (const rnp of rcu_for_each_node_breadth_first(rsp)) {
    needgp = (yield* cleanupNode(k, rnp, new_gp_seq)) || needgp;
    if (pt(k, POINT_NAMED, "GPC2")) yield STEP;
    yield* cond_resched_tasks_rcu_qs(k);
    rsp.gp_activity = jiffies(k);
    yield* rcu_gp_slow(k, gp_cleanup_delay(k));
  }
  if (pt(k, POINT_NAMED, "GPC3")) yield STEP;

  yield* raw_spin_lock_irq_rcu_node(k, root);
  trace_rcu_grace_period(k, rsp.name, rsp.gp_seq, "end");
  rcu_seq_end(k, rsp, "gp_seq");
  rsp.gp_state = RCU_GP_IDLE;
  const rdp = this_cpu_ptr(k, rcu_data);
  if (!needgp && ULONG_CMP_LT(root.gp_seq, root.gp_seq_needed)) {
    trace_rcu_this_gp(k, root, rdp, root.gp_seq_needed, "CleanupMore");
    needgp = true;
  }
  if (!(yield* rcu_accelerate_cbs(k, root, rdp)) && needgp) {
    rsp.gp_flags = RCU_GP_FLAG_INIT;
    rsp.gp_req_activity = jiffies(k);
    trace_rcu_grace_period(k, rsp.name, rsp.gp_seq, "newreq");
  } else {
    rsp.gp_flags &= RCU_GP_FLAG_INIT;
  }
  raw_spin_unlock_irq_rcu_node(k, root);
}

/** The thread that runs grace periods, one after the other, for ever. @mirrors kernel/rcu/tree.c:rcu_gp_kthread */
function* rcu_gp_kthread(k: Kernel): MaySleep<void> {
  const rsp = rcu_state(k);
  for (;;) {
    for (;;) {
      trace_rcu_grace_period(k, rsp.name, rsp.gp_seq, "reqwait");
      rsp.gp_state = RCU_GP_WAIT_GPS;
      yield* swait_event_idle_exclusive(k, rsp.gp_wq, () => (rsp.gp_flags & RCU_GP_FLAG_INIT) !== 0);
      rsp.gp_state = RCU_GP_DONE_GPS;
      if (yield* rcu_gp_init(k)) break;
      yield* cond_resched_tasks_rcu_qs(k);
      rsp.gp_activity = jiffies(k);
      trace_rcu_grace_period(k, rsp.name, rsp.gp_seq, "reqwaitsig");
    }
    yield* rcu_gp_fqs_loop(k);
    rsp.gp_state = RCU_GP_CLEANUP;
    yield* rcu_gp_cleanup(k);
    rsp.gp_state = RCU_GP_CLEANED;
  }
}

/**
 * The root is done: wakes the thread. Point QS5. Locks: the root, released.
 *
 * @mirrors kernel/rcu/tree.c:rcu_report_qs_rsp
 */
function* rcu_report_qs_rsp(k: Kernel, flags: IrqFlags): Atomic<void> {
  const rsp = rcu_state(k);
  const root = rcu_get_root(k);
  raw_lockdep_assert_held_rcu_node(k, root);
  WARN_ON_ONCE(k, !rcu_gp_in_progress(k));
  rsp.gp_flags |= RCU_GP_FLAG_FQS;
  raw_spin_unlock_irqrestore_rcu_node(k, root, flags);
  if (pt(k, POINT_NAMED, "QS5")) yield STEP;
  rcu_gp_kthread_wake(k);
}

/**
 * Children `mask` of `rnp` are done with grace period `gps`: clears their bits, and while a node has none left, its bit in
 * the parent. A report for an older grace period is dropped. Point QS4: child unlocked, parent not locked.
 *
 * Locks: `rnp`, released.
 *
 * @mirrors kernel/rcu/tree.c:rcu_report_qs_rnp
 */
function* rcu_report_qs_rnp(
  k: Kernel,
  mask: Ulong64,
  rnp: rcu_node,
  gps: number,
  flags: IrqFlags,
): Atomic<void> {
  const rsp = rcu_state(k);
  let childBusy = false;
  raw_lockdep_assert_held_rcu_node(k, rnp);
  for (;;) {
    if ((!rnp.qsmask.intersects(mask) && !mask.isZero()) || rnp.gp_seq !== gps) {
      raw_spin_unlock_irqrestore_rcu_node(k, rnp, flags);
      return;
    }
    WARN_ON_ONCE(k, childBusy, "oldmask");
    WARN_ON_ONCE(k, !rcu_is_leaf_node(rsp, rnp) && rcu_preempt_blocked_readers_cgp(rnp), "gp_tasks");
    rnp.qsmask.andNot(mask);
    trace_rcu_quiescent_state_report(
      k,
      rsp.name,
      rnp.gp_seq,
      mask,
      rnp.qsmask,
      rnp.level,
      rnp.grplo,
      rnp.grphi,
      rcu_preempt_blocked_readers_cgp(rnp),
    );
    if (!rnp.qsmask.isZero() || rcu_preempt_blocked_readers_cgp(rnp)) {
      raw_spin_unlock_irqrestore_rcu_node(k, rnp, flags);
      return;
    }
    rnp.completedqs = rnp.gp_seq;
    mask = rnp.grpmask;
    if (rnp.parent === null) break;
    raw_spin_unlock_irqrestore_rcu_node(k, rnp, flags);
    if (pt(k, POINT_NAMED, "QS4")) yield STEP;
    const rnp_c = rnp;
    rnp = rnp.parent;
    flags = yield* raw_spin_lock_irqsave_rcu_node(k, rnp);
    childBusy = !rnp_c.qsmask.isZero();
  }
  yield* rcu_report_qs_rsp(k, flags);
}

/**
 * The last preempted reader that held up the grace period at a leaf has ended: reports upwards, unless CPUs are missing.
 * Point QS4, as in rcu_report_qs_rnp().
 *
 * Context: interrupts off. Locks: `rnp`, released.
 *
 * @mirrors kernel/rcu/tree.c:rcu_report_unblock_qs_rnp
 */
export function* rcu_report_unblock_qs_rnp(k: Kernel, rnp: rcu_node, flags: IrqFlags): Atomic<void> {
  raw_lockdep_assert_held_rcu_node(k, rnp);
  if (
    WARN_ON_ONCE(k, rcu_state(k).plugin === classicPlugin, "PREEMPT_RCU") ||
    WARN_ON_ONCE(k, rcu_preempt_blocked_readers_cgp(rnp), "blocked readers") || !rnp.qsmask.isZero()
  ) {
    raw_spin_unlock_irqrestore_rcu_node(k, rnp, flags);
    return;
  }
  rnp.completedqs = rnp.gp_seq;
  const rnp_p = rnp.parent;
  if (rnp_p === null) {
    yield* rcu_report_qs_rsp(k, flags);
    return;
  }
  const gps = rnp.gp_seq;
  const mask = rnp.grpmask;
  raw_spin_unlock_rcu_node(k, rnp);
  if (pt(k, POINT_NAMED, "QS4")) yield STEP;
  yield* raw_spin_lock_rcu_node(k, rnp_p);
  yield* rcu_report_qs_rnp(k, mask, rnp_p, gps, flags);
}

/**
 * This CPU reports its quiescent state to its leaf, unless it belongs to an older grace period.
 *
 * @mirrors kernel/rcu/tree.c:rcu_report_qs_rdp
 */
function* rcu_report_qs_rdp(k: Kernel, _cpu: number, rdp: RcuData): Atomic<void> {
  const rnp = rdp.mynode;
  const flags = yield* raw_spin_lock_irqsave_rcu_node(k, rnp);
  if (rdp.cpu_no_qs.norm || rdp.gp_seq !== rnp.gp_seq || rdp.gpwrap) {
    // Another one is needed.
    rdp.cpu_no_qs.norm = true;
    raw_spin_unlock_irqrestore_rcu_node(k, rnp, flags);
    return;
  }
  const mask = rdp.grpmask;
  if (rdp.cpu === smp_processor_id(k)) rdp.core_needs_qs = false;
  if (!rnp.qsmask.intersects(mask)) {
    raw_spin_unlock_irqrestore_rcu_node(k, rnp, flags);
    return;
  }
  // This grace period cannot end before the report, so callbacks queued by now need the next one only.
  const needwake = yield* rcu_accelerate_cbs(k, rnp, rdp);
  rcu_disable_urgency_upon_qs(k, rdp);
  yield* rcu_report_qs_rnp(k, mask, rnp, rnp.gp_seq, flags);
  if (needwake) rcu_gp_kthread_wake(k);
}

/**
 * Notices grace periods, and reports a quiescent state if one is owed and noted. Point QS3.
 *
 * @mirrors kernel/rcu/tree.c:rcu_check_quiescent_state
 */
function* rcu_check_quiescent_state(k: Kernel, rdp: RcuData): Atomic<void> {
  yield* note_gp_changes(k, rdp);
  if (!rdp.core_needs_qs) return;
  if (rdp.cpu_no_qs.norm) return;
  if (pt(k, POINT_NAMED, "QS3")) yield STEP;
  yield* rcu_report_qs_rdp(k, rdp.cpu, rdp);
}

/**
 * The last CPU of a leaf is gone: the ancestors need not wait for it. Context: the leaf is locked.
 *
 * @mirrors kernel/rcu/tree.c:rcu_cleanup_dead_rnp
 */
function* rcu_cleanup_dead_rnp(k: Kernel, rnp_leaf: rcu_node): Atomic<void> {
  raw_lockdep_assert_held_rcu_node(k, rnp_leaf);
  if (WARN_ON_ONCE(k, !rnp_leaf.qsmaskinit.isZero(), "qsmaskinit")) return;
  if (WARN_ON_ONCE(k, rcu_preempt_has_tasks(rnp_leaf), "tasks")) return;
  let child = rnp_leaf;
  for (let rnp = child.parent; rnp !== null; child = rnp, rnp = rnp.parent) {
    yield* raw_spin_lock_rcu_node(k, rnp);
    rnp.qsmaskinit.andNot(child.grpmask);
    WARN_ON_ONCE(k, !rnp.qsmask.isZero(), "qsmask");
    const busy = !rnp.qsmaskinit.isZero();
    raw_spin_unlock_rcu_node(k, rnp);
    if (busy) return;
  }
}

/**
 * Invokes callbacks whose grace period is over, first queued first, at most a batch while others want this CPU. Point
 * CB6: between two callbacks.
 *
 * Context: softirq.
 *
 * @mirrors kernel/rcu/tree.c:rcu_do_batch
 */
function* rcu_do_batch(k: Kernel, rdp: RcuData): Atomic<void> {
  const rsp = rcu_state(k);
  const { cblist, batch: rcl } = rdp;
  if (!rcu_segcblist_ready_cbs(cblist)) {
    trace_rcu_batch_start(k, rsp.name, rcu_segcblist_n_cbs(cblist), 0);
    const more = !rcu_segcblist_empty(k, cblist);
    const resched = need_resched(k);
    trace_rcu_batch_end(k, rsp.name, 0, more, resched, is_idle_task(current(k)), rcu_is_callbacks_kthread());
    return;
  }

  let flags = local_irq_save(k);
  WARN_ON_ONCE(k, !cpu_online(k, smp_processor_id(k)), "offline");
  const pending = rcu_segcblist_n_cbs(cblist);
  const bl = Math.max(rdp.blimit, pending >> rcu_divisor(k));
  const tlimit = bl > 100 ? k.now() + rcu_resched_ns(k) : 0;
  trace_rcu_batch_start(k, rsp.name, rcu_segcblist_n_cbs(cblist), bl);
  rcu_cblist_init(k, rcl);
  rcu_segcblist_extract_done_cbs(k, cblist, rcl);
  local_irq_restore(k, flags);

  let rhp = rcu_cblist_dequeue(k, rcl);
  for (; rhp !== NULL; rhp = rcu_cblist_dequeue(k, rcl)) {
    debug_rcu_head_unqueue(k, rhp);
    const f = rcu_head.f.func.get(k, rhp);
    rcu_lock_acquire(k, rcu_callback_map);
    trace_rcu_invoke_callback(k, rsp.name, rhp, f);
    rcu_head.f.func.set(k, rhp, NULL);
    if (!isText(k, f)) page_fault_oops(k, f, false, true);
    yield* (functionAt(k, f) as rcu_callback_t)(k, rhp);
    rcu_lock_release(k, rcu_callback_map);
    if (pt(k, POINT_NAMED, "CB6")) yield STEP;
    // A batch ends only for somebody else; the idle task goes on.
    if (
      -rcl.len >= bl &&
      (need_resched(k) || (!is_idle_task(current(k)) && !rcu_is_callbacks_kthread()))
    ) break;
    if (tlimit !== 0 && (-rcl.len & 31) === 0 && k.now() >= tlimit) break;
  }

  flags = local_irq_save(k);
  const left = k.ram.loadPtr(rcl.head) !== NULL;
  const resched = need_resched(k);
  const idle = is_idle_task(current(k));
  trace_rcu_batch_end(k, rsp.name, -rcl.len, left, resched, idle, rcu_is_callbacks_kthread());
  rcu_segcblist_insert_done_cbs(k, cblist, rcl);
  smp_mb(k); // rcu_barrier() sees the list before the count
  rcu_segcblist_insert_count(k, cblist, rcl);

  const count = rcu_segcblist_n_cbs(cblist);
  if (rdp.blimit >= DEFAULT_MAX_RCU_BLIMIT && count <= qlowmark(k)) rdp.blimit = blimit(k);
  if (count === 0 && rdp.qlen_last_fqs_check !== 0) {
    rdp.qlen_last_fqs_check = 0;
    rdp.n_force_qs_snap = rsp.n_force_qs;
  } else if (count < rdp.qlen_last_fqs_check - qhimark(k)) {
    rdp.qlen_last_fqs_check = count;
  }
  WARN_ON_ONCE(k, count === 0 && !rcu_segcblist_empty(k, cblist), "count is 0");
  WARN_ON_ONCE(k, count !== 0 && rcu_segcblist_empty(k, cblist), "count is not 0");
  local_irq_restore(k, flags);

  if (rcu_segcblist_ready_cbs(cblist)) invoke_rcu_core(k);
}

/**
 * The tick: a quiescent state in user mode and idle; raises the softirq when it has something to do.
 *
 * Context: hard interrupt.
 *
 * @mirrors kernel/rcu/tree.c:rcu_sched_clock_irq
 */
export function* rcu_sched_clock_irq(k: Kernel, user: boolean): Atomic<void> {
  trace_rcu_utilization(k, "Start scheduler-tick");
  const rdp = this_cpu_ptr(k, rcu_data);
  rdp.ticks_this_gp++;
  if (yield* smp_load_acquire(k, rdp, "rcu_urgent_qs")) {
    if (!rcu_is_cpu_rrupt_from_idle(k) && !user) set_tsk_need_resched(k, current(k));
    rdp.rcu_urgent_qs = false;
  }
  yield* rcu_state(k).plugin.rcu_flavor_sched_clock_irq(k, user);
  if (rcu_pending(k, user)) invoke_rcu_core(k);
  trace_rcu_utilization(k, "End scheduler-tick");
}

/**
 * Applies `f` to every CPU that has not reported, and reports for those that it finds quiescent. Points: FQS2, between
 * leaves; FQS3, between two CPUs, the leaf locked.
 *
 * Context: the grace-period thread.
 *
 * @mirrors kernel/rcu/tree.c:force_qs_rnp
 */
function* force_qs_rnp(k: Kernel, f: (k: Kernel, rdp: RcuData) => boolean): MaySleep<void> {
  const rsp = rcu_state(k);
  rsp.cbovld = rsp.cbovldnext;
  rsp.cbovldnext = false;
  for (const rnp of rcu_for_each_leaf_node(rsp)) {
    if (pt(k, POINT_NAMED, "FQS2")) yield STEP;
    yield* cond_resched_tasks_rcu_qs(k);
    const mask = new Ulong64();
    const flags = yield* raw_spin_lock_irqsave_rcu_node(k, rnp);
    if (!rnp.cbovldmask.isZero()) rsp.cbovldnext = true;
    if (rnp.qsmask.isZero()) {
      // rcu_initiate_boost() would look for readers to boost.
      raw_spin_unlock_irqrestore_rcu_node(k, rnp, flags);
      continue;
    }
    for (const cpu of for_each_leaf_node_cpu_mask(k, rsp, rnp, rnp.qsmask)) {
      const rdp = per_cpu_ptr(k, rcu_data, cpu);
      if (f(k, rdp)) {
        mask.or(rdp.grpmask);
        rcu_disable_urgency_upon_qs(k, rdp);
      }
      if (pt(k, POINT_NAMED, "FQS3")) yield STEP;
    }
    if (mask.isZero()) raw_spin_unlock_irqrestore_rcu_node(k, rnp, flags);
    else yield* rcu_report_qs_rnp(k, mask, rnp, rnp.gp_seq, flags);
  }
}

/**
 * Asks for a look at CPUs that have not reported, now. Of many that ask at a time one gets to the root.
 *
 * Context: preemption off.
 *
 * @mirrors kernel/rcu/tree.c:rcu_force_quiescent_state
 */
export function* rcu_force_quiescent_state(k: Kernel): Atomic<void> {
  const rsp = rcu_state(k);
  const root = rcu_get_root(k);
  let rnp_old: rcu_node | null = null;
  let rnp: rcu_node | null = this_cpu_ptr(k, rcu_data).mynode;
  for (; rnp !== null; rnp = rnp.parent) {
    const ret: boolean = ((yield* READ_ONCE(k, rsp, "gp_flags")) & RCU_GP_FLAG_FQS) !== 0 ||
      !(yield* raw_spin_trylock(k, rnp.fqslock));
    if (rnp_old !== null) raw_spin_unlock(k, rnp_old.fqslock);
    if (ret) return;
    rnp_old = rnp;
  }
  const flags = yield* raw_spin_lock_irqsave_rcu_node(k, root);
  raw_spin_unlock(k, root.fqslock);
  if ((rsp.gp_flags & RCU_GP_FLAG_FQS) !== 0) {
    raw_spin_unlock_irqrestore_rcu_node(k, root, flags);
    return;
  }
  rsp.gp_flags |= RCU_GP_FLAG_FQS;
  raw_spin_unlock_irqrestore_rcu_node(k, root, flags);
  rcu_gp_kthread_wake(k);
}

/**
 * The softirq: notices and reports, asks for grace periods, invokes callbacks.
 *
 * @mirrors kernel/rcu/tree.c:rcu_core
 */
function* rcu_core(k: Kernel): Atomic<void> {
  const rdp = this_cpu_ptr(k, rcu_data);
  const rnp = rdp.mynode;
  if (!cpu_online(k, k.cpu.id)) return;
  trace_rcu_utilization(k, "Start RCU core");
  WARN_ON_ONCE(k, !rdp.beenonline);
  const { plugin } = rcu_state(k);
  if ((preempt_count(k) & PREEMPT_MASK) === 0) {
    yield* plugin.rcu_preempt_deferred_qs(k, current(k));
  } else if (plugin.rcu_preempt_need_deferred_qs(k, current(k))) {
    set_tsk_need_resched(k, current(k));
    set_preempt_need_resched(k);
  }
  yield* rcu_check_quiescent_state(k, rdp);
  if (!rcu_gp_in_progress(k) && rcu_segcblist_is_enabled(rdp.cblist)) {
    const flags = local_irq_save(k);
    if (!rcu_segcblist_restempty(k, rdp.cblist, RCU_NEXT_READY_TAIL)) {
      yield* rcu_accelerate_cbs_unlocked(k, rnp, rdp);
    }
    local_irq_restore(k, flags);
  }
  rcu_check_gp_start_stall(k, rnp, rdp, rcu_jiffies_till_stall_check(k));
  if (rcu_segcblist_ready_cbs(rdp.cblist) && rcu_scheduler_fully_active(k)) yield* rcu_do_batch(k, rdp);
  trace_rcu_utilization(k, "End RCU core");
}

/** @mirrors kernel/rcu/tree.c:rcu_core_si */
function rcu_core_si(k: Kernel): Atomic<void> {
  return rcu_core(k);
}

/** Lets rcu_core() run on this CPU. @mirrors kernel/rcu/tree.c:invoke_rcu_core */
function invoke_rcu_core(k: Kernel): void {
  if (cpu_online(k, k.cpu.id)) raise_softirq(k, RCU_SOFTIRQ);
}

/**
 * After a callback was queued: looks whether there are too many. Context: interrupts off, `flags` is what they were.
 *
 * @mirrors kernel/rcu/tree.c:__call_rcu_core
 */
function* __call_rcu_core(k: Kernel, rdp: RcuData, head: VirtAddr, flags: IrqFlags): Atomic<void> {
  // Idle, it would not look by itself.
  if (!rcu_is_watching(k)) invoke_rcu_core(k);
  if (irqs_disabled_flags(k, flags) || !cpu_online(k, k.cpu.id)) return;
  if (rcu_segcblist_n_cbs(rdp.cblist) <= rdp.qlen_last_fqs_check + qhimark(k)) return;
  yield* note_gp_changes(k, rdp);
  if (!rcu_gp_in_progress(k)) {
    yield* rcu_accelerate_cbs_unlocked(k, rdp.mynode, rdp);
    return;
  }
  const rsp = rcu_state(k);
  rdp.blimit = DEFAULT_MAX_RCU_BLIMIT;
  if (rsp.n_force_qs === rdp.n_force_qs_snap && rcu_segcblist_first_pend_cb(k, rdp.cblist) !== head) {
    yield* rcu_force_quiescent_state(k);
  }
  rdp.n_force_qs_snap = rsp.n_force_qs;
  rdp.qlen_last_fqs_check = rcu_segcblist_n_cbs(rdp.cblist);
}

/**
 * What a callback that was queued twice becomes: its memory is leaked.
 *
 * @mirrors kernel/rcu/tree.c:rcu_leak_callback (empty)
 */
function rcu_leak_callback(_k: Kernel, _rhp: VirtAddr): Atomic<void> {
  return doneVoid();
}

/**
 * Notes whether a CPU has too many callbacks. Context: its leaf is locked.
 *
 * @mirrors kernel/rcu/tree.c:check_cb_ovld_locked
 */
function check_cb_ovld_locked(k: Kernel, rdp: RcuData, rnp: rcu_node): void {
  raw_lockdep_assert_held_rcu_node(k, rnp);
  if (qovld_calc(k) <= 0) return;
  if (rcu_segcblist_n_cbs(rdp.cblist) >= qovld_calc(k)) rnp.cbovldmask.or(rdp.grpmask);
  else rnp.cbovldmask.andNot(rdp.grpmask);
}

/**
 * check_cb_ovld_locked(), if anything would change. Context: interrupts off.
 *
 * @mirrors kernel/rcu/tree.c:check_cb_ovld
 */
function check_cb_ovld(k: Kernel, rdp: RcuData): Atomic<void> {
  const rnp = rdp.mynode;
  const limit = qovld_calc(k);
  if (limit <= 0 || (rcu_segcblist_n_cbs(rdp.cblist) >= limit) === rnp.cbovldmask.intersects(rdp.grpmask)) {
    return doneVoid();
  }
  return overloadChanged(k, rdp, rnp);
}

function* overloadChanged(k: Kernel, rdp: RcuData, rnp: rcu_node): Atomic<void> {
  yield* raw_spin_lock_rcu_node(k, rnp);
  check_cb_ovld_locked(k, rdp, rnp);
  raw_spin_unlock_rcu_node(k, rnp);
}

/** Queues a callback. Point CB1: interrupts are not off yet. @mirrors kernel/rcu/tree.c:__call_rcu */
function* __call_rcu(k: Kernel, head: VirtAddr, func: rcu_callback_t | number): Atomic<void> {
  const { name } = rcu_state(k);
  const addr = typeof func === "number" ? func as VirtAddr : ksym(k, func);
  WARN_ON_ONCE(k, head % 8 !== 0, "misaligned");
  if (debug_rcu_head_queue(k, head) !== 0) {
    // Most likely a double free: leak it.
    const old = kallsyms_lookup(k, rcu_head.f.func.get(k, head));
    WARN_ONCE(k, true, `__call_rcu(): Double-freed CB ${formatAddr(head)}->${old}()!!!`, "double");
    rcu_head.f.func.set(k, head, ksym(k, rcu_leak_callback));
    return;
  }
  rcu_head.f.func.set(k, head, addr);
  rcu_head.f.next.set(k, head, NULL);
  if (pt(k, POINT_NAMED, "CB1")) yield STEP;
  const flags = local_irq_save(k);
  const rdp = this_cpu_ptr(k, rcu_data);
  if (!rcu_segcblist_is_enabled(rdp.cblist)) {
    WARN_ON_ONCE(k, rcu_scheduler_active(k) !== RCU_SCHEDULER_INACTIVE, "active");
    WARN_ON_ONCE(k, !rcu_is_watching(k), "watching");
    // Very early boot.
    if (rcu_segcblist_empty(k, rdp.cblist)) rcu_segcblist_init(k, rdp.cblist);
  }
  yield* check_cb_ovld(k, rdp);
  yield* rcu_segcblist_enqueue(k, rdp.cblist, head);
  if (__is_kvfree_rcu_offset(addr)) {
    trace_rcu_kvfree_callback(k, name, head, addr, rcu_segcblist_n_cbs(rdp.cblist));
  } else {
    trace_rcu_callback(k, name, head, addr, rcu_segcblist_n_cbs(rdp.cblist));
  }
  yield* __call_rcu_core(k, rdp, head, flags);
  local_irq_restore(k, flags);
}

/**
 * Runs `func` on `head` after a grace period, in softirq context. Does not start one: the next tick does.
 *
 * Context: any but NMI. `head` stays the caller's until then.
 *
 * @mirrors kernel/rcu/tree.c:call_rcu
 */
export function call_rcu(k: Kernel, head: VirtAddr, func: rcu_callback_t | number): Atomic<void> {
  return __call_rcu(k, head, func);
}

/**
 * Whether to be allowed to block is a grace period: with one CPU and no preemption; with preemption before tasks switch.
 *
 * @mirrors kernel/rcu/tree.c:rcu_blocking_is_gp
 */
function rcu_blocking_is_gp(k: Kernel): boolean {
  if (k.config.preempt === "full") return rcu_scheduler_active(k) === RCU_SCHEDULER_INACTIVE;
  might_sleep(k);
  preempt_disable(k);
  const ret = num_online_cpus(k) <= 1;
  preempt_enable(k);
  return ret;
}

/**
 * Waits until every reader that runs now has ended.
 *
 * Context: process context, not in a reader; otherwise reported. Sleeps.
 *
 * @mirrors kernel/rcu/tree.c:synchronize_rcu
 * @simplified v5.7's, but where there is nothing to wait for polling is told, as from v6.0: the short form only. Cookies
 * of the full form do not see it, where v6.1 advances gp_seq in early boot
 */
export function* synchronize_rcu(k: Kernel): MaySleep<void> {
  RCU_LOCKDEP_WARN(k, inMarkedReader(k), "Illegal synchronize_rcu() in RCU read-side critical section");
  if (rcu_blocking_is_gp(k)) {
    // At most inside a normal grace period, never across its end: they can share the snapshot.
    rcu_poll_gp_seq_start_unlocked(k, "gp_seq_polled_snap");
    rcu_poll_gp_seq_end_unlocked(k, "gp_seq_polled_snap");
    return;
  }
  if (rcu_gp_is_expedited(k)) yield* synchronize_rcu_expedited(k);
  else yield* wait_rcu_gp(k, call_rcu);
}

/**
 * The root's number; all of the root is 0 before rcu_init().
 */
function rootGpSeq(k: Kernel): number {
  return rcu_state(k).node.length === 0 ? 0 : rcu_seq_current(rcu_get_root(k).gp_seq);
}

/** Leaves a cookie that is always done. @mirrors kernel/rcu/tree.c:get_completed_synchronize_rcu_full (v6.1) */
export function get_completed_synchronize_rcu_full(_k: Kernel, rgosp: rcu_gp_oldstate): void {
  rgosp.rgos_norm = RCU_GET_STATE_COMPLETED;
  rgosp.rgos_exp = RCU_GET_STATE_COMPLETED;
}

/**
 * A cookie: done when a whole grace period has passed, of whatever kind. Starts none.
 *
 * Context: any.
 *
 * @mirrors kernel/rcu/tree.c:get_state_synchronize_rcu (v6.0)
 * @simplified v5.7 takes gp_seq itself, which ends a little later; gp_seq_polled starts where that does
 */
export function get_state_synchronize_rcu(k: Kernel): number {
  smp_mb(k);
  return rcu_seq_snap(rcu_state(k).gp_seq_polled);
}

/**
 * Leaves a cookie with a number for either kind of grace period, which misses none. Starts none.
 *
 * Context: any. Like v6.1 to v6.14 it goes by the root, which learns of a start after rcu_state does. A CPU that comes
 * online in between is not waited for.
 *
 * @mirrors kernel/rcu/tree.c:get_state_synchronize_rcu_full (v6.1)
 */
export function get_state_synchronize_rcu_full(k: Kernel, rgosp: rcu_gp_oldstate): void {
  smp_mb(k);
  rgosp.rgos_norm = rcu_seq_snap(rootGpSeq(k));
  rgosp.rgos_exp = rcu_seq_snap(rcu_state(k).expedited_sequence);
}

/**
 * Asks for the grace period after the one that runs. Another may have gone by since the caller took its cookie: then one
 * more is run than was needed.
 *
 * @mirrors kernel/rcu/tree.c:start_poll_synchronize_rcu_common (v6.1)
 */
function* start_poll_synchronize_rcu_common(k: Kernel): Atomic<void> {
  const flags = local_irq_save(k);
  const rdp = this_cpu_ptr(k, rcu_data);
  const rnp = rdp.mynode;
  if (rnp === undefined) page_fault_oops(k, NULL, true); // before rcu_init()
  yield* raw_spin_lock_rcu_node(k, rnp);
  const needwake = yield* rcu_start_this_gp(k, rnp, rdp, rcu_seq_snap(rcu_state(k).gp_seq));
  raw_spin_unlock_irqrestore_rcu_node(k, rnp, flags);
  if (needwake) rcu_gp_kthread_wake(k);
}

/**
 * A cookie whose grace period is asked for.
 *
 * Context: interrupts on; after rcu_init().
 *
 * @mirrors kernel/rcu/tree.c:start_poll_synchronize_rcu (v6.0)
 */
export function* start_poll_synchronize_rcu(k: Kernel): Atomic<number> {
  const gp_seq = get_state_synchronize_rcu(k);
  yield* start_poll_synchronize_rcu_common(k);
  return gp_seq;
}

/**
 * Leaves a cookie of the full form whose grace period is asked for.
 *
 * Context: interrupts on; after rcu_init().
 *
 * @mirrors kernel/rcu/tree.c:start_poll_synchronize_rcu_full (v6.1)
 */
export function* start_poll_synchronize_rcu_full(k: Kernel, rgosp: rcu_gp_oldstate): Atomic<void> {
  get_state_synchronize_rcu_full(k, rgosp);
  yield* start_poll_synchronize_rcu_common(k);
}

/**
 * Whether a whole grace period has passed since the cookie was taken. Not a point: once true it stays true.
 *
 * Context: any.
 *
 * @mirrors kernel/rcu/tree.c:poll_state_synchronize_rcu (v6.0)
 */
export function poll_state_synchronize_rcu(k: Kernel, oldstate: number): boolean {
  if (
    oldstate !== RCU_GET_STATE_COMPLETED && !rcu_seq_done_exact(rcu_state(k).gp_seq_polled, oldstate)
  ) return false;
  smp_mb(k);
  return true;
}

/**
 * The same for a cookie of the full form. It is the root that counts, not rcu_state: callbacks of a grace period may run
 * as soon as the root knows of its end.
 *
 * Context: any.
 *
 * @mirrors kernel/rcu/tree.c:poll_state_synchronize_rcu_full (v6.1)
 * @simplified expedited grace periods would end one half of the cookie; there are none yet
 */
export function poll_state_synchronize_rcu_full(k: Kernel, rgosp: rcu_gp_oldstate): boolean {
  smp_mb(k);
  const { rgos_norm, rgos_exp } = rgosp;
  if (
    rgos_norm !== RCU_GET_STATE_COMPLETED && !rcu_seq_done_exact(rootGpSeq(k), rgos_norm) &&
    rgos_exp !== RCU_GET_STATE_COMPLETED && !rcu_seq_done_exact(rcu_state(k).expedited_sequence, rgos_exp)
  ) return false;
  smp_mb(k);
  return true;
}

/**
 * Waits for a grace period unless a whole one has passed since the cookie was taken.
 *
 * @mirrors kernel/rcu/tree.c:cond_synchronize_rcu
 */
export function* cond_synchronize_rcu(k: Kernel, oldstate: number): MaySleep<void> {
  if (pt(k, POINT_READ, "gp_seq_polled")) yield STEP;
  if (!poll_state_synchronize_rcu(k, oldstate)) yield* synchronize_rcu(k);
}

/**
 * Waits for a grace period unless a whole one has passed since the cookie of the full form was taken.
 *
 * @mirrors kernel/rcu/tree.c:cond_synchronize_rcu_full (v6.1)
 */
export function* cond_synchronize_rcu_full(k: Kernel, rgosp: rcu_gp_oldstate): MaySleep<void> {
  if (pt(k, POINT_READ, "rcu_node.gp_seq")) yield STEP;
  if (!poll_state_synchronize_rcu_full(k, rgosp)) yield* synchronize_rcu(k);
}

/**
 * Whether this CPU's softirq has something to do.
 *
 * Context: the tick.
 *
 * @mirrors kernel/rcu/tree.c:rcu_pending
 */
function rcu_pending(k: Kernel, _user: boolean): boolean {
  const rdp = this_cpu_ptr(k, rcu_data);
  check_cpu_stall(k, rdp);
  const gp_in_progress = rcu_gp_in_progress(k);
  if (rdp.core_needs_qs && !rdp.cpu_no_qs.norm && gp_in_progress) return true;
  if (rcu_segcblist_ready_cbs(rdp.cblist)) return true;
  if (
    !gp_in_progress && rcu_segcblist_is_enabled(rdp.cblist) &&
    !rcu_segcblist_restempty(k, rdp.cblist, RCU_NEXT_READY_TAIL)
  ) return true;
  return rcu_seq_current(rdp.mynode.gp_seq) !== rdp.gp_seq || rdp.gpwrap;
}

/** @mirrors kernel/rcu/tree.c:rcu_barrier_trace */
function rcu_barrier_trace(k: Kernel, s: string, cpu: number, done: number): void {
  const rsp = rcu_state(k);
  trace_rcu_barrier(k, rsp.name, s, cpu, rsp.barrier_cpu_count, done);
}

/**
 * A CPU has invoked all that was queued before rcu_barrier() came.
 *
 * @mirrors kernel/rcu/tree.c:rcu_barrier_callback
 */
function rcu_barrier_callback(k: Kernel, _rhp: VirtAddr): Atomic<void> {
  const rsp = rcu_state(k);
  // Read before the count: with the last one another rcu_barrier() may begin.
  const s = rsp.barrier_sequence;
  if (--rsp.barrier_cpu_count === 0) {
    rcu_barrier_trace(k, "LastCB", -1, s);
    complete(k, rsp.barrier_completion);
  } else {
    rcu_barrier_trace(k, "CB", -1, s);
  }
  return doneVoid();
}

/**
 * Puts a callback behind all of this CPU's. Context: on that CPU, interrupts off.
 *
 * @mirrors kernel/rcu/tree.c:rcu_barrier_func
 */
function rcu_barrier_func(k: Kernel, cpu: number): Atomic<void> {
  const rsp = rcu_state(k);
  const rdp = per_cpu_ptr(k, rcu_data, cpu);
  rcu_barrier_trace(k, "IRQ", -1, rsp.barrier_sequence);
  rcu_head.f.func.set(k, rdp.barrier_head, ksym(k, rcu_barrier_callback));
  debug_rcu_head_queue(k, rdp.barrier_head);
  if (rcu_segcblist_entrain(k, rdp.cblist, rdp.barrier_head)) {
    rsp.barrier_cpu_count++;
  } else {
    debug_rcu_head_unqueue(k, rdp.barrier_head);
    rcu_barrier_trace(k, "IRQNQ", -1, rsp.barrier_sequence);
  }
  return doneVoid();
}

/**
 * Waits until every callback that is queued now has been invoked. With none queued it does not wait for a grace period.
 * Points: BA1 and BA2, a CPU's count is read; BA3, all CPUs are asked.
 *
 * Context: process context. Sleeps.
 *
 * @mirrors kernel/rcu/tree.c:rcu_barrier
 * @simplified CPUs do not come and go, so hotplug is not held off
 */
export function* rcu_barrier(k: Kernel): MaySleep<void> {
  const rsp = rcu_state(k);
  const s = rcu_seq_snap(rsp.barrier_sequence);
  rcu_barrier_trace(k, "Begin", -1, s);
  yield* mutex_lock(k, rsp.barrier_mutex);
  if (rcu_seq_done(rsp.barrier_sequence, s)) {
    // Somebody else waited for us.
    rcu_barrier_trace(k, "EarlyExit", -1, rsp.barrier_sequence);
    smp_mb(k);
    mutex_unlock(k, rsp.barrier_mutex);
    return;
  }
  rcu_seq_start(k, rsp, "barrier_sequence");
  rcu_barrier_trace(k, "Inc1", -1, rsp.barrier_sequence);
  init_completion(rsp.barrier_completion);
  // Two for ourselves: not complete before every CPU was asked.
  rsp.barrier_cpu_count = 2;
  for (const cpu of for_each_possible_cpu(k)) {
    const rdp = per_cpu_ptr(k, rcu_data, cpu);
    if (!cpu_online(k, cpu)) continue;
    const queued = (yield* READ_ONCE(k, rdp.cblist, "len")) !== 0;
    if (queued) {
      rcu_barrier_trace(k, "OnlineQ", cpu, rsp.barrier_sequence);
      if (pt(k, POINT_NAMED, "BA1")) yield STEP;
      yield* smp_call_function_single(k, cpu, (k) => rcu_barrier_func(k, cpu), true);
    } else {
      rcu_barrier_trace(k, "OnlineNQ", cpu, rsp.barrier_sequence);
      if (pt(k, POINT_NAMED, "BA2")) yield STEP;
    }
  }
  if (pt(k, POINT_NAMED, "BA3")) yield STEP;
  rsp.barrier_cpu_count -= 2;
  if (rsp.barrier_cpu_count === 0) complete(k, rsp.barrier_completion);
  yield* wait_for_completion(k, rsp.barrier_completion);
  rcu_barrier_trace(k, "Inc2", -1, rsp.barrier_sequence);
  rcu_seq_end(k, rsp, "barrier_sequence");
  mutex_unlock(k, rsp.barrier_mutex);
}

/**
 * The first CPU of a leaf is there: the ancestors wait for it, from the next grace period on. Context: the leaf is
 * locked.
 *
 * @mirrors kernel/rcu/tree.c:rcu_init_new_rnp
 */
function* rcu_init_new_rnp(k: Kernel, rnp_leaf: rcu_node): Atomic<void> {
  raw_lockdep_assert_held_rcu_node(k, rnp_leaf);
  WARN_ON_ONCE(k, rnp_leaf.wait_blkd_tasks);
  let child = rnp_leaf;
  for (let rnp = child.parent; rnp !== null; child = rnp, rnp = rnp.parent) {
    yield* raw_spin_lock_rcu_node(k, rnp);
    const known = !rnp.qsmaskinit.isZero();
    rnp.qsmaskinit.or(child.grpmask);
    raw_spin_unlock_rcu_node(k, rnp);
    if (known) return;
  }
}

/** A possible CPU gets its place in the tree. @mirrors kernel/rcu/tree.c:rcu_boot_init_percpu_data */
function rcu_boot_init_percpu_data(k: Kernel, cpu: number): void {
  const rsp = rcu_state(k);
  const rdp = per_cpu_ptr(k, rcu_data, cpu);
  rdp.grpmask.set(leaf_node_cpu_bit(rdp.mynode, cpu));
  WARN_ON_ONCE(k, rdp.dynticks_nesting !== 1, "nesting");
  WARN_ON_ONCE(k, rcu_dynticks_in_eqs(rcu_dynticks_snap(rdp)), "eqs");
  rdp.rcu_ofl_gp_seq = rsp.gp_seq;
  rdp.rcu_ofl_gp_flags = RCU_GP_CLEANED;
  rdp.rcu_onl_gp_seq = rsp.gp_seq;
  rdp.rcu_onl_gp_flags = RCU_GP_CLEANED;
}

/**
 * A CPU is about to come up. Point HP3: between the two locks.
 *
 * Context: on a CPU that is up.
 *
 * @mirrors kernel/rcu/tree.c:rcutree_prepare_cpu
 */
export function* rcutree_prepare_cpu(k: Kernel, cpu: number): Atomic<void> {
  const rsp = rcu_state(k);
  const rdp = per_cpu_ptr(k, rcu_data, cpu);
  const root = rcu_get_root(k);
  const flags = yield* raw_spin_lock_irqsave_rcu_node(k, root);
  rdp.qlen_last_fqs_check = 0;
  rdp.n_force_qs_snap = rsp.n_force_qs;
  rdp.blimit = blimit(k);
  if (rcu_segcblist_empty(k, rdp.cblist)) rcu_segcblist_init(k, rdp.cblist);
  rdp.dynticks_nesting = 1;
  rcu_dynticks_eqs_online(k);
  raw_spin_unlock_rcu_node(k, root);
  if (pt(k, POINT_NAMED, "HP3")) yield STEP;

  const rnp = rdp.mynode;
  yield* raw_spin_lock_rcu_node(k, rnp);
  rdp.beenonline = true;
  rdp.gp_seq = rnp.gp_seq;
  rdp.gp_seq_needed = rdp.gp_seq;
  rdp.cpu_no_qs.norm = true;
  rdp.core_needs_qs = false;
  trace_rcu_grace_period(k, rsp.name, rdp.gp_seq, "cpuonl");
  raw_spin_unlock_irqrestore_rcu_node(k, rnp, flags);
}

/** A CPU is up and can run threads. @mirrors kernel/rcu/tree.c:rcutree_online_cpu */
export function* rcutree_online_cpu(k: Kernel, cpu: number): Atomic<void> {
  const rdp = per_cpu_ptr(k, rcu_data, cpu);
  const rnp = rdp.mynode;
  const flags = yield* raw_spin_lock_irqsave_rcu_node(k, rnp);
  rnp.ffmask.or(rdp.grpmask);
  raw_spin_unlock_irqrestore_rcu_node(k, rnp, flags);
  if (rcu_scheduler_active(k) === RCU_SCHEDULER_INACTIVE) return;
  yield* sync_sched_exp_online_cleanup(k, cpu);
}

/** rcu_cpu_starting() was called for this CPU. */
const rcu_cpu_started = DEFINE_PER_CPU("rcu_cpu_started", () => ({ started: false }));

/**
 * A new CPU runs its first code: grace periods that start from now on wait for it. No reader before. Point HP4.
 *
 * Context: on that CPU, interrupts off.
 *
 * @mirrors kernel/rcu/tree.c:rcu_cpu_starting
 */
export function* rcu_cpu_starting(k: Kernel, cpu: number): Atomic<void> {
  const started = per_cpu_ptr(k, rcu_cpu_started, cpu);
  if (started.started) return;
  started.started = true;
  if (pt(k, POINT_NAMED, "HP4")) yield STEP;
  const rsp = rcu_state(k);
  const rdp = per_cpu_ptr(k, rcu_data, cpu);
  const rnp = rdp.mynode;
  const mask = rdp.grpmask;
  const flags = yield* raw_spin_lock_irqsave_rcu_node(k, rnp);
  rnp.qsmaskinitnext.or(mask);
  const nbits = rnp.expmaskinitnext.intersects(mask) ? 0 : 1;
  rnp.expmaskinitnext.or(mask);
  yield* smp_store_release(k, rsp, "ncpus", rsp.ncpus + nbits);
  rcu_gpnum_ovf(k, rnp, rdp);
  rdp.rcu_onl_gp_seq = rsp.gp_seq;
  rdp.rcu_onl_gp_flags = rsp.gp_flags;
  if (rnp.qsmask.intersects(mask)) {
    // After the mask is set, so that no grace period misses it.
    rcu_disable_urgency_upon_qs(k, rdp);
    yield* rcu_report_qs_rnp(k, mask, rnp, rnp.gp_seq, flags);
  } else {
    raw_spin_unlock_irqrestore_rcu_node(k, rnp, flags);
  }
  smp_mb(k);
}

/** Makes the grace-period thread. Context: an early initcall. @mirrors kernel/rcu/tree.c:rcu_spawn_gp_kthread */
export function* rcu_spawn_gp_kthread(k: Kernel): MaySleep<void> {
  const rsp = rcu_state(k);
  rcu_scheduler_fully_active.set(k, true);
  const t = yield* kthread_create(k, rcu_gp_kthread, rsp.name);
  if (typeof t === "number") {
    const at = "rcu_spawn_gp_kthread";
    WARN_ONCE(k, true, `${at}: Could not start grace-period kthread, OOM is now expected behavior`);
    return;
  }
  const root = rcu_get_root(k);
  const flags = yield* raw_spin_lock_irqsave_rcu_node(k, root);
  yield* WRITE_ONCE(k, rsp, "gp_activity", jiffies(k));
  yield* WRITE_ONCE(k, rsp, "gp_req_activity", jiffies(k));
  yield* smp_store_release(k, rsp, "gp_kthread", t);
  raw_spin_unlock_irqrestore_rcu_node(k, root, flags);
  wake_up_process(k, t);
}

/** The scheduler starts: from now on a wait must really wait. @mirrors kernel/rcu/tree.c:rcu_scheduler_starting */
export function rcu_scheduler_starting(k: Kernel): void {
  WARN_ON(k, num_online_cpus(k) !== 1);
  WARN_ON(k, k.cpus.some((cpu) => cpu_rq(k, cpu.id).nr_switches > 0));
  rcu_scheduler_active.set(k, RCU_SCHEDULER_INIT);
}

/** Makes the tree. @mirrors kernel/rcu/tree.c:rcu_init_one */
export function rcu_init_one(k: Kernel): void {
  const rsp = rcu_state(k);
  const lvls = rcu_num_lvls(k);
  const counts = num_rcu_lvl(k);
  const nr = nr_cpu_ids(k);
  if (lvls <= 0 || lvls > RCU_NUM_LVLS(k.config)) panic(k, "rcu_init_one: rcu_num_lvls out of range");

  rsp.node.length = 0;
  for (let i = 0; i < lvls; i++) {
    rsp.level[i] = rsp.node.length;
    for (let j = 0; j < counts[i]; j++) rsp.node.push(new rcu_node(i));
  }
  rsp.leaves = rsp.node.slice(rsp.level[lvls - 1]);

  const levelspread = rcu_init_levelspread(k, counts, rcu_fanout_leaf(k), nr);
  let cpustride = 1;
  for (let i = lvls - 1; i >= 0; i--) {
    cpustride *= levelspread[i];
    for (let j = 0; j < counts[i]; j++) {
      const rnp = rsp.node[rsp.level[i] + j];
      rnp.gp_seq = rsp.gp_seq;
      rnp.gp_seq_needed = rsp.gp_seq;
      rnp.completedqs = rsp.gp_seq;
      rnp.grplo = j * cpustride;
      rnp.grphi = Math.min((j + 1) * cpustride, nr) - 1;
      if (i === 0) continue;
      rnp.grpnum = j % levelspread[i - 1];
      rnp.grpmask.setBit(rnp.grpnum);
      rnp.parent = rsp.node[rsp.level[i - 1] + Math.floor(j / levelspread[i - 1])];
    }
  }

  const leaves = rcu_for_each_leaf_node(rsp);
  let leaf = leaves.indexOf(rcu_first_leaf_node(rsp));
  for (const cpu of for_each_possible_cpu(k)) {
    while (cpu > leaves[leaf].grphi) leaf++;
    per_cpu_ptr(k, rcu_data, cpu).mynode = leaves[leaf];
    rcu_boot_init_percpu_data(k, cpu);
  }
}

/** Computes the shape of the tree for the CPUs that there are. @mirrors kernel/rcu/tree.c:rcu_init_geometry */
export function rcu_init_geometry(k: Kernel): void {
  const nr = nr_cpu_ids(k);
  const d = RCU_JIFFIES_TILL_FORCE_QS(k) + Math.floor(nr / RCU_JIFFIES_FQS_DIV);
  if (jiffies_till_first_fqs(k) === ULONG_MAX) jiffies_till_first_fqs.set(k, d);
  if (jiffies_till_next_fqs(k) === ULONG_MAX) jiffies_till_next_fqs.set(k, d);
  adjust_jiffies_till_sched_qs(k);

  const leaf = rcu_fanout_leaf(k);
  if (leaf === RCU_FANOUT_LEAF(k.config) && nr === k.config.nrCpus) return;
  pr_info(k, `rcu: Adjusting geometry for rcu_fanout_leaf=${leaf}, nr_cpu_ids=${nr}`);
  if (leaf < 2 || leaf > 64) {
    rcu_fanout_leaf.set(k, RCU_FANOUT_LEAF(k.config));
    WARN_ON(k, true);
    return;
  }
  const rcu_capacity = [leaf];
  for (let i = 1; i < RCU_NUM_LVLS(k.config); i++) {
    rcu_capacity[i] = rcu_capacity[i - 1] * RCU_FANOUT(k.config);
  }
  if (nr > rcu_capacity[RCU_NUM_LVLS(k.config) - 1]) {
    rcu_fanout_leaf.set(k, RCU_FANOUT_LEAF(k.config));
    WARN_ON(k, true);
    return;
  }
  const lvls = 1 + rcu_capacity.findIndex((capacity) => nr <= capacity);
  const counts = rcu_capacity.slice(0, lvls).reverse().map((cap) => Math.ceil(nr / cap));
  rcu_num_lvls.set(k, lvls);
  num_rcu_lvl.set(k, counts);
  rcu_num_nodes.set(k, counts.reduce((sum, n) => sum + n, 0));
}

/** Prints the tree. @mirrors kernel/rcu/tree.c:rcu_dump_rcu_node_tree */
export function rcu_dump_rcu_node_tree(k: Kernel): void {
  pr_info(k, "rcu: rcu_node tree layout dump");
  let line = "";
  let level = 0;
  for (const rnp of rcu_for_each_node_breadth_first(rcu_state(k))) {
    if (rnp.level !== level) {
      pr_info(k, `rcu:  ${line}`);
      line = "";
      level = rnp.level;
    }
    line += `${rnp.grplo}:${rnp.grphi} ^${rnp.grpnum}  `;
  }
  pr_info(k, `rcu:  ${line}`);
}

/** Workqueues of expedited grace periods. @mirrors kernel/rcu/tree.c:rcu_gp_wq */
export const rcu_gp_wq: KernelStatic<workqueue_struct | null> = KERNEL_STATIC<workqueue_struct | null>(
  "rcu_gp_wq",
  () => null,
);
/** @mirrors kernel/rcu/tree.c:rcu_par_gp_wq */
export const rcu_par_gp_wq: KernelStatic<workqueue_struct | null> = KERNEL_STATIC<workqueue_struct | null>(
  "rcu_par_gp_wq",
  () => null,
);

/** Boot: makes the tree, opens the softirq, brings the boot CPU in. @mirrors kernel/rcu/tree.c:rcu_init */
export function* rcu_init(k: Kernel): MaySleep<void> {
  if (k.rcu_early_boot_tests !== null) yield* k.rcu_early_boot_tests(k);
  yield* rcu_early_boot_tests(k);
  yield* k.kvfree.kfree_rcu_batch_init(k);
  rcu_state(k).plugin.rcu_bootup_announce(k);
  rcu_init_geometry(k);
  rcu_init_one(k);
  if (k.config.dumpTree) rcu_dump_rcu_node_tree(k);
  open_softirq(k, RCU_SOFTIRQ, rcu_core_si);
  for (const cpu of for_each_online_cpu(k)) {
    yield* rcutree_prepare_cpu(k, cpu);
    yield* rcu_cpu_starting(k, cpu);
    yield* rcutree_online_cpu(k, cpu);
  }
  rcu_gp_wq.set(k, yield* alloc_workqueue(k, "rcu_gp", WQ_MEM_RECLAIM, 0));
  WARN_ON(k, rcu_gp_wq(k) === null);
  rcu_par_gp_wq.set(k, yield* alloc_workqueue(k, "rcu_par_gp", WQ_MEM_RECLAIM, 0));
  WARN_ON(k, rcu_par_gp_wq(k) === null);
  qovld_calc.set(k, qovld(k) < 0 ? DEFAULT_RCU_QOVLD_MULT * qhimark(k) : qovld(k));
}

export const statics: readonly StaticKey[] = [
  rcu_data,
  rcu_state,
  rcu_fanout_leaf,
  rcu_num_lvls,
  num_rcu_lvl,
  rcu_num_nodes,
  rcu_scheduler_fully_active,
  gp_preinit_delay,
  gp_init_delay,
  gp_cleanup_delay,
  blimit,
  qhimark,
  qlowmark,
  qovld,
  qovld_calc,
  jiffies_till_first_fqs,
  jiffies_till_next_fqs,
  rcu_divisor,
  rcu_resched_ns,
  jiffies_till_sched_qs,
  jiffies_to_sched_qs,
  rcu_cpu_started,
  rcu_gp_wq,
  rcu_par_gp_wq,
];

/** A pointer as it stands in RAM, without the check that a reader of freed memory deserves: looking is free. */
function peek(k: Kernel, addr: VirtAddr): VirtAddr {
  const phys = k.ram.translate(addr);
  return phys < 0 ? NULL : k.ram.rawLoadPtr(phys);
}

/** Heads of all callbacks, those of a batch that is being invoked included. */
function* pendingCallbacks(k: Kernel): Generator<VirtAddr, void, void> {
  for (const { id } of k.cpus) {
    const rdp = per_cpu_ptr(k, rcu_data, id);
    for (const list of [rdp.batch.head, rdp.cblist.head]) {
      for (let head = peek(k, list); head !== NULL; head = peek(k, head)) yield head;
    }
  }
}

/** Whether a callback is queued or being invoked: a count goes down only after the callback ran. */
function busy(k: Kernel): boolean {
  return k.cpus.some((cpu) => per_cpu_ptr(k, rcu_data, cpu.id).cblist.len > 0);
}

/** Without full dynticks user mode is nothing that RCU is told of. */
function userMode(_k: Kernel): Atomic<void> {
  return doneVoid();
}

/** What does not depend on the kind of reader. @mirrors kernel/rcu/tree.c:rcu_state */
const anyTree: Omit<RcuOps, keyof TreePlugin> = {
  flavour: "tree",
  rcu_init,
  rcu_spawn_gp_kthread,
  rcu_scheduler_starting,
  rcu_set_runtime_mode,
  rcu_end_inkernel_boot,
  rcu_sched_clock_irq,
  rcu_softirq_qs,
  rcu_idle_enter,
  rcu_idle_exit: (k) => {
    rcu_idle_exit(k);
    return doneVoid();
  },
  rcu_irq_enter: (k) => {
    rcu_irq_enter(k);
    return doneVoid();
  },
  rcu_irq_exit: (k) => {
    rcu_irq_exit(k);
    return doneVoid();
  },
  rcu_user_enter: userMode,
  rcu_user_exit: userMode,
  rcu_is_watching,
  rcu_lockdep_current_cpu_online,
  rcu_needs_cpu,
  rcutree_prepare_cpu,
  rcu_cpu_starting,
  rcutree_online_cpu,
  call_rcu,
  synchronize_rcu,
  rcu_barrier,
  get_state_synchronize_rcu,
  start_poll_synchronize_rcu,
  poll_state_synchronize_rcu,
  cond_synchronize_rcu,
  get_completed_synchronize_rcu_full,
  get_state_synchronize_rcu_full,
  start_poll_synchronize_rcu_full,
  poll_state_synchronize_rcu_full,
  cond_synchronize_rcu_full,
  pendingAddresses: pendingCallbacks,
  busy,
};

/** Tree RCU as the rest of the kernel sees it, of the kind that `k` is built with. @invented a table for the linker */
export function treeRcu(k: Kernel): RcuOps {
  const { plugin } = rcu_state(k);
  return {
    ...anyTree,
    exit_rcu: plugin.exit_rcu,
    rcu_note_context_switch: plugin.rcu_note_context_switch,
    rcu_all_qs: plugin.rcu_all_qs,
    __rcu_read_lock: plugin.__rcu_read_lock,
    __rcu_read_unlock: plugin.__rcu_read_unlock,
  };
}
