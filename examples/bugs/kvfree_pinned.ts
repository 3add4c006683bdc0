// SPDX-License-Identifier: GPL-2.0-only
/**
 * B14: spare pages that nobody gets back.
 *
 * A machine whose administrator asked for 20 spare pages a CPU (rcutree.rcu_min_cached_objs) closes 100 connections on
 * each CPU. When all is freed and quiet, memory becomes short, and the shrinkers are called. What does kvfree_rcu() still
 * keep? A page or two for each CPU, to begin with, are fair.
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
  wait_for_completion,
} from "../../mod.ts";
import { type Bug, levelsFromTo } from "./bug.ts";
import { expect } from "./expect.ts";
import { sparePages } from "./measure.ts";
import { startOn } from "./start_on.ts";

const connection = struct("connection", { rcu: embed(rcu_head) });
const CONNECTIONS = 100;
/** Pages of a CPU that may stay. */
const FAIR = 2;

function* closeAll(k: Kernel): MaySleep<void> {
  for (let i = 0; i < CONNECTIONS; i++) {
    const c = (yield* kmalloc(k, connection.size, GFP_KERNEL)) as Ptr<typeof connection>;
    yield* kvfree_rcu(k, c, connection, "rcu");
  }
}

export const pinnedScenario: Scenario = {
  name: "kvfree_pinned",
  summary: `${CONNECTIONS} connections are closed on each CPU; later memory becomes short`,
  options: [],
  *main(k: Kernel): MaySleep<void> {
    for (const { id } of k.cpus) {
      yield* wait_for_completion(k, yield* startOn(k, id, `server/${id}`, closeAll));
    }
    yield* msleep(k, 8000);
    yield* drop_slab(k);
    const pages = sparePages(k);
    const cpus = k.cpus.length;
    expect(
      k,
      pages <= FAIR * cpus,
      "B14",
      `after the shrinkers ran kvfree_rcu() keeps ${pages} empty pages on ${cpus} CPUs`,
    );
  },
};

export default pinnedScenario;

export const bug: Bug = {
  id: "B14",
  title: "the page cache of kvfree_rcu() keeps its pages when memory is short",
  why: [
    "From v5.9 on each CPU keeps up to rcu_min_cached_objs pages for blocks to come, but the shrinker knows only of " +
    "objects, so nothing ever gives the pages back.",
    "v5.14 counts them too, and its scan frees them.",
  ],
  history: 'from v5.9 to v5.13; ended by d0bfa8b3c42c, "Release a page cache under memory pressure" (v5.14)',
  levels: levelsFromTo("v5.9", "v5.13"),
  gone: "v5.14",
  shownAt: "v5.13",
  demo: {
    scenario: pinnedScenario,
    file: "examples/bugs/kvfree_pinned.ts",
    machine: () => ({ cpus: 4, memBytes: 64 * 2 ** 20, rcuMinCachedObjs: 20 }),
    timeline: false,
    look: ["krc"],
  },
};
