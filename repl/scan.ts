// SPDX-License-Identifier: GPL-2.0-only
// Where a piece of a line ends: the two scanners behind parse.ts.
//
// Ours. `scanWords` walks over the words of a command (quotes, `\`, `#` comments); `scanScript` walks over
// TypeScript (strings, templates, comments, regular expressions, brackets). Neither understands what it walks
// over; they only have to know which `;` and which newline is outside everything. Invariant: `scanScript` never
// looks inside a string, a comment or a bracket for an end. Left out: regular expressions are told from division
// by the character before them, which a parser would know for certain; a wrong guess costs an error, no harm.

/** Where scanning stopped. */
export interface Scan {
  /** Index of the character that ended it, or the length of the text. */
  readonly end: number;
  /** The quote or bracket that is still open, and where it was opened. */
  readonly open?: { readonly what: string; readonly at: number };
}

/** To the end of a command: the first `;`, newline or comment outside quotes. */
export function scanWords(text: string, from: number): Scan {
  for (let i = from; i < text.length; i++) {
    const c = text[i];
    if (c === "\\" && text[i + 1] !== "\n") i++;
    else if (c === ";" || c === "\n") return { end: i };
    else if (c === "#" && /\s/.test(text[i - 1] ?? " ")) return { end: i };
    else if (c === "'" || c === '"') {
      const close = endOfString(text, i, c === '"');
      if (close === -1) return { end: text.length, open: { what: c, at: i } };
      i = close;
    }
  }
  return { end: text.length };
}

/**
 * To the end of TypeScript: the first newline outside everything, or the first `;` outside everything for
 * whose rest `stop` says true. An open bracket, template or comment at the end of the text means that more
 * lines belong to it; an open string is a mistake.
 */
export function scanScript(text: string, from: number, stop: (next: number) => boolean): Scan {
  const open: { what: string; at: number }[] = [];
  let last = ""; // the last character that was neither blank nor comment: tells a regular expression from "/"
  let word = "";
  for (let i = from; i < text.length; i++) {
    const c = text[i];
    const top = open.at(-1);
    if (top?.what === "`") {
      if (c === "\\") i++;
      else if (c === "`") open.pop();
      else if (c === "$" && text[i + 1] === "{") open.push({ what: "${", at: i++ });
      continue;
    }
    if (c === "\n" && top === undefined) return { end: i };
    if (c === ";" && top === undefined && stop(i + 1)) return { end: i };
    if (/\s/.test(c)) continue;
    if (c === "/" && text[i + 1] === "/") {
      i = endOfLine(text, i) - 1;
      continue;
    }
    if (c === "/" && text[i + 1] === "*") {
      const close = text.indexOf("*/", i + 2);
      if (close === -1) return { end: text.length, open: { what: "/*", at: i } };
      i = close + 1;
      continue;
    }
    if (c === '"' || c === "'") {
      const close = endOfString(text, i, true);
      if (close === -1) return { end: endOfLine(text, i), open: { what: c, at: i } };
      i = close;
    } else if (c === "/" && startsRegExp(last, word)) i = endOfRegExp(text, i);
    else if (c === "`" || c === "(" || c === "[" || c === "{") open.push({ what: c, at: i });
    else if (c === ")" || c === "]" || c === "}") open.pop();
    word = /[\w$]/.test(c) ? (i > 0 && /[\w$]/.test(text[i - 1]) ? word + c : c) : "";
    last = c;
  }
  const top = open.at(-1);
  return top === undefined ? { end: text.length } : { end: text.length, open: top };
}

/** Whether what is open at the end of a text can be closed by a further line. */
export function canContinue(scan: Scan): boolean {
  return scan.open !== undefined && scan.open.what !== "'" && scan.open.what !== '"';
}

/** Index of the quote that closes the one at `at` on the same line, or -1. */
function endOfString(text: string, at: number, escapes: boolean): number {
  for (let i = at + 1; i < text.length && text[i] !== "\n"; i++) {
    if (escapes && text[i] === "\\") i++;
    else if (text[i] === text[at]) return i;
  }
  return -1;
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf("\n", from);
  return end === -1 ? text.length : end;
}

/** Index of the `/` that closes a regular expression, or of the last character of the line. */
function endOfRegExp(text: string, at: number): number {
  let inClass = false;
  for (let i = at + 1; i < text.length && text[i] !== "\n"; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === "[") inClass = true;
    else if (text[i] === "]") inClass = false;
    else if (text[i] === "/" && !inClass) return i;
  }
  return endOfLine(text, at) - 1;
}

/** A "/" after a value divides; after an operator, at the start, or after `return`, it starts an expression. */
function startsRegExp(last: string, word: string): boolean {
  return last === "" || "(,=:[!&|?{};+-*%~^<>".includes(last) || /^(return|typeof|case|in|of)$/.test(word);
}
