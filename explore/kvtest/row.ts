// SPDX-License-Identifier: GPL-2.0-only
/**
 * A row of the kvtest table: 20 columns, as tab-separated text or as data.
 *
 * Invariant: the text is that of the recorded table: `-` for what did not happen, nothing for what a kernel does not
 * have, `[1+510]` for blocks from the newest on.
 *
 * @module
 */

import type { Config } from "../../kernel/config.ts";

/** What RCU of a CPU holds right after the calls; tiny RCU has nothing of it. */
export interface Queued {
  readonly cached_before: number;
  readonly cached_after: number;
  readonly count: number;
  readonly list: number;
  readonly ch_slab: readonly number[];
  readonly ch_vmalloc: readonly number[];
}

/** A row. Times are jiffies; null is what did not happen. */
export interface KvtestRow {
  readonly kernel: string;
  readonly cpus: number;
  readonly case: string;
  readonly op: string;
  readonly cpu: number;
  readonly queued: Queued | null;
  readonly monitor_at_j: number | null;
  readonly n_monitor: number;
  readonly gp_wait_j: number | null;
  readonly n_work: number;
  readonly gp_starts: number;
  readonly bulk_nr_records_in_order: readonly number[];
  readonly kvfree_callbacks: number;
  readonly fill_cache_at_j: number | null;
  readonly phase: number;
  /** Calls that waited for a grace period themselves; not one of the table's columns. */
  readonly inline_waits: number;
  /** What the columns cannot say: scenarios with readers. */
  readonly notes: readonly string[];
}

const PHASE = "(j0+1250)%64";

const COLUMNS = [
  "kernel",
  "cpus",
  "case",
  "op",
  "cpu",
  "cached_before",
  "cached_after",
  "count",
  "list",
  "ch_slab",
  "ch_vmalloc",
  "monitor_at_j",
  "n_monitor",
  "gp_wait_j",
  "n_work",
  "gp_starts",
  "bulk_nr_records_in_order",
  "kvfree_callbacks",
  "fill_cache_at_j",
  PHASE,
] as const;

/** The header line. */
export const HEADER: string = COLUMNS.join("\t");

/** Name of the kernel as the recordings call it, or the level. */
export function kernelName({ level, rcu }: Config): string {
  const name = level === "7/7" ? "series" : level === "v6.1.192" ? "6.1" : level;
  return rcu === "tiny" ? `${name}-tiny` : name;
}

function cellOf(value: unknown, column: string): string {
  if (value === undefined) return "";
  if (Array.isArray(value)) {
    const text = value.join("+");
    if (column.startsWith("ch_")) return `[${text}]`;
    return text === "" ? "-" : text;
  }
  if (value === null || (column === "kvfree_callbacks" && value === 0)) return "-";
  return column.endsWith("_j") ? (value as number).toFixed(1) : String(value);
}

/** The cells by column; those that tiny RCU does not have are undefined. */
function cells(row: KvtestRow): Readonly<Record<string, unknown>> {
  const { queued, phase, ...rest } = row;
  return { ...rest, ...queued, [PHASE]: phase };
}

/** The row as text. */
export function rowText(row: KvtestRow): string {
  const values = cells(row);
  return COLUMNS.map((column) => cellOf(values[column], column)).join("\t");
}

/** What a field of a row's data is. */
export type Field = string | number | null | readonly number[] | readonly string[];

/** The row as data: numbers, lists and null, by column; after them the calls that waited, and notes if there are any. */
export function rowFields(row: KvtestRow): Readonly<Record<string, Field>> {
  const values = cells(row);
  const fields: Record<string, Field> = {};
  for (const column of COLUMNS) {
    const value = (values[column] ?? null) as Field;
    fields[column] = typeof value === "number" && column.endsWith("_j") ? Number(value.toFixed(1)) : value;
  }
  fields.inline_waits = row.inline_waits;
  if (row.notes.length > 0) fields.notes = row.notes;
  return fields;
}
