// SPDX-License-Identifier: GPL-2.0-only
/**
 * Birth of tasks. Mirrors the kernel-thread part of kernel/fork.c and kernel/pid.c (v5.7).
 *
 * A task takes a real task_struct and a real stack from the allocators. Invariants: pids count up and are not reused; a
 * task's name is cut to what a task_struct holds.
 *
 * @module
 */

import { NULL } from "./machine/addr.ts";
import type { VirtAddr } from "./machine/brand.ts";
import type { Atomic, MaySleep } from "./machine/effects.ts";
import { assert } from "./machine/assert.ts";
import { ENOMEM } from "./errno.ts";
import { do_exit } from "./exit.ts";
import type { Kernel } from "./kernel.ts";
import { free_kthread_struct } from "./kthread.ts";
import { current, sched_fork, schedule_tail, wake_up_new_task } from "./sched/core.ts";
import { fair_sched_class } from "./sched/fair.ts";
import { PF_KTHREAD, TASK_COMM_LEN, task_struct } from "./sched/sched.ts";
import { KERNEL_STATIC, type KernelStatic, type StaticKey } from "./static.ts";
import { trace_sched_process_fork } from "./trace/events/sched.ts";

/** Bytes of a kernel stack on x86-64. */
export const THREAD_SIZE = 16384;

const last_pid = KERNEL_STATIC<number>("last_pid", () => 0);
/** Every task that lives, in order of birth; idle tasks are not in it. */
export const tasklist: KernelStatic<Set<task_struct>> = KERNEL_STATIC(
  "tasklist",
  () => new Set<task_struct>(),
);

export const statics: readonly StaticKey[] = [last_pid, tasklist];

/** Every task that lives, in order of birth; idle tasks aside. @mirrors include/linux/sched/signal.h:for_each_process */
export function for_each_process(k: Kernel): Iterable<task_struct> {
  return tasklist(k);
}

/** What a kernel thread runs. */
export type ThreadFunction = (k: Kernel) => MaySleep<void>;

function* free_task(k: Kernel, tsk: task_struct): Atomic<void> {
  yield* free_kthread_struct(k, tsk);
  yield* k.mm.free_task_struct(k, tsk.addr);
}

/**
 * Gives a dead task's stack and task_struct back.
 *
 * Context: the task does not run any more; nothing here sleeps.
 *
 * @mirrors include/linux/sched/task.h:put_task_struct
 * @simplified there is one reference; RCU readers of the task list do not exist, so nothing waits for a grace period
 */
export function* put_task_struct(k: Kernel, tsk: task_struct): Atomic<void> {
  tsk.stack.length = 0;
  yield* k.mm.free_thread_stack(k, tsk.stackAddr);
  yield* free_task(k, tsk);
}

function* ret_from_fork(k: Kernel, fn: ThreadFunction): MaySleep<void> {
  yield* schedule_tail(k);
  yield* fn(k);
  yield* do_exit(k, 0);
}

/**
 * Makes a task that runs `fn` and is not started yet; null without memory.
 *
 * Context: process context, may sleep.
 *
 * @mirrors kernel/fork.c:copy_process
 */
export function* copy_process(k: Kernel, fn: ThreadFunction, comm: string): MaySleep<task_struct | null> {
  const addr = yield* k.mm.alloc_task_struct(k);
  const stackAddr = yield* k.mm.alloc_thread_stack(k);
  if (k.mm.ready && (addr === NULL || stackAddr === NULL)) {
    if (addr !== NULL) yield* k.mm.free_task_struct(k, addr);
    if (stackAddr !== NULL) yield* k.mm.free_thread_stack(k, stackAddr);
    return null;
  }
  const pid = last_pid(k) + 1;
  last_pid.set(k, pid);
  const name = comm.slice(0, TASK_COMM_LEN - 1);
  const p = new task_struct(pid, name, k.log.intern(name), fair_sched_class);
  p.flags |= PF_KTHREAD;
  p.addr = addr;
  p.stackAddr = stackAddr;
  sched_fork(k, p);
  p.stack.push(ret_from_fork(k, fn));
  tasklist(k).add(p);
  trace_sched_process_fork(k, current(k), p);
  return p;
}

/**
 * Makes and starts a task that runs `fn`. Returns it, or -ENOMEM.
 *
 * @mirrors kernel/fork.c:kernel_thread
 */
export function* kernel_thread(k: Kernel, fn: ThreadFunction, comm: string): MaySleep<task_struct | number> {
  const p = yield* copy_process(k, fn, comm);
  if (p === null) return -ENOMEM;
  wake_up_new_task(k, p);
  return p;
}

/**
 * Address of `size` bytes on the current task's stack, for an object whose address matters; `offStack()` gives it back.
 *
 * @invented C's stack variables have addresses by themselves
 */
export function onStack(k: Kernel, size: number): VirtAddr {
  const p = current(k);
  assert(p.stackAddr !== NULL, `${p.comm} has no stack in memory`);
  p.stackUsed += size;
  assert(p.stackUsed <= THREAD_SIZE / 2, `stack of ${p.comm} is full`);
  return (p.stackAddr + THREAD_SIZE - p.stackUsed) as VirtAddr;
}

/** Gives back the last `size` bytes taken with onStack(). @invented see onStack() */
export function offStack(k: Kernel, size: number): void {
  current(k).stackUsed -= size;
}
