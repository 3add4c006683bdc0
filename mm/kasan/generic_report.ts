// SPDX-License-Identifier: GPL-2.0-only
/**
 * What kind of mistake an access is, from the shadow. Mirrors mm/kasan/generic_report.c (v5.7).
 *
 * Invariant: looking only. Left out: wild addresses, which fault at once here, and sizes that wrap around.
 *
 * @module
 */

import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import {
  type kasan_access_info,
  KASAN_FREE_PAGE,
  KASAN_GLOBAL_REDZONE,
  KASAN_KMALLOC_FREE,
  KASAN_KMALLOC_REDZONE,
  KASAN_PAGE_REDZONE,
  KASAN_SHADOW_SCALE_SIZE,
  KASAN_VMALLOC_INVALID,
  shadowByte,
} from "./kasan.ts";

/** The first address of the access, in steps of 8, whose shadow is not 0. @mirrors mm/kasan/generic_report.c:find_first_bad_addr */
export function find_first_bad_addr(k: Kernel, addr: VirtAddr, size: number): VirtAddr {
  let p = addr;
  while (p < addr + size && shadowByte(k, p) === 0) p = (p + KASAN_SHADOW_SCALE_SIZE) as VirtAddr;
  return p;
}

/** @mirrors mm/kasan/generic_report.c:get_shadow_bug_type */
function get_shadow_bug_type(k: Kernel, info: kasan_access_info): string {
  let shadow = shadowByte(k, info.first_bad_addr);
  // Partly valid: what comes next says why the rest is not.
  if (shadow > 0 && shadow < KASAN_SHADOW_SCALE_SIZE) {
    shadow = shadowByte(k, (info.first_bad_addr + KASAN_SHADOW_SCALE_SIZE) as VirtAddr);
  }
  if (shadow < KASAN_SHADOW_SCALE_SIZE) return "out-of-bounds";
  switch (shadow) {
    case KASAN_PAGE_REDZONE:
    case KASAN_KMALLOC_REDZONE:
      return "slab-out-of-bounds";
    case KASAN_GLOBAL_REDZONE:
      return "global-out-of-bounds";
    case KASAN_FREE_PAGE:
    case KASAN_KMALLOC_FREE:
      return "use-after-free";
    case KASAN_VMALLOC_INVALID:
      return "vmalloc-out-of-bounds";
    default:
      return "unknown-crash";
  }
}

/** What kind of mistake it is, in KASAN's words. @mirrors mm/kasan/generic_report.c:get_bug_type */
export function get_bug_type(k: Kernel, info: kasan_access_info): string {
  return get_shadow_bug_type(k, info);
}
