// SPDX-License-Identifier: GPL-2.0-only
/** Tests of kernel/machine/addr.ts. Expected addresses are x86-64's documented memory map. */
import { assertEquals } from "@std/assert";
import {
  alignUp,
  formatAddr,
  hi32,
  joinWords,
  lo32,
  PAGE_OFFSET,
  parseAddr,
  pfnToVirt,
  TEXT_START,
  virtToPfn,
  VMALLOC_END,
  VMALLOC_START,
} from "../../../kernel/machine/addr.ts";
import type { VirtAddr } from "../../../kernel/machine/brand.ts";

Deno.test("formatAddr() prints the sign-extended 64-bit address", () => {
  assertEquals(formatAddr(PAGE_OFFSET), "ffff888000000000");
  assertEquals(formatAddr(VMALLOC_START), "ffffc90000000000");
  assertEquals(formatAddr(VMALLOC_END), "ffffe8ffffffffff");
  assertEquals(formatAddr(TEXT_START), "ffffffff81000000");
  assertEquals(formatAddr(0), "0000000000000000");
  assertEquals(formatAddr(16), "0000000000000010");
});

Deno.test("parseAddr() reads what formatAddr() prints, with 0x and short forms", () => {
  for (const addr of [PAGE_OFFSET, PAGE_OFFSET + 0x1001, VMALLOC_START, TEXT_START, 0x7fff_ffff_ffff]) {
    assertEquals(parseAddr(formatAddr(addr)) as number, addr as number);
  }
  assertEquals(parseAddr("0xFFFF888000000010") as number, PAGE_OFFSET + 16);
  assertEquals(parseAddr("888000000010") as number, PAGE_OFFSET + 16);
  assertEquals(Number.isNaN(parseAddr("no address")), true);
  assertEquals(Number.isNaN(parseAddr("11112222333344445")), true);
});

Deno.test("joinWords() of lo32() and hi32() gives the address back; a word of poison stays above 2^48", () => {
  for (const addr of [0, 1, 4095, PAGE_OFFSET, PAGE_OFFSET + 0x1234_5679, VMALLOC_START, TEXT_START]) {
    assertEquals(joinWords(lo32(addr), hi32(addr)) as number, addr as number);
  }
  assertEquals(hi32(PAGE_OFFSET), 0xffff8880);
  assertEquals(joinWords(0x6b6b6b6b, 0x6b6b6b6b) >= 2 ** 48, true);
});

Deno.test("alignUp() and page arithmetic are exact above 2^32", () => {
  assertEquals(alignUp(PAGE_OFFSET + 1, 4096), PAGE_OFFSET + 4096);
  assertEquals(alignUp(PAGE_OFFSET, 4096), PAGE_OFFSET as number);
  assertEquals(virtToPfn((PAGE_OFFSET + 5 * 4096 + 7) as VirtAddr) as number, 5);
  assertEquals(pfnToVirt(1048575) as number, PAGE_OFFSET + 1048575 * 4096);
});
