// SPDX-License-Identifier: GPL-2.0-only
/**
 * deno.json and deno.jsr.json are one configuration but for the packages that only JSR has, what the shell uses of
 * cliffy is what the stand-in has and cliffy documents, and the package that would be published is the library.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import ours from "../../deno.json" with { type: "json" };
import jsr from "../../deno.jsr.json" with { type: "json" };
import argumentsText from "../../repl/arguments.ts" with { type: "text" };
import * as command from "../../repl/cliffy/command.ts";
import * as table from "../../repl/cliffy/table.ts";

/** What deno.jsr.json maps to the packages themselves. */
const FROM_JSR = ["@cliffy/command", "@cliffy/table", "@std/assert"];

/** The part of cliffy that its documentation describes and that the shell may use: by class, read in cliffy 1.2.1. */
const DOCUMENTED: Readonly<Record<string, readonly string[]>> = {
  Command: [
    "action",
    "arguments",
    "command",
    "description",
    "getDescription",
    "getName",
    "helpOption",
    "name",
    "noExit",
    "option",
    "parse",
    "throwErrors",
  ],
  Table: ["body", "columns", "header", "indent", "padding", "render", "toString"],
};

/** Methods of a class of the stand-in that are its own affair. */
const PRIVATE = ["constructor", "build", "count", "wording"];

/** Names of `it` followed by a dot in a text. */
function membersOf(it: string, text: string): string[] {
  return [...new Set([...text.matchAll(new RegExp(`\\b${it}\\.(\\w+)`, "g"))].map(([, name]) => name))]
    .sort();
}

Deno.test("deno.jsr.json imports what deno.json imports, but for what JSR has, which it takes there by exact version", () => {
  const [here, there]: Record<string, string>[] = [ours.imports, jsr.imports];
  assertEquals(Object.keys(there), Object.keys(here));
  for (const name of Object.keys(here)) {
    if (FROM_JSR.includes(name)) {
      assertMatch(here[name], /^\.\/(deps|repl\/cliffy)\/\w+\.ts$/, name);
      assertMatch(there[name], new RegExp(`^jsr:${name}@\\d+\\.\\d+\\.\\d+$`), name);
    } else assertEquals(there[name], here[name], name);
  }
  for (const name of Object.keys(here)) {
    assert(!/^@(std|cliffy)\//.test(name) || FROM_JSR.includes(name), name);
  }
});

Deno.test("deno.jsr.json has the rest of deno.json that a run or a test depends on, and no tasks or lock of its own", () => {
  assertEquals(Object.keys(jsr).sort(), [
    "compilerOptions",
    "exclude",
    "imports",
    "lock",
    "nodeModulesDir",
    "test",
    "unstable",
  ]);
  assertEquals(Reflect.get(jsr, "unstable"), Reflect.get(ours, "unstable"));
  assertEquals(jsr.compilerOptions, ours.compilerOptions);
  assertEquals(jsr.test, ours.test);
  assertEquals(jsr.nodeModulesDir, ours.nodeModulesDir);
  assertEquals(jsr.exclude, ours.exclude);
  assertEquals(jsr.lock, false, "the committed lock file is that of deno.json");
});

Deno.test("repl:jsr is repl but for the configuration, and asks for cliffy before it starts", () => {
  const words = ours.tasks["repl:jsr"].split(" ");
  assertEquals(
    words.filter((it) => !["--config", "deno.jsr.json", "--preload", "@cliffy/command"].includes(it)),
    ours.tasks.repl.split(" "),
  );
  assertEquals(ours.tasks["test:jsr"], "deno test --config deno.jsr.json");
});

Deno.test("what repl/ uses of cliffy is what the stand-in has", () => {
  const used = membersOf("library", argumentsText);
  assertEquals(used, ["Command"]);
  for (const name of used) assert(name in command, name);
  const methods = membersOf("parser", argumentsText);
  assert(methods.length >= 6, `only ${methods} found`);
  for (const name of methods) assert(name in command.Command.prototype, name);
});

for (const [name, { prototype }] of Object.entries({ Command: command.Command, Table: table.Table })) {
  Deno.test(`the stand-in's ${name} has the methods that cliffy documents under these names, and no more`, () => {
    const own = Object.getOwnPropertyNames(prototype).filter((it) => !PRIVATE.includes(it));
    assertEquals(own.sort(), DOCUMENTED[name]);
  });
}

Deno.test("the stand-in exports values under cliffy's names only", () => {
  assertEquals(Object.keys(command).sort(), ["Command", "ValidationError"]);
  assertEquals(Object.keys(table), ["Table"]);
});

Deno.test("what is published is the library with its licence, without shell, tests and tools", () => {
  const { include } = ours.publish;
  for (
    const path of ["mod.ts", "LICENSE", "README.md", "deno.json", "kernel", "mm", "rcu", "init", "explore"]
  ) {
    assert(include.includes(path), path);
  }
  for (const path of ["tests", "tools", "bench", "deps", "repl", "docs"]) {
    assert(!include.includes(path), path);
  }
  for (const entry of Object.values(ours.exports)) assert(include.includes(entry.slice(2)), entry);
  assertMatch(ours.version, /^\d+\.\d+\.\d+$/);
  assertEquals(ours.license, "GPL-2.0-only");
  assert(!ours.tasks["publish:check"].includes("slow-types"));
});
