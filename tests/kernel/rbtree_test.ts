// SPDX-License-Identifier: GPL-2.0-only
/**
 * Red-black trees against a sorted array, with the colour rules checked after each step.
 *
 * The expected shapes come from the rules themselves (equal black heights, no red under red, order) and from the theorem
 * that a tree of n nodes is at most 2 log2(n + 1) high; the summaries of augmented trees are recomputed by brute force.
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import fc from "fast-check";
import {
  RB_BLACK,
  RB_CLEAR_NODE,
  RB_DECLARE_CALLBACKS_MAX,
  RB_EMPTY_NODE,
  RB_EMPTY_ROOT,
  rb_erase,
  rb_erase_augmented,
  rb_erase_cached,
  rb_first,
  rb_first_cached,
  rb_first_postorder,
  rb_insert_augmented,
  rb_insert_color,
  rb_insert_color_cached,
  rb_last,
  type rb_link,
  rb_link_node,
  rb_next,
  rb_next_postorder,
  rb_node,
  rb_parent,
  rb_prev,
  RB_RED,
  rb_replace_node,
  rb_root,
  rb_root_cached,
} from "../../kernel/rbtree.ts";

const SEED = 20200323;
/** Without `size`, fast-check prefers arrays of about ten. */
const LONG = { minLength: 1, maxLength: 250, size: "max" } as const;

class Item {
  readonly rb: rb_node<Item> = new rb_node<Item>(this);
  max = 0;
  constructor(readonly key: number, public size = 0) {}
}

const augment = RB_DECLARE_CALLBACKS_MAX<"max", Item>("max", (item) => item.size);

/** Links `item` by key; true when it became the leftmost. */
function link(item: Item, root: rb_root<Item>): boolean {
  let parent: rb_node<Item> | null = null;
  let at: rb_link<Item> = root;
  let leftmost = true;
  for (let n = root.rb_node; n !== null;) {
    parent = n;
    at = item.key < n.owner.key ? "rb_left" : "rb_right";
    if (at === "rb_right") leftmost = false;
    n = n[at];
  }
  rb_link_node(item.rb, parent, at);
  return leftmost;
}

function insert(item: Item, root: rb_root<Item>): void {
  link(item, root);
  rb_insert_color(item.rb, root);
}

function insertAugmented(item: Item, root: rb_root<Item>): void {
  link(item, root);
  item.max = item.size;
  for (let n = rb_parent(item.rb); n !== null; n = rb_parent(n)) {
    n.owner.max = Math.max(n.owner.max, item.size);
  }
  rb_insert_augmented(item.rb, root, augment);
}

/** Checks colours, links and (when asked) summaries; returns black height. */
function check(node: rb_node<Item> | null, parent: rb_node<Item> | null, augmented: boolean): number {
  if (node === null) return 1;
  assertStrictEquals(node.parent, parent);
  if (node.color === RB_RED) {
    assert(parent !== null, "the root is red");
    assertEquals(parent.color, RB_BLACK, "red under red");
  }
  const left = check(node.rb_left, node, augmented);
  assertEquals(left, check(node.rb_right, node, augmented), "black heights differ");
  if (augmented) {
    const max = Math.max(node.owner.size, node.rb_left?.owner.max ?? 0, node.rb_right?.owner.max ?? 0);
    assertEquals(node.owner.max, max, `summary of ${node.owner.key}`);
  }
  return left + (node.color === RB_BLACK ? 1 : 0);
}

function keys(root: rb_root<Item>): number[] {
  const found: number[] = [];
  for (let n = rb_first(root); n !== null; n = rb_next(n)) found.push(n.owner.key);
  return found;
}

function height(node: rb_node<Item> | null): number {
  return node === null ? 0 : 1 + Math.max(height(node.rb_left), height(node.rb_right));
}

Deno.test("rb_insert_color() keeps ascending keys balanced", () => {
  const root = new rb_root<Item>();
  assert(RB_EMPTY_ROOT(root));
  for (let key = 0; key < 1000; key++) {
    insert(new Item(key), root);
    check(root.rb_node, null, false);
  }
  assertEquals(keys(root), Array.from({ length: 1000 }, (_, key) => key));
  assert(height(root.rb_node) <= 2 * Math.log2(1001));
});

Deno.test("rb_insert_color() and rb_erase() agree with a sorted array at every step [seed=20200323]", () => {
  const steps = fc.array(fc.tuple(fc.boolean(), fc.nat(60)), LONG);
  fc.assert(
    fc.property(steps, (ops) => {
      const root = new rb_root<Item>();
      const model = new Map<number, Item>();
      for (const [add, key] of ops) {
        const known = model.get(key);
        if (add && known === undefined) {
          const item = new Item(key);
          model.set(key, item);
          insert(item, root);
        } else if (!add && known !== undefined) {
          model.delete(key);
          rb_erase(known.rb, root);
        }
        check(root.rb_node, null, false);
      }
      assertEquals(keys(root), [...model.keys()].sort((a, b) => a - b));
    }),
    { seed: SEED, numRuns: 200 },
  );
});

Deno.test("rb_erase_augmented() and rb_insert_augmented() keep every summary right [seed=20200323]", () => {
  const steps = fc.array(fc.tuple(fc.boolean(), fc.nat(60), fc.nat(1000)), LONG);
  fc.assert(
    fc.property(steps, (ops) => {
      const root = new rb_root<Item>();
      const model = new Map<number, Item>();
      for (const [add, key, size] of ops) {
        const known = model.get(key);
        if (add && known === undefined) {
          const item = new Item(key, size);
          model.set(key, item);
          insertAugmented(item, root);
        } else if (add && known !== undefined) {
          known.size = size;
          augment.propagate(known.rb, null);
        } else if (known !== undefined) {
          model.delete(key);
          rb_erase_augmented(known.rb, root, augment);
        }
        check(root.rb_node, null, true);
      }
    }),
    { seed: SEED, numRuns: 200 },
  );
});

Deno.test("RB_DECLARE_CALLBACKS_MAX() propagate stops where nothing changes and before the given node", () => {
  const root = new rb_root<Item>();
  const items = [0, 1, 2, 3, 4, 5, 6].map((key) => new Item(key, 10 + key));
  for (const item of items) insertAugmented(item, root);
  const top = root.rb_node as rb_node<Item>;
  top.owner.max = -1; // wrong on purpose: must not be looked at
  augment.propagate(items[0].rb, null);
  assertEquals(top.owner.max, -1);
  items[6].size = 99; // ascending keys: the last item is deep on the right
  assert(rb_parent(items[6].rb) !== top);
  augment.propagate(items[6].rb, top);
  assertEquals([rb_parent(items[6].rb)?.owner.max, top.owner.max], [99, -1]);
});

Deno.test("rb_next() and rb_prev() walk both ways and end in null", () => {
  const root = new rb_root<Item>();
  for (const key of [5, 1, 9, 3, 7]) insert(new Item(key), root);
  const back: number[] = [];
  for (let n = rb_last(root); n !== null; n = rb_prev(n)) back.push(n.owner.key);
  assertEquals(back, [9, 7, 5, 3, 1]);
  assertEquals(keys(root), [1, 3, 5, 7, 9]);
  const stray = new Item(0);
  assert(RB_EMPTY_NODE(stray.rb));
  assertEquals([rb_next(stray.rb), rb_prev(stray.rb)], [null, null]);
  const first = rb_first(root) as rb_node<Item>;
  rb_erase(first, root);
  RB_CLEAR_NODE(first);
  assertEquals(rb_next(first), null);
  const empty = new rb_root<Item>();
  assertEquals([rb_first(empty), rb_last(empty), rb_first_postorder(empty)], [null, null, null]);
});

Deno.test("rb_next_postorder() visits each node after both of its children", () => {
  const root = new rb_root<Item>();
  for (let key = 0; key < 100; key++) insert(new Item(key * 37 % 100), root);
  const seen = new Set<rb_node<Item>>();
  for (let n = rb_first_postorder(root); n !== null; n = rb_next_postorder(n)) {
    if (n.rb_left !== null) assert(seen.has(n.rb_left));
    if (n.rb_right !== null) assert(seen.has(n.rb_right));
    seen.add(n);
  }
  assertEquals(seen.size, 100);
});

Deno.test("rb_replace_node() leaves order and colours as they were", () => {
  const root = new rb_root<Item>();
  const items = Array.from({ length: 31 }, (_, key) => new Item(key));
  for (const item of items) insert(item, root);
  for (const item of items) {
    const twin = new Item(item.key + 0.5);
    rb_replace_node(item.rb, twin.rb, root);
    check(root.rb_node, null, false);
  }
  assertEquals(keys(root), items.map((item) => item.key + 0.5));
});

Deno.test("rb_first_cached() follows insertions and erasures on the left", () => {
  const root = new rb_root_cached<Item>();
  const items = [50, 20, 80, 10, 30].map((key) => new Item(key));
  for (const item of items) rb_insert_color_cached(item.rb, root, link(item, root.rb_root));
  const order: (number | undefined)[] = [];
  for (let n = rb_first_cached(root); n !== null; n = rb_first_cached(root)) {
    order.push(n.owner.key);
    rb_erase_cached(n, root);
    check(root.rb_root.rb_node, null, false);
  }
  assertEquals(order, [10, 20, 30, 50, 80]);
});
