// SPDX-License-Identifier: GPL-2.0-only
/**
 * Machines with tree RCU for tests, and monitors that read what happened from the event log.
 *
 * P numbers are the checkable properties of RCU: P1 grace periods wait for readers; P3, P4 callbacks wait for readers and
 * a whole grace period; P12 a CPU credited as idle has no old reader; P24, P25 in order and once; P59 grace periods
 * alternate; P61 nothing is owed between them.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { Atomic, MaySleep } from "../../kernel/machine/effects.ts";
import type { EventRecord } from "../../kernel/machine/log.ts";
import { checkConfig, type Config } from "../../kernel/config.ts";
import { cpumask_set_cpu, cpumask_t } from "../../kernel/cpumask.ts";
import { kallsyms_lookup } from "../../kernel/kallsyms.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { kthread_bind_mask, kthread_create } from "../../kernel/kthread.ts";
import { wake_up_process } from "../../kernel/sched/core.ts";
import { traceEvent } from "../../kernel/trace/table.ts";
import { bootKernel } from "../../init/main.ts";
import { scheduleOf } from "../../explore/token.ts";
import { rcu_seq_snap } from "../../rcu/rcu.ts";
import { rcu_state } from "../../rcu/tree.ts";

/** A configuration with tree RCU on 4 CPUs unless `wanted` says otherwise. */
export function treeConfig(wanted: Partial<Config> = {}): Config {
  return checkConfig({ ...wanted, rcu: "tree" });
}

/** A booted machine with tree RCU. `early` runs in rcu_init(). */
export function bootTree(
  wanted: Partial<Config> = {},
  early: ((k: Kernel) => Atomic<void>) | null = null,
): Kernel {
  const config = treeConfig(wanted);
  return bootKernel(config, scheduleOf(config), early);
}

/** Starts a thread that is bound to `cpu`. */
export function* threadOn(
  k: Kernel,
  cpu: number,
  comm: string,
  main: (k: Kernel) => MaySleep<void>,
): MaySleep<void> {
  const p = yield* kthread_create(k, main, comm);
  assert(typeof p !== "number");
  const mask = new cpumask_t(k.config.cpus);
  cpumask_set_cpu(cpu, mask);
  yield* kthread_bind_mask(k, p, mask);
  wake_up_process(k, p);
}

/** Events of RCU after event `since`, as "name: text"; without those of every tick and idle entry. */
export function rcuLines(
  k: Kernel,
  since: number,
  where: (r: EventRecord) => boolean = () => true,
): string[] {
  const lines: string[] = [];
  for (const record of k.log.records(since + 1)) {
    const event = traceEvent(record.kind);
    if (event === undefined || event.system !== "rcu" || !where(record)) continue;
    if (event.name === "rcu_utilization" || event.name === "rcu_dyntick") continue;
    const view = {
      text: (id: number): string => k.log.text(id),
      symbol: (addr: number): string => kallsyms_lookup(k, addr),
      comm: String,
      site: (): string => "",
    };
    lines.push(`${event.name}: ${event.print(view, record)}`);
  }
  return lines;
}

/** One rcu_grace_period event. */
export interface GpEvent {
  readonly gp_seq: number;
  readonly event: string;
  readonly ns: number;
  readonly cpu: number;
  readonly task: number;
  readonly seq: number;
}

/** The rcu_grace_period events called `events` after event `since`. */
export function gpEvents(k: Kernel, since: number, ...events: string[]): GpEvent[] {
  const found: GpEvent[] = [];
  for (const r of k.log.records(since + 1)) {
    if (traceEvent(r.kind)?.name !== "rcu_grace_period") continue;
    const event = k.log.text(r.args[2]);
    if (events.length > 0 && !events.includes(event)) continue;
    found.push({ gp_seq: r.args[1], event, ns: r.ns, cpu: r.cpu, task: r.task, seq: r.seq });
  }
  return found;
}

interface Queued {
  /** Readers that were open when it was queued and are still. */
  readonly readers: Set<string>;
  readonly cpu: number;
  /** Earliest gp_seq at which it may be invoked. */
  readonly gp_seq: number;
  readonly order: number;
}

/** Reads the log as a run of RCU and fails when a rule was broken. */
class Monitor {
  private gp_seq: number;
  /** What the nodes show: they learn of the end before rcu_state. */
  private nodes: number;
  private order = 0;
  /** Readers that are open, and the number of the event that opened them. */
  private readonly open = new Map<string, number>();
  /** Event that started the grace period. */
  private startedAt = 0;
  private readonly queued = new Map<number, Queued>();
  private readonly invokedOrder = new Map<number, number>();
  invoked = 0;
  ended = 0;

  constructor(private readonly k: Kernel, private readonly barrierHeads: boolean, gp_seq: number) {
    this.gp_seq = gp_seq;
    this.nodes = gp_seq;
  }

  see(r: EventRecord): void {
    switch (traceEvent(r.kind)?.name) {
      case "rcu_read_lock":
        if (r.args[0] === 1) this.open.set(this.reader(r), r.seq);
        break;
      case "rcu_read_unlock":
        if (r.args[0] === 0) this.close(this.reader(r));
        break;
      case "rcu_grace_period":
        this.gracePeriod(r.seq, r.args[1], this.k.log.text(r.args[2]));
        break;
      case "rcu_fqs":
        this.noOldReader(`${r.args[2]}/`, "P12 credited with a reader from before the grace period");
        break;
      case "rcu_future_grace_period":
        if (this.k.log.text(r.args[6]).startsWith("Cleanup")) this.nodes = Math.max(this.nodes, r.args[1]);
        break;
      case "rcu_callback":
        this.queue(r);
        break;
      case "rcu_invoke_callback":
        this.invoke(r);
        break;
    }
  }

  /** A reader belongs to a context: the task, or the interrupt on top of it. */
  private reader(r: EventRecord): string {
    return `${r.cpu}/${r.task}`;
  }

  private close(reader: string): void {
    this.open.delete(reader);
    for (const { readers } of this.queued.values()) readers.delete(reader);
  }

  private noOldReader(where: string, rule: string): void {
    const old = [...this.open].filter(([reader, seq]) => reader.startsWith(where) && seq < this.startedAt);
    assertEquals(old, [], rule);
  }

  private gracePeriod(seq: number, gp_seq: number, event: string): void {
    if (event === "start") {
      assertEquals(gp_seq, this.gp_seq + 1, "P59 a grace period starts when the last one has ended");
      this.gp_seq = gp_seq;
      this.startedAt = seq;
    } else if (event === "end") {
      this.noOldReader("", "P1 the grace period ends while a reader from before it still reads");
      assertEquals(gp_seq, this.gp_seq, "P59 the grace period that runs ends");
      this.gp_seq = gp_seq + 3;
      this.ended++;
    }
  }

  private queue(r: EventRecord): void {
    assert(!this.queued.has(r.args[1]), "queued while queued");
    this.queued.set(r.args[1], {
      readers: new Set(this.open.keys()),
      cpu: r.cpu,
      gp_seq: rcu_seq_snap(this.gp_seq),
      order: this.order++,
    });
  }

  private invoke(r: EventRecord): void {
    const entry = this.queued.get(r.args[1]);
    if (entry === undefined) {
      assert(this.barrierHeads, "P25 invoked, not queued");
      return;
    }
    this.queued.delete(r.args[1]);
    assertEquals([...entry.readers], [], "P3 invoked while a reader from before still reads");
    assert(this.nodes >= entry.gp_seq, `P4 needs ${entry.gp_seq}, invoked at ${this.nodes}`);
    assertEquals(r.cpu, entry.cpu, "invoked on the CPU that queued it");
    const last = this.invokedOrder.get(r.cpu) ?? -1;
    assert(entry.order > last, "P24 invoked in the order of queueing");
    this.invokedOrder.set(r.cpu, entry.order);
    this.invoked++;
  }

  finish(): void {
    assertEquals([...this.queued.keys()], [], "P25 never invoked");
  }
}

/**
 * Checks the run after event `since` by P1, P3, P4, P12, P24, P25 and P59. Returns how many callbacks ran and grace periods ended.
 * The run must have begun and ended without callbacks; `gp_seq` is what the sequence number was then.
 */
export function checkRun(k: Kernel, since: number, gp_seq: number): { invoked: number; ended: number } {
  assert(k.log.first <= since + 1, "the log has lost the beginning");
  const monitor = new Monitor(k, true, gp_seq);
  for (const record of k.log.records(since + 1)) monitor.see(record);
  monitor.finish();
  return { invoked: monitor.invoked, ended: monitor.ended };
}

/** Nothing is owed and nothing is asked for: the state between grace periods (P61). */
export function checkQuiet(k: Kernel): void {
  const rsp = rcu_state(k);
  assertEquals(rsp.gp_seq % 4, 0, "no grace period runs");
  for (const rnp of rsp.node) {
    assertEquals(rnp.qsmask.isZero(), true);
    assertEquals(rnp.gp_seq, rsp.gp_seq);
    assert(rnp.gp_seq_needed <= rsp.gp_seq, "no request is lost");
    assertEquals(rnp.lock.owner, null);
  }
}
