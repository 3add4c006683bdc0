// SPDX-License-Identifier: GPL-2.0-only
/**
 * Mirrored functions that no test executes. (`deno task coverage`)
 *
 * Runs the tests of the kernel with coverage and fails for every function that stands for a name of part 1 or 2 of
 * docs/linux-symbols.txt and was never called. tools/never_executed.txt excuses what cannot run, each with a reason; an
 * excuse that is not needed is a finding too. Counting makes tests slow, so those are left out that repeat the same
 * functions on many seeds, and those of the examples: a function counts when a test of its own folder reaches it.
 *
 * @module
 */

import { listTree, readText, readTree, report, tryReadText } from "./files.ts";
import { projectRoot } from "./folders.ts";
import { buildMap, type Row } from "./map.ts";
import { readSymbols, scan } from "./map_scan.ts";
import type { Finding } from "./typescript.ts";

/** Where the tests of the kernel are. */
const TESTS = ["kernel", "mm", "rcu", "init", "explore", "fidelity"].map((it) => `tests/${it}`);

/** Tests that repeat what others do once. */
const REPEATS = /(^|[/_])(stress|model|property|determinism)_test\.ts$/;

/** Seconds after which the tests are stopped. */
const LIMIT = 280;

/** Folder for the raw numbers; not in the repository. */
const FOLDER = "coverage";

const EXCUSES = "tools/never_executed.txt";

/** File → name of a function → how often it was called; several of one name in a file count together. */
export type Calls = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** Reads the functions of an lcov report; paths become relative to `root`. */
export function readLcov(text: string, root: string): Calls {
  const calls = new Map<string, Map<string, number>>();
  let file = new Map<string, number>();
  for (const line of text.split("\n")) {
    if (line.startsWith("SF:")) {
      const path = line.slice("SF:".length);
      calls.set(path.startsWith(root) ? path.slice(root.length) : path, file = new Map());
      continue;
    }
    const [, count, name] = line.match(/^FNDA:(\d+),(.+)$/) ?? [];
    if (name !== undefined) file.set(name, (file.get(name) ?? 0) + Number(count));
  }
  return calls;
}

/** `file#function`, a tab, why it cannot run. */
export function readExcuses(text: string): Map<string, string> {
  const excuses = new Map<string, string>();
  for (const [index, line] of text.split("\n").entries()) {
    if (line === "" || line.startsWith("#")) continue;
    const [, key, reason] = line.match(/^([\w/.-]+\.ts#\w+)\t(\S.*)$/) ?? [];
    if (reason === undefined) {
      throw new Error(`${EXCUSES}:${index + 1} is not "file#function, reason": ${line}`);
    }
    excuses.set(key, reason);
  }
  return excuses;
}

/** Findings: functions of part 1 and 2 that were never called, and excuses for what was called or is not there. */
export function checkCoverage(
  rows: readonly Row[],
  calls: Calls,
  excuses: ReadonlyMap<string, string>,
): Finding[] {
  const findings: Finding[] = [];
  const idle = new Set(excuses.keys());
  const seen = new Set<string>();
  for (const { path, symbol, part, ours } of rows) {
    if (part === "later") continue;
    for (const { kind, file, line, name } of ours) {
      const key = `${file}#${name}`;
      if (kind !== "function" || seen.has(key)) continue;
      seen.add(key);
      if ((calls.get(file)?.get(name) ?? 0) > 0) continue;
      idle.delete(key);
      if (!excuses.has(key)) {
        findings.push({ file, line, column: 1, what: `no test executes ${name} (${path}:${symbol})` });
      }
    }
  }
  for (const key of idle) {
    findings.push({ file: EXCUSES, line: 1, column: 1, what: `${key} needs no excuse: it runs, or is gone` });
  }
  return findings;
}

/** Functions that stand for names of part 1 and 2. */
export function mirroredFunctions(rows: readonly Row[]): number {
  const keys = rows.filter(({ part }) => part !== "later").flatMap(({ ours }) =>
    ours.filter(({ kind }) => kind === "function").map(({ file, name }) => `${file}#${name}`)
  );
  return new Set(keys).size;
}

/** Test files that are run. */
export function selectTests(files: readonly string[]): string[] {
  return files.filter((it) => !REPEATS.test(it));
}

/** Runs this same Deno; what it printed, and whether it succeeded in time. */
async function deno(args: string[]): Promise<{ stdout: string; stderr: string; success: boolean }> {
  const signal = AbortSignal.timeout(LIMIT * 1000);
  const options = { args, cwd: projectRoot(), stdin: "null", env: { NO_COLOR: "1" }, signal } as const;
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), options).output();
  const decoder = new TextDecoder();
  const note = signal.aborted ? `\nstopped after ${LIMIT} s\n` : "";
  return {
    stdout: decoder.decode(stdout),
    stderr: decoder.decode(stderr) + note,
    success: success && !signal.aborted,
  };
}

async function main(): Promise<void> {
  const tests = selectTests(listTree(TESTS, "_test.ts"));
  const raw = [`--coverage=${FOLDER}`, "--coverage-raw-data-only", "--clean"];
  const run = await deno(["test", "--no-check", "--parallel", "--reporter=dot", ...raw, ...tests]);
  if (!run.success) {
    console.log((run.stdout + run.stderr).trimEnd() + "\ncoverage: the tests failed");
    Deno.exit(1);
  }
  const root = projectRoot();
  const folders = `^file://${encodeURI(root).replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}(kernel|mm|rcu|init)/`;
  const lcov = await deno(["coverage", FOLDER, "--lcov", `--include=${folders}`]);
  const { rows } = buildMap(
    readSymbols(readText("docs/linux-symbols.txt")),
    scan(readTree(["kernel", "mm", "rcu", "init"])),
  );
  const calls = readLcov(lcov.stdout, root);
  const findings = checkCoverage(rows, calls, readExcuses(tryReadText(EXCUSES) ?? ""));
  const scanned = `${tests.length} test files, ${mirroredFunctions(rows)} mirrored functions`;
  if (!report("coverage", scanned, findings)) Deno.exit(1);
}

if (import.meta.main) await main();
