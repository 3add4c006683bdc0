// SPDX-License-Identifier: GPL-2.0-only
/**
 * Checks of lab L5 that ask: predictions about the student's own runs, and programs that show what is wrong with three
 * broken machines.
 *
 * Invariant: the right answer to a question is what the student's own code does; a program counts when the broken machine
 * breaks the named property and the proper one keeps all of them.
 *
 * @module
 */

import { checkConfig } from "../../kernel/config.ts";
import { POLICY_TIME, type Schedule } from "../../kernel/machine/chooser.ts";
import { Executor } from "../../explore/search/executor.ts";
import { decodeToken, encodeToken, scheduleOf, type TokenContent } from "../../explore/token.ts";
import { failed } from "../framework/evidence.ts";
import type { Check, CheckContext, Outcome } from "../lab.ts";
import { Bench, columns, LIMITS, MACHINE, type Script } from "./bench.ts";
import { huntProgram } from "./hunt.ts";
import type { TinyMachine } from "./machine.ts";
import { times } from "./scripts.ts";
import type { Answers, TinyVariant, Witness } from "./start.ts";
import { brokenOf, tinyVariant, variantText } from "./variants.ts";

/** The programs of the questions; the hand-out prints them. */
export const QUESTIONS: Readonly<Record<string, readonly Script[]>> = {
  Q1: [{ task: `${times(7, "call")},sleep` }],
  Q2: [{ task: "lock,call,call,unlock,user,call,call,sleep" }],
  Q3: [
    { task: "sync" },
    { task: "call,sync,sleep" },
    { task: "lock,sync,unlock" },
    { task: "lock,call,spin,unlock,sync,barrier" },
  ],
  Q4: [{ task: "call" }, { task: "call,call" }],
};

/** What the submission's own runs say; null when they say nothing. */
const RIGHT: Readonly<Record<string, (context: CheckContext) => number | null>> = {
  Q1(context) {
    const { ledger } = new Bench(context).play(QUESTIONS.Q1[0]);
    return ledger.perRound.find((n) => n > 0) ?? null;
  },
  Q2(context) {
    const name = new Bench(context).play(QUESTIONS.Q2[0]).ledger.invokedNames[2];
    return name === undefined ? null : Number(name.replace("cb", ""));
  },
  Q3(context) {
    const mine = new Bench(context);
    const without = new Bench(context, { ...context.submission, *synchronize_rcu() {} });
    let mask = 0;
    QUESTIONS.Q3.forEach((script, i) => {
      const [a, b] = [mine, without].map((bench) => {
        const { broken, reports } = bench.play(script);
        return `${reports} ${broken.map(({ property }) => property).join(" ")}`;
      });
      if (a !== b) mask += 2 ** i;
    });
    return mask === 0 ? null : mask;
  },
  Q4(context) {
    const bench = new Bench(context);
    const [one, two] = QUESTIONS.Q4.map((script) => bench.play(script).ledger.accesses.call_rcu ?? 0);
    return two > one ? two - one : null;
  },
};

/** A question. */
export function question(id: keyof Answers): Check {
  return (context): Outcome => {
    const ask = context.submission.answers as ((v: TinyVariant) => Answers) | undefined;
    const answer: unknown = ask?.(tinyVariant(context.variant))?.[id];
    if (answer === -1) return { state: "NOT-EXERCISED", why: "not answered: -1" };
    const right = RIGHT[id](context);
    if (right === null) {
      return { state: "NOT-EXERCISED", why: "your code does not get so far that this could be asked" };
    }
    if (answer === right) return { state: "PASS" };
    // What is right is not said: it can be seen in the shell.
    const cause = `${id}: your answer is not what your code does in: run l5.ts --task ${
      QUESTIONS[id][0].task
    }`;
    return failed({ cause, token: null, trace: [] });
  };
}

/** Longest program, and most stalls, of a witness that gets all points. */
const SHORT = 24;
const MOST_STALLS = 1;

/** The n-th of the variant's broken machines. */
export function hunted(n: number): Check {
  return (context): Outcome => {
    const number = brokenOf(context.variant)[n];
    const variant = tinyVariant(context.variant);
    const ask = context.submission.hunt as ((v: TinyVariant) => readonly Witness[]) | undefined;
    const list: unknown = ask?.(variant);
    const witness = Array.isArray(list)
      ? list.find((it: Witness) => it?.broken === number) as Witness
      : undefined;
    if (witness === undefined) {
      return { state: "NOT-EXERCISED", why: `nothing is said about machine ${number}` };
    }
    return replay(context, variant, number, witness);
  };
}

interface Replay {
  readonly options: Readonly<Record<string, string>>;
  readonly schedule: Schedule;
  readonly stalls: number;
}

/** What a witness says to run; an outcome when it says nothing that can be run. */
function readWitness(w: Witness): Replay | string {
  let content: TokenContent | null = null;
  if (typeof w.token === "string") {
    try {
      content = decodeToken(w.token);
    } catch (error) {
      return `the token cannot be replayed: ${(error as Error).message}`;
    }
  }
  const options = content?.runs.find(({ name }) => name.endsWith("hunt.ts"))?.options ?? {};
  if (content !== null && content.runs.length !== 1) return "the token is not of one run of labs/l5/hunt.ts";
  if (content !== null && content.config.rcu !== "tiny") return "the token is not of a machine with tiny RCU";
  const stalls = content?.deviations ?? [];
  const schedule = content === null
    ? { policy: POLICY_TIME, seed: 1, deviations: [] }
    : scheduleOf(content.config, content.deviations);
  const own = content !== null
    ? { task: options.task, irq: options.irq, slow: options.slow }
    : { task: w.task, irq: w.irq, slow: w.slow };
  const texts = Object.entries(own).filter(([, value]) => value !== undefined);
  return {
    options: Object.fromEntries(texts.map(([name, value]) => [name, String(value)])),
    schedule,
    stalls: stalls.length,
  };
}

function replay(context: CheckContext, variant: TinyVariant, number: number, witness: Witness): Outcome {
  const read = readWitness(witness);
  if (typeof read === "string") {
    return failed({ cause: `machine ${number}: ${read}`, token: null, trace: [] });
  }
  const { schedule, stalls } = read;
  const options: Record<string, string> = { ...read.options, variant: variantText(variant) };
  const proper = play(context, { ...options, broken: "0" }, schedule);
  const program = `--task ${options.task ?? "call,sleep"}`;
  if (typeof proper === "string") {
    return failed({ cause: `machine ${number}: ${proper}`, token: null, trace: [] });
  }
  if (proper.ledger.broken.length > 0) {
    const [{ property, text }] = proper.ledger.broken;
    const cause =
      `machine ${number}: ${program} is wrong itself, on the proper machine: ${property}: ${text}`;
    return failed({ cause, token: proper.token, trace: columns(proper.ledger.rows, text) });
  }
  const broken = play(context, { ...options, broken: String(number) }, schedule);
  if (typeof broken === "string") {
    return failed({ cause: `machine ${number}: ${broken}`, token: null, trace: [] });
  }
  const found = broken.ledger.broken.map(({ property }) => property);
  if (!found.includes(witness.property)) {
    const what = found.length === 0 ? "keeps every property" : "breaks another property";
    const cause = `machine ${number} ${what} in ${program}; you say ${witness.property}`;
    return failed({ cause, token: broken.token, trace: columns(broken.ledger.rows, "") });
  }
  const length = `${options.task ?? ""},${options.irq ?? ""}`.split(",").length;
  if (length <= SHORT && stalls <= MOST_STALLS) return { state: "PASS" };
  const cause =
    `machine ${number}: shown, but with ${length} steps and ${stalls} stalls; ${SHORT} and ${MOST_STALLS} do`;
  return failed({ cause, token: broken.token, trace: [] }, 0.5);
}

/** One run of the hunt's program; a text when its options are not allowed. */
function play(
  context: CheckContext,
  options: Readonly<Record<string, string>>,
  schedule: Schedule,
): { readonly ledger: TinyMachine["ledger"]; readonly token: string } | string {
  let machine: TinyMachine | null = null;
  const scenario = huntProgram((tm) => {
    context.execution();
    machine = tm;
  });
  const config = checkConfig({ ...MACHINE, seed: schedule.seed, policy: schedule.policy });
  try {
    const executor = new Executor({
      config,
      scenario,
      options,
      limits: LIMITS,
      watch: "none",
      judge: () => null,
    });
    executor.execute(schedule);
  } catch (error) {
    if ((error as Error).name !== "OptionError") throw error;
    return (error as Error).message;
  }
  const runs = [{ name: scenario.name, options }];
  const token = encodeToken({ config, deviations: schedule.deviations, runs });
  return { ledger: (machine as unknown as TinyMachine).ledger, token };
}
