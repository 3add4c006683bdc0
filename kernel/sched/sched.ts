// SPDX-License-Identifier: GPL-2.0-only
/**
 * The scheduler's structures. Mirrors struct task_struct of include/linux/sched.h (the part used here) and
 * kernel/sched/sched.h (v5.7).
 *
 * A task is a thread of the machine: its stack holds the generator of its body and, on top, interrupt and preemption
 * frames. Invariant: runqueues are touched by indivisible code only, so their lock is never seen held and is left out.
 *
 * @module
 */

import { NULL } from "../machine/addr.ts";
import type { VirtAddr } from "../machine/brand.ts";
import type { Thread } from "../machine/cpu.ts";
import type { Coroutine } from "../machine/effects.ts";
import type { cpumask_t } from "../cpumask.ts";
import type { Kernel } from "../kernel.ts";
import { list_head } from "../list.ts";
import type { held_lock } from "../locking/lockdep.ts";
import {
  DEFINE_PER_CPU,
  KERNEL_STATIC,
  type KernelStatic,
  per_cpu_ptr,
  type PerCpu,
  type StaticKey,
  this_cpu_ptr,
} from "../static.ts";

export const TASK_RUNNING = 0x0000;
export const TASK_INTERRUPTIBLE = 0x0001;
export const TASK_UNINTERRUPTIBLE = 0x0002;
export const __TASK_STOPPED = 0x0004;
export const EXIT_DEAD = 0x0010;
export const EXIT_ZOMBIE = 0x0020;
export const TASK_PARKED = 0x0040;
export const TASK_DEAD = 0x0080;
export const TASK_WAKEKILL = 0x0100;
export const TASK_WAKING = 0x0200;
export const TASK_NOLOAD = 0x0400;
export const TASK_NEW = 0x0800;
export const TASK_NORMAL = TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE;
export const TASK_IDLE = TASK_UNINTERRUPTIBLE | TASK_NOLOAD;
export const TASK_KILLABLE = TASK_WAKEKILL | TASK_UNINTERRUPTIBLE;

export const PF_IDLE = 0x00000002;
export const PF_EXITING = 0x00000004;
export const PF_WQ_WORKER = 0x00000020;
export const PF_MEMALLOC = 0x00000800;
export const PF_KSWAPD = 0x00020000;
export const PF_KTHREAD = 0x00200000;
export const PF_SWAPWRITE = 0x00800000;
export const PF_NO_SETAFFINITY = 0x04000000;
export const PF_MEMALLOC_NOIO = 0x00080000;
export const PF_MEMALLOC_NOFS = 0x00040000;

export const SCHED_NORMAL = 0;
export const SCHED_FIFO = 1;

/** Bytes of a task's name, with the final 0. */
export const TASK_COMM_LEN = 16;

export const MAX_RT_PRIO = 100;
export const DEFAULT_PRIO = 120;
export const MAX_PRIO = 140;

export const DEQUEUE_SLEEP = 0x01;
export const DEQUEUE_SAVE = 0x02;
export const DEQUEUE_MOVE = 0x04;
export const ENQUEUE_WAKEUP = 0x01;
export const ENQUEUE_RESTORE = 0x02;
export const ENQUEUE_MOVE = 0x04;
export const ENQUEUE_HEAD = 0x10;
export const ENQUEUE_MIGRATED = 0x40;

/** What CFS keeps about a task. @mirrors include/linux/sched.h:sched_entity */
export class sched_entity {
  weight = 1024;
  vruntime = 0; // ns, weighted
  exec_start = 0; // ns
  sum_exec_runtime = 0; // ns
  prev_sum_exec_runtime = 0; // ns, when last picked
  on_rq = false;
}

/** User memory, as far as the OOM killer weighs it: pages, and bytes of page tables. @mirrors include/linux/mm_types.h:mm_struct */
export interface mm_struct {
  readonly total_vm: number;
  readonly anon_rss: number;
  readonly file_rss: number;
  readonly shmem_rss: number;
  readonly swapents: number;
  readonly pgtables_bytes: number;
}

/** What the end of a preemptible reader has to do. @mirrors include/linux/sched.h:rcu_special */
export class rcu_special {
  blocked = false; // it was switched away
  need_qs = false; // the grace period is old: report the CPU's quiescent state
  deferred_qs = false; // the end could not report, somebody else must

  /** Whether anything is set: all of it as one word in C. */
  get s(): boolean {
    return this.blocked || this.need_qs || this.deferred_qs;
  }
}

/** A task. @mirrors include/linux/sched.h:task_struct */
export class task_struct implements Thread {
  readonly stack: Coroutine[] = [];
  state = TASK_RUNNING;
  exit_state = 0;
  exit_code = 0;
  flags = 0;
  prio = DEFAULT_PRIO;
  static_prio = DEFAULT_PRIO;
  rt_priority = 0;
  policy = SCHED_NORMAL;
  readonly se = new sched_entity();
  /** On a runqueue (running or waiting to run). */
  on_rq = false;
  on_cpu = false;
  /** CPU whose runqueue it is on or was last on. */
  cpu = 0;
  /** Allowed CPUs; null is all. */
  cpus_mask: cpumask_t | null = null;
  nvcsw = 0; // voluntary switches
  nivcsw = 0; // involuntary switches
  utime = 0; // ticks in user mode
  stime = 0; // ticks in the kernel
  rcu_read_lock_nesting = 0;
  readonly rcu_read_unlock_special: rcu_special = new rcu_special();
  /** On the list of an rcu_node while it is a reader that was switched away, and that node. */
  readonly rcu_node_entry: list_head<task_struct> = new list_head<task_struct>(this);
  rcu_blocked_node: object | null = null;
  /** Locks it holds, outermost first; entries behind the depth are kept for the next ones. */
  readonly held_locks: held_lock[] = [];
  lockdep_depth = 0;
  /** kthread.ts keeps its struct kthread here. */
  set_child_tid: object | null = null;
  /** Completed by do_exit(). */
  vfork_done: object | null = null;
  /** should_fail(): fail the nth attempt of this task, 0 is off. */
  fail_nth = 0;
  make_it_fail = false;
  /** User memory; null for kernel threads. */
  mm: mm_struct | null = null;
  oom_score_adj = 0;
  /** Set when the OOM killer has chosen the task. */
  oom_mm: mm_struct | null = null;
  /** Set while the task reclaims: what its frees of slabs add to. */
  reclaim_state: { reclaimed_slab: number } | null = null;
  /** Address of the task_struct and of its stack, NULL for the boot task. */
  addr: VirtAddr = NULL;
  stackAddr: VirtAddr = NULL;
  /** Bytes of the stack handed out to objects whose address matters; see onStack(). */
  stackUsed = 0;
  /** For humans: what the task waits for, "" when it does not. */
  waitingFor = "";
  /** Who waits in set_cpus_allowed_ptr() for this task to leave its CPU. */
  moveWaiters: task_struct[] | null = null;

  constructor(
    readonly pid: number,
    readonly comm: string,
    readonly commId: number,
    public sched_class: sched_class,
  ) {}
}

/** CFS runqueue. @mirrors kernel/sched/sched.h:cfs_rq */
export class cfs_rq {
  nr_running = 0;
  load_weight = 0;
  min_vruntime = 0;
  curr: task_struct | null = null;
  /** Whom to prefer: who preempted, who was preempted; and whom to pass over. */
  next: task_struct | null = null;
  last: task_struct | null = null;
  skip: task_struct | null = null;
  /** Waiting tasks by vruntime, smallest first. */
  readonly tasks_timeline: task_struct[] = [];
}

/** Real-time runqueue: FIFO per priority. @mirrors kernel/sched/sched.h:rt_rq */
export class rt_rq {
  /** Waiting and running tasks, best priority first, then in order of arrival. */
  readonly queue: task_struct[] = [];
}

/** A CPU's runqueue. @mirrors kernel/sched/sched.h:rq */
export class rq {
  clock = 0; // ns
  nr_running = 0;
  nr_switches = 0;
  readonly cfs = new cfs_rq();
  readonly rt = new rt_rq();
  stop: task_struct | null = null;
  curr!: task_struct;
  idle!: task_struct;
  /** The task that was switched away from last; finish_task_switch() looks at it. */
  prev: task_struct | null = null;

  constructor(readonly cpu: number) {}
}

/** @mirrors kernel/sched/core.c:runqueues */
export const runqueues: PerCpu<rq> = DEFINE_PER_CPU("runqueues", (_k, cpu) => new rq(cpu));

/** Number of CPUs with more than one runnable task: at 0 there is nothing to pull. @invented C keeps a flag, rd->overload */
export const overloaded: KernelStatic<number> = KERNEL_STATIC("root_domain.overload", () => 0);
/** When might_sleep() reported last, in jiffies; null is never. @invented a static inside ___might_sleep() */
export const prev_jiffy: KernelStatic<number | null> = KERNEL_STATIC<number | null>(
  "___might_sleep.prev_jiffy",
  () => null,
);
export const statics: readonly StaticKey[] = [runqueues, overloaded, prev_jiffy];

/** @mirrors kernel/sched/sched.h:cpu_rq */
export function cpu_rq(k: Kernel, cpu: number): rq {
  return per_cpu_ptr(k, runqueues, cpu);
}

/** @mirrors kernel/sched/sched.h:this_rq */
export function this_rq(k: Kernel): rq {
  return this_cpu_ptr(k, runqueues);
}

/** @mirrors kernel/sched/sched.h:task_rq */
export function task_rq(k: Kernel, p: task_struct): rq {
  return cpu_rq(k, p.cpu);
}

/** The running task. @mirrors include/asm-generic/current.h:current */
export function current(k: Kernel): task_struct {
  return k.cpu.current as task_struct;
}

/** @mirrors include/linux/sched/rt.h:rt_task */
export function rt_task(p: task_struct): boolean {
  return p.prio < MAX_RT_PRIO;
}

/** @mirrors include/linux/sched.h:is_idle_task */
export function is_idle_task(p: task_struct): boolean {
  return (p.flags & PF_IDLE) !== 0;
}

/** @mirrors kernel/sched/sched.h:task_running */
export function task_running(p: task_struct): boolean {
  return p.on_cpu;
}

/** What a scheduling class can do; the table that core.ts calls through. @mirrors kernel/sched/sched.h:sched_class */
export interface sched_class {
  readonly name: "stop" | "rt" | "fair" | "idle";
  /** Place in the order of precedence, 0 first; C links the classes in a list. */
  readonly rank: number;
  enqueue_task(k: Kernel, rq: rq, p: task_struct, flags: number): void;
  dequeue_task(k: Kernel, rq: rq, p: task_struct, flags: number): void;
  /** Moves the current task behind the others of its class. */
  yield_task(k: Kernel, rq: rq): void;
  check_preempt_curr(k: Kernel, rq: rq, p: task_struct): void;
  /** The best task of this class, taken off the tree as the running one; null when there is none. */
  pick_next_task(k: Kernel, rq: rq): task_struct | null;
  put_prev_task(k: Kernel, rq: rq, p: task_struct): void;
  /** `p`, which runs and was taken off its queue for a change, is the running task of this class again. */
  set_next_task(k: Kernel, rq: rq, p: task_struct): void;
  task_tick(k: Kernel, rq: rq, p: task_struct): void;
  task_fork(k: Kernel, rq: rq, p: task_struct): void;
  select_task_rq(k: Kernel, p: task_struct, cpu: number, fork: boolean): number;
  /** A sleeping task is about to move to another CPU. */
  migrate_task_rq(k: Kernel, p: task_struct): void;
  switched_from(k: Kernel, rq: rq, p: task_struct): void;
  switched_to(k: Kernel, rq: rq, p: task_struct): void;
  prio_changed(k: Kernel, rq: rq, p: task_struct, oldprio: number): void;
}

/** @mirrors kernel/sched/sched.h:add_nr_running */
export function add_nr_running(k: Kernel, rq: rq): void {
  if (++rq.nr_running === 2) overloaded.set(k, overloaded(k) + 1);
}

/** @mirrors kernel/sched/sched.h:sub_nr_running */
export function sub_nr_running(k: Kernel, rq: rq): void {
  if (--rq.nr_running === 1) overloaded.set(k, overloaded(k) - 1);
}

/** Whether `p` may run on `cpu`. @invented cpumask_test_cpu(cpu, p->cpus_ptr) with null meaning all */
export function cpuAllowed(p: task_struct, cpu: number): boolean {
  return p.cpus_mask === null || (p.cpus_mask.bits[cpu >>> 5] & (1 << (cpu & 31))) !== 0;
}
