// SPDX-License-Identifier: GPL-2.0-only
/**
 * Workqueues: functions that run later, in process context. Mirrors kernel/workqueue.c, include/linux/workqueue.h and
 * kernel/workqueue_internal.h (v5.7).
 *
 * Each CPU has two pools of workers (normal and high priority), and unbound work has pools of its own. A workqueue hands
 * its items to pools through a pool_workqueue each. A pool keeps one worker running per CPU: the scheduler tells it when a
 * worker goes to sleep, and then it wakes another. The last idle worker makes a new one before it starts to work.
 *
 * Invariants: who sets PENDING owns the item until it is cleared, which is before its function starts, so that from then
 * on the item can be queued again; an item never runs twice at the same time, because while it runs it is queued where it
 * runs. Who sets PENDING keeps interrupts off until the item is on a list or a timer.
 *
 * Left out: rescuers (a worker that cannot be made is tried again after CREATE_COOLDOWN), NUMA, attributes other than
 * nice, freezing, sysfs, the watchdog, CPU hotplug; the RCU readers around lookups of pools, which are never freed.
 *
 * @module
 */

import { addrAdd, NULL } from "./machine/addr.ts";
import type { IrqFlags, VirtAddr } from "./machine/brand.ts";
import { type Atomic, done, doneVoid, type MaySleep, STEP } from "./machine/effects.ts";
import { POINT_DELAY, POINT_RMW, POINT_WAIT, POINT_WORK, pt } from "./machine/points.ts";
import { BUG_ON, WARN_ON, WARN_ON_ONCE, WARN_ONCE } from "./bug.ts";
import { MAX_CPUS } from "./config.ts";
import { cpumask_set_cpu, cpumask_t, for_each_online_cpu, for_each_possible_cpu } from "./cpumask.ts";
import { EAGAIN, ENOENT } from "./errno.ts";
import { offStack, onStack } from "./fork.ts";
import { ksym } from "./kallsyms.ts";
import type { Kernel } from "./kernel.ts";
import { kthread_bind_mask, kthread_create_on_node, kthread_data, NUMA_NO_NODE } from "./kthread.ts";
import {
  list_add,
  list_add_tail,
  list_del_init,
  list_empty,
  list_entry,
  list_first_entry,
  list_head,
  list_last_entry,
  list_move_tail,
  list_splice_tail_init,
} from "./list.ts";
import { debug_show_held_locks, lockdep_depth } from "./locking/lockdep.ts";
import { mutex, mutex_lock, mutex_unlock } from "./locking/mutex.ts";
import {
  lockdep_assert_held,
  raw_spinlock_t,
  spin_lock,
  spin_lock_irq,
  spin_lock_irqsave,
  spin_unlock,
  spin_unlock_irq,
  spin_unlock_irqrestore,
} from "./locking/spinlock.ts";
import { allocObject, freeObject } from "./objects.ts";
import {
  in_atomic,
  in_task,
  local_irq_disable,
  local_irq_enable,
  local_irq_restore,
  local_irq_save,
  preempt_count,
  smp_processor_id,
} from "./preempt.ts";
import { dumpStackLines, KERN_ERR, pr_warn, report } from "./printk.ts";
import { complete, completion, wait_for_completion } from "./sched/completion.ts";
import {
  __set_current_state,
  cond_resched,
  current,
  might_sleep,
  schedule,
  wake_up_process,
} from "./sched/core.ts";
import {
  DEFAULT_PRIO,
  PF_MEMALLOC,
  PF_WQ_WORKER,
  TASK_IDLE,
  TASK_NORMAL,
  type task_struct,
  TASK_UNINTERRUPTIBLE,
} from "./sched/sched.ts";
import {
  __wake_up,
  autoremove_wake_function,
  finish_wait,
  init_wait_entry,
  prepare_to_wait_exclusive,
  wait_queue_entry,
  wait_queue_head,
  waitqueue_active,
  wake_up,
} from "./sched/wait.ts";
import {
  DEFINE_PER_CPU,
  KERNEL_STATIC,
  type KernelStatic,
  per_cpu_ptr,
  type PerCpu,
  type StaticKey,
} from "./static.ts";
import { HZ, jiffies, time_before } from "./time/jiffies.ts";
import {
  add_timer,
  add_timer_on,
  del_timer,
  del_timer_sync,
  from_timer,
  mod_timer,
  schedule_timeout_interruptible,
  TIMER_DEFERRABLE,
  TIMER_IRQSAFE,
  timer_list,
  timer_pending,
  timer_setup,
} from "./time/timer.ts";
import {
  trace_workqueue_activate_work,
  trace_workqueue_execute_end,
  trace_workqueue_execute_start,
  trace_workqueue_queue_work,
} from "./trace/events/workqueue.ts";

// ---- include/linux/workqueue.h -------------------------------------------------------------------------------------

export const WORK_STRUCT_PENDING_BIT = 0;
const WORK_STRUCT_PENDING = 1 << WORK_STRUCT_PENDING_BIT;
const WORK_STRUCT_DELAYED = 1 << 1;
const WORK_STRUCT_PWQ = 1 << 2;
const WORK_STRUCT_LINKED = 1 << 3;
const WORK_STRUCT_COLOR_SHIFT = 4;
const WORK_STRUCT_COLOR_BITS = 4;
const WORK_NR_COLORS = (1 << WORK_STRUCT_COLOR_BITS) - 1;
const WORK_NO_COLOR = WORK_NR_COLORS;
/** Not on a list: somebody cancels it and owns PENDING for as long as that takes. */
const WORK_OFFQ_CANCELING = 1 << 4;
/** Number of no pool. */
const WORK_OFFQ_POOL_NONE = 2 ** 31 - 1;

/** Any CPU, preferably this one. @mirrors include/linux/workqueue.h:WORK_CPU_UNBOUND */
export const WORK_CPU_UNBOUND: number = MAX_CPUS;
export const WQ_FREEZABLE: number = 1 << 2;
export const WQ_HIGHPRI: number = 1 << 4;
export const WQ_CPU_INTENSIVE: number = 1 << 5;
export const WQ_POWER_EFFICIENT: number = 1 << 7;
const __WQ_DRAINING = 1 << 16;
const __WQ_ORDERED = 1 << 17;
const __WQ_LEGACY = 1 << 18;

const WQ_MAX_ACTIVE = 512;
const WQ_MAX_UNBOUND_PER_CPU = 4;
const WQ_DFL_ACTIVE = WQ_MAX_ACTIVE / 2;

/** Sizes on a 64-bit machine. */
const WORK_STRUCT_SIZE = 32;
const DELAYED_WORK_SIZE = 88;
const RCU_WORK_SIZE = 56;
const WORKER_SIZE = 152;
const WORKER_POOL_SIZE = 832;
const WORKQUEUE_STRUCT_SIZE = 320;
const WQ_BARRIER_SIZE = 72;

/** What a work item does. */
export type work_func_t = (k: Kernel, work: work_struct) => MaySleep<void>;

/** A work item. @mirrors include/linux/workqueue.h:work_struct */
export class work_struct {
  /** WORK_STRUCT_* and the colour; in C the upper bits hold what dataPwq and dataPool hold here. */
  data = 0;
  /** Through what it is queued; valid while WORK_STRUCT_PWQ is set. */
  dataPwq: pool_workqueue | null = null;
  /** Number of the pool it was last on; valid while WORK_STRUCT_PWQ is clear. */
  dataPool: number = WORK_OFFQ_POOL_NONE;
  readonly entry: list_head<work_struct> = new list_head<work_struct>(this);
  func: work_func_t | null = null;
  /** Its address, for %p. */
  addr: VirtAddr = NULL;

  /** `container` is the structure that the item is embedded in; container_of() for classes. */
  constructor(readonly container: object | null = null) {}
}

/** A work item with a timer in front. @mirrors include/linux/workqueue.h:delayed_work */
export class delayed_work {
  readonly work: work_struct = new work_struct(this);
  readonly timer: timer_list = new timer_list(this);
  wq: workqueue_struct | null = null;
  cpu = 0;

  constructor(readonly container: object | null = null) {}
}

/** A work item with a grace period in front. @mirrors include/linux/workqueue.h:rcu_work */
export class rcu_work {
  readonly work: work_struct = new work_struct(this);
  /** The rcu_head, which is bytes in RAM. */
  readonly rcu: { addr: VirtAddr } = { addr: NULL };
  wq: workqueue_struct | null = null;

  constructor(readonly container: object | null = null) {}
}

/** The delayed_work that `work` is part of. @mirrors include/linux/workqueue.h:to_delayed_work */
export function to_delayed_work(work: work_struct): delayed_work {
  return work.container as delayed_work;
}

/** The rcu_work that `work` is part of. @mirrors include/linux/workqueue.h:to_rcu_work */
export function to_rcu_work(work: work_struct): rcu_work {
  return work.container as rcu_work;
}

/**
 * Prepares a work item. `addr` is where it stands; without it, it takes a piece of .data.
 *
 * @mirrors include/linux/workqueue.h:INIT_WORK
 */
export function INIT_WORK(k: Kernel, work: work_struct, func: work_func_t, addr?: VirtAddr): void {
  work.data = 0;
  work.dataPwq = null;
  work.dataPool = WORK_OFFQ_POOL_NONE;
  list_del_init(work.entry);
  work.func = func;
  work.addr = addr ?? (work.addr === NULL ? k.dataAlloc(WORK_STRUCT_SIZE) : work.addr);
}

/** INIT_WORK() of an item on the current task's stack. @mirrors include/linux/workqueue.h:INIT_WORK_ONSTACK */
function INIT_WORK_ONSTACK(k: Kernel, work: work_struct, func: work_func_t, addr: VirtAddr): void {
  INIT_WORK(k, work, func, addr);
}

/** INIT_WORK() and the timer. @mirrors include/linux/workqueue.h:INIT_DELAYED_WORK */
export function INIT_DELAYED_WORK(k: Kernel, dwork: delayed_work, func: work_func_t, addr?: VirtAddr): void {
  const at = addr ?? (dwork.work.addr === NULL ? k.dataAlloc(DELAYED_WORK_SIZE) : dwork.work.addr);
  INIT_WORK(k, dwork.work, func, at);
  timer_setup(k, dwork.timer, delayed_work_timer_fn, TIMER_IRQSAFE, addrAdd(at, WORK_STRUCT_SIZE));
}

/** INIT_WORK() and the address of the rcu_head. @mirrors include/linux/workqueue.h:INIT_RCU_WORK */
export function INIT_RCU_WORK(k: Kernel, rwork: rcu_work, func: work_func_t, addr?: VirtAddr): void {
  const at = addr ?? (rwork.work.addr === NULL ? k.dataAlloc(RCU_WORK_SIZE) : rwork.work.addr);
  INIT_WORK(k, rwork.work, func, at);
  rwork.rcu.addr = addrAdd(at, WORK_STRUCT_SIZE);
  k.setOwner(rwork.rcu.addr, rwork);
}

/** Whether the item is queued, or about to be. @mirrors include/linux/workqueue.h:work_pending */
export function work_pending(work: work_struct): boolean {
  return (work.data & WORK_STRUCT_PENDING) !== 0;
}

/** Whether the item is queued or its timer runs. @mirrors include/linux/workqueue.h:delayed_work_pending */
export function delayed_work_pending(dwork: delayed_work): boolean {
  return work_pending(dwork.work);
}

export const WQ_UNBOUND: number = 1 << 1;
export const WQ_MEM_RECLAIM: number = 1 << 3;

/** A workqueue whose items execute one after the other, in the order of queueing. @mirrors include/linux/workqueue.h:alloc_ordered_workqueue */
export function alloc_ordered_workqueue(
  k: Kernel,
  name: string,
  flags: number,
): MaySleep<workqueue_struct | null> {
  return alloc_workqueue(k, name, WQ_UNBOUND | __WQ_ORDERED | flags, 1);
}

/** queue_work_on() on this CPU, if possible. @mirrors include/linux/workqueue.h:queue_work */
export function queue_work(k: Kernel, wq: workqueue_struct, work: work_struct): Atomic<boolean> {
  return queue_work_on(k, WORK_CPU_UNBOUND, wq, work);
}

/** queue_delayed_work_on() on this CPU, if possible. @mirrors include/linux/workqueue.h:queue_delayed_work */
export function queue_delayed_work(
  k: Kernel,
  wq: workqueue_struct,
  dwork: delayed_work,
  delay: number,
): Atomic<boolean> {
  return queue_delayed_work_on(k, WORK_CPU_UNBOUND, wq, dwork, delay);
}

/** mod_delayed_work_on() on this CPU, if possible. @mirrors include/linux/workqueue.h:mod_delayed_work */
export function mod_delayed_work(
  k: Kernel,
  wq: workqueue_struct,
  dwork: delayed_work,
  delay: number,
): Atomic<boolean> {
  return mod_delayed_work_on(k, WORK_CPU_UNBOUND, wq, dwork, delay);
}

/** queue_work_on() on the system's workqueue. @mirrors include/linux/workqueue.h:schedule_work_on */
export function schedule_work_on(k: Kernel, cpu: number, work: work_struct): Atomic<boolean> {
  return queue_work_on(k, cpu, system_wq(k), work);
}

/** queue_work() on the system's workqueue. @mirrors include/linux/workqueue.h:schedule_work */
export function schedule_work(k: Kernel, work: work_struct): Atomic<boolean> {
  return queue_work(k, system_wq(k), work);
}

/** queue_delayed_work_on() on the system's workqueue. @mirrors include/linux/workqueue.h:schedule_delayed_work_on */
export function schedule_delayed_work_on(
  k: Kernel,
  cpu: number,
  dwork: delayed_work,
  delay: number,
): Atomic<boolean> {
  return queue_delayed_work_on(k, cpu, system_wq(k), dwork, delay);
}

/** queue_delayed_work() on the system's workqueue. @mirrors include/linux/workqueue.h:schedule_delayed_work */
export function schedule_delayed_work(k: Kernel, dwork: delayed_work, delay: number): Atomic<boolean> {
  return queue_delayed_work(k, system_wq(k), dwork, delay);
}

// ---- kernel/workqueue.c, kernel/workqueue_internal.h ---------------------------------------------------------------

const POOL_MANAGER_ACTIVE = 1 << 0;
const POOL_DISASSOCIATED = 1 << 2;

const WORKER_DIE = 1 << 1;
const WORKER_IDLE = 1 << 2;
const WORKER_PREP = 1 << 3;
const WORKER_CPU_INTENSIVE = 1 << 6;
const WORKER_UNBOUND = 1 << 7;
const WORKER_REBOUND = 1 << 8;
const WORKER_NOT_RUNNING = WORKER_PREP | WORKER_CPU_INTENSIVE | WORKER_UNBOUND | WORKER_REBOUND;

const MAX_IDLE_WORKERS_RATIO = 4;
const HIGHPRI_NICE_LEVEL = -20;

function IDLE_WORKER_TIMEOUT(k: Kernel): number {
  return 300 * HZ(k);
}

function CREATE_COOLDOWN(k: Kernel): number {
  return HZ(k);
}

/** A thread that executes work items. @mirrors kernel/workqueue_internal.h:worker */
export class worker {
  readonly entry: list_head<worker> = new list_head<worker>(this);
  current_work: work_struct | null = null;
  current_func: work_func_t | null = null;
  current_pwq: pool_workqueue | null = null;
  /** Items that only this worker may execute. */
  readonly scheduled: list_head<work_struct> = new list_head<work_struct>();
  task!: task_struct;
  pool!: worker_pool;
  readonly node: list_head<worker> = new list_head<worker>(this);
  last_active = 0;
  /** A new worker is neither idle nor running. */
  flags: number = WORKER_PREP;
  sleeping = 0;

  constructor(readonly id: number, readonly addr: VirtAddr) {}
}

/** Workers that share a list of work items. @mirrors kernel/workqueue.c:worker_pool */
export class worker_pool {
  readonly lock: raw_spinlock_t = new raw_spinlock_t("pool->lock");
  /** -1 for an unbound pool. */
  cpu = -1;
  id = -1;
  flags: number = POOL_DISASSOCIATED;
  readonly worklist: list_head<work_struct> = new list_head<work_struct>();
  nr_workers = 0;
  nr_idle = 0;
  readonly idle_list: list_head<worker> = new list_head<worker>();
  readonly idle_timer: timer_list = new timer_list(this);
  manager: worker | null = null;
  readonly workers: list_head<worker> = new list_head<worker>();
  /** Which worker numbers are taken. */
  readonly worker_ida: boolean[] = [];
  /** Bound workers that execute something and do not sleep. */
  nr_running = 0;

  constructor(readonly nice: number) {}
}

/** What ties a workqueue to a pool. @mirrors kernel/workqueue.c:pool_workqueue */
export class pool_workqueue {
  work_color = 0;
  flush_color = -1;
  refcnt = 1;
  readonly nr_in_flight: number[] = new Array<number>(WORK_NR_COLORS).fill(0);
  nr_active = 0;
  max_active = 0;
  /** Items beyond max_active. */
  readonly delayed_works: list_head<work_struct> = new list_head<work_struct>();

  constructor(readonly wq: workqueue_struct, readonly pool: worker_pool) {}
}

/** Somebody who waits in flush_workqueue(). */
class wq_flusher {
  readonly list: list_head<wq_flusher> = new list_head<wq_flusher>(this);
  flush_color = -1;
  readonly done: completion = new completion("flush_workqueue");
}

/** A workqueue. @mirrors kernel/workqueue.c:workqueue_struct */
export class workqueue_struct {
  /** All its pool_workqueues. */
  readonly pwqs: pool_workqueue[] = [];
  readonly list: list_head<workqueue_struct> = new list_head<workqueue_struct>(this);
  readonly mutex: mutex;
  work_color = 0;
  flush_color = 0;
  nr_pwqs_to_flush = 0;
  first_flusher: wq_flusher | null = null;
  readonly flusher_queue: list_head<wq_flusher> = new list_head<wq_flusher>();
  readonly flusher_overflow: list_head<wq_flusher> = new list_head<wq_flusher>();
  nr_drainers = 0;
  saved_max_active = 0;
  /** The one of an unbound workqueue. */
  dfl_pwq: pool_workqueue | null = null;
  /** Those of a bound one, by CPU. */
  readonly cpu_pwqs: pool_workqueue[] = [];

  constructor(readonly name: string, public flags: number, readonly addr: VirtAddr) {
    this.mutex = new mutex(`wq->mutex(${name})`);
  }
}

const wq_online = KERNEL_STATIC<boolean>("wq_online", () => false);
const wq_pool_mutex = KERNEL_STATIC("wq_pool_mutex", () => new mutex("wq_pool_mutex"));
const wq_pool_attach_mutex = KERNEL_STATIC("wq_pool_attach_mutex", () => new mutex("wq_pool_attach_mutex"));
const wq_manager_wait = KERNEL_STATIC("wq_manager_wait", () => new wait_queue_head("wq_manager_wait"));
const cancel_waitq = KERNEL_STATIC("cancel_waitq", () => new wait_queue_head("cancel_work_sync"));
/** Every workqueue, in order of creation. @mirrors kernel/workqueue.c:workqueues */
export const workqueues: KernelStatic<list_head<workqueue_struct>> = KERNEL_STATIC(
  "workqueues",
  () => new list_head<workqueue_struct>(),
);
/** The pools of each CPU: normal, high priority. @mirrors kernel/workqueue.c:cpu_worker_pools */
export const cpu_worker_pools: PerCpu<worker_pool[]> = DEFINE_PER_CPU("cpu_worker_pools", () => [
  new worker_pool(0),
  new worker_pool(HIGHPRI_NICE_LEVEL),
]);
/** Pools by number. */
const worker_pool_idr = KERNEL_STATIC<worker_pool[]>("worker_pool_idr", () => []);
/** Pools of unbound workqueues, one per nice value. @mirrors kernel/workqueue.c:unbound_pool_hash */
export const unbound_pool_hash: KernelStatic<worker_pool[]> = KERNEL_STATIC<worker_pool[]>(
  "unbound_pool_hash",
  () => [],
);

function systemQueue(name: string): KernelStatic<workqueue_struct> {
  return KERNEL_STATIC<workqueue_struct>(name, () => new workqueue_struct(name, 0, NULL));
}

export const system_wq: KernelStatic<workqueue_struct> = systemQueue("system_wq");
export const system_highpri_wq: KernelStatic<workqueue_struct> = systemQueue("system_highpri_wq");
export const system_long_wq: KernelStatic<workqueue_struct> = systemQueue("system_long_wq");
export const system_unbound_wq: KernelStatic<workqueue_struct> = systemQueue("system_unbound_wq");
export const system_power_efficient_wq: KernelStatic<workqueue_struct> = systemQueue(
  "system_power_efficient_wq",
);

export const statics: readonly StaticKey[] = [
  wq_online,
  wq_pool_mutex,
  wq_pool_attach_mutex,
  wq_manager_wait,
  cancel_waitq,
  workqueues,
  cpu_worker_pools,
  worker_pool_idr,
  unbound_pool_hash,
  system_wq,
  system_highpri_wq,
  system_long_wq,
  system_unbound_wq,
  system_power_efficient_wq,
];

function funcAddr(k: Kernel, func: work_func_t | null): VirtAddr {
  return func === null ? NULL : ksym(k, func);
}

function work_color_to_flags(color: number): number {
  return color << WORK_STRUCT_COLOR_SHIFT;
}

function get_work_color(work: work_struct): number {
  return (work.data >>> WORK_STRUCT_COLOR_SHIFT) & ((1 << WORK_STRUCT_COLOR_BITS) - 1);
}

function work_next_color(color: number): number {
  return (color + 1) % WORK_NR_COLORS;
}

/** Only the owner of PENDING may. @mirrors kernel/workqueue.c:set_work_data */
function set_work_data(
  k: Kernel,
  work: work_struct,
  pwq: pool_workqueue | null,
  pool_id: number,
  flags: number,
): void {
  WARN_ON_ONCE(k, !work_pending(work), "set_work_data");
  work.dataPwq = pwq;
  work.dataPool = pool_id;
  work.data = flags;
}

function set_work_pwq(k: Kernel, work: work_struct, pwq: pool_workqueue, extra_flags: number): void {
  const flags = WORK_STRUCT_PENDING | WORK_STRUCT_PWQ | extra_flags;
  set_work_data(k, work, pwq, WORK_OFFQ_POOL_NONE, flags);
}

function set_work_pool_and_keep_pending(k: Kernel, work: work_struct, pool_id: number): void {
  set_work_data(k, work, null, pool_id, WORK_STRUCT_PENDING);
}

function set_work_pool_and_clear_pending(k: Kernel, work: work_struct, pool_id: number): void {
  set_work_data(k, work, null, pool_id, 0);
}

function clear_work_data(k: Kernel, work: work_struct): void {
  set_work_data(k, work, null, WORK_OFFQ_POOL_NONE, 0);
}

function get_work_pwq(work: work_struct): pool_workqueue | null {
  return (work.data & WORK_STRUCT_PWQ) !== 0 ? work.dataPwq : null;
}

/** The pool that the item is on, or was last on. @mirrors kernel/workqueue.c:get_work_pool */
function get_work_pool(k: Kernel, work: work_struct): worker_pool | null {
  const pwq = get_work_pwq(work);
  if (pwq !== null) return pwq.pool;
  return work.dataPool === WORK_OFFQ_POOL_NONE ? null : worker_pool_idr(k)[work.dataPool];
}

function get_work_pool_id(work: work_struct): number {
  return get_work_pwq(work)?.pool.id ?? work.dataPool;
}

function mark_work_canceling(k: Kernel, work: work_struct): void {
  set_work_data(k, work, null, get_work_pool_id(work), WORK_OFFQ_CANCELING | WORK_STRUCT_PENDING);
}

function work_is_canceling(work: work_struct): boolean {
  return (work.data & (WORK_STRUCT_PWQ | WORK_OFFQ_CANCELING)) === WORK_OFFQ_CANCELING;
}

/** Sets PENDING; true when it was set already, so that somebody else owns the item. */
function test_and_set_pending(work: work_struct): boolean {
  if (work_pending(work)) return true;
  work.data |= WORK_STRUCT_PENDING;
  return false;
}

function __need_more_worker(pool: worker_pool): boolean {
  return pool.nr_running === 0;
}

/** There is work and no running worker; for an unbound pool, there is work. @mirrors kernel/workqueue.c:need_more_worker */
function need_more_worker(pool: worker_pool): boolean {
  return !list_empty(pool.worklist) && __need_more_worker(pool);
}

/** Somebody else is there to take over when this worker sleeps. @mirrors kernel/workqueue.c:may_start_working */
function may_start_working(pool: worker_pool): boolean {
  return pool.nr_idle > 0;
}

function keep_working(pool: worker_pool): boolean {
  return !list_empty(pool.worklist) && pool.nr_running <= 1;
}

function need_to_create_worker(pool: worker_pool): boolean {
  return need_more_worker(pool) && !may_start_working(pool);
}

function too_many_workers(pool: worker_pool): boolean {
  // A manager counts as idle.
  const nr_idle = pool.nr_idle + ((pool.flags & POOL_MANAGER_ACTIVE) !== 0 ? 1 : 0);
  const nr_busy = pool.nr_workers - nr_idle;
  return nr_idle > 2 && (nr_idle - 2) * MAX_IDLE_WORKERS_RATIO >= nr_busy;
}

function first_idle_worker(pool: worker_pool): worker | null {
  return list_empty(pool.idle_list) ? null : list_first_entry(pool.idle_list);
}

/** Wakes the worker that went idle last. Locks: pool->lock. @mirrors kernel/workqueue.c:wake_up_worker */
function wake_up_worker(k: Kernel, pool: worker_pool): void {
  const worker = first_idle_worker(pool);
  if (worker !== null) wake_up_process(k, worker.task);
}

/**
 * A worker is back from schedule().
 *
 * Context: called by schedule(), for tasks with PF_WQ_WORKER.
 *
 * @mirrors kernel/workqueue.c:wq_worker_running
 */
export function wq_worker_running(k: Kernel, task: task_struct): void {
  const worker = kthread_data(k, task) as worker;
  if (worker.sleeping === 0) return;
  if ((worker.flags & WORKER_NOT_RUNNING) === 0) worker.pool.nr_running++;
  worker.sleeping = 0;
}

/**
 * A worker goes to sleep: if it was the last one running and there is work, another one is woken.
 *
 * Context: called by schedule() before the switch, for tasks with PF_WQ_WORKER whose state is not TASK_RUNNING; preemption
 * off. Locks: takes pool->lock, so interrupts are on afterwards.
 *
 * @mirrors kernel/workqueue.c:wq_worker_sleeping
 */
export function wq_worker_sleeping(k: Kernel, task: task_struct): Atomic<void> {
  const worker = kthread_data(k, task) as worker;
  if ((worker.flags & WORKER_NOT_RUNNING) !== 0 || worker.sleeping !== 0) return doneVoid();
  return wq_worker_sleeping_slow(k, worker);
}

function* wq_worker_sleeping_slow(k: Kernel, worker: worker): Atomic<void> {
  const { pool } = worker;
  worker.sleeping = 1;
  yield* spin_lock_irq(k, pool.lock);
  if (--pool.nr_running === 0 && !list_empty(pool.worklist)) wake_up_worker(k, pool);
  spin_unlock_irq(k, pool.lock);
}

/** The worker that the current task is, or null. @mirrors kernel/workqueue_internal.h:current_wq_worker */
export function current_wq_worker(k: Kernel): worker | null {
  if (!in_task(k) || (current(k).flags & PF_WQ_WORKER) === 0) return null;
  return kthread_data(k, current(k)) as worker;
}

function worker_set_flags(k: Kernel, worker: worker, flags: number): void {
  WARN_ON_ONCE(k, worker.task !== current(k), "worker_set_flags");
  if ((flags & WORKER_NOT_RUNNING) !== 0 && (worker.flags & WORKER_NOT_RUNNING) === 0) {
    worker.pool.nr_running--;
  }
  worker.flags |= flags;
}

function worker_clr_flags(k: Kernel, worker: worker, flags: number): void {
  WARN_ON_ONCE(k, worker.task !== current(k), "worker_clr_flags");
  const oflags = worker.flags;
  worker.flags &= ~flags;
  if ((flags & WORKER_NOT_RUNNING) === 0 || (oflags & WORKER_NOT_RUNNING) === 0) return;
  if ((worker.flags & WORKER_NOT_RUNNING) === 0) worker.pool.nr_running++;
}

/**
 * The worker of `pool` that executes `work`, or null. Locks: pool->lock.
 *
 * @mirrors kernel/workqueue.c:find_worker_executing_work
 * @simplified looks through the pool's workers instead of a hash
 */
function find_worker_executing_work(pool: worker_pool, work: work_struct): worker | null {
  for (let at = pool.workers.next; at !== pool.workers; at = at.next) {
    const worker = list_entry(at);
    if (worker.current_work === work && worker.current_func === work.func) return worker;
  }
  return null;
}

/** Moves `work` and the items linked to it to the end of `head`. @mirrors kernel/workqueue.c:move_linked_works */
function move_linked_works(work: work_struct, head: list_head<work_struct>): void {
  for (let item = work;;) {
    const next = item.entry.next;
    list_move_tail(item.entry, head);
    if ((item.data & WORK_STRUCT_LINKED) === 0) return;
    item = list_entry(next);
  }
}

function get_pwq(k: Kernel, pwq: pool_workqueue): void {
  lockdep_assert_held(k, pwq.pool.lock);
  WARN_ON_ONCE(k, pwq.refcnt <= 0, "get_pwq");
  pwq.refcnt++;
}

function put_pwq(k: Kernel, pwq: pool_workqueue): void {
  lockdep_assert_held(k, pwq.pool.lock);
  WARN_ON_ONCE(k, --pwq.refcnt <= 0, "put_pwq");
}

function pwq_activate_delayed_work(k: Kernel, work: work_struct): void {
  const pwq = get_work_pwq(work) as pool_workqueue;
  trace_workqueue_activate_work(k, work.addr);
  move_linked_works(work, pwq.pool.worklist);
  work.data &= ~WORK_STRUCT_DELAYED;
  pwq.nr_active++;
}

function pwq_activate_first_delayed(k: Kernel, pwq: pool_workqueue): void {
  pwq_activate_delayed_work(k, list_first_entry(pwq.delayed_works));
}

/** An item of colour `color` has left the queue. Locks: pool->lock. @mirrors kernel/workqueue.c:pwq_dec_nr_in_flight */
function pwq_dec_nr_in_flight(k: Kernel, pwq: pool_workqueue, color: number): void {
  if (color !== WORK_NO_COLOR) {
    pwq.nr_in_flight[color]--;
    pwq.nr_active--;
    if (!list_empty(pwq.delayed_works) && pwq.nr_active < pwq.max_active) {
      pwq_activate_first_delayed(k, pwq);
    }
    if (pwq.flush_color === color && pwq.nr_in_flight[color] === 0) {
      pwq.flush_color = -1;
      const { wq } = pwq;
      if (--wq.nr_pwqs_to_flush === 0) complete(k, (wq.first_flusher as wq_flusher).done);
    }
  }
  put_pwq(k, pwq);
}

/**
 * Takes PENDING away from whoever has it. Returns 1 when the item was pending, 0 when it was idle; -EAGAIN when it is being
 * queued just now, -ENOENT when somebody else cancels it.
 *
 * Context: any; the caller has just saved and disabled interrupts. They stay off on success and are restored on failure.
 *
 * @mirrors kernel/workqueue.c:try_to_grab_pending
 */
function* try_to_grab_pending(
  k: Kernel,
  work: work_struct,
  is_dwork: boolean,
  flags: IrqFlags,
): Atomic<number> {
  if (is_dwork && (yield* del_timer(k, to_delayed_work(work).timer))) return 1;
  if (pt(k, POINT_RMW, "work->data")) yield STEP;
  if (!test_and_set_pending(work)) return 0;

  const pool = get_work_pool(k, work);
  if (pool !== null) {
    yield* spin_lock(k, pool.lock);
    const pwq = get_work_pwq(work);
    if (pwq !== null && pwq.pool === pool) {
      // An item beyond max_active may have items linked to it, so it is activated first.
      if ((work.data & WORK_STRUCT_DELAYED) !== 0) pwq_activate_delayed_work(k, work);
      list_del_init(work.entry);
      pwq_dec_nr_in_flight(k, pwq, get_work_color(work));
      set_work_pool_and_keep_pending(k, work, pool.id);
      spin_unlock(k, pool.lock);
      return 1;
    }
    spin_unlock(k, pool.lock);
  }
  local_irq_restore(k, flags);
  if (work_is_canceling(work)) return -ENOENT;
  if (pt(k, POINT_DELAY, "cpu_relax")) yield STEP;
  return -EAGAIN;
}

/** Puts the item before `head`. Locks: pool->lock. @mirrors kernel/workqueue.c:insert_work */
function insert_work(
  k: Kernel,
  pwq: pool_workqueue,
  work: work_struct,
  head: list_head<work_struct>,
  extra_flags: number,
): void {
  const { pool } = pwq;
  set_work_pwq(k, work, pwq, extra_flags);
  list_add_tail(work.entry, head);
  get_pwq(k, pwq);
  if (__need_more_worker(pool)) wake_up_worker(k, pool);
}

/** Whether the current task executes an item of `wq`. */
function is_chained_work(k: Kernel, wq: workqueue_struct): boolean {
  return current_wq_worker(k)?.current_pwq?.wq === wq;
}

/**
 * Puts an item whose PENDING the caller has set on a list.
 *
 * Context: interrupts off.
 *
 * @mirrors kernel/workqueue.c:__queue_work
 * @simplified the CPU asked for does not matter for an unbound workqueue, which has one pool_workqueue
 */
function* __queue_work(k: Kernel, req_cpu: number, wq: workqueue_struct, work: work_struct): Atomic<void> {
  if ((wq.flags & __WQ_DRAINING) !== 0 && WARN_ON_ONCE(k, !is_chained_work(k, wq), "draining")) return;
  const cpu = req_cpu === WORK_CPU_UNBOUND ? smp_processor_id(k) : req_cpu;
  let pwq = (wq.flags & WQ_UNBOUND) !== 0 ? wq.dfl_pwq as pool_workqueue : wq.cpu_pwqs[cpu];

  // It may still run on another pool: then it goes there, so that it never runs twice at the same time.
  const last_pool = get_work_pool(k, work);
  if (last_pool !== null && last_pool !== pwq.pool) {
    yield* spin_lock(k, last_pool.lock);
    const worker = find_worker_executing_work(last_pool, work);
    if (worker?.current_pwq?.wq === wq) pwq = worker.current_pwq;
    else {
      spin_unlock(k, last_pool.lock);
      yield* spin_lock(k, pwq.pool.lock);
    }
  } else yield* spin_lock(k, pwq.pool.lock);

  trace_workqueue_queue_work(k, work.addr, funcAddr(k, work.func), wq.addr, req_cpu, pwq.pool.cpu);
  if (!WARN_ON(k, !list_empty(work.entry))) {
    pwq.nr_in_flight[pwq.work_color]++;
    let work_flags = work_color_to_flags(pwq.work_color);
    let worklist: list_head<work_struct>;
    if (pwq.nr_active < pwq.max_active) {
      trace_workqueue_activate_work(k, work.addr);
      pwq.nr_active++;
      worklist = pwq.pool.worklist;
    } else {
      work_flags |= WORK_STRUCT_DELAYED;
      worklist = pwq.delayed_works;
    }
    insert_work(k, pwq, work, worklist, work_flags);
  }
  spin_unlock(k, pwq.pool.lock);
}

/**
 * Queues the item on `cpu`, or anywhere with WORK_CPU_UNBOUND. Returns false, and does nothing, when it is pending.
 *
 * Context: any. Points: before PENDING is set, and the pool's lock.
 *
 * @mirrors kernel/workqueue.c:queue_work_on
 */
export function queue_work_on(
  k: Kernel,
  cpu: number,
  wq: workqueue_struct,
  work: work_struct,
): Atomic<boolean> {
  const atPoint = pt(k, POINT_RMW, "work->data");
  return !atPoint && work_pending(work) ? done(false) : queue_work_slow(k, cpu, wq, work, atPoint);
}

function* queue_work_slow(
  k: Kernel,
  cpu: number,
  wq: workqueue_struct,
  work: work_struct,
  atPoint: boolean,
): Atomic<boolean> {
  const flags = local_irq_save(k);
  if (atPoint) yield STEP;
  const ret = !test_and_set_pending(work);
  if (ret) yield* __queue_work(k, cpu, wq, work);
  local_irq_restore(k, flags);
  return ret;
}

/** The timer of a delayed item: queues it. Context: interrupts off. @mirrors kernel/workqueue.c:delayed_work_timer_fn */
export function delayed_work_timer_fn(k: Kernel, t: timer_list): Atomic<void> {
  const dwork = from_timer<delayed_work>(t);
  return __queue_work(k, dwork.cpu, dwork.wq as workqueue_struct, dwork.work);
}

/** @mirrors kernel/workqueue.c:__queue_delayed_work */
function* __queue_delayed_work(
  k: Kernel,
  cpu: number,
  wq: workqueue_struct,
  dwork: delayed_work,
  delay: number,
): Atomic<void> {
  const { timer, work } = dwork;
  WARN_ON_ONCE(k, timer.function !== delayed_work_timer_fn, "timer function");
  WARN_ON_ONCE(k, timer_pending(timer), "timer pending");
  WARN_ON_ONCE(k, !list_empty(work.entry), "queued");
  // Without a delay at once: the earliest that a timer can run is the next tick.
  if (delay === 0) {
    yield* __queue_work(k, cpu, wq, work);
    return;
  }
  dwork.wq = wq;
  dwork.cpu = cpu;
  timer.expires = jiffies(k) + delay;
  if (cpu !== WORK_CPU_UNBOUND) yield* add_timer_on(k, timer, cpu);
  else yield* add_timer(k, timer);
}

/**
 * Queues the item after `delay` jiffies. Returns false, and does nothing, when it is pending.
 *
 * Context: any. Units: jiffies; the timer wheel rounds up.
 *
 * @mirrors kernel/workqueue.c:queue_delayed_work_on
 */
export function queue_delayed_work_on(
  k: Kernel,
  cpu: number,
  wq: workqueue_struct,
  dwork: delayed_work,
  delay: number,
): Atomic<boolean> {
  const atPoint = pt(k, POINT_RMW, "work->data");
  if (!atPoint && work_pending(dwork.work)) return done(false);
  return queue_delayed_work_slow(k, cpu, wq, dwork, delay, atPoint);
}

function* queue_delayed_work_slow(
  k: Kernel,
  cpu: number,
  wq: workqueue_struct,
  dwork: delayed_work,
  delay: number,
  atPoint: boolean,
): Atomic<boolean> {
  const flags = local_irq_save(k);
  if (atPoint) yield STEP;
  const ret = !test_and_set_pending(dwork.work);
  if (ret) yield* __queue_delayed_work(k, cpu, wq, dwork, delay);
  local_irq_restore(k, flags);
  return ret;
}

/**
 * Queues the item after `delay` jiffies whether it is pending or not. Returns whether it was.
 *
 * Context: any.
 *
 * @mirrors kernel/workqueue.c:mod_delayed_work_on
 */
export function* mod_delayed_work_on(
  k: Kernel,
  cpu: number,
  wq: workqueue_struct,
  dwork: delayed_work,
  delay: number,
): Atomic<boolean> {
  for (;;) {
    const flags = local_irq_save(k);
    const ret = yield* try_to_grab_pending(k, dwork.work, true, flags);
    if (ret === -EAGAIN) continue;
    if (ret >= 0) {
      yield* __queue_delayed_work(k, cpu, wq, dwork, delay);
      local_irq_restore(k, flags);
    }
    return ret !== 0;
  }
}

/** The grace period of an rcu_work is over: queues it. Context: softirq. @mirrors kernel/workqueue.c:rcu_work_rcufn */
export function* rcu_work_rcufn(k: Kernel, rcu: VirtAddr): Atomic<void> {
  const rwork = k.ownerOf(rcu) as rcu_work;
  local_irq_disable(k);
  yield* __queue_work(k, WORK_CPU_UNBOUND, rwork.wq as workqueue_struct, rwork.work);
  local_irq_enable(k);
}

/**
 * Queues the item after a grace period. Returns false, and does nothing, when it is pending: then it runs some time, but
 * perhaps before a grace period from now has passed.
 *
 * Context: any. A point before PENDING is set.
 *
 * @mirrors kernel/workqueue.c:queue_rcu_work
 */
export function queue_rcu_work(k: Kernel, wq: workqueue_struct, rwork: rcu_work): Atomic<boolean> {
  const atPoint = pt(k, POINT_RMW, "work->data");
  return !atPoint && work_pending(rwork.work) ? done(false) : queue_rcu_work_slow(k, wq, rwork, atPoint);
}

function* queue_rcu_work_slow(
  k: Kernel,
  wq: workqueue_struct,
  rwork: rcu_work,
  atPoint: boolean,
): Atomic<boolean> {
  if (atPoint) yield STEP;
  if (test_and_set_pending(rwork.work)) return false;
  rwork.wq = wq;
  yield* k.rcu.call_rcu(k, rwork.rcu.addr, rcu_work_rcufn);
  return true;
}

/** Locks: pool->lock. @mirrors kernel/workqueue.c:worker_enter_idle */
function worker_enter_idle(k: Kernel, worker: worker): Atomic<void> {
  const { pool } = worker;
  if (WARN_ON_ONCE(k, (worker.flags & WORKER_IDLE) !== 0, "idle")) return doneVoid();
  worker.flags |= WORKER_IDLE;
  pool.nr_idle++;
  worker.last_active = jiffies(k);
  list_add(worker.entry, pool.idle_list);
  const running = (pool.flags & POOL_DISASSOCIATED) === 0 && pool.nr_workers === pool.nr_idle &&
    pool.nr_running !== 0;
  WARN_ON_ONCE(k, running, "nr_running");
  return too_many_workers(pool) && !timer_pending(pool.idle_timer) ? armIdleTimer(k, pool) : doneVoid();
}

function* armIdleTimer(k: Kernel, pool: worker_pool): Atomic<void> {
  yield* mod_timer(k, pool.idle_timer, jiffies(k) + IDLE_WORKER_TIMEOUT(k));
}

/** Locks: pool->lock. @mirrors kernel/workqueue.c:worker_leave_idle */
function worker_leave_idle(k: Kernel, worker: worker): void {
  if (WARN_ON_ONCE(k, (worker.flags & WORKER_IDLE) === 0, "not idle")) return;
  worker_clr_flags(k, worker, WORKER_IDLE);
  worker.pool.nr_idle--;
  list_del_init(worker.entry);
}

function* alloc_worker(k: Kernel, id: number): MaySleep<worker | null> {
  const addr = yield* allocObject(k, WORKER_SIZE);
  return addr === NULL ? null : new worker(id, addr);
}

function* worker_attach_to_pool(k: Kernel, worker: worker, pool: worker_pool): MaySleep<void> {
  yield* mutex_lock(k, wq_pool_attach_mutex(k));
  if ((pool.flags & POOL_DISASSOCIATED) !== 0) worker.flags |= WORKER_UNBOUND;
  list_add_tail(worker.node, pool.workers);
  worker.pool = pool;
  mutex_unlock(k, wq_pool_attach_mutex(k));
}

function* worker_detach_from_pool(k: Kernel, worker: worker): MaySleep<void> {
  yield* mutex_lock(k, wq_pool_attach_mutex(k));
  list_del_init(worker.node);
  mutex_unlock(k, wq_pool_attach_mutex(k));
  worker.flags &= ~(WORKER_UNBOUND | WORKER_REBOUND);
}

/**
 * @mirrors kernel/sched/core.c:set_user_nice
 * @simplified for a task that sleeps, and high priority only
 */
function set_user_nice(p: task_struct, nice: number): void {
  if (nice === 0) return;
  p.static_prio = DEFAULT_PRIO + nice;
  p.prio = p.static_prio;
  p.se.weight = HIGHPRI_WEIGHT;
}

/** Weight of nice -20 and 0. @mirrors kernel/sched/core.c:sched_prio_to_weight */
const HIGHPRI_WEIGHT = 88761;

/** The lowest number that is free. @mirrors include/linux/idr.h:ida_simple_get */
function ida_simple_get(ida: boolean[]): number {
  let id = 0;
  while (ida[id] === true) id++;
  ida[id] = true;
  return id;
}

/**
 * Makes a worker, attaches it to the pool and starts it. Null without memory.
 *
 * Context: process context. Sleeps.
 *
 * @mirrors kernel/workqueue.c:create_worker
 */
function* create_worker(k: Kernel, pool: worker_pool): MaySleep<worker | null> {
  const id = ida_simple_get(pool.worker_ida);
  const worker = yield* alloc_worker(k, id);
  if (worker === null) {
    pool.worker_ida[id] = false;
    return null;
  }
  const id_buf = pool.cpu >= 0 ? `${pool.cpu}:${id}${pool.nice < 0 ? "H" : ""}` : `u${pool.id}:${id}`;
  const task = yield* kthread_create_on_node(k, worker_thread, worker, NUMA_NO_NODE, `kworker/${id_buf}`);
  if (typeof task === "number") {
    pool.worker_ida[id] = false;
    yield* freeObject(k, worker.addr);
    return null;
  }
  worker.task = task;
  yield* kthread_bind_mask(k, task, poolCpus(k, pool));
  set_user_nice(task, pool.nice);
  yield* worker_attach_to_pool(k, worker, pool);

  yield* spin_lock_irq(k, pool.lock);
  pool.nr_workers++;
  yield* worker_enter_idle(k, worker);
  wake_up_process(k, task);
  spin_unlock_irq(k, pool.lock);
  return worker;
}

/** The CPUs that a pool's workers may use: its own, or all (null). @invented pool->attrs->cpumask */
function poolCpus(k: Kernel, pool: worker_pool): cpumask_t | null {
  if (pool.cpu < 0) return null;
  const mask = new cpumask_t(k.config.cpus);
  cpumask_set_cpu(pool.cpu, mask);
  return mask;
}

/** Tells an idle worker to end. Locks: pool->lock. @mirrors kernel/workqueue.c:destroy_worker */
function destroy_worker(k: Kernel, worker: worker): void {
  const { pool } = worker;
  lockdep_assert_held(k, pool.lock);
  if (
    WARN_ON(k, worker.current_work !== null) || WARN_ON(k, !list_empty(worker.scheduled)) ||
    WARN_ON(k, (worker.flags & WORKER_IDLE) === 0)
  ) return;
  pool.nr_workers--;
  pool.nr_idle--;
  list_del_init(worker.entry);
  worker.flags |= WORKER_DIE;
  wake_up_process(k, worker.task);
}

function* idle_worker_timeout(k: Kernel, t: timer_list): Atomic<void> {
  const pool = from_timer<worker_pool>(t);
  yield* spin_lock_irq(k, pool.lock);
  while (too_many_workers(pool)) {
    // The list is last in, first out: the last one has been idle for longest.
    const worker = list_last_entry(pool.idle_list);
    const expires = worker.last_active + IDLE_WORKER_TIMEOUT(k);
    if (time_before(jiffies(k), expires)) {
      yield* mod_timer(k, pool.idle_timer, expires);
      break;
    }
    destroy_worker(k, worker);
  }
  spin_unlock_irq(k, pool.lock);
}

/** Locks: pool->lock, dropped meanwhile. Sleeps. @mirrors kernel/workqueue.c:maybe_create_worker */
function* maybe_create_worker(k: Kernel, pool: worker_pool): MaySleep<void> {
  do {
    spin_unlock_irq(k, pool.lock);
    for (;;) {
      if ((yield* create_worker(k, pool)) !== null || !need_to_create_worker(pool)) break;
      yield* schedule_timeout_interruptible(k, CREATE_COOLDOWN(k));
      if (!need_to_create_worker(pool)) break;
    }
    yield* spin_lock_irq(k, pool.lock);
  } while (need_to_create_worker(pool));
}

/** Makes a worker unless another one does already. Returns whether it did. @mirrors kernel/workqueue.c:manage_workers */
function* manage_workers(k: Kernel, worker: worker): MaySleep<boolean> {
  const { pool } = worker;
  if ((pool.flags & POOL_MANAGER_ACTIVE) !== 0) return false;
  pool.flags |= POOL_MANAGER_ACTIVE;
  pool.manager = worker;
  yield* maybe_create_worker(k, pool);
  pool.manager = null;
  pool.flags &= ~POOL_MANAGER_ACTIVE;
  wake_up(k, wq_manager_wait(k));
  return true;
}

/**
 * Executes one item.
 *
 * Locks: pool->lock, dropped while the function runs. Points: PENDING cleared and the function not started; cond_resched
 * after it.
 *
 * @mirrors kernel/workqueue.c:process_one_work
 */
function* process_one_work(k: Kernel, worker: worker, work: work_struct): MaySleep<void> {
  const pwq = get_work_pwq(work) as pool_workqueue;
  const { pool } = worker;
  const cpu_intensive = (pwq.wq.flags & WQ_CPU_INTENSIVE) !== 0;
  const wrongCpu = (pool.flags & POOL_DISASSOCIATED) === 0 && smp_processor_id(k) !== pool.cpu;
  WARN_ON_ONCE(k, wrongCpu, "cpu");

  // It runs already: whoever executes it does it once more.
  const collision = find_worker_executing_work(pool, work);
  if (collision !== null) {
    move_linked_works(work, collision.scheduled);
    return;
  }
  const func = work.func as work_func_t;
  worker.current_work = work;
  worker.current_func = func;
  worker.current_pwq = pwq;
  const work_color = get_work_color(work);
  list_del_init(work.entry);

  if (cpu_intensive) worker_set_flags(k, worker, WORKER_CPU_INTENSIVE);
  // Workers that do not count as running wake the next one themselves.
  if (need_more_worker(pool)) wake_up_worker(k, pool);

  const { addr } = work;
  set_work_pool_and_clear_pending(k, work, pool.id);
  spin_unlock_irq(k, pool.lock);

  if (pt(k, POINT_WORK, func)) yield STEP;
  trace_workqueue_execute_start(k, addr, funcAddr(k, work.func));
  yield* func(k, work);
  // The item may be gone by now.
  trace_workqueue_execute_end(k, addr, ksym(k, func));
  if (in_atomic(k) || lockdep_depth(k, current(k)) > 0) leakedAtomic(k, func);
  yield* cond_resched(k);

  yield* spin_lock_irq(k, pool.lock);
  if (cpu_intensive) worker_clr_flags(k, worker, WORKER_CPU_INTENSIVE);
  worker.current_work = null;
  worker.current_func = null;
  worker.current_pwq = null;
  pwq_dec_nr_in_flight(k, pwq, work_color);
}

function leakedAtomic(k: Kernel, func: work_func_t): void {
  const p = current(k);
  const count = preempt_count(k).toString(16).padStart(8, "0");
  const title = `BUG: workqueue leaked lock or atomic: ${p.comm}/0x${count}/${p.pid}`;
  report(k, KERN_ERR, title, [
    title,
    `     last function: ${func.name}`,
    ...debug_show_held_locks(k, p),
    ...dumpStackLines(k),
  ]);
}

function* process_scheduled_works(k: Kernel, worker: worker): MaySleep<void> {
  while (!list_empty(worker.scheduled)) {
    yield* process_one_work(k, worker, list_first_entry(worker.scheduled));
  }
}

function* set_pf_worker(k: Kernel, val: boolean): MaySleep<void> {
  yield* mutex_lock(k, wq_pool_attach_mutex(k));
  if (val) current(k).flags |= PF_WQ_WORKER;
  else current(k).flags &= ~PF_WQ_WORKER;
  mutex_unlock(k, wq_pool_attach_mutex(k));
}

/** What a worker does until it is told to die. @mirrors kernel/workqueue.c:worker_thread */
function* worker_thread(k: Kernel, worker: worker): MaySleep<number> {
  const { pool } = worker;
  yield* set_pf_worker(k, true);
  for (;;) {
    yield* spin_lock_irq(k, pool.lock);
    if ((worker.flags & WORKER_DIE) !== 0) {
      spin_unlock_irq(k, pool.lock);
      yield* workerDies(k, worker);
      return 0;
    }
    worker_leave_idle(k, worker);
    yield* workWhileNeeded(k, worker);
    // Workers are woken under pool->lock or from this CPU: nothing is lost between here and schedule().
    yield* worker_enter_idle(k, worker);
    __set_current_state(k, TASK_IDLE);
    spin_unlock_irq(k, pool.lock);
    current(k).waitingFor = "work";
    yield* schedule(k);
    current(k).waitingFor = "";
  }
}

/** From `recheck` to `sleep` of worker_thread(). Locks: pool->lock. */
function* workWhileNeeded(k: Kernel, worker: worker): MaySleep<void> {
  const { pool } = worker;
  do {
    if (!need_more_worker(pool)) return;
  } while (!may_start_working(pool) && (yield* manage_workers(k, worker)));

  WARN_ON_ONCE(k, !list_empty(worker.scheduled), "scheduled");
  worker_clr_flags(k, worker, WORKER_PREP | WORKER_REBOUND);
  do {
    const work = list_first_entry(pool.worklist);
    if ((work.data & WORK_STRUCT_LINKED) === 0) yield* process_one_work(k, worker, work);
    else move_linked_works(work, worker.scheduled);
    yield* process_scheduled_works(k, worker);
  } while (keep_working(pool));
  worker_set_flags(k, worker, WORKER_PREP);
}

function* workerDies(k: Kernel, worker: worker): MaySleep<void> {
  WARN_ON_ONCE(k, !list_empty(worker.entry), "dying");
  yield* set_pf_worker(k, false);
  worker.pool.worker_ida[worker.id] = false;
  yield* worker_detach_from_pool(k, worker);
  yield* freeObject(k, worker.addr);
}

/** Waiting for a workqueue that memory reclaim may need must not depend on one that it may not. */
function check_flush_dependency(
  k: Kernel,
  target_wq: workqueue_struct,
  target_work: work_struct | null,
): void {
  if ((target_wq.flags & WQ_MEM_RECLAIM) !== 0) return;
  const target = `!WQ_MEM_RECLAIM ${target_wq.name}:${target_work?.func?.name ?? "0x0"}`;
  const p = current(k);
  const reclaiming = (p.flags & PF_MEMALLOC) !== 0;
  WARN_ONCE(k, reclaiming, `workqueue: PF_MEMALLOC task ${p.pid}(${p.comm}) is flushing ${target}`, "task");
  const worker = current_wq_worker(k);
  const wq = worker?.current_pwq?.wq;
  const reclaimer = wq !== undefined && (wq.flags & (WQ_MEM_RECLAIM | __WQ_LEGACY)) === WQ_MEM_RECLAIM;
  const who = `${wq?.name}:${worker?.current_func?.name}`;
  WARN_ONCE(k, reclaimer, `workqueue: WQ_MEM_RECLAIM ${who} is flushing ${target}`, "worker");
}

/** An item that completes when it runs. */
class wq_barrier {
  readonly work: work_struct = new work_struct(this);
  readonly done: completion = new completion("flush_work");

  constructor(readonly addr: VirtAddr) {}
}

function wq_barrier_func(k: Kernel, work: work_struct): MaySleep<void> {
  complete(k, (work.container as wq_barrier).done);
  return doneVoid();
}

/**
 * Queues a barrier behind `target`: with the worker that executes it, or linked to it in its list.
 *
 * Locks: pool->lock.
 *
 * @mirrors kernel/workqueue.c:insert_wq_barrier
 */
function insert_wq_barrier(
  k: Kernel,
  pwq: pool_workqueue,
  barr: wq_barrier,
  target: work_struct,
  worker: worker | null,
): void {
  INIT_WORK_ONSTACK(k, barr.work, wq_barrier_func, barr.addr);
  barr.work.data |= WORK_STRUCT_PENDING;
  let head: list_head<work_struct>;
  let linked = 0;
  if (worker !== null) head = worker.scheduled.next;
  else {
    head = target.entry.next;
    linked = target.data & WORK_STRUCT_LINKED;
    target.data |= WORK_STRUCT_LINKED;
  }
  insert_work(k, pwq, barr.work, head, work_color_to_flags(WORK_NO_COLOR) | linked);
}

/**
 * Sets the colours for a flush (-1 leaves one alone). Returns whether there is something to wait for.
 *
 * Locks: wq->mutex.
 *
 * @mirrors kernel/workqueue.c:flush_workqueue_prep_pwqs
 */
function* flush_workqueue_prep_pwqs(
  k: Kernel,
  wq: workqueue_struct,
  flush_color: number,
  work_color: number,
): MaySleep<boolean> {
  let wait = false;
  if (flush_color >= 0) {
    WARN_ON_ONCE(k, wq.nr_pwqs_to_flush !== 0, "nr_pwqs_to_flush");
    wq.nr_pwqs_to_flush = 1;
  }
  for (const pwq of wq.pwqs) {
    yield* spin_lock_irq(k, pwq.pool.lock);
    if (flush_color >= 0) {
      WARN_ON_ONCE(k, pwq.flush_color !== -1, "pwq flush_color");
      if (pwq.nr_in_flight[flush_color] > 0) {
        pwq.flush_color = flush_color;
        wq.nr_pwqs_to_flush++;
        wait = true;
      }
    }
    if (work_color >= 0) {
      WARN_ON_ONCE(k, work_color !== work_next_color(pwq.work_color), "pwq work_color");
      pwq.work_color = work_color;
    }
    spin_unlock_irq(k, pwq.pool.lock);
  }
  if (flush_color >= 0 && --wq.nr_pwqs_to_flush === 0) complete(k, (wq.first_flusher as wq_flusher).done);
  return wait;
}

/**
 * Waits until every item that is queued now has been executed.
 *
 * Context: process context. Sleeps. Items queued meanwhile are not waited for.
 *
 * @mirrors kernel/workqueue.c:flush_workqueue
 */
export function* flush_workqueue(k: Kernel, wq: workqueue_struct): MaySleep<void> {
  if (WARN_ON(k, !wq_online(k))) return;
  const this_flusher = new wq_flusher();
  yield* mutex_lock(k, wq.mutex);

  const next_color = work_next_color(wq.work_color);
  if (next_color !== wq.flush_color) {
    // The current colour becomes that of this flush, items from now on get the next one.
    WARN_ON_ONCE(k, !list_empty(wq.flusher_overflow), "overflow");
    this_flusher.flush_color = wq.work_color;
    wq.work_color = next_color;
    if (wq.first_flusher === null) {
      WARN_ON_ONCE(k, wq.flush_color !== this_flusher.flush_color, "first flush_color");
      wq.first_flusher = this_flusher;
      if (!(yield* flush_workqueue_prep_pwqs(k, wq, wq.flush_color, wq.work_color))) {
        wq.flush_color = next_color;
        wq.first_flusher = null;
        mutex_unlock(k, wq.mutex);
        return;
      }
    } else {
      WARN_ON_ONCE(k, wq.flush_color === this_flusher.flush_color, "queued flush_color");
      list_add_tail(this_flusher.list, wq.flusher_queue);
      yield* flush_workqueue_prep_pwqs(k, wq, -1, wq.work_color);
    }
  } else list_add_tail(this_flusher.list, wq.flusher_overflow);

  check_flush_dependency(k, wq, null);
  mutex_unlock(k, wq.mutex);
  yield* wait_for_completion(k, this_flusher.done);

  if (wq.first_flusher !== this_flusher) return;
  yield* mutex_lock(k, wq.mutex);
  if (wq.first_flusher === this_flusher) yield* cascadeFlushes(k, wq, this_flusher);
  mutex_unlock(k, wq.mutex);
}

/** The first flusher lets the others of its colour through and starts the next colour. Locks: wq->mutex. */
function* cascadeFlushes(k: Kernel, wq: workqueue_struct, this_flusher: wq_flusher): MaySleep<void> {
  wq.first_flusher = null;
  WARN_ON_ONCE(k, !list_empty(this_flusher.list), "list");
  WARN_ON_ONCE(k, wq.flush_color !== this_flusher.flush_color, "flush_color");
  for (;;) {
    while (!list_empty(wq.flusher_queue)) {
      const next = list_first_entry(wq.flusher_queue);
      if (next.flush_color !== wq.flush_color) break;
      list_del_init(next.list);
      complete(k, next.done);
    }
    wq.flush_color = work_next_color(wq.flush_color);

    // A colour is free: those who found none get it.
    if (!list_empty(wq.flusher_overflow)) {
      for (let at = wq.flusher_overflow.next; at !== wq.flusher_overflow; at = at.next) {
        list_entry(at).flush_color = wq.work_color;
      }
      wq.work_color = work_next_color(wq.work_color);
      list_splice_tail_init(wq.flusher_overflow, wq.flusher_queue);
      yield* flush_workqueue_prep_pwqs(k, wq, -1, wq.work_color);
    }
    if (list_empty(wq.flusher_queue)) {
      WARN_ON_ONCE(k, wq.flush_color !== wq.work_color, "no flusher");
      return;
    }
    const next = list_first_entry(wq.flusher_queue);
    WARN_ON_ONCE(k, wq.flush_color === wq.work_color, "colours");
    WARN_ON_ONCE(k, wq.flush_color !== next.flush_color, "next flush_color");
    list_del_init(next.list);
    wq.first_flusher = next;
    if (yield* flush_workqueue_prep_pwqs(k, wq, wq.flush_color, -1)) return;
    // Its items were done already.
    wq.first_flusher = null;
  }
}

/**
 * Waits until the workqueue is empty. Meanwhile only its own items may queue items.
 *
 * Context: process context. Sleeps.
 *
 * @mirrors kernel/workqueue.c:drain_workqueue
 */
export function* drain_workqueue(k: Kernel, wq: workqueue_struct): MaySleep<void> {
  yield* mutex_lock(k, wq.mutex);
  if (wq.nr_drainers++ === 0) wq.flags |= __WQ_DRAINING;
  mutex_unlock(k, wq.mutex);
  for (let flush_cnt = 1;; flush_cnt++) {
    yield* flush_workqueue(k, wq);
    yield* mutex_lock(k, wq.mutex);
    if (yield* drained(k, wq)) break;
    if (flush_cnt === 10 || (flush_cnt % 100 === 0 && flush_cnt <= 1000)) {
      pr_warn(k, `workqueue ${wq.name}: drain_workqueue() isn't complete after ${flush_cnt} tries`);
    }
    mutex_unlock(k, wq.mutex);
  }
  if (--wq.nr_drainers === 0) wq.flags &= ~__WQ_DRAINING;
  mutex_unlock(k, wq.mutex);
}

function* drained(k: Kernel, wq: workqueue_struct): MaySleep<boolean> {
  for (const pwq of wq.pwqs) {
    yield* spin_lock_irq(k, pwq.pool.lock);
    const empty = pwq.nr_active === 0 && list_empty(pwq.delayed_works);
    spin_unlock_irq(k, pwq.pool.lock);
    if (!empty) return false;
  }
  return true;
}

/** Queues `barr` behind `work`; false when that is idle. @mirrors kernel/workqueue.c:start_flush_work */
function* start_flush_work(k: Kernel, work: work_struct, barr: wq_barrier): MaySleep<boolean> {
  might_sleep(k);
  const pool = get_work_pool(k, work);
  if (pool === null) return false;
  yield* spin_lock_irq(k, pool.lock);
  let pwq = get_work_pwq(work);
  let worker: worker | null = null;
  if (pwq === null) {
    worker = find_worker_executing_work(pool, work);
    pwq = worker?.current_pwq ?? null;
  } else if (pwq.pool !== pool) pwq = null;
  if (pwq !== null) {
    check_flush_dependency(k, pwq.wq, work);
    insert_wq_barrier(k, pwq, barr, work, worker);
  }
  spin_unlock_irq(k, pool.lock);
  return pwq !== null;
}

/** @mirrors kernel/workqueue.c:__flush_work */
function* __flush_work(k: Kernel, work: work_struct): MaySleep<boolean> {
  if (WARN_ON(k, !wq_online(k)) || WARN_ON(k, work.func === null)) return false;
  const inMemory = current(k).stackAddr !== NULL;
  const barr = new wq_barrier(inMemory ? onStack(k, WQ_BARRIER_SIZE) : NULL);
  const waited = yield* start_flush_work(k, work, barr);
  if (waited) yield* wait_for_completion(k, barr.done);
  if (inMemory) offStack(k, WQ_BARRIER_SIZE);
  return waited;
}

/**
 * Waits until the item has been executed as it was last queued. Returns false when it was idle.
 *
 * Context: process context. Sleeps.
 *
 * @mirrors kernel/workqueue.c:flush_work
 */
export function flush_work(k: Kernel, work: work_struct): MaySleep<boolean> {
  return __flush_work(k, work);
}

/** Wakes a waiter of cancel_waitq that waits for the item `key`. */
function cwt_wakefn(k: Kernel, wait: wait_queue_entry, mode: number, _flags: number, key: unknown): number {
  return (wait.container as cwt_wait).work === key ? autoremove_wake_function(k, wait, mode) : 0;
}

class cwt_wait {
  readonly wait: wait_queue_entry = new wait_queue_entry(this);

  constructor(readonly work: work_struct) {}
}

/** @mirrors kernel/workqueue.c:__cancel_work_timer */
function* __cancel_work_timer(k: Kernel, work: work_struct, is_dwork: boolean): MaySleep<boolean> {
  let flags: IrqFlags;
  let ret: number;
  do {
    flags = local_irq_save(k);
    ret = yield* try_to_grab_pending(k, work, is_dwork, flags);
    if (ret === -ENOENT) yield* waitForCanceler(k, work);
  } while (ret < 0);

  mark_work_canceling(k, work);
  local_irq_restore(k, flags);
  // Before that no item can be running.
  if (wq_online(k)) yield* __flush_work(k, work);
  clear_work_data(k, work);
  if (waitqueue_active(cancel_waitq(k))) __wake_up(k, cancel_waitq(k), TASK_NORMAL, 1, work);
  return ret !== 0;
}

function* waitForCanceler(k: Kernel, work: work_struct): MaySleep<void> {
  const wq_head = cancel_waitq(k);
  const { wait } = new cwt_wait(work);
  init_wait_entry(k, wait, 0);
  wait.func = cwt_wakefn;
  prepare_to_wait_exclusive(k, wq_head, wait, TASK_UNINTERRUPTIBLE);
  if (pt(k, POINT_WAIT, wq_head)) yield STEP;
  if (work_is_canceling(work)) {
    current(k).waitingFor = wq_head.waitingFor;
    yield* schedule(k);
    current(k).waitingFor = "";
  }
  if (pt(k, POINT_WAIT, wq_head)) yield STEP;
  finish_wait(k, wq_head, wait);
}

/**
 * Cancels the item and waits until it does not run any more, even if it queues itself. Returns whether it was pending.
 *
 * Context: process context. Sleeps.
 *
 * @mirrors kernel/workqueue.c:cancel_work_sync
 */
export function cancel_work_sync(k: Kernel, work: work_struct): MaySleep<boolean> {
  return __cancel_work_timer(k, work, false);
}

/**
 * Queues a delayed item at once if its timer runs, and waits for it. Returns false when it was idle.
 *
 * @mirrors kernel/workqueue.c:flush_delayed_work
 */
export function* flush_delayed_work(k: Kernel, dwork: delayed_work): MaySleep<boolean> {
  local_irq_disable(k);
  if (yield* del_timer_sync(k, dwork.timer)) {
    yield* __queue_work(k, dwork.cpu, dwork.wq as workqueue_struct, dwork.work);
  }
  local_irq_enable(k);
  return yield* flush_work(k, dwork.work);
}

/**
 * Waits for an item that waits for a grace period, or runs. Returns false when it was idle.
 *
 * @mirrors kernel/workqueue.c:flush_rcu_work
 */
export function* flush_rcu_work(k: Kernel, rwork: rcu_work): MaySleep<boolean> {
  if (!work_pending(rwork.work)) return yield* flush_work(k, rwork.work);
  yield* k.rcu.rcu_barrier(k);
  yield* flush_work(k, rwork.work);
  return true;
}

/** @mirrors kernel/workqueue.c:__cancel_work */
function* __cancel_work(k: Kernel, work: work_struct, is_dwork: boolean): Atomic<boolean> {
  for (;;) {
    const flags = local_irq_save(k);
    const ret = yield* try_to_grab_pending(k, work, is_dwork, flags);
    if (ret === -EAGAIN) continue;
    if (ret < 0) return false;
    set_work_pool_and_clear_pending(k, work, get_work_pool_id(work));
    local_irq_restore(k, flags);
    return ret !== 0;
  }
}

/** cancel_delayed_work() for an item without a timer. @invented 5.7 has no cancel_work() yet */
export function cancel_work(k: Kernel, work: work_struct): Atomic<boolean> {
  return __cancel_work(k, work, false);
}

/**
 * Cancels a delayed item. Returns whether it was pending. Its function may be running.
 *
 * Context: any.
 *
 * @mirrors kernel/workqueue.c:cancel_delayed_work
 */
export function cancel_delayed_work(k: Kernel, dwork: delayed_work): Atomic<boolean> {
  return __cancel_work(k, dwork.work, true);
}

/** cancel_work_sync() for a delayed item. @mirrors kernel/workqueue.c:cancel_delayed_work_sync */
export function cancel_delayed_work_sync(k: Kernel, dwork: delayed_work): MaySleep<boolean> {
  return __cancel_work_timer(k, dwork.work, true);
}

function init_worker_pool(k: Kernel, pool: worker_pool, cpu: number): void {
  pool.cpu = cpu;
  pool.id = worker_pool_idr(k).length;
  worker_pool_idr(k).push(pool);
  timer_setup(k, pool.idle_timer, idle_worker_timeout, TIMER_DEFERRABLE);
}

/** The unbound pool of a nice value, made when it is first needed. @mirrors kernel/workqueue.c:get_unbound_pool */
function* get_unbound_pool(k: Kernel, nice: number): MaySleep<worker_pool | null> {
  const known = unbound_pool_hash(k).find((pool) => pool.nice === nice);
  if (known !== undefined) return known;
  const addr = yield* allocObject(k, WORKER_POOL_SIZE);
  if (addr === NULL) return null;
  const pool = new worker_pool(nice);
  init_worker_pool(k, pool, -1);
  if (wq_online(k) && (yield* create_worker(k, pool)) === null) {
    worker_pool_idr(k).pop();
    yield* freeObject(k, addr);
    return null;
  }
  unbound_pool_hash(k).push(pool);
  return pool;
}

/** Gives the pool_workqueue its workqueue's max_active. Locks: wq->mutex. @mirrors kernel/workqueue.c:pwq_adjust_max_active */
function* pwq_adjust_max_active(k: Kernel, pwq: pool_workqueue): MaySleep<void> {
  const { wq } = pwq;
  if (pwq.max_active === wq.saved_max_active) return;
  const flags = yield* spin_lock_irqsave(k, pwq.pool.lock);
  pwq.max_active = wq.saved_max_active;
  while (!list_empty(pwq.delayed_works) && pwq.nr_active < pwq.max_active) pwq_activate_first_delayed(k, pwq);
  wake_up_worker(k, pwq.pool);
  spin_unlock_irqrestore(k, pwq.pool.lock, flags);
}

function* link_pwq(k: Kernel, pwq: pool_workqueue): MaySleep<void> {
  pwq.work_color = pwq.wq.work_color;
  yield* pwq_adjust_max_active(k, pwq);
  pwq.wq.pwqs.push(pwq);
}

/**
 * Makes the pool_workqueues: one per CPU, or one for an unbound workqueue. Returns false without memory.
 *
 * @mirrors kernel/workqueue.c:alloc_and_link_pwqs
 * @simplified pool_workqueues take no memory in RAM: they come from a slab cache and per-CPU memory
 */
function* alloc_and_link_pwqs(k: Kernel, wq: workqueue_struct): MaySleep<boolean> {
  const highpri = (wq.flags & WQ_HIGHPRI) !== 0 ? 1 : 0;
  if ((wq.flags & WQ_UNBOUND) !== 0) {
    const pool = yield* get_unbound_pool(k, highpri === 0 ? 0 : HIGHPRI_NICE_LEVEL);
    if (pool === null) return false;
    wq.dfl_pwq = new pool_workqueue(wq, pool);
    yield* mutex_lock(k, wq.mutex);
    yield* link_pwq(k, wq.dfl_pwq);
    mutex_unlock(k, wq.mutex);
    return true;
  }
  for (const cpu of for_each_possible_cpu(k)) {
    wq.cpu_pwqs[cpu] = new pool_workqueue(wq, per_cpu_ptr(k, cpu_worker_pools, cpu)[highpri]);
    yield* mutex_lock(k, wq.mutex);
    yield* link_pwq(k, wq.cpu_pwqs[cpu]);
    mutex_unlock(k, wq.mutex);
  }
  return true;
}

function WQ_UNBOUND_MAX_ACTIVE(k: Kernel): number {
  return Math.max(WQ_MAX_ACTIVE, k.config.cpus * WQ_MAX_UNBOUND_PER_CPU);
}

function wq_clamp_max_active(k: Kernel, max_active: number, flags: number, name: string): number {
  const lim = (flags & WQ_UNBOUND) !== 0 ? WQ_UNBOUND_MAX_ACTIVE(k) : WQ_MAX_ACTIVE;
  if (max_active < 1 || max_active > lim) {
    pr_warn(
      k,
      `workqueue: max_active ${max_active} requested for ${name} is out of range, clamping between 1 and ${lim}`,
    );
  }
  return Math.min(Math.max(max_active, 1), lim);
}

/**
 * Makes a workqueue. `max_active` limits how many of its items execute at a time on each pool; 0 is the default.
 * Null without memory.
 *
 * Context: process context. Sleeps. Works before the workers exist: items then wait for workqueue_init().
 *
 * @mirrors kernel/workqueue.c:alloc_workqueue
 * @simplified no rescuer for WQ_MEM_RECLAIM
 */
export function* alloc_workqueue(
  k: Kernel,
  name: string,
  flags: number,
  max_active: number,
): MaySleep<workqueue_struct | null> {
  if ((flags & WQ_UNBOUND) !== 0 && max_active === 1) flags |= __WQ_ORDERED;
  const tbl_size = (flags & WQ_UNBOUND) !== 0 ? 8 : 0;
  const addr = yield* allocObject(k, WORKQUEUE_STRUCT_SIZE + tbl_size);
  if (addr === NULL) return null;
  const wq = new workqueue_struct(name, flags, addr);
  wq.saved_max_active = wq_clamp_max_active(k, max_active === 0 ? WQ_DFL_ACTIVE : max_active, flags, name);
  if (!(yield* alloc_and_link_pwqs(k, wq))) {
    yield* freeObject(k, addr);
    return null;
  }
  yield* mutex_lock(k, wq_pool_mutex(k));
  yield* mutex_lock(k, wq.mutex);
  for (const pwq of wq.pwqs) yield* pwq_adjust_max_active(k, pwq);
  mutex_unlock(k, wq.mutex);
  list_add_tail(wq.list, workqueues(k));
  mutex_unlock(k, wq_pool_mutex(k));
  return wq;
}

function pwq_busy(pwq: pool_workqueue): boolean {
  if (pwq.nr_in_flight.some((n) => n > 0)) return true;
  if (pwq !== pwq.wq.dfl_pwq && pwq.refcnt > 1) return true;
  return pwq.nr_active > 0 || !list_empty(pwq.delayed_works);
}

/**
 * Drains the workqueue and frees it.
 *
 * Context: process context. Sleeps.
 *
 * @mirrors kernel/workqueue.c:destroy_workqueue
 * @simplified freed at once, not after a grace period; an unbound pool stays
 */
export function* destroy_workqueue(k: Kernel, wq: workqueue_struct): MaySleep<void> {
  yield* drain_workqueue(k, wq);
  yield* mutex_lock(k, wq_pool_mutex(k));
  yield* mutex_lock(k, wq.mutex);
  for (const pwq of wq.pwqs) {
    yield* spin_lock_irq(k, pwq.pool.lock);
    const busy = pwq_busy(pwq);
    spin_unlock_irq(k, pwq.pool.lock);
    if (!WARN_ON(k, busy)) continue;
    pr_warn(k, `destroy_workqueue: ${wq.name} has a busy pwq`);
    mutex_unlock(k, wq.mutex);
    mutex_unlock(k, wq_pool_mutex(k));
    return;
  }
  mutex_unlock(k, wq.mutex);
  list_del_init(wq.list);
  mutex_unlock(k, wq_pool_mutex(k));
  yield* freeObject(k, wq.addr);
}

/**
 * Makes the first workers of a CPU that has come online.
 *
 * @mirrors kernel/workqueue.c:workqueue_online_cpu
 * @simplified also stands in for workqueue_prepare_cpu(): there is no way back offline
 */
export function* workqueue_online_cpu(k: Kernel, cpu: number): MaySleep<void> {
  for (const pool of per_cpu_ptr(k, cpu_worker_pools, cpu)) {
    pool.flags &= ~POOL_DISASSOCIATED;
    BUG_ON(k, (yield* create_worker(k, pool)) === null);
  }
}

function* allocSystemQueue(k: Kernel, name: string, flags: number, max: number): MaySleep<workqueue_struct> {
  const wq = yield* alloc_workqueue(k, name, flags, max);
  BUG_ON(k, wq === null);
  return wq as workqueue_struct;
}

/**
 * Makes the pools and the system's workqueues. From here on items can be queued.
 *
 * Context: boot, interrupts may be off.
 *
 * @mirrors kernel/workqueue.c:workqueue_init_early
 */
export function* workqueue_init_early(k: Kernel): MaySleep<void> {
  for (const cpu of for_each_possible_cpu(k)) {
    for (const pool of per_cpu_ptr(k, cpu_worker_pools, cpu)) init_worker_pool(k, pool, cpu);
  }
  system_wq.set(k, yield* allocSystemQueue(k, "events", 0, 0));
  system_highpri_wq.set(k, yield* allocSystemQueue(k, "events_highpri", WQ_HIGHPRI, 0));
  system_long_wq.set(k, yield* allocSystemQueue(k, "events_long", 0, 0));
  const unbound = yield* allocSystemQueue(k, "events_unbound", WQ_UNBOUND, WQ_UNBOUND_MAX_ACTIVE(k));
  system_unbound_wq.set(k, unbound);
  const efficient = yield* allocSystemQueue(k, "events_power_efficient", WQ_POWER_EFFICIENT, 0);
  system_power_efficient_wq.set(k, efficient);
}

/**
 * Makes the first workers of the CPUs that are online. From here on items are executed.
 *
 * Context: process context, kthreadd runs. Sleeps.
 *
 * @mirrors kernel/workqueue.c:workqueue_init
 */
export function* workqueue_init(k: Kernel): MaySleep<void> {
  for (const cpu of for_each_online_cpu(k)) yield* workqueue_online_cpu(k, cpu);
  for (const pool of unbound_pool_hash(k)) BUG_ON(k, (yield* create_worker(k, pool)) === null);
  wq_online.set(k, true);
}
