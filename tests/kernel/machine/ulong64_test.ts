// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of kernel/machine/ulong64.ts: it does what a 64-bit BigInt does.
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { Ulong64 } from "../../../kernel/machine/ulong64.ts";

const bits = fc.uniqueArray(fc.integer({ min: 0, max: 63 }));

function maskOf(members: readonly number[]): Ulong64 {
  const mask = new Ulong64();
  for (const n of members) mask.setBit(n);
  return mask;
}

function bigOf(members: readonly number[]): bigint {
  return members.reduce((sum, n) => sum | (1n << BigInt(n)), 0n);
}

Deno.test("Ulong64 agrees with BigInt on every operation", () => {
  fc.assert(fc.property(bits, bits, (left, right) => {
    const [a, b] = [bigOf(left), bigOf(right)];
    const other = maskOf(right);
    assertEquals(maskOf(left).toString(), a.toString(16));
    assertEquals(maskOf(left).or(other).toString(), (a | b).toString(16));
    assertEquals(maskOf(left).andNot(other).toString(), (a & ~b).toString(16));
    assertEquals(maskOf(left).intersects(other), (a & b) !== 0n);
    assertEquals(maskOf(left).equals(other), a === b);
    assertEquals(maskOf(left).isZero(), a === 0n);
    assertEquals(maskOf(left).weight(), left.length);
    assertEquals(new Ulong64().set(other).toString(), b.toString(16));
    assertEquals(other.toString(), b.toString(16), "the operand is unchanged");
  }));
});

Deno.test("Ulong64.next() finds the members in order, and 64 when there is none", () => {
  fc.assert(fc.property(bits, (members) => {
    const mask = maskOf(members);
    const found: number[] = [];
    for (let n = mask.next(0); n < 64; n = mask.next(n + 1)) found.push(n);
    assertEquals(found, [...members].sort((x, y) => x - y));
  }));
});

Deno.test("Ulong64 has all 64 bits, where a double has 53", () => {
  const all = maskOf(Array.from({ length: 64 }, (_, n) => n));
  assertEquals(all.toString(), "ffffffffffffffff");
  assertEquals(all.toNumber(), 2 ** 64, "as near as a double comes");
  assertEquals(Ulong64.bit(63).toString(), "8000000000000000");
  assertEquals(Ulong64.bit(31).toNumber(), 2 ** 31);
  assertEquals(Ulong64.copy(all).clear().isZero(), true);
});
