// SPDX-License-Identifier: GPL-2.0-only
/** Tests of kernel/sched/idle.ts: what a CPU does when it has nothing to do, and that it misses nothing. */
import { assert, assertEquals } from "@std/assert";
import { POLICY_FINE } from "../../../kernel/machine/chooser.ts";
import type { Atomic, MaySleep } from "../../../kernel/machine/effects.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { complete, completion, wait_for_completion } from "../../../kernel/sched/completion.ts";
import { idle_cpu } from "../../../kernel/sched/core.ts";
import { msleep } from "../../../kernel/time/timer.ts";
import { booted, Crowd, eachMachine, pin, runOn0 } from "../booted.ts";

Deno.test("no wake-up is slept through: CPUs that wake each other from idle [cpus preempt, 10 seeds]", () => {
  for (const preempt of ["none", "full"] as const) {
    for (let seed = 1; seed <= 10; seed++) {
      const k = booted({ cpus: 2, preempt, seed, policy: POLICY_FINE });
      const [ping, pong] = [new completion("ping"), new completion("pong")];
      const verdict = runOn0(k, function* (k) {
        const crowd = new Crowd();
        yield* crowd.start(k, "pong", function* (k) {
          for (let i = 0; i < 100; i++) {
            yield* wait_for_completion(k, ping);
            complete(k, pong);
          }
        }, { cpu: 1 });
        for (let i = 0; i < 100; i++) {
          complete(k, ping);
          yield* wait_for_completion(k, pong);
        }
        yield* crowd.wait(k);
      }, `preempt=${preempt} seed=${seed}`);
      // Each of the 200 wake-ups takes microseconds, a lost one at least until the next tick; stalls are drawn too.
      assert(verdict.ns < 300e6, `${verdict.ns}`);
    }
  }
});

Deno.test("the idle loop tells RCU of each idle period, and halts only in between [cpus=2 seeds]", () => {
  eachMachine((k, { name }) => {
    const depth = [1, 1]; // both CPUs idle when it starts
    const hook = (by: number): (k: Kernel) => Atomic<void> =>
      function* (k: Kernel): Atomic<void> {
        depth[k.cpu.id] += by;
        assert(depth[k.cpu.id] === 0 || depth[k.cpu.id] === 1, name);
      };
    k.rcu = {
      ...k.rcu,
      rcu_idle_enter: hook(1),
      rcu_idle_exit: hook(-1),
      *rcu_note_context_switch(k): Atomic<void> {
        assertEquals(depth[k.cpu.id], 0, `a switch while idle ${name}`);
      },
    };
    runOn0(k, function* (k): MaySleep<void> {
      for (let i = 0; i < 20; i++) {
        yield* msleep(k, 1);
        yield* pin(k, i % 2);
      }
    }, name);
    assertEquals(depth, [1, 1], name);
  }, [2]);
});

Deno.test("idle_cpu() says whether nothing but the idle task wants a CPU [cpus=2]", () => {
  runOn0(booted({ cpus: 2 }), function* (k): MaySleep<void> {
    assertEquals([idle_cpu(k, 0), idle_cpu(k, 1)], [false, true]);
    yield* pin(k, 1);
    assertEquals([idle_cpu(k, 0), idle_cpu(k, 1)], [true, false]);
  });
});
