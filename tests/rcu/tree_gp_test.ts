// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of rcu/tree.ts: grace periods and quiescent states. Times of an idle machine are those that a 5.7 kernel with the
 * series showed: synchronize_rcu() back to back takes 4 jiffies at HZ=250, and start and end alternate.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { udelay, user_mode } from "../../kernel/entry.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { cond_resched } from "../../kernel/sched/core.ts";
import { per_cpu_ptr } from "../../kernel/static.ts";
import { jiffies } from "../../kernel/time/jiffies.ts";
import { msleep, schedule_timeout_uninterruptible } from "../../kernel/time/timer.ts";
import {
  gp_cleanup_delay,
  gp_init_delay,
  gp_preinit_delay,
  jiffies_till_first_fqs,
  param_set_first_fqs_jiffies,
  param_set_next_fqs_jiffies,
  rcu_data,
  rcu_get_gp_seq,
  rcu_state,
} from "../../rcu/tree.ts";
import { rcu_barrier, rcu_read_lock, rcu_read_unlock, synchronize_rcu } from "../../mod.ts";
import { arg, eventsOf, jiffyNs, runCleanly } from "../machines.ts";
import { bootTree, checkQuiet, checkRun, gpEvents, rcuLines, threadOn } from "./tree_machine.ts";

function* waitFor(k: Kernel, n: number): MaySleep<void> {
  for (let i = 0; i < n; i++) yield* synchronize_rcu(k);
}

/** Runs `main` on CPU 0, the grace-period thread's, to the end. */
function runOnFirst(k: Kernel, main: (k: Kernel) => MaySleep<void>): void {
  runCleanly(k, (k) => threadOn(k, 0, "first", main));
}

Deno.test("boot leaves tree RCU idle at -1200, every CPU in its leaf [cpus=1,2,4,17]", () => {
  for (const cpus of [1, 2, 4, 17]) {
    const k = bootTree({ cpus });
    assertEquals(k.reports.length, 0);
    const rsp = rcu_state(k);
    assertEquals([rsp.gp_seq, rsp.ncpus], [-1200, cpus]);
    assertEquals(rsp.leaves.map((rnp) => rnp.qsmaskinitnext.weight()).reduce((a, b) => a + b), cpus);
    assertEquals(gpEvents(k, 0, "cpuonl").length, cpus);
    assertEquals(gpEvents(k, 0, "start").length, 0);
    checkQuiet(k);
  }
});

Deno.test("one grace period has the events of 5.7 in their order [cpus=4]", () => {
  const k = bootTree({ cpus: 4 });
  const since = k.seq;
  runOnFirst(k, (k) => waitFor(k, 1));
  const thread = rcu_state(k).gp_kthread?.pid;
  // What asks for it, on the CPU that queued the callback.
  const asked = rcuLines(k, since, (r) => r.task !== thread).slice(0, 5);
  assertStringIncludes(asked[0], "func=wakeme_after_rcu 1");
  assertEquals(asked.slice(1), [
    "rcu_future_grace_period: rcu_sched -1200 -1196 0 0 3 Startleaf",
    "rcu_future_grace_period: rcu_sched -1200 -1196 0 0 3 Startedroot",
    "rcu_grace_period: rcu_sched -1200 newreq",
    "rcu_grace_period: rcu_sched -1200 AccWaitCB",
  ]);
  // What the thread does. The second request is 5.7's: there was nothing left to number.
  assertEquals(rcuLines(k, since, (r) => r.task === thread).slice(0, 22), [
    "rcu_grace_period: rcu_sched -1199 start",
    "rcu_future_grace_period: rcu_sched -1199 -1192 0 0 3 Startleaf",
    "rcu_future_grace_period: rcu_sched -1199 -1192 0 0 3 Startedleaf",
    "rcu_grace_period: rcu_sched -1200 AccWaitCB",
    "rcu_grace_period: rcu_sched -1199 cpustart",
    "rcu_grace_period_init: rcu_sched -1199 0 0 3 f",
    "rcu_grace_period: rcu_sched -1199 fqswait",
    "rcu_grace_period: rcu_sched -1199 cpuqs",
    "rcu_grace_period: rcu_sched -1199 fqsstart",
    "rcu_fqs: rcu_sched -1200 1 dti",
    "rcu_fqs: rcu_sched -1200 2 dti",
    "rcu_fqs: rcu_sched -1200 3 dti",
    "rcu_quiescent_state_report: rcu_sched -1199 e>0 0 0 3 0",
    "rcu_grace_period: rcu_sched -1199 fqsend",
    "rcu_grace_period: rcu_sched -1199 fqswait",
    "rcu_grace_period: rcu_sched -1199 cpuend",
    "rcu_future_grace_period: rcu_sched -1196 -1196 0 0 3 CleanupMore",
    "rcu_grace_period: rcu_sched -1199 end",
    "rcu_grace_period: rcu_sched -1196 newreq",
    "rcu_grace_period: rcu_sched -1196 reqwait",
    "rcu_grace_period: rcu_sched -1195 start",
    "rcu_grace_period: rcu_sched -1195 cpustart",
  ]);
});

Deno.test("synchronize_rcu() back to back takes 4 jiffies on an idle machine [cpus=4 HZ=250]", () => {
  const k = bootTree();
  const since = k.seq;
  const times: number[] = [];
  runCleanly(k, function* (k) {
    yield* synchronize_rcu(k);
    for (let i = 0; i < 10; i++) {
      const before = k.now();
      yield* synchronize_rcu(k);
      times.push((k.now() - before) / jiffyNs(k));
    }
  });
  for (const jiffies of times) assert(Math.abs(jiffies - 4) < 0.1, `${jiffies} jiffies`);
  // Each grace period takes two: one until the CPU has reported, and the wheel's until the look at the idle ones.
  for (const start of gpEvents(k, since, "start")) {
    const end = gpEvents(k, since, "end").find((e) => e.gp_seq === start.gp_seq);
    assert(end !== undefined && (end.ns - start.ns) / jiffyNs(k) < 2.1);
  }
});

Deno.test("start and end alternate through zero, and no request is left over [cpus=2]", () => {
  const k = bootTree({ cpus: 2 });
  const [since, gp_seq] = [k.seq, rcu_get_gp_seq(k)];
  runCleanly(k, (k) => waitFor(k, 160));
  const { ended } = checkRun(k, since, gp_seq);
  assert(ended > 300, `${ended} grace periods`);
  assert(rcu_get_gp_seq(k) > 0);
  assertEquals(rcu_get_gp_seq(k), gp_seq + 4 * ended);
  checkQuiet(k);
});

for (const [cpus, fanout] of [[2, 64], [4, 2], [8, 2]]) {
  Deno.test(`synchronize_rcu() waits for a reader, and not much longer [cpus=${cpus} fanout=${fanout}]`, () => {
    const k = bootTree({ cpus, fanout, fanoutLeaf: Math.min(fanout, 16) });
    const [since, gp_seq] = [k.seq, rcu_get_gp_seq(k)];
    let readerEnd = 0;
    let returned = 0;
    runCleanly(k, function* (k) {
      yield* threadOn(k, cpus - 1, "reader", function* (k) {
        yield* rcu_read_lock(k);
        yield* udelay(k, 80_000);
        readerEnd = k.now();
        yield* rcu_read_unlock(k);
      });
      yield* schedule_timeout_uninterruptible(k, 2);
      yield* synchronize_rcu(k);
      returned = k.now();
    });
    assert(readerEnd > 0 && returned > readerEnd, `reader ended ${readerEnd}, returned ${returned}`);
    assert(returned - readerEnd < 8 * jiffyNs(k), `${(returned - readerEnd) / jiffyNs(k)} jiffies after it`);
    checkRun(k, since, gp_seq);
    checkQuiet(k);
  });
}

Deno.test("P28 a grace period does not wait for readers that began after its start", () => {
  const k = bootTree({ cpus: 2 });
  let overlaps = 0;
  runCleanly(k, function* (k) {
    let stop = false;
    // Readers one after the other, with a quiescent state in between and always one in progress.
    yield* threadOn(k, 1, "reader", function* (k) {
      while (!stop) {
        yield* rcu_read_lock(k);
        const before = rcu_get_gp_seq(k);
        yield* udelay(k, 3000);
        if (rcu_get_gp_seq(k) - before >= 3) overlaps++;
        yield* rcu_read_unlock(k);
        yield* cond_resched(k);
      }
    });
    yield* waitFor(k, 3);
    stop = true;
  });
  assert(overlaps > 0, "a grace period ended in the middle of a reader");
});

Deno.test("idle CPUs are credited by their dynticks counter and not interrupted (P41) [cpus=8 fanout=2]", () => {
  const k = bootTree({ cpus: 8, fanout: 2, fanoutLeaf: 2 });
  const since = k.seq;
  runOnFirst(k, (k) => waitFor(k, 1));
  const credited = eventsOf(k, "rcu_fqs", since).map((r) => [arg(r, "cpu"), k.log.text(arg(r, "qsevent"))]);
  assertEquals(credited.slice(0, 7).map(([cpu]) => cpu), [1, 2, 3, 4, 5, 6, 7]);
  assert(credited.every(([, event]) => event === "dti"));
  const start = gpEvents(k, since, "start")[0].seq;
  for (const name of ["reschedule_entry", "call_function_single_entry", "local_timer_entry"]) {
    assertEquals(eventsOf(k, name, start).filter((r) => r.cpu > 0), [], name);
  }
});

Deno.test("a tree of three levels is initialised root first and reports upwards [cpus=8 fanout=2]", () => {
  const k = bootTree({ cpus: 8, fanout: 2, fanoutLeaf: 2 });
  const since = k.seq;
  runOnFirst(k, (k) => waitFor(k, 1));
  const inits = eventsOf(k, "rcu_grace_period_init", since).slice(0, 7);
  assertEquals(inits.map((r) => [arg(r, "level"), arg(r, "grplo"), arg(r, "grphi"), arg(r, "qsmask")]), [
    [0, 0, 7, 3],
    [1, 0, 3, 3],
    [1, 4, 7, 3],
    [2, 0, 1, 3],
    [2, 2, 3, 3],
    [2, 4, 5, 3],
    [2, 6, 7, 3],
  ]);
  const reports = eventsOf(k, "rcu_quiescent_state_report", since).filter((r) => arg(r, "gp_seq") === -1199);
  assertEquals(reports.map((r) => [arg(r, "level"), arg(r, "grplo"), arg(r, "mask"), arg(r, "qsmask")]), [
    [2, 0, 1, 2], // CPU 0 by itself
    [2, 0, 2, 0], // the others by the thread, leaf by leaf
    [1, 0, 1, 2],
    [2, 2, 3, 0],
    [1, 0, 2, 0],
    [0, 0, 1, 2],
    [2, 4, 3, 0],
    [1, 4, 1, 2],
    [2, 6, 3, 0],
    [1, 4, 2, 0],
    [0, 0, 2, 0],
  ]);
});

Deno.test("a leaf of 64 CPUs has a bit for each, also in the trace [cpus=64 leaf=64]", () => {
  const k = bootTree({ cpus: 64, fanoutLeaf: 64 });
  const since = k.seq;
  runOnFirst(k, (k) => waitFor(k, 1));
  const lines = rcuLines(k, since);
  assert(lines.includes("rcu_grace_period_init: rcu_sched -1199 0 0 63 ffffffffffffffff"));
  assert(lines.includes("rcu_quiescent_state_report: rcu_sched -1199 1>fffffffffffffffe 0 0 63 0"));
  assert(lines.includes("rcu_quiescent_state_report: rcu_sched -1199 fffffffffffffffe>0 0 0 63 0"));
  checkQuiet(k);
});

Deno.test("ticks in user mode are quiescent states: no looks at dynticks are needed [cpus=2]", () => {
  const k = bootTree({ cpus: 2 });
  let since = 0;
  let ended = 0;
  runCleanly(k, function* (k) {
    for (const cpu of [0, 1]) yield* threadOn(k, cpu, `user${cpu}`, (k) => user_mode(k, 30 * jiffyNs(k)));
    yield* schedule_timeout_uninterruptible(k, 2);
    since = k.seq;
    yield* synchronize_rcu(k);
    ended = k.seq;
  });
  const reports = eventsOf(k, "rcu_quiescent_state_report", since).filter((r) => r.seq < ended);
  assert(reports.length >= 2);
  assertEquals(eventsOf(k, "rcu_fqs", since).filter((r) => r.seq < ended), []);
});

Deno.test("the last report wakes the thread: it does not sleep until its next look [cpus=2 HZ=250]", () => {
  const k = bootTree({ cpus: 2 });
  param_set_first_fqs_jiffies(k, 250);
  param_set_next_fqs_jiffies(k, 250);
  runCleanly(k, function* (k) {
    for (const cpu of [0, 1]) yield* threadOn(k, cpu, `user${cpu}`, (k) => user_mode(k, 100 * jiffyNs(k)));
    yield* schedule_timeout_uninterruptible(k, 2);
    const before = k.now();
    yield* synchronize_rcu(k);
    assert(k.now() - before < 10 * jiffyNs(k), `${(k.now() - before) / jiffyNs(k)} jiffies`);
  });
});

Deno.test("a loop with cond_resched() is asked after jiffies_to_sched_qs, and ends the grace period [cpus=2]", () => {
  const k = bootTree({ cpus: 2 });
  const since = k.seq;
  runCleanly(k, function* (k) {
    let stop = false;
    yield* threadOn(k, 1, "loop", function* (k) {
      for (let i = 0; i < 20_000 && !stop; i++) {
        yield* udelay(k, 100);
        yield* cond_resched(k);
      }
    });
    yield* schedule_timeout_uninterruptible(k, 2);
    yield* synchronize_rcu(k);
    stop = true;
  });
  const [start] = gpEvents(k, since, "start");
  const end = gpEvents(k, since, "end").find((e) => e.gp_seq === start.gp_seq);
  assert(end !== undefined);
  const age = (end.ns - start.ns) / jiffyNs(k);
  // Urgent when more than 25 jiffies old, noticed at the next look, then a tick and a report.
  assert(age > 25 && age < 31, `${age} jiffies`);
});

Deno.test("P37 a loop that never asks is pressed harder after twice the delay [cpus=2]", () => {
  const k = bootTree({ cpus: 2 });
  const seen = { urgent: 0, heavy: 0 };
  runCleanly(k, function* (k) {
    const rdp = per_cpu_ptr(k, rcu_data, 1);
    const rsp = rcu_state(k);
    yield* threadOn(k, 1, "loop", function* (k) {
      for (let i = 0; i < 70 * 40; i++) {
        yield* udelay(k, 100);
        if (seen.urgent === 0 && rdp.rcu_urgent_qs) seen.urgent = jiffies(k) - rsp.gp_start;
        if (seen.heavy === 0 && rdp.rcu_need_heavy_qs) seen.heavy = jiffies(k) - rsp.gp_start;
      }
    });
    yield* schedule_timeout_uninterruptible(k, 2);
    yield* synchronize_rcu(k);
  });
  assert(seen.urgent > 25 && seen.urgent <= 29, `urgent after ${seen.urgent} jiffies`);
  assert(seen.heavy > 50 && seen.heavy <= 54, `heavy after ${seen.heavy} jiffies`);
  assertEquals(per_cpu_ptr(k, rcu_data, 1).rcu_need_heavy_qs, false, "the report took it back");
  checkQuiet(k);
});

for (const [HZ, first, next] of [[250, 1, 1], [1000, 3, 3], [1000, 10, 5]]) {
  Deno.test(`the thread looks at the CPUs ${first} jiffies after the start, then every ${next} [HZ=${HZ}]`, () => {
    const k = bootTree({ HZ, cpus: 2 });
    if (jiffies_till_first_fqs(k) !== first) {
      param_set_first_fqs_jiffies(k, first);
      param_set_next_fqs_jiffies(k, next);
    }
    const since = k.seq;
    runCleanly(k, function* (k) {
      yield* threadOn(k, 1, "reader", function* (k) {
        yield* rcu_read_lock(k);
        yield* udelay(k, 60 * 1e6 / HZ);
        yield* rcu_read_unlock(k);
      });
      yield* schedule_timeout_uninterruptible(k, 1);
      yield* synchronize_rcu(k);
    });
    const looks = gpEvents(k, since, "start", "fqsstart").slice(0, 4).map((e) => e.ns / jiffyNs(k));
    const waits = looks.slice(1).map((at, i) => at - looks[i]);
    // A timer of the wheel's first level fires one jiffy late, and a tick that comes before that of the CPU which
    // advances jiffies sees the old number.
    const late = (wait: number, j: number): boolean => wait > j + 0.5 && wait < j + 2.5;
    assert(late(waits[0], first), `${waits}`);
    for (const wait of waits.slice(1)) assert(late(wait, next), `${waits}`);
  });
}

Deno.test("param_set_*_fqs_jiffies() keep to a second, and to at least one jiffy between looks", () => {
  const k = bootTree({ cpus: 2, HZ: 100 });
  param_set_first_fqs_jiffies(k, 1000);
  param_set_next_fqs_jiffies(k, 0);
  assertEquals(jiffies_till_first_fqs(k), 100);
  runCleanly(k, (k) => waitFor(k, 1));
});

Deno.test("gp_*_delay make some grace periods slow and break nothing [cpus=4 fanout=2]", () => {
  const k = bootTree({ fanout: 2, fanoutLeaf: 2 });
  const [since, gp_seq] = [k.seq, rcu_get_gp_seq(k)];
  for (const delay of [gp_preinit_delay, gp_init_delay, gp_cleanup_delay]) delay.set(k, 3);
  let longest = 0;
  runCleanly(k, function* (k) {
    for (let i = 0; i < 30; i++) {
      const before = k.now();
      yield* synchronize_rcu(k);
      longest = Math.max(longest, (k.now() - before) / jiffyNs(k));
    }
  });
  assert(longest > 20, `${longest} jiffies`);
  checkRun(k, since, gp_seq);
  checkQuiet(k);
});

Deno.test("P34 many waiters of one jiffy share grace periods [cpus=4]", () => {
  const k = bootTree();
  const since = k.seq;
  runCleanly(k, function* (k) {
    for (let i = 0; i < 40; i++) yield* threadOn(k, i % 4, `waiter${i}`, (k) => synchronize_rcu(k));
  });
  const started = gpEvents(k, since, "start").length;
  assert(started <= 4, `${started} grace periods for 40 waiters`);
});

Deno.test("rcu_barrier() with nothing queued waits for nothing (P21)", () => {
  const k = bootTree();
  const gp_seq = rcu_get_gp_seq(k);
  runCleanly(k, function* (k) {
    yield* msleep(k, 20);
    const before = k.now();
    yield* rcu_barrier(k);
    assert(k.now() - before < jiffyNs(k));
  });
  assertEquals(rcu_get_gp_seq(k), gp_seq);
});
