// SPDX-License-Identifier: GPL-2.0-only
/** Tests of rcu/rcupdate.ts: readers, pointers, and what is reported when the rules are broken. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Ptr, VirtAddr } from "../../kernel/machine/brand.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { preempt_count } from "../../kernel/preempt.ts";
import { current, schedule, set_current_state } from "../../kernel/sched/core.ts";
import { TASK_INTERRUPTIBLE } from "../../kernel/sched/sched.ts";
import { rcu_read_lock_bh, rcu_read_lock_held, rcu_read_unlock_bh } from "../../rcu/rcupdate.ts";
import {
  rcu_access_pointer,
  rcu_assign_pointer,
  rcu_dereference,
  rcu_dereference_protected,
  RCU_INIT_POINTER,
  rcu_read_lock,
  rcu_read_unlock,
  rcu_replace_pointer,
} from "../../mod.ts";
import { bootForTiny, eventsOf, runCleanly } from "../machines.ts";

const A = 0x8880_0100_0000 as VirtAddr;
const B = 0x8880_0200_0000 as VirtAddr;

Deno.test("rcu_read_lock() nests, disables preemption, and is an event", () => {
  const k = bootForTiny();
  runCleanly(k, function* (k): MaySleep<void> {
    const outside = preempt_count(k);
    yield* rcu_read_lock(k);
    yield* rcu_read_lock(k);
    assertEquals([preempt_count(k) - outside, current(k).rcu_read_lock_nesting], [2, 2]);
    yield* rcu_read_unlock(k);
    assertEquals(rcu_read_lock_held(k), true);
    yield* rcu_read_unlock(k);
    assertEquals([preempt_count(k), rcu_read_lock_held(k)], [outside, false]);
  });
  assertEquals(eventsOf(k, "rcu_read_lock").map((r) => r.args[0]), [1, 2]);
});

Deno.test("rcu_read_unlock() without rcu_read_lock() is reported and does not underflow", () => {
  const k = bootForTiny();
  runCleanly(k, function* (k): MaySleep<void> {
    yield* rcu_read_unlock(k);
    assertEquals([current(k).rcu_read_lock_nesting, preempt_count(k)], [0, 0]);
  }, 1);
  assertEquals(k.reports[0].title, "WARNING: bad unlock balance detected!");
  assertStringIncludes(k.reports[0].lines[5], "is trying to release lock (rcu_read_lock) at:");
});

Deno.test("rcu_assign_pointer(), rcu_replace_pointer() and rcu_dereference() work on bytes in memory", () => {
  const k = bootForTiny();
  runCleanly(k, function* (k): MaySleep<void> {
    const pp = k.dataAlloc(8) as Ptr<VirtAddr>;
    RCU_INIT_POINTER(k, pp, A);
    assertEquals(rcu_dereference_protected(k, pp) as number, A as number);
    yield* rcu_assign_pointer(k, pp, B);
    yield* rcu_read_lock(k);
    assertEquals((yield* rcu_dereference(k, pp)) as number, B as number);
    yield* rcu_read_unlock(k);
    assertEquals((yield* rcu_replace_pointer(k, pp, A)) as number, B as number);
    assertEquals((yield* rcu_access_pointer(k, pp)) as number, A as number);
  });
});

Deno.test("rcu_dereference() outside a reader is reported once", () => {
  const k = bootForTiny();
  runCleanly(k, function* (k): MaySleep<void> {
    const pp = k.dataAlloc(8) as Ptr<VirtAddr>;
    for (let i = 0; i < 3; i++) yield* rcu_dereference(k, pp);
  }, 1);
  assertEquals(k.reports[0].title, "WARNING: suspicious RCU usage");
  assertMatch(
    k.reports[0].lines[5],
    /^tests\/rcu\/rcupdate_test\.ts:\d+ suspicious rcu_dereference_check\(\) usage!$/,
  );
});

Deno.test("sleeping in a reader is a switch in atomic context, and an illegal one for RCU", () => {
  const k = bootForTiny();
  runCleanly(k, function* (k): MaySleep<void> {
    yield* rcu_read_lock(k);
    set_current_state(k, TASK_INTERRUPTIBLE);
    current(k).state = 0;
    yield* schedule(k);
    k.cpu.preempt_count = 1;
    yield* rcu_read_unlock(k);
  }, 2);
  assertStringIncludes(k.reports[0].title, "BUG: scheduling while atomic: test/");
  assertStringIncludes(
    k.reports[1].lines[5],
    "Illegal context switch in RCU read-side critical section!",
  );
});

Deno.test("rcu_read_lock_bh() keeps softirqs away", () => {
  runCleanly(bootForTiny(), function* (k): MaySleep<void> {
    rcu_read_lock_bh(k);
    assertEquals((preempt_count(k) & 0xff00) !== 0, true);
    yield* rcu_read_unlock_bh(k);
    assertEquals(preempt_count(k), 0);
  });
});
