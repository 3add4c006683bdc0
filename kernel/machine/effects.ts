// SPDX-License-Identifier: GPL-2.0-only
/**
 * The three colours of function, as types.
 *
 * JavaScript between two yields is indivisible, so the yields are the interleavings of the emulated machine. A plain
 * function cannot be interrupted; an `Atomic` one lets other CPUs and interrupts run; a `MaySleep` one may also give up
 * its CPU. `yield*` carries the colour outwards, so a sleeper called from atomic code does not compile.
 *
 * `done()` is how a plain fast path fits under `yield*` without a generator: one shared iterator that is finished at its
 * first step. It is read at once by the `yield*` in front of it; storing it is an error that tools/check_yield.ts finds.
 *
 * @module
 */

/** Yielded at a point: other CPUs and interrupts may run here. */
export interface Step {
  readonly effect: "step";
}

/** Yielded by the scheduler when the current task gave up its CPU. */
export interface Sleep {
  readonly effect: "sleep";
}

/** Yielded by the idle task: nothing to do until the next interrupt. */
export interface Halt {
  readonly effect: "halt";
}

/** Anything the engine can be asked to do. */
export type Effect = Step | Sleep | Halt;

/** A function that never blocks; it may be interrupted, and other CPUs run meanwhile. */
export type Atomic<T> = Generator<Step, T, void>;

/** A function that may sleep; process context only. */
export type MaySleep<T> = Generator<Step | Sleep, T, void>;

/** The body of a thread as the engine sees it. */
export type Coroutine = Generator<Effect, void, void>;

export const STEP: Step = { effect: "step" };
export const SLEEP: Sleep = { effect: "sleep" };
export const HALT: Halt = { effect: "halt" };

const finished = {
  result: { done: true as const, value: undefined as unknown },
  next(): IteratorReturnResult<unknown> {
    return this.result;
  },
  [Symbol.iterator](): unknown {
    return this;
  },
};

/**
 * A finished generator that returns `value`; for the untaken path of a point.
 *
 * Only ever the operand of `yield*`: the object is shared, so the next call overwrites it.
 */
export function done<T>(value: T): Generator<never, T, void> {
  finished.result.value = value;
  return finished as unknown as Generator<never, T, void>;
}

const finishedVoid = {
  next(): IteratorReturnResult<undefined> {
    return finishedResult;
  },
  [Symbol.iterator](): unknown {
    return this;
  },
};
const finishedResult = { done: true as const, value: undefined };

/** `done()` without a value. */
export function doneVoid(): Generator<never, void, void> {
  return finishedVoid as unknown as Generator<never, void, void>;
}
