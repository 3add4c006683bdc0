// SPDX-License-Identifier: GPL-2.0-only
/**
 * Lab L5: tiny RCU. Write the marked regions; what is outside of them stays as it is.
 *
 * Your functions get `m`: the control block, memory, and what tiny RCU asks of the rest of the kernel. What waits for a
 * grace period has to hang in memory, from the control block on; a variable of TypeScript is gone when the function
 * returns. Every load and store is a place where an interrupt may come in, unless interrupts are off.
 *
 * @module
 */

import { type Atomic, type MaySleep, NULL } from "quiesce";

/** By this the shell knows what `run l5.ts` has to do. */
export const lab = "l5";

/** What is different in your variant. */
export interface TinyVariant {
  /** Of the callbacks that the same quiescent state lets run: oldest first, or newest first. */
  readonly order: "fifo" | "lifo";
  /** Most callbacks of one softirq; 0: no limit. */
  readonly limit: number;
  /** Batches of kvfree_rcu() that may wait for their grace period at a time: slots 0 ... slots - 1. */
  readonly slots: number;
  /** Pointers in one block. */
  readonly capacity: number;
  /** Ticks from the first pointer of a batch to the monitor. */
  readonly drain: number;
  /** Blocks kept for later when nothing waits any more: exactly so many once one was used. */
  readonly spare: number;
  /** What kvfree_call_rcu() gets with a head: the head's offset in bytes, in words of 8 bytes, or the object. */
  readonly func: "bytes" | "words" | "object";
}

/** The machine, as far as you may use it. Addresses are numbers; NULL is 0. */
export interface Tiny {
  readonly variant: TinyVariant;
  /** Address of the control block: 16 words of 8 bytes, 0 at boot. */
  readonly ctrl: number;
  /** Reads the word at an address. An interrupt may come in before. */
  load(addr: number): Atomic<number>;
  /** Writes the word at an address. An interrupt may come in before. */
  store(addr: number, value: number): Atomic<void>;
  /** Turns interrupts off. Returns what they were, for local_irq_restore(). */
  local_irq_save(): boolean;
  local_irq_restore(flags: boolean): void;

  /** Has rcu_process_callbacks() called: in the next softirq, or by ksoftirqd. */
  raise_softirq(): void;
  /** Whether a `func` is the address of a function. */
  is_function(func: number): boolean;
  /** Calls the callback: `func` with `head`. The head is the callback's from then on. */
  invoke(head: number, func: number): Atomic<void>;
  /** Makes a head on the stack; its callback function is `wakeme_after_rcu`. */
  init_waiter(): number;
  readonly wakeme_after_rcu: number;
  /** Sleeps until that callback has run; the head is gone then. */
  wait_for_completion(head: number): MaySleep<void>;

  /** Whether the caller is between rcu_read_lock() and rcu_read_unlock(). */
  rcu_read_lock_held(): boolean;
  /** Reports a caller that must not sleep, but goes on. */
  might_sleep(): void;
  /** Reports `text`, once. */
  WARN_ONCE(text: string): void;

  /** Memory for a block: 2 words of your own and the pointers. NULL when there is none. Not cleared. */
  alloc_block(): Atomic<number>;
  free_block(block: number): Atomic<void>;
  /** Frees an object. */
  kvfree(object: number): Atomic<void>;
  /** Has kvfree_rcu_monitor() called in so many ticks, unless it is due already. */
  schedule_monitor(ticks: number): Atomic<void>;
  /** Has kvfree_rcu_work(m, slot) called after a grace period. It asks call_rcu() for it. */
  queue_rcu_work(slot: number): Atomic<void>;
  /** Notes that an object waits. False, and a report, when it does already. */
  debug_rcu_head_queue(object: number): boolean;
  /** Notes that it waits no more. */
  debug_rcu_head_unqueue(object: number): void;
}

/** Where a head has its two words: the next callback, and the function. */
export const HEAD = { next: 0, func: 8 } as const;

// [student RCU

// Two lists of their own, each with its first and last head, and a number that counts quiescent states. The waiting list
// is moved lazily: by the next who looks after the number has changed.
const READY = 0;
const WAITING = 16;
const NUMBER = 32;
const QUEUED_AT = 40;

/** Appends the waiting list to the ready one if a quiescent state has passed. Context: interrupts off. */
function* moveReady(m: Tiny): Atomic<void> {
  const first = yield* m.load(m.ctrl + WAITING);
  if (first === NULL || (yield* m.load(m.ctrl + QUEUED_AT)) === (yield* m.load(m.ctrl + NUMBER))) return;
  const last = yield* m.load(m.ctrl + READY + 8);
  yield* m.store(last === NULL ? m.ctrl + READY : last + HEAD.next, first);
  yield* m.store(m.ctrl + READY + 8, yield* m.load(m.ctrl + WAITING + 8));
  yield* m.store(m.ctrl + WAITING, NULL);
}

/** A quiescent state: what was queued before may run. Context: any, also with interrupts off. */
export function* rcu_qs(m: Tiny): Atomic<void> {
  const flags = m.local_irq_save();
  if ((yield* m.load(m.ctrl + WAITING)) !== NULL) {
    yield* m.store(m.ctrl + NUMBER, (yield* m.load(m.ctrl + NUMBER)) + 1);
    m.raise_softirq();
  }
  m.local_irq_restore(flags);
}

/** Queues `head` until after the next quiescent state. Context: any. */
export function* call_rcu(m: Tiny, head: number, func: number): Atomic<void> {
  yield* m.store(head + HEAD.func, func);
  const flags = m.local_irq_save();
  yield* moveReady(m);
  const first = yield* m.load(m.ctrl + WAITING);
  const lifo = m.variant.order === "lifo";
  yield* m.store(head + HEAD.next, lifo ? first : NULL);
  if (first === NULL) yield* m.store(m.ctrl + QUEUED_AT, yield* m.load(m.ctrl + NUMBER));
  if (first === NULL || lifo) yield* m.store(m.ctrl + WAITING, head);
  else yield* m.store((yield* m.load(m.ctrl + WAITING + 8)) + HEAD.next, head);
  if (first === NULL || !lifo) yield* m.store(m.ctrl + WAITING + 8, head);
  m.local_irq_restore(flags);
}

/** The first ready callback, taken off its list; NULL when there is none. */
function* pop(m: Tiny): Atomic<number> {
  const flags = m.local_irq_save();
  yield* moveReady(m);
  const head = yield* m.load(m.ctrl + READY);
  if (head !== NULL) {
    const next = yield* m.load(head + HEAD.next);
    yield* m.store(m.ctrl + READY, next);
    if (next === NULL) yield* m.store(m.ctrl + READY + 8, NULL);
  }
  m.local_irq_restore(flags);
  return head;
}

/** The softirq: runs callbacks that may run. Context: softirq; interrupts are on. */
export function* rcu_process_callbacks(m: Tiny): Atomic<void> {
  const { limit } = m.variant;
  for (let ran = 0; limit === 0 || ran < limit; ran++) {
    const head = yield* pop(m);
    if (head === NULL) return;
    const func = yield* m.load(head + HEAD.func);
    if (m.is_function(func)) yield* m.invoke(head, func);
    else yield* free(m, func);
  }
  if ((yield* m.load(m.ctrl + READY)) !== NULL) m.raise_softirq();
}

/** Waits for a grace period. Context: process context, not in a reader; otherwise reported. */
export function* synchronize_rcu(m: Tiny): MaySleep<void> {
  if (m.rcu_read_lock_held()) m.WARN_ONCE("synchronize_rcu() in a reader would wait for itself");
  else m.might_sleep();
}

/** Waits until every callback queued before has run. Context: process context. */
export function* rcu_barrier(m: Tiny): MaySleep<void> {
  yield* wait(m);
  if (m.variant.order === "lifo") yield* wait(m);
}

function* wait(m: Tiny): MaySleep<void> {
  const head = m.init_waiter();
  yield* call_rcu(m, head, m.wakeme_after_rcu);
  yield* m.wait_for_completion(head);
}

// student]

// [student KVFREE

// Blocks hang in the order in which they were filled, oldest first; word 0 of a block is its next, word 1 its number of
// pointers.
const OLDEST = 48;
const YOUNGEST = 56;
const SPARE = 64;
const TIMER = 72;
const BUSY = 80;

function* free(m: Tiny, object: number): Atomic<void> {
  m.debug_rcu_head_unqueue(object);
  yield* m.kvfree(object);
}

/** A block at the young end of the chain; NULL when there is no memory. Context: interrupts off. */
function* newBlock(m: Tiny): Atomic<number> {
  let block = yield* m.load(m.ctrl + SPARE);
  if (block === NULL) block = yield* m.alloc_block();
  else yield* m.store(m.ctrl + SPARE, NULL);
  if (block === NULL) return NULL;
  yield* m.store(block, NULL);
  yield* m.store(block + 8, 0);
  const last = yield* m.load(m.ctrl + YOUNGEST);
  yield* m.store(last === NULL ? m.ctrl + OLDEST : last, block);
  yield* m.store(m.ctrl + YOUNGEST, block);
  return block;
}

function* collect(m: Tiny, object: number): Atomic<boolean> {
  const flags = m.local_irq_save();
  let block = yield* m.load(m.ctrl + YOUNGEST);
  let count = 0;
  if (block !== NULL) count = yield* m.load(block + 8);
  if (block === NULL || count === m.variant.capacity) {
    block = yield* newBlock(m);
    count = 0;
  }
  if (block !== NULL) {
    yield* m.store(block + 16 + 8 * count, object);
    yield* m.store(block + 8, count + 1);
    if ((yield* m.load(m.ctrl + TIMER)) === 0) {
      yield* m.store(m.ctrl + TIMER, 1);
      yield* m.schedule_monitor(m.variant.drain);
    }
  }
  m.local_irq_restore(flags);
  return block !== NULL;
}

/**
 * Frees an object after a grace period, in batches. With a head, `func` says where the object is (see your variant);
 * context: any. Headless (`head` is NULL), `func` is the object; context: process context, otherwise reported.
 */
export function* kvfree_call_rcu(m: Tiny, head: number, func: number): MaySleep<void> {
  let object = func;
  if (head === NULL) m.might_sleep();
  else if (m.variant.func === "bytes") object = head - func;
  else if (m.variant.func === "words") object = head - 8 * func;
  if (!m.debug_rcu_head_queue(object)) return;
  if (yield* collect(m, object)) return;
  if (head !== NULL) return yield* call_rcu(m, head, object);
  yield* synchronize_rcu(m);
  yield* free(m, object);
}

/** The monitor, `drain` ticks after the first pointer of a batch. Context: process context. */
export function* kvfree_rcu_monitor(m: Tiny): Atomic<void> {
  const flags = m.local_irq_save();
  let slot = m.variant.slots - 1;
  while (slot >= 0 && (yield* m.load(m.ctrl + BUSY + 8 * slot)) !== NULL) slot--;
  if (slot < 0) {
    yield* m.schedule_monitor(m.variant.drain);
    m.local_irq_restore(flags);
    return;
  }
  yield* m.store(m.ctrl + BUSY + 8 * slot, yield* m.load(m.ctrl + OLDEST));
  for (const word of [OLDEST, YOUNGEST, TIMER]) yield* m.store(m.ctrl + word, NULL);
  m.local_irq_restore(flags);
  yield* m.queue_rcu_work(slot);
}

/** A grace period after queue_rcu_work(slot). Context: process context. */
export function* kvfree_rcu_work(m: Tiny, slot: number): Atomic<void> {
  let block = yield* m.load(m.ctrl + BUSY + 8 * slot);
  yield* m.store(m.ctrl + BUSY + 8 * slot, NULL);
  while (block !== NULL) {
    const next = yield* m.load(block);
    const count = yield* m.load(block + 8);
    for (let i = count - 1; i >= 0; i--) yield* free(m, yield* m.load(block + 16 + 8 * i));
    yield* discard(m, block);
    block = next;
  }
}

/** Keeps a block for later, or frees it. */
function* discard(m: Tiny, block: number): Atomic<void> {
  const flags = m.local_irq_save();
  const spare = yield* m.load(m.ctrl + SPARE);
  if (m.variant.spare === 1 && spare === NULL) yield* m.store(m.ctrl + SPARE, block);
  m.local_irq_restore(flags);
  if (m.variant.spare !== 1 || spare !== NULL) yield* m.free_block(block);
}

// student]

/** Your predictions; the hand-out asks the questions. */
export interface Answers {
  readonly Q1: number;
  readonly Q2: number;
  readonly Q3: number;
  readonly Q4: number;
}

/** A program that shows what is wrong with a broken machine: options of labs/l5/hunt.ts, or a token of such a run. */
export interface Witness {
  /** Its number; `lab start` says which three are yours. */
  readonly broken: number;
  /** The property that it breaks: S1 ... S6, L1, F1 ... F4, A1. */
  readonly property: string;
  /** Either this ... */
  readonly token?: string;
  /** ... or these: `call,sleep`. */
  readonly task?: string;
  readonly irq?: string;
  readonly slow?: number;
}

// [student ANSWERS

export function answers(v: TinyVariant): Answers {
  return {
    Q1: v.limit === 0 ? 7 : v.limit,
    Q2: v.order === "fifo" ? 3 : 4,
    Q3: 4, // the third program alone
    Q4: v.order === "fifo" ? 9 : 7,
  };
}

function repeat(n: number, step: string): string {
  return Array.from({ length: n }, () => step).join(",");
}

export function hunt(v: TinyVariant): readonly Witness[] {
  const batch = `head,${repeat(v.drain + 2, "sleep")}`;
  return [
    { broken: 1, property: "S3", task: "call,call,sleep" },
    { broken: 2, property: "L1", task: "call,call,call,call,sleep" },
    { broken: 3, property: "S2", task: "again,user,user" },
    { broken: 4, property: "S6", task: "call,barrier" },
    { broken: 5, property: "S4", task: `${repeat(6, "call")},sleep` },
    { broken: 6, property: "S5", task: "lock,sync,unlock" },
    { broken: 7, property: "L1", task: "again,sleep" },
    { broken: 8, property: "S3", task: `${repeat(5, "call")},sleep` },
    { broken: 9, property: "A1", task: repeat(2 * v.capacity + 1, "headless") },
    { broken: 10, property: "F4", task: `${v.slots === 2 ? `${batch},` : ""}${batch},head`, slow: 60 },
    { broken: 11, property: "F2", task: "atomic" },
    { broken: 12, property: "F1", task: repeat(v.capacity, "headless") },
  ];
}

// student]
