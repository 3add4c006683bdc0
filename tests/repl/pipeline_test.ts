// SPDX-License-Identifier: GPL-2.0-only
// Filters behind `|`, files behind `>`, and NDJSON (repl/pipeline.ts, repl/filters.ts, repl/output.ts).

import { assert, assertEquals } from "@std/assert";
import { type Command, heading, type Lines, row } from "../../repl/command.ts";
import { FILTERS } from "../../repl/filters.ts";
import { splitPipeline, withoutFlag } from "../../repl/pipeline.ts";
import { ran, TestShell } from "./harness.ts";

const base = { group: "test", summary: "for the test", kind: "look", examples: [] } as const;

/** `say WORD...` yields each word. */
const say: Command = {
  ...base,
  name: "say",
  args: [{ name: "words", summary: "what", rest: true }],
  *run(_session, args): Lines {
    yield* args.list("words");
  },
};

/** A head, two rows, one of them of two lines, and a line. Status 1. */
const data: Command = {
  ...base,
  name: "data",
  ts: 'print("data")',
  *run(): Lines {
    yield heading("NAME  N");
    yield row("item", { name: "a", n: 1 }, "a     1");
    yield row("item", { name: "b", n: 2, more: undefined }, "b     2", "      more");
    yield "the end";
    return 1;
  },
};

/** Yields numbers for ever, and counts them. */
let yielded = 0;
const forever: Command = {
  ...base,
  name: "forever",
  *run(): Lines {
    for (yielded = 0;; yielded++) yield `line ${yielded}`;
  },
};

const ask: Command = {
  ...base,
  name: "inside",
  async *run({ host }): Lines {
    yield "before";
    await host.execute("data; say after | count");
    host.out("from a callback");
  },
};

const COMMANDS = [say, data, forever, ask];

const PIPES: readonly (readonly [string, string])[] = [
  ["say one two three | head 2", "one\ntwo\n"],
  ["say one two three|head -n 2", "one\ntwo\n"],
  ["say one two three | head 0", ""],
  ["say one two three | tail 2", "two\nthree\n"],
  ["say one two three | tail -n 1 | count", "1\n"],
  ["say one two three | grep t | count", "2\n"],
  ["say one two three | grep -v t", "one\n"],
  ["say one two three | grep '^t.o$'", "two\n"],
  ["say One oNe two | grep -i one | wc", "2\n"],
  ["say a.b axb | grep -F a.b", "a.b\n"],
  ["say a b ab | grep -c a", "2\n"],
  ["say 'a|b' | grep 'a|c'", "a|b\n"],
  ['say "a > b" | grep "a|c"', "a > b\n"],
  ["say b a c | sort", "a\nb\nc\n"],
  ["say 10 9 100 | sort", "10\n100\n9\n"],
  ["say 10 9 100 | sort -n", "9\n10\n100\n"],
  ["say 10 9 100 | sort -n -r | head 1", "100\n"],
  ["say b a b a | sort -u", "a\nb\n"],
  ["say 'x 3' 'y 1' 'z 2' | sort -k 2", "y 1\nz 2\nx 3\n"],
  ["say a a b a | uniq", "a\nb\na\n"],
  ["say a a b | uniq -c", "      2 a\n      1 b\n"],
  ["say a b | less", "a\nb\n"],
  ["say | count", "0\n"],
  ["say a ; say b | count # a comment with | and >", "a\n1\n"],
];

for (const [line, out] of PIPES) {
  Deno.test(`"${line}" shows what a shell's filters would`, async () => {
    assertEquals(await ran(line, COMMANDS), { status: 0, out, err: "" });
  });
}

const MISTAKES: readonly (readonly [string, string])[] = [
  ["say a | gerp a", 'unknown filter "gerp". Did you mean grep? (behind | stand grep, head, tail, count,'],
  ["say a |", "say: a filter is missing behind | (help filters)"],
  ["say a | | count", "say: a filter is missing behind | (help filters)"],
  ["say a || count", 'say: "||" means nothing here'],
  ["say a >", "say: a file is missing behind >"],
  ["say a > f | count", 'say: "|" after "> FILE": the file comes last, and only one'],
  ["say a > f > g", 'say: ">" after "> FILE"'],
  ["say a > f g", 'say: one file behind >, not "f g"; quotes hold a name with blanks together'],
  ["say a > ''", "say: one file behind >, not \"''\""],
  ["say a & b", 'say: "&" means nothing here'],
  ["say a < b", 'say: "<" means nothing here'],
  ["say a | grep", "grep: Missing argument(s): pattern (help grep)"],
  ["say a | grep '['", 'grep: "[" is no pattern: Unterminated character class (--fixed takes it as text)'],
  ["say a | head x", 'head: n "x": must be a whole number of at least 0'],
  ["say a | head -n 1 2", "head: one number, not two"],
  ["say a | sort --revers", "sort: unknown option --revers. Did you mean --reverse? (help sort)"],
  ["say a > /forbidden/f", 'cannot write "/forbidden/f"'],
];

for (const [line, message] of MISTAKES) {
  Deno.test(`"${line}" is a mistake that is found before the command has run`, async () => {
    const shell = new TestShell(COMMANDS);
    const { status, out, err } = await shell.run(line);
    assertEquals([status, out, shell.files], [2, "", {}]);
    assert(err.startsWith(message), err);
    assertEquals(err.trimEnd().split("\n").length, 1);
  });
}

Deno.test("> writes a file anew, >> goes on with it, and standard output stays empty", async () => {
  const shell = new TestShell(COMMANDS);
  assertEquals((await shell.run("say a b > out.txt; say c >> out.txt; say x > 'two words'")).out, "");
  assertEquals(shell.files, { "out.txt": "a\nb\nc\n", "two words": "x\n" });
  await shell.run("say b a | sort > out.txt; data --json >> out.txt");
  assertEquals(shell.files["out.txt"].split("\n").slice(0, 3), [
    "a",
    "b",
    '{"type":"item","name":"a","n":1}',
  ]);
});

Deno.test("a line with filters has its command's status", async () => {
  assertEquals((await ran("data | grep nothing", COMMANDS)).status, 1);
  assertEquals(await ran("data | head 1", COMMANDS), { status: 1, out: "NAME  N\n", err: "" });
  assertEquals((await ran("data > f", COMMANDS)).status, 1);
});

Deno.test("head ends a command that only looks and goes on for ever", async () => {
  assertEquals((await ran("forever | head 2", COMMANDS)).out, "line 0\nline 1\n");
  assert(yielded < 10_000, `${yielded}`);
});

Deno.test("what a command carries out, and what it writes in callbacks, goes through its filters", async () => {
  const shell = new TestShell(COMMANDS);
  const { out } = await shell.run("inside | grep -v more");
  assertEquals(out, "before\nNAME  N\na     1\nb     2\nthe end\n1\nfrom a callback\n");
  await shell.run("inside > f");
  assertEquals(shell.files.f.split("\n").length, 9);
});

Deno.test("--json gives an object a line: rows with their type, lines as lines, no heads", async () => {
  const expected = '{"type":"item","name":"a","n":1}\n{"type":"item","name":"b","n":2}\n' +
    '{"type":"line","line":"the end"}\n';
  assertEquals(await ran("data --json", COMMANDS), { status: 1, out: expected, err: "" });
  assertEquals((await ran(".mode json; data; .mode table; data", COMMANDS)).out.startsWith(expected), true);
  assertEquals((await new TestShell(COMMANDS, { mode: "json" }).run("data")).out, expected);
  assertEquals((await ran("data --json | grep b | count", COMMANDS)).out, '{"type":"count","count":1}\n');
  assertEquals((await ran("data --json; .mode", COMMANDS)).out.endsWith("table\n"), true);
  assertEquals((await ran("say -- --json", COMMANDS)).out, "--json\n");
});

Deno.test("in JSON every line of output is an object that begins with its type", async () => {
  const text =
    'help; help exit | head 1; version; .history\n1 + 1\n"text"\n[1, 2]\nundefined\nprint("x", 1)\n' +
    "say a; data; say a a | uniq -c; .mode; .pager; apropos exit\nnull\n1 / 0";
  const { out } = await new TestShell(COMMANDS, { mode: "json" }).run(text);
  for (const line of out.trimEnd().split("\n")) {
    assertEquals(Object.keys(JSON.parse(line))[0], "type", line);
  }
  assert(
    out.includes(
      '{"type":"value","value":2}\n{"type":"value","value":"text"}\n{"type":"value","text":"[ 1, 2 ]"}',
    ),
  );
  assert(
    out.endsWith('{"type":"value","value":null}\n{"type":"value","text":"Infinity"}\n'),
    out.slice(-200),
  );
});

Deno.test("--ts shows the TypeScript behind a command and does not carry it out", async () => {
  assertEquals(await ran("data --ts", COMMANDS), { status: 0, out: 'print("data")\n', err: "" });
  assertEquals(
    (await ran("say a --ts", COMMANDS)).err,
    "say --ts: no TypeScript stands for this: it has no short form\n",
  );
  assertEquals((await ran("exit --ts", COMMANDS)).status, 2);
});

Deno.test("splitPipeline() keeps what is in quotes together", () => {
  const { text, filters, target } = splitPipeline("x", `a "b|c" 'd>e' \\| f | grep "x | y" >> 'my file'`);
  assertEquals([text, filters, target], [
    `a "b|c" 'd>e' \\| f`,
    [{ name: "grep", text: '"x | y"' }],
    { path: "'my file'", append: true },
  ]);
});

Deno.test("withoutFlag() takes a flag out, but no word in quotes or behind --", () => {
  assertEquals(withoutFlag("a --json b", "--json"), "a  b");
  for (const text of ["a 'x --json y'", "-- --json", "a --jsonx", '"--json" b']) {
    assertEquals(withoutFlag(text, "--json"), undefined, text);
  }
});

for (const filter of FILTERS) {
  Deno.test(`help ${filter.name} explains the filter in 80 columns, and its examples end it`, async () => {
    const { status, out } = await ran(`help ${filter.name}`);
    assertEquals(status, 0);
    assert(out.includes(filter.summary) && out.split("\n").every((line) => line.length <= 80), out);
    assert(out.trimEnd().endsWith(filter.examples.at(-1)?.shows ?? "?"), out);
  });
}
