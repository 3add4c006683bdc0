// SPDX-License-Identifier: GPL-2.0-only
/**
 * The map from Linux to here. (`deno task map`)
 *
 *   deno task map --check         what is untagged, unknown, empty, unmentioned or out of date; too few names in C order
 *                                 (map_order.ts); calls that differ from C's (map_calls.ts)
 *   deno task map --write         writes docs/map.md and the generated table of docs/DIFFERENCES.md
 *   deno task map --simplified    prints that table
 *   deno task map --calls         prints the calls of the functions that are compared, C's and ours side by side
 *
 * docs/linux-symbols.txt says which names of Linux are in scope, the tags in the sources (tools/map_scan.ts) say which
 * of them exist here. Functions are matched by tag; constants, structs and their fields also by name. A function of C
 * that is static need not be exported here, and then a tag is optional: name and file decide. Which functions the tests
 * execute is another task: `deno task coverage` (map_coverage.ts).
 *
 * @module
 */

import { isMirror } from "./folders.ts";
import { readTree, report, tryReadText } from "./files.ts";
import { type Finding } from "./typescript.ts";
import { checkCalls, compareCalls, readCalls, sideBySide } from "./map_calls.ts";
import {
  checkOrder,
  compareOrder,
  type Order,
  type OrderReport,
  percent,
  readOrder,
  renderOrder,
} from "./map_order.ts";
import { type Declaration, type LinuxSymbol, mirrored, readSymbols, type Scan, scan } from "./map_scan.ts";

/** One row of the map. */
export interface Row extends LinuxSymbol {
  /** What stands for it here; empty when nothing does. */
  ours: Declaration[];
}

/** Everything that `--check` and `--write` need. */
export interface LinuxMap {
  rows: Row[];
  order: OrderReport;
  simplified: Declaration[];
  findings: Finding[];
  /** Lines for docs/linux-symbols.txt that tags refer to and that are not there. */
  unknown: string[];
}

/** Joins the list with the sources; `order` says where names stand in C. */
export function buildMap(
  symbols: readonly LinuxSymbol[],
  sources: Scan,
  order: Order = new Map(),
): LinuxMap {
  const findings: Finding[] = [];
  const unknown: string[] = [];
  const known = new Map<string, string>();
  for (const { path, symbol } of symbols) known.set(`${path}:${symbol}`, symbol);
  const byTag = group(
    sources.declarations.flatMap((it) => it.mirrors.map((tag): [string, Declaration] => [tag, it])),
  );
  const byName = group(sources.declarations.map((it): [string, Declaration] => [it.name, it]));
  const pathsOf = group(symbols.map(({ path, symbol }): [string, string] => [symbol, path]));
  const tracepoints = new Set(
    symbols.filter((it) => it.kind === "tracepoint").map((it) => `trace_${it.symbol}`),
  );

  for (const declaration of mirrored(sources)) {
    const { file, line, name } = declaration;
    const add = (what: string): void => void findings.push({ file, line, column: 1, what });
    if (needsTag(declaration) && !sources.inventedFiles.has(file)) {
      const named = tracepoints.has(name) && file.startsWith("kernel/trace/");
      if (!named && declaration.mirrors.length === 0 && declaration.invented === undefined) {
        const paths = pathsOf.get(name) ?? [];
        const hint = paths.length > 0
          ? `@mirrors ${paths[0]}:${name}`
          : "@mirrors path:symbol, or @invented why";
        add(`${name} has no tag: ${hint}`);
      }
    }
    for (const tag of declaration.mirrors) {
      if (known.has(tag)) continue;
      const [path, symbol] = tag.split(":");
      const elsewhere = pathsOf.get(symbol);
      if (elsewhere !== undefined) {
        add(`${tag} is not in docs/linux-symbols.txt; ${symbol} is in ${elsewhere.join(", ")}`);
      } else {
        add(`${tag} is not in docs/linux-symbols.txt`);
        unknown.push([path, symbol, kindOf(declaration), "1"].join("\t"));
      }
    }
    if (declaration.empty && declaration.mirrors.length > 0 && !declaration.emptyOnPurpose) {
      const tag = declaration.mirrors[0];
      add(`${name} is empty: write it, or say \`@mirrors ${tag} (empty)\` and why`);
    }
  }

  const rows = symbols.map((it): Row => ({ ...it, ours: counterparts(it, byTag, byName, pathsOf, sources) }));
  const simplified = sources.declarations.filter((it) => it.simplified !== undefined);
  return {
    rows,
    order: compareOrder(rows, order),
    simplified,
    findings,
    unknown: [...new Set(unknown)].sort(),
  };
}

/** Exported functions and classes; interfaces and constants are matched by name. */
function needsTag({ exported, kind }: Declaration): boolean {
  return exported && (kind === "function" || kind === "class");
}

function kindOf({ kind, name }: Declaration): string {
  if (kind === "class" || kind === "interface") return "struct";
  if (kind === "const") return "const";
  return name === name.toUpperCase() ? "macro" : "function";
}

function group<T>(pairs: readonly (readonly [string, T])[]): Map<string, T[]> {
  const map = new Map<string, T[]>();
  for (const [key, value] of pairs) {
    const list = map.get(key);
    if (list === undefined) map.set(key, [value]);
    else list.push(value);
  }
  return map;
}

function counterparts(
  { path, symbol, kind }: LinuxSymbol,
  byTag: ReadonlyMap<string, Declaration[]>,
  byName: ReadonlyMap<string, Declaration[]>,
  pathsOf: ReadonlyMap<string, string[]>,
  { traceNames, declarations }: Scan,
): Declaration[] {
  if (kind === "field") {
    const [tag, field] = symbol.split(".");
    const structs = [...byTag.get(`${path}:${tag}`) ?? [], ...byName.get(tag) ?? []];
    return unique(structs.filter(({ members }) => members.includes(field)));
  }
  const tagged = byTag.get(`${path}:${symbol}`);
  if (tagged !== undefined) return unique(tagged.filter((it) => !it.empty || it.emptyOnPurpose));
  if (kind === "tracepoint") {
    if (!traceNames.has(symbol)) return [];
    return declarations.filter((it) => it.file.startsWith("kernel/trace/") && it.name === `trace_${symbol}`);
  }
  const named = (byName.get(symbol) ?? []).filter((it) => it.mirrors.length === 0 && !it.empty);
  if (kind === "const" || kind === "macro") {
    return named.filter((it) => it.kind !== "function" || !it.exported);
  }
  if (kind === "struct") return named.filter((it) => it.kind !== "function");
  // A static function of C: not exported here. Several C files may have one of that name.
  const local = named.filter((it) => it.kind === "function" && !it.exported && isMirror(it.file));
  const paths = pathsOf.get(symbol) ?? [];
  return paths.length === 1 ? local : local.filter((it) => stem(it.file) === stem(path));
}

/** `kernel/rcu/tree_plugin.h` and `rcu/tree_plugin.ts` have the stem `tree_plugin`. */
function stem(path: string): string {
  return path.replace(/^.*\//, "").replace(/\.\w+$/, "");
}

function unique(list: readonly Declaration[]): Declaration[] {
  return [...new Set(list)];
}

// ---- the documents -----------------------------------------------------------------------------------------------

const GENERATED =
  "Generated by `deno task map --write` from docs/linux-symbols.txt and the tags in the sources.";

/** docs/map.md. */
export function renderMap({ rows, order }: LinuxMap): string {
  const lines = ["# Map: from Linux to here", "", GENERATED, ""];
  lines.push("| part | names | here | missing | in C order, own name | % |");
  lines.push("| --- | ---: | ---: | ---: | ---: | ---: |");
  for (const part of ["1", "2", "later"]) {
    const all = rows.filter((it) => it.part === part);
    const here = all.filter((it) => it.ours.length > 0).length;
    const counts = order.inOrder.get(part) ?? 0;
    const missing = all.length - here;
    lines.push(`| ${part} | ${all.length} | ${here} | ${missing} | ${counts} | ${percent(order, part)} |`);
  }
  const paths = [...new Set(rows.map(({ path }) => path))];
  for (const path of paths) {
    const here = rows.filter((it) => it.path === path && it.ours.length > 0);
    // Fields stand in the row of their struct.
    const shown = here.filter(({ kind }) => kind !== "field");
    if (shown.length === 0) continue;
    lines.push(
      "",
      `## ${path}`,
      "",
      "| Linux | kind | here | status | part |",
      "| --- | --- | --- | --- | --- |",
    );
    for (const { symbol, kind, part, ours } of shown) {
      const places = ours.map(({ file, name }) => `${file}#${name}`);
      const status = ours.some((it) => it.simplified !== undefined) ? "simplified" : "full";
      const fields = here.filter((it) => it.symbol.startsWith(symbol + ".")).map((it) =>
        it.symbol.split(".")[1]
      );
      const what = fields.length > 0 ? `${symbol} {${fields.join(", ")}}` : symbol;
      lines.push(`| ${what} | ${kind} | ${places.join(", ")} | ${status} | ${part} |`);
    }
  }
  for (const part of ["1", "2"]) {
    const missing = rows.filter((it) => it.part === part && it.ours.length === 0);
    lines.push("", `## Missing of part ${part}: ${missing.length}`, "");
    for (const path of new Set(missing.map((it) => it.path))) {
      const names = missing.filter((it) => it.path === path).map((it) => it.symbol);
      lines.push(`- ${path}: ${names.join(", ")}`);
    }
  }
  return [...lines, ...renderOrder(order)].join("\n").trimEnd() + "\n";
}

/** The table of all deviations, for docs/DIFFERENCES.md. */
export function renderSimplified({ simplified }: LinuxMap): string {
  const lines = ["| symbol | here | how it deviates |", "| --- | --- | --- |"];
  const rows = simplified.map(({ mirrors, name, file, simplified: reason }) =>
    `| ${(mirrors.length > 0 ? mirrors.map((it) => it.split(":")[1]) : [name]).join(", ")} | ${file} | ` +
    `${(reason ?? "").replaceAll("|", "\\|")} |`
  );
  return [...lines, ...[...new Set(rows)].sort()].join("\n") + "\n";
}

const BEGIN = "<!-- simplified:begin -->";
const END = "<!-- simplified:end -->";

/** `text` with the table between the markers replaced; as it was when it has no markers. */
export function withTable(text: string, table: string): string {
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin) return text;
  const fence = ["<!-- deno-fmt-ignore-start -->", "<!-- deno-fmt-ignore-end -->"];
  return text.slice(0, begin + BEGIN.length) + `\n\n${fence[0]}\n\n${table}\n${fence[1]}\n\n` +
    text.slice(end);
}

/** Findings about the two documents. */
export function checkDocuments(
  map: LinuxMap,
  mapText: string | undefined,
  differences: string | undefined,
): Finding[] {
  const findings: Finding[] = [];
  const add = (file: string, line: number, what: string): void =>
    void findings.push({ file, line, column: 1, what });
  if (mapText !== renderMap(map)) add("docs/map.md", 1, "out of date: run `deno task map --write`");
  const text = differences ?? "";
  for (const { file, line, name, mirrors, simplified } of map.simplified) {
    if (simplified === "") add(file, line, `${name} is tagged @simplified without a reason`);
    const symbols = mirrors.length > 0 ? mirrors.map((it) => it.split(":")[1]) : [name];
    for (const symbol of symbols) {
      if (!new RegExp(`(?<![\\w.])${symbol.replaceAll(".", "\\.")}(?!\\w)`).test(text)) {
        add(file, line, `${symbol} is @simplified, and docs/DIFFERENCES.md does not mention it`);
      }
    }
  }
  if (differences !== undefined && withTable(text, renderSimplified(map)) !== text) {
    add("docs/DIFFERENCES.md", 1, "the generated table is out of date: run `deno task map --write`");
  }
  return findings;
}

// ---- the command -------------------------------------------------------------------------------------------------

function main(): void {
  const symbols = readSymbols(tryReadText("docs/linux-symbols.txt") ?? "");
  const files = readTree(["kernel", "mm", "rcu", "init"]);
  const sources = scan(files);
  const map = buildMap(symbols, sources, readOrder(tryReadText("docs/linux-order.txt") ?? ""));
  const differences = tryReadText("docs/DIFFERENCES.md");
  if (Deno.args.includes("--simplified")) return console.log(renderSimplified(map).trimEnd());
  if (Deno.args.includes("--write")) {
    Deno.writeTextFileSync(new URL("../docs/map.md", import.meta.url), renderMap(map));
    if (differences !== undefined) {
      const text = withTable(differences, renderSimplified(map));
      Deno.writeTextFileSync(new URL("../docs/DIFFERENCES.md", import.meta.url), text);
    }
    return console.log("map: wrote docs/map.md");
  }
  const calls = compareCalls(readCalls(tryReadText("docs/linux-calls.txt") ?? ""), symbols, sources, files);
  if (Deno.args.includes("--calls")) return console.log(calls.map(sideBySide).join("\n\n"));
  for (const it of calls) if (it.wrong.length > 0) console.log(sideBySide(it) + "\n");
  if (map.unknown.length > 0) {
    console.log("Lines for docs/linux-symbols.txt, if the names are in scope (check the path and the part):");
    console.log(map.unknown.join("\n") + "\n");
  }
  const findings = [
    ...map.findings,
    ...checkOrder(map.order),
    ...checkCalls(calls),
    ...checkDocuments(map, tryReadText("docs/map.md"), differences),
  ];
  const here = map.rows.filter((it) => it.ours.length > 0).length;
  const shares = ["1", "2"].map((part) => `part ${part} ${percent(map.order, part)} %`).join(", ");
  const scanned = `${here} of ${map.rows.length} names exist here, in C order: ${shares}; ` +
    `${calls.length} functions call what C calls`;
  if (!report("map", scanned, findings)) Deno.exit(1);
}

if (import.meta.main) main();
