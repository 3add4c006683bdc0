// SPDX-License-Identifier: GPL-2.0-only
/**
 * The quarantine: freed objects wait here before their memory is used again. Mirrors mm/kasan/quarantine.c (v5.7).
 *
 * Each CPU has a queue; what grows beyond 1 MiB goes to a global FIFO of batches, and allocations that may sleep free the
 * oldest batch while all batches together hold more than a 32nd of RAM less the CPUs' share. Queues are linked through
 * the freed objects themselves: a write after free can destroy the link, and the kernel then falls over it here.
 *
 * Invariant: an object is on one queue exactly from kasan_slab_free() to ___cache_free(). What quarantine_lock protects
 * in C is plain code here, indivisible, so the lock is never seen held and is left out.
 *
 * @module
 */

import { NULL, PAGE_OFFSET, PAGE_SHIFT, PAGE_SIZE, VMEMMAP_START } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { type Atomic, doneVoid, type MaySleep, STEP } from "../../kernel/machine/effects.ts";
import { POINT_NAMED, pt } from "../../kernel/machine/points.ts";
import { BUG, page_fault_oops } from "../../kernel/bug.ts";
import { num_online_cpus } from "../../kernel/cpumask.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { cond_resched } from "../../kernel/sched/core.ts";
import { on_each_cpu } from "../../kernel/smp.ts";
import {
  DEFINE_PER_CPU,
  KERNEL_STATIC,
  per_cpu_ptr,
  type StaticKey,
  this_cpu_ptr,
} from "../../kernel/static.ts";
import { schedule_timeout_uninterruptible } from "../../kernel/time/timer.ts";
import { compound_head, mem_map, virt_to_page } from "../mm_types.ts";
import { _totalram_pages } from "../page_alloc.ts";
import { cacheTable, type kmem_cache, kmem_cache_kasan_layout } from "../slab.ts";
import { ___cache_free } from "../slub.ts";
import { kasan_free_meta, qlist_node } from "./kasan.ts";

/** Objects in the order in which they came, and how large they are together. @mirrors mm/kasan/quarantine.c:qlist_head */
class qlist_head {
  head: VirtAddr = NULL;
  tail: VirtAddr = NULL;
  bytes = 0;
}

/** RAM offset of the link at `qlink`, which an overwritten one may not have. */
function linkAt(k: Kernel, qlink: VirtAddr): number {
  const phys = qlink - PAGE_OFFSET;
  if (!(phys >= 0 && phys < k.ram.size)) page_fault_oops(k, qlink, false);
  return phys + qlist_node.offsetof("next");
}

function nextLink(k: Kernel, qlink: VirtAddr): VirtAddr {
  return k.ram.rawLoadPtr(linkAt(k, qlink));
}

/** @mirrors mm/kasan/quarantine.c:qlist_empty */
function qlist_empty(q: qlist_head): boolean {
  return q.head === NULL;
}

/** @mirrors mm/kasan/quarantine.c:qlist_init */
function qlist_init(q: qlist_head): void {
  q.head = q.tail = NULL;
  q.bytes = 0;
}

/** @mirrors mm/kasan/quarantine.c:qlist_put */
function qlist_put(k: Kernel, q: qlist_head, qlink: VirtAddr, size: number): void {
  if (qlist_empty(q)) q.head = qlink;
  else k.ram.rawStorePtr(linkAt(k, q.tail), qlink);
  q.tail = qlink;
  k.ram.rawStorePtr(linkAt(k, qlink), NULL);
  q.bytes += size;
}

/** @mirrors mm/kasan/quarantine.c:qlist_move_all */
function qlist_move_all(k: Kernel, from: qlist_head, to: qlist_head): void {
  if (qlist_empty(from)) return;
  if (qlist_empty(to)) to.head = from.head;
  else k.ram.rawStorePtr(linkAt(k, to.tail), from.head);
  to.tail = from.tail;
  to.bytes += from.bytes;
  qlist_init(from);
}

/** Bytes that a CPU's queue may hold. @mirrors mm/kasan/quarantine.c:QUARANTINE_PERCPU_SIZE */
export const QUARANTINE_PERCPU_SIZE: number = 2 ** 20;

/** @mirrors mm/kasan/quarantine.c:QUARANTINE_BATCHES */
export function QUARANTINE_BATCHES(k: Kernel): number {
  return Math.max(1024, 4 * k.config.nrCpus);
}

const cpu_quarantine = DEFINE_PER_CPU("cpu_quarantine", () => new qlist_head());

/** The batches, used in turn. */
const global_quarantine = KERNEL_STATIC(
  "global_quarantine",
  (k) => Array.from({ length: QUARANTINE_BATCHES(k) }, () => new qlist_head()),
);
/** The oldest batch, and the one that is being filled. */
const quarantine_head = KERNEL_STATIC<number>("quarantine_head", () => 0);
const quarantine_tail = KERNEL_STATIC<number>("quarantine_tail", () => 0);
/** Bytes in all batches, and how many there may be. */
const quarantine_size = KERNEL_STATIC<number>("quarantine_size", () => 0);
const quarantine_max_size = KERNEL_STATIC<number>("quarantine_max_size", () => 0);
/** Bytes from which on a batch is full. */
const quarantine_batch_size = KERNEL_STATIC<number>("quarantine_batch_size", () => 0);

/**
 * Who is freeing a batch, so that quarantine_remove_cache() can wait for them: each has a ticket. SRCU does it in C, where a
 * task that dies while it frees is waited for for ever; so it is here.
 */
class Reducers {
  next = 1;
  readonly running = new Set<number>();
}

const remove_cache_srcu = KERNEL_STATIC("remove_cache_srcu", () => new Reducers());

export const statics: readonly StaticKey[] = [
  cpu_quarantine,
  global_quarantine,
  quarantine_head,
  quarantine_tail,
  quarantine_size,
  quarantine_max_size,
  quarantine_batch_size,
  remove_cache_srcu,
];

/** Part of RAM that the quarantine may have. @mirrors mm/kasan/quarantine.c:QUARANTINE_FRACTION */
export const QUARANTINE_FRACTION = 32;

/** The cache of an object. Fails: a link that was overwritten faults, as in C. @mirrors mm/kasan/quarantine.c:qlink_to_cache */
function qlink_to_cache(k: Kernel, qlink: VirtAddr): kmem_cache {
  const phys = qlink - PAGE_OFFSET;
  if (!(phys >= 0 && phys < k.ram.size)) {
    page_fault_oops(k, VMEMMAP_START + Math.floor(phys / PAGE_SIZE) * 64 + 8, false);
  }
  const m = mem_map(k);
  const cache = cacheTable(k)[m.slab_cache[compound_head(m, virt_to_page(qlink))] - 1] ?? null;
  if (cache === null) page_fault_oops(k, kmem_cache_kasan_layout.offsetof("kasan_info") + 4, false);
  return cache;
}

/** @mirrors mm/kasan/quarantine.c:qlink_to_object */
function qlink_to_object(qlink: VirtAddr, cache: kmem_cache): VirtAddr {
  const free_info = qlink - kasan_free_meta.offsetof("quarantine_link");
  return (free_info - cache.kasan_info.free_meta_offset) as VirtAddr;
}

/** @mirrors mm/kasan/quarantine.c:qlink_free */
function qlink_free(k: Kernel, qlink: VirtAddr, cache: kmem_cache): Atomic<void> {
  return ___cache_free(k, cache, qlink_to_object(qlink, cache));
}

/** More objects than `q` can hold: its links go round in a circle. @invented C would walk it for ever */
function mostObjects(q: qlist_head): number {
  return Math.ceil(q.bytes / qlist_node.size);
}

/**
 * Gives every object of the queue back to its slab.
 *
 * Context: any. A point before each object.
 *
 * @mirrors mm/kasan/quarantine.c:qlist_free_all
 * @simplified a queue whose links were overwritten to form a circle is a BUG
 */
function* qlist_free_all(k: Kernel, q: qlist_head, cache: kmem_cache | null): Atomic<void> {
  let left = mostObjects(q);
  for (let qlink = q.head; qlink !== NULL;) {
    if (left-- === 0) BUG(k, "circle in the quarantine");
    const obj_cache = cache ?? qlink_to_cache(k, qlink);
    const next = nextLink(k, qlink);
    if (pt(k, POINT_NAMED, "qlink_free")) yield STEP;
    yield* qlink_free(k, qlink, obj_cache);
    qlink = next;
  }
  qlist_init(q);
}

/**
 * Puts a freed object on this CPU's queue, and the whole queue into the global quarantine when it has grown too long.
 *
 * Context: any.
 *
 * @mirrors mm/kasan/quarantine.c:quarantine_put
 */
export function quarantine_put(k: Kernel, info: VirtAddr, cache: kmem_cache): void {
  const q = this_cpu_ptr(k, cpu_quarantine);
  qlist_put(k, q, (info + kasan_free_meta.offsetof("quarantine_link")) as VirtAddr, cache.size);
  if (q.bytes <= QUARANTINE_PERCPU_SIZE) return;

  quarantine_size.set(k, quarantine_size(k) + q.bytes);
  const batches = global_quarantine(k);
  const batch = batches[quarantine_tail(k)];
  qlist_move_all(k, q, batch);
  if (batch.bytes < quarantine_batch_size(k)) return;
  const new_tail = (quarantine_tail(k) + 1) % batches.length;
  if (new_tail !== quarantine_head(k)) quarantine_tail.set(k, new_tail);
}

/**
 * Frees the oldest batch when the global quarantine holds more than it may.
 *
 * Context: any that an allocation which may sleep is made in.
 *
 * @mirrors mm/kasan/quarantine.c:quarantine_reduce
 */
export function quarantine_reduce(k: Kernel): Atomic<void> {
  return quarantine_size(k) <= quarantine_max_size(k) ? doneVoid() : reduce(k);
}

function* reduce(k: Kernel): Atomic<void> {
  const to_free = new qlist_head();
  const reducers = remove_cache_srcu(k);
  const ticket = reducers.next++;
  reducers.running.add(ticket);

  // CPUs come and go: the limits are reckoned anew each time.
  const total_size = Math.floor((_totalram_pages(k) * 2 ** PAGE_SHIFT) / QUARANTINE_FRACTION);
  const percpu_quarantines = QUARANTINE_PERCPU_SIZE * num_online_cpus(k);
  quarantine_max_size.set(k, Math.max(0, total_size - percpu_quarantines));
  // Half of the batches are to do.
  const batches = global_quarantine(k);
  quarantine_batch_size.set(
    k,
    Math.max(QUARANTINE_PERCPU_SIZE, Math.floor((2 * total_size) / batches.length)),
  );
  if (quarantine_size(k) > quarantine_max_size(k)) {
    qlist_move_all(k, batches[quarantine_head(k)], to_free);
    quarantine_size.set(k, quarantine_size(k) - to_free.bytes);
    quarantine_head.set(k, (quarantine_head(k) + 1) % batches.length);
  }

  yield* qlist_free_all(k, to_free, null);
  reducers.running.delete(ticket);
}

/** @mirrors mm/kasan/quarantine.c:qlist_move_cache @simplified as qlist_free_all() */
function qlist_move_cache(k: Kernel, from: qlist_head, to: qlist_head, cache: kmem_cache): void {
  let left = mostObjects(from);
  let curr = from.head;
  qlist_init(from);
  while (curr !== NULL) {
    if (left-- === 0) BUG(k, "circle in the quarantine");
    const next = nextLink(k, curr);
    const obj_cache = qlink_to_cache(k, curr);
    qlist_put(k, obj_cache === cache ? to : from, curr, obj_cache.size);
    curr = next;
  }
}

/** Context: on each CPU, interrupts off. @mirrors mm/kasan/quarantine.c:per_cpu_remove_cache */
function* per_cpu_remove_cache(k: Kernel, cache: kmem_cache): Atomic<void> {
  const to_free = new qlist_head();
  qlist_move_cache(k, this_cpu_ptr(k, cpu_quarantine), to_free, cache);
  yield* qlist_free_all(k, to_free, cache);
}

/**
 * Frees all objects of the cache that are in quarantine, on whatever queue.
 *
 * Context: process context, interrupts on. Sleeps: yes.
 *
 * @mirrors mm/kasan/quarantine.c:quarantine_remove_cache
 * @simplified no SRCU; see Reducers
 */
export function* quarantine_remove_cache(k: Kernel, cache: kmem_cache): MaySleep<void> {
  const to_free = new qlist_head();
  // Interrupts find every object on its CPU's queue or already in a batch, never between the two.
  yield* on_each_cpu(k, (k) => per_cpu_remove_cache(k, cache), true);
  for (const batch of global_quarantine(k)) {
    if (qlist_empty(batch)) continue;
    qlist_move_cache(k, batch, to_free, cache);
    // A whole quarantine is a long way.
    yield* cond_resched(k);
  }
  yield* qlist_free_all(k, to_free, cache);
  yield* waitForReducers(k);
}

/** Waits, looking once a jiffy, until everybody who is freeing a batch now is done. */
function* waitForReducers(k: Kernel): MaySleep<void> {
  const { next, running } = remove_cache_srcu(k);
  while ([...running].some((ticket) => ticket < next)) yield* schedule_timeout_uninterruptible(k, 1);
}

/** The links of a queue, as far as they can be followed; looking changes nothing. */
function* linksOf(k: Kernel, q: qlist_head): Generator<VirtAddr, void, void> {
  let left = mostObjects(q);
  for (let qlink = q.head; qlink !== NULL && left-- > 0;) {
    const phys = qlink - PAGE_OFFSET;
    if (!(phys >= 0 && phys < k.ram.size)) return;
    yield qlink;
    qlink = k.ram.rawLoadPtr(phys);
  }
}

/** What the quarantine holds. */
export interface Quarantined {
  readonly objects: ReadonlySet<VirtAddr>;
  /** Bytes on each CPU's queue, in all batches, and how many the batches may hold. */
  readonly perCpu: readonly number[];
  readonly global: number;
  readonly limit: number;
}

/** What the quarantine holds now; looking changes nothing. @invented for tests and for checks of the slabs */
export function quarantined(k: Kernel): Quarantined {
  const objects = new Set<VirtAddr>();
  const perCpu = k.cpus.map(({ id }) => per_cpu_ptr(k, cpu_quarantine, id));
  const m = mem_map(k);
  for (const q of [...global_quarantine(k), ...perCpu]) {
    for (const qlink of linksOf(k, q)) {
      const cache = cacheTable(k)[m.slab_cache[compound_head(m, virt_to_page(qlink))] - 1] ?? null;
      if (cache !== null) objects.add(qlink_to_object(qlink, cache));
    }
  }
  return {
    objects,
    perCpu: perCpu.map((q) => q.bytes),
    global: quarantine_size(k),
    limit: quarantine_max_size(k),
  };
}
