// SPDX-License-Identifier: GPL-2.0-only
/** Tests of kernel/preempt.ts: the fields of the count, the interrupt flag, and counts that go wrong. */
import { assertEquals } from "@std/assert";
import {
  get_cpu,
  HARDIRQ_OFFSET,
  in_atomic,
  in_interrupt,
  in_irq,
  in_serving_softirq,
  in_softirq,
  in_task,
  irqs_disabled,
  irqs_disabled_flags,
  local_irq_disable,
  local_irq_enable,
  local_irq_restore,
  local_irq_save,
  preempt_count,
  preempt_count_add,
  preempt_count_sub,
  preempt_disable,
  preempt_enable,
  preempt_enable_no_resched,
  PREEMPT_OFFSET,
  preemptible,
  put_cpu,
  SOFTIRQ_DISABLE_OFFSET,
  SOFTIRQ_OFFSET,
} from "../../kernel/preempt.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { bareKernel } from "../helpers.ts";

function questions(k: Kernel): string {
  const named = { in_irq, in_softirq, in_serving_softirq, in_interrupt, in_task, in_atomic, preemptible };
  return Object.entries(named).filter(([, ask]) => ask(k)).map(([name]) => name).join(" ");
}

Deno.test("the questions about the context answer by field of preempt_count()", () => {
  const k = bareKernel({}, []);
  const cases: readonly [number, string][] = [
    [0, "in_task preemptible"],
    [PREEMPT_OFFSET, "in_task in_atomic"],
    [SOFTIRQ_OFFSET, "in_softirq in_serving_softirq in_interrupt in_atomic"],
    [SOFTIRQ_DISABLE_OFFSET, "in_softirq in_interrupt in_task in_atomic"],
    [HARDIRQ_OFFSET, "in_irq in_interrupt in_atomic"],
    [HARDIRQ_OFFSET + SOFTIRQ_OFFSET, "in_irq in_softirq in_serving_softirq in_interrupt in_atomic"],
  ];
  for (const [count, want] of cases) {
    preempt_count_add(k, count);
    assertEquals([preempt_count(k), questions(k)], [count, want]);
    preempt_count_sub(k, count);
  }
  local_irq_disable(k);
  assertEquals(questions(k), "in_task");
});

Deno.test("preempt_disable() nests; get_cpu() gives the CPU", () => {
  const k = bareKernel({ cpus: 2 }, []);
  k.cpu = k.cpus[1];
  preempt_disable(k);
  assertEquals(get_cpu(k), 1);
  assertEquals(preempt_count(k), 2);
  put_cpu(k);
  preempt_enable_no_resched(k);
  assertEquals(preempt_count(k), 0);
});

Deno.test("local_irq_save() and local_irq_restore() nest and never enable what was off", () => {
  const k = bareKernel({}, []);
  const outer = local_irq_save(k);
  const inner = local_irq_save(k);
  assertEquals([irqs_disabled_flags(k, outer), irqs_disabled_flags(k, inner)], [false, true]);
  local_irq_restore(k, inner);
  assertEquals(irqs_disabled(k), true);
  local_irq_restore(k, outer);
  assertEquals(irqs_disabled(k), false);
  local_irq_disable(k);
  local_irq_enable(k);
  assertEquals(irqs_disabled(k), false);
});

Deno.test("a count that would go below zero stays and is reported, once a boot, in the words of DEBUG_PREEMPT", () => {
  const under = "DEBUG_LOCKS_WARN_ON(val > preempt_count())";
  const portion = "DEBUG_LOCKS_WARN_ON((val < PREEMPT_MASK) && !(preempt_count() & PREEMPT_MASK))";
  const cases: readonly [number, (k: Kernel) => void, string][] = [
    [0, preempt_enable, under],
    [0, preempt_enable_no_resched, under],
    [SOFTIRQ_OFFSET, preempt_enable, portion],
    [1, (k) => preempt_count_sub(k, SOFTIRQ_DISABLE_OFFSET), under],
    [SOFTIRQ_OFFSET, (k) => preempt_count_sub(k, 1), portion],
    [HARDIRQ_OFFSET, preempt_enable_no_resched, portion],
  ];
  for (const [count, act, want] of cases) {
    const k = bareKernel({}, []);
    k.cpu.preempt_count = count;
    act(k);
    act(k);
    assertEquals([preempt_count(k), k.reports.map((r) => r.lines[1])], [count, [want]]);
  }
});

Deno.test("preempt_disable() without end is reported and does not run into the softirq field", () => {
  const k = bareKernel({}, []);
  for (let i = 0; i < 1000; i++) preempt_disable(k);
  assertEquals([preempt_count(k), in_softirq(k), k.reports.length], [255, false, 1]);
  assertEquals(
    k.reports[0].lines[1],
    "DEBUG_LOCKS_WARN_ON((preempt_count() & PREEMPT_MASK) >= PREEMPT_MASK - 10)",
  );
  assertEquals(k.reports[0].lines.length > 2, true);
});
