// SPDX-License-Identifier: GPL-2.0-only
/** Page tables: the words of the entries, growing under competition, and the hardware's walk over the same words. */
import { assertEquals, assertNotEquals } from "@std/assert";
import { addrAdd, PAGE_SIZE, VMALLOC_START } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { addFailRule } from "../../kernel/fault_inject.ts";
import { GFP_KERNEL } from "../../kernel/gfp.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { page_to_phys } from "../../mm/mm_types.ts";
import { alloc_page } from "../../mm/page_alloc.ts";
import {
  addrEnd,
  flush_tlb_kernel_range,
  nextEntry,
  PAGE_KERNEL,
  pgd_offset_k,
  pmd_alloc,
  PMD_SHIFT,
  pte_alloc_kernel,
  pte_none,
  pte_page,
  pte_present,
  ptep_get_and_clear,
  pud_alloc,
  set_pte_at,
} from "../../mm/pgtable.ts";
import { run } from "../helpers.ts";
import { allocatedPages, mmKernel, tablePages } from "./vmalloc_kernel.ts";

/** An address whose index is different at each level: 402 (0xc90 >> 3), 5, 7, 9. */
const ADDR = VMALLOC_START + 5 * 2 ** 30 + 7 * 2 ** 21 + 9 * 2 ** 12 as VirtAddr;

function leaf(k: Kernel): ReturnType<typeof pgd_offset_k> {
  const pud = run(pud_alloc(k, pgd_offset_k(k, ADDR), ADDR));
  const pmd = run(pmd_alloc(k, pud, ADDR));
  return run(pte_alloc_kernel(k, pmd, ADDR));
}

Deno.test("pte_alloc_kernel() grows one table a level; an entry is physical address plus flags", () => {
  const k = mmKernel();
  const pgd = pgd_offset_k(k, ADDR);
  assertEquals(pgd - k.ram.pgd, 402 * 8);
  const pte = leaf(k);
  assertEquals(tablePages(k), 3);
  assertEquals(k.ram.rawLoadPtr(pgd) % PAGE_SIZE, 0x063); // present, writable, accessed, dirty
  assertEquals(pte % PAGE_SIZE, 9 * 8);
  assertEquals(leaf(k), pte);
  assertEquals(tablePages(k), 3);

  const page = run(alloc_page(k, GFP_KERNEL));
  assertEquals(pte_none(k, pte), true);
  set_pte_at(k, pte, page, PAGE_KERNEL);
  assertEquals(k.ram.rawLoadPtr(pte), page_to_phys(page) + 0x163); // and global
  assertEquals([pte_present(k, pte), pte_page(k, pte)], [true, page]);
  assertEquals(pte_none(k, nextEntry(pte)), true);
  assertEquals(k.ram.translate(addrAdd(ADDR, 100)), page_to_phys(page) + 100);
  assertEquals(k.ram.translate(addrAdd(ADDR, PAGE_SIZE)), -1);

  assertEquals(ptep_get_and_clear(k, pte), page_to_phys(page) + 0x163);
  assertEquals(k.ram.translate(ADDR), page_to_phys(page)); // still in the TLB
  flush_tlb_kernel_range(k, ADDR, ADDR + PAGE_SIZE);
  assertEquals(k.ram.translate(ADDR), -1);
});

Deno.test("pud_alloc() on two CPUs at once links one table and gives the other back", () => {
  const k = mmKernel();
  const pgd = pgd_offset_k(k, ADDR);
  const slow = pud_alloc(k, pgd, ADDR);
  slow.next(); // found no table, is about to allocate one
  const before = allocatedPages(k).length;
  const quick = run(pud_alloc(k, pgd, ADDR));
  assertNotEquals(quick, 0);
  assertEquals(run(slow), quick);
  assertEquals([tablePages(k), allocatedPages(k).length - before], [1, 1]);
});

Deno.test("pmd_alloc() returns no entry when there is no memory, and links nothing", () => {
  const k = mmKernel();
  const pud = run(pud_alloc(k, pgd_offset_k(k, ADDR), ADDR));
  addFailRule(k, { what: "page" });
  assertEquals(run(pmd_alloc(k, pud, ADDR)), 0);
  assertEquals(pte_none(k, pud), true);
});

Deno.test("addrEnd() stops at the next boundary or at the end", () => {
  const start = ADDR;
  assertEquals(addrEnd(start, start + 10 * PAGE_SIZE, PMD_SHIFT), start + 10 * PAGE_SIZE);
  assertEquals(addrEnd(start, start + 2 ** 22, PMD_SHIFT), VMALLOC_START + 5 * 2 ** 30 + 8 * 2 ** 21);
});
