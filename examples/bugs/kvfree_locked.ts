// SPDX-License-Identifier: GPL-2.0-only
/**
 * B3: kvfree_rcu() enters the slab allocator with its own lock held and interrupts off.
 *
 * A driver gives ten strings to kvfree_rcu() by their addresses alone, from a context that may sleep. Memory is short: who
 * may not sleep gets no page, and no slab memory either as long as it does not ask for the reserves. Nothing in the kernel
 * checks for this, so the program does, by the trace events that it causes: a request for memory in a call that may
 * sleep should be one that may sleep.
 */

import {
  __GFP_NOWARN,
  addFailRule,
  clearFailRules,
  current,
  gfp,
  GFP_KERNEL,
  GFP_NOWAIT,
  type Kernel,
  kmalloc,
  type MaySleep,
  NULL,
  type Scenario,
} from "../../mod.ts";
import { FLAG_HARDIRQ, FLAG_IRQS_OFF, FLAG_SOFTIRQ } from "../../kernel/machine/log.ts";
import { type Bug, levelsFromTo } from "./bug.ts";
import { expect } from "./expect.ts";
import { giveHeadless, giveHeadlessNeeds } from "./give_headless.ts";
import { fieldOf, recordsOf } from "./observe.ts";

const STRINGS = 10;
const STRING_BYTES = 40;

/** kmalloc() with interrupts off, by this thread, after event `since`; and how many of these failed. */
function lockedRequests(k: Kernel, since: number): { requests: number; failed: number } {
  const { pid } = current(k);
  const records = recordsOf(k, "kmalloc", since).filter((r) =>
    r.task === pid && (r.flags & (FLAG_IRQS_OFF | FLAG_HARDIRQ | FLAG_SOFTIRQ)) === FLAG_IRQS_OFF
  );
  return { requests: records.length, failed: records.filter((r) => fieldOf(r, "ptr") === NULL).length };
}

export const lockedScenario: Scenario = {
  name: "kvfree_locked",
  summary:
    `${STRINGS} strings are freed by kvfree_rcu() while memory is short; who asks for memory, and how?`,
  options: [],
  needs: giveHeadlessNeeds,
  *main(k: Kernel): MaySleep<void> {
    const strings = [];
    for (let i = 0; i < STRINGS; i++) strings.push(yield* kmalloc(k, STRING_BYTES, GFP_KERNEL));
    const short = (["page", "slab"] as const).map((what) =>
      addFailRule(k, { what, gfp: gfp(GFP_NOWAIT, __GFP_NOWARN), gfpMask: -1, times: -1 })
    );
    const since = k.seq;
    for (const s of strings) yield* giveHeadless(k, s);
    for (const rule of short) clearFailRules(k, rule);
    const { requests, failed } = lockedRequests(k, since);
    expect(
      k,
      requests === 0,
      "BUG: allocation under krcp->lock",
      `${STRINGS} calls that may sleep asked kmalloc() ${requests} times with interrupts off; ${failed} got nothing`,
    );
  },
};

export default lockedScenario;

export const bug: Bug = {
  id: "B3",
  title: "kvfree_rcu() enters the slab allocator under its own lock, with interrupts off",
  why: [
    "A headless object that gets no block gets a wrapper from kmalloc(), asked for where the block was, under " +
    "krcp->lock: on PREEMPT_RT kmalloc() may sleep there, and must not.",
    "The caller could have slept, which would have reclaimed memory, but with interrupts off only GFP_NOWAIT and " +
    "GFP_ATOMIC are left, which fail more often and eat the reserves.",
  ],
  history:
    "4/7 of the series; in April 2020 the lock was dropped around the allocation, in May the wrapper was, so " +
    "never in Linux",
  levels: levelsFromTo("4/7", "7/7"),
  gone: "v5.9",
  shownAt: "7/7",
  demo: {
    scenario: lockedScenario,
    file: "examples/bugs/kvfree_locked.ts",
    machine: () => ({ cpus: 2 }),
  },
};
