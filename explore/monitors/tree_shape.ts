// SPDX-License-Identifier: GPL-2.0-only
/**
 * The shape of the tree, and who may change which mask.
 *
 * P58: each CPU is in exactly one leaf, a parent's range is the union of its children's, bits of siblings are distinct;
 * looked at when a run begins and ends. P72: qsmaskinitnext does not change (only a CPU that comes or goes may change
 * it); qsmaskinit changes only while a grace period takes over the online masks.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import { Ulong64 } from "../../kernel/machine/ulong64.ts";
import { per_cpu_ptr } from "../../kernel/static.ts";
import { rcu_data, rcu_state } from "../../rcu/tree.ts";
import { RCU_GP_DONE_GPS, RCU_GP_ONOFF, type rcu_node } from "../../rcu/tree_types.ts";
import type { Findings, Monitor, Seen } from "./monitor.ts";

export class TreeShape implements Monitor {
  private readonly init: Ulong64[];
  private readonly next: Ulong64[];
  private hotplug = false;
  private lastState: number;
  readonly on: Monitor["on"];

  constructor(private readonly k: Kernel, private readonly findings: Findings) {
    const rsp = rcu_state(k);
    this.init = rsp.node.map((rnp) => Ulong64.copy(rnp.qsmaskinit));
    this.next = rsp.node.map((rnp) => Ulong64.copy(rnp.qsmaskinitnext));
    this.lastState = rsp.gp_state;
    this.on = {
      rcu_grace_period: (e) => {
        if (/^cpu(onl|ofl)$/.test(k.log.text(e.c))) this.hotplug = true;
      },
    };
    this.checkShape();
  }

  look(e: Seen): void {
    const rsp = rcu_state(this.k);
    const takesOver = [this.lastState, rsp.gp_state].some((s) => s === RCU_GP_DONE_GPS || s === RCU_GP_ONOFF);
    this.lastState = rsp.gp_state;
    for (let i = 0; i < rsp.node.length; i++) {
      const rnp = rsp.node[i];
      if (!this.next[i].equals(rnp.qsmaskinitnext)) {
        if (!this.hotplug) this.changed(e, rnp, "qsmaskinitnext");
        this.next[i].set(rnp.qsmaskinitnext);
      }
      if (!this.init[i].equals(rnp.qsmaskinit)) {
        if (!takesOver && !this.hotplug) this.changed(e, rnp, "qsmaskinit");
        this.init[i].set(rnp.qsmaskinit);
      }
    }
  }

  private changed(e: Seen, rnp: rcu_node, mask: string): void {
    const node = `of the node of CPUs ${rnp.grplo}-${rnp.grphi}`;
    this.findings.violated(
      "P72",
      e.seq,
      `${mask} ${node} changed in gp_state ${rcu_state(this.k).gp_state}, event ${e.seq}`,
    );
  }

  finish(): void {
    this.checkShape();
  }

  private checkShape(): void {
    const { k } = this;
    const { node, leaves } = rcu_state(k);
    for (let cpu = 0; cpu < k.config.cpus; cpu++) {
      const homes = leaves.filter((rnp) => rnp.grplo <= cpu && cpu <= rnp.grphi);
      if (homes.length !== 1 || homes[0] !== per_cpu_ptr(k, rcu_data, cpu).mynode) {
        this.misshapen(`CPU ${cpu} is in ${homes.length} leaves`);
      }
    }
    for (const parent of node) this.checkChildren(parent, node.filter((rnp) => rnp.parent === parent));
  }

  private checkChildren(parent: rcu_node, children: readonly rcu_node[]): void {
    if (children.length === 0) return;
    const where = `the node of CPUs ${parent.grplo}-${parent.grphi}`;
    const bits = new Ulong64();
    let at = parent.grplo;
    for (const child of children) {
      if (child.grplo !== at) this.misshapen(`${where} has a gap or an overlap at CPU ${at}`);
      if (bits.intersects(child.grpmask) || child.grpmask.weight() !== 1) {
        this.misshapen(`two children of ${where} share a bit`);
      }
      bits.or(child.grpmask);
      at = child.grphi + 1;
    }
    if (at !== parent.grphi + 1) this.misshapen(`the children of ${where} end at CPU ${at - 1}`);
  }

  private misshapen(text: string): void {
    this.findings.violated("P58", this.k.seq, text);
  }
}
