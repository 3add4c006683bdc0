// SPDX-License-Identifier: GPL-2.0-only
// From text to statements: which part is a command, which part is TypeScript, and where each ends.
//
// Ours. The rules, in the order in which they are tried at the start of a statement:
// 1. Blanks, empty statements and `# comments` are skipped.
// 2. A word that names a command starts a command, if a blank, `;`, `|`, `>` or the end follows and then no `=`. It
//    ends at the first `;`, newline or `#` outside quotes. (`step(3)`, `run.x` and `free = 1` are TypeScript.)
//    What stands behind `|` and `>` belongs to it (pipeline.ts).
// 3. Everything else is TypeScript. It ends at a newline outside brackets, or at a `;` outside brackets and
//    strings if what follows is the start of a command by rule 2; so `let x = {a: 1}; x.a` is one piece and
//    `let n = 3; ps; n + 1` is three. Brackets left open at the end of the text ask for more lines.
// Invariant: the same text is split the same way on a terminal, in a script, a pipe and after -e.

import { canContinue, type Scan, scanScript, scanWords } from "./scan.ts";
import { UsageError } from "./status.ts";

/** A command, or a piece of TypeScript. */
export interface Statement {
  readonly kind: "command" | "typescript";
  /** The command's name as typed; empty for TypeScript. */
  readonly name: string;
  /** What follows the name, or the TypeScript itself. */
  readonly text: string;
  /** Line of the statement in the text, counted from 0. */
  readonly line: number;
}

/** The statements of a text. */
export interface Parsed {
  readonly statements: readonly Statement[];
  /** The last statement needs more lines: what is open, and on which line (from 0). */
  readonly open?: { readonly what: string; readonly line: number };
  /** The mistake after the last statement; what comes before it can be carried out. */
  readonly error?: { readonly error: UsageError; readonly line: number };
}

/** Splits a text into statements. `isCommand` tells which words name commands. */
export function parse(text: string, isCommand: (word: string) => boolean): Parsed {
  const statements: Statement[] = [];
  const lineOf = lineCounter(text);
  let at = 0;
  while ((at = skipBlank(text, at)) < text.length) {
    const line = lineOf(at);
    const name = commandAt(text, at, isCommand);
    let scan: Scan;
    if (name !== undefined) {
      scan = scanWords(text, at);
      if (scan.open !== undefined) {
        const error = new UsageError(`${name}: the quote ${scan.open.what} is never closed`);
        return { statements, error: { error, line } };
      }
      const rest = text.slice(at + name.length, scan.end).trim();
      statements.push({ kind: "command", name, text: rest, line });
    } else {
      scan = scanScript(text, at, (next) => commandAt(text, skipBlank(text, next), isCommand) !== undefined);
      if (scan.open !== undefined) {
        const { what, at: openedAt } = scan.open;
        if (canContinue(scan)) return { statements, open: { what, line: lineOf(openedAt) } };
        const error = new UsageError(`the quote ${what} is never closed`);
        return { statements, error: { error, line: lineOf(openedAt) } };
      }
      statements.push({ kind: "typescript", name: "", text: text.slice(at, scan.end).trimEnd(), line });
    }
    at = scan.end;
  }
  return { statements };
}

/** The command's name that starts at `at`, by rule 2 above. */
function commandAt(text: string, at: number, isCommand: (word: string) => boolean): string | undefined {
  const word = /^\.?[A-Za-z_][\w-]*(?=[\s;|>]|$)/.exec(text.slice(at, at + 80))?.[0];
  if (word === undefined || !isCommand(word)) return undefined;
  return /^[^\S\n]*[-+*/%&|^?<>]{0,3}=/.test(text.slice(at + word.length, at + word.length + 80))
    ? undefined
    : word;
}

/** Over blanks, `;` and comments that start with `#`. */
function skipBlank(text: string, at: number): number {
  for (; at < text.length; at++) {
    if (text[at] === "#") {
      const end = text.indexOf("\n", at);
      at = end === -1 ? text.length : end;
    } else if (!/[\s;]/.test(text[at])) break;
  }
  return at;
}

/** Counts lines up to an index; indices must not go down. */
function lineCounter(text: string): (at: number) => number {
  let line = 0;
  let seen = 0;
  return (at) => {
    for (; seen < at; seen++) if (text[seen] === "\n") line++;
    return line;
  };
}

/** Words that can start a line of TypeScript and so never look like a mistyped command. */
const KEYWORDS = new Set(
  ("abstract async await break case class const continue debugger declare default delete do else enum export " +
    "false finally for function if import interface let module namespace new null return super switch this " +
    "throw true try type typeof undefined using var void while with yield").split(" "),
);

/**
 * The first word of TypeScript that looks like a mistyped command: alone (`slabinf`), or followed by something
 * that no expression continues with (`bott --cpus 4`, `step many`).
 */
export function mistypedCommand(text: string, isKnown: (word: string) => boolean): string | undefined {
  const match = /^(\.?[A-Za-z][\w-]*)(?=\s|;|$)\s*;*\s*(.*)$/s.exec(text);
  if (match === null) return undefined;
  const [, word, rest] = match;
  if (KEYWORDS.has(word) || isKnown(word)) return undefined;
  const alone = rest === "" || /^\S+\s*;/.test(text);
  const goesOn = /^(--?[A-Za-z]|[\w"'/.@])/.test(rest) && !/^(in|instanceof|as|satisfies)\b/.test(rest);
  return alone || goesOn ? word : undefined;
}
