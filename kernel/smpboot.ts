// SPDX-License-Identifier: GPL-2.0-only
/**
 * Per-CPU threads and the start of secondary CPUs. Mirrors kernel/smpboot.c (v5.7).
 *
 * Left out until CPU hotplug comes: parking.
 *
 * @module
 */

import type { MaySleep } from "./machine/effects.ts";
import { panic } from "./bug.ts";
import { for_each_online_cpu } from "./cpumask.ts";
import type { Kernel } from "./kernel.ts";
import { kthread_bind, kthread_create } from "./kthread.ts";
import { preempt_disable, preempt_enable } from "./preempt.ts";
import { __set_current_state, schedule, set_current_state, wake_up_process } from "./sched/core.ts";
import { TASK_INTERRUPTIBLE, TASK_RUNNING, type task_struct } from "./sched/sched.ts";

/** What a per-CPU thread does. @mirrors include/linux/smpboot.h:smp_hotplug_thread */
export interface smp_hotplug_thread {
  /** Remembers the thread of a CPU. */
  store(cpu: number, p: task_struct): void;
  thread_should_run(k: Kernel): boolean;
  thread_fn(k: Kernel): MaySleep<void>;
  thread_comm: string;
}

/** Runs the thread's function whenever it has something to do. @mirrors kernel/smpboot.c:smpboot_thread_fn */
export function* smpboot_thread_fn(k: Kernel, ht: smp_hotplug_thread): MaySleep<void> {
  for (;;) {
    set_current_state(k, TASK_INTERRUPTIBLE);
    preempt_disable(k);
    if (ht.thread_should_run(k)) {
      __set_current_state(k, TASK_RUNNING);
      preempt_enable(k);
      yield* ht.thread_fn(k);
    } else {
      preempt_enable(k);
      yield* schedule(k);
    }
  }
}

/** Creates and starts the thread on every online CPU. @mirrors kernel/smpboot.c:smpboot_register_percpu_thread */
export function* smpboot_register_percpu_thread(k: Kernel, plug_thread: smp_hotplug_thread): MaySleep<void> {
  for (const cpu of for_each_online_cpu(k)) {
    const name = `${plug_thread.thread_comm}/${cpu}`;
    const p = yield* kthread_create(k, (k) => smpboot_thread_fn(k, plug_thread), name);
    if (typeof p === "number") panic(k, `no memory for ${name}`);
    yield* kthread_bind(k, p, cpu);
    plug_thread.store(cpu, p);
    wake_up_process(k, p);
  }
}
