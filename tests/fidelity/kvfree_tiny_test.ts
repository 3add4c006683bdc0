// SPDX-License-Identifier: GPL-2.0-only
/**
 * Tiny RCU against a real kernel: Linux 5.7.14 with the seven patches, uniprocessor, HZ 250, objects of 64 bytes.
 *
 * Rows are the recorded ones: case, runs of the monitor and of kvfree_rcu_work, single-object callbacks. Exact for all
 * three; the recorded monitor ran 5 to 6 jiffies after the first call.
 */
import { assert, assertEquals } from "@std/assert";
import type { Ptr, VirtAddr } from "../../kernel/machine/brand.ts";
import type { MaySleep } from "../../kernel/machine/effects.ts";
import { addFailRule } from "../../kernel/fault_inject.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { array, embed, GFP_KERNEL, kmalloc, kvfree_rcu, rcu_head, struct, u8, vmalloc } from "../../mod.ts";
import { bootForTiny, eventsOf, executionsOf, jiffyNs, runCleanly } from "../machines.ts";

interface Row {
  readonly op: "kv1" | "kv2";
  readonly memory: "slab" | "vmalloc" | "mix" | "pfail";
  readonly n: number;
  readonly n_monitor: number;
  readonly n_work: number;
  readonly callbacks: number;
}

const rows: Row[] = [];
function add(
  op: Row["op"],
  memory: Row["memory"],
  counts: number[],
  batched: boolean,
  callbacks: boolean,
): void {
  const once = batched ? 1 : 0;
  for (const n of counts) {
    rows.push({ op, memory, n, n_monitor: once, n_work: once, callbacks: callbacks ? n : 0 });
  }
}
add("kv2", "slab", [1, 10, 500, 501, 502, 509, 510, 511, 5000], true, false);
add("kv1", "slab", [1, 10, 500, 510, 511, 5000], true, false);
add("kv2", "vmalloc", [10, 511, 1200], true, false);
add("kv2", "mix", [10], true, false);
add("kv1", "vmalloc", [10, 511, 1200], true, false);
add("kv1", "mix", [10], true, false);
add("kv1", "pfail", [1, 10, 600], false, false);
add("kv2", "pfail", [1, 10, 600], false, true);

const object = struct("object", { rcu: embed(rcu_head), data: array(u8, 48) });

function* allocate(k: Kernel, row: Row, i: number): MaySleep<VirtAddr> {
  const useVmalloc = row.memory === "vmalloc" || (row.memory === "mix" && i % 2 === 1);
  return useVmalloc ? yield* vmalloc(k, object.size) : yield* kmalloc(k, object.size, GFP_KERNEL);
}

for (const row of rows) {
  Deno.test(`series-tiny ${row.op}-${row.memory}-n${row.n}: monitor, work and callbacks as recorded`, () => {
    const k = bootForTiny();
    let first = 0;
    runCleanly(k, function* (k) {
      const objects: VirtAddr[] = [];
      for (let i = 0; i < row.n; i++) objects.push(yield* allocate(k, row, i));
      if (row.memory === "pfail") {
        addFailRule(k, { what: "page", site: "kvfree_call_rcu_add_ptr_to_bulk", times: -1 });
      }
      first = k.now();
      for (const p of objects) {
        if (row.op === "kv1") yield* kvfree_rcu(k, p);
        else yield* kvfree_rcu(k, p as Ptr<typeof object>, object, "rcu");
      }
    });
    const monitors = executionsOf(k, "kvfree_rcu_monitor");
    assertEquals(
      [
        monitors.length,
        executionsOf(k, "kvfree_rcu_work").length,
        eventsOf(k, "rcu_invoke_kvfree_callback").length,
      ],
      [row.n_monitor, row.n_work, row.callbacks],
    );
    if (row.n_monitor === 0) return;
    const jiffies = (monitors[0].ns - first) / jiffyNs(k);
    assert(jiffies >= 5 && jiffies <= 6.1, `monitor ran ${jiffies} jiffies after the first call`);
  });
}
