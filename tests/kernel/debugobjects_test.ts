// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of kernel/debugobjects.ts: every transition of lib/debugobjects.c (5.7), and freeing memory with objects in it.
 *
 * The expected states and the words of the reports are those of the switch statements there.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  debug_check_no_obj_freed,
  type debug_obj_descr,
  debug_object_activate,
  debug_object_active_state,
  debug_object_assert_init,
  debug_object_deactivate,
  debug_object_destroy,
  debug_object_free,
  debug_object_init,
  debug_object_init_on_stack,
  type DebugFixup,
} from "../../kernel/debugobjects.ts";
import { EINVAL } from "../../kernel/errno.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { current } from "../../kernel/sched/sched.ts";
import { GFP_KERNEL, kfree, kmalloc, kvfree, vmalloc } from "../../mod.ts";
import { bareKernel, dmesg } from "../helpers.ts";
import { bootForTiny, runCleanly } from "../machines.ts";

const A = 0x8880_0010_0100;
const DYNAMIC: debug_obj_descr = { name: "thing" };
const STATIC: debug_obj_descr = { name: "thing", is_static_object: () => true };

function machine(debugObjects = true): Kernel {
  return bareKernel({ debugObjects }, []);
}

type Call = "init" | "activate" | "deactivate" | "destroy" | "free" | "assert_init";

const CALLS: Readonly<Record<Call, (k: Kernel, addr: number, descr: debug_obj_descr) => unknown>> = {
  init: debug_object_init,
  activate: debug_object_activate,
  deactivate: debug_object_deactivate,
  destroy: debug_object_destroy,
  free: debug_object_free,
  assert_init: debug_object_assert_init,
};

/** Does `calls` to one object; what was said, "MSG STATE" each. */
function said(k: Kernel, calls: readonly Call[], descr = DYNAMIC): string[] {
  for (const call of calls) CALLS[call](k, A, descr);
  return k.reports.map((r) =>
    /^ODEBUG: (.*) \(active state 0\) object type: thing hint: 0x0$/.exec(r.title)?.[1] ?? r.title
  );
}

Deno.test("an object may go through its life, again and again", () => {
  assertEquals(
    said(machine(), ["init", "activate", "deactivate", "activate", "deactivate", "init", "free"]),
    [],
  );
  assertEquals(said(machine(), ["init", "assert_init", "destroy"]), []);
  assertEquals(said(machine(), ["activate", "deactivate", "assert_init", "free"], STATIC), []);
});

Deno.test("each wrong step is reported with the state that the object is in", () => {
  const cases: readonly [readonly Call[], string][] = [
    [["init", "activate", "init"], "init active"],
    [["init", "destroy", "init"], "init destroyed"],
    [["init", "activate", "activate"], "activate active"],
    [["init", "destroy", "activate"], "activate destroyed"],
    [["activate"], "activate not available"],
    [["deactivate"], "deactivate not available"],
    [["init", "destroy", "deactivate"], "deactivate destroyed"],
    [["init", "activate", "destroy"], "destroy active"],
    [["init", "destroy", "destroy"], "destroy destroyed"],
    [["init", "activate", "free"], "free active"],
    [["assert_init"], "assert_init not available"],
    [["init", "free", "activate"], "activate not available"],
  ];
  for (const [calls, report] of cases) assertEquals(said(machine(), calls), [report], calls.join());
});

Deno.test("a report is a warning with the text in it, five in a boot", () => {
  const k = machine();
  for (let i = 0; i < 8; i++) assertEquals(debug_object_activate(k, A + 8 * i, DYNAMIC), -EINVAL);
  assertEquals(k.reports.length, 5);
  const { lines } = k.reports[0];
  assertEquals(lines.slice(0, 2), [
    "------------[ cut here ]------------",
    "ODEBUG: activate not available (active state 0) object type: thing hint: 0x0",
  ]);
  assertMatch(lines[2], /^WARNING: CPU: 0 PID: 100 at debug_print_object$/);
});

Deno.test("debug_object_active_state() moves an active object from the state that it must be in", () => {
  const k = machine();
  debug_object_init(k, A, DYNAMIC);
  debug_object_active_state(k, A, DYNAMIC, 0, 1); // not active
  assertEquals(debug_object_activate(k, A, DYNAMIC), 0);
  debug_object_active_state(k, A, DYNAMIC, 0, 1);
  debug_object_active_state(k, A, DYNAMIC, 0, 1); // is 1
  debug_object_deactivate(k, A, DYNAMIC); // still 1
  debug_object_active_state(k, A, DYNAMIC, 1, 0);
  debug_object_deactivate(k, A, DYNAMIC);
  debug_object_active_state(k, A + 8, DYNAMIC, 0, 1); // unknown
  assertEquals(k.reports.map((r) => r.title.replace(/ object type.*/, "")), [
    "ODEBUG: active_state initialized (active state 0)",
    "ODEBUG: active_state active (active state 1)",
    "ODEBUG: deactivate active (active state 1)",
    "ODEBUG: active_state not available (active state 0)",
  ]);
});

Deno.test("a fixup may repair the object: then activation succeeds", () => {
  const k = machine();
  const states: number[] = [];
  const fixup: DebugFixup = (k, addr, state) => {
    states.push(state);
    debug_object_init(k, addr, { ...DYNAMIC });
    return true;
  };
  const descr: debug_obj_descr = { ...DYNAMIC, fixup_activate: fixup };
  assertEquals(debug_object_activate(k, A, descr), 0);
  assertEquals([states, k.reports.length], [[5], 1]);
});

Deno.test("an object on the stack must be announced as one, and others must not", () => {
  const k = machine();
  const p = current(k);
  p.stackAddr = (A - 0x100) as typeof p.stackAddr;
  debug_object_init_on_stack(k, A, DYNAMIC);
  assertEquals(k.reports.length, 0);
  debug_object_init(k, A + 8, DYNAMIC);
  debug_object_init_on_stack(k, A + 2 ** 20, DYNAMIC);
  assertEquals(k.reports.map((r) => r.title.replace(/^.* at/, "at")), [
    "at debug_object_is_on_stack",
    "at debug_object_is_on_stack",
  ]);
  const words = dmesg(k).filter((line) => line.startsWith("object "));
  assertEquals(words, [
    "object ffff888000100108 is on stack ffff888000100000, but NOT annotated.",
    "object ffff888000200100 is NOT on stack ffff888000100000, but annotated.",
  ]);
});

Deno.test("debug_check_no_obj_freed() finds active objects in the range only, and forgets the others, across pages", () => {
  const k = machine();
  const page = 0x8880_0010_0000;
  for (const addr of [page - 8, page, page + 4088, page + 4096, page + 8192]) {
    debug_object_activate(k, addr, STATIC);
  }
  debug_object_deactivate(k, page, STATIC);
  debug_check_no_obj_freed(k, page, 8192);
  assertEquals(k.reports.length, 2, "the second page's and the last of the first");
  assert(k.reports.every((r) => r.title.startsWith("ODEBUG: free active")));
  debug_object_assert_init(k, page, DYNAMIC);
  assert(k.reports[2].title.startsWith("ODEBUG: assert_init not available"), "it was forgotten");
  debug_check_no_obj_freed(k, page + 12288, 0);
});

Deno.test("memory of every kind is checked when it is freed [slab, pages, vmalloc]", () => {
  const k = bootForTiny({ debugObjects: true });
  runCleanly(k, function* (k) {
    const objects = [
      yield* kmalloc(k, 64, GFP_KERNEL),
      yield* kmalloc(k, 32768, GFP_KERNEL),
      yield* vmalloc(k, 8192),
    ];
    for (const p of objects) {
      debug_object_activate(k, p + 40, STATIC);
      yield* kvfree(k, p);
      debug_object_deactivate(k, p + 40, STATIC);
    }
    const fine = yield* kmalloc(k, 64, GFP_KERNEL);
    debug_object_activate(k, fine, STATIC);
    debug_object_deactivate(k, fine, STATIC);
    yield* kfree(k, fine);
  }, 3);
  assert(k.reports.every((r) => r.title.startsWith("ODEBUG: free active")));
});

Deno.test("switched off it knows nothing and says nothing", () => {
  const k = machine(false);
  assertEquals(said(k, ["activate", "deactivate", "destroy", "free", "assert_init", "init", "init"]), []);
  debug_object_active_state(k, A, DYNAMIC, 0, 1);
  debug_object_init_on_stack(k, A, DYNAMIC);
  debug_check_no_obj_freed(k, A, 64);
  assertEquals(k.reports.length, 0);
});
