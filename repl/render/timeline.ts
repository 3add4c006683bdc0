// SPDX-License-Identifier: GPL-2.0-only
// The timeline: one row for each thing that matters to a grace period, with a lane for each task and for each object
// that waits for one.
//
// Ours. Rows come from story.ts; what they leave out (locks, page lists, other timers) is in `trace`. Sections of one
// task that no other row interrupts are one row with their number. Invariants: rows are in the order of the log; no line
// is wider than 80 columns; an object's lane shows `|` from the moment it is queued to the moment it is freed.

import { formatAddr } from "../../kernel/machine/addr.ts";
import type { TraceView } from "../../kernel/trace/trace_event.ts";
import { RCU_LANE, type Row, type Story, type Waiter } from "./story.ts";

const COLUMNS = 80;
/** Most rows and objects that are shown; the rest is counted. */
const MOST_ROWS = 400;
const MOST_OBJECTS = 12;
const MOST_TASKS = 6;
const MOST_COLUMNS = 8;
/** Letters of objects, in order of queueing. */
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

const LEGEND = [
  "R read-side sections, [ : ] one that other rows fall into, * mark, Q queued,",
  "t batch timer, g grace period, w work, c callback, F freed, f free of nothing,",
  "! report or failure made on purpose; | an object waits",
];

/** The lines of a story; `startNs` is when its clock starts. */
export function* timelineLines(
  story: Story,
  view: TraceView,
  startNs: number,
): Generator<string, void, void> {
  if (story.rows.length === 0) {
    yield "nothing happened there that matters to a grace period";
    return;
  }
  const lanes = tasksOf(story.rows);
  const objects = new ObjectColumns(story);
  yield [...lanes.map((pid, i) => `${i + 1} ${view.comm(pid)}`), "r RCU"].join("  ").slice(0, COLUMNS);
  yield* LEGEND;
  yield "";
  const margin = 18 + 2 * (lanes.length + 1) + (objects.width === 0 ? 0 : objects.width + 1);
  yield `${"ms".padStart(8)} ${"event".padStart(6)}  ${[...lanes.map((_, i) => i + 1), "r"].join(" ")}`;
  const inside = new Set<number>();
  for (const row of story.rows.slice(0, MOST_ROWS)) {
    const cells = [...lanes, RCU_LANE].map((lane) => cellOf(row, lane, inside));
    if (row.symbol === "[") inside.add(row.lane);
    if (row.symbol === "]") inside.delete(row.lane);
    const letters = objects.width === 0 ? "" : `${objects.cells(row)} `;
    const head = `${ms(row.record.ns - startNs).padStart(8)} ${String(row.record.seq).padStart(6)}  ` +
      `${cells.join(" ")} ${letters} `;
    yield* wrapped(head, textOf(row, objects), margin);
  }
  if (story.rows.length > MOST_ROWS) {
    yield `... ${story.rows.length - MOST_ROWS} more rows; timeline --from EVENT`;
  }
  yield* endings(story, objects);
}

/** Tasks that have rows, readers first, then in order of appearance. */
function tasksOf(rows: readonly Row[]): number[] {
  const readers = rows.filter((row) => row.sections > 0).map((row) => row.lane);
  const others = rows.map((row) => row.lane).filter((lane) => lane !== RCU_LANE);
  return [...new Set([...readers.sort((a, b) => a - b), ...others])].slice(0, MOST_TASKS);
}

function cellOf(row: Row, lane: number, inside: ReadonlySet<number>): string {
  if (row.lane === lane) return row.symbol;
  return inside.has(lane) ? ":" : ".";
}

function textOf(row: Row, objects: ObjectColumns): string {
  if (row.sections > 0) {
    if (row.symbol === "[") return "rcu_read_lock()";
    return row.sections === 1 ? "reads" : `reads ${row.sections} times`;
  }
  if (row.symbol === "]") return "rcu_read_unlock()";
  const { frees } = row;
  if (frees?.freed === undefined) return row.text;
  return `${row.text} = ${objects.letter(frees)}, after ${ms(frees.freed.ns - frees.queued.ns)} ms`;
}

/** Which column an object has while it waits: columns are used again. */
class ObjectColumns {
  /** Columns that are needed. */
  readonly width: number;
  private readonly columnOf = new Map<Waiter, number>();
  private readonly letters = new Map<Waiter, string>();
  private readonly here: (Waiter | undefined)[] = [];

  constructor(story: Story) {
    story.waiters.forEach((waiter, i) => this.letters.set(waiter, LETTERS[i] ?? "#"));
    const columns: (Waiter | undefined)[] = [];
    for (const row of story.rows) {
      for (const waiter of row.queues) {
        const free = columns.findIndex((user) => user === undefined);
        const column = free < 0 ? columns.length : free;
        columns[column] = waiter;
        this.columnOf.set(waiter, column);
      }
      if (row.frees !== undefined) columns[this.columnOf.get(row.frees) ?? 0] = undefined;
    }
    this.width = Math.min(MOST_COLUMNS, columns.length);
  }

  letter(waiter: Waiter): string {
    return this.letters.get(waiter) ?? "#";
  }

  /** The columns at a row; rows are asked for in order. */
  cells(row: Row): string {
    for (const waiter of row.queues) this.here[this.columnOf.get(waiter) ?? 0] = waiter;
    const cells = Array.from({ length: this.width }, (_, i) => {
      const waiter = this.here[i];
      if (waiter === undefined) return " ";
      if (row.queues.includes(waiter)) return this.letter(waiter);
      return row.frees === waiter ? "F" : "|";
    });
    if (row.frees !== undefined) this.here[this.columnOf.get(row.frees) ?? 0] = undefined;
    return cells.join("");
  }
}

/** What each object waited for, in sentences. */
function* endings(story: Story, objects: ObjectColumns): Generator<string, void, void> {
  if (story.waiters.length === 0) return;
  yield "";
  for (const waiter of story.waiters.slice(0, MOST_OBJECTS)) {
    const what = waiter.what === "" ? "" : ` (${waiter.what})`;
    yield* wrapped(`${objects.letter(waiter)} `, `${formatAddr(waiter.addr)}${what} ${waitedFor(waiter)}`, 2);
  }
  const more = story.waiters.length - MOST_OBJECTS;
  if (more > 0) yield `and ${more} more objects`;
  const read = story.waiters.filter((waiter) => waiter.readers.length > 0);
  yield read.length === 0
    ? `No read-side section was open when ${story.waiters.length === 1 ? "it" : "any of them"} was queued.`
    : `A read-side section was open when ${
      read.map((waiter) => objects.letter(waiter)).join(", ")
    } was queued.`;
}

function waitedFor(waiter: Waiter): string {
  const { queued, timer, closed, over, ender, freed } = waiter;
  const parts: string[] = [];
  let since = queued.ns;
  function part(until: number | undefined, what: string): void {
    if (until === undefined) return;
    parts.push(`${ms(until - since)} for ${what}`);
    since = until;
  }
  part(timer, "the batch timer");
  part(closed, "the monitor");
  part(over, `the grace period (${ender})`);
  if (freed === undefined) return parts.length === 0 ? "waits" : `waits; so far ${parts.join(", ")}`;
  if (parts.length === 0) return "was freed on the spot: there was no page for a block";
  part(freed.ns, waiter.callback ? "the softirq" : "the work");
  return `waited ${ms(freed.ns - queued.ns)} ms: ${parts.join(", ")}`;
}

function ms(ns: number): string {
  return (ns / 1e6).toFixed(3);
}

/** Text behind a head, continued at the margin. */
function* wrapped(head: string, text: string, margin: number): Generator<string, void, void> {
  let line = head;
  let empty = true;
  for (const word of text.split(" ")) {
    if (!empty && line.length + 1 + word.length > COLUMNS) {
      yield line.trimEnd();
      line = " ".repeat(margin);
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  yield line.trimEnd().slice(0, COLUMNS);
}
