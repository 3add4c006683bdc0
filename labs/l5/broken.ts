// SPDX-License-Identifier: GPL-2.0-only
/**
 * The broken machines of lab L5's hunt, by number, and the proper one (0): the specification with one mistake each.
 *
 * They keep what waits in arrays of TypeScript, where no interrupt comes in between, so they say what tiny RCU has to do
 * and not how: the lab asks for memory. Invariant: number 0 keeps every property in every variant.
 *
 * @module
 */

import type { Atomic, MaySleep } from "../../kernel/machine/effects.ts";
import type { TinyCode } from "./code.ts";
import type { Tiny } from "./start.ts";

/** How many broken machines there are: 1 ... this. */
export const BROKEN_MACHINES = 12;

/** A head and its function, or the object to be freed. */
interface Entry {
  readonly head: number;
  readonly func: number;
}

/** A block and the pointers that it would hold. */
interface Block {
  readonly at: number;
  readonly objects: number[];
}

class Model implements TinyCode {
  private waiting: Entry[] = [];
  private ready: Entry[] = [];
  private chain: Block[] = [];
  private spare: number[] = [];
  private readonly slots: (Block[] | undefined)[] = [];
  private armed = false;
  private inSoftirq = false;

  constructor(private readonly broken: number) {}

  *rcu_qs(m: Tiny): Atomic<void> {
    if (this.waiting.length === 0) return;
    const { order } = m.variant;
    const newest = this.broken === 1 ? order === "fifo" : order === "lifo";
    const now = this.broken === 2 ? this.waiting.slice(0, 3) : this.waiting;
    this.waiting = [];
    this.ready.push(...(newest ? now.reverse() : now));
    m.raise_softirq();
  }

  *call_rcu(m: Tiny, head: number, func: number): Atomic<void> {
    const entry = { head, func };
    if (this.broken === 7 && this.inSoftirq) return;
    if (this.broken === 8 && this.waiting.length === 4) this.waiting.push(entry);
    if (this.broken === 3 && this.inSoftirq) {
      this.ready.push(entry);
      m.raise_softirq();
    } else this.waiting.push(entry);
  }

  *rcu_process_callbacks(m: Tiny): Atomic<void> {
    const { limit } = m.variant;
    const most = this.broken === 5 ? (limit === 0 ? 5 : limit + 1) : limit === 0 ? Infinity : limit;
    const now = this.ready.splice(0, most);
    if (this.ready.length > 0) m.raise_softirq();
    this.inSoftirq = true;
    for (const { head, func } of now) {
      if (m.is_function(func)) yield* m.invoke(head, func);
      else yield* this.release(m, func);
    }
    this.inSoftirq = false;
  }

  *synchronize_rcu(m: Tiny): MaySleep<void> {
    if (this.broken !== 6) m.might_sleep();
  }

  *rcu_barrier(m: Tiny): MaySleep<void> {
    if (this.broken === 4 && this.ready.length === 0) return yield* this.synchronize_rcu(m);
    for (let i = m.variant.order === "fifo" ? 1 : 2; i > 0; i--) {
      const head = m.init_waiter();
      yield* this.call_rcu(m, head, m.wakeme_after_rcu);
      yield* m.wait_for_completion(head);
    }
  }

  private *release(m: Tiny, object: number): Atomic<void> {
    m.debug_rcu_head_unqueue(object);
    yield* m.kvfree(object);
  }

  *kvfree_call_rcu(m: Tiny, head: number, func: number): MaySleep<void> {
    if (head === 0 && this.broken !== 11) m.might_sleep();
    const { func: how, capacity, drain } = m.variant;
    const object = head === 0 || how === "object" ? func : head - (how === "words" ? 8 * func : func);
    if (!m.debug_rcu_head_queue(object)) return;
    let block = this.chain.at(-1);
    if (block === undefined || block.objects.length >= capacity) {
      const at = this.spare.pop() ?? (yield* m.alloc_block());
      if (at === 0) return yield* this.withoutBlock(m, head, object);
      block = { at, objects: [] };
      this.chain.push(block);
    }
    block.objects.push(object);
    if (this.armed) return;
    this.armed = true;
    yield* m.schedule_monitor(drain);
  }

  private withoutBlock(m: Tiny, head: number, object: number): MaySleep<void> {
    return head !== 0 ? this.call_rcu(m, head, object) : this.release(m, object);
  }

  *kvfree_rcu_monitor(m: Tiny): Atomic<void> {
    let slot = 0;
    while (slot < m.variant.slots && this.slots[slot] !== undefined) slot++;
    if (slot === m.variant.slots) {
      if (this.broken === 10) this.chain = [];
      return yield* m.schedule_monitor(m.variant.drain);
    }
    this.slots[slot] = this.chain;
    this.chain = [];
    this.armed = false;
    yield* m.queue_rcu_work(slot);
  }

  *kvfree_rcu_work(m: Tiny, slot: number): Atomic<void> {
    const blocks = this.slots[slot] ?? [];
    this.slots[slot] = undefined;
    const keep = this.broken === 9 && blocks.length > 2 ? 2 : m.variant.spare;
    for (const { at, objects } of blocks) {
      for (const object of objects) {
        const wrong = this.broken === 12 && objects.length === m.variant.capacity;
        yield* this.release(m, wrong ? objects[0] : object);
      }
      if (this.spare.length < keep) this.spare.push(at);
      else yield* m.free_block(at);
    }
  }
}

/** A machine by its number. */
export function machineOf(broken: number): TinyCode {
  return new Model(broken);
}
