// SPDX-License-Identifier: GPL-2.0-only
/**
 * Bounded search: all executions with no stall, then all with one, then with two ... up to the bound.
 *
 * CPUs run until they block (POLICY_RUN_ON), so a stall of a window is a preemption and one of a tick an interrupt's
 * arrival. An execution with c stalls is one with c - 1 stalls and a further one at a point of interest that comes after
 * them; the points are those that the shorter execution passed. An execution all of whose points came in an order that was
 * seen before is judged and counted, but not gone on from: it differs from the other in times alone.
 *
 * Invariant: each set of stalls is executed once, and a level is claimed when it was finished. Not here: independence of
 * accesses (points have names, not addresses), so orders that differ in nothing that matters are all executed.
 *
 * @module
 */

import { type Deviation, type Policy, POLICY_RUN_ON } from "../../kernel/machine/chooser.ts";
import { filterText, type PointFilter, PointRecorder, type Site } from "./points.ts";
import type { Claim, Search } from "./search.ts";
import { sizesText, usualStalls } from "./stalls.ts";

/** All executions with at most `bound` stalls. */
export interface BoundedPlan {
  readonly policy: "bounded";
  readonly bound: number;
  /** Sizes that a stall may have, as powers of 2 of 250 ns; usualStalls() if not given. */
  readonly stalls?: readonly number[];
  /** Where a stall may happen. */
  readonly at?: PointFilter;
  /** POLICY_RUN_ON if not given. */
  readonly base?: Policy;
  /** Go on from executions whose order was seen before, too. */
  readonly repeats?: boolean;
}

/** An execution to go on from. */
interface Node {
  readonly deviations: readonly Deviation[];
  /** Points of interest after the last stall. */
  readonly points: readonly Site[];
}

class BoundedSearch {
  private readonly orders = new Set<string>();
  readonly stalls: readonly number[];
  /** Executions that could be gone on from, and are not because they repeated an order. */
  repeated = 0;

  constructor(
    private readonly search: Search,
    private readonly plan: BoundedPlan,
    private readonly policy: Policy,
  ) {
    this.stalls = plan.stalls ?? usualStalls(search.executor.config, policy);
    search.orders = this.orders;
  }

  /** Executes with these stalls. Null: nothing new comes after it. */
  visit(deviations: readonly Deviation[], goOn: boolean): Node | null {
    const recorder = new PointRecorder(this.plan.at ?? {}, deviations.at(-1) ?? null, goOn);
    const { seed } = this.search.executor.config;
    this.search.execute({
      policy: this.policy,
      seed,
      deviations,
      onPoint: (point) => recorder.see(point),
    });
    const order = recorder.order();
    const known = this.orders.has(order);
    this.orders.add(order);
    if (!known || this.plan.repeats === true) return { deviations, points: recorder.after };
    if (recorder.after.length > 0) this.repeated++;
    return null;
  }

  /** All executions with one stall more. Returns those to go on from, or null when the search was over before. */
  *level(parents: readonly Node[], goOn: boolean): Generator<void, Node[] | null, void> {
    const next: Node[] = [];
    for (const { deviations, points } of parents) {
      for (const point of points) {
        for (const stall of this.stalls) {
          if (this.search.over) return null;
          const node = this.visit([...deviations, { ...point, stall }], goOn);
          if (node !== null) next.push(node);
          yield;
        }
      }
    }
    return next;
  }

  /** What the executions of a bound are, when `skipped` shorter ones were not gone on from. */
  text(bound: number, sites: number, skipped: number): string {
    const where = `${sites} ${filterText(this.plan.at ?? {})}`;
    const most = bound === 0 ? "no stall" : bound === 1 ? "at most 1 stall" : `at most ${bound} stalls`;
    const less = skipped === 0 ? "" : `, not going on from ${skipped} that repeated an order of points`;
    return bound === 0 ? most : `${most} (${sizesText(this.stalls)}) at ${where}${less}`;
  }
}

/** Executes a bounded plan. */
export function* searchBounded(search: Search, plan: BoundedPlan): Generator<void, Claim, void> {
  const { bound, base = POLICY_RUN_ON } = plan;
  const bounded = new BoundedSearch(search, plan, base);
  if (search.over) return { kind: "BOUNDED", bound: -1, what: "nothing was executed" };
  const root = bounded.visit([], true);
  yield;
  let nodes = root === null ? [] : [root];
  const sites = root?.points.length ?? 0;
  let skipped = 0; // executions that the last finished level does not go on from
  for (let c = 1; c <= bound; c++) {
    const shorter = bounded.repeated;
    const before = search.executor.executions;
    const next = yield* bounded.level(nodes, true);
    if (next === null || (c < bound && next.some(({ points }) => points.length > 0) && search.over)) {
      const done = next === null ? c - 1 : c;
      const more = search.executor.executions - before;
      const part = next === null && more > 0 ? `, and ${more} of those with ${c}` : "";
      const lacks = next === null ? skipped : shorter;
      return { kind: "BOUNDED", bound: done, what: bounded.text(done, sites, lacks) + part };
    }
    skipped = shorter;
    nodes = next.filter(({ points }) => points.length > 0);
    if (nodes.length === 0) {
      return {
        kind: "EXHAUSTED",
        bound: null,
        what: `${bounded.text(c, sites, shorter)}; a further one gives no new order`,
      };
    }
  }
  return { kind: "EXHAUSTED", bound, what: bounded.text(bound, sites, skipped) };
}
