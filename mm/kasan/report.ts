// SPDX-License-Identifier: GPL-2.0-only
/**
 * KASAN's reports. Mirrors mm/kasan/report.c (v5.7), line for line; names of functions stand without offsets, as in every
 * report here.
 *
 * Invariant: a report changes nothing but the log. Its call trace begins with the function that made the access or the
 * free: this file leaves itself out (see kernel/stacktrace.ts).
 *
 * Left out: taint flags, panic_on_warn, variables and stack frames by name.
 *
 * @module
 */

import { formatAddr, PAGE_OFFSET } from "../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../kernel/machine/brand.ts";
import { firstTime } from "../../kernel/bug.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { dumpStackLines, KERN_ERR, report } from "../../kernel/printk.ts";
import { allocationCaller, callTrace } from "../../kernel/stacktrace.ts";
import { KERNEL_STATIC, type StaticKey } from "../../kernel/static.ts";
import { dumpPageLines } from "../debug.ts";
import { mem_map, NULL_PAGE, type page, PG_slab, virt_to_head_page } from "../mm_types.ts";
import { cacheTable, type kmem_cache, nearest_obj, SLAB_KASAN } from "../slab.ts";
import { get_alloc_info, stack_depot_fetch } from "./common.ts";
import { find_first_bad_addr, get_bug_type } from "./generic_report.ts";
import {
  type kasan_access_info,
  kasan_alloc_meta,
  KASAN_SHADOW_SCALE_SIZE,
  kasan_track,
  shadowByte,
} from "./kasan.ts";

const SHADOW_BYTES_PER_ROW = 16;
const SHADOW_ROWS_AROUND_ADDR = 2;

const RULE = "=".repeat(66);

/** Set while every bad access is to be reported, as with the boot parameter kasan_multi_shot. */
const multi_shot = KERNEL_STATIC<boolean>("KASAN_BIT_MULTI_SHOT", () => false);

export const statics: readonly StaticKey[] = [multi_shot];

/** Reports every bad access from now on. Returns whether it was so before. @mirrors mm/kasan/report.c:kasan_save_enable_multi_shot */
export function kasan_save_enable_multi_shot(k: Kernel): boolean {
  const was = multi_shot(k);
  multi_shot.set(k, true);
  return was;
}

/** Back to what it was. @mirrors mm/kasan/report.c:kasan_restore_multi_shot */
export function kasan_restore_multi_shot(k: Kernel, enabled: boolean): void {
  if (!enabled) multi_shot.set(k, false);
}

function titleOf(k: Kernel, info: kasan_access_info): string {
  return `BUG: KASAN: ${get_bug_type(k, info)} in ${info.ip}`;
}

/** @mirrors mm/kasan/report.c:print_error_description */
function print_error_description(k: Kernel, info: kasan_access_info): string[] {
  const { comm, pid } = k.cpu.current;
  return [
    titleOf(k, info),
    `${info.is_write ? "Write" : "Read"} of size ${info.access_size} at addr ` +
    `${formatAddr(info.access_addr)} by task ${comm}/${pid}`,
  ];
}

/** Units: `track` is an offset into RAM. @mirrors mm/kasan/report.c:print_track */
function print_track(k: Kernel, track: number, prefix: string): string[] {
  const pid = k.ram.rawLoad32(track + kasan_track.offsetof("pid"));
  const stack = stack_depot_fetch(k, k.ram.rawLoad32(track + kasan_track.offsetof("stack")));
  return [
    `${prefix} by task ${pid}:`,
    ...(stack === undefined ? ["(stack is not available)"] : stack.map((name) => ` ${name}`)),
  ];
}

/** The page of an address in RAM, NULL_PAGE elsewhere. @mirrors mm/kasan/report.c:kasan_addr_to_page */
function kasan_addr_to_page(k: Kernel, addr: VirtAddr): page {
  return addr >= PAGE_OFFSET && addr < PAGE_OFFSET + k.ram.size ? virt_to_head_page(k, addr) : NULL_PAGE;
}

/** @mirrors mm/kasan/report.c:describe_object_addr */
function describe_object_addr(cache: kmem_cache, object: VirtAddr, addr: VirtAddr): string[] {
  const size = cache.object_size;
  const end = object + size;
  let where = `${addr - object} bytes inside`;
  if (addr < object) where = `${object - addr} bytes to the left`;
  else if (addr >= end) where = `${addr - end} bytes to the right`;
  return [
    `The buggy address belongs to the object at ${formatAddr(object)}`,
    ` which belongs to the cache ${cache.name} of size ${size}`,
    `The buggy address is located ${where} of`,
    ` ${size}-byte region [${formatAddr(object)}, ${formatAddr(end)})`,
  ];
}

/** Who allocated the object and who freed it, and where in it the address is. @mirrors mm/kasan/report.c:describe_object */
function describe_object(k: Kernel, cache: kmem_cache, object: VirtAddr, addr: VirtAddr): string[] {
  const lines = describe_object_addr(cache, object, addr);
  if ((cache.flags & SLAB_KASAN) === 0) return lines;
  const meta = get_alloc_info(cache, object) - PAGE_OFFSET;
  return [
    ...print_track(k, meta + kasan_alloc_meta.offsetof("alloc_track"), "Allocated"),
    "",
    ...print_track(k, meta + kasan_alloc_meta.offsetof("free_track"), "Freed"),
    "",
    ...lines,
  ];
}

/** @mirrors mm/kasan/report.c:print_address_description @simplified variables have no names here */
function print_address_description(k: Kernel, addr: VirtAddr): string[] {
  const lines = [...dumpStackLines(k), ""];
  const p = kasan_addr_to_page(k, addr);
  if (p === NULL_PAGE) return lines;
  const m = mem_map(k);
  const cache = (m.flags[p] & PG_slab) === 0 ? null : cacheTable(k)[m.slab_cache[p] - 1];
  if (cache !== null) lines.push(...describe_object(k, cache, nearest_obj(k, cache, p, addr), addr));
  lines.push(
    "The buggy address belongs to the page:",
    ...dumpPageLines(k, p, "kasan: bad access detected"),
  );
  return lines;
}

/** Column of the mark, from 1: `>ffff888000000000: ` is 19 wide. @mirrors mm/kasan/report.c:shadow_pointer_offset */
function shadow_pointer_offset(offset: number): number {
  return 3 + 16 + 3 * Math.floor(offset / KASAN_SHADOW_SCALE_SIZE) + 1;
}

/** Five rows of shadow, 128 bytes of memory each, with a mark under the byte of `addr`. @mirrors mm/kasan/report.c:print_shadow_for_address */
function print_shadow_for_address(k: Kernel, addr: VirtAddr): string[] {
  const lines = ["Memory state around the buggy address:"];
  const bytesPerRow = SHADOW_BYTES_PER_ROW * KASAN_SHADOW_SCALE_SIZE;
  const guilty = addr - addr % bytesPerRow;
  for (let i = -SHADOW_ROWS_AROUND_ADDR; i <= SHADOW_ROWS_AROUND_ADDR; i++) {
    const kaddr = guilty + i * bytesPerRow;
    // In front of RAM and behind it there is no shadow to show.
    if (kaddr < PAGE_OFFSET || (guilty < PAGE_OFFSET + k.ram.size && kaddr >= PAGE_OFFSET + k.ram.size)) {
      continue;
    }
    const bytes = Array.from(
      { length: SHADOW_BYTES_PER_ROW },
      (_, n) =>
        shadowByte(k, (kaddr + n * KASAN_SHADOW_SCALE_SIZE) as VirtAddr).toString(16).padStart(2, "0"),
    );
    lines.push(`${i === 0 ? ">" : " "}${formatAddr(kaddr)}: ${bytes.join(" ")}`);
    if (i === 0) lines.push("^".padStart(shadow_pointer_offset(addr - guilty)));
  }
  return lines;
}

/**
 * Whether this access is to be reported.
 *
 * @mirrors mm/kasan/report.c:report_enabled
 * @simplified each function reports each kind of mistake once; in C only the first report of a boot is printed, and a later
 * run would pass because an earlier one had failed
 */
function report_enabled(k: Kernel, info: kasan_access_info): boolean {
  return multi_shot(k) || firstTime(k, `${titleOf(k, info)} ${info.is_write ? "W" : "R"}`);
}

/**
 * Reports a free of what is not a live object.
 *
 * Context: any.
 *
 * @mirrors mm/kasan/report.c:kasan_report_invalid_free
 */
export function kasan_report_invalid_free(k: Kernel, object: VirtAddr): void {
  const title = `BUG: KASAN: double-free or invalid-free in ${allocationCaller()?.name ?? "?"}`;
  report(k, KERN_ERR, title, [
    RULE,
    title,
    "",
    ...print_address_description(k, object),
    "",
    ...print_shadow_for_address(k, object),
    RULE,
  ]);
}

/** @mirrors mm/kasan/report.c:__kasan_report */
function __kasan_report(k: Kernel, info: kasan_access_info): void {
  report(k, KERN_ERR, titleOf(k, info), [
    RULE,
    ...print_error_description(k, info),
    "",
    ...print_address_description(k, info.access_addr),
    "",
    ...print_shadow_for_address(k, info.first_bad_addr),
    RULE,
  ]);
}

/**
 * Reports an access that the shadow forbids, by the function that is running. Returns whether it was reported.
 *
 * Context: any.
 *
 * @mirrors mm/kasan/common.c:kasan_report
 */
export function kasan_report(k: Kernel, addr: VirtAddr, size: number, is_write: boolean): boolean {
  const info: kasan_access_info = {
    access_addr: addr,
    first_bad_addr: find_first_bad_addr(k, addr, size),
    access_size: size,
    is_write,
    ip: callTrace()[0] ?? "?",
  };
  if (!report_enabled(k, info)) return false;
  __kasan_report(k, info);
  return true;
}
