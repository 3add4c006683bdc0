// SPDX-License-Identifier: GPL-2.0-only
/**
 * mutex.ts on running machines: exclusion, order, handing over, and reports.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { MaySleep } from "../../../kernel/machine/effects.ts";
import { udelay } from "../../../kernel/entry.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { kthread_run } from "../../../kernel/kthread.ts";
import {
  __mutex_init,
  mutex,
  mutex_is_locked,
  mutex_lock,
  mutex_trylock,
  mutex_unlock,
} from "../../../kernel/locking/mutex.ts";
import { POINT_LOCK } from "../../../kernel/machine/points.ts";
import { preempt_disable, preempt_enable } from "../../../kernel/preempt.ts";
import { complete, completion, wait_for_completion } from "../../../kernel/sched/completion.ts";
import { cond_resched, current } from "../../../kernel/sched/core.ts";
import { msleep } from "../../../kernel/time/timer.ts";
import { onMachines, runSmall, untilWaits } from "../small_machine.ts";

Deno.test("mutex_lock() lets one task in at a time, whether it sleeps or spins inside [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const lock = new mutex("exclusive");
    const finished = new completion("finished");
    let inside = 0;
    let entries = 0;
    function* worker(kernel: Kernel, n: number): MaySleep<void> {
      for (let i = 0; i < 8; i++) {
        yield* mutex_lock(kernel, lock);
        assertEquals([++inside, lock.owner], [1, current(kernel)], where);
        entries++;
        if ((i + n) % 3 === 0) yield* msleep(kernel, 1);
        else yield* udelay(kernel, 3);
        assertEquals(inside--, 1, where);
        mutex_unlock(kernel, lock);
        yield* cond_resched(kernel);
      }
      complete(kernel, finished);
    }
    for (let n = 0; n < 5; n++) yield* kthread_run(k, (kernel) => worker(kernel, n), `worker/${n}`);
    for (let n = 0; n < 5; n++) yield* wait_for_completion(k, finished);
    assertEquals([entries, mutex_is_locked(lock), lock.flags], [40, false, 0], where);
  });
});

Deno.test("mutex_lock() serves waiters in order of arrival [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const lock = new mutex("fifo");
    const order: number[] = [];
    yield* mutex_lock(k, lock);
    for (let n = 0; n < 5; n++) {
      const p = yield* kthread_run(k, function* (kernel) {
        yield* mutex_lock(kernel, lock);
        order.push(n);
        mutex_unlock(kernel, lock);
      }, `waiter/${n}`);
      yield* untilWaits(k, p, "mutex fifo");
    }
    mutex_unlock(k, lock);
    while (order.length < 5) yield* msleep(k, 1);
    assertEquals(order, [0, 1, 2, 3, 4], where);
  });
});

Deno.test("a waiter that lost once is handed the mutex at the next unlock, and nobody else gets it [cpus=2]", () => {
  for (let seed = 1; seed <= 20; seed++) {
    let lostOnce = 0;
    const { finished } = runSmall({ cpus: 2, seed }, function* (k) {
      const lock = new mutex("stolen");
      let got = 0;
      for (let round = 0; round < 5; round++) {
        yield* mutex_lock(k, lock);
        const started = got;
        const waiter = yield* kthread_run(k, function* (kernel) {
          yield* mutex_lock(kernel, lock);
          got++;
          mutex_unlock(kernel, lock);
        }, "waiter");
        yield* untilWaits(k, waiter, "mutex stolen");
        // Unlock and lock again at once: the waiter wakes to a locked mutex, and asks for it.
        mutex_unlock(k, lock);
        yield* mutex_lock(k, lock);
        if (got > started) {
          mutex_unlock(k, lock);
          continue;
        }
        yield* msleep(k, 200);
        assert(typeof waiter !== "number" && !waiter.on_rq, `seed=${seed}: the loser does not sleep`);
        lostOnce++;
        mutex_unlock(k, lock);
        assert(!(yield* mutex_trylock(k, lock)) || got > started, `seed=${seed}`);
        yield* msleep(k, 200);
        assertEquals(got, started + 1, `seed=${seed}`);
      }
    });
    assert(finished, `seed=${seed}`);
    assert(lostOnce > 0, `seed=${seed} nobody ever lost`);
  }
});

Deno.test("mutex_trylock() takes a free mutex only", () => {
  const { k, finished } = runSmall({ cpus: 1 }, function* (k) {
    const lock = new mutex("tried");
    assert(yield* mutex_trylock(k, lock));
    assert(!(yield* mutex_trylock(k, lock)));
    mutex_unlock(k, lock);
    assert(yield* mutex_trylock(k, lock));
    __mutex_init(lock);
    assert(!mutex_is_locked(lock));
  });
  assert(finished);
  assertEquals(k.reports, []);
});

/** Releases a mutex that nobody holds, if asked to, then one that somebody else holds. */
function stolen(debug: boolean, free: boolean): Kernel {
  const { k, finished } = runSmall({ cpus: 1, debug }, function* (k) {
    const lock = new mutex("foreign");
    if (free) mutex_unlock(k, lock);
    const unlocked = new completion("unlocked");
    yield* mutex_lock(k, lock);
    yield* kthread_run(k, function* (kernel) {
      mutex_unlock(kernel, lock);
      complete(kernel, unlocked);
      yield* cond_resched(kernel);
    }, "thief");
    yield* wait_for_completion(k, unlocked);
  });
  assert(finished);
  return k;
}

Deno.test("mutex_unlock() by a task that does not hold it is reported, once in a boot", () => {
  for (const free of [true, false]) {
    const [report, ...more] = stolen(true, free).reports;
    assertEquals([report.title, more.length], ["WARNING: bad unlock balance detected!", 0]);
    assertEquals(
      report.lines[5].replace(/\d+/, "N"),
      `${free ? "init" : "thief"}/N is trying to release lock (foreign) at:`,
    );
    // Without lockdep the mutex notices by itself.
    const said = stolen(false, free).reports.map((r) => r.lines[1]);
    const who = free ? "not locked" : "held by init/1";
    assertEquals(said, [`DEBUG_LOCKS_WARN_ON(__owner_task(owner) != current): foreign is ${who}`]);
  }
});

Deno.test("mutex_lock() in atomic context is reported, also when the mutex is free", () => {
  const { k } = runSmall({ cpus: 1 }, function* (k) {
    const lock = new mutex("atomic");
    preempt_disable(k);
    yield* mutex_lock(k, lock);
    preempt_enable(k);
    mutex_unlock(k, lock);
  });
  assert(k.reports[0].title.startsWith("BUG: sleeping function called from invalid context"));
});

Deno.test("a task that locks a mutex twice sleeps for ever, by name", () => {
  let waitingFor = (): string => "";
  const { finished } = runSmall({ cpus: 1 }, function* (k) {
    const me = current(k);
    waitingFor = () => me.waitingFor;
    const lock = new mutex("own");
    yield* mutex_lock(k, lock);
    yield* mutex_lock(k, lock);
  });
  assertEquals([finished, waitingFor()], [false, "mutex own"]);
});

Deno.test("mutex_lock() has a point before the attempt, after a failed one, queued, before sleep and after it", () => {
  const lock = new mutex("watched");
  const points: string[] = [];
  const { finished } = runSmall(
    { cpus: 1 },
    function* (k) {
      yield* mutex_lock(k, lock);
      points.length = 0;
      const waiter = yield* kthread_run(k, function* (kernel) {
        yield* mutex_lock(kernel, lock);
      }, "waiter");
      yield* untilWaits(k, waiter, "mutex watched");
      points.push("asleep");
      mutex_unlock(k, lock);
      yield* msleep(k, 10);
    },
    undefined,
    (k, kind, name) => {
      if (name !== "watched") return;
      const queued = lock.wait_list.next !== lock.wait_list;
      points.push(
        `${kind === POINT_LOCK ? "lock" : "wait"} ${queued ? "queued" : "-"} state ${current(k).state}`,
      );
    },
  );
  assert(finished);
  assertEquals(points, [
    "lock - state 0",
    "lock - state 0",
    "wait queued state 2",
    "wait queued state 2",
    "asleep",
    "wait queued state 0",
  ]);
});
