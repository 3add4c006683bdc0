// SPDX-License-Identifier: GPL-2.0-only
/**
 * The history of kvfree_rcu() as data: what each level is, where it comes from, which files of this folder it uses, and
 * what exactly it changes against its parent.
 *
 * Invariant: the lists of changes are complete and true: a test compares the syntax trees of each level's files with those
 * of its parent. Names are those of the C source; a camelCase name is a helper of ours.
 *
 * @invented git log as data
 * @module
 */

import { type Level, LEVELS } from "../../kernel/config.ts";
import { LATER } from "./manifest_later.ts";
import { SERIES } from "./manifest_series.ts";

/** Names that a level adds, changes or removes. @invented see the file */
export interface Delta {
  readonly added?: readonly string[];
  readonly changed?: readonly string[];
  readonly removed?: readonly string[];
}

/** What a level changes in one file, by kind. @invented see the file */
export interface Changes {
  readonly functions?: Delta;
  readonly structs?: Delta;
  /** Macros without arguments, and file-scope variables. */
  readonly constants?: Delta;
  readonly macros?: Delta;
  /** Helpers and looks that Linux does not have. */
  readonly ours?: Delta;
}

/** The three files of a level, as paths below rcu/levels/ without `.ts`. @invented see the file */
export interface LevelFiles {
  readonly tree: string;
  readonly tiny: string;
  readonly macros: string;
}

/** One level. @invented see the file */
export interface LevelEntry {
  readonly label: Level;
  /** Subject of the patch, or of the one that makes the release differ most. */
  readonly subject: string;
  /** Of the mail that carries it, where it is known. */
  readonly messageId: string | null;
  /** Commits in Linux, where it was merged. */
  readonly commits: readonly string[];
  /** Of the mail, or of the release: year-month-day. */
  readonly date: string;
  readonly parent: Level | null;
  /** What it is for, and what it does, in our words; one sentence an item. */
  readonly says: readonly string[];
  readonly files: LevelFiles;
  readonly changes: Readonly<Partial<Record<keyof LevelFiles, Changes>>>;
}

/** All levels, oldest first, in the order of LEVELS. @invented see the file */
export const MANIFEST: readonly LevelEntry[] = [...SERIES, ...LATER];

/** The entry of a level. @invented see the file */
export function entryOf(level: Level): LevelEntry {
  return MANIFEST[LEVELS.indexOf(level)];
}
