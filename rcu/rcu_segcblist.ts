// SPDX-License-Identifier: GPL-2.0-only
/**
 * Callback lists in segments. Mirrors kernel/rcu/rcu_segcblist.c, rcu_segcblist.h and include/linux/rcu_segcblist.h (v5.7).
 *
 * One singly linked list of rcu_heads in memory, cut in four: callbacks that may run, that wait for the grace period
 * gp_seq[1], for gp_seq[2], and new ones without a number. A tail is the address of the pointer that ends its segment,
 * so a segment is empty when its tail equals the one before. The first pointer stands in .data, as in C it is part of
 * rcu_data; tails and counts are fields.
 *
 * Invariant: tails[3] is the end of the list. Left out: callback offloading.
 *
 * @module
 */

import { NULL } from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import { type Atomic, doneVoid, STEP } from "../kernel/machine/effects.ts";
import { POINT_NAMED, pt } from "../kernel/machine/points.ts";
import { ptr } from "../kernel/machine/struct.ts";
import { WARN_ON_ONCE } from "../kernel/bug.ts";
import { smp_mb } from "../kernel/compiler.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { rcu_head, ULONG_CMP_LT } from "./rcu.ts";

/** A plain list of callbacks; empty. @mirrors include/linux/rcu_segcblist.h:rcu_cblist */
export class rcu_cblist {
  /** Address of the pointer to the first callback. */
  readonly head: VirtAddr;
  /** Address of the pointer that ends the list. */
  tail: VirtAddr;
  len = 0;

  constructor(k: Kernel) {
    this.head = k.dataAlloc(ptr.size);
    this.tail = this.head;
  }
}

export const RCU_DONE_TAIL = 0; // may run
export const RCU_WAIT_TAIL = 1; // waits for gp_seq[1]
export const RCU_NEXT_READY_TAIL = 2; // waits for gp_seq[2]
export const RCU_NEXT_TAIL = 3; // has no number yet
export const RCU_CBLIST_NSEGS = 4;

/** A list in segments; disabled until rcu_segcblist_init(). @mirrors include/linux/rcu_segcblist.h:rcu_segcblist */
export class rcu_segcblist {
  /** Address of the pointer to the first callback. */
  readonly head: VirtAddr;
  readonly tails: VirtAddr[];
  readonly gp_seq: number[] = [0, 0, 0, 0];
  len = 0;
  enabled = false;
  readonly offloaded = false;

  constructor(k: Kernel) {
    this.head = k.dataAlloc(ptr.size);
    this.tails = new Array<VirtAddr>(RCU_CBLIST_NSEGS).fill(this.head);
  }
}

/** Address of the pointer behind callback `rhp`: `&rhp->next`. */
function nextOf(rhp: VirtAddr): VirtAddr {
  return (rhp + rcu_head.offsetof("next")) as VirtAddr;
}

/** Empties a list. @mirrors kernel/rcu/rcu_segcblist.c:rcu_cblist_init */
export function rcu_cblist_init(k: Kernel, rclp: rcu_cblist): void {
  k.ram.storePtr(rclp.head, NULL);
  rclp.tail = rclp.head;
  rclp.len = 0;
}

/**
 * Takes the first callback off, or NULL. The count goes below zero on a list that was filled without counting.
 *
 * @mirrors kernel/rcu/rcu_segcblist.c:rcu_cblist_dequeue
 */
export function rcu_cblist_dequeue(k: Kernel, rclp: rcu_cblist): VirtAddr {
  const rhp = k.ram.loadPtr(rclp.head);
  if (rhp === NULL) return NULL;
  rclp.len--;
  const next = rcu_head.f.next.get(k, rhp);
  k.ram.storePtr(rclp.head, next);
  if (next === NULL) rclp.tail = rclp.head;
  return rhp;
}

/** Whether the list holds nothing. @mirrors kernel/rcu/rcu_segcblist.h:rcu_segcblist_empty */
export function rcu_segcblist_empty(k: Kernel, rsclp: rcu_segcblist): boolean {
  return k.ram.loadPtr(rsclp.head) === NULL;
}

/**
 * How many callbacks are queued; those being invoked count too.
 *
 * @mirrors kernel/rcu/rcu_segcblist.h:rcu_segcblist_n_cbs
 */
export function rcu_segcblist_n_cbs(rsclp: rcu_segcblist): number {
  return rsclp.len;
}

/** Whether callbacks may be queued. @mirrors kernel/rcu/rcu_segcblist.h:rcu_segcblist_is_enabled */
export function rcu_segcblist_is_enabled(rsclp: rcu_segcblist): boolean {
  return rsclp.enabled;
}

/** Whether nothing follows segment `seg`. @mirrors kernel/rcu/rcu_segcblist.h:rcu_segcblist_restempty */
export function rcu_segcblist_restempty(k: Kernel, rsclp: rcu_segcblist, seg: number): boolean {
  return k.ram.loadPtr(rsclp.tails[seg]) === NULL;
}

/** @mirrors kernel/rcu/rcu_segcblist.c:rcu_segcblist_set_len */
function rcu_segcblist_set_len(rsclp: rcu_segcblist, v: number): void {
  rsclp.len = v;
}

/**
 * Adds to the count, between full barriers: rcu_barrier() reads it.
 *
 * @mirrors kernel/rcu/rcu_segcblist.c:rcu_segcblist_add_len
 */
function rcu_segcblist_add_len(k: Kernel, rsclp: rcu_segcblist, v: number): void {
  smp_mb(k);
  rsclp.len += v;
  smp_mb(k);
}

/** @mirrors kernel/rcu/rcu_segcblist.c:rcu_segcblist_inc_len */
export function rcu_segcblist_inc_len(k: Kernel, rsclp: rcu_segcblist): void {
  rcu_segcblist_add_len(k, rsclp, 1);
}

/** @mirrors kernel/rcu/rcu_segcblist.c:rcu_segcblist_xchg_len */
function rcu_segcblist_xchg_len(k: Kernel, rsclp: rcu_segcblist, v: number): number {
  const ret = rsclp.len;
  smp_mb(k);
  rsclp.len = v;
  smp_mb(k);
  return ret;
}

/** Empties and enables a list. @mirrors kernel/rcu/rcu_segcblist.c:rcu_segcblist_init */
export function rcu_segcblist_init(k: Kernel, rsclp: rcu_segcblist): void {
  k.ram.storePtr(rsclp.head, NULL);
  for (let i = 0; i < RCU_CBLIST_NSEGS; i++) rsclp.tails[i] = rsclp.head;
  rcu_segcblist_set_len(rsclp, 0);
  rsclp.enabled = true;
}

/** No more callbacks: its CPU is gone. @mirrors kernel/rcu/rcu_segcblist.c:rcu_segcblist_disable */
export function rcu_segcblist_disable(k: Kernel, rsclp: rcu_segcblist): void {
  WARN_ON_ONCE(k, !rcu_segcblist_empty(k, rsclp), "empty");
  WARN_ON_ONCE(k, rcu_segcblist_n_cbs(rsclp) !== 0, "n_cbs");
  rsclp.enabled = false;
}

/** Whether some callback may run. @mirrors kernel/rcu/rcu_segcblist.c:rcu_segcblist_ready_cbs */
export function rcu_segcblist_ready_cbs(rsclp: rcu_segcblist): boolean {
  return rcu_segcblist_is_enabled(rsclp) && rsclp.head !== rsclp.tails[RCU_DONE_TAIL];
}

/** Whether some callback may not run yet. @mirrors kernel/rcu/rcu_segcblist.c:rcu_segcblist_pend_cbs */
export function rcu_segcblist_pend_cbs(k: Kernel, rsclp: rcu_segcblist): boolean {
  return rcu_segcblist_is_enabled(rsclp) && !rcu_segcblist_restempty(k, rsclp, RCU_DONE_TAIL);
}

/** First callback, or NULL. @mirrors kernel/rcu/rcu_segcblist.c:rcu_segcblist_first_cb */
export function rcu_segcblist_first_cb(k: Kernel, rsclp: rcu_segcblist): VirtAddr {
  return rcu_segcblist_is_enabled(rsclp) ? k.ram.loadPtr(rsclp.head) : NULL;
}

/** First callback that may not run yet, or NULL. @mirrors kernel/rcu/rcu_segcblist.c:rcu_segcblist_first_pend_cb */
export function rcu_segcblist_first_pend_cb(k: Kernel, rsclp: rcu_segcblist): VirtAddr {
  return rcu_segcblist_is_enabled(rsclp) ? k.ram.loadPtr(rsclp.tails[RCU_DONE_TAIL]) : NULL;
}

/**
 * Queues a new callback. Points: CB2, counted and not linked; CB3, linked and the tail not moved.
 *
 * Context: the list is this CPU's, interrupts are off.
 *
 * @mirrors kernel/rcu/rcu_segcblist.c:rcu_segcblist_enqueue
 */
export function rcu_segcblist_enqueue(k: Kernel, rsclp: rcu_segcblist, rhp: VirtAddr): Atomic<void> {
  rcu_segcblist_inc_len(k, rsclp);
  smp_mb(k);
  if (pt(k, POINT_NAMED, "CB2")) return enqueueFromCB2(k, rsclp, rhp);
  rcu_head.f.next.set(k, rhp, NULL);
  k.ram.storePtr(rsclp.tails[RCU_NEXT_TAIL], rhp);
  if (pt(k, POINT_NAMED, "CB3")) return enqueueFromCB3(rsclp, rhp);
  rsclp.tails[RCU_NEXT_TAIL] = nextOf(rhp);
  return doneVoid();
}

function* enqueueFromCB2(k: Kernel, rsclp: rcu_segcblist, rhp: VirtAddr): Atomic<void> {
  yield STEP;
  rcu_head.f.next.set(k, rhp, NULL);
  k.ram.storePtr(rsclp.tails[RCU_NEXT_TAIL], rhp);
  if (pt(k, POINT_NAMED, "CB3")) yield STEP;
  rsclp.tails[RCU_NEXT_TAIL] = nextOf(rhp);
}

function* enqueueFromCB3(rsclp: rcu_segcblist, rhp: VirtAddr): Atomic<void> {
  yield STEP;
  rsclp.tails[RCU_NEXT_TAIL] = nextOf(rhp);
}

/**
 * Puts a callback behind all that is queued, in the last segment that has any. False when nothing is queued.
 *
 * Context: the list is this CPU's, interrupts are off.
 *
 * @mirrors kernel/rcu/rcu_segcblist.c:rcu_segcblist_entrain
 */
export function rcu_segcblist_entrain(k: Kernel, rsclp: rcu_segcblist, rhp: VirtAddr): boolean {
  if (rcu_segcblist_n_cbs(rsclp) === 0) return false;
  rcu_segcblist_inc_len(k, rsclp);
  smp_mb(k);
  rcu_head.f.next.set(k, rhp, NULL);
  let i = RCU_NEXT_TAIL;
  while (i > RCU_DONE_TAIL && rsclp.tails[i] === rsclp.tails[i - 1]) i--;
  k.ram.storePtr(rsclp.tails[i], rhp);
  for (; i <= RCU_NEXT_TAIL; i++) rsclp.tails[i] = nextOf(rhp);
  return true;
}

/** Moves the count. @mirrors kernel/rcu/rcu_segcblist.c:rcu_segcblist_extract_count */
export function rcu_segcblist_extract_count(k: Kernel, rsclp: rcu_segcblist, rclp: rcu_cblist): void {
  rclp.len = rcu_segcblist_xchg_len(k, rsclp, 0);
}

/**
 * Appends the callbacks that may run to `rclp`; they still count here.
 *
 * @mirrors kernel/rcu/rcu_segcblist.c:rcu_segcblist_extract_done_cbs
 */
export function rcu_segcblist_extract_done_cbs(k: Kernel, rsclp: rcu_segcblist, rclp: rcu_cblist): void {
  if (!rcu_segcblist_ready_cbs(rsclp)) return;
  const done = rsclp.tails[RCU_DONE_TAIL];
  k.ram.storePtr(rclp.tail, k.ram.loadPtr(rsclp.head));
  k.ram.storePtr(rsclp.head, k.ram.loadPtr(done));
  k.ram.storePtr(done, NULL);
  rclp.tail = done;
  for (let i = RCU_CBLIST_NSEGS - 1; i >= RCU_DONE_TAIL; i--) {
    if (rsclp.tails[i] === done) rsclp.tails[i] = rsclp.head;
  }
}

/** Appends all other callbacks to `rclp`. @mirrors kernel/rcu/rcu_segcblist.c:rcu_segcblist_extract_pend_cbs */
export function rcu_segcblist_extract_pend_cbs(k: Kernel, rsclp: rcu_segcblist, rclp: rcu_cblist): void {
  if (!rcu_segcblist_pend_cbs(k, rsclp)) return;
  const done = rsclp.tails[RCU_DONE_TAIL];
  k.ram.storePtr(rclp.tail, k.ram.loadPtr(done));
  rclp.tail = rsclp.tails[RCU_NEXT_TAIL];
  k.ram.storePtr(done, NULL);
  for (let i = RCU_DONE_TAIL + 1; i < RCU_CBLIST_NSEGS; i++) rsclp.tails[i] = done;
}

/** Adds the count of `rclp`, which may be negative. @mirrors kernel/rcu/rcu_segcblist.c:rcu_segcblist_insert_count */
export function rcu_segcblist_insert_count(k: Kernel, rsclp: rcu_segcblist, rclp: rcu_cblist): void {
  rcu_segcblist_add_len(k, rsclp, rclp.len);
  rclp.len = 0;
}

/**
 * Puts callbacks back in front, as ones that may run.
 *
 * @mirrors kernel/rcu/rcu_segcblist.c:rcu_segcblist_insert_done_cbs
 */
export function rcu_segcblist_insert_done_cbs(k: Kernel, rsclp: rcu_segcblist, rclp: rcu_cblist): void {
  const first = k.ram.loadPtr(rclp.head);
  if (first === NULL) return;
  k.ram.storePtr(rclp.tail, k.ram.loadPtr(rsclp.head));
  k.ram.storePtr(rsclp.head, first);
  for (let i = RCU_DONE_TAIL; i < RCU_CBLIST_NSEGS && rsclp.tails[i] === rsclp.head; i++) {
    rsclp.tails[i] = rclp.tail;
  }
  k.ram.storePtr(rclp.head, NULL);
  rclp.tail = rclp.head;
}

/** Appends callbacks as new ones. @mirrors kernel/rcu/rcu_segcblist.c:rcu_segcblist_insert_pend_cbs */
export function rcu_segcblist_insert_pend_cbs(k: Kernel, rsclp: rcu_segcblist, rclp: rcu_cblist): void {
  const first = k.ram.loadPtr(rclp.head);
  if (first === NULL) return;
  k.ram.storePtr(rsclp.tails[RCU_NEXT_TAIL], first);
  rsclp.tails[RCU_NEXT_TAIL] = rclp.tail;
}

/**
 * Callbacks whose grace period is over at `seq` may run.
 *
 * @mirrors kernel/rcu/rcu_segcblist.c:rcu_segcblist_advance
 */
export function rcu_segcblist_advance(k: Kernel, rsclp: rcu_segcblist, seq: number): void {
  WARN_ON_ONCE(k, !rcu_segcblist_is_enabled(rsclp));
  if (rcu_segcblist_restempty(k, rsclp, RCU_DONE_TAIL)) return;
  const { tails, gp_seq } = rsclp;
  let i = RCU_WAIT_TAIL;
  for (; i < RCU_NEXT_TAIL; i++) {
    if (ULONG_CMP_LT(seq, gp_seq[i])) break;
    tails[RCU_DONE_TAIL] = tails[i];
  }
  if (i === RCU_WAIT_TAIL) return;
  for (let j = RCU_WAIT_TAIL; j < i; j++) tails[j] = tails[RCU_DONE_TAIL];
  // Close up: the segments that still wait move down.
  for (let j = RCU_WAIT_TAIL; i < RCU_NEXT_TAIL; i++, j++) {
    if (tails[j] === tails[RCU_NEXT_TAIL]) break;
    tails[j] = tails[i];
    gp_seq[j] = gp_seq[i];
  }
}

/**
 * Gives number `seq` to callbacks that have none or a later one. True when that grace period is wanted; here also when
 * there was nothing left to number.
 *
 * @mirrors kernel/rcu/rcu_segcblist.c:rcu_segcblist_accelerate
 */
export function rcu_segcblist_accelerate(k: Kernel, rsclp: rcu_segcblist, seq: number): boolean {
  WARN_ON_ONCE(k, !rcu_segcblist_is_enabled(rsclp));
  if (rcu_segcblist_restempty(k, rsclp, RCU_DONE_TAIL)) return false;
  const { tails, gp_seq } = rsclp;
  let i = RCU_NEXT_READY_TAIL;
  for (; i > RCU_DONE_TAIL; i--) {
    if (tails[i] !== tails[i - 1] && ULONG_CMP_LT(gp_seq[i], seq)) break;
  }
  if (++i >= RCU_NEXT_TAIL) return false;
  for (; i < RCU_NEXT_TAIL; i++) {
    tails[i] = tails[RCU_NEXT_TAIL];
    gp_seq[i] = seq;
  }
  return true;
}

/**
 * Moves all callbacks of `src_rsclp`, whose CPU is gone, to `dst_rsclp`: those that may run stay so, the others are new.
 *
 * @mirrors kernel/rcu/rcu_segcblist.c:rcu_segcblist_merge
 * @simplified the two lists that C has on its stack are passed in, because they need addresses
 */
export function rcu_segcblist_merge(
  k: Kernel,
  dst_rsclp: rcu_segcblist,
  src_rsclp: rcu_segcblist,
  donecbs: rcu_cblist,
  pendcbs: rcu_cblist,
): void {
  rcu_cblist_init(k, donecbs);
  rcu_cblist_init(k, pendcbs);
  rcu_segcblist_extract_count(k, src_rsclp, donecbs);
  rcu_segcblist_extract_done_cbs(k, src_rsclp, donecbs);
  rcu_segcblist_extract_pend_cbs(k, src_rsclp, pendcbs);
  rcu_segcblist_insert_count(k, dst_rsclp, donecbs);
  rcu_segcblist_insert_done_cbs(k, dst_rsclp, donecbs);
  rcu_segcblist_insert_pend_cbs(k, dst_rsclp, pendcbs);
  rcu_segcblist_init(k, src_rsclp);
}
