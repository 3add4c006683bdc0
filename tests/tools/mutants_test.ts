// SPDX-License-Identifier: GPL-2.0-only
/** tools/mutants.ts: each mutant's place is in rcu/tree.ts, exactly once; what it does to the stress, `deno task mutants` tells. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import tree from "../../rcu/tree.ts" with { type: "text" };
import { MUTANTS, mutate } from "../../tools/mutants.ts";

for (const mutant of MUTANTS) {
  Deno.test(`mutant "${mutant.name}" changes one place of rcu/tree.ts`, () => {
    const mutated = mutate(tree, mutant);
    assert(mutated !== tree && mutant.breaks.length > 0);
    assertEquals(mutated.length - tree.length, mutant.replace.length - mutant.find.length);
  });
}

Deno.test("mutate() refuses a place that is missing or there twice", () => {
  const mutant = { name: "x", breaks: ["P1"], find: "here", replace: "there" };
  assertThrows(() => mutate("nowhere else", { ...mutant, find: "absent" }), Error, "0 times");
  assertThrows(() => mutate("here and here", mutant), Error, "2 times");
  assertEquals(mutate("only here", mutant), "only there");
});

Deno.test("there are at least ten mutants, and synchronize_rcu() as a no-op is one", () => {
  assert(MUTANTS.length >= 10);
  assert(MUTANTS.some(({ name }) => name === "synchronize_rcu() is a no-op"));
});
