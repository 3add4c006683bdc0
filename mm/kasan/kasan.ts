// SPDX-License-Identifier: GPL-2.0-only
/**
 * What generic KASAN writes and where. Mirrors mm/kasan/kasan.h and the shadow part of include/linux/kasan.h (v5.7).
 *
 * Invariant: this file knows layouts and codes only, and calls nothing of mm/. What KASAN keeps with an object (who
 * allocated it, who freed it, the link of the quarantine) is bytes in RAM behind or in the object, and can be
 * overwritten like everything else.
 *
 * The shadow is not in emulated RAM: the machine's validity shadow (kernel/machine/ram.ts) already holds one byte for
 * eight, and shadowByte() says what KASAN would have there. That of the vmalloc area is what is mapped there now.
 *
 * Left out: software tags, stack and global variables, alloca.
 *
 * @module
 */

import {
  ADDRESS_LIMIT,
  PAGE_OFFSET,
  PAGE_SIZE,
  VMALLOC_END,
  VMALLOC_START,
} from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import {
  SHADOW_FREE_PAGE,
  SHADOW_KMALLOC_FREE,
  SHADOW_KMALLOC_REDZONE,
  SHADOW_PAGE_REDZONE,
  SHADOW_VALID,
  SHADOW_VMALLOC_INVALID,
} from "../../kernel/machine/ram.ts";
import { embed, ptr, struct, u32 } from "../../kernel/machine/struct.ts";
import type { Kernel } from "../../kernel/kernel.ts";

export const KASAN_SHADOW_SCALE_SIZE = 8;
export const KASAN_SHADOW_MASK: number = KASAN_SHADOW_SCALE_SIZE - 1;

/** A page that is free. */
export const KASAN_FREE_PAGE = SHADOW_FREE_PAGE;
/** Behind a kmalloc() above 8 KiB. */
export const KASAN_PAGE_REDZONE = SHADOW_PAGE_REDZONE;
/** In a slab, outside of what was asked for. */
export const KASAN_KMALLOC_REDZONE = SHADOW_KMALLOC_REDZONE;
/** A slab object that was freed. */
export const KASAN_KMALLOC_FREE = SHADOW_KMALLOC_FREE;
/** In the kernel's own .data, where no variable is. */
export const KASAN_GLOBAL_REDZONE = 0xfa;
/** In the vmalloc area, outside of what was asked for. */
export const KASAN_VMALLOC_INVALID = SHADOW_VMALLOC_INVALID;

/** One access that was not allowed. @mirrors mm/kasan/kasan.h:kasan_access_info */
export interface kasan_access_info {
  readonly access_addr: VirtAddr;
  readonly first_bad_addr: VirtAddr;
  readonly access_size: number;
  readonly is_write: boolean;
  /** Name of the function. */
  readonly ip: string;
}

/** Who did it, and on which stack. @mirrors mm/kasan/kasan.h:kasan_track */
export const kasan_track = struct("kasan_track", { pid: u32, stack: u32 });

/** What is kept of an object's allocation and of its free, behind the object. @mirrors mm/kasan/kasan.h:kasan_alloc_meta */
export const kasan_alloc_meta = struct("kasan_alloc_meta", {
  alloc_track: embed(kasan_track),
  free_track: embed(kasan_track),
});

/** @mirrors mm/kasan/kasan.h:qlist_node */
export const qlist_node = struct("qlist_node", { next: ptr });

/** What is kept with an object in quarantine, in its first bytes if nobody may look. @mirrors mm/kasan/kasan.h:kasan_free_meta */
export const kasan_free_meta = struct("kasan_free_meta", { quarantine_link: embed(qlist_node) });

/** The shadow of `addr` stands at `addr` / 8 + this; the low 48 bits of it, see addr.ts. */
const KASAN_SHADOW_OFFSET = 0xfc00_0000_0000;
/** What an eighth of the upper 16 bits of a kernel address, which are all ones, adds to the low 48. */
const UPPER_BITS = 0xe000_0000_0000;

/** Where the shadow of `addr`, an address of the kernel's half, would stand. @mirrors include/linux/kasan.h:kasan_mem_to_shadow */
export function kasan_mem_to_shadow(addr: VirtAddr): VirtAddr {
  const eighth = Math.floor(addr / KASAN_SHADOW_SCALE_SIZE);
  return (eighth + UPPER_BITS + KASAN_SHADOW_OFFSET) % ADDRESS_LIMIT as VirtAddr;
}

/** Whether `addr` is in vmalloc space. @mirrors mm/vmalloc.c:is_vmalloc_or_module_addr */
export function is_vmalloc_or_module_addr(addr: VirtAddr): boolean {
  return addr >= VMALLOC_START && addr <= VMALLOC_END;
}

/** @mirrors mm/kasan/kasan.h:addr_has_shadow @simplified what is neither RAM nor vmalloc space faults at once */
export function addr_has_shadow(k: Kernel, addr: VirtAddr): boolean {
  return (addr >= PAGE_OFFSET && addr < PAGE_OFFSET + k.ram.size) || is_vmalloc_or_module_addr(addr);
}

/**
 * The byte that KASAN's shadow has for the eight bytes around `addr`: 0 all valid, 1 to 7 the first so many, else why not.
 *
 * @invented C reads *(u8 *)kasan_mem_to_shadow(addr)
 */
export function shadowByte(k: Kernel, addr: VirtAddr): number {
  const phys = k.ram.translate(addr);
  if (phys < 0) return KASAN_VMALLOC_INVALID;
  const code = k.ram.shadow[phys >>> 3];
  if (code === SHADOW_VALID) return 0;
  // Never handed out: free since boot, or between the kernel's variables.
  if (code === 0) return phys < k.dataPages * PAGE_SIZE ? KASAN_GLOBAL_REDZONE : KASAN_FREE_PAGE;
  return code;
}
