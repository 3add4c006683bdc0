// SPDX-License-Identifier: GPL-2.0-only
/**
 * Sampling: executions whose stalls are drawn.
 *
 * Random draws the gaps between stalls, as the policy says, seed by seed. Pct, after probabilistic concurrency testing,
 * draws `depth` points among those that the undisturbed run passes, where the CPU falls behind the others. It falls
 * behind for a time and not for good, because time goes on here: the guarantee of the algorithm does not carry over, and
 * none is claimed. Invariant: execution n is a function of the first seed and n.
 *
 * @module
 */

import { type Deviation, type Policy, POLICY_RUN_ON, type Schedule } from "../../kernel/machine/chooser.ts";
import { Random } from "../../kernel/machine/random.ts";
import { filterText, type PointFilter, PointRecorder, type Site } from "./points.ts";
import type { Claim, Search } from "./search.ts";
import { sizesText, usualStalls } from "./stalls.ts";

/** Seed by seed. */
export interface RandomPlan {
  readonly policy: "random";
  readonly runs: number;
  /** The first seed; the machine's if not given. */
  readonly seed?: number;
  /** POLICY_RUN_ON if not given. */
  readonly base?: Policy;
}

/** `depth` stalls in each execution but the first, which has none. */
export interface PctPlan {
  readonly policy: "pct";
  readonly runs: number;
  readonly depth: number;
  readonly seed?: number;
  readonly base?: Policy;
  /** Sizes that a stall may have, as powers of 2 of 250 ns; usualStalls() if not given. */
  readonly stalls?: readonly number[];
  /** Where a stall may happen. */
  readonly at?: PointFilter;
}

/** The stream of random numbers that stalls are drawn from; those of the machine are others. */
const STREAM_PCT = 101;

/** Executes a random plan. */
export function* sampleRandom(search: Search, plan: RandomPlan): Generator<void, Claim, void> {
  const { policy, first } = startOf(search, plan);
  const n = yield* sample(search, plan.runs, (i) => ({ policy, seed: first + i, deviations: null }));
  const what = `${seedsText(first, n)}, policy ${policy.name}, a stall every ${policy.meanGap} points`;
  return { kind: "SAMPLED", executions: n, what };
}

/** Executes a pct plan. The seed is that of the stalls; phases and choices are those of the machine's seed. */
export function* samplePct(search: Search, plan: PctPlan): Generator<void, Claim, void> {
  const { policy, first } = startOf(search, plan);
  const { seed } = search.executor.config;
  const { depth, at = {}, stalls = usualStalls(search.executor.config, policy) } = plan;
  const recorder = new PointRecorder(at, null, true);
  const n = yield* sample(search, plan.runs, (i) => {
    if (i === 0) return { policy, seed, deviations: [], onPoint: (point) => recorder.see(point) };
    return {
      policy,
      seed,
      deviations: drawStalls(new Random(first + i, STREAM_PCT), depth, recorder.after, stalls),
    };
  });
  const most = depth === 1 ? "1 stall" : `${depth} stalls`;
  const where = `${recorder.after.length} ${filterText(at)}`;
  const what = `${seedsText(first, n)}, policy ${policy.name}, ${most} (${sizesText(stalls)}) at ${where}`;
  return { kind: "SAMPLED", executions: n, what };
}

/** `depth` different sites, fewer if there are not so many, in the order in which they were passed. */
function drawStalls(
  random: Random,
  depth: number,
  sites: readonly Site[],
  stalls: readonly number[],
): Deviation[] {
  const left = sites.map((_, i) => i);
  const chosen: number[] = [];
  while (chosen.length < depth && left.length > 0) chosen.push(...left.splice(random.below(left.length), 1));
  chosen.sort((a, b) => a - b);
  return chosen.map((i) => ({ ...sites[i], stall: stalls[random.below(stalls.length)] }));
}

function startOf(search: Search, plan: RandomPlan | PctPlan): { policy: Policy; first: number } {
  const { seed: first = search.executor.config.seed, base: policy = POLICY_RUN_ON } = plan;
  if (!Number.isSafeInteger(first + plan.runs)) {
    throw new RangeError(`seed ${first}: ${plan.runs} runs need as many seeds after it`);
  }
  return { policy, first };
}

/** Executes at most `runs` schedules; returns how many. */
function* sample(
  search: Search,
  runs: number,
  schedule: (i: number) => Schedule,
): Generator<void, number, void> {
  let n = 0;
  while (n < runs && !search.over) {
    search.execute(schedule(n));
    n++;
    yield;
  }
  return n;
}

function seedsText(first: number, n: number): string {
  if (n === 0) return "no seed";
  return n === 1 ? `seed ${first}` : `seeds ${first} to ${first + n - 1}`;
}
