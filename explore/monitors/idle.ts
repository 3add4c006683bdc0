// SPDX-License-Identifier: GPL-2.0-only
/**
 * Idle CPUs and tree RCU.
 *
 * P12: a CPU that the grace-period thread credits as idle has no reader from before the grace period. P33: no reader
 * begins on a CPU that RCU does not watch. P41: the grace-period thread sends no interrupt to an idle CPU.
 *
 * Left for later: P46 and P48 need readers in interrupts out of idle, and hotplug.
 *
 * @module
 */

import type { Cpu } from "../../kernel/machine/cpu.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { in_interrupt } from "../../kernel/preempt.ts";
import { per_cpu_ptr } from "../../kernel/static.ts";
import { rcu_data, rcu_state } from "../../rcu/tree.ts";
import { RCU_DYNTICK_CTRL_CTR } from "../../rcu/tree_types.ts";
import type { GracePeriods } from "./grace_periods.ts";
import type { Findings, Monitor, Seen } from "./monitor.ts";
import type { Readers } from "./readers.ts";

export class Idle implements Monitor {
  readonly on: Monitor["on"];

  /** `live`: the machine stands where the events are. */
  constructor(
    private readonly k: Kernel,
    private readonly readers: Readers,
    private readonly gp: GracePeriods,
    private readonly findings: Findings,
    live: boolean,
  ) {
    this.on = {
      rcu_fqs: (e) => this.credited(e),
      ...(live ? { rcu_read_lock: (e: Seen) => this.readerBegins(e) } : {}),
    };
  }

  private credited(e: Seen): void {
    const old = this.readers.beforeOn(e.c, this.gp.startedAt);
    if (old === 0) return;
    const text = `CPU ${e.c} is credited as idle by event ${e.seq}, with the reader of event ${old} open`;
    this.findings.violated("P12", e.seq, text);
  }

  private readerBegins(e: Seen): void {
    if (this.k.rcu.rcu_is_watching(this.k)) return;
    this.findings.violated("P33", e.seq, `a reader begins on idle CPU ${e.cpu}, event ${e.seq}`);
  }

  /** An interrupt was sent from the current CPU. */
  ipi(target: Cpu): void {
    const { k } = this;
    if (k.cpu.current !== rcu_state(k).gp_kthread || in_interrupt(k)) return;
    if ((per_cpu_ptr(k, rcu_data, target.id).dynticks & RCU_DYNTICK_CTRL_CTR) !== 0) return;
    this.findings.violated(
      "P41",
      k.seq,
      `the grace-period thread interrupts idle CPU ${target.id} after event ${k.seq}`,
    );
  }
}
