// SPDX-License-Identifier: GPL-2.0-only
/**
 * Call traces: the names of the functions on the host's call stack that belong to the emulated kernel.
 *
 * Through `yield*` a suspended chain of generators is a real call chain while it runs, so the host's stack is the
 * kernel's. Looking at it costs microseconds: it is done for reports, for fault-injection filters and on request.
 * It is observation: no part of a run depends on it, but for injection rules that name a function.
 *
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

/** Frames deeper than this are not looked at. */
const MAX_FRAMES = 48;

/**
 * The current call chain, innermost first, without the emulator's machinery.
 *
 * @invented save_stack_trace() walks real stacks
 */
export function stackFrames(): StackFrame[] {
  const host = Error as unknown as V8Error;
  const limit = host.stackTraceLimit;
  const prepare = host.prepareStackTrace;
  host.stackTraceLimit = MAX_FRAMES;
  host.prepareStackTrace = (_error, sites) => sites;
  const sites = new Error().stack as unknown as readonly CallSite[];
  host.prepareStackTrace = prepare;
  host.stackTraceLimit = limit;
  const frames: StackFrame[] = [];
  for (const site of Array.isArray(sites) ? sites : []) {
    const file = site.getFileName() ?? "";
    const name = site.getFunctionName() ?? "";
    if (file.includes("/kernel/machine/")) continue;
    if (name === "" || name === "stackFrames" || name === "next" || file === "") continue;
    frames.push({ name: name.replace(/^.*\./, ""), file, line: site.getLineNumber() ?? 0 });
  }
  return frames;
}

const OWN_FILES = /\/(kernel|mm|rcu|init)\//;

/** Names of the current call chain, innermost first, up to the thread's body. */
export function callTrace(): string[] {
  const names: string[] = [];
  for (const frame of stackFrames()) {
    if (/\/kernel\/(stacktrace|printk|bug)\.ts$/.test(frame.file)) continue;
    if (/\/(repl|tests|tools|bench)\//.test(frame.file) && !/^[a-z0-9_]+$/.test(frame.name)) break;
    names.push(frame.name);
  }
  return names;
}

const C_NAME = /^_*[a-z][a-z0-9_]*$/;

/**
 * The function that called into the allocator: the innermost frame outside mm/ that bears a C name (a helper of ours
 * counts as part of the function that it helps).
 *
 * @invented stands in for _RET_IP_
 */
export function allocationCaller(): StackFrame | undefined {
  return stackFrames().find((f) =>
    C_NAME.test(f.name) && !/\/mm\//.test(f.file) &&
    !/\/kernel\/(fault_inject|kernel|bug|printk)\.ts$/.test(f.file)
  );
}

/** Whether the frame's file is part of the emulated kernel proper. */
export function isKernelFile(file: string): boolean {
  return OWN_FILES.test(file);
}
