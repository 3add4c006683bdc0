// SPDX-License-Identifier: GPL-2.0-only
/**
 * The page cache of kvfree_rcu() from v5.9 on, as the tests of these levels look at it and prepare it.
 *
 * @module
 */

import type { MaySleep } from "../../../kernel/machine/effects.ts";
import { addFailRule } from "../../../kernel/fault_inject.ts";
import { __GFP_NOMEMALLOC, __GFP_NORETRY, __GFP_NOWARN, gfp, GFP_KERNEL } from "../../../kernel/gfp.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { vmalloc } from "../../../mod.ts";
import { krcState } from "../../../rcu/kvfree.ts";
import { arg, eventsOf } from "../../machines.ts";
import {
  drain,
  krc0,
  type KvfreeMachine,
  newObject,
  newObjects,
  queue2,
  sleepJiffies,
} from "../kvfree_machine.ts";

/** What kvfree_rcu() asks for a page with, from v5.13 on. */
export const OWN_GFP: number = gfp(GFP_KERNEL, __GFP_NORETRY, __GFP_NOMEMALLOC, __GFP_NOWARN);

/** Cached pages, by CPU. */
export function cached(k: Kernel): number[] {
  return krcState(k).map((s) => s.spares.length);
}

/** Pages that were taken from the page allocator after event `since`: their GFP flags. */
export function pagesTaken(k: Kernel, since: number): number[] {
  return eventsOf(k, "mm_page_alloc", since).map((r) => arg(r, "gfp_flags"));
}

/** ... with the flags that the worker has from v5.13 on, which nobody else uses. */
export function pagesFetched(k: Kernel, since: number): number {
  return pagesTaken(k, since).filter((flags) => flags === OWN_GFP).length;
}

/** Lines of the kernel log in which `text` stands. */
export function logLines(k: Kernel, text: string): string[] {
  return eventsOf(k, "console").map((r) => k.log.text(r.args[0])).filter((line) => line.includes(text));
}

/** The worker that fills the page cache gets no page from now on. */
export function failFills(k: Kernel): number {
  return addFailRule(k, { what: "page", site: "fill_page_cache_func", times: -1 });
}

/** Fills the page cache of this CPU, from v5.11 on: a call with a head that finds it empty sends for pages. */
export function* warm(m: KvfreeMachine): MaySleep<void> {
  const { k } = m;
  yield* queue2(k, yield* newObject(k));
  yield* sleepJiffies(k, 2);
  yield* drain(m);
}

/** Uses up what CPU 0 has cached, a block for each page; the next block finds the page cache empty. Returns how many. */
export function* useUp(k: Kernel): MaySleep<number> {
  const pages = krc0(k).spares.length;
  if (pages > 1) yield* queue2(k, yield* vmalloc(k, 64));
  while (krc0(k).spares.length > 0) yield* queue2(k, yield* newObject(k));
  const [block] = krc0(k).slab;
  if (block !== undefined) {
    for (const p of yield* newObjects(k, 510 - block.nr_records)) {
      yield* queue2(k, p);
    }
  }
  return pages;
}
