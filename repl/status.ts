// SPDX-License-Identifier: GPL-2.0-only
// How a command, a script and the shell itself say what came of it: exit statuses and the errors that carry one.
//
// Ours. Invariant: every way to fail ends in one number from `STATUS` and one line of text; a host stack trace
// is never shown. A command says "failed" by returning a status after its lines, or by throwing a `ShellError`;
// anything else that comes out of a command is a fault of this program and is reported as one (status 5).
// Left out: the mapping of the kernel's own errors, which the session of the kernel commands adds (session.ts,
// `explain`).

/** The exit statuses of the shell. @see docs and design: 0 all held, the rest says why not. */
export const STATUS = {
  /** Every command succeeded, every check held. */
  ok: 0,
  /** A property failed, or the kernel reported something. */
  failed: 1,
  /** Wrong use, or a syntax error. */
  usage: 2,
  /** A BUG or panic of the emulated kernel that nobody expected. */
  bug: 3,
  /** A budget ran out before the question was answered. */
  inconclusive: 4,
  /** A fault of this program. */
  fault: 5,
  /** ^C ended a long run (only on a terminal; the number is the host's custom for SIGINT). */
  interrupted: 130,
} as const;

/** One of the numbers in {@linkcode STATUS}. */
export type ExitStatus = (typeof STATUS)[keyof typeof STATUS];

/** From best to worst: what a run that went wrong twice ends with. */
const SEVERITY: readonly number[] = [
  STATUS.ok,
  STATUS.inconclusive,
  STATUS.usage,
  STATUS.failed,
  STATUS.bug,
  STATUS.fault,
  STATUS.interrupted,
];

/** The worse of two statuses: a report is worse than a mistyped line, a panic worse than a report. */
export function worse(a: number, b: number): number {
  return SEVERITY.indexOf(b) > SEVERITY.indexOf(a) ? b : a;
}

/** An error that a command throws on purpose: one line and the exit status that goes with it. */
export class ShellError extends Error {
  override name = "ShellError";
  /** What the shell's exit status becomes when nobody is there to read the line. */
  readonly status: ExitStatus;

  constructor(status: ExitStatus, message: string) {
    super(message);
    this.status = status;
  }
}

/** The user's mistake. The line says what failed, where, what is allowed, and the nearest right form. */
export class UsageError extends ShellError {
  override name = "UsageError";

  constructor(message: string) {
    super(STATUS.usage, message);
  }
}

/** A property did not hold, or the kernel reported; for commands that find out before their first line. */
export class FailedError extends ShellError {
  override name = "FailedError";

  constructor(message: string) {
    super(STATUS.failed, message);
  }
}

/** The reader of our output has gone away (`| head -1`): stop quietly. */
export class OutputClosed extends Error {
  override name = "OutputClosed";
}

/** What came of a statement: the status, and the line for standard error unless all went well. */
export interface Outcome {
  /** The exit status. */
  readonly status: ExitStatus;
  /** One line for standard error; absent when the output has said it all. */
  readonly line?: string;
  /** Where it happened, if that is known better than by the statement's own line: `script.quiesce:12:8`. */
  readonly where?: string;
}

/** `instanceof` for what the user's code throws, which may be a proxy that throws when it is asked. */
export function isA<T>(value: unknown, kind: abstract new (...args: never[]) => T): value is T {
  try {
    return value instanceof kind;
  } catch {
    return false;
  }
}

/** What the host adds about our own files when an import of the user's fails. */
const IMPORTER = / (?:and not in import map )?from "(?:file|data|blob):[^"]*"/;

/** The first line of what was thrown, with its class: `RangeError: bad size`. */
export function headline(error: unknown): string {
  try {
    if (!(error instanceof Error)) return `thrown value: ${String(error).split("\n")[0]}`;
    const first = String(error.message).split("\n")[0].replace(IMPORTER, "");
    return first === "" ? String(error.name) : `${error.name}: ${first}`;
  } catch { // what is thrown may be anything, also something that throws when it is looked at
    return "thrown value: one that cannot be shown";
  }
}

/** Our own root folder as it appears in stack frames, so that places can be printed relative to it. */
const ROOT = new URL("../", import.meta.url).href.replace(/^file:\/\//, "");

/** A file of this project relative to its root, any other by its last name; without what `run FILE` adds. */
export function shortFile(file: string): string {
  const path = file.replace(/[?#].*$/, "").replace(/^file:\/\//, "");
  return path.startsWith(ROOT) ? path.slice(ROOT.length) : path.split("/").at(-1) ?? path;
}

/** The host's stack of an error, as text; nothing for what has none. */
export function stackOf(error: unknown): string {
  try {
    const stack = isA(error, Error) ? error.stack : undefined;
    return typeof stack === "string" ? stack : "";
  } catch {
    return "";
  }
}

/**
 * Where an exception came from: `file:line:col` of the first stack frame whose file the predicate accepts.
 * Files of this project are named relative to its root, others by their last name.
 */
export function placeOf(error: unknown, accept: (file: string) => boolean = () => true): string | undefined {
  for (const line of stackOf(error).split("\n")) {
    const frame = /((?:file|data|blob|https?):[^\s()]+):(\d+):(\d+)\)?$/.exec(line);
    if (frame === null || !accept(frame[1])) continue;
    const file = shortFile(frame[1]);
    return `${file}:${frame[2]}:${frame[3]}`;
  }
  return undefined;
}

/** The outcome of anything that a command threw: what it said on purpose, or else a fault of ours. */
export function outcomeOf(error: unknown, what: string): Outcome {
  if (isA(error, ShellError)) {
    return error.message === "" ? { status: error.status } : { status: error.status, line: error.message };
  }
  const place = placeOf(error);
  const at = place === undefined ? "" : ` (${place})`;
  return {
    status: STATUS.fault,
    line: `our own fault in ${what}: ${headline(error)}${at}; please report it`,
  };
}
