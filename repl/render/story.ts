// SPDX-License-Identifier: GPL-2.0-only
// What happened in a run, as far as it matters to a grace period: the data behind the timeline.
//
// Ours. A first pass over the records finds what each callback frees; the second makes the rows. An object is followed
// from kvfree_rcu() or call_rcu() to its free; what a callback frees counts as queued when the callback was, so that the
// array behind a stub has a lane too. Invariant: everything is read from records; a row stands for the record it names.

import { kallsyms_lookup } from "../../kernel/kallsyms.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { formatAddr } from "../../kernel/machine/addr.ts";
import { type EventRecord, FLAG_HARDIRQ } from "../../kernel/machine/log.ts";
import { RCU_SOFTIRQ } from "../../kernel/softirq.ts";
import { CONSOLE_EVENT } from "../../kernel/trace/events/printk.ts";
import { MARK_EVENT, READ_LOCK_EVENT, READ_UNLOCK_EVENT } from "../../kernel/trace/events/quiesce.ts";
import { SCHED_SWITCH_EVENT } from "../../kernel/trace/events/sched.ts";
import type { TraceView } from "../../kernel/trace/trace_event.ts";
import type { SiteTable } from "../sites.ts";
import { eventId, type Touch, touchOf } from "./allocations.ts";

/** An object that waited for a grace period, or waits. Times are virtual ns. */
export interface Waiter {
  readonly addr: number;
  readonly queued: EventRecord;
  /** By a callback, not in a batch of kvfree_rcu(). */
  readonly callback: boolean;
  /** Tasks that were in a read-side section when it was queued. */
  readonly readers: readonly string[];
  /** Its size and who allocated it: `24 bytes, add_new_gdb`; empty when that was before the part told. */
  readonly what: string;
  timer?: number;
  /** The batch went to RCU. */
  closed?: number;
  /** The grace period ended. */
  over?: number;
  ender?: string;
  freed?: EventRecord;
}

/** The lane of what RCU does by itself. */
export const RCU_LANE = -1;

/** One row of the timeline. */
export interface Row {
  readonly record: EventRecord;
  /** Pid of the lane, or `RCU_LANE`. */
  readonly lane: number;
  symbol: string;
  readonly text: string;
  readonly queues: readonly Waiter[];
  readonly frees: Waiter | undefined;
  /** How many read-side sections stand in this row; 0 for other rows. */
  sections: number;
}

/** A run, or a part of one. */
export interface Story {
  readonly rows: readonly Row[];
  readonly waiters: readonly Waiter[];
}

const TIMER_START = eventId("timer_start");
const TIMER_EXPIRE_ENTRY = eventId("timer_expire_entry");
const EXECUTE_START = eventId("workqueue_execute_start");
const SOFTIRQ_RAISE = eventId("softirq_raise");
const SOFTIRQ_EXIT = eventId("softirq_exit");

/** Tells what the records from event `from` to event `to` say. */
export function storyOf(k: Kernel, view: TraceView, sites: SiteTable, from: number, to: number): Story {
  const records = [...k.log.records(from)].filter((r) => r.seq <= to);
  return new StoryTeller(k, view, sites, records).tell();
}

/** Addresses that the callback queued at each call_rcu() freed, by number of that event. */
function freedByCallbacks(records: readonly EventRecord[]): ReadonlyMap<number, readonly number[]> {
  const found = new Map<number, number[]>();
  const queued = new Map<number, number>();
  const running = new Map<number, number[]>(); // by CPU
  for (const r of records) {
    const touch = touchOf(r);
    if (touch?.kind === "queued") queued.set(touch.addr, r.seq);
    else if (touch?.kind === "invoked") {
      const frees: number[] = [];
      running.set(r.cpu, frees);
      const seq = queued.get(touch.addr);
      if (seq !== undefined) found.set(seq, frees);
    } else if (touch?.kind === "freed" && touch.addr !== 0 && touch.by !== "mm_page_free") {
      running.get(r.cpu)?.push(touch.addr);
    } else if (r.kind === SOFTIRQ_EXIT) running.delete(r.cpu);
  }
  return found;
}

class StoryTeller {
  private readonly rows: Row[] = [];
  private readonly waiters: Waiter[] = [];
  private readonly waiting = new Map<number, Waiter>();
  private readonly callbackFrees: ReadonlyMap<number, readonly number[]>;
  private readonly allocated = new Map<number, string>();
  private readonly reading = new Map<number, Row>();
  private readonly batchTimers = new Set<number>();
  private armsSoon = false;
  /** Waiters of the batch that collects, and those whose grace period has begun. */
  private collecting: Waiter[] = [];
  private inGracePeriod: Waiter[] = [];
  private readonly reports: ReadonlyMap<number, string>;

  constructor(
    private readonly k: Kernel,
    private readonly view: TraceView,
    private readonly sites: SiteTable,
    private readonly records: readonly EventRecord[],
  ) {
    this.callbackFrees = freedByCallbacks(records);
    this.reports = new Map(k.reports.map((report) => [report.seq, report.title]));
  }

  tell(): Story {
    this.records.forEach((r, i) => this.take(r, i));
    return { rows: this.rows, waiters: this.waiters };
  }

  private take(r: EventRecord, i: number): void {
    const touch = touchOf(r);
    if (touch?.kind === "allocated") {
      const by = this.sites.nameOf(r);
      this.allocated.set(touch.addr, `${touch.size} bytes${by === "" ? "" : `, ${by}`}`);
    } else if (touch?.kind === "queued") this.queue(r, touch);
    else if (touch?.kind === "freed") this.free(r, touch.addr, touch.by);
    else if (touch?.kind === "invoked" && !this.isRcuWork(touch.func)) {
      const what = touch.func < 4096
        ? `frees ${formatAddr(touch.addr - touch.func)}`
        : this.symbol(touch.func);
      this.row(r, RCU_LANE, "c", `callback: ${what}`);
    } else {
      switch (r.kind) {
        case READ_LOCK_EVENT:
          if (r.args[0] === 1) this.reading.set(r.task, this.row(r, r.task, "R", "", [], undefined, 1));
          break;
        case READ_UNLOCK_EVENT:
          if (r.args[0] === 0) this.leave(r);
          break;
        case MARK_EVENT:
          this.row(r, r.task, "*", this.k.log.text(r.args[0]));
          break;
        case CONSOLE_EVENT:
          this.console(r);
          break;
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
  }

  private row(
    record: EventRecord,
    lane: number,
    symbol: string,
    text: string,
    queues: readonly Waiter[] = [],
    frees: Waiter | undefined = undefined,
    sections = 0,
  ): Row {
    const row: Row = { record, lane, symbol, text, queues, frees, sections };
    this.rows.push(row);
    return row;
  }

  /** The end of an outermost read-side section. */
  private leave(r: EventRecord): void {
    const row = this.reading.get(r.task);
    this.reading.delete(r.task);
    if (row === undefined) return;
    if (this.rows.at(-1) !== row) {
      row.symbol = "[";
      this.row(r, r.task, "]", "");
      return;
    }
    const before = this.rows.at(-2);
    if (before === undefined || before.sections === 0 || before.symbol !== "R" || before.lane !== row.lane) {
      return;
    }
    before.sections++;
    this.rows.pop();
  }

  private queue(r: EventRecord, touch: Touch & { kind: "queued" }): void {
    if (touch.by === "kvfree_rcu") {
      this.armsSoon = true;
      const waiter = this.waiter(r, touch.addr, false);
      this.collecting.push(waiter);
      this.row(r, r.task, "Q", `kvfree_rcu(${formatAddr(touch.addr)})`, [waiter]);
    } else if (this.isRcuWork(touch.func)) {
      for (const waiter of this.collecting) waiter.closed = r.ns;
      this.inGracePeriod.push(...this.collecting);
      this.collecting = [];
      this.row(r, RCU_LANE, "g", "the batch is closed, a grace period begins");
    } else if (touch.func < 4096) {
      this.row(r, r.task, "Q", "no block for it: call_rcu() of its head");
    } else {
      const frees = this.callbackFrees.get(r.seq);
      const queues = (frees ?? [touch.addr]).map((addr) => this.waiter(r, addr, true));
      this.inGracePeriod.push(...queues);
      this.row(r, r.task, "Q", `call_rcu(${this.symbol(touch.func)})`, queues);
    }
  }

  private waiter(queued: EventRecord, addr: number, callback: boolean): Waiter {
    const readers = [...this.reading.keys()].map((pid) => this.view.comm(pid));
    const waiter: Waiter = { addr, queued, callback, readers, what: this.allocated.get(addr) ?? "" };
    this.waiters.push(waiter);
    this.waiting.set(addr, waiter);
    return waiter;
  }

  private free(r: EventRecord, addr: number, by: string): void {
    const waiter = this.waiting.get(addr);
    if (waiter !== undefined) {
      this.waiting.delete(addr);
      waiter.freed = r;
      const at = this.collecting.indexOf(waiter);
      if (at >= 0) this.collecting.splice(at, 1); // freed on the spot: no block could be had
      this.row(r, at >= 0 ? r.task : RCU_LANE, "F", `${by}(${formatAddr(addr)})`, [], waiter);
    } else if (addr === 0 && this.sites.isUserCode(r)) {
      this.row(r, r.task, "f", `${by}(NULL) in ${this.sites.nameOf(r)}()`);
    }
  }

  private timer(r: EventRecord): void {
    const [timer, a, b, c] = r.args;
    const fn = this.symbol(r.kind === TIMER_START ? a : b);
    if (fn !== "delayed_work_timer_fn") return;
    if (r.kind === TIMER_START) {
      if (!this.armsSoon) return;
      this.batchTimers.add(timer);
      this.row(r, RCU_LANE, "t", `batch timer armed: ${b - c} jiffies`);
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

  /** Tiny RCU raises its softirq at the moment a grace period ends, and nowhere else. */
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

  private console(r: EventRecord): void {
    const text = this.k.log.text(r.args[0]);
    const title = this.reports.get(r.seq);
    if (title !== undefined) this.row(r, r.task, "!", title);
    else if (/^rule \d+: /.test(text)) {
      this.row(r, r.task, "!", `made to fail: ${text.replace(/^rule \d+: /, "")}`);
    }
  }

  private symbol(addr: number): string {
    return kallsyms_lookup(this.k, addr);
  }

  private isRcuWork(func: number): boolean {
    return func >= 4096 && this.symbol(func) === "rcu_work_rcufn";
  }
}
