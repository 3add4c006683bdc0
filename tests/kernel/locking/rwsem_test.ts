// SPDX-License-Identifier: GPL-2.0-only
/** Tests of kernel/locking/rwsem.ts: readers together, writers alone and in order, misuse reported. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import type { Kernel } from "../../../kernel/kernel.ts";
import {
  down_read_trylock,
  down_write,
  rw_semaphore,
  rwsem_is_contended,
  up_read,
  up_write,
} from "../../../kernel/locking/rwsem.ts";
import { boot, kthread_run, type MaySleep, msleep } from "../../../mod.ts";
import { runCleanly } from "../../machines.ts";

function machine(seed: number): Kernel {
  return boot({ rcu: "none", cpus: 2, memBytes: 16 * 2 ** 20, seed });
}

Deno.test("readers hold it together; a writer waits for the last, and readers that try meanwhile fail [seeds=5]", () => {
  for (let seed = 1; seed <= 5; seed++) {
    const sem = new rw_semaphore("sem");
    const order: string[] = [];
    runCleanly(machine(seed), function* (k) {
      assertEquals([yield* down_read_trylock(k, sem), yield* down_read_trylock(k, sem)], [true, true]);
      for (const name of ["first", "second"]) {
        yield* kthread_run(k, function* (k): MaySleep<void> {
          yield* down_write(k, sem);
          order.push(name);
          yield* msleep(k, 8);
          order.push(`${name} done`);
          up_write(k, sem);
        }, name);
        yield* msleep(k, 8);
      }
      assertEquals([order, rwsem_is_contended(sem), yield* down_read_trylock(k, sem)], [[], true, false]);
      up_read(k, sem);
      yield* msleep(k, 8);
      assertEquals(order, [], "one reader is left");
      up_read(k, sem);
      yield* msleep(k, 100);
      assertEquals(order, ["first", "first done", "second", "second done"]);
      assertEquals([sem.owner, yield* down_read_trylock(k, sem), rwsem_is_contended(sem)], [
        null,
        true,
        false,
      ]);
      up_read(k, sem);
    });
  }
});

Deno.test("releasing what is not held is reported", () => {
  const k = machine(1);
  runCleanly(k, function* (k) {
    const sem = new rw_semaphore("sem");
    up_read(k, sem);
    up_write(k, sem);
    yield* down_write(k, sem);
    up_write(k, sem);
  }, 3);
  assertStringIncludes(k.reports[0].title, "bad unlock balance");
  assertStringIncludes(k.reports[1].title, "at up_read");
  assertStringIncludes(k.reports[2].title, "at up_write");
});

Deno.test("down_write() in atomic context is reported", () => {
  const k = machine(1);
  runCleanly(k, function* (k) {
    const sem = new rw_semaphore("sem");
    k.cpu.preempt_count++;
    yield* down_write(k, sem);
    up_write(k, sem);
    k.cpu.preempt_count--;
  }, 1);
});
