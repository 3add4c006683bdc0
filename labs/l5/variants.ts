// SPDX-License-Identifier: GPL-2.0-only
/**
 * Variants of lab L5: constants and twists of structure, drawn by a key; and the same in words, as options of programs.
 *
 * Invariant: key 0 is the hand-out's variant, in which everything is as in Linux where Linux has it; the same key gives
 * the same variant for ever.
 *
 * @module
 */

import { Random } from "../../kernel/machine/random.ts";
import type { Variant } from "../lab.ts";
import type { TinyVariant } from "./start.ts";

/** Broken machines of each kind; a student gets one of each. */
const HUNTS: readonly (readonly number[])[] = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]];

/** The stream of random numbers of variants. */
const STREAM_VARIANT = 501;

/** The variant of the hand-out. */
export const HANDOUT: TinyVariant = {
  order: "fifo",
  limit: 0,
  slots: 1,
  capacity: 4,
  drain: 3,
  spare: 1,
  func: "bytes",
};

/** The variant of a key, as the framework keeps it: with the three broken machines of the
 * hunt, and in the words of the programs' `--variant`. */
export function variantOf(key: number): Variant {
  if (key === 0) return { ...HANDOUT, broken: "2,6,10", words: variantText(HANDOUT) };
  const random = new Random(key, STREAM_VARIANT);
  function pick<T>(of: readonly T[]): T {
    return of[random.below(of.length)];
  }
  const variant: TinyVariant = {
    order: pick(["fifo", "lifo"]),
    limit: pick([0, 2, 3, 4]),
    slots: pick([1, 2]),
    capacity: pick([3, 4, 5, 6, 7]),
    drain: pick([2, 3, 4, 5, 6]),
    spare: pick([0, 1]),
    func: pick(["bytes", "words", "object"]),
  };
  return { ...variant, broken: HUNTS.map(pick).join(","), words: variantText(variant) };
}

/** What is the student's business of a framework variant. */
export function tinyVariant({ order, limit, slots, capacity, drain, spare, func }: Variant): TinyVariant {
  return Object.freeze({ order, limit, slots, capacity, drain, spare, func } as TinyVariant);
}

/** The broken machines of a variant. */
export function brokenOf(variant: Variant): number[] {
  return String(variant.broken).split(",").map(Number);
}

/** Words that variants are written in. */
export const VARIANT_WORDS: readonly string[] = [
  "fifo",
  "lifo",
  ...[0, 2, 3, 4].map((n) => `limit${n}`),
  ...[1, 2].map((n) => `slots${n}`),
  ...[3, 4, 5, 6, 7].map((n) => `capacity${n}`),
  ...[2, 3, 4, 5, 6].map((n) => `drain${n}`),
  ...[0, 1].map((n) => `spare${n}`),
  "bytes",
  "words",
  "object",
];

/** A variant in words: `fifo,limit0,slots1,capacity4,drain3,spare1,bytes`. */
export function variantText(v: TinyVariant): string {
  const numbers = (["limit", "slots", "capacity", "drain", "spare"] as const).map((name) => name + v[name]);
  return [v.order, ...numbers, v.func].join(",");
}

/** The variant that words say; what they do not say is as in the hand-out. */
export function variantFrom(text: string): TinyVariant {
  const variant: Record<string, string | number> = { ...HANDOUT };
  for (const word of text.split(",").filter((w) => w !== "")) {
    const [, name, digits] = /^([a-z]+)(\d*)$/.exec(word) ?? [];
    if (name === "fifo" || name === "lifo") variant.order = name;
    else if (digits === "") variant.func = name;
    else variant[name] = Number(digits);
  }
  return Object.freeze(variant as unknown as TinyVariant);
}
