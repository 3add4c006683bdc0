// SPDX-License-Identifier: GPL-2.0-only
/** Tests of kernel/smpboot.ts: one thread a CPU, and the life of such threads. */
import { assert, assertEquals } from "@std/assert";
import { done, type MaySleep } from "../../kernel/machine/effects.ts";
import { NULL } from "../../kernel/machine/addr.ts";
import { for_each_cpu } from "../../kernel/cpumask.ts";
import { ENOMEM } from "../../kernel/errno.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { kthread_park, kthread_unpark } from "../../kernel/kthread.ts";
import { wake_up_process } from "../../kernel/sched/core.ts";
import { TASK_INTERRUPTIBLE, TASK_PARKED, type task_struct } from "../../kernel/sched/sched.ts";
import {
  type smp_hotplug_thread,
  smpboot_create_threads,
  smpboot_register_percpu_thread,
  smpboot_unregister_percpu_thread,
} from "../../kernel/smpboot.ts";
import { ksoftirqd } from "../../kernel/softirq.ts";
import { DEFINE_PER_CPU, per_cpu_ptr, per_cpu_write } from "../../kernel/static.ts";
import { msleep } from "../../kernel/time/timer.ts";
import { booted, eachMachine, runOn0 } from "./booted.ts";
import { arg, eventsOf } from "../machines.ts";

const store = DEFINE_PER_CPU<task_struct | null>("test_threads", () => null);
const wanted = DEFINE_PER_CPU<number>("test_wanted", () => 0);

/** Threads that note what they do and where. */
function description(log: string[]): smp_hotplug_thread {
  const note = (what: string): (k: Kernel, cpu: number) => MaySleep<void> =>
    function* (k: Kernel, cpu: number): MaySleep<void> {
      assertEquals(k.cpu.id, cpu);
      log.push(`${what} ${cpu}`);
    };
  return {
    store,
    thread_should_run: (k, cpu) => per_cpu_ptr(k, wanted, cpu) > 0,
    *thread_fn(k, cpu): MaySleep<void> {
      yield* note("work")(k, cpu);
      per_cpu_write(k, wanted, cpu, per_cpu_ptr(k, wanted, cpu) - 1);
    },
    setup: note("setup"),
    park: note("park"),
    unpark: note("unpark"),
    cleanup: note("cleanup"),
    thread_comm: "test/%u",
  };
}

function prepare(k: Kernel): void {
  for (const variable of [store, wanted]) k.statics[variable.slot] = variable.create(k);
}

/** Stops the threads; parked first, because 5.7 warns when it stops a per-CPU thread that runs. */
function* stopAll(k: Kernel, ht: smp_hotplug_thread): MaySleep<void> {
  for (const p of threads(k)) yield* kthread_park(k, p);
  yield* smpboot_unregister_percpu_thread(k, ht);
}

function threads(k: Kernel): task_struct[] {
  return k.cpus.map((cpu) => {
    const p = per_cpu_ptr(k, store, cpu.id);
    assert(p !== null);
    return p;
  });
}

Deno.test("smpboot_register_percpu_thread() makes a bound thread a CPU, sets it up there, and it works when it should [cpus preempt seeds]", () => {
  eachMachine((k, { name, cpus }) => {
    prepare(k);
    const log: string[] = [];
    runOn0(k, function* (k) {
      const ht = description(log);
      assertEquals(yield* smpboot_register_percpu_thread(k, ht), 0);
      yield* msleep(k, 20);
      assertEquals(log.sort(), [...Array(cpus).keys()].map((cpu) => `setup ${cpu}`), name);
      assertEquals(threads(k).map((p) => p.comm), [...Array(cpus).keys()].map((cpu) => `test/${cpu}`));
      log.length = 0;
      for (const p of threads(k)) {
        wake_up_process(k, p); // for nothing
        yield* msleep(k, 1);
        per_cpu_write(k, wanted, p.cpu, 2);
        wake_up_process(k, p);
        yield* msleep(k, 20);
      }
      assertEquals(log, [...Array(cpus).keys()].flatMap((cpu) => [`work ${cpu}`, `work ${cpu}`]), name);
      yield* stopAll(k, ht);
    }, name);
  });
});

Deno.test("a parked per-CPU thread calls park and unpark on its CPU; stopped, it cleans up and is gone [cpus=2 seeds]", () => {
  eachMachine((k, { name }) => {
    prepare(k);
    const log: string[] = [];
    runOn0(k, function* (k) {
      const ht = description(log);
      yield* smpboot_register_percpu_thread(k, ht);
      yield* msleep(k, 20);
      log.length = 0;
      const [, p] = threads(k);
      assertEquals([yield* kthread_park(k, p), p.state], [0, TASK_PARKED]);
      assertEquals(log, ["park 1"], name);
      per_cpu_write(k, wanted, 1, 1);
      yield* msleep(k, 10);
      assertEquals(log, ["park 1"], "it does not work while it is parked");
      yield* kthread_unpark(k, p);
      yield* msleep(k, 20);
      assertEquals(log, ["park 1", "unpark 1", "work 1"], name);
      log.length = 0;
      yield* stopAll(k, ht);
      assertEquals(log, ["park 0", "park 1", "cleanup 0", "cleanup 1"], name);
      assertEquals([per_cpu_ptr(k, store, 0), per_cpu_ptr(k, store, 1)], [null, null]);
    }, name);
  }, [2]);
});

Deno.test("a CPU that comes up has its threads before it runs, and they start on it [cpus=4]", () => {
  const k = booted({ cpus: 4 });
  for (const cpu of [1, 2, 3]) {
    const born = eventsOf(k, "sched_process_fork").find((r) => {
      return k.log.text(arg(r, "child_comm")) === `ksoftirqd/${cpu}`;
    });
    const first = [...k.log.records()].find((r) => r.cpu === cpu);
    const thread = per_cpu_ptr(k, ksoftirqd, cpu);
    assert(born !== undefined && first !== undefined && thread !== null);
    assert(born.seq < first.seq, `CPU ${cpu}`);
    assert(thread.cpus_mask !== null);
    assertEquals([...for_each_cpu(thread.cpus_mask)], [cpu]);
    assertEquals([thread.cpu, thread.state], [cpu, TASK_INTERRUPTIBLE]);
  }
});

Deno.test("smpboot_create_threads() gives a CPU what it has not yet", () => {
  const k = booted({ cpus: 2 });
  prepare(k);
  const log: string[] = [];
  runOn0(k, function* (k) {
    const ht = description(log);
    yield* smpboot_register_percpu_thread(k, ht);
    const made = threads(k);
    assertEquals(yield* smpboot_create_threads(k, 1), 0);
    assertEquals(threads(k), made);
    yield* msleep(k, 10);
    yield* stopAll(k, ht);
  });
});

Deno.test("without memory for the first thread nothing is registered", () => {
  const k = booted({ cpus: 2 });
  prepare(k);
  runOn0(k, function* (k) {
    const { mm } = k;
    k.mm = {
      ...mm,
      kzalloc: (k, size, flags) => size === 24 ? done(NULL) : mm.kzalloc(k, size, flags),
    };
    assertEquals(yield* smpboot_register_percpu_thread(k, description([])), -ENOMEM);
    k.mm = mm;
    assertEquals([per_cpu_ptr(k, store, 0), per_cpu_ptr(k, store, 1)], [null, null]);
    assertEquals(yield* smpboot_create_threads(k, 1), 0);
    assertEquals(per_cpu_ptr(k, store, 1), null);
  });
});
