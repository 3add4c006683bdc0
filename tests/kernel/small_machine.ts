// SPDX-License-Identifier: GPL-2.0-only
/**
 * A machine without memory management and RCU, for tests of threads, timers and workqueues: what init/main.ts does, less
 * what those layers need. Structures that would come from kzalloc() are pieces of .data.
 *
 * @module
 */

import { assert } from "@std/assert";
import { POLICY_FINE, POLICY_TIME } from "../../kernel/machine/chooser.ts";
import { type Coroutine, doneVoid, type MaySleep } from "../../kernel/machine/effects.ts";
import type { EventRecord } from "../../kernel/machine/log.ts";
import { checkConfig, type Config } from "../../kernel/config.ts";
import { cpu_online_mask, cpumask_set_cpu } from "../../kernel/cpumask.ts";
import { vectors } from "../../kernel/entry.ts";
import { kernel_thread } from "../../kernel/fork.ts";
import { kallsyms_lookup } from "../../kernel/kallsyms.ts";
import { Kernel } from "../../kernel/kernel.ts";
import { kthreadd } from "../../kernel/kthread.ts";
import { local_irq_disable, local_irq_enable, preempt_disable } from "../../kernel/preempt.ts";
import { schedule, schedule_idle, set_current_state } from "../../kernel/sched/core.ts";
import { cpu_startup_entry } from "../../kernel/sched/idle.ts";
import { idle_sched_class } from "../../kernel/sched/rt.ts";
import { cpu_rq, PF_IDLE, task_struct, TASK_UNINTERRUPTIBLE } from "../../kernel/sched/sched.ts";
import { spawn_ksoftirqd } from "../../kernel/softirq.ts";
import { instantiate } from "../../kernel/static.ts";
import { SYSTEM_RUNNING, SYSTEM_SCHEDULING, system_state } from "../../kernel/system_state.ts";
import { tick_setup_sched_timer } from "../../kernel/time/tick-sched.ts";
import { init_timers, msleep } from "../../kernel/time/timer.ts";
import { traceEvents } from "../../kernel/trace/table.ts";
import { workqueue_init, workqueue_init_early, workqueue_online_cpu } from "../../kernel/workqueue.ts";
import { statics as bug } from "../../kernel/bug.ts";
import { statics as lockdep } from "../../kernel/locking/lockdep.ts";
import { statics as lockdep_rcu } from "../../kernel/locking/lockdep_rcu.ts";
import { statics as cpumask } from "../../kernel/cpumask.ts";
import { statics as entry } from "../../kernel/entry.ts";
import { statics as fork } from "../../kernel/fork.ts";
import { statics as kallsyms } from "../../kernel/kallsyms.ts";
import { statics as kthread } from "../../kernel/kthread.ts";
import { statics as sched } from "../../kernel/sched/sched.ts";
import { statics as smp } from "../../kernel/smp.ts";
import { statics as smpboot } from "../../kernel/smpboot.ts";
import { statics as softirq } from "../../kernel/softirq.ts";
import { statics as system } from "../../kernel/system_state.ts";
import { statics as hrtimer } from "../../kernel/time/hrtimer.ts";
import { statics as jiffies } from "../../kernel/time/jiffies.ts";
import { statics as tick_sched } from "../../kernel/time/tick-sched.ts";
import { statics as timer } from "../../kernel/time/timer.ts";
import { statics as workqueue } from "../../kernel/workqueue.ts";

/** Every file-scope variable of kernel/. */
export const kernelStatics = [
  system,
  kallsyms,
  bug,
  lockdep,
  lockdep_rcu,
  cpumask,
  jiffies,
  sched,
  fork,
  entry,
  smp,
  smpboot,
  softirq,
  timer,
  hrtimer,
  tick_sched,
  kthread,
  workqueue,
];

/** Longest run, in virtual ns. */
const LIMIT_NS = 3600e9;

function makeIdle(k: Kernel, cpu: number): task_struct {
  const comm = `swapper/${cpu}`;
  const idle = new task_struct(0, comm, k.log.intern(comm), idle_sched_class);
  idle.flags |= PF_IDLE;
  idle.cpu = cpu;
  idle.on_cpu = true;
  cpu_rq(k, cpu).idle = idle;
  cpu_rq(k, cpu).curr = idle;
  return idle;
}

type Code = (k: Kernel) => MaySleep<void>;

function* bootCpu(k: Kernel, early: Code, init: Code): Coroutine {
  local_irq_disable(k);
  cpumask_set_cpu(0, cpu_online_mask(k));
  preempt_disable(k);
  yield* workqueue_init_early(k);
  yield* early(k);
  init_timers(k);
  tick_setup_sched_timer(k);
  local_irq_enable(k);
  yield* kernel_thread(k, init, "init");
  yield* kernel_thread(k, kthreadd, "kthreadd");
  system_state.set(k, SYSTEM_SCHEDULING);
  yield* schedule_idle(k);
  yield* cpu_startup_entry(k);
}

function* secondary(k: Kernel): Coroutine {
  preempt_disable(k);
  tick_setup_sched_timer(k);
  local_irq_enable(k);
  yield* cpu_startup_entry(k);
}

/** What a run came to. */
export interface SmallRun {
  readonly k: Kernel;
  /** Whether `main` returned. */
  readonly finished: boolean;
}

/** Sees every point that is passed after boot: its kind, its object's name. */
export type PointWatcher = (k: Kernel, kind: number, name: string) => void;

/** A new machine that calls `watch` at every point, before others can come in. */
function watchedMachine(config: Config, watch: PointWatcher): Kernel {
  const schedule = { policy: config.policy, seed: config.seed, deviations: [], recordSites: true };
  const k = new Kernel(config, schedule);
  const slow = k.slow.bind(k);
  k.slow = (kind, object) => {
    watch(k, kind, typeof object === "string" ? object : object.name);
    return slow(kind, object);
  };
  return k;
}

/** Machines by what they are built of: switching one on again costs less than a new one. */
const machines = new Map<string, Kernel>();

function machine(config: Config): Kernel {
  const schedule = { policy: config.policy, seed: config.seed, deviations: null };
  const key = `${config.cpus} ${config.HZ} ${config.preempt} ${config.debug}`;
  const known = machines.get(key);
  if (known !== undefined) {
    known.powerCycle(schedule);
    return known;
  }
  const k = new Kernel(config, schedule);
  machines.set(key, k);
  return k;
}

/**
 * Boots, runs `main` as pid 1 and lets the machine come to rest. The machine is the caller's until the next run.
 *
 * `early` runs with interrupts off before there are threads; `watch` sees the points.
 */
export function runSmall(
  wanted: Partial<Config>,
  main: Code,
  early: Code = () => doneVoid(),
  watch?: PointWatcher,
): SmallRun {
  const config = checkConfig({ rcu: "none", memBytes: 8 * 2 ** 20, ...wanted });
  const k = watch === undefined ? machine(config) : watchedMachine(config, watch);
  instantiate(k, kernelStatics);
  k.vectors = vectors(k);
  let finished = false;
  function* init(): MaySleep<void> {
    yield* workqueue_init(k);
    for (const cpu of k.cpus.slice(1)) {
      const idle = makeIdle(k, cpu.id);
      idle.stack.push(secondary(k));
      k.powerOn(cpu, idle);
      cpumask_set_cpu(cpu.id, cpu_online_mask(k));
      yield* workqueue_online_cpu(k, cpu.id);
    }
    yield* spawn_ksoftirqd(k);
    system_state.set(k, SYSTEM_RUNNING);
    k.startDeviations();
    yield* main(k);
    finished = true;
    for (;;) {
      set_current_state(k, TASK_UNINTERRUPTIBLE);
      yield* schedule(k);
    }
  }
  const idle = makeIdle(k, 0);
  idle.stack.push(bootCpu(k, early, init));
  k.powerOn(k.cpus[0], idle);
  k.run(LIMIT_NS);
  if (k.lastException !== null) throw k.lastException;
  return { k, finished };
}

/** Runs `main` on many machines: 1, 2 and 4 CPUs, with and without preemption, several seeds of two policies. */
export function onMachines(
  main: (k: Kernel, where: string) => MaySleep<void>,
  check: (k: Kernel, where: string) => void = () => {},
): void {
  for (const cpus of [1, 2, 4]) {
    for (const preempt of ["none", "full"] as const) {
      for (const policy of [POLICY_TIME, POLICY_FINE]) {
        for (let seed = 1; seed <= 2; seed++) {
          const where = `cpus=${cpus} preempt=${preempt} policy=${policy.name} seed=${seed}`;
          const { k, finished } = runSmall({ cpus, preempt, policy, seed }, (kernel) => main(kernel, where));
          const reports = k.reports.map((r) => r.lines.join("\n")).join("\n");
          assert(reports === "", `${where}: ${reports}`);
          assert(finished, `${where}: it did not finish`);
          check(k, where);
        }
      }
    }
  }
}

/** Waits until `p` is off its runqueue and waits for something that begins with `what`. */
export function* untilWaits(k: Kernel, p: task_struct | number, what: string): MaySleep<void> {
  assert(typeof p !== "number", "no thread");
  while (p.on_rq || !p.waitingFor.startsWith(what)) yield* msleep(k, 1);
}

/** The text of every record of the event called `name`. */
export function linesOf(k: Kernel, name: string): string[] {
  const event = traceEvents.find((e) => e.name === name);
  assert(event !== undefined, `no event ${name}`);
  const view = {
    text: (id: number) => k.log.text(id),
    symbol: (addr: number) => kallsyms_lookup(k, addr),
    comm: (pid: number) => String(pid),
    site: () => "",
  };
  return recordsOf(k, name).map((r) => event.print(view, r));
}

/** Every record of the event called `name`. */
export function recordsOf(k: Kernel, name: string): EventRecord[] {
  const id = traceEvents.find((e) => e.name === name)?.id;
  return [...k.log.records()].filter((r) => r.kind === id);
}
