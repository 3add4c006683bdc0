// SPDX-License-Identifier: GPL-2.0-only
/**
 * What a run made of the pointers that it gave to RCU, in numbers that can be compared from level to level.
 *
 * Counted are pointers given to kvfree_rcu(), and memory of the allocators whose rcu_head was given to call_rcu(): the stub
 * of code that is older than the headless form. A pointer is freed when an allocator says so. Invariant: a tally only
 * looks; a run is the same with and without it.
 *
 * @module
 */

import type { VirtAddr } from "../kernel/machine/brand.ts";
import type { Observer } from "../kernel/machine/machine.ts";
import { ptr } from "../kernel/machine/struct.ts";
import { functionAt } from "../kernel/kallsyms.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { traceEvents } from "../kernel/trace/table.ts";

/** Work functions of the batch timer, over the levels and flavours. */
const MONITORS = new Set(["kfree_rcu_monitor", "kvfree_rcu_monitor"]);

/** The numbers. */
export interface TallyCounts {
  /** Pointers given to RCU, and how many of them were freed. */
  given: number;
  freed: number;
  /** Grace periods that ended; tiny RCU does not count its own. */
  gracePeriods: number;
  /** Runs of the batch timer's function. */
  monitorRuns: number;
  /** nr_records of each kfree_bulk(), in order. */
  bulk: number[];
  /** Pages in use at the peak, more than at the start. */
  peakPages: number;
  /** Virtual ns from the first pointer given to the last one freed. */
  reclaimNs: number;
  /** Calls that waited and freed the pointer themselves. */
  blocked: number;
}

/** A pointer that waits: who gave it. */
interface Given {
  readonly task: number;
}

/** Counts while a machine runs: attach() it before the run. */
export class Tally implements Observer {
  readonly counts: TallyCounts = {
    given: 0,
    freed: 0,
    gracePeriods: 0,
    monitorRuns: 0,
    bulk: [],
    peakPages: 0,
    reclaimNs: 0,
    blocked: 0,
  };
  private readonly handlers: (((a: number, b: number, c: number) => void) | undefined)[] = [];
  private readonly waiting = new Map<number, Given>();
  private firstNs = -1;
  private pages = 0;

  /** `callbacks` names the functions whose rcu_heads count: those that free what a program gave to call_rcu(). */
  constructor(private readonly k: Kernel, private readonly callbacks: readonly string[] = []) {
    const freed = (addr: number): void => this.release(addr);
    const on: Readonly<Record<string, (a: number, b: number, c: number) => void>> = {
      kvfree_rcu: (addr) => this.give(addr),
      call_rcu: (head, func) => this.giveHead(head, func),
      rcu_callback: (_name, head, func) => this.giveHead(head, func),
      kfree: freed,
      kmem_cache_free: freed,
      vfree: freed,
      mm_page_alloc: (pfn, order) => {
        if (pfn !== 0) this.countPages(1 << order);
      },
      mm_page_free: (_pfn, order) => this.countPages(-(1 << order)),
      rcu_grace_period: (_name, _seq, what) => {
        if (k.log.text(what) === "end") this.counts.gracePeriods++;
      },
      workqueue_execute_start: (_work, fn) => {
        if (MONITORS.has(functionAt(k, fn as VirtAddr).name)) this.counts.monitorRuns++;
      },
      rcu_invoke_kfree_bulk_callback: (_name, nr, records) => this.releaseBlock(nr, records),
    };
    for (const { id, name } of traceEvents) if (on[name] !== undefined) this.handlers[id] = on[name];
  }

  /** Begins to count; nobody else may observe the machine. */
  attach(): void {
    this.k.observer = this;
  }

  event(kind: number, a: number, b: number, c: number): void {
    this.handlers[kind]?.(a, b, c);
  }

  ipi(): void {}

  private give(addr: number): void {
    const { k } = this;
    if (this.firstNs < 0) this.firstNs = k.now();
    this.counts.given++;
    this.waiting.set(addr, { task: k.cpu.current.pid });
  }

  private giveHead(head: number, func: number): void {
    if (func < 4096 || this.waiting.has(head)) return; // an offset: kvfree_rcu() has told already
    if (this.callbacks.includes(functionAt(this.k, func as VirtAddr).name)) this.give(head);
  }

  /** kfree_bulk() has no event for each pointer: they are read from the block that it is about to free. */
  private releaseBlock(nr: number, records: number): void {
    this.counts.bulk.push(nr);
    const { ram } = this.k;
    const phys = ram.translate(records as VirtAddr); // a block is a page
    for (let i = 0; i < nr; i++) this.release(ram.rawLoadPtr(phys + i * ptr.size));
  }

  private release(addr: number): void {
    const { k, counts } = this;
    const given = this.waiting.get(addr);
    if (given === undefined) return;
    this.waiting.delete(addr);
    counts.freed++;
    counts.reclaimNs = k.now() - this.firstNs;
    if (k.cpu.current.pid === given.task && k.cpu.preempt_count === 0) counts.blocked++;
  }

  private countPages(pages: number): void {
    this.pages += pages;
    if (this.pages > this.counts.peakPages) this.counts.peakPages = this.pages;
  }
}

/** Bulk sizes in short: `410+510*9`. */
export function bulkText(sizes: readonly number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < sizes.length;) {
    let n = 1;
    while (sizes[i + n] === sizes[i]) n++;
    parts.push(n === 1 ? String(sizes[i]) : `${sizes[i]}*${n}`);
    i += n;
  }
  return parts.join("+");
}
