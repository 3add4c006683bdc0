// SPDX-License-Identifier: GPL-2.0-only
/**
 * Readers and writers at random on trees of every depth, with the monitors watching; the same runs held at each named
 * point; and the same runs with a broken RCU, which must be caught.
 */
import { assert, assertEquals } from "@std/assert";
import { type Deviation, siteHash } from "../../kernel/machine/chooser.ts";
import { doneVoid } from "../../kernel/machine/effects.ts";
import { POINT_NAMED } from "../../kernel/machine/points.ts";
import type { RcuOps } from "../../kernel/hooks.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { scheduleOf } from "../../explore/token.ts";
import { Run } from "../../explore/run.ts";
import { bootKernel } from "../../init/main.ts";
import { bootTree, treeConfig } from "./tree_machine.ts";
import stressScenario from "./stress.ts";
import { runStress, shapeName, SHAPES, stressRun } from "./tree_stress.ts";

const SEEDS = 12;

for (const shape of SHAPES) {
  Deno.test(`every property holds, on any schedule [${shapeName(shape)} seeds=${SEEDS}]`, () => {
    const k = bootTree(shape);
    for (let seed = 1; seed <= SEEDS; seed++) {
      const wrong = runStress(k, scheduleOf({ ...k.config, seed }));
      assertEquals(wrong, "", `${shapeName(shape)} seed ${seed}`);
    }
  });
}

for (const cpus of [1, 4]) {
  Deno.test(`a run is the same with all monitors, with some and with none [cpus=${cpus} fanout=2]`, () => {
    const k = bootTree({ cpus, fanout: 2, fanoutLeaf: 2 });
    for (const seed of [2, 3]) {
      const states = (["none", "events", "all"] as const).map((watch) => {
        stressRun(k, scheduleOf({ ...k.config, seed }), undefined, watch);
        return [k.hash.text(), k.digest(), k.seq, k.points].join();
      });
      assertEquals(states, [states[0], states[0], states[0]]);
    }
  });
}

Deno.test("the same seed is the same run, watched or not; another seed is another [cpus=4 fanout=2]", () => {
  const k = bootTree({ cpus: 4, fanout: 2, fanoutLeaf: 2 });
  const hashes = [1, 1, 2].map((seed) => {
    assertEquals(runStress(k, scheduleOf({ ...k.config, seed })), "");
    return [k.hash.text(), k.digest()].join();
  });
  assertEquals([hashes[0] === hashes[1], hashes[0] === hashes[2]], [true, false]);
  const once = bootTree({ cpus: 4, fanout: 2, fanoutLeaf: 2 });
  assertEquals(runStress(once, scheduleOf({ ...k.config, seed: 1 })), "");
  assertEquals(
    [once.hash.text(), once.digest()].join(),
    hashes[0],
    "also on a machine that never ran before",
  );
});

/** The named points, and in which contexts they are passed in these runs. */
const POINTS: readonly [string, readonly string[]][] = [
  ...["GPI1", "GPI2", "GPI3", "GPI4", "GPI5", "FQS1", "FQS2", "FQS3", "GPC1", "GPC2", "GPC3"].map(
    (name): [string, string[]] => [name, ["rcu_sched"]],
  ),
  ["CB1", ["writer0", "writer1"]],
  ["CB2", ["writer0", "writer1"]],
  ["CB3", ["writer0", "writer1"]],
  ["CB4", ["softirq", "rcu_sched"]],
  ["CB5", ["softirq"]],
  ["CB6", ["softirq"]],
  ["QS1", ["hardirq", "rcu_sched"]],
  ["QS2", ["softirq"]],
  ["QS3", ["softirq"]],
  ["QS4", ["softirq", "rcu_sched"]],
  ["QS5", ["softirq", "rcu_sched"]],
  ["BA1", ["writer0", "writer1"]],
  ["BA2", ["writer0", "writer1"]],
  ["BA3", ["writer0", "writer1"]],
];

for (const [point, contexts] of POINTS) {
  Deno.test(`a CPU that is held at ${point} for four ticks breaks nothing [cpus=4 fanout=2]`, () => {
    const k = bootTree({ cpus: 4, fanout: 2, fanoutLeaf: 2 });
    const reached = new Set<string>();
    for (let seed = 1; seed <= 2; seed++) {
      const config = { ...k.config, seed };
      assertEquals(runStress(k, scheduleOf(config, [])), "");
      const undisturbed = k.hash.text();
      for (const context of contexts) {
        const site = siteHash(context, POINT_NAMED, point);
        const held = [1, 2, 5].map((nth): Deviation => ({ site, nth, stall: 16 }));
        assertEquals(runStress(k, scheduleOf(config, held)), "", `${point} in ${context}, seed ${seed}`);
        if (k.hash.text() !== undisturbed) reached.add(context);
      }
    }
    assert(reached.size > 0, "the point is never passed");
  });
}

/** RCUs that are broken at one place, and what must be found. */
const BROKEN: readonly [string, string, (rcu: RcuOps) => Partial<RcuOps>][] = [
  ["synchronize_rcu() does not wait", "P1", () => ({ synchronize_rcu: () => doneVoid() })],
  [
    "call_rcu() calls at once",
    "P77", // the reader finds its memory freed: there is no callback that could be seen

    () => ({ call_rcu: (k, head, func) => typeof func === "number" ? doneVoid() : func(k, head) }),
  ],
  [
    "every tick is a quiescent state",
    "P1",
    (rcu) => ({ rcu_sched_clock_irq: (k: Kernel) => rcu.rcu_sched_clock_irq(k, true) }),
  ],
  ["cond_synchronize_rcu() does not wait", "P23", () => ({ cond_synchronize_rcu: () => doneVoid() })],
  ["rcu_barrier() does not wait", "P20", () => ({ rcu_barrier: () => doneVoid() })],
  [
    "a cookie asks for too little",
    "P23",
    (rcu) => ({ get_state_synchronize_rcu: (k: Kernel) => rcu.get_state_synchronize_rcu(k) - 4 }),
  ],
];

for (const [name, property, broken] of BROKEN) {
  Deno.test(`the same runs catch an RCU in which ${name} by ${property} [cpus=4 fanout=2]`, () => {
    const k = bootTree({ cpus: 4, fanout: 2, fanoutLeaf: 2 });
    for (let seed = 1; seed <= 20; seed++) {
      if (stressRun(k, scheduleOf({ ...k.config, seed }), broken).violations.has(property)) return;
    }
    throw new Error(`${property} was not violated in 20 seeds`);
  });
}

Deno.test("the scenario that the stress prints TOKENs of is the run that it was [cpus=2 fanout=2 seed=3]", () => {
  const config = treeConfig({ cpus: 2, fanout: 2, fanoutLeaf: 2, seed: 3 });
  const k = bootKernel(config, scheduleOf(config));
  stressRun(k, scheduleOf(config));
  const replayed = bootKernel(config, scheduleOf(config));
  new Run(replayed, stressScenario, {}).advance();
  assertEquals(replayed.hash.text(), k.hash.text());
});
