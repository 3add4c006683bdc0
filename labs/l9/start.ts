// SPDX-License-Identifier: GPL-2.0-only
/**
 * Lab L9: leak hunt. Fill in the marked regions; what is outside of them stays as it is.
 *
 * The program under suspicion is labs/l9/resize.ts; run it in the shell with `--variant` and the number that
 * `lab start l9` told you. README.md says what goes where.
 *
 * @module
 */

import {
  type Atomic,
  embed,
  type Kernel,
  type MaySleep,
  NULL,
  type Ptr,
  ptr,
  rcu_head,
  struct,
  type VirtAddr,
} from "quiesce";

// [student IMPORTS
// import { ... } from "quiesce"; what else you need: README.md lists the names
// student]

/** What you say of one site. */
export interface Finding {
  /** "unknown", "clean", "leak", "uaf", "double free", "stall" or "growth". */
  readonly verdict: string;
  /** What follows the word TOKEN in the shell; "" for a clean site. */
  readonly token: string;
  /** From the run of that token: the event of the object's allocation, or of the section that never ends. */
  readonly event: number;
  /** The function that allocated the object, or the thread that is the reader: "add_new_gdb", "reader/1". */
  readonly who: string;
  /** Bytes that it asked for; 0 of a section. */
  readonly bytes: number;
  /** The function that freed the object first, or "nobody". */
  readonly freedBy: string;
}

const unknown: Finding = { verdict: "unknown", token: "", event: 0, who: "", bytes: 0, freedBy: "" };

// [student FINDINGS

export const findings: Readonly<Record<"gdb" | "meta_bg" | "groupinfo" | "flex", Finding>> = {
  gdb: unknown,
  meta_bg: unknown,
  groupinfo: unknown,
  flex: unknown,
};

// student]

/** Where a site keeps its array: the address of the pointer to it. */
export type ArrayPtr = Ptr<Ptr<VirtAddr>>;

/** What the array is queued by. */
export const ext4_rcu_ptr = struct("ext4_rcu_ptr", { rcu: embed(rcu_head), ptr });

/** Where `array` holds its pointer number `index`. */
export function slot(array: VirtAddr, index: number): VirtAddr {
  return (array + index * ptr.size) as VirtAddr;
}

// [student FIXES

/** Invoked by RCU: frees the array, and the stub by which it was queued. */
export function* ext4_rcu_ptr_callback(_k: Kernel, _head: VirtAddr): Atomic<void> {
}

/** Frees an array that no new reader can find, when the old readers are gone. Not by waiting for them, if it can. */
export function* ext4_kvfree_array_rcu(_k: Kernel, _to_free: VirtAddr): MaySleep<void> {
}

/** Puts `n_array` in the place of `o_array`, and has that freed. */
export function* replaceArray(
  _k: Kernel,
  _where: ArrayPtr,
  _n_array: VirtAddr,
  _o_array: VirtAddr,
): MaySleep<void> {
}

/** Element `index` of the array, looked at for `usecs` (udelay) before its slot is read. It outlives the array. */
export function* sbi_array_rcu_deref(
  _k: Kernel,
  _where: ArrayPtr,
  _index: number,
  _usecs: number,
): MaySleep<VirtAddr> {
  return NULL;
}

/** Unmount, no reader is left: frees the `count` elements, which kmalloc() made, and the array. */
export function* freeElements(_k: Kernel, _array: VirtAddr, _count: number): MaySleep<void> {
}

// student]

// [student HEADLESS

/** ext4_kvfree_array_rcu() without a stub. */
export function* ext4_kvfree_array_headless(_k: Kernel, _to_free: VirtAddr): MaySleep<void> {
}

// student]
