// SPDX-License-Identifier: GPL-2.0-only
// A set of levels in few words.

import { type Level, LEVELS } from "../../kernel/config.ts";

/** `base to v6.1, v6.3-rc1`; two neighbours are named both. */
export function levelRanges(levels: readonly Level[]): string {
  const parts: string[] = [];
  for (let i = 0; i < LEVELS.length; i++) {
    if (!levels.includes(LEVELS[i])) continue;
    let last = i;
    while (last + 1 < LEVELS.length && levels.includes(LEVELS[last + 1])) last++;
    if (last - i < 2) parts.push(...LEVELS.slice(i, last + 1));
    else parts.push(`${LEVELS[i]} to ${LEVELS[last]}`);
    i = last;
  }
  return parts.join(", ");
}
