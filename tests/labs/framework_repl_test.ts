// SPDX-License-Identifier: GPL-2.0-only
// `lab` inside the shell: the same lines and statuses as `deno task lab`. No files can be read here but manifests.

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { KernelShell } from "../repl/kernel_shell.ts";
import { LABS } from "../../labs/registry.ts";

Deno.test("lab list names the labs in the shell, and lab hint the properties of one", async () => {
  const shell = new KernelShell();
  const list = await shell.run("lab list");
  assertEquals([list.status, list.err], [0, ""]);
  for (const id of Object.keys(LABS)) assertMatch(list.out, new RegExp(`^${id} `, "m"));
  const hint = await shell.run("lab hint l5");
  assertEquals(hint.status, 0);
  assertMatch(hint.out, /^S1 /m);
});

Deno.test("mistakes in lab lines are one line and status 2 in the shell", async () => {
  const shell = new KernelShell();
  const cases: [string, string][] = [
    ["lab start l6", 'lab: no lab "l6" (l0, l5, l9)'],
    ["lab grde l5", "lab: no command"],
    ["lab hint l5 Z9", 'lab hint: l5 has no property "Z9"'],
    ["lab check l5 --file nowhere.ts", 'cannot read "nowhere.ts"'],
  ];
  for (const [line, said] of cases) {
    const { out, err, status } = await shell.run(line);
    assertEquals([out, status, err.trimEnd().split("\n").length], ["", 2, 1], line);
    assertStringIncludes(err, said);
  }
});
