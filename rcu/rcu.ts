// SPDX-License-Identifier: GPL-2.0-only
/**
 * What every RCU shares. Mirrors struct rcu_head of include/linux/types.h and the debug-object part of kernel/rcu/rcu.h
 * (v5.7, names of the series).
 *
 * @module
 */

import type { VirtAddr } from "../kernel/machine/brand.ts";
import { type Layout, ptr, struct } from "../kernel/machine/struct.ts";
import type { FieldType } from "../kernel/machine/struct.ts";
import { firstTime } from "../kernel/bug.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { dumpStackLines, KERN_WARNING, report } from "../kernel/printk.ts";
import { KERNEL_STATIC, type StaticKey } from "../kernel/static.ts";

/**
 * 16 bytes: next callback, and the function, or the byte offset of the head in an object that is only to be freed.
 *
 * @mirrors include/linux/types.h:callback_head
 */
export const rcu_head: Layout<{ next: FieldType<VirtAddr>; func: FieldType<VirtAddr> }> = struct("rcu_head", {
  next: ptr, // next callback on the list, or NULL
  func: ptr, // text address of the callback, or an offset below 4096
});

/** Offsets below this are offsets, above it functions. */
const KVFREE_RCU_OFFSET_LIMIT = 4096;

/** Whether a stored func means "free the object that starts this many bytes before". @mirrors include/linux/rcupdate.h:__is_kvfree_rcu_offset */
export function __is_kvfree_rcu_offset(offset: number): boolean {
  return offset < KVFREE_RCU_OFFSET_LIMIT;
}

/** Debug objects of type rcu_head that are queued, by address. */
const rcuhead_active = KERNEL_STATIC("rcuhead_debug_objects", () => new Set<number>());

export const statics: readonly StaticKey[] = [rcuhead_active];

/**
 * Notes that `head` is queued. Returns 0, or -1 and a report when it already is.
 *
 * @mirrors kernel/rcu/rcu.h:debug_rcu_head_queue
 */
export function debug_rcu_head_queue(k: Kernel, head: number): number {
  if (!k.config.debugObjects) return 0;
  if (!rcuhead_active(k).has(head)) {
    rcuhead_active(k).add(head);
    return 0;
  }
  const title = "ODEBUG: activate active (active state 1) object type: rcu_head hint: 0x0";
  report(k, KERN_WARNING, title, [title, ...dumpStackLines(k)]);
  return -1;
}

/** Notes that `head` is not queued any more. @mirrors kernel/rcu/rcu.h:debug_rcu_head_unqueue */
export function debug_rcu_head_unqueue(k: Kernel, head: number): void {
  if (k.config.debugObjects) rcuhead_active(k).delete(head);
}

/**
 * An RCU rule was broken: reported once for each place.
 *
 * @mirrors include/linux/rcupdate.h:RCU_LOCKDEP_WARN
 * @simplified the list of held locks is not kept yet
 */
export function RCU_LOCKDEP_WARN(k: Kernel, condition: boolean, text: string): void {
  if (!condition || !k.config.debug || !firstTime(k, `rcu_lockdep:${text}`)) return;
  const p = k.cpu.current;
  report(k, KERN_WARNING, "WARNING: suspicious RCU usage", [
    "",
    "=============================",
    "WARNING: suspicious RCU usage",
    "5.7.0-quiesce #1 Not tainted",
    "-----------------------------",
    `${text}!`,
    "",
    "other info that might help us debug this:",
    "",
    "",
    "rcu_scheduler_active = 2, debug_locks = 1",
    `no locks held by ${p.comm}/${p.pid}.`,
    "",
    "stack backtrace:",
    ...dumpStackLines(k),
  ]);
}
