// SPDX-License-Identifier: GPL-2.0-only
/**
 * The kernel in Node: the same machines, the same hashes. (`deno task node`)
 *
 * Takes tools/node_list.ts and all that it imports (kernel to explore, mod.ts, two examples), compiles each file to
 * JavaScript in a temporary folder under dist/, runs that list there under `node` and here under Deno, and compares what
 * they say line by line: hashes, tokens, reports. Nothing is changed on the way but types and the endings of file names, and
 * what is imported from outside the project is refused. Files stay apart (no bundle), since reports name the functions on
 * the host's call stack and tell by file which of them belong to the kernel.
 *
 * Skips, with a line that says so, where there is no Node 20 or newer.
 *
 * @module
 */

import { executeAll } from "./node_list.ts";
import { tryReadText } from "./files.ts";
import { projectRoot } from "./folders.ts";
import ts from "./typescript.ts";

/** The file that both hosts execute. */
const LIST = "tools/node_list.ts";
const LEAST_NODE = 20;
const FOLDER = projectRoot() + "dist";

/** Files that `start` imports, directly or not, itself included: path → text. `read` gives a file's text. */
export function closure(start: string, read: (path: string) => string | null): Map<string, string> {
  const files = new Map<string, string>();
  const visit = (path: string, from: string): void => {
    if (files.has(path)) return;
    const text = read(path);
    if (text === null) throw new Error(`${from} imports ${path}, which does not exist`);
    files.set(path, text);
    for (const { fileName } of ts.preProcessFile(text, true, true).importedFiles) {
      if (!fileName.startsWith(".")) throw new Error(`${path} imports "${fileName}": not of the project`);
      visit(new URL(fileName, `file:///${path}`).pathname.slice(1), path);
    }
  };
  visit(start, "the list");
  return files;
}

/** One file as JavaScript: without types, and with imports of `.js` files. */
export function toJavaScript(path: string, text: string): string {
  return ts.transpileModule(text, {
    fileName: path,
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      rewriteRelativeImportExtensions: true,
    },
  }).outputText;
}

/** `kernel/a.ts` → `kernel/a.js`. */
export function compiledName(path: string): string {
  return path.replace(/\.ts$/, ".js");
}

/** The first difference between two lists of lines, in words; undefined when there is none. */
export function firstDifference(deno: readonly string[], node: readonly string[]): string | undefined {
  const at = Array.from({ length: Math.max(deno.length, node.length) }, (_, i) => i)
    .find((i) => deno[i] !== node[i]);
  if (at === undefined) return undefined;
  const run = deno.slice(0, at + 1).findLast((line) => !line.startsWith(" ")) ?? "";
  return [
    `line ${at + 1} differs, in: ${run}`,
    `  Deno: ${deno[at] ?? "(no such line)"}`,
    `  Node: ${node[at] ?? "(no such line)"}`,
  ].join("\n");
}

/** Runs `node`; null when there is none. */
function node(args: string[], cwd: string): { success: boolean; stdout: string; stderr: string } | null {
  const command = new Deno.Command("node", { args, cwd, stdin: "null" });
  try {
    const { success, stdout, stderr } = command.outputSync();
    const decoder = new TextDecoder();
    return { success, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  } catch (error) {
    // What is not found cannot be permitted either: Deno looks permitted programs up when it starts.
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotCapable) return null;
    throw error;
  }
}

/** Writes what Node needs into `folder`; how many files that were. */
function compileInto(folder: string): number {
  const files = closure(LIST, (path) => tryReadText(path) ?? null);
  for (const [path, text] of files) {
    const target = `${folder}/${compiledName(path)}`;
    Deno.mkdirSync(target.replace(/\/[^/]*$/, ""), { recursive: true });
    Deno.writeTextFileSync(target, toJavaScript(path, text));
  }
  Deno.writeTextFileSync(`${folder}/package.json`, '{ "type": "module" }\n');
  Deno.writeTextFileSync(
    `${folder}/main.js`,
    `import { executeAll } from "./${
      compiledName(LIST)
    }";\nfor (const line of executeAll()) console.log(line);\n`,
  );
  return files.size;
}

/** The exit status. */
function main(): number {
  const version = /^v\d+\S*/.exec(node(["--version"], projectRoot())?.stdout ?? "")?.[0] ?? "none";
  if (version === "none" || parseInt(version.slice(1)) < LEAST_NODE) {
    console.log(`node: skipped: needs Node ${LEAST_NODE} or newer as "node", and there is ${version}`);
    return 0;
  }
  Deno.mkdirSync(FOLDER, { recursive: true });
  const folder = Deno.makeTempDirSync({ dir: FOLDER, prefix: "node-" });
  try {
    const count = compileInto(folder);
    const there = node(["main.js"], folder);
    if (there?.success !== true) {
      console.log(`node: Node ${version} failed\n${there?.stdout ?? ""}${there?.stderr ?? ""}`.trimEnd());
      return 1;
    }
    const here = [...executeAll()];
    for (const line of here) if (!line.startsWith(" ")) console.log(line);
    const difference = firstDifference(here, there.stdout.trimEnd().split("\n"));
    console.log(
      difference === undefined
        ? `node: ${count} files, ${here.length} lines, the same in Node ${version} and Deno ${Deno.version.deno}`
        : `node: ${difference}`,
    );
    return difference === undefined ? 0 : 1;
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

if (import.meta.main) Deno.exit(main());
