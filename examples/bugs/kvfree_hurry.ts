// SPDX-License-Identifier: GPL-2.0-only
/**
 * B7: "expedited", but only when nobody waits.
 *
 * A driver gives an object to kvfree_rcu() when there is no page for a block, once on an idle CPU and once while another
 * object already waits there. Measured is the time until a grace period is asked for. From 3/7 to 7/7 an object without a
 * page is said to be in a hurry; a hurry that somebody else's timer ends is none.
 */

import {
  addFailRule,
  array,
  clearFailRules,
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
  schedule_timeout_uninterruptible,
  struct,
  u8,
  type VirtAddr,
  vmalloc,
  wait_for_completion,
} from "../../mod.ts";
import { jiffies } from "../../kernel/time/jiffies.ts";
import { type Bug, levelsFromTo } from "./bug.ts";
import { expect } from "./expect.ts";
import { countOf } from "./measure.ts";
import { startOn } from "./start_on.ts";

const buffer = struct("buffer", { rcu: embed(rcu_head), data: array(u8, 48) });
/** Who asks for the page of a block, by level. */
const ASKING = [
  "kfree_call_rcu_add_ptr_to_bulk",
  "kvfree_call_rcu_add_ptr_to_bulk",
  "add_ptr_to_bulk_krc_lock",
];
/** Jiffies after which the driver has seen enough. */
const PATIENCE = 100;

function* give(k: Kernel, p: VirtAddr): MaySleep<void> {
  yield* kvfree_rcu(k, p as Ptr<typeof buffer>, buffer, "rcu");
}

/** Gives `p`, which gets no page, and returns the jiffies until nothing waits on this CPU for a grace period to be asked for. */
function* giveWithoutPage(k: Kernel, p: VirtAddr): MaySleep<number> {
  const rules = ASKING.map((site) => addFailRule(k, { what: "page", site, times: -1 }));
  const start = jiffies(k);
  yield* give(k, p);
  for (const rule of rules) clearFailRules(k, rule);
  while (countOf(k, k.cpu.id) > 0 && jiffies(k) - start < PATIENCE) {
    yield* schedule_timeout_uninterruptible(k, 1);
  }
  return jiffies(k) - start;
}

function* driver(k: Kernel): MaySleep<void> {
  const [first, second] = [
    yield* kmalloc(k, buffer.size, GFP_KERNEL),
    yield* kmalloc(k, buffer.size, GFP_KERNEL),
  ];
  const third = yield* vmalloc(k, buffer.size);
  const idle = yield* giveWithoutPage(k, first);
  yield* msleep(k, 200);
  yield* give(k, second); // has its block, and arms the timer
  const armed = yield* giveWithoutPage(k, third);
  expect(
    k,
    armed <= idle + 2,
    "B7",
    `without a page an object leaves after ${idle} jiffies, and after ${armed} if a timer was armed before`,
  );
}

export const hurryScenario: Scenario = {
  name: "kvfree_hurry",
  summary: "kvfree_rcu() gets no page for an object, on an idle CPU and while another object waits",
  options: [],
  *main(k: Kernel): MaySleep<void> {
    yield* wait_for_completion(k, yield* startOn(k, 0, "driver", driver));
  },
};

export default hurryScenario;

export const bug: Bug = {
  id: "B7",
  title: "the drain that 3/7 hurries is not hurried when a timer is armed",
  why: [
    "expedited_drain is looked at only where the monitor is armed, so an object that finds it armed waits for the old " +
    "timer, and under load it is always armed.",
    "Only mod_delayed_work() could shorten a timer that runs, as v6.1 does once 510 objects wait.",
  ],
  history:
    "from 3/7 to 7/7 of the series; the flag was dropped before v5.9, the idea came back in 51824b780b71 (v6.1)",
  levels: levelsFromTo("3/7", "7/7"),
  gone: "v5.9",
  shownAt: "7/7",
  demo: {
    scenario: hurryScenario,
    file: "examples/bugs/kvfree_hurry.ts",
    machine: () => ({ cpus: 2, memBytes: 64 * 2 ** 20, HZ: 1000 }),
  },
};
