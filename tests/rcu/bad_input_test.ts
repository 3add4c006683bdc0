// SPDX-License-Identifier: GPL-2.0-only
/**
 * Bad input to tree RCU: each ends in the kernel's own report or in one line, never in a host exception, and the machine
 * goes on as the kernel would: afterwards it still waits for readers and invokes callbacks.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { NULL } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { type Atomic, doneVoid, type MaySleep } from "../../kernel/machine/effects.ts";
import { checkConfig, type Config, ConfigError } from "../../kernel/config.ts";
import { udelay } from "../../kernel/entry.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { kthread_run } from "../../kernel/kthread.ts";
import {
  irqs_disabled,
  local_irq_disable,
  local_irq_enable,
  preempt_disable,
  preempt_enable,
} from "../../kernel/preempt.ts";
import { cond_resched } from "../../kernel/sched/core.ts";
import { local_bh_disable } from "../../kernel/softirq.ts";
import { schedule_timeout_uninterruptible } from "../../kernel/time/timer.ts";
import type { RunVerdict } from "../../explore/run.ts";
import { verdictLines } from "../../repl/render/verdict.ts";
import { rcu_get_n_cbs_cpu, rcu_state } from "../../rcu/tree.ts";
import {
  call_rcu,
  GFP_KERNEL,
  kfree,
  kmalloc,
  kvfree_rcu,
  rcu_barrier,
  rcu_read_lock,
  rcu_read_unlock,
  type RunLimits,
  runToEnd,
  synchronize_rcu,
} from "../../mod.ts";
import { dmesg } from "../helpers.ts";
import { bootForTiny, runCleanly } from "../machines.ts";
import { bootTree, checkQuiet, threadOn } from "./tree_machine.ts";

const LIMITS: RunLimits = { ns: 3e9, points: 2_000_000 };

/** Runs what must not be done, to its end; the first lines of what was said. */
function misuse(k: Kernel, main: (k: Kernel) => MaySleep<void>): string[] {
  const { ending } = runToEnd(k, "test", main);
  assertEquals(ending, "completed");
  assertEquals(k.lastException, null);
  return k.reports.map((r) => r.title.replace(/ at \S+$|(?<=^BUG: scheduling while atomic): .*$/, ""));
}

/** RCU still does its work. */
function worksOn(k: Kernel): void {
  const before = k.reports.length;
  let ran = 0;
  runToEnd(k, "after", function* (k) {
    const p = yield* kmalloc(k, 64, GFP_KERNEL);
    yield* call_rcu(k, p, () => (ran++, doneVoid()));
    yield* synchronize_rcu(k);
    yield* kvfree_rcu(k, yield* kmalloc(k, 64, GFP_KERNEL));
    yield* rcu_barrier(k);
  });
  assertEquals([ran, k.reports.length - before], [1, 0], k.reports.at(-1)?.lines.join("\n"));
  checkQuiet(k);
}

/** What is done with one head, how many reports it makes, words of the first, and how often the callback runs. */
const HEADS: readonly {
  name: string;
  config?: Partial<Config>;
  misuse(k: Kernel, p: VirtAddr, callback: () => ReturnType<typeof doneVoid>): MaySleep<void>;
  says: readonly string[];
  runs: number;
}[] = [
  {
    name: "a head that is not aligned is warned about, and invoked",
    *misuse(k, p, callback) {
      yield* call_rcu(k, (p + 4) as VirtAddr, callback);
    },
    says: ["WARNING: CPU: N PID: N at __call_rcu"],
    runs: 1,
  },
  {
    name: "a head that was freed is a use after free at each access, and invoked",
    *misuse(k, p, callback) {
      yield* kfree(k, p);
      yield* call_rcu(k, p, callback);
    },
    says: ["BUG: use-after-free in __call_rcu"],
    runs: 1,
  },
  {
    name: "a head that is queued already is warned about, and leaked",
    config: { debugObjects: true },
    *misuse(k, p, callback) {
      yield* call_rcu(k, p, callback);
      yield* call_rcu(k, p, callback);
    },
    says: [
      "ODEBUG: activate active (active state 1) object type: rcu_head hint: 0x0",
      "ODEBUG: active_state active (active state 1) object type: rcu_head hint: 0x0",
      "WARNING: CPU: N PID: N at __call_rcu",
    ],
    runs: 0,
  },
  {
    name: "a head that is freed while it is queued is reported by who frees it",
    config: { debugObjects: true },
    *misuse(k, p, callback) {
      yield* call_rcu(k, p, callback);
      yield* kfree(k, p);
    },
    says: ["ODEBUG: free active (active state 1) object type: rcu_head hint: 0x0"],
    runs: 1,
  },
];

for (const { name, config, misuse: wrong, says, runs } of HEADS) {
  Deno.test(`call_rcu(): ${name}`, () => {
    for (const cpus of [1, 4]) {
      const k = bootTree({ cpus, ...config });
      let ran = 0;
      runToEnd(k, "test", function* (k) {
        const p = yield* kmalloc(k, 64, GFP_KERNEL);
        yield* wrong(k, p, () => (ran++, doneVoid()));
        yield* rcu_barrier(k);
      });
      const titles = k.reports.map((r) => r.title.replace(/\d+(?= PID| at)/g, "N"));
      assertEquals(titles.slice(0, says.length), says);
      assertEquals([ran, k.lastException], [runs, null]);
      worksOn(k);
    }
  });
}

Deno.test("call_rcu(): the same head twice, without debug objects: invoked once, and one is counted for ever", () => {
  // The head's next becomes the head itself. rcu_segcblist_extract_done_cbs() cuts the circle, but what it leaves as the rest
  // of the list is the head again, in no segment.
  const k = bootTree({ cpus: 1 });
  let ran = 0;
  const { ending } = runToEnd(k, "test", function* (k) {
    const p = yield* kmalloc(k, 64, GFP_KERNEL);
    for (let i = 0; i < 2; i++) yield* call_rcu(k, p, () => (ran++, doneVoid()));
    yield* schedule_timeout_uninterruptible(k, 20);
  }, LIMITS);
  assertEquals([ending, ran, k.reports.length, rcu_get_n_cbs_cpu(k, 0)], ["undrained", 1, 0, 1]);
});

Deno.test("call_rcu() of NULL is a NULL pointer dereference that kills the caller; of nothing, a TypeError", () => {
  const k = bootTree({ cpus: 2 });
  assertThrows(
    () => call_rcu(k, undefined as unknown as VirtAddr, () => doneVoid()),
    TypeError,
    "call_rcu() takes",
  );
  assertThrows(() => call_rcu(k, NULL, null as unknown as () => Atomic<void>), TypeError, "not 0 and null");
  const { ending } = runToEnd(k, "test", (k) => call_rcu(k, NULL, () => doneVoid()));
  assertEquals([ending, k.reports.length, k.lastException], ["completed", 1, null]);
  assertStringIncludes(k.reports[0].title, "BUG: kernel NULL pointer dereference, address: ");
  worksOn(k);
});

Deno.test("a func that is not kernel text is a fault in the softirq, and that panics [rcu]", () => {
  for (const func of [0xdead_beef, 5000, 0xffff_9000_0000]) {
    for (const k of [bootTree({ cpus: 2 }), bootForTiny()]) {
      const { ending } = runToEnd(k, "test", function* (k) {
        const p = yield* kmalloc(k, 64, GFP_KERNEL);
        yield* k.rcu.call_rcu(k, p, func);
        yield* schedule_timeout_uninterruptible(k, 50);
      });
      assertEquals([ending, k.lastException], ["panic", null], `${func.toString(16)} ${k.rcu.flavour}`);
      assertStringIncludes(k.reports[0].title, "BUG: unable to handle page fault for address: ");
      assertEquals(k.reports.at(-1)?.title, "Kernel panic - not syncing: Fatal exception in interrupt");
    }
  }
});

Deno.test("synchronize_rcu() in a reader is reported in the words of 5.7, and returns [cpus]", () => {
  for (const cpus of [1, 2]) {
    const k = bootTree({ cpus });
    const said = misuse(k, function* (k) {
      yield* rcu_read_lock(k);
      yield* synchronize_rcu(k);
      k.cpu.preempt_count = 1;
      yield* rcu_read_unlock(k);
    });
    assertEquals(said.slice(0, 3), [
      "WARNING: suspicious RCU usage",
      "WARNING: suspicious RCU usage",
      "BUG: sleeping function called from invalid context",
    ]);
    assertEquals(said.includes("BUG: scheduling while atomic"), cpus > 1, "one CPU does not wait");
    worksOn(k);
  }
});

Deno.test("synchronize_rcu() with interrupts or preemption off is an invalid context, and returns [cpus]", () => {
  for (const cpus of [1, 2]) {
    for (const what of ["interrupts", "preemption", "bottom halves"]) {
      const k = bootTree({ cpus });
      const said = misuse(k, function* (k) {
        if (what === "interrupts") local_irq_disable(k);
        else if (what === "preemption") preempt_disable(k);
        else local_bh_disable(k);
        yield* synchronize_rcu(k);
        if (irqs_disabled(k)) local_irq_enable(k);
        k.cpu.preempt_count = 0;
      });
      assertEquals(said[0], "BUG: sleeping function called from invalid context", what);
      assertEquals(said.length, cpus === 1 || what === "interrupts" ? 1 : 2, what);
      worksOn(k);
    }
  }
});

/** The verdict of a run in which CPU 1 does `stuck` for ever while somebody waits for a grace period. */
function neverDrains(stuck: (k: Kernel) => MaySleep<void>): { k: Kernel; verdict: RunVerdict } {
  const k = bootTree({ cpus: 2 });
  const verdict = runToEnd(k, "test", function* (k) {
    yield* threadOn(k, 1, "stuck", stuck);
    yield* threadOn(k, 0, "waiter", (k) => synchronize_rcu(k));
  }, LIMITS);
  return { k, verdict };
}

Deno.test("a reader that never ends: the verdict names the CPU, the task and the reader", () => {
  const { k, verdict } = neverDrains(function* endless_reader(k) {
    yield* rcu_read_lock(k);
    for (;;) yield* udelay(k, 100);
  });
  assertEquals([verdict.ending, k.lastException], ["livelock", null]);
  assertEquals(verdict.rcuWaits.map((w) => [w.cpu, w.comm, w.doing]), [
    [1, "stuck", "in rcu_read_lock() of endless_reader"],
  ]);
  const lines = [...verdictLines(k, "test", verdict)];
  assert(
    lines.some((l) =>
      /^ {2}RCU waits for CPU 1: stuck \(pid \d+\) is in rcu_read_lock\(\) of endless_reader$/.test(l)
    ),
  );
  assert(lines.some((l) => /^ {2}waiter \(pid \d+\) waits for /.test(l)));
});

Deno.test("the verdict tells what else keeps a CPU from a quiescent state", () => {
  const cases: readonly [string, (k: Kernel) => MaySleep<void>][] = [
    ["running with preemption off", function* (k) {
      preempt_disable(k);
      for (;;) yield* udelay(k, 100);
    }],
    ["running with interrupts off", function* (k) {
      local_irq_disable(k);
      for (;;) yield* udelay(k, 100);
    }],
    ["running with bottom halves off", function* (k) {
      local_bh_disable(k);
      for (;;) yield* udelay(k, 100);
    }],
    ["running, without a quiescent state", function* (k) {
      for (;;) yield* udelay(k, 100);
    }],
  ];
  for (const [doing, stuck] of cases) {
    const { verdict } = neverDrains(stuck);
    assertEquals(verdict.rcuWaits.map((w) => [w.cpu, w.comm, w.doing]), [[1, "stuck", doing]]);
  }
});

Deno.test("a loop that gives way is not waited for, and neither is anybody when the run completes", () => {
  const { k, verdict } = neverDrains(function* (k) {
    for (;;) {
      yield* udelay(k, 100);
      yield* cond_resched(k);
    }
  });
  assertEquals([verdict.ending, verdict.rcuWaits], ["livelock", []]);
  assert(!verdict.remaining.some((p) => p.comm === "waiter"), "the grace period ended");
  assertEquals(runCleanly(bootTree({ cpus: 2 }), (k) => synchronize_rcu(k)).rcuWaits, []);
  assert(![...verdictLines(k, "test", verdict)].some((line) => line.includes("RCU waits")));
});

Deno.test("a task that ends in its reader is reported, and holds up nobody [cpus=2]", () => {
  const k = bootTree({ cpus: 2 });
  const { ending } = runToEnd(k, "test", function* (k) {
    yield* kthread_run(k, function* forgets(k): MaySleep<void> {
      yield* rcu_read_lock(k);
    }, "leaver");
    yield* schedule_timeout_uninterruptible(k, 2);
    yield* synchronize_rcu(k);
  });
  assertEquals(ending, "completed");
  assertMatch(k.reports[0].title, /^WARNING: leaver\/\d+ still has locks held!$/);
  assertMatch(k.reports[0].lines[6], /\(rcu_read_lock\)\{\.\.\.\.\}-\{1:2\}, at: forgets$/);
  assert(dmesg(k).some((line) => /^note: leaver\[\d+\] exited with preempt_count 1$/.test(line)));
  worksOn(k);
});

Deno.test("rcu_read_unlock() too often is reported, and RCU goes on [cpus=2]", () => {
  const k = bootTree({ cpus: 2 });
  const said = misuse(k, function* (k) {
    yield* rcu_read_lock(k);
    yield* rcu_read_unlock(k);
    yield* rcu_read_unlock(k);
    preempt_disable(k);
    preempt_enable(k);
    yield* cond_resched(k);
  });
  assertEquals(said, ["WARNING: bad unlock balance detected!"]);
  assertMatch(k.reports[0].lines[5], /is trying to release lock \(rcu_read_lock\) at:$/);
  worksOn(k);
});

Deno.test("a callback that leaves a reader open is noticed when the softirq ends [cpus=2]", () => {
  const k = bootTree({ cpus: 2 });
  runToEnd(k, "test", function* (k) {
    const p = yield* kmalloc(k, 64, GFP_KERNEL);
    yield* call_rcu(k, p, function* forgetful(k) {
      yield* rcu_read_lock(k);
    });
    yield* rcu_barrier(k);
  });
  assertEquals(k.lastException, null);
  const huh = dmesg(k).find((line) => line.startsWith("huh, entered softirq 9 RCU"));
  assertMatch(
    huh ?? "",
    /^huh, entered softirq 9 RCU rcu_core_si with preempt_count 00000\d0\d, exited with 00000\d0\d\?$/,
  );
  worksOn(k);
});

Deno.test("a shape that the tree cannot have is refused in one line, or built as the kernel builds it", () => {
  const refused: readonly [Partial<Config>, RegExp][] = [
    [{ fanout: 1 }, /^fanout 1 is out of range: 2 to 64 is allowed$/],
    [{ fanout: 65 }, /^fanout 65 is out of range: 2 to 64 is allowed$/],
    [{ fanoutLeaf: 65 }, /^fanout-leaf 65 is out of range: 2 to 64 is allowed$/],
    [{ fanoutLeaf: 1 }, /^fanout-leaf 1 is out of range/],
    [
      { cpus: 32, fanout: 2, fanoutLeaf: 2 },
      /^fanout 2 with fanout-leaf 2 holds 16 CPUs in four levels, not 32$/,
    ],
  ];
  for (const [wanted, line] of refused) {
    const error = assertThrows(() => checkConfig({ rcu: "tree", ...wanted }), ConfigError);
    assertMatch(error.message, line);
  }
  // At boot the kernel falls back, with a warning, to what it was built with.
  for (const bootFanoutLeaf of [1, 65]) {
    const k = bootTree({ cpus: 4, bootFanoutLeaf });
    assertEquals(k.reports.map((r) => r.title.replace(/^.* at /, "")), ["rcu_init_geometry"]);
    assertEquals(rcu_state(k).leaves.length, 512 / 16, "for NR_CPUS");
    worksOn(k);
  }
});
