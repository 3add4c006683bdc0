// SPDX-License-Identifier: GPL-2.0-only
/**
 * What a machine is built and booted with: the emulator's Kconfig and command line in one frozen record.
 *
 * Invariant: a `Config` that exists is possible. `checkConfig()` is the only way to make one, and it refuses impossible
 * combinations in one line that says what is allowed.
 *
 * @invented Kconfig and the command line as one record
 * @module
 */

import { POLICIES, type Policy, POLICY_TIME } from "./machine/chooser.ts";
import { levelSizes, NUM_RCU_NODES, RCU_FANOUT_4, RCU_NUM_LVLS, type TreeShape } from "./rcu_node_tree.ts";

/** kvfree_rcu's history: the levels that can be named. */
export const LEVELS = [
  "base",
  "1/7",
  "2/7",
  "3/7",
  "4/7",
  "5/7",
  "6/7",
  "7/7",
  "v5.9",
  "v5.11",
  "v5.13",
  "v5.14",
  "v6.1",
  "v6.1.192",
  "v6.3-rc1",
  "v6.3",
  "v6.5",
  "v6.12",
] as const;
export type Level = typeof LEVELS[number];

/** Whether `level` is `first` or comes after it in the list. v6.1.192 counts as one of 6.1. */
export function levelAtLeast(level: Level, first: Level): boolean {
  return LEVELS.indexOf(level) >= LEVELS.indexOf(first);
}

/** Which RCU; "none" is internal: hooks that do nothing, call_rcu refused. */
export type RcuChoice = "tree" | "tiny" | "none";
export type PreemptChoice = "none" | "full";

export interface Config {
  readonly cpus: number;
  readonly memBytes: number;
  readonly HZ: number;
  readonly rcu: RcuChoice;
  readonly preempt: PreemptChoice;
  readonly level: Level;
  readonly seed: number;
  readonly policy: Policy;
  /** Red zones, quarantine and the kernel's report format. */
  readonly kasan: boolean;
  /** DEBUG_ATOMIC_SLEEP and PROVE_RCU. */
  readonly debug: boolean;
  /** DEBUG_OBJECTS_RCU_HEAD. */
  readonly debugObjects: boolean;
  /** CONFIG_RCU_FANOUT: children of an inner rcu_node. */
  readonly fanout: number;
  /** CONFIG_RCU_FANOUT_LEAF: CPUs of a leaf rcu_node, as built. */
  readonly fanoutLeaf: number;
  /** CONFIG_NR_CPUS: for how many CPUs the kernel is built. */
  readonly nrCpus: number;
  /** rcutree.rcu_fanout_leaf: another number of CPUs of a leaf at boot, 0 to keep the built one. */
  readonly bootFanoutLeaf: number;
  /** rcutree.rcu_fanout_exact: full leaves, the last one takes the rest. */
  readonly fanoutExact: boolean;
  /** rcutree.dump_tree: print the rcu_node tree at boot. */
  readonly dumpTree: boolean;
  /** CONFIG_DEBUG_KMEMLEAK. */
  readonly kmemleak: boolean;
  /** CONFIG_PROVE_RAW_LOCK_NESTING. */
  readonly rawLockNesting: boolean;
  /** rcutree.rcu_min_cached_objs: spare pages of a CPU from v5.9 on; -1 for what the level has. */
  readonly rcuMinCachedObjs: number;
  /** rcutree.rcu_delay_page_cache_fill_msec: back-off after a shrinker, from v5.14 on; the kernel clamps it. */
  readonly rcuDelayPageCacheFillMsec: number;
  /** rcupdate.rcu_self_test: boot gives a callback to call_rcu() and an object to kfree_rcu() before RCU is ready. */
  readonly rcuSelfTest: boolean;
  /** Ours: objects that a driver gives to kvfree_rcu() in an early initcall, without an rcu_head where the level allows. */
  readonly earlyDriver: number;
}

export const MIN_MEM: number = 8 * 2 ** 20;
export const MAX_MEM: number = 4 * 2 ** 30;
export const MAX_CPUS = 4096;
export const MIN_HZ = 12;
export const MAX_HZ = 10000;
export const MIN_FANOUT = 2;
export const MAX_FANOUT = 64;
/** "As many spare pages as the level has": 2 at v5.9, 5 later. */
export const LEVEL_CACHED_OBJS = -1;
const MAX_CACHED_OBJS = 1000;
const MAX_EARLY_OBJECTS = 1000;
const DEFAULT_MEM: number = 256 * 2 ** 20;
/** What the boot of a machine takes for each CPU, with room to run something: measured, and rounded up. */
const MEM_PER_CPU: number = 96 * 2 ** 10;
/** What the kernel is built for at least, when the tree can hold it. */
const DEFAULT_NR_CPUS = 512;

/** Thrown for a configuration that cannot be; the message is one line for the user. */
export class ConfigError extends RangeError {
  override readonly name: string = "ConfigError";
}

/** Fills in defaults and refuses what is impossible. */
export function checkConfig(wanted: Partial<Config>): Config {
  const rcu = wanted.rcu ?? "tree";
  const cpus = wanted.cpus ?? (rcu === "tiny" ? 1 : 4);
  const fanout = wanted.fanout ?? 64;
  const fanoutLeaf = wanted.fanoutLeaf ?? 16;
  const config: Config = {
    cpus,
    memBytes: wanted.memBytes ?? Math.max(DEFAULT_MEM, leastMem(cpus)),
    HZ: wanted.HZ ?? 250,
    rcu,
    preempt: wanted.preempt ?? "none",
    level: wanted.level ?? "7/7",
    seed: wanted.seed ?? 1,
    policy: wanted.policy ?? POLICY_TIME,
    kasan: wanted.kasan ?? false,
    debug: wanted.debug ?? true,
    debugObjects: wanted.debugObjects ?? false,
    fanout,
    fanoutLeaf,
    nrCpus: wanted.nrCpus ?? defaultNrCpus(cpus, { fanout, fanoutLeaf, nrCpus: cpus }),
    bootFanoutLeaf: wanted.bootFanoutLeaf ?? 0,
    fanoutExact: wanted.fanoutExact ?? false,
    dumpTree: wanted.dumpTree ?? false,
    kmemleak: wanted.kmemleak ?? false,
    rawLockNesting: wanted.rawLockNesting ?? false,
    rcuMinCachedObjs: wanted.rcuMinCachedObjs ?? LEVEL_CACHED_OBJS,
    rcuDelayPageCacheFillMsec: wanted.rcuDelayPageCacheFillMsec ?? 5000,
    rcuSelfTest: wanted.rcuSelfTest ?? false,
    earlyDriver: wanted.earlyDriver ?? 0,
  };
  requireInteger("cpus", config.cpus, 1, MAX_CPUS);
  requireInteger("hz", config.HZ, MIN_HZ, MAX_HZ);
  requireInteger("seed", config.seed, 0, Number.MAX_SAFE_INTEGER);
  if (!Number.isSafeInteger(config.memBytes) || config.memBytes < MIN_MEM || config.memBytes > MAX_MEM) {
    throw new ConfigError(`mem ${config.memBytes} bytes is out of range: 8M to 4G is allowed`);
  }
  if (config.memBytes % 4096 !== 0) {
    throw new ConfigError(`mem ${config.memBytes} bytes is not a multiple of 4K`);
  }
  if (config.memBytes < leastMem(cpus)) {
    throw new ConfigError(
      `mem ${config.memBytes / 2 ** 20}M is too little for ${cpus} CPUs: ${
        leastMem(cpus) / 2 ** 20
      }M is needed`,
    );
  }
  checkTree(config);
  requireOneOf("rcu", rcu, ["tiny", "tree", "none"]);
  requireOneOf("preempt", config.preempt, ["none", "full"]);
  requireOneOf("level", config.level, LEVELS);
  requireOneOf("policy", config.policy.name, POLICIES.map((p) => p.name));
  if (rcu === "tiny" && config.cpus !== 1) {
    throw new ConfigError(`rcu tiny runs on 1 CPU, not ${config.cpus}: use --cpus 1`);
  }
  if (rcu === "tiny" && config.preempt !== "none") {
    throw new ConfigError("rcu tiny needs preempt none: tiny RCU exists only without preemption");
  }
  requireInteger("rcu_min_cached_objs", config.rcuMinCachedObjs, LEVEL_CACHED_OBJS, MAX_CACHED_OBJS);
  requireInteger("rcu_delay_page_cache_fill_msec", config.rcuDelayPageCacheFillMsec, 0, 2 ** 31 - 1);
  requireInteger("early-driver", config.earlyDriver, 0, MAX_EARLY_OBJECTS);
  return Object.freeze(config);
}

/** Bytes of RAM without which so many CPUs do not boot, in whole MiB. */
function leastMem(cpus: number): number {
  return Math.max(MIN_MEM, Math.ceil((cpus * MEM_PER_CPU) / 2 ** 20) * 2 ** 20);
}

/** 512 or the number of CPUs, or what four levels can hold where that is less. */
function defaultNrCpus(cpus: number, shape: TreeShape): number {
  return Math.max(cpus, Math.min(DEFAULT_NR_CPUS, RCU_FANOUT_4(shape)));
}

/** The rcu_node tree must be one that the kernel builds, with room for the CPUs. */
function checkTree(config: Config): void {
  requireInteger("fanout", config.fanout, MIN_FANOUT, MAX_FANOUT);
  requireInteger("fanout-leaf", config.fanoutLeaf, MIN_FANOUT, MAX_FANOUT);
  requireInteger("nr-cpus", config.nrCpus, config.cpus, MAX_CPUS);
  requireInteger("rcu_fanout_leaf", config.bootFanoutLeaf, 0, Number.MAX_SAFE_INTEGER);
  const { fanout, fanoutLeaf, nrCpus, cpus, bootFanoutLeaf } = config;
  const most = RCU_FANOUT_4(config);
  if (nrCpus > most) {
    throw new ConfigError(
      `fanout ${fanout} with fanout-leaf ${fanoutLeaf} holds ${most} CPUs in four levels, not ${nrCpus}`,
    );
  }
  // The kernel itself falls back, with a warning, from what it cannot build at boot.
  if (bootFanoutLeaf < MIN_FANOUT || bootFanoutLeaf > MAX_FANOUT) return;
  const capacities = [bootFanoutLeaf];
  while (capacities[capacities.length - 1] < cpus && capacities.length < RCU_NUM_LVLS(config)) {
    capacities.push(capacities[capacities.length - 1] * fanout);
  }
  if (capacities[capacities.length - 1] < cpus) return;
  const nodes = levelSizes(cpus, capacities).reduce((sum, n) => sum + n, 0);
  if (nodes > NUM_RCU_NODES(config)) {
    throw new ConfigError(
      `rcu_fanout_leaf ${bootFanoutLeaf} needs ${nodes} rcu_nodes, the kernel has room for ${
        NUM_RCU_NODES(config)
      }`,
    );
  }
}

function requireInteger(name: string, value: number, min: number, max: number): void {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw new ConfigError(`${name} ${value} is out of range: ${min} to ${max} is allowed`);
  }
}

function requireOneOf(name: string, value: string, allowed: readonly string[]): void {
  if (!allowed.includes(value)) {
    throw new ConfigError(`${name} "${value}" does not exist: ${allowed.join(", ")} are allowed`);
  }
}
