// SPDX-License-Identifier: GPL-2.0-only
/**
 * Programs for the tests of explore/search: small enough that their interleavings can be counted by hand.
 *
 * @module
 */

import type { MaySleep } from "../../kernel/machine/effects.ts";
import { STEP } from "../../kernel/machine/effects.ts";
import { POINT_NAMED, pt } from "../../kernel/machine/points.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { udelay } from "../../kernel/entry.ts";
import { BUG_ON } from "../../kernel/bug.ts";
import { TASK_RUNNING, TASK_UNINTERRUPTIBLE } from "../../kernel/sched/sched.ts";
import { current, schedule, set_current_state, wake_up_process } from "../../kernel/sched/core.ts";
import type { Scenario } from "../../mod.ts";
import { Crowd } from "../kernel/booted.ts";

/** A window of POLICY_RUN_ON in ns: a stall of this size is one preemption. */
const WINDOW_NS = 64_000;

/** Waits until the next tenth window begins, so that threads on several CPUs start in the same one. */
function* align(k: Kernel): MaySleep<void> {
  const goal = (Math.floor(k.now() / (10 * WINDOW_NS)) + 1) * 10 * WINDOW_NS;
  while (k.now() < goal) yield* udelay(k, Math.max(1, Math.ceil((goal - k.now()) / 1000)));
}

/** A thread that passes `steps` points named "step", and writes its letter into the word behind each. */
function* walk(k: Kernel, steps: number, letter: string, word: string[]): MaySleep<void> {
  yield* align(k);
  for (let i = 0; i < steps; i++) {
    if (pt(k, POINT_NAMED, "step")) yield STEP;
    word.push(letter);
  }
}

/** Two threads on two CPUs, and the word that their letters made: one word for each interleaving. */
export function twoWalkers(left: number, right: number): { scenario: Scenario; word: () => string } {
  let word: string[] = [];
  const scenario: Scenario = {
    name: "two_walkers",
    summary: "",
    options: [],
    *main(k: Kernel): MaySleep<void> {
      word = [];
      const crowd = new Crowd();
      yield* crowd.start(k, "left", (k) => walk(k, left, "L", word), { cpu: 0 });
      yield* crowd.start(k, "right", (k) => walk(k, right, "R", word), { cpu: 1 });
      yield* crowd.wait(k);
    },
  };
  return { scenario, word: () => word.join("") };
}

/** Two threads add to a counter by reading and then writing it: an update is lost if one comes between. */
export function lostUpdate(times: number): Scenario {
  return {
    name: "lost_update",
    summary: "",
    options: [],
    *main(k: Kernel): MaySleep<void> {
      const counter = { value: 0 };
      const crowd = new Crowd();
      for (const cpu of [0, 1]) {
        yield* crowd.start(k, `adder/${cpu}`, function* (k) {
          yield* align(k);
          for (let i = 0; i < times; i++) {
            const value = counter.value;
            if (pt(k, POINT_NAMED, "add")) yield STEP;
            counter.value = value + 1;
          }
        }, { cpu });
      }
      yield* crowd.wait(k);
      BUG_ON(k, counter.value !== 2 * times);
    },
  };
}

/** The classical lost wake-up: the sleeper looks at the condition before it says that it sleeps. `right` mends that. */
export function lostWakeup(right: boolean): Scenario {
  return {
    name: "lost_wakeup",
    summary: "",
    options: [],
    *main(k: Kernel): MaySleep<void> {
      const event = { happened: false };
      const crowd = new Crowd();
      const sleeper = yield* crowd.start(k, "sleeper", function* (k) {
        for (;;) {
          if (right) set_current_state(k, TASK_UNINTERRUPTIBLE);
          const happened = event.happened;
          if (pt(k, POINT_NAMED, "looked")) yield STEP;
          if (happened) break;
          if (!right) set_current_state(k, TASK_UNINTERRUPTIBLE);
          yield* schedule(k);
        }
        set_current_state(k, TASK_RUNNING);
      }, { cpu: 0 });
      yield* crowd.start(k, "waker", function* (k) {
        yield* udelay(k, 600);
        if (pt(k, POINT_NAMED, "happens")) yield STEP;
        event.happened = true;
        wake_up_process(k, sleeper);
      }, { cpu: 1 });
      yield* crowd.wait(k);
    },
  };
}

/** Never passes a point where anything could go wrong, and looks at who runs it. */
export const harmless: Scenario = {
  name: "harmless",
  summary: "",
  options: [],
  *main(k: Kernel): MaySleep<void> {
    BUG_ON(k, current(k).comm !== "harmless");
    yield* udelay(k, 10);
  },
};
