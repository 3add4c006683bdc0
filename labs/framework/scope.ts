// SPDX-License-Identifier: GPL-2.0-only
/**
 * Which names a student's file uses, and which words of the language it may not contain.
 *
 * Invariant: a name is free when nothing in the file declares it, in any scope. That lets some mistakes through which
 * the file then meets as undefined, and never a name of the host: the loader hides those (instrument.ts).
 *
 * @module
 */

import { GLOBALS, GUEST_NAME, REFUSED, whyLeftOut } from "./names.ts";
import ts from "./typescript.ts";

/** Something that is wrong with a file, at a line of it from 1. */
export interface Finding {
  readonly line: number;
  readonly what: string;
}

const GLOBAL_SET: ReadonlySet<string> = new Set(GLOBALS);

/** Everything in `source` that is refused before anything of it runs. */
export function checkSource(source: ts.SourceFile, offered: readonly string[]): Finding[] {
  const findings: Finding[] = [];
  const declared = new Set<string>();
  const used: ts.Identifier[] = [];
  const refuse = (node: ts.Node, what: string): void => {
    findings.push({ line: lineOf(source, node), what });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isTypeNode(node) && !ts.isExpressionWithTypeArguments(node)) return;
    if (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) return;
    if (ts.isImportDeclaration(node)) {
      checkImport(node, offered, refuse);
      node.importClause?.namedBindings?.forEachChild((it) => {
        if (ts.isImportSpecifier(it)) declared.add(it.name.text);
      });
      return;
    }
    const why = refusedSyntax(node);
    if (why !== undefined) refuse(node, why);
    if (ts.isIdentifier(node)) {
      if (node.text.startsWith(GUEST_NAME)) {
        refuse(node, `the name ${node.text}: names do not begin with ${GUEST_NAME}`);
      }
      if (declares(node)) declared.add(node.text);
      else if (refers(node)) used.push(node);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  const told = new Set<string>();
  for (const name of used) {
    if (
      declared.has(name.text) || GLOBAL_SET.has(name.text) || name.text === "arguments" || told.has(name.text)
    ) continue;
    told.add(name.text);
    const why = whyLeftOut(name.text);
    refuse(
      name,
      why === undefined ? `${name.text} is not declared` : `${name.text}: ${why} is not there for labs`,
    );
  }
  return findings.sort((a, b) => a.line - b.line);
}

/** The line of a node, from 1. */
export function lineOf(source: ts.SourceFile, node: ts.Node): number {
  return source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1;
}

function checkImport(
  node: ts.ImportDeclaration,
  offered: readonly string[],
  refuse: (node: ts.Node, what: string) => void,
): void {
  const from = (node.moduleSpecifier as ts.StringLiteral).text;
  if (from !== "quiesce") return refuse(node, `import from "${from}": only "quiesce" can be imported`);
  const clause = node.importClause;
  if (clause === undefined || clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return;
  if (
    clause.name !== undefined || clause.namedBindings === undefined ||
    !ts.isNamedImports(clause.namedBindings)
  ) {
    return refuse(node, 'import { names } from "quiesce": one by one');
  }
  for (const element of clause.namedBindings.elements) {
    const name = (element.propertyName ?? element.name).text;
    if (!element.isTypeOnly && !offered.includes(name)) {
      refuse(
        element,
        `import of ${name}: this lab offers ${offered.length === 0 ? "no names" : offered.join(", ")}`,
      );
    }
  }
}

function refusedSyntax(node: ts.Node): string | undefined {
  switch (node.kind) {
    case ts.SyntaxKind.AwaitExpression:
    case ts.SyntaxKind.AsyncKeyword:
      return "async and await: a kernel function is a generator";
    case ts.SyntaxKind.BigIntLiteral:
      return "a bigint: addresses and numbers are plain numbers";
    case ts.SyntaxKind.RegularExpressionLiteral:
      return "a regular expression: they have no bound";
    case ts.SyntaxKind.Decorator:
      return "a decorator";
    case ts.SyntaxKind.ImportEqualsDeclaration:
    case ts.SyntaxKind.ExportAssignment:
      return "this form of import or export: only import { names } and export before a declaration";
    case ts.SyntaxKind.MetaProperty:
      return node.getText().startsWith("import") ? "import.meta: the host is not there for labs" : undefined;
    case ts.SyntaxKind.DebuggerStatement:
      return "debugger";
    case ts.SyntaxKind.WithStatement:
      return "with";
  }
  if (ts.isForOfStatement(node) && node.awaitModifier !== undefined) return "for await";
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    return "import(): only import declarations, and only of quiesce";
  }
  if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined) return "export from another file";
  if (ts.isVariableDeclarationList(node) && (node.flags & ts.NodeFlags.Using) === ts.NodeFlags.Using) {
    return "using";
  }
  if (ts.isCatchClause(node) && node.variableDeclaration !== undefined) {
    if (!ts.isIdentifier(node.variableDeclaration.name)) return "a pattern in catch: name the error";
  }
  const name = ts.isPropertyAssignment(node) || ts.isMethodDeclaration(node)
    ? nameText(node.name)
    : undefined;
  return name === "__proto__" ? `__proto__ ${REFUSED["__proto__"]}` : undefined;
}

/** The text of a property's name, when it is plain to see. */
export function nameText(name: ts.PropertyName | ts.BindingName): string | undefined {
  return ts.isIdentifier(name) || ts.isStringLiteralLike(name) ? name.text : undefined;
}

/** Whether an identifier is one that its parent declares. */
function declares(node: ts.Identifier): boolean {
  const { parent } = node;
  return (ts.isVariableDeclaration(parent) || ts.isParameter(parent) || ts.isBindingElement(parent) ||
    ts.isFunctionDeclaration(parent) || ts.isFunctionExpression(parent) || ts.isClassDeclaration(parent) ||
    ts.isClassExpression(parent) || ts.isEnumDeclaration(parent) || ts.isModuleDeclaration(parent)) &&
    parent.name === node;
}

/** Whether an identifier is a use of a variable. */
function refers(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  if (ts.isBindingElement(parent)) return parent.initializer === node;
  if (ts.isExportSpecifier(parent)) return (parent.propertyName ?? parent.name) === node;
  if (ts.isLabeledStatement(parent) || ts.isBreakOrContinueStatement(parent)) return false;
  if (
    ts.isPropertyAssignment(parent) || ts.isPropertyDeclaration(parent) || ts.isEnumMember(parent) ||
    ts.isMethodDeclaration(parent) || ts.isAccessor(parent)
  ) return parent.name !== node;
  return !ts.isMetaProperty(parent) && !ts.isQualifiedName(parent) && !ts.isImportSpecifier(parent);
}
