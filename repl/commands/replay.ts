// SPDX-License-Identifier: GPL-2.0-only
// Going back, and doing it all again: rstep and goto by replay, tokens.
//
// Ours. The machine never runs backwards: it is switched on again and does the same up to the wanted event.
// Invariant: a token holds everything that a run is a function of, or it is refused with the reason.

import { BREATHE, type Command, type Lines, type Output, row } from "../command.ts";
import type { KernelSession } from "../kernel_session.ts";
import { STATUS, UsageError } from "../status.ts";
import { bootedRow } from "./machine.ts";
import { finish, hereLines } from "./run.ts";
import { matching } from "./trace.ts";

const goto: Command<KernelSession> = {
  name: "goto",
  group: "replay",
  summary: "go to an event of the run, forward or back",
  kind: "advance",
  description:
    "The machine stops at the first point at or after the event. Going back replays the run up to there;\n" +
    "what came after is open again. A name or a pattern is the next such event, and from the end of the run\n" +
    "the first.",
  args: [{
    name: "event",
    summary: "its number, or a name such as kvfree_rcu or workqueue:*",
    required: true,
    names: "event",
  }],
  examples: [
    { line: "goto kvfree_rcu", shows: "the first call of kvfree_rcu(), and its place in the source" },
    { line: "goto sched:*", shows: "the next event of the scheduler" },
  ],
  async *run(session, args): Lines {
    const { bench, k } = session;
    if (bench.run === null) throw new UsageError(NOTHING_RAN);
    const text = args.text("event");
    const event = /^\d+$/.test(text) ? Number(text) : yield* eventNamed(session, text);
    const back = event < k.seq;
    const over = bench.run.finished;
    if (!back && over && event > k.seq) throw new UsageError(`goto: the run ended at event ${k.seq}`);
    yield* back || over ? session.proceedSilently(bench.goto(event)) : session.proceed(bench.goto(event));
    yield* hereLines(session, event);
    if (!back && bench.run?.finished === true) return yield* finish(session, []);
  },
};

const NOTHING_RAN = "goto: nothing has run yet. Try: run ext4_kvfree_array_rcu --stop";

/** The number of the next event that a pattern names; from the end of a run, of the first. */
async function* eventNamed(session: KernelSession, pattern: string): AsyncGenerator<Output, number> {
  const { bench, k } = session;
  const { matchingEvents } = await import("../render/events.ts");
  const kinds = new Set(matching("goto", pattern, matchingEvents).map((event) => event.id));
  const here = k.seq;
  const from = bench.run?.finished === true ? bench.since : here + 1;
  const work = bench.advance();
  for (let next = from;;) {
    for (const r of k.log.records(next)) if (kinds.has(r.kind)) return r.seq;
    if (bench.run?.finished !== false) break;
    next = k.seq + 1;
    if (work.next().done === true) break;
    yield BREATHE;
  }
  if (k.seq !== here) yield* session.proceedSilently(bench.goto(here));
  throw new UsageError(`goto: no event "${pattern}" comes after event ${from - 1} in this run`);
}

const rstep: Command<KernelSession> = {
  name: "rstep",
  group: "replay",
  summary: "go back by one event, or by n",
  kind: "advance",
  args: [{ name: "n", summary: "events", type: "int", min: 1 }],
  examples: [{ line: "rstep 20", shows: "the event at which it stopped" }],
  async *run(session, args): Lines {
    const { bench, k } = session;
    const n = args.has("n") ? args.int("n") : 1;
    const behind = k.seq - bench.bootSeq - 1;
    if (bench.run !== null && n > behind) {
      const what = behind === 1 ? "1 event of the run is" : `${Math.max(0, behind)} events of the run are`;
      throw new UsageError(
        `rstep ${n}: only ${what} behind event ${k.seq}; goto ${bench.bootSeq + 1} is its start`,
      );
    }
    yield* session.proceedSilently(bench.back(n));
    yield* hereLines(session);
  },
};

const token: Command<KernelSession> = {
  name: "token",
  group: "replay",
  summary: "show the line that does all of it again, anywhere",
  kind: "look",
  examples: [{ line: "token", shows: "TOKEN and the token" }],
  *run({ bench }): Lines {
    const token = bench.token();
    yield row("token", { token }, `TOKEN ${token}`);
  },
};

const replay: Command<KernelSession> = {
  name: "replay",
  group: "replay",
  summary: "boot the machine of a token and do all of it again",
  kind: "configure",
  args: [{ name: "token", summary: "what follows the word TOKEN", rest: true, required: true }],
  examples: [{ line: "replay q2.AQEBAAEDAACiaQ", shows: "how each of its runs ended" }],
  async *run(session, args): Lines {
    const words = args.list("token").filter((word) => word !== "TOKEN");
    if (words.length !== 1) {
      throw new UsageError("replay: one token is needed, without blanks in it (help replay)");
    }
    const [{ decodeToken }, { CLEAR_ACTION, FAIL_ACTION, ruleFromOptions }] = await Promise.all([
      import("../../explore/token.ts"),
      import("../../explore/workbench.ts"),
    ]);
    const content = decodeToken(words[0]);
    const todo = [];
    for (const { name, options } of content.runs) {
      const program = name.startsWith("!") ? undefined : await session.programs.find(name);
      todo.push({ name, options, program });
    }
    const k = await session.boot((bench) => bench.boot(content.config, content.deviations));
    yield bootedRow(k.config, k.seq);
    const { bench } = session;
    let status = STATUS.ok as 0 | 1 | 2 | 3 | 4 | 5 | 130;
    for (const { name, options, program } of todo) {
      if (name === FAIL_ACTION) bench.addFault(ruleFromOptions(options));
      else if (name === CLEAR_ACTION) bench.clearFaults();
      else if (program !== undefined) {
        bench.start(program.scenario, options, program.ref);
        status = yield* finish(session, bench.advance());
      }
    }
    return status;
  },
};

/** In the order in which `help` lists them. */
export const replayCommands: readonly Command<KernelSession>[] = [goto, rstep, token, replay];
