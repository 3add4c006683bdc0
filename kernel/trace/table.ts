// SPDX-License-Identifier: GPL-2.0-only
/**
 * All trace events, by id and by name.
 *
 * @invented the linker does this for C
 * @module
 */

import { events as irq } from "./events/irq.ts";
import { events as kmem } from "./events/kmem.ts";
import { events as printk } from "./events/printk.ts";
import { events as quiesce } from "./events/quiesce.ts";
import { events as rcu } from "./events/rcu.ts";
import { events as sched } from "./events/sched.ts";
import { events as timer } from "./events/timer.ts";
import { events as vmalloc } from "./events/vmalloc.ts";
import { events as vmscan } from "./events/vmscan.ts";
import { events as workqueue } from "./events/workqueue.ts";
import type { TraceEvent } from "./trace_event.ts";

/** Every event, in id order. */
export const traceEvents: readonly TraceEvent[] = [
  ...quiesce,
  ...sched,
  ...irq,
  ...timer,
  ...workqueue,
  ...kmem,
  ...rcu,
  ...printk,
  ...vmscan,
  ...vmalloc,
];

const byId: ReadonlyMap<number, TraceEvent> = new Map(traceEvents.map((e) => [e.id, e]));

/** The event of a record's kind. */
export function traceEvent(id: number): TraceEvent | undefined {
  return byId.get(id);
}
