// SPDX-License-Identifier: GPL-2.0-only
/**
 * The objects of a kvtest case: how they are made, how they are given to RCU at each level, and what stands in the way.
 *
 * @module
 */

import type { Ptr, VirtAddr } from "../../kernel/machine/brand.ts";
import { NULL } from "../../kernel/machine/addr.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { array, embed, type Fields, type Layout, ptr, struct, u8 } from "../../kernel/machine/struct.ts";
import { type Config, levelAtLeast } from "../../kernel/config.ts";
import type { fault_attr } from "../../kernel/fault_inject.ts";
import { __GFP_NOWARN, gfp, GFP_KERNEL, GFP_NOWAIT } from "../../kernel/gfp.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { current } from "../../kernel/sched/core.ts";
import { failslab } from "../../mm/failslab.ts";
import { fail_page_alloc } from "../../mm/page_alloc.ts";
import { kfree, kmalloc } from "../../mm/slub.ts";
import { vmalloc } from "../../mm/vmalloc.ts";
import { offeredAt } from "../../rcu/levels/interfaces.ts";
import { rcu_head } from "../../rcu/rcu.ts";
import { kvfree_rcu, kvfree_rcu_mightsleep } from "../../rcu/rcupdate.ts";
import { isVmalloc, type KvtestCase, type Op } from "./case.ts";

/** Where the head of an object is at most. */
const HEAD_AT = 48;

/** The struct of an object of `size` bytes: the head at its end, or behind 48 bytes. */
export function layoutOf(size: number): Layout<Fields> {
  const at = Math.min(HEAD_AT, Math.floor((size - rcu_head.size) / ptr.size) * ptr.size);
  if (at <= 0) return struct("object", { rcu: embed(rcu_head) });
  return struct("object", { data: array(u8, at), rcu: embed(rcu_head) });
}

/** The objects of one caller. */
export function* makeObjects(k: Kernel, c: KvtestCase): MaySleep<VirtAddr[]> {
  const objects: VirtAddr[] = [];
  for (let i = 0; i < c.n; i++) {
    objects.push(isVmalloc(c, i) ? yield* vmalloc(k, c.size) : yield* kmalloc(k, c.size, GFP_KERNEL));
  }
  return objects;
}

/** Gives an object to RCU, as programs at this level do. */
export function giveAway(k: Kernel, op: Op, p: VirtAddr, layout: Layout<Fields>): MaySleep<void> {
  if (op === "kv2") return kvfree_rcu(k, p as Ptr<Layout<Fields>>, layout, "rcu");
  const { level } = k.config;
  if (offeredAt(level, "kvfree_rcu(ptr)")) return kvfree_rcu(k, p);
  if (offeredAt(level, "kvfree_rcu_mightsleep(ptr)")) return kvfree_rcu_mightsleep(k, p);
  return k.kvfree.kvfree_call_rcu(k, null, p);
}

/** Fails all requests of tasks that ask for it. */
function arm(attr: fault_attr): void {
  attr.probability = 100;
  attr.times = -1;
  attr.verbose = 0;
  attr.task_filter = true;
}

/** Prepares the failures of a case; they begin with failHere(). */
export function armFailures(k: Kernel, { failing }: KvtestCase): void {
  if (failing === "none") return;
  const pages = fail_page_alloc(k);
  arm(pages.attr);
  pages.min_order = 0;
  pages.ignore_gfp_reclaim = false;
  if (failing !== "bfail") return;
  const slab = failslab(k);
  arm(slab.attr);
  slab.ignore_gfp_reclaim = false;
}

/** Whether allocations of the current task fail from now on, as armed. */
export function failHere(k: Kernel, on: boolean): void {
  current(k).make_it_fail = on;
}

/** Whether the level makes a wrapper for a pointer alone that gets no block. */
export function hasWrappers({ rcu, level }: Config): boolean {
  return rcu === "tree" && levelAtLeast(level, "4/7") && !levelAtLeast(level, "v5.9");
}

/** sizeof of a wrapper: a back pointer and a head. */
const WRAPPER_SIZE = ptr.size + rcu_head.size;

/**
 * Takes the free objects of the wrappers' cache but one, so that a caller without pages soon gets no wrapper. Returns what
 * it took, to be freed at the end.
 */
export function* leaveOneWrapper(k: Kernel): MaySleep<VirtAddr[]> {
  const taken: VirtAddr[] = [];
  failHere(k, true);
  for (;;) {
    const p = yield* kmalloc(k, WRAPPER_SIZE, gfp(GFP_NOWAIT, __GFP_NOWARN));
    if (p === NULL) break;
    taken.push(p);
  }
  failHere(k, false);
  const last = taken.pop();
  if (last !== undefined) yield* kfree(k, last);
  return taken;
}
