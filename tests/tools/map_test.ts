// SPDX-License-Identifier: GPL-2.0-only
/**
 * tools/map.ts joins a list of Linux names with tagged sources, on made-up lists and sources.
 *
 * The sources are TypeScript in strings; the first line of each stands for the SPDX line.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import {
  buildMap,
  checkDocuments,
  type LinuxMap,
  renderMap,
  renderSimplified,
  withTable,
} from "../../tools/map.ts";
import { readSymbols, readTags, scan } from "../../tools/map_scan.ts";

const LIST = [
  "include/linux/list.h\tlist_add\tfunction\t1",
  "include/linux/types.h\tlist_head\tstruct\t1",
  "include/linux/types.h\tlist_head.next\tfield\t1",
  "include/linux/types.h\tlist_head.prev\tfield\t1",
  "include/trace/events/sched.h\tsched_switch\ttracepoint\t1",
  "kernel/rcu/rcu.h\tRCU_SEQ_CTR_SHIFT\tmacro\t2",
  "kernel/rcu/tiny.c\trcu_qs\tfunction\t1",
  "kernel/rcu/tree.c\trcu_gp_init\tfunction\t2",
  "kernel/rcu/tree_plugin.h\trcu_qs\tfunction\t2",
  "mm/slub.c\tnew_slab\tfunction\t1",
].join("\n");

function mapOf(files: Record<string, string>): LinuxMap {
  const texts = Object.entries(files).map(([path, text]): [string, string] => [path, `// SPDX\n${text}`]);
  return buildMap(readSymbols(LIST), scan(new Map(texts)));
}

/** The names of the list that exist, as `path:symbol`. */
function here({ rows }: LinuxMap): string[] {
  return rows.filter((it) => it.ours.length > 0).map((it) => `${it.path}:${it.symbol}`);
}

function whats({ findings }: LinuxMap): string[] {
  return findings.map((it) => it.what);
}

const LIST_ADD =
  "\n/** Adds. @mirrors include/linux/list.h:list_add */\nexport function list_add(k: K): void { k.x(); }\n";

Deno.test("readSymbols() skips comments and refuses what is not four columns", () => {
  assertEquals(readSymbols("# a\n\na.c\tf\tfunction\tlater\n"), [{
    path: "a.c",
    symbol: "f",
    kind: "function",
    part: "later",
  }]);
  assertThrows(() => readSymbols("a.c f function 1"), Error, "linux-symbols.txt:1");
  assertThrows(() => readSymbols("a.c\tf\tthing\t1"), Error, "linux-symbols.txt:1");
  assertThrows(() => readSymbols("a.c\tf\tfunction\t9"), Error, "linux-symbols.txt:1");
});

Deno.test("readTags() reads several tags over several lines", () => {
  const doc = `/**
   * Does it.
   *
   * @mirrors kernel/rcu/tree.c:f (v5.7), include/linux/x.h:g
   * @simplified one
   *   two
   */`;
  assertEquals(readTags(doc), {
    mirrors: ["kernel/rcu/tree.c:f", "include/linux/x.h:g"],
    simplified: "one two",
    invented: undefined,
    emptyOnPurpose: false,
  });
  assertEquals(readTags("/** @invented because. */").invented, "because.");
  assertEquals(readTags("/** @mirrors a.h:page.flags */").mirrors, ["a.h:page.flags"]);
  assert(readTags("/** @mirrors a.h:f (empty) */").emptyOnPurpose);
});

Deno.test("buildMap() finds a function by its tag", () => {
  const map = mapOf({ "kernel/list.ts": LIST_ADD });
  assertEquals(here(map), ["include/linux/list.h:list_add"]);
  assertEquals(map.findings, []);
});

Deno.test("buildMap() wants a tag on every exported function and class of the mirror", () => {
  const map = mapOf({
    "kernel/list.ts":
      "\nexport function list_add(k: K): void { k.x(); }\nexport class other {}\nfunction local(): void {}\n",
    "kernel/machine/ram.ts": "\nexport function load(): void {}\n",
    "explore/x.ts": "\nexport function y(): void {}\n",
  });
  assertEquals(whats(map), [
    "list_add has no tag: @mirrors include/linux/list.h:list_add",
    "other has no tag: @mirrors path:symbol, or @invented why",
  ]);
  assertEquals([map.findings[0].file, map.findings[0].line], ["kernel/list.ts", 3]);
});

Deno.test("buildMap() accepts @invented on a declaration or in a file's header", () => {
  const map = mapOf({
    "kernel/a.ts": "\n/** It. @invented we need it */\nexport function a(): number { return 1; }\n",
    "kernel/b.ts": "/** Ours. @invented */\n\nexport function b(): number { return 1; }\nexport class c {}\n",
  });
  assertEquals(map.findings, []);
});

Deno.test("buildMap() does not take a file's header for the comment of its first declaration", () => {
  const map = mapOf({
    "kernel/a.ts":
      "/** Mirrors. @mirrors include/linux/list.h:list_add */\n\nexport function a(): number { return 1; }",
  });
  assertEquals(whats(map), ["a has no tag: @mirrors path:symbol, or @invented why"]);
});

Deno.test("buildMap() refuses a tag to an unknown symbol and prints the line to add", () => {
  const map = mapOf({
    "mm/slub.ts": "\n/** It. @mirrors mm/slub.c:invented_name */\nexport function f(): number { return 1; }",
  });
  assertEquals(whats(map), ["mm/slub.c:invented_name is not in docs/linux-symbols.txt"]);
  assertEquals(map.unknown, ["mm/slub.c\tinvented_name\tfunction\t1"]);
});

Deno.test("buildMap() knows when a symbol stands under another path", () => {
  const map = mapOf({
    "mm/slub.ts": "\n/** It. @mirrors mm/slab.h:new_slab */\nexport function f(): number { return 1; }",
  });
  assertStringIncludes(whats(map)[0], "new_slab is in mm/slub.c");
  assertEquals(map.unknown, []);
});

Deno.test("buildMap() does not count an empty function, unless it is empty on purpose", () => {
  const doc = (note: string): string =>
    `\n/** It. @mirrors mm/slub.c:new_slab${note} */\nexport function* new_slab(k: K): Atomic<void> { /* later */ }`;
  const empty = mapOf({ "mm/slub.ts": doc("") });
  assertMatch(whats(empty)[0], /^new_slab is empty/);
  assertEquals(here(empty), []);
  const meant = mapOf({ "mm/slub.ts": doc(" (empty)") });
  assertEquals(meant.findings, []);
  assertEquals(here(meant), ["mm/slub.c:new_slab"]);
});

Deno.test("buildMap() matches C's static functions by name, and by file when several have the name", () => {
  const local = "\nfunction rcu_qs(k: K): void { k.x(); }\nfunction new_slab(k: K): void { k.x(); }\n";
  assertEquals(here(mapOf({ "rcu/tiny.ts": local })), ["kernel/rcu/tiny.c:rcu_qs", "mm/slub.c:new_slab"]);
  assertEquals(here(mapOf({ "rcu/tree_plugin.ts": local })), [
    "kernel/rcu/tree_plugin.h:rcu_qs",
    "mm/slub.c:new_slab",
  ]);
});

Deno.test("buildMap() matches structs and fields by name and by tag", () => {
  const byName = mapOf({
    "kernel/list.ts": "\nexport interface list_head { next: list_head; other: number }",
  });
  assertEquals(here(byName), ["include/linux/types.h:list_head", "include/linux/types.h:list_head.next"]);
  const layout = mapOf({
    "kernel/list.ts": '\nexport const list_head = struct("list_head", { next: ptr, prev: ptr });',
  });
  assertEquals(here(layout).length, 3);
  const byTag = mapOf({
    "kernel/list.ts":
      "\n/** It. @mirrors include/linux/types.h:list_head */\nexport class Head { constructor(public prev: Head) {} }",
  });
  assertEquals(here(byTag), ["include/linux/types.h:list_head", "include/linux/types.h:list_head.prev"]);
});

Deno.test("buildMap() matches constants by name, also outside the mirror", () => {
  const map = mapOf({ "kernel/machine/x.ts": "\nexport const RCU_SEQ_CTR_SHIFT = 2;" });
  assertEquals(here(map), ["kernel/rcu/rcu.h:RCU_SEQ_CTR_SHIFT"]);
});

Deno.test("buildMap() matches tracepoints declared in kernel/trace, which need no tag", () => {
  const source =
    '\nconst e = { name: "sched_switch" };\nexport function trace_sched_switch(k: K): void { k.emit(e); }';
  const map = mapOf({ "kernel/trace/events/sched.ts": source });
  assertEquals(here(map), ["include/trace/events/sched.h:sched_switch"]);
  assertEquals(map.findings, []);
});

Deno.test("renderMap() lists what is here and counts what is missing", () => {
  const text = renderMap(mapOf({ "kernel/list.ts": LIST_ADD }));
  assertStringIncludes(text, "| 1 | 7 | 1 | 6 | 0 | 0.0 |");
  assertStringIncludes(text, "| list_add | function | kernel/list.ts#list_add | full | 1 |");
  assertStringIncludes(text, "## Missing of part 1: 6");
  assertStringIncludes(text, "- kernel/rcu/tiny.c: rcu_qs");
  assertStringIncludes(text, "## Missing of part 2: 3");
});

const SIMPLE = {
  "mm/slub.ts":
    "\n/**\n * It.\n * @mirrors mm/slub.c:new_slab\n * @simplified no memory policy\n */\nexport function new_slab(k: K): void { k.x(); }",
};

Deno.test("checkDocuments() wants an up-to-date map.md", () => {
  const map = mapOf({ "kernel/list.ts": LIST_ADD });
  const differences = "";
  assertEquals(checkDocuments(map, renderMap(map), differences), []);
  assertMatch(checkDocuments(map, renderMap(map) + "x", differences)[0].what, /out of date/);
  assertMatch(checkDocuments(map, undefined, differences)[0].what, /out of date/);
});

Deno.test("checkDocuments() wants every simplification in DIFFERENCES.md, by symbol", () => {
  const map = mapOf(SIMPLE);
  assertStringIncludes(renderMap(map), "| new_slab | function | mm/slub.ts#new_slab | simplified | 1 |");
  const messages = (text: string): string[] => checkDocuments(map, renderMap(map), text).map((it) => it.what);
  assertEquals(messages("- `new_slab`: no memory policy"), []);
  assertStringIncludes(messages("- `new_slab_objects`: other")[0], "new_slab is @simplified");
});

Deno.test("withTable() keeps the generated table between the markers current", () => {
  const map = mapOf(SIMPLE);
  const table = renderSimplified(map);
  assertStringIncludes(table, "| new_slab | mm/slub.ts | no memory policy |");
  const text = "a\n<!-- simplified:begin -->\nold\n<!-- simplified:end -->\nb\n";
  const written = withTable(text, table);
  assertStringIncludes(written, table);
  assertEquals(written.includes("old"), false);
  assertEquals(withTable(written, table), written);
  assertEquals(withTable("no markers\n", table), "no markers\n");
  assertEquals(checkDocuments(map, renderMap(map), written), []);
  assertMatch(checkDocuments(map, renderMap(map), text + "new_slab")[0].what, /table is out of date/);
});
