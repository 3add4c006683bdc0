// SPDX-License-Identifier: GPL-2.0-only
/**
 * Which site has which difference: a function of the variant's number.
 *
 * Three sites of the four have one, of three different families; the fourth is as it should be. Invariant: every number
 * from 0 to VARIANTS - 1 is another deal, and which deal a number is cannot be read off the number.
 *
 * @module
 */

import { type Difference, DIFFERENCES, type Family } from "./differences.ts";

/** The four call sites of 5.8. */
export const SITES = ["gdb", "meta_bg", "groupinfo", "flex"] as const;
export type Site = typeof SITES[number];

const FAMILIES: readonly Family[] = ["memory", "updater", "reader"];
const KINDS = 3 ** FAMILIES.length;
/** Who sits where: the families and nobody, in every order. */
const SEATINGS = 24;

/** How many deals there are. */
export const VARIANTS: number = KINDS * SEATINGS;

/** The difference of each site; null: none. */
export type Deal = Readonly<Record<Site, Difference | null>>;

/** The deal of a variant's number. */
export function dealOf(variant: number): Deal {
  let left = shuffled(variant);
  const seats = [...SITES];
  const deal: Record<Site, Difference | null> = { gdb: null, meta_bg: null, groupinfo: null, flex: null };
  for (const family of FAMILIES) {
    const differences = DIFFERENCES[family];
    const difference = differences[left % differences.length];
    left = Math.floor(left / differences.length);
    const [site] = seats.splice(left % seats.length, 1);
    left = Math.floor(left / (seats.length + 1));
    deal[site] = difference;
  }
  return deal;
}

/** Another number below VARIANTS for each: multiplied by what has no divisor in common with it, and shifted. */
function shuffled(variant: number): number {
  return (variant * 401 + 275) % VARIANTS;
}
