// SPDX-License-Identifier: GPL-2.0-only
/**
 * tools/check_layers.ts finds planted imports that go upwards, outwards or in circles, and no others.
 *
 * Each case is a tiny project: path → text. What must be found is given as pieces of the messages, in file order.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { checkLayers, GROUPS } from "../../tools/check_layers.ts";
import { isMirror, isPure, layerOf, LAYERS } from "../../tools/folders.ts";
import { inFileOrder } from "../../tools/typescript.ts";

const IMPORTS = { "@std/assert": "./deps/assert.ts", "commander": "npm:commander@15.1.0" };

interface Case {
  name: string;
  files: Record<string, string>;
  found: string[];
}

const CASES: Case[] = [
  {
    name: "accepts imports downwards and sideways",
    files: {
      "kernel/machine/addr.ts": "export const a = 1;",
      "kernel/trace/rcu.ts": 'import { a } from "../machine/addr.ts"; export const b = a;',
      "kernel/list.ts": 'import { b } from "./trace/rcu.ts"; export const c = b;',
      "mm/slub.ts": 'import { c } from "../kernel/list.ts"; export const d = c;',
      "rcu/tree.ts": 'import { d } from "../mm/slub.ts"; export const e = d;',
      "init/main.ts": 'import { e } from "../rcu/tree.ts"; export const f = e;',
      "explore/pct.ts": 'import { f } from "../init/main.ts"; export const g = f;',
      "mod.ts": 'export { g } from "./explore/pct.ts";',
      "examples/x.ts":
        'import { g } from "../mod.ts"; import { c } from "../kernel/list.ts"; export const h = [g, c];',
      "repl/main.ts":
        'import { g } from "../mod.ts"; import { Command } from "commander"; import os from "node:os";',
    },
    found: [],
  },
  {
    name: "finds an import upwards at each border",
    files: {
      "kernel/machine/a.ts": 'import { x } from "../list.ts";',
      "kernel/trace/a.ts": 'import { x } from "../list.ts";',
      "kernel/list.ts": 'import { x } from "../mm/slub.ts";',
      "mm/slub.ts": 'export * from "../rcu/tree.ts";',
      "rcu/tree.ts": 'import { x } from "../init/main.ts";',
      "init/main.ts": 'import { x } from "../explore/pct.ts";',
      "explore/pct.ts": 'import { x } from "../mod.ts";',
      "mod.ts": 'import { x } from "./examples/e.ts";',
      "examples/e.ts": 'import { x } from "../repl/r.ts";',
      "repl/r.ts": "export const x = 1;",
    },
    found: [
      "imports upwards: examples/ is below repl/",
      "imports upwards: explore/ is below mod.ts",
      "imports upwards: init/ is below explore/",
      "imports upwards: kernel/ is below mm/",
      "imports upwards: kernel/machine/ is below kernel/",
      "imports upwards: kernel/trace/ is below kernel/",
      "imports upwards: mm/ is below rcu/",
      "imports upwards: mod.ts is below examples/",
      "imports upwards: rcu/ is below init/",
    ],
  },
  {
    name: "finds a type that is fetched from above, however it is written",
    files: {
      "kernel/a.ts": 'import type { X } from "../mm/x.ts";\nimport { type X as Y } from "../mm/x.ts";\n' +
        'export type { X } from "../mm/x.ts";\nlet z: import("../mm/x.ts").X;',
      "mm/x.ts": "export interface X {}",
    },
    found: Array(4).fill("imports upwards: kernel/ is below mm/ (mm/x.ts)"),
  },
  {
    name: "finds the outside world in the pure layers",
    files: {
      "kernel/a.ts": 'import os from "node:os";',
      "mm/a.ts": 'import { Command } from "commander";',
      "rcu/a.ts": 'import type { X } from "npm:x@1";',
      "init/a.ts": 'import "https://x.example/y.ts";',
      "explore/a.ts": 'const x = await import("jsr:@std/path");',
    },
    found: [
      '"jsr:@std/path" is outside',
      '"https:',
      '"node:os" is outside',
      '"commander" is outside',
      '"npm:x@1"',
    ],
  },
  {
    name: "finds tests and tools that are imported by what they test",
    files: {
      "kernel/a.ts": 'import { x } from "../tests/t.ts";',
      "mm/b.ts": 'import { assert } from "@std/assert";',
      "repl/c.ts": 'import { x } from "../tools/t.ts";',
      "tests/t.ts": 'import { assert } from "@std/assert"; import "../repl/c.ts"; import "../tools/t.ts";',
      "tools/t.ts": "export const x = 1;",
      "deps/assert.ts": "export const assert = 1;",
    },
    found: ["kernel must not import tests", "mm must not import deps", "repl must not import tools"],
  },
  {
    name: "finds an import of a file that does not exist",
    files: { "kernel/a.ts": 'import { x } from "./b.ts"; import t from "./c.txt" with { type: "text" };' },
    found: ["imports kernel/b.ts, which does not exist"],
  },
  {
    name: "finds a circle of values, at each of its imports",
    files: {
      "mm/a.ts": 'import { b } from "./b.ts"; export function a() { return b; }',
      "mm/b.ts": 'import { c } from "./c.ts"; export function b() { return c; }',
      "mm/c.ts": 'import { a } from "./a.ts"; export function c() { return a; }',
      "mm/user.ts": 'import { a } from "./a.ts";',
    },
    found: [
      "circle of values: mm/a.ts → mm/b.ts → mm/c.ts → mm/a.ts",
      "circle of values: mm/b.ts → mm/c.ts → mm/a.ts → mm/b.ts",
      "circle of values: mm/c.ts → mm/a.ts → mm/b.ts → mm/c.ts",
    ],
  },
  {
    name: "accepts a circle of types",
    files: {
      "mm/a.ts": 'import { type B } from "./b.ts"; export type A = B;',
      "mm/b.ts": 'import type { A } from "./a.ts"; export interface B { a: A }',
    },
    found: [],
  },
  {
    name: "takes an import of values and types together for a value",
    files: {
      "mm/a.ts": 'import { type B, b } from "./b.ts"; export function a() { return b; }',
      "mm/b.ts": 'import { a } from "./a.ts"; export function b() { return a; }',
    },
    found: ["circle of values: mm/a.ts → mm/b.ts → mm/a.ts", "circle of values: mm/b.ts → mm/a.ts → mm/b.ts"],
  },
  {
    name: "accepts a circle inside a listed group",
    files: {
      "rcu/tree.ts": 'import { p } from "./tree_plugin.ts"; export const t = 1;',
      "rcu/tree_plugin.ts": 'import { t } from "./tree.ts"; export const p = 1;',
      "kernel/sched/core.ts": 'import { f } from "./fair.ts";',
      "kernel/sched/fair.ts": 'import { c } from "./core.ts";',
    },
    found: [],
  },
  {
    name: "finds a circle that leaves a group and comes back",
    files: {
      "rcu/tree.ts": 'import { p } from "./tree_plugin.ts"; export const t = 1;',
      "rcu/tree_plugin.ts": 'import { u } from "./update.ts"; export const p = 1;',
      "rcu/update.ts": 'import { t } from "./tree.ts"; export const u = 1;',
    },
    found: [
      "circle of values: rcu/tree_plugin.ts → rcu/update.ts → rcu/tree.ts",
      "circle of values: rcu/update.ts → rcu/tree.ts → rcu/update.ts",
    ],
  },
  {
    name: "finds what a circle uses while a module is evaluated",
    files: {
      "mm/slub.ts": 'import { create, sizes, Cache, hook } from "./slab_common.ts";\n' +
        "export const a = create(1);\nexport const b = [sizes];\nexport class C extends Cache {}\n" +
        "export const table = { hook, create };\nexport const later = () => sizes;\n" +
        "export function f() { return create(sizes); }\nexport class D { s = sizes; static t = sizes; }\n",
      "mm/slab_common.ts": 'import { f } from "./slub.ts";\nexport const sizes = 1;\n' +
        "export function create(n: number) { return n; }\nexport function* hook() {}\nexport class Cache {}\n",
    },
    found: [
      "create of mm/slab_common.ts is called",
      "sizes of mm/slab_common.ts is read",
      "Cache of mm/slab_common.ts is read",
      "sizes of mm/slab_common.ts is read",
    ],
  },
  {
    name: "allows the same where there is no circle",
    files: {
      "mm/slub.ts": 'import { create } from "./slab_common.ts";\nexport const a = create(1);',
      "mm/slab_common.ts": "export function create(n: number) { return n; }",
    },
    found: [],
  },
];

for (const { name, files, found } of CASES) {
  Deno.test(`checkLayers() ${name}`, () => {
    const findings = checkLayers(new Map(Object.entries(files)), IMPORTS).sort(inFileOrder);
    assertEquals(findings.length, found.length, JSON.stringify(findings, null, 1));
    for (const [index, piece] of found.entries()) assertStringIncludes(findings[index].what, piece);
  });
}

Deno.test("checkLayers() points at the specifier", () => {
  const files = new Map([["kernel/a.ts", '\nimport { x } from "../mm/x.ts";'], ["mm/x.ts", ""]]);
  const [{ file, line, column }] = checkLayers(files);
  assertEquals([file, line, column], ["kernel/a.ts", 2, 19]);
});

Deno.test("layerOf() takes the longest match", () => {
  const rank = (path: string): string | undefined => LAYERS[layerOf(path)];
  assertEquals(rank("kernel/machine/addr.ts"), "kernel/machine/");
  assertEquals(rank("kernel/sched/core.ts"), "kernel/");
  assertEquals(rank("mod.ts"), "mod.ts");
  assertEquals(rank("tests/mod.ts"), undefined);
  assert(isPure("kernel/machine/addr.ts") && isPure("explore/x.ts") && !isPure("repl/x.ts"));
  assert(isMirror("kernel/list.ts") && !isMirror("kernel/machine/addr.ts") && !isMirror("explore/x.ts"));
});

Deno.test("every group of GROUPS says why and names files of one layer", () => {
  for (const { files, why } of GROUPS) {
    assert(why.length > 10);
    assertEquals(new Set(files.map(layerOf)).size, 1, files.join());
  }
});
