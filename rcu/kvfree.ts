// SPDX-License-Identifier: GPL-2.0-only
/**
 * kvfree_rcu() as a machine has it: the flavour and the level choose one file of levels/, and one set of macros.
 *
 * @invented C has one version at a time
 * @module
 */

import type { Config, Level } from "../kernel/config.ts";
import { type KvfreeOps, NO_KVFREE } from "../kernel/hooks.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { StaticKey } from "../kernel/static.ts";
import { type KrcState, type KrcView, listHeads, lookAtKrcs } from "./krc_look.ts";
import type { TinyBatching } from "./levels/level.ts";
import { MACROS, TINY, TREE } from "./levels/table.ts";

/** What the rest of the kernel calls. @invented see the file */
export function kvfreeOps({ rcu, level }: Config): KvfreeOps {
  if (rcu === "none") return NO_KVFREE;
  const macros = MACROS[level];
  if (rcu === "tiny") return { ...TINY[level].ops, macros, perCpuPointers: () => [] };
  const { ops, view } = TREE[level];
  return { ...ops, macros, perCpuPointers: (k) => listHeads(k, view) };
}

/** File-scope variables of the chosen file. @invented see the file */
export function kvfreeStatics({ rcu, level }: Config): readonly StaticKey[] {
  if (rcu === "none") return [];
  return rcu === "tree" ? TREE[level].statics : TINY[level].statics;
}

/** How a level of tree RCU looks. @invented see the file */
export function krcView(level: Level): KrcView {
  return TREE[level].view;
}

/** Looks at kvfree_rcu() of every CPU of tree RCU without touching it. @invented for the `krc` command */
export function krcState(k: Kernel): KrcState[] {
  return lookAtKrcs(k, krcView(k.config.level));
}

/** Looks at the batching of tiny RCU; null where the level has none. @invented for the `krc` command */
export function tinyBatching(k: Kernel): TinyBatching | null {
  const { look } = TINY[k.config.level];
  return look === null ? null : look(k);
}
