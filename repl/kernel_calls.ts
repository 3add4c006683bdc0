// SPDX-License-Identifier: GPL-2.0-only
// Kernel functions in TypeScript lines: a call is carried out in a thread when it stands alone, is assigned or is awaited;
// inside a kernel function it is an ordinary `yield*`.
//
// Ours. A kernel function runs in a thread of the emulated machine and nowhere else. So the names that TypeScript sees
// do not call it: they make a `KernelCall`, which knows how to. `kmalloc(k, 100, GFP_KERNEL)` as a line runs it and
// shows the address; `const p = kmalloc(...)` keeps it; `run(function* (k) { ... yield* kmalloc(k, ...) ... })`
// carries out code of several calls in one thread. Invariant: making a call does nothing to the machine.

import type { Kernel } from "../kernel/kernel.ts";
import type { MaySleep } from "../kernel/machine/effects.ts";

/** Functions of mod.ts that are to be called with `yield*`; a test compares the list with their declarations. */
export const GENERATORS: readonly string[] = [
  "READ_ONCE",
  "WRITE_ONCE",
  "__get_free_page",
  "alloc_pages",
  "call_rcu",
  "cond_resched",
  "cond_synchronize_rcu",
  "cond_synchronize_rcu_full",
  "delete_module",
  "drop_slab",
  "free_page",
  "hrtimer_cancel",
  "hrtimer_start",
  "hrtimer_try_to_cancel",
  "kfree",
  "kfree_bulk",
  "kfree_rcu",
  "kfree_rcu_mightsleep",
  "kmalloc",
  "kmemleak_write",
  "kthread_bind",
  "kthread_create",
  "kthread_run",
  "kthread_stop",
  "kvfree",
  "kvfree_rcu",
  "kvfree_rcu_barrier",
  "kvfree_rcu_mightsleep",
  "kvmalloc",
  "kvzalloc",
  "kzalloc",
  "load_module",
  "local_bh_enable",
  "msleep",
  "mutex_lock",
  "mutex_trylock",
  "mutex_unlock",
  "rcu_access_pointer",
  "rcu_assign_pointer",
  "rcu_barrier",
  "rcu_dereference",
  "rcu_read_lock",
  "rcu_read_unlock",
  "rcu_replace_pointer",
  "schedule",
  "schedule_timeout_interruptible",
  "schedule_timeout_uninterruptible",
  "smp_load_acquire",
  "smp_store_release",
  "spin_lock",
  "spin_lock_irqsave",
  "start_poll_synchronize_rcu",
  "start_poll_synchronize_rcu_full",
  "synchronize_rcu",
  "udelay",
  "user_mode",
  "vfree",
  "vmalloc",
  "vzalloc",
  "wait_for_completion",
];

/** A call that has not happened yet. */
export class KernelCall<T> implements PromiseLike<T> {
  /** What the thread will be called. */
  readonly name: string;
  /** `yield*` in a kernel function: calls it here. Not a method, so that it has no name in a call trace. */
  readonly [Symbol.iterator]!: () => MaySleep<T>;
  private readonly carryOut: (call: KernelCall<T>) => Promise<T>;

  constructor(name: string, call: () => MaySleep<T>, carryOut: (call: KernelCall<T>) => Promise<T>) {
    this.name = name;
    this[Symbol.iterator] = call;
    this.carryOut = carryOut;
  }

  /** `await` outside of one: calls it in a thread of its own. */
  then<A = T, B = never>(
    resolve?: ((value: T) => A | PromiseLike<A>) | null,
    reject?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.carryOut(this).then(resolve, reject);
  }
}

function isCall(value: unknown): value is KernelCall<unknown> {
  return value instanceof KernelCall;
}

type KernelFunction = (...args: unknown[]) => MaySleep<unknown>;

/** Calls `fn` after those of its arguments that are calls themselves: `kfree(k, kmalloc(k, 8, GFP_KERNEL))`. */
function* inTurn(fn: KernelFunction, args: readonly unknown[]): MaySleep<unknown> {
  const values: unknown[] = [];
  for (const arg of args) values.push(arg instanceof KernelCall ? yield* arg : arg);
  return yield* fn(...values);
}

/** The library's names as TypeScript lines see them, and `run`. */
export function kernelNames(
  library: Readonly<Record<string, unknown>>,
  kernel: () => Kernel,
  carryOut: <T>(call: KernelCall<T>) => Promise<T>,
): Record<string, unknown> {
  const names: Record<string, unknown> = { ...library };
  for (const name of GENERATORS) {
    const fn = library[name] as KernelFunction;
    const later = (...args: unknown[]): KernelCall<unknown> =>
      new KernelCall(name, () => args.some(isCall) ? inTurn(fn, args) : fn(...args), carryOut);
    Object.defineProperty(later, "name", { value: name }); // the kernel shows the names of callbacks
    names[name] = later;
  }
  names.run = (fn: unknown): KernelCall<unknown> => {
    if (typeof fn !== "function") {
      throw new TypeError("run: a kernel function is needed: run(function* (k) { ... })");
    }
    return new KernelCall(fn.name || "typescript", () => fn(kernel()) as MaySleep<unknown>, carryOut);
  };
  return names;
}
