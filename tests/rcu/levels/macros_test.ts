// SPDX-License-Identifier: GPL-2.0-only
/**
 * The macros of every level: which forms kfree_rcu() and kvfree_rcu() have, at run time and for the compiler. T numbers are
 * the checkable behaviours of kvfree_rcu(). Where a form came and went is from the history: the headless kvfree_rcu() with
 * 7/7, the headless kfree_rcu() with v5.12, the *_mightsleep() names with v6.3, the old ones gone with v6.5.
 */
import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import type { Ptr, VirtAddr } from "../../../kernel/machine/brand.ts";
import { MACROS } from "../../../rcu/levels/table.ts";
import {
  array,
  boot,
  embed,
  GFP_KERNEL,
  type Kernel,
  kfree_rcu,
  kfree_rcu_mightsleep,
  kmalloc,
  KVFREE_INTERFACES,
  kvfree_rcu,
  kvfree_rcu_barrier,
  kvfree_rcu_mightsleep,
  kvfreeApi,
  type Level,
  LEVELS,
  type MaySleep,
  NULL,
  offeredAt,
  rcu_head,
  struct,
  u8,
} from "../../../mod.ts";
import { eventsOf, runCleanly } from "../../machines.ts";

const object = struct("object", { data: array(u8, 48), rcu: embed(rcu_head) });
const far = struct("far", { data: array(u8, 4096), rcu: embed(rcu_head) });
type Object = Ptr<typeof object>;

/** Levels that have the form, first and last. */
const FORMS: readonly [
  name: string,
  call: (k: Kernel, p: VirtAddr) => MaySleep<void>,
  first: Level,
  last: Level,
][] = [
  ["kvfree_rcu(ptr)", (k, p) => k.kvfree.macros.kvfree_rcu(k, p), "7/7", "v6.3"],
  ["kfree_rcu(ptr)", (k, p) => k.kvfree.macros.kfree_rcu(k, p), "v5.13", "v6.3"],
  ["kvfree_rcu_mightsleep(ptr)", (k, p) => kvfree_rcu_mightsleep(k, p), "v6.3-rc1", "v6.12"],
  ["kfree_rcu_mightsleep(ptr)", (k, p) => kfree_rcu_mightsleep(k, p), "v6.3-rc1", "v6.12"],
  ["kvfree_rcu_barrier()", (k) => kvfree_rcu_barrier(k), "v6.12", "v6.12"],
];

/** All levels; machines are made once. */
const machines = new Map<string, Kernel>();
function machine(level: Level, rcu: "tree" | "tiny"): Kernel {
  const key = `${level} ${rcu}`;
  const k = machines.get(key) ?? boot({ level, rcu, cpus: 1, memBytes: 32 * 2 ** 20 });
  machines.set(key, k);
  return k;
}

for (const rcu of ["tree", "tiny"] as const) {
  for (const level of LEVELS) {
    Deno.test(`T83 T87 T109 the forms that level ${level} has are called, the others refused in one line [rcu=${rcu}]`, () => {
      const k = machine(level, rcu);
      runCleanly(k, function* (k) {
        for (const [name, call, first, last] of FORMS) {
          const offered = LEVELS.indexOf(level) >= LEVELS.indexOf(first) &&
            LEVELS.indexOf(level) <= LEVELS.indexOf(last);
          assertEquals(offeredAt(level, name), offered, `${name} at ${level}`);
          if (offered) {
            const before = eventsOf(k, "kvfree_rcu").length;
            yield* call(k, yield* kmalloc(k, object.size, GFP_KERNEL));
            const given = eventsOf(k, "kvfree_rcu").length - before;
            assertEquals(given, name === "kvfree_rcu_barrier()" ? 0 : 1, name);
          } else {
            const { message } = assertThrows(() => call(k, 0x8880_0010_0000 as VirtAddr), TypeError);
            assertMatch(message, /^[^\n]+$/);
            assertMatch(message, new RegExp(`level ${level.replaceAll(".", "\\.")}`));
          }
        }
      });
    });

    Deno.test(`T20 T83 T84 T86 two arguments work at ${level}, three are an error, NULL is nothing [rcu=${rcu}]`, () => {
      const k = machine(level, rcu);
      runCleanly(k, function* (k) {
        for (const macro of [kfree_rcu, kvfree_rcu] as const) {
          const p = (yield* kmalloc(k, object.size, GFP_KERNEL)) as Object;
          const before = eventsOf(k, "kvfree_rcu").length;
          yield* macro(k, p, object, "rcu");
          yield* macro(k, NULL as Object, object, "rcu");
          const given = eventsOf(k, "kvfree_rcu").slice(before);
          assertEquals(given.map(({ args }) => args.slice(0, 2)), [[p as number, 0]]);
        }
        const { kfree_rcu: one, kvfree_rcu: two } = k.kvfree.macros;
        for (const macro of [one, two]) {
          assertThrows(
            () => macro(k, 0x8880_0010_0000 as VirtAddr, object, "rcu", 1),
            TypeError,
            "and nothing more",
          );
          assertThrows(
            () => macro(k, 0x8880_0010_0000 as VirtAddr, object),
            TypeError,
            "takes a pointer, its struct",
          );
        }
      });
    });

    Deno.test(`T21 a head at offset 4096, and a member that is no head, are refused at ${level} [rcu=${rcu}]`, () => {
      const k = machine(level, rcu);
      const p = 0x8880_0010_0000 as VirtAddr;
      assertThrows(() => kfree_rcu(k, p as Ptr<typeof far>, far, "rcu"), RangeError, "below 4096");
      assertThrows(() => kvfree_rcu(k, p as Object, object, "data"), TypeError, "is not an rcu_head");
    });
  }
}

Deno.test("every form of the table of interfaces is tried above", () => {
  const tried = new Set(FORMS.map(([name]) => name));
  assertEquals(KVFREE_INTERFACES.filter((name) => !tried.has(name)), ["kvfree_call_rcu(NULL, ptr)"]);
  assertEquals(Object.keys(MACROS), [...LEVELS]);
});

Deno.test("kvfreeApi() has the calls of its level for the compiler, and refuses another level's kernel", () => {
  const p = NULL as Object;
  const base = boot({ level: "base", cpus: 1, memBytes: 32 * 2 ** 20 });
  const api = kvfreeApi(base, "base");
  runCleanly(base, function* (k) {
    yield* api.kvfree_rcu(k, p, object, "rcu");
  });
  // @ts-expect-error the headless form came with 7/7
  assertThrows(() => api.kvfree_rcu(base, p), TypeError);

  const old = machine("v5.13", "tree");
  const both = kvfreeApi(old, "v5.13");
  runCleanly(old, function* (k) {
    yield* both.kfree_rcu(k, p);
    yield* both.kvfree_rcu(k, p);
  });
  // @ts-expect-error the name came with v6.3
  void both.kvfree_rcu_mightsleep;

  const k = machine("v6.5", "tree");
  const { kvfree_rcu_mightsleep: sleeping, kvfree_rcu: withHead } = kvfreeApi(k, "v6.5");
  runCleanly(k, function* (k) {
    yield* sleeping(k, p);
  });
  // @ts-expect-error gone with v6.5
  assertThrows(() => withHead(k, p), TypeError);
  // @ts-expect-error comes with v6.12
  void kvfreeApi(k, "v6.5").kvfree_rcu_barrier;
  assertThrows(() => kvfreeApi(k, "v6.12"), RangeError, 'kvfreeApi("v6.12") for a kernel at level v6.5');
});
