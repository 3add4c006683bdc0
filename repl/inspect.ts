// SPDX-License-Identifier: GPL-2.0-only
// How a value is shown: compactly, and never more than a screen of it.
//
// Ours. Invariants: looking has no effect; getters and generators are not run. A kernel object is a web of others,
// so only two levels are shown and long lists are cut. The stack that an Error carries is of the host and not shown.

const MOST_LINES = 40;
/** The last frame of an error that has more to show. */
const LAST_FRAME = /(?:\n\s+at [^\n]*:\d+:\d+\)?)+ \{$/gm;
const STACK_FRAME = /^\s+at .*:\d+:\d+\)?\S*( \{)?$/;

/** The lines that show a value. */
export function inspectLines(value: unknown, options: { colour: boolean; columns: number }): string[] {
  const lines = Deno.inspect(value, {
    colors: options.colour,
    depth: 2,
    iterableLimit: 16,
    strAbbreviateSize: 200,
    breakLength: options.columns,
  }).replace(LAST_FRAME, " {").split("\n").filter((line) => !STACK_FRAME.test(line));
  if (lines.length <= MOST_LINES) return lines;
  return [...lines.slice(0, MOST_LINES), `... ${lines.length - MOST_LINES} more lines`];
}
