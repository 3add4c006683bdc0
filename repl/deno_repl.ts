// SPDX-License-Identifier: GPL-2.0-only
// `deno task repl:ts`: Deno's own TypeScript REPL with a booted kernel in scope.
//
// Ours. Evaluated by `deno repl --eval-file`, so every name declared here is there at the prompt: `k`, the names of
// "quiesce", the looks that `--ts` shows, and `run`, which carries out kernel code in a thread. None of the commands of
// `deno task repl` is. Invariant: nothing here but what a user could type there.

import { boot, type Kernel, type MaySleep, runToEnd } from "quiesce";

Object.assign(globalThis, await import("quiesce"), await import("quiesce/looks"));

/** The machine: tree RCU on 4 CPUs. `k = boot({ rcu: "tiny" })` puts another in its place. */
// deno-lint-ignore prefer-const -- a user may put another in its place
let k: Kernel = boot({});

/** Carries out kernel code in a thread of its own, until all that it caused is over; gives its value. */
// deno-lint-ignore no-unused-vars -- for the user
function run<T>(code: (k: Kernel) => MaySleep<T>): T {
  let value: T | undefined;
  const verdict = runToEnd(k, "typescript", function* typescript(k: Kernel): MaySleep<void> {
    value = yield* code(k);
  });
  for (const { lines } of k.reports.slice(k.reports.length - verdict.reports)) console.log(lines.join("\n"));
  if (verdict.ending !== "completed") console.log(`it ended in ${verdict.ending}`);
  return value as T;
}

console.log(
  "quiesce: a kernel with 4 CPUs is booted as k; run(function* (k) { ... }) carries out kernel code",
);
