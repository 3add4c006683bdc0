// SPDX-License-Identifier: GPL-2.0-only
/**
 * How runs end that do not end well: every one in a verdict that names its tasks, within its limits, never in a hang; and
 * afterwards the machine can be booted again.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { udelay, user_mode } from "../../kernel/entry.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { mutex, mutex_lock, mutex_unlock } from "../../kernel/locking/mutex.ts";
import {
  raw_spinlock_t,
  spin_lock,
  spin_lock_irqsave,
  spin_unlock,
  spin_unlock_irqrestore,
} from "../../kernel/locking/spinlock.ts";
import { local_irq_disable, preempt_disable } from "../../kernel/preempt.ts";
import { completion, wait_for_completion } from "../../kernel/sched/completion.ts";
import { cond_resched } from "../../kernel/sched/core.ts";
import { msleep } from "../../kernel/time/timer.ts";
import { reboot, runToEnd, type RunVerdict } from "../../mod.ts";
import { booted, type Code, Crowd, eachMachine, pin, runOn0 } from "../kernel/booted.ts";

const LIMITS = { ns: 5e9, points: 500_000 };

function names(verdict: RunVerdict): string[] {
  return verdict.remaining.map((p) => p.comm).sort();
}

/** Two threads that take two locks in opposite order; `take` and `give` are the form of the lock. */
function* abba(
  k: Kernel,
  section: (k: Kernel, lock: raw_spinlock_t, inner: Code) => MaySleep<void>,
): MaySleep<void> {
  const [a, b] = [new raw_spinlock_t("lock_a"), new raw_spinlock_t("lock_b")];
  const crowd = new Crowd();
  for (const [comm, cpu, first, second] of [["ab", 0, a, b], ["ba", 1, b, a]] as const) {
    yield* crowd.start(k, comm, function* (k) {
      // Both have their first lock before either wants its second one.
      yield* section(k, first, function* (k) {
        yield* udelay(k, 2000);
        yield* section(k, second, function* () {});
      });
    }, { cpu });
  }
  yield* crowd.wait(k);
}

Deno.test("an ABBA deadlock of spinlocks, interrupts on or off, is a deadlock that says who spins on what [cpus=2,4 preempt seeds]", () => {
  const forms: readonly [string, Parameters<typeof abba>[1]][] = [
    ["interrupts on", function* (k, lock, inner) {
      yield* spin_lock(k, lock);
      yield* inner(k);
      spin_unlock(k, lock);
    }],
    ["interrupts off", function* (k, lock, inner) {
      const flags = yield* spin_lock_irqsave(k, lock);
      yield* inner(k);
      spin_unlock_irqrestore(k, lock, flags);
    }],
  ];
  eachMachine((k, { name }) => {
    for (const [what, section] of forms) {
      const verdict = runToEnd(k, "main", (k) => abba(k, section), LIMITS);
      assertEquals([verdict.ending, names(verdict)], ["deadlock", ["ab", "ba", "main"]], `${what} ${name}`);
      const states = Object.fromEntries(verdict.remaining.map((p) => [p.comm, p.state]));
      assertMatch(states.ab, /^spins on lock_b, held by ba\/\d+$/);
      assertMatch(states.ba, /^spins on lock_a, held by ab\/\d+$/);
      assertMatch(states.main, /^waits for completion crowd$/);
      reboot(k, k.chooser.schedule);
    }
  }, [2, 4]);
});

Deno.test("a circle of three CPUs is found too; a long chain that moves is none [cpus=4]", () => {
  const locks = ["a", "b", "c"].map((name) => new raw_spinlock_t(name));
  const three = (holds: number): Code =>
    function* (k) {
      const crowd = new Crowd();
      for (const cpu of [0, 1, 2]) {
        yield* crowd.start(k, `t${cpu}`, function* (k) {
          yield* spin_lock(k, locks[cpu]);
          yield* udelay(k, 3000);
          const next = locks[(cpu + 1) % 3];
          if (cpu < holds) {
            yield* spin_lock(k, next);
            spin_unlock(k, next);
          }
          yield* udelay(k, 100_000);
          spin_unlock(k, locks[cpu]);
        }, { cpu });
      }
      yield* crowd.wait(k);
    };
  const stuck = runToEnd(booted({ cpus: 4 }), "main", three(3), LIMITS);
  assertEquals([stuck.ending, names(stuck)], ["deadlock", ["main", "t0", "t1", "t2"]]);
  for (const lock of locks) {
    lock.owner = null;
    lock.waiters.length = 0;
  }
  runOn0(booted({ cpus: 4 }), three(2), "", LIMITS);
});

Deno.test("tasks that wait for each other are a deadlock that names what they wait for [cpus=1,2,4]", () => {
  eachMachine((k, { name }) => {
    const [a, b] = [new mutex("mutex_a"), new mutex("mutex_b")];
    const verdict = runToEnd(k, "main", function* (k) {
      for (const [comm, first, second] of [["ab", a, b], ["ba", b, a]] as const) {
        yield* new Crowd().start(k, comm, function* (k) {
          yield* mutex_lock(k, first);
          yield* msleep(k, 40);
          yield* mutex_lock(k, second);
          mutex_unlock(k, second);
          mutex_unlock(k, first);
        });
      }
      yield* wait_for_completion(k, new completion("never"));
    }, LIMITS);
    assertEquals(verdict.ending, "deadlock", name);
    assertEquals(Object.fromEntries(verdict.remaining.map((p) => [p.comm, p.state.split(",")[0]])), {
      main: "waits for completion never",
      ab: "waits for mutex mutex_b",
      ba: "waits for mutex mutex_a",
    }, name);
  });
});

Deno.test("a task that passes points for ever is a livelock that names it, however it spins", () => {
  const spins: readonly [string, Code][] = [
    ["cond_resched", function* (k) {
      for (;;) yield* cond_resched(k);
    }],
    ["interrupts off", function* (k) {
      local_irq_disable(k);
      for (;;) yield* udelay(k, 1);
    }],
    ["preemption off", function* (k) {
      preempt_disable(k);
      for (;;) yield* udelay(k, 1);
    }],
    ["user mode", function* (k) {
      for (;;) yield* user_mode(k, 100);
    }],
    ["sleeping", function* (k) {
      for (;;) yield* msleep(k, 1);
    }],
  ];
  for (const [what, spin] of spins) {
    for (const cpus of [1, 2]) {
      const k = booted({ cpus });
      const verdict = runToEnd(k, "main", function* (k) {
        yield* pin(k, 0);
        yield* new Crowd().start(k, "spinner", spin);
        yield* wait_for_completion(k, new completion("never"));
      }, LIMITS);
      assertEquals([verdict.ending, names(verdict)], ["livelock", ["main", "spinner"]], `${what} ${cpus}`);
      assert(verdict.ns <= LIMITS.ns + 60e6, `${what}: ${verdict.ns}`);
    }
  }
});

Deno.test("a SCHED_FIFO spinner starves what is on its CPU: the verdict tells who could have run [preempt]", () => {
  for (const preempt of ["none", "full"] as const) {
    const k = booted({ preempt });
    const verdict = runToEnd(k, "main", function* (k) {
      const crowd = new Crowd();
      yield* crowd.start(k, "starved", (k) => msleep(k, 5));
      yield* crowd.start(k, "hog", function* (k) {
        for (;;) yield* cond_resched(k);
      }, { fifo: 99 });
      yield* crowd.wait(k);
    }, LIMITS);
    assertEquals(verdict.ending, "livelock", preempt);
    const states = Object.fromEntries(verdict.remaining.map((p) => [p.comm, p.state]));
    assertEquals([states.hog, states.starved], ["runnable", "runnable"], preempt);
  }
});

Deno.test("a run that completes says so, with the time it took, and counts what the kernel reported in it", () => {
  const k = booted({ cpus: 2 });
  const first = runToEnd(k, "reports", function* caller(k): MaySleep<void> {
    preempt_disable(k);
    yield* msleep(k, 1);
  });
  assertEquals([first.ending, first.reports > 0], ["completed", true]);
  const second = runToEnd(k, "quiet", (k) => msleep(k, 100));
  assertEquals([second.ending, second.reports, second.remaining.length], ["completed", 0, 0]);
  assert(second.ns >= 100e6 && second.ns < 200e6);
  assertEquals([second.hash, second.lastEvent], [k.hash.text(), k.seq]);
});
