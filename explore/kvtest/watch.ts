// SPDX-License-Identifier: GPL-2.0-only
/**
 * What the trace events of a machine say about kvfree_rcu() of each CPU, from a CPU's first call on.
 *
 * A work item belongs to the CPU whose krc it is in, wherever a worker runs it (from v6.12 on that may be another CPU);
 * what is freed belongs to the work item that frees it. Invariant: a watch only looks.
 *
 * @module
 */

import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { Observer } from "../../kernel/machine/machine.ts";
import { ptr } from "../../kernel/machine/struct.ts";
import { functionAt } from "../../kernel/kallsyms.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { traceEvents } from "../../kernel/trace/table.ts";
import { krcState } from "../../rcu/kvfree.ts";

/** The batch timer's functions, and those that free a batch, of tree and of tiny RCU. */
const MONITORS: ReadonlySet<string> = new Set(["kfree_rcu_monitor", "kvfree_rcu_monitor"]);
const WORKS: ReadonlySet<string> = new Set(["kfree_rcu_work", "kvfree_rcu_work"]);

/** What was seen of a CPU since its first call; times in virtual ns. */
export class Seen {
  readonly monitors: number[] = [];
  readonly works: number[] = [];
  /** Grace periods of the machine that started between the first run of the monitor and the first of the work. */
  gracePeriods = 0;
  /** nr_records of each kfree_bulk(). */
  readonly bulk: number[] = [];
  callbacks = 0;
  /** Runs of the function that fills the page cache. */
  readonly fills: number[] = [];
  /** Calls that waited for a grace period and freed the pointer themselves. */
  inline = 0;
  /** The pointer that the caller gave last. */
  given = 0;

  /** `first` is the time of the first call; `caller` is the pid of who calls, null when it is done. */
  constructor(readonly first: number, public caller: number | null) {}
}

type Handler = (a: number, b: number, c: number) => void;

export class Watch implements Observer {
  /** By CPU, from its first call on. */
  private readonly seen: (Seen | null)[];
  private readonly handlers: (Handler | undefined)[] = [];
  /** CPU to which a work item belongs, and by the thread's pid the CPU of the work that it carries out. */
  private readonly owners = new Map<number, number>();
  private readonly working = new Map<number, number>();
  /** When a pointer that was asked for was freed. */
  readonly freedAt: Map<VirtAddr, number> = new Map<VirtAddr, number>();

  constructor(private readonly k: Kernel) {
    this.seen = k.cpus.map(() => null);
    if (k.config.rcu === "tree") {
      for (const { cpu, monitorWork, batches } of krcState(k)) {
        this.owners.set(monitorWork, cpu);
        for (const { work } of batches) this.owners.set(work, cpu);
      }
    }
    const on: Readonly<Record<string, Handler>> = {
      workqueue_execute_start: (work, fn) => this.executes(work, functionAt(k, fn as VirtAddr).name),
      workqueue_execute_end: () => {
        this.working.delete(k.cpu.current.pid);
      },
      rcu_grace_period: (_name, _seq, what) => {
        if (k.log.text(what) === "start") this.graceBegins();
      },
      rcu_invoke_kfree_bulk_callback: (_name, nr, records) => {
        this.current()?.bulk.push(nr);
        this.bulkFreed(nr, records);
      },
      rcu_invoke_kvfree_callback: () => {
        const seen = this.current();
        if (seen !== null) seen.callbacks++;
      },
      kvfree_rcu: (addr) => this.gives(addr),
      kfree: (addr) => this.freed(addr),
      vfree: (addr) => this.freed(addr),
    };
    for (const { id, name } of traceEvents) if (on[name] !== undefined) this.handlers[id] = on[name];
  }

  /** From now on a CPU is watched, anew if it was before; it calls from the current task. */
  begin(cpu: number): Seen {
    const seen = new Seen(this.k.now(), this.k.cpu.current.pid);
    this.seen[cpu] = seen;
    return seen;
  }

  /** Notes when these are freed. */
  expect(pointers: readonly VirtAddr[]): void {
    for (const p of pointers) this.freedAt.set(p, Infinity);
  }

  event(kind: number, a: number, b: number, c: number): void {
    this.handlers[kind]?.(a, b, c);
  }

  ipi(): void {}

  private executes(work: number, name: string): void {
    const { k } = this;
    const cpu = this.owners.get(work) ?? k.cpu.id;
    const seen = this.seen[cpu];
    this.working.set(k.cpu.current.pid, cpu);
    if (seen === null) return;
    if (MONITORS.has(name)) seen.monitors.push(k.now());
    else if (WORKS.has(name)) seen.works.push(k.now());
    else if (name === "fill_page_cache_func") seen.fills.push(k.now());
  }

  private graceBegins(): void {
    for (const seen of this.seen) {
      if (seen !== null && seen.monitors.length > 0 && seen.works.length === 0) seen.gracePeriods++;
    }
  }

  private current(): Seen | null {
    const { k } = this;
    return this.seen[this.working.get(k.cpu.current.pid) ?? k.cpu.id];
  }

  /** What the current thread has seen if it is one that calls. */
  private caller(): Seen | null {
    const { id, current } = this.k.cpu;
    const seen = this.seen[id];
    return seen?.caller === current.pid ? seen : null;
  }

  private gives(addr: number): void {
    const seen = this.caller();
    if (seen !== null) seen.given = addr;
  }

  private freed(addr: number): void {
    const seen = this.caller();
    if (seen !== null && seen.given === addr && this.k.cpu.preempt_count === 0) seen.inline++;
    this.note(addr);
  }

  private note(addr: number): void {
    if (this.freedAt.has(addr as VirtAddr)) this.freedAt.set(addr as VirtAddr, this.k.now());
  }

  /** kfree_bulk() has no event for each pointer: they are read from the block, which is a page. */
  private bulkFreed(nr: number, records: number): void {
    if (this.freedAt.size === 0) return;
    const { ram } = this.k;
    const phys = ram.translate(records as VirtAddr);
    for (let i = 0; i < nr; i++) this.note(ram.rawLoadPtr(phys + i * ptr.size));
  }
}
