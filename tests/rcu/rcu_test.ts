// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tests of rcu/rcu.ts: the sequence numbers. Expected values follow from the definitions: two low bits of state, one
 * operation is 4k, 4k + 1, 4k + 4; grace periods start at (0 - 300) << 2.
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  rcu_seq_completed_gp,
  rcu_seq_ctr,
  rcu_seq_diff,
  rcu_seq_done,
  rcu_seq_end,
  rcu_seq_endval,
  rcu_seq_new_gp,
  rcu_seq_set_state,
  rcu_seq_snap,
  rcu_seq_start,
  rcu_seq_started,
  rcu_seq_state,
  ULONG_CMP_GE,
  ULONG_CMP_LT,
} from "../../rcu/rcu.ts";
import { bareKernel } from "../helpers.ts";

Deno.test("rcu_seq_snap() skips the operation that runs already", () => {
  assertEquals([rcu_seq_snap(-1200), rcu_seq_snap(-1199)], [-1196, -1192]);
  assertEquals([rcu_seq_snap(-4), rcu_seq_snap(-3), rcu_seq_snap(0), rcu_seq_snap(1)], [0, 4, 4, 8]);
});

Deno.test("rcu_seq_endval() is the next idle value", () => {
  assertEquals([rcu_seq_endval(-1199), rcu_seq_endval(-3), rcu_seq_endval(1)], [-1196, 0, 4]);
});

Deno.test("rcu_seq_ctr() and rcu_seq_state() take a number apart, also below zero", () => {
  assertEquals([-1200, -1199, -3, 0, 5].map(rcu_seq_ctr), [-300, -300, -1, 0, 1]);
  assertEquals([-1200, -1199, -3, 0, 5].map(rcu_seq_state), [0, 1, 1, 0, 1]);
});

Deno.test("rcu_seq_completed_gp() and rcu_seq_new_gp() tell what happened in between", () => {
  const both = (old: number, now: number): boolean[] => [
    rcu_seq_completed_gp(old, now),
    rcu_seq_new_gp(old, now),
  ];
  assertEquals(both(-1200, -1200), [false, false]);
  assertEquals(both(-1200, -1199), [false, true]);
  assertEquals(both(-1199, -1196), [true, false]);
  assertEquals(both(-1199, -1195), [true, true]);
  assertEquals(both(-1200, -1196), [true, true]);
  assertEquals(both(-3, 0), [true, false]);
  assertEquals(both(-4, 1), [true, true]);
});

Deno.test("rcu_seq_started() and rcu_seq_done() answer for a snapshot through its whole operation", () => {
  const s = rcu_seq_snap(-1200);
  assertEquals([-1200, -1199, -1196].map((now) => rcu_seq_started(now, s)), [false, true, true]);
  assertEquals([-1200, -1199, -1196].map((now) => rcu_seq_done(now, s)), [false, false, true]);
});

Deno.test("rcu_seq_start() and rcu_seq_end() move a field, and report what cannot be", () => {
  const k = bareKernel({}, []);
  const owner = { gp_seq: -1200, other: "text" };
  rcu_seq_start(k, owner, "gp_seq");
  assertEquals(owner.gp_seq, -1199);
  rcu_seq_end(k, owner, "gp_seq");
  assertEquals([owner.gp_seq, k.reports.length], [-1196, 0]);
  rcu_seq_set_state(k, owner, "gp_seq", 2);
  assertEquals([owner.gp_seq, k.reports.length], [-1194, 0]);
  rcu_seq_set_state(k, owner, "gp_seq", 0);
  rcu_seq_end(k, owner, "gp_seq");
  assertEquals(k.reports.length, 1, "nothing ran that could end");
});

Deno.test("rcu_seq_diff() counts operations between two numbers", () => {
  const pairs = [[-1196, -1196], [-1199, -1200], [-1196, -1200], [-1196, -1199], [-1192, -1200], [4, -4]];
  assertEquals(pairs.map(([now, old]) => rcu_seq_diff(now, old)), [0, 1, 2, 1, 3, 3]);
});

Deno.test("sequence numbers are compared by difference, in any place of the circle", () => {
  fc.assert(fc.property(
    fc.integer({ min: -5000, max: 5000 }),
    fc.integer({ min: 0, max: 4000 }),
    (old, ahead) => {
      const now = old + ahead;
      assertEquals(ULONG_CMP_GE(now, old), true);
      assertEquals(ULONG_CMP_LT(old, now), ahead > 0);
      // As C computes it, in 64 bits without sign.
      const wrap = (n: number): bigint => BigInt.asUintN(64, BigInt(n));
      const low = BigInt.asUintN(64, ~3n);
      assertEquals(BigInt(rcu_seq_snap(old)), BigInt.asIntN(64, (wrap(old) + 7n) & low));
      assertEquals(BigInt(rcu_seq_endval(old)), BigInt.asIntN(64, (wrap(old) | 3n) + 1n));
      assertEquals(rcu_seq_state(old), Number(wrap(old) & 3n));
      const completed = BigInt.asUintN(64, wrap(old) - (wrap(now) & low)) >= 2n ** 63n;
      assertEquals(rcu_seq_completed_gp(old, now), completed);
    },
  ));
});
