// SPDX-License-Identifier: GPL-2.0-only
// How lines of TypeScript are named in stack traces, and how a place in them is found again.
//
// Ours. The engine and the wrapper of typescript.ts put lines before the user's first; what is said here takes them off.

/** Lines that the engine and the wrapper put before the user's first. */
const LINES_BEFORE = 3;

/** The name of the n-th input, as stack traces show it. */
export function inputName(n: number): string {
  return `quiesce-input-${n}`;
}

/** Whether a file of a stack frame is a line of TypeScript. */
export function isInput(file: string): boolean {
  return /^quiesce-input-\d+$/.test(file);
}

/** The user's line, counted from 1, behind a line number of the engine. */
export function userLine(line: number): number {
  return line - LINES_BEFORE;
}

/** The user's line, counted from 1, of the innermost frame that is in an input: in any, or in the one named. */
export function lineOfInput(stack: string, name = "quiesce-input-\\d+"): number | undefined {
  const frame = new RegExp(`${name}(?:, <anonymous>)?:(\\d+):\\d+`).exec(stack);
  return frame === null ? undefined : userLine(Number(frame[1]));
}
