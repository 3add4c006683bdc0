// SPDX-License-Identifier: GPL-2.0-only
/**
 * B9: the grace period of one batch frees an object of the next one.
 *
 * A router has a table (vmalloc'ed) and settings (a slab object). A writer replaces both, the table first, and gives the
 * old ones to kvfree_rcu(). Two readers on other CPUs look into both. Nothing here is wrong, and on most schedules nothing
 * goes wrong: the defect is in kvfree_rcu(), and needs one reader that is slow while the first batch waits and another
 * that is slow while the first one leaves.
 *
 * From v6.1 on a handful of objects waits for five seconds before its grace period begins, more than 509 for a tick:
 * `--crowd` replaces so many further tables and settings with them, which no reader looks at.
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
  ptr,
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
import { POINT_READ } from "../../kernel/machine/points.ts";
import { type Bug, levelsFromTo, LONG, type Stall } from "./bug.ts";
import { startOn } from "./start_on.ts";

const settings = struct("settings", { hops: ulong, rcu: embed(rcu_head) });
const table = struct("table", { rcu: embed(rcu_head), first: ulong, others: array(ulong, 1000) });
type Settings = Ptr<typeof settings>;
type Table = Ptr<typeof table>;

/** The two pointers that readers follow, and what else there is to replace. */
interface Router {
  readonly settings: Ptr<Settings>;
  readonly table: Ptr<Table>;
  /** `crowd` pointers to other settings, and then as many to other tables. */
  readonly others: VirtAddr;
  readonly crowd: number;
}

function* newSettings(k: Kernel, hops: number): MaySleep<Settings> {
  const s = (yield* kmalloc(k, settings.size, GFP_KERNEL)) as Settings;
  settings.f.hops.set(k, s, hops);
  return s;
}

function* newTable(k: Kernel): MaySleep<Table> {
  const t = (yield* vmalloc(k, table.size)) as Table;
  table.f.first.set(k, t, 1);
  return t;
}

function otherSlot(router: Router, i: number): VirtAddr {
  return (router.others + ptr.size * i) as VirtAddr;
}

/** Looks at the settings and the table, again and again, a tick apart. */
function* lookup(k: Kernel, router: Router, rounds: number): MaySleep<void> {
  for (let i = 0; i < rounds; i++) {
    yield* rcu_read_lock(k);
    const s = yield* rcu_dereference(k, router.settings);
    const t = yield* rcu_dereference(k, router.table);
    table.f.first.get(k, t);
    settings.f.hops.get(k, s);
    yield* rcu_read_unlock(k);
    yield* msleep(k, 1);
  }
}

/** Replaces the table, and 40 ms later the settings. */
function* configure(k: Kernel, router: Router): MaySleep<void> {
  const { crowd } = router;
  const oldTable = k.ram.loadPtr(router.table) as Table;
  yield* rcu_assign_pointer(k, router.table, yield* newTable(k));
  yield* kvfree_rcu(k, oldTable, table, "rcu");
  for (let i = 0; i < crowd; i++) {
    yield* kvfree_rcu(k, k.ram.loadPtr(otherSlot(router, crowd + i)) as Table, table, "rcu");
  }
  yield* msleep(k, 40);
  const oldSettings = k.ram.loadPtr(router.settings) as Settings;
  yield* rcu_assign_pointer(k, router.settings, yield* newSettings(k, 2));
  yield* kvfree_rcu(k, oldSettings, settings, "rcu");
  for (let i = 0; i < crowd; i++) {
    yield* kvfree_rcu(k, k.ram.loadPtr(otherSlot(router, i)) as Settings, settings, "rcu");
  }
}

export const earlyScenario: Scenario = {
  name: "kvfree_early",
  summary: "a writer replaces a table and settings under two readers; kvfree_rcu() frees both",
  options: [{
    name: "crowd",
    kind: "int",
    min: 0,
    max: 1000,
    default: "0",
    help: "further tables and settings that are replaced with them",
  }],
  *main(k: Kernel, options: OptionValues): MaySleep<void> {
    const crowd = Number(options.crowd);
    const router: Router = {
      settings: k.dataAlloc(8) as VirtAddr as Router["settings"],
      table: k.dataAlloc(8) as VirtAddr as Router["table"],
      others: k.dataAlloc(2 * ptr.size * crowd),
      crowd,
    };
    k.ram.storePtr(router.settings, yield* newSettings(k, 1));
    k.ram.storePtr(router.table, yield* newTable(k));
    for (let i = 0; i < crowd; i++) k.ram.storePtr(otherSlot(router, i), yield* newSettings(k, i));
    for (let i = 0; i < crowd; i++) k.ram.storePtr(otherSlot(router, crowd + i), yield* newTable(k));
    const done = [
      yield* startOn(k, 1, "reader/1", (k) => lookup(k, router, 20)),
      yield* startOn(k, 2, "reader/2", (k) => lookup(k, router, 20)),
      yield* startOn(k, 0, "writer", (k) => configure(k, router)),
    ];
    for (const c of done) yield* wait_for_completion(k, c);
  },
};

export default earlyScenario;

function lookupStall(thread: string, nth: number): Stall {
  return { thread, kind: POINT_READ, object: "rcu_dereference", nth, stall: LONG };
}

export const bug: Bug = {
  id: "B9",
  title: "kvfree_rcu() frees an object under its reader: the grace period was an older one's",
  why: [
    "The monitor puts the settings into a slot whose table still waits for a grace period, because the slot's slab " +
    "channel is empty; queue_rcu_work() then finds that work pending, returns false, and nobody looks.",
    "So the settings go with the table's grace period, which began before reader/2 fetched its pointer and waits " +
    "only for reader/1.",
  ],
  history:
    'from v5.7 (34c881745549) through the series to v6.2; ended by 5da7cb193db3, "Avoid freeing new kfree_rcu() ' +
    'memory after old grace period" (v6.3, and the stable series of v6.1)',
  levels: [...levelsFromTo("base", "v6.1"), "v6.3-rc1"],
  gone: "v6.1.192",
  shownAt: "7/7",
  demo: {
    scenario: earlyScenario,
    file: "examples/bugs/kvfree_early.ts",
    machine: () => ({ cpus: 4, kasan: true }),
    options: (level) => levelAtLeast(level, "v6.1") ? { crowd: "510" } : {},
    // A crowd takes time: the settings are replaced just before reader/2's fifth lookup, not after it.
    stalls: (level) => [
      lookupStall("reader/1", 4),
      lookupStall("reader/2", levelAtLeast(level, "v6.1") ? 8 : 10),
    ],
  },
};
