// SPDX-License-Identifier: GPL-2.0-only
/**
 * Checks of the mended functions: at each site (F), on other schedules (W1), with every allocation failing (W2), at what
 * cost (W3), and of the headless form (H1).
 *
 * Invariant: functions that make the writer wait are no fix, whatever they mend: every check but F's first runs asks
 * for the cost, too. Nothing is explored with functions that fail undisturbed.
 *
 * @module
 */

import { failed as failedBy } from "../framework/evidence.ts";
import type { Check, CheckContext, Outcome } from "../lab.ts";
import { exploring, type Plan } from "../../explore/search/explore.ts";
import { memoryVerdict } from "../../mod.ts";
import { traceEvents } from "../../kernel/trace/table.ts";
import { type Site, SITES } from "./deal.ts";
import { findingOf, playToken, readToken } from "./findings.ts";
import { costOf, HEADLESS, machine, ownParts, tooDear, type Trial, TRIALS, tried } from "./fixes.ts";
import { type Parts, partsWith } from "./parts.ts";
import { evidence, LIMITS, type Played } from "./play.ts";
import { resizeScenario } from "./program.ts";

function failed(cause: string, played: Played | null): Outcome {
  return failedBy(evidence(cause, null, played));
}

/** The first trial that the parts do not stand. */
function firstFailure(parts: Parts, site: Site, { seeds, execution }: CheckContext): Outcome | null {
  for (const trial of TRIALS) {
    execution();
    const { played } = tried(parts, site, trial, seeds[0]);
    if (played.failure !== null) return failed(`${site}, ${trial.what}: ${played.failure}`, played);
  }
  return null;
}

function dear(parts: Parts, { seeds, execution }: CheckContext): Outcome | null {
  const { why, played } = costOf(parts, seeds[0], execution);
  return why === null ? null : failed(why, played);
}

/** F: with the student's functions the site stands what it did not stand. */
export function fixed(site: Site): Check {
  return (context) => {
    const { submission, variant, execution } = context;
    const parts = ownParts(submission);
    if (typeof parts === "string") return failed(parts, null);
    const failure = firstFailure(parts, site, context) ?? dear(parts, context);
    if (failure !== null) return failure;
    const finding = findingOf(submission, variant, site);
    const wanted = typeof finding === "string" ? finding : readToken(finding.token, variant, site);
    if (typeof wanted === "string") return { state: "PASS", note: `without a run of a token: ${wanted}` };
    execution();
    const played = playToken(wanted, () => parts);
    return played.failure === null
      ? { state: "PASS" }
      : failed(`${site}, what your token names, with your functions: ${played.failure}`, played);
  };
}

/** W1 and W2: a plan on all sites. */
function explored(planOf: (seed: number) => Plan, options: Record<string, string>): Check {
  return (context) => {
    const { submission, seeds, execution } = context;
    const parts = ownParts(submission);
    if (typeof parts === "string") return failed(parts, null);
    const first = firstFailure(parts, "gdb", context) ?? dear(parts, context);
    if (first !== null) return first;
    const config = machine(seeds[0]);
    const subject = {
      config,
      scenario: resizeScenario(() => parts),
      options,
      limits: LIMITS,
      ref: null,
    };
    execution();
    const work = exploring(subject, planOf(seeds[0]));
    for (;;) {
      const step = work.next();
      if (step.done !== true) {
        execution();
        continue;
      }
      const { first, executions, exercised } = step.value;
      if (first === null) {
        const note = `${executions} executions held, ${exercised} with a grace period`;
        return exercised > 0
          ? { state: "PASS", note }
          : { state: "NOT-EXERCISED", why: "no grace period ended" };
      }
      const { deviations } = first.execution.schedule;
      const [rule] = first.execution.faults;
      const how = rule === undefined
        ? `${deviations?.length ?? 0} stalls`
        : `${rule.what} allocation ${rule.nth} fails`;
      const trial: Trial = { what: how, options, ...(deviations === null ? {} : { deviations }) };
      execution();
      const again = rule === undefined ? tried(parts, "all", trial, seeds[0]).played : null;
      return failed(`execution ${first.nth} (${how}): ${first.failure.text}`, again);
    }
  };
}

/** PCT(3, n): three stalls anywhere. */
export const W1: Check = explored((seed) => ({ policy: "pct", runs: 24, depth: 3, seed }), {
  grows: "1",
  hold: "12",
});

/** Each slab allocation in turn. */
export const W2: Check = explored(() => ({ policy: "failslab" }), { grows: "1", hold: "6", groups: "2" });

/** The budget alone, on every seed. */
export function W3(context: CheckContext): Outcome {
  const parts = ownParts(context.submission);
  if (typeof parts === "string") return failed(parts, null);
  const failure = firstFailure(parts, "flex", context);
  if (failure !== null) return failure;
  for (const seed of context.seeds.slice(0, 2)) {
    const { why, played } = costOf(parts, seed, () => context.execution());
    if (why !== null) return failed(why, played);
  }
  return { state: "PASS" };
}

const HEADLESS_TRIALS: readonly Trial[] = [
  { what: "3 grows", options: { grows: "3" } },
  {
    what: "no memory for a block, and a reader that looks for 150 ms",
    options: { grows: "1", hold: "150" },
    starve: true,
  },
];

/** H1: the headless form does what the stub form does, without a stub. */
export function H1(context: CheckContext): Outcome {
  const { submission, seeds, execution } = context;
  const headless = submission[HEADLESS];
  if (typeof headless !== "function") return failed(`${HEADLESS}() is not exported`, null);
  const parts = partsWith(() => ({
    ext4_kvfree_array_rcu: headless as Parts["ext4_kvfree_array_rcu"],
  }));
  for (const site of [SITES[seeds[0] % SITES.length], SITES[(seeds[0] + 1) % SITES.length]]) {
    for (const trial of HEADLESS_TRIALS) {
      execution();
      const own = tried(parts, site, trial, seeds[0]);
      if (own.played.failure !== null) {
        return failed(`${site}, ${trial.what}, headless form: ${own.played.failure}`, own.played);
      }
      execution();
      const stub = tried(partsWith(), site, trial, seeds[0]);
      const what = differing(own.played, stub.played, Number(trial.options.grows));
      if (what !== null) return failed(`${site}, ${trial.what}: ${what}`, own.played);
      const why = trial.starve === true ? null : tooDear(own.seen, stub.seen);
      if (why !== null) return failed(`${site}, ${trial.what}, headless form: ${why}`, own.played);
    }
  }
  return { state: "PASS" };
}

/** In what the two forms differ, or what makes the first one no headless form. */
function differing(headless: Played, stub: Played, grows: number): string | null {
  const given = records(headless, "kvfree_rcu");
  if (given.length !== grows) {
    return `kvfree_rcu() was called ${given.length} times for ${grows} arrays: the headless form gives it each array`;
  }
  const [own, other] = [marks(headless), marks(stub)];
  if (own !== other) return `the file system grew otherwise: "${own}", with the stub "${other}"`;
  const left = memoryVerdict(headless.k, headless.run.startSeq).live.length;
  const before = memoryVerdict(stub.k, stub.run.startSeq).live.length;
  return left === before ? null : `${left} allocations are left, with the stub ${before}`;
}

function records({ k, run }: Played, name: string): number[][] {
  const id = traceEvents.find((event) => event.name === name)?.id;
  return [...k.log.records(run.startSeq)].filter((r) => r.kind === id).map(({ args }) => [...args]);
}

function marks(played: Played): string {
  return records(played, "tracing_mark_write").map(([text]) => played.k.log.text(text)).join(", ");
}
