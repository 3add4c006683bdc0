// SPDX-License-Identifier: GPL-2.0-only
// The TypeScript of one level against that of another, declaration by declaration.
//
// Ours. `source` reads our files, where this shell was loaded from. Invariant: what is shown as changed differs in code;
// declarations of which only the comment changed are left out.

import { structuredPatch } from "diff";
import type { LevelEntry, LevelFiles } from "../../rcu/levels/manifest.ts";
import { type Declaration, declarationsOf } from "../level_source.ts";

/** Unchanged lines around a change. */
const CONTEXT = 2;

/** What `series diff` shows. */
export function* levelDiff(
  before: LevelEntry,
  after: LevelEntry,
  source: (path: string) => string,
): Generator<string, void, void> {
  let same = true;
  for (const file of ["tree", "tiny", "macros"] as const satisfies (keyof LevelFiles)[]) {
    const [a, b] = [before.files[file], after.files[file]];
    if (a === b) continue;
    same = false;
    yield `--- rcu/levels/${a}.ts  (${before.label})`;
    yield `+++ rcu/levels/${b}.ts  (${after.label})`;
    yield* fileDiff(
      declarationsOf(source(`rcu/levels/${a}.ts`)),
      declarationsOf(source(`rcu/levels/${b}.ts`)),
    );
  }
  if (same) yield `${before.label} and ${after.label} have the same files`;
}

function* fileDiff(
  before: ReadonlyMap<string, Declaration>,
  after: ReadonlyMap<string, Declaration>,
): Generator<string, void, void> {
  for (const { name, code } of after.values()) {
    const old = before.get(name);
    if (old?.code === code) continue;
    yield* old === undefined ? headed("added", name) : headed("changed", name);
    yield* patch(old?.code ?? "", code);
  }
  for (const { name, code } of before.values()) {
    if (after.has(name)) continue;
    yield* headed("removed", name);
    yield* patch(code, "");
  }
}

function* headed(what: string, name: string): Generator<string, void, void> {
  yield "";
  yield `@@ ${what}: ${name}`;
}

function* patch(before: string, after: string): Generator<string, void, void> {
  const ended = (text: string): string => text === "" ? "" : `${text}\n`;
  const { hunks } = structuredPatch("", "", ended(before), ended(after), "", "", { context: CONTEXT });
  for (const [i, { lines }] of hunks.entries()) {
    if (i > 0) yield "...";
    yield* lines;
  }
}
