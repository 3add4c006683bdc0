// SPDX-License-Identifier: GPL-2.0-only
/**
 * Loading and unloading modules. Mirrors kernel/module.c (v5.7) as far as a module is a range of text that comes and goes.
 *
 * A module is given as functions. They get addresses in the module area, so that a pointer to one of them that is still
 * stored somewhere after free_module() (a callback that RCU still holds) leads to an address where nothing is: calling it
 * is an oops. Invariant: a module's text is there from before its init to after its exit and one grace period.
 *
 * Left out: the file and its sections, what modules export and depend on, parameters, sysfs, forced unloading. Text takes
 * no memory. Functions that are called by reference (threads, work items, timers) are not looked up: only what RCU calls
 * by address is found missing. Needs RCU.
 *
 * @module
 */

import { alignUp, MODULES_END, MODULES_VADDR, PAGE_SIZE } from "./machine/addr.ts";
import type { VirtAddr } from "./machine/brand.ts";
import type { MaySleep } from "./machine/effects.ts";
import { EBUSY, EEXIST, ENOENT, ENOMEM, EWOULDBLOCK } from "./errno.ts";
import { addModuleSymbols, FUNCTION_BYTES } from "./kallsyms.ts";
import type { Kernel } from "./kernel.ts";
import { mutex, mutex_lock, mutex_unlock } from "./locking/mutex.ts";
import {
  last_unloaded_module,
  module,
  type module_layout,
  MODULE_STATE_COMING,
  MODULE_STATE_GOING,
  MODULE_STATE_LIVE,
  MODULE_STATE_UNFORMED,
  modules,
} from "./module_list.ts";
import { pr_warn } from "./printk.ts";
import { KERNEL_STATIC, type StaticKey } from "./static.ts";

/** The reference that a module holds on itself while it is there. */
const MODULE_REF_BASE = 1;

/** What is loaded. @invented the file on disk */
export interface ModuleImage {
  readonly name: string;
  /** Its functions, in the order in which they stand in its text; init and exit follow. */
  // deno-lint-ignore ban-types
  readonly functions?: readonly Function[];
  /** Runs when it is loaded. Returns 0 or a negative error number, with which loading fails. */
  readonly init?: (k: Kernel) => MaySleep<number>;
  /** Runs when it is unloaded. A module with an init but without an exit cannot be unloaded. */
  readonly exit?: (k: Kernel) => MaySleep<void>;
}

/** Held while the list of modules changes. */
const module_mutex = KERNEL_STATIC("module_mutex", () => new mutex("module_mutex"));

export const statics: readonly StaticKey[] = [module_mutex];

/** The module called `name`, whatever its state. Locks: module_mutex held, or a look. @mirrors kernel/module.c:find_module_all */
function find_module_all(k: Kernel, name: string, even_unformed: boolean): module | null {
  const found = modules(k).find((mod) => mod.name === name);
  return found === undefined || (!even_unformed && found.state === MODULE_STATE_UNFORMED) ? null : found;
}

/** The module called `name`, null when there is none. @mirrors kernel/module.c:find_module */
export function find_module(k: Kernel, name: string): module | null {
  return find_module_all(k, name, false);
}

/** @mirrors kernel/module.c:module_unload_init */
function module_unload_init(mod: module): void {
  mod.refcnt = MODULE_REF_BASE + 1; // one for the initialisation
}

/** Gives up the module's own reference. Returns how many are left. @mirrors kernel/module.c:try_release_module_ref */
function try_release_module_ref(mod: module): number {
  mod.refcnt -= MODULE_REF_BASE;
  if (mod.refcnt !== 0) {
    const ret = mod.refcnt;
    mod.refcnt += MODULE_REF_BASE;
    return ret;
  }
  return 0;
}

/** Returns 0, or -EWOULDBLOCK while somebody uses it. @mirrors kernel/module.c:try_stop_module */
function try_stop_module(mod: module): number {
  if (try_release_module_ref(mod) !== 0) return -EWOULDBLOCK;
  mod.state = MODULE_STATE_GOING;
  return 0;
}

/** How many use it. @mirrors kernel/module.c:module_refcount */
export function module_refcount(mod: module): number {
  return mod.refcnt - MODULE_REF_BASE;
}

/**
 * Unloads a module: what rmmod asks for.
 *
 * Context: process context. Sleeps: for a grace period at least. Returns: 0; -ENOENT; -EBUSY when it comes or goes, or has
 * no exit function; -EWOULDBLOCK when it is in use.
 *
 * @mirrors kernel/module.c:delete_module
 */
export function* delete_module(k: Kernel, name_user: string): MaySleep<number> {
  yield* mutex_lock(k, module_mutex(k));
  const mod = find_module(k, name_user);
  const ret = mod === null ? -ENOENT : mayGo(mod) ? try_stop_module(mod) : -EBUSY;
  mutex_unlock(k, module_mutex(k));
  if (mod === null || ret !== 0) return ret;
  if (mod.exit !== null) yield* mod.exit(k);
  last_unloaded_module.set(k, mod.name);
  yield* free_module(k, mod);
  return 0;
}

/** Whether it is there and can go. */
function mayGo(mod: module): boolean {
  return mod.state === MODULE_STATE_LIVE && (mod.init === null || mod.exit !== null);
}

/** Takes a reference, so that it stays. False: it is going. @mirrors kernel/module.c:try_module_get */
export function try_module_get(mod: module): boolean {
  if (mod.state === MODULE_STATE_GOING || mod.state === MODULE_STATE_UNFORMED) return false;
  mod.refcnt++;
  return true;
}

/** Gives a reference back. @mirrors kernel/module.c:module_put */
export function module_put(mod: module): void {
  mod.refcnt--;
}

/**
 * Takes a module apart: after a grace period its text is no more.
 *
 * @mirrors kernel/module.c:free_module
 */
function* free_module(k: Kernel, mod: module): MaySleep<void> {
  yield* mutex_lock(k, module_mutex(k));
  // Readers of the list may still look at it.
  yield* k.rcu.synchronize_rcu(k);
  mod.state = MODULE_STATE_UNFORMED;
  const list = modules(k);
  list.splice(list.indexOf(mod), 1);
  mutex_unlock(k, module_mutex(k));
}

/** The lowest room for `size` bytes of text, with a guard page behind. @mirrors arch/x86/kernel/module.c:module_alloc */
function module_alloc(k: Kernel, size: number): module_layout | null {
  const taken = modules(k).map((mod) => mod.core_layout).sort((a, b) => a.base - b.base);
  let base: number = MODULES_VADDR;
  for (const other of taken) {
    if (base + size + PAGE_SIZE <= other.base) break;
    base = other.base + other.size + PAGE_SIZE;
  }
  return base + size > MODULES_END ? null : { base: base as VirtAddr, size };
}

/** @mirrors kernel/module.c:layout_and_allocate */
function layout_and_allocate(k: Kernel, { name, functions = [], init, exit }: ModuleImage): module | null {
  // deno-lint-ignore ban-types
  const text: Function[] = [...functions];
  for (const fn of [init, exit]) if (fn !== undefined && !text.includes(fn)) text.push(fn);
  const layout = module_alloc(k, alignUp(Math.max(text.length, 1) * FUNCTION_BYTES, PAGE_SIZE));
  return layout === null ? null : new module(name, init ?? null, exit ?? null, layout, text);
}

/**
 * Runs a module's init function.
 *
 * @mirrors kernel/module.c:do_init_module
 * @simplified init stands with the rest of the text and stays
 */
function* do_init_module(k: Kernel, mod: module): MaySleep<number> {
  const ret = mod.init === null ? 0 : yield* mod.init(k);
  if (ret < 0) {
    mod.state = MODULE_STATE_GOING;
    yield* k.rcu.synchronize_rcu(k);
    module_put(mod);
    yield* free_module(k, mod);
    return ret;
  }
  if (ret > 0) {
    pr_warn(
      k,
      `do_init_module: '${mod.name}'->init suspiciously returned ${ret}, it should follow 0/-E convention\n` +
        "do_init_module: loading module anyway...",
    );
  }
  mod.state = MODULE_STATE_LIVE;
  module_put(mod);
  return 0;
}

/**
 * Puts a module on the list. Fails: -EEXIST when there is one of that name, -EBUSY while that one is on its way.
 *
 * @mirrors kernel/module.c:add_unformed_module
 * @simplified C waits for one that is being loaded, to say which of the two it was
 */
function add_unformed_module(k: Kernel, mod: module): number {
  const old = find_module_all(k, mod.name, true);
  if (old !== null) return old.state === MODULE_STATE_LIVE ? -EEXIST : -EBUSY;
  modules(k).unshift(mod);
  return 0;
}

/** Its text and symbols are there now. @mirrors kernel/module.c:complete_formation */
function complete_formation(k: Kernel, mod: module): void {
  addModuleSymbols(k, mod);
  mod.state = MODULE_STATE_COMING;
}

/**
 * Loads a module and runs its init function: what insmod asks for.
 *
 * Context: process context. Sleeps. Returns: 0, or a negative error number: -EEXIST, -EBUSY, -ENOMEM, or what init returned.
 *
 * @mirrors kernel/module.c:load_module
 */
export function* load_module(k: Kernel, image: ModuleImage): MaySleep<number> {
  yield* mutex_lock(k, module_mutex(k));
  const mod = layout_and_allocate(k, image);
  const err = mod === null ? -ENOMEM : add_unformed_module(k, mod);
  if (mod !== null && err === 0) {
    module_unload_init(mod);
    complete_formation(k, mod);
  }
  mutex_unlock(k, module_mutex(k));
  return mod === null || err !== 0 ? err : yield* do_init_module(k, mod);
}
