// SPDX-License-Identifier: GPL-2.0-only
/**
 * Who may import whom. (`deno task layers`)
 *
 *   - imports go downwards or stay in their layer: kernel/machine → kernel/trace → kernel → mm → rcu → init → explore →
 *     mod.ts → examples → labs → repl (tools/folders.ts); types too: a type that is needed below belongs below;
 *   - the pure layers (kernel, mm, rcu, init, explore) import relative paths only: nothing of Deno, `node:`, npm, jsr
 *     or the network, not even a type;
 *   - values do not import each other in a circle, except inside a group of `GROUPS`; and there nothing that is
 *     imported along the circle is called while a module is evaluated, or read unless it is a function declaration;
 *   - nothing but tests imports tests, bench or tools, and every relative import exists.
 *
 * It parses the import statements itself, by the TypeScript parser, and does not ask `deno info --json`: that knows the
 * line of an import but not whether it is of a type or of a value, needs permission to run Deno, and resolves a graph
 * only from entry points, so that a file which nobody imports yet would go unchecked.
 *
 * @module
 */

import ts, { type Finding, findingAt, parse } from "./typescript.ts";
import { isPure, layerOf, LAYERS, SOURCES } from "./folders.ts";
import { readTree, report } from "./files.ts";

/**
 * Files that may import each other's values: one C unit, or C files that call each other. Only function declarations
 * may cross, and nothing is called while a module is evaluated. An entry that ends in `/` stands for a folder.
 */
export const GROUPS: readonly { readonly files: readonly string[]; readonly why: string }[] = [
  {
    files: [
      "rcu/tree.ts",
      "rcu/tree_plugin.ts",
      "rcu/tree_plugin_preempt.ts",
      "rcu/tree_exp.ts",
      "rcu/tree_stall.ts",
    ],
    why: "tree.c includes tree_plugin.h, tree_exp.h and tree_stall.h: one C unit",
  },
  {
    files: [
      "mm/page_alloc.ts",
      "mm/vmscan.ts",
      "mm/oom_kill.ts",
      "mm/slub.ts",
      "mm/slab_common.ts",
      "mm/kasan/common.ts",
      "mm/kasan/generic.ts",
      "mm/kasan/quarantine.ts",
      "mm/kasan/report.ts",
    ],
    why:
      "allocation reclaims, reclaim allocates, the OOM report looks at slabs; slub.c and slab_common.c call each other;" +
      " slub.c calls KASAN and frees what it had in quarantine",
  },
  {
    files: [
      "kernel/sched/",
      "kernel/time/",
      "kernel/softirq.ts",
      "kernel/smpboot.ts",
      "kernel/kthread.ts",
      "kernel/fork.ts",
      "kernel/exit.ts",
      "kernel/workqueue.ts",
      "kernel/locking/mutex.ts",
    ],
    why: "the tick drives the scheduler, the scheduler and softirqs wake threads, threads sleep on timers",
  },
];

/** One import or re-export. */
interface Edge {
  from: string;
  to: string;
  typeOnly: boolean;
  node: ts.Node;
}

/** All findings in `files` (path → text). */
export function checkLayers(
  files: ReadonlyMap<string, string>,
  imports: Readonly<Record<string, string>> = {},
  groups: typeof GROUPS = GROUPS,
): Finding[] {
  const findings: Finding[] = [];
  const edges: Edge[] = [];
  for (const [path, text] of files) {
    for (const { specifier, typeOnly, node } of importsOf(parse(path, text))) {
      const to = resolve(path, specifier, imports);
      const problem = to === undefined ? outside(path, specifier) : across(path, to) ??
        (to.endsWith(".ts") && !files.has(to) ? `imports ${to}, which does not exist` : undefined);
      if (problem !== undefined) findings.push(findingAt(node, problem));
      if (to !== undefined && files.has(to)) edges.push({ from: path, to, typeOnly, node });
    }
  }
  return [...findings, ...cycles(edges, groups), ...early(files, edges)];
}

/** The import and export-from statements of a file, `import()` included. */
function importsOf(source: ts.SourceFile): { specifier: string; typeOnly: boolean; node: ts.Node }[] {
  const found: { specifier: string; typeOnly: boolean; node: ts.Node }[] = [];
  const add = (literal: ts.Node | undefined, typeOnly: boolean): void => {
    if (literal !== undefined && ts.isStringLiteralLike(literal)) {
      found.push({ specifier: literal.text, typeOnly, node: literal });
    }
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, isTypeOnlyImport(node.importClause));
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, isTypeOnlyExport(node));
    else if (ts.isImportTypeNode(node)) {
      add(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, true);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], false);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function isTypeOnlyImport(clause: ts.ImportClause | undefined): boolean {
  if (clause === undefined) return false;
  if (clause.isTypeOnly) return true;
  const named = clause.namedBindings;
  return clause.name === undefined && named !== undefined && ts.isNamedImports(named) &&
    named.elements.length > 0 && named.elements.every((it) => it.isTypeOnly);
}

function isTypeOnlyExport(node: ts.ExportDeclaration): boolean {
  if (node.isTypeOnly) return true;
  const clause = node.exportClause;
  return clause !== undefined && ts.isNamedExports(clause) && clause.elements.length > 0 &&
    clause.elements.every((it) => it.isTypeOnly);
}

/** Project path that a specifier stands for; undefined when it leaves the project. */
function resolve(
  from: string,
  specifier: string,
  imports: Readonly<Record<string, string>>,
): string | undefined {
  const mapped = imports[specifier] ?? specifier;
  if (!mapped.startsWith("./") && !mapped.startsWith("../")) return undefined;
  const base = mapped === specifier ? from : "";
  return new URL(mapped, "file:///" + base).pathname.slice(1);
}

function outside(from: string, specifier: string): string | undefined {
  if (!isPure(from)) return undefined;
  return `${LAYERS[layerOf(from)]} imports nothing from outside the project, and "${specifier}" is outside`;
}

/** Top-level folders that stand beside the layers: they may import all, few may import them. */
const BESIDE: Readonly<Record<string, readonly string[]>> = {
  tests: ["tests"],
  bench: ["bench", "tests"],
  tools: ["tools", "tests", "bench"],
  deps: ["deps", "tests", "bench", "tools", "repl", "labs"],
};

function across(from: string, to: string): string | undefined {
  const top = to.split("/")[0];
  const importer = from.split("/")[0];
  const allowed = BESIDE[top];
  if (allowed !== undefined) {
    return allowed.includes(importer) ? undefined : `${importer} must not import ${top}`;
  }
  if (BESIDE[importer] !== undefined) return undefined;
  const below = layerOf(to);
  const above = layerOf(from);
  if (below < 0 || above < 0 || below <= above) return undefined;
  return `imports upwards: ${LAYERS[above]} is below ${LAYERS[below]} (${to}); go through kernel/hooks.ts`;
}

// ---- cycles ------------------------------------------------------------------------------------------------------

/** One finding per import of a value that closes a circle outside the listed groups. */
function cycles(edges: readonly Edge[], groups: typeof GROUPS): Finding[] {
  const values = edges.filter((edge) => !edge.typeOnly && edge.from !== edge.to && !oneGroup(edge, groups));
  const next = new Map<string, string[]>();
  // Inside a group everything is one knot: leaving it anywhere and coming back anywhere is a circle through it.
  const knot = (path: string): string => groupOf(path, groups)?.files[0] ?? path;
  for (const { from, to } of values) {
    const list = next.get(knot(from));
    if (list === undefined) next.set(knot(from), [knot(to)]);
    else list.push(knot(to));
  }
  const component = components(next);
  const findings: Finding[] = [];
  for (const { from, to, node } of values) {
    if (component.get(knot(from)) !== component.get(knot(to))) continue;
    const way = path(knot(to), knot(from), next);
    findings.push(findingAt(node, `circle of values: ${[from, to, ...way.slice(1)].join(" → ")}`));
  }
  return findings;
}

function groupOf(path: string, groups: typeof GROUPS): (typeof GROUPS)[number] | undefined {
  return groups.find(({ files }) => files.some((it) => it.endsWith("/") ? path.startsWith(it) : path === it));
}

function oneGroup({ from, to }: Edge, groups: typeof GROUPS): boolean {
  const group = groupOf(from, groups);
  return group !== undefined && group === groupOf(to, groups);
}

/** Tarjan's strongly connected components: node → number of its component. */
function components(next: ReadonlyMap<string, readonly string[]>): Map<string, number> {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const component = new Map<string, number>();
  let count = 0;
  const visit = (node: string): void => {
    index.set(node, index.size);
    low.set(node, index.get(node)!);
    stack.push(node);
    for (const to of next.get(node) ?? []) {
      if (!index.has(to)) visit(to);
      if (!component.has(to)) low.set(node, Math.min(low.get(node)!, low.get(to)!));
    }
    if (low.get(node) !== index.get(node)) return;
    let member;
    do {
      member = stack.pop()!;
      component.set(member, count);
    } while (member !== node);
    count++;
  };
  for (const node of next.keys()) if (!index.has(node)) visit(node);
  return component;
}

/** A shortest way, both ends included. */
function path(from: string, to: string, next: ReadonlyMap<string, readonly string[]>): string[] {
  const before = new Map<string, string>([[from, ""]]);
  const queue = [from];
  for (const node of queue) {
    if (node === to) break;
    for (const it of next.get(node) ?? []) {
      if (before.has(it)) continue;
      before.set(it, node);
      queue.push(it);
    }
  }
  const way = [];
  for (let node: string | undefined = to; node; node = before.get(node)) way.unshift(node);
  return way;
}

// ---- use before definition ---------------------------------------------------------------------------------------

/** Inside a circle one module runs before the other: what it uses then, outside functions, is not there yet. */
function early(files: ReadonlyMap<string, string>, edges: readonly Edge[]): Finding[] {
  const next = new Map<string, string[]>();
  for (const { from, to, typeOnly } of edges) {
    if (!typeOnly && from !== to) next.set(from, [...next.get(from) ?? [], to]);
  }
  const component = components(next);
  const circular = edges.filter(({ from, to, typeOnly }) =>
    !typeOnly && from !== to && component.get(from) === component.get(to)
  );
  const findings: Finding[] = [];
  for (const path of new Set(circular.map((it) => it.from))) {
    const targets = new Set(circular.filter((it) => it.from === path).map((it) => it.to));
    findings.push(...evaluated(parse(path, files.get(path)!), path, targets, files));
  }
  return findings;
}

/** Uses of what `source` imports from `targets` that happen while it is evaluated. */
function evaluated(
  source: ts.SourceFile,
  path: string,
  targets: ReadonlySet<string>,
  files: ReadonlyMap<string, string>,
): Finding[] {
  const imported = new Map<string, { to: string; name: string }>();
  for (const statement of source.statements) {
    if (!ts.isImportDeclaration(statement) || !ts.isStringLiteral(statement.moduleSpecifier)) continue;
    const to = resolve(path, statement.moduleSpecifier.text, {});
    const named = statement.importClause?.namedBindings;
    if (to === undefined || !targets.has(to) || named === undefined || !ts.isNamedImports(named)) continue;
    for (const it of named.elements) {
      if (!it.isTypeOnly) imported.set(it.name.text, { to, name: (it.propertyName ?? it.name).text });
    }
  }
  const findings: Finding[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isHeritageClause(node)) {
      if (node.token === ts.SyntaxKind.ExtendsKeyword) node.types.forEach((it) => visit(it.expression));
      return;
    }
    if (ts.isFunctionLike(node) || ts.isTypeNode(node) || ts.isInterfaceDeclaration(node)) return;
    if (ts.isImportDeclaration(node) || ts.isTypeAliasDeclaration(node)) return;
    if (
      ts.isPropertyDeclaration(node) && !node.modifiers?.some((it) => it.kind === ts.SyntaxKind.StaticKeyword)
    ) return;
    if (ts.isIdentifier(node) && !isMemberName(node)) {
      const origin = imported.get(node.text);
      if (origin !== undefined) {
        const isCalled = (ts.isCallExpression(node.parent) || ts.isNewExpression(node.parent)) &&
          node.parent.expression === node;
        if (isCalled || !isFunctionOf(files.get(origin.to) ?? "", origin.name)) {
          const what = `${node.text} of ${origin.to} is ${
            isCalled ? "called" : "read"
          } while the module is evaluated`;
          findings.push(findingAt(node, `${what}, and the two import each other`));
        }
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return findings;
}

function isMemberName(node: ts.Identifier): boolean {
  const parent = node.parent;
  return ts.isPropertyAccessExpression(parent) && parent.name === node ||
    ts.isPropertyAssignment(parent) && parent.name === node || ts.isExportSpecifier(parent);
}

/** Function declarations exist from the start, also across modules. */
function isFunctionOf(text: string, name: string): boolean {
  return new RegExp(`^export function\\*? ?${name}\\b`, "m").test(text);
}

// ---- the command -------------------------------------------------------------------------------------------------

function main(): void {
  const files = readTree(SOURCES);
  const config = JSON.parse(Deno.readTextFileSync(new URL("../deno.json", import.meta.url)));
  const findings = checkLayers(files, config.imports);
  if (!report("layers", `${files.size} files`, findings)) Deno.exit(1);
}

if (import.meta.main) main();
