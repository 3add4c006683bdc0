// SPDX-License-Identifier: GPL-2.0-only
// Trace records as ftrace prints them: `comm-pid [cpu] flags time: event: text`.
//
// Ours; the format is that of kernel/trace/trace_output.c (trace_print_context, trace_print_lat_fmt). Names of tasks
// come from the records themselves, so a thread that is gone keeps its name. Invariant: pure functions over the log.

import { kallsyms_lookup } from "../../kernel/kallsyms.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import {
  type EventRecord,
  FLAG_HARDIRQ,
  FLAG_IRQS_OFF,
  FLAG_NEED_RESCHED,
  FLAG_PREEMPT_SHIFT,
  FLAG_SOFTIRQ,
} from "../../kernel/machine/log.ts";
import { tasklist } from "../../kernel/fork.ts";
import { SCHED_PROCESS_FORK_EVENT } from "../../kernel/trace/events/sched.ts";
import { traceEvent, traceEvents } from "../../kernel/trace/table.ts";
import type { TraceEvent, TraceView } from "../../kernel/trace/trace_event.ts";
import { type Row, row } from "../command.ts";
import type { SiteTable } from "../sites.ts";
import { seconds } from "./dmesg.ts";

/** What turns the numbers of this kernel's records into names. */
export function viewOf(k: Kernel, sites: SiteTable): TraceView {
  const names = new Map<number, string>([[0, "<idle>"]]);
  for (const task of tasklist(k)) names.set(task.pid, task.comm);
  let read = false;
  function comm(pid: number): string {
    if (!names.has(pid) && !read) {
      read = true;
      for (const r of k.log.records()) {
        if (r.kind === SCHED_PROCESS_FORK_EVENT) names.set(r.args[3], k.log.text(r.args[2]));
      }
    }
    return names.get(pid) ?? "<...>";
  }
  return {
    text: (id) => k.log.text(id),
    symbol: (addr) => kallsyms_lookup(k, addr),
    comm,
    site: (record) => sites.nameOf(record) || "0x0",
  };
}

/** `dNh1`: interrupts off, reschedule wanted, kind of context, depth of preempt_disable(). */
export function flagsText(flags: number): string {
  const hard = (flags & FLAG_HARDIRQ) !== 0;
  const soft = (flags & FLAG_SOFTIRQ) !== 0;
  const depth = flags >>> FLAG_PREEMPT_SHIFT;
  return [
    (flags & FLAG_IRQS_OFF) !== 0 ? "d" : ".",
    (flags & FLAG_NEED_RESCHED) !== 0 ? "N" : ".",
    hard ? (soft ? "H" : "h") : soft ? "s" : ".",
    depth === 0 ? "." : depth.toString(16),
  ].join("");
}

/** One line of ftrace's text. */
export function traceLine(view: TraceView, r: EventRecord): string {
  const event = traceEvent(r.kind);
  const what = event === undefined ? `event ${r.kind}` : `${event.name}: ${event.print(view, r)}`;
  const task = `${view.comm(r.task).padStart(16)}-${String(r.task).padEnd(5)}`;
  return `${task} [${String(r.cpu).padStart(3, "0")}] ${flagsText(r.flags)} ${seconds(r.ns)}: ${what}`;
}

/** The same with the number of the event in front, which `goto` understands. */
export function numberedLine(view: TraceView, r: EventRecord): string {
  return `${String(r.seq).padStart(7)} ${traceLine(view, r)}`;
}

/** An event as data, shown by the line that `line` makes of it. */
export function eventRow(view: TraceView, r: EventRecord, line: typeof traceLine = traceLine): Row {
  const event = traceEvent(r.kind);
  return row("event", {
    seq: r.seq,
    ns: r.ns,
    cpu: r.cpu,
    pid: r.task,
    comm: view.comm(r.task),
    flags: flagsText(r.flags),
    event: event === undefined ? String(r.kind) : fullName(event),
    text: event === undefined ? "" : event.print(view, r),
  }, line(view, r));
}

/** `rcu:rcu_callback`. */
export function fullName(event: TraceEvent): string {
  return `${event.system}:${event.name}`;
}

/** The events that a pattern such as `rcu:*`, `kfree` or `sched:sched_*` names. */
export function matchingEvents(pattern: string): TraceEvent[] {
  const source = pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".");
  const regexp = new RegExp(`^${source}$`);
  return traceEvents.filter((event) => regexp.test(pattern.includes(":") ? fullName(event) : event.name));
}
