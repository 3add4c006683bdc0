// SPDX-License-Identifier: GPL-2.0-only
/**
 * kfree_rcu() and kvfree_rcu() in v6.3 and v6.4: the headless form gets a name that says that it may sleep, beside the old
 * one; and what is handed over with a head is the pointer, not the offset. Mirrors those macros of include/linux/rcupdate.h.
 *
 * @module
 */

import { NULL } from "../../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../../kernel/machine/brand.ts";
import { type Atomic, doneVoid, type MaySleep } from "../../../kernel/machine/effects.ts";
import type { Fields, Layout } from "../../../kernel/machine/struct.ts";
import type { KvfreeMacros } from "../../../kernel/hooks.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { checkedOffset, oneOnly, oneTooMany, twoNeeded } from "./arguments.ts";

/** The same under the older name. @mirrors include/linux/rcupdate.h:kfree_rcu (v5.12) */
function kfree_rcu(
  k: Kernel,
  ptr: VirtAddr,
  layout?: Layout<Fields>,
  rhf?: string,
  extra?: unknown,
): MaySleep<void> {
  if (extra !== undefined) return oneTooMany(k, "kfree_rcu");
  if ((layout === undefined) !== (rhf === undefined)) return twoNeeded(k, "kfree_rcu");
  return kvfree_rcu(k, ptr, layout, rhf);
}

/** Picks by the number of arguments. @mirrors include/linux/rcupdate.h:kvfree_rcu (7/7) */
function kvfree_rcu(
  k: Kernel,
  ptr: VirtAddr,
  layout?: Layout<Fields>,
  rhf?: string,
  extra?: unknown,
): MaySleep<void> {
  if (extra !== undefined) return oneTooMany(k, "kvfree_rcu");
  if (layout === undefined && rhf === undefined) return kvfree_rcu_arg_1(k, ptr);
  if (layout === undefined || rhf === undefined) return twoNeeded(k, "kvfree_rcu");
  return kvfree_rcu_arg_2(k, ptr, layout, rhf);
}

/** @mirrors include/linux/rcupdate.h:kvfree_rcu_mightsleep (v6.3) */
function kvfree_rcu_mightsleep(
  k: Kernel,
  ptr: VirtAddr,
  layout?: Layout<Fields>,
  rhf?: string,
  extra?: unknown,
): MaySleep<void> {
  if (layout !== undefined || rhf !== undefined || extra !== undefined) {
    return oneOnly(k, "kvfree_rcu_mightsleep");
  }
  return kvfree_rcu_arg_1(k, ptr);
}

/** @mirrors include/linux/rcupdate.h:kfree_rcu_mightsleep (v6.3) */
function kfree_rcu_mightsleep(
  k: Kernel,
  ptr: VirtAddr,
  layout?: Layout<Fields>,
  rhf?: string,
  extra?: unknown,
): MaySleep<void> {
  if (layout !== undefined || rhf !== undefined || extra !== undefined) {
    return oneOnly(k, "kfree_rcu_mightsleep");
  }
  return kvfree_rcu_mightsleep(k, ptr);
}

/** @mirrors include/linux/rcupdate.h:kvfree_rcu_arg_2 (v6.3) */
function kvfree_rcu_arg_2(k: Kernel, ptr: VirtAddr, layout: Layout<Fields>, rhf: string): Atomic<void> {
  const offset = checkedOffset(layout, rhf);
  return ptr === NULL ? doneVoid() : k.kvfree.kvfree_call_rcu(k, (ptr + offset) as VirtAddr, ptr);
}

/** @mirrors include/linux/rcupdate.h:kvfree_rcu_arg_1 (7/7) */
function kvfree_rcu_arg_1(k: Kernel, ptr: VirtAddr): MaySleep<void> {
  return ptr === NULL ? doneVoid() : k.kvfree.kvfree_call_rcu(k, null, ptr);
}

export const macros: KvfreeMacros = {
  kfree_rcu,
  kvfree_rcu,
  kfree_rcu_mightsleep,
  kvfree_rcu_mightsleep,
};
