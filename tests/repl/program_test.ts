// SPDX-License-Identifier: GPL-2.0-only
// The program's own flags (repl/program.ts). What it does with streams was tried by hand, and by the transcripts.

import { assert, assertEquals } from "@std/assert";
import { parseFlags } from "../../repl/program.ts";
import { VERSION } from "../../repl/commands/shell.ts";

const none = { json: false, bail: false, noPager: false, noSuspend: false };

Deno.test("parseFlags() understands -e, a script, and the switches", async () => {
  assertEquals(await parseFlags([]), none);
  assertEquals(await parseFlags(["-e", "boot; ps", "--eval=leaks"]), {
    ...none,
    eval: ["boot; ps", "leaks"],
  });
  assertEquals(await parseFlags(["a.quiesce", "--json", "--bail"]), {
    ...none,
    json: true,
    bail: true,
    script: "a.quiesce",
  });
  assertEquals(await parseFlags(["--startup", "mine.quiesce", "--no-pager"]), {
    ...none,
    noPager: true,
    startup: "mine.quiesce",
  });
  assertEquals(await parseFlags(["--no-suspend"]), { ...none, noSuspend: true });
});

Deno.test("parseFlags() answers --version and --help", async () => {
  assertEquals(await parseFlags(["--version"]), { ...none, answer: `quiesce ${VERSION}` });
  const help = await parseFlags(["--help"]);
  assert(typeof help !== "string" && help.answer !== undefined);
  for (
    const flag of [
      "--eval",
      "--startup",
      "--json",
      "--bail",
      "--no-pager",
      "--no-suspend",
      "--version",
      "--help",
      "SCRIPT",
    ]
  ) {
    assert(help.answer.includes(flag), flag);
  }
});

const MISTAKES: readonly (readonly [readonly string[], string])[] = [
  [["--versoin"], "Unknown option '--versoin'. Did you mean --version?"],
  [["--zzzzzzz"], "Unknown option '--zzzzzzz'"],
  [["-e"], "Option '-e, --eval <value>' argument missing"],
  [["-e", "ps", "a.quiesce"], "either -e or a script, not both"],
  [["a.quiesce", "b"], 'one script at a time, not also "b"'],
];

for (const [args, message] of MISTAKES) {
  Deno.test(`parseFlags() answers ${JSON.stringify(args)} in one line`, async () => {
    assertEquals(await parseFlags(args), message);
  });
}
