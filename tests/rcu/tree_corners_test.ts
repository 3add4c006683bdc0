// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of rcu/tree.ts: what seldom happens. CPUs come and go here by their bits in qsmaskinitnext, which is all that a
 * grace period sees of hotplug.
 */
import { assert, assertEquals } from "@std/assert";
import { doneVoid, type MaySleep } from "../../kernel/machine/effects.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { udelay } from "../../kernel/entry.ts";
import { GFP_KERNEL } from "../../kernel/gfp.ts";
import { cond_resched } from "../../kernel/sched/core.ts";
import { swake_up_one } from "../../kernel/sched/swait.ts";
import { per_cpu_ptr } from "../../kernel/static.ts";
import { schedule_timeout_uninterruptible } from "../../kernel/time/timer.ts";
import { rcu_head } from "../../rcu/rcu.ts";
import {
  gp_preinit_delay,
  param_set_first_fqs_jiffies,
  param_set_next_fqs_jiffies,
  rcu_data,
  rcu_force_quiescent_state,
  rcu_get_gp_seq,
  rcu_get_n_cbs_cpu,
  rcu_irq_enter_irqson,
  rcu_irq_exit_irqson,
  rcu_state,
} from "../../rcu/tree.ts";
import { for_each_leaf_node_possible_cpu, RCU_GP_ONOFF, RCU_GP_WAIT_FQS } from "../../rcu/tree_types.ts";
import {
  call_rcu,
  kmalloc,
  preempt_disable,
  preempt_enable,
  rcu_barrier,
  rcu_read_lock,
  rcu_read_unlock,
  synchronize_rcu,
} from "../../mod.ts";
import { dmesg } from "../helpers.ts";
import { arg, eventsOf, jiffyNs, runCleanly } from "../machines.ts";
import { bootTree, checkQuiet, gpEvents, threadOn } from "./tree_machine.ts";

const TWO_LEAVES = { cpus: 4, fanout: 2, fanoutLeaf: 2 };

Deno.test("a leaf without CPUs is not waited for from the next grace period on, and again when they are back", () => {
  const k = bootTree(TWO_LEAVES);
  const rsp = rcu_state(k);
  const leaf = rsp.leaves[1];
  const inits = (since: number): number[][] =>
    eventsOf(k, "rcu_grace_period_init", since).slice(0, 3).map((r) => [arg(r, "grplo"), arg(r, "qsmask")]);
  runCleanly(k, (k) => synchronize_rcu(k));
  leaf.qsmaskinitnext.clear();
  let since = k.seq;
  runCleanly(k, (k) => threadOn(k, 0, "first", (k) => synchronize_rcu(k)));
  assertEquals(inits(since), [[0, 1], [0, 3], [2, 0]]);
  assertEquals([rsp.node[0].qsmaskinit.toString(), leaf.qsmaskinit.toString()], ["1", "0"]);
  leaf.qsmaskinitnext.setBit(1);
  since = k.seq;
  runCleanly(k, (k) => threadOn(k, 0, "first", (k) => synchronize_rcu(k)));
  assertEquals(inits(since), [[0, 3], [0, 3], [2, 2]]);
  checkQuiet(k);
});

Deno.test("P48 a CPU that leaves between the copy of the masks and the start at its leaf is reported for", () => {
  const k = bootTree(TWO_LEAVES);
  gp_preinit_delay.set(k, 3);
  const rsp = rcu_state(k);
  const leaf = rsp.leaves[1];
  let left = false;
  let missing = "";
  runCleanly(k, (k) =>
    threadOn(k, 0, "first", function* (k): MaySleep<void> {
      yield* threadOn(k, 1, "unplug", function* (k) {
        for (let i = 0; i < 400 && missing === ""; i++) {
          yield* schedule_timeout_uninterruptible(k, 1);
          if (!left && rsp.gp_state === RCU_GP_ONOFF) {
            leaf.qsmaskinitnext.clear();
            left = true;
          } else if (left && !leaf.rcu_gp_init_mask.isZero()) missing = leaf.rcu_gp_init_mask.toString();
        }
      });
      while (missing === "") yield* synchronize_rcu(k);
    }));
  assertEquals([left, missing], [true, "3"]);
  checkQuiet(k);
});

Deno.test("an offline CPU that holds up a grace period for a second is reported, and let go [cpus=2]", () => {
  const k = bootTree({ cpus: 2 });
  runCleanly(k, function* (k) {
    yield* threadOn(k, 1, "loop", (k) => udelay(k, 1.2e6));
    yield* schedule_timeout_uninterruptible(k, 2);
    const head = yield* kmalloc(k, rcu_head.size, GFP_KERNEL);
    yield* call_rcu(k, head, () => doneVoid());
    while (rcu_state(k).gp_state !== RCU_GP_WAIT_FQS) yield* schedule_timeout_uninterruptible(k, 1);
    const leaf = rcu_state(k).leaves[0];
    leaf.qsmaskinitnext.andNot(per_cpu_ptr(k, rcu_data, 1).grpmask);
    const started = k.now();
    yield* rcu_barrier(k);
    assert((k.now() - started) / jiffyNs(k) < 260);
    leaf.qsmaskinitnext.or(per_cpu_ptr(k, rcu_data, 1).grpmask);
  }, 1);
  assert(dmesg(k).some((line) => line.includes("rcu_implicit_dynticks_qs: grp: 0-1 level: 0 ->gp_seq -11")));
  assert(dmesg(k).some((line) => line.includes("rcu_implicit_dynticks_qs 1: . online: -1200(")));
});

Deno.test("a stray wake-up of the thread lets it wait for the rest of the same time [cpus=2]", () => {
  const k = bootTree({ cpus: 2 });
  param_set_first_fqs_jiffies(k, 20);
  const since = k.seq;
  runCleanly(k, function* (k) {
    yield* threadOn(k, 1, "reader", function* (k) {
      yield* rcu_read_lock(k);
      yield* udelay(k, 160_000);
      yield* rcu_read_unlock(k);
    });
    yield* threadOn(k, 0, "waker", function* (k) {
      yield* schedule_timeout_uninterruptible(k, 8);
      swake_up_one(k, rcu_state(k).gp_wq);
    });
    yield* synchronize_rcu(k);
  });
  const events = gpEvents(k, since, "fqswait", "fqswaitsig", "fqsstart");
  // The test for a stray wake-up is inside the wait: it ends only by its condition or its time.
  assertEquals(events.slice(0, 2).map((e) => e.event), ["fqswait", "fqsstart"]);
  const waited = (events[1].ns - events[0].ns) / jiffyNs(k);
  assert(waited > 20 && waited < 22.5, `${waited} jiffies`);
});

Deno.test("rcu_force_quiescent_state() makes the thread look at once, once for two askers [cpus=4 fanout=2]", () => {
  const k = bootTree(TWO_LEAVES);
  for (const set of [param_set_first_fqs_jiffies, param_set_next_fqs_jiffies]) set(k, 250);
  const since = k.seq;
  let asked = 0;
  runCleanly(k, function* (k) {
    yield* threadOn(k, 0, "asker", function* (k) {
      yield* schedule_timeout_uninterruptible(k, 6);
      asked = k.now();
      for (let i = 0; i < 2; i++) {
        preempt_disable(k);
        yield* rcu_force_quiescent_state(k);
        preempt_enable(k);
      }
    });
    yield* threadOn(k, 2, "waiter", (k) => synchronize_rcu(k));
  });
  const looks = gpEvents(k, since, "fqsstart").map((e) => (e.ns - asked) / jiffyNs(k));
  assert(looks[0] >= 0 && looks[0] < 0.1, `first look ${looks[0]} jiffies after it was asked for`);
  assert(looks.length === 1 || looks[1] > 200, `${looks}`);
});

Deno.test("cond_resched() in a grace period that is twice too old is a moment of idleness [cpus=2]", () => {
  const k = bootTree({ cpus: 2 });
  const rdp = per_cpu_ptr(k, rcu_data, 1);
  let jumped = 0;
  runCleanly(k, function* (k) {
    yield* threadOn(k, 1, "loop", function* (k) {
      while (!rdp.rcu_need_heavy_qs) yield* udelay(k, 500);
      // A tick would take the urgency for itself: between the look of the thread and the next tick.
      while (!rdp.rcu_urgent_qs) yield* udelay(k, 500);
      k.cpu.need_resched = false;
      const before = rdp.dynticks;
      yield* cond_resched(k);
      jumped = rdp.dynticks - before;
    });
    yield* schedule_timeout_uninterruptible(k, 2);
    yield* synchronize_rcu(k);
  });
  assertEquals(jumped, 4, "a zero-length idle period: two steps of 2");
});

Deno.test("a large batch stops after 3 ms, and the rest follows [cpus=2]", () => {
  const k = bootTree({ cpus: 2 });
  const since = k.seq;
  let ran = 0;
  runCleanly(k, (k) =>
    threadOn(k, 0, "flood", function* (k) {
      per_cpu_ptr(k, rcu_data, 0).blimit = 10000;
      for (let i = 0; i < 200; i++) {
        const head = yield* kmalloc(k, rcu_head.size, GFP_KERNEL);
        yield* call_rcu(k, head, (k) => {
          ran++;
          k.charge(50_000);
          return doneVoid();
        });
      }
    }));
  assertEquals(ran, 200);
  const sizes = eventsOf(k, "rcu_batch_end", since).map((r) => arg(r, "callbacks_invoked")).filter((n) =>
    n > 0
  );
  // 50 us each: 3 ms are over after 60, and the clock is read each 32. With 72 left, below qlowmark, blimit is 10 again.
  assertEquals(sizes.slice(0, 3), [64, 64, 10]);
});

Deno.test("what waits for a grace period is known to leak verdicts, and looking changes nothing [cpus=2]", () => {
  const k = bootTree({ cpus: 2 });
  runCleanly(k, function* (k) {
    const heads: VirtAddr[] = [];
    for (let i = 0; i < 3; i++) {
      const head = yield* kmalloc(k, rcu_head.size, GFP_KERNEL);
      heads.push(head);
      yield* call_rcu(k, head, () => doneVoid());
    }
    const before = k.hash.text();
    assertEquals([...k.rcu.pendingAddresses(k)], heads);
    assertEquals([k.rcu.busy(k), k.hash.text()], [true, before]);
    yield* rcu_barrier(k);
    assertEquals([...k.rcu.pendingAddresses(k)], []);
  });
  assertEquals([k.rcu.busy(k), rcu_get_n_cbs_cpu(k, 0), rcu_get_n_cbs_cpu(k, 1)], [false, 0, 0]);
});

Deno.test("rcutree.dump_tree prints the tree in the boot of a whole machine [cpus=4 fanout=2]", () => {
  const lines = dmesg(bootTree({ ...TWO_LEAVES, dumpTree: true, debug: true }));
  const at = lines.indexOf("rcu: rcu_node tree layout dump");
  assertEquals(lines.slice(at + 1, at + 3), ["rcu:  0:3 ^0  ", "rcu:  0:1 ^0  2:3 ^1  "]);
  assert(lines.includes("rcu: \tRCU lockdep checking is enabled."));
});

Deno.test("interrupt nesting keeps its count, also when idle code asks for it", () => {
  const k = bootTree({ cpus: 2 });
  const rdp = per_cpu_ptr(k, rcu_data, 0);
  const running = rdp.dynticks_nmi_nesting;
  runCleanly(k, (k) =>
    threadOn(k, 0, "first", function* (k) {
      const outside = rdp.dynticks_nmi_nesting;
      rcu_irq_enter_irqson(k);
      assertEquals(rdp.dynticks_nmi_nesting - outside, 2);
      rcu_irq_exit_irqson(k);
      assertEquals(rdp.dynticks_nmi_nesting, outside);
      yield* cond_resched(k);
    }));
  assertEquals([running, rdp.dynticks_nmi_nesting, rdp.dynticks_nesting], [0, 0, 0], "idle before and after");
  assertEquals(rdp.dynticks & 2, 0, "P70 and its counter says so");
  const leaf = rcu_state(k).leaves[0];
  assertEquals([...for_each_leaf_node_possible_cpu(k, rcu_state(k), leaf)], [0, 1]);
  assertEquals(rcu_get_gp_seq(k), -1200);
});
