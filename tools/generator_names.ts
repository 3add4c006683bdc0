// SPDX-License-Identifier: GPL-2.0-only
/**
 * Writes tools/generator_names.json: the generators that the lint rule `quiesce/forgotten-yield` knows by name.
 *
 *   deno task names            write the list anew
 *   deno task names --check    fail when it is out of date
 *
 * `functions` are exported functions whose declared result is `Atomic`, `MaySleep` or `Colour`; `members` are methods and
 * function-typed members with such a result. A name that is also declared somewhere with another result is left out of
 * its list: the rule knows names only, and a wrong alarm costs more than a miss that tools/check_yield.ts finds anyway.
 *
 * @module
 */

import ts, { isExported, parse } from "./typescript.ts";
import { readTree } from "./files.ts";
import type { GeneratorNames } from "./lint_plugin.ts";

const OUTPUT = new URL("./generator_names.json", import.meta.url);
/** Where generators that others call are declared. */
const SCANNED = ["kernel", "mm", "rcu", "init", "examples"];

/** The two lists for `files` (path → text). */
export function collectNames(files: ReadonlyMap<string, string>): GeneratorNames {
  const functions = new Map<string, boolean>();
  const members = new Map<string, boolean>();
  const note = (into: Map<string, boolean>, name: ts.Node | undefined, generator: boolean): void => {
    if (name === undefined || !ts.isIdentifier(name)) return;
    into.set(name.text, generator && (into.get(name.text) ?? true));
  };
  for (const [path, text] of files) {
    const source = parse(path, text);
    for (const statement of source.statements) {
      if (ts.isFunctionDeclaration(statement) && isExported(statement)) {
        note(functions, statement.name, isColoured(statement.type));
      }
    }
    const visit = (node: ts.Node): void => {
      if (ts.isMethodDeclaration(node) || ts.isMethodSignature(node)) {
        note(members, node.name, isColoured(node.type));
      } else if (ts.isPropertySignature(node) || ts.isPropertyDeclaration(node)) {
        const result = resultOf(node.type);
        if (result !== undefined) note(members, node.name, isColoured(result));
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  const kept = (from: Map<string, boolean>): string[] =>
    [...from].filter(([, generator]) => generator).map(([name]) => name).sort();
  return { functions: kept(functions), members: kept(members) };
}

/** The result type of a function type, also inside `| null`. */
function resultOf(type: ts.TypeNode | undefined): ts.TypeNode | undefined {
  if (type === undefined) return undefined;
  if (ts.isFunctionTypeNode(type)) return type.type;
  if (ts.isParenthesizedTypeNode(type)) return resultOf(type.type);
  if (ts.isUnionTypeNode(type)) return type.types.map(resultOf).find((it) => it !== undefined);
  return undefined;
}

/** `Atomic<T>`, `MaySleep<T>`, `Colour<F, T>`, or a union with one of them. */
function isColoured(type: ts.TypeNode | undefined): boolean {
  if (type === undefined) return false;
  if (ts.isUnionTypeNode(type)) return type.types.some(isColoured);
  return ts.isTypeReferenceNode(type) && ts.isIdentifier(type.typeName) &&
    ["Atomic", "MaySleep", "Colour"].includes(type.typeName.text);
}

function main(): void {
  const names = collectNames(readTree(SCANNED));
  const text = JSON.stringify(names, null, 2) + "\n";
  if (Deno.args.includes("--check")) {
    // Compared as data: how the file is laid out is the formatter's business.
    const old = JSON.stringify(JSON.parse(Deno.readTextFileSync(OUTPUT)));
    if (old !== JSON.stringify(names)) {
      console.log("names: tools/generator_names.json is out of date; run `deno task names`");
      Deno.exit(1);
    }
  } else Deno.writeTextFileSync(OUTPUT, text);
  console.log(`names: ${names.functions.length} functions, ${names.members.length} members`);
}

if (import.meta.main) main();
