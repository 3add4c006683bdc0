// SPDX-License-Identifier: GPL-2.0-only
/**
 * Kernel threads. Mirrors kernel/kthread.c and include/linux/kthread.h (v5.7).
 *
 * Whoever wants a thread asks kthreadd (pid 2), which makes it; the new thread reports to its creator, goes to sleep and
 * runs its function when it is first woken. So a thread can be bound to a CPU before it does anything.
 *
 * Invariant: between kthread_create() and the first wake-up the thread sleeps uninterruptibly and has run no code but
 * kthread(). Left out: kthread workers, freezing, signals (a creator cannot be killed while it waits).
 *
 * @module
 */

import { NULL } from "./machine/addr.ts";
import type { VirtAddr } from "./machine/brand.ts";
import { type Atomic, doneVoid, type MaySleep, STEP } from "./machine/effects.ts";
import { POINT_DELAY, POINT_WAIT, pt } from "./machine/points.ts";
import { WARN_ON, WARN_ON_ONCE } from "./bug.ts";
import { cpumask_set_cpu, cpumask_t } from "./cpumask.ts";
import { EBUSY, EINTR, ENOMEM, ENOSYS } from "./errno.ts";
import { do_exit } from "./exit.ts";
import { kernel_thread } from "./fork.ts";
import type { Kernel } from "./kernel.ts";
import { list_add_tail, list_del_init, list_empty, list_first_entry, list_head } from "./list.ts";
import { spin_lock, spin_unlock, spinlock_t } from "./locking/spinlock.ts";
import { allocObject, freeObject } from "./objects.ts";
import { preempt_disable, preempt_enable } from "./preempt.ts";
import { complete, completion, init_completion, wait_for_completion } from "./sched/completion.ts";
import {
  __set_current_state,
  current,
  sched_setscheduler_nocheck,
  schedule,
  schedule_preempt_disabled,
  set_current_state,
  wake_up_process,
  wake_up_state,
} from "./sched/core.ts";
import {
  PF_EXITING,
  PF_KTHREAD,
  PF_NO_SETAFFINITY,
  SCHED_NORMAL,
  TASK_INTERRUPTIBLE,
  TASK_PARKED,
  TASK_RUNNING,
  type task_struct,
  TASK_UNINTERRUPTIBLE,
} from "./sched/sched.ts";
import { KERNEL_STATIC, type KernelStatic, type StaticKey } from "./static.ts";
import { schedule_timeout_uninterruptible } from "./time/timer.ts";

/** What a thread runs; its result goes to kthread_stop(), nothing counts as 0. */
export type threadfn_t<T> = (k: Kernel, data: T) => MaySleep<number | void>;

/** sizeof(struct kthread_create_info) and sizeof(struct kthread) on a 64-bit machine. */
const CREATE_INFO_SIZE = 56;
const KTHREAD_SIZE = 88;

/** NUMA_NO_NODE: any node. @mirrors include/linux/numa.h:NUMA_NO_NODE */
export const NUMA_NO_NODE = -1;

const KTHREAD_IS_PER_CPU = 1 << 0;
const KTHREAD_SHOULD_STOP = 1 << 1;
const KTHREAD_SHOULD_PARK = 1 << 2;

/** struct kthread, which shares its name with the function. */
class Kthread {
  flags = 0;
  cpu = 0;
  data: unknown = null;
  readonly parked: completion = new completion("kthread.parked");
  readonly exited: completion = new completion("kthread.exited");

  constructor(readonly addr: VirtAddr) {}
}

class kthread_create_info {
  result: task_struct | number = 0;
  readonly done: completion = new completion("kthread_create");
  readonly list: list_head<kthread_create_info> = new list_head<kthread_create_info>(this);

  constructor(
    readonly threadfn: threadfn_t<unknown>,
    readonly data: unknown,
    readonly name: string,
  ) {}
}

/** The thread that makes threads. @mirrors kernel/kthread.c:kthreadd_task */
export const kthreadd_task: KernelStatic<task_struct | null> = KERNEL_STATIC<task_struct | null>(
  "kthreadd_task",
  () => null,
);
const kthread_create_lock = KERNEL_STATIC(
  "kthread_create_lock",
  () => new spinlock_t("kthread_create_lock"),
);
const kthread_create_list = KERNEL_STATIC(
  "kthread_create_list",
  () => new list_head<kthread_create_info>(),
);

export const statics: readonly StaticKey[] = [kthreadd_task, kthread_create_lock, kthread_create_list];

function to_kthread(k: Kernel, p: task_struct): Kthread {
  WARN_ON(k, (p.flags & PF_KTHREAD) === 0);
  return p.set_child_tid as Kthread;
}

/** Frees what kthread() allocated for a dead thread. @mirrors kernel/kthread.c:free_kthread_struct */
export function free_kthread_struct(k: Kernel, p: task_struct): Atomic<void> {
  const kthread = p.set_child_tid as Kthread | null;
  if (kthread === null) return doneVoid();
  p.set_child_tid = null;
  return freeObject(k, kthread.addr);
}

/** Whether the current thread should return: somebody called kthread_stop(). @mirrors kernel/kthread.c:kthread_should_stop */
export function kthread_should_stop(k: Kernel): boolean {
  return (to_kthread(k, current(k)).flags & KTHREAD_SHOULD_STOP) !== 0;
}

/**
 * Whether the current thread should call kthread_parkme(): somebody called kthread_park().
 *
 * @mirrors kernel/kthread.c:kthread_should_park
 */
export function kthread_should_park(k: Kernel): boolean {
  return (to_kthread(k, current(k)).flags & KTHREAD_SHOULD_PARK) !== 0;
}

/** What was given as `data` when the thread was made. @mirrors kernel/kthread.c:kthread_data */
export function kthread_data(k: Kernel, task: task_struct): unknown {
  return to_kthread(k, task).data;
}

function* __kthread_parkme(k: Kernel, self: Kthread): MaySleep<void> {
  for (;;) {
    set_current_state(k, TASK_PARKED);
    if (pt(k, POINT_WAIT, "parked")) yield STEP;
    if ((self.flags & KTHREAD_SHOULD_PARK) === 0) break;
    // Not preempted before it sleeps: kthread_park() waits for that.
    preempt_disable(k);
    complete(k, self.parked);
    current(k).waitingFor = "kthread_unpark";
    yield* schedule_preempt_disabled(k);
    current(k).waitingFor = "";
    preempt_enable(k);
  }
  __set_current_state(k, TASK_RUNNING);
}

/** Sleeps until kthread_unpark(), if the current thread should park. @mirrors kernel/kthread.c:kthread_parkme */
export function* kthread_parkme(k: Kernel): MaySleep<void> {
  yield* __kthread_parkme(k, to_kthread(k, current(k)));
}

/** The first thing that a thread does, up to its function. @mirrors kernel/kthread.c:kthread */
function* kthread(k: Kernel, create: kthread_create_info): MaySleep<void> {
  const { threadfn, data, done } = create;
  const addr = yield* allocObject(k, KTHREAD_SIZE);
  if (addr === NULL) {
    create.result = -ENOMEM;
    complete(k, done);
    yield* do_exit(k, -ENOMEM);
  }
  const self = new Kthread(addr);
  const p = current(k);
  p.set_child_tid = self;
  self.data = data;
  init_completion(self.exited);
  init_completion(self.parked);
  p.vfork_done = self.exited;

  __set_current_state(k, TASK_UNINTERRUPTIBLE);
  create.result = p;
  // Not preempted before it sleeps: who binds the thread waits for that.
  preempt_disable(k);
  complete(k, done);
  p.waitingFor = "its first wake-up";
  yield* schedule_preempt_disabled(k);
  p.waitingFor = "";
  preempt_enable(k);

  let ret: number | void = -EINTR;
  if ((self.flags & KTHREAD_SHOULD_STOP) === 0) {
    yield* __kthread_parkme(k, self);
    ret = yield* threadfn(k, data);
  }
  yield* do_exit(k, ret ?? 0);
}

function* create_kthread(k: Kernel, create: kthread_create_info): MaySleep<void> {
  const pid = yield* kernel_thread(k, (kernel) => kthread(kernel, create), create.name);
  if (typeof pid === "number") {
    create.result = pid;
    complete(k, create.done);
  }
}

/** @mirrors kernel/kthread.c:__kthread_create_on_node */
function* __kthread_create_on_node(
  k: Kernel,
  threadfn: threadfn_t<unknown>,
  data: unknown,
  name: string,
): MaySleep<task_struct | number> {
  const addr = yield* allocObject(k, CREATE_INFO_SIZE);
  if (addr === NULL) return -ENOMEM;
  const create = new kthread_create_info(threadfn, data, name);
  yield* spin_lock(k, kthread_create_lock(k));
  list_add_tail(create.list, kthread_create_list(k));
  spin_unlock(k, kthread_create_lock(k));

  // Not started yet, it will look at the list before it first sleeps.
  const daemon = kthreadd_task(k);
  if (daemon !== null) wake_up_process(k, daemon);
  yield* wait_for_completion(k, create.done);
  const task = create.result;
  if (typeof task !== "number") {
    sched_setscheduler_nocheck(k, task, SCHED_NORMAL, 0);
    task.cpus_mask = null;
  }
  yield* freeObject(k, addr);
  return task;
}

/**
 * Makes a thread that will run `threadfn(k, data)` when it is first woken. Returns it, or -ENOMEM.
 *
 * Context: process context. Sleeps.
 *
 * @mirrors kernel/kthread.c:kthread_create_on_node
 * @simplified the thread bears its name from birth, not "kthreadd" at first; there is one node
 */
export function kthread_create_on_node<T>(
  k: Kernel,
  threadfn: threadfn_t<T>,
  data: T,
  _node: number,
  name: string,
): MaySleep<task_struct | number> {
  return __kthread_create_on_node(k, threadfn as threadfn_t<unknown>, data, name);
}

/**
 * kthread_create_on_node() on any node, for a function that needs no data or has captured it.
 *
 * @mirrors include/linux/kthread.h:kthread_create
 * @simplified C passes `data` along
 */
export function kthread_create(
  k: Kernel,
  threadfn: threadfn_t<null>,
  name: string,
): MaySleep<task_struct | number> {
  return kthread_create_on_node(k, threadfn, null, NUMA_NO_NODE, name);
}

/**
 * Makes a thread and wakes it. Returns it, or -ENOMEM.
 *
 * @mirrors include/linux/kthread.h:kthread_run
 * @simplified C passes `data` along
 */
export function* kthread_run(
  k: Kernel,
  threadfn: threadfn_t<null>,
  name: string,
): MaySleep<task_struct | number> {
  const task = yield* kthread_create(k, threadfn, name);
  if (typeof task !== "number") wake_up_process(k, task);
  return task;
}

/**
 * Waits until `p` has left its CPU. Returns false when its state is not `match_state`: it will not sleep.
 *
 * Sleeps: a tick at a time while `p` is only queued.
 *
 * @mirrors kernel/sched/core.c:wait_task_inactive
 * @simplified the tick is waited for on the timer wheel
 */
export function* wait_task_inactive(k: Kernel, p: task_struct, match_state: number): MaySleep<boolean> {
  for (;;) {
    if (p.state !== match_state) return false;
    if (p.on_cpu) {
      if (pt(k, POINT_DELAY, "cpu_relax")) yield STEP;
    } else if (p.on_rq) yield* schedule_timeout_uninterruptible(k, 1);
    else return true;
  }
}

function* __kthread_bind_mask(
  k: Kernel,
  p: task_struct,
  mask: cpumask_t | null,
  state: number,
): MaySleep<void> {
  if (!(yield* wait_task_inactive(k, p, state))) {
    WARN_ON(k, true);
    return;
  }
  p.cpus_mask = mask;
  p.flags |= PF_NO_SETAFFINITY;
}

function __kthread_bind(k: Kernel, p: task_struct, cpu: number, state: number): MaySleep<void> {
  const mask = new cpumask_t(k.config.cpus);
  cpumask_set_cpu(cpu, mask);
  return __kthread_bind_mask(k, p, mask, state);
}

/** Binds a thread that was never woken to a set of CPUs (null is all). @mirrors kernel/kthread.c:kthread_bind_mask */
export function kthread_bind_mask(k: Kernel, p: task_struct, mask: cpumask_t | null): MaySleep<void> {
  return __kthread_bind_mask(k, p, mask, TASK_UNINTERRUPTIBLE);
}

/**
 * Binds a thread that was never woken to a CPU.
 *
 * Context: process context; waits until the thread has gone to sleep after its birth.
 *
 * @mirrors kernel/kthread.c:kthread_bind
 */
export function kthread_bind(k: Kernel, p: task_struct, cpu: number): MaySleep<void> {
  return __kthread_bind(k, p, cpu, TASK_UNINTERRUPTIBLE);
}

/**
 * Makes a thread that is bound to `cpu`, and again whenever it is unparked. Returns it, or -ENOMEM.
 *
 * @mirrors kernel/kthread.c:kthread_create_on_cpu
 */
export function* kthread_create_on_cpu<T>(
  k: Kernel,
  threadfn: threadfn_t<T>,
  data: T,
  cpu: number,
  name: string,
): MaySleep<task_struct | number> {
  const p = yield* kthread_create_on_node(k, threadfn, data, NUMA_NO_NODE, name);
  if (typeof p === "number") return p;
  yield* kthread_bind(k, p, cpu);
  const kthread = to_kthread(k, p);
  kthread.flags |= KTHREAD_IS_PER_CPU;
  kthread.cpu = cpu;
  return p;
}

/** Lets a parked thread go on. @mirrors kernel/kthread.c:kthread_unpark */
export function* kthread_unpark(k: Kernel, p: task_struct): MaySleep<void> {
  const kthread = to_kthread(k, p);
  if ((kthread.flags & KTHREAD_IS_PER_CPU) !== 0) yield* __kthread_bind(k, p, kthread.cpu, TASK_PARKED);
  kthread.flags &= ~KTHREAD_SHOULD_PARK;
  wake_up_state(k, p, TASK_PARKED);
}

/**
 * Asks the thread to park and waits until it has. Returns 0, -ENOSYS when it is dying, -EBUSY when it was asked before.
 *
 * @mirrors kernel/kthread.c:kthread_park
 */
export function* kthread_park(k: Kernel, p: task_struct): MaySleep<number> {
  if (WARN_ON(k, (p.flags & PF_EXITING) !== 0)) return -ENOSYS;
  const kthread = to_kthread(k, p);
  if (WARN_ON_ONCE(k, (kthread.flags & KTHREAD_SHOULD_PARK) !== 0, "parked")) return -EBUSY;
  kthread.flags |= KTHREAD_SHOULD_PARK;
  if (p === current(k)) return 0;
  wake_up_process(k, p);
  yield* wait_for_completion(k, kthread.parked);
  WARN_ON_ONCE(k, !(yield* wait_task_inactive(k, p, TASK_PARKED)), "inactive");
  return 0;
}

/**
 * Asks the thread to stop and waits until it is dead. Returns what its function returned, -EINTR when it was never woken.
 *
 * Context: process context. Sleeps. The caller knows that the thread has not died by itself.
 *
 * @mirrors kernel/kthread.c:kthread_stop
 */
export function* kthread_stop(k: Kernel, p: task_struct): MaySleep<number> {
  const kthread = to_kthread(k, p);
  kthread.flags |= KTHREAD_SHOULD_STOP;
  yield* kthread_unpark(k, p);
  wake_up_process(k, p);
  yield* wait_for_completion(k, kthread.exited);
  return p.exit_code;
}

/** Makes threads on request, for ever. @mirrors kernel/kthread.c:kthreadd */
export function* kthreadd(k: Kernel): MaySleep<void> {
  const p = current(k);
  const list = kthread_create_list(k);
  p.cpus_mask = null;
  // In C rest_init() sets it; both may.
  kthreadd_task.set(k, p);
  for (;;) {
    set_current_state(k, TASK_INTERRUPTIBLE);
    if (pt(k, POINT_WAIT, "kthread_create_list")) yield STEP;
    if (list_empty(list)) {
      p.waitingFor = "kthread_create";
      yield* schedule(k);
      p.waitingFor = "";
    }
    __set_current_state(k, TASK_RUNNING);

    yield* spin_lock(k, kthread_create_lock(k));
    while (!list_empty(list)) {
      const create = list_first_entry(list);
      list_del_init(create.list);
      spin_unlock(k, kthread_create_lock(k));
      yield* create_kthread(k, create);
      yield* spin_lock(k, kthread_create_lock(k));
    }
    spin_unlock(k, kthread_create_lock(k));
  }
}
