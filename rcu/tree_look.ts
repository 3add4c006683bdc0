// SPDX-License-Identifier: GPL-2.0-only
/**
 * Looking at tree RCU: snapshots of rcu_state, the rcu_nodes and a CPU's rcu_data as plain data, for the `rcu` command.
 *
 * Masks are lists of bit numbers. Callbacks are counted, and the first ones named; lists are read as they stand in RAM,
 * without the check that a reader of freed memory deserves.
 *
 * Invariant: nothing here changes anything, and nothing that it returns is part of the machine.
 *
 * @invented a debugger's view of kernel/rcu/tree.h
 * @module
 */

import { NULL } from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import { BITS_PER_LONG, type Ulong64 } from "../kernel/machine/ulong64.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { list_entry } from "../kernel/list.ts";
import type { task_struct } from "../kernel/sched/sched.ts";
import { per_cpu_ptr } from "../kernel/static.ts";
import { jiffies } from "../kernel/time/jiffies.ts";
import { rcu_head, rcu_seq_ctr, rcu_seq_state } from "./rcu.ts";
import { RCU_CBLIST_NSEGS, RCU_NEXT_TAIL } from "./rcu_segcblist.ts";
import { jiffies_till_first_fqs, jiffies_till_next_fqs, rcu_data, rcu_state } from "./tree.ts";
import {
  RCU_DYNTICK_CTRL_CTR,
  RCU_GP_FLAG_FQS,
  RCU_GP_FLAG_INIT,
  RCU_GP_WAIT_FQS,
  rcu_is_leaf_node,
} from "./tree_types.ts";

/** Names of rcu_state.gp_state, in the order of their numbers. */
const GP_STATES: readonly string[] = [
  "RCU_GP_IDLE",
  "RCU_GP_WAIT_GPS",
  "RCU_GP_DONE_GPS",
  "RCU_GP_ONOFF",
  "RCU_GP_INIT",
  "RCU_GP_WAIT_FQS",
  "RCU_GP_DOING_FQS",
  "RCU_GP_CLEANUP",
  "RCU_GP_CLEANED",
];

/** A node of the tree. @invented see the module */
export interface NodeLook {
  readonly level: number;
  readonly leaf: boolean;
  readonly grplo: number;
  readonly grphi: number;
  readonly gp_seq: number;
  readonly gp_seq_needed: number;
  /** How many bits its masks have: CPUs of a leaf, children of another node. */
  readonly bits: number;
  /** Bits of children that still owe a quiescent state. */
  readonly qsmask: readonly number[];
  /** Bits that a new grace period starts from. */
  readonly qsmaskinit: readonly number[];
  readonly locked: boolean;
}

/** rcu_seq_ctr() of gp_seq at boot: it starts below zero so that it passes through it. */
const FIRST_CTR = -300;

/** The flavour as a whole. @invented see the module */
export interface RcuLook {
  readonly name: string;
  readonly gp_seq: number;
  /** Furthest grace period that the root knows to be wanted. */
  readonly gp_seq_needed: number;
  readonly inProgress: boolean;
  readonly gp_state: string;
  /** RCU_GP_FLAG_INIT and RCU_GP_FLAG_FQS, those that are set. */
  readonly gp_flags: readonly string[];
  /** Grace periods that have ended since boot. */
  readonly completed: number;
  /** Jiffies since the grace period started; meaningful while one runs. */
  readonly age: number;
  /** Length of the last one and of the longest, in jiffies. */
  readonly last: number;
  readonly gp_max: number;
  /** Scans for quiescent states in this grace period. */
  readonly scans: number;
  /** Jiffies to the next one; null while the thread does not wait for it, or is late. */
  readonly nextScan: number | null;
  /** First and later waits between scans, in jiffies. */
  readonly tillFirst: number;
  readonly tillNext: number;
  /** The grace-period thread: 0 before it exists. */
  readonly kthread: number;
  readonly levels: number;
  /** CPUs that the leaves wait for. */
  readonly owing: readonly number[];
  /** Callbacks of all CPUs. */
  readonly callbacks: number;
}

/** A queued callback: its head, and the function or offset that stands in it. @invented see the module */
export interface CallbackLook {
  readonly head: VirtAddr;
  readonly func: VirtAddr;
}

/** A part of a CPU's callback list. @invented see the module */
export interface SegmentLook {
  readonly name: string;
  /** The grace period that it waits for, if it has a number. */
  readonly gp_seq: number | null;
  readonly count: number;
  /** The first of them. */
  readonly callbacks: readonly CallbackLook[];
}

/** What RCU keeps for a CPU. @invented see the module */
export interface CpuLook {
  readonly cpu: number;
  readonly gp_seq: number;
  readonly gp_seq_needed: number;
  readonly core_needs_qs: boolean;
  /** No quiescent state was noted yet in the grace period that it knows. */
  readonly noQs: boolean;
  readonly gpwrap: boolean;
  readonly ticks_this_gp: number;
  readonly dynticks: number;
  /** Idle for RCU: in an extended quiescent state. */
  readonly eqs: boolean;
  readonly dynticks_snap: number;
  readonly dynticks_nesting: number;
  readonly rcu_urgent_qs: boolean;
  readonly rcu_need_heavy_qs: boolean;
  readonly blimit: number;
  /** Its leaf: first and last CPU, and whether the leaf waits for it. */
  readonly grplo: number;
  readonly grphi: number;
  readonly owes: boolean;
  /** Callbacks, those being invoked included. */
  readonly len: number;
  /** Taken off the list by rcu_do_batch() and not invoked yet. */
  readonly invoking: SegmentLook;
  readonly segments: readonly SegmentLook[];
}

/** Bits of a mask, lowest first. */
function bitsOf(mask: Ulong64): number[] {
  const bits: number[] = [];
  for (let bit = mask.next(0); bit < BITS_PER_LONG; bit = mask.next(bit + 1)) bits.push(bit);
  return bits;
}

/** All nodes, root first. @invented see the module */
export function treeNodes(k: Kernel): NodeLook[] {
  const rsp = rcu_state(k);
  const children = new Map<object, number>();
  for (const { parent } of rsp.node) {
    if (parent !== null) children.set(parent, (children.get(parent) ?? 0) + 1);
  }
  return rsp.node.map((rnp) => {
    const leaf = rcu_is_leaf_node(rsp, rnp);
    return {
      level: rnp.level,
      leaf,
      grplo: rnp.grplo,
      grphi: rnp.grphi,
      gp_seq: rnp.gp_seq,
      gp_seq_needed: rnp.gp_seq_needed,
      bits: leaf ? Math.max(0, rnp.grphi - rnp.grplo + 1) : children.get(rnp) ?? 0,
      qsmask: bitsOf(rnp.qsmask),
      qsmaskinit: bitsOf(rnp.qsmaskinit),
      locked: rnp.lock.owner !== null,
    };
  });
}

/** rcu_state. @invented see the module */
export function treeState(k: Kernel): RcuLook {
  const rsp = rcu_state(k);
  const now = jiffies(k);
  const flags: readonly [number, string][] = [
    [RCU_GP_FLAG_INIT, "RCU_GP_FLAG_INIT"],
    [RCU_GP_FLAG_FQS, "RCU_GP_FLAG_FQS"],
  ];
  let callbacks = 0;
  for (const { id } of k.cpus) callbacks += per_cpu_ptr(k, rcu_data, id).cblist.len;
  return {
    name: rsp.name,
    gp_seq: rsp.gp_seq,
    gp_seq_needed: rsp.node[0].gp_seq_needed,
    inProgress: rcu_seq_state(rsp.gp_seq) !== 0,
    gp_state: GP_STATES[rsp.gp_state] ?? String(rsp.gp_state),
    gp_flags: flags.filter(([bit]) => (rsp.gp_flags & bit) !== 0).map(([, name]) => name),
    completed: rcu_seq_ctr(rsp.gp_seq) - FIRST_CTR,
    age: now - rsp.gp_start,
    last: rsp.gp_end - rsp.gp_start,
    gp_max: rsp.gp_max,
    scans: rsp.n_force_qs - rsp.n_force_qs_gpstart,
    nextScan: rsp.gp_state === RCU_GP_WAIT_FQS && rsp.jiffies_force_qs > now
      ? rsp.jiffies_force_qs - now
      : null,
    tillFirst: jiffies_till_first_fqs(k),
    tillNext: jiffies_till_next_fqs(k),
    kthread: rsp.gp_kthread?.pid ?? 0,
    levels: (rsp.node.at(-1)?.level ?? 0) + 1,
    owing: rsp.leaves.flatMap((rnp) => bitsOf(rnp.qsmask).map((bit) => rnp.grplo + bit)),
    callbacks,
  };
}

function peek(k: Kernel, addr: VirtAddr): VirtAddr {
  const phys = k.ram.translate(addr);
  return phys < 0 ? NULL : k.ram.rawLoadPtr(phys);
}

/** The callbacks from the pointer at `from` to the one at `tail`; the first `most` of them are named. */
function segment(
  k: Kernel,
  name: string,
  gp_seq: number | null,
  from: VirtAddr,
  tail: VirtAddr | null,
  most: number,
): SegmentLook {
  const callbacks: CallbackLook[] = [];
  let count = 0;
  for (let at = from; at !== tail; count++) {
    const head = peek(k, at);
    if (head === NULL) break;
    if (count < most) callbacks.push({ head, func: peek(k, (head + rcu_head.offsetof("func")) as VirtAddr) });
    at = (head + rcu_head.offsetof("next")) as VirtAddr;
  }
  return { name, gp_seq, count, callbacks };
}

const SEGMENTS: readonly string[] = ["DONE", "WAIT", "NEXT_READY", "NEXT"];

/** A CPU's rcu_data, with at most `most` callbacks of each segment. @invented see the module */
export function treeCpu(k: Kernel, cpu: number, most: number): CpuLook {
  const rdp = per_cpu_ptr(k, rcu_data, cpu);
  const { cblist, mynode } = rdp;
  const segments: SegmentLook[] = [];
  for (let i = 0; i < RCU_CBLIST_NSEGS; i++) {
    const from = i === 0 ? cblist.head : cblist.tails[i - 1];
    const numbered = i > 0 && i < RCU_NEXT_TAIL && from !== cblist.tails[i];
    const gp_seq = numbered ? cblist.gp_seq[i] : null;
    segments.push(segment(k, SEGMENTS[i], gp_seq, from, cblist.tails[i], most));
  }
  return {
    cpu,
    gp_seq: rdp.gp_seq,
    gp_seq_needed: rdp.gp_seq_needed,
    core_needs_qs: rdp.core_needs_qs,
    noQs: rdp.cpu_no_qs.norm,
    gpwrap: rdp.gpwrap,
    ticks_this_gp: rdp.ticks_this_gp,
    dynticks: rdp.dynticks,
    eqs: (rdp.dynticks & RCU_DYNTICK_CTRL_CTR) === 0,
    dynticks_snap: rdp.dynticks_snap,
    dynticks_nesting: rdp.dynticks_nesting,
    rcu_urgent_qs: rdp.rcu_urgent_qs,
    rcu_need_heavy_qs: rdp.rcu_need_heavy_qs,
    blimit: rdp.blimit,
    grplo: mynode.grplo,
    grphi: mynode.grphi,
    owes: mynode.qsmask.intersects(rdp.grpmask),
    len: cblist.len,
    invoking: segment(k, "being invoked", null, rdp.batch.head, null, most),
    segments,
  };
}

/** Readers that were preempted and hold up the grace period, in the order of the leaves' lists. @invented see the module */
export function treeBlockedReaders(k: Kernel): task_struct[] {
  return rcu_state(k).leaves.flatMap((rnp) => {
    const found: task_struct[] = [];
    let waited = false;
    for (let entry = rnp.blkd_tasks.next; entry !== rnp.blkd_tasks; entry = entry.next) {
      waited ||= entry === rnp.gp_tasks;
      if (waited) found.push(list_entry(entry));
    }
    return found;
  });
}
