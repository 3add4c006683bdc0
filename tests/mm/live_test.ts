// SPDX-License-Identifier: GPL-2.0-only
/** Tests of mm/live.ts: every allocation is live, pending in RCU, or leaked, and nothing else decides it than memory. */
import { assertEquals } from "@std/assert";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { doneVoid, type MaySleep } from "../../kernel/machine/effects.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { memoryVerdict } from "../../mm/live.ts";
import { page_address } from "../../mm/mm_types.ts";
import {
  alloc_pages,
  array,
  call_rcu,
  embed,
  GFP_KERNEL,
  kmalloc,
  kvfree_rcu,
  kzalloc,
  ptr,
  rcu_head,
  struct,
  u8,
  vmalloc,
} from "../../mod.ts";
import { bootForTiny, runCleanly } from "../machines.ts";

const item = struct("item", { inner: ptr, data: array(u8, 40), rcu: embed(rcu_head) });

/** The verdict on what was allocated since `since`, as sorted addresses. */
function verdict(k: Kernel, since: number): Record<"live" | "pending" | "leaked", number[]> {
  const { live, pending, leaked } = memoryVerdict(k, since);
  const sorted = (objects: readonly { addr: VirtAddr }[]): number[] =>
    objects.map((o) => o.addr as number).toSorted((a, b) => a - b);
  return { live: sorted(live), pending: sorted(pending), leaked: sorted(leaked) };
}

function sorted(...addresses: VirtAddr[]): number[] {
  return addresses.map(Number).toSorted((a, b) => a - b);
}

Deno.test("memoryVerdict(): what kvfree_rcu() holds is pending, and what only that points to is live", () => {
  const k = bootForTiny();
  const since = k.seq;
  runCleanly(k, function* (k): MaySleep<void> {
    const p = yield* kmalloc(k, item.size, GFP_KERNEL);
    const inner = yield* kmalloc(k, 24, GFP_KERNEL);
    const dropped = yield* vmalloc(k, 100);
    item.f.inner.set(k, p, inner);
    yield* kvfree_rcu(k, p);
    assertEquals(verdict(k, since), { live: sorted(inner), pending: sorted(p), leaked: sorted(dropped) });
  });
  assertEquals(verdict(k, since).pending, [], "freed by the batch");
  assertEquals(verdict(k, since).leaked.length, 2, "what the freed object pointed to is lost with it");
});

Deno.test("memoryVerdict(): an object on the callback list is pending through the rcu_head inside it", () => {
  const k = bootForTiny();
  const since = k.seq;
  runCleanly(k, function* (k): MaySleep<void> {
    const p = yield* kmalloc(k, item.size, GFP_KERNEL);
    yield* call_rcu(k, (p + item.offsetof("rcu")) as VirtAddr, () => doneVoid());
    assertEquals(verdict(k, since), { live: [], pending: sorted(p), leaked: [] });
  });
});

Deno.test("memoryVerdict(): .data, pages, vmalloc memory and interior pointers keep alive; a circle does not", () => {
  const k = bootForTiny();
  const since = k.seq;
  runCleanly(k, function* (k): MaySleep<void> {
    const root = k.dataAlloc(8);
    const page = page_address(yield* alloc_pages(k, GFP_KERNEL, 1));
    const area = yield* vmalloc(k, 3 * 4096);
    const [a, b, c] = [
      yield* kzalloc(k, 64, GFP_KERNEL),
      yield* kzalloc(k, 64, GFP_KERNEL),
      yield* kzalloc(k, 64, GFP_KERNEL),
    ];
    k.ram.storePtr(root, page);
    k.ram.storePtr((page + 4096 + 8) as VirtAddr, area);
    k.ram.storePtr((area + 2 * 4096) as VirtAddr, a + 40);
    k.ram.storePtr(b, c);
    k.ram.storePtr(c, b);
    assertEquals(verdict(k, since), { live: sorted(page, area, a), pending: [], leaked: sorted(b, c) });
    k.ram.storePtr(root, 0);
    assertEquals(verdict(k, since).leaked, sorted(page, area, a, b, c));
  });
});
