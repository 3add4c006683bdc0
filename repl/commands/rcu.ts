// SPDX-License-Identifier: GPL-2.0-only
// RCU: its callbacks, the batches of kvfree_rcu(), and the timeline that shows what waited for what.
//
// Ours. Invariant: all of these are looks.

import type { Kernel } from "../../kernel/kernel.ts";
import type { Command, Lines, Shown } from "../command.ts";
import type { KernelSession } from "../kernel_session.ts";
import { UsageError } from "../status.ts";

/** What `rcu` can show. */
const VIEWS = ["tree", "cpu", "cblist", "why"] as const;

const STATE = 'print(k.rcu.flavour === "tiny" ? tinyCallbacks(k) : treeState(k))';

const rcu: Command<KernelSession> = {
  name: "rcu",
  group: "rcu",
  summary: "show RCU: its state, the tree, a CPU, callbacks, why a grace period took so long",
  kind: "look",
  usage: "rcu | rcu tree | rcu cpu N | rcu cblist [N] | rcu why [--gp N]",
  description:
    "Alone: the flavour in one line, and the CPUs that have callbacks. tree: the rcu_nodes, and who still\n" +
    "owes a quiescent state. cpu N: what RCU keeps for CPU N, and how it reported last. cblist: the four\n" +
    "segments of the callbacks of CPU N, or of all that have any. why: the grace period that runs, or else\n" +
    "the last that callbacks waited for: who asked for it, when and how each CPU reported, who owes, and\n" +
    "what it waited for. Grace periods are called by their gp_seq, printed signed: the first is -1199 while\n" +
    "it runs and -1196 at its end. Tiny RCU has no tree and no numbers, and answers what it can.",
  options: [{
    name: "gp",
    type: "int",
    summary: "of why: the grace period with that gp_seq, while it ran or at its end",
  }],
  args: [
    { name: "what", summary: "what to show", type: "enum", choices: VIEWS },
    { name: "cpu", summary: "number of the CPU", type: "int", min: 0, names: "cpu" },
  ],
  ts: (args) => args.has("what") ? undefined : STATE,
  examples: [
    { line: "rcu", shows: "which RCU it is, whether a grace period runs, and who has callbacks" },
    { line: "rcu why", shows: "who asked for the last grace period, and what it waited for" },
    { line: "rcu cblist 0", shows: "which callbacks of CPU 0 wait for which grace period" },
  ],
  async *run(session, args): Lines {
    const { k } = session;
    const what = args.has("what") ? args.text("what") : "";
    const cpu = args.has("cpu") ? args.int("cpu") : undefined;
    if (cpu !== undefined && what !== "cpu" && what !== "cblist") {
      throw new UsageError(`rcu ${what}: takes no number; rcu cpu ${cpu} and rcu cblist ${cpu} do`);
    }
    if (args.has("gp") && what !== "why") throw new UsageError("rcu: --gp goes with why: rcu why --gp N");
    if (what === "cpu" && cpu === undefined) throw new UsageError(`rcu cpu: of which CPU? ${cpusOf(k)}`);
    if (cpu !== undefined && cpu >= k.cpus.length) {
      throw new UsageError(`rcu ${what}: there is no CPU ${cpu}; ${cpusOf(k)}`);
    }
    const gp = args.has("gp") ? args.int("gp") : undefined;
    yield* k.rcu.flavour === "tiny" ? tinyView(session, what, gp) : treeView(session, what, cpu, gp);
  },
};

/** `this machine has CPUs 0 to 3` */
function cpusOf({ cpus }: Kernel): string {
  return cpus.length === 1 ? "this machine has CPU 0 only" : `this machine has CPUs 0 to ${cpus.length - 1}`;
}

async function* tinyView(
  session: KernelSession,
  what: string,
  gp: number | undefined,
): AsyncGenerator<Shown, void> {
  const { k, sites } = session;
  const [{ tinyLines, tinyWhyLines }, { viewOf }] = await Promise.all([
    import("../render/rcu_tiny.ts"),
    import("../render/events.ts"),
  ]);
  if (gp !== undefined) throw new UsageError("rcu why: --gp: grace periods of tiny RCU have no numbers");
  if (what === "why") yield* tinyWhyLines(k, viewOf(k, sites), sites);
  else yield* tinyLines(k);
}

async function* treeView(
  session: KernelSession,
  what: string,
  cpu: number | undefined,
  gp: number | undefined,
): AsyncGenerator<Shown, void> {
  const { k, sites } = session;
  const [{ cblistsLines, cpuLines, treeLines, treeStateLines }, { whyLines }, { viewOf }] = await Promise.all(
    [
      import("../render/rcu_tree.ts"),
      import("../render/rcu_why.ts"),
      import("../render/events.ts"),
    ],
  );
  switch (what) {
    case "tree":
      return yield* treeLines(k);
    case "cpu":
      return yield* cpuLines(k, viewOf(k, sites), sites, cpu ?? 0);
    case "cblist":
      return yield* cblistsLines(k, cpu);
    case "why":
      return yield* whyLines(k, viewOf(k, sites), sites, gp);
    default:
      return yield* treeStateLines(k);
  }
}

const krc: Command<KernelSession> = {
  name: "krc",
  group: "rcu",
  summary: "show the pointers that kvfree_rcu() holds",
  kind: "look",
  description:
    "On tree RCU for each CPU that holds any, or a spare page: what collects, in blocks and on the list; the\n" +
    "two slots, and what each waits for; and when the batch timer expires. krc N is about CPU N alone.",
  args: [{
    name: "cpu",
    summary: "only this CPU, also when it holds nothing",
    type: "int",
    min: 0,
    names: "cpu",
  }],
  ts: (args) =>
    `print(k.rcu.flavour === "tiny" ? tinyBatching(k) : krcState(k)${
      args.has("cpu") ? `[${args.int("cpu")}]` : ""
    })`,
  examples: [{ line: "krc", shows: "the batch that collects, those that wait, the spare block" }, {
    line: "krc 0",
    shows: "what CPU 0 holds",
  }],
  async *run({ k }, args): Lines {
    const cpu = args.has("cpu") ? args.int("cpu") : undefined;
    if (cpu !== undefined && cpu >= k.cpus.length) {
      throw new UsageError(`krc: there is no CPU ${cpu}; ${cpusOf(k)}`);
    }
    if (k.rcu.flavour === "tiny") yield* (await import("../render/rcu_tiny.ts")).tinyKrcLines(k);
    else yield* (await import("../render/krc_tree.ts")).treeKrcLines(k, cpu);
  },
};

const timeline: Command<KernelSession> = {
  name: "timeline",
  group: "rcu",
  summary: "show who read, what waited for a grace period, and when it was freed",
  kind: "look",
  description:
    "A lane for each task, and one for each object while it waits. From the start of the last run, or\n" +
    "from an event. What is left out (locks, page lists, other timers) is in trace.",
  options: [
    { name: "from", type: "int", min: 1, summary: "first event" },
    { name: "to", type: "int", min: 1, summary: "last event" },
  ],
  examples: [{ line: "timeline", shows: "the last run" }],
  async *run({ bench, k, sites }, args): Lines {
    if (bench.run === null) {
      throw new UsageError("timeline: nothing has run yet. Try: run ext4_kvfree_array_rcu");
    }
    const [{ timelineLines }, { viewOf }] = await Promise.all([
      import("../render/timeline.ts"),
      import("../render/events.ts"),
    ]);
    const view = viewOf(k, sites);
    const from = args.has("from") ? args.int("from") : bench.since;
    const to = args.has("to") ? args.int("to") : Infinity;
    const records = [...k.log.records(from)].filter((r) => r.seq <= to);
    const teller = k.rcu.flavour === "tiny"
      ? new (await import("../render/story_tiny.ts")).TinyTeller(k, view, sites, records)
      : new (await import("../render/story_tree.ts")).TreeTeller(k, view, sites, records);
    yield* timelineLines(teller.tell(), view, (k.log.get(bench.since) ?? k.log.get(k.log.first))?.ns ?? 0);
  },
};

/** In the order in which `help` lists them. */
export const rcuCommands: readonly Command<KernelSession>[] = [timeline, rcu, krc];
