// SPDX-License-Identifier: GPL-2.0-only
/**
 * What the mirror folders declare, and what their doc comments claim to mirror: the reading half of tools/map.ts.
 *
 * A claim is a tag in the comment of a declaration:
 *
 *   @mirrors path/in/linux.c:symbol    several may follow each other; `(empty)` behind it: an empty function is right
 *   @simplified reason                 it deviates from Linux, and how
 *   @invented why                      Linux has no such thing; in the header of a file: none of this file
 *
 * @module
 */

import ts, { isExported, parse } from "./typescript.ts";
import { isMirror } from "./folders.ts";

/** One name of docs/linux-symbols.txt. */
export interface LinuxSymbol {
  path: string;
  symbol: string;
  kind: string;
  part: string;
}

/** One top-level declaration of ours. */
export interface Declaration {
  file: string;
  line: number;
  name: string;
  /** Name given as the first argument of what makes it: KERNEL_STATIC("__cpu_online_mask"), struct("rcu_head"). */
  label: string | undefined;
  kind: "function" | "class" | "interface" | "const" | "type";
  exported: boolean;
  /** `path:symbol` of each @mirrors tag. */
  mirrors: string[];
  /** Reason of an @simplified tag. */
  simplified: string | undefined;
  /** Reason of an @invented tag; "" is a tag without a reason. */
  invented: string | undefined;
  /** The tag says that an empty function is right: C's is empty too, or there is nothing to do here. */
  emptyOnPurpose: boolean;
  /** A function without a statement. */
  empty: boolean;
  /** Names of fields and methods. */
  members: string[];
}

/** All declarations of a tree. */
export interface Scan {
  declarations: Declaration[];
  /** Files whose header says that nothing in them exists in Linux. */
  inventedFiles: Set<string>;
  /** Names that stand in kernel/trace, where tracepoints are declared as data. */
  traceNames: Set<string>;
}

/** Reads docs/linux-symbols.txt. Throws on a line that is not four columns. */
export function readSymbols(text: string): LinuxSymbol[] {
  return text.split("\n").flatMap((line, index) => {
    if (line === "" || line.startsWith("#")) return [];
    const columns = line.split("\t");
    const [path, symbol, kind, part] = columns;
    if (columns.length !== 4 || !KINDS.has(kind) || !PARTS.has(part)) {
      throw new Error(`docs/linux-symbols.txt:${index + 1} is not "path, symbol, kind, part": ${line}`);
    }
    return [{ path, symbol, kind, part }];
  });
}

const KINDS = new Set(["function", "struct", "field", "macro", "const", "tracepoint"]);
const PARTS = new Set(["1", "2", "later"]);

/** Scans `files` (path → text); what is not a mirror contributes names of constants only. */
export function scan(files: ReadonlyMap<string, string>): Scan {
  const result: Scan = { declarations: [], inventedFiles: new Set(), traceNames: new Set() };
  for (const [file, text] of files) {
    const source = parse(file, text);
    const header = ts.getLeadingCommentRanges(text, 0)?.find(({ pos }) => text.startsWith("/*", pos));
    const headerText = header === undefined ? "" : text.slice(header.pos, header.end);
    if (/@invented\b/.test(headerText)) result.inventedFiles.add(file);
    for (const statement of source.statements) {
      for (const declaration of declarationsOf(source, statement)) {
        // The header comment belongs to the file, not to what happens to follow it.
        merge(result.declarations, declaration);
      }
    }
    if (file.startsWith("kernel/trace/")) collectNames(source, result.traceNames);
  }
  return result;
}

/** Overloads are one function: the first comment counts, the body is the last one's. */
function merge(list: Declaration[], next: Declaration): void {
  const last = list.at(-1);
  if (last === undefined || last.file !== next.file || last.name !== next.name || last.kind !== next.kind) {
    list.push(next);
    return;
  }
  last.exported ||= next.exported;
  last.mirrors.push(...next.mirrors);
  last.simplified ??= next.simplified;
  last.invented ??= next.invented;
  last.emptyOnPurpose ||= next.emptyOnPurpose;
  last.empty = next.empty;
  last.members.push(...next.members);
}

function declarationsOf(source: ts.SourceFile, node: ts.Statement): Declaration[] {
  const make = (
    name: ts.Identifier,
    kind: Declaration["kind"],
    members: string[],
    empty = false,
    label?: string,
  ): Declaration => {
    const doc = docOf(source, node);
    return {
      file: source.fileName,
      line: source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1,
      name: name.text,
      label,
      kind,
      exported: isExported(node),
      ...readTags(doc),
      empty,
      members,
    };
  };
  if (ts.isFunctionDeclaration(node) && node.name !== undefined) {
    return [make(node.name, "function", [], node.body !== undefined && node.body.statements.length === 0)];
  }
  if (ts.isClassDeclaration(node) && node.name !== undefined) {
    return [make(node.name, "class", node.members.flatMap(namesOfMember))];
  }
  if (ts.isInterfaceDeclaration(node)) {
    return [make(node.name, "interface", node.members.flatMap(namesOfMember))];
  }
  if (ts.isTypeAliasDeclaration(node)) return [make(node.name, "type", propertyNames(node.type))];
  if (ts.isVariableStatement(node)) {
    return node.declarationList.declarations.flatMap((it) =>
      ts.isIdentifier(it.name)
        ? [make(it.name, "const", propertyNames(it.initializer), false, labelOf(it.initializer))]
        : []
    );
  }
  if (ts.isEnumDeclaration(node)) return [make(node.name, "const", node.members.flatMap(namesOfMember))];
  return [];
}

function labelOf(value: ts.Expression | undefined): string | undefined {
  const first = value !== undefined && ts.isCallExpression(value) ? value.arguments[0] : undefined;
  return first !== undefined && ts.isStringLiteral(first) ? first.text : undefined;
}

/** The doc comment right in front of a statement. A file's header is separated by an import or a blank line. */
function docOf(source: ts.SourceFile, node: ts.Statement): string {
  const ranges = ts.getLeadingCommentRanges(source.text, node.pos) ?? [];
  const docs = ranges.filter(({ pos }) => source.text.startsWith("/**", pos));
  const last = docs.at(-1);
  if (last === undefined) return "";
  const between = source.text.slice(last.end, node.getStart(source));
  if (/\n\s*\n/.test(between)) return "";
  return source.text.slice(last.pos, last.end);
}

/** The claims of a doc comment. */
export function readTags(
  doc: string,
): Pick<Declaration, "mirrors" | "simplified" | "invented" | "emptyOnPurpose"> {
  const text = doc.replace(/^\/\*\*|\*\/$/g, "").replace(/^[ \t]*\*[ \t]?/gm, "");
  const mirrors: string[] = [];
  let simplified: string | undefined;
  let invented: string | undefined;
  let emptyOnPurpose = false;
  for (const [, tag, body] of text.matchAll(/@(mirrors|simplified|invented)\b([\s\S]*?)(?=\s@[a-z]+\b|$)/g)) {
    const reason = body.trim().replace(/\s+/g, " ");
    if (tag === "simplified") simplified = simplified === undefined ? reason : `${simplified}; ${reason}`;
    else if (tag === "invented") invented = reason;
    else {
      mirrors.push(...[...reason.matchAll(/[\w./+-]+\.[chS]:\w+(?:\.\w+)*/g)].map(([it]) => it));
      emptyOnPurpose ||= /\(empty/.test(reason);
    }
  }
  return { mirrors, simplified, invented, emptyOnPurpose };
}

function namesOfMember(member: ts.ClassElement | ts.TypeElement | ts.EnumMember): string[] {
  if (ts.isConstructorDeclaration(member)) {
    return member.parameters.flatMap((it) =>
      ts.isIdentifier(it.name) && (ts.getModifiers(it)?.length ?? 0) > 0 ? [it.name.text] : []
    );
  }
  const name = member.name;
  return name !== undefined && (ts.isIdentifier(name) || ts.isStringLiteral(name)) ? [name.text] : [];
}

/** Property names anywhere in a value or a type: `struct("rcu_head", { next: ptr, func: ulong })` has next and func. */
function propertyNames(node: ts.Node | undefined): string[] {
  const names: string[] = [];
  const visit = (it: ts.Node): void => {
    if (ts.isPropertyAssignment(it) || ts.isShorthandPropertyAssignment(it) || ts.isPropertySignature(it)) {
      if (ts.isIdentifier(it.name) || ts.isStringLiteral(it.name)) names.push(it.name.text);
    }
    if (!ts.isFunctionLike(it)) ts.forEachChild(it, visit);
  };
  if (node !== undefined) visit(node);
  return names;
}

/** String literals and names of functions: a tracepoint is `name: "sched_switch"` or `trace_sched_switch()`. */
function collectNames(source: ts.SourceFile, into: Set<string>): void {
  const visit = (node: ts.Node): void => {
    if (ts.isStringLiteral(node)) into.add(node.text);
    if (ts.isFunctionDeclaration(node) && node.name !== undefined) {
      into.add(node.name.text.replace(/^trace_/, ""));
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
}

/** Declarations that the rules of the mirror apply to. */
export function mirrored({ declarations }: Scan): Declaration[] {
  return declarations.filter(({ file }) => isMirror(file));
}
