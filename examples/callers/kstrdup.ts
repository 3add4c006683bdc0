// SPDX-License-Identifier: GPL-2.0-only
/** Strings in emulated memory, for the callers that keep names there. */

import {
  type Atomic,
  type Gfp,
  type Kernel,
  kmalloc,
  type MaySleep,
  NULL,
  udelay,
  type VirtAddr,
} from "../../mod.ts";

/** A copy of `s`, with its terminating zero, in memory from kmalloc(); NULL without memory. */
export function* kstrdup(k: Kernel, s: string, flags: Gfp): MaySleep<VirtAddr> {
  const p = yield* kmalloc(k, s.length + 1, flags);
  if (p !== NULL) strcpy(k, p, s);
  return p;
}

/** Writes `s` and its terminating zero. */
export function strcpy(k: Kernel, to: VirtAddr, s: string): void {
  for (let i = 0; i <= s.length; i++) k.ram.store8((to + i) as VirtAddr, i < s.length ? s.charCodeAt(i) : 0);
}

/** Reads the string at `p`, taking `usecs` for each character: whoever frees it meanwhile is noticed. */
export function* readString(k: Kernel, p: VirtAddr, usecs: number): Atomic<string> {
  let s = "";
  for (;;) {
    const c = k.ram.load8((p + s.length) as VirtAddr);
    if (c === 0) return s;
    s += String.fromCharCode(c);
    yield* udelay(k, usecs);
  }
}
