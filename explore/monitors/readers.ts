// SPDX-License-Identifier: GPL-2.0-only
/**
 * Which readers are open: what the other monitors ask.
 *
 * A reader is a task between rcu_read_lock() and rcu_read_unlock(), outermost; or a handler of an interrupt or softirq,
 * which counts as a reader without being marked (P7). Other regions with preemption, bottom halves or interrupts off
 * leave no trace at their ends and are not seen. Readers are kept in the order in which they began, so that "is there one
 * from before event N" is a look at the first.
 *
 * Without preemption a reader that gives up its CPU breaks the rules, which the kernel reports; it is protected no more,
 * and forgotten here. A preemptible reader goes on reading while it is switched away, on no CPU, until it unlocks or exits.
 *
 * @module
 */

import { formatAddr } from "../../kernel/machine/addr.ts";
import { CPU_LIMIT } from "../../kernel/machine/log.ts";
import type { Monitor, Seen } from "./monitor.ts";

/** Keys of contexts: a task by its pid, an idle task by its CPU, below zero; handlers further below. */
const HANDLER = -2 * CPU_LIMIT;

/** The CPU of a reader that is switched away. */
const NOWHERE = CPU_LIMIT - 1;

/** The context of a task, which nobody shares. */
export function taskContext(cpu: number, pid: number): number {
  return pid !== 0 ? pid : -1 - cpu;
}

/** An address as events print it. */
export function addressText(addr: number): string {
  return formatAddr(addr);
}

export class Readers implements Monitor {
  /** By context: event that began it, and the CPU in the low digits. */
  private readonly open = new Map<number, number>();
  /** What oldest() said; 0 when it must look again. */
  private oldestKnown = Infinity;
  private readonly handlers = new Map<number, number>();
  readonly on: Monitor["on"];

  /** `preemptible`: a reader stays one while it is switched away. */
  constructor(preemptible: boolean) {
    const enter = (e: Seen): void => this.enterHandler(e);
    const leave = (e: Seen): void => this.leaveHandler(e);
    this.on = {
      rcu_read_lock: (e) => {
        if (e.a === 1) this.begin(taskContext(e.cpu, e.task), e);
      },
      rcu_read_unlock: (e) => {
        if (e.a === 0) this.end(taskContext(e.cpu, e.task));
      },
      sched_switch: preemptible
        ? (e) => {
          this.move(taskContext(e.cpu, e.b), NOWHERE);
          this.move(taskContext(e.cpu, e.f), e.cpu);
        }
        : (e) => this.end(taskContext(e.cpu, e.b)),
      sched_process_exit: (e) => this.end(taskContext(e.cpu, e.b)),
      softirq_entry: enter,
      softirq_exit: leave,
      local_timer_entry: enter,
      local_timer_exit: leave,
      reschedule_entry: enter,
      reschedule_exit: leave,
      call_function_single_entry: enter,
      call_function_single_exit: leave,
    };
  }

  private begin(context: number, e: Seen): void {
    this.open.set(context, e.seq * CPU_LIMIT + e.cpu);
    if (this.oldestKnown === Infinity) this.oldestKnown = e.seq;
  }

  private move(context: number, cpu: number): void {
    const packed = this.open.get(context);
    if (packed !== undefined) this.open.set(context, packed - packed % CPU_LIMIT + cpu);
  }

  private end(context: number): void {
    if (this.open.delete(context)) this.oldestKnown = 0;
  }

  private enterHandler(e: Seen): void {
    const depth = this.handlers.get(e.cpu) ?? 0;
    this.handlers.set(e.cpu, depth + 1);
    if (depth === 0) this.begin(HANDLER - e.cpu, e);
  }

  private leaveHandler(e: Seen): void {
    const depth = this.handlers.get(e.cpu) ?? 0;
    if (depth === 0) return; // it began before the run
    this.handlers.set(e.cpu, depth - 1);
    if (depth === 1) this.end(HANDLER - e.cpu);
  }

  /** Event that began the oldest open reader; Infinity when none is open. */
  oldest(): number {
    if (this.oldestKnown === 0) {
      this.oldestKnown = Infinity;
      for (const packed of this.open.values()) {
        this.oldestKnown = Math.floor(packed / CPU_LIMIT);
        break;
      }
    }
    return this.oldestKnown;
  }

  /** Event that began the oldest open reader, that of context `except` not counted; 0 when there is none from before `seq`. */
  before(seq: number, except = NaN): number {
    if (this.oldest() >= seq) return 0;
    for (const [context, packed] of this.open) {
      if (context === except) continue;
      const since = Math.floor(packed / CPU_LIMIT);
      return since < seq ? since : 0;
    }
    return 0;
  }

  /** The same for readers on one CPU. */
  beforeOn(cpu: number, seq: number): number {
    for (const packed of this.open.values()) {
      const since = Math.floor(packed / CPU_LIMIT);
      if (since >= seq) break;
      if (packed % CPU_LIMIT === cpu) return since;
    }
    return 0;
  }

  /** How many are open that began at or after event `seq`. */
  since(seq: number): number {
    let count = 0;
    for (const packed of this.open.values()) if (packed >= seq * CPU_LIMIT) count++;
    return count;
  }
}
