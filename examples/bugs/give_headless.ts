// SPDX-License-Identifier: GPL-2.0-only
/**
 * Freeing by the address alone, as each level spells it: kvfree_rcu(p), kvfree_rcu_mightsleep(p), or, at 4/7 to 6/7 where
 * there is no macro yet, what the macro will come to.
 */

import {
  type Kernel,
  kvfree_rcu,
  kvfree_rcu_mightsleep,
  type KvfreeInterface,
  type MaySleep,
  offeredAt,
  type VirtAddr,
} from "../../mod.ts";

/** For `needs` of a scenario. */
export function giveHeadlessNeeds(): KvfreeInterface[][] {
  return [["kvfree_call_rcu(NULL, ptr)"]];
}

/** Frees `p` after a grace period. May sleep. */
export function giveHeadless(k: Kernel, p: VirtAddr): MaySleep<void> {
  const { level } = k.config;
  if (offeredAt(level, "kvfree_rcu(ptr)")) return kvfree_rcu(k, p);
  if (offeredAt(level, "kvfree_rcu_mightsleep(ptr)")) return kvfree_rcu_mightsleep(k, p);
  return k.kvfree.kvfree_call_rcu(k, null, p);
}
