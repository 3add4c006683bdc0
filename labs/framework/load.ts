// SPDX-License-Identifier: GPL-2.0-only
/**
 * Loads an instrumented file: a function of what it finds around it, called once for every check.
 *
 * Invariant: the file sees the guest's globals, what it imports, and no name of the host: all of those are parameters
 * that nobody fills. Nothing of one loading is left for the next.
 *
 * @module
 */

import * as quiesce from "../../mod.ts";
import { Guest } from "./guest.ts";
import type { Instrumented } from "./instrument.ts";
import type { Meter } from "./meter.ts";
import { DEFINE_NAME, GLOBALS, GUEST_NAME } from "./names.ts";

/** What a file exports. */
export type Exports = Readonly<Record<string, unknown>>;

/** Loads a file anew, on an account. */
export type Loader = (meter: Meter) => Exports;

/** The file's name in stack traces. */
const SOURCE_NAME = "quiesce-submission";
/** Lines that the engine puts before the body of a function made from text. */
const LINES_BEFORE = 2;

/** Words that the language reserves, and names that strict code cannot declare. */
const NOT_PARAMETERS: ReadonlySet<string> = new Set(["eval", "arguments"]);

/** What the code of the instrumenter needs, in the order of the arguments. */
const OURS: readonly string[] = ["exports", "require", GUEST_NAME, DEFINE_NAME];
/** Globals that are given; of the others the realm's are as good, and strict code could not declare them. */
const GIVEN: readonly string[] = GLOBALS.filter((name) => !["undefined", "NaN", "Infinity"].includes(name));

/** All names of the host that would otherwise be in sight: own ones of the global object and inherited ones. */
function hostNames(): string[] {
  const names = new Set(["Deno", "module"]);
  for (let it: object | null = globalThis; it !== null; it = Object.getPrototypeOf(it)) {
    for (const name of Object.getOwnPropertyNames(it)) names.add(name);
  }
  const taken = new Set([...OURS, ...GLOBALS, ...NOT_PARAMETERS]);
  return [...names].filter((name) => /^[A-Za-z_][\w$]*$/.test(name) && !taken.has(name));
}

/** The loader of an instrumented file that may import `offered`. Call it before anything of the realm is taken away. */
export function loaderOf({ code }: Instrumented, offered: readonly string[]): Loader {
  const body = `"use strict";${code}\n//# sourceURL=${SOURCE_NAME}`;
  const run = new Function(...OURS, ...GIVEN, ...hostNames(), body) as (...args: unknown[]) => void;
  const capabilities = capabilitiesOf(offered);
  const define = Object.defineProperty;
  return (meter) => {
    const guest = new Guest(meter);
    const values = guest.globals();
    const exports: Record<string, unknown> = {};
    run(exports, () => capabilities, guest, define, ...GIVEN.map((name) => values[name]));
    return exports;
  };
}

/** What `import ... from "quiesce"` gives: the names of the manifest, but not the class of kernels, which is a type here. */
function capabilitiesOf(offered: readonly string[]): Exports {
  const all = quiesce as Exports;
  return Object.freeze(
    Object.fromEntries(
      offered.filter((name) => name in all && name !== "Kernel").map((name) => [name, all[name]]),
    ),
  );
}

/** The line of the source at which an error was thrown, if it was thrown in a file that was loaded. */
export function lineOfError(error: unknown, lines: readonly number[]): number | null {
  if (!(error instanceof Error) || typeof error.stack !== "string") return null;
  const frame = new RegExp(`${SOURCE_NAME}(?:, <anonymous>)?:(\\d+):\\d+`).exec(error.stack);
  return frame === null ? null : lines[Number(frame[1]) - 1 - LINES_BEFORE] ?? null;
}
