// SPDX-License-Identifier: GPL-2.0-only
/**
 * kvmalloc: who gets contiguous memory, who falls back to vmalloc, and that kvfree() knows the difference.
 *
 * The rules are those of v5.7's kvmalloc_node(): only above a page, and only with all the bits of GFP_KERNEL.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { addrAdd, NULL, PAGE_OFFSET, PAGE_SIZE, VMALLOC_START } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { Atomic, MaySleep } from "../../kernel/machine/effects.ts";
import { addFailRule, clearFailRules, listFailRules } from "../../kernel/fault_inject.ts";
import {
  ___GFP_NORETRY,
  ___GFP_NOWARN,
  ___GFP_RETRY_MAYFAIL,
  __GFP_RETRY_MAYFAIL,
  type Gfp,
  gfp,
  GFP_ATOMIC,
  GFP_KERNEL,
  GFP_KERNEL_ACCOUNT,
  GFP_NOFS,
  GFP_NOIO,
  GFP_NOWAIT,
} from "../../kernel/gfp.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { ZERO_SIZE_PTR } from "../../mm/slab.ts";
import { kvcalloc, kvfree, kvfree_sensitive, kvmalloc, kvmalloc_array, kvzalloc } from "../../mm/util.ts";
import { is_vmalloc_addr, vmalloc_nr_pages, vmalloc_to_page } from "../../mm/vmalloc.ts";
import { checkVmalloc } from "../../mm/vmalloc_check.ts";
import { dmesg, run } from "../helpers.ts";
import { mmKernel } from "./vmalloc_kernel.ts";

/** No contiguous block of more than one page any more: as in a fragmented machine. */
function fragment(k: Kernel): void {
  for (let order = 1; order <= 10; order++) addFailRule(k, { what: "page", order, times: -1 });
}

Deno.test("kvmalloc() prefers contiguous memory, above a page too", () => {
  const k = mmKernel();
  for (const size of [8, PAGE_SIZE, 2 * PAGE_SIZE, 8 * PAGE_SIZE]) {
    const addr = run(kvmalloc(k, size, GFP_KERNEL));
    assert(addr >= PAGE_OFFSET && !is_vmalloc_addr(k, addr), `${size}`);
    run(kvfree(k, addr));
  }
  assertEquals(k.reports, []);
});

Deno.test("kvmalloc() falls back to vmalloc above a page, without a warning, and kvfree() undoes either", () => {
  const k = mmKernel();
  fragment(k);
  const addr = run(kvmalloc(k, 8 * PAGE_SIZE, GFP_KERNEL));
  assertEquals(addr, VMALLOC_START);
  assertEquals(vmalloc_nr_pages(k), 8);
  assertEquals(dmesg(k).filter((line) => line.includes("page allocation failure")), []);
  run(kvfree(k, addr));
  assertEquals(vmalloc_nr_pages(k), 0);
  assertEquals(checkVmalloc(k), []);
});

Deno.test("kvmalloc() up to a page never falls back", () => {
  const k = mmKernel();
  for (const size of [64, PAGE_SIZE]) {
    addFailRule(k, { what: "slab", size }); // once: vmalloc would succeed
    assertEquals(run(kvmalloc(k, size, GFP_KERNEL)), NULL);
  }
  clearFailRules(k);
  assertEquals(checkVmalloc(k), []);
});

Deno.test("kvmalloc() without all of GFP_KERNEL never falls back", () => {
  const k = mmKernel();
  fragment(k);
  const flags: Gfp[] = [GFP_NOFS, GFP_NOIO, GFP_NOWAIT, GFP_ATOMIC];
  for (const it of flags) assertEquals(run(kvmalloc(k, 8 * PAGE_SIZE, it)), NULL);
  assertEquals(vmalloc_nr_pages(k), 0);
  assert(is_vmalloc_addr(k, run(kvmalloc(k, 8 * PAGE_SIZE, GFP_KERNEL_ACCOUNT))));
});

Deno.test("kvmalloc() does not try hard above a page, unless it is asked to", () => {
  const asked = [
    { flags: GFP_KERNEL, added: ___GFP_NOWARN | ___GFP_NORETRY },
    { flags: gfp(GFP_KERNEL, __GFP_RETRY_MAYFAIL), added: ___GFP_NOWARN | ___GFP_RETRY_MAYFAIL },
  ];
  const mask = ___GFP_NOWARN | ___GFP_NORETRY | ___GFP_RETRY_MAYFAIL;
  for (const { flags, added } of asked) {
    const k = mmKernel();
    addFailRule(k, { what: "page", order: 3, gfp: added, gfpMask: mask });
    assert(is_vmalloc_addr(k, run(kvmalloc(k, 8 * PAGE_SIZE, flags))));
    assertEquals(listFailRules(k)[0].failures, 1);
  }
});

Deno.test("kvzalloc() and kvcalloc() return zeroed memory from either allocator", () => {
  const k = mmKernel();
  const size = 4 * PAGE_SIZE;
  for (const fall of [false, true]) {
    if (fall) fragment(k);
    const dirty = run(kvmalloc(k, size, GFP_KERNEL));
    for (let i = 0; i < size; i += 8) k.ram.storePtr(addrAdd(dirty, i), 0x5a5a);
    run(kvfree(k, dirty));
    for (const addr of [run(kvzalloc(k, size, GFP_KERNEL)), run(kvcalloc(k, 4, PAGE_SIZE, GFP_KERNEL))]) {
      assertEquals(is_vmalloc_addr(k, addr), fall);
      for (let i = 0; i < size; i += 8) assertEquals(k.ram.loadPtr(addrAdd(addr, i)), NULL);
    }
  }
});

Deno.test("kvmalloc_array() refuses a product that does not fit into 64 bits", () => {
  const k = mmKernel();
  assertEquals(run(kvmalloc_array(k, 2 ** 40, 2 ** 30, GFP_KERNEL)), NULL);
  assertEquals(dmesg(k).filter((line) => line.includes("allocation failure")), []);
  const addr = run(kvmalloc_array(k, 3, 16, GFP_KERNEL));
  k.ram.storePtr(addrAdd(addr, 40), 1);
  run(kvfree(k, addr));
});

Deno.test("kvfree() takes NULL, and reports what it finds wrong in atomic context for vmalloc memory only", () => {
  const k = mmKernel();
  run(kvfree(k, NULL));
  const small = run(kvmalloc(k, 64, GFP_KERNEL));
  fragment(k);
  const large = run(kvmalloc(k, 8 * PAGE_SIZE, GFP_KERNEL));
  k.cpu.preempt_count = 1;
  run(kvfree(k, small));
  assertEquals(k.reports, []);
  run(kvfree(k, large));
  k.cpu.preempt_count = 0;
  assertMatch(k.reports[0].title, /sleeping function called from invalid context/);
});

Deno.test("kvfree_sensitive() clears before it frees", () => {
  const k = mmKernel();
  fragment(k);
  const addr = run(kvmalloc(k, 3 * PAGE_SIZE, GFP_KERNEL));
  const pages = [0, 1, 2].map((i) => vmalloc_to_page(k, addrAdd(addr, i * PAGE_SIZE)));
  for (let i = 0; i < 3; i++) k.ram.storePtr(addrAdd(addr, i * PAGE_SIZE + 80), 0x5ec7e7);
  run(kvfree_sensitive(k, addr, 3 * PAGE_SIZE));
  assertEquals(pages.map((page) => k.ram.rawLoadPtr(page * PAGE_SIZE + 80)), [NULL, NULL, NULL]);
  run(kvfree_sensitive(k, NULL, 8));
  run(kvfree_sensitive(k, ZERO_SIZE_PTR, 0));
});

Deno.test("kvmalloc() has the colour of its flags", () => {
  const k = mmKernel();
  // These lines are checked by the compiler: atomic flags give a function that never sleeps.
  function atomic(): Atomic<VirtAddr> {
    return kvmalloc(k, 8, GFP_NOWAIT);
  }
  function sleeping(): MaySleep<VirtAddr> {
    return kvmalloc(k, 8, GFP_KERNEL);
  }
  function wrong(): Atomic<VirtAddr> {
    // @ts-expect-error a sleeping allocation in atomic code
    return kvmalloc(k, 8, GFP_KERNEL);
  }
  for (const f of [atomic, sleeping, wrong]) run(kvfree(k, run(f())));
});
