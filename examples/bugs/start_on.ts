// SPDX-License-Identifier: GPL-2.0-only
/** A thread on a CPU of its own, and something to wait for its end by. */

import {
  complete,
  completion,
  type Kernel,
  kthread_bind,
  kthread_create,
  type MaySleep,
  wake_up_process,
} from "../../mod.ts";

/** Starts `main` in thread `comm` on `cpu`; what it returns is completed when the thread is over. */
export function* startOn(
  k: Kernel,
  cpu: number,
  comm: string,
  main: (k: Kernel) => MaySleep<void>,
): MaySleep<completion> {
  const done = new completion();
  const p = yield* kthread_create(k, function* (k: Kernel): MaySleep<void> {
    yield* main(k);
    complete(k, done);
  }, comm);
  if (typeof p === "number") {
    complete(k, done); // no memory for a thread: nothing to wait for
    return done;
  }
  yield* kthread_bind(k, p, cpu);
  wake_up_process(k, p);
  return done;
}
