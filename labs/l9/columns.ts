// SPDX-License-Identifier: GPL-2.0-only
/**
 * The last events of a run before its failure, a column for each CPU: what a failed check shows.
 *
 * @module
 */

import type { Kernel } from "../../mod.ts";
import { traceEvents } from "../../kernel/trace/table.ts";

/** Events that tell the story, and what they are called in a column. */
const SHOWN: Readonly<Record<string, string>> = {
  rcu_read_lock: "lock",
  rcu_read_unlock: "unlock",
  call_rcu: "call_rcu",
  rcu_callback: "call_rcu",
  kvfree_rcu: "kvfree_rcu",
  rcu_invoke_callback: "callback",
  kfree: "kfree",
  vfree: "vfree",
  tracing_mark_write: "grown",
};

const NAMES: ReadonlyMap<number, string> = new Map(traceEvents.map(({ id, name }) => [id, name]));
const WIDTH = 11;
/** CPUs that fit a line. */
const MOST_CPUS = 6;

/** At most `most` lines, the last ones before event `to`, and a heading. */
export function columns(k: Kernel, since: number, to: number, most = 12): string[] {
  const cpus = Math.min(MOST_CPUS, k.cpus.length);
  const rows: string[] = [];
  for (const r of k.log.records(since)) {
    if (r.seq > to) break;
    const word = SHOWN[NAMES.get(r.kind) ?? ""];
    if (word === undefined || r.cpu >= cpus) continue;
    const cells = Array.from({ length: cpus }, (_, cpu) => (cpu === r.cpu ? word : ".").padEnd(WIDTH));
    rows.push(`${(r.ns / 1e6).toFixed(3).padStart(9)} ${String(r.seq).padStart(6)}  ${cells.join("").trimEnd()}`);
  }
  if (rows.length === 0) return [];
  const heads = Array.from({ length: cpus }, (_, cpu) => `CPU ${cpu}`.padEnd(WIDTH)).join("").trimEnd();
  return [`${"ms".padStart(9)}  event  ${heads}`, ...rows.slice(-most)];
}
