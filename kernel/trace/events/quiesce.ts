// SPDX-License-Identifier: GPL-2.0-only
/**
 * Our own events: what Linux has no tracepoint for, but a reader of a run wants to see.
 *
 * @invented events that Linux does not have
 * @module
 */

import type { Machine } from "../../machine/machine.ts";
import { p, SYSTEM, type TraceEvent } from "../trace_event.ts";

const READ_LOCK = SYSTEM.quiesce * 256 + 1;
const READ_UNLOCK = SYSTEM.quiesce * 256 + 2;
const KVFREE_RCU = SYSTEM.quiesce * 256 + 3;
const MARK = SYSTEM.quiesce * 256 + 4;
const SCENARIO_START = SYSTEM.quiesce * 256 + 5;
const CALL_RCU = SYSTEM.quiesce * 256 + 6;

export const events: readonly TraceEvent[] = [
  {
    id: READ_LOCK,
    system: "quiesce",
    name: "rcu_read_lock",
    fields: ["nesting"],
    print: (_v, { args: a }) => `nesting=${a[0]}`,
  },
  {
    id: READ_UNLOCK,
    system: "quiesce",
    name: "rcu_read_unlock",
    fields: ["nesting"],
    print: (_v, { args: a }) => `nesting=${a[0]}`,
  },
  {
    id: KVFREE_RCU,
    system: "quiesce",
    name: "kvfree_rcu",
    fields: ["ptr", "headless"],
    print: (_v, { args: a }) => `ptr=${p(a[0])} ${a[1] === 1 ? "headless" : "head"}`,
  },
  {
    id: MARK,
    system: "ftrace",
    name: "tracing_mark_write",
    fields: ["text"],
    print: (v, { args: a }) => v.text(a[0]),
  },
  {
    id: SCENARIO_START,
    system: "quiesce",
    name: "scenario_start",
    fields: ["name"],
    print: (v, { args: a }) => v.text(a[0]),
  },
  {
    id: CALL_RCU,
    system: "quiesce",
    name: "call_rcu",
    fields: ["rhp", "func"],
    print: (v, { args: a }) => `rhp=${p(a[0])} func=${a[1] < 4096 ? a[1] : v.symbol(a[1])}`,
  },
];

export const READ_LOCK_EVENT: number = READ_LOCK;
export const READ_UNLOCK_EVENT: number = READ_UNLOCK;
export const KVFREE_RCU_EVENT: number = KVFREE_RCU;
export const MARK_EVENT: number = MARK;
export const SCENARIO_START_EVENT: number = SCENARIO_START;
export const CALL_RCU_EVENT: number = CALL_RCU;

export function trace_rcu_read_lock(m: Machine, nesting: number): void {
  m.emit(READ_LOCK, nesting);
}

export function trace_rcu_read_unlock(m: Machine, nesting: number): void {
  m.emit(READ_UNLOCK, nesting);
}

/** An object was handed to kvfree_rcu(). */
export function trace_kvfree_rcu(m: Machine, ptr: number, headless: boolean): void {
  m.emit(KVFREE_RCU, ptr, headless ? 1 : 0);
}

/** Free text from an example, as trace_marker takes it. */
export function trace_mark(m: Machine, text: string): void {
  m.emit(MARK, m.log.intern(text));
}

export function trace_scenario_start(m: Machine, name: string): void {
  m.emit(SCENARIO_START, m.log.intern(name));
}

/** A callback was queued; tiny RCU has no tracepoint there. `func` is an address, or an offset below 4096. */
export function trace_call_rcu(m: Machine, rhp: number, func: number): void {
  m.emit(CALL_RCU, rhp, func);
}
