// SPDX-License-Identifier: GPL-2.0-only
/**
 * B15: the worker that fills the page cache does not take no for an answer.
 *
 * Memory is so short that kvfree_rcu()'s worker gets no page. A server closes three connections, 40 ms apart. Each call
 * finds no page, puts its object on the list and sends the worker. How often does it ask?
 */

import {
  addFailRule,
  clearFailRules,
  embed,
  GFP_KERNEL,
  type Kernel,
  kmalloc,
  kvfree_rcu,
  listFailRules,
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
import { startOn } from "./start_on.ts";

const connection = struct("connection", { rcu: embed(rcu_head) });
const CONNECTIONS = 3;

function* server(k: Kernel): MaySleep<void> {
  const rule = addFailRule(k, { what: "page", site: "fill_page_cache_func", times: -1 });
  for (let i = 0; i < CONNECTIONS; i++) {
    const c = (yield* kmalloc(k, connection.size, GFP_KERNEL)) as Ptr<typeof connection>;
    yield* kvfree_rcu(k, c, connection, "rcu");
    yield* msleep(k, 40);
  }
  const asked = listFailRules(k).find(({ id }) => id === rule)?.matches ?? 0;
  clearFailRules(k, rule);
  expect(
    k,
    asked <= CONNECTIONS,
    "B15",
    `for ${CONNECTIONS} calls the worker asked ${asked} times for a page, and got none`,
  );
}

export const refillScenario: Scenario = {
  name: "kvfree_refill",
  summary: "a server closes connections while kvfree_rcu()'s worker gets no page",
  options: [],
  *main(k: Kernel): MaySleep<void> {
    yield* wait_for_completion(k, yield* startOn(k, 0, "server", server));
  },
};

export default refillScenario;

export const bug: Bug = {
  id: "B15",
  title: "the worker that fills the page cache hammers an empty allocator",
  why: [
    "fill_page_cache_func() goes on with its loop after a failure, so that a run asks five times in a row where the " +
    "first answer should have been enough, each time with an attempt to reclaim.",
    "v6.1 leaves the loop at the first failure.",
  ],
  history: 'from v5.11 to v6.0; ended by "Back off upon fill_page_cache_func() allocation failure" (v6.1)',
  levels: levelsFromTo("v5.11", "v5.14"),
  gone: "v6.1",
  shownAt: "v5.14",
  demo: {
    scenario: refillScenario,
    file: "examples/bugs/kvfree_refill.ts",
    machine: () => ({ cpus: 2, memBytes: 64 * 2 ** 20 }),
  },
};
