// SPDX-License-Identifier: GPL-2.0-only
// What holds for every command: help in 80 columns, NDJSON, the TypeScript behind it, names for Tab.

import { assert, assertEquals } from "@std/assert";
import { allCommands, KernelShell } from "./kernel_shell.ts";

const MACHINE = "boot --rcu tiny --seed 7; run ext4_kvfree_array_rcu";

/** Long ones, which their own tests run. */
const LONG = /^(bugs run|tour|series run|explore )/;

for (const command of allCommands) {
  Deno.test(`help ${command.name} is in 80 columns and ends in an example`, async () => {
    const { out, status } = await new KernelShell().run(`help ${command.name}`);
    assertEquals(status, 0);
    for (const line of out.split("\n")) assert(line.length <= 80, `${line.length} columns: ${line}`);
    assert(out.trimEnd().endsWith(`      ${command.examples.at(-1)?.shows}`), out);
    assert(command.summary.length <= 80 && !command.summary.endsWith("."), command.summary);
  });
}

Deno.test("in JSON every line that a command shows is an object that begins with its type", async () => {
  for (const command of allCommands) {
    for (const { line } of command.examples.filter((example) => !LONG.test(example.line))) {
      const shell = new KernelShell();
      await shell.run(MACHINE);
      const { out, err } = await shell.run(`.mode json\n${line}`);
      assertEquals(err, "", line);
      for (const text of out.split("\n").filter((it) => it !== "")) {
        assertEquals(Object.keys(JSON.parse(text))[0], "type", `${line}: ${text}`);
      }
    }
  }
});

/** Type and some fields of the first object of a line. */
const OBJECTS: readonly (readonly [string, string, Readonly<Record<string, unknown>>])[] = [
  ["ps", "task", { pid: 0, cpu: 0, comm: "swapper/0", running: true }],
  ["runq", "runqueue", { cpu: 0, nr_running: 0, rt: [] }],
  ["slabinfo", "slab", { objsize: 5248 }],
  ["buddyinfo", "zone", { node: 0, zone: "Normal" }],
  ["meminfo", "number", { name: "MemTotal", unit: "kB" }],
  ["leaks", "memory", { leaked: 0, pending: 0 }],
  ["trace --last 1", "event", { cpu: 0 }],
  ["trace list kfree", "tracepoint", { system: "kmem", name: "kfree" }],
  ["dmesg", "dmesg", { ns: 0 }],
  ["timeline", "timeline", { lane: "reader/0", symbol: "R" }],
  ["rcu", "rcu", { flavour: "tiny", callbacks: [] }],
  ["krc", "krc", { cpu: 0, capacity: 510 }],
  ["run hello_kvfree_rcu", "verdict", {
    name: "hello_kvfree_rcu",
    ending: "completed",
    status: 0,
    reports: 0,
  }],
  ["run", "example", { name: "ext4_kvfree_array_rcu" }],
  ["boot --cpus 2", "booted", { cpus: 2, rcu: "tree", level: "7/7", HZ: 250, seed: 1 }],
  ["boot --cpus 2; rcu tree", "booted", { cpus: 2 }],
  ["fail slab --nth 2", "rule", { id: 1 }],
  ["token", "token", {}],
  ["version", "version", {}],
  ["bugs list", "bug", { id: "B1" }],
  ["series list", "level", { level: "base", parent: null }],
  ["src kvfree", "place", {
    name: "kvfree",
    file: "mm/util.ts",
    mirrors: ["mm/util.c:kvfree"],
    versions: ["v5.7"],
  }],
  ["rd ffff888000001000", "words", { addr: "ffff888000001000" }],
];

for (const [line, type, fields] of OBJECTS) {
  Deno.test(`"${line} --json" gives an object of type ${type}`, async () => {
    const shell = new KernelShell();
    await shell.run(MACHINE);
    const { out } = await shell.run(`.mode json\n${line}`);
    const object = JSON.parse(out.split("\n")[0]);
    assertEquals({ ...object, ...fields, type }, object);
  });
}

Deno.test("a report is one object, with its lines", async () => {
  const shell = new KernelShell();
  const { out, status } = await shell.run(`.mode json; boot --rcu tiny; run use_after_free.ts`);
  const objects = out.trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals([status, objects.map(({ type }) => type)], [1, ["booted", "report", "verdict", "token"]]);
  assert(objects[1].lines.length > 5 && objects[1].title.startsWith("BUG: "), out);
});

for (const command of allCommands.filter(({ ts }) => ts !== undefined)) {
  Deno.test(`${command.name} --ts: what it shows can be typed`, async () => {
    const shell = new KernelShell();
    await shell.run(MACHINE);
    const shown = await shell.run(`${command.name} --ts`);
    assertEquals([shown.status, shown.err], [0, ""]);
    const typed = await shell.run(shown.out);
    assertEquals([typed.status, typed.err], [0, ""], shown.out);
    assert(command.name === "boot" || typed.out !== "", shown.out);
  });
}

/** What Tab offers on a machine that has run. */
const TABS: readonly (readonly [string, readonly string[]])[] = [
  ["boot --level v6.3", ["v6.3", "v6.3-rc1"]],
  ["boot --level=v6.12", ["--level=v6.12"]],
  ["boot --rcu t", ["tiny", "tree"]],
  ["boot --kas", ["--kasan"]],
  ["bugs show B1", ["B1", "B10", "B11", "B12", "B13", "B14", "B15", "B16", "B17", "B18", "B19"]],
  ["bugs s", ["show"]],
  ["trace -e kfree,rcu:rcu_barr", ["kfree,rcu:rcu_barrier"]],
  ["trace list rcu_barr", ["rcu_barrier"]],
  ["goto kvfree_r", ["kvfree_rcu"]],
  ["krc ", ["0"]],
  ["obj mi", ["mine"]],
  ["rd mi", ["mine"]],
  ["fail slab --cache vmap", ["vmap_area"]],
  ["run hello_kvfree_rcu --si", ["--size"]],
  ["run three", ["three_leaks.ts"]],
  ["src kvfree_call", ["kvfree_call_rcu", "kvfree_call_rcu_add_ptr_to_bulk"]],
  ["ps | gr", ["grep"]],
  ["ps |gr", ["grep"]],
  ["ps | grep --inv", ["--invert-match"]],
  ["ps > no", ["notes.txt"]],
  ["ps | head 3 >> no", ["notes.txt"]],
  ["help @mem", ["@memory"]],
  ["help filt", ["filters"]],
  ["ps --js", ["--json"]],
  ["slabinfo --t", ["--ts"]],
  ["series at v6.12", ["v6.12"]],
];

for (const [line, expected] of TABS) {
  Deno.test(`Tab after "${line}" offers ${expected.slice(0, 3).join(", ")}`, async () => {
    const files = (partial: string): string[] =>
      ["notes.txt", "three_leaks.ts"].filter((name) => name.startsWith(partial));
    const shell = new KernelShell({ files });
    await shell.run(`${MACHINE}; const mine = kmalloc(k, 100, GFP_KERNEL)`);
    assertEquals((await shell.shell.prepareAndComplete(line))[0], [...expected]);
  });
}

Deno.test("Tab offers the addresses of live memory, the youngest too", async () => {
  const shell = new KernelShell();
  const { out } = await shell.run(`${MACHINE}\nkmalloc(k, 100, GFP_KERNEL)`);
  const addr = out.trimEnd().split("\n").at(-1) ?? "";
  const { k } = shell.session;
  const before = k.digest();
  assertEquals((await shell.shell.prepareAndComplete(`obj ${addr.slice(0, -1)}`))[0].includes(addr), true);
  assertEquals(k.digest(), before);
});

const NEAREST: readonly (readonly [string, RegExp])[] = [
  ["hlep", /Did you mean help\?/],
  ["help grepp", /unknown command "grepp"\. Did you mean grep\?/],
  ["help @mmory", /Did you mean @memory\?/],
  ["boot --lvel 7\/7", /Did you mean --level\?/],
  ["boot --rcu tre", /Did you mean tree\?/],
  ["boot --level v6.2", /level "v6.2"/],
  ["run helo_kvfree_rcu", /Did you mean hello_kvfree_rcu\?/],
  ["run hello_kvfree_rcu --sise 3", /Did you mean --size\?/],
  ["src kvfre", /^src: no name "kvfre"\. Did you mean kvfree\?$/],
  ["xref rcu\/tinny.ts", /Did you mean rcu\/tiny\.ts\?/],
  ["bugs show B99", /B99/],
  ["series show v6.33", /Did you mean v6\.3\?/],
  ["trace -e kfre", /Did you mean kfree\?/],
  ["ps | haed", /Did you mean head\?/],
  [".mdoe json", /Did you mean \.mode\?/],
  [".mode jsn", /Did you mean json\?/],
  ["apropos zzzz", /^apropos: nothing has to do with "zzzz"/],
];

for (const [line, message] of NEAREST) {
  Deno.test(`"${line}" names what was meant`, async () => {
    const shell = new KernelShell();
    await shell.run("boot --rcu tiny --seed 7");
    const { status, err } = await shell.run(line);
    assertEquals([status, err.trimEnd().split("\n").length], [2, 1], err);
    assert(message.test(err.trimEnd()), err);
  });
}
