// SPDX-License-Identifier: GPL-2.0-only
/**
 * Which modules are there. The part of kernel/module.c (v5.7) that reports and the symbol table read; loading and
 * unloading is module.ts.
 *
 * A module is a range of text: its functions have addresses in it, one behind the other. Invariant: an address of the
 * module area is text exactly while a module that is not MODULE_STATE_UNFORMED covers it.
 *
 * Left out: sections, exports, parameters, taints.
 *
 * @module
 */

import type { VirtAddr } from "./machine/brand.ts";
import type { MaySleep } from "./machine/effects.ts";
import type { Kernel } from "./kernel.ts";
import { KERNEL_STATIC, type KernelStatic, type StaticKey } from "./static.ts";

/** Normal state. */
export const MODULE_STATE_LIVE = 0;
/** Full formed, running module_init. */
export const MODULE_STATE_COMING = 1;
/** Going away. */
export const MODULE_STATE_GOING = 2;
/** Still setting it up, or already taken apart. */
export const MODULE_STATE_UNFORMED = 3;

// deno-lint-ignore ban-types
type AnyFunction = Function;

/** Where a module's text is. @mirrors include/linux/module.h:module_layout */
export interface module_layout {
  readonly base: VirtAddr;
  readonly size: number;
}

/** @mirrors include/linux/module.h:module */
export class module {
  state: number = MODULE_STATE_UNFORMED;
  /** Users, and one for the module itself. */
  refcnt = 0;

  /** `functions`: its text, from `core_layout.base` on. */
  constructor(
    readonly name: string,
    readonly init: ((k: Kernel) => MaySleep<number>) | null,
    readonly exit: ((k: Kernel) => MaySleep<void>) | null,
    readonly core_layout: module_layout,
    readonly functions: readonly AnyFunction[],
  ) {}
}

/** All modules, newest first. @mirrors kernel/module.c:modules */
export const modules: KernelStatic<module[]> = KERNEL_STATIC("modules", (): module[] => []);

/** Name of the module that was unloaded last, or nothing. @mirrors kernel/module.c:last_unloaded_module */
export const last_unloaded_module: KernelStatic<string> = KERNEL_STATIC<string>(
  "last_unloaded_module",
  () => "",
);

export const moduleStatics: readonly StaticKey[] = [modules, last_unloaded_module];

/** Whether it is coming or going. @mirrors kernel/module.c:module_flags */
function module_flags(mod: module): string {
  if (mod.state === MODULE_STATE_GOING) return "(-)";
  return mod.state === MODULE_STATE_COMING ? "(+)" : "";
}

/** The module whose text contains `addr`, null when there is none. @mirrors kernel/module.c:__module_address */
export function __module_address(k: Kernel, addr: number): module | null {
  for (const mod of modules(k)) {
    const { base, size } = mod.core_layout;
    if (mod.state !== MODULE_STATE_UNFORMED && addr >= base && addr < base + size) return mod;
  }
  return null;
}

/** The line of reports that names the modules. @mirrors kernel/module.c:print_modules */
export function print_modules(k: Kernel): string {
  const names = modules(k).filter((mod) => mod.state !== MODULE_STATE_UNFORMED)
    .map((mod) => ` ${mod.name}${module_flags(mod)}`);
  const last = last_unloaded_module(k);
  return `Modules linked in:${names.join("")}${last === "" ? "" : ` [last unloaded: ${last}]`}`;
}

/** A frame of a call trace, with the module that the function is of. @invented frames are names here */
export function frameName(k: Kernel, name: string): string {
  for (const mod of modules(k)) {
    if (mod.functions.some((fn) => fn.name === name)) return `${name} [${mod.name}]`;
  }
  return name;
}
