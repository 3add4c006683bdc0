// SPDX-License-Identifier: GPL-2.0-only
/**
 * The state hash: two 32-bit words folded at events, choices, context switches and RAM stores.
 *
 * Two runs are the same run when the hash agrees at every event. It is cheap and order-dependent, not cryptographic.
 *
 * @module
 */

/** A running 64-bit hash. */
export class StateHash {
  h1 = 0x6a09_e667 | 0;
  h2 = 0xbb67_ae85 | 0;

  /** Folds two words; anything beyond 32 bits must be folded by the caller. */
  fold(a: number, b: number): void {
    const x = Math.imul(this.h1 ^ a, 0x9e37_79b1);
    const y = Math.imul(this.h2 ^ b, 0x85eb_ca77);
    this.h1 = (x ^ (y >>> 15)) | 0;
    this.h2 = (y + (x << 7 | x >>> 25)) | 0;
  }

  /** Folds a double that may be an address, a time or a negative sequence number. */
  foldNumber(value: number): void {
    this.fold(value | 0, Math.floor(value / 2 ** 32) | 0);
  }

  /** Folds the characters of `text`. */
  foldText(text: string): void {
    for (let i = 0; i < text.length; i++) this.fold(text.charCodeAt(i), i);
  }

  /** Starts over. */
  reset(): void {
    this.h1 = 0x6a09_e667 | 0;
    this.h2 = 0xbb67_ae85 | 0;
  }

  /** 16 hexadecimal digits. */
  text(): string {
    return hex8(this.h1) + hex8(this.h2);
  }
}

function hex8(word: number): string {
  return (word >>> 0).toString(16).padStart(8, "0");
}

/** A 32-bit hash of a short name, the same in every build. */
export function nameHash(text: string): number {
  let h = 0x811c_9dc5 | 0;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x0100_0193);
  return h >>> 0;
}
