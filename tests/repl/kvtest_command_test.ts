// SPDX-License-Identifier: GPL-2.0-only
// Tests of repl/commands/kvtest.ts and of the words of explore/kvtest/case.ts.

import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { parseCase } from "../../explore/kvtest/case.ts";
import { kernelRan, KernelShell } from "./kernel_shell.ts";

/** Head and rows of what was printed. */
function table(out: string): string[][] {
  return out.trimEnd().split("\n").map((line) => line.split("\t"));
}

Deno.test("kvtest prints the header and a row of 20 cells", async () => {
  const { out, err, status } = await kernelRan("kvtest kv2-vmalloc-n1531 --cpus 3 --hz 300 --level 2/7");
  assertEquals([err, status], ["", 0]);
  const [head, row, ...more] = table(out);
  assertEquals([head.length, row.length, more], [20, 20, []]);
  const cell = (name: string): string => row[head.indexOf(name)];
  assertEquals([cell("kernel"), cell("cpus"), cell("case"), cell("op"), cell("cpu")], [
    "2/7",
    "3",
    "kv2-vmalloc-n1531",
    "kv2",
    "0",
  ]);
  assertEquals([cell("ch_slab"), cell("ch_vmalloc"), cell("kvfree_callbacks")], [
    "[]",
    "[1+510+510+510]",
    "1531",
  ]);
  assertEquals([cell("bulk_nr_records_in_order"), cell("fill_cache_at_j")], ["-", "-"]);
});

Deno.test("kvtest prints a row for each CPU, and nothing where tiny RCU has nothing", async () => {
  const all = table((await kernelRan("kvtest kv1-allcpu-n3 --cpus 2")).out);
  assertEquals(all.slice(1).map((row) => [row[0], row[2], row[4]]), [
    ["series", "kv1-allcpu-n3", "0"],
    ["series", "kv1-allcpu-n3", "1"],
  ]);
  const [, row] = table((await kernelRan("kvtest kv2-n2 --rcu tiny --level 6.1.192")).out);
  assertEquals(row.slice(0, 19), [
    ...["6.1-tiny", "1", "kv2-n2", "kv2", "0", "", "", "", "", "", ""],
    ...["-", "0", "-", "0", "0", "-", "2", "-"],
  ]);
});

Deno.test("kvtest --json prints an object a row: numbers, lists and null", async () => {
  const { out, status } = await kernelRan("kvtest kv2-mix-n4 --level v6.1.192 --phase 46 --json");
  assertEquals(status, 0);
  const row = JSON.parse(out);
  assertEquals(row.type, "kvtest");
  assertEquals([row.kernel, row.cached_before, row.cached_after, row.ch_slab, row.ch_vmalloc], ["6.1", 5, 3, [
    2,
  ], [
    2,
  ]]);
  assertEquals([row.bulk_nr_records_in_order, row.kvfree_callbacks, row.fill_cache_at_j], [[2], 2, null]);
  assertEquals([row["(j0+1250)%64"], row.monitor_at_j, row.inline_waits], [46, 1268, 0]); // 1250 + 64 - 46
  assertEquals((await kernelRan("kvtest kv2-allcpu-n1 --json")).out.trimEnd().split("\n").length, 4);
});

Deno.test("kvtest stuck and early say in words what the columns cannot", async () => {
  const { out } = await kernelRan("kvtest stuck --cpus 2");
  assertMatch(out, /^# 7 s later: 5 of 10 late pointers wait, count 0, monitor not armed$/m);
  const [row] = (await kernelRan("kvtest early --json")).out.trimEnd().split("\n").map((line) =>
    JSON.parse(line)
  );
  assertMatch(row.notes[1], /: 5 of 10 while the second reader was in its section/);
});

Deno.test("kvtest completes the case with what options and defaults say", () => {
  assertEquals(parseCase("kv2").name, "kv2-n10");
  assertEquals(parseCase("kv1-n7-vmalloc-allcpu", 128).name, "kv1-vmalloc-allcpu-size128-n7");
  assertEquals(parseCase("kv2-size96", 96).size, 96);
  assertThrows(() => parseCase("kv2-size96", 97), RangeError, "one size is allowed");
});

Deno.test("kvtest neither needs nor touches the machine on the bench", async () => {
  const shell = new KernelShell();
  await shell.run("boot --rcu tiny --seed 3");
  const { k } = shell.session;
  const before = [k.seq, k.hash.text(), k.now()];
  assertEquals((await shell.run("kvtest kv2-n3")).status, 0);
  assertEquals(shell.session.k, k);
  assertEquals([k.seq, k.hash.text(), k.now()], before);
});

Deno.test("kvtest refuses what makes no sense in one line that names what is allowed, status 2", async () => {
  for (
    const [line, message] of [
      ["kvtest", /case/],
      ["kvtest kv3-n10", /"kv3" cannot be the first word: kv1 or kv2, then any of vmalloc, mix, half, sizeS/],
      ["kvtest kv2-big", /no word "big": kv1 or kv2, then any of/],
      ["kvtest kv2-n0", /n0 is out of range: n1 to n100000 are allowed/],
      ["kvtest kv2-n1000000", /n1000000 is out of range: n1 to n100000 are allowed/],
      ["kvtest kv2-size0", /size0 is out of range: size16 to size4194304 are allowed/],
      ["kvtest kv1 --size 0", /--size 0 is out of range: 1 to 4194304 bytes are allowed/],
      ["kvtest kv2 --size 15", /--size 15 is out of range: 16 to 4194304 bytes are allowed/],
      ["kvtest kv2-vmalloc-mix", /vmalloc and mix exclude each other: one of vmalloc, mix, half/],
      ["kvtest kv2-fail-pfail", /fail and pfail exclude each other: one of fail, pfail, bfail/],
      ["kvtest kv1-kv2", /kv1 or kv2 is the first word, and there is one/],
      ["kvtest kv2-n1-n2", /one number of pointers is allowed/],
      ["kvtest kv2-cold-cold", /cold stands there twice/],
      ["kvtest stuck-n5", /stuck stands alone/],
      ["kvtest early --cpus 2", /tree RCU on at least 3 CPUs/],
      ["kvtest stuck --rcu tiny", /tree RCU on at least 2 CPUs/],
      ["kvtest kv1-n1 --level 3/7", /kv1 needs kvfree_call_rcu\(NULL, ptr\), which is there from 4\/7 on/],
      ["kvtest kv1-n1 --level 5/7 --rcu tiny", /from 6\/7 on, not at level 5\/7 of tiny RCU/],
      ["kvtest kv2-pfail --level v5.9", /pfail is a word for base to 7\/7, not for level v5\.9: use fail/],
      ["kvtest kv2-size4194304-n2000", /need \d+M of memory: 4096M is allowed/],
      ["kvtest kv2 --phase 64", /from 0 to 63/],
      ["kvtest kv2 --level 8/7", /no level "8\/7".*base, 1\/7/],
      ["kvtest kv2 --rcu tiny --preempt full", /preempt none/],
      ["kvtest kv2 --rcu tiny --cpus 2", /use --cpus 1/],
    ] as const
  ) {
    const { status, out, err } = await kernelRan(line);
    assertEquals([status, out], [2, ""], line);
    assertMatch(err, message);
    assertEquals(err.trimEnd().split("\n").length, 1, err);
  }
});
