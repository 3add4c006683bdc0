// SPDX-License-Identifier: GPL-2.0-only
/**
 * Death of tasks. Mirrors kernel/exit.c:do_exit (v5.7) for kernel threads, and the end of an oops.
 *
 * @module
 */

import { EmulatorFault } from "./machine/assert.ts";
import type { Cpu } from "./machine/cpu.ts";
import type { Coroutine, MaySleep } from "./machine/effects.ts";
import { panic } from "./bug.ts";
import { tasklist } from "./fork.ts";
import type { Kernel } from "./kernel.ts";
import { in_interrupt } from "./preempt.ts";
import { KERN_ERR, printk, report } from "./printk.ts";
import { complete, type completion } from "./sched/completion.ts";
import { current, schedule } from "./sched/core.ts";
import { is_idle_task, PF_EXITING, TASK_DEAD } from "./sched/sched.ts";
import { trace_sched_process_exit } from "./trace/events/sched.ts";

/**
 * Ends the current task. Never returns.
 *
 * Context: process context.
 *
 * @mirrors kernel/exit.c:do_exit
 */
export function* do_exit(k: Kernel, code: number): MaySleep<never> {
  const tsk = current(k);
  tsk.flags |= PF_EXITING;
  tsk.exit_code = code;
  trace_sched_process_exit(k, tsk);
  tasklist(k).delete(tsk);
  if (tsk.vfork_done !== null) complete(k, tsk.vfork_done as completion);
  tsk.vfork_done = null;
  tsk.state = TASK_DEAD;
  yield* schedule(k);
  throw new EmulatorFault(`dead task ${tsk.comm} runs`);
}

/**
 * A context threw: kill the task, or panic when it was an interrupt handler or the idle task.
 *
 * `error` null is the kernel's own oops, already reported; anything else is an exception in code that plays kernel.
 *
 * @mirrors arch/x86/kernel/dumpstack.c:oops_end
 */
export function oops_end(k: Kernel, cpu: Cpu, error: unknown): Coroutine {
  const tsk = current(k);
  if (error !== null) {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    const title = `exception in ${tsk.comm}/${tsk.pid}: ${text}`;
    report(k, KERN_ERR, title, [title]);
    k.lastException = error;
  }
  if (in_interrupt(k) || is_idle_task(tsk)) return panic(k, "Fatal exception in interrupt");
  if (cpu.preempt_count !== 0) {
    printk(k, KERN_ERR, `note: ${tsk.comm}[${tsk.pid}] exited with preempt_count ${cpu.preempt_count}`);
  }
  cpu.preempt_count = 0;
  cpu.irqsOn = true;
  cpu.inUser = false;
  cpu.blockedOn = null;
  return do_exit(k, 11);
}
