// SPDX-License-Identifier: GPL-2.0-only
/**
 * Booted machines without RCU for tests of the kernel's core: every combination that matters, code on a given CPU, and
 * what came of it.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { POLICY_FINE, POLICY_TIME } from "../../kernel/machine/chooser.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import type { Config, PreemptChoice } from "../../kernel/config.ts";
import { cpumask_of } from "../../kernel/cpumask.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { kthread_create } from "../../kernel/kthread.ts";
import { complete, completion, wait_for_completion } from "../../kernel/sched/completion.ts";
import {
  current,
  sched_setscheduler_nocheck,
  set_cpus_allowed_ptr,
  wake_up_process,
} from "../../kernel/sched/core.ts";
import { SCHED_FIFO, type task_struct } from "../../kernel/sched/sched.ts";
import { boot, reboot, type RunLimits, runToEnd, type RunVerdict } from "../../mod.ts";

export type Code = (k: Kernel) => MaySleep<void>;

/** Machines by what they are built of: switching one on again costs less than a new one. */
const machines = new Map<string, Kernel>();

/** A machine without RCU that has just booted; it is the caller's until the next call. */
export function booted(wanted: Partial<Config> = {}): Kernel {
  const config = {
    rcu: "none",
    cpus: 1,
    memBytes: 64 * 2 ** 20,
    seed: 1,
    policy: POLICY_TIME,
    ...wanted,
  } as const;
  const { seed, policy, ...build } = config;
  const key = JSON.stringify(build);
  const known = machines.get(key);
  if (known === undefined) {
    const k = boot(config);
    machines.set(key, k);
    return k;
  }
  known.log.recording = true;
  reboot(known, { policy, seed, deviations: null });
  return known;
}

/** A combination; `name` goes into messages. */
export interface Where {
  readonly cpus: number;
  readonly preempt: PreemptChoice;
  readonly name: string;
}

/** Calls `check` with machines of 1, 2 and 4 CPUs (or what `cpus` says), both kinds of preemption, two policies and seeds. */
export function eachMachine(
  check: (k: Kernel, where: Where) => void,
  cpus: readonly number[] = [1, 2, 4],
): void {
  for (const n of cpus) {
    for (const preempt of ["none", "full"] as const) {
      for (const policy of [POLICY_TIME, POLICY_FINE]) {
        for (const seed of [1, 2]) {
          const name = `cpus=${n} preempt=${preempt} policy=${policy.name} seed=${seed}`;
          check(booted({ cpus: n, preempt, policy, seed }), { cpus: n, preempt, name });
        }
      }
    }
  }
}

/** Text of all reports. */
export function reportsOf(k: Kernel): string {
  return k.reports.map((r) => r.lines.join("\n")).join("\n");
}

/** Runs `main` to its end on CPU 0 and requires that all went well. */
export function runOn0(k: Kernel, main: Code, where = "", limits?: RunLimits): RunVerdict {
  const verdict = runToEnd(k, "main", (k) => on0(k, main), limits);
  assertEquals([verdict.ending, reportsOf(k)], ["completed", ""], where);
  return verdict;
}

function* on0(k: Kernel, main: Code): MaySleep<void> {
  yield* pin(k, 0);
  yield* main(k);
}

/** Binds the current task to a CPU. */
export function* pin(k: Kernel, cpu: number): MaySleep<void> {
  assertEquals(yield* set_cpus_allowed_ptr(k, current(k), cpumask_of(k, cpu)), 0);
  assertEquals(k.cpu.id, cpu);
}

/** What a thread should be. */
export interface ThreadWish {
  /** Bound to this CPU. */
  readonly cpu?: number;
  /** SCHED_FIFO of this priority. */
  readonly fifo?: number;
  /** Weight of a fair task; 1024 is nice 0. */
  readonly weight?: number;
}

/** Makes a thread, not started yet. */
export function* newThread(
  k: Kernel,
  comm: string,
  main: Code,
  wish: ThreadWish = {},
): MaySleep<task_struct> {
  const p = yield* kthread_create(k, main, comm);
  assert(typeof p !== "number");
  if (wish.cpu !== undefined) {
    assertEquals(yield* set_cpus_allowed_ptr(k, p, cpumask_of(k, wish.cpu)), 0);
  }
  if (wish.fifo !== undefined) assertEquals(sched_setscheduler_nocheck(k, p, SCHED_FIFO, wish.fifo), 0);
  if (wish.weight !== undefined) p.se.weight = wish.weight;
  return p;
}

/** Makes a thread and wakes it. */
export function* startThread(
  k: Kernel,
  comm: string,
  main: Code,
  wish: ThreadWish = {},
): MaySleep<task_struct> {
  const p = yield* newThread(k, comm, main, wish);
  wake_up_process(k, p);
  return p;
}

/** Threads that somebody waits for. */
export class Crowd {
  private readonly ended = new completion("crowd");
  private count = 0;

  /** Makes a thread and wakes it. */
  *start(k: Kernel, comm: string, main: Code, wish: ThreadWish = {}): MaySleep<task_struct> {
    const p = yield* this.make(k, comm, main, wish);
    wake_up_process(k, p);
    return p;
  }

  /** Makes a thread, not started yet. */
  make(k: Kernel, comm: string, main: Code, wish: ThreadWish = {}): MaySleep<task_struct> {
    this.count++;
    const { ended } = this;
    return newThread(k, comm, function* (k): MaySleep<void> {
      yield* main(k);
      complete(k, ended);
    }, wish);
  }

  /** Waits until all of them have ended. */
  *wait(k: Kernel): MaySleep<void> {
    for (; this.count > 0; this.count--) yield* wait_for_completion(k, this.ended);
  }
}
