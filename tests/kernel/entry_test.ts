// SPDX-License-Identifier: GPL-2.0-only
/** Tests of kernel/entry.ts: interrupts, their order with softirqs and RCU, user mode, busy waiting. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Atomic, MaySleep } from "../../kernel/machine/effects.ts";
import { VECTOR_CALL_FUNCTION, VECTOR_DEVICE, VECTOR_RESCHEDULE } from "../../kernel/machine/cpu.ts";
import { deviceHandler, ndelay, udelay, user_mode } from "../../kernel/entry.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import {
  in_interrupt,
  in_irq,
  in_task,
  irqs_disabled,
  local_irq_disable,
  local_irq_enable,
  local_irq_restore,
  local_irq_save,
  preempt_count,
  preempt_disable,
  preempt_enable,
} from "../../kernel/preempt.ts";
import { current, schedule, wake_up_process } from "../../kernel/sched/core.ts";
import { open_softirq, raise_softirq_irqoff } from "../../kernel/softirq.ts";
import { msleep } from "../../kernel/time/timer.ts";
import { runToEnd } from "../../mod.ts";
import { booted, Crowd, eachMachine, reportsOf, runOn0 } from "./booted.ts";
import { eventsOf } from "../machines.ts";

const SCHED = 7;

/** Makes RCU's hooks note when they are called on CPU 0, and in which context. */
function instrumentRcu(k: Kernel, log: string[]): void {
  const names = ["rcu_irq_enter", "rcu_irq_exit", "rcu_user_enter", "rcu_user_exit"] as const;
  const hooks = Object.fromEntries(names.map((name) => [name, function* (k: Kernel): Atomic<void> {
    if (k.cpu.id === 0) log.push(`${name}${in_irq(k) ? " in irq" : ""}`);
  }]));
  k.rcu = {
    ...k.rcu,
    ...hooks,
    *rcu_note_context_switch(k: Kernel, preempt: boolean): Atomic<void> {
      if (k.cpu.id === 0) log.push(`switch${preempt ? " by preemption" : ""}`);
    },
  };
}

Deno.test("an interrupt tells RCU first, runs softirqs before it tells RCU last, and reschedules after that [preempt]", () => {
  for (const preempt of ["none", "full"] as const) {
    const k = booted({ preempt });
    const log: string[] = [];
    open_softirq(k, SCHED, function* (): Atomic<void> {
      log.push("softirq");
    });
    runOn0(k, function* (k) {
      const crowd = new Crowd();
      const high = yield* crowd.make(k, "high", function* () {
        log.push("high");
      }, { cpu: 0, fifo: 1 });
      deviceHandler.set(k, function* (k): Atomic<void> {
        assert(in_irq(k) && irqs_disabled(k) && !in_task(k));
        log.push("handler");
        raise_softirq_irqoff(k, SCHED);
        wake_up_process(k, high);
        yield* udelay(k, 1);
      });
      yield* msleep(k, 1);
      instrumentRcu(k, log);
      k.sendIpi(k.cpu, VECTOR_DEVICE);
      yield* udelay(k, 1);
      log.push("task");
      yield* crowd.wait(k);
    });
    const end = log.indexOf("task") + 1;
    const interrupt = ["rcu_irq_enter", "handler", "softirq", "rcu_irq_exit"];
    assertEquals(
      log.slice(0, end),
      preempt === "full"
        ? [...interrupt, "switch by preemption", "high", "switch", "task"]
        : [...interrupt, "task"],
    );
  }
});

Deno.test("pending vectors are handled one after the other, lowest first, each with its own entry", () => {
  const k = booted();
  const log: string[] = [];
  deviceHandler.set(k, function* (): Atomic<void> {
    log.push("device");
  });
  runOn0(k, function* (k) {
    yield* msleep(k, 1);
    instrumentRcu(k, log);
    local_irq_disable(k);
    for (const v of [VECTOR_DEVICE, VECTOR_CALL_FUNCTION, VECTOR_RESCHEDULE]) k.sendIpi(k.cpu, v);
    yield* udelay(k, 1);
    assertEquals(log, [], "interrupts are off");
    const since = k.seq;
    local_irq_enable(k);
    yield* udelay(k, 1);
    log.push("end");
    const order = ["reschedule_entry", "call_function_single_entry"].map((name) =>
      eventsOf(k, name, since).length
    );
    assertEquals(order, [1, 1]);
  });
  const one = ["rcu_irq_enter", "rcu_irq_exit"];
  assertEquals(log.slice(0, 8), [...one, ...one, "rcu_irq_enter", "device", "rcu_irq_exit", "end"]);
});

Deno.test("a pending interrupt comes in at the next point after local_irq_enable() or local_irq_restore()", () => {
  const k = booted();
  let count = 0;
  deviceHandler.set(k, function* (): Atomic<void> {
    count++;
  });
  runOn0(k, function* (k) {
    const outer = local_irq_save(k);
    const inner = local_irq_save(k);
    k.sendIpi(k.cpu, VECTOR_DEVICE);
    yield* udelay(k, 100);
    local_irq_restore(k, inner);
    yield* udelay(k, 100);
    assertEquals([count, irqs_disabled(k)], [0, true]);
    local_irq_restore(k, outer);
    assertEquals(count, 0, "enabling is not a point");
    yield* ndelay(k, 1);
    assertEquals(count, 1);
  });
});

Deno.test("the interrupted context goes on as it was: counts, flags, user mode [cpus preempt seeds]", () => {
  eachMachine((k, { name }) => {
    let seen = 0;
    deviceHandler.set(k, function* (k): Atomic<void> {
      seen++;
      assert(!k.cpu.inUser && irqs_disabled(k), name);
      yield* udelay(k, 3);
    });
    runOn0(k, function* (k) {
      preempt_disable(k);
      for (let i = 0; i < 10; i++) {
        k.sendIpi(k.cpu, VECTOR_DEVICE);
        yield* udelay(k, 1);
        assertEquals([preempt_count(k), irqs_disabled(k), in_interrupt(k)], [1, false, false]);
      }
      preempt_enable(k);
      k.sendIpi(k.cpu, VECTOR_DEVICE);
      yield* user_mode(k, 1000);
      assert(!k.cpu.inUser);
    }, name);
    assertEquals(seen, 11);
  });
});

Deno.test("a handler that leaves interrupts on is reported; they are off again", () => {
  const k = booted();
  deviceHandler.set(k, function* careless(k): Atomic<void> {
    local_irq_enable(k);
    yield* udelay(k, 1);
  });
  const verdict = runToEnd(k, "main", function* (k) {
    for (let i = 0; i < 2; i++) {
      k.sendIpi(k.cpu, VECTOR_DEVICE);
      yield* udelay(k, 1);
    }
  });
  assertEquals([verdict.ending, verdict.reports], ["completed", 1]);
  assertEquals(k.reports[0].lines[1], "irq 0 handler careless enabled interrupts");
});

Deno.test("schedule() in an interrupt handler is reported and does not break the machine", () => {
  const k = booted();
  let pid = 0;
  deviceHandler.set(k, function* (k): Atomic<void> {
    // Does not compile without the cast: a handler is Atomic.
    yield* schedule(k) as unknown as Atomic<void>;
  });
  const verdict = runToEnd(k, "main", function* (k) {
    pid = current(k).pid;
    k.sendIpi(k.cpu, VECTOR_DEVICE);
    yield* udelay(k, 1);
    assertEquals([preempt_count(k), irqs_disabled(k)], [0, false]);
    yield* msleep(k, 10);
  });
  assertEquals(verdict.ending, "completed");
  assertEquals(k.reports[0].title, `BUG: scheduling while atomic: main/${pid}/0x00010001`);
});

Deno.test("user_mode() is interruptible and quiescent: RCU hears of both ends, and around a switch [preempt=none]", () => {
  const k = booted({ preempt: "none" });
  const log: string[] = [];
  runOn0(k, function* (k) {
    const crowd = new Crowd();
    const high = yield* crowd.make(k, "high", function* () {
      log.push("high");
    }, { cpu: 0, fifo: 1 });
    deviceHandler.set(k, function* (k): Atomic<void> {
      wake_up_process(k, high);
      yield* udelay(k, 1);
    });
    yield* msleep(k, 1);
    instrumentRcu(k, log);
    log.push("start");
    k.sendIpi(k.cpu, VECTOR_DEVICE);
    yield* user_mode(k, 10_000);
    log.push("end");
    yield* crowd.wait(k);
  });
  assertEquals(log.slice(log.indexOf("start"), log.indexOf("end") + 1), [
    "start",
    "rcu_user_enter",
    "rcu_irq_enter",
    "rcu_irq_exit",
    "rcu_user_exit",
    "switch",
    "high",
    "switch",
    "rcu_user_enter",
    "rcu_user_exit",
    "end",
  ]);
});

Deno.test("user_mode() with a lock held is reported", () => {
  const k = booted();
  const verdict = runToEnd(k, "main", function* caller(k) {
    preempt_disable(k);
    yield* user_mode(k, 100);
    preempt_enable(k);
  });
  assertEquals([verdict.ending, verdict.reports], ["completed", 1], reportsOf(k));
  assertMatch(k.reports[0].title, /^BUG: sleeping function called from invalid context at user_mode$/);
});

Deno.test("udelay() takes its time and one point, whatever happens meanwhile [cpus preempt seeds]", () => {
  eachMachine((k, { name }) => {
    runOn0(k, function* (k) {
      const flags = local_irq_save(k);
      for (const us of [1, 7, 100, 10_000]) {
        k.kick(); // books what was passed so far
        const [start, points] = [k.now(), k.points];
        yield* udelay(k, us);
        k.kick();
        const took = k.now() - start - us * 1000;
        // One point of 50 ns, and what the schedule adds there.
        assert(took >= 50 && (took - 50) % 250 === 0, `${took} ${name}`);
        assertEquals(k.config.cpus > 1 || k.points - points === 1, true, name);
      }
      local_irq_restore(k, flags);
    }, name);
  });
});

Deno.test("udelay() with interrupts on is interrupted when the interrupt is due, not at its end", () => {
  const k = booted();
  let at = 0;
  deviceHandler.set(k, function* (k): Atomic<void> {
    at = k.now();
  });
  runOn0(k, function* (k): MaySleep<void> {
    k.cpu.ipis = VECTOR_DEVICE;
    k.cpu.ipiAt = k.now() + 300_000;
    const due = k.cpu.ipiAt;
    k.kick();
    yield* udelay(k, 1000);
    assert(at >= due && at < due + 2000, `${due} ${at}`);
  });
});
