// SPDX-License-Identifier: GPL-2.0-only
/**
 * A 64-bit mask: C's `unsigned long` where every bit counts, as two 32-bit halves.
 *
 * Numbers of this emulator are doubles, exact to 53 bits, and bit operators see 32 of them; sequence numbers live well
 * with that, masks of CPUs do not. A field owns its mask and changes it in place, as C does with `|=` and `&= ~`, so
 * masks are never shared between two fields and nothing is allocated.
 *
 * @invented a double has 53 bits
 * @module
 */

/** Bits of an `unsigned long` of the mirrored machine. */
export const BITS_PER_LONG = 64;

function popcount(word: number): number {
  let bits = 0;
  for (let rest = word; rest !== 0; rest &= rest - 1) bits++;
  return bits;
}

export class Ulong64 {
  private lo = 0;
  private hi = 0;

  /** A new mask with the bits of `other`. */
  static copy(other: Ulong64): Ulong64 {
    return new Ulong64().set(other);
  }

  /** A new mask with bit `n`: BIT(n). */
  static bit(n: number): Ulong64 {
    return new Ulong64().setBit(n);
  }

  isZero(): boolean {
    return (this.lo | this.hi) === 0;
  }

  has(n: number): boolean {
    return ((n < 32 ? this.lo : this.hi) & (1 << (n & 31))) !== 0;
  }

  /** `(this & other) != 0` */
  intersects(other: Ulong64): boolean {
    return ((this.lo & other.lo) | (this.hi & other.hi)) !== 0;
  }

  equals(other: Ulong64): boolean {
    return this.lo === other.lo && this.hi === other.hi;
  }

  /** Number of bits. */
  weight(): number {
    return popcount(this.lo) + popcount(this.hi);
  }

  /** First bit at or after `from`, or 64. */
  next(from: number): number {
    let n = from;
    while (n < BITS_PER_LONG && !this.has(n)) n++;
    return n;
  }

  clear(): this {
    this.lo = 0;
    this.hi = 0;
    return this;
  }

  /** `this = other` */
  set(other: Ulong64): this {
    this.lo = other.lo;
    this.hi = other.hi;
    return this;
  }

  setBit(n: number): this {
    if (n < 32) this.lo |= 1 << n;
    else this.hi |= 1 << (n & 31);
    return this;
  }

  /** `this |= other` */
  or(other: Ulong64): this {
    this.lo |= other.lo;
    this.hi |= other.hi;
    return this;
  }

  /** `this &= ~other` */
  andNot(other: Ulong64): this {
    this.lo &= ~other.lo;
    this.hi &= ~other.hi;
    return this;
  }

  /** The value as a number, exact below 2^53. */
  toNumber(): number {
    return (this.hi >>> 0) * 2 ** 32 + (this.lo >>> 0);
  }

  /** As %lx prints it. */
  toString(): string {
    const lo = (this.lo >>> 0).toString(16);
    return this.hi === 0 ? lo : (this.hi >>> 0).toString(16) + lo.padStart(8, "0");
  }
}
