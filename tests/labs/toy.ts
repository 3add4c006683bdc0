// SPDX-License-Identifier: GPL-2.0-only
/**
 * The toy lab for tests: its files, solutions, and hosts that exist in memory only.
 *
 * @module
 */

import { gradeInProcess, type GradeOptions, type GradeReport, runJob } from "../../labs/framework/grade.ts";
import { type Host, LabError } from "../../labs/framework/host.ts";
import type { LabManifest } from "../../labs/lab.ts";
import lab from "./toy_lab/lab.ts";
import manifestJson from "./toy_lab/lab.json" with { type: "json" };
import starter from "./toy_lab/start.ts" with { type: "text" };

export const MANIFEST: LabManifest = manifestJson as LabManifest;
export const STARTER: string = starter;

/** The starter with another text in a region. */
export function withRegion(text: string, name: string, code: string): string {
  const pattern = new RegExp(`(// \\[student ${name}\\n)[^]*?(\\n *// student\\])`);
  return text.replace(pattern, (_all, begin, end) => `${begin}${code}${end}`);
}

/** Both regions done right. */
export const SOLUTION: string = withRegion(
  withRegion(starter, "sum", "let s = 0; for (const n of numbers) s += n; return s;"),
  "user",
  "const p = yield* kmalloc(k, size, GFP_KERNEL); yield* kfree(k, p); return p !== NULL;",
);

/** Grades a text against the starter. */
export function grade(text: string, options: GradeOptions = {}): GradeReport {
  return gradeInProcess(lab, MANIFEST, text, { starter, ...options });
}

/** Grades the solution with other code in `sum`. */
export function gradeSum(code: string, options: GradeOptions = {}): GradeReport {
  return grade(withRegion(SOLUTION, "sum", code), options);
}

/** States of the properties in order. */
export function states(report: GradeReport): string[] {
  return report.properties.map(({ outcome }) => outcome.state);
}

/** Why property `id` failed. */
export function causeOf(report: GradeReport, id: string): string {
  const outcome = report.properties.find((it) => it.id === id)?.outcome;
  return outcome?.state === "FAIL" ? outcome.cause : "it did not fail";
}

/** A host with these files; paths below labs/ begin with `labs/`. Written files are added; `/` cannot be written. */
export function memoryHost(
  files: Record<string, string> = {},
): Host & { readonly files: Record<string, string> } {
  const all: Record<string, string> = {
    "labs/toy/lab.json": JSON.stringify(MANIFEST),
    "labs/toy/start.ts": starter,
    "labs/toy/lab.ts": "// checks",
    ...files,
  };
  function write(path: string, text: string): void {
    if (path.startsWith("/")) throw new LabError(`cannot write "${path}": no`);
    all[path] = text;
  }
  return {
    files: all,
    labs: ["toy"],
    labFile: (path) => all[`labs/${path}`] ?? null,
    labFiles: (folder) =>
      Object.keys(all).filter((it) => it.startsWith(`labs/${folder}/`)).map((it) =>
        it.slice(folder.length + 6)
      ),
    read(path) {
      if (all[path] === undefined) throw new LabError(`cannot read "${path}": there is no such file`);
      return all[path];
    },
    exists: (path) => path in all,
    mustWrite: (path) => write(path, all[path] ?? ""),
    write,
    run: (job) => Promise.resolve(runJob(lab, job)),
  };
}
