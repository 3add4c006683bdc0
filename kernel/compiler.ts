// SPDX-License-Identifier: GPL-2.0-only
/**
 * Marked accesses: READ_ONCE, WRITE_ONCE, acquire, release, exchange and compare-and-exchange on the fields of kernel
 * structures. Mirrors include/linux/compiler.h and the asm-generic barrier and cmpxchg headers (v5.7).
 *
 * Each is one point, then one indivisible access. All marked stores pass through `store()` below, where a store buffer can
 * be put later; until then the memory model is sequentially consistent, and barriers are calls that do nothing.
 *
 * @module
 */

import { type Atomic, done, doneVoid, STEP } from "./machine/effects.ts";
import { POINT_READ, POINT_RMW, POINT_WRITE, pt } from "./machine/points.ts";
import type { Kernel } from "./kernel.ts";

/** Names of the fields of `O`. */
type FieldOf<O> = keyof O & string;

function store<O, F extends FieldOf<O>>(_k: Kernel, o: O, f: F, value: O[F]): void {
  o[f] = value;
}

/**
 * Reads a field that others may write at the same time. A point.
 *
 * @mirrors include/linux/compiler.h:READ_ONCE
 */
export function READ_ONCE<O, F extends FieldOf<O>>(k: Kernel, o: O, f: F): Atomic<O[F]> {
  return pt(k, POINT_READ, f) ? readSlow(o, f) : done(o[f]);
}

function* readSlow<O, F extends FieldOf<O>>(o: O, f: F): Atomic<O[F]> {
  yield STEP;
  return o[f];
}

/**
 * Writes a field that others may read at the same time. A point.
 *
 * @mirrors include/linux/compiler.h:WRITE_ONCE
 */
export function WRITE_ONCE<O, F extends FieldOf<O>>(k: Kernel, o: O, f: F, value: O[F]): Atomic<void> {
  if (pt(k, POINT_WRITE, f)) return writeSlow(k, o, f, value);
  store(k, o, f, value);
  return doneVoid();
}

function* writeSlow<O, F extends FieldOf<O>>(k: Kernel, o: O, f: F, value: O[F]): Atomic<void> {
  yield STEP;
  store(k, o, f, value);
}

/**
 * Full memory barrier; nothing to do while the model is sequentially consistent.
 *
 * @mirrors include/asm-generic/barrier.h:smp_mb (empty)
 * @simplified the memory model is sequentially consistent
 */
export function smp_mb(_k: Kernel): void {}

/**
 * READ_ONCE whose result later accesses may rely on.
 *
 * @mirrors include/asm-generic/barrier.h:smp_load_acquire
 */
export function smp_load_acquire<O, F extends FieldOf<O>>(k: Kernel, o: O, f: F): Atomic<O[F]> {
  return READ_ONCE(k, o, f);
}

/**
 * WRITE_ONCE before which all earlier accesses are visible.
 *
 * @mirrors include/asm-generic/barrier.h:smp_store_release
 */
export function smp_store_release<O, F extends FieldOf<O>>(k: Kernel, o: O, f: F, value: O[F]): Atomic<void> {
  return WRITE_ONCE(k, o, f, value);
}

/**
 * Swaps in a value and returns the old one. A point.
 *
 * @mirrors include/asm-generic/cmpxchg.h:xchg
 */
export function* xchg<O, F extends FieldOf<O>>(k: Kernel, o: O, f: F, value: O[F]): Atomic<O[F]> {
  if (pt(k, POINT_RMW, f)) yield STEP;
  const old = o[f];
  store(k, o, f, value);
  return old;
}

/**
 * Stores `value` if the field is `expected`; returns what was there. A point.
 *
 * @mirrors include/asm-generic/cmpxchg.h:cmpxchg
 */
export function* cmpxchg<O, F extends FieldOf<O>>(
  k: Kernel,
  o: O,
  f: F,
  expected: O[F],
  value: O[F],
): Atomic<O[F]> {
  if (pt(k, POINT_RMW, f)) yield STEP;
  const old = o[f];
  if (old === expected) store(k, o, f, value);
  return old;
}
