// SPDX-License-Identifier: GPL-2.0-only
// RCU: its callbacks, the batches of kvfree_rcu(), and the timeline that shows what waited for what.
//
// Ours. Invariant: all of these are looks.

import type { Command, Lines } from "../command.ts";
import type { KernelSession } from "../kernel_session.ts";
import { UsageError } from "../status.ts";

const rcu: Command<KernelSession> = {
  name: "rcu",
  group: "rcu",
  summary: "show the callbacks that wait for a grace period",
  kind: "look",
  examples: [{ line: "rcu", shows: "which RCU it is, and its callbacks" }],
  async *run({ k }): Lines {
    tinyOnly(k.rcu.flavour);
    const { rcuLines } = await import("../render/rcu.ts");
    yield* rcuLines(k);
  },
};

const krc: Command<KernelSession> = {
  name: "krc",
  group: "rcu",
  summary: "show the pointers that kvfree_rcu() holds",
  kind: "look",
  examples: [{ line: "krc", shows: "the batch that collects, the one that waits, the spare block" }],
  async *run({ k }): Lines {
    tinyOnly(k.rcu.flavour);
    const { krcLines } = await import("../render/rcu.ts");
    yield* krcLines(k);
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
    const [{ storyOf }, { timelineLines }, { viewOf }] = await Promise.all([
      import("../render/story.ts"),
      import("../render/timeline.ts"),
      import("../render/events.ts"),
    ]);
    const view = viewOf(k, sites);
    const from = args.has("from") ? args.int("from") : bench.since;
    const story = storyOf(k, view, sites, from, args.has("to") ? args.int("to") : Infinity);
    yield* timelineLines(story, view, (k.log.get(bench.since) ?? k.log.get(k.log.first))?.ns ?? 0);
  },
};

function tinyOnly(flavour: string): void {
  if (flavour !== "tiny") {
    throw new UsageError(`the state of ${flavour} RCU cannot be shown yet: trace -e rcu:* can`);
  }
}

/** In the order in which `help` lists them. */
export const rcuCommands: readonly Command<KernelSession>[] = [timeline, rcu, krc];
