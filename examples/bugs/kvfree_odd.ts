// SPDX-License-Identifier: GPL-2.0-only
/**
 * B4: an object at an odd address is taken for a wrapper.
 *
 * A driver has an allocator of its own for large records: pages, seven bytes of tag in front, and the record behind them,
 * packed. kfree() finds the pages by any address in them, so that works, and so should kvfree_rcu(). The record points at
 * the driver's routes, which stay. Memory is short: who may not sleep gets no page for a block, and the record goes on the
 * list.
 */

import {
  __GFP_COMP,
  __GFP_NOWARN,
  addFailRule,
  alloc_pages,
  clearFailRules,
  gfp,
  GFP_KERNEL,
  GFP_NOWAIT,
  type Kernel,
  kfree,
  kmalloc,
  levelAtLeast,
  type MaySleep,
  msleep,
  rcu_head,
  type Scenario,
  type VirtAddr,
} from "../../mod.ts";
import { page_address } from "../../mm/mm_types.ts";
import { placeObject } from "../../mm/slab_live.ts";
import { type Bug, levelsFromTo } from "./bug.ts";

/** Bytes in front of a record, which so stands at an odd address. */
const TAG = 7;
/** The record, packed: a byte of kind, a pointer to routes, the rcu_head. */
const ROUTES = 1;
const RCU = 9;
const ROUTES_BYTES = 256;

function* newRecord(k: Kernel, routes: VirtAddr): MaySleep<VirtAddr> {
  const page = yield* alloc_pages(k, gfp(GFP_KERNEL, __GFP_COMP), 1);
  const record = (page_address(page) + TAG) as VirtAddr;
  placeObject(k, record);
  k.ram.store8(record, 1);
  k.ram.storePtr((record + ROUTES) as VirtAddr, routes);
  return record;
}

/** kvfree_rcu(record, rcu): what it comes to for a packed struct. From v6.3-rc1 on it hands over the address itself. */
function* freeRecord(k: Kernel, record: VirtAddr): MaySleep<void> {
  const head = (record + RCU) as VirtAddr;
  yield* k.kvfree.kvfree_call_rcu(k, head, levelAtLeast(k.config.level, "v6.3-rc1") ? record : RCU);
}

export const oddScenario: Scenario = {
  name: "kvfree_odd",
  summary: `a record at an odd address is freed by kvfree_rcu(), by its rcu_head of ${rcu_head.size} bytes`,
  options: [],
  *main(k: Kernel): MaySleep<void> {
    const routes = yield* kmalloc(k, ROUTES_BYTES, GFP_KERNEL);
    const record = yield* newRecord(k, routes);
    const short = addFailRule(k, {
      what: "page",
      gfp: gfp(GFP_NOWAIT, __GFP_NOWARN),
      gfpMask: -1,
      times: -1,
    });
    yield* freeRecord(k, record);
    clearFailRules(k, short);
    yield* msleep(k, 7000); // until it is freed, at whatever level
    k.ram.loadPtr(routes); // still ours
    yield* kfree(k, routes);
  },
};

export default oddScenario;

export const bug: Bug = {
  id: "B4",
  title: "an object at an odd address is taken for a wrapper, and what it points at is freed",
  why: [
    "The mark of a wrapper is bit 0 of the address to which the stored offset leads, which is also set for an object " +
    "that stands at an odd address.",
    "So one byte behind the start of the record a pointer to an object is expected, and the routes found there are " +
    "freed under their owner.",
  ],
  history:
    "4/7 of the series; 18/18 of the repost of 30 March 2020 marks bit 31 of the offset instead, and in May the " +
    "wrapper was dropped, so never in Linux",
  levels: levelsFromTo("4/7", "7/7"),
  gone: "v5.9",
  shownAt: "7/7",
  demo: {
    scenario: oddScenario,
    file: "examples/bugs/kvfree_odd.ts",
    machine: () => ({ cpus: 2 }),
  },
};
