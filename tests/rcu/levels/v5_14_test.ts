// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of rcu/levels/tree/v5.14.ts: the shrinker gets the page cache, and the next fill is late and small. T numbers are
 * the checkable behaviours of kvfree_rcu(); a test whose behaviour goes on runs at the later levels too.
 */
import { assert, assertEquals } from "@std/assert";
import { rcu_scheduler_active, RCU_SCHEDULER_RUNNING } from "../../../kernel/system_state.ts";
import { shrink_control } from "../../../mm/vmscan.ts";
import { boot, GFP_KERNEL, type Level, vmalloc } from "../../../mod.ts";
import { krcState } from "../../../rcu/kvfree.ts";
import { executionsOf, jiffyNs } from "../../machines.ts";
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
import { cached, logLines, pagesFetched, useUp, warm } from "./page_cache.ts";

const LEVELS_FROM_5_14: readonly Level[] = ["v5.14", "v6.1", "v6.1.192"];

for (const level of LEVELS_FROM_5_14) {
  Deno.test(`T100 the shrinker counts objects and cached pages; a scan frees the pages [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* warm(m);
      yield* onCpu(k, 1, () => warm(m));
      for (const p of yield* newObjects(k, 3)) yield* queue2(k, p);
      const before = cached(k);
      assertEquals(before, [5, 6, 0, 0].map((n) => Math.min(n, 5)).map((n, cpu) => cpu === 0 ? n - 1 : n));
      const [count, scan] = shrinkerFunctions(k);
      const sc = new shrink_control(GFP_KERNEL);
      assertEquals(yield* count(sc), 3 + 4 + 5);
      sc.nr_to_scan = 7;
      const pages = krc0(k).spares;
      assertEquals(yield* scan(sc), 7, "it stops at the CPU that makes the sum");
      assertEquals([cached(k), sc.nr_to_scan], [[0, 5, 0, 0], 0]);
      assert(pages.every((p) => !krc0(k).spares.includes(p)));
      assertEquals([lengths(krc0(k).batches[0].slab), krc0(k).batches[0].pending], [[3], true]);
      assertEquals(yield* count(sc), 5);
      sc.nr_to_scan = 100;
      assertEquals([yield* scan(sc), cached(k)], [5, [0, 0, 0, 0]]);
      yield* drain(m);
    });
  });

  for (const [msec, HZ] of [[5000, 250], [200, 250], [0, 250], [100, 1000]]) {
    Deno.test(`T100 after the shrinker the next fill waits ${msec} ms and fetches a page [level=${level} HZ=${HZ}]`, () => {
      const m = kvfreeMachine({ level, HZ, rcuDelayPageCacheFillMsec: msec });
      let asked = 0;
      script(m, function* (k) {
        yield* shrinkerFunctions(k)[0](new shrink_control(GFP_KERNEL));
        asked = k.now();
        const p = yield* newObject(k);
        const since = k.seq;
        yield* queue2(k, p);
        yield* sleepJiffies(k, Math.ceil(msec * HZ / 1000 * 1.15) + 5);
        assertEquals([cached(k)[0], pagesFetched(k, since)], [1, 1]);
        // That was it: the next is quick and full again.
        yield* useUp(k);
        yield* queue2(k, yield* newObject(k));
        yield* sleepJiffies(k, 2);
        assertEquals(cached(k)[0], 5);
        yield* drain(m);
      });
      const [first, second] = executionsOf(m.k, "fill_page_cache_func");
      const jiffies = (first.ns - asked) / jiffyNs(m.k);
      const wanted = msec * HZ / 1000;
      // The timer wheel fires late by up to an eighth, and not in the jiffy that has begun.
      assert(jiffies >= wanted && jiffies <= wanted * 1.125 + 2, `after ${jiffies} jiffies`);
      assert(second !== undefined);
    });
  }

  Deno.test(`the back-off is clamped to 100 seconds, with a line in the log [level=${level}]`, () => {
    const text = "Adjusting rcutree.rcu_delay_page_cache_fill_msec to 100000 ms.";
    assertEquals(
      logLines(boot({ level, cpus: 1, rcuDelayPageCacheFillMsec: 100_000 }), "rcu_delay").length,
      0,
    );
    const [line, more] = logLines(boot({ level, cpus: 1, rcuDelayPageCacheFillMsec: 100_001 }), "rcu_delay");
    assert(line.endsWith(text) && more === undefined);
  });

  Deno.test(`T101 B11 is gone: at RUNNING a CPU with blocks gets its timer [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* warm(m);
      rcu_scheduler_active.set(k, 1);
      yield* queue2(k, yield* newObject(k));
      yield* onCpu(k, 2, function* (k) {
        yield* queue2(k, yield* newObject(k));
      });
      assertEquals([lengths(krc0(k).slab), krcState(k)[2].list.length], [[1], 1]);
      rcu_scheduler_active.set(k, RCU_SCHEDULER_RUNNING);
      yield* k.kvfree.kfree_rcu_scheduler_running(k);
      assertEquals(krcState(k).map((s) => s.monitorPending), [true, false, true, false]);
      yield* drain(m);
      assertEquals([lengths(krc0(k).slab), krcState(k)[2].list.length], [[], 0]);
    });
  });

  Deno.test(`T26 a scan makes a batch at once; the old timer finds nothing [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* warm(m);
      const from = k.now();
      for (const p of yield* newObjects(k, 3)) yield* queue2(k, p);
      const sc = new shrink_control(GFP_KERNEL);
      sc.nr_to_scan = 100;
      yield* shrinkerFunctions(k)[1](sc);
      assertEquals([krc0(k).batches[0].pending, krc0(k).monitorPending], [true, true], "the timer stays");
      yield* drain(m);
      assertEquals(monitorJiffies(k, from).length, 1);
      assertEquals([krc0(k).monitorPending, m.rcu.callRcus], [false, 2]);
    });
  });

  Deno.test(`B18 a fill fetches a page to see that the cache is full [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      yield* warm(m);
      yield* shrinkerFunctions(k)[0](new shrink_control(GFP_KERNEL));
      yield* useUp(k);
      // Late, and meanwhile the blocks come back.
      yield* queue2(k, yield* newObject(k));
      yield* sleepJiffies(k, 8);
      yield* m.rcu.pass(k);
      yield* sleepJiffies(k, 2);
      assertEquals([cached(k)[0], executionsOf(k, "fill_page_cache_func").length], [5, 1]);
      const since = k.seq;
      yield* sleepJiffies(k, Math.ceil(1250 * 1.13));
      assertEquals([executionsOf(k, "fill_page_cache_func").length, cached(k)[0]], [2, 5]);
      assertEquals(pagesFetched(k, since), 1, "and gives it back");
      yield* drain(m);
    });
  });
}

Deno.test("the monitor of the shrinker comes back by itself when a channel stays behind [level=v5.14]", () => {
  const m = kvfreeMachine({ level: "v5.14" });
  script(m, function* (k) {
    yield* warm(m);
    for (let i = 0; i < 2; i++) {
      yield* queue2(k, yield* vmalloc(k, 64));
      yield* sleepJiffies(k, monitorIsOver(k));
    }
    yield* queue2(k, yield* vmalloc(k, 64));
    const sc = new shrink_control(GFP_KERNEL);
    sc.nr_to_scan = 100;
    yield* shrinkerFunctions(k)[1](sc);
    assertEquals([krc0(k).monitor_todo, krc0(k).monitorPending, krc0(k).vmalloc.length], [true, true, 1]);
    yield* m.rcu.pass(k);
    yield* drain(m);
  });
});
