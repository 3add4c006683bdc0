// SPDX-License-Identifier: GPL-2.0-only
// The state of tiny RCU and of its kvfree_rcu() in words, and why its last grace period ended.
//
// Ours. A look at what rcu/tiny.ts keeps, and at the log. On one CPU a grace period is not an object of its own: a
// callback waits, a quiescent state comes, the callback runs. Invariant: every number is read from the machine; nothing
// is guessed.

import type { Kernel } from "../../kernel/kernel.ts";
import { type Row, row } from "../command.ts";
import { plainFields } from "../output.ts";
import { formatAddr, NULL } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { type EventRecord, FLAG_HARDIRQ } from "../../kernel/machine/log.ts";
import { kallsyms_lookup } from "../../kernel/kallsyms.ts";
import { RCU_SOFTIRQ } from "../../kernel/softirq.ts";
import { SCHED_SWITCH_EVENT } from "../../kernel/trace/events/sched.ts";
import type { TraceView } from "../../kernel/trace/trace_event.ts";
import { rcu_head } from "../../rcu/rcu.ts";
import { tinyBatching } from "../../rcu/kvfree.ts";
import { tinyCallbacks } from "../../rcu/tiny.ts";
import type { SiteTable } from "../sites.ts";
import { eventId, touchOf } from "./allocations.ts";
import { ms, wrapped } from "./text.ts";
import { count } from "./verdict.ts";

/** Most callbacks and pointers that are listed one by one. */
const MOST_LISTED = 10;

/** The callback list of tiny RCU. */
export function* tinyLines(k: Kernel): Generator<Row, void, void> {
  const { callbacks, readyToRun } = tinyCallbacks(k);
  const fields = { flavour: "tiny", callbacks: callbacks.map((head) => formatAddr(head)), ready: readyToRun };
  yield row("rcu", fields, ...stateLines(k));
}

function* stateLines(k: Kernel): Generator<string, void, void> {
  const { callbacks, readyToRun } = tinyCallbacks(k);
  yield "tiny RCU: one CPU, so any context switch, and any tick in user mode, ends a grace period";
  yield `${count(callbacks.length, "callback")} queued` +
    (callbacks.length === 0
      ? ""
      : readyToRun
      ? ": the grace period of the first is over, softirq RCU will invoke it"
      : ": the next context switch ends the grace period");
  for (const head of callbacks.slice(0, MOST_LISTED)) {
    yield `  rcu_head ${formatAddr(head)}  ${callbackText(k, head)}`;
  }
  if (callbacks.length > MOST_LISTED) yield `  and ${callbacks.length - MOST_LISTED} more`;
}

/** What a queued rcu_head will do: its second word is a function, or the head's offset in an object to be freed. */
function callbackText(k: Kernel, head: VirtAddr): string {
  const at = k.ram.translate(head + rcu_head.offsetof("func"));
  const func = at < 0 ? NULL : k.ram.rawLoadPtr(at);
  if (func >= 4096) return kallsyms_lookup(k, func);
  return `frees ${formatAddr(head - func)} (head at offset ${func})`;
}

/** The blocks of kvfree_rcu(). */
export function* tinyKrcLines(k: Kernel): Generator<Row, void, void> {
  yield row("krc", { cpu: 0, ...plainFields(tinyBatching(k) ?? { batches: false }) }, ...krcLines(k));
}

function* krcLines(k: Kernel): Generator<string, void, void> {
  const batching = tinyBatching(k);
  if (batching === null) {
    yield `kvfree_rcu() at ${k.config.level} has no batches on tiny RCU: see the callback list of rcu`;
    return;
  }
  const { collecting, waiting, spare, monitor_todo, drainJiffies, capacity } = batching;
  yield `kvfree_rcu(): blocks of ${capacity} pointers, a batch goes ${drainJiffies} jiffies after its first pointer`;
  yield* chainLines(k, "collecting", collecting);
  yield* chainLines(k, "waiting for a grace period", waiting);
  yield `spare block: ${spare === NULL ? "none" : formatAddr(spare)}`;
  yield `monitor: ${monitor_todo ? "armed, the batch timer runs" : "not armed"}`;
}

function* chainLines(
  k: Kernel,
  what: string,
  chain: readonly { readonly addr: VirtAddr; readonly nr_records: number }[],
): Generator<string, void, void> {
  const pointers = chain.reduce((sum, block) => sum + block.nr_records, 0);
  yield `${what}: ` +
    (chain.length === 0 ? "nothing" : `${count(pointers, "pointer")} in ${count(chain.length, "block")}`);
  let listed = 0;
  for (const { addr, nr_records } of chain) {
    yield `  block ${formatAddr(addr)} holds ${nr_records}`;
    for (let i = 0; i < nr_records && listed < MOST_LISTED; i++, listed++) {
      yield `    ${formatAddr(recordAt(k, addr, i))}`;
    }
  }
  if (pointers > listed) yield `    and ${pointers - listed} more`;
}

/** Record `i` of a block: after two words of header. */
function recordAt(k: Kernel, block: VirtAddr, i: number): number {
  const at = k.ram.translate(block + 16 + 8 * i);
  return at < 0 ? NULL : k.ram.rawLoadPtr(at);
}

const SOFTIRQ_RAISE = eventId("softirq_raise");

/** `rcu why`: the last callback, what it waited for, and what ended that. */
export function* tinyWhyLines(k: Kernel, view: TraceView, sites: SiteTable): Generator<string, void, void> {
  let queued: EventRecord | undefined;
  let over: EventRecord | undefined;
  let next: EventRecord | undefined; // the switch that was the quiescent state
  let invoked: EventRecord | undefined;
  for (const r of k.log.records()) {
    const touch = touchOf(r);
    if (touch?.kind === "queued" && touch.by === "call_rcu") {
      queued = r;
      over = next = invoked = undefined;
    } else if (queued === undefined) continue;
    else if (r.kind === SOFTIRQ_RAISE && r.args[0] === RCU_SOFTIRQ) over ??= r;
    else if (r.kind === SCHED_SWITCH_EVENT && over !== undefined) next ??= r;
    else if (touch?.kind === "invoked" && touch.addr === queued.args[0]) invoked ??= r;
  }
  if (queued === undefined) {
    yield "tiny RCU: no callback has waited for a grace period yet";
    return;
  }
  const place = sites.placeOf(queued);
  const func = queued.args[1];
  const what = func < 4096 ? `a head at offset ${func}` : kallsyms_lookup(k, func);
  yield* wrapped(
    "asked for by ",
    `${view.comm(queued.task)}: call_rcu() of ${what}${
      place === "" ? "" : ` in ${place}`
    }, event ${queued.seq}`,
    2,
  );
  if (over === undefined) {
    yield `it waits, ${
      ms(k.now() - queued.ns)
    } ms so far: the next context switch, or tick in user mode, ends it`;
    return;
  }
  const how = (over.flags & FLAG_HARDIRQ) !== 0
    ? "the tick in user mode"
    : next === undefined
    ? "a context switch"
    : `the switch from ${k.log.text(next.args[0])} to ${k.log.text(next.args[4])}`;
  yield* wrapped(
    "over ",
    `${ms(over.ns - queued.ns)} ms later by ${how}, event ${over.seq}: one CPU, so whoever read has left`,
    2,
  );
  yield invoked === undefined
    ? "the callback was not invoked yet: softirq RCU will do it"
    : `the callback was invoked ${ms(invoked.ns - over.ns)} ms after that, event ${invoked.seq}`;
}
