// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of kernel/sched/fair.ts: who gets how much, who preempts whom, who moves where.
 *
 * Numbers are the defaults of 5.7: latency 6 ms, minimal granularity 0.75 ms, wake-up granularity 1 ms, all times
 * 1 + log2(CPUs), at most 8 CPUs.
 */
import { assert, assertEquals } from "@std/assert";
import type { MaySleep } from "../../../kernel/machine/effects.ts";
import { udelay, user_mode } from "../../../kernel/entry.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { preempt_disable, preempt_enable } from "../../../kernel/preempt.ts";
import {
  cond_resched,
  current,
  sched_setscheduler_nocheck,
  set_current_state,
  wake_up_process,
} from "../../../kernel/sched/core.ts";
import {
  check_preempt_tick,
  check_preempt_wakeup,
  enqueue_task_fair,
  fair_sched_class,
  get_update_sysctl_factor,
  pick_next_task_fair,
  prio_changed_fair,
  put_prev_task_fair,
  sched_slice,
  select_task_rq_fair,
  yield_task_fair,
} from "../../../kernel/sched/fair.ts";
import {
  cpu_rq,
  overloaded,
  type rq,
  sched_entity,
  SCHED_FIFO,
  task_struct,
  TASK_UNINTERRUPTIBLE,
} from "../../../kernel/sched/sched.ts";
import { schedule } from "../../../kernel/sched/core.ts";
import { msleep } from "../../../kernel/time/timer.ts";
import { bareKernel } from "../../helpers.ts";
import { booted, type Code, Crowd, eachMachine, runOn0 } from "../booted.ts";
import { arg, eventsOf } from "../../machines.ts";

/** Busy for `ns` of virtual time, in the kernel or in user mode, giving way where one does. */
function busy(ns: number, how: "kernel" | "user"): Code {
  return function* (k: Kernel): MaySleep<void> {
    const end = k.now() + ns;
    while (k.now() < end) {
      if (how === "user") yield* user_mode(k, 50_000);
      else {
        yield* udelay(k, 50);
        yield* cond_resched(k);
      }
    }
  };
}

function runtimeOf(p: task_struct): number {
  return p.se.sum_exec_runtime;
}

Deno.test("two busy tasks share a CPU within a slice, in the kernel and in user mode [preempt seeds]", () => {
  eachMachine((k, { name, cpus }) => {
    for (const how of ["kernel", "user"] as const) {
      let shares: number[] = [];
      runOn0(k, function* (k) {
        const crowd = new Crowd();
        const target = cpus - 1;
        const tasks: task_struct[] = [];
        for (const comm of ["a", "b"]) {
          tasks.push(yield* crowd.make(k, comm, busy(400e6, how), { cpu: target }));
        }
        for (const p of tasks) wake_up_process(k, p);
        yield* msleep(k, 300);
        shares = tasks.map(runtimeOf);
        yield* crowd.wait(k);
      }, name);
      const [a, b] = shares;
      const slice = 6e6 * (1 + Math.floor(Math.log2(cpus)));
      assert(a + b > 0.95 * 300e6, `${how}: ${a} + ${b} ${name}`);
      // The one that runs may be a slice ahead, and the slice ends at a tick.
      assert(Math.abs(a - b) <= slice + 4e6, `${how}: ${a} ${b} ${name}`);
    }
  }, [1, 4]);
});

Deno.test("run time follows the weights [weights 1024 and 3072]", () => {
  for (const preempt of ["none", "full"] as const) {
    runOn0(booted({ preempt }), function* (k) {
      const crowd = new Crowd();
      const light = yield* crowd.make(k, "light", busy(900e6, "kernel"), { cpu: 0 });
      const heavy = yield* crowd.make(k, "heavy", busy(900e6, "kernel"), { cpu: 0, weight: 3072 });
      for (const p of [light, heavy]) wake_up_process(k, p);
      yield* msleep(k, 800);
      const ratio = runtimeOf(heavy) / runtimeOf(light);
      assert(ratio > 2.8 && ratio < 3.2, `${preempt}: ${ratio}`);
      yield* crowd.wait(k);
    });
  }
});

Deno.test("sched_slice() divides 6 ms among up to eight tasks, and gives 0.75 ms to each of more; larger machines scale", () => {
  for (const [cpus, factor] of [[1, 1], [2, 2], [4, 3], [8, 4], [64, 4]]) {
    const k = bareKernel({ cpus }, []);
    assertEquals(get_update_sysctl_factor(k), factor);
    const { cfs } = cpu_rq(k, 0);
    const se = new sched_entity();
    se.on_rq = true;
    for (const [n, slice] of [[1, 6e6], [2, 3e6], [8, 0.75e6], [20, 0.75e6]]) {
      cfs.nr_running = n;
      cfs.load_weight = n * 1024;
      assertEquals(sched_slice(k, cfs, se), slice * factor, `${cpus} CPUs, ${n} tasks`);
    }
  }
});

function fairTask(k: Kernel, name: string, vruntime: number): task_struct {
  const p = new task_struct(500, name, k.log.intern(name), fair_sched_class);
  p.se.vruntime = vruntime;
  return p;
}

Deno.test("pick_next_task_fair() takes the smallest vruntime, the one that queued first among equals", () => {
  const k = bareKernel({}, []);
  const rq = cpu_rq(k, 0);
  const tasks = [30, 10, 20, 10, 0].map((v, i) => fairTask(k, `t${i}`, v));
  for (const p of tasks) enqueue_task_fair(k, rq, p, 0);
  const order: string[] = [];
  for (let p = pick_next_task_fair(k, rq); p !== null; p = pick_next_task_fair(k, rq)) {
    order.push(p.comm);
    fair_sched_class.dequeue_task(k, rq, p, 0);
    put_prev_task_fair(k, rq, p);
  }
  assertEquals(order, ["t4", "t1", "t3", "t2", "t0"]);
  assertEquals([rq.nr_running, rq.cfs.nr_running, rq.cfs.load_weight], [0, 0, 0]);
});

interface FairQueue {
  readonly rq: rq;
  readonly tasks: task_struct[];
}

/** A runqueue whose current task runs in the fair class, with others waiting; vruntimes in ms. */
function fairQueue(k: Kernel, curr: number, waiting: readonly number[]): FairQueue {
  const rq = cpu_rq(k, 0);
  const running = fairTask(k, "curr", curr * 1e6);
  enqueue_task_fair(k, rq, running, 0);
  rq.curr = running;
  pick_next_task_fair(k, rq);
  const tasks = waiting.map((v, i) => fairTask(k, `t${i}`, v * 1e6 - rq.cfs.min_vruntime));
  for (const p of tasks) enqueue_task_fair(k, rq, p, 0);
  k.cpu.need_resched = false;
  return { rq, tasks };
}

Deno.test("check_preempt_tick() ends a used-up slice, and a task that is a slice ahead after the minimal granularity", () => {
  // Two tasks share 6 ms: the slice is 3 ms. Rows: ran, ahead of the other by, resched.
  const rows: readonly [number, number, boolean][] = [
    [3.1, 0, true],
    [3.1, -5, true],
    [3, 0, false],
    [0.7, 9, false],
    [0.8, 3.1, true],
    [0.8, 2.9, false],
  ];
  for (const [ran, ahead, want] of rows) {
    const k = bareKernel({}, []);
    const { rq } = fairQueue(k, 20, [20 - ahead]);
    rq.curr.se.sum_exec_runtime = rq.curr.se.prev_sum_exec_runtime + ran * 1e6;
    check_preempt_tick(k, rq, rq.curr);
    assertEquals(k.cpu.need_resched, want, `ran ${ran}, ahead ${ahead}`);
  }
});

Deno.test("the task that preempted runs next, though another is a little further left; not if it is far further", () => {
  for (const [other, want] of [[9.2, "t0"], [8.4, "t1"]] as const) {
    const k = bareKernel({}, []);
    const { rq, tasks } = fairQueue(k, 11, [9.5, other]);
    check_preempt_wakeup(k, rq, tasks[0]);
    assert(k.cpu.need_resched);
    put_prev_task_fair(k, rq, rq.curr);
    assertEquals(pick_next_task_fair(k, rq)?.comm, want);
    assertEquals(rq.cfs.next, want === "t0" ? null : tasks[0]);
  }
});

Deno.test("yield_task_fair() lets the next one run, though it is behind by up to a granularity; alone it does nothing", () => {
  for (const [waiting, want] of [[[10.9], "t0"], [[11.1], "curr"], [[], "curr"]] as const) {
    const k = bareKernel({}, []);
    const { rq } = fairQueue(k, 10, waiting);
    yield_task_fair(k, rq);
    put_prev_task_fair(k, rq, rq.curr);
    assertEquals(pick_next_task_fair(k, rq)?.comm, want);
  }
});

Deno.test("a task that slept long wakes up half a latency behind; a short sleep gives nothing [cpus=1,4]", () => {
  for (const cpus of [1, 4]) {
    const half = 3e6 * (1 + Math.log2(cpus));
    const lags: number[] = [];
    runOn0(booted({ cpus }), function* (k) {
      const crowd = new Crowd();
      const { cfs } = cpu_rq(k, 0);
      yield* crowd.start(k, "busy", busy(300e6, "kernel"), { cpu: 0 });
      const sleeper = yield* crowd.make(k, "sleeper", function* (k) {
        for (let i = 0; i < 2; i++) {
          set_current_state(k, TASK_UNINTERRUPTIBLE);
          yield* schedule(k);
        }
      }, { cpu: 0 });
      wake_up_process(k, sleeper);
      yield* msleep(k, 150);
      assert(!sleeper.on_rq);
      wake_up_process(k, sleeper);
      lags.push(sleeper.se.vruntime - cfs.min_vruntime);
      while (sleeper.on_rq) yield* msleep(k, 1);
      const slept = sleeper.se.vruntime;
      wake_up_process(k, sleeper);
      assertEquals(sleeper.se.vruntime, Math.max(slept, cfs.min_vruntime - half));
      yield* crowd.wait(k);
    });
    assertEquals(lags, [-half]);
  }
});

Deno.test("a wake-up preempts the task that is more than a wake-up granularity ahead, and runs next [preempt]", () => {
  for (const preempt of ["none", "full"] as const) {
    for (const [lag, preempts] of [[0.9e6, false], [1.1e6, true]] as const) {
      const log: string[] = [];
      runOn0(booted({ preempt }), function* (k) {
        const crowd = new Crowd();
        const me = current(k);
        const made: task_struct[] = [];
        for (const comm of ["first", "woken"]) {
          made.push(
            yield* crowd.make(k, comm, function* (): MaySleep<void> {
              log.push(comm);
            }, { cpu: 0 }),
          );
        }
        const [first, woken] = made;
        preempt_disable(k);
        const { cfs } = cpu_rq(k, 0);
        yield* udelay(k, 10_000); // both have slept long
        // `first` waits in front of us, not far enough to preempt; `woken` is what the test is about.
        first.se.vruntime = cfs.min_vruntime - 0.5e6;
        wake_up_process(k, first);
        assert(!k.cpu.need_resched);
        woken.se.vruntime = me.se.vruntime - lag;
        wake_up_process(k, woken);
        assertEquals(k.cpu.need_resched, preempts, `${lag}`);
        preempt_enable(k);
        yield* cond_resched(k);
        yield* udelay(k, 1);
        log.push("me");
        yield* crowd.wait(k);
      });
      assertEquals(log.indexOf("woken") < log.indexOf("me"), preempts, `${log} ${lag} ${preempt}`);
      if (preempts) assertEquals(log[0], "woken");
    }
  }
});

Deno.test("select_task_rq_fair(): its last CPU when idle, else an idle one; a new task goes where fewest run", () => {
  runOn0(booted({ cpus: 4 }), function* (k) {
    const p = fairTask(k, "p", 0);
    for (const [prev, fork, want] of [[2, false, 2], [0, false, 1], [0, true, 1]] as const) {
      assertEquals(select_task_rq_fair(k, p, prev, fork), want);
    }
    let stop = false;
    const crowd = new Crowd();
    for (const cpu of [0, 1, 1, 2, 2, 3]) {
      yield* crowd.start(k, "busy", function* (k) {
        while (!stop) {
          yield* udelay(k, 10);
          yield* cond_resched(k);
        }
      }, { cpu });
    }
    yield* udelay(k, 20);
    assertEquals([0, 1, 2, 3].map((cpu) => cpu_rq(k, cpu).nr_running), [2, 2, 2, 1]);
    assertEquals(select_task_rq_fair(k, p, 1, false), 1, "nobody is idle: it stays");
    assertEquals(select_task_rq_fair(k, p, 1, true), 3);
    stop = true;
    yield* crowd.wait(k);
  });
});

Deno.test("newidle_balance(): an idle CPU takes a waiting task from the busiest CPU that has one for it [cpus=4]", () => {
  eachMachine((k, { name }) => {
    runOn0(k, function* (k) {
      let stop = false;
      const spin: Code = function* (k) {
        while (!stop) {
          yield* udelay(k, 1);
          yield* cond_resched(k);
        }
      };
      const crowd = new Crowd();
      // CPU 1 is busiest, but all of its tasks are bound to it; CPU 2 has two that may move.
      for (const comm of ["bound-a", "bound-b", "bound-c"]) yield* crowd.start(k, comm, spin, { cpu: 1 });
      const free = [yield* crowd.make(k, "free-a", spin), yield* crowd.make(k, "free-b", spin)];
      for (const p of free) p.cpu = 2;
      const third = yield* crowd.start(k, "third", (k) => udelay(k, 100), { cpu: 3 });
      yield* udelay(k, 20);
      assert(third.on_cpu);
      preempt_disable(k);
      for (const p of free) {
        p.cpus_mask = null;
        wake_up_process(k, p);
      }
      preempt_enable(k);
      assertEquals([free[0].cpu, free[1].cpu], [2, 2], `nobody else is idle ${name}`);
      const since = k.seq;
      yield* udelay(k, 200); // the third ends: CPU 3 runs dry
      const moved = eventsOf(k, "sched_migrate_task", since).map((
        r,
      ) => [arg(r, "orig_cpu"), arg(r, "dest_cpu")]);
      assertEquals(moved, [[2, 3]], name);
      assertEquals(free.map((p) => p.cpu).sort(), [2, 3], name);
      assertEquals(cpu_rq(k, 1).nr_running, 3, name);
      stop = true;
      yield* crowd.wait(k);
    }, name);
    assertEquals(overloaded(k), 0, name);
  }, [4]);
});

Deno.test("vruntime is relative between CPUs: a task that moves is neither starved nor spoiled [cpus=2]", () => {
  runOn0(booted({ cpus: 2 }), function* (k) {
    const [from, to] = [cpu_rq(k, 0).cfs, cpu_rq(k, 1).cfs];
    from.min_vruntime += 5e9;
    const crowd = new Crowd();
    yield* crowd.start(k, "busy", busy(400e6, "kernel"), { cpu: 1 });
    const mover = yield* crowd.make(k, "mover", busy(100e6, "kernel"), { cpu: 0 });
    mover.se.vruntime = from.min_vruntime + 2e6;
    mover.cpus_mask = null;
    mover.cpu = 0;
    sched_setscheduler_nocheck(k, current(k), SCHED_FIFO, 1); // CPU 0 is taken
    wake_up_process(k, mover);
    const lag = mover.se.vruntime - cpu_rq(k, mover.cpu).cfs.min_vruntime;
    assertEquals(lag, 2e6);
    assert(Math.abs(to.min_vruntime) < 1e9);
    sched_setscheduler_nocheck(k, current(k), 0, 0);
    yield* crowd.wait(k);
  });
});

Deno.test("runqueue clocks never go back, whichever CPU looks at them [cpus=4 preempt seeds]", () => {
  eachMachine((k, { name }) => {
    const last = k.cpus.map(() => 0);
    const { emit } = k;
    k.emit = function (...args: Parameters<Kernel["emit"]>): void {
      emit.apply(k, args);
      for (const cpu of k.cpus) {
        const { clock } = cpu_rq(k, cpu.id);
        assert(clock >= last[cpu.id], `CPU ${cpu.id}: ${last[cpu.id]} then ${clock} ${name}`);
        last[cpu.id] = clock;
      }
    };
    runOn0(k, function* (k) {
      const crowd = new Crowd();
      for (let i = 0; i < 8; i++) {
        yield* crowd.start(k, `t${i}`, function* (k) {
          for (let n = 0; n < 20; n++) yield* n % 3 === i % 3 ? msleep(k, 1) : user_mode(k, 700_000);
        });
      }
      yield* crowd.wait(k);
    }, name);
    delete (k as { emit?: unknown }).emit;
    assert(last.every((clock) => clock > 0));
  }, [4]);
});

Deno.test("all run time of a CPU is booked on somebody, once, also when others wake its tasks [cpus=2 preempt seeds]", () => {
  eachMachine((k, { name }) => {
    runOn0(k, function* (k) {
      const crowd = new Crowd();
      const start = k.now();
      const tasks: task_struct[] = [];
      let born = 0; // what they had run before, where they were made
      for (let i = 0; i < 3; i++) {
        const p = yield* crowd.make(k, `t${i}`, busy(60e6, "kernel"), { cpu: 1 });
        born += runtimeOf(p);
        tasks.push(p);
        wake_up_process(k, p);
      }
      for (let n = 0; n < 100; n++) {
        yield* udelay(k, 300);
        for (const p of tasks) wake_up_process(k, p); // for nothing
      }
      yield* crowd.wait(k);
      const booked = tasks.reduce((sum, p) => sum + runtimeOf(p), 0) - born;
      // CPU 1 may be ahead of this one.
      const real = Math.max(k.now(), k.cpus[1].clock) - start;
      assert(booked <= real && booked > 0.9 * 60e6, `${booked} of ${real} ${name}`);
    }, name);
  }, [2]);
});

Deno.test("prio_changed_fair() looks again when the running task has become less urgent and is not alone", () => {
  for (const [running, prio, again] of [[2, 125, true], [2, 115, false], [1, 125, false]] as const) {
    const k = bareKernel({}, []);
    const rq = cpu_rq(k, 0);
    const p = k.cpu.current as task_struct;
    rq.curr = p;
    p.on_rq = true;
    rq.cfs.nr_running = running;
    p.prio = prio;
    prio_changed_fair(k, rq, p, 120);
    assertEquals(k.cpu.need_resched, again, `${running} tasks, prio 120 to ${prio}`);
  }
});
