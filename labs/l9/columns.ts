// SPDX-License-Identifier: GPL-2.0-only
/**
 * The last events of a run before its failure, in few words, a column for each CPU: readers have a CPU each.
 *
 * The framework's columns name threads and events in full, for which four CPUs leave no room. Invariant: looking changes
 * nothing; lines are at most 80 columns wide.
 *
 * @module
 */

import type { Kernel } from "../../mod.ts";
import { traceEvents } from "../../kernel/trace/table.ts";

/** Events that say how an array came to its end, and what they are called here. */
const SHOWN: Readonly<Record<string, string>> = {
  rcu_read_lock: "lock",
  rcu_read_unlock: "unlock",
  rcu_callback: "call_rcu",
  kvfree_rcu: "kvfree_rcu",
  rcu_invoke_callback: "callback",
  rcu_invoke_kfree_bulk_callback: "kfree_bulk",
  kfree: "kfree",
  vfree: "vfree",
  tracing_mark_write: "grown",
};

const NAMES: ReadonlyMap<number, string> = new Map(traceEvents.map(({ id, name }) => [id, name]));
const WIDTH = 12;
/** CPUs that fit a line. */
const MOST_CPUS = 5;

/** A heading and at most `most` lines: the last ones up to the first report, or else to the end. */
export function columns(k: Kernel, since: number, most = 12): string[] {
  const to = k.reports.find(({ seq }) => seq >= since)?.seq ?? k.seq;
  const cpus = Math.min(MOST_CPUS, k.cpus.length);
  const row = (cells: readonly string[]): string =>
    cells.map((cell) => cell.padEnd(WIDTH)).join("").trimEnd();
  const rows: string[] = [];
  for (const r of k.log.records(since)) {
    if (r.seq > to) break;
    const word = SHOWN[NAMES.get(r.kind) ?? ""];
    if (word === undefined || r.cpu >= cpus) continue;
    const cells = Array.from({ length: cpus }, (_, cpu) => cpu === r.cpu ? word : ".");
    rows.push(`${(r.ns / 1e6).toFixed(3).padStart(9)} ${String(r.seq).padStart(6)}  ${row(cells)}`);
  }
  if (rows.length === 0) return [];
  const heads = Array.from({ length: cpus }, (_, cpu) => `CPU ${cpu}`);
  return [`${"ms".padStart(9)}  event  ${row(heads)}`, ...rows.slice(-most)];
}
