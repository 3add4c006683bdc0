// SPDX-License-Identifier: GPL-2.0-only
/**
 * A lab that is as small as it can be, to test the framework with. Its variant is the number of bytes.
 *
 * @module
 */

import { explore, type Kernel, type MaySleep } from "../../../mod.ts";
import { evidenceOfExploration, failed } from "../../../labs/framework/evidence.ts";
import type { CheckContext, LabModule, Outcome } from "../../../labs/lab.ts";

type Sum = (numbers: readonly number[]) => number;
type User = (k: Kernel, size: number) => MaySleep<boolean>;

function checkSum({ submission, seeds }: CheckContext): Outcome {
  for (const seed of seeds) {
    const numbers = [seed, 2, 3];
    const got = (submission.sum as Sum)(numbers);
    if (got !== seed + 5) {
      return { state: "FAIL", cause: `sum(${numbers}) is ${got}, not ${seed + 5}`, token: null, trace: [] };
    }
  }
  return { state: "PASS" };
}

function checkLeak(context: CheckContext): Outcome {
  const { submission, seeds, variant } = context;
  for (const seed of seeds) {
    context.execution();
    const subject = {
      config: { rcu: "tiny", cpus: 1, memBytes: 16 * 2 ** 20, seed } as const,
      scenario: {
        name: "toy",
        summary: "",
        options: [],
        *main(k: Kernel): MaySleep<void> {
          yield* (submission.user as User)(k, Number(variant.bytes));
        },
      },
      ref: null,
    };
    const found = explore(subject, { policy: "random", runs: 1 });
    if (found.first !== null) return failed(evidenceOfExploration(subject, found));
  }
  return { state: "PASS" };
}

function checkCalls(context: CheckContext): Outcome {
  for (let i = 0; i < Number(context.variant.rounds ?? 1); i++) context.execution();
  return { state: "NOT-EXERCISED", why: "nobody calls it" };
}

const lab: LabModule = {
  id: "toy",
  variant: (key) => ({ bytes: 64 + key % 5 * 8 }),
  checks: {
    S1: checkSum,
    S2: checkLeak,
    S3: checkCalls,
    C1: () => ({ state: "FAIL", cause: "twice", token: null, trace: [], credit: 0.5 }),
  },
};

export default lab;
