// SPDX-License-Identifier: GPL-2.0-only
/**
 * list.ts against plain arrays.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import {
  __hlist_del,
  hlist_add_head,
  hlist_empty,
  hlist_head,
  hlist_is_singular_node,
  hlist_move_list,
  hlist_node,
  list_add,
  list_add_tail,
  list_del_init,
  list_empty,
  list_entry,
  list_first_entry,
  list_for_each_entry,
  list_head,
  list_last_entry,
  list_move_tail,
  list_splice_init,
  list_splice_tail_init,
} from "../../kernel/list.ts";
import fc from "fast-check";

/** The owners in order, forwards; checks the way back too. */
function contents(head: list_head<number>): number[] {
  const forwards: number[] = [];
  for (let at = head.next; at !== head; at = at.next) forwards.push(list_entry(at));
  const backwards: number[] = [];
  for (let at = head.prev; at !== head; at = at.prev) backwards.unshift(list_entry(at));
  assertEquals(backwards, forwards);
  return forwards;
}

function chain(head: hlist_head<number>): number[] {
  const found: number[] = [];
  for (let at = head.first; at !== null; at = at.next) {
    assert(at.pprev instanceof hlist_head ? at.pprev.first === at : at.pprev?.next === at);
    found.push(at.owner);
  }
  return found;
}

Deno.test("list_add() and its kin keep two lists like arrays", () => {
  const command = fc.tuple(fc.constantFrom("add", "tail", "del", "move", "splice"), fc.nat(9), fc.nat(1));
  fc.assert(fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
    const entries = Array.from({ length: 10 }, (_, i) => new list_head<number>(i));
    const heads = [new list_head<number>(), new list_head<number>()];
    const model: number[][] = [[], []];
    for (const [what, i, to] of commands) {
      const from = model.findIndex((list) => list.includes(i));
      const entry = entries[i];
      assertEquals(list_empty(entry), from < 0);
      if (what === "splice") {
        list_splice_tail_init(heads[1 - to], heads[to]);
        model[to].push(...model[1 - to].splice(0));
      } else if (what === "add" && from < 0) {
        list_add(entry, heads[to]);
        model[to].unshift(i);
      } else if (what === "tail" && from < 0) {
        list_add_tail(entry, heads[to]);
        model[to].push(i);
      } else if (what === "del" && from >= 0) {
        list_del_init(entry);
        model[from].splice(model[from].indexOf(i), 1);
      } else if (what === "move" && from >= 0) {
        list_move_tail(entry, heads[to]);
        model[from].splice(model[from].indexOf(i), 1);
        model[to].push(i);
      }
      for (const n of [0, 1]) {
        assertEquals(contents(heads[n]), model[n]);
        assertEquals(list_empty(heads[n]), model[n].length === 0);
        if (model[n].length === 0) continue;
        assertEquals(list_first_entry(heads[n]), model[n][0]);
        assertEquals(list_last_entry(heads[n]), model[n].at(-1));
      }
    }
  }));
});

Deno.test("hlist_add_head() puts the newest first; __hlist_del() unlinks from head or middle", () => {
  const head = new hlist_head<number>();
  const [a, b, c] = [1, 2, 3].map((n) => new hlist_node(n));
  hlist_add_head(a, head);
  assert(hlist_is_singular_node(a, head));
  hlist_add_head(b, head);
  hlist_add_head(c, head);
  assertEquals(chain(head), [3, 2, 1]);
  assert(!hlist_is_singular_node(c, head));
  __hlist_del(b);
  assertEquals(chain(head), [3, 1]);
  const other = new hlist_head<number>();
  hlist_move_list(head, other);
  assertEquals([chain(head), chain(other)], [[], [3, 1]]);
  assert(!hlist_is_singular_node(a, other));
  __hlist_del(c);
  assert(hlist_is_singular_node(a, other) && !hlist_is_singular_node(a, head));
});

Deno.test("list_splice_init() puts all entries in front and leaves an empty list; list_for_each_entry() walks them", () => {
  const make = (owners: number[]): list_head<number> => {
    const head = new list_head<number>();
    for (const owner of owners) list_add_tail(new list_head<number>(owner), head);
    return head;
  };
  for (const [from, to] of [[[], []], [[1], []], [[], [2]], [[1, 2], [3]], [[1], [2, 3]]]) {
    const list = make(from);
    const head = make(to);
    list_splice_init(list, head);
    assertEquals(contents(head), [...from, ...to]);
    assertEquals([...list_for_each_entry(head)], [...from, ...to]);
    assert(list_empty(list));
  }
});

Deno.test("list_for_each_entry() looks for the next entry when the loop comes back", () => {
  const head = new list_head<number>();
  const entries = [1, 2, 3].map((it) => new list_head<number>(it));
  for (const entry of entries) list_add_tail(entry, head);
  const seen: number[] = [];
  for (const it of list_for_each_entry(head)) {
    seen.push(it);
    if (it === 1) list_del_init(entries[1]);
  }
  assertEquals(seen, [1, 3]);
});

Deno.test("hlist_empty() until a node is added", () => {
  const head = new hlist_head<number>();
  assert(hlist_empty(head));
  hlist_add_head(new hlist_node<number>(1), head);
  assert(!hlist_empty(head));
});
