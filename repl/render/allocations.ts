// SPDX-License-Identifier: GPL-2.0-only
// Which events are about which memory: allocations, frees and queueing, as the log has them.
//
// Ours. Invariant: read from the records only, so that it works for memory that is long gone; what the ring of the log
// has overwritten is not found, and the caller says so or replays.

import type { Kernel } from "../../kernel/kernel.ts";
import { PAGE_SIZE, pfnToVirt } from "../../kernel/machine/addr.ts";
import type { EventRecord } from "../../kernel/machine/log.ts";
import { CALL_RCU_EVENT, KVFREE_RCU_EVENT } from "../../kernel/trace/events/quiesce.ts";
import { traceEvents } from "../../kernel/trace/table.ts";
import type { LiveObject } from "../../mm/live.ts";

/** What an event does to the memory it names. */
export type Touch =
  | {
    readonly kind: "allocated";
    readonly addr: number;
    /** Bytes asked for. */
    readonly size: number;
    /** What the record names as flags; -1 where it names none. */
    readonly gfp: number;
    /** kmalloc, vmalloc ... */
    readonly by: string;
  }
  | { readonly kind: "freed"; readonly addr: number; readonly by: string }
  | { readonly kind: "queued"; readonly addr: number; readonly by: string; readonly func: number }
  | { readonly kind: "invoked"; readonly addr: number; readonly func: number };

const ID: ReadonlyMap<string, number> = new Map(traceEvents.map((event) => [event.name, event.id]));
const NAME: ReadonlyMap<number, string> = new Map(traceEvents.map((event) => [event.id, event.name]));

/** Id of the event called `name`. */
export function eventId(name: string): number {
  return ID.get(name) ?? -1;
}

/** What a record says about memory; undefined when it says nothing. */
export function touchOf(r: EventRecord): Touch | undefined {
  const by = NAME.get(r.kind) ?? "";
  const [a, b, c, d] = r.args;
  switch (by) {
    case "kmalloc":
    case "kmem_cache_alloc":
    case "kmalloc_node":
    case "kmem_cache_alloc_node":
    case "vmalloc":
      return a === 0 ? undefined : { kind: "allocated", addr: a, size: b, gfp: d, by };
    case "mm_page_alloc":
      return a === 0
        ? undefined
        : { kind: "allocated", addr: pfnToVirt(a), size: PAGE_SIZE << b, gfp: c, by };
    case "kfree":
    case "kmem_cache_free":
    case "vfree":
      return { kind: "freed", addr: a, by };
    case "mm_page_free":
      return { kind: "freed", addr: pfnToVirt(a), by };
    case "rcu_invoke_callback":
    case "rcu_invoke_kvfree_callback":
      return { kind: "invoked", addr: b, func: c };
    case "rcu_callback": // tree RCU; tiny has an event of ours
    case "rcu_kvfree_callback":
      return { kind: "queued", addr: b, by: "call_rcu", func: c };
  }
  if (r.kind === KVFREE_RCU_EVENT) return { kind: "queued", addr: a, by: "kvfree_rcu", func: 0 };
  if (r.kind === CALL_RCU_EVENT) return { kind: "queued", addr: a, by: "call_rcu", func: b };
  return undefined;
}

/** How far around an object's birth its event is looked for; vmalloc tells after all its pages came. */
const BEFORE = 8;

/** The record of an object's allocation; undefined when the log does not hold it any more. */
export function birthRecord(k: Kernel, object: LiveObject): EventRecord | undefined {
  if (object.birth < k.log.first) return undefined;
  let page: EventRecord | undefined;
  for (const r of k.log.records(object.birth - BEFORE)) {
    if (page !== undefined && r.seq > page.seq + BEFORE) break; // no kmalloc() of whole pages: a page of its own
    const touch = touchOf(r);
    if (touch?.kind !== "allocated" || touch.addr !== object.addr) continue;
    if (touch.by !== "mm_page_alloc") return r;
    page = r;
  }
  return page;
}
