// SPDX-License-Identifier: GPL-2.0-only
/**
 * Executing one scenario many times on one machine.
 *
 * Generators cannot be copied, so every execution starts from power-on; the RAM buffer and the large tables are kept, and
 * the cost is that of boot and of what the last run touched. Invariant: an execution is a function of (subject, schedule,
 * faults); which executions came before it changes nothing.
 *
 * Left out: copies of a machine that stands in the middle of a run.
 *
 * @module
 */

import { EmulatorFault } from "../../kernel/machine/assert.ts";
import type { Schedule } from "../../kernel/machine/chooser.ts";
import { addFailRule, type FailRule, type FailRuleState, listFailRules } from "../../kernel/fault_inject.ts";
import type { Config } from "../../kernel/config.ts";
import { checkConfig } from "../../kernel/config.ts";
import type { KernelParts } from "../../kernel/hooks.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { bootKernel, rebootKernel } from "../../init/main.ts";
import type { Watch } from "../monitors/monitors.ts";
import { Run, type RunLimits, type RunVerdict } from "../run.ts";
import { checkNeeds, checkOptions, type OptionValues, type Scenario } from "../scenario.ts";
import { encodeToken, type TokenRun } from "../token.ts";
import { changedOptions, FAIL_ACTION, ruleToOptions } from "../workbench.ts";
import { type Failure, type Judge, judgeRun } from "./judge.ts";
import { progressOf } from "./progress.ts";

/** What is explored. */
export interface Subject {
  readonly config: Partial<Config>;
  readonly scenario: Scenario;
  readonly options?: OptionValues;
  /** The name by which a token finds the scenario; its own if not given, null when it cannot be found. */
  readonly ref?: string | null;
  /** Faults that every execution has. */
  readonly faults?: readonly FailRule[];
  /** DEFAULT_LIMITS if not given. Others may call what would still end a livelock; a replay of its token does not. */
  readonly limits?: RunLimits;
  readonly watch?: Watch;
  /** In place of parts of the kernel; a token does not hold them. */
  readonly parts?: KernelParts;
  /** judgeRun() if not given. */
  readonly judge?: Judge;
  /** What an execution came to, in a word or two; counted by word. */
  readonly outcome?: (k: Kernel, run: Run) => string;
}

/** One execution. */
export interface Execution {
  readonly schedule: Schedule;
  readonly faults: readonly FailRule[];
  readonly failure: Failure | null;
  readonly verdict: RunVerdict;
  /** Grace periods, or on tiny RCU batches of callbacks, that it completed. */
  readonly progress: number;
  readonly outcome: string | null;
  /** Points of the run, without those of boot. */
  readonly points: number;
}

/** Runs a subject again and again. */
export class Executor {
  readonly config: Config;
  readonly options: OptionValues;
  /** Executions so far, and points that they took, boots included. */
  executions = 0;
  points = 0;
  private kernel: Kernel | null = null;

  constructor(readonly subject: Subject) {
    this.config = checkConfig(subject.config);
    this.options = checkOptions(subject.scenario, subject.options ?? {});
    checkNeeds(subject.scenario, this.options, this.config.level);
  }

  /** One execution. The machine stays as the run left it until the next one. */
  execute(schedule: Schedule, faults: readonly FailRule[] = this.subject.faults ?? []): Execution {
    const { subject, options } = this;
    this.executions++;
    try {
      const k = this.powerOn(schedule);
      for (const rule of faults) addFailRule(k, rule);
      const before = k.points;
      const run = new Run(k, subject.scenario, options, subject.limits, subject.watch);
      const progress = progressOf(k);
      run.advance();
      this.points += k.points;
      return {
        schedule,
        faults,
        failure: (subject.judge ?? judgeRun)(k, run),
        verdict: run.verdict(),
        progress: progress(),
        outcome: subject.outcome?.(k, run) ?? null,
        points: k.points - before,
      };
    } catch (error) {
      if (error instanceof EmulatorFault) error.message += ` (TOKEN ${this.token(schedule, faults)})`;
      throw error;
    }
  }

  private powerOn(schedule: Schedule): Kernel {
    if (this.kernel === null) {
      this.kernel = bootKernel(this.config, schedule, null, this.subject.parts);
      this.kernel.log.recording = false;
    } else {
      rebootKernel(this.kernel, schedule);
    }
    return this.kernel;
  }

  /** The fault rules of the last execution, with what they matched. */
  faultsNow(): FailRuleState[] {
    return this.kernel === null ? [] : listFailRules(this.kernel);
  }

  /** The stalls of an execution, drawn or given. It is done again if they were drawn. */
  deviationsOf({ schedule, faults }: Execution): Schedule["deviations"] & object {
    if (schedule.deviations !== null) return schedule.deviations;
    this.execute({ ...schedule, recordSites: true }, faults);
    return [...this.kernel?.chooser.taken ?? []];
  }

  /** The line that does an execution again; null when the scenario has no name to be found by. */
  token(schedule: Schedule, faults: readonly FailRule[]): string | null {
    const { scenario, ref = scenario.name } = this.subject;
    if (ref === null) return null;
    const { deviations, seed, policy } = schedule;
    const rules: TokenRun[] = faults.map((rule) => ({ name: FAIL_ACTION, options: ruleToOptions(rule) }));
    const run = { name: ref, options: changedOptions(scenario, this.options) };
    return encodeToken({
      config: checkConfig({ ...this.config, seed, policy }),
      deviations,
      runs: [...rules, run],
    });
  }
}
