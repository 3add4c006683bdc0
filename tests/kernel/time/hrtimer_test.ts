// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of kernel/time/hrtimer.ts: when callbacks run, in which order, on which CPU, and that the tick goes on as before.
 *
 * What a timer may be late by is the cost table's: half a microsecond for the entry of an interrupt, 50 ns a point.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { POLICY_FINE, POLICY_TIME } from "../../../kernel/machine/chooser.ts";
import { VECTOR_DEVICE } from "../../../kernel/machine/cpu.ts";
import { type Atomic, done, type MaySleep } from "../../../kernel/machine/effects.ts";
import { deviceHandler, ndelay, udelay } from "../../../kernel/entry.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { in_irq, irqs_disabled, local_irq_disable, local_irq_enable } from "../../../kernel/preempt.ts";
import { current, schedule, set_current_state, wake_up_process } from "../../../kernel/sched/core.ts";
import { TASK_UNINTERRUPTIBLE } from "../../../kernel/sched/sched.ts";
import {
  CLOCK_MONOTONIC,
  hrtimer,
  hrtimer_active,
  hrtimer_add_expires,
  hrtimer_callback_running,
  hrtimer_cancel,
  hrtimer_forward,
  hrtimer_forward_now,
  hrtimer_get_expires,
  hrtimer_init,
  hrtimer_is_queued,
  HRTIMER_MODE_ABS,
  HRTIMER_MODE_ABS_PINNED,
  HRTIMER_MODE_HARD,
  HRTIMER_MODE_REL,
  HRTIMER_MODE_REL_PINNED,
  HRTIMER_NORESTART,
  HRTIMER_RESTART,
  type hrtimer_restart,
  hrtimer_start,
  hrtimer_start_range_ns,
  hrtimer_try_to_cancel,
} from "../../../kernel/time/hrtimer.ts";
import { INITIAL_JIFFIES, jiffies, TICK_NSEC } from "../../../kernel/time/jiffies.ts";
import { msleep } from "../../../kernel/time/timer.ts";
import { booted, Crowd, eachMachine, pin, runOn0 } from "../booted.ts";
import { dmesg } from "../../helpers.ts";
import { eventsOf } from "../../machines.ts";
import { linesOf, runSmall } from "../small_machine.ts";
import fc from "fast-check";

/** The longest that a timer may be late on an otherwise quiet CPU: entry of the interrupt, its lock, the timers before. */
const LATE_NS = 3000;

/** A timer that calls `fn` and is done. */
function once(k: Kernel, fn: (k: Kernel, timer: hrtimer) => void): hrtimer {
  return timerOf(k, (k, timer) => {
    fn(k, timer);
    return done<hrtimer_restart>(HRTIMER_NORESTART);
  });
}

/** A timer with this callback. */
function timerOf(k: Kernel, fn: (k: Kernel, timer: hrtimer) => Atomic<hrtimer_restart>): hrtimer {
  const timer = new hrtimer();
  hrtimer_init(k, timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
  timer.function = fn;
  return timer;
}

/** What jiffies should be at time `ns`: the lines of the grid that have passed. */
function jiffiesAt(k: Kernel, ns: number): number {
  return INITIAL_JIFFIES(k) + Math.floor(ns / TICK_NSEC(k));
}

Deno.test("hrtimer_start() runs callbacks in order of expiry, first started first among equals [model]", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 30 }), (delays) => {
      const k = booted();
      const seen: number[] = [];
      let base = 0;
      runOn0(k, function* (k) {
        base = k.now() + 50_000;
        for (const [i, delay] of delays.entries()) {
          const timer = once(k, () => seen.push(i));
          yield* hrtimer_start(k, timer, base + delay * 2000, HRTIMER_MODE_ABS);
        }
        yield* udelay(k, 400);
      });
      const expected = delays.map((delay, i) => ({ delay, i })).sort((a, b) =>
        a.delay - b.delay || a.i - b.i
      );
      assertEquals(seen, expected.map(({ i }) => i));
    }),
    { numRuns: 30 },
  );
});

Deno.test("hrtimer_start() runs its callback at the nanosecond, in hard interrupt context [cpus preempt seeds]", () => {
  eachMachine((k, { name }) => {
    const seen: { late: number; context: boolean }[] = [];
    runOn0(k, function* (k) {
      for (const ns of [1, 999, 12_345, 1_000_000, 4_000_000, 17_654_321]) {
        const timer = once(k, (k, t) => {
          const late = k.now() - hrtimer_get_expires(t);
          seen.push({ late, context: in_irq(k) && irqs_disabled(k) && hrtimer_callback_running(t) });
        });
        const from = k.now();
        yield* hrtimer_start(k, timer, ns, HRTIMER_MODE_REL);
        // The lock before the clock is read is a point: 50 ns, or a stall.
        assert(hrtimer_get_expires(timer) >= from + ns, name);
        while (hrtimer_active(timer)) yield* udelay(k, 5);
      }
    }, name);
    assertEquals(seen.length, 6, name);
    for (const { late, context } of seen) {
      // A stall of the chooser may hit the interrupt: 250 ns x 2^n, 16 ms at most.
      assert(late >= 0 && late < 17e6 && context, `${late} ${context} ${name}`);
    }
    assert(seen.filter(({ late }) => late < LATE_NS).length >= 4, `${JSON.stringify(seen)} ${name}`);
  });
});

Deno.test("hrtimer_start() of 0 ns runs as soon as interrupts are on, not before", () => {
  const k = booted();
  let ran = -1;
  runOn0(k, function* (k) {
    const timer = once(k, (k) => ran = k.now());
    local_irq_disable(k);
    yield* hrtimer_start(k, timer, 0, HRTIMER_MODE_REL);
    yield* udelay(k, 100);
    assertEquals([ran, hrtimer_is_queued(timer)], [-1, true]);
    const on = k.now();
    local_irq_enable(k);
    yield* ndelay(k, 1);
    assert(ran >= on && ran < on + LATE_NS, `${ran - on}`);
    assertEquals(hrtimer_active(timer), false);
    ran = -1;
    const from = k.now();
    yield* hrtimer_start(k, timer, 0, HRTIMER_MODE_REL);
    yield* ndelay(k, 1);
    assert(ran >= from && ran < from + LATE_NS, `${ran - from}`);
  });
});

Deno.test("HRTIMER_RESTART after hrtimer_forward_now() makes a period without drift", () => {
  const k = booted();
  const at: number[] = [];
  runOn0(k, function* (k) {
    const timer = timerOf(k, (k, t) => {
      at.push(k.now() - hrtimer_get_expires(t));
      assertEquals(hrtimer_forward_now(k, t, 10_000), 1);
      return done<hrtimer_restart>(at.length === 20 ? HRTIMER_NORESTART : HRTIMER_RESTART);
    });
    yield* hrtimer_start(k, timer, 10_000, HRTIMER_MODE_REL);
    const first = hrtimer_get_expires(timer);
    yield* udelay(k, 150);
    assertEquals(hrtimer_is_queued(timer), true);
    yield* udelay(k, 150);
    assertEquals(hrtimer_active(timer), false);
    assertEquals(hrtimer_get_expires(timer), first + 20 * 10_000);
  });
  assertEquals(at.length, 20);
  for (const late of at) assert(late >= 0 && late < LATE_NS, `${late}`);
});

Deno.test("hrtimer_forward() moves by whole intervals past now and counts them", () => {
  const k = booted();
  const timer = new hrtimer();
  const cases: [now: number, interval: number, overruns: number, expires: number][] = [
    [999, 100, 0, 1000], // not expired: stays
    [1000, 100, 1, 1100], // just now
    [1099, 100, 1, 1100],
    [1100, 100, 2, 1200],
    [1255, 100, 3, 1300],
    [1000, 0, 1, 1001], // the resolution is 1 ns
  ];
  for (const [now, interval, overruns, expires] of cases) {
    timer.expires = timer._softexpires = 1000;
    assertEquals(hrtimer_forward(k, timer, now, interval), overruns);
    assertEquals([timer.expires, timer._softexpires], [expires, expires]);
  }
});

Deno.test("hrtimer_cancel() of a pending timer is 1 and it never runs; of an idle one 0", () => {
  const k = booted();
  let runs = 0;
  runOn0(k, function* (k) {
    const timer = once(k, () => runs++);
    assertEquals(yield* hrtimer_cancel(k, timer), 0);
    yield* hrtimer_start(k, timer, 50_000, HRTIMER_MODE_REL);
    yield* udelay(k, 20);
    assertEquals([yield* hrtimer_cancel(k, timer), hrtimer_active(timer)], [1, false]);
    assertEquals(yield* hrtimer_try_to_cancel(k, timer), 0);
    yield* udelay(k, 100);
    assertEquals(runs, 0);
    // A restart moves a queued timer: later, and earlier.
    const from = k.now();
    yield* hrtimer_start(k, timer, from + 30_000, HRTIMER_MODE_ABS);
    yield* hrtimer_start(k, timer, from + 60_000, HRTIMER_MODE_ABS);
    yield* udelay(k, 40);
    assertEquals(runs, 0);
    yield* hrtimer_start(k, timer, from + 45_000, HRTIMER_MODE_ABS);
    yield* udelay(k, 10);
    assertEquals(runs, 1);
    yield* udelay(k, 50);
    assertEquals(runs, 1);
  });
});

Deno.test("hrtimer_cancel() waits for a callback on another CPU; hrtimer_try_to_cancel() is -1 [cpus=2 seeds]", () => {
  for (const policy of [POLICY_TIME, POLICY_FINE]) {
    for (let seed = 1; seed <= 10; seed++) {
      const k = booted({ cpus: 2, policy, seed });
      let state = "";
      runOn0(k, function* (k) {
        const timer = timerOf(k, function* (k): Atomic<hrtimer_restart> {
          state = "running";
          yield* udelay(k, 50);
          state = "ended";
          return HRTIMER_NORESTART;
        });
        const crowd = new Crowd();
        yield* crowd.start(k, "owner", function* (k): MaySleep<void> {
          yield* hrtimer_start(k, timer, 1000, HRTIMER_MODE_REL);
          yield* udelay(k, 10);
        }, { cpu: 1 });
        while (state === "") yield* ndelay(k, 100);
        if (state === "running") {
          assertEquals([hrtimer_active(timer), hrtimer_is_queued(timer)], [true, false]);
          assertEquals(yield* hrtimer_try_to_cancel(k, timer), -1);
        }
        assertEquals(yield* hrtimer_cancel(k, timer), 0);
        assertEquals([state, hrtimer_callback_running(timer)], ["ended", false]);
        yield* crowd.wait(k);
      }, `policy=${policy.name} seed=${seed}`);
    }
  }
});

Deno.test("an idle CPU without a tick wakes for a timer, at its nanosecond [cpus preempt]", () => {
  for (const cpus of [1, 4]) {
    for (const preempt of ["none", "full"] as const) {
      const k = booted({ cpus, preempt });
      runOn0(k, function* (k) {
        const self = current(k);
        const timer = once(k, (k) => wake_up_process(k, self));
        yield* msleep(k, 10);
        const since = k.seq;
        const from = k.now();
        set_current_state(k, TASK_UNINTERRUPTIBLE);
        yield* hrtimer_start(k, timer, 1_234_567_890, HRTIMER_MODE_REL);
        yield* schedule(k);
        const slept = k.now() - from;
        // The switch costs 800 ns, and comes after the way out of idle.
        assert(slept >= 1_234_567_890 && slept < 1_234_567_890 + 10_000, `${slept}`);
        assertEquals(jiffies(k), jiffiesAt(k, k.now()));
        const interrupts = eventsOf(k, "local_timer_entry", since).filter((r) => r.cpu === k.cpu.id);
        assert(interrupts.length <= 3, `${interrupts.length} interrupts`);
      });
    }
  }
});

Deno.test("the tick keeps its grid and its count beside timers [HZ]", () => {
  for (const HZ of [100, 250, 1000]) {
    const k = booted({ HZ });
    runOn0(k, function* (k) {
      const self = current(k);
      let periods = 0;
      const timer = timerOf(k, (k, t) => {
        // More than one where the seed stalled the CPU.
        periods += hrtimer_forward_now(k, t, 37_000);
        return done<hrtimer_restart>(HRTIMER_RESTART);
      });
      yield* msleep(k, 10);
      yield* hrtimer_start(k, timer, 37_000, HRTIMER_MODE_REL);
      const [from, stime] = [k.now(), self.stime];
      const first = hrtimer_get_expires(timer);
      yield* udelay(k, 50_000);
      const ticks = Math.floor(k.now() / TICK_NSEC(k)) - Math.floor(from / TICK_NSEC(k));
      assertEquals([jiffies(k), self.stime - stime], [jiffiesAt(k, k.now()), ticks], `HZ=${HZ}`);
      assertEquals(periods, Math.floor((k.now() - first) / 37_000) + 1, `HZ=${HZ}`);
      yield* hrtimer_cancel(k, timer);
    });
  }
});

Deno.test("a tick and a timer of the same nanosecond both run", () => {
  const k = booted();
  runOn0(k, function* (k) {
    yield* msleep(k, 10);
    const self = current(k);
    for (const offset of [-1, 0, 1]) {
      let ran = 0;
      const timer = once(k, () => ran++);
      const due = (Math.floor(k.now() / TICK_NSEC(k)) + 2) * TICK_NSEC(k);
      yield* udelay(k, (due - 1_000_000 - k.now()) / 1000);
      yield* hrtimer_start(k, timer, due + offset, HRTIMER_MODE_ABS);
      const before = self.stime;
      yield* udelay(k, 2000);
      assertEquals([ran, self.stime - before], [1, 1], `${offset}`);
    }
  });
});

Deno.test("the interrupt of a timer that was cancelled at the last moment is no tick", () => {
  const k = booted();
  runOn0(k, function* (k) {
    let runs = 0;
    const timer = once(k, () => runs++);
    yield* msleep(k, 10);
    yield* udelay(k, 500);
    const self = current(k);
    local_irq_disable(k);
    yield* hrtimer_start(k, timer, 1000, HRTIMER_MODE_REL);
    yield* udelay(k, 10);
    assertEquals(yield* hrtimer_cancel(k, timer), 1);
    const since = k.seq;
    const before = [jiffies(k), self.stime];
    local_irq_enable(k);
    yield* udelay(k, 10);
    assertEquals([jiffies(k), self.stime, runs], [...before, 0]);
    assertEquals(eventsOf(k, "local_timer_entry", since).length, 1);
    // And the tick is still there.
    yield* udelay(k, 4000);
    assertEquals([jiffies(k), self.stime], [before[0] + 1, before[1] + 1]);
  });
});

Deno.test("a timer runs on the CPU that started it [cpus=2 seeds]", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const k = booted({ cpus: 2, seed });
    const ran: [string, number][] = [];
    runOn0(k, function* (k) {
      const crowd = new Crowd();
      for (const cpu of [0, 1]) {
        yield* crowd.start(k, `t${cpu}`, function* (k): MaySleep<void> {
          const timer = once(k, (k) => ran.push([`t${cpu}`, k.cpu.id]));
          for (let i = 0; i < 5; i++) {
            yield* hrtimer_start(k, timer, 5000, HRTIMER_MODE_REL);
            yield* udelay(k, 20);
            while (hrtimer_active(timer)) yield* udelay(k, 20);
          }
        }, { cpu });
      }
      yield* crowd.wait(k);
    }, `seed=${seed}`);
    assertEquals(ran.length, 10);
    for (const [who, cpu] of ran) assertEquals(who, `t${cpu}`);
  }
});

/** Starts a timer from an interrupt of CPU 1, which is idle, while CPU 0 is busy; returns where it ran, and when. */
function fromIdle(mode: number, ns: number): { cpu: number; late: number } {
  const k = booted({ cpus: 2 });
  let result = { cpu: -1, late: -1 };
  runOn0(k, function* (k) {
    const timer = once(k, (k, t) => result = { cpu: k.cpu.id, late: k.now() - hrtimer_get_expires(t) });
    yield* msleep(k, 10);
    deviceHandler.set(k, function* (k): Atomic<void> {
      yield* hrtimer_start(k, timer, ns, mode);
    });
    k.sendIpi(k.cpus[1], VECTOR_DEVICE);
    yield* udelay(k, 10);
    // From here CPU 0 is idle as well, without a tick.
    yield* msleep(k, 100);
  });
  return result;
}

Deno.test("a timer that an idle CPU starts moves to a busy one unless it would come first there, or is pinned", () => {
  // CPU 0's tick comes before 20 ms, not before 0.
  const cases: [mode: number, ns: number, cpu: number][] = [
    [HRTIMER_MODE_REL, 20_000_000, 0],
    [HRTIMER_MODE_REL, 0, 1],
    [HRTIMER_MODE_REL, 1000, 1],
    [HRTIMER_MODE_REL_PINNED, 20_000_000, 1],
  ];
  for (const [mode, ns, cpu] of cases) {
    const ran = fromIdle(mode, ns);
    assertEquals(ran.cpu, cpu, `mode ${mode} ${ns} ns`);
    assert(ran.late >= 0 && ran.late < LATE_NS, `${ran.late}`);
  }
});

Deno.test("a timer that is always due again is reported once and does not stop the machine", () => {
  const k = booted();
  let runs = 0;
  runOn0(k, function* (k) {
    const timer = timerOf(k, function* (k, t): Atomic<hrtimer_restart> {
      runs++;
      hrtimer_add_expires(t, k.now() - hrtimer_get_expires(t));
      yield* udelay(k, 10);
      return HRTIMER_RESTART;
    });
    yield* hrtimer_start(k, timer, 0, HRTIMER_MODE_REL);
    const [from, before] = [k.now(), jiffies(k)];
    yield* udelay(k, 3000);
    yield* hrtimer_cancel(k, timer);
    assert(runs > 30, `${runs}`);
    // Half of the time is the interrupt's, as long as it hangs.
    assert(k.now() - from < 3 * 3_000_000, `${k.now() - from}`);
    assert(jiffies(k) > before);
  });
  const said = dmesg(k).filter((line) => line.includes("hrtimer"));
  assertEquals(said.length, 1);
  assert(/^hrtimer: interrupt took \d+ ns$/.test(said[0]), said[0]);
});

Deno.test("hrtimer_start_range_ns() lets a timer run early together with another, never before its time", () => {
  const k = booted();
  runOn0(k, function* (k) {
    const ran: string[] = [];
    const wide = once(k, () => ran.push("wide"));
    const exact = once(k, () => ran.push("exact"));
    const from = k.now();
    yield* hrtimer_start_range_ns(k, wide, from + 20_000, 100_000, HRTIMER_MODE_ABS);
    yield* udelay(k, 50);
    assertEquals(ran, []);
    yield* hrtimer_start(k, exact, from + 60_000, HRTIMER_MODE_ABS);
    yield* udelay(k, 30);
    assertEquals(ran, ["exact", "wide"]);
  });
});

Deno.test("the events of hrtimers have Linux's names and formats", () => {
  const { k, finished } = runSmall({ cpus: 1 }, function* (k): MaySleep<void> {
    const timer = new hrtimer();
    hrtimer_init(k, timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
    timer.function = fired;
    yield* hrtimer_start(k, timer, 77_000_000, HRTIMER_MODE_ABS_PINNED);
    yield* hrtimer_cancel(k, timer);
    yield* hrtimer_start_range_ns(k, timer, 80_000_000, 500, HRTIMER_MODE_ABS | HRTIMER_MODE_HARD);
    yield* msleep(k, 100);
  });
  assert(finished);
  const addr = linesOf(k, "hrtimer_init")[0].match(/hrtimer=(ffff8880[0-9a-f]{8}) /)?.[1];
  assertEquals(linesOf(k, "hrtimer_init"), [`hrtimer=${addr} clockid=CLOCK_MONOTONIC mode=REL`]);
  assertEquals(linesOf(k, "hrtimer_start"), [
    `hrtimer=${addr} function=fired expires=77000000 softexpires=77000000 mode=ABS|PINNED`,
    `hrtimer=${addr} function=fired expires=80000500 softexpires=80000000 mode=ABS|HARD`,
  ]);
  const [entry] = linesOf(k, "hrtimer_expire_entry");
  const now = Number(entry.match(/now=(\d+)$/)?.[1]);
  assertEquals(entry, `hrtimer=${addr} function=fired now=${now}`);
  assert(now >= 80_000_500 && now < 80_000_500 + LATE_NS, `${now}`);
  assertEquals(linesOf(k, "hrtimer_expire_exit"), [`hrtimer=${addr}`]);
  // By hrtimer_cancel(), and by the expiry.
  assertEquals(linesOf(k, "hrtimer_cancel"), [`hrtimer=${addr}`, `hrtimer=${addr}`]);
});

function fired(): Atomic<hrtimer_restart> {
  return done<hrtimer_restart>(HRTIMER_NORESTART);
}

Deno.test("a run without hrtimers passes no point and takes no lock of theirs [cpus=2]", () => {
  const seen = new Set<string>();
  const { finished } = runSmall(
    { cpus: 2 },
    (k) => msleep(k, 50),
    undefined,
    (_k, _kind, name) => seen.add(name),
  );
  assert(finished);
  assertEquals([...seen].filter((name) => name.includes("hrtimer")), []);
  assert(seen.size > 3);
});

Deno.test("runs with hrtimers are determined by the seed [cpus=2 policies]", () => {
  function hashOf(policy: typeof POLICY_TIME, seed: number): string {
    const k = booted({ cpus: 2, policy, seed });
    runOn0(k, function* (k) {
      const crowd = new Crowd();
      for (const cpu of [0, 1]) {
        yield* crowd.start(k, `t${cpu}`, function* (k): MaySleep<void> {
          yield* pin(k, cpu);
          let left = 40;
          const timer = timerOf(k, (k, t) => {
            hrtimer_forward_now(k, t, 7000 + cpu);
            return done<hrtimer_restart>(--left > 0 ? HRTIMER_RESTART : HRTIMER_NORESTART);
          });
          yield* hrtimer_start(k, timer, 100, HRTIMER_MODE_REL);
          while (left > 0) yield* msleep(k, 1);
        });
      }
      yield* crowd.wait(k);
    });
    return `${k.hash.text()} ${k.digest()}`;
  }
  for (const policy of [POLICY_TIME, POLICY_FINE]) {
    const hashes = [1, 2, 3].map((seed) => hashOf(policy, seed));
    assertEquals([1, 2, 3].map((seed) => hashOf(policy, seed)), hashes);
    assert(new Set(hashes).size > 1, `${hashes}`);
  }
});
