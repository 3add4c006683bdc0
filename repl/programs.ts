// SPDX-License-Identifier: GPL-2.0-only
// What `run` can run: the examples by name, and files of the user.
//
// Ours. An example is loaded when it is run. A file exports by default a scenario, or a generator function that gets
// the kernel; it imports what it needs from "quiesce". It is loaded anew at every run, so that it can be edited in
// between (what it imports itself is not). Invariant: every mistake in a user's file ends in one line with its place.

import { BUG_PROGRAMS, EXAMPLES } from "../examples/index.ts";
import type { OptionValues, Scenario } from "../explore/scenario.ts";
import { didYouMean } from "./nearest.ts";
import { headline, placeOf, ShellError, shortFile, UsageError } from "./status.ts";

/** Labs whose files are not programs but parts of a machine (they export `lab`), and what `run` makes of them. */
const LAB_PROGRAMS: Readonly<
  Record<string, () => Promise<{ scenarioOf(file: Readonly<Record<string, unknown>>): Scenario }>>
> = { l5: () => import("../labs/l5/own.ts") };

/** A scenario and the name by which a token finds it again. */
export interface Program {
  readonly scenario: Scenario;
  readonly ref: string;
}

/** The examples and the files that were run. */
export class Programs {
  private readonly importFile: (url: string) => Promise<unknown>;
  private readonly known = new Map<string, Scenario>();
  private imports = 0;

  constructor(importFile: (url: string) => Promise<unknown>) {
    this.importFile = importFile;
  }

  /** Names of the examples. */
  names(): string[] {
    return Object.keys(EXAMPLES);
  }

  /** A scenario that was loaded before, for completion. */
  loaded(word: string): Scenario | undefined {
    return this.known.get(word);
  }

  /** Loads the examples, so that Tab knows their options. */
  async preload(): Promise<void> {
    for (const name of this.names()) await this.find(name);
  }

  /** Loads an example by name, or a file. Throws when there is none, or when it cannot be run. */
  async find(word: string): Promise<Program> {
    const load = [EXAMPLES, BUG_PROGRAMS].find((table) => Object.hasOwn(table, word))?.[word];
    if (load === undefined && !isPath(word)) {
      const guess = didYouMean(word, this.names());
      throw new UsageError(
        `run: no example "${word}"${guess} (run lists them; a file is given as ${word}.ts)`,
      );
    }
    const scenario = load === undefined ? await this.load(word) : (await load()).default;
    this.known.set(word, scenario);
    return { scenario, ref: word };
  }

  private async load(path: string): Promise<Scenario> {
    const url = await fileUrl(path);
    const fresh = this.imports++ === 0 ? url : `${url}?${this.imports}`;
    let module: unknown;
    try {
      module = await this.importFile(fresh);
    } catch (error) {
      throw importError(path, url, error);
    }
    const { default: exported, lab } = module as { default?: unknown; lab?: unknown };
    if (exported === undefined && typeof lab === "string" && Object.hasOwn(LAB_PROGRAMS, lab)) {
      return (await LAB_PROGRAMS[lab]()).scenarioOf(module as Readonly<Record<string, unknown>>);
    }
    return scenarioOf(path, exported);
  }
}

/** Sorts `--name value` and `--name=value` for a scenario. Throws with the nearest name. */
export function scenarioOptions(scenario: Scenario, words: readonly string[]): OptionValues {
  const given: Record<string, string> = {};
  for (let i = 0; i < words.length; i++) {
    const [, name, joined] = /^--([A-Za-z][\w-]*)(?:=(.*))?$/s.exec(words[i]) ?? [];
    if (name === undefined) throw new UsageError(`run ${scenario.name}: "${words[i]}" is no option`);
    if (!scenario.options.some((option) => option.name === name)) {
      const names = scenario.options.map((option) => option.name);
      const guess = didYouMean(name, names, (near) => `--${near}`);
      const allowed = names.length === 0 ? "it has none" : names.map((known) => `--${known}`).join(", ");
      throw new UsageError(`run ${scenario.name}: unknown option --${name}${guess} (${allowed})`);
    }
    if (joined === undefined && i + 1 === words.length) {
      throw new UsageError(`run ${scenario.name}: --${name} needs a value`);
    }
    given[name] = joined ?? words[++i];
  }
  return given;
}

function isPath(word: string): boolean {
  return /[/\\]|\.[a-z]+$/i.test(word);
}

async function fileUrl(path: string): Promise<string> {
  if (/^(file|data|blob):/.test(path)) return path;
  const { pathToFileURL } = await import("node:url");
  return pathToFileURL(path).href;
}

/** A default export as a scenario. */
function scenarioOf(path: string, exported: unknown): Scenario {
  const name = shortFile(path).replace(/\.[a-z]+$/i, "");
  if (typeof exported === "function" && exported.constructor.name !== "AsyncFunction") {
    return { name, summary: path, options: [], main: exported as Scenario["main"] };
  }
  if (typeof exported === "object" && exported !== null && "main" in exported) {
    return { name, summary: path, options: [], ...exported as Partial<Scenario> } as Scenario;
  }
  throw new UsageError(
    `${shortFile(path)}: it must export a generator function: export default function* (k) { ... }`,
  );
}

/** Why a file could not be loaded, in one line with the place. */
function importError(path: string, url: string, error: unknown): ShellError {
  const text = error instanceof Error ? error.message : String(error);
  const first = text.split("\n")[0].replace(/^The module's source code could not be parsed: /, "");
  const name = error instanceof Error ? error.name : "";
  if (/\bis a directory\b/i.test(text)) {
    return new UsageError(`run: cannot read "${path}": it is a folder`);
  }
  if (name === "NotCapable" || /permission/i.test(first) || /^Requires \w+ access/.test(first)) {
    return new UsageError(
      `run: cannot read "${path}": the permission to read it was not given (--allow-read)`,
    );
  }
  if (/^Module not found/.test(first) && first.includes(url)) {
    return new UsageError(`run: cannot read "${path}": there is no such file`);
  }
  const place = /(?: at |@ ?)((?:file|data|blob):\S+?):(\d+):(\d+)/.exec(text);
  if (place !== null) {
    const what = first.replace(/ at (?:file|data|blob):\S+$/, "");
    return new UsageError(`${shortFile(place[1])}:${place[2]}:${place[3]}: ${what}`);
  }
  const thrown = placeOf(error, (file) => file.startsWith(url)) ?? shortFile(path);
  return new UsageError(`${thrown}: ${headline(error)}`);
}
