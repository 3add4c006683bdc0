// SPDX-License-Identifier: GPL-2.0-only
/**
 * What every RCU shares. Mirrors struct rcu_head of include/linux/types.h, and of kernel/rcu/rcu.h (v5.7, names of the
 * series) the sequence numbers and the debug objects; the rcu_node helpers are in tree_types.ts.
 *
 * A sequence number counts operations in its upper bits; its two low bits say whether one is running. Here it is a
 * signed double and compared by difference, so it counts through zero as C's unsigned long does.
 *
 * @module
 */

import type { VirtAddr } from "../kernel/machine/brand.ts";
import { type Layout, ptr, struct, ulong } from "../kernel/machine/struct.ts";
import type { FieldType } from "../kernel/machine/struct.ts";
import { WARN_ON_ONCE } from "../kernel/bug.ts";
import {
  type debug_obj_descr,
  debug_object_activate,
  debug_object_active_state,
  debug_object_deactivate,
} from "../kernel/debugobjects.ts";
import type { rcu_gp_oldstate as RcuGpOldstate } from "../kernel/hooks.ts";
import type { Kernel } from "../kernel/kernel.ts";

/**
 * 16 bytes: next callback, and the function, or the byte offset of the head in an object that is only to be freed.
 *
 * @mirrors include/linux/types.h:callback_head
 */
export const rcu_head: Layout<{ next: FieldType<VirtAddr>; func: FieldType<VirtAddr> }> = struct("rcu_head", {
  next: ptr, // next callback on the list, or NULL
  func: ptr, // text address of the callback, or an offset below 4096
});

/**
 * What a cookie of the full polling functions is: a place with two sequence numbers. A plain object is one, and so is the
 * view of the layout below at an address.
 */
export type rcu_gp_oldstate = RcuGpOldstate;

/**
 * The same in memory: 16 bytes. The words are signed, as sequence numbers are here.
 *
 * @mirrors include/linux/rcutree.h:rcu_gp_oldstate (v6.1)
 * @simplified tiny RCU's has the first member alone in Linux
 */
export const rcu_gp_oldstate: Layout<{ rgos_norm: FieldType<number>; rgos_exp: FieldType<number> }> = struct(
  "rcu_gp_oldstate",
  {
    rgos_norm: ulong, // snapshot of the normal grace periods
    rgos_exp: ulong, // and of the expedited ones
  },
);

/** Whether sequence number `a` is not before `b`. @mirrors include/linux/rcupdate.h:ULONG_CMP_GE */
export function ULONG_CMP_GE(a: number, b: number): boolean {
  return a - b >= 0;
}

/** Whether sequence number `a` is before `b`. @mirrors include/linux/rcupdate.h:ULONG_CMP_LT */
export function ULONG_CMP_LT(a: number, b: number): boolean {
  return a - b < 0;
}

/** Whether two cookies stand for the same moment. @mirrors include/linux/rcupdate.h:same_state_synchronize_rcu (v6.1) */
export function same_state_synchronize_rcu(oldstate1: number, oldstate2: number): boolean {
  return oldstate1 === oldstate2;
}

/**
 * Whether two cookies of the full form stand for the same moment.
 *
 * @mirrors include/linux/rcutree.h:same_state_synchronize_rcu_full (v6.1)
 */
export function same_state_synchronize_rcu_full(rgosp1: rcu_gp_oldstate, rgosp2: rcu_gp_oldstate): boolean {
  return rgosp1.rgos_norm === rgosp2.rgos_norm && rgosp1.rgos_exp === rgosp2.rgos_exp;
}

/** Low bits of a sequence number that hold the state. @mirrors kernel/rcu/rcu.h:RCU_SEQ_CTR_SHIFT */
export const RCU_SEQ_CTR_SHIFT = 2;
/** @mirrors kernel/rcu/rcu.h:RCU_SEQ_STATE_MASK */
export const RCU_SEQ_STATE_MASK = 3;

/**
 * The cookie that is always done; odd, so no snapshot is like it.
 *
 * @mirrors kernel/rcu/rcu.h:RCU_GET_STATE_COMPLETED (v6.0)
 */
export const RCU_GET_STATE_COMPLETED = 0x1;

/** Distance between two idle values. */
const RCU_SEQ_STEP = RCU_SEQ_STATE_MASK + 1;

/** `s & ~RCU_SEQ_STATE_MASK` */
function withoutState(s: number): number {
  return Math.floor(s / RCU_SEQ_STEP) * RCU_SEQ_STEP;
}

/** Fields of `O` that hold a sequence number; C passes their address. */
type SeqField<O> = { [F in keyof O]: O[F] extends number ? F : never }[keyof O] & string;

/** The counter of a sequence number. @mirrors kernel/rcu/rcu.h:rcu_seq_ctr */
export function rcu_seq_ctr(s: number): number {
  return Math.floor(s / RCU_SEQ_STEP);
}

/** The state of a sequence number: 0 is idle. @mirrors kernel/rcu/rcu.h:rcu_seq_state */
export function rcu_seq_state(s: number): number {
  return s - withoutState(s);
}

/** Sets the state. Context: the caller excludes other updates. @mirrors kernel/rcu/rcu.h:rcu_seq_set_state */
export function rcu_seq_set_state<O>(k: Kernel, sp: O, f: SeqField<O>, newstate: number): void {
  WARN_ON_ONCE(k, newstate < 0 || newstate > RCU_SEQ_STATE_MASK, "newstate");
  (sp[f] as number) = withoutState(sp[f] as number) + newstate;
}

/** An operation starts. Context: the caller excludes other updates. @mirrors kernel/rcu/rcu.h:rcu_seq_start */
export function rcu_seq_start<O>(k: Kernel, sp: O, f: SeqField<O>): void {
  (sp[f] as number) += 1;
  WARN_ON_ONCE(k, rcu_seq_state(sp[f] as number) !== 1, "start");
}

/** What the number will be when the running operation has ended. @mirrors kernel/rcu/rcu.h:rcu_seq_endval */
export function rcu_seq_endval(s: number): number {
  return withoutState(s) + RCU_SEQ_STEP;
}

/** An operation ends. Context: the caller excludes other updates. @mirrors kernel/rcu/rcu.h:rcu_seq_end */
export function rcu_seq_end<O>(k: Kernel, sp: O, f: SeqField<O>): void {
  WARN_ON_ONCE(k, rcu_seq_state(sp[f] as number) === 0, "end");
  (sp[f] as number) = rcu_seq_endval(sp[f] as number);
}

/**
 * The first value that proves that a whole operation has passed since now; one that runs already does not count.
 *
 * @mirrors kernel/rcu/rcu.h:rcu_seq_snap
 */
export function rcu_seq_snap(s: number): number {
  return withoutState(s + 2 * RCU_SEQ_STATE_MASK + 1);
}

/** The number as it stands: in C the load of a number that others write. @mirrors kernel/rcu/rcu.h:rcu_seq_current */
export function rcu_seq_current(s: number): number {
  return s;
}

/** Whether the operation that snapshot `s` waits for has started. @mirrors kernel/rcu/rcu.h:rcu_seq_started */
export function rcu_seq_started(current: number, s: number): boolean {
  return ULONG_CMP_LT(withoutState(s - 1), current);
}

/** Whether the operation that snapshot `s` waits for is over. @mirrors kernel/rcu/rcu.h:rcu_seq_done */
export function rcu_seq_done(current: number, s: number): boolean {
  return ULONG_CMP_GE(current, s);
}

/**
 * rcu_seq_done() for cookies that may be very old: a snapshot further ahead than any can be is one that the number has
 * lapped, and counts as done.
 *
 * @mirrors kernel/rcu/rcu.h:rcu_seq_done_exact (v6.0)
 */
export function rcu_seq_done_exact(current: number, s: number): boolean {
  return ULONG_CMP_GE(current, s) || ULONG_CMP_LT(current, s - (2 * RCU_SEQ_STATE_MASK + 1));
}

/** Whether an operation ended between `old` and `now`. @mirrors kernel/rcu/rcu.h:rcu_seq_completed_gp */
export function rcu_seq_completed_gp(old: number, now: number): boolean {
  return ULONG_CMP_LT(old, withoutState(now));
}

/** Whether an operation started between `old` and `now`. @mirrors kernel/rcu/rcu.h:rcu_seq_new_gp */
export function rcu_seq_new_gp(old: number, now: number): boolean {
  return ULONG_CMP_LT(withoutState(old + RCU_SEQ_STATE_MASK), now);
}

/** About how many operations lie between `old` and `now`, for statistics. @mirrors kernel/rcu/rcu.h:rcu_seq_diff */
export function rcu_seq_diff(now: number, old: number): number {
  if (old === now) return 0;
  const rnd_diff = withoutState(now) - withoutState(old + RCU_SEQ_STATE_MASK) +
    (rcu_seq_state(now) !== 0 || rcu_seq_state(old) !== 0 ? 1 : 0);
  if (ULONG_CMP_GE(RCU_SEQ_STATE_MASK, rnd_diff)) return 1;
  return rcu_seq_ctr(rnd_diff - RCU_SEQ_STATE_MASK - 1) + 2;
}

/** Offsets below this are offsets, above it functions. */
const KVFREE_RCU_OFFSET_LIMIT = 4096;

/**
 * Whether a stored func means "free the object that starts this many bytes before".
 *
 * @mirrors include/linux/rcupdate.h:__is_kvfree_rcu_offset
 */
export function __is_kvfree_rcu_offset(offset: number): boolean {
  return offset < KVFREE_RCU_OFFSET_LIMIT;
}

/** @mirrors kernel/rcu/update.c:rcuhead_is_static_object */
function rcuhead_is_static_object(_k: Kernel, _addr: number): boolean {
  return true;
}

/** What debug objects know of an rcu_head: any may be used without being announced. @mirrors kernel/rcu/update.c:rcuhead_debug_descr */
export const rcuhead_debug_descr: debug_obj_descr = {
  name: "rcu_head",
  is_static_object: rcuhead_is_static_object,
};

/** States of an active rcu_head. @mirrors kernel/rcu/rcu.h:STATE_RCU_HEAD_READY */
const STATE_RCU_HEAD_READY = 0;
const STATE_RCU_HEAD_QUEUED = 1;

/**
 * Notes that `head` is queued. Returns 0, or -EINVAL and reports when it already is.
 *
 * @mirrors kernel/rcu/rcu.h:debug_rcu_head_queue
 */
export function debug_rcu_head_queue(k: Kernel, head: number): number {
  if (!k.config.debugObjects) return 0;
  const r1 = debug_object_activate(k, head, rcuhead_debug_descr);
  debug_object_active_state(k, head, rcuhead_debug_descr, STATE_RCU_HEAD_READY, STATE_RCU_HEAD_QUEUED);
  return r1;
}

/** Notes that `head` is not queued any more. @mirrors kernel/rcu/rcu.h:debug_rcu_head_unqueue */
export function debug_rcu_head_unqueue(k: Kernel, head: number): void {
  if (!k.config.debugObjects) return;
  debug_object_active_state(k, head, rcuhead_debug_descr, STATE_RCU_HEAD_QUEUED, STATE_RCU_HEAD_READY);
  debug_object_deactivate(k, head, rcuhead_debug_descr);
}

/**
 * What a task's nesting is short of while its outermost unlock is under way: INT_MAX.
 *
 * @mirrors kernel/rcu/tree_plugin.h:RCU_NEST_BIAS
 */
export const RCU_NEST_BIAS: number = 2 ** 31 - 1;
