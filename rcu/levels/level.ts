// SPDX-License-Identifier: GPL-2.0-only
/**
 * What a file of rcu/levels/ exports: kvfree_rcu() of one flavour at one level, and looks at it.
 *
 * @invented the function table of a level
 * @module
 */

import type { VirtAddr } from "../../kernel/machine/brand.ts";
import type { KvfreeLevelOps } from "../../kernel/hooks.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { StaticKey } from "../../kernel/static.ts";
import type { KrcBlock, KrcView } from "../krc_look.ts";

/** kvfree_rcu() at a level. @invented see the file */
export interface KvfreeLevel {
  readonly ops: KvfreeLevelOps;
  /** Its file-scope variables. */
  readonly statics: readonly StaticKey[];
}

/** ... of tree RCU. @invented see the file */
export interface TreeLevel extends KvfreeLevel {
  readonly view: KrcView;
}

/** What tiny RCU's batching of patch 6/7 holds. @invented a look at file-scope state */
export interface TinyBatching {
  readonly collecting: readonly KrcBlock[];
  readonly waiting: readonly KrcBlock[];
  readonly spare: VirtAddr;
  readonly monitor_todo: boolean;
  readonly drainJiffies: number;
  readonly capacity: number;
}

/** ... of tiny RCU, which batches at 6/7 and 7/7 only. @invented see the file */
export interface TinyLevel extends KvfreeLevel {
  readonly look: ((k: Kernel) => TinyBatching) | null;
}
