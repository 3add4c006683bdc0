// SPDX-License-Identifier: GPL-2.0-only
/**
 * preempt_count() and the interrupt flag. Mirrors include/linux/preempt.h, include/linux/hardirq.h and irqflags.h (v5.7).
 *
 * The count lives on the CPU, as on x86: every context switch happens with the same value, so nothing is saved. Enabling
 * is a plain call: what it lets in (an interrupt, a preemption) comes in at this CPU's next point.
 *
 * Invariant: no field of the count goes below zero or into the next one; code that would do it is reported, as with
 * DEBUG_PREEMPT, and the count stays as it is.
 *
 * @module
 */

import type { IrqFlags } from "./machine/brand.ts";
import { DEBUG_LOCKS_WARN_ON } from "./bug.ts";
import type { Kernel } from "./kernel.ts";

export const PREEMPT_OFFSET = 0x1;
export const SOFTIRQ_OFFSET = 0x100;
export const SOFTIRQ_DISABLE_OFFSET = 0x200;
export const HARDIRQ_OFFSET = 0x10000;
export const PREEMPT_MASK = 0xff;
export const SOFTIRQ_MASK = 0xff00;
export const HARDIRQ_MASK = 0xf0000;

/** @mirrors include/asm-generic/preempt.h:preempt_count */
export function preempt_count(k: Kernel): number {
  return k.cpu.preempt_count;
}

/** In a hard interrupt handler. @mirrors include/linux/preempt.h:in_irq */
export function in_irq(k: Kernel): boolean {
  return (k.cpu.preempt_count & HARDIRQ_MASK) !== 0;
}

/** In a softirq handler, or with bottom halves disabled. @mirrors include/linux/preempt.h:in_softirq */
export function in_softirq(k: Kernel): boolean {
  return (k.cpu.preempt_count & SOFTIRQ_MASK) !== 0;
}

/** In an interrupt handler of either kind, or with bottom halves disabled. @mirrors include/linux/preempt.h:in_interrupt */
export function in_interrupt(k: Kernel): boolean {
  return (k.cpu.preempt_count & (HARDIRQ_MASK | SOFTIRQ_MASK)) !== 0;
}

/** In a softirq handler. @mirrors include/linux/preempt.h:in_serving_softirq */
export function in_serving_softirq(k: Kernel): boolean {
  return (k.cpu.preempt_count & SOFTIRQ_OFFSET) !== 0;
}

/** In a task, bottom halves and hard interrupts aside. @mirrors include/linux/preempt.h:in_task */
export function in_task(k: Kernel): boolean {
  return (k.cpu.preempt_count & (HARDIRQ_MASK | SOFTIRQ_OFFSET)) === 0;
}

/**
 * Whether preempt_disable() is counted: with preemption, or where atomic sleep is checked. Without it the count here is kept
 * all the same, but nobody looks at it.
 *
 * @invented CONFIG_PREEMPT_COUNT
 */
export function countsPreemption(k: Kernel): boolean {
  return k.config.debug || k.config.preempt !== "none";
}

/**
 * Whether sleeping is forbidden here as far as the count tells; where preempt_disable() is not counted it does not tell of
 * spinlocks and RCU readers.
 *
 * @mirrors include/linux/preempt.h:in_atomic
 */
export function in_atomic(k: Kernel): boolean {
  const count = k.cpu.preempt_count;
  return count !== 0 && ((count & ~PREEMPT_MASK) !== 0 || countsPreemption(k));
}

/** @mirrors include/linux/preempt.h:preempt_count_add */
export function preempt_count_add(k: Kernel, value: number): void {
  k.cpu.preempt_count += value;
}

/** Nothing happens, but a warning, where the count would go below zero. @mirrors include/linux/preempt.h:preempt_count_sub */
export function preempt_count_sub(k: Kernel, value: number): void {
  const count = k.cpu.preempt_count;
  if (value > count || (value < PREEMPT_MASK && (count & PREEMPT_MASK) === 0)) underflow(k, value);
  else k.cpu.preempt_count = count - value;
}

/**
 * Keeps the current task on this CPU until preempt_enable(). Nests.
 *
 * @mirrors include/linux/preempt.h:preempt_disable
 */
export function preempt_disable(k: Kernel): void {
  if ((k.cpu.preempt_count++ & PREEMPT_MASK) >= PREEMPT_MASK - 10) overflow(k);
}

/** So deep that somebody forgot preempt_enable(): the field must not run into its neighbour. */
function overflow(k: Kernel): void {
  DEBUG_LOCKS_WARN_ON(k, true, "(preempt_count() & PREEMPT_MASK) >= PREEMPT_MASK - 10");
  if ((k.cpu.preempt_count & PREEMPT_MASK) === 0) k.cpu.preempt_count--;
}

/** preempt_enable() that leaves a pending reschedule for later. @mirrors include/linux/preempt.h:preempt_enable_no_resched */
export function preempt_enable_no_resched(k: Kernel): void {
  if ((k.cpu.preempt_count & PREEMPT_MASK) === 0) underflow(k, 1);
  else k.cpu.preempt_count--;
}

function underflow(k: Kernel, value: number): void {
  DEBUG_LOCKS_WARN_ON(
    k,
    true,
    value > k.cpu.preempt_count
      ? "val > preempt_count()"
      : "(val < PREEMPT_MASK) && !(preempt_count() & PREEMPT_MASK)",
  );
}

/** @mirrors include/linux/preempt.h:preemptible */
export function preemptible(k: Kernel): boolean {
  return k.cpu.preempt_count === 0 && k.cpu.irqsOn;
}

/**
 * Undoes one preempt_disable(). With preempt "full" and a reschedule pending, the switch happens at the next point.
 *
 * @mirrors include/linux/preempt.h:preempt_enable
 */
export function preempt_enable(k: Kernel): void {
  const cpu = k.cpu;
  if ((cpu.preempt_count & PREEMPT_MASK) === 0) underflow(k, 1);
  else if (--cpu.preempt_count === 0 && cpu.need_resched) k.kick();
}

/** Enables interrupts; a pending one comes in at the next point. @mirrors include/linux/irqflags.h:local_irq_enable */
export function local_irq_enable(k: Kernel): void {
  const cpu = k.cpu;
  cpu.irqsOn = true;
  if (cpu.pending !== 0 || cpu.need_resched) k.kick();
}

/** @mirrors include/linux/irqflags.h:local_irq_disable */
export function local_irq_disable(k: Kernel): void {
  k.cpu.irqsOn = false;
}

/**
 * Disables interrupts on this CPU and returns what they were.
 *
 * @mirrors include/linux/irqflags.h:local_irq_save
 */
export function local_irq_save(k: Kernel): IrqFlags {
  const flags = k.cpu.irqsOn ? 1 : 0;
  k.cpu.irqsOn = false;
  return flags as IrqFlags;
}

/**
 * Restores what local_irq_save() returned; a pending interrupt comes in at the next point.
 *
 * @mirrors include/linux/irqflags.h:local_irq_restore
 */
export function local_irq_restore(k: Kernel, flags: IrqFlags): void {
  if (flags !== 0) local_irq_enable(k);
  else k.cpu.irqsOn = false;
}

/** @mirrors include/linux/irqflags.h:irqs_disabled */
export function irqs_disabled(k: Kernel): boolean {
  return !k.cpu.irqsOn;
}

/** @mirrors include/linux/irqflags.h:irqs_disabled_flags */
export function irqs_disabled_flags(_k: Kernel, flags: IrqFlags): boolean {
  return flags === 0;
}

/** Number of the current CPU; stable only while preemption or interrupts are off. @mirrors include/linux/smp.h:smp_processor_id */
export function smp_processor_id(k: Kernel): number {
  return k.cpu.id;
}

/** Number of the current CPU, with preemption off until put_cpu(). @mirrors include/linux/smp.h:get_cpu */
export function get_cpu(k: Kernel): number {
  preempt_disable(k);
  return k.cpu.id;
}

/** @mirrors include/linux/smp.h:put_cpu */
export function put_cpu(k: Kernel): void {
  preempt_enable(k);
}
