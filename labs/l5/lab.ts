// SPDX-License-Identifier: GPL-2.0-only
/**
 * L5, tiny RCU: callbacks, waits and kvfree_rcu() on one CPU with interrupts and softirqs, behind a given interface.
 *
 * Invariant: the variant decides constants and structure; no check rests on something that rcu/tiny.ts shows.
 *
 * @module
 */

import type { Check, LabModule } from "../lab.ts";
import { blocksFail, drawnCallbacks, interruptedCallbacks, interruptedKvfree } from "./checks_explore.ts";
import { hunted, question } from "./checks_quiz.ts";
import { accessesInAll, interruptsOff, runCheck } from "./checks_run.ts";
import { variantOf } from "./variants.ts";

/** Properties that have programs of their own. */
const RUN = ["S1", "S2", "S3", "L1", "S4", "S5", "S6", "F1", "F2", "F3", "F4", "A1", "A2"];

const lab: LabModule = {
  id: "l5",
  variant: variantOf,
  checks: {
    ...Object.fromEntries(RUN.map((property): [string, Check] => [property, runCheck(property)])),
    X1: interruptedCallbacks,
    X2: drawnCallbacks,
    X3: interruptedKvfree,
    W1: blocksFail,
    H1: hunted(0),
    H2: hunted(1),
    H3: hunted(2),
    C1: interruptsOff,
    C2: accessesInAll,
    Q1: question("Q1"),
    Q2: question("Q2"),
    Q3: question("Q3"),
    Q4: question("Q4"),
  },
};

export default lab;
