// SPDX-License-Identifier: GPL-2.0-only
/**
 * An exploration in lines: what holds or does not, how much was executed, and what does the first failure again.
 *
 * Invariant: the word before the claim and the claim never say more than the numbers below them; executions in which RCU
 * got nothing done are said to be such.
 *
 * @module
 */

import { failRuleText } from "../../kernel/fault_inject.ts";
import type { Exploration } from "./explore.ts";
import type { Minimised } from "./minimise.ts";
import type { Claim } from "./search.ts";
import { stallText } from "./stalls.ts";

/** `EXHAUSTED(2)`, `EXHAUSTED`, `BOUNDED(1)`, `SAMPLED(300)`. */
export function claimName(claim: Claim): string {
  switch (claim.kind) {
    case "EXHAUSTED":
      return claim.bound === null ? "EXHAUSTED" : `EXHAUSTED(${claim.bound})`;
    case "BOUNDED":
      return claim.bound < 0 ? "BOUNDED(none)" : `BOUNDED(${claim.bound})`;
    case "SAMPLED":
      return `SAMPLED(${claim.executions})`;
  }
}

/** All lines; the last one of a failure is its TOKEN. */
export function* explorationLines(r: Exploration): Generator<string, void, void> {
  const { claim, first, minimised } = r;
  const word = first !== null ? "failed" : r.ranOut === null ? "held" : "held so far";
  yield `${r.name}: ${word}, ${claimName(claim)}: ${claim.what}`;
  yield numbers(r);
  if (r.executions > 0 && r.progress === 0 && r.progressName !== null) {
    yield `no ${r.progressName} was completed in any of them: this says nothing about RCU`;
  }
  for (const [outcome, n] of r.outcomes) yield `  ${n} ended in ${outcome}`;
  if (r.ranOut !== null) yield `the budget of ${r.ranOut} is used up`;
  if (first === null) return;
  if (r.failures.length > 1 || r.failures[0][1] > 1) {
    for (const [kind, n] of r.failures) yield `  ${n} failed: ${kind}`;
  }
  const faults = first.execution.faults.map(failRuleText).join("; ");
  yield `execution ${first.nth}${faults === "" ? "" : ` (${faults})`}: ${first.failure.text}`;
  if (minimised !== null) yield* minimisedLines(minimised);
  const token = minimised === null ? first.token : minimised.token;
  yield token === null ? "no TOKEN: the program has no name by which it can be found" : `TOKEN ${token}`;
}

function numbers(r: Exploration): string {
  const parts = [
    `${plural(r.executions, "execution")}, ${r.completed} completed`,
    ...(r.progressName === null
      ? []
      : [`${plural(r.progress, r.progressName)}, at least one in ${plural(r.exercised, "execution")}`]),
    plural(r.states, "final state") + (r.orders === null ? "" : `, ${plural(r.orders, "order")} of points`),
  ];
  return parts.join("; ");
}

function* minimisedLines(m: Minimised): Generator<string, void, void> {
  const cut = m.cut ? ", which is all that was allowed" : "";
  const { length } = m.stalls;
  const end = length === 0 ? "" : ":";
  yield `minimised from ${plural(m.from, "stall")} to ${length} in ${
    plural(m.executions, "execution")
  }${cut}${end}`;
  for (const stall of m.stalls) yield `  ${stallText(stall)}`;
}

function plural(n: number, what: string): string {
  if (n === 1) return `1 ${what}`;
  return `${n} ${what.endsWith("h") ? `${what}es` : `${what}s`}`;
}
