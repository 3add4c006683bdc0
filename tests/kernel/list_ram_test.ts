// SPDX-License-Identifier: GPL-2.0-only
/** Tests of kernel/list_ram.ts. */
import { assertEquals } from "@std/assert";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import {
  INIT_LIST_HEAD,
  list_add,
  list_empty,
  list_head,
  list_move,
  list_replace_init,
} from "../../kernel/list_ram.ts";
import { boot, type Kernel } from "../../mod.ts";

function heads(k: Kernel, n: number): VirtAddr[] {
  return Array.from({ length: n }, () => k.dataAlloc(list_head.size));
}

/** The nodes of a list, seen forwards; seen backwards they must be the same. */
function nodes(k: Kernel, head: VirtAddr): VirtAddr[] {
  const walk = (member: "next" | "prev"): VirtAddr[] => {
    const found: VirtAddr[] = [];
    for (let at = list_head.f[member].get(k, head); at !== head; at = list_head.f[member].get(k, at)) {
      found.push(at);
    }
    return found;
  };
  const forwards = walk("next");
  assertEquals(walk("prev").reverse(), forwards);
  return forwards;
}

Deno.test("list_add() puts a node first, list_move() takes it to the front of another list", () => {
  const k = boot({ rcu: "none" });
  const [one, two, a, b, c] = heads(k, 5);
  for (const head of [one, two]) INIT_LIST_HEAD(k, head);
  assertEquals([list_empty(k, one), nodes(k, one)], [true, []]);
  for (const node of [a, b, c]) list_add(k, node, one);
  assertEquals([list_empty(k, one), nodes(k, one)], [false, [c, b, a]]);
  list_move(k, b, two);
  list_move(k, a, two);
  assertEquals([nodes(k, one), nodes(k, two)], [[c], [a, b]]);
  list_move(k, c, two);
  assertEquals([list_empty(k, one), nodes(k, two)], [true, [c, a, b]]);
});

Deno.test("list_replace_init() moves all nodes to a head that need not be initialised, also none", () => {
  const k = boot({ rcu: "none" });
  const [old, new_, empty, a, b] = heads(k, 5);
  INIT_LIST_HEAD(k, old);
  for (const node of [a, b]) list_add(k, node, old);
  list_replace_init(k, old, new_);
  assertEquals([nodes(k, old), nodes(k, new_)], [[], [b, a]]);
  list_replace_init(k, old, empty);
  assertEquals([nodes(k, old), nodes(k, empty)], [[], []]);
});
