// SPDX-License-Identifier: GPL-2.0-only
/**
 * Early boot: objects are given to kvfree_rcu() before it may arm timers. RCU's self test does so inside rcu_init()
 * (`boot --rcu-self-test`), a driver in its early initcall (`boot --early-driver N`). Afterwards nobody calls kvfree_rcu()
 * for ten seconds.
 *
 * Look at: `series run early --all`. At which levels are the objects freed, and by whom?
 */

import { type Kernel, type MaySleep, msleep, type Scenario } from "../../mod.ts";

export const earlyBootScenario: Scenario = {
  name: "early",
  summary: "ten seconds after boot, in which nobody calls kvfree_rcu()",
  options: [],
  *main(k: Kernel): MaySleep<void> {
    yield* msleep(k, 10_000);
  },
};

export default earlyBootScenario;
