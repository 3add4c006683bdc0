// SPDX-License-Identifier: GPL-2.0-only
// Tests of repl/commands/bugs.ts.

import { assertEquals, assertMatch } from "@std/assert";
import { BUGS } from "../../examples/bugs/catalogue.ts";
import { kernelRan } from "./kernel_shell.ts";

Deno.test("bugs list names every bug, and bugs alone does the same", async () => {
  const { out, status } = await kernelRan("bugs list");
  assertEquals(status, 0);
  for (const { id, title } of BUGS) {
    assertMatch(out, new RegExp(`^${id}\\s+${title.replaceAll("(", "\\(").replaceAll(")", "\\)")}$`, "m"));
  }
  assertEquals((await kernelRan("bugs")).out, out);
});

Deno.test("bugs show tells the history, the program, the schedule and why", async () => {
  const { out, status } = await kernelRan("bugs show b9");
  assertEquals(status, 0);
  assertMatch(out, /5da7cb193db3/);
  assertMatch(out, /examples\/bugs\/kvfree_early\.ts/);
  assertMatch(out, /the CPU of reader\/1 loses 65\.5 ms at its 4th rcu_dereference\(\)/);
});

Deno.test("bugs run B9 ends in the KASAN report of a reader, the timeline and why, status 1, the same twice", async () => {
  const [first, second] = [await kernelRan("bugs run B9"), await kernelRan("bugs run B9")];
  assertEquals([first.status, first.err], [1, ""]);
  assertEquals(first, second);
  const at = [
    "BUG: KASAN: use-after-free in lookup",
    "quiesce> timeline",
    "kfree_bulk() of 1 pointer",
    BUGS[1].why[0].slice(0, 40),
  ]
    .map((text) => first.out.indexOf(text));
  assertEquals(at.every((where, i) => where > (at[i - 1] ?? -1)), true, `${at}`);
});

Deno.test("bugs run B8 shows five pointers that nobody will come for, status 1", async () => {
  const { out, status } = await kernelRan("bugs run B8");
  assertEquals(status, 1);
  assertMatch(out, /^CPU 0: count 0, monitor_todo 0, no timer$/m);
  assertMatch(out, /^\s+slab: 5 pointers in 1 block$/m);
  assertMatch(out, /seven seconds later/);
});

Deno.test("bugs answers a bug that it does not know in one line", async () => {
  for (
    const [line, message] of [
      ["bugs run B99", /^bugs: no bug "B99".*\(B8, B9 are known\)\n$/],
      ["bugs show", /^bugs: which one\? B8, B9 are known\n$/],
      ["bugs walk B9", /must be list, show or run\n$/],
    ] as const
  ) {
    const { status, err } = await kernelRan(line);
    assertEquals(status, 2, line);
    assertMatch(err, message);
  }
});
