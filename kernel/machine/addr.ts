// SPDX-License-Identifier: GPL-2.0-only
/**
 * Addresses: the map of the emulated 64-bit address space and the only arithmetic on it.
 *
 * An address is a double that holds the low 48 bits of the canonical address; bit 47 says what the upper 16 bits are.
 * Printing adds them back. Bit operators truncate to 32 bits, so they are confined to this file and ram.ts.
 * A 64-bit word that is not canonical (poison read as a pointer) is a number at or above 2^48.
 *
 * @module
 */

import type { Brand, Pfn, PhysAddr, Ptr, VirtAddr } from "./brand.ts";

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;

/** The null pointer, of every pointer type. */
export const NULL = 0 as Brand<number, "VirtAddr"> & Ptr<never>;

/** Start of the direct map: RAM byte 0. */
export const PAGE_OFFSET = 0x8880_0000_0000 as VirtAddr;
/** First address of the vmalloc area. */
export const VMALLOC_START = 0xc900_0000_0000 as VirtAddr;
/** Start of struct page space; page frame n is at + 64 n. */
export const VMEMMAP_START = 0xea00_0000_0000 as VirtAddr;
/** Last address of the vmalloc area (inclusive, as in Linux). */
export const VMALLOC_END = 0xe8ff_ffff_ffff as VirtAddr;
/** Start of kernel text: where functions get their addresses. */
export const TEXT_START = 0xffff_8100_0000 as VirtAddr;
/** The module area: 1520 MiB above the kernel's own text. */
export const MODULES_VADDR = 0xffff_a000_0000 as VirtAddr;
export const MODULES_END = 0xffff_ff00_0000 as VirtAddr;
/** One past the largest address that exists here. */
export const ADDRESS_LIMIT = 2 ** 48;

const WORD = 2 ** 32;

/** `addr + bytes`. */
export function addrAdd(addr: VirtAddr, bytes: number): VirtAddr {
  return (addr + bytes) as VirtAddr;
}

/** `addr` rounded down to a multiple of `align`. */
export function alignDown(addr: VirtAddr, align: number): VirtAddr {
  return (addr - addr % align) as VirtAddr;
}

/** `value` rounded up to a multiple of `align`; for sizes and addresses. */
export function alignUp(value: number, align: number): number {
  return Math.ceil(value / align) * align;
}

/** Byte offset of `addr` in its page. */
export function offsetInPage(addr: VirtAddr): number {
  return addr % PAGE_SIZE;
}

/** Start of the page that holds `addr`. */
export function pageOf(addr: VirtAddr): VirtAddr {
  return (addr - addr % PAGE_SIZE) as VirtAddr;
}

/** RAM offset of a direct-map address. The caller knows that it is one. */
export function __pa(addr: VirtAddr): PhysAddr {
  return (addr - PAGE_OFFSET) as PhysAddr;
}

/** Direct-map address of a RAM offset. */
export function __va(phys: PhysAddr): VirtAddr {
  return (phys + PAGE_OFFSET) as VirtAddr;
}

/** Page frame of a direct-map address. */
export function virtToPfn(addr: VirtAddr): Pfn {
  return ((addr - PAGE_OFFSET) >>> PAGE_SHIFT) as Pfn;
}

/** Direct-map address of a page frame. */
export function pfnToVirt(pfn: number): VirtAddr {
  return (PAGE_OFFSET + pfn * PAGE_SIZE) as VirtAddr;
}

/** Low 32 bits of an address, unsigned. */
export function lo32(addr: number): number {
  return addr >>> 0;
}

/** Bits 32-47 of an address, sign-extended to the upper word as it stands in memory (unsigned). */
export function hi32(addr: number): number {
  const hi = Math.floor(addr / WORD);
  return hi >= 0x8000 && hi <= 0xffff ? (hi | 0xffff_0000) >>> 0 : hi >>> 0;
}

/** Joins the two words of a pointer in memory. Canonical words give a 48-bit address, others a number above 2^48. */
export function joinWords(lo: number, hi: number): number {
  const top = hi >>> 15;
  return top === 0 || top === 0x1ffff ? (hi & 0xffff) * WORD + lo : hi * WORD + lo;
}

/** Bit 0 of an address or a stored offset. */
export function lowBit(value: number): number {
  return value % 2;
}

/** `addr` as the kernel's %px prints it: 16 lower-case digits, sign-extended. */
export function formatAddr(addr: number): string {
  if (addr >= ADDRESS_LIMIT) return BigInt(addr).toString(16).padStart(16, "0");
  const digits = addr.toString(16).padStart(12, "0");
  return (addr >= 2 ** 47 ? "ffff" : "0000") + digits;
}

/** Reads what `formatAddr` prints, with or without `0x`; also the bare 48-bit form. NaN when it is not an address. */
export function parseAddr(text: string): VirtAddr {
  const digits = text.toLowerCase().replace(/^0x/, "");
  if (!/^[0-9a-f]{1,16}$/.test(digits)) return NaN as VirtAddr;
  return Number(BigInt("0x" + digits) & 0xffff_ffff_ffffn) as VirtAddr;
}
