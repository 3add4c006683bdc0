// SPDX-License-Identifier: GPL-2.0-only
/**
 * Names in C order: the part of the map that compares the order of declarations. (`deno task map`)
 *
 * docs/linux-order.txt lists, for each C file, its names in the order in which Linux defines them. For each of our files
 * and each C file that it mirrors, the longest run of our declarations that keeps that order is in order; the rest is
 * out of place. A name counts towards the floor when it exists here under its own name and in order; a field of a struct
 * when it exists.
 *
 * @module
 */

import type { Declaration } from "./map_scan.ts";
import type { Finding } from "./typescript.ts";
import type { Row } from "./map.ts";

/** Percent of the names of part 1 and of part 2 that must exist in order. */
export const FLOOR = 95;

/** C file → its names, first to last; a name that an #ifdef defines twice stands twice. */
export type Order = ReadonlyMap<string, readonly string[]>;

/** A name that exists, but not where C has it. */
export interface OutOfPlace {
  path: string;
  symbol: string;
  file: string;
  line: number;
  /** The name of the same C file that stands before it in C and, in order, here. */
  after: string | undefined;
}

/** What the comparison found. */
export interface OrderReport {
  outOfPlace: OutOfPlace[];
  /** Rows that exist under another name only. */
  renamed: Row[];
  /** Rows of parts 1 and 2 of which docs/linux-order.txt does not say where they stand. */
  unlisted: Row[];
  /** Names of a part that count. */
  inOrder: ReadonlyMap<string, number>;
  /** Names of a part in all. */
  total: ReadonlyMap<string, number>;
}

/** Reads docs/linux-order.txt: a path, then lines that begin with a tab and hold names. */
export function readOrder(text: string): Order {
  const order = new Map<string, string[]>();
  let names: string[] | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    if (line === "" || line.startsWith("#")) continue;
    if (!line.startsWith("\t")) {
      if (!/^[\w/.-]+\.[chS]$/.test(line) || order.has(line)) {
        throw new Error(`docs/linux-order.txt:${index + 1} is not the path of one more file: ${line}`);
      }
      order.set(line, names = []);
    } else if (names === undefined) {
      throw new Error(`docs/linux-order.txt:${index + 1} has names before the first path`);
    } else {
      names.push(...line.trim().split(/\s+/));
    }
  }
  return order;
}

/** The longest sequence that stands in both lists, in the order of both: index in `ours` → index in `theirs`. */
export function longestCommon(ours: readonly string[], theirs: readonly string[]): Map<number, number> {
  const width = theirs.length + 1;
  const best = new Uint32Array((ours.length + 1) * width);
  for (let i = ours.length - 1; i >= 0; i--) {
    for (let j = theirs.length - 1; j >= 0; j--) {
      best[i * width + j] = ours[i] === theirs[j]
        ? best[(i + 1) * width + j + 1] + 1
        : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
    }
  }
  const kept = new Map<number, number>();
  for (let i = 0, j = 0; i < ours.length && j < theirs.length;) {
    if (ours[i] === theirs[j]) {
      kept.set(i++, j++);
    } else if (best[(i + 1) * width + j] >= best[i * width + j + 1]) i++;
    else j++;
  }
  return kept;
}

/** Which declarations of a file stand for names of one C file. */
interface Place {
  row: Row;
  declaration: Declaration;
}

/** Compares what exists with the order of Linux. */
export function compareOrder(rows: readonly Row[], order: Order): OrderReport {
  const outOfPlace: OutOfPlace[] = [];
  const inPlace = new Set<Row>();
  for (const [key, places] of placesByPair(rows)) {
    const path = key.split("\t")[1];
    const theirs = order.get(path) ?? [];
    // Names that one declaration stands for have no order among themselves.
    const rank = new Map<string, number>();
    for (const [index, name] of theirs.entries()) if (!rank.has(name)) rank.set(name, index);
    places.sort((a, b) =>
      a.declaration.line - b.declaration.line ||
      (rank.get(a.row.symbol) ?? 0) - (rank.get(b.row.symbol) ?? 0)
    );
    const listed = places.filter(({ row }) => rank.has(row.symbol));
    const kept = longestCommon(listed.map(({ row }) => row.symbol), theirs);
    for (const [index, { row, declaration }] of listed.entries()) {
      if (kept.has(index)) inPlace.add(row);
      else {
        const at = rank.get(row.symbol) ?? 0;
        const before = [...kept.values()].filter((it) => it < at);
        outOfPlace.push({
          path,
          symbol: row.symbol,
          file: declaration.file,
          line: declaration.line,
          after: theirs[Math.max(...before)],
        });
      }
    }
  }
  const inOrder = new Map<string, number>();
  const total = new Map<string, number>();
  const renamed: Row[] = [];
  const unlisted: Row[] = [];
  for (const row of rows) {
    total.set(row.part, (total.get(row.part) ?? 0) + 1);
    const { path, symbol, kind, part, ours } = row;
    if (kind !== "field" && part !== "later" && !order.get(path)?.includes(symbol)) unlisted.push(row);
    if (ours.length === 0) continue;
    const ownName = kind === "field" || ours.some((it) => isNamed(it, symbol, kind));
    if (!ownName) renamed.push(row);
    else if (kind === "field" || inPlace.has(row)) inOrder.set(part, (inOrder.get(part) ?? 0) + 1);
  }
  const wrong = outOfPlace.filter((it) =>
    !rows.some((row) => row.path === it.path && row.symbol === it.symbol && inPlace.has(row))
  );
  return { outOfPlace: wrong, renamed, unlisted, inOrder, total };
}

function isNamed({ name, label }: Declaration, symbol: string, kind: string): boolean {
  return name === symbol || label === symbol || (kind === "tracepoint" && name === `trace_${symbol}`);
}

/** Declarations that have the name of what they stand for, by (our file, C file), both in the key. */
function placesByPair(rows: readonly Row[]): Map<string, Place[]> {
  const pairs = new Map<string, Place[]>();
  for (const row of rows) {
    if (row.kind === "field") continue;
    for (const declaration of row.ours) {
      if (!isNamed(declaration, row.symbol, row.kind)) continue;
      const key = `${declaration.file}\t${row.path}`;
      const list = pairs.get(key);
      if (list === undefined) pairs.set(key, [{ row, declaration }]);
      else list.push({ row, declaration });
    }
  }
  return pairs;
}

/** Percent of a part's names that count, with one decimal, rounded down. */
export function percent({ inOrder, total }: OrderReport, part: string): string {
  const all = total.get(part) ?? 0;
  return all === 0 ? "100.0" : (Math.floor((inOrder.get(part) ?? 0) / all * 1000) / 10).toFixed(1);
}

/** Findings: a part below the floor, and names that docs/linux-order.txt does not place. */
export function checkOrder(report: OrderReport): Finding[] {
  const findings: Finding[] = [];
  for (const part of ["1", "2"]) {
    const share = percent(report, part);
    if (Number(share) >= FLOOR) continue;
    const what = `${share} % of the names of part ${part} exist in C order: ${FLOOR} % must`;
    findings.push({ file: "docs/map.md", line: 1, column: 1, what });
  }
  for (const { path, symbol } of report.unlisted) {
    const what = `${symbol} is not in docs/linux-order.txt: put it where ${path} defines it`;
    findings.push({ file: "docs/linux-symbols.txt", line: 1, column: 1, what });
  }
  return findings;
}

/** The section of docs/map.md on order. */
export function renderOrder({ outOfPlace, renamed }: OrderReport): string[] {
  const lines = ["", `## Out of place: ${outOfPlace.length}`, ""];
  for (const { path, symbol, file, after } of outOfPlace) {
    lines.push(
      `- ${file}: ${symbol} of ${path} belongs ${after === undefined ? "first" : `behind ${after}`}`,
    );
  }
  lines.push("", `## Under another name: ${renamed.length}`, "");
  for (const { path, symbol, ours } of renamed) {
    lines.push(`- ${path}: ${symbol} is ${ours.map(({ file, name }) => `${file}#${name}`).join(", ")}`);
  }
  return lines;
}
