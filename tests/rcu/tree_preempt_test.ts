// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of rcu/tree_plugin_preempt.ts: readers that are switched away. Expectations are those of the reference: the table
 * of rcu_preempt_ctxt_queue(), and that a CPU is quiescent as soon as its reader is on the list, the task when it unlocks.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { POLICIES } from "../../kernel/machine/chooser.ts";
import { udelay } from "../../kernel/entry.ts";
import { cpumask_set_cpu, cpumask_t } from "../../kernel/cpumask.ts";
import type { RcuOps } from "../../kernel/hooks.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { list_add_tail, list_del_init, list_empty, list_head } from "../../kernel/list.ts";
import { local_irq_restore, local_irq_save, preempt_disable, preempt_enable } from "../../kernel/preempt.ts";
import {
  cond_resched,
  current,
  sched_setscheduler_nocheck,
  set_cpus_allowed_ptr,
} from "../../kernel/sched/core.ts";
import { SCHED_FIFO, type task_struct } from "../../kernel/sched/sched.ts";
import { per_cpu_ptr, this_cpu_ptr } from "../../kernel/static.ts";
import { jiffies } from "../../kernel/time/jiffies.ts";
import { msleep, schedule_timeout_uninterruptible } from "../../kernel/time/timer.ts";
import { traceEvent } from "../../kernel/trace/table.ts";
import { bug as B9 } from "../../examples/bugs/kvfree_early.ts";
import { deviationsOf, optionsOf } from "../../examples/bugs/bug.ts";
import { checkConfig } from "../../kernel/config.ts";
import { bootKernel } from "../../init/main.ts";
import { Run } from "../../explore/run.ts";
import { SiteTable } from "../../repl/sites.ts";
import { treeLines } from "../../repl/render/rcu_tree.ts";
import { whyLines } from "../../repl/render/rcu_why.ts";
import { rcuWaits } from "../../explore/rcu_waits.ts";
import { scheduleOf } from "../../explore/token.ts";
import { rcu_data, rcu_state } from "../../rcu/tree.ts";
import { classicPlugin } from "../../rcu/tree_plugin.ts";
import { rcu_preempt_ctxt_queue } from "../../rcu/tree_plugin_preempt.ts";
import { raw_spin_lock_rcu_node, type rcu_node } from "../../rcu/tree_types.ts";
import { kmalloc, rcu_read_lock, rcu_read_unlock, synchronize_rcu } from "../../mod.ts";
import { GFP_KERNEL } from "../../kernel/gfp.ts";
import { arg, eventsOf, executionsOf, runCleanly } from "../machines.ts";
import { bootTree, checkQuiet, checkRun, gpEvents, threadOn } from "./tree_machine.ts";
import { runStress, stressRun } from "./tree_stress.ts";

const MS = 1000; // us

function bootPreempt(wanted: Parameters<typeof bootTree>[0] = {}): Kernel {
  return bootTree({ preempt: "full", fanout: 2, fanoutLeaf: 2, ...wanted });
}

/** Starts a FIFO thread on `cpu`, which takes the CPU from whoever runs there, for `us`. */
function* hog(k: Kernel, cpu: number, us: number): MaySleep<void> {
  yield* threadOn(k, cpu, "hog", function* (k) {
    sched_setscheduler_nocheck(k, current(k), SCHED_FIFO, 50);
    yield* udelay(k, us);
  });
}

/** A reader on `cpu` that reads for `us`, and what it does at its end. */
function* readerOn(
  k: Kernel,
  cpu: number,
  us: number,
  seen: { task: task_struct | null },
  end: (k: Kernel) => MaySleep<void> = rcu_read_unlock,
): MaySleep<void> {
  yield* threadOn(k, cpu, "reader", function* (k) {
    seen.task = current(k);
    yield* rcu_read_lock(k);
    yield* udelay(k, us);
    yield* end(k);
  });
}

/** Waits until `what` holds, by sleeping. */
function* until(k: Kernel, what: () => boolean): MaySleep<void> {
  for (let i = 0; i < 1000 && !what(); i++) yield* schedule_timeout_uninterruptible(k, 1);
  assert(what(), `it never came to pass: ${what}`);
}

function textOf(lines: Iterable<unknown>): string {
  return [...lines].filter((line) => typeof line === "string").join("\n");
}

function leafOf(k: Kernel, cpu: number): rcu_node {
  return per_cpu_ptr(k, rcu_data, cpu).mynode;
}

Deno.test("boot --preempt full says so, and RCU is called rcu_preempt [cpus=4]", () => {
  const k = bootPreempt({ cpus: 4 });
  assertEquals([rcu_state(k).name, rcu_state(k).abbr, k.reports.length], ["rcu_preempt", "p", 0]);
  assertEquals(rcu_state(k).gp_kthread?.comm, "rcu_preempt");
  const said = eventsOf(k, "console").map((r) => k.log.text(r.args[0])).join("\n");
  assertStringIncludes(said, "rcu: Preemptible hierarchical RCU implementation.");
});

Deno.test("16 CPUs with fanout 2 have the levels 1, 2, 4, 8 of the recorded 6.1 kernel [cpus=16]", () => {
  const k = bootPreempt({ cpus: 16, nrCpus: 16, HZ: 1000 });
  const widths = [0, 1, 2, 3].map((level) => rcu_state(k).node.filter((rnp) => rnp.level === level).length);
  assertEquals(widths, [1, 2, 4, 8]);
});

for (const cpus of [4, 8]) {
  Deno.test(`a preempted reader holds up the grace period, its CPU does not [cpus=${cpus}]`, () => {
    const k = bootPreempt({ cpus });
    const [since, gp_seq] = [k.seq, rcu_state(k).gp_seq];
    const cpu = cpus - 1;
    const seen: { task: task_struct | null } = { task: null };
    runCleanly(k, function* (k) {
      yield* threadOn(k, 0, "first", function* (k) {
        yield* readerOn(k, cpu, 50 * MS, seen);
        yield* until(k, () => seen.task !== null);
        yield* hog(k, cpu, 200 * MS);
        yield* threadOn(k, 0, "waiter", synchronize_rcu);
        const leaf = leafOf(k, cpu);
        yield* until(
          k,
          () =>
            rcu_state(k).node.every((rnp) => rnp.qsmask.isZero() || rnp.level < leaf.level) &&
            leaf.gp_tasks !== null,
        );
        assertEquals(leaf.gp_tasks, seen.task?.rcu_node_entry);
        assertEquals(leaf.qsmask.isZero(), true, "no CPU of the leaf is owed");
        const waits = rcuWaits(k).filter(({ comm }) => comm === "reader");
        assertEquals(waits.map(({ pid }) => pid), [seen.task?.pid]);
        assertStringIncludes(waits[0].doing, "preempted");
        const who = `reader (pid ${seen.task?.pid})`;
        assertStringIncludes(textOf(treeLines(k)), `preempted readers that hold it up: ${who}`);
        const view = {
          text: (id: number): string => k.log.text(id),
          symbol: String,
          comm: String,
          site: String,
        };
        const why = textOf(whyLines(k, view, new SiteTable(), undefined)).replaceAll(/\s+/g, " ");
        assertStringIncludes(why, `${who} holds it up: it was preempted in rcu_read_lock()`);
      });
    });
    const [unlocked] = eventsOf(k, "rcu_unlock_preempted_task", since).filter((r) =>
      k.log.text(r.args[0]) === "rcu_preempt"
    );
    const [end] = gpEvents(k, since, "end");
    assertEquals(arg(unlocked, "pid"), seen.task?.pid);
    assert(unlocked.seq < end.seq, "the end waits for the reader");
    assert(end.ns - unlocked.ns < 20e6, "and for nothing else");
    checkQuiet(k);
    checkRun(k, since, gp_seq);
  });
}

Deno.test("preempted before the start, the start finds it; preempted after, it is queued for it [cpus=4]", () => {
  for (const before of [true, false]) {
    const k = bootPreempt({ cpus: 4 });
    const since = k.seq;
    const seen: { task: task_struct | null } = { task: null };
    runCleanly(k, function* (k) {
      yield* threadOn(k, 0, "first", function* (k) {
        yield* readerOn(k, 1, 100 * MS, seen);
        yield* until(k, () => seen.task !== null);
        if (before) {
          yield* hog(k, 1, 100 * MS);
          yield* until(k, () => leafOf(k, 1).blkd_tasks.next === seen.task?.rcu_node_entry);
          yield* threadOn(k, 0, "waiter", synchronize_rcu);
        } else {
          yield* threadOn(k, 0, "waiter", synchronize_rcu);
          yield* until(k, () => leafOf(k, 1).gp_seq % 4 !== 0);
          yield* hog(k, 1, 100 * MS);
        }
        yield* until(k, () => leafOf(k, 1).gp_tasks !== null);
      });
    });
    const [start] = gpEvents(k, since, "start");
    const [task] = eventsOf(k, "rcu_preempt_task", since);
    assertEquals([arg(task, "gp_seq"), arg(task, "pid")], [
      before ? start.gp_seq - 1 + 4 : start.gp_seq,
      seen.task?.pid,
    ]);
    const found = eventsOf(k, "rcu_unlock_preempted_task", since).filter((r) =>
      k.log.text(r.args[0]) === "rcu_preempt-GPS"
    );
    assertEquals(found.length, before ? 1 : 0);
    checkQuiet(k);
  }
});

Deno.test("only the outermost unlock of a preempted reader reports [cpus=2]", () => {
  const k = bootPreempt({ cpus: 2 });
  const since = k.seq;
  const seen: { task: task_struct | null } = { task: null };
  runCleanly(k, function* (k) {
    yield* threadOn(k, 0, "first", function* (k) {
      yield* readerOn(k, 1, 1 * MS, seen, function* (k) {
        const t = current(k);
        yield* rcu_read_lock(k);
        yield* udelay(k, 20 * MS);
        assertEquals([t.rcu_read_lock_nesting, t.rcu_read_unlock_special.blocked], [2, true]);
        yield* rcu_read_unlock(k);
        assertEquals([t.rcu_read_lock_nesting, list_empty(t.rcu_node_entry)], [1, false]);
        yield* rcu_read_unlock(k);
        assertEquals([t.rcu_read_lock_nesting, t.rcu_read_unlock_special.s], [0, false]);
        assertEquals([list_empty(t.rcu_node_entry), t.rcu_blocked_node], [true, null]);
      });
      yield* until(k, () => seen.task !== null);
      yield* hog(k, 1, 10 * MS);
    });
  });
  assertEquals(eventsOf(k, "rcu_unlock_preempted_task", since).length, 1);
});

Deno.test("with preemption, or interrupts, off the unlock is put off to the next switch [cpus=2]", () => {
  for (const irqs of [false, true]) {
    const k = bootPreempt({ cpus: 2 });
    const seen: { task: task_struct | null } = { task: null };
    runCleanly(k, function* (k) {
      yield* threadOn(k, 0, "first", function* (k) {
        yield* readerOn(k, 1, 20 * MS, seen, function* (k) {
          const t = current(k);
          assertEquals(t.rcu_read_unlock_special.blocked, true);
          const flags = irqs ? local_irq_save(k) : null;
          if (!irqs) preempt_disable(k);
          yield* rcu_read_unlock(k);
          const { blocked, deferred_qs } = t.rcu_read_unlock_special;
          assertEquals([blocked, deferred_qs, t.rcu_read_lock_nesting, k.cpu.need_resched], [
            true,
            true,
            0,
            true,
          ]);
          assertEquals(list_empty(t.rcu_node_entry), false);
          if (flags !== null) local_irq_restore(k, flags);
          else preempt_enable(k);
          yield* udelay(k, 1);
          assertEquals([t.rcu_read_unlock_special.s, list_empty(t.rcu_node_entry)], [false, true]);
        });
        yield* until(k, () => seen.task !== null);
        yield* hog(k, 1, 10 * MS);
      });
    });
    checkQuiet(k);
  }
});

Deno.test("a reader that is old and not preempted is asked to report at its end [cpus=2 HZ=100]", () => {
  const k = bootPreempt({ cpus: 2, HZ: 100 });
  const since = k.seq;
  let asked = false;
  runCleanly(k, function* (k) {
    yield* threadOn(k, 0, "first", synchronize_rcu);
    yield* threadOn(k, 1, "reader", function* (k) {
      preempt_disable(k); // otherwise the grace period makes it switch long before
      yield* rcu_read_lock(k);
      yield* udelay(k, 1200 * MS);
      asked = current(k).rcu_read_unlock_special.need_qs;
      yield* rcu_read_unlock(k);
      preempt_enable(k);
    });
  });
  assertEquals(asked, true, "more than HZ jiffies after the start");
  assertEquals(eventsOf(k, "rcu_preempt_task", since).length, 0);
  checkQuiet(k);
});

Deno.test("a reader that moves to another leaf while it is preempted reports to the first [cpus=4]", () => {
  const k = bootPreempt({ cpus: 4 });
  const [since, gp_seq] = [k.seq, rcu_state(k).gp_seq];
  const seen: { task: task_struct | null } = { task: null };
  let unlockedOn = -1;
  runCleanly(k, function* (k) {
    yield* threadOn(k, 0, "first", function* (k) {
      yield* readerOn(k, 1, 30 * MS, seen, function* (k) {
        unlockedOn = k.cpu.id;
        assertEquals(current(k).rcu_blocked_node, leafOf(k, 1));
        yield* rcu_read_unlock(k);
        assertEquals(list_empty(leafOf(k, 1).blkd_tasks), true);
      });
      yield* until(k, () => seen.task !== null);
      yield* hog(k, 1, 100 * MS);
      yield* until(k, () => seen.task?.rcu_blocked_node !== null);
      const mask = new cpumask_t(4);
      cpumask_set_cpu(3, mask);
      yield* set_cpus_allowed_ptr(k, seen.task!, mask);
      yield* synchronize_rcu(k);
      assertEquals(unlockedOn, 3);
    });
  });
  assertEquals(unlockedOn, 3);
  checkRun(k, since, gp_seq);
  checkQuiet(k);
});

Deno.test("a reader that sleeps is reported, and holds up the grace period all the same [cpus=2]", () => {
  const k = bootPreempt({ cpus: 2 });
  let [read, waited] = [0, 0];
  runCleanly(k, function* (k) {
    yield* threadOn(k, 1, "reader", function* (k) {
      yield* rcu_read_lock(k);
      yield* msleep(k, 100);
      read = k.seq;
      yield* rcu_read_unlock(k);
    });
    yield* threadOn(k, 0, "first", function* (k) {
      yield* schedule_timeout_uninterruptible(k, 2);
      yield* synchronize_rcu(k);
      waited = k.seq;
    });
  }, 1);
  assertStringIncludes(k.reports[0].lines.join("\n"), "rcu_note_context_switch");
  assert(read < waited);
});

Deno.test("a task that exits in a reader is reported, and the grace period ends [cpus=2]", () => {
  for (const preempted of [false, true]) {
    const k = bootPreempt({ cpus: 2 });
    const seen: { task: task_struct | null } = { task: null };
    runCleanly(k, function* (k) {
      yield* threadOn(k, 0, "first", function* (k) {
        yield* readerOn(k, 1, 20 * MS, seen, function* (_k) {});
        yield* until(k, () => seen.task !== null);
        if (preempted) yield* hog(k, 1, 10 * MS);
        yield* synchronize_rcu(k);
      });
    }, 1);
    assertStringIncludes(k.reports[0].title, "still has locks held");
    assertEquals(list_empty(leafOf(k, 1).blkd_tasks), true);
    checkQuiet(k);
  }
});

Deno.test("B9 is there at 7/7 with preemption too, on its own schedule, and gone at v6.1.192 [cpus=4]", () => {
  const { demo } = B9;
  assert(demo !== null);
  for (const level of ["7/7", "v6.1.192"] as const) {
    const config = checkConfig({ ...demo.machine(level), level, preempt: "full" });
    const k = bootKernel(config, { ...scheduleOf(config), deviations: deviationsOf(B9, level) });
    const run = new Run(k, demo.scenario, optionsOf(demo, level), undefined, "all");
    run.advance();
    const found = run.verdict().violations.map(({ property }) => property);
    assertEquals(found, level === "7/7" ? ["KV1", "P77"] : []);
  }
});

const [T, E, B, X] = [8, 4, 2, 1];
/** The table: where a reader goes on its leaf's list, by what waits for tasks (T, E) and for this CPU (B, X). */
const TABLE: readonly (readonly [string, readonly number[]])[] = [
  ["first", [0, E, E + B, T, T + E]],
  ["last", [X, B, B + X, T + X, T + B + X, T + E + B + X]],
  ["behind exp", [E + X, E + B + X, T + E + X]],
  ["behind gp", [T + B, T + E + B]],
];

Deno.test("rcu_preempt_ctxt_queue() puts a reader where the table says, in all 16 states [cpus=2]", () => {
  const k = bootPreempt({ cpus: 2 });
  let states = 0;
  runCleanly(k, function* (k) {
    yield* synchronize_rcu(k); // the first grace period brings the CPUs in
    yield* msleep(k, 100);
    assertEquals(rcu_state(k).gp_seq % 4, 0);
    const flags = local_irq_save(k);
    const rdp = this_cpu_ptr(k, rcu_data);
    const rnp = rdp.mynode;
    const t = current(k);
    const { completedqs } = rnp;
    for (const [where, list] of TABLE) {
      for (const state of list) {
        states++;
        const others = ["a", "gp", "b", "exp", "c"].map(() => new list_head<task_struct>(t));
        for (const entry of others) list_add_tail(entry, rnp.blkd_tasks);
        rnp.completedqs = rnp.gp_seq - 4;
        rnp.gp_tasks = (state & T) !== 0 ? others[1] : null;
        rnp.exp_tasks = (state & E) !== 0 ? others[3] : null;
        if ((state & B) !== 0) rnp.qsmask.or(rdp.grpmask);
        if ((state & X) !== 0) rnp.expmask.or(rdp.grpmask);
        yield* raw_spin_lock_rcu_node(k, rnp);
        yield* rcu_preempt_ctxt_queue(k, rnp, rdp);
        const before = where === "first"
          ? rnp.blkd_tasks
          : others[where === "last" ? 4 : where === "behind gp" ? 1 : 3];
        const text = `state ${state.toString(2).padStart(4, "0")}: ${where}`;
        assert(t.rcu_node_entry.prev === before, text);
        const gp = (state & T) !== 0 ? others[1] : (state & B) !== 0 ? t.rcu_node_entry : null;
        const exp = (state & E) !== 0 ? others[3] : (state & X) !== 0 ? t.rcu_node_entry : null;
        assert(rnp.gp_tasks === gp && rnp.exp_tasks === exp, text);
        for (const entry of [...others, t.rcu_node_entry]) list_del_init(entry);
        rnp.gp_tasks = null;
        rnp.exp_tasks = null;
        rnp.qsmask.andNot(rdp.grpmask);
        rnp.expmask.andNot(rdp.grpmask);
      }
    }
    rnp.completedqs = completedqs;
    local_irq_restore(k, flags);
  });
  assertEquals(states, 16);
});

Deno.test("with one CPU synchronize_rcu() waits for a grace period, and cond_resched() is none [cpus=1]", () => {
  const k = bootPreempt({ cpus: 1 });
  const since = k.seq;
  let took = 0;
  runCleanly(k, function* (k) {
    const began = jiffies(k);
    yield* synchronize_rcu(k);
    took = jiffies(k) - began;
    yield* cond_resched(k);
  });
  assert(took > 0);
  assertEquals(gpEvents(k, since, "end").length >= 1, true);
});

Deno.test("the drain of 6.1 at HZ=1000 is 5000 + 512 - (j0 + 5000) mod 512 jiffies, as recorded [cpus=16 fanout=2]", () => {
  for (const offset of [0, 130, 300, 501]) {
    const k = bootPreempt({ cpus: 16, nrCpus: 16, HZ: 1000, level: "v6.1.192" });
    const since = k.seq;
    let [j0, calledAt] = [0, 0];
    runCleanly(k, function* (k) {
      if (offset > 0) yield* schedule_timeout_uninterruptible(k, offset);
      const p = yield* kmalloc(k, 64, GFP_KERNEL);
      [j0, calledAt] = [jiffies(k), k.now()];
      yield* k.kvfree.kvfree_call_rcu(k, p, 0);
    });
    const [monitor] = executionsOf(k, "kfree_rcu_monitor", since);
    const phase = (((j0 + 5000) % 512) + 512) % 512;
    const jiffiesLater = (monitor.ns - calledAt) / 1e6;
    const expected = 5000 + 512 - phase;
    assert(Math.abs(jiffiesLater - expected) <= 1.5, `offset ${offset}: ${jiffiesLater}, not ${expected}`);
  }
});

const SEEDS = 12;

for (const policy of POLICIES.filter(({ name }) => name === "time" || name === "fine")) {
  for (const cpus of [1, 2, 4, 8]) {
    Deno.test(`every property holds with preemption [policy=${policy.name} cpus=${cpus} fanout=2 seeds=${SEEDS}]`, () => {
      const k = bootPreempt({ cpus, HZ: 1000 });
      let preempted = 0;
      for (let seed = 1; seed <= SEEDS; seed++) {
        assertEquals(runStress(k, scheduleOf({ ...k.config, seed, policy })), "", `seed ${seed}`);
        preempted += [...k.log.records(1)].filter((r) =>
          traceEvent(r.kind)?.name === "rcu_preempt_task"
        ).length;
      }
      assert(preempted > SEEDS, `readers were preempted, ${preempted} times`);
    });
  }
}

Deno.test("the same seed is the same run with preemption; another seed is another [cpus=4]", () => {
  const k = bootPreempt({ cpus: 4 });
  const hashes = [1, 1, 2].map((seed) => {
    assertEquals(runStress(k, scheduleOf({ ...k.config, seed })), "");
    return [k.hash.text(), k.digest()].join();
  });
  assertEquals([hashes[0] === hashes[1], hashes[0] === hashes[2]], [true, false]);
});

/** RCUs that forget a preempted reader in one way or another. */
const BROKEN: readonly [string, (rcu: RcuOps) => Partial<RcuOps>][] = [
  ["readers are not queued at a switch", () => ({
    rcu_note_context_switch: (k, preempt) => classicPlugin.rcu_note_context_switch(k, preempt),
  })],
  ["every tick is a quiescent state", (rcu) => ({
    rcu_sched_clock_irq: function* (k, user) {
      yield* rcu_state(k).plugin.rcu_qs(k);
      yield* rcu.rcu_sched_clock_irq(k, user);
    },
  })],
];

for (const [name, broken] of BROKEN) {
  Deno.test(`P1 catches a preemptible RCU in which ${name} [cpus=4 fanout=2]`, () => {
    const k = bootPreempt({ cpus: 4, HZ: 1000 });
    for (let seed = 1; seed <= 20; seed++) {
      if (stressRun(k, scheduleOf({ ...k.config, seed }), broken).violations.has("P1")) return;
    }
    throw new Error("P1 was not violated in 20 seeds");
  });
}

Deno.test("P64 catches a reader that is off its list and still waited for [cpus=4 fanout=2]", () => {
  const k = bootPreempt({ cpus: 4, HZ: 1000 });
  const broken = (rcu: RcuOps): Partial<RcuOps> => ({
    rcu_note_context_switch: function* (k, preempt) {
      const t = current(k);
      yield* rcu.rcu_note_context_switch(k, preempt);
      const leaf = t.rcu_blocked_node as rcu_node | null;
      if (leaf !== null && leaf.gp_tasks === t.rcu_node_entry) list_del_init(t.rcu_node_entry);
    },
  });
  for (let seed = 1; seed <= 20; seed++) {
    if (stressRun(k, scheduleOf({ ...k.config, seed }), broken).violations.has("P64")) return;
  }
  throw new Error("P64 was not violated in 20 seeds");
});
