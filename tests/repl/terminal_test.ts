// SPDX-License-Identifier: GPL-2.0-only
// The line editor over streams that stand in for a terminal (repl/terminal.ts): keys in, lines out.

import { assert, assertEquals } from "@std/assert";
import { PassThrough } from "node:stream";
import { CANCELLED } from "../../repl/lines.ts";
import { TerminalLines } from "../../repl/terminal.ts";

/** An editor, a keyboard, and everything that was drawn. */
class Desk {
  readonly input: PassThrough & { setRawMode?: (on: boolean) => void } = new PassThrough();
  drawn = "";
  readonly raw: boolean[] = [];
  readonly saved: string[][] = [];
  readonly lines: TerminalLines;

  constructor(history: readonly string[] = []) {
    const output = new PassThrough();
    output.on("data", (data: Uint8Array) => this.drawn += data.toString());
    this.input.setRawMode = (on) => this.raw.push(on);
    this.lines = new TerminalLines({
      input: this.input,
      output,
      complete: (line) => [["version", "verify"].filter((word) => word.startsWith(line)), line],
      history,
      saveHistory: (lines) => this.saved.push([...lines]),
    });
  }

  /** Types keys, each by itself, while one line is read. */
  async read(keys: string | readonly string[], prompt = "quiesce> ", forHistory = true): Promise<unknown> {
    const line = this.lines.next(prompt, forHistory);
    for (const key of [keys].flat()) {
      this.input.write(key);
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    return await line;
  }
}

Deno.test("TerminalLines.next() shows the prompt and gives the line", async () => {
  const desk = new Desk();
  assertEquals(await desk.read("version\r"), "version");
  assert(desk.drawn.includes("quiesce> "), desk.drawn);
  desk.lines.close();
});

Deno.test("TerminalLines.next() loses no line of a paste", async () => {
  const desk = new Desk();
  const pasted = Array.from({ length: 50 }, (_, i) => `line ${i}`);
  assertEquals(await desk.read(pasted.join("\r") + "\r"), "line 0");
  for (let i = 1; i < 50; i++) assertEquals(await desk.lines.next("> "), `line ${i}`);
  desk.lines.close();
});

Deno.test("TerminalLines.next() is in raw mode only while a line is edited", async () => {
  const desk = new Desk();
  desk.raw.length = 0;
  const line = desk.lines.next("> ");
  assertEquals(desk.raw.at(-1), true);
  desk.input.write("x\r");
  await line;
  assertEquals(desk.raw.at(-1), false);
  desk.lines.close();
  assertEquals(desk.raw.at(-1), false);
});

Deno.test("TerminalLines completes with Tab and recalls with the up key", async () => {
  const desk = new Desk(["newest", "oldest"]);
  assertEquals(await desk.read(["vers", "\t", "\r"]), "version");
  assertEquals(await desk.read(["\x1b[A", "\x1b[A", "\r"]), "newest");
  assertEquals(desk.saved.at(-1), ["newest", "version", "oldest"]);
  desk.lines.close();
});

Deno.test("TerminalLines keeps answers out of the history", async () => {
  const desk = new Desk();
  await desk.read("kept\r");
  assertEquals(await desk.read("secret\r", "? ", false), "secret");
  assertEquals(await desk.read("\x1b[A\r"), "kept");
  desk.lines.close();
});

Deno.test("TerminalLines.next() drops a half-typed line on ^C and gives the next one whole", async () => {
  const desk = new Desk();
  assertEquals(await desk.read("half a line\x03"), CANCELLED);
  assertEquals(await desk.read("whole\r"), "whole");
  desk.lines.close();
});

Deno.test("TerminalLines.next() ends at ^D, and stays ended", async () => {
  const desk = new Desk();
  assertEquals(await desk.read("\x04"), undefined);
  assertEquals(await desk.lines.next("> "), undefined);
  desk.lines.close();
});

Deno.test("TerminalLines.next() ends only the answer at ^D behind a question", async () => {
  const desk = new Desk();
  await desk.read("kept\r");
  assertEquals(await desk.read("\x04", "? ", false), undefined);
  assertEquals(await desk.read("version\r"), "version");
  assertEquals(await desk.read(["\x1b[A", "\x1b[A", "\r"]), "kept");
  assertEquals(await desk.read("\x04"), undefined);
  assertEquals(await desk.lines.next("> "), undefined);
  desk.lines.close();
});

Deno.test("TerminalLines.next() stays ended when the keyboard is gone, also behind a question", async () => {
  const desk = new Desk();
  const answer = desk.lines.next("? ", false);
  desk.input.end();
  assertEquals(await answer, undefined);
  assertEquals(await desk.lines.next("> "), undefined);
  desk.lines.close();
});

Deno.test("TerminalLines.key() gives one key at a time, and what is typed ahead to the next line", async () => {
  const desk = new Desk();
  await desk.read("version\r");
  for (const [typed, key] of [["q", "q"], ["\x1b[B", "\x1b[B"], [" ", " "]]) {
    const pressed = desk.lines.key();
    desk.input.write(typed);
    assertEquals(await pressed, key);
    assertEquals(desk.raw.at(-1), false);
  }
  const pressed = desk.lines.key();
  desk.input.write("/word\r");
  assertEquals(await pressed, "/");
  assertEquals(await desk.lines.next("/", false), "word");
  assertEquals(await desk.read(["\x1b[A", "\r"]), "version");
  desk.lines.close();
});
