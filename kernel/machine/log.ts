// SPDX-License-Identifier: GPL-2.0-only
/**
 * The event log: everything observable, one record each, in a ring of typed arrays.
 *
 * Invariant: recording is observation. An event is numbered and folded into the state hash whether it is recorded or
 * not, so a run with the log off is the same run. Event 1 is the first event after power-on.
 *
 * @module
 */

/** Arguments that one record can hold. */
export const EVENT_ARGS = 8;

const FIRST_CAPACITY = 4096;
/** The ring keeps this many records; older ones are overwritten. */
export const LOG_CAPACITY = 2 ** 20;

/** A record keeps CPU number and context in one word: cpu + CPU_LIMIT * flags. */
export const CPU_LIMIT = 2 ** 13;
/** Context flags: what ftrace shows as `dNhs` and a digit. */
export const FLAG_IRQS_OFF = 1;
export const FLAG_NEED_RESCHED = 2;
export const FLAG_HARDIRQ = 4;
export const FLAG_SOFTIRQ = 8;
/** From here on eight bits of preemption depth. */
export const FLAG_PREEMPT_SHIFT = 4;

/** One record, decoded. */
export interface EventRecord {
  readonly seq: number;
  readonly ns: number;
  readonly cpu: number;
  /** Context: FLAG_* bits and the depth of preempt_disable(). */
  readonly flags: number;
  /** Thread id (pid) that was current. */
  readonly task: number;
  /** Event kind: the id of a trace event (kernel/trace). */
  readonly kind: number;
  readonly args: readonly number[];
  /** Number of the call site that caused the event, 0 when it was not captured; see Machine.captureSite. */
  readonly site: number;
}

export class EventLog {
  /** Whether records are kept. Changing it never changes the run. */
  recording = true;
  private capacity = FIRST_CAPACITY;
  private ns = new Float64Array(FIRST_CAPACITY);
  private head = new Uint32Array(FIRST_CAPACITY * 4); // cpu and flags, task, kind, site
  private args = new Float64Array(FIRST_CAPACITY * EVENT_ARGS);
  /** Number of the newest record kept, and of the oldest. */
  last = 0;
  first = 1;

  /** Text table: records carry numbers, names are interned here. */
  private readonly texts: string[] = [""];
  private readonly textIds = new Map<string, number>();

  /** Number of `text`, the same within one kernel. */
  intern(text: string): number {
    const known = this.textIds.get(text);
    if (known !== undefined) return known;
    this.texts.push(text);
    this.textIds.set(text, this.texts.length - 1);
    return this.texts.length - 1;
  }

  /** The text behind an interned number. */
  text(id: number): string {
    return this.texts[id] ?? "?";
  }

  /** Stores record `seq`; called by Machine.emit only. */
  write(
    seq: number,
    ns: number,
    where: number,
    task: number,
    kind: number,
    site: number,
    a: number,
    b: number,
    c: number,
    d: number,
    e: number,
    f: number,
    g: number,
    h: number,
  ): void {
    if (seq - this.first >= this.capacity) this.makeRoom(seq);
    if (this.last < this.first) this.first = seq;
    this.last = seq;
    const slot = seq % this.capacity;
    this.ns[slot] = ns;
    const at = slot * 4;
    this.head[at] = where;
    this.head[at + 1] = task;
    this.head[at + 2] = kind;
    this.head[at + 3] = site;
    const arg = slot * EVENT_ARGS;
    const args = this.args;
    args[arg] = a;
    args[arg + 1] = b;
    args[arg + 2] = c;
    args[arg + 3] = d;
    args[arg + 4] = e;
    args[arg + 5] = f;
    args[arg + 6] = g;
    args[arg + 7] = h;
  }

  private makeRoom(seq: number): void {
    if (this.capacity >= LOG_CAPACITY) {
      this.first = seq - this.capacity + 1;
      return;
    }
    const old = { capacity: this.capacity, ns: this.ns, head: this.head, args: this.args };
    this.capacity *= 4;
    this.ns = new Float64Array(this.capacity);
    this.head = new Uint32Array(this.capacity * 4);
    this.args = new Float64Array(this.capacity * EVENT_ARGS);
    for (let s = this.first; s <= this.last; s++) {
      const from = s % old.capacity;
      const to = s % this.capacity;
      this.ns[to] = old.ns[from];
      for (let i = 0; i < 4; i++) this.head[to * 4 + i] = old.head[from * 4 + i];
      for (let i = 0; i < EVENT_ARGS; i++) this.args[to * EVENT_ARGS + i] = old.args[from * EVENT_ARGS + i];
    }
  }

  /** Record `seq`, or undefined when it was not kept. */
  get(seq: number): EventRecord | undefined {
    if (seq < this.first || seq > this.last) return undefined;
    const slot = seq % this.capacity;
    const at = slot * 4;
    return {
      seq,
      ns: this.ns[slot],
      cpu: this.head[at] % CPU_LIMIT,
      flags: Math.floor(this.head[at] / CPU_LIMIT),
      task: this.head[at + 1],
      kind: this.head[at + 2],
      site: this.head[at + 3],
      args: Array.from(this.args.subarray(slot * EVENT_ARGS, (slot + 1) * EVENT_ARGS)),
    };
  }

  /** The kept records from `from` on, oldest first. */
  *records(from = 0): Generator<EventRecord> {
    for (let seq = Math.max(from, this.first); seq <= this.last; seq++) {
      const record = this.get(seq);
      if (record !== undefined) yield record;
    }
  }

  /** Forgets all records and texts. */
  reset(): void {
    this.last = 0;
    this.first = 1;
    this.texts.length = 1;
    this.textIds.clear();
  }
}
