// SPDX-License-Identifier: GPL-2.0-only
/**
 * `run labs/l5/hunt.ts --broken N`: one of the broken machines of lab L5, for the shell. 0 is the proper one.
 *
 * @module
 */

import type { Scenario } from "../../explore/scenario.ts";
import { BROKEN_MACHINES, machineOf } from "./broken.ts";
import type { TinyMachine } from "./machine.ts";
import { tinyProgram } from "./program.ts";

/** The program on a machine with a number. */
export function huntProgram(begins?: (tm: TinyMachine) => void): Scenario {
  return tinyProgram({
    name: "labs/l5/hunt.ts",
    code: ({ broken }) => machineOf(Number(broken)),
    lives: false,
    options: [{
      name: "broken",
      kind: "int",
      help: "which broken machine; 0: the proper one",
      default: "0",
      max: BROKEN_MACHINES,
    }],
    ...(begins === undefined ? {} : { begins }),
  });
}

const hunt: Scenario = huntProgram();
export default hunt;
