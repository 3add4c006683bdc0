// SPDX-License-Identifier: GPL-2.0-only
// From words to checked values (repl/arguments.ts, repl/values.ts), and the adapters under repl/cliffy.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Command as Cliffy } from "@cliffy/command";
import { Table } from "@cliffy/table";
import { Arguments, asksForHelp, parseArguments } from "../../repl/arguments.ts";
import type { Command, Lines } from "../../repl/command.ts";
import { UsageError } from "../../repl/status.ts";
import { formatSize, parseInteger, parseSize } from "../../repl/values.ts";

const BOOT: Command = {
  name: "boot",
  group: "machine",
  summary: "boot",
  kind: "configure",
  options: [
    { name: "cpus", short: "c", type: "int", min: 1, max: 4096, default: "4", summary: "CPUs" },
    { name: "mem", type: "size", min: 8 * 1024 ** 2, max: 4 * 1024 ** 3, summary: "memory" },
    { name: "rcu", type: "enum", choices: ["tree", "tiny"], summary: "flavour" },
    {
      name: "fail-page",
      type: "enum",
      choices: ["kmalloc", "page", "wrapper"],
      repeatable: true,
      summary: "what",
    },
    { name: "quiet", short: "q", type: "flag", summary: "say less" },
  ],
  args: [{ name: "name", summary: "a name" }, { name: "more", type: "int", rest: true, summary: "numbers" }],
  examples: [],
  *run(): Lines {},
};

const BARE: Command = {
  name: "ps",
  group: "tasks",
  summary: "s",
  kind: "look",
  examples: [],
  *run(): Lines {},
};

async function parsed(text: string, command: Command = BOOT): Promise<Arguments> {
  return await parseArguments(command, text === "" ? [] : text.split(" "), text);
}

Deno.test("parseArguments() gives defaults when nothing is given", async () => {
  const args = await parsed("");
  assertEquals([args.int("cpus"), args.has("mem"), args.flag("quiet"), args.list("fail-page")], [
    4,
    false,
    false,
    [],
  ]);
});

for (const text of ["--cpus 8 --quiet", "--cpus=8 -q", "-c 8 -q", "-c8 -q", "--cpus 0x8 --quiet"]) {
  Deno.test(`parseArguments() understands ${text}`, async () => {
    const args = await parsed(text);
    assertEquals([args.int("cpus"), args.flag("quiet")], [8, true]);
  });
}

Deno.test("parseArguments() checks sizes, lists and the words that are left", async () => {
  const args = await parsed(
    "--mem 64M --rcu tiny --fail-page page,wrapper --fail-page kmalloc first 1 2 -- 3",
  );
  assertEquals(args.int("mem"), 67108864);
  assertEquals(args.text("rcu"), "tiny");
  assertEquals(args.list("fail-page"), ["page", "wrapper", "kmalloc"]);
  assertEquals([args.text("name"), args.ints("more")], ["first", [1, 2, 3]]);
});

Deno.test("parseArguments() forgets the options of the line before", async () => {
  assertEquals((await parsed("--quiet --cpus 2")).flag("quiet"), true);
  const args = await parsed("x");
  assertEquals([args.flag("quiet"), args.int("cpus")], [false, 4]);
});

const MISTAKES: readonly (readonly [string, string])[] = [
  ["--cpu 4", "boot: unknown option --cpu. Did you mean --cpus? (help boot)"],
  ["--zzzzzz", "boot: unknown option --zzzzzz (help boot)"],
  ["--cpus", 'boot: Missing value for option "--cpus" (help boot)'],
  ["--cpus 1 --cpus 2", 'boot: Option "--cpus" can only occur once, but was found several times (help boot)'],
  ["--quiet=3", 'boot: Option "--quiet" doesn\'t take a value, but got "3" (help boot)'],
  ["--cpus 0", 'boot: --cpus "0": must be a whole number from 1 to 4096'],
  ["--cpus 1.5", 'boot: --cpus "1.5": must be a whole number from 1 to 4096'],
  ["--mem 1K", 'boot: --mem "1K": must be a size such as 64M, from 8M to 4G'],
  ["--rcu tin", 'boot: --rcu "tin": must be tree or tiny. Did you mean tiny?'],
  [
    "--fail-page page,wrap",
    'boot: --fail-page "wrap": must be kmalloc, page or wrapper. Did you mean wrapper?',
  ],
  ["a b", 'boot: more "b": must be a whole number'],
];

for (const [text, message] of MISTAKES) {
  Deno.test(`parseArguments() answers "boot ${text}" in one line`, async () => {
    const error = await assertRejects(() => parsed(text), UsageError);
    assertEquals(error.message, message);
  });
}

Deno.test("parseArguments() refuses words that a command does not take, and asks for those that it needs", async () => {
  const noted = await assertRejects(() => parsed("x", BARE), UsageError);
  assertEquals(noted.message, 'ps: No arguments allowed for command "ps" (help ps)');
  const args = [{ name: "addr", summary: "address", required: true }];
  const missing = await assertRejects(() => parsed("", { ...BARE, args }), UsageError);
  assertEquals(missing.message, "ps: Missing argument(s): addr (help ps)");
  const surplus = await assertRejects(() => parsed("1 2 3", { ...BARE, args }), UsageError);
  assertEquals(surplus.message, "ps: Too many arguments: 2 3 (help ps)");
});

Deno.test("Arguments refuses a name that was not declared and a value of another type", async () => {
  const args = await parsed("--cpus 2");
  assertThrows(() => args.int("cpu"), TypeError, 'declares no option or argument "cpu"');
  assertThrows(() => args.text("cpus"), TypeError);
  assertThrows(() => args.int("mem"), TypeError);
});

Deno.test("parseArguments() hands a raw command its text untouched", async () => {
  const args = await parseArguments({ ...BARE, raw: true }, [], "k.jiffies > 'a'");
  assertEquals(args.raw, "k.jiffies > 'a'");
});

Deno.test("asksForHelp() sees --help and -h before --", () => {
  assert(asksForHelp(["x", "--help"]) && asksForHelp(["-h"]));
  assert(!asksForHelp(["--", "--help"]) && !asksForHelp(["help"]));
});

Deno.test("parseSize() and formatSize() use powers of 1024", () => {
  assertEquals(["0", "4096", "64M", "1g", "4KiB", "2kB"].map(parseSize), [
    0,
    4096,
    2 ** 26,
    2 ** 30,
    4096,
    2048,
  ]);
  assertEquals([0, 1, 4096, 2 ** 26, 2 ** 32, 1025].map(formatSize), ["0", "1", "4K", "64M", "4G", "1025"]);
  for (const text of ["", "M", "1.5M", "-1", "64Q", "1e3", "99999999T"]) {
    assert(Number.isNaN(parseSize(text)), text);
  }
  for (const text of ["", "0x", "1e3", "1.0", "12a", "99999999999999999999"]) {
    assert(Number.isNaN(parseInteger(text)), text);
  }
});

Deno.test("Command.parse() sorts words as cliffy documents, with sub-commands and actions", async () => {
  const seen: unknown[] = [];
  const sub = new Cliffy();
  sub.arguments("<file:string> [...rest:string]").option("-n, --dry-run", "only say")
    .option("--level <v:string>", "level", { default: "7/7" })
    .action((options, ...args) => seen.push([options, args]));
  const top = new Cliffy();
  top.name("tool").description("d").throwErrors().noExit().helpOption(false);
  top.command("make", sub);
  const found: { options: unknown; args: unknown; literal: string[]; cmd: { getName(): string } } = await top
    .parse(
      ["make", "-n", "a", "b", "--", "-c"],
    );
  const { options, args, literal, cmd } = found;
  assertEquals(options, { dryRun: true, level: "7/7" });
  assertEquals([args, literal, cmd.getName()], [["a", "b"], ["-c"], "make"]);
  assertEquals(seen, [[options, args]]);
  await assertRejects(() => top.parse(["mak"]), Error, "mak");
});

Deno.test("Table.toString() aligns columns without border, colour or terminal", () => {
  const table = new Table().header(["cache", "objs"]).body([["kmalloc-64", 42], ["日本", 7]]).padding(2)
    .indent(1);
  table.columns([{}, { align: "right" }]);
  assertEquals(table.toString().split("\n"), [" cache       objs", " kmalloc-64    42", " 日本           7"]);
});
