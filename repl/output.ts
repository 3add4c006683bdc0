// SPDX-License-Identifier: GPL-2.0-only
// How what a command yields becomes lines: text for people, or NDJSON, one object a line.
//
// Ours. Every object begins with `type`; fields stand in the order in which the command gave them, and a line without
// data is `{"type":"line","line":"..."}`. Headings are for people only and leave no object. Invariant: a pure function
// of the row and the mode, so that both forms say the same.

import { type Fields, type Json, Row, type Shown } from "./command.ts";

/** What `.mode` chooses between. */
export const MODES = ["table", "json"] as const;

/** One of them. */
export type Mode = (typeof MODES)[number];

/** The lines for what a command yielded. */
export function rendered(shown: Shown, mode: Mode): readonly string[] {
  if (typeof shown === "string") return mode === "json" ? [objectLine("line", { line: shown })] : [shown];
  if (mode === "table") return shown.lines;
  return shown.fields === null ? [] : [objectLine(shown.type, shown.fields)];
}

/** `{"type":"task","pid":1}` */
export function objectLine(type: string, fields: Fields): string {
  return JSON.stringify({ type, ...fields });
}

/** Plain data of the machine as JSON: numbers that can only be addresses become the text that is printed for them. */
export function plainFields(value: object): Fields {
  return plainValue(value) as Fields;
}

function plainValue(value: unknown): Json {
  if (typeof value === "number") {
    const address = value >= 2 ** 47 && value < 2 ** 48;
    return address ? `ffff${value.toString(16)}` : Number.isFinite(value) ? value : null;
  }
  if (Array.isArray(value)) return value.map(plainValue);
  if (typeof value !== "object" || value === null) return value as Json;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, plainValue(field)]));
}

/** The value of a line of TypeScript as a row: itself where JSON can say it, its text otherwise. */
export function valueRow(value: unknown, lines: readonly string[]): Row {
  const plain = value === null || ["string", "number", "boolean"].includes(typeof value);
  const exact = plain && !(typeof value === "number" && !Number.isFinite(value));
  const told = lines.length === 1 && /^ffff[0-9a-f]{12}$/.test(lines[0]) ? lines[0] : value as Json;
  return new Row("value", exact ? { value: told } : { text: lines.join("\n") }, lines);
}
