// SPDX-License-Identifier: GPL-2.0-only
/**
 * B32: a fiftieth of HZ is nothing.
 *
 * A machine with 48 ticks a second frees two objects, a millisecond apart. kvfree_rcu() promises to wait 20 ms for
 * company. Looked at after each millisecond: is the object still waiting for others? (A third one would find both batches
 * taken, and the monitor queues itself without a pause until one is free.)
 */

import {
  type Atomic,
  CLOCK_MONOTONIC,
  complete,
  completion,
  embed,
  GFP_KERNEL,
  hrtimer,
  hrtimer_init,
  HRTIMER_MODE_REL,
  HRTIMER_NORESTART,
  type hrtimer_restart,
  hrtimer_start,
  type Kernel,
  kmalloc,
  kvfree_rcu,
  type MaySleep,
  type Ptr,
  rcu_head,
  type Scenario,
  struct,
  wait_for_completion,
} from "../../mod.ts";
import { done } from "../../kernel/machine/effects.ts";
import { type Bug, levelsFromTo } from "./bug.ts";
import { expect } from "./expect.ts";
import { countOf } from "./measure.ts";
import { startOn } from "./start_on.ts";

const request = struct("request", { rcu: embed(rcu_head) });
const REQUESTS = 2;

function wake(k: Kernel, timer: hrtimer): Atomic<hrtimer_restart> {
  complete(k, timer.container as completion);
  return done(HRTIMER_NORESTART);
}

/** Sleeps for a millisecond, which is less than a tick. */
function* nap(k: Kernel): MaySleep<void> {
  const over = new completion();
  const timer = new hrtimer(over);
  hrtimer_init(k, timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
  timer.function = wake;
  yield* hrtimer_start(k, timer, 1e6, HRTIMER_MODE_REL);
  yield* wait_for_completion(k, over);
}

function* server(k: Kernel): MaySleep<void> {
  let alone = 0;
  for (let i = 0; i < REQUESTS; i++) {
    const r = (yield* kmalloc(k, request.size, GFP_KERNEL)) as Ptr<typeof request>;
    yield* kvfree_rcu(k, r, request, "rcu");
    yield* nap(k);
    if (countOf(k, k.cpu.id) === 0) alone++;
  }
  expect(
    k,
    alone === 0,
    "B32",
    `${alone} of ${REQUESTS} objects waited for others less than 1 ms: HZ ${k.config.HZ}, HZ / 50 is 0 jiffies`,
  );
}

export const lowHzScenario: Scenario = {
  name: "kvfree_low_hz",
  summary: "a server frees two requests, a millisecond apart",
  options: [],
  *main(k: Kernel): MaySleep<void> {
    yield* wait_for_completion(k, yield* startOn(k, 0, "server", server));
  },
};

export default lowHzScenario;

export const bug: Bug = {
  id: "B32",
  title: "with less than 50 ticks a second kvfree_rcu() does not batch",
  why: [
    "KFREE_DRAIN_JIFFIES is HZ / 50 in whole jiffies, which is 0 for HZ below 50, so the monitor is queued at once and " +
    "takes what little is there.",
    "With 5 * HZ, from v6.1 on, there is no such HZ.",
  ],
  history: "all versions with HZ / 50, v5.6 to v6.0; ended by 51824b780b71 (v6.1), which had other reasons",
  levels: levelsFromTo("base", "v5.14"),
  gone: "v6.1",
  shownAt: "7/7",
  demo: {
    scenario: lowHzScenario,
    file: "examples/bugs/kvfree_low_hz.ts",
    machine: () => ({ cpus: 2, memBytes: 64 * 2 ** 20, HZ: 48 }),
  },
};
