// SPDX-License-Identifier: GPL-2.0-only
/** Tests of kernel/sched/rt.ts: SCHED_FIFO queues and where a woken task goes. */
import { assert, assertEquals } from "@std/assert";
import type { MaySleep } from "../../../kernel/machine/effects.ts";
import { udelay } from "../../../kernel/entry.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { cond_resched, wake_up_process } from "../../../kernel/sched/core.ts";
import {
  dequeue_task_rt,
  enqueue_task_rt,
  rt_sched_class,
  select_task_rq_rt,
} from "../../../kernel/sched/rt.ts";
import { cpu_rq, ENQUEUE_HEAD, task_struct } from "../../../kernel/sched/sched.ts";
import { bareKernel } from "../../helpers.ts";
import { booted, Crowd, eachMachine, runOn0 } from "../booted.ts";

function fifoTask(k: Kernel, name: string, priority: number): task_struct {
  const p = new task_struct(500, name, k.log.intern(name), rt_sched_class);
  p.prio = 99 - priority;
  p.rt_priority = priority;
  return p;
}

Deno.test("enqueue_task_rt() queues by priority, behind equals, with ENQUEUE_HEAD in front of them", () => {
  const k = bareKernel({}, []);
  const rq = cpu_rq(k, 0);
  rq.curr = k.cpu.current as task_struct;
  const make = (name: string, priority: number): task_struct => fifoTask(k, name, priority);
  const [a, b, c, d, e] = [make("a", 5), make("b", 9), make("c", 5), make("d", 5), make("e", 1)];
  for (const p of [a, b, c]) enqueue_task_rt(k, rq, p, 0);
  enqueue_task_rt(k, rq, d, ENQUEUE_HEAD);
  enqueue_task_rt(k, rq, e, 0);
  assertEquals([rq.rt.queue.map((p) => p.comm).join(""), rq.nr_running], ["bdace", 5]);
  dequeue_task_rt(k, rq, a, 0);
  assertEquals([rq.rt.queue.map((p) => p.comm).join(""), rq.nr_running], ["bdce", 4]);
});

Deno.test("a preempted SCHED_FIFO task is the first of its priority afterwards [cpus preempt seeds]", () => {
  eachMachine((k, { name }) => {
    const log: string[] = [];
    runOn0(k, function* (k) {
      const crowd = new Crowd();
      const make = (comm: string, fifo: number, us: number): MaySleep<task_struct> =>
        crowd.make(k, comm, function* (k) {
          log.push(`${comm} starts`);
          yield* udelay(k, us);
          yield* cond_resched(k);
          log.push(`${comm} ends`);
        }, { cpu: 0, fifo });
      const [a, b, high] = [yield* make("a", 5, 100), yield* make("b", 5, 100), yield* make("high", 9, 1)];
      if (k.config.cpus > 1) {
        yield* crowd.start(k, "interrupter", function* (k) {
          while (!log.includes("a starts")) yield* udelay(k, 1);
          wake_up_process(k, high);
        }, { cpu: 1 });
      }
      yield* crowd.start(k, "waker", function* (k) {
        for (const p of [a, b]) wake_up_process(k, p);
        if (k.config.cpus === 1) wake_up_process(k, high);
        yield* cond_resched(k);
      }, { cpu: 0, fifo: 50 });
      yield* crowd.wait(k);
    }, name);
    assert(log.indexOf("a ends") < log.indexOf("b starts"), `${log} ${name}`);
    assert(log.indexOf("high starts") < log.indexOf("b starts"), `${log} ${name}`);
  });
});

Deno.test("select_task_rq_rt(): not behind a task that is as important while another CPU has less to do", () => {
  runOn0(booted({ cpus: 4 }), function* (k) {
    const low = fifoTask(k, "low", 5);
    const high = fifoTask(k, "high", 60);
    assertEquals(select_task_rq_rt(k, low, 2), 2, "its CPU is free");
    let stop = false;
    const crowd = new Crowd();
    for (const [cpu, fifo] of [[1, 40], [2, 50], [3, 70]]) {
      yield* crowd.start(k, "busy", function* (k) {
        while (!stop) yield* udelay(k, 10);
      }, { cpu, fifo });
    }
    yield* udelay(k, 20);
    // CPU 0 runs this fair task.
    assertEquals(select_task_rq_rt(k, low, 0), 0, "it preempts a fair task");
    assertEquals(select_task_rq_rt(k, low, 2), 0);
    low.cpus_mask = cpu_rq(k, 1).curr.cpus_mask;
    assertEquals(select_task_rq_rt(k, low, 2), 2, "nobody that it may use runs less important work");
    assertEquals(select_task_rq_rt(k, high, 3), 0);
    stop = true;
    yield* crowd.wait(k);
  });
});
