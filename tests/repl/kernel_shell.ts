// SPDX-License-Identifier: GPL-2.0-only
// A shell with the kernel's commands, in this process and without permissions.
//
// Ours. The user's files that tests run are imported here, statically; the shell finds them under their own paths, as it
// does when it is started at the root of the project. Invariant: each call makes a session and a machine of its own.

import { kernelCommands } from "../../repl/commands/table.ts";
import { shellCommands } from "../../repl/commands/shell.ts";
import type { Command } from "../../repl/command.ts";
import { KernelSession } from "../../repl/kernel_session.ts";
import { PipeLines } from "../../repl/lines.ts";
import { Shell } from "../../repl/shell.ts";
import * as bug from "../examples/bug.ts";
import * as deadlock from "../examples/deadlock.ts";
import * as livelock from "../examples/livelock.ts";
import * as three_leaks from "../examples/three_leaks.ts";
import * as throws from "../examples/throws.ts";
import * as use_after_free from "../examples/use_after_free.ts";
import { UsageError } from "../../repl/status.ts";
import symbols from "../../docs/linux-symbols.txt" with { type: "text" };
import hello from "../../examples/hello_kvfree_rcu.ts" with { type: "text" };
import util from "../../mm/util.ts" with { type: "text" };
import macros from "../../rcu/levels/macros/7of7.ts" with { type: "text" };
import tiny6 from "../../rcu/levels/tiny/6of7.ts" with { type: "text" };
import tree3 from "../../rcu/levels/tree/3of7.ts" with { type: "text" };
import tree4 from "../../rcu/levels/tree/4of7.ts" with { type: "text" };
import tiny from "../../rcu/tiny.ts" with { type: "text" };
import type { SourceReader } from "../../repl/source_index.ts";
import { pieces, type Ran } from "./harness.ts";

/** Some of our own files, for `src` and `xref`: enough to have one of each kind. */
const SOURCES: Readonly<Record<string, string>> = {
  "docs/linux-symbols.txt": symbols,
  "examples/hello_kvfree_rcu.ts": hello,
  "mm/util.ts": util,
  "rcu/levels/macros/7of7.ts": macros,
  "rcu/levels/tiny/6of7.ts": tiny6,
  "rcu/levels/tree/3of7.ts": tree3,
  "rcu/levels/tree/4of7.ts": tree4,
  "rcu/tiny.ts": tiny,
};

const reader: SourceReader = {
  list: (folders) =>
    Object.keys(SOURCES).filter((path) => folders.some((folder) => path.startsWith(`${folder}/`))),
  read: (path) => SOURCES[path],
};

/** Files that `run` finds, by last name. */
const FILES: Readonly<Record<string, unknown>> = {
  "bug.ts": bug,
  "deadlock.ts": deadlock,
  "livelock.ts": livelock,
  "three_leaks.ts": three_leaks,
  "throws.ts": throws,
  "use_after_free.ts": use_after_free,
  "no_default.ts": { other: 1 },
  "async.ts": { default: async () => {} },
};

/** What an import of a file that cannot be loaded throws, as Deno words it. */
function failing(url: string): Error {
  const name = url.split("/").at(-1)?.replace(/\?.*/, "");
  switch (name) {
    case "syntax.ts":
      return new SyntaxError(
        `The module's source code could not be parsed: Expected ';', got 'x' at ${url}:3:5\n\n  let x x\n      ~`,
      );
    case "folder.ts":
      return new TypeError(`Is a directory (os error 21)\n    at ${url}`);
    case "secret.ts":
      return Object.assign(new Error(`Requires read access to "${url}"`), { name: "NotCapable" });
    case "load.ts": {
      const error = new Error("at load");
      error.stack = `Error: at load\n    at ${url}:2:7`;
      return error;
    }
    default:
      return new TypeError(`Module not found "${url}".`);
  }
}

/** A session whose `run FILE` needs no permission. */
export function testSession(): KernelSession {
  return new KernelSession((url) => {
    const module = FILES[url.split("/").at(-1)?.replace(/\?.*/, "") ?? ""];
    return module === undefined ? Promise.reject(failing(url)) : Promise.resolve(module);
  }, reader);
}

/** A shell with all commands whose output is kept. */
export class KernelShell {
  out = "";
  err = "";
  /** What was written with `>` and `>>`. */
  readonly files: Record<string, string> = {};
  readonly session: KernelSession = testSession();
  readonly shell: Shell<KernelSession>;

  constructor(
    options: {
      readonly terminal?: boolean;
      readonly answers?: string;
      readonly files?: (partial: string) => readonly string[];
    } = {},
  ) {
    const { answers, terminal = false, files } = options;
    this.shell = new Shell({
      session: this.session,
      commands: allCommands,
      out: (text) => this.out += text,
      err: (text) => this.err += text,
      openFile: (path, append) => {
        if (path.startsWith("/")) throw new UsageError(`cannot write "${path}": it is elsewhere`);
        if (!append) this.files[path] = "";
        return {
          write: (text) => void (this.files[path] = (this.files[path] ?? "") + text),
          close: () => {},
        };
      },
      terminal,
      ...(files === undefined ? {} : { files }),
      answers: answers !== undefined,
      ...(answers === undefined ? {} : { input: () => new PipeLines(pieces(answers)) }),
    });
  }

  /** Carries out a text and returns what it wrote. */
  async run(text: string): Promise<Ran> {
    this.out = this.err = "";
    const status = await this.shell.execute(text);
    return { status, out: this.out, err: this.err };
  }
}

/** Every command of `deno task repl`. */
export const allCommands: readonly Command<KernelSession>[] = [...kernelCommands, ...shellCommands];

/** Runs one text in a new shell. */
export async function kernelRan(text: string): Promise<Ran> {
  return await new KernelShell().run(text);
}
