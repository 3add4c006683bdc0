// SPDX-License-Identifier: GPL-2.0-only
/**
 * Calls on other CPUs. Mirrors kernel/smp.c (v5.7).
 *
 * @module
 */

import type { Cpu, Spinnable } from "./machine/cpu.ts";
import { VECTOR_CALL_FUNCTION, VECTOR_RESCHEDULE } from "./machine/cpu.ts";
import { type Atomic, STEP } from "./machine/effects.ts";
import { POINT_IPI, pt } from "./machine/points.ts";
import { cpu_online, for_each_online_cpu } from "./cpumask.ts";
import { ENXIO } from "./errno.ts";
import type { Kernel } from "./kernel.ts";
import { local_irq_restore, local_irq_save, preempt_disable, preempt_enable } from "./preempt.ts";
import { DEFINE_PER_CPU, per_cpu_ptr, type StaticKey, this_cpu_ptr } from "./static.ts";

/** Runs in interrupt context on the target CPU. */
export type smp_call_func_t = (k: Kernel) => Atomic<void>;

class call_single_data implements Spinnable {
  readonly name = "csd";
  releasedAt = 0;
  constructor(readonly func: smp_call_func_t, public owner: Cpu | null, readonly waiter: Cpu | null) {}
}

const call_single_queue = DEFINE_PER_CPU<call_single_data[]>("call_single_queue", () => []);

export const statics: readonly StaticKey[] = [call_single_queue];

/**
 * Runs `func` on `cpu`; with `wait`, returns after it ran. Returns 0, or -ENXIO when the CPU is offline.
 *
 * Context: preemption may be on; interrupts on when `wait`.
 *
 * @mirrors kernel/smp.c:smp_call_function_single
 */
export function* smp_call_function_single(
  k: Kernel,
  cpu: number,
  func: smp_call_func_t,
  wait: boolean,
): Atomic<number> {
  preempt_disable(k);
  if (pt(k, POINT_IPI, "smp_call_function_single")) yield STEP;
  const here = k.cpu;
  if (cpu === here.id) {
    const flags = local_irq_save(k);
    yield* func(k);
    local_irq_restore(k, flags);
  } else if (!cpu_online(k, cpu)) {
    preempt_enable(k);
    return -ENXIO;
  } else {
    const csd = new call_single_data(func, k.cpus[cpu], wait ? here : null);
    per_cpu_ptr(k, call_single_queue, cpu).push(csd);
    k.sendIpi(k.cpus[cpu], VECTOR_CALL_FUNCTION);
    while (wait && csd.owner !== here) {
      here.blockedOn = csd;
      yield STEP;
    }
    here.blockedOn = null;
  }
  preempt_enable(k);
  return 0;
}

/** Runs what other CPUs queued for this one. @mirrors kernel/smp.c:flush_smp_call_function_queue */
export function* flush_smp_call_function_queue(k: Kernel): Atomic<void> {
  const queue = this_cpu_ptr(k, call_single_queue);
  for (let csd = queue.shift(); csd !== undefined; csd = queue.shift()) {
    yield* csd.func(k);
    csd.owner = csd.waiter;
    csd.releasedAt = k.now();
    if (csd.waiter !== null) k.othersCanRun();
  }
}

/** Runs `func` on every online CPU, this one included, one after the other. @mirrors kernel/smp.c:on_each_cpu */
export function* on_each_cpu(k: Kernel, func: smp_call_func_t, wait: boolean): Atomic<void> {
  for (const cpu of for_each_online_cpu(k)) yield* smp_call_function_single(k, cpu, func, wait);
}

/** @mirrors include/linux/smp.h:smp_send_reschedule */
export function smp_send_reschedule(k: Kernel, cpu: number): void {
  k.sendIpi(k.cpus[cpu], VECTOR_RESCHEDULE);
}
