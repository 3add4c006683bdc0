// SPDX-License-Identifier: GPL-2.0-only
/**
 * tools/check_yield.ts reports every planted line of fixtures/yield_planted.ts.txt and no other.
 *
 * The fixture marks what must be found: `//! piece of the message` at the end of a line. Both directions are compared,
 * so a check that finds too little and one that finds too much fail alike. The checker runs on a library of sixty lines
 * (fixtures/lib.d.ts.txt): no file is read, bare `deno test` is enough.
 */
import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { checkYield } from "../../tools/check_yield.ts";
import type { ProgramOptions } from "../../tools/yield_program.ts";
import { formatFinding } from "../../tools/typescript.ts";
import lib from "./fixtures/lib.d.ts.txt" with { type: "text" };
import planted from "./fixtures/yield_planted.ts.txt" with { type: "text" };

const LIB = `
export interface Step { readonly effect: "step" }
export interface Sleep { readonly effect: "sleep" }
export type Atomic<T> = Generator<Step, T, void>;
export type MaySleep<T> = Generator<Step | Sleep, T, void>;
declare const brand: unique symbol;
export type Brand<T, B> = T & { readonly [brand]: B };
export type VirtAddr = Brand<number, "VirtAddr">;
export type Ptr<S> = VirtAddr & { readonly pointee?: S };
export type Gfp = Brand<number, "GfpSleeping"> | Brand<number, "GfpAtomic">;
export declare function done<T>(value: T): Generator<never, T, void>;
export interface Kernel {
  on: boolean;
  anything: any;
  body: MaySleep<number>;
  hook: ((k: Kernel) => Atomic<void>) | undefined;
  table: { call(k: Kernel, n: number): Atomic<void> };
  tick: (k: Kernel) => void;
  run: (k: Kernel) => Atomic<void>;
}
export type K = Kernel;
`;

const ASSERT = `
export declare function assert(expr: unknown): void;
export declare function assertEquals<T>(a: T, b: T): void;
export declare function drive<T>(body: Generator<unknown, T, void>): T;
`;

const OPTIONS: ProgramOptions = {
  lib: (name) => name === "lib.d.ts" ? lib : undefined,
  rootLib: "lib.d.ts",
  imports: { "@std/assert": "./deps/assert.ts" },
};

/** "line: piece" for each mark of the fixture. */
function marks(text: string): string[] {
  return text.split("\n").flatMap((line, index) => {
    const at = line.indexOf("//! ");
    return at < 0 ? [] : line.slice(at + 4).split(" + ").map((piece) => `${index + 1}: ${piece.trim()}`);
  });
}

function check(files: Record<string, string>): ReturnType<typeof checkYield> {
  return checkYield(new Map(Object.entries(files)), OPTIONS);
}

const FILES = { "kernel/planted.ts": planted, "kernel/planted_lib.ts": LIB, "deps/assert.ts": ASSERT };

Deno.test("checkYield() reports exactly the planted lines", () => {
  const wanted = marks(planted);
  assertGreater(wanted.length, 40);
  const pieces = [...new Set(wanted.map((it) => it.replace(/^\d+: /, "")))]
    .sort((a, b) => b.length - a.length);
  const found = check(FILES).map(({ file, line, what }) => {
    assertEquals(file, "kernel/planted.ts");
    return `${line}: ${pieces.find((piece) => what.includes(piece)) ?? what}`;
  });
  const order = (a: string, b: string): number => parseInt(a) - parseInt(b) || (a < b ? -1 : 1);
  assertEquals(found.sort(order), wanted.sort(order));
});

Deno.test("checkYield() prints file:line:column what", () => {
  const source = 'import { type Atomic } from "./planted_lib.ts";\n' +
    "declare function f(): Atomic<void>;\nexport function g(): void {\n  f();\n}\n";
  const findings = check({ "mm/a.ts": source, "mm/planted_lib.ts": LIB });
  assertEquals(findings.map(formatFinding), [
    "mm/a.ts:4:3 value dropped: the generator does nothing without yield*",
  ]);
});

Deno.test("checkYield() follows a generator through an import and the import map", () => {
  const files = {
    "kernel/planted_lib.ts": LIB,
    "deps/assert.ts":
      'import type { Atomic } from "../kernel/planted_lib.ts";\nexport declare function gen(): Atomic<1>;',
    "tests/a_test.ts": 'import { gen } from "@std/assert";\ngen();\n',
  };
  assertEquals(check(files).map((it) => it.file), ["tests/a_test.ts"]);
});

Deno.test("checkYield() knows an untyped package by its @ts-types comment", () => {
  const files = {
    "kernel/planted_lib.ts": LIB,
    "deps/assert.ts": '// @ts-types="./assert.d.ts"\nexport { assert } from "deno-std/assert/mod.js";\n',
    "deps/assert.d.ts": "export function assert(expr: unknown): asserts expr;\n",
    "tests/a_test.ts":
      'import { assert } from "@std/assert";\nimport type { Atomic } from "../kernel/planted_lib.ts";\n' +
      "declare function gen(): Atomic<1>;\nassert(gen());\n",
  };
  assertEquals(check(files).map((it) => `${it.file}:${it.line}`), ["tests/a_test.ts:4"]);
});

Deno.test("checkYield() lets only addr.ts and ram.ts split addresses", () => {
  const source =
    'import type { VirtAddr } from "./planted_lib.ts";\nexport declare const p: VirtAddr;\nexport const q = p >>> 0;\n';
  const at = (path: string): number => check({ [path]: source, "kernel/machine/planted_lib.ts": LIB }).length;
  assertEquals(at("kernel/machine/addr.ts"), 0);
  assertEquals(at("kernel/machine/ram.ts"), 0);
  assertEquals(at("kernel/machine/other.ts"), 1);
});

Deno.test("checkYield() survives files that do not parse or resolve", () => {
  const findings = check({ "mm/a.ts": 'import { x } from "./nowhere.ts";\nx(; const y = {' });
  assert(Array.isArray(findings));
  assertMatch(LIB, /Atomic/);
});
