// SPDX-License-Identifier: GPL-2.0-only
// Known bugs of kvfree_rcu(), shown: a stored schedule, the kernel's report, the timeline around it, and why.
//
// Ours. What is shown is typed, in the user's sight, as the tour does it: a token, then looks. Invariant: `bugs run` ends
// in status 1 when the bug showed, and says so in its last line when it did not.

import type { StoredBug } from "../../examples/bugs/catalogue.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, Lines, Output } from "../command.ts";
import type { KernelSession } from "../kernel_session.ts";
import { didYouMean } from "../nearest.ts";
import { type ExitStatus, STATUS, UsageError } from "../status.ts";

const COLUMNS = 78;
const IDS = ["B8", "B9"];

const bugs: Command<KernelSession> = {
  name: "bugs",
  group: "learn",
  summary: "known bugs, each with the schedule that shows it",
  kind: "configure",
  usage: "bugs list | show ID | run ID",
  description:
    "list names them; show tells about one, and what its schedule does; run boots its machine in place of\n" +
    "the one that is there, shows the bug, and ends with status 1.",
  args: [
    { name: "what", summary: "list, show or run", type: "enum", choices: ["list", "show", "run"] },
    { name: "id", summary: "which bug" },
  ],
  examples: [
    { line: "bugs list", shows: "one line a bug" },
    { line: "bugs run B9", shows: "a reader whose object is freed, and why" },
  ],
  complete: (_, words) => words.length <= 1 ? ["list", "show", "run"] : IDS,
  async *run(session, args): Lines {
    const { BUGS } = await import("../../examples/bugs/catalogue.ts");
    const what = args.has("what") ? args.text("what") : "list";
    if (what === "list") return yield* listLines(BUGS);
    const bug = bugNamed(args, BUGS);
    if (what === "show") return yield* showLines(bug);
    return yield* runBug(session, bug);
  },
};

function bugNamed(args: Arguments, known: readonly StoredBug[]): StoredBug {
  const ids = known.map(({ id }) => id);
  if (!args.has("id")) throw new UsageError(`bugs: which one? ${ids.join(", ")} are known`);
  const id = args.text("id");
  const bug = known.find((b) => b.id.toLowerCase() === id.toLowerCase());
  if (bug === undefined) {
    throw new UsageError(`bugs: no bug "${id}"${didYouMean(id, ids)} (${ids.join(", ")} are known)`);
  }
  return bug;
}

function* listLines(known: readonly StoredBug[]): Generator<string, void, void> {
  for (const { id, title } of known) yield `${id.padEnd(4)} ${title}`;
  yield "bugs show ID tells about one, bugs run ID shows it";
}

function* showLines(bug: StoredBug): Generator<string, void, void> {
  yield `${bug.id}: ${bug.title}`;
  yield "";
  yield* filled(`History: ${bug.history}.`);
  yield* filled(`Program: run ${bug.scenario.name} (${bug.file}): ${bug.scenario.summary}.`);
  yield "Schedule:";
  for (const { thread, object, nth, stall } of bug.stalls) {
    const ms = (250 * 2 ** stall / 1e6).toFixed(1);
    yield `  the CPU of ${thread} loses ${ms} ms at its ${ordinal(nth)} ${object}()`;
  }
  yield "";
  yield* filled(bug.why.join(" "));
}

/** Shows it. Returns 1 when it showed, or the shell's own fault. */
async function* runBug(session: KernelSession, bug: StoredBug): AsyncGenerator<Output, ExitStatus> {
  const { host } = session;
  const { tokenOf } = await import("../../examples/bugs/catalogue.ts");
  async function* typed(line: string): AsyncGenerator<Output, number> {
    yield `quiesce> ${line}`;
    return await host.execute(line);
  }
  yield* filled(`${bug.id}: ${bug.title}`);
  yield "";
  const status = yield* typed(`replay ${tokenOf(bug)}`);
  if (status === STATUS.ok) {
    yield `bugs: ${bug.id} did not show; please report it`;
    return STATUS.fault;
  }
  for (const line of bug.look) {
    yield "";
    yield* typed(line);
  }
  yield "";
  yield* typed(timelineAround(session));
  yield "";
  for (const sentence of bug.why) yield* filled(sentence);
  return STATUS.failed;
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
