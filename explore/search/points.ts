// SPDX-License-Identifier: GPL-2.0-only
/**
 * The points of one execution where a search may put a stall, and the order in which all points came.
 *
 * Invariant: two executions with the same order hash passed the same points, on the same CPUs, in the same order, idle
 * threads left aside; when they passed them may differ.
 *
 * @module
 */

import type { Deviation, PassedPoint } from "../../kernel/machine/chooser.ts";
import { StateHash } from "../../kernel/machine/hash.ts";
import { POINT_NAMES } from "../../kernel/machine/points.ts";

/** Which points are of interest; what is not given matches all. */
export interface PointFilter {
  /** Beginnings of names of threads: "reader" is reader/0 and reader/1. */
  readonly threads?: readonly string[];
  /** Kinds of point, by name: "read", "lock" ... */
  readonly kinds?: readonly string[];
  /** Objects, by their whole name. */
  readonly objects?: readonly string[];
}

/** A site and which time it was passed. */
export interface Site {
  readonly site: number;
  readonly nth: number;
}

/** How names of idle threads begin. */
const IDLE = "swapper";

/** Idle threads, and who starts and ends threads: their delays are those of what they start. */
const DULL_THREADS: readonly string[] = [IDLE, "kthreadd", "init"];
/** Points that only pass time, and those inside of the scheduler: the same stall fits before them. */
const DULL_KINDS: readonly string[] = ["delay", "schedule", "irq", "ipi"];

/** Collects the points of interest of one execution that come after its last given stall. */
export class PointRecorder {
  /** In the order in which they were passed. */
  readonly after: Site[] = [];
  private readonly hash = new StateHash();
  private collecting: boolean;

  /** `collect`: whether anybody will go on from this execution. */
  constructor(
    private readonly filter: PointFilter,
    private readonly last: Deviation | null,
    private readonly collect: boolean,
  ) {
    this.collecting = last === null;
  }

  /** Sees a point. */
  see(point: PassedPoint): void {
    const { site, nth, cpu } = point;
    if (!point.thread.startsWith(IDLE)) this.hash.fold(site, cpu);
    if (!matches(this.filter, point)) return;
    if (!this.collecting) this.collecting = site === this.last?.site && nth === this.last.nth;
    else if (this.collect) this.after.push({ site, nth });
  }

  /** The order of all points but those of idle threads. */
  order(): string {
    return this.hash.text();
  }
}

function matches({ threads, kinds, objects }: PointFilter, point: PassedPoint): boolean {
  const kind = POINT_NAMES[point.kind];
  const thread = (name: string): boolean => point.thread.startsWith(name);
  if (threads === undefined ? DULL_THREADS.some(thread) : !threads.some(thread)) return false;
  if (kinds === undefined ? DULL_KINDS.includes(kind) : !kinds.includes(kind)) return false;
  return objects === undefined || objects.includes(point.object);
}

/** A filter in words. */
export function filterText({ threads, kinds, objects }: PointFilter): string {
  const parts: string[] = [];
  if (threads !== undefined) parts.push(`of ${threads.join(", ")}`);
  if (kinds !== undefined) parts.push(`of kind ${kinds.join(", ")}`);
  if (objects !== undefined) parts.push(`named ${objects.join(", ")}`);
  return parts.length === 0 ? "points of interest" : `points ${parts.join(" ")}`;
}
