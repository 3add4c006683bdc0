// SPDX-License-Identifier: GPL-2.0-only
/**
 * Starting programs on a booted kernel. Stands in for user space: pid 1 waits for work and starts each as a thread.
 *
 * @invented there is no user space
 * @module
 */

import { VECTOR_RESCHEDULE } from "../kernel/machine/cpu.ts";
import type { MaySleep } from "../kernel/machine/effects.ts";
import { tasklist, type ThreadFunction } from "../kernel/fork.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { kthread_run } from "../kernel/kthread.ts";
import { schedule, set_current_state, wake_up_process } from "../kernel/sched/core.ts";
import { TASK_INTERRUPTIBLE, TASK_RUNNING } from "../kernel/sched/sched.ts";
import { KERNEL_STATIC, type KernelStatic, type StaticKey } from "../kernel/static.ts";

interface Program {
  readonly comm: string;
  readonly fn: ThreadFunction;
}

const programs = KERNEL_STATIC<Program[]>("programs", () => []);

/** Set when boot has finished, so that a machine that stops before it is noticed. */
export const boot_done: KernelStatic<boolean> = KERNEL_STATIC<boolean>("boot_done", () => false);

export const statics: readonly StaticKey[] = [programs, boot_done];

/** Pid 1 after boot: starts what it is given, for ever. */
export function* runPrograms(k: Kernel): MaySleep<void> {
  for (;;) {
    set_current_state(k, TASK_INTERRUPTIBLE);
    const program = programs(k).shift();
    if (program === undefined) {
      yield* schedule(k);
    } else {
      set_current_state(k, TASK_RUNNING);
      yield* kthread_run(k, program.fn, program.comm);
    }
  }
}

/** Hands a program to pid 1 of a quiescent machine; it starts when the machine runs on. */
export function startProgram(k: Kernel, comm: string, fn: ThreadFunction): void {
  programs(k).push({ comm, fn });
  for (const p of tasklist(k)) {
    if (p.pid !== 1) continue;
    wake_up_process(k, p);
    k.cpus[p.cpu].pending |= VECTOR_RESCHEDULE;
  }
}
