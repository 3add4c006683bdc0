// SPDX-License-Identifier: GPL-2.0-only
/** Tests of kernel/time/tick-sched.ts: the tick, stopping it, and who counts jiffies. */
import { assert, assertEquals } from "@std/assert";
import type { Atomic } from "../../../kernel/machine/effects.ts";
import { VECTOR_DEVICE } from "../../../kernel/machine/cpu.ts";
import { deviceHandler, udelay, user_mode } from "../../../kernel/entry.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { local_irq_disable, local_irq_enable } from "../../../kernel/preempt.ts";
import { current, wake_up_process } from "../../../kernel/sched/core.ts";
import { cpu_rq } from "../../../kernel/sched/sched.ts";
import { __raise_softirq_irqoff, open_softirq } from "../../../kernel/softirq.ts";
import { per_cpu_ptr } from "../../../kernel/static.ts";
import { INITIAL_JIFFIES, jiffies, TICK_NSEC } from "../../../kernel/time/jiffies.ts";
import { tick_cpu_sched, timekeeper } from "../../../kernel/time/tick-sched.ts";
import { msleep, schedule_timeout_uninterruptible } from "../../../kernel/time/timer.ts";
import { booted, Crowd, eachMachine, pin, runOn0 } from "../booted.ts";
import { dmesg } from "../../helpers.ts";
import { eventsOf } from "../../machines.ts";

/** What jiffies should be at time `ns`: the lines of the grid that have passed. */
function jiffiesAt(k: Kernel, ns: number): number {
  return INITIAL_JIFFIES(k) + Math.floor(ns / TICK_NSEC(k));
}

Deno.test("a busy CPU ticks once a jiffy, on the grid [HZ]", () => {
  for (const HZ of [12, 100, 250, 300, 1000, 10000]) {
    const k = booted({ HZ });
    const period = Math.floor(1e9 / HZ);
    runOn0(k, function* (k) {
      yield* udelay(k, period / 1000);
      const since = k.seq;
      const [start, from] = [k.now(), jiffies(k)];
      yield* udelay(k, 20 * period / 1000);
      const ticks = eventsOf(k, "local_timer_entry", since).map((r) => r.ns);
      assertEquals(jiffies(k) - from, ticks.length);
      // The ticks themselves take time, which is not part of the delay.
      const passed = Math.floor(k.now() / period) - Math.floor(start / period);
      assertEquals(ticks.length, passed, `HZ=${HZ}`);
      // Half a microsecond for the entry, and what the points before it cost.
      for (const ns of ticks) assert(ns % period < 2000, `HZ=${HZ} tick at ${ns}`);
    });
  }
});

Deno.test("jiffies is what the grid says, whoever counts [cpus preempt seeds]", () => {
  eachMachine((k, { name, cpus }) => {
    runOn0(k, function* (k) {
      for (let i = 0; i < 12; i++) {
        yield* pin(k, i % cpus);
        if (i % 3 === 0) yield* msleep(k, 20);
        else if (i % 3 === 1) yield* user_mode(k, 9_000_000);
        else yield* udelay(k, 9000);
        const late = jiffiesAt(k, k.now()) - jiffies(k);
        // Others may be stalled in front of the tick that counts, for 16 ms at most.
        assert(late >= 0 && late <= 1 + Math.ceil(17e6 / TICK_NSEC(k)), `${late} ${name}`);
        if (cpus === 1) assertEquals(late, 0, name);
      }
    }, name);
  });
});

Deno.test("an idle CPU has no tick: one timer interrupt for a sleep of seconds, and jiffies is right afterwards", () => {
  for (const cpus of [1, 4]) {
    const k = booted({ cpus });
    runOn0(k, function* (k) {
      yield* msleep(k, 10);
      const since = k.seq;
      const from = jiffies(k);
      yield* schedule_timeout_uninterruptible(k, 2500);
      // The wheel rounds 2500 jiffies up to a bucket of 64.
      const slept = jiffies(k) - from;
      assert(slept >= 2500 && slept <= 2500 + 64, `${slept}`);
      assertEquals(jiffies(k), jiffiesAt(k, k.now()));
      const ticks = eventsOf(k, "local_timer_entry", since);
      // The tick that was due when it went idle, and the timer; cascades of the wheel are no interrupts.
      assert(ticks.length >= 1 && ticks.length <= 3, `${ticks.length} on ${cpus} CPUs`);
    });
  }
});

Deno.test("an idle machine is quiet for ever: nothing is due", () => {
  const k = booted({ cpus: 4 });
  const before = k.seq;
  assertEquals(k.run(k.now() + 3600e9), "idle");
  assertEquals(k.seq, before);
  for (const cpu of k.cpus) {
    assertEquals([cpu.timerAt, per_cpu_ptr(k, tick_cpu_sched, cpu.id).tick_stopped], [Infinity, true]);
  }
  assertEquals(timekeeper(k), -1);
});

Deno.test("a CPU that wakes up ticks again, from the next line of the grid on [cpus=2]", () => {
  const k = booted({ cpus: 2 });
  runOn0(k, function* (k) {
    yield* msleep(k, 50);
    yield* pin(k, 1);
    const since = k.seq;
    yield* udelay(k, 20_000);
    const own = eventsOf(k, "local_timer_entry", since).filter((r) => r.cpu === 1);
    assertEquals(own.length, 5);
    assert(!per_cpu_ptr(k, tick_cpu_sched, 1).tick_stopped);
    for (const r of own) assert(r.ns % TICK_NSEC(k) < 2000);
  });
});

Deno.test("the CPU that counts jiffies hands it over when it goes idle [cpus=2]", () => {
  const k = booted({ cpus: 2 });
  runOn0(k, function* (k) {
    yield* udelay(k, 10_000);
    assertEquals(timekeeper(k), 0);
    yield* pin(k, 1);
    yield* udelay(k, 10_000); // CPU 0 idles by now
    assertEquals(timekeeper(k), 1);
    assertEquals(jiffies(k), jiffiesAt(k, k.now()));
    yield* pin(k, 0);
    yield* udelay(k, 10_000);
    assertEquals(timekeeper(k), 0);
  });
});

Deno.test("jiffies stands still while its CPU has interrupts off, and then catches up [cpus=2]", () => {
  const k = booted({ cpus: 2 });
  runOn0(k, function* (k) {
    const crowd = new Crowd();
    let stop = false;
    const seen: number[] = [];
    const reader = yield* crowd.make(k, "reader", function* (k) {
      while (!stop) {
        yield* udelay(k, 1000);
        seen.push(jiffies(k));
      }
    }, { cpu: 1 });
    yield* udelay(k, 10_000);
    assertEquals(timekeeper(k), 0);
    wake_up_process(k, reader);
    local_irq_disable(k);
    const from = jiffies(k);
    yield* udelay(k, 40_000);
    assertEquals(jiffies(k), from);
    assert(seen.length > 30 && seen.every((j) => j === from));
    stop = true;
    local_irq_enable(k);
    yield* udelay(k, 10);
    assertEquals(jiffies(k), jiffiesAt(k, k.now()));
    yield* crowd.wait(k);
  });
});

Deno.test("ticks are booked on the task they hit; the idle task has none [preempt]", () => {
  for (const preempt of ["none", "full"] as const) {
    const k = booted({ preempt });
    runOn0(k, function* (k) {
      const me = current(k);
      yield* msleep(k, 40);
      yield* udelay(k, 40_000);
      yield* user_mode(k, 60_000_000);
      assertEquals([me.stime, me.utime], [10, 15]);
    });
    const { idle } = cpu_rq(k, 0);
    assertEquals([idle.stime, idle.utime], [0, 0]);
  }
});

Deno.test("the handler of an interrupt that ends a long idle period sees the right jiffies [cpus=2]", () => {
  const k = booted({ cpus: 2 });
  let seen: number[] = [];
  deviceHandler.set(k, function* (k): Atomic<void> {
    seen = [jiffies(k), jiffiesAt(k, k.now())];
  });
  const start = k.now();
  // Nobody runs and nobody counts; a device interrupts CPU 1 in ten seconds.
  k.cpus[1].ipis |= VECTOR_DEVICE;
  k.cpus[1].ipiAt = start + 10e9;
  assertEquals(k.run(start + 20e9), "idle");
  assert(seen[0] >= jiffiesAt(k, start) + 2500);
  assertEquals(seen[0], seen[1]);
});

Deno.test("while RCU needs the CPU its tick goes on; afterwards it stops", () => {
  const k = booted();
  let needed = true;
  k.rcu = { ...k.rcu, rcu_needs_cpu: () => needed };
  runOn0(k, function* (k) {
    const since = k.seq;
    yield* schedule_timeout_uninterruptible(k, 30);
    const ticks = eventsOf(k, "local_timer_entry", since).length;
    assert(ticks >= 30, `${ticks}`);
    needed = false;
    const later = k.seq;
    yield* schedule_timeout_uninterruptible(k, 30);
    assert(eventsOf(k, "local_timer_entry", later).length <= 3);
  });
});

Deno.test("a softirq that nobody will run keeps the tick, is complained about, and runs at the tick", () => {
  const k = booted();
  let ran = 0;
  open_softirq(k, 7, function* (): Atomic<void> {
    ran++;
  });
  runOn0(k, function* (k) {
    __raise_softirq_irqoff(k, 7); // without waking ksoftirqd
    yield* msleep(k, 20);
    assertEquals(ran, 1);
  });
  assertEquals(dmesg(k).filter((line) => line.startsWith("NOHZ")), ["NOHZ: local_softirq_pending 80"]);
});

Deno.test("a timer that is due at once wakes its sleeper at the next tick, however idle the machine [cpus=1,2]", () => {
  eachMachine((k, { name }) => {
    runOn0(k, function* (k) {
      for (const timeout of [0, 1, 0, 2, 1]) {
        const from = jiffies(k);
        yield* schedule_timeout_uninterruptible(k, timeout);
        const took = jiffies(k) - from;
        // One jiffy after its expiry, and what a stall of up to 16 ms of the counting CPU adds.
        assert(took >= timeout && took <= timeout + 7, `${timeout}: ${took} ${name}`);
        yield* msleep(k, 100);
      }
    }, name);
  }, [1, 2]);
});
