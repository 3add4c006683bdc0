// SPDX-License-Identifier: GPL-2.0-only
// The commands that are about the shell itself: help, version, .history, exit.
//
// Ours. They need nothing but the base session, so every shell can have them; the kernel's commands are in the
// files beside this one, one group a file.

import config from "../../deno.json" with { type: "json" };
import type { Command, Lines } from "../command.ts";
import { helpList, helpPage } from "../help.ts";
import { didYouMean } from "../nearest.ts";
import { UsageError } from "../status.ts";

/** The version of this program. */
export const VERSION: string = config.version;

const help: Command = {
  name: "help",
  group: "shell",
  summary: "list the commands, or explain one",
  kind: "shell",
  description:
    "A line that starts with no command is TypeScript. Statements are separated by ; and # starts a comment.",
  args: [{ name: "topic", summary: "a command, or @group for the commands of a group" }],
  examples: [{ line: "help exit", shows: "the page of a command" }, {
    line: "help @shell",
    shows: "one group",
  }],
  complete: ({ host }) => [...host.commands.names(), ...host.commands.groups().map((group) => `@${group}`)],
  *run({ host: { commands } }, args): Lines {
    if (!args.has("topic")) {
      yield* helpList(commands, commands.groups());
      yield "help COMMAND explains one; what is no command is TypeScript.";
      return;
    }
    const topic = args.text("topic");
    if (!topic.startsWith("@")) yield* helpPage(commands.get(topic));
    else if (commands.groups().includes(topic.slice(1))) yield* helpList(commands, [topic.slice(1)]);
    else {
      const guess = didYouMean(topic.slice(1), commands.groups(), (group) => `@${group}`);
      throw new UsageError(`help: no group "${topic}"${guess}`);
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
    yield `quiesce ${VERSION} (Deno ${Deno.version.deno}, V8 ${Deno.version.v8})`;
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
    for (const [i, line] of lines.slice(from).entries()) yield `${String(from + i + 1).padStart(5)}  ${line}`;
  },
};

const exit: Command = {
  name: "exit",
  aliases: ["quit", ".exit"],
  group: "shell",
  summary: "leave the shell",
  kind: "shell",
  args: [{ name: "status", summary: "the exit status", type: "int", min: 0, max: 255 }],
  examples: [{ line: "exit", shows: "nothing; the exit status is 0" }],
  *run({ host }, args): Lines {
    host.exit(args.has("status") ? args.int("status") : 0);
  },
};

/** In the order in which `help` lists them. */
export const shellCommands: readonly Command[] = [help, version, history, exit];
