// SPDX-License-Identifier: GPL-2.0-only
/**
 * Which calls a level offers: the argument rules of kvfree_rcu() over its history, for messages and for programs that say
 * what they need.
 *
 * @invented in C the header says it
 * @module
 */

import { type Level, LEVELS } from "../../kernel/config.ts";
import type { Kernel } from "../../kernel/kernel.ts";

/** A call, with the first level that has it and the first that has it no more. */
interface Offer {
  readonly from: Level;
  readonly before: Level | null;
}

const OFFERS = {
  "kvfree_call_rcu(NULL, ptr)": { from: "4/7", before: null },
  "kvfree_rcu(ptr)": { from: "7/7", before: "v6.5" },
  "kfree_rcu(ptr)": { from: "v5.13", before: "v6.5" },
  "kvfree_rcu_mightsleep(ptr)": { from: "v6.3-rc1", before: null },
  "kfree_rcu_mightsleep(ptr)": { from: "v6.3-rc1", before: null },
  "kvfree_rcu_barrier()": { from: "v6.12", before: null },
} satisfies Record<string, Offer>;

/** A call that not all levels offer. @invented see the file */
export type KvfreeInterface = keyof typeof OFFERS;

/** All of them. @invented see the file */
export const KVFREE_INTERFACES: readonly KvfreeInterface[] = Object.keys(OFFERS) as KvfreeInterface[];

/** Whether `level` offers `name`; what is not in the table is offered by none. @invented see the file */
export function offeredAt(level: Level, name: string): boolean {
  const offer = (OFFERS as Record<string, Offer | undefined>)[name];
  if (offer === undefined) return false;
  const at = LEVELS.indexOf(level);
  return at >= LEVELS.indexOf(offer.from) && (offer.before === null || at < LEVELS.indexOf(offer.before));
}

/** "is there from 7/7 to v6.3". @invented see the file */
export function whereOffered(name: string): string {
  const offer = (OFFERS as Record<string, Offer | undefined>)[name];
  if (offer === undefined) return "is there at no level";
  if (offer.before === null) return `is there from ${offer.from} on`;
  return `is there from ${offer.from} to ${LEVELS[LEVELS.indexOf(offer.before) - 1]}`;
}

/** A call without a head where the level has none; on tiny RCU it came with 6/7. @invented see the file */
export function noHeadlessForm(k: Kernel): never {
  const form: KvfreeInterface = "kvfree_call_rcu(NULL, ptr)";
  const where = k.config.rcu === "tiny" ? "is there from 6/7 on with tiny RCU" : whereOffered(form);
  throw new TypeError(`${form} is not there at level ${k.config.level}: it ${where}`);
}
