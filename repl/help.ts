// SPDX-License-Identifier: GPL-2.0-only
// What `help` and `apropos` show: the list by group, one page for a command or a filter, and what a word occurs in, all
// made from the tables of commands and filters.
//
// Ours. Invariants: nothing about a command is written twice; a page ends with examples that a test has run; no line of
// prose is wider than 80 columns, as long as no single word is.

import {
  type ArgumentSpec,
  type Described,
  flagsOf,
  heading,
  type OptionSpec,
  Row,
  row,
  usageOf,
} from "./command.ts";
import { FILTERS } from "./filters.ts";
import type { Registry } from "./registry.ts";
import { COLUMNS, wrapped } from "./render/text.ts";
import { describeRange, formatSize, parseInteger, parseSize } from "./values.ts";

const KINDS = {
  look: "leaves the machine as it is",
  advance: "lets the machine run",
  configure: "boots or changes the machine",
  shell: "is about the shell only",
};

/** The commands of some groups, each under its heading. */
export function helpList(registry: Registry, groups: readonly string[]): Row[] {
  const rows: Row[] = [];
  const width = Math.max(...registry.commands.map((command) => namesOf(command).length));
  for (const group of groups) {
    rows.push(heading(`@${group}`));
    for (const command of registry.commands.filter((c) => c.group === group)) {
      rows.push(summaryRow(command, "command", width));
    }
  }
  return rows;
}

/** What may stand behind `|`. */
export function filterList(): Row[] {
  const width = Math.max(...FILTERS.map((filter) => namesOf(filter).length));
  return [
    heading("Behind a command, as in: ps | grep kworker | head 3"),
    ...FILTERS.map((filter) => summaryRow(filter, "filter", width)),
    heading("help FILTER explains one. > FILE and >> FILE come last."),
  ];
}

/** Commands and filters in which a word occurs. */
export function* aproposRows(registry: Registry, word: string): Generator<Row, void, void> {
  const all: readonly (readonly [Described, string])[] = [
    ...registry.commands.map((command) => [command, "command"] as const),
    ...FILTERS.map((filter) => [filter, "filter"] as const),
  ];
  for (const [it, what] of all) {
    const texts = [namesOf(it), it.group, it.summary, it.description ?? "", it.usage ?? ""];
    for (const { name, summary } of [...(it.options ?? []), ...(it.args ?? [])]) texts.push(name, summary);
    if (texts.some((text) => text.toLowerCase().includes(word))) yield summaryRow(it, what, 18, what);
  }
}

function summaryRow(it: Described, what: string, width: number, kind?: string): Row {
  const { name, group, summary } = it;
  const margin = kind === undefined ? "  " : "";
  const head = `${margin}${namesOf(it).padEnd(width)} ${kind === undefined ? " " : ""}`;
  const lines = wrapped(head, kind === undefined ? summary : `${summary} (${kind})`, head.length);
  return new Row(what, { name, aliases: it.aliases ?? [], group, summary }, [...lines]);
}

/** The page of one command. */
export function helpPage(command: Described): Row[] {
  const names = namesOf(command);
  const lines = [
    ...wrapped(`${names} - `, command.summary, names.length + 3),
    "",
    ...usageLines(usageOf(command)),
  ];
  if (command.description !== undefined) lines.push("", ...proseLines(command.description));
  const rows = [
    ...(command.args ?? []).map((arg): [string, string] => [arg.name.toUpperCase(), describeArgument(arg)]),
    ...(command.options ?? []).map((o): [string, string] => [flagsOf(o, false), describeOption(o)]),
  ];
  if (rows.length > 0) {
    const width = Math.max(...rows.map(([name]) => name.length));
    lines.push("");
    for (const [name, text] of rows) lines.push(...wrapped(`  ${name.padEnd(width)}  `, text, width + 4));
  }
  const filter = command.group === "filters";
  lines.push("", filter ? "A filter, for behind |." : `This command ${KINDS[command.kind]}.`, "");
  for (const example of command.examples) lines.push(`  ${example.line}`, `      ${example.shows}`);
  const { name, aliases, group, kind, summary, examples } = command;
  const fields = {
    name,
    aliases: aliases ?? [],
    group,
    kind,
    summary,
    usage: usageOf(command),
    description: command.description ?? "",
    options: (command.options ?? []).map((o) => ({ name: o.name, summary: describeOption(o) })),
    args: (command.args ?? []).map((a) => ({ name: a.name, summary: describeArgument(a) })),
    examples: examples.map(({ line, shows }) => ({ line, shows })),
  };
  return [row("help", fields, ...lines)];
}

/** A description: paragraphs and indented items (`  name  text`) with a line that is too wide are filled anew. */
function proseLines(text: string): string[] {
  const lines: string[] = [];
  let block: string[] = [];
  let margin = 0; // of the block's further lines; -1 for lines that stay as they are
  const finish = (): void => {
    const wide = margin >= 0 && block.some((line) => line.length > COLUMNS);
    if (!wide) lines.push(...block);
    else {
      const words = [block[0].slice(margin), ...block.slice(1).map((line) => line.trim())].join(" ");
      lines.push(...wrapped(block[0].slice(0, margin), words, margin));
    }
    block = [];
  };
  for (const line of text.split("\n")) {
    const indent = /^ */.exec(line)?.[0].length ?? 0;
    if (block.length > 0 && margin >= 0 && indent === margin && line !== "") {
      block.push(line);
      continue;
    }
    finish();
    const item = /^( +\S.*? {2,})\S/.exec(line);
    margin = item !== null ? item[1].length : indent === 0 && line !== "" ? 0 : -1;
    block = [line];
  }
  finish();
  return lines;
}

/** A usage line in 80 columns: cut before an option, and continued under the first. */
function usageLines(usage: string): string[] {
  const [name, ...parts] = usage.split(/ (?=[[|])/);
  const lines: string[] = [];
  let line = `  ${name}`;
  const margin = " ".repeat(Math.min(name.length, 20) + 3);
  for (const part of parts) {
    if (line.length + 1 + part.length > COLUMNS) {
      lines.push(line);
      line = margin + part;
    } else line += ` ${part}`;
  }
  return [...lines, line];
}

function namesOf(command: Described): string {
  return [command.name, ...(command.aliases ?? [])].join(", ");
}

function describeArgument(arg: ArgumentSpec): string {
  const choices = arg.choices === undefined ? "" : ` (${arg.choices.join(", ")})`;
  return arg.summary + choices + rangeOf(arg);
}

function describeOption(option: OptionSpec): string {
  const choices = option.choices === undefined ? "" : ` (${option.choices.join(", ")})`;
  const many = option.repeatable === true ? "; may be a list with commas" : "";
  const otherwise = option.default === undefined ? "" : `; default ${shown(option, option.default)}`;
  return option.summary + choices + rangeOf(option) + many + otherwise;
}

function rangeOf(spec: OptionSpec | ArgumentSpec): string {
  const { type } = spec;
  if (type !== "int" && type !== "size") return "";
  const range = describeRange({ ...spec, type }, type === "size" ? formatSize : String);
  return range === "" ? "" : `, ${range}`;
}

/** A default in the form in which it would be shown again. */
function shown(option: OptionSpec, text: string): string {
  if (option.type === "size") return formatSize(parseSize(text));
  return option.type === "int" ? String(parseInteger(text)) : text;
}
