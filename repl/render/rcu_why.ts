// SPDX-License-Identifier: GPL-2.0-only
// `rcu why` on tree RCU: one grace period explained, from who asked for it to what it waited for last.
//
// Ours. What is over is told from the log (gp.ts); what still runs, from the log and the machine as it stands. Invariant:
// every sentence stands for a record or for a field; where neither knows, it says so.

import type { Kernel } from "../../kernel/kernel.ts";
import { type EventRecord, FLAG_SOFTIRQ } from "../../kernel/machine/log.ts";
import { cpu_rq } from "../../kernel/sched/sched.ts";
import { kallsyms_lookup } from "../../kernel/kallsyms.ts";
import { rcuWaits } from "../../explore/rcu_waits.ts";
import { KVFREE_RCU_EVENT } from "../../kernel/trace/events/quiesce.ts";
import { traceEvent } from "../../kernel/trace/table.ts";
import type { TraceView } from "../../kernel/trace/trace_event.ts";
import { krcState } from "../../rcu/kvfree.ts";
import { type RcuLook, treeBlockedReaders, treeCpu, treeNodes, treeState } from "../../rcu/tree_look.ts";
import { UsageError } from "../status.ts";
import type { SiteTable } from "../sites.ts";
import { type GracePeriod, GracePeriods, hasCallbacks, type Queued } from "./gp.ts";
import { GpWords, HOW, jiffiesText } from "./gp_words.ts";
import { cpusText, ms, ranges, wrapped } from "./text.ts";
import { count } from "./verdict.ts";

/** Most CPUs that get a line each; of more, groups are shown. */
const MOST_CPUS = 8;
/** Most requests, and callbacks of one, that are told one by one. */
const MOST_REQUESTS = 4;
const MOST_CALLBACKS = 3;
/** Where the text of a table stands. */
const MARGIN = 20;

/** Explains one grace period: that of `wanted`, or the one that runs, or the last. */
export function* whyLines(
  k: Kernel,
  view: TraceView,
  sites: SiteTable,
  wanted: number | undefined,
): Generator<string, void, void> {
  yield* new Explainer(k, view, sites).explain(wanted);
}

class Explainer {
  private readonly look: RcuLook;
  private readonly periods: GracePeriods;
  private readonly words: GpWords;

  constructor(
    private readonly k: Kernel,
    private readonly view: TraceView,
    private readonly sites: SiteTable,
  ) {
    this.look = treeState(k);
    this.words = new GpWords(k, view, sites);
    this.periods = new GracePeriods(k, this.look.levels - 1);
  }

  *explain(wanted: number | undefined): Generator<string, void, void> {
    if (wanted !== undefined) {
      yield* this.full(this.named(wanted));
      return;
    }
    const gp = this.periods.latest;
    if (gp === undefined) {
      yield this.look.inProgress
        ? `grace period ${this.look.gp_seq} runs, but the log does not hold its start any more`
        : "no grace period has run yet";
      yield* this.look.inProgress ? this.whoOwes() : this.whoWaits();
    } else {
      const served = hasCallbacks(gp) || gp.end === undefined
        ? gp
        : this.periods.list.findLast((it) => it.end !== undefined && hasCallbacks(it)) ?? gp;
      if (served !== gp) {
        yield* this.inShort(gp);
        yield "";
      }
      yield* this.full(served);
    }
    yield* this.whatIsNext(gp);
  }

  /** Who keeps the grace period that runs from its end, as the machine stands. */
  private *whoOwes(): Generator<string, void, void> {
    for (const { cpu, comm, pid, doing } of rcuWaits(this.k)) {
      yield `  CPU ${cpu} owes: ${comm} (pid ${pid}) is ${doing}`;
    }
  }

  /** Callbacks for which nobody has asked yet. */
  private *whoWaits(): Generator<string, void, void> {
    const cpus = this.k.cpus.map(({ id }) => id).filter((id) => treeCpu(this.k, id, 0).len > 0);
    if (cpus.length === 0) return;
    yield `${count(this.look.callbacks, "callback")} on ${cpusText(cpus)}: a tick there asks for one`;
  }

  /** The one that the user named, or what there is. */
  private named(wanted: number): GracePeriod {
    const gp = this.periods.find(wanted);
    if (gp?.start !== undefined) return gp;
    const known = this.periods.list.filter((it) => it.start !== undefined).map((it) => it.gp_seq);
    const which = known.length === 0
      ? "the log holds none"
      : `the log holds ${known.length > 6 ? `${known[0]} to ${known.at(-1)}` : known.join(", ")}`;
    throw new UsageError(`rcu why: --gp ${wanted}: ${which}`);
  }

  /** A grace period that no callback waited for. */
  private *inShort(gp: GracePeriod): Generator<string, void, void> {
    yield* this.title(gp);
    const asked = gp.requests.map(({ cpu }) => cpu);
    yield* wrapped(
      "  ",
      (asked.length === 0 ? "nobody is known to have asked for it" : `${cpusText(asked)} asked for it`) +
        ", and no callback waited for it: a CPU that notices a grace period asks for the next one even when its " +
        "callbacks have their numbers already (5.7 does). The one before:",
      2,
    );
  }

  private *full(gp: GracePeriod): Generator<string, void, void> {
    yield* this.title(gp);
    yield* this.asked(gp);
    yield "        ms   event";
    yield* this.row(gp, gp.start, `starts, and waits for ${cpusText(gp.waitsFor)}`);
    yield* gp.reports.length <= MOST_CPUS ? this.everyReport(gp) : this.groups(gp);
    if (gp.end !== undefined) {
      yield* this.row(gp, gp.end, "over");
      yield* this.verdict(gp);
    } else {
      yield* this.owing(gp);
    }
    yield* this.invoked(gp);
  }

  private *title(gp: GracePeriod): Generator<string, void, void> {
    const { name, gp_state, age, scans } = this.look;
    const from = gp.start as EventRecord;
    yield* wrapped(
      `grace period ${gp.gp_seq} of ${name} `,
      gp.end === undefined
        ? `runs since event ${from.seq}: ${ms(this.k.now() - from.ns)} ms (${
          jiffiesText(age)
        }), ${gp_state}, ` +
          count(scans, "scan")
        : `is over: ${ms(gp.end.ns - from.ns)} ms, events ${from.seq} to ${gp.end.seq}`,
      2,
    );
  }

  /** Who asked, and for which callbacks. */
  private *asked(gp: GracePeriod): Generator<string, void, void> {
    if (gp.requests.length === 0) yield "  who asked is not in the log";
    // Who has callbacks first: without one it asks for nothing that anybody needs.
    const requests = [...gp.requests].sort((a, b) =>
      Number(b.callbacks.length > 0) - Number(a.callbacks.length > 0)
    );
    for (const { record, cpu, callbacks } of requests.slice(0, MOST_REQUESTS)) {
      const who = (record.flags & FLAG_SOFTIRQ) !== 0 ? "its softirq" : this.words.taskName(record.task);
      yield* wrapped(
        "  ",
        `CPU ${cpu} asked for it (${who}, event ${record.seq}), ` +
          (callbacks.length === 0
            ? "no callback left to number"
            : `for ${count(callbacks.length, "callback")}:`),
        2,
      );
      for (const callback of callbacks.slice(0, MOST_CALLBACKS)) {
        yield* wrapped("    ", this.callbackText(callback), 6);
      }
      const more = callbacks.length - MOST_CALLBACKS;
      if (more > 0) yield `    and ${more} more`;
    }
    const more = requests.slice(MOST_REQUESTS);
    if (more.length > 0) yield `  and ${cpusText(more.map(({ cpu }) => cpu))}`;
  }

  private callbackText(callback: Queued): string {
    const { record, func, worker, head } = callback;
    const what = func < 4096 ? `a free of an object by its head at offset ${func}` : this.symbol(func);
    const place = this.sites.placeOf(record);
    const where = worker !== 0 ? ` in ${this.symbol(worker)}` : place === "" ? "" : ` in ${place}`;
    const batch = this.batchText(head, record);
    return `${what}, queued by ${this.words.taskName(record.task)}${where}, event ${record.seq}${batch}`;
  }

  /** If the callback is that of a batch of kvfree_rcu(): what is known to be in it. */
  private batchText(head: number, queued: EventRecord): string {
    const krc = krcState(this.k).find(({ batches }) => batches.some((batch) => batch.head === head));
    if (krc === undefined) return "";
    const slot = krc.batches.findIndex((batch) => batch.head === head);
    const calls: EventRecord[] = [];
    let since = 0;
    for (const r of this.k.log.records()) {
      if (r.seq >= queued.seq) break;
      if (r.kind === KVFREE_RCU_EVENT && r.cpu === krc.cpu) calls.push(r);
      // What an earlier batch of this CPU took is not in this one.
      else if (traceEvent(r.kind)?.name === "rcu_callback" && krc.batches.some((b) => b.head === r.args[1])) {
        since = r.seq;
      }
    }
    const inBatch = calls.filter(({ seq }) => seq > since);
    const text = `: slot ${slot} of what kvfree_rcu() collected on CPU ${krc.cpu}`;
    if (inBatch.length === 0) return text;
    const first = inBatch[0];
    const place = this.sites.placeOf(first);
    return `${text}, ${count(inBatch.length, "pointer")}, the first from ${this.words.taskName(first.task)}` +
      `${place === "" ? "" : ` in ${place}`}, event ${first.seq}`;
  }

  private *row(gp: GracePeriod, r: EventRecord | undefined, text: string): Generator<string, void, void> {
    if (r === undefined) return;
    const at = ms(r.ns - (gp.start?.ns ?? 0));
    yield* wrapped(`${at.padStart(10)} ${String(r.seq).padStart(7)}  `, text, MARGIN);
  }

  /** A line for each report; CPUs of one report of which there is nothing else to say share one. */
  private *everyReport(gp: GracePeriod): Generator<string, void, void> {
    const texts = gp.reports.map((report) => this.words.reportText(gp, report));
    for (const [i, report] of gp.reports.entries()) {
      const together = gp.reports.filter((it, j) => it.record === report.record && texts[j] === texts[i]);
      if (together[0] !== report) continue;
      yield* this.row(gp, report.record, `${cpusText(together.map(({ cpu }) => cpu))} ${texts[i]}`);
    }
  }

  /** Of many CPUs: how many reported in each way, and when. */
  private *groups(gp: GracePeriod): Generator<string, void, void> {
    for (const how of new Set(gp.reports.map((report) => report.how))) {
      const group = gp.reports.filter((report) => report.how === how);
      const last = group.at(-1)?.record;
      yield* this.row(
        gp,
        group[0].record,
        `${cpusText(group.map(({ cpu }) => cpu))}: ${HOW[how]}` +
          (group.length === 1
            ? ""
            : `; the last at ${ms((last?.ns ?? 0) - (gp.start?.ns ?? 0))} (${last?.seq})`),
      );
    }
    const last = gp.reports.at(-1);
    if (last?.noted !== undefined) {
      yield* this.row(gp, last.record, `the last: CPU ${last.cpu} ${this.words.reportText(gp, last)}`);
    }
  }

  /** What it waited for last. */
  private *verdict(gp: GracePeriod): Generator<string, void, void> {
    yield* wrapped("  ", this.words.heldUpBy(gp), 2);
  }

  /** Who has not reported. */
  private *owing(gp: GracePeriod): Generator<string, void, void> {
    const owing = this.look.owing.filter((cpu) => gp.waitsFor.includes(cpu));
    const texts = new Map<string, number[]>(); // CPUs of which the same is true share a line
    for (const cpu of owing) {
      const text = this.owes(gp, cpu);
      texts.set(text, [...texts.get(text) ?? [], cpu]);
    }
    for (const [text, cpus] of [...texts].slice(0, MOST_CPUS)) {
      yield* wrapped(`  ${cpusText(cpus)} ${cpus.length === 1 ? "owes" : "owe"}: `, text, 4);
    }
    const more = [...texts.values()].slice(MOST_CPUS).flat();
    if (more.length > 0) yield `  and ${cpusText(more)} owe too`;
    if (this.look.levels > 1) yield* this.nodes();
    const blocked = treeBlockedReaders(this.k);
    for (const t of blocked.slice(0, MOST_CPUS)) {
      const where = t.on_cpu ? `runs on CPU ${t.cpu}` : t.on_rq ? `waits to run on CPU ${t.cpu}` : "sleeps";
      const place = this.periods.open.get(t.pid);
      yield* wrapped(
        `  ${t.comm} (pid ${t.pid}) holds it up: `,
        `it was preempted in rcu_read_lock()${
          place === undefined ? "" : this.words.placeText(place.lock)
        }, and ${where}`,
        4,
      );
    }
    if (blocked.length > MOST_CPUS) {
      yield `  and ${count(blocked.length - MOST_CPUS, "preempted reader")} more`;
    }
    if (owing.length > 0 || blocked.length > 0) return;
    const { gp_state } = this.look;
    yield gp_state === "RCU_GP_ONOFF" || gp_state === "RCU_GP_INIT" || gp_state === "RCU_GP_DONE_GPS"
      ? "  it is being started: not every node knows of it yet"
      : "  no CPU owes anything: its thread has to notice, and to tell every node that it is over";
  }

  private owes(gp: GracePeriod, cpu: number): string {
    const noted = gp.noted.get(cpu);
    if (noted !== undefined) {
      return `it passed a quiescent state (${
        this.words.notedText(gp, cpu, noted)
      }); its softirq reports it, ` +
        "at the next tick";
    }
    const look = treeCpu(this.k, cpu, 0);
    const task = cpu_rq(this.k, cpu).curr;
    const urgent = look.rcu_need_heavy_qs || look.rcu_urgent_qs ? "; it has been asked to hurry" : "";
    if (look.eqs) {
      const { nextScan, name } = this.look;
      return `idle, and who is idle does not report: ${name} will find that in its next scan` +
        (nextScan === null ? "" : `, in ${jiffiesText(nextScan)}`);
    }
    const section = this.periods.open.get(task.pid);
    const now = this.k.now();
    const what = section !== undefined && section.cpu === cpu
      ? `${this.words.taskName(task.pid, cpu)} (pid ${task.pid}) runs there, in rcu_read_lock()${
        this.words.placeText(section.lock)
      } since event ${section.lock.seq}, ${ms(now - section.lock.ns)} ms ago`
      : task.rcu_read_lock_nesting > 0
      ? `${
        this.words.taskName(task.pid, cpu)
      } (pid ${task.pid}) runs there, in rcu_read_lock(); the log does not ` +
        "hold since when"
      : `${this.words.taskName(task.pid, cpu)} (pid ${task.pid}) runs there${
        this.sinceSwitch(cpu)
      }, outside of any ` +
        "rcu_read_lock(): a switch, or a tick in user mode, is what is missing";
    return `${what}${urgent}${this.lastText(cpu, section?.lock)}`;
  }

  private sinceSwitch(cpu: number): string {
    const r = this.periods.switched[cpu];
    return r === undefined ? "" : ` since event ${r.seq}, ${ms(this.k.now() - r.ns)} ms ago`;
  }

  /** The last thing that a CPU is known to have done, unless that is what was said before. */
  private lastText(cpu: number, said: EventRecord | undefined): string {
    const r = this.periods.last[cpu];
    if (r === undefined || r === said) return "";
    const event = traceEvent(r.kind);
    return `. Its last event: ${r.seq} ${event?.name ?? ""} ${event?.print(this.view, r) ?? ""}`.trimEnd();
  }

  /** Nodes above the leaves that wait, and leaves that are done while their parent does not know. */
  private *nodes(): Generator<string, void, void> {
    const waiting = treeNodes(this.k).filter(({ leaf, qsmask }) => !leaf && qsmask.length > 0);
    for (const { level, grplo, grphi, qsmask, bits } of waiting.slice(0, MOST_REQUESTS)) {
      yield `  node ${grplo}-${grphi} of level ${level} waits for ${
        qsmask.length === bits ? "all" : `${qsmask.length === 1 ? "child" : "children"} ${ranges(qsmask)}`
      } of its ${bits}`;
    }
    if (waiting.length > MOST_REQUESTS) {
      yield `  and ${count(waiting.length - MOST_REQUESTS, "node")} more (rcu tree)`;
    }
  }

  /** What became of the callbacks. */
  private *invoked(gp: GracePeriod): Generator<string, void, void> {
    const callbacks = gp.requests.flatMap((request) => request.callbacks);
    const done = callbacks.map(({ invoked }) => invoked).filter((r) => r !== undefined);
    if (callbacks.length === 0 || gp.end === undefined) return;
    const first = done[0];
    const all = callbacks.length === 1
      ? "its callback"
      : `${done.length} of its ${callbacks.length} callbacks`;
    if (first === undefined) yield `  ${all} ${callbacks.length === 1 ? "was" : "were"} not invoked yet`;
    else {
      yield `  ${all} ${done.length === 1 ? "was" : "were"} invoked ${ms(first.ns - gp.end.ns)} ms later, ` +
        `event ${first.seq} on CPU ${first.cpu}`;
    }
  }

  /** A grace period that is wanted, and callbacks that nobody has asked one for. */
  private *whatIsNext(latest: GracePeriod | undefined): Generator<string, void, void> {
    const next = this.periods.list.findLast((gp) => gp.start === undefined);
    if (next !== undefined && next !== latest) {
      yield `the next one, ${next.gp_seq}, is asked for by ${cpusText(next.requests.map(({ cpu }) => cpu))}`;
    }
    const known = this.periods.list.filter((gp) => gp.start !== undefined);
    if (known.length > 1) {
      yield `the log holds ${known.length} grace periods, ${known[0].gp_seq} to ${known.at(-1)?.gp_seq}: ` +
        "rcu why --gp N explains another";
    }
  }

  private symbol(addr: number): string {
    return kallsyms_lookup(this.k, addr);
  }
}
