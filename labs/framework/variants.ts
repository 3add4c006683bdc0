// SPDX-License-Identifier: GPL-2.0-only
/**
 * Who gets which variant and which seeds.
 *
 * Invariant: a key is a function of the lab and the student, so that the same student gets the same variant again and
 * anybody can work it out. The product is open: seeds that must stay hidden stand in the instructor's files.
 *
 * @module
 */

import type { Variant } from "../lab.ts";
import { sha256 } from "./sha256.ts";

/** Seeds of `lab check`, the same for all. */
export const PUBLIC_SEEDS: readonly number[] = [1, 2, 3];
/** How many seeds the grader takes where the instructor's files name none. */
const GRADED_SEEDS = 5;

/** The key of a student in a lab, below 2^32; 0, the key of the hand-out, for nobody. */
export function keyOf(lab: string, student: string | null): number {
  if (student === null) return 0;
  return parseInt(sha256(`quiesce variant\n${lab}\n${student}`).slice(0, 8), 16) || 1;
}

/** Seeds to grade a student with, from their key. */
export function gradedSeeds(key: number): number[] {
  return Array.from(
    { length: GRADED_SEEDS },
    (_, i) => 1000 + parseInt(sha256(`quiesce seed\n${key}\n${i}`).slice(0, 6), 16),
  );
}

/** A key as it is shown. */
export function keyText(key: number): string {
  return key.toString(16).padStart(8, "0");
}

/** A variant on one line: `cpus 1, batch 3`. */
export function variantText(variant: Variant): string {
  const words = Object.entries(variant).map(([name, value]) => `${name} ${value}`);
  return words.length === 0 ? "the same for everybody" : words.join(", ");
}
