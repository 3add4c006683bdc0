// SPDX-License-Identifier: GPL-2.0-only
/** tools/map_calls.ts compares the calls of a function with C's, on made-up facts and sources. */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  align,
  type CallReport,
  checkCalls,
  comparable,
  compareCalls,
  readCalls,
  sideBySide,
} from "../../tools/map_calls.ts";
import { readSymbols, scan } from "../../tools/map_scan.ts";

const LIST = [
  "k.h\tHZ\tmacro\t1",
  "k.h\tREAD_ONCE\tmacro\t1",
  "k.h\tlock\tfunction\t1",
  "k.h\trcu_state\tconst\t1",
  "k.h\tsched_switch\ttracepoint\t1",
  "k.h\tunlock\tmacro\t1",
  "kernel/f.c\tf\tfunction\t1",
  "kernel/f.c\tg\tfunction\t1",
  "kernel/f.c\th\tfunction\t2",
].join("\n");

/** Compares f() of kernel/f.ts, whose body is given, with facts; `more` stands behind it. */
function compare(facts: string, body: string, more = ""): CallReport {
  const text =
    `// SPDX\n/** It. @mirrors kernel/f.c:f */\nfunction* f(k: K): Atomic<void> { ${body} }\n${more}\n`;
  const files = new Map([["kernel/f.ts", text]]);
  const list = readCalls(`kernel/f.c:f\n${facts.split("\n").map((it) => `\t${it}\n`).join("")}`);
  return compareCalls(list, readSymbols(LIST), scan(files), files)[0];
}

function whats(report: CallReport): string[] {
  return checkCalls([report]).map(({ what }) => what);
}

Deno.test("readCalls() reads names and excuses, and refuses the rest", () => {
  const [one, two] = readCalls("# c\na.c:f\n\tg h\n\tg\n\t- g h: why\n\t+ x: why not\nb.h:g\n\th\n");
  assertEquals([one.path, one.name, one.calls], ["a.c", "f", ["g", "h", "g"]]);
  assertEquals(one.excuses, [
    { sign: "-", names: ["g", "h"], reason: "why" },
    { sign: "+", names: ["x"], reason: "why not" },
  ]);
  assertEquals([two.path, two.calls], ["b.h", ["h"]]);
  for (const bad of ["\tg\n", "a.c\n", "a.c:f\n\t- g\n", "a.c:f\n\t- g:\n", "a.c:f\n\tg, h\n"]) {
    assertThrows(() => readCalls(bad), Error, "linux-calls.txt:");
  }
});

Deno.test("comparable() takes functions, macros and tracepoints, but no accesses and nothing C writes as a variable", () => {
  assertEquals([...comparable(readSymbols(LIST))].sort(), [
    "f",
    "g",
    "h",
    "lock",
    "trace_sched_switch",
    "unlock",
  ]);
});

Deno.test("compareCalls() finds no difference in the same order, whatever else is called", () => {
  const report = compare(
    "lock printk READ_ONCE trace_sched_switch g h unlock",
    "yield* lock(k); const n = HZ(k) + rcu_state(k).n; other(n); trace_sched_switch(k); if (g(k)) h(k); unlock(k);",
  );
  assertEquals(report.pairs.map(({ c }) => c), ["lock", "trace_sched_switch", "g", "h", "unlock"]);
  assertEquals([report.wrong, report.idle], [[], []]);
  assertEquals(whats(report), []);
});

Deno.test("compareCalls() finds a lock and a call in the other order", () => {
  const report = compare("g lock h unlock", "yield* lock(k); h(k); yield* g(k); unlock(k);");
  assertEquals(report.wrong.sort(), ["+ g", "- g"]);
  assertStringIncludes(whats(report)[0], "f does not call what C calls, in its order");
  assertEquals([report.file, report.line], ["kernel/f.ts", 3]);
});

Deno.test("compareCalls() finds a missing call and one too many", () => {
  assertEquals(compare("lock g unlock", "yield* lock(k); unlock(k);").wrong, ["- g"]);
  assertEquals(compare("lock unlock", "yield* lock(k); g(k); unlock(k);").wrong, ["+ g"]);
  assertEquals(compare("g g", "g(k);").wrong, ["- g"]);
});

Deno.test("compareCalls() puts what is called in arguments first, as it runs", () => {
  assertEquals(compare("g lock", "yield* lock(k, g(k));").wrong, []);
});

Deno.test("compareCalls() reads the parts of a function where they are called, and calls through tables by name", () => {
  const parts = "function* firstPart(k: K): Atomic<void> { yield* lock(k); inner(k); }\n" +
    "function innerPart(k: K): void { g(k); firstPart(k); }\n" +
    "function h(k: K): void { unlock(k); }\n";
  assertEquals(
    compare("lock h unlock g", "yield* firstPart(k); k.rcu.h(k); unlock(k); innerPart(k);", parts).wrong,
    [
      "+ lock",
    ],
  );
});

Deno.test("compareCalls() does not look into another function of C", () => {
  assertEquals(compare("h", "h(k);", "function h(k: K): void { unlock(k); }").wrong, []);
});

Deno.test("compareCalls() accepts what is excused, once for each name, and finds an excuse that excuses nothing", () => {
  const body = "yield* lock(k); g(k);";
  assertEquals(compare("lock unlock\n- unlock: it stays locked\n+ g: we count", body).wrong, []);
  assertEquals(compare("g g g\n- g: once is enough", "g(k);").wrong, ["- g"]);
  assertEquals(compare("g g g\n- g g: once is enough", "g(k);").wrong, []);
  const idle = compare("lock g\n- h: never needed", body);
  assertEquals([idle.wrong, idle.idle], [[], ["- h"]]);
  assertEquals(checkCalls([idle])[0].file, "docs/linux-calls.txt");
});

Deno.test("compareCalls() takes the file of the C file's name among several, and none as calling nothing", () => {
  const shell = "// SPDX\n/** It. @mirrors kernel/f.c:f */\nexport function f(k: K): void { h(k); }\n";
  const real = "// SPDX\n/** It. @mirrors kernel/f.c:f */\nexport function f(k: K): void { g(k); }\n";
  const files = new Map([["kernel/a.ts", shell], ["kernel/f.ts", real]]);
  const list = readCalls("kernel/f.c:f\n\tg\nkernel/f.c:h\n\tg\n");
  const [f, h] = compareCalls(list, readSymbols(LIST), scan(files), files);
  assertEquals([f.file, f.wrong], ["kernel/f.ts", []]);
  assertEquals([h.file, h.wrong], ["docs/linux-calls.txt", ["- g"]]);
});

Deno.test("align() and sideBySide() show both sequences", () => {
  assertEquals(align(["a", "b"], ["b", "c"]), [
    { c: "a", ours: undefined },
    { c: "b", ours: "b" },
    { c: undefined, ours: "c" },
  ]);
  assertEquals(sideBySide(compare("lock g unlock", "lock(k); unlock(k); h(k);")).split("\n"), [
    "f()",
    "  kernel/f.c  kernel/f.ts",
    "  lock        lock",
    "- g",
    "  unlock      unlock",
    "+             h",
  ]);
});
