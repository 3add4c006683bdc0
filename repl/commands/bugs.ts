// SPDX-License-Identifier: GPL-2.0-only
// Known bugs of kvfree_rcu(), shown: a stored schedule, the kernel's report, the timeline around it, and why.
//
// Ours. What is shown is typed, in the user's sight, as the tour does it: a token, then looks. Invariant: `bugs run` ends
// in status 1 when the bug showed, in 0 at a level where it is gone and did not, and says which in its last line.

import type { Bug } from "../../examples/bugs/catalogue.ts";
import type { Level } from "../../kernel/config.ts";
import type { Arguments } from "../arguments.ts";
import { type Command, heading, type Lines, type Output, type Row, row } from "../command.ts";
import type { KernelSession } from "../kernel_session.ts";
import { didYouMean } from "../nearest.ts";
import { type ExitStatus, STATUS, UsageError } from "../status.ts";
import { levelRanges } from "../render/levels.ts";
import { levelNamed } from "./series.ts";

const COLUMNS = 78;

const bugs: Command<KernelSession> = {
  name: "bugs",
  group: "learn",
  summary: "known bugs, each with the schedule that shows it",
  kind: "configure",
  usage: "bugs list | show ID | run ID [--level LEVEL]",
  description:
    "list names them; show tells about one, and what its schedule does; run boots its machine in place of\n" +
    "the one that is there, shows the bug, and ends with status 1. At a level where the bug is gone the same\n" +
    "program ends with status 0.",
  args: [
    { name: "what", summary: "list, show or run", type: "enum", choices: ["list", "show", "run"] },
    { name: "id", summary: "which bug", names: "bug" },
  ],
  options: [
    {
      name: "level",
      value: "LEVEL",
      type: "string",
      names: "level",
      summary: "run, list: at this level of the history",
    },
  ],
  examples: [
    { line: "bugs list", shows: "one line a bug" },
    { line: "bugs run B9", shows: "a reader whose object is freed, and why" },
    { line: "bugs run B9 --level v6.3", shows: "the same program where the bug is gone" },
  ],
  async *run(session, args): Lines {
    const { BUGS } = await import("../../examples/bugs/catalogue.ts");
    const what = args.has("what") ? args.text("what") : "list";
    const level = args.has("level") ? await levelNamed("bugs", args.text("level")) : undefined;
    if (what === "list") {
      if (args.has("id")) throw new UsageError("bugs list: takes no bug; bugs show ID tells about one");
      return yield* listLines(
        level === undefined ? BUGS : BUGS.filter(({ levels }) => levels.includes(level)),
      );
    }
    const bug = bugNamed(args, BUGS);
    if (what === "show") return yield* showLines(bug);
    return yield* runBug(session, bug, level ?? bug.shownAt);
  },
};

function bugNamed(args: Arguments, known: readonly Bug[]): Bug {
  const ids = known.map(({ id }) => id);
  if (!args.has("id")) throw new UsageError(`bugs: which one? ${ids.join(", ")} are known`);
  const id = args.text("id");
  const bug = known.find((b) => b.id.toLowerCase() === id.toLowerCase());
  if (bug === undefined) {
    throw new UsageError(`bugs: no bug "${id}"${didYouMean(id, ids)} (${ids.join(", ")} are known)`);
  }
  return bug;
}

function* listLines(known: readonly Bug[]): Generator<Row, void, void> {
  for (const { id, title, levels, gone, demo } of known) {
    yield row("bug", { id, title, levels, gone, runs: demo !== null }, `${id.padEnd(4)} ${title}`);
  }
  yield heading(
    known.length === 0 ? "none is known there" : "bugs show ID tells about one, bugs run ID shows it",
  );
}

function* showLines(bug: Bug): Generator<string, void, void> {
  const { demo } = bug;
  yield `${bug.id}: ${bug.title}`;
  yield "";
  yield* filled(`History: ${bug.history}.`);
  yield* filled(`Shows at: ${levelsText(bug)}.`);
  if (demo !== null) {
    yield* filled(`Program: ${demo.scenario.name} (${demo.file}): ${demo.scenario.summary}.`);
    const stalls = demo.stalls?.(bug.shownAt) ?? [];
    if (stalls.length > 0) yield "Schedule:";
    for (const { thread, object, nth, stall } of stalls) {
      const ms = (250 * 2 ** stall / 1e6).toFixed(1);
      yield `  the CPU of ${thread} loses ${ms} ms at its ${ordinal(nth)} ${object}()`;
    }
  }
  yield "";
  yield* filled(bug.why.join(" "));
}

/** `base, 1/7, v6.1; gone at v6.3`. */
function levelsText({ levels, gone, demo }: Bug): string {
  if (demo === null) return "nothing can be run here";
  return levelRanges(levels) + (gone === null ? "" : `; gone at ${gone}`);
}

/** Runs its program at a level. Returns 1 when it showed, 0 when it did not and should not, or the shell's own fault. */
async function* runBug(session: KernelSession, bug: Bug, level: Level): AsyncGenerator<Output, ExitStatus> {
  const { host } = session;
  if (bug.demo === null) {
    throw new UsageError(`bugs run: ${bug.id} is told, not shown: bugs show ${bug.id}`);
  }
  const { tokenOf } = await import("../../examples/bugs/catalogue.ts");
  const token = userError(() => tokenOf(bug, level));
  async function* typed(line: string): AsyncGenerator<Output, number> {
    yield `quiesce> ${line}`;
    return await host.execute(line);
  }
  yield* filled(`${bug.id} at ${level}: ${bug.title}`);
  yield "";
  let status = yield* typed(`replay ${token}`);
  const expected = bug.levels.includes(level);
  // What no report tells, a look may: `leaks` fails for a leak.
  if (status !== STATUS.ok || expected) {
    for (const line of bug.demo.look ?? []) {
      yield "";
      const found = yield* typed(line);
      if (status === STATUS.ok) status = found;
    }
  }
  if (status === STATUS.ok) {
    if (expected) {
      yield `bugs: ${bug.id} did not show at ${level}; please report it`;
      return STATUS.fault;
    }
    yield "";
    yield `${bug.id} does not show at ${level}: ${levelRanges(bug.levels)} have it`;
    return STATUS.ok;
  }
  if (bug.demo.timeline !== false) {
    yield "";
    yield* typed(timelineAround(session));
  }
  yield "";
  for (const sentence of bug.why) yield* filled(sentence);
  if (expected) return STATUS.failed;
  yield `bugs: something else showed at ${level}, which should be without ${bug.id}; please report it`;
  return STATUS.fault;
}

/** What the library refuses is a mistake of the user's. */
function userError<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (error instanceof Error && ["OptionError", "ConfigError"].includes(error.name)) {
      throw new UsageError(`bugs run: ${error.message}`);
    }
    throw error;
  }
}

/** From the first pointer that was handed over to the first report, or to the end. */
function timelineAround({ bench, k }: KernelSession): string {
  const to = k.reports[0]?.seq ?? k.seq;
  return `timeline --from ${bench.since} --to ${to}`;
}

function ordinal(n: number): string {
  return `${n}${{ 1: "st", 2: "nd", 3: "rd" }[n] ?? "th"}`;
}

/** Text in lines of at most COLUMNS. */
function* filled(text: string): Generator<string, void, void> {
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > COLUMNS) {
      yield line;
      line = "";
    }
    line += line === "" ? word : ` ${word}`;
  }
  yield line;
}

/** In the order in which `help` lists them. */
export const bugCommands: readonly Command<KernelSession>[] = [bugs];
