// SPDX-License-Identifier: GPL-2.0-only
// What commands work on: the machine, the names that TypeScript sees, and a way to speak to the user.
//
// Ours. One session belongs to one shell. The kernel commands extend the class (`class KernelSession extends
// Session`) with the booted kernel and its run; nothing here knows what a kernel is. Invariant: everything that
// touches the terminal goes through `Host`, so that a session runs the same in a test, in a pipe and on a screen.
//
// ^C: while a command runs, `interrupted()` turns true within a few milliseconds of the key, without giving up
// the CPU, and `signal` is aborted the next time the command gives it up. A command that yields lines or BREATHE
// need not look: the shell looks after each and ends it (command.ts).

import type { Names, Shown } from "./command.ts";
import type { Mode } from "./output.ts";
import { inspectLines } from "./inspect.ts";
import type { Registry } from "./registry.ts";
import type { Outcome } from "./status.ts";

/** The shell as a command sees it. */
export interface Host {
  /** A person is typing. */
  readonly terminal: boolean;
  /** A person could answer a question, also while a script runs. */
  readonly answers: boolean;
  /** Escape sequences are welcome in the output. */
  readonly colour: boolean;
  /** Width of the terminal, 80 elsewhere. */
  columns(): number;
  /** Shows a line or a row now; for callbacks, where a command cannot yield it. */
  out(line: Shown): void;
  /** Writes a line to standard error: a diagnostic that is no failure. */
  warn(line: string): void;
  /** Asks the user for a line; undefined at the end of the input. Throws, on purpose, when ^C is the answer. */
  ask(question: string): Promise<string | undefined>;
  /** Whether ^C was pressed since the running command began. */
  interrupted(): boolean;
  /** Aborted when ^C was pressed; a new one for each command. */
  readonly signal: AbortSignal;
  /** Carries out a text as if it had been typed, and resolves to its status (`tour`, `.load`). */
  execute(text: string): Promise<number>;
  /** Names of files that begin like this, for Tab. */
  files(partial: string): readonly string[];
  /** Lines that were typed, oldest first. */
  history(): readonly string[];
  /** Leaves the shell after the running command; without a status, with that of the worst failure. */
  exit(status?: number): void;
  /** How rows are shown. Set for good from within a command whose line has no `--json`. */
  mode(): Mode;
  setMode(mode: Mode): void;
  /** Whether long output is shown a screen at a time; undefined where it cannot be. */
  paging(): boolean | undefined;
  setPaging(on: boolean): void;
  /** The table of commands. */
  readonly commands: Registry;
}

/** The state that commands share. */
export class Session {
  /** The names that TypeScript sees besides the globals. Without prototype: nothing is inherited. */
  readonly scope: Record<string, unknown> = Object.create(null);
  private attached: Host | undefined;

  constructor() {
    this.set("_", undefined);
    this.set("_error", undefined);
  }

  /** The shell that this session belongs to. */
  get host(): Host {
    if (this.attached === undefined) throw new TypeError("this session belongs to no shell yet");
    return this.attached;
  }

  /** Called once by the shell. */
  attach(host: Host): void {
    if (this.attached !== undefined) throw new TypeError("this session belongs to a shell already");
    this.attached = host;
    this.set("print", (...values: unknown[]) => host.out(values.map((v) => this.textOf(v)).join(" ")));
  }

  /** Makes a value visible to TypeScript. */
  set(name: string, value: unknown): void {
    Object.defineProperty(this.scope, name, { value, writable: true, enumerable: true, configurable: true });
  }

  /**
   * Makes a name visible to TypeScript whose value is asked for at each use, such as the kernel after a boot. A
   * user who declares the same name gets a plain variable of that name.
   */
  define(name: string, get: () => unknown): void {
    const set = (value: unknown): void => this.set(name, value);
    Object.defineProperty(this.scope, name, { get, set, enumerable: true, configurable: true });
  }

  /** The names of one sort, for Tab; those of commands and files come from the shell. */
  namesOf(_names: Names): readonly string[] {
    return [];
  }

  /** Called before Tab completes a line: the moment to load what `namesOf` knows. */
  async prepareNames(_line: string): Promise<void> {}

  /** What `apropos` finds besides commands and filters. */
  async *apropos(_word: string): AsyncGenerator<{ name: string; what: string; summary: string }, void> {}

  /** Called before TypeScript is evaluated: the moment to define names that take time to load. */
  async prepare(): Promise<void> {}

  /** Whether a value is a call that {@linkcode settle} would carry out. */
  isCall(_value: unknown): _value is PromiseLike<unknown> {
    return false;
  }

  /**
   * Called with the value of a line of TypeScript. What it returns is shown and becomes `_`; undefined leaves the value
   * as it is. Kernel commands carry out calls of kernel functions here.
   */
  settle(_value: unknown): Promise<unknown> | undefined {
    return undefined;
  }

  /**
   * The outcome of an error that a command or TypeScript threw and that is not a `ShellError`: kernel commands
   * override it for the kernel's own errors. Undefined leaves the decision to the shell.
   */
  explain(_error: unknown): Outcome | undefined {
    return undefined;
  }

  /** How a value of TypeScript is shown, if not by the general rule; undefined for the general rule. */
  show(_value: unknown): readonly string[] | undefined {
    return undefined;
  }

  private textOf(value: unknown): string {
    if (typeof value === "string") return value;
    const lines = this.show(value) ?? inspectLines(value, { colour: false, columns: this.host.columns() });
    return lines.join("\n");
  }
}
