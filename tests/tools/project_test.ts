// SPDX-License-Identifier: GPL-2.0-only
/**
 * The project's own files keep their promises: the tasks of deno.json, what .ci/run runs, the list of Linux names.
 * They are imported as text and data, so that no permission is needed.
 */
import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import ci from "../../.ci/run" with { type: "text" };
import list from "../../docs/linux-symbols.txt" with { type: "text" };
import lock from "../../deno.lock" with { type: "text" };
import { readSymbols } from "../../tools/map_scan.ts";
import { steps } from "../../tools/ok.ts";

const tasks: Record<string, string | { command: string }> = config.tasks;

function command(name: string): string {
  const task = tasks[name];
  return typeof task === "string" ? task : task?.command ?? "";
}

Deno.test("`deno task test` runs what bare `deno test` runs, on all CPUs", () => {
  assertEquals(command("test"), "deno test --parallel"); // the same tests, a file on each CPU
});

Deno.test("the shell and its tour never get all permissions, the network or other programs", () => {
  for (const name of ["repl", "tour", "example", "test"]) {
    const words = command(name).split(" ");
    assertGreater(words.length, 1, name);
    const forbidden = words.filter((it) => /^(-A|--allow-(all|run|net|ffi|sys|import)\b)/.test(it));
    assertEquals(forbidden, [], name);
  }
});

Deno.test("every checker of `deno task ok` is a task of its own, with the rights to read only but for node", () => {
  for (const { name, args } of steps([], [], true)) {
    assert(command(name).length > 0, `no task ${name}`);
    if (args[0] !== "run") continue;
    const more = name === "node" ? ["--allow-run=node", "--allow-write=dist"] : [];
    assertEquals(args.filter((it) => it.startsWith("--allow")), ["--allow-read", ...more], name);
    assertMatch(command(name), new RegExp(args.find((it) => it.endsWith(".ts"))!));
  }
});

Deno.test(".ci/run starts with the README's test command and then runs the rest", () => {
  const runs = ci.split("\n").filter((line) => /^run \d/.test(line));
  assertEquals(runs.map((line) => line.replace(/^run \d+ /, "")), [
    '"${deno[@]}" task test',
    '"${deno[@]}" task ok:rest',
  ]);
  assertMatch(ci, /^deno=\(npx -y deno@2\.9\.6\)$/m);
  const limits = runs.map((line) => parseInt(line.slice(4)));
  assert(limits[0] + limits[1] < 15 * 60, "under 15 minutes even when both hang");
});

Deno.test("the lock file names no place that packages came from", () => {
  assert(!lock.includes("tarball"));
  assert(!lock.includes("://"));
});

Deno.test("docs/linux-symbols.txt is sorted, has each name once and fields only of structs that it has", () => {
  const symbols = readSymbols(list);
  assertGreater(symbols.length, 1000);
  const keys = symbols.map(({ path, symbol }) => `${path}\t${symbol}`);
  assertEquals(new Set(keys).size, keys.length);
  for (const [index, key] of keys.entries()) {
    if (index > 0) assert(keys[index - 1] < key, `${key} stands behind ${keys[index - 1]}`);
  }
  for (const { path, symbol, kind } of symbols) {
    if (kind === "field") {
      assert(keys.includes(`${path}\t${symbol.split(".")[0]}`), `${symbol} without its struct`);
    } else assertMatch(symbol, /^\w+$/);
    assertMatch(path, /^[\w/.-]+\.[chS]$/);
  }
});

Deno.test("docs/linux-symbols.txt holds what the parts promise", () => {
  const parts = new Map(readSymbols(list).map(({ path, symbol, part }) => [`${path}:${symbol}`, part]));
  const promised: [string, string][] = [
    ["kernel/rcu/tiny.c:rcu_process_callbacks", "1"],
    ["kernel/rcu/tiny.c:kvfree_call_rcu", "1"],
    ["mm/util.c:kvfree", "1"],
    ["mm/slub.c:___slab_alloc", "1"],
    ["kernel/workqueue.c:queue_rcu_work", "1"],
    ["kernel/rcu/tree.c:rcu_gp_init", "2"],
    ["kernel/rcu/tree.c:attach_rcu_head_to_object", "2"],
    ["kernel/rcu/rcu_segcblist.c:rcu_segcblist_accelerate", "2"],
    ["kernel/rcu/tree.h:rcu_data.cpu_no_qs", "2"],
    ["mm/vmscan.c:shrink_slab", "2"],
    ["kernel/rcu/tree_exp.h:synchronize_rcu_expedited", "later"],
    ["kernel/rcu/tree_plugin.h:rcu_read_unlock_special", "2"],
  ];
  for (const [name, part] of promised) assertEquals(parts.get(name), part, name);
});
