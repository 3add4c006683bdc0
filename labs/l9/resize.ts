// SPDX-License-Identifier: GPL-2.0-only
/**
 * The program of lab L9 for the shell: `run labs/l9/resize.ts --variant N --site gdb`.
 *
 * Invariant: what a site does is a function of the variant and the site, so a token says all of it.
 *
 * @module
 */

import type { OptionValues, Scenario } from "../../mod.ts";
import { dealOf, type Site, VARIANTS } from "./deal.ts";
import { type Parts, partsWith } from "./parts.ts";
import { resizeScenario, type Seen } from "./program.ts";

/** The parts of a site in a variant. */
export function givenParts(site: Site, options: OptionValues): Parts {
  const difference = dealOf(Number(options.variant))[site];
  return difference === null ? partsWith() : partsWith(difference.change);
}

/** The program as it is given. */
export function givenScenario(seen?: Seen): Scenario {
  const variant = {
    name: "variant",
    kind: "int",
    min: 0,
    max: VARIANTS - 1,
    default: "0",
    help: "the number that lab start tells you",
  } as const;
  return resizeScenario(givenParts, [variant], seen);
}

const scenario: Scenario = givenScenario();

export default scenario;
