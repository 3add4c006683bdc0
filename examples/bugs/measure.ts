// SPDX-License-Identifier: GPL-2.0-only
/** What programs that know what to expect measure: grace periods, what waits in kvfree_rcu(), what its shrinker says. */

import { get_state_synchronize_rcu, type Kernel, type MaySleep, NULL } from "../../mod.ts";
import { GFP_KERNEL } from "../../kernel/gfp.ts";
import { shrink_control, type shrinker, shrinkers } from "../../mm/vmscan.ts";
import { krcState } from "../../rcu/kvfree.ts";

/** Grace periods since boot that are over, but for a constant: cookies are four apart. */
export function gracePeriods(k: Kernel): number {
  return get_state_synchronize_rcu(k) / 4;
}

/** Objects of a CPU for which kvfree_rcu() has asked for no grace period yet, as it counts them. */
export function countOf(k: Kernel, cpu: number): number {
  return krcState(k)[cpu].count;
}

/** Objects of a CPU that kvfree_rcu() has handed to no batch, as they stand there. */
export function collectedOn(k: Kernel, cpu: number): number {
  const { slab, vmalloc, list } = krcState(k)[cpu];
  return [...slab, ...vmalloc].reduce((sum, { nr_records }) => sum + nr_records, list.length);
}

/** Pages that kvfree_rcu() keeps for blocks to come, on all CPUs. */
export function sparePages(k: Kernel): number {
  return krcState(k).reduce((sum, { spares }) => sum + spares.filter((page) => page !== NULL).length, 0);
}

/** What the shrinker of kvfree_rcu() answers when reclaim asks how much it could free. */
export function* shrinkCount(k: Kernel): MaySleep<number> {
  const own = shrinkers(k).find((s) => s.count_objects.name === "kfree_rcu_shrink_count") as shrinker;
  return yield* own.count_objects(k, own, new shrink_control(GFP_KERNEL));
}
