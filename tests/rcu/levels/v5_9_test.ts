// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of rcu/levels/tree/v5.9.ts: the page cache that boot fills, the raw lock, the monitor that comes back. T numbers are
 * the checkable behaviours of kvfree_rcu(); a test whose behaviour goes on runs at the later levels too.
 */
import { assert, assertEquals } from "@std/assert";
import type { VirtAddr } from "../../../kernel/machine/brand.ts";
import { addFailRule, clearFailRules } from "../../../kernel/fault_inject.ts";
import { rcu_scheduler_active, RCU_SCHEDULER_RUNNING } from "../../../kernel/system_state.ts";
import { shrink_control, SHRINK_STOP } from "../../../mm/vmscan.ts";
import { boot, GFP_KERNEL, kvfree_rcu, type Level, vmalloc } from "../../../mod.ts";
import { krcState } from "../../../rcu/kvfree.ts";
import { arg, eventsOf, executionsOf } from "../../machines.ts";
import {
  bulkEvents,
  drain,
  failPages,
  isLive,
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
  startOn,
} from "../kvfree_machine.ts";
import { cached, logLines, pagesTaken, warm } from "./page_cache.ts";

const LEVELS_FROM_5_9: readonly Level[] = ["v5.9", "v5.11", "v5.13", "v5.14", "v6.1", "v6.1.192"];

Deno.test("T91 boot takes two pages for each CPU, 16 for 8 CPUs [level=v5.9]", () => {
  assertEquals(cached(boot({ level: "v5.9", cpus: 8 })), Array(8).fill(2));
  assertEquals(cached(boot({ level: "v5.9", cpus: 8, rcuMinCachedObjs: 3 })), Array(8).fill(3));
  assertEquals(cached(boot({ level: "v5.9", cpus: 8, rcuMinCachedObjs: 0 })), Array(8).fill(0));
  assertEquals(
    cached(boot({ level: "7/7", cpus: 2, rcuMinCachedObjs: 3 })).length,
    2,
    "no such parameter yet",
  );
});

Deno.test("T91 boot says for which CPU there was no page [level=v5.9]", () => {
  const m = kvfreeMachine({ level: "v5.9", cpus: 4 }, false, true);
  script(m, function* (k) {
    addFailRule(k, { what: "page", site: "kfree_rcu_batch_init", nth: 4, times: 2 });
    yield* k.kvfree.kfree_rcu_batch_init(k);
    clearFailRules(k);
    assertEquals(cached(k), [2, 1, 1, 2]);
  });
  const cpus = logLines(m.k, "Failed to preallocate").map((line) => /for (\d) CPU!$/.exec(line)?.[1]);
  assertEquals(cpus, ["1", "2"]);
});

Deno.test("T91 both channels draw from one cache, which never holds more than it may [level=v5.9]", () => {
  const m = kvfreeMachine({ level: "v5.9" });
  script(m, function* (k) {
    const pages = [...krc0(k).spares];
    yield* queue2(k, yield* newObject(k));
    yield* queue2(k, yield* vmalloc(k, 64));
    assertEquals([krc0(k).slab[0].addr, krc0(k).vmalloc[0].addr], pages as [VirtAddr, VirtAddr]);
    assertEquals(cached(k)[0], 0);
    for (const p of yield* newObjects(k, 1600)) yield* queue2(k, p);
    assertEquals([krc0(k).slab.length, krc0(k).vmalloc.length], [4, 1]);
    yield* drain(m);
    assertEquals(cached(k), [2, 2, 2, 2], "two of five blocks are kept");
  });
});

Deno.test("T92 with both cached pages in use the next block comes from the page allocator [level=v5.9]", () => {
  const m = kvfreeMachine({ level: "v5.9" });
  script(m, function* (k) {
    const slab = yield* newObjects(k, 511);
    const area = yield* vmalloc(k, 64);
    const since = k.seq;
    yield* queue2(k, slab[0]);
    yield* queue2(k, area);
    for (let i = 1; i < 510; i++) yield* queue2(k, slab[i]);
    assertEquals(pagesTaken(k, since), [], "two blocks, both cached");
    yield* kvfree_rcu(k, slab[510]);
    assertEquals(pagesTaken(k, since).length, 1);
    assertEquals([lengths(krc0(k).slab), lengths(krc0(k).vmalloc)], [[1, 510], [1]]);
    yield* drain(m);
  });
});

Deno.test("T93 a headless object without a page is freed by its caller, a grace period each [level=v5.9]", () => {
  const m = kvfreeMachine({ level: "v5.9", rcuMinCachedObjs: 0 }, true);
  script(m, function* (k) {
    failPages(k);
    const objects = yield* newObjects(k, 3);
    const since = k.seq;
    for (const p of objects) {
      yield* kvfree_rcu(k, p);
      assertEquals(isLive(k, p), false, "freed when the call returns");
    }
    const wrappers = eventsOf(k, "kmalloc", since).filter((r) => arg(r, "bytes_req") === 24);
    assertEquals(wrappers, [], "no wrapper");
    assertEquals([krc0(k).count, krc0(k).list.length, krc0(k).monitorPending], [0, 0, false]);
    yield* queue2(k, yield* newObject(k));
    assertEquals(
      [krc0(k).count, krc0(k).list.length, krc0(k).monitorPending],
      [1, 1, true],
      "with a head: the list",
    );
    yield* sleepJiffies(k, 20);
  });
  assertEquals([m.rcu.synchronized, m.rcu.callRcus], [3, 1]);
});

for (const level of LEVELS_FROM_5_9) {
  Deno.test(`T94 B8 is gone: what found no empty channel waits for the monitor, which comes back [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      if (level !== "v5.9") yield* warm(m);
      for (let i = 0; i < 2; i++) {
        for (const p of yield* newObjects(k, 10)) yield* queue2(k, p);
        yield* sleepJiffies(k, monitorIsOver(k));
      }
      assertEquals(krc0(k).batches.map((b) => lengths(b.slab)), [[10], [10]], "both batches wait");
      const late = yield* newObjects(k, 5);
      for (const p of late) yield* queue2(k, p);
      for (let i = 0; i < 5; i++) yield* queue2(k, yield* vmalloc(k, 64));
      yield* sleepJiffies(k, monitorIsOver(k));
      const refused = level === "v6.1.192";
      assertEquals(lengths(krc0(k).batches[0].vmalloc), refused ? [] : [5], "B9's rule, to v6.1");
      assertEquals(
        [lengths(krc0(k).slab), krc0(k).monitorPending],
        [[5], true],
        "the monitor is armed again",
      );
      assertEquals(krc0(k).count, refused ? 10 : 0, "B10: 0 though a channel stayed behind");
      yield* m.rcu.pass(k);
      yield* drain(m);
      assertEquals(late.map((p) => isLive(k, p)), late.map(() => false), "and nothing is stranded");
    });
  });
}

Deno.test("what only the second batch could take makes the monitor come once more, to v5.13", () => {
  for (const [level, runs] of [["v5.9", 3], ["v5.11", 3], ["v5.13", 3], ["v5.14", 2]] as [Level, number][]) {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      if (level !== "v5.9") yield* warm(m);
      const from = k.now();
      for (let i = 0; i < 2; i++) {
        for (const p of yield* newObjects(k, 10)) yield* queue2(k, p);
        yield* sleepJiffies(k, 8);
      }
      yield* sleepJiffies(k, 30);
      assertEquals(monitorJiffies(k, from).length, runs, level);
      assertEquals([krc0(k).monitor_todo, krc0(k).monitorPending], [false, false]);
      yield* drain(m);
    });
  }
});

for (const level of LEVELS_FROM_5_9) {
  Deno.test(`T95 a scan with nothing to do says SHRINK_STOP [level=${level}]`, () => {
    const m = kvfreeMachine({ level, rcuMinCachedObjs: 0 });
    script(m, function* (k) {
      const sc = new shrink_control(GFP_KERNEL);
      const [, scan] = shrinkerFunctions(k);
      sc.nr_to_scan = 100;
      assertEquals(yield* scan(sc), SHRINK_STOP);
      yield* queue2(k, yield* newObject(k));
      assertEquals(yield* scan(sc), 1);
      assertEquals(krc0(k).batches[0].pending, true);
      assertEquals(yield* scan(sc), SHRINK_STOP);
      yield* drain(m);
    });
  });
}

Deno.test("a block goes to the page cache of the CPU where the worker runs; from v5.11 on to its own (T45)", () => {
  for (const level of ["v5.9", "v5.11", "v5.13", "v5.14"] as const) {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      if (level !== "v5.9") yield* warm(m);
      yield* queue2(k, yield* newObject(k));
      const block = krc0(k).slab[0].addr;
      const before = cached(k);
      if (level === "v5.9") {
        // Its page cache is full: make room for one.
        yield* onCpu(k, 1, function* (k) {
          yield* queue2(k, yield* newObject(k));
        });
      }
      yield* sleepJiffies(k, 8);
      yield* onCpu(k, 1, (k) => m.rcu.pass(k));
      yield* sleepJiffies(k, 2);
      const at = krcState(k).findIndex((s) => s.spares.includes(block));
      assertEquals(at, level === "v5.9" ? 1 : 0, level);
      if (level !== "v5.9") assertEquals(cached(k)[0], before[0] + 1);
      yield* drain(m);
    });
    assert(executionsOf(m.k, "kfree_rcu_work").some((r) => r.cpu === 1));
  }
});

for (const level of ["v5.9", "v5.11", "v5.13"] as const) {
  Deno.test(`T24 B11 at RUNNING only a CPU with a list gets a timer [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    const { k } = m;
    script(m, function* (k) {
      if (level !== "v5.9") yield* warm(m);
      rcu_scheduler_active.set(k, 1);
      yield* queue2(k, yield* newObject(k));
      yield* onCpu(k, 1, function* (k) {
        failPages(k);
        // At v5.9 the cached pages go first.
        for (const p of yield* newObjects(k, 2 * 510 + 1)) yield* queue2(k, p);
        clearFailRules(k);
      });
      assertEquals(krcState(k).map((s) => s.monitorPending), [false, false, false, false]);
      rcu_scheduler_active.set(k, RCU_SCHEDULER_RUNNING);
      yield* k.kvfree.kfree_rcu_scheduler_running(k);
      assertEquals(krcState(k).map((s) => s.monitorPending), [false, true, false, false]);
      yield* drain(m);
      assertEquals(lengths(krc0(k).slab), [1], "B11: still there");
      yield* queue2(k, yield* newObject(k));
      yield* drain(m);
    });
    assertEquals(arg(bulkEvents(k).at(-1)!, "nr_records"), 2);
  });
}

for (const level of LEVELS_FROM_5_9) {
  Deno.test(`T23 before it is initialised objects go on the list, or are freed by the caller [level=${level}]`, () => {
    const m = kvfreeMachine({ level }, true, true);
    script(
      m,
      function* (k) {
        yield* startOn(k, 2, () => m.rcu.thread(k));
        const [a, b] = yield* newObjects(k, 2);
        yield* queue2(k, a);
        assertEquals([krc0(k).list.length, krc0(k).initialized, cached(k)[0]], [1, false, 0]);
        yield* kvfree_rcu(k, b);
        assertEquals(
          [m.rcu.synchronized, isLive(k, b)],
          [1, false],
          "without a head: no block, so its own wait",
        );
        assertEquals(krc0(k).monitorPending, false);
        yield* k.kvfree.kfree_rcu_batch_init(k);
        rcu_scheduler_active.set(k, RCU_SCHEDULER_RUNNING);
        yield* k.kvfree.kfree_rcu_scheduler_running(k);
        yield* sleepJiffies(k, monitorIsOver(k) + 8);
        assertEquals(isLive(k, a), false);
      },
      0,
      "deadlock",
    );
  });
}

Deno.test("B12 the shrinker's count of nothing is 0, which makes reclaim go on [level=v5.9]", () => {
  const m = kvfreeMachine({ level: "v5.9" });
  script(m, function* (k) {
    const [count] = shrinkerFunctions(k);
    const sc = new shrink_control(GFP_KERNEL);
    assertEquals([yield* count(sc), cached(k)], [0, [2, 2, 2, 2]], "B14: cached pages do not count");
    for (const p of yield* newObjects(k, 7)) yield* queue2(k, p);
    assertEquals(yield* count(sc), 7);
    yield* drain(m);
  });
});
