// SPDX-License-Identifier: GPL-2.0-only
/**
 * What a lab is: the contract between the framework (labs/framework/) and the labs (labs/l0/, l5/, l9/).
 *
 * A lab is data (its manifest, `lab.json`), a hand-out (`README.md`), a starter (`start.ts`), and one module of checks
 * (`lab.ts`), which runs with the student's code inside the sandbox and therefore knows no host. A verdict is a pure
 * function of the submission, the lab's version and the seeds.
 *
 * @module
 */

import type { Config, Kernel } from "../mod.ts";

/** Parts of a grade; what share of the points each has is in the manifest. */
export type Part = "run" | "explore" | "sweep" | "cost" | "quiz";

/** `lab.json`. */
export interface LabManifest {
  /** Lower case: `l5`. */
  readonly id: string;
  readonly title: string;
  /** Counts up with every change of what is graded; part of the verdict. */
  readonly version: number;
  /** One line. */
  readonly summary: string;
  /** Hours that it takes. */
  readonly hours: number;
  /** The one file that is handed in: a copy of the starter. */
  readonly file: string;
  /** What that file may import from "quiesce". */
  readonly imports: readonly string[];
  /** Properties in the order of the report; their points add up to 100. */
  readonly properties: readonly PropertyEntry[];
  /** Virtual budgets of one check: steps of the student's code, points of the machine, executions. */
  readonly budget: { readonly steps: number; readonly points: number; readonly executions: number };
  /** Hints, by property; `lab hint` shows them one after the other. */
  readonly hints: Readonly<Record<string, readonly string[]>>;
}

/** One property of the manifest. */
export interface PropertyEntry {
  /** `S1`, `L1`, `C1`, `Q2`. */
  readonly id: string;
  readonly title: string;
  readonly part: Part;
  readonly points: number;
  /** Whether `lab check` runs it too; the others are graded only (other seeds, other variants). */
  readonly public: boolean;
}

/**
 * What a check found. FAIL carries what a student needs to see it again: a token for the shell where there is one, the
 * cause in a sentence, and a short trace in columns by CPU.
 */
export type Outcome =
  | { readonly state: "PASS"; readonly note?: string }
  | {
    readonly state: "FAIL";
    readonly cause: string;
    readonly token: string | null;
    readonly trace: readonly string[];
    /** Of the points, what is kept nevertheless: 0 to 1. */
    readonly credit?: number;
  }
  /** The scenario never came into the situation that the property is about: no points, and said so. */
  | { readonly state: "NOT-EXERCISED"; readonly why: string }
  /** The budget was used up first. */
  | { readonly state: "INCONCLUSIVE"; readonly budget: string };

/** A student's variant: constants and twists of structure, chosen by a key. */
export type Variant = Readonly<Record<string, number | string | boolean>>;

/** What a check is given. */
export interface CheckContext {
  /** What the student's file exports. */
  readonly submission: Readonly<Record<string, unknown>>;
  readonly variant: Variant;
  /** Public ones for `lab check`; the grader has more. */
  readonly seeds: readonly number[];
  readonly budget: LabManifest["budget"];
  /** Counts executions; throws when the budget is used up, which the framework reports as INCONCLUSIVE. */
  execution(): void;
  /** The line of the student's file at which an exception was thrown, for the cause of a FAIL; null if none is known. */
  lineOf?(error: unknown): number | null;
}

/** A check, by the id of its property. It runs as often as the framework likes and gives the same outcome every time. */
export type Check = (context: CheckContext) => Outcome;

/** The module of a lab: default export of `labs/<id>/lab.ts`. */
export interface LabModule {
  readonly id: string;
  /** The variant of a key (a hash of student and lab; 0 for the hand-out). */
  variant(key: number): Variant;
  /** By property id. */
  readonly checks: Readonly<Record<string, Check>>;
}

/** How a lab boots its machines: a configuration, and the student's parts in place of the kernel's. */
export interface LabMachine {
  readonly config: Partial<Config>;
  readonly k: Kernel;
}
