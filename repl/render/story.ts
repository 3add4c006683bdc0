// SPDX-License-Identifier: GPL-2.0-only
// What happened in a run, as far as it matters to a grace period: the data behind the timeline.
//
// Ours. A first pass over the records finds what each callback frees; the second makes the rows. An object is followed
// from kvfree_rcu() or call_rcu() to its free; what a callback frees counts as queued when the callback was, so that the
// array behind a stub has a lane too. What every RCU has in common is here; what batches and grace periods are is in
// story_tiny.ts and story_tree.ts. Invariant: everything is read from records; a row stands for the record it names.

import { kallsyms_lookup } from "../../kernel/kallsyms.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { formatAddr } from "../../kernel/machine/addr.ts";
import type { EventRecord } from "../../kernel/machine/log.ts";
import { CONSOLE_EVENT } from "../../kernel/trace/events/printk.ts";
import { MARK_EVENT, READ_LOCK_EVENT, READ_UNLOCK_EVENT } from "../../kernel/trace/events/quiesce.ts";
import type { TraceView } from "../../kernel/trace/trace_event.ts";
import type { SiteTable } from "../sites.ts";
import { eventId, type Touch, touchOf } from "./allocations.ts";

/** An object that waited for a grace period, or waits. Times are virtual ns. */
export interface Waiter {
  readonly addr: number;
  readonly queued: EventRecord;
  /** By a callback, not in a batch of kvfree_rcu(). */
  readonly callback: boolean;
  /** Tasks that were in a read-side section when it was queued: each could see it until it left. */
  readonly readers: readonly string[];
  /** Who of them left last, and when; undefined while one has not. */
  left?: { readonly name: string; readonly ns: number };
  /** Its size and who allocated it: `24 bytes, add_new_gdb`; empty when that was before the part told. */
  readonly what: string;
  timer?: number;
  /** The batch went to RCU. */
  closed?: number;
  /** The grace period ended. */
  over?: number;
  ender?: string;
  /** The callback of its batch ran, which queued the work; tree RCU. */
  invoked?: number;
  freed?: EventRecord;
  /** It waits for nothing: no timer is armed for its batch; tree RCU. */
  stranded?: true;
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
  readonly frees: readonly Waiter[];
  /** Objects that it is about and neither queues nor frees; their letters are added to the text. */
  readonly about: readonly Waiter[];
  /** How many read-side sections stand in this row; 0 for other rows. */
  sections: number;
}

/** A run, or a part of one. */
export interface Story {
  /** Whether it happened on several CPUs. */
  readonly smp: boolean;
  readonly rows: readonly Row[];
  readonly waiters: readonly Waiter[];
}

const SOFTIRQ_EXIT = eventId("softirq_exit");

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

/** Makes the rows that every RCU has; a subclass adds those of its batches and grace periods. */
export abstract class StoryTeller {
  protected readonly rows: Row[] = [];
  protected readonly waiters: Waiter[] = [];
  protected readonly waiting = new Map<number, Waiter>();
  /** Rows of the sections that are open, by task. */
  protected readonly reading = new Map<number, Row>();
  /** By task: objects that were queued while it read. */
  private readonly seenBy = new Map<number, { readonly waiter: Waiter; readonly open: Set<number> }[]>();
  private readonly smp: boolean;
  private readonly callbackFrees: ReadonlyMap<number, readonly number[]>;
  private readonly allocated = new Map<number, string>();
  private readonly reports: ReadonlyMap<number, string>;

  constructor(
    protected readonly k: Kernel,
    protected readonly view: TraceView,
    protected readonly sites: SiteTable,
    protected readonly records: readonly EventRecord[],
  ) {
    this.smp = k.cpus.length > 1;
    this.callbackFrees = freedByCallbacks(records);
    this.reports = new Map(k.reports.map((report) => [report.seq, report.title]));
  }

  /** The rows of all records. */
  tell(): Story {
    this.records.forEach((r, i) => this.take(r, i));
    for (const row of this.reading.values()) if (this.isTorn(row)) row.symbol = "[";
    return { smp: this.smp, rows: this.rows, waiters: this.waiters };
  }

  /** An object is given to kvfree_rcu(). */
  protected abstract queueKvfree(r: EventRecord, addr: number): void;
  /** The work of a batch is given to RCU. */
  protected abstract queueBatch(r: EventRecord, head: number): void;
  /** A callback is queued that will free these objects. */
  protected abstract queueCallback(r: EventRecord, head: number, waiters: readonly Waiter[]): void;
  /** A callback is invoked. */
  protected abstract invoke(r: EventRecord, touch: Touch & { kind: "invoked" }): void;
  /** An object is freed. Returns whether RCU did it, and not the task that queued it. */
  protected abstract freeByRcu(r: EventRecord, waiter: Waiter): boolean;
  /** Any other record. */
  protected abstract other(r: EventRecord, i: number): void;

  private take(r: EventRecord, i: number): void {
    const touch = touchOf(r);
    if (touch?.kind === "allocated") {
      const by = this.sites.nameOf(r);
      this.allocated.set(touch.addr, `${touch.size} bytes${by === "" ? "" : `, ${by}`}`);
    } else if (touch?.kind === "queued") this.queue(r, touch);
    else if (touch?.kind === "freed") this.free(r, touch.addr, touch.by);
    else if (touch?.kind === "invoked") this.invoke(r, touch);
    else {
      switch (r.kind) {
        case READ_LOCK_EVENT:
          if (r.args[0] === 1) this.reading.set(r.task, this.row(r, r.task, "R", "", { sections: 1 }));
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
        default:
          this.other(r, i);
      }
    }
  }

  protected row(
    record: EventRecord,
    lane: number,
    symbol: string,
    text: string,
    more: Partial<Row> = {},
  ): Row {
    const row: Row = {
      record,
      lane,
      symbol,
      text,
      queues: [],
      frees: [],
      about: [],
      sections: 0,
      ...more,
    };
    this.rows.push(row);
    return row;
  }

  /** The end of an outermost read-side section. */
  private leave(r: EventRecord): void {
    const row = this.reading.get(r.task);
    this.reading.delete(r.task);
    for (const { waiter, open } of this.seenBy.get(r.task) ?? []) {
      open.delete(r.task);
      if (open.size === 0) waiter.left = { name: this.view.comm(r.task), ns: r.ns };
    }
    this.seenBy.delete(r.task);
    if (row === undefined) return;
    const at = this.rows.lastIndexOf(row);
    if (this.isTorn(row)) {
      row.symbol = "[";
      this.row(r, r.task, "]", this.leaveText(row));
      return;
    }
    const before = this.readsBefore(at, row.lane);
    if (before === undefined) return;
    before.sections++;
    this.rows.splice(at, 1);
  }

  /** Whether other rows fall into a section: anything but what readers on other CPUs do. */
  private isTorn(row: Row): boolean {
    return this.rows.slice(this.rows.lastIndexOf(row) + 1).some((other) => !this.isReading(other));
  }

  /** Whether a row is about read-side sections; on one CPU the end of one is not skipped. */
  private isReading({ sections, symbol }: Row): boolean {
    return sections > 0 || (symbol === "]" && this.smp);
  }

  /** What the end of a section says that other rows fall into. */
  protected leaveText(_row: Row): string {
    return "rcu_read_unlock()";
  }

  /** The row of earlier sections of a task, if nothing but reading came between. */
  private readsBefore(at: number, lane: number): Row | undefined {
    for (let i = at - 1; i >= 0; i--) {
      const row = this.rows[i];
      if (!this.isReading(row) || (row.symbol !== "R" && (!this.smp || row.lane === lane))) return undefined;
      if (row.lane === lane) return row;
    }
    return undefined;
  }

  private queue(r: EventRecord, touch: Touch & { kind: "queued" }): void {
    if (touch.by === "kvfree_rcu") this.queueKvfree(r, touch.addr);
    else if (this.isRcuWork(touch.func)) this.queueBatch(r, touch.addr);
    else if (touch.func < 4096) this.row(r, r.task, "Q", "no block for it: call_rcu() of its head");
    else {
      const frees = this.callbackFrees.get(r.seq);
      const queues = (frees ?? [touch.addr]).map((addr) => this.waiter(r, addr, true));
      this.queueCallback(r, touch.addr, queues);
      this.row(r, r.task, "Q", `call_rcu(${this.symbol(touch.func)})`, { queues });
    }
  }

  protected waiter(queued: EventRecord, addr: number, callback: boolean): Waiter {
    const open = new Set(this.reading.keys());
    const readers = [...open].map((pid) => this.view.comm(pid));
    const waiter: Waiter = { addr, queued, callback, readers, what: this.allocated.get(addr) ?? "" };
    for (const pid of open) {
      const seen = this.seenBy.get(pid);
      if (seen === undefined) this.seenBy.set(pid, [{ waiter, open }]);
      else seen.push({ waiter, open });
    }
    this.waiters.push(waiter);
    this.waiting.set(addr, waiter);
    return waiter;
  }

  private free(r: EventRecord, addr: number, by: string): void {
    const waiter = this.waiting.get(addr);
    if (waiter !== undefined) {
      this.waiting.delete(addr);
      waiter.freed = r;
      const lane = this.freeByRcu(r, waiter) ? RCU_LANE : r.task;
      this.row(r, lane, "F", `${by}(${formatAddr(addr)})`, { frees: [waiter] });
    } else if (addr === 0 && this.sites.isUserCode(r)) {
      this.row(r, r.task, "f", `${by}(NULL) in ${this.sites.nameOf(r)}()`);
    }
  }

  private console(r: EventRecord): void {
    const text = this.k.log.text(r.args[0]);
    const title = this.reports.get(r.seq);
    if (title !== undefined) this.row(r, r.task, "!", title);
    else if (/^rule \d+: /.test(text)) {
      this.row(r, r.task, "!", `made to fail: ${text.replace(/^rule \d+: /, "")}`);
    }
  }

  protected symbol(addr: number): string {
    return kallsyms_lookup(this.k, addr);
  }

  protected isRcuWork(func: number): boolean {
    return func >= 4096 && this.symbol(func) === "rcu_work_rcufn";
  }
}
