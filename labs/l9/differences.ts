// SPDX-License-Identifier: GPL-2.0-only
/**
 * The small differences that sites can have from what they should be.
 *
 * They are the mutants E1 to E4, K1, K5, U1 and U3 of the mutant library, each with an origin in public code. This
 * project's source is open and so is this table; which site has which of them follows from the variant (deal.ts), and
 * the points are for tokens, for what happened in one's own run, and for the mended functions.
 *
 * Invariant: a difference changes one part of a site, and does nothing at the others.
 *
 * @module
 */

import {
  __get_free_page,
  type Atomic,
  call_rcu,
  container_of,
  free_page,
  GFP_KERNEL,
  GFP_NOWAIT,
  type Kernel,
  kfree,
  kmalloc,
  kvfree,
  local_irq_restore,
  local_irq_save,
  type MaySleep,
  NULL,
  type Ptr,
  rcu_assign_pointer,
  rcu_dereference,
  rcu_read_lock,
  rcu_read_unlock,
  schedule_timeout_uninterruptible,
  synchronize_rcu,
  udelay,
  type VirtAddr,
} from "../../mod.ts";
import { this_cpu_ptr } from "../../kernel/static.ts";
import { rcu_data } from "../../rcu/tree.ts";
import { type ArrayPtr, type Change, ext4_rcu_ptr, type PartName, type Parts, slot } from "./parts.ts";

/** What goes wrong. */
export const CLASSES = ["leak", "uaf", "double free", "stall", "growth"] as const;
export type FaultClass = typeof CLASSES[number];

/** One difference. */
export interface Difference {
  /** Of the mutant library; two twists of one have a letter. */
  readonly id: string;
  readonly part: PartName;
  readonly class: FaultClass;
  /** Stalls, faults and grows beyond the first that the smallest token known has. */
  readonly par: number;
  /** One sentence, for who has handed in. */
  readonly cause: string;
  readonly change: Change;
}

/** One kind for each of three sites. */
export type Family = "memory" | "updater" | "reader";

/** By family. */
export const DIFFERENCES: Readonly<Record<Family, readonly Difference[]>> = {
  memory: [
    {
      id: "E1a",
      part: "ext4_rcu_ptr_callback",
      class: "leak",
      par: 0,
      cause: "the callback frees the stub and forgets the array",
      change: () => ({
        *ext4_rcu_ptr_callback(k: Kernel, head: VirtAddr): Atomic<void> {
          yield* kfree(k, container_of(head, ext4_rcu_ptr, "rcu"));
        },
      }),
    },
    {
      id: "E1b",
      part: "ext4_rcu_ptr_callback",
      class: "leak",
      par: 0,
      cause: "the callback frees the array and forgets the stub",
      change: () => ({
        *ext4_rcu_ptr_callback(k: Kernel, head: VirtAddr): Atomic<void> {
          yield* kvfree(k, ext4_rcu_ptr.f.ptr.get(k, container_of(head, ext4_rcu_ptr, "rcu")));
        },
      }),
    },
    {
      id: "K1",
      part: "freeElements",
      class: "double free",
      par: 0,
      cause: "the loop at unmount frees element 0 each time",
      change: () => ({
        *freeElements(k: Kernel, array: VirtAddr, count: number): MaySleep<void> {
          for (let i = 0; i < count; i++) yield* kfree(k, k.ram.loadPtr(slot(array, 0)));
          yield* kvfree(k, array);
        },
      }),
    },
  ],
  updater: [
    {
      id: "E2",
      part: "ext4_kvfree_array_rcu",
      class: "uaf",
      par: 1,
      cause: "without memory for the stub the array is freed at once, under its readers",
      change: (all: Parts) => ({
        *ext4_kvfree_array_rcu(k: Kernel, to_free: VirtAddr): MaySleep<void> {
          const stub = yield* kmalloc(k, ext4_rcu_ptr.size, GFP_KERNEL);
          if (stub === NULL) return yield* kvfree(k, to_free);
          ext4_rcu_ptr.f.ptr.set(k, stub, to_free);
          yield* call_rcu(k, stub, all.ext4_rcu_ptr_callback);
        },
      }),
    },
    {
      id: "E3",
      part: "replaceArray",
      class: "uaf",
      par: 1,
      cause: "the old array is handed over before the new one is published: readers still come to it",
      change: (all: Parts) => ({
        *replaceArray(k: Kernel, where: ArrayPtr, n_array: VirtAddr, o_array: VirtAddr): MaySleep<void> {
          yield* all.ext4_kvfree_array_rcu(k, o_array);
          yield* schedule_timeout_uninterruptible(k, 1); // the super block is written
          yield* rcu_assign_pointer(k, where, n_array as Ptr<VirtAddr>);
        },
      }),
    },
    {
      id: "K5",
      part: "ext4_kvfree_array_rcu",
      class: "uaf",
      par: 2,
      cause: "with neither a stub nor a page to keep the pointer in, the array is freed without a wait",
      change: (all: Parts) => ({
        *ext4_kvfree_array_rcu(k: Kernel, to_free: VirtAddr): MaySleep<void> {
          const stub = yield* kmalloc(k, ext4_rcu_ptr.size, GFP_KERNEL);
          if (stub !== NULL) {
            ext4_rcu_ptr.f.ptr.set(k, stub, to_free);
            return yield* call_rcu(k, stub, all.ext4_rcu_ptr_callback);
          }
          const page = yield* __get_free_page(k, GFP_NOWAIT);
          if (page !== NULL) {
            yield* synchronize_rcu(k);
            yield* free_page(k, page);
          }
          yield* kvfree(k, to_free);
        },
      }),
    },
  ],
  reader: [
    {
      id: "E4",
      part: "sbi_array_rcu_deref",
      class: "uaf",
      par: 1,
      cause: "the reader keeps the array over a sleep, outside of its section",
      change: () => ({
        *sbi_array_rcu_deref(k: Kernel, where: ArrayPtr, index: number, usecs: number): MaySleep<VirtAddr> {
          yield* rcu_read_lock(k);
          const array = yield* rcu_dereference(k, where);
          yield* udelay(k, usecs);
          yield* rcu_read_unlock(k);
          yield* schedule_timeout_uninterruptible(k, 1); // the block is read
          return k.ram.loadPtr(slot(array, index));
        },
      }),
    },
    {
      id: "U1",
      part: "sbi_array_rcu_deref",
      class: "uaf",
      par: 1,
      cause: "the reader looks while its CPU is idle for RCU, which waits for no idle CPU",
      change: () => ({
        *sbi_array_rcu_deref(k: Kernel, where: ArrayPtr, index: number, usecs: number): MaySleep<VirtAddr> {
          const flags = local_irq_save(k);
          const dynticks = goIdle(k);
          yield* rcu_read_lock(k);
          const array = yield* rcu_dereference(k, where);
          yield* udelay(k, usecs);
          const element = k.ram.loadPtr(slot(array, index));
          yield* rcu_read_unlock(k);
          dynticks.back();
          local_irq_restore(k, flags);
          return element;
        },
      }),
    },
    {
      id: "U3",
      part: "sbi_array_rcu_deref",
      class: "stall",
      par: 0,
      cause: "on one way out the reader does not unlock",
      change: () => ({
        *sbi_array_rcu_deref(k: Kernel, where: ArrayPtr, index: number, usecs: number): MaySleep<VirtAddr> {
          yield* rcu_read_lock(k);
          const array = yield* rcu_dereference(k, where);
          yield* udelay(k, usecs);
          const element = k.ram.loadPtr(slot(array, index));
          if (index % 4 === 3) return element; // the last block of its group: nothing to read ahead
          yield* rcu_read_unlock(k);
          return element;
        },
      }),
    },
  ],
};

/** RCU_DYNTICK_CTRL_CTR of 5.7: what the counter goes up by at each change. */
const CTR = 2;

/** Tells RCU that this CPU is idle, as the idle loop does; the result takes it back. Interrupts are off. */
function goIdle(k: Kernel): { back(): void } {
  if (k.rcu.flavour !== "tree") return { back() {} };
  const rdp = this_cpu_ptr(k, rcu_data);
  const nesting = rdp.dynticks_nmi_nesting;
  rdp.dynticks_nmi_nesting = 0;
  rdp.dynticks_nesting = 0;
  rdp.dynticks += CTR;
  return {
    back() {
      rdp.dynticks += CTR;
      rdp.dynticks_nesting = 1;
      rdp.dynticks_nmi_nesting = nesting;
    },
  };
}
