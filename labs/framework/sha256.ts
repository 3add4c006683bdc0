// SPDX-License-Identifier: GPL-2.0-only
/**
 * SHA-256 and HMAC-SHA-256 (FIPS 180-4, RFC 2104), at once and without a host.
 *
 * What the host offers answers later only; hashes of submissions, keys of variants and signatures are wanted now, and
 * the same everywhere. Invariant: text is hashed as UTF-8.
 *
 * @module
 */

const BLOCK = 64;

/** Fractional parts of the roots of the first primes: of square roots for the start, of cube roots for the rounds. */
function roots(count: number, root: (n: number) => number): Uint32Array {
  const words: number[] = [];
  for (let n = 2; words.length < count; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
    if (prime) words.push(root(n) % 1 * 2 ** 32);
  }
  return Uint32Array.from(words, Math.floor);
}

function rotate(x: number, n: number): number {
  return (x >>> n) | (x << (32 - n));
}

/** The hash of `bytes`: 32 bytes. */
export function sha256Bytes(bytes: Uint8Array): Uint8Array {
  const start = roots(8, Math.sqrt);
  const rounds = roots(64, Math.cbrt);
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / BLOCK) * BLOCK);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 2 ** 29));
  view.setUint32(padded.length - 4, (bytes.length * 8) >>> 0);
  const state = Uint32Array.from(start);
  const w = new Uint32Array(64);
  for (let at = 0; at < padded.length; at += BLOCK) {
    for (let i = 0; i < 64; i++) {
      if (i < 16) {
        w[i] = view.getUint32(at + i * 4);
        continue;
      }
      const s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ (w[i - 15] >>> 3);
      const s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ (w[i - 2] >>> 10);
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + rounds[i] + w[i]) | 0;
      const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [a, b, c, d, e, f, g, h] = [(t1 + t2) | 0, a, b, c, (d + t1) | 0, e, f, g];
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => state[i] += word);
  }
  const out = new Uint8Array(32);
  state.forEach((word, i) => new DataView(out.buffer).setUint32(i * 4, word));
  return out;
}

/** The hash of a text in hexadecimal. */
export function sha256(text: string): string {
  return hex(sha256Bytes(new TextEncoder().encode(text)));
}

/** The HMAC of a text under a key, in hexadecimal. */
export function hmacSha256(key: string, text: string): string {
  let bytes = new TextEncoder().encode(key);
  if (bytes.length > BLOCK) bytes = Uint8Array.from(sha256Bytes(bytes));
  const pad = (byte: number): Uint8Array =>
    Uint8Array.from({ length: BLOCK }, (_, i) => (bytes[i] ?? 0) ^ byte);
  const inner = sha256Bytes(joined(pad(0x36), new TextEncoder().encode(text)));
  return hex(sha256Bytes(joined(pad(0x5c), inner)));
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
