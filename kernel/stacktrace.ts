// SPDX-License-Identifier: GPL-2.0-only
/**
 * Call traces: the names of the functions on the host's call stack that belong to the emulated kernel.
 *
 * Through `yield*` a suspended chain of generators is a real call chain while it runs, so the host's stack is the
 * kernel's. Looking at it costs microseconds: it is done for reports, for fault-injection filters and on request.
 * It is observation: no part of a run depends on it, but for injection rules that name a function.
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

/** Some hosts name files by URL, some by path. */
function withoutScheme(file: string): string {
  return file.replace(/^file:\/\//, "");
}

/** Where the project's files are, as the host names them. */
const ROOT = withoutScheme(new URL("../", import.meta.url).href);

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
export function stackFrames(most: number = MAX_FRAMES): StackFrame[] {
  const host = Error as unknown as V8Error;
  const limit = host.stackTraceLimit;
  const prepare = host.prepareStackTrace;
  host.stackTraceLimit = most;
  host.prepareStackTrace = sitesOnly;
  const sites = new Error().stack as unknown as readonly CallSite[];
  host.prepareStackTrace = prepare;
  host.stackTraceLimit = limit;
  const frames: StackFrame[] = [];
  for (const site of Array.isArray(sites) ? sites : []) {
    const name = site.getFunctionName() ?? "";
    if (name === "" || name === "stackFrames" || name === "next") continue;
    // The script's name costs little; the file's name and line go through the host's source map.
    const file = withoutScheme(site.getScriptNameOrSourceURL?.() ?? site.getFileName() ?? "");
    // Below the engine the stack is the host's.
    if (file === ENGINE && name.endsWith("runCpu")) break;
    if (file === "" || file.startsWith(ROOT + "kernel/machine/")) continue;
    frames.push(new HostFrame(name.replace(/^.*\./, ""), file, site));
  }
  return frames;
}

/** A frame whose line is looked up when it is asked for. */
class HostFrame implements StackFrame {
  constructor(readonly name: string, readonly file: string, private readonly site: CallSite) {}

  get line(): number {
    return this.site.getLineNumber() ?? 0;
  }
}

/** The files that make reports: not part of what they report. */
const REPORTERS = ["kernel/stacktrace.ts", "kernel/printk.ts", "kernel/bug.ts"].map((file) => ROOT + file);

/** Folders of the emulated kernel proper: there a name that is not C's is a helper of the function that called it. */
const MIRRORS = ["kernel/", "mm/", "rcu/", "init/"].map((folder) => ROOT + folder);

/** Names of the current call chain, innermost first, up to the thread's body; helpers of ours are left out. */
export function callTrace(): string[] {
  return stackFrames()
    .filter(({ file }) => !REPORTERS.includes(file))
    .filter(({ file, name }) => C_NAME.test(name) || !MIRRORS.some((folder) => file.startsWith(folder)))
    .map((frame) => frame.name);
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
