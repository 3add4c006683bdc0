// SPDX-License-Identifier: GPL-2.0-only
/**
 * Judging one execution: did what must hold, hold?
 *
 * Invariant: a failure has a kind that does not depend on addresses, times and numbers, so that "it still fails in the
 * same way" can be asked of another schedule. A judge only looks.
 *
 * Left out: what needs more than one execution to be seen.
 *
 * @module
 */

import { formatAddr } from "../../kernel/machine/addr.ts";
import { listFailRules } from "../../kernel/fault_inject.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { memoryVerdict } from "../../mm/live.ts";
import type { Run } from "../run.ts";

/** Why an execution failed. */
export interface Failure {
  /** The same for the same mistake, whatever the schedule. */
  readonly kind: string;
  /** One line for humans. */
  readonly text: string;
}

/** Judges a run that is over; null: everything held. */
export type Judge = (k: Kernel, run: Run) => Failure | null;

/** What the kernel says of an allocation that failed: no mistake where it was made to fail. */
const NO_MEMORY = /\ballocation failure\b|^SLUB: Unable to allocate memory/;

/** Reports of the kernel, monitors, how the run ended, and leaks, in this order. */
export function judgeRun(k: Kernel, run: Run): Failure | null {
  return judgeEnding(k, run) ?? judgeMemory(k, run);
}

/** The first report, or the first property that did not hold, or an ending other than "completed". */
export function judgeEnding(k: Kernel, run: Run): Failure | null {
  const { ending, reports, violations, remaining } = run.verdict();
  const failed = listFailRules(k).some(({ failures }) => failures > 0);
  const counting = k.reports.slice(k.reports.length - reports).filter(({ title }) =>
    !(failed && NO_MEMORY.test(title))
  );
  if (counting.length > 0) {
    const [{ title }] = counting;
    return { kind: `report: ${titleKind(title)}`, text: `the kernel reported: ${title}` };
  }
  if (violations.length > 0) {
    const { property, text } = violations[0];
    return { kind: `property ${property}`, text: `property ${property} violated: ${text}` };
  }
  if (ending === "completed") return null;
  const left = remaining.map(({ comm, state }) => `${comm} ${state}`).join(", ");
  return { kind: ending, text: left === "" ? ending : `${ending}: ${left}` };
}

/** Memory that the run allocated and that nobody can get at any more. */
export function judgeMemory(k: Kernel, run: Run): Failure | null {
  const { leaked } = memoryVerdict(k, run.startSeq);
  if (leaked.length === 0) return null;
  const [{ size, addr, birth }] = leaked;
  const more = leaked.length === 1 ? "" : ` and ${leaked.length - 1} more`;
  return { kind: "leak", text: `leaked: ${size} bytes at ${formatAddr(addr)} from event ${birth}${more}` };
}

/** A report's first line without what changes from run to run: numbers, and where it was noticed. */
function titleKind(title: string): string {
  return title.replace(/ (in|at) .*$/, "").replace(/\b(0x)?[0-9a-f]*\d[0-9a-f]*\b/g, "N").trim();
}
