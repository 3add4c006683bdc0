// SPDX-License-Identifier: GPL-2.0-only
/**
 * Minimising a failing execution: few stalls, then short ones.
 *
 * Delta debugging over the list of stalls (drop halves, quarters, ... single ones, as long as it still fails), then for
 * each stall the shortest size that still fails. Invariant: after every step the execution fails with a failure of the
 * same kind, and what is returned was executed.
 *
 * Left out: the globally fewest stalls (a bounded search below the number found gives them), and smaller programs.
 *
 * @module
 */

import { assert } from "../../kernel/machine/assert.ts";
import type { Deviation, PassedPoint } from "../../kernel/machine/chooser.ts";
import type { Execution, Executor } from "./executor.ts";
import type { Failure } from "./judge.ts";
import { type NamedStall, nameStalls } from "./stalls.ts";

/** A failing execution with as few stalls, as short as was found. */
export interface Minimised {
  readonly failure: Failure;
  readonly deviations: readonly Deviation[];
  /** The same stalls by names. */
  readonly stalls: readonly NamedStall[];
  /** How many stalls there were. */
  readonly from: number;
  /** Executions that it took. */
  readonly executions: number;
  /** Whether the budget ended it before it was done: the result fails, but may not be the smallest of its kind. */
  readonly cut: boolean;
  readonly token: string | null;
}

/** Executions that minimising may take. */
export const MINIMISE_BUDGET = 500;

/** Tries other stalls under the same seed, policy and faults. */
class Trial {
  private readonly before: number;
  cut = false;

  constructor(
    private readonly executor: Executor,
    private readonly execution: Execution,
    private readonly kind: string,
    private readonly budget: number,
  ) {
    this.before = executor.executions;
  }

  get executions(): number {
    return this.executor.executions - this.before;
  }

  execute(deviations: readonly Deviation[], onPoint?: (point: PassedPoint) => void): Execution {
    const { policy, seed } = this.execution.schedule;
    const schedule = { policy, seed, deviations, ...(onPoint === undefined ? {} : { onPoint }) };
    return this.executor.execute(schedule, this.execution.faults);
  }

  /** Whether it fails in the same way; false, too, when the budget is used up. */
  fails(deviations: readonly Deviation[]): boolean {
    if (this.executions >= this.budget) this.cut = true;
    return !this.cut && this.execute(deviations).failure?.kind === this.kind;
  }
}

/** Minimises step by step; every step is an execution. */
export function* minimising(
  executor: Executor,
  execution: Execution,
  budget = MINIMISE_BUDGET,
): Generator<void, Minimised, void> {
  assert(execution.failure !== null, "only a failing execution can be minimised");
  const trial = new Trial(executor, execution, execution.failure.kind, budget);
  const before = executor.deviationsOf(execution);
  yield;
  const few = yield* dropStalls(trial, before);
  const deviations = yield* shortenStalls(trial, few);
  const points: PassedPoint[] = [];
  const last = trial.execute(deviations, (point) => points.push(point));
  yield;
  assert(last.failure?.kind === execution.failure.kind, "the minimised execution does not fail");
  return {
    failure: last.failure,
    deviations,
    stalls: nameStalls(deviations, points),
    from: before.length,
    executions: trial.executions,
    cut: trial.cut,
    token: executor.token({ ...execution.schedule, deviations }, execution.faults),
  };
}

/** A subset that fails and from which no single stall can be dropped. */
function* dropStalls(trial: Trial, all: readonly Deviation[]): Generator<void, readonly Deviation[], void> {
  let current = all;
  if (current.length === 0) return current;
  if (trial.fails([])) return [];
  yield;
  for (let parts = 2; current.length > 1;) {
    const size = Math.ceil(current.length / parts);
    let smaller: readonly Deviation[] | null = null;
    for (let at = 0; at < current.length && smaller === null; at += size) {
      const rest = [...current.slice(0, at), ...current.slice(at + size)];
      if (trial.fails(rest)) smaller = rest;
      yield;
    }
    if (smaller !== null) {
      current = smaller;
      parts = Math.max(2, parts - 1);
    } else if (size === 1) break;
    else parts = Math.min(current.length, parts * 2);
  }
  return current;
}

/** Each stall as short as it may be while the others stay. */
function* shortenStalls(
  trial: Trial,
  deviations: readonly Deviation[],
): Generator<void, readonly Deviation[], void> {
  let current = deviations;
  for (let i = 0; i < deviations.length; i++) {
    for (let stall = 0; stall < current[i].stall; stall++) {
      const shorter = current.map((d, j) => j === i ? { ...d, stall } : d);
      const fails = trial.fails(shorter);
      yield;
      if (!fails) continue;
      current = shorter;
      break;
    }
  }
  return current;
}
