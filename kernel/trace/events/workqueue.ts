// SPDX-License-Identifier: GPL-2.0-only
/**
 * include/trace/events/workqueue.h: a work item from queueing to the end of its execution.
 *
 * @module
 */

import type { Machine } from "../../machine/machine.ts";
import { p, SYSTEM, type TraceEvent } from "../trace_event.ts";

const QUEUE_WORK = SYSTEM.workqueue * 256 + 1;
const ACTIVATE_WORK = SYSTEM.workqueue * 256 + 2;
const EXECUTE_START = SYSTEM.workqueue * 256 + 3;
const EXECUTE_END = SYSTEM.workqueue * 256 + 4;

export const events: readonly TraceEvent[] = [
  {
    id: QUEUE_WORK,
    system: "workqueue",
    name: "workqueue_queue_work",
    fields: ["work", "function", "workqueue", "req_cpu", "cpu"],
    print: (v, { args: [work, fn, wq, req_cpu, cpu] }) =>
      `work struct=${p(work)} function=${v.symbol(fn)} workqueue=${p(wq)} req_cpu=${req_cpu} ` +
      `cpu=${cpu >>> 0}`,
  },
  {
    id: ACTIVATE_WORK,
    system: "workqueue",
    name: "workqueue_activate_work",
    fields: ["work"],
    print: (_v, { args: a }) => `work struct ${p(a[0])}`,
  },
  executeEvent(EXECUTE_START, "workqueue_execute_start"),
  executeEvent(EXECUTE_END, "workqueue_execute_end"),
];

function executeEvent(id: number, name: string): TraceEvent {
  return {
    id,
    system: "workqueue",
    name,
    fields: ["work", "function"],
    print: (v, { args: [work, fn] }) => `work struct ${p(work)}: function ${v.symbol(fn)}`,
  };
}

/** `cpu` is that of the pool, -1 for an unbound one. */
export function trace_workqueue_queue_work(
  m: Machine,
  work: number,
  fn: number,
  wq: number,
  req_cpu: number,
  cpu: number,
): void {
  m.emit(QUEUE_WORK, work, fn, wq, req_cpu, cpu);
}

export function trace_workqueue_activate_work(m: Machine, work: number): void {
  m.emit(ACTIVATE_WORK, work);
}

export function trace_workqueue_execute_start(m: Machine, work: number, fn: number): void {
  m.emit(EXECUTE_START, work, fn);
}

export function trace_workqueue_execute_end(m: Machine, work: number, fn: number): void {
  m.emit(EXECUTE_END, work, fn);
}

export const WORKQUEUE_QUEUE_WORK_EVENT: number = QUEUE_WORK;
export const WORKQUEUE_EXECUTE_START_EVENT: number = EXECUTE_START;
export const WORKQUEUE_EXECUTE_END_EVENT: number = EXECUTE_END;
