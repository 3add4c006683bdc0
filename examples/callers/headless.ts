// SPDX-License-Identifier: GPL-2.0-only
/**
 * What the ported callers share: the option that chooses the code before or after the conversion, and the one place that
 * knows how the headless form is spelt.
 *
 * Linux renamed it: callers were converted to kvfree_rcu(ptr), which became kvfree_rcu_mightsleep(ptr) when too many of
 * them turned out not to know that it may sleep; since v6.5 only the new name is left.
 */

import {
  type Kernel,
  kvfree_rcu,
  kvfree_rcu_mightsleep,
  type KvfreeInterface,
  levelAtLeast,
  type MaySleep,
  type OptionValues,
  type ScenarioOption,
  type VirtAddr,
} from "../../mod.ts";

/** `--variant before | after`: the code of v5.10, or the conversion. */
export const VARIANT: ScenarioOption = {
  name: "variant",
  kind: "enum",
  values: ["before", "after"],
  default: "after",
  help: "before: synchronize_rcu() and a free, as in v5.10; after: kvfree_rcu()",
};

/** The same where the conversion is wrong: the code of v5.10 is what runs unless asked otherwise. */
export const KEPT_VARIANT: ScenarioOption = { ...VARIANT, default: "before" };

/** What the converted variants call, under either name: for `needs` of a scenario. */
export function headlessNeeds({ variant }: OptionValues): KvfreeInterface[][] {
  const converted = variant === "after" || variant === "reversed";
  return converted ? [["kvfree_rcu(ptr)", "kvfree_rcu_mightsleep(ptr)"]] : [];
}

/** Frees `p` after a grace period, by its address alone. May sleep. */
export function freeHeadless(k: Kernel, p: VirtAddr): MaySleep<void> {
  return levelAtLeast(k.config.level, "v6.5") ? kvfree_rcu_mightsleep(k, p) : kvfree_rcu(k, p);
}
