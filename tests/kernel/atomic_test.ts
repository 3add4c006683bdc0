// SPDX-License-Identifier: GPL-2.0-only
/** Tests of kernel/atomic.ts: values as in C, and no lost update between CPUs. */
import { assertEquals } from "@std/assert";
import {
  atomic_add,
  atomic_add_return,
  atomic_cmpxchg,
  atomic_dec,
  atomic_dec_and_test,
  atomic_inc,
  atomic_read,
  atomic_set,
  atomic_sub_and_test,
  atomic_t,
  atomic_xchg,
} from "../../kernel/atomic.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { POLICY_FINE } from "../../kernel/machine/chooser.ts";
import { boot, complete, completion, kthread_run, wait_for_completion } from "../../mod.ts";
import { runCleanly } from "../machines.ts";

Deno.test("atomic_* return what C's return, and wrap at 32 bits", () => {
  runCleanly(boot(), function* (k): MaySleep<void> {
    const v = new atomic_t(5);
    yield* atomic_add(k, 3, v);
    assertEquals(yield* atomic_read(k, v), 8);
    assertEquals(yield* atomic_add_return(k, -8, v), 0);
    yield* atomic_inc(k, v);
    assertEquals([yield* atomic_dec_and_test(k, v), yield* atomic_sub_and_test(k, 1, v)], [true, false]);
    assertEquals([yield* atomic_xchg(k, v, 7), v.counter], [-1, 7]);
    assertEquals([yield* atomic_cmpxchg(k, v, 6, 9), v.counter], [7, 7]);
    assertEquals([yield* atomic_cmpxchg(k, v, 7, 9), v.counter], [7, 9]);
    yield* atomic_set(k, v, 0x7fff_ffff);
    yield* atomic_inc(k, v);
    assertEquals(v.counter, -0x8000_0000);
    yield* atomic_dec(k, v);
    assertEquals(v.counter, 0x7fff_ffff);
  });
});

for (const cpus of [2, 4]) {
  Deno.test(`atomic_inc() loses nothing, a plain read and write with a point between does [cpus=${cpus}]`, () => {
    let lost = 0;
    for (let seed = 1; seed <= 5; seed++) {
      const v = new atomic_t();
      const plain = new atomic_t();
      runCleanly(boot({ rcu: "none", cpus, seed, policy: POLICY_FINE }), function* (k): MaySleep<void> {
        const done = Array.from({ length: cpus }, () => new completion("done"));
        for (const c of done) {
          yield* kthread_run(k, function* (k): MaySleep<void> {
            for (let i = 0; i < 2000; i++) {
              yield* atomic_inc(k, v);
              const seen = yield* atomic_read(k, plain);
              yield* atomic_set(k, plain, seen + 1);
            }
            complete(k, c);
          }, "adder");
        }
        for (const c of done) yield* wait_for_completion(k, c);
      });
      assertEquals(v.counter, 2000 * cpus, `seed ${seed}`);
      lost += 2000 * cpus - plain.counter;
    }
    assertEquals(lost > 0, true, "the machine interleaves between the read and the write");
  });
}
