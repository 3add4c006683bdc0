// SPDX-License-Identifier: GPL-2.0-only
/**
 * The machine: CPUs, RAM, virtual time, and the engine that runs them under one chooser.
 *
 * Time passes in windows of the policy's length. In each window the CPUs run one after the other in id order, each until
 * its clock passes the end of the window, it halts, or it spins on a lock. A CPU that is alone in being able to run gets
 * many windows at once, and the span is cut back the moment it makes another CPU runnable; the result is the same.
 *
 * Invariant: what a run does depends on the configuration and the schedule only. Budgets, logging, breakpoints and how
 * often `run()` returns decide when the host looks, never what happens next.
 *
 * @module
 */

import { assert, EmulatorFault } from "./assert.ts";
import { Chooser, type Schedule, siteHash } from "./chooser.ts";
import { IPI_NS, POINT_NS, STALL_NS } from "./cost.ts";
import { Cpu, VECTOR_TIMER } from "./cpu.ts";
import { type Coroutine, HALT, SLEEP } from "./effects.ts";
import { StateHash } from "./hash.ts";
import {
  CPU_LIMIT,
  EventLog,
  FLAG_HARDIRQ,
  FLAG_IRQS_OFF,
  FLAG_NEED_RESCHED,
  FLAG_PREEMPT_SHIFT,
  FLAG_SOFTIRQ,
} from "./log.ts";
import type { SiteObject } from "./points.ts";
import { Ram } from "./ram.ts";

/** Why `run()` returned. */
export type StopReason =
  /** No CPU can ever run again without outside help. */
  | "idle"
  /** The virtual time limit was reached. */
  | "limit"
  /** The number of points asked for was passed. */
  | "points"
  /** An event asked for was reached. */
  | "break"
  /** The kernel stopped the machine (panic) or asked to (end of the scenario). */
  | "stop";

/** The contexts that the kernel puts on top of a thread; filled at boot. */
export interface Vectors {
  /** Runs the pending interrupts of the current CPU, with what follows an interrupt. */
  interrupt(): Coroutine;
  /** Preempts the current thread at a point. */
  preempt(): Coroutine;
  /** Whether the current CPU should be preempted at this point. */
  wantsPreempt(cpu: Cpu): boolean;
  /** A context threw: what the thread does instead; throws when it cannot be contained. */
  fault(cpu: Cpu, error: unknown): Coroutine;
}

/** Looks on: told of every event after it was numbered, and of interrupts sent. What it does must not change the machine. */
export interface Observer {
  event(kind: number, a: number, b: number, c: number, d: number, e: number, f: number, g: number): void;
  ipi(target: Cpu, vector: number): void;
}

/** Points granted at once when nothing is due: a finite number, so that clocks stay exact. */
const MAX_BUDGET = 1_000_000;

/** Yields in a row that may take no time. */
const MAX_TURNS = 100_000;
/** Windows that may begin at the same time: CPUs of lower number that become ready in the last one's own past. */
const MAX_STANDING = 10_000;

/** preempt_count field masks, as in include/linux/preempt.h. */
const PREEMPT_MASK = 0xff;
const SOFTIRQ_MASK = 0xff00;
const SOFTIRQ_OFFSET = 0x100;
const HARDIRQ_MASK = 0xf0000;

/** What stands in a record beside the CPU's number: the context in which the event happened. */
function contextFlags(cpu: Cpu): number {
  const count = cpu.preempt_count;
  return (cpu.irqsOn ? 0 : FLAG_IRQS_OFF) | (cpu.need_resched ? FLAG_NEED_RESCHED : 0) |
    ((count & HARDIRQ_MASK) !== 0 ? FLAG_HARDIRQ : 0) | ((count & SOFTIRQ_OFFSET) !== 0 ? FLAG_SOFTIRQ : 0) |
    ((count & PREEMPT_MASK) << FLAG_PREEMPT_SHIFT);
}

export class Machine {
  readonly hash: StateHash = new StateHash();
  readonly log: EventLog = new EventLog();
  readonly ram: Ram;
  cpus: readonly Cpu[];
  vectors: Vectors = NO_VECTORS;
  chooser: Chooser;

  /** The CPU being stepped. Never kept across a yield. */
  cpu: Cpu;
  /** Points left before slow() must look; see pt(). */
  budget = 0;
  private granted = 0;
  /** Points passed since power-on. */
  points = 0;
  /** Number of the last event. */
  seq = 0;

  private untilStall = Infinity;
  private windowEnd = 0;
  private scan = 0;
  private timeLimit = Infinity;
  private pointLimit = Infinity;
  private breakAt = Infinity;
  private stopReason: StopReason | null = null;
  /** When the last window's first CPU was ready, and for how many windows that has not changed. */
  private lastFirst = -1;
  private standing = 0;
  /** Captures the caller of a recorded event of `kind`: for humans, slow, never part of hash, digest or intern table. */
  captureSite: ((kind: number) => number) | null = null;
  /** Who looks on; forgotten at power-on. */
  observer: Observer | null = null;
  /** Name of the function behind a number that `captureSite` gave. */
  siteName: (site: number) => string = () => "";

  constructor(ramBytes: number, nrCpus: number, schedule: Schedule) {
    this.ram = new Ram(ramBytes, this.hash);
    this.cpus = Array.from({ length: nrCpus }, (_, id) => new Cpu(id));
    this.cpu = this.cpus[0];
    this.chooser = new Chooser(schedule);
  }

  /** Back to power-on under `schedule`, keeping the RAM buffer: the cost is that of what the last run touched. */
  powerCycle(schedule: Schedule): void {
    this.hash.reset();
    this.log.reset();
    this.ram.reset();
    this.cpus = this.cpus.map((cpu) => new Cpu(cpu.id));
    this.cpu = this.cpus[0];
    this.chooser = new Chooser(schedule);
    this.vectors = NO_VECTORS;
    this.budget =
      this.granted =
      this.points =
      this.seq =
        0;
    this.untilStall = Infinity;
    this.windowEnd = this.scan = this.standing = 0;
    this.lastFirst = -1;
    this.stopReason = null;
    this.observer = null;
  }

  // Time

  /** Virtual time of the current CPU in ns. */
  now(): number {
    return this.cpu.clock + (this.granted - this.budget) * POINT_NS;
  }

  /** Virtual ns until the current CPU must look up: the window ends or an interrupt is due; 0 when it must at once. */
  quietSpan(): number {
    return Math.max(0, Math.min(this.windowEnd, this.cpu.nextInterrupt()) - this.now());
  }

  /** Adds `ns` of work to the current CPU; takes effect on others at the next point. */
  charge(ns: number): void {
    this.sync();
    this.cpu.clock += ns;
  }

  /** Makes the next point of the current CPU look for pending interrupts, preemption and stops. */
  kick(): void {
    this.sync();
  }

  /** Books the points passed since the last look; leaves the budget empty. */
  private sync(): void {
    const used = this.granted - this.budget;
    this.granted = 0;
    this.budget = 0;
    if (used === 0) return;
    this.cpu.clock += used * POINT_NS;
    this.points += used;
    this.untilStall -= used;
  }

  private refill(): void {
    this.sync();
    if (this.stopReason !== null || this.chooser.countsSites) return;
    const limit = Math.min(this.windowEnd, this.cpu.nextInterrupt());
    let n = Math.min(MAX_BUDGET, Math.ceil((limit - this.cpu.clock) / POINT_NS));
    if (n > this.untilStall) n = this.untilStall;
    if (n > this.pointLimit - this.points) n = this.pointLimit - this.points;
    if (n <= 1) return;
    this.granted = n - 1;
    this.budget = n - 1;
  }

  /** The taken side of pt(). True when the caller must yield. */
  slow(kind: number, object: SiteObject): boolean {
    this.sync();
    const cpu = this.cpu;
    if (this.chooser.countsSites) this.countSite(kind, object);
    else if (this.untilStall <= 0) this.drawnStall();
    if (this.points >= this.pointLimit && this.stopReason === null) this.stopReason = "points";
    this.collect(cpu);
    if (
      this.stopReason !== null || cpu.clock >= this.windowEnd || (cpu.pending !== 0 && cpu.irqsOn) ||
      (cpu.need_resched && this.vectors.wantsPreempt(cpu))
    ) return true;
    this.refill();
    return false;
  }

  private countSite(kind: number, object: SiteObject): void {
    const thread = this.contextName();
    const name = typeof object === "string" ? object : object.name;
    const site = siteHash(thread, kind, name);
    const planned = this.chooser.atSite(site);
    this.chooser.tell(this.cpu.id, thread, kind, name, site);
    if (planned >= 0) this.stall(planned);
    if (this.untilStall > 0) return;
    this.chooser.record(site, this.drawnStall());
  }

  private drawnStall(): number {
    const n = this.chooser.drawStall();
    this.stall(n);
    this.untilStall = this.chooser.drawGap();
    return n;
  }

  private stall(n: number): void {
    this.hash.fold(n, this.cpu.id);
    this.cpu.clock += STALL_NS * 2 ** n;
  }

  private contextName(): string {
    const count = this.cpu.preempt_count;
    if ((count & HARDIRQ_MASK) !== 0) return "hardirq";
    if ((count & SOFTIRQ_MASK) !== 0) return "softirq";
    return this.cpu.current.comm;
  }

  /** Moves interrupts whose time has come to `pending`. */
  private collect(cpu: Cpu): void {
    if (cpu.clock >= cpu.timerAt) {
      cpu.pending |= VECTOR_TIMER;
      cpu.timerAt = Infinity;
    }
    if (cpu.clock >= cpu.ipiAt) {
      cpu.pending |= cpu.ipis;
      cpu.ipis = 0;
      cpu.ipiAt = Infinity;
    }
  }

  // What the kernel tells the hardware

  /** Programs the one-shot clock event device of the current CPU for virtual time `ns` (Infinity: off). */
  programTimer(ns: number): void {
    this.cpu.timerAt = ns;
    this.kick();
  }

  /** Raises `vector` on `target`; it arrives IPI_NS later, at the next point for the CPU itself. */
  sendIpi(target: Cpu, vector: number): void {
    this.observer?.ipi(target, vector);
    if (target === this.cpu) {
      target.pending |= vector;
      this.kick();
      return;
    }
    target.ipis |= vector;
    target.ipiAt = Math.min(target.ipiAt, this.now() + IPI_NS);
    this.othersCanRun();
  }

  /** Starts a stopped CPU at the current time with `idle` as its thread. */
  powerOn(target: Cpu, idle: Cpu["current"]): void {
    target.current = idle;
    target.clock = this.now();
    target.online = true;
    target.halted = false;
    this.othersCanRun();
  }

  /** The current CPU made another one runnable: end the span at the next window boundary. */
  othersCanRun(): void {
    const q = this.chooser.policy.windowNs;
    const end = (Math.floor(this.now() / q) + 1) * q;
    if (end < this.windowEnd) this.windowEnd = end;
    this.kick();
  }

  /** Stops the machine at the next point of the current CPU. */
  requestStop(reason: StopReason): void {
    this.stopReason ??= reason;
    this.kick();
  }

  // Events

  /** Numbers an event, folds it into the state hash, records it when the log is on. */
  emit(kind: number, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0): void {
    const seq = ++this.seq;
    const ns = this.now();
    const cpu = this.cpu;
    this.hash.fold(
      kind ^ (cpu.id << 20) ^ Math.imul(ns, 0x9e37_79b1),
      (a | 0) ^ Math.imul(b | 0, 31) ^ Math.imul(c | 0, 961),
    );
    if (this.log.recording) {
      const site = this.captureSite === null ? 0 : this.captureSite(kind);
      const where = cpu.id + CPU_LIMIT * contextFlags(cpu);
      this.log.write(seq, ns, where, cpu.current.pid, kind, site, a, b, c, d, e, f, g, h);
    }
    if (this.observer !== null) this.observer.event(kind, a, b, c, d, e, f, g);
    if (seq >= this.breakAt) this.requestStop("break");
  }

  /** Every other decision of the run; part of the hash. */
  choose(n: number, random: boolean): number {
    const choice = this.chooser.choose(n, random);
    this.hash.fold(n, choice);
    return choice;
  }

  // The engine

  /** From here on the schedule deviates; see Chooser.start(). */
  startDeviations(): void {
    this.chooser.start();
    this.sync();
    this.untilStall = this.chooser.drawGap();
  }

  /**
   * Runs until nothing can run, virtual time `untilNs`, `maxPoints` more points, or event number `breakAt`.
   * Calling it again goes on exactly where it stopped.
   */
  run(untilNs: number, maxPoints = Infinity, breakAt = Infinity): StopReason {
    this.timeLimit = untilNs;
    this.pointLimit = this.points + maxPoints;
    this.breakAt = breakAt;
    this.stopReason = null;
    for (;;) {
      for (; this.scan < this.cpus.length; this.scan++) {
        const cpu = this.cpus[this.scan];
        if (cpu.readyAt() >= this.windowEnd) continue;
        this.runCpu(cpu);
        if (this.stopReason !== null) return this.stopReason;
      }
      const reason = this.openWindow();
      if (reason !== null) return reason;
      this.scan = 0;
    }
  }

  private openWindow(): StopReason | null {
    let first = Infinity;
    let second = Infinity;
    for (const cpu of this.cpus) {
      const ready = cpu.readyAt();
      if (ready < first) {
        second = first;
        first = ready;
      } else if (ready < second) second = ready;
    }
    if (first === Infinity) return "idle";
    if (first >= this.timeLimit) return "limit";
    const q = this.chooser.policy.windowNs;
    const end = (Math.floor(first / q) + 1) * q;
    const alone = Math.min(Math.floor(second / q), Math.floor(this.timeLimit / q)) * q;
    // The same window again and again, and nobody gets on: a hang of the host, were it not found here.
    this.standing = first === this.lastFirst ? this.standing + 1 : 0;
    this.lastFirst = first;
    assert(this.standing < MAX_STANDING, "the machine runs and gets nowhere");
    this.windowEnd = Math.max(end, alone);
    return null;
  }

  private runCpu(cpu: Cpu): void {
    this.cpu = cpu;
    if (cpu.halted) cpu.clock = Math.max(cpu.clock, cpu.readyAt());
    cpu.halted = false;
    let turns = 0;
    for (let before = cpu.clock;; before = cpu.clock) {
      this.collect(cpu);
      if (!this.enterContexts(cpu) && cpu.blockedOn !== null) {
        // Not before the lock was released, however long an interrupt has kept this CPU from noticing.
        const ready = cpu.readyAt();
        if (ready >= this.windowEnd) return;
        if (ready > cpu.clock) {
          cpu.clock = ready;
          continue;
        }
      }
      this.refill();
      const stack = cpu.current.stack;
      let result: IteratorResult<unknown, unknown>;
      try {
        result = stack[stack.length - 1].next();
      } catch (error) {
        this.sync();
        this.contain(cpu, error);
        continue;
      }
      this.sync();
      turns = cpu.clock === before ? turns + 1 : 0;
      if (turns > MAX_TURNS) this.contain(cpu, new RangeError("it yields for ever without passing a point"));
      else if (result.done === true) {
        stack.pop();
        assert(stack.length > 0, `thread ${cpu.current.comm} returned`);
      } else if (result.value === HALT) {
        if (this.halt(cpu)) return;
      } else if (result.value === SLEEP) {
        continue;
      }
      if (this.stopReason !== null || cpu.clock >= this.windowEnd) return;
    }
  }

  /** The current context threw: the kernel says what the thread does instead. */
  private contain(cpu: Cpu, error: unknown): void {
    if (error instanceof EmulatorFault) throw error;
    const { stack } = cpu.current;
    const handler = this.vectors.fault(cpu, error);
    stack.length = 0;
    stack.push(handler);
  }

  /** Puts a due interrupt or preemption on top of the current thread. Returns whether it did. */
  private enterContexts(cpu: Cpu): boolean {
    if (cpu.pending !== 0 && cpu.irqsOn) cpu.current.stack.push(this.vectors.interrupt());
    else if (cpu.need_resched && this.vectors.wantsPreempt(cpu)) {
      cpu.current.stack.push(this.vectors.preempt());
    } else return false;
    return true;
  }

  /** True when the CPU stays halted in this window. */
  private halt(cpu: Cpu): boolean {
    if (!cpu.irqsOn) {
      cpu.halted = true;
      return true;
    }
    if (cpu.pending !== 0) return false;
    const next = cpu.nextInterrupt();
    if (next < this.windowEnd && this.stopReason === null) {
      cpu.clock = Math.max(cpu.clock, next);
      return false;
    }
    cpu.halted = true;
    return true;
  }
}

const NO_VECTORS: Vectors = {
  interrupt: () => assert(false, "interrupt before boot") as never,
  preempt: () => assert(false, "preemption before boot") as never,
  wantsPreempt: () => false,
  fault: (_cpu, error) => {
    throw error;
  },
};
