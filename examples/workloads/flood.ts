// SPDX-License-Identifier: GPL-2.0-only
/**
 * A flood: a thread on each CPU allocates objects and gives them to kvfree_rcu() at once, as rcuscale's kfree test does
 * (loops 10, here 1,000 objects each). Every object has its rcu_head, so that it runs at every level.
 *
 * Look at: `series run flood --all`. How many grace periods for how many objects, and how much memory is in flight.
 */

import {
  array,
  cond_resched,
  embed,
  GFP_KERNEL,
  type Kernel,
  kmalloc,
  kvfree_rcu,
  type MaySleep,
  NULL,
  type OptionValues,
  type Ptr,
  rcu_head,
  type Scenario,
  struct,
  u8,
  vmalloc,
  wait_for_completion,
} from "../../mod.ts";
import { startOn } from "../bugs/start_on.ts";
import { runExample } from "../run_example.ts";

/** 24 bytes, as in rcuscale. */
const kfree_obj = struct("kfree_obj", { kfree_obj: array(u8, 8), rh: embed(rcu_head) });

/** Every `nth` object of this kind comes from vmalloc(); 0 for none. */
function* kfree_scale_thread(k: Kernel, loops: number, alloc_num: number, nth: number): MaySleep<void> {
  for (let loop = 0; loop < loops; loop++) {
    for (let i = 0; i < alloc_num; i++) {
      const fromVmalloc = nth > 0 && i % nth === nth - 1;
      const p = fromVmalloc
        ? yield* vmalloc(k, kfree_obj.size)
        : yield* kmalloc(k, kfree_obj.size, GFP_KERNEL);
      if (p === NULL) return;
      yield* kvfree_rcu(k, p as Ptr<typeof kfree_obj>, kfree_obj, "rh");
    }
    yield* cond_resched(k);
  }
}

export const floodScenario: Scenario = {
  name: "flood",
  summary: "a thread on each CPU gives objects to kvfree_rcu() as fast as it can allocate them",
  options: [
    { name: "loops", kind: "int", min: 1, max: 1000, default: "10", help: "loops of a thread" },
    { name: "objects", kind: "int", min: 1, max: 100000, default: "1000", help: "objects of a loop" },
    {
      name: "vmalloc",
      kind: "int",
      min: 0,
      max: 1000,
      default: "0",
      help: "every nth is vmalloc memory; 0 none",
    },
  ],
  *main(k: Kernel, { loops, objects, vmalloc }: OptionValues): MaySleep<void> {
    const done = [];
    for (const { id } of k.cpus) {
      done.push(
        yield* startOn(
          k,
          id,
          `kfree_scale/${id}`,
          (k) => kfree_scale_thread(k, Number(loops), Number(objects), Number(vmalloc)),
        ),
      );
    }
    for (const c of done) yield* wait_for_completion(k, c);
  },
};

export default floodScenario;

if (import.meta.main) runExample(floodScenario);
