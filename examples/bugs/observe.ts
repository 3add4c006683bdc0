// SPDX-License-Identifier: GPL-2.0-only
/** What a program sees of the kernel by its trace events, as one that had enabled them. */

import type { Kernel } from "../../mod.ts";
import type { EventRecord } from "../../kernel/machine/log.ts";
import { traceEvents } from "../../kernel/trace/table.ts";

/** Records of the event called `name` after event `since`. */
export function recordsOf(k: Kernel, name: string, since: number): EventRecord[] {
  const event = traceEvents.find((e) => e.name === name);
  if (event === undefined) throw new TypeError(`no event ${name}`);
  return [...k.log.records(since + 1)].filter((r) => r.kind === event.id);
}

/** Argument `field` of a record. */
export function fieldOf(record: EventRecord, field: string): number {
  const at = traceEvents.find((e) => e.id === record.kind)?.fields.indexOf(field) ?? -1;
  if (at < 0) throw new TypeError(`no field ${field}`);
  return record.args[at];
}
