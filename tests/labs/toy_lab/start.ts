// SPDX-License-Identifier: GPL-2.0-only
// The starter of the toy lab: write the two functions between the marks.

import { GFP_KERNEL, type Kernel, kfree, kmalloc, type MaySleep, NULL } from "quiesce";

/** The sum of some numbers. */
export function sum(numbers: readonly number[]): number {
  // [student sum
  return numbers.length === 0 ? 0 : -1;
  // student]
}

/** Allocates `size` bytes and gives them back; returns whether there was memory. */
export function* user(k: Kernel, size: number): MaySleep<boolean> {
  // [student user
  const p = yield* kmalloc(k, size, GFP_KERNEL);
  return p !== NULL;
  // student]
}

export { kfree };
