// SPDX-License-Identifier: GPL-2.0-only
/**
 * What a failed check shows: the cause in a sentence, a token for the shell, and the last events in a column for each CPU.
 *
 * Invariant: looking changes nothing, and what is shown is a function of the machine's log. Lines are at most 80 columns
 * wide, traces at most `MOST_ROWS` lines long.
 *
 * @module
 */

import { bootWith, type Kernel, Run, type Subject } from "../../mod.ts";
import { addFailRule } from "../../kernel/fault_inject.ts";
import { tasklist } from "../../kernel/fork.ts";
import { kallsyms_lookup } from "../../kernel/kallsyms.ts";
import type { EventRecord } from "../../kernel/machine/log.ts";
import { FLAG_HARDIRQ, FLAG_SOFTIRQ } from "../../kernel/machine/log.ts";
import { SCHED_PROCESS_FORK_EVENT } from "../../kernel/trace/events/sched.ts";
import { traceEvent } from "../../kernel/trace/table.ts";
import type { TraceView } from "../../kernel/trace/trace_event.ts";
import { checkOptions } from "../../explore/scenario.ts";
import type { Execution } from "../../explore/search/executor.ts";
import type { Exploration } from "../../explore/search/explore.ts";
import type { Outcome } from "../lab.ts";

/** What a FAIL carries. */
export interface Evidence {
  readonly cause: string;
  readonly token: string | null;
  readonly trace: readonly string[];
}

/** Most lines of a trace, its head aside. */
export const MOST_ROWS = 16;
const COLUMNS = 80;
/** CPUs that get a column; events of others are left out. */
const MOST_CPUS = 4;
const TIME = 9;

/** Events that matter to a reader and to what waits for one. A name that ends in `*` stands for all that begin so. */
export const USUAL_EVENTS: readonly string[] = [
  "quiesce:*",
  "ftrace:*",
  "rcu:rcu_callback",
  "rcu:rcu_kvfree_callback",
  "rcu:rcu_invoke_*",
  "rcu:rcu_batch_*",
  "rcu:rcu_barrier",
  "rcu:rcu_grace_period",
  "sched:sched_switch",
  "irq:softirq_entry",
  "kmem:kmalloc",
  "kmem:kfree",
  "vmalloc:*",
  "printk:console",
];

/** A FAIL, of whose points `credit` are kept. */
export function failed({ cause, token, trace }: Evidence, credit = 0): Outcome {
  return { state: "FAIL", cause, token, trace, ...(credit > 0 ? { credit } : {}) };
}

/** Which part of a log is shown. */
export interface TraceOptions {
  /** First and last event. */
  readonly from?: number;
  readonly to?: number;
  /** Most lines: the last ones. */
  readonly last?: number;
  /** Patterns of `system:name`; USUAL_EVENTS if not given. */
  readonly events?: readonly string[];
}

/** The last events of a kernel, a column for each CPU that has any. */
export function traceColumns(k: Kernel, options: TraceOptions = {}): string[] {
  const { from = 0, to = Infinity, last = MOST_ROWS, events = USUAL_EVENTS } = options;
  const rows: EventRecord[] = [];
  for (const record of k.log.records(from)) {
    if (record.seq > to) break;
    if (!isShown(record, events)) continue;
    rows.push(record);
    if (rows.length > last) rows.shift();
  }
  if (rows.length === 0) return [];
  const cpus = [...new Set(rows.map((it) => it.cpu))].sort((a, b) => a - b).slice(0, MOST_CPUS);
  const width = Math.floor((COLUMNS - TIME - 1) / cpus.length);
  const view = viewOf(k);
  const heads = cpus.map((cpu) => `CPU ${cpu}`.padEnd(width)).join("");
  const lines = [`${"ms".padStart(TIME)} ${heads}`.trimEnd()];
  for (const record of rows) {
    const column = cpus.indexOf(record.cpu);
    if (column < 0) continue;
    const text = fitted(`${whoOf(record, view)} ${whatOf(record, view)}`, width - 1);
    lines.push(
      `${(record.ns / 1e6).toFixed(3).padStart(TIME)} ${" ".repeat(column * width)}${text}`.trimEnd(),
    );
  }
  return lines;
}

/** Evidence from a machine whose log was kept, up to its first report after event `from` if there is one. */
export function evidenceOf(
  k: Kernel,
  cause: string,
  token: string | null = null,
  options: TraceOptions = {},
): Evidence {
  const report = k.reports.find((it) => it.seq >= (options.from ?? 0));
  const to = options.to ?? (report === undefined ? Infinity : report.seq);
  return { cause, token, trace: traceColumns(k, { ...options, to }) };
}

/** Evidence of an execution: it is done again, with a log. */
export function evidenceOfExecution(
  subject: Subject,
  execution: Execution,
  token: string | null,
  cause: string = execution.failure?.text ?? "it failed",
): Evidence {
  const { schedule, faults } = execution;
  const k = bootWith(subject.config, schedule, subject.parts);
  for (const rule of faults) addFailRule(k, rule);
  const run = new Run(
    k,
    subject.scenario,
    checkOptions(subject.scenario, subject.options ?? {}),
    subject.limits,
  );
  run.advance();
  return evidenceOf(k, cause, token, { from: run.startSeq });
}

/** Evidence of the first failure of an exploration, minimised if that was asked for. */
export function evidenceOfExploration(subject: Subject, { first, minimised }: Exploration): Evidence {
  if (first === null) return { cause: "nothing failed", token: null, trace: [] };
  if (minimised === null) {
    return evidenceOfExecution(subject, first.execution, first.token, first.failure.text);
  }
  const { failure, deviations, token } = minimised;
  const { policy, seed } = first.execution.schedule;
  const execution = { ...first.execution, failure, schedule: { policy, seed, deviations } };
  return evidenceOfExecution(subject, execution, token, failure.text);
}

function isShown(record: EventRecord, patterns: readonly string[]): boolean {
  const event = traceEvent(record.kind);
  if (event === undefined) return false;
  const name = `${event.system}:${event.name}`;
  return patterns.some((it) => it.endsWith("*") ? name.startsWith(it.slice(0, -1)) : it === name);
}

function whoOf({ flags, task }: EventRecord, view: TraceView): string {
  if ((flags & FLAG_HARDIRQ) !== 0) return "<irq>";
  if ((flags & FLAG_SOFTIRQ) !== 0) return "<softirq>";
  return view.comm(task);
}

/** The name of an event, and the first of what it prints. */
function whatOf(record: EventRecord, view: TraceView): string {
  const event = traceEvent(record.kind);
  if (event === undefined) return "";
  const text = event.print(view, record);
  if (event.system === "printk") return text;
  if (event.name === "sched_switch") return text.replace(/^.*==> /, "-> ").replace(/next_(comm|pid)=/g, "");
  return `${event.name} ${text.replace(/\b[a-z_]+=/g, "")}`;
}

function fitted(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}~`;
}

function viewOf(k: Kernel): TraceView {
  const names = new Map<number, string>([[0, "<idle>"]]);
  for (const r of k.log.records()) {
    if (r.kind === SCHED_PROCESS_FORK_EVENT) names.set(r.args[3], k.log.text(r.args[2]));
  }
  for (const task of tasklist(k)) names.set(task.pid, task.comm);
  return {
    text: (id) => k.log.text(id),
    symbol: (addr) => kallsyms_lookup(k, addr),
    comm: (pid) => names.get(pid) ?? `pid ${pid}`,
    site: () => "",
  };
}
