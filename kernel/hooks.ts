// SPDX-License-Identifier: GPL-2.0-only
/**
 * Upcalls: what the scheduler, interrupts and workqueues ask of RCU and of memory management.
 *
 * Each table is filled at boot with the chosen variant; callers never import a variant. The defaults do nothing, which
 * makes "a machine without RCU" a legal configuration; what cannot be done without a variant is refused.
 *
 * @module
 */

import { NULL } from "./machine/addr.ts";
import { assert } from "./machine/assert.ts";
import type { VirtAddr } from "./machine/brand.ts";
import { type Atomic, done, doneVoid, type MaySleep } from "./machine/effects.ts";
import type { Fields, Layout } from "./machine/struct.ts";
import type { Gfp } from "./gfp.ts";
import type { Kernel } from "./kernel.ts";
import { preempt_disable, preempt_enable } from "./preempt.ts";
import { current } from "./sched/sched.ts";
import type { StaticKey } from "./static.ts";

/** A callback as call_rcu() takes it: gets the address of the rcu_head. */
export type rcu_callback_t = (k: Kernel, head: VirtAddr) => Atomic<void>;

/** What the full polling functions leave in their caller's memory; its layout is rcu/rcu.ts's. */
export interface rcu_gp_oldstate {
  rgos_norm: number;
  rgos_exp: number;
}

/** An RCU flavour. */
export interface RcuOps {
  readonly flavour: "none" | "tiny" | "tree";
  rcu_init(k: Kernel): MaySleep<void>;
  /** Early initcall: makes the grace-period thread. */
  rcu_spawn_gp_kthread(k: Kernel): MaySleep<void>;
  rcu_scheduler_starting(k: Kernel): void;
  /** End of do_pre_smp / core_initcall: rcu_set_runtime_mode(). */
  rcu_set_runtime_mode(k: Kernel): MaySleep<void>;
  /** Boot is over: grace periods are not hurried any more. */
  rcu_end_inkernel_boot(k: Kernel): void;
  /** A reader begins: it nests. */
  __rcu_read_lock(k: Kernel): void;
  /** A reader ends; there is one. */
  __rcu_read_unlock(k: Kernel): Atomic<void>;
  /** A task ends. */
  exit_rcu(k: Kernel): Atomic<void>;
  rcu_note_context_switch(k: Kernel, preempt: boolean): Atomic<void>;
  rcu_sched_clock_irq(k: Kernel, user: boolean): Atomic<void>;
  rcu_softirq_qs(k: Kernel): Atomic<void>;
  rcu_all_qs(k: Kernel): Atomic<void>;
  rcu_idle_enter(k: Kernel): Atomic<void>;
  rcu_idle_exit(k: Kernel): Atomic<void>;
  rcu_irq_enter(k: Kernel): Atomic<void>;
  rcu_irq_exit(k: Kernel): Atomic<void>;
  rcu_user_enter(k: Kernel): Atomic<void>;
  rcu_user_exit(k: Kernel): Atomic<void>;
  /** Whether RCU needs this CPU's tick. */
  rcu_needs_cpu(k: Kernel): boolean;
  /** Whether readers are legal on this CPU: it is not idle for RCU. */
  rcu_is_watching(k: Kernel): boolean;
  /** Whether this CPU is online for RCU. */
  rcu_lockdep_current_cpu_online(k: Kernel): boolean;
  /** A CPU comes up: before it runs, on its first code, when it can run threads. */
  rcutree_prepare_cpu(k: Kernel, cpu: number): Atomic<void>;
  rcu_cpu_starting(k: Kernel, cpu: number): Atomic<void>;
  rcutree_online_cpu(k: Kernel, cpu: number): Atomic<void>;
  /** `func` is a function, or a number below 4096: the offset of the head in an object to be freed with kvfree(). */
  call_rcu(k: Kernel, head: VirtAddr, func: rcu_callback_t | number): Atomic<void>;
  synchronize_rcu(k: Kernel): MaySleep<void>;
  rcu_barrier(k: Kernel): MaySleep<void>;
  /** Polling. A cookie stands for the moment at which it was taken; asking whether it is done is no point. */
  get_state_synchronize_rcu(k: Kernel): number;
  start_poll_synchronize_rcu(k: Kernel): Atomic<number>;
  poll_state_synchronize_rcu(k: Kernel, oldstate: number): boolean;
  cond_synchronize_rcu(k: Kernel, oldstate: number): MaySleep<void>;
  get_completed_synchronize_rcu_full(k: Kernel, rgosp: rcu_gp_oldstate): void;
  get_state_synchronize_rcu_full(k: Kernel, rgosp: rcu_gp_oldstate): void;
  start_poll_synchronize_rcu_full(k: Kernel, rgosp: rcu_gp_oldstate): Atomic<void>;
  poll_state_synchronize_rcu_full(k: Kernel, rgosp: rcu_gp_oldstate): boolean;
  cond_synchronize_rcu_full(k: Kernel, rgosp: rcu_gp_oldstate): MaySleep<void>;
  /** Addresses (of or inside objects) that RCU still holds, for leak verdicts: nothing is changed. */
  pendingAddresses(k: Kernel): Iterable<VirtAddr>;
  /** Whether any callback is queued or being invoked. */
  busy(k: Kernel): boolean;
}

/**
 * The two faces of kvfree_call_rcu(): with a head it never sleeps; with null, `func` is the pointer itself and it may.
 * With a head `func` is the head's offset in the object, from v6.3-rc1 on the object.
 */
export interface KvfreeCallRcu {
  (k: Kernel, head: VirtAddr, func: number): Atomic<void>;
  (k: Kernel, head: null, func: VirtAddr): MaySleep<void>;
}

/** A macro that takes a pointer, and perhaps its struct and the rcu_head member; `extra` is what is one too many. */
export type KvfreeMacro = (
  k: Kernel,
  ptr: VirtAddr,
  layout?: Layout<Fields>,
  rhf?: string,
  extra?: unknown,
) => MaySleep<void>;

/** The macros of include/linux/rcupdate.h at one level: what is null is not there. */
export interface KvfreeMacros {
  readonly kfree_rcu: KvfreeMacro;
  readonly kvfree_rcu: KvfreeMacro;
  readonly kfree_rcu_mightsleep: KvfreeMacro | null;
  readonly kvfree_rcu_mightsleep: KvfreeMacro | null;
}

/** kvfree_rcu() of one flavour at one level of its history. */
export interface KvfreeLevelOps {
  /** From rcu_init(), at its end: opens the batching. */
  kfree_rcu_batch_init(k: Kernel): MaySleep<void>;
  kvfree_call_rcu: KvfreeCallRcu;
  /** Waits until everything queued before is freed; null before v6.12. */
  readonly kvfree_rcu_barrier: ((k: Kernel) => MaySleep<void>) | null;
  kfree_rcu_scheduler_running(k: Kernel): Atomic<void>;
  /** Objects that wait in kvfree_rcu's own structures, for leak verdicts. */
  pendingAddresses(k: Kernel): Iterable<VirtAddr>;
  /** Its own memory (spare pages, blocks, wrappers), for leak verdicts. */
  ownAddresses(k: Kernel): Iterable<VirtAddr>;
  busy(k: Kernel): boolean;
}

/** kvfree_rcu() as a machine has it. */
export interface KvfreeOps extends KvfreeLevelOps {
  readonly macros: KvfreeMacros;
  /** What its per-CPU variables point at, blocks of pages aside: the heads of its lists, for kmemleak. */
  perCpuPointers(k: Kernel): Iterable<VirtAddr>;
}

/**
 * Parts that somebody brings along in place of those that the configuration means: a lab's, a student's. They are kept
 * over a power cycle.
 */
export interface KernelParts {
  readonly rcu?: RcuOps;
  /** In place of the level's file; the macros stay the level's. */
  readonly kvfree?: KvfreeLevelOps;
  /** File-scope variables of these parts. */
  readonly statics?: readonly StaticKey[];
}

/** Memory management as kernel/ needs it. */
export interface MmOps {
  /** Whether the allocators are up. */
  readonly ready: boolean;
  /** May be called before the allocators are up: then NULL, and the caller's object is part of the boot image. */
  kzalloc(k: Kernel, size: number, gfp: Gfp): MaySleep<VirtAddr>;
  kfree(k: Kernel, addr: VirtAddr): Atomic<void>;
  alloc_task_struct(k: Kernel): MaySleep<VirtAddr>;
  free_task_struct(k: Kernel, addr: VirtAddr): Atomic<void>;
  alloc_thread_stack(k: Kernel): MaySleep<VirtAddr>;
  free_thread_stack(k: Kernel, addr: VirtAddr): Atomic<void>;
}

function nothing(_k: Kernel): Atomic<void> {
  return doneVoid();
}

/** The machine without RCU. */
export const NO_RCU: RcuOps = {
  flavour: "none",
  rcu_init: nothing,
  rcu_spawn_gp_kthread: nothing,
  rcu_scheduler_starting: () => {},
  rcu_set_runtime_mode: nothing,
  rcu_end_inkernel_boot: () => {},
  __rcu_read_lock: (k) => {
    current(k).rcu_read_lock_nesting++;
    preempt_disable(k);
  },
  __rcu_read_unlock: (k) => {
    current(k).rcu_read_lock_nesting--;
    preempt_enable(k);
    return doneVoid();
  },
  exit_rcu: nothing,
  rcu_note_context_switch: nothing,
  rcu_sched_clock_irq: nothing,
  rcu_softirq_qs: nothing,
  rcu_all_qs: nothing,
  rcu_idle_enter: nothing,
  rcu_idle_exit: nothing,
  rcu_irq_enter: nothing,
  rcu_irq_exit: nothing,
  rcu_user_enter: nothing,
  rcu_user_exit: nothing,
  rcu_needs_cpu: () => false,
  rcu_is_watching: () => true,
  rcu_lockdep_current_cpu_online: () => true,
  rcutree_prepare_cpu: nothing,
  rcu_cpu_starting: nothing,
  rcutree_online_cpu: nothing,
  call_rcu: () => assert(false, "call_rcu() on a machine booted without RCU") as never,
  synchronize_rcu: () => assert(false, "synchronize_rcu() on a machine booted without RCU") as never,
  rcu_barrier: () => assert(false, "rcu_barrier() on a machine booted without RCU") as never,
  get_state_synchronize_rcu: () => 0,
  start_poll_synchronize_rcu: () =>
    assert(false, "start_poll_synchronize_rcu() on a machine booted without RCU") as never,
  poll_state_synchronize_rcu: () => false,
  cond_synchronize_rcu: () =>
    assert(false, "cond_synchronize_rcu() on a machine booted without RCU") as never,
  get_completed_synchronize_rcu_full: () => {},
  get_state_synchronize_rcu_full: () => {},
  start_poll_synchronize_rcu_full: () =>
    assert(false, "start_poll_synchronize_rcu_full() on a machine booted without RCU") as never,
  poll_state_synchronize_rcu_full: () => false,
  cond_synchronize_rcu_full: () =>
    assert(false, "cond_synchronize_rcu_full() on a machine booted without RCU") as never,
  pendingAddresses: () => [],
  busy: () => false,
};

function noKvfree(): never {
  return assert(false, "kvfree_rcu() on a machine booted without RCU") as never;
}

export const NO_KVFREE: KvfreeOps = {
  kfree_rcu_batch_init: nothing,
  kvfree_call_rcu: noKvfree,
  kvfree_rcu_barrier: null,
  macros: {
    kfree_rcu: noKvfree,
    kvfree_rcu: noKvfree,
    kfree_rcu_mightsleep: null,
    kvfree_rcu_mightsleep: null,
  },
  kfree_rcu_scheduler_running: nothing,
  pendingAddresses: () => [],
  ownAddresses: () => [],
  perCpuPointers: () => [],
  busy: () => false,
};

/** The machine before mm_init(). */
export const NO_MM: MmOps = {
  ready: false,
  kzalloc: () => done(NULL),
  kfree: nothing,
  alloc_task_struct: () => done(NULL),
  free_task_struct: nothing,
  alloc_thread_stack: () => done(NULL),
  free_thread_stack: nothing,
};
