// SPDX-License-Identifier: GPL-2.0-only
/**
 * Submissions that a grader must stand: endless, huge, sly, broken. Each gets 0 for what it touches, and the rest is
 * graded. The region `sum` decides S1 (30 points); the region `user` is right throughout and holds S2 (40 points).
 *
 * @module
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { causeOf, grade, gradeSum, SOLUTION, STARTER, states, withRegion } from "./toy.ts";
import { KERNEL_MEMBERS, LINEAR, SPECIAL } from "../../labs/framework/names.ts";
import { boot } from "../../mod.ts";

/** Code in `sum` that has to fail S1 with a cause that contains `cause`, and nothing else. */
function fails(code: string, cause: string): void {
  const report = gradeSum(code);
  assertStringIncludes(causeOf(report, "S1"), cause, code);
  assertEquals(report.properties.find((it) => it.id === "S2")?.outcome.state, "PASS", code);
}

/** Code in `sum` that is refused before anything runs: a notice at its line, and the starter's region is graded. */
function refused(code: string, why: string): void {
  const report = gradeSum(code);
  assertEquals(report.notices.length, 1, `${code}: ${report.notices.join("; ")}`);
  assertStringIncludes(report.notices[0], `line 9: ${why}`, code);
  assertStringIncludes(causeOf(report, "S1"), "is -1", code);
  assertEquals(report.properties.find((it) => it.id === "S2")?.outcome.state, "PASS", code);
}

const NO_END = "your code does not come to an end within 20000 steps: line 9";

Deno.test("endless loops end at the step budget, and no try, catch or finally swallows that", () => {
  fails("for (;;) {}", NO_END);
  fails("while (true);", NO_END);
  fails("do { numbers; } while (true);", NO_END);
  fails("try { for (;;); } catch { } return numbers[0] + 5;", NO_END);
  fails("try { for (;;); } finally { return numbers[0] + 5; }", NO_END);
  fails("while (true) { try { for (;;); } catch { continue; } finally { continue; } }", NO_END);
  fails("for (;;) try { for (;;); } catch (e) { try { throw e; } catch { } }", NO_END);
  fails(
    "function* up() { for (let i = 0;; i++) yield i; } let s = 0; for (const n of up()) s += n; return s;",
    NO_END,
  );
  fails("return [...(function* () { for (;;) yield 1; })()].length;", NO_END);
});

Deno.test("a step budget that is used up fails the check even when the code gave the right answer", () => {
  // It swallows the stop at its last step and answers correctly.
  fails("let ok = 0; try { for (;;) ok++; } catch { } return numbers[0] + 5;", NO_END);
});

Deno.test("recursion without end is noticed before the host's stack is used up", () => {
  fails(
    "function f(n: number): number { return f(n + 1) + 1; } return f(0);",
    "your code calls itself without end",
  );
  fails("const f = (n: number): number => f(n + 1); return f(0);", "your code calls itself without end");
  fails(
    "function f(a: number = f()): number { return a; } return f();",
    "your code calls itself without end",
  );
  fails(
    "function f(a: number = f()): number { return a; } try { f(); } catch { } return numbers[0] + 5;",
    "calls itself",
  );
  fails(
    "function f(a: number = f()): number { return a; } try { f(); } finally { return 6; }",
    "calls itself without end",
  );
  fails(
    "function* f(): Generator<number> { yield* f(); } return [...f()].length;",
    "your code calls itself without end",
  );
  fails(
    "class A { get x(): number { return this.x; } } return new A().x;",
    "your code calls itself without end",
  );
});

Deno.test("what makes or copies much at once is counted", () => {
  const cause = "your code does not come to an end within 20000 steps";
  fails("return new Array(1e8).fill(0).length;", cause);
  fails("return Array(1e8).length;", cause);
  fails("return Array.from({ length: 1e8 }).length;", cause);
  fails("return new Uint8Array(1e9).length;", cause);
  fails('return "x".repeat(1e9).length;', cause);
  fails('return "x".padStart(1e9).length;', cause);
  fails('let s = "ab"; for (let i = 0; i < 40; i++) s = s + s; return s.length;', cause);
  fails('let s = "ab"; for (let i = 0; i < 40; i++) s += s; return s.length;', cause);
  fails('let s = "ab"; for (let i = 0; i < 40; i++) s = `${s}${s}`; return s.length;', cause);
  fails('let s = "ab"; for (let i = 0; i < 40; i++) s = s.concat(s); return s.length;', cause);
  fails('let s = "ab"; for (let i = 0; i < 40; i++) s = [s, s].join(""); return s.length;', cause);
  fails('let s = "ab"; for (let i = 0; i < 40; i++) s = s.replaceAll("a", s); return s.length;', cause);
  fails("let a: number[] = [1]; for (let i = 0; i < 40; i++) a = [...a, ...a]; return a.length;", cause);
  fails("let a: number[] = [1]; for (let i = 0; i < 40; i++) a = a.concat(a); return a.length;", cause);
  fails("let a: number[] = [1]; for (let i = 0; i < 40; i++) a.push(...a); return a.length;", cause);
  fails("const a: number[] = []; a.length = 1e9; a.sort(); return a.length;", cause);
  fails("const a: number[] = []; a.length = 1e9; return a.join().length;", cause);
  fails("return Math.max(...new Array(30000));", cause);
  fails(
    "const o: Record<string, number> = {}; for (let i = 0; ; i++) Object.assign(o, { [`k${i}`]: i }, o);",
    cause,
  );
});

Deno.test("what would grow without being counted is refused where it is met", () => {
  fails(
    "let a: unknown[] = []; for (let i = 0; i < 40; i++) a = [a, a]; return String(a).length;",
    "an array as text",
  );
  fails(
    "let a: unknown[] = []; for (let i = 0; i < 40; i++) a = [a, a]; return `${a}`.length;",
    "an array as text",
  );
  fails(
    "let a: unknown[] = []; for (let i = 0; i < 40; i++) a = [a, a]; return a.join().length;",
    "holds objects",
  );
  fails(
    "let a: unknown[] = []; for (let i = 0; i < 40; i++) a = [a, a]; return a.flat(Infinity).length;",
    ".flat has no bound",
  );
  fails('return "aaaa".match("(a+)+$") === null ? 0 : 1;', ".match regular expressions have no bound");
  fails('return "aa".replaceAll("a", "$`$`").length;', "$ in what replaceAll() puts in");
});

Deno.test("a built-in method that is counted cannot be taken out and called elsewhere", () => {
  fails('const f = "x".repeat; return f.call("x", 1e9).length;', ".repeat can be called, but not be taken");
  fails('const k = "re" + "peat"; return ("x" as never)[k](1e9);', '"repeat" between brackets');
  fails('return ("x" as never)["repeat" as string](1e9);', NO_END.split(":")[0]);
  refused('const { repeat } = "x" as never; return repeat;', "repeat in a pattern");
  refused("const { ...all } = numbers; return all.length;", "... in a pattern of an object");
  refused("return numbers?.map((n) => n).length;", "?. and map in one expression");
});

Deno.test("the host, its clock and randomness are not there", () => {
  refused("return Date.now();", "Date: the host's clock is not there for labs");
  refused("return performance.now();", "performance: the host's clock");
  fails("return Math.random();", "Math.random is not a function");
  refused("setTimeout(() => 0, 1); return 1;", "setTimeout: timers, promises and what runs later");
  refused("return new WeakRef(numbers) ? 1 : 0;", "WeakRef: what depends on garbage collection");
  refused("return new SharedArrayBuffer(8).byteLength;", "SharedArrayBuffer: shared memory");
  refused('return Deno.readTextFileSync("/etc/passwd").length;', "Deno: the host");
  refused("return Object.keys(globalThis).length;", "globalThis: the host");
  refused('fetch("http://example.org"); return 1;', "fetch: the host");
  refused('return eval("1");', "eval: code made from text");
  refused('return new Function("return 1")();', "Function: code made from text");
  refused('import("node:fs"); return 1;', "import(): only import declarations");
  refused("return import.meta.url.length;", "import.meta");
  refused("return 2n ** 1000000000n > 1n ? 1 : 0;", "a bigint");
  refused("return /(a+)+$/.exec('a') === null ? 0 : 1;", "a regular expression");
  refused("async function f(): Promise<void> { await f(); } f(); return 1;", "async and await");
});

Deno.test("a name of the host that the file also declares somewhere is still not the host's", () => {
  fails("function f(Date: number): number { return Date; } return f(1) + Date.now();", "reading 'now'");
  fails("function f(Deno: number): number { return Deno; } return f(1) + Deno.pid;", "reading 'pid'");
});

Deno.test("there is no way from an object to a compiler", () => {
  const cause = "leads to code that nobody counts";
  fails(
    'return ((() => 1) as never as { constructor(c: string): () => number }).constructor("return 1")();',
    cause,
  );
  fails(
    'const c = "constructor"; return (numbers as never)[c];',
    '"constructor" between brackets',
  );
  fails('return (numbers as never)["constructor"];', cause);
  fails(
    'const c = ["con", "structor"].join(""); return (numbers as never)[c];',
    '"constructor" between brackets',
  );
  fails(
    'const key = { toString: () => "constructor" }; return (numbers as never)[key as never];',
    "an object as the name",
  );
  refused("const { constructor } = numbers; return constructor.length;", "constructor in a pattern");
  refused("const { constructor: c } = numbers; return c.length;", "constructor in a pattern");
  refused("let c; ({ constructor: c } = numbers as never); return c;", "constructor in a pattern");
});

Deno.test("built-in prototypes cannot be changed", () => {
  fails(
    "Array.prototype.map = () => []; return numbers[0] + 5;",
    ".prototype built-in and shared prototypes stay",
  );
  fails("(numbers as never as { __proto__: { evil: number } }).__proto__.evil = 1; return 1;", ".__proto__");
  refused("const o = { __proto__: numbers }; return o ? 1 : 0;", "__proto__");
  fails("Object.assign(Object.freeze, { evil: 1 }); return 1;", "a function as a list of properties");
  fails("(Math as { max: unknown }).max = () => 0; return 1;", "read only");
  fails("(Array as { isArray: unknown }).isArray = () => true; return 1;", "read only");
  assertEquals(Object.keys(Array.prototype), []);
});

Deno.test("printing a fake result changes nothing", () => {
  const report = gradeSum(
    "console.log(JSONTEXT); return -1;".replace("JSONTEXT", '\'{"score": 100, "state": "PASS"}\''),
  );
  assertEquals(states(report).slice(0, 2), ["FAIL", "PASS"]);
  assertEquals(report.notices, []);
});

Deno.test("the kernel object gives what is offered and nothing else", () => {
  function user(code: string): string {
    return causeOf(grade(withRegion(SOLUTION, "user", `${code} return size === 0;`)), "S2");
  }
  const only = "of the kernel object only config, cpu, dataAlloc, now, ram can be used";
  assertStringIncludes(user("k.reports.length = 0;"), `k.reports: ${only}`);
  assertStringIncludes(user("(k as never as { seq: number }).seq = 0;"), `k.seq: ${only}`);
  assertStringIncludes(user("k.rcu.busy = () => false;"), `k.rcu: ${only}`);
  assertStringIncludes(user('(k as never)["log" as string];'), `k.log: ${only}`);
  assertStringIncludes(user('const name = "log"; (k as never)[name];'), '"log" between brackets');
  assertStringIncludes(user("Object.values(k);"), "the kernel object as a list of properties");
  assertStringIncludes(user("const all = { ...k };"), "the kernel object as a list of properties");
  assertStringIncludes(user("(k.config as { seed: number }).seed = 3;"), "read only");
  assertStringIncludes(user("k.ram.loadPtr(8 as never);"), "NULL pointer");
  assertEquals(user("k.now(); k.cpu.id; k.config.cpus;"), "it did not fail");
});

Deno.test("KERNEL_MEMBERS names everything that a kernel has", () => {
  const k = boot({ rcu: "tiny", cpus: 1, memBytes: 16 * 2 ** 20 });
  const names = new Set<string>();
  for (let it: object = k; it !== Object.prototype; it = Object.getPrototypeOf(it)) {
    for (const name of Object.getOwnPropertyNames(it)) names.add(name);
  }
  names.delete("constructor");
  assertEquals([...names].sort(), [...KERNEL_MEMBERS].sort());
});

Deno.test("every method of arrays and texts is counted, refused, or takes a fixed amount of work", () => {
  const fixed = [
    "at",
    "charAt",
    "charCodeAt",
    "codePointAt",
    "entries",
    "keys",
    "length",
    "pop",
    "push",
    "substr",
    "toString",
  ];
  fixed.push("values", "valueOf", "isWellFormed", "toWellFormed", "trimLeft", "trimRight");
  // Old ways to write HTML: what they add has a fixed length.
  fixed.push(
    "anchor",
    "big",
    "blink",
    "bold",
    "fixed",
    "fontcolor",
    "fontsize",
    "italics",
    "link",
    "small",
    "strike",
    "sub",
    "sup",
  );
  const methods = [Array.prototype, String.prototype].flatMap((it) => Object.getOwnPropertyNames(it));
  assertEquals(methods.filter((it) => !SPECIAL.has(it) && !fixed.includes(it)), []);
  assert(LINEAR.every((it) => SPECIAL.has(it)));
});

Deno.test("a region that does not compile is graded as in the starter, and the others are graded", () => {
  refused("return (;", "Expression expected");
  const report = grade(withRegion(SOLUTION, "sum", "if (true) {"));
  assertStringIncludes(report.notices[0], "region sum is graded as in the starter");
  assertEquals(states(report).slice(0, 2), ["FAIL", "PASS"]);
});

Deno.test("text outside of the regions is the starter's, whatever the file says", () => {
  const report = grade(
    SOLUTION.replace(
      "export function sum(",
      "export function user2(): number { return 1; }\nexport function sum(",
    ),
  );
  assertEquals(report.notices, [
    "line 7: changed outside of the regions; there the starter's text is graded",
  ]);
  assertEquals(states(report).slice(0, 2), ["PASS", "PASS"]);
  const imports = grade(SOLUTION.replace('from "quiesce"', 'from "node:fs"'));
  assertEquals(imports.notices, [
    "line 4: changed outside of the regions; there the starter's text is graded",
  ]);
  assertEquals(states(imports).slice(0, 2), ["PASS", "PASS"]);
});

Deno.test("regions that are missing, open or there twice are told, and the rest is graded", () => {
  const without = grade(SOLUTION.replace("// [student sum", "//"));
  assertEquals(without.notices.some((it) => it.startsWith("region sum is not there")), true);
  assertEquals(states(without).slice(0, 2), ["FAIL", "PASS"]);
  const empty = grade("");
  assertEquals(states(empty).slice(0, 2), ["FAIL", "FAIL"]);
  assertEquals(empty.score, grade(STARTER).score);
});

Deno.test("imports that the manifest does not name are refused in one line", () => {
  const starter = STARTER.replace("// [student sum", "// [student sum\n// student]\n// [student more");
  const report = grade(
    starter.replace(
      "return numbers.length === 0 ? 0 : -1;",
      'return -1; }\nimport { vmalloc } from "quiesce";\nexport function x() {',
    ),
    {
      starter,
    },
  );
  assertEquals(report.notices, [
    "line 12: import of vmalloc: this lab offers kmalloc, kfree, GFP_KERNEL, NULL; region more is graded as in the starter",
  ]);
});

Deno.test("module state does not survive from one check to the next", () => {
  const report = gradeSum("(sum as never as { calls: number }).calls ??= 0; return numbers[0] + 5;");
  assertEquals(report.properties[0].outcome.state, "PASS");
  const twice = withRegion(
    SOLUTION,
    "user",
    "return true;\n}\nlet calls = 0;\nexport function next(): number {\nreturn calls++;",
  );
  const first = grade(twice, { only: ["S1"] });
  assertEquals(grade(twice, { only: ["S1"] }), first);
});
