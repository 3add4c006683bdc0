// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tiny RCU. Mirrors kernel/rcu/tiny.c (v5.7) and include/linux/rcutiny.h. kvfree_rcu() is in levels/tiny/.
 *
 * One CPU, no preemption: any context switch, and any tick in user mode, ends a grace period, so readers need no mark at
 * all. Callbacks hang on one list in memory, cut in two by `donetail`: what stands before it may run.
 *
 * Left out: the tasks flavour, torture hooks.
 *
 * @module
 */

import { NULL } from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import { type Atomic, done, doneVoid, type MaySleep, STEP } from "../kernel/machine/effects.ts";
import { POINT_SOFTIRQ, pt } from "../kernel/machine/points.ts";
import { ptr, struct } from "../kernel/machine/struct.ts";
import { page_fault_oops } from "../kernel/bug.ts";
import type { rcu_callback_t, RcuOps } from "../kernel/hooks.ts";
import { functionAt, isText, ksym } from "../kernel/kallsyms.ts";
import type { Kernel } from "../kernel/kernel.ts";
import {
  inMarkedReader,
  rcu_callback_map,
  rcu_lock_acquire,
  rcu_lock_release,
  RCU_LOCKDEP_WARN,
} from "../kernel/locking/lockdep_rcu.ts";
import { local_irq_restore, local_irq_save } from "../kernel/preempt.ts";
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
import { trace_call_rcu } from "../kernel/trace/events/quiesce.ts";
import { trace_rcu_invoke_callback, trace_rcu_invoke_kvfree_callback } from "../kernel/trace/events/rcu.ts";
import { kvfree } from "../mm/util.ts";
import {
  __is_kvfree_rcu_offset,
  debug_rcu_head_queue,
  debug_rcu_head_unqueue,
  RCU_GET_STATE_COMPLETED,
  type rcu_gp_oldstate,
  rcu_head,
} from "./rcu.ts";
import { __rcu_read_lock, __rcu_read_unlock } from "./rcupdate.ts";
import { rcu_early_boot_tests, rcu_set_runtime_mode, wait_rcu_gp } from "./update.ts";

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

/**
 * How many quiescent states there were, in steps of 2; for polling, and read by nothing else. It lies beside the control
 * block and not in it: that one is in memory for its tails alone.
 *
 * @mirrors kernel/rcu/tiny.c:rcu_ctrlblk.gp_seq (v5.12, in steps of 2 from v6.0)
 */
const gp_seq = KERNEL_STATIC<number>("rcu_ctrlblk.gp_seq", () => 0 - 300);

export const statics: readonly StaticKey[] = [rcu_ctrlblk, gp_seq];

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
  gp_seq.set(k, gp_seq(k) + 2);
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
  if (!isText(k, func)) page_fault_oops(k, func, false, true);
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
 * Waits for a grace period: on one CPU without preemption being allowed to block is one, so there is nothing to do,
 * but to tell polling.
 *
 * @mirrors kernel/rcu/tiny.c:synchronize_rcu
 */
export function synchronize_rcu(k: Kernel): MaySleep<void> {
  RCU_LOCKDEP_WARN(k, inMarkedReader(k), "Illegal synchronize_rcu() in RCU read-side critical section");
  gp_seq.set(k, gp_seq(k) + 2);
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

/** Leaves a cookie that is always done. @mirrors kernel/rcu/tiny.c:get_completed_synchronize_rcu_full (v6.1) */
export function get_completed_synchronize_rcu_full(_k: Kernel, rgosp: rcu_gp_oldstate): void {
  rgosp.rgos_norm = RCU_GET_STATE_COMPLETED;
  rgosp.rgos_exp = 0;
}

/**
 * A cookie: done at the next quiescent state. Context: any.
 *
 * @mirrors kernel/rcu/tiny.c:get_state_synchronize_rcu (v5.12)
 */
export function get_state_synchronize_rcu(k: Kernel): number {
  return gp_seq(k);
}

/**
 * A cookie, and somebody sees to it that a quiescent state comes. Context: any.
 *
 * @mirrors kernel/rcu/tiny.c:start_poll_synchronize_rcu (v5.12)
 */
export function start_poll_synchronize_rcu(k: Kernel): Atomic<number> {
  const oldstate = get_state_synchronize_rcu(k);
  // As in call_rcu().
  if (is_idle_task(current(k))) resched_cpu(k, 0);
  return done(oldstate);
}

/**
 * Whether there was a quiescent state since the cookie was taken. Not a point. Context: any.
 *
 * @mirrors kernel/rcu/tiny.c:poll_state_synchronize_rcu (v6.0)
 */
export function poll_state_synchronize_rcu(k: Kernel, oldstate: number): boolean {
  return oldstate === RCU_GET_STATE_COMPLETED || gp_seq(k) !== oldstate;
}

/**
 * Opens the softirq, then what the level of kvfree_rcu() has to open.
 *
 * @mirrors kernel/rcu/tiny.c:rcu_init
 */
export function* rcu_init(k: Kernel): MaySleep<void> {
  open_softirq(k, RCU_SOFTIRQ, rcu_process_callbacks);
  if (k.rcu_early_boot_tests !== null) yield* k.rcu_early_boot_tests(k);
  yield* rcu_early_boot_tests(k);
  yield* k.kvfree.kfree_rcu_batch_init(k);
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

// ---- include/linux/rcutiny.h ---------------------------------------------------------------------------------------

/** A cookie in the caller's memory; the second word is not used. @mirrors include/linux/rcutiny.h:get_state_synchronize_rcu_full (v6.1) */
function get_state_synchronize_rcu_full(k: Kernel, rgosp: rcu_gp_oldstate): void {
  rgosp.rgos_norm = get_state_synchronize_rcu(k);
  rgosp.rgos_exp = 0;
}

/** @mirrors include/linux/rcutiny.h:start_poll_synchronize_rcu_full (v6.1) */
function* start_poll_synchronize_rcu_full(k: Kernel, rgosp: rcu_gp_oldstate): Atomic<void> {
  rgosp.rgos_norm = yield* start_poll_synchronize_rcu(k);
  rgosp.rgos_exp = 0;
}

/** @mirrors include/linux/rcutiny.h:poll_state_synchronize_rcu_full (v6.1) */
function poll_state_synchronize_rcu_full(k: Kernel, rgosp: rcu_gp_oldstate): boolean {
  return poll_state_synchronize_rcu(k, rgosp.rgos_norm);
}

/** Being allowed to block is a grace period. @mirrors include/linux/rcutiny.h:cond_synchronize_rcu */
function cond_synchronize_rcu(k: Kernel, _oldstate: number): MaySleep<void> {
  might_sleep(k);
  return doneVoid();
}

/** @mirrors include/linux/rcutiny.h:cond_synchronize_rcu_full (v6.1) */
function cond_synchronize_rcu_full(k: Kernel, rgosp: rcu_gp_oldstate): MaySleep<void> {
  return cond_synchronize_rcu(k, rgosp.rgos_norm);
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
function exit_rcu(_k: Kernel): Atomic<void> {
  return doneVoid();
}

/** Grace periods are never hurried. @mirrors include/linux/rcutiny.h:rcu_end_inkernel_boot (empty) */
function rcu_end_inkernel_boot(_k: Kernel): void {}

/** Readers are legal everywhere. @mirrors include/linux/rcutiny.h:rcu_is_watching */
function rcu_is_watching(_k: Kernel): boolean {
  return true;
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
  __rcu_read_lock,
  __rcu_read_unlock,
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
  start_poll_synchronize_rcu,
  poll_state_synchronize_rcu,
  cond_synchronize_rcu,
  get_completed_synchronize_rcu_full,
  get_state_synchronize_rcu_full,
  start_poll_synchronize_rcu_full,
  poll_state_synchronize_rcu_full,
  cond_synchronize_rcu_full,
  pendingAddresses: pendingCallbacks,
  busy: (k) => peek(k, rcu_ctrlblk(k)) !== NULL,
};

/** What the `rcu` command shows. @invented a look at file-scope state */
export interface TinyCallbacks {
  readonly callbacks: readonly VirtAddr[];
  readonly readyToRun: boolean;
}

/** Looks at the callback list without touching it. @invented see TinyCallbacks */
export function tinyCallbacks(k: Kernel): TinyCallbacks {
  const rcp = rcu_ctrlblk(k);
  return {
    callbacks: [...pendingCallbacks(k)],
    readyToRun: peek(k, (rcp + rcu_ctrlblk_layout.offsetof("donetail")) as VirtAddr) !== rcp,
  };
}
