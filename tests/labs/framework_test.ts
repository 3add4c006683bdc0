// SPDX-License-Identifier: GPL-2.0-only
/**
 * The lab framework on the toy lab: states and points, variants, manifests, formats, commands.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { optionsOf, runLab, SUB_NAMES, USAGE } from "../../labs/framework/commands.ts";
import { gradeInProcess } from "../../labs/framework/grade.ts";
import { type Host, LabError } from "../../labs/framework/host.ts";
import { ManifestError, manifestMistakes, parseManifest } from "../../labs/framework/manifest.ts";
import { FORMATS, formatted, signatureOf } from "../../labs/framework/results.ts";
import { hmacSha256, sha256 } from "../../labs/framework/sha256.ts";
import { generatedLines } from "../../labs/framework/source_map.ts";
import { gradedSeeds, keyOf, PUBLIC_SEEDS } from "../../labs/framework/variants.ts";
import {
  type Atomic,
  boot,
  bootWith,
  call_rcu,
  explore,
  GFP_KERNEL,
  type Kernel,
  type KernelParts,
  kfree,
  kmalloc,
  type MaySleep,
  POLICY_TIME,
  rcu_barrier,
  reboot,
  runToEnd,
  trace_mark,
  type VirtAddr,
} from "../../mod.ts";
import { tinyRcu } from "../../rcu/tiny.ts";
import { evidenceOfExploration, failed, MOST_ROWS, traceColumns } from "../../labs/framework/evidence.ts";
import type { CheckContext, LabModule, Outcome } from "../../labs/lab.ts";
import {
  causeOf,
  grade,
  gradeSum,
  MANIFEST,
  memoryHost,
  SOLUTION,
  STARTER,
  states,
  withRegion,
} from "./toy.ts";

/** What a command says and how it ends. */
async function lab(host: Host, ...words: string[]): Promise<{ lines: string[]; status: number }> {
  const lines: string[] = [];
  try {
    const command = runLab(words, host);
    for (;;) {
      const step = await command.next();
      if (step.done === true) return { lines, status: step.value };
      lines.push(step.value);
    }
  } catch (error) {
    if (!(error instanceof LabError)) throw error;
    return { lines: [...lines, error.message], status: error.status };
  }
}

/** A lab with one check in place of the toy's. */
function graded(check: (context: CheckContext) => Outcome): Outcome {
  const one: LabModule = { id: "toy", variant: () => ({}), checks: { S1: check } };
  return gradeInProcess(one, MANIFEST, { f: () => 1 }, { only: ["S1"] }).properties[0].outcome;
}

// ---- states and points -------------------------------------------------------------------------------------------

Deno.test("gradeInProcess() gives each state its points: all, what is credited, none", () => {
  const report = grade(SOLUTION);
  assertEquals(states(report), ["PASS", "PASS", "NOT-EXERCISED", "FAIL"]);
  assertEquals(report.properties.map((it) => it.earned), [30, 40, 0, 10]);
  assertEquals([report.score, report.max], [80, 100]);
});

Deno.test("the starter fails what its regions are for, with a cause, and with a trace where there is a machine", () => {
  const report = grade(STARTER);
  assertStringIncludes(causeOf(report, "S1"), "is -1");
  const [, leak] = report.properties;
  assert(leak.outcome.state === "FAIL");
  assertMatch(leak.outcome.cause, /^leaked: 64 bytes at /);
  assertMatch(leak.outcome.trace[0], /^ +ms CPU 0$/);
  assert(leak.outcome.trace.some((line) => line.includes("kmalloc")));
  assert(leak.outcome.trace.length <= 20 && leak.outcome.trace.every((line) => line.length <= 80));
});

Deno.test("a check of the public part takes the public properties and seeds only", () => {
  const report = grade(SOLUTION, { mode: "check" });
  assertEquals(report.properties.map((it) => it.id), ["S1", "S2"]);
  assertEquals(report.seeds, PUBLIC_SEEDS);
});

Deno.test("a check that uses more executions than the budget is INCONCLUSIVE, unless it found a failure", () => {
  const outcome = graded(({ execution }) => {
    for (;;) execution();
  });
  assertEquals(outcome, { state: "INCONCLUSIVE", budget: "20 executions" });
  const found = graded(({ execution }) => {
    try {
      for (;;) execution();
    } catch {
      return { state: "FAIL", cause: "found", token: null, trace: [] };
    }
  });
  assertEquals(found.state, "FAIL");
});

Deno.test("an exception of the student's code is a FAIL that names it and its line", () => {
  const cause = causeOf(gradeSum("const none = undefined as never as number[];\nreturn none[0];"), "S1");
  assertMatch(cause, /^line 10: TypeError: Cannot read properties of undefined/);
  assertMatch(causeOf(gradeSum('throw new Error("mine");'), "S1"), /^line 9: Error: mine$/);
});

Deno.test("an exception inside a kernel thread is what the machine reports", () => {
  const report = grade(withRegion(SOLUTION, "user", 'throw new RangeError("inside");'));
  assertStringIncludes(causeOf(report, "S2"), "exception in toy");
});

Deno.test("two runs give the same bytes in every format", () => {
  for (const text of [STARTER, SOLUTION, withRegion(SOLUTION, "sum", "for (;;);")]) {
    for (const format of FORMATS) {
      const one = formatted(grade(text, { student: "s1", key: 5 }), format, "secret");
      assertEquals(formatted(grade(text, { student: "s1", key: 5 }), format, "secret"), one);
    }
  }
});

// ---- machines ----------------------------------------------------------------------------------------------------

/** A machine whose callbacks are counted by a part of the caller's own. */
function counting(calls: number[]): KernelParts {
  return {
    rcu: {
      ...tinyRcu,
      call_rcu(k, head, func) {
        calls.push(head);
        return tinyRcu.call_rcu(k, head, func);
      },
    },
  };
}

const SMALL = { rcu: "tiny", cpus: 1, memBytes: 16 * 2 ** 20 } as const;

Deno.test("bootWith() puts parts in place of the kernel's, and they stay over a reboot", () => {
  const calls: number[] = [];
  const k = bootWith(SMALL, { policy: POLICY_TIME, seed: 1, deviations: null }, counting(calls));
  function* main(k: Kernel): MaySleep<void> {
    yield* rcu_barrier(k);
    const p = yield* kmalloc(k, 64, GFP_KERNEL);
    yield* call_rcu(k, p as never, freeIt);
    yield* rcu_barrier(k);
  }
  function* freeIt(k: Kernel, head: VirtAddr): Atomic<void> {
    yield* kfree(k, head);
  }
  assertEquals(runToEnd(k, "parts", main).ending, "completed");
  const first = calls.length;
  assertEquals(first, 1); // the barriers of tiny.c call its own function
  reboot(k);
  runToEnd(k, "parts", main);
  assertEquals(calls.length, 2 * first);
  assertEquals(boot(SMALL).rcu, tinyRcu);
});

Deno.test("traceColumns() shows the last events, a column for each CPU, in 80 columns", () => {
  const k = boot({ cpus: 3, seed: 3 });
  const from = k.seq;
  runToEnd(k, "columns", function* (k: Kernel): MaySleep<void> {
    for (let i = 0; i < 30; i++) yield* kfree(k, yield* kmalloc(k, 64, GFP_KERNEL));
    trace_mark(k, "the end");
  });
  const all = traceColumns(k, { from, last: 1000 });
  const lines = traceColumns(k, { from });
  assertEquals(lines.length, MOST_ROWS + 1);
  assertEquals(lines.slice(1), traceColumns(k, { from, last: 40 }).slice(-MOST_ROWS));
  assert(all.every((line) => line.length <= 80));
  const marks = traceColumns(k, { from, events: ["ftrace:*"] });
  assertEquals(marks.length, 2);
  assertMatch(marks[1], /columns tracing_mark_write the end$/);
  assertEquals(traceColumns(k, { from, events: ["none:*"] }), []);
});

Deno.test("evidenceOfExecution() does the execution again and says what the search said", () => {
  const leak = {
    config: SMALL,
    ref: null,
    scenario: {
      name: "leaky",
      summary: "",
      options: [],
      *main(k: Kernel): MaySleep<void> {
        yield* kmalloc(k, 200, GFP_KERNEL);
      },
    },
  };
  const found = explore(leak, { policy: "random", runs: 1 });
  const evidence = evidenceOfExploration(leak, found);
  assertEquals(evidence.cause, found.first?.failure.text);
  assert(evidence.trace.some((line) => /leaky kmalloc/.test(line)), evidence.trace.join("\n"));
  assertEquals(failed(evidence, 0.5), { state: "FAIL", ...evidence, credit: 0.5 });
});

// ---- keys, hashes, source maps -----------------------------------------------------------------------------------

Deno.test("sha256() and hmacSha256() give the values of FIPS 180-4 and RFC 4231", () => {
  assertEquals(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  assertEquals(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  assertEquals(
    sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
  );
  assertEquals(
    hmacSha256("Jefe", "what do ya want for nothing?"),
    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
  );
  assertEquals(
    hmacSha256("\x0b".repeat(20), "Hi There"),
    "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
  );
});

Deno.test("keyOf() is the same for the same student, and another for others and in other labs; 0 for nobody", () => {
  assertEquals(keyOf("l5", "20261234"), keyOf("l5", "20261234"));
  assertNotEquals(keyOf("l5", "20261234"), keyOf("l5", "20261235"));
  assertNotEquals(keyOf("l5", "20261234"), keyOf("l9", "20261234"));
  assertEquals(keyOf("l5", null), 0);
  assertEquals(new Set(gradedSeeds(1)).size, 5);
  assertNotEquals(gradedSeeds(1), gradedSeeds(2));
});

Deno.test("generatedLines() reads mappings: lines of the code back to lines of the source", () => {
  // Segments are [column, file, line, column], each relative to the last: lines 1, 3 and, after one without any, 2.
  assertEquals(generatedLines('{"mappings":"AAAA;AAEA;;AADA"}'), [1, 3, 3, 2]);
});

// ---- manifests ---------------------------------------------------------------------------------------------------

Deno.test("manifestMistakes() has a line for each mistake", () => {
  assertEquals(manifestMistakes(MANIFEST), []);
  const [first, ...rest] = MANIFEST.properties;
  assertEquals(manifestMistakes({ ...MANIFEST, id: "L 5", extra: 1 }), [
    "id: lower-case letters and digits is expected",
    "extra is not known",
  ]);
  assertEquals(
    manifestMistakes({ ...MANIFEST, properties: [{ ...first, points: 31, part: "luck" }, ...rest] }),
    [
      "properties[0].part: one of run, explore, sweep, cost, quiz is expected",
      "the points of the properties add up to 101, not to 100",
    ],
  );
  assertEquals(manifestMistakes({ ...MANIFEST, hints: { S9: ["?"] } }), ["hints.S9: no property S9"]);
  assertEquals(manifestMistakes([]), ["not an object"]);
  const { title: _title, ...without } = MANIFEST;
  assertEquals(manifestMistakes(without), ["title is missing"]);
});

Deno.test("parseManifest() says where and what in one line", () => {
  const error = assertThrows(() => parseManifest('{"id": ', "labs/toy/lab.json"), ManifestError);
  assertMatch(error.message, /^labs\/toy\/lab\.json: not JSON: [^\n]+$/);
});

// ---- formats -----------------------------------------------------------------------------------------------------

Deno.test("Gradescope's results have a test for each property, hidden ones after the due date, and no time", () => {
  const text = formatted(grade(SOLUTION, { student: "s1", key: 5 }), "gradescope");
  const results = JSON.parse(text);
  assertEquals(results.score, 80);
  assertEquals(results.tests.map((it: Record<string, unknown>) => [it.score, it.max_score, it.visibility]), [
    [30, 30, "visible"],
    [40, 40, "visible"],
    [0, 10, "after_due_date"],
    [10, 20, "after_due_date"],
  ]);
  assertEquals(results.tests[0].status, "passed");
  assertStringIncludes(results.tests[2].output, "NOT-EXERCISED");
  assert(!text.includes("execution_time"));
});

Deno.test("JUnit's XML has failures and skips, and escapes what students can influence", () => {
  const report = gradeSum('throw new Error("<b>&\\"\\u0001");', { student: "s1" });
  const xml = formatted(report, "junit");
  assertStringIncludes(xml, 'tests="4" failures="2" errors="0" skipped="1"');
  assertStringIncludes(xml, 'message="FAIL: line 9: Error: &lt;b&gt;&amp;&quot;"');
  assertEquals([...xml.matchAll(/<testcase /g)].length, 4);
  // deno-lint-ignore no-control-regex
  assert(!/[\x00-\x08]/.test(xml));
});

Deno.test("plain text fits 80 columns and says points, submission and seeds", () => {
  const text = formatted(grade(STARTER, { student: "s1", key: keyOf("toy", "s1") }), "text");
  assert(text.split("\n").every((line) => line.length <= 80), text);
  assertStringIncludes(text, "0 of 4 properties hold: 10 of 100 points");
  assertStringIncludes(text, `submission ${sha256(STARTER)}`);
});

Deno.test("signatureOf() changes with everything that the verdict is a function of", () => {
  const report = grade(SOLUTION, { student: "s1" });
  const signature = signatureOf(report, "key");
  assertEquals(signatureOf(grade(SOLUTION, { student: "s1" }), "key"), signature);
  for (
    const other of [
      signatureOf(report, "other key"),
      signatureOf({ ...report, score: 100 }, "key"),
      signatureOf({ ...report, student: "s2" }, "key"),
      signatureOf({ ...report, seeds: [1] }, "key"),
      signatureOf(grade(STARTER, { student: "s1" }), "key"),
    ]
  ) assertNotEquals(other, signature);
});

// ---- commands ----------------------------------------------------------------------------------------------------

Deno.test("lab start writes the starter under a header with the variant, and never over a file", async () => {
  const host = memoryHost();
  const { status } = await lab(host, "start", "toy", "--dir", "mine", "--student", "s1");
  assertEquals(status, 0);
  const bytes = 64 + keyOf("toy", "s1") % 5 * 8;
  assertEquals(host.files["mine/toy.ts"].split("\n").slice(0, 3), [
    "// lab: toy, Toy: an allocation that is given back, version 1",
    "// student: s1",
    `// variant: bytes ${bytes}`,
  ]);
  assertEquals(host.files["mine/toy.ts"].split("\n").slice(3).join("\n"), STARTER);
  assertEquals(await lab(host, "start", "toy", "--dir", "mine"), {
    lines: ['lab start: "mine/toy.ts" is there already; it stays as it is'],
    status: 2,
  });
});

Deno.test("lab check takes the student of the header, and lines count from the top of the file", async () => {
  const host = memoryHost();
  await lab(host, "start", "toy", "--student", "s1");
  host.files["toy.ts"] = withRegion(host.files["toy.ts"], "sum", "return nothing;");
  const { lines, status } = await lab(host, "check", "toy");
  assertEquals(status, 1);
  assertStringIncludes(lines.join("\n"), "student s1");
  assertStringIncludes(lines.join("\n"), "! line 12: nothing is not declared");
  assertEquals(host.files["toy.ts"].split("\n")[11], "return nothing;");
  host.files["toy.ts"] = SOLUTION;
  assertEquals((await lab(host, "check", "toy")).status, 0);
});

Deno.test("lab grade writes the chosen format; graded is status 0, whatever the score", async () => {
  const host = memoryHost({ "toy.ts": STARTER, "key.txt": "secret\n" });
  const words = [
    "grade",
    "toy",
    "--student",
    "s1",
    "--out",
    "r.json",
    "--format",
    "gradescope",
    "--key",
    "key.txt",
  ];
  assertEquals(await lab(host, ...words), { lines: ["toy: 10 of 100 points, written to r.json"], status: 0 });
  const first = host.files["r.json"];
  await lab(host, ...words);
  assertEquals(host.files["r.json"], first);
  assertMatch(JSON.parse(first).extra_data.signature, /^[0-9a-f]{64}$/);
  assertEquals((await lab(host, "grade", "toy")).lines, ["lab grade: whose is it? --student KEY"]);
});

Deno.test("lab grade takes the instructor's seeds where there are any", async () => {
  const host = memoryHost({ "toy.ts": SOLUTION, "labs/instructor/toy/hidden.json": '{"seeds": [77, 78]}' });
  const { lines } = await lab(host, "grade", "toy", "--student", "s1", "--format", "json");
  assertEquals(JSON.parse(lines.join("\n")).seeds, [77, 78]);
  host.files["labs/instructor/toy/hidden.json"] = '{"seeds": "none"}';
  const bad = await lab(host, "grade", "toy", "--student", "s1");
  assertEquals(bad.status, 2);
  assertStringIncludes(bad.lines[0], 'labs/instructor/toy/hidden.json: "seeds" has to be a list');
});

Deno.test("what lab submit writes can be graded, with its student, and a changed one is noticed", async () => {
  const host = memoryHost({ "toy.ts": SOLUTION });
  assertEquals((await lab(host, "submit", "toy")).lines, ["lab submit: whose is it? --student KEY"]);
  const { status } = await lab(host, "submit", "toy", "--student", "s1");
  assertEquals(status, 0);
  const { lines } = await lab(host, "grade", "toy", "--file", "toy-s1.json", "--format", "json");
  const report = JSON.parse(lines.join("\n"));
  assertEquals([report.student, report.score, report.submission], ["s1", 80, sha256(SOLUTION)]);
  host.files["toy-s1.json"] = host.files["toy-s1.json"].replace("s += n", "s -= n");
  const changed = await lab(host, "grade", "toy", "--file", "toy-s1.json");
  assertEquals(changed, { lines: ["this hand-in is damaged: its text does not have its hash"], status: 2 });
});

Deno.test("lab hint shows one hint after the other", async () => {
  const host = memoryHost();
  assertEquals((await lab(host, "hint", "toy", "s2")).lines, [
    "1. what becomes of the memory?",
    "1 more: lab hint toy s2 2",
  ]);
  assertEquals((await lab(host, "hint", "toy", "S2", "2")).lines.length, 2);
  assertEquals((await lab(host, "hint", "toy", "S1")).lines, ["S1: no hints"]);
  assertStringIncludes(
    (await lab(host, "hint", "toy")).lines.join("\n"),
    "S2   user() leaks nothing (2 hints)",
  );
  assertEquals((await lab(host, "hint", "toy", "S7")).status, 2);
});

Deno.test("lab pack takes a lab's own folder, and nothing of the instructor's", async () => {
  const host = memoryHost({
    "labs/instructor/toy/hidden.json": "{}",
    "labs/instructor/toy/solution_a.ts": "",
    "labs/other/lab.json": "",
  });
  const before = new Set(Object.keys(host.files));
  assertEquals((await lab(host, "pack", "--all", "--out", "out/")).status, 0);
  const made = Object.keys(host.files).filter((it) => !before.has(it)).sort();
  assertEquals(made, ["out/SHA256SUMS", "out/toy/lab.json", "out/toy/lab.ts", "out/toy/start.ts"]);
  assertStringIncludes(host.files["out/SHA256SUMS"], `${sha256(STARTER)}  toy/start.ts`);
});

Deno.test("mistakes are one line and status 2", async () => {
  const cases: [string[], string][] = [
    [["start", "toyy"], 'lab: no lab "toyy" (toy); did you mean "toy"?'],
    [
      ["grad", "toy"],
      'lab: no command "grad" (list, start, check, hint, grade, submit, pack); did you mean "grade"?',
    ],
    [["check"], "lab check: which lab? lab list shows them"],
    [["check", "toy"], 'cannot read "toy.ts": there is no such file'],
    [["check", "toy", "now"], 'lab check: one word too many: "now"'],
    [["check", "toy", "--seed", "3"], "lab check: no option --seed (--file, --student)"],
    [["check", "toy", "--file"], "lab check: --file needs a value"],
    [["start", "toy", "--student", "a b"], 'lab: "a b" is no student key: letters, digits and . _ @ - only'],
    [["pack", "toy"], "lab pack: where to? --out D"],
    [["pack", "--out", "d"], "lab pack: one lab, or --all"],
    [["pack", "toy", "--out", "/no"], 'cannot write "/no/toy/lab.json": no'],
  ];
  for (const [words, line] of cases) {
    assertEquals(await lab(memoryHost(), ...words), { lines: [line], status: 2 });
  }
  const host = memoryHost({ "toy.ts": STARTER });
  assertEquals(await lab(host, "grade", "toy", "--student", "s", "--out", "/r"), {
    lines: ['cannot write "/r": no'],
    status: 2,
  });
  assertEquals((await lab(host, "grade", "toy", "--student", "s", "--format", "pdf")).lines, [
    'lab grade: no format "pdf" (text, json, gradescope, junit)',
  ]);
  host.files["labs/toy/lab.json"] = "{";
  const corrupted = await lab(host, "check", "toy");
  assertEquals([corrupted.lines.length, corrupted.status], [1, 2]);
  assertStringIncludes(corrupted.lines[0], "labs/toy/lab.json: not JSON");
});

Deno.test("lab without words shows the usage, which names every command and option", async () => {
  assertEquals(await lab(memoryHost()), { lines: USAGE.split("\n"), status: 2 });
  assertEquals((await lab(memoryHost(), "help")).status, 0);
  for (const name of SUB_NAMES) {
    assertStringIncludes(USAGE, `lab ${name}`);
    for (const option of optionsOf(name)) assertStringIncludes(USAGE, option);
  }
});
