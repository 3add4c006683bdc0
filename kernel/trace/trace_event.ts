// SPDX-License-Identifier: GPL-2.0-only
/**
 * Trace events: the kernel's own names, fields and formats for what stands in the event log.
 *
 * One file per Linux trace header declares its events as data and gives each a `trace_*` function that emits a record of
 * numbers. Rendering reads records only. Ids are written down, system x 256 + number, because the state hash folds them.
 *
 * @invented TRACE_EVENT() as data
 * @module
 */

import { formatAddr } from "../machine/addr.ts";
import type { EventRecord } from "../machine/log.ts";

/** What a renderer needs to turn numbers into names. */
export interface TraceView {
  /** Text of an interned number. */
  text(id: number): string;
  /** Symbol of a text address, as %ps prints it. */
  symbol(addr: number): string;
  /** Name of the thread `pid` at that time. */
  comm(pid: number): string;
  /** Name of the captured call site of a record, "" when it was not captured. */
  site(record: EventRecord): string;
}

/** One event: name, fields in order, and how it prints. */
export interface TraceEvent {
  readonly id: number;
  readonly system: string;
  readonly name: string;
  /** Names of the record's arguments, in order; as in the kernel's TP_STRUCT__entry where they exist there. */
  readonly fields: readonly string[];
  /** The text behind "name: " in an ftrace line. */
  print(view: TraceView, record: EventRecord): string;
}

/** Numbers of the systems; the high byte of an event id. */
export const SYSTEM = {
  quiesce: 1,
  sched: 2,
  irq: 3,
  timer: 4,
  workqueue: 5,
  kmem: 6,
  rcu: 7,
  printk: 8,
  vmscan: 9,
  vmalloc: 10,
} as const;

/** A pointer as %p prints on a kernel that does not hash pointers. */
export function p(addr: number): string {
  return formatAddr(addr);
}
