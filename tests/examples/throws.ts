// SPDX-License-Identifier: GPL-2.0-only
/**
 * A user's program with a mistake in it: the exception comes from the last but one line.
 *
 * @module
 */

import { GFP_KERNEL, type Kernel, kfree, kmalloc, type MaySleep } from "quiesce";

const table: Record<string, { size: number }> = {};

export default function* (k: Kernel): MaySleep<void> {
  const p = yield* kmalloc(k, 64, GFP_KERNEL);
  yield* kfree(k, p);
  yield* kmalloc(k, table.missing.size, GFP_KERNEL);
}
