// SPDX-License-Identifier: GPL-2.0-only
// L9: both solutions and every bad submission, the hand-out's experiments, what a token must be, the given program.

import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Outcome, Part } from "../../labs/lab.ts";
import readme from "../../labs/l9/README.md" with { type: "text" };
import manifest from "../../labs/l9/lab.json" with { type: "json" };
import lab from "../../labs/l9/lab.ts";
import * as resize from "../../labs/l9/resize.ts";
import * as start from "../../labs/l9/start.ts";
import { dealOf, type Site, SITES, VARIANTS } from "../../labs/l9/deal.ts";
import { DIFFERENCES } from "../../labs/l9/differences.ts";
import { machine, TRIALS, tried } from "../../labs/l9/fixes.ts";
import { partsWith } from "../../labs/l9/parts.ts";
import { resizeScenario } from "../../labs/l9/program.ts";
import * as solution_a from "../../labs/instructor/l9/solution_a.ts";
import * as solution_b from "../../labs/instructor/l9/solution_b.ts";
import * as ALL_ACCUSED from "../../labs/instructor/l9/mutants/ALL_ACCUSED.ts";
import * as ALL_CLEAN from "../../labs/instructor/l9/mutants/ALL_CLEAN.ts";
import * as AT_ONCE from "../../labs/instructor/l9/mutants/AT_ONCE.ts";
import * as DELAY from "../../labs/instructor/l9/mutants/DELAY.ts";
import * as EARLY from "../../labs/instructor/l9/mutants/EARLY.ts";
import * as FOUND_ONLY from "../../labs/instructor/l9/mutants/FOUND_ONLY.ts";
import * as LEAK from "../../labs/instructor/l9/mutants/LEAK.ts";
import * as LOCKED from "../../labs/instructor/l9/mutants/LOCKED.ts";
import * as READER_WAITS from "../../labs/instructor/l9/mutants/READER_WAITS.ts";
import * as SERIAL from "../../labs/instructor/l9/mutants/SERIAL.ts";
import * as UNDER_READER from "../../labs/instructor/l9/mutants/UNDER_READER.ts";
import { decodeToken, encodeToken } from "../../mod.ts";
import { explore } from "../../explore/search/explore.ts";
import { explorationLines } from "../../explore/search/lines.ts";
import { experimentsOf, labShell } from "./lab_shell.ts";

const MUTANTS = {
  ALL_ACCUSED,
  ALL_CLEAN,
  AT_ONCE,
  DELAY,
  EARLY,
  FOUND_ONLY,
  LEAK,
  LOCKED,
  READER_WAITS,
  SERIAL,
  UNDER_READER,
};

interface Grade {
  readonly score: number;
  readonly outcomes: Readonly<Record<string, Outcome>>;
}

const FINDINGS = manifest.properties.map(({ id }) => id).filter((id) => /^[XMC]/.test(id));

/** Grades in this process, without a sandbox. */
function grade(submission: object, key: number, ids: readonly string[] | null = null): Grade {
  let score = 0;
  let executions = 0;
  const outcomes: Record<string, Outcome> = {};
  for (const { id, points } of manifest.properties) {
    if (ids !== null && !ids.includes(id)) continue;
    const outcome = lab.checks[id]({
      submission: submission as Record<string, unknown>,
      variant: lab.variant(key),
      seeds: [101, 202],
      budget: manifest.budget,
      execution: () => executions++,
    });
    outcomes[id] = outcome;
    if (outcome.state === "PASS") score += points;
    if (outcome.state === "FAIL") score += points * (outcome.credit ?? 0);
  }
  assert(executions <= manifest.budget.executions, `${executions} executions`);
  return { score, outcomes };
}

function failures({ outcomes }: Grade): string {
  return Object.entries(outcomes).filter(([, { state }]) => state !== "PASS").map(([id, outcome]) =>
    `${id} ${JSON.stringify(outcome)}`
  ).join("\n");
}

Deno.test("l9 manifest: every property has a check and the other way round, points add up to 100, parts are of the contract", () => {
  assertEquals(manifest.properties.map(({ id }) => id).sort(), Object.keys(lab.checks).sort());
  assertEquals(manifest.properties.reduce((sum, { points }) => sum + points, 0), 100);
  const parts: readonly Part[] = ["run", "explore", "sweep", "cost", "quiz"];
  for (const { id, part } of manifest.properties) assert(parts.includes(part as Part), id);
  for (const id of Object.keys(manifest.hints)) assert(id in lab.checks, id);
});

Deno.test("dealOf() gives three sites a difference of three families, in another way for each number [variants=648]", () => {
  const seen = new Set<string>();
  for (let variant = 0; variant < VARIANTS; variant++) {
    const deal = dealOf(variant);
    const given = SITES.flatMap((site) => deal[site] ?? []);
    const families = given.map((d) => Object.values(DIFFERENCES).findIndex((all) => all.includes(d)));
    assertEquals(families.sort(), [0, 1, 2]);
    seen.add(SITES.map((site) => deal[site]?.id ?? "-").join(" "));
  }
  assertEquals(seen.size, 648); // 3 kinds in each of 3 families, 4! ways to seat them and nobody
});

Deno.test("l9: both solutions score 100 [keys=8]", () => {
  for (const key of [0, 1, 2, 77, 20261234, 4000000007, 31337, 646]) {
    for (const [name, submission] of Object.entries({ solution_a, solution_b })) {
      // What is not about the variant is graded for one key of each.
      const all = key === (submission === solution_a ? 0 : 1) ? null : [...FINDINGS, `F${1 + key % 4}`];
      const graded = grade(submission, key, all);
      assertEquals(failures(graded), "", `${name}, key ${key}`);
    }
  }
});

Deno.test("l9: the solutions expose each difference at each site, in the smallest way [differences=9 sites=4]", () => {
  const left = new Set(
    Object.values(DIFFERENCES).flat().flatMap(({ id }) => SITES.map((site) => `${id} ${site}`)),
  );
  for (let variant = 0; variant < VARIANTS && left.size > 0; variant++) {
    SITES.forEach((site, i) => {
      const id = dealOf(variant)[site]?.id;
      if (id === undefined || !left.delete(`${id} ${site}`)) return;
      const graded = grade(left.size % 2 === 0 ? solution_a : solution_b, variant, [
        `X${i + 1}`,
        `M${i + 1}`,
        `C${i + 1}`,
      ]);
      assertEquals(failures(graded), "", `${id} at ${site}`);
    });
  }
  assertEquals([...left], []);
});

Deno.test("l9: the starter scores nothing, each bad submission less than 70, and says why [mutants=11]", () => {
  const scores: Record<string, number> = { starter: grade(start, 5).score };
  assertEquals(scores.starter, 0);
  for (const [name, submission] of Object.entries(MUTANTS)) {
    const graded = grade(submission, 5);
    scores[name] = graded.score;
    assert(graded.score < 70, `${name}: ${graded.score}`);
    for (const [id, outcome] of Object.entries(graded.outcomes)) {
      if (outcome.state !== "FAIL") continue;
      assertMatch(outcome.cause, /\w+ \w+/, id);
      for (const line of outcome.trace) assert(line.length <= 80, line);
      if (/^[FWH]/.test(id)) assert(outcome.trace.length > 1, `${name} ${id}: ${outcome.cause}`);
    }
  }
  // The hunt is 48 of the points; with the headless form, 60.
  assertEquals([scores.FOUND_ONLY, scores.LEAK, scores.SERIAL, scores.DELAY], [48, 60, 60, 60]);
});

Deno.test("l9: bad fixes fail for the reason they should", () => {
  const causes: readonly (readonly [object, string, RegExp])[] = [
    [LEAK, "F1", /leaked: 24 bytes/],
    [AT_ONCE, "F2", /no memory for a stub.*use-after-free/],
    [DELAY, "F3", /no memory for a stub.*use-after-free/],
    [UNDER_READER, "F4", /a plain run: .*use-after-free/],
    [SERIAL, "W3", /growing must not wait for readers/],
    [READER_WAITS, "W3", /readers come to \d+ looks/],
    [LOCKED, "F1", /suspicious RCU usage/],
  ];
  for (const [submission, id, pattern] of causes) {
    const { outcomes: { [id]: outcome } } = grade(submission, 0, [id]);
    assert(outcome.state === "FAIL", id);
    assertMatch(outcome.cause, pattern);
  }
});

Deno.test("l9: the same submission is graded the same twice", () => {
  const some = ["X1", "M1", "C1", "F2", "W1", "H1"];
  for (const submission of [solution_a, MUTANTS.EARLY, MUTANTS.ALL_ACCUSED]) {
    assertEquals(grade(submission, 9, some), grade(submission, 9, some));
  }
});

/** Solution A with some fields of one finding changed. */
function changed(key: number, site: Site, change: object): object {
  const findings = solution_a.findings(lab.variant(key));
  return { ...solution_a, findings: { ...findings, [site]: { ...findings[site], ...change } } };
}

Deno.test("l9: a false accusation costs the clean site and a third of what was exposed elsewhere", () => {
  const key = 0; // gdb U3, meta_bg E3, groupinfo clean, flex K1
  assertEquals(SITES.map((site) => dealOf(0)[site]?.id ?? "clean"), ["U3", "E3", "clean", "K1"]);
  const pending = decodeToken(solution_a.findings(lab.variant(key)).flex.token);
  const [run] = pending.runs;
  const token = encodeToken({
    ...pending,
    runs: [{ ...run, options: { ...run.options, site: "groupinfo" } }],
  });
  const accused = grade(changed(key, "groupinfo", { verdict: "leak", token }), key, FINDINGS);
  assertEquals(accused.score, 48 - 12 - 3 * 2);
  const outcome = accused.outcomes.X3;
  assert(outcome.state === "FAIL");
  assertMatch(outcome.cause, /ends well: nothing is leaked, and what is pending is freed/);
  assertEquals(outcome.token, token);
});

Deno.test("l9: what is wrong with a token is said, and takes the points of its site only", () => {
  const key = 0;
  const { gdb } = solution_a.findings(lab.variant(key));
  const content = decodeToken(gdb.token);
  const [run] = content.runs;
  const withRun = (options: Record<string, string>): string =>
    encodeToken({ ...content, runs: [{ ...run, options: { ...run.options, ...options } }] });
  const tokens: readonly (readonly [string, RegExp])[] = [
    ["", /there is no token/],
    ["TOKEN hello", /is not a token/],
    [gdb.token.slice(0, -1), /token/],
    [encodeToken({ ...content, runs: [] }), /runs 0 programs/],
    [
      encodeToken({ ...content, runs: [{ name: "hello_kvfree_rcu", options: {} }] }),
      /it runs hello_kvfree_rcu/,
    ],
    [withRun({ variant: "1" }), /variant 1, not yours/],
    [withRun({ site: "flex" }), /--site flex/],
    [withRun({ site: "all" }), /--site all/],
    [withRun({ nonsense: "1" }), /unknown option --nonsense/],
    [encodeToken({ ...content, config: { ...content.config, cpus: 64 } }), /too large/],
    [encodeToken({ ...content, runs: [{ name: "!clear", options: {} }, run] }), /clears faults/],
  ];
  for (const [token, pattern] of tokens) {
    const graded = grade(changed(key, "gdb", { token }), key, FINDINGS);
    assertEquals(graded.score, 48 - 12, token);
    const outcome = graded.outcomes.X1;
    assert(outcome.state === "FAIL");
    assertMatch(outcome.cause, pattern);
  }
  // "TOKEN" in front is as the shell prints it, an absolute path is where the same file stands.
  for (
    const token of [
      `TOKEN ${gdb.token}`,
      encodeToken({ ...content, runs: [{ ...run, name: "/x/labs/l9/resize.ts" }] }),
    ]
  ) {
    assertEquals(grade(changed(key, "gdb", { token }), key, FINDINGS).score, 48);
  }
});

Deno.test("l9: size, class and story count on their own", () => {
  const key = 0;
  const { gdb } = solution_a.findings(lab.variant(key));
  const content = decodeToken(gdb.token);
  const [run] = content.runs;
  const longer = encodeToken({ ...content, runs: [{ ...run, options: { ...run.options, grows: "2" } }] });
  const larger = grade(changed(key, "gdb", { token: longer }), key, ["X1", "M1"]);
  assertEquals(larger.score, 6 + 1.5);
  assertEquals(grade(changed(key, "gdb", { verdict: "uaf" }), key, ["X1", "C1"]).score, 6);
  assertEquals(grade(changed(key, "gdb", { event: gdb.event + 1 }), key, ["X1", "C1"]).score, 6 + 1.5);
  assertEquals(grade(changed(key, "gdb", { verdict: "nonsense" }), key, ["X1", "M1", "C1"]).score, 0);
  assertEquals(grade({ ...solution_a, findings: null }, key, ["X1", "M1", "C1"]).score, 0);
});

Deno.test("l9: with proper functions the program leaves nothing and reports nothing [sites=4 policies=3]", () => {
  for (const site of SITES) {
    for (const trial of TRIALS) {
      assertEquals(tried(partsWith(), site, trial, 7).played.failure, null, `${site} ${trial.what}`);
    }
  }
  const subject = {
    config: machine(5),
    scenario: resizeScenario(() => partsWith()),
    options: { grows: "1", hold: "6", groups: "2" },
  };
  for (
    const plan of [{ policy: "pct", runs: 15, depth: 3 }, { policy: "failslab" }, {
      policy: "fail_page",
    }] as const
  ) {
    const result = explore(subject, plan);
    assertEquals(result.first, null, [...explorationLines(result)].join("\n"));
  }
});

Deno.test("l9 README: its three experiments show what it says", async () => {
  const text = experimentsOf(readme);
  assertEquals(text.length, 3);
  const [pending, failed, searched] = await Promise.all(
    text.map((lines) => labShell({ "resize.ts": resize }).run(lines)),
  );
  assertEquals(pending.status, 4, pending.err); // leaks in the middle of a run is inconclusive
  assertMatch(pending.out, /0 leaked, 1 pending[^]*0 leaked, 0 pending, 0 live/);
  assertEquals(failed.status, 0, failed.err);
  // The array is freed by the helper itself, and every reader's section has ended before that.
  const lines = failed.out.split("\n");
  const freed = lines.findIndex((line) =>
    /writer-.*kfree: call_site=ext4_kvfree_array_rcu ptr=ffff/.test(line)
  );
  assert(freed > 0, failed.out);
  const readers = new Set(lines.slice(0, freed).flatMap((line) => /reader\/\d/.exec(line) ?? []));
  assertEquals(readers.size, 3);
  assertEquals(searched.status, 1, searched.out);
  assertMatch(searched.out, /use-after-free[^]*minimised from 2 stalls to 1[^]*\nTOKEN q2\./);
});

Deno.test("l9: what the shell shows of a solution's run is what its finding says", async () => {
  const { gdb, flex } = solution_a.findings(lab.variant(0));
  const shell = labShell({ "resize.ts": resize });
  const stalled = await shell.run(`replay ${gdb.token}; trace -e rcu_read_lock -e rcu_read_unlock --seq`);
  assertMatch(stalled.out, new RegExp(`\\n +${gdb.event} +${gdb.who}-\\d+ .* rcu_read_lock: nesting=1`));
  const twice = await shell.run(`replay ${flex.token}`);
  const addr = /double-free[^]*?belongs to the object at (ffff[0-9a-f]+)/.exec(twice.out)?.[1];
  const told = await shell.run(`obj ${addr}`);
  assertMatch(
    told.out,
    new RegExp(`event +${flex.event} .*allocated .* in ${flex.who} .*kmalloc of ${flex.bytes} bytes`),
  );
  assertMatch(told.out, new RegExp(`freed +by .* in ${flex.freedBy} `));
});
