// SPDX-License-Identifier: GPL-2.0-only
// Small things that several renderers say: lists of CPUs, times, text that is continued at a margin.
//
// Ours. Invariant: pure functions of text and numbers; no line of `wrapped` is wider than COLUMNS.

/** Widest line. */
export const COLUMNS = 80;

/** `0-3,7` */
export function ranges(numbers: readonly number[]): string {
  const parts: string[] = [];
  const sorted = [...numbers].sort((a, b) => a - b);
  for (let i = 0; i < sorted.length;) {
    let j = i;
    while (sorted[j + 1] === sorted[j] + 1) j++;
    parts.push(j === i ? String(sorted[i]) : `${sorted[i]}-${sorted[j]}`);
    i = j + 1;
  }
  return parts.join(",");
}

/** Characters of a list of CPUs that are shown; the rest is counted. */
const MOST_OF_A_LIST = 40;

/** `CPU 2`, `CPUs 0-3,7`; a long list is cut and counted. */
export function cpusText(cpus: readonly number[]): string {
  if (cpus.length === 1) return `CPU ${cpus[0]}`;
  const list = ranges(cpus);
  if (list.length <= MOST_OF_A_LIST) return `CPUs ${list}`;
  return `${cpus.length} CPUs (${list.slice(0, list.lastIndexOf(",", MOST_OF_A_LIST))},...)`;
}

/** Virtual ns as ms with three decimals. */
export function ms(ns: number): string {
  return (ns / 1e6).toFixed(3);
}

/** Text behind a head, continued at the margin. */
export function* wrapped(head: string, text: string, margin: number): Generator<string, void, void> {
  let line = head;
  let empty = true;
  for (const word of text.split(" ")) {
    if (!empty && line.length + 1 + word.length > COLUMNS) {
      yield line.trimEnd();
      line = " ".repeat(margin);
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  yield line.trimEnd().slice(0, COLUMNS);
}
