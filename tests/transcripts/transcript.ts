// SPDX-License-Identifier: GPL-2.0-only
// Plays a transcript: the lines behind `quiesce> ` are typed, everything else is what the shell should answer.
//
// Ours. A line behind `     ... ` continues the one before. `! ` stands before what went to standard error, and
// `[status N]` after a command that did not end with 0. A `// ` line is a remark. After `tour` or
// `bugs run` nothing else is typed.
// Invariant: what is played is exactly what is in the file, so that a file can be typed by hand and compared by eye.

import { KernelShell } from "../repl/kernel_shell.ts";

const PROMPT = "quiesce> ";
const CONTINUED = "     ... ";

/** The transcript of the commands in `text`, played now in a shell of its own. */
export async function play(text: string): Promise<string> {
  const shell = new KernelShell();
  const result: string[] = [];
  const lines = text.split("\n");
  for (let i = 0; i < lines.length; i++) {
    if (lines[i].startsWith("// ")) result.push(lines[i]);
    if (!lines[i].startsWith(PROMPT)) continue;
    result.push(lines[i]);
    let typed = lines[i].slice(PROMPT.length);
    for (; lines[i + 1]?.startsWith(CONTINUED); i++) {
      result.push(lines[i + 1]);
      typed += `\n${lines[i + 1].slice(CONTINUED.length)}`;
    }
    if (/^(tour|bugs run)\b/.test(typed)) i = lines.length; // it shows prompts of its own: what follows is all its output
    const { status, out, err } = await shell.run(typed);
    if (out !== "") result.push(...out.trimEnd().split("\n"));
    if (err !== "") result.push(...err.trimEnd().split("\n").map((line) => `! ${line}`));
    if (status !== 0) result.push(`[status ${status}]`);
  }
  return result.join("\n") + "\n";
}
