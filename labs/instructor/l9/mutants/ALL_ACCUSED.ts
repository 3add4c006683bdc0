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
import {
  call_rcu,
  container_of,
  GFP_KERNEL,
  kfree,
  kmalloc,
  kvfree,
  kvfree_rcu,
  rcu_assign_pointer,
  rcu_dereference,
  rcu_read_lock,
  rcu_read_unlock,
  synchronize_rcu,
  udelay,
} from "quiesce";
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

/** Whoever has something pending leaks. */
const leak: Finding = {
  ...unknown,
  verdict: "leak",
  token: "q2.AQEDAwKAgAEGAwcBAQARbGFicy9sOS9yZXNpemUudHMDEwAEZmxleAgcBB0BctU",
  event: 927,
  who: "ext4_fill_super",
  bytes: 96,
  freedBy: "nobody",
};

export const findings: Readonly<Record<"gdb" | "meta_bg" | "groupinfo" | "flex", Finding>> = {
  gdb: leak,
  meta_bg: leak,
  groupinfo: leak,
  flex: leak,
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
export function* ext4_rcu_ptr_callback(k: Kernel, head: VirtAddr): Atomic<void> {
  const stub = container_of(head, ext4_rcu_ptr, "rcu");
  yield* kvfree(k, ext4_rcu_ptr.f.ptr.get(k, stub));
  yield* kfree(k, stub);
}

/** Frees an array that no new reader can find, when the old readers are gone. Not by waiting for them, if it can. */
export function* ext4_kvfree_array_rcu(k: Kernel, to_free: VirtAddr): MaySleep<void> {
  const stub = yield* kmalloc(k, ext4_rcu_ptr.size, GFP_KERNEL);
  if (stub === NULL) {
    yield* synchronize_rcu(k);
    yield* kvfree(k, to_free);
    return;
  }
  ext4_rcu_ptr.f.ptr.set(k, stub, to_free);
  yield* call_rcu(k, stub, ext4_rcu_ptr_callback);
}

/** Puts `n_array` in the place of `o_array`, and has that freed. */
export function* replaceArray(
  k: Kernel,
  where: ArrayPtr,
  n_array: VirtAddr,
  o_array: VirtAddr,
): MaySleep<void> {
  yield* rcu_assign_pointer(k, where, n_array as Ptr<VirtAddr>);
  yield* ext4_kvfree_array_rcu(k, o_array);
}

/** Element `index` of the array, looked at for `usecs` (udelay) before its slot is read. It outlives the array. */
export function* sbi_array_rcu_deref(
  k: Kernel,
  where: ArrayPtr,
  index: number,
  usecs: number,
): MaySleep<VirtAddr> {
  yield* rcu_read_lock(k);
  const array = yield* rcu_dereference(k, where);
  yield* udelay(k, usecs);
  const element = k.ram.loadPtr(slot(array, index));
  yield* rcu_read_unlock(k);
  return element;
}

/** Unmount, no reader is left: frees the `count` elements, which kmalloc() made, and the array. */
export function* freeElements(k: Kernel, array: VirtAddr, count: number): MaySleep<void> {
  for (let i = 0; i < count; i++) yield* kfree(k, k.ram.loadPtr(slot(array, i)));
  yield* kvfree(k, array);
}

// student]

// [student HEADLESS

/** ext4_kvfree_array_rcu() without a stub. */
export function* ext4_kvfree_array_headless(k: Kernel, to_free: VirtAddr): MaySleep<void> {
  yield* kvfree_rcu(k, to_free);
}

// student]
