// SPDX-License-Identifier: GPL-2.0-only
/**
 * Locks of tree RCU.
 *
 * P71: a CPU holds at most two nodes, one an ancestor of the other; it waits for a node only while it holds none or one
 * below it, and for ofl_lock while it holds none. P53: nobody is woken by a CPU that holds a node.
 *
 * What is seen are the moments of events: who holds and who spins. Left for later: exp_lock, exp_mutex and exp_wake_mutex
 * of expedited grace periods.
 *
 * @module
 */

import type { Cpu, Spinnable } from "../../kernel/machine/cpu.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { rcu_state } from "../../rcu/tree.ts";
import type { rcu_node } from "../../rcu/tree_types.ts";
import type { Findings, Monitor, Seen } from "./monitor.ts";

function isAncestor(above: rcu_node, below: rcu_node): boolean {
  for (let rnp = below.parent; rnp !== null; rnp = rnp.parent) if (rnp === above) return true;
  return false;
}

function nodeText(rnp: rcu_node): string {
  return `${rnp.grplo}-${rnp.grphi} (level ${rnp.level})`;
}

export class Locks implements Monitor {
  private readonly nodeOf: ReadonlyMap<Spinnable, rcu_node>;
  readonly on: Monitor["on"];

  constructor(private readonly k: Kernel, private readonly findings: Findings) {
    this.nodeOf = new Map(rcu_state(k).node.map((rnp) => [rnp.lock, rnp]));
    this.on = { sched_waking: (e) => this.wakes(e) };
  }

  private wakes(e: Seen): void {
    const held = rcu_state(this.k).node.find((rnp) => rnp.lock.owner === this.k.cpu);
    if (held === undefined) return;
    const text = `CPU ${e.cpu} wakes task ${e.b} with node ${nodeText(held)} locked, event ${e.seq}`;
    this.findings.violated("P53", e.seq, text);
  }

  look(e: Seen): void {
    const { node, ofl_lock } = rcu_state(this.k);
    let held: rcu_node[] | null = null;
    for (const rnp of node) if (rnp.lock.owner !== null) (held ??= []).push(rnp);
    if (held === null) return;
    for (let i = 0; i < held.length; i++) {
      const cpu = held[i].lock.owner as Cpu;
      for (let j = i + 1; j < held.length; j++) {
        if (held[j].lock.owner === cpu && !isAncestor(held[i], held[j])) {
          this.wrong(e, cpu, `holds nodes ${nodeText(held[i])} and ${nodeText(held[j])}`);
        }
      }
      this.lookAtWait(e, cpu, held[i], ofl_lock);
    }
  }

  private lookAtWait(e: Seen, cpu: Cpu, holds: rcu_node, ofl_lock: Spinnable): void {
    if (cpu.blockedOn === null || cpu.blockedOn === holds.lock) return; // it was just handed over
    if (cpu.blockedOn === ofl_lock) {
      this.wrong(e, cpu, `waits for ofl_lock with node ${nodeText(holds)} locked`);
    }
    const wanted = this.nodeOf.get(cpu.blockedOn);
    if (wanted === undefined || wanted.lock.owner === cpu || isAncestor(wanted, holds)) return;
    this.wrong(e, cpu, `waits for node ${nodeText(wanted)} with node ${nodeText(holds)} locked`);
  }

  private wrong(e: Seen, cpu: Cpu, text: string): void {
    this.findings.violated("P71", e.seq, `CPU ${cpu.id} ${text}, event ${e.seq}`);
  }
}
