// SPDX-License-Identifier: GPL-2.0-only
/**
 * Machines for tests: boot one, run code on it, read what happened from the event log.
 */
import { assertEquals } from "@std/assert";
import type { MaySleep } from "../kernel/machine/effects.ts";
import type { EventRecord } from "../kernel/machine/log.ts";
import { kallsyms_lookup } from "../kernel/kallsyms.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { traceEvents } from "../kernel/trace/table.ts";
import type { TraceEvent } from "../kernel/trace/trace_event.ts";
import { boot, type Config, runToEnd, type RunVerdict } from "../mod.ts";

/** A tiny-RCU machine. */
export function bootForTiny(wanted: Partial<Config> = {}): Kernel {
  return boot({ rcu: "tiny", ...wanted });
}

/** Runs `main` to the end and requires that it completed, with `reports` kernel reports. */
export function runCleanly(k: Kernel, main: (k: Kernel) => MaySleep<void>, reports = 0): RunVerdict {
  const verdict = runToEnd(k, "test", main);
  const text = k.reports.map((r) => r.lines.join("\n")).join("\n");
  assertEquals([verdict.ending, verdict.reports], ["completed", reports], `seed ${k.config.seed}\n${text}`);
  return verdict;
}

const byName: ReadonlyMap<string, TraceEvent> = new Map(traceEvents.map((e) => [e.name, e]));

/** Records of the event called `name` after event `since`. */
export function eventsOf(k: Kernel, name: string, since = 0): EventRecord[] {
  const event = byName.get(name);
  if (event === undefined) throw new Error(`no event ${name}`);
  return [...k.log.records(since + 1)].filter((r) => r.kind === event.id);
}

/** Argument `field` of a record. */
export function arg(record: EventRecord, field: string): number {
  const event = traceEvents.find((e) => e.id === record.kind);
  const at = event?.fields.indexOf(field) ?? -1;
  if (at < 0) throw new Error(`${event?.name} has no field ${field}`);
  return record.args[at];
}

/** workqueue_execute_start records of the work function called `name`. */
export function executionsOf(k: Kernel, name: string, since = 0): EventRecord[] {
  return eventsOf(k, "workqueue_execute_start", since).filter((r) =>
    kallsyms_lookup(k, arg(r, "function")) === name
  );
}

/** Virtual ns per jiffy. */
export function jiffyNs(k: Kernel): number {
  return 1e9 / k.config.HZ;
}
