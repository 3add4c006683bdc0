// SPDX-License-Identifier: GPL-2.0-only
/**
 * Exploring real programs: known bugs of kvfree_rcu() without the schedules that are stored for them, the helper of ext4
 * with one allocation after the other failing, and the same programs where there is no bug.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  bootWith,
  checkOptions,
  claimName,
  clearFailRules,
  decodeToken,
  explorationLines,
  explore,
  judgeRun,
  type MaySleep,
  type OptionValues,
  Run,
  type Scenario,
  scheduleOf,
  type Subject,
} from "../../mod.ts";
import { ext4Scenario } from "../../examples/ext4_kvfree_array_rcu.ts";
import { earlyScenario } from "../../examples/bugs/kvfree_early.ts";
import { strandedScenario } from "../../examples/bugs/kvfree_stranded.ts";
import { addFailRule } from "../../kernel/fault_inject.ts";
import { FAIL_ACTION, ruleFromOptions } from "../../explore/workbench.ts";

/** Does what a token says, faults and all, with the shell's means, and returns why it fails. */
function replayed(token: string, scenario: Scenario): string {
  const { config, deviations, runs } = decodeToken(token);
  const k = bootWith(config, scheduleOf(config, deviations));
  let failure = "nothing ran";
  for (const { name, options } of runs) {
    if (name === FAIL_ACTION) {
      addFailRule(k, ruleFromOptions(options));
      continue;
    }
    assertEquals(name, scenario.name);
    const run = new Run(k, scenario, checkOptions(scenario, options));
    run.advance();
    failure = judgeRun(k, run)?.kind ?? "held";
  }
  return failure;
}

Deno.test("B9 is found by a bounded search over the readers' accesses, without its stored stalls [7/7 cpus=4]", () => {
  const subject: Subject = { config: { cpus: 4, kasan: true, memBytes: 2 ** 25 }, scenario: earlyScenario };
  const longest = 18; // 65 ms
  const r = explore(subject, {
    policy: "bounded",
    bound: 2,
    stalls: [longest],
    at: { threads: ["reader"], kinds: ["read"], objects: ["rcu_dereference"] },
  }, { minimise: true, budget: { executions: 600, points: Infinity } });
  assertEquals(claimName(r.claim), "BOUNDED(1)", "no single stall shows it");
  assertMatch(r.first?.failure.kind ?? "", /^property KV1$|use-after-free/);
  // What bugs/kvfree_early.ts says that it needs: one slow reader while a batch waits, then the other one.
  const { stalls, token } = r.minimised!;
  assertEquals(stalls.map(({ thread }) => thread).sort(), ["reader/1", "reader/2"]);
  assertEquals(replayed(token!, earlyScenario), r.first!.failure.kind);
  assertEquals(replayed(r.first!.token!, earlyScenario), r.first!.failure.kind);
});

Deno.test("B8 is found by random schedules at 7/7, and not at v5.9 where it is gone [cpus=4]", () => {
  const at = (level: "7/7" | "v5.9"): Subject => ({
    config: { cpus: 4, memBytes: 2 ** 25, level },
    scenario: strandedScenario,
  });
  const found = explore(at("7/7"), { policy: "random", runs: 60 }, { minimise: true });
  // Five pointers that no timer will come for: KV3.
  assertEquals(found.first?.failure.kind, "property KV3");
  assert(found.minimised!.stalls.length <= 3, JSON.stringify(found.minimised));
  assertEquals(replayed(found.minimised!.token!, strandedScenario), "property KV3");
  assertEquals(replayed(found.first!.token!, strandedScenario), "property KV3");
  const gone = explore(at("v5.9"), { policy: "random", runs: found.first!.nth + 20 });
  assertEquals([gone.first, gone.ranOut], [null, null]);
});

function ext4(options: OptionValues): Subject {
  return { config: { rcu: "tiny", memBytes: 2 ** 24 }, scenario: ext4Scenario, options };
}

Deno.test("failslab finds each stub that the printed helper cannot get, one for every time the array grows [grows=1..3]", () => {
  for (const grows of ["1", "2", "3"]) {
    const sweep = { policy: "failslab" } as const;
    const r = explore(ext4({ variant: "printed", grows }), sweep, { keepGoing: true });
    assertEquals([r.claim.kind, r.failures], ["EXHAUSTED", [["leak", Number(grows)]]]);
    const fixed = explore(ext4({ variant: "fixed", grows }), sweep);
    assertEquals([fixed.claim.kind, fixed.first], ["EXHAUSTED", null]);
    // The two differ in what they free when there is no stub; they ask for the same.
    assertEquals(fixed.executions, r.executions);
    const [fault] = r.first!.execution.faults;
    assertEquals(fault, { what: "slab", nth: r.first!.nth, times: 1 });
    assertEquals(replayed(r.first!.token!, ext4Scenario), "leak");
    // It is the helper's own request: with all requests but that one let through the same leaks.
    const own = explore(ext4({ variant: "printed", grows }), {
      policy: "failslab",
      only: { site: "ext4_kvfree_array_rcu" },
    }, { keepGoing: true });
    assertEquals([own.executions, own.failures], [Number(grows) + 1, [["leak", Number(grows)]]]);
  }
});

Deno.test("a sweep that a budget ends claims the faults that it tried", () => {
  const all = explore(ext4({ variant: "fixed" }), { policy: "failslab" });
  const n = all.executions - 1; // the last one made fewer
  assertMatch(all.claim.what, new RegExp(`^each of ${n} slab allocations failed$`));
  const budget = { executions: 5, points: Infinity };
  const cut = explore(ext4({ variant: "fixed" }), { policy: "failslab" }, { budget });
  assertEquals([claimName(cut.claim), cut.executions, cut.ranOut], ["BOUNDED(5)", 5, "executions"]);
});

Deno.test("fail_page fails each page once, and kvfree_rcu() gets by", () => {
  const r = explore(ext4({ variant: "kvfree_rcu", groups: "2000" }), { policy: "fail_page" });
  assertEquals([r.claim.kind, r.first], ["EXHAUSTED", null]);
  assert(r.executions > 3, `${r.executions}`);
});

Deno.test("faults of a minimised failure stay; its stalls go when the fault alone is enough", () => {
  const subject: Subject = {
    ...ext4({ variant: "printed" }),
    faults: [{ what: "slab", site: "ext4_kvfree_array_rcu", times: -1 }],
  };
  const r = explore(subject, { policy: "random", runs: 3 }, { minimise: true });
  assertEquals([r.first?.nth, r.first?.failure.kind, r.minimised?.stalls], [1, "leak", []]);
  assert((r.minimised?.from ?? 0) > 0);
  assertEquals(replayed(r.minimised!.token!, ext4Scenario), "leak");
});

Deno.test("a reader that keeps its pointer over a wait is found on tree RCU, and one that does not is not [cpus=2]", () => {
  const at = (reader: string): Subject => ({
    config: { cpus: 2, memBytes: 2 ** 25 },
    scenario: ext4Scenario,
    options: { reader },
  });
  const escapes = explore(at("escapes"), { policy: "random", runs: 20 }, { minimise: true });
  assertMatch(escapes.first?.failure.kind ?? "", /use-after-free/);
  assertMatch([...explorationLines(escapes)].at(-1) ?? "", /^TOKEN q2\.[\w-]+$/);
  const leaves = explore(at("leaves"), { policy: "random", runs: 20 });
  assertEquals([leaves.first, leaves.exercised], [null, 20]);
});

Deno.test("a program that clears fault rules ends a sweep without a claim beyond it", () => {
  const scenario: Scenario = {
    ...ext4Scenario,
    *main(k, options): MaySleep<void> {
      clearFailRules(k);
      yield* ext4Scenario.main(k, options);
    },
  };
  const r = explore({ ...ext4({}), scenario }, { policy: "failslab" });
  // While its thread could not be made it cleared nothing.
  assertEquals(claimName(r.claim), `BOUNDED(${r.executions - 1})`);
  assert(r.executions <= 6, `${r.executions}`);
  assertMatch(r.claim.what, /the program clears fault rules/);
});
