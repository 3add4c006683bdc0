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

/** @mirrors include/linux/cpumask.h:num_online_cpus */
export function num_online_cpus(k: Kernel): number {
  return cpumask_weight(cpu_online_mask(k));
}

/** @mirrors include/linux/cpumask.h:cpu_online */
export function cpu_online(k: Kernel, cpu: number): boolean {
  return cpumask_test_cpu(cpu, cpu_online_mask(k));
}

/** Smallest member, or -1. @mirrors include/linux/cpumask.h:cpumask_first */
export function cpumask_first(mask: cpumask_t): number {
  return cpumask_next(-1, mask);
}

/** Smallest member above `n`, or -1. @mirrors include/linux/cpumask.h:cpumask_next */
export function cpumask_next(n: number, mask: cpumask_t): number {
  const { bits } = mask;
  let at = (n + 1) >>> 5;
  if (at >= bits.length) return -1;
  let word = bits[at] & (-1 << ((n + 1) & 31));
  while (word === 0) {
    if (++at >= bits.length) return -1;
    word = bits[at];
  }
  return at * 32 + 31 - Math.clz32(word & -word);
}

/** Smallest member of both above `n`, or -1. @mirrors include/linux/cpumask.h:cpumask_next_and */
export function cpumask_next_and(n: number, a: cpumask_t, b: cpumask_t): number {
  for (let cpu = cpumask_next(n, a); cpu >= 0; cpu = cpumask_next(cpu, a)) {
    if (cpumask_test_cpu(cpu, b)) return cpu;
  }
  return -1;
}

/** Members in ascending order. @mirrors include/linux/cpumask.h:for_each_cpu */
export function* for_each_cpu(mask: cpumask_t): Generator<number, void, void> {
  for (let cpu = cpumask_first(mask); cpu >= 0; cpu = cpumask_next(cpu, mask)) yield cpu;
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

/** @mirrors include/linux/cpumask.h:cpumask_equal */
export function cpumask_equal(a: cpumask_t, b: cpumask_t): boolean {
  return a.bits.every((word, i) => word === b.bits[i]);
}

/** Number of members. @mirrors include/linux/cpumask.h:cpumask_weight */
export function cpumask_weight(mask: cpumask_t): number {
  let weight = 0;
  for (let i = 0; i < mask.bits.length; i++) weight += popcount(mask.bits[i]);
  return weight;
}

function popcount(word: number): number {
  let w = word - ((word >>> 1) & 0x5555_5555);
  w = (w & 0x3333_3333) + ((w >>> 2) & 0x3333_3333);
  return Math.imul((w + (w >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

/** A member of both: the smallest, or -1. @mirrors include/linux/cpumask.h:cpumask_any_and */
export function cpumask_any_and(a: cpumask_t, b: cpumask_t): number {
  return cpumask_next_and(-1, a, b);
}

/** A mask of one CPU. @mirrors include/linux/cpumask.h:cpumask_of */
export function cpumask_of(k: Kernel, cpu: number): cpumask_t {
  const mask = new cpumask_t(k.config.cpus);
  cpumask_set_cpu(cpu, mask);
  return mask;
}

/** CPUs that can ever run: all of the machine. @mirrors kernel/cpu.c:__cpu_possible_mask */
export const cpu_possible_mask: KernelStatic<cpumask_t> = KERNEL_STATIC("__cpu_possible_mask", (k) => {
  const mask = new cpumask_t(k.config.cpus);
  for (let cpu = 0; cpu < k.config.cpus; cpu++) cpumask_set_cpu(cpu, mask);
  return mask;
});

/** CPUs that run. @mirrors kernel/cpu.c:__cpu_online_mask */
export const cpu_online_mask: KernelStatic<cpumask_t> = KERNEL_STATIC(
  "__cpu_online_mask",
  (k) => new cpumask_t(k.config.cpus),
);

export const statics: readonly StaticKey[] = [cpu_online_mask, cpu_possible_mask];

/** Marks the CPU that boots. @mirrors kernel/cpu.c:boot_cpu_init */
export function boot_cpu_init(k: Kernel): void {
  cpumask_set_cpu(k.cpu.id, cpu_online_mask(k));
}

/** Every CPU that can ever exist, in ascending order. @mirrors include/linux/cpumask.h:for_each_possible_cpu */
export function* for_each_possible_cpu(k: Kernel): Generator<number, void, void> {
  for (let cpu = 0; cpu < k.config.cpus; cpu++) yield cpu;
}

/** @mirrors include/linux/cpumask.h:for_each_online_cpu */
export function for_each_online_cpu(k: Kernel): Generator<number, void, void> {
  return for_each_cpu(cpu_online_mask(k));
}

/** Number of possible CPUs. @mirrors kernel/smp.c:nr_cpu_ids */
export function nr_cpu_ids(k: Kernel): number {
  return k.config.cpus;
}
