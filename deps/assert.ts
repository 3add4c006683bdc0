// SPDX-License-Identifier: GPL-2.0-only
/**
 * `@std/assert`, as far as the tests use it.
 *
 * Deno std is published on JSR, which the machines that build this project cannot reach. The same code is on
 * npm as `deno-std`, without types; this file adds them (deps/assert.d.ts) and narrows the choice.
 * deno.json maps `@std/assert` to this file, deno.jsr.json maps it to the package itself, so a test says
 * `from "@std/assert"` and does not know which of the two it got.
 */

// @ts-types="./assert.d.ts"
export {
  assert,
  assertArrayIncludes,
  assertEquals,
  assertExists,
  assertGreater,
  assertGreaterOrEqual,
  AssertionError,
  assertLess,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
  fail,
} from "deno-std/assert/mod.js";
