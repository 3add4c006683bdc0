// SPDX-License-Identifier: GPL-2.0-only
/**
 * Workloads at every level of kvfree_rcu(), and kernels of different levels side by side.
 *
 * Expected numbers are worked out from the levels: blocks of 509 and 510 pointers, 20 ms and 5 s of drain, who waits.
 */
import { assert, assertEquals } from "@std/assert";
import { runAt } from "../../examples/workloads/compare.ts";
import { WORKLOADS } from "../../examples/workloads/workloads.ts";
import { WORKLOAD_NAMES } from "../../repl/commands/series.ts";
import type { Workload } from "../../examples/workloads/workload.ts";
import { boot, bulkText, type Level, LEVELS, Run, type TallyCounts } from "../../mod.ts";
import { floodScenario } from "../../examples/workloads/flood.ts";

function workload(name: string): Workload {
  const found = WORKLOADS.find((w) => w.name === name);
  assert(found !== undefined, name);
  return found;
}

const small = { cpus: 2, memBytes: 64 * 2 ** 20 };

for (const w of WORKLOADS) {
  for (const rcu of ["tree", "tiny"] as const) {
    Deno.test(`${w.name}: everything given is freed at every level that does not lose it, and nothing is reported [rcu=${rcu}]`, () => {
      for (const level of LEVELS) {
        const run = runAt(w, level, rcu === "tiny" ? { rcu, memBytes: 64 * 2 ** 20 } : small);
        const losing = w.name === "selftest" && rcu === "tiny" && ["6/7", "7/7"].includes(level); // B31
        const leaving = w.name === "early" && rcu === "tree" && level !== "v5.11" &&
          LEVELS.indexOf(level) < LEVELS.indexOf("v5.14"); // B11
        assertEquals([run.refused, run.reports, run.leaked], [null, 0, 0], level);
        assert(run.counts.given > 0, level);
        assertEquals(run.pending > 0, losing || leaving, `${level}: ${run.pending} left`);
      }
    });
  }
}

Deno.test("ext4: the headless form needs no grace period of its own from 7/7 on, and 5 s from v6.1 on", () => {
  const at = (level: Level): TallyCounts => runAt(workload("ext4"), level, small).counts;
  assertEquals([at("6/7").monitorRuns, at("6/7").bulk], [0, []]);
  assert(at("7/7").monitorRuns > 1 && at("7/7").reclaimNs < 1e9);
  assertEquals([at("v6.1").monitorRuns, at("v6.1").bulk], [1, [20]]);
  assert(at("v6.1").reclaimNs >= 5e9);
});

Deno.test("flood: blocks hold 509 pointers at the base and 510 from 1/7 on", () => {
  const most = (level: Level): number => Math.max(...runAt(workload("flood"), level, small).counts.bulk);
  assertEquals([most("base"), most("1/7"), most("7/7"), most("v5.9")], [509, 510, 510, 510]);
});

Deno.test("pressure: without a page everything is on the list, and 3/7 to 7/7 do not wait 20 ms for it", () => {
  const at = (level: Level): TallyCounts => runAt(workload("pressure"), level, small).counts;
  assertEquals([at("2/7").bulk, at("3/7").bulk], [[], []]);
  assert(at("2/7").reclaimNs - at("3/7").reclaimNs >= 16e6, "five jiffies later, give or take one");
});

Deno.test("an example that a level does not offer is refused with the levels that do, and counts nothing", async () => {
  const { default: scenario } = await import("../../examples/hello_kvfree_rcu.ts");
  const hello = { name: "hello_kvfree_rcu", summary: scenario.summary, scenario };
  assertEquals(
    runAt(hello, "6/7", small).refused,
    "hello_kvfree_rcu needs what level 6/7 does not offer: kvfree_rcu(ptr) is there from 7/7 to v6.3",
  );
  assertEquals(runAt(hello, "7/7", small).refused, null);
});

Deno.test("two kernels at different levels in one process do not touch each other", () => {
  const pairs: readonly [Level, Level][] = [["base", "7/7"], ["4/7", "v5.9"], ["v6.1", "v6.3"], [
    "7/7",
    "v6.12",
  ]];
  const start = (level: Level): Run =>
    new Run(boot({ ...small, level }), floodScenario, { loops: "1", objects: "700", vmalloc: "7" });
  for (const levels of pairs) {
    const alone = levels.map((level) => {
      const run = start(level);
      run.advance();
      return run.verdict().hash;
    });
    const runs = levels.map(start);
    while (runs.some((run) => !run.finished)) for (const run of runs) run.advance(37);
    assertEquals(runs.map((run) => run.verdict().hash), alone, levels.join(" and "));
    assert(alone[0] !== alone[1], levels.join(" and "));
  }
});

Deno.test("the shell knows the workloads by name", () => {
  assertEquals(WORKLOADS.map(({ name }) => name), WORKLOAD_NAMES);
});

Deno.test("bulkText() joins equal sizes", () => {
  assertEquals([bulkText([]), bulkText([3]), bulkText([410, 510, 510, 7])], ["", "3", "410+510*2+7"]);
});
