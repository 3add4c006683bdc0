// SPDX-License-Identifier: GPL-2.0-only
/**
 * kvfree_rcu() on tree RCU from all CPUs at once: whatever the schedule and whatever fails, every object is freed once, and
 * nothing but spare pages stays.
 */
import { assert, assertEquals } from "@std/assert";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { memoryVerdict } from "../../mm/live.ts";
import { addFailRule, type Kernel, kvfree_rcu, POLICY_FINE, POLICY_TIME, Run, vmalloc } from "../../mod.ts";
import { krcState } from "../../rcu/kvfree.ts";
import { isLive, newObject, queue2, sleepJiffies, startOn } from "./kvfree_machine.ts";
import { bootTree } from "./tree_machine.ts";

/** One CPU's load: slab and vmalloc objects in both forms, with pauses that let batches come between. */
function* load(k: Kernel, cpu: number, all: VirtAddr[]): MaySleep<void> {
  for (let i = 0; i < 120; i++) {
    const p = (i + cpu) % 5 === 0 ? yield* vmalloc(k, 64) : yield* newObject(k);
    all.push(p);
    if ((i + cpu) % 3 === 0) yield* kvfree_rcu(k, p);
    else yield* queue2(k, p);
    if (i % 17 === cpu) yield* sleepJiffies(k, 1 + i % 7);
  }
}

for (const policy of [POLICY_TIME, POLICY_FINE]) {
  for (const failing of [false, true]) {
    Deno.test(`every object is freed once [cpus=4 policy=${policy.name} failing=${failing} seeds=8]`, () => {
      for (let seed = 1; seed <= 8; seed++) {
        const k = bootTree({ seed, policy });
        const all: VirtAddr[] = [];
        const main = function* (k: Kernel): MaySleep<void> {
          if (failing) {
            // Blocks mostly fail, wrappers every now and then.
            addFailRule(k, { what: "page", site: "kvfree_call_rcu_add_ptr_to_bulk", nth: 2, times: -1 });
            for (let nth = 5; nth < 60; nth += 7) {
              addFailRule(k, { what: "slab", site: "attach_rcu_head_to_object", nth, times: 2 });
            }
          }
          for (let cpu = 0; cpu < 4; cpu++) yield* startOn(k, cpu, (k) => load(k, cpu, all));
        };
        const run = new Run(k, { name: "load", summary: "", options: [], main }, {});
        run.advance();
        const { ending } = run.verdict();
        if (ending === "undrained") {
          // B8: what stayed behind is in krc, on a CPU whose monitor is not armed.
          assert(
            krcState(k).some((s) =>
              !s.monitorPending && s.slab.length + s.vmalloc.length + s.list.length > 0
            ),
          );
          continue;
        }
        assertEquals([ending, k.reports.map((r) => r.title)], ["completed", []], `seed ${seed}`);
        assertEquals([all.length, all.filter((p) => isLive(k, p)).length], [480, 0], `seed ${seed}`);
        const verdict = memoryVerdict(k, run.startSeq);
        assertEquals([verdict.live, verdict.pending, verdict.leaked], [[], [], []], `seed ${seed}`);
      }
    });
  }
}
