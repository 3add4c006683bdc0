// SPDX-License-Identifier: GPL-2.0-only
/**
 * One emulated kernel: the machine, its configuration, its statics and the tables through which lower layers call up.
 *
 * Invariant: everything mutable about a kernel hangs off this object, so that any number of kernels run side by side.
 * `kernel/` never imports mm/ or rcu/; what it needs of them goes through `mm`, `rcu` and `kvfree` here.
 *
 * @invented one object for all that C keeps in globals
 * @module
 */

import { addrAdd, alignUp, NULL, PAGE_SIZE, pfnToVirt } from "./machine/addr.ts";
import { assert } from "./machine/assert.ts";
import type { VirtAddr } from "./machine/brand.ts";
import type { Schedule } from "./machine/chooser.ts";
import { StateHash } from "./machine/hash.ts";
import type { Atomic } from "./machine/effects.ts";
import { Machine } from "./machine/machine.ts";
import type { Config } from "./config.ts";
import { digestOf } from "./digest.ts";
import {
  type KernelParts,
  type KvfreeOps,
  type MmOps,
  NO_KVFREE,
  NO_MM,
  NO_RCU,
  type RcuOps,
} from "./hooks.ts";

/** Page frames at the bottom of RAM that hold emulated .data and are never given to the page allocator. */
export const DATA_PAGES = 256;
/** Bytes of .data that are reckoned for one CPU. */
const DATA_PER_CPU = 1024;

/** A report of the kernel about itself: WARN, BUG, KASAN and the like. */
export interface KernelReport {
  /** First line, without the level. */
  readonly title: string;
  /** All lines, as they stand in dmesg. */
  readonly lines: readonly string[];
  readonly seq: number;
  readonly ns: number;
}

export class Kernel extends Machine {
  /** File-scope variables by slot; see static.ts. */
  readonly statics: unknown[] = [];
  /** What was reported, oldest first. */
  readonly reports: KernelReport[] = [];
  /** The last exception thrown by code that plays kernel (an example, a student's file), for the shell. */
  lastException: unknown = null;
  /** Runs inside rcu_init() where Linux calls rcu_early_boot_tests(); for tests and examples of early boot. */
  rcu_early_boot_tests: ((k: Kernel) => Atomic<void>) | null = null;
  rcu: RcuOps = NO_RCU;
  mm: MmOps = NO_MM;
  kvfree: KvfreeOps = NO_KVFREE;
  /** What stands in for parts of the configuration; the same after every power cycle. */
  parts: KernelParts = {};

  /** Emulated objects that are plain classes here but whose address stands in RAM, by address. */
  private readonly owners = new Map<number, object>();
  /** What reusable() keeps, by name. */
  private readonly kept = new Map<string, object>();
  private dataBrk = 0;
  /** Page frames of .data: DATA_PAGES, or more where thousands of CPUs have their per-CPU variables in it. */
  readonly dataPages: number;

  constructor(readonly config: Config, schedule: Schedule) {
    super(config.memBytes, config.cpus, schedule);
    this.dataPages = Math.max(DATA_PAGES, Math.ceil(config.cpus * DATA_PER_CPU / PAGE_SIZE));
    this.dataBrk = PAGE_SIZE;
  }

  /** Back to power-on under another schedule; the same RAM buffer, new statics. */
  override powerCycle(schedule: Schedule): void {
    super.powerCycle(schedule);
    this.statics.length = 0;
    this.reports.length = 0;
    this.lastException = null;
    this.rcu = NO_RCU;
    this.mm = NO_MM;
    this.kvfree = NO_KVFREE;
    this.owners.clear();
    this.dataBrk = PAGE_SIZE;
  }

  /**
   * A large object that is worth keeping over a power cycle: made by `make` the first time, given to `clear` later.
   */
  reusable<T extends object>(name: string, make: () => T, clear: (kept: T) => void): T {
    const kept = this.kept.get(name) as T | undefined;
    if (kept !== undefined) {
      clear(kept);
      return kept;
    }
    const made = make();
    this.kept.set(name, made);
    return made;
  }

  /** Reserves zeroed, valid memory in the kernel's own .data, for a file-scope object whose address matters. */
  dataAlloc(size: number, align = 8): VirtAddr {
    const at = alignUp(this.dataBrk, align);
    this.dataBrk = at + alignUp(size, 8);
    assert(this.dataBrk <= this.dataPages * PAGE_SIZE, ".data is full");
    this.ram.unpoison(at, size);
    return addrAdd(pfnToVirt(0), at);
  }

  /** Bytes of .data in use, from address `pfnToVirt(0)`. */
  get dataEnd(): number {
    return this.dataBrk;
  }

  /** Says that the class instance `owner` is what stands at `addr` (an embedded rcu_head, a waiter on a stack). */
  setOwner(addr: VirtAddr, owner: object): void {
    this.owners.set(addr, owner);
  }

  /** Forgets the owner of `addr`. */
  clearOwner(addr: VirtAddr): void {
    this.owners.delete(addr);
  }

  /** The class instance at `addr`; container_of() for objects that live as classes. */
  ownerOf(addr: VirtAddr): object {
    const owner = this.owners.get(addr);
    assert(owner !== undefined, `no object is known at ${addr.toString(16)}`);
    return owner;
  }

  /** Full digest of touched RAM and statics; slow, for the end of a run. */
  digest(): string {
    const hash = new StateHash();
    digestOf(hash, this);
    return hash.text();
  }
}

/** The null pointer, re-exported for kernel code that needs nothing else of addr.ts. */
export { NULL };
