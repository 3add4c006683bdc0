// SPDX-License-Identifier: GPL-2.0-only
// What `help` shows: the list by group, and one page for a command, both made from the table of commands.
//
// Ours. Invariant: nothing about a command is written twice; a page ends with examples that a test has parsed.

import { type ArgumentSpec, type Command, flagsOf, type OptionSpec, usageOf } from "./command.ts";
import type { Registry } from "./registry.ts";
import { describeRange, formatSize, parseInteger, parseSize } from "./values.ts";

const KINDS = {
  look: "leaves the machine as it is",
  advance: "lets the machine run",
  configure: "boots or changes the machine",
  shell: "is about the shell only",
};

/** The commands of some groups, each under its heading. */
export function helpList(registry: Registry, groups: readonly string[]): string[] {
  const lines: string[] = [];
  const width = Math.max(...registry.commands.map((command) => namesOf(command).length));
  for (const group of groups) {
    lines.push(`@${group}`);
    for (const command of registry.commands.filter((c) => c.group === group)) {
      lines.push(`  ${namesOf(command).padEnd(width)}  ${command.summary}`);
    }
  }
  return lines;
}

/** The page of one command. */
export function helpPage(command: Command<never>): string[] {
  const lines = [`${namesOf(command)} - ${command.summary}`, "", `  ${usageOf(command)}`];
  if (command.description !== undefined) lines.push("", ...command.description.split("\n"));
  const rows = [
    ...(command.args ?? []).map((arg): [string, string] => [arg.name.toUpperCase(), describeArgument(arg)]),
    ...(command.options ?? []).map((o): [string, string] => [flagsOf(o, false), describeOption(o)]),
  ];
  if (rows.length > 0) {
    const width = Math.max(...rows.map(([name]) => name.length));
    lines.push("", ...rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`));
  }
  lines.push("", `This command ${KINDS[command.kind]}.`, "");
  for (const example of command.examples) lines.push(`  ${example.line}`, `      ${example.shows}`);
  return lines;
}

function namesOf(command: Command<never>): string {
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
