// SPDX-License-Identifier: GPL-2.0-only
// From a name of Linux to ours and back: the text of a function, what it mirrors, how it differs, who uses it.
//
// Ours. Invariant: what is shown is read from the files that this shell was loaded from; a name that is nowhere is
// answered with the nearest that is.

import { BREATHE, type Command, heading, type Lines, type Row, row } from "../command.ts";
import type { KernelSession } from "../kernel_session.ts";
import { didYouMean } from "../nearest.ts";
import { wrapped } from "../render/text.ts";
import type { SourceEntry, SourceIndex } from "../source_index.ts";
import { UsageError } from "../status.ts";

/** The version that everything mirrors which no level file does. */
const VERSION = "v5.7";

const src: Command<KernelSession> = {
  name: "src",
  group: "learn",
  summary: "show our text of a kernel function, struct or macro, and where Linux has it",
  kind: "shell",
  description:
    "The name is Linux's, or one of ours. Where the history of kvfree_rcu() has several, it is the one\n" +
    "of the machine that is booted, and the others are named. With --where only the place.",
  args: [{ name: "name", summary: "what to show", required: true, names: "symbol" }],
  options: [{ name: "where", type: "flag", summary: "file, line, what it mirrors, how it differs; no text" }],
  examples: [{ line: "src kvfree", shows: "file, line, what it mirrors, and the text" }, {
    line: "src kvfree_call_rcu --where",
    shows: "one place for each text that the history of kvfree_rcu() has",
  }],
  async *run(session, args): Lines {
    const index = await session.sources();
    const name = plain(args.text("name"));
    const found = await known("src", index, name, session);
    const here = await ofTheMachine(session, found);
    for (const entry of args.flag("where") ? found : [here]) yield await placeRow(index, entry);
    if (args.flag("where")) return;
    const others = found.filter((entry) => entry !== here);
    if (others.length > 0) {
      const places = others.map(({ file, line }) => `${file}:${line}`).join(", ");
      yield heading(...wrapped("  also at  ", places, 11));
    }
    yield heading("");
    for (const [i, line] of here.text.split("\n").entries()) {
      yield row("source", { file: here.file, line: here.line - commentLines(here) + i, text: line }, line);
    }
  },
};

const xref: Command<KernelSession> = {
  name: "xref",
  group: "learn",
  summary: "say which name of Linux a name of ours stands for, and back, and who uses it",
  kind: "shell",
  description: "A file of Linux or of ours lists what it has: xref kernel/rcu/tiny.c, xref rcu/tiny.ts.",
  args: [{ name: "name", summary: "a name, or a file", required: true, names: "symbol" }],
  examples: [{ line: "xref kvfree", shows: "where C has it, where we have it, who calls it" }, {
    line: "xref kernel/rcu/tiny.c",
    shows: "the names of that file, and ours",
  }],
  async *run(session, args): Lines {
    const index = await session.sources();
    const name = plain(args.text("name"));
    if (name.includes("/")) return yield* fileLines(index, name);
    const found = await known("xref", index, name, session);
    for (const entry of found) yield await placeRow(index, entry);
    yield BREATHE;
    const uses = [...new Set(found.map((entry) => entry.name))].flatMap((ours) => index.uses(ours));
    yield heading(uses.length === 0 ? "no use in kernel, mm, rcu, init, explore, examples" : "used by");
    for (const { file, line, within } of uses) {
      yield row("use", { file, line, in: within }, `  ${within}  ${file}:${line}`);
    }
  },
};

/** `kfree()` is typed too. */
function plain(text: string): string {
  return text.replace(/\(\)$/, "");
}

/** Ours for a name; without any, why not. */
async function known(
  who: string,
  index: SourceIndex,
  name: string,
  session: KernelSession,
): Promise<SourceEntry[]> {
  const found = index.find(name);
  if (found.length > 0) return found;
  const [struct, field] = name.split(".");
  if (field !== undefined && index.find(struct).length > 0) return index.find(struct);
  const event = (await session.events()).find((event) => event.name === name);
  if (event !== undefined) {
    throw new UsageError(
      `${who}: ${name} is a trace event, declared as data under kernel/trace/events: trace list ${name}`,
    );
  }
  const there = index.linux.find(({ symbol }) => symbol === name);
  if (there !== undefined) {
    const what = there.symbol.includes(".")
      ? `try: ${who} ${there.symbol.split(".")[0]}`
      : "it is not here yet";
    throw new UsageError(`${who}: ${name} is a ${there.kind} of ${there.path}; ${what}`);
  }
  throw new UsageError(`${who}: no name "${name}"${didYouMean(name, index.names())}`);
}

/** Of several texts the one that the booted machine runs. */
async function ofTheMachine(session: KernelSession, found: readonly SourceEntry[]): Promise<SourceEntry> {
  const { level, rcu } = session.booted ? session.k.config : { level: "7/7", rcu: "tree" };
  const running: SourceEntry[] = [];
  for (const entry of found) if ((await levelsOf(entry)).includes(level)) running.push(entry);
  return running.find(({ file }) => file.includes(`/${rcu}/`)) ?? running[0] ?? found[0];
}

/** The levels whose text a file is; none for a file that is not of the history. */
async function levelsOf({ file }: SourceEntry): Promise<string[]> {
  const path = /^rcu\/levels\/(.+)\.ts$/.exec(file)?.[1];
  if (path === undefined) return [];
  const { MANIFEST } = await import("../../rcu/levels/manifest.ts");
  return MANIFEST.filter(({ files }) => Object.values(files).includes(path)).map(({ label }) => label);
}

/** Where a declaration is, what it stands for, and how it differs. */
async function placeRow(index: SourceIndex, entry: SourceEntry): Promise<Row> {
  const { name, file, line, simplified } = entry;
  const linux = index.linuxOf(entry);
  const levels = await levelsOf(entry);
  const versions = levels.length > 0 ? levels : linux.length > 0 ? [VERSION] : [];
  const lines = [`${name}  ${file}:${line}`];
  for (const { path, symbol, kind } of linux) {
    lines.push(`  mirrors  ${path}:${symbol}${kind === "" ? "" : ` (${kind})`}`);
  }
  if (versions.length > 0) lines.push(...wrapped("  version  ", versions.join(", "), 11));
  const invented = linux.length === 0 ? index.inventedReason(entry) : undefined;
  if (invented !== undefined) lines.push(...wrapped("  ours     ", invented, 11));
  if (simplified !== "") lines.push(...wrapped("  differs  ", simplified, 11));
  const mirrors = linux.map(({ path, symbol }) => `${path}:${symbol}`);
  return row("place", { name, file, line, mirrors, versions, differs: simplified, ours: invented }, ...lines);
}

function commentLines({ text, code }: SourceEntry): number {
  return text.split("\n").length - code.split("\n").length;
}

/** What a file has: one of Linux, or one of ours. */
function* fileLines(index: SourceIndex, path: string): Generator<Row, void, void> {
  const ours = index.entries.filter(({ file }) => file === path);
  for (const entry of ours) {
    const linux = index.linuxOf(entry).map((it) => `${it.path}:${it.symbol}`);
    const what = linux.length > 0 ? linux.join(", ") : "ours";
    yield row(
      "name",
      { name: entry.name, file: path, line: entry.line, mirrors: linux },
      ...pair(entry.name, what),
    );
  }
  const linux = ours.length > 0 ? [] : index.linux.filter((it) => it.path === path && it.kind !== "field");
  for (const { symbol, kind } of linux) {
    const places = index.find(symbol).filter((entry) => index.linuxOf(entry).some((it) => it.path === path))
      .map(({ file, line }) => `${file}:${line}`);
    const what = places.length > 0 ? places.join(", ") : "not here";
    yield row("name", { name: symbol, kind, path, places }, ...pair(symbol, what));
  }
  if (ours.length > 0 || linux.length > 0) return;
  const files = new Set([...index.entries.map(({ file }) => file), ...index.linux.map((it) => it.path)]);
  throw new UsageError(`xref: no file "${path}" is in scope${didYouMean(path, files)}`);
}

function pair(name: string, what: string): string[] {
  return [...wrapped(`${name.padEnd(32)} `, what, 33)];
}

/** In the order in which `help` lists them. */
export const sourceCommands: readonly Command<KernelSession>[] = [src, xref];
