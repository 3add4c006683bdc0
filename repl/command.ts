// SPDX-License-Identifier: GPL-2.0-only
// What a command is: a record of data plus one generator of lines. Help, completion, argument checking and
// "did you mean" are all derived from the record, so a command is described once.
//
// Ours. Invariants: a command never prints, never reads the host's clock and never exits: it yields lines of
// text (one item, one line, no newline at its end) and returns a status, or nothing for 0. Where there is data it
// yields a `Row`, the data with the lines that show it; whether a user sees the one or the other is the shell's
// affair (`--json`, `.mode`), and no command knows. A long run yields `BREATHE` between chunks of its work: there,
// and at every line, the shell notices ^C (see session.ts). When it does, it calls `return()` on the generator, so
// that `finally` blocks run, and reports "interrupted".

import type { Arguments } from "./arguments.ts";
import type { Session } from "./session.ts";
import type { ExitStatus } from "./status.ts";

/** Yielded by a long run in place of a line: "nothing to say, but this is a good moment to stop me". */
export const BREATHE: unique symbol = Symbol("breathe");

/** What JSON can say. Addresses are text, as they are printed. */
export type Json = string | number | boolean | null | undefined | readonly Json[] | Fields;

/** Named values, in the order in which they are written. */
export interface Fields {
  readonly [name: string]: Json;
}

/** A piece of data, and the lines that show it to a person. */
export class Row {
  /** What it is: `task`, `leak`; the first field of its object in NDJSON. */
  readonly type: string;
  /** Null for what only people need: the head of a table, a line of explanation. */
  readonly fields: Fields | null;
  /** How it is shown in a table or as text; may be none. */
  readonly lines: readonly string[];

  constructor(type: string, fields: Fields | null, lines: readonly string[]) {
    this.type = type;
    this.fields = fields;
    this.lines = lines;
  }
}

/** A piece of data, and the lines that show it. */
export function row(type: string, fields: Fields, ...lines: readonly string[]): Row {
  return new Row(type, fields, lines);
}

/** Lines for people only: not in NDJSON. */
export function heading(...lines: readonly string[]): Row {
  return new Row("heading", null, lines);
}

/** What is shown: a line, which in NDJSON is `{"type":"line","line":...}`, or a row. */
export type Shown = string | Row;

/** What a command yields. */
export type Output = Shown | typeof BREATHE;

/** What `run` returns: the lines, in order, then the exit status (nothing means 0). */
export type Lines =
  | Generator<Output, ExitStatus | void, void>
  | AsyncGenerator<Output, ExitStatus | void, void>;

/**
 * What a command does to the machine: `look` leaves it exactly as it was (a test checks that), `advance` lets
 * it run, `configure` boots or changes it, `shell` is about the shell alone.
 */
export type CommandKind = "look" | "advance" | "configure" | "shell";

/** The kinds of value that an option or an argument can take. */
export type ValueSpec =
  | { readonly type: "string" }
  /** Whole number, decimal or 0x; both ends of the range are allowed. */
  | { readonly type: "int"; readonly min?: number; readonly max?: number }
  /** Bytes, as in `64M`; the ends of the range are bytes. */
  | { readonly type: "size"; readonly min?: number; readonly max?: number }
  | { readonly type: "enum"; readonly choices: readonly string[] };

/** Sets of names that Tab knows without asking a command. */
export type Names =
  | "file"
  | "address"
  | "event"
  | "level"
  | "bug"
  | "example"
  | "symbol"
  | "command"
  | "cache"
  | "cpu";

/** An option: `--name VALUE`, or `--name` alone when its type is `flag`. */
export interface OptionSpec {
  /** Without the dashes: `cpus`. */
  readonly name: string;
  /** One letter, for `-c`. */
  readonly short?: string;
  /** What `help` calls the value: `N`. */
  readonly value?: string;
  /** One line. */
  readonly summary: string;
  readonly type: "flag" | ValueSpec["type"];
  readonly min?: number;
  readonly max?: number;
  readonly choices?: readonly string[];
  /** What Tab offers. */
  readonly names?: Names;
  /** What the command sees when the option is not given; written as the user would write it. */
  readonly default?: string;
  /** May be given several times and as a list with commas; read it with `Arguments.list()`. */
  readonly repeatable?: boolean;
}

/** A positional argument. Required ones first; only the last may be `rest`. */
export interface ArgumentSpec {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** `string` if absent. */
  readonly type?: ValueSpec["type"];
  readonly min?: number;
  readonly max?: number;
  readonly choices?: readonly string[];
  /** What Tab offers. */
  readonly names?: Names;
  readonly required?: boolean;
  /** Takes every word that is left; read it with `Arguments.list()`. */
  readonly rest?: boolean;
}

/** One command line that works, and what it shows. */
export interface Example {
  readonly line: string;
  readonly shows: string;
}

/** What `help` and the checking of arguments need: of a command, or of a filter behind `|`. */
export interface Described {
  /** The word that is typed. */
  readonly name: string;
  readonly aliases?: readonly string[];
  /** The heading in `help`, and its name in `help @group`. */
  readonly group: string;
  /** One line, no full stop. */
  readonly summary: string;
  readonly kind: CommandKind;
  /** Paragraphs for the help page. */
  readonly description?: string;
  /** Replaces the usage line that is made from `options` and `args`. */
  readonly usage?: string;
  readonly options?: readonly OptionSpec[];
  readonly args?: readonly ArgumentSpec[];
  /** At least one; a test parses each. */
  readonly examples: readonly Example[];
  /** Hands the rest of the line over as it was typed (`Arguments.raw`), for TypeScript or patterns. */
  readonly raw?: boolean;
}

/** A command of the shell. `S` is the session that it needs; the shell's own commands need only the base. */
export interface Command<S extends Session = Session> extends Described {
  /** The TypeScript that does the same, for `--ts`; undefined from the function: not for these arguments. */
  readonly ts?: string | ((args: Arguments) => string | undefined);
  /** Tab: what may stand as the last of `words` (the words after the command's name). */
  complete?(session: S, words: readonly string[]): readonly string[];
  /** Does it. */
  run(session: S, args: Arguments): Lines;
}

/** The usage line: `boot [--cpus N] [--mem SIZE]`. */
export function usageOf(command: Described): string {
  if (command.usage !== undefined) return command.usage;
  const parts = [command.name];
  for (const option of command.options ?? []) {
    parts.push(`[${flagsOf(option)}]${option.repeatable === true ? "..." : ""}`);
  }
  for (const arg of command.args ?? []) {
    const name = `${arg.choices?.join("|") ?? arg.name.toUpperCase()}${arg.rest === true ? "..." : ""}`;
    parts.push(arg.required === true ? name : `[${name}]`);
  }
  return parts.join(" ");
}

/** An option as it is typed: `-c, --cpus N` in a list, `--cpus N` in a usage line. */
export function flagsOf(option: OptionSpec, long = true): string {
  const value = option.type === "flag" ? "" : ` ${valueNameOf(option)}`;
  return long || option.short === undefined
    ? `--${option.name}${value}`
    : `-${option.short}, --${option.name}${value}`;
}

/** What the value of an option is called: its own name, the choices, or its type in capitals. */
export function valueNameOf(option: OptionSpec): string {
  if (option.value !== undefined) return option.value;
  if (option.choices !== undefined && option.choices.join("|").length <= 24) return option.choices.join("|");
  return option.type === "int" ? "N" : option.type === "string" ? "TEXT" : option.type.toUpperCase();
}
