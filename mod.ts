// SPDX-License-Identifier: GPL-2.0-only
/**
 * Quiesce: an emulated SMP kernel you can pause, rewind, explore and share.
 *
 * The shell (camelCase) boots machines and runs scenarios on them; the kernel (snake_case, Linux's own names) is what
 * those scenarios are written in. Kernel functions are generators: call them with `yield*` from a generator.
 *
 * ```ts
 * import { boot, GFP_KERNEL, kmalloc, kfree, type Kernel, type MaySleep, runToEnd } from "quiesce";
 *
 * const k = boot({ rcu: "tiny", seed: 7 });
 * const run = runToEnd(k, "hello", function* (k: Kernel): MaySleep<void> {
 *   const p = yield* kmalloc(k, 100, GFP_KERNEL);
 *   yield* kfree(k, p);
 * });
 * console.assert(run.ending === "completed" && run.reports === 0);
 * ```
 *
 * @module
 */

// The shell
export { boot, bootWith, memorySince, reboot, runToEnd } from "./explore/shell.ts";
export { bulkText, Tally, type TallyCounts } from "./explore/tally.ts";
export { DEFAULT_LIMITS, type Ending, Run, type RunLimits, type RunVerdict } from "./explore/run.ts";
export {
  checkNeeds,
  checkOptions,
  OptionError,
  type OptionValues,
  type Scenario,
  type ScenarioOption,
} from "./explore/scenario.ts";
export {
  decodeToken,
  encodeToken,
  scheduleOf,
  type TokenContent,
  TokenError,
  type TokenRun,
} from "./explore/token.ts";
export { checkConfig, type Config, ConfigError, type Level, levelAtLeast, LEVELS } from "./kernel/config.ts";
export {
  type Deviation,
  POLICIES,
  type Policy,
  POLICY_FINE,
  POLICY_RUN_ON,
  POLICY_TIME,
  type Schedule,
} from "./kernel/machine/chooser.ts";
export {
  type Exploration,
  explore,
  type ExploreOptions,
  exploring,
  type Plan,
} from "./explore/search/explore.ts";
export { type Execution, Executor, type Subject } from "./explore/search/executor.ts";
export { type Failure, type Judge, judgeEnding, judgeMemory, judgeRun } from "./explore/search/judge.ts";
export { claimName, explorationLines } from "./explore/search/lines.ts";
export { type Minimised, minimising } from "./explore/search/minimise.ts";
export { type PointFilter } from "./explore/search/points.ts";
export { type Budget, type Claim, DEFAULT_BUDGET } from "./explore/search/search.ts";
export { type NamedStall, stallText } from "./explore/search/stalls.ts";
export type { KernelParts, KvfreeLevelOps, RcuOps } from "./kernel/hooks.ts";
export { type KernelReport } from "./kernel/kernel.ts";
export { type LiveObject, liveObjects, type MemoryVerdict, memoryVerdict } from "./mm/live.ts";
export {
  addFailRule,
  clearFailRules,
  type FailRule,
  failRuleText,
  listFailRules,
} from "./kernel/fault_inject.ts";
export { formatAddr, parseAddr } from "./kernel/machine/addr.ts";

// The language of kernel code
export { type Atomic, type MaySleep } from "./kernel/machine/effects.ts";
export { type Pfn, type PhysAddr, type Ptr, type VirtAddr } from "./kernel/machine/brand.ts";
export { NULL, PAGE_SIZE } from "./kernel/machine/addr.ts";
export {
  array,
  type ArrayView,
  container_of,
  embed,
  type Field,
  type FieldType,
  int,
  type Layout,
  ptr,
  struct,
  u16,
  u32,
  u8,
  ulong,
  type ViewOf,
} from "./kernel/machine/struct.ts";
export { Kernel } from "./kernel/kernel.ts";

// The kernel
export { READ_ONCE, smp_load_acquire, smp_store_release, WRITE_ONCE } from "./kernel/compiler.ts";
export { BUG_ON, WARN_ON, WARN_ON_ONCE } from "./kernel/bug.ts";
export { pr_info, printk } from "./kernel/printk.ts";
export { trace_mark } from "./kernel/trace/events/quiesce.ts";
export {
  __GFP_COMP,
  __GFP_NORETRY,
  __GFP_NOWARN,
  __GFP_ZERO,
  type Gfp,
  gfp,
  GFP_ATOMIC,
  GFP_KERNEL,
  GFP_NOWAIT,
} from "./kernel/gfp.ts";
export { local_irq_restore, local_irq_save, preempt_disable, preempt_enable } from "./kernel/preempt.ts";
export { local_bh_disable, local_bh_enable } from "./kernel/softirq.ts";
export {
  raw_spinlock_t,
  spin_lock,
  spin_lock_irqsave,
  spin_unlock,
  spin_unlock_irqrestore,
  spinlock_t,
} from "./kernel/locking/spinlock.ts";
export { mutex, mutex_lock, mutex_trylock, mutex_unlock } from "./kernel/locking/mutex.ts";
export { complete, completion, wait_for_completion } from "./kernel/sched/completion.ts";
export { cond_resched, current, might_sleep, schedule, wake_up_process } from "./kernel/sched/core.ts";
export type { task_struct } from "./kernel/sched/sched.ts";
export {
  kthread_bind,
  kthread_create,
  kthread_run,
  kthread_should_stop,
  kthread_stop,
} from "./kernel/kthread.ts";
export {
  msleep,
  schedule_timeout_interruptible,
  schedule_timeout_uninterruptible,
} from "./kernel/time/timer.ts";
export { jiffies } from "./kernel/time/jiffies.ts";
export {
  CLOCK_MONOTONIC,
  hrtimer,
  hrtimer_active,
  hrtimer_cancel,
  hrtimer_forward,
  hrtimer_forward_now,
  hrtimer_init,
  HRTIMER_MODE_ABS,
  HRTIMER_MODE_ABS_PINNED,
  HRTIMER_MODE_REL,
  HRTIMER_MODE_REL_PINNED,
  HRTIMER_NORESTART,
  HRTIMER_RESTART,
  type hrtimer_restart,
  hrtimer_start,
  hrtimer_try_to_cancel,
  type ktime_t,
} from "./kernel/time/hrtimer.ts";
export { udelay, user_mode } from "./kernel/entry.ts";
export { delete_module, load_module, type ModuleImage } from "./kernel/module.ts";
export { __get_free_page, alloc_pages, free_page } from "./mm/page_alloc.ts";
export { drop_slab } from "./mm/vmscan.ts";
export { kfree, kfree_bulk, kmalloc, kzalloc } from "./mm/slub.ts";
export { vfree, vmalloc, vzalloc } from "./mm/vmalloc.ts";
export { kmemleak_ignore, kmemleak_not_leak, kmemleak_seq_show, kmemleak_write } from "./mm/kmemleak.ts";
export { kvfree, kvmalloc, kvzalloc } from "./mm/util.ts";
export {
  rcu_gp_oldstate,
  rcu_head,
  same_state_synchronize_rcu,
  same_state_synchronize_rcu_full,
} from "./rcu/rcu.ts";
export { type Headless, type KvfreeApi, kvfreeApi, type WithHead } from "./rcu/levels/api.ts";
export { KVFREE_INTERFACES, type KvfreeInterface, offeredAt, whereOffered } from "./rcu/levels/interfaces.ts";
export {
  call_rcu,
  cond_synchronize_rcu,
  cond_synchronize_rcu_full,
  get_completed_synchronize_rcu,
  get_completed_synchronize_rcu_full,
  get_state_synchronize_rcu,
  get_state_synchronize_rcu_full,
  kfree_rcu,
  kfree_rcu_mightsleep,
  kvfree_rcu,
  kvfree_rcu_barrier,
  kvfree_rcu_mightsleep,
  poll_state_synchronize_rcu,
  poll_state_synchronize_rcu_full,
  rcu_access_pointer,
  rcu_assign_pointer,
  rcu_barrier,
  rcu_dereference,
  rcu_dereference_protected,
  RCU_INIT_POINTER,
  rcu_read_lock,
  rcu_read_unlock,
  rcu_replace_pointer,
  start_poll_synchronize_rcu,
  start_poll_synchronize_rcu_full,
  synchronize_rcu,
} from "./rcu/rcupdate.ts";
