// SPDX-License-Identifier: GPL-2.0-only
// The history of kvfree_rcu(), level by level: what each patch says and changes, and one workload at many levels.
//
// Ours. Invariant: `series run` has machines of its own; the one on the bench is not touched, only copied from.

import type { Arguments } from "../arguments.ts";
import { BREATHE, type Command, heading, type Lines, type Output, row } from "../command.ts";
import type { KernelSession } from "../kernel_session.ts";
import { didYouMean } from "../nearest.ts";
import { type ExitStatus, STATUS, UsageError } from "../status.ts";
import { wrapped } from "../render/text.ts";
import type { Level } from "../../kernel/config.ts";
import type { LevelEntry } from "../../rcu/levels/manifest.ts";
import type { Workload } from "../../examples/workloads/workload.ts";

const WHAT = ["list", "show", "at", "diff", "run"] as const;
export const WORKLOAD_NAMES = ["ext4", "flood", "mix", "pressure", "early", "selftest", "shrinker"];

const series: Command<KernelSession> = {
  name: "series",
  group: "learn",
  summary: "the history of kvfree_rcu(), from the series' base to v6.12",
  kind: "configure",
  usage: "series list | show LEVEL | at LEVEL | diff LEVEL [LEVEL] | run WORKLOAD [--all | --levels L,...]",
  description:
    "list names the levels; show tells what one says and changes; at boots a machine like the one that is\n" +
    "there at another level; diff shows the TypeScript of one against another (its parent, if one is given); run does\n" +
    "the same work at each level, on machines of its own, and compares. A level is base, 1 to 7 (of the\n" +
    "series' seven), or a release such as v6.3. Workloads: " + WORKLOAD_NAMES.join(", ") +
    ", or any example.",
  args: [
    { name: "what", summary: "list, show, at, diff or run", type: "enum", choices: WHAT },
    { name: "names", summary: "levels, or a workload", rest: true, names: "level" },
  ],
  options: [
    { name: "all", type: "flag", summary: "run: at all levels" },
    { name: "levels", value: "L,...", type: "string", summary: "run: at these levels", repeatable: true },
    { name: "rcu", type: "enum", choices: ["tree", "tiny"], summary: "run: which RCU; that of the machine" },
  ],
  examples: [
    { line: "series list", shows: "one line a level" },
    { line: "series show 4", shows: "what 4/7 says and does, and what it changes" },
    { line: "series diff 3 4", shows: "the TypeScript before and after" },
    { line: "series run ext4 --all", shows: "the ext4 example at every level, in a table" },
  ],
  complete(_, words) {
    if (words.length <= 1) return WHAT;
    return words[0] === "run"
      ? WORKLOAD_NAMES
      : ["base", "1", "2", "3", "4", "5", "6", "7", "v5.9", "v6.1", "v6.3"];
  },
  async *run(session, args): Lines {
    const what = args.has("what") ? args.text("what") : "list";
    const names = args.list("names");
    switch (what) {
      case "show":
        return yield* showLines(await entryNamed("show", only("show", names)));
      case "at":
        return yield* atLevel(session, await entryNamed("at", only("at", names)));
      case "diff":
        return yield* diffLines(session, names);
      case "run":
        return yield* runLines(session, args, only("run", names));
      default:
        return yield* listLines();
    }
  },
};

/** The one name that must follow. */
function only(what: string, names: readonly string[]): string {
  if (names.length === 1) return names[0];
  const wanted = what === "run" ? `one workload: ${WORKLOAD_NAMES.join(", ")}, or an example` : "one level";
  throw new UsageError(`series ${what}: takes ${wanted}`);
}

/** `4`, `4/7`, `5.9`, `v5.9`, `base`. */
export async function levelNamed(what: string, word: string): Promise<Level> {
  const { LEVELS } = await import("../../kernel/config.ts");
  const { spelledOut } = await import("./machine.ts");
  const wanted = spelledOut(word);
  const level = LEVELS.find((l) => l === wanted);
  if (level !== undefined) return level;
  throw new UsageError(`${what}: no level "${word}"${didYouMean(wanted, LEVELS)} (${LEVELS.join(", ")})`);
}

async function entryNamed(what: string, word: string): Promise<LevelEntry> {
  const { entryOf } = await import("../../rcu/levels/manifest.ts");
  return entryOf(await levelNamed(`series ${what}`, word));
}

async function* listLines(): AsyncGenerator<Output, void> {
  const { MANIFEST } = await import("../../rcu/levels/manifest.ts");
  const { levelLine } = await import("../render/series.ts");
  for (const entry of MANIFEST) {
    const { label, date, subject, parent, commits } = entry;
    yield row("level", { level: label, date, subject, parent, commits }, levelLine(entry));
  }
  yield heading("series show LEVEL tells about one, series diff LEVEL shows what it changes");
}

async function* showLines(entry: LevelEntry): AsyncGenerator<Output, void> {
  const { levelLines } = await import("../render/series.ts");
  const { BUGS } = await import("../../examples/bugs/catalogue.ts");
  yield* levelLines(entry, BUGS);
}

/** Boots the machine that is there at another level. */
async function* atLevel(session: KernelSession, entry: LevelEntry): AsyncGenerator<Output, void> {
  const { bootedRow } = await import("./machine.ts");
  const { checkConfig } = await import("../../kernel/config.ts");
  const before = session.booted ? session.k.config : {};
  const k = await session.boot((bench) => bench.boot(checkConfig({ ...before, level: entry.label })));
  yield bootedRow(k.config, k.seq);
  yield* session.newReports();
}

async function* diffLines(session: KernelSession, names: readonly string[]): AsyncGenerator<Output, void> {
  if (names.length < 1 || names.length > 2) throw new UsageError("series diff: takes a level, or two");
  const { entryOf } = await import("../../rcu/levels/manifest.ts");
  const after = await entryNamed("diff", names.at(-1) as string);
  if (names.length === 1 && after.parent === null) {
    throw new UsageError(`series diff: ${after.label} is the first level: give two`);
  }
  const before = names.length === 2 ? await entryNamed("diff", names[0]) : entryOf(after.parent as Level);
  const { levelDiff } = await import("../render/series_diff.ts");
  yield* levelDiff(before, after, (path) => session.sourceText(path));
}

/** A workload of the list, or any example with its defaults. */
async function workloadNamed(session: KernelSession, name: string): Promise<Workload> {
  const { WORKLOADS } = await import("../../examples/workloads/workloads.ts");
  const found = WORKLOADS.find((w) => w.name === name);
  if (found !== undefined) return found;
  const examples = session.programs.names();
  if (!examples.includes(name)) {
    const guess = didYouMean(name, [...WORKLOAD_NAMES, ...examples]);
    throw new UsageError(
      `series run: no workload "${name}"${guess} (${
        WORKLOAD_NAMES.join(", ")
      }, and the examples that run lists)`,
    );
  }
  const { scenario } = await session.programs.find(name);
  return { name, summary: scenario.summary, scenario };
}

async function levelsOf(session: KernelSession, args: Arguments): Promise<readonly Level[]> {
  const { LEVELS } = await import("../../kernel/config.ts");
  const words = args.list("levels");
  if (args.flag("all")) {
    if (words.length > 0) throw new UsageError("series run: --all or --levels, not both");
    return LEVELS;
  }
  if (words.length === 0) return [session.booted ? session.k.config.level : "7/7"];
  const levels: Level[] = [];
  for (const word of words) levels.push(await levelNamed("series run", word));
  return levels;
}

async function* runLines(
  session: KernelSession,
  args: Arguments,
  name: string,
): AsyncGenerator<Output, ExitStatus> {
  const workload = await workloadNamed(session, name);
  const levels = await levelsOf(session, args);
  const { runAt } = await import("../../examples/workloads/compare.ts");
  const { runFields, tableLines, TABLE_HEAD } = await import("../render/series_table.ts");
  const machine = machineOf(session, args);
  yield* wrapped(`${workload.name}: `, workload.summary, 2);
  yield heading(TABLE_HEAD);
  let failed = false;
  for (const level of levels) {
    yield BREATHE;
    const it = runAt(workload, level, machine);
    yield row("series", runFields(it), ...tableLines(it));
    failed ||= it.reports > 0 || it.leaked > 0;
  }
  return failed ? STATUS.failed : STATUS.ok;
}

/** The machine on the bench as a pattern; another flavour means another machine. */
function machineOf(session: KernelSession, args: Arguments): object {
  const config = session.booted ? session.k.config : {};
  if (!args.has("rcu")) return config;
  const rcu = args.text("rcu");
  return session.booted && session.k.config.rcu === rcu ? config : { rcu };
}

/** In the order in which `help` lists them. */
export const seriesCommands: readonly Command<KernelSession>[] = [series];
