// SPDX-License-Identifier: GPL-2.0-only
// Tab: what may stand at the end of a line, from the table of commands and from the names TypeScript sees.
//
// Ours. Invariant: completing has no effect: no getter of a value is run, except the session's own names.

import type { Command, OptionSpec } from "./command.ts";
import { parse } from "./parse.ts";
import type { Registry } from "./registry.ts";
import type { Session } from "./session.ts";

const MOST_MEMBERS = 400;

/** The candidates, and the end of the line that they replace. */
export function completeLine<S extends Session>(
  registry: Registry<S>,
  session: S,
  line: string,
): [string[], string] {
  const isCommand = (word: string): boolean => registry.find(word) !== undefined;
  const parsed = parse(line, isCommand);
  const last = parsed.statements.at(-1);
  const partial = /\S*$/.exec(line)?.[0] ?? "";
  const command = last?.kind === "command" ? registry.find(last.name) : undefined;
  const inArguments = command !== undefined && last !== undefined && parsed.open === undefined &&
    !/;\s*\S*$/.test(line) && /\s/.test(line.slice(line.lastIndexOf(last.name) + last.name.length));
  if (command !== undefined && inArguments) {
    const words = last?.text.split(/\s+/).filter((word) => word !== "") ?? [];
    if (partial === "") words.push("");
    return [matching(argumentsOf(command, session, words), partial), partial];
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
function argumentsOf<S extends Session>(command: Command<S>, session: S, words: readonly string[]): string[] {
  const current = words.at(-1) ?? "";
  const before = optionNamed(command.options, words.at(-2));
  const own = command.complete?.(session, words) ?? [];
  if (before !== undefined && before.type !== "flag") return [...(before.choices ?? own)];
  if (current.startsWith("-")) {
    return [...(command.options ?? []).map((option) => `--${option.name}`), ...own];
  }
  const position = words.slice(0, -1).filter((word, i) => {
    const option = optionNamed(command.options, words[i - 1]);
    return !word.startsWith("-") && (option === undefined || option.type === "flag");
  }).length;
  const arg = command.args?.[position] ?? command.args?.findLast((a) => a.rest === true);
  return [...own, ...(arg?.choices ?? [])];
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
