// SPDX-License-Identifier: GPL-2.0-only
/**
 * kthread.ts on running machines.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { EBUSY, EINTR } from "../../kernel/errno.ts";
import { tasklist } from "../../kernel/fork.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import {
  kthread_bind,
  kthread_create,
  kthread_create_on_cpu,
  kthread_create_on_node,
  kthread_data,
  kthread_park,
  kthread_parkme,
  kthread_run,
  kthread_should_park,
  kthread_should_stop,
  kthread_stop,
  kthread_unpark,
  kthreadd_task,
  NUMA_NO_NODE,
} from "../../kernel/kthread.ts";
import { POINT_SCHEDULE } from "../../kernel/machine/points.ts";
import { complete, completion, wait_for_completion } from "../../kernel/sched/completion.ts";
import { current, wake_up_process } from "../../kernel/sched/core.ts";
import { TASK_PARKED, type task_struct, TASK_UNINTERRUPTIBLE } from "../../kernel/sched/sched.ts";
import { msleep } from "../../kernel/time/timer.ts";
import { onMachines, runSmall } from "./small_machine.ts";

function task(made: task_struct | number): task_struct {
  assert(typeof made !== "number");
  return made;
}

function* untilStopped(k: Kernel): MaySleep<number> {
  while (!kthread_should_stop(k)) yield* msleep(k, 1);
  return 42;
}

Deno.test("kthread_create() makes a thread that sleeps until it is woken; kthread_stop() returns its result [cpus seeds]", () => {
  onMachines(function* (k, where) {
    let ran = 0;
    const p = task(
      yield* kthread_create(k, function* (kernel) {
        ran++;
        return yield* untilStopped(kernel);
      }, "late"),
    );
    yield* msleep(k, 200);
    assertEquals([ran, p.state, p.comm], [0, TASK_UNINTERRUPTIBLE, "late"], where);
    wake_up_process(k, p);
    yield* msleep(k, 200);
    assertEquals(ran, 1, where);
    assertEquals(yield* kthread_stop(k, p), 42, where);
    assert(!tasklist(k).has(p), where);
  });
});

Deno.test("kthread_stop() of a thread that was never woken returns -EINTR and its function never runs [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const p = task(
      yield* kthread_create(k, function* () {
        assert(false, "it ran");
      }, "never"),
    );
    assertEquals(yield* kthread_stop(k, p), -EINTR, where);
  });
});

Deno.test("kthread_bind() keeps the thread on its CPU from its first instruction on [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const finished = new completion("finished");
    const seen = new Set<string>();
    for (const { id } of k.cpus) {
      const p = task(
        yield* kthread_create(k, function* (kernel) {
          for (let i = 0; i < 5; i++) {
            seen.add(`${id} on ${kernel.cpu.id}`);
            yield* msleep(kernel, 1);
          }
          complete(kernel, finished);
        }, `bound/${id}`),
      );
      yield* kthread_bind(k, p, id);
      wake_up_process(k, p);
    }
    for (const _ of k.cpus) yield* wait_for_completion(k, finished);
    assertEquals([...seen].sort(), k.cpus.map(({ id }) => `${id} on ${id}`), where);
  });
});

Deno.test("kthread_bind() waits for a newborn thread that has not gone to sleep yet [cpus=2]", () => {
  let delayed = 0;
  const seen: number[] = [];
  const wanted: number[] = [];
  const { k, finished } = runSmall(
    { cpus: 2 },
    function* (k) {
      for (let i = 0; i < 6; i++) {
        const p = task(
          yield* kthread_create(k, function* (kernel) {
            seen.push(kernel.cpu.id);
            yield* msleep(kernel, 1);
          }, "newborn"),
        );
        wanted.push(1 - p.cpu);
        yield* kthread_bind(k, p, 1 - p.cpu);
        wake_up_process(k, p);
        yield* msleep(k, 20);
      }
    },
    undefined,
    (k, kind) => {
      // It has reported to its creator and is about to call the scheduler: let that take a millisecond.
      const p = current(k);
      if (kind !== POINT_SCHEDULE || p.comm !== "newborn" || p.waitingFor !== "its first wake-up") return;
      delayed++;
      k.charge(500_000);
    },
  );
  assert(finished && delayed >= 6, `${delayed}`);
  assertEquals(seen, wanted);
  assertEquals(k.reports, []);
});

Deno.test("kthread_create_on_node() passes data on; kthread_data() gives it back", () => {
  const { finished } = runSmall({ cpus: 1 }, function* (k) {
    const data = { n: 7 };
    let got: unknown = null;
    const p = task(
      yield* kthread_create_on_node(
        k,
        function* (_kernel, given: { n: number }) {
          got = given;
        },
        data,
        NUMA_NO_NODE,
        "data",
      ),
    );
    assertEquals(kthread_data(k, p), data);
    wake_up_process(k, p);
    yield* msleep(k, 200);
    assert(got === data);
  });
  assert(finished);
});

Deno.test("kthread_park() returns when the thread is off its CPU; kthread_unpark() lets it go on [cpus seeds]", () => {
  onMachines(function* (k, where) {
    let turns = 0;
    const p = task(
      yield* kthread_run(k, function* (kernel) {
        while (!kthread_should_stop(kernel)) {
          if (kthread_should_park(kernel)) yield* kthread_parkme(kernel);
          turns++;
          yield* msleep(kernel, 1);
        }
      }, "parker"),
    );
    yield* msleep(k, 200);
    for (let i = 0; i < 3; i++) {
      assertEquals(yield* kthread_park(k, p), 0, where);
      assertEquals([p.state, p.on_cpu, p.on_rq], [TASK_PARKED, false, false], where);
      const parkedAt = turns;
      yield* msleep(k, 200);
      assertEquals(turns, parkedAt, where);
      yield* kthread_unpark(k, p);
      yield* msleep(k, 200);
      assert(turns > parkedAt, where);
    }
    assertEquals(yield* kthread_stop(k, p), 0, where);
  });
});

Deno.test("kthread_park() twice is -EBUSY and reported; a parked per-CPU thread comes back to its CPU", () => {
  const { k, finished } = runSmall({ cpus: 2 }, function* (k) {
    const p = task(
      yield* kthread_create_on_cpu(
        k,
        function* (kernel) {
          for (;;) {
            yield* kthread_parkme(kernel);
            assertEquals(kernel.cpu.id, 1);
            if (kthread_should_stop(kernel)) return;
            yield* msleep(kernel, 1);
          }
        },
        null,
        1,
        "percpu/1",
      ),
    );
    assertEquals(yield* kthread_park(k, p), 0);
    assertEquals(yield* kthread_park(k, p), -EBUSY);
    p.cpus_mask = null;
    yield* kthread_unpark(k, p);
    yield* msleep(k, 200);
    yield* kthread_park(k, p);
    yield* kthread_stop(k, p);
  });
  assert(finished);
  assertEquals(k.reports.length, 1);
});

Deno.test("kthreadd is pid 2 and makes every thread, many at a time [cpus seeds]", () => {
  onMachines(function* (k, where) {
    assertEquals(kthreadd_task(k)?.pid, 2, where);
    const finished = new completion("finished");
    const pids = new Set<number>();
    for (let i = 0; i < 4; i++) {
      yield* kthread_run(k, function* (kernel) {
        for (let j = 0; j < 4; j++) {
          const made = yield* kthread_run(kernel, function* (inner) {
            pids.add(current(inner).pid);
            complete(inner, finished);
          }, `grandchild/${i}.${j}`);
          assert(typeof made !== "number");
        }
      }, `child/${i}`);
    }
    for (let i = 0; i < 16; i++) yield* wait_for_completion(k, finished);
    assertEquals(pids.size, 16, where);
  });
});
