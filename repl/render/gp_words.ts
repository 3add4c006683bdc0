// SPDX-License-Identifier: GPL-2.0-only
// What is said of a grace period in more than one place: how a CPU passed its quiescent state, who read, what held it up.
//
// Ours. Invariant: sentences are made of records only (gp.ts); names come from the log, so a task that is gone keeps its.

import type { Kernel } from "../../kernel/kernel.ts";
import type { EventRecord } from "../../kernel/machine/log.ts";
import { TICK_NSEC } from "../../kernel/time/jiffies.ts";
import type { TraceView } from "../../kernel/trace/trace_event.ts";
import { treeState } from "../../rcu/tree_look.ts";
import type { SiteTable } from "../sites.ts";
import {
  type GracePeriod,
  holderOf,
  type How,
  lastReports,
  type Noted,
  overlap,
  type Report,
  type Section,
  sectionBefore,
} from "./gp.ts";
import { cpusText, ms } from "./text.ts";

/** What a quiescent state was, for one CPU or several. */
export const HOW: Readonly<Record<How, string>> = {
  "switch": "context switch",
  "tick in idle": "the tick found it idle",
  "tick in user mode": "the tick found it in user mode",
  "cond_resched": "cond_resched()",
  "ksoftirqd": "ksoftirqd between two rounds",
  "idle": "idle when the scan looked (dti)",
  "was idle": "went idle since the first scan (dti)",
  "offline": "offline at the start",
};

/** `1 jiffy`, `2 jiffies` */
export function jiffiesText(n: number): string {
  return n === 1 ? "1 jiffy" : `${n} jiffies`;
}

/** Words about the grace periods of a machine. */
export class GpWords {
  constructor(
    private readonly k: Kernel,
    private readonly view: TraceView,
    private readonly sites: SiteTable,
  ) {}

  reportText(gp: GracePeriod, report: Report): string {
    const { how, noted } = report;
    const read = sectionBefore(gp, report);
    return (noted === undefined ? HOW[how] : `reports: ${this.notedText(gp, report.cpu, noted)}`) +
      (read === undefined || read.lock.seq > (gp.start?.seq ?? 0)
        ? ""
        : `; before that ${this.sectionText(gp, read)}`);
  }

  notedText(
    gp: GracePeriod,
    cpu: number,
    { record, how, next }: Noted,
  ): string {
    const task = this.taskName(record.task, cpu);
    const what = how === "switch"
      ? `context switch from ${task}${next === undefined ? "" : ` to ${this.taskName(next, cpu)}`}`
      : how === "tick in user mode" || how === "cond_resched"
      ? `${HOW[how]}${how === "cond_resched" ? " of" : ","} ${task}`
      : HOW[how];
    return `${what}, at ${ms(record.ns - (gp.start?.ns ?? 0))} (${record.seq})`;
  }

  sectionText(gp: GracePeriod, { task, lock, unlock }: Section): string {
    return `${this.view.comm(task)} was in rcu_read_lock()${this.placeText(lock)} since event ${lock.seq}` +
      (unlock === undefined ? "" : `, until ${ms(unlock.ns - (gp.start?.ns ?? 0))} (${unlock.seq})`);
  }

  placeText(r: EventRecord): string {
    const place = this.sites.placeOf(r);
    return place === "" ? "" : ` of ${place}`;
  }

  taskName(pid: number, cpu?: number): string {
    return pid === 0 ? (cpu === undefined ? "the idle task" : "idle") : this.view.comm(pid);
  }
  /** One sentence: what kept a grace period from ending earlier. */
  heldUpBy(gp: GracePeriod): string {
    const last = lastReports(gp);
    if (last.length === 0) return "it waited for no CPU";
    const cpus = `${cpusText(last.map(({ cpu }) => cpu))} ${last.length === 1 ? "was" : "were"} last`;
    const holder = holderOf(gp);
    if (holder !== undefined) {
      const place = this.sites.placeOf(holder.lock);
      const total = (gp.end?.ns ?? this.k.now()) - (gp.start?.ns ?? 0);
      return `${cpus}, because of a reader: ${
        this.view.comm(holder.task)
      } on CPU ${holder.cpu} was in rcu_read_lock()` +
        `${place === "" ? "" : ` of ${place}`} for ${ms(overlap(gp, holder))} of the ${ms(total)} ms`;
    }
    const { noted, how, record } = last[0];
    if (how === "offline") return cpus;
    if (noted !== undefined && record.ns - noted.record.ns > 2 * TICK_NSEC(this.k)) {
      return `${cpus}, and no reader held it up: it had passed its quiescent state at ${
        ms(noted.record.ns - (gp.start?.ns ?? 0))
      }, and ran its softirq, which reports it, only ${ms(record.ns - noted.record.ns)} ms later`;
    }
    if (noted !== undefined) {
      return `${cpus}, and no reader held it up: a CPU passes its quiescent state at a switch or a tick, and its softirq ` +
        "reports it at a tick";
    }
    return `${cpus}, and idle: no reader held it up. Who is idle does not report; the grace-period thread looks for that ` +
      `when its timer of ${jiffiesText(treeState(this.k).tillFirst)} is over`;
  }
}
