// SPDX-License-Identifier: GPL-2.0-only
/**
 * A workload: a scenario that is run at many levels of kvfree_rcu(), to compare them.
 *
 * @module
 */

import type { Config, Level, OptionValues, Scenario } from "../../mod.ts";

export interface Workload {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  readonly scenario: Scenario;
  /** Its machine, where it needs one of its own. */
  readonly config?: Partial<Config>;
  /** Its options at a level: code of the time frees as it could then. */
  options?(level: Level): OptionValues;
  /** Callbacks that free what it gives to call_rcu(). */
  readonly callbacks?: readonly string[];
}
