// SPDX-License-Identifier: GPL-2.0-only
/**
 * The fair class: CFS. Mirrors kernel/sched/fair.c (v5.7): weighted virtual run time, slices, wake-up preemption with its
 * buddies, credit for sleepers.
 *
 * Invariant: a queued or sleeping task's vruntime is on the scale of its runqueue; between two runqueues it is relative to
 * min_vruntime. Left out: groups, bandwidth, load tracking, NUMA, cache hotness. An idle CPU pulls one task from the
 * busiest when it runs dry; there is no periodic balancing.
 *
 * @module
 */

import { cpu_online, num_online_cpus } from "../cpumask.ts";
import type { Kernel } from "../kernel.ts";
import { check_preempt_curr, resched_curr, set_task_cpu, update_rq_clock } from "./core.ts";
import {
  add_nr_running,
  type cfs_rq,
  cpu_rq,
  cpuAllowed,
  DEQUEUE_MOVE,
  DEQUEUE_SAVE,
  DEQUEUE_SLEEP,
  ENQUEUE_MIGRATED,
  ENQUEUE_WAKEUP,
  is_idle_task,
  overloaded,
  type rq,
  type sched_class,
  type sched_entity,
  sub_nr_running,
  task_rq,
  type task_struct,
} from "./sched.ts";

const NICE_0_LOAD = 1024;
const LATENCY_NS = 6_000_000;
const MIN_GRANULARITY_NS = 750_000;
const WAKEUP_GRANULARITY_NS = 1_000_000;
/** Above this many runnable tasks the period stretches. */
const sched_nr_latency = 8;
/** A woken task looks for an idle CPU among this many. */
const SCAN_LIMIT = 64;

/** 1 + log2 of the CPUs, capped at 8 CPUs: larger machines have longer slices. @mirrors kernel/sched/fair.c:get_update_sysctl_factor */
export function get_update_sysctl_factor(k: Kernel): number {
  return 1 + (31 - Math.clz32(Math.min(num_online_cpus(k) || 1, 8)));
}

/** @mirrors kernel/sched/fair.c:calc_delta_fair */
export function calc_delta_fair(delta: number, se: sched_entity): number {
  return se.weight === NICE_0_LOAD ? delta : Math.floor(delta * NICE_0_LOAD / se.weight);
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

function __enqueue_entity(cfs: cfs_rq, p: task_struct): void {
  const line = cfs.tasks_timeline;
  let low = 0;
  let high = line.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (line[middle].se.vruntime <= p.se.vruntime) low = middle + 1;
    else high = middle;
  }
  if (low === line.length) line.push(p);
  else line.splice(low, 0, p);
}

function __dequeue_entity(cfs: cfs_rq, p: task_struct): void {
  const line = cfs.tasks_timeline;
  if (line[0] === p) line.shift();
  else line.splice(line.indexOf(p), 1);
}

/** Ideal run time of a task in this period, in ns. @mirrors kernel/sched/fair.c:sched_slice */
export function sched_slice(k: Kernel, cfs: cfs_rq, se: sched_entity): number {
  const factor = get_update_sysctl_factor(k);
  const nr = cfs.nr_running + (se.on_rq ? 0 : 1);
  const period = nr > sched_nr_latency ? nr * MIN_GRANULARITY_NS * factor : LATENCY_NS * factor;
  const total = cfs.load_weight + (se.on_rq ? 0 : se.weight);
  return Math.floor(period * se.weight / total);
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

/** A waking task gets at most half a latency of credit, a new one starts a slice later. @mirrors kernel/sched/fair.c:place_entity */
export function place_entity(k: Kernel, cfs: cfs_rq, se: sched_entity, initial: boolean): void {
  let vruntime = cfs.min_vruntime;
  if (initial) vruntime += calc_delta_fair(sched_slice(k, cfs, se), se);
  else vruntime -= LATENCY_NS * get_update_sysctl_factor(k) / 2;
  se.vruntime = Math.max(se.vruntime, vruntime);
}

function clear_buddies(cfs: cfs_rq, p: task_struct): void {
  if (cfs.last === p) cfs.last = null;
  if (cfs.next === p) cfs.next = null;
  if (cfs.skip === p) cfs.skip = null;
}

/** The slice is used up, or another task is a whole slice behind. @mirrors kernel/sched/fair.c:check_preempt_tick */
export function check_preempt_tick(k: Kernel, rq: rq, curr: task_struct): void {
  const ideal = sched_slice(k, rq.cfs, curr.se);
  const ran = curr.se.sum_exec_runtime - curr.se.prev_sum_exec_runtime;
  if (ran > ideal) {
    resched_curr(k, rq);
    // The one whose turn is over must not come back as a buddy at once.
    clear_buddies(rq.cfs, curr);
    return;
  }
  if (ran < MIN_GRANULARITY_NS * get_update_sysctl_factor(k)) return;
  const left = rq.cfs.tasks_timeline[0];
  if (left !== undefined && curr.se.vruntime - left.se.vruntime > ideal) resched_curr(k, rq);
}

/** Makes `p` the task whose run time is booked from now on. @mirrors kernel/sched/fair.c:set_next_entity */
export function set_next_entity(rq: rq, p: task_struct): void {
  if (p.se.on_rq) __dequeue_entity(rq.cfs, p);
  p.se.exec_start = rq.clock;
  p.se.prev_sum_exec_runtime = p.se.sum_exec_runtime;
  rq.cfs.curr = p;
}

/** The leftmost task, or a buddy that is not too far behind it. @mirrors kernel/sched/fair.c:pick_next_entity */
export function pick_next_entity(k: Kernel, cfs: cfs_rq): task_struct {
  const left = cfs.tasks_timeline[0];
  let p = left;
  if (cfs.skip === p) {
    const second = cfs.tasks_timeline[1];
    if (second !== undefined && wakeup_preempt_entity(k, second.se, left.se) < 1) p = second;
  }
  if (cfs.last !== null && wakeup_preempt_entity(k, cfs.last.se, left.se) < 1) p = cfs.last;
  if (cfs.next !== null && wakeup_preempt_entity(k, cfs.next.se, left.se) < 1) p = cfs.next;
  clear_buddies(cfs, p);
  return p;
}

/** @mirrors kernel/sched/fair.c:enqueue_task_fair */
export function enqueue_task_fair(k: Kernel, rq: rq, p: task_struct, flags: number): void {
  const cfs = rq.cfs;
  const renorm = (flags & ENQUEUE_WAKEUP) === 0 || (flags & ENQUEUE_MIGRATED) !== 0;
  const curr = cfs.curr === p;
  if (renorm && curr) p.se.vruntime += cfs.min_vruntime;
  update_curr(cfs, rq.clock);
  // After the booking: placed at this moment, not at one in the past.
  if (renorm && !curr) p.se.vruntime += cfs.min_vruntime;
  cfs.nr_running++;
  cfs.load_weight += p.se.weight;
  if ((flags & ENQUEUE_WAKEUP) !== 0) place_entity(k, cfs, p.se, false);
  if (!curr) __enqueue_entity(cfs, p);
  p.se.on_rq = true;
  add_nr_running(k, rq);
}

/** @mirrors kernel/sched/fair.c:dequeue_task_fair */
export function dequeue_task_fair(k: Kernel, rq: rq, p: task_struct, flags: number): void {
  const cfs = rq.cfs;
  update_curr(cfs, rq.clock);
  clear_buddies(cfs, p);
  if (cfs.curr !== p) __dequeue_entity(cfs, p);
  p.se.on_rq = false;
  cfs.nr_running--;
  cfs.load_weight -= p.se.weight;
  if ((flags & DEQUEUE_SLEEP) === 0) p.se.vruntime -= cfs.min_vruntime;
  if ((flags & (DEQUEUE_SAVE | DEQUEUE_MOVE)) !== DEQUEUE_SAVE) update_min_vruntime(cfs);
  sub_nr_running(k, rq);
}

/**
 * Where a woken or new task goes: its last CPU when that is idle, else an idle one, else (new tasks) the one with the
 * fewest runnable tasks, else its last CPU.
 *
 * @mirrors kernel/sched/fair.c:select_task_rq_fair
 * @simplified no domains, no wake affinity; the scan is in CPU order from the last CPU on, 64 CPUs at most
 */
export function select_task_rq_fair(k: Kernel, p: task_struct, prev: number, fork: boolean): number {
  const n = k.config.cpus;
  let best = prev;
  let bestRunning = Infinity;
  for (let i = 0, cpu = prev; i < n && i < SCAN_LIMIT; i++, cpu = cpu + 1 === n ? 0 : cpu + 1) {
    if (!cpuAllowed(p, cpu) || !cpu_online(k, cpu)) continue;
    const rq = cpu_rq(k, cpu);
    if (rq.nr_running === 0 && is_idle_task(rq.curr)) return cpu;
    if (rq.nr_running < bestRunning) {
      best = cpu;
      bestRunning = rq.nr_running;
    }
  }
  return fork ? best : prev;
}

/** A sleeper takes its lag along, not its place on the old CPU's scale. @mirrors kernel/sched/fair.c:migrate_task_rq_fair */
export function migrate_task_rq_fair(k: Kernel, p: task_struct): void {
  p.se.vruntime -= task_rq(k, p).cfs.min_vruntime;
}

function wakeup_gran(k: Kernel, se: sched_entity): number {
  return calc_delta_fair(WAKEUP_GRANULARITY_NS * get_update_sysctl_factor(k), se);
}

/** -1, 0 or 1: `se` is not behind `curr`, is behind it, is behind by more than a wake-up granularity. */
function wakeup_preempt_entity(k: Kernel, curr: sched_entity, se: sched_entity): number {
  const vdiff = curr.vruntime - se.vruntime;
  if (vdiff <= 0) return -1;
  return vdiff > wakeup_gran(k, se) ? 1 : 0;
}

/** Preempts when the woken task is a wake-up granularity behind. @mirrors kernel/sched/fair.c:check_preempt_wakeup */
export function check_preempt_wakeup(k: Kernel, rq: rq, p: task_struct): void {
  const curr = rq.curr;
  if (curr === p || k.cpus[rq.cpu].need_resched) return;
  update_curr(rq.cfs, rq.clock);
  if (wakeup_preempt_entity(k, curr.se, p.se) !== 1) return;
  rq.cfs.next = p;
  resched_curr(k, rq);
  if (curr.se.on_rq && rq.cfs.nr_running >= sched_nr_latency) rq.cfs.last = curr;
}

/** @mirrors kernel/sched/fair.c:pick_next_task_fair */
export function pick_next_task_fair(k: Kernel, rq: rq): task_struct | null {
  if (rq.cfs.nr_running === 0 && !newidle_balance(k, rq)) return null;
  const p = pick_next_entity(k, rq.cfs);
  set_next_entity(rq, p);
  return p;
}

/** @mirrors kernel/sched/fair.c:put_prev_task_fair */
export function put_prev_task_fair(_k: Kernel, rq: rq, p: task_struct): void {
  if (p.se.on_rq) {
    update_curr(rq.cfs, rq.clock);
    __enqueue_entity(rq.cfs, p);
  }
  rq.cfs.curr = null;
}

/** The current task is passed over once, unless the next one is far ahead. @mirrors kernel/sched/fair.c:yield_task_fair */
export function yield_task_fair(k: Kernel, rq: rq): void {
  const { cfs, curr } = rq;
  if (rq.nr_running === 1) return;
  clear_buddies(cfs, curr);
  update_rq_clock(k, rq);
  update_curr(cfs, rq.clock);
  cfs.skip = curr;
}

/**
 * A CPU that runs dry takes one waiting task from the busiest runqueue that has one for it. Returns whether it did.
 *
 * @mirrors kernel/sched/fair.c:newidle_balance
 * @simplified no domains, no cost limits
 */
export function newidle_balance(k: Kernel, this_rq: rq): boolean {
  if (overloaded(k) === 0) return false;
  let busiest: rq | null = null;
  let p: task_struct | undefined;
  for (let cpu = 0; cpu < k.config.cpus; cpu++) {
    const rq = cpu_rq(k, cpu);
    if (rq === this_rq || rq.nr_running <= (busiest?.nr_running ?? 1) || !cpu_online(k, cpu)) continue;
    const movable = rq.cfs.tasks_timeline.findLast((task) => cpuAllowed(task, this_rq.cpu));
    if (movable === undefined) continue;
    busiest = rq;
    p = movable;
  }
  if (busiest === null || p === undefined) return false;
  update_rq_clock(k, busiest);
  dequeue_task_fair(k, busiest, p, 0);
  set_task_cpu(k, p, this_rq.cpu);
  enqueue_task_fair(k, this_rq, p, 0);
  return true;
}

/** @mirrors kernel/sched/fair.c:task_tick_fair */
export function task_tick_fair(k: Kernel, rq: rq, curr: task_struct): void {
  update_curr(rq.cfs, rq.clock);
  if (rq.cfs.nr_running > 1) check_preempt_tick(k, rq, curr);
}

/** A child starts a slice after its parent, relative to min_vruntime. @mirrors kernel/sched/fair.c:task_fork_fair */
export function task_fork_fair(k: Kernel, rq: rq, p: task_struct): void {
  const { cfs } = rq;
  update_rq_clock(k, rq);
  if (cfs.curr !== null) {
    update_curr(cfs, rq.clock);
    p.se.vruntime = cfs.curr.se.vruntime;
  }
  place_entity(k, cfs, p.se, true);
  p.se.vruntime -= cfs.min_vruntime;
}

/** @mirrors kernel/sched/fair.c:prio_changed_fair */
export function prio_changed_fair(k: Kernel, rq: rq, p: task_struct, oldprio: number): void {
  if (!p.on_rq || rq.cfs.nr_running === 1) return;
  if (rq.curr !== p) check_preempt_curr(k, rq, p);
  else if (p.prio > oldprio) resched_curr(k, rq);
}

/** On a queue it is dequeued for the change already; one that was never woken has not run: both are relative. */
function vruntime_normalized(p: task_struct): boolean {
  return p.on_rq || p.se.sum_exec_runtime === 0;
}

/** @mirrors kernel/sched/fair.c:switched_from_fair */
export function switched_from_fair(k: Kernel, rq: rq, p: task_struct): void {
  if (vruntime_normalized(p)) return;
  // Its sleep so far must not become credit without a limit.
  place_entity(k, rq.cfs, p.se, false);
  p.se.vruntime -= rq.cfs.min_vruntime;
}

/** @mirrors kernel/sched/fair.c:switched_to_fair */
export function switched_to_fair(k: Kernel, rq: rq, p: task_struct): void {
  if (!vruntime_normalized(p)) p.se.vruntime += rq.cfs.min_vruntime;
  if (!p.on_rq) return;
  if (rq.curr === p) resched_curr(k, rq);
  else check_preempt_curr(k, rq, p);
}

/** @mirrors kernel/sched/fair.c:set_next_task_fair */
export function set_next_task_fair(_k: Kernel, rq: rq, p: task_struct): void {
  set_next_entity(rq, p);
}

/** @mirrors kernel/sched/fair.c:fair_sched_class */
export const fair_sched_class: sched_class = {
  name: "fair",
  rank: 2,
  enqueue_task: enqueue_task_fair,
  dequeue_task: dequeue_task_fair,
  yield_task: yield_task_fair,
  check_preempt_curr: check_preempt_wakeup,
  pick_next_task: pick_next_task_fair,
  put_prev_task: put_prev_task_fair,
  set_next_task: set_next_task_fair,
  task_tick: task_tick_fair,
  task_fork: task_fork_fair,
  select_task_rq: select_task_rq_fair,
  migrate_task_rq: migrate_task_rq_fair,
  switched_from: switched_from_fair,
  switched_to: switched_to_fair,
  prio_changed: prio_changed_fair,
};
