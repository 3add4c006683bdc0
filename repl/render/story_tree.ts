// SPDX-License-Identifier: GPL-2.0-only
// The story of a run on tree RCU: grace periods with their reports, and the batches of each CPU's kvfree_rcu().
//
// Ours. Grace periods come from gp.ts and batches from krc_history.ts, both of which read the whole log before the rows are
// made: a row says which objects a slot takes, and at the end of a section whether it held a grace period up. Invariant:
// as in story.ts; on machines with more than MOST_CPUS only the last report of a grace period has a row.

import { formatAddr } from "../../kernel/machine/addr.ts";
import type { EventRecord } from "../../kernel/machine/log.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { TraceView } from "../../kernel/trace/trace_event.ts";
import { treeState } from "../../rcu/tree_look.ts";
import type { SiteTable } from "../sites.ts";
import { eventId, type Touch } from "./allocations.ts";
import { type GracePeriod, GracePeriods, holderOf, type How, lastReports, type Queued } from "./gp.ts";
import { KrcHistory, type Passage } from "./krc_history.ts";
import { RCU_LANE, type Row, StoryTeller, type Waiter } from "./story.ts";
import { cpusText } from "./text.ts";
import { count } from "./verdict.ts";

/** Most CPUs of which each has a row for its report. */
const MOST_CPUS = 8;

const TIMER_START = eventId("timer_start");
const TIMER_EXPIRE_ENTRY = eventId("timer_expire_entry");
const EXECUTE_START = eventId("workqueue_execute_start");
const INVOKE = eventId("rcu_invoke_callback");
const INVOKE_BULK = eventId("rcu_invoke_kfree_bulk_callback");

/** A quiescent state in few words. */
const HOW: Readonly<Record<How, string>> = {
  "switch": "context switch",
  "tick in idle": "tick in idle",
  "tick in user mode": "tick in user mode",
  "cond_resched": "cond_resched()",
  "ksoftirqd": "ksoftirqd",
  "idle": "found idle by the scan",
  "was idle": "found idle by a later scan",
  "offline": "offline",
};

/** A callback, and the grace period that it waited for. */
interface Served {
  readonly callback: Queued;
  readonly gp: GracePeriod;
}

/** Tells what happened on tree RCU. */
export class TreeTeller extends StoryTeller {
  private readonly periods: GracePeriods;
  private readonly krcs: KrcHistory;
  /** By event: callbacks, and texts of rows about grace periods. */
  private readonly served = new Map<number, Served>();
  private readonly gpRows = new Map<number, string[]>();
  /** Ends of drains in which a slot took something whose work was given to RCU before. */
  private readonly late = new Map<number, Passage>();
  private readonly passageOf = new Map<Waiter, Passage>();
  /** Grace periods by the event that opened the section which held them up. */
  private readonly held = new Map<number, GracePeriod>();

  constructor(k: Kernel, view: TraceView, sites: SiteTable, records: readonly EventRecord[]) {
    super(k, view, sites, records);
    this.periods = new GracePeriods(k, treeState(k).levels - 1);
    this.krcs = new KrcHistory(k);
    for (const gp of this.periods.list) this.readPeriod(gp);
    for (const passage of this.krcs.passages.values()) {
      if (passage.closed !== passage.given) this.late.set(passage.closed.seq, passage);
    }
  }

  private readPeriod(gp: GracePeriod): void {
    for (const callback of gp.requests.flatMap(({ callbacks }) => callbacks)) {
      this.served.set(callback.record.seq, { callback, gp });
    }
    if (gp.start === undefined) return;
    const name = `grace period ${gp.gp_seq}`;
    this.gpRow(gp.start, `${name} starts, waits for ${cpusText(gp.waitsFor)}`);
    const shown = this.k.cpus.length <= MOST_CPUS ? gp.reports : lastReports(gp);
    for (const record of new Set(shown.map((report) => report.record))) {
      for (const how of new Set(shown.filter((it) => it.record === record).map((it) => it.how))) {
        const cpus = shown.filter((it) => it.record === record && it.how === how).map(({ cpu }) => cpu);
        const last = this.k.cpus.length <= MOST_CPUS ? "" : ", the last";
        this.gpRow(record, `${cpusText(cpus)}${last}: ${HOW[how]}`);
      }
    }
    if (gp.end === undefined) return;
    this.gpRow(gp.end, `${name} is over`);
    const holder = holderOf(gp);
    if (holder !== undefined) this.held.set(holder.lock.seq, gp);
  }

  private gpRow({ seq }: EventRecord, text: string): void {
    this.gpRows.set(seq, [...this.gpRows.get(seq) ?? [], text]);
  }

  protected override queueKvfree(r: EventRecord, addr: number): void {
    const waiter = this.waiter(r, addr, false);
    this.row(r, r.task, "Q", `kvfree_rcu(${formatAddr(addr)})`, { queues: [waiter] });
    const passage = this.krcs.passages.get(r.seq);
    if (passage === undefined && this.krcs.stranded.has(addr)) waiter.stranded = true;
    if (passage === undefined) return;
    this.passageOf.set(waiter, passage);
    waiter.closed = passage.closed.ns;
    this.waitFor(waiter, this.served.get(passage.given?.seq ?? 0)?.gp, passage.invoked);
  }

  protected override queueCallback(r: EventRecord, _head: number, waiters: readonly Waiter[]): void {
    const served = this.served.get(r.seq);
    for (const waiter of waiters) this.waitFor(waiter, served?.gp, served?.callback.invoked);
  }

  /** The grace period of an object, and when its callback ran. */
  private waitFor(waiter: Waiter, known: GracePeriod | undefined, invoked: EventRecord | undefined): void {
    if (invoked !== undefined) waiter.invoked = invoked.ns;
    const gp = known ?? (invoked === undefined ? undefined : this.periods.endedBefore(invoked.seq));
    if (gp?.start === undefined) return;
    const early = gp.start.seq < waiter.queued.seq ? ", which began before it was queued" : "";
    if (gp.end !== undefined) waiter.over = gp.end.ns;
    waiter.ender = `${gp.gp_seq}${early}${gp.end === undefined ? "" : this.enderText(gp)}`;
  }

  private enderText(gp: GracePeriod): string {
    const holder = holderOf(gp);
    if (holder !== undefined) {
      return `, held up by ${this.view.comm(holder.task)} in rcu_read_lock() on CPU ${holder.cpu}`;
    }
    const last = lastReports(gp);
    return last.length === 0 ? "" : `, last ${cpusText(last.map(({ cpu }) => cpu))}: ${HOW[last[0].how]}`;
  }

  protected override queueBatch(r: EventRecord, head: number): void {
    const slot = this.krcs.heads.get(head);
    if (slot === undefined) return; // the rcu_work of somebody else
    const about = this.closedBy(r, slot.slot);
    this.row(r, RCU_LANE, "g", `slot ${slot.slot} of CPU ${slot.cpu} is given to RCU`, { about });
  }

  /** Objects that a slot took at an event. */
  private closedBy({ seq }: EventRecord, slot: number): Waiter[] {
    return [...this.passageOf].filter(([, passage]) => passage.closed.seq === seq && passage.slot === slot)
      .map(([waiter]) => waiter);
  }

  protected override invoke(r: EventRecord, { addr, func }: Touch & { kind: "invoked" }): void {
    if (r.kind !== INVOKE) return; // one pointer of a batch: its free is the next row
    const slot = this.krcs.heads.get(addr);
    if (slot !== undefined) {
      this.row(r, RCU_LANE, "c", `callback of slot ${slot.slot} of CPU ${slot.cpu}: its work is queued`);
    } else if (!this.isRcuWork(func)) this.row(r, RCU_LANE, "c", `callback: ${this.symbol(func)}`);
  }

  protected override freeByRcu(_r: EventRecord, waiter: Waiter): boolean {
    return waiter.callback || this.passageOf.has(waiter);
  }

  protected override leaveText(row: Row): string {
    const gp = this.held.get(row.record.seq);
    return gp === undefined ? "rcu_read_unlock()" : `rcu_read_unlock(): it held grace period ${gp.gp_seq} up`;
  }

  protected override other(r: EventRecord): void {
    for (const text of this.gpRows.get(r.seq) ?? []) this.row(r, RCU_LANE, "g", text);
    switch (r.kind) {
      case TIMER_START:
      case TIMER_EXPIRE_ENTRY:
        this.timer(r);
        break;
      case EXECUTE_START:
        this.work(r);
        break;
      case INVOKE_BULK:
        this.bulk(r);
        break;
    }
    const late = this.late.get(r.seq);
    if (late === undefined) return;
    const text = `slot ${late.slot} of CPU ${late.cpu} takes more, though it was given to RCU at event ${
      late.given?.seq ?? "?"
    }`;
    this.row(r, RCU_LANE, "!", text, { about: this.closedBy(r, late.slot) });
  }

  private timer(r: EventRecord): void {
    const [timer, , expires, now] = r.args;
    const cpu = this.krcs.timers.get(timer);
    if (cpu === undefined) return;
    if (r.kind === TIMER_START) {
      this.row(
        r,
        RCU_LANE,
        "t",
        `batch timer of CPU ${cpu} armed: ${count(expires - now, "jiffy", "jiffies")}`,
      );
      return;
    }
    for (const waiter of this.waiting.values()) {
      if (!waiter.callback && waiter.queued.cpu === cpu && (waiter.closed ?? Infinity) >= r.ns) {
        waiter.timer ??= r.ns;
      }
    }
    this.row(r, RCU_LANE, "t", `batch timer of CPU ${cpu} fires`);
  }

  private work(r: EventRecord): void {
    const cpu = this.krcs.monitors.get(r.args[0]);
    const slot = this.krcs.works.get(r.args[0]);
    const on = this.view.comm(r.task);
    if (cpu !== undefined) this.row(r, RCU_LANE, "w", `kfree_rcu_monitor of CPU ${cpu} on ${on}`);
    else if (slot !== undefined) {
      this.row(r, RCU_LANE, "w", `kfree_rcu_work of CPU ${slot.cpu}, slot ${slot.slot}, on ${on}`);
    }
  }

  /** A block is freed: the kernel has no event for each of its pointers. */
  private bulk(r: EventRecord): void {
    const frees: Waiter[] = [];
    for (const queued of this.krcs.bulks.get(r.seq) ?? []) {
      const waiter = this.waiting.get(queued.args[0]);
      if (waiter?.queued.seq !== queued.seq) continue;
      this.waiting.delete(waiter.addr);
      waiter.freed = r;
      frees.push(waiter);
    }
    this.row(r, RCU_LANE, "F", `kfree_bulk() of ${count(r.args[1], "pointer")}`, { frees });
  }
}
