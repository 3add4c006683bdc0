// SPDX-License-Identifier: GPL-2.0-only
/**
 * Red-black trees. Mirrors lib/rbtree.c, include/linux/rbtree.h and include/linux/rbtree_augmented.h (v5.7).
 *
 * The user searches, links a red leaf and then restores the colours, as in C, so that keys and comparisons stay with the
 * user. A node knows its owner, which stands in for rb_entry(). An augmented tree keeps a summary of each subtree in its
 * owners; the callbacks are made at the same moments and in the same order as in C.
 *
 * Invariant: the root is black, no red node has a red child, and each path from a node down to its leaves passes the
 * same number of black nodes. Every function here is indivisible: the caller holds the tree's lock, and lockless lookups
 * (rb_replace_node_rcu and the latch trees) are left out. No function takes the kernel: a tree touches nothing but itself.
 *
 * @module
 */

export const RB_RED = 0;
export const RB_BLACK = 1;

/** A node of a tree, embedded in `owner`. @mirrors include/linux/rbtree.h:rb_node */
export class rb_node<T> {
  /** The two parts of C's __rb_parent_color. A node that is its own parent is in no tree. */
  parent: rb_node<T> | null;
  color = RB_RED;
  rb_left: rb_node<T> | null = null;
  rb_right: rb_node<T> | null = null;

  constructor(readonly owner: T) {
    this.parent = this;
  }
}

/** A tree. @mirrors include/linux/rbtree.h:rb_root */
export class rb_root<T> {
  rb_node: rb_node<T> | null = null;
}

/** Where a new node is linked: C's `struct rb_node **link` is the root, or one side of the parent. */
export type rb_link<T> = rb_root<T> | "rb_left" | "rb_right";

// include/linux/rbtree.h

/** @mirrors include/linux/rbtree.h:rb_parent */
export function rb_parent<T>(node: rb_node<T>): rb_node<T> | null {
  return node.parent;
}

/** @mirrors include/linux/rbtree.h:RB_EMPTY_ROOT */
export function RB_EMPTY_ROOT<T>(root: rb_root<T>): boolean {
  return root.rb_node === null;
}

/** Whether the node is in no tree. @mirrors include/linux/rbtree.h:RB_EMPTY_NODE */
export function RB_EMPTY_NODE<T>(node: rb_node<T>): boolean {
  return node.parent === node;
}

/** Marks a node as being in no tree. @mirrors include/linux/rbtree.h:RB_CLEAR_NODE */
export function RB_CLEAR_NODE<T>(node: rb_node<T>): void {
  node.parent = node;
}

/**
 * Hangs a new red leaf below `parent` at `link`; rb_insert_color() must follow.
 *
 * @mirrors include/linux/rbtree.h:rb_link_node
 */
export function rb_link_node<T>(node: rb_node<T>, parent: rb_node<T> | null, link: rb_link<T>): void {
  node.parent = parent;
  node.color = RB_RED;
  node.rb_left = null;
  node.rb_right = null;
  if (typeof link === "object") link.rb_node = node;
  else (parent as rb_node<T>)[link] = node;
}

/** A tree that remembers its leftmost node. @mirrors include/linux/rbtree.h:rb_root_cached */
export class rb_root_cached<T> {
  readonly rb_root: rb_root<T> = new rb_root<T>();
  rb_leftmost: rb_node<T> | null = null;
}

/** @mirrors include/linux/rbtree.h:rb_first_cached */
export function rb_first_cached<T>(root: rb_root_cached<T>): rb_node<T> | null {
  return root.rb_leftmost;
}

/** @mirrors include/linux/rbtree.h:rb_insert_color_cached */
export function rb_insert_color_cached<T>(
  node: rb_node<T>,
  root: rb_root_cached<T>,
  leftmost: boolean,
): void {
  if (leftmost) root.rb_leftmost = node;
  rb_insert_color(node, root.rb_root);
}

/** @mirrors include/linux/rbtree.h:rb_erase_cached */
export function rb_erase_cached<T>(node: rb_node<T>, root: rb_root_cached<T>): void {
  if (root.rb_leftmost === node) root.rb_leftmost = rb_next(node);
  rb_erase(node, root.rb_root);
}

// include/linux/rbtree_augmented.h

/** How an augmented tree keeps its summaries right. @mirrors include/linux/rbtree_augmented.h:rb_augment_callbacks */
export interface rb_augment_callbacks<T> {
  /** Recomputes from `node` upwards, up to but without `stop`. */
  propagate(node: rb_node<T> | null, stop: rb_node<T> | null): void;
  /** `new_` takes the place of `old` with the same subtree. */
  copy(old: rb_node<T>, new_: rb_node<T>): void;
  /** `new_` moved up into the place of `old`, which is its child now. */
  rotate(old: rb_node<T>, new_: rb_node<T>): void;
}

type Rotated<T> = (old: rb_node<T>, new_: rb_node<T>) => void;

/**
 * Restores the colours after rb_link_node() in an augmented tree. The caller has brought the summaries up to date on the
 * path to the new node, or does so afterwards.
 *
 * @mirrors include/linux/rbtree_augmented.h:rb_insert_augmented
 */
export function rb_insert_augmented<T>(
  node: rb_node<T>,
  root: rb_root<T>,
  augment: rb_augment_callbacks<T>,
): void {
  __rb_insert(node, root, augment.rotate);
}

/**
 * Callbacks that keep `owner[rbaugmented]` at the maximum of `rbcompute()` over the owner's subtree.
 *
 * @mirrors include/linux/rbtree_augmented.h:RB_DECLARE_CALLBACKS_MAX
 */
export function RB_DECLARE_CALLBACKS_MAX<F extends string, T extends Record<F, number>>(
  rbaugmented: F,
  rbcompute: (owner: T) => number,
): rb_augment_callbacks<T> {
  /** True when the summary was right already. */
  function computeMax(node: rb_node<T>): boolean {
    const owner = node.owner as Record<F, number>;
    let max = rbcompute(node.owner);
    if (node.rb_left !== null) max = Math.max(max, node.rb_left.owner[rbaugmented]);
    if (node.rb_right !== null) max = Math.max(max, node.rb_right.owner[rbaugmented]);
    if (owner[rbaugmented] === max) return true;
    owner[rbaugmented] = max;
    return false;
  }
  function copy(old: rb_node<T>, new_: rb_node<T>): void {
    (new_.owner as Record<F, number>)[rbaugmented] = old.owner[rbaugmented];
  }
  return {
    propagate: (node, stop) => {
      for (let rb = node; rb !== null && rb !== stop; rb = rb.parent) if (computeMax(rb)) break;
    },
    copy,
    rotate: (old, new_) => {
      copy(old, new_);
      computeMax(old);
    },
  };
}

/** Puts `new_` where `old` hangs. @mirrors include/linux/rbtree_augmented.h:__rb_change_child */
function __rb_change_child<T>(
  old: rb_node<T>,
  new_: rb_node<T> | null,
  parent: rb_node<T> | null,
  root: rb_root<T>,
): void {
  if (parent === null) root.rb_node = new_;
  else if (parent.rb_left === old) parent.rb_left = new_;
  else parent.rb_right = new_;
}

/**
 * Takes a node out; colours may be wrong afterwards. A node with two children is replaced by its successor.
 *
 * Returns: where a black node is missing below, or null when the colours are right.
 *
 * @mirrors include/linux/rbtree_augmented.h:__rb_erase_augmented
 */
function __rb_erase_augmented<T>(
  node: rb_node<T>,
  root: rb_root<T>,
  augment: rb_augment_callbacks<T>,
): rb_node<T> | null {
  const left = node.rb_left;
  const right = node.rb_right;
  const above = node.parent;
  if (left === null || right === null) {
    const only = left ?? right;
    __rb_change_child(node, only, above, root);
    if (only !== null) {
      only.parent = above;
      only.color = node.color;
    }
    augment.propagate(above, null);
    return only === null && node.color === RB_BLACK ? above : null;
  }

  let successor = right;
  while (successor.rb_left !== null) successor = successor.rb_left;
  const orphan = successor.rb_right;
  let parent = successor;
  if (successor === right) {
    augment.copy(node, successor);
  } else {
    parent = successor.parent as rb_node<T>;
    parent.rb_left = orphan;
    successor.rb_right = right;
    right.parent = successor;
    augment.copy(node, successor);
    augment.propagate(parent, successor);
  }
  successor.rb_left = left;
  left.parent = successor;
  __rb_change_child(node, successor, above, root);
  const lostBlack = orphan === null && successor.color === RB_BLACK;
  if (orphan !== null) {
    orphan.parent = parent;
    orphan.color = RB_BLACK;
  }
  successor.parent = above;
  successor.color = node.color;
  augment.propagate(successor, null);
  return lostBlack ? parent : null;
}

/**
 * Removes a node from an augmented tree.
 *
 * @mirrors include/linux/rbtree_augmented.h:rb_erase_augmented
 */
export function rb_erase_augmented<T>(
  node: rb_node<T>,
  root: rb_root<T>,
  augment: rb_augment_callbacks<T>,
): void {
  const rebalance = __rb_erase_augmented(node, root, augment);
  if (rebalance !== null) __rb_erase_color(rebalance, root, augment.rotate);
}

// lib/rbtree.c

function isRed<T>(node: rb_node<T> | null): boolean {
  return node !== null && node.color === RB_RED;
}

function child<T>(node: rb_node<T>, left: boolean): rb_node<T> | null {
  return left ? node.rb_left : node.rb_right;
}

function setChild<T>(node: rb_node<T>, left: boolean, new_: rb_node<T> | null): void {
  if (left) node.rb_left = new_;
  else node.rb_right = new_;
  if (new_ !== null) new_.parent = node;
}

/** Moves `node` down to the given side; its child of the other side takes its place. Colours stay with the nodes. */
function rotate<T>(node: rb_node<T>, left: boolean, root: rb_root<T>, augment_rotate: Rotated<T>): void {
  const up = child(node, !left) as rb_node<T>;
  const above = node.parent;
  setChild(node, !left, child(up, left));
  __rb_change_child(node, up, above, root);
  up.parent = above;
  setChild(up, left, node);
  augment_rotate(node, up);
}

/** `node` is red and may have a red parent. @mirrors lib/rbtree.c:__rb_insert */
function __rb_insert<T>(start: rb_node<T>, root: rb_root<T>, augment_rotate: Rotated<T>): void {
  let node = start;
  let parent = node.parent;
  while (parent !== null && parent.color === RB_RED) {
    const gparent = parent.parent as rb_node<T>; // a red node is never the root
    const left = parent === gparent.rb_left;
    const uncle = child(gparent, !left);
    if (uncle !== null && uncle.color === RB_RED) {
      // Case 1: both move their red up, where it may be one too many.
      parent.color = uncle.color = RB_BLACK;
      gparent.color = RB_RED;
      node = gparent;
      parent = node.parent;
      continue;
    }
    if (node === child(parent, !left)) {
      // Case 2: make the inner grandchild an outer one.
      rotate(parent, left, root, augment_rotate);
      parent = node;
    }
    // Case 3: the middle one of the three becomes the black top.
    parent.color = RB_BLACK;
    gparent.color = RB_RED;
    rotate(gparent, !left, root, augment_rotate);
    break;
  }
  (root.rb_node as rb_node<T>).color = RB_BLACK;
}

/** One side of `parent` lacks one black node. @mirrors lib/rbtree.c:__rb_erase_color */
function __rb_erase_color<T>(start: rb_node<T>, root: rb_root<T>, augment_rotate: Rotated<T>): void {
  let parent: rb_node<T> | null = start;
  let node: rb_node<T> | null = null;
  while (parent !== null) {
    const left: boolean = node === parent.rb_left;
    let sibling = child(parent, !left) as rb_node<T>; // its side has a black node more, so it exists
    if (sibling.color === RB_RED) {
      // Case 1: get a black sibling.
      sibling.color = RB_BLACK;
      parent.color = RB_RED;
      rotate(parent, left, root, augment_rotate);
      sibling = child(parent, !left) as rb_node<T>;
    }
    if (!isRed(sibling.rb_left) && !isRed(sibling.rb_right)) {
      // Case 2: take one from the sibling too; a red parent makes up for both, a black one passes the lack on.
      sibling.color = RB_RED;
      if (parent.color === RB_RED) {
        parent.color = RB_BLACK;
        return;
      }
      node = parent;
      parent = node.parent;
      continue;
    }
    if (!isRed(child(sibling, !left))) {
      // Case 3: make the inner red nephew an outer one.
      const nephew = child(sibling, left) as rb_node<T>;
      nephew.color = RB_BLACK;
      sibling.color = RB_RED;
      rotate(sibling, !left, root, augment_rotate);
      sibling = nephew;
    }
    // Case 4: the sibling takes the parent's place, the parent fills the gap.
    sibling.color = parent.color;
    parent.color = RB_BLACK;
    (child(sibling, !left) as rb_node<T>).color = RB_BLACK;
    rotate(parent, left, root, augment_rotate);
    return;
  }
}

function dummy_rotate(): void {}

const dummy_callbacks: rb_augment_callbacks<unknown> = {
  propagate: dummy_rotate,
  copy: dummy_rotate,
  rotate: dummy_rotate,
};

/**
 * Restores the colours after rb_link_node().
 *
 * @mirrors lib/rbtree.c:rb_insert_color
 */
export function rb_insert_color<T>(node: rb_node<T>, root: rb_root<T>): void {
  __rb_insert(node, root, dummy_rotate);
}

/**
 * Removes a node. Its own links stay as they were; RB_CLEAR_NODE() marks it as free.
 *
 * @mirrors lib/rbtree.c:rb_erase
 */
export function rb_erase<T>(node: rb_node<T>, root: rb_root<T>): void {
  const rebalance = __rb_erase_augmented(node, root, dummy_callbacks as rb_augment_callbacks<T>);
  if (rebalance !== null) __rb_erase_color(rebalance, root, dummy_rotate);
}

/** The first node in order, or null. @mirrors lib/rbtree.c:rb_first */
export function rb_first<T>(root: rb_root<T>): rb_node<T> | null {
  let n = root.rb_node;
  while (n !== null && n.rb_left !== null) n = n.rb_left;
  return n;
}

/** The last node in order, or null. @mirrors lib/rbtree.c:rb_last */
export function rb_last<T>(root: rb_root<T>): rb_node<T> | null {
  let n = root.rb_node;
  while (n !== null && n.rb_right !== null) n = n.rb_right;
  return n;
}

function neighbour<T>(node: rb_node<T>, left: boolean): rb_node<T> | null {
  if (RB_EMPTY_NODE(node)) return null;
  let below = child(node, left);
  if (below !== null) {
    for (let n = child(below, !left); n !== null; n = child(n, !left)) below = n;
    return below;
  }
  let from = node;
  let parent = node.parent;
  while (parent !== null && from === child(parent, left)) {
    from = parent;
    parent = from.parent;
  }
  return parent;
}

/** The next node in order, or null at the end and for a node in no tree. @mirrors lib/rbtree.c:rb_next */
export function rb_next<T>(node: rb_node<T>): rb_node<T> | null {
  return neighbour(node, false);
}

/** The previous node in order, or null at the start and for a node in no tree. @mirrors lib/rbtree.c:rb_prev */
export function rb_prev<T>(node: rb_node<T>): rb_node<T> | null {
  return neighbour(node, true);
}

/**
 * Puts `new_` in the place of `victim`; both must compare alike.
 *
 * @mirrors lib/rbtree.c:rb_replace_node
 */
export function rb_replace_node<T>(victim: rb_node<T>, new_: rb_node<T>, root: rb_root<T>): void {
  new_.parent = victim.parent;
  new_.color = victim.color;
  setChild(new_, true, victim.rb_left);
  setChild(new_, false, victim.rb_right);
  __rb_change_child(victim, new_, victim.parent, root);
}

function rb_left_deepest_node<T>(start: rb_node<T>): rb_node<T> {
  let node = start;
  for (let down = node.rb_left ?? node.rb_right; down !== null; down = node.rb_left ?? node.rb_right) {
    node = down;
  }
  return node;
}

/** The next node when children come before their parent. @mirrors lib/rbtree.c:rb_next_postorder */
export function rb_next_postorder<T>(node: rb_node<T>): rb_node<T> | null {
  const parent = node.parent;
  return parent !== null && node === parent.rb_left && parent.rb_right !== null
    ? rb_left_deepest_node(parent.rb_right)
    : parent;
}

/** The first node when children come before their parent. @mirrors lib/rbtree.c:rb_first_postorder */
export function rb_first_postorder<T>(root: rb_root<T>): rb_node<T> | null {
  return root.rb_node === null ? null : rb_left_deepest_node(root.rb_node);
}
