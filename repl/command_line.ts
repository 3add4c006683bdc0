// SPDX-License-Identifier: GPL-2.0-only
// One command line read to the end: the command's arguments, what the shell itself was asked (--json, --ts, --help), the
// filters behind `|` and the file behind `>`.
//
// Ours. Invariant: all of it is checked here, so that a mistake in the last word is found before the command has run.

import { type Arguments, asksForHelp, parseArguments } from "./arguments.ts";
import type { Described } from "./command.ts";
import { type Filter, filterNamed, FILTERS } from "./filters.ts";
import { splitPipeline, unknownFilter, withoutFlag } from "./pipeline.ts";
import { UsageError } from "./status.ts";
import { splitWords } from "./words.ts";

/** What stands on a line. */
export interface CommandLine {
  /** Absent when only help was asked for. */
  readonly args?: Arguments;
  readonly json: boolean;
  readonly ts: boolean;
  readonly filters: readonly { readonly filter: Filter; readonly args: Arguments }[];
  readonly target?: { readonly path: string; readonly append: boolean };
}

/** Flags that every command has. */
export const COMMON_FLAGS = ["--json", "--ts", "--help"];

/** Reads what follows a command's name. Throws `UsageError`. */
export async function readCommandLine(command: Described, typed: string): Promise<CommandLine> {
  const pieces = splitPipeline(command.name, typed);
  const owns = (name: string): boolean => command.options?.some((option) => option.name === name) === true;
  let { text } = pieces;
  const plain = owns("json") ? undefined : withoutFlag(text, "--json");
  text = plain ?? text;
  const silent = owns("ts") ? undefined : withoutFlag(text, "--ts");
  text = silent ?? text;
  const words = command.raw === true ? [] : await splitWords(command.name, text);
  const args = asksForHelp(words) ? undefined : await parseArguments(command, words, text);
  const filters: { filter: Filter; args: Arguments }[] = [];
  for (const { name, text } of pieces.filters) {
    const filter = filterNamed(name);
    if (filter === undefined) {
      throw unknownFilter(name, FILTERS.flatMap((it) => [it.name, ...(it.aliases ?? [])]));
    }
    filters.push({ filter, args: await parseArguments(filter, await splitWords(name, text), text) });
  }
  return {
    json: plain !== undefined,
    ts: silent !== undefined,
    filters,
    ...(args === undefined ? {} : { args }),
    ...(pieces.target === undefined ? {} : { target: await targetOf(command.name, pieces.target) }),
  };
}

async function targetOf(
  name: string,
  { path, append }: { readonly path: string; readonly append: boolean },
): Promise<{ readonly path: string; readonly append: boolean }> {
  const words = await splitWords(name, path);
  if (words.length !== 1 || words[0] === "") {
    throw new UsageError(
      `${name}: one file behind >, not "${path}"; quotes hold a name with blanks together`,
    );
  }
  return { path: words[0], append };
}
