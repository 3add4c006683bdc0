// SPDX-License-Identifier: GPL-2.0-only
/**
 * kvfree_rcu() as the header of one level declares it: what a program may call is then checked by the compiler.
 *
 * ```ts
 * const k = boot({ level: "v6.5" });
 * const { kvfree_rcu_mightsleep } = kvfreeApi(k, "v6.5"); // kvfree_rcu(k, p) would not compile
 * ```
 *
 * @invented in C there is one header
 * @module
 */

import type { Ptr, VirtAddr } from "../../kernel/machine/brand.ts";
import type { Atomic, MaySleep } from "../../kernel/machine/effects.ts";
import type { Fields, Layout } from "../../kernel/machine/struct.ts";
import type { Level } from "../../kernel/config.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import {
  kfree_rcu,
  kfree_rcu_mightsleep,
  kvfree_rcu,
  kvfree_rcu_barrier,
  kvfree_rcu_mightsleep,
} from "../rcupdate.ts";

/** With the rcu_head that the object has: never sleeps. @invented see the file */
export interface WithHead {
  <F extends Fields>(k: Kernel, p: Ptr<Layout<F>>, layout: Layout<F>, rhf: keyof F & string): Atomic<void>;
}

/** The pointer alone: may sleep. @invented see the file */
export interface Headless {
  (k: Kernel, p: VirtAddr): MaySleep<void>;
}

type V5_13ToV6_3 = "v5.13" | "v5.14" | "v6.1" | "v6.1.192" | "v6.3-rc1" | "v6.3";
type From7To6_3 = "7/7" | "v5.9" | "v5.11" | V5_13ToV6_3;
type From6_3 = "v6.3-rc1" | "v6.3" | "v6.5" | "v6.12";

/** The calls of level `L`. @invented see the file */
export type KvfreeApi<L extends Level> =
  & {
    readonly kfree_rcu: WithHead & (L extends V5_13ToV6_3 ? Headless : unknown);
    readonly kvfree_rcu: WithHead & (L extends From7To6_3 ? Headless : unknown);
  }
  & (L extends From6_3 ? { readonly kfree_rcu_mightsleep: Headless; readonly kvfree_rcu_mightsleep: Headless }
    : unknown)
  & (L extends "v6.12" ? { readonly kvfree_rcu_barrier: (k: Kernel) => MaySleep<void> } : unknown);

/**
 * The calls of `level`, which must be the kernel's.
 *
 * Fails: RangeError for a kernel of another level.
 *
 * @invented see the file
 */
export function kvfreeApi<const L extends Level>(k: Kernel, level: L): KvfreeApi<L> {
  if (k.config.level !== level) {
    throw new RangeError(
      `kvfreeApi("${level}") for a kernel at level ${k.config.level}: they must be the same`,
    );
  }
  return {
    kfree_rcu,
    kvfree_rcu,
    kfree_rcu_mightsleep,
    kvfree_rcu_mightsleep,
    kvfree_rcu_barrier,
  } as unknown as KvfreeApi<L>;
}
