// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of kernel/locking/spinlock.ts and spinlock_bh.ts: mutual exclusion, order, interrupts, and what is reported.
 *
 * Texts are those of kernel/locking/spinlock_debug.c (5.7).
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Atomic, MaySleep } from "../../../kernel/machine/effects.ts";
import { VECTOR_DEVICE } from "../../../kernel/machine/cpu.ts";
import { deviceHandler, udelay } from "../../../kernel/entry.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import {
  lockdep_assert_held,
  raw_spin_is_contended,
  raw_spin_is_locked,
  raw_spin_trylock_irqsave,
  raw_spinlock_t,
  spin_lock,
  spin_lock_init,
  spin_lock_irq,
  spin_lock_irqsave,
  spin_trylock,
  spin_unlock,
  spin_unlock_irq,
  spin_unlock_irqrestore,
} from "../../../kernel/locking/spinlock.ts";
import { raw_spin_trylock_bh, spin_lock_bh, spin_unlock_bh } from "../../../kernel/locking/spinlock_bh.ts";
import {
  in_softirq,
  irqs_disabled,
  local_irq_restore,
  local_irq_save,
  preempt_count,
  preempt_disable,
  preempt_enable,
} from "../../../kernel/preempt.ts";
import { cond_resched, current, wake_up_process } from "../../../kernel/sched/core.ts";
import type { task_struct } from "../../../kernel/sched/sched.ts";
import { open_softirq, raise_softirq } from "../../../kernel/softirq.ts";
import { msleep } from "../../../kernel/time/timer.ts";
import { runToEnd } from "../../../mod.ts";
import { booted, type Code, Crowd, eachMachine, pin, reportsOf, runOn0 } from "../booted.ts";

Deno.test("spin_lock() lets one task in at a time, whatever the form of the lock [cpus preempt seeds]", () => {
  eachMachine((k, { name, cpus }) => {
    const lock = new raw_spinlock_t("lock");
    let inside = 0;
    let entered = 0;
    function* section(k: Kernel): MaySleep<void> {
      assertEquals(++inside, 1, name);
      const cpu = k.cpu.id;
      yield* udelay(k, 2);
      assertEquals(k.cpu.id, cpu, "a holder does not move");
      inside--;
      entered++;
    }
    runOn0(k, function* (k) {
      const crowd = new Crowd();
      for (let i = 0; i < 2 * cpus; i++) {
        yield* crowd.start(k, `t${i}`, function* (k) {
          for (let n = 0; n < 20; n++) {
            const form = (i + n) % 4;
            if (form === 0) {
              yield* spin_lock(k, lock);
              yield* section(k);
              spin_unlock(k, lock);
            } else if (form === 1) {
              const flags = yield* spin_lock_irqsave(k, lock);
              assert(irqs_disabled(k));
              yield* section(k);
              spin_unlock_irqrestore(k, lock, flags);
            } else if (form === 2) {
              yield* spin_lock_irq(k, lock);
              yield* section(k);
              spin_unlock_irq(k, lock);
            } else if (yield* spin_trylock(k, lock)) {
              yield* section(k);
              spin_unlock(k, lock);
            } else entered++;
            assert(!irqs_disabled(k));
            yield* cond_resched(k);
          }
        });
      }
      yield* crowd.wait(k);
    }, name);
    assertEquals([inside, entered, lock.owner, lock.waiters.length], [0, 40 * cpus, null, 0], name);
  });
});

Deno.test("a contended lock is handed over in order of arrival [cpus=4 preempt seeds]", () => {
  eachMachine((k, { name }) => {
    const lock = new raw_spinlock_t("lock");
    const got: number[] = [];
    runOn0(k, function* (k) {
      const crowd = new Crowd();
      const waiters = new Map<number, task_struct>();
      for (const cpu of [1, 2, 3]) {
        waiters.set(
          cpu,
          yield* crowd.make(k, `w${cpu}`, function* (k) {
            yield* spin_lock(k, lock);
            got.push(cpu);
            yield* udelay(k, 1);
            spin_unlock(k, lock);
          }, { cpu }),
        );
      }
      yield* spin_lock(k, lock);
      for (const cpu of [2, 1, 3]) {
        wake_up_process(k, waiters.get(cpu) as task_struct);
        while (lock.waiters.every((w) => w.id !== cpu)) yield* udelay(k, 1);
        assert(raw_spin_is_contended(lock));
      }
      assertEquals(got, [], name);
      spin_unlock(k, lock);
      yield* crowd.wait(k);
    }, name);
    assertEquals(got, [2, 1, 3], name);
  }, [4]);
});

Deno.test("a waiting CPU resumes at the time of the release, or later", () => {
  const lock = new raw_spinlock_t("lock");
  let released = 0;
  let got = 0;
  runOn0(booted({ cpus: 2 }), function* (k) {
    const crowd = new Crowd();
    const waiter = yield* crowd.make(k, "waiter", function* (k) {
      yield* spin_lock(k, lock);
      got = k.now();
      spin_unlock(k, lock);
    }, { cpu: 1 });
    yield* spin_lock(k, lock);
    wake_up_process(k, waiter);
    yield* udelay(k, 300);
    released = k.now();
    spin_unlock(k, lock);
    yield* crowd.wait(k);
  });
  assert(got >= released && got < released + 2000, `${released} ${got}`);
});

Deno.test("interrupts are taken while spinning, unless they are off [cpus=2]", () => {
  for (const form of ["lock", "irqsave"] as const) {
    const k = booted({ cpus: 2 });
    const lock = new raw_spinlock_t("lock");
    const log: string[] = [];
    deviceHandler.set(k, function* (k): Atomic<void> {
      log.push(`irq on ${k.cpu.id}`);
      yield* udelay(k, 1);
      log.push("irq ends");
    });
    runOn0(k, function* (k) {
      const crowd = new Crowd();
      const waiter = yield* crowd.make(k, "waiter", function* (k) {
        if (form === "lock") yield* spin_lock(k, lock);
        else {
          const flags = yield* spin_lock_irqsave(k, lock);
          log.push("got");
          spin_unlock_irqrestore(k, lock, flags);
          yield* udelay(k, 1);
          return;
        }
        log.push("got");
        spin_unlock(k, lock);
      }, { cpu: 1 });
      yield* spin_lock(k, lock);
      wake_up_process(k, waiter);
      while (lock.waiters.length === 0) yield* udelay(k, 1);
      k.sendIpi(k.cpus[1], VECTOR_DEVICE);
      yield* udelay(k, 20);
      log.push("unlock");
      spin_unlock(k, lock);
      yield* crowd.wait(k);
    });
    const want = form === "lock"
      ? ["irq on 1", "irq ends", "unlock", "got"]
      : ["unlock", "got", "irq on 1", "irq ends"];
    assertEquals(log, want, form);
  }
});

Deno.test("a lock that is granted during an interrupt is there afterwards [cpus=2 seeds]", () => {
  eachMachine((k, { name }) => {
    const lock = new raw_spinlock_t("lock");
    const log: string[] = [];
    let inIrq = false;
    let released = 0;
    deviceHandler.set(k, function* (k): Atomic<void> {
      inIrq = true;
      while (lock.owner !== k.cpu) yield* udelay(k, 1);
      log.push("irq ends");
    });
    runOn0(k, function* (k) {
      const crowd = new Crowd();
      const waiter = yield* crowd.make(k, "waiter", function* (k) {
        yield* spin_lock(k, lock);
        log.push("got");
        assert(k.now() >= released, `got at ${k.now()}, released at ${released} ${name}`);
        spin_unlock(k, lock);
      }, { cpu: 1 });
      yield* spin_lock(k, lock);
      wake_up_process(k, waiter);
      while (lock.waiters.length === 0) yield* udelay(k, 1);
      k.sendIpi(k.cpus[1], VECTOR_DEVICE);
      while (!inIrq) yield* udelay(k, 1);
      // Ahead of the other CPU, which will be granted the lock in its own past.
      k.charge(900);
      released = k.now();
      spin_unlock(k, lock);
      yield* crowd.wait(k);
    }, name);
    assertEquals(log, ["irq ends", "got"], name);
  }, [2]);
});

Deno.test("spin_lock_irqsave() nests: interrupts come back with the outermost", () => {
  const [a, b] = [new raw_spinlock_t("a"), new raw_spinlock_t("b")];
  runOn0(booted(), function* (k) {
    const outer = yield* spin_lock_irqsave(k, a);
    const inner = yield* spin_lock_irqsave(k, b);
    assertEquals(preempt_count(k), 2);
    spin_unlock_irqrestore(k, b, inner);
    assert(irqs_disabled(k));
    spin_unlock_irqrestore(k, a, outer);
    assertEquals([irqs_disabled(k), preempt_count(k)], [false, 0]);
    const flags = local_irq_save(k);
    const nested = yield* spin_lock_irqsave(k, a);
    spin_unlock_irqrestore(k, a, nested);
    assert(irqs_disabled(k));
    local_irq_restore(k, flags);
  });
});

Deno.test("the try forms fail without a trace: preemption, interrupts and softirqs as before", () => {
  const lock = new raw_spinlock_t("lock");
  runOn0(booted({ cpus: 2 }), function* (k) {
    const crowd = new Crowd();
    let stop = false;
    yield* crowd.start(k, "holder", function* (k) {
      yield* spin_lock(k, lock);
      while (!stop) yield* udelay(k, 1);
      spin_unlock(k, lock);
    }, { cpu: 1 });
    while (!raw_spin_is_locked(lock)) yield* udelay(k, 1);
    assertEquals(yield* spin_trylock(k, lock), false);
    assertEquals(yield* raw_spin_trylock_bh(k, lock), false);
    assertEquals(yield* raw_spin_trylock_irqsave(k, lock), null);
    assertEquals([preempt_count(k), irqs_disabled(k)], [0, false]);
    stop = true;
    yield* crowd.wait(k);
    assert(yield* raw_spin_trylock_bh(k, lock));
    yield* spin_unlock_bh(k, lock);
    const flags = yield* raw_spin_trylock_irqsave(k, lock);
    assert(flags !== null && irqs_disabled(k));
    spin_unlock_irqrestore(k, lock, flags);
    assertEquals([preempt_count(k), irqs_disabled(k)], [0, false]);
  });
});

Deno.test("spin_lock_bh() keeps softirqs out until spin_unlock_bh(), which runs them", () => {
  const k = booted();
  const lock = new raw_spinlock_t("lock");
  const log: string[] = [];
  open_softirq(k, 7, function* (k): Atomic<void> {
    log.push("softirq");
    yield* udelay(k, 1);
  });
  runOn0(k, function* (k) {
    yield* spin_lock_bh(k, lock);
    assert(in_softirq(k));
    raise_softirq(k, 7);
    yield* udelay(k, 5000);
    log.push("unlock");
    yield* spin_unlock_bh(k, lock);
    log.push("after");
  });
  assertEquals(log, ["unlock", "softirq", "after"]);
});

// ---- reports -------------------------------------------------------------------------------------------------------

/** Runs `main` on CPU 0; returns how it ended and the first line of every report. */
function outcome(k: Kernel, main: Code): [string, string[]] {
  const verdict = runToEnd(k, "main", function* (k) {
    yield* pin(k, 0);
    yield* main(k);
  });
  return [verdict.ending, k.reports.map((r) => r.lines[0])];
}

Deno.test("a lock taken twice by a task is reported and the task is killed; the lock stays held", () => {
  const k = booted({ cpus: 2 });
  const lock = new raw_spinlock_t("some_lock");
  let pid = 0;
  let after = false;
  const [ending, titles] = outcome(k, function* (k) {
    const crowd = new Crowd();
    yield* crowd.start(k, "other", (k) => msleep(k, 5));
    yield* crowd.wait(k);
    pid = current(k).pid;
    yield* spin_lock(k, lock);
    yield* spin_lock(k, lock);
    after = true;
  });
  assertEquals([ending, after, lock.owner], ["completed", false, k.cpus[0]]);
  assertEquals(titles, [`BUG: spinlock recursion on CPU#0, main/${pid}`]);
  assertEquals(
    k.reports[0].lines[1],
    ` lock: some_lock, .magic: dead4ead, .owner: main/${pid}, .owner_cpu: 0`,
  );
  assertEquals([k.cpus[0].preempt_count, k.cpus[0].irqsOn], [1, true], "the idle task's own");
});

Deno.test("an interrupt that wants the lock of the task it hit, or that its CPU waits for, panics [cpus=2]", () => {
  for (const how of ["held", "waited for"] as const) {
    const k = booted({ cpus: 2 });
    const lock = new raw_spinlock_t("irq_unsafe");
    deviceHandler.set(k, function* (k): Atomic<void> {
      yield* spin_lock(k, lock);
      spin_unlock(k, lock);
    });
    const [ending, titles] = outcome(k, function* (k) {
      const crowd = new Crowd();
      if (how === "held") {
        yield* spin_lock(k, lock);
        k.sendIpi(k.cpu, VECTOR_DEVICE);
        yield* udelay(k, 10);
        return;
      }
      const waiter = yield* crowd.make(k, "waiter", function* (k) {
        yield* spin_lock(k, lock);
        spin_unlock(k, lock);
      }, { cpu: 1 });
      yield* spin_lock(k, lock);
      wake_up_process(k, waiter);
      while (lock.waiters.length === 0) yield* udelay(k, 1);
      k.sendIpi(k.cpus[1], VECTOR_DEVICE);
      yield* udelay(k, 50);
    });
    assertEquals(ending, "panic", how);
    assertMatch(titles[0], /^BUG: spinlock recursion on CPU#[01], /);
    assertEquals(titles[1], "Kernel panic - not syncing: Fatal exception in interrupt");
  }
});

Deno.test("a lock left held by a sleeper and wanted on its CPU is a cpu recursion", () => {
  const k = booted();
  const lock = new raw_spinlock_t("some_lock");
  const [ending, titles] = outcome(k, function* (k) {
    const crowd = new Crowd();
    yield* crowd.start(k, "sleeper", function* (k) {
      yield* spin_lock(k, lock);
      yield* msleep(k, 20);
      spin_unlock(k, lock);
    });
    yield* msleep(k, 4);
    yield* spin_lock(k, lock);
  });
  assertEquals(ending, "completed");
  assertMatch(titles[0], /^BUG: scheduling while atomic: sleeper\/\d+\/0x00000002$/);
  assertMatch(titles[1], /^BUG: spinlock cpu recursion on CPU#0, main\/\d+$/);
});

Deno.test("unlocking what is not locked, or what another task or CPU locked, is reported once, and unlocks", () => {
  const held = (k: Kernel, lock: raw_spinlock_t): MaySleep<void> => spin_lock(k, lock);
  const cases: readonly [string, (k: Kernel, lock: raw_spinlock_t) => MaySleep<void>][] = [
    ["already unlocked", function* (k, lock) {
      preempt_disable(k);
      spin_unlock(k, lock);
    }],
    ["wrong owner", function* (k, lock) {
      const crowd = new Crowd();
      yield* crowd.start(k, "locker", function* (k) {
        yield* held(k, lock);
        preempt_enable(k);
      }, { cpu: 1 });
      yield* crowd.wait(k);
      preempt_disable(k);
      spin_unlock(k, lock);
    }],
    ["wrong CPU", function* (k, lock) {
      yield* held(k, lock);
      preempt_enable(k);
      yield* pin(k, 1);
      preempt_disable(k);
      spin_unlock(k, lock);
    }],
  ];
  for (const [debug, what, code] of cases.flatMap((c) => [[true, ...c] as const, [false, ...c] as const])) {
    const k = booted({ cpus: 2, debug });
    const lock = new raw_spinlock_t("some_lock");
    const [ending, titles] = outcome(k, function* (k) {
      yield* code(k, lock);
      assert(!raw_spin_is_locked(lock));
      spin_lock_init(lock);
      preempt_disable(k);
      spin_unlock(k, lock); // lock debugging has spoken already
      assertEquals(preempt_count(k), 0);
    });
    assertEquals([ending, titles.length], ["completed", 1], `${what} ${reportsOf(k)}`);
    // Lockdep comes first, where it knows better: the right owner on the wrong CPU is none of its business.
    const lockdep = debug && what !== "wrong CPU";
    const title = lockdep
      ? /^WARNING: (bad unlock balance detected!|locker\/\d+ still has locks held!)$/
      : new RegExp(`^BUG: spinlock ${what} on CPU#\\d, main/\\d+$`);
    assertMatch(k.reports[0].title, title);
  }
});

Deno.test("lockdep_assert_held() warns when this CPU does not hold the lock", () => {
  const lock = new raw_spinlock_t("lock");
  const k = booted();
  const [, titles] = outcome(k, function* (k) {
    yield* spin_lock(k, lock);
    lockdep_assert_held(k, lock);
    spin_unlock(k, lock);
    lockdep_assert_held(k, lock);
  });
  assertEquals([titles.length, k.reports.length], [1, 1]);
  assertMatch(k.reports[0].title, /^WARNING: CPU: 0 PID: \d+ at lockdep_assert_held/);
});
