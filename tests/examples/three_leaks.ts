// SPDX-License-Identifier: GPL-2.0-only
/**
 * A user's program that drops one object of each kind of memory.
 *
 * @module
 */

import { GFP_KERNEL, type Kernel, kmalloc, type MaySleep, PAGE_SIZE, vmalloc } from "quiesce";

export default function* (k: Kernel): MaySleep<void> {
  yield* kmalloc(k, 100, GFP_KERNEL);
  yield* kmalloc(k, 5000, GFP_KERNEL);
  yield* vmalloc(k, 3 * PAGE_SIZE);
}
