// SPDX-License-Identifier: GPL-2.0-only
/**
 * How much RCU got done in a run, so that a verdict over runs in which nothing happened is seen to be one.
 *
 * Tree RCU counts its grace periods itself. Tiny RCU has only quiescent states, nearly all of which end nothing: there a
 * batch of callbacks counts, one softirq that invoked at least one. Invariant: counting only looks.
 *
 * @module
 */

import type { Observer } from "../../kernel/machine/machine.ts";
import type { RcuChoice } from "../../kernel/config.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { traceEvents } from "../../kernel/trace/table.ts";
import { RCU_SEQ_CTR_SHIFT } from "../../rcu/rcu.ts";
import { rcu_get_gp_seq } from "../../rcu/tree.ts";

/** What is counted, by the name of one; null on a machine without RCU. */
export function progressName(rcu: RcuChoice): string | null {
  if (rcu === "none") return null;
  return rcu === "tree" ? "grace period" : "callback batch";
}

/** Begins to count on a machine whose run has just begun; the result tells the number so far. */
export function progressOf(k: Kernel): () => number {
  if (k.rcu.flavour === "tree") {
    const before = completedGps(k);
    return () => completedGps(k) - before;
  }
  const batches = new Batches(k.observer);
  k.observer = batches;
  return () => batches.count;
}

function completedGps(k: Kernel): number {
  return Math.floor(rcu_get_gp_seq(k) / 2 ** RCU_SEQ_CTR_SHIFT);
}

/** Counts batches, and passes everything on. */
class Batches implements Observer {
  count = 0;
  private invoked = false;

  constructor(private readonly next: Observer | null) {}

  event(kind: number, a: number, b: number, c: number, d: number, e: number, f: number, g: number): void {
    if (INVOKES.has(kind)) this.invoked = true;
    else if (kind === SOFTIRQ_EXIT_ID && this.invoked) {
      this.count++;
      this.invoked = false;
    }
    this.next?.event(kind, a, b, c, d, e, f, g);
  }

  ipi(...args: Parameters<Observer["ipi"]>): void {
    this.next?.ipi(...args);
  }
}

function idsOf(...names: readonly string[]): number[] {
  return traceEvents.filter(({ name }) => names.includes(name)).map(({ id }) => id);
}

const INVOKES: ReadonlySet<number> = new Set(idsOf("rcu_invoke_callback", "rcu_invoke_kvfree_callback"));
const [SOFTIRQ_EXIT_ID] = idsOf("softirq_exit");
