// SPDX-License-Identifier: GPL-2.0-only
/**
 * Which folder is what: the one list that every checker reads.
 *
 * Paths are relative to the project root, with forward slashes. A folder that does not exist yet is simply empty.
 * The order of `LAYERS` is the law of the design: a file may import its own layer and the ones before it.
 *
 * @module
 */

/** The layers from the bottom up; a name that ends in `/` is a folder, the longest match wins. */
export const LAYERS: readonly string[] = [
  "kernel/machine/",
  "kernel/trace/",
  "kernel/",
  "mm/",
  "rcu/",
  "init/",
  "explore/",
  "mod.ts",
  "examples/",
  "labs/",
  "repl/",
];

/** Folders that run unchanged in a browser and in Node: no host, no third party. */
export const PURE: readonly string[] = ["kernel/", "mm/", "rcu/", "init/", "explore/"];

/** Folders that mirror Linux function by function. */
export const MIRROR: readonly string[] = ["kernel/", "mm/", "rcu/", "init/"];

/** Inside `MIRROR`, but ours: nothing in Linux corresponds to it. */
export const NOT_MIRROR: readonly string[] = ["kernel/machine/"];

/** Everything that holds TypeScript of the project. */
export const SOURCES: readonly string[] = [
  "kernel",
  "mm",
  "rcu",
  "init",
  "explore",
  "examples",
  "labs",
  "repl",
  "deps",
  "tests",
  "tools",
  "bench",
  "mod.ts",
];

function inAny(path: string, folders: readonly string[]): boolean {
  return folders.some((folder) => path.startsWith(folder));
}

/** True for a file of a layer that must not know its host. */
export function isPure(path: string): boolean {
  return inAny(path, PURE);
}

/** True for a file that mirrors a Linux file. */
export function isMirror(path: string): boolean {
  return inAny(path, MIRROR) && !inAny(path, NOT_MIRROR);
}

/** Place of a file in the layer order; -1 for what stands outside it (tests, bench, tools, deps). */
export function layerOf(path: string): number {
  let best = -1;
  for (const [rank, layer] of LAYERS.entries()) {
    const hit = layer.endsWith("/") ? path.startsWith(layer) : path === layer;
    if (hit && (best < 0 || layer.length > LAYERS[best].length)) best = rank;
  }
  return best;
}

/** Absolute path of the project root, with a trailing slash. */
export function projectRoot(): string {
  return decodeURIComponent(new URL("..", import.meta.url).pathname);
}

/** `path` (a file name, absolute or not) relative to the project root. */
export function relative(path: string): string {
  const name = path.startsWith("file://") ? decodeURIComponent(new URL(path).pathname) : path;
  const root = projectRoot();
  return (name.startsWith(root) ? name.slice(root.length) : name).replace(/^\.\//, "");
}
