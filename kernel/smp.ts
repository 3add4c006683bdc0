// SPDX-License-Identifier: GPL-2.0-only
/**
 * Calls on other CPUs. Mirrors kernel/smp.c (v5.7).
 *
 * A call is queued on the target and an interrupt is sent; the target runs it in interrupt context, whatever it does
 * otherwise, as soon as it has interrupts on. Invariant: a call structure is locked from queueing until its function may
 * be forgotten: before it runs, or, when somebody waits, after it has run.
 *
 * Simplified: `func` captures what C passes as `info`. Left out: irq_work at the end of the interrupt.
 *
 * @module
 */

import type { Cpu, Spinnable } from "./machine/cpu.ts";
import { VECTOR_CALL_FUNCTION, VECTOR_RESCHEDULE } from "./machine/cpu.ts";
import { type Atomic, doneVoid, STEP } from "./machine/effects.ts";
import { POINT_IPI, pt } from "./machine/points.ts";
import { WARN_ON_ONCE } from "./bug.ts";
import { cpu_online, cpu_online_mask, cpumask_next_and, type cpumask_t } from "./cpumask.ts";
import { ENXIO } from "./errno.ts";
import type { Kernel } from "./kernel.ts";
import {
  get_cpu,
  in_task,
  irqs_disabled,
  local_irq_restore,
  local_irq_save,
  preempt_disable,
  preempt_enable,
  put_cpu,
  smp_processor_id,
} from "./preempt.ts";
import { DEFINE_PER_CPU, per_cpu_ptr, type StaticKey, this_cpu_ptr } from "./static.ts";

/** Runs in interrupt context on the target CPU. @mirrors include/linux/smp.h:smp_call_func_t */
export type smp_call_func_t = (k: Kernel) => Atomic<void>;

/** One call. While it is locked, `owner` is not the CPU that waits for it. */
class call_single_data implements Spinnable {
  readonly name = "call_single_data";
  owner: Cpu | null = null;
  releasedAt = 0;
  func: smp_call_func_t | null = null;
  locked = false;
  synchronous = false;
  /** Whoever spins until it is unlocked: at most one, the CPU that owns the structure. */
  waiter: Cpu | null = null;
}

const call_single_queue = DEFINE_PER_CPU<call_single_data[]>("call_single_queue", () => []);
/** What each CPU uses for calls that it does not wait for. */
const csd_data = DEFINE_PER_CPU("csd_data", () => new call_single_data());
/** What each CPU uses to call many: one structure for each target. */
const cfd_data = DEFINE_PER_CPU<Map<number, call_single_data>>("cfd_data", () => new Map());

export const statics: readonly StaticKey[] = [call_single_queue, csd_data, cfd_data];

/** Spins until the target has unlocked the call; interrupts may come in. */
function csd_lock_wait(k: Kernel, csd: call_single_data): Atomic<void> {
  return csd.locked ? csdSpin(k, csd) : doneVoid();
}

function* csdSpin(k: Kernel, csd: call_single_data): Atomic<void> {
  const { cpu } = k;
  csd.waiter = cpu;
  while (csd.locked) {
    cpu.blockedOn = csd;
    yield STEP;
  }
  cpu.blockedOn = null;
  csd.waiter = null;
}

function* csd_lock(k: Kernel, csd: call_single_data): Atomic<void> {
  yield* csd_lock_wait(k, csd);
  csd.locked = true;
  csd.owner = null;
}

function csd_unlock(k: Kernel, csd: call_single_data): void {
  csd.locked = false;
  csd.releasedAt = k.now();
  if (csd.waiter === null) return;
  csd.owner = csd.waiter;
  k.othersCanRun();
}

function* generic_exec_single(
  k: Kernel,
  cpu: number,
  csd: call_single_data,
  func: smp_call_func_t,
): Atomic<number> {
  if (cpu === smp_processor_id(k)) {
    csd_unlock(k, csd);
    const flags = local_irq_save(k);
    yield* func(k);
    local_irq_restore(k, flags);
    return 0;
  }
  if (cpu >= k.config.cpus || !cpu_online(k, cpu)) {
    csd_unlock(k, csd);
    return -ENXIO;
  }
  csd.func = func;
  if (queueCall(k, cpu, csd)) k.sendIpi(k.cpus[cpu], VECTOR_CALL_FUNCTION);
  return 0;
}

/** Queues the call on its target; true when the queue was empty, so that an interrupt is to be sent. */
function queueCall(k: Kernel, cpu: number, csd: call_single_data): boolean {
  return per_cpu_ptr(k, call_single_queue, cpu).push(csd) === 1;
}

/** The interrupt's handler. Context: hard interrupt. @mirrors kernel/smp.c:generic_smp_call_function_single_interrupt */
export function generic_smp_call_function_single_interrupt(k: Kernel): Atomic<void> {
  return flush_smp_call_function_queue(k);
}

/** Runs what other CPUs had queued for this one. @mirrors kernel/smp.c:flush_smp_call_function_queue */
export function* flush_smp_call_function_queue(k: Kernel): Atomic<void> {
  const entries = this_cpu_ptr(k, call_single_queue).splice(0);
  for (const csd of entries) {
    const func = csd.func as smp_call_func_t;
    if (!csd.synchronous) csd_unlock(k, csd);
    yield* func(k);
    if (csd.synchronous) csd_unlock(k, csd);
  }
}

/**
 * Runs `func` on `cpu`; with `wait`, returns after it ran, else it returns before, or while an earlier call without waiting
 * has not begun. Returns 0, or -ENXIO when the CPU is offline.
 *
 * Context: a task, interrupts on: two CPUs that call each other with interrupts off wait for ever.
 *
 * @mirrors kernel/smp.c:smp_call_function_single
 */
export function* smp_call_function_single(
  k: Kernel,
  cpu: number,
  func: smp_call_func_t,
  wait: boolean,
): Atomic<number> {
  const this_cpu = get_cpu(k);
  if (pt(k, POINT_IPI, "smp_call_function_single")) yield STEP;
  warnIfDeadlock(k, this_cpu);
  let csd: call_single_data;
  if (wait) {
    csd = new call_single_data();
    csd.locked = true;
    csd.synchronous = true;
  } else {
    csd = this_cpu_ptr(k, csd_data);
    yield* csd_lock(k, csd);
  }
  const err = yield* generic_exec_single(k, cpu, csd, func);
  if (wait) yield* csd_lock_wait(k, csd);
  put_cpu(k);
  return err;
}

function warnIfDeadlock(k: Kernel, this_cpu: number): void {
  if (cpu_online(k, this_cpu) && irqs_disabled(k)) WARN_ON_ONCE(k, true, "irqs_disabled");
  if (!in_task(k)) WARN_ON_ONCE(k, true, "!in_task");
}

/** Queues the call for one of many targets. */
function* callOneOfMany(k: Kernel, cpu: number, func: smp_call_func_t, wait: boolean): Atomic<boolean> {
  const mine = this_cpu_ptr(k, cfd_data);
  let csd = mine.get(cpu);
  if (csd === undefined) {
    csd = new call_single_data();
    mine.set(cpu, csd);
  }
  yield* csd_lock(k, csd);
  csd.synchronous = wait;
  csd.func = func;
  return queueCall(k, cpu, csd);
}

/**
 * Runs `func` on the online CPUs of `mask` but this one; with `wait`, returns when all of them have run it. `cond` may
 * leave CPUs out.
 *
 * Context: a task, preemption off, interrupts on.
 *
 * @mirrors kernel/smp.c:smp_call_function_many_cond
 */
function* smp_call_function_many_cond(
  k: Kernel,
  mask: cpumask_t,
  func: smp_call_func_t,
  wait: boolean,
  cond: ((k: Kernel, cpu: number) => boolean) | null,
): Atomic<void> {
  const this_cpu = smp_processor_id(k);
  warnIfDeadlock(k, this_cpu);
  const targets: number[] = [];
  const online = cpu_online_mask(k);
  for (let cpu = cpumask_next_and(-1, mask, online); cpu >= 0; cpu = cpumask_next_and(cpu, mask, online)) {
    if (cpu !== this_cpu && (cond === null || cond(k, cpu))) targets.push(cpu);
  }
  if (targets.length === 1) {
    yield* smp_call_function_single(k, targets[0], func, wait);
    return;
  }
  const toInterrupt: number[] = [];
  for (const cpu of targets) if (yield* callOneOfMany(k, cpu, func, wait)) toInterrupt.push(cpu);
  if (pt(k, POINT_IPI, "smp_call_function_many")) yield STEP;
  for (const cpu of toInterrupt) k.sendIpi(k.cpus[cpu], VECTOR_CALL_FUNCTION);
  if (!wait) return;
  const mine = this_cpu_ptr(k, cfd_data);
  for (const cpu of targets) yield* csd_lock_wait(k, mine.get(cpu) as call_single_data);
}

/**
 * Runs `func` on the online CPUs of `mask` but this one, all at a time; with `wait`, returns when all have run it.
 *
 * Context: a task, preemption off, interrupts on.
 *
 * @mirrors kernel/smp.c:smp_call_function_many
 */
export function smp_call_function_many(
  k: Kernel,
  mask: cpumask_t,
  func: smp_call_func_t,
  wait: boolean,
): Atomic<void> {
  return smp_call_function_many_cond(k, mask, func, wait, null);
}

/** Runs `func` on every other CPU. Returns 0. @mirrors kernel/smp.c:smp_call_function */
export function* smp_call_function(k: Kernel, func: smp_call_func_t, wait: boolean): Atomic<number> {
  preempt_disable(k);
  yield* smp_call_function_many(k, cpu_online_mask(k), func, wait);
  preempt_enable(k);
  return 0;
}

/** Runs `func` on every online CPU, here with interrupts off. @mirrors kernel/smp.c:on_each_cpu */
export function* on_each_cpu(k: Kernel, func: smp_call_func_t, wait: boolean): Atomic<void> {
  preempt_disable(k);
  yield* smp_call_function(k, func, wait);
  const flags = local_irq_save(k);
  yield* func(k);
  local_irq_restore(k, flags);
  preempt_enable(k);
}

/**
 * on_each_cpu() for the CPUs for which `cond_func` holds; it is asked for each, here.
 *
 * @mirrors kernel/smp.c:on_each_cpu_cond
 */
export function* on_each_cpu_cond(
  k: Kernel,
  cond_func: (k: Kernel, cpu: number) => boolean,
  func: smp_call_func_t,
  wait: boolean,
): Atomic<void> {
  const cpu = get_cpu(k);
  yield* smp_call_function_many_cond(k, cpu_online_mask(k), func, wait, cond_func);
  if (cond_func(k, cpu)) {
    const flags = local_irq_save(k);
    yield* func(k);
    local_irq_restore(k, flags);
  }
  put_cpu(k);
}

/** Makes `cpu` look whether it should reschedule. @mirrors include/linux/smp.h:smp_send_reschedule */
export function smp_send_reschedule(k: Kernel, cpu: number): void {
  k.sendIpi(k.cpus[cpu], VECTOR_RESCHEDULE);
}
