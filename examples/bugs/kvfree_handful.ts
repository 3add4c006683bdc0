// SPDX-License-Identifier: GPL-2.0-only
/**
 * B25: a grace period for each handful of objects.
 *
 * A daemon frees an object every 25 ms, for two and a half seconds, on a machine that does nothing else. Nobody is in a
 * hurry to have that memory back.
 */

import {
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
import { gracePeriods } from "./measure.ts";
import { startOn } from "./start_on.ts";

const message = struct("message", { rcu: embed(rcu_head) });
const MESSAGES = 100;

function* daemon(k: Kernel): MaySleep<void> {
  const before = gracePeriods(k);
  for (let i = 0; i < MESSAGES; i++) {
    const p = (yield* kmalloc(k, message.size, GFP_KERNEL)) as Ptr<typeof message>;
    yield* kvfree_rcu(k, p, message, "rcu");
    yield* msleep(k, 25);
  }
  const spent = gracePeriods(k) - before;
  expect(
    k,
    spent <= MESSAGES / 10,
    "B25",
    `${spent} grace periods for ${MESSAGES} objects that nobody waits for`,
  );
}

export const handfulScenario: Scenario = {
  name: "kvfree_handful",
  summary: "a daemon frees a small object every 25 ms",
  options: [],
  *main(k: Kernel): MaySleep<void> {
    yield* wait_for_completion(k, yield* startOn(k, 0, "daemon", daemon));
  },
};

export default handfulScenario;

export const bug: Bug = {
  id: "B25",
  title: "kvfree_rcu() asks for a grace period every 20 ms, for a handful of objects",
  why: [
    "The drain comes 20 ms after the first object, however few there are, so that an idle machine is woken by a grace " +
    "period on all its CPUs for a pointer or two.",
    "From v6.1 on it comes after five seconds, or in the next jiffy when 510 objects wait.",
  ],
  history: "from v5.6 to v6.0; ended by 51824b780b71 (v6.1)",
  levels: levelsFromTo("base", "v5.14"),
  gone: "v6.1",
  shownAt: "7/7",
  demo: {
    scenario: handfulScenario,
    file: "examples/bugs/kvfree_handful.ts",
    machine: () => ({ cpus: 2, memBytes: 64 * 2 ** 20 }),
    timeline: false,
  },
};
