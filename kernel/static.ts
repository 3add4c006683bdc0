// SPDX-License-Identifier: GPL-2.0-only
/**
 * File-scope variables of C, one value per kernel, and per-CPU variables, one value per kernel and CPU.
 *
 * A mirror file declares them where C does, lists them in its exported `statics`, and reads them with the kernel as
 * argument: `jiffies(k)`, `this_cpu_ptr(k, krc)`. They come into being at boot, in the order of the lists that init/
 * passes to `instantiate()`; looking at one never creates it.
 *
 * The slot counter below is the one piece of module state: it numbers declarations as modules load and holds nothing
 * of any kernel.
 *
 * @invented file-scope variables of many kernels
 * @module
 */

import { assert } from "./machine/assert.ts";
import type { Kernel } from "./kernel.ts";

/** Declares what `instantiate()` creates. */
export interface StaticKey {
  readonly staticName: string;
  readonly slot: number;
  create(k: Kernel): unknown;
}

/** A file-scope variable: call it with the kernel to read it. */
export interface KernelStatic<T> extends StaticKey {
  (k: Kernel): T;
  set(k: Kernel, value: T): void;
}

/** A per-CPU variable: read it with this_cpu_ptr() or per_cpu_ptr(). */
export interface PerCpu<T> extends StaticKey {
  create(k: Kernel): T[];
}

const slots = { next: 0 };

/** Declares a file-scope variable; `init` runs at boot. */
export function KERNEL_STATIC<T>(name: string, init: (k: Kernel) => T): KernelStatic<T> {
  const slot = slots.next++;
  function read(k: Kernel): T {
    return k.statics[slot] as T;
  }
  function set(k: Kernel, value: T): void {
    k.statics[slot] = value;
  }
  return Object.assign(read, { staticName: name, slot, create: init, set });
}

/** Declares a per-CPU variable; `init` runs at boot for each possible CPU. @mirrors include/linux/percpu-defs.h:DEFINE_PER_CPU */
export function DEFINE_PER_CPU<T>(name: string, init: (k: Kernel, cpu: number) => T): PerCpu<T> {
  const slot = slots.next++;
  return {
    staticName: name,
    slot,
    create: (k) => k.cpus.map((cpu) => init(k, cpu.id)),
  };
}

/** Brings the listed statics into being. */
export function instantiate(k: Kernel, lists: readonly (readonly StaticKey[])[]): void {
  for (const list of lists) {
    for (const key of list) {
      assert(k.statics[key.slot] === undefined, `${key.staticName} is listed twice`);
      k.statics[key.slot] = key.create(k);
    }
  }
}

/** This CPU's value; stable only while preemption or interrupts are off. @mirrors include/linux/percpu-defs.h:this_cpu_ptr */
export function this_cpu_ptr<T>(k: Kernel, variable: PerCpu<T>): T {
  return (k.statics[variable.slot] as T[])[k.cpu.id];
}

/** The value of CPU `cpu`. @mirrors include/linux/percpu-defs.h:per_cpu_ptr */
export function per_cpu_ptr<T>(k: Kernel, variable: PerCpu<T>, cpu: number): T {
  return (k.statics[variable.slot] as T[])[cpu];
}

/** Replaces the value of CPU `cpu`. */
export function per_cpu_write<T>(k: Kernel, variable: PerCpu<T>, cpu: number, value: T): void {
  (k.statics[variable.slot] as T[])[cpu] = value;
}

/** Replaces this CPU's value (for per-CPU scalars). */
export function this_cpu_write<T>(k: Kernel, variable: PerCpu<T>, value: T): void {
  (k.statics[variable.slot] as T[])[k.cpu.id] = value;
}

/** Adds to this CPU's counter. */
export function this_cpu_add(k: Kernel, variable: PerCpu<number>, value: number): void {
  (k.statics[variable.slot] as number[])[k.cpu.id] += value;
}
