// SPDX-License-Identifier: GPL-2.0-only
// The line editor for a terminal: prompt, Tab, history, ^C, ^D, ^Z, by node:readline.
//
// Ours. Lines are taken by the editor's async iterator, the one way that loses none when several arrive at once
// (a paste). Invariants: the terminal is in raw mode only while a line is being edited, so that while a command
// runs the keys ^C, ^Z and ^\ are signals again and reach even a program that loops without a point (see
// interrupts.ts); `close` leaves the terminal as it was found. ^C while editing gives the line up. ^D ends the lines,
// but for an answer: behind a question it ends only that.
// Left out: searching the history backwards, which this editor cannot.

import { createInterface, type Interface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { CANCELLED, type LineSource } from "./lines.ts";

/** What the editor needs from the shell. */
export interface TerminalOptions {
  readonly input: Readable;
  readonly output: Writable;
  /** The candidates for Tab, and what they replace. */
  readonly complete: (line: string) => [string[], string] | Promise<[string[], string]>;
  /** Lines of earlier sessions, newest first. */
  readonly history: readonly string[];
  /** Called for ^Z in place of stopping, where stopping would stop only this process and not its parent. */
  readonly onSuspend?: () => void;
  /** Called with all lines, newest first, whenever one is added. */
  readonly saveHistory: (lines: readonly string[]) => void;
}

const MOST_HISTORY = 1000;

/** Lines that a person types. */
export class TerminalLines implements LineSource {
  private readonly options: TerminalOptions;
  private history: readonly string[];
  private editor: Interface;
  private lines: AsyncIterator<string>;
  private next_: Promise<IteratorResult<string>> | undefined;
  private cancel: (() => void) | undefined;
  private closed = false;
  /** It was ^D in place of an answer that closed the editor. */
  private unanswered = false;

  constructor(options: TerminalOptions) {
    this.options = options;
    this.history = options.history;
    this.editor = this.open();
    this.lines = this.editor[Symbol.asyncIterator]();
  }

  private open(): Interface {
    const { input, output, complete, onSuspend, saveHistory } = this.options;
    const editor = createInterface({
      input,
      output,
      terminal: true,
      completer: (line: string, done: (error: null, result: [string[], string]) => void) => {
        Promise.resolve(complete(line)).then((found) => done(null, found), () => done(null, [[], line]));
      },
      history: [...this.history],
      historySize: MOST_HISTORY,
      removeHistoryDuplicates: true,
    });
    editor.on("SIGINT", () => this.giveUp(output));
    editor.on("SIGCONT", () => this.resume());
    editor.on("history", (lines: string[]) => saveHistory(this.history = [...lines]));
    if (onSuspend !== undefined) {
      editor.on("SIGTSTP", () => {
        onSuspend();
        this.resume();
      });
    }
    editor.on("close", () => {
      if (editor === this.editor) this.closed = true;
    });
    return editor;
  }

  /** Edits one line behind the prompt. */
  async next(prompt: string, forHistory = true): Promise<string | typeof CANCELLED | undefined> {
    if (this.unanswered && !this.options.input.readableEnded) {
      this.unanswered = this.closed = false;
      this.editor = this.open();
      this.lines = this.editor[Symbol.asyncIterator]();
    }
    const cancelled = new Promise<typeof CANCELLED>((resolve) => this.cancel = () => resolve(CANCELLED));
    this.next_ ??= this.lines.next();
    this.editor.setPrompt(prompt);
    (this.editor as Interface & { historySize: number }).historySize = forHistory ? MOST_HISTORY : 0;
    this.resume();
    const result = await Promise.race([this.next_, cancelled]);
    this.cancel = undefined;
    if (result === CANCELLED) return CANCELLED;
    this.next_ = undefined;
    this.setRawMode(false);
    if (result.done !== true) return result.value;
    this.unanswered = !forHistory;
    return undefined;
  }

  /**
   * One key, without echo, while no line is edited. The editor is taken off the keyboard for it, since whatever is typed
   * would otherwise stand on its next line.
   */
  async key(): Promise<string> {
    const { input } = this.options;
    this.editor.close();
    this.setRawMode(true);
    const typed = await new Promise<string>((resolve) => {
      input.once("data", (data: Uint8Array | string) => resolve(data.toString()));
      input.once("end", () => resolve("q"));
      input.resume();
    });
    input.pause();
    // deno-lint-ignore no-control-regex
    const key = /^(?:\x1b\[[\d;]*[A-Za-z~]|\x1bO[A-Z]|[^])/u.exec(typed)?.[0] ?? "";
    if (typed.length > key.length) input.unshift(typed.slice(key.length)); // typed ahead
    this.next_ = undefined;
    this.closed = false;
    this.editor = this.open();
    this.lines = this.editor[Symbol.asyncIterator]();
    this.setRawMode(false); // the new editor has turned it on
    return key;
  }

  /** Gives the terminal back. */
  close(): void {
    this.editor.close();
    this.setRawMode(false);
  }

  /** ^C: drops what was typed. */
  private giveUp(output: Writable): void {
    if (this.cancel === undefined) return;
    this.editor.write(null, { ctrl: true, name: "e" });
    this.editor.write(null, { ctrl: true, name: "u" });
    output.write("^C\n");
    this.cancel();
  }

  private resume(): void {
    if (this.cancel === undefined || this.closed) return;
    this.setRawMode(true);
    this.editor.prompt();
  }

  private setRawMode(on: boolean): void {
    (this.options.input as Readable & { setRawMode?(on: boolean): void }).setRawMode?.(on);
  }
}
