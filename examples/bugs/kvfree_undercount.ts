// SPDX-License-Identifier: GPL-2.0-only
/**
 * B10: what waits is not counted.
 *
 * A cache is emptied in three rounds under a slow reader; with the third goes its table, which is vmalloc memory. Then
 * reclaim asks kvfree_rcu()'s shrinker how much there is to free. The first two rounds wait for the reader by then, and of
 * the third only the table finds room beside them.
 */

import {
  array,
  embed,
  GFP_KERNEL,
  type Kernel,
  kmalloc,
  kvfree_rcu,
  levelAtLeast,
  type MaySleep,
  msleep,
  type OptionValues,
  type Ptr,
  rcu_head,
  rcu_read_lock,
  rcu_read_unlock,
  type Scenario,
  struct,
  udelay,
  ulong,
  type VirtAddr,
  vmalloc,
  wait_for_completion,
} from "../../mod.ts";
import { type Bug, levelsFromTo } from "./bug.ts";
import { expect } from "./expect.ts";
import { collectedOn, shrinkCount } from "./measure.ts";
import { startOn } from "./start_on.ts";

const entry = struct("entry", { rcu: embed(rcu_head), key: ulong });
const table = struct("table", { rcu: embed(rcu_head), entries: array(ulong, 1000) });
const ROUNDS = 3;

function* reader(k: Kernel): MaySleep<void> {
  yield* rcu_read_lock(k);
  yield* udelay(k, 250_000);
  yield* rcu_read_unlock(k);
}

function* free(k: Kernel, p: VirtAddr): MaySleep<void> {
  yield* kvfree_rcu(k, p as Ptr<typeof entry>, entry, "rcu");
}

/** Frees the cache in rounds; what `entries` holds are its entries, in order. */
function* emptyCache(k: Kernel, entries: readonly VirtAddr[], t: VirtAddr, last: VirtAddr): MaySleep<void> {
  const perRound = entries.length / ROUNDS;
  yield* msleep(k, 8);
  for (const [i, e] of entries.entries()) {
    yield* free(k, e);
    if (i === entries.length - 1) yield* kvfree_rcu(k, t as Ptr<typeof table>, table, "rcu");
    if ((i + 1) % perRound === 0) yield* msleep(k, 40);
  }
  const waiting = collectedOn(k, k.cpu.id);
  const said = Math.max(0, yield* shrinkCount(k)); // SHRINK_EMPTY is below 0
  expect(
    k,
    said >= waiting,
    "B10",
    `the shrinker counts ${said}, but ${waiting} objects of this CPU wait for a batch`,
  );
  yield* msleep(k, 400);
  yield* free(k, last); // and whatever was forgotten goes with it
}

export const undercountScenario: Scenario = {
  name: "kvfree_undercount",
  summary: "a cache is emptied under a slow reader, then reclaim asks how much kvfree_rcu() holds",
  options: [
    {
      name: "entries",
      kind: "int",
      min: 1,
      max: 2000,
      default: "100",
      help: "entries freed in each of three rounds",
    },
  ],
  *main(k: Kernel, options: OptionValues): MaySleep<void> {
    const entries: VirtAddr[] = [];
    for (let i = 0; i < ROUNDS * Number(options.entries); i++) {
      entries.push(yield* kmalloc(k, entry.size, GFP_KERNEL));
    }
    const [t, last] = [yield* vmalloc(k, table.size), yield* kmalloc(k, entry.size, GFP_KERNEL)];
    // The first block of a CPU may have to wait for its page: not those of the rounds.
    const warm = yield* kmalloc(k, entry.size, GFP_KERNEL);
    yield* wait_for_completion(k, yield* startOn(k, 0, "warm-up", (k) => free(k, warm)));
    yield* msleep(k, 100);
    const done = [
      yield* startOn(k, 1, "reader", reader),
      yield* startOn(k, 0, "cleaner", (k) => emptyCache(k, entries, t, last)),
    ];
    for (const c of done) yield* wait_for_completion(k, c);
  },
};

export default undercountScenario;

export const bug: Bug = {
  id: "B10",
  title: "kvfree_rcu()'s count is 0 while objects wait, so its shrinker has nothing to offer",
  why: [
    "Both batches hold slab pointers, of the third round only the table can be handed over, and the one counter for all " +
    "channels is set to 0 all the same.",
    "Whoever is short of memory then hears from the shrinker that there is nothing to free, and from v6.1 on a flood is " +
    "noticed too late.",
  ],
  history:
    "up to v6.2; ended by 4c33464ae85e (a counter for each channel, v6.3-rc1), and in v6.1.192 by the way: there " +
    "a batch takes all or nothing (5da7cb193db3)",
  levels: levelsFromTo("base", "v6.1"),
  gone: "v6.1.192",
  shownAt: "7/7",
  demo: {
    scenario: undercountScenario,
    file: "examples/bugs/kvfree_undercount.ts",
    machine: () => ({ cpus: 2, memBytes: 64 * 2 ** 20 }),
    timeline: false,
    // From v6.1 on the monitor comes within 40 ms only for 510 objects.
    options: (level) => levelAtLeast(level, "v6.1") ? { entries: "510" } : {},
  },
};
