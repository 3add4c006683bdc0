// SPDX-License-Identifier: GPL-2.0-only
/**
 * A flood of kvfree_rcu() on tree RCU with its real grace periods: 5,000 slab and 1,000 vmalloc objects from 4 CPUs beside
 * readers, watched by all monitors; from v6.12 on one CPU waits for all of it halfway.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import type { VirtAddr } from "../../../kernel/machine/brand.ts";
import type { MaySleep } from "../../../kernel/machine/effects.ts";
import { addFailRule } from "../../../kernel/fault_inject.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { memoryVerdict } from "../../../mm/live.ts";
import { Run, type RunLimits } from "../../../explore/run.ts";
import {
  type Config,
  kvfree_rcu_barrier,
  type Level,
  levelAtLeast,
  rcu_read_lock,
  rcu_read_unlock,
  udelay,
  vmalloc,
} from "../../../mod.ts";
import { newObject, queue2, sleepJiffies, startOn } from "../kvfree_machine.ts";
import { bootTree } from "../tree_machine.ts";
import { queue1 } from "./levels.ts";

/** A run without end is cut off here. */
const LIMITS: RunLimits = { ns: 60e9, points: 50_000_000 };
const SLAB = 1250; // a CPU
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
    if (i === 600 && cpu === 2 && levelAtLeast(k.config.level, "v6.12")) yield* kvfree_rcu_barrier(k);
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

/** Pages fail every now and then: such objects go on the list, or wait in the call. */
function failSomePages(k: Kernel): void {
  for (
    const site of ["kvfree_call_rcu_add_ptr_to_bulk", "add_ptr_to_bulk_krc_lock", "fill_page_cache_func"]
  ) {
    for (let nth = 3; nth < 40; nth += 5) addFailRule(k, { what: "page", site, nth });
  }
}

/** Runs a flood, with failing pages if the seed is even. Returns what went wrong, each with a word on it: properties first. */
export function flood(level: Level, seed: number, policy: Config["policy"]): Map<string, string> {
  const k = bootTree({ level, seed, policy });
  const all: VirtAddr[] = [];
  const main = function* (k: Kernel): MaySleep<void> {
    if (seed % 2 === 0) failSomePages(k);
    for (let cpu = 0; cpu < 4; cpu++) {
      yield* startOn(k, cpu, (k) => load(k, cpu, all));
      yield* startOn(k, cpu, reader);
    }
  };
  const run = new Run(k, { name: "flood", summary: "", options: [], main }, {}, LIMITS, "all");
  run.advance();
  const { ending, violations } = run.verdict();
  const wrong = new Map<string, string>(violations.map(({ property, text }) => [property, text]));
  if (ending !== "completed") wrong.set(ending, "the run's end");
  for (const { title } of k.reports) wrong.set(title, "a report");
  const { live, pending, leaked } = memoryVerdict(k, run.startSeq);
  if (live.length + pending.length + leaked.length > 0) {
    wrong.set("memory stays", `${live.length} live, ${pending.length} pending, ${leaked.length} leaked`);
  }
  assertEquals(all.length, 4 * (SLAB + SLAB / EVERY));
  return wrong;
}
