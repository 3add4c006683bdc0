// SPDX-License-Identifier: GPL-2.0-only
/** Tests of kernel/kallsyms.ts and stacktrace.ts: addresses of functions, names of addresses, call traces. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { NULL, TEXT_START } from "../../kernel/machine/addr.ts";
import { EmulatorFault } from "../../kernel/machine/assert.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import {
  functionAt,
  isText,
  kallsyms_lookup,
  kallsyms_lookup_name,
  ksym,
  sprint_symbol,
} from "../../kernel/kallsyms.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { allocationCaller, callTrace, stackFrames } from "../../kernel/stacktrace.ts";
import { schedule } from "../../kernel/sched/core.ts";
import { booted, runOn0 } from "./booted.ts";
import { bareKernel } from "../helpers.ts";

function alpha(): void {}
function beta(): void {}

Deno.test("ksym() gives each function an address of its own, in order of first use, the same ever after", () => {
  const k = bareKernel({}, []);
  const [a, b] = [ksym(k, alpha), ksym(k, beta)];
  assert(a >= TEXT_START && b === a + 0x40 && ksym(k, alpha) === a);
  assertEquals([functionAt(k, a), functionAt(k, b), isText(k, a)], [alpha, beta, true]);
  assertEquals([kallsyms_lookup(k, a), kallsyms_lookup(k, b)], ["alpha", "beta"]);
  assertEquals([kallsyms_lookup_name(k, "beta"), kallsyms_lookup_name(k, "gamma")], [b, NULL]);
  assertEquals(sprint_symbol(k, b), "beta+0x0/0x40");
  assertEquals(sprint_symbol(k, b + 0x13), "beta+0x13/0x40");
});

Deno.test("looking an address up that has no function gives its digits and changes nothing", () => {
  const k = bareKernel({}, []);
  assertEquals(kallsyms_lookup(k, TEXT_START + 0x1000), "0xffffffff81001000");
  assertEquals([kallsyms_lookup(k, 0), sprint_symbol(k, 0)], ["0x0000000000000000", "0x0000000000000000"]);
  assert(!isText(k, TEXT_START));
  assertThrows(() => functionAt(k, TEXT_START), EmulatorFault);
  assertEquals(ksym(k, beta), TEXT_START + 0x1000, "no address was spent");
});

Deno.test("callTrace() follows yield* from the innermost function to the thread's body, and no further", () => {
  const seen: string[][] = [];
  function* inner_function(): MaySleep<void> {
    seen.push(callTrace());
  }
  function* middle_function(k: Kernel): MaySleep<void> {
    yield* schedule(k);
    yield* inner_function();
  }
  runOn0(booted(), function* outer_function(k) {
    yield* middle_function(k);
  });
  assertEquals(seen[0].slice(0, 3), ["inner_function", "middle_function", "outer_function"]);
  assert(seen[0].includes("kthread") && seen[0].at(-1) === "ret_from_fork", `${seen[0]}`);
});

Deno.test("stackFrames() names files of the project; allocationCaller() is the innermost C name", () => {
  function c_name(): void {
    const frames = stackFrames();
    assert(frames[0].name === "c_name" && frames[0].file.endsWith("tests/kernel/kallsyms_test.ts"));
    assert(frames[0].line > 0);
    assertEquals(allocationCaller()?.name, "c_name");
  }
  c_name();
});
