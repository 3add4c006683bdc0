// SPDX-License-Identifier: GPL-2.0-only
/**
 * The kernel memory leak detector. Mirrors mm/kmemleak.c (v5.7); only on machines booted with --kmemleak.
 *
 * The slab allocator, large kmalloc() and vmalloc tell it of every object; blocks of the page allocator it does not know.
 * A scan goes through .data, the stacks, and then the objects that something points at, word by word; what nothing points
 * at and is older than 5 seconds is suspected. An object whose contents changed since the last scan gets away once: one
 * with anything but zeroes in it is reported by the second scan that finds it at the earliest.
 *
 * Invariant: an object is in the tree and on object_list from its allocation to the call that frees it.
 *
 * Left out: the metadata are the host's, so no memory is taken for them and no RCU callback frees them; freeing parts of
 * objects (boot memory); struct pages, which hold no pointers here; the files of debugfs, whose reads and writes are
 * functions. What kernel structures that are classes here point at is named by kmemleak_not_leak().
 *
 * @module
 */

import { alignUp, formatAddr, NULL, PAGE_SIZE, parseAddr } from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import { type MaySleep } from "../kernel/machine/effects.ts";
import { EINVAL, EPERM } from "../kernel/errno.ts";
import type { Gfp } from "../kernel/gfp.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { kthread_run, kthread_should_stop, kthread_stop } from "../kernel/kthread.ts";
import { mutex, mutex_lock, mutex_unlock } from "../kernel/locking/mutex.ts";
import { in_irq, in_serving_softirq } from "../kernel/preempt.ts";
import {
  dumpStackLines,
  KERN_INFO,
  KERN_WARNING,
  pr_info,
  pr_notice,
  pr_warn,
  report,
} from "../kernel/printk.ts";
import { rb_erase, rb_insert_color, type rb_link, rb_link_node, rb_node, rb_root } from "../kernel/rbtree.ts";
import { cond_resched, current } from "../kernel/sched/core.ts";
import type { task_struct } from "../kernel/sched/sched.ts";
import { StackSnapshot } from "../kernel/stacktrace.ts";
import { KERNEL_STATIC, type KernelStatic, type StaticKey } from "../kernel/static.ts";
import {
  INITIAL_JIFFIES,
  jiffies,
  jiffies_to_msecs,
  msecs_to_jiffies,
  TICK_NSEC,
  time_before_eq,
} from "../kernel/time/jiffies.ts";
import { schedule_timeout_interruptible } from "../kernel/time/timer.ts";
import { INIT_WORK, schedule_work, work_struct } from "../kernel/workqueue.ts";
import { dataRange, stackRanges } from "./roots.ts";
import { SLAB_NOLEAKTRACE } from "./slab.ts";

/** Frames of a backtrace that are kept. */
const MAX_TRACE = 16;
/** How old an object must be before it is suspected: pointers to a young one may stand in registers. */
const MSECS_MIN_AGE = 5000;
/** Delay before the first scan, and between scans. */
const SECS_FIRST_SCAN = 60;
const SECS_SCAN_WAIT = 600;
/** Bytes that are scanned without giving way. */
const MAX_SCAN_SIZE = 4096;
const BYTES_PER_POINTER = 8;

/** What a hex dump looks like. */
const HEX_PREFIX = "    ";
const HEX_ROW_SIZE = 16;
const HEX_MAX_LINES = 2;
/** Column of the characters in a row of the dump. */
const HEX_ASCII_COLUMN = 3 * HEX_ROW_SIZE + 1;

/** Objects for which there is room before the detector's own cache exists. */
const CONFIG_DEBUG_KMEMLEAK_MEM_POOL_SIZE = 16000;

/** Colours, as values of min_count. */
const KMEMLEAK_GREY = 0;
const KMEMLEAK_BLACK = -1;

const OBJECT_ALLOCATED = 1 << 0;
const OBJECT_REPORTED = 1 << 1;
const OBJECT_NO_SCAN = 1 << 2;

/** A part of an object that alone is scanned. @mirrors mm/kmemleak.c:kmemleak_scan_area */
interface kmemleak_scan_area {
  readonly start: number;
  readonly size: number;
}

/** What is known of an allocated object. @mirrors mm/kmemleak.c:kmemleak_object */
export class kmemleak_object {
  flags = OBJECT_ALLOCATED;
  readonly rb_node: rb_node<kmemleak_object> = new rb_node<kmemleak_object>(this);
  /** What gets the references that this object has more than it needs. */
  excess_ref: VirtAddr = NULL;
  /** References found by the scan. */
  count = 0;
  checksum = 0;
  readonly area_list: kmemleak_scan_area[] = [];

  /** `min_count`: how many references it must have not to be a leak. `jiffies`: when it was made. */
  constructor(
    readonly pointer: VirtAddr,
    readonly size: number,
    public min_count: number,
    readonly jiffies: number,
    readonly pid: number,
    readonly comm: string,
    readonly trace: StackSnapshot,
  ) {}
}

/** All objects, in order of allocation. */
const object_list = KERNEL_STATIC("object_list", () => new Set<kmemleak_object>());
/** Objects that are referenced and wait to be scanned. */
const gray_list = KERNEL_STATIC("gray_list", (): kmemleak_object[] => []);
/** All objects by address; they do not overlap. */
const object_tree_root = KERNEL_STATIC("object_tree_root", () => new rb_root<kmemleak_object>());
const mem_pool_free_count = KERNEL_STATIC<number>(
  "mem_pool_free_count",
  () => CONFIG_DEBUG_KMEMLEAK_MEM_POOL_SIZE,
);
const kmemleak_enabled = KERNEL_STATIC<boolean>("kmemleak_enabled", (k) => k.config.kmemleak);
const kmemleak_free_enabled = KERNEL_STATIC<boolean>("kmemleak_free_enabled", (k) => k.config.kmemleak);
const kmemleak_initialized = KERNEL_STATIC<boolean>("kmemleak_initialized", () => false);
/** Whether the detector's own cache exists, so that no more metadata come from the pool. */
const object_cache = KERNEL_STATIC<boolean>("object_cache", () => false);
const kmemleak_error = KERNEL_STATIC<boolean>("kmemleak_error", () => false);
/** Range outside of which no word is the address of an object. */
const min_addr = KERNEL_STATIC<number>("min_addr", () => Infinity);
const max_addr = KERNEL_STATIC<number>("max_addr", () => 0);
const scan_thread = KERNEL_STATIC<task_struct | null>("scan_thread", () => null);
/** In jiffies. */
const jiffies_min_age = KERNEL_STATIC<number>("jiffies_min_age", () => 0);
const jiffies_last_scan = KERNEL_STATIC<number>("jiffies_last_scan", () => 0);
const jiffies_scan_wait = KERNEL_STATIC<number>("jiffies_scan_wait", () => 0);
const kmemleak_stack_scan = KERNEL_STATIC<boolean>("kmemleak_stack_scan", () => true);
/** Held while somebody scans, reads the list or changes how it is scanned. */
const scan_mutex: KernelStatic<mutex> = KERNEL_STATIC("scan_mutex", () => new mutex("scan_mutex"));
const kmemleak_found_leaks = KERNEL_STATIC<boolean>("kmemleak_found_leaks", () => false);
const first_run = KERNEL_STATIC<boolean>("kmemleak_scan_thread.first_run", () => true);
const cleanup_work = KERNEL_STATIC("cleanup_work", (k) => {
  const work = new work_struct();
  INIT_WORK(k, work, kmemleak_do_cleanup);
  return work;
});
/** Jiffy at which the scan thread wakes up next; Infinity when it does not wait. */
const nextScan = KERNEL_STATIC<number>("nextScan", () => Infinity);

export const statics: readonly StaticKey[] = [
  object_list,
  gray_list,
  object_tree_root,
  mem_pool_free_count,
  kmemleak_enabled,
  kmemleak_free_enabled,
  kmemleak_initialized,
  object_cache,
  kmemleak_error,
  min_addr,
  max_addr,
  scan_thread,
  jiffies_min_age,
  jiffies_last_scan,
  jiffies_scan_wait,
  kmemleak_stack_scan,
  scan_mutex,
  kmemleak_found_leaks,
  first_run,
  cleanup_work,
  nextScan,
];

/** Whether the detector exists and works. @invented kmemleak_enabled, which exists only on machines that have it */
function enabled(k: Kernel): boolean {
  return k.config.kmemleak && kmemleak_enabled(k);
}

/** The pr_fmt() of the file. */
function kmemleakText(text: string): string {
  return `kmemleak: ${text}`;
}

/** @mirrors mm/kmemleak.c:kmemleak_warn */
function kmemleak_warn(k: Kernel, text: string): void {
  report(k, KERN_WARNING, kmemleakText(text), [kmemleakText(text), ...dumpStackLines(k)]);
}

/** Warns and gives up for good. @mirrors mm/kmemleak.c:kmemleak_stop */
function kmemleak_stop(k: Kernel, text: string): void {
  kmemleak_warn(k, text);
  kmemleak_disable(k);
}

/** The byte at an address, mapped or not, without a check. */
function byteAt(k: Kernel, addr: number): number {
  const phys = k.ram.translate(addr);
  return phys < 0 ? 0 : k.ram.bytes[phys];
}

/** The first bytes of an object. @mirrors mm/kmemleak.c:hex_dump_object */
function hex_dump_object(k: Kernel, object: kmemleak_object): string[] {
  const len = Math.min(object.size, HEX_MAX_LINES * HEX_ROW_SIZE);
  const lines = [`  hex dump (first ${len} bytes):`];
  for (let row = 0; row < len; row += HEX_ROW_SIZE) {
    const bytes: number[] = [];
    for (let i = row; i < Math.min(row + HEX_ROW_SIZE, len); i++) bytes.push(byteAt(k, object.pointer + i));
    const hex = bytes.map((b) => b.toString(16).padStart(2, "0")).join(" ");
    const ascii = bytes.map((b) => b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : ".").join("");
    lines.push(HEX_PREFIX + hex.padEnd(HEX_ASCII_COLUMN) + ascii);
  }
  return lines;
}

/** An orphan: it has not the references that it needs. @mirrors mm/kmemleak.c:color_white */
function color_white(object: kmemleak_object): boolean {
  return object.count !== KMEMLEAK_BLACK && object.count < object.min_count;
}

/** No orphan, and not ignored. @mirrors mm/kmemleak.c:color_gray */
function color_gray(object: kmemleak_object): boolean {
  return object.min_count !== KMEMLEAK_BLACK && object.count >= object.min_count;
}

/** Whether it is suspected: an orphan that is old enough. @mirrors mm/kmemleak.c:unreferenced_object */
function unreferenced_object(k: Kernel, object: kmemleak_object): boolean {
  return color_white(object) && (object.flags & OBJECT_ALLOCATED) !== 0 &&
    time_before_eq(object.jiffies + jiffies_min_age(k), jiffies_last_scan(k));
}

/** jiffies as %lu prints it on a 64-bit kernel. */
function lu(value: number): string {
  return String(value + 2 ** 32);
}

/**
 * The lines about a suspected object.
 *
 * @mirrors mm/kmemleak.c:print_unreferenced
 * @simplified frames have names but no addresses: %p of one prints as it does while no address may be shown
 */
function print_unreferenced(k: Kernel, object: kmemleak_object): string[] {
  const msecs_age = jiffies_to_msecs(k, jiffies(k) - object.jiffies);
  const age = `${Math.floor(msecs_age / 1000)}.${String(msecs_age % 1000).padStart(3, "0")}s`;
  return [
    `unreferenced object 0x${formatAddr(object.pointer)} (size ${object.size}):`,
    `  comm "${object.comm}", pid ${object.pid}, jiffies ${lu(object.jiffies)} (age ${age})`,
    ...hex_dump_object(k, object),
    "  backtrace:",
    ...backtrace(object),
  ];
}

/** The frames of the allocation; the slow half of a function counts as the function. */
function backtrace(object: kmemleak_object): string[] {
  return object.trace.callTrace().filter((name) => !INNER_FRAMES.has(name)).slice(0, MAX_TRACE)
    .map((name) => `    [<(____ptrval____)>] ${name.replace(/_slow$/, "")}`);
}

/** What stands on the stack here when a trace is taken, but is skipped or inlined in C. */
const INNER_FRAMES: ReadonlySet<string> = new Set([
  "create_object",
  "kmemleak_alloc",
  "kmemleak_alloc_recursive",
  "kmemleak_vmalloc",
  "slab_alloc_node",
  "slab_alloc_plain",
]);

/** Says all that is known of an object. @mirrors mm/kmemleak.c:dump_object_info */
function dump_object_info(k: Kernel, object: kmemleak_object): void {
  const lines = [
    `Object 0x${formatAddr(object.pointer)} (size ${object.size}):`,
    `  comm "${object.comm}", pid ${object.pid}, jiffies ${lu(object.jiffies)}`,
    `  min_count = ${object.min_count}`,
    `  count = ${object.count}`,
    `  flags = 0x${object.flags.toString(16)}`,
    `  checksum = ${object.checksum}`,
    "  backtrace:",
  ];
  for (const line of lines) pr_notice(k, kmemleakText(line));
  for (const line of backtrace(object)) pr_notice(k, line);
}

/**
 * The object at `ptr`; with `alias` also the one that contains it.
 *
 * @mirrors mm/kmemleak.c:lookup_object
 */
function lookup_object(k: Kernel, ptr: number, alias: boolean): kmemleak_object | null {
  for (let rb = object_tree_root(k).rb_node; rb !== null;) {
    const object = rb.owner;
    if (ptr < object.pointer) rb = rb.rb_left;
    else if (object.pointer + object.size <= ptr) rb = rb.rb_right;
    else if (object.pointer === ptr || alias) return object;
    else {
      kmemleak_warn(k, `Found object by alias at 0x${formatAddr(ptr)}`);
      dump_object_info(k, object);
      break;
    }
  }
  return null;
}

/** @mirrors mm/kmemleak.c:__remove_object */
function __remove_object(k: Kernel, object: kmemleak_object): void {
  rb_erase(object.rb_node, object_tree_root(k));
  object_list(k).delete(object);
}

/** @mirrors mm/kmemleak.c:find_and_remove_object */
function find_and_remove_object(k: Kernel, ptr: VirtAddr, alias: boolean): kmemleak_object | null {
  const object = lookup_object(k, ptr, alias);
  if (object !== null) __remove_object(k, object);
  return object;
}

/**
 * Begins to follow an object.
 *
 * @mirrors mm/kmemleak.c:create_object
 * @simplified the metadata take no memory, so nothing can fail but an overlap
 */
function create_object(k: Kernel, ptr: VirtAddr, size: number, min_count: number): void {
  const task = current(k);
  const outside = in_irq(k) ? "hardirq" : in_serving_softirq(k) ? "softirq" : null;
  const object = new kmemleak_object(
    ptr,
    size,
    min_count,
    jiffies(k),
    outside === null ? task.pid : 0,
    outside ?? task.comm,
    new StackSnapshot(),
  );
  if (!object_cache(k)) mem_pool_free_count.set(k, mem_pool_free_count(k) - 1);
  min_addr.set(k, Math.min(min_addr(k), ptr));
  max_addr.set(k, Math.max(max_addr(k), ptr + size));
  const root = object_tree_root(k);
  let link: rb_link<kmemleak_object> = root;
  let rb_parent: rb_node<kmemleak_object> | null = null;
  for (let at = root.rb_node; at !== null; at = rb_parent[link]) {
    rb_parent = at;
    const parent = at.owner;
    if (ptr + size <= parent.pointer) link = "rb_left";
    else if (parent.pointer + parent.size <= ptr) link = "rb_right";
    else {
      kmemleak_stop(
        k,
        `Cannot insert 0x${formatAddr(ptr)} into the object search tree (overlaps existing)`,
      );
      dump_object_info(k, parent);
      return;
    }
  }
  rb_link_node(object.rb_node, rb_parent, link);
  rb_insert_color(object.rb_node, root);
  object_list(k).add(object);
}

/** @mirrors mm/kmemleak.c:__delete_object */
function __delete_object(object: kmemleak_object): void {
  object.flags &= ~OBJECT_ALLOCATED;
}

/** Forgets the object at `ptr`, if it is known. @mirrors mm/kmemleak.c:delete_object_full */
function delete_object_full(k: Kernel, ptr: VirtAddr): void {
  const object = find_and_remove_object(k, ptr, false);
  if (object !== null) __delete_object(object);
}

/** @mirrors mm/kmemleak.c:__paint_it */
function __paint_it(object: kmemleak_object, color: number): void {
  object.min_count = color;
  if (color === KMEMLEAK_BLACK) object.flags |= OBJECT_NO_SCAN;
}

/** @mirrors mm/kmemleak.c:paint_ptr */
function paint_ptr(k: Kernel, ptr: VirtAddr, color: number): void {
  const object = lookup_object(k, ptr, false);
  if (object !== null) return __paint_it(object, color);
  const name = color === KMEMLEAK_GREY ? "Grey" : "Black";
  kmemleak_warn(k, `Trying to color unknown object at 0x${formatAddr(ptr)} as ${name}`);
}

/** Never a leak, always scanned. @mirrors mm/kmemleak.c:make_gray_object */
function make_gray_object(k: Kernel, ptr: VirtAddr): void {
  paint_ptr(k, ptr, KMEMLEAK_GREY);
}

/** Never a leak, never scanned. @mirrors mm/kmemleak.c:make_black_object */
function make_black_object(k: Kernel, ptr: VirtAddr): void {
  paint_ptr(k, ptr, KMEMLEAK_BLACK);
}

/** @mirrors mm/kmemleak.c:add_scan_area */
function add_scan_area(k: Kernel, ptr: VirtAddr, size: number): void {
  const object = lookup_object(k, ptr, true);
  if (object === null) {
    kmemleak_warn(k, `Adding scan area to unknown object at 0x${formatAddr(ptr)}`);
  } else if (ptr + size > object.pointer + object.size) {
    kmemleak_warn(k, `Scan area larger than object 0x${formatAddr(ptr)}`);
    dump_object_info(k, object);
  } else {
    object.area_list.unshift({ start: ptr, size });
  }
}

/** @mirrors mm/kmemleak.c:object_set_excess_ref */
function object_set_excess_ref(k: Kernel, ptr: VirtAddr, excess_ref: VirtAddr): void {
  const object = lookup_object(k, ptr, false);
  if (object !== null) object.excess_ref = excess_ref;
  else kmemleak_warn(k, `Setting excess_ref on unknown object at 0x${formatAddr(ptr)}`);
}

/** @mirrors mm/kmemleak.c:object_no_scan */
function object_no_scan(k: Kernel, ptr: VirtAddr): void {
  const object = lookup_object(k, ptr, false);
  if (object !== null) object.flags |= OBJECT_NO_SCAN;
  else kmemleak_warn(k, `Not scanning unknown object at 0x${formatAddr(ptr)}`);
}

/**
 * Tells of a new object. `min_count`: the references it needs; 0 never a leak, -1 not looked at either.
 *
 * Context: any.
 *
 * @mirrors mm/kmemleak.c:kmemleak_alloc
 */
export function kmemleak_alloc(k: Kernel, ptr: VirtAddr, size: number, min_count: number, _gfp: Gfp): void {
  if (enabled(k) && ptr !== NULL) create_object(k, ptr, size, min_count);
}

/** kmemleak_alloc() for an object of a cache with these flags. @mirrors include/linux/kmemleak.h:kmemleak_alloc_recursive */
export function kmemleak_alloc_recursive(
  k: Kernel,
  ptr: VirtAddr,
  size: number,
  min_count: number,
  flags: number,
  gfp: Gfp,
): void {
  if ((flags & SLAB_NOLEAKTRACE) === 0) kmemleak_alloc(k, ptr, size, min_count, gfp);
}

/**
 * Tells of a vmalloc area; `area` is the address of its vm_struct, which holds the first of the two references it needs.
 *
 * @mirrors mm/kmemleak.c:kmemleak_vmalloc
 */
export function kmemleak_vmalloc(k: Kernel, area: VirtAddr, addr: VirtAddr, size: number, _gfp: Gfp): void {
  if (!enabled(k)) return;
  create_object(k, addr, size, 2);
  object_set_excess_ref(k, area, addr);
}

/** Tells that an object is freed. Context: any. @mirrors mm/kmemleak.c:kmemleak_free */
export function kmemleak_free(k: Kernel, ptr: VirtAddr): void {
  if (k.config.kmemleak && kmemleak_free_enabled(k) && ptr !== NULL) delete_object_full(k, ptr);
}

/** @mirrors include/linux/kmemleak.h:kmemleak_free_recursive */
export function kmemleak_free_recursive(k: Kernel, ptr: VirtAddr, flags: number): void {
  if ((flags & SLAB_NOLEAKTRACE) === 0) kmemleak_free(k, ptr);
}

/** The object is no leak, whatever a scan finds, and is scanned. @mirrors mm/kmemleak.c:kmemleak_not_leak */
export function kmemleak_not_leak(k: Kernel, ptr: VirtAddr): void {
  if (enabled(k) && ptr !== NULL) make_gray_object(k, ptr);
}

/** The object is no leak and points at nothing. @mirrors mm/kmemleak.c:kmemleak_ignore */
export function kmemleak_ignore(k: Kernel, ptr: VirtAddr): void {
  if (enabled(k) && ptr !== NULL) make_black_object(k, ptr);
}

/** Of the object only this part, and others named so, is scanned. @mirrors mm/kmemleak.c:kmemleak_scan_area */
export function kmemleak_scan_area(k: Kernel, ptr: VirtAddr, size: number, _gfp: Gfp): void {
  if (enabled(k) && ptr !== NULL && size !== 0) add_scan_area(k, ptr, size);
}

/** The object points at nothing. @mirrors mm/kmemleak.c:kmemleak_no_scan */
export function kmemleak_no_scan(k: Kernel, ptr: VirtAddr): void {
  if (enabled(k) && ptr !== NULL) object_no_scan(k, ptr);
}

/** The polynomial of crc32_le(). */
const CRC32_TABLE: Uint32Array = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let bit = 0; bit < 8; bit++) c = (c & 1) !== 0 ? (c >>> 1) ^ 0xedb8_8320 : c >>> 1;
  return c;
});

/** Checksum of memory; 0 for zeroes. @mirrors lib/crc32.c:crc32_le */
function crc32_le(k: Kernel, seed: number, p: VirtAddr, len: number): number {
  let crc = seed;
  for (let i = 0; i < len; i++) crc = CRC32_TABLE[(crc ^ byteAt(k, p + i)) & 0xff] ^ (crc >>> 8);
  return crc >>> 0;
}

/** Whether the contents have changed since the last call. @mirrors mm/kmemleak.c:update_checksum */
function update_checksum(k: Kernel, object: kmemleak_object): boolean {
  const old_csum = object.checksum;
  object.checksum = crc32_le(k, 0, object.pointer, object.size);
  return object.checksum !== old_csum;
}

/** A reference was found: an orphan that has enough now is scanned in its turn. @mirrors mm/kmemleak.c:update_refs */
function update_refs(k: Kernel, object: kmemleak_object): void {
  if (!color_white(object)) return;
  object.count++;
  if (color_gray(object)) gray_list(k).push(object);
}

/** @mirrors mm/kmemleak.c:scan_should_stop */
function scan_should_stop(k: Kernel): boolean {
  return !kmemleak_enabled(k) || kthread_should_stop(k);
}

/**
 * Looks at every aligned word of `[start, end)`: is it an address of, or into, an object?
 *
 * @mirrors mm/kmemleak.c:scan_block
 */
function scan_block(k: Kernel, start: number, end: number, scanned: kmemleak_object | null): void {
  if (scan_should_stop(k)) return;
  const low = min_addr(k);
  const high = max_addr(k);
  let phys = -1;
  for (
    let ptr = alignUp(start, BYTES_PER_POINTER);
    ptr + BYTES_PER_POINTER <= end;
    ptr += BYTES_PER_POINTER
  ) {
    // One translation a page.
    phys = phys < 0 || ptr % PAGE_SIZE === 0 ? k.ram.translate(ptr) : phys + BYTES_PER_POINTER;
    if (phys < 0) continue;
    const pointer = k.ram.rawLoadPtr(phys);
    if (pointer >= low && pointer < high) foundPointer(k, pointer, scanned);
  }
}

/** A word that may be an address was found in `scanned`. @invented the middle of scan_block() */
function foundPointer(k: Kernel, pointer: number, scanned: kmemleak_object | null): void {
  const object = lookup_object(k, pointer, true);
  if (object === null || object === scanned) return;
  // Only what the object does not need itself is passed on.
  const excess_ref = color_gray(object) ? object.excess_ref : NULL;
  if (!color_gray(object)) update_refs(k, object);
  if (excess_ref === NULL) return;
  const other = lookup_object(k, excess_ref, false);
  if (other !== null && other !== scanned) update_refs(k, other);
}

/** scan_block() in pieces, between which others may run. @mirrors mm/kmemleak.c:scan_large_block */
function* scan_large_block(k: Kernel, start: number, end: number): MaySleep<void> {
  for (let at = start, next: number; at < end; at = next) {
    next = Math.min(at + MAX_SCAN_SIZE, end);
    scan_block(k, at, next, null);
    yield* cond_resched(k);
  }
}

/** Scans what an object holds. @mirrors mm/kmemleak.c:scan_object */
function* scan_object(k: Kernel, object: kmemleak_object): MaySleep<void> {
  if ((object.flags & OBJECT_NO_SCAN) !== 0) return;
  for (const { start, size } of object.area_list) scan_block(k, start, start + size, object);
  if (object.area_list.length > 0) return;
  const end = object.pointer + object.size;
  for (let start: number = object.pointer; (object.flags & OBJECT_ALLOCATED) !== 0; start += MAX_SCAN_SIZE) {
    scan_block(k, start, Math.min(start + MAX_SCAN_SIZE, end), object);
    if (start + MAX_SCAN_SIZE >= end) break;
    yield* cond_resched(k);
  }
}

/** Scans everything that is referenced, which may make more of it. @mirrors mm/kmemleak.c:scan_gray_list */
function* scan_gray_list(k: Kernel): MaySleep<void> {
  const list = gray_list(k);
  for (let i = 0; i < list.length; i++) {
    yield* cond_resched(k);
    if (!scan_should_stop(k)) yield* scan_object(k, list[i]);
  }
  list.length = 0;
}

/**
 * Looks for objects that nothing points at, and says how many there are that were not reported before.
 *
 * Locks: scan_mutex held. Context: a kernel thread. Sleeps.
 *
 * @mirrors mm/kmemleak.c:kmemleak_scan
 * @simplified per-CPU variables stand in .data; what those of kvfree_rcu() point at, its level says
 */
function* kmemleak_scan(k: Kernel): MaySleep<void> {
  jiffies_last_scan.set(k, jiffies(k));
  for (const object of object_list(k)) {
    object.count = 0;
    if (color_gray(object)) gray_list(k).push(object);
  }
  const [data, size] = dataRange(k);
  yield* scan_large_block(k, data, data + size);
  for (const pointer of k.kvfree.perCpuPointers(k)) foundPointer(k, pointer, null);
  if (kmemleak_stack_scan(k)) {
    for (const [start, bytes] of stackRanges(k)) scan_block(k, start, start + bytes, null);
  }
  yield* scan_gray_list(k);

  // What changes is in use, wherever its address may be: it counts as referenced this time.
  for (const object of object_list(k)) {
    if (!color_white(object) || !update_checksum(k, object)) continue;
    object.count = object.min_count;
    gray_list(k).push(object);
  }
  yield* scan_gray_list(k);
  if (scan_should_stop(k)) return;

  let new_leaks = 0;
  for (const object of object_list(k)) {
    if (!unreferenced_object(k, object) || (object.flags & OBJECT_REPORTED) !== 0) continue;
    object.flags |= OBJECT_REPORTED;
    new_leaks++;
  }
  if (new_leaks === 0) return;
  kmemleak_found_leaks.set(k, true);
  const title = kmemleakText(
    `${new_leaks} new suspected memory leaks (see /sys/kernel/debug/kmemleak)`,
  );
  report(k, KERN_INFO, title, [title]);
}

/** sched_prio_to_weight[] of nice 10. */
const WEIGHT_OF_NICE_10 = 110;

/** Scans a minute after boot and every ten minutes then. @mirrors mm/kmemleak.c:kmemleak_scan_thread */
function* kmemleak_scan_thread(k: Kernel): MaySleep<void> {
  pr_info(k, kmemleakText("Automatic memory scanning thread started"));
  current(k).se.weight = WEIGHT_OF_NICE_10;
  if (first_run(k)) {
    first_run.set(k, false);
    yield* waitForScan(k, msecs_to_jiffies(k, SECS_FIRST_SCAN * 1000));
  }
  while (!kthread_should_stop(k)) {
    yield* mutex_lock(k, scan_mutex(k));
    yield* kmemleak_scan(k);
    mutex_unlock(k, scan_mutex(k));
    yield* waitForScan(k, jiffies_scan_wait(k));
  }
  pr_info(k, kmemleakText("Automatic memory scanning thread ended"));
}

/** Sleeps, unless the thread should stop. Units: jiffies. @invented the two loops of kmemleak_scan_thread() */
function* waitForScan(k: Kernel, jiffiesToWait: number): MaySleep<void> {
  for (let timeout = jiffiesToWait; timeout > 0 && !kthread_should_stop(k);) {
    nextScan.set(k, jiffies(k) + timeout);
    timeout = yield* schedule_timeout_interruptible(k, timeout);
  }
  nextScan.set(k, Infinity);
}

/**
 * Virtual time at which the scan thread wakes up next, Infinity when it does not wait: for who asks whether anything else
 * is going on.
 *
 * @invented a run is over when only the detector waits for its time
 */
export function nextScanNs(k: Kernel): number {
  if (!k.config.kmemleak) return Infinity;
  return (nextScan(k) - INITIAL_JIFFIES(k)) * TICK_NSEC(k);
}

/** Locks: scan_mutex held. @mirrors mm/kmemleak.c:start_scan_thread */
function* start_scan_thread(k: Kernel): MaySleep<void> {
  if (scan_thread(k) !== null) return;
  const thread = yield* kthread_run(k, kmemleak_scan_thread, "kmemleak");
  if (typeof thread === "number") pr_warn(k, kmemleakText("Failed to create the scan thread"));
  else scan_thread.set(k, thread);
}

/** Locks: scan_mutex held, which the thread must not wait for. @mirrors mm/kmemleak.c:stop_scan_thread */
function* stop_scan_thread(k: Kernel): MaySleep<void> {
  const thread = scan_thread(k);
  if (thread === null) return;
  yield* kthread_stop(k, thread);
  scan_thread.set(k, null);
}

/**
 * The text of /sys/kernel/debug/kmemleak: what was reported and is still unreferenced. A look.
 *
 * @mirrors mm/kmemleak.c:kmemleak_seq_show
 * @simplified all objects at once, without scan_mutex
 */
export function kmemleak_seq_show(k: Kernel): string[] {
  const lines: string[] = [];
  if (!k.config.kmemleak) return lines;
  for (const object of object_list(k)) {
    if ((object.flags & OBJECT_REPORTED) !== 0 && unreferenced_object(k, object)) {
      lines.push(...print_unreferenced(k, object));
    }
  }
  return lines;
}

/** @mirrors mm/kmemleak.c:dump_str_object_info */
function dump_str_object_info(k: Kernel, str: string): number {
  const addr = parseAddr(str);
  if (Number.isNaN(addr)) return -EINVAL;
  const object = lookup_object(k, addr, false);
  if (object === null) {
    pr_info(k, kmemleakText(`Unknown object at 0x${formatAddr(addr)}`));
    return -EINVAL;
  }
  dump_object_info(k, object);
  return 0;
}

/**
 * What is reported now is not reported again, and is scanned: it may point at what comes later.
 *
 * @mirrors mm/kmemleak.c:kmemleak_clear
 */
function kmemleak_clear(k: Kernel): void {
  for (const object of object_list(k)) {
    if ((object.flags & OBJECT_REPORTED) !== 0 && unreferenced_object(k, object)) {
      __paint_it(object, KMEMLEAK_GREY);
    }
  }
  kmemleak_found_leaks.set(k, false);
}

/**
 * A command written to /sys/kernel/debug/kmemleak: off, stack=on, stack=off, scan=on, scan=off, scan=SECS, scan, clear or
 * dump=ADDR. Returns 0 or a negative error number.
 *
 * Context: a kernel thread. Sleeps. Fails: -EPERM after "off", but for clear; -EINVAL.
 *
 * @mirrors mm/kmemleak.c:kmemleak_write
 */
export function* kmemleak_write(k: Kernel, buf: string): MaySleep<number> {
  if (!k.config.kmemleak) return -EPERM;
  yield* mutex_lock(k, scan_mutex(k));
  const ret = yield* carryOut(k, buf);
  mutex_unlock(k, scan_mutex(k));
  return ret;
}

/** @invented the middle of kmemleak_write() */
function* carryOut(k: Kernel, buf: string): MaySleep<number> {
  if (buf.startsWith("clear")) {
    if (kmemleak_enabled(k)) kmemleak_clear(k);
    else __kmemleak_do_cleanup(k);
    return 0;
  }
  if (!kmemleak_enabled(k)) return -EPERM;
  if (buf.startsWith("off")) {
    kmemleak_disable(k);
    yield* schedule_work(k, cleanup_work(k));
  } else if (buf.startsWith("stack=on")) kmemleak_stack_scan.set(k, true);
  else if (buf.startsWith("stack=off")) kmemleak_stack_scan.set(k, false);
  else if (buf.startsWith("scan=on")) yield* start_scan_thread(k);
  else if (buf.startsWith("scan=off")) yield* stop_scan_thread(k);
  else if (buf.startsWith("scan=")) {
    const secs = Number(buf.slice("scan=".length));
    if (!Number.isSafeInteger(secs) || secs < 0) return -EINVAL;
    yield* stop_scan_thread(k);
    if (secs > 0) {
      jiffies_scan_wait.set(k, msecs_to_jiffies(k, secs * 1000));
      yield* start_scan_thread(k);
    }
  } else if (buf.startsWith("scan")) yield* kmemleak_scan(k);
  else if (buf.startsWith("dump=")) return dump_str_object_info(k, buf.slice("dump=".length));
  else return -EINVAL;
  return 0;
}

/** Forgets everything. @mirrors mm/kmemleak.c:__kmemleak_do_cleanup */
function __kmemleak_do_cleanup(k: Kernel): void {
  for (const object of object_list(k)) {
    __remove_object(k, object);
    __delete_object(object);
  }
}

/** After "off": ends the thread, and forgets what nobody wants to read any more. @mirrors mm/kmemleak.c:kmemleak_do_cleanup */
function* kmemleak_do_cleanup(k: Kernel): MaySleep<void> {
  yield* stop_scan_thread(k);
  yield* mutex_lock(k, scan_mutex(k));
  kmemleak_free_enabled.set(k, false);
  mutex_unlock(k, scan_mutex(k));
  if (!kmemleak_found_leaks(k)) __kmemleak_do_cleanup(k);
  else {
    pr_info(
      k,
      kmemleakText(
        "Kmemleak disabled without freeing internal data. " +
          'Reclaim the memory with "echo clear > /sys/kernel/debug/kmemleak".',
      ),
    );
  }
}

/**
 * Stops following allocations, for good.
 *
 * @mirrors mm/kmemleak.c:kmemleak_disable
 * @simplified the clean-up work is queued by who may; after an overlap the objects stay
 */
function kmemleak_disable(k: Kernel): void {
  if (kmemleak_error(k)) return;
  kmemleak_error.set(k, true);
  kmemleak_enabled.set(k, false);
  if (!kmemleak_initialized(k)) kmemleak_free_enabled.set(k, false);
  pr_info(k, kmemleakText("Kernel memory leak detector disabled"));
}

/**
 * From mm_init(), when the slab allocator works.
 *
 * @mirrors mm/kmemleak.c:kmemleak_init
 * @simplified .data grows here: it is a root of every scan in place of a grey object
 */
export function kmemleak_init(k: Kernel): void {
  if (kmemleak_error(k)) return;
  jiffies_min_age.set(k, msecs_to_jiffies(k, MSECS_MIN_AGE));
  jiffies_scan_wait.set(k, msecs_to_jiffies(k, SECS_SCAN_WAIT * 1000));
  object_cache.set(k, true);
}

/**
 * Late initcall: starts the scan thread.
 *
 * @mirrors mm/kmemleak.c:kmemleak_late_init
 */
export function* kmemleak_late_init(k: Kernel): MaySleep<void> {
  kmemleak_initialized.set(k, true);
  if (kmemleak_error(k)) {
    yield* schedule_work(k, cleanup_work(k));
    return;
  }
  yield* mutex_lock(k, scan_mutex(k));
  yield* start_scan_thread(k);
  mutex_unlock(k, scan_mutex(k));
  pr_info(
    k,
    kmemleakText(
      `Kernel memory leak detector initialized (mem pool available: ${mem_pool_free_count(k)})`,
    ),
  );
}
