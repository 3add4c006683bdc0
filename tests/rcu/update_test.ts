// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of rcu/update.ts: whether waits are hurried, and what counts as a reader.
 */
import { assertEquals, assertMatch } from "@std/assert";
import type { Ptr, VirtAddr } from "../../kernel/machine/brand.ts";
import { type Atomic, doneVoid } from "../../kernel/machine/effects.ts";
import { GFP_KERNEL } from "../../kernel/gfp.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { local_irq_restore, local_irq_save, preempt_disable, preempt_enable } from "../../kernel/preempt.ts";
import { pr_info } from "../../kernel/printk.ts";
import { local_bh_disable, local_bh_enable } from "../../kernel/softirq.ts";
import {
  cond_synchronize_rcu,
  get_state_synchronize_rcu,
  rcu_dereference_bh,
  rcu_dereference_check,
  rcu_dereference_sched,
  rcu_pointer_handoff,
} from "../../rcu/rcupdate.ts";
import {
  debug_lockdep_rcu_enabled,
  destroy_rcu_head,
  init_rcu_head,
  rcu_expedite_gp,
  rcu_expedited,
  rcu_gp_is_expedited,
  rcu_gp_is_normal,
  rcu_inkernel_boot_has_ended,
  rcu_normal,
  rcu_normal_after_boot,
  rcu_read_lock_any_held,
  rcu_read_lock_bh_held,
  rcu_read_lock_held,
  rcu_read_lock_sched_held,
  rcu_unexpedite_gp,
  rcupdate_announce_bootup_oddness,
} from "../../rcu/update.ts";
import {
  call_rcu,
  kfree,
  kmalloc,
  rcu_barrier,
  rcu_head,
  rcu_read_lock,
  rcu_read_unlock,
  runToEnd,
  synchronize_rcu,
} from "../../mod.ts";
import { dmesg } from "../helpers.ts";
import { bootForTiny, runCleanly } from "../machines.ts";
import { bootTree, gpEvents } from "./tree_machine.ts";

Deno.test("boot is hurried until its end, then rcu_expedite_gp() nests", () => {
  const during: boolean[] = [];
  const k = bootTree({ cpus: 2 }, function* (k) {
    during.push(rcu_gp_is_expedited(k), rcu_inkernel_boot_has_ended(k));
  });
  assertEquals(during, [true, false]);
  assertEquals([rcu_gp_is_expedited(k), rcu_inkernel_boot_has_ended(k), rcu_gp_is_normal(k)], [
    false,
    true,
    false,
  ]);
  rcu_expedite_gp(k);
  rcu_expedite_gp(k);
  rcu_unexpedite_gp(k);
  assertEquals(rcu_gp_is_expedited(k), true);
  rcu_unexpedite_gp(k);
  assertEquals(rcu_gp_is_expedited(k), false);
});

Deno.test("a hurried synchronize_rcu() still waits for a whole grace period", () => {
  const k = bootTree({ cpus: 2 });
  const since = k.seq;
  rcu_expedite_gp(k);
  runCleanly(k, (k) => synchronize_rcu(k));
  assertEquals(gpEvents(k, since, "end")[0].gp_seq, -1199);
});

Deno.test("rcu_normal_after_boot takes effect at the end of boot, and boot says so", () => {
  const k = bootTree({ cpus: 2 }, function* (k) {
    rcu_normal_after_boot.set(k, true);
  });
  assertEquals([rcu_normal(k), rcu_gp_is_normal(k)], [true, true]);
  assertEquals(dmesg(k).includes("\tNo expedited grace period (rcu_normal_after_boot)."), true);
  rcupdate_announce_bootup_oddness(k);
  assertEquals(dmesg(k).at(-1), "\tNo expedited grace period (rcu_normal).");
  rcu_normal.set(k, false);
  rcu_normal_after_boot.set(k, false);
  rcu_expedited.set(k, true);
  rcupdate_announce_bootup_oddness(k);
  assertEquals(dmesg(k).at(-1), "\tAll grace periods are expedited (rcu_expedited).");
  assertEquals(rcu_gp_is_expedited(k), true);
});

/** held, bh, sched, any */
function heldBy(k: Kernel): string {
  const held = [rcu_read_lock_held, rcu_read_lock_bh_held, rcu_read_lock_sched_held, rcu_read_lock_any_held];
  return held.map((ask) => ask(k) ? "1" : "0").join("");
}

Deno.test("rcu_read_lock_*_held() know each kind of reader", () => {
  const k = bootTree({ cpus: 2 });
  const seen: Record<string, string> = {};
  runCleanly(k, function* (k) {
    seen.outside = heldBy(k);
    yield* rcu_read_lock(k);
    seen.rcu = heldBy(k);
    yield* rcu_read_unlock(k);
    local_bh_disable(k);
    seen.bh = heldBy(k);
    yield* local_bh_enable(k);
    preempt_disable(k);
    seen.sched = heldBy(k);
    preempt_enable(k);
    const flags = local_irq_save(k);
    seen.irq = heldBy(k);
    local_irq_restore(k, flags);
  });
  // Held, bh, sched, any: who disables bottom halves or interrupts is also a reader of the sched kind.
  assertEquals(seen, { outside: "0000", rcu: "1011", bh: "0111", sched: "0011", irq: "0111" });
});

Deno.test("without checks every context counts as a reader", () => {
  const k = bootTree({ cpus: 2, debug: false });
  assertEquals(debug_lockdep_rcu_enabled(k), false);
  let held = "";
  runCleanly(k, function* (k) {
    held = heldBy(k);
  });
  assertEquals(held, "1111");
});

Deno.test("rcu_dereference_*() report the wrong context, each once", () => {
  const k = bootTree({ cpus: 2 });
  const pp = k.dataAlloc(8) as VirtAddr as Ptr<VirtAddr>;
  runCleanly(k, function* (k) {
    for (let i = 0; i < 2; i++) {
      yield* rcu_dereference_check(k, pp, false);
      yield* rcu_dereference_bh(k, pp);
      yield* rcu_dereference_sched(k, pp);
    }
    const reports = k.reports.length;
    yield* rcu_dereference_check(k, pp, true);
    local_bh_disable(k);
    rcu_pointer_handoff(yield* rcu_dereference_bh(k, pp));
    yield* rcu_dereference_sched(k, pp);
    yield* local_bh_enable(k);
    assertEquals(k.reports.length, reports);
  }, 3);
  const said = k.reports.map((r) => r.lines[5].replace(/^tests\/rcu\/update_test\.ts:\d+ /, ""));
  assertEquals(said, [
    "suspicious rcu_dereference_check() usage!",
    "suspicious rcu_dereference_bh_check() usage!",
    "suspicious rcu_dereference_sched_check() usage!",
  ]);
});

Deno.test("P33 a reader in the idle loop, after RCU was told, is reported", () => {
  const k = bootTree({ cpus: 2 });
  const { rcu_idle_enter } = k.rcu;
  let done = false;
  k.rcu = {
    ...k.rcu,
    rcu_idle_enter: function* (k) {
      yield* rcu_idle_enter(k);
      if (done || k.cpu.id !== 1) return;
      done = true;
      assertEquals([rcu_read_lock_held(k), rcu_read_lock_any_held(k)], [false, false]);
      yield* rcu_read_lock(k);
      yield* rcu_read_unlock(k);
    },
  };
  runCleanly(k, function* (k) {
    pr_info(k, "both CPUs go idle");
    yield* cond_synchronize_rcu(k, get_state_synchronize_rcu(k));
  }, 2);
  assertEquals(k.reports.map((r) => r.lines[5].replace(/^\S+ /, "")), [
    "rcu_read_lock() used illegally while idle!",
    "rcu_read_unlock() used illegally while idle!",
  ]);
});

Deno.test("init_rcu_head() and destroy_rcu_head() tell debug objects where a head is in use", () => {
  const called = (_k: Kernel, _head: VirtAddr): Atomic<void> => doneVoid();
  const early: [string, (k: Kernel, head: VirtAddr) => void][] = [
    ["init active", init_rcu_head],
    ["free active", destroy_rcu_head],
  ];
  for (const [what, tooEarly] of early) {
    const k = bootForTiny({ debugObjects: true });
    runToEnd(k, "test", function* (k) {
      const head = yield* kmalloc(k, rcu_head.size, GFP_KERNEL);
      init_rcu_head(k, head);
      yield* call_rcu(k, head, called);
      yield* rcu_barrier(k);
      destroy_rcu_head(k, head);
      assertEquals(k.reports, [], "as it should be");
      init_rcu_head(k, head);
      yield* call_rcu(k, head, called);
      tooEarly(k, head);
      assertEquals(k.reports.length, 1);
      assertMatch(k.reports[0].lines.join("\n"), new RegExp(`ODEBUG: ${what} .*object type: rcu_head`));
      yield* rcu_barrier(k);
      yield* kfree(k, head);
    });
  }
});
