// SPDX-License-Identifier: GPL-2.0-only
/**
 * The tick, and stopping it on idle CPUs. Mirrors kernel/time/tick-sched.c, do_timer() of timekeeping.c and
 * update_process_times() of timer.c (v5.7), in high resolution mode from the start.
 *
 * Invariant: the ticks of all CPUs are on one grid, the multiples of the tick period, and jiffies counts its lines; it is
 * advanced by one CPU, and when that CPU stops its tick, by the next one that takes a tick.
 *
 * Left out: the periodic mode of early boot, skewed ticks, full dynticks, idle-time accounting, jiffies_lock (advancing
 * is indivisible).
 *
 * @module
 */

import { type Atomic } from "../machine/effects.ts";
import { WARN_ON_ONCE } from "../bug.ts";
import { cpu_online } from "../cpumask.ts";
import type { Kernel } from "../kernel.ts";
import { local_irq_restore, local_irq_save } from "../preempt.ts";
import { pr_warn } from "../printk.ts";
import { need_resched, scheduler_tick } from "../sched/core.ts";
import { current, is_idle_task } from "../sched/sched.ts";
import { local_softirq_pending, RCU_SOFTIRQ, TIMER_SOFTIRQ } from "../softirq.ts";
import { DEFINE_PER_CPU, KERNEL_STATIC, type PerCpu, type StaticKey, this_cpu_ptr } from "../static.ts";
import { programTick } from "./hrtimer.ts";
import { jiffies, TICK_NSEC } from "./jiffies.ts";
import { get_next_timer_interrupt, run_local_timers, timer_clear_idle } from "./timer.ts";

const TICK_DO_TIMER_NONE = -1;

/** @mirrors kernel/time/tick-sched.h:tick_sched */
export class tick_sched {
  tick_stopped = false;
  inidle = false;
  /** Virtual time of the tick that was due when the tick was stopped, and of the next one while it runs. */
  last_tick = 0;
  idle_calls = 0;
  idle_sleeps = 0;
}

export const tick_cpu_sched: PerCpu<tick_sched> = DEFINE_PER_CPU("tick_cpu_sched", () => new tick_sched());
/** The CPU that advances jiffies. */
const tick_do_timer_cpu = KERNEL_STATIC<number>("tick_do_timer_cpu", () => 0);
/** Virtual time at which jiffies was last advanced: a multiple of the tick. */
const last_jiffies_update = KERNEL_STATIC<number>("last_jiffies_update", () => 0);
/** How often a softirq that was pending at idle entry has been printed. */
const ratelimit = KERNEL_STATIC<number>("can_stop_idle_tick.ratelimit", () => 0);

export const statics: readonly StaticKey[] = [
  tick_cpu_sched,
  tick_do_timer_cpu,
  last_jiffies_update,
  ratelimit,
];

/** The CPU that advances jiffies, -1 when none does until the next tick; for looks. @invented tick_do_timer_cpu */
export function timekeeper(k: Kernel): number {
  return tick_do_timer_cpu(k);
}

/** @mirrors kernel/time/timekeeping.c:do_timer */
export function do_timer(k: Kernel, ticks: number): void {
  jiffies.set(k, jiffies(k) + ticks);
}

/** Brings jiffies up to date. @mirrors kernel/time/tick-sched.c:tick_do_update_jiffies64 */
export function tick_do_update_jiffies64(k: Kernel, now: number): void {
  const period = TICK_NSEC(k);
  const ticks = Math.floor((now - last_jiffies_update(k)) / period);
  if (ticks <= 0) return;
  last_jiffies_update.set(k, last_jiffies_update(k) + ticks * period);
  do_timer(k, ticks);
}

/** @mirrors kernel/time/tick-sched.c:tick_nohz_restart_sched_tick */
function tick_nohz_restart_sched_tick(k: Kernel, ts: tick_sched): void {
  tick_do_update_jiffies64(k, k.now());
  timer_clear_idle(k);
  ts.tick_stopped = false;
  tick_nohz_restart(k, ts);
}

function tick_sched_do_timer(k: Kernel, now: number): void {
  if (tick_do_timer_cpu(k) === TICK_DO_TIMER_NONE) tick_do_timer_cpu.set(k, k.cpu.id);
  if (tick_do_timer_cpu(k) === k.cpu.id) tick_do_update_jiffies64(k, now);
}

/** Books the tick on whom it hit; the idle task's time is nobody's. @mirrors kernel/sched/cputime.c:account_process_tick */
function account_process_tick(k: Kernel, user_tick: boolean): void {
  const p = current(k);
  if (user_tick) p.utime++;
  else if (!is_idle_task(p)) p.stime++;
}

/** What every tick does for the task it interrupts. @mirrors kernel/time/timer.c:update_process_times */
export function* update_process_times(k: Kernel, user_tick: boolean): Atomic<void> {
  account_process_tick(k, user_tick);
  run_local_timers(k);
  yield* k.rcu.rcu_sched_clock_irq(k, user_tick);
  scheduler_tick(k);
}

/** Starts the tick again, on the grid, after it was stopped. */
function tick_nohz_restart(k: Kernel, ts: tick_sched): void {
  hrtimer_forward(k, ts, k.now());
  programTick(k, ts.last_tick);
}

/** Moves the tick's expiry to the first line of the grid after `now`. */
function hrtimer_forward(k: Kernel, ts: tick_sched, now: number): void {
  const period = TICK_NSEC(k);
  if (ts.last_tick <= now) ts.last_tick += (Math.floor((now - ts.last_tick) / period) + 1) * period;
}

/** Whether the tick may be stopped at all: nothing is to be done on this CPU now. */
function can_stop_idle_tick(k: Kernel): boolean {
  if (!cpu_online(k, k.cpu.id)) {
    if (tick_do_timer_cpu(k) === k.cpu.id) tick_do_timer_cpu.set(k, TICK_DO_TIMER_NONE);
    return false;
  }
  if (need_resched(k)) return false;
  const pending = local_softirq_pending(k);
  if (pending === 0) return true;
  // All but RCU's are somebody's mistake when they are pending here.
  if (ratelimit(k) < 10 && (pending & ~(1 << RCU_SOFTIRQ)) !== 0) {
    pr_warn(k, `NOHZ: local_softirq_pending ${pending.toString(16).padStart(2, "0")}`);
    ratelimit.set(k, ratelimit(k) + 1);
  }
  return false;
}

/** Virtual time until which the CPU can do without a tick; 0 when the tick is to go on. */
function tick_nohz_next_event(k: Kernel, ts: tick_sched): number {
  const period = TICK_NSEC(k);
  const basemono = last_jiffies_update(k);
  const basejiff = jiffies(k);
  const needed = k.rcu.rcu_needs_cpu(k) || (local_softirq_pending(k) & (1 << TIMER_SOFTIRQ)) !== 0;
  const ticks = needed ? 1 : get_next_timer_interrupt(k, basejiff) - basejiff;
  if (ticks <= 1) {
    // Undoes what get_next_timer_interrupt() may have said.
    timer_clear_idle(k);
    if (!ts.tick_stopped) return 0;
  }
  return basemono + ticks * period;
}

function tick_nohz_stop_tick(k: Kernel, ts: tick_sched, expires: number): void {
  if (tick_do_timer_cpu(k) === k.cpu.id) tick_do_timer_cpu.set(k, TICK_DO_TIMER_NONE);
  ts.tick_stopped = true;
  programTick(k, expires);
}

/**
 * Stops the tick of an idle CPU until its next timer, unless something needs it within a tick.
 *
 * Context: interrupts off, idle task.
 *
 * @mirrors kernel/time/tick-sched.c:tick_nohz_idle_stop_tick
 */
export function tick_nohz_idle_stop_tick(k: Kernel): void {
  const ts = this_cpu_ptr(k, tick_cpu_sched);
  if (!can_stop_idle_tick(k)) return;
  const expires = tick_nohz_next_event(k, ts);
  ts.idle_calls++;
  if (expires === 0) return;
  tick_nohz_stop_tick(k, ts, expires);
  ts.idle_sleeps++;
}

/** @mirrors kernel/time/tick-sched.c:tick_nohz_idle_enter */
export function tick_nohz_idle_enter(k: Kernel): void {
  this_cpu_ptr(k, tick_cpu_sched).inidle = true;
}

/** The CPU has something to run: its tick goes on. @mirrors kernel/time/tick-sched.c:tick_nohz_idle_exit */
export function tick_nohz_idle_exit(k: Kernel): void {
  const flags = local_irq_save(k);
  const ts = this_cpu_ptr(k, tick_cpu_sched);
  WARN_ON_ONCE(k, !ts.inidle, "tick_nohz_idle_exit");
  ts.inidle = false;
  if (ts.tick_stopped) tick_nohz_restart_sched_tick(k, ts);
  local_irq_restore(k, flags);
}

/** An interrupt hit an idle CPU without a tick: bring jiffies up to date first. @mirrors kernel/time/tick-sched.c:tick_irq_enter */
export function tick_irq_enter(k: Kernel): void {
  if (this_cpu_ptr(k, tick_cpu_sched).tick_stopped) tick_do_update_jiffies64(k, k.now());
}

/** The tick's interrupt handler; restarts itself unless the tick is stopped. @mirrors kernel/time/tick-sched.c:tick_sched_timer */
export function* tick_sched_timer(k: Kernel, user_tick: boolean): Atomic<void> {
  const ts = this_cpu_ptr(k, tick_cpu_sched);
  const now = k.now();
  tick_sched_do_timer(k, now);
  yield* update_process_times(k, user_tick);
  if (ts.tick_stopped) return;
  hrtimer_forward(k, ts, now);
  programTick(k, ts.last_tick);
}

/** Starts the tick of this CPU: on the grid of jiffies. @mirrors kernel/time/tick-sched.c:tick_setup_sched_timer */
export function tick_setup_sched_timer(k: Kernel): void {
  const ts = this_cpu_ptr(k, tick_cpu_sched);
  ts.last_tick = last_jiffies_update(k);
  hrtimer_forward(k, ts, k.now());
  programTick(k, ts.last_tick);
}

/** Whether the current CPU idles without a tick; for looks. @invented ts->tick_stopped */
export function tickStopped(k: Kernel): boolean {
  return this_cpu_ptr(k, tick_cpu_sched).tick_stopped && is_idle_task(current(k));
}
