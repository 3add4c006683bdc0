// SPDX-License-Identifier: GPL-2.0-only
/**
 * Whom RCU waits for when a run does not drain: the CPUs that have not passed a quiescent state in the running grace
 * period, and the task on each that keeps it from doing so; then the readers that were preempted and hold it up.
 *
 * Invariant: a look; nothing is changed. A CPU that only has not reported yet is named too: the verdict is about a limit
 * that was reached, so it had its time.
 *
 * @module
 */

import type { Kernel } from "../kernel/kernel.ts";
import { placeOfHeldLock } from "../kernel/locking/lockdep.ts";
import { rcu_lock_map } from "../kernel/locking/lockdep_rcu.ts";
import { HARDIRQ_MASK, PREEMPT_MASK, SOFTIRQ_MASK, SOFTIRQ_OFFSET } from "../kernel/preempt.ts";
import type { task_struct } from "../kernel/sched/sched.ts";
import { treeBlockedReaders, treeNodes, treeState } from "../rcu/tree_look.ts";

/** A CPU, or a preempted reader, that holds up the grace period. */
export interface RcuWait {
  /** Where the task is, or waits to run. */
  readonly cpu: number;
  readonly pid: number;
  readonly comm: string;
  /** What its task is in, as the end of "reader/12 is ...". */
  readonly doing: string;
}

/** Whom the running grace period of tree RCU waits for, in the order of CPUs, then of leaves; nobody when none runs. */
export function rcuWaits(k: Kernel): RcuWait[] {
  if (k.rcu.flavour !== "tree" || !treeState(k).inProgress) return [];
  const owing = treeNodes(k).filter((node) => node.leaf)
    .flatMap((node) => node.qsmask.map((bit) => node.grplo + bit));
  const cpus = owing.flatMap((cpu) => {
    const p = k.cpus[cpu].current as task_struct;
    // The next scan finds a CPU that idles: it holds nothing up.
    return p.pid === 0 ? [] : [{ cpu, pid: p.pid, comm: p.comm, doing: doing(k, cpu, p) }];
  });
  return [...cpus, ...treeBlockedReaders(k).map((p) => waitOf(k, p))];
}

function waitOf(k: Kernel, p: task_struct): RcuWait {
  const place = placeOfHeldLock(p, rcu_lock_map(k));
  const where = `rcu_read_lock()${place === null ? "" : ` of ${place}`}`;
  return { cpu: p.cpu, pid: p.pid, comm: p.comm, doing: `preempted in ${where}` };
}

function doing(k: Kernel, cpu: number, p: task_struct): string {
  const { preempt_count, irqsOn } = k.cpus[cpu];
  if ((preempt_count & HARDIRQ_MASK) !== 0) return "in a hard interrupt";
  if ((preempt_count & SOFTIRQ_OFFSET) !== 0) return "in a softirq";
  if (p.rcu_read_lock_nesting > 0) {
    const place = placeOfHeldLock(p, rcu_lock_map(k));
    return `in rcu_read_lock()${place === null ? "" : ` of ${place}`}`;
  }
  const off = [
    ...(irqsOn ? [] : ["interrupts"]),
    ...((preempt_count & SOFTIRQ_MASK) !== 0 ? ["bottom halves"] : []),
    ...((preempt_count & PREEMPT_MASK) !== 0 ? ["preemption"] : []),
  ];
  return off.length > 0 ? `running with ${off.join(" and ")} off` : "running, without a quiescent state";
}
