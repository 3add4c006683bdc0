// SPDX-License-Identifier: GPL-2.0-only
/**
 * kvfree_rcu() of tiny RCU from v6.3 to v6.11: it gets the object, and computes the offset for call_rcu(). Mirrors that
 * inline of include/linux/rcutiny.h.
 *
 * @module
 */

import type { VirtAddr } from "../../../kernel/machine/brand.ts";
import { type Atomic, doneVoid, type MaySleep } from "../../../kernel/machine/effects.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { might_sleep } from "../../../kernel/sched/core.ts";
import { trace_kvfree_rcu } from "../../../kernel/trace/events/quiesce.ts";
import { kvfree } from "../../../mm/util.ts";
import { call_rcu, synchronize_rcu } from "../../tiny.ts";
import type { TinyLevel } from "../level.ts";

/**
 * With a head: call_rcu(), with the offset as func. Without: waits for a grace period, which on one CPU is nothing, and
 * frees.
 *
 * Context: any with `head`, process context without; otherwise reported.
 *
 * @mirrors include/linux/rcutiny.h:kvfree_call_rcu (v6.3)
 */
function kvfree_call_rcu(k: Kernel, head: VirtAddr, ptr: number): Atomic<void>;
function kvfree_call_rcu(k: Kernel, head: null, ptr: VirtAddr): MaySleep<void>;
function kvfree_call_rcu(k: Kernel, head: VirtAddr | null, ptr: number): MaySleep<void> {
  if (head !== null) {
    trace_kvfree_rcu(k, ptr as VirtAddr, false);
    return call_rcu(k, head, head - ptr);
  }
  might_sleep(k);
  trace_kvfree_rcu(k, ptr as VirtAddr, true);
  return waitAndFree(k, ptr as VirtAddr);
}

function* waitAndFree(k: Kernel, ptr: VirtAddr): MaySleep<void> {
  yield* synchronize_rcu(k);
  yield* kvfree(k, ptr);
}

/** Nothing is batched, so nothing has to be opened. @mirrors include/linux/rcutiny.h:kfree_rcu_scheduler_running (empty) */
function kfree_rcu_scheduler_running(_k: Kernel): Atomic<void> {
  return doneVoid();
}

/** kvfree_rcu() of tiny RCU from v6.3-rc1 to v6.5. */
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
