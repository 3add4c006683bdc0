// SPDX-License-Identifier: GPL-2.0-only
/**
 * kvfree_rcu() of tiny RCU at 5/7 of the series: the same function as before, out of the header. Mirrors that part of
 * kernel/rcu/tiny.c.
 *
 * @module
 */

import type { VirtAddr } from "../../../kernel/machine/brand.ts";
import { type Atomic, doneVoid, type MaySleep } from "../../../kernel/machine/effects.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { trace_kvfree_rcu } from "../../../kernel/trace/events/quiesce.ts";
import { call_rcu } from "../../tiny.ts";
import { noHeadlessForm } from "../interfaces.ts";
import type { TinyLevel } from "../level.ts";

/**
 * Queues a head whose func is its offset: tiny RCU frees the object when the grace period is over.
 *
 * Context: any.
 *
 * @mirrors kernel/rcu/tiny.c:kvfree_call_rcu (5/7)
 */
function kvfree_call_rcu(k: Kernel, head: VirtAddr, func: number): Atomic<void>;
function kvfree_call_rcu(k: Kernel, head: null, func: VirtAddr): MaySleep<void>;
function kvfree_call_rcu(k: Kernel, head: VirtAddr | null, func: number): MaySleep<void> {
  if (head === null) return noHeadlessForm(k);
  trace_kvfree_rcu(k, (head - func) as VirtAddr, false);
  return call_rcu(k, head, func);
}

/** Nothing is batched, so nothing has to be opened. @mirrors include/linux/rcutiny.h:kfree_rcu_scheduler_running (empty) */
function kfree_rcu_scheduler_running(_k: Kernel): Atomic<void> {
  return doneVoid();
}

/** kvfree_rcu() of tiny RCU at 5/7. */
export const level: TinyLevel = {
  ops: {
    kfree_rcu_batch_init: kfree_rcu_scheduler_running,
    kvfree_call_rcu,
    kvfree_rcu_barrier: null,
    kfree_rcu_scheduler_running,
    pendingAddresses: () => [],
    ownAddresses: () => [],
    busy: () => false,
  },
  statics: [],
  look: null,
};
