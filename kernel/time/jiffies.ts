// SPDX-License-Identifier: GPL-2.0-only
/**
 * Ticks and what they are in time. Mirrors include/linux/jiffies.h and the conversions of kernel/time/time.c (v5.7).
 *
 * HZ is a boot option here, so what C computes at compile time are functions of the kernel. jiffies starts 300 seconds
 * before zero, so that code which forgets the wrap is caught early; it is a signed number and compared by difference.
 * Printed as %lu it is what a 64-bit kernel shows: 2^32 more (see trace/events/timer.ts).
 *
 * Invariant: only the tick (tick-sched.ts) advances jiffies.
 *
 * @module
 */

import type { Kernel } from "../kernel.ts";
import { KERNEL_STATIC, type KernelStatic, type StaticKey } from "../static.ts";

export const MSEC_PER_SEC = 1000;
export const USEC_PER_SEC = 1_000_000;
export const NSEC_PER_USEC = 1000;
export const NSEC_PER_MSEC = 1_000_000;
export const NSEC_PER_SEC = 1_000_000_000;

/** Ticks per second. @mirrors include/asm-generic/param.h:HZ */
export function HZ(k: Kernel): number {
  return k.config.HZ;
}

/** Nanoseconds per tick. @mirrors include/linux/jiffies.h:TICK_NSEC */
export function TICK_NSEC(k: Kernel): number {
  return Math.floor((NSEC_PER_SEC + HZ(k) / 2) / HZ(k));
}

/** Ticks since power-on, plus INITIAL_JIFFIES. @mirrors include/linux/jiffies.h:jiffies */
export const jiffies: KernelStatic<number> = KERNEL_STATIC("jiffies", INITIAL_JIFFIES);

export const statics: readonly StaticKey[] = [jiffies];

/** @mirrors include/linux/jiffies.h:time_after */
export function time_after(a: number, b: number): boolean {
  return b - a < 0;
}

/** @mirrors include/linux/jiffies.h:time_before */
export function time_before(a: number, b: number): boolean {
  return time_after(b, a);
}

/** @mirrors include/linux/jiffies.h:time_after_eq */
export function time_after_eq(a: number, b: number): boolean {
  return a - b >= 0;
}

/** @mirrors include/linux/jiffies.h:time_before_eq */
export function time_before_eq(a: number, b: number): boolean {
  return time_after_eq(b, a);
}

/** Whether `a` lies in [b, c]. @mirrors include/linux/jiffies.h:time_in_range */
export function time_in_range(a: number, b: number, c: number): boolean {
  return time_after_eq(a, b) && time_before_eq(a, c);
}

/** What jiffies is at power-on. @mirrors include/linux/jiffies.h:INITIAL_JIFFIES */
export function INITIAL_JIFFIES(k: Kernel): number {
  return -300 * HZ(k);
}

/** A number of jiffies that means "never". @mirrors include/linux/jiffies.h:MAX_JIFFY_OFFSET */
export const MAX_JIFFY_OFFSET: number = 2 ** 62;

/**
 * Milliseconds as ticks, rounded up.
 *
 * Units: `m` is an int in C: a negative number means no limit.
 *
 * @mirrors include/linux/jiffies.h:msecs_to_jiffies
 */
export function msecs_to_jiffies(k: Kernel, m: number): number {
  return m < 0 ? MAX_JIFFY_OFFSET : Math.ceil(m * HZ(k) / MSEC_PER_SEC);
}

/** Microseconds as ticks, rounded up. @mirrors include/linux/jiffies.h:usecs_to_jiffies */
export function usecs_to_jiffies(k: Kernel, u: number): number {
  return Math.ceil(u * HZ(k) / USEC_PER_SEC);
}

/**
 * Ticks as milliseconds: rounded up where HZ is a multiple of 1000, down otherwise.
 *
 * @mirrors kernel/time/time.c:jiffies_to_msecs
 */
export function jiffies_to_msecs(k: Kernel, j: number): number {
  const hz = HZ(k);
  if (hz > MSEC_PER_SEC && hz % MSEC_PER_SEC === 0) return Math.ceil(j * MSEC_PER_SEC / hz);
  return Math.floor(j * MSEC_PER_SEC / hz);
}

/** Ticks as microseconds. @mirrors kernel/time/time.c:jiffies_to_usecs */
export function jiffies_to_usecs(k: Kernel, j: number): number {
  return Math.floor(j * USEC_PER_SEC / HZ(k));
}
