// SPDX-License-Identifier: GPL-2.0-only
/**
 * Callbacks from call_rcu() to their invocation.
 *
 * P3: not before every reader that was open at the call has ended. P4: not before a whole grace period (tree RCU). P24:
 * each CPU's in the order of queueing, on that CPU. P25: exactly once, and none that was not queued; at the end of a run
 * that comes to rest none is left.
 *
 * Left out: that func is zero during the call (a unit test does that); migration, for there is no hotplug yet.
 *
 * @module
 */

import { kallsyms_lookup } from "../../kernel/kallsyms.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { AddressTable } from "./address_table.ts";
import type { GracePeriods } from "./grace_periods.ts";
import type { Findings, Monitor, RunEnd, Seen } from "./monitor.ts";
import { addressText, type Readers } from "./readers.ts";

/** Calls on one CPU, in order. Those whose callback was invoked are dropped when they have come to the front. */
interface Queue {
  readonly heads: number[];
  readonly calls: number[];
  front: number;
}

/** Dropped entries that may stand in front. */
const SLACK = 4096;

export class Callbacks implements Monitor {
  /** By head: event of the call. */
  private readonly queued: AddressTable;
  private outstanding = 0;
  private readonly queues: Queue[];
  /** Heads that were queued before the run: nothing is known of them. */
  private readonly older: Set<number>;
  invoked = 0;
  readonly on: Monitor["on"];

  constructor(
    private readonly k: Kernel,
    private readonly readers: Readers,
    private readonly gp: GracePeriods | null,
    private readonly findings: Findings,
  ) {
    this.queued = new AddressTable(k.config.memBytes);
    this.queues = k.cpus.map(() => ({ heads: [], calls: [], front: 0 }));
    this.older = new Set(k.rcu.pendingAddresses(k));
    this.on = {
      call_rcu: (e) => this.queue(e, e.a),
      rcu_callback: (e) => this.queue(e, e.b),
      rcu_kvfree_callback: (e) => this.queue(e, e.b),
      rcu_invoke_callback: (e) => this.invoke(e, e.b, e.c),
      rcu_invoke_kvfree_callback: (e) => {
        if (this.queued.get(e.b) !== 0) this.invoke(e, e.b, 0); // otherwise it is of a batch of kvfree_rcu()
      },
    };
  }

  private queue(e: Seen, head: number): void {
    const call = this.queued.get(head);
    if (call === 0) this.outstanding++;
    else {
      const text = `${addressText(head)} is queued by event ${e.seq} while it is queued (event ${call})`;
      this.findings.violated("P25", e.seq, text);
    }
    if (this.older.size > 0) this.older.delete(head);
    this.queued.set(head, e.seq);
    const queue = this.queues[e.cpu];
    queue.heads.push(head);
    queue.calls.push(e.seq);
  }

  private invoke(e: Seen, head: number, func: number): void {
    const call = this.queued.get(head);
    if (call === 0) {
      if (this.older.delete(head) || kallsyms_lookup(this.k, func).startsWith("rcu_barrier_callback")) return;
      this.findings.violated("P25", e.seq, `${addressText(head)} is invoked by event ${e.seq}, not queued`);
      return;
    }
    this.invoked++;
    const inOrder = this.front(this.queues[e.cpu]) === call;
    this.queued.set(head, 0);
    this.outstanding--;
    const early = this.readers.oldest() < call;
    const partial = this.gp !== null && this.gp.lastWholeStart <= call;
    if (early || partial || !inOrder) this.wronglyInvoked(e, head, call, early, partial, inOrder);
  }

  private wronglyInvoked(
    e: Seen,
    head: number,
    call: number,
    early: boolean,
    partial: boolean,
    inOrder: boolean,
  ): void {
    const { findings } = this;
    const what = `${addressText(head)}, queued by event ${call}, is invoked by event ${e.seq}`;
    if (early) {
      findings.violated("P3", e.seq, `${what} before the reader of event ${this.readers.oldest()} ends`);
    }
    if (partial) findings.violated("P4", e.seq, `${what} without a whole grace period in between`);
    if (!inOrder) findings.violated("P24", e.seq, `${what}; it is not the oldest of CPU ${e.cpu}`);
  }

  /** The oldest call of a CPU whose callback was not invoked; 0 when there is none. */
  private front(queue: Queue): number {
    for (; queue.front < queue.heads.length; this.dropFront(queue)) {
      const call = queue.calls[queue.front];
      if (this.queued.get(queue.heads[queue.front]) === call) return call;
    }
    return 0;
  }

  private dropFront(queue: Queue): void {
    queue.front++;
    if (queue.front < SLACK || queue.front * 2 < queue.heads.length) return;
    queue.heads.splice(0, queue.front);
    queue.calls.splice(0, queue.front);
    queue.front = 0;
  }

  /** The oldest call of all whose callback was not invoked; 0 when there is none. */
  oldest(): number {
    if (this.outstanding === 0) return 0;
    return Math.min(...this.queues.map((queue) => this.front(queue)).filter((call) => call > 0));
  }

  finish(end: RunEnd): void {
    const oldest = this.oldest();
    if (!end.idle || oldest === 0) return;
    const text = `${this.outstanding} callbacks are never invoked, the first was queued by event ${oldest}`;
    this.findings.violated("P25", this.k.seq, text);
  }
}
