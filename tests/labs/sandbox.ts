// SPDX-License-Identifier: GPL-2.0-only
/**
 * What bare `deno test` cannot try: the real sandbox, and a locked realm. (`deno task lab:sandbox`, and `deno task ok`)
 *
 * A worker needs permission to be started from a file, and a locked realm cannot report to a test runner: its own realm
 * is locked last.
 *
 * @module
 */

import { jobOf, runJob } from "../../labs/framework/grade.ts";
import { loaderOf } from "../../labs/framework/load.ts";
import { parseManifest } from "../../labs/framework/manifest.ts";
import { lockRealm } from "../../labs/framework/realm.ts";
import { runInSandbox } from "../../labs/framework/sandbox.ts";
import { LABS } from "../../labs/registry.ts";
import lab from "./toy_lab/lab.ts";
import { MANIFEST, SOLUTION, STARTER, withRegion } from "./toy.ts";

const out = Deno.stdout;
const exit = Deno.exit;
const encoder = new TextEncoder();
let passed = 0;
let failed = 0;

function same(what: string, got: unknown, wanted: unknown): void {
  const [a, b] = [JSON.stringify(got), JSON.stringify(wanted)];
  if (a === b) passed++;
  else failed++;
  out.writeSync(encoder.encode(a === b ? `ok ${what}\n` : `FAILED ${what}\n  got    ${a}\n  wanted ${b}\n`));
}

/** The real sandbox on the starters of the real labs: twice the same, and code that never ends does end. */
async function sandbox(): Promise<void> {
  const root = new URL("../../labs/", import.meta.url);
  for (const id of Object.keys(LABS)) {
    const manifest = parseManifest(Deno.readTextFileSync(new URL(`${id}/lab.json`, root)), id);
    const starter = Deno.readTextFileSync(new URL(`${id}/start.ts`, root));
    const only = manifest.properties.slice(0, 2).map((it) => it.id);
    const job = jobOf(manifest, starter, { starter, only, key: 7 });
    const first = await runInSandbox(job);
    same(`${id}: the starter's verdict, twice`, await runInSandbox(job), first);
    const begin = /\/\/ \[student \w+\n/.exec(starter)?.[0] ?? "";
    for (
      const [what, code, cause] of [
        ["an endless loop", "for (;;) {}", "your code does not come to an end"],
        ["a way to the compiler", "const made = [].map.constructor;", ".map can be called, but not be taken"],
        [
          "memory without end",
          "const all = []; for (;;) all.push([1].concat([2]));",
          "your code does not come to an end",
        ],
      ]
    ) {
      const text = starter.replace(begin, `${begin}${code}\n`);
      const { outcomes } = await runInSandbox(jobOf(manifest, text, { starter, only, key: 7 }));
      const told = outcomes.map((it) => it.state === "FAIL" && it.cause.includes(cause));
      same(`${id}: ${what}`, told, only.map(() => true));
    }
  }
}

/** What came of code that may throw. */
function tried(code: () => unknown): string {
  try {
    return String(code());
  } catch (error) {
    return (error as Error).name;
  }
}

/** Locks this realm, for good. */
function locked(): void {
  const text = withRegion(SOLUTION, "sum", "return numbers.reduce((a, b) => a + b, 0);");
  const job = jobOf(MANIFEST, text, { starter: STARTER });
  const load = loaderOf(job.prepared, job.manifest.imports);
  const before = runJob(lab, job, load);
  const gone = [
    "Deno",
    "Date",
    "performance",
    "eval",
    "Function",
    "setTimeout",
    "fetch",
    "WeakRef",
    "console",
  ];
  const generators = Object.getPrototypeOf(function* () {});
  const host = globalThis as unknown as Record<string, unknown>;
  lockRealm();
  same("the host is gone", gone.filter((name) => host[name] !== undefined), []);
  same("randomness is gone", tried(() => (Math as unknown as Record<string, unknown>).random), "undefined");
  const compilers = [generators.constructor, lockRealm.constructor] as ((code: string) => unknown)[];
  same("the compiler is gone", compilers.map((it) => tried(() => it("return 1"))), [
    "TypeError",
    "TypeError",
  ]);
  const built = [Array.prototype, Object.prototype, Error, Map.prototype, generators.prototype, Math];
  same(
    "what is built in stays",
    built.map((it) => tried(() => Object.assign(it, { evil: 1 }))),
    built.map(() => "TypeError"),
  );
  same("lists of lists are no text", tried(() => `${[[1], [2]]}`), "TypeError");
  same("errors have names of their own", tried(() => Object.assign(new Error(""), { name: "Own" })), "Own");
  same("a job runs as before", runJob(lab, job, load), before);
}

if (import.meta.main) {
  await sandbox();
  locked();
  out.writeSync(encoder.encode(`${passed} passed, ${failed} failed\n`));
  exit(failed === 0 ? 0 : 1);
}
