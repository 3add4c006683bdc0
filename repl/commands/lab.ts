// SPDX-License-Identifier: GPL-2.0-only
// Labs from inside the shell: the same words as `deno task lab`, and the same answers.
//
// Ours. Invariant: nothing here knows a lab; labs/framework/commands.ts does all of it. The machine on the bench is not
// touched: a check boots machines of its own, in a sandbox.

import type { Command, Lines } from "../command.ts";
import type { KernelSession } from "../kernel_session.ts";
import { asksForHelp } from "../arguments.ts";
import { helpPage } from "../help.ts";
import { type ExitStatus, ShellError } from "../status.ts";
import { splitWords } from "../words.ts";

const SUBS = ["list", "start", "check", "hint", "grade", "submit", "pack"];
/** What Tab offers; the registry would load the kernel. */
const IDS = ["l0", "l5", "l9"];

const lab: Command<KernelSession> = {
  name: "lab",
  group: "learn",
  summary: "list, start, check, hand in and grade labs",
  kind: "shell",
  usage: "lab list | start ID | check ID | hint ID [PROPERTY [N]] | grade ID | submit ID | pack ID",
  description:
    "The same as deno task lab; lab help shows all options. Labs are files in the current folder: start puts\n" +
    "the starter there, check runs the public properties on it, submit makes the file that is handed in.\n" +
    "Status: 0 done or held, 1 a check failed, 2 a mistake in the line, 4 a budget ran out.",
  raw: true,
  examples: [{ line: "lab list", shows: "which labs there are" }, {
    line: "lab hint l9",
    shows: "the properties of a lab, and for which there are hints",
  }],
  complete(_session, words) {
    if (words.length <= 1) return SUBS;
    return words.at(-1)?.startsWith("-") === true
      ? ["--student", "--file", "--dir", "--out", "--format"]
      : IDS;
  },
  async *run(session, args): Lines {
    const words = await splitWords("lab", args.raw);
    if (asksForHelp(words)) return yield* helpPage(session.host.commands.get("lab"));
    const [{ runLab }, { denoHost, LabError }, { LABS, loadedManifests }] = await Promise.all([
      import("../../labs/framework/commands.ts"),
      import("../../labs/framework/host.ts"),
      import("../../labs/registry.ts"),
    ]);
    try {
      return (yield* runLab(words, denoHost(Object.keys(LABS), await loadedManifests()))) as ExitStatus;
    } catch (error) {
      if (error instanceof LabError) throw new ShellError(error.status, error.message);
      throw error;
    }
  },
};

/** In the order in which `help` lists them. */
export const labCommands: readonly Command<KernelSession>[] = [lab];
