// SPDX-License-Identifier: GPL-2.0-only
// The session of the kernel commands: a workbench with a machine on it, and the kernel's names for TypeScript.
//
// Ours. The kernel is loaded by the first command or line of TypeScript that needs it, not at start: the prompt is
// there in 50 ms. Invariants: what a command does to the machine goes through the workbench, so that it can be done
// again (goto, rstep, TOKEN); what TypeScript does to it goes through a thread (kernel_calls.ts), or is noticed here
// and said; each report of the kernel is shown once, when it has happened.

import type { Kernel } from "../kernel/kernel.ts";
import type { MaySleep } from "../kernel/machine/effects.ts";
import type { Workbench } from "../explore/workbench.ts";
import type { Scenario } from "../explore/scenario.ts";
import type { Output } from "./command.ts";
import { BREATHE } from "./command.ts";
import { KernelCall } from "./kernel_calls.ts";
import { lineOfInput } from "./inputs.ts";
import { Programs } from "./programs.ts";
import { dmesgLine } from "./render/dmesg.ts";
import { Session } from "./session.ts";
import type { SiteTable } from "./sites.ts";
import { headline, type Outcome, placeOf, ShellError, STATUS, UsageError } from "./status.ts";

/** What a command that needs a machine says without one. */
export const NOT_BOOTED = "no kernel is booted. Try: boot --rcu tiny";

/** Errors of the library that are the user's mistakes; their message is one line for the user. */
const USER_ERRORS = new Set(["ConfigError", "OptionError", "WorkbenchError", "TokenError"]);

/** TypeScript and loops over a run give way to the host this often. */
const PAUSE_MS = 30;

/** What the kernel commands share. */
export class KernelSession extends Session {
  /** What `run` can run, by name. */
  readonly programs: Programs;
  /** Names of trace events, for Tab; known after the first boot. */
  eventNames: readonly string[] = [];
  private workbench: Workbench | undefined;
  private siteTable: SiteTable | undefined;
  private reportsShown = 0;
  private before = "";

  /** `importFile` loads a user's file; tests pass one that needs no permission. */
  constructor(importFile: (url: string) => Promise<unknown> = (url) => import(url)) {
    super();
    this.programs = new Programs(importFile);
    this.define("k", () => this.booted ? this.k : undefined);
  }

  /** Whether a machine is on the bench. */
  get booted(): boolean {
    return this.workbench?.booted === true;
  }

  /** The workbench, with a machine on it. */
  get bench(): Workbench {
    if (this.workbench?.booted !== true) throw new UsageError(NOT_BOOTED);
    return this.workbench;
  }

  /** The machine on the bench. */
  get k(): Kernel {
    return this.bench.k;
  }

  /** The call sites captured on this machine. */
  get sites(): SiteTable {
    if (this.siteTable === undefined) throw new UsageError(NOT_BOOTED);
    return this.siteTable;
  }

  /** Boots a machine in place of the one that is there. Throws, and keeps that one, when the choice is impossible. */
  async boot(start: (bench: Workbench) => Kernel): Promise<Kernel> {
    const [{ Workbench }, { SiteTable }, { traceEvents }] = await Promise.all([
      import("../explore/workbench.ts"),
      import("./sites.ts"),
      import("../kernel/trace/table.ts"),
    ]);
    this.eventNames = traceEvents.flatMap(({ system, name }) => [name, `${system}:${name}`]);
    const bench = this.workbench ?? new Workbench();
    const k = start(bench);
    this.workbench = bench;
    this.siteTable = new SiteTable();
    this.siteTable.watch(k);
    this.reportsShown = 0;
    return k;
  }

  /** Carries out work of the workbench in chunks, showing reports; says so when it is interrupted. */
  *proceed(work: Iterable<void>): Generator<Output, void, void> {
    const { bench } = this;
    let stopped = true;
    try {
      for (const _ of work) {
        yield* this.newReports();
        yield BREATHE;
      }
      stopped = false;
      yield* this.newReports();
    } catch (error) {
      stopped = false;
      throw error;
    } finally {
      if (stopped && bench.running) {
        this.host.warn(`stopped at event ${bench.k.seq}; cont goes on from there`);
      }
    }
  }

  /** The same without a word: after going back, and where the events themselves are shown. */
  *proceedSilently(work: Iterable<void>): Generator<Output, void, void> {
    for (const _ of work) yield BREATHE;
    this.reportsShown = this.k.reports.length;
  }

  /** Lines of the reports that were not shown yet. */
  *newReports(): Generator<string, void, void> {
    const { k } = this;
    for (; this.reportsShown < k.reports.length; this.reportsShown++) {
      const report = k.reports[this.reportsShown];
      const place = userPlace(k.lastException);
      const thrown = place !== undefined && report.title.endsWith(headline(k.lastException));
      for (const line of report.lines) yield dmesgLine(report.ns, thrown ? `${line} (${place})` : line);
    }
  }

  /** Puts the names of the library into the scope of TypeScript. */
  override async prepare(): Promise<void> {
    if (!("GFP_KERNEL" in this.scope)) {
      const [mod, { kernelNames }] = await Promise.all([import("../mod.ts"), import("./kernel_calls.ts")]);
      const names = kernelNames(mod, () => this.k, (call) => this.carryOut(call));
      for (const [name, value] of Object.entries(names)) if (!(name in this.scope)) this.set(name, value);
    }
    this.before = this.fingerprint();
  }

  override isCall(value: unknown): value is PromiseLike<unknown> {
    return value instanceof KernelCall;
  }

  /** A call of a kernel function is carried out; what else changed the machine is said. */
  override settle(value: unknown): Promise<unknown> | undefined {
    if (this.before !== this.fingerprint()) {
      this.host.warn(
        "this line changed the machine outside of a thread: going back or a TOKEN will not bring that back",
      );
    }
    return value instanceof KernelCall ? Promise.resolve(value) : undefined;
  }

  /** Runs a call in a thread of its own until all that it caused is over. */
  private async carryOut<T>(call: KernelCall<T>): Promise<T> {
    const { bench } = this;
    const result: { value?: T } = {};
    const scenario: Scenario = {
      name: call.name,
      summary: "",
      options: [],
      main: function* typescript(): MaySleep<void> { // the name that call traces and call sites show
        delete result.value; // going back does it again
        result.value = yield* call;
      },
    };
    const run = bench.start(scenario, {}, null);
    let pause = performance.now();
    for (const output of this.proceed(bench.advance())) {
      if (output !== BREATHE) this.host.out(output);
      if (performance.now() - pause < PAUSE_MS) continue;
      await new Promise((resolve) => setTimeout(resolve, 0));
      if (this.host.interrupted()) this.host.signal.throwIfAborted();
      pause = performance.now();
    }
    const { verdictLines, verdictStatus } = await import("./render/verdict.ts");
    const verdict = run.verdict();
    this.before = this.fingerprint();
    const status = verdictStatus(bench.k, verdict);
    if (status === STATUS.ok && "value" in result) return result.value as T;
    for (const line of verdictLines(bench.k, scenario.name, verdict)) this.host.out(line);
    throw new ShellError(status === STATUS.ok ? STATUS.failed : status, ""); // its lines have said it
  }

  /** Changes when the machine does; by no means a proof, but TypeScript hardly changes it without an event or a store. */
  private fingerprint(): string {
    return this.booted ? `${this.k.seq} ${this.k.hash.text()}` : "";
  }

  /** Addresses in hexadecimal; what to do with a generator. */
  override show(value: unknown): readonly string[] | undefined {
    if (typeof value === "number" && value >= LOWEST_ADDRESS && value < 2 ** 48 && Number.isInteger(value)) {
      return [`ffff${value.toString(16)}`];
    }
    if (Object.prototype.toString.call(value) !== "[object Generator]") return undefined;
    return ["a generator that nobody carries out: run(function* (k) { ... }) does, in a thread"];
  }

  /** The kernel's own errors in one line. */
  override explain(error: unknown): Outcome | undefined {
    if (!(error instanceof Error)) return undefined;
    if (USER_ERRORS.has(error.name)) return { status: STATUS.usage, line: error.message };
    if (error.name !== "EmulatorFault" || !this.booted) return undefined;
    const token = this.tokenLine();
    const by = token.startsWith("TOKEN") ? ` with ${token}` : "";
    return { status: STATUS.fault, line: `our own fault: ${error.message}; please report it${by}` };
  }

  /** The line that does all of it again, or why there is none. */
  tokenLine(): string {
    try {
      return `TOKEN ${this.bench.token()}`;
    } catch (error) {
      return `no TOKEN: ${error instanceof Error ? error.message : String(error)}`;
    }
  }
}

/** Where the user's own code threw: in a TypeScript line, outside of this project, or as far out as it gets. */
function userPlace(error: unknown): string | undefined {
  const line = error instanceof Error ? lineOfInput(error.stack ?? "") : undefined;
  if (line !== undefined) return `line ${line}`;
  return placeOf(error, (file) => !file.startsWith(ROOT)) ?? placeOf(error, (file) => !KERNEL.test(file)) ??
    placeOf(error);
}

const ROOT = new URL("../", import.meta.url).href;
const KERNEL = /\/(kernel|mm|rcu|init|explore|repl)\/[\w/.-]+\.ts/;
/** Start of the upper half of the 48 bits: everything that is an address of the kernel. */
const LOWEST_ADDRESS = 2 ** 47;
