// SPDX-License-Identifier: GPL-2.0-only
/**
 * What the commands need of the host: files of the labs, files of the user, and the sandbox.
 *
 * Invariant: whatever the host refuses becomes one line for the user. Tests bring files of their own.
 *
 * @module
 */

import type { Job, JobResult } from "./grade.ts";
import { runInSandbox } from "./sandbox.ts";

/** Exit statuses of the commands; those of the shell. */
export const STATUS = { ok: 0, failed: 1, usage: 2, inconclusive: 4, fault: 5 } as const;
export type Status = typeof STATUS[keyof typeof STATUS];

/** The user's mistake, or the host's refusal; the message is one line. */
export class LabError extends Error {
  override readonly name: string = "LabError";

  constructor(message: string, readonly status: Status = STATUS.usage) {
    super(message);
  }
}

/** The host. */
export interface Host {
  /** Ids of the labs that there are. */
  readonly labs: readonly string[];
  /** Text of a file below labs/; null when there is none. */
  labFile(path: string): string | null;
  /** Files below a folder of labs/, with their paths from there, in order. */
  labFiles(folder: string): string[];
  /** Text of a file of the user. Throws LabError. */
  read(path: string): string;
  /** Whether there is such a file. */
  exists(path: string): boolean;
  /** Throws LabError when `path` cannot be written; makes it, if it can. */
  mustWrite(path: string): void;
  /** Writes a file, and the folder that it is in. Throws LabError. */
  write(path: string, text: string): void;
  /** Does the checks. */
  run(job: Job): Promise<JobResult>;
}

/** The host that the program runs on. `loaded` are files of labs for when it may read none. */
export function denoHost(labs: readonly string[], loaded: ReadonlyMap<string, string> = new Map()): Host {
  const root = decodeURIComponent(new URL("../", import.meta.url).pathname);
  return {
    labs,
    labFile(path) {
      try {
        return Deno.readTextFileSync(root + path);
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) return null;
        const text = error instanceof Deno.errors.NotCapable ? loaded.get(path) : undefined;
        if (text !== undefined) return text;
        throw new LabError(`cannot read labs/${path}: ${reason(error, "read")}`);
      }
    },
    labFiles: (folder) => filesBelow(root + folder, ""),
    read(path) {
      try {
        return Deno.readTextFileSync(path);
      } catch (error) {
        throw new LabError(`cannot read "${path}": ${reason(error, "read")}`);
      }
    },
    exists(path) {
      try {
        return Deno.statSync(path).isFile;
      } catch {
        return false;
      }
    },
    mustWrite(path) {
      try {
        makeFolder(path);
        Deno.openSync(path, { append: true, create: true }).close();
      } catch (error) {
        throw new LabError(`cannot write "${path}": ${reason(error, "write")}`);
      }
    },
    write(path, text) {
      try {
        makeFolder(path);
        Deno.writeTextFileSync(path, text);
      } catch (error) {
        throw new LabError(`cannot write "${path}": ${reason(error, "write")}`);
      }
    },
    run: runInSandbox,
  };
}

function makeFolder(path: string): void {
  const at = path.lastIndexOf("/");
  if (at > 0) Deno.mkdirSync(path.slice(0, at), { recursive: true });
}

function filesBelow(folder: string, path: string): string[] {
  const found: string[] = [];
  for (const { name, isDirectory } of Deno.readDirSync(`${folder}/${path}`)) {
    const at = path === "" ? name : `${path}/${name}`;
    if (isDirectory) found.push(...filesBelow(folder, at));
    else found.push(at);
  }
  return found.sort();
}

function reason(error: unknown, access: "read" | "write"): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  if (error instanceof Deno.errors.NotCapable) return `the permission was not given (--allow-${access})`;
  if (error instanceof Deno.errors.IsADirectory) return "it is a folder";
  return error instanceof Error ? error.message.split("\n")[0].replace(/ \(os error.*/, "") : String(error);
}
