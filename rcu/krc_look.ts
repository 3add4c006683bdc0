// SPDX-License-Identifier: GPL-2.0-only
/**
 * Looking at what kvfree_rcu() holds, at whatever level: for the `krc` command and for leak verdicts. Nothing here changes
 * anything.
 *
 * A level says where its pointers are (`KrcLook`) and how its blocks and list elements are read (`KrcShape`); what is made
 * of that is the same for all.
 *
 * @invented a debugger's view of struct kfree_rcu_cpu
 * @module
 */

import { NULL } from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import { ptr } from "../kernel/machine/struct.ts";
import type { KvfreeLevelOps } from "../kernel/hooks.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { type delayed_work, delayed_work_pending, type rcu_work, work_pending } from "../kernel/workqueue.ts";
import { rcu_head } from "./rcu.ts";

/** A place where pointers are: blocks by channel, newest first, and the first head of a list. @invented see KrcLook */
export interface KrcPlace {
  readonly slab: readonly VirtAddr[];
  readonly vmalloc: readonly VirtAddr[];
  readonly head: VirtAddr;
}

/** One CPU's struct kfree_rcu_cpu as any level can show it. @invented the structs differ from level to level */
export interface KrcLook {
  readonly initialized: boolean;
  readonly count: number;
  readonly monitor_todo: boolean;
  readonly monitor_work: delayed_work;
  readonly locked: boolean;
  /** What does not wait for a grace period by a batch yet. */
  readonly collecting: KrcPlace;
  /** What waits, by batch. */
  readonly batches: readonly { readonly rcu_work: rcu_work; readonly place: KrcPlace }[];
  /** Spare pages; NULL for a slot that is empty. */
  readonly spares: readonly VirtAddr[];
}

/** How a level lays out its blocks and list elements. @invented see KrcLook */
export interface KrcShape {
  /** Byte offsets in a block: the number of records, and the first record. */
  readonly nr_records: number;
  readonly records: number;
  /** Records in a block: KVFREE_BULK_MAX_ENTR. */
  readonly capacity: number;
  /** KFREE_DRAIN_JIFFIES. */
  drainJiffies(k: Kernel): number;
  /** The object that hangs on a list by `head`, and its wrapper, NULL if it has none. */
  objectOf(k: Kernel, head: VirtAddr): { readonly object: VirtAddr; readonly wrapper: VirtAddr };
}

/** A level's face to the looks. @invented see KrcLook */
export interface KrcView {
  readonly shape: KrcShape;
  look(k: Kernel): KrcLook[];
}

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
  /** Spare pages: of the slab and the vmalloc channel in the series, of both together from v5.9 on. */
  readonly spares: readonly VirtAddr[];
  readonly batches: readonly KrcBatch[];
  readonly locked: boolean;
}

/** A pointer as it stands in RAM, without the check that a reader of freed memory deserves: looking is free. @invented */
export function peek(k: Kernel, addr: VirtAddr): VirtAddr {
  const phys = k.ram.translate(addr);
  return phys < 0 ? NULL : k.ram.rawLoadPtr(phys);
}

/** Blocks of a chain that ends with NULL; `nextOffset` is where a block holds its successor. @invented see KrcPlace */
export function chainOf(k: Kernel, first: VirtAddr, nextOffset: number): VirtAddr[] {
  const blocks: VirtAddr[] = [];
  for (let b = first; b !== NULL; b = peek(k, (b + nextOffset) as VirtAddr)) blocks.push(b);
  return blocks;
}

/** The object of an rcu_head whose func is its offset. @invented see KrcShape */
export function objectByOffset(k: Kernel, head: VirtAddr): { object: VirtAddr; wrapper: VirtAddr } {
  const offset = peek(k, (head + rcu_head.offsetof("func")) as VirtAddr);
  return { object: (head - offset) as VirtAddr, wrapper: NULL };
}

/** The object of an rcu_head that may be a wrapper's: an odd offset says so. @invented see KrcShape */
export function objectByTag(k: Kernel, head: VirtAddr): { object: VirtAddr; wrapper: VirtAddr } {
  const { object } = objectByOffset(k, head);
  if (object % 2 === 0) return { object, wrapper: NULL };
  const wrapper = (object + 1) as VirtAddr;
  return { object: peek(k, wrapper), wrapper };
}

/** The object of an rcu_head whose func is the object: from v6.3-rc1 on. @invented see KrcShape */
export function objectInFunc(k: Kernel, head: VirtAddr): { object: VirtAddr; wrapper: VirtAddr } {
  return { object: peek(k, (head + rcu_head.offsetof("func")) as VirtAddr), wrapper: NULL };
}

function* list(k: Kernel, first: VirtAddr): Generator<VirtAddr, void, void> {
  for (let head = first; head !== NULL; head = peek(k, head)) yield head;
}

function* places(looks: readonly KrcLook[]): Generator<KrcPlace, void, void> {
  for (const { collecting, batches } of looks) {
    yield collecting;
    for (const { place } of batches) yield place;
  }
}

/** First heads of all lists: what per-CPU variables point at that kmemleak knows. @invented see KvfreeOps */
export function* listHeads(k: Kernel, { look }: KrcView): Generator<VirtAddr, void, void> {
  for (const { head } of places(look(k))) if (head !== NULL) yield head;
}

function* records(k: Kernel, shape: KrcShape, bnode: VirtAddr): Generator<VirtAddr, void, void> {
  const nr = peek(k, (bnode + shape.nr_records) as VirtAddr);
  for (let i = 0; i < nr; i++) yield peek(k, (bnode + shape.records + i * ptr.size) as VirtAddr);
}

/** Objects that wait, in blocks and on lists. */
function* pendingObjects(k: Kernel, { shape, look }: KrcView): Generator<VirtAddr, void, void> {
  for (const { slab, vmalloc, head } of places(look(k))) {
    for (const bnode of [...slab, ...vmalloc]) yield* records(k, shape, bnode);
    for (const it of list(k, head)) yield shape.objectOf(k, it).object;
  }
}

/** Blocks, wrappers and spare pages. */
function* ownMemory(k: Kernel, { shape, look }: KrcView): Generator<VirtAddr, void, void> {
  const looks = look(k);
  for (const { slab, vmalloc, head } of places(looks)) {
    yield* slab;
    yield* vmalloc;
    for (const it of list(k, head)) {
      const { wrapper } = shape.objectOf(k, it);
      if (wrapper !== NULL) yield wrapper;
    }
  }
  for (const { spares } of looks) for (const spare of spares) if (spare !== NULL) yield spare;
}

/** What a level's ops say to leak verdicts and to the end of runs. @invented see KrcView */
export function lookOps(view: KrcView): Pick<KvfreeLevelOps, "pendingAddresses" | "busy"> & {
  ownAddresses(k: Kernel): Generator<VirtAddr, void, void>;
} {
  return {
    pendingAddresses: (k) => pendingObjects(k, view),
    ownAddresses: (k) => ownMemory(k, view),
    busy: (k) => anythingQueued(view.look(k)),
  };
}

function anythingQueued(looks: readonly KrcLook[]): boolean {
  for (const { slab, vmalloc, head } of places(looks)) {
    if (head !== NULL || slab.length > 0 || vmalloc.length > 0) return true;
  }
  return false;
}

function contentOf(k: Kernel, shape: KrcShape, { slab, vmalloc, head }: KrcPlace): KrcContent {
  const blocks = (chain: readonly VirtAddr[]): KrcBlock[] =>
    chain.map((addr) => ({ addr, nr_records: peek(k, (addr + shape.nr_records) as VirtAddr) }));
  return { slab: blocks(slab), vmalloc: blocks(vmalloc), list: [...list(k, head)] };
}

/** The objects of a place: those in blocks, newest block first, then those on the list. @invented see KrcState */
export function contentObjects(k: Kernel, shape: KrcShape, { slab, vmalloc, list }: KrcContent): VirtAddr[] {
  const objects: VirtAddr[] = [];
  for (const { addr } of [...slab, ...vmalloc]) objects.push(...records(k, shape, addr));
  for (const head of list) objects.push(shape.objectOf(k, head).object);
  return objects;
}

/** The state of each CPU, in their order. @invented see KrcState */
export function lookAtKrcs(k: Kernel, { shape, look }: KrcView): KrcState[] {
  return look(k).map((krc, cpu) => ({
    cpu,
    ...contentOf(k, shape, krc.collecting),
    initialized: krc.initialized,
    count: krc.count,
    monitor_todo: krc.monitor_todo,
    monitorPending: delayed_work_pending(krc.monitor_work),
    monitorExpires: krc.monitor_work.timer.expires,
    monitorWork: krc.monitor_work.work.addr,
    monitorTimer: krc.monitor_work.timer.addr,
    spares: krc.spares,
    batches: krc.batches.map(({ rcu_work, place }) => ({
      ...contentOf(k, shape, place),
      pending: work_pending(rcu_work.work),
      work: rcu_work.work.addr,
      head: rcu_work.rcu.addr,
    })),
    locked: krc.locked,
  }));
}
