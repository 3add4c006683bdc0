// SPDX-License-Identifier: GPL-2.0-only
/** Tests of kernel/smp.ts: calls on other CPUs. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Atomic } from "../../kernel/machine/effects.ts";
import { IPI_NS } from "../../kernel/machine/cost.ts";
import { VECTOR_DEVICE } from "../../kernel/machine/cpu.ts";
import { cpu_online_mask, cpumask_clear_cpu, cpumask_set_cpu, cpumask_t } from "../../kernel/cpumask.ts";
import { deviceHandler, udelay } from "../../kernel/entry.ts";
import { ENXIO } from "../../kernel/errno.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import {
  in_irq,
  irqs_disabled,
  local_irq_disable,
  local_irq_enable,
  preempt_count,
  preempt_disable,
  preempt_enable,
} from "../../kernel/preempt.ts";
import {
  on_each_cpu,
  on_each_cpu_cond,
  smp_call_function,
  smp_call_function_many,
  smp_call_function_single,
  smp_send_reschedule,
} from "../../kernel/smp.ts";
import { msleep } from "../../kernel/time/timer.ts";
import { runToEnd } from "../../mod.ts";
import { booted, Crowd, eachMachine, runOn0 } from "./booted.ts";
import { eventsOf } from "../machines.ts";

Deno.test("smp_call_function_single() with wait returns after the function ran there, in interrupt context [cpus preempt seeds]", () => {
  eachMachine((k, { name, cpus }) => {
    runOn0(k, function* (k) {
      for (let i = 0; i < 10; i++) {
        const target = i % cpus;
        let ran = -1;
        const ret = yield* smp_call_function_single(k, target, function* (k): Atomic<void> {
          assert(irqs_disabled(k) && (target === 0 || in_irq(k)), name);
          yield* udelay(k, 5);
          ran = k.cpu.id;
        }, true);
        assertEquals([ret, ran, preempt_count(k), irqs_disabled(k)], [0, target, 0, false], name);
      }
    }, name);
  });
});

Deno.test("smp_call_function_single() without wait returns at once; the function runs an interrupt later [cpus=2 seeds]", () => {
  eachMachine((k, { name }) => {
    runOn0(k, function* (k) {
      let ranAt = 0;
      const sent = k.now();
      assertEquals(
        yield* smp_call_function_single(k, 1, function* (k): Atomic<void> {
          ranAt = k.now();
        }, false),
        0,
      );
      assertEquals(ranAt, 0, name);
      yield* msleep(k, 1);
      assert(ranAt >= sent + IPI_NS, name);
    }, name);
  }, [2]);
});

Deno.test("a second call without wait waits until the first has begun: a CPU has one structure for them [cpus=3]", () => {
  const k = booted({ cpus: 3 });
  const log: string[] = [];
  runOn0(k, function* (k) {
    const crowd = new Crowd();
    yield* crowd.start(k, "deaf", function* (k) {
      local_irq_disable(k);
      yield* udelay(k, 500);
      log.push("on");
      local_irq_enable(k);
      yield* udelay(k, 100);
    }, { cpu: 1 });
    yield* udelay(k, 10);
    for (const cpu of [1, 2]) {
      yield* smp_call_function_single(k, cpu, function* (k): Atomic<void> {
        yield* udelay(k, 20);
        log.push(`ran ${cpu}`);
      }, false);
      log.push(`sent ${cpu}`);
    }
    yield* crowd.wait(k);
  });
  assertEquals(log.filter((l) => l.startsWith("sent") || l === "on"), ["sent 1", "on", "sent 2"]);
  assertEquals(log.filter((l) => l.startsWith("ran")).sort(), ["ran 1", "ran 2"]);
  assert(log.indexOf("sent 2") < log.indexOf("ran 1"), "begun is enough, ended it need not be");
});

Deno.test("a target with interrupts off delays the call until it enables them [cpus=2 preempt seeds]", () => {
  eachMachine((k, { name }) => {
    const log: string[] = [];
    runOn0(k, function* (k) {
      const crowd = new Crowd();
      let off = false;
      yield* crowd.start(k, "deaf", function* (k) {
        local_irq_disable(k);
        off = true;
        yield* udelay(k, 300);
        log.push("enabled");
        local_irq_enable(k);
        yield* udelay(k, 1);
      }, { cpu: 1 });
      while (!off) yield* udelay(k, 1);
      yield* smp_call_function_single(k, 1, function* (): Atomic<void> {
        log.push("called");
      }, true);
      log.push("returned");
      yield* crowd.wait(k);
    }, name);
    assertEquals(log, ["enabled", "called", "returned"], name);
  }, [2]);
});

Deno.test("the waiting CPU takes interrupts meanwhile; two CPUs may call each other [cpus=2 seeds]", () => {
  eachMachine((k, { name }) => {
    let calls = 0;
    const count = function* (k: Kernel): Atomic<void> {
      yield* udelay(k, 3);
      calls++;
    };
    runOn0(k, function* (k) {
      const crowd = new Crowd();
      for (const cpu of [0, 1]) {
        yield* crowd.start(k, "caller", function* (k) {
          for (let i = 0; i < 20; i++) yield* smp_call_function_single(k, 1 - cpu, count, true);
        }, { cpu });
      }
      yield* crowd.wait(k);
    }, name);
    assertEquals(calls, 40, name);
  }, [2]);
});

Deno.test("smp_call_function_single() on a CPU that is offline or does not exist is -ENXIO, and nothing stays locked", () => {
  const k = booted({ cpus: 2 });
  runOn0(k, function* (k) {
    let ran = 0;
    const func = function* (): Atomic<void> {
      ran++;
    };
    cpumask_clear_cpu(1, cpu_online_mask(k));
    for (const wait of [true, false]) {
      for (const cpu of [1, 2, 4095]) {
        assertEquals(yield* smp_call_function_single(k, cpu, func, wait), -ENXIO);
        assertEquals(preempt_count(k), 0);
      }
    }
    cpumask_set_cpu(1, cpu_online_mask(k));
    assertEquals([ran, yield* smp_call_function_single(k, 1, func, true), ran], [0, 0, 1]);
  });
});

Deno.test("calls that were queued together are run by one interrupt, in order", () => {
  const k = booted({ cpus: 4 });
  const order: number[] = [];
  runOn0(k, function* (k) {
    const crowd = new Crowd();
    yield* crowd.start(k, "deaf", function* (k) {
      local_irq_disable(k);
      yield* udelay(k, 200);
      local_irq_enable(k);
      yield* udelay(k, 1);
    }, { cpu: 3 });
    yield* udelay(k, 20);
    const since = k.seq;
    for (const cpu of [1, 2]) {
      yield* crowd.start(k, "caller", (k) => {
        return callWith(k, cpu);
      }, { cpu });
      yield* udelay(k, 20);
    }
    yield* callWith(k, 0);
    yield* crowd.wait(k);
    assertEquals(eventsOf(k, "call_function_single_entry", since).length, 1);
  });
  assertEquals(order, [1, 2, 0]);

  function* callWith(k: Kernel, value: number): Atomic<void> {
    yield* smp_call_function_single(k, 3, function* (): Atomic<void> {
      order.push(value);
    }, true);
  }
});

Deno.test("smp_call_function_many() runs on the others of the mask at the same time [cpus=4 seeds]", () => {
  eachMachine((k, { name }) => {
    const [start, end]: [number[], number[]] = [[], []];
    runOn0(k, function* (k) {
      const mask = new cpumask_t(4);
      for (const cpu of [0, 1, 3]) cpumask_set_cpu(cpu, mask);
      preempt_disable(k);
      for (let i = 0; i < 3; i++) {
        yield* smp_call_function_many(k, mask, function* (k): Atomic<void> {
          start.push(k.now());
          yield* udelay(k, 100);
          end.push(k.cpu.id);
        }, true);
        assertEquals(end.slice(2 * i).sort(), [1, 3], name);
      }
      preempt_enable(k);
    }, name);
    // 100 us each: one after the other no two would overlap; a stall may part some.
    assert([0, 2, 4].some((i) => Math.abs(start[i] - start[i + 1]) < 90_000), `${start} ${name}`);
  }, [4]);
});

Deno.test("smp_call_function() leaves this CPU out, on_each_cpu() does not, on_each_cpu_cond() asks [cpus=1,4]", () => {
  for (const cpus of [1, 4]) {
    runOn0(booted({ cpus }), function* (k) {
      const all = [...Array(cpus).keys()];
      let ran: number[] = [];
      const note = function* (k: Kernel): Atomic<void> {
        ran.push(k.cpu.id);
      };
      assertEquals(yield* smp_call_function(k, note, true), 0);
      assertEquals(ran.sort(), all.slice(1));
      ran = [];
      yield* on_each_cpu(k, note, true);
      assertEquals(ran.sort(), all);
      ran = [];
      yield* on_each_cpu_cond(k, (_k, cpu) => cpu % 2 === 0, note, true);
      assertEquals(ran.sort(), all.filter((cpu) => cpu % 2 === 0));
      assertEquals([preempt_count(k), irqs_disabled(k)], [0, false]);
    });
  }
});

Deno.test("calling with interrupts off, or from an interrupt, is warned about", () => {
  const nothing = function* (): Atomic<void> {};
  for (const where of ["irqs off", "interrupt"] as const) {
    const k = booted({ cpus: 2 });
    deviceHandler.set(k, function* (k): Atomic<void> {
      yield* smp_call_function_single(k, 1, nothing, true);
    });
    const verdict = runToEnd(k, "main", function* (k) {
      if (where === "irqs off") {
        local_irq_disable(k);
        yield* smp_call_function_single(k, 1, nothing, true);
        local_irq_enable(k);
      } else {
        k.sendIpi(k.cpu, VECTOR_DEVICE);
        yield* udelay(k, 50);
      }
    });
    assertEquals(verdict.ending, "completed");
    assertEquals(verdict.reports, where === "irqs off" ? 1 : 2);
    assertMatch(k.reports[0].title, /^WARNING: CPU: \d PID: \d+ at smp_call_function_single/);
  }
});

Deno.test("two CPUs that call each other with interrupts off end in a deadlock verdict, not in a hang", () => {
  const k = booted({ cpus: 2 });
  const nothing = function* (): Atomic<void> {};
  const verdict = runToEnd(k, "main", function* (k) {
    const crowd = new Crowd();
    for (const cpu of [0, 1]) {
      yield* crowd.start(k, `caller/${cpu}`, function* (k) {
        local_irq_disable(k);
        yield* udelay(k, 100);
        yield* smp_call_function_single(k, 1 - cpu, nothing, true);
        local_irq_enable(k);
      }, { cpu });
    }
    yield* crowd.wait(k);
  });
  assertEquals(verdict.ending, "deadlock");
  assertEquals(verdict.remaining.filter((p) => p.state === "spins on call_single_data").map((p) => p.comm), [
    "caller/0",
    "caller/1",
  ]);
});

Deno.test("smp_send_reschedule() interrupts a CPU, and that is all [cpus=2]", () => {
  runOn0(booted({ cpus: 2 }), function* (k) {
    const since = k.seq;
    smp_send_reschedule(k, 1);
    yield* udelay(k, 10);
    assertEquals(eventsOf(k, "reschedule_entry", since).map((r) => r.cpu), [1]);
    assertEquals(eventsOf(k, "sched_switch", since).filter((r) => r.cpu === 1), []);
  });
});
