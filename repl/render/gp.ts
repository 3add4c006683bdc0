// SPDX-License-Identifier: GPL-2.0-only
// The grace periods of tree RCU as the log has them: who asked, whom each waited for, how each CPU reported, who read.
//
// Ours. One pass over the records. A grace period is called by its gp_seq while it runs; what is asked for by callbacks
// is the value at its end, three higher. A callback belongs to the request that gave it its number; where a CPU numbers
// callbacks without a word (the grace period was asked for already) that is known from its softirq having run.
// Invariant: everything is read from records, so that it works for grace periods that are long over; what the ring of the
// log has overwritten is missing.

import type { Kernel } from "../../kernel/kernel.ts";
import { type EventRecord, FLAG_HARDIRQ, FLAG_SOFTIRQ } from "../../kernel/machine/log.ts";
import { READ_LOCK_EVENT, READ_UNLOCK_EVENT } from "../../kernel/trace/events/quiesce.ts";
import { SCHED_SWITCH_EVENT } from "../../kernel/trace/events/sched.ts";
import { eventId } from "./allocations.ts";

/** An outermost read-side section. */
export interface Section {
  readonly task: number;
  readonly cpu: number;
  readonly lock: EventRecord;
  unlock?: EventRecord;
}

/** A callback, and what became of it. */
export interface Queued {
  readonly record: EventRecord;
  readonly head: number;
  /** A function, or an offset below 4096. */
  readonly func: number;
  /** The function of the work item that queued it, 0 if none did. */
  readonly worker: number;
  invoked?: EventRecord;
}

/** A CPU asked for a grace period. */
export interface Request {
  readonly record: EventRecord;
  readonly cpu: number;
  readonly callbacks: Queued[];
}

/** How a CPU passed a quiescent state. */
export type How =
  | "switch"
  | "tick in idle"
  | "tick in user mode"
  | "cond_resched"
  | "ksoftirqd"
  /** The first scan found it idle. */
  | "idle"
  /** A later scan found that its counter had moved. */
  | "was idle"
  /** It was offline when the grace period began. */
  | "offline";

/** A quiescent state that a CPU noted. */
export interface Noted {
  readonly record: EventRecord;
  readonly how: How;
  /** Of a context switch: to which task. */
  next?: number;
}

/** A CPU's quiescent state reached its leaf. */
export interface Report {
  readonly cpu: number;
  readonly record: EventRecord;
  readonly how: How;
  /** When the CPU passed it; absent where somebody else found it. */
  readonly noted?: Noted;
}

/** A grace period. */
export interface GracePeriod {
  /** While it runs. */
  readonly gp_seq: number;
  readonly requests: Request[];
  start?: EventRecord;
  end?: EventRecord;
  /** CPUs that it waited for at its start. */
  readonly waitsFor: number[];
  readonly reports: Report[];
  /** CPUs that have reported. */
  readonly reported: Set<number>;
  /** Quiescent states that were noted and not reported yet, by CPU. */
  readonly noted: Map<number, Noted>;
  /** Scans for idle CPUs. */
  readonly scans: EventRecord[];
  /** Sections that were open at its start, or began before their CPU passed a quiescent state. */
  readonly sections: Section[];
}

/** From the value that callbacks wait for back to the number while it runs. */
const END_TO_RUNNING = 3;
/** Most sections that are kept of one grace period. */
const MOST_SECTIONS = 1000;

const GRACE_PERIOD = eventId("rcu_grace_period");
const FUTURE = eventId("rcu_future_grace_period");
const INIT = eventId("rcu_grace_period_init");
const REPORT = eventId("rcu_quiescent_state_report");
const FQS = eventId("rcu_fqs");
const DYNTICK = eventId("rcu_dyntick");
const CALLBACK = eventId("rcu_callback");
const KVFREE_CALLBACK = eventId("rcu_kvfree_callback");
const INVOKE = eventId("rcu_invoke_callback");
const UTILIZATION = eventId("rcu_utilization");
const EXECUTE_START = eventId("workqueue_execute_start");
const EXECUTE_END = eventId("workqueue_execute_end");

/** Reads the grace periods of a log. */
export class GracePeriods {
  /** By number while they run, in order of the first event about them; wanted ones have no start yet. */
  readonly list: GracePeriod[] = [];
  /** Sections that are open now, by task. */
  readonly open = new Map<number, Section>();
  /** The last thing each CPU did outside of interrupts, and the last switch to another task. */
  readonly last: EventRecord[] = [];
  readonly switched: EventRecord[] = [];

  private readonly byNumber = new Map<number, GracePeriod>();
  private running: GracePeriod | undefined;
  /** gp_seq between grace periods; unknown before the first event about it. */
  private idle = NaN;
  /** Callbacks without a number, by CPU; all that were not invoked, by head. */
  private readonly unnumbered: Queued[][] = [];
  private readonly queued = new Map<number, Queued>();
  /** Function of the work item that a task executes. */
  private readonly working = new Map<number, number>();
  /** What rcu_utilization said last, by CPU. */
  private readonly utilization: string[] = [];
  /** CPUs that the scan has found, until it reports them. */
  private readonly found = new Map<number, How>();

  constructor(private readonly k: Kernel, private readonly leafLevel: number) {
    for (const record of k.log.records()) this.take(record);
  }

  /** The one that runs, or the last that has started. */
  get latest(): GracePeriod | undefined {
    return this.list.findLast((gp) => gp.start !== undefined);
  }

  /** The last that ended before an event. */
  endedBefore(seq: number): GracePeriod | undefined {
    return this.list.findLast((gp) => gp.end !== undefined && gp.end.seq < seq);
  }

  /** By its number while it runs or at its end. */
  find(number: number): GracePeriod | undefined {
    return this.byNumber.get(number) ?? this.byNumber.get(number - END_TO_RUNNING);
  }

  private take(r: EventRecord): void {
    switch (r.kind) {
      case GRACE_PERIOD:
        this.gracePeriod(r, this.text(r.args[2]));
        break;
      case FUTURE:
        if (this.text(r.args[6]) === "Startleaf") this.request(r, r.args[2] - END_TO_RUNNING);
        break;
      case INIT:
        if (r.args[2] === this.leafLevel) {
          this.running?.waitsFor.push(...this.bits(r.args[5]).map((bit) => r.args[3] + bit));
        }
        break;
      case REPORT:
        if (r.args[4] === this.leafLevel) this.report(r);
        break;
      case FQS:
        this.found.set(r.args[2], (this.running?.scans.length ?? 0) > 1 ? "was idle" : "idle");
        break;
      case CALLBACK:
      case KVFREE_CALLBACK:
        this.callback(r);
        break;
      case INVOKE:
        this.invoked(r);
        break;
      case UTILIZATION:
        this.utilized(r, this.text(r.args[0]));
        break;
      case EXECUTE_START:
        this.working.set(r.task, r.args[1]);
        break;
      case EXECUTE_END:
        this.working.delete(r.task);
        break;
      case READ_LOCK_EVENT:
        if (r.args[0] === 1) this.enter(r);
        break;
      case READ_UNLOCK_EVENT:
        if (r.args[0] === 0) this.leave(r);
        break;
      case SCHED_SWITCH_EVENT:
        this.switch(r);
        break;
    }
    const inIrq = (r.flags & (FLAG_HARDIRQ | FLAG_SOFTIRQ)) !== 0;
    if (!inIrq && r.kind !== DYNTICK && r.kind !== UTILIZATION) this.last[r.cpu] = r;
  }

  private gracePeriod(r: EventRecord, what: string): void {
    switch (what) {
      case "start":
        this.running = this.period(r.args[1]);
        this.running.start = r;
        this.running.sections.push(...this.open.values());
        this.found.clear();
        break;
      case "end":
        this.period(r.args[1]).end = r;
        this.running = undefined;
        this.idle = r.args[1] + END_TO_RUNNING;
        break;
      case "reqwait":
        if (this.running === undefined) this.idle = r.args[1];
        break;
      case "fqsstart":
        this.running?.scans.push(r);
        break;
      case "cpuqs":
        if (r.args[1] === this.running?.gp_seq) {
          this.running.noted.set(r.cpu, { record: r, how: this.howNoted(r) });
        }
        break;
    }
  }

  private period(gp_seq: number): GracePeriod {
    const known = this.byNumber.get(gp_seq);
    if (known !== undefined) return known;
    const gp: GracePeriod = {
      gp_seq,
      requests: [],
      waitsFor: [],
      reports: [],
      reported: new Set(),
      noted: new Map(),
      scans: [],
      sections: [],
    };
    this.byNumber.set(gp_seq, gp);
    this.list.push(gp);
    return gp;
  }

  /** This CPU asks for a grace period: its callbacks have their number from now on. */
  private request(record: EventRecord, gp_seq: number): void {
    const { cpu } = record;
    const { requests } = this.period(gp_seq);
    const callbacks = this.unnumbered[cpu] ?? [];
    this.unnumbered[cpu] = [];
    const before = requests.find((it) => it.cpu === cpu);
    if (before === undefined) requests.push({ record, cpu, callbacks });
    else before.callbacks.push(...callbacks);
  }

  /** How rcu_qs() was reached, from where it stands among the events of its CPU. */
  private howNoted(r: EventRecord): How {
    if ((r.flags & FLAG_HARDIRQ) !== 0) return r.task === 0 ? "tick in idle" : "tick in user mode";
    if (this.utilization[r.cpu] === "Start context switch") return "switch";
    return (r.flags & FLAG_SOFTIRQ) !== 0 ? "ksoftirqd" : "cond_resched";
  }

  private report(r: EventRecord): void {
    const gp = this.running;
    if (gp === undefined) return;
    for (const bit of this.bits(r.args[2])) {
      const cpu = r.args[5] + bit;
      const how = this.found.get(cpu);
      const noted = gp.noted.get(cpu);
      if (how !== undefined) gp.reports.push({ cpu, record: r, how });
      else if (noted !== undefined) gp.reports.push({ cpu, record: r, how: noted.how, noted });
      else gp.reports.push({ cpu, record: r, how: "offline" });
      gp.reported.add(cpu);
      this.found.delete(cpu);
      gp.noted.delete(cpu);
    }
  }

  private callback(record: EventRecord): void {
    const callback: Queued = {
      record,
      head: record.args[1],
      func: record.args[2],
      worker: this.working.get(record.task) ?? 0,
    };
    (this.unnumbered[record.cpu] ??= []).push(callback);
    this.queued.set(callback.head, callback);
  }

  private invoked(r: EventRecord): void {
    const callback = this.queued.get(r.args[1]);
    if (callback === undefined) return;
    callback.invoked = r;
    this.queued.delete(callback.head);
  }

  private utilized(r: EventRecord, what: string): void {
    this.utilization[r.cpu] = what;
    // Without a word: rcu_accelerate_cbs_unlocked() found that the next grace period is asked for.
    if (what !== "End RCU core" || this.running !== undefined || Number.isNaN(this.idle)) return;
    if ((this.unnumbered[r.cpu]?.length ?? 0) > 0) this.request(r, this.idle + 1);
  }

  private enter(lock: EventRecord): void {
    const section: Section = { task: lock.task, cpu: lock.cpu, lock };
    this.open.set(lock.task, section);
    const gp = this.running;
    if (gp === undefined || gp.sections.length >= MOST_SECTIONS) return;
    if (!gp.noted.has(lock.cpu) && !gp.reported.has(lock.cpu)) gp.sections.push(section);
  }

  private leave(r: EventRecord): void {
    const section = this.open.get(r.task);
    if (section !== undefined) section.unlock = r;
    this.open.delete(r.task);
  }

  private switch(r: EventRecord): void {
    this.switched[r.cpu] = r;
    const noted = this.running?.noted.get(r.cpu);
    if (noted?.how === "switch") noted.next ??= r.args[5];
  }

  private text(id: number): string {
    return this.k.log.text(id);
  }

  /** Bits of a recorded mask; a wide one is the number of its text. */
  private bits(mask: number): number[] {
    const bits: number[] = [];
    let rest = mask < 0 ? BigInt(`0x${this.text(-mask)}`) : BigInt(mask);
    for (let bit = 0; rest !== 0n; bit++, rest >>= 1n) if ((rest & 1n) === 1n) bits.push(bit);
    return bits;
  }
}

/** Whether callbacks are known to have waited for it. */
export function hasCallbacks(gp: GracePeriod): boolean {
  return gp.requests.some(({ callbacks }) => callbacks.length > 0);
}

/** The CPUs that reported last, by which the grace period could end; together in one report. */
export function lastReports(gp: GracePeriod): Report[] {
  const last = gp.reports.at(-1)?.record;
  return gp.reports.filter(({ record }) => record === last);
}

/** The section on a CPU that kept it longest from a quiescent state in a grace period, if any did. */
export function sectionBefore(gp: GracePeriod, report: Report): Section | undefined {
  const start = gp.start?.seq ?? 0;
  const until = (report.noted?.record ?? report.record).seq;
  let longest: Section | undefined;
  for (const section of gp.sections) {
    const { cpu, lock, unlock } = section;
    if (cpu !== report.cpu || lock.seq > until || (unlock !== undefined && unlock.seq < start)) continue;
    if (longest === undefined || overlap(gp, section) > overlap(gp, longest)) longest = section;
  }
  return longest;
}

/** Virtual ns of a grace period that a section covers. */
export function overlap(gp: GracePeriod, section: Section): number {
  const from = Math.max(gp.start?.ns ?? 0, section.lock.ns);
  return Math.max(0, (section.unlock?.ns ?? gp.end?.ns ?? Infinity) - from);
}

/** A section that covers less than this part of a grace period did not hold it up. */
const LONG_PART = 4;

/**
 * The section that held a grace period up, if one did: a CPU that reported last was in it for a good part of the time.
 * Where a scan had to find the CPU idle, the section counts only if an earlier scan came while it was open.
 */
export function holderOf(gp: GracePeriod): Section | undefined {
  const total = (gp.end?.ns ?? Infinity) - (gp.start?.ns ?? 0);
  let holder: Section | undefined;
  for (const report of lastReports(gp)) {
    const section = sectionBefore(gp, report);
    if (section === undefined || overlap(gp, section) < total / LONG_PART) continue;
    const { lock, unlock } = section;
    const missed = gp.scans.some(({ seq }) => seq > lock.seq && seq < (unlock?.seq ?? 0));
    if (report.noted === undefined && !missed) continue;
    if (holder === undefined || overlap(gp, section) > overlap(gp, holder)) holder = section;
  }
  return holder;
}
