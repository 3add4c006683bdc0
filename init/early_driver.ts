// SPDX-License-Identifier: GPL-2.0-only
/**
 * A driver that is in a hurry: in an early initcall, before kvfree_rcu() arms timers, it replaces what it has just made and
 * gives the old objects to kvfree_rcu(). `boot --early-driver N` has N of them.
 *
 * Invariant: a machine without it boots as if this file were not there.
 *
 * @invented Linux has such drivers, this kernel has no drivers
 * @module
 */

import { NULL } from "../kernel/machine/addr.ts";
import type { Ptr, VirtAddr } from "../kernel/machine/brand.ts";
import type { MaySleep } from "../kernel/machine/effects.ts";
import { array, embed, struct, u8 } from "../kernel/machine/struct.ts";
import { GFP_KERNEL } from "../kernel/gfp.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { kmalloc } from "../mm/slub.ts";
import { offeredAt } from "../rcu/levels/interfaces.ts";
import { rcu_head } from "../rcu/rcu.ts";
import { kvfree_rcu, kvfree_rcu_mightsleep } from "../rcu/rcupdate.ts";

const early_object = struct("early_object", { data: array(u8, 16), rcu: embed(rcu_head) });

/** Gives one object away: by its address alone where the level has a name for that, else by its rcu_head. */
function giveAway(k: Kernel, p: VirtAddr): MaySleep<void> {
  const { level } = k.config;
  if (offeredAt(level, "kvfree_rcu_mightsleep(ptr)")) return kvfree_rcu_mightsleep(k, p);
  if (offeredAt(level, "kvfree_rcu(ptr)")) return kvfree_rcu(k, p);
  return kvfree_rcu(k, p as Ptr<typeof early_object>, early_object, "rcu");
}

/**
 * Makes objects and gives them away.
 *
 * Context: boot, pid 1; the other CPUs are off, RCU's thread is there. Sleeps.
 *
 * @invented see the file
 */
export function* earlyDriverInit(k: Kernel): MaySleep<void> {
  for (let i = 0; i < k.config.earlyDriver; i++) {
    const p = yield* kmalloc(k, early_object.size, GFP_KERNEL);
    if (p !== NULL) yield* giveAway(k, p);
  }
}
