// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of kernel/locking/lockdep.ts: what a task holds, how it is printed, and what is said about locks that are released
 * or kept wrongly.
 *
 * The formats are those of print_lock(), lockdep_print_held_locks() and the reports of kernel/locking/lockdep.c (5.7); the
 * characters of usage and the wait types as its comments explain them: `+` taken with interrupts on, `-` in an interrupt, `?`
 * both; {2:2} spins, {3:3} sleeps, {1:2} is RCU.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { type Atomic, doneVoid, type MaySleep } from "../../../kernel/machine/effects.ts";
import { VECTOR_DEVICE } from "../../../kernel/machine/cpu.ts";
import { debug_locks } from "../../../kernel/bug.ts";
import { deviceHandler, udelay, user_mode } from "../../../kernel/entry.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import {
  LD_WAIT_INV,
  LD_WAIT_SPIN,
  lock_acquire,
  lock_is_held,
  lock_is_held_type,
  lock_release,
  lockdep_depth,
  lockdep_map,
  lockdep_print_held_locks,
  MAX_LOCK_DEPTH,
} from "../../../kernel/locking/lockdep.ts";
import { mutex, mutex_lock, mutex_trylock, mutex_unlock } from "../../../kernel/locking/mutex.ts";
import {
  down_read_trylock,
  down_write,
  rw_semaphore,
  up_read,
  up_write,
} from "../../../kernel/locking/rwsem.ts";
import {
  raw_spinlock_t,
  spin_lock,
  spin_lock_irq,
  spin_lock_irqsave,
  spin_trylock,
  spin_unlock,
  spin_unlock_irq,
  spin_unlock_irqrestore,
} from "../../../kernel/locking/spinlock.ts";
import { cond_resched, current, wake_up_process } from "../../../kernel/sched/core.ts";
import { INIT_WORK, queue_work, system_wq, work_struct } from "../../../kernel/workqueue.ts";
import { rcu_read_lock, rcu_read_unlock } from "../../../rcu/rcupdate.ts";
import { boot, runToEnd } from "../../../mod.ts";
import { runCleanly } from "../../machines.ts";
import { booted, type Code, newThread, reportsOf, runOn0 } from "../booted.ts";

/** The locks of the current task, without the made-up addresses. */
function held(k: Kernel): string[] {
  return lockdep_print_held_locks(current(k)).map((line) => line.replace(/ffffffff[0-9a-f]{8}/, "ADDR"));
}

Deno.test("locks are listed outermost first, with their usage, wait types, and who took them", () => {
  const k = boot({ rcu: "tree", cpus: 1 });
  let lines: string[] = [];
  function* takes_a_spinlock(k: Kernel, lock: raw_spinlock_t): Atomic<void> {
    yield* spin_lock(k, lock);
  }
  function* holder(k: Kernel): MaySleep<void> {
    const [m, sem, s] = [
      new mutex("some_mutex"),
      new rw_semaphore("some_sem"),
      new raw_spinlock_t("some_lock"),
    ];
    yield* mutex_lock(k, m);
    yield* down_read_trylock(k, sem);
    yield* rcu_read_lock(k);
    yield* takes_a_spinlock(k, s);
    lines = held(k);
    spin_unlock(k, s);
    yield* rcu_read_unlock(k);
    up_read(k, sem);
    mutex_unlock(k, m);
    assertEquals(lockdep_depth(k, current(k)), 0);
  }
  runCleanly(k, holder);
  const pid = /held by test\/(\d+):/.exec(lines[0])?.[1];
  assertEquals(lines, [
    `4 locks held by test/${pid}:`,
    " #0: ADDR (some_mutex){+.+.}-{3:3}, at: holder",
    " #1: ADDR (some_sem){.+.+}-{3:3}, at: holder",
    " #2: ADDR (rcu_read_lock){....}-{1:2}, at: holder",
    " #3: ADDR (some_lock){+.+.}-{2:2}, at: takes_a_spinlock",
  ]);
});

Deno.test("one lock is not called locks, and none is said to be none", () => {
  const k = booted();
  const seen: string[] = [];
  runOn0(k, function* (k) {
    const lock = new raw_spinlock_t("lock");
    seen.push(held(k)[0]);
    yield* spin_lock_irq(k, lock);
    seen.push(held(k)[0], held(k)[1]);
    spin_unlock_irq(k, lock);
  });
  assertMatch(seen[0], /^no locks held by main\/\d+\.$/);
  assertMatch(seen[1], /^1 lock held by main\/\d+:$/);
  assertMatch(
    seen[2],
    /^ #0: ADDR \(lock\)\{\.\.\.\.\}-\{2:2\}, at: /,
    "only ever taken with interrupts off",
  );
});

Deno.test("usage tells of the contexts that a class was taken in, whichever lock of it", () => {
  const k = booted();
  const seen: string[] = [];
  const usage = (k: Kernel): string => /\{[.+?-]{4}\}/.exec(held(k)[1])?.[0] ?? "";
  deviceHandler.set(k, function* (k): Atomic<void> {
    const lock = new raw_spinlock_t("class");
    yield* spin_lock(k, lock);
    spin_unlock(k, lock);
  });
  runOn0(k, function* (k) {
    const lock = new raw_spinlock_t("class");
    const flags = yield* spin_lock_irqsave(k, lock);
    seen.push(usage(k));
    spin_unlock_irqrestore(k, lock, flags);
    k.sendIpi(k.cpu, VECTOR_DEVICE);
    yield* udelay(k, 10);
    const again = yield* spin_lock_irqsave(k, lock);
    seen.push(usage(k));
    spin_unlock_irqrestore(k, lock, again);
    assert(yield* spin_trylock(k, lock)); // tried, with interrupts on: enabled, not used
    seen.push(usage(k));
    spin_unlock(k, lock);
  });
  assertEquals(seen, ["{....}", "{-...}", "{?.+.}"]);
});

Deno.test("locks are released in any order, and asked for by name; a failed attempt holds nothing", () => {
  const k = booted({ cpus: 2 });
  runOn0(k, function* (k) {
    const [a, b, c] = ["a", "b", "c"].map((name) => new raw_spinlock_t(name));
    for (const lock of [a, b, c]) yield* spin_lock(k, lock);
    spin_unlock(k, a);
    assertEquals(held(k).map((line) => /\((\w)\)/.exec(line)?.[1] ?? ""), ["", "b", "c"]);
    assertEquals([a, b, c].map((lock) => lock_is_held(k, lock.dep_map)), [false, true, true]);
    spin_unlock(k, b);
    spin_unlock(k, c);
    const m = new mutex("m");
    assertEquals(yield* mutex_trylock(k, m), true);
    assertEquals(yield* mutex_trylock(k, m), false);
    assertEquals(lockdep_depth(k, current(k)), 1);
    mutex_unlock(k, m);
    const sem = new rw_semaphore("sem");
    yield* down_write(k, sem);
    assertEquals(yield* down_read_trylock(k, sem), false);
    assertEquals([-1, 0, 1].map((read) => lock_is_held_type(k, sem.dep_map, read)), [true, true, false]);
    up_write(k, sem);
    assertEquals(lockdep_depth(k, current(k)), 0);
  });
});

Deno.test("who waits for a lock shows it too", () => {
  const k = booted({ cpus: 2 });
  const lock = new raw_spinlock_t("busy");
  let lines: string[] = [];
  runOn0(k, function* (k) {
    const waiter = yield* newThread(k, "waiter", function* (k) {
      yield* spin_lock(k, lock);
      spin_unlock(k, lock);
    }, { cpu: 1 });
    yield* spin_lock(k, lock);
    wake_up_process(k, waiter);
    deviceHandler.set(k, function* (k): Atomic<void> {
      if (k.cpu.id === 1) lines = held(k);
      yield* doneVoid();
    });
    while (lock.waiters.length === 0) yield* udelay(k, 1);
    k.sendIpi(k.cpus[1], VECTOR_DEVICE);
    yield* udelay(k, 20);
    spin_unlock(k, lock);
    yield* udelay(k, 20);
  });
  assertMatch(lines[1], /^ #0: ADDR \(busy\)/);
});

/** Runs `main` as "main" on CPU 0; the reports, in any case one. */
function reported(k: Kernel, main: Code): readonly string[] {
  const { ending } = runToEnd(k, "main", main);
  assertEquals([ending, k.reports.length], ["completed", 1], reportsOf(k));
  return k.reports[0].lines.map((line) => line.replace(/ffffffff[0-9a-f]{8}/, "ADDR"));
}

Deno.test("releasing what is not held: the report of 5.7, once; then lock debugging is silent", () => {
  const k = booted();
  let pid = 0;
  const lines = reported(k, function* lets_go(k) {
    pid = current(k).pid;
    const [m, lock] = [new mutex("kept"), new mutex("strange")];
    yield* mutex_lock(k, m);
    mutex_unlock(k, lock);
    mutex_unlock(k, lock);
    assertEquals(debug_locks(k), false);
  });
  assertEquals(lines.slice(0, 14), [
    "",
    "=====================================",
    "WARNING: bad unlock balance detected!",
    "5.7.0-quiesce #1 Not tainted",
    "-------------------------------------",
    `main/${pid} is trying to release lock (strange) at:`,
    "lets_go",
    "but there are no more locks to release!",
    "",
    "other info that might help us debug this:",
    `1 lock held by main/${pid}:`,
    " #0: ADDR (kept){+.+.}-{3:3}, at: lets_go",
    "",
    "stack backtrace:",
  ]);
});

Deno.test("an interrupt cannot release what it did not take, unless it was taken last", () => {
  const k = booted();
  const [below, top] = [new lockdep_map("below", LD_WAIT_INV, LD_WAIT_SPIN), new lockdep_map("top", 0, 2)];
  const lines = reported(k, function* (k) {
    lock_acquire(k, below, false, 0, true);
    deviceHandler.set(k, function* (k): Atomic<void> {
      lock_acquire(k, top, false, 0, true);
      lock_release(k, below);
      lock_release(k, top);
      yield* doneVoid();
    });
    k.sendIpi(k.cpu, VECTOR_DEVICE);
    yield* udelay(k, 10);
    current(k).lockdep_depth = 0;
  });
  assertMatch(lines[5], /is trying to release lock \(below\) at:$/);
});

Deno.test("a task that ends with a lock is reported with it, and nothing else is wrong", () => {
  const lines = reported(booted(), function* keeper(k) {
    yield* mutex_lock(k, new mutex("kept"));
  });
  assertMatch(lines[2], /^WARNING: main\/\d+ still has locks held!$/);
  assertEquals([lines[1], lines[4]], ["=".repeat(36), "-".repeat(36)]);
  assertMatch(lines[5], /^1 lock held by main\/\d+:$/);
  assertEquals(lines.slice(6, 9), [" #0: ADDR (kept){+.+.}-{3:3}, at: keeper", "", "stack backtrace:"]);
});

Deno.test("a work item that keeps a lock is reported with its function", () => {
  const lines = reported(booted(), function* (k) {
    const work = new work_struct();
    INIT_WORK(k, work, leaky_work);
    yield* queue_work(k, system_wq(k), work);
    yield* udelay(k, 10);
    yield* cond_resched(k);
  });
  assertMatch(lines[0], /^BUG: workqueue leaked lock or atomic: kworker\/0:\d\/0x00000000\/\d+$/);
  assertEquals(lines[1], "     last function: leaky_work");
  assertEquals(lines[3], " #0: ADDR (kept){+.+.}-{3:3}, at: leaky_work");
});

function* leaky_work(k: Kernel): MaySleep<void> {
  yield* mutex_lock(k, new mutex("kept"));
}

Deno.test("a lock that goes along to user mode is reported", () => {
  const lines = reported(booted(), function* (k) {
    yield* mutex_lock(k, new mutex("kept"));
    yield* user_mode(k, 100);
  });
  assertEquals(lines.slice(1, 5), [
    "=".repeat(48),
    "WARNING: lock held when returning to user space!",
    "5.7.0-quiesce #1 Not tainted",
    "-".repeat(48),
  ]);
  assertMatch(lines[5], /^main\/\d+ is leaving the kernel with locks still held!$/);
});

Deno.test("the forty-eighth lock is one too many", () => {
  const lines = reported(booted(), function* (k) {
    const maps = Array.from({ length: MAX_LOCK_DEPTH + 2 }, (_, i) => new lockdep_map(`lock${i}`, 0, 2));
    for (const map of maps) lock_acquire(k, map, false, 0, true);
    current(k).lockdep_depth = 0;
    yield* doneVoid();
  });
  assertEquals(lines.slice(0, 3), [
    "BUG: MAX_LOCK_DEPTH too low!",
    "turning off the locking correctness validator.",
    "depth: 48  max: 48!",
  ]);
  assertMatch(lines[3], /^48 locks held by main\/\d+:$/);
});

Deno.test("where a lock was taken is kept for the first acquisitions of its class", () => {
  runOn0(booted(), function* takes_many(k) {
    const lock = new raw_spinlock_t("often");
    const places: string[] = [];
    for (let i = 0; i < 60; i++) {
      yield* spin_lock(k, lock);
      places.push(/at: (\w+)$/.exec(held(k)[1])?.[1] ?? "");
      spin_unlock(k, lock);
    }
    assertEquals(places, [...new Array(50).fill("takes_many"), ...new Array(10).fill("0x0")]);
  });
});

Deno.test("without debugging nothing is kept and nothing is said", () => {
  const k = booted({ debug: false });
  runOn0(k, function* (k) {
    const m = new mutex("m");
    yield* mutex_lock(k, m);
    yield* spin_lock(k, new raw_spinlock_t("s"));
    assertEquals([current(k).lockdep_depth, current(k).held_locks.length], [0, 0]);
    k.cpu.preempt_count--;
  });
});
