// SPDX-License-Identifier: GPL-2.0-only
/**
 * The block of pointers of kvfree_rcu() from 2/7 on: one page, a header and as many records as fit. Mirrors that struct of
 * kernel/rcu/tree.c (2/7) and of kernel/rcu/tiny.c (6/7), which are the same; the series' author says they could be shared.
 *
 * @module
 */

import { PAGE_SIZE } from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import {
  array,
  type ArrayView,
  type FieldType,
  type Layout,
  ptr as pointer,
  struct,
  ulong,
} from "../kernel/machine/struct.ts";

/**
 * A page of pointers.
 *
 * @mirrors kernel/rcu/tree.c:kvfree_rcu_bulk_data (2/7), kernel/rcu/tiny.c:kvfree_rcu_bulk_data (6/7)
 */
export const kvfree_rcu_bulk_data: Layout<{
  nr_records: FieldType<number>;
  next: FieldType<VirtAddr>;
  records: FieldType<ArrayView<VirtAddr>>;
}> = struct("kvfree_rcu_bulk_data", {
  nr_records: ulong, // records in use
  next: pointer, // older block of the chain, or NULL
  records: array(pointer, 0),
});

/**
 * Records in one block.
 *
 * @mirrors kernel/rcu/tree.c:KVFREE_BULK_MAX_ENTR (2/7), kernel/rcu/tiny.c:KVFREE_BULK_MAX_ENTR (6/7)
 */
export const KVFREE_BULK_MAX_ENTR: number = Math.floor(
  (PAGE_SIZE - kvfree_rcu_bulk_data.size) / pointer.size,
);

/** Address of a record of a block. @invented `&bnode->records[index]` */
export function recordAddr(bnode: VirtAddr, index: number): VirtAddr {
  return (bnode + kvfree_rcu_bulk_data.size + index * pointer.size) as VirtAddr;
}
