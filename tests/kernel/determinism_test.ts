// SPDX-License-Identifier: GPL-2.0-only
/**
 * Same input, same run, for everything that the kernel's core can do at once: over seeds, policies, CPUs and preemption,
 * with the log on or off, and however often the host looks.
 */
import { assert, assertEquals } from "@std/assert";
import { type Policy, POLICY_FINE, POLICY_TIME } from "../../kernel/machine/chooser.ts";
import type { Atomic, MaySleep } from "../../kernel/machine/effects.ts";
import { WRITE_ONCE } from "../../kernel/compiler.ts";
import { cpumask_of } from "../../kernel/cpumask.ts";
import { ndelay, udelay, user_mode } from "../../kernel/entry.ts";
import { GFP_KERNEL } from "../../kernel/gfp.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { mutex, mutex_lock, mutex_unlock } from "../../kernel/locking/mutex.ts";
import { raw_spinlock_t, spin_lock_irqsave, spin_unlock_irqrestore } from "../../kernel/locking/spinlock.ts";
import { spin_lock_bh, spin_unlock_bh } from "../../kernel/locking/spinlock_bh.ts";
import { complete, completion, wait_for_completion } from "../../kernel/sched/completion.ts";
import {
  cond_resched,
  current,
  sched_yield,
  schedule,
  set_cpus_allowed_ptr,
  set_current_state,
  wake_up_process,
} from "../../kernel/sched/core.ts";
import { TASK_UNINTERRUPTIBLE } from "../../kernel/sched/sched.ts";
import { smp_call_function_single } from "../../kernel/smp.ts";
import { open_softirq, raise_softirq } from "../../kernel/softirq.ts";
import { msleep } from "../../kernel/time/timer.ts";
import { INIT_WORK, schedule_work, work_struct } from "../../kernel/workqueue.ts";
import { kfree, kmalloc } from "../../mm/slub.ts";
import type { PreemptChoice } from "../../kernel/config.ts";
import { reboot, Run, type Scenario } from "../../mod.ts";
import { booted, Crowd, reportsOf } from "./booted.ts";

/** A bit of everything, on every CPU. */
function* everything(k: Kernel): MaySleep<void> {
  const { cpus } = k.config;
  const lock = new raw_spinlock_t("lock");
  const bh = new raw_spinlock_t("bh");
  const m = new mutex("m");
  let softirqs = 0;
  let worked = 0;
  open_softirq(k, 7, function* (k): Atomic<void> {
    yield* udelay(k, 2);
    softirqs++;
  });
  function* step(k: Kernel, who: number, i: number): MaySleep<void> {
    switch ((who * 3 + i) % 9) {
      case 0: {
        const flags = yield* spin_lock_irqsave(k, lock);
        yield* udelay(k, 3);
        return spin_unlock_irqrestore(k, lock, flags);
      }
      case 1:
        yield* spin_lock_bh(k, bh);
        raise_softirq(k, 7);
        return yield* spin_unlock_bh(k, bh);
      case 2:
        yield* mutex_lock(k, m);
        yield* cond_resched(k);
        return mutex_unlock(k, m);
      case 3:
        return yield* msleep(k, 1 + who);
      case 4:
        return yield* user_mode(k, 300_000);
      case 5:
        yield* smp_call_function_single(k, (who + i) % cpus, (k) => udelay(k, 1), i % 2 === 0);
        return;
      case 6:
        return yield* kfree(k, yield* kmalloc(k, 64 << (i % 4), GFP_KERNEL));
      case 7: {
        const work = new work_struct();
        const ended = new completion("work");
        INIT_WORK(k, work, function* (k): MaySleep<void> {
          yield* udelay(k, 5);
          worked++;
          complete(k, ended);
        });
        yield* schedule_work(k, work);
        return yield* wait_for_completion(k, ended);
      }
      case 8:
        yield* set_cpus_allowed_ptr(k, current(k), cpumask_of(k, (who + i) % cpus));
        return yield* sched_yield(k);
    }
  }
  const crowd = new Crowd();
  for (let who = 0; who < cpus + 2; who++) {
    yield* crowd.start(k, `t${who}`, function* (k) {
      for (let i = 0; i < 18; i++) yield* step(k, who, i);
    }, who === 1 ? { fifo: 3 } : {});
  }
  yield* crowd.wait(k);
  yield* msleep(k, 5);
  assert(softirqs > 0 && worked === 2 * (cpus + 2));
}

const scenario: Scenario = { name: "everything", summary: "", options: [], main: everything };

/** How the host goes about it: what must not matter. */
interface Manner {
  readonly name: string;
  readonly log?: boolean;
  advance(run: Run, k: Kernel): void;
}

const WHOLE: Manner = { name: "whole", advance: (run) => void run.advance() };

function go(
  cpus: number,
  preempt: PreemptChoice,
  policy: Policy,
  seed: number,
  manner: Manner,
): { readonly hash: string; readonly seq: number; readonly points: number; readonly digest: string } {
  const k = booted({ cpus, preempt, policy, seed });
  k.log.recording = manner.log !== false;
  const run = new Run(k, scenario, {});
  manner.advance(run, k);
  const where = `cpus=${cpus} preempt=${preempt} policy=${policy.name} seed=${seed} ${manner.name}`;
  assertEquals([run.verdict().ending, reportsOf(k)], ["completed", ""], where);
  return { hash: k.hash.text(), seq: k.seq, points: k.points, digest: k.digest() };
}

Deno.test("20 seeds x 2 policies x 1, 2, 4 CPUs x both preemptions: the same hash twice, log on or off, and no two alike", () => {
  for (const cpus of [1, 2, 4]) {
    for (const preempt of ["none", "full"] as const) {
      for (const policy of [POLICY_TIME, POLICY_FINE]) {
        const seen = new Set<string>();
        for (let seed = 1; seed <= 20; seed++) {
          const first = go(cpus, preempt, policy, seed, WHOLE);
          const again = go(cpus, preempt, policy, seed, { ...WHOLE, name: "log off", log: false });
          assertEquals(again, first, `cpus=${cpus} preempt=${preempt} policy=${policy.name} seed=${seed}`);
          seen.add(first.hash);
        }
        assertEquals(seen.size, 20);
      }
    }
  }
});

Deno.test("how often the host looks changes nothing: a point at a time, seven, an event at a time [cpus preempt policies]", () => {
  const manners: readonly Manner[] = [
    { name: "1 point", advance: (run) => void finish(run, () => run.advance(1)) },
    { name: "7 points", advance: (run) => void finish(run, () => run.advance(7)) },
    { name: "1 event", advance: (run, k) => void finish(run, () => run.advance(Infinity, k.seq + 1)) },
    { name: "no log, 64 points", log: false, advance: (run) => void finish(run, () => run.advance(64)) },
  ];
  for (const cpus of [1, 2, 4]) {
    for (const preempt of ["none", "full"] as const) {
      for (const policy of [POLICY_TIME, POLICY_FINE]) {
        const whole = go(cpus, preempt, policy, 5, WHOLE);
        for (const manner of manners) {
          assertEquals(go(cpus, preempt, policy, 5, manner), whole, `cpus=${cpus} ${preempt} ${manner.name}`);
        }
      }
    }
  }
});

function finish(run: Run, step: () => void): void {
  for (let i = 0; !run.finished; i++) {
    step();
    assert(i < 5_000_000);
  }
}

Deno.test("short stays in user mode under remote wake-ups: chunks change nothing [cpus=2 preempt=full seeds]", () => {
  const busy: Scenario = {
    ...scenario,
    *main(k): MaySleep<void> {
      const crowd = new Crowd();
      const o = { x: 0 };
      const high = yield* crowd.start(k, "high", function* (k) {
        for (let i = 0; i < 60; i++) {
          set_current_state(k, TASK_UNINTERRUPTIBLE);
          yield* schedule(k);
        }
      }, { cpu: 1, fifo: 1 });
      let over = false;
      yield* crowd.start(k, "user", function* (k) {
        while (!over) {
          yield* user_mode(k, 100);
          for (let i = 0; i < 3; i++) yield* WRITE_ONCE(k, o, "x", i);
        }
      }, { cpu: 1 });
      yield* set_cpus_allowed_ptr(k, current(k), cpumask_of(k, 0));
      while (high.exit_state === 0) {
        wake_up_process(k, high);
        yield* ndelay(k, 777);
      }
      over = true;
      yield* crowd.wait(k);
    },
  };
  for (const policy of [POLICY_TIME, POLICY_FINE]) {
    for (let seed = 1; seed <= 5; seed++) {
      const hashes = [Infinity, 1].map((points) => {
        const k = booted({ cpus: 2, preempt: "full", policy, seed });
        const run = new Run(k, busy, {});
        finish(run, () => run.advance(points));
        assertEquals([run.verdict().ending, reportsOf(k)], ["completed", ""]);
        return [k.hash.text(), k.seq, k.points];
      });
      assertEquals(hashes[1], hashes[0], `policy=${policy.name} seed=${seed}`);
    }
  }
});

Deno.test("how far a call of run() may go changes nothing: odd limits of time [cpus preempt policies]", () => {
  for (const cpus of [1, 2, 4]) {
    for (const preempt of ["none", "full"] as const) {
      for (const policy of [POLICY_TIME, POLICY_FINE]) {
        const hashes = [Infinity, 1_000_000, 77_777].map((step) => {
          const k = booted({ cpus, preempt, policy, seed: 9 });
          let ended = false;
          new Run(k, {
            ...scenario,
            *main(k): MaySleep<void> {
              yield* everything(k);
              ended = true;
            },
          }, {});
          const start = k.now();
          // To the same end, in steps of different length.
          for (let until = start; until < start + 400e6;) {
            until = Math.min(start + 400e6, until + step);
            k.run(until);
          }
          assert(ended, `cpus=${cpus}`);
          return [k.hash.text(), k.seq, k.points];
        });
        assertEquals(hashes[1], hashes[0], `cpus=${cpus} preempt=${preempt} policy=${policy.name}`);
        assertEquals(hashes[2], hashes[0], `cpus=${cpus} preempt=${preempt} policy=${policy.name}`);
      }
    }
  }
});

Deno.test("a seeded run, written down as deviations, is the same run [cpus=1,2,4]", () => {
  for (const cpus of [1, 2, 4]) {
    const config = { cpus, preempt: "full", policy: POLICY_FINE, seed: 3 } as const;
    const plain = go(cpus, "full", POLICY_FINE, 3, WHOLE);
    const k = booted(config);
    reboot(k, { policy: POLICY_FINE, seed: 3, deviations: null, recordSites: true });
    new Run(k, scenario, {}).advance();
    assertEquals(k.hash.text(), plain.hash, "counting sites is observation");
    const { taken } = k.chooser;
    assert(taken.length > 0);
    reboot(k, { policy: POLICY_FINE, seed: 3, deviations: taken });
    new Run(k, scenario, {}).advance();
    assertEquals([k.hash.text(), k.seq, k.digest()], [plain.hash, plain.seq, plain.digest]);
  }
});
