// SPDX-License-Identifier: GPL-2.0-only
/**
 * Checks of lab L5 that explore: an interrupt at every load and store, drawn programs, and blocks that cannot be had.
 *
 * Every property counts in each of them. Invariant: a check that nothing failed in says how much it executed.
 *
 * @module
 */

import type { Plan } from "../../explore/search/explore.ts";
import { stallOf } from "../../explore/search/stalls.ts";
import type { CheckContext, Outcome } from "../lab.ts";
import { Bench, failedRun, type Script } from "./bench.ts";
import { busySteps, drawnScript, times } from "./scripts.ts";

/** The timer interrupt at every load and store, up to so many times in a run. */
function interrupts(bound: number): Plan {
  return { policy: "bounded", bound, stalls: [stallOf(4e6)], at: { objects: ["load", "store"] } };
}

/** Explores one after the other, until one fails. */
function all(bench: Bench, plans: readonly (readonly [Script, Plan, number])[]): Outcome {
  const claims: string[] = [];
  for (const [script, plan, executions] of plans) {
    const { failure, claim } = bench.explore(script, plan, executions);
    if (failure !== null) return failure;
    claims.push(claim);
  }
  return { state: "PASS", note: claims.join(", ") };
}

/** Drawn programs; callbacks must have run in them, or objects been freed. */
function drawn(bench: Bench, { seeds }: CheckContext, kind: "callbacks" | "kvfree", each: number): Outcome {
  let done = 0;
  let runs = 0;
  for (const seed of seeds) {
    for (let i = 0; i < each; i++) {
      const run = bench.play(drawnScript(kind, 100 * seed + i, bench.variant), seed + i);
      if (run.broken.length > 0) return failedRun(run, run.broken[0]);
      const { invoked, freed } = run.ledger.count;
      done += kind === "callbacks" ? invoked : freed;
      runs++;
    }
  }
  const what = kind === "callbacks" ? "callbacks" : "objects";
  if (done === 0) return { state: "NOT-EXERCISED", why: `no ${what}` };
  return { state: "PASS", note: `${runs} drawn programs, ${done} ${what}` };
}

/** The first of several outcomes that is no PASS; else PASS with all notes. */
function firstOf(outcomes: readonly (() => Outcome)[]): Outcome {
  const notes: string[] = [];
  for (const outcome of outcomes) {
    const found = outcome();
    if (found.state !== "PASS") return found;
    if (found.note !== undefined) notes.push(found.note);
  }
  return { state: "PASS", note: notes.join("; ") };
}

/** X1: callbacks, and an interrupt that queues one at every step. */
export function interruptedCallbacks(context: CheckContext): Outcome {
  const bench = new Bench(context);
  return all(bench, [
    [{ task: "call,call,user,call,sleep", irq: "call,call,call" }, interrupts(1), 200],
    [{ task: "call,barrier", irq: "call,call" }, interrupts(1), 100],
    [{ task: "call,user", irq: "call,call" }, interrupts(2), 200],
  ]);
}

/** X2: longer programs. */
export function drawnCallbacks(context: CheckContext): Outcome {
  const bench = new Bench(context);
  const plan: Plan = { policy: "random", runs: 20, seed: context.seeds[0] };
  return firstOf([
    () => drawn(bench, context, "callbacks", 5),
    () => all(bench, [[drawnScript("callbacks", context.seeds[0], bench.variant), plan, 20]]),
  ]);
}

/** X3: the same of kvfree_rcu(). */
export function interruptedKvfree(context: CheckContext): Outcome {
  const bench = new Bench(context);
  const { variant } = bench;
  const small: Script = { task: "head,headless,twice,head,sleep", irq: "head,head" };
  return firstOf([
    () => drawn(bench, context, "kvfree", 5),
    () =>
      all(bench, [
        [small, interrupts(1), 150],
        [{ task: `atomic,${busySteps(variant)}`, slow: 40 }, { policy: "random", runs: 8 }, 8],
      ]),
  ]);
}

/** W1: the k-th block cannot be had, or none from the k-th on. */
export function blocksFail(context: CheckContext): Outcome {
  const bench = new Bench(context);
  const { variant, blocks } = bench;
  const fill = times(variant.capacity, "head");
  const scripts: Script[] = [
    { task: `${fill},headless,twice,vmalloc,atomic,sleep,call,head,twice,barrier`, irq: "head,call" },
    { task: busySteps(variant), slow: 40 },
  ];
  return all(
    bench,
    scripts.flatMap((script) =>
      [1, -1].map((n) => [script, { policy: "failslab", only: blocks, times: n } satisfies Plan, 20] as const)
    ),
  );
}
