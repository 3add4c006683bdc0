// SPDX-License-Identifier: GPL-2.0-only
// A shell in this process, as tests/repl/kernel_shell.ts has, that finds the programs of a lab; and a hand-out's lines.

import type { Ran } from "../repl/harness.ts";
import { allCommands } from "../repl/kernel_shell.ts";
import { KernelSession } from "../../repl/kernel_session.ts";
import { Shell } from "../../repl/shell.ts";

/** A shell whose `run FILE` finds these modules, by the last name of the file. */
export function labShell(files: Readonly<Record<string, unknown>> = {}): { run(text: string): Promise<Ran> } {
  let [out, err] = ["", ""];
  const shell = new Shell({
    session: new KernelSession((url) => {
      const module = files[url.split("/").at(-1)?.replace(/\?.*/, "") ?? ""];
      return module === undefined
        ? Promise.reject(new TypeError(`Module not found "${url}".`))
        : Promise.resolve(module);
    }),
    commands: allCommands,
    out: (text) => out += text,
    err: (text) => err += text,
    terminal: false,
    answers: false,
  });
  return {
    async run(text) {
      [out, err] = ["", ""];
      const status = await shell.execute(text);
      return { status, out, err };
    },
  };
}

/** The lines of each fenced block of a hand-out. */
export function experimentsOf(readme: string): string[] {
  return [...readme.matchAll(/^ *```\n([^]*?)\n *```$/gm)].map(([, lines]) => lines.trim());
}
