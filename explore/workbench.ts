// SPDX-License-Identifier: GPL-2.0-only
/**
 * A machine on the bench: boot it, run programs, stop anywhere, go back, write down what was done as a token.
 *
 * Going back is replay: the machine is power-cycled and does everything again up to the wanted event, so only what was
 * done through the workbench comes back. Long operations are generators that stop every chunk of points, so that a
 * shell can be interrupted; how long the chunks are changes nothing.
 *
 * @module
 */

import { addFailRule, clearFailRules, type FailRule } from "../kernel/fault_inject.ts";
import type { Deviation } from "../kernel/machine/chooser.ts";
import type { Config } from "../kernel/config.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { bootKernel, rebootKernel } from "../init/main.ts";
import { Run } from "./run.ts";
import { checkNeeds, checkOptions, type OptionValues, type Scenario } from "./scenario.ts";
import { encodeToken, scheduleOf, type TokenRun } from "./token.ts";

/** Points between two chances to interrupt. */
const CHUNK_POINTS = 20_000;

/** What was done since boot, in order. */
export type Action =
  | {
    readonly kind: "run";
    readonly scenario: Scenario;
    readonly options: OptionValues;
    /** The name by which it can be found again; null when it cannot, so that no token holds it. */
    readonly ref: string | null;
  }
  | { readonly kind: "fail"; readonly rule: FailRule }
  | { readonly kind: "clear" };

/** Something that cannot be done now; the message is one line for the user. */
export class WorkbenchError extends Error {
  override readonly name: string = "WorkbenchError";
}

/** Names under which tokens hold actions that are not runs. */
export const FAIL_ACTION = "!fail";
export const CLEAR_ACTION = "!clear";

export class Workbench {
  private kernel: Kernel | null = null;
  private deviations: readonly Deviation[] | null = null;
  private actions: Action[] = [];
  /** The run on the bench: going on, stopped, or over. */
  run: Run | null = null;
  /** Last event of boot: events up to here cannot be gone to. */
  bootSeq = 0;
  /** Event at which the last run that has a name began, or the last of boot: leak verdicts count from here. */
  since = 0;

  /** The booted kernel; an error in one line when there is none. */
  get k(): Kernel {
    if (this.kernel === null) throw new WorkbenchError("no kernel is booted: boot --rcu tiny");
    return this.kernel;
  }

  get booted(): boolean {
    return this.kernel !== null;
  }

  /** Boots a machine in place of the one on the bench. */
  boot(config: Config, deviations: readonly Deviation[] | null = null): Kernel {
    const k = bootKernel(config, scheduleOf(config, deviations));
    this.kernel = k;
    this.deviations = deviations;
    this.actions = [];
    this.run = null;
    this.bootSeq = k.seq;
    this.since = k.seq;
    return k;
  }

  /** Whether a run has begun and is not over. */
  get running(): boolean {
    return this.run !== null && !this.run.finished;
  }

  /** Puts a run on the bench, stopped at its start. `ref` is the name by which a token finds the scenario again. */
  start(scenario: Scenario, given: OptionValues, ref: string | null = scenario.name): Run {
    const k = this.k;
    const options = checkOptions(scenario, given);
    checkNeeds(scenario, options, k.config.level);
    this.mustBeIdle("run");
    return this.perform(k, { kind: "run", scenario, options, ref });
  }

  /** Arms a fault for the runs to come. */
  addFault(rule: FailRule): void {
    this.mustBeIdle("fail");
    this.perform(this.k, { kind: "fail", rule });
  }

  /** Disarms all faults. */
  clearFaults(): void {
    this.mustBeIdle("fail");
    this.perform(this.k, { kind: "clear" });
  }

  private mustBeIdle(what: string): void {
    if (this.running) {
      throw new WorkbenchError(
        `${what}: a run is stopped at event ${this.k.seq}: cont finishes it, boot drops it`,
      );
    }
  }

  private perform(k: Kernel, action: Action & { kind: "run" }): Run;
  private perform(k: Kernel, action: Action): Run | null;
  private perform(k: Kernel, action: Action): Run | null {
    switch (action.kind) {
      case "run":
        this.run = new Run(k, action.scenario, action.options);
        if (action.ref !== null) this.since = this.run.startSeq;
        break;
      case "fail":
        addFailRule(k, action.rule); // throws for a rule that can never match
        break;
      case "clear":
        clearFailRules(k);
        break;
    }
    this.actions.push(action);
    return action.kind === "run" ? this.run : null;
  }

  /** Goes on to the end of the run, or to event `breakAt`; each step of the iteration is one chunk. */
  *advance(breakAt = Infinity): Generator<void, void, void> {
    const run = this.run;
    if (run === null) throw new WorkbenchError("nothing has run yet: run NAME");
    while (!run.finished && this.k.seq < breakAt) {
      run.advance(CHUNK_POINTS, breakAt);
      yield;
    }
  }

  /**
   * Goes to the first stop at or after event `seq`: forward by running on, backward by replay.
   */
  *goto(seq: number): Generator<void, void, void> {
    const k = this.k;
    if (this.run === null) throw new WorkbenchError("goto: nothing has run yet: run NAME");
    if (seq <= this.bootSeq || !Number.isSafeInteger(seq)) {
      throw new WorkbenchError(`goto: event ${seq} is not in a run: events from ${this.bootSeq + 1} on are`);
    }
    if (seq < k.seq) yield* this.replayTo(seq);
    else yield* this.advance(seq);
  }

  /** Goes back by at least one event and about `n`: to the last stop at or before event `here - n`. */
  *back(n: number): Generator<void, void, void> {
    const here = this.k.seq;
    if (this.run === null) throw new WorkbenchError("rstep: nothing has run yet: run NAME");
    for (let target = here - n; target > this.bootSeq; target--) {
      yield* this.replayTo(target);
      if (this.k.seq < here) return;
    }
    throw new WorkbenchError(`rstep: event ${here} is the first stop of the run`);
  }

  private *replayTo(seq: number): Generator<void, void, void> {
    const k = this.k;
    const todo = this.actions;
    this.actions = [];
    this.run = null;
    this.since = this.bootSeq;
    rebootKernel(k, scheduleOf(k.config, this.deviations));
    for (const action of todo) {
      if (action.kind === "run" && k.seq >= seq) break;
      this.perform(k, action);
      if (action.kind === "run") yield* this.advance(seq);
      if (this.running) break;
    }
    // What was done after the wanted event is not done any more: the future is open again.
  }

  /**
   * Another workbench that did the same up to event `seq`, for what this one cannot answer any more. `prepare` sees its
   * machine before anything runs.
   */
  *twin(seq: number, prepare: (k: Kernel) => void): Generator<void, Workbench, void> {
    const other = new Workbench();
    prepare(other.boot(this.k.config, this.deviations));
    other.actions = this.actions;
    yield* other.replayTo(seq);
    return other;
  }

  /** One line that does all of it again, anywhere. Throws when a run has no name to be found by. */
  token(): string {
    const runs: TokenRun[] = this.actions.map((action) => {
      switch (action.kind) {
        case "run":
          if (action.ref === null) {
            throw new WorkbenchError("no token holds lines of TypeScript: put them into a file and run it");
          }
          return { name: action.ref, options: changedOptions(action.scenario, action.options) };
        case "fail":
          return { name: FAIL_ACTION, options: ruleToOptions(action.rule) };
        case "clear":
          return { name: CLEAR_ACTION, options: {} };
      }
    });
    return encodeToken({ config: this.k.config, deviations: this.deviations, runs });
  }
}

/** What of the options is not their default: what tokens hold. */
export function changedOptions(scenario: Scenario, options: OptionValues): OptionValues {
  const changed = scenario.options.filter((o) => options[o.name] !== o.default);
  return Object.fromEntries(changed.map((o) => [o.name, options[o.name]]));
}

/** A rule as tokens hold it. */
export function ruleToOptions(rule: FailRule): OptionValues {
  return Object.fromEntries(
    Object.entries(rule).filter(([, value]) => value !== undefined).map((
      [name, value],
    ) => [name, String(value)]),
  );
}

/** The rule that ruleToOptions() wrote down. */
export function ruleFromOptions(options: OptionValues): FailRule {
  const numeric = new Set(["order", "size", "gfp", "gfpMask", "nth", "times"]);
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => [name, numeric.has(name) ? Number(value) : value]),
  ) as unknown as FailRule;
}
