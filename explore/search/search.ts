// SPDX-License-Identifier: GPL-2.0-only
/**
 * One search: executions under a budget, what they came to in numbers, and the first failure.
 *
 * Budgets are executions and points, never time, so that a search is a function of its input. Invariant: what is claimed
 * was done. An execution that the budget did not allow is in no count and in no claim.
 *
 * @module
 */

import type { Schedule } from "../../kernel/machine/chooser.ts";
import type { FailRule } from "../../kernel/fault_inject.ts";
import { type Execution, Executor, type Subject } from "./executor.ts";
import type { Failure } from "./judge.ts";
import { progressName } from "./progress.ts";

/** Where a search stops. */
export interface Budget {
  readonly executions: number;
  /** Points of all executions, with their boots. */
  readonly points: number;
}

export const DEFAULT_BUDGET: Budget = { executions: 10_000, points: 200_000_000 };

/** How much of what there is was executed. */
export type Claim =
  /** All executions of a definition. `bound` is its bound, null when no bound cut anything off. */
  | { readonly kind: "EXHAUSTED"; readonly bound: number | null; readonly what: string }
  /** All executions up to `bound` of something that has more; -1 when not even the first of them. */
  | { readonly kind: "BOUNDED"; readonly bound: number; readonly what: string }
  /** So many of them, drawn. */
  | { readonly kind: "SAMPLED"; readonly executions: number; readonly what: string };

/** An execution that failed, with what does it again. */
export interface Found {
  /** Which execution of the search, from 1. */
  readonly nth: number;
  readonly failure: Failure;
  readonly execution: Execution;
  /** Null when the scenario has no name to be found by. */
  readonly token: string | null;
}

/** What a search came to. */
export interface SearchResult {
  readonly name: string;
  readonly claim: Claim;
  readonly executions: number;
  /** Executions that ended of themselves. */
  readonly completed: number;
  readonly points: number;
  /** What `progress` counts: "grace period" or "callback batch"; null without RCU. */
  readonly progressName: string | null;
  readonly progress: number;
  /** Executions with at least one of them. */
  readonly exercised: number;
  /** Distinct state hashes at the end. */
  readonly states: number;
  /** Distinct orders of the points looked at; null when points were not looked at. */
  readonly orders: number | null;
  /** Executions by what they came to, in the order of the words. */
  readonly outcomes: readonly (readonly [string, number])[];
  /** Failed executions by kind of failure, in the order of the words. */
  readonly failures: readonly (readonly [string, number])[];
  readonly first: Found | null;
  /** Which budget ran out, if one did. */
  readonly ranOut: keyof Budget | null;
}

/** The state of a search. */
export class Search {
  readonly executor: Executor;
  /** Orders of points seen, by hash; null until a search counts them. */
  orders: Set<string> | null = null;
  ranOut: keyof Budget | null = null;
  first: Found | null = null;
  private completed = 0;
  private progress = 0;
  private exercised = 0;
  private readonly states = new Set<string>();
  private readonly outcomes = new Map<string, number>();
  private readonly failures = new Map<string, number>();

  /** `keepGoing`: count further failures after the first. */
  constructor(
    readonly subject: Subject,
    private readonly budget: Budget = DEFAULT_BUDGET,
    private readonly keepGoing = false,
  ) {
    this.executor = new Executor(subject);
  }

  /** Whether no further execution is wanted or allowed. */
  get over(): boolean {
    if (this.first !== null && !this.keepGoing) return true;
    if (this.executor.executions >= this.budget.executions) this.ranOut ??= "executions";
    else if (this.executor.points >= this.budget.points) this.ranOut ??= "points";
    return this.ranOut !== null;
  }

  /** Carries out one execution and counts it. Only while the search is not over. */
  execute(schedule: Schedule, faults?: readonly FailRule[]): Execution {
    const execution = this.executor.execute(schedule, faults);
    const { verdict, progress, failure, outcome } = execution;
    if (verdict.ending === "completed") this.completed++;
    this.progress += progress;
    if (progress > 0) this.exercised++;
    this.states.add(verdict.hash);
    if (outcome !== null) count(this.outcomes, outcome);
    if (failure !== null) {
      count(this.failures, failure.kind);
      const token = this.executor.token(execution.schedule, execution.faults);
      this.first ??= { nth: this.executor.executions, failure, execution, token };
    }
    return execution;
  }

  /** The result, given what may be claimed. */
  result(claim: Claim): SearchResult {
    const { executor, subject } = this;
    return {
      name: subject.scenario.name,
      claim,
      executions: executor.executions,
      completed: this.completed,
      points: executor.points,
      progressName: progressName(executor.config.rcu),
      progress: this.progress,
      exercised: this.exercised,
      states: this.states.size,
      orders: this.orders?.size ?? null,
      outcomes: sorted(this.outcomes),
      failures: sorted(this.failures),
      first: this.first,
      ranOut: this.ranOut,
    };
  }
}

function count(counts: Map<string, number>, word: string): void {
  counts.set(word, (counts.get(word) ?? 0) + 1);
}

function sorted(counts: ReadonlyMap<string, number>): [string, number][] {
  return [...counts].sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
}
