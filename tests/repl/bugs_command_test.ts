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
    BUGS.find(({ id }) => id === "B9")?.why[0].slice(0, 40) ?? "no B9",
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

Deno.test("bugs run B9 --level: the report at v6.1, status 0 at v6.1.192, one line for a level that is none", async () => {
  const [shown, gone, unknown] = [
    await kernelRan("bugs run B9 --level v6.1"),
    await kernelRan("bugs run B9 --level v6.1.192"),
    await kernelRan("bugs run B9 --level v6.2"),
  ];
  assertEquals([shown.status, gone.status, unknown.status], [1, 0, 2]);
  assertMatch(shown.out, /BUG: KASAN: use-after-free in lookup/);
  assertMatch(gone.out, /^B9 does not show at v6\.1\.192: base to v6\.1, v6\.3-rc1 have it$/m);
});

Deno.test("bugs run B23 fails by what `leaks` finds: no report says it", async () => {
  const { out, status } = await kernelRan("bugs run B23");
  assertEquals(status, 1);
  assertMatch(out, /, 0 reports$/m);
  assertMatch(out, /^quiesce> leaks\nunreferenced object .* \(size 4096\):$/m);
});

Deno.test("bugs run B11: what boot was told is in the token, and krc shows what is left", async () => {
  const { out, status } = await kernelRan("bugs run B11");
  assertEquals(status, 1);
  assertMatch(out, /^\s+slab: 5 pointers in 1 block$/m);
});

Deno.test("bugs show tells about one that cannot be run, and bugs run says so in one line", async () => {
  const { out, status } = await kernelRan("bugs show B1");
  assertEquals(status, 0);
  assertMatch(out, /^Shows at: nothing can be run here\.$/m);
  const refused = await kernelRan("bugs run B1");
  assertEquals([refused.status, refused.err], [2, "bugs run: B1 is told, not shown: bugs show B1\n"]);
});

Deno.test("bugs list --level names those of a level", async () => {
  const { out } = await kernelRan("bugs list --level v6.5");
  const ids = BUGS.filter(({ levels }) => levels.includes("v6.5")).map(({ id }) => id);
  assertEquals(out.split("\n").filter((line) => /^B\d/.test(line)).map((line) => line.split(" ")[0]), ids);
});

Deno.test("bugs answers a bug that it does not know in one line", async () => {
  const known = `${BUGS.map(({ id }) => id).join(", ")} are known`;
  for (
    const [line, message] of [
      ["bugs run B99", new RegExp(`^bugs: no bug "B99".*\\(${known}\\)\n$`)],
      ["bugs show", new RegExp(`^bugs: which one\\? ${known}\n$`)],
      ["bugs walk B9", /must be list, show or run\n$/],
    ] as const
  ) {
    const { status, err } = await kernelRan(line);
    assertEquals(status, 2, line);
    assertMatch(err, message);
  }
});
