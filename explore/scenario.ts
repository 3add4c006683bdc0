// SPDX-License-Identifier: GPL-2.0-only
/**
 * A scenario: kernel code that can be run on a booted kernel, with options that a user can set.
 *
 * @module
 */

import type { MaySleep } from "../kernel/machine/effects.ts";
import type { Level } from "../kernel/config.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { type KvfreeInterface, offeredAt, whereOffered } from "../rcu/levels/interfaces.ts";

/** One option of a scenario. */
export interface ScenarioOption {
  readonly name: string;
  readonly kind: "int" | "enum" | "list";
  readonly help: string;
  readonly default: string;
  /** Allowed words of an enum or of the items of a list. */
  readonly values?: readonly string[];
  readonly min?: number;
  readonly max?: number;
}

/** Option values by name, as text. */
export type OptionValues = Readonly<Record<string, string>>;

/** Something that `run` runs. */
export interface Scenario {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly ScenarioOption[];
  /** Calls that not every level of kvfree_rcu() offers: it needs one of each group. */
  needs?(options: OptionValues): readonly (readonly KvfreeInterface[])[];
  /** Runs in a kernel thread of its own; threads that it starts belong to the run. */
  main(k: Kernel, options: OptionValues): MaySleep<void>;
}

/** Thrown for option values that are not allowed; the message is one line for the user. */
export class OptionError extends RangeError {
  override readonly name: string = "OptionError";
}

/** Fills in defaults and refuses what is not allowed, naming what is. */
export function checkOptions(scenario: Scenario, given: OptionValues): OptionValues {
  for (const name of Object.keys(given)) {
    if (scenario.options.some((o) => o.name === name)) continue;
    const known = scenario.options.map((o) => `--${o.name}`).join(", ");
    throw new OptionError(
      `${scenario.name}: unknown option --${name}: ${known === "" ? "none" : known} allowed`,
    );
  }
  return Object.fromEntries(
    scenario.options.map((o) => [o.name, checkValue(scenario, o, given[o.name] ?? o.default)]),
  );
}

function checkValue(scenario: Scenario, option: ScenarioOption, value: string): string {
  const where = `${scenario.name}: --${option.name} "${value}"`;
  if (option.kind === "int") {
    const n = Number(value);
    const { min = 0, max = Number.MAX_SAFE_INTEGER } = option;
    if (!/^\d+$/.test(value) || n < min || n > max) {
      throw new OptionError(`${where} is out of range: ${min} to ${max} is allowed`);
    }
    return String(n);
  }
  const words = option.kind === "list" ? value.split(",").filter((w) => w !== "") : [value];
  const bad = words.find((w) => !(option.values ?? []).includes(w));
  if (bad === undefined) return value;
  const allowed = (option.values ?? []).join(", ");
  throw new OptionError(
    `${where} does not exist: ${allowed} are allowed${option.kind === "list" ? ", joined by commas" : ""}`,
  );
}

/** Refuses a program that calls what `level` does not offer, naming the levels that do. */
export function checkNeeds(scenario: Scenario, options: OptionValues, level: Level): void {
  for (const group of scenario.needs?.(options) ?? []) {
    if (group.some((name) => offeredAt(level, name))) continue;
    const where = group.map((name) => `${name} ${whereOffered(name)}`).join(", ");
    throw new OptionError(`${scenario.name} needs what level ${level} does not offer: ${where}`);
  }
}
