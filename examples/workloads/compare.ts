// SPDX-License-Identifier: GPL-2.0-only
/**
 * One workload at one level: a machine of its own, the run, the numbers.
 *
 * @module
 */

import {
  type Atomic,
  checkConfig,
  checkNeeds,
  checkOptions,
  type Config,
  type Ending,
  type Kernel,
  type Level,
  memorySince,
  OptionError,
  Run,
  scheduleOf,
  Tally,
  type TallyCounts,
} from "../../mod.ts";
import { doneVoid } from "../../kernel/machine/effects.ts";
import { bootKernel } from "../../init/main.ts";
import type { Workload } from "./workload.ts";

/** What a workload came to at a level. */
export interface LevelRun {
  readonly level: Level;
  /** One line when the level does not offer what the workload calls; the numbers are then those of nothing. */
  readonly refused: string | null;
  readonly counts: TallyCounts;
  readonly reports: number;
  readonly leaked: number;
  /** Pointers that RCU still holds at the end. */
  readonly pending: number;
  readonly ending: Ending | null;
  readonly hash: string;
}

/** What `series run` stops at when a workload leaves pointers that nothing will free. */
const LIMITS = { ns: 30e9, points: 20_000_000 };

/** Runs `workload` at `level` of a machine that is `machine` otherwise. */
export function runAt(workload: Workload, level: Level, machine: Partial<Config> = {}): LevelRun {
  const { scenario } = workload;
  const config = checkConfig({ ...machine, ...workload.config, level });
  const options = checkOptions(scenario, workload.options?.(level) ?? {});
  try {
    checkNeeds(scenario, options, level);
  } catch (error) {
    if (error instanceof OptionError) return nothing(level, error.message);
    throw error;
  }
  let tally: Tally | undefined;
  const attach = (k: Kernel): Atomic<void> => {
    tally = new Tally(k, workload.callbacks);
    tally.attach();
    return doneVoid();
  };
  // What boot gives to RCU counts too.
  const fromBoot = config.rcuSelfTest || config.earlyDriver > 0;
  const k = bootKernel(config, scheduleOf(config), fromBoot ? attach : null);
  const run = new Run(k, scenario, options, LIMITS, "none");
  tally ??= new Tally(k, workload.callbacks);
  tally.attach();
  run.advance();
  const { ending, reports, hash } = run.verdict();
  const { leaked } = memorySince(k, run);
  const { counts } = tally;
  const pending = counts.given - counts.freed;
  return { level, refused: null, counts, reports, leaked: leaked.length, pending, ending, hash };
}

function nothing(level: Level, refused: string): LevelRun {
  const counts: TallyCounts = {
    given: 0,
    freed: 0,
    gracePeriods: 0,
    monitorRuns: 0,
    bulk: [],
    peakPages: 0,
    reclaimNs: 0,
    blocked: 0,
  };
  return { level, refused, counts, reports: 0, leaked: 0, pending: 0, ending: null, hash: "" };
}
