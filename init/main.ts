// SPDX-License-Identifier: GPL-2.0-only
/**
 * Boot: the order of start_kernel(). Mirrors init/main.c (v5.7) as far as the parts exist here, and is the composition
 * root: the only place that knows which RCU and which allocators a kernel is made of.
 *
 * @module
 */

import { type Atomic, type Coroutine, type MaySleep, STEP } from "../kernel/machine/effects.ts";
import { POINT_DELAY, pt } from "../kernel/machine/points.ts";
import { assert } from "../kernel/machine/assert.ts";
import type { Schedule } from "../kernel/machine/chooser.ts";
import type { Config } from "../kernel/config.ts";
import {
  boot_cpu_init,
  cpu_online,
  cpu_online_mask,
  cpu_possible_mask,
  cpumask_of,
  cpumask_set_cpu,
} from "../kernel/cpumask.ts";
import { vectors } from "../kernel/entry.ts";
import { kernel_thread } from "../kernel/fork.ts";
import type { KernelParts } from "../kernel/hooks.ts";
import { Kernel } from "../kernel/kernel.ts";
import { kthreadd } from "../kernel/kthread.ts";
import { local_irq_disable, local_irq_enable, preempt_disable } from "../kernel/preempt.ts";
import { page_fault_oops } from "../kernel/bug.ts";
import { pr_info, pr_notice } from "../kernel/printk.ts";
import { cpu_startup_entry } from "../kernel/sched/idle.ts";
import { current, init_idle, sched_init, schedule_idle, set_cpus_allowed_ptr } from "../kernel/sched/core.ts";
import { smpboot_create_threads, smpboot_unpark_threads } from "../kernel/smpboot.ts";
import { spawn_ksoftirqd } from "../kernel/softirq.ts";
import { instantiate } from "../kernel/static.ts";
import { SYSTEM_RUNNING, SYSTEM_SCHEDULING, system_state } from "../kernel/system_state.ts";
import { tick_setup_sched_timer } from "../kernel/time/tick-sched.ts";
import { init_timers } from "../kernel/time/timer.ts";
import { workqueue_init, workqueue_init_early, workqueue_online_cpu } from "../kernel/workqueue.ts";
import {
  build_all_zonelists,
  init_per_zone_wmark_min,
  mem_init,
  setup_per_cpu_pageset,
} from "../mm/page_alloc.ts";
import { __GFP_BITS_MASK, gfp_allowed_mask } from "../mm/internal.ts";
import { kasan_init } from "../mm/kasan/common.ts";
import { check_memory_region } from "../mm/kasan/generic.ts";
import { reportBadAccess } from "../mm/report.ts";
import { kmemleak_init, kmemleak_late_init } from "../mm/kmemleak.ts";
import { kmem_cache_init, kmem_cache_init_late } from "../mm/slub.ts";
import { fork_init, mmOps } from "../mm/task_memory.ts";
import { vmalloc_init } from "../mm/vmalloc.ts";
import { kswapd_init } from "../mm/vmscan.ts";
import { kvfreeOps } from "../rcu/kvfree.ts";
import { tinyRcu } from "../rcu/tiny.ts";
import { treeRcu } from "../rcu/tree.ts";
import { rcu_verify_early_boot_tests } from "../rcu/update.ts";
import { earlyDriverInit } from "./early_driver.ts";
import { boot_done, runPrograms } from "./program.ts";
import { staticsFor } from "./statics.ts";

/** Starts pid 1 and pid 2, then idles. @mirrors init/main.c:rest_init */
function* rest_init(k: Kernel): Coroutine {
  k.rcu.rcu_scheduler_starting(k);
  const init = yield* kernel_thread(k, kernel_init, "init");
  const threadd = yield* kernel_thread(k, kthreadd, "kthreadd");
  assert(typeof init !== "number" && typeof threadd !== "number", "no memory for the first threads");
  // Pid 1 brings the other CPUs up from this one.
  init.cpus_mask = cpumask_of(k, k.cpu.id);
  system_state.set(k, SYSTEM_SCHEDULING);
  yield* schedule_idle(k);
  yield* cpu_startup_entry(k);
}

/** Memory management comes up. @mirrors init/main.c:mm_init */
function* mm_init(k: Kernel): MaySleep<void> {
  mem_init(k);
  yield* kmem_cache_init(k);
  if (k.config.kmemleak) kmemleak_init(k);
  yield* vmalloc_init(k);
  k.mm = mmOps;
}

/**
 * What the boot CPU does after power-on: brings subsystems up in Linux's order and becomes the idle task.
 *
 * @mirrors init/main.c:start_kernel
 */
function* start_kernel(k: Kernel): Coroutine {
  local_irq_disable(k);
  boot_cpu_init(k);
  pr_notice(k, `Linux version 5.7.0-quiesce (quiesce) #1${k.config.cpus > 1 ? " SMP" : ""}`);
  if (k.config.kasan) kasan_init(k);
  build_all_zonelists(k);
  yield* mm_init(k);
  preempt_disable(k);
  yield* workqueue_init_early(k);
  yield* k.rcu.rcu_init(k);
  init_timers(k);
  tick_setup_sched_timer(k);
  local_irq_enable(k);
  kmem_cache_init_late(k);
  setup_per_cpu_pageset(k);
  yield* fork_init(k);
  yield* rest_init(k);
}

/** Core and device initcalls. @mirrors init/main.c:do_initcalls */
function* do_initcalls(k: Kernel): MaySleep<void> {
  yield* k.rcu.rcu_set_runtime_mode(k);
  init_per_zone_wmark_min(k);
  yield* kswapd_init(k);
  if (k.config.kmemleak) yield* kmemleak_late_init(k);
  yield* rcu_verify_early_boot_tests(k);
}

/** The machine is there, the subsystems follow. @mirrors init/main.c:do_basic_setup */
function do_basic_setup(k: Kernel): MaySleep<void> {
  return do_initcalls(k);
}

/** Early initcalls. @mirrors init/main.c:do_pre_smp_initcalls */
function* do_pre_smp_initcalls(k: Kernel): MaySleep<void> {
  yield* spawn_ksoftirqd(k);
  yield* k.rcu.rcu_spawn_gp_kthread(k);
  yield* earlyDriverInit(k);
}

/** Pid 1: the rest of boot; there is no user space to become. @mirrors init/main.c:kernel_init */
function* kernel_init(k: Kernel): MaySleep<void> {
  yield* kernel_init_freeable(k);
  k.rcu.rcu_end_inkernel_boot(k);
  system_state.set(k, SYSTEM_RUNNING);
  boot_done.set(k, true);
  yield* runPrograms(k);
}

/** @mirrors init/main.c:kernel_init_freeable */
function* kernel_init_freeable(k: Kernel): MaySleep<void> {
  gfp_allowed_mask.set(k, __GFP_BITS_MASK);
  yield* workqueue_init(k);
  yield* do_pre_smp_initcalls(k);
  yield* smp_init(k);
  yield* sched_init_smp(k);
  yield* do_basic_setup(k);
}

/** Starts the other CPUs. @mirrors kernel/smp.c:smp_init */
function* smp_init(k: Kernel): MaySleep<void> {
  for (const cpu of k.cpus.slice(1)) {
    yield* smpboot_create_threads(k, cpu.id);
    yield* k.rcu.rcutree_prepare_cpu(k, cpu.id);
    const idle = init_idle(k, cpu.id);
    idle.stack.push(start_secondary(k));
    k.powerOn(cpu, idle);
    while (!cpu_online(k, cpu.id)) if (pt(k, POINT_DELAY, "cpu_relax")) yield STEP;
    yield* smpboot_unpark_threads(k, cpu.id);
    yield* workqueue_online_cpu(k, cpu.id);
  }
  if (k.config.cpus > 1) pr_info(k, `smp: Brought up 1 node, ${k.config.cpus} CPUs`);
}

/** A CPU's first code: RCU hears of it before anybody can see that it is online. @mirrors arch/x86/kernel/smpboot.c:start_secondary */
function* start_secondary(k: Kernel): Coroutine {
  preempt_disable(k);
  yield* k.rcu.rcu_cpu_starting(k, k.cpu.id);
  cpumask_set_cpu(k.cpu.id, cpu_online_mask(k));
  tick_setup_sched_timer(k);
  local_irq_enable(k);
  yield* k.rcu.rcutree_online_cpu(k, k.cpu.id);
  yield* cpu_startup_entry(k);
}

/** Pid 1 may leave the boot CPU. @mirrors kernel/sched/core.c:sched_init_smp */
function* sched_init_smp(k: Kernel): MaySleep<void> {
  yield* set_cpus_allowed_ptr(k, current(k), cpu_possible_mask(k));
}

/** Longest boot, in virtual ns and in points. */
const BOOT_LIMIT_NS = 60e9;
const BOOT_LIMIT_POINTS = 100_000_000;

function powerOn(k: Kernel): void {
  const { parts } = k;
  instantiate(k, [...staticsFor(k.config), parts.statics ?? []]);
  k.vectors = vectors(k);
  k.ram.onBadAccess = (addr, size, write, phys) => {
    if (phys < 0 && k.config.kasan) check_memory_region(k, addr, size, write);
    if (phys < 0) page_fault_oops(k, addr, write);
    reportBadAccess(k, addr, size, write);
  };
  if (k.config.rcu === "tiny") {
    k.rcu = tinyRcu;
  } else if (k.config.rcu === "tree") {
    k.rcu = treeRcu(k);
  }
  k.kvfree = kvfreeOps(k.config);
  if (parts.rcu !== undefined) k.rcu = parts.rcu;
  if (parts.kvfree !== undefined) k.kvfree = { ...k.kvfree, ...parts.kvfree };
  const idle = sched_init(k);
  idle.stack.push(start_kernel(k));
  k.powerOn(k.cpus[0], idle);
  const reason = k.run(BOOT_LIMIT_NS, BOOT_LIMIT_POINTS);
  if (k.lastException !== null) throw k.lastException;
  const said = k.reports.flatMap((r) => r.lines).join("\n");
  assert(boot_done(k) && (reason === "idle" || reason === "limit"), `boot stopped: ${reason}\n${said}`);
}

/**
 * Boots a kernel to quiescence. `early` runs inside rcu_init(), where Linux has its early boot tests; `parts` stand in
 * for those of the configuration.
 *
 * @invented a machine is switched on
 */
export function bootKernel(
  config: Config,
  schedule: Schedule,
  early: ((k: Kernel) => Atomic<void>) | null = null,
  parts: KernelParts = {},
): Kernel {
  const k = new Kernel(config, schedule);
  k.rcu_early_boot_tests = early;
  k.parts = parts;
  powerOn(k);
  return k;
}

/** Boots the same machine again under another schedule, reusing its RAM. @invented see Machine.powerCycle() */
export function rebootKernel(k: Kernel, schedule: Schedule): void {
  k.powerCycle(schedule);
  powerOn(k);
}
