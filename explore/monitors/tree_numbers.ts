// SPDX-License-Identifier: GPL-2.0-only
/**
 * The numbers of grace periods in rcu_state, the nodes and the CPUs.
 *
 * P59, the silent half: rcu_state.gp_seq is what the events of grace periods say. P60: a node shows the number of the
 * grace period that runs or, as far as its start or end has not come, the one before; a child is never ahead of its
 * parent. P66: a CPU is never ahead of its leaf.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import { per_cpu_ptr } from "../../kernel/static.ts";
import { rcu_seq_endval, rcu_seq_state } from "../../rcu/rcu.ts";
import { rcu_data, rcu_state } from "../../rcu/tree.ts";
import {
  RCU_GP_CLEANUP,
  RCU_GP_DONE_GPS,
  RCU_GP_INIT,
  RCU_GP_ONOFF,
  type rcu_node,
} from "../../rcu/tree_types.ts";
import type { GracePeriods } from "./grace_periods.ts";
import type { Findings, Monitor, Seen } from "./monitor.ts";

/** Whether a node may show `shown` while rcu_state has `gp_seq`. */
function mayShow(shown: number, gp_seq: number, gp_state: number): boolean {
  const idle = rcu_seq_state(gp_seq) === 0;
  switch (idle ? -1 : gp_state) {
    case RCU_GP_DONE_GPS:
    case RCU_GP_ONOFF:
      return shown === gp_seq - 1;
    case RCU_GP_INIT:
      return shown === gp_seq - 1 || shown === gp_seq;
    case RCU_GP_CLEANUP:
      return shown === gp_seq || shown === rcu_seq_endval(gp_seq);
    default:
      return shown === gp_seq;
  }
}

export class TreeNumbers implements Monitor {
  private endsNow = false;
  readonly on: Monitor["on"];

  constructor(
    private readonly k: Kernel,
    private readonly gp: GracePeriods,
    private readonly findings: Findings,
  ) {
    this.on = {
      rcu_grace_period: (e) => {
        this.endsNow = k.log.text(e.c) === "end"; // the number changes right after that event
      },
    };
  }

  look(e: Seen): void {
    const { k } = this;
    const rsp = rcu_state(k);
    if (!this.endsNow && rsp.gp_seq !== this.gp.gp_seq) {
      const text = `rcu_state.gp_seq is ${rsp.gp_seq}, the events say ${this.gp.gp_seq}, event ${e.seq}`;
      this.findings.violated("P59", e.seq, text);
    }
    this.endsNow = false;
    for (const rnp of rsp.node) {
      if (rnp.lock.owner === null) this.lookAtNode(e, rnp, rsp.gp_seq, rsp.gp_state);
    }
    for (let cpu = 0; cpu < k.config.cpus; cpu++) {
      const rdp = per_cpu_ptr(k, rcu_data, cpu);
      if (rdp.gp_seq <= rdp.mynode.gp_seq || rdp.gpwrap) continue;
      this.findings.violated(
        "P66",
        e.seq,
        `CPU ${cpu} is at ${rdp.gp_seq}, its leaf at ${rdp.mynode.gp_seq}, event ${e.seq}`,
      );
    }
  }

  private lookAtNode(e: Seen, rnp: rcu_node, gp_seq: number, gp_state: number): void {
    const ahead = rnp.parent !== null && rnp.gp_seq > rnp.parent.gp_seq;
    if (mayShow(rnp.gp_seq, gp_seq, gp_state) && !ahead) return;
    const shows = `the node of CPUs ${rnp.grplo}-${rnp.grphi} shows ${rnp.gp_seq}`;
    const why = ahead ? `its parent ${rnp.parent?.gp_seq}` : `rcu_state ${gp_seq} in gp_state ${gp_state}`;
    this.findings.violated("P60", e.seq, `${shows}, ${why}, event ${e.seq}`);
  }
}
