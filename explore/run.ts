// SPDX-License-Identifier: GPL-2.0-only
/**
 * Running a scenario on a booted kernel to its end, in steps of any size.
 *
 * A run ends when its threads have exited and RCU has nothing left to do, or at a limit. Invariant: where the host stops
 * to look (steps, chunks, breakpoints) never changes what happens.
 *
 * @module
 */

import type { Cpu, Spinnable, Thread } from "../kernel/machine/cpu.ts";
import type { StopReason } from "../kernel/machine/machine.ts";
import { PF_WQ_WORKER, type task_struct } from "../kernel/sched/sched.ts";
import { tasklist } from "../kernel/fork.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { panicked } from "../kernel/bug.ts";
import { TICK_NSEC } from "../kernel/time/jiffies.ts";
import { trace_scenario_start } from "../kernel/trace/events/quiesce.ts";
import { nextScanNs } from "../mm/kmemleak.ts";
import { startProgram } from "../init/program.ts";
import type { Violation } from "./monitors/monitor.ts";
import { Monitors, type Watch } from "./monitors/monitors.ts";
import { type RcuWait, rcuWaits } from "./rcu_waits.ts";
import { type OptionValues, type Scenario } from "./scenario.ts";

/** Bounds of a run. */
export interface RunLimits {
  /** Virtual ns after the start of the scenario. */
  readonly ns: number;
  /** Points: what a livelock runs into. */
  readonly points: number;
}

export const DEFAULT_LIMITS: RunLimits = { ns: 600e9, points: 20_000_000 };

/** How a run ended. */
export type Ending =
  | "completed"
  /** Threads wait and nothing can wake them. */
  | "deadlock"
  /** Points without end, or virtual time used up, with threads still there. */
  | "livelock"
  /** The threads are done, but RCU still holds memory at the limit. */
  | "undrained"
  /** The kernel panicked. */
  | "panic";

/** What a run came to. */
export interface RunVerdict {
  readonly ending: Ending;
  /** Threads that have not exited, and what each waits for. */
  readonly remaining: readonly { pid: number; comm: string; state: string }[];
  /** CPUs that a grace period waited for when the run ended without being over, and the task on each. */
  readonly rcuWaits: readonly RcuWait[];
  /** Number of reports the kernel made during the run. */
  readonly reports: number;
  /** Properties of RCU that did not hold, as the monitors saw it. */
  readonly violations: readonly Violation[];
  readonly hash: string;
  readonly lastEvent: number;
  /** Virtual ns since the start of the scenario. */
  readonly ns: number;
}

/** Virtual ns between two looks at whether the run is over. */
const LOOK_NS = 20e6;

export class Run {
  /** Number of the event that marks the start; leak verdicts count from here. */
  readonly startSeq: number;
  private readonly startNs: number;
  private readonly startPoints: number;
  private readonly firstPid: number;
  private readonly firstReport: number;
  private nextLookNs: number;
  private ending: Ending | null = null;
  /** Who watches it. */
  readonly monitors: Monitors;

  constructor(
    private readonly k: Kernel,
    readonly scenario: Scenario,
    readonly options: OptionValues,
    private readonly limits: RunLimits = DEFAULT_LIMITS,
    watch: Watch = "events",
  ) {
    scenarioStart(k);
    trace_scenario_start(k, scenario.name);
    this.startSeq = k.seq;
    this.startNs = k.now();
    this.startPoints = k.points;
    this.nextLookNs = this.startNs + LOOK_NS;
    this.firstReport = k.reports.length;
    this.firstPid = Math.max(0, ...[...tasklist(k)].map((p) => p.pid)) + 1;
    this.monitors = new Monitors(k, watch);
    this.monitors.start();
    startProgram(k, scenario.name, (kernel) => scenario.main(kernel, options));
  }

  /** Whether the run is over. */
  get finished(): boolean {
    return this.ending !== null;
  }

  /**
   * Goes on for at most `maxPoints` points or until event `breakAt`. Returns whether the run is over.
   */
  advance(maxPoints = Infinity, breakAt = Infinity): boolean {
    const k = this.k;
    const goal = k.points + maxPoints;
    while (this.ending === null && k.points < goal && k.seq < breakAt) {
      const left = this.startPoints + this.limits.points - k.points;
      const reason = k.run(this.nextLookNs, Math.min(goal - k.points, left), breakAt);
      if (reason === "limit") this.nextLookNs += LOOK_NS;
      this.ending = this.judge(reason, this.nextLookNs - this.startNs > this.limits.ns);
      if (this.ending !== null) this.monitors.finish({ idle: reason === "idle" || quietUntilScan(k) });
    }
    return this.ending !== null;
  }

  private judge(reason: StopReason, late: boolean): Ending | null {
    const k = this.k;
    const idle = reason === "idle";
    if (panicked(k) !== null) return "panic";
    // Only at fixed times: how a run is chunked must not change where it ends.
    if (reason === "limit" && spinsInCircle(k)) return "deadlock";
    const busy = this.remainingTasks().length > 0;
    const draining = k.rcu.busy(k) || k.kvfree.busy(k);
    if (idle) return busy ? "deadlock" : draining ? "undrained" : "completed";
    // kmemleak's thread always waits for its time: where nobody else does anything before, the run is over.
    const quiet = reason === "limit" && quietUntilScan(k);
    if (quiet && !busy && !draining) return "completed";
    if (late || k.points - this.startPoints >= this.limits.points) {
      return busy ? (quiet ? "deadlock" : "livelock") : "undrained";
    }
    return null;
  }

  private remainingTasks(): task_struct[] {
    return [...tasklist(this.k)].filter((p) => p.pid >= this.firstPid && (p.flags & PF_WQ_WORKER) === 0);
  }

  /** What it came to; only after the end. */
  verdict(): RunVerdict {
    const k = this.k;
    return {
      ending: this.ending ?? "livelock",
      remaining: this.remainingTasks().map((p) => ({ pid: p.pid, comm: p.comm, state: describeState(k, p) })),
      rcuWaits: this.ending === "completed" || this.ending === "panic" ? [] : rcuWaits(k),
      reports: k.reports.length - this.firstReport,
      violations: this.monitors.violations,
      hash: k.hash.text(),
      lastEvent: k.seq,
      ns: k.now() - this.startNs,
    };
  }
}

/** Whether nothing happens any more until kmemleak scans of itself; never on a machine without it. */
function quietUntilScan(k: Kernel): boolean {
  const scan = nextScanNs(k);
  return scan < Infinity && k.cpus.every((cpu) => cpu.readyAt() >= scan);
}

/** Whether CPUs spin for locks that are held by CPUs that spin, in a circle: interrupts go on, but nothing can help. */
function spinsInCircle(k: Kernel): boolean {
  return k.cpus.some((first) => {
    let cpu: Cpu | null = first;
    for (let hops = 0; cpu !== null && hops <= k.cpus.length; hops++) {
      const lock: Spinnable | null = cpu.blockedOn;
      if (lock === null || lock.owner === cpu) return false;
      cpu = lock.owner;
    }
    return cpu !== null;
  });
}

function describeState(k: Kernel, p: task_struct): string {
  const lock = p.on_cpu ? k.cpus[p.cpu].blockedOn : null;
  if (lock !== null) {
    return `spins on ${lock.name}${lock.holder ? `, held by ${threadName(lock.holder)}` : ""}`;
  }
  if (p.waitingFor !== "") return `waits for ${p.waitingFor}`;
  return p.on_rq ? "runnable" : "sleeps";
}

function threadName({ comm, pid }: Thread): string {
  return `${comm}/${pid}`;
}

/** Aligns the clocks of a quiescent machine to a tick plus a phase that the seed draws, and lets deviations begin. */
export function scenarioStart(k: Kernel): void {
  const period = TICK_NSEC(k);
  let now = 0;
  for (const cpu of k.cpus) now = Math.max(now, cpu.clock);
  const start = (Math.floor(now / period) + 1) * period + k.chooser.drawPhase(period);
  k.cpu = k.cpus[0];
  k.kick();
  for (const cpu of k.cpus) cpu.clock = start;
  k.startDeviations();
}
