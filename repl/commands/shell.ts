// SPDX-License-Identifier: GPL-2.0-only
// The commands that are about the shell itself: help, apropos, version, .mode, .pager, .history, exit.
//
// Ours. They need nothing but the base session, so every shell can have them; the kernel's commands are in the
// files beside this one, one group a file.

import config from "../../deno.json" with { type: "json" };
import { type Command, heading, type Lines, type Row, row } from "../command.ts";
import { filterNamed, FILTERS } from "../filters.ts";
import { aproposRows, filterList, helpList, helpPage } from "../help.ts";
import { didYouMean } from "../nearest.ts";
import { MODES } from "../output.ts";
import { unknownCommand } from "../registry.ts";
import { UsageError } from "../status.ts";

/** The version of this program. */
export const VERSION: string = config.version;

const help: Command = {
  name: "help",
  group: "shell",
  summary: "list the commands, or explain one",
  kind: "shell",
  description: "A line that starts with no command is TypeScript. Statements are separated by ;\n" +
    "and # starts a comment. Behind a command may stand | FILTER (help filters), then\n" +
    "> FILE or >> FILE to write to a file of the working directory. Every command knows\n" +
    "  --json  one object a line (NDJSON), for programs; .mode json does it for all\n" +
    "  --ts    the TypeScript that does the same, in place of doing it\n" +
    "  --help  its page, in place of doing it",
  args: [{ name: "topic", summary: "a command, a filter, or @group for the commands of a group" }],
  examples: [
    { line: "help exit", shows: "the page of a command" },
    { line: "help @shell", shows: "one group" },
    { line: "help | grep rcu > help.txt", shows: "nothing; the lines are in the file" },
  ],
  complete: ({ host }) => [
    ...host.commands.names(),
    ...host.commands.groups().map((group) => `@${group}`),
    "filters",
    ...FILTERS.map(({ name }) => name),
  ],
  *run({ host: { commands } }, args): Lines {
    if (!args.has("topic")) {
      yield* helpList(commands, commands.groups());
      yield heading("help COMMAND explains one, apropos WORD finds some; the rest is TypeScript.");
      return;
    }
    const topic = args.text("topic");
    const command = commands.find(topic) ?? filterNamed(topic);
    if (command !== undefined) yield* helpPage(command);
    else if (topic === "filters") yield* filterList();
    else if (!topic.startsWith("@")) {
      throw unknownCommand(topic, [...commands.names(), ...FILTERS.map(({ name }) => name), "filters"]);
    } else if (commands.groups().includes(topic.slice(1))) yield* helpList(commands, [topic.slice(1)]);
    else {
      const guess = didYouMean(topic.slice(1), commands.groups(), (group) => `@${group}`);
      throw new UsageError(`help: no group "${topic}"${guess}`);
    }
  },
};

const apropos: Command = {
  name: "apropos",
  group: "shell",
  summary: "find commands, filters, events and kernel functions by a word",
  kind: "shell",
  description: "Looks in names, summaries, options and descriptions; capitals do not matter.",
  args: [{ name: "word", summary: "what to look for", required: true, rest: true }],
  examples: [{ line: "apropos leak", shows: "what has to do with leaks" }],
  async *run(session, args): Lines {
    const word = args.list("word").join(" ").toLowerCase();
    const found: Row[] = [...aproposRows(session.host.commands, word)];
    for await (const { name, what, summary } of session.apropos(word)) {
      const line = `${name.padEnd(18)} ${summary} (${what})`;
      found.push(row("found", { name, what, summary }, line));
    }
    if (found.length === 0) {
      throw new UsageError(`apropos: nothing has to do with "${word}" (help lists all)`);
    }
    yield* found;
  },
};

const mode: Command = {
  name: ".mode",
  group: "shell",
  summary: "show results as text, or as NDJSON for programs",
  kind: "shell",
  description: "json: one object a line. Its first field is type; a line that has no data of its own is\n" +
    '{"type":"line","line":"..."}. --json does it for one line. Mistakes go to standard error as before.',
  args: [{ name: "mode", summary: "which; without it, the one that holds", type: "enum", choices: MODES }],
  examples: [{ line: ".mode table", shows: "nothing; results are text" }],
  *run({ host }, args): Lines {
    if (args.has("mode")) host.setMode(args.text("mode") as (typeof MODES)[number]);
    else yield row("mode", { mode: host.mode() }, host.mode());
  },
};

const pager: Command = {
  name: ".pager",
  group: "shell",
  summary: "show long output a screen at a time, or not",
  kind: "shell",
  description: "Only on a terminal; on unless the shell was started with --no-pager.",
  args: [{
    name: "state",
    summary: "on or off; without it, which holds",
    type: "enum",
    choices: ["on", "off"],
  }],
  examples: [{ line: ".pager", shows: "whether it is on" }],
  *run({ host }, args): Lines {
    const paging = host.paging();
    if (args.has("state")) {
      if (paging === undefined) throw new UsageError(".pager: this is no terminal: nothing is paged");
      host.setPaging(args.text("state") === "on");
    } else {
      const state = paging === undefined ? "off (no terminal)" : paging ? "on" : "off";
      yield row("pager", { on: paging === true }, state);
    }
  },
};

const version: Command = {
  name: "version",
  group: "shell",
  summary: "show the version of Quiesce and of what it runs on",
  kind: "shell",
  examples: [{ line: "version", shows: "one line" }],
  *run(): Lines {
    const { deno, v8 } = Deno.version;
    yield row("version", { quiesce: VERSION, deno, v8 }, `quiesce ${VERSION} (Deno ${deno}, V8 ${v8})`);
  },
};

const history: Command = {
  name: ".history",
  group: "shell",
  summary: "list the lines that were typed",
  kind: "shell",
  args: [{ name: "last", summary: "only so many", type: "int", min: 1 }],
  examples: [{ line: ".history 10", shows: "the last ten lines" }],
  *run({ host }, args): Lines {
    const lines = host.history();
    const from = args.has("last") ? Math.max(0, lines.length - args.int("last")) : 0;
    for (const [i, line] of lines.slice(from).entries()) {
      const n = from + i + 1;
      yield row("history", { n, line }, `${String(n).padStart(5)}  ${line}`);
    }
  },
};

const exit: Command = {
  name: "exit",
  aliases: ["quit", ".exit"],
  group: "shell",
  summary: "leave the shell",
  kind: "shell",
  description: "Without a status, off a terminal, it is that of the worst that happened.",
  args: [{ name: "status", summary: "the exit status", type: "int", min: 0, max: 255 }],
  examples: [{ line: "exit", shows: "nothing; the exit status is 0" }],
  *run({ host }, args): Lines {
    host.exit(args.has("status") ? args.int("status") : undefined);
  },
};

/** In the order in which `help` lists them. */
export const shellCommands: readonly Command[] = [help, apropos, version, mode, pager, history, exit];
