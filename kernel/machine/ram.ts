// SPDX-License-Identifier: GPL-2.0-only
/**
 * Emulated RAM, its validity shadow, and the address translation in front of it.
 *
 * Invariant: nothing else touches the buffer. Kernel and user objects are read and written through the checked calls,
 * which consult the shadow; allocators write their in-object freelists through the raw ones, which do not.
 *
 * Shadow: one byte per 8 bytes of RAM. 8 all valid, 1-7 the first n valid, 0 never handed out, and the poison codes of
 * generic KASAN (0xff, 0xfb, ...) for memory that is not valid and why. Zero must mean "not valid" here, because a
 * fresh buffer is all zero and nothing of it has been handed out.
 *
 * @module
 */

import {
  ADDRESS_LIMIT,
  hi32,
  joinWords,
  lo32,
  PAGE_OFFSET,
  PAGE_SHIFT,
  PAGE_SIZE,
  VMALLOC_END,
  VMALLOC_START,
} from "./addr.ts";
import { assert } from "./assert.ts";
import type { PhysAddr, VirtAddr } from "./brand.ts";
import type { StateHash } from "./hash.ts";

/** Shadow byte of eight valid bytes. */
export const SHADOW_VALID = 8;
/** Shadow codes of invalid memory; the values are generic KASAN's. */
export const SHADOW_FREE_PAGE = 0xff;
export const SHADOW_PAGE_REDZONE = 0xfe;
export const SHADOW_KMALLOC_REDZONE = 0xfc;
export const SHADOW_KMALLOC_FREE = 0xfb;
export const SHADOW_VMALLOC_INVALID = 0xf9;

const WORD = 2 ** 32;
const PTE_PRESENT = 1;

/** What a checked access found wrong; the kernel turns it into a report. */
export type BadAccess = (addr: VirtAddr, size: number, write: boolean, phys: number) => void;

export class Ram {
  readonly size: number;
  readonly bytes: Uint8Array;
  readonly shadow: Uint8Array;
  /** Called at an access to invalid memory (phys >= 0) or to none (phys < 0); it is then carried out if it can be. */
  onBadAccess: BadAccess = failOnBadAccess;
  /** Root of the page tables of the vmalloc area, 0 until mm sets it. */
  pgd = 0;

  private readonly u16: Uint16Array;
  private readonly u32: Uint32Array;
  private readonly shadow32: Uint32Array;
  private readonly dirty: Uint8Array;
  /** Software TLB of the vmalloc area: page frame + 1 by page index. */
  private tlb = new Uint32Array(1024);

  constructor(size: number, private readonly hash: StateHash) {
    assert(size > 0 && size % PAGE_SIZE === 0 && size <= WORD, `RAM of ${size} bytes`);
    this.size = size;
    const buffer = new ArrayBuffer(size);
    this.bytes = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.u32 = new Uint32Array(buffer);
    const shadow = new ArrayBuffer(size / 8);
    this.shadow = new Uint8Array(shadow);
    this.shadow32 = new Uint32Array(shadow);
    this.dirty = new Uint8Array(size / PAGE_SIZE);
  }

  /** Clears what the last run touched: the cost is that of its footprint, not of the RAM size. */
  reset(): void {
    for (let pfn = this.dirty.indexOf(1); pfn >= 0; pfn = this.dirty.indexOf(1, pfn + 1)) {
      this.bytes.fill(0, pfn * PAGE_SIZE, (pfn + 1) * PAGE_SIZE);
      this.shadow.fill(0, pfn * (PAGE_SIZE / 8), (pfn + 1) * (PAGE_SIZE / 8));
      this.dirty[pfn] = 0;
    }
    this.pgd = 0;
    this.flushTlb();
  }

  /** Page frames that were ever written or handed out, ascending. */
  *touchedPages(): Generator<number> {
    for (let pfn = this.dirty.indexOf(1); pfn >= 0; pfn = this.dirty.indexOf(1, pfn + 1)) yield pfn;
  }

  // Translation

  /** RAM offset behind `addr`, or -1 when nothing is mapped there. */
  translate(addr: number): number {
    const offset = addr - PAGE_OFFSET;
    if (offset >= 0 && offset < this.size) return offset;
    if (addr < VMALLOC_START || addr > VMALLOC_END) return -1;
    const index = Math.floor((addr - VMALLOC_START) / PAGE_SIZE);
    const cached = index < this.tlb.length ? this.tlb[index] : 0;
    if (cached !== 0) return (cached - 1) * PAGE_SIZE + (addr % PAGE_SIZE);
    return this.walk(addr, index);
  }

  /** Forgets cached translations of `[from, to)`; mm calls it where Linux flushes the TLB. */
  flushTlbRange(from: number, to: number): void {
    const first = Math.floor((from - VMALLOC_START) / PAGE_SIZE);
    const end = Math.ceil((to - VMALLOC_START) / PAGE_SIZE);
    if (first < this.tlb.length) this.tlb.fill(0, first, Math.min(end, this.tlb.length));
  }

  /** Forgets every cached translation. */
  flushTlb(): void {
    this.tlb.fill(0);
  }

  private walk(addr: number, index: number): number {
    if (this.pgd === 0) return -1;
    let table = this.pgd;
    for (let shift = 39; shift >= PAGE_SHIFT; shift -= 9) {
      const slot = Math.floor(addr / 2 ** shift) % 512;
      const entry = this.u32[(table >>> 2) + slot * 2];
      if ((entry & PTE_PRESENT) === 0) return -1;
      table = (entry & ~0xfff) >>> 0;
    }
    if (index < 1 << 22) this.cacheTranslation(index, table >>> PAGE_SHIFT);
    return table + (addr % PAGE_SIZE);
  }

  private cacheTranslation(index: number, pfn: number): void {
    if (index >= this.tlb.length) {
      const grown = new Uint32Array(2 ** Math.ceil(Math.log2(index + 1)));
      grown.set(this.tlb);
      this.tlb = grown;
    }
    this.tlb[index] = pfn + 1;
  }

  // Checked access by virtual address

  private check(addr: VirtAddr, size: number, write: boolean): number {
    const phys = this.translate(addr);
    if (phys < 0 || phys % size !== 0 || !this.isValid(phys, size)) {
      if (phys < 0 || !this.isValid(phys, size)) this.onBadAccess(addr, size, write, phys);
    }
    return phys;
  }

  /** Whether the shadow allows `[phys, phys + size)`. */
  isValid(phys: number, size: number): boolean {
    const last = phys + size - 1;
    for (let granule = phys >>> 3; granule < last >>> 3; granule++) {
      if (this.shadow[granule] !== SHADOW_VALID) return false;
    }
    const code = this.shadow[last >>> 3];
    return code === SHADOW_VALID || (code < SHADOW_VALID && (last & 7) < code);
  }

  load8(addr: VirtAddr): number {
    const phys = this.check(addr, 1, false);
    return phys < 0 ? 0 : this.bytes[phys];
  }

  store8(addr: VirtAddr, value: number): void {
    const phys = this.check(addr, 1, true);
    if (phys < 0) return;
    this.hash.fold(phys, value);
    this.bytes[phys] = value;
    this.dirty[phys >>> PAGE_SHIFT] = 1;
  }

  load16(addr: VirtAddr): number {
    const phys = this.check(addr, 2, false);
    return phys < 0 ? 0 : this.u16[phys >>> 1];
  }

  store16(addr: VirtAddr, value: number): void {
    const phys = this.check(addr, 2, true);
    if (phys < 0) return;
    this.hash.fold(phys, value);
    this.u16[phys >>> 1] = value;
    this.dirty[phys >>> PAGE_SHIFT] = 1;
  }

  load32(addr: VirtAddr): number {
    const phys = this.check(addr, 4, false);
    return phys < 0 ? 0 : this.u32[phys >>> 2];
  }

  store32(addr: VirtAddr, value: number): void {
    const phys = this.check(addr, 4, true);
    if (phys < 0) return;
    this.hash.fold(phys, value);
    this.u32[phys >>> 2] = value;
    this.dirty[phys >>> PAGE_SHIFT] = 1;
  }

  /** Loads an 8-byte pointer. */
  loadPtr(addr: VirtAddr): VirtAddr {
    const phys = this.checkWord(addr, false);
    return phys < 0 ? 0 as VirtAddr : this.rawLoadPtr(phys);
  }

  /** Stores an 8-byte pointer, sign-extended. */
  storePtr(addr: VirtAddr, value: number): void {
    const phys = this.checkWord(addr, true);
    if (phys < 0) return;
    const lo = lo32(value);
    this.hash.fold(phys, lo);
    const at = phys >>> 2;
    this.u32[at] = lo;
    this.u32[at + 1] = hi32(value);
    this.dirty[phys >>> PAGE_SHIFT] = 1;
  }

  /** Loads a signed 64-bit integer; exact up to 2^53. */
  loadLong(addr: VirtAddr): number {
    const phys = this.checkWord(addr, false);
    if (phys < 0) return 0;
    const at = phys >>> 2;
    return (this.u32[at + 1] | 0) * WORD + this.u32[at];
  }

  /** Stores a signed 64-bit integer. */
  storeLong(addr: VirtAddr, value: number): void {
    const phys = this.checkWord(addr, true);
    if (phys < 0) return;
    this.hash.fold(phys, value | 0);
    const at = phys >>> 2;
    this.u32[at] = value >>> 0;
    this.u32[at + 1] = Math.floor(value / WORD) >>> 0;
    this.dirty[phys >>> PAGE_SHIFT] = 1;
  }

  private checkWord(addr: VirtAddr, write: boolean): number {
    const offset = addr - PAGE_OFFSET;
    const phys = offset >= 0 && offset < this.size ? offset : this.translate(addr);
    if (phys >= 0 && (phys & 7) === 0 && this.shadow[phys >>> 3] === SHADOW_VALID) return phys;
    if (phys < 0 || !this.isValid(phys, 8)) this.onBadAccess(addr, 8, write, phys);
    return phys;
  }

  // Raw access by RAM offset: allocators and hardware (page-table walks) only

  rawLoadPtr(phys: number): VirtAddr {
    const at = phys >>> 2;
    return joinWords(this.u32[at], this.u32[at + 1]) as VirtAddr;
  }

  rawStorePtr(phys: number, value: number): void {
    const at = phys >>> 2;
    const lo = lo32(value);
    this.hash.fold(phys, lo);
    this.u32[at] = lo;
    this.u32[at + 1] = hi32(value);
    this.dirty[phys >>> PAGE_SHIFT] = 1;
  }

  /** Loads an unsigned 32-bit word. */
  rawLoad32(phys: number): number {
    return this.u32[phys >>> 2];
  }

  rawStore32(phys: number, value: number): void {
    this.hash.fold(phys, value);
    this.u32[phys >>> 2] = value;
    this.dirty[phys >>> PAGE_SHIFT] = 1;
  }

  rawFill(phys: number, length: number, byte: number): void {
    if (length === 0) return;
    this.hash.fold(phys, length ^ (byte << 24));
    this.bytes.fill(byte, phys, phys + length);
    this.markDirty(phys, length);
  }

  /** Copies bytes without looking at the shadow of either side. */
  rawCopy(from: number, to: number, length: number): void {
    if (length === 0) return;
    this.bytes.copyWithin(to, from, from + length);
    for (let i = 0; i + 3 < length; i += 4) this.hash.fold(to + i, this.u32[(to + i) >>> 2]);
    this.markDirty(to, length);
  }

  private markDirty(phys: number, length: number): void {
    for (let pfn = phys >>> PAGE_SHIFT; pfn <= (phys + length - 1) >>> PAGE_SHIFT; pfn++) this.dirty[pfn] = 1;
  }

  // Shadow

  /** Makes `[phys, phys + size)` valid; `phys` is a multiple of 8. */
  unpoison(phys: PhysAddr | number, size: number): void {
    this.setShadow(phys, size >>> 3, SHADOW_VALID);
    if ((size & 7) !== 0) this.shadow[(phys + size) >>> 3] = size & 7;
  }

  /** Makes `[phys, phys + size)` invalid for the reason `code`; `size` is rounded up to 8. */
  poison(phys: PhysAddr | number, size: number, code: number): void {
    this.setShadow(phys, (size + 7) >>> 3, code);
  }

  private setShadow(phys: number, granules: number, code: number): void {
    const first = phys >>> 3;
    const end = first + granules;
    this.dirty[phys >>> PAGE_SHIFT] = 1;
    if (granules > 512) this.markDirty(phys, granules * 8);
    if (granules > 64) {
      this.shadow.fill(code, first, end);
      return;
    }
    let at = first;
    while ((at & 3) !== 0 && at < end) this.shadow[at++] = code;
    const word = code * 0x0101_0101;
    for (; at + 4 <= end; at += 4) this.shadow32[at >>> 2] = word;
    while (at < end) this.shadow[at++] = code;
  }
}

function failOnBadAccess(addr: VirtAddr, size: number, write: boolean): void {
  const what = write ? "write" : "read";
  assert(false, `${what} of ${size} bytes at ${addr.toString(16)} before the kernel handles faults`);
}

/** Whether `value` is something an address register can hold. */
export function isCanonical(value: number): boolean {
  return value >= 0 && value < ADDRESS_LIMIT;
}
