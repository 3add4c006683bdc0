// SPDX-License-Identifier: GPL-2.0-only
/**
 * Timers of nanosecond resolution. Mirrors kernel/time/hrtimer.c and include/linux/hrtimer.h (v5.7), in high resolution mode
 * from the start.
 *
 * Each CPU has a queue of timers in the order of their expiry, and one clock event device, which is programmed for what comes
 * first: the head of the queue or the tick. Callbacks run in hard interrupt context with interrupts off.
 *
 * Invariant: while hrtimer_interrupt() does not run, the device of a CPU fires no later than the first timer of its queue
 * and no later than its tick; a timer is in a queue exactly while its state says so.
 *
 * The tick is a timer of the queue in Linux. Here its expiry stands beside the queue, so that a machine without other timers
 * has nothing of this file in its runs: no lock, no event, no point.
 *
 * Left out: other clocks than CLOCK_MONOTONIC, timers that expire in softirq (HRTIMER_MODE_SOFT), sleepers, low resolution
 * mode, debug objects, CPU hotplug. What C guards with a sequence count is indivisible here.
 *
 * @module
 */

import { NULL } from "../machine/addr.ts";
import type { IrqFlags, VirtAddr } from "../machine/brand.ts";
import { type Atomic, done, STEP } from "../machine/effects.ts";
import { POINT_DELAY, pt } from "../machine/points.ts";
import { firstTime, WARN_ON, WARN_ON_ONCE } from "../bug.ts";
import { ksym } from "../kallsyms.ts";
import type { Kernel } from "../kernel.ts";
import { lockdep_hrtimer_enter, lockdep_hrtimer_exit } from "../locking/lockdep.ts";
import {
  raw_spin_lock,
  raw_spin_lock_irq,
  raw_spin_lock_irqsave,
  raw_spin_unlock,
  raw_spin_unlock_irqrestore,
  raw_spinlock_t,
} from "../locking/spinlock.ts";
import { irqs_disabled, local_irq_disable } from "../preempt.ts";
import { pr_warn } from "../printk.ts";
import {
  rb_erase_cached,
  rb_first_cached,
  rb_insert_color_cached,
  type rb_link,
  rb_link_node,
  rb_node,
  rb_root_cached,
} from "../rbtree.ts";
import {
  DEFINE_PER_CPU,
  KERNEL_STATIC,
  per_cpu_ptr,
  type PerCpu,
  type StaticKey,
  this_cpu_ptr,
} from "../static.ts";
import {
  trace_hrtimer_cancel,
  trace_hrtimer_expire_entry,
  trace_hrtimer_expire_exit,
  trace_hrtimer_init,
  trace_hrtimer_start,
} from "../trace/events/timer.ts";
import { NSEC_PER_MSEC } from "./jiffies.ts";
import { get_nohz_timer_target } from "./timer.ts";

// ---- include/linux/ktime.h, include/uapi/linux/time.h ----------------------------------------------------------------

/** A time or a span in virtual nanoseconds. @mirrors include/linux/ktime.h:ktime_t */
export type ktime_t = number;

/** A time that never comes. @mirrors include/linux/ktime.h:KTIME_MAX */
export const KTIME_MAX: ktime_t = Infinity;

/** The clock that only goes on: here virtual time since power-on. @mirrors include/uapi/linux/time.h:CLOCK_MONOTONIC */
export const CLOCK_MONOTONIC = 1;

/** Virtual time of this CPU. @mirrors kernel/time/timekeeping.c:ktime_get */
export function ktime_get(k: Kernel): ktime_t {
  return k.now();
}

// ---- include/linux/hrtimer.h -----------------------------------------------------------------------------------------

/** How an expiry is meant, as bits. @mirrors include/linux/hrtimer.h:hrtimer_mode */
export const HRTIMER_MODE_ABS = 0x00; // a point in time
export const HRTIMER_MODE_REL = 0x01; // from now
export const HRTIMER_MODE_PINNED = 0x02; // on this CPU
export const HRTIMER_MODE_HARD = 0x08; // in hard interrupt context even with PREEMPT_RT
export const HRTIMER_MODE_ABS_PINNED: number = HRTIMER_MODE_ABS | HRTIMER_MODE_PINNED;
export const HRTIMER_MODE_REL_PINNED: number = HRTIMER_MODE_REL | HRTIMER_MODE_PINNED;

/** What a callback says: whether its timer is queued again. @mirrors include/linux/hrtimer.h:hrtimer_restart */
export type hrtimer_restart = typeof HRTIMER_NORESTART | typeof HRTIMER_RESTART;
export const HRTIMER_NORESTART = 0;
export const HRTIMER_RESTART = 1;

const HRTIMER_STATE_INACTIVE = 0x00;
const HRTIMER_STATE_ENQUEUED = 0x01;

/** sizeof(struct hrtimer) on a 64-bit machine. */
export const HRTIMER_SIZE = 64;

/** What a timer calls, in hard interrupt context; to restart, it moves the expiry first. */
export type hrtimer_function_t = (k: Kernel, timer: hrtimer) => Atomic<hrtimer_restart>;

/** A timer of nanosecond resolution. @mirrors include/linux/hrtimer.h:hrtimer */
export class hrtimer {
  readonly node: rb_node<hrtimer> = new rb_node<hrtimer>(this);
  /** When it runs at the latest: what the device is programmed for. */
  expires: ktime_t = 0;
  /** From when on it may run. */
  _softexpires: ktime_t = 0;
  function: hrtimer_function_t | null = null;
  /** Where it is queued, or was last; null before hrtimer_init(). */
  base: hrtimer_clock_base | null = null;
  state = HRTIMER_STATE_INACTIVE;
  /** Whether its callback would be in hard interrupt context with PREEMPT_RT too. */
  is_hard = false;
  /** Its address, for %p. */
  addr: VirtAddr = NULL;

  /** `container` is the structure that the timer is embedded in. */
  constructor(readonly container: object | null = null) {}
}

/** The timers of one CPU on one clock. @mirrors include/linux/hrtimer.h:hrtimer_clock_base */
export class hrtimer_clock_base {
  /** The timer whose callback runs. */
  running: hrtimer | null = null;
  readonly active: rb_root_cached<hrtimer> = new rb_root_cached<hrtimer>();

  constructor(readonly cpu_base: hrtimer_cpu_base) {}
}

/** What a CPU knows of its timers. @mirrors include/linux/hrtimer.h:hrtimer_cpu_base */
export class hrtimer_cpu_base {
  readonly lock: raw_spinlock_t = new raw_spinlock_t("hrtimer_bases.lock");
  /** hrtimer_interrupt() runs: it programs the device when it is done. */
  in_hrtirq = false;
  /** The interrupt did not keep up: the device is left alone until it has fired. */
  hang_detected = false;
  nr_events = 0;
  nr_retries = 0;
  nr_hangs = 0;
  max_hang_time = 0;
  /** Expiry of the first timer, as far as the device was told; KTIME_MAX when there is none. */
  expires_next: ktime_t = KTIME_MAX;
  next_timer: hrtimer | null = null;
  /** When the tick is due; KTIME_MAX while it does not run. */
  tickExpires: ktime_t = KTIME_MAX;
  /** Whether the device was programmed for a timer since it last fired: if not, the interrupt is the tick's. */
  armed = false;
  readonly clock_base: hrtimer_clock_base;

  constructor(readonly cpu: number) {
    this.clock_base = new hrtimer_clock_base(this);
  }
}

/** @mirrors include/linux/hrtimer.h:hrtimer_set_expires_range_ns */
export function hrtimer_set_expires_range_ns(timer: hrtimer, time: ktime_t, delta: number): void {
  timer._softexpires = time;
  timer.expires = time + delta;
}

/** Moves the expiry of a timer that is not queued. @mirrors include/linux/hrtimer.h:hrtimer_add_expires */
export function hrtimer_add_expires(timer: hrtimer, time: ktime_t): void {
  timer.expires += time;
  timer._softexpires += time;
}

/** @mirrors include/linux/hrtimer.h:hrtimer_get_expires */
export function hrtimer_get_expires(timer: hrtimer): ktime_t {
  return timer.expires;
}

/**
 * Starts a timer, whether it is queued or not.
 *
 * Context: any. Units: ns; 0 from now runs as soon as interrupts are on.
 *
 * @mirrors include/linux/hrtimer.h:hrtimer_start
 */
export function hrtimer_start(k: Kernel, timer: hrtimer, tim: ktime_t, mode: number): Atomic<void> {
  return hrtimer_start_range_ns(k, timer, tim, 0, mode);
}

/** Whether the timer waits in a queue. @mirrors include/linux/hrtimer.h:hrtimer_is_queued */
export function hrtimer_is_queued(timer: hrtimer): boolean {
  return (timer.state & HRTIMER_STATE_ENQUEUED) !== 0;
}

/** Whether its callback runs, on whatever CPU. @mirrors include/linux/hrtimer.h:hrtimer_callback_running */
export function hrtimer_callback_running(timer: hrtimer): boolean {
  return timer.base !== null && timer.base.running === timer;
}

/** hrtimer_forward() past the present. @mirrors include/linux/hrtimer.h:hrtimer_forward_now */
export function hrtimer_forward_now(k: Kernel, timer: hrtimer, interval: ktime_t): number {
  return hrtimer_forward(k, timer, ktime_get(k), interval);
}

// ---- kernel/time/hrtimer.c -------------------------------------------------------------------------------------------

const hrtimer_bases: PerCpu<hrtimer_cpu_base> = DEFINE_PER_CPU(
  "hrtimer_bases",
  (_k, cpu) => new hrtimer_cpu_base(cpu),
);
/** Where a timer is while it moves to another CPU. */
const migration_base = KERNEL_STATIC("migration_cpu_base", () => new hrtimer_cpu_base(-1).clock_base);

export const statics: readonly StaticKey[] = [hrtimer_bases, migration_base];

/** The base of a timer that hrtimer_init() has seen. */
function baseOf(timer: hrtimer): hrtimer_clock_base {
  if (timer.base === null) throw new TypeError("an hrtimer was used before hrtimer_init()");
  return timer.base;
}

/** Locks the base of a timer that may move to another CPU meanwhile; `timer.base` is stable from then on. */
function* lock_hrtimer_base(k: Kernel, timer: hrtimer): Atomic<IrqFlags> {
  for (;;) {
    const base = baseOf(timer);
    if (base !== migration_base(k)) {
      const flags = yield* raw_spin_lock_irqsave(k, base.cpu_base.lock);
      if (base === timer.base) return flags;
      raw_spin_unlock_irqrestore(k, base.cpu_base.lock, flags);
    }
    if (pt(k, POINT_DELAY, "cpu_relax")) yield STEP;
  }
}

/** Whether the timer would come first on its new CPU, whose device cannot be programmed from here. */
function hrtimer_check_target(timer: hrtimer, new_base: hrtimer_clock_base): boolean {
  const { expires_next, tickExpires } = new_base.cpu_base;
  return timer.expires < Math.min(expires_next, tickExpires);
}

function get_target_base(k: Kernel, base: hrtimer_cpu_base, pinned: boolean): hrtimer_cpu_base {
  return pinned ? base : per_cpu_ptr(k, hrtimer_bases, get_nohz_timer_target(k));
}

/**
 * Chooses the CPU for a timer that is about to be queued, and moves it there: this CPU, or a busy one when this one is idle
 * and the timer would not come first there. A timer that runs stays where it is.
 *
 * Locks: the lock of `base` at entry, that of the result at return.
 *
 * @mirrors kernel/time/hrtimer.c:switch_hrtimer_base
 */
export function* switch_hrtimer_base(
  k: Kernel,
  timer: hrtimer,
  base: hrtimer_clock_base,
  pinned: boolean,
): Atomic<hrtimer_clock_base> {
  const this_cpu_base = this_cpu_ptr(k, hrtimer_bases);
  let new_cpu_base = get_target_base(k, this_cpu_base, pinned);
  for (;;) {
    const new_base = new_cpu_base.clock_base;
    const remote = new_cpu_base !== this_cpu_base;
    if (base !== new_base) {
      if (hrtimer_callback_running(timer)) return base;
      timer.base = migration_base(k);
      raw_spin_unlock(k, base.cpu_base.lock);
      yield* raw_spin_lock(k, new_cpu_base.lock);
      if (remote && hrtimer_check_target(timer, new_base)) {
        raw_spin_unlock(k, new_cpu_base.lock);
        yield* raw_spin_lock(k, base.cpu_base.lock);
        new_cpu_base = this_cpu_base;
        timer.base = base;
        continue;
      }
      timer.base = new_base;
    } else if (remote && hrtimer_check_target(timer, new_base)) {
      new_cpu_base = this_cpu_base;
      continue;
    }
    return new_base;
  }
}

function hasTimers(cpu_base: hrtimer_cpu_base): boolean {
  return rb_first_cached(cpu_base.clock_base.active) !== null;
}

/** Expiry of the first timer of the queue; notes which one that is. */
function __hrtimer_get_next_event(cpu_base: hrtimer_cpu_base): ktime_t {
  const next = rb_first_cached(cpu_base.clock_base.active);
  cpu_base.next_timer = next === null ? null : next.owner;
  return next === null ? KTIME_MAX : Math.max(0, next.owner.expires);
}

/**
 * Programs the device of this CPU for what comes first. Returns whether that lies in the past already; then, without `force`,
 * nothing is programmed.
 *
 * @mirrors kernel/time/tick-oneshot.c:tick_program_event
 * @simplified looks at the tick as well, which is in no queue
 */
function tick_program_event(k: Kernel, cpu_base: hrtimer_cpu_base, force: boolean): boolean {
  const expires = Math.min(cpu_base.expires_next, cpu_base.tickExpires);
  if (!force && expires <= ktime_get(k)) return true;
  if (cpu_base.expires_next !== KTIME_MAX) cpu_base.armed = true;
  k.programTimer(expires);
  return false;
}

/**
 * Has the tick interrupt this CPU at `expires`, KTIME_MAX for not at all. Timers are not affected.
 *
 * Context: interrupts off. Units: ns.
 *
 * @invented hrtimer_start() and hrtimer_cancel() of tick_sched.sched_timer
 */
export function programTick(k: Kernel, expires: ktime_t): void {
  const cpu_base = this_cpu_ptr(k, hrtimer_bases);
  cpu_base.tickExpires = expires;
  if (cpu_base.in_hrtirq) return;
  // A timer that came from another CPU may be first once the tick does not come before it.
  if (hasTimers(cpu_base)) cpu_base.expires_next = __hrtimer_get_next_event(cpu_base);
  if (!cpu_base.hang_detected) tick_program_event(k, cpu_base, true);
}

/** The first timer of this CPU was taken away: the device can wait for the next one. */
function hrtimer_force_reprogram(k: Kernel, cpu_base: hrtimer_cpu_base, skip_equal: boolean): void {
  const expires_next = __hrtimer_get_next_event(cpu_base);
  if (skip_equal && expires_next === cpu_base.expires_next) return;
  cpu_base.expires_next = expires_next;
  if (cpu_base.hang_detected) return;
  tick_program_event(k, cpu_base, true);
}

/** A timer was queued in front of all others: the device must fire earlier. @mirrors kernel/time/hrtimer.c:hrtimer_reprogram */
function hrtimer_reprogram(k: Kernel, timer: hrtimer): void {
  const cpu_base = this_cpu_ptr(k, hrtimer_bases);
  if (timer.expires < 0) WARN_ON_ONCE(k, true, "hrtimer_reprogram");
  const expires = Math.max(0, timer.expires);
  // Another CPU's device cannot be reached; switch_hrtimer_base() saw to it that the tick there is earlier.
  if (baseOf(timer).cpu_base !== cpu_base) return;
  if (cpu_base.in_hrtirq) return;
  if (expires >= cpu_base.expires_next) return;
  cpu_base.next_timer = timer;
  cpu_base.expires_next = expires;
  if (cpu_base.hang_detected) return;
  tick_program_event(k, cpu_base, true);
}

function unlock_hrtimer_base(k: Kernel, timer: hrtimer, flags: IrqFlags): void {
  raw_spin_unlock_irqrestore(k, baseOf(timer).cpu_base.lock, flags);
}

/**
 * Moves the expiry of a timer by whole intervals until it lies behind `now`. Returns by how many, 0 when it did already.
 *
 * Context: the timer's callback, or anywhere while it is neither queued nor running. Units: ns.
 *
 * @mirrors kernel/time/hrtimer.c:hrtimer_forward
 */
export function hrtimer_forward(k: Kernel, timer: hrtimer, now: ktime_t, interval: ktime_t): number {
  const delta = now - timer.expires;
  if (delta < 0) return 0;
  if (WARN_ON(k, hrtimer_is_queued(timer))) return 0;
  const incr = Math.max(1, interval);
  let orun = 1;
  if (delta >= incr) {
    orun = Math.floor(delta / incr);
    hrtimer_add_expires(timer, incr * orun);
    if (timer.expires > now) return orun;
    orun++;
  }
  hrtimer_add_expires(timer, incr);
  return orun;
}

/** Links a timer into a queue, behind those of the same expiry. @mirrors lib/timerqueue.c:timerqueue_add */
function timerqueue_add(head: rb_root_cached<hrtimer>, timer: hrtimer): boolean {
  let parent: rb_node<hrtimer> | null = null;
  let link: rb_link<hrtimer> = head.rb_root;
  let leftmost = true;
  for (let at = head.rb_root.rb_node; at !== null; at = at[link]) {
    parent = at;
    if (timer.expires < at.owner.expires) link = "rb_left";
    else {
      link = "rb_right";
      leftmost = false;
    }
  }
  rb_link_node(timer.node, parent, link);
  rb_insert_color_cached(timer.node, head, leftmost);
  return leftmost;
}

/** Queues a timer. Returns whether it comes first. @mirrors kernel/time/hrtimer.c:enqueue_hrtimer */
function enqueue_hrtimer(k: Kernel, timer: hrtimer, base: hrtimer_clock_base, mode: number): boolean {
  trace_hrtimer_start(k, timer.addr, functionAddr(k, timer), timer.expires, timer._softexpires, mode);
  timer.state = HRTIMER_STATE_ENQUEUED;
  return timerqueue_add(base.active, timer);
}

function functionAddr(k: Kernel, timer: hrtimer): number {
  return timer.function === null ? NULL : ksym(k, timer.function);
}

function __remove_hrtimer(
  k: Kernel,
  timer: hrtimer,
  base: hrtimer_clock_base,
  newstate: number,
  reprogram: boolean,
): void {
  const { cpu_base } = base;
  const { state } = timer;
  timer.state = newstate;
  if ((state & HRTIMER_STATE_ENQUEUED) === 0) return;
  rb_erase_cached(timer.node, base.active);
  // The first timer of another CPU: its device fires for nothing, and looks again.
  if (reprogram && timer === cpu_base.next_timer) hrtimer_force_reprogram(k, cpu_base, true);
}

/** @mirrors kernel/time/hrtimer.c:remove_hrtimer */
function remove_hrtimer(k: Kernel, timer: hrtimer, base: hrtimer_clock_base, restart: boolean): boolean {
  if (!hrtimer_is_queued(timer)) return false;
  trace_hrtimer_cancel(k, timer.addr);
  const reprogram = base.cpu_base === this_cpu_ptr(k, hrtimer_bases);
  // A restart keeps saying ENQUEUED: nobody may see the timer as inactive in between.
  __remove_hrtimer(k, timer, base, restart ? timer.state : HRTIMER_STATE_INACTIVE, reprogram);
  return true;
}

function* __hrtimer_start_range_ns(
  k: Kernel,
  timer: hrtimer,
  tim: ktime_t,
  delta_ns: number,
  mode: number,
  base: hrtimer_clock_base,
): Atomic<boolean> {
  remove_hrtimer(k, timer, base, true);
  const from = (mode & HRTIMER_MODE_REL) !== 0 ? ktime_get(k) : 0;
  hrtimer_set_expires_range_ns(timer, tim + from, delta_ns);
  const new_base = yield* switch_hrtimer_base(k, timer, base, (mode & HRTIMER_MODE_PINNED) !== 0);
  return enqueue_hrtimer(k, timer, new_base, mode);
}

/**
 * Starts a timer that runs between `tim` and `tim + delta_ns`, whether it is queued or not.
 *
 * Context: any. Locks: takes the lock of the CPU's timers. Units: ns, from now with HRTIMER_MODE_REL.
 *
 * @mirrors kernel/time/hrtimer.c:hrtimer_start_range_ns
 */
export function* hrtimer_start_range_ns(
  k: Kernel,
  timer: hrtimer,
  tim: ktime_t,
  delta_ns: number,
  mode: number,
): Atomic<void> {
  const flags = yield* lock_hrtimer_base(k, timer);
  if (yield* __hrtimer_start_range_ns(k, timer, tim, delta_ns, mode, baseOf(timer))) {
    hrtimer_reprogram(k, timer);
  }
  unlock_hrtimer_base(k, timer, flags);
}

/**
 * Stops a timer unless its callback runs just now, then -1. Returns 1 when it was queued, 0 when not.
 *
 * @mirrors kernel/time/hrtimer.c:hrtimer_try_to_cancel
 */
export function hrtimer_try_to_cancel(k: Kernel, timer: hrtimer): Atomic<number> {
  return hrtimer_active(timer) ? tryToCancel(k, timer) : done(0);
}

function* tryToCancel(k: Kernel, timer: hrtimer): Atomic<number> {
  let ret = -1;
  const flags = yield* lock_hrtimer_base(k, timer);
  if (!hrtimer_callback_running(timer)) ret = remove_hrtimer(k, timer, baseOf(timer), false) ? 1 : 0;
  unlock_hrtimer_base(k, timer, flags);
  return ret;
}

/**
 * Stops a timer and waits until its callback does not run any more. Returns 1 when it was queued, 0 when not.
 *
 * Context: not from the callback, not under a lock that it takes. It spins.
 *
 * @mirrors kernel/time/hrtimer.c:hrtimer_cancel
 */
export function* hrtimer_cancel(k: Kernel, timer: hrtimer): Atomic<number> {
  for (;;) {
    const ret = yield* hrtimer_try_to_cancel(k, timer);
    if (ret >= 0) return ret;
    if (pt(k, POINT_DELAY, "cpu_relax")) yield STEP;
  }
}

/**
 * Prepares a timer; its `function` is set by hand. `addr` is where it stands; without it, it takes a piece of .data.
 *
 * @mirrors kernel/time/hrtimer.c:hrtimer_init
 * @simplified every clock is CLOCK_MONOTONIC, and no timer expires in softirq
 */
export function hrtimer_init(
  k: Kernel,
  timer: hrtimer,
  clock_id: typeof CLOCK_MONOTONIC,
  mode: number,
  addr?: VirtAddr,
): void {
  timer.addr = addr ?? (timer.addr === NULL ? k.dataAlloc(HRTIMER_SIZE) : timer.addr);
  trace_hrtimer_init(k, timer.addr, clock_id, mode);
  timer.state = HRTIMER_STATE_INACTIVE;
  timer.expires = timer._softexpires = 0;
  timer.function = null;
  timer.is_hard = (mode & HRTIMER_MODE_HARD) !== 0;
  timer.base = this_cpu_ptr(k, hrtimer_bases).clock_base;
}

/**
 * Whether the timer is queued, moves to another CPU, or its callback runs.
 *
 * @mirrors kernel/time/hrtimer.c:hrtimer_active
 */
export function hrtimer_active(timer: hrtimer): boolean {
  return timer.state !== HRTIMER_STATE_INACTIVE || hrtimer_callback_running(timer);
}

function* __run_hrtimer(
  k: Kernel,
  cpu_base: hrtimer_cpu_base,
  base: hrtimer_clock_base,
  timer: hrtimer,
  now: ktime_t,
): Atomic<void> {
  trace_hrtimer_cancel(k, timer.addr);
  base.running = timer;
  __remove_hrtimer(k, timer, base, HRTIMER_STATE_INACTIVE, false);
  const fn = timer.function as hrtimer_function_t;
  // The callback may free the timer.
  const { addr } = timer;
  raw_spin_unlock(k, cpu_base.lock);
  trace_hrtimer_expire_entry(k, addr, now, functionAddr(k, timer));
  const expires_in_hardirq = lockdep_hrtimer_enter(k, timer);
  const restart = yield* fn(k, timer);
  lockdep_hrtimer_exit(k, expires_in_hardirq);
  trace_hrtimer_expire_exit(k, addr);
  if (!irqs_disabled(k)) {
    WARN_ON_ONCE(k, true, fn.name);
    local_irq_disable(k);
  }
  yield* raw_spin_lock_irq(k, cpu_base.lock);
  if (restart !== HRTIMER_NORESTART && !hrtimer_is_queued(timer)) {
    enqueue_hrtimer(k, timer, base, HRTIMER_MODE_ABS);
  }
  WARN_ON_ONCE(k, base.running !== timer, "__run_hrtimer");
  base.running = null;
}

/** Runs a tick that is due, as if it were a timer of the queue. */
function* runTick(k: Kernel, cpu_base: hrtimer_cpu_base, tick: Tick, user_tick: boolean): Atomic<void> {
  cpu_base.tickExpires = KTIME_MAX;
  raw_spin_unlock(k, cpu_base.lock);
  yield* tick(k, user_tick);
  yield* raw_spin_lock_irq(k, cpu_base.lock);
}

/** Runs what is due at `now`, in order of expiry. @mirrors kernel/time/hrtimer.c:__hrtimer_run_queues */
function* __hrtimer_run_queues(
  k: Kernel,
  cpu_base: hrtimer_cpu_base,
  now: ktime_t,
  tick: Tick,
  user_tick: boolean,
): Atomic<void> {
  const base = cpu_base.clock_base;
  for (;;) {
    const node = rb_first_cached(base.active);
    const { tickExpires } = cpu_base;
    if (tickExpires <= now && (node === null || tickExpires <= node.owner.expires)) {
      yield* runTick(k, cpu_base, tick, user_tick);
    } else if (node !== null && node.owner._softexpires <= now) {
      yield* __run_hrtimer(k, cpu_base, base, node.owner, now);
    } else return;
  }
}

/** What the tick does; see tick_sched_timer(). */
type Tick = (k: Kernel, user_tick: boolean) => Atomic<void>;

/**
 * The interrupt of the clock event device: runs the timers of this CPU that are due, and `tick` if it is.
 *
 * Context: hard interrupt, interrupts off.
 *
 * @mirrors kernel/time/hrtimer.c:hrtimer_interrupt
 * @simplified the tick is no timer of the queue; while there is none, the interrupt is the tick's and nothing else is looked at
 */
export function hrtimer_interrupt(k: Kernel, tick: Tick, user_tick: boolean): Atomic<void> {
  const cpu_base = this_cpu_ptr(k, hrtimer_bases);
  if (cpu_base.armed || hasTimers(cpu_base)) return interruptWithTimers(k, cpu_base, tick, user_tick);
  if (cpu_base.tickExpires <= ktime_get(k)) cpu_base.tickExpires = KTIME_MAX;
  return tick(k, user_tick);
}

/** Rounds of hrtimer_interrupt() for timers that have become due meanwhile. */
const MAX_RETRIES = 3;

function* interruptWithTimers(
  k: Kernel,
  cpu_base: hrtimer_cpu_base,
  tick: Tick,
  user_tick: boolean,
): Atomic<void> {
  cpu_base.nr_events++;
  cpu_base.armed = false;
  let flags = yield* raw_spin_lock_irqsave(k, cpu_base.lock);
  let now = ktime_get(k);
  const entry_time = now;
  for (let retries = 0;;) {
    cpu_base.in_hrtirq = true;
    // Nobody may queue a timer here from another CPU meanwhile.
    cpu_base.expires_next = KTIME_MAX;
    yield* __hrtimer_run_queues(k, cpu_base, now, tick, user_tick);
    cpu_base.expires_next = __hrtimer_get_next_event(cpu_base);
    cpu_base.in_hrtirq = false;
    raw_spin_unlock_irqrestore(k, cpu_base.lock, flags);
    if (!tick_program_event(k, cpu_base, false)) {
      cpu_base.hang_detected = false;
      return;
    }
    flags = yield* raw_spin_lock_irqsave(k, cpu_base.lock);
    now = ktime_get(k);
    cpu_base.nr_retries++;
    if (++retries >= MAX_RETRIES) break;
  }
  // It does not keep up: others get as much time as was spent here.
  cpu_base.nr_hangs++;
  cpu_base.hang_detected = true;
  raw_spin_unlock_irqrestore(k, cpu_base.lock, flags);
  const delta = now - entry_time;
  if (delta > cpu_base.max_hang_time) cpu_base.max_hang_time = delta;
  if (firstTime(k, "hrtimer_interrupt")) pr_warn(k, `hrtimer: interrupt took ${delta} ns`);
  cpu_base.armed = true;
  k.programTimer(now + Math.min(delta, MAX_HANG_DELAY));
}

/** How long a hang puts timers off at most. */
const MAX_HANG_DELAY = 100 * NSEC_PER_MSEC;
