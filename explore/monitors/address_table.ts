// SPDX-License-Identifier: GPL-2.0-only
/**
 * Event numbers by address, for what is looked up at every event: a map of addresses costs several times as much.
 *
 * An address in RAM is a page frame and one of its 512 words; a frame gets its words when something in it is first
 * remembered. What is not in RAM (vmalloc addresses, which are few) is in a map.
 *
 * Invariant: an address that was never set has 0. Addresses that share a word share their number, which is below 2^32.
 *
 * @module
 */

import { PAGE_SIZE, pfnToVirt } from "../../kernel/machine/addr.ts";

const WORD = 8;

export class AddressTable {
  private readonly base: number = pfnToVirt(0);
  private frames: (Uint32Array | null)[] = [];
  private readonly elsewhere = new Map<number, number>();

  constructor(private readonly ramBytes: number) {}

  get(addr: number): number {
    const at = addr - this.base;
    if (at < 0 || at >= this.ramBytes) return this.elsewhere.size === 0 ? 0 : this.elsewhere.get(addr) ?? 0;
    if (this.frames.length === 0) return 0;
    const frame = this.frames[Math.floor(at / PAGE_SIZE)];
    return frame === null ? 0 : frame[(at % PAGE_SIZE) >>> 3];
  }

  set(addr: number, value: number): void {
    const at = addr - this.base;
    if (at < 0 || at >= this.ramBytes) {
      if (value === 0) this.elsewhere.delete(addr);
      else this.elsewhere.set(addr, value);
      return;
    }
    if (this.frames.length === 0) this.frames = new Array(Math.ceil(this.ramBytes / PAGE_SIZE)).fill(null);
    const pfn = Math.floor(at / PAGE_SIZE);
    const frame = this.frames[pfn] ??= new Uint32Array(PAGE_SIZE / WORD);
    frame[(at % PAGE_SIZE) >>> 3] = value;
  }

  /** All addresses with a number other than 0, and the number; slow. */
  list(): (readonly [number, number])[] {
    const found: (readonly [number, number])[] = [...this.elsewhere];
    this.frames.forEach((frame, pfn) => {
      frame?.forEach((value, i) => {
        if (value !== 0) found.push([this.base + pfn * PAGE_SIZE + i * WORD, value]);
      });
    });
    return found;
  }
}
