// SPDX-License-Identifier: GPL-2.0-only
/**
 * Kernel page tables: four levels of 512 entries, as words in emulated RAM. Mirrors what mm/vmalloc.c needs of
 * arch/x86/include/asm/pgtable.h, include/asm-generic/pgalloc.h and mm/memory.c (v5.7).
 *
 * An entry is `physical address + flag bits`; a pointer to an entry is its RAM offset, and 0 is no pointer. The hardware
 * side is Ram.translate(), which walks the same words from `k.ram.pgd` and caches what it finds.
 *
 * Invariant: a table page, once linked, stays: table pages are never freed, only leaf entries are cleared. Left out: the
 * p4d level (folded away with four levels), huge entries, user tables, and the NX bit (an entry must be exact in a
 * double, and nothing executes emulated memory).
 *
 * @module
 */

import { __pa, alignDown, NULL, PAGE_SHIFT, PAGE_SIZE, VMALLOC_START } from "../kernel/machine/addr.ts";
import type { Brand, VirtAddr } from "../kernel/machine/brand.ts";
import type { MaySleep } from "../kernel/machine/effects.ts";
import { __GFP_ZERO, gfp, GFP_KERNEL, type GfpSleep } from "../kernel/gfp.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { spin_lock, spin_unlock, spinlock_t } from "../kernel/locking/spinlock.ts";
import { KERNEL_STATIC, type StaticKey } from "../kernel/static.ts";
import { mem_map, type page, page_to_phys, PAGE_USE_TABLE, virt_to_page } from "./mm_types.ts";
import { free_page, get_zeroed_page } from "./page_alloc.ts";

/** Pointer to an entry of a page table, of any level: the entry's RAM offset. */
export type pte_t = Brand<number, "pte_t">;

/** Page protection: the flag bits of an entry. */
export type pgprot_t = Brand<number, "pgprot_t">;

export const _PAGE_PRESENT = 0x001;
export const _PAGE_RW = 0x002;
export const _PAGE_ACCESSED = 0x020;
export const _PAGE_DIRTY = 0x040;
export const _PAGE_GLOBAL = 0x100;

/** Flags of a table's entry in the table above it. @mirrors arch/x86/include/asm/pgtable_types.h:_KERNPG_TABLE */
export const _KERNPG_TABLE: number = _PAGE_PRESENT + _PAGE_RW + _PAGE_ACCESSED + _PAGE_DIRTY;
/** Flags of ordinary kernel memory. @mirrors arch/x86/include/asm/pgtable_types.h:PAGE_KERNEL */
export const PAGE_KERNEL: pgprot_t = _KERNPG_TABLE + _PAGE_GLOBAL as pgprot_t;

export const PTRS_PER_PTE = 512;
export const PMD_SHIFT = 21;
export const PUD_SHIFT = 30;
export const PGDIR_SHIFT = 39;

const ENTRY_BYTES = 8;

/** @mirrors include/asm-generic/pgalloc.h:GFP_PGTABLE_KERNEL */
const GFP_PGTABLE_KERNEL: GfpSleep = gfp(GFP_KERNEL, __GFP_ZERO);

/** `init_mm.page_table_lock`: serialises the linking of new tables. */
const page_table_lock = KERNEL_STATIC("init_mm.page_table_lock", () => new spinlock_t("page_table_lock"));

export const statics: readonly StaticKey[] = [page_table_lock];

/**
 * Gives the machine its root table, in .data.
 *
 * Context: boot, once.
 *
 * @invented swapper_pg_dir is part of the kernel's image
 */
export function pgtable_setup(k: Kernel): void {
  k.ram.pgd = __pa(k.dataAlloc(PAGE_SIZE, PAGE_SIZE));
}

// Walking: entries of one level lie side by side, so the next entry is `pte + 1` of C.

function entryOf(table: number, addr: number, shift: number): pte_t {
  return table + (Math.floor(addr / 2 ** shift) % PTRS_PER_PTE) * ENTRY_BYTES as pte_t;
}

/** RAM offset of the table that `entry` points to. */
function tableOf(k: Kernel, entry: pte_t): number {
  return alignDown(k.ram.rawLoadPtr(entry), PAGE_SIZE);
}

/** The entry behind `pte` in its table: `pte++`. @invented pointer arithmetic */
export function nextEntry(pte: pte_t): pte_t {
  return pte + ENTRY_BYTES as pte_t;
}

/**
 * Where the part of `[addr, end)` ends that one entry at `shift` covers; pud_addr_end() and pmd_addr_end() too.
 *
 * @mirrors include/asm-generic/pgtable.h:pgd_addr_end
 */
export function addrEnd(addr: number, end: number, shift: number): number {
  const span = 2 ** shift;
  return Math.min((Math.floor(addr / span) + 1) * span, end);
}

/** Writes a leaf entry. @mirrors arch/x86/include/asm/pgtable.h:set_pte_at */
export function set_pte_at(k: Kernel, pte: pte_t, page: page, prot: pgprot_t): void {
  k.ram.rawStorePtr(pte, page_to_phys(page) + prot);
}

/** The page that a leaf entry maps. @mirrors arch/x86/include/asm/pgtable.h:pte_page */
export function pte_page(k: Kernel, pte: pte_t): page {
  return Math.floor(k.ram.rawLoadPtr(pte) / PAGE_SIZE) as page;
}

/** Whether the entry is empty; for every level. @mirrors arch/x86/include/asm/pgtable.h:pte_none */
export function pte_none(k: Kernel, pte: pte_t): boolean {
  return k.ram.rawLoadPtr(pte) === NULL;
}

/** Whether the entry maps something. @mirrors arch/x86/include/asm/pgtable.h:pte_present */
export function pte_present(k: Kernel, pte: pte_t): boolean {
  return k.ram.rawLoadPtr(pte) % 2 === _PAGE_PRESENT;
}

/** @mirrors arch/x86/include/asm/pgtable.h:pte_offset_kernel */
export function pte_offset_kernel(k: Kernel, pmd: pte_t, addr: number): pte_t {
  return entryOf(tableOf(k, pmd), addr, PAGE_SHIFT);
}

/** @mirrors arch/x86/include/asm/pgtable.h:pmd_offset */
export function pmd_offset(k: Kernel, pud: pte_t, addr: number): pte_t {
  return entryOf(tableOf(k, pud), addr, PMD_SHIFT);
}

/** @mirrors arch/x86/include/asm/pgtable.h:pud_offset */
export function pud_offset(k: Kernel, pgd: pte_t, addr: number): pte_t {
  return entryOf(tableOf(k, pgd), addr, PUD_SHIFT);
}

/** The root entry of a kernel address. @mirrors arch/x86/include/asm/pgtable.h:pgd_offset_k */
export function pgd_offset_k(k: Kernel, addr: number): pte_t {
  return entryOf(k.ram.pgd, addr, PGDIR_SHIFT);
}

/** Clears a leaf entry and returns what it was. @mirrors arch/x86/include/asm/pgtable.h:ptep_get_and_clear */
export function ptep_get_and_clear(k: Kernel, pte: pte_t): number {
  const old = k.ram.rawLoadPtr(pte);
  if (old !== NULL) k.ram.rawStorePtr(pte, NULL);
  return old;
}

// Growing

/** Makes sure that `entry` points to a table. Returns false when there is no memory for one. */
function* tableAlloc(k: Kernel, entry: pte_t): MaySleep<boolean> {
  if (!pte_none(k, entry)) return true;
  const table = yield* get_zeroed_page(k, GFP_PGTABLE_KERNEL);
  if (table === NULL) return false;
  yield* spin_lock(k, page_table_lock(k));
  const lost = !pte_none(k, entry);
  if (!lost) linkTable(k, entry, table);
  spin_unlock(k, page_table_lock(k));
  if (lost) yield* free_page(k, table);
  return true;
}

function linkTable(k: Kernel, entry: pte_t, table: VirtAddr): void {
  mem_map(k).use[virt_to_page(table)] = PAGE_USE_TABLE;
  k.ram.rawStorePtr(entry, __pa(table) + _KERNPG_TABLE);
}

/**
 * The entry for `addr` in the table below `pgd`, which is made when it is not there yet.
 *
 * Sleeps: yes, for the table's page. Returns: 0 when there is no memory.
 *
 * @mirrors include/linux/mm.h:pud_alloc
 */
export function* pud_alloc(k: Kernel, pgd: pte_t, addr: number): MaySleep<pte_t> {
  return (yield* tableAlloc(k, pgd)) ? pud_offset(k, pgd, addr) : 0 as pte_t;
}

/** The same one level down. @mirrors include/linux/mm.h:pmd_alloc */
export function* pmd_alloc(k: Kernel, pud: pte_t, addr: number): MaySleep<pte_t> {
  return (yield* tableAlloc(k, pud)) ? pmd_offset(k, pud, addr) : 0 as pte_t;
}

/** The same for the leaf level. @mirrors include/linux/mm.h:pte_alloc_kernel */
export function* pte_alloc_kernel(k: Kernel, pmd: pte_t, addr: number): MaySleep<pte_t> {
  return (yield* tableAlloc(k, pmd)) ? pte_offset_kernel(k, pmd, addr) : 0 as pte_t;
}

/**
 * Forgets cached translations of `[start, end)` on all CPUs.
 *
 * Context: any.
 *
 * @mirrors arch/x86/mm/tlb.c:flush_tlb_kernel_range
 * @simplified the CPUs share one software TLB, so no interprocessor interrupt is sent
 */
export function flush_tlb_kernel_range(k: Kernel, start: number, end: number): void {
  k.ram.flushTlbRange(Math.max(start, VMALLOC_START), end);
}
