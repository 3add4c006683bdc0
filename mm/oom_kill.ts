// SPDX-License-Identifier: GPL-2.0-only
/**
 * Out of memory. Mirrors mm/oom_kill.c and include/linux/oom.h (v5.7).
 *
 * Whoever finds no memory calls out_of_memory(): notifiers may give some back; else the task with the most user memory is
 * the victim and may use the reserves. Kernel threads are never victims, and a machine on which there is nothing else
 * panics: it is deadlocked on memory.
 *
 * Left out: the OOM reaper, memory cgroups, cpusets and memory policies, panic_on_oom, sysrq. There are no signals: a victim
 * is marked and reported, and dies when its own code looks (tsk_is_oom_victim()).
 *
 * @module
 */

import { PAGE_SIZE } from "../kernel/machine/addr.ts";
import type { MaySleep } from "../kernel/machine/effects.ts";
import { panic } from "../kernel/bug.ts";
import { for_each_process } from "../kernel/fork.ts";
import { ___GFP_FS, show_gfp_flags } from "../kernel/gfp.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { dumpStackLines, KERN_WARNING, pr_err, pr_info, pr_warn, report } from "../kernel/printk.ts";
import { ___ratelimit, ratelimit_state } from "../kernel/ratelimit.ts";
import { current, type mm_struct, PF_KTHREAD, type task_struct } from "../kernel/sched/sched.ts";
import { KERNEL_STATIC, type KernelStatic, type StaticKey } from "../kernel/static.ts";
import { K } from "./mmzone.ts";
import { _totalram_pages, memInfoLines } from "./page_alloc.ts";
import { dump_unreclaimable_slab } from "./slab_common.ts";
import { count_vm_event, OOM_KILL } from "./vmstat.ts";

/** A task with this adjustment is never killed. @mirrors include/uapi/linux/oom.h:OOM_SCORE_ADJ_MIN */
export const OOM_SCORE_ADJ_MIN = -1000;

/** The request that found no memory, and who is to pay. @mirrors include/linux/oom.h:oom_control */
export class oom_control {
  totalpages = 0;
  chosen: task_struct | null = null;
  chosen_points = 0;
  /** Set instead of `chosen` when a victim is already about to give memory back. */
  aborted = false;

  constructor(readonly gfp_mask: number, readonly order: number) {}
}

/** Is asked before anybody is killed; returns how many pages it gave back. */
export type oom_notifier_t = (k: Kernel) => MaySleep<number>;

const oom_notify_list: KernelStatic<oom_notifier_t[]> = KERNEL_STATIC("oom_notify_list", () => []);
const oom_rs = KERNEL_STATIC("oom_rs", () => new ratelimit_state(5e9, 10));

export const statics: readonly StaticKey[] = [oom_notify_list, oom_rs];

/** Whether the task has been chosen and may use the reserves. @mirrors include/linux/oom.h:tsk_is_oom_victim */
export function tsk_is_oom_victim(tsk: task_struct): boolean {
  return tsk.oom_mm !== null;
}

/** Pages of user memory that a task has resident. @mirrors include/linux/mm.h:get_mm_rss */
function get_mm_rss(mm: mm_struct): number {
  return mm.anon_rss + mm.file_rss + mm.shmem_rss;
}

/** Pid 1 and kernel threads. @mirrors mm/oom_kill.c:oom_unkillable_task */
function oom_unkillable_task(p: task_struct): boolean {
  return p.pid === 1 || (p.flags & PF_KTHREAD) !== 0;
}

/**
 * How much the machine would gain: pages of user memory, page tables and swap, and the adjustment in thousandths of all
 * memory. 0: not to be killed.
 *
 * @mirrors mm/oom_kill.c:oom_badness
 */
export function oom_badness(p: task_struct, totalpages: number): number {
  const { mm } = p;
  if (oom_unkillable_task(p) || mm === null || p.oom_score_adj === OOM_SCORE_ADJ_MIN) return 0;
  const points = get_mm_rss(mm) + mm.swapents + Math.floor(mm.pgtables_bytes / PAGE_SIZE);
  return Math.max(1, points + p.oom_score_adj * Math.floor(totalpages / 1000));
}

/** @mirrors mm/oom_kill.c:oom_evaluate_task */
function oom_evaluate_task(task: task_struct, oc: oom_control): boolean {
  if (oom_unkillable_task(task)) return false;
  if (tsk_is_oom_victim(task)) {
    oc.chosen = null;
    oc.aborted = true;
    return true;
  }
  const points = oom_badness(task, oc.totalpages);
  if (points === 0 || points < oc.chosen_points) return false;
  oc.chosen = task;
  oc.chosen_points = points;
  return false;
}

/** Chooses who is to be killed. @mirrors mm/oom_kill.c:select_bad_process */
function select_bad_process(k: Kernel, oc: oom_control): void {
  for (const p of for_each_process(k)) if (oom_evaluate_task(p, oc)) break;
}

function column(value: number, width: number): string {
  return String(value).padStart(width);
}

/** A line for each task with user memory. @mirrors mm/oom_kill.c:dump_tasks */
function dump_tasks(k: Kernel): void {
  pr_info(k, "Tasks state (memory values in pages):");
  pr_info(k, "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name");
  for (const p of for_each_process(k)) {
    const { mm } = p;
    if (oom_unkillable_task(p) || mm === null) continue;
    pr_info(
      k,
      `[${column(p.pid, 7)}] ${column(0, 5)} ${column(p.pid, 5)} ${column(mm.total_vm, 8)} ` +
        `${column(get_mm_rss(mm), 8)} ${column(mm.pgtables_bytes, 8)} ${column(mm.swapents, 8)}         ` +
        `${column(p.oom_score_adj, 5)} ${p.comm}`,
    );
  }
}

/** One line that sums it up. @mirrors mm/oom_kill.c:dump_oom_summary */
function dump_oom_summary(k: Kernel, victim: task_struct): void {
  pr_info(
    k,
    `oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),task=${victim.comm},pid=${victim.pid},uid=0`,
  );
}

/**
 * Who asked for what, where, and the state of memory, of slabs and of tasks.
 *
 * @mirrors mm/oom_kill.c:dump_header
 */
function dump_header(k: Kernel, oc: oom_control, p: task_struct | null): void {
  const { comm, oom_score_adj } = current(k);
  const gfp = `0x${oc.gfp_mask.toString(16)}(${show_gfp_flags(oc.gfp_mask)})`;
  const title =
    `${comm} invoked oom-killer: gfp_mask=${gfp}, order=${oc.order}, oom_score_adj=${oom_score_adj}`;
  report(k, KERN_WARNING, title, [
    title,
    ...(oc.order > 0 ? ["COMPACTION is disabled!!!"] : []),
    ...dumpStackLines(k),
    ...memInfoLines(k),
  ]);
  // Without LRU pages there is always more unreclaimable slab memory than those.
  dump_unreclaimable_slab(k);
  dump_tasks(k);
  if (p !== null) dump_oom_summary(k, p);
}

/** @mirrors mm/oom_kill.c:mark_oom_victim */
function mark_oom_victim(tsk: task_struct): void {
  tsk.oom_mm ??= tsk.mm;
}

/** @mirrors mm/oom_kill.c:__oom_kill_process */
function __oom_kill_process(k: Kernel, victim: task_struct, message: string): void {
  const { mm } = victim;
  if (mm === null) return;
  count_vm_event(k, OOM_KILL);
  mark_oom_victim(victim);
  pr_err(
    k,
    `${message}: Killed process ${victim.pid} (${victim.comm}) total-vm:${K(mm.total_vm)}kB, ` +
      `anon-rss:${K(mm.anon_rss)}kB, file-rss:${K(mm.file_rss)}kB, shmem-rss:${K(mm.shmem_rss)}kB, UID:0 ` +
      `pgtables:${Math.floor(mm.pgtables_bytes / 1024)}kB oom_score_adj:${victim.oom_score_adj}`,
  );
}

/** Reports, at most ten times in five seconds, and kills. @mirrors mm/oom_kill.c:oom_kill_process */
function oom_kill_process(k: Kernel, oc: oom_control, victim: task_struct, message: string): void {
  if (___ratelimit(k, oom_rs(k), "oom_kill_process")) dump_header(k, oc, victim);
  __oom_kill_process(k, victim, message);
}

/** Asks `notifier` before anybody is killed. @mirrors mm/oom_kill.c:register_oom_notifier */
export function register_oom_notifier(k: Kernel, notifier: oom_notifier_t): void {
  oom_notify_list(k).push(notifier);
}

/**
 * Makes somebody give memory back. Returns whether there was, or will be, progress.
 *
 * Context: process context, oom_lock held. Sleeps: the notifiers may. Fails: with nobody to kill, the machine panics.
 *
 * @mirrors mm/oom_kill.c:out_of_memory
 */
export function* out_of_memory(k: Kernel, oc: oom_control): MaySleep<boolean> {
  let freed = 0;
  for (const notifier of oom_notify_list(k)) freed += yield* notifier(k);
  if (freed > 0) return true;

  // Without __GFP_FS reclaim could not do all it can: nobody is killed for that.
  if ((oc.gfp_mask & ___GFP_FS) === 0) return true;
  oc.totalpages = _totalram_pages(k);
  select_bad_process(k, oc);
  if (oc.aborted) return true;
  if (oc.chosen === null) {
    dump_header(k, oc, null);
    pr_warn(k, "Out of memory and no killable processes...");
    panic(k, "System is deadlocked on memory");
  }
  oom_kill_process(k, oc, oc.chosen, "Out of memory");
  return true;
}
