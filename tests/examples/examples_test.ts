// SPDX-License-Identifier: GPL-2.0-only
// The examples tell the story that they say they tell, on several seeds.

import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  boot,
  checkOptions,
  type Kernel,
  listFailRules,
  memorySince,
  OptionError,
  type OptionValues,
  Run,
  type Scenario,
} from "../../mod.ts";
import ext4Scenario from "../../examples/ext4_kvfree_array_rcu.ts";
import helloScenario from "../../examples/hello_kvfree_rcu.ts";
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
function told(scenario: Scenario, given: OptionValues, seed: number): Told {
  const k = boot({ rcu: "tiny", seed });
  const run = new Run(k, scenario, checkOptions(scenario, given));
  run.advance();
  const { ending, reports } = run.verdict();
  assertEquals([ending, reports], ["completed", 0], `seed ${seed} ${JSON.stringify(given)}`);
  const { leaked, live, pending } = memorySince(k, run);
  return {
    k,
    leaked: leaked.map((o) => o.size).sort((a, b) => a - b),
    live: live.length,
    pending: pending.length,
  };
}

for (const variant of ["printed", "fixed", "kvfree_rcu"]) {
  for (const fail of ["", "kmalloc", "page", "page,wrapper"]) {
    Deno.test(`ext4_kvfree_array_rcu leaks only as printed without a stub [variant=${variant} fail=${fail}]`, () => {
      for (const seed of SEEDS) {
        for (const grows of [1, 5]) {
          const { k, leaked, live, pending } = told(
            ext4Scenario,
            { variant, fail, grows: String(grows) },
            seed,
          );
          // The n-th array has n pointers; all but the newest are replaced.
          const lost = variant === "printed" && fail === "kmalloc"
            ? Array.from({ length: grows }, (_, i) => 8 * (i + 1))
            : [];
          assertEquals(leaked, lost, `seed ${seed}`);
          // What is left on purpose: a descriptor for each group, and the newest array.
          assertEquals([live, pending], [grows + 2, 0]);
          assertEquals(listFailRules(k), []);
        }
      }
    });
  }
}

Deno.test("ext4_kvfree_array_rcu: readers always find the right descriptor [variants=3 seeds=3]", () => {
  for (const variant of ["printed", "fixed", "kvfree_rcu"]) {
    for (const seed of SEEDS) {
      const { k } = told(ext4Scenario, { variant, grows: "20" }, seed);
      const marks = [...k.log.records()].filter((r) => r.kind === MARK_EVENT).map((r) =>
        k.log.text(r.args[0])
      );
      // 20 times longer than the first one.
      assertEquals(marks.at(-1), "add_new_gdb: 21 groups");
      assertEquals(marks.filter((text) => text.startsWith("reader:")), []);
    }
  }
});

Deno.test("ext4_kvfree_array_rcu: only kvfree_rcu(ptr) goes through the batch", () => {
  for (const [variant, batches] of [["fixed", 0], ["kvfree_rcu", 1]] as const) {
    const { k } = told(ext4Scenario, { variant, grows: "2" }, 7);
    assertEquals(executionsOf(k, "kvfree_rcu_work").length, batches);
  }
});

Deno.test("hello_kvfree_rcu frees any size, and needs no stub [sizes=6 seeds=3]", () => {
  for (const seed of SEEDS) {
    // Slab, large kmalloc and vmalloc: kvmalloc() falls back above what one block of pages can hold.
    for (const size of ["1", "8192", "8193", "100000", "1048577", "4194304"]) {
      const { k, leaked, live, pending } = told(helloScenario, { size }, seed);
      assertEquals([leaked, live, pending], [[], 0, 0], `size ${size}`);
      assertEquals(executionsOf(k, "kvfree_rcu_work").length, 1);
    }
  }
});

Deno.test("checkOptions() refuses what an example does not allow, and says what is", () => {
  const mistakes: readonly (readonly [OptionValues, string])[] = [
    [{ grows: "0" }, "1 to 50000 is allowed"],
    [{ grows: "2.5" }, "1 to 50000 is allowed"],
    [{ variant: "mended" }, "printed, fixed, kvfree_rcu are allowed"],
    [{ fail: "kmalloc,disk" }, "kmalloc, page, wrapper are allowed, joined by commas"],
    [{ speed: "9" }, "--variant, --grows, --fail allowed"],
  ];
  for (const [given, allowed] of mistakes) {
    const error = assertThrows(() => checkOptions(ext4Scenario, given), OptionError);
    assert(error.message.includes(allowed) && !error.message.includes("\n"), error.message);
  }
});
