// SPDX-License-Identifier: GPL-2.0-only
/**
 * A user's program that passes points for ever.
 *
 * @module
 */

import { cond_resched, type Kernel, type MaySleep } from "quiesce";

export default function* (k: Kernel): MaySleep<void> {
  for (;;) yield* cond_resched(k);
}
