// SPDX-License-Identifier: GPL-2.0-only
// A level of kvfree_rcu()'s history in words: where it comes from, what it says, what it changes, which bugs it has.
//
// Ours. Invariant: everything is read from the manifest and from the catalogue of bugs.

import type { Changes, Delta, LevelEntry, LevelFiles } from "../../rcu/levels/manifest.ts";
import type { Level } from "../../kernel/config.ts";
import { wrapped } from "./text.ts";

/** What `series` needs to know of a bug. */
interface HistoricBug {
  readonly id: string;
  readonly title: string;
  readonly levels: readonly Level[];
}

const FILE_TITLES: Readonly<Record<keyof LevelFiles, string>> = {
  tree: "tree RCU",
  tiny: "tiny RCU",
  macros: "macros",
};

/** `4/7  2020-03-23  [PATCH 4/7] rcu/tree: ...`, cut at the margin. */
export function levelLine({ label, date, subject }: LevelEntry): string {
  const line = `${label.padEnd(9)} ${date}  ${subject}`;
  return line.length <= 80 ? line : `${line.slice(0, 77)}...`;
}

/** The page of `series show`. */
export function* levelLines(
  entry: LevelEntry,
  bugs: readonly HistoricBug[],
): Generator<string, void, void> {
  const { label, subject, messageId, commits, date, parent, says, files, changes } = entry;
  yield* wrapped(`${label}: `, subject, 2);
  yield `${date}${messageId === null ? "" : `, <${messageId}>`}`;
  if (commits.length > 0) yield* wrapped("what came of it in Linux, in part: ", commits.join(" "), 2);
  yield parent === null ? "the first level" : `on top of ${parent}`;
  yield "";
  for (const sentence of says) yield* wrapped("", sentence, 0);
  yield "";
  for (const file of ["tree", "tiny", "macros"] as const) {
    const what = changes[file];
    if (what === undefined) yield `${FILE_TITLES[file]}: as before (rcu/levels/${files[file]}.ts)`;
    else {
      yield `${FILE_TITLES[file]}: rcu/levels/${files[file]}.ts`;
      yield* changeLines(what);
    }
  }
  const here = bugs.filter(({ levels }) => levels.includes(label));
  if (here.length === 0) return;
  yield "";
  yield "Known bugs that show here (bugs run ID --level " + label + "):";
  for (const { id, title } of here) yield* wrapped(`  ${id.padEnd(4)}`, title, 6);
}

const KINDS = ["functions", "structs", "constants", "macros", "ours"] as const satisfies (keyof Changes)[];
const SIGNS = [["added", "+"], ["changed", "~"], ["removed", "-"]] as const satisfies [keyof Delta, string][];

function* changeLines(changes: Changes): Generator<string, void, void> {
  for (const kind of KINDS) {
    const delta = changes[kind];
    if (delta === undefined) continue;
    const names = SIGNS.flatMap(([what, sign]) => (delta[what] ?? []).map((name) => `${sign}${name}`));
    yield* wrapped(`  ${kind.padEnd(10)}`, names.join(" "), 12);
  }
}
