// SPDX-License-Identifier: GPL-2.0-only
/**
 * Checks of lab L5 that run programs: one property each, its cost, and the boot with the student's functions.
 *
 * Invariant: a property that no run came into the situation of is NOT-EXERCISED, never PASS.
 *
 * @module
 */

import { checkConfig } from "../../kernel/config.ts";
import { POLICY_TIME } from "../../kernel/machine/chooser.ts";
import { bootKernel } from "../../init/main.ts";
import type { Check, CheckContext, Outcome } from "../lab.ts";
import { failed } from "../framework/evidence.ts";
import { Bench, failedRun, MACHINE, type Played, type Script } from "./bench.ts";
import type { Broken } from "./ledger.ts";
import { TinyMachine } from "./machine.ts";
import { codeOf, partsOf } from "./own.ts";
import { scriptsFor, steps, times } from "./scripts.ts";

/** How much must have happened for a property to have been tried, and what it is. */
function exercised(property: string, played: readonly Played[]): string | null {
  const sum = (name: keyof Played["ledger"]["count"]): number =>
    played.reduce((n, { ledger }) => n + ledger.count[name], 0);
  if (property === "S5") return sum("syncs") > 0 ? null : "synchronize_rcu() was not called";
  if (property === "S6") return sum("barriers") > 0 ? null : "no rcu_barrier() has returned";
  if (property === "F4" && sum("allBusy") === 0) return "the monitor never found all slots busy";
  if (property.startsWith("F") || property === "A1") return sum("freed") > 0 ? null : "no object was freed";
  return sum("invoked") > 0 ? null : "no callback has run";
}

/** A property, in its own programs under a few seeds. */
export function runCheck(property: string): Check {
  return (context): Outcome => {
    const bench = new Bench(context);
    const played: Played[] = [];
    for (const script of scriptsFor(property, bench.variant)) {
      for (const seed of seedsOf(context, script)) {
        const run = bench.play(script, seed);
        played.push(run);
        const broken = run.broken.find((it) => it.property === property);
        if (broken !== undefined) return failedRun(run, broken);
      }
    }
    const why = exercised(property, played);
    if (why !== null) return { state: "NOT-EXERCISED", why };
    // What is not in memory, or not the student's, proves nothing about tiny RCU.
    const foul = played.find((run) => run.broken.some((it) => it.property === "A2"));
    if (foul !== undefined) return failedRun(foul, foul.broken.find((it) => it.property === "A2") as Broken);
    return property === "A1"
      ? blocks(bench, played[0])
      : property === "S3"
      ? boots(context)
      : { state: "PASS" };
  };
}

function seedsOf({ seeds }: CheckContext, script: Script): readonly number[] {
  return script.strict === true ? seeds.slice(0, 1) : seeds.slice(0, 3);
}

/** As many blocks as the pointers need, and the spare one used again. */
function blocks(bench: Bench, run: Played): Outcome {
  const { spare } = bench.variant;
  const right = 3 + 2 - spare;
  const { blocks: made } = run.ledger.count;
  if (made === right) return { state: "PASS" };
  const text =
    `alloc_block() gave ${made} blocks for two batches that need 3 and 2, ${spare} kept in between`;
  return failedRun(run, { property: "A1", text: `${text}: ${right} are right` });
}

/** The machine boots with the functions in place of rcu/tiny.ts from the start, and runs them. */
function boots(context: CheckContext): Outcome {
  const { variant } = new Bench(context);
  let made: TinyMachine | null = null;
  context.execution();
  const config = checkConfig({ ...MACHINE, rcuSelfTest: true, seed: 1 });
  const schedule = { policy: POLICY_TIME, seed: 1, deviations: [] };
  const parts = partsOf((k) => made = new TinyMachine(k, codeOf(context.submission), variant, true));
  bootKernel(config, schedule, null, parts);
  const { broken } = (made as unknown as TinyMachine).ledger;
  if (broken.length === 0) return { state: "PASS" };
  const cause = `${broken[0].property} while the machine boots: ${broken[0].text}`;
  return failed({ cause, token: null, trace: [] });
}

/** Loads and stores that one section with interrupts off may have, by function. */
function mostOff(name: string, limit: number): number | null {
  switch (name) {
    case "call_rcu":
      return 14;
    case "rcu_qs":
      return 10;
    case "rcu_process_callbacks":
      return 16 + 2 * limit;
    case "kvfree_call_rcu":
      return 18;
    default:
      return null;
  }
}

/** C1: interrupts are never off for long, however much waits. */
export function interruptsOff(context: CheckContext): Outcome {
  const bench = new Bench(context);
  const run = bench.play(crowd());
  const why = exercised("S3", [run]);
  if (run.broken.length > 0) return failedRun(run, run.broken[0]);
  if (why !== null) return { state: "NOT-EXERCISED", why };
  for (const [name, n] of Object.entries(run.ledger.irqsOff)) {
    const most = mostOff(name, bench.variant.limit);
    if (most === null || n <= most) continue;
    const text = `${name}() makes ${n} loads and stores with interrupts off in one go; ${most} are allowed`;
    return failedRun(run, { property: "C1", text });
  }
  return { state: "PASS" };
}

/** Loads and stores for one callback, from call_rcu() to its call, and for one pointer of kvfree_rcu(). */
const MOST_PER_CALLBACK = 26;
const MOST_PER_POINTER = 18;

/** C2: loads and stores in all. */
export function accessesInAll(context: CheckContext): Outcome {
  const bench = new Bench(context);
  const callbacks = bench.play(crowd());
  const pointers = bench.play({ task: steps(times(30, "head"), times(bench.variant.drain + 4, "sleep")) });
  for (const run of [callbacks, pointers]) if (run.broken.length > 0) return failedRun(run, run.broken[0]);
  const why = exercised("S3", [callbacks]) ?? exercised("F1", [pointers]);
  if (why !== null) return { state: "NOT-EXERCISED", why };
  const notes: string[] = [];
  for (
    const [run, count, most, what] of [
      [callbacks, callbacks.ledger.count.invoked, MOST_PER_CALLBACK, "a callback"],
      [pointers, pointers.ledger.count.freed, MOST_PER_POINTER, "a pointer"],
    ] as const
  ) {
    const all = Object.values(run.ledger.accesses).reduce((sum, n) => sum + n, 0);
    const each = all / count;
    notes.push(`${each.toFixed(1)} for ${what}`);
    if (each <= most) continue;
    const text = `${each.toFixed(1)} loads and stores for ${what}; ${most} are allowed`;
    return failedRun(run, { property: "C2", text });
  }
  return { state: "PASS", note: notes.join(", ") };
}

/** Forty callbacks at once. */
function crowd(): Script {
  return { task: steps(times(20, "call"), "head,head,spin", times(20, "call"), "sleep,sleep") };
}
