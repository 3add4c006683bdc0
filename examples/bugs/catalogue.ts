// SPDX-License-Identifier: GPL-2.0-only
/**
 * Known bugs with the schedule that shows each: a program in which nothing is wrong, a machine, and the stalls that make
 * the difference.
 *
 * Invariant: without its stalls the program completes and nothing is reported; with them the bug shows, every time.
 *
 * @module
 */

import { checkConfig, type Config, type Deviation, encodeToken, type Scenario } from "../../mod.ts";
import { siteHash } from "../../kernel/machine/chooser.ts";
import { POINT_READ } from "../../kernel/machine/points.ts";
import { earlyScenario } from "./kvfree_early.ts";
import { strandedScenario } from "./kvfree_stranded.ts";

/** A CPU that loses time: thread `thread`, at its `nth` point of that kind and name, for 250 ns << `stall`. */
export interface Stall {
  readonly thread: string;
  readonly kind: number;
  readonly object: string;
  readonly nth: number;
  readonly stall: number;
}

/** A bug and how to see it. */
export interface StoredBug {
  readonly id: string;
  /** One line. */
  readonly title: string;
  readonly scenario: Scenario;
  /** Its file, from the root of the project. */
  readonly file: string;
  readonly config: Partial<Config>;
  readonly stalls: readonly Stall[];
  /** Commands that show what is left when the run is over. */
  readonly look: readonly string[];
  /** Exactly two sentences. */
  readonly why: readonly [string, string];
  /** Where it is in Linux's history, and what ended it. */
  readonly history: string;
}

/** About 65 ms, 16 ticks at HZ=250: what a page fault on a busy disk, or a hypervisor, takes from a CPU. */
const LONG = 18;

function lookup(thread: string, nth: number): Stall {
  return { thread, kind: POINT_READ, object: "rcu_dereference", nth, stall: LONG };
}

export const BUGS: readonly StoredBug[] = [
  {
    id: "B8",
    title: "pointers stay in kvfree_rcu() for ever: no timer will come for them",
    scenario: strandedScenario,
    file: "examples/bugs/kvfree_stranded.ts",
    config: { cpus: 4, kasan: true },
    stalls: [lookup("reader", 4)],
    look: ["krc"],
    why: [
      "Both batches that wait already hold slab pointers, so of the third round the monitor can hand over only the " +
      "vmalloc'ed table; queue_kfree_rcu_work() calls that success for the whole.",
      "kfree_rcu_drain_unlock() then takes everything to be on its way and does not start the timer again, so the " +
      "five slab pointers wait for somebody to call kvfree_rcu() on this CPU.",
    ],
    history:
      'in the series and up to v5.8; ended by 594aa5975b9b, "Repeat the monitor if any free channel is ' +
      'busy" (v5.9)',
  },
  {
    id: "B9",
    title: "kvfree_rcu() frees an object under its reader: the grace period was an older one's",
    scenario: earlyScenario,
    file: "examples/bugs/kvfree_early.ts",
    config: { cpus: 4, kasan: true },
    stalls: [lookup("reader/1", 4), lookup("reader/2", 10)],
    look: [],
    why: [
      "The monitor puts the settings into a slot whose table still waits for a grace period, because the slot's slab " +
      "channel is empty; queue_rcu_work() then finds that work pending, returns false, and nobody looks.",
      "So the settings go with the table's grace period, which began before reader/2 fetched its pointer and waits " +
      "only for reader/1.",
    ],
    history:
      'from v5.7 (34c881745549) through the series to v6.2; ended by 5da7cb193db3, "Avoid freeing new ' +
      'kfree_rcu() memory after old grace period" (v6.3)',
  },
];

/** The stalls as the chooser takes them. */
export function deviationsOf(bug: StoredBug): Deviation[] {
  return bug.stalls.map((s) => ({ site: siteHash(s.thread, s.kind, s.object), nth: s.nth, stall: s.stall }));
}

/** The line that shows the bug on any machine. */
export function tokenOf(bug: StoredBug): string {
  return encodeToken({
    config: checkConfig(bug.config),
    deviations: deviationsOf(bug),
    runs: [{ name: bug.scenario.name, options: {} }],
  });
}
