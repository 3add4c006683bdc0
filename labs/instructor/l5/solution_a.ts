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

// As in Linux: one list, cut by two tails. A tail is the address of a `next`; 0 stands for the list's own first word.
const LIST = 0;
const DONETAIL = 8;
const CURTAIL = 16;

function* tailAt(m: Tiny, word: number): Atomic<number> {
  const tail = yield* m.load(m.ctrl + word);
  return tail === 0 ? m.ctrl + LIST : tail;
}

/** A quiescent state: what was queued before may run. Context: any, also with interrupts off. */
export function* rcu_qs(m: Tiny): Atomic<void> {
  const flags = m.local_irq_save();
  const tail = yield* tailAt(m, CURTAIL);
  if ((yield* tailAt(m, DONETAIL)) !== tail) {
    yield* m.store(m.ctrl + DONETAIL, tail);
    m.raise_softirq();
  }
  m.local_irq_restore(flags);
}

/** Queues `head` until after the next quiescent state. Context: any. */
export function* call_rcu(m: Tiny, head: number, func: number): Atomic<void> {
  yield* m.store(head + HEAD.func, func);
  const flags = m.local_irq_save();
  const curtail = yield* tailAt(m, CURTAIL);
  const donetail = yield* tailAt(m, DONETAIL);
  const at = m.variant.order === "fifo" ? curtail : donetail;
  yield* m.store(head + HEAD.next, yield* m.load(at));
  yield* m.store(at, head);
  if (at === curtail) yield* m.store(m.ctrl + CURTAIL, head + HEAD.next);
  m.local_irq_restore(flags);
}

/** The softirq: runs callbacks that may run. Context: softirq; interrupts are on. */
export function* rcu_process_callbacks(m: Tiny): Atomic<void> {
  let list = yield* takeReady(m);
  while (list !== NULL) {
    const next = yield* m.load(list + HEAD.next);
    const func = yield* m.load(list + HEAD.func);
    if (m.is_function(func)) yield* m.invoke(list, func);
    else yield* release(m, func);
    list = next;
  }
}

function* takeReady(m: Tiny): Atomic<number> {
  const { limit } = m.variant;
  const flags = m.local_irq_save();
  const donetail = yield* tailAt(m, DONETAIL);
  let list: number = NULL;
  if (donetail !== m.ctrl + LIST) {
    let cut = limit === 0 ? donetail : m.ctrl + LIST;
    for (let i = 0; i < limit && cut !== donetail; i++) cut = yield* m.load(cut);
    list = yield* m.load(m.ctrl + LIST);
    yield* m.store(m.ctrl + LIST, yield* m.load(cut));
    yield* m.store(cut, NULL);
    if (cut === donetail) {
      if ((yield* tailAt(m, CURTAIL)) === cut) yield* m.store(m.ctrl + CURTAIL, 0);
      yield* m.store(m.ctrl + DONETAIL, 0);
    } else m.raise_softirq();
  }
  m.local_irq_restore(flags);
  return list;
}

/** Waits for a grace period. Context: process context, not in a reader; otherwise reported. */
export function* synchronize_rcu(m: Tiny): MaySleep<void> {
  m.might_sleep();
  if (m.rcu_read_lock_held()) m.WARN_ONCE("Illegal synchronize_rcu() in RCU read-side critical section");
}

/** Waits until every callback queued before has run. Context: process context. */
export function* rcu_barrier(m: Tiny): MaySleep<void> {
  // Newest first: the first waiter runs before the others of its batch, one of the next batch after them all.
  for (let i = m.variant.order === "fifo" ? 1 : 2; i > 0; i--) {
    const head = m.init_waiter();
    yield* call_rcu(m, head, m.wakeme_after_rcu);
    yield* m.wait_for_completion(head);
  }
}

// student]

// [student KVFREE

const CHAIN = 24;
const ARMED = 32;
const SPARE = 40;
const SLOTS = 48;

function objectOf(m: Tiny, head: number, func: number): number {
  if (head === NULL || m.variant.func === "object") return func;
  return head - (m.variant.func === "words" ? 8 * func : func);
}

function* release(m: Tiny, object: number): Atomic<void> {
  m.debug_rcu_head_unqueue(object);
  yield* m.kvfree(object);
}

/** Adds the object to the chain of blocks. False when there is no memory. Context: interrupts off. */
function* add(m: Tiny, object: number): Atomic<boolean> {
  let block = yield* m.load(m.ctrl + CHAIN);
  let nr = block === NULL ? m.variant.capacity : yield* m.load(block);
  if (nr === m.variant.capacity) {
    const older = block;
    block = yield* m.load(m.ctrl + SPARE);
    if (block !== NULL) yield* m.store(m.ctrl + SPARE, NULL);
    else block = yield* m.alloc_block();
    if (block === NULL) return false;
    nr = 0;
    yield* m.store(block + 8, older);
    yield* m.store(m.ctrl + CHAIN, block);
  }
  yield* m.store(block + 16 + 8 * nr, object);
  yield* m.store(block, nr + 1);
  return true;
}

/**
 * Frees an object after a grace period, in batches. With a head, `func` says where the object is (see your variant);
 * context: any. Headless (`head` is NULL), `func` is the object; context: process context, otherwise reported.
 */
export function* kvfree_call_rcu(m: Tiny, head: number, func: number): MaySleep<void> {
  if (head === NULL) m.might_sleep();
  const object = objectOf(m, head, func);
  if (!m.debug_rcu_head_queue(object)) return;
  const flags = m.local_irq_save();
  const added = yield* add(m, object);
  if (added && (yield* m.load(m.ctrl + ARMED)) === 0) {
    yield* m.store(m.ctrl + ARMED, 1);
    yield* m.schedule_monitor(m.variant.drain);
  }
  m.local_irq_restore(flags);
  if (added) return;
  if (head !== NULL) {
    yield* call_rcu(m, head, object);
  } else {
    yield* synchronize_rcu(m);
    yield* release(m, object);
  }
}

/** The monitor, `drain` ticks after the first pointer of a batch. Context: process context. */
export function* kvfree_rcu_monitor(m: Tiny): Atomic<void> {
  const flags = m.local_irq_save();
  let slot = 0;
  while (slot < m.variant.slots && (yield* m.load(m.ctrl + SLOTS + 8 * slot)) !== NULL) slot++;
  if (slot < m.variant.slots) {
    yield* m.store(m.ctrl + SLOTS + 8 * slot, yield* m.load(m.ctrl + CHAIN));
    yield* m.store(m.ctrl + CHAIN, NULL);
    yield* m.store(m.ctrl + ARMED, 0);
    yield* m.queue_rcu_work(slot);
  } else yield* m.schedule_monitor(m.variant.drain);
  m.local_irq_restore(flags);
}

/** A grace period after queue_rcu_work(slot). Context: process context. */
export function* kvfree_rcu_work(m: Tiny, slot: number): Atomic<void> {
  let block = yield* m.load(m.ctrl + SLOTS + 8 * slot);
  yield* m.store(m.ctrl + SLOTS + 8 * slot, NULL);
  while (block !== NULL) {
    const older = yield* m.load(block + 8);
    const nr = yield* m.load(block);
    for (let i = 0; i < nr; i++) yield* release(m, yield* m.load(block + 16 + 8 * i));
    const flags = m.local_irq_save();
    const keep = m.variant.spare > 0 && (yield* m.load(m.ctrl + SPARE)) === NULL;
    if (keep) yield* m.store(m.ctrl + SPARE, block);
    m.local_irq_restore(flags);
    if (!keep) yield* m.free_block(block);
    block = older;
  }
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
    Q4: v.order === "fifo" ? 7 : 6,
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
