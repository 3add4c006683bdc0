// SPDX-License-Identifier: GPL-2.0-only
/**
 * Text addresses: functions whose address is stored in memory (callbacks) get one, in order of first use.
 *
 * Mirrors what kernel/kallsyms.c (v5.7) answers: name of an address. Invariant: only `ksym()` and the loading of a module
 * assign addresses, so looking a symbol up never changes the run. A function of an unloaded module keeps its address, at
 * which there is no text any more.
 *
 * @module
 */

import { formatAddr, MODULES_VADDR, NULL, TEXT_START } from "./machine/addr.ts";
import { assert } from "./machine/assert.ts";
import type { VirtAddr } from "./machine/brand.ts";
import type { Kernel } from "./kernel.ts";
import { __module_address, type module, modules, moduleStatics } from "./module_list.ts";
import { KERNEL_STATIC, type StaticKey } from "./static.ts";

/** Bytes of text that each function pretends to have. */
export const FUNCTION_BYTES = 0x40;

// deno-lint-ignore ban-types
type AnyFunction = Function;

class SymbolTable {
  readonly functions: AnyFunction[] = [];
  readonly addresses = new Map<AnyFunction, VirtAddr>();
}

const symbols = KERNEL_STATIC("kallsyms_addresses", () => new SymbolTable());

export const statics: readonly StaticKey[] = [symbols, ...moduleStatics];

/**
 * The text address of `fn`, assigned at first use.
 *
 * @invented C has addresses by itself
 */
export function ksym(k: Kernel, fn: AnyFunction): VirtAddr {
  const table = symbols(k);
  const known = table.addresses.get(fn);
  if (known !== undefined) return known;
  const addr = (TEXT_START + 0x1000 + table.functions.length * FUNCTION_BYTES) as VirtAddr;
  table.functions.push(fn);
  table.addresses.set(fn, addr);
  return addr;
}

/**
 * Gives the functions of a module their addresses, from the start of its text on.
 *
 * @invented in C the module's symbol table comes with it
 */
export function addModuleSymbols(k: Kernel, mod: module): void {
  const { addresses } = symbols(k);
  mod.functions.forEach((fn, i) => {
    addresses.set(fn, (mod.core_layout.base + i * FUNCTION_BYTES) as VirtAddr);
  });
}

/**
 * The function at a text address.
 *
 * @invented calling through a function pointer
 */
export function functionAt(k: Kernel, addr: VirtAddr): AnyFunction {
  const fn = lookup(k, addr);
  assert(fn !== undefined, `no function at ${formatAddr(addr)}`);
  return fn;
}

/** Whether there is a function at `addr`. @invented what executing there would find out */
export function isText(k: Kernel, addr: VirtAddr): boolean {
  return lookup(k, addr) !== undefined;
}

/** Address of the function called `name`, NULL when none has one. @mirrors kernel/kallsyms.c:kallsyms_lookup_name */
export function kallsyms_lookup_name(k: Kernel, name: string): VirtAddr {
  const table = symbols(k);
  const fn = table.functions.find((it) => it.name === name) ?? moduleFunction(k, name);
  return fn === undefined ? NULL : table.addresses.get(fn) as VirtAddr;
}

/** A function by `name` or `module:name`. @mirrors kernel/module.c:module_kallsyms_lookup_name */
function moduleFunction(k: Kernel, name: string): AnyFunction | undefined {
  for (const mod of modules(k)) {
    for (const fn of mod.functions) if (fn.name === name || `${mod.name}:${fn.name}` === name) return fn;
  }
  return undefined;
}

/**
 * Name of the function at `addr` as %ps prints it, or the address when there is none.
 *
 * @mirrors kernel/kallsyms.c:kallsyms_lookup
 */
export function kallsyms_lookup(k: Kernel, addr: number): string {
  const fn = lookup(k, addr);
  return fn === undefined ? "0x" + formatAddr(addr) : fn.name + ofModule(k, addr);
}

/** What %pS prints: name, offset, size and module. @mirrors kernel/kallsyms.c:sprint_symbol */
export function sprint_symbol(k: Kernel, addr: number): string {
  const offset = addr % FUNCTION_BYTES;
  const fn = lookup(k, addr - offset);
  if (fn === undefined) return "0x" + formatAddr(addr);
  return `${fn.name}+0x${offset.toString(16)}/0x${FUNCTION_BYTES.toString(16)}${ofModule(k, addr)}`;
}

/** ` [name]` for text of a module. */
function ofModule(k: Kernel, addr: number): string {
  const mod = __module_address(k, addr);
  return mod === null ? "" : ` [${mod.name}]`;
}

function lookup(k: Kernel, addr: number): AnyFunction | undefined {
  if (addr >= MODULES_VADDR) {
    const mod = __module_address(k, addr);
    return mod === null ? undefined : mod.functions[(addr - mod.core_layout.base) / FUNCTION_BYTES];
  }
  const index = (addr - TEXT_START - 0x1000) / FUNCTION_BYTES;
  return Number.isInteger(index) ? symbols(k).functions[index] : undefined;
}
