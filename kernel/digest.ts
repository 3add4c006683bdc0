// SPDX-License-Identifier: GPL-2.0-only
/**
 * The final digest: every byte of touched RAM and everything reachable from the kernel's statics.
 *
 * Unlike the running hash it depends on the state alone, not on how it came about. Functions, generators and identity
 * do not count; object graphs with cycles are walked once, by first visit.
 *
 * @invented comparing whole states
 * @module
 */

import { PAGE_SIZE } from "./machine/addr.ts";
import type { StateHash } from "./machine/hash.ts";
import type { Kernel } from "./kernel.ts";

/** Folds the state of `k` into `hash`. */
export function digestOf(hash: StateHash, k: Kernel): void {
  for (const pfn of k.ram.touchedPages()) {
    hash.fold(pfn, 1);
    const words = new Int32Array(k.ram.bytes.buffer, pfn * PAGE_SIZE, PAGE_SIZE / 4);
    for (let i = 0; i < words.length; i += 2) hash.fold(words[i], words[i + 1]);
  }
  const seen = new Map<object, number>([[k, 0]]);
  k.statics.forEach((value, slot) => {
    hash.fold(slot, 2);
    foldValue(hash, value, seen);
  });
}

function foldValue(hash: StateHash, value: unknown, seen: Map<object, number>): void {
  // An explicit stack: linked structures can be longer than the host's call stack.
  const stack: unknown[] = [value];
  while (stack.length > 0) {
    const next = stack.pop();
    switch (typeof next) {
      case "number":
        hash.foldNumber(next);
        break;
      case "string":
        hash.foldText(next);
        break;
      case "boolean":
        hash.fold(next ? 1 : 0, 3);
        break;
      case "object":
        if (next === null) hash.fold(0, 4);
        else pushObject(hash, next, seen, stack);
        break;
      default:
        hash.fold(0, 5);
    }
  }
}

function pushObject(hash: StateHash, value: object, seen: Map<object, number>, stack: unknown[]): void {
  const known = seen.get(value);
  if (known !== undefined) {
    hash.fold(known, 6);
    return;
  }
  seen.set(value, seen.size);
  if (ArrayBuffer.isView(value)) {
    const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    foldBytes(hash, bytes);
  } else if (value instanceof Map) {
    hash.fold(value.size, 7);
    for (const [key, item] of value) stack.push(item, key);
  } else if (value instanceof Set || Array.isArray(value)) {
    hash.fold(value instanceof Set ? value.size : value.length, 8);
    for (const item of value) stack.push(item);
  } else if (!(Symbol.iterator in value)) {
    for (const key of Object.keys(value)) stack.push((value as Record<string, unknown>)[key]);
  }
}

/** Large columns are mostly zero: zero runs are folded by their length. */
function foldBytes(hash: StateHash, bytes: Uint8Array): void {
  if (bytes.byteOffset % 4 !== 0 || bytes.byteLength % 4 !== 0) {
    for (let i = 0; i < bytes.length; i++) hash.fold(bytes[i], i);
    return;
  }
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  for (let i = 0; i < words.length; i++) if (words[i] !== 0) hash.fold(i, words[i]);
}
