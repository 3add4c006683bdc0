// SPDX-License-Identifier: GPL-2.0-only
/**
 * L0, boot and look: answers compared with what the same machine says.
 *
 * Invariant: an answer is right when the shell says it; where two are right, both count.
 *
 * @module
 */

import { evidenceOf, failed } from "../framework/evidence.ts";
import type { Check, CheckContext, LabModule, Outcome } from "../lab.ts";
import { leaked, ran, Subject, variantOf } from "./questions.ts";

/** Of a trace to a wrong answer: enough to see that the run is the student's own, and no answer. */
const SHOWN = ["quiesce:kvfree_rcu", "quiesce:tracing_mark_write"];

/** What a student's file says under a name, or undefined. */
function said(submission: CheckContext["submission"], group: "run" | "leak", name: string): unknown {
  const answers = submission[group];
  return typeof answers === "object" && answers !== null
    ? (answers as Record<string, unknown>)[name]
    : undefined;
}

/** A question about the first machine; `right` gives what is right, one after the other. */
function about(name: string, where: string, right: (subject: Subject) => readonly unknown[]): Check {
  return ({ submission, variant, execution }): Outcome => {
    const mine = said(submission, "run", name);
    execution();
    const rights = right(new Subject(variant)).map(textOf);
    if (rights.includes(textOf(mine))) return { state: "PASS" };
    execution();
    const bench = ran(variant);
    const cause = `run.${name} is ${textOf(mine)}, and the machine says otherwise: ${where}`;
    return failed(evidenceOf(bench.k, cause, bench.token(), { from: bench.since, events: SHOWN, last: 8 }));
  };
}

/** A question about the second. */
function aboutLeak(name: "bytes" | "token", where: string): Check {
  return ({ submission, variant, execution }): Outcome => {
    const mine = said(submission, "leak", name);
    execution();
    const right = leaked(variant);
    const text = String(mine).trim().replace(/^TOKEN\s+/, "");
    if (text === String(right[name])) return { state: "PASS" };
    const cause = `leak.${name} is ${textOf(mine)}, and the machine says otherwise: ${where}`;
    // The token is what A10 asks for.
    return failed({ cause, token: null, trace: [] });
  };
}

/** An answer as a line: texts without blanks around them, numbers also when they were written as texts. */
function textOf(answer: unknown): string {
  if (Array.isArray(answer)) return `[${answer.map((item) => String(item)).join(", ")}]`;
  return typeof answer === "string" ? `"${answer.trim()}"` : String(answer);
}

const lab: LabModule = {
  id: "l0",
  variant: variantOf,
  checks: {
    A1: about("who", "goto kvfree_rcu, then runq", (subject) => [subject.who()]),
    A2: about("largestFree", "buddyinfo, after the run", (subject) => [subject.largestFree()]),
    A3: about("cache", "goto kvfree_rcu, then obj of its ptr", (subject) => [subject.cache()]),
    A4: about("lastCpu", "rcu why --gp -1199", (subject) => subject.lastCpus()),
    A5: about("pointers", "trace -e rcu_invoke_kfree_bulk_callback", (subject) => [subject.pointers()]),
    A6: about("endOfGp", "trace -e rcu_grace_period --seq", (subject) => [subject.endOfGp()]),
    A7: about("stepBack", "goto kvfree_rcu, then rstep", (subject) => [subject.stepBack()]),
    A8: about("pending", "goto rcu_batch_start, then leaks", (subject) => [subject.pending()]),
    A9: aboutLeak("bytes", "leaks, after the run on tiny RCU"),
    A10: aboutLeak("token", "token, after the run on tiny RCU"),
  },
};

export default lab;
