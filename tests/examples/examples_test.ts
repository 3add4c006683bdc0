// SPDX-License-Identifier: GPL-2.0-only
// The examples tell the story that they say they tell, on several seeds.

import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  boot,
  checkOptions,
  type Config,
  type Kernel,
  memorySince,
  OptionError,
  type OptionValues,
  Run,
  type Scenario,
} from "../../mod.ts";
import ext4Scenario from "../../examples/ext4_kvfree_array_rcu.ts";
import helloScenario from "../../examples/hello_kvfree_rcu.ts";
import { sortArguments } from "../../examples/run_example.ts";
import { MARK_EVENT } from "../../kernel/trace/events/quiesce.ts";
import { executionsOf } from "../machines.ts";

const SEEDS = [1, 7, 12345];

interface Told {
  readonly k: Kernel;
  readonly leaked: number[];
  readonly live: number;
  readonly pending: number;
}

/** Runs an example to its end, which has to be a good one, and asks about its memory. */
function told(scenario: Scenario, given: OptionValues, machine: Partial<Config>): Told {
  const k = boot(machine);
  const run = new Run(k, scenario, checkOptions(scenario, given));
  run.advance();
  const { ending, reports } = run.verdict();
  assertEquals([ending, reports], ["completed", 0], `${JSON.stringify(machine)} ${JSON.stringify(given)}`);
  const { leaked, live, pending } = memorySince(k, run);
  return {
    k,
    leaked: leaked.map((o) => o.size).sort((a, b) => a - b),
    live: live.length,
    pending: pending.length,
  };
}

Deno.test("ext4_kvfree_array_rcu: each old array leaks, whatever its size [grows=5 seeds=3]", () => {
  for (const seed of SEEDS) {
    for (const groups of [1, 100]) {
      const given = { variant: "printed", fail: "kmalloc", grows: "5", groups: String(groups) };
      const { leaked, live, pending } = told(ext4Scenario, given, { rcu: "tiny", seed });
      // The n-th array has n - 1 pointers more than the first; all but the newest are replaced.
      assertEquals(leaked, Array.from({ length: 5 }, (_, i) => 8 * (groups + i)));
      // What is left on purpose: the blocks of the mount, one for each grow, and the newest array.
      assertEquals([live, pending], [5 + 2, 0]);
    }
  }
});

Deno.test("ext4_kvfree_array_rcu: readers always find the right block [variants=3 machines=2 seeds=3]", () => {
  for (const variant of ["printed", "fixed", "kvfree_rcu"]) {
    for (const rcu of ["tree", "tiny"] as const) {
      for (const seed of SEEDS) {
        const given = { variant, grows: "20", groups: "1", hold: "1" };
        const { k } = told(ext4Scenario, given, { rcu, seed });
        const marks = [...k.log.records()].filter((r) => r.kind === MARK_EVENT).map((r) =>
          k.log.text(r.args[0])
        );
        // 20 times longer than the first one.
        assertEquals(marks.at(-1), "add_new_gdb: 21 blocks");
        assertEquals(marks.filter((text) => text.startsWith("reader:")), []);
      }
    }
  }
});

Deno.test("ext4_kvfree_array_rcu: only kvfree_rcu(ptr) goes through the batch", () => {
  for (const [variant, batches] of [["fixed", 0], ["kvfree_rcu", 1]] as const) {
    const { k } = told(ext4Scenario, { variant, grows: "2", hold: "1" }, { rcu: "tiny", seed: 7 });
    assertEquals(executionsOf(k, "kvfree_rcu_work").length, batches);
    const tree = told(ext4Scenario, { variant, grows: "2" }, { seed: 7 });
    assertEquals(executionsOf(tree.k, "kfree_rcu_work").length, batches);
  }
});

Deno.test("hello_kvfree_rcu frees any size, and needs no stub [sizes=6 machines=2 seeds=3]", () => {
  for (const [rcu, work] of [["tiny", "kvfree_rcu_work"], ["tree", "kfree_rcu_work"]] as const) {
    for (const seed of SEEDS) {
      // Slab, large kmalloc and vmalloc: kvmalloc() falls back above what one block of pages can hold.
      for (const size of ["1", "8192", "8193", "100000", "1048577", "4194304"]) {
        const { k, leaked, live, pending } = told(helloScenario, { size }, { rcu, seed });
        assertEquals([leaked, live, pending], [[], 0, 0], `${rcu} size ${size}`);
        assertEquals(executionsOf(k, work).length, 1);
      }
    }
  }
});

Deno.test("checkOptions() refuses what an example does not allow, and says what is", () => {
  const mistakes: readonly (readonly [OptionValues, string])[] = [
    [{ grows: "0" }, "1 to 50000 is allowed"],
    [{ grows: "2.5" }, "1 to 50000 is allowed"],
    [{ variant: "mended" }, "printed, fixed, kvfree_rcu, kvfree_rcu_mightsleep are allowed"],
    [{ reader: "stays" }, "leaves, escapes are allowed"],
    [{ groups: "0" }, "1 to 50000 is allowed"],
    [{ fail: "kmalloc,disk" }, "kmalloc, page, wrapper, kvmalloc are allowed, joined by commas"],
    [{ speed: "9" }, "--variant, --grows, --groups, --reader, --hold, --fail allowed"],
  ];
  for (const [given, allowed] of mistakes) {
    const error = assertThrows(() => checkOptions(ext4Scenario, given), OptionError);
    assert(error.message.includes(allowed) && !error.message.includes("\n"), error.message);
  }
});

Deno.test("sortArguments() tells options of the machine from those of the example", () => {
  const args = ["--variant", "fixed", "--cpus=2", "--seed", "9", "--kasan", "--rcu", "tree", "--grows=4"];
  assertEquals(sortArguments(ext4Scenario, args), [
    { cpus: 2, seed: 9, kasan: true, rcu: "tree" },
    { variant: "fixed", grows: "4" },
  ]);
  const mistakes: readonly (readonly [string[], string])[] = [
    [["fixed"], '"fixed" is not an option'],
    [["--grows"], "--grows needs a value"],
    [["--cpus", "two"], '--cpus "two" is not a whole number'],
    [["--seed", "-1"], '--seed "-1" is not a whole number'],
  ];
  for (const [given, text] of mistakes) {
    const error = assertThrows(() => sortArguments(ext4Scenario, given), OptionError);
    assertEquals(error.message, `ext4_kvfree_array_rcu: ${text}`);
  }
});
