// SPDX-License-Identifier: GPL-2.0-only
/**
 * Sets of CPUs. Mirrors include/linux/cpumask.h (v5.7) for up to 4096 CPUs, and the masks of kernel/cpu.c.
 *
 * @module
 */

import type { Kernel } from "./kernel.ts";
import { KERNEL_STATIC, type KernelStatic, type StaticKey } from "./static.ts";

/** A set of CPU numbers. @mirrors include/linux/cpumask.h:cpumask_t */
export class cpumask_t {
  readonly bits: Uint32Array;

  constructor(nrCpus: number) {
    this.bits = new Uint32Array((nrCpus + 31) >>> 5);
  }
}

/** @mirrors include/linux/cpumask.h:cpumask_set_cpu */
export function cpumask_set_cpu(cpu: number, mask: cpumask_t): void {
  mask.bits[cpu >>> 5] |= 1 << (cpu & 31);
}

/** @mirrors include/linux/cpumask.h:cpumask_clear_cpu */
export function cpumask_clear_cpu(cpu: number, mask: cpumask_t): void {
  mask.bits[cpu >>> 5] &= ~(1 << (cpu & 31));
}

/** @mirrors include/linux/cpumask.h:cpumask_test_cpu */
export function cpumask_test_cpu(cpu: number, mask: cpumask_t): boolean {
  return (mask.bits[cpu >>> 5] & (1 << (cpu & 31))) !== 0;
}

/** Smallest member above `n`, or -1. @mirrors include/linux/cpumask.h:cpumask_next */
export function cpumask_next(n: number, mask: cpumask_t): number {
  for (let cpu = n + 1; cpu < mask.bits.length * 32; cpu++) if (cpumask_test_cpu(cpu, mask)) return cpu;
  return -1;
}

/** Smallest member, or -1. @mirrors include/linux/cpumask.h:cpumask_first */
export function cpumask_first(mask: cpumask_t): number {
  return cpumask_next(-1, mask);
}

/** Number of members. @mirrors include/linux/cpumask.h:cpumask_weight */
export function cpumask_weight(mask: cpumask_t): number {
  let weight = 0;
  for (let cpu = cpumask_first(mask); cpu >= 0; cpu = cpumask_next(cpu, mask)) weight++;
  return weight;
}

/** Members in ascending order. @mirrors include/linux/cpumask.h:for_each_cpu */
export function* for_each_cpu(mask: cpumask_t): Generator<number, void, void> {
  for (let cpu = cpumask_first(mask); cpu >= 0; cpu = cpumask_next(cpu, mask)) yield cpu;
}

/** CPUs that run. @mirrors kernel/cpu.c:__cpu_online_mask */
export const cpu_online_mask: KernelStatic<cpumask_t> = KERNEL_STATIC(
  "__cpu_online_mask",
  (k) => new cpumask_t(k.config.cpus),
);

export const statics: readonly StaticKey[] = [cpu_online_mask];

/** Every CPU that can ever exist: a mask is not needed, all of them are possible. @mirrors include/linux/cpumask.h:for_each_possible_cpu */
export function* for_each_possible_cpu(k: Kernel): Generator<number, void, void> {
  for (let cpu = 0; cpu < k.config.cpus; cpu++) yield cpu;
}

/** @mirrors include/linux/cpumask.h:for_each_online_cpu */
export function for_each_online_cpu(k: Kernel): Generator<number, void, void> {
  return for_each_cpu(cpu_online_mask(k));
}

/** @mirrors include/linux/cpumask.h:cpu_online */
export function cpu_online(k: Kernel, cpu: number): boolean {
  return cpumask_test_cpu(cpu, cpu_online_mask(k));
}

/** @mirrors include/linux/cpumask.h:num_online_cpus */
export function num_online_cpus(k: Kernel): number {
  return cpumask_weight(cpu_online_mask(k));
}

/** Number of possible CPUs. @mirrors kernel/smp.c:nr_cpu_ids */
export function nr_cpu_ids(k: Kernel): number {
  return k.config.cpus;
}
