// SPDX-License-Identifier: GPL-2.0-only
/**
 * What tests need to run at many levels of kvfree_rcu()'s history.
 *
 * @module
 */

import type { VirtAddr } from "../../../kernel/machine/brand.ts";
import type { MaySleep } from "../../../kernel/machine/effects.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { type Level, levelAtLeast, LEVELS } from "../../../mod.ts";
import type { KrcShape } from "../../../rcu/krc_look.ts";
import { krcView } from "../../../rcu/kvfree.ts";
import { drain, type KvfreeMachine, newObject, queue2, sleepJiffies } from "../kvfree_machine.ts";

/** The levels from `first` to `last`. */
export function levels(first: Level, last: Level = "v6.12"): readonly Level[] {
  return LEVELS.slice(LEVELS.indexOf(first), LEVELS.indexOf(last) + 1);
}

/** How the machine's level lays out its blocks, and its delay. */
export function shapeOf(k: Kernel): KrcShape {
  return krcView(k.config.level).shape;
}

/** A pointer alone, below the macros: from 4/7 on. */
export function* queue1(k: Kernel, p: VirtAddr): MaySleep<void> {
  yield* k.kvfree.kvfree_call_rcu(k, null, p);
}

/** From v5.11 on a block's page must have been fetched before: has that done for this CPU, by a call. */
export function* pagesAtHand(m: KvfreeMachine): MaySleep<void> {
  const { k } = m;
  if (!levelAtLeast(k.config.level, "v5.11")) return;
  yield* queue2(k, yield* newObject(k));
  yield* sleepJiffies(k, 2);
  yield* drain(m);
}
