// SPDX-License-Identifier: GPL-2.0-only
/**
 * B9: the grace period of one batch frees an object of the next one.
 *
 * A router has a table (vmalloc'ed) and settings (a slab object). A writer replaces both, the table first, and gives the
 * old ones to kvfree_rcu(). Two readers on other CPUs look into both. Nothing here is wrong, and on most schedules nothing
 * goes wrong: the defect is in kvfree_rcu(), and needs one reader that is slow while the first batch waits and another
 * that is slow while the first one leaves.
 */

import {
  embed,
  GFP_KERNEL,
  type Kernel,
  kmalloc,
  kvfree_rcu,
  type MaySleep,
  msleep,
  type Ptr,
  rcu_assign_pointer,
  rcu_dereference,
  rcu_head,
  rcu_read_lock,
  rcu_read_unlock,
  type Scenario,
  struct,
  ulong,
  type VirtAddr,
  vmalloc,
  wait_for_completion,
} from "../../mod.ts";
import { startOn } from "./start_on.ts";

const settings = struct("settings", { hops: ulong, rcu: embed(rcu_head) });
const TABLE_BYTES = 8192;

/** The two pointers that readers follow. */
interface Router {
  readonly settings: Ptr<Ptr<typeof settings>>;
  readonly table: Ptr<Ptr<VirtAddr>>;
}

function* newSettings(k: Kernel, hops: number): MaySleep<Ptr<typeof settings>> {
  const p = (yield* kmalloc(k, settings.size, GFP_KERNEL)) as VirtAddr as Ptr<typeof settings>;
  settings.f.hops.set(k, p, hops);
  return p;
}

function* newTable(k: Kernel): MaySleep<VirtAddr> {
  const table = yield* vmalloc(k, TABLE_BYTES);
  k.ram.storePtr(table, table);
  return table;
}

/** Looks at the settings and the table, again and again, a tick apart. */
function* lookup(k: Kernel, router: Router, rounds: number): MaySleep<void> {
  for (let i = 0; i < rounds; i++) {
    yield* rcu_read_lock(k);
    const s = yield* rcu_dereference(k, router.settings);
    const table = yield* rcu_dereference(k, router.table);
    k.ram.loadPtr(table);
    settings.f.hops.get(k, s);
    yield* rcu_read_unlock(k);
    yield* msleep(k, 1);
  }
}

/** Replaces the table, and 40 ms later the settings. */
function* configure(k: Kernel, router: Router): MaySleep<void> {
  const oldTable = k.ram.loadPtr(router.table);
  yield* rcu_assign_pointer(k, router.table, (yield* newTable(k)) as Ptr<VirtAddr>);
  yield* kvfree_rcu(k, oldTable);
  yield* msleep(k, 40);
  const oldSettings = k.ram.loadPtr(router.settings) as Ptr<typeof settings>;
  yield* rcu_assign_pointer(k, router.settings, yield* newSettings(k, 2));
  yield* kvfree_rcu(k, oldSettings, settings, "rcu");
}

export const earlyScenario: Scenario = {
  name: "kvfree_early",
  summary: "a writer replaces a table and settings under two readers; kvfree_rcu() frees both",
  options: [],
  *main(k: Kernel): MaySleep<void> {
    const router: Router = {
      settings: k.dataAlloc(8) as VirtAddr as Router["settings"],
      table: k.dataAlloc(8) as VirtAddr as Router["table"],
    };
    k.ram.storePtr(router.settings, yield* newSettings(k, 1));
    k.ram.storePtr(router.table, yield* newTable(k));
    const done = [
      yield* startOn(k, 1, "reader/1", (k) => lookup(k, router, 20)),
      yield* startOn(k, 2, "reader/2", (k) => lookup(k, router, 20)),
      yield* startOn(k, 0, "writer", (k) => configure(k, router)),
    ];
    for (const c of done) yield* wait_for_completion(k, c);
  },
};

export default earlyScenario;
