// SPDX-License-Identifier: GPL-2.0-only
/**
 * Hello, kvfree_rcu: the first snippet of the series' cover letter. Allocate with kvmalloc(), free after a grace period
 * with a bare pointer: no rcu_head inside, no callback, no waiting.
 *
 * Look at: `trace` for the batch (workqueue_execute_start), `timeline` for when it goes.
 *
 *     deno run examples/hello_kvfree_rcu.ts --size 10000
 */

import {
  GFP_KERNEL,
  type Kernel,
  kvfree_rcu,
  kvmalloc,
  type MaySleep,
  NULL,
  type OptionValues,
  type Scenario,
} from "../mod.ts";
import { runExample } from "./run_example.ts";

export const helloScenario: Scenario = {
  name: "hello_kvfree_rcu",
  summary: "kvmalloc, then kvfree_rcu(ptr): the headless form in two lines",
  options: [
    { name: "size", kind: "int", min: 1, max: 4194304, default: "100", help: "bytes to allocate" },
  ],
  needs: () => [["kvfree_rcu(ptr)"]],
  *main(k: Kernel, options: OptionValues): MaySleep<void> {
    const ptr = yield* kvmalloc(k, Number(options.size), GFP_KERNEL);
    if (ptr !== NULL) yield* kvfree_rcu(k, ptr);
  },
};

export default helloScenario;

if (import.meta.main) runExample(helloScenario);
