// SPDX-License-Identifier: GPL-2.0-only
/** What a program expects of the kernel, where the kernel itself has no check that would report. */

import type { Kernel } from "../../mod.ts";
import { KERN_ERR, report } from "../../kernel/printk.ts";

/** Reports `found` unless `holds`. */
export function expect(k: Kernel, holds: boolean, bug: string, found: string): void {
  if (!holds) report(k, KERN_ERR, bug, [`${bug}: ${found}`]);
}
