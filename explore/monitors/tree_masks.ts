// SPDX-License-Identifier: GPL-2.0-only
/**
 * What the nodes of tree RCU still wait for.
 *
 * P61: qsmask is part of qsmaskinit, which is part of what the node has; between grace periods nothing is owed, by CPUs or
 * preempted readers. P62: while quiescent states are waited for, a node that is owed something is owed in its parent. P63:
 * nothing is owed when the end reaches the first node. P64: preempted readers are on the lists of leaves, each on that of
 * the leaf that it names, and gp_tasks is one of them. A node is looked at while its lock is free, and P62 when both are.
 *
 * Left for later: P73, which is of expedited grace periods; P65 shows as P1. That a parent's
 * bit stays set only for a moment (the other half of P62) shows as a grace period that never ends.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import { Ulong64 } from "../../kernel/machine/ulong64.ts";
import { list_empty, list_entry } from "../../kernel/list.ts";
import { rcu_seq_state } from "../../rcu/rcu.ts";
import { rcu_state } from "../../rcu/tree.ts";
import { RCU_GP_DOING_FQS, RCU_GP_WAIT_FQS, rcu_is_leaf_node, type rcu_node } from "../../rcu/tree_types.ts";
import type { Findings, Monitor, Seen } from "./monitor.ts";

export class TreeMasks implements Monitor {
  /** Bits that each node can have: CPUs of a leaf, children of another node. */
  private readonly possible: readonly Ulong64[];
  private readonly beyond = new Ulong64();
  readonly on: Monitor["on"];

  constructor(private readonly k: Kernel, private readonly findings: Findings) {
    const { node, leaves } = rcu_state(k);
    this.possible = node.map((rnp) => {
      const bits = new Ulong64();
      if (leaves.includes(rnp)) {
        for (let cpu = rnp.grplo; cpu <= rnp.grphi; cpu++) bits.setBit(cpu - rnp.grplo);
      } else {
        for (const child of node) if (child.parent === rnp) bits.or(child.grpmask);
      }
      return bits;
    });
    this.on = {
      rcu_future_grace_period: (e) => {
        if (e.d === 0 && k.log.text(e.g).startsWith("Cleanup")) this.nothingOwed(e);
      },
      rcu_grace_period: (e) => {
        if (k.log.text(e.c) === "end") this.nothingOwed(e);
      },
    };
  }

  private isPart(mask: Ulong64, whole: Ulong64): boolean {
    return this.beyond.set(mask).andNot(whole).isZero();
  }

  private nothingOwed(e: Seen): void {
    for (const rnp of rcu_state(this.k).node) {
      if (!rnp.qsmask.isZero()) {
        this.say(e, "P63", rnp, `still waits for 0x${rnp.qsmask} when the grace period ends`);
      }
      if (rnp.gp_tasks !== null) {
        this.say(e, "P63", rnp, "still waits for a preempted reader when the grace period ends");
      }
    }
  }

  look(e: Seen): void {
    const rsp = rcu_state(this.k);
    const idle = rcu_seq_state(rsp.gp_seq) === 0;
    const waiting = rsp.gp_state === RCU_GP_WAIT_FQS || rsp.gp_state === RCU_GP_DOING_FQS;
    for (let i = 0; i < rsp.node.length; i++) {
      const rnp = rsp.node[i];
      if (rnp.lock.owner !== null) continue;
      if (!this.isPart(rnp.qsmask, rnp.qsmaskinit) || !this.isPart(rnp.qsmaskinit, this.possible[i])) {
        this.say(e, "P61", rnp, `has qsmask 0x${rnp.qsmask}, qsmaskinit 0x${rnp.qsmaskinit}`);
      }
      if (!list_empty(rnp.blkd_tasks) || rnp.gp_tasks !== null) this.lookAtReaders(e, rnp, idle);
      if (rnp.qsmask.isZero() && rnp.gp_tasks === null) continue;
      if (idle && !rnp.qsmask.isZero()) {
        this.say(e, "P61", rnp, `waits for 0x${rnp.qsmask} between grace periods`);
      }
      const { parent } = rnp;
      if (
        !waiting || parent === null || parent.lock.owner !== null || parent.qsmask.intersects(rnp.grpmask)
      ) {
        continue;
      }
      const tasks = rnp.gp_tasks === null ? "" : " and a preempted reader";
      this.say(e, "P62", rnp, `waits for 0x${rnp.qsmask}${tasks}, and its parent does not wait for it`);
    }
  }

  private lookAtReaders(e: Seen, rnp: rcu_node, idle: boolean): void {
    if (idle && rnp.gp_tasks !== null) {
      this.say(e, "P61", rnp, "waits for a preempted reader between grace periods");
    }
    let found = rnp.gp_tasks === null;
    for (let entry = rnp.blkd_tasks.next; entry !== rnp.blkd_tasks; entry = entry.next) {
      found ||= entry === rnp.gp_tasks;
      const t = list_entry(entry);
      if (t.rcu_blocked_node === rnp) continue;
      this.say(e, "P64", rnp, `has ${t.comm}/${t.pid} on its list, which names another`);
    }
    if (!found) this.say(e, "P64", rnp, "waits for a reader that is not on its list");
    if (!rcu_is_leaf_node(rcu_state(this.k), rnp)) this.say(e, "P64", rnp, "has readers, and is no leaf");
  }

  private say(e: Seen, property: string, rnp: rcu_node, text: string): void {
    this.findings.violated(
      property,
      e.seq,
      `the node of CPUs ${rnp.grplo}-${rnp.grphi} ${text}, event ${e.seq}`,
    );
  }
}
