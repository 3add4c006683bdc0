// SPDX-License-Identifier: GPL-2.0-only
/**
 * Call traces: the names of the functions on the host's call stack that belong to the emulated kernel.
 *
 * Through `yield*` a suspended chain of generators is a real call chain while it runs, so the host's stack is the
 * kernel's. Looking at it costs microseconds: it is done for reports, for fault-injection filters and on request.
 * It is observation: no part of a run depends on it, but for injection rules that name a function, and for the names
 * that reports print. So those are the same wherever the files are, and also when they were compiled to JavaScript file
 * by file; in a bundle of one file they are not.
 *
 * @invented the stack is the host's
 * @module
 */

/** One frame: function name, file (last path segments) and line, as the host knows them. */
export interface StackFrame {
  readonly name: string;
  readonly file: string;
  readonly line: number;
}

interface CallSite {
  getFunctionName(): string | null;
  getFileName(): string | null;
  getScriptNameOrSourceURL?(): string | null;
  getLineNumber(): number | null;
}

interface V8Error {
  stackTraceLimit: number;
  prepareStackTrace?: ((error: Error, sites: readonly CallSite[]) => unknown) | undefined;
}

/** The name of a source file: some hosts name files by URL, some by path, and some run what was compiled from it. */
function sourceName(file: string): string {
  return file.replace(/^file:\/\//, "").replace(/\.js$/, ".ts");
}

/** Where the project's files are, as the host names them. */
const ROOT = sourceName(new URL("../", import.meta.url).href);

const ENGINE = ROOT + "kernel/machine/machine.ts";

function sitesOnly(_error: Error, sites: readonly CallSite[]): unknown {
  return sites;
}

/** Frames deeper than this are not looked at. */
const MAX_FRAMES = 48;
/** An allocator's caller is nearly always among so many; each frame costs a microsecond or two. */
const NEAR_FRAMES = 16;

/**
 * The current call chain, innermost first, without the emulator's machinery.
 *
 * @invented save_stack_trace() walks real stacks
 */
export function stackFrames(most: number = MAX_FRAMES, anonymous = false): StackFrame[] {
  const host = Error as unknown as V8Error;
  const limit = host.stackTraceLimit;
  const prepare = host.prepareStackTrace;
  host.stackTraceLimit = most;
  host.prepareStackTrace = sitesOnly;
  const sites = new Error().stack as unknown as readonly CallSite[];
  host.prepareStackTrace = prepare;
  host.stackTraceLimit = limit;
  return framesOf(sites, anonymous);
}

function framesOf(sites: readonly CallSite[], anonymous: boolean): StackFrame[] {
  const frames: StackFrame[] = [];
  for (const site of Array.isArray(sites) ? sites : []) {
    const name = site.getFunctionName() ?? "";
    if (name === "stackFrames" || name === "next" || (name === "" && !anonymous)) continue;
    // The script's name costs little; the file's name and line go through the host's source map.
    const file = sourceName(site.getScriptNameOrSourceURL?.() ?? site.getFileName() ?? "");
    // Below the engine the stack is the host's.
    if (file === ENGINE && name.endsWith("runCpu")) break;
    if (file === "" || file.startsWith(ROOT + "kernel/machine/")) continue;
    frames.push(new HostFrame(name.replace(/^.*\./, ""), file, site));
  }
  return frames;
}

/**
 * A call chain that is kept for later. Taking it costs a microsecond or two; who is in it is looked up when asked for.
 *
 * @invented lib/stackdepot.c keeps the addresses
 */
export class StackSnapshot {
  readonly #error: Error;

  constructor(most: number = MAX_FRAMES) {
    const host = Error as unknown as V8Error;
    const limit = host.stackTraceLimit;
    host.stackTraceLimit = most;
    this.#error = new Error();
    host.stackTraceLimit = limit;
  }

  /** As callTrace() would have given then. The host formats a stack at the first look, so only that one counts. */
  callTrace(): string[] {
    return namesOf(this.frames());
  }

  #frames: StackFrame[] | null = null;

  /** As stackFrames() would have given then. */
  frames(): StackFrame[] {
    this.#frames ??= this.#look();
    return this.#frames;
  }

  #look(): StackFrame[] {
    const host = Error as unknown as V8Error;
    const prepare = host.prepareStackTrace;
    host.prepareStackTrace = sitesOnly;
    const sites = this.#error.stack as unknown as readonly CallSite[];
    host.prepareStackTrace = prepare;
    return framesOf(sites, true).filter((frame) => frame.name !== "StackSnapshot");
  }
}

/** A frame whose line is looked up when it is asked for. */
class HostFrame implements StackFrame {
  constructor(readonly name: string, readonly file: string, private readonly site: CallSite) {}

  get line(): number {
    return this.site.getLineNumber() ?? 0;
  }
}

/** The files that make reports: not part of what they report. */
const REPORTERS = [
  "kernel/stacktrace.ts",
  "kernel/printk.ts",
  "kernel/bug.ts",
  "mm/kasan/generic.ts",
  "mm/kasan/report.ts",
].map((file) => ROOT + file);

/** Folders of the emulated kernel proper: there a name that is not C's is a helper of the function that called it. */
const MIRRORS = ["kernel/", "mm/", "rcu/", "init/"].map((folder) => ROOT + folder);

/** Names of the current call chain, innermost first, up to the thread's body; helpers of ours are left out. */
export function callTrace(): string[] {
  return namesOf(stackFrames());
}

function namesOf(frames: readonly StackFrame[]): string[] {
  return frames
    .filter(({ file, name }) => name !== "" && !REPORTERS.includes(file))
    .filter(isNotHelper)
    .map((frame) => frame.name);
}

/** Whether the function bears a C name, or is not part of the emulated kernel: no helper of ours. */
export function isNotHelper({ file, name }: StackFrame): boolean {
  return C_NAME.test(name) || !MIRRORS.some((folder) => file.startsWith(folder));
}

/** The frame's file, from the project's root if it is part of it, else its last name. */
export function shortFileOf({ file }: StackFrame): string {
  return file.startsWith(ROOT) ? file.slice(ROOT.length) : file.split("/").at(-1) ?? file;
}

const C_NAME = /^_*[a-z][a-z0-9_]*$/;

/**
 * The function that called into the allocator: the innermost frame outside mm/ that bears a C name (a helper of ours
 * counts as part of the function that it helps).
 *
 * @invented stands in for _RET_IP_
 */
export function allocationCaller(): StackFrame | undefined {
  return stackFrames(NEAR_FRAMES).find(isAllocationCaller) ?? stackFrames().find(isAllocationCaller);
}

function isAllocationCaller(f: StackFrame): boolean {
  return C_NAME.test(f.name) && !f.file.startsWith(ROOT + "mm/") && !REPORTERS.includes(f.file) &&
    f.file !== ROOT + "kernel/fault_inject.ts" && !f.file.startsWith(ROOT + "kernel/trace/");
}
