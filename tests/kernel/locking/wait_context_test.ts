// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of check_wait_context() in kernel/locking/lockdep.ts (CONFIG_PROVE_RAW_LOCK_NESTING): which lock may be taken where,
 * and how it is said.
 *
 * The report is print_lock_invalid_wait_context()'s (5.7: with the context line); the numbers of wait types are those of
 * enum lockdep_wait_type: {2:2} spins, {3:3} is a spinlock_t, {4:4} sleeps, 5 is a task.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { VECTOR_DEVICE } from "../../../kernel/machine/cpu.ts";
import { NULL } from "../../../kernel/machine/addr.ts";
import { type Atomic, doneVoid, type MaySleep } from "../../../kernel/machine/effects.ts";
import { debug_locks } from "../../../kernel/bug.ts";
import type { Config } from "../../../kernel/config.ts";
import { deviceHandler, udelay } from "../../../kernel/entry.ts";
import { GFP_ATOMIC, GFP_KERNEL, GFP_NOWAIT } from "../../../kernel/gfp.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { might_lock } from "../../../kernel/locking/lockdep.ts";
import { mutex, mutex_lock, mutex_unlock } from "../../../kernel/locking/mutex.ts";
import {
  raw_spin_lock,
  raw_spin_lock_irqsave,
  raw_spin_unlock,
  raw_spin_unlock_irqrestore,
  raw_spinlock_t,
  spin_lock,
  spin_trylock,
  spin_unlock,
  spinlock_t,
} from "../../../kernel/locking/spinlock.ts";
import { smp_call_function_single } from "../../../kernel/smp.ts";
import { open_softirq, raise_softirq, TASKLET_SOFTIRQ } from "../../../kernel/softirq.ts";
import {
  CLOCK_MONOTONIC,
  hrtimer,
  hrtimer_init,
  HRTIMER_MODE_HARD,
  HRTIMER_MODE_REL,
  HRTIMER_NORESTART,
  type hrtimer_restart,
  hrtimer_start,
} from "../../../kernel/time/hrtimer.ts";
import { msleep } from "../../../kernel/time/timer.ts";
import { INIT_WORK, queue_work, system_wq, work_struct } from "../../../kernel/workqueue.ts";
import { __get_free_page, __get_free_pages, alloc_pages, free_page } from "../../../mm/page_alloc.ts";
import { kfree, kmalloc } from "../../../mm/slub.ts";
import { vfree, vmalloc } from "../../../mm/vmalloc.ts";
import { rcu_head } from "../../../rcu/rcu.ts";
import {
  call_rcu,
  rcu_barrier,
  rcu_read_lock,
  rcu_read_lock_sched,
  rcu_read_unlock,
  rcu_read_unlock_sched,
  synchronize_rcu,
} from "../../../rcu/rcupdate.ts";
import { boot, runToEnd } from "../../../mod.ts";
import { booted, type Code, Crowd, reportsOf } from "../booted.ts";

const TITLE = "[ BUG: Invalid wait context ]";

/** The reports of a run of `main` with the option on. */
function titles(main: Code, wanted: Partial<Config> = {}): string[] {
  const k = booted({ rawLockNesting: true, cpus: 2, ...wanted });
  const verdict = runToEnd(k, "main", main);
  assertEquals(verdict.ending, "completed", reportsOf(k));
  return k.reports.map(({ title }) => title);
}

/** Takes a spinlock_t and releases it. */
function* brief(k: Kernel, lock: spinlock_t): Atomic<void> {
  yield* spin_lock(k, lock);
  spin_unlock(k, lock);
}

Deno.test("a spinlock_t under a raw_spinlock_t is reported in the kernel's words, once", () => {
  const k = booted({ rawLockNesting: true, cpus: 1 });
  function* takes_both(k: Kernel): MaySleep<void> {
    const [raw, soft] = [new raw_spinlock_t("some_raw"), new spinlock_t("some_lock")];
    for (let i = 0; i < 3; i++) {
      yield* raw_spin_lock(k, raw);
      yield* brief(k, soft);
      raw_spin_unlock(k, raw);
    }
  }
  const verdict = runToEnd(k, "main", takes_both);
  assertEquals([verdict.ending, verdict.reports, debug_locks(k)], ["completed", 1, false]);
  const lines = k.reports[0].lines.map((line) => line.replace(/f{8}[0-9a-f]{8}|main\/\d+/, "X"));
  assertEquals(k.reports[0].title, TITLE);
  assertEquals(lines.slice(0, 11), [
    "",
    "=============================",
    TITLE,
    "5.7.0-quiesce #1 Not tainted",
    "-----------------------------",
    "X is trying to lock:",
    "X (some_lock){....}-{3:3}, at: brief",
    "other info that might help us debug this:",
    "context-{5:5}",
    "1 lock held by X:",
    " #0: X (some_raw){+.+.}-{2:2}, at: takes_both",
  ]);
  assertEquals(lines[11], "stack backtrace:");
  assertMatch(lines[12], /^CPU: 0 PID: \d+ Comm: main Not tainted/);
  assertEquals(lines[13], "Call Trace:");
  assert(lines.slice(14).some((line) => line.includes("takes_both")), lines.join("\n"));
});

Deno.test("nothing is said by default, and wait types have one kind less", () => {
  assertEquals(
    titles(function* (k) {
      const [raw, soft, m] = [new raw_spinlock_t("raw"), new spinlock_t("soft"), new mutex("m")];
      yield* raw_spin_lock(k, raw);
      yield* brief(k, soft);
      might_lock(k, soft);
      const p = yield* __get_free_page(k, GFP_ATOMIC);
      yield* free_page(k, p);
      assertEquals(soft.dep_map.class_cache?.wait_type_inner, raw.dep_map.class_cache?.wait_type_inner);
      raw_spin_unlock(k, raw);
      yield* mutex_lock(k, m);
      mutex_unlock(k, m);
      assertEquals(m.dep_map.class_cache?.wait_type_inner, 3);
    }, { rawLockNesting: false }),
    [],
  );
});

Deno.test("what is no wrong nesting is not reported", () => {
  assertEquals(
    titles(function* (k) {
      const [raw, raw2, soft, soft2, m] = [
        new raw_spinlock_t("raw"),
        new raw_spinlock_t("raw2"),
        new spinlock_t("soft"),
        new spinlock_t("soft2"),
        new mutex("m"),
      ];
      yield* mutex_lock(k, m);
      yield* spin_lock(k, soft);
      yield* spin_lock(k, soft2);
      yield* raw_spin_lock(k, raw);
      yield* raw_spin_lock(k, raw2);
      // Who only tries waits for nobody.
      spin_unlock(k, soft2);
      assert(yield* spin_trylock(k, soft2));
      spin_unlock(k, soft2);
      raw_spin_unlock(k, raw2);
      raw_spin_unlock(k, raw);
      might_lock(k, soft2);
      spin_unlock(k, soft);
      might_lock(k, m);
      mutex_unlock(k, m);
    }),
    [],
  );
});

Deno.test("what may be taken under a spinlock_t, under rcu_read_lock() and under rcu_read_lock_sched()", () => {
  const outer = (): spinlock_t => new spinlock_t("outer");
  type Section = (k: Kernel, body: () => void) => MaySleep<void>;
  const sections: Record<string, Section> = {
    *spin_lock(k, body) {
      const lock = outer();
      yield* spin_lock(k, lock);
      body();
      spin_unlock(k, lock);
    },
    *rcu_read_lock(k, body) {
      yield* rcu_read_lock(k);
      body();
      yield* rcu_read_unlock(k);
    },
    // Spins on every kernel.
    *rcu_read_lock_sched(k, body) {
      rcu_read_lock_sched(k);
      body();
      rcu_read_unlock_sched(k);
      yield* doneVoid();
    },
  };
  function reported(section: Section, lock: mutex | spinlock_t | raw_spinlock_t): string {
    const k = booted({ rawLockNesting: true, rcu: "tree", cpus: 2 });
    const verdict = runToEnd(k, "main", (k) => section(k, () => might_lock(k, lock)));
    assertEquals(verdict.ending, "completed", reportsOf(k));
    const line = k.reports[0]?.lines[6] ?? "";
    return /\(\w+\)\{[.+?-]{4}\}-(\{\d:\d\})/.exec(line)?.[1] ?? line;
  }
  const cases: [section: string, mutex: string, spinlock: string, raw: string][] = [
    ["spin_lock", "{4:4}", "", ""],
    ["rcu_read_lock", "{4:4}", "", ""],
    ["rcu_read_lock_sched", "{4:4}", "{3:3}", ""],
  ];
  for (const [name, ...expected] of cases) {
    const locks = [new mutex("m"), new spinlock_t("soft"), new raw_spinlock_t("raw")];
    assertEquals(locks.map((lock) => reported(sections[name], lock)), expected, name);
  }
});

/** The context line of the report about a spinlock_t that `inContext` has taken; "" when there is none. */
function contextOf(start: (k: Kernel, take: (k: Kernel) => Atomic<void>) => MaySleep<void>): string {
  const k = booted({ rawLockNesting: true, cpus: 2 });
  const lock = new spinlock_t("soft");
  const verdict = runToEnd(k, "main", (k) => start(k, (k) => brief(k, lock)));
  assertEquals(verdict.ending, "completed", reportsOf(k));
  return k.reports[0]?.lines.find((line) => line.startsWith("context-")) ?? "";
}

/** A timer of this mode that runs `take`. */
function* startHrtimer(k: Kernel, take: (k: Kernel) => Atomic<void>, mode: number): MaySleep<void> {
  const timer = new hrtimer();
  hrtimer_init(k, timer, CLOCK_MONOTONIC, mode);
  timer.function = function* (k): Atomic<hrtimer_restart> {
    yield* take(k);
    return HRTIMER_NORESTART;
  };
  yield* hrtimer_start(k, timer, 1000, mode);
  yield* udelay(k, 10);
}

Deno.test("in hard interrupts a spinlock_t is wrong, unless PREEMPT_RT would make a thread or a softirq of them", () => {
  assertEquals(
    contextOf(function* (k, take) {
      yield* smp_call_function_single(k, 1 - k.cpu.id, take, true);
    }),
    "context-{2:2}",
  );
  assertEquals(
    contextOf(function* (k, take) {
      yield* startHrtimer(k, take, HRTIMER_MODE_REL | HRTIMER_MODE_HARD);
    }),
    "context-{2:2}",
  );
  assertEquals(
    contextOf(function* (k, take) {
      yield* startHrtimer(k, take, HRTIMER_MODE_REL);
    }),
    "",
  );
  assertEquals(
    contextOf(function* (k, take) {
      deviceHandler.set(k, take);
      k.sendIpi(k.cpu, VECTOR_DEVICE);
      yield* udelay(k, 10);
    }),
    "",
  );
  assertEquals(
    contextOf(function* (k, take) {
      open_softirq(k, TASKLET_SOFTIRQ, take);
      raise_softirq(k, TASKLET_SOFTIRQ);
      yield* msleep(k, 20);
    }),
    "",
  );
});

Deno.test("an interrupt is not charged with the locks of whom it interrupted", () => {
  assertEquals(
    contextOf(function* (k, take) {
      const raw = new raw_spinlock_t("raw");
      deviceHandler.set(k, take);
      yield* raw_spin_lock(k, raw);
      k.sendIpi(k.cpu, VECTOR_DEVICE);
      yield* udelay(k, 10);
      raw_spin_unlock(k, raw);
    }),
    "",
  );
});

Deno.test("a page allocation under a raw_spinlock_t is reported as taking &zone->lock, whichever way it goes", () => {
  const ways: Record<string, (k: Kernel) => Atomic<unknown>> = {
    __get_free_page: (k) => __get_free_page(k, GFP_NOWAIT),
    __get_free_pages: (k) => __get_free_pages(k, GFP_NOWAIT, 3),
    alloc_pages: (k) => alloc_pages(k, GFP_NOWAIT, 0),
    kmalloc: (k) => kmalloc(k, 16384, GFP_NOWAIT), // more than a slab has: pages
  };
  for (const [name, way] of Object.entries(ways)) {
    const k = booted({ rawLockNesting: true });
    const raw = new raw_spinlock_t("krc.lock");
    runToEnd(k, "main", function* (k) {
      yield* __get_free_page(k, GFP_KERNEL);
      const flags = yield* raw_spin_lock_irqsave(k, raw);
      for (let i = 0; i < 3; i++) yield* way(k);
      raw_spin_unlock_irqrestore(k, raw, flags);
    });
    assertEquals(k.reports.map(({ title }) => title), [TITLE], name);
    const { lines } = k.reports[0];
    assertMatch(lines[6], /^ffffffff[0-9a-f]{8} \(&zone->lock\)\{[.+?-]{4}\}-\{3:3\}, at: /, name);
    assertMatch(lines[10], /^ #0: \w+ \(krc\.lock\)\{\.\.\.\.\}-\{2:2\}, at: /, name);
    // The name as the host's stack has it.
    if (name !== "kmalloc") assert(lines.some((line) => line.trim().startsWith(name)), lines.join("\n"));
  }
});

Deno.test("kmalloc() under a raw_spinlock_t is not reported while the CPU's slab has an object, then it is", () => {
  const k = booted({ rawLockNesting: true });
  const raw = new raw_spinlock_t("raw");
  let before = -1;
  runToEnd(k, "main", function* (k) {
    // Two objects: the second shows that the slab has more.
    const warm = yield* kmalloc(k, 512, GFP_KERNEL);
    yield* kfree(k, warm);
    yield* raw_spin_lock(k, raw);
    const p = yield* kmalloc(k, 512, GFP_ATOMIC);
    assert(p !== NULL);
    before = k.reports.length;
    for (let i = 0; i < 200; i++) assert((yield* kmalloc(k, 512, GFP_ATOMIC)) !== NULL);
    raw_spin_unlock(k, raw);
  });
  assertEquals([before, k.reports.map(({ title }) => title)], [0, [TITLE]]);
  assertMatch(k.reports[0].lines[6], /\(&(zone->lock|n->list_lock)\)/);
});

/** What a kernel does all day: slabs, pages, vmalloc, workqueues, timers, RCU. */
function* workload(k: Kernel): MaySleep<void> {
  const crowd = new Crowd();
  for (let t = 0; t < 3; t++) {
    yield* crowd.start(k, `w${t}`, function* (k): MaySleep<void> {
      for (let i = 0; i < 40; i++) {
        const p = yield* kmalloc(k, 64 << i % 8, GFP_KERNEL);
        const page = yield* __get_free_page(k, GFP_KERNEL);
        const v = yield* vmalloc(k, 3 * 4096);
        const work = new work_struct();
        INIT_WORK(k, work, () => doneVoid());
        yield* queue_work(k, system_wq(k), work);
        if (i % 8 === 0) yield* msleep(k, 5);
        if (k.config.rcu !== "none") {
          if (i % 10 === 0) yield* synchronize_rcu(k);
          yield* rcu_read_lock(k);
          yield* rcu_read_unlock(k);
        }
        yield* vfree(k, v);
        yield* free_page(k, page);
        yield* kfree(k, p);
      }
    });
  }
  yield* crowd.wait(k);
  if (k.config.rcu === "none") return;
  const head = yield* kmalloc(k, rcu_head.size, GFP_KERNEL);
  yield* call_rcu(k, head, (k, h) => kfree(k, h));
  yield* rcu_barrier(k);
}

Deno.test("boot and a normal run report nothing with the option on [rcu cpus seeds]", () => {
  for (const rcu of ["none", "tiny", "tree"] as const) {
    for (const seed of [1, 2]) {
      const k = boot({
        rcu,
        cpus: rcu === "tiny" ? 1 : 4,
        seed,
        memBytes: 64 * 2 ** 20,
        rawLockNesting: true,
        debugObjects: true,
        kasan: seed === 2,
      });
      const verdict = runToEnd(k, "workload", workload);
      assertEquals([verdict.ending, reportsOf(k)], ["completed", ""], `rcu=${rcu} seed=${seed}`);
      assertEquals(debug_locks(k), true);
    }
  }
});

Deno.test("the option changes nothing in a run but what is said: same hash [rcu=tree cpus=4]", () => {
  const [off, on] = [false, true].map((rawLockNesting) => {
    const k = boot({ rcu: "tree", cpus: 4, memBytes: 64 * 2 ** 20, seed: 3, rawLockNesting });
    const verdict = runToEnd(k, "workload", workload);
    assertEquals(verdict.ending, "completed");
    return [k.hash.text(), k.seq, k.points];
  });
  assertEquals(on, off);
});
