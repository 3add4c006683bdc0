// SPDX-License-Identifier: GPL-2.0-only
// Going back, and doing it all again: rstep and goto by replay, tokens.
//
// Ours. The machine never runs backwards: it is switched on again and does the same up to the wanted event.
// Invariant: a token holds everything that a run is a function of, or it is refused with the reason.

import type { Command, Lines } from "../command.ts";
import type { KernelSession } from "../kernel_session.ts";
import { STATUS, UsageError } from "../status.ts";
import { bootedLine } from "./machine.ts";
import { finish, hereLines } from "./run.ts";

const goto: Command<KernelSession> = {
  name: "goto",
  group: "replay",
  summary: "go to an event of the run, forward or back",
  kind: "advance",
  description:
    "The machine stops at the first point at or after the event. Going back replays the run up to there;\n" +
    "what came after is open again.",
  args: [{ name: "event", summary: "its number", type: "int", min: 1, required: true }],
  examples: [{
    line: "goto 230",
    shows: "the event at which it stopped, and its place in the source if known",
  }],
  async *run(session, args): Lines {
    const { bench, k } = session;
    const event = args.int("event");
    const back = event < k.seq;
    if (!back && bench.run?.finished === true && event > k.seq) {
      throw new UsageError(`goto: the run ended at event ${k.seq}`);
    }
    if (!back && !(bench.run?.finished ?? false)) yield* session.proceed(bench.goto(event));
    else yield* session.proceedSilently(bench.goto(event));
    yield* hereLines(session, event);
    if (!back && bench.run?.finished === true) return yield* finish(session, []);
  },
};

const rstep: Command<KernelSession> = {
  name: "rstep",
  group: "replay",
  summary: "go back by one event, or by n",
  kind: "advance",
  args: [{ name: "n", summary: "events", type: "int", min: 1 }],
  examples: [{ line: "rstep 20", shows: "the event at which it stopped" }],
  async *run(session, args): Lines {
    yield* session.proceedSilently(session.bench.back(args.has("n") ? args.int("n") : 1));
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
    yield `TOKEN ${bench.token()}`;
  },
};

const replay: Command<KernelSession> = {
  name: "replay",
  group: "replay",
  summary: "boot the machine of a token and do all of it again",
  kind: "configure",
  args: [{ name: "token", summary: "what follows the word TOKEN", rest: true, required: true }],
  examples: [{ line: "replay q1.AQEHAAEDAACgzA", shows: "how each of its runs ended" }],
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
    yield bootedLine(k.config, k.seq);
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
