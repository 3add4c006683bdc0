// SPDX-License-Identifier: GPL-2.0-only
/**
 * Exploring: what is claimed was done, counts are those that can be worked out by hand, planted bugs are found, and the
 * tokens of what was found fail again.
 */
import { assert, assertEquals, assertMatch, assertNotEquals, assertThrows } from "@std/assert";
import type { Config } from "../../kernel/config.ts";
import {
  boot,
  bootWith,
  checkOptions,
  claimName,
  cond_resched,
  decodeToken,
  type Execution,
  Executor,
  type Exploration,
  explorationLines,
  explore,
  judgeRun,
  type Minimised,
  minimising,
  type Plan,
  POLICY_FINE,
  POLICY_RUN_ON,
  POLICY_TIME,
  Run,
  type Scenario,
  scheduleOf,
  type Subject,
} from "../../mod.ts";
import { helloScenario } from "../../examples/hello_kvfree_rcu.ts";
import { harmless, lostUpdate, lostWakeup, twoWalkers } from "./search_toys.ts";

const BARE: Partial<Config> = { rcu: "none", cpus: 2, memBytes: 16 * 2 ** 20 };
/** One window of POLICY_RUN_ON: 250 ns << 8. */
const PREEMPT = 8;
const STEPS = { objects: ["step"] };

/** All words of so many L and R. */
function words(left: number, right: number): string[] {
  if (left === 0 || right === 0) return ["L".repeat(left) + "R".repeat(right)];
  return [
    ...words(left - 1, right).map((word) => `L${word}`),
    ...words(left, right - 1).map((word) => `R${word}`),
  ];
}

/**
 * Preemptions that an interleaving takes. In each window CPU 0 runs first: without a stall it is L...LR...R, two blocks.
 * Each further block takes one, and so does the empty first block of L if the word begins with R.
 */
function preemptions(word: string): number {
  const blocks = word.match(/L+|R+/g)?.length ?? 0;
  return word.startsWith("L") ? blocks - 2 : blocks - 1;
}

function choose(n: number, k: number): number {
  return k === 0 ? 1 : choose(n - 1, k - 1) * n / k;
}

for (const [left, right] of [[1, 1], [2, 1], [2, 2], [3, 2], [3, 3]]) {
  Deno.test(`bounded search finds exactly the interleavings that so many preemptions allow [${left} x ${right}]`, () => {
    const all = words(left, right);
    assertEquals(all.length, choose(left + right, left));
    for (let bound = 0; bound <= left + right; bound++) {
      for (const repeats of [true, false]) {
        const { scenario, word } = twoWalkers(left, right);
        const plan: Plan = { policy: "bounded", bound, stalls: [PREEMPT], at: STEPS, repeats };
        const r = explore({ config: BARE, scenario, outcome: word }, plan);
        const where = `bound ${bound} repeats ${repeats}`;
        assertEquals([r.first, r.ranOut, r.claim.kind], [null, null, "EXHAUSTED"], where);
        const reachable = all.filter((w) => preemptions(w) <= bound).sort();
        assertEquals(r.outcomes.map(([w]) => w), reachable, where);
        // With repeats: every set of at most `bound` of the points, once.
        let sets = 0;
        for (let j = 0; j <= bound; j++) sets += choose(left + right, j);
        if (repeats) assertEquals(r.executions, sets, where);
        else assert(r.executions <= sets, where);
        // What was left out is said.
        assertEquals(
          /not going on from \d+ that repeated/.test(r.claim.what),
          r.executions < sets,
          r.claim.what,
        );
        assertEquals([r.completed, r.outcomes.reduce((sum, [, n]) => sum + n, 0)], [
          r.executions,
          r.executions,
        ]);
      }
    }
  });
}

Deno.test("two times two steps: 1, 3, 5 and 6 words for 0 to 3 preemptions; no bound is named when nothing is left", () => {
  const { scenario, word } = twoWalkers(2, 2);
  const found = [0, 1, 2, 3, 4, 5].map((bound) =>
    explore({ config: BARE, scenario, outcome: word }, {
      policy: "bounded",
      bound,
      stalls: [PREEMPT],
      at: STEPS,
      repeats: true,
    })
  );
  // LLRR; LRRL RRLL; LRLR RLLR; RLRL
  assertEquals(found.map((r) => r.outcomes.length), [1, 3, 5, 6, 6, 6]);
  assertEquals(found.map((r) => r.executions), [1, 5, 11, 15, 16, 16]);
  assertEquals(found.map((r) => claimName(r.claim)), [
    "EXHAUSTED(0)",
    "EXHAUSTED(1)",
    "EXHAUSTED(2)",
    "EXHAUSTED(3)",
    "EXHAUSTED",
    "EXHAUSTED",
  ]);
});

Deno.test("a budget that ends first: what was done is claimed, and nothing more", () => {
  const { scenario } = twoWalkers(2, 2);
  const plan: Plan = { policy: "bounded", bound: 3, stalls: [PREEMPT], at: STEPS, repeats: true };
  const at = (executions: number): Exploration =>
    explore({ config: BARE, scenario }, plan, { budget: { executions, points: Infinity } });
  // Levels have 1, 4, 6 and 4 executions.
  const cases: readonly [number, string, string | null][] = [
    [0, "BOUNDED(none)", "executions"],
    [1, "BOUNDED(0)", "executions"],
    [4, "BOUNDED(0)", "executions"],
    [5, "BOUNDED(1)", "executions"],
    [6, "BOUNDED(1)", "executions"],
    [11, "BOUNDED(2)", "executions"],
    [14, "BOUNDED(2)", "executions"],
  ];
  for (const [budget, claim, ranOut] of cases) {
    const r = at(budget);
    assertEquals([claimName(r.claim), r.executions, r.ranOut], [claim, budget, ranOut], `budget ${budget}`);
    assertMatch([...explorationLines(r)][0], /^two_walkers: held so far, BOUNDED/);
  }
  assertMatch(at(6).claim.what, /, and 1 of those with 2$/);
  assertEquals([claimName(at(16).claim), at(16).ranOut], ["EXHAUSTED(3)", null]);
  const whole = at(16);
  const half = explore({ config: BARE, scenario }, plan, {
    budget: { executions: 16, points: whole.points / 2 },
  });
  assertEquals(half.ranOut, "points");
  assert(half.executions > 4 && half.executions < 12, `${half.executions}`);
  const sampled = explore({ config: BARE, scenario }, { policy: "random", runs: 50 }, {
    budget: { executions: 7, points: Infinity },
  });
  assertEquals([claimName(sampled.claim), sampled.executions, sampled.ranOut], [
    "SAMPLED(7)",
    7,
    "executions",
  ]);
});

Deno.test("a budget that is just enough is not called used up", () => {
  const { scenario } = twoWalkers(2, 2);
  const exact = explore({ config: BARE, scenario }, {
    policy: "bounded",
    bound: 2,
    stalls: [PREEMPT],
    at: STEPS,
    repeats: true,
  }, { budget: { executions: 11, points: Infinity } });
  assertEquals([claimName(exact.claim), exact.ranOut, exact.executions], ["EXHAUSTED(2)", null, 11]);
  const random = explore({ config: BARE, scenario }, { policy: "random", runs: 7 }, {
    budget: { executions: 7, points: Infinity },
  });
  assertEquals([claimName(random.claim), random.ranOut], ["SAMPLED(7)", null]);
});

/** Runs what a token says and returns why it fails. */
function replayed(token: string | null, scenario: Scenario): string {
  const { config, deviations, runs } = decodeToken(token ?? "");
  assertEquals(runs.map(({ name }) => name), [scenario.name]);
  const k = bootWith(config, scheduleOf(config, deviations));
  const run = new Run(k, scenario, checkOptions(scenario, runs[0].options));
  run.advance();
  return judgeRun(k, run)?.kind ?? "held";
}

Deno.test("a lost wake-up is found with one stall, minimised to that, and its token does it again; mended it holds", () => {
  const plan: Plan = { policy: "bounded", bound: 1 };
  const wrong = lostWakeup(false);
  const r = explore({ config: BARE, scenario: wrong }, plan, { minimise: true });
  assertEquals([r.first?.failure.kind, claimName(r.claim)], ["deadlock", "BOUNDED(0)"]);
  assertMatch(r.first?.failure.text ?? "", /sleeper/);
  const { stalls, token } = r.minimised!;
  // The waker comes 600 us later or a little more: 250 ns << 11 is 512 us, << 12 is 1024 us.
  assertEquals(stalls.map((s) => [s.thread, s.object, s.nth, s.stall]), [["sleeper", "looked", 1, 12]]);
  assertEquals([replayed(r.first!.token, wrong), replayed(token, wrong)], ["deadlock", "deadlock"]);
  assertEquals(replayed(token, lostWakeup(true)), "held");
  const mended = explore({ config: BARE, scenario: lostWakeup(true) }, plan);
  assertEquals([mended.first, claimName(mended.claim)], [null, "EXHAUSTED(1)"]);
});

Deno.test("a lost update is found by each policy and minimised to one stall", () => {
  const scenario = lostUpdate(3);
  const subject: Subject = { config: BARE, scenario };
  const plans: readonly Plan[] = [
    { policy: "random", runs: 300 },
    { policy: "random", runs: 300, base: POLICY_FINE },
    { policy: "pct", depth: 1, runs: 300, at: { threads: ["adder"] } },
    { policy: "pct", depth: 3, runs: 300, at: { threads: ["adder"] } },
    { policy: "bounded", bound: 1 },
  ];
  for (const plan of plans) {
    const r = explore(subject, plan, { minimise: true });
    const what = JSON.stringify([plan, r.claim]);
    assertEquals(r.first?.failure.kind, "report: kernel BUG", what);
    assert(r.minimised!.stalls.length <= 1, what);
    assertEquals(replayed(r.minimised!.token, scenario), "report: kernel BUG", what);
    assertEquals(replayed(r.first!.token, scenario), "report: kernel BUG", what);
  }
});

Deno.test("minimising drops stalls that do not matter, however many there are, and stays with the same failure", () => {
  const scenario = lostWakeup(false);
  const executor = new Executor({ config: BARE, scenario });
  const bounded = explore({ config: BARE, scenario }, { policy: "bounded", bound: 1 });
  const [needed] = bounded.first!.execution.schedule.deviations!;
  const points: { site: number; nth: number }[] = [];
  const undisturbed = { policy: POLICY_RUN_ON, seed: 1, deviations: [] };
  executor.execute({ ...undisturbed, onPoint: ({ site, nth }) => points.push({ site, nth }) });
  const useless = points.filter((_, i) => i % 4 === 0).map((point) => ({ ...point, stall: 1 }));
  assert(useless.length > 20);
  const padded = [...useless.filter((d) => d.site !== needed.site), needed];
  const failing = executor.execute({ ...undisturbed, deviations: padded });
  assertEquals(failing.failure?.kind, "deadlock");
  const subject = { config: BARE, scenario, judge: () => null };
  assertEquals(explore(subject, { policy: "bounded", bound: 1 }).first, null, "the judge decides");
  const minimised = minimise(executor, failing);
  assertEquals(minimised.stalls.map(({ thread, object }) => [thread, object]), [["sleeper", "looked"]]);
  assertEquals([minimised.from, minimised.failure.kind], [padded.length, "deadlock"]);
  assert(minimised.executions < 60, `${minimised.executions}`);
});

function minimise(executor: Executor, failing: Execution): Minimised {
  const work = minimising(executor, failing);
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

Deno.test("watching points, listing drawn stalls and giving them as a list change nothing [policies seeds]", () => {
  const options = checkOptions(helloScenario, {});
  for (const policy of [POLICY_TIME, POLICY_FINE, POLICY_RUN_ON]) {
    for (const seed of [1, 2, 3, 4, 5]) {
      const subject: Subject = { config: { cpus: 2, memBytes: 2 ** 24 }, scenario: helloScenario };
      const executor = new Executor(subject);
      const drawn = executor.execute({ policy, seed, deviations: null });
      let seen = 0;
      const watched = executor.execute({ policy, seed, deviations: null, onPoint: () => seen++ });
      assertEquals([watched.verdict, seen], [drawn.verdict, drawn.points]);
      const list = executor.deviationsOf(drawn);
      const given = executor.execute({ policy, seed, deviations: list });
      assertEquals(given.verdict, drawn.verdict, `${policy.name} ${seed}`);
      if (list.length > 0) {
        assertNotEquals(executor.execute({ policy, seed, deviations: [] }).verdict.hash, drawn.verdict.hash);
      }
      // A machine of its own gives the same.
      const k = bootWith({ ...subject.config, seed, policy }, { policy, seed, deviations: null });
      const run = new Run(k, helloScenario, options);
      run.advance();
      assertEquals(run.verdict(), drawn.verdict);
    }
  }
});

Deno.test("the same input gives the same result, whatever was explored before [plans]", () => {
  const subject: Subject = { config: { rcu: "tiny", memBytes: 2 ** 24 }, scenario: helloScenario };
  const plans: readonly Plan[] = [
    { policy: "random", runs: 15 },
    { policy: "pct", depth: 2, runs: 15, seed: 9 },
    { policy: "bounded", bound: 1, at: { threads: ["hello", "kworker"] } },
    { policy: "failslab" },
    { policy: "fail_page" },
  ];
  const once = plans.map((plan) => explore(subject, plan, { keepGoing: true }));
  const again = [...plans].reverse().map((plan) => explore(subject, plan, { keepGoing: true })).reverse();
  assertEquals(again, once);
  for (const r of once) {
    assertEquals([r.failures, r.completed], [[], r.executions], JSON.stringify(r.plan));
    assert(r.exercised > 0 && r.progress >= r.exercised, JSON.stringify(r.plan));
  }
  const other = explore(subject, { policy: "random", runs: 15, seed: 1000 });
  assertNotEquals(other.progress === 0, true);
  assertNotEquals(other.states, 0);
});

Deno.test("grace periods are counted: tree's own, tiny's batches; executions without one are said to show nothing", () => {
  // One pointer: a batch of its own on tiny; on tree one or two grace periods.
  const tiny = explore({ config: { rcu: "tiny" }, scenario: helloScenario }, { policy: "random", runs: 3 });
  assertEquals([tiny.progressName, tiny.progress, tiny.exercised], ["callback batch", 3, 3]);
  const tree = explore({ config: { cpus: 2 }, scenario: helloScenario }, { policy: "random", runs: 3 });
  assertEquals([tree.progressName, tree.exercised], ["grace period", 3]);
  assert(tree.progress >= 3);
  const idle = explore({ config: { cpus: 2 }, scenario: harmless }, { policy: "random", runs: 3 });
  assertEquals([idle.progress, idle.exercised, idle.first], [0, 0, null]);
  assertMatch([...explorationLines(idle)].join("\n"), /no grace period was completed in any of them/);
  const none = explore({ config: BARE, scenario: harmless }, { policy: "random", runs: 3 });
  assertEquals(none.progressName, null);
  assert(![...explorationLines(none)].join("\n").includes("RCU"));
});

Deno.test("a run that goes on for ever is a failure with a token, at the limit that was given", () => {
  const scenario: Scenario = {
    name: "spins",
    summary: "",
    options: [],
    *main(k) {
      for (;;) yield* cond_resched(k);
    },
  };
  const r = explore({ config: BARE, scenario, limits: { ns: 60e9, points: 10_000 } }, {
    policy: "random",
    runs: 3,
  });
  assertEquals([r.first?.nth, r.first?.failure.kind, r.completed], [1, "livelock", 0]);
  assert(r.first!.token!.startsWith("q2."));
  const nameless = explore({ config: BARE, scenario, ref: null, limits: { ns: 60e9, points: 10_000 } }, {
    policy: "random",
    runs: 1,
  });
  assertMatch([...explorationLines(nameless)].at(-1)!, /^no TOKEN/);
});

Deno.test("keepGoing counts failures by kind; the first one is kept", () => {
  const scenario = lostWakeup(false);
  const r = explore({ config: BARE, scenario }, { policy: "bounded", bound: 1 }, { keepGoing: true });
  assertEquals(claimName(r.claim), "EXHAUSTED(1)");
  const [[kind, n]] = r.failures;
  // Of the stalls at "looked", the one of a window is over before the waker comes.
  assertEquals([r.failures.length, kind, r.executions - r.completed], [1, "deadlock", n]);
  assert(n >= 2 && r.first !== null);
});

Deno.test("plans that cannot be carried out are refused", () => {
  const subject: Subject = { config: BARE, scenario: harmless };
  for (
    const plan of [
      { policy: "random", runs: 0 },
      { policy: "random", runs: 2, seed: Number.MAX_SAFE_INTEGER },
      { policy: "pct", runs: 1, depth: 0 },
      { policy: "bounded", bound: -1 },
      { policy: "bounded", bound: 1.5 },
    ] as const
  ) assertThrows(() => explore(subject, plan), RangeError);
  assertThrows(() => boot({ cpus: 0 }));
});
