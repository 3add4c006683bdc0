// SPDX-License-Identifier: GPL-2.0-only
// The machine: boot one, look at its tasks and run queues.
//
// Ours. The kernel and what draws it are loaded when a command runs, so this file costs the prompt nothing.
// Invariant: a choice that cannot be is refused before the running machine is touched.

import type { Config, Level, PreemptChoice, RcuChoice } from "../../kernel/config.ts";
import type { Policy } from "../../kernel/machine/chooser.ts";
import type { Arguments } from "../arguments.ts";
import { type Command, type Lines, type Row, row } from "../command.ts";
import type { KernelSession } from "../kernel_session.ts";
import { UsageError } from "../status.ts";
import { formatSize } from "../values.ts";

const MiB = 2 ** 20;

const boot: Command<KernelSession> = {
  name: "boot",
  group: "machine",
  summary: "boot a machine, in place of the one that is there",
  kind: "configure",
  description:
    "Everything that is not given has its default: tree RCU on 4 CPUs, or tiny RCU, which has one.\n" +
    "The same options and the same seed give the same machine to the last event.",
  options: [
    {
      name: "cpus",
      short: "c",
      type: "int",
      min: 1,
      max: 4096,
      summary: "CPUs; 4 if not given, tiny RCU has 1",
    },
    {
      name: "mem",
      short: "m",
      value: "SIZE",
      type: "size",
      min: 8 * MiB,
      max: 4096 * MiB,
      summary: "RAM; 256M if not given",
    },
    { name: "hz", type: "int", min: 12, max: 10000, summary: "ticks per second; 250 if not given" },
    { name: "rcu", type: "enum", choices: ["tree", "tiny"], summary: "which RCU; tree if not given" },
    { name: "preempt", type: "enum", choices: ["none", "full"], summary: "preemption; none if not given" },
    {
      name: "level",
      value: "LEVEL",
      type: "string",
      names: "level",
      summary: "level of kvfree_rcu's history; 7/7 if not given",
    },
    {
      name: "seed",
      short: "s",
      type: "int",
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
      summary: "schedule; 1 if not given",
    },
    {
      name: "policy",
      type: "enum",
      choices: ["time", "fine"],
      summary: "how CPUs interleave; time if not given",
    },
    {
      name: "fanout",
      type: "int",
      min: 2,
      max: 64,
      summary: "children of an inner rcu_node; 64 if not given",
    },
    { name: "fanout-leaf", type: "int", min: 2, max: 64, summary: "CPUs of a leaf; 16 if not given" },
    {
      name: "nr-cpus",
      type: "int",
      min: 1,
      max: 4096,
      summary: "for how many CPUs it is built; 512 if not given",
    },
    { name: "kasan", type: "flag", summary: "red zones, quarantine, and reports as KASAN's" },
    { name: "kmemleak", type: "flag", summary: "look for memory that nothing points to" },
    {
      name: "raw-lock-nesting",
      type: "flag",
      summary: "PROVE_RAW_LOCK_NESTING: no sleeping lock in a raw one",
    },
    {
      name: "rcu-min-cached-objs",
      type: "int",
      min: 0,
      max: 1000,
      summary: "spare pages of a CPU, from v5.9 on; what the level has if not given",
    },
    {
      name: "rcu-self-test",
      type: "flag",
      summary: "rcupdate.rcu_self_test: an object is given to kfree_rcu() before RCU is ready",
    },
    {
      name: "early-driver",
      value: "N",
      type: "int",
      min: 0,
      max: 1000,
      summary: "objects that an early initcall gives to kvfree_rcu(); none if not given",
    },
    { name: "debug-off", type: "flag", summary: "without PROVE_RCU, lock debugging and sleep checks" },
    { name: "debug-objects", type: "flag", summary: "notice an rcu_head that is queued twice" },
  ],
  ts: (args) => `const machine = boot(${Deno.inspect(wanted(args, []), { breakLength: Infinity })})`,
  examples: [
    { line: "boot --rcu tiny --seed 7", shows: "what was booted, and the events that it took" },
    { line: "boot --mem 64M --hz 1000", shows: "a smaller machine with a faster tick" },
  ],
  async *run(session, args): Lines {
    const [{ checkConfig }, { POLICIES }] = await Promise.all([
      import("../../kernel/config.ts"),
      import("../../kernel/machine/chooser.ts"),
    ]);
    const k = await session.boot((bench) => {
      try {
        return bench.boot(checkConfig(wanted(args, POLICIES)));
      } catch (error) {
        if (error instanceof Error && error.name === "ConfigError") {
          throw new UsageError(`boot: ${error.message}`);
        }
        throw error;
      }
    });
    yield bootedRow(k.config, k.seq);
    yield* session.newReports();
    if (session.host.terminal) await session.programs.preload();
  },
};

/** `4` is 4/7, and `6.3` is v6.3, as everywhere in the shell. */
export function spelledOut(level: string): string {
  if (/^[1-7]$/.test(level)) return `${level}/7`;
  return /^\d+\.\d/.test(level) ? `v${level}` : level;
}

/** What was asked for, as the kernel names it. */
function wanted(args: Arguments, policies: readonly Policy[]): Partial<Config> {
  const policy = args.has("policy") ? policies.find((p) => p.name === args.text("policy")) : undefined;
  return {
    ...(args.has("cpus") ? { cpus: args.int("cpus") } : {}),
    ...(args.has("mem") ? { memBytes: args.int("mem") } : {}),
    ...(args.has("hz") ? { HZ: args.int("hz") } : {}),
    ...(args.has("rcu") ? { rcu: args.text("rcu") as RcuChoice } : {}),
    ...(args.has("preempt") ? { preempt: args.text("preempt") as PreemptChoice } : {}),
    ...(args.has("level") ? { level: spelledOut(args.text("level")) as Level } : {}),
    ...(args.has("seed") ? { seed: args.int("seed") } : {}),
    ...(policy !== undefined ? { policy } : {}),
    ...(args.has("fanout") ? { fanout: args.int("fanout") } : {}),
    ...(args.has("fanout-leaf") ? { fanoutLeaf: args.int("fanout-leaf") } : {}),
    ...(args.has("nr-cpus") ? { nrCpus: args.int("nr-cpus") } : {}),
    ...(args.flag("kasan") ? { kasan: true } : {}),
    ...(args.flag("kmemleak") ? { kmemleak: true } : {}),
    ...(args.flag("raw-lock-nesting") ? { rawLockNesting: true } : {}),
    ...(args.has("rcu-min-cached-objs") ? { rcuMinCachedObjs: args.int("rcu-min-cached-objs") } : {}),
    ...(args.flag("rcu-self-test") ? { rcuSelfTest: true } : {}),
    ...(args.has("early-driver") ? { earlyDriver: args.int("early-driver") } : {}),
    ...(args.flag("debug-off") ? { debug: false } : {}),
    ...(args.flag("debug-objects") ? { debugObjects: true } : {}),
  };
}

/** `booted 1 CPU, 256M, tiny RCU 7/7, HZ 250, seed 7: events 1 to 197`. */
export function bootedLine(config: Config, seq: number): string {
  const cpus = config.cpus === 1 ? "1 CPU" : `${config.cpus} CPUs`;
  return `booted ${cpus}, ${
    formatSize(config.memBytes)
  }, ${config.rcu} RCU ${config.level}, HZ ${config.HZ}, ` +
    `seed ${config.seed}${config.kasan ? ", KASAN" : ""}: events 1 to ${seq}`;
}

/** The same as data. */
export function bootedRow(config: Config, seq: number): Row {
  const { cpus, memBytes, rcu, level, HZ, seed } = config;
  const preempt = config.preempt;
  return row(
    "booted",
    { cpus, memBytes, rcu, level, HZ, preempt, seed, event: seq },
    bootedLine(config, seq),
  );
}

const ps: Command<KernelSession> = {
  name: "ps",
  group: "machine",
  summary: "list the tasks, their states and what they wait for",
  kind: "look",
  description: "RU runs or wants to, IN sleeps, UN sleeps and no signal wakes it, ID is idle on purpose.\n" +
    "> marks what runs on a CPU.",
  ts: "for (const { pid, cpu, comm } of tasklist(k)) print(pid, cpu, comm)",
  examples: [{ line: "ps", shows: "one line a task, the idle tasks first" }],
  async *run({ k }): Lines {
    const { psLines } = await import("../render/tasks.ts");
    yield* psLines(k);
  },
};

const runq: Command<KernelSession> = {
  name: "runq",
  group: "machine",
  summary: "show what runs and what waits to run on each CPU",
  kind: "look",
  ts: "for (const { id } of k.cpus) print(id, cpu_rq(k, id).nr_running, cpu_rq(k, id).curr.comm)",
  examples: [{ line: "runq", shows: "the run queues, in the layout of crash" }],
  async *run({ k }): Lines {
    const { runqLines } = await import("../render/tasks.ts");
    yield* runqLines(k);
  },
};

/** In the order in which `help` lists them. */
export const machineCommands: readonly Command<KernelSession>[] = [boot, ps, runq];
