// SPDX-License-Identifier: GPL-2.0-only
// What follows a command on its line: `| FILTER ...`, `> FILE`, `>> FILE`, and the flags that every command has.
//
// Ours. The line is cut at operators outside quotes; what stands between is handed on as it was typed, quotes and all.
// Filters are ours and no processes (filters.ts). The order is `COMMAND [ARGS] [| FILTER [ARGS]]... [> FILE]`.
// Invariants: a mistake is found before the command has run and before a file was touched; a stage that wants no more
// says so, and a command that only looks is ended there.

import { didYouMean } from "./nearest.ts";
import { UsageError } from "./status.ts";

/** A file that a line is written to. */
export interface Target {
  /** As it was typed, quotes too. */
  readonly path: string;
  readonly append: boolean;
}

/** A command line in its parts. */
export interface Pieces {
  /** The command's own words. */
  readonly text: string;
  /** What stands behind each `|`: a filter's name and its words. */
  readonly filters: readonly { readonly name: string; readonly text: string }[];
  readonly target?: Target;
}

/** Cuts what follows a command's name. */
export function splitPipeline(name: string, text: string): Pieces {
  const parts: { operator: string; text: string }[] = [];
  let operator = "";
  let from = 0;
  for (const { at, length } of operators(text)) {
    parts.push({ operator, text: text.slice(from, at).trim() });
    operator = text.slice(at, at + length);
    from = at + length;
  }
  parts.push({ operator, text: text.slice(from).trim() });
  const [own, ...rest] = parts;
  const filters: { name: string; text: string }[] = [];
  let target: Target | undefined;
  for (const part of rest) {
    if (target !== undefined) {
      throw new UsageError(`${name}: "${part.operator}" after "> FILE": the file comes last, and only one`);
    }
    if (part.operator === "|") {
      const filter = /^(\S+)\s*(.*)$/s.exec(part.text);
      if (filter === null) throw new UsageError(`${name}: a filter is missing behind | (help filters)`);
      filters.push({ name: filter[1], text: filter[2] });
    } else if (part.operator === ">" || part.operator === ">>") {
      if (part.text === "") throw new UsageError(`${name}: a file is missing behind ${part.operator}`);
      target = { path: part.text, append: part.operator === ">>" };
    } else {
      throw new UsageError(
        `${name}: "${part.operator}" means nothing here; put it in quotes to pass it as a word`,
      );
    }
  }
  return { text: own.text, filters, ...(target === undefined ? {} : { target }) };
}

/** What stands behind the last operator of a line that is still being typed. */
export function lastPiece(text: string): { readonly operator: string; readonly text: string } {
  const last = [...operators(text)].at(-1);
  if (last === undefined) return { operator: "", text };
  const end = last.at + last.length;
  return { operator: text.slice(last.at, end), text: text.slice(end) };
}

/** Where operators stand outside quotes: runs of `|`, `>`, and what a host's shell would take for one. */
function* operators(text: string): Generator<{ at: number; length: number }, void, void> {
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === "\\") i++;
    else if (c === "'" || c === '"') {
      i = endOfQuote(text, i);
    } else if (c === "|" || c === ">") {
      let end = i + 1;
      while (text[end] === c || text[end] === "&") end++;
      yield { at: i, length: end - i };
      i = end - 1;
    }
  }
}

/** Index of the quote that closes the one at `at`; the end when there is none, which the parser has refused. */
function endOfQuote(text: string, at: number): number {
  for (let i = at + 1; i < text.length; i++) {
    if (text[at] === '"' && text[i] === "\\") i++;
    else if (text[i] === text[at]) return i;
  }
  return text.length;
}

/** Takes a flag that the shell knows out of a command's words; undefined when it is not there. */
export function withoutFlag(text: string, flag: string): string | undefined {
  const words = text.split(/(\s+)/);
  let quote = "";
  for (const [i, word] of words.entries()) {
    if (quote === "" && word === "--") return undefined;
    if (quote === "" && word === flag) {
      words.splice(i, 1);
      return words.join("").trim();
    }
    for (const c of word.replace(/\\./g, "")) {
      if (quote === "" ? c === "'" || c === '"' : c === quote) quote = quote === "" ? c : "";
    }
  }
  return undefined;
}

/** One filter at work. */
export interface Stage {
  /** Takes a line, and hands on what it makes of it. True: it wants no more. */
  take(line: string, next: (line: string) => void): boolean | void;
  /** There are no more lines. */
  end?(next: (line: string) => void): void;
}

/** Stages one behind the other. */
export class Pipeline {
  /** A stage wants no more: what still comes is dropped. */
  full = false;
  private readonly stages: readonly Stage[];
  private readonly last: (line: string) => void;
  private readonly done: boolean[];

  constructor(stages: readonly Stage[], last: (line: string) => void) {
    this.stages = stages;
    this.last = last;
    this.done = stages.map(() => false);
  }

  /** A line of the command. */
  take(line: string): void {
    this.at(0, line);
  }

  /** The command is over. */
  end(): void {
    for (const [i, stage] of this.stages.entries()) stage.end?.((line) => this.at(i + 1, line));
  }

  private at(i: number, line: string): void {
    if (i === this.stages.length) return this.last(line);
    if (this.done[i]) return;
    if (this.stages[i].take(line, (made) => this.at(i + 1, made)) !== true) return;
    this.done[i] = true;
    this.full = true;
  }
}

/** `unknown filter "gerp". Did you mean grep?` */
export function unknownFilter(name: string, names: readonly string[]): UsageError {
  const known = names.join(", ");
  return new UsageError(`unknown filter "${name}"${didYouMean(name, names)} (behind | stand ${known})`);
}
