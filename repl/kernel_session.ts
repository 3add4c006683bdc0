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
import type { LiveObject } from "../mm/live.ts";
import { BREATHE, type Names, type Output, type Row, row } from "./command.ts";
import { KernelCall } from "./kernel_calls.ts";
import { lineOfInput } from "./inputs.ts";
import { Programs } from "./programs.ts";
import { dmesgLine } from "./render/dmesg.ts";
import { Session } from "./session.ts";
import type { SiteTable } from "./sites.ts";
import { OwnSources, SourceIndex, type SourceReader } from "./source_index.ts";
import { headline, isA, type Outcome, placeOf, ShellError, stackOf, STATUS, UsageError } from "./status.ts";

/** What a command that needs a machine says without one. */
export const NOT_BOOTED = "no kernel is booted. Try: boot";

/** Errors of the library that are the user's mistakes; their message is one line for the user. */
const USER_ERRORS = new Set(["ConfigError", "OptionError", "WorkbenchError", "TokenError"]);

/** Addresses that Tab offers: of the youngest objects. */
const MOST_ADDRESSES = 200;
/** Names of Linux that `apropos` lists. */
const MOST_FOUND = 20;

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
  private readonly reader: SourceReader;
  private index: SourceIndex | undefined;
  private caches: (k: Kernel) => Iterable<string> = () => [];
  private live: ((k: Kernel) => Iterable<LiveObject>) | undefined;
  private levels: readonly string[] = [];
  private bugs: readonly string[] = [];

  /** `importFile` loads a user's file, `reader` our own; tests pass some that need no permission. */
  constructor(
    importFile: (url: string) => Promise<unknown> = (url) => import(url),
    reader: SourceReader = new OwnSources(),
  ) {
    super();
    this.reader = reader;
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

  /** Our own sources, read at the first use. Throws in one line when they may not be read. */
  sources(): Promise<SourceIndex> {
    return Promise.resolve(this.index ??= mayRead(() => new SourceIndex(this.reader)));
  }

  /** The text of one of our files. Throws in one line when it may not be read. */
  sourceText(path: string): string {
    const text = mayRead(() => this.reader.read(path));
    if (text === undefined) throw new UsageError(`there is no file ${path} where this shell was loaded from`);
    return text;
  }

  /** Every trace event. */
  async events(): Promise<readonly { readonly system: string; readonly name: string }[]> {
    return (await import("../kernel/trace/table.ts")).traceEvents;
  }

  override async prepareNames(line: string): Promise<void> {
    const [{ LEVELS }, { BUGS }, live, { slabinfo_show }, events] = await Promise.all([
      import("../kernel/config.ts"),
      import("../examples/bugs/catalogue.ts"),
      import("../mm/live.ts"),
      import("../mm/slab_common.ts"),
      this.events(),
    ]);
    this.levels = LEVELS;
    this.bugs = BUGS.map(({ id }) => id);
    this.live = live.liveObjects;
    this.caches = (k) => [...slabinfo_show(k)].slice(2);
    this.eventNames = events.flatMap(({ system, name }) => [name, `${system}:${name}`]);
    await this.programs.preload();
    if (/\b(src|xref)\b/.test(line)) await this.sources();
  }

  override namesOf(names: Names): readonly string[] {
    switch (names) {
      case "level":
        return this.levels;
      case "bug":
        return this.bugs;
      case "event":
        return this.eventNames;
      case "example":
        return this.programs.names();
      case "symbol":
        return this.index?.names() ?? [];
      case "cpu":
        return this.booted ? this.k.cpus.map(({ id }) => String(id)) : [];
      case "cache":
        return this.booted ? [...this.caches(this.k)].map((line) => line.split(" ")[0]) : [];
      case "address": {
        const variables = Object.keys(this.scope).filter((name) => isAddress(this.scope[name]));
        const youngest = this.objects().sort((a, b) => b.birth - a.birth).slice(0, MOST_ADDRESSES);
        return [...variables, ...youngest.map(({ addr }) => `ffff${addr.toString(16)}`)];
      }
      default:
        return [];
    }
  }

  private objects(): LiveObject[] {
    return this.booted && this.live !== undefined ? [...this.live(this.k)] : [];
  }

  override async *apropos(
    word: string,
  ): AsyncGenerator<{ name: string; what: string; summary: string }, void> {
    for (const { system, name } of await this.events()) {
      if (`${system}:${name}`.includes(word)) {
        yield { name, what: "event", summary: `trace -e ${system}:${name}` };
      }
    }
    const { BUGS } = await import("../examples/bugs/catalogue.ts");
    for (const { id, title } of BUGS) {
      if (title.toLowerCase().includes(word)) yield { name: id, what: "bug", summary: title };
    }
    let index: SourceIndex;
    try {
      index = await this.sources();
    } catch {
      return; // without the sources there is still the rest
    }
    const names = index.entries.filter(({ name, mirrors }) =>
      mirrors.length > 0 && name.toLowerCase().includes(word)
    );
    for (const { name, mirrors } of names.slice(0, MOST_FOUND)) {
      yield { name, what: "src", summary: mirrors[0] };
    }
    if (names.length > MOST_FOUND) {
      yield { name: "...", what: "src", summary: `and ${names.length - MOST_FOUND} more names of Linux` };
    }
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
  *newReports(): Generator<Output, void, void> {
    const { k } = this;
    for (; this.reportsShown < k.reports.length; this.reportsShown++) {
      const report = k.reports[this.reportsShown];
      const place = userPlace(k.lastException);
      const thrown = place !== undefined && report.title.endsWith(headline(k.lastException));
      const { title, ns, seq } = report;
      const told = report.lines.map((line) => thrown ? `${line} (${place})` : line);
      const fields = { title, ns, event: seq, lines: told };
      yield row("report", fields, ...told.map((line) => dmesgLine(ns, line)));
    }
  }

  /** Puts the names of the library into the scope of TypeScript. */
  override async prepare(): Promise<void> {
    if (!("GFP_KERNEL" in this.scope)) {
      const [mod, looks, { kernelNames }] = await Promise.all([
        import("../mod.ts"),
        import("./looks.ts"),
        import("./kernel_calls.ts"),
      ]);
      const names = kernelNames({ ...looks, ...mod }, () => this.k, (call) => this.carryOut(call));
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
    const { verdictRow, verdictStatus } = await import("./render/verdict.ts");
    const verdict = run.verdict();
    this.before = this.fingerprint();
    const status = verdictStatus(bench.k, verdict);
    if (status === STATUS.ok && "value" in result) return result.value as T;
    this.host.out(verdictRow(bench.k, scenario.name, verdict));
    throw new ShellError(status === STATUS.ok ? STATUS.failed : status, ""); // its lines have said it
  }

  /** Changes when the machine does; by no means a proof, but TypeScript hardly changes it without an event or a store. */
  private fingerprint(): string {
    return this.booted ? `${this.k.seq} ${this.k.hash.text()}` : "";
  }

  /** Addresses in hexadecimal; what to do with a generator. */
  override show(value: unknown): readonly string[] | undefined {
    if (isAddress(value)) return [`ffff${value.toString(16)}`];
    if (Object.prototype.toString.call(value) !== "[object Generator]") return undefined;
    return ["a generator that nobody carries out: run(function* (k) { ... }) does, in a thread"];
  }

  /** The kernel's own errors in one line. */
  override explain(error: unknown): Outcome | undefined {
    if (!isA(error, Error)) return undefined;
    if (USER_ERRORS.has(error.name)) return { status: STATUS.usage, line: error.message };
    if (error.name !== "EmulatorFault" || !this.booted) return undefined;
    const token = this.tokenLine();
    const by = token.startsWith("TOKEN") ? ` with ${token}` : "";
    return { status: STATUS.fault, line: `our own fault: ${error.message}; please report it${by}` };
  }

  /** The same as data. */
  tokenRow(): Row {
    const line = this.tokenLine();
    const token = /^TOKEN (.*)$/.exec(line)?.[1];
    return row("token", token === undefined ? { token: null, why: line } : { token }, line);
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

/** Reads our own files; what the host refuses is one line. */
function mayRead<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    const why = error instanceof Deno.errors.NotCapable
      ? "the permission to read them was not given (--allow-read)"
      : headline(error);
    throw new UsageError(`the sources of this shell cannot be read: ${why}`);
  }
}

/** Whether a value can only be an address of the kernel. */
function isAddress(value: unknown): value is number {
  return typeof value === "number" && value >= LOWEST_ADDRESS && value < 2 ** 48 && Number.isInteger(value);
}

/** Where the user's own code threw: in a TypeScript line, outside of this project, or as far out as it gets. */
function userPlace(error: unknown): string | undefined {
  const line = lineOfInput(stackOf(error));
  if (line !== undefined) return `line ${line}`;
  return placeOf(error, (file) => !file.startsWith(ROOT)) ?? placeOf(error, (file) => !KERNEL.test(file)) ??
    placeOf(error);
}

const ROOT = new URL("../", import.meta.url).href;
const KERNEL = /\/(kernel|mm|rcu|init|explore|repl)\/[\w/.-]+\.ts/;
/** Start of the upper half of the 48 bits: everything that is an address of the kernel. */
const LOWEST_ADDRESS = 2 ** 47;
