// SPDX-License-Identifier: GPL-2.0-only
/**
 * A known bug of kvfree_rcu()'s history: where it shows, where it is gone, why, and a program that shows it.
 *
 * Invariant: the program is right. At a level of `levels` it ends in a report (or leaves something behind), every time; at
 * every other level that it runs at, it completes and nothing is reported.
 *
 * @module
 */

import {
  checkConfig,
  checkNeeds,
  checkOptions,
  type Config,
  type Deviation,
  encodeToken,
  type Level,
  LEVELS,
  type OptionValues,
  type Scenario,
} from "../../mod.ts";
import { siteHash } from "../../kernel/machine/chooser.ts";

/** A CPU that loses time: thread `thread`, at its `nth` point of that kind and name, for 250 ns << `stall`. */
export interface Stall {
  readonly thread: string;
  readonly kind: number;
  readonly object: string;
  readonly nth: number;
  readonly stall: number;
}

/** How a bug is shown. What depends on the level is a function of it. */
export interface Demo {
  readonly scenario: Scenario;
  /** Its file, from the root of the project. */
  readonly file: string;
  /** The machine, without its level. */
  machine(level: Level): Partial<Config>;
  options?(level: Level): OptionValues;
  /** The schedule that it needs, if the usual one does not show it. */
  stalls?(level: Level): readonly Stall[];
  /** Commands that show what is left when the run is over. */
  readonly look?: readonly string[];
  /** False where the numbers of the report tell it, and the timeline would be long. */
  readonly timeline?: boolean;
}

/** A bug. */
export interface Bug {
  readonly id: string;
  /** One line. */
  readonly title: string;
  /** Exactly two sentences. */
  readonly why: readonly [string, string];
  /** Where it is in Linux's history, and what ended it. */
  readonly history: string;
  /** Levels at which it shows; none for what is only told. */
  readonly levels: readonly Level[];
  /** The first level without it after those; null when there is none. */
  readonly gone: Level | null;
  /** The level at which it is shown if nobody asks for another. */
  readonly shownAt: Level;
  /** Null for what is only told. */
  readonly demo: Demo | null;
}

/** About 65 ms, 16 ticks at HZ=250: what a page fault on a busy disk, or a hypervisor, takes from a CPU. */
export const LONG = 18;

/** All levels from one to another, in the order of LEVELS. */
export function levelsFromTo(first: Level, last: Level): Level[] {
  return LEVELS.slice(LEVELS.indexOf(first), LEVELS.indexOf(last) + 1);
}

/** Stalls as the chooser takes them. */
export function deviationsOf({ demo }: Bug, level: Level): Deviation[] {
  const stalls = demo?.stalls?.(level) ?? [];
  return stalls.map((s) => ({ site: siteHash(s.thread, s.kind, s.object), nth: s.nth, stall: s.stall }));
}

/** Options of its program at a level. Throws when that level does not offer what the program calls. */
export function optionsOf(demo: Demo, level: Level): OptionValues {
  const options = checkOptions(demo.scenario, demo.options?.(level) ?? {});
  checkNeeds(demo.scenario, options, level);
  return options;
}

/** The machine of a demo at a level. */
export function machineOf(demo: Demo, level: Level): Config {
  return checkConfig({ ...demo.machine(level), level });
}

/** The line that shows the bug on any host. */
export function tokenOf(bug: Bug, level: Level): string {
  const { demo } = bug;
  if (demo === null) throw new RangeError(`${bug.id} has no program`);
  optionsOf(demo, level); // throws for what cannot run there
  return encodeToken({
    config: machineOf(demo, level),
    deviations: deviationsOf(bug, level),
    runs: [{ name: demo.scenario.name, options: demo.options?.(level) ?? {} }],
  });
}
