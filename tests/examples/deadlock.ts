// SPDX-License-Identifier: GPL-2.0-only
/**
 * A user's program that takes two mutexes in both orders.
 *
 * @module
 */

import { type Kernel, kthread_run, type MaySleep, msleep, mutex, mutex_lock } from "quiesce";

function* takeBoth(k: Kernel, first: mutex, second: mutex): MaySleep<void> {
  yield* mutex_lock(k, first);
  yield* msleep(k, 10);
  yield* mutex_lock(k, second);
}

export default function* (k: Kernel): MaySleep<void> {
  const a = new mutex("a");
  const b = new mutex("b");
  yield* kthread_run(k, (k) => takeBoth(k, a, b), "one");
  yield* kthread_run(k, (k) => takeBoth(k, b, a), "two");
}
