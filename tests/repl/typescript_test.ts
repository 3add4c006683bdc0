// SPDX-License-Identifier: GPL-2.0-only
// TypeScript line by line: what is kept, what is shown, how mistakes look (repl/typescript.ts, repl/rewrite.ts).

import { assert, assertEquals } from "@std/assert";
import { ran, TestShell } from "./harness.ts";

/** Lines typed one after the other in one session, and what all of them print. */
const KEPT: readonly (readonly [string, readonly string[], string])[] = [
  ["let", ["let x: number = 41", "x + 1"], "42\n"],
  ["let without value", ["let x: string | undefined", "[x]"], "[ undefined ]\n"],
  ["const", ["const a = 1, b = 2", "a + b"], "3\n"],
  ["a second let", ["let x = 1", "let x = 2", "x"], "2\n"],
  [
    "patterns",
    ["const {a, b: [, c = 5], ...rest} = {a: 1, b: [2], d: 7, e: 8}", "[a, c, rest]"],
    "[ 1, 5, { d: 7, e: 8 } ]\n",
  ],
  ["function", ["function f(n: number): number { return n * 2 }", "f(21)"], "42\n"],
  ["generator function", ["function* g() { yield 1 }", "[...g()]"], "[ 1 ]\n"],
  ["class", ["class A<T> { constructor(readonly v: T) {} }", "new A(3).v"], "3\n"],
  ["enum", ["enum E { A, B }", "E.B"], "1\n"],
  ["interface and type", ["interface I { a: number }; type T = I", "1"], "1\n"],
  ["await", ["const v = await Promise.resolve(5)", "v"], "5\n"],
  ["async function", ["async function f() { return await 4 }", "await f()"], "4\n"],
  [
    "closures see later values",
    ["let i = 0; const next = () => ++i", "next(); i = 10", "next()", "i"],
    "10\n11\n11\n",
  ],
  ["_", ["20 + 1", "_ * 2"], "21\n42\n"],
  ["_error", ["try { null!.x } catch (e) { _error = e }", "_error instanceof TypeError"], "true\n"],
  ["object literal", ["{a: 1}"], "{ a: 1 }\n"],
  ["block", ["{ let q = 1; print(q) }"], "1\n"],
  ["comma, parentheses, semicolon", ["(1, 2);"], "2\n"],
  ["no semicolons", ["let a = 1\nlet b = 2\nlet c = [a]\n;[b, c]"], "[ 2, [ 1 ] ]\n"],
  ["undefined is not shown", ["undefined", "void 0"], ""],
  ["a promise is shown, not awaited", ["Promise.resolve(1)"], "Promise { 1 }\n"],
  ["string with a command's name", ["'a; help'"], '"a; help"\n'],
  ["several lines", ["function f() {\n  return [\n    1,\n  ]\n}", "f()"], "[ 1 ]\n"],
  ["an error is shown without stack", ["new RangeError('far')"], "RangeError: far\n"],
];

for (const [what, lines, expected] of KEPT) {
  Deno.test(`Evaluator.evaluate() keeps state between lines: ${what}`, async () => {
    const shell = new TestShell();
    let out = "";
    for (const line of lines) {
      const { status, err, out: more } = await shell.run(line);
      assertEquals([status, err], [0, ""]);
      out += more;
    }
    assertEquals(out, expected);
  });
}

/** A text, its exit status, and its one line on standard error. */
const MISTAKES: readonly (readonly [string, number, string])[] = [
  [
    "let x: = 3",
    2,
    "s.q:1:8: Unexpected token `=`. Expected an identifier, void, yield, null, await, break,",
  ],
  ["1\nlet y = {\n  a: 1 +\n}", 2, "s.q:4:1: "],
  ["return 3", 2, "s.q:1:1: 'return' outside of function"],
  ["let x = 1, x = 2", 2, "s.q:1:12: Identifier 'x' has already been declared"],
  ["import x from 'y'", 2, "s.q:1:1: import declarations do not work here"],
  ["export const a = 1", 2, "s.q:1:1: there is nothing to export to here"],
  ["using f = g()", 2, "s.q:1:1: using works inside a block or function only"],
  ["throw new Error('boom')", 1, "s.q:1: Error: boom"],
  ["throw 3", 1, "thrown value: 3"],
  [
    "1\nfunction f() {\n  null.x\n}\nf()",
    1,
    "s.q:5: TypeError: Cannot read properties of null (reading 'x')",
  ],
  ["1\n[1].forEach((n) => {\n  missing(n)\n})", 1, "s.q:3: ReferenceError: missing is not defined"],
  ["typo = 1", 1, "s.q:1: ReferenceError: typo is not defined"],
  ["await Promise.reject(new Error('later'))", 1, "s.q:1: Error: later"],
  ["throw new Error('two\\nlines')", 1, "s.q:1: Error: two"],
  ["f('", 2, "s.q:1: the quote ' is never closed"],
  ["ps(\n1", 2, "s.q:1: ( is never closed"],
];

for (const [text, status, line] of MISTAKES) {
  Deno.test(`Shell.execute() reports ${JSON.stringify(text)} in one line with its place`, async () => {
    const result = await new TestShell().run(text, "s.q");
    assertEquals(result.status, status);
    assert(result.err.startsWith(line) || `s.q:1: ${line}\n` === result.err, result.err);
    assertEquals(result.err.split("\n").length, 2, "one line");
    assert(!/\bat .*:\d+:\d+/.test(result.err), "no stack");
  });
}

Deno.test("Shell.execute() stays usable after an error in TypeScript, and keeps _error", async () => {
  const shell = new TestShell();
  assertEquals((await shell.run("let a = 1; missing()")).status, 1);
  assertEquals((await shell.run("let b: = 1")).status, 2);
  assertEquals(await shell.run("[a, _error.name]"), { status: 0, out: '[ 1, "ReferenceError" ]\n', err: "" });
});

Deno.test("Evaluator keeps sessions and the globals apart", async () => {
  const one = new TestShell();
  const two = new TestShell();
  await one.run("let shared = 1; var name = 2; function parseInt() { return 3 }");
  assertEquals((await two.run("typeof shared")).out, '"undefined"\n');
  assertEquals((await one.run("[name, parseInt('7')]")).out, "[ 2, 3 ]\n");
  assertEquals([parseInt("7"), "shared" in globalThis], [7, false]);
});

Deno.test("Session.define() gives a name that follows a value and can be shadowed", async () => {
  const shell = new TestShell();
  const machine: { kernel?: unknown } = {};
  shell.session.define("k", () => machine.kernel);
  assertEquals((await shell.run("k")).out, "");
  machine.kernel = { jiffies: 7 };
  assertEquals((await shell.run("k.jiffies")).out, "7\n");
  assertEquals((await shell.run("let k = 1; k")).out, "1\n");
});

Deno.test("Session.show() decides how a value is shown, for results and for print()", async () => {
  const shell = new TestShell();
  shell.session.show = (value) => value === 7 ? ["seven", "(7)"] : undefined;
  assertEquals((await shell.run("7; print(7, 'x'); 7")).out, "seven\n(7) x\nseven\n(7)\n");
});

Deno.test("Session.explain() decides what an error of the kernel means", async () => {
  const shell = new TestShell();
  shell.session.explain = (error) =>
    error instanceof RangeError ? { status: 3, line: "kernel BUG" } : undefined;
  assertEquals(await shell.run("throw new RangeError('x')"), { status: 3, out: "", err: "kernel BUG\n" });
  assertEquals((await shell.run("throw new TypeError('x')")).status, 1);
});

Deno.test("inspectLines() cuts what is longer than a screen", async () => {
  const { out } = await ran(
    "Array.from({length: 16}, () => Object.fromEntries(Array.from({length: 9}, (_, i) => ['property' + i, 'long text ' + i])))",
  );
  const lines = out.trimEnd().split("\n");
  assertEquals(lines.length, 41);
  assert(/^\.\.\. \d+ more lines$/.test(lines[40]), lines[40]);
});
