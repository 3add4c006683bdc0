// SPDX-License-Identifier: GPL-2.0-only
/**
 * Reads a manifest (`lab.json`) and says what is wrong with it, a line for each mistake.
 *
 * @module
 */

import type { LabManifest } from "../lab.ts";

/** Thrown for a manifest that cannot be used; every line of `mistakes` stands for one. */
export class ManifestError extends Error {
  override readonly name: string = "ManifestError";

  constructor(readonly mistakes: readonly string[]) {
    super(mistakes.length === 1 ? mistakes[0] : `${mistakes[0]} (and ${mistakes.length - 1} more)`);
  }
}

const PARTS = ["run", "explore", "sweep", "cost", "quiz"];

/** What makes a value wrong; null when it is right. */
type Rule = (value: unknown) => string | null;

const text: Rule = (value) => typeof value === "string" && value !== "" ? null : "a text";
const flag: Rule = (value) => typeof value === "boolean" ? null : "true or false";
const texts: Rule = (value) =>
  Array.isArray(value) && value.every((it) => typeof it === "string") ? null : "a list of texts";

function number(min: number, whole = true): Rule {
  return (value) =>
    typeof value === "number" && value >= min &&
      (whole ? Number.isSafeInteger(value) : Number.isFinite(value))
      ? null
      : `a ${whole ? "whole " : ""}number of at least ${min}`;
}

function matching(pattern: RegExp, what: string): Rule {
  return (value) => typeof value === "string" && pattern.test(value) ? null : what;
}

const MANIFEST: Readonly<Record<string, Rule>> = {
  id: matching(/^[a-z][a-z0-9]*$/, "lower-case letters and digits"),
  title: text,
  version: number(1),
  summary: text,
  hours: number(0, false),
  file: matching(/^\w[\w.-]*\.ts$/, "the name of a .ts file, without a folder"),
  imports: texts,
  properties: (value) => Array.isArray(value) && value.length > 0 ? null : "a list of properties",
  budget: (value) => isRecord(value) ? null : "an object",
  hints: (value) => isRecord(value) ? null : "an object",
};

const PROPERTY: Readonly<Record<string, Rule>> = {
  id: matching(/^[A-Z]+\d+[a-z]?$/, "capital letters and a number, as in S1"),
  title: text,
  part: (value) => PARTS.includes(value as string) ? null : `one of ${PARTS.join(", ")}`,
  points: number(0, false),
  public: flag,
};

const BUDGET: Readonly<Record<string, Rule>> = { steps: number(1), points: number(1), executions: number(0) };

/** The manifest in a text. `where` is the file's name. Throws ManifestError. */
export function parseManifest(content: string, where: string): LabManifest {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (error) {
    throw new ManifestError([`${where}: not JSON: ${(error as Error).message.split("\n")[0]}`]);
  }
  const mistakes = manifestMistakes(value);
  if (mistakes.length > 0) throw new ManifestError(mistakes.map((it) => `${where}: ${it}`));
  return value as LabManifest;
}

/** What is wrong with a manifest. */
export function manifestMistakes(value: unknown): string[] {
  if (!isRecord(value)) return ["not an object"];
  const mistakes = against(value, MANIFEST, "");
  const { properties, budget, hints } = value;
  if (isRecord(budget)) mistakes.push(...against(budget, BUDGET, "budget."));
  if (!Array.isArray(properties)) return mistakes;
  const ids = new Set<unknown>();
  let points = 0;
  for (const [i, property] of properties.entries()) {
    const at = `properties[${i}]`;
    if (!isRecord(property)) {
      mistakes.push(`${at} is not an object`);
      continue;
    }
    mistakes.push(...against(property, PROPERTY, `${at}.`));
    if (ids.has(property.id)) mistakes.push(`${at}.id: there is another property ${property.id}`);
    ids.add(property.id);
    points += Number(property.points);
  }
  if (Math.abs(points - 100) > 1e-9) {
    mistakes.push(`the points of the properties add up to ${points}, not to 100`);
  }
  for (const [id, list] of Object.entries(isRecord(hints) ? hints : {})) {
    if (!ids.has(id)) mistakes.push(`hints.${id}: no property ${id}`);
    if (texts(list) !== null) mistakes.push(`hints.${id}: ${texts(list)} is expected`);
  }
  return mistakes;
}

function against(
  value: Record<string, unknown>,
  rules: Readonly<Record<string, Rule>>,
  at: string,
): string[] {
  const mistakes: string[] = [];
  for (const [name, rule] of Object.entries(rules)) {
    const wanted = rule(value[name]);
    if (wanted === null) continue;
    mistakes.push(name in value ? `${at}${name}: ${wanted} is expected` : `${at}${name} is missing`);
  }
  for (const name of Object.keys(value)) if (!(name in rules)) mistakes.push(`${at}${name} is not known`);
  return mistakes;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
