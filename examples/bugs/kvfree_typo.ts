// SPDX-License-Identifier: GPL-2.0-only
/**
 * B19: an argument is forgotten, the compiler is content, and the call may sleep.
 *
 * A firewall has a list of rules under a spinlock. Deleting one unlinks it and gives it to kvfree_rcu(), under the lock:
 * allowed, for a rule has an rcu_head and so the call never sleeps. With `--arguments one` the second argument is
 * forgotten: another function altogether, which may sleep. Levels at which that does not compile do not run it.
 */

import {
  embed,
  GFP_KERNEL,
  type Kernel,
  kmalloc,
  kvfree_rcu,
  type MaySleep,
  NULL,
  type OptionValues,
  type Ptr,
  ptr,
  rcu_assign_pointer,
  rcu_head,
  type Scenario,
  spin_lock,
  spin_unlock,
  spinlock_t,
  struct,
  ulong,
  type VirtAddr,
} from "../../mod.ts";
import { type Bug, levelsFromTo } from "./bug.ts";

const rule = struct("rule", { next: ptr, port: ulong, rcu: embed(rcu_head) });

/** The list. */
interface Firewall {
  readonly lock: spinlock_t;
  readonly rules: Ptr<Ptr<typeof rule>>;
}

function* addRule(k: Kernel, fw: Firewall, port: number): MaySleep<void> {
  const r = (yield* kmalloc(k, rule.size, GFP_KERNEL)) as VirtAddr as Ptr<typeof rule>;
  yield* spin_lock(k, fw.lock);
  rule.f.port.set(k, r, port);
  rule.f.next.set(k, r, k.ram.loadPtr(fw.rules));
  yield* rcu_assign_pointer(k, fw.rules, r);
  spin_unlock(k, fw.lock);
}

function* deleteRules(k: Kernel, fw: Firewall, twoArguments: boolean): MaySleep<void> {
  yield* spin_lock(k, fw.lock);
  for (;;) {
    const r = k.ram.loadPtr(fw.rules) as Ptr<typeof rule>;
    if (r === NULL) break;
    yield* rcu_assign_pointer(k, fw.rules, rule.f.next.get(k, r) as Ptr<typeof rule>);
    if (twoArguments) yield* kvfree_rcu(k, r, rule, "rcu");
    else yield* kvfree_rcu(k, r); // sic
  }
  spin_unlock(k, fw.lock);
}

export const typoScenario: Scenario = {
  name: "kvfree_typo",
  summary: "rules of a firewall are deleted under a spinlock, by kvfree_rcu() with one argument or two",
  options: [{
    name: "arguments",
    kind: "enum",
    values: ["one", "two"],
    default: "one",
    help: "one: the rcu_head is forgotten; two: as it should be",
  }],
  needs: (options: OptionValues) => options.arguments === "one" ? [["kvfree_rcu(ptr)"]] : [],
  *main(k: Kernel, options: OptionValues): MaySleep<void> {
    const fw: Firewall = {
      lock: new spinlock_t("fw->lock"),
      rules: k.dataAlloc(8) as VirtAddr as Firewall["rules"],
    };
    for (const port of [22, 80, 443]) yield* addRule(k, fw, port);
    yield* deleteRules(k, fw, options.arguments === "two");
  },
};

export default typoScenario;

export const bug: Bug = {
  id: "B19",
  title: "a forgotten second argument of kvfree_rcu() compiles, and sleeps in atomic context",
  why: [
    "7/7 lets the number of arguments choose between two functions, one for any context and one that may sleep, so " +
    "where an rcu_head was forgotten nothing is said until the call is made under a lock.",
    "Linux gave the sleeping one a name of its own, kvfree_rcu_mightsleep(), and from v6.5 on kvfree_rcu(ptr) does " +
    "not compile.",
  ],
  history:
    "from 7/7 of the series, in Linux from v5.9 to v6.4; ended by 608723c41cd9 (the new names, v6.3) and " +
    '7e3f926bf453, "Eliminate k[v]free_rcu() single argument macro" (v6.5)',
  levels: levelsFromTo("7/7", "v6.3"),
  gone: "v6.5",
  shownAt: "7/7",
  demo: {
    scenario: typoScenario,
    file: "examples/bugs/kvfree_typo.ts",
    machine: () => ({ cpus: 2 }),
  },
};
