// SPDX-License-Identifier: GPL-2.0-only
/**
 * B13: kvfree_rcu() takes a sleeping lock under one that spins.
 *
 * A server closes a connection: a small object, and a table that came from vmalloc(). Both go to kvfree_rcu(), and no
 * memory is short. To save some, kvfree_rcu() is told to keep one page at hand instead of two, so the second block is
 * asked for; with two it would be the third. The machine has PROVE_RAW_LOCK_NESTING, which looks for what PREEMPT_RT could
 * not do: there a spinlock_t sleeps, and must not be taken while a raw_spinlock_t is held.
 */

import {
  embed,
  GFP_KERNEL,
  type Kernel,
  kmalloc,
  kvfree_rcu,
  type MaySleep,
  type Ptr,
  rcu_head,
  type Scenario,
  struct,
  ulong,
  type VirtAddr,
  vmalloc,
} from "../../mod.ts";
import { type Bug } from "./bug.ts";

const connection = struct("connection", { id: ulong, rcu: embed(rcu_head) });
const table = struct("table", { rcu: embed(rcu_head) }); // its entries follow
const TABLE_BYTES = 8192;

export const nestingScenario: Scenario = {
  name: "kvfree_nesting",
  summary: "a server closes a connection: kvfree_rcu() frees a small object and a table from vmalloc()",
  options: [],
  *main(k: Kernel): MaySleep<void> {
    const c = (yield* kmalloc(k, connection.size, GFP_KERNEL)) as VirtAddr as Ptr<typeof connection>;
    const t = (yield* vmalloc(k, TABLE_BYTES)) as VirtAddr as Ptr<typeof table>;
    yield* kvfree_rcu(k, c, connection, "rcu");
    yield* kvfree_rcu(k, t, table, "rcu");
  },
};

export default nestingScenario;

export const bug: Bug = {
  id: "B13",
  title: "kvfree_rcu() enters the page allocator under a raw spinlock: invalid wait context",
  why: [
    "krc.lock has become a raw_spinlock_t, so that callers under raw locks may use kvfree_rcu(), but when the pages at " +
    "hand are used up the next block's page is still asked for under it.",
    "The page allocator takes zone->lock, a spinlock_t, which sleeps on PREEMPT_RT; v5.11 leaves the allocation to " +
    "a worker, and what finds no page at hand goes on the list.",
  ],
  history:
    'v5.9 and v5.10; ended by 56292e8609e3, "Defer kvfree_rcu() allocation to a clean context" (v5.11)',
  levels: ["v5.9"],
  gone: "v5.11",
  shownAt: "v5.9",
  demo: {
    scenario: nestingScenario,
    file: "examples/bugs/kvfree_nesting.ts",
    machine: () => ({ cpus: 2, rawLockNesting: true, rcuMinCachedObjs: 1 }),
  },
};
