// SPDX-License-Identifier: GPL-2.0-only
/**
 * Per-CPU threads. Mirrors kernel/smpboot.c (v5.7).
 *
 * A registered description has one thread on every online CPU, bound to it; a CPU that comes up gets its threads before
 * it runs, parked. Invariant: a thread's functions run on its own CPU only.
 *
 * Left out: the states of hotplug, self-parking threads; the lock, since registering and bringing up CPUs are not
 * concurrent here.
 *
 * @module
 */

import { NULL } from "./machine/addr.ts";
import type { VirtAddr } from "./machine/brand.ts";
import type { MaySleep } from "./machine/effects.ts";
import { BUG_ON } from "./bug.ts";
import { cpu_online, for_each_online_cpu, for_each_possible_cpu } from "./cpumask.ts";
import { ENOMEM } from "./errno.ts";
import type { Kernel } from "./kernel.ts";
import {
  kthread_create_on_cpu,
  kthread_park,
  kthread_parkme,
  kthread_should_park,
  kthread_should_stop,
  kthread_stop,
  kthread_unpark,
} from "./kthread.ts";
import { allocObject, freeObject } from "./objects.ts";
import { preempt_disable, preempt_enable, preempt_enable_no_resched, smp_processor_id } from "./preempt.ts";
import { __set_current_state, schedule, set_current_state } from "./sched/core.ts";
import { TASK_INTERRUPTIBLE, TASK_RUNNING, type task_struct } from "./sched/sched.ts";
import { KERNEL_STATIC, per_cpu_ptr, per_cpu_write, type PerCpu, type StaticKey } from "./static.ts";

/** What a per-CPU thread does. @mirrors include/linux/smpboot.h:smp_hotplug_thread */
export interface smp_hotplug_thread {
  /** Where the thread of each CPU is remembered. */
  readonly store: PerCpu<task_struct | null>;
  thread_should_run(k: Kernel, cpu: number): boolean;
  thread_fn(k: Kernel, cpu: number): MaySleep<void>;
  /** First thing on the thread's CPU. */
  setup?(k: Kernel, cpu: number): MaySleep<void>;
  cleanup?(k: Kernel, cpu: number, online: boolean): MaySleep<void>;
  park?(k: Kernel, cpu: number): MaySleep<void>;
  unpark?(k: Kernel, cpu: number): MaySleep<void>;
  /** Name; %u stands for the CPU. */
  readonly thread_comm: string;
}

/** sizeof(struct smpboot_thread_data). */
const THREAD_DATA_SIZE = 24;

class smpboot_thread_data {
  status: "none" | "active" | "parked" = "none";

  constructor(readonly cpu: number, readonly ht: smp_hotplug_thread, readonly addr: VirtAddr) {}
}

const hotplug_threads = KERNEL_STATIC<smp_hotplug_thread[]>("hotplug_threads", () => []);

export const statics: readonly StaticKey[] = [hotplug_threads];

/** Runs the thread's function whenever it has something to do. @mirrors kernel/smpboot.c:smpboot_thread_fn */
export function* smpboot_thread_fn(k: Kernel, td: smpboot_thread_data): MaySleep<number> {
  const { ht, cpu } = td;
  for (;;) {
    set_current_state(k, TASK_INTERRUPTIBLE);
    preempt_disable(k);
    const stop = kthread_should_stop(k);
    const park = !stop && kthread_should_park(k);
    BUG_ON(k, !stop && !park && cpu !== smp_processor_id(k));
    if (!stop && !park && td.status === "active" && !ht.thread_should_run(k, cpu)) {
      preempt_enable_no_resched(k);
      yield* schedule(k);
      continue;
    }
    __set_current_state(k, TASK_RUNNING);
    preempt_enable(k);
    if (stop) return yield* cleanupThread(k, td);
    if (park) yield* parkThread(k, td);
    else if (td.status === "active") yield* ht.thread_fn(k, cpu);
    else {
      const first = td.status === "none" ? ht.setup : ht.unpark;
      if (first !== undefined) yield* first(k, cpu);
      td.status = "active";
    }
  }
}

function* cleanupThread(k: Kernel, td: smpboot_thread_data): MaySleep<number> {
  const { cleanup } = td.ht;
  if (cleanup !== undefined && td.status !== "none") yield* cleanup(k, td.cpu, cpu_online(k, td.cpu));
  yield* freeObject(k, td.addr);
  return 0;
}

function* parkThread(k: Kernel, td: smpboot_thread_data): MaySleep<void> {
  if (td.ht.park !== undefined && td.status === "active") {
    BUG_ON(k, td.cpu !== smp_processor_id(k));
    yield* td.ht.park(k, td.cpu);
    td.status = "parked";
  }
  yield* kthread_parkme(k);
}

function* __smpboot_create_thread(k: Kernel, ht: smp_hotplug_thread, cpu: number): MaySleep<number> {
  if (per_cpu_ptr(k, ht.store, cpu) !== null) return 0;
  const addr = yield* allocObject(k, THREAD_DATA_SIZE);
  if (addr === NULL) return -ENOMEM;
  const td = new smpboot_thread_data(cpu, ht, addr);
  const name = ht.thread_comm.replace("%u", String(cpu));
  const tsk = yield* kthread_create_on_cpu(k, smpboot_thread_fn, td, cpu, name);
  if (typeof tsk === "number") {
    yield* freeObject(k, addr);
    return tsk;
  }
  // Parked, so that it can start right on its CPU when that is there.
  yield* kthread_park(k, tsk);
  per_cpu_write(k, ht.store, cpu, tsk);
  return 0;
}

/**
 * Makes the registered threads of a CPU that is about to come up, parked. Returns 0 or -ENOMEM.
 *
 * @mirrors kernel/smpboot.c:smpboot_create_threads
 */
export function* smpboot_create_threads(k: Kernel, cpu: number): MaySleep<number> {
  for (const ht of hotplug_threads(k)) {
    const ret = yield* __smpboot_create_thread(k, ht, cpu);
    if (ret !== 0) return ret;
  }
  return 0;
}

function* smpboot_unpark_thread(k: Kernel, ht: smp_hotplug_thread, cpu: number): MaySleep<void> {
  const tsk = per_cpu_ptr(k, ht.store, cpu);
  if (tsk !== null) yield* kthread_unpark(k, tsk);
}

/** Lets the threads of a CPU that is up start. @mirrors kernel/smpboot.c:smpboot_unpark_threads */
export function* smpboot_unpark_threads(k: Kernel, cpu: number): MaySleep<void> {
  for (const ht of hotplug_threads(k)) yield* smpboot_unpark_thread(k, ht, cpu);
}

function* smpboot_destroy_threads(k: Kernel, ht: smp_hotplug_thread): MaySleep<void> {
  for (const cpu of for_each_possible_cpu(k)) {
    const tsk = per_cpu_ptr(k, ht.store, cpu);
    if (tsk === null) continue;
    yield* kthread_stop(k, tsk);
    per_cpu_write(k, ht.store, cpu, null);
  }
}

/**
 * Creates and starts the thread on every online CPU, and from now on on each that comes up. Returns 0 or -ENOMEM.
 *
 * Context: process context. Sleeps.
 *
 * @mirrors kernel/smpboot.c:smpboot_register_percpu_thread
 */
export function* smpboot_register_percpu_thread(
  k: Kernel,
  plug_thread: smp_hotplug_thread,
): MaySleep<number> {
  for (const cpu of for_each_online_cpu(k)) {
    const ret = yield* __smpboot_create_thread(k, plug_thread, cpu);
    if (ret !== 0) {
      yield* smpboot_destroy_threads(k, plug_thread);
      return ret;
    }
    yield* smpboot_unpark_thread(k, plug_thread, cpu);
  }
  hotplug_threads(k).unshift(plug_thread);
  return 0;
}

/** Stops the thread on every CPU. @mirrors kernel/smpboot.c:smpboot_unregister_percpu_thread */
export function* smpboot_unregister_percpu_thread(
  k: Kernel,
  plug_thread: smp_hotplug_thread,
): MaySleep<void> {
  hotplug_threads(k).splice(hotplug_threads(k).indexOf(plug_thread), 1);
  yield* smpboot_destroy_threads(k, plug_thread);
}
