// SPDX-License-Identifier: GPL-2.0-only
/**
 * Doubly linked lists of objects. Mirrors include/linux/list.h (v5.7) for structures that are classes here.
 *
 * An entry is an object embedded in its structure and knows it: `owner` stands in for container_of(). A list is an entry
 * without an owner. Lists whose entries are bytes in RAM (free lists, callback lists) are not these.
 *
 * Invariant: an entry that is on no list points to itself. Left out: list_del() without re-initialisation (C leaves poison
 * behind, which no class instance can hold), the RCU variants, and the other iteration macros (loop over `next`).
 *
 * @module
 */

import { assert } from "./machine/assert.ts";

/** @mirrors include/linux/types.h:list_head */
export class list_head<T = unknown> {
  next: list_head<T> = this;
  prev: list_head<T> = this;

  /** `owner` is the structure that the entry is embedded in, null for the head of a list. */
  constructor(readonly owner: T | null = null) {}
}

/** @mirrors include/linux/list.h:INIT_LIST_HEAD */
export function INIT_LIST_HEAD<T>(list: list_head<T>): void {
  list.next = list;
  list.prev = list;
}

function __list_add<T>(new_: list_head<T>, prev: list_head<T>, next: list_head<T>): void {
  next.prev = new_;
  new_.next = next;
  new_.prev = prev;
  prev.next = new_;
}

/** Puts `new_` first on the list, or behind entry `head`. @mirrors include/linux/list.h:list_add */
export function list_add<T>(new_: list_head<T>, head: list_head<T>): void {
  __list_add(new_, head, head.next);
}

/** Puts `new_` last on the list, or before entry `head`. @mirrors include/linux/list.h:list_add_tail */
export function list_add_tail<T>(new_: list_head<T>, head: list_head<T>): void {
  __list_add(new_, head.prev, head);
}

/** Takes the entry off its list. @mirrors include/linux/list.h:list_del_init */
export function list_del_init<T>(entry: list_head<T>): void {
  entry.next.prev = entry.prev;
  entry.prev.next = entry.next;
  INIT_LIST_HEAD(entry);
}

/** Moves the entry from its list to the end of another. @mirrors include/linux/list.h:list_move_tail */
export function list_move_tail<T>(entry: list_head<T>, head: list_head<T>): void {
  entry.next.prev = entry.prev;
  entry.prev.next = entry.next;
  list_add_tail(entry, head);
}

/** Whether the list has no entry, or the entry is on no list. @mirrors include/linux/list.h:list_empty */
export function list_empty<T>(head: list_head<T>): boolean {
  return head.next === head;
}

/** Moves all entries of `list` to the front of `head`. @mirrors include/linux/list.h:list_splice_init */
export function list_splice_init<T>(list: list_head<T>, head: list_head<T>): void {
  list_splice_tail_init(list, head.next);
}

/** Moves all entries of `list` to the end of `head`. @mirrors include/linux/list.h:list_splice_tail_init */
export function list_splice_tail_init<T>(list: list_head<T>, head: list_head<T>): void {
  if (list_empty(list)) return;
  const first = list.next;
  const last = list.prev;
  first.prev = head.prev;
  head.prev.next = first;
  last.next = head;
  head.prev = last;
  INIT_LIST_HEAD(list);
}

/** The structure of an entry. @mirrors include/linux/list.h:list_entry */
export function list_entry<T>(entry: list_head<T>): T {
  assert(entry.owner !== null, "list_entry() of a list head");
  return entry.owner;
}

/** The structure of the first entry; the list is not empty. @mirrors include/linux/list.h:list_first_entry */
export function list_first_entry<T>(head: list_head<T>): T {
  return list_entry(head.next);
}

/** The structure of the last entry; the list is not empty. @mirrors include/linux/list.h:list_last_entry */
export function list_last_entry<T>(head: list_head<T>): T {
  return list_entry(head.prev);
}

/**
 * The structures of all entries, first to last. The next one is looked up when the loop comes back for it.
 *
 * @mirrors include/linux/list.h:list_for_each_entry
 */
export function* list_for_each_entry<T>(head: list_head<T>): Generator<T, void, void> {
  for (let at = head.next; at !== head; at = at.next) yield list_entry(at);
}

/** A list with one pointer per head. @mirrors include/linux/types.h:hlist_head */
export class hlist_head<T = unknown> {
  first: hlist_node<T> | null = null;
}

/** @mirrors include/linux/types.h:hlist_node */
export class hlist_node<T = unknown> {
  next: hlist_node<T> | null = null;
  /** Whose pointer points here: the head's or the previous node's. Null while the node is on no list. */
  pprev: hlist_head<T> | hlist_node<T> | null = null;

  constructor(readonly owner: T) {}
}

/** Whether the list has no node. @mirrors include/linux/list.h:hlist_empty */
export function hlist_empty<T>(h: hlist_head<T>): boolean {
  return h.first === null;
}

/** Takes the node off its list and leaves its own pointers alone. @mirrors include/linux/list.h:__hlist_del */
export function __hlist_del<T>(n: hlist_node<T>): void {
  const { next, pprev } = n;
  if (pprev instanceof hlist_head) pprev.first = next;
  else if (pprev !== null) pprev.next = next;
  if (next !== null) next.pprev = pprev;
}

/** @mirrors include/linux/list.h:hlist_add_head */
export function hlist_add_head<T>(n: hlist_node<T>, h: hlist_head<T>): void {
  const first = h.first;
  n.next = first;
  if (first !== null) first.pprev = n;
  h.first = n;
  n.pprev = h;
}

/** Whether the node is the only one of `h`. @mirrors include/linux/list.h:hlist_is_singular_node */
export function hlist_is_singular_node<T>(n: hlist_node<T>, h: hlist_head<T>): boolean {
  return n.next === null && n.pprev === h;
}

/** Moves all nodes of `old` to `new_`, which is empty. @mirrors include/linux/list.h:hlist_move_list */
export function hlist_move_list<T>(old: hlist_head<T>, new_: hlist_head<T>): void {
  new_.first = old.first;
  if (new_.first !== null) new_.first.pprev = new_;
  old.first = null;
}
