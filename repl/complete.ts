// SPDX-License-Identifier: GPL-2.0-only
// Tab: what may stand at the end of a line, from the tables of commands and filters, from the machine, and from the names
// TypeScript sees.
//
// Ours. Invariant: completing has no effect: no getter of a value is run, except the session's own names.

import type { Described, Names, OptionSpec } from "./command.ts";
import { COMMON_FLAGS } from "./command_line.ts";
import { filterNamed, FILTERS } from "./filters.ts";
import { parse } from "./parse.ts";
import { lastPiece } from "./pipeline.ts";
import type { Registry } from "./registry.ts";
import type { Session } from "./session.ts";

const MOST_MEMBERS = 400;

/** Names of files that begin like this. */
export type ListFiles = (partial: string) => readonly string[];

/** The candidates, and the end of the line that they replace. */
export function completeLine<S extends Session>(
  registry: Registry<S>,
  session: S,
  line: string,
  files: ListFiles = () => [],
): [string[], string] {
  const isCommand = (word: string): boolean => registry.find(word) !== undefined;
  const parsed = parse(line, isCommand);
  const last = parsed.statements.at(-1);
  const command = last?.kind === "command" ? registry.find(last.name) : undefined;
  const typed = `${last?.text ?? ""}${/\s*$/.exec(line)?.[0] ?? ""}`;
  if (command !== undefined && parsed.open === undefined && typed !== "" && !/;\s*\S*$/.test(line)) {
    const namesOf = (names: Names, partial: string): readonly string[] =>
      names === "file" ? files(partial) : names === "command" ? registry.names() : session.namesOf(names);
    const { operator, text } = lastPiece(typed);
    const words = text.split(/\s+/).filter((word) => word !== "");
    if (words.length === 0 || /\s$/.test(text)) words.push("");
    const partial = words.at(-1) ?? "";
    if (operator === ">" || operator === ">>") return [matching(files(partial), partial), partial];
    if (operator === "|") {
      const filter = words.length > 1 ? filterNamed(words[0]) : undefined;
      const offered = words.length === 1
        ? FILTERS.map(({ name }) => name)
        : filter === undefined
        ? []
        : argumentsOf(filter, words.slice(1), [], namesOf);
      return [matching(offered, partial), partial];
    }
    const own = command.complete?.(session, words) ?? [];
    return [matching(argumentsOf(command, words, own, namesOf, true), partial), partial];
  }
  const path = /[\w$.]*$/.exec(line)?.[0] ?? "";
  const atStart = /(^|;)\s*\.?[\w-]*$/.test(line);
  const names = path.includes(".") && !path.startsWith(".")
    ? membersOf(session, path)
    : Object.keys(session.scope);
  return [matching([...(atStart ? registry.names() : []), ...names], path), path];
}

function matching(candidates: readonly string[], partial: string): string[] {
  return [...new Set(candidates)].filter((name) => name.startsWith(partial)).sort();
}

/** What may stand as the last of the words after a command's name. */
function argumentsOf(
  command: Described,
  words: readonly string[],
  own: readonly string[],
  namesOf: (names: Names, partial: string) => readonly string[],
  isCommand = false,
): string[] {
  const current = words.at(-1) ?? "";
  const joined = /^--([a-z][\w-]*)=(.*)$/i.exec(current);
  if (joined !== null) {
    const option = optionNamed(command.options, `--${joined[1]}`);
    const values = option === undefined ? [] : valuesOf(option, joined[2], own, namesOf);
    return values.map((value) => `--${joined[1]}=${value}`);
  }
  const before = optionNamed(command.options, words.at(-2));
  if (before !== undefined && before.type !== "flag") return valuesOf(before, current, own, namesOf);
  if (current.startsWith("-")) {
    const options = (command.options ?? []).map((option) => `--${option.name}`);
    return [...options, ...own, ...(isCommand && current.length > 2 ? COMMON_FLAGS : [])];
  }
  const position = words.slice(0, -1).filter((word, i) => {
    const option = optionNamed(command.options, words[i - 1]);
    return !word.startsWith("-") && (option === undefined || option.type === "flag");
  }).length;
  const arg = command.args?.[position] ?? command.args?.findLast((a) => a.rest === true);
  const named = arg?.names === undefined ? [] : namesOf(arg.names, current);
  return [...own, ...(arg?.choices ?? []), ...named];
}

/** What an option's value may be; of a list with commas, its last part. */
function valuesOf(
  option: OptionSpec,
  current: string,
  own: readonly string[],
  namesOf: (names: Names, partial: string) => readonly string[],
): string[] {
  const head = option.repeatable === true ? current.slice(0, current.lastIndexOf(",") + 1) : "";
  const named = option.names === undefined ? undefined : namesOf(option.names, current.slice(head.length));
  return [...(option.choices ?? named ?? own)].map((value) => head + value);
}

function optionNamed(
  options: readonly OptionSpec[] | undefined,
  word: string | undefined,
): OptionSpec | undefined {
  return options?.find((option) => word === `--${option.name}` || word === `-${option.short}`);
}

/** The members of the object before the last dot, as whole paths: `k.cpus`. */
function membersOf(session: Session, path: string): string[] {
  const steps = path.split(".").slice(0, -1);
  let value: unknown = session.scope[steps[0]] ?? Reflect.get(globalThis, steps[0]);
  for (const step of steps.slice(1)) value = dataProperty(value, step);
  const names = new Set<string>();
  for (
    let object = value;
    isObject(object) && object !== Object.prototype;
    object = Object.getPrototypeOf(object)
  ) {
    for (const name of Object.getOwnPropertyNames(object)) {
      if (/^[A-Za-z_$][\w$]*$/.test(name) && name !== "constructor") names.add(name);
    }
  }
  return [...names].slice(0, MOST_MEMBERS).map((name) => [...steps, name].join("."));
}

function dataProperty(value: unknown, name: string): unknown {
  for (let object = value; isObject(object); object = Object.getPrototypeOf(object)) {
    const property = Object.getOwnPropertyDescriptor(object, name);
    if (property !== undefined) return property.value;
  }
  return undefined;
}

function isObject(value: unknown): value is object {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}
