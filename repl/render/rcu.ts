// SPDX-License-Identifier: GPL-2.0-only
// The state of RCU and of kvfree_rcu() in words.
//
// Ours. A look at what rcu/tiny.ts keeps. Invariant: every number is read from the machine; nothing is guessed.

import type { Kernel } from "../../kernel/kernel.ts";
import { formatAddr, NULL } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { kallsyms_lookup } from "../../kernel/kallsyms.ts";
import { rcu_head } from "../../rcu/rcu.ts";
import { KVFREE_BULK_MAX_ENTR } from "../../rcu/kvfree_bulk.ts";
import { KVFREE_DRAIN_JIFFIES, tinyState } from "../../rcu/tiny.ts";
import { count } from "./verdict.ts";

/** Most callbacks and pointers that are listed one by one. */
const MOST_LISTED = 10;

/** The callback list of tiny RCU. */
export function* rcuLines(k: Kernel): Generator<string, void, void> {
  const { callbacks, readyToRun } = tinyState(k);
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
export function* krcLines(k: Kernel): Generator<string, void, void> {
  const { collecting, waiting, spare, monitor_todo } = tinyState(k);
  const drain = KVFREE_DRAIN_JIFFIES(k);
  yield `kvfree_rcu(): blocks of ${KVFREE_BULK_MAX_ENTR} pointers, a batch goes ${drain} jiffies after its first pointer`;
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
