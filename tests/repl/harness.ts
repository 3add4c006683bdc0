// SPDX-License-Identifier: GPL-2.0-only
// A shell in this process for the tests: text in, text out, no stream and no permission.
//
// Ours. Invariant: each call makes a new session; two never share a name.

import type { Command } from "../../repl/command.ts";
import { shellCommands } from "../../repl/commands/shell.ts";
import { PipeLines } from "../../repl/lines.ts";
import { Session } from "../../repl/session.ts";
import { Shell, type ShellOptions } from "../../repl/shell.ts";
import { UsageError } from "../../repl/status.ts";

/** What came of a text. */
export interface Ran {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** A shell whose output is kept. */
export class TestShell {
  out = "";
  err = "";
  /** What was written with `>` and `>>`. */
  readonly files: Record<string, string> = {};
  readonly session: Session = new Session();
  readonly shell: Shell<Session>;
  private readonly name: string | undefined;

  constructor(
    commands: readonly Command[] = [],
    options:
      & { answers?: string }
      & Partial<
        Pick<
          ShellOptions<Session>,
          "terminal" | "interrupts" | "bail" | "mode" | "files" | "pager" | "paging"
        >
      > = {},
  ) {
    const { answers, ...rest } = options;
    this.name = options.terminal === true ? undefined : "stdin";
    this.shell = new Shell({
      session: this.session,
      commands: [...shellCommands, ...commands],
      out: (text) => this.out += text,
      err: (text) => this.err += text,
      openFile: (path, append) => {
        if (path.startsWith("/forbidden/")) throw new UsageError(`cannot write "${path}"`);
        if (!append || this.files[path] === undefined) this.files[path] = "";
        return { write: (text) => void (this.files[path] += text), close: () => {} };
      },
      ...(answers === undefined ? {} : { input: () => new PipeLines(pieces(answers)) }),
      ...rest,
    });
  }

  /** Carries out a text and returns what it wrote. */
  async run(text: string, name?: string): Promise<Ran> {
    this.out = this.err = "";
    const status = await this.shell.execute(text, name === undefined ? undefined : { name, line: 1 });
    return { status, out: this.out, err: this.err };
  }

  /** Feeds a text as a pipe would. */
  async pipe(text: string, size?: number): Promise<Ran> {
    this.out = this.err = "";
    const status = await this.shell.serve(new PipeLines(pieces(text, size)), this.name);
    return { status, out: this.out, err: this.err };
  }
}

/** Runs one text in a new shell. */
export async function ran(text: string, commands: readonly Command[] = []): Promise<Ran> {
  return await new TestShell(commands).run(text);
}

/** A text in pieces of so many characters. */
export async function* pieces(text: string, size: number = text.length): AsyncGenerator<string> {
  for (let at = 0; at < text.length; at += size) yield text.slice(at, at + size);
}
