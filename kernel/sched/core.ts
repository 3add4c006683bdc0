// SPDX-License-Identifier: GPL-2.0-only
/**
 * The scheduler's core. Mirrors kernel/sched/core.c (v5.7): wake-ups, affinity, __schedule(), the tick, preemption,
 * cond_resched, policies and the sleep checks.
 *
 * Invariant: deactivating the old task, picking the new one and switching are one indivisible step, so nobody ever sees
 * a task half switched. Wake-ups are plain calls; what they cause happens at the next point of the CPU concerned.
 *
 * Left out: signals, cgroups, deadlines, priority inheritance, the stopper threads (a running task that must leave its
 * CPU goes when that CPU schedules), remote wake lists.
 *
 * @module
 */

import { SWITCH_NS } from "../machine/cost.ts";
import { type Atomic, done, doneVoid, type MaySleep, SLEEP, STEP } from "../machine/effects.ts";
import { VECTOR_RESCHEDULE } from "../machine/cpu.ts";
import { POINT_RESCHED, POINT_SCHEDULE, pt } from "../machine/points.ts";
import { BUG, WARN_ON_ONCE, WARN_ONCE } from "../bug.ts";
import {
  cpu_online,
  cpu_online_mask,
  cpu_possible_mask,
  cpumask_any_and,
  cpumask_equal,
  cpumask_first,
  cpumask_next,
  type cpumask_t,
  cpumask_test_cpu,
  for_each_cpu,
} from "../cpumask.ts";
import { EINVAL } from "../errno.ts";
import { put_task_struct } from "../fork.ts";
import type { Kernel } from "../kernel.ts";
import {
  countsPreemption,
  in_atomic,
  irqs_disabled,
  local_irq_disable,
  local_irq_enable,
  preempt_count,
  preempt_disable,
  preempt_enable,
  preempt_enable_no_resched,
  PREEMPT_MASK,
} from "../preempt.ts";
import { dumpStackLines, KERN_ERR, report } from "../printk.ts";
import { debug_show_held_locks } from "../locking/lockdep.ts";
import { rcu_sleep_check } from "../locking/lockdep_rcu.ts";
import { callTrace } from "../stacktrace.ts";
import { runtimeStarted } from "../system_state.ts";
import { HZ, jiffies, time_before } from "../time/jiffies.ts";
import {
  trace_sched_migrate_task,
  trace_sched_switch,
  trace_sched_wakeup,
  trace_sched_wakeup_new,
  trace_sched_waking,
} from "../trace/events/sched.ts";
import { fair_sched_class } from "./fair.ts";
import { idle_sched_class, rt_sched_class, stop_sched_class } from "./rt.ts";
import {
  cpu_rq,
  cpuAllowed,
  current,
  DEQUEUE_MOVE,
  DEQUEUE_SAVE,
  DEQUEUE_SLEEP,
  ENQUEUE_HEAD,
  ENQUEUE_MIGRATED,
  ENQUEUE_RESTORE,
  ENQUEUE_WAKEUP,
  is_idle_task,
  MAX_RT_PRIO,
  PF_IDLE,
  PF_KTHREAD,
  PF_NO_SETAFFINITY,
  PF_WQ_WORKER,
  prev_jiffy,
  type rq,
  SCHED_FIFO,
  SCHED_NORMAL,
  TASK_DEAD,
  TASK_NEW,
  TASK_NORMAL,
  task_rq,
  TASK_RUNNING,
  task_running,
  task_struct,
  TASK_UNINTERRUPTIBLE,
  TASK_WAKING,
  this_rq,
} from "./sched.ts";
import { wq_worker_running, wq_worker_sleeping } from "../workqueue.ts";

export { current } from "./sched.ts";

/** prev_state of a task that was preempted, in the trace: "R+". */
const TASK_REPORT_MAX = 0x100;

/** @mirrors kernel/sched/core.c:update_rq_clock */
export function update_rq_clock(k: Kernel, rq: rq): void {
  const now = k.now();
  if (now > rq.clock) rq.clock = now;
}

/**
 * Asks the runqueue's CPU to reschedule: at its next point if it is this one, else by an interrupt.
 *
 * @mirrors kernel/sched/core.c:resched_curr
 */
export function resched_curr(k: Kernel, rq: rq): void {
  const cpu = k.cpus[rq.cpu];
  if (cpu.need_resched) return;
  cpu.need_resched = true;
  if (cpu === k.cpu) k.kick();
  else k.sendIpi(cpu, VECTOR_RESCHEDULE);
}

/** @mirrors kernel/sched/core.c:resched_cpu */
export function resched_cpu(k: Kernel, cpu: number): void {
  if (cpu_online(k, cpu) || cpu === k.cpu.id) resched_curr(k, cpu_rq(k, cpu));
}

/** Folded into the flag of the task, which is per CPU here. @mirrors include/asm-generic/preempt.h:set_preempt_need_resched */
export function set_preempt_need_resched(k: Kernel): void {
  k.cpu.need_resched = true;
  k.kick();
}

/** @mirrors include/asm-generic/preempt.h:clear_preempt_need_resched */
export function clear_preempt_need_resched(k: Kernel): void {
  k.cpu.need_resched = false;
}

/** @mirrors kernel/sched/core.c:enqueue_task */
export function enqueue_task(k: Kernel, rq: rq, p: task_struct, flags: number): void {
  p.sched_class.enqueue_task(k, rq, p, flags);
}

/** @mirrors kernel/sched/core.c:dequeue_task */
export function dequeue_task(k: Kernel, rq: rq, p: task_struct, flags: number): void {
  p.sched_class.dequeue_task(k, rq, p, flags);
}

/** @mirrors kernel/sched/core.c:activate_task */
export function activate_task(k: Kernel, rq: rq, p: task_struct, flags: number): void {
  enqueue_task(k, rq, p, flags);
  p.on_rq = true;
}

/** @mirrors kernel/sched/core.c:deactivate_task */
export function deactivate_task(k: Kernel, rq: rq, p: task_struct, flags: number): void {
  p.on_rq = false;
  dequeue_task(k, rq, p, flags);
}

/**
 * Preempts the current task if `p` is of a higher class, or its own class says so.
 *
 * @mirrors kernel/sched/core.c:check_preempt_curr
 */
export function check_preempt_curr(k: Kernel, rq: rq, p: task_struct): void {
  const { curr } = rq;
  if (p.sched_class === curr.sched_class) curr.sched_class.check_preempt_curr(k, rq, p);
  else if (p.sched_class.rank < curr.sched_class.rank) resched_curr(k, rq);
}

function is_cpu_allowed(k: Kernel, p: task_struct, cpu: number): boolean {
  return cpuAllowed(p, cpu) && cpu_online(k, cpu);
}

/** Moves a task that waits to run to another runqueue. */
function move_queued_task(k: Kernel, rq: rq, p: task_struct, new_cpu: number): void {
  dequeue_task(k, rq, p, 0);
  set_task_cpu(k, p, new_cpu);
  const dest = cpu_rq(k, new_cpu);
  update_rq_clock(k, dest);
  enqueue_task(k, dest, p, 0);
  check_preempt_curr(k, dest, p);
}

/** `p` has left its CPU: wakes who waits for that in stop_one_cpu(). */
function wakeMoveWaiters(k: Kernel, p: task_struct): void {
  const waiters = p.moveWaiters ?? [];
  p.moveWaiters = null;
  for (const waiter of waiters) wake_up_process(k, waiter);
}

/** @mirrors kernel/sched/core.c:do_set_cpus_allowed */
export function do_set_cpus_allowed(k: Kernel, p: task_struct, new_mask: cpumask_t | null): void {
  const rq = task_rq(k, p);
  const queued = p.on_rq;
  const running = rq.curr === p;
  if (queued) dequeue_task(k, rq, p, DEQUEUE_SAVE);
  if (running) p.sched_class.put_prev_task(k, rq, p);
  p.cpus_mask = new_mask;
  if (queued) enqueue_task(k, rq, p, ENQUEUE_RESTORE);
  if (running) p.sched_class.set_next_task(k, rq, p);
}

/**
 * set_cpus_allowed_ptr(); with `check` a thread that is bound for ever refuses (-EINVAL).
 *
 * @mirrors kernel/sched/core.c:__set_cpus_allowed_ptr
 * @simplified a running task leaves when its CPU schedules, not by a stopper thread
 */
export function* __set_cpus_allowed_ptr(
  k: Kernel,
  p: task_struct,
  new_mask: cpumask_t,
  check: boolean,
): MaySleep<number> {
  const rq = task_rq(k, p);
  update_rq_clock(k, rq);
  if (check && (p.flags & PF_NO_SETAFFINITY) !== 0) return -EINVAL;
  if (cpumask_equal(p.cpus_mask ?? cpu_possible_mask(k), new_mask)) return 0;
  const dest_cpu = cpumask_any_and(cpu_online_mask(k), new_mask);
  if (dest_cpu < 0) return -EINVAL;
  do_set_cpus_allowed(k, p, new_mask);
  if (cpumask_test_cpu(p.cpu, new_mask)) return 0;
  if (task_running(p)) yield* stop_one_cpu(k, rq, p);
  else if (p.on_rq) move_queued_task(k, rq, p, dest_cpu);
  return 0;
}

/**
 * Lets `p` run on the CPUs of `new_mask` only; on return it is on one of them, or sleeps. Returns 0, or -EINVAL when none of
 * them is online.
 *
 * Context: process context. Sleeps until a running task has left its CPU.
 *
 * @mirrors kernel/sched/core.c:set_cpus_allowed_ptr
 */
export function set_cpus_allowed_ptr(k: Kernel, p: task_struct, new_mask: cpumask_t): MaySleep<number> {
  return __set_cpus_allowed_ptr(k, p, new_mask, false);
}

/** Makes the running `p` leave its CPU and waits until it has. */
function* stop_one_cpu(k: Kernel, rq: rq, p: task_struct): MaySleep<void> {
  resched_curr(k, rq);
  const me = current(k);
  while (task_running(p) && !cpuAllowed(p, p.cpu)) {
    if (p !== me) {
      set_current_state(k, TASK_UNINTERRUPTIBLE);
      (p.moveWaiters ??= []).push(me);
      me.waitingFor = `${p.comm}/${p.pid} to leave CPU ${p.cpu}`;
    }
    yield* schedule(k);
    me.waitingFor = "";
  }
}

/** @mirrors kernel/sched/core.c:set_task_cpu */
export function set_task_cpu(k: Kernel, p: task_struct, new_cpu: number): void {
  if (p.cpu === new_cpu) return;
  trace_sched_migrate_task(k, p, p.cpu, new_cpu);
  if (p.state === TASK_WAKING) p.sched_class.migrate_task_rq(k, p);
  p.cpu = new_cpu;
}

/** Any CPU that is allowed and online; when there is none the task may run everywhere from now on. */
function select_fallback_rq(k: Kernel, p: task_struct): number {
  if (p.cpus_mask !== null) {
    for (const cpu of for_each_cpu(p.cpus_mask)) if (cpu_online(k, cpu)) return cpu;
    do_set_cpus_allowed(k, p, null);
  }
  return cpumask_first(cpu_online_mask(k));
}

function select_task_rq(k: Kernel, p: task_struct, cpu: number, fork: boolean): number {
  const mask = p.cpus_mask;
  let target = mask === null ? -1 : cpumask_first(mask);
  // More than one CPU to choose from: the class knows.
  if (mask === null || target < 0 || cpumask_next(target, mask) >= 0) {
    target = p.sched_class.select_task_rq(k, p, cpu, fork);
  }
  return is_cpu_allowed(k, p, target) ? target : select_fallback_rq(k, p);
}

/** @mirrors include/linux/sched.h:__set_current_state */
export function __set_current_state(k: Kernel, state: number): void {
  current(k).state = state;
}

/** @mirrors include/linux/sched.h:set_current_state */
export function set_current_state(k: Kernel, state: number): void {
  current(k).state = state;
}

/**
 * Marks `p` if it runs; on another CPU that is noticed only when something else makes it look.
 *
 * @mirrors include/linux/sched.h:set_tsk_need_resched
 */
export function set_tsk_need_resched(k: Kernel, p: task_struct): void {
  if (task_rq(k, p).curr !== p) return;
  k.cpus[p.cpu].need_resched = true;
  if (k.cpus[p.cpu] === k.cpu) k.kick();
}

/** @mirrors include/linux/sched.h:clear_tsk_need_resched */
export function clear_tsk_need_resched(k: Kernel, p: task_struct): void {
  if (task_rq(k, p).curr === p) k.cpus[p.cpu].need_resched = false;
}

/** @mirrors kernel/sched/core.c:ttwu_do_wakeup */
function ttwu_do_wakeup(k: Kernel, rq: rq, p: task_struct): void {
  check_preempt_curr(k, rq, p);
  p.state = TASK_RUNNING;
  trace_sched_wakeup(k, p, p.cpu);
}

/**
 * Makes `p` runnable if its state is one of `state`. Returns whether it was woken.
 *
 * Context: any. Not a point.
 *
 * @mirrors kernel/sched/core.c:try_to_wake_up
 * @simplified the runqueue of another CPU is changed directly; there is no wake list
 */
export function try_to_wake_up(k: Kernel, p: task_struct, state: number): boolean {
  if ((p.state & state) === 0) return false;
  trace_sched_waking(k, p, p.cpu);
  if (p === current(k)) {
    p.state = TASK_RUNNING;
    trace_sched_wakeup(k, p, p.cpu);
    return true;
  }
  if (p.on_rq) {
    const rq = task_rq(k, p);
    update_rq_clock(k, rq);
    ttwu_do_wakeup(k, rq, p);
    return true;
  }
  p.state = TASK_WAKING;
  p.waitingFor = "";
  const cpu = select_task_rq(k, p, p.cpu, false);
  const migrated = cpu !== p.cpu;
  if (migrated) set_task_cpu(k, p, cpu);
  const rq = task_rq(k, p);
  update_rq_clock(k, rq);
  activate_task(k, rq, p, migrated ? ENQUEUE_WAKEUP | ENQUEUE_MIGRATED : ENQUEUE_WAKEUP);
  ttwu_do_wakeup(k, rq, p);
  return true;
}

/** @mirrors kernel/sched/core.c:wake_up_process */
export function wake_up_process(k: Kernel, p: task_struct): boolean {
  return try_to_wake_up(k, p, TASK_NORMAL);
}

/** @mirrors kernel/sched/core.c:wake_up_state */
export function wake_up_state(k: Kernel, p: task_struct, state: number): boolean {
  return try_to_wake_up(k, p, state);
}

/**
 * The scheduler's part of making a task: it can not be woken before wake_up_new_task().
 *
 * @mirrors kernel/sched/core.c:sched_fork
 * @simplified a new task is a normal one, whatever its parent is
 */
export function sched_fork(k: Kernel, p: task_struct): void {
  p.state = TASK_NEW;
  p.cpu = k.cpu.id;
  p.sched_class.task_fork(k, this_rq(k), p);
}

/** Starts a task made by copy_process(). @mirrors kernel/sched/core.c:wake_up_new_task */
export function wake_up_new_task(k: Kernel, p: task_struct): void {
  p.state = TASK_RUNNING;
  p.cpu = select_task_rq(k, p, p.cpu, true);
  const rq = task_rq(k, p);
  update_rq_clock(k, rq);
  activate_task(k, rq, p, 0);
  trace_sched_wakeup_new(k, p, p.cpu);
  check_preempt_curr(k, rq, p);
}

/**
 * The first thing a task does after it was switched to: interrupts on, and the previous task is buried if it is dead.
 *
 * @mirrors kernel/sched/core.c:finish_task_switch
 * @simplified a dead task's memory is freed at once, not after a grace period
 */
function finish_task_switch(k: Kernel): Atomic<void> {
  const count = preempt_count(k);
  if (count !== 1) {
    const { comm, pid } = current(k);
    WARN_ONCE(
      k,
      true,
      `corrupted preempt_count: ${comm}/${pid}/0x${count.toString(16)}`,
      "finish_task_switch",
    );
    k.cpu.preempt_count = 1;
  }
  const rq = this_rq(k);
  const { prev } = rq;
  rq.prev = null;
  local_irq_enable(k);
  if (prev === null || prev.state !== TASK_DEAD) return doneVoid();
  return put_task_struct(k, prev);
}

/** The first thing a new task does. @mirrors kernel/sched/core.c:schedule_tail */
export function* schedule_tail(k: Kernel): Atomic<void> {
  yield* finish_task_switch(k);
  preempt_enable(k);
}

/** Everything of a switch but the jump to the next task's stack, which the engine does. @mirrors kernel/sched/core.c:context_switch */
function context_switch(k: Kernel, rq: rq, prev: task_struct, next: task_struct): void {
  k.charge(SWITCH_NS);
  rq.prev = prev;
  prev.on_cpu = false;
  next.on_cpu = true;
  k.cpu.current = next;
  if (prev.moveWaiters !== null) wakeMoveWaiters(k, prev);
}

/** The tick's part of scheduling; interrupts are off. @mirrors kernel/sched/core.c:scheduler_tick */
export function scheduler_tick(k: Kernel): void {
  const rq = this_rq(k);
  update_rq_clock(k, rq);
  rq.curr.sched_class.task_tick(k, rq, rq.curr);
}

/** Complains about a switch in atomic context. @mirrors kernel/sched/core.c:__schedule_bug */
function __schedule_bug(k: Kernel, prev: task_struct): void {
  const count = preempt_count(k).toString(16).padStart(8, "0");
  const title = `BUG: scheduling while atomic: ${prev.comm}/${prev.pid}/0x${count}`;
  const locks = debug_show_held_locks(k, prev);
  report(k, KERN_ERR, title, [title, ...locks, "Modules linked in:", ...dumpStackLines(k)]);
}

/**
 * Checks that `prev` may give up the CPU. Returns how often it has disabled preemption where that is not counted: nobody
 * minds then, and the task gets it back when it runs again.
 *
 * @mirrors kernel/sched/core.c:schedule_debug
 */
function schedule_debug(k: Kernel, prev: task_struct): number {
  const count = preempt_count(k);
  if (count !== 1) {
    const uncounted = count > 1 && count <= PREEMPT_MASK && !countsPreemption(k);
    if (!uncounted) __schedule_bug(k, prev);
    k.cpu.preempt_count = 1;
    if (uncounted) return count - 1;
  }
  if (k.config.debug) rcu_sleep_check(k);
  return 0;
}

function pick_next_task(k: Kernel, rq: rq, prev: task_struct): task_struct {
  prev.sched_class.put_prev_task(k, rq, prev);
  if (prev.cpus_mask !== null && prev.on_rq && !cpuAllowed(prev, rq.cpu)) {
    move_queued_task(k, rq, prev, select_fallback_rq(k, prev));
  }
  // All of them fair: no need to ask the classes above.
  if (rq.nr_running === rq.cfs.nr_running) return fair_sched_class.pick_next_task(k, rq) ?? rq.idle;
  return stop_sched_class.pick_next_task(k, rq) ?? rt_sched_class.pick_next_task(k, rq) ??
    fair_sched_class.pick_next_task(k, rq) ?? rq.idle;
}

/**
 * Picks the next task and switches to it; returns when the caller runs again, possibly on another CPU.
 *
 * Context: preemption off (count 1). Interrupts are on at return.
 * Points: before RCU's hook, and between the hook and the runqueue.
 *
 * @mirrors kernel/sched/core.c:__schedule
 */
function* __schedule(k: Kernel, preempt: boolean): MaySleep<void> {
  if (pt(k, POINT_SCHEDULE, "schedule")) yield STEP;
  const prev = current(k);
  const uncounted = schedule_debug(k, prev);
  local_irq_disable(k);
  yield* k.rcu.rcu_note_context_switch(k, preempt);
  if (pt(k, POINT_SCHEDULE, "rq->lock")) yield STEP;

  const rq = this_rq(k);
  update_rq_clock(k, rq);
  const prevState = preempt ? TASK_REPORT_MAX : prev.state;
  const voluntary = !preempt && prev.state !== TASK_RUNNING;
  if (voluntary) deactivate_task(k, rq, prev, DEQUEUE_SLEEP);
  const next = pick_next_task(k, rq, prev);
  clear_preempt_need_resched(k);
  if (prev === next) {
    local_irq_enable(k);
    k.cpu.preempt_count += uncounted;
    return;
  }
  rq.nr_switches++;
  rq.curr = next;
  if (voluntary) prev.nvcsw++;
  else prev.nivcsw++;
  trace_sched_switch(k, prev, prevState, next);
  context_switch(k, rq, prev, next);
  yield SLEEP;
  yield* finish_task_switch(k);
  k.cpu.preempt_count += uncounted;
}

/**
 * The end of a task: it never runs again.
 *
 * Context: preemption off.
 *
 * @mirrors kernel/sched/core.c:do_task_dead
 */
export function* do_task_dead(k: Kernel): MaySleep<never> {
  current(k).state = TASK_DEAD;
  yield* __schedule(k, false);
  return BUG(k, "a dead task runs");
}

/** A worker goes to sleep: its pool may wake another. @mirrors kernel/sched/core.c:sched_submit_work */
function* sched_submit_work(k: Kernel, tsk: task_struct): Atomic<void> {
  if (tsk.state === TASK_RUNNING) return;
  preempt_disable(k);
  yield* wq_worker_sleeping(k, tsk);
  preempt_enable_no_resched(k);
}

/** A worker is back. @mirrors kernel/sched/core.c:sched_update_worker */
function sched_update_worker(k: Kernel, tsk: task_struct): void {
  wq_worker_running(k, tsk);
}

/**
 * Gives up the CPU. Returns when the task runs again.
 *
 * Context: process context, nothing held that forbids sleeping; otherwise reported.
 *
 * @mirrors kernel/sched/core.c:schedule
 */
export function* schedule(k: Kernel): MaySleep<void> {
  const tsk = current(k);
  const isWorker = (tsk.flags & PF_WQ_WORKER) !== 0;
  if (isWorker) yield* sched_submit_work(k, tsk);
  do {
    preempt_disable(k);
    yield* __schedule(k, false);
    preempt_enable_no_resched(k);
  } while (k.cpu.need_resched);
  if (isWorker) sched_update_worker(k, tsk);
}

/** The idle task's way into the scheduler; preemption is off already. @mirrors kernel/sched/core.c:schedule_idle */
export function* schedule_idle(k: Kernel): MaySleep<void> {
  WARN_ON_ONCE(k, current(k).state !== TASK_RUNNING, "schedule_idle");
  do {
    yield* __schedule(k, false);
  } while (k.cpu.need_resched);
}

/** schedule() from under one preempt_disable(). @mirrors kernel/sched/core.c:schedule_preempt_disabled */
export function* schedule_preempt_disabled(k: Kernel): MaySleep<void> {
  preempt_enable_no_resched(k);
  yield* schedule(k);
  preempt_disable(k);
}

function* preempt_schedule_common(k: Kernel): MaySleep<void> {
  do {
    preempt_disable(k);
    yield* __schedule(k, true);
    preempt_enable_no_resched(k);
  } while (k.cpu.need_resched);
}

/** Preempts the current task: a frame on top of it, entered at a point. @mirrors kernel/sched/core.c:preempt_schedule */
export function preempt_schedule(k: Kernel): MaySleep<void> {
  return preempt_schedule_common(k);
}

/** Preemption on the way out of an interrupt; interrupts are off before and after. @mirrors kernel/sched/core.c:preempt_schedule_irq */
export function* preempt_schedule_irq(k: Kernel): MaySleep<void> {
  do {
    preempt_disable(k);
    local_irq_enable(k);
    yield* __schedule(k, true);
    local_irq_disable(k);
    preempt_enable_no_resched(k);
  } while (k.cpu.need_resched);
}

/** Whether nothing but the idle task wants `cpu`. @mirrors kernel/sched/core.c:idle_cpu */
export function idle_cpu(k: Kernel, cpu: number): boolean {
  const rq = cpu_rq(k, cpu);
  return rq.curr === rq.idle && rq.nr_running === 0;
}

/** Tells the classes that `p` changed its class or its priority. */
function check_class_changed(
  k: Kernel,
  rq: rq,
  p: task_struct,
  prev_class: task_struct["sched_class"],
  oldprio: number,
): void {
  if (prev_class !== p.sched_class) {
    prev_class.switched_from(k, rq, p);
    p.sched_class.switched_to(k, rq, p);
  } else if (oldprio !== p.prio) p.sched_class.prio_changed(k, rq, p, oldprio);
}

/** sched_setscheduler_nocheck() where nobody has rights to check. @mirrors kernel/sched/core.c:sched_setscheduler */
export function sched_setscheduler(
  k: Kernel,
  p: task_struct,
  policy: number,
  sched_priority: number,
): number {
  return sched_setscheduler_nocheck(k, p, policy, sched_priority);
}

/**
 * Makes `p` a SCHED_FIFO task of priority 1 to 99, or a normal one (priority 0). Returns 0, or -EINVAL.
 *
 * Context: any. Not a point.
 *
 * @mirrors kernel/sched/core.c:sched_setscheduler_nocheck
 */
export function sched_setscheduler_nocheck(
  k: Kernel,
  p: task_struct,
  policy: number,
  sched_priority: number,
): number {
  if (policy !== SCHED_FIFO && policy !== SCHED_NORMAL) return -EINVAL;
  if (sched_priority < 0 || sched_priority > MAX_RT_PRIO - 1) return -EINVAL;
  if ((policy === SCHED_FIFO) !== (sched_priority !== 0)) return -EINVAL;
  const rq = task_rq(k, p);
  update_rq_clock(k, rq);
  if (p === rq.stop) return -EINVAL;
  if (policy === p.policy && sched_priority === p.rt_priority) return 0;
  const oldprio = p.prio;
  const queued = p.on_rq;
  const running = rq.curr === p;
  if (queued) dequeue_task(k, rq, p, DEQUEUE_SAVE | DEQUEUE_MOVE);
  if (running) p.sched_class.put_prev_task(k, rq, p);
  const prev_class = p.sched_class;
  p.policy = policy;
  p.rt_priority = sched_priority;
  p.prio = policy === SCHED_FIFO ? MAX_RT_PRIO - 1 - sched_priority : p.static_prio;
  p.sched_class = policy === SCHED_FIFO ? rt_sched_class : fair_sched_class;
  // Who became less important goes in front of its new equals.
  if (queued) enqueue_task(k, rq, p, oldprio < p.prio ? ENQUEUE_RESTORE | ENQUEUE_HEAD : ENQUEUE_RESTORE);
  if (running) p.sched_class.set_next_task(k, rq, p);
  check_class_changed(k, rq, p, prev_class, oldprio);
  return 0;
}

/** Lets others run that are about as entitled as the current task. @mirrors kernel/sched/core.c:do_sched_yield */
export function* do_sched_yield(k: Kernel): MaySleep<void> {
  current(k).sched_class.yield_task(k, this_rq(k));
  yield* schedule(k);
}

/**
 * Lets others run if somebody asked for this CPU. Returns whether it did. A point.
 *
 * Without preemption this is where long kernel loops give way, and a quiescent state; with it, it does nothing. A task whose
 * state says that it sleeps stays runnable.
 *
 * @mirrors include/linux/sched.h:cond_resched
 */
export function cond_resched(k: Kernel): MaySleep<boolean> {
  ___might_sleep(k);
  return pt(k, POINT_RESCHED, "cond_resched") ? condReschedAtPoint(k) : _cond_resched(k);
}

/** @mirrors include/linux/sched.h:need_resched */
export function need_resched(k: Kernel): boolean {
  return k.cpu.need_resched;
}

/** @mirrors include/linux/sched.h:task_cpu */
export function task_cpu(p: task_struct): number {
  return p.cpu;
}

function* condReschedAtPoint(k: Kernel): MaySleep<boolean> {
  yield STEP;
  return yield* _cond_resched(k);
}

/** @mirrors kernel/sched/core.c:_cond_resched */
function _cond_resched(k: Kernel): MaySleep<boolean> {
  if (k.config.preempt !== "none") return done(false);
  if (k.cpu.need_resched && !in_atomic(k)) return reschedNow(k);
  return k.rcu.flavour === "tree" ? allQs(k) : done(false);
}

function* reschedNow(k: Kernel): MaySleep<boolean> {
  yield* preempt_schedule_common(k);
  return true;
}

function* allQs(k: Kernel): Atomic<boolean> {
  yield* k.rcu.rcu_all_qs(k);
  return false;
}

/** C calls it yield(), which is a word of this language. @mirrors kernel/sched/core.c:yield */
export function* sched_yield(k: Kernel): MaySleep<void> {
  set_current_state(k, TASK_RUNNING);
  yield* do_sched_yield(k);
}

/** Makes the idle task of a CPU. @mirrors kernel/sched/core.c:init_idle */
export function init_idle(k: Kernel, cpu: number): task_struct {
  const comm = `swapper/${cpu}`;
  const idle = new task_struct(0, comm, k.log.intern(comm), idle_sched_class);
  idle.flags |= PF_IDLE | PF_KTHREAD;
  idle.cpu = cpu;
  idle.on_rq = true;
  idle.on_cpu = true;
  idle.se.exec_start = k.now();
  const rq = cpu_rq(k, cpu);
  rq.idle = idle;
  rq.curr = idle;
  return idle;
}

/** Makes the code that runs the idle task of the boot CPU. Returns it. @mirrors kernel/sched/core.c:sched_init */
export function sched_init(k: Kernel): task_struct {
  return init_idle(k, k.cpu.id);
}

/** How deep in rcu_read_lock() the current task is, where that is counted. @mirrors include/linux/rcupdate.h:rcu_preempt_depth */
function rcu_preempt_depth(k: Kernel): number {
  return k.config.preempt === "full" ? current(k).rcu_read_lock_nesting : 0;
}

/**
 * Says that this place may sleep; reported when it must not.
 *
 * Context: plain, so that it also stands in code that turns out not to sleep.
 *
 * @mirrors include/linux/kernel.h:might_sleep
 */
export function might_sleep(k: Kernel): void {
  __might_sleep(k);
}

/** @mirrors include/linux/kernel.h:might_sleep_if */
export function might_sleep_if(k: Kernel, condition: boolean): void {
  if (condition) __might_sleep(k);
}

/** ___might_sleep(), and the task is not about to sleep already: its state would be lost. @mirrors kernel/sched/core.c:__might_sleep */
export function __might_sleep(k: Kernel): void {
  const { state } = current(k);
  if (state !== TASK_RUNNING && k.config.debug) {
    const text = `do not call blocking ops when !TASK_RUNNING; state=${state.toString(16)}`;
    WARN_ONCE(k, true, text, "__might_sleep");
  }
  ___might_sleep(k);
}

/**
 * Reports sleeping in atomic context, at most once a second.
 *
 * @mirrors kernel/sched/core.c:___might_sleep
 */
export function ___might_sleep(k: Kernel): void {
  const { cpu } = k;
  if (k.config.debug) rcu_sleep_check(k);
  if (cpu.preempt_count === 0 && cpu.irqsOn && rcu_preempt_depth(k) === 0 && !is_idle_task(current(k))) {
    return;
  }
  if (!k.config.debug || !runtimeStarted(k)) return;
  const last = prev_jiffy(k);
  if (last !== null && time_before(jiffies(k), last + HZ(k))) return;
  prev_jiffy.set(k, jiffies(k));
  const p = current(k);
  const at = callTrace().find((name) => !/^_*(might_sleep(_if)?|cond_resched)$/.test(name)) ?? "?";
  const title = `BUG: sleeping function called from invalid context at ${at}`;
  report(k, KERN_ERR, title, [
    title,
    `in_atomic(): ${in_atomic(k) ? 1 : 0}, irqs_disabled(): ${irqs_disabled(k) ? 1 : 0}, non_block: 0, ` +
    `pid: ${p.pid}, name: ${p.comm}`,
    ...debug_show_held_locks(k, p),
    ...dumpStackLines(k),
  ]);
}
