// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of rcu/levels/tree/v6.1.ts: five seconds or a full block. T numbers are the checkable behaviours of kvfree_rcu(); a
 * test whose behaviour goes on runs at v6.1.192 too.
 */
import { assert, assertEquals } from "@std/assert";
import { rcu_scheduler_active, RCU_SCHEDULER_RUNNING } from "../../../kernel/system_state.ts";
import { jiffies } from "../../../kernel/time/jiffies.ts";
import { shrink_control, SHRINK_EMPTY } from "../../../mm/vmscan.ts";
import { GFP_KERNEL, kvfree_rcu, type Level, POLICY_FINE, vmalloc } from "../../../mod.ts";
import { krcState } from "../../../rcu/kvfree.ts";
import { executionsOf } from "../../machines.ts";
import {
  drain,
  krc0,
  kvfreeMachine,
  lengths,
  monitorIsOver,
  monitorJiffies,
  newObject,
  newObjects,
  onCpu,
  queue2,
  script,
  shrinkerFunctions,
  sleepJiffies,
} from "../kvfree_machine.ts";
import { cached, warm } from "./page_cache.ts";

const LEVELS_OF_6_1: readonly Level[] = ["v6.1", "v6.1.192"];

for (const level of LEVELS_OF_6_1) {
  for (const [HZ, D, wheel] of [[100, 500, 64], [250, 1250, 64], [1000, 5000, 512]]) {
    Deno.test(`T102 fewer than 510 objects wait ${D} jiffies and what the timer wheel adds [level=${level} HZ=${HZ}]`, () => {
      const m = kvfreeMachine({ level, HZ });
      let first = 0;
      let start = 0;
      script(m, function* (k) {
        yield* warm(m);
        const objects = yield* newObjects(k, 509);
        first = k.now();
        start = jiffies(k);
        for (const p of objects) yield* queue2(k, p);
        assertEquals([krc0(k).monitorPending, krc0(k).monitorExpires - start], [true, D]);
        yield* drain(m);
      });
      // As recorded: the wheel's bucket is 64 jiffies wide there, at HZ 1000 512, and the first is 100 at HZ 100.
      const ran = monitorJiffies(m.k, first);
      assertEquals(ran.length, 1);
      assert(ran[0] >= D && ran[0] <= D + wheel + 1, `after ${ran[0]} jiffies`);
    });
  }

  Deno.test(`T102 the 510th object shortens the timer to a jiffy [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    let last = 0;
    script(m, function* (k) {
      yield* warm(m);
      const objects = yield* newObjects(k, 600);
      for (const p of objects.slice(0, 509)) yield* queue2(k, p);
      assertEquals(krc0(k).monitorExpires - jiffies(k), 1250);
      yield* sleepJiffies(k, 40);
      last = k.now();
      yield* queue2(k, objects[509]);
      assertEquals(krc0(k).monitorExpires - jiffies(k), 1);
      yield* queue2(k, objects[510]);
      assertEquals(krc0(k).monitorExpires - jiffies(k), 1, "and no further");
      yield* sleepJiffies(k, 3);
      assertEquals([lengths(krc0(k).batches[0].slab), krc0(k).count, krc0(k).monitorPending], [
        [1, 510],
        0,
        false,
      ]);
      for (const p of objects.slice(511)) yield* queue2(k, p);
      assertEquals(krc0(k).monitorExpires - jiffies(k), 1250, "the next batch waits again");
      yield* m.rcu.pass(k);
      yield* drain(m);
    });
    const [ran] = monitorJiffies(m.k, last);
    assert(ran > 1 && ran <= 2.1, `after ${ran} jiffies`);
  });

  Deno.test(`T102 objects on the list count too [level=${level}]`, () => {
    const m = kvfreeMachine({ level, rcuMinCachedObjs: 0 });
    script(m, function* (k) {
      const objects = yield* newObjects(k, 510);
      for (const p of objects.slice(0, 509)) yield* queue2(k, p);
      assertEquals([krc0(k).list.length, krc0(k).monitorExpires - jiffies(k) > 1200], [509, true]);
      yield* queue2(k, objects[509]);
      assertEquals(krc0(k).monitorExpires - jiffies(k), 1);
      yield* sleepJiffies(k, 3);
      yield* m.rcu.pass(k);
    });
  });

  Deno.test(`T16 with both batches busy the monitor comes back: in 5 s, or each jiffy while a block is full [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* warm(m);
      for (let i = 0; i < 2; i++) {
        for (const p of yield* newObjects(k, 510)) yield* queue2(k, p);
        yield* sleepJiffies(k, 3);
      }
      assertEquals(krc0(k).batches.map((b) => lengths(b.slab)), [[510], [510]]);
      const objects = yield* newObjects(k, 510);
      let from = k.now();
      for (const p of objects) yield* queue2(k, p);
      yield* sleepJiffies(k, 10);
      const often = monitorJiffies(k, from);
      assert(often.length >= 4 && often.length <= 10, `${often}`);
      yield* m.rcu.pass(k);
      yield* sleepJiffies(k, 3);
      assertEquals(krc0(k).slab, []);

      yield* queue2(k, yield* newObject(k));
      yield* sleepJiffies(k, monitorIsOver(k));
      from = k.now();
      yield* queue2(k, yield* newObject(k));
      yield* sleepJiffies(k, 2 * monitorIsOver(k));
      const seldom = monitorJiffies(k, from);
      assertEquals(seldom.length, 2);
      assert(seldom[1] - seldom[0] >= 1250, `${seldom}`);
      yield* m.rcu.pass(k);
      yield* drain(m);
    });
  });

  Deno.test(`T103 the shrinker's count of nothing is SHRINK_EMPTY [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const [count, scan] = shrinkerFunctions(k);
      const sc = new shrink_control(GFP_KERNEL);
      assertEquals(yield* count(sc), SHRINK_EMPTY);
      yield* kvfree_rcu(k, yield* newObject(k));
      assertEquals(yield* count(sc), 1);
      sc.nr_to_scan = 1;
      yield* scan(sc);
      assertEquals(yield* count(sc), SHRINK_EMPTY);
      yield* drain(m);
      assertEquals([yield* count(sc), cached(k)[0]], [1, 1], "the block, cached");
    });
  });

  Deno.test(`B25 is gone: a handful of objects each 20 ms is one grace period in 5 s [level=${level}]`, () => {
    const m = kvfreeMachine({ level }, true);
    script(m, function* (k) {
      yield* kvfree_rcu(k, yield* newObject(k));
      for (let i = 0; i < 100; i++) {
        yield* queue2(k, yield* newObject(k));
        yield* sleepJiffies(k, 5);
      }
      assertEquals([krc0(k).count, m.rcu.callRcus], [101, 0]);
      yield* sleepJiffies(k, monitorIsOver(k) + 8);
      assertEquals([krc0(k).count, m.rcu.callRcus], [0, 1]);
    });
  });
}

Deno.test("the monitors that the boot hook arms run on their own CPUs at v5.14, where the hook was called at v6.1", () => {
  for (const [level, cpus] of [["v5.14", [0, 2, 3]], ["v6.1", [0, 0, 0]]] as [Level, number[]][]) {
    const m = kvfreeMachine({ level });
    let since = 0;
    script(m, function* (k) {
      rcu_scheduler_active.set(k, 1);
      for (const cpu of [0, 2, 3]) {
        const p = yield* newObject(k);
        yield* onCpu(k, cpu, function* (k) {
          yield* queue2(k, p);
        });
      }
      rcu_scheduler_active.set(k, RCU_SCHEDULER_RUNNING);
      since = k.seq;
      yield* k.kvfree.kfree_rcu_scheduler_running(k);
      yield* drain(m);
    });
    assertEquals(executionsOf(m.k, "kfree_rcu_monitor", since).map((r) => r.cpu).sort(), cpus, level);
  }
});

Deno.test("whatever the schedule, what is collected has a timer [levels seeds=8]", () => {
  for (const level of LEVELS_OF_6_1) {
    for (let seed = 1; seed <= 8; seed++) {
      const m = kvfreeMachine({ level, seed, policy: POLICY_FINE }, true);
      script(m, function* (k) {
        for (const cpu of [0, 1, 2]) {
          yield* onCpu(k, cpu, function* (k) {
            for (let i = 0; i < 60; i++) {
              if (i % 4 === 0) yield* queue2(k, yield* vmalloc(k, 64));
              else yield* kvfree_rcu(k, yield* newObject(k));
              if (i % 20 === seed) yield* sleepJiffies(k, 1);
            }
          });
        }
      });
      assertEquals(krcState(m.k).map((s) => [s.slab, s.vmalloc, s.list]), Array(4).fill([[], [], []]));
    }
  }
});
