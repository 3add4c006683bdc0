// SPDX-License-Identifier: GPL-2.0-only
/**
 * Reading the project's files: the only part of the checkers that touches the disk.
 *
 * Every checker is a pure function from `path → text` to findings, tested without permissions; its `main` calls
 * `readTree()` and prints. Paths are relative to the project root and sorted, so reports do not depend on the disk.
 *
 * @module
 */

import { projectRoot } from "./folders.ts";
import { type Finding, formatFinding, inFileOrder } from "./typescript.ts";

/** Folders that hold no sources of ours. */
const SKIP = new Set([".git", "node_modules", "coverage", "dist", "fixtures"]);

/** The text of one file of the project. */
export function readText(path: string): string {
  return Deno.readTextFileSync(projectRoot() + path);
}

/** The text of one file of the project, or undefined when there is none. */
export function tryReadText(path: string): string | undefined {
  try {
    return readText(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Names of all files under `folders` (files are taken as they are, what does not exist is skipped), sorted. */
export function listTree(
  folders: readonly string[],
  suffix: string,
  skip: ReadonlySet<string> = SKIP,
): string[] {
  const names: string[] = [];
  const walk = (path: string): void => {
    for (const entry of Deno.readDirSync(projectRoot() + path)) {
      if (skip.has(entry.name)) continue;
      const name = path === "." ? entry.name : `${path}/${entry.name}`;
      if (entry.isDirectory) walk(name);
      else if (name.endsWith(suffix)) names.push(name);
    }
  };
  for (const folder of folders) {
    try {
      if (Deno.statSync(projectRoot() + folder).isDirectory) walk(folder);
      else if (folder.endsWith(suffix)) names.push(folder);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return names.sort();
}

/** Path → text of all files under `folders`. */
export function readTree(folders: readonly string[], suffix = ".ts"): Map<string, string> {
  return new Map(listTree(folders, suffix).map((name) => [name, readText(name)]));
}

/** Prints findings and a last line with the count; true when there are none. */
export function report(tool: string, scanned: string, findings: readonly Finding[]): boolean {
  for (const finding of [...findings].sort(inFileOrder)) console.log(formatFinding(finding));
  const count = findings.length === 0 ? "nothing found" : `${findings.length} found`;
  console.log(`${tool}: ${scanned}, ${count}`);
  return findings.length === 0;
}
