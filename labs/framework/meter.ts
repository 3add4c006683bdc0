// SPDX-License-Identifier: GPL-2.0-only
/**
 * What a student's code has used up.
 *
 * Loops and calls are steps, and so is every element that a built-in function copies or makes. When they are used up,
 * every further step throws: the code that is measured cannot go on, whatever it catches. Invariant: what is counted
 * depends on the code alone, never on the host's clock, memory or stack.
 *
 * @module
 */

/** Thrown in a student's code that has used up its steps; what it means for the verdict stands in the meter. */
export class Stopped extends Error {
  override readonly name: string = "Stopped";
}

/** Deepest nesting of calls in a student's file; the host's own stack holds more. */
const MOST_CALLS = 400;

export class Meter {
  /** Why the code was stopped, for the student; null as long as it was not. */
  stopped: string | null = null;
  private steps = 0;
  private limit = 0;
  private depth = 0;
  private line = 0;
  private where = "";

  /** A new account. */
  begin(limit: number): void {
    this.steps = this.depth = this.line = 0;
    this.where = "";
    this.limit = limit;
    this.stopped = null;
  }

  /** A new machine: whatever was going on in the last one is not going on any more. */
  unwind(): void {
    this.depth = 0;
  }

  /** Steps used so far. */
  get used(): number {
    return this.steps;
  }

  /** The head of a loop. */
  step(line: number): void {
    this.line = line;
    this.charge(1);
  }

  /** A function begins. */
  enter(line: number, name: string): void {
    this.line = line;
    this.where = name;
    this.charge(1);
    if (++this.depth > MOST_CALLS) this.stop(`calls itself without end${this.place()}`);
  }

  /** A function ends. */
  leave(): void {
    if (this.depth > 0) this.depth--;
  }

  /** Something that takes `steps` at once. */
  charge(steps: number): void {
    if (this.stopped !== null) throw new Stopped(this.stopped);
    this.steps += steps;
    if (!(this.steps <= this.limit)) {
      this.stop(`does not come to an end within ${this.limit} steps${this.place()}`);
    }
  }

  /** Ends it for good. */
  stop(why: string): never {
    this.stopped ??= why;
    throw new Stopped(this.stopped);
  }

  private place(): string {
    if (this.line === 0) return "";
    return `: line ${this.line}${this.where === "" ? "" : `, ${this.where}()`}`;
  }
}
