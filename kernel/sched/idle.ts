// SPDX-License-Identifier: GPL-2.0-only
/**
 * The idle loop. Mirrors kernel/sched/idle.c (v5.7) with the default idle routine (sti; hlt), without a cpuidle driver.
 *
 * Invariant: between the last look at need_resched and the halt no interrupt comes in: enabling interrupts and halting
 * are one step, so a wake-up is never slept through. Left out: polling, offline CPUs, suspend.
 *
 * @module
 */

import { type Coroutine, HALT, STEP } from "../machine/effects.ts";
import { POINT_NAMED, pt } from "../machine/points.ts";
import type { Kernel } from "../kernel.ts";
import { local_irq_disable, local_irq_enable } from "../preempt.ts";
import { tick_nohz_idle_enter, tick_nohz_idle_exit, tick_nohz_idle_stop_tick } from "../time/tick-sched.ts";
import { need_resched, schedule_idle, set_preempt_need_resched } from "./core.ts";

/**
 * Halts this CPU until the next interrupt, unless there is something to run.
 *
 * Context: interrupts off at entry, on at return.
 * Points DT1 and DT2: between the last need_resched test and rcu_idle_enter(), and between that and the halt.
 *
 * @mirrors kernel/sched/idle.c:cpuidle_idle_call
 */
function* cpuidle_idle_call(k: Kernel): Coroutine {
  if (need_resched(k)) {
    local_irq_enable(k);
    return;
  }
  tick_nohz_idle_stop_tick(k);
  if (pt(k, POINT_NAMED, "DT1")) yield STEP;
  yield* k.rcu.rcu_idle_enter(k);
  if (pt(k, POINT_NAMED, "DT2")) yield STEP;
  local_irq_enable(k);
  if (!need_resched(k)) yield HALT;
  local_irq_disable(k);
  yield* k.rcu.rcu_idle_exit(k);
  local_irq_enable(k);
}

/**
 * Idles until there is something to run, and runs it.
 *
 * @mirrors kernel/sched/idle.c:do_idle
 */
export function* do_idle(k: Kernel): Coroutine {
  tick_nohz_idle_enter(k);
  while (!need_resched(k)) {
    local_irq_disable(k);
    yield* cpuidle_idle_call(k);
  }
  set_preempt_need_resched(k);
  tick_nohz_idle_exit(k);
  yield* schedule_idle(k);
}

/** What the idle task does, for ever. @mirrors kernel/sched/idle.c:cpu_startup_entry */
export function* cpu_startup_entry(k: Kernel): Coroutine {
  for (;;) yield* do_idle(k);
}
