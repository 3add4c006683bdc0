// SPDX-License-Identifier: GPL-2.0-only
// The kernel's commands: looks change nothing, every example of the help works, what the issue asks to be shown is
// shown, and every kind of bad input ends in one line.

import { assert, assertEquals, assertMatch } from "@std/assert";
import * as library from "../../mod.ts";
import { MAX_CPUS, MAX_HZ, MAX_MEM, MIN_HZ, MIN_MEM } from "../../kernel/config.ts";
import { CALL_RCU_EVENT, KVFREE_RCU_EVENT } from "../../kernel/trace/events/quiesce.ts";
import { GENERATORS } from "../../repl/kernel_calls.ts";
import generatorNames from "../../tools/generator_names.json" with { type: "json" };
import { allCommands, kernelRan, KernelShell } from "./kernel_shell.ts";

const BOOT = "boot --rcu tiny --seed 7";
const RUN = "run ext4_kvfree_array_rcu";

// Looks

/** Every look, with arguments that make it work. */
const looks: readonly string[] = allCommands.filter((command) => command.kind === "look")
  .flatMap((command) => command.examples.map((example) => example.line));

for (
  const line of [
    ...looks,
    "obj p",
    "rd p 4",
    "trace --from 1",
    "timeline --from 1",
    "help boot",
    "Object.keys(k).length",
  ]
) {
  Deno.test(`"${line}" leaves the machine as it was, to the last byte`, async () => {
    const shell = new KernelShell();
    const before = await shell.run(
      `${BOOT}; ${RUN} --variant printed --fail kmalloc; run hello_kvfree_rcu --size 20000 --stop; step 60; const p = [...liveObjects(k)].at(-1).addr`,
    );
    assertEquals([before.status, before.err], [0, ""]);
    const { k } = shell.session;
    const state = (): string[] => [String(k.seq), String(k.points), k.hash.text(), k.digest()];
    const was = state();
    const { status, err } = await shell.run(line);
    assertEquals(err, "");
    assert(status === 0 || /^leaks/.test(line), `status ${status}`);
    assertEquals(state(), was);
  });
}

Deno.test("call sites are captured without a trace in hash, digest or later events [seeds=3]", async () => {
  for (const seed of [1, 7, 1000]) {
    const machines = [];
    for (const watched of [true, false]) {
      const shell = new KernelShell();
      await shell.run(`boot --seed ${seed}`);
      if (!watched) shell.session.k.captureSite = null;
      await shell.run("run hello_kvfree_rcu --size 20000; run ext4_kvfree_array_rcu");
      const { k } = shell.session;
      machines.push([k.seq, k.hash.text(), k.digest()]);
      const sites = [...k.log.records()].filter((r) => r.site !== 0).length;
      assert(watched ? sites > 20 : sites === 0, `${sites} sites`);
    }
    assertEquals(machines[0], machines[1], `seed ${seed}`);
  }
});

// Help

for (const command of allCommands) {
  for (const { line } of command.examples) {
    Deno.test(`help ${command.name}: the example "${line}" works`, async () => {
      const shell = new KernelShell();
      await shell.run(`${BOOT}; ${RUN}`);
      const { status, err } = await shell.run(line);
      const found = /^bugs run B\d+$/.test(line) ? 1 : 0; // a bug that showed
      assertEquals([status, err], [found, ""]);
    });
  }
}

// It must show

Deno.test("fixed: everything is freed or live [seed=7]", async () => {
  const { status, out } = await kernelRan(`${BOOT}; ${RUN} --variant fixed; leaks`);
  assertEquals(status, 0);
  // Four groups: four descriptors and the newest array.
  assertMatch(out, /^0 leaked, 0 pending, 5 live$/m);
});

Deno.test("printed without a stub: exactly one array is leaked, with size, function and a TOKEN [seed=7]", async () => {
  const { status, out } = await kernelRan(
    `${BOOT}; ${RUN} --variant printed --fail kmalloc --grows 1; leaks`,
  );
  assertEquals(status, 1);
  const lines = out.trimEnd().split("\n");
  assertEquals(lines.filter((line) => line.startsWith("unreferenced object")).length, 1);
  // The first array has 512 pointers, a page.
  assertMatch(out, /^unreferenced object 0xffff888[0-9a-f]{9} \(size 4096\):$/m);
  assertMatch(out, /allocated by ext4_fill_super \(examples\/ext4_kvfree_array_rcu\.ts:\d+\)$/m);
  assertMatch(out, /^1 leaked, 0 pending, 3 live$/m);
  assertMatch(lines.at(-1) ?? "", /^TOKEN q2\.[\w-]+$/);
});

Deno.test("printed: as many arrays are leaked as the array grew [grows=1..4]", async () => {
  for (const grows of [1, 2, 3, 4]) {
    const { out } = await kernelRan(
      `${BOOT}; ${RUN} --variant printed --fail kmalloc --grows ${grows}; leaks`,
    );
    assertMatch(out, new RegExp(`^${grows} leaked, 0 pending, ${grows + 2} live$`, "m"));
  }
});

Deno.test("kvfree_rcu: the batch frees the old arrays, after its timer and a grace period [seed=7]", async () => {
  const shell = new KernelShell();
  const { out, status } = await shell.run(
    `${BOOT}; ${RUN} --variant kvfree_rcu --grows 2; trace --seq; leaks`,
  );
  assertEquals(status, 0);
  const at = (pattern: RegExp): number => {
    const line = out.split("\n").findIndex((text) => pattern.test(text));
    assert(line >= 0, String(pattern));
    return line;
  };
  const queued = [...out.matchAll(/kvfree_rcu: ptr=([0-9a-f]+) headless/g)].map((match) => match[1]);
  assertEquals(queued.length, 2);
  const monitor = at(/workqueue_execute_start: .*function kvfree_rcu_monitor/);
  const work = at(/workqueue_execute_start: .*function kvfree_rcu_work/);
  assert(at(new RegExp(`kvfree_rcu: ptr=${queued[1]}`)) < monitor && monitor < work);
  for (const ptr of queued) assert(work < at(new RegExp(`kfree: call_site=kvfree_rcu_work ptr=${ptr}`)));
});

Deno.test("timeline: who read, what waited, when it was freed, in 80 columns [variants=3]", async () => {
  for (const variant of ["kvfree_rcu", "fixed", "printed --fail kmalloc"]) {
    const { out } = await kernelRan(`${BOOT}; ${RUN} --variant ${variant} --grows 9; timeline`);
    for (const line of out.split("\n").slice(2)) assert(line.length <= 80, line);
    assertMatch(out, /R .* reads 2 times/);
    assertMatch(out, /No read-side section was open when any of them was queued|made to fail/);
  }
  const { out } = await kernelRan(`${BOOT}; ${RUN} --grows 1; timeline`);
  const rows = [
    "kvfree_rcu(",
    "batch timer armed: 5 jiffies",
    "batch timer fires",
    "kvfree_rcu_monitor on kworker",
    "a grace period begins",
    "the grace period is over: switch from",
    "kvfree_rcu_work on kworker",
    "= A, after ",
  ];
  const places = rows.map((text) => out.indexOf(text));
  assertEquals(places, [...places].sort((a, b) => a - b));
  assert(places.every((place) => place > 0), String(places));
});

Deno.test("a user's file that drops three objects: leaks lists exactly these", async () => {
  const { status, out } = await kernelRan("boot; run tests/examples/three_leaks.ts; leaks");
  assertEquals(status, 1);
  assertEquals([...out.matchAll(/\(size (\d+)\)/g)].map((match) => Number(match[1])), [100, 5000, 3 * 4096]);
  assertEquals([...out.matchAll(/three_leaks\.ts:(\d+)/g)].map((match) => Number(match[1])), [11, 12, 13]);
  assertMatch(out, /^3 leaked, 0 pending, 0 live$/m);
});

Deno.test("leaks finds the allocation by a replay when the log does not hold it any more", async () => {
  const shell = new KernelShell();
  await shell.run(`boot; k.log.recording = false; ${RUN} --variant printed --fail kmalloc --grows 1`);
  const { k } = shell.session;
  const before = [k.seq, k.hash.text(), k.digest()];
  const { out, status } = await shell.run("leaks");
  assertEquals(status, 1);
  assertMatch(out, /comm "ext4_kvfree_arr\w*", pid \d+, event \d+ \(age 0\.\d+s\)/);
  assertMatch(out, /allocated by ext4_fill_super \(examples\/ext4_kvfree_array_rcu\.ts:\d+\)$/m);
  assertEquals([k.seq, k.hash.text(), k.digest()], before);
});

Deno.test("obj: allocated, queued and freed, by whom; any address inside is as good [seed=7]", async () => {
  const shell = new KernelShell();
  const { out } = await shell.run(`${BOOT}; ${RUN}; trace -e quiesce:kvfree_rcu`);
  const ptr = [...out.matchAll(/kvfree_rcu: ptr=([0-9a-f]+)/g)][2][1];
  const start = await shell.run(`obj ${ptr}`);
  const inside = await shell.run(`obj ${(BigInt("0x" + ptr) + 20n).toString(16)}`);
  const lines = (text: string): string[] => text.trimEnd().split("\n").slice(1);
  assertEquals(lines(start.out), lines(inside.out));
  const stories = lines(start.out).map((line) => line.replace(/^.*\d\.\d+ +/, "").replace(/\d+/g, "N"));
  assertMatch(
    stories.join("\n"),
    /^allocated +by writer\/N in add_new_gdb .*kmalloc of N bytes, GFP_KERNEL\|__GFP_NOWARN\|__GFP_NORETRY$/m,
  );
  assertMatch(stories.join("\n"), /^queued +by writer\/N in add_new_gdb .*, kvfree_rcu$/m);
  assertMatch(stories.join("\n"), /^freed +by kworker.* in kvfree_rcu_work .*, kfree$/m);
});

Deno.test("rcu and krc: what collects, what waits for a grace period, what is spare", async () => {
  const shell = new KernelShell();
  await shell.run(`${BOOT}; ${RUN} --grows 3`);
  const { k } = shell.session;
  const seqOf = (kind: number, nth: number): number =>
    [...k.log.records()].filter((r) => r.kind === kind)[nth].seq;
  const second = seqOf(KVFREE_RCU_EVENT, 1);
  const closed = seqOf(CALL_RCU_EVENT, 0); // the monitor hands the batch to rcu_work
  const collects = await shell.run(`goto ${second}; step; krc`);
  assertMatch(collects.out, /^collecting: 2 pointers in 1 block\n {2}block ffff888\w+ holds 2$/m);
  assertMatch(collects.out, /^waiting for a grace period: nothing\nspare block: none\nmonitor: armed/m);
  const waits = await shell.run(`goto ${closed}; step; krc; rcu`);
  assertMatch(waits.out, /^collecting: nothing\nwaiting for a grace period: 3 pointers in 1 block$/m);
  assertMatch(waits.out, /^1 callback queued: .*\n {2}rcu_head ffff888\w+ {2}rcu_work_rcufn$/m);
  const over = await shell.run("cont; krc; rcu");
  assertMatch(
    over.out,
    /^waiting for a grace period: nothing\nspare block: ffff888\w+\nmonitor: not armed$/m,
  );
  assertMatch(over.out, /^0 callbacks queued$/m);
});

// Going back

Deno.test("goto and rstep replay to the same state, and cont to the same end [seed=7]", async () => {
  const shell = new KernelShell();
  await shell.run(`${BOOT}; ${RUN}`);
  const { k } = shell.session;
  const end = [k.seq, k.hash.text(), k.digest()];
  const middle = shell.session.bench.since + 100;
  await shell.run(`goto ${middle}`);
  const there = [k.seq, k.hash.text()];
  assert(k.seq >= middle && k.seq < middle + 20);
  await shell.run(`step 40; rstep 10; goto ${middle}`);
  assertEquals([k.seq, k.hash.text()], there);
  assertEquals((await shell.run("step 7; cont")).status, 0);
  assertEquals([k.seq, k.hash.text(), k.digest()], end);
});

Deno.test("goto NAME goes to the next such event, and from the end to the first", async () => {
  const shell = new KernelShell();
  await shell.run(`${BOOT}; ${RUN} --grows 3`);
  const { k } = shell.session;
  const seqs = [...k.log.records()].filter((r) => r.kind === KVFREE_RCU_EVENT).map((r) => r.seq);
  assertEquals(seqs.length, 3);
  const end = k.hash.text();
  for (const seq of seqs) {
    const { out } = await shell.run("goto kvfree_rcu");
    assertMatch(out, new RegExp(`^ *${seq} .* kvfree_rcu: ptr=`));
    assertMatch(out, /in add_new_gdb \(examples\//);
  }
  const { status, err } = await shell.run("goto quiesce:kvfree_rcu");
  assertEquals(status, 2);
  assertMatch(err, /^goto: no event "quiesce:kvfree_rcu" comes after event \d+ in this run$/m);
  await shell.run("cont");
  assertEquals(k.hash.text(), end);
});

Deno.test("a TOKEN does all of it again in another shell: faults, runs, schedule", async () => {
  const first = new KernelShell();
  await first.run("boot --seed 5 --policy fine --hz 1000; run hello_kvfree_rcu");
  await first.run(
    "fail slab --site ext4_kvfree_array_rcu --nth 2 --times 1; run ext4_kvfree_array_rcu --variant printed",
  );
  const { out } = await first.run("token");
  const second = new KernelShell();
  assertEquals((await second.run(`replay ${out}`)).status, 0);
  assertEquals(second.session.k.digest(), first.session.k.digest());
  assertEquals(second.session.k.hash.text(), first.session.k.hash.text());
  assertEquals((await second.run("leaks")).out, (await first.run("leaks")).out);
});

// TypeScript

Deno.test("a kernel function as a line runs in a thread; await keeps its value", async () => {
  const shell = new KernelShell();
  const { status, out, err } = await shell.run(
    "boot\nkmalloc(k, 100, GFP_KERNEL)\nconst p = await kzalloc(k, 24, GFP_KERNEL)\nkfree(k, p)\nkfree(k, p)",
  );
  assertMatch(out, /^ffff8880[0-9a-f]{8}$/m);
  assertMatch(out, /BUG: double-free or invalid-free/);
  assertEquals([status, err], [1, ""]);
  assertMatch(
    (await shell.run("leaks")).out,
    /\(size 100\)[\s\S]*allocated by typescript\n1 leaked, 0 pending/,
  );
});

Deno.test("run(function* (k) ...) carries out several calls in one thread, and going back does them again", async () => {
  const shell = new KernelShell();
  await shell.run(BOOT);
  const { out } = await shell.run(
    "await run(function* twice(k) { const p = yield* kmalloc(k, 8, GFP_KERNEL); yield* kfree(k, p); return p; })",
  );
  assertMatch(out, /^ffff888/);
  const { k } = shell.session;
  const end = k.hash.text();
  await shell.run("rstep 5; cont");
  assertEquals(k.hash.text(), end);
  assertEquals(
    (await shell.run("token")).err,
    "no token holds lines of TypeScript: put them into a file and run it\n",
  );
});

Deno.test("TypeScript that changes the machine outside of a thread is told so", async () => {
  const { err } = await kernelRan("boot; k.emit(261); 1");
  assertMatch(err, /^this line changed the machine outside of a thread/);
  assertEquals((await kernelRan("boot; jiffies(k); [...liveObjects(k)].length")).err, "");
});

Deno.test("GENERATORS names the functions of the library that return generators", () => {
  const functions = Object.entries(library).filter(([, value]) => typeof value === "function").map(([name]) =>
    name
  );
  assertEquals(GENERATORS.filter((name) => !functions.includes(name)), []);
  const known = generatorNames.functions.filter((name) => functions.includes(name));
  assertEquals(known.filter((name) => !GENERATORS.includes(name)), []);
});

// Faults

Deno.test("fail: rules are counted, listed and cleared", async () => {
  const shell = new KernelShell();
  const { out } = await shell.run(
    `${BOOT}; fail slab --cache kmalloc-32 --gfp GFP_KERNEL --nth 2; fail page --order 0 --times -1; fail list; fail clear; fail list`,
  );
  assertEquals(out.split("\n").slice(1, 6), [
    "rule 1: slab, cache kmalloc-32, gfp GFP_KERNEL, nth 2, times 1",
    "rule 2: page, order 0, nth 1, for ever",
    "rule 1: slab, cache kmalloc-32, gfp GFP_KERNEL, nth 2, times 1: 0 matched, 0 failed",
    "rule 2: page, order 0, nth 1, for ever: 0 matched, 0 failed",
    "no rules",
  ]);
});

// Bad input

const MISTAKES: readonly (readonly [string, number, RegExp])[] = [
  ["bott", 2, /^unknown command "bott". Did you mean boot\? \(help lists all\)$/],
  ["boot --cpu 4", 2, /^boot: unknown option --cpu. Did you mean --cpus\? \(help boot\)$/],
  ["boot --rcu tiny --cpus 4", 2, /^boot: rcu tiny runs on 1 CPU, not 4: use --cpus 1$/],
  ["boot --rcu tiny --preempt full", 2, /^boot: rcu tiny needs preempt none/],
  ["boot --mem 1K", 2, /^boot: --mem "1K": must be a size such as 64M, from 8M to 4G$/],
  ["boot --hz 0", 2, /^boot: --hz "0": must be a whole number from 12 to 10000$/],
  ["boot --level 9/7", 2, /^boot: level "9\/7" does not exist: base, 1\/7, .* are allowed$/],
  ["run nosuch", 2, /^run: no example "nosuch" \(run lists them; a file is given as nosuch.ts\)$/],
  ["run ext4_kvfree_array", 2, /^run: no example "ext4_kvfree_array". Did you mean ext4_kvfree_array_rcu\?/],
  ["run ext4_kvfree_array_rcu --varient fixed", 2, /unknown option --varient. Did you mean --variant\?/],
  [
    "run ext4_kvfree_array_rcu --variant mended",
    2,
    /--variant "mended" does not exist: printed, fixed, kvfree_rcu/,
  ],
  ["run ext4_kvfree_array_rcu --grows 0", 2, /--grows "0" is out of range: 1 to 50000 is allowed$/],
  ["run ext4_kvfree_array_rcu --grows", 2, /--grows needs a value$/],
  ["run nothere.ts", 2, /^run: cannot read "nothere.ts": there is no such file$/],
  [
    "run secret.ts",
    2,
    /^run: cannot read "secret.ts": the permission to read it was not given \(--allow-read\)$/,
  ],
  ["run syntax.ts", 2, /^syntax.ts:3:5: Expected ';', got 'x'$/],
  ["run load.ts", 2, /^load.ts:2:7: Error: at load$/],
  ["run no_default.ts", 2, /^no_default.ts: it must export a generator function/],
  ["run async.ts", 2, /^async.ts: it must export a generator function/],
  ["step", 2, /^step: nothing has run yet. Try: run ext4_kvfree_array_rcu --stop$/],
  ["cont", 2, /^cont: nothing has run yet/],
  ["goto 300", 2, /^goto: nothing has run yet/],
  [
    "run hello_kvfree_rcu; goto kvfre_rcu",
    2,
    /^goto: no event is called "kvfre_rcu". Did you mean kvfree_rcu\?/,
  ],
  ["rstep", 2, /^rstep: nothing has run yet/],
  [
    "run hello_kvfree_rcu; rstep 100000",
    2,
    /^rstep 100000: only \d+ events of the run are behind event \d+; goto \d+ is its start$/,
  ],
  ["krc 3", 2, /^krc: there is no CPU 3; this machine has CPU 0 only$/],
  ["run folder.ts", 2, /^run: cannot read "folder.ts": it is a folder$/],
  ["timeline", 2, /^timeline: nothing has run yet/],
  ["run hello_kvfree_rcu; step", 2, /^step: the run is over \(event \d+\); goto and rstep go back/],
  ["run hello_kvfree_rcu; goto 100000", 2, /^goto: the run ended at event \d+$/],
  ["run hello_kvfree_rcu; goto 5", 2, /^goto: event 5 is not in a run: events from \d+ on are$/],
  [
    "run hello_kvfree_rcu --stop; run hello_kvfree_rcu",
    2,
    /^run: a run is stopped at event \d+: cont finishes it/,
  ],
  ["run hello_kvfree_rcu --stop; fail slab", 2, /^fail: a run is stopped at event/],
  ["fail slab --order 1", 2, /^fail: order is about pages, not about slab$/],
  ["fail page --cache kmalloc-8", 2, /^fail: cache and size are about slab, not about pages$/],
  ["fail slab --times 0", 2, /^fail: times 0: 1 or more, or -1 for ever, is allowed$/],
  ["fail slab --gfp GFP_KERNL", 2, /^fail: --gfp: no flag is called "GFP_KERNL". Did you mean GFP_KERNEL\?$/],
  ["fail lsit", 2, /^fail: what "lsit": must be slab, page, list or clear. Did you mean list\?$/],
  ["trace -e kfre", 2, /^trace: no event is called "kfre". Did you mean kfree\? \(trace list shows all\)$/],
  ["trace list nosuch:*", 2, /^trace: no event is called "nosuch:\*"/],
  ["obj zebra", 2, /^obj: "zebra" is no address/],
  ["obj 12345", 2, /^obj: nothing is at 0000000000012345/],
  ["rd ffffc90000000000", 2, /^rd: nothing is mapped at ffffc90000000000 or a little above$/],
  ["replay q2.AAAA", 2, /token/],
  ["replay nonsense", 2, /^"nonsense" is not a token: they start with q2\.$/],
  ["let x: = 3", 2, /./],
  ["kmalloc(k, 100, GFP_KERNEL).nosuch.x", 1, /^TypeError: /],
];

for (const [line, status, message] of MISTAKES) {
  Deno.test(`"${line}" is answered in one line, and the machine stays`, async () => {
    const shell = new KernelShell();
    await shell.run(BOOT);
    const before = shell.session.k;
    const ran = await shell.run(line);
    assertEquals([ran.status, ran.err.trimEnd().split("\n").length], [status, 1], ran.err);
    assertMatch(ran.err.trimEnd(), message);
    assertEquals(shell.session.k, before);
    assertEquals((await shell.run("version")).status, 0);
  });
}

/** They boot machines of their own, or speak of none. */
const NEED_NO_MACHINE = ["tour", "bugs", "boot", "kmemleak", "replay", "series", "kvtest", "explore"];

for (const command of allCommands) {
  if (NEED_NO_MACHINE.includes(command.name) || command.kind === "shell") continue;
  Deno.test(`${command.name} before boot is answered in one line with status 2`, async () => {
    const line = command.name === "fail" ? "fail list" : command.examples[0].line.split(";")[0];
    const { status, out, err } = await kernelRan(line);
    assertEquals([status, out, err], [2, "", "no kernel is booted. Try: boot\n"]);
  });
}

Deno.test("boot's ranges are those of the configuration", () => {
  const boot = allCommands.find((command) => command.name === "boot");
  const range = (name: string): (number | undefined)[] => {
    const option = boot?.options?.find((o) => o.name === name);
    return [option?.min, option?.max];
  };
  assertEquals(range("cpus"), [1, MAX_CPUS]);
  assertEquals(range("mem"), [MIN_MEM, MAX_MEM]);
  assertEquals(range("hz"), [MIN_HZ, MAX_HZ]);
});

// Verdicts

Deno.test("a deadlock names the tasks, what each waits for, and ends in a TOKEN", async () => {
  const shell = new KernelShell();
  const { status, out } = await shell.run("boot; run tests/examples/deadlock.ts");
  assertEquals(status, 1);
  assertMatch(out, /^deadlock: deadlock: .*, 0 reports$/m);
  assertMatch(out, /^ {2}one \(pid \d+\) waits for mutex b$/m);
  assertMatch(out, /^ {2}two \(pid \d+\) waits for mutex a$/m);
  assertMatch(out.trimEnd().split("\n").at(-1) ?? "", /^TOKEN q2\./);
  assertEquals((await shell.run("boot; run hello_kvfree_rcu")).status, 0);
});

Deno.test("a livelock runs into the limit, names the task, and is inconclusive", async () => {
  const shell = new KernelShell();
  const { status, out } = await shell.run("boot; run tests/examples/livelock.ts");
  assertEquals(status, 4);
  assertMatch(out, /^livelock: livelock: after 20 million points its tasks still go on/m);
  assertMatch(out, /^ {2}livelock \(pid \d+\) /m);
  assertMatch(out.trimEnd().split("\n").at(-1) ?? "", /^TOKEN q2\./);
  assertEquals((await shell.run("ps")).status, 0);
});

Deno.test("an exception in user code is one line with its place, and a verdict", async () => {
  const { status, out } = await kernelRan("boot; run tests/examples/throws.ts");
  assertEquals(status, 1);
  assertMatch(
    out,
    /^\[ +\d+\.\d+\] exception in throws\/\d+: TypeError: .* \(tests\/examples\/throws\.ts:15:\d+\)$/m,
  );
  assertMatch(out, /^throws: completed, .*, 1 report$/m);
});

Deno.test("a BUG has status 3, a use after free status 1; both are reported when they happen", async () => {
  const bug = await kernelRan("boot; run tests/examples/bug.ts");
  assertEquals(bug.status, 3);
  assertMatch(bug.out, /^\[ +\d+\.\d+\] kernel BUG at main!$/m);
  const uaf = await kernelRan("boot; run tests/examples/use_after_free.ts");
  assertEquals(uaf.status, 1);
  assertMatch(uaf.out, /^\[ +\d+\.\d+\] BUG: use-after-free in main$/m);
  assertMatch(uaf.out, /Read of size 1 at addr ffff888/);
});

Deno.test("a broken invariant of the emulator has status 5, one line, and the shell goes on", async () => {
  const shell = new KernelShell();
  const { status, err } = await shell.run(`${BOOT}; run(function* () { k.dataAlloc(2 ** 30) })`);
  assertEquals([status, err], [5, "our own fault: .data is full; please report it\n"]);
  assertEquals((await shell.run(`${BOOT}; ${RUN}; leaks`)).status, 0);
});

Deno.test("leaks of a stopped run is inconclusive and says why", async () => {
  const { status, out } = await kernelRan("boot; run hello_kvfree_rcu --stop; step 35; leaks");
  assertEquals(status, 4);
  assertMatch(out, /the run is stopped at event \d+/);
});

Deno.test("reports are shown once, and again after going back before them", async () => {
  const shell = new KernelShell();
  const first = await shell.run("boot; run tests/examples/use_after_free.ts --stop; cont");
  assertEquals([...first.out.matchAll(/BUG: use-after-free/g)].length, 1);
  const back = await shell.run("rstep 40");
  assert(!back.out.includes("BUG:"), back.out);
  const again = await shell.run("cont");
  assertEquals([...again.out.matchAll(/BUG: use-after-free/g)].length, 1);
});

// Tour

Deno.test("tour runs to its end without anybody to answer, and with somebody", async () => {
  const quiet = await kernelRan("tour");
  assertEquals([quiet.status, quiet.err], [0, ""]);
  assertMatch(quiet.out, /^1 leaked, 0 pending, 3 live$/m);
  assertMatch(quiet.out, /in ext4_kvfree_array_rcu \(examples\/ext4_kvfree_array_rcu\.ts:\d+\)/);
  assertMatch(quiet.out, /What to try next/);
  const shell = new KernelShell({ answers: "later\nB\n\na\nb\n" });
  const { status, out } = await shell.run("tour");
  assertEquals(status, 0);
  const judged = out.split("\n").filter((line) => /^The answer is |the answer is|that is right/.test(line));
  assertEquals(judged, [
    '"later" is none of a, b and c; the answer is c.',
    "You said b, and that is right.",
    "The answer is c.",
    "You said a; the answer is c.",
    "You said b, and that is right.",
  ]);
  assertMatch(out, /held up by reader\/2 in rcu_read_lock\(\) on CPU 3/);
  assertMatch(out, /use-after-free in walker/);
});

Deno.test("tour ends at the end of the input, at a question, and the shell goes on", async () => {
  const shell = new KernelShell({ answers: "c\n" });
  const { status, out } = await shell.run("tour");
  assertEquals(status, 0);
  assertMatch(out, /Who was it\?\n(?:.*\n){4}The tour ends here; tour begins it again\.\n$/);
  assertEquals((await shell.run("leaks")).status, 0);
});

Deno.test("every kernel call of a TypeScript line is carried out, and an assigned one gives its value", async () => {
  const shell = new KernelShell();
  await shell.run("boot");
  await shell.run("kmalloc(k, 8, GFP_KERNEL); kmalloc(k, 16, GFP_KERNEL)");
  await shell.run("let p = kmalloc(k, 32, GFP_KERNEL), q; q = vmalloc(k, 4096)");
  const { out } = await shell.run("[p, q].map((a) => typeof a).join()");
  assertEquals(out, '"number,number"\n');
  await shell.run("kfree(k, p); vfree(k, q); kfree(k, kmalloc(k, 64, GFP_KERNEL))");
  const { k, bench } = shell.session;
  const live = [...library.liveObjects(k)].filter((o) => o.birth > bench.bootSeq);
  assertEquals(live.map((o) => o.size).toSorted((a, b) => a - b), [8, 16]);
});

Deno.test("a promise that a line makes is not waited for", async () => {
  const shell = new KernelShell();
  assertEquals((await shell.run("let x = Promise.resolve(1); x instanceof Promise")).out, "true\n");
});
