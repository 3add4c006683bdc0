// SPDX-License-Identifier: GPL-2.0-only
/**
 * workqueue.ts on running machines: waiting for items and for queues, cancelling, limits.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { udelay } from "../../kernel/entry.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { kthread_run } from "../../kernel/kthread.ts";
import { complete, completion, wait_for_completion } from "../../kernel/sched/completion.ts";
import { msleep } from "../../kernel/time/timer.ts";
import {
  alloc_ordered_workqueue,
  cancel_work,
  cancel_work_sync,
  destroy_workqueue,
  drain_workqueue,
  flush_work,
  flush_workqueue,
  queue_work,
  queue_work_on,
  schedule_work,
  schedule_work_on,
  work_pending,
  workqueues,
  WQ_MEM_RECLAIM,
  WQ_UNBOUND,
} from "../../kernel/workqueue.ts";
import { linesOf, onMachines, runSmall } from "./small_machine.ts";
import { delayed_item, newQueue, newWork, on } from "./workqueue_helpers.ts";

Deno.test("flush_work() waits for the item, running or queued, and returns whether it had to [cpus seeds]", () => {
  onMachines(function* (k, where) {
    let done = 0;
    const work = newWork(k, function* (kernel) {
      yield* msleep(kernel, 5);
      done++;
    });
    assert(!(yield* flush_work(k, work)), where);
    yield* schedule_work(k, work);
    assert(yield* flush_work(k, work), where);
    assertEquals(done, 1, where);
    assert(!(yield* flush_work(k, work)), where);
    // While it runs, and is queued again.
    yield* schedule_work(k, work);
    yield* msleep(k, 1);
    yield* schedule_work(k, work);
    yield* flush_work(k, work);
    assertEquals(done, 3, where);
  });
});

Deno.test("flush_work() from several tasks and from another item [cpus seeds]", () => {
  onMachines(function* (k, where) {
    let done = false;
    const finished = new completion("finished");
    const slow = newWork(k, function* (kernel) {
      yield* msleep(kernel, 10);
      done = true;
    });
    function* flusher(kernel: Kernel): MaySleep<void> {
      yield* flush_work(kernel, slow);
      assert(done, where);
      complete(kernel, finished);
    }
    const flushing = newWork(k, flusher);
    yield* schedule_work_on(k, 0, slow);
    yield* schedule_work_on(k, 0, flushing);
    for (let i = 0; i < 3; i++) yield* kthread_run(k, flusher, `flusher/${i}`);
    for (let i = 0; i < 4; i++) yield* wait_for_completion(k, finished);
  });
});

Deno.test("cancel_work_sync() stops an item that queues itself, also from two sides at once [cpus seeds]", () => {
  onMachines(function* (k, where) {
    let runs = 0;
    let running = false;
    const work = newWork(k, function* (kernel, self) {
      running = true;
      runs++;
      yield* udelay(kernel, 30);
      yield* schedule_work(kernel, self);
      if (runs % 2 === 0) yield* msleep(kernel, 1);
      running = false;
    });
    const finished = new completion("finished");
    function* canceler(kernel: Kernel): MaySleep<void> {
      yield* cancel_work_sync(kernel, work);
      assert(!running && !work_pending(work), where);
      complete(kernel, finished);
    }
    yield* schedule_work(k, work);
    yield* msleep(k, 20);
    yield* kthread_run(k, canceler, "canceler");
    yield* canceler(k);
    for (let i = 0; i < 2; i++) yield* wait_for_completion(k, finished);
    const stopped = runs;
    yield* msleep(k, 50);
    assert(runs === stopped && runs > 0, `${where} ${runs} runs, stopped at ${stopped}`);
    // Usable again.
    assert(yield* schedule_work(k, work), where);
    yield* msleep(k, 10);
    yield* cancel_work_sync(k, work);
    assert(runs > stopped, where);
  });
});

Deno.test("cancel_work() takes a queued item off its list; cancel_work_sync() says whether it was pending", () => {
  let runs = 0;
  const { finished } = runSmall({ cpus: 1 }, function* (k) {
    const work = newWork(k, function* (kernel) {
      runs++;
      yield* udelay(kernel, 1);
    });
    assert(!(yield* cancel_work(k, work)));
    yield* schedule_work(k, work);
    assert(yield* cancel_work(k, work));
    yield* schedule_work(k, work);
    assert(yield* cancel_work_sync(k, work));
    assert(!(yield* cancel_work_sync(k, work)));
    yield* msleep(k, 20);
  });
  assert(finished);
  assertEquals(runs, 0);
});

Deno.test("max_active limits how many items of a workqueue run on a CPU; the others follow in order [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const wq = yield* newQueue(k, "limited", 0, 2);
    let inside = 0;
    let most = 0;
    const order: number[] = [];
    const works = Array.from({ length: 7 }, (_, n) =>
      newWork(k, function* (kernel) {
        order.push(n);
        most = Math.max(most, ++inside);
        yield* msleep(kernel, 3);
        inside--;
      }));
    for (const work of works) yield* queue_work_on(k, 0, wq, work);
    // One of the waiting ones is taken away: the rest still runs.
    assert(yield* cancel_work_sync(k, works[5]), where);
    yield* flush_workqueue(k, wq);
    assertEquals([most, inside], [2, 0], where);
    assertEquals(order, [0, 1, 2, 3, 4, 6], where);
    yield* destroy_workqueue(k, wq);
  });
});

Deno.test("alloc_ordered_workqueue() executes one item at a time, in order, from any CPU [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const wq = yield* alloc_ordered_workqueue(k, "ordered", 0);
    assert(wq !== null);
    const order: number[] = [];
    let inside = 0;
    for (let n = 0; n < 6; n++) {
      const work = newWork(k, function* (kernel) {
        assertEquals(++inside, 1, where);
        yield* msleep(kernel, n % 2);
        order.push(n);
        inside--;
      });
      yield* on(k, n % k.cpus.length, function* (kernel) {
        yield* queue_work(kernel, wq, work);
      });
    }
    yield* flush_workqueue(k, wq);
    assertEquals(order, [0, 1, 2, 3, 4, 5], where);
  });
});

Deno.test("flush_workqueue() waits for what was queued before it, not for what comes later [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const wq = yield* newQueue(k, "flushed", 0);
    let done = 0;
    const works = Array.from({ length: 8 }, () =>
      newWork(k, function* (kernel) {
        yield* msleep(kernel, 4);
        done++;
      }));
    for (const [n, work] of works.entries()) yield* queue_work_on(k, n % k.cpus.length, wq, work);
    yield* flush_workqueue(k, wq);
    assertEquals(done, 8, where);

    // An item that queues itself for ever does not hold a flush up.
    let stop = false;
    const busy = newWork(k, function* (kernel, self) {
      yield* msleep(kernel, 1);
      if (!stop) yield* queue_work(kernel, wq, self);
    });
    yield* queue_work(k, wq, busy);
    yield* flush_workqueue(k, wq);
    assert(!stop, where);
    stop = true;
    yield* drain_workqueue(k, wq);
    assert(!work_pending(busy), where);
  });
});

Deno.test("flush_workqueue() by more tasks than there are colours [cpus=4 seeds]", () => {
  for (let seed = 1; seed <= 4; seed++) {
    const { k, finished } = runSmall({ cpus: 4, seed }, function* (k) {
      const wq = yield* newQueue(k, "colours", 0);
      const finished = new completion("finished");
      let stop = false;
      const items = k.cpus.map(() =>
        newWork(k, function* (kernel, self) {
          yield* msleep(kernel, 2);
          if (!stop) yield* queue_work(kernel, wq, self);
        })
      );
      for (const { id } of k.cpus) yield* queue_work_on(k, id, wq, items[id]);
      for (let n = 0; n < 40; n++) {
        yield* kthread_run(k, function* (kernel) {
          let ran = false;
          const mine = newWork(kernel, function* (inner) {
            yield* msleep(inner, n % 3);
            ran = true;
          });
          yield* queue_work(kernel, wq, mine);
          yield* flush_workqueue(kernel, wq);
          assert(ran, `seed=${seed} flusher ${n}`);
          complete(kernel, finished);
        }, `flusher/${n}`);
      }
      for (let n = 0; n < 40; n++) yield* wait_for_completion(k, finished);
      stop = true;
      yield* drain_workqueue(k, wq);
      assertEquals([wq.work_color, wq.nr_pwqs_to_flush], [wq.flush_color, 0]);
    });
    assert(finished, `seed=${seed}`);
    assertEquals(k.reports, [], `seed=${seed}`);
  }
});

Deno.test("drain_workqueue() lets items queue items and reports who else does", () => {
  let depth = 0;
  const { k, finished } = runSmall({ cpus: 1 }, function* (k) {
    const wq = yield* newQueue(k, "drained", 0);
    const chained = newWork(k, function* (kernel, self) {
      yield* msleep(kernel, 1);
      if (++depth < 5) yield* queue_work(kernel, wq, self);
    });
    yield* queue_work(k, wq, chained);
    const outside = newWork(k, function* () {
      assert(false, "it ran");
    });
    yield* kthread_run(k, function* (kernel) {
      yield* msleep(kernel, 5);
      yield* queue_work(kernel, wq, outside);
    }, "outsider");
    yield* drain_workqueue(k, wq);
    assertEquals(depth, 5);
    yield* msleep(k, 100);
  });
  assert(finished);
  assertEquals(k.reports.length, 1);
});

Deno.test("destroy_workqueue() drains and forgets; alloc_workqueue() clamps max_active with a warning", () => {
  let ran = false;
  const { k, finished } = runSmall({ cpus: 1 }, function* (k) {
    const wq = yield* newQueue(k, "short-lived", WQ_UNBOUND, 100_000);
    assertEquals(wq.saved_max_active, 512);
    const names = (): string[] => {
      const found: string[] = [];
      for (let at = workqueues(k).next; at !== workqueues(k); at = at.next) found.push(at.owner?.name ?? "?");
      return found;
    };
    assertEquals(names(), [
      "events",
      "events_highpri",
      "events_long",
      "events_unbound",
      "events_power_efficient",
      "short-lived",
    ]);
    const work = newWork(k, function* (kernel) {
      yield* msleep(kernel, 3);
      ran = true;
    });
    yield* queue_work(k, wq, work);
    yield* destroy_workqueue(k, wq);
    assert(ran && !names().includes("short-lived"));
  });
  assert(finished);
  assertEquals(k.reports, []);
  assert(
    linesOf(k, "console").includes(
      "workqueue: max_active 100000 requested for short-lived is out of range, clamping between 1 and 512",
    ),
  );
});

Deno.test("flushing a queue that may allocate from one that reclaims memory is reported", () => {
  const { k, finished } = runSmall({ cpus: 1 }, function* (k) {
    const reclaimer = yield* newQueue(k, "reclaimer", WQ_MEM_RECLAIM);
    const other = newWork(k, delayed_item);
    const work = newWork(k, function* flushing_work(kernel) {
      yield* schedule_work(kernel, other);
      yield* flush_work(kernel, other);
    });
    yield* queue_work(k, reclaimer, work);
    yield* flush_work(k, work);
  });
  assert(finished);
  assertEquals(
    k.reports[0].lines[1],
    "workqueue: WQ_MEM_RECLAIM reclaimer:flushing_work is flushing !WQ_MEM_RECLAIM events:delayed_item",
  );
});
