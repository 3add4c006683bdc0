// SPDX-License-Identifier: GPL-2.0-only
/**
 * What tests of parts of the kernel share: a kernel without boot, and a way to run generators to their end by hand.
 *
 * Without the engine every point is taken, so what runs here is the path with all yields; one thing runs at a time.
 *
 * @module
 */

import { POLICY_TIME } from "../kernel/machine/chooser.ts";
import { SLEEP } from "../kernel/machine/effects.ts";
import { checkConfig, type Config } from "../kernel/config.ts";
import { cpu_online_mask, cpumask_set_cpu } from "../kernel/cpumask.ts";
import { Kernel } from "../kernel/kernel.ts";
import { CONSOLE_EVENT } from "../kernel/trace/events/printk.ts";
// core.ts before fair.ts: it reads the scheduling classes while it is evaluated.
import "../kernel/sched/core.ts";
import { fair_sched_class } from "../kernel/sched/fair.ts";
import { task_struct } from "../kernel/sched/sched.ts";
import { instantiate, type StaticKey } from "../kernel/static.ts";
import * as bug from "../kernel/bug.ts";
import * as cpumask from "../kernel/cpumask.ts";
import * as debugobjects from "../kernel/debugobjects.ts";
import * as lockdep from "../kernel/locking/lockdep.ts";
import * as lockdep_rcu from "../kernel/locking/lockdep_rcu.ts";
import * as kallsyms from "../kernel/kallsyms.ts";
import * as jiffies from "../kernel/time/jiffies.ts";
import * as sched from "../kernel/sched/sched.ts";
import * as system_state from "../kernel/system_state.ts";

/** A kernel that was never booted: statics exist, all CPUs are online, each runs a task named `test/N`. */
export function bareKernel(wanted: Partial<Config>, lists: readonly (readonly StaticKey[])[]): Kernel {
  const config = checkConfig({ rcu: "none", cpus: 1, memBytes: 64 * 2 ** 20, ...wanted });
  const k = new Kernel(config, { policy: POLICY_TIME, seed: config.seed, deviations: null });
  instantiate(k, [
    bug.statics,
    lockdep.statics,
    lockdep_rcu.statics,
    debugobjects.statics,
    cpumask.statics,
    kallsyms.statics,
    jiffies.statics,
    sched.statics,
    system_state.statics,
    ...lists,
  ]);
  for (const cpu of k.cpus) {
    const comm = `test/${cpu.id}`;
    cpu.current = new task_struct(100 + cpu.id, comm, k.log.intern(comm), fair_sched_class);
    cpu.irqsOn = true;
    cpu.online = true;
    cpumask_set_cpu(cpu.id, cpu_online_mask(k));
  }
  return k;
}

/** Runs a generator to its end and returns its value. Yields are passed over; SLEEP is refused unless `maySleep`. */
export function run<T>(generator: Generator<unknown, T, void>, maySleep = false): T {
  for (;;) {
    const step = generator.next();
    if (step.done === true) return step.value;
    if (step.value === SLEEP && !maySleep) throw new Error("it slept");
  }
}

/** All lines of the kernel log. */
export function dmesg(k: Kernel): string[] {
  const lines: string[] = [];
  for (const r of k.log.records()) if (r.kind === CONSOLE_EVENT) lines.push(k.log.text(r.args[0]));
  return lines;
}
