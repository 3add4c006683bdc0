// SPDX-License-Identifier: GPL-2.0-only
/**
 * include/trace/events/irq.h and arch/x86 irq_vectors.h: interrupts and softirqs.
 *
 * @module
 */

import type { Machine } from "../../machine/machine.ts";
import { SYSTEM, type TraceEvent } from "../trace_event.ts";

const SOFTIRQ_RAISE = SYSTEM.irq * 256 + 1;
const SOFTIRQ_ENTRY = SYSTEM.irq * 256 + 2;
const SOFTIRQ_EXIT = SYSTEM.irq * 256 + 3;
const LOCAL_TIMER_ENTRY = SYSTEM.irq * 256 + 4;
const LOCAL_TIMER_EXIT = SYSTEM.irq * 256 + 5;
const RESCHEDULE_ENTRY = SYSTEM.irq * 256 + 6;
const RESCHEDULE_EXIT = SYSTEM.irq * 256 + 7;
const CALL_FUNCTION_SINGLE_ENTRY = SYSTEM.irq * 256 + 8;
const CALL_FUNCTION_SINGLE_EXIT = SYSTEM.irq * 256 + 9;

/** Names of the softirq vectors, by number. */
export const SOFTIRQ_NAMES: readonly string[] = [
  "HI",
  "TIMER",
  "NET_TX",
  "NET_RX",
  "BLOCK",
  "IRQ_POLL",
  "TASKLET",
  "SCHED",
  "HRTIMER",
  "RCU",
];

export const events: readonly TraceEvent[] = [
  softirqEvent(SOFTIRQ_RAISE, "softirq_raise"),
  softirqEvent(SOFTIRQ_ENTRY, "softirq_entry"),
  softirqEvent(SOFTIRQ_EXIT, "softirq_exit"),
  vectorEvent(LOCAL_TIMER_ENTRY, "local_timer_entry"),
  vectorEvent(LOCAL_TIMER_EXIT, "local_timer_exit"),
  vectorEvent(RESCHEDULE_ENTRY, "reschedule_entry"),
  vectorEvent(RESCHEDULE_EXIT, "reschedule_exit"),
  vectorEvent(CALL_FUNCTION_SINGLE_ENTRY, "call_function_single_entry"),
  vectorEvent(CALL_FUNCTION_SINGLE_EXIT, "call_function_single_exit"),
];

function softirqEvent(id: number, name: string): TraceEvent {
  return {
    id,
    system: "irq",
    name,
    fields: ["vec"],
    print: (_v, { args: a }) => `vec=${a[0]} [action=${SOFTIRQ_NAMES[a[0]]}]`,
  };
}

function vectorEvent(id: number, name: string): TraceEvent {
  return {
    id,
    system: "irq_vectors",
    name,
    fields: ["vector"],
    print: (_v, { args: a }) => `vector=${a[0]}`,
  };
}

export function trace_softirq_entry(m: Machine, vec: number): void {
  m.emit(SOFTIRQ_ENTRY, vec);
}

export function trace_softirq_exit(m: Machine, vec: number): void {
  m.emit(SOFTIRQ_EXIT, vec);
}

export function trace_softirq_raise(m: Machine, vec: number): void {
  m.emit(SOFTIRQ_RAISE, vec);
}

/** @mirrors arch/x86/include/asm/trace/irq_vectors.h:local_timer_entry */
export function trace_local_timer_entry(m: Machine): void {
  m.emit(LOCAL_TIMER_ENTRY, 236);
}

/** @mirrors arch/x86/include/asm/trace/irq_vectors.h:local_timer_exit */
export function trace_local_timer_exit(m: Machine): void {
  m.emit(LOCAL_TIMER_EXIT, 236);
}

/** @mirrors arch/x86/include/asm/trace/irq_vectors.h:reschedule_entry */
export function trace_reschedule_entry(m: Machine): void {
  m.emit(RESCHEDULE_ENTRY, 253);
}

/** @mirrors arch/x86/include/asm/trace/irq_vectors.h:reschedule_exit */
export function trace_reschedule_exit(m: Machine): void {
  m.emit(RESCHEDULE_EXIT, 253);
}

/** @mirrors arch/x86/include/asm/trace/irq_vectors.h:call_function_single_entry */
export function trace_call_function_single_entry(m: Machine): void {
  m.emit(CALL_FUNCTION_SINGLE_ENTRY, 251);
}

/** @mirrors arch/x86/include/asm/trace/irq_vectors.h:call_function_single_exit */
export function trace_call_function_single_exit(m: Machine): void {
  m.emit(CALL_FUNCTION_SINGLE_EXIT, 251);
}
