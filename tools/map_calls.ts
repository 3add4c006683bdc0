// SPDX-License-Identifier: GPL-2.0-only
/**
 * Calls in C order: the part of the map that looks into functions. (`deno task map`)
 *
 * docs/linux-calls.txt lists, for a few functions, what they call, lock operations included, in the order of C's text; a
 * call stands where its arguments end, so what is called in them comes first, as it runs. Compared are the names that
 * docs/linux-symbols.txt has as functions, macros or tracepoints. Accesses and barriers are
 * not calls (ACCESSES), nor is what C writes without parentheses (OBJECTS). A function of ours that has another name
 * than anything in C is a part of its caller: its calls stand where it is called.
 *
 * A call that is missing, or that C does not have, must be excused in the list, with a reason.
 *
 * @module
 */

import ts, { type Finding, parse } from "./typescript.ts";
import type { Declaration, LinuxSymbol, Scan } from "./map_scan.ts";

/** Of the levels of kvfree_rcu(), those whose C text docs/linux-calls.txt has: the end of the series. */
const LISTED_LEVELS = ["rcu/levels/tree/4of7.ts", "rcu/levels/tiny/6of7.ts"];

/** Memory accesses and barriers. */
const ACCESSES = new Set([
  ...["READ_ONCE", "WRITE_ONCE", "smp_mb", "smp_load_acquire", "smp_store_release", "xchg", "cmpxchg"],
  ...["atomic_set", "atomic_read", "atomic_inc", "atomic_dec_and_test", "atomic_sub_and_test"],
]);

/** Macros that C writes like a variable and we like a call. */
const OBJECTS = new Set([
  "HZ",
  "current",
  "jiffies",
  "KFREE_DRAIN_JIFFIES",
  "KVFREE_DRAIN_JIFFIES",
  "TICK_NSEC",
]);

/** Calls that do not agree, and why they need not. */
export interface Excuse {
  /** "-": C's, not here; "+": ours, not in C. One that stands elsewhere is both. */
  sign: "-" | "+";
  names: string[];
  reason: string;
}

/** One function of docs/linux-calls.txt. */
export interface CallFacts {
  path: string;
  name: string;
  line: number;
  calls: string[];
  excuses: Excuse[];
}

/** Reads docs/linux-calls.txt: `path:function`, then lines with a tab: names, or `- names: reason`, `+ names: reason`. */
export function readCalls(text: string): CallFacts[] {
  const list: CallFacts[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line === "" || line.startsWith("#")) continue;
    const wrong = (what: string): Error => new Error(`docs/linux-calls.txt:${index + 1} ${what}: ${line}`);
    const last = list.at(-1);
    const excuse = line.match(/^\t([-+]) ([\w ]+): (\S.*)$/);
    if (!line.startsWith("\t")) {
      const [, path, name] = line.match(/^([\w/.-]+\.[chS]):(\w+)$/) ?? [];
      if (name === undefined) throw wrong("is not path:function");
      list.push({ path, name, line: index + 1, calls: [], excuses: [] });
    } else if (last === undefined) throw wrong("stands before the first function");
    else if (excuse !== null) {
      last.excuses.push({ sign: excuse[1] as "-" | "+", names: excuse[2].split(" "), reason: excuse[3] });
    } else if (/^\t\w+( \w+)*$/.test(line)) last.calls.push(...line.trim().split(" "));
    else throw wrong("is neither names nor `- names: reason`");
  }
  return list;
}

/** Names that are compared. */
export function comparable(symbols: readonly LinuxSymbol[]): Set<string> {
  const names = new Set<string>();
  for (const { symbol, kind } of symbols) {
    if (kind === "function" || kind === "macro") names.add(symbol);
    else if (kind === "tracepoint") names.add(`trace_${symbol}`);
  }
  for (const name of [...ACCESSES, ...OBJECTS]) names.delete(name);
  return names;
}

/** What `name` of `source` calls, of `compared`, in the order of the text; what it is split into is read in its place. */
export function callsOf(source: ts.SourceFile, name: string, compared: ReadonlySet<string>): string[] {
  const own = new Map<string, ts.FunctionDeclaration>();
  for (const it of source.statements) {
    if (ts.isFunctionDeclaration(it) && it.name !== undefined && it.body !== undefined) {
      own.set(it.name.text, it);
    }
  }
  const calls: string[] = [];
  const inside = new Set<string>();
  const enter = (part: string): void => {
    const body = own.get(part)?.body;
    if (body === undefined || inside.has(part)) return;
    inside.add(part);
    visit(body);
    inside.delete(part);
  };
  const visit = (node: ts.Node): void => {
    ts.forEachChild(node, visit);
    if (!ts.isCallExpression(node)) return;
    const callee = node.expression;
    const called = ts.isIdentifier(callee) || ts.isPropertyAccessExpression(callee) ? nameOf(callee) : "";
    if (compared.has(called)) calls.push(called);
    // Not a name of C: a part of this function.
    else if (ts.isIdentifier(callee) && /[a-z][A-Z]/.test(called)) enter(called);
  };
  enter(name);
  return calls;
}

function nameOf(callee: ts.Identifier | ts.PropertyAccessExpression): string {
  return ts.isIdentifier(callee) ? callee.text : callee.name.text;
}

/** One line of the comparison: C's call, ours, or both. */
export interface Pair {
  c: string | undefined;
  ours: string | undefined;
}

/** Sets two sequences side by side along their longest common part. */
export function align(c: readonly string[], ours: readonly string[]): Pair[] {
  const width = ours.length + 1;
  const best = new Uint32Array((c.length + 1) * width);
  for (let i = c.length - 1; i >= 0; i--) {
    for (let j = ours.length - 1; j >= 0; j--) {
      best[i * width + j] = c[i] === ours[j]
        ? best[(i + 1) * width + j + 1] + 1
        : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
    }
  }
  const pairs: Pair[] = [];
  let i = 0;
  let j = 0;
  while (i < c.length || j < ours.length) {
    if (i < c.length && j < ours.length && c[i] === ours[j]) pairs.push({ c: c[i++], ours: ours[j++] });
    else if (j === ours.length || (i < c.length && best[(i + 1) * width + j] >= best[i * width + j + 1])) {
      pairs.push({ c: c[i++], ours: undefined });
    } else pairs.push({ c: undefined, ours: ours[j++] });
  }
  return pairs;
}

/** What the comparison of one function found. */
export interface CallReport {
  facts: CallFacts;
  file: string;
  line: number;
  pairs: Pair[];
  /** Calls that no excuse covers, `- name` or `+ name`. */
  wrong: string[];
  /** Excuses that cover nothing, in the same form. */
  idle: string[];
}

/** Compares the functions of the list with their counterparts; one without a counterpart has no calls. */
export function compareCalls(
  list: readonly CallFacts[],
  symbols: readonly LinuxSymbol[],
  { declarations }: Scan,
  files: ReadonlyMap<string, string>,
): CallReport[] {
  const compared = comparable(symbols);
  return list.map((facts): CallReport => {
    const all = declarations.filter((it) => standsFor(it, facts));
    // Several files may stand for one function: rcupdate.ts asks the flavour, tree.ts does it.
    const here = all.find((it) => stem(it.file) === stem(facts.path)) ??
      all.find((it) => LISTED_LEVELS.includes(it.file)) ?? all[0];
    const file = here?.file ?? "docs/linux-calls.txt";
    const ours = here === undefined ? [] : callsOf(parse(file, files.get(file) ?? ""), here.name, compared);
    const pairs = align(facts.calls.filter((it) => compared.has(it)), ours);
    const left = facts.excuses.flatMap(({ sign, names }) => names.map((name) => `${sign} ${name}`));
    const wrong: string[] = [];
    for (const { c, ours } of pairs) {
      if (c !== undefined && ours !== undefined) continue;
      const key = c === undefined ? `+ ${ours}` : `- ${c}`;
      const at = left.indexOf(key);
      if (at < 0) wrong.push(key);
      else left.splice(at, 1);
    }
    return { facts, file, line: here?.line ?? facts.line, pairs, wrong, idle: left };
  });
}

function standsFor({ kind, name, mirrors }: Declaration, facts: CallFacts): boolean {
  return kind === "function" && name === facts.name && mirrors.includes(`${facts.path}:${facts.name}`);
}

/** `kernel/rcu/tree.c` and `rcu/tree.ts` have the stem `tree`. */
function stem(path: string): string {
  return path.replace(/^.*\//, "").replace(/\.\w+$/, "");
}

/** C's calls and ours, side by side; what does not agree is marked. */
export function sideBySide({ facts, file, pairs }: CallReport): string {
  const width = Math.max(...pairs.map(({ c }) => c?.length ?? 0), facts.path.length);
  const lines = pairs.map(({ c, ours }) => {
    const mark = c === ours ? " " : c === undefined ? "+" : "-";
    return `${mark} ${(c ?? "").padEnd(width)}  ${ours ?? ""}`.trimEnd();
  });
  return [`${facts.name}()`, `  ${facts.path.padEnd(width)}  ${file}`, ...lines].join("\n");
}

/** Findings: calls that differ without an excuse, excuses that excuse nothing. */
export function checkCalls(reports: readonly CallReport[]): Finding[] {
  return reports.flatMap(({ facts, file, line, wrong, idle }) => {
    const findings: Finding[] = [];
    if (wrong.length > 0) {
      const what = `${facts.name} does not call what C calls, in its order: ${wrong.join(", ")}`;
      findings.push({ file, line, column: 1, what });
    }
    for (const it of idle) {
      const what = `${facts.name}: "${it}" excuses nothing`;
      findings.push({ file: "docs/linux-calls.txt", line: facts.line, column: 1, what });
    }
    return findings;
  });
}
