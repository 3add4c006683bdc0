// SPDX-License-Identifier: GPL-2.0-only
/** Lock-less lists: order, return values, the bytes in memory, and what happens when another CPU gets in between. */
import { assertEquals } from "@std/assert";
import { NULL } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { POLICY_TIME } from "../../kernel/machine/chooser.ts";
import { checkConfig } from "../../kernel/config.ts";
import { Kernel } from "../../kernel/kernel.ts";
import {
  init_llist_head,
  llist_add,
  llist_add_batch,
  llist_del_all,
  llist_del_first,
  llist_empty,
  llist_head,
  llist_next,
  llist_node,
  llist_reverse_order,
} from "../../kernel/llist.ts";

function machine(): Kernel {
  return new Kernel(checkConfig({ rcu: "none", cpus: 1 }), {
    policy: POLICY_TIME,
    seed: 1,
    deviations: null,
  });
}

/** Runs a generator to its end; before the machine runs, every point yields. */
function run<T>(gen: Generator<unknown, T, void>): T {
  for (;;) {
    const step = gen.next();
    if (step.done === true) return step.value;
  }
}

/** Runs a generator up to its `n`th point. */
function stopAt(gen: Generator<unknown, unknown, void>, n: number): void {
  for (let i = 0; i < n; i++) assertEquals(gen.next().done, false);
}

function nodes(k: Kernel, count: number): VirtAddr[] {
  return Array.from({ length: count }, () => k.dataAlloc(16));
}

function chain(k: Kernel, first: VirtAddr): VirtAddr[] {
  const found: VirtAddr[] = [];
  for (let node = first; node !== NULL; node = llist_next(k, node)) found.push(node);
  return found;
}

Deno.test("llist_add() says whether the list was empty and puts the newest first", () => {
  const k = machine();
  const head = new llist_head();
  const [a, b, c] = nodes(k, 3);
  assertEquals([a, b, c].map((node) => run(llist_add(k, node, head))), [true, false, false]);
  assertEquals(run(llist_empty(k, head)), false);
  // The link is the first word of the node, in memory.
  assertEquals([k.ram.loadPtr(c), k.ram.loadPtr(b), k.ram.loadPtr(a)], [b, a, NULL]);
  assertEquals(chain(k, run(llist_del_all(k, head))), [c, b, a]);
  assertEquals(run(llist_empty(k, head)), true);
  assertEquals(run(llist_del_all(k, head)), NULL);
});

Deno.test("llist_add_batch() adds a chain in front", () => {
  const k = machine();
  const head = new llist_head();
  const [a, b, c] = nodes(k, 3);
  run(llist_add(k, a, head));
  llist_node.f.next.set(k, b, c);
  assertEquals(run(llist_add_batch(k, b, c, head)), false);
  assertEquals(chain(k, head.first), [b, c, a]);
  init_llist_head(head);
  assertEquals(run(llist_add_batch(k, b, c, head)), true);
});

Deno.test("llist_add() loses no entry when another CPU adds between its two points", () => {
  const k = machine();
  const head = new llist_head();
  const [a, b, c] = nodes(k, 3);
  run(llist_add(k, a, head));
  const slow = llist_add(k, b, head);
  stopAt(slow, 2); // has read `first`, waits before the cmpxchg
  run(llist_add(k, c, head));
  assertEquals(run(slow), false);
  assertEquals(chain(k, head.first), [b, c, a]);
});

Deno.test("llist_add() reports an empty list when everything was taken between its two points", () => {
  const k = machine();
  const head = new llist_head();
  const [a, b] = nodes(k, 2);
  run(llist_add(k, a, head));
  const slow = llist_add(k, b, head);
  stopAt(slow, 2);
  assertEquals(run(llist_del_all(k, head)), a);
  assertEquals(run(slow), true);
  assertEquals(chain(k, head.first), [b]);
});

Deno.test("llist_del_first() takes the newest and starts over when one arrives meanwhile", () => {
  const k = machine();
  const head = new llist_head();
  const [a, b, c] = nodes(k, 3);
  assertEquals(run(llist_del_first(k, head)), NULL);
  run(llist_add(k, a, head));
  run(llist_add(k, b, head));
  const slow = llist_del_first(k, head);
  stopAt(slow, 3); // has read first and next
  run(llist_add(k, c, head));
  assertEquals(run(slow), c);
  assertEquals(chain(k, head.first), [b, a]);
});

Deno.test("llist_reverse_order() turns the chain round", () => {
  const k = machine();
  const head = new llist_head();
  const all = nodes(k, 4);
  for (const node of all) run(llist_add(k, node, head));
  assertEquals(chain(k, llist_reverse_order(k, run(llist_del_all(k, head)))), all);
  assertEquals(llist_reverse_order(k, NULL), NULL);
});
