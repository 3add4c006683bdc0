// SPDX-License-Identifier: GPL-2.0-only
// Running: an example or a file, to its end or in steps.
//
// Ours. Invariants: reports of the kernel are shown when they have happened; a run that did not end well ends in a
// status other than 0 and, as its last line, the TOKEN that does it again; ^C stops a run and `cont` goes on.

import { type Command, heading, type Lines, type Output, row, type Shown } from "../command.ts";
import { asksForHelp } from "../arguments.ts";
import { helpPage } from "../help.ts";
import type { KernelSession } from "../kernel_session.ts";
import { scenarioOptions } from "../programs.ts";
import { wrapped } from "../render/text.ts";
import { type ExitStatus, STATUS, UsageError } from "../status.ts";
import { splitWords } from "../words.ts";
import type { Scenario } from "../../explore/scenario.ts";

/** Most events that `step` shows. */
const MOST_STEPS = 200;

const run: Command<KernelSession> = {
  name: "run",
  group: "run",
  summary: "run an example or a file of yours to its end",
  kind: "advance",
  usage: "run NAME|FILE [--stop] [options of what is run]",
  description:
    "Alone it lists the examples; run NAME --help explains one. With --stop it stops at the start,\n" +
    "for step. A file exports by default a generator function that gets the kernel:\n" +
    '  import { GFP_KERNEL, type Kernel, kmalloc, type MaySleep } from "quiesce";\n' +
    "  export default function* (k: Kernel): MaySleep<void> {\n" +
    "    yield* kmalloc(k, 100, GFP_KERNEL);\n" +
    "  }\n" +
    "Status: 0 completed without a report, 1 the kernel reported or deadlock, 3 panic, 4 a limit was reached.",
  raw: true,
  examples: [
    { line: "run ext4_kvfree_array_rcu --variant fixed --grows 2", shows: "how it ended" },
    { line: "run hello_kvfree_rcu", shows: "the shortest example" },
  ],
  complete({ programs, host }, words) {
    const scenario = words.length > 1 ? programs.loaded(words[0]) : undefined;
    if (words.length <= 1) return [...programs.names(), ...host.files(words.at(-1) ?? "").filter(isProgram)];
    const before = scenario?.options.find((option) => `--${option.name}` === words.at(-2));
    if (before !== undefined) return before.values ?? [];
    return ["--stop", ...(scenario?.options.map((option) => `--${option.name}`) ?? [])];
  },
  async *run(session, args): Lines {
    const [name, ...rest] = await splitWords("run", args.raw);
    if (name === undefined) return yield* listExamples(session);
    if (asksForHelp([name])) return yield* helpPage(session.host.commands.get("run"));
    const help = asksForHelp(rest);
    const { bench } = help ? { bench: undefined } : session; // without a machine that is what is wrong
    const { scenario, ref } = await session.programs.find(name);
    if (bench === undefined) return yield* describe(scenario);
    const words = rest.filter((word) => word !== "--stop");
    bench.start(scenario, scenarioOptions(scenario, words), ref);
    if (words.length < rest.length) return yield* hereLines(session);
    return yield* finish(session, bench.advance());
  },
};

/** A file that could be run, or a folder on the way to one. */
function isProgram(path: string): boolean {
  return /\.[jt]s$|\/$/.test(path);
}

async function* listExamples({ programs }: KernelSession): AsyncGenerator<Output, void> {
  for (const name of programs.names()) {
    const { scenario } = await programs.find(name);
    const lines = wrapped(`${name.padEnd(24)} `, scenario.summary, 25);
    yield row("example", { name, summary: scenario.summary }, ...lines);
  }
  yield heading("run NAME --help explains one; run FILE runs one of yours (help run)");
}

/** What an example is and takes. */
function* describe(scenario: Scenario): Generator<string, void, void> {
  yield `${scenario.name} - ${scenario.summary}`;
  for (const option of scenario.options) {
    const range = option.values?.join(", ") ??
      (option.max === undefined ? "" : `${option.min ?? 0} to ${option.max}`);
    const otherwise = option.default === "" ? "" : `; default ${option.default}`;
    yield `  --${option.name.padEnd(10)} ${option.help} (${range}${otherwise})`;
  }
}

/** Carries out work on the bench; if the run is over then, says how it ended. */
export async function* finish(
  session: KernelSession,
  work: Iterable<void>,
): AsyncGenerator<Output, ExitStatus> {
  yield* session.proceed(work);
  const { run, k } = session.bench;
  if (run === null || !run.finished) return STATUS.ok;
  const { verdictRow, verdictStatus } = await import("../render/verdict.ts");
  const verdict = run.verdict();
  const status = verdictStatus(k, verdict);
  yield verdictRow(k, run.scenario.name, verdict);
  if (status !== STATUS.ok) yield session.tokenRow();
  return status;
}

/** Where the machine stands: its last event, or those from `from` on, and the place in the source if it is known. */
export async function* hereLines(session: KernelSession, from = Infinity): AsyncGenerator<Shown, void> {
  const { k, sites } = session;
  const { eventRow, numberedLine, viewOf } = await import("../render/events.ts");
  const view = viewOf(k, sites);
  for (const record of k.log.records(Math.min(from, k.seq))) {
    yield eventRow(view, record, numberedLine);
    const place = sites.placeOf(record);
    if (place !== "") yield row("place", { place }, `        in ${place}`);
  }
}

/** The bench with a run that can go on. */
function unfinished(session: KernelSession, what: string): KernelSession["bench"] {
  const { bench } = session;
  if (bench.run === null) {
    throw new UsageError(`${what}: nothing has run yet. Try: run ext4_kvfree_array_rcu --stop`);
  }
  if (bench.run.finished) {
    throw new UsageError(
      `${what}: the run is over (event ${bench.k.seq}); goto and rstep go back, run starts another`,
    );
  }
  return bench;
}

const step: Command<KernelSession> = {
  name: "step",
  group: "run",
  summary: "go on by one event, or by n, and show them",
  kind: "advance",
  description: "The machine stops at the first point after the event, so that a few more may have happened.",
  args: [{ name: "n", summary: "events", type: "int", min: 1 }],
  examples: [{ line: "goto kvfree_rcu; step 3", shows: "the next three events" }],
  async *run(session, args): Lines {
    const bench = unfinished(session, "step");
    const { k } = bench;
    const from = k.seq + 1;
    const n = args.has("n") ? args.int("n") : 1;
    const work = bench.advance(k.seq + n);
    yield* n <= MOST_STEPS ? session.proceedSilently(work) : session.proceed(work); // reports are events too
    const { eventRow, numberedLine, viewOf } = await import("../render/events.ts");
    const view = viewOf(k, session.sites);
    const first = Math.max(from, k.seq + 1 - MOST_STEPS);
    if (first > from) yield `... ${first - from} events before these; trace --from ${from} shows them`;
    for (const record of k.log.records(first)) yield eventRow(view, record, numberedLine);
    return yield* finish(session, []);
  },
};

const cont: Command<KernelSession> = {
  name: "cont",
  group: "run",
  summary: "go on to the end of the run",
  kind: "advance",
  examples: [{ line: "goto kvfree_rcu; cont", shows: "how the run ended" }],
  async *run(session): Lines {
    return yield* finish(session, unfinished(session, "cont").advance());
  },
};

/** In the order in which `help` lists them. */
export const runCommands: readonly Command<KernelSession>[] = [run, step, cont];
