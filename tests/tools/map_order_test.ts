// SPDX-License-Identifier: GPL-2.0-only
/** tools/map_order.ts compares the order of declarations with Linux's, on made-up lists and sources. */
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { buildMap, type LinuxMap, renderMap } from "../../tools/map.ts";
import { checkOrder, longestCommon, percent, readOrder } from "../../tools/map_order.ts";
import { readSymbols, scan } from "../../tools/map_scan.ts";

const ORDER = "# comment\nmm/a.c\n\tone two three\n\tfour five\nmm/b.c\n\tleft right left\n";

const LIST = [
  "mm/a.c\tfive\tfunction\t1",
  "mm/a.c\tfour\tfunction\t1",
  "mm/a.c\tone\tfunction\t1",
  "mm/a.c\tthree\tconst\t1",
  "mm/a.c\ttwo\tfunction\t1",
  "mm/b.c\tleft\tfunction\t2",
  "mm/b.c\tright\tfunction\t2",
].join("\n");

/** A source file that declares these names; `name=tag` gives a declaration another name than its symbol. */
function file(path: string, names: string): string {
  return "// SPDX\n" + names.split(" ").map((it) => {
    const [name, symbol = name] = it.split("=");
    const value = symbol === "three" ? `const ${name} = 3;` : `function ${name}(k: K): void { k.x(); }`;
    return `\n/** It. @mirrors ${path}:${symbol} */\nexport ${value}\n`;
  }).join("");
}

function mapOf(files: Record<string, string>, list = LIST): LinuxMap {
  return buildMap(readSymbols(list), scan(new Map(Object.entries(files))), readOrder(ORDER));
}

/** What is out of place, as `symbol<anchor`. */
function wrong({ order }: LinuxMap): string[] {
  return order.outOfPlace.map(({ symbol, after }) => `${symbol}<${after ?? ""}`);
}

Deno.test("readOrder() reads names over several lines and refuses names without a path, or a path twice", () => {
  assertEquals([...readOrder(ORDER)], [
    ["mm/a.c", ["one", "two", "three", "four", "five"]],
    ["mm/b.c", ["left", "right", "left"]],
  ]);
  assertThrows(() => readOrder("\tone\n"), Error, "linux-order.txt:1");
  assertThrows(() => readOrder("mm/a.c\n\tone\nmm/a.c\n"), Error, "linux-order.txt:3");
  assertThrows(() => readOrder("one two\n"), Error, "linux-order.txt:1");
});

Deno.test("longestCommon() keeps as many as can keep their order", () => {
  const kept = (ours: string, theirs: string): string =>
    [...longestCommon([...ours], [...theirs])].map(([at]) => ours[at]).join("");
  assertEquals(kept("abcde", "abcde"), "abcde");
  assertEquals(kept("bcdea", "abcde"), "bcde");
  assertEquals(kept("ba", "aba"), "ba");
  assertEquals(kept("xay", "abc"), "a");
  assertEquals(kept("", "abc"), "");
  assertEquals([...longestCommon(["b", "a"], ["a", "b", "a"])], [[0, 1], [1, 2]]);
});

Deno.test("compareOrder() counts everything when the order is C's, whatever stands between", () => {
  const map = mapOf({
    "mm/a.ts": file("mm/a.c", "one two three") + "\nfunction helper(): number { return 1; }\n" +
      file("mm/a.c", "four five"),
    "mm/b.ts": file("mm/b.c", "right left"),
  });
  assertEquals(wrong(map), []);
  assertEquals([percent(map.order, "1"), percent(map.order, "2")], ["100.0", "100.0"]);
  assertEquals(checkOrder(map.order), []);
});

Deno.test("compareOrder() names what is out of place, and what it belongs behind", () => {
  const b = file("mm/b.c", "left right");
  const early = mapOf({ "mm/a.ts": file("mm/a.c", "three one two four five"), "mm/b.ts": b });
  assertEquals(wrong(early), ["three<two"]);
  assertEquals(percent(early.order, "1"), "80.0");
  assertStringIncludes(renderMap(early), "## Out of place: 1");
  assertStringIncludes(renderMap(early), "- mm/a.ts: three of mm/a.c belongs behind two");
  const late = mapOf({ "mm/a.ts": file("mm/a.c", "two three four five one"), "mm/b.ts": b });
  assertEquals(wrong(late), ["one<"]);
  assertStringIncludes(renderMap(late), "- mm/a.ts: one of mm/a.c belongs first");
});

Deno.test("compareOrder() looks at each pair of files by itself", () => {
  const map = mapOf({
    "mm/a.ts": file("mm/a.c", "four") + file("mm/b.c", "left") + file("mm/a.c", "five") +
      file("mm/b.c", "right"),
    "mm/other.ts": file("mm/a.c", "one two three"),
  });
  assertEquals(wrong(map), []);
});

Deno.test("compareOrder() takes a name that one of our files has in place", () => {
  const files = { "mm/a.ts": file("mm/a.c", "two three one"), "mm/other.ts": file("mm/a.c", "one") };
  assertEquals(wrong(mapOf(files)), []);
});

Deno.test("compareOrder() does not count what exists under another name, but for that of a static", () => {
  const map = mapOf({
    "mm/a.ts": file("mm/a.c", "uno=one two") +
      '\n/** It. @mirrors mm/a.c:three */\nexport const drei = KERNEL_STATIC("three", () => 3);\n',
  });
  assertEquals(map.order.renamed.map(({ symbol }) => symbol), ["one"]);
  assertEquals(wrong(mapOf({ "mm/a.ts": file("mm/a.c", "two uno=one three") })), []);
  assertEquals(map.order.inOrder.get("1"), 2);
  assertStringIncludes(renderMap(map), "- mm/a.c: one is mm/a.ts#uno");
});

Deno.test("checkOrder() fails a part below 95 %, and what the order list does not place", () => {
  const whats = (map: LinuxMap): string[] => checkOrder(map.order).map(({ what }) => what);
  const a = file("mm/a.c", "one two three four five");
  const [first, ...rest] = whats(mapOf({ "mm/a.ts": a, "mm/b.ts": file("mm/b.c", "left") }));
  assertMatch(first, /^50\.0 % of the names of part 2 .* 95 % must$/);
  assertEquals(rest, []);
  const longer = LIST + "\nmm/b.c\tup\tfunction\t2";
  const files = { "mm/a.ts": a, "mm/b.ts": file("mm/b.c", "left right up") };
  assert(
    whats(mapOf(files, longer)).includes("up is not in docs/linux-order.txt: put it where mm/b.c defines it"),
  );
});

Deno.test("checkOrder() counts a part of 100 names that lacks five as enough, and one that lacks six as too few", () => {
  const names = Array.from({ length: 100 }, (_, i) => `name${100 + i}`);
  const list = names.map((it) => `mm/a.c\t${it}\tfunction\t1`).join("\n");
  const order = readOrder(`mm/a.c\n\t${names.join(" ")}\n`);
  const check = (here: number): number => {
    const sources = scan(new Map([["mm/a.ts", file("mm/a.c", names.slice(0, here).join(" "))]]));
    return checkOrder(buildMap(readSymbols(list), sources, order).order).length;
  };
  assertEquals([check(95), check(94)], [0, 1]);
});
