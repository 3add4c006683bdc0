// SPDX-License-Identifier: GPL-2.0-only
/**
 * The fair class: CFS. Mirrors kernel/sched/fair.c (v5.7): weighted virtual run time, slices, wake-up preemption,
 * sleeper credit.
 *
 * Left out: groups, bandwidth, load tracking, NUMA. Idle CPUs pull one task from the busiest when they run dry; there is
 * no periodic balancing.
 *
 * @module
 */

import { cpu_online, for_each_online_cpu, num_online_cpus } from "../cpumask.ts";
import type { Kernel } from "../kernel.ts";
import { resched_curr, set_task_cpu, update_rq_clock } from "./core.ts";
import {
  type cfs_rq,
  cpu_rq,
  cpuAllowed,
  ENQUEUE_WAKEUP,
  is_idle_task,
  type rq,
  type sched_class,
  type sched_entity,
  type task_struct,
} from "./sched.ts";

const NICE_0_LOAD = 1024;
const LATENCY_NS = 6_000_000;
const MIN_GRANULARITY_NS = 750_000;
const WAKEUP_GRANULARITY_NS = 1_000_000;
/** Above this many runnable tasks the period stretches. */
const sched_nr_latency = 8;

/** 1 + log2 of the CPUs, capped at 8 CPUs: larger machines have longer slices. @mirrors kernel/sched/fair.c:get_update_sysctl_factor */
export function get_update_sysctl_factor(k: Kernel): number {
  return 1 + (31 - Math.clz32(Math.min(num_online_cpus(k) || 1, 8)));
}

/** @mirrors kernel/sched/fair.c:calc_delta_fair */
export function calc_delta_fair(delta: number, se: sched_entity): number {
  return se.weight === NICE_0_LOAD ? delta : Math.floor(delta * NICE_0_LOAD / se.weight);
}

/** Books the run time of the current task. @mirrors kernel/sched/fair.c:update_curr */
export function update_curr(cfs: cfs_rq, now: number): void {
  const curr = cfs.curr;
  if (curr === null) return;
  const delta = now - curr.se.exec_start;
  if (delta <= 0) return;
  curr.se.exec_start = now;
  curr.se.sum_exec_runtime += delta;
  curr.se.vruntime += calc_delta_fair(delta, curr.se);
  update_min_vruntime(cfs);
}

function update_min_vruntime(cfs: cfs_rq): void {
  let vruntime = cfs.min_vruntime;
  const left = cfs.tasks_timeline[0];
  if (cfs.curr !== null && cfs.curr.se.on_rq) {
    vruntime = cfs.curr.se.vruntime;
    if (left !== undefined) vruntime = Math.min(vruntime, left.se.vruntime);
  } else if (left !== undefined) vruntime = left.se.vruntime;
  cfs.min_vruntime = Math.max(cfs.min_vruntime, vruntime);
}

/** Ideal run time of a task in this period, in ns. @mirrors kernel/sched/fair.c:sched_slice */
export function sched_slice(k: Kernel, cfs: cfs_rq, se: sched_entity): number {
  const factor = get_update_sysctl_factor(k);
  const nr = cfs.nr_running + (se.on_rq ? 0 : 1);
  const period = nr > sched_nr_latency ? nr * MIN_GRANULARITY_NS * factor : LATENCY_NS * factor;
  const total = cfs.load_weight + (se.on_rq ? 0 : se.weight);
  return Math.floor(period * se.weight / total);
}

function insert(cfs: cfs_rq, p: task_struct): void {
  const line = cfs.tasks_timeline;
  let low = 0;
  let high = line.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (line[middle].se.vruntime <= p.se.vruntime) low = middle + 1;
    else high = middle;
  }
  line.splice(low, 0, p);
}

function remove(cfs: cfs_rq, p: task_struct): void {
  const at = cfs.tasks_timeline.indexOf(p);
  if (at >= 0) cfs.tasks_timeline.splice(at, 1);
}

/** A waking task gets at most half a latency of credit, a new one starts a slice later. @mirrors kernel/sched/fair.c:place_entity */
export function place_entity(k: Kernel, cfs: cfs_rq, se: sched_entity, initial: boolean): void {
  let vruntime = cfs.min_vruntime;
  if (initial) vruntime += calc_delta_fair(sched_slice(k, cfs, se), se);
  else vruntime -= LATENCY_NS * get_update_sysctl_factor(k) / 2;
  se.vruntime = Math.max(se.vruntime, vruntime);
}

/** @mirrors kernel/sched/fair.c:enqueue_task_fair */
export function enqueue_task_fair(k: Kernel, rq: rq, p: task_struct, flags: number): void {
  const cfs = rq.cfs;
  // Off the queue vruntime is relative to min_vruntime, so that a task can move to another CPU.
  p.se.vruntime += cfs.min_vruntime;
  update_curr(cfs, rq.clock);
  if ((flags & ENQUEUE_WAKEUP) !== 0) place_entity(k, cfs, p.se, false);
  cfs.nr_running++;
  cfs.load_weight += p.se.weight;
  p.se.on_rq = true;
  if (cfs.curr !== p) insert(cfs, p);
}

/** @mirrors kernel/sched/fair.c:dequeue_task_fair */
export function dequeue_task_fair(_k: Kernel, rq: rq, p: task_struct, _flags: number): void {
  const cfs = rq.cfs;
  update_curr(cfs, rq.clock);
  if (cfs.curr !== p) remove(cfs, p);
  cfs.nr_running--;
  cfs.load_weight -= p.se.weight;
  p.se.on_rq = false;
  p.se.vruntime -= cfs.min_vruntime;
  update_min_vruntime(cfs);
}

/** Preempts when the woken task is a wake-up granularity behind. @mirrors kernel/sched/fair.c:check_preempt_wakeup */
export function check_preempt_wakeup(k: Kernel, rq: rq, p: task_struct): void {
  const curr = rq.curr;
  if (curr === p || k.cpus[rq.cpu].need_resched) return;
  update_curr(rq.cfs, rq.clock);
  const granularity = calc_delta_fair(WAKEUP_GRANULARITY_NS * get_update_sysctl_factor(k), p.se);
  if (curr.se.vruntime - p.se.vruntime > granularity) resched_curr(k, rq);
}

/** @mirrors kernel/sched/fair.c:pick_next_task_fair */
export function pick_next_task_fair(k: Kernel, rq: rq): task_struct | null {
  if (rq.cfs.nr_running === 0) newidle_balance(k, rq);
  const p = rq.cfs.tasks_timeline[0];
  if (p === undefined) return null;
  remove(rq.cfs, p);
  p.se.exec_start = rq.clock;
  p.se.prev_sum_exec_runtime = p.se.sum_exec_runtime;
  rq.cfs.curr = p;
  return p;
}

/** @mirrors kernel/sched/fair.c:put_prev_task_fair */
export function put_prev_task_fair(_k: Kernel, rq: rq, p: task_struct): void {
  if (p.se.on_rq) {
    update_curr(rq.cfs, rq.clock);
    insert(rq.cfs, p);
  }
  rq.cfs.curr = null;
}

/** @mirrors kernel/sched/fair.c:task_tick_fair */
export function task_tick_fair(k: Kernel, rq: rq, curr: task_struct): void {
  update_curr(rq.cfs, rq.clock);
  if (rq.cfs.nr_running > 1) check_preempt_tick(k, rq, curr);
}

/** The slice is used up, or another task is a whole slice behind. @mirrors kernel/sched/fair.c:check_preempt_tick */
export function check_preempt_tick(k: Kernel, rq: rq, curr: task_struct): void {
  const ideal = sched_slice(k, rq.cfs, curr.se);
  const ran = curr.se.sum_exec_runtime - curr.se.prev_sum_exec_runtime;
  if (ran > ideal) {
    resched_curr(k, rq);
    return;
  }
  if (ran < MIN_GRANULARITY_NS * get_update_sysctl_factor(k)) return;
  const left = rq.cfs.tasks_timeline[0];
  if (left !== undefined && curr.se.vruntime - left.se.vruntime > ideal) resched_curr(k, rq);
}

/** @mirrors kernel/sched/fair.c:task_fork_fair */
export function task_fork_fair(k: Kernel, rq: rq, p: task_struct): void {
  update_curr(rq.cfs, rq.clock);
  p.se.vruntime = rq.cfs.curr?.se.vruntime ?? rq.cfs.min_vruntime;
  place_entity(k, rq.cfs, p.se, true);
  p.se.vruntime -= rq.cfs.min_vruntime;
}

/**
 * Where a woken or new task goes: its last CPU when that is idle, else an idle one, else (new tasks) the one with the
 * fewest runnable tasks, else its last CPU.
 *
 * @mirrors kernel/sched/fair.c:select_task_rq_fair
 * @simplified no domains, no wake affinity; the scan is in CPU order from the last CPU on
 */
export function select_task_rq_fair(k: Kernel, p: task_struct, prev: number, fork: boolean): number {
  const n = k.config.cpus;
  let best = -1;
  let bestRunning = Infinity;
  for (let i = 0; i < n; i++) {
    const cpu = (prev + i) % n;
    if (!cpuAllowed(p, cpu) || !cpu_online(k, cpu)) continue;
    const rq = cpu_rq(k, cpu);
    if (rq.nr_running === 0 && is_idle_task(rq.curr)) return cpu;
    if (rq.nr_running < bestRunning) {
      best = cpu;
      bestRunning = rq.nr_running;
    }
    if (n > 64 && i >= 64) break;
  }
  if (!fork && cpuAllowed(p, prev) && cpu_online(k, prev)) return prev;
  return best < 0 ? prev : best;
}

/**
 * An idle CPU takes one waiting task from the busiest runqueue.
 *
 * @mirrors kernel/sched/fair.c:newidle_balance
 * @simplified no domains, no cost limits
 */
export function newidle_balance(k: Kernel, this_rq: rq): void {
  let busiest: rq | null = null;
  for (const cpu of for_each_online_cpu(k)) {
    const rq = cpu_rq(k, cpu);
    if (rq !== this_rq && rq.cfs.tasks_timeline.length > 0 && rq.nr_running > (busiest?.nr_running ?? 1)) {
      busiest = rq;
    }
  }
  const p = busiest?.cfs.tasks_timeline.findLast((task) => cpuAllowed(task, this_rq.cpu));
  if (busiest === null || p === undefined) return;
  update_rq_clock(k, busiest);
  dequeue_task_fair(k, busiest, p, 0);
  busiest.nr_running--;
  set_task_cpu(k, p, this_rq.cpu);
  enqueue_task_fair(k, this_rq, p, 0);
  this_rq.nr_running++;
}

export const fair_sched_class: sched_class = {
  name: "fair",
  enqueue_task: enqueue_task_fair,
  dequeue_task: dequeue_task_fair,
  check_preempt_curr: check_preempt_wakeup,
  pick_next_task: pick_next_task_fair,
  put_prev_task: put_prev_task_fair,
  task_tick: task_tick_fair,
  task_fork: task_fork_fair,
  select_task_rq: select_task_rq_fair,
};
