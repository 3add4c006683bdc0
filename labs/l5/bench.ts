// SPDX-License-Identifier: GPL-2.0-only
/**
 * Runs of lab L5's program for its checks: one by one, or explored; and what a failed one shows.
 *
 * Invariant: every execution is counted by the framework, and a failure is that of the first execution that failed.
 *
 * @module
 */

import { checkConfig, type Config } from "../../kernel/config.ts";
import { ___GFP_NOWARN } from "../../kernel/gfp.ts";
import type { FailRule } from "../../kernel/fault_inject.ts";
import { POLICY_TIME, type Schedule } from "../../kernel/machine/chooser.ts";
import { checkOptions, type OptionValues, type Scenario } from "../../explore/scenario.ts";
import { Executor, type Subject } from "../../explore/search/executor.ts";
import type { Judge } from "../../explore/search/judge.ts";
import { encodeToken } from "../../explore/token.ts";
import { changedOptions, FAIL_ACTION, ruleToOptions } from "../../explore/workbench.ts";
import { explore, type Plan } from "../../explore/search/explore.ts";
import { claimName } from "../../explore/search/lines.ts";
import { failed } from "../framework/evidence.ts";
import type { CheckContext, Outcome } from "../lab.ts";
import type { Broken, Ledger, LedgerRow } from "./ledger.ts";
import type { TinyMachine } from "./machine.ts";
import { FILE, scenarioOf } from "./own.ts";
import type { TinyVariant } from "./start.ts";
import { tinyVariant, variantText } from "./variants.ts";

/** The machine of all checks. */
export const MACHINE: Partial<Config> = { rcu: "tiny", cpus: 1, memBytes: 16 * 2 ** 20 };
/** Where a run that does not come to its end is ended. */
export const LIMITS: { readonly ns: number; readonly points: number } = { ns: 8e9, points: 200_000 };

/** Steps of a run. */
export interface Script {
  readonly task: string;
  readonly irq?: string;
  readonly slow?: number;
  /** Times count: nothing stalls and nothing hogs the machine. */
  readonly strict?: boolean;
  /** Blocks cannot be had from this one on, counted from 1. */
  readonly noBlocksFrom?: number;
}

/** What a run came to. */
export interface Played {
  readonly ledger: Ledger;
  readonly broken: readonly Broken[];
  readonly token: string | null;
  /** Reports of the kernel that are not the ledger's own. */
  readonly reports: number;
  readonly script: Script;
}

/** Runs programs for one check. */
export class Bench {
  readonly variant: TinyVariant;
  private machine: TinyMachine | null = null;
  private strict = false;
  private readonly scenario: Scenario;
  private options: OptionValues = {};
  /** Runs one program after the other on a machine that is switched on again: that is quicker than a new one. */
  private readonly executor: Executor;

  constructor(
    private readonly context: CheckContext,
    submission: Readonly<Record<string, unknown>> = context.submission,
  ) {
    this.variant = tinyVariant(context.variant);
    this.scenario = scenarioOf(submission, (tm) => this.begins(tm));
    this.executor = new Executor({
      config: MACHINE,
      scenario: { name: FILE, summary: "", options: [], main: (k) => this.scenario.main(k, this.options) },
      limits: LIMITS,
      watch: "none",
      judge: this.judge,
    });
  }

  private begins(tm: TinyMachine): void {
    this.context.execution();
    tm.lineOf = (error) => this.context.lineOf?.(error) ?? null;
    tm.ledger.strict = this.strict;
    this.machine = tm;
  }

  private get ledger(): Ledger {
    if (this.machine === null) throw new Error("the program did not begin");
    return this.machine.ledger;
  }

  private readonly judge: Judge = (_k, run) => {
    const { broken } = this.ledger;
    if (broken.length > 0) return { kind: broken[0].property, text: broken[0].text };
    const { ending } = run.verdict();
    return ending === "completed"
      ? null
      : { kind: "L1", text: `the run does not come to its end (${ending})` };
  };

  private optionsOf({ task, irq = "", slow = 0 }: Script): OptionValues {
    return { task, irq, slow: String(slow), variant: variantText(this.variant) };
  }

  private noBlocks(nth: number): FailRule {
    return { what: "slab", ...this.blocks, nth, times: -1 };
  }

  /** Allocations of blocks: nobody else's are of this cache with these flags. */
  get blocks(): { readonly cache: string; readonly gfp: number } {
    return { cache: this.variant.capacity <= 6 ? "kmalloc-64" : "kmalloc-96", gfp: ___GFP_NOWARN };
  }

  /** One run. */
  play(script: Script, seed = 1): Played {
    const { executor, scenario } = this;
    this.strict = script.strict === true;
    this.options = this.optionsOf(script);
    const schedule: Schedule = { policy: POLICY_TIME, seed, deviations: this.strict ? [] : null };
    const faults = script.noBlocksFrom === undefined ? [] : [this.noBlocks(script.noBlocksFrom)];
    const { failure, verdict } = executor.execute(schedule, faults);
    this.strict = false;
    const { ledger } = this;
    const broken = failure !== null && ledger.broken.length === 0
      ? [{ property: failure.kind, text: failure.text }]
      : ledger.broken;
    const reports = verdict.reports - Math.min(20, ledger.broken.length);
    const runs = [
      ...faults.map((rule) => ({ name: FAIL_ACTION, options: ruleToOptions(rule) })),
      { name: FILE, options: changedOptions(scenario, checkOptions(scenario, this.options)) },
    ];
    const config = checkConfig({ ...MACHINE, seed });
    const token = encodeToken({ config, deviations: schedule.deviations, runs });
    return { ledger, broken, reports, script, token };
  }

  /** An exploration; null when nothing failed. */
  explore(script: Script, plan: Plan, executions: number): { failure: Outcome | null; claim: string } {
    const subject: Subject = {
      config: MACHINE,
      scenario: this.scenario,
      options: this.optionsOf(script),
      ref: FILE,
      limits: LIMITS,
      watch: "none",
      judge: this.judge,
    };
    const budget = { executions, points: this.context.budget.points };
    const result = explore(subject, plan, { budget });
    const claim = `${claimName(result.claim)} (${result.executions} executions)`;
    if (result.first === null) return { failure: null, claim };
    const { failure, execution, token } = result.first;
    // The machine stands as the last execution left it, and that is the one that failed.
    const { schedule: { seed } } = execution;
    const how = ` (seed ${seed}, ${scriptText(script)})`;
    return {
      failure: failed({
        cause: `${failure.kind}: ${failure.text}${how}`,
        token,
        trace: columns(this.ledger.rows, failure.text),
      }),
      claim,
    };
  }
}

/** A failure of one run. */
export function failedRun({ ledger, token, script }: Played, { property, text }: Broken): Outcome {
  const cause = `${property}: ${text} (${scriptText(script)})`;
  return failed({ cause, token, trace: columns(ledger.rows, text) });
}

/** A script as the options of `run`. */
export function scriptText({ task, irq = "", slow = 0 }: Script): string {
  return `--task ${task}${irq === "" ? "" : ` --irq ${irq}`}${slow === 0 ? "" : ` --slow ${slow}`}`;
}

/** Rows of a trace, and its width. */
const MOST_ROWS = 14;
const CONTEXTS = ["task", "softirq", "hardirq"] as const;
const WIDTH = 23;

/** The rows up to the one that says `text`, in a column for each context of the one CPU. */
export function columns(rows: readonly LedgerRow[], text: string): string[] {
  const at = rows.findIndex((row) => row.text.endsWith(text));
  const end = at < 0 ? rows.length : at;
  const shown = rows.slice(Math.max(0, end - MOST_ROWS), end);
  const start = rows[0]?.ns ?? 0;
  const head = ["ms".padStart(9), ...CONTEXTS.map((name) => name.padEnd(WIDTH))].join(" ").trimEnd();
  return [
    head,
    ...shown.map(({ ns, context, text }) => {
      const column = CONTEXTS.indexOf(context);
      const room = WIDTH * (CONTEXTS.length - column) - 1;
      const words = text.length <= room ? text : `${text.slice(0, room - 1)}~`;
      return `${((ns - start) / 1e6).toFixed(3).padStart(9)} ${" ".repeat(column * (WIDTH + 1))}${words}`;
    }),
  ];
}
