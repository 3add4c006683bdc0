// SPDX-License-Identifier: GPL-2.0-only
/**
 * The timer wheel against a model that knows no wheel, and timers on running machines.
 *
 * The model is the definition: a timer queued when the wheel stands at clk goes to the first level whose reach covers its
 * delay, and runs at the first multiple of that level's granule after `expires`; timers of one jiffy run from the coarsest
 * level down, and last in, first out within a level.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { type Atomic, doneVoid, type MaySleep } from "../../../kernel/machine/effects.ts";
import { udelay } from "../../../kernel/entry.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { in_serving_softirq, irqs_disabled, preempt_disable } from "../../../kernel/preempt.ts";
import { current, set_current_state, wake_up_process } from "../../../kernel/sched/core.ts";
import { kthread_bind, kthread_create, kthread_run } from "../../../kernel/kthread.ts";
import {
  TASK_IDLE,
  TASK_INTERRUPTIBLE,
  type task_struct,
  TASK_UNINTERRUPTIBLE,
} from "../../../kernel/sched/sched.ts";
import { local_softirq_pending, statics as softirq } from "../../../kernel/softirq.ts";
import { jiffies } from "../../../kernel/time/jiffies.ts";
import {
  add_timer,
  add_timer_on,
  calc_wheel_index,
  del_timer,
  del_timer_sync,
  get_next_timer_interrupt,
  init_timers,
  LVL_DEPTH,
  LVL_GRAN,
  LVL_START,
  mod_timer,
  mod_timer_pending,
  msleep,
  run_local_timers,
  run_timer_softirq,
  schedule_timeout,
  schedule_timeout_idle,
  schedule_timeout_uninterruptible,
  statics as timerStatics,
  timer_clear_idle,
  TIMER_DEFERRABLE,
  TIMER_IRQSAFE,
  timer_list,
  timer_pending,
  timer_reduce,
  timer_setup,
  try_to_del_timer_sync,
} from "../../../kernel/time/timer.ts";
import { bareKernel, run } from "../../helpers.ts";
import { onMachines, recordsOf, runSmall } from "../small_machine.ts";
import fc from "fast-check";

const HZS = [100, 250, 300, 1000];

/** One bare machine per HZ; each test gets new wheels on it. */
const bare = new Map<number, Kernel>();

/** A machine whose wheels stand at jiffy `start`. */
function wheel(HZ: number, start: number): Kernel {
  const k = bare.get(HZ) ?? bareKernel({ HZ, memBytes: 8 * 2 ** 20 }, []);
  bare.set(HZ, k);
  for (const key of [...softirq, ...timerStatics]) k.statics[key.slot] = key.create(k);
  k.reports.length = 0;
  k.cpu.preempt_count = 0;
  jiffies.set(k, start);
  init_timers(k);
  return k;
}

/** Level and run jiffy of a timer queued at `clk`: the definition. */
function place(HZ: number, clk: number, expires: number): { level: number; runAt: number } {
  const depth = HZ > 100 ? 9 : 8;
  const delay = expires - clk;
  if (delay < 0) return { level: 0, runAt: clk };
  for (let level = 0; level < depth; level++) {
    const granule = 8 ** level;
    // 63 granules ahead are free to be used, farther ones belong to the next level.
    if (delay < 63 * granule) return { level, runAt: Math.floor(expires / granule) * granule + granule };
  }
  // Beyond the wheel: as far as it reaches.
  const granule = 8 ** (depth - 1);
  const capped = clk + 62 * granule;
  return { level: depth - 1, runAt: Math.floor(capped / granule) * granule + granule };
}

/** What the model knows of a pending timer. */
interface Pending {
  readonly id: number;
  expires: number;
  readonly level: number;
  readonly runAt: number;
  readonly order: number;
}

class Model {
  clk: number;
  private pending = new Map<number, Pending>();
  private order = 0;

  constructor(private readonly HZ: number, start: number) {
    this.clk = start;
  }

  mod(id: number, expires: number): boolean {
    const old = this.pending.get(id);
    if (old?.expires === expires) return true;
    const { level, runAt } = place(this.HZ, this.clk, expires);
    if (old !== undefined && old.level === level && old.runAt === runAt) old.expires = expires;
    else this.pending.set(id, { id, expires, level, runAt, order: this.order++ });
    return old !== undefined;
  }

  del(id: number): boolean {
    return this.pending.delete(id);
  }

  /** Jiffy of the next run, Infinity for none. */
  next(): number {
    return Math.min(...[...this.pending.values()].map((t) => t.runAt));
  }

  /** Ids that run when the softirq comes at jiffy `now`, in order. */
  run(now: number): number[] {
    const due = [...this.pending.values()].filter((t) => t.runAt <= now);
    due.sort((a, b) => a.runAt - b.runAt || b.level - a.level || b.order - a.order);
    for (const { id } of due) this.pending.delete(id);
    this.clk = Math.max(this.clk, now + 1);
    return due.map((t) => t.id);
  }

  has(id: number): boolean {
    return this.pending.has(id);
  }
}

const NTIMERS = 6;
/** Delays around all the edges of the levels, and beyond the wheel. */
const delays = fc.oneof(
  fc.integer({ min: -5, max: 200 }),
  fc.tuple(fc.nat(10), fc.integer({ min: -9, max: 9 })).map(([n, off]) => 63 * 8 ** n + off),
  fc.integer({ min: 0, max: 2 ** 32 }),
);
const starts = fc.oneof(fc.constant(-75000), fc.integer({ min: -700, max: 700 }), fc.integer());

type Ran = { id: number; at: number }[];

function recorders(k: Kernel, ran: Ran): timer_list[] {
  return Array.from({ length: NTIMERS }, (_, id) => {
    const timer = new timer_list();
    timer_setup(k, timer, (kernel) => {
      ran.push({ id, at: jiffies(kernel) });
      return doneVoid();
    }, 0);
    return timer;
  });
}

for (const HZ of HZS) {
  Deno.test(`run_timer_softirq() runs what the model says, when and in which order [HZ=${HZ}]`, () => {
    const op = fc.oneof(
      fc.record({ what: fc.constant("mod" as const), id: fc.nat(NTIMERS - 1), n: delays }),
      fc.record({ what: fc.constant("del" as const), id: fc.nat(NTIMERS - 1), n: fc.constant(0) }),
      // Jiffies pass; the softirq comes once at the end, or at each of them.
      fc.record({
        what: fc.constant("late" as const),
        id: fc.constant(0),
        n: fc.integer({ min: 1, max: 5000 }),
      }),
      fc.record({
        what: fc.constant("tick" as const),
        id: fc.constant(0),
        n: fc.integer({ min: 1, max: 100 }),
      }),
    );
    fc.assert(fc.property(starts, fc.array(op, { maxLength: 40 }), (start, ops) => {
      const k = wheel(HZ, start);
      const model = new Model(HZ, start);
      const ran: Ran = [];
      const timers = recorders(k, ran);
      const softirqNow = (): void => {
        run(run_timer_softirq(k));
        const now = jiffies(k);
        assertEquals(ran.splice(0), model.run(now).map((id) => ({ id, at: now })));
      };
      for (const { what, id, n } of ops) {
        const now = jiffies(k);
        if (what === "mod") assertEquals(run(mod_timer(k, timers[id], now + n)), model.mod(id, now + n));
        else if (what === "del") assertEquals(run(del_timer(k, timers[id])), model.del(id));
        else if (what === "late") {
          jiffies.set(k, now + n);
          softirqNow();
        } else {
          for (let i = 1; i <= n; i++) {
            jiffies.set(k, now + i);
            softirqNow();
          }
        }
        timers.forEach((timer, i) => assertEquals(timer_pending(timer), model.has(i)));
      }
    }));
  });

  Deno.test(`get_next_timer_interrupt() says when the next timer runs, also across long sleeps [HZ=${HZ}]`, () => {
    fc.assert(fc.property(starts, fc.array(delays, { minLength: 1, maxLength: NTIMERS }), (start, wanted) => {
      const k = wheel(HZ, start);
      const model = new Model(HZ, start);
      const ran: Ran = [];
      const timers = recorders(k, ran);
      wanted.forEach((delay, id) => {
        run(mod_timer(k, timers[id], start + delay));
        model.mod(id, start + delay);
      });
      for (;;) {
        const now = jiffies(k);
        const next = get_next_timer_interrupt(k, now);
        // A CPU looks again after 2^30 - 1 jiffies at the latest; the wheel does not see farther.
        const expected = Math.max(now, model.next());
        if (expected >= now + 2 ** 30 - 1) {
          assertEquals(next, Infinity);
          break;
        }
        assertEquals(next, expected);
        jiffies.set(k, next);
        timer_clear_idle(k);
        run(run_timer_softirq(k));
        assertEquals(ran.splice(0).map((r) => r.id), model.run(next));
        if (!wanted.some((_, id) => model.has(id))) break;
      }
    }));
  });
}

Deno.test("mod_timer() by 5 HZ: 5.004 to 5.256 s at HZ 250, 5.001 to 5.512 s at HZ 1000, as measured on 6.1", () => {
  for (const [HZ, granule] of [[250, 64], [1000, 512]]) {
    const k = wheel(HZ, -601);
    const [timer] = recorders(k, []);
    for (let j0 = -600; j0 < 600; j0++) {
      jiffies.set(k, j0);
      run(run_timer_softirq(k));
      run(mod_timer(k, timer, j0 + 5 * HZ));
      const delay = get_next_timer_interrupt(k, j0) - j0;
      timer_clear_idle(k);
      run(del_timer(k, timer));
      const phase = (((j0 + 5 * HZ) % granule) + granule) % granule;
      assertEquals(delay, 5 * HZ + granule - phase, `HZ=${HZ} j0=${j0}`);
    }
  }
});

Deno.test("calc_wheel_index() uses level n for 63 x 8^(n-1) to 63 x 8^n - 1 jiffies and caps beyond the last", () => {
  for (const HZ of HZS) {
    const depth = LVL_DEPTH(wheel(HZ, 0));
    assertEquals(depth, HZ === 100 ? 8 : 9);
    for (let level = 1; level < depth; level++) {
      assertEquals(calc_wheel_index(LVL_START(level) - 1, 0, depth) >> 6, level - 1);
      assertEquals(calc_wheel_index(LVL_START(level), 0, depth) >> 6, level);
    }
    const last = LVL_START(depth) - LVL_GRAN(depth - 1);
    const atLast = calc_wheel_index(last, 0, depth);
    assertEquals(calc_wheel_index(LVL_START(depth), 0, depth), atLast);
    assertEquals(calc_wheel_index(2 ** 52, 0, depth), atLast);
  }
});

Deno.test("timers of one jiffy run from the coarsest level down, last in first out within a level", () => {
  const k = wheel(250, 0);
  const ran: Ran = [];
  const timers = recorders(k, ran);
  // All are due at jiffy 128: two of level 1, two of level 0.
  for (const [id, at, expires] of [[0, 0, 127], [1, 0, 120], [2, 100, 127], [3, 100, 127]]) {
    jiffies.set(k, at);
    run(run_timer_softirq(k));
    run(mod_timer(k, timers[id], expires));
  }
  for (let j = 101; j <= 128; j++) {
    assertEquals(ran, []);
    jiffies.set(k, j);
    run(run_timer_softirq(k));
  }
  assertEquals(ran.map((r) => r.id), [1, 0, 3, 2]);
});

Deno.test("add_timer() in the past runs at the next tick; a second add_timer() is a BUG", () => {
  const k = wheel(250, 1000);
  run(run_timer_softirq(k));
  const ran: Ran = [];
  const [timer] = recorders(k, ran);
  timer.expires = 3;
  run(add_timer(k, timer));
  run(run_timer_softirq(k));
  assertEquals(ran, []);
  let error: unknown;
  try {
    run(add_timer(k, timer));
  } catch (e) {
    error = e;
  }
  assertEquals((error as Error | undefined)?.name, "KernelOops");
  jiffies.set(k, 1001);
  run(run_timer_softirq(k));
  assertEquals(ran, [{ id: 0, at: 1001 }]);
});

Deno.test("mod_timer_pending() leaves an idle timer alone; timer_reduce() only makes earlier", () => {
  const k = wheel(250, 0);
  const ran: Ran = [];
  const [timer] = recorders(k, ran);
  assertEquals(run(mod_timer_pending(k, timer, 10)), false);
  assert(!timer_pending(timer));
  run(mod_timer(k, timer, 20));
  run(timer_reduce(k, timer, 30));
  assertEquals(timer.expires, 20);
  run(timer_reduce(k, timer, 10));
  assertEquals(timer.expires, 10);
  assertEquals(get_next_timer_interrupt(k, 0), 11);
  assertEquals(run(mod_timer_pending(k, timer, 40)), true);
  assertEquals(get_next_timer_interrupt(k, 0), 41);
});

Deno.test("mod_timer() on a base that slept is measured from now, not from when the wheel stood still", () => {
  const k = wheel(250, 0);
  const ran: Ran = [];
  const [far, near] = recorders(k, ran);
  run(mod_timer(k, far, 100_000));
  get_next_timer_interrupt(k, 0);
  jiffies.set(k, 5000);
  // Measured from jiffy 0 this would be level 3 (granule 512) and run at 5120.
  run(mod_timer(k, near, 5002));
  assertEquals(get_next_timer_interrupt(k, 5000), 5003);
});

Deno.test("a TIMER_DEFERRABLE timer does not wake an idle CPU but runs when the tick does", () => {
  const k = wheel(250, 0);
  let ran = 0;
  const timer = new timer_list();
  timer_setup(k, timer, () => {
    ran++;
    return doneVoid();
  }, TIMER_DEFERRABLE);
  run(mod_timer(k, timer, 5));
  assertEquals(get_next_timer_interrupt(k, 0), Infinity);
  jiffies.set(k, 100);
  run(run_timer_softirq(k));
  assertEquals(ran, 1);
});

Deno.test("run_local_timers() raises TIMER_SOFTIRQ once the wheel has something to catch up with", () => {
  const k = wheel(250, 0);
  run(run_timer_softirq(k));
  run_local_timers(k);
  assertEquals(local_softirq_pending(k), 0);
  jiffies.set(k, 1);
  run_local_timers(k);
  assertEquals(local_softirq_pending(k), 2);
});

Deno.test("a timer function runs in softirq context, with interrupts off only if TIMER_IRQSAFE", () => {
  const k = wheel(250, 0);
  k.cpu.preempt_count = 0x100;
  const seen: boolean[][] = [];
  for (const flags of [0, TIMER_IRQSAFE]) {
    const timer = new timer_list();
    timer_setup(k, timer, (kernel) => {
      seen.push([in_serving_softirq(kernel), irqs_disabled(kernel), timer_pending(timer)]);
      return doneVoid();
    }, flags);
    run(mod_timer(k, timer, 1));
  }
  jiffies.set(k, 2);
  run(run_timer_softirq(k));
  // Last in, first out.
  assertEquals(seen, [[true, true, false], [true, false, false]]);
});

Deno.test("a timer function that leaks preempt_count is reported and the count repaired", () => {
  const k = wheel(250, 0);
  k.cpu.preempt_count = 0x100;
  const timer = new timer_list();
  timer_setup(k, timer, leaky, 0);
  run(mod_timer(k, timer, 1));
  jiffies.set(k, 2);
  run(run_timer_softirq(k));
  assertEquals(k.cpu.preempt_count, 0x100);
  assert(
    k.reports[0].lines.includes("timer: leaky preempt leak: 00000100 -> 00000101"),
    String(k.reports[0].lines),
  );
});

function leaky(k: Kernel): Atomic<void> {
  preempt_disable(k);
  return doneVoid();
}

Deno.test("schedule_timeout() returns 0 at expiry and what is left when woken [cpus seeds]", () => {
  onMachines(function* (k, where) {
    const before = jiffies(k);
    set_current_state(k, TASK_INTERRUPTIBLE);
    assertEquals(yield* schedule_timeout(k, 5), 0, where);
    assert(jiffies(k) - before >= 5, where);

    const me = current(k);
    function* waker(kernel: Kernel): MaySleep<void> {
      yield* msleep(kernel, 12);
      assertEquals(me.waitingFor, "schedule_timeout 1000", where);
      wake_up_process(kernel, me);
    }
    yield* kthread_run(k, waker, "waker");
    const left = yield* schedule_timeout_uninterruptible(k, 1000);
    assert(left > 900 && left < 1000, `${where} left=${left}`);
    assertEquals([me.state, me.waitingFor], [0, ""]);
  });
});

Deno.test("schedule_timeout() of a negative time is reported and returns at once", () => {
  const k = wheel(250, 0);
  set_current_state(k, TASK_UNINTERRUPTIBLE);
  assertEquals(run(schedule_timeout(k, -1)), 0);
  assertEquals(current(k).state, 0);
  assertEquals(k.reports[0].title, "schedule_timeout: wrong timeout value ffffffffffffffff");
});

Deno.test("msleep() sleeps at least as long as asked, and two jiffies more at most on an idle machine", () => {
  for (const HZ of HZS) {
    const { k } = runSmall({ HZ, cpus: 1 }, function* (kernel) {
      for (const ms of [1, 7, 20, 33]) {
        const before = kernel.now();
        yield* msleep(kernel, ms);
        const slept = (kernel.now() - before) / 1e6;
        // ms in jiffies (up), plus one asked for, plus one of the wheel; this is longer than a bucket of level 0.
        const most = (Math.ceil(ms * HZ / 1000) + 2) * 1000 / HZ;
        assert(slept >= ms && slept <= most + 0.1, `HZ=${HZ} msleep(${ms}) took ${slept} ms`);
      }
    });
    assertEquals(k.reports, []);
  }
});

Deno.test("add_timer_on() runs on that CPU, and wakes it from a sleep without a tick [cpus=4]", () => {
  for (let seed = 1; seed <= 5; seed++) {
    const where: number[][] = [];
    let armed = 0;
    const { finished } = runSmall({ cpus: 4, seed }, function* (k) {
      yield* msleep(k, 200);
      armed = jiffies(k);
      for (const cpu of [1, 2, 3]) {
        const timer = new timer_list();
        timer_setup(k, timer, (kernel) => {
          where.push([cpu, kernel.cpu.id, jiffies(kernel)]);
          return doneVoid();
        }, 0);
        timer.expires = armed + 3;
        yield* add_timer_on(k, timer, cpu);
      }
      yield* msleep(k, 100);
    });
    assert(finished);
    where.sort((a, b) => a[0] - b[0]);
    assertEquals(where, [1, 2, 3].map((cpu) => [cpu, cpu, armed + 4]), `seed=${seed}`);
  }
});

Deno.test("mod_timer() from an idle CPU's softirq moves the timer to a busy CPU [cpus=2]", () => {
  let ranOn = -1;
  const { k, finished } = runSmall({ cpus: 2 }, function* (k) {
    const second = new timer_list();
    timer_setup(k, second, (kernel) => {
      ranOn = kernel.cpu.id;
      return doneVoid();
    }, 0);
    const first = new timer_list();
    timer_setup(k, first, function* (kernel) {
      yield* mod_timer(kernel, second, jiffies(kernel) + 2);
    }, 0);
    first.expires = jiffies(k) + 2;
    const busy = k.cpu.id;
    yield* add_timer_on(k, first, 1 - busy);
    // Busy for 40 ms on this CPU, while the other one has nothing but the timer.
    for (let i = 0; i < 400; i++) yield* udelay(k, 100);
    assertEquals([k.cpu.id, ranOn], [busy, busy]);
  });
  assert(finished);
  assertEquals(k.reports, []);
});

Deno.test("del_timer_sync() returns when the function has ended on the other CPU [cpus=2 seeds]", () => {
  for (let seed = 1; seed <= 10; seed++) {
    let running = false;
    let sawRunning = 0;
    const { finished } = runSmall({ cpus: 2, seed }, function* (k) {
      const timer = new timer_list();
      timer_setup(k, timer, function* (kernel) {
        running = true;
        yield* udelay(kernel, 500);
        running = false;
      }, 0);
      for (let i = 0; i < 20; i++) {
        timer.expires = jiffies(k) + 1;
        yield* add_timer_on(k, timer, 1 - k.cpu.id);
        const from = k.now();
        while (!running && k.now() - from < 20e6) yield* udelay(k, 7);
        if (running) sawRunning++;
        yield* del_timer_sync(k, timer);
        assert(!running && !timer_pending(timer), `seed=${seed}`);
      }
    });
    assert(finished && sawRunning > 10, `seed=${seed} saw it running ${sawRunning} times`);
  }
});

Deno.test("try_to_del_timer_sync() is -1 while the function runs, 1 when pending, 0 when idle", () => {
  const k = wheel(250, 0);
  const results: number[] = [];
  const timer = new timer_list();
  timer_setup(k, timer, function* (kernel) {
    results.push(yield* try_to_del_timer_sync(kernel, timer));
  }, 0);
  run(mod_timer(k, timer, 1));
  jiffies.set(k, 2);
  run(run_timer_softirq(k));
  results.push(run(try_to_del_timer_sync(k, timer)));
  run(mod_timer(k, timer, 10));
  results.push(run(try_to_del_timer_sync(k, timer)));
  assertEquals(results, [-1, 0, 1]);
});

Deno.test("timers of sleeping tasks fire while their CPU sleeps without a tick: few ticks for a long sleep", () => {
  const { k, finished } = runSmall({ cpus: 2 }, function* (k) {
    yield* msleep(k, 10_000);
  });
  assert(finished);
  // 10 s are 2500 ticks; a machine that idles takes a handful.
  const ticks = recordsOf(k, "local_timer_entry").length;
  assert(ticks < 40, `${ticks} ticks`);
});

Deno.test("a thread bound to another CPU can wake a sleeper there and back [cpus=2]", () => {
  const { finished } = runSmall({ cpus: 2 }, function* (k) {
    const order: string[] = [];
    const me = current(k);
    const peer = (yield* kthread_create(k, function* (kernel) {
      order.push(`peer on ${kernel.cpu.id}`);
      yield* msleep(kernel, 8);
      wake_up_process(kernel, me);
    }, "peer")) as task_struct;
    yield* kthread_bind(k, peer, 1);
    set_current_state(k, TASK_UNINTERRUPTIBLE);
    wake_up_process(k, peer);
    const left = yield* schedule_timeout(k, 100);
    assert(left > 90);
    assertEquals(order, ["peer on 1"]);
  });
  assert(finished);
});

Deno.test("schedule_timeout_idle() sleeps without counting as load, for as long as it was told", () => {
  const states: number[] = [];
  const { finished } = runSmall({ cpus: 1 }, function* (k) {
    const me = current(k);
    function* watcher(kernel: Kernel): MaySleep<void> {
      yield* msleep(kernel, 4);
      states.push(me.state);
    }
    yield* kthread_run(k, watcher, "watcher");
    const before = jiffies(k);
    assertEquals(yield* schedule_timeout_idle(k, 10), 0);
    assert(jiffies(k) - before >= 10);
  });
  assert(finished);
  assertEquals(states, [TASK_IDLE]);
});
