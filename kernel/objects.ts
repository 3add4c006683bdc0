// SPDX-License-Identifier: GPL-2.0-only
/**
 * Memory of kernel structures that C takes from kzalloc() and that are plain classes here.
 *
 * The instance lives on the host; what it takes in emulated RAM is a real allocation of its 64-bit size, so that it can
 * fail, is counted and has an address. Before the allocators are up it is a piece of .data, part of the boot image.
 *
 * @module
 */

import { NULL, PAGE_SIZE, pfnToVirt } from "./machine/addr.ts";
import type { VirtAddr } from "./machine/brand.ts";
import { type Atomic, doneVoid, type MaySleep } from "./machine/effects.ts";
import { GFP_KERNEL } from "./gfp.ts";
import type { Kernel } from "./kernel.ts";

/**
 * kzalloc(size, GFP_KERNEL) for an instance. NULL without memory.
 *
 * @invented a class instance needs no bytes, but the run must see them taken
 */
export function* allocObject(k: Kernel, size: number): MaySleep<VirtAddr> {
  return k.mm.ready ? yield* k.mm.kzalloc(k, size, GFP_KERNEL) : k.dataAlloc(size);
}

/**
 * kfree() of what allocObject() returned; pieces of .data stay.
 *
 * @invented see allocObject()
 */
export function freeObject(k: Kernel, addr: VirtAddr): Atomic<void> {
  const isData = addr === NULL || addr < pfnToVirt(0) + k.dataPages * PAGE_SIZE;
  return isData ? doneVoid() : k.mm.kfree(k, addr);
}
