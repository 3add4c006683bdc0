// SPDX-License-Identifier: GPL-2.0-only
// Which part of a line is a command and which is TypeScript (repl/parse.ts, repl/scan.ts, repl/words.ts).

import { assert, assertEquals, assertRejects } from "@std/assert";
import { mistypedCommand, parse, type Statement } from "../../repl/parse.ts";
import { splitWords } from "../../repl/words.ts";
import { UsageError } from "../../repl/status.ts";

const COMMANDS = new Set(["boot", "run", "ps", "step", "free", ".history"]);

function isCommand(word: string): boolean {
  return COMMANDS.has(word);
}

/** Statements in short: `boot|--cpus 4` for a command, `ts|...` for TypeScript. */
function short({ kind, name, text }: Statement): string {
  return kind === "command" ? `${name}|${text}` : `ts|${text}`;
}

const SPLITS: readonly (readonly [string, readonly string[]])[] = [
  ["", []],
  ["  ;; \n # nothing\n", []],
  ["boot --cpus 4", ["boot|--cpus 4"]],
  ["boot; ps", ["boot|", "ps|"]],
  ["boot --name 'a;b'; ps", ["boot|--name 'a;b'", "ps|"]],
  ['boot "a\\";b" ; ps', ['boot|"a\\";b"', "ps|"]],
  ["ps # all; boot\nboot", ["ps|", "boot|"]],
  ["ps a#b", ["ps|a#b"]],
  [".history 3", [".history|3"]],
  ["let x = {a: 1}; x.a", ["ts|let x = {a: 1}; x.a"]],
  ["boot; let n = 3; ps; n + 1", ["boot|", "ts|let n = 3", "ps|", "ts|n + 1"]],
  ["let s = 'a; ps'; s", ["ts|let s = 'a; ps'; s"]],
  ["let s = `a; ${`;ps`}; ps`; ps", ["ts|let s = `a; ${`;ps`}; ps`", "ps|"]],
  ["s.split(/[;'\"]/); ps", ["ts|s.split(/[;'\"]/)", "ps|"]],
  ["a / 2; ps // 3", ["ts|a / 2", "ps|// 3"]],
  ["for (let i = 0; i < 3; i++) f(i)", ["ts|for (let i = 0; i < 3; i++) f(i)"]],
  ["if (a) { b; ps; }\nps", ["ts|if (a) { b; ps; }", "ps|"]],
  ["1 /* ; ps */; ps", ["ts|1 /* ; ps */", "ps|"]],
  ["1 // ; ps\nps", ["ts|1 // ; ps", "ps|"]],
  ["step(3)", ["ts|step(3)"]],
  ["run.x", ["ts|run.x"]],
  ["free = 1", ["ts|free = 1"]],
  ["free += 1", ["ts|free += 1"]],
  ["step => step + 1", ["ts|step => step + 1"]],
  ["step-1", ["ts|step-1"]],
  ["stepping", ["ts|stepping"]],
  ["f(\n  1,\n  2)\nps", ["ts|f(\n  1,\n  2)", "ps|"]],
];

for (const [text, expected] of SPLITS) {
  Deno.test(`parse() splits ${JSON.stringify(text)}`, () => {
    assertEquals(parse(text, isCommand).statements.map(short), [...expected]);
  });
}

Deno.test("parse() counts the lines of statements from 0", () => {
  const { statements } = parse("boot\n\nlet f = {\n}\nps; ps\n", isCommand);
  assertEquals(statements.map(({ line }) => line), [0, 2, 4, 4]);
});

for (
  const [text, what, line] of [["f(", "(", 0], ["ps\n{ [", "[", 1], ["`a\n${", "${", 1], ["1 /* x", "/*", 0]]
) {
  Deno.test(`parse() asks for more lines after ${JSON.stringify(text)}`, () => {
    assertEquals(parse(String(text), isCommand).open, { what: String(what), line: Number(line) });
  });
}

for (const text of ["boot 'a", 'x = "a', 'ps; boot --name "a; ps', "f('a\n')"]) {
  Deno.test(`parse() says that a quote is never closed in ${JSON.stringify(text)}`, () => {
    const { error, open } = parse(text, isCommand);
    assert(error !== undefined && open === undefined);
    assert(error.error.message.includes("never closed"), error.error.message);
  });
}

Deno.test("mistypedCommand() finds words that only a command can be", () => {
  const mistakes = [
    "slabinf",
    "bott --cpus 4",
    "bott 4",
    "stepp many times",
    ".hist",
    "slabinf; x",
    "foo 'a'",
  ];
  for (const text of mistakes) assert(mistypedCommand(text, () => false) !== undefined, text);
});

Deno.test("mistypedCommand() leaves TypeScript alone", () => {
  const code = [
    "x.y",
    "x + 1",
    "x = 1",
    "let x",
    "await f()",
    "x => x",
    "f(1)",
    "typeof x",
    "type A = 1",
    "x[0]",
    "42",
  ];
  for (
    const text of [
      ...code,
      "x in y",
      "x instanceof Y",
      "x as number",
      "'abc'",
      "async () => 1",
      "new A",
      "`a`",
    ]
  ) {
    assertEquals(mistypedCommand(text, () => false), undefined, text);
  }
  assertEquals(mistypedCommand("known", (word) => word === "known"), undefined);
});

const WORDS: readonly (readonly [string, readonly string[]])[] = [
  ["", []],
  ["--cpus 4  --mem=64M", ["--cpus", "4", "--mem=64M"]],
  ["'a b' \"c d\" e\\ f ''", ["a b", "c d", "e f", ""]],
  ["rcu:* *.ts [a]? a#b $HOME ${x}", ["rcu:*", "*.ts", "[a]?", "a#b", "$HOME", "${x}"]],
  ['"a#b" \'$x\' \\"', ["a#b", "$x", '"']],
];

for (const [text, expected] of WORDS) {
  Deno.test(`splitWords() splits ${JSON.stringify(text)}`, async () => {
    assertEquals(await splitWords("boot", text), [...expected]);
  });
}

for (const operator of ["|", ">", "&", "("]) {
  Deno.test(`splitWords() refuses ${operator} outside quotes`, async () => {
    await assertRejects(
      () => splitWords("ps", `a ${operator} b`),
      UsageError,
      `ps: "${operator}" means nothing here`,
    );
    assertEquals(await splitWords("ps", `'${operator}'`), [operator]);
  });
}
