// SPDX-License-Identifier: GPL-2.0-only
/**
 * The five functions that every site of the resize program has, as they should be.
 *
 * fs/ext4 (v5.8) replaces three arrays of pointers while readers index them; the four places that do so share a helper.
 * In this port each place, a "site", has functions of its own, so that a mistake is at one site. Invariant: the parts of
 * a site call each other through the table that they are in, so that one of them can be exchanged alone.
 *
 * Left out: brelse() of buffer heads (elements are plain memory here), the journal, the resize lock (one writer).
 *
 * @module
 */

import {
  type Atomic,
  call_rcu,
  container_of,
  embed,
  GFP_KERNEL,
  type Kernel,
  kfree,
  kmalloc,
  kvfree,
  type MaySleep,
  NULL,
  type Ptr,
  ptr,
  rcu_assign_pointer,
  rcu_dereference,
  rcu_head,
  rcu_read_lock,
  rcu_read_unlock,
  struct,
  synchronize_rcu,
  udelay,
  type VirtAddr,
} from "../../mod.ts";

/** Where a site keeps its array: the address of the pointer to it. */
export type ArrayPtr = Ptr<Ptr<VirtAddr>>;

/** What call_rcu() gets: the array has no rcu_head. */
export const ext4_rcu_ptr = struct("ext4_rcu_ptr", { rcu: embed(rcu_head), ptr });

/** What a site consists of. */
export interface Parts {
  /** Invoked by RCU: frees the array, and the stub by which it was queued. */
  ext4_rcu_ptr_callback(k: Kernel, head: VirtAddr): Atomic<void>;
  /** Frees an array that no new reader can find, when the old readers are gone. */
  ext4_kvfree_array_rcu(k: Kernel, to_free: VirtAddr): MaySleep<void>;
  /** Puts `n_array` in the place of `o_array`, and has that freed. */
  replaceArray(k: Kernel, where: ArrayPtr, n_array: VirtAddr, o_array: VirtAddr): MaySleep<void>;
  /** Element `index` of the array, looked at for `usecs`. The element outlives the array. */
  sbi_array_rcu_deref(k: Kernel, where: ArrayPtr, index: number, usecs: number): MaySleep<VirtAddr>;
  /** Unmount, no reader is left: frees the `count` elements, and the array. */
  freeElements(k: Kernel, array: VirtAddr, count: number): MaySleep<void>;
}

/** Their names. */
export const PART_NAMES = [
  "ext4_rcu_ptr_callback",
  "ext4_kvfree_array_rcu",
  "replaceArray",
  "sbi_array_rcu_deref",
  "freeElements",
] as const;
export type PartName = typeof PART_NAMES[number];

/** Some parts in place of others; `all` is the table that they become part of. */
export type Change = (all: Parts) => Partial<Parts>;

/** Where `array` holds its pointer number `index`. */
export function slot(array: VirtAddr, index: number): VirtAddr {
  return (array + index * ptr.size) as VirtAddr;
}

/** The parts as they should be, with what the changes put in their place. */
export function partsWith(...changes: readonly Change[]): Parts {
  const all = {} as Parts;
  Object.assign(all, properParts(all));
  for (const change of changes) Object.assign(all, change(all));
  return all;
}

function properParts(all: Parts): Parts {
  return {
    *ext4_rcu_ptr_callback(k: Kernel, head: VirtAddr): Atomic<void> {
      const stub = container_of(head, ext4_rcu_ptr, "rcu");
      yield* kvfree(k, ext4_rcu_ptr.f.ptr.get(k, stub));
      yield* kfree(k, stub);
    },

    *ext4_kvfree_array_rcu(k: Kernel, to_free: VirtAddr): MaySleep<void> {
      const stub = yield* kmalloc(k, ext4_rcu_ptr.size, GFP_KERNEL);
      if (stub !== NULL) {
        ext4_rcu_ptr.f.ptr.set(k, stub, to_free);
        yield* call_rcu(k, stub, all.ext4_rcu_ptr_callback);
        return;
      }
      yield* synchronize_rcu(k);
      yield* kvfree(k, to_free);
    },

    *replaceArray(k: Kernel, where: ArrayPtr, n_array: VirtAddr, o_array: VirtAddr): MaySleep<void> {
      yield* rcu_assign_pointer(k, where, n_array as Ptr<VirtAddr>);
      yield* all.ext4_kvfree_array_rcu(k, o_array);
    },

    *sbi_array_rcu_deref(k: Kernel, where: ArrayPtr, index: number, usecs: number): MaySleep<VirtAddr> {
      yield* rcu_read_lock(k);
      const array = yield* rcu_dereference(k, where);
      yield* udelay(k, usecs);
      const element = k.ram.loadPtr(slot(array, index));
      yield* rcu_read_unlock(k);
      return element;
    },

    *freeElements(k: Kernel, array: VirtAddr, count: number): MaySleep<void> {
      for (let i = 0; i < count; i++) yield* kfree(k, k.ram.loadPtr(slot(array, i)));
      yield* kvfree(k, array);
    },
  };
}
