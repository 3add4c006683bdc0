// SPDX-License-Identifier: GPL-2.0-only
// The command `explore`: its lines, statuses and tokens, and every kind of bad input in one line.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { kernelRan, KernelShell } from "../repl/kernel_shell.ts";

const TINY = "boot --rcu tiny --mem 16M --seed 7";

Deno.test("explore says that it held, with its claim and counts, status 0", async () => {
  const { status, out, err } = await kernelRan(`${TINY}; explore hello_kvfree_rcu --runs 5`);
  assertEquals([status, err], [0, ""]);
  assertMatch(out, /^hello_kvfree_rcu: held, SAMPLED\(5\): seeds 7 to 11, policy run-on/m);
  // A pointer is a batch on tiny RCU.
  assertMatch(out, /^5 executions, 5 completed; 5 callback batches, at least one in 5 executions;/m);
});

Deno.test("explore ends in the TOKEN of the first failure, status 1, and replay does it again", async () => {
  const shell = new KernelShell();
  const line = "explore ext4_kvfree_array_rcu --variant printed --policy failslab --minimise";
  const { status, out, err } = await shell.run(`${TINY}; ${line}`);
  assertEquals([status, err], [1, ""]);
  assertMatch(out, /^ext4_kvfree_array_rcu: failed, BOUNDED\(\d+\): the first \d+ slab allocations$/m);
  assertMatch(out, /^execution \d+ \(slab, nth \d+, times 1\): leaked: 4096 bytes/m);
  const last = out.trimEnd().split("\n").at(-1) ?? "";
  assertMatch(last, /^TOKEN q2\.[\w-]+$/);
  const again = await shell.run(`replay ${last.slice(6)}; leaks`);
  assertMatch(again.out, /^1 leaked,/m);
  // The same on another day.
  assertEquals((await kernelRan(`${TINY}; ${line}`)).out, out);
});

Deno.test("explore leaves the machine on the bench as it was, and takes its configuration and armed faults", async () => {
  const shell = new KernelShell();
  await shell.run(`${TINY}; fail slab --site ext4_kvfree_array_rcu --times -1; run hello_kvfree_rcu`);
  const { k } = shell.session;
  const before = [k.seq, k.points, k.hash.text(), k.digest()];
  const { status, out } = await shell.run("explore ext4_kvfree_array_rcu --variant printed --runs 3");
  assertEquals([k.seq, k.points, k.hash.text(), k.digest()], before);
  assertEquals(status, 1);
  assertMatch(out, /^ext4_kvfree_array_rcu: failed, SAMPLED\(1\): seed 7/m);
  const replayed = await shell.run(`replay ${out.trimEnd().split("\n").at(-1)}; leaks`);
  assertMatch(replayed.out, /^3 leaked,/m); // it grows three times
});

Deno.test("explore with a budget that ends first: status 4 and no more claimed than was done", async () => {
  const { status, out } = await kernelRan(
    `${TINY}; explore hello_kvfree_rcu --policy bounded --bound 2 --runs 5`,
  );
  assertEquals(status, 4);
  assertMatch(out, /^hello_kvfree_rcu: held so far, BOUNDED\(0\): no stall, and 4 of those with 1$/m);
  assertMatch(out, /^the budget of executions is used up$/m);
});

Deno.test("explore's policies each say what they did", async () => {
  const shell = new KernelShell();
  await shell.run(TINY);
  for (
    const [words, claim] of [
      [
        "--policy pct --depth 1 --runs 4",
        /SAMPLED\(4\): seeds 7 to 10, policy run-on, 1 stall \(of 4\.096 ms\) at/,
      ],
      [
        "--policy bounded --threads hello",
        /EXHAUSTED\(1\): at most 1 stall \(of 4\.096 ms\) at \d+ points of hello/,
      ],
      ["--policy bounded --kinds alloc --bound=0", /EXHAUSTED\(0\): no stall/],
      ["--policy bounded --threads hello --stalls long,tick", /\(of 65\.536 ms or 4\.096 ms\) at \d+ points/],
      ["--policy failpage", /EXHAUSTED: /],
      ["--policy failslab --size 5000", /EXHAUSTED: each of \d+ slab allocations failed/],
    ] as const
  ) {
    const { status, out, err } = await shell.run(`explore hello_kvfree_rcu ${words}`);
    assertEquals([status, err], [0, ""], words);
    assertMatch(out.replaceAll(/\n +/g, " "), claim);
  }
});

Deno.test("explore in JSON is one object with the numbers, and the token", async () => {
  const { out } = await kernelRan(
    `${TINY}; .mode json; explore ext4_kvfree_array_rcu --variant printed --policy failslab --minimise`,
  );
  const objects = out.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  const exploration = objects.find(({ type }) => type === "exploration");
  assertEquals([exploration.claim, exploration.failure.kind, exploration.failure.stalls], [
    "BOUNDED",
    "leak",
    [],
  ]);
  assertEquals(exploration.bound, exploration.executions);
  assert(out.includes("TOKEN q2."));
});

for (
  const [words, message] of [
    ["explore", /^explore: what\? /],
    ["explore nothing", /no example "nothing"/],
    ["explore hello_kvfree_rcu --policy rand", /--policy "rand": must be .*Did you mean random/],
    ["explore hello_kvfree_rcu --runs 0", /--runs "0"/],
    ["explore hello_kvfree_rcu --runs", /--runs needs a value/],
    ["explore hello_kvfree_rcu --depth 2", /--depth is for --policy pct, not random/],
    ["explore hello_kvfree_rcu --policy pct --bound 2", /--bound is for --policy bounded, not pct/],
    ["explore hello_kvfree_rcu --policy pct --kinds red", /no point is of kind "red"/],
    ["explore hello_kvfree_rcu --policy pct --stalls big", /no size is called "big" \(window, tick, long\)/],
    ["explore hello_kvfree_rcu --policy failslab --stalls long", /--stalls is for --policy pct and bounded/],
    ["explore hello_kvfree_rcu --minimise=yes", /--minimise takes no value/],
    ["explore hello_kvfree_rcu --sise 5", /unknown option --sise/],
  ] as const
) {
  Deno.test(`"${words}" is answered in one line with status 2`, async () => {
    const shell = new KernelShell();
    await shell.run(TINY);
    const { status, out, err } = await shell.run(words);
    assertEquals([status, out, err.trimEnd().split("\n").length], [2, "", 1], err);
    assertMatch(err, message);
  });
}

Deno.test("explore --help is its page, before boot too", async () => {
  const { status, out } = await kernelRan("explore --help");
  assertEquals(status, 0);
  assertMatch(out, /^explore - run a program on many schedules/m);
  for (const line of out.split("\n")) assert(line.length <= 80, line);
});
