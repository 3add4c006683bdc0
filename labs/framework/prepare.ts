// SPDX-License-Identifier: GPL-2.0-only
/**
 * From the file that a student hands in to the code that is graded.
 *
 * The grader's own copy of the starter is taken, and the student's regions are put into it. A region that does not
 * compile, or that is not allowed, is left as the starter has it; the others are graded. Invariant: outside of the
 * regions what runs is the starter's, to the letter; lines in messages are those of the student's file.
 *
 * @module
 */

import { instrument, type Instrumented } from "./instrument.ts";
import type { Finding } from "./scope.ts";
import { compare, merge, type Region, regionsOf, withoutHeader } from "./submission.ts";

/** Code to grade, with what had to be done for it. */
export interface Prepared extends Instrumented {
  /** One line each. */
  readonly notices: readonly string[];
  /** Regions that are graded as the starter has them. */
  readonly replaced: readonly string[];
}

/** Most findings that are told of one region. */
const MOST_FINDINGS = 3;

/** Prepares `text`; without a starter the whole file is the student's, and where it cannot be loaded nothing is. */
export function prepare(text: string, starter: string | null, offered: readonly string[]): Prepared {
  const mine = withoutHeader(text);
  const own = starter === null ? [] : regionsOf(starter.split("\n")).regions;
  if (starter === null || own.length === 0) {
    const made = instrument(mine.lines.join("\n"), offered);
    if (isCode(made)) return { ...shifted(made, (line) => line + mine.skipped), notices: [], replaced: [] };
    return {
      code: "",
      lines: [],
      notices: tell(made, mine.skipped, "nothing of it is graded"),
      replaced: ["file"],
    };
  }
  const { regions, notices } = compare(mine, starter);
  const good = new Map(regions);
  const replaced = own.map(({ name }) => name).filter((name) => !good.has(name));
  const bad = new Map<string, readonly Finding[]>();
  const merged = merge(starter, good);
  const all = instrument(merged.text, offered);
  if (isCode(all)) return { ...shifted(all, merged.lineOf), notices, replaced };
  // Each region by itself, in an otherwise untouched starter: what is wrong with it then is its own.
  for (const [name, region] of regions) {
    const alone = merge(starter, new Map([[name, region]]));
    const made = instrument(alone.text, offered);
    if (!isCode(made)) bad.set(name, made.map(({ line, what }) => ({ line: alone.near(line), what })));
  }
  // Wrong only together: then all of them are.
  if (bad.size === 0) { for (const [name] of regions) bad.set(name, findingsIn(all, merged.near)); }
  for (const name of bad.keys()) good.delete(name);
  const rest = merge(starter, good);
  let made = instrument(rest.text, offered);
  if (!isCode(made)) {
    for (const name of good.keys()) bad.set(name, findingsIn(made, rest.near));
    good.clear();
    made = instrument(merge(starter, good).text, offered);
  }
  const told = [...bad].flatMap(([name, found]) =>
    tell(found, 0, `region ${name} is graded as in the starter`)
  );
  if (!isCode(made)) {
    return {
      code: "",
      lines: [],
      notices: [...notices, ...told, ...tell(made, 0, "the starter")],
      replaced: ["file"],
    };
  }
  const lineOf = merge(starter, good).lineOf;
  return {
    ...shifted(made, lineOf),
    notices: [...notices, ...told],
    replaced: [...new Set([...replaced, ...bad.keys()])],
  };
}

function isCode(made: Instrumented | readonly Finding[]): made is Instrumented {
  return "code" in made;
}

function shifted({ code, lines }: Instrumented, lineOf: (line: number) => number): Instrumented {
  return { code, lines: lines.map(lineOf) };
}

function findingsIn(found: readonly Finding[], lineOf: (line: number) => number): Finding[] {
  return found.map(({ line, what }) => ({ line: lineOf(line), what }));
}

function tell(found: readonly Finding[], skipped: number, so: string): string[] {
  const lines = found.slice(0, MOST_FINDINGS).map(({ line, what }) =>
    line > 0 ? `line ${line + skipped}: ${what}; ${so}` : `${what}; ${so}`
  );
  return [...new Set(lines)];
}

export type { Region };
