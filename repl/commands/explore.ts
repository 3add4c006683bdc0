// SPDX-License-Identifier: GPL-2.0-only
// Exploring: one program on many schedules, or with one allocation after the other failing.
//
// Ours. Invariants: the machine on the bench is left as it is: executions have one of their own, of the same
// configuration and with the same armed faults. What is printed depends on the line and that configuration only. Status:
// 0 all held, 1 an execution failed (its TOKEN is the last line), 4 the budget ran out before the claim was whole.

import {
  BREATHE,
  type Command,
  type Fields,
  type Lines,
  type OptionSpec,
  Row,
  row,
  type Shown,
} from "../command.ts";
import { asksForHelp } from "../arguments.ts";
import { helpPage } from "../help.ts";
import type { KernelSession } from "../kernel_session.ts";
import { scenarioOptions } from "../programs.ts";
import { STATUS, UsageError } from "../status.ts";
import { parseValue } from "../values.ts";
import { splitWords } from "../words.ts";
import { COLUMNS, wrapped } from "../render/text.ts";
import type { Config } from "../../kernel/config.ts";
import type { Exploration, Plan } from "../../explore/search/explore.ts";
import type { PointFilter } from "../../explore/search/points.ts";

const POLICIES = ["random", "pct", "bounded", "failslab", "failpage"] as const;

const OPTIONS: readonly OptionSpec[] = [
  {
    name: "policy",
    type: "enum",
    choices: POLICIES,
    summary: "how schedules are chosen; random if not given",
  },
  { name: "runs", value: "N", type: "int", min: 1, max: 1_000_000, summary: "most executions" },
  { name: "depth", value: "D", type: "int", min: 1, max: 100, summary: "pct: stalls in an execution; 2" },
  { name: "bound", value: "C", type: "int", min: 0, max: 100, summary: "bounded: most stalls; 1" },
  { name: "threads", value: "T,...", type: "string", summary: "stall only threads with names that begin so" },
  { name: "kinds", value: "K,...", type: "string", summary: "stall only at these kinds of point" },
  {
    name: "stalls",
    value: "S,...",
    type: "string",
    summary: "stalls of these sizes only: window, tick, long",
  },
  { name: "minimise", type: "flag", summary: "of the first failure, find few and short stalls" },
];

const explore: Command<KernelSession> = {
  name: "explore",
  group: "explore",
  summary: "run a program on many schedules, or with faults, until it fails",
  kind: "look",
  usage:
    "explore NAME|FILE [--policy P] [--runs N] [--depth D] [--bound C] [--threads T,...] [--kinds K,...]\n" +
    "         [--minimise] [options of what is run]",
  description:
    "Executes on machines like the one that is booted, with the faults that are armed; that one stays as it " +
    "is. A stall takes time from a CPU at one point: a window (64 us) is a preemption, a tick the timer " +
    "interrupt, a long one (65 ms) outlasts grace periods. On one CPU only a tick makes a difference.\n" +
    "  --policy random    seed after seed, a stall every 50 points\n" +
    "  --policy pct       --depth stalls among the points of the undisturbed run\n" +
    "  --policy bounded   all executions with at most --bound stalls\n" +
    "  --policy failslab  the first slab allocation fails, then the second, ...\n" +
    "  --policy failpage  the same with allocations of pages\n" +
    "It ends at the first failure: a report, a property of RCU, an ending other than completed, a leak. " +
    "EXHAUSTED: all of them were executed. BOUNDED(C): all up to C were. SAMPLED(N): N, drawn.\n" +
    "\n" +
    "Kinds of point: read, write, rmw, lock, cond_resched, wait, softirq, work, alloc, reader, named; only if " +
    "--kinds says so: schedule, irq, ipi, delay.\n" +
    "\n" +
    "Status: 0 all held, 1 one failed (the last line is its TOKEN), 4 --runs was too little for the claim.",
  raw: true,
  options: OPTIONS,
  examples: [
    { line: "explore ext4_kvfree_array_rcu --variant fixed --runs 20", shows: "what 20 seeds came to" },
    {
      line: "explore hello_kvfree_rcu --policy bounded --bound 1 --threads hello",
      shows: "every execution with one stall",
    },
    {
      line: "explore ext4_kvfree_array_rcu --policy failslab --variant fixed",
      shows: "whether the helper as merged stands every failed allocation",
    },
  ],
  complete({ programs }, words) {
    if (words.length <= 1) return programs.names();
    const scenario = programs.loaded(words[0]);
    const own = OPTIONS.find(({ name }) => words.at(-2) === `--${name}`);
    if (own !== undefined && own.type !== "flag") return own.choices ?? [];
    const before = scenario?.options.find((option) => `--${option.name}` === words.at(-2));
    if (before !== undefined) return before.values ?? [];
    return [...OPTIONS, ...scenario?.options ?? []].map(({ name }) => `--${name}`);
  },
  async *run(session, args): Lines {
    const [name, ...rest] = await splitWords("explore", args.raw);
    if (name !== undefined && asksForHelp([name, ...rest])) {
      return yield* helpPage(session.host.commands.get("explore"));
    }
    const { k } = session; // without a machine that is what is wrong
    if (name === undefined) throw new UsageError("explore: what? run lists the examples (help explore)");
    const { scenario, ref } = await session.programs.find(name);
    const { own, others } = sortWords(rest);
    const given = scenarioOptions(scenario, others);
    const runs = own.int("runs");
    const plan = await planOf(own, k.config);
    const [{ exploring }, { explorationLines }, { DEFAULT_BUDGET }, { listFailRules }] = await Promise.all([
      import("../../explore/search/explore.ts"),
      import("../../explore/search/lines.ts"),
      import("../../explore/search/search.ts"),
      import("../../kernel/fault_inject.ts"),
    ]);
    const faults = listFailRules(k).map(({ rule }) => rule);
    const work = exploring({ config: k.config, scenario, options: given, ref, faults }, plan, {
      budget: { ...DEFAULT_BUDGET, executions: runs ?? DEFAULT_RUNS },
      minimise: own.has("minimise"),
    });
    for (;;) {
      const step = work.next();
      if (step.done !== true) {
        yield BREATHE;
        continue;
      }
      const lines = [...explorationLines(step.value)];
      for (const [i, line] of lines.entries()) yield shown(line, i === 0 ? fieldsOf(step.value) : null);
      if (step.value.first !== null) return STATUS.failed;
      return step.value.ranOut === null ? STATUS.ok : STATUS.inconclusive;
    }
  },
};

/** Executions if --runs is not given. */
const DEFAULT_RUNS = 1000;

/** A line in 80 columns; the first one stands for the data. A TOKEN is never cut. */
function shown(line: string, fields: Fields | null): Shown {
  if (line.startsWith("TOKEN ")) return line;
  const margin = line.startsWith("  ") ? 4 : 2;
  const lines = line.length > COLUMNS ? [...wrapped("", line, margin)] : [line];
  return fields === null ? new Row("heading", null, lines) : row("exploration", fields, ...lines);
}

/** What NDJSON says of an exploration. */
function fieldsOf({ name, claim, first, minimised, ...r }: Exploration): Fields {
  const failure = first === null ? null : {
    nth: first.nth,
    kind: first.failure.kind,
    text: first.failure.text,
    stalls: minimised === null ? null : minimised.stalls.map(({ cpu, thread, object, nth, stall }) => ({
      cpu,
      thread,
      object,
      nth,
      stall,
    })),
  };
  return {
    name,
    claim: claim.kind,
    bound: claim.kind === "SAMPLED" ? null : claim.bound,
    what: claim.what,
    executions: r.executions,
    completed: r.completed,
    progress: r.progress,
    progress_of: r.progressName,
    exercised: r.exercised,
    states: r.states,
    orders: r.orders,
    ran_out: r.ranOut,
    failure,
  };
}

/** The command's own options. */
class Own {
  constructor(private readonly values: ReadonlyMap<string, string | number | true>) {}

  has(name: string): boolean {
    return this.values.has(name);
  }

  int(name: string): number | undefined {
    return this.values.get(name) as number | undefined;
  }

  list(name: string): string[] | undefined {
    return (this.values.get(name) as string | undefined)?.split(",").filter((word) => word !== "");
  }

  text(name: string): string | undefined {
    return this.values.get(name) as string | undefined;
  }
}

/** Takes out `--name value`, `--name=value` and flags of this command; what is left belongs to the program. */
function sortWords(words: readonly string[]): { own: Own; others: string[] } {
  const values = new Map<string, string | number | true>();
  const others: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const [, name, joined] = /^--([A-Za-z][\w-]*)(?:=(.*))?$/s.exec(words[i]) ?? [];
    const option = OPTIONS.find((o) => o.name === name);
    if (option === undefined) {
      others.push(words[i]);
      continue;
    }
    const { type } = option;
    if (type === "flag") {
      if (joined !== undefined) throw new UsageError(`explore: --${name} takes no value (help explore)`);
      values.set(option.name, true);
      continue;
    }
    if (joined === undefined && i + 1 === words.length) {
      throw new UsageError(`explore: --${name} needs a value (help explore)`);
    }
    values.set(option.name, parseValue(`explore: --${name}`, joined ?? words[++i], { ...option, type }));
  }
  return { own: new Own(values), others };
}

/** The plan that the options say. An option that the policy does not take is refused. */
async function planOf(own: Own, config: Config): Promise<Plan> {
  const policy = (own.text("policy") ?? "random") as typeof POLICIES[number];
  const takes: Readonly<Record<typeof policy, readonly string[]>> = {
    random: [],
    pct: ["depth", "threads", "kinds", "stalls"],
    bounded: ["bound", "threads", "kinds", "stalls"],
    failslab: [],
    failpage: [],
  };
  for (const name of ["depth", "bound", "threads", "kinds", "stalls"]) {
    if (own.has(name) && !takes[policy].includes(name)) {
      const who = POLICIES.filter((p) => takes[p].includes(name)).join(" and ");
      throw new UsageError(`explore: --${name} is for --policy ${who}, not ${policy} (help explore)`);
    }
  }
  const runs = own.int("runs") ?? DEFAULT_RUNS;
  const at = await filterOf(own);
  const stalls = await stallsOf(own, config);
  switch (policy) {
    case "random":
      return { policy, runs };
    case "pct":
      return { policy, runs, depth: own.int("depth") ?? 2, at, ...stalls };
    case "bounded":
      return { policy, bound: own.int("bound") ?? 1, at, ...stalls };
    case "failslab":
      return { policy };
    case "failpage":
      return { policy: "fail_page" };
  }
}

async function stallsOf(own: Own, config: Config): Promise<{ stalls?: number[] }> {
  const names = own.list("stalls");
  if (names === undefined) return {};
  const [{ STALL_NAMES, stallNamed }, { POLICY_RUN_ON }] = await Promise.all([
    import("../../explore/search/stalls.ts"),
    import("../../kernel/machine/chooser.ts"),
  ]);
  const stalls = names.map((name) => {
    const known = STALL_NAMES.find((it) => it === name);
    if (known !== undefined) return stallNamed(known, config, POLICY_RUN_ON);
    throw new UsageError(`explore: --stalls: no size is called "${name}" (${STALL_NAMES.join(", ")})`);
  });
  if (stalls.length === 0) {
    throw new UsageError(`explore: --stalls: at least one of ${STALL_NAMES.join(", ")}`);
  }
  return { stalls };
}

async function filterOf(own: Own): Promise<PointFilter> {
  const threads = own.list("threads");
  const kinds = own.list("kinds");
  if (kinds !== undefined) {
    const { POINT_NAMES } = await import("../../kernel/machine/points.ts");
    const known = POINT_NAMES.slice(1);
    for (const kind of kinds) {
      if (known.includes(kind)) continue;
      throw new UsageError(`explore: --kinds: no point is of kind "${kind}" (${known.join(", ")})`);
    }
  }
  return { ...(threads === undefined ? {} : { threads }), ...(kinds === undefined ? {} : { kinds }) };
}

/** In the order in which `help` lists them. */
export const exploreCommands: readonly Command<KernelSession>[] = [explore];
