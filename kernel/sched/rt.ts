// SPDX-License-Identifier: GPL-2.0-only
/**
 * The real-time class, SCHED_FIFO only, and the stop class above it and the idle class below all. Mirrors
 * kernel/sched/rt.c, stop_task.c and the class of idle.c (v5.7).
 *
 * Invariant: a real-time task stays on its queue while it runs, so one that was preempted is still in front of those of
 * its priority. Left out: SCHED_RR, bandwidth (a task that never sleeps keeps its CPU for ever), push and pull between
 * CPUs: a task chooses its CPU when it wakes up and stays there.
 *
 * @module
 */

import { cpu_online } from "../cpumask.ts";
import type { Kernel } from "../kernel.ts";
import { resched_curr } from "./core.ts";
import {
  add_nr_running,
  cpu_rq,
  cpuAllowed,
  ENQUEUE_HEAD,
  MAX_RT_PRIO,
  type rq,
  rt_task,
  type sched_class,
  sub_nr_running,
  type task_struct,
} from "./sched.ts";

/** Books the run time of the current task. @mirrors kernel/sched/rt.c:update_curr_rt */
export function update_curr_rt(rq: rq): void {
  const { curr } = rq;
  if (curr.sched_class !== rt_sched_class) return;
  const delta = rq.clock - curr.se.exec_start;
  if (delta <= 0) return;
  curr.se.sum_exec_runtime += delta;
  curr.se.exec_start = rq.clock;
}

function enqueue_rt_entity(rq: rq, p: task_struct, head: boolean): void {
  const { queue } = rq.rt;
  const at = queue.findIndex((q) => q.prio > p.prio || (head && q.prio === p.prio));
  queue.splice(at < 0 ? queue.length : at, 0, p);
}

/** Behind those of equal priority, or with ENQUEUE_HEAD in front of them. @mirrors kernel/sched/rt.c:enqueue_task_rt */
export function enqueue_task_rt(k: Kernel, rq: rq, p: task_struct, flags: number): void {
  enqueue_rt_entity(rq, p, (flags & ENQUEUE_HEAD) !== 0);
  add_nr_running(k, rq);
}

/** @mirrors kernel/sched/rt.c:dequeue_task_rt */
export function dequeue_task_rt(k: Kernel, rq: rq, p: task_struct, _flags: number): void {
  update_curr_rt(rq);
  rq.rt.queue.splice(rq.rt.queue.indexOf(p), 1);
  sub_nr_running(k, rq);
}

/** The current task goes behind those of equal priority. @mirrors kernel/sched/rt.c:yield_task_rt */
export function yield_task_rt(_k: Kernel, rq: rq): void {
  rq.rt.queue.splice(rq.rt.queue.indexOf(rq.curr), 1);
  enqueue_rt_entity(rq, rq.curr, false);
}

/** Best priority that waits or runs on `cpu`. @mirrors kernel/sched/sched.h:rt_rq.highest_prio */
function highestPrio(k: Kernel, cpu: number): number {
  return cpu_rq(k, cpu).rt.queue[0]?.prio ?? MAX_RT_PRIO;
}

/**
 * A task waits not behind one that is as important while another CPU has less to do.
 *
 * @mirrors kernel/sched/rt.c:select_task_rq_rt
 * @simplified no domains: among CPUs of equal priority the first from the last CPU on
 */
export function select_task_rq_rt(k: Kernel, p: task_struct, cpu: number): number {
  const { curr } = cpu_rq(k, cpu);
  if (!rt_task(curr) || (curr.prio > p.prio && curr.cpus_mask === null)) return cpu;
  const n = k.config.cpus;
  let target = cpu;
  let lowest = p.prio;
  for (let i = 0; i < n && lowest < MAX_RT_PRIO; i++) {
    const other = (cpu + i) % n;
    if (!cpuAllowed(p, other) || !cpu_online(k, other) || highestPrio(k, other) <= lowest) continue;
    target = other;
    lowest = highestPrio(k, other);
  }
  return target;
}

/** @mirrors kernel/sched/rt.c:check_preempt_curr_rt */
export function check_preempt_curr_rt(k: Kernel, rq: rq, p: task_struct): void {
  if (p.prio < rq.curr.prio) resched_curr(k, rq);
}

/** @mirrors kernel/sched/rt.c:set_next_task_rt */
export function set_next_task_rt(_k: Kernel, rq: rq, p: task_struct): void {
  p.se.exec_start = rq.clock;
}

/** The first of the highest priority; it stays on the queue while it runs. @mirrors kernel/sched/rt.c:pick_next_task_rt */
export function pick_next_task_rt(k: Kernel, rq: rq): task_struct | null {
  if (rq.rt.queue.length === 0) return null;
  const [p] = rq.rt.queue;
  set_next_task_rt(k, rq, p);
  return p;
}

/** @mirrors kernel/sched/rt.c:put_prev_task_rt */
export function put_prev_task_rt(_k: Kernel, rq: rq, _p: task_struct): void {
  update_curr_rt(rq);
}

/** @mirrors kernel/sched/rt.c:switched_to_rt */
export function switched_to_rt(k: Kernel, rq: rq, p: task_struct): void {
  if (p.on_rq && rq.curr !== p && p.prio < rq.curr.prio) resched_curr(k, rq);
}

/** @mirrors kernel/sched/rt.c:prio_changed_rt */
export function prio_changed_rt(k: Kernel, rq: rq, p: task_struct, _oldprio: number): void {
  if (!p.on_rq) return;
  const preempts = rq.curr === p ? p.prio > highestPrio(k, rq.cpu) : p.prio < rq.curr.prio;
  if (preempts) resched_curr(k, rq);
}

/** Nothing but the booking: SCHED_FIFO has no slices. @mirrors kernel/sched/rt.c:task_tick_rt */
export function task_tick_rt(_k: Kernel, rq: rq, _p: task_struct): void {
  update_curr_rt(rq);
}

function nothing(): void {}

/** @mirrors kernel/sched/rt.c:rt_sched_class */
export const rt_sched_class: sched_class = {
  name: "rt",
  rank: 1,
  enqueue_task: enqueue_task_rt,
  dequeue_task: dequeue_task_rt,
  yield_task: yield_task_rt,
  check_preempt_curr: check_preempt_curr_rt,
  pick_next_task: pick_next_task_rt,
  put_prev_task: put_prev_task_rt,
  set_next_task: set_next_task_rt,
  task_tick: task_tick_rt,
  task_fork: nothing,
  select_task_rq: select_task_rq_rt,
  migrate_task_rq: nothing,
  switched_from: nothing,
  switched_to: switched_to_rt,
  prio_changed: prio_changed_rt,
};

/** The per-CPU stopper: above everything. @mirrors kernel/sched/stop_task.c:stop_sched_class */
export const stop_sched_class: sched_class = {
  name: "stop",
  rank: 0,
  enqueue_task: (k, rq) => add_nr_running(k, rq),
  dequeue_task: (k, rq) => sub_nr_running(k, rq),
  yield_task: nothing,
  check_preempt_curr: nothing,
  pick_next_task: (_k, rq) => rq.stop !== null && rq.stop.on_rq ? rq.stop : null,
  put_prev_task: nothing,
  set_next_task: nothing,
  task_tick: nothing,
  task_fork: nothing,
  select_task_rq: (_k, p) => p.cpu,
  migrate_task_rq: nothing,
  switched_from: nothing,
  switched_to: nothing,
  prio_changed: nothing,
};

/** The class of the idle tasks, which are on no queue. @mirrors kernel/sched/idle.c:idle_sched_class */
export const idle_sched_class: sched_class = {
  name: "idle",
  rank: 3,
  enqueue_task: nothing,
  dequeue_task: nothing,
  yield_task: nothing,
  check_preempt_curr: (k, rq) => resched_curr(k, rq),
  pick_next_task: (_k, rq) => rq.idle,
  put_prev_task: nothing,
  set_next_task: nothing,
  task_tick: nothing,
  task_fork: nothing,
  select_task_rq: (_k, p) => p.cpu,
  migrate_task_rq: nothing,
  switched_from: nothing,
  switched_to: nothing,
  prio_changed: nothing,
};
