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
  decodeToken,
  encodeToken,
  GFP_KERNEL,
  kfree,
  kmalloc,
  kvfree,
  kvfree_rcu,
  rcu_assign_pointer,
  rcu_dereference,
  rcu_read_lock,
  rcu_read_unlock,
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

// One table for all students: the instructor's file asks the variant. A student's is four findings.

/** Each mistake, in one run: what labs/instructor/l9/hunt.ts prints. */
const PREY: Readonly<Record<string, Finding>> = {
  E1a: {
    token: "q2.AQEDAwKAgAEGAwcBAQARbGFicy9sOS9yZXNpemUudHMDEwAEZmxleAgcBB0BctU",
    verdict: "leak",
    event: 927,
    who: "ext4_fill_super",
    bytes: 96,
    freedBy: "nobody",
  },
  E1b: {
    token: "q2.AQEDAwKAgAEGAwcBAQARbGFicy9sOS9yZXNpemUudHMDEwAHbWV0YV9iZwgcBBwB-tY",
    verdict: "leak",
    event: 1167,
    who: "ext4_kvfree_array_rcu",
    bytes: 24,
    freedBy: "nobody",
  },
  K1: {
    token: "q2.AQEDAwKAgAEGAwcBAQARbGFicy9sOS9yZXNpemUudHMDEwAEZmxleAgcBBsBoOA",
    verdict: "double free",
    event: 929,
    who: "ext4_fill_super",
    bytes: 24,
    freedBy: "ext4_put_super",
  },
  E2: {
    token: "q2.AQEDAwKAgAEGAwcBAg8DERITAhkaABFsYWJzL2w5L3Jlc2l6ZS50cwMTAARmbGV4CBwEHgFLmQ",
    verdict: "uaf",
    event: 927,
    who: "ext4_fill_super",
    bytes: 96,
    freedBy: "ext4_kvfree_array_rcu",
  },
  E3: {
    token: "q2.AQEDAwKAgAEGAwcBAQARbGFicy9sOS9yZXNpemUudHMDEwAHbWV0YV9iZwgcBBsChLjPqg0BEQ6G",
    verdict: "uaf",
    event: 927,
    who: "ext4_fill_super",
    bytes: 96,
    freedBy: "ext4_rcu_ptr_callback",
  },
  K5: {
    token: "q2.AQEDAwKAgAEGAwcBAw8DERITAhkaDwMRCxMCGRoAEWxhYnMvbDkvcmVzaXplLnRzAxMAA2dkYggcBBwBc4A",
    verdict: "uaf",
    event: 927,
    who: "ext4_fill_super",
    bytes: 96,
    freedBy: "ext4_kvfree_array_rcu",
  },
  E4: {
    token: "q2.AQEDAwKAgAEGAwcBAQARbGFicy9sOS9yZXNpemUudHMDEwAJZ3JvdXBpbmZvCBwEHAKxtr2aAQQOxKM",
    verdict: "uaf",
    event: 927,
    who: "ext4_fill_super",
    bytes: 96,
    freedBy: "ext4_rcu_ptr_callback",
  },
  U1: {
    token: "q2.AQEDAwKAgAEGAwcBAQARbGFicy9sOS9yZXNpemUudHMEEwAHbWV0YV9iZwgcKQACMjAEHgEmSg",
    verdict: "uaf",
    event: 927,
    who: "ext4_fill_super",
    bytes: 96,
    freedBy: "ext4_rcu_ptr_callback",
  },
  U3: {
    token: "q2.AQEDAwKAgAEGAwcBAQARbGFicy9sOS9yZXNpemUudHMDEwADZ2RiCBwEGwH3wg",
    verdict: "stall",
    event: 1014,
    who: "reader/0",
    bytes: 0,
    freedBy: "nobody",
  },
};

/** Which variant has what where: a copy of labs/l9/deal.ts. */
function dealt(variant: number): Map<string, string> {
  const families = [["E1a", "E1b", "K1"], ["E2", "E3", "K5"], ["E4", "U1", "U3"]];
  const seats = ["gdb", "meta_bg", "groupinfo", "flex"];
  const deal = new Map<string, string>();
  let left = (variant * 401 + 275) % 648;
  for (const family of families) {
    const id = family[left % 3];
    left = Math.floor(left / 3);
    const [site] = seats.splice(left % seats.length, 1);
    left = Math.floor(left / (seats.length + 1));
    deal.set(site, id);
  }
  return deal;
}

function findingFor(site: string, variant: number): Finding {
  const id = dealt(variant).get(site);
  if (id === undefined) return { ...unknown, verdict: "clean" };
  const prey = PREY[id];
  const content = decodeToken(prey.token);
  const runs = content.runs.map((run) =>
    run.name.startsWith("!")
      ? run
      : { name: run.name, options: { ...run.options, site, variant: String(variant) } }
  );
  return { ...prey, token: encodeToken({ ...content, runs }) };
}

export function findings(given: Readonly<Record<string, unknown>>): Readonly<Record<string, Finding>> {
  const variant = Number(given.variant);
  return {
    gdb: findingFor("gdb", variant),
    meta_bg: findingFor("meta_bg", variant),
    groupinfo: findingFor("groupinfo", variant),
    flex: findingFor("flex", variant),
  };
}

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
