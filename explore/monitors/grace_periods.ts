// SPDX-License-Identifier: GPL-2.0-only
/**
 * Grace periods of tree RCU as its events tell them.
 *
 * P1, P7: none ends while a reader from before its start reads. P59: start and end alternate, and only the grace-period
 * thread makes them. P60, the order part: each node is reached once, root first, at the start and at the end. P75: the
 * thread goes through its states in order. P28 is counted: a grace period that ended beside a younger reader did not wait
 * for too much.
 *
 * What the other monitors need is kept here: the number that runs, when it started, and when the last one had started that
 * has ended: by the nodes' account, who learn of the end before rcu_state does.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import { rcu_seq_state } from "../../rcu/rcu.ts";
import { rcu_state } from "../../rcu/tree.ts";
import { RCU_GP_CLEANUP } from "../../rcu/tree_types.ts";
import type { Findings, Monitor, Seen } from "./monitor.ts";
import type { Readers } from "./readers.ts";

/** What may follow what in the thread. */
const FOLLOWS: Readonly<Record<string, readonly string[]>> = {
  reqwait: ["start", "reqwaitsig"],
  reqwaitsig: ["reqwait"],
  start: ["fqswait"],
  fqswait: ["fqsstart", "fqswaitsig", "end"],
  fqsstart: ["fqsend"],
  fqsend: ["fqswait"],
  fqswaitsig: ["fqswait"],
  end: ["reqwait"],
};

export class GracePeriods implements Monitor {
  /** Event that started the grace period, and whether that was seen. */
  startedAt = 0;
  private known: boolean;
  private last = "";
  /** Nodes that the start, or the end, has reached. */
  private reached = 0;
  private ending = false;
  /** Grace periods that ended, and those that ended while a younger reader was open (P28). */
  ended = 0;
  endedBesideReader = 0;
  /** Event that started the last one whose end has reached a node; 0 when that was before the run. */
  lastWholeStart = 0;
  /** Event with which the grace period that runs reached the root. */
  private atRoot = 0;
  /** The same of the last one whose end has reached a node. */
  private lastAtRoot = 0;
  readonly on: Monitor["on"];

  constructor(
    private readonly k: Kernel,
    private readonly readers: Readers,
    private readonly findings: Findings,
    public gp_seq: number,
  ) {
    this.known = rcu_seq_state(gp_seq) === 0;
    this.on = {
      rcu_grace_period: (e) => this.gracePeriod(e, k.log.text(e.c)),
      rcu_grace_period_init: (e) => {
        if (e.c === 0) this.atRoot = e.seq;
        if (this.known) this.reachNode(e, e.c, e.d, "start");
      },
      rcu_future_grace_period: (e) => {
        if (k.log.text(e.g).startsWith("Cleanup") && rcu_seq_state(this.gp_seq) !== 0) this.endsAtNode(e);
      },
    };
  }

  /**
   * Event at which the last grace period started that is over for polling: it may be before a node knows. `root`: as the
   * root saw it start, which is when the first CPU can be found quiescent.
   */
  lastPolled(root: boolean): number {
    if (rcu_state(this.k).gp_state === RCU_GP_CLEANUP) return root ? this.atRoot : this.startedAt;
    return root ? this.lastAtRoot : this.lastWholeStart;
  }

  private gracePeriod(e: Seen, event: string): void {
    if (!Object.hasOwn(FOLLOWS, event)) return;
    this.order(e, event);
    if (event === "start") this.start(e);
    else if (event === "end") this.end(e);
    else if (event === "fqswait" && this.last === "start" && this.known) this.allReached(e, "start");
    this.last = event;
  }

  private order(e: Seen, event: string): void {
    if (this.last !== "" && !FOLLOWS[this.last].includes(event)) {
      this.findings.violated(
        "P75",
        e.seq,
        `the grace-period thread goes from ${this.last} to ${event}, event ${e.seq}`,
      );
    }
    const thread = rcu_state(this.k).gp_kthread;
    if (thread !== null && e.task !== thread.pid) {
      this.findings.violated(
        "P59",
        e.seq,
        `"${event}" by task ${e.task}, not the grace-period thread, event ${e.seq}`,
      );
    }
  }

  private start(e: Seen): void {
    if (e.b !== this.gp_seq + 1 || rcu_seq_state(this.gp_seq) !== 0) {
      this.findings.violated("P59", e.seq, `grace period ${e.b} starts after ${this.gp_seq}, event ${e.seq}`);
    }
    this.gp_seq = e.b;
    this.startedAt = e.seq;
    this.known = true;
    this.reached = 0;
    this.ending = false;
  }

  private end(e: Seen): void {
    if (e.b !== this.gp_seq || rcu_seq_state(this.gp_seq) === 0) {
      this.findings.violated(
        "P59",
        e.seq,
        `grace period ${e.b} ends while ${this.gp_seq} runs, event ${e.seq}`,
      );
    }
    if (this.known) this.allReached(e, "end");
    const old = this.readers.before(this.startedAt);
    if (old > 0) {
      this.findings.violated(
        "P1",
        e.seq,
        `grace period ${e.b} (events ${this.startedAt} to ${e.seq}) ends before the reader of event ${old}`,
      );
    }
    if (this.readers.since(this.startedAt) > 0) this.endedBesideReader++;
    this.gp_seq = e.b + 3;
    this.ended++;
  }

  private endsAtNode(e: Seen): void {
    if (!this.ending) {
      this.ending = true;
      this.reached = 0;
      this.lastWholeStart = this.startedAt;
      this.lastAtRoot = this.atRoot;
    }
    if (this.known) this.reachNode(e, e.d, e.e, "end");
  }

  private reachNode(e: Seen, level: number, grplo: number, what: string): void {
    const rnp = rcu_state(this.k).node[this.reached++];
    if (rnp !== undefined && rnp.level === level && rnp.grplo === grplo) return;
    const node = `the node of level ${level} at CPU ${grplo}`;
    this.findings.violated(
      "P60",
      e.seq,
      `the ${what} of ${this.gp_seq} reaches ${node} out of order, event ${e.seq}`,
    );
  }

  private allReached(e: Seen, what: string): void {
    const nodes = rcu_state(this.k).node.length;
    if (this.reached === nodes) return;
    const text =
      `the ${what} of ${this.gp_seq} has reached ${this.reached} of ${nodes} nodes, event ${e.seq}`;
    this.findings.violated("P60", e.seq, text);
  }
}
