// SPDX-License-Identifier: GPL-2.0-only
/**
 * What the tests of workqueues share.
 *
 * @module
 */

import { assert } from "@std/assert";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { udelay } from "../../kernel/entry.ts";
import { tasklist } from "../../kernel/fork.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { kthread_bind, kthread_create } from "../../kernel/kthread.ts";
import { complete, completion, wait_for_completion } from "../../kernel/sched/completion.ts";
import { wake_up_process } from "../../kernel/sched/core.ts";
import {
  alloc_workqueue,
  delayed_work,
  INIT_DELAYED_WORK,
  INIT_WORK,
  type work_func_t,
  work_struct,
  workqueue_struct,
} from "../../kernel/workqueue.ts";

/** A work item that does `func`. */
export function newWork(k: Kernel, func: work_func_t): work_struct {
  const work = new work_struct();
  INIT_WORK(k, work, func);
  return work;
}

/** A delayed one. */
export function newDelayedWork(k: Kernel, func: work_func_t): delayed_work {
  const dwork = new delayed_work();
  INIT_DELAYED_WORK(k, dwork, func);
  return dwork;
}

/** alloc_workqueue() that succeeds. */
export function* newQueue(
  k: Kernel,
  name: string,
  flags: number,
  max_active = 0,
): MaySleep<workqueue_struct> {
  const wq = yield* alloc_workqueue(k, name, flags, max_active);
  assert(wq !== null);
  return wq;
}

/** Names of the kworkers, in order of birth. */
export function comms(k: Kernel): string[] {
  return [...tasklist(k)].map((p) => p.comm).filter((comm) => comm.startsWith("kworker"));
}

/** Runs `fn` on `cpu` and waits for it. */
export function* on(k: Kernel, cpu: number, fn: (k: Kernel) => MaySleep<void>): MaySleep<void> {
  const finished = new completion(`on/${cpu}`);
  const p = yield* kthread_create(k, function* (kernel) {
    yield* fn(kernel);
    complete(kernel, finished);
  }, `on/${cpu}`);
  assert(typeof p !== "number");
  yield* kthread_bind(k, p, cpu);
  wake_up_process(k, p);
  yield* wait_for_completion(k, finished);
}

/** A work function with a name. */
export function* delayed_item(k: Kernel): MaySleep<void> {
  yield* udelay(k, 1);
}
