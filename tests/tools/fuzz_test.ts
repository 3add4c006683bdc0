// SPDX-License-Identifier: GPL-2.0-only
// The first 500 lines of `deno task fuzz`, and what it has found so far.

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { EPISODE, fuzzEpisode, shortest } from "../../tools/fuzz.ts";
import { Dice } from "../../tools/fuzz_lines.ts";
import { KernelShell } from "../repl/kernel_shell.ts";

Deno.test("fuzz: 500 lines of nonsense find nothing [seed=1]", async () => {
  for (let episode = 0; episode * EPISODE < 500; episode++) {
    assertEquals(await fuzzEpisode(1, episode), undefined);
  }
});

Deno.test("Dice gives the same for a seed, and other things for another", () => {
  const draw = (seed: number): number[] => {
    const dice = new Dice(seed);
    return Array.from({ length: 20 }, () => dice.below(1000));
  };
  assertEquals(draw(7), draw(7));
  assertNotEquals(draw(7), draw(8));
  assert(draw(7).every((n) => n >= 0 && n < 1000 && Number.isInteger(n)));
});

Deno.test("shortest() leaves lines that do nothing wrong alone", async () => {
  assertEquals((await shortest(["version", "help"])).length, 2);
});

/** What fuzzing found: the line, and the first words of the answer. */
const FOUND: readonly (readonly [string, string])[] = [
  ['new Proxy({}, { get() { throw new Error("trap") } })', "the value cannot be shown: Error: trap"],
  ["new Proxy({}, { getPrototypeOf() { throw 2 } })", "the value cannot be shown: thrown value: 2"],
  ["throw Object.create(null)", "thrown value: one that cannot be shown"],
  ["throw Object.assign(new Error('x'), { message: 5, name: null, stack: 7 })", "null: 5"],
  [
    "throw new Proxy(new Error('x'), { get() { throw 1 }, getPrototypeOf() { throw 2 } })",
    "thrown value: one that cannot be shown",
  ],
  ["await import('nosuch')", 'TypeError: Import "nosuch" not a dependency\n'],
];

for (const [line, answer] of FOUND) {
  Deno.test(`found by fuzzing: ${line}`, async () => {
    const { status, out, err } = await new KernelShell().run(line);
    assertEquals([status, out], [1, ""]);
    assert(err.startsWith(answer) && err.trimEnd().split("\n").length === 1, err);
  });
}

Deno.test("found by fuzzing: print() shows errors without their host stack", async () => {
  const { out } = await new KernelShell().run("print(new Error('mine'))");
  assertEquals(out, "Error: mine\n");
  const more = await new KernelShell().run("Object.assign(new Error('mine'), { status: 2 })");
  assertEquals(more.out, "Error: mine {\n  status: 2\n}\n");
});
