// SPDX-License-Identifier: GPL-2.0-only
// What was leaked, in the form of kmemleak's report.
//
// Ours. Invariants: one paragraph for each leaked object, then the three numbers; an object that waits in RCU or that
// something still points at is never called leaked. `find` gives the record of an allocation and what can print it:
// from this machine's log, or from that of a replay.

import type { Kernel } from "../../kernel/kernel.ts";
import { formatAddr } from "../../kernel/machine/addr.ts";
import type { EventRecord } from "../../kernel/machine/log.ts";
import type { LiveObject, MemoryVerdict } from "../../mm/live.ts";
import { type Row, row, type Shown } from "../command.ts";

/** The allocation of an object: its record, and the names that go with it. */
export interface Birth {
  readonly record: EventRecord;
  /** Name of the task that allocated it. */
  readonly comm: string;
  /** Function and place of the call, or nothing. */
  readonly place: string;
}

/** Most objects that are shown one by one. */
const MOST_OBJECTS = 100;

/** The lines of `leaks`, without the TOKEN. */
export function* leakLines(
  k: Kernel,
  verdict: MemoryVerdict,
  find: (object: LiveObject) => Birth | undefined,
): Generator<Shown, void, void> {
  const { leaked, pending, live } = verdict;
  for (const object of leaked.slice(0, MOST_OBJECTS)) yield leakRow(k, object, find(object));
  if (leaked.length > MOST_OBJECTS) yield `and ${leaked.length - MOST_OBJECTS} more`;
  const numbers = { leaked: leaked.length, pending: pending.length, live: live.length };
  yield row("memory", numbers, `${leaked.length} leaked, ${pending.length} pending, ${live.length} live`);
}

function leakRow(k: Kernel, { addr, size, kind, cache, birth: event }: LiveObject, birth?: Birth): Row {
  const what = kind === "slab" ? cache : kind === "page" ? "pages" : "vmalloc";
  const fields = { addr: formatAddr(addr), size, kind, cache, event };
  const head = `unreferenced object 0x${formatAddr(addr)} (size ${size}):`;
  if (birth === undefined) {
    return row(
      "leak",
      fields,
      head,
      `  ${what}, allocated at event ${event}, which the log does not hold any more`,
    );
  }
  const { record, comm, place } = birth;
  const age = k.now() - record.ns;
  return row(
    "leak",
    { ...fields, comm, pid: record.task, age_ns: age, place },
    head,
    `  comm "${comm}", pid ${record.task}, event ${record.seq} (age ${(age / 1e9).toFixed(3)}s)`,
    `  ${what}, allocated by ${place === "" ? "an unknown function" : place}`,
  );
}
