// SPDX-License-Identifier: GPL-2.0-only
/**
 * The student's functions in the program: runs that every right fix stands, and what they may cost.
 *
 * Invariant: what is allowed is measured on the same machine and schedule with proper parts, and never in host time.
 *
 * @module
 */

import {
  addFailRule,
  checkConfig,
  clearFailRules,
  type Config,
  type Deviation,
  type Kernel,
  type MaySleep,
  type VirtAddr,
} from "../../mod.ts";
import { POLICY_RUN_ON } from "../../kernel/machine/chooser.ts";
import type { OptionValues, ScenarioOption } from "../../explore/scenario.ts";
import { type ArrayPtr, PART_NAMES, type PartName, type Parts, partsWith } from "./parts.ts";
import { play, type Played } from "./play.ts";
import { nothingSeen, resizeScenario, type Seen } from "./program.ts";

/** The name of the headless form, in place of ext4_kvfree_array_rcu(). */
export const HEADLESS = "ext4_kvfree_array_headless";

/** The grader's readers may take longer than those of the given program. */
const LONG_HOLD: ScenarioOption = { name: "hold", kind: "int", min: 0, max: 400, default: "12", help: "ms" };

type Functions = Readonly<Record<string, unknown>>;

/** The student's parts, or which is missing. */
export function ownParts(submission: Functions): Parts | string {
  for (const name of PART_NAMES) {
    if (typeof submission[name] !== "function") return `${name}() is not exported`;
  }
  const part = (name: PartName): unknown => submission[name];
  return partsWith(() =>
    Object.fromEntries(PART_NAMES.map((name) => [name, part(name)])) as unknown as Parts
  );
}

/** The machine of all checks of fixes. */
export function machine(seed: number, cpus = 4): Config {
  return checkConfig({ cpus, seed, kasan: true, memBytes: 32 * 2 ** 20, policy: POLICY_RUN_ON });
}

/** Parts that find no memory while they replace an array. */
export function starving(parts: Parts): Parts {
  return {
    ...parts,
    *replaceArray(k: Kernel, where: ArrayPtr, n_array: VirtAddr, o_array: VirtAddr): MaySleep<void> {
      const rules = [
        addFailRule(k, { what: "slab", times: -1 }),
        addFailRule(k, { what: "page", times: -1 }),
      ];
      yield* parts.replaceArray(k, where, n_array, o_array);
      for (const rule of rules) clearFailRules(k, rule);
    },
  };
}

/** A run that parts are put through. */
export interface Trial {
  readonly what: string;
  readonly options: OptionValues;
  /** Without memory in replaceArray(). */
  readonly starve?: boolean;
  readonly deviations?: readonly Deviation[];
}

/** What every right fix stands. */
export const TRIALS: readonly Trial[] = [
  { what: "a plain run", options: { grows: "3" } },
  { what: "a reader that looks for 90 ms", options: { grows: "1", hold: "90" } },
  {
    what: "no memory for a stub, and a reader that looks for 150 ms",
    options: { grows: "1", hold: "150" },
    starve: true,
  },
];

/** Puts parts through a trial. */
export function tried(
  parts: Parts,
  site: string,
  trial: Trial,
  seed: number,
): { played: Played; seen: Seen } {
  const seen = nothingSeen();
  const used = trial.starve === true ? starving(parts) : parts;
  const config = machine(seed);
  const played = play({
    config,
    schedule: { policy: config.policy, seed, deviations: trial.deviations ?? [] },
    scenario: resizeScenario(() => used, [LONG_HOLD], seen),
    options: { ...trial.options, site },
    faults: [],
  });
  return { played, seen };
}

/** Virtual ns of the writer beyond which it is too slow. */
const SLACK = { factor: 1.5, ns: 4e6 };
/** Least share of the looks of readers that is left to them. */
const LEAST_LOOKS = 0.6;

/** What is too dear of a run of the writer, compared with the proper one; null: nothing. */
export function tooDear(own: Seen, proper: Seen): string | null {
  const allowed = SLACK.factor * proper.writerNs + SLACK.ns;
  if (own.writerNs > allowed) {
    return `the writer takes ${ms(own.writerNs)} where ${
      ms(allowed)
    } are allowed: growing must not wait for readers`;
  }
  const least = Math.ceil(LEAST_LOOKS * proper.looks);
  if (own.looks < least) return `readers come to ${own.looks} looks where ${least} are the least`;
  return null;
}

function ms(ns: number): string {
  return `${(ns / 1e6).toFixed(1)} ms`;
}

/** Runs of the cost budget: many grows, short looks. */
export const COST_TRIAL: Trial = { what: "8 grows", options: { grows: "8", hold: "6" } };

/** What the student's parts cost more than they may, or null. */
export function costOf(
  parts: Parts,
  seed: number,
  execution: () => void,
): { why: string | null; played: Played } {
  execution();
  const own = tried(parts, "gdb", COST_TRIAL, seed);
  execution();
  const proper = tried(partsWith(), "gdb", COST_TRIAL, seed);
  return { why: tooDear(own.seen, proper.seen), played: own.played };
}
