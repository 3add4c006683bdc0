// SPDX-License-Identifier: GPL-2.0-only
/**
 * Batches of callbacks of tree RCU.
 *
 * P40: a batch on a CPU that has something else to do ends at its limit. P39, its second half: few callbacks are left,
 * and the raised limit is down again. (Its first half, that a flood forces a grace period, is a unit test.)
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import { per_cpu_ptr } from "../../kernel/static.ts";
import { rcu_segcblist_n_cbs } from "../../rcu/rcu_segcblist.ts";
import { blimit, DEFAULT_MAX_RCU_BLIMIT, qlowmark, rcu_data } from "../../rcu/tree.ts";
import type { Findings, Monitor, Seen } from "./monitor.ts";

export class Batches implements Monitor {
  /** Limit of the batch that runs, by CPU. */
  private readonly limits = new Map<number, number>();
  readonly on: Monitor["on"];

  /** `live`: the machine stands where the events are. */
  constructor(private readonly k: Kernel, private readonly findings: Findings, live: boolean) {
    this.on = {
      rcu_batch_start: (e) => {
        this.limits.set(e.cpu, e.c);
      },
      rcu_batch_end: (e) => this.end(e),
      ...(live
        ? {
          rcu_utilization: (e: Seen) => {
            if (k.log.text(e.a) === "End RCU core") this.coreEnds(e);
          },
        }
        : {}),
    };
  }

  private end(e: Seen): void {
    const limit = this.limits.get(e.cpu);
    const idle = e.e === 1;
    if (limit === undefined || e.b <= limit || idle) return;
    const text = `${e.b} callbacks in a batch of ${limit} on busy CPU ${e.cpu}, event ${e.seq}`;
    this.findings.violated("P40", e.seq, text);
  }

  private coreEnds(e: Seen): void {
    const rdp = per_cpu_ptr(this.k, rcu_data, e.cpu);
    const left = rcu_segcblist_n_cbs(rdp.cblist);
    if (rdp.blimit < DEFAULT_MAX_RCU_BLIMIT || left > qlowmark(this.k)) return;
    if (blimit(this.k) >= DEFAULT_MAX_RCU_BLIMIT) return;
    const text = `the limit of CPU ${e.cpu} is ${rdp.blimit} with ${left} callbacks left, event ${e.seq}`;
    this.findings.violated("P39", e.seq, text);
  }
}
