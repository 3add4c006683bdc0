// SPDX-License-Identifier: GPL-2.0-only
/**
 * B5: what went through a wrapper counts as queued for ever.
 *
 * A driver reads its firmware's name into a string and gives that to kvfree_rcu() by its address alone, twice. The
 * first time memory is short: who may not sleep gets no page. The machine has DEBUG_OBJECTS_RCU_HEAD, which keeps book of
 * what is queued. Each string is given away once; but the allocator gives the same address out again.
 */

import {
  __GFP_NOWARN,
  addFailRule,
  clearFailRules,
  gfp,
  GFP_KERNEL,
  GFP_NOWAIT,
  type Kernel,
  kmalloc,
  type MaySleep,
  msleep,
  type Scenario,
} from "../../mod.ts";
import { type Bug, levelsFromTo } from "./bug.ts";
import { giveHeadless, giveHeadlessNeeds } from "./give_headless.ts";

const NAME_BYTES = 96;

function* readName(k: Kernel): MaySleep<void> {
  const name = yield* kmalloc(k, NAME_BYTES, GFP_KERNEL);
  yield* giveHeadless(k, name);
  yield* msleep(k, 7000); // until it is freed, at whatever level
}

export const wrappedScenario: Scenario = {
  name: "kvfree_wrapped",
  summary: "two strings, one after the other, are freed by kvfree_rcu(), the first while memory is short",
  options: [],
  needs: giveHeadlessNeeds,
  *main(k: Kernel): MaySleep<void> {
    const short = addFailRule(k, {
      what: "page",
      gfp: gfp(GFP_NOWAIT, __GFP_NOWARN),
      gfpMask: -1,
      times: -1,
    });
    yield* readName(k);
    clearFailRules(k, short);
    yield* readName(k);
  },
};

export default wrappedScenario;

export const bug: Bug = {
  id: "B5",
  title:
    "debug objects: an object freed through a wrapper still counts as queued, and is a double free the next time",
  why: [
    "kvfree_call_rcu() notes the object as queued, but for a wrapped one kfree_rcu_work() takes the note off the " +
    "wrapper, which never had one: that is the first report.",
    "The object is freed with its note, and whoever gets the same address from the allocator next and gives it to " +
    "kvfree_rcu() is told that he does so twice.",
  ],
  history: "4/7 of the series; ended when the wrapper was dropped in May 2020, so never in Linux",
  levels: levelsFromTo("4/7", "7/7"),
  gone: "v5.9",
  shownAt: "7/7",
  demo: {
    scenario: wrappedScenario,
    file: "examples/bugs/kvfree_wrapped.ts",
    machine: () => ({ cpus: 2, debugObjects: true }),
  },
};
