// SPDX-License-Identifier: GPL-2.0-only
/**
 * Ways into the kernel: interrupts, preemption at a point, and returning from user mode. Stands in for
 * arch/x86/entry/entry_64.S, arch/x86/kernel/smp.c and apic.c (v5.7).
 *
 * Each is a generator on top of the interrupted one. One vector is handled per entry, lowest bit first.
 *
 * Invariant: what an interrupt interrupts goes on exactly as it was, on whatever CPU it is by then. Every reschedule
 * interrupt goes through irq_enter() and irq_exit(), as on a kernel that traces them.
 *
 * @module
 */

import { IRQ_NS } from "./machine/cost.ts";
import {
  type Cpu,
  VECTOR_CALL_FUNCTION,
  VECTOR_DEVICE,
  VECTOR_IRQ_WORK,
  VECTOR_RESCHEDULE,
  VECTOR_TIMER,
} from "./machine/cpu.ts";
import { type Atomic, type Coroutine, HALT, type MaySleep, STEP } from "./machine/effects.ts";
import type { Vectors } from "./machine/machine.ts";
import { POINT_DELAY, POINT_IRQ, pt } from "./machine/points.ts";
import { KernelOops, panicked, WARN_ONCE } from "./bug.ts";
import { oops_end } from "./exit.ts";
import type { Kernel } from "./kernel.ts";
import { lockdep_hardirq_enter, lockdep_hardirq_threaded, lockdep_sys_exit } from "./locking/lockdep.ts";
import { irqs_disabled, local_irq_disable, local_irq_enable } from "./preempt.ts";
import {
  current,
  might_sleep,
  need_resched,
  preempt_schedule,
  preempt_schedule_irq,
  schedule,
} from "./sched/core.ts";
import { is_idle_task } from "./sched/sched.ts";
import { generic_smp_call_function_single_interrupt } from "./smp.ts";
import { irq_enter, irq_exit } from "./softirq.ts";
import { KERNEL_STATIC, type StaticKey } from "./static.ts";
import { hrtimer_interrupt } from "./time/hrtimer.ts";
import { tick_sched_timer } from "./time/tick-sched.ts";
import {
  trace_call_function_single_entry,
  trace_call_function_single_exit,
  trace_local_timer_entry,
  trace_local_timer_exit,
  trace_reschedule_entry,
  trace_reschedule_exit,
} from "./trace/events/irq.ts";

/** Handler of the device vector; examples and tests install one. */
export const deviceHandler: ReturnType<typeof KERNEL_STATIC<((k: Kernel) => Atomic<void>) | null>> =
  KERNEL_STATIC<
    ((k: Kernel) => Atomic<void>) | null
  >("device_handler", () => null);

export const statics: readonly StaticKey[] = [deviceHandler];

function* handleVector(k: Kernel, vector: number, user: boolean): Atomic<void> {
  switch (vector) {
    case VECTOR_TIMER:
      trace_local_timer_entry(k);
      yield* hrtimer_interrupt(k, tick_sched_timer, user);
      trace_local_timer_exit(k);
      break;
    case VECTOR_RESCHEDULE:
      trace_reschedule_entry(k);
      trace_reschedule_exit(k);
      break;
    case VECTOR_CALL_FUNCTION:
      trace_call_function_single_entry(k);
      yield* generic_smp_call_function_single_interrupt(k);
      trace_call_function_single_exit(k);
      break;
    case VECTOR_DEVICE: {
      const handler = deviceHandler(k);
      if (handler !== null) yield* handle_irq_event_percpu(k, handler);
      break;
    }
    case VECTOR_IRQ_WORK:
      break;
  }
}

/** Calls the device's handler, which must leave interrupts off. @mirrors kernel/irq/handle.c:handle_irq_event_percpu */
function* handle_irq_event_percpu(k: Kernel, handler: (k: Kernel) => Atomic<void>): Atomic<void> {
  lockdep_hardirq_threaded(k);
  yield* handler(k);
  if (irqs_disabled(k)) return;
  WARN_ONCE(k, true, `irq 0 handler ${handler.name} enabled interrupts`, "irq");
  local_irq_disable(k);
}

/** One interrupt, from entry to return; what it interrupted resumes afterwards. */
function* interrupt(k: Kernel): Coroutine {
  const cpu = k.cpu;
  const user = cpu.inUser;
  const spinning = cpu.blockedOn;
  const vector = cpu.pending & -cpu.pending;
  cpu.pending &= ~vector;
  cpu.irqsOn = false;
  cpu.inUser = false;
  cpu.blockedOn = null;
  k.charge(IRQ_NS);
  yield* irq_enter(k);
  lockdep_hardirq_enter(k);
  if (pt(k, POINT_IRQ, "irq")) yield STEP;
  yield* handleVector(k, vector, user);
  yield* irq_exit(k);
  if (need_resched(k)) yield* irqReschedule(k, user);
  // The interrupted task may have moved to another CPU by now.
  k.cpu.inUser = user;
  k.cpu.blockedOn = spinning;
  k.cpu.irqsOn = true;
}

/** What need_resched means on the way out: always a switch before user mode, in the kernel only with preemption. */
function* irqReschedule(k: Kernel, user: boolean): MaySleep<void> {
  if (user) {
    yield* k.rcu.rcu_user_exit(k);
    local_irq_enable(k);
    yield* schedule(k);
    local_irq_disable(k);
    yield* k.rcu.rcu_user_enter(k);
  } else if (wantsPreempt(k, k.cpu)) yield* preempt_schedule_irq(k);
}

function wantsPreempt(k: Kernel, cpu: Cpu): boolean {
  return k.config.preempt === "full" && cpu.preempt_count === 0 && !is_idle_task(current(k));
}

/** In user mode there is no preempt_enable() to come: only an interrupt can bring a switch. */
function preemptsAtPoint(k: Kernel, cpu: Cpu): boolean {
  return cpu.irqsOn && !cpu.inUser && wantsPreempt(k, cpu);
}

/** The vectors that the machine calls. @invented the interrupt descriptor table */
export function vectors(k: Kernel): Vectors {
  return {
    interrupt: () => interrupt(k),
    preempt: () => preempt_schedule(k),
    wantsPreempt: (cpu) => preemptsAtPoint(k, cpu),
    fault: (cpu, error) => {
      if (panicked(k) !== null) return stopped();
      try {
        return oops_end(k, cpu, error);
      } catch (again) {
        if (again instanceof KernelOops) return stopped();
        throw again;
      }
    },
  };
}

/** What a CPU does after panic(): nothing, for ever. */
function* stopped(): Coroutine {
  for (;;) yield HALT;
}

/**
 * Spends `ns` in user mode: interruptible, preemptible in every configuration, and a quiescent state for RCU.
 *
 * Context: process context, nothing held. Units: virtual nanoseconds.
 *
 * @invented stands for returning to user space
 */
export function* user_mode(k: Kernel, ns: number): MaySleep<void> {
  might_sleep(k);
  while (need_resched(k)) yield* schedule(k);
  if (k.config.debug) lockdep_sys_exit(k);
  yield* k.rcu.rcu_user_enter(k);
  k.cpu.inUser = true;
  yield* spend(k, ns, "user");
  k.cpu.inUser = false;
  // A remote wake-up whose interrupt is still on its way: from here on preemption may come in.
  if (need_resched(k)) k.kick();
  yield* k.rcu.rcu_user_exit(k);
}

/**
 * Lets `ns` of virtual time pass on this CPU, then passes one point. It stops where an interrupt is due or the machine
 * wants to look up; how often that is changes neither the time nor the number of points.
 */
function* spend(k: Kernel, ns: number, what: string): Atomic<void> {
  for (let left = ns; left > 0;) {
    const span = Math.min(left, k.quietSpan());
    k.charge(span);
    left -= span;
    if (left > 0) yield STEP;
  }
  if (pt(k, POINT_DELAY, what)) yield STEP;
}

/**
 * Busy-waits.
 *
 * Units: microseconds.
 *
 * @mirrors include/asm-generic/delay.h:udelay
 */
export function udelay(k: Kernel, usecs: number): Atomic<void> {
  return spend(k, usecs * 1000, "udelay");
}

/** Busy-waits nanoseconds. @mirrors include/linux/delay.h:ndelay */
export function ndelay(k: Kernel, ns: number): Atomic<void> {
  return spend(k, ns, "udelay");
}
