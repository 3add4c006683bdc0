// SPDX-License-Identifier: GPL-2.0-only
/**
 * Death of tasks. Mirrors kernel/exit.c:do_exit (v5.7) for kernel threads, and the end of an oops.
 *
 * Invariant: a task that dies leaves its CPU as it found it (preemption and interrupts on); what it held stays held. Left
 * out: parents that wait, signals, everything a process has beyond a kernel thread.
 *
 * @module
 */

import type { Cpu } from "./machine/cpu.ts";
import type { Coroutine, MaySleep } from "./machine/effects.ts";
import { debug_locks_off, KernelOops, panic } from "./bug.ts";
import { tasklist } from "./fork.ts";
import type { Kernel } from "./kernel.ts";
import { debug_check_no_locks_held } from "./locking/lockdep.ts";
import { in_atomic, in_interrupt, preempt_count, preempt_disable } from "./preempt.ts";
import { KERN_ALERT, KERN_ERR, KERN_INFO, printk, report } from "./printk.ts";
import { complete, type completion } from "./sched/completion.ts";
import { current, do_task_dead, schedule, set_current_state } from "./sched/core.ts";
import { EXIT_DEAD, EXIT_ZOMBIE, is_idle_task, PF_EXITING, TASK_UNINTERRUPTIBLE } from "./sched/sched.ts";
import { trace_sched_process_exit } from "./trace/events/sched.ts";

/**
 * Ends the current task. Never returns.
 *
 * Context: process context; in an interrupt, or for pid 0 and 1, the machine panics. A task that exits with preemption off
 * is noted.
 *
 * @mirrors kernel/exit.c:do_exit
 * @simplified a task that faults even while it is left alone after a fault in its exit panics the machine
 */
export function* do_exit(k: Kernel, code: number): MaySleep<never> {
  const tsk = current(k);
  if (in_interrupt(k)) panic(k, "Aiee, killing interrupt handler!");
  if (is_idle_task(tsk)) panic(k, "Attempted to kill the idle task!");
  if (in_atomic(k)) {
    printk(k, KERN_INFO, `note: ${tsk.comm}[${tsk.pid}] exited with preempt_count ${preempt_count(k)}`);
  }
  k.cpu.preempt_count = 0;
  if ((tsk.flags & PF_EXITING) !== 0) {
    if (tsk.exit_state === EXIT_ZOMBIE) panic(k, "Recursive fault that cannot be fixed");
    printk(k, KERN_ALERT, "Fixing recursive fault but reboot is needed!");
    tsk.exit_state = EXIT_ZOMBIE;
    set_current_state(k, TASK_UNINTERRUPTIBLE);
    yield* schedule(k);
  }
  tsk.flags |= PF_EXITING;
  if (tsk.pid === 1) {
    panic(k, `Attempted to kill init! exitcode=0x${(code >>> 0).toString(16).padStart(8, "0")}`);
  }
  tsk.exit_code = code;
  trace_sched_process_exit(k, tsk);
  tasklist(k).delete(tsk);
  tsk.exit_state = EXIT_DEAD;
  if (tsk.vfork_done !== null) complete(k, tsk.vfork_done as completion);
  tsk.vfork_done = null;
  if (k.config.debug) debug_check_no_locks_held(k);
  preempt_disable(k);
  yield* k.rcu.exit_rcu(k);
  return yield* do_task_dead(k);
}

/**
 * A context threw: kill the task, or panic when it was an interrupt handler or the idle task.
 *
 * A KernelOops has been reported already; anything else is an exception in code that plays kernel.
 *
 * Lock debugging ends: what the task held stays held.
 *
 * @mirrors arch/x86/kernel/dumpstack.c:oops_end
 */
export function oops_end(k: Kernel, cpu: Cpu, error: unknown): Coroutine {
  const tsk = current(k);
  debug_locks_off(k);
  if (!(error instanceof KernelOops)) {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    const title = `exception in ${tsk.comm}/${tsk.pid}: ${text}`;
    report(k, KERN_ERR, title, [title]);
    k.lastException = error;
  }
  if (in_interrupt(k)) return panic(k, "Fatal exception in interrupt");
  cpu.irqsOn = true;
  cpu.inUser = false;
  cpu.blockedOn = null;
  return do_exit(k, 11);
}
