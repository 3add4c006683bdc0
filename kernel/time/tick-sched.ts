// SPDX-License-Identifier: GPL-2.0-only
/**
 * The tick, and stopping it on idle CPUs. Mirrors kernel/time/tick-sched.c and update_process_times() of timer.c (v5.7),
 * in one-shot (high resolution) mode.
 *
 * jiffies is advanced by one CPU; when that CPU stops its tick, the next one that takes an interrupt does it.
 *
 * @module
 */

import { type Atomic } from "../machine/effects.ts";
import type { Kernel } from "../kernel.ts";
import { scheduler_tick } from "../sched/core.ts";
import { current, is_idle_task } from "../sched/sched.ts";
import { local_softirq_pending } from "../softirq.ts";
import { DEFINE_PER_CPU, KERNEL_STATIC, type PerCpu, type StaticKey, this_cpu_ptr } from "../static.ts";
import { jiffies } from "./jiffies.ts";
import { get_next_timer_interrupt, run_local_timers, timer_clear_idle } from "./timer.ts";

const TICK_DO_TIMER_NONE = -1;

/** @mirrors kernel/time/tick-sched.h:tick_sched */
export class tick_sched {
  tick_stopped = false;
  inidle = false;
  /** Virtual time of the last periodic tick. */
  last_tick = 0;
  idle_calls = 0;
  idle_sleeps = 0;
}

export const tick_cpu_sched: PerCpu<tick_sched> = DEFINE_PER_CPU("tick_cpu_sched", () => new tick_sched());
/** The CPU that advances jiffies. */
const tick_do_timer_cpu = KERNEL_STATIC<number>("tick_do_timer_cpu", () => 0);
/** Virtual time at which jiffies was last advanced: a multiple of the tick. */
const last_jiffies_update = KERNEL_STATIC<number>("last_jiffies_update", () => 0);

export const statics: readonly StaticKey[] = [tick_cpu_sched, tick_do_timer_cpu, last_jiffies_update];

/** Virtual ns per tick. @mirrors include/linux/jiffies.h:TICK_NSEC */
export function tickNs(k: Kernel): number {
  return Math.floor(1e9 / k.config.HZ);
}

/** @mirrors kernel/time/tick-sched.c:tick_do_update_jiffies64 */
export function tick_do_update_jiffies64(k: Kernel, now: number): void {
  const period = tickNs(k);
  const ticks = Math.floor((now - last_jiffies_update(k)) / period);
  if (ticks <= 0) return;
  last_jiffies_update.set(k, last_jiffies_update(k) + ticks * period);
  jiffies.set(k, jiffies(k) + ticks);
}

function tick_sched_do_timer(k: Kernel, now: number): void {
  if (tick_do_timer_cpu(k) === TICK_DO_TIMER_NONE) tick_do_timer_cpu.set(k, k.cpu.id);
  if (tick_do_timer_cpu(k) === k.cpu.id) tick_do_update_jiffies64(k, now);
}

/** What every tick does for the task it interrupts. @mirrors kernel/time/timer.c:update_process_times */
export function* update_process_times(k: Kernel, user_tick: boolean): Atomic<void> {
  const p = current(k);
  if (user_tick) p.utime++;
  else p.stime++;
  run_local_timers(k);
  yield* k.rcu.rcu_sched_clock_irq(k, user_tick);
  scheduler_tick(k);
}

/** The tick's interrupt handler; restarts itself unless the tick is stopped. @mirrors kernel/time/tick-sched.c:tick_sched_timer */
export function* tick_sched_timer(k: Kernel, user_tick: boolean): Atomic<void> {
  const ts = this_cpu_ptr(k, tick_cpu_sched);
  tick_sched_do_timer(k, k.now());
  yield* update_process_times(k, user_tick);
  if (ts.tick_stopped) return;
  forwardTick(k, ts);
}

/** Programs the next periodic tick, on this CPU's grid. */
function forwardTick(k: Kernel, ts: tick_sched): void {
  const period = tickNs(k);
  const missed = Math.max(0, Math.floor((k.now() - ts.last_tick) / period));
  ts.last_tick += missed * period;
  k.programTimer(ts.last_tick + period);
}

/** An interrupt hit an idle CPU without a tick: bring jiffies up to date first. @mirrors kernel/time/tick-sched.c:tick_irq_enter */
export function tick_irq_enter(k: Kernel): void {
  if (this_cpu_ptr(k, tick_cpu_sched).tick_stopped) tick_do_update_jiffies64(k, k.now());
}

/** @mirrors kernel/time/tick-sched.c:tick_nohz_idle_enter */
export function tick_nohz_idle_enter(k: Kernel): void {
  this_cpu_ptr(k, tick_cpu_sched).inidle = true;
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
  ts.idle_calls++;
  if (local_softirq_pending(k) !== 0) return;
  const period = tickNs(k);
  const base = last_jiffies_update(k);
  let next = base + period;
  if (!k.rcu.rcu_needs_cpu(k)) next = base + (get_next_timer_interrupt(k, jiffies(k)) - jiffies(k)) * period;
  if (next - base <= period && !ts.tick_stopped) {
    timer_clear_idle(k);
    return;
  }
  if (tick_do_timer_cpu(k) === k.cpu.id) tick_do_timer_cpu.set(k, TICK_DO_TIMER_NONE);
  if (!ts.tick_stopped) ts.idle_sleeps++;
  ts.tick_stopped = true;
  k.programTimer(next);
}

/** @mirrors kernel/time/tick-sched.c:tick_nohz_idle_exit */
export function tick_nohz_idle_exit(k: Kernel): void {
  const ts = this_cpu_ptr(k, tick_cpu_sched);
  ts.inidle = false;
  if (!ts.tick_stopped) return;
  tick_do_update_jiffies64(k, k.now());
  timer_clear_idle(k);
  ts.tick_stopped = false;
  forwardTick(k, ts);
}

/** Starts the tick of this CPU: on the grid of jiffies, as without skew_tick. @mirrors kernel/time/tick-sched.c:tick_setup_sched_timer */
export function tick_setup_sched_timer(k: Kernel): void {
  const ts = this_cpu_ptr(k, tick_cpu_sched);
  const period = tickNs(k);
  ts.last_tick = Math.floor(k.now() / period) * period;
  forwardTick(k, ts);
}

/** Whether the current CPU idles without a tick; for looks. @invented ts->tick_stopped */
export function tickStopped(k: Kernel): boolean {
  return this_cpu_ptr(k, tick_cpu_sched).tick_stopped && is_idle_task(current(k));
}
