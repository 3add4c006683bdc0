// SPDX-License-Identifier: GPL-2.0-only
// The story of a run on tiny RCU: a batch that collects, a batch that waits, and whatever switch ends a grace period.
//
// Ours. Tiny RCU raises its softirq at the moment a grace period ends, and nowhere else. Invariant: as in story.ts.

import { formatAddr } from "../../kernel/machine/addr.ts";
import { type EventRecord, FLAG_HARDIRQ } from "../../kernel/machine/log.ts";
import { RCU_SOFTIRQ } from "../../kernel/softirq.ts";
import { SCHED_SWITCH_EVENT } from "../../kernel/trace/events/sched.ts";
import { eventId, type Touch } from "./allocations.ts";
import { RCU_LANE, StoryTeller, type Waiter } from "./story.ts";
import { count } from "./verdict.ts";

const TIMER_START = eventId("timer_start");
const TIMER_EXPIRE_ENTRY = eventId("timer_expire_entry");
const EXECUTE_START = eventId("workqueue_execute_start");
const SOFTIRQ_RAISE = eventId("softirq_raise");

/** Tells what happened on tiny RCU. */
export class TinyTeller extends StoryTeller {
  private readonly batchTimers = new Set<number>();
  private armsSoon = false;
  /** Waiters of the batch that collects, and those whose grace period has begun. */
  private collecting: Waiter[] = [];
  private inGracePeriod: Waiter[] = [];

  protected override queueKvfree(r: EventRecord, addr: number): void {
    this.armsSoon = true;
    const waiter = this.waiter(r, addr, false);
    this.collecting.push(waiter);
    this.row(r, r.task, "Q", `kvfree_rcu(${formatAddr(addr)})`, { queues: [waiter] });
  }

  protected override queueBatch(r: EventRecord): void {
    for (const waiter of this.collecting) waiter.closed = r.ns;
    this.inGracePeriod.push(...this.collecting);
    this.collecting = [];
    this.row(r, RCU_LANE, "g", "the batch is closed, a grace period begins");
  }

  protected override queueCallback(_r: EventRecord, _head: number, waiters: readonly Waiter[]): void {
    this.inGracePeriod.push(...waiters);
  }

  protected override invoke(r: EventRecord, { addr, func }: Touch & { kind: "invoked" }): void {
    if (this.isRcuWork(func)) return;
    this.row(
      r,
      RCU_LANE,
      "c",
      `callback: ${func < 4096 ? `frees ${formatAddr(addr - func)}` : this.symbol(func)}`,
    );
  }

  protected override freeByRcu(_r: EventRecord, waiter: Waiter): boolean {
    const at = this.collecting.indexOf(waiter);
    if (at < 0) return true;
    this.collecting.splice(at, 1); // freed on the spot: no block could be had
    return false;
  }

  protected override other(r: EventRecord, i: number): void {
    switch (r.kind) {
      case SCHED_SWITCH_EVENT:
        this.armsSoon = false;
        break;
      case TIMER_START:
      case TIMER_EXPIRE_ENTRY:
        this.timer(r);
        break;
      case EXECUTE_START:
        this.work(r);
        break;
      case SOFTIRQ_RAISE:
        if (r.args[0] === RCU_SOFTIRQ) this.quiescentState(r, i);
        break;
    }
  }

  private timer(r: EventRecord): void {
    const [timer, a, b, c] = r.args;
    const fn = this.symbol(r.kind === TIMER_START ? a : b);
    if (fn !== "delayed_work_timer_fn") return;
    if (r.kind === TIMER_START) {
      if (!this.armsSoon) return;
      this.batchTimers.add(timer);
      this.row(r, RCU_LANE, "t", `batch timer armed: ${count(b - c, "jiffy", "jiffies")}`);
    } else if (this.batchTimers.has(timer)) {
      for (const waiter of this.collecting) waiter.timer ??= r.ns;
      this.row(r, RCU_LANE, "t", "batch timer fires");
    }
  }

  private work(r: EventRecord): void {
    const fn = this.symbol(r.args[1]);
    if (!/^kv?free_rcu_(monitor|work)$/.test(fn)) return;
    this.armsSoon = fn.endsWith("monitor");
    this.row(r, RCU_LANE, "w", `${fn} on ${this.view.comm(r.task)}`);
  }

  private quiescentState(r: EventRecord, i: number): void {
    if (this.inGracePeriod.length === 0) return;
    const ender = (r.flags & FLAG_HARDIRQ) !== 0 ? "the tick in user mode" : this.switchAfter(r, i);
    for (const waiter of this.inGracePeriod) {
      waiter.over = r.ns;
      waiter.ender = ender;
    }
    this.inGracePeriod = [];
    this.row(r, RCU_LANE, "g", `the grace period is over: ${ender}`);
  }

  private switchAfter(r: EventRecord, i: number): string {
    const next = this.records.slice(i, i + 16).find((s) => s.kind === SCHED_SWITCH_EVENT && s.cpu === r.cpu);
    if (next === undefined) return "a quiescent state";
    return `switch from ${this.k.log.text(next.args[0])} to ${this.k.log.text(next.args[4])}`;
  }
}
