// SPDX-License-Identifier: GPL-2.0-only
// The shell: takes lines, carries out their statements, writes what comes, and says how it ended.
//
// Ours. It has no idea of stdin, stdout or a terminal: lines come from a `LineSource`, text goes to two functions,
// ^C comes from an `Interrupts`; so tests run it in-process and a web page could. Two ways to feed it: `execute` a
// whole text (a script, -e), or `serve` a source line by line (a terminal, a pipe). Invariants: results go to
// `out`, diagnostics to `err`, in the order in which they arose; without a terminal the first failure ends it and
// gives the exit status; on a terminal nothing but `exit` and ^D does.

import { asksForHelp, parseArguments } from "./arguments.ts";
import { BREATHE, type Command } from "./command.ts";
import { completeLine } from "./complete.ts";
import { helpPage } from "./help.ts";
import { inspectLines } from "./inspect.ts";
import { CANCELLED, type LineSource } from "./lines.ts";
import { mistypedCommand, parse, type Statement } from "./parse.ts";
import { Registry, unknownCommand } from "./registry.ts";
import type { Host, Session } from "./session.ts";
import { type Outcome, outcomeOf, OutputClosed, ShellError, STATUS } from "./status.ts";
import type { Evaluated, Evaluator } from "./typescript.ts";
import { splitWords } from "./words.ts";

/** How the shell hears of ^C while a command runs. */
export interface Interrupts {
  /** A command begins: forget what was pressed before. */
  begin(): void;
  /** It has been running for a while, and is giving way just now: a good moment to prepare what takes time. */
  prepare(): void;
  /** Whether ^C was pressed since. */
  requested(): boolean;
  /** Resolves when what `prepare` began can no longer disturb a prompt. */
  settled(): Promise<unknown>;
  /** The command has ended. */
  end(): void;
}

/** What a shell is made of. */
export interface ShellOptions<S extends Session> {
  readonly session: S;
  readonly commands: readonly Command<S>[];
  /** Writes text to standard output. May throw `OutputClosed`. */
  readonly out: (text: string) => void;
  /** Writes text to standard error. */
  readonly err: (text: string) => void;
  /** Answers `Host.ask` when no source is being served; opened at the first question. */
  readonly input?: () => LineSource | Promise<LineSource>;
  /** A person is typing: prompts, and go on after a failure. */
  readonly terminal?: boolean;
  /** A person could answer a question; by default as `terminal`. */
  readonly answers?: boolean;
  /** Colours in the output. */
  readonly colour?: boolean;
  readonly columns?: () => number;
  readonly interrupts?: Interrupts;
}

/** Where a text came from, for messages: `script.quiesce:12:`. Absent for what was typed. */
export interface Origin {
  readonly name: string;
  /** Line of the text's first line, from 1. */
  readonly line: number;
}

/** What a terminal shows before a statement. */
export const PROMPT = "quiesce> ";
const CONTINUED = "     ... ";
/** Off a terminal, output is written when so much has gathered, at the end of a statement, and at a pause. */
const BUFFER = 8192;
/** A running command gives way to the host's events this often. */
const PAUSE_MS = 30;
/** While it waits for something, ^C is looked for this often. */
const WATCH_MS = 50;
const MOST_HISTORY = 1000;

/** A shell over one session. */
export class Shell<S extends Session> {
  /** The commands it knows. */
  readonly registry: Registry<S>;
  private readonly session: S;
  private readonly options: ShellOptions<S>;
  private readonly typed: string[] = [];
  private evaluator: Evaluator | undefined;
  private source: LineSource | undefined;
  private controller = new AbortController();
  private leaving: number | undefined;
  private buffer = "";
  private paused = 0;
  private depth = 0;
  private asking = false;

  constructor(options: ShellOptions<S>) {
    this.options = options;
    this.session = options.session;
    this.registry = new Registry(options.commands);
    this.session.attach(this.makeHost());
  }

  /** What Tab offers at the end of a line: the candidates, and the part of the line that they replace. */
  complete(line: string): [string[], string] {
    return completeLine(this.registry, this.session, line);
  }

  /** Remembers a line for `.history`. */
  remember(line: string): void {
    if (line.trim() === "" || line === this.typed.at(-1)) return;
    this.typed.push(line);
    if (this.typed.length > MOST_HISTORY) this.typed.shift();
  }

  /** Carries out a whole text and resolves to the status of its first failure, or of `exit`, or 0. */
  async execute(text: string, origin?: Origin): Promise<number> {
    const parsed = parse(text, (word) => this.registry.find(word) !== undefined);
    for (const statement of parsed.statements) {
      const { status, line, where } = await this.carryOut(statement, origin);
      this.flush();
      if (line !== undefined) this.complain(line, where ?? whereOf(origin, statement.line));
      if (this.leaving !== undefined) return this.leaving;
      if (status !== STATUS.ok) return status;
    }
    if (parsed.error !== undefined) {
      this.complain(parsed.error.error.message, whereOf(origin, parsed.error.line));
      return STATUS.usage;
    }
    if (parsed.open !== undefined) {
      this.complain(`${parsed.open.what} is never closed`, whereOf(origin, parsed.open.line));
      return STATUS.usage;
    }
    return STATUS.ok;
  }

  /** Takes lines until the end, `exit`, or, without a terminal, the first failure. `name` is for messages. */
  async serve(source: LineSource, name?: string): Promise<number> {
    const terminal = this.options.terminal === true;
    this.source = source;
    let pending = ""; // lines of a statement that is not finished yet
    let count = 0;
    let first = 1;
    try {
      while (this.leaving === undefined) {
        const line = await source.next(pending === "" ? PROMPT : CONTINUED);
        if (line === CANCELLED) {
          pending = "";
          continue;
        }
        count++;
        if (line !== undefined) {
          if (terminal) this.remember(line);
          if (pending === "") first = count;
          pending = pending === "" ? line : `${pending}\n${line}`;
          if (this.wantsMore(pending)) continue;
        }
        const text = pending;
        pending = "";
        const status = await this.execute(text, name === undefined ? undefined : { name, line: first });
        if (status !== STATUS.ok && !terminal) return status;
        if (line === undefined) break;
      }
      return this.leaving ?? STATUS.ok;
    } finally {
      this.source = undefined;
      source.close();
    }
  }

  private wantsMore(text: string): boolean {
    return parse(text, (word) => this.registry.find(word) !== undefined).open !== undefined;
  }

  /** One statement, from its words to its outcome. Throws only `OutputClosed`. */
  private async carryOut(statement: Statement, origin?: Origin): Promise<Outcome> {
    const end = this.depth++ === 0 ? this.begin() : undefined; // a command may carry out others (Host.execute)
    try {
      return statement.kind === "command"
        ? await this.runCommand(statement)
        : await this.runScript(statement);
    } catch (error) {
      if (error instanceof OutputClosed) throw error;
      if (error instanceof ShellError) return this.place(error, statement, origin);
      return this.session.explain(error) ?? outcomeOf(error, statement.name || "TypeScript");
    } finally {
      this.depth--;
      await end?.();
    }
  }

  /** Listens to ^C until the function that it returns is called. */
  private begin(): () => Promise<unknown> {
    const { interrupts } = this.options;
    this.controller = new AbortController();
    this.paused = performance.now();
    if (interrupts === undefined) return () => Promise.resolve();
    interrupts.begin();
    const watch = setInterval(() => {
      if (!this.asking) interrupts.prepare();
      this.noticeInterrupt();
    }, WATCH_MS);
    return () => {
      clearInterval(watch);
      interrupts.end();
      return interrupts.settled();
    };
  }

  private async runCommand({ name, text }: Statement): Promise<Outcome> {
    const command = this.registry.get(name);
    const words = command.raw === true ? [] : await splitWords(name, text);
    if (asksForHelp(words)) {
      for (const line of helpPage(command)) this.out(line);
      return { status: STATUS.ok };
    }
    const lines = command.run(this.session, await parseArguments(command, words, text));
    for (;;) {
      const step = lines.next();
      const { value, done } = step instanceof Promise ? await step : step;
      if (done === true) return { status: value ?? STATUS.ok };
      if (value !== BREATHE) this.out(value);
      if (performance.now() - this.paused > PAUSE_MS) await this.pause();
      if (this.noticeInterrupt()) {
        await lines.return(undefined);
        return { status: STATUS.interrupted, line: `${name}: interrupted` };
      }
    }
  }

  private async runScript({ text }: Statement): Promise<Outcome> {
    await this.session.prepare();
    const { scope } = this.session;
    const word = mistypedCommand(text, (w) => w in scope || w in globalThis);
    if (word !== undefined) throw unknownCommand(word, [...this.registry.names(), ...Object.keys(scope)]);
    this.flush(); // what the code writes by itself comes after what was written before
    this.evaluator ??= new (await import("./typescript.ts")).Evaluator(
      scope,
      (value): value is PromiseLike<unknown> => this.session.isCall(value),
    );
    const aborted = Promise.withResolvers<never>();
    this.controller.signal.addEventListener("abort", () => {
      aborted.reject(new ShellError(STATUS.interrupted, "interrupted"));
    });
    const evaluator = this.evaluator;
    const evaluated = async (): Promise<Evaluated> => {
      const result = await evaluator.evaluate(text);
      const settled = result.hasValue ? this.session.settle(result.value) : undefined;
      return settled === undefined ? result : evaluator.settle(settled);
    };
    const { value, hasValue } = await Promise.race([evaluated(), aborted.promise]);
    if (hasValue && value !== undefined) {
      const colour = this.options.colour === true;
      const lines = this.session.show(value) ?? inspectLines(value, { colour, columns: this.columns() });
      for (const line of lines) this.out(line);
    }
    return { status: STATUS.ok };
  }

  /** Adds the place to an error in TypeScript; lets the session explain what the code threw. */
  private place(error: ShellError, statement: Statement, origin?: Origin): Outcome {
    const explained = error.cause === undefined ? undefined : this.session.explain(error.cause);
    const outcome = explained ?? outcomeOf(error, "TypeScript");
    const { line, column } = error as ShellError & { line?: number; column?: number };
    const oneLiner = column === undefined && !statement.text.includes("\n");
    if (line === undefined || (origin === undefined && oneLiner)) return outcome;
    const at = whereOf(origin, statement.line + line) ?? String(statement.line + line + 1);
    return { ...outcome, where: column === undefined ? at : `${at}:${column}` };
  }

  /** Writes one line to standard error, with where it happened if that is known. */
  private complain(message: string, where?: string): void {
    this.flush();
    const text = where === undefined ? message : `${where}: ${message}`;
    this.options.err(this.options.colour === true ? `\x1b[31m${text}\x1b[39m\n` : `${text}\n`);
  }

  /** Whether ^C was pressed; tells the command's signal. */
  private noticeInterrupt(): boolean {
    if (this.options.interrupts?.requested() !== true) return false;
    this.controller.abort();
    return true;
  }

  private out(line: string): void {
    this.buffer += `${line}\n`;
    if (this.options.terminal === true || this.buffer.length > BUFFER) this.flush();
  }

  private flush(): void {
    if (this.buffer === "") return;
    const text = this.buffer;
    this.buffer = "";
    this.options.out(text);
  }

  /** Shows what there is and lets the host's events in: keys, timers, the window's size. */
  private async pause(): Promise<void> {
    this.flush();
    this.options.interrupts?.prepare();
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.paused = performance.now();
  }

  private columns(): number {
    return this.options.columns?.() ?? 80;
  }

  private async ask(question: string): Promise<string | undefined> {
    this.flush();
    this.source ??= await this.options.input?.();
    await this.options.interrupts?.settled();
    this.asking = true;
    const answer = await this.source?.next(question, false);
    this.asking = false;
    if (answer === CANCELLED) throw new ShellError(STATUS.interrupted, "interrupted");
    return answer;
  }

  private makeHost(): Host {
    const signal = (): AbortSignal => this.controller.signal;
    return {
      terminal: this.options.terminal === true,
      answers: this.options.answers ?? this.options.terminal === true,
      colour: this.options.colour === true,
      commands: this.registry as unknown as Registry,
      columns: () => this.columns(),
      out: (line) => this.out(line),
      warn: (line) => this.complain(line),
      ask: (question) => this.ask(question),
      interrupted: () => this.noticeInterrupt(),
      execute: (text) => this.execute(text),
      history: () => this.typed,
      exit: (status) => this.leaving = status,
      get signal() {
        return signal();
      },
    };
  }
}

/** `script.quiesce:12`, or undefined for what was typed. */
function whereOf(origin: Origin | undefined, line: number): string | undefined {
  return origin === undefined ? undefined : `${origin.name}:${origin.line + line}`;
}
