// SPDX-License-Identifier: GPL-2.0-only
/**
 * The house rules of tools/tidy.ts find what is planted in made-up files. The planted words are put together from
 * pieces, so that the rules do not find them in this file.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { LONG_FILES, tidy, unlistedStatics } from "../../tools/tidy.ts";

const HEAD = "// SPDX-License-Identifier: GPL-2.0-only\n/** What it is. */\n";

interface Case {
  name: string;
  path?: string;
  text: string;
  /** [line, piece of the message] of each finding. */
  found: [number, string][];
}

const CASES: Case[] = [
  { name: "accepts a tidy file", text: HEAD + "export const a = 1;\n", found: [] },
  {
    name: "finds a missing SPDX line and header",
    text: "export const a = 1;\nexport const b = 1;\n",
    found: [[1, "SPDX"], [2, "no header comment"]],
  },
  { name: "finds an empty file", text: "", found: [[1, "SPDX"], [2, "no header comment"]] },
  {
    name: "finds a line of code that is too wide",
    text: HEAD + "const a = " + "b + ".repeat(30) + "c;\n",
    found: [[3, "132 columns of code"]],
  },
  {
    name: "finds a comment that is too wide",
    text: HEAD + "// " + "word ".repeat(30) + "\n",
    found: [[3, "columns: at most 130"]],
  },
  {
    name: "accepts a string that cannot be broken",
    text: HEAD + `const a = "${"word ".repeat(30)}";\n`,
    found: [],
  },
  { name: "counts characters, not UTF-16 units", text: HEAD + "// " + "→".repeat(127) + "\n", found: [] },
  { name: "finds a file that is too long", text: HEAD + "x;\n".repeat(599), found: [[601, "601 lines"]] },
  { name: "accepts a file of 600 lines", text: HEAD + "x;\n".repeat(598), found: [] },
  {
    name: "accepts a long file that is listed",
    path: "rcu/tree.ts",
    text: HEAD + "x;\n".repeat(3000),
    found: [],
  },
  {
    name: "finds marks of unfinished work",
    text: HEAD + `// ${"TO" + "DO"}: later\n// ${"FIX" + "ME"}\n// ${"X" + "XX"} ugly\nconst AXXXB = 1;\n`,
    found: [[3, "finish it"], [4, "finish it"], [5, "finish it"]],
  },
  {
    name: "finds them in documents too",
    path: "docs/a.md",
    text: `${"TO" + "DO"} write this\n`,
    found: [[1, "finish it"]],
  },
  { name: "finds carriage returns", path: "a.md", text: "a\r\nb\n", found: [[1, "carriage return"]] },
  {
    name: "finds paths of a machine and registry hosts",
    path: "README.md",
    text: `see ${"/wo" + "rk/"}main\n"${"/ro" + "ot/"}.cache"\nhttps://${"regis" + "try."}example\nhttp://${
      "local" + "host:"
    }80\n`,
    found: [[1, "/wo"], [2, "/ro"], [3, "registry"], [4, "host"]],
  },
  {
    name: "accepts paths that only look alike",
    path: "README.md",
    text: "kernel/work/x, a.root/b, ../home/c, registry.find(x), registry.ts\n",
    found: [],
  },
  {
    name: "finds a tarball address in the lock file",
    path: "deno.lock",
    text: '{\n  "tarball": "x"\n}\n',
    found: [[2, "tarball address"]],
  },
  { name: "allows the word elsewhere", path: "a.json", text: '{ "tarball": 1 }\n', found: [] },
  {
    name: "finds broken links of a document, not those in code or to the web",
    path: "docs/a.md",
    text:
      "[x](b.md) [y](../README.md#top) [z](gone.md) [w](https://x.example/) `[v](gone.md)` [u](#top)\n```\n[t](gone.md)\n```\n",
    found: [[1, "there is no docs/gone.md"]],
  },
];

for (const { name, path = "kernel/a.ts", text, found } of CASES) {
  Deno.test(`tidy() ${name}`, () => {
    const exists = (file: string): boolean => ["docs/b.md", "README.md"].includes(file);
    const findings = tidy(path, text, exists);
    assertEquals(findings.map((it) => it.line), found.map(([line]) => line), JSON.stringify(findings));
    for (const [index, [, piece]] of found.entries()) assertStringIncludes(findings[index].what, piece);
  });
}

Deno.test("every entry of LONG_FILES gives its reason", () => {
  for (const [path, why] of Object.entries(LONG_FILES)) assertStringIncludes(why, "(", path);
});

Deno.test("unlistedStatics() finds the file whose statics boot would not create", () => {
  const text = "\nexport const statics = [];";
  const files = new Map([["mm/a.ts", text], ["mm/b.ts", text], ["init/c.ts", text], ["repl/d.ts", text], [
    "mm/e.ts",
    "",
  ]]);
  const listing = `import { statics as a } from "../mm/a.ts";\nimport { statics as c } from "./c.ts";`;
  assertEquals(unlistedStatics(files, listing).map((f) => f.file), ["mm/b.ts"]);
});
