// SPDX-License-Identifier: GPL-2.0-only
/**
 * Looking at what kvfree_rcu() holds: for the `krc` command and for leak verdicts. Nothing here changes anything.
 *
 * @invented a debugger's view of struct kfree_rcu_cpu
 * @module
 */

import { NULL } from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { delayed_work_pending, work_pending } from "../kernel/workqueue.ts";
import { kvfree_rcu_bulk_data, recordAddr } from "./kvfree_bulk.ts";
import { rcu_head } from "./rcu.ts";
import type { kfree_rcu_cpu } from "./tree_kvfree.ts";

const [SLAB, VMALLOC] = [0, 1];

/** A block of a chain. @invented see KrcState */
export interface KrcBlock {
  readonly addr: VirtAddr;
  readonly nr_records: number;
}

/** Blocks by channel, newest first, and the heads on the list, last queued first. @invented see KrcState */
export interface KrcContent {
  readonly slab: readonly KrcBlock[];
  readonly vmalloc: readonly KrcBlock[];
  readonly list: readonly VirtAddr[];
}

/** A batch: its content, and whether its work waits for a grace period or a worker. @invented see KrcState */
export interface KrcBatch extends KrcContent {
  readonly pending: boolean;
  /** Addresses of its work item and of the rcu_head that it waits by, as records name them. */
  readonly work: VirtAddr;
  readonly head: VirtAddr;
}

/** What the `krc` command shows of a CPU. @invented a look at file-scope state */
export interface KrcState extends KrcContent {
  readonly cpu: number;
  readonly initialized: boolean;
  readonly count: number;
  readonly monitor_todo: boolean;
  /** Whether the timer is armed or the monitor queued. */
  readonly monitorPending: boolean;
  /** Jiffy for which the timer is armed; meaningful while monitorPending. */
  readonly monitorExpires: number;
  /** Addresses of the monitor's work item and of its timer, as records name them. */
  readonly monitorWork: VirtAddr;
  readonly monitorTimer: VirtAddr;
  /** Spare pages of the slab and the vmalloc channel, NULL when there is none. */
  readonly spares: readonly VirtAddr[];
  readonly batches: readonly KrcBatch[];
  readonly locked: boolean;
}

/** A pointer as it stands in RAM, without the check that a reader of freed memory deserves: looking is free. */
function peek(k: Kernel, addr: VirtAddr): VirtAddr {
  const phys = k.ram.translate(addr);
  return phys < 0 ? NULL : k.ram.rawLoadPtr(phys);
}

function* chain(k: Kernel, first: VirtAddr): Generator<VirtAddr, void, void> {
  const { offset } = kvfree_rcu_bulk_data.f.next;
  for (let b = first; b !== NULL; b = peek(k, (b + offset) as VirtAddr)) yield b;
}

function* list(k: Kernel, first: VirtAddr): Generator<VirtAddr, void, void> {
  for (let head = first; head !== NULL; head = peek(k, head)) yield head;
}

/** Chains and list of one place: what is collected, or a batch. */
interface Held {
  readonly chains: readonly VirtAddr[];
  readonly head: VirtAddr;
}

function* places(krcps: readonly kfree_rcu_cpu[]): Generator<Held, void, void> {
  for (const krcp of krcps) {
    yield { chains: krcp.bkvhead, head: krcp.head };
    for (const krwp of krcp.krw_arr) yield { chains: krwp.bkvhead_free, head: krwp.head_free };
  }
}

/** The object that hangs on a list by this head, and its wrapper if it has one. */
function objectOf(k: Kernel, head: VirtAddr): { object: VirtAddr; wrapper: VirtAddr } {
  const start = head - peek(k, (head + rcu_head.offsetof("func")) as VirtAddr);
  if (start % 2 === 0) return { object: start as VirtAddr, wrapper: NULL };
  const wrapper = (start + 1) as VirtAddr;
  return { object: peek(k, wrapper), wrapper };
}

/** Objects that wait, in blocks and on lists. @invented for leak verdicts */
export function* pendingObjects(
  k: Kernel,
  krcps: readonly kfree_rcu_cpu[],
): Generator<VirtAddr, void, void> {
  for (const { chains, head } of places(krcps)) {
    for (const first of chains) {
      for (const bnode of chain(k, first)) {
        const nr = peek(k, bnode);
        for (let i = 0; i < nr; i++) yield peek(k, recordAddr(bnode, i));
      }
    }
    for (const it of list(k, head)) yield objectOf(k, it).object;
  }
}

/** Blocks, wrappers and spare pages. @invented for leak verdicts */
export function* ownMemory(k: Kernel, krcps: readonly kfree_rcu_cpu[]): Generator<VirtAddr, void, void> {
  for (const { chains, head } of places(krcps)) {
    for (const first of chains) yield* chain(k, first);
    for (const it of list(k, head)) {
      const { wrapper } = objectOf(k, it);
      if (wrapper !== NULL) yield wrapper;
    }
  }
  for (const krcp of krcps) {
    for (const spare of krcp.bkvcache) if (spare !== NULL) yield spare;
  }
}

/** Whether anything waits. @invented for the end of runs */
export function anythingQueued(krcps: readonly kfree_rcu_cpu[]): boolean {
  for (const { chains, head } of places(krcps)) {
    if (head !== NULL || chains.some((first) => first !== NULL)) return true;
  }
  return false;
}

function contentOf(k: Kernel, { chains, head }: Held): KrcContent {
  const blocks = (first: VirtAddr): KrcBlock[] =>
    [...chain(k, first)].map((addr) => ({ addr, nr_records: peek(k, addr) }));
  return { slab: blocks(chains[SLAB]), vmalloc: blocks(chains[VMALLOC]), list: [...list(k, head)] };
}

/** The objects of a place: those in blocks, newest block first, then those on the list. @invented see KrcState */
export function contentObjects(k: Kernel, { slab, vmalloc, list }: KrcContent): VirtAddr[] {
  const objects: VirtAddr[] = [];
  for (const { addr, nr_records } of [...slab, ...vmalloc]) {
    for (let i = 0; i < nr_records; i++) objects.push(peek(k, recordAddr(addr, i)));
  }
  for (const head of list) objects.push(objectOf(k, head).object);
  return objects;
}

/** The state of each CPU, in their order. @invented see KrcState */
export function lookAtKrcs(k: Kernel, krcps: readonly kfree_rcu_cpu[]): KrcState[] {
  return krcps.map((krcp, cpu) => ({
    cpu,
    ...contentOf(k, { chains: krcp.bkvhead, head: krcp.head }),
    initialized: krcp.initialized,
    count: krcp.count,
    monitor_todo: krcp.monitor_todo,
    monitorPending: delayed_work_pending(krcp.monitor_work),
    monitorExpires: krcp.monitor_work.timer.expires,
    monitorWork: krcp.monitor_work.work.addr,
    monitorTimer: krcp.monitor_work.timer.addr,
    spares: [...krcp.bkvcache],
    batches: krcp.krw_arr.map((krwp) => ({
      ...contentOf(k, { chains: krwp.bkvhead_free, head: krwp.head_free }),
      pending: work_pending(krwp.rcu_work.work),
      work: krwp.rcu_work.work.addr,
      head: krwp.rcu_work.rcu.addr,
    })),
    locked: krcp.lock.owner !== null,
  }));
}
