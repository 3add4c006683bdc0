// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tree RCU with preemptible readers, called rcu_preempt. Mirrors kernel/rcu/tree_plugin.h (v5.7), its half with
 * CONFIG_PREEMPT_RCU.
 *
 * A reader only counts. When it is switched away it goes on the list of its CPU's leaf, and the CPU is quiescent: from
 * there on it is the task that holds up grace periods. gp_tasks is the first entry that the running grace period waits
 * for; it waits for that one and all behind it. The outermost unlock takes the task off, and the last one reports.
 *
 * Invariant: blkd_tasks, gp_tasks and exp_tasks of a leaf belong to its lock; inner nodes have none. The counter of a
 * task that is in the middle of its outermost unlock is negative. Left out: expedited grace periods (exp_tasks and
 * expmask are looked at and never set), boosting, the irq_work that hurries a put-off report, blocked tasks of leaves
 * without CPUs (CPUs do not go).
 *
 * @module
 */

import { type Atomic, doneVoid, STEP } from "../kernel/machine/effects.ts";
import type { IrqFlags } from "../kernel/machine/brand.ts";
import { POINT_NAMED, pt } from "../kernel/machine/points.ts";
import { Ulong64 } from "../kernel/machine/ulong64.ts";
import { WARN_ON_ONCE } from "../kernel/bug.ts";
import { smp_mb } from "../kernel/compiler.ts";
import type { Kernel } from "../kernel/kernel.ts";
import {
  list_add,
  list_add_tail,
  list_del_init,
  list_empty,
  list_entry,
  type list_head,
} from "../kernel/list.ts";
import { RCU_LOCKDEP_WARN } from "../kernel/locking/lockdep_rcu.ts";
import {
  in_interrupt,
  irqs_disabled,
  irqs_disabled_flags,
  local_irq_restore,
  local_irq_save,
  preempt_count,
  PREEMPT_MASK,
  preemptible,
  SOFTIRQ_MASK,
} from "../kernel/preempt.ts";
import { pr_info } from "../kernel/printk.ts";
import { current, set_preempt_need_resched, set_tsk_need_resched } from "../kernel/sched/core.ts";
import type { task_struct } from "../kernel/sched/sched.ts";
import { raise_softirq_irqoff, RCU_SOFTIRQ } from "../kernel/softirq.ts";
import { per_cpu_ptr, this_cpu_ptr } from "../kernel/static.ts";
import { HZ, jiffies, time_after } from "../kernel/time/jiffies.ts";
import {
  trace_rcu_grace_period,
  trace_rcu_preempt_task,
  trace_rcu_quiescent_state_report,
  trace_rcu_unlock_preempted_task,
  trace_rcu_utilization,
} from "../kernel/trace/events/rcu.ts";
import { RCU_NEST_BIAS, rcu_seq_snap } from "./rcu.ts";
import { rcu_data, rcu_report_unblock_qs_rnp, rcu_state } from "./tree.ts";
import { rcu_report_exp_rdp } from "./tree_exp.ts";
import {
  rcu_bootup_announce_oddness,
  rcu_preempt_blocked_readers_cgp,
  rcu_preempt_has_tasks,
} from "./tree_plugin.ts";
import {
  raw_lockdep_assert_held_rcu_node,
  raw_spin_lock_rcu_node,
  raw_spin_unlock_irqrestore_rcu_node,
  raw_spin_unlock_rcu_node,
  type rcu_data as RcuData,
  rcu_is_leaf_node,
  type rcu_node,
  type TreePlugin,
} from "./tree_types.ts";

/** The banner. @mirrors kernel/rcu/tree_plugin.h:rcu_bootup_announce */
function rcu_bootup_announce(k: Kernel): void {
  pr_info(k, "rcu: Preemptible hierarchical RCU implementation.");
  rcu_bootup_announce_oddness(k);
}

/** A normal grace period waits for tasks of the leaf. @mirrors kernel/rcu/tree_plugin.h:RCU_GP_TASKS */
const RCU_GP_TASKS = 0x8;
/** An expedited one does. @mirrors kernel/rcu/tree_plugin.h:RCU_EXP_TASKS */
const RCU_EXP_TASKS = 0x4;
/** A normal one waits for this CPU. @mirrors kernel/rcu/tree_plugin.h:RCU_GP_BLKD */
const RCU_GP_BLKD = 0x2;
/** An expedited one does. @mirrors kernel/rcu/tree_plugin.h:RCU_EXP_BLKD */
const RCU_EXP_BLKD = 0x1;

/**
 * Puts the current task, a reader that is switched away, on the list of its leaf: in front where it must not hold up
 * what waits already, at the end or behind the first entry waited for where it must.
 *
 * Context: interrupts off. Locks: the leaf, released.
 *
 * @mirrors kernel/rcu/tree_plugin.h:rcu_preempt_ctxt_queue
 */
export function rcu_preempt_ctxt_queue(k: Kernel, rnp: rcu_node, rdp: RcuData): Atomic<void> {
  const blkd_state = (rnp.gp_tasks !== null ? RCU_GP_TASKS : 0) +
    (rnp.exp_tasks !== null ? RCU_EXP_TASKS : 0) +
    (rnp.qsmask.intersects(rdp.grpmask) ? RCU_GP_BLKD : 0) +
    (rnp.expmask.intersects(rdp.grpmask) ? RCU_EXP_BLKD : 0);
  const t = current(k);
  raw_lockdep_assert_held_rcu_node(k, rnp);
  WARN_ON_ONCE(k, rdp.mynode !== rnp, "mynode");
  WARN_ON_ONCE(k, !rcu_is_leaf_node(rcu_state(k), rnp), "leaf");
  // No grace period waits for a CPU that has only just come.
  const isNew = rnp.qsmaskinitnext.intersects(rdp.grpmask) && !rnp.qsmaskinit.intersects(rdp.grpmask);
  WARN_ON_ONCE(k, isNew && rnp.qsmask.intersects(rdp.grpmask), "online");

  switch (blkd_state) {
    case 0:
    case RCU_EXP_TASKS:
    case RCU_EXP_TASKS + RCU_GP_BLKD:
    case RCU_GP_TASKS:
    case RCU_GP_TASKS + RCU_EXP_TASKS:
      list_add(t.rcu_node_entry, rnp.blkd_tasks);
      break;
    case RCU_EXP_BLKD:
    case RCU_GP_BLKD:
    case RCU_GP_BLKD + RCU_EXP_BLKD:
    case RCU_GP_TASKS + RCU_EXP_BLKD:
    case RCU_GP_TASKS + RCU_GP_BLKD + RCU_EXP_BLKD:
    case RCU_GP_TASKS + RCU_EXP_TASKS + RCU_GP_BLKD + RCU_EXP_BLKD:
      list_add_tail(t.rcu_node_entry, rnp.blkd_tasks);
      break;
    case RCU_EXP_TASKS + RCU_EXP_BLKD:
    case RCU_EXP_TASKS + RCU_GP_BLKD + RCU_EXP_BLKD:
    case RCU_GP_TASKS + RCU_EXP_TASKS + RCU_EXP_BLKD:
      list_add(t.rcu_node_entry, rnp.exp_tasks!);
      break;
    case RCU_GP_TASKS + RCU_GP_BLKD:
    case RCU_GP_TASKS + RCU_EXP_TASKS + RCU_GP_BLKD:
      list_add(t.rcu_node_entry, rnp.gp_tasks!);
      break;
    default:
      WARN_ON_ONCE(k, true, "blkd_state");
  }

  if (rnp.gp_tasks === null && (blkd_state & RCU_GP_BLKD) !== 0) {
    rnp.gp_tasks = t.rcu_node_entry;
    WARN_ON_ONCE(k, rnp.completedqs === rnp.gp_seq, "completedqs");
  }
  if (rnp.exp_tasks === null && (blkd_state & RCU_EXP_BLKD) !== 0) rnp.exp_tasks = t.rcu_node_entry;
  raw_spin_unlock_rcu_node(k, rnp);
  if ((blkd_state & RCU_EXP_BLKD) !== 0 && rdp.exp_deferred_qs) return rcu_report_exp_rdp(k, rdp);
  WARN_ON_ONCE(k, rdp.exp_deferred_qs, "exp_deferred_qs");
  return doneVoid();
}

function* step(): Atomic<void> {
  yield STEP;
}

/**
 * Notes a quiescent state of this CPU, whatever its current task is in: a reader is on the list by now. Point QS1: noted,
 * not reported.
 *
 * Context: preemption off.
 *
 * @mirrors kernel/rcu/tree_plugin.h:rcu_qs
 */
function rcu_qs(k: Kernel): Atomic<void> {
  RCU_LOCKDEP_WARN(k, preemptible(k), "rcu_qs() invoked with preemption enabled!!!");
  const rdp = this_cpu_ptr(k, rcu_data);
  const no_qs = rdp.cpu_no_qs;
  if (!no_qs.norm && !no_qs.exp) return doneVoid();
  trace_rcu_grace_period(k, "rcu_preempt", rdp.gp_seq, "cpuqs");
  no_qs.norm = false;
  current(k).rcu_read_unlock_special.need_qs = false;
  return pt(k, POINT_NAMED, "QS1") ? step() : doneVoid();
}

/**
 * The scheduler is about to switch: a quiescent state of the CPU. A reader is put on the list of the leaf first; it stays
 * there wherever it runs next.
 *
 * Context: interrupts off, no runqueue locked.
 *
 * @mirrors kernel/rcu/tree_plugin.h:rcu_note_context_switch
 */
function* rcu_note_context_switch(k: Kernel, preempt: boolean): Atomic<void> {
  const t = current(k);
  const rdp = this_cpu_ptr(k, rcu_data);
  trace_rcu_utilization(k, "Start context switch");
  WARN_ON_ONCE(k, !irqs_disabled(k), "irqs");
  WARN_ON_ONCE(k, !preempt && t.rcu_read_lock_nesting > 0, "voluntary");
  if (t.rcu_read_lock_nesting > 0 && !t.rcu_read_unlock_special.blocked) {
    const rnp = rdp.mynode;
    yield* raw_spin_lock_rcu_node(k, rnp);
    t.rcu_read_unlock_special.blocked = true;
    t.rcu_blocked_node = rnp;
    WARN_ON_ONCE(k, !rdp.grpmask.intersects(rnp.qsmaskinitnext), "offline");
    WARN_ON_ONCE(k, !list_empty(t.rcu_node_entry), "queued");
    const gp_seq = rnp.qsmask.intersects(rdp.grpmask) ? rnp.gp_seq : rcu_seq_snap(rnp.gp_seq);
    trace_rcu_preempt_task(k, rcu_state(k).name, t.pid, gp_seq);
    yield* rcu_preempt_ctxt_queue(k, rnp, rdp);
  } else {
    yield* rcu_preempt_deferred_qs(k, t);
  }
  yield* rcu_qs(k);
  if (rdp.exp_deferred_qs) yield* rcu_report_exp_rdp(k, rdp);
  trace_rcu_utilization(k, "End context switch");
}

/** Between this and zero there is no legal nesting. @mirrors kernel/rcu/tree_plugin.h:RCU_NEST_NMAX */
const RCU_NEST_NMAX: number = -RCU_NEST_BIAS / 2;
/** Beyond this somebody has forgotten to unlock. @mirrors kernel/rcu/tree_plugin.h:RCU_NEST_PMAX */
const RCU_NEST_PMAX: number = RCU_NEST_BIAS / 2;

/** @mirrors kernel/rcu/tree_plugin.h:rcu_preempt_read_enter */
function rcu_preempt_read_enter(t: task_struct): void {
  t.rcu_read_lock_nesting++;
}

/** @mirrors kernel/rcu/tree_plugin.h:rcu_preempt_read_exit */
function rcu_preempt_read_exit(t: task_struct): void {
  t.rcu_read_lock_nesting--;
}

/** @mirrors kernel/rcu/tree_plugin.h:rcu_preempt_depth_set */
function rcu_preempt_depth_set(t: task_struct, val: number): void {
  t.rcu_read_lock_nesting = val;
}

/** A reader begins, or nests: nothing but the count. @mirrors kernel/rcu/tree_plugin.h:__rcu_read_lock */
export function __rcu_read_lock(k: Kernel): void {
  const t = current(k);
  rcu_preempt_read_enter(t);
  if (k.config.debug) WARN_ON_ONCE(k, t.rcu_read_lock_nesting > RCU_NEST_PMAX);
}

/**
 * A reader ends; the outermost reports if it was switched away. Points: RD3, the count says "ending", the flags are not
 * read; RD4, everything is reported, the count is not 0 yet.
 *
 * @mirrors kernel/rcu/tree_plugin.h:__rcu_read_unlock
 */
export function __rcu_read_unlock(k: Kernel): Atomic<void> {
  const t = current(k);
  if (t.rcu_read_lock_nesting === 1) {
    rcu_preempt_depth_set(t, -RCU_NEST_BIAS);
    if (pt(k, POINT_NAMED, "RD3")) return outermostUnlock(k, t, true);
    if (t.rcu_read_unlock_special.s) return outermostUnlock(k, t, false);
    rcu_preempt_depth_set(t, 0);
  } else {
    rcu_preempt_read_exit(t);
  }
  checkDepth(k, t);
  return doneVoid();
}

function* outermostUnlock(k: Kernel, t: task_struct, atPoint: boolean): Atomic<void> {
  if (atPoint) yield STEP;
  if (t.rcu_read_unlock_special.s) {
    yield* rcu_read_unlock_special(k, t);
    if (pt(k, POINT_NAMED, "RD4")) yield STEP;
  }
  rcu_preempt_depth_set(t, 0);
  checkDepth(k, t);
}

function checkDepth(k: Kernel, t: task_struct): void {
  const rrln = t.rcu_read_lock_nesting;
  if (k.config.debug) WARN_ON_ONCE(k, rrln < 0 && rrln > RCU_NEST_NMAX);
}

/** The entry behind a task's, null at the end. @mirrors kernel/rcu/tree_plugin.h:rcu_next_node_entry */
function rcu_next_node_entry(t: task_struct, rnp: rcu_node): list_head<task_struct> | null {
  const np = t.rcu_node_entry.next;
  return np === rnp.blkd_tasks ? null : np;
}

/**
 * Reports what the end of a reader left to be reported: the CPU's quiescent state if a grace period got old over it, and
 * the task's if it was switched away.
 *
 * Context: interrupts off, `flags` is what they are to be afterwards.
 *
 * @mirrors kernel/rcu/tree_plugin.h:rcu_preempt_deferred_qs_irqrestore
 * @simplified no expedited grace period waits for the task, and it was not boosted
 */
function* rcu_preempt_deferred_qs_irqrestore(k: Kernel, t: task_struct, flags: IrqFlags): Atomic<void> {
  const special = t.rcu_read_unlock_special;
  const rdp = this_cpu_ptr(k, rcu_data);
  if (!special.s && !rdp.exp_deferred_qs) {
    local_irq_restore(k, flags);
    return;
  }
  const { blocked, need_qs } = special;
  special.blocked = false;
  special.need_qs = false;
  special.deferred_qs = false;
  if (need_qs) yield* rcu_qs(k);
  if (rdp.exp_deferred_qs) yield* rcu_report_exp_rdp(k, rdp);
  if (!blocked) {
    local_irq_restore(k, flags);
    return;
  }
  // It is still on the leaf of the CPU where it was first switched away.
  const rnp = t.rcu_blocked_node as rcu_node;
  yield* raw_spin_lock_rcu_node(k, rnp);
  WARN_ON_ONCE(k, rnp !== t.rcu_blocked_node, "rcu_blocked_node");
  WARN_ON_ONCE(k, !rcu_is_leaf_node(rcu_state(k), rnp), "leaf");
  const empty_norm = !rcu_preempt_blocked_readers_cgp(rnp);
  WARN_ON_ONCE(
    k,
    rnp.completedqs === rnp.gp_seq && (!empty_norm || !rnp.qsmask.isZero()),
    "completedqs",
  );
  smp_mb(k);
  const np = rcu_next_node_entry(t, rnp);
  list_del_init(t.rcu_node_entry);
  t.rcu_blocked_node = null;
  trace_rcu_unlock_preempted_task(k, "rcu_preempt", rnp.gp_seq, t.pid);
  if (t.rcu_node_entry === rnp.gp_tasks) rnp.gp_tasks = np;
  if (t.rcu_node_entry === rnp.exp_tasks) rnp.exp_tasks = np;
  if (!empty_norm && !rcu_preempt_blocked_readers_cgp(rnp)) {
    const { gp_seq, qsmask, level, grplo, grphi } = rnp;
    trace_rcu_quiescent_state_report(
      k,
      "preempt_rcu",
      gp_seq,
      new Ulong64(),
      qsmask,
      level,
      grplo,
      grphi,
      false,
    );
    yield* rcu_report_unblock_qs_rnp(k, rnp, flags);
  } else {
    raw_spin_unlock_irqrestore_rcu_node(k, rnp, flags);
  }
}

/**
 * Whether a report was put off that can be made now as far as the task's readers go.
 *
 * @mirrors kernel/rcu/tree_plugin.h:rcu_preempt_need_deferred_qs
 */
function rcu_preempt_need_deferred_qs(k: Kernel, t: task_struct): boolean {
  return (t.rcu_read_unlock_special.s || this_cpu_ptr(k, rcu_data).exp_deferred_qs) &&
    t.rcu_read_lock_nesting <= 0;
}

/**
 * Makes a report that was put off. Context: not in a reader, and wherever the caller thinks it safe.
 *
 * @mirrors kernel/rcu/tree_plugin.h:rcu_preempt_deferred_qs
 */
function rcu_preempt_deferred_qs(k: Kernel, t: task_struct): Atomic<void> {
  return rcu_preempt_need_deferred_qs(k, t) ? reportDeferred(k, t) : doneVoid();
}

function* reportDeferred(k: Kernel, t: task_struct): Atomic<void> {
  const couldrecurse = t.rcu_read_lock_nesting >= 0;
  if (couldrecurse) t.rcu_read_lock_nesting -= RCU_NEST_BIAS;
  const flags = local_irq_save(k);
  yield* rcu_preempt_deferred_qs_irqrestore(k, t, flags);
  if (couldrecurse) t.rcu_read_lock_nesting += RCU_NEST_BIAS;
}

/**
 * The outermost unlock has something to report: now, or, where preemption, bottom halves or interrupts are off, later,
 * and gets somebody to do it.
 *
 * @mirrors kernel/rcu/tree_plugin.h:rcu_read_unlock_special
 * @simplified without NMIs and full dynticks; no irq_work for expedited grace periods
 */
function* rcu_read_unlock_special(k: Kernel, t: task_struct): Atomic<void> {
  const preempt_bh_were_disabled = (preempt_count(k) & (PREEMPT_MASK | SOFTIRQ_MASK)) !== 0;
  const flags = local_irq_save(k);
  const irqs_were_disabled = irqs_disabled_flags(k, flags);
  if (!preempt_bh_were_disabled && !irqs_were_disabled) {
    yield* rcu_preempt_deferred_qs_irqrestore(k, t, flags);
    return;
  }
  const rdp = this_cpu_ptr(k, rcu_data);
  const blocked = t.rcu_blocked_node as rcu_node | null;
  const exp = (blocked !== null && blocked.exp_tasks !== null) || rdp.mynode.expmask.intersects(rdp.grpmask);
  if (irqs_were_disabled && (in_interrupt(k) || (exp && !t.rcu_read_unlock_special.deferred_qs))) {
    raise_softirq_irqoff(k, RCU_SOFTIRQ);
  } else {
    // Enabling preemption or bottom halves looks at the flag.
    set_tsk_need_resched(k, current(k));
    set_preempt_need_resched(k);
  }
  t.rcu_read_unlock_special.deferred_qs = true;
  local_irq_restore(k, flags);
}

/**
 * A grace period reaches a node: nothing may be left of the last one, and who is on the list holds up this one.
 *
 * Context: the node is locked, its gp_seq not yet changed.
 *
 * @mirrors kernel/rcu/tree_plugin.h:rcu_preempt_check_blocked_tasks
 */
function rcu_preempt_check_blocked_tasks(k: Kernel, rnp: rcu_node): void {
  const text = "rcu_preempt_check_blocked_tasks() invoked with preemption enabled!!!";
  RCU_LOCKDEP_WARN(k, preemptible(k), text);
  if (WARN_ON_ONCE(k, rcu_preempt_blocked_readers_cgp(rnp), "blocked readers")) dump_blkd_tasks(k, rnp, 10);
  if (rcu_preempt_has_tasks(rnp) && (!rnp.qsmaskinit.isZero() || rnp.wait_blkd_tasks)) {
    rnp.gp_tasks = rnp.blkd_tasks.next;
    trace_rcu_unlock_preempted_task(k, "rcu_preempt-GPS", rnp.gp_seq, list_entry(rnp.gp_tasks).pid);
  }
  WARN_ON_ONCE(k, !rnp.qsmask.isZero(), "qsmask");
}

/**
 * The tick: outside readers a quiescent state; a reader over which a grace period gets old is asked to report when it
 * ends.
 *
 * @mirrors kernel/rcu/tree_plugin.h:rcu_flavor_sched_clock_irq
 */
function rcu_flavor_sched_clock_irq(k: Kernel, _user: boolean): Atomic<void> {
  const t = current(k);
  if (t.rcu_read_lock_nesting > 0 || (preempt_count(k) & (PREEMPT_MASK | SOFTIRQ_MASK)) !== 0) {
    if (rcu_preempt_need_deferred_qs(k, t)) {
      set_tsk_need_resched(k, t);
      set_preempt_need_resched(k);
    }
  } else if (rcu_preempt_need_deferred_qs(k, t)) {
    return rcu_preempt_deferred_qs(k, t);
  } else if (t.rcu_read_lock_nesting === 0) {
    return rcu_qs(k);
  }
  const rdp = this_cpu_ptr(k, rcu_data);
  if (
    t.rcu_read_lock_nesting > 0 && rdp.core_needs_qs && rdp.cpu_no_qs.norm &&
    !t.rcu_read_unlock_special.need_qs && time_after(jiffies(k), rcu_state(k).gp_start + HZ(k))
  ) t.rcu_read_unlock_special.need_qs = true;
  return doneVoid();
}

/**
 * A task ends. In a reader, which is a bug that lockdep reports: ends the reader, so that grace periods go on.
 *
 * @mirrors kernel/rcu/tree_plugin.h:exit_rcu
 */
function exit_rcu(k: Kernel): Atomic<void> {
  const t = current(k);
  if (!list_empty(t.rcu_node_entry)) t.rcu_read_unlock_special.blocked = true;
  else if (t.rcu_read_lock_nesting === 0) return doneVoid();
  return exitReader(k, t);
}

function* exitReader(k: Kernel, t: task_struct): Atomic<void> {
  rcu_preempt_depth_set(t, 1);
  yield* __rcu_read_unlock(k);
  yield* rcu_preempt_deferred_qs(k, t);
}

/** Prints a node's readers, at most `ncheck`. Context: it is locked. @mirrors kernel/rcu/tree_plugin.h:dump_blkd_tasks */
function dump_blkd_tasks(k: Kernel, rnp: rcu_node, ncheck: number): void {
  raw_lockdep_assert_held_rcu_node(k, rnp);
  const at = "rcu: dump_blkd_tasks";
  pr_info(
    k,
    `${at}: grp: ${rnp.grplo}-${rnp.grphi} level: ${rnp.level} ->gp_seq ${rnp.gp_seq} ` +
      `->completedqs ${rnp.completedqs}`,
  );
  for (let rnp1: rcu_node | null = rnp; rnp1 !== null; rnp1 = rnp1.parent) {
    pr_info(
      k,
      `${at}: ${rnp1.grplo}:${rnp1.grphi} ->qsmask 0x${rnp1.qsmask} ->qsmaskinit 0x${rnp1.qsmaskinit} ` +
        `->qsmaskinitnext 0x${rnp1.qsmaskinitnext}`,
    );
  }
  function entry(e: list_head<task_struct> | null): string {
    return e === null ? "(null)" : `${list_entry(e).comm}/${list_entry(e).pid}`;
  }
  pr_info(
    k,
    `${at}: ->gp_tasks ${entry(rnp.gp_tasks)} ->boost_tasks (null) ->exp_tasks ${entry(rnp.exp_tasks)}`,
  );
  let line = `${at}: ->blkd_tasks`;
  let e = rnp.blkd_tasks.next;
  for (let i = 0; i < ncheck && e !== rnp.blkd_tasks; i++, e = e.next) line += ` ${entry(e)}`;
  pr_info(k, line);
  for (let cpu = rnp.grplo; cpu <= rnp.grphi; cpu++) {
    const rdp = per_cpu_ptr(k, rcu_data, cpu);
    const onl = rdp.grpmask.intersects(rnp.qsmaskinitnext);
    pr_info(
      k,
      `rcu: \t${cpu}: ${onl ? "o" : "."} online: ${rdp.rcu_onl_gp_seq}(${rdp.rcu_onl_gp_flags}) ` +
        `offline: ${rdp.rcu_ofl_gp_seq}(${rdp.rcu_ofl_gp_flags})`,
    );
  }
}

/** cond_resched() means nothing to preemptible RCU: nobody calls this. */
function rcu_all_qs(_k: Kernel): Atomic<void> {
  return doneVoid();
}

/** What depends on the kind of reader. @invented the half of a C file that is compiled */
export const preemptiblePlugin: TreePlugin = {
  name: "rcu_preempt",
  abbr: "p",
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
