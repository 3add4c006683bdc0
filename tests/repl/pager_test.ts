// SPDX-License-Identifier: GPL-2.0-only
// A screen at a time (repl/pager.ts): keys in, lines out.

import { assertEquals } from "@std/assert";
import type { Command, Lines } from "../../repl/command.ts";
import type { PagerTerminal } from "../../repl/pager.ts";
import { TestShell } from "./harness.ts";

/** `count N` yields N lines. */
const many: Command = {
  name: "many",
  group: "test",
  summary: "for the test",
  kind: "look",
  args: [{ name: "n", type: "int", summary: "lines", required: true }],
  examples: [],
  *run(_session, args): Lines {
    for (let i = 1; i <= args.int("n"); i++) yield `line ${i}`;
  },
};

const asks: Command = {
  ...many,
  name: "asks",
  args: [],
  async *run({ host }): Lines {
    for (let i = 1; i <= 12; i++) yield `line ${i}`;
    yield `answer ${await host.ask("? ")}`;
    for (let i = 1; i <= 12; i++) yield `again ${i}`;
  },
};

/** A terminal of 5 rows and 20 columns whose user presses these keys; `seen` is what was on it at each. */
class Keys implements PagerTerminal {
  readonly seen: string[] = [];
  shell: TestShell | undefined;
  private readonly keys: string[];

  constructor(keys: readonly string[]) {
    this.keys = [...keys];
  }

  rows(): number {
    return 5;
  }

  columns(): number {
    return 20;
  }

  key(): Promise<string> {
    this.seen.push(this.shell?.out.trimEnd().split("\n").at(-1) ?? "");
    return Promise.resolve(this.keys.shift() ?? "q");
  }

  ask(): Promise<string | undefined> {
    return Promise.resolve(this.keys.shift());
  }
}

async function paged(line: string, keys: readonly string[], paging = true): Promise<[string[], string[]]> {
  const terminal = new Keys(keys);
  const shell = new TestShell([many, asks], { terminal: true, pager: terminal, paging, answers: "yes\n" });
  terminal.shell = shell;
  const { out } = await shell.run(line);
  return [out.trimEnd().split("\n").filter((it) => it !== ""), terminal.seen];
}

function lines(from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, i) => `line ${from + i}`);
}

Deno.test("Pager never asks about what fits on the screen", async () => {
  assertEquals(await paged("many 4", []), [lines(1, 4), []]);
});

Deno.test("Pager asks at the end of each screen: space goes a screen on, Enter a line, q ends it", async () => {
  assertEquals(await paged("many 20", [" ", "\r", "q"]), [lines(1, 9), ["line 4", "line 8", "line 9"]]);
});

Deno.test("Pager: /TEXT goes on to a line that matches, G shows all the rest, ^C ends it, other keys do nothing", async () => {
  assertEquals(await paged("many 40", ["/", "3[0-9]", "q"]), [
    [...lines(1, 4), ...lines(30, 33)],
    ["line 4", "line 33"],
  ]);
  assertEquals((await paged("many 40", ["/", "nowhere"]))[0].at(-1), "(nothing more matches)");
  assertEquals((await paged("many 40", ["/", "["]))[0].at(-1), "(nothing more matches)");
  assertEquals(await paged("many 40", ["G"]), [lines(1, 40), ["line 4"]]);
  assertEquals((await paged("many 40", ["x", "\x03"]))[1], ["line 4", "line 4"]);
});

Deno.test("Pager counts lines that the terminal breaks", async () => {
  const wide: Command = {
    ...many,
    name: "wide",
    args: [],
    *run(): Lines {
      yield "x".repeat(55);
      yield "a";
      yield "b";
    },
  };
  const terminal = new Keys([" "]);
  const shell = new TestShell([wide], { terminal: true, pager: terminal, paging: true });
  terminal.shell = shell;
  await shell.run("wide");
  assertEquals(terminal.seen, ["a"]);
});

Deno.test("Pager: less asks where the pager is off, files and filters are not paged, .pager turns it off", async () => {
  assertEquals((await paged("many 20", [], false))[1], []);
  assertEquals((await paged("many 20 | less", ["q"], false))[1], ["line 4"]);
  assertEquals((await paged("many 20 > f", []))[1], []);
  assertEquals((await paged("many 20 | grep 1 | head 3", []))[1], []);
  assertEquals((await paged(".pager off; many 20; .pager", []))[0].at(-1), "off");
  assertEquals((await paged(".pager", []))[0], ["on"]);
});

Deno.test("Pager steps aside for a question", async () => {
  const [out, seen] = await paged("asks", [" ", " "]);
  assertEquals([out.length, seen.length, out[12]], [25, 2, "answer yes"]);
});
