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
): Generator<string, void, void> {
  const { leaked, pending, live } = verdict;
  for (const object of leaked.slice(0, MOST_OBJECTS)) {
    const what = object.kind === "slab" ? object.cache : object.kind === "page" ? "pages" : "vmalloc";
    yield `unreferenced object 0x${formatAddr(object.addr)} (size ${object.size}):`;
    const birth = find(object);
    if (birth === undefined) {
      yield `  ${what}, allocated at event ${object.birth}, which the log does not hold any more`;
      continue;
    }
    const { record, comm, place } = birth;
    yield `  comm "${comm}", pid ${record.task}, event ${record.seq} (age ${
      ((k.now() - record.ns) / 1e9).toFixed(3)
    }s)`;
    yield `  ${what}, allocated by ${place === "" ? "an unknown function" : place}`;
  }
  if (leaked.length > MOST_OBJECTS) yield `and ${leaked.length - MOST_OBJECTS} more`;
  yield `${leaked.length} leaked, ${pending.length} pending, ${live.length} live`;
}
