// SPDX-License-Identifier: GPL-2.0-only
/**
 * The workloads by which levels are compared.
 *
 * @module
 */

import { levelAtLeast } from "../../mod.ts";
import { ext4Scenario } from "../ext4_kvfree_array_rcu.ts";
import { earlyBootScenario } from "./early_boot.ts";
import { floodScenario } from "./flood.ts";
import { pressureScenario } from "./pressure.ts";
import type { Workload } from "./workload.ts";

export const WORKLOADS: readonly Workload[] = [
  {
    name: "ext4",
    summary:
      "the array of ext4 grows 20 times: by the stub up to 6/7, then headless under the name of its time",
    scenario: ext4Scenario,
    callbacks: ["ext4_rcu_ptr_callback"],
    options(level) {
      const headless = levelAtLeast(level, "v6.5") ? "kvfree_rcu_mightsleep" : "kvfree_rcu";
      return { grows: "20", hold: "1", variant: levelAtLeast(level, "7/7") ? headless : "fixed" };
    },
  },
  {
    name: "flood",
    summary: "every CPU gives 10,000 objects to kvfree_rcu(), as fast as it can allocate them",
    scenario: floodScenario,
  },
  {
    name: "mix",
    summary: "the same with 1,000 objects a CPU, every fifth of them from vmalloc()",
    scenario: floodScenario,
    options: () => ({ loops: "1", vmalloc: "5" }),
  },
  {
    name: "pressure",
    summary: "600 objects, half of them from vmalloc(), when kvfree_rcu() gets no page for 0.5 s",
    scenario: pressureScenario,
  },
  {
    name: "early",
    summary: "five objects that a driver gives in an early initcall, then ten seconds of silence",
    scenario: earlyBootScenario,
    config: { earlyDriver: 5 },
  },
  {
    name: "selftest",
    summary: "an object that RCU's self test gives inside rcu_init(), then ten seconds of silence",
    scenario: earlyBootScenario,
    config: { rcuSelfTest: true },
  },
  {
    name: "shrinker",
    summary: "600 objects, the shrinkers, 600 more, the shrinkers",
    scenario: pressureScenario,
    options: () => ({ kind: "shrinker" }),
  },
];
