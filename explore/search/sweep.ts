// SPDX-License-Identifier: GPL-2.0-only
/**
 * Sweeps: the k-th allocation fails, for k = 1, 2, 3 ... until an execution makes fewer than k.
 *
 * Invariant: every execution but the last has exactly the faults that it is said to have, and the last has none. How many
 * allocations there are is not asked beforehand: a program that has failed once may ask for less, or for more.
 *
 * @module
 */

import type { FailRule } from "../../kernel/fault_inject.ts";
import type { Claim, Search } from "./search.ts";

/** Which allocations fail: all of a kind, or those that the rest of a rule says. */
export interface SweepPlan {
  readonly policy: "failslab" | "fail_page";
  /** Requests that count; all if not given. */
  readonly only?: Pick<FailRule, "site" | "cache" | "size" | "order" | "gfp" | "gfpMask">;
  /** How many fail from the k-th on: 1 if not given, -1 for all. */
  readonly times?: number;
}

/** Executes a sweep on the machine's own schedule. */
export function* sweep(search: Search, plan: SweepPlan): Generator<void, Claim, void> {
  const { config, subject } = search.executor;
  const { faults = [] } = subject;
  const what = plan.policy === "failslab" ? "slab" : "page";
  const schedule = { policy: config.policy, seed: config.seed, deviations: null };
  const name = `${what} allocation`;
  let k = 1;
  for (; !search.over; k++) {
    const rule: FailRule = { what, nth: k, times: plan.times ?? 1, ...plan.only };
    search.execute(schedule, [...faults, rule]);
    const mine = search.executor.faultsNow().find(({ id }) => id === faults.length + 1);
    yield;
    if (mine === undefined) {
      return {
        kind: "BOUNDED",
        bound: k - 1,
        what: `the first ${k - 1} ${name}s; the program clears fault rules`,
      };
    }
    if (mine.failures === 0) {
      const all = k === 1 ? `no ${name} to fail` : `each of ${k - 1} ${name}s failed`;
      return { kind: "EXHAUSTED", bound: null, what: all };
    }
  }
  return { kind: "BOUNDED", bound: k - 1, what: `the first ${k - 1} ${name}s` };
}
