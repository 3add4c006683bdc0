// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of rcu/levels/tree/v6.1.192.ts: the end of B9, which is shown at the levels that have it.
 */
import { assert, assertEquals } from "@std/assert";
import { udelay } from "../../../kernel/entry.ts";
import type { MaySleep } from "../../../kernel/machine/effects.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { kvfree_rcu, type Level, rcu_read_lock, rcu_read_unlock, vmalloc } from "../../../mod.ts";
import {
  drain,
  isLive,
  krc0,
  kvfreeMachine,
  lengths,
  monitorIsOver,
  newObject,
  newObjects,
  queue2,
  script,
  sleepJiffies,
  startOn,
} from "../kvfree_machine.ts";
import { warm } from "./page_cache.ts";

const LEVELS_WITH_B9: readonly Level[] = ["v5.9", "v5.11", "v5.13", "v5.14", "v6.1"];

/** A reader on CPU 1 that looks whether `seen` is still there, for `ticks` jiffies; what it found is in `saw`. */
function* reader(k: Kernel, seen: () => boolean, ticks: number, saw: { text: string }): MaySleep<void> {
  yield* rcu_read_lock(k);
  for (let i = 0; i < ticks && saw.text === ""; i++) {
    yield* udelay(k, 4000);
    if (!seen()) saw.text = "freed memory";
  }
  yield* rcu_read_unlock(k);
  if (saw.text === "") saw.text = "nothing";
}

for (const level of [...LEVELS_WITH_B9, "v6.1.192" as const]) {
  const fixed = level === "v6.1.192";
  Deno.test(`T31 B9 ${fixed ? "is gone" : "is there"}: a batch in flight and a new channel [level=${level}]`, () => {
    const m = kvfreeMachine({ level });
    script(m, function* (k) {
      if (level !== "v5.9") yield* warm(m);
      for (const p of yield* newObjects(k, 10)) yield* queue2(k, p);
      yield* sleepJiffies(k, monitorIsOver(k));
      const asked = m.rcu.callRcus;
      m.rcu.begin();
      const seen = yield* vmalloc(k, 64);
      const saw = { text: "" };
      yield* startOn(
        k,
        1,
        (k) => reader(k, () => isLive(k, seen), Math.ceil(1.1 * monitorIsOver(k)) + 30, saw),
      );
      yield* sleepJiffies(k, 1);
      yield* kvfree_rcu(k, seen);
      yield* sleepJiffies(k, monitorIsOver(k));
      const [first, second] = krc0(k).batches;
      assertEquals([lengths(first.vmalloc), lengths(second.vmalloc)], fixed ? [[], [1]] : [[1], []]);
      assertEquals(m.rcu.callRcus - asked, fixed ? 1 : 0, "a grace period of its own");
      yield* m.rcu.end(k);
      while (saw.text === "") yield* sleepJiffies(k, 4);
      assertEquals(saw.text, fixed ? "nothing" : "freed memory");
      if (fixed) yield* m.rcu.pass(k);
      yield* drain(m);
    });
  });
}

Deno.test("with one channel of each batch in use everything waits for a batch [level=v6.1.192]", () => {
  const m = kvfreeMachine({ level: "v6.1.192" });
  script(m, function* (k) {
    yield* warm(m);
    yield* queue2(k, yield* newObject(k));
    yield* sleepJiffies(k, monitorIsOver(k));
    yield* queue2(k, yield* vmalloc(k, 64));
    yield* sleepJiffies(k, monitorIsOver(k));
    const held = krc0(k).batches;
    assertEquals([lengths(held[0].slab), lengths(held[1].vmalloc)], [[1], [1]]);
    const late = [yield* newObject(k), yield* vmalloc(k, 64)];
    for (const p of late) yield* queue2(k, p);
    yield* sleepJiffies(k, monitorIsOver(k));
    assertEquals([lengths(krc0(k).slab), lengths(krc0(k).vmalloc)], [[1], [1]], "nobody takes them");
    assertEquals([krc0(k).count, krc0(k).monitorPending], [2, true]);
    yield* m.rcu.pass(k);
    yield* sleepJiffies(k, monitorIsOver(k));
    assertEquals(late.map((p) => isLive(k, p)), [true, true]);
    const [first] = krc0(k).batches;
    assertEquals([lengths(first.slab), lengths(first.vmalloc)], [[1], [1]], "one batch, three channels");
    yield* m.rcu.pass(k);
    yield* sleepJiffies(k, 2);
    assert(late.every((p) => !isLive(k, p)));
  });
});
