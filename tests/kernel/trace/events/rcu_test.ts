// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of kernel/trace/events/rcu.ts: tracepoints that no other test hits. Formats are those of
 * include/trace/events/rcu.h (5.7, with the names of the kvfree series).
 */
import { assertEquals } from "@std/assert";
import { trace_rcu_kvfree_callback } from "../../../../kernel/trace/events/rcu.ts";
import { traceEvents } from "../../../../kernel/trace/table.ts";
import { bareKernel } from "../../../helpers.ts";
import { linesOf } from "../../small_machine.ts";

Deno.test("rcu_kvfree_callback prints the flavour, the head, its offset and the length of the queue", () => {
  const k = bareKernel({}, []);
  trace_rcu_kvfree_callback(k, "rcu_sched", 0x8880_0012_3450, 16, 3);
  assertEquals(linesOf(k, "rcu_kvfree_callback"), ["rcu_sched rhp=ffff888000123450 func=16 3"]);
});

Deno.test("every event has a number of its own", () => {
  assertEquals(new Set(traceEvents.map(({ id }) => id)).size, traceEvents.length);
  assertEquals(new Set(traceEvents.map(({ system, name }) => `${system}:${name}`)).size, traceEvents.length);
});
