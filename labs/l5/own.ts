// SPDX-License-Identifier: GPL-2.0-only
/**
 * `run l5.ts` in the shell: the program on a machine with the functions of a student's file. A token of a failed check
 * names that file, and is replayed where it stands.
 *
 * @module
 */

import type { Scenario } from "../../explore/scenario.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import type { KernelParts } from "../../kernel/hooks.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { tinyRcu } from "../../rcu/tiny.ts";
import type { TinyCode } from "./code.ts";
import type { TinyMachine } from "./machine.ts";
import { tinyProgram } from "./program.ts";

/** The file as the manifest calls it. */
export const FILE = "l5.ts";

/** A submission's exports as the machine calls them. */
export function codeOf(submission: Readonly<Record<string, unknown>>): TinyCode {
  return submission as unknown as TinyCode;
}

/** The program with a submission's functions. */
export function scenarioOf(
  submission: Readonly<Record<string, unknown>>,
  begins?: (tm: TinyMachine) => void,
): Scenario {
  return tinyProgram({
    name: FILE,
    code: () => codeOf(submission),
    lives: true,
    ...(begins === undefined ? {} : { begins }),
  });
}

/** A machine that boots with these functions in place of rcu/tiny.ts. */
export function partsOf(made: (k: Kernel) => TinyMachine): KernelParts {
  return {
    rcu: {
      ...tinyRcu,
      *rcu_init(k): MaySleep<void> {
        yield* tinyRcu.rcu_init(k);
        made(k).install();
      },
    },
  };
}
