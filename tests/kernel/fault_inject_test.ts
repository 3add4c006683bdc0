// SPDX-License-Identifier: GPL-2.0-only
/** Fault injection: the decisions of should_fail() in Linux's order, and our exact rules. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import {
  addFailRule,
  clearFailRules,
  failRulesExist,
  failRuleText,
  fault_attr,
  listFailRules,
  setup_fault_attr,
  should_fail,
  shouldFailExactly,
} from "../../kernel/fault_inject.ts";
import {
  __GFP_HIGHMEM,
  __GFP_NOFAIL,
  __GFP_NOWARN,
  gfp,
  GFP_ATOMIC,
  GFP_KERNEL,
  GFP_NOWAIT,
} from "../../kernel/gfp.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { HARDIRQ_OFFSET } from "../../kernel/preempt.ts";
import { current } from "../../kernel/sched/sched.ts";
import { NULL_PAGE } from "../../mm/mm_types.ts";
import { __get_free_page, alloc_pages, fail_page_alloc } from "../../mm/page_alloc.ts";
import { dmesg, run } from "../helpers.ts";
import { memoryKernel } from "../mm/memory_kernel.ts";

const BULK_PAGE = gfp(GFP_NOWAIT, __GFP_NOWARN);

/** Which of `n` requests fail, as a string of 0 and 1. */
function pattern(n: number, ask: () => boolean): string {
  return Array.from({ length: n }, () => ask() ? "1" : "0").join("");
}

function certain(): fault_attr {
  const attr = new fault_attr("fail_test");
  attr.probability = 100;
  attr.times = -1;
  attr.verbose = 0;
  return attr;
}

Deno.test("should_fail() is off by default and fails `times` times when certain", () => {
  const k = memoryKernel();
  const attr = new fault_attr("fail_test");
  assertEquals(pattern(5, () => should_fail(k, attr, 1)), "00000");
  attr.probability = 100;
  assertEquals(pattern(5, () => should_fail(k, attr, 1)), "10000"); // times is 1
  attr.times = 3;
  assertEquals(pattern(5, () => should_fail(k, attr, 1)), "11100");
  attr.times = -1;
  assertEquals(pattern(5, () => should_fail(k, attr, 1)), "11111");
});

Deno.test("should_fail() lets `space` through, then counts the interval", () => {
  const k = memoryKernel();
  const attr = certain();
  attr.space = 10;
  // 10 > 4 and 6 > 4 are let through; 2 > 4 is not.
  assertEquals(pattern(4, () => should_fail(k, attr, 4)), "0011");
  attr.space = 0;
  attr.interval = 3;
  assertEquals(pattern(9, () => should_fail(k, attr, 4)), "001001001");
});

Deno.test("should_fail() with task_filter looks at make_it_fail of a task, not of an interrupt", () => {
  const k = memoryKernel();
  const attr = certain();
  attr.task_filter = true;
  assertEquals(should_fail(k, attr, 1), false);
  current(k).make_it_fail = true;
  assertEquals(should_fail(k, attr, 1), true);
  k.cpu.preempt_count += HARDIRQ_OFFSET;
  assertEquals(should_fail(k, attr, 1), false);
});

Deno.test("should_fail() fails the nth attempt of a task whatever the attribute says", () => {
  const k = memoryKernel();
  const attr = new fault_attr("fail_test");
  current(k).fail_nth = 3;
  assertEquals(pattern(5, () => should_fail(k, attr, 1)), "00100");
  current(k).fail_nth = 1;
  k.cpu.preempt_count += HARDIRQ_OFFSET;
  assertEquals(should_fail(k, attr, 1), false);
});

Deno.test("should_fail() draws the percentage from the chooser: same seed, same failures", () => {
  const draw = (seed: number): string => {
    const k = memoryKernel({ seed });
    const attr = certain();
    attr.probability = 30;
    return pattern(200, () => should_fail(k, attr, 1));
  };
  assertEquals(draw(1), draw(1));
  assert(draw(1) !== draw(2));
  const failures = draw(1).replaceAll("0", "").length;
  assert(failures > 30 && failures < 90, `${failures} of 200 at 30 %`);
});

Deno.test("should_fail() says what it does, with the call trace when verbose is 2", () => {
  const k = memoryKernel();
  const attr = certain();
  attr.verbose = 1;
  const before = dmesg(k).length;
  should_fail(k, attr, 1);
  assertEquals(dmesg(k).slice(before), [
    "FAULT_INJECTION: forcing a failure.",
    "name fail_test, interval 1, probability 100, space 0, times -1",
  ]);
  attr.verbose = 2;
  should_fail(k, attr, 1);
  assert(dmesg(k).includes("Call Trace:"));
  assertEquals(k.reports, []); // it is not a finding of the kernel
});

Deno.test("setup_fault_attr() reads <interval>,<probability>,<space>,<times>", () => {
  const k = memoryKernel();
  const attr = new fault_attr("fail_test");
  assertEquals(setup_fault_attr(k, attr, "2,50,100,-1"), true);
  assertEquals([attr.interval, attr.probability, attr.space, attr.times], [2, 50, 100, -1]);
  assertEquals(setup_fault_attr(k, attr, "2,50,100"), false);
  assertEquals(dmesg(k).at(-1), "FAULT_INJECTION: failed to parse arguments");
});

Deno.test("fail_page_alloc spares order 0, sleeping and HIGHMEM requests until told otherwise, NOFAIL always", () => {
  const k = memoryKernel();
  const fail = fail_page_alloc(k);
  Object.assign(fail.attr, { probability: 100, times: -1, verbose: 0 });
  const fails = (order: number, flags: typeof GFP_KERNEL | typeof GFP_ATOMIC): boolean =>
    run(alloc_pages(k, flags, order)) === NULL_PAGE;
  assertEquals(fails(0, GFP_ATOMIC), false);
  assertEquals(fails(1, GFP_ATOMIC), true);
  assertEquals(fails(1, GFP_KERNEL), false);
  assertEquals(fails(1, gfp(GFP_ATOMIC, __GFP_HIGHMEM)), false);
  fail.min_order = 0;
  assertEquals(fails(0, GFP_ATOMIC), true);
  fail.ignore_gfp_reclaim = false;
  assertEquals(fails(0, GFP_KERNEL), true);
  fail.ignore_gfp_highmem = false;
  assertEquals(fails(0, gfp(GFP_ATOMIC, __GFP_HIGHMEM)), true);
  assertEquals(fails(0, gfp(GFP_KERNEL, __GFP_NOFAIL)), false);
  fail.attr.space = 12; // pages
  assertEquals([fails(3, GFP_ATOMIC), fails(3, GFP_ATOMIC)], [false, true]);
  assertEquals(k.reports, []); // such failures are silent
});

// Exact rules

function ask(k: Kernel, order = 0, flags: number = BULK_PAGE): boolean {
  return shouldFailExactly(k, "page", { order, gfp: flags });
}

Deno.test("a rule fails the nth match and as many after it as it says", () => {
  const table = [
    [{}, "100000"],
    [{ nth: 3 }, "001000"],
    [{ nth: 2, times: 3 }, "011100"],
    [{ nth: 4, times: -1 }, "000111"],
    [{ order: 1 }, "000000"],
  ] as const;
  for (const [rule, expected] of table) {
    const k = memoryKernel();
    addFailRule(k, { what: "page", ...rule });
    assertEquals(pattern(6, () => ask(k)), expected);
  }
});

Deno.test("a rule matches by order, cache, size and flags", () => {
  const k = memoryKernel();
  addFailRule(k, { what: "page", order: 2, times: -1 });
  assertEquals([ask(k, 0), ask(k, 2)], [false, true]);
  clearFailRules(k);
  addFailRule(k, { what: "page", gfp: GFP_NOWAIT, times: -1 }); // all of these bits
  assertEquals([ask(k, 0, GFP_KERNEL), ask(k, 0, BULK_PAGE), ask(k, 0, 0)], [true, true, false]);
  clearFailRules(k);
  addFailRule(k, { what: "page", gfp: BULK_PAGE, gfpMask: -1, times: -1 }); // exactly these
  assertEquals([ask(k, 0, GFP_KERNEL), ask(k, 0, BULK_PAGE), ask(k, 0, GFP_NOWAIT)], [false, true, false]);
  clearFailRules(k);
  addFailRule(k, { what: "slab", cache: "kmalloc-64", times: -1 });
  addFailRule(k, { what: "slab", size: 100, times: -1 });
  const slab = (cache: string, size: number): boolean =>
    shouldFailExactly(k, "slab", { cache, size, gfp: GFP_KERNEL });
  assertEquals([slab("kmalloc-64", 64), slab("kmalloc-128", 100), slab("kmalloc-128", 128)], [
    true,
    true,
    false,
  ]);
  assertEquals(ask(k), false);
});

Deno.test("a rule can name the function that asks for the memory", () => {
  const k = memoryKernel();
  addFailRule(k, { what: "page", site: "spare_page", times: -1 });
  function* spare_page(): Generator<unknown, VirtAddr, void> {
    return yield* __get_free_page(k, BULK_PAGE);
  }
  function* other_page(): Generator<unknown, VirtAddr, void> {
    return yield* __get_free_page(k, BULK_PAGE);
  }
  function* outer(): Generator<unknown, VirtAddr, void> {
    return yield* other_page();
  }
  assertEquals(run(spare_page()), 0);
  assert(run(outer()) !== 0);
  assertEquals(run(spare_page()), 0);
  assertEquals(listFailRules(k).map((it) => [it.matches, it.failures]), [[2, 2]]);
});

Deno.test("listFailRules() counts, also for a rule that another one precedes; clearFailRules() removes by number", () => {
  const k = memoryKernel();
  assertEquals(failRulesExist(k), false);
  const a = addFailRule(k, { what: "page", order: 0 });
  const b = addFailRule(k, { what: "page", nth: 2 });
  assertEquals(pattern(4, () => ask(k)), "1100");
  assertEquals(listFailRules(k).map((it) => [it.id, it.matches, it.failures]), [[a, 4, 1], [b, 4, 1]]);
  assertEquals(clearFailRules(k, a), 1);
  assertEquals(clearFailRules(k, a), 0);
  assertEquals(listFailRules(k).map((it) => it.id), [b]);
  const c = addFailRule(k, { what: "page" });
  assert(c > b);
  assertEquals(clearFailRules(k), 2);
  assertEquals(failRulesExist(k), false);
});

Deno.test("the first failure of a rule stands in the kernel log, later ones are counted", () => {
  const k = memoryKernel();
  addFailRule(k, { what: "page", order: 0, gfp: BULK_PAGE, nth: 2, times: -1 });
  const before = dmesg(k).length;
  for (let i = 0; i < 5; i++) ask(k);
  assertEquals(dmesg(k).slice(before), [
    "FAULT_INJECTION: forcing a failure.",
    "rule 1: page, order 0, gfp GFP_NOWAIT|__GFP_NOWARN, nth 2, for ever, at match 2",
  ]);
});

Deno.test("failRuleText() says what a rule does", () => {
  assertEquals(failRuleText({ what: "page" }), "page, nth 1, times 1");
  assertEquals(
    failRuleText({
      what: "slab",
      cache: "kmalloc-64",
      size: 64,
      site: "work_fn",
      gfp: 0x800,
      gfpMask: -1,
      times: 2,
    }),
    "slab, cache kmalloc-64, size 64, gfp exactly GFP_NOWAIT, in work_fn, nth 1, times 2",
  );
  assertEquals(
    failRuleText({ what: "page", gfp: 0, gfpMask: 0x400 }),
    "page, gfp none of __GFP_DIRECT_RECLAIM, nth 1, times 1",
  );
});

Deno.test("addFailRule() refuses a rule that cannot mean anything", () => {
  const k = memoryKernel();
  assertThrows(() => addFailRule(k, { what: "page", nth: 0 }), RangeError, "nth 0");
  assertThrows(() => addFailRule(k, { what: "page", times: 0 }), RangeError, "times 0");
  assertThrows(() => addFailRule(k, { what: "page", times: -2 }), RangeError, "times -2");
  assertThrows(() => addFailRule(k, { what: "page", cache: "x" }), TypeError);
  assertThrows(() => addFailRule(k, { what: "slab", order: 0 }), TypeError);
  assertEquals(listFailRules(k), []);
});
