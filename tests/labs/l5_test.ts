// SPDX-License-Identifier: GPL-2.0-only
// L5: both solutions, the starter and every mutant graded; the hand-out's experiments; tokens; the broken machines.

import { assert, assertEquals, assertMatch, assertNotEquals, assertStringIncludes } from "@std/assert";
import readme from "../../labs/l5/README.md" with { type: "text" };
import manifestJson from "../../labs/l5/lab.json" with { type: "json" };
import starter from "../../labs/l5/start.ts" with { type: "text" };
import textA from "../../labs/instructor/l5/solution_a.ts" with { type: "text" };
import textB from "../../labs/instructor/l5/solution_b.ts" with { type: "text" };
import textK3 from "../../labs/instructor/l5/mutants/K3.ts" with { type: "text" };
import lab from "../../labs/l5/lab.ts";
import * as hunt from "../../labs/l5/hunt.ts";
import * as start from "../../labs/l5/start.ts";
import * as solution_a from "../../labs/instructor/l5/solution_a.ts";
import * as solution_b from "../../labs/instructor/l5/solution_b.ts";
import * as K3 from "../../labs/instructor/l5/mutants/K3.ts";
import * as K4 from "../../labs/instructor/l5/mutants/K4.ts";
import * as K6 from "../../labs/instructor/l5/mutants/K6.ts";
import * as K7 from "../../labs/instructor/l5/mutants/K7.ts";
import * as LT5 from "../../labs/instructor/l5/mutants/LT5.ts";
import * as LT10 from "../../labs/instructor/l5/mutants/LT10.ts";
import hidden from "../../labs/instructor/l5/hidden.json" with { type: "json" };
import { gradeInProcess, type GradeReport } from "../../labs/framework/grade.ts";
import { parseManifest } from "../../labs/framework/manifest.ts";
import { keyOf } from "../../labs/framework/variants.ts";
import { tinyVariant, variantFrom, variantOf, variantText } from "../../labs/l5/variants.ts";
import { experimentsOf, labShell } from "./lab_shell.ts";

const manifest = parseManifest(JSON.stringify(manifestJson), "labs/l5/lab.json");
const KEYS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, keyOf("l5", "20261234")];

type Submission = Readonly<Record<string, unknown>>;

function grade(submission: Submission | string, key: number, only?: readonly string[]): GradeReport {
  const options = only === undefined ? {} : { only };
  return gradeInProcess(lab, manifest, submission, { key, starter, seeds: hidden.seeds, ...options });
}

function failures({ properties }: GradeReport): string[] {
  return properties.flatMap(({ id, outcome }) => outcome.state === "PASS" ? [] : [`${id} ${outcome.state}`]);
}

function causesOf({ properties }: GradeReport): string[] {
  return properties.flatMap(({ outcome }) => outcome.state === "FAIL" ? [outcome.cause] : []);
}

for (const [name, solution] of Object.entries({ solution_a, solution_b })) {
  for (const key of KEYS) {
    Deno.test(`${name} has all points [key=${key}]`, () => {
      const report = grade(solution, key);
      assertEquals(failures(report), []);
      assertEquals([report.score, report.max], [100, 100]);
    });
  }
}

Deno.test("the starter has at most a tenth of the points, and nothing outside of regions differs in the solutions", () => {
  assert(grade(start, 0).score <= 10);
  for (const text of [textA, textB, textK3]) {
    const outside = (t: string): string => t.replace(/\/\/ \[student (\w+)\n[^]*?\/\/ student\]/g, "[$1]");
    assertEquals(outside(text), outside(starter));
  }
});

Deno.test("the solution as text, instrumented as in the sandbox, has all points", () => {
  const report = grade(textA, 3);
  assertEquals([report.score, report.notices.length, failures(report)], [100, 0, []]);
});

// What each mutant breaks: the property that must be named, and what its own programs say.
const MUTANTS: Readonly<Record<string, readonly [Submission, string, string]>> = {
  LT5: [LT5, "L1", "L1: cb1 was queued and has not run"],
  LT10: [LT10, "S2", "S2: cb1 is invoked outside of rcu_process_callbacks()"],
  K3: [K3, "A1", "store at"],
  K4: [K4, "F4", "is never freed; the monitor found all slots busy"],
  K6: [K6, "F2", "F2: the headless kvfree_call_rcu() with preemption off is not reported"],
  K7: [K7, "F3", "is freed a second time; it was given"],
};

for (const [id, [mutant, property, words]] of Object.entries(MUTANTS)) {
  for (const key of [0, 77]) {
    Deno.test(`mutant ${id} has less than 70 points and ${property} says why [key=${key}]`, () => {
      const report = grade(mutant, key);
      assert(report.score < 70, `${report.score}`);
      assert(report.score > 0, "the rest is graded");
      const found = report.properties.find((it) => it.id === property)?.outcome;
      assert(found?.state === "FAIL", `${property} ${found?.state}`);
      assertStringIncludes(found.cause, words);
      assertMatch(found.token ?? "", /^q2\./);
      assert(
        found.trace.length > 1 && found.trace.every((line) => line.length <= 80),
        found.trace.join("\n"),
      );
      if (key === 0) assertEquals(grade(mutant, key), report);
    });
  }
}

/** A solution in whose function `name` interrupts stay on. */
function withInterruptsOn(solution: Submission, name: string): Submission {
  const fn = solution[name] as (m: object, ...args: number[]) => Generator;
  return {
    ...solution,
    [name]: (m: object, ...args: number[]) =>
      fn({ ...m, local_irq_save: () => false, local_irq_restore: () => {} }, ...args),
  };
}

for (
  const [name, property] of [["call_rcu", "X1"], ["rcu_process_callbacks", "X1"], ["kvfree_call_rcu", "X3"]]
) {
  for (const [solution, exports] of Object.entries({ solution_a, solution_b })) {
    Deno.test(`${property} finds interrupts on in ${name}() of ${solution}`, () => {
      const report = grade(withInterruptsOn(exports, name), 1, [property]);
      assertEquals(failures(report), [`${property} FAIL`]);
    });
  }
}

Deno.test("lists in TypeScript's memory have no points for what they do", () => {
  const waiting: [number, number][] = [];
  const cheat = {
    ...solution_a,
    *call_rcu(_m: start.Tiny, head: number, func: number) {
      waiting.push([head, func]);
    },
    *rcu_qs(m: start.Tiny) {
      if (waiting.length > 0) m.raise_softirq();
    },
    *rcu_process_callbacks(m: start.Tiny) {
      for (const [head, func] of waiting.splice(0)) yield* m.invoke(head, func);
    },
  };
  const report = grade(cheat, 0, ["S3", "A2", "X1"]);
  assertEquals(failures(report), ["S3 FAIL", "A2 FAIL", "X1 FAIL"]);
  assertStringIncludes(causesOf(report)[1], "nothing in memory leads to it");
});

Deno.test("an exception, an endless loop and a missing function fail alone", () => {
  const throws = {
    ...solution_a,
    *rcu_barrier() {
      (undefined as unknown as { x: number }).x++;
    },
  };
  assertEquals(failures(grade(throws, 0, ["S1", "S6", "F1"])), ["S6 FAIL"]);
  const endless = {
    ...solution_a,
    *rcu_barrier(m: start.Tiny) {
      for (;;) yield* m.load(m.ctrl);
    },
  };
  const report = grade(endless, 0, ["S1", "S6"]);
  assertEquals(failures(report).length, 1);
  const { rcu_barrier: _, ...missing } = solution_a;
  assertStringIncludes(causesOf(grade(missing, 0, ["X2"]))[0], "rcu_barrier");
});

Deno.test("variants differ in structure, are the same for the same key, and can be written in words", () => {
  const all = Array.from({ length: 200 }, (_, key) => tinyVariant(variantOf(key)));
  for (
    const [name, many] of [["order", 2], ["limit", 4], ["slots", 2], ["capacity", 5], ["drain", 5], [
      "spare",
      2,
    ], ["func", 3]] as const
  ) {
    assertEquals(new Set(all.map((v) => v[name])).size, many, name);
  }
  for (const v of all) assertEquals(variantFrom(variantText(v)), v);
  assertEquals(variantOf(5), variantOf(5));
  assertNotEquals(variantOf(5), variantOf(6));
});

Deno.test("each broken machine is exposed by the solutions' programs in every variant, and by no other property", () => {
  for (let key = 1; key <= 40; key++) {
    const report = grade(solution_a, key, ["H1", "H2", "H3"]);
    assertEquals(failures(report), [], `key ${key}`);
  }
});

Deno.test("a witness must be of the right property, must not break the proper machine, and may be a token", async () => {
  const say = (w: object): Submission => ({
    ...solution_a,
    hunt: () => [{ broken: 2, property: "L1", ...w }],
  });
  const [wrong] = grade(say({ property: "F1", task: "call,call,call,call,sleep" }), 0, ["H1"]).properties;
  assertStringIncludes(JSON.stringify(wrong.outcome), "you say F1");
  const [nothing] = grade(say({ task: "call,sleep" }), 0, ["H1"]).properties;
  assertStringIncludes(JSON.stringify(nothing.outcome), "keeps every property");
  const [bad] = grade(say({ task: "jump" }), 0, ["H1"]).properties;
  assertEquals(bad.outcome.state, "FAIL");
  const shell = labShell({ "hunt.ts": hunt });
  const { out } = await shell.run(
    "boot --rcu tiny; run labs/l5/hunt.ts --broken 2 --task call,call,call,call,sleep",
  );
  const token = /TOKEN (\S+)/.exec(out)?.[1];
  assertEquals(failures(grade(say({ token }), 0, ["H1"])), []);
  assertEquals(failures(grade(say({ token: "q2.AAAA" }), 0, ["H1"])), ["H1 FAIL"]);
});

// A check, a mutant, and how the report begins that its token brings again: explored, run, drawn, with faults.
const REPLAYED: readonly (readonly [string, Submission, string])[] = [
  ["X1", LT10, "l5: S2: cb1 is invoked outside of rcu_process_callbacks()"],
  ["F4", K4, "l5: F4: obj3 was given to kvfree_call_rcu() and is never freed"],
  ["X3", K7, "l5: F3: "],
  ["W1", LT10, "l5: F1: obj1 is freed without a quiescent state since it was given"],
];

for (const [id, file, words] of REPLAYED) {
  Deno.test(`the token of a failed ${id} replays in the shell where the file stands`, async () => {
    const [{ outcome }] = grade(file, 0, [id]).properties;
    assert(outcome.state === "FAIL" && outcome.token !== null);
    const { out } = await labShell({ "l5.ts": file }).run(`replay ${outcome.token}`);
    assertStringIncludes(out, words);
    assertMatch(outcome.trace[0], /ms task +softirq +hardirq/);
  });
}

// What the hand-out says can be seen.
const SHOWN: readonly (readonly [RegExp, number])[] = [
  [/-- unlock[^]*-- spin[^]*-- sleep[^]*invoke cb1/, 0],
  [/invoke cb1[^]*call_rcu\(cb1[^]*softirq_entry: vec=9[^]*invoke cb1/, 0],
  [/suspicious RCU usage[^]*sleeping function called from invalid context/, 1],
];

Deno.test("the hand-out's three experiments show what they are about", async () => {
  const experiments = experimentsOf(readme);
  assertEquals(experiments.length, SHOWN.length);
  for (const [i, line] of experiments.entries()) {
    const { out, status } = await labShell({ "hunt.ts": hunt }).run(line);
    assertMatch(out, SHOWN[i][0], line);
    assertEquals(status, SHOWN[i][1], line);
  }
});
