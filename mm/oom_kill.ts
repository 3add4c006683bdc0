// SPDX-License-Identifier: GPL-2.0-only
/**
 * Out of memory. Mirrors the entry points of mm/oom_kill.c (v5.7).
 *
 * Nothing is killed yet: out_of_memory() reports no progress and the request fails. A kernel without killable tasks
 * would panic instead.
 *
 * @module
 */

import type { Kernel } from "../kernel/kernel.ts";
import type { task_struct } from "../kernel/sched/sched.ts";

/** The request that found no memory. @mirrors include/linux/oom.h:oom_control */
export interface oom_control {
  readonly gfp_mask: number;
  readonly order: number;
}

/**
 * Makes somebody give memory back. Returns whether there was progress.
 *
 * Context: process context, oom_lock held.
 *
 * @mirrors mm/oom_kill.c:out_of_memory
 * @simplified no task is killed and nothing panics: there is never progress
 */
export function out_of_memory(_k: Kernel, _oc: oom_control): boolean {
  return false;
}

/** @mirrors include/linux/oom.h:tsk_is_oom_victim */
export function tsk_is_oom_victim(_tsk: task_struct): boolean {
  return false;
}
