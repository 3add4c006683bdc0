// SPDX-License-Identifier: GPL-2.0-only
// Makes a piece of TypeScript into JavaScript whose top-level names outlive it.
//
// Ours. Types are removed by the runtime (`stripTypeScriptTypes`), which keeps every character in its place;
// what it cannot only remove (enum, namespace, parameter properties) it transforms. npm:acorn then finds the
// declarations at the top level, and each becomes an assignment: `let {a, b} = f()` to `({a, b} = f())`,
// `class C {}` to `C = class C {}`. typescript.ts evaluates the result where these names are live properties of
// the session's scope. If the piece ends in an expression, that becomes `return [expression]`. A call that stands alone or
// is assigned goes through `$settle`, where the session may carry it out.
// Invariant: a newline of the input stays on its line, so lines in messages are the user's lines.
// Left out: `const` can be declared again and assigned to, as in other shells; a function is not there before
// its declaration; `import` and `export` declarations and a top-level `using` are refused.

import { UsageError } from "./status.ts";

/** What {@linkcode rewrite} makes. */
export interface Rewritten {
  /** The body of a strict async function. */
  readonly code: string;
  /** The names it declares. */
  readonly names: readonly string[];
}

/** A syntax error in TypeScript, with its place in the text. */
export class SourceError extends UsageError {
  override name = "SourceError";
  /** Line in the text, from 0. */
  readonly line: number;
  /** Column in that line, from 1. */
  readonly column: number;

  constructor(message: string, line: number, column: number) {
    super(message);
    this.line = line;
    this.column = column;
  }
}

/** What is used of acorn's tree. */
interface Node {
  type: string;
  start: number;
  end: number;
  [key: string]: unknown;
}

/** Turns the user's text into code and names. Throws {@linkcode SourceError}. */
export async function rewrite(text: string): Promise<Rewritten> {
  if (text.startsWith("{") && text.endsWith("}")) {
    try {
      return await rewriteTop(`(${text})`); // `{a: 1}` is an object here, not a block
    } catch { /* then it is a block */ }
  }
  return await rewriteTop(text);
}

async function rewriteTop(text: string): Promise<Rewritten> {
  const js = await stripTypes(text);
  const { body, lineOf } = await parseScript(js);
  const edits: { at: number; remove: number; insert: string }[] = [];
  const names: string[] = [];
  const replace = (at: number, end: number, insert: string): void => {
    edits.push({ at, remove: end - at, insert });
  };
  for (const node of body) {
    const refuse = (what: string): SourceError => new SourceError(what, ...lineOf(node.start));
    switch (node.type) {
      case "VariableDeclaration": {
        if (String(node.kind).includes("using")) throw refuse("using works inside a block or function only");
        const declarators = node.declarations as Node[];
        replace(node.start, declarators[0].start, ";" + newlines(js, node.start, declarators[0].start));
        for (const { start, end, id, init } of declarators) {
          collectNames(id as Node, names);
          replace(start, start, "(");
          settleCall(init as Node | null, replace);
          replace(end, end, init === null ? " = undefined)" : ")");
        }
        replace(node.end, node.end, ";");
        break;
      }
      case "FunctionDeclaration":
      case "ClassDeclaration": {
        const name = (node.id as Node & { name: string }).name;
        names.push(name);
        replace(node.start, node.start, `;${name} = `);
        replace(node.end, node.end, ";");
        break;
      }
      case "ImportDeclaration":
        throw refuse('import declarations do not work here; use: const m = await import("...")');
      case "ExportNamedDeclaration":
      case "ExportDefaultDeclaration":
      case "ExportAllDeclaration":
        throw refuse("there is nothing to export to here; leave out export");
      case "ExpressionStatement":
        if (node === body.at(-1)) {
          const end = js[node.end - 1] === ";" ? node.end - 1 : node.end;
          replace(node.start, node.start, ";return [(");
          settleAssigned(node.expression as Node, replace);
          replace(end, node.end, ")];");
        } else {
          replace(node.start, node.start, ";");
          settleCall(node.expression as Node, replace);
          settleAssigned(node.expression as Node, replace);
        }
        break;
    }
  }
  return { code: applyEdits(js, edits), names };
}

/** What is called here, or assigned here, is waited for if the session carries it out: a call of a kernel function. */
export const SETTLE = "$settle";

type Replace = (at: number, end: number, insert: string) => void;

function settleCall(node: Node | null, replace: Replace): void {
  if (node?.type !== "CallExpression") return;
  replace(node.start, node.start, `(await ${SETTLE}(`);
  replace(node.end, node.end, "))[0]");
}

function settleAssigned(node: Node, replace: Replace): void {
  if (node.type === "AssignmentExpression" && node.operator === "=") settleCall(node.right as Node, replace);
}

/** Removes types, in place where that is possible. */
async function stripTypes(text: string): Promise<string> {
  const { stripTypeScriptTypes } = await import("node:module");
  try {
    return stripTypeScriptTypes(text, { mode: "strip" });
  } catch { /* not only types, or not TypeScript: the second mode knows, and says where */ }
  try {
    return stripTypeScriptTypes(text, { mode: "transform" });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const place = /:(\d+):(\d+)\s*$/.exec(message);
    const first = message.split("\n")[0].replace(/^SyntaxError: /, "").replace(/ at file:.*/, "");
    throw new SourceError(first, Number(place?.[1] ?? 1) - 1, Number(place?.[2] ?? 1));
  }
}

async function parseScript(js: string): Promise<{ body: Node[]; lineOf: (at: number) => [number, number] }> {
  const acorn = await import("acorn");
  const lineOf = (at: number): [number, number] => {
    const before = js.slice(0, at).split("\n");
    return [before.length - 1, (before.at(-1) ?? "").length + 1];
  };
  try {
    const tree = acorn.parse(js, { ecmaVersion: "latest", sourceType: "module" });
    return { body: tree.body as unknown as Node[], lineOf };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const at = (error as SyntaxError & { pos?: number }).pos ?? 0;
    throw new SourceError(error.message.replace(/ \(\d+:\d+\)$/, ""), ...lineOf(at));
  }
}

/** The names that a pattern binds. */
function collectNames(pattern: Node, names: string[]): void {
  switch (pattern.type) {
    case "Identifier":
      names.push(pattern.name as string);
      break;
    case "ObjectPattern":
      for (const property of pattern.properties as Node[]) {
        collectNames((property.type === "RestElement" ? property.argument : property.value) as Node, names);
      }
      break;
    case "ArrayPattern":
      for (const element of pattern.elements as (Node | null)[]) {
        if (element !== null) collectNames(element, names);
      }
      break;
    case "AssignmentPattern":
      collectNames(pattern.left as Node, names);
      break;
    case "RestElement":
      collectNames(pattern.argument as Node, names);
      break;
  }
}

function newlines(text: string, start: number, end: number): string {
  return text.slice(start, end).replace(/[^\n]/g, "");
}

function applyEdits(text: string, edits: { at: number; remove: number; insert: string }[]): string {
  let result = "";
  let at = 0;
  for (const edit of edits) {
    result += text.slice(at, edit.at) + edit.insert;
    at = edit.at + edit.remove;
  }
  return result + text.slice(at);
}
