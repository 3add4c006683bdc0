// SPDX-License-Identifier: GPL-2.0-only
/**
 * From lines of generated code back to lines of the source: the part of a source map (version 3) that messages need.
 *
 * @module
 */

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** The line of the source, from 1, that each line of the code begins with; that of the line before where it has none. */
export function generatedLines(sourceMap: string): number[] {
  const { mappings } = JSON.parse(sourceMap) as { mappings: string };
  let source = 0;
  let last = 1;
  return mappings.split(";").map((line) => {
    let first = 0;
    for (const segment of line.split(",")) {
      const [, , delta] = numbers(segment);
      if (delta === undefined) continue;
      source += delta;
      if (first === 0) first = source + 1;
    }
    if (first !== 0) last = first;
    return last;
  });
}

/** The numbers of a segment: base 64, five bits a digit, lowest first, the sign in the lowest bit. */
function numbers(segment: string): number[] {
  const found: number[] = [];
  let value = 0;
  let shift = 0;
  for (const digit of segment) {
    const bits = DIGITS.indexOf(digit);
    value += (bits & 31) * 2 ** shift;
    shift += 5;
    if ((bits & 32) !== 0) continue;
    found.push(value % 2 === 1 ? -(value - 1) / 2 : value / 2);
    value = shift = 0;
  }
  return found;
}
