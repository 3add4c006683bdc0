// SPDX-License-Identifier: GPL-2.0-only
/**
 * Reports of accesses to memory that is not valid. Layout of mm/kasan/report.c and generic_report.c (v5.7).
 *
 * The default machine has a validity shadow but no red zones and no quarantine, so its title does not claim to be KASAN:
 * memory that was freed and handed out again is not noticed. With --kasan the reports are those of kasan/report.ts.
 *
 * @module
 */

import { addrAdd, formatAddr, pfnToVirt } from "../kernel/machine/addr.ts";
import type { VirtAddr } from "../kernel/machine/brand.ts";
import {
  SHADOW_FREE_PAGE,
  SHADOW_KMALLOC_FREE,
  SHADOW_KMALLOC_REDZONE,
  SHADOW_PAGE_REDZONE,
  SHADOW_VALID,
  SHADOW_VMALLOC_INVALID,
} from "../kernel/machine/ram.ts";
import { firstTime } from "../kernel/bug.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { dumpStackLines, KERN_ERR, report } from "../kernel/printk.ts";
import { callTrace } from "../kernel/stacktrace.ts";
import { check_memory_region } from "./kasan/generic.ts";
import { describe_object } from "./slab_live.ts";

const RULE = "=".repeat(66);

/** What is wrong with the byte at `phys`, in KASAN's words. */
function bugType(k: Kernel, phys: number, size: number): string {
  let granule = phys >>> 3;
  const last = (phys + size - 1) >>> 3;
  while (k.ram.shadow[granule] === SHADOW_VALID && granule < last) granule++;
  let code = k.ram.shadow[granule];
  if (code > 0 && code < SHADOW_VALID && granule < last) code = k.ram.shadow[granule + 1];
  switch (code) {
    case SHADOW_KMALLOC_FREE:
    case SHADOW_FREE_PAGE:
    case 0:
      return "use-after-free";
    case SHADOW_KMALLOC_REDZONE:
    case SHADOW_PAGE_REDZONE:
      return "slab-out-of-bounds";
    case SHADOW_VMALLOC_INVALID:
      return "vmalloc-out-of-bounds";
    default:
      return "out-of-bounds";
  }
}

/** A shadow byte as KASAN writes it: 00 is all valid there. */
function kasanByte(code: number): string {
  return (code === SHADOW_VALID ? 0 : code === 0 ? SHADOW_FREE_PAGE : code).toString(16).padStart(2, "0");
}

/** Five rows of shadow around the address. */
function shadowRows(k: Kernel, phys: number): string[] {
  const lines = ["Memory state around the buggy address:"];
  const row = phys - phys % 128;
  for (let at = row - 256; at <= row + 256; at += 128) {
    if (at < 0 || at >= k.ram.size) continue;
    const bytes = Array.from(k.ram.shadow.subarray(at >>> 3, (at >>> 3) + 16), kasanByte);
    lines.push(`${at === row ? ">" : " "}${formatAddr(pfnToVirt(0) + at)}: ${bytes.join(" ")}`);
    if (at === row) lines.push(" ".repeat(3 + 16 + 3 * ((phys - row) >>> 3)) + "^");
  }
  return lines;
}

/**
 * Reports an access that the shadow forbids; each function reports each kind once.
 *
 * @invented the default shadow is not KASAN: another title, no stacks of allocation and free
 */
export function reportBadAccess(k: Kernel, addr: VirtAddr, size: number, write: boolean): void {
  if (k.config.kasan) {
    check_memory_region(k, addr, size, write);
    return;
  }
  const phys = k.ram.translate(addr);
  const type = bugType(k, phys, size);
  const where = callTrace()[0] ?? "?";
  if (!firstTime(k, `${type}:${where}:${write}`)) return;
  const p = k.cpu.current;
  const title = `BUG: ${type} in ${where}`;
  report(k, KERN_ERR, title, [
    RULE,
    title,
    `${write ? "Write" : "Read"} of size ${size} at addr ${formatAddr(addr)} by task ${p.comm}/${p.pid}`,
    "",
    ...dumpStackLines(k),
    "",
    ...describe_object(k, addrAdd(pfnToVirt(0), phys)),
    "",
    ...shadowRows(k, phys),
    RULE,
  ]);
}
