// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of kernel/sched/core.ts: who runs when, on which CPU, and what the scheduler complains about.
 *
 * Texts of reports are those of kernel/sched/core.c (5.7); preempt_count() in "scheduling while atomic" counts the
 * preempt_disable() of schedule() itself, so a task with one spinlock shows 0x00000002.
 */
import { assert, assertEquals } from "@std/assert";
import type { MaySleep } from "../../../kernel/machine/effects.ts";
import { udelay, user_mode } from "../../../kernel/entry.ts";
import { EINVAL } from "../../../kernel/errno.ts";
import { cpumask_of, cpumask_set_cpu, cpumask_t } from "../../../kernel/cpumask.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import {
  local_irq_disable,
  local_irq_enable,
  preempt_disable,
  preempt_enable,
} from "../../../kernel/preempt.ts";
import {
  __set_cpus_allowed_ptr,
  clear_tsk_need_resched,
  cond_resched,
  current,
  need_resched,
  resched_cpu,
  sched_setscheduler,
  sched_setscheduler_nocheck,
  sched_yield,
  schedule,
  schedule_preempt_disabled,
  set_cpus_allowed_ptr,
  set_current_state,
  set_tsk_need_resched,
  task_cpu,
  wake_up_process,
} from "../../../kernel/sched/core.ts";
import {
  cpu_rq,
  PF_NO_SETAFFINITY,
  SCHED_FIFO,
  SCHED_NORMAL,
  TASK_INTERRUPTIBLE,
  TASK_RUNNING,
  type task_struct,
} from "../../../kernel/sched/sched.ts";
import { local_bh_disable, local_bh_enable } from "../../../kernel/softirq.ts";
import { msleep } from "../../../kernel/time/timer.ts";
import { booted, type Code, Crowd, eachMachine, newThread, pin, runOn0, startThread } from "../booted.ts";
import { arg, eventsOf } from "../../machines.ts";

/** Passes points on this CPU until `done()`, without ever giving way by itself. */
function* spinUntil(k: Kernel, done: () => boolean): MaySleep<void> {
  while (!done()) yield* udelay(k, 1);
}

/** A thread that notes its name. */
function noting(log: string[], name: string): Code {
  return function* (): MaySleep<void> {
    log.push(name);
  };
}

Deno.test("schedule() picks SCHED_FIFO tasks by priority, then in order of wake-up, before fair ones [cpus preempt seeds]", () => {
  eachMachine((k, { name }) => {
    const log: string[] = [];
    runOn0(k, function* (k) {
      const crowd = new Crowd();
      const made: task_struct[] = [];
      for (const [comm, fifo] of [["fair", 0], ["low-a", 1], ["high", 50], ["low-b", 1]] as const) {
        made.push(yield* crowd.make(k, comm, noting(log, comm), fifo === 0 ? { cpu: 0 } : { cpu: 0, fifo }));
      }
      preempt_disable(k);
      for (const p of made) wake_up_process(k, p);
      preempt_enable(k);
      yield* crowd.wait(k);
    }, name);
    assertEquals(log, ["high", "low-a", "low-b", "fair"], name);
  });
});

Deno.test("wake_up_process() between set_current_state() and schedule() is not lost [cpus preempt seeds]", () => {
  eachMachine((k, { name }) => {
    runOn0(k, function* (k) {
      const me = current(k);
      for (let i = 0; i < 20; i++) {
        let set = false;
        yield* startThread(k, "waker", function* (k) {
          yield* spinUntil(k, () => set || k.config.preempt === "none" && k.config.cpus === 1);
          wake_up_process(k, me);
        }, { cpu: i % k.config.cpus });
        set_current_state(k, TASK_INTERRUPTIBLE);
        set = true;
        yield* udelay(k, i % 5);
        yield* schedule(k);
        assertEquals(me.state, TASK_RUNNING);
      }
    }, name);
  });
});

Deno.test("wake_up_process() says whether the task slept", () => {
  runOn0(booted(), function* (k) {
    const p = yield* newThread(k, "p", function* () {});
    assertEquals([wake_up_process(k, p), wake_up_process(k, p), wake_up_process(k, current(k))], [
      true,
      false,
      false,
    ]);
    set_current_state(k, TASK_INTERRUPTIBLE);
    assertEquals([wake_up_process(k, current(k)), current(k).state], [true, TASK_RUNNING]);
  });
});

Deno.test("a woken task of higher class preempts: at the next point with preempt full, at cond_resched() with none", () => {
  for (const preempt of ["none", "full"] as const) {
    const log: string[] = [];
    runOn0(booted({ preempt }), function* (k) {
      const crowd = new Crowd();
      const high = yield* crowd.make(k, "high", noting(log, "high"), { fifo: 1, cpu: 0 });
      wake_up_process(k, high);
      assert(need_resched(k));
      assertEquals(log, [], "a wake-up is not a point");
      yield* udelay(k, 1);
      log.push("point");
      yield* cond_resched(k);
      log.push("cond_resched");
      yield* crowd.wait(k);
    });
    const want = preempt === "full" ? ["high", "point", "cond_resched"] : ["point", "high", "cond_resched"];
    assertEquals(log, want, preempt);
  }
});

Deno.test("with preempt none a reschedule is honoured on blocking and on return to user mode, and nowhere else", () => {
  for (const how of ["block", "user"] as const) {
    const log: string[] = [];
    runOn0(booted({ preempt: "none" }), function* (k) {
      const crowd = new Crowd();
      const high = yield* crowd.make(k, "high", noting(log, "high"), { fifo: 1, cpu: 0 });
      wake_up_process(k, high);
      preempt_disable(k);
      preempt_enable(k);
      yield* udelay(k, 20_000); // five ticks
      log.push("kernel");
      yield* how === "block" ? msleep(k, 1) : user_mode(k, 1);
      log.push(how);
      yield* crowd.wait(k);
    });
    assertEquals(log, ["kernel", "high", how]);
  }
});

Deno.test("preempt_enable() with need_resched switches at the next point with preempt full, and not inside a section", () => {
  const log: string[] = [];
  runOn0(booted({ preempt: "full" }), function* (k) {
    const crowd = new Crowd();
    const high = yield* crowd.make(k, "high", noting(log, "high"), { fifo: 1, cpu: 0 });
    preempt_disable(k);
    preempt_disable(k);
    wake_up_process(k, high);
    yield* udelay(k, 20_000);
    preempt_enable(k);
    yield* udelay(k, 20_000);
    log.push("still inside");
    preempt_enable(k);
    log.push("enabled");
    yield* udelay(k, 1);
    log.push("next point");
    yield* crowd.wait(k);
  });
  assertEquals(log, ["still inside", "enabled", "high", "next point"]);
});

Deno.test("preemption waits for interrupts and softirqs to be enabled [preempt=full]", () => {
  for (const what of ["irq", "bh"] as const) {
    const log: string[] = [];
    runOn0(booted({ preempt: "full" }), function* (k) {
      const crowd = new Crowd();
      const high = yield* crowd.make(k, "high", noting(log, "high"), { fifo: 1, cpu: 0 });
      if (what === "irq") local_irq_disable(k);
      else local_bh_disable(k);
      wake_up_process(k, high);
      yield* udelay(k, 20_000);
      log.push("off");
      if (what === "irq") local_irq_enable(k);
      else yield* local_bh_enable(k);
      yield* udelay(k, 1);
      log.push("on");
      yield* crowd.wait(k);
    });
    assertEquals(log, ["off", "high", "on"], what);
  }
});

Deno.test("a task woken on another CPU preempts there, by an interrupt [cpus=2 preempt=full]", () => {
  const k = booted({ cpus: 2, preempt: "full" });
  let stop = false;
  let ranAfter = 0;
  runOn0(k, function* (k) {
    const crowd = new Crowd();
    yield* crowd.start(k, "spinner", (k) => spinUntil(k, () => stop), { cpu: 1 });
    const high = yield* crowd.make(k, "high", function* (k) {
      assertEquals(k.cpu.id, 1);
      ranAfter = k.now() - woken;
      stop = true;
      yield* udelay(k, 1);
    }, { fifo: 1, cpu: 1 });
    yield* udelay(k, 10);
    const woken = k.now();
    wake_up_process(k, high);
    yield* crowd.wait(k);
  });
  assert(ranAfter > 0 && ranAfter < 10_000, `${ranAfter} ns`);
});

Deno.test("a task in user mode is preempted by the interrupt, and its ticks are user ticks [cpus preempt seeds]", () => {
  eachMachine((k, { name, cpus }) => {
    const log: string[] = [];
    runOn0(k, function* (k) {
      const crowd = new Crowd();
      const target = cpus - 1;
      const user = yield* crowd.start(k, "user", function* (k) {
        yield* user_mode(k, 40_000_000);
        log.push("user");
        assert(!k.cpu.inUser);
      }, { cpu: target });
      const kernel = yield* crowd.make(k, "kernel", function* (k) {
        assert(!k.cpu.inUser, "kernel code runs in user mode");
        log.push("kernel");
        yield* udelay(k, 20_000);
        assert(!k.cpu.inUser);
      }, { cpu: target, fifo: 1 });
      yield* msleep(k, 8);
      wake_up_process(k, kernel);
      yield* crowd.wait(k);
      // 40 ms are ten ticks; the ones that hit the kernel thread are its own.
      assert(user.utime >= 9 && user.utime <= 10 && user.stime <= 2, `${user.utime} ${user.stime}`);
      assert(kernel.utime === 0 && kernel.stime >= 4, `${kernel.utime} ${kernel.stime}`);
    }, name);
    assertEquals(log, ["kernel", "user"], name);
  });
});

Deno.test("resched_cpu() makes another CPU go through the scheduler [cpus=2]", () => {
  for (const preempt of ["none", "full"] as const) {
    const k = booted({ cpus: 2, preempt });
    let stop = false;
    runOn0(k, function* (k) {
      const crowd = new Crowd();
      yield* crowd.start(k, "spinner", function* (k) {
        while (!stop) {
          yield* udelay(k, 1);
          yield* cond_resched(k);
        }
      }, { cpu: 1 });
      yield* udelay(k, 50);
      const since = k.seq;
      resched_cpu(k, 1);
      assert(k.cpus[1].need_resched);
      yield* udelay(k, 10);
      assert(!k.cpus[1].need_resched);
      assertEquals(eventsOf(k, "reschedule_entry", since).map((r) => r.cpu), [1]);
      stop = true;
      yield* crowd.wait(k);
    });
  }
});

Deno.test("cond_resched() of a task that has said it will sleep leaves it runnable", () => {
  const k = booted({ preempt: "none" });
  const log: string[] = [];
  runOn0(k, function* (k) {
    const crowd = new Crowd();
    const high = yield* crowd.make(k, "high", noting(log, "high"), { fifo: 1, cpu: 0 });
    set_current_state(k, TASK_INTERRUPTIBLE);
    wake_up_process(k, high);
    assert(yield* cond_resched(k));
    log.push("back");
    assertEquals(current(k).state, TASK_INTERRUPTIBLE);
    set_current_state(k, TASK_RUNNING);
    assertEquals(yield* cond_resched(k), false);
    yield* crowd.wait(k);
  });
  assertEquals(log, ["high", "back"]);
  const switched = eventsOf(k, "sched_switch").findLast((r) => k.log.text(arg(r, "next_comm")) === "high");
  assert(switched !== undefined);
  assertEquals(arg(switched, "prev_state"), 0x100, "R+: preempted");
});

Deno.test("voluntary and involuntary switches are counted when there is a switch", () => {
  const k = booted({ preempt: "full" });
  runOn0(k, function* (k) {
    const me = current(k);
    const before = [me.nvcsw, me.nivcsw];
    yield* schedule(k); // nobody else: no switch
    assertEquals([me.nvcsw, me.nivcsw], before);
    yield* msleep(k, 1);
    assertEquals([me.nvcsw, me.nivcsw], [before[0] + 1, before[1]]);
    yield* startThread(k, "high", function* () {}, { fifo: 1, cpu: 0 });
    const preempted = [me.nvcsw, me.nivcsw];
    yield* udelay(k, 1);
    assertEquals([me.nvcsw, me.nivcsw], [preempted[0], preempted[1] + 1]);
  });
});

Deno.test("sched_yield() lets equals run: fair tasks in turn, SCHED_FIFO ones of its priority", () => {
  for (const wish of [{ cpu: 0 }, { cpu: 0, fifo: 7 }]) {
    const log: string[] = [];
    runOn0(booted(), function* (k) {
      const crowd = new Crowd();
      const made: task_struct[] = [];
      for (const name of ["a", "b"]) {
        made.push(
          yield* crowd.make(k, name, function* (k) {
            for (let i = 0; i < 3; i++) {
              log.push(name);
              yield* sched_yield(k);
            }
          }, wish),
        );
      }
      for (const p of made) {
        p.se.vruntime = cpu_rq(k, 0).cfs.min_vruntime; // as entitled as each other
        wake_up_process(k, p);
      }
      yield* crowd.wait(k);
    });
    assertEquals(log, ["a", "b", "a", "b", "a", "b"], JSON.stringify(wish));
  }
});

Deno.test("schedule_preempt_disabled() sleeps and returns with preemption off", () => {
  runOn0(booted(), function* (k) {
    const me = current(k);
    yield* startThread(k, "waker", function* (k) {
      wake_up_process(k, me);
    });
    preempt_disable(k);
    set_current_state(k, TASK_INTERRUPTIBLE);
    yield* schedule_preempt_disabled(k);
    assertEquals(k.cpu.preempt_count, 1);
    preempt_enable(k);
  });
});

// ---- affinity ------------------------------------------------------------------------------------------------------

Deno.test("set_cpus_allowed_ptr() moves itself, a waiting, a running and a sleeping task [cpus=4 preempt seeds]", () => {
  eachMachine((k, { name }) => {
    runOn0(k, function* (k) {
      for (const cpu of [3, 1, 0]) yield* pin(k, cpu);
      const crowd = new Crowd();
      let stop = false;
      const spin: Code = function* (k) {
        while (!stop) {
          yield* udelay(k, 1);
          yield* cond_resched(k);
        }
      };
      const running = yield* crowd.start(k, "running", spin, { cpu: 1 });
      yield* udelay(k, 20);
      const waiting = yield* crowd.start(k, "waiting", spin, { cpu: 1, weight: 15 });
      const sleeping = yield* crowd.start(k, "sleeping", function* (k) {
        yield* msleep(k, 50);
        assertEquals(k.cpu.id, 2);
      }, { cpu: 3 });
      yield* udelay(k, 20);
      assert(running.on_cpu && !waiting.on_cpu && waiting.on_rq && !sleeping.on_rq, name);
      for (const p of [running, waiting, sleeping]) {
        assertEquals(yield* set_cpus_allowed_ptr(k, p, cpumask_of(k, 2)), 0);
        assert(p.cpu === 2 || !p.on_rq, `${p.comm} ${name}`);
      }
      yield* msleep(k, 80);
      assertEquals([running.cpu, waiting.cpu, cpu_rq(k, 1).nr_running], [2, 2, 0], name);
      stop = true;
      yield* crowd.wait(k);
    }, name);
  }, [4]);
});

Deno.test("set_cpus_allowed_ptr() refuses a set without an online CPU; bound threads refuse others", () => {
  runOn0(booted({ cpus: 2 }), function* (k) {
    const me = current(k);
    const mask = me.cpus_mask;
    assertEquals(yield* set_cpus_allowed_ptr(k, me, new cpumask_t(2)), -EINVAL);
    assertEquals(me.cpus_mask, mask);
    const bound = yield* newThread(k, "bound", function* () {}, { cpu: 1 });
    bound.flags |= PF_NO_SETAFFINITY;
    assertEquals(yield* __set_cpus_allowed_ptr(k, bound, cpumask_of(k, 0), true), -EINVAL);
    assertEquals(yield* __set_cpus_allowed_ptr(k, bound, cpumask_of(k, 0), false), 0);
    wake_up_process(k, bound);
  });
});

Deno.test("a task with one allowed CPU runs there, however far that is [cpus=200]", () => {
  runOn0(booted({ cpus: 200 }), function* (k) {
    for (const cpu of [199, 100, 1]) {
      const crowd = new Crowd();
      yield* crowd.start(k, "far", function* (k) {
        assertEquals(k.cpu.id, cpu);
        yield* msleep(k, 1);
        assertEquals(k.cpu.id, cpu);
      }, { cpu });
      yield* crowd.wait(k);
    }
    // Two of them, both beyond the 64 CPUs that a wake-up looks at.
    const mask = new cpumask_t(200);
    for (const cpu of [150, 170]) cpumask_set_cpu(cpu, mask);
    const crowd = new Crowd();
    const p = yield* crowd.make(k, "two", function* (k) {
      assert(k.cpu.id === 150 || k.cpu.id === 170, `${k.cpu.id}`);
    });
    yield* set_cpus_allowed_ptr(k, p, mask);
    wake_up_process(k, p);
    yield* crowd.wait(k);
  });
});

// ---- policies ------------------------------------------------------------------------------------------------------

Deno.test("sched_setscheduler_nocheck() takes priorities 1-99 for SCHED_FIFO and 0 for normal tasks", () => {
  runOn0(booted(), function* (k) {
    const p = yield* newThread(k, "p", function* () {});
    for (const [policy, prio] of [[SCHED_FIFO, 0], [SCHED_FIFO, 100], [SCHED_NORMAL, 1], [9, 0]]) {
      assertEquals(sched_setscheduler_nocheck(k, p, policy, prio), -EINVAL);
    }
    assertEquals([sched_setscheduler_nocheck(k, p, SCHED_FIFO, 99), p.prio], [0, 0]);
    assertEquals([sched_setscheduler_nocheck(k, p, SCHED_FIFO, 1), p.prio], [0, 98]);
    assertEquals([sched_setscheduler_nocheck(k, p, SCHED_NORMAL, 0), p.prio], [0, 120]);
    wake_up_process(k, p);
  });
});

Deno.test("a running task that becomes SCHED_FIFO keeps its CPU; back to normal it is fair again and was charged nothing", () => {
  eachMachine((k, { name }) => {
    runOn0(k, function* (k) {
      const me = current(k);
      const log: string[] = [];
      const crowd = new Crowd();
      const other = yield* crowd.make(k, "other", noting(log, "other"), { cpu: 0 });
      assertEquals(sched_setscheduler_nocheck(k, me, SCHED_FIFO, 10), 0);
      wake_up_process(k, other);
      const [lag, ran] = [me.se.vruntime, me.se.sum_exec_runtime]; // relative, off the fair queue
      for (let i = 0; i < 10; i++) {
        yield* udelay(k, 4000);
        yield* cond_resched(k);
      }
      assertEquals(log, [], "fair tasks wait");
      assertEquals(sched_setscheduler_nocheck(k, me, SCHED_NORMAL, 0), 0);
      assert(need_resched(k), "the scheduler looks again");
      const took = me.se.sum_exec_runtime - ran;
      assert(took >= 40e6 && took < 80e6, `${took} ${name}`); // stalls are run time too
      const rq = cpu_rq(k, 0);
      assertEquals([rq.cfs.curr === me, rq.nr_running, rq.cfs.nr_running], [true, 2, 2]);
      // 40 ms as SCHED_FIFO are not virtual run time, and no credit either.
      assertEquals(me.se.vruntime - rq.cfs.min_vruntime, lag, name);
      yield* crowd.wait(k);
      assertEquals(log, ["other"]);
    }, name);
  });
});

Deno.test("a waiting task that becomes SCHED_FIFO preempts; one that loses priority goes in front of its new equals", () => {
  const log: string[] = [];
  runOn0(booted(), function* (k) {
    const crowd = new Crowd();
    const made: task_struct[] = [];
    for (const [name, fifo] of [["a", 10], ["b", 10], ["c", 20]] as const) {
      made.push(yield* crowd.make(k, name, noting(log, name), { cpu: 0, fifo }));
    }
    const fair = yield* crowd.make(k, "fair", noting(log, "fair"), { cpu: 0 });
    sched_setscheduler_nocheck(k, current(k), SCHED_FIFO, 50);
    for (const p of [...made, fair]) wake_up_process(k, p);
    sched_setscheduler_nocheck(k, made[2], SCHED_FIFO, 10); // lowered: before a
    assert(!need_resched(k));
    sched_setscheduler_nocheck(k, fair, SCHED_FIFO, 60);
    assert(need_resched(k));
    yield* crowd.wait(k);
  });
  assertEquals(log, ["fair", "c", "a", "b"]);
});

// ---- complaints ----------------------------------------------------------------------------------------------------

Deno.test("sched_setscheduler() is sched_setscheduler_nocheck(): nobody has rights to check", () => {
  runOn0(booted(), function* (k) {
    const me = current(k);
    assertEquals(sched_setscheduler(k, me, SCHED_FIFO, 0), -EINVAL);
    assertEquals(sched_setscheduler(k, me, SCHED_FIFO, 7), 0);
    assertEquals([me.policy, me.sched_class.name], [SCHED_FIFO, "rt"]);
    assertEquals(sched_setscheduler(k, me, SCHED_NORMAL, 0), 0);
    assertEquals(me.sched_class.name, "fair");
    yield* cond_resched(k);
  });
});

Deno.test("set_tsk_need_resched() marks the task that runs, clear_tsk_need_resched() takes the mark away", () => {
  runOn0(booted(), function* (k) {
    const me = current(k);
    const other = yield* newThread(k, "other", function* (): MaySleep<void> {});
    assertEquals(task_cpu(me), 0);
    preempt_disable(k);
    set_tsk_need_resched(k, other);
    assert(!need_resched(k), "it does not run");
    set_tsk_need_resched(k, me);
    clear_tsk_need_resched(k, other);
    assert(need_resched(k), "it is not the other's mark");
    clear_tsk_need_resched(k, me);
    assert(!need_resched(k));
    preempt_enable(k);
    wake_up_process(k, other);
    yield* msleep(k, 1);
  });
});
