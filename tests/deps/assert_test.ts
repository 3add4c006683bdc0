// SPDX-License-Identifier: GPL-2.0-only
/**
 * The assertions assert: every function of the facade is called once so that it must hold and once so that it
 * must fail. A facade that re-exported `undefined`, or a package whose functions changed their meaning, is
 * found here and not by tests that silently stop testing.
 */
import * as std from "@std/assert";
import { ok as holds, throws } from "node:assert/strict";

/** [name, a call that must hold, a call that must fail] */
const CASES: [string, () => unknown, () => unknown][] = [
  ["assert", () => std.assert(1), () => std.assert(0)],
  [
    "assertEquals",
    () => std.assertEquals({ a: [1] }, { a: [1] }),
    () => std.assertEquals({ a: [1] }, { a: [2] }),
  ],
  ["assertNotEquals", () => std.assertNotEquals([1], [2]), () => std.assertNotEquals([1], [1])],
  [
    "assertStrictEquals",
    () => std.assertStrictEquals(NaN, NaN),
    () => std.assertStrictEquals<unknown>([], []),
  ],
  ["assertMatch", () => std.assertMatch("abc", /b/), () => std.assertMatch("abc", /d/)],
  [
    "assertStringIncludes",
    () => std.assertStringIncludes("abc", "b"),
    () => std.assertStringIncludes("abc", "d"),
  ],
  [
    "assertArrayIncludes",
    () => std.assertArrayIncludes([1, 2], [2]),
    () => std.assertArrayIncludes([1, 2], [3]),
  ],
  ["assertExists", () => std.assertExists(0), () => std.assertExists(null)],
  ["assertGreater", () => std.assertGreater(2, 1), () => std.assertGreater(1, 1)],
  ["assertGreaterOrEqual", () => std.assertGreaterOrEqual(1, 1), () => std.assertGreaterOrEqual(0, 1)],
  ["assertLess", () => std.assertLess(1, 2), () => std.assertLess(1, 1)],
  ["assertLessOrEqual", () => std.assertLessOrEqual(1, 1), () => std.assertLessOrEqual(2, 1)],
  ["assertThrows", () => std.assertThrows(boom), () => std.assertThrows(() => 0)],
  [
    "assertThrows (class)",
    () => std.assertThrows(boom, RangeError, "bo"),
    () => std.assertThrows(boom, TypeError),
  ],
  [
    "assertThrows (text)",
    () => std.assertThrows(boom, RangeError),
    () => std.assertThrows(boom, RangeError, "x"),
  ],
  ["fail", () => 0, () => std.fail("always")],
];

function boom(): never {
  throw new RangeError("boom");
}

for (const [name, good, bad] of CASES) {
  Deno.test(`${name} passes when it holds and throws AssertionError when it does not`, () => {
    good();
    throws(bad, std.AssertionError);
  });
}

Deno.test("assertThrows() returns what was thrown", () => {
  holds(std.assertThrows(boom, RangeError).message === "boom");
});

Deno.test("assertRejects() resolves to the reason, and rejects when nothing rejected", async () => {
  const reason = await std.assertRejects(() => Promise.reject(new RangeError("boom")), RangeError, "boom");
  holds(reason.message === "boom");
  const failure = await std.assertRejects(() => std.assertRejects(() => Promise.resolve(0)));
  holds(failure instanceof std.AssertionError);
});
