// SPDX-License-Identifier: GPL-2.0-only
// Where the shell's lines come from when nobody types them: a pipe, or a text at hand.
//
// Ours. Invariant: a line is handed out when it is asked for and not before, none is lost or cut, whatever the
// size of the pieces that the pipe delivers; a last line without newline counts; CRLF ends a line like LF.
// The editor for a terminal is terminal.ts, which is loaded only there: a pipe starts 25 ms sooner without it.

/** What a line source gives in place of a line when the user gave the line up (^C). */
export const CANCELLED: unique symbol = Symbol("cancelled");

/** A source of lines. */
export interface LineSource {
  /** The next line without its newline; undefined at the end. Answers to questions are not for the history. */
  next(prompt: string, forHistory?: boolean): Promise<string | typeof CANCELLED | undefined>;
  /** Gives the input back. */
  close(): void;
}

/** Lines of a stream of text or bytes. */
export class PipeLines implements LineSource {
  private readonly pieces: AsyncIterator<string | Uint8Array>;
  private readonly decoder = new TextDecoder();
  private readonly ready: string[] = [];
  private rest = "";
  private ended = false;

  constructor(input: AsyncIterable<string | Uint8Array>) {
    this.pieces = input[Symbol.asyncIterator]();
  }

  /** The next line. The prompt is not shown. */
  async next(_prompt: string): Promise<string | undefined> {
    while (this.ready.length === 0 && !this.ended) {
      const { value, done } = await this.pieces.next();
      if (done === true) this.finish();
      else this.add(typeof value === "string" ? value : this.decoder.decode(value, { stream: true }));
    }
    return this.ready.pop();
  }

  /** Stops reading. */
  close(): void {
    this.ended = true;
    this.ready.length = 0;
  }

  private add(piece: string): void {
    const lines = (this.rest + piece).split("\n");
    this.rest = lines.pop() ?? "";
    for (const line of lines.reverse()) this.ready.push(line.replace(/\r$/, "")); // popped from the end
  }

  private finish(): void {
    this.ended = true;
    this.rest += this.decoder.decode();
    if (this.rest !== "") this.ready.push(this.rest.replace(/\r$/, ""));
    this.rest = "";
  }
}
