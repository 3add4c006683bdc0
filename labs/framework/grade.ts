// SPDX-License-Identifier: GPL-2.0-only
/**
 * Grading: every property of a lab, checked on a freshly loaded submission, and what that is worth.
 *
 * The same code runs inside the sandbox and, for tests, in process. Invariants: a report is a function of (submission,
 * lab, key, seeds, mode); a check that throws, or whose submission used up its steps, fails alone, and what it says
 * itself then counts for nothing; nothing of the submission outlives a check.
 *
 * @module
 */

import type { CheckContext, LabManifest, LabModule, Outcome, PropertyEntry, Variant } from "../lab.ts";
import { EmulatorFault } from "../../kernel/machine/assert.ts";
import { isStackOverflow, Refused } from "./guest.ts";
import { type Exports, lineOfError, type Loader, loaderOf } from "./load.ts";
import { Meter, Stopped } from "./meter.ts";
import { prepare, type Prepared } from "./prepare.ts";
import { sha256 } from "./sha256.ts";
import { gradedSeeds, keyText, PUBLIC_SEEDS } from "./variants.ts";

/** `check`: public properties, public seeds. `grade`: all of them, the grader's seeds. */
export type Mode = "check" | "grade";

/** What came of a property. */
export interface PropertyResult {
  readonly id: string;
  readonly title: string;
  readonly part: PropertyEntry["part"];
  readonly public: boolean;
  readonly points: number;
  readonly earned: number;
  readonly outcome: Outcome;
}

/** A verdict, with everything that it is a function of. */
export interface GradeReport {
  readonly lab: string;
  readonly title: string;
  readonly version: number;
  readonly mode: Mode;
  readonly student: string | null;
  /** In hexadecimal. */
  readonly key: string;
  readonly variant: Variant;
  /** Hash of the text that was handed in. */
  readonly submission: string;
  readonly seeds: readonly number[];
  /** What was done to the text before it was graded; nothing, usually. */
  readonly notices: readonly string[];
  readonly properties: readonly PropertyResult[];
  readonly score: number;
  readonly max: number;
}

/** What decides which checks are run, and on what. */
export interface GradeOptions {
  readonly mode?: Mode;
  /** 0, the hand-out's, if not given. */
  readonly key?: number;
  readonly student?: string | null;
  /** Those of the mode if not given. */
  readonly seeds?: readonly number[];
  /** The starter, to compare with; without it the whole file is the student's. */
  readonly starter?: string;
  /** Only these properties. */
  readonly only?: readonly string[];
}

/** What the checks are run with: plain data, so that it can be sent into a sandbox. */
export interface Job {
  readonly prepared: Prepared;
  readonly manifest: LabManifest;
  readonly key: number;
  readonly seeds: readonly number[];
  /** Properties to check, in order. */
  readonly ids: readonly string[];
}

/** What comes back. */
export interface JobResult {
  readonly variant: Variant;
  readonly outcomes: readonly Outcome[];
}

/** Makes a job of a text. */
export function jobOf(manifest: LabManifest, text: string, options: GradeOptions = {}): Job {
  const { mode = "grade", key = 0, only } = options;
  const prepared = prepare(text, options.starter ?? null, manifest.imports);
  const seeds = options.seeds ?? (mode === "check" ? PUBLIC_SEEDS : gradedSeeds(key));
  const ids = manifest.properties
    .filter((it) => mode === "grade" || it.public)
    .filter((it) => only === undefined || only.includes(it.id))
    .map((it) => it.id);
  return { prepared, manifest, key, seeds, ids };
}

/** Makes a report of what came back. */
export function reportOf(job: Job, result: JobResult, text: string, options: GradeOptions = {}): GradeReport {
  const { manifest, key, seeds, ids } = job;
  const properties = ids.map((id, i): PropertyResult => {
    const entry = manifest.properties.find((it) => it.id === id);
    if (entry === undefined) throw new RangeError(`${manifest.id}: no property ${id}`);
    const { title, part, points } = entry;
    const outcome = result.outcomes[i];
    return { id, title, part, public: entry.public, points, earned: earned(points, outcome), outcome };
  });
  return {
    lab: manifest.id,
    title: manifest.title,
    version: manifest.version,
    mode: options.mode ?? "grade",
    student: options.student ?? null,
    key: keyText(key),
    variant: result.variant,
    submission: sha256(text),
    seeds,
    notices: job.prepared.notices,
    properties,
    score: rounded(properties.reduce((sum, it) => sum + it.earned, 0)),
    max: properties.reduce((sum, it) => sum + it.points, 0),
  };
}

/** Grades without a sandbox: for tests, with submissions that one knows. Exports may stand for a text. */
export function gradeInProcess(
  lab: LabModule,
  manifest: LabManifest,
  submission: string | Exports,
  options: GradeOptions = {},
): GradeReport {
  const text = typeof submission === "string" ? submission : "";
  const job = jobOf(manifest, text, options);
  const load = typeof submission === "string" ? undefined : (): Exports => submission;
  return reportOf(job, runJob(lab, job, load), text, options);
}

/** Runs the checks of a job. `load` stands in for the job's own text. */
export function runJob(
  lab: LabModule,
  job: Job,
  load: Loader = loaderOf(job.prepared, job.manifest.imports),
): JobResult {
  const variant = lab.variant(job.key);
  const missing = job.ids.filter((id) => !Object.hasOwn(lab.checks, id));
  if (missing.length > 0) throw new RangeError(`${lab.id}: no check for ${missing.join(", ")}`);
  return { variant, outcomes: job.ids.map((id) => runCheck(lab, job, id, variant, load)) };
}

/** Thrown into a check that has used up its executions. */
class OutOfBudget extends Error {
  override readonly name: string = "OutOfBudget";
}

function runCheck(lab: LabModule, job: Job, id: string, variant: Variant, load: Loader): Outcome {
  const { manifest: { budget }, seeds, prepared } = job;
  const meter = new Meter();
  meter.begin(budget.steps);
  let executions = 0;
  const context = (submission: Exports): CheckContext => ({
    submission,
    variant,
    seeds,
    budget,
    execution() {
      meter.unwind();
      if (++executions > budget.executions) throw new OutOfBudget();
    },
    lineOf: (error) => lineOfError(error, prepared.lines),
  });
  let outcome: Outcome;
  try {
    outcome = lab.checks[id](context(load(meter)));
  } catch (error) {
    outcome = error instanceof OutOfBudget ? outOfExecutions(budget) : thrown(error, prepared);
  }
  if (meter.stopped !== null) {
    const found = outcome.state === "FAIL" ? outcome : { token: null, trace: [] };
    return { state: "FAIL", cause: `your code ${meter.stopped}`, token: found.token, trace: found.trace };
  }
  if (executions > budget.executions && outcome.state !== "FAIL") {
    return outOfExecutions(budget);
  }
  return outcome;
}

function outOfExecutions({ executions }: LabManifest["budget"]): Outcome {
  return { state: "INCONCLUSIVE", budget: `${executions} executions` };
}

/** What a check that threw comes to. */
function thrown(error: unknown, prepared: Prepared): Outcome {
  const line = lineOfError(error, prepared.lines);
  const where = line === null ? "" : `line ${line}: `;
  if (error instanceof Stopped) return fail(`your code ${error.message}`);
  if (isStackOverflow(error)) return fail("your code calls itself without end");
  if (error instanceof Refused) return fail(`${where}${error.message}`);
  if (error instanceof EmulatorFault) {
    return fail(`${where}the machine was used in a way that it cannot go on from: ${error.message}`);
  }
  const text = error instanceof Error
    ? `${error.name}: ${error.message.split("\n")[0]}`
    : `thrown value: ${String(error)}`;
  return fail(`${where}${text}`);
}

function fail(cause: string): Outcome {
  return { state: "FAIL", cause, token: null, trace: [] };
}

function earned(points: number, outcome: Outcome): number {
  if (outcome.state === "PASS") return points;
  if (outcome.state !== "FAIL") return 0;
  const credit = outcome.credit ?? 0;
  return rounded(points * Math.min(1, Math.max(0, credit)));
}

/** To two digits: halves of points add up without noise. */
function rounded(n: number): number {
  return Math.round(n * 100) / 100;
}
