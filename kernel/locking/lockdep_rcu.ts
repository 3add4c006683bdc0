// SPDX-License-Identifier: GPL-2.0-only
/**
 * What PROVE_RCU needs below RCU: the lockdep maps of readers and callbacks, and the report "suspicious RCU usage". Mirrors
 * the lockdep part of kernel/rcu/update.c, include/linux/rcupdate.h and lockdep_rcu_suspicious() of lockdep.c (v5.7).
 *
 * It is in kernel/ because the scheduler asks whether it switches in a reader. rcu/update.ts passes it on.
 *
 * Invariant: a rule broken at one place is reported once in a boot, and asking never changes the run.
 *
 * @module
 */

import { debug_locks, firstTime } from "../bug.ts";
import type { Kernel } from "../kernel.ts";
import { dumpStackLines, KERN_WARNING, report } from "../printk.ts";
import type { task_struct } from "../sched/sched.ts";
import { isNotHelper, shortFileOf, stackFrames } from "../stacktrace.ts";
import { KERNEL_STATIC, type KernelStatic, type StaticKey } from "../static.ts";
import { rcu_scheduler_active, RCU_SCHEDULER_INACTIVE } from "../system_state.ts";
import {
  LD_WAIT_CONFIG,
  LD_WAIT_FREE,
  LD_WAIT_INV,
  LD_WAIT_SPIN,
  lock_acquire,
  lock_is_held,
  lock_release,
  lockdep_map,
  lockdep_print_held_locks,
  print_kernel_ident,
} from "./lockdep.ts";

type MapStatic = KernelStatic<lockdep_map>;

/** Held in rcu_read_lock(). @mirrors kernel/rcu/update.c:rcu_lock_map */
export const rcu_lock_map: MapStatic = KERNEL_STATIC(
  "rcu_lock_map",
  () => new lockdep_map("rcu_read_lock", LD_WAIT_FREE, LD_WAIT_CONFIG),
);
/** Held in rcu_read_lock_bh(). @mirrors kernel/rcu/update.c:rcu_bh_lock_map */
export const rcu_bh_lock_map: MapStatic = KERNEL_STATIC(
  "rcu_bh_lock_map",
  () => new lockdep_map("rcu_read_lock_bh", LD_WAIT_FREE, LD_WAIT_CONFIG),
);
/** Held in rcu_read_lock_sched(). @mirrors kernel/rcu/update.c:rcu_sched_lock_map */
export const rcu_sched_lock_map: MapStatic = KERNEL_STATIC(
  "rcu_sched_lock_map",
  () => new lockdep_map("rcu_read_lock_sched", LD_WAIT_FREE, LD_WAIT_SPIN),
);
/** Held while a callback runs. @mirrors kernel/rcu/update.c:rcu_callback_map */
export const rcu_callback_map: MapStatic = KERNEL_STATIC(
  "rcu_callback_map",
  () => new lockdep_map("rcu_callback", LD_WAIT_INV, LD_WAIT_INV),
);

/** How often a rule was broken, by its text; see MOST_LOOKS. */
const broken = KERNEL_STATIC("rcu_lockdep_broken", () => new Map<string, number>());

export const statics: readonly StaticKey[] = [
  rcu_lock_map,
  rcu_bh_lock_map,
  rcu_sched_lock_map,
  rcu_callback_map,
  broken,
];

/** A reader, or a callback, begins. @mirrors include/linux/rcupdate.h:rcu_lock_acquire */
export function rcu_lock_acquire(k: Kernel, map: MapStatic): void {
  if (k.config.debug) lock_acquire(k, map(k), false, 2, false);
}

/** It ends. @mirrors include/linux/rcupdate.h:rcu_lock_release */
export function rcu_lock_release(k: Kernel, map: MapStatic): void {
  if (k.config.debug) lock_release(k, map(k));
}

/**
 * Whether the checks mean anything: debugging is on, lock debugging has not given up, and the scheduler runs.
 *
 * @mirrors kernel/rcu/update.c:debug_lockdep_rcu_enabled
 */
export function debug_lockdep_rcu_enabled(k: Kernel): boolean {
  return k.config.debug && debug_locks(k) && rcu_scheduler_active(k) !== RCU_SCHEDULER_INACTIVE;
}

/** A rule that is broken again and again is looked at so often; each look costs tens of microseconds. */
const MOST_LOOKS = 1000;

/**
 * An RCU rule was broken: reported once for each place, when checks are on.
 *
 * @mirrors include/linux/rcupdate.h:RCU_LOCKDEP_WARN
 * @simplified after a thousand times new places do not count
 */
export function RCU_LOCKDEP_WARN(k: Kernel, condition: boolean, text: string): void {
  if (!condition || !debug_lockdep_rcu_enabled(k)) return;
  const times = broken(k).get(text) ?? 0;
  if (times >= MOST_LOOKS) return;
  broken(k).set(text, times + 1);
  const place = placeOfUse();
  if (firstTime(k, `rcu_lockdep:${place}:${text}`)) lockdep_rcu_suspicious(k, place, text);
}

/** Macros in C: the place is that of who uses them. */
const MACROS =
  /^(__)?rcu_(dereference(_(bh|sched))?(_check|_protected)?|replace_pointer|(preempt_)?sleep_check)$|^RCU_LOCKDEP_WARN$/;

/** Files of the machinery behind the report. */
const MACHINERY = /^kernel\/(locking\/lockdep_rcu|bug|printk|stacktrace)\.ts$/;

/**
 * `FILE:LINE` of the innermost frame that is not a macro; in the kernel's own files, where a line says little, the
 * function's name.
 */
function placeOfUse(): string {
  const frame = stackFrames(PLACE_FRAMES, true).find((f) =>
    isNotHelper(f) && !MACROS.test(f.name) && !MACHINERY.test(shortFileOf(f))
  );
  if (frame === undefined) return "?";
  const file = shortFileOf(frame);
  return `${file}:${KERNEL_FILE.test(file) ? frame.name : frame.line}`;
}

const KERNEL_FILE = /^(kernel|mm|rcu|init)\//;
/** Frames between the report and the place, with room for macros in macros. */
const PLACE_FRAMES = 16;

/** Reports a switch in a reader of any kind. @mirrors include/linux/rcupdate.h:rcu_sleep_check */
export function rcu_sleep_check(k: Kernel): void {
  if (!k.config.debug || (k.cpu.current as task_struct).lockdep_depth === 0) return;
  if (k.config.preempt === "none" && lock_is_held(k, rcu_lock_map(k))) {
    RCU_LOCKDEP_WARN(k, true, "Illegal context switch in RCU read-side critical section");
  }
  if (lock_is_held(k, rcu_bh_lock_map(k))) {
    RCU_LOCKDEP_WARN(k, true, "Illegal context switch in RCU-bh read-side critical section");
  }
  if (lock_is_held(k, rcu_sched_lock_map(k))) {
    RCU_LOCKDEP_WARN(k, true, "Illegal context switch in RCU-sched read-side critical section");
  }
}

/**
 * Whether the current context is a reader that was marked as one, of any kind.
 *
 * @invented three conditions that stand together in C
 */
export function inMarkedReader(k: Kernel): boolean {
  if (!k.config.debug || (k.cpu.current as task_struct).lockdep_depth === 0) return false;
  return lock_is_held(k, rcu_bh_lock_map(k)) || lock_is_held(k, rcu_lock_map(k)) ||
    lock_is_held(k, rcu_sched_lock_map(k));
}

/** The report. @mirrors kernel/locking/lockdep.c:lockdep_rcu_suspicious */
function lockdep_rcu_suspicious(k: Kernel, place: string, text: string): void {
  const title = "WARNING: suspicious RCU usage";
  const watching = k.rcu.rcu_is_watching(k);
  const online = k.rcu.rcu_lockdep_current_cpu_online(k);
  report(k, KERN_WARNING, title, [
    "",
    "=============================",
    title,
    print_kernel_ident(),
    "-----------------------------",
    `${place} ${text}!`,
    "",
    "other info that might help us debug this:",
    "",
    "",
    ...(!online
      ? ["RCU used illegally from offline CPU!"]
      : !watching
      ? ["RCU used illegally from idle CPU!"]
      : []),
    `rcu_scheduler_active = ${rcu_scheduler_active(k)}, debug_locks = ${debug_locks(k) ? 1 : 0}`,
    ...(watching ? [] : ["RCU used illegally from extended quiescent state!"]),
    ...lockdep_print_held_locks(k.cpu.current as task_struct),
    "",
    "stack backtrace:",
    ...dumpStackLines(k),
  ]);
}
