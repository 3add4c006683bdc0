// SPDX-License-Identifier: GPL-2.0-only
/**
 * The chooser: the only source of nondeterminism.
 *
 * A schedule is a policy, a seed and deviations from the policy. A deviation is a stall: "this CPU loses 2^n x 250 ns at
 * this site", a site being (thread, kind of point, object) and its nth occurrence since the scenario started. Without a
 * list of deviations the seed draws them; with a list exactly those happen, and the seed only sets phases.
 *
 * @module
 */

import { nameHash } from "./hash.ts";
import { Random } from "./random.ts";

/** A named way to interleave CPUs. */
export interface Policy {
  readonly name: "time" | "fine" | "run-on";
  /** Number in tokens. */
  readonly id: number;
  /** Window length in virtual ns: CPUs run one after the other, a window at a time. */
  readonly windowNs: number;
  /** Mean number of points between drawn deviations. */
  readonly meanGap: number;
  /** Drawn stalls are 250 ns << 0 ... 250 ns << maxStall. */
  readonly maxStall: number;
}

/** Plain and seeded runs. */
export const POLICY_TIME: Policy = { name: "time", id: 1, windowNs: 1000, meanGap: 1000, maxStall: 8 };
/** Finer windows, longer stalls: random exploration. */
export const POLICY_FINE: Policy = { name: "fine", id: 2, windowNs: 100, meanGap: 200, maxStall: 16 };
/**
 * A CPU runs on until it blocks, as good as always: bounded search, where one stall of a window is one preemption.
 */
export const POLICY_RUN_ON: Policy = {
  name: "run-on",
  id: 3,
  windowNs: 64_000,
  meanGap: 50,
  maxStall: 18,
};
/** Every policy, by name. */
export const POLICIES: readonly Policy[] = [POLICY_TIME, POLICY_FINE, POLICY_RUN_ON];

/** Version of policies and sites; part of every token. */
export const POLICY_VERSION = 1;

/** One deviation: at occurrence `nth` (from 1) of `site`, stall for 250 ns << `stall`. */
export interface Deviation {
  readonly site: number;
  readonly nth: number;
  readonly stall: number;
}

/** A point that was passed after the start, with the name of its site. */
export interface PassedPoint {
  readonly cpu: number;
  /** Thread, or "hardirq" and "softirq". */
  readonly thread: string;
  readonly kind: number;
  readonly object: string;
  readonly site: number;
  readonly nth: number;
}

/** What to run with. `deviations` null: the seed draws them. */
export interface Schedule {
  readonly policy: Policy;
  readonly seed: number;
  readonly deviations: readonly Deviation[] | null;
  /** Count every site, so that drawn deviations can be listed afterwards (slow, the run is the same). */
  readonly recordSites?: boolean;
  /** Told of every point before a stall happens there (slow, the run is the same). It must not change the machine. */
  readonly onPoint?: (point: PassedPoint) => void;
}

/** Largest stall exponent a token can name (65 ms). */
export const MAX_STALL = 18;

const STREAM_STALLS = 1;
const STREAM_PHASES = 2;
const STREAM_CHOICES = 3;

export class Chooser {
  readonly policy: Policy;
  private readonly stalls: Random;
  private readonly phases: Random;
  private readonly choices: Random;
  private readonly planned = new Map<string, number>();
  private readonly plannedSites = new Set<number>();
  private readonly counts = new Map<number, number>();
  private started = false;
  /** Whether every site is counted, not only those of planned stalls. */
  private readonly countsAll: boolean;
  /** Deviations that happened, when sites are counted. */
  readonly taken: Deviation[] = [];

  constructor(readonly schedule: Schedule) {
    this.policy = schedule.policy;
    this.stalls = new Random(schedule.seed, STREAM_STALLS);
    this.phases = new Random(schedule.seed, STREAM_PHASES);
    this.choices = new Random(schedule.seed, STREAM_CHOICES);
    for (const d of schedule.deviations ?? []) {
      this.planned.set(`${d.site}:${d.nth}`, d.stall);
      this.plannedSites.add(d.site);
    }
    this.countsAll = schedule.recordSites === true || schedule.onPoint !== undefined;
  }

  /** From now on deviations happen and sites are counted. */
  start(): void {
    this.started = true;
  }

  /** Whether each point must be looked at, because sites are counted. */
  get countsSites(): boolean {
    return this.started && (this.plannedSites.size > 0 || this.countsAll);
  }

  /** Points until the next drawn deviation; Infinity when the list decides. */
  drawGap(): number {
    if (!this.started || this.schedule.deviations !== null) return Infinity;
    return 1 + this.stalls.below(2 * this.policy.meanGap - 1);
  }

  /** Size of a drawn deviation. */
  drawStall(): number {
    return this.stalls.below(this.policy.maxStall + 1);
  }

  /** A phase in 0 ... n - 1, drawn by the seed. */
  drawPhase(n: number): number {
    return this.phases.below(n);
  }

  /** Counts `site`; the stall planned for this occurrence, or -1. */
  atSite(site: number): number {
    if (!this.countsAll && !this.plannedSites.has(site)) return -1;
    const nth = (this.counts.get(site) ?? 0) + 1;
    this.counts.set(site, nth);
    return this.planned.get(`${site}:${nth}`) ?? -1;
  }

  /** Tells who wants to know of the point whose site was just counted. */
  tell(cpu: number, thread: string, kind: number, object: string, site: number): void {
    this.schedule.onPoint?.({ cpu, thread, kind, object, site, nth: this.counts.get(site) ?? 1 });
  }

  /** Notes a drawn deviation at the site just counted. */
  record(site: number, stall: number): void {
    this.taken.push({ site, nth: this.counts.get(site) ?? 1, stall });
  }

  /** Any other decision: 0 ... n - 1, 0 being what happens undisturbed. */
  choose(n: number, random: boolean): number {
    return random && n > 1 ? this.choices.below(n) : 0;
  }
}

/** The 32-bit name of a site. */
export function siteHash(thread: string, kind: number, object: string): number {
  return nameHash(`${thread}|${kind}|${object}`);
}
