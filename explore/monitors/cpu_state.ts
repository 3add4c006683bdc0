// SPDX-License-Identifier: GPL-2.0-only
/**
 * What a CPU knows of itself, for tree RCU.
 *
 * P67: a CPU that thinks it owes a quiescent state is waited for by its leaf, unless it was credited as idle; and one
 * that has noted a quiescent state has passed one since it noticed the grace period. P70: the counter says idle exactly
 * when both nesting counts are 0, and its special bit is never set.
 *
 * P67 is looked at while the leaf's lock is free; P70 not on the CPU that is just tracing its change.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import { per_cpu_ptr } from "../../kernel/static.ts";
import { rcu_data, rcu_state } from "../../rcu/tree.ts";
import {
  type rcu_data as RcuData,
  RCU_DYNTICK_CTRL_CTR,
  RCU_DYNTICK_CTRL_MASK,
} from "../../rcu/tree_types.ts";
import type { Findings, Monitor, Seen } from "./monitor.ts";

export class CpuState implements Monitor {
  /** CPUs that passed no quiescent state since they noticed the grace period. */
  private readonly noQs = new Set<number>();
  /** CPUs that were credited as idle in this grace period. */
  private readonly credited = new Set<number>();
  /** The CPU whose counters are about to change. */
  private changing = -1;
  readonly on: Monitor["on"];

  constructor(private readonly k: Kernel, private readonly findings: Findings) {
    this.on = {
      rcu_grace_period: (e) => {
        const event = k.log.text(e.c);
        if (event === "start") this.credited.clear();
        else if (event === "cpustart") this.noQs.add(e.cpu);
        else if (event === "cpuqs") this.noQs.delete(e.cpu);
      },
      rcu_fqs: (e) => {
        this.credited.add(e.c);
      },
      rcu_dyntick: (e) => {
        this.changing = e.cpu;
      },
      console: (e) => { // a warning out of the middle
        this.changing = e.cpu;
      },
    };
  }

  look(e: Seen): void {
    const { k } = this;
    for (let cpu = 0; cpu < k.config.cpus; cpu++) {
      const rdp = per_cpu_ptr(k, rcu_data, cpu);
      if (rdp.mynode.lock.owner === null) this.lookAtQs(e, rdp);
      if (cpu !== this.changing) this.lookAtDynticks(e, rdp);
    }
    this.changing = -1;
  }

  private lookAtQs(e: Seen, rdp: RcuData): void {
    if (!rdp.core_needs_qs) return;
    const { cpu, mynode } = rdp;
    if (
      rdp.gp_seq === mynode.gp_seq && mynode.gp_seq === rcu_state(this.k).gp_seq &&
      !mynode.qsmask.intersects(rdp.grpmask) && !this.credited.has(cpu)
    ) {
      const text = `CPU ${cpu} owes a quiescent state for which its leaf does not wait, event ${e.seq}`;
      this.findings.violated("P67", e.seq, text);
    }
    if (rdp.cpu_no_qs.norm || !this.noQs.has(cpu)) return;
    const text =
      `CPU ${cpu} has noted a quiescent state and passed none since it noticed ${rdp.gp_seq}, event ${e.seq}`;
    this.findings.violated("P67", e.seq, text);
  }

  private lookAtDynticks(e: Seen, rdp: RcuData): void {
    const idle = (rdp.dynticks & RCU_DYNTICK_CTRL_CTR) === 0;
    const special = (rdp.dynticks & RCU_DYNTICK_CTRL_MASK) !== 0;
    const { dynticks_nesting: nesting, dynticks_nmi_nesting: nmi } = rdp;
    if (idle === (nesting === 0 && nmi === 0) && !special) return;
    const text =
      `CPU ${rdp.cpu}: dynticks ${rdp.dynticks} with nesting ${nesting} and ${nmi}, event ${e.seq}`;
    this.findings.violated("P70", e.seq, text);
  }
}
