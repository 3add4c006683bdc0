// SPDX-License-Identifier: GPL-2.0-only
/**
 * House rules that no formatter or linter knows. (`deno task tidy`)
 *
 *   - every .ts file starts with the SPDX line and a header comment;
 *   - code is at most 110 columns wide, comments 130 (a string that cannot be broken may be longer);
 *   - a file has at most 600 lines, unless `LONG_FILES` says why;
 *   - no marks of unfinished work, no carriage returns;
 *   - no path of a build machine, no registry host, and no tarball address in the lock file;
 *   - what a Markdown file links to exists;
 *   - every file's `statics` is listed in init/statics.ts, or boot would not create them.
 *
 * `tidy()` is pure and tested in tests/tools/tidy_test.ts; only `main()` reads the tree, so that bare `deno test` needs
 * no permission.
 *
 * @module
 */

import { isMirror, projectRoot } from "./folders.ts";
import { listTree, readText, report } from "./files.ts";
import type { Finding } from "./typescript.ts";

const SPDX = "// SPDX-License-Identifier: GPL-2.0-only";
const WIDTH = 110;
/** Comments are prose; they may be a little wider than what the formatter makes of code. */
const PROSE_WIDTH = 130;
const LINES = 600;

/** A level of kvfree_rcu() is one whole file, up to 900 lines as the part of tree.c that it mirrors. */
const LEVEL_FILES = "rcu/levels/tree/";
const LEVEL_LINES = 950;

/** Files that may be longer than `LINES`: a mirror is as long as the C file it mirrors (lines of 5.7.14 in brackets). */
export const LONG_FILES: Readonly<Record<string, string>> = {
  "rcu/tree.ts": "kernel/rcu/tree.c (4043)",
  "rcu/tree_plugin.ts": "kernel/rcu/tree_plugin.h (2569)",
  "mm/page_alloc.ts": "mm/page_alloc.c (8800)",
  "mm/slub.ts": "mm/slub.c (5900)",
  "mm/slab_common.ts": "mm/slab_common.c (1800)",
  "mm/vmalloc.ts": "mm/vmalloc.c (3600)",
  "mm/vmscan.ts": "mm/vmscan.c (4400)",
  "kernel/workqueue.ts": "kernel/workqueue.c (6000)",
  "kernel/sched/core.ts": "kernel/sched/core.c (8100)",
  "mm/kmemleak.ts": "mm/kmemleak.c (2000)",
  "kernel/time/hrtimer.ts": "kernel/time/hrtimer.c (2200)",
  "kernel/time/timer.ts": "kernel/time/timer.c (2100)",
  "tests/rcu/warn_catalogue_test.ts": "one table (an entry for each WARN of the mirrored functions)",
};

/** Marks that say "not finished"; spelled so that this file does not contain them. */
const UNFINISHED = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "X" + "XX"].join("|")})\\b`);
/** Places that exist on one machine only, and hosts that packages come from. */
const MACHINE = new RegExp(
  `(^|[\\s"'\`(=:])/(${["work", "root", "home"].join("|")})/|` +
    "//registry\\.|\\bregistry\\.[\\w-]+\\.(org|com|net|io|dev|local|internal)\\b|\\b(localhost|127\\.0\\.0\\.1):",
);

/** All findings in one text file. `exists` answers for link targets, relative to the project root. */
export function tidy(path: string, text: string, exists: (path: string) => boolean = () => true): Finding[] {
  const findings: Finding[] = [];
  const add = (line: number, what: string): void => {
    findings.push({ file: path, line, column: 1, what });
  };
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  if (path.endsWith(".ts")) tidyTypeScript(path, lines, add);
  if (path.endsWith(".md")) tidyLinks(path, lines, exists, add);
  for (const [index, line] of lines.entries()) {
    const mark = UNFINISHED.exec(line);
    if (mark !== null) add(index + 1, `${mark[1]}: finish it, or say in the docs what is left out`);
    if (line.includes("\r")) add(index + 1, "carriage return: lines end in LF");
    if (path === "deno.lock") {
      if (line.includes('"tarball"')) {
        add(index + 1, "tarball address: the lock file was written with a mirror");
      }
    }
    const place = MACHINE.exec(line);
    if (place !== null) add(index + 1, `${place[0].trim()} names a build machine or a registry`);
  }
  return findings;
}

function tidyTypeScript(path: string, lines: string[], add: (line: number, what: string) => void): void {
  if (lines[0] !== SPDX) add(1, `first line must be: ${SPDX}`);
  if (!/^\s*\/[/*]/.test(lines[1] ?? "")) {
    add(2, "no header comment: what is this file, what is its invariant?");
  }
  const most = path.startsWith(LEVEL_FILES) ? LEVEL_LINES : LINES;
  if (lines.length > most && LONG_FILES[path] === undefined) {
    const hint = isMirror(path)
      ? "split it where Linux splits, or list it"
      : "split it, or list it with a reason";
    add(LINES + 1, `${lines.length} lines: ${hint} in tools/tidy.ts`);
  }
  for (const [index, line] of lines.entries()) {
    if (line.length <= WIDTH) continue;
    const whole = columns(withoutLiterals(line));
    const code = columns(withoutLiterals(line).replace(/\s*(\/\/|\/\*).*|^\s*\*.*/, ""));
    if (code > WIDTH) add(index + 1, `${code} columns of code: at most ${WIDTH}`);
    else if (whole > PROSE_WIDTH) add(index + 1, `${whole} columns: at most ${PROSE_WIDTH}`);
  }
}

/** A line without the insides of its strings, regular expressions and addresses, which no formatter can break. */
function withoutLiterals(line: string): string {
  return line
    .replace(/"(?:[^"\\]|\\.)*"/g, '""')
    .replace(/'(?:[^'\\]|\\.)*'/g, "''")
    .replace(/`(?:[^`\\]|\\.)*`?/g, "``")
    .replace(/\/(?:[^/\\\s]|\\.)+\/[a-z]*/g, "//")
    .replace(/https?:\S+/g, "");
}

function columns(line: string): number {
  return [...line].length;
}

function tidyLinks(
  path: string,
  lines: string[],
  exists: (path: string) => boolean,
  add: (line: number, what: string) => void,
): void {
  let fenced = false;
  for (const [index, line] of lines.entries()) {
    if (/^\s*```/.test(line)) fenced = !fenced;
    if (fenced) continue;
    for (const [, target] of line.replace(/`[^`]*`/g, "").matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:|^#/.test(target)) continue;
      const file = decodeURIComponent(new URL(target, "file:///" + path).pathname.slice(1));
      if (!exists(file)) add(index + 1, `link to ${target}: there is no ${file}`);
    }
  }
}

/** Files whose `statics` no line of init/statics.ts (`listing`) imports. */
export function unlistedStatics(files: ReadonlyMap<string, string>, listing: string): Finding[] {
  const findings: Finding[] = [];
  for (const [path, text] of files) {
    if (!isMirror(path) || !text.includes("\nexport const statics") || listing.includes(`"../${path}"`)) {
      continue;
    }
    if (path.startsWith("init/") && listing.includes(`"./${path.slice("init/".length)}"`)) continue;
    findings.push({ file: path, line: 1, column: 1, what: "its statics are not listed in init/statics.ts" });
  }
  return findings;
}

// ---- the command -------------------------------------------------------------------------------------------------

/** Text files by their endings; anything else in the tree is not read. */
const TEXT =
  /(\.(ts|js|json|jsonc|md|txt|tsv|ndjson|lock|yml|yaml|html|css|sh|q)|LICENSE|\.gitattributes|\.gitignore|^\.ci\/run)$/;

function main(): void {
  const skip = new Set([".git", "node_modules", "coverage", "dist", ".quiesce_history"]);
  const files = listTree(["."], "", skip).filter((path) => TEXT.test(path) && !path.startsWith("docs/api/"));
  const exists = (path: string): boolean => {
    try {
      return Deno.statSync(projectRoot() + path) !== null;
    } catch {
      return false;
    }
  };
  const texts = new Map(files.map((path) => [path, readText(path)]));
  const findings = files.flatMap((path) => tidy(path, texts.get(path) ?? "", exists));
  findings.push(...unlistedStatics(texts, texts.get("init/statics.ts") ?? ""));
  if (!report("tidy", `${files.length} files`, findings)) Deno.exit(1);
}

if (import.meta.main) main();
