// SPDX-License-Identifier: GPL-2.0-only
/**
 * Memory pressure: objects wait in kvfree_rcu() without a page to put them in. What a level does without a page for a
 * block is where the levels differ most: a list, a wrapper, a wait, a cache of spare pages, a shrinker.
 *
 * `--kind pages` lets every request of kvfree_rcu() for a page fail, for half a second. `--kind shrinker` calls
 * the shrinkers, as reclaim does, when all objects are queued, and queues as many again.
 *
 * Look at: `series run pressure --all` and `series run shrinker --all`.
 */

import {
  addFailRule,
  array,
  clearFailRules,
  drop_slab,
  embed,
  GFP_KERNEL,
  type Kernel,
  kmalloc,
  kvfree_rcu,
  type MaySleep,
  msleep,
  NULL,
  type OptionValues,
  type Ptr,
  rcu_head,
  type Scenario,
  struct,
  u8,
  vmalloc,
} from "../../mod.ts";
import { runExample } from "../run_example.ts";

const object = struct("object", { data: array(u8, 48), rcu: embed(rcu_head) });
type Object = Ptr<typeof object>;

/** Who asks for blocks, by level: the call itself, later a worker that fills the stock of spare pages. */
const ASKING = ["kfree_call_rcu_add_ptr_to_bulk", "kvfree_call_rcu_add_ptr_to_bulk", "fill_page_cache_func"];

/** Objects of both kinds, in turn; fewer when memory ends. */
function* makeObjects(k: Kernel, n: number): MaySleep<Object[]> {
  const objects: Object[] = [];
  for (let i = 0; i < n; i++) {
    const p = i % 2 === 0 ? yield* kmalloc(k, object.size, GFP_KERNEL) : yield* vmalloc(k, object.size);
    if (p !== NULL) objects.push(p as Object);
  }
  return objects;
}

function* queueAll(k: Kernel, objects: readonly Object[]): MaySleep<void> {
  for (const p of objects) yield* kvfree_rcu(k, p, object, "rcu");
}

export const pressureScenario: Scenario = {
  name: "pressure",
  summary: "objects are given to kvfree_rcu() when it gets no page, or while the shrinkers are called",
  options: [
    {
      name: "kind",
      kind: "enum",
      values: ["pages", "shrinker"],
      default: "pages",
      help: "let kvfree_rcu() get no page, or call the shrinkers",
    },
    {
      name: "objects",
      kind: "int",
      min: 1,
      max: 2000,
      default: "600",
      help: "objects, half of them vmalloc'ed",
    },
  ],
  *main(k: Kernel, { kind, objects }: OptionValues): MaySleep<void> {
    const n = Number(objects);
    const first = yield* makeObjects(k, n);
    if (kind === "pages") {
      const rules = ASKING.map((site) => addFailRule(k, { what: "page", site, times: -1 }));
      yield* queueAll(k, first);
      yield* msleep(k, 500);
      for (const rule of rules) clearFailRules(k, rule);
      return;
    }
    const second = yield* makeObjects(k, n);
    yield* queueAll(k, first);
    yield* drop_slab(k);
    yield* queueAll(k, second);
    yield* msleep(k, 8);
    yield* drop_slab(k);
  },
};

export default pressureScenario;

if (import.meta.main) runExample(pressureScenario);
