// SPDX-License-Identifier: GPL-2.0-only
/**
 * B11 and B31: what was given to kvfree_rcu() during boot is never freed.
 *
 * The program is ten seconds of silence (examples/workloads/early_boot.ts); what it is about happened before. B11: a
 * driver's early initcall gave five objects to kvfree_rcu(), of the calls that may sleep where the level has them. B31: on
 * tiny RCU, the self test gave one inside rcu_init(). In both cases nobody on that CPU calls kvfree_rcu() again.
 */

import { earlyBootScenario } from "../workloads/early_boot.ts";
import { type Bug, levelsFromTo } from "./bug.ts";

export default earlyBootScenario;

export const bug11: Bug = {
  id: "B11",
  title: "objects that were given early in boot, and have a block, wait for the next call",
  why: [
    "Before the scheduler runs kvfree_rcu() arms no timer, and when it does run kfree_rcu_scheduler_running() arms one " +
    "only for a CPU whose list is not empty: blocks are not looked at.",
    "So five pointers in a block wait until somebody calls kvfree_rcu() on this CPU, and nobody does.",
  ],
  history:
    'from v5.7 to v5.13 (at v5.11 dormant, for no page comes to a block that early); ended by "Add a ' +
    'bulk-list check when a scheduler is run" (v5.14)',
  levels: [...levelsFromTo("base", "v5.9"), "v5.13"],
  gone: "v5.14",
  shownAt: "7/7",
  demo: {
    scenario: earlyBootScenario,
    file: "examples/workloads/early_boot.ts",
    machine: () => ({ cpus: 2, memBytes: 64 * 2 ** 20, earlyDriver: 5 }),
    look: ["krc"],
  },
};

export const bug31: Bug = {
  id: "B31",
  title: "tiny RCU never frees the object of its own self test",
  why: [
    "The self test calls kfree_rcu() before rcu_init() has initialised the works of 6/7, so the pointer goes into a " +
    "block and no timer is armed.",
    "Nothing arms it later either, as rcu_init() does not look whether anything was collected, and on tiny RCU nothing " +
    "happens when the scheduler runs.",
  ],
  history:
    "6/7 and 7/7 of the series only; ended by the refusal of that batching: v5.9 has call_rcu() there again",
  levels: ["6/7", "7/7"],
  gone: "v5.9",
  shownAt: "7/7",
  demo: {
    scenario: earlyBootScenario,
    file: "examples/workloads/early_boot.ts",
    machine: () => ({ rcu: "tiny", memBytes: 64 * 2 ** 20, rcuSelfTest: true }),
    look: ["krc"],
  },
};
