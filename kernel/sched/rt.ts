// SPDX-License-Identifier: GPL-2.0-only
/**
 * The real-time class, SCHED_FIFO only, and the stop class on top of it. Mirrors kernel/sched/rt.c and stop_task.c (v5.7).
 *
 * Left out: SCHED_RR, bandwidth, push and pull between CPUs.
 *
 * @module
 */

import type { Kernel } from "../kernel.ts";
import { resched_curr } from "./core.ts";
import { cpuAllowed, ENQUEUE_WAKEUP, type rq, type sched_class, type task_struct } from "./sched.ts";

/** @mirrors kernel/sched/rt.c:enqueue_task_rt */
export function enqueue_task_rt(_k: Kernel, rq: rq, p: task_struct, flags: number): void {
  const queue = rq.rt.queue;
  // Behind those of equal priority; a preempted task that comes back goes in front of them.
  const behind = (q: task_struct): boolean =>
    (flags & ENQUEUE_WAKEUP) !== 0 ? q.prio > p.prio : q.prio >= p.prio;
  const at = queue.findIndex(behind);
  queue.splice(at < 0 ? queue.length : at, 0, p);
  rq.rt.nr_running++;
}

/** @mirrors kernel/sched/rt.c:dequeue_task_rt */
export function dequeue_task_rt(_k: Kernel, rq: rq, p: task_struct, _flags: number): void {
  const at = rq.rt.queue.indexOf(p);
  if (at >= 0) rq.rt.queue.splice(at, 1);
  rq.rt.nr_running--;
}

/** @mirrors kernel/sched/rt.c:check_preempt_curr_rt */
export function check_preempt_curr_rt(k: Kernel, rq: rq, p: task_struct): void {
  if (p.prio < rq.curr.prio) resched_curr(k, rq);
}

/** The first of the highest priority; it stays on the queue while it runs. @mirrors kernel/sched/rt.c:pick_next_task_rt */
export function pick_next_task_rt(_k: Kernel, rq: rq): task_struct | null {
  return rq.rt.queue[0] ?? null;
}

/** @mirrors kernel/sched/rt.c:select_task_rq_rt */
export function select_task_rq_rt(k: Kernel, p: task_struct, cpu: number): number {
  if (cpuAllowed(p, cpu) && k.cpus[cpu].online) return cpu;
  for (const other of k.cpus) if (other.online && cpuAllowed(p, other.id)) return other.id;
  return cpu;
}

function nothing(): void {}

export const rt_sched_class: sched_class = {
  name: "rt",
  enqueue_task: enqueue_task_rt,
  dequeue_task: dequeue_task_rt,
  check_preempt_curr: check_preempt_curr_rt,
  pick_next_task: pick_next_task_rt,
  put_prev_task: nothing,
  task_tick: nothing,
  task_fork: nothing,
  select_task_rq: select_task_rq_rt,
};

/** The per-CPU stopper: above everything. @mirrors kernel/sched/stop_task.c:stop_sched_class */
export const stop_sched_class: sched_class = {
  name: "stop",
  enqueue_task: (_k, rq, p) => {
    rq.stop = p;
  },
  dequeue_task: (_k, rq) => {
    rq.stop = null;
  },
  check_preempt_curr: nothing,
  pick_next_task: (_k, rq) => rq.stop,
  put_prev_task: nothing,
  task_tick: nothing,
  task_fork: nothing,
  select_task_rq: (_k, p) => p.cpu,
};

/** The class of the idle tasks. @mirrors kernel/sched/idle.c:idle_sched_class */
export const idle_sched_class: sched_class = {
  name: "idle",
  enqueue_task: nothing,
  dequeue_task: nothing,
  check_preempt_curr: (k, rq) => resched_curr(k, rq),
  pick_next_task: (_k, rq) => rq.idle,
  put_prev_task: nothing,
  task_tick: nothing,
  task_fork: nothing,
  select_task_rq: (_k, p) => p.cpu,
};
