// SPDX-License-Identifier: GPL-2.0-only
/**
 * Sizes of stalls that make a difference, and stalls in words.
 *
 * A stall of a window is a preemption: every other CPU gets on first. A stall of a tick is, on top of that, the arrival of
 * the timer interrupt at that point. The longest one outlasts grace periods and timeouts. Invariant: a stall shorter than
 * a tick never breaks a grace period, and means nothing on one CPU.
 *
 * @module
 */

import { type Deviation, MAX_STALL, type PassedPoint, type Policy } from "../../kernel/machine/chooser.ts";
import { STALL_NS } from "../../kernel/machine/cost.ts";
import { POINT_NAMES } from "../../kernel/machine/points.ts";
import type { Config } from "../../kernel/config.ts";

/** The smallest stall of at least `ns`. */
export function stallOf(ns: number): number {
  let n = 0;
  while (n < MAX_STALL && STALL_NS * 2 ** n < ns) n++;
  return n;
}

/** Sizes by name. */
export type StallName = "window" | "tick" | "long";
export const STALL_NAMES: readonly StallName[] = ["window", "tick", "long"];

/** The stall of that name on such a machine. */
export function stallNamed(name: StallName, config: Config, policy: Policy): number {
  switch (name) {
    case "window":
      return stallOf(policy.windowNs);
    case "tick":
      return stallOf(1e9 / config.HZ);
    case "long":
      return MAX_STALL;
  }
}

/** A tick, and on several CPUs a window and the longest. */
export function usualStalls(config: Config, policy: Policy): number[] {
  const names = config.cpus === 1 ? ["tick"] as const : STALL_NAMES;
  return [...new Set(names.map((name) => stallNamed(name, config, policy)))].sort((a, b) => a - b);
}

/** A stall and where it happens, by names. */
export interface NamedStall extends Deviation {
  readonly cpu: number;
  readonly thread: string;
  readonly kind: number;
  readonly object: string;
}

/** Names for stalls from the points of an execution that had them; in the order in which they happened. */
export function nameStalls(deviations: readonly Deviation[], points: readonly PassedPoint[]): NamedStall[] {
  const sizes = new Map(deviations.map((d) => [`${d.site}:${d.nth}`, d.stall]));
  return points.flatMap((point) => {
    const stall = sizes.get(`${point.site}:${point.nth}`);
    return stall === undefined ? [] : [{ ...point, stall }];
  });
}

/** `the CPU of reader/1 loses 65.536 ms at its 4th rcu_dereference (read)` */
export function stallText({ thread, kind, object, nth, stall, cpu }: NamedStall): string {
  const who = thread === "hardirq" || thread === "softirq"
    ? `CPU ${cpu}, in ${thread},`
    : `the CPU of ${thread}`;
  const its = thread === "hardirq" || thread === "softirq" ? "the" : "its";
  return `${who} loses ${stallTime(stall)} at ${its} ${ordinal(nth)} ${object} (${POINT_NAMES[kind]})`;
}

/** `64 us`, `4.096 ms`. */
export function stallTime(stall: number): string {
  const ns = STALL_NS * 2 ** stall;
  return ns < 1000 ? `${ns} ns` : ns < 1e6 ? `${ns / 1e3} us` : `${ns / 1e6} ms`;
}

/** `of 64 us or 4.096 ms` */
export function sizesText(stalls: readonly number[]): string {
  return `of ${stalls.map(stallTime).join(" or ")}`;
}

function ordinal(n: number): string {
  const teen = n % 100 >= 11 && n % 100 <= 13;
  return `${n}${teen ? "th" : { 1: "st", 2: "nd", 3: "rd" }[n % 10] ?? "th"}`;
}
