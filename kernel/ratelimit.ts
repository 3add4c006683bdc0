// SPDX-License-Identifier: GPL-2.0-only
/**
 * At most so many messages in so much time. Mirrors lib/ratelimit.c and include/linux/ratelimit.h (v5.7).
 *
 * Time is the virtual time of the CPU that asks, so whether a message is printed is part of the run.
 * Left out: the lock (the function is indivisible) and RATELIMIT_MSG_ON_RELEASE.
 *
 * @module
 */

import type { Kernel } from "./kernel.ts";
import { pr_warn } from "./printk.ts";

/** @mirrors include/linux/ratelimit.h:ratelimit_state */
export class ratelimit_state {
  printed = 0;
  missed = 0;
  /** When the interval began, in ns; -1 before the first message. */
  begin = -1;

  /** `burst` messages in `interval` ns; interval 0 is no limit. */
  constructor(readonly interval: number, readonly burst: number) {}
}

/**
 * Whether a message may be printed now.
 *
 * Context: any. Units: ns.
 *
 * @mirrors lib/ratelimit.c:___ratelimit
 */
export function ___ratelimit(k: Kernel, rs: ratelimit_state, func: string): boolean {
  if (rs.interval === 0) return true;
  const now = k.now();
  if (rs.begin < 0) rs.begin = now;
  if (now > rs.begin + rs.interval) {
    if (rs.missed !== 0) pr_warn(k, `${func}: ${rs.missed} callbacks suppressed`);
    rs.missed = 0;
    rs.begin = now;
    rs.printed = 0;
  }
  if (rs.burst > rs.printed) {
    rs.printed++;
    return true;
  }
  rs.missed++;
  return false;
}
