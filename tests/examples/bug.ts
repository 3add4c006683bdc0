// SPDX-License-Identifier: GPL-2.0-only
/**
 * A user's program that the kernel stops.
 *
 * @module
 */

import { BUG_ON, type Kernel, type MaySleep } from "quiesce";

export default function* main(k: Kernel): MaySleep<void> {
  BUG_ON(k, true);
}
