// SPDX-License-Identifier: GPL-2.0-only
// One workload at many levels, as a table of at most 80 columns.
//
// Ours. Invariant: a row says which level it is about and nothing that depends on the host.

import { bulkText } from "../../mod.ts";
import type { LevelRun } from "../../examples/workloads/compare.ts";
import type { Fields } from "../command.ts";
import { wrapped } from "./text.ts";

const SIZES = 20;

/** What the columns are: `help series` says it. */
export const TABLE_HEAD = row([
  "level",
  "given",
  "freed",
  "GPs",
  "timer",
  "bulk",
  "sizes",
  "peak",
  "ms",
  "wait",
  "rep",
]);

/** One level as data. */
export function runFields(run: LevelRun): Fields {
  const { level, refused, counts, reports, pending, leaked, ending } = run;
  const { given, freed, gracePeriods, monitorRuns, bulk, peakPages, reclaimNs, blocked } = counts;
  const numbers = { given, freed, gracePeriods, monitorRuns, bulk, peakPages, reclaimNs, blocked };
  return refused === null ? { level, ...numbers, reports, pending, leaked, ending } : { level, refused };
}

/** The lines of one level. */
export function* tableLines(run: LevelRun): Generator<string, void, void> {
  const { level, refused, counts, reports } = run;
  if (refused !== null) {
    yield* wrapped(`${level.padEnd(8)} `, `not run: ${refused}`, 9);
    return;
  }
  yield row([
    level,
    counts.given,
    counts.freed,
    counts.gracePeriods,
    counts.monitorRuns,
    counts.bulk.length,
    sizes(counts.bulk),
    counts.peakPages,
    counts.freed === 0 ? "-" : `${(counts.reclaimNs / 1e6).toFixed(1)}`,
    counts.blocked,
    reports,
  ]);
  yield* remarks(run);
}

function* remarks({ pending, leaked, ending }: LevelRun): Generator<string, void, void> {
  if (pending > 0) yield `${" ".repeat(9)}! ${pending} wait for ever: nothing will free them`;
  if (leaked > 0) yield `${" ".repeat(9)}! ${leaked} leaked`;
  if (ending !== "completed" && ending !== "undrained") yield `${" ".repeat(9)}! it ended in ${ending}`;
}

/** Exact when it is short: `410+510*9`; otherwise the smallest and the largest. */
function sizes(bulk: readonly number[]): string {
  const text = bulkText(bulk);
  return text.length <= SIZES ? text : `${Math.min(...bulk)} to ${Math.max(...bulk)}`;
}

function row(cells: readonly (string | number)[]): string {
  const [level, given, freed, gps, timer, bulk, size, peak, reclaim, wait, rep] = cells.map(String);
  return [
    level.padEnd(8),
    given.padStart(5),
    freed.padStart(5),
    gps.padStart(4),
    timer.padStart(5),
    bulk.padStart(4),
    size.padEnd(SIZES),
    peak.padStart(5),
    reclaim.padStart(7),
    wait.padStart(4),
    rep.padStart(3),
  ].join(" ");
}
