// SPDX-License-Identifier: GPL-2.0-only
// The shell answers byte for byte what the transcripts of this folder say. After a change on purpose: update.ts.

import { assertEquals } from "@std/assert";
import boot from "./boot.txt" with { type: "text" };
import bug_b8 from "./bug_b8.txt" with { type: "text" };
import bugs from "./bugs.txt" with { type: "text" };
import explore from "./explore.txt" with { type: "text" };
import faults from "./faults.txt" with { type: "text" };
import help from "./help.txt" with { type: "text" };
import kmemleak from "./kmemleak.txt" with { type: "text" };
import kvtest from "./kvtest.txt" with { type: "text" };
import lab from "./lab.txt" with { type: "text" };
import leaks from "./leaks.txt" with { type: "text" };
import memory from "./memory.txt" with { type: "text" };
import mistakes from "./mistakes.txt" with { type: "text" };
import rcu from "./rcu.txt" with { type: "text" };
import rcu_tree from "./rcu_tree.txt" with { type: "text" };
import run from "./run.txt" with { type: "text" };
import series from "./series.txt" with { type: "text" };
import shell from "./shell.txt" with { type: "text" };
import source from "./source.txt" with { type: "text" };
import steps from "./steps.txt" with { type: "text" };
import timeline from "./timeline.txt" with { type: "text" };
import tour from "./tour.txt" with { type: "text" };
import trace from "./trace.txt" with { type: "text" };
import typescript from "./typescript.txt" with { type: "text" };
import verdicts from "./verdicts.txt" with { type: "text" };
import { allCommands } from "../repl/kernel_shell.ts";
import { play } from "./transcript.ts";

const TRANSCRIPTS: Readonly<Record<string, string>> = {
  boot,
  bug_b8,
  bugs,
  explore,
  faults,
  help,
  kmemleak,
  kvtest,
  lab,
  leaks,
  memory,
  mistakes,
  rcu,
  rcu_tree,
  run,
  series,
  shell,
  source,
  steps,
  timeline,
  tour,
  trace,
  typescript,
  verdicts,
};

for (const [name, text] of Object.entries(TRANSCRIPTS)) {
  Deno.test(`${name}.txt: the shell answers what the transcript says`, async () => {
    assertEquals(await play(text), text);
  });
}

Deno.test("every command is typed in a transcript", () => {
  const typed = Object.values(TRANSCRIPTS).join("\n");
  const missing = allCommands.map((command) => command.name).filter((name) => {
    const escaped = name.replace(".", "\\.");
    return !new RegExp(`^quiesce> (.*; ?)?${escaped}( |;|$)`, "m").test(typed);
  });
  assertEquals(missing, []);
});
