// SPDX-License-Identifier: GPL-2.0-only
/**
 * /proc/sys/vm/drop_caches: memory back on request. Mirrors fs/drop_caches.c (v5.7).
 *
 * There is no page cache, so bit 0 finds nothing; bit 1 calls the shrinkers. Left out: nothing else.
 *
 * @module
 */

import type { MaySleep } from "../kernel/machine/effects.ts";
import { EINVAL } from "../kernel/errno.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { pr_info } from "../kernel/printk.ts";
import { current } from "../kernel/sched/sched.ts";
import { KERNEL_STATIC, type KernelStatic, type StaticKey } from "../kernel/static.ts";
import { count_vm_event, DROP_SLAB } from "./vmstat.ts";
import { drop_slab } from "./vmscan.ts";

/** Nobody wants to read about it any more. */
const stfu: KernelStatic<boolean> = KERNEL_STATIC<boolean>("drop_caches.stfu", () => false);

export const statics: readonly StaticKey[] = [stfu];

/**
 * `echo value > /proc/sys/vm/drop_caches`: 1 page cache, 2 slab, 3 both; 4 added to them says nothing from now on.
 * Returns 0 or -EINVAL.
 *
 * Context: process context. Sleeps.
 *
 * @mirrors fs/drop_caches.c:drop_caches_sysctl_handler
 */
export function* drop_caches_sysctl_handler(k: Kernel, value: number): MaySleep<number> {
  if (!Number.isSafeInteger(value) || value < 1 || value > 4) return -EINVAL;
  if ((value & 2) !== 0) {
    yield* drop_slab(k);
    count_vm_event(k, DROP_SLAB);
  }
  const { comm, pid } = current(k);
  if (!stfu(k)) pr_info(k, `${comm} (${pid}): drop_caches: ${value}`);
  if ((value & 4) !== 0) stfu.set(k, true);
  return 0;
}
