// SPDX-License-Identifier: GPL-2.0-only
/**
 * kvfree_rcu() of the levels from v6.3-rc1 on, on tree RCU with its real grace periods: every object of a flood is freed once,
 * after its readers, and nothing but spare pages stays; and T31, what a reader still holds.
 */
import { assertEquals } from "@std/assert";
import type { VirtAddr } from "../../../kernel/machine/brand.ts";
import type { MaySleep } from "../../../kernel/machine/effects.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import type { RunLimits } from "../../../explore/run.ts";
import {
  type Level,
  POLICY_FINE,
  POLICY_TIME,
  rcu_read_lock,
  rcu_read_unlock,
  Run,
  udelay,
  vmalloc,
} from "../../../mod.ts";
import { newObject, sleepJiffies, startOn } from "../kvfree_machine.ts";
import { bootTree } from "../tree_machine.ts";
import { flood } from "./flood.ts";
import { levels, queue1 } from "./levels.ts";

/** A run without end is cut off here. */
const LIMITS: RunLimits = { ns: 60e9, points: 50_000_000 };

for (const level of levels("v6.3-rc1")) {
  for (const policy of [POLICY_TIME, POLICY_FINE]) {
    Deno.test(`a flood on tree RCU is freed, once and not too early [level=${level} policy=${policy.name} seeds=2]`, () => {
      // B9 needs a grace period that is much shorter than the monitor's delay and yet not over: not in this flood.
      for (let seed = 1; seed <= 2; seed++) assertEquals([...flood(level, seed, policy)], [], `seed ${seed}`);
    });
  }
}

/** T31 with real grace periods: what the monitors say of pointers that a reader may still hold. */
function heldByReader(level: Level): string[] {
  const k = bootTree({ level });
  const ms = 1000;
  const main = function* (k: Kernel): MaySleep<void> {
    const slab: VirtAddr[] = [];
    const areas: VirtAddr[] = [];
    for (let i = 0; i < 520; i++) {
      slab.push(yield* newObject(k));
      areas.push(yield* vmalloc(k, 64));
    }
    // Holds up the grace period of what is queued first.
    yield* startOn(k, 1, (k) => longReader(k, 100 * ms));
    yield* udelay(k, ms);
    for (const p of slab) yield* queue1(k, p);
    yield* sleepJiffies(k, 8);
    // Begins after that grace period, and is open when the rest is queued.
    yield* startOn(k, 2, (k) => longReader(k, 200 * ms));
    yield* udelay(k, ms);
    for (const p of areas) yield* queue1(k, p);
  };
  const run = new Run(
    k,
    { name: "t31", summary: "", options: [], main: (k) => startOn(k, 0, main) },
    {},
    LIMITS,
    "all",
  );
  run.advance();
  const { ending, violations } = run.verdict();
  assertEquals([ending, k.reports.map((r) => r.title)], ["completed", []]);
  return [...new Set(violations.map(({ property }) => property))];
}

function* longReader(k: Kernel, us: number): MaySleep<void> {
  yield* rcu_read_lock(k);
  yield* udelay(k, us);
  yield* rcu_read_unlock(k);
}

Deno.test("T106 on tree RCU: only v6.3-rc1 frees what a reader may hold (B9) [cpus=4]", () => {
  assertEquals(heldByReader("v6.3-rc1"), ["KV1"]);
  for (const level of levels("v6.3")) assertEquals(heldByReader(level), [], level);
});
