// SPDX-License-Identifier: GPL-2.0-only
/** tools/ok.ts counts what its steps report, and runs the README's test command first. */
import { assert, assertEquals } from "@std/assert";
import { outcome, steps } from "../../tools/ok.ts";

Deno.test("outcome() counts tests one by one and other steps as one", () => {
  assertEquals(outcome("ok | 12 passed | 0 failed (3s)", true), { passed: 12, failed: 0 });
  assertEquals(outcome("FAILED | 12 passed (3 steps) | 2 failed (3s)", false), { passed: 12, failed: 2 });
  assertEquals(outcome("Checked 3 files", true), { passed: 1, failed: 0 });
  assertEquals(outcome("boom", false), { passed: 0, failed: 1 });
});

Deno.test("outcome() never calls a failed run passed", () => {
  assertEquals(outcome("ok | 12 passed | 0 failed (3s)\nerror: Type checking failed", false), {
    passed: 12,
    failed: 1,
  });
});

Deno.test("outcome() reads the last summary", () => {
  assertEquals(outcome("ok | 1 passed | 0 failed\nok | 2 passed | 0 failed", true), { passed: 2, failed: 0 });
});

Deno.test("steps() starts with the test command, and --rest leaves only that out", () => {
  const all = steps(["examples/a.ts"], ["README.md"], false);
  const rest = steps(["examples/a.ts"], ["README.md"], true);
  assertEquals(all[0], { name: "test", args: ["test", "--parallel"] });
  assertEquals(rest, all.slice(1));
  assert(all.some(({ args }) => args.join(" ") === "run --no-prompt examples/a.ts"));
  assert(all.some(({ args }) => args.join(" ") === "test --doc README.md"));
});

Deno.test("steps() gives no step the right to write, run or connect, but for Node and its files", () => {
  for (const { name, args } of steps(["examples/a.ts"], ["README.md"], false)) {
    const rights = args.filter((it) => /^(-A|--allow-(all|write|run|net|ffi))/.test(it));
    assertEquals(rights, name === "node" ? ["--allow-run=node", "--allow-write=dist"] : [], args.join(" "));
  }
});
