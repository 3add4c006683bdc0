// SPDX-License-Identifier: GPL-2.0-only
/**
 * Lock-less lists. Mirrors include/linux/llist.h and lib/llist.c (v5.7).
 *
 * Nodes are bytes in emulated RAM, known by their address: vfree() and kvfree_rcu() thread such a list through the very
 * memory that is to be freed. Adding and taking everything need no lock and may happen on all CPUs at once; taking single
 * entries needs one taker at a time.
 *
 * Invariant: entries come out in the reverse order of their arrival. Left out: the iteration macros (a loop over
 * llist_next() that reads the successor before it gives the entry away).
 *
 * @module
 */

import { NULL } from "./machine/addr.ts";
import type { VirtAddr } from "./machine/brand.ts";
import { type Atomic, STEP } from "./machine/effects.ts";
import { POINT_READ, pt } from "./machine/points.ts";
import { ptr, struct } from "./machine/struct.ts";
import { cmpxchg, READ_ONCE, smp_load_acquire, xchg } from "./compiler.ts";
import type { Kernel } from "./kernel.ts";

/** A list. @mirrors include/linux/llist.h:llist_head */
export class llist_head {
  first: VirtAddr = NULL;
}

/** @mirrors include/linux/llist.h:llist_node */
export const llist_node = struct("llist_node", { next: ptr });

/** @mirrors include/linux/llist.h:init_llist_head */
export function init_llist_head(list: llist_head): void {
  list.first = NULL;
}

/** Whether the list is empty at this moment. A point. @mirrors include/linux/llist.h:llist_empty */
export function* llist_empty(k: Kernel, head: llist_head): Atomic<boolean> {
  return (yield* READ_ONCE(k, head, "first")) === NULL;
}

/** The entry behind `node`. A plain access: the caller owns the chain. @mirrors include/linux/llist.h:llist_next */
export function llist_next(k: Kernel, node: VirtAddr): VirtAddr {
  return llist_node.f.next.get(k, node);
}

/**
 * Adds an entry. Returns whether the list was empty before.
 *
 * Context: any.
 *
 * @mirrors include/linux/llist.h:llist_add
 */
export function llist_add(k: Kernel, new_: VirtAddr, head: llist_head): Atomic<boolean> {
  return llist_add_batch(k, new_, new_, head);
}

/**
 * Takes the whole chain; the newest entry comes first. A point.
 *
 * @mirrors include/linux/llist.h:llist_del_all
 */
export function llist_del_all(k: Kernel, head: llist_head): Atomic<VirtAddr> {
  return xchg(k, head, "first", NULL);
}

/**
 * Adds a chain that is linked from `new_first` to `new_last`. Returns whether the list was empty before.
 *
 * Context: any; the two points are where another CPU may get in between, and then the link is written again.
 *
 * @mirrors lib/llist.c:llist_add_batch
 */
export function* llist_add_batch(
  k: Kernel,
  new_first: VirtAddr,
  new_last: VirtAddr,
  head: llist_head,
): Atomic<boolean> {
  for (;;) {
    const first = yield* READ_ONCE(k, head, "first");
    llist_node.f.next.set(k, new_last, first);
    if ((yield* cmpxchg(k, head, "first", first, new_first)) === first) return first === NULL;
  }
}

/**
 * Takes the newest entry, NULL when there is none.
 *
 * Locks: only one CPU at a time may take single entries; adding goes on meanwhile.
 *
 * @mirrors lib/llist.c:llist_del_first
 */
export function* llist_del_first(k: Kernel, head: llist_head): Atomic<VirtAddr> {
  let entry = yield* smp_load_acquire(k, head, "first");
  for (;;) {
    if (entry === NULL) return NULL;
    const old_entry = entry;
    if (pt(k, POINT_READ, "next")) yield STEP;
    const next = llist_next(k, old_entry);
    entry = yield* cmpxchg(k, head, "first", old_entry, next);
    if (entry === old_entry) return entry;
  }
}

/** Turns a taken chain round, so that the oldest entry comes first. @mirrors lib/llist.c:llist_reverse_order */
export function llist_reverse_order(k: Kernel, head: VirtAddr): VirtAddr {
  let new_head: VirtAddr = NULL;
  for (let node = head; node !== NULL;) {
    const next = llist_next(k, node);
    llist_node.f.next.set(k, node, new_head);
    new_head = node;
    node = next;
  }
  return new_head;
}
