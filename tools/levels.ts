// SPDX-License-Identifier: GPL-2.0-only
/**
 * Compares the files of rcu/levels/ with what the manifest says that each level changes.
 *
 * Two declarations are the same when their syntax trees print the same without comments. What a file imports from
 * kvfree_bulk.ts counts as declared in it: a struct that levels share. Invariant: exactly the declared names differ.
 *
 * `deno task levels` checks; with `--print` it prints the lists for the manifest.
 *
 * @module
 */

import { type Changes, type Delta, entryOf, type LevelEntry, MANIFEST } from "../rcu/levels/manifest.ts";
import { readText } from "./files.ts";
import ts, { parse } from "./typescript.ts";

type Kind = keyof Changes;
type What = keyof Delta;
const KINDS = ["functions", "structs", "constants", "macros", "ours"] as const satisfies Kind[];
const WHATS = ["added", "changed", "removed"] as const satisfies What[];
const FILES = ["tree", "tiny", "macros"] as const;

/** A top-level declaration, printed without comments. */
export interface LevelDeclaration {
  readonly kind: Kind;
  readonly text: string;
}

const printer = ts.createPrinter({ removeComments: true });

/** Names that are not camelCase and are ours nevertheless: the looks of debuggers. */
const OUR_NAMES = new Set([
  "look",
  "view",
  "level",
  "macros",
  "place",
  "chains",
  "queue",
  "WRAPPER_SIZE",
  "SLAB",
  "VMALLOC",
]);

function kindOf(name: string, found: Kind, file: string): Kind {
  if (OUR_NAMES.has(name) || /^[a-z]+[A-Z]/.test(name) || /^[A-Z][a-z]/.test(name)) return "ours";
  if (file.startsWith("macros/")) return "macros";
  return /^[A-Z0-9_]+$/.test(name) ? "constants" : found;
}

/** The declarations of a level's file, by name. A variable that takes a struct apart is part of what uses it. */
export function levelDeclarations(file: string, source: string): Map<string, LevelDeclaration> {
  const tree = parse(`${file}.ts`, source);
  const found = new Map<string, LevelDeclaration>();
  function add(name: string, kind: Kind, node: ts.Node): void {
    const before = found.get(name)?.text ?? ""; // overloads
    const text = before + printer.printNode(ts.EmitHint.Unspecified, node, tree).replaceAll(/\s+/g, " ");
    found.set(name, { kind: kindOf(name, kind, file), text });
  }
  for (const statement of tree.statements) {
    if (ts.isFunctionDeclaration(statement) && statement.name) {
      add(statement.name.text, "functions", statement);
    } else if (ts.isClassDeclaration(statement) && statement.name) {
      add(statement.name.text, "structs", statement);
    } else if (ts.isInterfaceDeclaration(statement)) add(statement.name.text, "ours", statement);
    else if (ts.isTypeAliasDeclaration(statement)) add(statement.name.text, "ours", statement);
    else if (ts.isVariableStatement(statement)) {
      for (const declaration of statement.declarationList.declarations) {
        if (!ts.isIdentifier(declaration.name)) continue;
        const struct = /\bstruct\(/.test(declaration.initializer?.getText(tree) ?? "");
        add(declaration.name.text, struct ? "structs" : "constants", declaration);
      }
    } else if (ts.isImportDeclaration(statement)) {
      const from = (statement.moduleSpecifier as ts.StringLiteral).text;
      const names = statement.importClause?.namedBindings;
      if (!from.endsWith("/kvfree_bulk.ts") || names === undefined || !ts.isNamedImports(names)) continue;
      for (const { name } of names.elements) {
        add(name.text, name.text.endsWith("_data") ? "structs" : "constants", name);
      }
    }
  }
  return found;
}

/** What differs, by kind, in the order of the files. */
export function changesBetween(
  before: ReadonlyMap<string, LevelDeclaration>,
  after: ReadonlyMap<string, LevelDeclaration>,
): Changes {
  const lists: Partial<Record<Kind, Partial<Record<What, string[]>>>> = {};
  const put = (kind: Kind, what: What, name: string): void => {
    ((lists[kind] ??= {})[what] ??= []).push(name);
  };
  for (const [name, { kind, text }] of after) {
    const old = before.get(name);
    if (old === undefined) put(kind, "added", name);
    else if (old.text !== text) put(kind, "changed", name);
  }
  for (const [name, { kind }] of before) if (!after.has(name)) put(kind, "removed", name);
  return lists;
}

/** One line for each name in which the manifest and the files disagree. `read` gives the text of a file. */
export function checkManifest(read: (file: string) => string): string[] {
  const findings: string[] = [];
  for (const entry of MANIFEST) {
    for (const file of FILES) {
      for (const finding of compare(entry.changes[file] ?? {}, actual(entry, file, read))) {
        findings.push(`${entry.label} ${file}: ${finding}`);
      }
    }
  }
  return findings;
}

function actual(entry: LevelEntry, file: typeof FILES[number], read: (file: string) => string): Changes {
  if (entry.parent === null) return {};
  const [before, after] = [entryOf(entry.parent).files[file], entry.files[file]];
  if (before === after) return {};
  return changesBetween(levelDeclarations(before, read(before)), levelDeclarations(after, read(after)));
}

function* compare(declared: Changes, found: Changes): Generator<string, void, void> {
  for (const kind of KINDS) {
    for (const what of WHATS) {
      const [wanted, got] = [declared[kind]?.[what] ?? [], found[kind]?.[what] ?? []];
      for (const name of got) {
        if (!wanted.includes(name)) yield `${name} is ${what}, which the manifest does not say`;
      }
      for (const name of wanted) {
        if (!got.includes(name)) yield `${name} is not ${what}, as the manifest says`;
      }
    }
  }
}

function print(): void {
  const read = (file: string): string => readText(`rcu/levels/${file}.ts`);
  for (const entry of MANIFEST) {
    const changes = Object.fromEntries(
      FILES.map((file) => [file, actual(entry, file, read)]).filter(([, c]) => Object.keys(c).length > 0),
    );
    console.log(`${entry.label}: ${JSON.stringify(changes)}`);
  }
}

if (import.meta.main) {
  if (Deno.args.includes("--print")) print();
  else {
    const findings = checkManifest((file) => readText(`rcu/levels/${file}.ts`));
    for (const finding of findings) console.error(`rcu/levels/manifest: ${finding}`);
    if (findings.length > 0) Deno.exit(1);
    console.log(`${MANIFEST.length} levels differ as their manifest says`);
  }
}
