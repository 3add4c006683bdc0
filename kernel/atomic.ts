// SPDX-License-Identifier: GPL-2.0-only
/**
 * Atomic counters. Mirrors include/asm-generic/atomic-instrumented.h (v5.7): read, set, add, exchange, and the forms that
 * return or test.
 *
 * Each operation is one point and then indivisible. The value is a signed 32-bit integer, as in C, and wraps.
 *
 * @module
 */

import { type Atomic, done, STEP } from "./machine/effects.ts";
import { POINT_READ, POINT_RMW, POINT_WRITE, pt } from "./machine/points.ts";
import type { Kernel } from "./kernel.ts";

/** A counter. `name` is what replay sites call it. @mirrors include/linux/types.h:atomic_t */
export class atomic_t {
  constructor(public counter = 0, readonly name = "atomic") {}
}

/** @mirrors include/asm-generic/atomic-instrumented.h:atomic_read */
export function atomic_read(k: Kernel, v: atomic_t): Atomic<number> {
  return pt(k, POINT_READ, v) ? readSlow(v) : done(v.counter);
}

function* readSlow(v: atomic_t): Atomic<number> {
  yield STEP;
  return v.counter;
}

/** @mirrors include/asm-generic/atomic-instrumented.h:atomic_set */
export function* atomic_set(k: Kernel, v: atomic_t, i: number): Atomic<void> {
  if (pt(k, POINT_WRITE, v)) yield STEP;
  v.counter = i | 0;
}

/** @mirrors include/asm-generic/atomic-instrumented.h:atomic_add */
export function* atomic_add(k: Kernel, i: number, v: atomic_t): Atomic<void> {
  yield* atomic_add_return(k, i, v);
}

/** Adds and returns the new value. @mirrors include/asm-generic/atomic-instrumented.h:atomic_add_return */
export function atomic_add_return(k: Kernel, i: number, v: atomic_t): Atomic<number> {
  if (pt(k, POINT_RMW, v)) return addSlow(i, v);
  v.counter = (v.counter + i) | 0;
  return done(v.counter);
}

function* addSlow(i: number, v: atomic_t): Atomic<number> {
  yield STEP;
  v.counter = (v.counter + i) | 0;
  return v.counter;
}

/** @mirrors include/asm-generic/atomic-instrumented.h:atomic_inc */
export function atomic_inc(k: Kernel, v: atomic_t): Atomic<void> {
  return atomic_add(k, 1, v);
}

/** @mirrors include/asm-generic/atomic-instrumented.h:atomic_dec */
export function atomic_dec(k: Kernel, v: atomic_t): Atomic<void> {
  return atomic_add(k, -1, v);
}

/** Stores and returns the old value. @mirrors include/asm-generic/atomic-instrumented.h:atomic_xchg */
export function* atomic_xchg(k: Kernel, v: atomic_t, value: number): Atomic<number> {
  if (pt(k, POINT_RMW, v)) yield STEP;
  const old = v.counter;
  v.counter = value | 0;
  return old;
}

/** Stores `value` if the counter is `old`; returns what it was. @mirrors include/asm-generic/atomic-instrumented.h:atomic_cmpxchg */
export function* atomic_cmpxchg(k: Kernel, v: atomic_t, old: number, value: number): Atomic<number> {
  if (pt(k, POINT_RMW, v)) yield STEP;
  const was = v.counter;
  if (was === old) v.counter = value | 0;
  return was;
}

/** Subtracts; whether the result is zero. @mirrors include/asm-generic/atomic-instrumented.h:atomic_sub_and_test */
export function* atomic_sub_and_test(k: Kernel, i: number, v: atomic_t): Atomic<boolean> {
  return (yield* atomic_add_return(k, -i, v)) === 0;
}

/** Subtracts one; whether the result is zero. @mirrors include/asm-generic/atomic-instrumented.h:atomic_dec_and_test */
export function atomic_dec_and_test(k: Kernel, v: atomic_t): Atomic<boolean> {
  return atomic_sub_and_test(k, 1, v);
}
