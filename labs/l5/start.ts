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

/** A quiescent state: what was queued before may run. Context: any, also with interrupts off. */
export function* rcu_qs(_m: Tiny): Atomic<void> {
}

/** Queues `head` until after the next quiescent state. Context: any. */
export function* call_rcu(_m: Tiny, _head: number, _func: number): Atomic<void> {
}

/** The softirq: runs callbacks that may run. Context: softirq; interrupts are on. */
export function* rcu_process_callbacks(_m: Tiny): Atomic<void> {
}

/** Waits for a grace period. Context: process context, not in a reader; otherwise reported. */
export function* synchronize_rcu(_m: Tiny): MaySleep<void> {
}

/** Waits until every callback queued before has run. Context: process context. */
export function* rcu_barrier(_m: Tiny): MaySleep<void> {
}

// student]

// [student KVFREE

/**
 * Frees an object after a grace period, in batches. With a head, `func` says where the object is (see your variant);
 * context: any. Headless (`head` is NULL), `func` is the object; context: process context, otherwise reported.
 */
export function* kvfree_call_rcu(_m: Tiny, head: number, _func: number): MaySleep<void> {
  if (head === NULL) return;
}

/** The monitor, `drain` ticks after the first pointer of a batch. Context: process context. */
export function* kvfree_rcu_monitor(_m: Tiny): Atomic<void> {
}

/** A grace period after queue_rcu_work(slot). Context: process context. */
export function* kvfree_rcu_work(_m: Tiny, _slot: number): Atomic<void> {
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

export function answers(_variant: TinyVariant): Answers {
  return { Q1: -1, Q2: -1, Q3: -1, Q4: -1 };
}

export function hunt(_variant: TinyVariant): readonly Witness[] {
  return [];
}

// student]
