// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of the bugs in examples/bugs that a check of the kernel reports, or one of the program: what is said at the levels
 * that have the bug, with its numbers, and that nothing is said at the others. Levels and numbers are those of
 * kvfree_rcu()'s history and of what each program says that it does.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { type Bug, BUGS, deviationsOf, machineOf, optionsOf } from "../../examples/bugs/catalogue.ts";
import { levelsFromTo } from "../../examples/bugs/bug.ts";
import {
  bootWith,
  checkConfig,
  type Kernel,
  type Level,
  LEVELS,
  memorySince,
  OptionError,
  type OptionValues,
  Run,
  scheduleOf,
} from "../../mod.ts";
import { krcState } from "../../rcu/kvfree.ts";
import { arg, eventsOf } from "../machines.ts";

function bugNamed(id: string): Bug {
  const bug = BUGS.find((b) => b.id === id);
  assert(bug !== undefined, id);
  return bug;
}

/** Runs a bug's program. Null where the level does not offer what it calls. */
function ran(id: string, level: Level, { seed = 1, given }: { seed?: number; given?: OptionValues } = {}): {
  k: Kernel;
  titles: string[];
  leaked: number;
} | null {
  const bug = bugNamed(id);
  assert(bug.demo !== null);
  let options: OptionValues;
  try {
    options = optionsOf(given === undefined ? bug.demo : { ...bug.demo, options: () => given }, level);
  } catch (error) {
    if (error instanceof OptionError) return null;
    throw error;
  }
  const config = checkConfig({ ...machineOf(bug.demo, level), seed });
  const k = bootWith(config, scheduleOf(config, deviationsOf(bug, level)));
  const run = new Run(k, bug.demo.scenario, options);
  run.advance();
  assertEquals(run.verdict().ending, "completed", `${id} at ${level}`);
  return { k, titles: k.reports.map((r) => r.title), leaked: memorySince(k, run).leaked.length };
}

/** What each level of `levels` reports must match, title by title; the others that can run it report nothing and leak nothing. */
function check(id: string, expected: readonly RegExp[], can: readonly Level[], seeds = 2): void {
  const { levels } = bugNamed(id);
  for (const level of LEVELS) {
    for (let seed = 1; seed <= seeds; seed++) {
      const run = ran(id, level, { seed });
      const where = `${id} level=${level} seed=${seed}`;
      assertEquals(run !== null, can.includes(level), where);
      if (run === null) continue;
      const { titles, leaked } = run;
      if (!levels.includes(level)) {
        assertEquals([titles, leaked], [[], 0], where);
        continue;
      }
      assertEquals(titles.length, expected.length, `${where}\n${titles.join("\n")}`);
      titles.forEach((title, i) => assertMatch(title, expected[i], where));
    }
  }
}

/** The lines of the only report. */
function onlyReport(id: string, level: Level): string {
  const run = ran(id, level);
  assertEquals(run?.titles.length, 1, `${id} ${level}`);
  return run?.k.reports[0].lines.join("\n") ?? "";
}

const SERIES_WRAPPERS = levelsFromTo("4/7", "7/7");
const HEADLESS = levelsFromTo("4/7", "v6.12");

Deno.test("levels and ends are those of the history", () => {
  const expected: Record<string, [first: Level, last: Level, gone: Level | null]> = {
    B3: ["4/7", "7/7", "v5.9"],
    B4: ["4/7", "7/7", "v5.9"],
    B5: ["4/7", "7/7", "v5.9"],
    B6: ["6/7", "7/7", "v5.9"],
    B13: ["v5.9", "v5.9", "v5.11"],
    B16: ["v5.13", "v6.3", "v6.5"],
    B18: ["v5.11", "v6.3", "v6.5"],
    B19: ["7/7", "v6.3", "v6.5"],
    B20: ["base", "v6.5", "v6.12"],
    B24: ["base", "v6.12", null],
    B27: ["base", "v6.5", "v6.12"],
    B29: ["base", "v6.5", "v6.12"], // v6.1.192 is the back-port that ends B9, and nothing else
  };
  for (const [id, [first, last, gone]] of Object.entries(expected)) {
    const bug = bugNamed(id);
    assertEquals([bug.levels, bug.gone], [levelsFromTo(first, last), gone], id);
  }
  const { levels: none, demo } = bugNamed("B17");
  assertEquals([none, demo], [[], null]);
});

Deno.test("B3: twenty requests under the lock, of which the ten without reserves fail; elsewhere none [seeds=2]", () => {
  check("B3", [/^BUG: allocation under krcp->lock$/], HEADLESS);
  for (const level of SERIES_WRAPPERS) {
    assertMatch(onlyReport("B3", level), /10 calls .* asked kmalloc\(\) 20 times .*; 10 got nothing/);
  }
});

Deno.test("B4: the routes are freed under their owner, and the record at a place where nothing starts [seeds=2]", () => {
  check("B4", [/invalid-free in kfree_rcu_work/, /use-after-free in main/, /invalid-free in main/], LEVELS);
  const run = ran("B4", "7/7");
  assert(run !== null);
  const [event] = eventsOf(run.k, "rcu_invoke_kvfree_callback");
  assertEquals([arg(event, "rhp") % 8, arg(event, "offset")], [0, 8], "9 less the mark");
  const right = ran("B4", "3/7");
  assert(right !== null);
  assertEquals(arg(eventsOf(right.k, "rcu_invoke_kvfree_callback")[0], "offset"), 9);
});

Deno.test("B5: nothing is known of the wrapper, the object goes active, and the next one there is a double free [seeds=2]", () => {
  check("B5", [
    /^ODEBUG: active_state not available/,
    /^ODEBUG: deactivate not available/,
    /^ODEBUG: free active/,
    /^ODEBUG: activate active/,
    /^ODEBUG: active_state active/,
    /^WARNING: .*/,
  ], HEADLESS);
  const run = ran("B5", "7/7");
  assertMatch(run?.k.reports[5].lines[1] ?? "", /Double-freed call/);
  const strings = eventsOf(run?.k as Kernel, "kmalloc").filter((r) => arg(r, "bytes_req") === 96).slice(-2);
  assertEquals(new Set(strings.map((r) => arg(r, "ptr"))).size, 1, "one address, given out twice");
});

Deno.test("B6: the buffer goes active, the request is a double free [seeds=2]", () => {
  const titles = [/^ODEBUG: free active/, /^ODEBUG: activate active/, /^ODEBUG: active_state active/];
  check("B6", titles, LEVELS);
  // Either half alone.
  const halves = ["buffer", "request"].map((free) => ran("B6", "7/7", { given: { free } })?.titles.length);
  assertEquals(halves, [1, 2]);
  assertEquals(ran("B6", "3/7", { given: { free: "buffer" } }), null, "no such call yet");
});

Deno.test("B13: zone->lock under krc.lock, at v5.9 only [seeds=2]", () => {
  check("B13", [/^\[ BUG: Invalid wait context \]$/], LEVELS);
  const text = onlyReport("B13", "v5.9");
  assertMatch(text, /\(&zone->lock\)\{[^}]*\}-\{3:3\}/);
  assertMatch(text, /\(krc\.lock\)\{[^}]*\}-\{2:2\}/);
});

Deno.test("B16: the call begins on CPU 0 and its block is CPU 1's; from v6.5 on it is CPU 0's [seeds=2]", () => {
  check("B16", [/^BUG: block on another CPU$/], HEADLESS);
  assertMatch(onlyReport("B16", "v5.13"), /began on CPU 0, and its block is CPU 1's/);
  for (const level of levelsFromTo("v6.5", "v6.12")) {
    const run = ran("B16", level);
    assert(run !== null);
    const [call] = eventsOf(run.k, "kvfree_rcu");
    assertEquals(
      eventsOf(run.k, "sched_migrate_task", call.seq)[0]?.task === undefined,
      false,
      "it is moved there too",
    );
    const armed = eventsOf(run.k, "timer_start", call.seq).filter((r) =>
      krcState(run.k).some((krc) => krc.monitorTimer === arg(r, "timer"))
    );
    assertEquals(armed.map((r) => krcState(run.k).findIndex((c) => c.monitorTimer === arg(r, "timer"))), [0]);
  }
});

Deno.test("B18: the worker runs twice for a cache of nothing, and under pressure fetches a page [seeds=2]", () => {
  check("B18", [/^BUG: worker for no page cache$/], LEVELS);
  for (const level of bugNamed("B18").levels) {
    const pages = levelsFromTo("v5.11", "v5.13").includes(level) ? 0 : 1; // the shrinker counts pages from v5.14 on
    assertMatch(
      onlyReport("B18", level),
      new RegExp(`ran 2 times; pages fetched: ${pages}, pages to keep: 0`),
    );
  }
});

Deno.test("B19: one argument sleeps under the lock where it compiles; two never do [seeds=2]", () => {
  for (const level of LEVELS) {
    const one = ran("B19", level);
    assertEquals(one !== null, bugNamed("B19").levels.includes(level), level);
    if (one !== null) {
      assertMatch(one.titles[0], /^BUG: sleeping function called from invalid context at kvfree_call_rcu$/);
    }
    const two = ran("B19", level, { given: { arguments: "two" } });
    assertEquals([two?.titles, two?.leaked], [[], 0], level);
  }
});

Deno.test("B20: twenty objects remain when the cache is destroyed, but at v6.12 none [seeds=2]", () => {
  check("B20", [
    /^BUG toyfs_inode_cache .*: Objects remaining in toyfs_inode_cache on __kmem_cache_shutdown\(\)$/,
    /^kmem_cache_destroy toyfs_inode_cache: Slab cache still has objects$/,
  ], LEVELS);
  const lines = ran("B20", "7/7")?.k.reports[0].lines ?? [];
  assertEquals(lines.filter((line) => line.includes("INFO: Object 0x")).length, 20);
});

Deno.test("B24: vfree() in the section is reported twice over; without a section nothing is [seeds=2]", () => {
  check(
    "B24",
    [/suspicious RCU usage/, /^BUG: sleeping function called from invalid context at vfree$/],
    LEVELS,
  );
  for (const level of ["base", "v6.12"] as const) {
    assertEquals(ran("B24", level, { given: { section: "none" } })?.titles, []);
  }
});

Deno.test("B27: all thirty sessions outlive the module, but at v6.12 none does [seeds=5]", () => {
  check("B27", [/^BUG: objects outlive their module$/], LEVELS, 5);
  assertMatch(onlyReport("B27", "v6.5"), /30 of its 30 sessions wait/);
});

Deno.test("B29: one object is suspected while it waits, and then freed [seeds=2]", () => {
  check("B29", [/^kmemleak: 1 new suspected memory leaks/], LEVELS);
});
