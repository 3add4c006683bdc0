// SPDX-License-Identifier: GPL-2.0-only
/** Tests of kernel/compiler.ts: each marked access is one point, and nothing comes in between point and access. */
import { assertEquals } from "@std/assert";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import {
  cmpxchg,
  READ_ONCE,
  smp_load_acquire,
  smp_mb,
  smp_store_release,
  WRITE_ONCE,
  xchg,
} from "../../kernel/compiler.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { booted, Crowd, eachMachine, runOn0 } from "./booted.ts";

Deno.test("marked accesses read and write the field, and pass one point each, taken or not", () => {
  for (const taken of [false, true]) {
    const k = booted();
    const o = { x: 1 };
    runOn0(k, function* (k) {
      const kick = (): void => taken ? k.kick() : undefined;
      const accesses: readonly [() => MaySleep<unknown>, unknown, number][] = [
        [() => READ_ONCE(k, o, "x"), 1, 1],
        [() => WRITE_ONCE(k, o, "x", 2), undefined, 2],
        [() => smp_load_acquire(k, o, "x"), 2, 2],
        [() => smp_store_release(k, o, "x", 3), undefined, 3],
        [() => xchg(k, o, "x", 4), 3, 4],
        [() => cmpxchg(k, o, "x", 9, 5), 4, 4],
        [() => cmpxchg(k, o, "x", 4, 5), 4, 5],
      ];
      for (const [access, result, after] of accesses) {
        k.kick();
        const [points, now] = [k.points, k.now()];
        if (!taken) yield* READ_ONCE(k, o, "x"); // takes the look that kick() asks for
        kick();
        assertEquals([yield* access(), o.x], [result, after]);
        k.kick();
        assertEquals([k.points - points, k.now() - now], taken ? [1, 50] : [2, 100]);
      }
      smp_mb(k);
    });
  }
});

function* bump(k: Kernel, o: { n: number }, how: "once" | "cmpxchg"): MaySleep<void> {
  if (how === "once") {
    const n = yield* READ_ONCE(k, o, "n");
    yield* WRITE_ONCE(k, o, "n", n + 1);
    return;
  }
  for (;;) {
    const n = yield* READ_ONCE(k, o, "n");
    if ((yield* cmpxchg(k, o, "n", n, n + 1)) === n) return;
  }
}

Deno.test("cmpxchg() loses no update; a separate read and write can [cpus=4 preempt seeds]", () => {
  let lost = 0;
  eachMachine((k, { name }) => {
    for (const how of ["once", "cmpxchg"] as const) {
      const o = { n: 0 };
      runOn0(k, function* (k) {
        const crowd = new Crowd();
        for (let cpu = 0; cpu < 4; cpu++) {
          yield* crowd.start(k, `t${cpu}`, function* (k) {
            for (let i = 0; i < 200; i++) yield* bump(k, o, how);
          }, { cpu });
        }
        yield* crowd.wait(k);
      }, name);
      if (how === "cmpxchg") assertEquals(o.n, 800, name);
      else lost += 800 - o.n;
    }
  }, [4]);
  assertEquals(lost > 0, true, "the race is there to be found");
});
