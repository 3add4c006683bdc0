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
}

export const MIN_MEM: number = 8 * 2 ** 20;
export const MAX_MEM: number = 4 * 2 ** 30;
export const MAX_CPUS = 4096;
export const MIN_HZ = 12;
export const MAX_HZ = 10000;

/** Thrown for a configuration that cannot be; the message is one line for the user. */
export class ConfigError extends RangeError {
  override readonly name: string = "ConfigError";
}

/** Fills in defaults and refuses what is impossible. */
export function checkConfig(wanted: Partial<Config>): Config {
  const rcu = wanted.rcu ?? "tiny";
  const config: Config = {
    cpus: wanted.cpus ?? (rcu === "tiny" ? 1 : 4),
    memBytes: wanted.memBytes ?? 256 * 2 ** 20,
    HZ: wanted.HZ ?? 250,
    rcu,
    preempt: wanted.preempt ?? "none",
    level: wanted.level ?? "7/7",
    seed: wanted.seed ?? 1,
    policy: wanted.policy ?? POLICY_TIME,
    kasan: wanted.kasan ?? false,
    debug: wanted.debug ?? true,
    debugObjects: wanted.debugObjects ?? false,
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
  if (rcu === "tree") throw new ConfigError("rcu tree is not there yet: use --rcu tiny");
  if (config.level !== "7/7") throw new ConfigError(`level ${config.level} is not there yet: 7/7 is`);
  if (config.kasan) throw new ConfigError("kasan is not there yet: the validity shadow is always on");
  return Object.freeze(config);
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
