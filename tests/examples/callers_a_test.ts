// SPDX-License-Identifier: GPL-2.0-only
// Ported callers of kvfree_rcu(): the right ones end well everywhere, the wrong ones are caught, and each shows its lesson.

import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  type Atomic,
  bootWith,
  checkConfig,
  checkOptions,
  type Config,
  ConfigError,
  embed,
  type Kernel,
  kvfree,
  type Level,
  LEVELS,
  type MaySleep,
  memorySince,
  type OptionValues,
  rcu_head,
  reboot,
  Run,
  type RunVerdict,
  type Scenario,
  scheduleOf,
  struct,
  type VirtAddr,
} from "../../mod.ts";
import { CALLERS } from "../../examples/callers/index.ts";
import drbd_net_conf from "../../examples/callers/drbd_net_conf.ts";
import flow_limit from "../../examples/callers/flow_limit.ts";
import mlx5_vxlan from "../../examples/callers/mlx5_vxlan.ts";
import rps_sock_flow_table from "../../examples/callers/rps_sock_flow_table.ts";
import tpci200_free_irq from "../../examples/callers/tpci200_free_irq.ts";
import trace_probe, { event_file_link } from "../../examples/callers/trace_probe.ts";
import vmci_event from "../../examples/callers/vmci_event.ts";
import { dmesg } from "../helpers.ts";
import { arg, eventsOf, jiffyNs } from "../machines.ts";

const CONVERTED = [vmci_event, trace_probe, rps_sock_flow_table, flow_limit, drbd_net_conf];
const COUNTER_EXAMPLES = [tpci200_free_irq, mlx5_vxlan];
const VARIANTS = ["before", "after"];
const SMP: Partial<Config> = { rcu: "tree", cpus: 4 };
const ONE_CPU: readonly Partial<Config>[] = [{ rcu: "tree", cpus: 1 }, { rcu: "tiny" }];
const MACHINES: readonly Partial<Config>[] = [SMP, ...ONE_CPU];
const SEEDS = [1, 2, 3, 4, 5];

interface Told {
  readonly k: Kernel;
  readonly since: number;
  readonly run: Run;
  readonly verdict: RunVerdict;
}

/** Runs `scenario` on a machine; `broken` breaks the kernel before. */
function tell(
  scenario: Scenario,
  given: OptionValues,
  machine: Partial<Config>,
  broken: (k: Kernel) => void = () => {},
): Told {
  const config = checkConfig({ seed: 1, ...machine });
  const k = bootWith(config, scheduleOf(config));
  broken(k);
  return tellOn(k, scenario, given);
}

function tellOn(k: Kernel, scenario: Scenario, given: OptionValues): Told {
  const since = k.seq;
  const run = new Run(k, scenario, checkOptions(scenario, given));
  run.advance();
  return { k, since, run, verdict: run.verdict() };
}

function titles(k: Kernel): string[] {
  return k.reports.map((r) => r.lines.find((line) => /^(BUG|WARNING)/.test(line)) ?? r.lines[0]);
}

/** It completed, nothing was reported, nothing of its memory is left. */
function assertWell({ k, run, verdict }: Told, what: string): void {
  const { live, pending, leaked } = memorySince(k, run);
  assertEquals(
    [verdict.ending, titles(k), verdict.violations, live, pending, leaked],
    ["completed", [], [], [], [], []],
    what,
  );
}

/** Grace periods that ended during the run. */
function gracePeriods({ k, since }: Told): number {
  return eventsOf(k, "rcu_grace_period", since)
    .filter((r) => k.log.text(arg(r, "gpevent")) === "end").length;
}

function records({ k, since }: Told): number[] {
  return eventsOf(k, "rcu_invoke_kfree_bulk_callback", since).map((r) => arg(r, "nr_records"));
}

/** The numbers that `pattern` captures, from every line of the kernel log that has them. */
function numbers(k: Kernel, pattern: RegExp): number[][] {
  return dmesg(k).flatMap((line) => {
    const found = pattern.exec(line);
    return found === null ? [] : [found.slice(1).map(Number)];
  });
}

for (const machine of MACHINES) {
  for (const kasan of [false, true]) {
    Deno.test(`callers: the right variants end well and keep no memory [${JSON.stringify(machine)} kasan=${kasan} seeds=${SEEDS.length}]`, () => {
      const config = checkConfig({ ...machine, kasan });
      const k = bootWith(config, scheduleOf(config));
      for (const scenario of [...CONVERTED, ...COUNTER_EXAMPLES]) {
        for (const variant of COUNTER_EXAMPLES.includes(scenario) ? ["before"] : VARIANTS) {
          for (const seed of SEEDS) {
            reboot(k, scheduleOf({ ...config, seed }));
            assertWell(tellOn(k, scenario, { variant }), `${scenario.name} ${variant} seed ${seed}`);
          }
        }
      }
    });
  }
}

Deno.test("callers: the conversions run at every level that knows the headless form [levels from 7/7]", () => {
  for (const level of LEVELS.slice(LEVELS.indexOf("7/7"))) {
    for (const machine of MACHINES) {
      if (!exists({ ...machine, level })) continue;
      for (const scenario of CONVERTED) {
        const told = tell(scenario, { variant: "after" }, { ...machine, level });
        assertEquals([told.verdict.ending, titles(told.k)], ["completed", []], `${scenario.name} ${level}`);
      }
    }
  }
});

function exists(machine: Partial<Config> & { level: Level }): boolean {
  try {
    checkConfig(machine);
    return true;
  } catch (error) {
    if (error instanceof ConfigError) return false;
    throw error;
  }
}

Deno.test("callers: readers are in their sections at the right moment: an RCU that does not wait is noticed [seeds=5]", () => {
  const impatient: Readonly<Record<string, (k: Kernel) => void>> = {
    before(k) {
      k.rcu = { ...k.rcu, *synchronize_rcu(): MaySleep<void> {} };
    },
    after(k) {
      k.kvfree = {
        ...k.kvfree,
        kvfree_call_rcu: (k: Kernel, head: VirtAddr | null, ptr: number): Atomic<void> =>
          kvfree(k, (head === null ? ptr : head - ptr) as VirtAddr),
      };
    },
  };
  for (const scenario of CONVERTED) {
    for (const variant of VARIANTS) {
      for (const seed of SEEDS) {
        const { k } = tell(scenario, { variant }, { ...SMP, seed, kasan: true }, impatient[variant]);
        assert(
          titles(k).some((t) => /use-after-free|vmalloc/.test(t)),
          `${scenario.name} ${variant} ${seed}`,
        );
      }
    }
  }
});

Deno.test("vmci_event: before, no callback runs when unsubscribe has returned; after, one does [cpus=4 seeds=5]", () => {
  for (const seed of SEEDS) {
    const order = VARIANTS.map((variant) => {
      const { k, since } = tell(vmci_event, { variant }, { ...SMP, seed });
      return eventsOf(k, "tracing_mark_write", since).map((r) =>
        k.log.text(arg(r, "text")).split(" ").at(-1)
      );
    });
    assertEquals(order, [["1", "ends", "returned"], ["1", "returned", "ends"]], `seed ${seed}`);
  }
});

Deno.test("vmci_event: a client that frees its data behind unsubscribe is caught after the conversion only [seeds=5]", () => {
  for (const kasan of [false, true]) {
    for (const seed of SEEDS) {
      assertWell(tell(vmci_event, { client: "frees", variant: "before" }, { ...SMP, seed, kasan }), "before");
      const { k, verdict } = tell(vmci_event, { client: "frees", variant: "after" }, { ...SMP, seed, kasan });
      assertEquals(verdict.ending, "completed");
      assertEquals(titles(k), [`BUG: ${kasan ? "KASAN: " : ""}use-after-free in qp_resumed_cb`]);
    }
  }
  for (const machine of ONE_CPU) {
    assertWell(tell(vmci_event, { client: "frees", variant: "after" }, machine), "one CPU: no overlap");
  }
});

Deno.test("trace_probe: a grace period for each link, or one batch for all; without rcu_head a link is in kmalloc-32", () => {
  // Two pointers of a list_head and one to the file; an rcu_head is two more.
  assertEquals(event_file_link.size, 24);
  assertEquals(struct("with", { link: embed(event_file_link), rcu: embed(rcu_head) }).size, 40);
  for (const seed of SEEDS) {
    for (const files of [1, 4, 7]) {
      const given = { files: String(files) };
      const before = tell(trace_probe, { ...given, variant: "before" }, { ...SMP, seed });
      const after = tell(trace_probe, { ...given, variant: "after" }, { ...SMP, seed });
      assert(gracePeriods(before) >= files, `${gracePeriods(before)} for ${files} links`);
      assertEquals([records(before), records(after)], [[], [files]], `seed ${seed}`);
      assert(gracePeriods(after) <= 2, `${gracePeriods(after)} for a batch`);
      const took = [before, after].map(({ k }) => numbers(k, /remove_file took (\d+) us/).flat());
      assertEquals(took.map((t) => t.length), [files, files]);
      assert(Math.min(...took[0]) * 1000 >= jiffyNs(before.k), `before: ${took[0]}`);
      assert(Math.max(...took[1]) * 1000 < jiffyNs(after.k), `after: ${took[1]}`);
    }
  }
});

Deno.test("rps_sock_flow_table: old tables go through the vmalloc channel, and NULL nowhere [seeds=5]", () => {
  for (const seed of SEEDS) {
    const { k, since } = tell(rps_sock_flow_table, { variant: "after" }, { ...SMP, seed });
    const queued = eventsOf(k, "kvfree_rcu", since);
    assertEquals(queued.length, 3, "2048, 4096 and 0 replace a table; the second 4096 does not");
    const freed = eventsOf(k, "rcu_invoke_kvfree_callback", since).map((r) => arg(r, "rhp"));
    assertEquals(freed.toSorted(), queued.map((r) => arg(r, "ptr")).toSorted());
    for (const p of freed) assert(p >= 0xc900_0000_0000, "from vmalloc");
    assertEquals(eventsOf(k, "rcu_invoke_kfree_bulk_callback", since), []);
  }
});

Deno.test("rps_sock_flow_table: the mutex is held across a grace period before, not after [seeds=5]", () => {
  for (const seed of SEEDS) {
    const held = VARIANTS.map((variant) => {
      const { k } = tell(rps_sock_flow_table, { variant }, { ...SMP, seed });
      const all = numbers(k, /rps_sock_flow_entries = (\d+): mutex held for (\d+) us/);
      assertEquals(all.map(([size]) => size), [1024, 2048, 4096, 4096, 0]);
      return all.map(([, us]) => us * 1000 >= jiffyNs(k));
    });
    assertEquals(
      held,
      [[false, true, true, false, true], [false, false, false, false, false]],
      `seed ${seed}`,
    );
  }
});

Deno.test("flow_limit: as many grace periods as CPUs, or one for all [cpus=2,4,16,64]", () => {
  for (const cpus of [2, 4, 16, 64]) {
    const [before, after] = VARIANTS.map((variant) => tell(flow_limit, { variant }, { rcu: "tree", cpus }));
    assertWell(before, `before ${cpus}`);
    assertWell(after, `after ${cpus}`);
    assert(gracePeriods(before) >= cpus, `${gracePeriods(before)} on ${cpus} CPUs`);
    assert(gracePeriods(after) <= 3, `${gracePeriods(after)} on ${cpus} CPUs`);
    assertEquals([records(before), records(after)], [[], [cpus]]);
    const kept = [before, after].map(({ k }) => numbers(k, /: (\d+) tables taken, .* kept for (\d+) us/)[0]);
    assertEquals(kept.map(([tables]) => tables), [cpus, cpus]);
    assert(kept[0][1] * 1000 >= cpus * jiffyNs(before.k), `before: ${kept[0]}`);
    assert(kept[1][1] * 1000 < jiffyNs(after.k), `after: ${kept[1]}`);
  }
});

for (const machine of MACHINES) {
  Deno.test(`drbd_net_conf: the old struct after its free: kvfree_rcu() hides what kfree() shows, for a while [${JSON.stringify(machine)} seeds=5]`, () => {
    const caught: Readonly<Record<string, readonly boolean[]>> = {
      first: [false, false],
      next: [true, false], // before, after
      late: [true, true],
    };
    for (const [log, wanted] of Object.entries(caught)) {
      for (const [i, variant] of VARIANTS.entries()) {
        for (const seed of SEEDS) {
          const told = tell(drbd_net_conf, { log, variant }, { ...machine, seed, kasan: true });
          const what = `${log} ${variant} seed ${seed}`;
          if (!wanted[i]) assertWell(told, what);
          else {
            assertMatch(titles(told.k)[0] ?? "", /^BUG: KASAN: use-after-free in logAlgorithm$/, what);
            assertEquals(told.verdict.ending, "completed", what);
          }
          if (log === "first") {
            assertEquals(numbers(told.k, /peer data-integrity-alg: (\d)/), [[1], [2]], what);
          }
        }
      }
    }
  });
}

Deno.test("drbd_net_conf: where a batch waits for 5 s, 200 ms are too short to notice [level=v5.14,v6.1]", () => {
  const reports = (["v5.14", "v6.1"] as const).map((level) =>
    titles(tell(drbd_net_conf, { log: "late", variant: "after" }, { ...SMP, level, kasan: true }).k)
  );
  assertEquals(reports.map((r) => r.length > 0), [true, false]);
});

Deno.test("tpci200_free_irq: converted, the handler runs on while the driver frees its data [cpus=4 seeds=5]", () => {
  for (const kasan of [false, true]) {
    for (const seed of SEEDS) {
      const { k, verdict } = tell(tpci200_free_irq, { variant: "after" }, { ...SMP, seed, kasan });
      assertEquals(verdict.ending, "completed");
      assertEquals(titles(k)[0], `BUG: ${kasan ? "KASAN: " : ""}use-after-free in ipoctal_irq_handler`);
      for (const title of titles(k)) assertMatch(title, /ipoctal_irq_handler/, "the slot_irq itself is safe");
      const { lines } = k.reports[0];
      assert(lines.includes(" tpci200_interrupt"), "in the board's interrupt");
      if (kasan) assert(lines.indexOf(" ipoctal_remove") > lines.findIndex((l) => l.startsWith("Freed by")));
    }
  }
  for (const machine of ONE_CPU) assertWell(tell(tpci200_free_irq, { variant: "after" }, machine), "one CPU");
});

Deno.test("mlx5_vxlan: converted, the card gets a packet for a port that it was told to forget [cpus=4 seeds=5]", () => {
  for (const kasan of [false, true]) {
    for (const seed of SEEDS) {
      const told = tell(mlx5_vxlan, { variant: "after" }, { ...SMP, seed, kasan });
      assertEquals(told.verdict.ending, "completed");
      assertEquals(titles(told.k).length, 1, "one packet was on its way; KASAN has nothing to say");
      assertMatch(titles(told.k)[0], /^WARNING: CPU: 1 PID: \d+ at cardSends$/);
      const { leaked, pending } = memorySince(told.k, told.run);
      assertEquals([leaked, pending], [[], []], "its memory is in order");
    }
  }
  for (const machine of ONE_CPU) assertWell(tell(mlx5_vxlan, { variant: "after" }, machine), "one CPU");
});

Deno.test("callers: each is listed under its own name, with both variants", async () => {
  for (const scenario of [...CONVERTED, ...COUNTER_EXAMPLES]) {
    const row = CALLERS.find((c) => c.name === scenario.name);
    assert(row !== undefined, scenario.name);
    assertEquals((await row.load()).default, scenario);
    assertEquals(scenario.options[0].values, VARIANTS);
  }
});
