// SPDX-License-Identifier: GPL-2.0-only
/**
 * Everything that continuous integration runs, step after step. (`deno task ok`; `--rest`: all but the tests)
 *
 * A step is a run of this same Deno. All steps run even when one fails, one after the other, so that the first red line
 * of the report is the step that broke and not a sibling that was stopped with it. The output of a step is shown when
 * it fails. The last line is `N passed, N failed`, where the tests of a step that reports tests count one by one.
 *
 * @module
 */

import { listTree, tryReadText } from "./files.ts";

/** One run of Deno. */
export interface Step {
  name: string;
  args: string[];
}

/** What a step counts for. */
export interface Outcome {
  passed: number;
  failed: number;
}

/** Seconds after which a step is stopped: something in it waits for ever. */
const LIMIT = 120;
const TEST_LIMIT = 620;

const READ = ["run", "--no-prompt", "--allow-read"];

/** The steps for a tree that has these examples and documents. */
export function steps(examples: readonly string[], documents: readonly string[], rest: boolean): Step[] {
  const list: Step[] = [
    { name: "test", args: ["test", "--parallel"] },
    { name: "fmt", args: ["fmt", "--check"] },
    { name: "lint", args: ["lint"] },
    { name: "check", args: ["check"] },
    { name: "names", args: [...READ, "tools/generator_names.ts", "--check"] },
    { name: "layers", args: [...READ, "tools/check_layers.ts"] },
    { name: "yield", args: [...READ, "tools/check_yield.ts"] },
    { name: "levels", args: [...READ, "tools/levels.ts"] },
    { name: "tidy", args: [...READ, "tools/tidy.ts"] },
    { name: "map", args: [...READ, "tools/map.ts", "--check"] },
    { name: "lab:sandbox", args: [...READ, "tests/labs/sandbox.ts"] },
    { name: "publish:check", args: ["publish", "--dry-run", "--allow-dirty", "--no-check"] },
    { name: "node", args: [...READ, "--allow-run=node", "--allow-write=dist", "tools/node_run.ts"] },
  ];
  if (documents.length > 0) list.push({ name: "doc tests", args: ["test", "--doc", ...documents] });
  for (const path of examples) list.push({ name: path, args: ["run", "--no-prompt", path] });
  return rest ? list.slice(1) : list;
}

/** Reads a step's output: the summary of `deno test` when there is one, else the step counts as one. */
export function outcome(output: string, success: boolean): Outcome {
  const summary = [...output.matchAll(/\| (\d+) passed(?: \([^)]*\))? \| (\d+) failed/g)].at(-1);
  const counted = summary === undefined
    ? { passed: success ? 1 : 0, failed: success ? 0 : 1 }
    : { passed: Number(summary[1]), failed: Number(summary[2]) };
  // Tests passed and yet the run failed (a file that does not compile): that is a failure too.
  if (!success && counted.failed === 0) counted.failed = 1;
  return counted;
}

/** Examples that can be run by themselves, and documents whose code is tested. */
function tree(): { examples: string[]; documents: string[] } {
  const runs = (path: string): boolean => tryReadText(path)?.includes("import.meta.main") ?? false;
  const shows = (path: string): boolean => /```(ts|typescript)\b/.test(tryReadText(path) ?? "");
  return {
    examples: listTree(["examples"], ".ts").filter(runs),
    documents: ["mod.ts", "README.md", "CONTRIBUTING.md", ...listTree(["docs"], ".md")].filter(shows),
  };
}

/** Runs one step; what it printed and whether it succeeded in time. */
async function run({ name, args }: Step): Promise<{ output: string; success: boolean }> {
  const limit = name === "test" ? TEST_LIMIT : LIMIT;
  const signal = AbortSignal.timeout(limit * 1000);
  const command = new Deno.Command(Deno.execPath(), { args, stdin: "null", env: { NO_COLOR: "1" }, signal });
  const { success, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  const note = signal.aborted ? `\nstopped after ${limit} s\n` : "";
  return {
    output: decoder.decode(stdout) + decoder.decode(stderr) + note,
    success: success && !signal.aborted,
  };
}

async function main(): Promise<void> {
  const { examples, documents } = tree();
  const total: Outcome = { passed: 0, failed: 0 };
  const table: string[] = [];
  for (const step of steps(examples, documents, Deno.args.includes("--rest"))) {
    console.log(`== ${step.name}: deno ${step.args.join(" ")}`);
    const began = performance.now();
    const { output, success } = await run(step);
    const { passed, failed } = outcome(output, success);
    if (!success) console.log(output.trimEnd());
    total.passed += passed;
    total.failed += failed;
    const seconds = ((performance.now() - began) / 1000).toFixed(1).padStart(6);
    table.push(
      `${success ? "ok    " : "FAILED"} ${seconds} s  ${String(passed).padStart(5)} passed  ` +
        `${String(failed).padStart(3)} failed  ${step.name}`,
    );
  }
  console.log("\n" + table.join("\n") + `\n\n${total.passed} passed, ${total.failed} failed`);
  if (total.failed > 0) Deno.exit(1);
}

if (import.meta.main) await main();
