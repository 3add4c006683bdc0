// SPDX-License-Identifier: GPL-2.0-only
/**
 * What tree RCU is made of. Mirrors kernel/rcu/tree.h (v5.7) and the rcu_node helpers of kernel/rcu/rcu.h.
 *
 * Leaves of the tree hold CPUs, inner nodes hold nodes; a bit in qsmask is a child that the current grace period still
 * waits for. Bits of a leaf count from its first CPU.
 *
 * Invariant: a node's fields belong to its lock; the root's lock also guards the grace-period fields of rcu_state.
 * Left out: expedited grace periods (their fields are there, nobody sets them), boosting, callback offloading, full dynticks.
 *
 * @module
 */

import type { IrqFlags, VirtAddr } from "../kernel/machine/brand.ts";
import type { Atomic } from "../kernel/machine/effects.ts";
import { WARN_ON_ONCE } from "../kernel/bug.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { list_head } from "../kernel/list.ts";
import { mutex } from "../kernel/locking/mutex.ts";
import {
  lockdep_assert_held,
  raw_spin_lock,
  raw_spin_lock_irq,
  raw_spin_lock_irqsave,
  raw_spin_trylock,
  raw_spin_unlock,
  raw_spin_unlock_irq,
  raw_spin_unlock_irqrestore,
  raw_spinlock_t,
} from "../kernel/locking/spinlock.ts";
import { RCU_FANOUT } from "../kernel/rcu_node_tree.ts";
import { completion } from "../kernel/sched/completion.ts";
import type { task_struct } from "../kernel/sched/sched.ts";
import { swait_queue_head } from "../kernel/sched/swait.ts";
import { HZ } from "../kernel/time/jiffies.ts";
import { BITS_PER_LONG, Ulong64 } from "../kernel/machine/ulong64.ts";
import { rcu_head } from "./rcu.ts";
import { rcu_cblist, rcu_segcblist } from "./rcu_segcblist.ts";

/** A node of the tree. @mirrors kernel/rcu/tree.h:rcu_node */
export class rcu_node {
  readonly lock: raw_spinlock_t;
  gp_seq = 0; // the grace period that this node knows of
  gp_seq_needed = 0; // furthest grace period asked for through it
  completedqs = 0; // gp_seq when it last became quiescent
  readonly qsmask: Ulong64 = new Ulong64(); // children that still owe a quiescent state
  readonly rcu_gp_init_mask: Ulong64 = new Ulong64(); // CPUs offline at the start of the grace period
  readonly qsmaskinit: Ulong64 = new Ulong64(); // what qsmask starts from
  readonly qsmaskinitnext: Ulong64 = new Ulong64(); // online CPUs, for the next grace period; leaves only
  readonly expmask: Ulong64 = new Ulong64(); // children that owe one to an expedited grace period
  readonly expmaskinitnext: Ulong64 = new Ulong64(); // CPUs that were ever online; leaves only
  readonly cbovldmask: Ulong64 = new Ulong64(); // CPUs with too many callbacks
  readonly ffmask: Ulong64 = new Ulong64(); // CPUs that can run work items
  readonly grpmask: Ulong64 = new Ulong64(); // its bit in the parent
  grplo = 0; // first CPU
  grphi = 0; // last CPU
  grpnum = 0; // number of its bit in the parent
  /** Readers that were switched away, the latest in front but for those waited for; leaves only. */
  readonly blkd_tasks: list_head<task_struct> = new list_head<task_struct>();
  gp_tasks: list_head<task_struct> | null = null; // the first that the grace period waits for
  exp_tasks: list_head<task_struct> | null = null; // the same for an expedited one
  wait_blkd_tasks = false; // all CPUs went offline, readers are left
  parent: rcu_node | null = null;
  readonly fqslock: raw_spinlock_t;

  constructor(readonly level: number) {
    this.lock = new raw_spinlock_t(`rcu_node_${level}`);
    this.fqslock = new raw_spinlock_t(`rcu_node_fqs_${level}`);
  }
}

/** A CPU's bit in its leaf. @mirrors kernel/rcu/tree.h:leaf_node_cpu_bit */
export function leaf_node_cpu_bit(rnp: rcu_node, cpu: number): Ulong64 {
  return Ulong64.bit(cpu - rnp.grplo);
}

/** No quiescent state yet, for either kind of grace period. @mirrors kernel/rcu/tree.h:rcu_data.cpu_no_qs */
export interface rcu_noqs {
  norm: boolean;
  exp: boolean;
}

/**
 * What a running task's dynticks_nmi_nesting is: 2^62 in C, too large for a double that must count.
 *
 * @mirrors kernel/rcu/rcu.h:DYNTICK_IRQ_NONIDLE
 */
export const DYNTICK_IRQ_NONIDLE: number = 2 ** 52;

/** What RCU keeps for a CPU. @mirrors kernel/rcu/tree.h:rcu_data */
export class rcu_data {
  // Quiescent states and grace periods
  gp_seq = 0; // last grace period noticed
  gp_seq_needed = 0; // furthest one asked for
  readonly cpu_no_qs: rcu_noqs = { norm: false, exp: false };
  exp_deferred_qs = false; // an expedited quiescent state was put off
  core_needs_qs = false; // the grace period waits for this CPU
  beenonline = false;
  gpwrap = false; // gp_seq may have lapped
  /** Its leaf; set by rcu_init_one(). */
  mynode!: rcu_node;
  readonly grpmask: Ulong64 = new Ulong64(); // its bit in the leaf
  ticks_this_gp = 0;

  // Callbacks
  readonly cblist: rcu_segcblist;
  /** The list that rcu_do_batch() has on its stack in C: it needs an address, and there is one at a time. */
  readonly batch: rcu_cblist;
  qlen_last_fqs_check = 0;
  n_force_qs_snap = 0;
  blimit = 0; // callbacks in one batch

  // Idle
  dynticks_snap = 0;
  dynticks_nesting = 1; // task level
  dynticks_nmi_nesting: number = DYNTICK_IRQ_NONIDLE; // interrupt level
  dynticks: number = RCU_DYNTICK_CTRL_CTR;
  rcu_need_heavy_qs = false; // the grace period is old: pretend to be idle
  rcu_urgent_qs = false; // the grace period wants help from the scheduler

  // rcu_barrier()
  readonly barrier_head: VirtAddr;

  // Diagnostics
  softirq_snap = 0;
  rcu_onl_gp_seq = 0; // gp_seq and gp_flags when it last came online, and went offline
  rcu_onl_gp_flags = 0;
  rcu_ofl_gp_seq = 0;
  rcu_ofl_gp_flags = 0;
  last_fqs_resched = 0; // jiffies

  constructor(k: Kernel, readonly cpu: number) {
    this.cblist = new rcu_segcblist(k);
    this.batch = new rcu_cblist(k);
    this.barrier_head = k.dataAlloc(rcu_head.size);
  }
}

/**
 * Bit 0 of dynticks: a request to flush the TLB, never made here.
 *
 * @mirrors kernel/rcu/tree.c:RCU_DYNTICK_CTRL_MASK
 */
export const RCU_DYNTICK_CTRL_MASK = 0x1;
/**
 * What every change of dynticks adds; set in it: RCU watches this CPU.
 *
 * @mirrors kernel/rcu/tree.c:RCU_DYNTICK_CTRL_CTR
 */
export const RCU_DYNTICK_CTRL_CTR: number = RCU_DYNTICK_CTRL_MASK + 1;

/**
 * First wait for quiescent states, in jiffies, before large machines get more.
 *
 * @mirrors kernel/rcu/tree.h:RCU_JIFFIES_TILL_FORCE_QS
 */
export function RCU_JIFFIES_TILL_FORCE_QS(k: Kernel): number {
  return 1 + (HZ(k) > 250 ? 1 : 0) + (HZ(k) > 500 ? 1 : 0);
}

/** CPUs that add one jiffy to the wait. @mirrors kernel/rcu/tree.h:RCU_JIFFIES_FQS_DIV */
export const RCU_JIFFIES_FQS_DIV = 256;

/**
 * What depends on the kind of reader: one half of tree_plugin.h or the other.
 *
 * @invented C compiles one of two functions of the same name
 */
export interface TreePlugin {
  readonly name: string;
  readonly abbr: string;
  rcu_bootup_announce(k: Kernel): void;
  rcu_qs(k: Kernel): Atomic<void>;
  rcu_all_qs(k: Kernel): Atomic<void>;
  rcu_note_context_switch(k: Kernel, preempt: boolean): Atomic<void>;
  __rcu_read_lock(k: Kernel): void;
  __rcu_read_unlock(k: Kernel): Atomic<void>;
  rcu_preempt_need_deferred_qs(k: Kernel, t: task_struct): boolean;
  rcu_preempt_deferred_qs(k: Kernel, t: task_struct): Atomic<void>;
  rcu_preempt_check_blocked_tasks(k: Kernel, rnp: rcu_node): void;
  rcu_flavor_sched_clock_irq(k: Kernel, user: boolean): Atomic<void>;
  exit_rcu(k: Kernel): Atomic<void>;
  dump_blkd_tasks(k: Kernel, rnp: rcu_node, ncheck: number): void;
}

/** The state of a flavour. @mirrors kernel/rcu/tree.h:rcu_state */
export class rcu_state {
  /** The tree, breadth first; made by rcu_init_one(). */
  readonly node: rcu_node[] = [];
  /** Number of the first node of each level. */
  readonly level: number[] = [0];
  /** The leaves, in order: node[level[rcu_num_lvls - 1]] and on. */
  leaves: readonly rcu_node[] = [];
  ncpus = 0; // CPUs seen so far

  // Guarded by the root's lock
  gp_seq: number = (0 - 300) * 4;
  gp_kthread: task_struct | null = null;
  readonly gp_wq: swait_queue_head = new swait_queue_head("rcu_state.gp_wq", "a grace period to be wanted");
  gp_flags = 0;
  gp_state: number = RCU_GP_IDLE;
  gp_wake_time = 0; // jiffies
  gp_wake_seq = 0;

  // What the short polling functions look at; guarded by the root's lock too
  gp_seq_polled: number = this.gp_seq; // grace periods of any kind; in Linux it starts at 0
  gp_seq_polled_snap = 0; // its value at the start of the normal grace period that runs
  gp_seq_polled_exp_snap = 0; // and of the expedited one

  readonly barrier_mutex: mutex = new mutex("rcu_state.barrier_mutex");
  barrier_cpu_count = 0;
  readonly barrier_completion: completion = new completion("rcu_state.barrier_completion");
  barrier_sequence = 0;

  expedited_sequence = 0; // expedited grace periods: there are none

  cbovld = false; // some CPU has too many callbacks
  cbovldnext = false;

  jiffies_force_qs = 0;
  n_force_qs = 0;
  gp_start = 0; // jiffies
  gp_end = 0;
  gp_activity = 0; // when the grace-period thread last moved
  gp_req_activity = 0; // when a grace period was last asked for
  jiffies_stall = 0;
  jiffies_resched = 0;
  n_force_qs_gpstart = 0;
  gp_max = 0; // longest grace period, in jiffies

  readonly name: string;
  readonly abbr: string;
  readonly ofl_lock: raw_spinlock_t = new raw_spinlock_t("rcu_state.ofl_lock");

  constructor(readonly plugin: TreePlugin) {
    this.name = plugin.name;
    this.abbr = plugin.abbr;
  }
}

/** Start a grace period. @mirrors kernel/rcu/tree.h:RCU_GP_FLAG_INIT */
export const RCU_GP_FLAG_INIT = 0x1;
/** Look for quiescent states now. @mirrors kernel/rcu/tree.h:RCU_GP_FLAG_FQS */
export const RCU_GP_FLAG_FQS = 0x2;

export const RCU_GP_IDLE = 0;
export const RCU_GP_WAIT_GPS = 1;
export const RCU_GP_DONE_GPS = 2;
export const RCU_GP_ONOFF = 3;
export const RCU_GP_INIT = 4;
export const RCU_GP_WAIT_FQS = 5;
export const RCU_GP_DOING_FQS = 6;
export const RCU_GP_CLEANUP = 7;
export const RCU_GP_CLEANED = 8;

/**
 * Children of a node on each level: as many as the levels above are spread over, or full nodes when asked for.
 *
 * @mirrors kernel/rcu/rcu.h:rcu_init_levelspread
 */
export function rcu_init_levelspread(
  k: Kernel,
  levelcnt: readonly number[],
  fanout_leaf: number,
  nr_cpus: number,
): number[] {
  const last = levelcnt.length - 1;
  if (k.config.fanoutExact) return levelcnt.map((_, i) => i === last ? fanout_leaf : RCU_FANOUT(k.config));
  return levelcnt.map((ccur, i) => Math.ceil((i === last ? nr_cpus : levelcnt[i + 1]) / ccur));
}

/** @mirrors kernel/rcu/rcu.h:rcu_first_leaf_node */
export function rcu_first_leaf_node(rsp: rcu_state): rcu_node {
  return rsp.leaves[0];
}

/** @mirrors kernel/rcu/rcu.h:rcu_is_leaf_node */
export function rcu_is_leaf_node(rsp: rcu_state, rnp: rcu_node): boolean {
  return rnp.level === rsp.leaves[0].level;
}

/** @mirrors kernel/rcu/rcu.h:rcu_is_last_leaf_node */
export function rcu_is_last_leaf_node(rsp: rcu_state, rnp: rcu_node): boolean {
  return rnp === rsp.leaves[rsp.leaves.length - 1];
}

/** All nodes, root first. @mirrors kernel/rcu/rcu.h:rcu_for_each_node_breadth_first */
export function rcu_for_each_node_breadth_first(rsp: rcu_state): readonly rcu_node[] {
  return rsp.node;
}

/** All leaves. @mirrors kernel/rcu/rcu.h:rcu_for_each_leaf_node */
export function rcu_for_each_leaf_node(rsp: rcu_state): readonly rcu_node[] {
  return rsp.leaves;
}

/** The CPUs of a leaf, online or not. @mirrors kernel/rcu/rcu.h:for_each_leaf_node_possible_cpu */
export function* for_each_leaf_node_possible_cpu(
  k: Kernel,
  rsp: rcu_state,
  rnp: rcu_node,
): Generator<number, void, void> {
  WARN_ON_ONCE(k, !rcu_is_leaf_node(rsp, rnp));
  for (let cpu = rnp.grplo; cpu <= rnp.grphi; cpu++) yield cpu;
}

/**
 * First CPU of the leaf at or after bit `bit` that is in `mask`; none is beyond the leaf.
 *
 * @mirrors kernel/rcu/rcu.h:rcu_find_next_bit
 */
export function rcu_find_next_bit(rnp: rcu_node, bit: number, mask: Ulong64): number {
  return rnp.grplo + (bit < BITS_PER_LONG ? mask.next(bit) : BITS_PER_LONG);
}

/** The CPUs of a leaf in `mask`. @mirrors kernel/rcu/rcu.h:for_each_leaf_node_cpu_mask */
export function* for_each_leaf_node_cpu_mask(
  k: Kernel,
  rsp: rcu_state,
  rnp: rcu_node,
  mask: Ulong64,
): Generator<number, void, void> {
  WARN_ON_ONCE(k, !rcu_is_leaf_node(rsp, rnp));
  let cpu = rcu_find_next_bit(rnp, 0, mask);
  while (cpu <= rnp.grphi) {
    yield cpu;
    cpu = rcu_find_next_bit(rnp, cpu + 1 - rnp.grplo, mask);
  }
}

/** @mirrors kernel/rcu/rcu.h:raw_spin_lock_rcu_node */
export function raw_spin_lock_rcu_node(k: Kernel, p: rcu_node): Atomic<void> {
  return raw_spin_lock(k, p.lock);
}

/** @mirrors kernel/rcu/rcu.h:raw_spin_unlock_rcu_node */
export function raw_spin_unlock_rcu_node(k: Kernel, p: rcu_node): void {
  raw_spin_unlock(k, p.lock);
}

/** @mirrors kernel/rcu/rcu.h:raw_spin_lock_irq_rcu_node */
export function raw_spin_lock_irq_rcu_node(k: Kernel, p: rcu_node): Atomic<void> {
  return raw_spin_lock_irq(k, p.lock);
}

/** @mirrors kernel/rcu/rcu.h:raw_spin_unlock_irq_rcu_node */
export function raw_spin_unlock_irq_rcu_node(k: Kernel, p: rcu_node): void {
  raw_spin_unlock_irq(k, p.lock);
}

/** @mirrors kernel/rcu/rcu.h:raw_spin_lock_irqsave_rcu_node */
export function raw_spin_lock_irqsave_rcu_node(k: Kernel, p: rcu_node): Atomic<IrqFlags> {
  return raw_spin_lock_irqsave(k, p.lock);
}

/** @mirrors kernel/rcu/rcu.h:raw_spin_unlock_irqrestore_rcu_node */
export function raw_spin_unlock_irqrestore_rcu_node(k: Kernel, p: rcu_node, flags: IrqFlags): void {
  raw_spin_unlock_irqrestore(k, p.lock, flags);
}

/** @mirrors kernel/rcu/rcu.h:raw_spin_trylock_rcu_node */
export function raw_spin_trylock_rcu_node(k: Kernel, p: rcu_node): Atomic<boolean> {
  return raw_spin_trylock(k, p.lock);
}

/** @mirrors kernel/rcu/rcu.h:raw_lockdep_assert_held_rcu_node */
export function raw_lockdep_assert_held_rcu_node(k: Kernel, p: rcu_node): void {
  lockdep_assert_held(k, p.lock);
}
