// SPDX-License-Identifier: GPL-2.0-only
/**
 * Life cycles of objects that somebody else keeps: initialised, active, inactive, destroyed. Mirrors lib/debugobjects.c
 * (v5.7), and of include/linux/debugobjects.h the states and the description of a type.
 *
 * With it a callback that is queued twice, or freed while it is queued, is reported where it happens. On with
 * Config.debugObjects; off, callers do not come here.
 *
 * Invariant: it is observation; objects are found by address, in buckets of a page, so that a free looks at few of them.
 *
 * Left out: the pool of tracking objects and running out of it, hashing, statistics, the self test.
 *
 * @module
 */

import { formatAddr, NULL, PAGE_SIZE } from "./machine/addr.ts";
import { __warn, WARN_ON } from "./bug.ts";
import { EINVAL } from "./errno.ts";
import { THREAD_SIZE } from "./fork.ts";
import type { Kernel } from "./kernel.ts";
import { pr_warn } from "./printk.ts";
import { current } from "./sched/sched.ts";
import { KERNEL_STATIC, type StaticKey } from "./static.ts";

/** @mirrors include/linux/debugobjects.h:debug_obj_state */
export const ODEBUG_STATE_NONE = 0;
export const ODEBUG_STATE_INIT = 1;
export const ODEBUG_STATE_INACTIVE = 2;
export const ODEBUG_STATE_ACTIVE = 3;
export const ODEBUG_STATE_DESTROYED = 4;
export const ODEBUG_STATE_NOTAVAILABLE = 5;

const obj_states = ["none", "initialized", "inactive", "active", "destroyed", "not available"];

/** What is known of one object. @mirrors include/linux/debugobjects.h:debug_obj */
class debug_obj {
  state = ODEBUG_STATE_NONE;
  /** A state of the type's own, while active. */
  astate = 0;

  constructor(readonly object: number, readonly descr: debug_obj_descr) {}
}

/** What repairs an object in the wrong state; returns whether it did. */
export type DebugFixup = (k: Kernel, addr: number, state: number) => boolean;

/** A type of object. @mirrors include/linux/debugobjects.h:debug_obj_descr */
export interface debug_obj_descr {
  readonly name: string;
  /** Whether an object that nobody announced may exist. */
  is_static_object?(k: Kernel, addr: number): boolean;
  readonly fixup_init?: DebugFixup;
  readonly fixup_activate?: DebugFixup;
  readonly fixup_destroy?: DebugFixup;
  readonly fixup_free?: DebugFixup;
  readonly fixup_assert_init?: DebugFixup;
}

/** Objects by page, then by address. */
const obj_hash = KERNEL_STATIC("obj_hash", () => new Map<number, Map<number, debug_obj>>());
/** Reports so far; there are no more than five, and five of stacks. */
const printed = KERNEL_STATIC<number>("debug_print_object.limit", () => 0);
const stackReports = KERNEL_STATIC<number>("debug_object_is_on_stack.limit", () => 0);

export const statics: readonly StaticKey[] = [obj_hash, printed, stackReports];

const MOST_REPORTS = 5;

function chunkOf(addr: number): number {
  return Math.floor(addr / PAGE_SIZE);
}

/** @mirrors lib/debugobjects.c:lookup_object */
function lookup_object(k: Kernel, addr: number): debug_obj | undefined {
  return obj_hash(k).get(chunkOf(addr))?.get(addr);
}

/** @mirrors lib/debugobjects.c:alloc_object */
function alloc_object(k: Kernel, addr: number, descr: debug_obj_descr): debug_obj {
  const obj = new debug_obj(addr, descr);
  const chunk = chunkOf(addr);
  const bucket = obj_hash(k).get(chunk);
  if (bucket === undefined) obj_hash(k).set(chunk, new Map([[addr, obj]]));
  else bucket.set(addr, obj);
  return obj;
}

/** @mirrors lib/debugobjects.c:free_object */
function free_object(k: Kernel, obj: debug_obj): void {
  const chunk = chunkOf(obj.object);
  const bucket = obj_hash(k).get(chunk);
  bucket?.delete(obj.object);
  if (bucket?.size === 0) obj_hash(k).delete(chunk);
}

/** @mirrors lib/debugobjects.c:debug_print_object */
function debug_print_object(k: Kernel, obj: debug_obj, msg: string): void {
  if (printed(k) >= MOST_REPORTS) return;
  printed.set(k, printed(k) + 1);
  const text = `ODEBUG: ${msg} ${obj_states[obj.state]} (active state ${obj.astate}) ` +
    `object type: ${obj.descr.name} hint: 0x0`;
  __warn(k, text, text);
}

/** @mirrors lib/debugobjects.c:debug_object_fixup */
function debug_object_fixup(k: Kernel, fixup: DebugFixup | undefined, addr: number, state: number): boolean {
  return fixup !== undefined && fixup(k, addr, state);
}

/** Whether an address is on the current task's stack. @mirrors include/linux/sched/task_stack.h:object_is_on_stack */
function object_is_on_stack(k: Kernel, addr: number): boolean {
  const { stackAddr } = current(k);
  return stackAddr !== NULL && addr >= stackAddr && addr < stackAddr + THREAD_SIZE;
}

/** @mirrors lib/debugobjects.c:debug_object_is_on_stack */
function debug_object_is_on_stack(k: Kernel, addr: number, onstack: boolean): void {
  if (stackReports(k) >= MOST_REPORTS) return;
  const is_on_stack = object_is_on_stack(k, addr);
  if (is_on_stack === onstack) return;
  stackReports.set(k, stackReports(k) + 1);
  const stack = formatAddr(current(k).stackAddr);
  pr_warn(
    k,
    is_on_stack
      ? `object ${formatAddr(addr)} is on stack ${stack}, but NOT annotated.`
      : `object ${formatAddr(addr)} is NOT on stack ${stack}, but annotated.`,
  );
  WARN_ON(k, true);
}

/** @mirrors lib/debugobjects.c:__debug_object_init */
function __debug_object_init(k: Kernel, addr: number, descr: debug_obj_descr, onstack: boolean): void {
  const known = lookup_object(k, addr);
  const obj = known ?? alloc_object(k, addr, descr);
  if (obj.state === ODEBUG_STATE_ACTIVE) {
    debug_print_object(k, obj, "init");
    debug_object_fixup(k, descr.fixup_init, addr, obj.state);
    return;
  }
  if (obj.state === ODEBUG_STATE_DESTROYED) {
    debug_print_object(k, obj, "init");
    return;
  }
  obj.state = ODEBUG_STATE_INIT;
  if (known === undefined) debug_object_is_on_stack(k, addr, onstack);
}

/** An object is initialised. @mirrors lib/debugobjects.c:debug_object_init */
export function debug_object_init(k: Kernel, addr: number, descr: debug_obj_descr): void {
  if (k.config.debugObjects) __debug_object_init(k, addr, descr, false);
}

/** An object on the current task's stack is initialised. @mirrors lib/debugobjects.c:debug_object_init_on_stack */
export function debug_object_init_on_stack(k: Kernel, addr: number, descr: debug_obj_descr): void {
  if (k.config.debugObjects) __debug_object_init(k, addr, descr, true);
}

/**
 * An object becomes active. Returns 0, or -EINVAL and a report when it is already, or must not.
 *
 * @mirrors lib/debugobjects.c:debug_object_activate
 */
export function debug_object_activate(k: Kernel, addr: number, descr: debug_obj_descr): number {
  if (!k.config.debugObjects) return 0;
  const obj = lookup_object(k, addr);
  if (obj === undefined) return activateUnknown(k, addr, descr);
  switch (obj.state) {
    case ODEBUG_STATE_INIT:
    case ODEBUG_STATE_INACTIVE:
      obj.state = ODEBUG_STATE_ACTIVE;
      return 0;
    case ODEBUG_STATE_ACTIVE:
      debug_print_object(k, obj, "activate");
      return debug_object_fixup(k, descr.fixup_activate, addr, obj.state) ? 0 : -EINVAL;
    case ODEBUG_STATE_DESTROYED:
      debug_print_object(k, obj, "activate");
      return -EINVAL;
    default:
      return 0;
  }
}

/** A static object is known from its first use on; any other was not initialised. */
function activateUnknown(k: Kernel, addr: number, descr: debug_obj_descr): number {
  if (descr.is_static_object?.(k, addr) === true) {
    debug_object_init(k, addr, descr);
    debug_object_activate(k, addr, descr);
    return 0;
  }
  debug_print_object(k, notAvailable(addr, descr), "activate");
  return debug_object_fixup(k, descr.fixup_activate, addr, ODEBUG_STATE_NOTAVAILABLE) ? 0 : -EINVAL;
}

function notAvailable(addr: number, descr: debug_obj_descr): debug_obj {
  const obj = new debug_obj(addr, descr);
  obj.state = ODEBUG_STATE_NOTAVAILABLE;
  return obj;
}

/** An object is not active any more. @mirrors lib/debugobjects.c:debug_object_deactivate */
export function debug_object_deactivate(k: Kernel, addr: number, descr: debug_obj_descr): void {
  if (!k.config.debugObjects) return;
  const obj = lookup_object(k, addr);
  if (obj === undefined) {
    debug_print_object(k, notAvailable(addr, descr), "deactivate");
    return;
  }
  switch (obj.state) {
    case ODEBUG_STATE_INIT:
    case ODEBUG_STATE_INACTIVE:
    case ODEBUG_STATE_ACTIVE:
      if (obj.astate === 0) obj.state = ODEBUG_STATE_INACTIVE;
      else debug_print_object(k, obj, "deactivate");
      break;
    case ODEBUG_STATE_DESTROYED:
      debug_print_object(k, obj, "deactivate");
      break;
  }
}

/** An object must not be used again before it is initialised. @mirrors lib/debugobjects.c:debug_object_destroy */
export function debug_object_destroy(k: Kernel, addr: number, descr: debug_obj_descr): void {
  const obj = k.config.debugObjects ? lookup_object(k, addr) : undefined;
  if (obj === undefined) return;
  switch (obj.state) {
    case ODEBUG_STATE_ACTIVE:
      debug_print_object(k, obj, "destroy");
      debug_object_fixup(k, descr.fixup_destroy, addr, obj.state);
      break;
    case ODEBUG_STATE_DESTROYED:
      debug_print_object(k, obj, "destroy");
      break;
    default:
      obj.state = ODEBUG_STATE_DESTROYED;
  }
}

/** The object is gone. @mirrors lib/debugobjects.c:debug_object_free */
export function debug_object_free(k: Kernel, addr: number, descr: debug_obj_descr): void {
  const obj = k.config.debugObjects ? lookup_object(k, addr) : undefined;
  if (obj === undefined) return;
  if (obj.state === ODEBUG_STATE_ACTIVE) {
    debug_print_object(k, obj, "free");
    debug_object_fixup(k, descr.fixup_free, addr, obj.state);
  } else free_object(k, obj);
}

/** The object must have been initialised. @mirrors lib/debugobjects.c:debug_object_assert_init */
export function debug_object_assert_init(k: Kernel, addr: number, descr: debug_obj_descr): void {
  if (!k.config.debugObjects || lookup_object(k, addr) !== undefined) return;
  if (descr.is_static_object?.(k, addr) === true) {
    debug_object_init(k, addr, descr);
    return;
  }
  debug_print_object(k, notAvailable(addr, descr), "assert_init");
  debug_object_fixup(k, descr.fixup_assert_init, addr, ODEBUG_STATE_NOTAVAILABLE);
}

/**
 * An active object goes from its type's state `expect` to `next`; reported when it is not there.
 *
 * @mirrors lib/debugobjects.c:debug_object_active_state
 */
export function debug_object_active_state(
  k: Kernel,
  addr: number,
  descr: debug_obj_descr,
  expect: number,
  next: number,
): void {
  if (!k.config.debugObjects) return;
  const obj = lookup_object(k, addr) ?? notAvailable(addr, descr);
  if (obj.state === ODEBUG_STATE_ACTIVE && obj.astate === expect) obj.astate = next;
  else debug_print_object(k, obj, "active_state");
}

/**
 * @mirrors lib/debugobjects.c:__debug_check_no_obj_freed
 * @simplified an active object without a fixup is reported once; C looks again and again
 */
function __debug_check_no_obj_freed(k: Kernel, address: number, size: number): void {
  const hash = obj_hash(k);
  const last = chunkOf(address + size - 1);
  for (let chunk = chunkOf(address); chunk <= last; chunk++) {
    const bucket = hash.get(chunk);
    if (bucket === undefined) continue;
    for (const obj of [...bucket.values()]) {
      if (obj.object < address || obj.object >= address + size) continue;
      if (obj.state !== ODEBUG_STATE_ACTIVE) free_object(k, obj);
      else {
        debug_print_object(k, obj, "free");
        debug_object_fixup(k, obj.descr.fixup_free, obj.object, obj.state);
      }
    }
  }
}

/** Memory is freed: no object in it may be active. @mirrors lib/debugobjects.c:debug_check_no_obj_freed */
export function debug_check_no_obj_freed(k: Kernel, address: number, size: number): void {
  if (k.config.debugObjects && size > 0) __debug_check_no_obj_freed(k, address, size);
}
