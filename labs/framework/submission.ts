// SPDX-License-Identifier: GPL-2.0-only
/**
 * Regions of a student's file, and how it differs from the starter outside of them.
 *
 * A region begins after a line `// [student NAME` and ends before `// student]`. Invariant: what is taken from the
 * student's file are the lines inside of regions that the starter has, and nothing else.
 *
 * @module
 */

/** Lines inside a region. */
export interface Region {
  readonly name: string;
  readonly lines: readonly string[];
  /** Number of the first of them in its file, from 1. */
  readonly at: number;
}

/** A file without the lines that `lab start` put in front. */
export interface Body {
  readonly lines: readonly string[];
  /** How many those were. */
  readonly skipped: number;
}

const BEGIN = /^\s*\/\/ \[student (\w+)\s*$/;
const END = /^\s*\/\/ student\]\s*$/;
/** Lines of the header that `lab start` writes. */
const HEADER = /^\/\/ (lab|student|variant): /;

/** Takes the header off, and carriage returns. */
export function withoutHeader(text: string): Body {
  const lines = text.replace(/^\ufeff/, "").split(/\r?\n/);
  let skipped = 0;
  while (skipped < lines.length && HEADER.test(lines[skipped])) skipped++;
  return { lines: lines.slice(skipped), skipped };
}

/** The student that the header names, if it does. */
export function studentOf(text: string): string | null {
  return /^\/\/ student: (.+)$/m.exec(text.split("\n").slice(0, 4).join("\n"))?.[1].trim() ?? null;
}

/** The regions of a file in order, and what is wrong with its marks. */
export function regionsOf(lines: readonly string[], skipped = 0): { regions: Region[]; problems: string[] } {
  const regions: Region[] = [];
  const problems: string[] = [];
  let open: { name: string; from: number } | null = null;
  for (const [i, line] of lines.entries()) {
    const name = BEGIN.exec(line)?.[1];
    if (name !== undefined) {
      if (open !== null) {
        problems.push(`line ${i + 1 + skipped}: region ${name} begins inside of region ${open.name}`);
      }
      open = { name, from: i + 1 };
    } else if (END.test(line)) {
      if (open === null) {
        problems.push(`line ${i + 1 + skipped}: the end of a region that has not begun`);
        continue;
      }
      const { name: closed, from } = open;
      if (regions.some((it) => it.name === closed)) {
        problems.push(`line ${from + skipped}: a second region ${closed}; the first counts`);
      } else regions.push({ name: closed, lines: lines.slice(from, i), at: from + 1 + skipped });
      open = null;
    }
  }
  if (open !== null) problems.push(`line ${open.from + skipped}: region ${open.name} has no end`);
  return { regions, problems };
}

/** The student's regions by name, and what is to be said about the rest of the file. */
export function compare(mine: Body, starter: string): { regions: Map<string, Region>; notices: string[] } {
  const theirs = starter.split("\n");
  const wanted = regionsOf(theirs).regions;
  const { regions: found, problems } = regionsOf(mine.lines, mine.skipped);
  const notices = [...problems];
  const regions = new Map<string, Region>();
  for (const { name } of wanted) {
    const region = found.find((it) => it.name === name);
    if (region === undefined) notices.push(`region ${name} is not there; it is graded as in the starter`);
    else regions.set(name, region);
  }
  const changed = firstDifference(outside(mine.lines), outside(theirs));
  if (changed !== null) {
    notices.push(
      `line ${changed + mine.skipped}: changed outside of the regions; there the starter's text is graded`,
    );
  }
  return { regions, notices };
}

/** Lines outside of regions, with their numbers. */
function outside(lines: readonly string[]): { line: string; at: number }[] {
  const kept: { line: string; at: number }[] = [];
  let inside = false;
  for (const [i, line] of lines.entries()) {
    if (END.test(line)) inside = false;
    if (!inside) kept.push({ line: line.trimEnd(), at: i + 1 });
    if (BEGIN.test(line)) inside = true;
  }
  while (kept.at(-1)?.line === "") kept.pop();
  return kept;
}

function firstDifference(
  mine: readonly { line: string; at: number }[],
  theirs: readonly { line: string; at: number }[],
): number | null {
  for (let i = 0; i < Math.max(mine.length, theirs.length); i++) {
    if (mine[i]?.line !== theirs[i]?.line) return mine[i]?.at ?? mine.at(-1)?.at ?? 1;
  }
  return null;
}

/**
 * The starter with these regions in place of its own, and the line of the student's file behind each line (0: none),
 * or before it: a parser notices a missing brace far behind its place.
 */
export function merge(
  starter: string,
  regions: ReadonlyMap<string, Region>,
): { text: string; lineOf: (line: number) => number; near: (line: number) => number } {
  const lines: string[] = [];
  const origin: number[] = [];
  let inside = false;
  for (const line of starter.split("\n")) {
    if (END.test(line)) inside = false;
    if (!inside) {
      lines.push(line);
      origin.push(0);
    }
    const name = BEGIN.exec(line)?.[1];
    const region = name === undefined ? undefined : regions.get(name);
    if (region === undefined) continue;
    inside = true;
    for (const [i, text] of region.lines.entries()) {
      lines.push(text);
      origin.push(region.at + i);
    }
  }
  return {
    text: lines.join("\n"),
    lineOf: (line) => origin[line - 1] ?? 0,
    near: (line) => origin.slice(0, line).findLast((it) => it > 0) ?? 0,
  };
}
