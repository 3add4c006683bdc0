// SPDX-License-Identifier: GPL-2.0-only
/**
 * A CPU as hardware: a clock, an interrupt flag, pending interrupts, and whatever thread it currently runs.
 *
 * Invariant: `clock` is this CPU's virtual time at the last synchronisation; between two of them the points already
 * passed are still in the machine's budget, so read the time with `Machine.now()`.
 *
 * @module
 */

import type { Coroutine } from "./effects.ts";

/** Interrupt vectors, as bits of `Cpu.pending`. */
export const VECTOR_TIMER = 1;
export const VECTOR_RESCHEDULE = 2;
export const VECTOR_CALL_FUNCTION = 4;
export const VECTOR_IRQ_WORK = 8;
/** A device interrupt that examples and tests can raise. */
export const VECTOR_DEVICE = 16;

/** What a thread looks like to the engine: a stack of contexts, the innermost one last. */
export interface Thread {
  /** Identity in the log. */
  readonly pid: number;
  /** Stable name for replay sites. */
  readonly comm: string;
  /** Thread body, then preemption and interrupt frames on top of it. */
  readonly stack: Coroutine[];
}

/** Something a CPU spins on; the engine does not run the CPU before it is granted. */
export interface Spinnable {
  readonly name: string;
  /** The CPU that holds it, or null. */
  owner: Cpu | null;
  /** The thread that took it, where that is known; for humans. */
  readonly holder?: Thread | null;
  /** When it was last released, in virtual ns. */
  releasedAt: number;
}

export class Cpu {
  constructor(readonly id: number) {}

  /** Virtual time in ns at the last synchronisation. */
  clock = 0;
  /** Whether interrupts are enabled (the I flag). */
  irqsOn = false;
  /** Vectors raised and not yet taken. */
  pending = 0;
  /** When the one-shot clock event device fires; Infinity when it is off. */
  timerAt = Infinity;
  /** Vectors on their way from other CPUs, and when they arrive. */
  ipis = 0;
  ipiAt = Infinity;
  /** Set by the idle task; an interrupt ends it. */
  halted = false;
  /** What this CPU spins on, or null. */
  blockedOn: Spinnable | null = null;
  /** Whether it has been started and not unplugged. */
  online = false;
  /** Whether the current instruction stream is user mode. */
  inUser = false;

  /** preempt_count() of whatever runs here: PREEMPT, SOFTIRQ and HARDIRQ fields. */
  preempt_count = 0;
  /** TIF_NEED_RESCHED of the current task, kept per CPU as on x86. */
  need_resched = false;

  /** The thread that runs here; set at power-on to the idle thread. */
  current: Thread = NO_THREAD;

  /** Earliest virtual time at which an interrupt is due. */
  nextInterrupt(): number {
    return this.timerAt < this.ipiAt ? this.timerAt : this.ipiAt;
  }

  /** Earliest virtual time at which this CPU can do something; Infinity when only another CPU can wake it. */
  readyAt(): number {
    if (!this.online) return Infinity;
    if (this.halted) {
      // With interrupts off nothing ends it.
      if (!this.irqsOn) return Infinity;
      return this.pending !== 0 ? this.clock : Math.max(this.clock, this.nextInterrupt());
    }
    const lock = this.blockedOn;
    if (lock === null) return this.clock;
    const granted = lock.owner === this ? Math.max(this.clock, lock.releasedAt) : Infinity;
    if (!this.irqsOn) return granted;
    if (this.pending !== 0) return this.clock;
    return Math.min(granted, Math.max(this.clock, this.nextInterrupt()));
  }
}

const NO_THREAD: Thread = { pid: 0, comm: "none", stack: [] };
