// SPDX-License-Identifier: GPL-2.0-only
/**
 * B27: a module is gone, and objects that it gave to kvfree_rcu() are not.
 *
 * A protocol module has sessions. It is unloaded: its exit function gives them all to kvfree_rcu() and waits, with the
 * best barrier that the level has, so that nothing of it is left when its text goes. Nothing checks that, so the program
 * does: it looks for sessions in kvfree_rcu()'s hands when delete_module() has returned.
 */

import {
  embed,
  GFP_KERNEL,
  type Kernel,
  kmalloc,
  kvfree_rcu,
  kvfree_rcu_barrier,
  type MaySleep,
  offeredAt,
  type Ptr,
  rcu_barrier,
  rcu_head,
  type Scenario,
  struct,
  ulong,
  type VirtAddr,
} from "../../mod.ts";
import { delete_module, load_module } from "../../kernel/module.ts";
import { type Bug, levelsFromTo } from "./bug.ts";
import { expect } from "./expect.ts";

const session = struct("session", { id: ulong, rcu: embed(rcu_head) });
const SESSIONS = 30;

/** The module's variables. */
interface Toyproto {
  readonly sessions: Ptr<typeof session>[];
}

function* toyproto_init(k: Kernel, { sessions }: Toyproto): MaySleep<number> {
  for (let i = 0; i < SESSIONS; i++) {
    const s = (yield* kmalloc(k, session.size, GFP_KERNEL)) as VirtAddr as Ptr<typeof session>;
    session.f.id.set(k, s, i);
    sessions.push(s);
  }
  return 0;
}

function* toyproto_exit(k: Kernel, { sessions }: Toyproto): MaySleep<void> {
  for (const s of sessions) yield* kvfree_rcu(k, s, session, "rcu");
  if (offeredAt(k.config.level, "kvfree_rcu_barrier()")) yield* kvfree_rcu_barrier(k);
  else yield* rcu_barrier(k);
}

export const unloadScenario: Scenario = {
  name: "kvfree_unload",
  summary: `a module with ${SESSIONS} sessions is loaded and unloaded; what of it is left?`,
  options: [],
  *main(k: Kernel): MaySleep<void> {
    const toyproto: Toyproto = { sessions: [] };
    yield* load_module(k, {
      name: "toyproto",
      init: (k) => toyproto_init(k, toyproto),
      exit: (k) => toyproto_exit(k, toyproto),
    });
    yield* delete_module(k, "toyproto");
    const pending = new Set<number>(k.kvfree.pendingAddresses(k));
    const left = toyproto.sessions.filter((s) => pending.has(s)).length;
    expect(
      k,
      left === 0,
      "BUG: objects outlive their module",
      `toyproto is unloaded, and ${left} of its ${SESSIONS} sessions wait to be freed`,
    );
  },
};

export default unloadScenario;

export const bug: Bug = {
  id: "B27",
  title: "a module is unloaded after rcu_barrier(), and what it gave to kvfree_rcu() is still there",
  why: [
    "It was meant so: kvfree_rcu() calls no function of the module, so its text may go, and rcu_barrier() need not wait " +
    "for the next batch.",
    "But whatever else goes with the module, such as a slab cache (B20), goes under the objects, and before " +
    "kvfree_rcu_barrier() of v6.12 there was nothing to wait for them by.",
  ],
  history: "by design from v5.6 (a35d16905efc says so) to v6.11; 2b55d6a42d14 gave the means to wait (v6.12)",
  levels: levelsFromTo("base", "v6.5"),
  gone: "v6.12",
  shownAt: "7/7",
  demo: {
    scenario: unloadScenario,
    file: "examples/bugs/kvfree_unload.ts",
    machine: () => ({ cpus: 2 }),
  },
};
