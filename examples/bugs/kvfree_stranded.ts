// SPDX-License-Identifier: GPL-2.0-only
/**
 * B8: objects stay in kvfree_rcu()'s hands for ever.
 *
 * A writer replaces five small objects three times, 28 ms apart, and with the third round a large table; all old ones go
 * to kvfree_rcu(). A reader on another CPU looks into them. On most schedules everything is freed. It needs a reader that
 * is slow while two batches wait: then the table of the third round leaves without the small objects beside it.
 */

import {
  array,
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
  trace_mark,
  ulong,
  type VirtAddr,
  vmalloc,
  wait_for_completion,
} from "../../mod.ts";
import { POINT_READ } from "../../kernel/machine/points.ts";
import { type Bug, levelsFromTo, LONG } from "./bug.ts";
import { startOn } from "./start_on.ts";

const item = struct("item", { value: ulong, rcu: embed(rcu_head) });
const ITEMS = 5;
const table = struct("table", { rcu: embed(rcu_head), entries: array(ulong, 1000) });
type Table = Ptr<typeof table>;
const ROUNDS = 3;

/** What readers follow: pointers to items, and behind them the one to the table. */
type Slots = VirtAddr;

function itemSlot(slots: Slots, i: number): Ptr<Ptr<typeof item>> {
  return (slots + 8 * i) as VirtAddr as Ptr<Ptr<typeof item>>;
}

function* newItem(k: Kernel, value: number): MaySleep<Ptr<typeof item>> {
  const p = (yield* kmalloc(k, item.size, GFP_KERNEL)) as VirtAddr as Ptr<typeof item>;
  item.f.value.set(k, p, value);
  return p;
}

/** Looks at one item after the other, two ticks apart. */
function* lookup(k: Kernel, slots: Slots, rounds: number): MaySleep<void> {
  for (let i = 0; i < rounds; i++) {
    yield* rcu_read_lock(k);
    item.f.value.get(k, yield* rcu_dereference(k, itemSlot(slots, i % ITEMS)));
    yield* rcu_read_unlock(k);
    yield* msleep(k, 1);
  }
}

/** Replaces all items; the old ones go to kvfree_rcu(). */
function* replaceItems(k: Kernel, slots: Slots, value: number): MaySleep<void> {
  for (let i = 0; i < ITEMS; i++) {
    const old = k.ram.loadPtr(itemSlot(slots, i)) as Ptr<typeof item>;
    yield* rcu_assign_pointer(k, itemSlot(slots, i), yield* newItem(k, value));
    yield* kvfree_rcu(k, old, item, "rcu");
  }
}

function* writer(k: Kernel, slots: Slots): MaySleep<void> {
  const tableSlot = (slots + 8 * ITEMS) as VirtAddr as Ptr<Table>;
  for (let round = 1; round < ROUNDS; round++) {
    yield* replaceItems(k, slots, round);
    yield* msleep(k, 24);
  }
  yield* replaceItems(k, slots, ROUNDS);
  const oldTable = k.ram.loadPtr(tableSlot) as Table;
  yield* rcu_assign_pointer(k, tableSlot, (yield* vmalloc(k, table.size)) as Table);
  yield* kvfree_rcu(k, oldTable, table, "rcu");
  yield* msleep(k, 7000);
  trace_mark(k, "seven seconds later");
}

export const strandedScenario: Scenario = {
  name: "kvfree_stranded",
  summary: "a writer replaces small objects and a table under a reader; kvfree_rcu() frees all of them",
  options: [],
  *main(k: Kernel): MaySleep<void> {
    const slots = k.dataAlloc(8 * (ITEMS + 1));
    for (let i = 0; i < ITEMS; i++) k.ram.storePtr(itemSlot(slots, i), yield* newItem(k, 0));
    k.ram.storePtr((slots + 8 * ITEMS) as VirtAddr, yield* vmalloc(k, table.size));
    const done = [
      yield* startOn(k, 1, "reader", (k) => lookup(k, slots, 20)),
      yield* startOn(k, 0, "writer", (k) => writer(k, slots)),
    ];
    for (const c of done) yield* wait_for_completion(k, c);
  },
};

export default strandedScenario;

export const bug: Bug = {
  id: "B8",
  title: "pointers stay in kvfree_rcu() for ever: no timer will come for them",
  why: [
    "Both batches that wait already hold slab pointers, so of the third round the monitor can hand over only the " +
    "vmalloc'ed table; queue_kfree_rcu_work() calls that success for the whole.",
    "kfree_rcu_drain_unlock() then takes everything to be on its way and does not start the timer again, so the " +
    "five slab pointers wait for somebody to call kvfree_rcu() on this CPU.",
  ],
  history:
    'in the series and up to v5.8; ended by 594aa5975b9b, "Repeat the monitor if any free channel is busy" (v5.9)',
  levels: levelsFromTo("base", "7/7"),
  gone: "v5.9",
  shownAt: "7/7",
  demo: {
    scenario: strandedScenario,
    file: "examples/bugs/kvfree_stranded.ts",
    machine: () => ({ cpus: 4, kasan: true }),
    stalls: () => [{ thread: "reader", kind: POINT_READ, object: "rcu_dereference", nth: 4, stall: LONG }],
    look: ["krc"],
  },
};
