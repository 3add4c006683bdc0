// SPDX-License-Identifier: GPL-2.0-only
/**
 * Waits for grace periods, from call to return.
 *
 * P1: a reader open when synchronize_rcu() is called has ended when it returns. P20: callbacks queued before
 * rcu_barrier() is called have been invoked when it returns; that holds for each of several at a time (P22, those that
 * found the work done are counted). P23: cond_synchronize_rcu() returns, and poll_state_synchronize_rcu() says done, after
 * every reader has ended that was open when the cookie was taken, and a whole grace period after it, unless being able to
 * block is one (one CPU). A cookie of the full form goes by what the root knows: there a grace period starts later.
 *
 * No event tells of these calls; the table of functions through which they go does (watched_ops.ts). A caller's own
 * reader does not count: waiting inside a reader is a mistake that the kernel reports.
 *
 * @module
 */

import type { rcu_gp_oldstate } from "../../kernel/hooks.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { Callbacks } from "./callbacks.ts";
import type { GracePeriods } from "./grace_periods.ts";
import type { Findings, Monitor } from "./monitor.ts";
import { type Readers, taskContext } from "./readers.ts";

/** Calls, as return() takes them. */
export type WaitCall = "synchronize_rcu" | "rcu_barrier";

export class Waits implements Monitor {
  /** Event after which a cookie was last handed out. */
  private readonly cookies = new Map<number, number>();
  /** The same of the full form, by the number of its normal grace period. */
  private readonly fullCookies = new Map<number, number>();
  /** Calls of rcu_barrier() that found their work done by another (P22). */
  shared = 0;
  readonly on: Monitor["on"];

  constructor(
    private readonly k: Kernel,
    private readonly readers: Readers,
    private readonly callbacks: Callbacks,
    private readonly gp: GracePeriods | null,
    private readonly findings: Findings,
  ) {
    this.on = {
      rcu_barrier: (e) => {
        if (k.log.text(e.b) === "EarlyExit") this.shared++;
      },
    };
  }

  /** get_state_synchronize_rcu() or start_poll_synchronize_rcu() has taken `cookie` after event `at`. */
  cookieTaken(cookie: number, at: number): void {
    this.cookies.set(cookie, at);
  }

  /** The same of the full form. */
  fullCookieTaken(rgosp: rcu_gp_oldstate, at: number): void {
    this.fullCookies.set(rgosp.rgos_norm, at);
  }

  /** A wait is over that was called after event `from`. */
  returned(call: WaitCall, from: number): void {
    if (call === "rcu_barrier") this.barrierReturned(from);
    else this.waitedFor("P1", call, from);
  }

  /** `call` found `cookie` done, or waited until it was. */
  cookieDone(call: string, cookie: number): void {
    this.done(call, this.cookies.get(cookie), false);
  }

  /** The same of the full form. */
  fullCookieDone(call: string, rgosp: rcu_gp_oldstate): void {
    this.done(call, this.fullCookies.get(rgosp.rgos_norm), true);
  }

  private waitedFor(property: string, call: string, from: number): void {
    const { k } = this;
    const own = taskContext(k.cpu.id, k.cpu.current.pid);
    const old = this.readers.before(from + 1, own);
    if (old === 0) return;
    const text = `${call}() (events ${from} to ${k.seq}) returns before the reader of event ${old} ends`;
    this.findings.violated(property, k.seq, text);
  }

  private done(call: string, from: number | undefined, full: boolean): void {
    if (from === undefined) return; // the cookie is older than the run, or nobody's
    this.waitedFor("P23", call, from);
    if (this.gp === null || this.k.config.cpus === 1 || this.gp.lastPolled(full) > from) return;
    const text = `${call}() returns after event ${this.k.seq}, no whole grace period since event ${from}`;
    this.findings.violated("P23", this.k.seq, text);
  }

  private barrierReturned(from: number): void {
    const oldest = this.callbacks.oldest();
    if (oldest === 0 || oldest > from) return;
    const { seq } = this.k;
    const text = `rcu_barrier() (events ${from} to ${seq}) returns before the callback of event ${oldest}`;
    this.findings.violated("P20", seq, text);
  }
}
