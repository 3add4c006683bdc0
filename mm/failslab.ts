// SPDX-License-Identifier: GPL-2.0-only
/**
 * Making slab allocations fail. Mirrors mm/failslab.c (v5.7), with the exact rules of kernel/fault_inject.ts in front.
 *
 * Invariant: the cache of caches never fails, nor does __GFP_NOFAIL; by default neither does a request that may sleep.
 * The exact rules ask for none of that: who names a failure gets it.
 *
 * Left out: the debugfs files (their names are the fields here).
 *
 * @module
 */

import { ___GFP_DIRECT_RECLAIM, ___GFP_NOFAIL, type Gfp } from "../kernel/gfp.ts";
import {
  failRulesExist,
  fault_attr,
  setup_fault_attr,
  should_fail,
  shouldFailExactly,
} from "../kernel/fault_inject.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { current } from "../kernel/sched/sched.ts";
import { KERNEL_STATIC, type KernelStatic, type StaticKey } from "../kernel/static.ts";
import { boot_kmem_cache, type kmem_cache, SLAB_FAILSLAB } from "./slab.ts";

/** What fails, beyond the attributes common to all kinds. @mirrors mm/failslab.c:failslab */
export class failslab_t {
  readonly attr: fault_attr = new fault_attr("failslab");
  /** Requests that may sleep do not fail; debugfs calls it ignore-gfp-wait. */
  ignore_gfp_reclaim = true;
  /** Only caches marked SLAB_FAILSLAB fail. */
  cache_filter = false;
}

/** @mirrors mm/failslab.c:failslab */
export const failslab: KernelStatic<failslab_t> = KERNEL_STATIC("failslab", () => new failslab_t());

export const statics: readonly StaticKey[] = [failslab];

/**
 * Whether anything could make an allocation fail on purpose; the guard of the fast paths.
 *
 * @invented CONFIG_FAILSLAB is off in kernels that must be quick
 */
export function failslabArmed(k: Kernel): boolean {
  return failRulesExist(k) || failslab(k).attr.probability !== 0 || current(k).fail_nth > 0;
}

/**
 * Whether this allocation fails now.
 *
 * @mirrors mm/failslab.c:__should_failslab
 */
export function __should_failslab(k: Kernel, s: kmem_cache, gfpflags: Gfp): boolean {
  if (s === boot_kmem_cache(k)) return false;
  if ((gfpflags & ___GFP_NOFAIL) !== 0) return false;
  const { attr, ignore_gfp_reclaim, cache_filter } = failslab(k);
  if (ignore_gfp_reclaim && (gfpflags & ___GFP_DIRECT_RECLAIM) !== 0) return false;
  if (cache_filter && (s.flags & SLAB_FAILSLAB) === 0) return false;
  return should_fail(k, attr, s.object_size);
}

/**
 * Whether an exact rule says that this allocation fails.
 *
 * @invented see kernel/fault_inject.ts
 */
export function failslabRule(k: Kernel, s: kmem_cache, gfpflags: Gfp): boolean {
  if (!failRulesExist(k)) return false;
  return shouldFailExactly(k, "slab", { cache: s.name, size: s.object_size, gfp: gfpflags });
}

/** Boot parameter failslab=<interval>,<probability>,<space>,<times>. @mirrors mm/failslab.c:setup_failslab */
export function setup_failslab(k: Kernel, str: string): boolean {
  return setup_fault_attr(k, failslab(k).attr, str);
}
