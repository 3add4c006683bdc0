// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tiny RCU, with kvfree_rcu() as patches 5/7 and 6/7 of the series leave it. Mirrors kernel/rcu/tiny.c (v5.7) and
 * include/linux/rcutiny.h.
 *
 * One CPU, no preemption: any context switch, and any tick in user mode, ends a grace period, so readers need no mark at
 * all. Callbacks hang on one list in memory, cut in two by `donetail`: what stands before it may run.
 *
 * kvfree_rcu() collects pointers of either kind in page-sized blocks. 20 ms after the first the chain of blocks goes
 * through one grace period by rcu_work, if the previous chain is done. Interrupts off is all the locking there is.
 *
 * Left out: the tasks flavour, torture hooks.
 *
 * @module
 */

import { formatAddr, NULL } from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import { type Atomic, doneVoid, type MaySleep, STEP } from "../kernel/machine/effects.ts";
import { POINT_NAMED, POINT_SOFTIRQ, pt } from "../kernel/machine/points.ts";
import { ptr, struct, ulong } from "../kernel/machine/struct.ts";
import { page_fault_oops, WARN_ONCE } from "../kernel/bug.ts";
import { __GFP_NOWARN, gfp, GFP_NOWAIT } from "../kernel/gfp.ts";
import type { KvfreeOps, rcu_callback_t, RcuOps } from "../kernel/hooks.ts";
import { functionAt, isText, ksym } from "../kernel/kallsyms.ts";
import type { Kernel } from "../kernel/kernel.ts";
import {
  inMarkedReader,
  rcu_callback_map,
  rcu_lock_acquire,
  rcu_lock_release,
  RCU_LOCKDEP_WARN,
} from "../kernel/locking/lockdep_rcu.ts";
import { local_irq_disable, local_irq_enable, local_irq_restore, local_irq_save } from "../kernel/preempt.ts";
import { current, might_sleep, resched_cpu, set_tsk_need_resched } from "../kernel/sched/core.ts";
import { is_idle_task } from "../kernel/sched/sched.ts";
import {
  local_bh_disable,
  local_bh_enable,
  open_softirq,
  raise_softirq_irqoff,
  RCU_SOFTIRQ,
} from "../kernel/softirq.ts";
import { KERNEL_STATIC, type StaticKey } from "../kernel/static.ts";
import { rcu_scheduler_active, RCU_SCHEDULER_RUNNING } from "../kernel/system_state.ts";
import { trace_call_rcu, trace_kvfree_rcu } from "../kernel/trace/events/quiesce.ts";
import { trace_rcu_invoke_callback, trace_rcu_invoke_kvfree_callback } from "../kernel/trace/events/rcu.ts";
import {
  delayed_work,
  INIT_DELAYED_WORK,
  INIT_RCU_WORK,
  queue_rcu_work,
  rcu_work,
  schedule_delayed_work,
  system_wq,
  type work_struct,
} from "../kernel/workqueue.ts";
import { __get_free_page, free_page } from "../mm/page_alloc.ts";
import { kvfree } from "../mm/util.ts";
import { KVFREE_BULK_MAX_ENTR, kvfree_rcu_bulk_data, recordAddr } from "./kvfree_bulk.ts";
import { __is_kvfree_rcu_offset, debug_rcu_head_queue, debug_rcu_head_unqueue, rcu_head } from "./rcu.ts";
import { rcu_set_runtime_mode, wait_rcu_gp } from "./update.ts";

/**
 * The callback list; in memory, because its tails are addresses of pointers.
 *
 * @mirrors kernel/rcu/tiny.c:rcu_ctrlblk
 */
const rcu_ctrlblk_layout = struct("rcu_ctrlblk", {
  rcucblist: ptr, // first callback, or NULL
  donetail: ptr, // address of the next pointer of the last callback that may run
  curtail: ptr, // address of the next pointer of the last callback
});

/** Address of the rcu_ctrlblk; both tails start at its first member. */
const rcu_ctrlblk = KERNEL_STATIC<VirtAddr>("rcu_ctrlblk", (k) => {
  const rcp = k.dataAlloc(rcu_ctrlblk_layout.size);
  rcu_ctrlblk_layout.f.donetail.set(k, rcp, rcp);
  rcu_ctrlblk_layout.f.curtail.set(k, rcp, rcp);
  return rcp;
});

const { rcucblist, donetail, curtail } = rcu_ctrlblk_layout.f;

/** Jiffies between the first pointer of a batch and its grace period: 20 ms. @mirrors kernel/rcu/tiny.c:KVFREE_DRAIN_JIFFIES (6/7) */
export function KVFREE_DRAIN_JIFFIES(k: Kernel): number {
  return Math.floor(k.config.HZ / 50);
}

const { nr_records, next } = kvfree_rcu_bulk_data.f;

/** Chain that collects, newest block first. */
const kvhead = KERNEL_STATIC<VirtAddr>("kvhead", () => NULL);
/** Chain that waits for its grace period. */
const kvhead_free = KERNEL_STATIC<VirtAddr>("kvhead_free", () => NULL);
/** One spare block. */
const kvcache = KERNEL_STATIC<VirtAddr>("kvcache", () => NULL);
/** Static key: the works below are initialised. */
const rcu_init_done = KERNEL_STATIC<boolean>("rcu_init_done", () => false);
const monitor_work = KERNEL_STATIC("monitor_work", () => new delayed_work());
const kvfree_rcu_rwork = KERNEL_STATIC("rcu_work", () => new rcu_work());
/** The monitor is armed or wanted. */
const monitor_todo = KERNEL_STATIC<boolean>("monitor_todo", () => false);

export const statics: readonly StaticKey[] = [
  rcu_ctrlblk,
  kvhead,
  kvhead_free,
  kvcache,
  rcu_init_done,
  monitor_work,
  kvfree_rcu_rwork,
  monitor_todo,
];

/** Waits for the callbacks queued before. @mirrors kernel/rcu/tiny.c:rcu_barrier */
export function rcu_barrier(k: Kernel): MaySleep<void> {
  return wait_rcu_gp(k, call_rcu);
}

/** A quiescent state: everything queued so far may run. @mirrors kernel/rcu/tiny.c:rcu_qs */
export function rcu_qs(k: Kernel): void {
  const rcp = rcu_ctrlblk(k);
  const flags = local_irq_save(k);
  const tail = curtail.get(k, rcp);
  if (donetail.get(k, rcp) !== tail) {
    donetail.set(k, rcp, tail);
    raise_softirq_irqoff(k, RCU_SOFTIRQ);
  }
  local_irq_restore(k, flags);
}

/**
 * The tick: in user mode a quiescent state, in the kernel a wish for one.
 *
 * Context: hard interrupt.
 *
 * @mirrors kernel/rcu/tiny.c:rcu_sched_clock_irq
 */
export function rcu_sched_clock_irq(k: Kernel, user: boolean): Atomic<void> {
  const rcp = rcu_ctrlblk(k);
  if (user) rcu_qs(k);
  else if (donetail.get(k, rcp) !== curtail.get(k, rcp)) set_tsk_need_resched(k, current(k));
  return doneVoid();
}

/**
 * Invokes a callback, or frees the object that its small func means. Returns whether it freed.
 *
 * Context: softirq, bottom halves off.
 *
 * @mirrors kernel/rcu/tiny.c:rcu_reclaim_tiny
 */
function* rcu_reclaim_tiny(k: Kernel, head: VirtAddr): Atomic<boolean> {
  const func = rcu_head.f.func.get(k, head);
  rcu_lock_acquire(k, rcu_callback_map);
  if (__is_kvfree_rcu_offset(func)) {
    trace_rcu_invoke_kvfree_callback(k, "", head, func);
    yield* kvfree(k, (head - func) as VirtAddr);
    rcu_lock_release(k, rcu_callback_map);
    return true;
  }
  trace_rcu_invoke_callback(k, "", head, func);
  rcu_head.f.func.set(k, head, NULL);
  if (!isText(k, func)) page_fault_oops(k, func, false);
  yield* (functionAt(k, func) as rcu_callback_t)(k, head);
  rcu_lock_release(k, rcu_callback_map);
  return false;
}

/**
 * The RCU softirq: runs the callbacks whose grace period is over, first queued first, without a limit.
 *
 * @mirrors kernel/rcu/tiny.c:rcu_process_callbacks
 */
function* rcu_process_callbacks(k: Kernel): Atomic<void> {
  const rcp = rcu_ctrlblk(k);
  const flags = local_irq_save(k);
  const tail = donetail.get(k, rcp);
  if (tail === rcp) {
    local_irq_restore(k, flags);
    return;
  }
  let list = rcucblist.get(k, rcp);
  rcucblist.set(k, rcp, k.ram.loadPtr(tail));
  k.ram.storePtr(tail, NULL);
  if (curtail.get(k, rcp) === tail) curtail.set(k, rcp, rcp);
  donetail.set(k, rcp, rcp);
  local_irq_restore(k, flags);

  while (list !== NULL) {
    const next = rcu_head.f.next.get(k, list);
    debug_rcu_head_unqueue(k, list);
    local_bh_disable(k);
    yield* rcu_reclaim_tiny(k, list);
    yield* local_bh_enable(k);
    list = next;
    if (pt(k, POINT_SOFTIRQ, "CB6")) yield STEP;
  }
}

/**
 * Waits for a grace period: on one CPU without preemption being allowed to block is one, so there is nothing to do.
 *
 * @mirrors kernel/rcu/tiny.c:synchronize_rcu
 */
export function synchronize_rcu(k: Kernel): MaySleep<void> {
  RCU_LOCKDEP_WARN(k, inMarkedReader(k), "Illegal synchronize_rcu() in RCU read-side critical section");
  return doneVoid();
}

/**
 * Queues `head` until after the next quiescent state.
 *
 * Context: any. Not a point.
 *
 * @mirrors kernel/rcu/tiny.c:call_rcu
 */
export function call_rcu(k: Kernel, head: VirtAddr, func: rcu_callback_t | number): Atomic<void> {
  const rcp = rcu_ctrlblk(k);
  debug_rcu_head_queue(k, head);
  const addr = typeof func === "number" ? func as VirtAddr : ksym(k, func);
  trace_call_rcu(k, head, addr);
  rcu_head.f.func.set(k, head, addr);
  rcu_head.f.next.set(k, head, NULL);

  const flags = local_irq_save(k);
  k.ram.storePtr(curtail.get(k, rcp), head);
  curtail.set(k, rcp, (head + rcu_head.offsetof("next")) as VirtAddr);
  local_irq_restore(k, flags);

  // The idle task never switches by itself: without this nothing would end the grace period.
  if (is_idle_task(current(k))) resched_cpu(k, 0);
  return doneVoid();
}

/**
 * Adds `ptr` to the collecting chain. False when a new block is needed and no page can be had.
 *
 * Context: interrupts off.
 *
 * @mirrors kernel/rcu/tiny.c:kvfree_call_rcu_add_ptr_to_bulk (6/7)
 */
function* kvfree_call_rcu_add_ptr_to_bulk(k: Kernel, ptr: VirtAddr): Atomic<boolean> {
  let bnode = kvhead(k);
  if (bnode === NULL || nr_records.get(k, bnode) === KVFREE_BULK_MAX_ENTR) {
    bnode = kvcache(k);
    kvcache.set(k, NULL);
    if (bnode === NULL) bnode = yield* __get_free_page(k, gfp(GFP_NOWAIT, __GFP_NOWARN));
    if (bnode === NULL) return false;
    nr_records.set(k, bnode, 0);
    next.set(k, bnode, kvhead(k));
    kvhead.set(k, bnode);
  }
  const nr = nr_records.get(k, bnode);
  k.ram.storePtr(recordAddr(bnode, nr), ptr);
  nr_records.set(k, bnode, nr + 1);
  return true;
}

/**
 * Frees what one grace period has covered, newest block first, and keeps one page as the spare.
 *
 * @mirrors kernel/rcu/tiny.c:kvfree_rcu_work (6/7)
 */
function* kvfree_rcu_work(k: Kernel, _work: work_struct): MaySleep<void> {
  local_irq_disable(k);
  let bvhead = kvhead_free(k);
  kvhead_free.set(k, NULL);
  local_irq_enable(k);

  while (bvhead !== NULL) {
    const older = next.get(k, bvhead);
    const nr = nr_records.get(k, bvhead);
    for (let i = 0; i < nr; i++) {
      const record = k.ram.loadPtr(recordAddr(bvhead, i));
      debug_rcu_head_unqueue(k, record);
      yield* kvfree(k, record);
    }
    if (pt(k, POINT_NAMED, "kvcache")) yield STEP;
    if (kvcache(k) === NULL) kvcache.set(k, bvhead);
    else yield* free_page(k, bvhead);
    bvhead = older;
  }
}

/**
 * Hands the collected chain to rcu_work unless the previous one still waits. Returns whether it did.
 *
 * Context: interrupts off.
 *
 * @mirrors kernel/rcu/tiny.c:queue_kvfree_rcu_work (6/7)
 */
function* queue_kvfree_rcu_work(k: Kernel): Atomic<boolean> {
  if (kvhead_free(k) !== NULL) return false;
  kvhead_free.set(k, kvhead(k));
  kvhead.set(k, NULL);
  yield* queue_rcu_work(k, system_wq(k), kvfree_rcu_rwork(k));
  return true;
}

/**
 * The batch timer: starts a grace period for what was collected, or comes back later.
 *
 * @mirrors kernel/rcu/tiny.c:kvfree_rcu_monitor (6/7)
 */
function* kvfree_rcu_monitor(k: Kernel, _work: work_struct): MaySleep<void> {
  const flags = local_irq_save(k);
  const queued = yield* queue_kvfree_rcu_work(k);
  if (queued) monitor_todo.set(k, false);
  local_irq_restore(k, flags);
  if (monitor_todo(k)) yield* schedule_delayed_work(k, monitor_work(k), KVFREE_DRAIN_JIFFIES(k));
}

/** Arms the batch timer for a pointer just added. */
function* armMonitor(k: Kernel): Atomic<void> {
  monitor_todo.set(k, true);
  yield* schedule_delayed_work(k, monitor_work(k), KVFREE_DRAIN_JIFFIES(k));
}

/** Whether `ptr` may be queued; a second time it is reported, once, and leaked. */
function mayQueue(k: Kernel, ptr: VirtAddr, head: VirtAddr | null): boolean {
  if (debug_rcu_head_queue(k, ptr) === 0) return true;
  WARN_ONCE(k, true, `kvfree_call_rcu(): Double-freed call. rcu_head ${formatAddr(head ?? NULL)}`);
  return false;
}

/**
 * Frees an object after a grace period: collects its address in a block.
 *
 * With `head`, `func` is the offset of the head in the object; without a block the object goes on the callback list.
 * Without (`head` null), `func` is the object; without a block it is freed here and now, because being allowed to block
 * is a grace period.
 *
 * Context: any with `head`, process context without; otherwise reported.
 *
 * @mirrors kernel/rcu/tiny.c:kvfree_call_rcu (6/7)
 */
export function kvfree_call_rcu(k: Kernel, head: VirtAddr, func: number): Atomic<void>;
export function kvfree_call_rcu(k: Kernel, head: null, func: VirtAddr): MaySleep<void>;
export function kvfree_call_rcu(k: Kernel, head: VirtAddr | null, func: number): MaySleep<void> {
  if (head === null) might_sleep(k);
  const ptr = (head === null ? func : head - func) as VirtAddr;
  if (!mayQueue(k, ptr, head)) return doneVoid();
  trace_kvfree_rcu(k, ptr, head === null);
  const bnode = kvhead(k);
  const nr = bnode === NULL ? KVFREE_BULK_MAX_ENTR : nr_records.get(k, bnode);
  if (nr === KVFREE_BULK_MAX_ENTR || (rcu_init_done(k) && !monitor_todo(k))) return queue(k, head, func, ptr);
  // The usual case, in a plain call: there is room and the timer is armed. No point stands in it.
  k.ram.storePtr(recordAddr(bnode, nr), ptr);
  nr_records.set(k, bnode, nr + 1);
  return doneVoid();
}

/** The general case of kvfree_call_rcu(), from interrupts off on. */
function* queue(k: Kernel, head: VirtAddr | null, func: number, ptr: VirtAddr): MaySleep<void> {
  const flags = local_irq_save(k);
  const success = yield* kvfree_call_rcu_add_ptr_to_bulk(k, ptr);
  if (success && rcu_init_done(k) && !monitor_todo(k)) yield* armMonitor(k);
  local_irq_restore(k, flags);

  if (success) return;
  if (head !== null) {
    yield* call_rcu(k, head, func);
  } else {
    yield* synchronize_rcu(k);
    yield* kvfree(k, ptr);
  }
}

/**
 * Opens the softirq, then the batching: what was queued before waits for the next call to arm the timer.
 *
 * @mirrors kernel/rcu/tiny.c:rcu_init
 */
export function* rcu_init(k: Kernel): Atomic<void> {
  open_softirq(k, RCU_SOFTIRQ, rcu_process_callbacks);
  if (k.rcu_early_boot_tests !== null) yield* k.rcu_early_boot_tests(k);
  INIT_DELAYED_WORK(k, monitor_work(k), kvfree_rcu_monitor);
  INIT_RCU_WORK(k, kvfree_rcu_rwork(k), kvfree_rcu_work);
  rcu_init_done.set(k, true);
}

/** Heads on the callback list, whose objects wait for a grace period. */
function* pendingCallbacks(k: Kernel): Generator<VirtAddr, void, void> {
  const rcp = rcu_ctrlblk(k);
  for (let head = peek(k, rcp); head !== NULL; head = peek(k, head)) yield head;
}

/** A pointer as it stands in RAM, without the check that a reader of freed memory deserves: looking is free. */
function peek(k: Kernel, addr: VirtAddr): VirtAddr {
  const phys = k.ram.translate(addr);
  return phys < 0 ? NULL : k.ram.rawLoadPtr(phys);
}

function* blocks(k: Kernel): Generator<VirtAddr, void, void> {
  for (const chain of [kvhead(k), kvhead_free(k)]) {
    for (let bnode = chain; bnode !== NULL; bnode = peek(k, (bnode + ulong.size) as VirtAddr)) yield bnode;
  }
}

function* pendingRecords(k: Kernel): Generator<VirtAddr, void, void> {
  for (const bnode of blocks(k)) {
    const nr = peek(k, bnode);
    for (let i = 0; i < nr; i++) yield peek(k, recordAddr(bnode, i));
  }
}

function* ownPages(k: Kernel): Generator<VirtAddr, void, void> {
  yield* blocks(k);
  if (kvcache(k) !== NULL) yield kvcache(k);
}

/** What the `krc` and `rcu` commands show. @invented a look at file-scope state */
export interface TinyState {
  readonly callbacks: readonly VirtAddr[];
  readonly collecting: readonly { addr: VirtAddr; nr_records: number }[];
  readonly waiting: readonly { addr: VirtAddr; nr_records: number }[];
  readonly spare: VirtAddr;
  readonly monitor_todo: boolean;
  readonly readyToRun: boolean;
}

/** Looks at tiny RCU without touching it. @invented see TinyState */
export function tinyState(k: Kernel): TinyState {
  function chain(head: VirtAddr): { addr: VirtAddr; nr_records: number }[] {
    const list = [];
    for (let b = head; b !== NULL; b = peek(k, (b + ulong.size) as VirtAddr)) {
      list.push({ addr: b, nr_records: peek(k, b) });
    }
    return list;
  }
  const rcp = rcu_ctrlblk(k);
  return {
    callbacks: [...pendingCallbacks(k)],
    collecting: chain(kvhead(k)),
    waiting: chain(kvhead_free(k)),
    spare: kvcache(k),
    monitor_todo: monitor_todo(k),
    readyToRun: peek(k, (rcp + rcu_ctrlblk_layout.offsetof("donetail")) as VirtAddr) !== rcp,
  };
}

// ---- include/linux/rcutiny.h ---------------------------------------------------------------------------------------

/** A cookie; any will do. @mirrors include/linux/rcutiny.h:get_state_synchronize_rcu */
function get_state_synchronize_rcu(_k: Kernel): number {
  return 0;
}

/** Being allowed to block is a grace period. @mirrors include/linux/rcutiny.h:cond_synchronize_rcu */
function cond_synchronize_rcu(k: Kernel, _oldstate: number): MaySleep<void> {
  might_sleep(k);
  return doneVoid();
}

/** ksoftirqd is between two rounds: a quiescent state. @mirrors include/linux/rcutiny.h:rcu_softirq_qs */
function rcu_softirq_qs(k: Kernel): Atomic<void> {
  rcu_qs(k);
  return doneVoid();
}

/** A context switch is a quiescent state. @mirrors include/linux/rcutiny.h:rcu_note_context_switch */
function rcu_note_context_switch(k: Kernel, _preempt: boolean): Atomic<void> {
  rcu_qs(k);
  return doneVoid();
}

/** Whether this CPU must keep its tick: never. @mirrors include/linux/rcutiny.h:rcu_needs_cpu */
function rcu_needs_cpu(_k: Kernel): boolean {
  return false;
}

/** Nobody counts who is idle. @mirrors include/linux/rcutiny.h:rcu_idle_enter */
function rcu_idle_enter(_k: Kernel): Atomic<void> {
  return doneVoid();
}

/** @mirrors include/linux/rcutiny.h:rcu_idle_exit */
function rcu_idle_exit(_k: Kernel): Atomic<void> {
  return doneVoid();
}

/** @mirrors include/linux/rcutiny.h:rcu_irq_enter */
function rcu_irq_enter(_k: Kernel): Atomic<void> {
  return doneVoid();
}

/** @mirrors include/linux/rcutiny.h:rcu_irq_exit */
function rcu_irq_exit(_k: Kernel): Atomic<void> {
  return doneVoid();
}

/** A task ends: no reader can be left. @mirrors include/linux/rcutiny.h:exit_rcu (empty) */
function exit_rcu(_k: Kernel): void {}

/** Grace periods are never hurried. @mirrors include/linux/rcutiny.h:rcu_end_inkernel_boot (empty) */
function rcu_end_inkernel_boot(_k: Kernel): void {}

/** Readers are legal everywhere. @mirrors include/linux/rcutiny.h:rcu_is_watching */
function rcu_is_watching(_k: Kernel): boolean {
  return true;
}

/** What was queued before waits for the next call to arm the timer. @mirrors include/linux/rcutiny.h:kfree_rcu_scheduler_running */
function kfree_rcu_scheduler_running(_k: Kernel): Atomic<void> {
  return doneVoid();
}

function nothing(_k: Kernel): Atomic<void> {
  return doneVoid();
}

/** Tiny RCU as the rest of the kernel sees it. */
export const tinyRcu: RcuOps = {
  flavour: "tiny",
  rcu_init,
  rcu_spawn_gp_kthread: nothing,
  rcu_scheduler_starting: (k) => rcu_scheduler_active.set(k, RCU_SCHEDULER_RUNNING),
  rcu_set_runtime_mode,
  rcu_end_inkernel_boot,
  exit_rcu,
  rcu_note_context_switch,
  rcu_sched_clock_irq,
  rcu_softirq_qs,
  rcu_all_qs: nothing,
  rcu_idle_enter,
  rcu_idle_exit,
  rcu_irq_enter,
  rcu_irq_exit,
  rcu_user_enter: nothing,
  rcu_user_exit: nothing,
  rcu_needs_cpu,
  rcu_is_watching,
  rcu_lockdep_current_cpu_online: () => true,
  rcutree_prepare_cpu: nothing,
  rcu_cpu_starting: nothing,
  rcutree_online_cpu: nothing,
  call_rcu,
  synchronize_rcu,
  rcu_barrier,
  get_state_synchronize_rcu,
  cond_synchronize_rcu,
  pendingAddresses: pendingCallbacks,
  busy: (k) => peek(k, rcu_ctrlblk(k)) !== NULL,
};

/** kvfree_rcu() of tiny RCU at 7/7. @mirrors kernel/rcu/tiny.c:kvfree_call_rcu (6/7) */
export const tinyKvfree: KvfreeOps = {
  kvfree_call_rcu,
  kfree_rcu_scheduler_running,
  pendingAddresses: pendingRecords,
  ownAddresses: ownPages,
  busy: (k) => kvhead(k) !== NULL || kvhead_free(k) !== NULL,
};
