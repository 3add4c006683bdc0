// SPDX-License-Identifier: GPL-2.0-only
/**
 * The published figures of kvfree_rcu()'s history: what went down there goes down here, what went up goes up. Only signs and
 * a coarse size: the published machines were larger and ran for seconds.
 */
import { assert, assertEquals } from "@std/assert";
import { ratios } from "../../bench/series.ts";

Deno.test("bench series: batching costs memory and saves grace periods, polled reclaim gives memory back", () => {
  const found = new Map(ratios().map(({ what, ours }) => [what, ours]));
  const ours = (what: string): number => found.get(what) ?? NaN;
  assert(ours("batching (v5.6): grace periods") <= 0.6);
  assert(ours("batching (v5.6): memory in flight") >= 1.5);
  assert(ours("drain after 5 s (v6.1): pointers of a block") >= 5);
  assert(ours("polled reclaim (v6.3): memory in flight") <= 0.25);
  assert(Math.abs(ours("the series: grace periods") - 1) <= 0.15);
  assert(Math.abs(ours("the series: memory in flight") - 1) <= 0.15);
  assertEquals(found.size, 7);
});
