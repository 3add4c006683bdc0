// SPDX-License-Identifier: GPL-2.0-only
/**
 * include/trace/events/sched.h: switches, wake-ups, thread births and deaths.
 *
 * @module
 */

import type { Machine } from "../../machine/machine.ts";
import { SYSTEM, type TraceEvent } from "../trace_event.ts";

const SWITCH = SYSTEM.sched * 256 + 1;
const WAKING = SYSTEM.sched * 256 + 2;
const WAKEUP = SYSTEM.sched * 256 + 3;
const WAKEUP_NEW = SYSTEM.sched * 256 + 4;
const FORK = SYSTEM.sched * 256 + 5;
const EXIT = SYSTEM.sched * 256 + 6;
const MIGRATE = SYSTEM.sched * 256 + 7;

/** Letters of task states in prev_state; 256 is "R+" (preempted). */
function stateLetter(state: number): string {
  if (state === 256) return "R+";
  const letters: Record<number, string> = {
    0: "R",
    1: "S",
    2: "D",
    16: "X",
    32: "Z",
    64: "P",
    128: "I",
    1026: "I",
  };
  return letters[state] ?? "?";
}

export const events: readonly TraceEvent[] = [
  {
    id: SWITCH,
    system: "sched",
    name: "sched_switch",
    fields: ["prev_comm", "prev_pid", "prev_prio", "prev_state", "next_comm", "next_pid", "next_prio"],
    print: (v, { args: a }) =>
      `prev_comm=${v.text(a[0])} prev_pid=${a[1]} prev_prio=${a[2]} prev_state=${stateLetter(a[3])} ==> ` +
      `next_comm=${v.text(a[4])} next_pid=${a[5]} next_prio=${a[6]}`,
  },
  wakeupEvent(WAKING, "sched_waking"),
  wakeupEvent(WAKEUP, "sched_wakeup"),
  wakeupEvent(WAKEUP_NEW, "sched_wakeup_new"),
  {
    id: FORK,
    system: "sched",
    name: "sched_process_fork",
    fields: ["parent_comm", "parent_pid", "child_comm", "child_pid"],
    print: (v, { args: a }) =>
      `comm=${v.text(a[0])} pid=${a[1]} child_comm=${v.text(a[2])} child_pid=${a[3]}`,
  },
  {
    id: EXIT,
    system: "sched",
    name: "sched_process_exit",
    fields: ["comm", "pid", "prio"],
    print: (v, { args: a }) => `comm=${v.text(a[0])} pid=${a[1]} prio=${a[2]}`,
  },
  {
    id: MIGRATE,
    system: "sched",
    name: "sched_migrate_task",
    fields: ["comm", "pid", "prio", "orig_cpu", "dest_cpu"],
    print: (v, { args: a }) =>
      `comm=${v.text(a[0])} pid=${a[1]} prio=${a[2]} orig_cpu=${a[3]} dest_cpu=${a[4]}`,
  },
];

function wakeupEvent(id: number, name: string): TraceEvent {
  return {
    id,
    system: "sched",
    name,
    fields: ["comm", "pid", "prio", "target_cpu"],
    print: (v, { args: a }) =>
      `comm=${v.text(a[0])} pid=${a[1]} prio=${a[2]} target_cpu=${String(a[3]).padStart(3, "0")}`,
  };
}

/** What the events need of a task. */
export interface TracedTask {
  readonly pid: number;
  /** Interned comm. */
  readonly commId: number;
  readonly prio: number;
}

export function trace_sched_waking(m: Machine, p: TracedTask, cpu: number): void {
  m.emit(WAKING, p.commId, p.pid, p.prio, cpu);
}

export function trace_sched_wakeup(m: Machine, p: TracedTask, cpu: number): void {
  m.emit(WAKEUP, p.commId, p.pid, p.prio, cpu);
}

export function trace_sched_wakeup_new(m: Machine, p: TracedTask, cpu: number): void {
  m.emit(WAKEUP_NEW, p.commId, p.pid, p.prio, cpu);
}

export function trace_sched_switch(m: Machine, prev: TracedTask, prevState: number, next: TracedTask): void {
  m.emit(SWITCH, prev.commId, prev.pid, prev.prio, prevState, next.commId, next.pid, next.prio);
}

/** @mirrors include/trace/events/sched.h:sched_migrate_task */
export function trace_sched_migrate_task(m: Machine, p: TracedTask, from: number, to: number): void {
  m.emit(MIGRATE, p.commId, p.pid, p.prio, from, to);
}

/** @mirrors include/trace/events/sched.h:sched_process_exit */
export function trace_sched_process_exit(m: Machine, p: TracedTask): void {
  m.emit(EXIT, p.commId, p.pid, p.prio);
}

/** @mirrors include/trace/events/sched.h:sched_process_fork */
export function trace_sched_process_fork(m: Machine, parent: TracedTask, child: TracedTask): void {
  m.emit(FORK, parent.commId, parent.pid, child.commId, child.pid);
}

export const SCHED_SWITCH_EVENT: number = SWITCH;
export const SCHED_PROCESS_FORK_EVENT: number = FORK;
export const SCHED_PROCESS_EXIT_EVENT: number = EXIT;
