// SPDX-License-Identifier: GPL-2.0-only
/**
 * kfree_rcu() and kvfree_rcu() from v6.5 on: with a head only; without, they are called kfree_rcu_mightsleep() and
 * kvfree_rcu_mightsleep(). Mirrors those macros of include/linux/rcupdate.h.
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

/** @mirrors include/linux/rcupdate.h:kfree_rcu (v6.5) */
function kfree_rcu(
  k: Kernel,
  ptr: VirtAddr,
  layout?: Layout<Fields>,
  rhf?: string,
  extra?: unknown,
): MaySleep<void> {
  if (layout === undefined || rhf === undefined) return twoNeeded(k, "kfree_rcu");
  if (extra !== undefined) return oneTooMany(k, "kfree_rcu");
  return kvfree_rcu_arg_2(k, ptr, layout, rhf);
}

/** @mirrors include/linux/rcupdate.h:kvfree_rcu (v6.5) */
function kvfree_rcu(
  k: Kernel,
  ptr: VirtAddr,
  layout?: Layout<Fields>,
  rhf?: string,
  extra?: unknown,
): MaySleep<void> {
  if (layout === undefined || rhf === undefined) return twoNeeded(k, "kvfree_rcu");
  if (extra !== undefined) return oneTooMany(k, "kvfree_rcu");
  return kvfree_rcu_arg_2(k, ptr, layout, rhf);
}

/** @mirrors include/linux/rcupdate.h:kfree_rcu_mightsleep (v6.5) */
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
  return kvfree_rcu_arg_1(k, ptr);
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
