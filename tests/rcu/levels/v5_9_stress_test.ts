// SPDX-License-Identifier: GPL-2.0-only
/**
 * kvfree_rcu() from v5.9 to v6.1.192 on tree RCU with its real grace periods: a flood, and ext4's arrays. Every object is
 * freed once and nothing but spare pages stays; where B9 is, one may be freed while a reader still holds it.
 */
import { assertEquals } from "@std/assert";
import ext4 from "../../../examples/ext4_kvfree_array_rcu.ts";
import { Run } from "../../../explore/run.ts";
import { checkOptions } from "../../../explore/scenario.ts";
import { memoryVerdict } from "../../../mm/live.ts";
import { boot, levelAtLeast, POLICY_FINE, POLICY_TIME } from "../../../mod.ts";
import { krcState } from "../../../rcu/kvfree.ts";
import { flood } from "./flood.ts";
import { levels } from "./levels.ts";

for (const level of levels("v5.9", "v6.1.192")) {
  for (const policy of [POLICY_TIME, POLICY_FINE]) {
    Deno.test(`a flood on tree RCU is freed, once [level=${level} policy=${policy.name} seeds=2]`, () => {
      for (let seed = 1; seed <= 2; seed++) {
        const wrong = flood(level, seed, policy);
        if (!levelAtLeast(level, "v6.1.192")) wrong.delete("KV1");
        assertEquals([...wrong], [], `seed ${seed}`);
      }
    });
  }

  Deno.test(`ext4_kvfree_array_rcu --variant kvfree_rcu leaks nothing [level=${level} seeds=3]`, () => {
    for (let seed = 1; seed <= 3; seed++) {
      const k = boot({ level, seed, policy: POLICY_FINE });
      const run = new Run(k, ext4, checkOptions(ext4, { variant: "kvfree_rcu" }), undefined, "all");
      run.advance();
      const { ending, violations } = run.verdict();
      assertEquals([ending, violations, k.reports], ["completed", [], []], `seed ${seed}`);
      const { leaked, pending } = memoryVerdict(k, run.startSeq);
      assertEquals([leaked, pending], [[], []]);
      assertEquals(krcState(k).map((s) => s.count), [0, 0, 0, 0]);
    }
  });
}
