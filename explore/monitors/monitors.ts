// SPDX-License-Identifier: GPL-2.0-only
/**
 * All monitors of one run.
 *
 * The event monitors watch every run: they cost a table look-up for an event that no monitor wants. The state monitors
 * look at the whole tree after every event, so only tests have them. Which of them make sense depends on the flavour; a
 * machine without RCU has none.
 *
 * Invariant: watching changes nothing (monitor.ts), so a run has the same hash with and without.
 *
 * Left for later, with what they are about: P5, P65, P73, P74, P76 (expedited and preemptible grace periods), P37,
 * P38 (stall warnings), P48 to P50 (hotplug), P13 to P16 (barriers mean nothing under sequential consistency). P2, P6, P8,
 * P10 and P27 to P32 are litmus tests, P9, P11, P17 to P19, P21, P26, P34, P44, P45, P47, P51, P52, P54 to P57 unit tests;
 * P35, P36, P42, P43 are what a run breaks that does not end.
 *
 * @module
 */

import type { EventRecord } from "../../kernel/machine/log.ts";
import type { Cpu } from "../../kernel/machine/cpu.ts";
import type { Observer } from "../../kernel/machine/machine.ts";
import type { RcuOps } from "../../kernel/hooks.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { traceEvents } from "../../kernel/trace/table.ts";
import { rcu_get_gp_seq } from "../../rcu/tree.ts";
import { Batches } from "./batches.ts";
import { Callbacks } from "./callbacks.ts";
import { CpuState } from "./cpu_state.ts";
import { GracePeriods } from "./grace_periods.ts";
import { Idle } from "./idle.ts";
import { Kvfree } from "./kvfree.ts";
import { Locks } from "./locks.ts";
import { Findings, type Monitor, type RunEnd, Seen, type Violation } from "./monitor.ts";
import { Readers } from "./readers.ts";
import { Reports } from "./reports.ts";
import { Segments } from "./segments.ts";
import { TreeMasks } from "./tree_masks.ts";
import { TreeNumbers } from "./tree_numbers.ts";
import { TreeShape } from "./tree_shape.ts";
import { Waits } from "./waits.ts";
import { watchedOps } from "./watched_ops.ts";

/** Which monitors: of events, as they happen; of state, too; of events, from the log afterwards; none. */
export type Watch = "events" | "all" | "log" | "none";

type Handler = (e: Seen) => void;

/** What is done at each kind of event, by kind. */
function handlersOf(monitors: readonly Monitor[]): (readonly Handler[] | undefined)[] {
  const table: (readonly Handler[] | undefined)[] = [];
  for (const { id, name } of traceEvents) {
    const handlers = monitors.flatMap((monitor) => monitor.on[name] ?? []);
    if (handlers.length > 0) table[id] = handlers;
  }
  return table;
}

export class Monitors implements Observer {
  readonly findings: Findings = new Findings();
  readonly callbacks: Callbacks;
  readonly waits: Waits;
  /** Null unless the flavour is tree. */
  readonly gp: GracePeriods | null;
  private readonly idle: Idle | null;
  private readonly monitors: Monitor[];
  private readonly handlers: (readonly Handler[] | undefined)[];
  private readonly lookers: Monitor[];
  private readonly seen = new Seen();
  /** RCU's functions before they were watched, and while they are. */
  private ops: readonly [RcuOps, RcuOps] | null = null;

  /** Of a run that begins now, or, from the log, began when the grace-period number was `gp_seq`. */
  constructor(
    private readonly k: Kernel,
    watch: Watch = "events",
    gp_seq: number = k.rcu.flavour === "tree" ? rcu_get_gp_seq(k) : 0,
  ) {
    const { findings } = this;
    const live = watch !== "log";
    const tree = k.rcu.flavour === "tree";
    const readers = new Readers(tree && k.config.preempt === "full");
    this.gp = tree ? new GracePeriods(k, readers, findings, gp_seq) : null;
    this.callbacks = new Callbacks(k, readers, this.gp, findings);
    this.waits = new Waits(k, readers, this.callbacks, this.gp, findings);
    this.idle = this.gp === null ? null : new Idle(k, readers, this.gp, findings, live);
    this.monitors = [readers, this.callbacks, this.waits];
    if (live) this.monitors.push(new Kvfree(k, readers, findings));
    if (this.gp !== null && this.idle !== null) {
      this.monitors.push(this.gp, this.idle, new Batches(k, findings, live));
      if (watch === "all") this.monitors.push(...stateMonitors(k, this.gp, findings));
    }
    if (watch === "all") this.monitors.push(new Reports(k, findings));
    if (k.rcu.flavour === "none" || watch === "none") this.monitors.length = 0;
    this.handlers = handlersOf(this.monitors);
    this.lookers = this.monitors.filter((monitor) => monitor.look !== undefined);
  }

  /** What was found. */
  get violations(): readonly Violation[] {
    return this.findings.list;
  }

  /** Begins to watch. */
  start(): void {
    const { k } = this;
    if (this.monitors.length === 0) return;
    this.ops = [k.rcu, watchedOps(k.rcu, this.waits)];
    k.rcu = this.ops[1];
    k.observer = this;
  }

  /** The run is over: looks at what is left, and watches no more. */
  finish(end: RunEnd): void {
    for (const monitor of this.monitors) monitor.finish?.(end);
    const { k } = this;
    if (k.observer === this) k.observer = null;
    if (this.ops !== null && k.rcu === this.ops[1]) k.rcu = this.ops[0];
  }

  /** An event has happened. */
  event(kind: number, a: number, b: number, c: number, d: number, e: number, f: number, g: number): void {
    const handlers = this.handlers[kind];
    if (handlers === undefined && this.lookers.length === 0) return;
    const { k, seen } = this;
    seen.seq = k.seq;
    seen.cpu = k.cpu.id;
    seen.task = k.cpu.current.pid;
    seen.kind = kind;
    seen.a = a;
    seen.b = b;
    seen.c = c;
    seen.d = d;
    seen.e = e;
    seen.f = f;
    seen.g = g;
    this.tell(handlers);
  }

  private tell(handlers: readonly Handler[] | undefined): void {
    const { seen } = this;
    if (handlers !== undefined) { for (const handler of handlers) handler(seen); }
    for (const monitor of this.lookers) monitor.look?.(seen);
  }

  /** An event is read from the log. */
  see(r: EventRecord): void {
    const [a, b, c, d, e, f, g] = r.args;
    Object.assign(this.seen, { seq: r.seq, cpu: r.cpu, task: r.task, kind: r.kind, a, b, c, d, e, f, g });
    this.tell(this.handlers[r.kind]);
  }

  ipi(target: Cpu): void {
    this.idle?.ipi(target);
  }
}

function stateMonitors(k: Kernel, gp: GracePeriods, findings: Findings): Monitor[] {
  return [
    new TreeShape(k, findings),
    new TreeMasks(k, findings),
    new TreeNumbers(k, gp, findings),
    new CpuState(k, findings),
    new Segments(k, findings),
    new Locks(k, findings),
  ];
}
