// SPDX-License-Identifier: GPL-2.0-only
/**
 * A report as others read it: plain text, JSON, Gradescope's results.json, JUnit's XML.
 *
 * Invariant: a pure function of the report; no time, no host, no locale, so that two runs give the same bytes. With an
 * instructor's key, JSON and Gradescope carry an HMAC over everything that the verdict is a function of.
 *
 * @module
 */

import type { Outcome } from "../lab.ts";
import type { GradeReport, PropertyResult } from "./grade.ts";
import { hmacSha256 } from "./sha256.ts";
import { variantText } from "./variants.ts";

/** Names of formats, the first of which is the default. */
export const FORMATS = ["text", "json", "gradescope", "junit"] as const;
export type Format = typeof FORMATS[number];

const COLUMNS = 80;

/** A report in a format; `key` is an instructor's. */
export function formatted(report: GradeReport, format: Format, key: string | null = null): string {
  switch (format) {
    case "text":
      return [...reportLines(report), ...(key === null ? [] : [`signature ${signatureOf(report, key)}`]), ""]
        .join("\n");
    case "json":
      return json({ ...report, ...(key === null ? {} : { signature: signatureOf(report, key) }) });
    case "gradescope":
      return gradescope(report, key);
    case "junit":
      return junit(report);
  }
}

/** The HMAC of a verdict under an instructor's key. */
export function signatureOf(report: GradeReport, key: string): string {
  const { lab, version, mode, student, submission, seeds, score, max } = report;
  const states = report.properties.map(({ id, earned, outcome }) => [id, outcome.state, earned]);
  return hmacSha256(
    key,
    JSON.stringify([lab, version, mode, student, submission, seeds, score, max, states]),
  );
}

/** For people. */
export function* reportLines(report: GradeReport): Generator<string, void, void> {
  const { lab, title, version, student, key, variant, properties } = report;
  yield `${lab}, ${title}, version ${version}`;
  const who = student === null ? "nobody's variant" : `student ${student}, variant ${key}`;
  yield* wrapped(`${who}: ${variantText(variant)}`, "");
  for (const notice of report.notices) yield* wrapped(`! ${notice}`, "  ");
  yield "";
  for (const result of properties) yield* propertyLines(result, report.mode === "grade");
  yield "";
  const held = properties.filter(({ outcome }) => outcome.state === "PASS").length;
  if (report.mode === "check") {
    yield `${held} of ${properties.length} public properties hold; the grader has more, and other seeds`;
    return;
  }
  yield `${held} of ${properties.length} properties hold: ${report.score} of ${report.max} points`;
  yield `submission ${report.submission}`;
  yield* wrapped(`seeds ${report.seeds.join(", ")}`, "");
}

function* propertyLines(result: PropertyResult, points: boolean): Generator<string, void, void> {
  const { id, title, outcome } = result;
  const worth = points ? `${`${result.earned}/${result.points}`.padStart(7)}  ` : "";
  yield* wrapped(
    `${outcome.state.padEnd(13)} ${worth}${id.padEnd(3)} ${title}`,
    " ".repeat(points ? 27 : 18),
  );
  for (const line of outcomeLines(outcome)) yield `  ${line}`;
}

/** What an outcome has to say, without its state. */
export function* outcomeLines(outcome: Outcome): Generator<string, void, void> {
  switch (outcome.state) {
    case "PASS":
      if (outcome.note !== undefined) yield* wrapped(outcome.note, "", COLUMNS - 2);
      return;
    case "NOT-EXERCISED":
      return yield* wrapped(outcome.why, "", COLUMNS - 2);
    case "INCONCLUSIVE":
      return yield* wrapped(`the budget is used up: ${outcome.budget}`, "", COLUMNS - 2);
    case "FAIL":
      yield* wrapped(outcome.cause, "", COLUMNS - 2);
      yield* outcome.trace;
      if (outcome.token !== null) yield `TOKEN ${outcome.token}`;
  }
}

function gradescope(report: GradeReport, key: string | null): string {
  return json({
    score: report.score,
    output: [...reportLines(report)].slice(0, 3).join("\n") +
      report.notices.map((notice) => `\n! ${notice}`).join(""),
    tests: report.properties.map((result) => ({
      name: `${result.id} ${result.title}`,
      number: result.id,
      score: result.earned,
      max_score: result.points,
      status: result.outcome.state === "PASS" ? "passed" : "failed",
      output: [result.outcome.state, ...outcomeLines(result.outcome)].join("\n"),
      visibility: result.public ? "visible" : "after_due_date",
    })),
    extra_data: {
      lab: report.lab,
      version: report.version,
      student: report.student,
      variant: report.key,
      submission: report.submission,
      seeds: report.seeds,
      ...(key === null ? {} : { signature: signatureOf(report, key) }),
    },
  });
}

function junit(report: GradeReport): string {
  const { properties, lab } = report;
  const failures = properties.filter(({ outcome }) => outcome.state === "FAIL").length;
  const skipped = properties.filter(({ outcome }) => isSkipped(outcome)).length;
  const attributes = `tests="${properties.length}" failures="${failures}" errors="0" skipped="${skipped}"`;
  const lines = ['<?xml version="1.0" encoding="UTF-8"?>', `<testsuites name="${xml(lab)}" ${attributes}>`];
  lines.push(`  <testsuite name="${xml(`${lab} ${report.title}`)}" ${attributes}>`);
  lines.push("    <properties>");
  const facts: Record<string, string> = {
    version: String(report.version),
    student: report.student ?? "",
    variant: report.key,
    submission: report.submission,
    seeds: report.seeds.join(" "),
    score: `${report.score}`,
    max: `${report.max}`,
  };
  for (const [name, value] of Object.entries(facts)) {
    lines.push(`      <property name="${name}" value="${xml(value)}"/>`);
  }
  lines.push("    </properties>");
  for (const { id, title, part, earned, points, outcome } of properties) {
    const name = `${id} ${title} (${earned} of ${points} points)`;
    const head = `    <testcase classname="${xml(`${lab}.${part}`)}" name="${xml(name)}"`;
    if (outcome.state === "PASS") {
      lines.push(`${head}/>`);
      continue;
    }
    const [first = "", ...more] = [...outcomeLines(outcome)];
    const tag = isSkipped(outcome) ? "skipped" : "failure";
    lines.push(`${head}>`);
    lines.push(
      `      <${tag} message="${xml(`${outcome.state}: ${first}`)}">${xml(more.join("\n"))}</${tag}>`,
    );
    lines.push("    </testcase>");
  }
  lines.push("  </testsuite>", "</testsuites>", "");
  return lines.join("\n");
}

function isSkipped(outcome: Outcome): boolean {
  return outcome.state === "NOT-EXERCISED" || outcome.state === "INCONCLUSIVE";
}

/** Text inside XML; characters that no XML may have are left out. */
function xml(text: string): string {
  const names: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  // deno-lint-ignore no-control-regex
  return text.replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, "").replace(/[&<>"]/g, (it) => names[it]);
}

function json(value: unknown): string {
  return JSON.stringify(value, null, 2) + "\n";
}

/** Words on lines of at most `width` columns; all lines but the first begin with `margin`. */
function* wrapped(text: string, margin: string, width = COLUMNS): Generator<string, void, void> {
  let line = "";
  for (const word of text.split(" ")) {
    if (line.trim() !== "" && line.length + 1 + word.length > width) {
      yield line;
      line = margin + word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  yield line;
}
