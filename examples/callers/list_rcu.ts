// SPDX-License-Identifier: GPL-2.0-only
/**
 * Lists in emulated memory that readers walk under RCU: include/linux/rculist.h as far as the callers here need it.
 *
 * An updater unlinks an entry but leaves its `next` alone, so that a reader who stands on it finds the way back to the
 * list. Updaters exclude each other by a mutex.
 */

import {
  type Atomic,
  type Kernel,
  type Layout,
  NULL,
  type Ptr,
  ptr,
  rcu_assign_pointer,
  struct,
  type VirtAddr,
} from "../../mod.ts";
import { RCU_LOCKDEP_WARN } from "../../kernel/locking/lockdep_rcu.ts";
import { rcu_dereference_raw } from "../../rcu/rcupdate.ts";
import { rcu_read_lock_any_held } from "../../rcu/update.ts";

export const list_head = struct("list_head", { next: ptr, prev: ptr });
type Entry = Ptr<typeof list_head>;

/** What list_del_rcu() leaves in `prev`: nobody may go backwards. */
const LIST_POISON2 = 0x122 as VirtAddr;

export function INIT_LIST_HEAD(k: Kernel, list: VirtAddr): void {
  list_head.f.next.set(k, list, list);
  list_head.f.prev.set(k, list, list);
}

export function list_empty(k: Kernel, head: VirtAddr): boolean {
  return list_head.f.next.get(k, head) === head;
}

/** Puts `entry` last on the list; readers see it whole or not at all. */
export function* list_add_tail_rcu(k: Kernel, entry: VirtAddr, head: VirtAddr): Atomic<void> {
  const last = list_head.f.prev.get(k, head);
  list_head.f.next.set(k, entry, head);
  list_head.f.prev.set(k, entry, last);
  yield* rcu_assign_pointer(k, last as VirtAddr as Ptr<Entry>, entry as Entry);
  list_head.f.prev.set(k, head, entry);
}

/** Takes `entry` off its list. Readers may stand on it until a grace period is over. */
export function list_del_rcu(k: Kernel, entry: VirtAddr): void {
  const { next, prev } = list_head.at(k, entry);
  list_head.f.prev.set(k, next, prev);
  list_head.f.next.set(k, prev, next);
  list_head.f.prev.set(k, entry, LIST_POISON2);
}

/** The entry behind `at`, for a reader of any kind; NULL at the end of the list that begins at `head`. */
export function* list_next_rcu(k: Kernel, at: VirtAddr, head: VirtAddr): Atomic<VirtAddr> {
  if (!rcu_read_lock_any_held(k)) RCU_LOCKDEP_WARN(k, true, "RCU-list traversed in non-reader section!!");
  const next = yield* rcu_dereference_raw(k, at as Ptr<Entry>);
  return next === head ? NULL : next;
}

/** The structures on the list, for an updater: `member` of `layout` is what links them. */
export function* list_for_each_entry<F extends Parameters<typeof struct>[1]>(
  k: Kernel,
  head: VirtAddr,
  layout: Layout<F>,
  member: keyof F & string,
): Generator<VirtAddr, void, void> {
  for (let at = list_head.f.next.get(k, head); at !== head; at = list_head.f.next.get(k, at)) {
    yield (at - layout.offsetof(member)) as VirtAddr;
  }
}
