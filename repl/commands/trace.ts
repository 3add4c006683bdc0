// SPDX-License-Identifier: GPL-2.0-only
// What the event log says: the kernel log, and trace events as ftrace prints them.
//
// Ours. Invariant: both are looks; names, fields and formats are the kernel's.

import { type Command, type Lines, row } from "../command.ts";
import type { KernelSession } from "../kernel_session.ts";
import { didYouMean } from "../nearest.ts";
import { UsageError } from "../status.ts";

const dmesg: Command<KernelSession> = {
  name: "dmesg",
  aliases: ["log"],
  group: "trace",
  summary: "show the kernel log",
  kind: "look",
  options: [{ name: "last", short: "n", type: "int", min: 1, summary: "only so many lines" }],
  examples: [{ line: "dmesg", shows: "what the kernel printed since boot" }],
  async *run({ k }, args): Lines {
    const [{ dmesgLines }, { CONSOLE_EVENT }] = await Promise.all([
      import("../render/dmesg.ts"),
      import("../../kernel/trace/events/printk.ts"),
    ]);
    const lines = dmesgLines(k.log.records(), CONSOLE_EVENT, (id) => k.log.text(id));
    yield* args.has("last") ? [...lines].slice(-args.int("last")) : lines;
  },
};

const trace: Command<KernelSession> = {
  name: "trace",
  group: "trace",
  summary: "show trace events, or list them",
  kind: "look",
  usage: "trace [-e PATTERN]... [--last N] [--from EVENT] [--to EVENT] [--seq] | trace list [PATTERN]",
  description:
    "Without --from, from the start of the last run. A pattern is a name or system:name; * stands for\n" +
    "anything. The four letters are: d interrupts off, N reschedule wanted, h or s hard or soft\n" +
    "interrupt, and the depth of preempt_disable().",
  options: [
    {
      name: "event",
      short: "e",
      value: "PATTERN",
      type: "string",
      repeatable: true,
      names: "event",
      summary: "only such events",
    },
    { name: "last", short: "n", type: "int", min: 1, summary: "only the last so many" },
    { name: "from", type: "int", min: 1, summary: "first event; 1 is the first of boot" },
    { name: "to", type: "int", min: 1, summary: "last event" },
    { name: "seq", type: "flag", summary: "numbers of the events in front, for goto" },
  ],
  args: [
    { name: "list", summary: "list the names of events instead", type: "enum", choices: ["list"] },
    { name: "pattern", summary: "only such names", names: "event" },
  ],
  ts: (args) =>
    args.has("list")
      ? "for (const { system, name, fields } of traceEvents) print(`${system}:${name}`, fields)"
      : "for (const r of k.log.records()) print(r.seq, r.ns, r.cpu, traceEvent(r.kind)?.name, r.args)",
  examples: [
    { line: "trace -e workqueue:* -e kfree --last 5", shows: "the last five of these events" },
    { line: "trace list rcu:*", shows: "the events of RCU" },
  ],
  async *run(session, args): Lines {
    const { eventRow, fullName, matchingEvents, numberedLine, traceLine, viewOf } = await import(
      "../render/events.ts"
    );
    if (args.has("list")) {
      const pattern = args.has("pattern") ? args.text("pattern") : "*:*";
      yield* matching("trace", pattern, matchingEvents).map((event) =>
        row(
          "tracepoint",
          { system: event.system, name: event.name, fields: event.fields },
          `${fullName(event)}(${event.fields.join(", ")})`,
        )
      );
      return;
    }
    const { bench, k, sites } = session;
    const kinds = new Set(
      args.list("event").flatMap((pattern) => matching("trace", pattern, matchingEvents)).map((e) => e.id),
    );
    const from = args.has("from") ? args.int("from") : Math.max(1, bench.since);
    const to = args.has("to") ? args.int("to") : Infinity;
    const view = viewOf(k, sites);
    const line = args.flag("seq") ? numberedLine : traceLine;
    let skip = 0;
    if (args.has("last")) {
      for (const r of k.log.records(from)) if (r.seq <= to && (kinds.size === 0 || kinds.has(r.kind))) skip++;
      skip = Math.max(0, skip - args.int("last"));
    }
    for (const r of k.log.records(from)) {
      if (r.seq > to) break;
      if (kinds.size > 0 && !kinds.has(r.kind)) continue;
      if (skip-- <= 0) yield eventRow(view, r, line);
    }
  },
};

/** The events that a pattern names; it is an error when there are none. */
export function matching<E extends { readonly name: string }>(
  command: string,
  pattern: string,
  find: (pattern: string) => E[],
): E[] {
  const found = find(pattern);
  if (found.length > 0) return found;
  const guess = didYouMean(pattern.replace(/^.*:/, ""), find("*").map((event) => event.name));
  throw new UsageError(`${command}: no event is called "${pattern}"${guess} (trace list shows all)`);
}

/** In the order in which `help` lists them. */
export const traceCommands: readonly Command<KernelSession>[] = [trace, dmesg];
