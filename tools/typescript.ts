// SPDX-License-Identifier: GPL-2.0-only
/**
 * The TypeScript compiler API for our tools, loaded without any permission (see quiet_process.ts), and the few helpers
 * that more than one tool needs.
 *
 * Deno's own checker is not a library; this package is the version that Deno 2.9 embeds, so both agree on types.
 *
 * @module
 */

import "./quiet_process.ts";
import ts from "typescript";

export default ts;

/** A finding of a checker, in the form editors understand: `file:line:column what`. */
export interface Finding {
  file: string;
  line: number;
  column: number;
  what: string;
}

/** A finding at the start of `node`. */
export function findingAt(node: ts.Node, what: string): Finding {
  const source = node.getSourceFile();
  const { line, character } = source.getLineAndCharacterOfPosition(node.getStart(source));
  return { file: source.fileName, line: line + 1, column: character + 1, what };
}

/** `file:line:column what`. */
export function formatFinding({ file, line, column, what }: Finding): string {
  return `${file}:${line}:${column} ${what}`;
}

/** Orders findings as a reader meets them. */
export function inFileOrder(a: Finding, b: Finding): number {
  return a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line || a.column - b.column;
}

/** Parses one file; cheap, no types. */
export function parse(file: string, text: string): ts.SourceFile {
  return ts.createSourceFile(file, text, ts.ScriptTarget.ESNext, true, ts.ScriptKind.TS);
}

/** True when a declaration carries `export`. */
export function isExported(node: ts.Node): boolean {
  return ts.canHaveModifiers(node) &&
    (ts.getModifiers(node)?.some((it) => it.kind === ts.SyntaxKind.ExportKeyword) ?? false);
}
