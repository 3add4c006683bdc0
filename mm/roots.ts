// SPDX-License-Identifier: GPL-2.0-only
/**
 * Memory in which pointers stand that nobody allocated: where a scan for reachable objects begins.
 *
 * Used by leak verdicts (live.ts) and by kmemleak. Invariant: a look; nothing here changes anything. Pointers that only
 * variables of TypeScript hold are in no memory and so in no root.
 *
 * @module
 */

import { PAGE_SIZE, pfnToVirt } from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { mem_map, type page, page_address, PAGE_USE_KERNEL } from "./mm_types.ts";

/** Start and size of a piece of memory. */
export type Range = readonly [VirtAddr, number];

/** Emulated .data, per-CPU variables included. @invented _sdata to _edata */
export function dataRange(k: Kernel): Range {
  return [pfnToVirt(0), k.dataEnd];
}

/** The kernel stacks of all tasks. @invented for_each_process_thread() and their stacks */
export function* stackRanges(k: Kernel): Generator<Range, void, void> {
  const m = mem_map(k);
  for (const pfn of k.ram.touchedPages()) {
    if (m.use[pfn] === PAGE_USE_KERNEL && m.birth[pfn] !== 0) {
      yield [page_address(pfn as page), PAGE_SIZE << m.order[pfn]];
    }
  }
}

/** All of them. @invented see the file */
export function* rootRanges(k: Kernel): Generator<Range, void, void> {
  yield dataRange(k);
  yield* stackRanges(k);
}
