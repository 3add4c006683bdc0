// SPDX-License-Identifier: GPL-2.0-only
// How a run ended, in words and as an exit status.
//
// Ours. Invariants: a verdict other than "completed" names the tasks that are left and what each waits for; a status
// other than 0 is followed by the line that does the run again.

import type { Kernel, KernelReport } from "../../kernel/kernel.ts";
import { DEFAULT_LIMITS, type Ending, type RunVerdict } from "../../explore/run.ts";
import { type Row, row } from "../command.ts";
import { type ExitStatus, STATUS } from "../status.ts";

const STATUS_OF: Readonly<Record<Ending, ExitStatus>> = {
  completed: STATUS.ok,
  deadlock: STATUS.failed,
  livelock: STATUS.inconclusive,
  undrained: STATUS.inconclusive,
  panic: STATUS.bug,
};

const MEANING: Readonly<Record<Ending, string>> = {
  completed: "completed",
  deadlock: "deadlock: its tasks wait and nothing can wake them",
  livelock: `livelock: after ${DEFAULT_LIMITS.points / 1e6} million points its tasks still go on`,
  undrained: "its tasks are done, RCU is not",
  panic: "the kernel panicked",
};

/** First lines of reports after which a context did not go on. */
const OOPS =
  /^(kernel BUG at|BUG: kernel NULL pointer|BUG: unable to handle|general protection fault|Kernel panic)/;

/** The shell's status for a verdict. */
export function verdictStatus(k: Kernel, verdict: RunVerdict): ExitStatus {
  const status = STATUS_OF[verdict.ending];
  const broken = verdict.violations.length > 0;
  if (broken && status === STATUS.inconclusive) return STATUS.failed;
  if (status !== STATUS.ok || verdict.reports === 0) {
    return status === STATUS.ok && broken ? STATUS.failed : status;
  }
  return k.reports.slice(-verdict.reports).some((r: KernelReport) => OOPS.test(r.title))
    ? STATUS.bug
    : STATUS.failed;
}

/** A run that is over, as data and in its lines. */
export function verdictRow(k: Kernel, name: string, verdict: RunVerdict): Row {
  const { ending, reports, lastEvent, ns, remaining, violations, rcuWaits } = verdict;
  const fields = {
    name,
    ending,
    status: verdictStatus(k, verdict),
    event: lastEvent,
    ns,
    reports,
    remaining: remaining.map(({ comm, pid, state }) => ({ comm, pid, state })),
    violations: violations.map(({ property, text }) => ({ property, text })),
    rcu_waits: rcuWaits.map(({ cpu, comm, pid, doing }) => ({ cpu, comm, pid, doing })),
  };
  return row("verdict", fields, ...verdictLines(k, name, verdict));
}

/** The lines for a run that is over. */
export function* verdictLines(k: Kernel, name: string, verdict: RunVerdict): Generator<string, void, void> {
  const { ending, reports, lastEvent, ns, remaining } = verdict;
  const meaning = ending === "livelock" && ns > 0.99 * DEFAULT_LIMITS.ns
    ? `not over after ${DEFAULT_LIMITS.ns / 1e9} s of virtual time`
    : MEANING[ending];
  yield `${name}: ${meaning}, event ${lastEvent}, ${milliseconds(ns)} ms, ${count(reports, "report")}`;
  for (const task of remaining) yield `  ${task.comm} (pid ${task.pid}) ${task.state}`;
  yield* rcuWaitLines(verdict);
  for (const { property, text } of verdict.violations) yield `  property ${property} violated: ${text}`;
  if (ending !== "undrained") return;
  if (k.rcu.busy(k)) yield "  RCU has callbacks that were not invoked: rcu shows them";
  if (k.kvfree.busy(k)) yield "  kvfree_rcu() holds pointers that were not freed: krc shows them";
}

/** CPUs that are named one by one. */
const MOST_CPUS = 8;

/** Which CPUs, and which tasks on them, hold up the grace period. */
function* rcuWaitLines({ rcuWaits }: RunVerdict): Generator<string, void, void> {
  for (const { cpu, comm, pid, doing } of rcuWaits.slice(0, MOST_CPUS)) {
    yield `  RCU waits for CPU ${cpu}: ${comm} (pid ${pid}) is ${doing}`;
  }
  if (rcuWaits.length > MOST_CPUS) yield `  and for ${rcuWaits.length - MOST_CPUS} more CPUs`;
}

/** `1 report`, `2 reports`, `0 reports`. */
export function count(n: number, what: string, many: string = `${what}s`): string {
  return `${n} ${n === 1 ? what : many}`;
}

/** Virtual ns as ms with three decimals. */
export function milliseconds(ns: number): string {
  return (ns / 1e6).toFixed(3);
}
