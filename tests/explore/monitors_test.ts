// SPDX-License-Identifier: GPL-2.0-only
/**
 * Each event monitor with a forged violation: a monitor that cannot fail is no monitor. Events come as records of a log
 * that never was. Each forgery has a lawful twin that must pass. Then real runs with a broken RCU, and what users see.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { Ptr } from "../../kernel/machine/brand.ts";
import { doneVoid, type MaySleep } from "../../kernel/machine/effects.ts";
import { udelay } from "../../kernel/entry.ts";
import { GFP_KERNEL } from "../../kernel/gfp.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { schedule_timeout_uninterruptible } from "../../kernel/time/timer.ts";
import type { Watch } from "../../explore/monitors/monitors.ts";
import { Run, type RunVerdict } from "../../explore/run.ts";
import { scheduleOf } from "../../explore/token.ts";
import { BUGS, deviationsOf, machineOf, optionsOf } from "../../examples/bugs/catalogue.ts";
import { verdictLines, verdictStatus } from "../../repl/render/verdict.ts";
import { rcu_state } from "../../rcu/tree.ts";
import {
  boot,
  bootWith,
  checkConfig,
  kfree,
  kmalloc,
  kvfree_rcu,
  rcu_read_lock,
  rcu_read_unlock,
  runToEnd,
  synchronize_rcu,
} from "../../mod.ts";
import { bootTree, threadOn } from "../rcu/tree_machine.ts";
import { type Case, Forge, HEAD, invoke, PTR, queue, read, START, unread, wholeGp } from "./monitor_forge.ts";

/** Forgeries by events alone. */
const EVENTS: readonly Case[] = [
  {
    property: "P1",
    what: "a grace period ends before a reader",
    forge: (f) => {
      read(f);
      wholeGp(f);
    },
    lawful: (f) => {
      read(f);
      wholeGp(f, () => unread(f));
    },
  },
  {
    property: "P1",
    what: "a grace period ends before a softirq handler (P7)",
    forge: (f) => {
      f.tell("softirq_entry", [1], 3);
      wholeGp(f);
    },
    lawful: (f) => {
      f.tell("softirq_entry", [1], 3);
      wholeGp(f, () => f.tell("softirq_exit", [1], 3));
    },
  },
  {
    property: "P3",
    what: "a callback runs before a reader ends that was open at the call",
    forge: (f) => {
      f.tell("softirq_entry", [1], 3);
      queue(f);
      f.tell("softirq_exit", [1], 3);
      read(f);
      queue(f, HEAD + 64);
      f.gp(f.gp_seq + 1, "start");
      f.nodes("init", f.gp_seq + 1);
      f.gp(f.gp_seq + 1, "fqswait");
      f.nodes("Cleanup", f.gp_seq + 4); // the end has come to the nodes, but not yet to rcu_state
      invoke(f);
      invoke(f, HEAD + 64);
    },
    lawful: (f) => {
      read(f);
      queue(f);
      f.start();
      unread(f);
      read(f);
      f.nodes("Cleanup", f.gp_seq + 4);
      invoke(f);
    },
  },
  {
    property: "P4",
    what: "a callback runs without a whole grace period",
    forge: (f) => {
      f.start();
      queue(f);
      f.end();
      invoke(f);
    },
    lawful: (f) => {
      queue(f);
      wholeGp(f);
      invoke(f);
    },
  },
  {
    property: "P12",
    what: "a CPU with an old reader is credited as idle",
    forge: (f) => {
      read(f);
      f.start();
      f.tell("rcu_fqs", ["rcu_sched", f.gp_seq + 1, 1, "dti"], 0);
    },
    lawful: (f) => {
      f.start();
      read(f);
      f.tell("rcu_fqs", ["rcu_sched", f.gp_seq + 1, 1, "dti"], 0);
    },
  },
  {
    property: "P24",
    what: "callbacks run in another order",
    forge: (f) => {
      queue(f, HEAD);
      queue(f, HEAD + 64);
      wholeGp(f);
      invoke(f, HEAD + 64);
      invoke(f, HEAD);
    },
    lawful: (f) => {
      queue(f, HEAD);
      queue(f, HEAD + 64);
      wholeGp(f);
      invoke(f, HEAD);
      invoke(f, HEAD + 64);
    },
  },
  {
    property: "P24",
    what: "a callback runs on another CPU",
    forge: (f) => {
      queue(f, HEAD, 2);
      wholeGp(f);
      invoke(f, HEAD, 3);
    },
    lawful: (f) => {
      queue(f, HEAD, 3);
      wholeGp(f);
      invoke(f, HEAD, 3);
    },
  },
  {
    property: "P25",
    what: "a callback runs twice",
    forge: (f) => {
      queue(f);
      wholeGp(f);
      invoke(f);
      invoke(f);
    },
    lawful: (f) => {
      queue(f);
      wholeGp(f);
      invoke(f);
    },
  },
  {
    property: "P25",
    what: "a head is queued while it is queued",
    forge: (f) => {
      queue(f);
      queue(f);
    },
    lawful: (f) => {
      queue(f);
      queue(f, HEAD + 64);
    },
  },
  {
    property: "P25",
    what: "a callback is left when nothing can run any more",
    forge: (f) => {
      queue(f);
      f.monitors.finish({ idle: true });
    },
    lawful: (f) => {
      queue(f);
      f.monitors.finish({ idle: false });
    },
  },
  {
    property: "P40",
    what: "a batch on a busy CPU passes its limit",
    forge: (f) => {
      f.tell("rcu_batch_start", ["rcu_sched", 30, 10]);
      f.tell("rcu_batch_end", ["rcu_sched", 11, 1, 0, 0, 0]);
    },
    lawful: (f) => {
      f.tell("rcu_batch_start", ["rcu_sched", 30, 10]);
      f.tell("rcu_batch_end", ["rcu_sched", 11, 1, 0, 1, 0]); // in the idle task
    },
  },
  {
    property: "P59",
    what: "a grace period starts that is not the next",
    forge: (f) => f.gp(f.gp_seq + 5, "start"),
    lawful: (f) => wholeGp(f),
  },
  {
    property: "P59",
    what: "somebody else starts a grace period",
    forge: (f) => f.gp(f.gp_seq + 1, "start", 77),
    lawful: (f) => f.gp(f.gp_seq + 1, "start"),
  },
  {
    property: "P60",
    what: "the start leaves out a node",
    forge: (f) => {
      f.gp(f.gp_seq + 1, "start");
      for (const rnp of rcu_state(f.k).node.slice(0, -1)) f.node("init", f.gp_seq + 1, rnp.level, rnp.grplo);
      f.gp(f.gp_seq + 1, "fqswait");
    },
    lawful: (f) => f.start(),
  },
  {
    property: "P60",
    what: "the end goes from the leaves up",
    forge: (f) => {
      f.start();
      for (const rnp of [...rcu_state(f.k).node].reverse()) {
        f.node("Cleanup", f.gp_seq + 4, rnp.level, rnp.grplo);
      }
    },
    lawful: (f) => wholeGp(f),
  },
  {
    property: "P75",
    what: "the thread ends a grace period before it has waited",
    forge: (f) => {
      f.gp(f.gp_seq + 1, "start");
      f.nodes("init", f.gp_seq + 1);
      f.end();
    },
    lawful: (f) => wholeGp(f),
  },
  {
    property: "KV1",
    what: "kvfree_rcu() frees before a reader ends",
    forge: (f) => {
      read(f);
      f.tell("kvfree_rcu", [PTR, 0]);
      f.tell("kfree", [PTR]);
    },
    lawful: (f) => {
      read(f);
      f.tell("kvfree_rcu", [PTR, 0]);
      unread(f);
      read(f);
      f.tell("kfree", [PTR]);
    },
  },
  {
    property: "KV2",
    what: "kvfree_rcu() frees twice",
    forge: (f) => {
      f.tell("kvfree_rcu", [PTR, 0]);
      f.tell("rcu_invoke_kvfree_callback", ["rcu_sched", PTR + 16, 16]);
      f.tell("kfree", [PTR]);
      f.tell("kfree", [PTR]);
    },
    lawful: (f) => {
      f.tell("kvfree_rcu", [PTR, 0]);
      f.tell("rcu_invoke_kvfree_callback", ["rcu_sched", PTR + 16, 16]);
      f.tell("kfree", [PTR]);
      f.tell("kmalloc", [PTR, 64, 64, 0]);
      f.tell("kfree", [PTR]);
    },
  },
  {
    property: "KV3",
    what: "kvfree_rcu() forgets a pointer",
    forge: (f) => {
      f.tell("kvfree_rcu", [PTR, 0]);
      f.monitors.finish({ idle: true });
    },
    lawful: (f) => {
      f.tell("kvfree_rcu", [PTR, 0]);
      f.tell("kfree", [PTR]);
      f.monitors.finish({ idle: true });
    },
  },
];

for (const { property, what, forge, lawful } of EVENTS) {
  Deno.test(`monitors say ${property} when ${what}, and not otherwise`, () => {
    // From the log, afterwards, everything can be told but what kvfree_rcu() frees.
    const ways: readonly Watch[] = property.startsWith("KV") ? ["events"] : ["events", "log"];
    for (const watch of ways) {
      const bad = new Forge(watch);
      forge(bad);
      assertEquals(bad.found(), [property]);
      const good = new Forge(watch);
      lawful(good);
      assertEquals(good.found(), []);
    }
  });
}

/** Runs with RCU's functions replaced, and what a reader on CPU 1 does meanwhile; the properties violated. */
function runWith(broken: Partial<Kernel["rcu"]>, main: (k: Kernel) => MaySleep<void>): string[] {
  const k = bootTree({ cpus: 2 });
  k.rcu = { ...k.rcu, ...broken };
  const { violations } = runToEnd(k, "main", main);
  return violations.map(({ property }) => property);
}

function* reader(k: Kernel): MaySleep<void> {
  yield* rcu_read_lock(k);
  yield* udelay(k, 20_000);
  yield* rcu_read_unlock(k);
}

Deno.test("a run that breaks P1, P20 or P23 says so in its verdict [cpus=2]", () => {
  function* waits(k: Kernel): MaySleep<void> {
    yield* threadOn(k, 1, "reader", reader);
    yield* schedule_timeout_uninterruptible(k, 1);
    yield* synchronize_rcu(k);
  }
  assertEquals(runWith({}, waits), []);
  assertEquals(runWith({ synchronize_rcu: () => doneVoid() }, waits), ["P1"]);

  function* barrier(k: Kernel): MaySleep<void> {
    const p = yield* kmalloc(k, 64, GFP_KERNEL);
    yield* k.rcu.call_rcu(k, p, kfree);
    yield* k.rcu.rcu_barrier(k);
  }
  assertEquals(runWith({}, barrier), []);
  assertEquals(runWith({ rcu_barrier: () => doneVoid() }, barrier), ["P20"]);

  function* cookie(k: Kernel): MaySleep<void> {
    const cookie = k.rcu.get_state_synchronize_rcu(k);
    yield* k.rcu.cond_synchronize_rcu(k, cookie);
  }
  assertEquals(runWith({}, cookie), []);
  assertEquals(runWith({ cond_synchronize_rcu: () => doneVoid() }, cookie), ["P23"]);
});

Deno.test("a violation names its events, and only the first of its kind are kept", () => {
  const f = new Forge("log");
  for (let i = 0; i < 10; i++) f.tell("rcu_invoke_callback", ["rcu_sched", HEAD + i * 64, 0]);
  assertEquals(f.monitors.violations.length, 3);
  const [first] = f.monitors.violations;
  assertEquals([first.property, first.seq], ["P25", START + 1]);
  assertStringIncludes(first.text, `event ${START + 1}`);
});

Deno.test("Run takes its monitors away when it is over, and power-on forgets them [cpus=2]", () => {
  const k = bootTree({ cpus: 2 });
  const { rcu } = k;
  runToEnd(k, "nothing", () => doneVoid());
  assertEquals([k.observer, k.rcu === rcu], [null, true]);
});

Deno.test("tiny RCU is watched too: callbacks and kvfree_rcu() [cpus=1]", () => {
  const k = boot({ rcu: "tiny", cpus: 1 });
  const early = { ...k.rcu };
  k.rcu = { ...early, call_rcu: (k, head, func) => early.call_rcu(k, head, func) };
  function* main(k: Kernel): MaySleep<void> {
    const p = yield* kmalloc(k, 64, GFP_KERNEL);
    yield* kvfree_rcu(k, p);
    const q = yield* kmalloc(k, 64, GFP_KERNEL);
    yield* k.rcu.call_rcu(k, q as Ptr<unknown>, kfree);
  }
  const monitored = runToEnd(k, "main", main);
  assertEquals([monitored.ending, monitored.violations], ["completed", []]);
  function* frees(k: Kernel): MaySleep<void> {
    const p = yield* kmalloc(k, 64, GFP_KERNEL);
    yield* rcu_read_lock(k);
    yield* kvfree_rcu(k, p);
    yield* kfree(k, p);
    yield* rcu_read_unlock(k);
  }
  const { violations } = runToEnd(k, "frees", frees);
  assert(violations.some(({ property }) => property === "KV1"), JSON.stringify(violations));
});

Deno.test("a verdict with a violation names the property and is a failure", () => {
  const k = boot({ rcu: "tiny", cpus: 1 });
  const clean = runToEnd(k, "nothing", () => doneVoid());
  assertEquals([...verdictLines(k, "nothing", clean)].length, 1);
  const violations = [{ property: "P1", text: "so it was", seq: 7 }];
  const broken = (verdict: RunVerdict): [number, string[]] => {
    const found = { ...verdict, violations };
    return [verdictStatus(k, found), [...verdictLines(k, "x", found)].slice(1)];
  };
  const line = "  property P1 violated: so it was";
  assertEquals(broken(clean), [1, [line]]);
  assertEquals(broken({ ...clean, ending: "undrained" }), [1, [line]]);
  assertEquals(broken({ ...clean, ending: "panic" }), [3, [line]]);
});

Deno.test("B9 breaks KV1, with or without KASAN to see the access [cpus of the stored schedule]", () => {
  const bug = BUGS.find(({ id }) => id === "B9");
  assert(bug?.demo);
  for (const kasan of [true, false]) {
    const config = checkConfig({ ...machineOf(bug.demo, "7/7"), kasan });
    const k = bootWith(config, scheduleOf(config, deviationsOf(bug, "7/7")));
    const run = new Run(k, bug.demo.scenario, optionsOf(bug.demo, "7/7"));
    run.advance();
    assertEquals(run.verdict().violations.map(({ property }) => property), ["KV1"], `kasan ${kasan}`);
  }
});
