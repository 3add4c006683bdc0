// SPDX-License-Identifier: GPL-2.0-only
/**
 * B26: memory waits for callbacks that have nothing to do with it.
 *
 * A server unmounts a file system, which gives a burst of callbacks to call_rcu(), each with some work to do: RCU's softirq
 * is busy for 0.3 seconds. Meanwhile the server frees buffers by kvfree_rcu(), one after the other, and grace periods
 * come and go, for its neighbour waits for one after the other. A batch of kvfree_rcu() is a callback too, and stands at
 * the end of the queue. How much memory do buffers take, at the worst, that nobody uses any more?
 */

import {
  array,
  type Atomic,
  call_rcu,
  cond_resched,
  container_of,
  embed,
  GFP_KERNEL,
  type Kernel,
  kfree,
  kmalloc,
  kvfree_rcu,
  type MaySleep,
  NULL,
  type OptionValues,
  type Ptr,
  rcu_head,
  type Scenario,
  struct,
  synchronize_rcu,
  u8,
  udelay,
  type VirtAddr,
  wait_for_completion,
} from "../../mod.ts";
import { NR_FREE_PAGES } from "../../mm/mmzone.ts";
import { global_zone_page_state } from "../../mm/vmstat.ts";
import { type Bug, levelsFromTo } from "./bug.ts";
import { expect } from "./expect.ts";
import { startOn } from "./start_on.ts";

const inode = struct("inode", { i_rcu: embed(rcu_head), i_state: array(u8, 48) });
const buffer = struct("buffer", { rcu: embed(rcu_head), data: array(u8, 1000) });

/** Frees an inode, which takes 50 us. */
function* free_inode(k: Kernel, head: VirtAddr): Atomic<void> {
  yield* udelay(k, 50);
  yield* kfree(k, container_of(head, inode, "i_rcu"));
}

function* evict_inodes(k: Kernel, inodes: number): MaySleep<void> {
  for (let i = 0; i < inodes; i++) {
    const p = yield* kmalloc(k, inode.size, GFP_KERNEL);
    if (p !== NULL) yield* call_rcu(k, p, free_inode);
  }
}

/** Buffers of a page. */
const PER_PAGE = 4;

/** Frees buffers; returns the pages that they took at the worst. */
function* serve(k: Kernel, buffers: number): MaySleep<number> {
  const free = global_zone_page_state(k, NR_FREE_PAGES);
  let least = free;
  for (let i = 0; i < buffers; i++) {
    const p = yield* kmalloc(k, buffer.size, GFP_KERNEL);
    yield* udelay(k, 20);
    if (p !== NULL) yield* kvfree_rcu(k, p as Ptr<typeof buffer>, buffer, "rcu");
    least = Math.min(least, global_zone_page_state(k, NR_FREE_PAGES));
    yield* cond_resched(k);
  }
  return free - least;
}

export const floodScenario: Scenario = {
  name: "kvfree_flood",
  summary: "buffers are freed by kvfree_rcu() while callbacks of others keep RCU's softirq busy",
  options: [
    { name: "inodes", kind: "int", min: 0, max: 10000, default: "3000", help: "callbacks of 50 us" },
    { name: "buffers", kind: "int", min: 1, max: 100000, default: "7500", help: "buffers of 1 KiB" },
  ],
  *main(k: Kernel, options: OptionValues): MaySleep<void> {
    const buffers = Number(options.buffers);
    let pages = 0;
    let over = false;
    const neighbour = yield* startOn(k, 1, "neighbour", function* (k) {
      while (!over) yield* synchronize_rcu(k);
    });
    const server = yield* startOn(k, 0, "server", function* (k) {
      yield* evict_inodes(k, Number(options.inodes));
      pages = yield* serve(k, buffers);
    });
    yield* wait_for_completion(k, server);
    over = true;
    yield* wait_for_completion(k, neighbour);
    const all = Math.ceil(buffers / PER_PAGE);
    expect(
      k,
      pages <= all / 2,
      "B26",
      `at the worst ${pages} pages more are in use than before, and all the buffers come to ${all}`,
    );
  },
};

export default floodScenario;

export const bug: Bug = {
  id: "B26",
  title: "under a flood memory waits although its grace period is long over",
  why: [
    "A batch waits for a grace period of its own and for its callback to come up in the queue, and while both batches " +
    "wait all that is freed is only collected.",
    "From v6.3 on each block knows by a cookie when its grace period is over, and the monitor frees what is ready " +
    "without a callback.",
  ],
  history: "up to v6.2; ended by cc37d52076a9 (a cookie for each block, v6.3-rc1)",
  levels: levelsFromTo("base", "v6.1.192"),
  gone: "v6.3-rc1",
  shownAt: "v6.1",
  demo: {
    scenario: floodScenario,
    file: "examples/bugs/kvfree_flood.ts",
    machine: () => ({ cpus: 2, memBytes: 64 * 2 ** 20 }),
    timeline: false,
  },
};
