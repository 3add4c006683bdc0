// SPDX-License-Identifier: GPL-2.0-only
/**
 * The scheduler's core. Mirrors kernel/sched/core.c (v5.7): wake-ups, __schedule(), the tick, preemption, cond_resched
 * and the sleep checks.
 *
 * Invariant: deactivating the old task, picking the new one and switching are one indivisible step, so nobody ever sees
 * a task half switched. Wake-ups are plain calls; what they cause happens at the next point of the CPU concerned.
 *
 * @module
 */

import { SWITCH_NS } from "../machine/cost.ts";
import { type Atomic, done, doneVoid, type MaySleep, SLEEP, STEP } from "../machine/effects.ts";
import { VECTOR_RESCHEDULE } from "../machine/cpu.ts";
import { POINT_RESCHED, POINT_SCHEDULE, pt } from "../machine/points.ts";
import { firstTime } from "../bug.ts";
import type { Kernel } from "../kernel.ts";
import { free_kthread_struct } from "../kthread.ts";
import {
  in_atomic,
  irqs_disabled,
  local_irq_disable,
  local_irq_enable,
  preempt_count,
  preempt_disable,
  preempt_enable_no_resched,
} from "../preempt.ts";
import { dumpStackLines, KERN_ERR, report } from "../printk.ts";
import { callTrace } from "../stacktrace.ts";
import {
  trace_sched_migrate_task,
  trace_sched_switch,
  trace_sched_wakeup,
  trace_sched_wakeup_new,
  trace_sched_waking,
} from "../trace/events/sched.ts";
import { fair_sched_class } from "./fair.ts";
import { rt_sched_class, stop_sched_class } from "./rt.ts";
import {
  cpu_rq,
  current,
  DEQUEUE_SLEEP,
  ENQUEUE_WAKEUP,
  is_idle_task,
  MAX_RT_PRIO,
  PF_WQ_WORKER,
  type rq,
  type sched_class,
  SCHED_FIFO,
  TASK_DEAD,
  TASK_NEW,
  TASK_NORMAL,
  task_rq,
  TASK_RUNNING,
  type task_struct,
  this_rq,
} from "./sched.ts";
import { runtimeStarted } from "../system_state.ts";
import { wq_worker_running, wq_worker_sleeping } from "../workqueue.ts";

export { current } from "./sched.ts";

/** Place of a class in the order of precedence, 0 first. */
function classRank(sched_class: sched_class): number {
  return ["stop", "rt", "fair", "idle"].indexOf(sched_class.name);
}

/** @mirrors kernel/sched/core.c:update_rq_clock */
export function update_rq_clock(k: Kernel, rq: rq): void {
  const now = k.now();
  if (now > rq.clock) rq.clock = now;
}

/** Asks the runqueue's CPU to reschedule: at its next point if it is this one, else by an interrupt. @mirrors kernel/sched/core.c:resched_curr */
export function resched_curr(k: Kernel, rq: rq): void {
  const cpu = k.cpus[rq.cpu];
  if (cpu.need_resched) return;
  cpu.need_resched = true;
  if (cpu === k.cpu) k.kick();
  else k.sendIpi(cpu, VECTOR_RESCHEDULE);
}

/** @mirrors kernel/sched/core.c:resched_cpu */
export function resched_cpu(k: Kernel, cpu: number): void {
  resched_curr(k, cpu_rq(k, cpu));
}

/** @mirrors include/linux/sched.h:need_resched */
export function need_resched(k: Kernel): boolean {
  return k.cpu.need_resched;
}

/** @mirrors include/linux/sched.h:set_tsk_need_resched */
export function set_tsk_need_resched(k: Kernel, p: task_struct): void {
  if (task_rq(k, p).curr !== p) return;
  k.cpus[p.cpu].need_resched = true;
  if (k.cpus[p.cpu] === k.cpu) k.kick();
}

/** @mirrors kernel/sched/core.c:activate_task */
export function activate_task(k: Kernel, rq: rq, p: task_struct, flags: number): void {
  p.sched_class.enqueue_task(k, rq, p, flags);
  rq.nr_running++;
  p.on_rq = true;
}

/** @mirrors kernel/sched/core.c:deactivate_task */
export function deactivate_task(k: Kernel, rq: rq, p: task_struct, flags: number): void {
  p.on_rq = false;
  p.sched_class.dequeue_task(k, rq, p, flags);
  rq.nr_running--;
}

/** Preempts the current task if `p` is of a higher class, or its own class says so. @mirrors kernel/sched/core.c:check_preempt_curr */
export function check_preempt_curr(k: Kernel, rq: rq, p: task_struct): void {
  const curr = rq.curr;
  if (p.sched_class === curr.sched_class) curr.sched_class.check_preempt_curr(k, rq, p);
  else if (classRank(p.sched_class) < classRank(curr.sched_class)) resched_curr(k, rq);
}

/** @mirrors kernel/sched/core.c:set_task_cpu */
export function set_task_cpu(k: Kernel, p: task_struct, cpu: number): void {
  if (p.cpu === cpu) return;
  trace_sched_migrate_task(k, p, p.cpu, cpu);
  p.cpu = cpu;
}

/** @mirrors include/linux/sched.h:task_cpu */
export function task_cpu(p: task_struct): number {
  return p.cpu;
}

/** @mirrors include/linux/sched.h:set_current_state */
export function set_current_state(k: Kernel, state: number): void {
  current(k).state = state;
}

/** @mirrors include/linux/sched.h:__set_current_state */
export function __set_current_state(k: Kernel, state: number): void {
  current(k).state = state;
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
  if (p.on_rq || p === current(k)) {
    p.state = TASK_RUNNING;
    if (p !== current(k)) check_preempt_curr(k, task_rq(k, p), p);
    trace_sched_wakeup(k, p, p.cpu);
    return true;
  }
  set_task_cpu(k, p, p.sched_class.select_task_rq(k, p, p.cpu, false));
  const rq = task_rq(k, p);
  update_rq_clock(k, rq);
  activate_task(k, rq, p, ENQUEUE_WAKEUP);
  p.state = TASK_RUNNING;
  p.waitingFor = "";
  check_preempt_curr(k, rq, p);
  trace_sched_wakeup(k, p, p.cpu);
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

/** Starts a task made by copy_process(). @mirrors kernel/sched/core.c:wake_up_new_task */
export function wake_up_new_task(k: Kernel, p: task_struct): void {
  p.state = TASK_RUNNING;
  const here = this_rq(k);
  update_rq_clock(k, here);
  p.sched_class.task_fork(k, here, p);
  p.cpu = p.sched_class.select_task_rq(k, p, k.cpu.id, true);
  const rq = task_rq(k, p);
  update_rq_clock(k, rq);
  activate_task(k, rq, p, 0);
  trace_sched_wakeup_new(k, p, p.cpu);
  check_preempt_curr(k, rq, p);
}

/** The tick's part of scheduling; interrupts are off. @mirrors kernel/sched/core.c:scheduler_tick */
export function scheduler_tick(k: Kernel): void {
  const rq = this_rq(k);
  update_rq_clock(k, rq);
  rq.curr.sched_class.task_tick(k, rq, rq.curr);
}

function pick_next_task(k: Kernel, rq: rq, prev: task_struct): task_struct {
  prev.sched_class.put_prev_task(k, rq, prev);
  return stop_sched_class.pick_next_task(k, rq) ?? rt_sched_class.pick_next_task(k, rq) ??
    fair_sched_class.pick_next_task(k, rq) ?? rq.idle;
}

/** Complains about a switch in atomic context. @mirrors kernel/sched/core.c:__schedule_bug */
function __schedule_bug(k: Kernel, prev: task_struct): void {
  const count = (preempt_count(k) - 1).toString(16).padStart(8, "0");
  const title = `BUG: scheduling while atomic: ${prev.comm}/${prev.pid}/0x${count}`;
  report(k, KERN_ERR, title, [title, "Modules linked in:", ...dumpStackLines(k)]);
}

/** @mirrors kernel/sched/core.c:schedule_debug */
function schedule_debug(k: Kernel, prev: task_struct): void {
  if (preempt_count(k) === 1 || prev.state === TASK_DEAD) return;
  __schedule_bug(k, prev);
  k.cpu.preempt_count = 1;
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
  schedule_debug(k, prev);
  local_irq_disable(k);
  yield* k.rcu.rcu_note_context_switch(k, preempt);
  if (pt(k, POINT_SCHEDULE, "rq->lock")) yield STEP;

  const rq = this_rq(k);
  update_rq_clock(k, rq);
  const prevState = preempt ? 256 : prev.state;
  if (!preempt && prev.state !== TASK_RUNNING) {
    deactivate_task(k, rq, prev, DEQUEUE_SLEEP);
    prev.nvcsw++;
  } else prev.nivcsw++;
  const next = pick_next_task(k, rq, prev);
  k.cpu.need_resched = false;
  if (prev !== next) {
    rq.nr_switches++;
    rq.curr = next;
    rq.prev = prev;
    trace_sched_switch(k, prev, prevState, next);
    k.charge(SWITCH_NS);
    prev.on_cpu = false;
    next.on_cpu = true;
    k.cpu.current = next;
    yield SLEEP;
    yield* finish_task_switch(k);
  }
  local_irq_enable(k);
}

/** First thing a task does after it was switched to: buries the previous one if that is dead. @mirrors kernel/sched/core.c:finish_task_switch */
function finish_task_switch(k: Kernel): Atomic<void> {
  const prev = this_rq(k).prev;
  if (prev === null || prev.state !== TASK_DEAD || prev.exit_state === TASK_DEAD) return doneVoid();
  prev.exit_state = TASK_DEAD;
  return put_task_struct(k, prev);
}

function* put_task_struct(k: Kernel, p: task_struct): Atomic<void> {
  p.stack.length = 0;
  yield* free_kthread_struct(k, p);
  yield* k.mm.free_thread_stack(k, p.stackAddr);
  yield* k.mm.free_task_struct(k, p.addr);
}

/** The first thing a new task does. @mirrors kernel/sched/core.c:schedule_tail */
export function* schedule_tail(k: Kernel): Atomic<void> {
  yield* finish_task_switch(k);
  local_irq_enable(k);
  preempt_enable_no_resched(k);
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
  const worker = (tsk.flags & PF_WQ_WORKER) !== 0;
  if (worker && tsk.state !== TASK_RUNNING) yield* sched_submit_work(k, tsk);
  do {
    preempt_disable(k);
    yield* __schedule(k, false);
    preempt_enable_no_resched(k);
  } while (k.cpu.need_resched);
  if (worker) sched_update_worker(k, tsk);
}

/** A worker goes to sleep: its pool may wake another. @mirrors kernel/sched/core.c:sched_submit_work */
function* sched_submit_work(k: Kernel, tsk: task_struct): Atomic<void> {
  preempt_disable(k);
  yield* wq_worker_sleeping(k, tsk);
  preempt_enable_no_resched(k);
}

/** A worker is back. @mirrors kernel/sched/core.c:sched_update_worker */
function sched_update_worker(k: Kernel, tsk: task_struct): void {
  wq_worker_running(k, tsk);
}

/** The idle task's way into the scheduler; preemption is off already. @mirrors kernel/sched/core.c:schedule_idle */
export function* schedule_idle(k: Kernel): MaySleep<void> {
  do {
    yield* __schedule(k, false);
  } while (k.cpu.need_resched);
}

/** Preempts the current task: a frame on top of it, entered at a point. @mirrors kernel/sched/core.c:preempt_schedule */
export function* preempt_schedule(k: Kernel): MaySleep<void> {
  do {
    preempt_disable(k);
    yield* __schedule(k, true);
    preempt_enable_no_resched(k);
  } while (k.cpu.need_resched);
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

/**
 * Lets others run if somebody asked for this CPU. Returns whether it did. A point.
 *
 * Without preemption this is where long kernel loops give way, and a quiescent state; with it, it does nothing.
 *
 * @mirrors kernel/sched/core.c:_cond_resched
 */
export function cond_resched(k: Kernel): MaySleep<boolean> {
  if (pt(k, POINT_RESCHED, "cond_resched")) return cond_resched_slow(k);
  if (k.config.preempt !== "none") return done(false);
  if (k.cpu.need_resched || k.rcu.flavour === "tree") return cond_resched_now(k);
  return done(false);
}

function* cond_resched_slow(k: Kernel): MaySleep<boolean> {
  yield STEP;
  return k.config.preempt === "none" ? yield* cond_resched_now(k) : false;
}

function* cond_resched_now(k: Kernel): MaySleep<boolean> {
  might_sleep(k);
  if (k.cpu.need_resched && preempt_count(k) === 0 && k.cpu.irqsOn) {
    yield* schedule(k);
    return true;
  }
  yield* k.rcu.rcu_all_qs(k);
  return false;
}

/** @mirrors kernel/sched/core.c:yield */
export function* sched_yield(k: Kernel): MaySleep<void> {
  const rq = this_rq(k);
  update_rq_clock(k, rq);
  yield* schedule(k);
}

/**
 * Says that this place may sleep; reported when it must not.
 *
 * Context: plain, so that it also stands in code that turns out not to sleep.
 *
 * @mirrors kernel/sched/core.c:___might_sleep
 */
export function might_sleep(k: Kernel): void {
  if (!in_atomic(k) && !irqs_disabled(k) && !is_idle_task(current(k))) return;
  if (!k.config.debug || !runtimeStarted(k)) return;
  sleepInAtomic(k);
}

/** @mirrors include/linux/kernel.h:might_sleep_if */
export function might_sleep_if(k: Kernel, condition: boolean): void {
  if (condition) might_sleep(k);
}

function sleepInAtomic(k: Kernel): void {
  const p = current(k);
  const at = callTrace().find((name) => !name.startsWith("might_sleep")) ?? "?";
  // At most one report a second of the emulated machine, as in the kernel.
  if (!firstTime(k, `might_sleep:${Math.floor(k.now() / 1e9)}`)) return;
  const title = `BUG: sleeping function called from invalid context at ${at}`;
  report(k, KERN_ERR, title, [
    title,
    `in_atomic(): ${in_atomic(k) ? 1 : 0}, irqs_disabled(): ${
      irqs_disabled(k) ? 1 : 0
    }, non_block: 0, pid: ${p.pid}, name: ${p.comm}`,
    ...dumpStackLines(k),
  ]);
}

/** Makes `p` a SCHED_FIFO or normal task. @mirrors kernel/sched/core.c:sched_setscheduler_nocheck */
export function sched_setscheduler_nocheck(
  k: Kernel,
  p: task_struct,
  policy: number,
  priority: number,
): void {
  const rq = task_rq(k, p);
  update_rq_clock(k, rq);
  const queued = p.on_rq;
  const running = rq.curr === p;
  if (queued) deactivate_task(k, rq, p, 0);
  if (running) p.sched_class.put_prev_task(k, rq, p);
  p.policy = policy;
  p.rt_priority = policy === SCHED_FIFO ? priority : 0;
  p.prio = policy === SCHED_FIFO ? MAX_RT_PRIO - 1 - priority : p.static_prio;
  p.sched_class = policy === SCHED_FIFO ? rt_sched_class : fair_sched_class;
  if (running && p.sched_class === fair_sched_class) rq.cfs.curr = p;
  if (queued) activate_task(k, rq, p, ENQUEUE_WAKEUP);
  if (running) resched_curr(k, rq);
  else if (queued) check_preempt_curr(k, rq, p);
}

/** Whether nothing but the idle task wants `cpu`. @mirrors kernel/sched/core.c:idle_cpu */
export function idle_cpu(k: Kernel, cpu: number): boolean {
  const rq = cpu_rq(k, cpu);
  return rq.curr === rq.idle && rq.nr_running === 0;
}

export { TASK_NEW };
