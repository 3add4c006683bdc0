// SPDX-License-Identifier: GPL-2.0-only
/**
 * The shrinker of kvfree_rcu() on tree RCU from the base of the series to v5.13, where it knows of queued objects only. T
 * numbers are the checkable behaviours of kvfree_rcu(), B numbers its known bugs.
 */
import { assertEquals } from "@std/assert";
import { shrink_control, SHRINK_STOP } from "../../../mm/vmscan.ts";
import { krcState } from "../../../rcu/kvfree.ts";
import { GFP_KERNEL, levelAtLeast } from "../../../mod.ts";
import {
  drain,
  krc0,
  kvfreeMachine,
  monitorJiffies,
  newObjects,
  onCpu,
  queue2,
  script,
  shrinkerFunctions,
} from "../kvfree_machine.ts";
import { levels } from "./levels.ts";

for (const level of levels("base", "v5.13")) {
  Deno.test(`T25 T26 the shrinker counts what waits for no grace period, and starts one at once [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const from = k.now();
      for (const p of yield* newObjects(k, 3)) yield* queue2(k, p);
      yield* onCpu(k, 1, function* (k) {
        for (const p of yield* newObjects(k, 4)) yield* queue2(k, p);
      });
      const sc = new shrink_control(GFP_KERNEL);
      const [count, scan] = shrinkerFunctions(k);
      assertEquals(yield* count(sc), 7, "T25");
      sc.nr_to_scan = 100;
      assertEquals([yield* scan(sc), sc.nr_to_scan], [7, 93], "T26");
      assertEquals(krcState(k).map((s) => s.batches[0].pending), [true, true, false, false]);
      assertEquals(yield* count(sc), 0);
      assertEquals([krc0(k).monitor_todo, krc0(k).monitorPending], [false, true], "the old timer stays");
      assertEquals(monitorJiffies(k, from), []);
      yield* drain(m);
      assertEquals(monitorJiffies(k, from).length, 2, "and finds nothing to do");
    });
    assertEquals(m.rcu.callRcus, 2);
  });

  Deno.test(`T25 the count is 0 once the monitor ran; then a scan has nothing to say [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      const sc = new shrink_control(GFP_KERNEL);
      const [count, scan] = shrinkerFunctions(k);
      for (const p of yield* newObjects(k, 3)) yield* queue2(k, p);
      yield* drain(m);
      assertEquals(yield* count(sc), 0);
      // B12, first half: 0 has the caller go on; fixed in v5.9 (T95).
      assertEquals(yield* scan(sc), levelAtLeast(level, "v5.9") ? SHRINK_STOP : 0);
    });
  });

  Deno.test(`T27 a scan stops at the CPU where the sum reaches nr_to_scan [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      for (const cpu of [0, 1, 2]) {
        yield* onCpu(k, cpu, function* (k) {
          for (const p of yield* newObjects(k, 5)) yield* queue2(k, p);
        });
      }
      const sc = new shrink_control(GFP_KERNEL);
      sc.nr_to_scan = 10;
      assertEquals(yield* shrinkerFunctions(k)[1](sc), 10);
      assertEquals(krcState(k).map((s) => s.batches[0].pending), [true, true, false, false]);
      yield* drain(m);
    });
  });
}
