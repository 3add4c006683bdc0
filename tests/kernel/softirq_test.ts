// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of kernel/softirq.ts: when softirqs run, how long, and who runs them.
 *
 * Ten rounds and 2 ms are MAX_SOFTIRQ_RESTART and MAX_SOFTIRQ_TIME of kernel/softirq.c (5.7).
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Atomic, MaySleep } from "../../kernel/machine/effects.ts";
import { VECTOR_DEVICE } from "../../kernel/machine/cpu.ts";
import { deviceHandler, udelay } from "../../kernel/entry.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import {
  in_interrupt,
  in_irq,
  in_serving_softirq,
  in_softirq,
  irqs_disabled,
  local_irq_disable,
  local_irq_enable,
  preempt_disable,
} from "../../kernel/preempt.ts";
import { cond_resched, current, wake_up_process } from "../../kernel/sched/core.ts";
import { PF_MEMALLOC } from "../../kernel/sched/sched.ts";
import {
  do_softirq,
  HI_SOFTIRQ,
  ksoftirqd,
  kstat_softirqs_cpu,
  local_bh_disable,
  local_bh_enable,
  local_softirq_pending,
  open_softirq,
  raise_softirq,
  raise_softirq_irqoff,
  RCU_SOFTIRQ,
  TASKLET_SOFTIRQ,
} from "../../kernel/softirq.ts";
import { per_cpu_ptr, this_cpu_ptr } from "../../kernel/static.ts";
import { msleep } from "../../kernel/time/timer.ts";
import { booted, type Code, Crowd, eachMachine, reportsOf, runOn0 } from "./booted.ts";
import { arg, eventsOf } from "../machines.ts";
import { dmesg } from "../helpers.ts";

/** A softirq that no part of this kernel uses. */
const SCHED = 7;

function isKsoftirqd(k: Kernel): boolean {
  return current(k) === this_cpu_ptr(k, ksoftirqd);
}

/** Notes each run of the vector as "vec@where". */
function noteRuns(
  k: Kernel,
  log: string[],
  vectors: readonly number[],
  action: Code2 = () => undefined,
): void {
  for (const vec of vectors) {
    open_softirq(k, vec, function* (k): Atomic<void> {
      assert(in_serving_softirq(k) && !in_irq(k) && !irqs_disabled(k));
      log.push(`${vec}@${isKsoftirqd(k) ? "ksoftirqd" : current(k).comm}`);
      yield* udelay(k, 1);
      action(k, vec);
    });
  }
}

type Code2 = (k: Kernel, vec: number) => void;

/** Raises an interrupt on this CPU, whose handler is `handler`, and lets it in. */
function* interrupted(k: Kernel, handler: (k: Kernel) => Atomic<void>): MaySleep<void> {
  deviceHandler.set(k, handler);
  k.sendIpi(k.cpu, VECTOR_DEVICE);
  yield* udelay(k, 1);
}

Deno.test("raise_softirq() in an interrupt runs at its end, by number; HI first, RCU last [cpus preempt seeds]", () => {
  eachMachine((k, { name }) => {
    const log: string[] = [];
    noteRuns(k, log, [RCU_SOFTIRQ, SCHED, HI_SOFTIRQ]);
    runOn0(k, function* (k) {
      yield* interrupted(k, function* (k): Atomic<void> {
        for (const vec of [RCU_SOFTIRQ, HI_SOFTIRQ, SCHED]) raise_softirq_irqoff(k, vec);
        yield* udelay(k, 1);
        assertEquals(log, []);
      });
      assertEquals(log, ["0@main", "7@main", "9@main"], name);
      assertEquals([in_interrupt(k), irqs_disabled(k), k.cpu.preempt_count], [false, false, 0]);
    }, name);
    assertEquals(kstat_softirqs_cpu(k, SCHED, 0), 1);
  });
});

Deno.test("raise_softirq() in a task wakes ksoftirqd of this CPU, which runs it [cpus preempt seeds]", () => {
  eachMachine((k, { name }) => {
    const log: string[] = [];
    noteRuns(k, log, [SCHED]);
    runOn0(k, function* (k) {
      raise_softirq(k, SCHED);
      assertEquals(log, []);
      const thread = this_cpu_ptr(k, ksoftirqd);
      assert(thread !== null && thread.on_rq && thread.comm === "ksoftirqd/0");
      yield* msleep(k, 1);
      assertEquals(log, ["7@ksoftirqd"], name);
    }, name);
  });
});

Deno.test("local_bh_enable() runs what is pending, the outermost one only [cpus preempt seeds]", () => {
  eachMachine((k, { name }) => {
    const log: string[] = [];
    noteRuns(k, log, [SCHED, TASKLET_SOFTIRQ]);
    runOn0(k, function* (k) {
      local_bh_disable(k);
      local_bh_disable(k);
      assert(in_softirq(k) && !in_serving_softirq(k));
      raise_softirq(k, SCHED);
      raise_softirq(k, TASKLET_SOFTIRQ);
      yield* interrupted(k, (k) => udelay(k, 1)); // irq_exit() must not run them either
      yield* local_bh_enable(k);
      yield* udelay(k, 5);
      assertEquals(log, []);
      yield* local_bh_enable(k);
      assertEquals(log, ["6@main", "7@main"], name);
      assertEquals(k.cpu.preempt_count, 0);
    }, name);
  });
});

Deno.test("local_bh_enable() with a reschedule pending switches after the softirqs, at the next point [preempt=full]", () => {
  const k = booted({ preempt: "full" });
  const log: string[] = [];
  noteRuns(k, log, [SCHED]);
  runOn0(k, function* (k) {
    const crowd = new Crowd();
    const high = yield* crowd.make(k, "high", function* () {
      log.push("high");
    }, { cpu: 0, fifo: 1 });
    local_bh_disable(k);
    raise_softirq(k, SCHED);
    wake_up_process(k, high);
    yield* local_bh_enable(k);
    log.push("enabled");
    yield* udelay(k, 1);
    yield* crowd.wait(k);
  });
  assertEquals(log, ["7@main", "enabled", "high"]);
});

Deno.test("a softirq that raises itself runs ten times in a row, then in ksoftirqd, which gives way [preempt seeds]", () => {
  eachMachine((k, { name }) => {
    const log: string[] = [];
    let left = 25;
    noteRuns(k, log, [SCHED], (k, vec) => {
      if (--left > 0) raise_softirq(k, vec);
    });
    runOn0(k, function* (k) {
      yield* interrupted(k, function* (k): Atomic<void> {
        yield* udelay(k, 1);
        raise_softirq_irqoff(k, SCHED);
      });
      while (left > 0) yield* msleep(k, 1);
      assertEquals(log, [...new Array(10).fill("7@main"), ...new Array(15).fill("7@ksoftirqd")], name);
    }, name);
  }, [1, 2]);
});

Deno.test("softirqs stop after 2 ms, and when the CPU is to be rescheduled", () => {
  for (const how of ["time", "resched"] as const) {
    const k = booted({ HZ: 1000 });
    const log: string[] = [];
    noteRuns(k, log, [SCHED], (k, vec) => {
      if (log.length < 30) raise_softirq(k, vec);
      if (how === "time") k.charge(900_000);
      else if (log.length === 4) k.cpu.need_resched = true;
    });
    runOn0(k, function* (k) {
      yield* interrupted(k, function* (k): Atomic<void> {
        yield* udelay(k, 1);
        raise_softirq_irqoff(k, SCHED);
      });
      const inTask = log.filter((run) => run === "7@main").length;
      // 0.9 ms a round: the third round begins before 2 jiffies are over, at most one more does.
      if (how === "time") assert(inTask === 3 || inTask === 4, `${inTask}`);
      else assertEquals(inTask, 4);
      while (log.length < 30) yield* msleep(k, 1);
    });
  }
});

Deno.test("while ksoftirqd is runnable softirqs are left to it, but for HI and TASKLET", () => {
  const k = booted();
  const log: string[] = [];
  noteRuns(k, log, [SCHED, HI_SOFTIRQ]);
  runOn0(k, function* (k) {
    raise_softirq(k, SCHED); // wakes ksoftirqd, which cannot run while we do not give way
    yield* interrupted(k, (k) => udelay(k, 1));
    assertEquals(log, []);
    local_irq_disable(k);
    raise_softirq_irqoff(k, HI_SOFTIRQ);
    local_irq_enable(k);
    yield* interrupted(k, (k) => udelay(k, 1));
    assertEquals(log, ["0@main", "7@main"]);
    yield* cond_resched(k);
    yield* msleep(k, 1);
  });
});

Deno.test("softirqs do not nest: an interrupt in a softirq leaves the new ones to the next round [cpus preempt seeds]", () => {
  eachMachine((k, { name }) => {
    const log: string[] = [];
    open_softirq(k, SCHED, function* (k): Atomic<void> {
      log.push("begin");
      if (log.length === 2) {
        k.sendIpi(k.cpu, VECTOR_DEVICE);
        yield* udelay(k, 5);
      }
      log.push("end");
    });
    runOn0(k, function* (k) {
      yield* interrupted(k, function* (k): Atomic<void> {
        log.push("irq");
        raise_softirq_irqoff(k, SCHED);
        yield* udelay(k, 1);
      });
    }, name);
    assertEquals(log, ["irq", "begin", "irq", "end", "begin", "end"], name);
  });
});

Deno.test("interrupts come in between softirq handlers, and RCU hears of each ksoftirqd round", () => {
  const k = booted();
  let told = 0;
  let rounds = 0;
  k.rcu = {
    ...k.rcu,
    *rcu_softirq_qs(): Atomic<void> {
      told++;
    },
  };
  let left = 12;
  open_softirq(k, SCHED, function* (k): Atomic<void> {
    if (isKsoftirqd(k)) rounds++;
    if (--left > 0) raise_softirq(k, SCHED);
    yield* udelay(k, 1);
  });
  runOn0(k, function* (k) {
    raise_softirq(k, SCHED);
    yield* msleep(k, 10);
  });
  assertEquals([told, rounds, left], [12, 12, 0]);
});

Deno.test("do_softirq() runs what is pending, with interrupts on or off, unless in interrupt", () => {
  const k = booted();
  const log: string[] = [];
  noteRuns(k, log, [SCHED]);
  runOn0(k, function* (k) {
    local_irq_disable(k);
    raise_softirq_irqoff(k, SCHED);
    const thread = this_cpu_ptr(k, ksoftirqd);
    assert(thread !== null);
    local_irq_enable(k);
    yield* msleep(k, 1); // ksoftirqd has done it
    assertEquals(log, ["7@ksoftirqd"]);
    local_bh_disable(k);
    raise_softirq(k, SCHED);
    yield* do_softirq(k);
    assertEquals(log.length, 1);
    yield* local_bh_enable(k);
    assertEquals(log, ["7@ksoftirqd", "7@main"]);
  });
});

Deno.test("a softirq that forgets preempt_enable() is told on, and the count is put right", () => {
  const k = booted();
  open_softirq(k, SCHED, function* leaky(k): Atomic<void> {
    preempt_disable(k);
    yield* udelay(k, 1);
  });
  runOn0(k, function* (k) {
    local_bh_disable(k);
    raise_softirq(k, SCHED);
    yield* local_bh_enable(k);
    assertEquals(k.cpu.preempt_count, 0);
  });
  assertMatch(
    dmesg(k).at(-1) ?? "",
    /^huh, entered softirq 7 SCHED leaky with preempt_count 00000101, exited with 00000102\?$/,
  );
});

Deno.test("a softirq does not inherit the task's right to reserves", () => {
  const k = booted();
  const seen: number[] = [];
  open_softirq(k, SCHED, function* (k): Atomic<void> {
    seen.push(current(k).flags & PF_MEMALLOC);
    yield* udelay(k, 1);
  });
  runOn0(k, function* (k) {
    current(k).flags |= PF_MEMALLOC;
    local_bh_disable(k);
    raise_softirq(k, SCHED);
    yield* local_bh_enable(k);
    seen.push(current(k).flags & PF_MEMALLOC);
    current(k).flags &= ~PF_MEMALLOC;
  });
  assertEquals(seen, [0, PF_MEMALLOC]);
});

Deno.test("local_bh_enable() with interrupts off, and local_bh_enable() too often, are reported", () => {
  for (
    const [want, code] of [
      ["IRQs not enabled as expected", function* (k: Kernel): MaySleep<void> {
        local_bh_disable(k);
        local_irq_disable(k);
        yield* local_bh_enable(k);
        local_irq_enable(k);
      }],
      ["DEBUG_LOCKS_WARN_ON(val > preempt_count())", function* (k: Kernel): MaySleep<void> {
        yield* local_bh_enable(k);
        assertEquals(k.cpu.preempt_count, 0);
      }],
    ] as const
  ) {
    const k = booted();
    const verdict = runOn0Reported(k, code);
    assertEquals(verdict, 1);
    assertEquals(k.reports[0].lines[1], want);
  }
});

function runOn0Reported(k: Kernel, code: Code): number {
  let thrown: unknown = null;
  try {
    runOn0(k, code);
  } catch (error) {
    thrown = error;
  }
  assert(thrown !== null && reportsOf(k) !== "");
  return k.reports.length;
}

Deno.test("each CPU has its own pending softirqs, its own thread and its own counts [cpus=4]", () => {
  const k = booted({ cpus: 4 });
  const cpus: number[] = [];
  open_softirq(k, SCHED, function* (k): Atomic<void> {
    cpus.push(k.cpu.id);
    yield* udelay(k, 1);
  });
  runOn0(k, function* (k) {
    const crowd = new Crowd();
    for (const cpu of [3, 1, 2]) {
      yield* crowd.start(k, "raiser", function* (k) {
        raise_softirq(k, SCHED);
        assert(local_softirq_pending(k) !== 0);
        yield* msleep(k, 1);
        assertEquals(local_softirq_pending(k), 0);
      }, { cpu });
    }
    yield* crowd.wait(k);
  });
  assertEquals(cpus.sort(), [1, 2, 3]);
  assertEquals([0, 1, 2, 3].map((cpu) => kstat_softirqs_cpu(k, SCHED, cpu)), [0, 1, 1, 1]);
  assertEquals([0, 1, 2, 3].map((cpu) => per_cpu_ptr(k, ksoftirqd, cpu)?.comm), [
    "ksoftirqd/0",
    "ksoftirqd/1",
    "ksoftirqd/2",
    "ksoftirqd/3",
  ]);
  assertEquals(eventsOf(k, "softirq_raise").filter((r) => arg(r, "vec") === SCHED).length, 3);
});
