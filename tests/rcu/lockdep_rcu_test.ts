// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of kernel/locking/lockdep_rcu.ts with the readers of rcu/rcupdate.ts: "suspicious RCU usage" in all its forms, and
 * what a machine without debugging does instead. Formats: lockdep_rcu_suspicious() of kernel/locking/lockdep.c (5.7).
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Ptr, VirtAddr } from "../../kernel/machine/brand.ts";
import { doneVoid, type MaySleep } from "../../kernel/machine/effects.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { mutex, mutex_lock, mutex_unlock } from "../../kernel/locking/mutex.ts";
import { preempt_count } from "../../kernel/preempt.ts";
import { cond_resched, current, might_sleep, schedule } from "../../kernel/sched/core.ts";
import { cpu_rq } from "../../kernel/sched/sched.ts";
import { schedule_timeout_uninterruptible } from "../../kernel/time/timer.ts";
import {
  rcu_dereference,
  rcu_dereference_check,
  rcu_dereference_protected,
  rcu_read_lock,
  rcu_read_lock_bh,
  rcu_read_lock_sched,
  rcu_read_unlock,
  rcu_read_unlock_bh,
  rcu_read_unlock_sched,
  rcu_replace_pointer,
} from "../../rcu/rcupdate.ts";
import { rcu_callback_map, rcu_read_lock_any_held, rcu_read_lock_sched_held } from "../../rcu/update.ts";
import { lock_is_held } from "../../kernel/locking/lockdep.ts";
import { rcu_state } from "../../rcu/tree.ts";
import {
  call_rcu,
  GFP_KERNEL,
  kmalloc,
  kvfree_rcu,
  rcu_barrier,
  runToEnd,
  synchronize_rcu,
} from "../../mod.ts";
import { bootForTiny, runCleanly } from "../machines.ts";
import { bootTree, gpEvents, threadOn } from "./tree_machine.ts";

function pointer(k: Kernel): Ptr<VirtAddr> {
  return k.dataAlloc(8) as Ptr<VirtAddr>;
}

/** Text of each report, without the place. */
function texts(k: Kernel): string[] {
  return k.reports.map((r) =>
    r.title === "WARNING: suspicious RCU usage"
      ? r.lines[5].replace(/^\S+ /, "")
      : r.title.replace(/ at \S+$|(?<=atomic): .*/, "")
  );
}

Deno.test("suspicious RCU usage is reported as 5.7 does, with file and line, and what is held", () => {
  const k = bootTree({ cpus: 2 });
  let pid = 0;
  runCleanly(k, function* update_side(k): MaySleep<void> {
    pid = current(k).pid;
    const lock = new mutex("update_mutex");
    yield* mutex_lock(k, lock);
    yield* rcu_dereference(k, pointer(k));
    mutex_unlock(k, lock);
  }, 1);
  const { lines } = k.reports[0];
  assertMatch(lines[5], /^tests\/rcu\/lockdep_rcu_test\.ts:\d+ suspicious rcu_dereference_check\(\) usage!$/);
  assertEquals([...lines.slice(0, 5), ...lines.slice(6, 15)], [
    "",
    "=============================",
    "WARNING: suspicious RCU usage",
    "5.7.0-quiesce #1 Not tainted",
    "-----------------------------",
    "",
    "other info that might help us debug this:",
    "",
    "",
    "rcu_scheduler_active = 2, debug_locks = 1",
    `1 lock held by test/${pid}:`,
    lines[12],
    "",
    "stack backtrace:",
  ]);
  assertMatch(
    lines[12],
    /^ #0: ffffffff8200[0-9a-f]{4} \(update_mutex\)\{\+\.\+\.\}-\{3:3\}, at: update_side$/,
  );
  assertMatch(lines[15], /^CPU: \d PID: \d+ Comm: test Not tainted 5\.7\.0-quiesce #1$/);
  assert(lines.includes(" update_side"));
});

Deno.test("each place is reported once, however often it is passed", () => {
  const k = bootTree({ cpus: 2 });
  runCleanly(k, function* (k): MaySleep<void> {
    const pp = pointer(k);
    for (let i = 0; i < 5; i++) {
      yield* rcu_dereference(k, pp);
      yield* rcu_dereference(k, pp);
    }
  }, 2);
  const places = k.reports.map((r) => r.lines[5].split(" ")[0]);
  assert(places[0] !== places[1], places.join());
});

Deno.test("a condition that holds makes any context legal, one that does not is reported by its macro", () => {
  const k = bootTree({ cpus: 2 });
  runCleanly(k, function* (k): MaySleep<void> {
    const pp = pointer(k);
    yield* rcu_dereference_check(k, pp, true);
    rcu_dereference_protected(k, pp, true);
    rcu_dereference_protected(k, pp);
    yield* rcu_replace_pointer(k, pp, pp as VirtAddr as Ptr<VirtAddr>);
    assertEquals(k.reports.length, 0);
    yield* rcu_dereference_check(k, pp, false);
    rcu_dereference_protected(k, pp, false);
    yield* rcu_replace_pointer(k, pp, pp as VirtAddr as Ptr<VirtAddr>, false);
    yield* rcu_read_lock(k);
    rcu_dereference_protected(k, pp, false); // a reader is not an updater
    yield* rcu_dereference_check(k, pp, false);
    yield* rcu_read_unlock(k);
  }, 4);
  assertEquals(texts(k), [
    "suspicious rcu_dereference_check() usage!",
    ...new Array(3).fill("suspicious rcu_dereference_protected() usage!"),
  ]);
});

Deno.test("readers of the sched and bh kinds are known when they are marked, and are no readers of the other kind", () => {
  const k = bootTree({ cpus: 2 });
  runCleanly(k, function* (k): MaySleep<void> {
    const pp = pointer(k);
    rcu_read_lock_sched(k);
    assertEquals([rcu_read_lock_sched_held(k), rcu_read_lock_any_held(k)], [true, true]);
    yield* rcu_dereference(k, pp);
    rcu_read_unlock_sched(k);
    rcu_read_lock_bh(k);
    assertEquals(rcu_read_lock_any_held(k), true);
    yield* rcu_read_unlock_bh(k);
    assertEquals([rcu_read_lock_any_held(k), preempt_count(k)], [false, 0]);
  }, 1);
});

Deno.test("might_sleep() in a reader: illegal for RCU, and an invalid context; schedule() again, at its own place", () => {
  const k = bootTree({ cpus: 1 });
  runCleanly(k, function* (k): MaySleep<void> {
    for (let i = 0; i < 2; i++) {
      yield* rcu_read_lock(k);
      might_sleep(k);
      yield* rcu_read_unlock(k);
    }
    yield* rcu_read_lock(k);
    yield* schedule(k);
    k.cpu.preempt_count = 1;
    yield* rcu_read_unlock(k);
  }, 4);
  assertEquals(texts(k), [
    "Illegal context switch in RCU read-side critical section!",
    "BUG: sleeping function called from invalid context",
    "BUG: scheduling while atomic",
    "Illegal context switch in RCU read-side critical section!",
  ]);
  assertMatch(k.reports[1].lines[2], /^1 lock held by test\/\d+:$/);
  assertMatch(
    k.reports[1].lines[3],
    /^ #0: ffffffff8200[0-9a-f]{4} \(rcu_read_lock\)\{\.\.\.\.\}-\{1:2\}, at: tests\/rcu\//,
  );
});

Deno.test("every way into and out of a reader on a CPU that RCU does not watch is reported", () => {
  const k = bootTree({ cpus: 1 });
  const pp = pointer(k);
  // At rest: the CPU is in its idle loop, behind rcu_idle_enter().
  k.cpu = k.cpus[0];
  assertEquals(k.rcu.rcu_is_watching(k), false);
  const drive = (steps: Iterable<unknown>): void => void [...steps];
  drive(rcu_read_lock(k));
  drive(rcu_dereference(k, pp));
  drive(rcu_read_unlock(k));
  rcu_read_lock_sched(k);
  rcu_read_unlock_sched(k);
  rcu_read_lock_bh(k);
  drive(rcu_read_unlock_bh(k));
  assertEquals(texts(k).filter((text) => !text.startsWith("WARNING")), [
    "rcu_read_lock() used illegally while idle!",
    "suspicious rcu_dereference_check() usage!",
    "rcu_read_unlock() used illegally while idle!",
    "rcu_read_lock_sched() used illegally while idle!",
    "rcu_read_unlock_sched() used illegally while idle!",
    "rcu_read_lock_bh() used illegally while idle!",
    "rcu_read_unlock_bh() used illegally while idle!",
  ]);
  const { lines } = k.reports[0];
  const at = lines.indexOf("RCU used illegally from idle CPU!");
  assertEquals(lines.slice(at + 1, at + 3), [
    "rcu_scheduler_active = 2, debug_locks = 1",
    "RCU used illegally from extended quiescent state!",
  ]);
  assertEquals(k.cpu.current, cpu_rq(k, 0).idle);
});

Deno.test("a reader on a CPU that is offline for RCU is none, and the report says so", () => {
  const k = bootTree({ cpus: 2 });
  runCleanly(k, (k) =>
    threadOn(k, 1, "late", function* (k): MaySleep<void> {
      const { qsmaskinitnext } = rcu_state(k).leaves[0];
      yield* rcu_read_lock(k);
      const before = qsmaskinitnext.toNumber();
      qsmaskinitnext.clear();
      yield* rcu_dereference(k, pointer(k));
      qsmaskinitnext.setBit(0).setBit(1);
      assertEquals(qsmaskinitnext.toNumber(), before);
      yield* rcu_read_unlock(k);
    }), 1);
  assert(k.reports[0].lines.includes("RCU used illegally from offline CPU!"));
});

Deno.test("a callback is known to be one, and is no reader [rcu]", () => {
  for (const k of [bootTree({ cpus: 1 }), bootForTiny()]) {
    const seen: boolean[] = [];
    runCleanly(k, function* (k): MaySleep<void> {
      const p = yield* kmalloc(k, 64, GFP_KERNEL);
      yield* call_rcu(k, p, (k) => {
        seen.push(lock_is_held(k, rcu_callback_map(k)));
        return doneVoid();
      });
      yield* rcu_barrier(k);
      seen.push(lock_is_held(k, rcu_callback_map(k)));
      yield* kvfree_rcu(k, yield* kmalloc(k, 64, GFP_KERNEL));
    });
    assertEquals(seen, [true, false]);
  }
});

Deno.test("without debugging a sleeping reader is not noticed, and the grace period does not wait for it [cpus=2]", () => {
  const k = bootTree({ cpus: 2, debug: false });
  const since = k.seq;
  const order: string[] = [];
  runCleanly(k, function* (k): MaySleep<void> {
    yield* threadOn(k, 1, "sleeper", function* (k): MaySleep<void> {
      yield* rcu_read_lock(k);
      yield* schedule_timeout_uninterruptible(k, 20);
      // The count that nobody looks at is still this task's own.
      assertEquals(preempt_count(k), 1);
      order.push("reader leaves");
      yield* rcu_read_unlock(k);
      assertEquals(preempt_count(k), 0);
    });
    yield* threadOn(k, 1, "other", function* (k): MaySleep<void> {
      assertEquals(preempt_count(k), 0);
      yield* cond_resched(k);
    });
    yield* schedule_timeout_uninterruptible(k, 2);
    yield* synchronize_rcu(k);
    order.push("grace period over");
  });
  assertEquals(order, ["grace period over", "reader leaves"]);
  assert(gpEvents(k, since, "end").length > 0);
});

Deno.test("with preempt_count 5.7 finds the same reader out, at every step [cpus=2]", () => {
  const k = bootTree({ cpus: 2 });
  runToEnd(k, "test", (k) =>
    threadOn(k, 1, "sleeper", function* (k): MaySleep<void> {
      yield* rcu_read_lock(k);
      yield* schedule_timeout_uninterruptible(k, 20);
      yield* rcu_read_unlock(k);
    }));
  // The count starts anew with the switch, so the reader has nothing left to enable: one more report.
  assertEquals(texts(k).slice(0, 2), [
    "BUG: scheduling while atomic",
    "Illegal context switch in RCU read-side critical section!",
  ]);
});
