// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of kernel/exit.ts and the oops path of kernel/bug.ts: what a crash takes with it and what it leaves.
 *
 * Texts are those of kernel/exit.c and kernel/panic.c (5.7).
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { type Atomic, type MaySleep, STEP } from "../../kernel/machine/effects.ts";
import { VECTOR_DEVICE } from "../../kernel/machine/cpu.ts";
import { BUG_ON, panicked } from "../../kernel/bug.ts";
import { deviceHandler, udelay, user_mode } from "../../kernel/entry.ts";
import { do_exit } from "../../kernel/exit.ts";
import { tasklist } from "../../kernel/fork.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { mutex, mutex_lock, mutex_trylock, mutex_unlock } from "../../kernel/locking/mutex.ts";
import { raw_spinlock_t, spin_lock, spin_lock_irqsave, spin_trylock } from "../../kernel/locking/spinlock.ts";
import { irqs_disabled, local_irq_disable, preempt_count, preempt_disable } from "../../kernel/preempt.ts";
import { current } from "../../kernel/sched/core.ts";
import { local_bh_disable, open_softirq, raise_softirq } from "../../kernel/softirq.ts";
import { msleep } from "../../kernel/time/timer.ts";
import { runToEnd } from "../../mod.ts";
import { booted, type Code, Crowd, eachMachine, pin, reportsOf } from "./booted.ts";
import { arg, eventsOf } from "../machines.ts";
import { dmesg } from "../helpers.ts";

/** Runs `victim` as a thread; another thread must then still be able to work on all CPUs. Returns the report titles. */
function crash(k: Kernel, victim: Code, where = ""): string[] {
  let survived = false;
  const verdict = runToEnd(k, "main", function* (k) {
    const crowd = new Crowd();
    yield* crowd.start(k, "bystander", function* (k) {
      for (let i = 0; i < 6; i++) {
        yield* msleep(k, 10);
        yield* pin(k, i % k.config.cpus);
        assertEquals([preempt_count(k), irqs_disabled(k), k.cpu.inUser], [0, false, false], where);
      }
      survived = true;
    });
    const p = yield* new Crowd().start(k, "victim", victim, { cpu: k.config.cpus - 1 });
    yield* crowd.wait(k);
    assert(!tasklist(k).has(p), "the victim is gone");
  });
  assertEquals([verdict.ending, survived], ["completed", true], `${where} ${reportsOf(k)}`);
  return k.reports.map((r) => r.title);
}

Deno.test("an oops kills the task only, in whatever state it is [cpus preempt seeds]", () => {
  const states: readonly [string, (k: Kernel) => MaySleep<void> | void][] = [
    ["plain", () => {}],
    ["preemption off", preempt_disable],
    ["interrupts off", local_irq_disable],
    ["a lock held", (k) => spin_lock(k, new raw_spinlock_t("l"))],
  ];
  eachMachine((k, { name }) => {
    for (const [what, enter] of states) {
      const from = k.reports.length;
      const titles = crash(k, function* at_fault(k) {
        const entering = enter(k);
        if (entering !== undefined) yield* entering;
        yield* udelay(k, 1);
        BUG_ON(k, true);
      }, `${what} ${name}`);
      assertEquals(titles.slice(from), ["kernel BUG at at_fault!"], `${what} ${name}`);
    }
  });
});

Deno.test("a task that dies with preemption off is noted, with its count", () => {
  const k = booted();
  let pid = 0;
  crash(k, function* (k) {
    pid = current(k).pid;
    preempt_disable(k);
    preempt_disable(k);
    k.ram.loadPtr(0x10 as VirtAddr);
    yield* udelay(k, 1);
  });
  assert(dmesg(k).includes(`note: victim[${pid}] exited with preempt_count 2`));
});

Deno.test("what a killed task held stays held: spinlock and mutex", () => {
  const k = booted({ cpus: 2 });
  const lock = new raw_spinlock_t("l");
  const m = new mutex("m");
  const verdict = runToEnd(k, "main", function* (k) {
    yield* new Crowd().start(k, "victim", function* (k) {
      yield* mutex_lock(k, m);
      yield* spin_lock_irqsave(k, lock);
      throw new Error("student's mistake");
    }, { cpu: 1 });
    yield* msleep(k, 10);
    assertEquals([yield* spin_trylock(k, lock), yield* mutex_trylock(k, m)], [false, false]);
    yield* mutex_lock(k, m);
    mutex_unlock(k, m);
  });
  assertEquals(verdict.ending, "deadlock");
  assertEquals(verdict.remaining.map((p) => p.comm), ["main"]);
  assertMatch(verdict.remaining[0].state, /^waits for mutex m/);
});

Deno.test("an exception of host code in a thread is a report that names it, and is kept for the shell", () => {
  const k = booted();
  const error = new TypeError("x is not a function");
  const titles = crash(k, function* (k) {
    yield* msleep(k, 1);
    throw error;
  });
  assertEquals(titles.length, 1);
  assertMatch(titles[0], /^exception in victim\/\d+: TypeError: x is not a function$/);
  assertEquals(k.lastException, error);
});

Deno.test("an exception in user mode, or a value that is no Error, is contained as well", () => {
  for (const thrown of ["text", null, 42]) {
    const titles = crash(booted(), function* (k) {
      yield* user_mode(k, 100);
      k.cpu.inUser = true; // as if it were in the middle
      throw thrown;
    });
    assertEquals(titles.length, 1);
  }
});

Deno.test("a crash in an interrupt, a softirq or with softirqs off panics; the machine stops for good", () => {
  const nothing = function* (): Atomic<void> {};
  const cases: readonly [string, Code][] = [
    ["hardirq", function* (k) {
      deviceHandler.set(k, function* (k): Atomic<void> {
        BUG_ON(k, true);
        yield* nothing();
      });
      k.sendIpi(k.cpu, VECTOR_DEVICE);
      yield* udelay(k, 10);
    }],
    ["softirq", function* (k) {
      open_softirq(k, 7, function* (): Atomic<void> {
        throw new Error("in softirq");
      });
      raise_softirq(k, 7);
      yield* msleep(k, 10);
    }],
    ["bh off", function* (k) {
      local_bh_disable(k);
      yield* udelay(k, 1);
      BUG_ON(k, true);
    }],
  ];
  for (const [what, code] of cases) {
    const k = booted({ cpus: 2 });
    let ticks = 0;
    const verdict = runToEnd(k, "main", function* (k) {
      yield* new Crowd().start(k, "bystander", function* (k) {
        for (;;) {
          yield* udelay(k, 100);
          ticks++;
        }
      }, { cpu: 1 });
      yield* pin(k, 0);
      yield* code(k);
    });
    assertEquals(verdict.ending, "panic", what);
    assertEquals(k.reports.at(-1)?.title, "Kernel panic - not syncing: Fatal exception in interrupt", what);
    assert(panicked(k) !== null);
    const [before, seq] = [ticks, k.seq];
    assertEquals(k.run(k.now() + 1e9), "idle", "nothing runs any more");
    assertEquals([ticks, k.seq], [before, seq]);
  }
});

Deno.test("pid 1 must not exit, and no task in an interrupt", () => {
  for (
    const [want, code] of [
      ["Attempted to kill init! exitcode=0x0000000b", function* (k: Kernel): MaySleep<void> {
        const init = [...tasklist(k)].find((p) => p.pid === 1);
        assert(init !== undefined);
        init.stack.length = 0;
        init.stack.push(do_exit(k, 11));
        yield* msleep(k, 1);
      }],
      ["Aiee, killing interrupt handler!", function* (k: Kernel): MaySleep<void> {
        local_bh_disable(k);
        yield* do_exit(k, 0);
      }],
    ] as const
  ) {
    const k = booted();
    const verdict = runToEnd(k, "main", function* (k) {
      if (want.startsWith("Attempted")) yield* new Crowd().start(k, "p", code);
      else yield* code(k);
    });
    if (verdict.ending !== "panic") wakeInit(k);
    assertEquals(k.reports.at(-1)?.title, `Kernel panic - not syncing: ${want}`);
  }
});

/** Pid 1 sleeps until the next program comes. */
function wakeInit(k: Kernel): void {
  runToEnd(k, "next", function* (): MaySleep<void> {});
}

Deno.test("do_exit() ends a thread from any depth; a thread that returns with preemption off hurts nobody", () => {
  const k = booted();
  let after = false;
  function* deep(k: Kernel, n: number): MaySleep<void> {
    if (n > 0) yield* deep(k, n - 1);
    yield* do_exit(k, 3);
  }
  const titles = crash(k, function* (k) {
    yield* deep(k, 10);
    after = true;
  });
  assertEquals([titles, after], [[], false]);
  const exits = eventsOf(k, "sched_process_exit").map((r) => k.log.text(arg(r, "comm")));
  assert(exits.includes("victim"));

  const k2 = booted();
  assertEquals(
    crash(k2, function* (k) {
      preempt_disable(k);
      yield* udelay(k, 1);
    }),
    [],
  );
  assert(dmesg(k2).some((line) => /^note: victim\[\d+\] exited with preempt_count 1$/.test(line)));
});

Deno.test("a thread that yields and never passes a point is stopped, not the host", () => {
  const titles = crash(booted(), function* (): MaySleep<void> {
    for (;;) yield STEP;
  });
  assertEquals(titles.length, 1);
  assertMatch(
    titles[0],
    /^exception in victim\/\d+: RangeError: it yields for ever without passing a point$/,
  );
});

Deno.test("a fault on every way out of a task ends in a panic, not in a hang", () => {
  const k = booted();
  const verdict = runToEnd(k, "main", function* (k) {
    const me = current(k);
    const { rcu } = k;
    k.rcu = {
      ...rcu,
      rcu_note_context_switch(k, preempt) {
        if (current(k) === me) throw new Error("in the scheduler");
        return rcu.rcu_note_context_switch(k, preempt);
      },
    };
    yield* msleep(k, 1);
  });
  assertEquals(verdict.ending, "panic");
  assertEquals(k.reports.at(-1)?.title, "Kernel panic - not syncing: Recursive fault that cannot be fixed");
  assert(dmesg(k).includes("Fixing recursive fault but reboot is needed!"));
});
