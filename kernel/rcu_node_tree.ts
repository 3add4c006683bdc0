// SPDX-License-Identifier: GPL-2.0-only
/**
 * The shape of the rcu_node tree as the kernel is built. Mirrors include/linux/rcu_node_tree.h (v5.7).
 *
 * In C the preprocessor computes it from NR_CPUS and two Kconfig numbers; here these three stand in the configuration.
 * A tree has at most four levels. Invariant: plain arithmetic, so that a configuration can be refused before boot.
 *
 * @module
 */

/** What the shape depends on; every configuration has it. */
export interface TreeShape {
  /** CONFIG_RCU_FANOUT */
  readonly fanout: number;
  /** CONFIG_RCU_FANOUT_LEAF */
  readonly fanoutLeaf: number;
  readonly nrCpus: number;
}

/** Children of an inner node. @mirrors include/linux/rcu_node_tree.h:RCU_FANOUT */
export function RCU_FANOUT(c: TreeShape): number {
  return c.fanout;
}

/** CPUs of a leaf. @mirrors include/linux/rcu_node_tree.h:RCU_FANOUT_LEAF */
export function RCU_FANOUT_LEAF(c: TreeShape): number {
  return c.fanoutLeaf;
}

/** CPUs that one level holds. @mirrors include/linux/rcu_node_tree.h:RCU_FANOUT_1 */
export function RCU_FANOUT_1(c: TreeShape): number {
  return RCU_FANOUT_LEAF(c);
}

/** CPUs that two levels hold. @mirrors include/linux/rcu_node_tree.h:RCU_FANOUT_2 */
export function RCU_FANOUT_2(c: TreeShape): number {
  return RCU_FANOUT_1(c) * RCU_FANOUT(c);
}

/** CPUs that three levels hold. @mirrors include/linux/rcu_node_tree.h:RCU_FANOUT_3 */
export function RCU_FANOUT_3(c: TreeShape): number {
  return RCU_FANOUT_2(c) * RCU_FANOUT(c);
}

/** CPUs that four levels hold: more cannot be built. @mirrors include/linux/rcu_node_tree.h:RCU_FANOUT_4 */
export function RCU_FANOUT_4(c: TreeShape): number {
  return RCU_FANOUT_3(c) * RCU_FANOUT(c);
}

/** Levels of the tree for NR_CPUS CPUs. @mirrors include/linux/rcu_node_tree.h:RCU_NUM_LVLS */
export function RCU_NUM_LVLS(c: TreeShape): number {
  if (c.nrCpus <= RCU_FANOUT_1(c)) return 1;
  if (c.nrCpus <= RCU_FANOUT_2(c)) return 2;
  if (c.nrCpus <= RCU_FANOUT_3(c)) return 3;
  return 4;
}

/** Nodes of each level, root first. @mirrors include/linux/rcu_node_tree.h:NUM_RCU_LVL_0 */
export function NUM_RCU_LVL_INIT(c: TreeShape): number[] {
  const capacities = [RCU_FANOUT_1(c), RCU_FANOUT_2(c), RCU_FANOUT_3(c), RCU_FANOUT_4(c)];
  return levelSizes(c.nrCpus, capacities.slice(0, RCU_NUM_LVLS(c)));
}

/** Nodes that the built kernel has room for. @mirrors include/linux/rcu_node_tree.h:NUM_RCU_NODES */
export function NUM_RCU_NODES(c: TreeShape): number {
  return NUM_RCU_LVL_INIT(c).reduce((sum, n) => sum + n, 0);
}

/**
 * Nodes of each level, root first, for `cpus` CPUs when level i from the bottom holds `capacities[i]` CPUs a node.
 *
 * @invented the arithmetic that the preprocessor and rcu_init_geometry() share
 */
export function levelSizes(cpus: number, capacities: readonly number[]): number[] {
  return capacities.map((capacity) => Math.ceil(cpus / capacity)).reverse();
}
