// SPDX-License-Identifier: GPL-2.0-only
// From the words after a command's name to checked values, by the command's own record.
//
// The command library (`@cliffy/command`, see cliffy/command.ts) sorts words into options and arguments; what is
// an unknown option, and what a value may be, is decided here, so that messages are the same whichever library
// stands behind the name. Invariants: the library is loaded at the first command that has words to sort, not at
// start, and sees a fresh tree for every line, so that no option of one line can leak into the next.

import { type Described, flagsOf, type OptionSpec } from "./command.ts";
import { didYouMean } from "./nearest.ts";
import { UsageError } from "./status.ts";
import { parseValue, type Value } from "./values.ts";

/** What a command was given, after checking. Asking for a name that the command does not declare throws. */
export class Arguments {
  /** Everything after the command's name, as typed. */
  readonly raw: string;
  private readonly command: Described;
  private readonly values: ReadonlyMap<string, true | Value | readonly Value[]>;

  constructor(
    command: Described,
    values: ReadonlyMap<string, true | Value | readonly Value[]>,
    raw: string,
  ) {
    this.command = command;
    this.values = values;
    this.raw = raw;
  }

  /** Whether it was given or has a default. */
  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** A `flag`. */
  flag(name: string): boolean {
    return this.get(name) === true;
  }

  /** An `int`, or a `size` in bytes. */
  int(name: string): number {
    const value = this.get(name);
    if (typeof value !== "number") throw this.wrongType(name, "one number");
    return value;
  }

  /** A `string` or `enum`. */
  text(name: string): string {
    const value = this.get(name);
    if (typeof value !== "string") throw this.wrongType(name, "one string");
    return value;
  }

  /** Every value of a repeatable option or of a `rest` argument that is text; empty when there is none. */
  list(name: string): readonly string[] {
    const value = this.get(name) ?? [];
    if (!Array.isArray(value)) throw this.wrongType(name, "a list");
    return value;
  }

  /** The same for numbers. */
  ints(name: string): readonly number[] {
    return this.list(name) as readonly unknown[] as readonly number[];
  }

  private get(name: string): true | Value | readonly Value[] | undefined {
    const declared = this.command.options?.some((option) => option.name === name) === true ||
      this.command.args?.some((arg) => arg.name === name) === true;
    if (!declared) throw new TypeError(`${this.command.name} declares no option or argument "${name}"`);
    return this.values.get(name);
  }

  private wrongType(name: string, wanted: string): TypeError {
    return new TypeError(`${this.command.name}: "${name}" was read as ${wanted}, which it is not or has not`);
  }
}

/** Sorts and checks the words of one command line. Throws {@linkcode UsageError}. */
export async function parseArguments(
  command: Described,
  words: readonly string[],
  raw: string,
): Promise<Arguments> {
  const values = new Map<string, true | Value | readonly Value[]>();
  if (command.raw === true) return new Arguments(command, values, raw);
  for (const option of command.options ?? []) {
    if (option.default !== undefined) values.set(option.name, optionValue(command, option, [option.default]));
  }
  const needed = command.args?.some((arg) => arg.required === true) === true;
  if (words.length > 0 || needed) {
    refuseUnknownOptions(command, words);
    const found = await sortWords(command, words);
    for (const option of command.options ?? []) {
      const given = found.options[camelCase(option.name)];
      if (given === true) values.set(option.name, true);
      else if (given !== undefined) values.set(option.name, optionValue(command, option, [given].flat()));
    }
    collectArguments(command, found.args, values);
  }
  return new Arguments(command, values, raw);
}

/** Whether `--help` or `-h` is among the words, before any `--`. */
export function asksForHelp(words: readonly string[]): boolean {
  const end = words.indexOf("--");
  return words.slice(0, end === -1 ? undefined : end).some((word) => word === "--help" || word === "-h");
}

/** Hands the words to the library. */
async function sortWords(
  command: Described,
  words: readonly string[],
): Promise<{ options: Record<string, true | string | string[]>; args: string[] }> {
  const library = await import("@cliffy/command");
  const parser = new library.Command();
  parser.name(command.name);
  parser.throwErrors();
  parser.noExit();
  parser.helpOption(false);
  const definition = (command.args ?? []).map((arg) => {
    const name = `${arg.rest === true ? "..." : ""}${arg.name}:string`;
    return arg.required === true ? `<${name}>` : `[${name}]`;
  }).join(" ");
  if (definition !== "") parser.arguments(definition);
  for (const option of command.options ?? []) {
    const flags = option.short === undefined ? `--${option.name}` : `-${option.short}, --${option.name}`;
    const value = option.type === "flag" ? "" : " <value:string>";
    parser.option(`${flags}${value}`, option.summary, { collect: option.repeatable === true });
  }
  try {
    const found: { options: unknown; args: unknown; literal: string[] } = await parser.parse([...words]);
    return {
      options: found.options as Record<string, true | string | string[]>,
      args: [...found.args as string[], ...found.literal],
    };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new UsageError(`${command.name}: ${message.replace(/\.$/, "")} (help ${command.name})`);
  }
}

/** An option that the command does not have: names the nearest. */
function refuseUnknownOptions(command: Described, words: readonly string[]): void {
  const options = command.options ?? [];
  for (let i = 0; i < words.length && words[i] !== "--"; i++) {
    const flag = /^(?:--[a-z][\w-]*|-[a-z])/i.exec(words[i])?.[0];
    if (flag === undefined) continue;
    const option = options.find((o) => flag === `--${o.name}` || flag === `-${o.short}`);
    if (option === undefined) {
      const guess = didYouMean(flag.replace(/^-+/, ""), options.map((o) => o.name), (name) => `--${name}`);
      throw new UsageError(`${command.name}: unknown option ${flag}${guess} (help ${command.name})`);
    }
    if (option.type !== "flag" && words[i] === flag) i++; // its value, whatever that looks like
  }
}

function optionValue(command: Described, option: OptionSpec, texts: readonly string[]): Value | Value[] {
  const where = `${command.name}: ${flagsOf(option).split(" ")[0]}`;
  const { type } = option;
  if (type === "flag") throw new TypeError(`${where} is a flag and takes no value`);
  const spec = { ...option, type };
  if (option.repeatable !== true) return parseValue(where, texts[0], spec);
  return texts.flatMap((text) => text.split(",")).map((text) => parseValue(where, text, spec));
}

function collectArguments(
  command: Described,
  words: readonly string[],
  values: Map<string, true | Value | readonly Value[]>,
): void {
  for (const [i, arg] of (command.args ?? []).entries()) {
    const spec = { type: "string" as const, ...arg };
    const where = `${command.name}: ${arg.name}`;
    if (arg.rest === true) values.set(arg.name, words.slice(i).map((word) => parseValue(where, word, spec)));
    else if (words[i] !== undefined) values.set(arg.name, parseValue(where, words[i], spec));
  }
}

/** The key under which the library reports `fail-page`: `failPage`. */
function camelCase(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
