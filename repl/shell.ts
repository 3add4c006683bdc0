// SPDX-License-Identifier: GPL-2.0-only
// The shell: takes lines, carries out their statements, writes what comes, and says how it ended.
//
// Ours. It has no idea of stdin, stdout or a terminal: lines come from a `LineSource`, text goes to two functions,
// ^C comes from an `Interrupts`; so tests run it in-process and a web page could. Two ways to feed it: `execute` a
// whole text (a script, -e), or `serve` a source line by line (a terminal, a pipe). Invariants: results go to
// `out`, diagnostics to `err`, in the order in which they arose; a failure ends its statement and nothing else, however
// the shell is fed; the exit status is that of the worst failure, and of none on a terminal.

import type { Arguments } from "./arguments.ts";
import { BREATHE, type Command, type Shown } from "./command.ts";
import { type CommandLine, readCommandLine } from "./command_line.ts";
import { completeLine } from "./complete.ts";
import { helpPage } from "./help.ts";
import { inspectLines } from "./inspect.ts";
import { CANCELLED, type LineSource } from "./lines.ts";
import { type Mode, rendered, valueRow } from "./output.ts";
import { Pager, type PagerTerminal } from "./pager.ts";
import { mistypedCommand, parse, type Statement } from "./parse.ts";
import { Pipeline } from "./pipeline.ts";
import { Registry, unknownCommand } from "./registry.ts";
import type { Host, Session } from "./session.ts";
import {
  headline,
  isA,
  type Outcome,
  outcomeOf,
  OutputClosed,
  ShellError,
  STATUS,
  UsageError,
  worse,
} from "./status.ts";
import type { Evaluated, Evaluator } from "./typescript.ts";

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

/** A file that a command line is written to. */
export interface OutputFile {
  write(text: string): void;
  /** Throws when not all of it could be written. */
  close(): void;
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
  /** Opens a file for `>` and `>>`. Throws `ShellError`. Without it there is no writing to files. */
  readonly openFile?: (path: string, append: boolean) => OutputFile;
  /** Names of files that begin like this, for Tab; a folder ends in `/`. */
  readonly files?: (partial: string) => readonly string[];
  /** Where long output is shown a screen at a time. */
  readonly pager?: PagerTerminal;
  /** Whether it is, without being asked to. */
  readonly paging?: boolean;
  /** Text, or NDJSON from the start. */
  readonly mode?: Mode;
  /** Stop at the first failure. */
  readonly bail?: boolean;
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
/** A command whose lines nobody wants any more may go on for so many, to say how it ends. */
const AFTER_FULL = 2000;

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
  private mode: Mode;
  private paging: boolean;
  private worst = 0;
  /** Where lines go instead of to standard output: filters, a file. */
  private sink: ((line: string) => void) | undefined;
  private pager: Pager | undefined;

  constructor(options: ShellOptions<S>) {
    this.options = options;
    this.session = options.session;
    this.mode = options.mode ?? "table";
    this.paging = options.paging === true;
    this.registry = new Registry(options.commands);
    this.session.attach(this.makeHost());
  }

  /** The same after everything that Tab could offer there has been loaded. */
  async prepareAndComplete(line: string): Promise<[string[], string]> {
    await this.session.prepareNames(line);
    return this.complete(line);
  }

  /** What Tab offers at the end of a line: the candidates, and the part of the line that they replace. */
  complete(line: string): [string[], string] {
    return completeLine(this.registry, this.session, line, this.options.files);
  }

  /** The status that a command left the shell with, if one did. */
  get left(): number | undefined {
    return this.leaving;
  }

  /** Remembers a line for `.history`. */
  remember(line: string): void {
    if (line.trim() === "" || line === this.typed.at(-1)) return;
    this.typed.push(line);
    if (this.typed.length > MOST_HISTORY) this.typed.shift();
  }

  /** Carries out a whole text and resolves to the status of its worst failure, or of `exit`, or 0. */
  async execute(text: string, origin?: Origin): Promise<number> {
    let worst = 0;
    for (let rest: string | undefined = text, line = 0; rest !== undefined;) {
      const parsed = parse(rest, (word) => this.registry.find(word) !== undefined);
      for (const statement of parsed.statements) {
        const outcome = await this.carryOut(statement, line, origin);
        this.flush();
        if (outcome.line !== undefined) {
          this.complain(outcome.line, outcome.where ?? whereOf(origin, line + statement.line));
        }
        worst = this.noteFailure(worst, outcome.status);
        if (this.leaving !== undefined) return this.leaving;
        if (outcome.status === STATUS.interrupted) return outcome.status;
        if (worst !== STATUS.ok && this.options.bail === true) return worst;
      }
      if (parsed.open !== undefined) {
        this.complain(`${parsed.open.what} is never closed`, whereOf(origin, line + parsed.open.line));
        return this.noteFailure(worst, STATUS.usage);
      }
      if (parsed.error === undefined) break;
      this.complain(parsed.error.error.message, whereOf(origin, line + parsed.error.line));
      worst = this.noteFailure(worst, STATUS.usage);
      if (this.options.bail === true) return worst;
      const next = parsed.error.line + 1; // what follows the mistake's line can be understood again
      const lines: string[] = rest.split("\n");
      line += next;
      rest = next < lines.length ? lines.slice(next).join("\n") : undefined;
    }
    return worst;
  }

  /** The worse of two statuses; that of the whole session counts what is not inside of a command. */
  private noteFailure(worst: number, status: number): number {
    if (this.depth === 0) this.worst = worse(this.worst, status);
    return worse(worst, status);
  }

  /** Takes lines until the end or `exit`. `name` is for messages. */
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
        if (this.options.bail === true && status !== STATUS.ok && !terminal) return status;
        if (line === undefined) break;
      }
      return this.leaving ?? (terminal ? STATUS.ok : this.worst);
    } finally {
      this.source = undefined;
      source.close();
    }
  }

  private wantsMore(text: string): boolean {
    return parse(text, (word) => this.registry.find(word) !== undefined).open !== undefined;
  }

  /** One statement, from its words to its outcome. Throws only `OutputClosed`. */
  private async carryOut(statement: Statement, line: number, origin?: Origin): Promise<Outcome> {
    const end = this.depth++ === 0 ? this.begin() : undefined; // a command may carry out others (Host.execute)
    try {
      return statement.kind === "command"
        ? await this.runCommand(statement)
        : await this.runScript(statement);
    } catch (error) {
      if (isA(error, OutputClosed)) throw error;
      if (isA(error, ShellError)) return this.place(error, statement, line, origin);
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
    const line = await readCommandLine(command, text);
    const before = { sink: this.sink, pager: this.pager, ...(line.json ? { mode: this.mode } : {}) };
    if (line.json) this.mode = "json";
    let pipeline: Pipeline | undefined;
    let file: OutputFile | undefined;
    try {
      const stages = line.filters.map(({ filter, args }) => filter.open(args, this.mode === "json"));
      file = this.openFile(name, line);
      this.pager ??= this.pagerFor(line);
      const last = file === undefined ? before.sink ?? ((l) => this.toScreen(l)) : toFile(file);
      if (stages.length > 0 || file !== undefined) {
        pipeline = new Pipeline(stages, last);
        this.sink = (made) => pipeline?.take(made);
      }
      return await this.yieldLines(command, line, pipeline);
    } finally {
      try {
        pipeline?.end();
        if (before.pager === undefined) await this.pager?.end();
      } finally {
        Object.assign(this, before);
        file?.close();
      }
    }
  }

  /** Takes what a command yields to its end. */
  private async yieldLines(
    command: Command<S>,
    line: CommandLine,
    pipeline: Pipeline | undefined,
  ): Promise<Outcome> {
    if (line.args === undefined || line.ts) {
      const text = line.args === undefined ? helpPage(command) : typescriptOf(command, line.args);
      for (const shown of text) this.show(shown);
      return { status: STATUS.ok };
    }
    const lines = command.run(this.session, line.args);
    const looks = command.kind === "look" || command.kind === "shell";
    let unwanted = 0;
    for (;;) {
      const step = lines.next();
      const { value, done } = step instanceof Promise ? await step : step;
      if (done === true) return { status: value ?? STATUS.ok };
      if (value !== BREATHE) this.show(value);
      if (this.pager !== undefined) await this.pager.drain();
      const full = this.pager?.quit === true || (pipeline?.full === true && ++unwanted > AFTER_FULL);
      if (looks && full) {
        await lines.return(undefined);
        return { status: STATUS.ok };
      }
      if (performance.now() - this.paused > PAUSE_MS) await this.pause();
      if (this.noticeInterrupt()) {
        await lines.return(undefined);
        return { status: STATUS.interrupted, line: `${command.name}: interrupted` };
      }
    }
  }

  private openFile(name: string, { target }: CommandLine): OutputFile | undefined {
    if (target === undefined) return undefined;
    if (this.options.openFile === undefined) {
      throw new UsageError(`${name}: "${target.path}" cannot be written: this shell writes no files`);
    }
    return this.options.openFile(target.path, target.append);
  }

  private pagerFor({ filters, target }: CommandLine): Pager | undefined {
    const { pager } = this.options;
    const wanted = this.paging || filters.at(-1)?.filter.pages === true;
    if (pager === undefined || !wanted || target !== undefined || this.sink !== undefined) return undefined;
    return new Pager(pager, (line) => this.out(line));
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
      const settled = result.hasValue ? looking(() => this.session.settle(result.value)) : undefined;
      return settled === undefined ? result : evaluator.settle(settled);
    };
    const { value, hasValue } = await Promise.race([evaluated(), aborted.promise]);
    if (hasValue && value !== undefined) {
      const colour = this.options.colour === true && this.mode === "table" && this.sink === undefined;
      const lines = looking(() =>
        this.session.show(value) ?? inspectLines(value, { colour, columns: this.columns() })
      );
      this.show(valueRow(value, lines));
    }
    return { status: STATUS.ok };
  }

  /** Adds the place to an error in TypeScript; lets the session explain what the code threw. */
  private place(error: ShellError, statement: Statement, first: number, origin?: Origin): Outcome {
    const explained = error.cause === undefined ? undefined : this.session.explain(error.cause);
    const outcome = explained ?? outcomeOf(error, "TypeScript");
    const { line, column } = error as ShellError & { line?: number; column?: number };
    const oneLiner = column === undefined && !statement.text.includes("\n");
    if (line === undefined || (origin === undefined && oneLiner)) return outcome;
    const inText = first + statement.line + line;
    const at = whereOf(origin, inText) ?? String(inText + 1);
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

  /** A line or a row of a command, or of TypeScript. */
  private show(shown: Shown): void {
    for (const line of rendered(shown, this.mode)) {
      if (this.sink !== undefined) this.sink(line);
      else this.toScreen(line);
    }
  }

  private toScreen(line: string): void {
    if (this.pager !== undefined) this.pager.take(line);
    else this.out(line);
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
    await this.pager?.release();
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
      out: (line) => this.show(line),
      warn: (line) => this.complain(line),
      ask: (question) => this.ask(question),
      interrupted: () => this.noticeInterrupt(),
      execute: (text) => this.execute(text),
      history: () => this.typed,
      files: (partial) => this.options.files?.(partial) ?? [],
      exit: (status) => this.leaving = status ?? (this.options.terminal === true ? STATUS.ok : this.worst),
      mode: () => this.mode,
      setMode: (mode) => this.mode = mode,
      paging: () => this.options.pager === undefined ? undefined : this.paging,
      setPaging: (on) => this.paging = on,
      get signal() {
        return signal();
      },
    };
  }
}

/** Looks at a value of the user's, which may throw when it is looked at. */
function looking<T>(look: () => T): T {
  try {
    return look();
  } catch (error) {
    throw isA(error, ShellError) || isA(error, OutputClosed)
      ? error
      : new ShellError(STATUS.failed, `the value cannot be shown: ${headline(error)}`);
  }
}

function toFile(file: OutputFile): (line: string) => void {
  return (line) => file.write(`${line}\n`);
}

/** What `--ts` shows. */
function typescriptOf<S extends Session>({ name, ts, kind }: Command<S>, args: Arguments): readonly string[] {
  const text = typeof ts === "function" ? ts(args) : ts;
  if (text !== undefined) return text.split("\n");
  const why = kind === "shell" ? "it is about the shell only" : "it has no short form";
  throw new UsageError(`${name} --ts: no TypeScript stands for this: ${why}`);
}

/** `script.quiesce:12`, or undefined for what was typed. */
function whereOf(origin: Origin | undefined, line: number): string | undefined {
  return origin === undefined ? undefined : `${origin.name}:${origin.line + line}`;
}
