// SPDX-License-Identifier: GPL-2.0-only
/**
 * Playing the resize program once, and what went wrong in it: classes of fault, and the story of the object.
 *
 * Invariant: what a run did is asked of the run (reports, the allocators' truth, the log), never of the table of
 * differences. Only tokens are played with call sites captured, which costs and changes nothing.
 *
 * @module
 */

import {
  addFailRule,
  type Config,
  type FailRule,
  type Kernel,
  memoryVerdict,
  type Schedule,
} from "../../mod.ts";
import { Run, type RunLimits } from "../../explore/run.ts";
import { checkOptions, type OptionValues, type Scenario } from "../../explore/scenario.ts";
import { judgeRun } from "../../explore/search/judge.ts";
import { bootKernel } from "../../init/main.ts";
import { allocationCaller } from "../../kernel/stacktrace.ts";
import { traceEvents } from "../../kernel/trace/table.ts";
import type { EventRecord } from "../../kernel/machine/log.ts";
import type { Evidence } from "../framework/evidence.ts";
import { columns } from "./columns.ts";
import type { FaultClass } from "./differences.ts";
import type { Seen } from "./program.ts";

/** What is played. */
export interface Play {
  readonly config: Config;
  readonly schedule: Schedule;
  readonly scenario: Scenario;
  readonly options: OptionValues;
  readonly faults: readonly FailRule[];
}

/** What came of it. */
export interface Played {
  readonly k: Kernel;
  readonly run: Run;
  /** One line; null: it all held. */
  readonly failure: string | null;
  readonly classes: ReadonlySet<FaultClass>;
  /** Stalls that it is given, or that the seed drew. */
  readonly stalls: number;
  /** Name of the function that a record was made in, if that was asked for. */
  siteOf(record: EventRecord): string;
}

/** A run is over by then; longer is a livelock. */
export const LIMITS: RunLimits = { ns: 10e9, points: 400_000 };

/** Plays it once. */
export function play({ config, schedule, scenario, options, faults }: Play, sites = false): Played {
  const { deviations } = schedule;
  const k = bootKernel(config, { ...schedule, recordSites: deviations === null });
  const names = [""];
  if (sites) {
    const kinds = new Set(
      traceEvents.filter(({ system }) => /^(kmem|vmalloc)$/.test(system)).map(({ id }) => id),
    );
    k.captureSite = (kind) => {
      if (!kinds.has(kind)) return 0;
      const name = allocationCaller()?.name ?? "";
      const at = names.indexOf(name);
      return at >= 0 ? at : names.push(name) - 1;
    };
  }
  for (const rule of faults) addFailRule(k, rule);
  const run = new Run(k, scenario, checkOptions(scenario, options), LIMITS);
  run.advance();
  return {
    k,
    run,
    failure: judgeRun(k, run)?.text ?? null,
    classes: classesOf(k, run),
    stalls: deviations === null ? k.chooser.taken.length : deviations.length,
    siteOf: (record) => names[record.site] ?? "",
  };
}

/** What a failed check shows of a run: up to its first report, or else to its end. */
export function evidence(cause: string, token: string | null, played: Played | null): Evidence {
  if (played === null) return { cause, token, trace: [] };
  return { cause, token, trace: columns(played.k, played.run.startSeq) };
}

const TITLES: readonly (readonly [RegExp, FaultClass])[] = [
  [/use-after-free/, "uaf"],
  [/double-free/, "double free"],
  [/scheduling while atomic|still has locks held|sleeping function called/, "stall"],
];

/** What a run shows, by its reports, its end and its memory. */
export function classesOf(k: Kernel, run: Run): Set<FaultClass> {
  const classes = new Set<FaultClass>();
  const { ending, reports } = run.verdict();
  for (const { title } of reports === 0 ? [] : k.reports.slice(-reports)) {
    for (const [pattern, what] of TITLES) if (pattern.test(title)) classes.add(what);
  }
  if (ending === "deadlock" || ending === "livelock" || ending === "undrained") classes.add("stall");
  if (memoryVerdict(k, run.startSeq).leaked.length > 0) classes.add("leak");
  return classes;
}

/** The story of what a fault is about. */
export interface Story {
  /** The event of its allocation; of the rcu_read_lock() that was never undone. */
  readonly event: number;
  /** The function that allocated it; the thread that is the reader. */
  readonly who: string;
  /** Bytes asked for; 0 of a section. */
  readonly bytes: number;
  /** The function that freed it first; "nobody". */
  readonly freedBy: string;
}

/** The stories that a run of this class tells, any of which is right. */
export function storiesOf(played: Played, what: FaultClass, seen: Seen): Story[] {
  const { k, run } = played;
  switch (what) {
    case "leak":
      return memoryVerdict(k, run.startSeq).leaked.flatMap(({ addr }) => lastLife(played, addr, k.seq) ?? []);
    case "uaf":
    case "double free":
      return k.reports.flatMap(({ title, lines, seq }) => {
        const pattern = what === "uaf" ? /use-after-free/ : /double-free/;
        const addr = pattern.test(title) ? addressIn(lines) : undefined;
        return addr === undefined ? [] : lastLife(played, addr, seq) ?? [];
      });
    case "stall":
      return openSections(k, run.startSeq).map(({ seq, task }) => ({
        event: seq,
        who: seen.threads[task] ?? "",
        bytes: 0,
        freedBy: "nobody",
      }));
    default:
      return [];
  }
}

function addressIn(lines: readonly string[]): number | undefined {
  for (const line of lines) {
    const digits = /(?:belongs to the object at|of size \d+ at addr) ffff([0-9a-f]{12})/.exec(line)?.[1];
    if (digits !== undefined) return parseInt(digits, 16);
  }
  return undefined;
}

const NAMES: ReadonlyMap<number, string> = new Map(traceEvents.map(({ id, name }) => [id, name]));

/** The last life of the object at `addr` that began before event `before`. */
function lastLife(played: Played, addr: number, before: number): Story | null {
  const { k, run, siteOf } = played;
  let life: { addr: number; event: number; who: string; bytes: number; freedBy: string } | undefined;
  for (const r of k.log.records(run.startSeq)) {
    if (r.seq > before) break;
    const name = NAMES.get(r.kind) ?? "";
    const [at, bytes] = r.args;
    if (/^(kmalloc|kmem_cache_alloc|vmalloc)/.test(name) && at <= addr && addr < at + bytes) {
      life = { addr: at, event: r.seq, who: siteOf(r), bytes, freedBy: "nobody" };
    } else if (/^(kfree|vfree|kmem_cache_free)$/.test(name) && life?.addr === at) {
      if (life.freedBy === "nobody") life.freedBy = siteOf(r);
    }
  }
  return life ?? null;
}

/** Records of rcu_read_lock() that no rcu_read_unlock() of the task has undone. */
function openSections(k: Kernel, since: number): EventRecord[] {
  const open = new Map<number, EventRecord[]>();
  for (const r of k.log.records(since)) {
    const name = NAMES.get(r.kind);
    const sections = open.get(r.task) ?? [];
    if (name === "rcu_read_lock") open.set(r.task, [...sections, r]);
    else if (name === "rcu_read_unlock") open.set(r.task, sections.slice(0, -1));
  }
  return [...open.values()].flat();
}
