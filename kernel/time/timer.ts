// SPDX-License-Identifier: GPL-2.0-only
/**
 * The timer wheel and sleeping on it. Mirrors kernel/time/timer.c and include/linux/timer.h (v5.7).
 *
 * Each CPU has nine (up to HZ 100: eight) levels of 64 buckets; a level is eight times as coarse as the one below. A timer
 * goes into the bucket after its expiry and never moves down: at level 0 it runs one jiffy after `expires`, above that it
 * runs when its bucket's time comes, up to one granule later. Timers in one bucket run last in, first out.
 *
 * Invariant: a timer is pending exactly while it is linked into a vector (or into a list of expired timers that is being
 * worked off), and the vector's bit in pending_map is set while the vector has a timer.
 *
 * Left out: rounding (round_jiffies), hrtimers, debug objects, PREEMPT_RT's expiry lock, CPU hotplug. Timer migration is
 * on and NO_HZ is active from the start.
 *
 * @module
 */

import { NULL } from "../machine/addr.ts";
import type { VirtAddr } from "../machine/brand.ts";
import { type Atomic, done, doneVoid, type MaySleep, STEP } from "../machine/effects.ts";
import { POINT_DELAY, POINT_SOFTIRQ, pt } from "../machine/points.ts";
import { BUG_ON, WARN_ON, WARN_ON_ONCE, WARN_ONCE } from "../bug.ts";
import { cpu_online, for_each_online_cpu, for_each_possible_cpu } from "../cpumask.ts";
import { offStack, onStack } from "../fork.ts";
import { ksym } from "../kallsyms.ts";
import type { Kernel } from "../kernel.ts";
import {
  __hlist_del,
  hlist_add_head,
  hlist_empty,
  hlist_head,
  hlist_is_singular_node,
  hlist_move_list,
  hlist_node,
} from "../list.ts";
import {
  raw_spin_lock,
  raw_spin_lock_irq,
  raw_spin_unlock,
  raw_spin_unlock_irq,
  raw_spin_unlock_irqrestore,
  raw_spinlock_t,
} from "../locking/spinlock.ts";
import { in_irq, local_irq_save, preempt_count, smp_processor_id } from "../preempt.ts";
import { dumpStackLines, KERN_ERR, report } from "../printk.ts";
import {
  __set_current_state,
  current,
  idle_cpu,
  resched_cpu,
  schedule,
  wake_up_process,
} from "../sched/core.ts";
import {
  TASK_IDLE,
  TASK_INTERRUPTIBLE,
  TASK_RUNNING,
  type task_struct,
  TASK_UNINTERRUPTIBLE,
} from "../sched/sched.ts";
import { open_softirq, raise_softirq, TIMER_SOFTIRQ } from "../softirq.ts";
import { DEFINE_PER_CPU, per_cpu_ptr, type PerCpu, type StaticKey, this_cpu_ptr } from "../static.ts";
import {
  trace_timer_cancel,
  trace_timer_expire_entry,
  trace_timer_expire_exit,
  trace_timer_init,
  trace_timer_start,
} from "../trace/events/timer.ts";
import {
  jiffies,
  msecs_to_jiffies,
  time_after,
  time_after_eq,
  time_before,
  time_before_eq,
} from "./jiffies.ts";

// ---- include/linux/timer.h -----------------------------------------------------------------------------------------

export const TIMER_CPUMASK = 0x0003_ffff;
export const TIMER_MIGRATING = 0x0004_0000;
export const TIMER_BASEMASK: number = TIMER_CPUMASK | TIMER_MIGRATING;
export const TIMER_DEFERRABLE = 0x0008_0000;
export const TIMER_PINNED = 0x0010_0000;
export const TIMER_IRQSAFE = 0x0020_0000;
const TIMER_ARRAYSHIFT = 22;
const TIMER_ARRAYMASK = 0xffc0_0000;

/** sizeof(struct timer_list) on a 64-bit machine. */
export const TIMER_LIST_SIZE = 40;

/** What a timer calls: in softirq context, or with interrupts off when it is TIMER_IRQSAFE. */
export type timer_function_t = (k: Kernel, timer: timer_list) => Atomic<void>;

/** A timer. @mirrors include/linux/timer.h:timer_list */
export class timer_list {
  readonly entry: hlist_node<timer_list> = new hlist_node<timer_list>(this);
  expires = 0;
  function: timer_function_t | null = null;
  /** TIMER_* flags, the CPU of its base, and above TIMER_ARRAYSHIFT its bucket. */
  flags = 0;
  /** Its address, for %p. */
  addr: VirtAddr = NULL;

  /** `container` is the structure that the timer is embedded in; see from_timer(). */
  constructor(readonly container: object | null = null) {}
}

/**
 * Prepares a timer. `addr` is where it stands; without it, it takes a piece of .data.
 *
 * @mirrors include/linux/timer.h:timer_setup
 */
export function timer_setup(
  k: Kernel,
  timer: timer_list,
  callback: timer_function_t,
  flags: number,
  addr?: VirtAddr,
): void {
  timer.addr = addr ?? (timer.addr === NULL ? k.dataAlloc(TIMER_LIST_SIZE) : timer.addr);
  init_timer_key(k, timer, callback, flags);
}

/** The structure that the timer is embedded in. @mirrors include/linux/timer.h:from_timer */
export function from_timer<T extends object>(timer: timer_list): T {
  return timer.container as T;
}

/** Whether the timer is queued: it will run unless it is deleted. @mirrors include/linux/timer.h:timer_pending */
export function timer_pending(timer: timer_list): boolean {
  return timer.entry.pprev !== null;
}

// ---- kernel/time/timer.c -------------------------------------------------------------------------------------------

const LVL_CLK_SHIFT = 3;
const LVL_CLK_DIV = 1 << LVL_CLK_SHIFT;
const LVL_CLK_MASK = LVL_CLK_DIV - 1;
const LVL_BITS = 6;
const LVL_SIZE = 1 << LVL_BITS;
const LVL_MASK = LVL_SIZE - 1;
/** Farther than any timer. */
const NEXT_TIMER_MAX_DELTA = 2 ** 30 - 1;

function LVL_SHIFT(n: number): number {
  return n * LVL_CLK_SHIFT;
}

/** Jiffies per bucket of level `n`. @mirrors kernel/time/timer.c:LVL_GRAN */
export function LVL_GRAN(n: number): number {
  return 1 << LVL_SHIFT(n);
}

/** Delay from which on level `n` is used. @mirrors kernel/time/timer.c:LVL_START */
export function LVL_START(n: number): number {
  return (LVL_SIZE - 1) * 2 ** ((n - 1) * LVL_CLK_SHIFT);
}

/** Number of levels. @mirrors kernel/time/timer.c:LVL_DEPTH */
export function LVL_DEPTH(k: Kernel): number {
  return k.config.HZ > 100 ? 9 : 8;
}

function LVL_OFFS(n: number): number {
  return n * LVL_SIZE;
}

/** Where a deferrable timer goes, and all others. */
const BASE_STD = 0;
const BASE_DEF = 1;

/** The wheel of one CPU. @mirrors kernel/time/timer.c:timer_base */
export class timer_base {
  readonly lock: raw_spinlock_t = new raw_spinlock_t("timer_base->lock");
  running_timer: timer_list | null = null;
  /** The jiffy that is worked off next. */
  clk = 0;
  next_expiry = 0;
  /** The CPU sleeps without a tick: who adds a timer must wake it. */
  is_idle = false;
  must_forward_clk = false;
  readonly pending_map: Uint32Array;
  /** The buckets; one comes into being with its first timer. */
  readonly vectors: hlist_head<timer_list>[] = [];
  /** Lists of expired timers; C has them on the stack of __run_timers(). */
  readonly heads: readonly hlist_head<timer_list>[];

  constructor(readonly cpu: number, readonly depth: number) {
    this.pending_map = new Uint32Array(LVL_SIZE * depth / 32);
    this.heads = Array.from({ length: depth }, () => new hlist_head<timer_list>());
  }
}

const timer_bases: PerCpu<timer_base[]> = DEFINE_PER_CPU("timer_bases", (k, cpu) => [
  new timer_base(cpu, LVL_DEPTH(k)),
  new timer_base(cpu, LVL_DEPTH(k)),
]);

export const statics: readonly StaticKey[] = [timer_bases];

function timer_get_idx(timer: timer_list): number {
  return (timer.flags & TIMER_ARRAYMASK) >>> TIMER_ARRAYSHIFT;
}

function timer_set_idx(timer: timer_list, idx: number): void {
  timer.flags = (timer.flags & ~TIMER_ARRAYMASK) | (idx << TIMER_ARRAYSHIFT);
}

/** The bucket of level `lvl` that comes after `expires`. @mirrors kernel/time/timer.c:calc_index */
export function calc_index(expires: number, lvl: number): number {
  // 32 bits, as in C: no level looks at more.
  const at = (expires + LVL_GRAN(lvl)) >>> LVL_SHIFT(lvl);
  return LVL_OFFS(lvl) + (at & LVL_MASK);
}

/**
 * The bucket for a timer that is queued when the wheel stands at `clk`.
 *
 * @mirrors kernel/time/timer.c:calc_wheel_index
 */
export function calc_wheel_index(expires: number, clk: number, depth: number): number {
  const delta = expires - clk;
  if (delta < 0) return clk & LVL_MASK;
  for (let lvl = 0; lvl < depth - 1; lvl++) {
    if (delta < LVL_START(lvl + 1)) return calc_index(expires, lvl);
  }
  const cutoff = LVL_START(depth);
  const capped = delta >= cutoff ? clk + cutoff - LVL_GRAN(depth - 1) : expires;
  return calc_index(capped, depth - 1);
}

function set_bit(idx: number, map: Uint32Array): void {
  map[idx >>> 5] |= 1 << (idx & 31);
}

function clear_bit(idx: number, map: Uint32Array): void {
  map[idx >>> 5] &= ~(1 << (idx & 31));
}

function test_bit(idx: number, map: Uint32Array): boolean {
  return (map[idx >>> 5] & (1 << (idx & 31))) !== 0;
}

/** First set bit in [offset, size), or size. */
function find_next_bit(map: Uint32Array, size: number, offset: number): number {
  for (let at = offset; at < size;) {
    const word = map[at >>> 5] >>> (at & 31);
    if (word !== 0) return Math.min(size, at + 31 - Math.clz32(word & -word));
    at = (at | 31) + 1;
  }
  return size;
}

function enqueue_timer(k: Kernel, base: timer_base, timer: timer_list, idx: number): void {
  base.vectors[idx] ??= new hlist_head<timer_list>();
  hlist_add_head(timer.entry, base.vectors[idx]);
  set_bit(idx, base.pending_map);
  timer_set_idx(timer, idx);
  trace_timer_start(k, timer.addr, functionAddr(k, timer), timer.expires, jiffies(k), timer.flags);
}

function functionAddr(k: Kernel, timer: timer_list): number {
  return timer.function === null ? NULL : ksym(k, timer.function);
}

function __internal_add_timer(k: Kernel, base: timer_base, timer: timer_list): void {
  enqueue_timer(k, base, timer, calc_wheel_index(timer.expires, base.clk, base.depth));
}

function trigger_dyntick_cpu(k: Kernel, base: timer_base, timer: timer_list): void {
  if ((timer.flags & TIMER_DEFERRABLE) !== 0) return;
  // The CPU of the base sleeps without a tick: if this is its first timer, it must look again.
  if (!base.is_idle) return;
  if (time_after_eq(timer.expires, base.next_expiry)) return;
  // Never before clk: forward_timer_base() must not turn the wheel back.
  base.next_expiry = time_before(timer.expires, base.clk) ? base.clk : timer.expires;
  wake_up_nohz_cpu(k, base.cpu);
}

function internal_add_timer(k: Kernel, base: timer_base, timer: timer_list): void {
  __internal_add_timer(k, base, timer);
  trigger_dyntick_cpu(k, base, timer);
}

/** @mirrors kernel/time/timer.c:init_timer_key */
export function init_timer_key(
  k: Kernel,
  timer: timer_list,
  func: timer_function_t,
  flags: number,
): void {
  trace_timer_init(k, timer.addr);
  timer.entry.pprev = null;
  timer.function = func;
  timer.flags = flags | smp_processor_id(k);
}

function detach_timer(k: Kernel, timer: timer_list, clear_pending: boolean): void {
  trace_timer_cancel(k, timer.addr);
  __hlist_del(timer.entry);
  if (clear_pending) timer.entry.pprev = null;
  timer.entry.next = null;
}

function detach_if_pending(k: Kernel, timer: timer_list, base: timer_base, clear_pending: boolean): boolean {
  if (!timer_pending(timer)) return false;
  const idx = timer_get_idx(timer);
  if (hlist_is_singular_node(timer.entry, base.vectors[idx])) clear_bit(idx, base.pending_map);
  detach_timer(k, timer, clear_pending);
  return true;
}

function get_timer_cpu_base(k: Kernel, tflags: number, cpu: number): timer_base {
  return per_cpu_ptr(k, timer_bases, cpu)[(tflags & TIMER_DEFERRABLE) !== 0 ? BASE_DEF : BASE_STD];
}

function get_timer_base(k: Kernel, tflags: number): timer_base {
  return get_timer_cpu_base(k, tflags, tflags & TIMER_CPUMASK);
}

/** An idle CPU gives its timers to a busy one, so that it can sleep. */
function get_target_base(k: Kernel, tflags: number): timer_base {
  const cpu = (tflags & TIMER_PINNED) !== 0 ? smp_processor_id(k) : get_nohz_timer_target(k);
  return get_timer_cpu_base(k, tflags, cpu);
}

/**
 * The CPU for a new timer: this one unless it is idle, then the first that is not.
 *
 * @mirrors kernel/sched/core.c:get_nohz_timer_target
 * @simplified no scheduling domains, no housekeeping mask
 */
export function get_nohz_timer_target(k: Kernel): number {
  const cpu = smp_processor_id(k);
  if (!idle_cpu(k, cpu)) return cpu;
  for (const i of for_each_online_cpu(k)) if (i !== cpu && !idle_cpu(k, i)) return i;
  return cpu;
}

/** Makes a sleeping CPU look at its timers again. @mirrors kernel/sched/core.c:wake_up_nohz_cpu */
function wake_up_nohz_cpu(k: Kernel, cpu: number): void {
  if (cpu !== smp_processor_id(k)) resched_cpu(k, cpu);
}

function forward_timer_base(k: Kernel, base: timer_base): void {
  // Only a base that is idle, or was until now, lags behind; otherwise __run_timers() moves it.
  if (!base.must_forward_clk) return;
  const jnow = jiffies(k);
  base.must_forward_clk = base.is_idle;
  if (jnow - base.clk < 2) return;
  if (time_after(base.next_expiry, jnow)) {
    base.clk = jnow;
    return;
  }
  if (WARN_ON_ONCE(k, time_before(base.next_expiry, base.clk), "next_expiry")) return;
  base.clk = base.next_expiry;
}

/** Locks the base of a timer that may move to another CPU meanwhile; interrupts are off already. */
function* lock_timer_base(k: Kernel, timer: timer_list): Atomic<timer_base> {
  for (;;) {
    const tf = timer.flags;
    if ((tf & TIMER_MIGRATING) === 0) {
      const base = get_timer_base(k, tf);
      yield* raw_spin_lock(k, base.lock);
      if (timer.flags === tf) return base;
      raw_spin_unlock(k, base.lock);
    }
    if (pt(k, POINT_DELAY, "cpu_relax")) yield STEP;
  }
}

const MOD_TIMER_PENDING_ONLY = 0x01;
const MOD_TIMER_REDUCE = 0x02;
const MOD_TIMER_NOTPENDING = 0x04;

/** @mirrors kernel/time/timer.c:__mod_timer */
function* __mod_timer(k: Kernel, timer: timer_list, expires: number, options: number): Atomic<boolean> {
  BUG_ON(k, timer.function === null);
  let idx = -1;
  let clk = 0;
  const looksPending = (options & MOD_TIMER_NOTPENDING) === 0 && timer_pending(timer);
  if (looksPending) {
    const diff = timer.expires - expires;
    if (diff === 0) return true;
    if ((options & MOD_TIMER_REDUCE) !== 0 && diff <= 0) return true;
  }
  const flags = local_irq_save(k);
  let base = yield* lock_timer_base(k, timer);
  forward_timer_base(k, base);
  if (looksPending) {
    if (
      timer_pending(timer) && (options & MOD_TIMER_REDUCE) !== 0 && time_before_eq(timer.expires, expires)
    ) {
      raw_spin_unlock_irqrestore(k, base.lock, flags);
      return true;
    }
    // The same bucket as before: nothing moves.
    clk = base.clk;
    idx = calc_wheel_index(expires, clk, base.depth);
    if (idx === timer_get_idx(timer)) {
      if ((options & MOD_TIMER_REDUCE) === 0 || time_after(timer.expires, expires)) timer.expires = expires;
      raw_spin_unlock_irqrestore(k, base.lock, flags);
      return true;
    }
  }

  const ret = detach_if_pending(k, timer, base, false);
  if (!ret && (options & MOD_TIMER_PENDING_ONLY) !== 0) {
    raw_spin_unlock_irqrestore(k, base.lock, flags);
    return ret;
  }
  const new_base = get_target_base(k, timer.flags);
  // A timer that runs stays where it is, so that del_timer_sync() sees it running.
  if (base !== new_base && base.running_timer !== timer) {
    timer.flags |= TIMER_MIGRATING;
    raw_spin_unlock(k, base.lock);
    base = new_base;
    yield* raw_spin_lock(k, base.lock);
    timer.flags = (timer.flags & ~TIMER_BASEMASK) | base.cpu;
    forward_timer_base(k, base);
  }
  timer.expires = expires;
  if (idx >= 0 && clk === base.clk) {
    enqueue_timer(k, base, timer, idx);
    trigger_dyntick_cpu(k, base, timer);
  } else internal_add_timer(k, base, timer);
  raw_spin_unlock_irqrestore(k, base.lock, flags);
  return ret;
}

/** mod_timer() for a timer that is pending; one that is not stays as it is. @mirrors kernel/time/timer.c:mod_timer_pending */
export function mod_timer_pending(k: Kernel, timer: timer_list, expires: number): Atomic<boolean> {
  return __mod_timer(k, timer, expires, MOD_TIMER_PENDING_ONLY);
}

/**
 * Sets the timer to `expires`, whether it is pending or not. Returns whether it was.
 *
 * Context: any. Units: jiffies, absolute.
 *
 * @mirrors kernel/time/timer.c:mod_timer
 */
export function mod_timer(k: Kernel, timer: timer_list, expires: number): Atomic<boolean> {
  return __mod_timer(k, timer, expires, 0);
}

/** mod_timer() that never makes a pending timer later. @mirrors kernel/time/timer.c:timer_reduce */
export function timer_reduce(k: Kernel, timer: timer_list, expires: number): Atomic<boolean> {
  return __mod_timer(k, timer, expires, MOD_TIMER_REDUCE);
}

/** Starts a timer whose `expires` is set; it must not be pending. @mirrors kernel/time/timer.c:add_timer */
export function* add_timer(k: Kernel, timer: timer_list): Atomic<void> {
  BUG_ON(k, timer_pending(timer));
  yield* __mod_timer(k, timer, timer.expires, MOD_TIMER_NOTPENDING);
}

/** add_timer() on a given CPU. @mirrors kernel/time/timer.c:add_timer_on */
export function* add_timer_on(k: Kernel, timer: timer_list, cpu: number): Atomic<void> {
  BUG_ON(k, timer_pending(timer) || timer.function === null);
  const new_base = get_timer_cpu_base(k, timer.flags, cpu);
  const flags = local_irq_save(k);
  let base = yield* lock_timer_base(k, timer);
  if (base !== new_base) {
    timer.flags |= TIMER_MIGRATING;
    raw_spin_unlock(k, base.lock);
    base = new_base;
    yield* raw_spin_lock(k, base.lock);
    timer.flags = (timer.flags & ~TIMER_BASEMASK) | cpu;
  }
  forward_timer_base(k, base);
  internal_add_timer(k, base, timer);
  raw_spin_unlock_irqrestore(k, base.lock, flags);
}

/**
 * Stops a timer. Returns whether it was pending. Its function may still be running on another CPU.
 *
 * @mirrors kernel/time/timer.c:del_timer
 */
export function del_timer(k: Kernel, timer: timer_list): Atomic<boolean> {
  return timer_pending(timer) ? del_timer_slow(k, timer) : done(false);
}

function* del_timer_slow(k: Kernel, timer: timer_list): Atomic<boolean> {
  const flags = local_irq_save(k);
  const base = yield* lock_timer_base(k, timer);
  const ret = detach_if_pending(k, timer, base, true);
  raw_spin_unlock_irqrestore(k, base.lock, flags);
  return ret;
}

/**
 * Stops a timer unless its function runs just now, then -1. Returns 1 when it was pending, 0 when not.
 *
 * @mirrors kernel/time/timer.c:try_to_del_timer_sync
 */
export function* try_to_del_timer_sync(k: Kernel, timer: timer_list): Atomic<number> {
  let ret = -1;
  const flags = local_irq_save(k);
  const base = yield* lock_timer_base(k, timer);
  if (base.running_timer !== timer) ret = detach_if_pending(k, timer, base, true) ? 1 : 0;
  raw_spin_unlock_irqrestore(k, base.lock, flags);
  return ret;
}

/**
 * Stops a timer and waits until its function does not run any more. Returns whether it was pending.
 *
 * Context: not from a hard interrupt unless the timer is TIMER_IRQSAFE, not under a lock that its function takes. It spins.
 *
 * @mirrors kernel/time/timer.c:del_timer_sync
 */
export function* del_timer_sync(k: Kernel, timer: timer_list): Atomic<boolean> {
  WARN_ON(k, in_irq(k) && (timer.flags & TIMER_IRQSAFE) === 0);
  for (;;) {
    const ret = yield* try_to_del_timer_sync(k, timer);
    if (ret >= 0) return ret !== 0;
    if (pt(k, POINT_DELAY, "cpu_relax")) yield STEP;
  }
}

function* call_timer_fn(
  k: Kernel,
  timer: timer_list,
  fn: timer_function_t,
  baseclk: number,
): Atomic<void> {
  const count = preempt_count(k);
  trace_timer_expire_entry(k, timer.addr, jiffies(k), functionAddr(k, timer), baseclk);
  const { addr } = timer;
  yield* fn(k, timer);
  trace_timer_expire_exit(k, addr);
  if (count !== preempt_count(k)) {
    const hex = (n: number): string => n.toString(16).padStart(8, "0");
    const text = `timer: ${fn.name} preempt leak: ${hex(count)} -> ${hex(preempt_count(k))}`;
    WARN_ONCE(k, true, text, fn.name);
    k.cpu.preempt_count = count;
  }
}

/** Runs the timers of one list. Points: before a function that runs with interrupts on, and the lock after each. */
function* expire_timers(k: Kernel, base: timer_base, head: hlist_head<timer_list>): Atomic<void> {
  const baseclk = base.clk - 1;
  while (!hlist_empty(head)) {
    const timer = (head.first as hlist_node<timer_list>).owner;
    base.running_timer = timer;
    detach_timer(k, timer, true);
    const fn = timer.function as timer_function_t;
    if ((timer.flags & TIMER_IRQSAFE) !== 0) {
      raw_spin_unlock(k, base.lock);
      yield* call_timer_fn(k, timer, fn, baseclk);
      base.running_timer = null;
      yield* raw_spin_lock(k, base.lock);
    } else {
      raw_spin_unlock_irq(k, base.lock);
      if (pt(k, POINT_SOFTIRQ, fn)) yield STEP;
      yield* call_timer_fn(k, timer, fn, baseclk);
      base.running_timer = null;
      yield* raw_spin_lock_irq(k, base.lock);
    }
  }
}

function __collect_expired_timers(base: timer_base, heads: readonly hlist_head<timer_list>[]): number {
  let clk = base.clk;
  let levels = 0;
  for (let i = 0; i < base.depth; i++) {
    const idx = (clk & LVL_MASK) + i * LVL_SIZE;
    if (test_bit(idx, base.pending_map)) {
      clear_bit(idx, base.pending_map);
      hlist_move_list(base.vectors[idx], heads[levels++]);
    }
    // The next level's turn comes only when this one wraps.
    if ((clk & LVL_CLK_MASK) !== 0) break;
    clk /= LVL_CLK_DIV;
  }
  return levels;
}

/** Distance from bucket `clk` of the level at `offset` to its next pending one, or -1. */
function next_pending_bucket(base: timer_base, offset: number, clk: number): number {
  const start = offset + clk;
  const end = offset + LVL_SIZE;
  let pos = find_next_bit(base.pending_map, end, start);
  if (pos < end) return pos - start;
  pos = find_next_bit(base.pending_map, start, offset);
  return pos < start ? pos + LVL_SIZE - start : -1;
}

/** The jiffy at which the next bucket is due, NEXT_TIMER_MAX_DELTA ahead when none is. */
function __next_timer_interrupt(base: timer_base): number {
  let next = base.clk + NEXT_TIMER_MAX_DELTA;
  let clk = base.clk;
  for (let lvl = 0; lvl < base.depth; lvl++) {
    const pos = next_pending_bucket(base, LVL_OFFS(lvl), clk & LVL_MASK);
    if (pos >= 0) {
      const tmp = (clk + pos) * LVL_GRAN(lvl);
      if (time_before(tmp, next)) next = tmp;
    }
    // A level that is under way expires next at its next bucket, not at the current one.
    const adj = (clk & LVL_CLK_MASK) !== 0 ? 1 : 0;
    clk = Math.floor(clk / LVL_CLK_DIV) + adj;
  }
  return next;
}

/**
 * The jiffy at which this CPU's next timer is due, Infinity when it has none; and marks the base idle if that is more than
 * a tick away.
 *
 * Context: idle task, interrupts off. Units: jiffies; a timer that is due already gives `basej`.
 *
 * @mirrors kernel/time/timer.c:get_next_timer_interrupt
 * @simplified returns jiffies instead of ns; indivisible, so base->lock, which nobody holds at a point, is not taken
 */
export function get_next_timer_interrupt(k: Kernel, basej: number): number {
  if (!cpu_online(k, smp_processor_id(k))) return Infinity;
  const base = this_cpu_ptr(k, timer_bases)[BASE_STD];
  const nextevt = __next_timer_interrupt(base);
  const is_max_delta = nextevt === base.clk + NEXT_TIMER_MAX_DELTA;
  base.next_expiry = nextevt;
  if (time_after(basej, base.clk)) {
    if (time_after(nextevt, basej)) base.clk = basej;
    else if (time_after(nextevt, base.clk)) base.clk = nextevt;
  }
  if (time_before_eq(nextevt, basej)) {
    base.is_idle = false;
    return basej;
  }
  const expires = is_max_delta ? Infinity : nextevt;
  if (expires - basej > 1) {
    base.must_forward_clk = true;
    base.is_idle = true;
  }
  return expires;
}

/**
 * Says that this CPU's tick runs again.
 *
 * Context: interrupts off.
 *
 * @mirrors kernel/time/timer.c:timer_clear_idle
 */
export function timer_clear_idle(k: Kernel): void {
  this_cpu_ptr(k, timer_bases)[BASE_STD].is_idle = false;
}

function collect_expired_timers(
  k: Kernel,
  base: timer_base,
  heads: readonly hlist_head<timer_list>[],
): number {
  const now = jiffies(k);
  // After a long sleep go straight to the first bucket that has something.
  if (now - base.clk > 2) {
    const next = __next_timer_interrupt(base);
    if (time_after(next, now)) {
      base.clk = now;
      return 0;
    }
    base.clk = next;
  }
  return __collect_expired_timers(base, heads);
}

/** @mirrors kernel/time/timer.c:__run_timers */
function* __run_timers(k: Kernel, base: timer_base): Atomic<void> {
  if (!time_after_eq(jiffies(k), base.clk)) return;
  yield* raw_spin_lock_irq(k, base.lock);
  base.must_forward_clk = false;
  while (time_after_eq(jiffies(k), base.clk)) {
    let levels = collect_expired_timers(k, base, base.heads);
    base.clk++;
    while (levels-- > 0) yield* expire_timers(k, base, base.heads[levels]);
  }
  raw_spin_unlock_irq(k, base.lock);
}

/** The handler of TIMER_SOFTIRQ: runs what is due on this CPU. @mirrors kernel/time/timer.c:run_timer_softirq */
export function* run_timer_softirq(k: Kernel): Atomic<void> {
  const bases = this_cpu_ptr(k, timer_bases);
  yield* __run_timers(k, bases[BASE_STD]);
  yield* __run_timers(k, bases[BASE_DEF]);
}

/**
 * The tick's part of timers: asks for TIMER_SOFTIRQ when a wheel has time to catch up with.
 *
 * Context: hard interrupt, interrupts off.
 *
 * @mirrors kernel/time/timer.c:run_local_timers
 */
export function run_local_timers(k: Kernel): void {
  const bases = this_cpu_ptr(k, timer_bases);
  const now = jiffies(k);
  if (time_before(now, bases[BASE_STD].clk) && time_before(now, bases[BASE_DEF].clk)) return;
  raise_softirq(k, TIMER_SOFTIRQ);
}

/** A timeout that never comes. @mirrors include/linux/sched.h:MAX_SCHEDULE_TIMEOUT */
export const MAX_SCHEDULE_TIMEOUT = Infinity;

/** sizeof(struct process_timer). */
const PROCESS_TIMER_SIZE = TIMER_LIST_SIZE + 8;

class process_timer {
  readonly timer: timer_list = new timer_list(this);

  constructor(readonly task: task_struct) {}
}

function process_timeout(k: Kernel, t: timer_list): Atomic<void> {
  wake_up_process(k, from_timer<process_timer>(t).task);
  return doneVoid();
}

/**
 * Sleeps until somebody wakes the task or `timeout` jiffies have passed. Returns what is left of them, 0 at expiry.
 *
 * Context: process context; the caller has set the task's state (a running task only gives way).
 * Units: jiffies; MAX_SCHEDULE_TIMEOUT sleeps without a limit and is returned as it is.
 *
 * @mirrors kernel/time/timer.c:schedule_timeout
 */
export function* schedule_timeout(k: Kernel, timeout: number): MaySleep<number> {
  const p = current(k);
  if (timeout === MAX_SCHEDULE_TIMEOUT) {
    yield* schedule(k);
    return timeout;
  }
  if (timeout < 0) {
    const title = `schedule_timeout: wrong timeout value ${(2n ** 64n + BigInt(timeout)).toString(16)}`;
    report(k, KERN_ERR, title, [title, ...dumpStackLines(k)]);
    p.state = TASK_RUNNING;
    return 0;
  }
  const expire = timeout + jiffies(k);
  const { timer } = new process_timer(p);
  // The boot image's own tasks have no stack in memory.
  const addr = p.stackAddr === NULL ? NULL : onStack(k, PROCESS_TIMER_SIZE);
  timer_setup(k, timer, process_timeout, 0, addr);
  yield* __mod_timer(k, timer, expire, MOD_TIMER_NOTPENDING);
  const named = p.waitingFor !== "";
  if (!named) p.waitingFor = `schedule_timeout ${timeout}`;
  yield* schedule(k);
  if (!named) p.waitingFor = "";
  yield* del_timer_sync(k, timer);
  if (addr !== NULL) offStack(k, PROCESS_TIMER_SIZE);
  const left = expire - jiffies(k);
  return left < 0 ? 0 : left;
}

/** @mirrors kernel/time/timer.c:schedule_timeout_interruptible */
export function schedule_timeout_interruptible(k: Kernel, timeout: number): MaySleep<number> {
  __set_current_state(k, TASK_INTERRUPTIBLE);
  return schedule_timeout(k, timeout);
}

/** @mirrors kernel/time/timer.c:schedule_timeout_uninterruptible */
export function schedule_timeout_uninterruptible(k: Kernel, timeout: number): MaySleep<number> {
  __set_current_state(k, TASK_UNINTERRUPTIBLE);
  return schedule_timeout(k, timeout);
}

/** Does not count as load. @mirrors kernel/time/timer.c:schedule_timeout_idle */
export function schedule_timeout_idle(k: Kernel, timeout: number): MaySleep<number> {
  __set_current_state(k, TASK_IDLE);
  return schedule_timeout(k, timeout);
}

function init_timer_cpu(k: Kernel, cpu: number): void {
  for (const base of per_cpu_ptr(k, timer_bases, cpu)) base.clk = jiffies(k);
}

function init_timer_cpus(k: Kernel): void {
  for (const cpu of for_each_possible_cpu(k)) init_timer_cpu(k, cpu);
}

/** Starts the wheels at the current jiffy. @mirrors kernel/time/timer.c:init_timers */
export function init_timers(k: Kernel): void {
  init_timer_cpus(k);
  open_softirq(k, TIMER_SOFTIRQ, run_timer_softirq);
}

/**
 * Sleeps at least `msecs` milliseconds, whoever wakes the task meanwhile.
 *
 * @mirrors kernel/time/timer.c:msleep
 */
export function* msleep(k: Kernel, msecs: number): MaySleep<void> {
  let timeout = msecs_to_jiffies(k, msecs) + 1;
  while (timeout > 0) timeout = yield* schedule_timeout_uninterruptible(k, timeout);
}
