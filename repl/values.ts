// SPDX-License-Identifier: GPL-2.0-only
// The values of options and arguments: whole numbers, sizes, words out of a list. Text in, value out, or one
// line that says what is allowed.
//
// Ours. Invariant: nothing is rounded, clamped or guessed; "64Q", "1.5" and "" are errors. Sizes are powers of
// 1024, as everywhere in Linux.

import type { ValueSpec } from "./command.ts";
import { didYouMean } from "./nearest.ts";
import { UsageError } from "./status.ts";

const UNITS = ["", "K", "M", "G", "T"];

/** A value after checking. */
export type Value = string | number;

/** Anything that declares a value: an option or an argument. */
export interface Declared {
  readonly type: ValueSpec["type"];
  readonly min?: number;
  readonly max?: number;
  readonly choices?: readonly string[];
}

/**
 * Checks one value and turns it into a number or leaves it a string.
 *
 * @param where Who reads it, for the message: `boot: --cpus`.
 */
export function parseValue(where: string, text: string, spec: Declared): Value {
  switch (spec.type) {
    case "string":
      return text;
    case "int":
      return inRange(where, text, parseInteger(text), spec, "a whole number", String);
    case "size":
      return inRange(where, text, parseSize(text), spec, "a size such as 64M,", formatSize);
    case "enum": {
      const choices = spec.choices ?? [];
      if (choices.includes(text)) return text;
      throw new UsageError(`${where} "${text}": must be ${orList(choices)}${didYouMean(text, choices)}`);
    }
  }
}

/** `4`, `0x10`; NaN for anything else. */
export function parseInteger(text: string): number {
  const value = /^-?\d+$/.test(text) || /^0x[0-9a-f]+$/i.test(text) ? Number(text) : NaN;
  return Number.isSafeInteger(value) ? value : NaN;
}

/** `4096`, `64M`, `1G`, `4KiB`: bytes; NaN for anything else. */
export function parseSize(text: string): number {
  const match = /^(\d+)([kmgt]?)(?:i?b)?$/i.exec(text);
  if (match === null) return NaN;
  const value = Number(match[1]) * 1024 ** UNITS.indexOf(match[2].toUpperCase());
  return Number.isSafeInteger(value) ? value : NaN;
}

/** `64M` for 67108864: the largest unit that divides it. */
export function formatSize(bytes: number): string {
  let unit = 0;
  while (bytes !== 0 && bytes % 1024 === 0 && unit + 1 < UNITS.length) {
    bytes /= 1024;
    unit++;
  }
  return `${bytes}${UNITS[unit]}`;
}

/** `tree or tiny`, `a, b or c`. */
export function orList(words: readonly string[]): string {
  return words.length < 2 ? words.join() : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

/** `from 1 to 4096`, `at least 1`, or nothing. */
export function describeRange(spec: Declared, show: (value: number) => string = String): string {
  if (spec.min !== undefined && spec.max !== undefined) return `from ${show(spec.min)} to ${show(spec.max)}`;
  if (spec.min !== undefined) return `of at least ${show(spec.min)}`;
  return spec.max !== undefined ? `of at most ${show(spec.max)}` : "";
}

function inRange(
  where: string,
  text: string,
  value: number,
  spec: Declared,
  what: string,
  show: (value: number) => string,
): number {
  const fits = value >= (spec.min ?? -Infinity) && value <= (spec.max ?? Infinity); // false for NaN
  if (fits) return value;
  const range = describeRange(spec, show);
  const must = range === "" ? what.replace(/,$/, "") : `${what} ${range}`;
  throw new UsageError(`${where} "${text}": must be ${must}`);
}
