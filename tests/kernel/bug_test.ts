// SPDX-License-Identifier: GPL-2.0-only
/** Tests of kernel/bug.ts and printk.ts: what reports say, once or always, and what they end. */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import {
  BUG,
  BUG_ON,
  debug_locks,
  debug_locks_off,
  DEBUG_LOCKS_WARN_ON,
  firstTime,
  KernelOops,
  page_fault_oops,
  panic,
  panicked,
  WARN,
  WARN_ON,
  WARN_ON_ONCE,
  WARN_ONCE,
} from "../../kernel/bug.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { KERN_CRIT, pr_err, pr_info, pr_notice, pr_warn, printk } from "../../kernel/printk.ts";
import { CONSOLE_EVENT } from "../../kernel/trace/events/printk.ts";
import { bareKernel, dmesg } from "../helpers.ts";

function kernel(): Kernel {
  return bareKernel({ cpus: 2 }, []);
}

function asker(k: Kernel): void {
  WARN_ON(k, true);
}

Deno.test("WARN_ON() reports where it stands and who ran, and returns its condition", () => {
  const k = kernel();
  assertEquals([WARN_ON(k, false), k.reports.length], [false, 0]);
  asker(k);
  assertEquals(k.reports[0].lines.slice(0, 6), [
    "------------[ cut here ]------------",
    "WARNING: CPU: 0 PID: 100 at asker",
    "Modules linked in:",
    "CPU: 0 PID: 100 Comm: test/0 Not tainted 5.7.0-quiesce #1",
    "Call Trace:",
    " asker",
  ]);
  assertEquals(k.reports[0].lines.at(-1), "---[ end trace 0000000000000000 ]---");
  assertEquals(k.reports[0].title, "WARNING: CPU: 0 PID: 100 at asker");
  assertEquals(dmesg(k), [...k.reports[0].lines]);
});

Deno.test("the text of WARN() stands between the cut and the warning", () => {
  const k = kernel();
  assertEquals(WARN(k, true, "wheel 3 is loose"), true);
  assertEquals(k.reports[0].lines.slice(0, 2), ["------------[ cut here ]------------", "wheel 3 is loose"]);
});

Deno.test("the _ONCE forms report once a boot and place, and return the condition every time", () => {
  const k = kernel();
  for (let i = 0; i < 3; i++) {
    assertEquals(WARN_ON_ONCE(k, true, "first"), true);
    assertEquals(WARN_ON_ONCE(k, true, "second"), true);
    assertEquals(WARN_ON_ONCE(k, false, "third"), false);
    assertEquals(WARN_ONCE(k, true, "text", "fourth"), true);
  }
  assertEquals(k.reports.length, 3);
  const other = kernel();
  WARN_ON_ONCE(other, true, "first");
  assertEquals(other.reports.length, 1, "each kernel has its own");
  assertEquals([firstTime(k, "x"), firstTime(k, "x"), firstTime(other, "x")], [true, false, true]);
});

Deno.test("lock debugging speaks once", () => {
  const k = kernel();
  assertEquals([DEBUG_LOCKS_WARN_ON(k, false, "a"), debug_locks(k)], [false, true]);
  assertEquals([DEBUG_LOCKS_WARN_ON(k, true, "a > b"), DEBUG_LOCKS_WARN_ON(k, true, "c")], [true, true]);
  assertEquals(k.reports.map((r) => r.lines[1]), ["DEBUG_LOCKS_WARN_ON(a > b)"]);
  assertEquals([debug_locks(k), debug_locks_off(k)], [false, false]);
});

Deno.test("BUG() reports and unwinds; BUG_ON() only when it holds", () => {
  const k = kernel();
  BUG_ON(k, false);
  assertThrows(() => BUG_ON(k, true), KernelOops);
  assertThrows(() => BUG(k, "broken"), KernelOops);
  assertMatch(k.reports[0].title, /^kernel BUG at .*!$/);
  assertEquals(k.reports[1].lines[1], "broken");
  assertEquals(k.reports[1].lines[3], "invalid opcode: 0000 [#1]");
});

Deno.test("panic() takes all CPUs down, says so, and unwinds", () => {
  const k = kernel();
  assertThrows(() => panic(k, "out of ideas"), KernelOops);
  assertEquals([panicked(k), k.cpus.map((cpu) => cpu.online)], ["out of ideas", [false, false]]);
  const { lines } = k.reports[0];
  assertEquals([lines[0], lines.at(-1)], [
    "Kernel panic - not syncing: out of ideas",
    "---[ end Kernel panic - not syncing: out of ideas ]---",
  ]);
});

Deno.test("page_fault_oops() tells a null pointer from a wild and a non-canonical one", () => {
  const cases: readonly [number, boolean, string, string | undefined][] = [
    [0x10, false, "BUG: kernel NULL pointer dereference, address: 0000000000000010", "read"],
    [0xc900_1234_5000, true, "BUG: unable to handle page fault for address: ffffc90012345000", "write"],
    [
      2 ** 48 + 8,
      true,
      "general protection fault, probably for non-canonical address 0x",
      undefined,
    ],
  ];
  for (const [addr, write, title, what] of cases) {
    const k = kernel();
    assertThrows(() => page_fault_oops(k, addr as VirtAddr, write), KernelOops);
    assert(k.reports[0].title.startsWith(title), k.reports[0].title);
    if (what !== undefined) {
      assertEquals(k.reports[0].lines[1], `#PF: supervisor ${what} access in kernel mode`);
      assertEquals(k.reports[0].lines[2], `#PF: error_code(0x000${write ? 2 : 0}) - not-present page`);
    }
  }
});

Deno.test("printk() makes an event of each line, with its level", () => {
  const k = kernel();
  printk(k, KERN_CRIT, "two\nlines");
  for (const pr of [pr_err, pr_warn, pr_notice, pr_info]) pr(k, pr.name);
  const records = [...k.log.records()].filter((r) => r.kind === CONSOLE_EVENT);
  assertEquals(records.map((r) => [k.log.text(r.args[0]), r.args[1]]), [
    ["two", 2],
    ["lines", 2],
    ["pr_err", 3],
    ["pr_warn", 4],
    ["pr_notice", 5],
    ["pr_info", 6],
  ]);
});

Deno.test("a report is the same event sequence with the log off, and is kept all the same", () => {
  const [on, off] = [kernel(), kernel()];
  off.log.recording = false;
  for (const k of [on, off]) asker(k);
  assertEquals([off.seq, off.hash.text(), off.reports.length], [on.seq, on.hash.text(), 1]);
});
