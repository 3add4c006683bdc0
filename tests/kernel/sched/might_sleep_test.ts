// SPDX-License-Identifier: GPL-2.0-only
/** Sleeping where it is forbidden: the reports of kernel/sched/core.ts in the kernel's words. */
import { assertEquals, assertMatch } from "@std/assert";
import type { MaySleep } from "../../../kernel/machine/effects.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { raw_spinlock_t, spin_lock, spin_unlock } from "../../../kernel/locking/spinlock.ts";
import {
  local_irq_disable,
  local_irq_enable,
  preempt_disable,
  preempt_enable,
} from "../../../kernel/preempt.ts";
import { complete, completion, wait_for_completion } from "../../../kernel/sched/completion.ts";
import {
  __set_cpus_allowed_ptr,
  cond_resched,
  current,
  might_sleep,
  set_current_state,
  wake_up_process,
} from "../../../kernel/sched/core.ts";
import { TASK_INTERRUPTIBLE, TASK_RUNNING } from "../../../kernel/sched/sched.ts";
import { local_bh_disable, local_bh_enable } from "../../../kernel/softirq.ts";
import { msleep } from "../../../kernel/time/timer.ts";
import { runToEnd } from "../../../mod.ts";
import { booted, type Code, Crowd, eachMachine, reportsOf } from "../booted.ts";

const INVALID = "BUG: sleeping function called from invalid context at ";

/** Runs `main`, which makes the kernel report `n` times; returns the lines of the first report. */
function reported(k: Kernel, n: number, main: Code): readonly string[] {
  const verdict = runToEnd(k, "main", main);
  assertEquals([verdict.ending, verdict.reports], ["completed", n], reportsOf(k));
  return k.reports[k.reports.length - n]?.lines ?? [];
}

Deno.test("might_sleep() reports atomic context in the kernel's words, once a second", () => {
  const contexts: readonly [string, (k: Kernel) => void, (k: Kernel) => MaySleep<void> | void][] = [
    ["in_atomic(): 1, irqs_disabled(): 0", preempt_disable, preempt_enable],
    ["in_atomic(): 0, irqs_disabled(): 1", local_irq_disable, local_irq_enable],
    ["in_atomic(): 1, irqs_disabled(): 0", local_bh_disable, local_bh_enable],
  ];
  for (const [text, enter, leave] of contexts) {
    let pid = 0;
    const lines = reported(booted(), 2, function* might_be_called(k) {
      pid = current(k).pid;
      for (let i = 0; i < 3; i++) {
        enter(k);
        might_sleep(k);
        might_sleep(k);
        const end = leave(k);
        if (end !== undefined) yield* end;
        yield* msleep(k, 600);
      }
    });
    assertEquals(lines.slice(0, 2), [
      `${INVALID}might_be_called`,
      `${text}, non_block: 0, pid: ${pid}, name: main`,
    ]);
    assertMatch(lines[2], /^no locks held by main\/\d+\.$/);
    assertMatch(lines[3], /^CPU: 0 PID: \d+ Comm: main Not tainted 5\.7\.0-quiesce #1$/);
  }
});

Deno.test("might_sleep() is silent where sleeping is allowed, and without debugging", () => {
  reported(booted(), 0, function* (k) {
    might_sleep(k);
    yield* cond_resched(k);
  });
  reported(booted({ debug: false }), 0, function* (k) {
    preempt_disable(k);
    might_sleep(k);
    preempt_enable(k);
    yield* cond_resched(k);
  });
});

Deno.test("cond_resched() in atomic context is reported, whether its point is taken or not [preempt]", () => {
  for (const preempt of ["none", "full"] as const) {
    for (const taken of [false, true]) {
      const lines = reported(booted({ preempt }), 1, function* caller(k) {
        preempt_disable(k);
        if (taken) k.kick();
        assertEquals(yield* cond_resched(k), false);
        preempt_enable(k);
      });
      assertEquals(lines[0], `${INVALID}caller`);
    }
  }
});

Deno.test("might_sleep() of a task that has said it will sleep warns: its state would be lost", () => {
  const lines = reported(booted(), 1, function* (k) {
    set_current_state(k, TASK_INTERRUPTIBLE);
    might_sleep(k);
    might_sleep(k);
    set_current_state(k, TASK_RUNNING);
    yield* cond_resched(k);
  });
  assertEquals(lines[1], "do not call blocking ops when !TASK_RUNNING; state=1");
});

Deno.test("schedule() in atomic context is reported, sleeps all the same, and hurts nobody else [cpus preempt seeds]", () => {
  eachMachine((k, { name }) => {
    const lock = new raw_spinlock_t("some_lock");
    const log: string[] = [];
    let pid = 0;
    const lines = reported(k, 2, function* (k) {
      const crowd = new Crowd();
      yield* crowd.start(k, "other", function* (k) {
        yield* msleep(k, 2);
        log.push(`other with ${k.cpu.preempt_count}`);
      });
      pid = current(k).pid;
      yield* spin_lock(k, lock);
      yield* msleep(k, 10);
      log.push(`back with ${k.cpu.preempt_count}`);
      // The count was reset: this enable is one too many, and says so.
      spin_unlock(k, lock);
      assertEquals(k.cpu.preempt_count, 0);
      yield* crowd.wait(k);
    });
    assertEquals(log, ["other with 0", "back with 0"], name);
    assertEquals(lines[0], `BUG: scheduling while atomic: main/${pid}/0x00000002`, name);
    const second = k.reports[k.reports.length - 1].lines;
    assertMatch(second[1], /^(BUG: spinlock wrong CPU|DEBUG_LOCKS_WARN_ON\(val > preempt_count\(\)\))/, name);
  }, [1]);
});

Deno.test("wait_for_completion() under a spinlock is reported even when it need not wait", () => {
  const lock = new raw_spinlock_t("some_lock");
  const lines = reported(booted(), 1, function* holder(k) {
    const done = new completion("done");
    complete(k, done);
    yield* spin_lock(k, lock);
    yield* wait_for_completion(k, done);
    spin_unlock(k, lock);
  });
  assertMatch(lines[0], new RegExp(`^${INVALID}`));
});

Deno.test("cond_resched() with interrupts off is reported, and gives way all the same [preempt=none]", () => {
  const log: string[] = [];
  const lines = reported(booted({ preempt: "none" }), 1, function* caller(k) {
    const crowd = new Crowd();
    const high = yield* crowd.make(k, "high", function* () {
      log.push("high");
    }, { cpu: 0, fifo: 1 });
    local_irq_disable(k);
    wake_up_process(k, high);
    assertEquals(yield* cond_resched(k), true);
    log.push("back");
    // The scheduler has enabled them, as in Linux.
    assertEquals(k.cpu.irqsOn, true);
    yield* crowd.wait(k);
  });
  assertEquals([lines[0], log], [`${INVALID}caller`, ["high", "back"]]);
});
