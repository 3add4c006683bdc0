// SPDX-License-Identifier: GPL-2.0-only
/**
 * Softirqs and interrupt entry and exit. Mirrors kernel/softirq.c (v5.7).
 *
 * Pending vectors run at the end of an interrupt, at local_bh_enable(), or in ksoftirqd: at most ten rounds or 2 ms at a
 * time. There is a point between vectors; callbacks inside a vector bring their own.
 *
 * Invariant: softirqs do not nest on a CPU. Left out: tasklets, forced interrupt threads, time accounting.
 *
 * @module
 */

import { type Atomic, doneVoid, type MaySleep, STEP } from "./machine/effects.ts";
import { POINT_SOFTIRQ, pt } from "./machine/points.ts";
import { assert } from "./machine/assert.ts";
import { panic, WARN_ON_ONCE, WARN_ONCE } from "./bug.ts";
import type { Kernel } from "./kernel.ts";
import {
  HARDIRQ_OFFSET,
  in_interrupt,
  in_irq,
  irqs_disabled,
  local_irq_disable,
  local_irq_enable,
  local_irq_restore,
  local_irq_save,
  preempt_count,
  preempt_count_add,
  preempt_count_sub,
  SOFTIRQ_DISABLE_OFFSET,
  SOFTIRQ_OFFSET,
} from "./preempt.ts";
import { cond_resched, current, need_resched, wake_up_process } from "./sched/core.ts";
import { pr_err } from "./printk.ts";
import { is_idle_task, PF_MEMALLOC, TASK_RUNNING, type task_struct } from "./sched/sched.ts";
import { smpboot_register_percpu_thread } from "./smpboot.ts";
import {
  DEFINE_PER_CPU,
  KERNEL_STATIC,
  per_cpu_ptr,
  type PerCpu,
  type StaticKey,
  this_cpu_ptr,
  this_cpu_write,
} from "./static.ts";
import { jiffies, msecs_to_jiffies } from "./time/jiffies.ts";
import { tick_irq_enter } from "./time/tick-sched.ts";
import {
  SOFTIRQ_NAMES,
  trace_softirq_entry,
  trace_softirq_exit,
  trace_softirq_raise,
} from "./trace/events/irq.ts";

/** @mirrors include/linux/interrupt.h:local_softirq_pending */
export function local_softirq_pending(k: Kernel): number {
  return this_cpu_ptr(k, __softirq_pending);
}

export const HI_SOFTIRQ = 0;
export const TIMER_SOFTIRQ = 1;
export const TASKLET_SOFTIRQ = 6;
export const SCHED_SOFTIRQ = 7;
export const HRTIMER_SOFTIRQ = 8;
export const RCU_SOFTIRQ = 9;
export const NR_SOFTIRQS = 10;

const MAX_SOFTIRQ_TIME_MS = 2;
const MAX_SOFTIRQ_RESTART = 10;

/** These run even while ksoftirqd is runnable. */
const SOFTIRQ_NOW_MASK = (1 << HI_SOFTIRQ) | (1 << TASKLET_SOFTIRQ);

type SoftirqAction = (k: Kernel) => Atomic<void>;

const softirq_vec = KERNEL_STATIC(
  "softirq_vec",
  () => new Array<SoftirqAction | null>(NR_SOFTIRQS).fill(null),
);
/** Pending vectors of each CPU, a bit each. */
export const __softirq_pending: PerCpu<number> = DEFINE_PER_CPU<number>("__softirq_pending", () => 0);
/** Softirq time thread of each CPU. */
export const ksoftirqd: PerCpu<task_struct | null> = DEFINE_PER_CPU<task_struct | null>(
  "ksoftirqd",
  () => null,
);
/** How often each vector ran, by CPU and vector. */
export const softirqStat: PerCpu<Uint32Array> = DEFINE_PER_CPU(
  "kstat.softirqs",
  () => new Uint32Array(NR_SOFTIRQS),
);

export const statics: readonly StaticKey[] = [softirq_vec, __softirq_pending, ksoftirqd, softirqStat];

function wakeup_softirqd(k: Kernel): void {
  const tsk = this_cpu_ptr(k, ksoftirqd);
  if (tsk !== null && tsk.state !== TASK_RUNNING) wake_up_process(k, tsk);
}

/** ksoftirqd is runnable: leave the work to it. */
function ksoftirqd_running(k: Kernel, pending: number): boolean {
  if ((pending & SOFTIRQ_NOW_MASK) !== 0) return false;
  const tsk = this_cpu_ptr(k, ksoftirqd);
  return tsk !== null && tsk.state === TASK_RUNNING;
}

/**
 * Keeps softirqs from running on this CPU, and the task from being preempted. Nests.
 *
 * Context: any but hard interrupt.
 *
 * @mirrors include/linux/bottom_half.h:local_bh_disable
 */
export function local_bh_disable(k: Kernel): void {
  __local_bh_disable_ip(k, SOFTIRQ_DISABLE_OFFSET);
}

/** @mirrors kernel/softirq.c:__local_bh_disable_ip */
function __local_bh_disable_ip(k: Kernel, cnt: number): void {
  if (in_irq(k)) WARN_ON_ONCE(k, true, "__local_bh_disable_ip");
  preempt_count_add(k, cnt);
}

/** local_bh_enable() that does not run anything; interrupts are off. @mirrors kernel/softirq.c:_local_bh_enable */
export function _local_bh_enable(k: Kernel): void {
  preempt_count_sub(k, SOFTIRQ_DISABLE_OFFSET);
}

/**
 * Allows softirqs again; what is pending runs here.
 *
 * Context: interrupts on.
 *
 * @mirrors include/linux/bottom_half.h:local_bh_enable
 */
export function local_bh_enable(k: Kernel): Atomic<void> {
  return __local_bh_enable_ip(k, SOFTIRQ_DISABLE_OFFSET);
}

/** @mirrors kernel/softirq.c:__local_bh_enable_ip */
function __local_bh_enable_ip(k: Kernel, cnt: number): Atomic<void> {
  if (in_irq(k)) WARN_ON_ONCE(k, true, "__local_bh_enable_ip");
  if (irqs_disabled(k) && k.config.debug) WARN_ONCE(k, true, "IRQs not enabled as expected");
  // The preempt part of the count stays until the softirqs are done.
  preempt_count_sub(k, cnt - 1);
  if (!in_interrupt(k) && local_softirq_pending(k) !== 0) return bh_enable_slow(k);
  preempt_count_sub(k, 1);
  if (k.cpu.need_resched) k.kick();
  return doneVoid();
}

function* bh_enable_slow(k: Kernel): Atomic<void> {
  yield* do_softirq(k);
  preempt_count_sub(k, 1);
  if (k.cpu.need_resched) k.kick();
}

/**
 * Runs pending softirqs of this CPU, with interrupts on while handlers run.
 *
 * Context: interrupts off at entry and return.
 *
 * @mirrors kernel/softirq.c:__do_softirq
 */
export function* __do_softirq(k: Kernel): Atomic<void> {
  const end = jiffies(k) + msecs_to_jiffies(k, MAX_SOFTIRQ_TIME_MS);
  let max_restart = MAX_SOFTIRQ_RESTART;
  const borrowed = current(k);
  // The task's right to reserves is not its softirqs'.
  const reserves = borrowed.flags & PF_MEMALLOC;
  borrowed.flags &= ~PF_MEMALLOC;
  preempt_count_add(k, SOFTIRQ_OFFSET);
  for (;;) {
    const pending = local_softirq_pending(k);
    this_cpu_write(k, __softirq_pending, 0);
    local_irq_enable(k);
    for (let vec = 0; vec < NR_SOFTIRQS; vec++) {
      if ((pending & (1 << vec)) === 0) continue;
      if (pt(k, POINT_SOFTIRQ, "vector")) yield STEP;
      yield* handleSoftirq(k, vec);
    }
    if (current(k) === this_cpu_ptr(k, ksoftirqd)) yield* k.rcu.rcu_softirq_qs(k);
    local_irq_disable(k);
    if (local_softirq_pending(k) === 0) break;
    if (jiffies(k) - end < 0 && !need_resched(k) && --max_restart > 0) continue;
    wakeup_softirqd(k);
    break;
  }
  preempt_count_sub(k, SOFTIRQ_OFFSET);
  if (in_interrupt(k)) WARN_ON_ONCE(k, true, "__do_softirq");
  borrowed.flags |= reserves;
}

function* handleSoftirq(k: Kernel, vec: number): Atomic<void> {
  const action = softirq_vec(k)[vec];
  assert(action !== null, `softirq ${vec} has no handler`);
  const prev_count = preempt_count(k);
  this_cpu_ptr(k, softirqStat)[vec]++;
  trace_softirq_entry(k, vec);
  yield* action(k);
  trace_softirq_exit(k, vec);
  if (prev_count === preempt_count(k)) return;
  const hex = (n: number): string => n.toString(16).padStart(8, "0");
  const who = `${vec} ${SOFTIRQ_NAMES[vec]} ${action.name}`;
  const counts = `preempt_count ${hex(prev_count)}, exited with ${hex(preempt_count(k))}?`;
  pr_err(k, `huh, entered softirq ${who} with ${counts}`);
  k.cpu.preempt_count = prev_count;
}

/** @mirrors kernel/softirq.c:do_softirq */
export function* do_softirq(k: Kernel): Atomic<void> {
  if (in_interrupt(k)) return;
  const flags = local_irq_save(k);
  const pending = local_softirq_pending(k);
  if (pending !== 0 && !ksoftirqd_running(k, pending)) yield* __do_softirq(k);
  local_irq_restore(k, flags);
}

/**
 * Enters hard interrupt context: RCU is told first.
 *
 * @mirrors kernel/softirq.c:irq_enter
 */
export function* irq_enter(k: Kernel): Atomic<void> {
  yield* k.rcu.rcu_irq_enter(k);
  if (is_idle_task(current(k)) && !in_interrupt(k)) {
    // Raised softirqs must not wake ksoftirqd from here: they run at irq_exit().
    local_bh_disable(k);
    tick_irq_enter(k);
    _local_bh_enable(k);
  }
  preempt_count_add(k, HARDIRQ_OFFSET);
}

function invoke_softirq(k: Kernel): Atomic<void> {
  return ksoftirqd_running(k, local_softirq_pending(k)) ? doneVoid() : __do_softirq(k);
}

/**
 * Leaves hard interrupt context: runs softirqs, and tells RCU last.
 *
 * Context: interrupts off.
 *
 * @mirrors kernel/softirq.c:irq_exit
 */
export function* irq_exit(k: Kernel): Atomic<void> {
  preempt_count_sub(k, HARDIRQ_OFFSET);
  if (!in_interrupt(k) && local_softirq_pending(k) !== 0) yield* invoke_softirq(k);
  yield* k.rcu.rcu_irq_exit(k);
}

/**
 * Marks a softirq pending on this CPU. Outside interrupts ksoftirqd is woken.
 *
 * Context: interrupts off.
 *
 * @mirrors kernel/softirq.c:raise_softirq_irqoff
 */
export function raise_softirq_irqoff(k: Kernel, nr: number): void {
  __raise_softirq_irqoff(k, nr);
  if (!in_interrupt(k)) wakeup_softirqd(k);
}

/** @mirrors kernel/softirq.c:raise_softirq */
export function raise_softirq(k: Kernel, nr: number): void {
  const flags = local_irq_save(k);
  raise_softirq_irqoff(k, nr);
  local_irq_restore(k, flags);
}

/** @mirrors kernel/softirq.c:__raise_softirq_irqoff */
export function __raise_softirq_irqoff(k: Kernel, nr: number): void {
  trace_softirq_raise(k, nr);
  this_cpu_write(k, __softirq_pending, local_softirq_pending(k) | (1 << nr));
}

/** @mirrors kernel/softirq.c:open_softirq */
export function open_softirq(k: Kernel, nr: number, action: SoftirqAction): void {
  softirq_vec(k)[nr] = action;
}

function ksoftirqd_should_run(k: Kernel): boolean {
  return local_softirq_pending(k) !== 0;
}

function* run_ksoftirqd(k: Kernel): MaySleep<void> {
  local_irq_disable(k);
  if (local_softirq_pending(k) === 0) {
    local_irq_enable(k);
    return;
  }
  yield* __do_softirq(k);
  local_irq_enable(k);
  yield* cond_resched(k);
}

/** Starts the softirq threads. @mirrors kernel/softirq.c:spawn_ksoftirqd */
export function* spawn_ksoftirqd(k: Kernel): MaySleep<void> {
  const err = yield* smpboot_register_percpu_thread(k, {
    store: ksoftirqd,
    thread_should_run: ksoftirqd_should_run,
    thread_fn: run_ksoftirqd,
    thread_comm: "ksoftirqd/%u",
  });
  if (err !== 0) panic(k, "no memory for ksoftirqd");
}

/** Count of vector `nr` on `cpu` since boot. @mirrors include/linux/kernel_stat.h:kstat_softirqs_cpu */
export function kstat_softirqs_cpu(k: Kernel, nr: number, cpu: number): number {
  return per_cpu_ptr(k, softirqStat, cpu)[nr];
}
