// SPDX-License-Identifier: GPL-2.0-only
/**
 * What C's compiler says of a wrong call of these macros, said at run time, with what the level allows.
 *
 * @invented C checks these while it compiles
 * @module
 */

import { type Fields, type Layout } from "../../../kernel/machine/struct.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { __is_kvfree_rcu_offset, rcu_head } from "../../rcu.ts";
import { offeredAt, whereOffered } from "../interfaces.ts";

const FORM = "a pointer, its struct and the rcu_head member";

function headless(k: Kernel, name: string): string {
  const { level } = k.config;
  for (const form of [`${name}(ptr)`, "kvfree_rcu_mightsleep(ptr)", "kvfree_rcu(ptr)"]) {
    if (offeredAt(level, form)) return `the headless form is ${form}`;
  }
  return `${name}(ptr) alone ${whereOffered(`${name}(ptr)`)}`;
}

/** A pointer alone, or with half of the rest, where the level has no such form. @invented see the file */
export function twoNeeded(k: Kernel, name: string): never {
  throw new TypeError(`${name}() at level ${k.config.level} takes ${FORM}; ${headless(k, name)}`);
}

/** More than the macro can tell apart. @invented see the file */
export function oneTooMany(k: Kernel, name: string): never {
  const alone = offeredAt(k.config.level, `${name}(ptr)`) ? "a pointer alone, or " : "";
  throw new TypeError(`${name}() at level ${k.config.level} takes ${alone}${FORM}, and nothing more`);
}

/** More than a pointer, where there is only the headless form. @invented see the file */
export function oneOnly(k: Kernel, name: string): never {
  throw new TypeError(`${name}() at level ${k.config.level} takes a pointer alone`);
}

/** The offset of member `rhf`, which must be an rcu_head and start below byte 4096. @invented see the file */
export function checkedOffset(layout: Layout<Fields>, rhf: string): number {
  const offset = layout.offsetof(rhf);
  if (layout.f[rhf].size !== rcu_head.size) throw new TypeError(`${layout.name}.${rhf} is not an rcu_head`);
  if (!__is_kvfree_rcu_offset(offset)) {
    throw new RangeError(`${layout.name}.${rhf} is at offset ${offset}: kfree_rcu() needs it below 4096`);
  }
  return offset;
}
