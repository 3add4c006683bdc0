// SPDX-License-Identifier: GPL-2.0-only
/**
 * kfree_rcu() and kvfree_rcu() before 7/7 of the series: a pointer and its rcu_head, under two names. Mirrors those macros
 * of include/linux/rcupdate.h.
 *
 * @module
 */

import { NULL } from "../../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../../kernel/machine/brand.ts";
import { type Atomic, doneVoid, type MaySleep } from "../../../kernel/machine/effects.ts";
import type { Fields, Layout } from "../../../kernel/machine/struct.ts";
import type { KvfreeMacros } from "../../../kernel/hooks.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { checkedOffset, oneTooMany, twoNeeded } from "./arguments.ts";

/** Hands a head over; the offset was checked, as at C's compile time. @mirrors include/linux/rcupdate.h:__kvfree_rcu */
function __kvfree_rcu(k: Kernel, head: VirtAddr, offset: number): Atomic<void> {
  return k.kvfree.kvfree_call_rcu(k, head, offset);
}

/** @mirrors include/linux/rcupdate.h:kfree_rcu */
function kfree_rcu(
  k: Kernel,
  ptr: VirtAddr,
  layout?: Layout<Fields>,
  rhf?: string,
  extra?: unknown,
): MaySleep<void> {
  if (layout === undefined || rhf === undefined) return twoNeeded(k, "kfree_rcu");
  if (extra !== undefined) return oneTooMany(k, "kfree_rcu");
  const offset = checkedOffset(layout, rhf);
  return ptr === NULL ? doneVoid() : __kvfree_rcu(k, (ptr + offset) as VirtAddr, offset);
}

/** The same under the name for memory of either kind. @mirrors include/linux/rcupdate.h:kvfree_rcu */
function kvfree_rcu(
  k: Kernel,
  ptr: VirtAddr,
  layout?: Layout<Fields>,
  rhf?: string,
  extra?: unknown,
): MaySleep<void> {
  if (layout === undefined || rhf === undefined) return twoNeeded(k, "kvfree_rcu");
  if (extra !== undefined) return oneTooMany(k, "kvfree_rcu");
  return kfree_rcu(k, ptr, layout, rhf);
}

export const macros: KvfreeMacros = {
  kfree_rcu,
  kvfree_rcu,
  kfree_rcu_mightsleep: null,
  kvfree_rcu_mightsleep: null,
};
