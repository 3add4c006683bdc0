// SPDX-License-Identifier: GPL-2.0-only
/**
 * How far boot has come. Mirrors system_state of include/linux/kernel.h (v5.7) and rcu_scheduler_active of kernel/rcu.
 *
 * @module
 */

import type { Kernel } from "./kernel.ts";
import { KERNEL_STATIC, type KernelStatic, type StaticKey } from "./static.ts";

export const SYSTEM_BOOTING = 0;
export const SYSTEM_SCHEDULING = 1;
export const SYSTEM_RUNNING = 2;

export const RCU_SCHEDULER_INACTIVE = 0;
export const RCU_SCHEDULER_INIT = 1;
export const RCU_SCHEDULER_RUNNING = 2;

/** @mirrors init/main.c:system_state */
export const system_state: KernelStatic<number> = KERNEL_STATIC("system_state", () => SYSTEM_BOOTING);

/** @mirrors kernel/rcu/tree.c:rcu_scheduler_active */
export const rcu_scheduler_active: KernelStatic<number> = KERNEL_STATIC(
  "rcu_scheduler_active",
  () => RCU_SCHEDULER_INACTIVE,
);

export const statics: readonly StaticKey[] = [system_state, rcu_scheduler_active];

/** Whether sleeping checks make sense yet. @invented `system_state == SYSTEM_BOOTING` in ___might_sleep() */
export function runtimeStarted(k: Kernel): boolean {
  return system_state(k) !== SYSTEM_BOOTING;
}
