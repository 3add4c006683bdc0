// SPDX-License-Identifier: GPL-2.0-only
/**
 * Doubly linked lists whose heads and nodes are bytes in emulated RAM, known by their addresses. Mirrors
 * include/linux/list.h (v5.7); kernel/list.ts has the same for lists of classes.
 *
 * A list is a circle of nodes, of which one is its head. What a node is embedded in is found with container_of().
 *
 * Invariant: the successor's predecessor is the node itself. Left out: the iteration macros (a loop over the members of
 * list_head that reads the successor before it gives the node away).
 *
 * @module
 */

import type { VirtAddr } from "./machine/brand.ts";
import { ptr, struct } from "./machine/struct.ts";
import type { Kernel } from "./kernel.ts";

/** A node, or the head of a list. @mirrors include/linux/types.h:list_head */
export const list_head = struct("list_head", { next: ptr, prev: ptr });

const { next, prev } = list_head.f;

/** Makes `list` the head of an empty list. @mirrors include/linux/list.h:INIT_LIST_HEAD */
export function INIT_LIST_HEAD(k: Kernel, list: VirtAddr): void {
  next.set(k, list, list);
  prev.set(k, list, list);
}

function __list_add(k: Kernel, new_: VirtAddr, before: VirtAddr, after: VirtAddr): void {
  prev.set(k, after, new_);
  next.set(k, new_, after);
  prev.set(k, new_, before);
  next.set(k, before, new_);
}

/** Links a node in at the front. @mirrors include/linux/list.h:list_add */
export function list_add(k: Kernel, new_: VirtAddr, head: VirtAddr): void {
  __list_add(k, new_, head, next.get(k, head));
}

/** Unlinks a node; what it says of its neighbours is stale then. */
function __list_del_entry(k: Kernel, entry: VirtAddr): void {
  const before = prev.get(k, entry);
  const after = next.get(k, entry);
  prev.set(k, after, before);
  next.set(k, before, after);
}

/** Moves a node to the front of a list. @mirrors include/linux/list.h:list_move */
export function list_move(k: Kernel, list: VirtAddr, head: VirtAddr): void {
  __list_del_entry(k, list);
  list_add(k, list, head);
}

/** Whether the list has no nodes. @mirrors include/linux/list.h:list_empty */
export function list_empty(k: Kernel, head: VirtAddr): boolean {
  return next.get(k, head) === head;
}

/** Moves all nodes to the head `new_`, whatever that was before; `old` is empty then. @mirrors include/linux/list.h:list_replace_init */
export function list_replace_init(k: Kernel, old: VirtAddr, new_: VirtAddr): void {
  const first = next.get(k, old);
  next.set(k, new_, first);
  prev.set(k, first, new_);
  const last = prev.get(k, old);
  prev.set(k, new_, last);
  next.set(k, last, new_);
  INIT_LIST_HEAD(k, old);
}
