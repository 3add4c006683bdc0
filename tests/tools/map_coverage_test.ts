// SPDX-License-Identifier: GPL-2.0-only
/** tools/map_coverage.ts finds mirrored functions that no test executes, on made-up reports and sources. */
import { assertEquals, assertThrows } from "@std/assert";
import { buildMap, type Row } from "../../tools/map.ts";
import {
  checkCoverage,
  mirroredFunctions,
  readExcuses,
  readLcov,
  selectTests,
} from "../../tools/map_coverage.ts";
import { readSymbols, scan } from "../../tools/map_scan.ts";

const LIST = [
  "mm/a.c\tLIMIT\tconst\t1",
  "mm/a.c\tlater_one\tfunction\tlater",
  "mm/a.c\tone\tfunction\t1",
  "mm/a.c\ttwo\tfunction\t2",
].join("\n");

function rowsOf(text: string): Row[] {
  return buildMap(readSymbols(LIST), scan(new Map([["mm/a.ts", "// SPDX\n" + text]]))).rows;
}

function fn(name: string): string {
  return `\n/** It. @mirrors mm/a.c:${name} */\nexport function ${name}(k: K): void { k.x(); }\n`;
}

const ROWS = rowsOf(
  fn("one") + fn("two") + fn("later_one") + "\nexport const LIMIT = 3;\nfunction ours(): void {}\n",
);

/** An lcov report of mm/a.ts with these counts. */
function lcov(counts: Record<string, number>): string {
  const names = Object.entries(counts);
  const lines = names.map(([name], at) => `FN:${at},${name}`);
  return ["SF:/tree/mm/a.ts", ...lines, ...names.map(([name, count]) => `FNDA:${count},${name}`), "DA:1,5"]
    .concat("end_of_record", "SF:/tree/mm/b.ts", "FNDA:7,one", "end_of_record").join("\n");
}

function whats(counts: Record<string, number>, excuses = ""): string[] {
  return checkCoverage(ROWS, readLcov(lcov(counts), "/tree/"), readExcuses(excuses)).map(({ what }) => what);
}

Deno.test("readLcov() adds up what has one name in a file, and keeps files apart", () => {
  const calls = readLcov(lcov({ one: 2, two: 0 }) + "\nSF:/tree/mm/c.ts\nFNDA:1,x\nFNDA:2,x\n", "/tree/");
  assertEquals([...calls.keys()], ["mm/a.ts", "mm/b.ts", "mm/c.ts"]);
  assertEquals(calls.get("mm/a.ts")?.get("one"), 2);
  assertEquals(calls.get("mm/b.ts")?.get("one"), 7);
  assertEquals(calls.get("mm/c.ts")?.get("x"), 3);
});

Deno.test("checkCoverage() finds functions of part 1 and 2 that were never called, in this file", () => {
  assertEquals(whats({ one: 1, two: 3 }), []);
  assertEquals(whats({ one: 0, two: 3 }), ["no test executes one (mm/a.c:one)"]);
  assertEquals(whats({ one: 4 }), ["no test executes two (mm/a.c:two)"]);
  assertEquals(mirroredFunctions(ROWS), 2);
});

Deno.test("checkCoverage() finds everything when no report has the file", () => {
  const calls = readLcov("SF:/tree/mm/b.ts\nFNDA:1,one\n", "/tree/");
  assertEquals(checkCoverage(ROWS, calls, new Map()).map(({ file }) => file), ["mm/a.ts", "mm/a.ts"]);
});

Deno.test("checkCoverage() accepts an excuse, and finds one that is not needed", () => {
  assertEquals(whats({ one: 1 }, "# why\nmm/a.ts#two\tno machine has it\n"), []);
  assertEquals(whats({ one: 1, two: 1 }, "mm/a.ts#two\tno machine has it\n"), [
    "mm/a.ts#two needs no excuse: it runs, or is gone",
  ]);
  assertEquals(whats({ one: 1, two: 1 }, "mm/a.ts#gone\tit was there\n"), [
    "mm/a.ts#gone needs no excuse: it runs, or is gone",
  ]);
});

Deno.test("readExcuses() wants a reason", () => {
  assertThrows(() => readExcuses("mm/a.ts#two\n"), Error, "never_executed.txt:1");
  assertThrows(() => readExcuses("two\tbecause\n"), Error, "never_executed.txt:1");
});

Deno.test("selectTests() leaves out what repeats other tests on many seeds", () => {
  const files = ["tests/mm/slub_test.ts", "tests/mm/slub_model_test.ts", "tests/rcu/tree_stress_test.ts"];
  assertEquals(selectTests([...files, "tests/kernel/determinism_test.ts"]), ["tests/mm/slub_test.ts"]);
});
