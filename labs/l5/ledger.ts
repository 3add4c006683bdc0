// SPDX-License-Identifier: GPL-2.0-only
/**
 * The ledger of lab L5: what was queued, which quiescent states there were, what ran and was freed; and which property
 * did not hold, in a sentence.
 *
 * Interrupts come in between any two steps of the student's functions, so a call has a beginning and an end here, and only
 * what is certain in every reading is held against it. Invariant: the ledger looks; what it notes changes nothing.
 *
 * Properties: S1 grace periods, S2 only after a quiescent state and only in the softirq, S3 each once and in order, S4 a
 * softirq does its share and no more, S5 and S6 waits, L1 no callback is forgotten, F1 to F4 kvfree_rcu(), A1 blocks and
 * timer, A2 memory.
 *
 * @module
 */

import type { TinyVariant } from "./start.ts";

/** A property that did not hold. */
export interface Broken {
  readonly property: string;
  readonly text: string;
}

/** What happened, in the context it happened in. */
export interface LedgerRow {
  readonly ns: number;
  readonly context: "task" | "softirq" | "hardirq";
  readonly text: string;
}

/** Anything that waits for a grace period. */
interface Waiting {
  readonly name: string;
  readonly begun: number;
  /** Quiescent states that were over when the call began. */
  readonly qsBefore: number;
  /** When the call returned, and quiescent states that had begun by then. */
  returned: number;
  qsBegun: number;
  /** Virtual time at which the first quiescent state after that was over; 0 before. */
  readyNs: number;
  /** Callbacks that were ready before it, and itself. */
  place: number;
}

/** An object given to kvfree_rcu(). */
interface Given extends Waiting {
  readonly headless: boolean;
  /** Called where one must not sleep: reported, and then all is allowed. */
  readonly atomic: boolean;
  times: number;
  frees: number;
}

/** Rows kept. */
const ROWS = 400;

export class Ledger {
  readonly rows: LedgerRow[] = [];
  readonly broken: Broken[] = [];
  /** Counts for "was it exercised at all". */
  readonly count = { invoked: 0, freed: 0, rounds: 0, barriers: 0, syncs: 0, qs: 0, blocks: 0, allBusy: 0 };
  /** Callbacks by the number of the softirq that ran them, and in the order in which they ran. */
  readonly perRound: number[] = [];
  readonly invokedNames: string[] = [];
  /** Most loads and stores with interrupts off in one go, by function; and all of them, by function. */
  readonly irqsOff: Record<string, number> = {};
  readonly accesses: Record<string, number> = {};
  readonly calls: Record<string, number> = {};
  /** Whether times count: nobody stalls the machine and nobody hogs it. */
  strict = false;
  /** Properties whose report came already: the kernel says it once. */
  readonly reported = new Set<string>();
  private clock = 0;
  private qsBegun = 0;
  private qsEnded = 0;
  private readonly waiting = new Map<number, Waiting>();
  private readonly given = new Map<number, Given>();
  private readonly readers: { readonly begun: number }[] = [];
  private round: { run: number; readonly ready: readonly Waiting[] } | null = null;

  constructor(
    readonly variant: TinyVariant,
    private readonly now: () => number,
    private readonly tickNs: number,
  ) {}

  /** Told of each property that does not hold. */
  onBroken: (broken: Broken) => void = () => {};

  violated(property: string, text: string): void {
    const broken = { property, text };
    this.broken.push(broken);
    this.row("task", `!! ${property}: ${text}`);
    if (this.broken.length <= 20) this.onBroken(broken);
  }

  /** Told of each row. */
  onRow: (row: LedgerRow) => void = () => {};

  row(context: LedgerRow["context"], text: string): void {
    const row = { ns: this.now(), context, text };
    if (this.rows.length < ROWS) this.rows.push(row);
    this.onRow(row);
  }

  private enter(name: string): Waiting {
    return {
      name,
      begun: ++this.clock,
      qsBefore: this.qsEnded,
      returned: Infinity,
      qsBegun: Infinity,
      readyNs: 0,
      place: 0,
    };
  }

  // Readers

  readerBegins(): { readonly begun: number } {
    const reader = { begun: ++this.clock };
    this.readers.push(reader);
    return reader;
  }

  readerEnds(reader: { readonly begun: number }): void {
    this.readers.splice(this.readers.indexOf(reader), 1);
  }

  private readerBefore(begun: number): boolean {
    return this.readers.some((reader) => reader.begun < begun);
  }

  // Quiescent states

  qsBegins(): void {
    this.qsBegun++;
    this.count.qs++;
  }

  qsEnds(): void {
    this.qsEnded++;
    let place = [...this.waiting.values()].filter(({ readyNs }) => readyNs > 0).length;
    for (const w of this.waiting.values()) {
      if (w.readyNs === 0 && this.qsEnded > w.qsBegun) {
        w.readyNs = this.now();
        w.place = ++place;
      }
    }
  }

  // Callbacks

  /** call_rcu() is called from outside. */
  callBegins(head: number, name: string): void {
    if (this.waiting.has(head)) return;
    this.waiting.set(head, this.enter(name));
  }

  /** It returns. Whether the callback waits now, and nothing else was queued meanwhile. */
  callEnds(head: number): boolean {
    const w = this.waiting.get(head);
    if (w === undefined || w.returned !== Infinity) return false;
    w.returned = ++this.clock;
    w.qsBegun = this.qsBegun;
    return w.returned === w.begun + 1;
  }

  /** Callbacks whose call has returned. */
  pending(): number[] {
    return [...this.waiting].filter(([, w]) => w.returned !== Infinity).map(([head]) => head);
  }

  roundBegins(): void {
    this.count.rounds++;
    this.round = { run: 0, ready: [...this.waiting.values()].filter(({ readyNs }) => readyNs > 0) };
  }

  roundEnds(): void {
    const { round, variant: { limit } } = this;
    this.round = null;
    if (round === null) return;
    this.perRound.push(round.run);
    const left = round.ready.filter((w) => [...this.waiting.values()].includes(w));
    const share = limit === 0 ? Infinity : limit;
    if (round.run < share && left.length > 0) {
      const most = limit === 0 ? "there is no limit" : `the limit is ${limit}`;
      this.violated(
        "S4",
        `a softirq ran ${round.run} callbacks and left ${left.length} that might run; ${most}`,
      );
    }
  }

  /** Counts something that a softirq ran. */
  ran(): void {
    const { round, variant: { limit } } = this;
    if (round === null) return;
    round.run++;
    if (limit > 0 && round.run === limit + 1) {
      this.violated("S4", `a softirq runs callback ${round.run}; the limit is ${limit}`);
    }
  }

  invoked(head: number): void {
    const w = this.waiting.get(head);
    this.count.invoked++;
    if (w === undefined) {
      this.violated(
        "S3",
        `a callback is invoked that is not queued, or not any more (head ${head.toString(16)})`,
      );
      return;
    }
    this.invokedNames.push(w.name);
    if (this.round === null) this.violated("S2", `${w.name} is invoked outside of rcu_process_callbacks()`);
    if (this.qsBegun <= w.qsBefore) {
      this.violated("S2", `${w.name} is invoked without a quiescent state since it was queued`);
    }
    if (this.readerBefore(w.begun)) {
      this.violated(
        "S1",
        `${w.name} is invoked while a reader is in its section that began before call_rcu()`,
      );
    }
    this.waiting.delete(head);
    const before = [...this.waiting.values()].find((other) => this.mustPrecede(other, w));
    if (before !== undefined) {
      this.violated("S3", `${w.name} is invoked before ${before.name}; ${this.variant.order} is required`);
    }
    if (this.strict && w.readyNs > 0) this.checkTime(w);
  }

  private checkTime(w: Waiting): void {
    const { limit } = this.variant;
    const rounds = limit === 0 ? 1 : Math.ceil(w.place / limit);
    const late = (this.now() - w.readyNs) / this.tickNs;
    if (late <= rounds + 0.5) return;
    this.violated(
      "L1",
      `${w.name} runs ${late.toFixed(1)} ticks after its quiescent state; ${rounds} are allowed`,
    );
  }

  private mustPrecede(a: Waiting, b: Waiting): boolean {
    if (this.variant.order === "fifo" || a.qsBegun < b.qsBefore) return a.returned < b.begun;
    const batch = a.qsBegun;
    const same = a.qsBefore === batch && b.qsBefore === batch && b.qsBegun === batch;
    return same && b.returned < a.begun;
  }

  /** Callbacks that rcu_barrier() has to wait for. */
  barrierBegins(): readonly Waiting[] {
    return [...this.waiting.values()].filter(({ returned }) => returned !== Infinity);
  }

  barrierEnds(before: readonly Waiting[]): void {
    this.count.barriers++;
    const now = [...this.waiting.values()];
    const left = before.find((w) => now.includes(w));
    if (left !== undefined) {
      this.violated("S6", `rcu_barrier() returns before ${left.name}, queued before it, has run`);
    }
  }

  // kvfree_rcu()

  giveBegins(object: number, name: string, headless: boolean, atomic: boolean): void {
    const old = this.given.get(object);
    if (old !== undefined) {
      old.times++;
      return;
    }
    this.given.set(object, { ...this.enter(name), headless, atomic, times: 1, frees: 0 });
  }

  giveEnds(object: number): void {
    const w = this.given.get(object);
    if (w === undefined || w.returned !== Infinity) return;
    w.returned = ++this.clock;
    w.qsBegun = this.qsBegun;
  }

  /** Names of objects by address: of those that wait. */
  objects(): number[] {
    return [...this.given].filter(([, w]) => w.frees === 0 && w.returned !== Infinity).map(([object]) =>
      object
    );
  }

  /** The student frees an object. Returns whether there is one to free. */
  frees(object: number): boolean {
    const w = this.given.get(object);
    if (w === undefined) {
      this.violated("F1", `kvfree() of ${object.toString(16)}, which nobody gave to kvfree_call_rcu()`);
      return false;
    }
    if (++w.frees > 1) {
      const property = w.times > 1 ? "F3" : "F1";
      this.violated(property, `${w.name} is freed a second time; it was given ${w.times} times`);
      return false;
    }
    this.count.freed++;
    const now = w.headless && w.returned === Infinity;
    if (w.atomic || now) return true;
    if (this.qsBegun <= w.qsBefore) {
      this.violated("F1", `${w.name} is freed without a quiescent state since it was given`);
    }
    if (this.readerBefore(w.begun)) {
      this.violated(
        "F1",
        `${w.name} is freed while a reader is in its section that began before kvfree_call_rcu()`,
      );
    }
    return true;
  }

  /** Whether an object was given and is not freed yet. */
  waits(object: number): boolean {
    return this.given.get(object)?.frees === 0;
  }

  /** An address is given out anew: what it was before is over. */
  allocated(object: number): void {
    this.given.delete(object);
  }

  /** Whether anything waits. */
  get outstanding(): number {
    return this.waiting.size + this.objects().length;
  }

  /** The program is over and had all the time in the world. `blocks`: of the student, still allocated. */
  finish(blocks: number): void {
    for (const w of this.waiting.values()) {
      this.violated("L1", `${w.name} was queued and has not run, long after a quiescent state`);
    }
    for (const w of this.given.values()) {
      if (w.frees > 0) continue;
      const property = this.count.allBusy > 0 ? "F4" : "F1";
      const why = this.count.allBusy > 0 ? "; the monitor found all slots busy" : "";
      this.violated(property, `${w.name} was given to kvfree_call_rcu() and is never freed${why}`);
    }
    const { spare } = this.variant;
    if (this.broken.length === 0 && blocks > spare) {
      this.violated("A1", `${blocks} blocks are kept when nothing waits; ${spare} may be`);
    }
  }
}
