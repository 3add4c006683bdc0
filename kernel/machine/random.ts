// SPDX-License-Identifier: GPL-2.0-only
/**
 * Seeded random numbers (sfc32 seeded by splitmix32): the same sequence on every host.
 *
 * @module
 */

export class Random {
  private a = 0;
  private b = 0;
  private c = 0;
  private counter = 1;

  /** `stream` separates independent sequences of one seed. */
  constructor(seed: number, stream: number) {
    let state =
      (Math.imul(seed | 0, 0x9e37_79b1) ^ Math.imul(stream + 1, 0x85eb_ca77) ^ Math.floor(seed / 2 ** 32)) |
      0;
    function next(): number {
      state = (state + 0x9e37_79b9) | 0;
      let z = state ^ (state >>> 16);
      z = Math.imul(z, 0x21f0_aaad);
      z ^= z >>> 15;
      z = Math.imul(z, 0x735a_2d97);
      return z ^ (z >>> 15);
    }
    this.a = next();
    this.b = next();
    this.c = next();
    for (let i = 0; i < 12; i++) this.u32();
  }

  /** Uniform in 0 ... 2^32 - 1. */
  u32(): number {
    const sum = (this.a + this.b + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + sum | 0;
    return sum >>> 0;
  }

  /** Uniform in 0 ... n - 1. */
  below(n: number): number {
    return Math.floor(this.u32() / 2 ** 32 * n);
  }
}
