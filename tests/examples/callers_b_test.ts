// SPDX-License-Identifier: GPL-2.0-only
// Ported callers: quota names, queue_hw_ctx, netlink groups, cf_mod, btrfs names, mmiotrace, nfs. What is right is quiet on
// every machine, what is wrong is caught, and each shows what its header says.

import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  type Config,
  type Kernel,
  kvfree,
  memorySince,
  Run,
  type RunVerdict,
  type Scenario,
  type VirtAddr,
} from "../../mod.ts";
import { CALLERS } from "../../examples/callers/index.ts";
import { deviceNameScenario } from "../../examples/callers/btrfs_device_name.ts";
import { hwCtxsScenario } from "../../examples/callers/blk_mq_hw_ctxs.ts";
import { canGwScenario } from "../../examples/callers/can_gw.ts";
import { mmiotraceScenario } from "../../examples/callers/mmiotrace.ts";
import { netlinkGroupsScenario } from "../../examples/callers/netlink_groups.ts";
import { nfsIdentifierScenario } from "../../examples/callers/nfs_identifier.ts";
import { quotaNamesScenario } from "../../examples/callers/ext4_quota_names.ts";
import { bootKernel, rebootKernel } from "../../init/main.ts";
import { checkConfig } from "../../kernel/config.ts";
import type { Atomic, MaySleep } from "../../kernel/machine/effects.ts";
import { checkOptions } from "../../explore/scenario.ts";
import { scheduleOf } from "../../explore/token.ts";
import { arg, eventsOf } from "../machines.ts";

interface Ran {
  readonly k: Kernel;
  readonly since: number;
  readonly run: Run;
  readonly verdict: RunVerdict;
}

/** Runs one variant on the machine `before`, which boots anew, or on a new one. `change` alters the booted kernel. */
function ran(
  scenario: Scenario,
  variant: string,
  machine: Partial<Config>,
  { before, change }: { before?: Kernel | undefined; change?: (k: Kernel) => void } = {},
): Ran {
  const config = checkConfig(machine);
  const k = before ?? bootKernel(config, scheduleOf(config));
  if (before !== undefined) rebootKernel(k, scheduleOf(config));
  change?.(k);
  const since = k.seq;
  const run = new Run(k, scenario, checkOptions(scenario, { variant }));
  run.advance();
  return { k, since, run, verdict: run.verdict() };
}

function reportText(k: Kernel): string {
  return k.reports.map((r) => r.lines.join("\n")).join("\n");
}

/** A run that must end well. */
function ranWell(
  scenario: Scenario,
  variant: string,
  machine: Partial<Config>,
  before?: Kernel,
): Ran {
  const result = ran(scenario, variant, machine, { before });
  const { ending, reports } = result.verdict;
  const { leaked, pending } = memorySince(result.k, result.run);
  assertEquals(
    [ending, reports, leaked, pending],
    ["completed", 0, [], []],
    `${scenario.name} ${variant} seed ${machine.seed}\n${reportText(result.k)}`,
  );
  return result;
}

function marks({ k, since }: Ran): string[] {
  return eventsOf(k, "tracing_mark_write", since).map((r) => k.log.text(r.args[0]));
}

/** The numbers of microseconds in the marks. */
function usecs(result: Ran): number[] {
  return marks(result).map((text) => Number(/ (\d+) us$/.exec(text)?.[1]));
}

/** What is right, variant by variant, where it is. */
const RIGHT: readonly (readonly [Scenario, readonly string[]])[] = [
  [quotaNamesScenario, ["before", "after"]],
  [hwCtxsScenario, ["wait", "after"]],
  [netlinkGroupsScenario, ["before", "after"]],
  [canGwScenario, ["before", "after"]],
  [deviceNameScenario, ["before", "after"]],
  [nfsIdentifierScenario, ["before", "after"]],
  [mmiotraceScenario, ["before"]],
];
const MACHINES: readonly Partial<Config>[] = [
  { rcu: "tree", cpus: 4 },
  { rcu: "tree", cpus: 1 },
  { rcu: "tiny" },
];
const SEEDS = 4;

for (const [scenario, variants] of RIGHT) {
  Deno.test(`${scenario.name}: completes without report or leak [cpus=4,1 rcu=tree,tiny kasan=0,1 seeds=${SEEDS}]`, () => {
    for (const machine of MACHINES) {
      for (const kasan of [false, true]) {
        let k: Kernel | undefined;
        for (let seed = 1; seed <= SEEDS; seed++) {
          for (const variant of variants) k = ranWell(scenario, variant, { ...machine, kasan, seed }, k).k;
        }
      }
    }
  });

  Deno.test(`${scenario.name}: is found by its name`, async () => {
    const caller = CALLERS.find((c) => c.name === scenario.name);
    assert(caller !== undefined);
    assertEquals((await caller.load()).default, scenario);
  });
}

/** kvfree_rcu() that frees at once. */
function freeAtOnce(k: Kernel): void {
  k.kvfree = {
    ...k.kvfree,
    kvfree_call_rcu: (k: Kernel, head: VirtAddr | null, func: number): Atomic<void> =>
      kvfree(k, (head === null ? func : head - func) as VirtAddr),
  };
}

/** synchronize_rcu() that does not wait. */
function waitNever(k: Kernel): void {
  k.rcu = { ...k.rcu, *synchronize_rcu(): MaySleep<void> {} };
}

for (const [scenario, variants] of RIGHT) {
  for (const variant of variants) {
    if (scenario === netlinkGroupsScenario && variant === "before") continue; // without RCU
    const usesWait = variant !== "after" && scenario !== deviceNameScenario;
    Deno.test(`${scenario.name} ${variant}: the readers notice an RCU that does not wait`, () => {
      const { k, verdict } = ran(scenario, variant, { kasan: true }, {
        change: usesWait ? waitNever : freeAtOnce,
      });
      assert(verdict.reports > 0);
      assertMatch(reportText(k), /KASAN: (use-after-free|vmalloc-out-of-bounds) in /);
    });
  }
}

/** In how many of 20 seeds the first report of the variant matches. */
function caught(scenario: Scenario, variant: string, machine: Partial<Config>, report: RegExp): number {
  let k: Kernel | undefined;
  let times = 0;
  for (let seed = 1; seed <= 20; seed++) {
    k = ran(scenario, variant, { ...machine, seed }, { before: k }).k;
    if (k.reports.length > 0 && report.test(k.reports[0].lines.join("\n"))) times++;
  }
  return times;
}

Deno.test("blk_mq_hw_ctxs before: KASAN catches the use of the freed array [cpus=4 seeds=20]", () => {
  const { k } = ran(hwCtxsScenario, "before", { kasan: true });
  const text = k.reports[0].lines.join("\n");
  assertMatch(text, /BUG: KASAN: use-after-free in queue_hctx\nRead of size 8 /);
  assertMatch(text, /Freed by task \d+:[^]* kfree\n __blk_mq_realloc_hw_ctxs\n/);
  assertEquals(caught(hwCtxsScenario, "before", { kasan: true }, /KASAN: use-after-free in queue_hctx/), 20);
});

Deno.test("blk_mq_hw_ctxs before: one CPU is too few for it [cpus=1 rcu=tree,tiny]", () => {
  for (const machine of [{ cpus: 1 }, { rcu: "tiny" }] as const) ranWell(hwCtxsScenario, "before", machine);
});

Deno.test("blk_mq_hw_ctxs: the wait delays every growth, kvfree_rcu() none", () => {
  const spans = ["wait", "after"].map((variant) => {
    const { k, since } = ranWell(hwCtxsScenario, variant, {});
    const times = eventsOf(k, "tracing_mark_write", since).map((r) => r.ns);
    assertEquals(times.length, 8); // 2, then 4 to 16 queues
    return times[7] - times[1];
  });
  // Six times a grace period, which takes two ticks (8 ms) at least.
  assert(spans[0] - spans[1] >= 6 * 8e6, `${spans}`);
});

Deno.test("netlink_groups reversed: KASAN catches the read behind the old bitmap [cpus=4 seeds=20]", () => {
  const { k } = ran(netlinkGroupsScenario, "reversed", { kasan: true });
  assertMatch(k.reports[0].lines.join("\n"), /BUG: KASAN: slab-out-of-bounds in test_bit\nRead of size 4 /);
  const report = /KASAN: slab-out-of-bounds in test_bit/;
  assertEquals(caught(netlinkGroupsScenario, "reversed", { kasan: true }, report), 20);
});

Deno.test("netlink_groups reversed: no grace period helps, nothing is freed too early", () => {
  const { k } = ran(netlinkGroupsScenario, "reversed", { kasan: true });
  assert(!reportText(k).includes("use-after-free"));
});

Deno.test("can_gw memcpy: on SMP a frame that others see is modified [cpus=4 seeds=20]", () => {
  const report = /a frame that others see is modified\nWARNING: CPU: [12] PID: \d+ at can_can_gw_rcv/;
  assertEquals(caught(canGwScenario, "memcpy", {}, report), 20);
});

Deno.test("can_gw memcpy: with one CPU softirqs off are enough [cpus=1 rcu=tree,tiny seeds=5]", () => {
  for (const machine of [{ cpus: 1 }, { rcu: "tiny" }] as const) {
    for (let seed = 1; seed <= 5; seed++) ranWell(canGwScenario, "memcpy", { ...machine, seed });
  }
});

Deno.test("mmiotrace after: a handler steps over an instruction on a mapping that is gone [cpus=4 seeds=20]", () => {
  const { k } = ran(mmiotraceScenario, "after", {});
  const text = reportText(k);
  assertMatch(text, /BUG: unable to handle page fault for address: ffffc9/); // the vmalloc area
  assert(!text.includes("use-after-free"), "the trace itself is safe");
  const report = /KASAN: vmalloc-out-of-bounds in kmmio_handler/;
  assertEquals(caught(mmiotraceScenario, "after", { kasan: true }, report), 20);
});

Deno.test("mmiotrace after: one CPU is too few for it [cpus=1 rcu=tree,tiny]", () => {
  for (const machine of [{ cpus: 1 }, { rcu: "tiny" }] as const) ranWell(mmiotraceScenario, "after", machine);
});

Deno.test("ext4_quota_names: the wait holds s_umount for two grace periods, kvfree_rcu() does not [seeds=5]", () => {
  for (let seed = 1; seed <= 5; seed++) {
    const [before, after] = ["before", "after"].map((v) => usecs(ranWell(quotaNamesScenario, v, { seed })));
    assertEquals([before.length, after.length], [5, 5]);
    // The first remount finds no name. A grace period is two ticks of 4 ms at least.
    assert(before.slice(1).every((us) => us >= 2 * 8000), `${before}`);
    assert(after.every((us) => us < 100), `${after}`);
  }
});

Deno.test("ext4_quota_names: every old name goes headless, and has no room for an rcu_head", () => {
  const { k, since } = ranWell(quotaNamesScenario, "after", {});
  // Two names in each of the remounts but the first.
  assertEquals(eventsOf(k, "kvfree_rcu", since).length, 2 * 4);
  const names = eventsOf(k, "kmalloc", since).map((r) => arg(r, "bytes_alloc")).filter((n) => n <= 16);
  assertEquals(names, Array(8).fill(16)); // "aquota.group" and the like: 12 or 13 bytes, where a head takes 16
});

Deno.test("nfs_identifier: write() waits for a grace period, or not at all [seeds=5]", () => {
  for (let seed = 1; seed <= 5; seed++) {
    const [before, after] = ["before", "after"].map((v) =>
      usecs(ranWell(nfsIdentifierScenario, v, { seed }))
    );
    assertEquals([before.length, after.length], [8, 8]);
    assert(before.every((us) => us >= 8000), `${before}`);
    assert(after.every((us) => us < 100), `${after}`);
  }
});

Deno.test("btrfs_device_name: a string with an rcu_head takes twice the memory, and neither variant waits", () => {
  const sizes = ["before", "after"].map((variant) => {
    const { k, since } = ranWell(deviceNameScenario, variant, {});
    const last = eventsOf(k, "kmalloc", since).at(-1)!;
    assertEquals(eventsOf(k, "kvfree_rcu", since).length, 3);
    return [arg(last, "bytes_req"), arg(last, "bytes_alloc")];
  });
  const length = "/dev/sdb".length + 1;
  assertEquals(sizes, [[16 + length, 32], [length, 16]]);
});
