// SPDX-License-Identifier: GPL-2.0-only
/**
 * B29: kmemleak takes what waits in kvfree_rcu() for leaks.
 *
 * A driver replaces its settings, twice, and gives the old ones to kvfree_rcu(); the second time a reader is slow, and
 * they wait for it for some seconds. Meanwhile the administrator has kmemleak scan memory, twice: what changed since the
 * last scan is not suspected. Nothing is leaked: everything is freed when the reader is done.
 */

import {
  embed,
  GFP_KERNEL,
  type Kernel,
  kvfree_rcu,
  kzalloc,
  type MaySleep,
  msleep,
  type Ptr,
  rcu_assign_pointer,
  rcu_head,
  rcu_read_lock,
  rcu_read_unlock,
  type Scenario,
  struct,
  udelay,
  ulong,
  type VirtAddr,
  wait_for_completion,
} from "../../mod.ts";
import { kmemleak_write } from "../../mm/kmemleak.ts";
import { type Bug, levelsFromTo } from "./bug.ts";
import { startOn } from "./start_on.ts";

const settings = struct("settings", { mtu: ulong, rcu: embed(rcu_head) });
type Current = Ptr<Ptr<typeof settings>>;

/** Replaces the settings; the old ones go to kvfree_rcu(). */
function* configure(k: Kernel, current: Current, mtu: number): MaySleep<void> {
  const old = k.ram.loadPtr(current) as Ptr<typeof settings>;
  const s = (yield* kzalloc(k, settings.size, GFP_KERNEL)) as VirtAddr as Ptr<typeof settings>;
  settings.f.mtu.set(k, s, mtu);
  yield* rcu_assign_pointer(k, current, s);
  yield* kvfree_rcu(k, old, settings, "rcu");
}

/** Takes 9 s for a read. */
function* slowReader(k: Kernel): MaySleep<void> {
  yield* rcu_read_lock(k);
  for (let ms = 0; ms < 9000; ms++) yield* udelay(k, 1000);
  yield* rcu_read_unlock(k);
}

/** Replaces the settings when the level has pages at hand, and again when the reader reads. */
function* driver(k: Kernel): MaySleep<void> {
  const current = k.dataAlloc(8) as VirtAddr as Current;
  yield* configure(k, current, 1500);
  yield* configure(k, current, 1400); // sends for pages, from v5.11 on
  yield* msleep(k, 7000);
  const read = yield* startOn(k, 1, "reader", slowReader);
  yield* msleep(k, 10);
  yield* configure(k, current, 9000);
  yield* msleep(k, 5500);
  for (let i = 0; i < 2; i++) yield* kmemleak_write(k, "scan");
  yield* wait_for_completion(k, read);
}

export const kmemleakScenario: Scenario = {
  name: "kvfree_kmemleak",
  summary: "settings wait in kvfree_rcu() for a slow reader while kmemleak scans memory",
  options: [],
  *main(k: Kernel): MaySleep<void> {
    yield* wait_for_completion(k, yield* startOn(k, 0, "driver", driver)); // each CPU has pages of its own
  },
};

export default kmemleakScenario;

export const bug: Bug = {
  id: "B29",
  title: "kmemleak reports objects that wait in kvfree_rcu() as leaked",
  why: [
    "The only pointer to what waits stands in a block, and blocks are pages, of which kmemleak knows nothing: an object " +
    "of more than five seconds at which nothing else points is reported.",
    "It is a false alarm, which 5 s between batches (v6.1) made frequent, until kvfree_call_rcu() told kmemleak to " +
    "ignore what it takes.",
  ],
  history:
    'all versions with blocks up to v6.6; ended by 5f98fd034ca6, "Ignore kmemleak false positives when ' +
    'RCU-freeing objects" (v6.7, and stable series, of which the level v6.1.192 takes only the end of B9)',
  levels: levelsFromTo("base", "v6.5"),
  gone: "v6.12",
  shownAt: "7/7",
  demo: {
    scenario: kmemleakScenario,
    file: "examples/bugs/kvfree_kmemleak.ts",
    machine: () => ({ cpus: 2, kmemleak: true }),
  },
};
