// SPDX-License-Identifier: GPL-2.0-only
// The timeline: one row for each thing that matters to a grace period, with a lane for each task and for each object
// that waits for one.
//
// Ours. Rows come from story.ts; what they leave out (locks, page lists, other timers) is in `trace`. Sections of one
// task that no other row interrupts are one row with their number. Invariants: rows are in the order of the log; no line
// is wider than 80 columns; an object's lane shows `|` from the moment it is queued to the moment it is freed.

import { formatAddr } from "../../kernel/machine/addr.ts";
import type { TraceView } from "../../kernel/trace/trace_event.ts";
import { type Fields, heading, Row as DataRow, type Shown } from "../command.ts";
import { RCU_LANE, type Row, type Story, type Waiter } from "./story.ts";
import { COLUMNS, ms, wrapped } from "./text.ts";

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
): Generator<Shown, void, void> {
  if (story.rows.length === 0) {
    yield "nothing happened there that matters to a grace period";
    return;
  }
  const lanes = tasksOf(story.rows);
  const objects = new ObjectColumns(story);
  yield heading(
    [...lanes.map((pid, i) => `${i + 1} ${view.comm(pid)}`), "r RCU"].join("  ").slice(0, COLUMNS),
    ...LEGEND,
    "",
  );
  const cpu = story.smp ? 5 : 0; // columns
  const margin = 18 + cpu + 2 * (lanes.length + 1) + (objects.width === 0 ? 0 : objects.width + 1);
  const names = [...lanes.map((_, i) => i + 1), "r"].join(" ");
  yield heading(`${"ms".padStart(8)} ${"event".padStart(6)}  ${story.smp ? " cpu " : ""}${names}`);
  const inside = new Set<number>();
  const folded = foldedRows(story.rows);
  const shown = story.rows.slice(0, MOST_ROWS + folded.size);
  for (const row of shown) {
    const cells = [...lanes, RCU_LANE].map((lane) => cellOf(row, lane, inside));
    if (row.symbol === "[") inside.add(row.lane);
    if (row.symbol === "]") inside.delete(row.lane);
    const letters = objects.width === 0 ? "" : `${objects.cells(row)} `;
    const where = story.smp ? `${String(row.record.cpu).padStart(4)} ` : "";
    const head = `${ms(row.record.ns - startNs).padStart(8)} ${String(row.record.seq).padStart(6)}  ` +
      `${where}${cells.join(" ")} ${letters} `;
    const more = folded.get(row);
    const text = more === 0
      ? []
      : more === undefined
      ? [...wrapped(head, textOf(row, objects), margin)]
      : [`${"...".padStart(8)}${" ".repeat(margin - 8)}${more} more like the one above`];
    yield new DataRow("timeline", fieldsOf(row, view, objects, startNs), text);
  }
  if (story.rows.length > shown.length) {
    yield `... ${story.rows.length - shown.length} more rows; timeline --from EVENT`;
  }
  yield* endings(story, objects);
}

/** Of so many rows in a row that say the same, the first two and the last have a line. */
const FOLD = 8;

/** Rows without a line of their own: how many its line stands for, 0 for those that another one stands for. */
function foldedRows(rows: readonly Row[]): Map<Row, number> {
  const folded = new Map<Row, number>();
  for (let i = 0; i < rows.length;) {
    let end = i + 1;
    while (end < rows.length && alike(rows[i], rows[end])) end++;
    if (end - i >= FOLD) {
      const middle = rows.slice(i + 2, end - 1);
      middle.forEach((row, at) => folded.set(row, at === 0 ? middle.length : 0));
    }
    i = end;
  }
  return folded;
}

/** The same thing in the same lane, of another object. */
function alike(a: Row, b: Row): boolean {
  return (a.symbol === "Q" || a.symbol === "F") && a.symbol === b.symbol && a.lane === b.lane &&
    a.record.cpu === b.record.cpu && a.text.split("(")[0] === b.text.split("(")[0];
}

function fieldsOf(row: Row, view: TraceView, objects: ObjectColumns, startNs: number): Fields {
  const { record, lane, symbol, sections, queues, frees } = row;
  const addresses = (waiters: readonly Waiter[]): string[] => waiters.map(({ addr }) => formatAddr(addr));
  return {
    ns: record.ns - startNs,
    event: record.seq,
    cpu: record.cpu,
    lane: lane === RCU_LANE ? "RCU" : view.comm(lane),
    symbol,
    text: textOf(row, objects),
    sections,
    queued: addresses(queues),
    freed: addresses(frees),
  };
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
  const { about, frees } = row;
  if (about.length > 0) return `${row.text}: ${objects.lettersOf(about)}`;
  const [first] = frees;
  if (first?.freed === undefined) return row.text;
  if (frees.length > 1) return `${row.text}: ${objects.lettersOf(frees)}`;
  return `${row.text} = ${objects.letter(first)}, after ${ms(first.freed.ns - first.queued.ns)} ms`;
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
      for (const waiter of row.frees) columns[this.columnOf.get(waiter) ?? 0] = undefined;
    }
    this.width = Math.min(MOST_COLUMNS, columns.length);
  }

  letter(waiter: Waiter): string {
    return this.letters.get(waiter) ?? "#";
  }

  /** `A, B, C`, and how many more. */
  lettersOf(waiters: readonly Waiter[]): string {
    const named = waiters.map((waiter) => this.letter(waiter)).filter((letter) => letter !== "#");
    const more = waiters.length - named.length;
    return [...named, ...(more === 0 ? [] : [`${more} more`])].join(", ");
  }

  /** The columns at a row; rows are asked for in order. */
  cells(row: Row): string {
    for (const waiter of row.queues) this.here[this.columnOf.get(waiter) ?? 0] = waiter;
    const cells = Array.from({ length: this.width }, (_, i) => {
      const waiter = this.here[i];
      if (waiter === undefined) return " ";
      if (row.queues.includes(waiter)) return this.letter(waiter);
      return row.frees.includes(waiter) ? "F" : "|";
    });
    for (const waiter of row.frees) this.here[this.columnOf.get(waiter) ?? 0] = undefined;
    return cells.join("");
  }
}

/** What each object waited for, in sentences. */
function* endings(story: Story, objects: ObjectColumns): Generator<string, void, void> {
  if (story.waiters.length === 0) return;
  yield "";
  const same = story.smp ? sameWay(story.waiters) : new Map<Waiter, Waiter[]>();
  const firsts = story.smp ? [...same.keys()] : story.waiters;
  for (const waiter of firsts.slice(0, MOST_OBJECTS)) {
    const what = waiter.what === "" ? "" : ` (${waiter.what})`;
    const readers = story.smp ? readersText(waiter) : "";
    yield* wrapped(
      `${objects.letter(waiter)} `,
      `${formatAddr(waiter.addr)}${what} ${waitedFor(waiter)}${readers}`,
      2,
    );
    const others = same.get(waiter) ?? [];
    if (others.length > 0) yield* wrapped("  ", `and so did ${objects.lettersOf(others)}`, 2);
  }
  const more = firsts.length - MOST_OBJECTS;
  if (more > 0) yield `and ${more} more objects`;
  const read = story.waiters.filter((waiter) => waiter.readers.length > 0);
  if (read.length === 0) {
    yield `No read-side section was open when ${
      story.waiters.length === 1 ? "it" : "any of them"
    } was queued.`;
  } else if (!story.smp) yield `A read-side section was open when ${objects.lettersOf(read)} was queued.`;
}

/** Objects of one batch, as far as one story is true of all, behind the first of them. */
function sameWay(waiters: readonly Waiter[]): Map<Waiter, Waiter[]> {
  const firsts = new Map<string, Waiter>();
  const groups = new Map<Waiter, Waiter[]>();
  for (const waiter of waiters) {
    const { callback, what, readers, left, timer, closed, over, ender, invoked, freed } = waiter;
    const key = [callback, what, readers.join(), left?.ns, timer, closed, over, ender, invoked, freed?.ns]
      .join("|");
    const first = firsts.get(key);
    if (first !== undefined) groups.get(first)?.push(waiter);
    else {
      firsts.set(key, waiter);
      groups.set(waiter, []);
    }
  }
  return groups;
}

/** Who could still see an object when it was queued, and for how long. */
function readersText({ readers, left, queued, freed }: Waiter): string {
  if (readers.length === 0) return "";
  const who = readers.length === 1 ? "its reader" : `the last of its ${readers.length} readers`;
  if (freed !== undefined && (left === undefined || left.ns > freed.ns)) {
    const name = left?.name ?? readers.at(-1);
    return `. It was freed while ${name} was still in the section that had begun before it was queued`;
  }
  return left === undefined
    ? `. Still in a section that began before: ${readers.join(", ")}`
    : `. ${who[0].toUpperCase()}${who.slice(1)}, ${left.name}, had left after ${ms(left.ns - queued.ns)}`;
}

function waitedFor(waiter: Waiter): string {
  const { queued, timer, closed, over, ender, invoked, freed } = waiter;
  const parts: string[] = [];
  let since = queued.ns;
  function part(until: number | undefined, what: string): void {
    if (until === undefined) return;
    if (until < since) { // a grace period that was over before the object came into its slot
      parts.push(`none for ${what}`);
      return;
    }
    parts.push(`${ms(until - since)} for ${what}`);
    since = until;
  }
  part(timer, "the batch timer");
  part(closed, "the monitor");
  part(over, `the grace period (${ender})`);
  part(invoked, "its callback");
  if (freed === undefined) {
    const timer = waiter.stranded === true ? ", and no timer is armed for it" : "";
    return `waits${parts.length === 0 ? "" : `; so far ${parts.join(", ")}`}${timer}`;
  }
  if (parts.length === 0) return "was freed on the spot: there was no page for a block";
  part(freed.ns, waiter.callback ? "the softirq" : "the work");
  return `waited ${ms(freed.ns - queued.ns)} ms: ${parts.join(", ")}`;
}
