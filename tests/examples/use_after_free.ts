// SPDX-License-Identifier: GPL-2.0-only
/**
 * A user's program that reads what it has freed.
 *
 * @module
 */

import { GFP_KERNEL, type Kernel, kfree, kmalloc, type MaySleep } from "quiesce";

export default function* main(k: Kernel): MaySleep<void> {
  const p = yield* kmalloc(k, 64, GFP_KERNEL);
  yield* kfree(k, p);
  k.ram.load8(p);
}
