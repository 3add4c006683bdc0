// SPDX-License-Identifier: GPL-2.0-only
/**
 * Monitors: what they see and how they report. Each watches a run for one of RCU's checkable properties.
 *
 * P1 to P77 are the properties that RCU's documentation and its own checks ask for: guarantees (P1-P26), what must stay
 * possible (P27-P32), quality (P33-P57), inner invariants (P58-P77). KV1 to KV3 are those of kvfree_rcu(). Each file of
 * this folder says which of them it watches, monitors.ts which are left for later.
 *
 * Invariant: a monitor only looks. It calls nothing that stores, charges time, emits or draws a choice, so a run is the
 * same with and without it.
 *
 * @module
 */

/** An event as monitors see it: one object, filled anew for each event, never to be kept. */
export class Seen {
  seq = 0;
  cpu = 0;
  /** Thread id that was current. */
  task = 0;
  kind = 0;
  a = 0;
  b = 0;
  c = 0;
  d = 0;
  e = 0;
  f = 0;
  g = 0;
}

/** A property that did not hold. */
export interface Violation {
  /** P1, KV1 and so on. */
  readonly property: string;
  /** What happened, with the numbers of the events that show it. */
  readonly text: string;
  /** Event at which it was noticed. */
  readonly seq: number;
}

/** How a run ended, as far as monitors want to know. */
export interface RunEnd {
  /** No CPU can ever run again: what waits now waits for ever. */
  readonly idle: boolean;
}

/** One monitor. */
export interface Monitor {
  /** What to do at a trace event, by its name. Arguments stand in the order of the event's fields. */
  readonly on: Readonly<Record<string, (e: Seen) => void>>;
  /** Looks at the state of the machine, after every event. */
  look?(e: Seen): void;
  /** The run is over. */
  finish?(end: RunEnd): void;
}

/** Of each property so many violations are kept: after the first the others follow from it, or say the same. */
const MOST_OF_ONE = 3;

/** What the monitors of a run have found, in order. */
export class Findings {
  readonly list: Violation[] = [];
  private readonly counts = new Map<string, number>();

  violated(property: string, seq: number, text: string): void {
    const count = (this.counts.get(property) ?? 0) + 1;
    this.counts.set(property, count);
    if (count <= MOST_OF_ONE) this.list.push({ property, text, seq });
  }
}
