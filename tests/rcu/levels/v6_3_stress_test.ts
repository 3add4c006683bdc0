// SPDX-License-Identifier: GPL-2.0-only
/**
 * kvfree_rcu() of the levels from v6.3-rc1 on, on tree RCU with its real grace periods: 5,000 slab and 1,000 vmalloc objects
 * from 4 CPUs beside readers, watched by all monitors. Every object is freed once, after its readers, and nothing but spare
 * pages stays.
 */
import { assertEquals } from "@std/assert";
import type { VirtAddr } from "../../../kernel/machine/brand.ts";
import type { MaySleep } from "../../../kernel/machine/effects.ts";
import { memoryVerdict } from "../../../mm/live.ts";
import type { RunLimits } from "../../../explore/run.ts";
import {
  addFailRule,
  type Config,
  kvfree_rcu_barrier,
  type Level,
  POLICY_FINE,
  POLICY_TIME,
  rcu_read_lock,
  rcu_read_unlock,
  Run,
  udelay,
  vmalloc,
} from "../../../mod.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { newObject, queue2, sleepJiffies, startOn } from "../kvfree_machine.ts";
import { bootTree } from "../tree_machine.ts";
import { levels, queue1 } from "./levels.ts";

/** A run without end is cut off here. */
const LIMITS: RunLimits = { ns: 60e9, points: 50_000_000 };
const SLAB = 1250;
const EVERY = 5; // one vmalloc object for so many slab objects

/** One CPU's share, with pauses that let batches come between. */
function* load(k: Kernel, cpu: number, all: VirtAddr[]): MaySleep<void> {
  for (let i = 0; i < SLAB; i++) {
    const p = yield* newObject(k);
    all.push(p);
    if ((i + cpu) % 3 === 0) yield* queue1(k, p);
    else yield* queue2(k, p);
    if (i % EVERY === 0) {
      const area = yield* vmalloc(k, 64);
      all.push(area);
      yield* i % 2 === 0 ? queue1(k, area) : queue2(k, area);
    }
    if (i % 97 === cpu) yield* sleepJiffies(k, 1 + i % 7);
    if (i === 600 && cpu === 2 && k.config.level === "v6.12") yield* kvfree_rcu_barrier(k);
  }
}

function* reader(k: Kernel): MaySleep<void> {
  for (let i = 0; i < 40; i++) {
    yield* rcu_read_lock(k);
    yield* udelay(k, 3000);
    yield* rcu_read_unlock(k);
    yield* sleepJiffies(k, 1);
  }
}

/** What went wrong. */
function flood(level: Level, seed: number, policy: Config["policy"]): string[] {
  const k = bootTree({ level, seed, policy });
  const all: VirtAddr[] = [];
  const main = function* (k: Kernel): MaySleep<void> {
    // Pages fail every now and then: such objects go on the list, or wait in the call.
    if (seed % 2 === 0) {
      for (let nth = 3; nth < 40; nth += 5) {
        addFailRule(k, { what: "page", site: "add_ptr_to_bulk_krc_lock", nth });
        addFailRule(k, { what: "page", site: "fill_page_cache_func", nth });
      }
    }
    for (let cpu = 0; cpu < 4; cpu++) {
      yield* startOn(k, cpu, (k) => load(k, cpu, all));
      yield* startOn(k, cpu, reader);
    }
  };
  const run = new Run(
    k,
    { name: "load", summary: "", options: [], main },
    {},
    LIMITS,
    "all",
  );
  run.advance();
  const { ending, violations } = run.verdict();
  const wrong = violations.map(({ property, text }) => `${property}: ${text}`);
  if (ending !== "completed") wrong.push(ending);
  for (const { title } of k.reports) wrong.push(title);
  const { live, pending, leaked } = memoryVerdict(k, run.startSeq);
  if (live.length + pending.length + leaked.length > 0) wrong.push("memory stays");
  assertEquals(all.length, 4 * (SLAB + SLAB / EVERY));
  return wrong;
}

for (const level of levels("v6.3-rc1")) {
  for (const policy of [POLICY_TIME, POLICY_FINE]) {
    Deno.test(`a flood on tree RCU is freed, once and not too early [level=${level} policy=${policy.name} seeds=2]`, () => {
      // B9 needs a grace period that is much shorter than the monitor's delay and yet not over: not in this flood.
      for (let seed = 1; seed <= 2; seed++) assertEquals(flood(level, seed, policy), [], `seed ${seed}`);
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
