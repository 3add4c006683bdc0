// SPDX-License-Identifier: GPL-2.0-only
/**
 * The lint rules find what is planted and leave clean code alone.
 *
 * Each case is a file of the project that never existed: its path (rules depend on the folder), its text, and the
 * source text that each finding must point at. An empty list means that the rule must stay silent.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { makePlugin } from "../../tools/lint_plugin.ts";

const plugin = makePlugin({ functions: ["planted_generator"], members: ["planted_member"] });

interface Case {
  name: string;
  file?: string;
  source: string;
  /** The text under each finding, in source order. */
  found: string[];
}

function run(rule: string, { file = "kernel/planted.ts", source }: Case): Deno.lint.Diagnostic[] {
  return Deno.lint.runPlugin(plugin, file, source)
    .filter((it) => it.id === `quiesce/${rule}`)
    .sort((a, b) => a.range[0] - b.range[0]);
}

function table(rule: string, cases: Case[]): void {
  for (const it of cases) {
    Deno.test(`${rule} ${it.name}`, () => {
      const texts = run(rule, it).map(({ range }) => it.source.slice(...range));
      assertEquals(texts, it.found);
    });
  }
}

const GEN = "function* gen(k: K): Atomic<number> { return 1; }\n";
const FAST = "function fast(k: K): MaySleep<void> { return done(undefined); }\n";

table("forgotten-yield", [
  {
    name: "accepts the operand of yield*",
    source: `${GEN}function* f(k: K): Atomic<void> { yield* gen(k); }`,
    found: [],
  },
  {
    name: "finds a dropped call",
    source: `${GEN}function* f(k: K): Atomic<void> { gen(k); yield* gen(k); }`,
    found: ["gen(k)"],
  },
  {
    name: "finds a plain function whose declared type is MaySleep",
    source: `${FAST}function f(k: K): void { fast(k); }`,
    found: ["fast(k)"],
  },
  {
    name: "knows that Colour is a generator type",
    source: "function kmalloc<F>(k: K, f: F): Colour<F, number> { return slow(k, f); }\n" +
      "function f(k: K): void { kmalloc(k, 1); }",
    found: ["kmalloc(k, 1)"],
  },
  {
    name: "accepts the host's own function of the same name",
    source: `${GEN}Deno.gen(1);`,
    found: [],
  },
  {
    name: "finds yield without the star",
    source: `${GEN}function* f(k: K): Atomic<void> { yield gen(k); }`,
    found: ["gen(k)"],
  },
  {
    name: "finds conditions",
    source: `${GEN}function* f(k: K): Atomic<void> {
      if (gen(k)) { }
      while (!gen(k)) { }
      const a = gen(k) ? 1 : 2;
      const b = gen(k) && a;
    }`,
    found: ["gen(k)", "gen(k)", "gen(k)", "gen(k)"],
  },
  {
    name: "finds a stored and an assigned call",
    source: `${GEN}function* f(k: K): Atomic<void> { const a = gen(k); let b; b = gen(k); k.x = gen(k); }`,
    found: ["gen(k)", "gen(k)", "gen(k)"],
  },
  {
    name: "finds a call passed as an argument",
    source: `${GEN}function* f(k: K): Atomic<void> { use(gen(k)); }`,
    found: ["gen(k)"],
  },
  {
    name: "accepts a callback that hands a generator on, and a push on a stack of coroutines",
    source: `${GEN}function f(k: K): void { start((k) => gen(k)); k.stack.push(gen(k)); }`,
    found: [],
  },
  {
    name: "finds a callback that says it returns nothing of the kind",
    source: `${GEN}function f(k: K): void { start((k): void => gen(k)); start(() => { gen(k); }); }`,
    found: ["gen(k)", "gen(k)"],
  },
  {
    name: "finds calls that the file does not declare, by the list",
    source: `function* f(k: Kernel): Atomic<void> { planted_generator(k); k.table.planted_member(k); }`,
    found: ["planted_generator(k)", "k.table.planted_member(k)"],
  },
  {
    name: "lets the file's own plain function win over the list",
    source: "function planted_generator(k: K): void {}\nfunction f(k: K): void { planted_generator(k); }",
    found: [],
  },
  {
    name: "accepts a declared generator variable",
    source: `${GEN}function f(k: K): void { const body: Coroutine = gen(k); start(body); }`,
    found: [],
  },
  {
    name: "accepts a plain function that hands a generator on",
    source: `${GEN}function f(k: K): Atomic<number> { return k.fast ? done(1) : gen(k); }`,
    found: [],
  },
  {
    name: "finds a generator function that returns another generator",
    source: `${GEN}function* f(k: K): Atomic<number> { return gen(k); }`,
    found: ["gen(k)"],
  },
  {
    name: "accepts an iterator made for for-of",
    source:
      "function* each(k: K): Generator<number> { yield 1; }\nfunction f(k: K): void { for (const n of each(k)) use(n); }",
    found: [],
  },
  {
    name: "sees through casts and the ends of a conditional",
    source:
      `${GEN}function* f(k: K, a: boolean): Atomic<void> { yield* (a ? gen(k) : (gen(k) as Atomic<number>))!; }`,
    found: [],
  },
  {
    name: "allows generators as values in tests, but not dropped ones",
    file: "tests/planted_test.ts",
    source: `${GEN}const g = gen(k); run(gen(k)); gen(k);`,
    found: ["gen(k)"],
  },
]);

table("no-address-bits", [
  {
    name: "accepts arithmetic",
    source: "const a = addr + 1; const b = p % 8; const c = flags & 1;",
    found: [],
  },
  {
    name: "finds every operator by name",
    source:
      "x = addr | 1; x = k.va_addr & 7; x = freeptr >> 3; x = headAddr << 1; x = ptr >>> 0; x = addr ^ 1; x = ~addr;",
    found: ["addr | 1", "k.va_addr & 7", "freeptr >> 3", "headAddr << 1", "ptr >>> 0", "addr ^ 1", "~addr"],
  },
  { name: "finds assignments", source: "addr &= 7; x |= ptr;", found: ["addr &= 7", "x |= ptr"] },
  { name: "finds the right operand", source: "x = 1 | addr;", found: ["1 | addr"] },
  {
    name: "finds annotated names",
    source: "function f(p: VirtAddr, q: PhysAddr, r: Ptr<page> | null): void { use(p & 1, q >> 2, r | 0); }",
    found: ["p & 1", "q >> 2", "r | 0"],
  },
  {
    name: "knows that a name is an address in one function and a number in the next",
    source: "function f(x: VirtAddr): void { use(x & 1); }\nfunction g(x: number): void { use(x & 2); }\n" +
      "function h(x: VirtAddr): void { use((x: number) => x & 3); }",
    found: ["x & 1"],
  },
  {
    name: "does not guess about a field that is an address in one class only",
    source: "class A { va: VirtAddr; } class B { va: number; }\nx = b.va & 1;",
    found: [],
  },
  {
    name: "finds annotated members",
    source: "class A { va: VirtAddr; }\nx = a.va & 1;",
    found: ["a.va & 1"],
  },
  { name: "sees through casts", source: "x = (addr as number) & 1;", found: ["(addr as number) & 1"] },
  {
    name: "allows addr.ts to split addresses",
    file: "kernel/machine/addr.ts",
    source: "x = addr >>> 0;",
    found: [],
  },
  { name: "does not take `attr` for an address", source: "x = attr & 1; y = addrs.length | 0;", found: [] },
]);

table("no-host", [
  {
    name: "finds the clock, randomness, timers, output and the host objects",
    source: "Date.now(); Math.random(); setTimeout(f); setInterval(f); performance.now(); console.log(1); " +
      "Deno.exit(); process.exit(); fetch(u); globalThis.x; new WeakRef(o);",
    found: [
      "Date",
      "Math.random",
      "setTimeout",
      "setInterval",
      "performance",
      "console",
      "Deno",
      "process",
      "fetch",
      "globalThis",
      "WeakRef",
    ],
  },
  {
    name: "finds host language settings",
    source: "a.localeCompare(b); n.toLocaleString();",
    found: ["a.localeCompare", "n.toLocaleString"],
  },
  { name: "finds a dynamic import", source: "await import('node:fs');", found: ["import('node:fs')"] },
  { name: "finds a shorthand property", source: "const o = { console };", found: ["console"] },
  {
    name: "accepts members, keys, types and own names that only look alike",
    source: "class A { performance = 1; process(): void {} }\n" +
      "x.console; x.fetch(); const o = { Date: 1 }; Math.max(1); type T = X.Date;\n" +
      "function f(process: Task): void { use(process); }",
    found: [],
  },
  {
    name: "is silent above the pure layers",
    file: "repl/planted.ts",
    source: "console.log(Date.now());",
    found: [],
  },
  { name: "is silent in tests", file: "tests/kernel/planted_test.ts", source: "setTimeout(f);", found: [] },
  { name: "covers explore", file: "explore/planted.ts", source: "console.log(1);", found: ["console"] },
]);

table("no-top-level-arrow", [
  { name: "finds an arrow", source: "const f = (k: K): void => {};", found: ["(k: K): void => {}"] },
  {
    name: "finds an exported function expression",
    source: "export const f = function (): void {};",
    found: ["function (): void {}"],
  },
  {
    name: "accepts declarations, values and inner arrows",
    source: "const n = 1;\nfunction f(): void { const g = () => 1; g(); }",
    found: [],
  },
  {
    name: "leaves kernel/machine alone",
    file: "kernel/machine/planted.ts",
    source: "const f = () => 1;",
    found: [],
  },
]);

table("explicit-return-type", [
  {
    name: "finds functions, methods and named function values",
    source: "function f() {}\nexport function* g(k: K) {}\nclass A { m() {} get p() { return 1; } }\n" +
      "const h = () => 1; const i = function () {};",
    found: ["f", "g", "m", "p", "h", "i"],
  },
  {
    name: "accepts declared results, callbacks, constructors, setters and typed variables",
    source: "function f(): void {}\nclass A { constructor() {} set p(x: number) {} m(): void {} }\n" +
      "run(function* (k) {}); list.map((x) => x + 1); const o = { f: () => 1 };\n" +
      "const g: () => void = () => {}; const h = (): void => {};",
    found: [],
  },
]);

Deno.test("forgotten-yield says what to write", () => {
  const [finding] = run("forgotten-yield", { name: "", source: `${GEN}gen(k);`, found: [] });
  assertMatch(finding.message, /^gen\(\) is a generator/);
  assertMatch(finding.hint ?? "", /yield\* gen\(/);
});
