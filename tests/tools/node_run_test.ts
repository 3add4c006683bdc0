// SPDX-License-Identifier: GPL-2.0-only
/** tools/node_run.ts takes the kernel to Node as it is; tools/node_list.ts covers what could differ there. */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { execute, RUNS } from "../../tools/node_list.ts";
import { closure, compiledName, firstDifference, toJavaScript } from "../../tools/node_run.ts";

const FILES: Readonly<Record<string, string>> = {
  "mm/a.ts":
    'import { b } from "../kernel/b.ts";\nimport type { C } from "./c.ts";\nexport const a: C = b;\n',
  "mm/c.ts": "export type C = number;\n",
  "kernel/b.ts": 'import { a } from "../mm/a.ts";\nexport const b = 1;\nexport const f = (): number => a;\n',
  "mm/unused.ts": "export const never = 1;\n",
  "mm/host.ts": 'import fs from "node:fs";\nexport { fs };\n',
  "mm/lost.ts": 'export { x } from "./x.ts";\n',
};

Deno.test("closure() follows imports through a circle, types too, and takes nothing else", () => {
  const files = closure("mm/a.ts", (path) => FILES[path] ?? null);
  assertEquals([...files.keys()].sort(), ["kernel/b.ts", "mm/a.ts", "mm/c.ts"]);
  assertEquals(files.get("mm/c.ts"), FILES["mm/c.ts"]);
});

Deno.test("closure() refuses what is not of the project, and names what does not exist", () => {
  const read = (path: string): string | null => FILES[path] ?? null;
  assertThrows(() => closure("mm/host.ts", read), Error, 'mm/host.ts imports "node:fs": not of the project');
  assertThrows(() => closure("mm/lost.ts", read), Error, "mm/lost.ts imports mm/x.ts, which does not exist");
});

Deno.test("toJavaScript() drops types and turns the ending of relative imports, also of dynamic ones", () => {
  const text = 'import { b, type B } from "./b.ts";\nimport type { C } from "./c.ts";\n' +
    'export class D { constructor(readonly n: B) {} }\nexport const e = (c: C): unknown => import("./e.ts") ?? b(c);\n' +
    'export const s = "./kept.ts";\n';
  const output = toJavaScript("mm/a.ts", text);
  assertMatch(output, /from "\.\/b\.js"/);
  assertMatch(output, /import\("\.\/e\.js"\)/);
  assertMatch(output, /"\.\/kept\.ts"/);
  assert(!/c\.[jt]s|readonly|: B|unknown/.test(output), output);
  assertEquals(compiledName("rcu/levels/tree/v6.1.192.ts"), "rcu/levels/tree/v6.1.192.js");
});

Deno.test("firstDifference() names the line, the run that it is in, and what each host says", () => {
  const lines = ["one: hash 1", "  report", "two: hash 2"];
  assertEquals(firstDifference(lines, [...lines]), undefined);
  assertEquals(
    firstDifference(lines, ["one: hash 1", "  Report", "two: hash 2"]),
    "line 2 differs, in: one: hash 1\n  Deno:   report\n  Node:   Report",
  );
  assertMatch(
    firstDifference(lines, lines.slice(0, 2)) ?? "",
    /^line 3 differs.*\n.*hash 2\n {2}Node: \(no such line\)$/,
  );
});

Deno.test("the list has both flavours, levels from both ends, KASAN and reports; each run is the same twice", () => {
  const configs = RUNS.map(({ config }) => config);
  for (const level of ["base", "7/7", "v6.3"] as const) {
    assert(configs.some((it) => it.level === level), level);
  }
  assert(configs.some((it) => it.rcu === "tiny") && configs.some((it) => it.kasan === true));
  assertEquals(new Set(RUNS.map(({ name }) => name)).size, RUNS.length);
  const lines = RUNS.map((run) => execute(run));
  assertEquals(RUNS.map((run) => execute(run)), lines);
  for (const [line] of lines) {
    assertMatch(line, /: completed at event \d+, \d+ reports, hash [0-9a-f]{16}, memory/);
  }
  const report = lines.flat().join("\n");
  // The reader's own function, and not one of the host's below the engine or of KASAN above it (ext4 example).
  assertMatch(report, /BUG: KASAN: use-after-free in walker\n/);
  assertMatch(report, /Call Trace:\n {3}walker\n {3}kthread\n {3}ret_from_fork\n/);
});
