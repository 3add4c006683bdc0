// SPDX-License-Identifier: GPL-2.0-only
/**
 * Exploring a scenario: one plan, carried out on one machine, as a step-by-step search or at once.
 *
 * Invariant: the result is a function of (subject, plan, budget). A caller may stop between any two executions; how often
 * it looks changes nothing.
 *
 * @module
 */

import { type BoundedPlan, searchBounded } from "./bounded.ts";
import type { Subject } from "./executor.ts";
import { type Minimised, minimising } from "./minimise.ts";
import { type PctPlan, type RandomPlan, samplePct, sampleRandom } from "./sample.ts";
import { type Budget, type Claim, DEFAULT_BUDGET, Search, type SearchResult } from "./search.ts";
import { sweep, type SweepPlan } from "./sweep.ts";

/** How to choose executions. */
export type Plan = RandomPlan | PctPlan | BoundedPlan | SweepPlan;

/** What to do about failures; by default the first ends the search. */
export interface ExploreOptions {
  readonly budget?: Budget;
  /** Go on after the first failure, and count. */
  readonly keepGoing?: boolean;
  /** Minimise the first failure. */
  readonly minimise?: boolean;
}

/** What an exploration came to. */
export interface Exploration extends SearchResult {
  readonly plan: Plan;
  /** The first failure, minimised; null when there is none, or that was not asked for. */
  readonly minimised: Minimised | null;
}

/** Explores; every step of the iteration is one execution. */
export function* exploring(
  subject: Subject,
  plan: Plan,
  { budget = DEFAULT_BUDGET, keepGoing = false, minimise = false }: ExploreOptions = {},
): Generator<void, Exploration, void> {
  checkPlan(plan);
  const search = new Search(subject, budget, keepGoing);
  const claim = yield* claimOf(search, plan);
  const result = search.result(claim);
  const { first } = result;
  const minimised = minimise && first !== null ? yield* minimising(search.executor, first.execution) : null;
  return { ...result, plan, minimised };
}

/** Explores at once. */
export function explore(subject: Subject, plan: Plan, options: ExploreOptions = {}): Exploration {
  const work = exploring(subject, plan, options);
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

function claimOf(search: Search, plan: Plan): Generator<void, Claim, void> {
  switch (plan.policy) {
    case "random":
      return sampleRandom(search, plan);
    case "pct":
      return samplePct(search, plan);
    case "bounded":
      return searchBounded(search, plan);
    case "failslab":
    case "fail_page":
      return sweep(search, plan);
  }
}

function checkPlan(plan: Plan): void {
  const least: Record<string, number | undefined> = {
    ...("runs" in plan ? { runs: plan.runs } : {}),
    ...("depth" in plan ? { depth: plan.depth } : {}),
  };
  for (const [name, value = 0] of Object.entries(least)) requireAtLeast(name, value, 1);
  if ("bound" in plan) requireAtLeast("bound", plan.bound, 0);
}

function requireAtLeast(name: string, value: number, min: number): void {
  if (!Number.isSafeInteger(value) || value < min) {
    throw new RangeError(`${name} ${value}: ${min} or more is allowed`);
  }
}
