// SPDX-License-Identifier: GPL-2.0-only
/**
 * B18: a worker fills a page cache that there is not.
 *
 * An administrator boots with rcutree.rcu_min_cached_objs=0: kvfree_rcu() is to keep no pages. Then an object is freed,
 * and another one after the shrinkers were called. A worker that has nothing to fill should not run; the program counts,
 * by the trace events, how often it does, and the pages that it fetches.
 */

import {
  drop_slab,
  embed,
  GFP_KERNEL,
  type Kernel,
  kmalloc,
  kvfree_rcu,
  type MaySleep,
  msleep,
  type Ptr,
  rcu_head,
  type Scenario,
  struct,
  ulong,
  type VirtAddr,
} from "../../mod.ts";
import { __GFP_NOMEMALLOC, __GFP_NORETRY, __GFP_NOWARN, gfp } from "../../kernel/gfp.ts";
import { kallsyms_lookup } from "../../kernel/kallsyms.ts";
import { type Bug, levelsFromTo } from "./bug.ts";
import { expect } from "./expect.ts";
import { fieldOf, recordsOf } from "./observe.ts";

const object = struct("object", { value: ulong, rcu: embed(rcu_head) });

/** What the worker fetches pages with, from v5.13 on. */
const FETCH_GFP = gfp(GFP_KERNEL, __GFP_NORETRY, __GFP_NOMEMALLOC, __GFP_NOWARN);

function* freeOne(k: Kernel): MaySleep<void> {
  const p = (yield* kmalloc(k, object.size, GFP_KERNEL)) as VirtAddr as Ptr<typeof object>;
  yield* kvfree_rcu(k, p, object, "rcu");
  yield* msleep(k, 7000); // longer than the worker waits under memory pressure
}

export const noCacheScenario: Scenario = {
  name: "kvfree_no_cache",
  summary: "two objects are freed where kvfree_rcu() is told to keep no pages; does it try to?",
  options: [],
  *main(k: Kernel): MaySleep<void> {
    const since = k.seq;
    yield* freeOne(k);
    yield* drop_slab(k);
    yield* freeOne(k);
    const runs = recordsOf(k, "workqueue_execute_start", since)
      .filter((r) => kallsyms_lookup(k, fieldOf(r, "function")) === "fill_page_cache_func").length;
    const pages =
      recordsOf(k, "mm_page_alloc", since).filter((r) => fieldOf(r, "gfp_flags") === FETCH_GFP).length;
    expect(
      k,
      runs === 0,
      "BUG: worker for no page cache",
      `fill_page_cache_func() ran ${runs} times; pages fetched: ${pages}, pages to keep: 0`,
    );
  },
};

export default noCacheScenario;

export const bug: Bug = {
  id: "B18",
  title: "a worker is sent to fill a page cache of no pages, and fetches one",
  why: [
    "run_page_cache_worker() does not ask whether there is a page cache at all, and the first call that finds no page " +
    "starts a timer and a worker for nothing.",
    "The worker counts from 0 and not from what the cache holds, so it fetches pages until one is refused: under " +
    "memory pressure, from v5.14 on, it fetches a page in order to give it back.",
  ],
  history: "v5.11 to v6.4; ended by 021a5ff84743, 60888b77a06e and 6b706e5603c4 (v6.5)",
  levels: levelsFromTo("v5.11", "v6.3"),
  gone: "v6.5",
  shownAt: "v6.3",
  demo: {
    scenario: noCacheScenario,
    file: "examples/bugs/kvfree_no_cache.ts",
    machine: () => ({ cpus: 2, rcuMinCachedObjs: 0 }),
  },
};
