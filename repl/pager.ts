// SPDX-License-Identifier: GPL-2.0-only
// A screen at a time: lines wait here until the user wants more.
//
// Ours. It goes forward only; what has gone by is in the terminal's own scroll-back. Invariants: output that fits on the
// screen is never held up, and never asked about; the command behind it is not hurried: while the user reads, nobody
// asks it for more.

/** What a pager needs of a terminal. */
export interface PagerTerminal {
  /** Lines on the screen. */
  rows(): number;
  columns(): number;
  /** Shows a prompt, waits for one key, and takes the prompt away. */
  key(prompt: string): Promise<string>;
  /** Shows a prompt and reads a line; undefined when the user gave it up. */
  ask(prompt: string): Promise<string | undefined>;
}

const PROMPT = "-- more -- (space, Enter, /text, q) ";

/** What an escape sequence takes no place for. */
// deno-lint-ignore no-control-regex
const ESCAPES = /\x1b\[[0-9;]*[A-Za-z]/g;

/** Lines on their way to a screen. */
export class Pager {
  /** The user wants no more. */
  quit = false;
  /** Shows all the rest at once: somebody is asked something, or the user said so. */
  private unlimited = false;
  private readonly terminal: PagerTerminal;
  private readonly write: (line: string) => void;
  private readonly waiting: string[] = [];
  private shown = 0;
  private search: RegExp | undefined;

  constructor(terminal: PagerTerminal, write: (line: string) => void) {
    this.terminal = terminal;
    this.write = write;
  }

  /** A line. */
  take(line: string): void {
    if (!this.quit) this.waiting.push(line);
  }

  /** Shows what waits, asking at the end of each screen. */
  async drain(): Promise<void> {
    while (this.waiting.length > 0 && !this.quit) {
      const line = this.waiting[0];
      if (this.search !== undefined) {
        if (!this.search.test(line)) {
          this.waiting.shift();
          continue;
        }
        this.search = undefined;
        this.shown = 0;
      }
      const height = this.heightOf(line);
      if (!this.unlimited && this.shown > 0 && this.shown + height > this.terminal.rows() - 1) {
        await this.wait();
        continue;
      }
      this.waiting.shift();
      this.shown += height;
      this.write(line);
    }
    if (this.quit) this.waiting.length = 0;
  }

  /** Shows what waits, and stops asking. */
  async release(): Promise<void> {
    this.unlimited = true;
    await this.drain();
  }

  /** The command is over: a search that found nothing says so. */
  async end(): Promise<void> {
    await this.drain();
    if (this.search !== undefined) this.write("(nothing more matches)");
  }

  private async wait(): Promise<void> {
    switch (await this.terminal.key(PROMPT)) {
      case "q":
      case "Q":
      case "\x03":
      case "\x04":
        this.quit = true;
        break;
      case "\r":
      case "\n":
      case "\x1b[B":
        this.shown--;
        break;
      case " ":
      case "f":
      case "\x1b[6~":
        this.shown = 0;
        break;
      case "G":
        this.unlimited = true;
        break;
      case "/": {
        const text = await this.terminal.ask("/");
        if (text !== undefined && text !== "") this.search = searchFor(text);
        break;
      }
    }
  }

  private heightOf(line: string): number {
    return Math.max(1, Math.ceil(line.replace(ESCAPES, "").length / this.terminal.columns()));
  }
}

/** A regular expression, or the text itself where it is none. */
function searchFor(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    return new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  }
}
